"""The real programs that imgbuild is compared with, each with a state of its own below one temporary directory."""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DOCKER = '/usr/bin/docker'      # of docker.io: newer clients elsewhere on PATH insist on a plugin for BuildKit
NEEDED = {DOCKER: 'docker.io', 'dockerd': 'docker.io', 'docker-registry': 'docker-registry', 'buildah': 'buildah',
          'skopeo': 'skopeo', '/usr/bin/busybox': 'busybox-static', 'zstd': 'zstd', 'mmdebstrap': 'mmdebstrap'}
START_SECONDS, RUN_SECONDS = 60, 300


class Failure(Exception):
    """A program ended with a failure; the text is what it said."""


def missing():
    """Debian packages without which nothing can be compared."""
    return sorted({package for program, package in NEEDED.items() if not shutil.which(program)})


def run(argv, env=None, cwd=None, stdin=None):
    """stdout of a program that must succeed."""
    try:
        done = subprocess.run([str(arg) for arg in argv], env=env, cwd=cwd, stdin=stdin or subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failure(f'{argv[0]}: still running after {RUN_SECONDS} s') from late
    if done.returncode:
        said = (done.stderr + done.stdout).decode('utf-8', 'replace')
        raise Failure(f'{argv[0]}: exit status {done.returncode}\n{said[-4000:]}')
    return done.stdout.decode('utf-8', 'replace')


def die_with_parent():
    """In a child: a test run that is killed leaves no daemon behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Daemon:
    """A program in the background that is ready when `ready` says so."""

    def __init__(self, argv, log, ready, cwd):
        self.name = argv[0]
        with open(log, 'wb') as sink:
            self.process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                                            preexec_fn=die_with_parent)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = Path(log).read_text(errors='replace')[-2000:]
                self.stop()
                raise Failure(f'{self.name} does not start:\n{said}')
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


class Docker:
    """A private dockerd with the BuildKit in it."""

    def __init__(self, top):
        self.dir = top / 'docker'
        self.dir.mkdir()
        (self.dir / 'daemon.json').write_text('{}')     # not the machine's
        (self.dir / 'client').mkdir()
        self.env = dict(os.environ, DOCKER_HOST=f'unix://{self.dir}/socket', DOCKER_BUILDKIT='1',
                        DOCKER_CONFIG=str(self.dir / 'client'), BUILDKIT_PROGRESS='plain')
        self.env.pop('DOCKER_CONTEXT', None)
        argv = ['dockerd', '--config-file', f'{self.dir}/daemon.json', '--data-root', f'{self.dir}/data',
                '--exec-root', f'{self.dir}/exec', '--pidfile', f'{self.dir}/pid', '-H', self.env['DOCKER_HOST'],
                '--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false',
                '--userland-proxy=false', '--log-level=warn']
        self.daemon = Daemon(argv, self.dir / 'log', self.ready, self.dir)

    def ready(self):
        return subprocess.run([DOCKER, 'info'], env=self.env, capture_output=True, check=False).returncode == 0

    def import_base(self, tar, name):
        run([DOCKER, 'import', tar, name], env=self.env)

    def build(self, context, args, tag):
        run([DOCKER, 'build', '--network', 'host', '--tag', tag, *args, context], env=self.env)

    def export(self, tag, directory):
        run(['skopeo', '--insecure-policy', 'copy', '-q', '--src-daemon-host', self.env['DOCKER_HOST'],
             f'docker-daemon:{tag}', f'dir:{directory}'])      # as OCI image it would lose Healthcheck, Shell and OnBuild

    def stop(self):
        self.daemon.stop()


class Buildah:
    def __init__(self, top):
        self.dir = top / 'buildah'
        self.dir.mkdir()
        (self.dir / 'policy.json').write_text(json.dumps({'default': [{'type': 'insecureAcceptAnything'}]}))
        self.store = f'[overlay@{self.dir}/root+{self.dir}/run]'
        self.argv = ['buildah', '--root', f'{self.dir}/root', '--runroot', f'{self.dir}/run', '--storage-driver', 'overlay']
        self.env = dict(os.environ, BUILDAH_ISOLATION='chroot', STORAGE_DRIVER='overlay', BUILDAH_LAYERS='true')

    def import_image(self, directory, name):
        run(['skopeo', '--insecure-policy', 'copy', '-q', f'dir:{directory}',
             f'containers-storage:{self.store}docker.io/library/{name}'], env=self.env)

    def build(self, context, args, tag):
        run([*self.argv, 'build', '--signature-policy', self.dir / 'policy.json', '--format', 'docker', '--network', 'host',
             '--pull-never', '--layers', '--tag', tag, *args, context], env=self.env)

    def export(self, tag, directory):
        run([*self.argv, 'push', '-q', '--signature-policy', self.dir / 'policy.json', f'localhost/{tag}',
             f'dir:{directory}'], env=self.env)

    def stop(self):
        pass


class Imgbuild:
    """The program under test."""

    def __init__(self, top, program):
        self.dir = top / 'imgbuild'
        self.dir.mkdir()
        self.program = program
        self.env = dict(os.environ, IMGBUILD_ROOT=f'{self.dir}/store')
        self.env.pop('SOURCE_DATE_EPOCH', None)

    def import_base(self, tar, name):
        run([self.program, 'import', tar, name], env=self.env)

    def archive(self, tag):
        return self.dir / (tag.replace('/', '-').replace(':', '-') + '.tar')

    def build(self, context, args, tag):
        run([self.program, 'build', '--progress', 'plain', '--tag', tag, '--output',
             f'type=oci,dest={self.archive(tag)}', *args, context], env=self.env)

    def export(self, tag, directory):
        """Read by skopeo, so a manifest, size or digest that a peer would refuse is found."""
        run(['skopeo', '--insecure-policy', 'copy', '-q', f'oci-archive:{self.archive(tag)}', f'oci:{directory}:image'])
        self.archive(tag).unlink()

    def push(self, context, args, reference):
        run([self.program, 'build', '--progress', 'plain', '--tag', reference, '--push', *args, context], env=self.env)

    def stop(self):
        pass


class Registry:
    """docker-registry on a free port of the loopback interface, which all tools take for an insecure one."""

    def __init__(self, top):
        directory = top / 'registry'
        directory.mkdir()
        self.port = free_port()
        self.host = f'127.0.0.1:{self.port}'
        config = {'version': 0.1, 'log': {'level': 'error'},
                  'storage': {'filesystem': {'rootdirectory': str(directory / 'data')}, 'delete': {'enabled': True}},
                  'http': {'addr': self.host}}
        (directory / 'config.yml').write_text(json.dumps(config))       # JSON is YAML
        self.daemon = Daemon(['docker-registry', 'serve', f'{directory}/config.yml'], directory / 'log',
                             lambda: answers(self.port), directory)

    def push(self, directory, name):
        run(['skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', f'dir:{directory}',
             f'docker://{self.host}/{name}'])

    def pull(self, name, directory):
        run(['skopeo', '--insecure-policy', 'copy', '-q', '--src-tls-verify=false', f'docker://{self.host}/{name}',
             f'oci:{directory}:image'])

    def stop(self):
        self.daemon.stop()


class Files:
    """An HTTP server for ADD: the files of cases/NAME/http/."""

    def __init__(self, directory):
        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(directory))

            def log_message(self, format, *args):
                pass

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.host = f'127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
