#!/usr/bin/env python3
"""A registry that misbehaves in one way per repository.

Prints "PORT OTHERPORT" when it listens on both. What it saw can be read as lines from /log.
A blob's content is the repetition of its repository's name, 300000 bytes; its digest is real.
"""
import hashlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SIZE = 300000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIGNED = "/docker//registry/../blob?sig=a%2Bb%3D&x=&se=1:2"
lock = threading.Lock()
log = []
count = {}
stored = {}
ports = []
connections = {}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def content(repo):
    return (repo.encode() * (SIZE // len(repo) + 1))[:SIZE]


def manifest(repo):
    blob = content(repo)
    config = b"{}"
    return json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config),
                   "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(blob),
                    "size": len(blob)}],
    }).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20

    def log_message(self, *args):
        pass

    # -- helpers ------------------------------------------------------------------------------------

    def note(self):
        with lock:
            conn = connections.setdefault((self.server.server_port, self.client_address), len(connections))
            log.append("%s %s %s auth=%s range=%s type=%s conn=%d" % (
                "other" if self.server.server_port == ports[1] else "main", self.command, self.path,
                self.headers.get("Authorization", "-"), self.headers.get("Range", "-"),
                self.headers.get("Content-Type", "-"), conn))

    def nth(self, key):
        """How often this was asked before."""
        with lock:
            count[key] = count.get(key, 0) + 1
            return count[key]

    def reply(self, status, headers=None, body=b"", length=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def cut(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def error(self, status, code, message, headers=None):
        self.reply(status, dict(headers or {}, **{"Content-Type": "application/json"}),
                   json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def serve(self, data, headers=None):
        """Data, or the range of it that was asked for."""
        wanted = self.headers.get("Range")
        if not wanted:
            return self.reply(200, headers, data)
        start = int(wanted[len("bytes="):-1])
        self.reply(206, {"Content-Range": "bytes %d-%d/%d" % (start, len(data) - 1, len(data))}, data[start:])

    # -- the methods --------------------------------------------------------------------------------

    def do_GET(self):
        if self.path == "/log":
            with lock:
                return self.reply(200, {"Content-Type": "text/plain"}, "\n".join(log).encode() + b"\n")
        self.note()
        if self.server.server_port == ports[1]:
            return self.other()
        parts = urlsplit(self.path).path.split("/")
        if self.path.startswith("/token?"):
            return self.reply(200, None, b'{"token":"T%d"}' % self.nth("token"))
        if self.path.startswith("/hop/"):
            return self.reply(302, {"Location": "/hop/%d" % (int(parts[2]) + 1)})
        if len(parts) < 5:
            return self.reply(200)
        repo, kind = "/".join(parts[2:-2]), parts[-2]
        if kind == "manifests":
            self.get_manifest(repo)
        else:
            self.get_blob(repo, parts[-1])

    do_HEAD = do_GET

    def other(self):
        """A storage host: knows nothing but the signed address."""
        if self.path == SIGNED:
            return self.serve(content("redirect"))
        if self.path == SIGNED + "&old":
            return self.reply(403, {"Content-Type": "application/xml"}, b"<Error>expired</Error>")
        self.reply(404)

    def get_manifest(self, repo):
        headers = {"Content-Type": MANIFEST}
        data = manifest(repo)
        if repo == "bigmanifest":
            self.send_response(200)
            self.send_header("Content-Type", MANIFEST)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while self.command != "HEAD":
                self.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        elif repo == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        elif repo == "mismatchtype":
            self.reply(200, {"Content-Type": INDEX}, data)
        elif repo == "liedigest":
            headers["Docker-Content-Digest"] = digest(b"something else")
            self.reply(200, headers, data)
        elif repo == "schema1":
            self.reply(200, {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
                       b'{"schemaVersion":1}')
        elif repo == "plaintype":
            self.reply(200, {"Content-Type": "application/json"}, data)
        elif repo == "html":
            self.reply(502, {"Content-Type": "text/html"}, b"<html><h1>502 secret page</h1>")
        elif repo == "html403":
            self.reply(403, {"Content-Type": "text/html"}, b"<html>" + b"x" * 1000000)
        elif repo == "denied":
            self.error(403, "DENIED", "no push\x1b[31m scope")
        elif repo == "limit":
            if self.nth("limit") == 1:
                self.reply(429, {"Retry-After": "0"})
            else:
                self.reply(200, headers, data)
        elif repo == "quota":
            self.error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.", {"Retry-After": "1"})
        elif repo == "loop":
            self.reply(307, {"Location": "/hop/0"})
        elif repo == "short":
            self.reply(200, headers, data[:10], len(data))
            self.cut()
        elif repo == "garbage":
            self.wfile.write(b"NOT HTTP AT ALL\r\n\r\n")
            self.cut()
        elif repo == "hang":
            time.sleep(60)
        elif repo == "challenge":
            self.error(401, "UNAUTHORIZED", "authentication required",
                       {"WWW-Authenticate": 'Basic realm="liar"'})
        elif repo == "badrealm":
            self.error(401, "UNAUTHORIZED", "authentication required",
                       {"WWW-Authenticate": 'Bearer realm="ftp://x/token"'})
        else:
            self.reply(200, headers, data)

    def get_blob(self, repo, wanted):
        data = content(repo)
        half = SIZE // 2
        if wanted == digest(b"{}"):
            return self.reply(200, None, b"{}")
        if self.command == "HEAD":
            return self.reply(200 if wanted in stored else 404, None, b"", stored.get(wanted))
        if repo == "wrongdigest":
            self.reply(200, None, b"x" * SIZE)
        elif repo == "short":
            self.reply(200, None, data[:half], SIZE)
            self.cut()
        elif repo == "otherlength":
            self.reply(200, None, data[:half])
        elif repo in ("cut", "cutnorange", "badrange") and self.nth(repo) == 1:
            self.reply(200, None, data[:half], SIZE)
            self.cut()
        elif repo == "cutnorange":
            self.reply(200, None, data)
        elif repo == "badrange":
            self.reply(206, {"Content-Range": "bytes 0-%d/%d" % (SIZE - 1, SIZE)}, data)
        elif repo == "toolong":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data + b"more")
            self.close_connection = True
        elif repo in ("redirect", "expired"):
            if not self.headers.get("Authorization"):
                return self.error(401, "UNAUTHORIZED", "authentication required",
                                  {"WWW-Authenticate": 'Basic realm="liar"'})
            old = "&old" if repo == "expired" and self.nth("expired") == 1 else ""
            self.reply(307, {"Location": "http://127.0.0.1:%d%s%s" % (ports[1], SIGNED, old)})
        elif repo == "stall":
            if self.nth("stall") == 1:
                self.reply(200, None, data[:half], SIZE)
                time.sleep(3)
                self.close_connection = True
            else:
                self.serve(data)
        elif repo == "hang":
            self.reply(200, None, data[:10], SIZE)
            time.sleep(60)
        else:
            self.serve(data)

    def want_token(self, more):
        self.error(401, "UNAUTHORIZED", "authentication required",
                   {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:%d/token",service="liar",'
                                        'scope="repository:upload-401:pull,push",%s' % (ports[0], more)})

    def do_POST(self):
        self.note()
        self.body()
        repo = "/".join(urlsplit(self.path).path.split("/")[2:-3])
        if repo == "upload-401" and "Bearer" not in self.headers.get("Authorization", ""):
            return self.want_token("")
        session = "/v2/%s/blobs/uploads/U%d" % (repo, self.nth("session " + repo))
        query = "?_nouploadcache=false&_state=a%2Bb%3D%3d"
        location = {
            "upload-relative": session + query,
            "upload-bare": session,
            "upload-other": "http://127.0.0.1:%d%s%s" % (ports[1], session, query),
        }.get(repo, "http://127.0.0.1:%d%s%s" % (ports[0], session, query))
        if repo == "upload-noloc":
            return self.reply(202)
        if repo == "upload-ftp":
            location = "ftp://x/secret"
        if repo == "upload-other" and not self.headers.get("Authorization"):
            return self.error(401, "UNAUTHORIZED", "sign in", {"WWW-Authenticate": 'Basic realm="liar"'})
        self.reply(202, {"Location": location})

    def do_PUT(self):
        self.note()
        url = urlsplit(self.path)
        parts = url.path.split("/")
        repo = "/".join(parts[2:-3])
        if parts[-2] == "manifests":
            self.body()
            return self.reply(201)
        if repo == "upload-early":
            # Refuses without reading: a client must find the words although its own writes fail.
            self.error(413, "SIZE_INVALID", "too much")
            time.sleep(0.5)  # what is not read makes the close a reset, which may overtake the words
            self.close_connection = True
            return None
        data = self.body()
        wanted = parse_qs(url.query)["digest"][0]
        nth = self.nth("put " + repo)
        if repo == "upload-gone" and nth == 1:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "gone")
        if repo == "upload-500":
            return self.error(500, "UNKNOWN", "broken")
        if repo == "upload-digest" and nth == 1:
            return self.error(400, "DIGEST_INVALID", "bytes were lost")
        if repo == "upload-401" and nth == 1:
            return self.want_token('error="invalid_token"')
        if digest(data) != wanted:
            return self.error(400, "DIGEST_INVALID", "got " + digest(data))
        with lock:
            stored[wanted] = len(data)
        if repo == "upload-lost":
            return self.cut()
        return self.reply(201, {"Docker-Content-Digest": wanted})


def main():
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    for server in servers:
        server.daemon_threads = True
        server.handle_error = lambda *args: None
        ports.append(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(ports[0], ports[1], flush=True)
    sys.stdin.read()  # until the test goes away


if __name__ == "__main__":
    main()
