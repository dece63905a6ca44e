#!/usr/bin/env python3
"""Base images that are missing, wrong, or broken, in the store and in registries that lie."""
import gzip
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading

from lib.bench import Path, main

ARCH = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine, os.uname().machine)


def a_base_that_is_not_there_is_told_quickly(bench):
    bench.dockerfile('FROM 127.0.0.1:1/team/nothere:1')
    result = bench.build_fails(1, r':1: base image 127\.0\.0\.1:1/team/nothere:1: .*127\.0\.0\.1.*; it is not in the store, where '
                               r'`imgbuild load` or `import` can put it$')
    assert result.seconds < 15, result
    bench.import_base()
    for reference in ('base:2', 'base@sha256:' + '0' * 64, 'base:1@sha256:' + '0' * 64):
        bench.dockerfile(f'FROM 127.0.0.1:1/{reference}')
        bench.build_fails(1, rf':1: base image 127\.0\.0\.1:1/{reference}: ')
    bench.clean()


def a_base_by_digest_is_that_image_or_none(bench):
    digest = bench.import_base()
    bench.dockerfile(f'FROM base@{digest}', 'COPY Dockerfile /x')
    bench.build('--tag', 'mine:1')
    bench.dockerfile(f'FROM base:1@{digest}', 'COPY Dockerfile /x')
    bench.build('--tag', 'mine:2')
    for reference, pattern in (('base@sha256:abc', 'digest'), ('base@md5:' + '0' * 32, 'digest'), ('base@', 'reference')):
        bench.dockerfile(f'FROM {reference}')
        bench.build_fails(2, rf':1: .*{pattern}')
    bench.clean()


def a_base_of_another_platform_is_warned_of(bench):
    other = 'linux/arm64' if ARCH != 'arm64' else 'linux/amd64'
    bench.ok('import', '--platform', other, bench.base, 'base:other')
    bench.dockerfile('FROM base:other', 'COPY Dockerfile /x')
    result = bench.build()
    assert f'was pulled with platform "{other}", expected "linux/{ARCH}"' in result.err, result
    bench.dockerfile('FROM base:other')
    bench.build_fails(1, r'^--platform: .* is not this machine', '--platform', other)
    bench.clean()


def damaged(bench, change):
    """The store with its largest blob, the base's layer, changed."""
    blob = max((bench.root / 'blobs' / 'sha256').iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    blob.unlink()
    blob.write_bytes(change(content))


def flip(content):
    content[len(content) // 2] ^= 1
    return content


def a_damaged_layer_is_not_built_upon(bench):
    for number, change in enumerate((flip, lambda c: c[:len(c) // 2], lambda c: c + b'more', lambda c: b'', lambda c: os.urandom(len(c)))):
        bench.use_store(f'root-{number}')
        bench.import_base()
        damaged(bench, change)
        bench.dockerfile('FROM base:1', 'RUN echo x > /x')
        bench.build_fails(1, r':2: unpack layer sha256:[0-9a-f]{64}: .*(; the store is damaged: |blob sha256:)', '--tag', 'mine:1')
        assert bench.names() == ['docker.io/library/base:1'], number
        assert not [left for left in bench.leftovers()], bench.leftovers()
        # Copying trusts the store; whoever takes the copy in looks at every byte.
        if bench.run('save', '--format=oci', '--output', bench.dir / 'x.tar', 'base:1').status == 0:
            bench.fails(1, r'sha256:', 'load', '--root', bench.dir / 'other', '--input', bench.dir / 'x.tar')
            (bench.dir / 'x.tar').unlink()
        assert not (bench.dir / 'x.tar').exists()
        bench.ok('rmi', 'base:1')
        bench.ok('prune', '--all')
        bench.import_base()
        bench.build('--tag', 'mine:1')
        bench.clean()


def damaged_metadata_is_told(bench):
    digest = bench.import_base()
    _, manifest, _ = bench.manifest('base:1')
    bench.dockerfile('FROM base:1', 'COPY Dockerfile /x')
    saved = bench.dir / 'saved'
    shutil.copytree(bench.root, saved, symlinks=True)
    for victim in (digest, manifest['config']['digest'], None):
        for content in (b'', b'{', b'[]', b'{"schemaVersion": 2}', b'\xff' * 100, b'{"a":' * 10_000, None):
            shutil.rmtree(bench.root)
            shutil.copytree(saved, bench.root, symlinks=True)
            path = bench.blob(victim) if victim else bench.root / 'index.json'
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            for args in (['build', '--progress=plain', '--platform', f'linux/{ARCH}', bench.context], ['inspect', 'base:1'],
                         ['history', 'base:1'], ['images'], ['df'], ['prune'], ['tag', 'base:1', 'other:1'],
                         ['save', '--output', bench.dir / 'x.tar', 'base:1']):
                result = bench.run(*args, seconds=60)
                assert result.status in (0, 1), f'{victim} {content}\n{result}'
                assert 'Sanitizer' not in result.err, result
                if result.status:
                    bench.check_failure(result, 1, '.')
                (bench.dir / 'x.tar').unlink(missing_ok=True)



class Registry:
    """One image, served with the lie that a test wants."""

    def __init__(self, layer, lie=None):
        self.lie, self.asked = lie, []
        self.layer = gzip.compress(layer, 1, mtime=0)
        config = json.dumps({'architecture': ARCH, 'os': 'linux', 'config': {}, 'rootfs': {
            'type': 'layers', 'diff_ids': [self.digest(layer) if lie != 'diff ID' else 'sha256:' + '1' * 64]}}).encode()
        self.blobs = {self.digest(blob): blob for blob in (config, self.layer)}
        media = 'application/vnd.oci.image.'
        self.manifest = json.dumps({
            'schemaVersion': 2, 'mediaType': media + 'manifest.v1+json',
            'config': {'mediaType': media + 'config.v1+json', 'digest': self.digest(config), 'size': len(config)},
            'layers': [{'mediaType': media + 'layer.v1.tar+gzip', 'digest': self.digest(self.layer), 'size': len(self.layer)}]}).encode()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                registry.serve(self, False)

            def do_GET(self):
                registry.serve(self, True)

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.host = f'127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def digest(content):
        return 'sha256:' + hashlib.sha256(content).hexdigest()

    def body(self, path):
        if '/manifests/' in path:
            return self.manifest if self.lie != 'manifest' else self.manifest + b' '
        blob = self.blobs.get(path.rpartition('/')[2])
        if blob is self.layer:
            if self.lie == 'truncated':
                return blob[:-1000]
            if self.lie == 'oversized':
                return blob + bytes(5_000_000)
            if self.lie == 'other bytes':
                return bytes(len(blob))
            if self.lie == 'one bit':
                return blob[:5000] + bytes([blob[5000] ^ 1]) + blob[5001:]
        elif blob is not None and self.lie == 'config':
            return blob.replace(b'linux', b'minix')
        return blob

    def serve(self, request, with_body):
        self.asked.append(request.path)
        body = b'{}' if request.path == '/v2/' else self.body(request.path)
        if body is None or self.lie == 'not found':
            request.send_error(404)
            return
        request.send_response(200)
        if '/manifests/' in request.path:
            request.send_header('Content-Type', 'application/vnd.oci.image.manifest.v1+json')
            request.send_header('Docker-Content-Digest', self.digest(self.manifest))
        request.send_header('Content-Length', str(len(body) + (1000 if self.lie == 'cut' and len(body) > 10_000 else 0)))
        request.end_headers()
        if with_body:
            try:
                request.wfile.write(body)
            except OSError:
                pass    # it has seen enough

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def an_honest_registry_serves_as_base(bench):
    with Registry(Path(bench.base).read_bytes()) as registry:
        bench.dockerfile(f'FROM {registry.host}/team/base:1', 'RUN echo x > /x')
        bench.build('--plain-http', registry.host, '--tag', 'mine:1')
        bench.clean()
        asked = len(registry.asked)
        bench.build('--plain-http', registry.host, '--tag', 'mine:1')
        assert len(registry.asked) == asked, registry.asked[asked:]
    bench.build('--tag', 'mine:2')      # it is in the store now
    bench.clean()


def a_registry_that_lies_is_found_out(bench):
    layer = Path(bench.base).read_bytes()
    for lie in ('truncated', 'oversized', 'other bytes', 'one bit', 'config', 'manifest', 'diff ID', 'not found', 'cut'):
        with Registry(layer, lie) as registry:
            for args in (['build', '--progress=plain', '--plain-http', registry.host, '--tag', 'mine:1', bench.context],
                         ['pull', '--plain-http', registry.host, f'{registry.host}/team/base:1']):
                bench.dockerfile(f'FROM {registry.host}/team/base:1', 'RUN echo x > /x')
                result = bench.run(*args)
                if lie == 'diff ID' and args[0] == 'pull':
                    continue    # nobody has looked inside yet
                assert result.status == 1, f'{lie}\n{result}'
                bench.check_failure(result, 1, r'sha256:|404|not found')
                assert not bench.names(), f'{lie}: {bench.names()}'
                bench.clean()
                assert sum(path.stat().st_size for path in (bench.root / 'blobs' / 'sha256').iterdir()) < 3_000_000
        shutil.rmtree(bench.root)


if __name__ == '__main__':
    sys.exit(main([
        a_base_that_is_not_there_is_told_quickly,
        a_base_by_digest_is_that_image_or_none,
        a_base_of_another_platform_is_warned_of,
        a_damaged_layer_is_not_built_upon,
        damaged_metadata_is_told,
        an_honest_registry_serves_as_base,
        a_registry_that_lies_is_found_out,
    ]))
