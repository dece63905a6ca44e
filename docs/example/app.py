"""A small web service: greets, counts what it greeted, tells how it is doing."""
import json
import os
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    greeted = 0
    lock = threading.Lock()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == '/':
            name = urllib.parse.parse_qs(url.query).get('name', ['world'])[0]
            with Handler.lock:
                Handler.greeted += 1
            self.answer(200, {'greeting': f'{os.environ.get("GREETING", "Hello")}, {name}!'})
        elif url.path == '/health':
            self.answer(200, {'status': 'ok', 'greeted': Handler.greeted})
        else:
            self.answer(404, {'error': f'nothing at {url.path}'})

    def answer(self, status, document):
        body = json.dumps(document).encode() + b'\n'
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(self.address_string(), format % args, file=sys.stderr)


def self_check():
    """Serve on a free port of the loopback interface and ask the questions a client would ask."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f'http://127.0.0.1:{server.server_port}'
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path):
        with opener.open(base + path, timeout=10) as answer:
            return json.load(answer)

    assert ask('/?name=imgbuild')['greeting'].endswith(', imgbuild!')
    assert ask('/health') == {'status': 'ok', 'greeted': 1}
    server.shutdown()
    print('self check: the service answers')


if __name__ == '__main__':
    if sys.argv[1:] == ['--self-check']:
        self_check()
    else:
        ThreadingHTTPServer(('', int(os.environ.get('PORT', '8000'))), Handler).serve_forever()
