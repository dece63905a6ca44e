#!/usr/bin/env python3
"""A token server for a real registry: it signs what the registry then judges.

token_server.py KEY.pem CERT.pem SERVICE; prints its port. user/password may push, nobody may pull from public/*,
refresh token "refresh-me" stands for user. /log shows what was asked. LIFETIME in the environment: seconds.
"""
import base64
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

key = open(sys.argv[1]).read()
certificate = x509.load_pem_x509_certificate(open(sys.argv[2], "rb").read())
service = sys.argv[3]
lifetime = int(os.environ.get("LIFETIME", "300"))
log = []


def access(user, scopes):
    granted = []
    for scope in scopes:
        kind, rest = scope.split(":", 1)
        name, actions = rest.rsplit(":", 1)
        allowed = [a for a in actions.split(",") if user or (a == "pull" and name.startswith("public/"))]
        granted.append({"type": kind, "name": name, "actions": allowed})
    return granted


def sign(user, scopes):
    now = int(time.time())
    return jwt.encode(
        {"iss": "imgbuild-test", "sub": user or "", "aud": service, "exp": now + max(lifetime, 60), "nbf": now - 10,
         "iat": now, "jti": str(time.monotonic_ns()), "access": access(user, scopes)},
        key, algorithm="RS256",
        headers={"x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, user, scopes):
        log.append("%s %s %s" % (self.command, user or "-", " ".join(sorted(scopes))))
        self.reply(200, {"token": sign(user, scopes), "expires_in": lifetime})

    def do_GET(self):
        if self.path == "/log":
            return self.reply(200, log)
        query = parse_qs(urlsplit(self.path).query)
        authorization = self.headers.get("Authorization")
        if authorization and authorization != "Basic " + base64.b64encode(b"user:password").decode():
            return self.reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
        assert query["service"] == [service]
        self.answer("user" if authorization else None, query.get("scope", []))

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != ["refresh-me"]:
            return self.reply(401, {"error": "invalid_grant", "error_description": "unknown refresh token"})
        self.answer("user", form.get("scope", [""])[0].split())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
