"""What every test of the command line needs: a store of its own, a tiny base image, and eyes for what is left behind."""
import ctypes
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from pathlib import Path

PROGRAM = os.path.abspath(os.environ.get(
    'IMGBUILD', Path(__file__).resolve().parents[3] / 'build' / 'builder' / 'imgbuild'))
BUSYBOX = '/usr/bin/busybox'
MTIME = 981173106       # 2001-02-03 04:05:06 UTC
# Nothing that runs here takes longer; under sanitizers on a busy machine everything takes long.
SECONDS = 120
APPLETS = ('sh', 'cat', 'chmod', 'chown', 'cp', 'dd', 'echo', 'env', 'false', 'head', 'id', 'kill', 'ln', 'ls', 'mkdir', 'mkfifo',
           'mknod', 'mv', 'rm', 'seq', 'setsid', 'sleep', 'stat', 'sync', 'test', 'touch', 'true', 'wc', 'yes')


HELPERS = set()         # PIDs of daemons that a test needs


class Skip(Exception):
    """What a machine lacks."""


def member(archive, name, content=None, **fields):
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = MTIME, 0o755
    for key, value in fields.items():
        setattr(info, key, value)
    if content is not None:
        info.size = len(content)
    archive.addfile(info, io.BytesIO(content) if content is not None else None)


def make_base(path):
    """The root filesystem of base:1, a busybox with a few links."""
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as archive:
        for name in ('bin', 'dev', 'etc', 'home', 'proc', 'sys', 'tmp', 'var'):
            member(archive, name, type=tarfile.DIRTYPE, mode=0o1777 if name == 'tmp' else 0o755)
        member(archive, 'home/user', type=tarfile.DIRTYPE, mode=0o700, uid=1000, gid=1001)
        member(archive, 'bin/busybox', Path(BUSYBOX).read_bytes())
        for applet in APPLETS:
            member(archive, f'bin/{applet}', type=tarfile.SYMTYPE, linkname='busybox')
        member(archive, 'etc/passwd', b'root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n', mode=0o644)
        member(archive, 'etc/group', b'root:x:0:\nuser:x:1001:\n', mode=0o644)


class Result:
    def __init__(self, argv, status, out, err, seconds):
        self.argv, self.status, self.seconds = argv, status, seconds
        self.out, self.err = out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')

    @property
    def errors(self):
        """What imgbuild itself said, without the program's name."""
        return [line[len('imgbuild: '):] for line in self.err.splitlines() if line.startswith('imgbuild: ')]

    def __str__(self):
        return f'{" ".join(map(str, self.argv))}\nexit status {self.status} after {self.seconds:.1f} s\n{self.err[-3000:]}'


def wait(process, seconds=SECONDS):
    """(stdout, stderr), or a failure in place of a test that hangs."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f'still running after {seconds} s: {" ".join(map(str, process.args))}\n'
                             f'{err.decode("utf-8", "replace")[-2000:]}') from None


class Bench:
    """A directory with a store; `user` is (uid, gid, home) of whoever runs imgbuild, None: whoever runs the test."""

    def __init__(self, top, name, user=None, base=None):
        self.dir, self.user, self.base = top / name, user, base
        self.dir.mkdir()
        self.root, self.context = self.dir / 'root', self.dir / 'context'
        self.context.mkdir()
        self.env = {**os.environ, 'IMGBUILD_ROOT': str(self.root), 'TMPDIR': str(self.dir), 'HOME': str(self.dir),
                    'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
        for name in ('SOURCE_DATE_EPOCH', 'DOCKER_CONFIG', 'REGISTRY_AUTH_FILE', 'XDG_RUNTIME_DIR', 'XDG_DATA_HOME'):
            self.env.pop(name, None)
        self.env.setdefault('ASAN_OPTIONS', 'abort_on_error=0')
        if user:
            os.chown(self.dir, user[0], user[1])
            os.chown(self.context, user[0], user[1])

    def use_store(self, name):
        self.root = self.dir / name
        self.env['IMGBUILD_ROOT'] = str(self.root)

    # ---- running

    def start(self, *args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=None,
              program=PROGRAM, preexec=None, cwd=None):
        become = {'user': self.user[0], 'group': self.user[1], 'extra_groups': []} if self.user else {}
        return subprocess.Popen([str(program), *map(str, args)], stdin=stdin, stdout=stdout, stderr=stderr,
                                env={**self.env, **(env or {})}, cwd=cwd or self.dir, preexec_fn=preexec,
                                start_new_session=True, **become)

    def run(self, *args, seconds=SECONDS, **options):
        began = time.monotonic()
        data = options.pop('data', None)
        if data is not None:
            options['stdin'] = subprocess.PIPE
        process = self.start(*args, **options)
        if data is not None:
            try:
                process.stdin.write(data)
                process.stdin.flush()
            except BrokenPipeError:
                pass    # it has seen enough
        out, err = wait(process, seconds)
        return Result([process.args[0].rpartition('/')[2], *args], process.returncode, out or b'', err or b'',
                      time.monotonic() - began)

    def ok(self, *args, **options):
        result = self.run(*args, **options)
        assert result.status == 0, str(result)
        assert 'Sanitizer' not in result.err and 'runtime error' not in result.err, str(result)
        return result

    def fails(self, status, pattern, *args, **options):
        """Exactly this exit status, and one line of imgbuild's own that matches."""
        result = self.run(*args, **options)
        self.check_failure(result, status, pattern)
        return result

    @staticmethod
    def check_failure(result, status, pattern):
        assert 'Sanitizer' not in result.err and 'runtime error' not in result.err, str(result)
        assert result.status == status, f'exit status {status} expected\n{result}'
        assert len(result.errors) == 1, f'one error line expected\n{result}'
        assert re.search(pattern, result.errors[0]), f'{pattern!r} expected\n{result}'
        assert len(result.errors[0]) < 2000, f'a shorter error line expected\n{result}'
        assert result.err.isprintable() or all(c.isprintable() or c in '\n\t' for c in result.err), repr(result.err)

    # ---- what is built

    def import_base(self, name='base:1', **options):
        return self.ok('import', self.base, name, **options).out.strip()

    def write(self, name, content='', mode=0o644):
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
        path.chmod(mode)
        if self.user:
            os.chown(path, *self.user)
        os.utime(path, (MTIME, MTIME))
        return path

    def dockerfile(self, *lines):
        return self.write('Dockerfile', '\n'.join(lines) + '\n' if lines else '')

    def build(self, *args, **options):
        """A build that must succeed; its lines of Dockerfile are written before."""
        return self.ok('build', '--progress=plain', *args, self.context, **options)

    def build_fails(self, status, pattern, *args, **options):
        return self.fails(status, pattern, 'build', '--progress=plain', *args, self.context, **options)

    # ---- what is left

    def blob(self, digest):
        return self.root / 'blobs' / 'sha256' / digest.removeprefix('sha256:')

    def index(self):
        return json.loads((self.root / 'index.json').read_text())

    def manifest(self, name):
        """(digest, manifest, config) of a name in the store."""
        found = [desc for desc in self.index()['manifests']
                 if desc.get('annotations', {}).get('org.opencontainers.image.ref.name', '').endswith(name)]
        assert len(found) == 1, f'{name}: {self.index()}'
        manifest = json.loads(self.blob(found[0]['digest']).read_bytes())
        return found[0]['digest'], manifest, json.loads(self.blob(manifest['config']['digest']).read_bytes())

    def names(self):
        if not (self.root / 'index.json').exists():
            return []
        return sorted(desc.get('annotations', {}).get('org.opencontainers.image.ref.name', '')
                      for desc in self.index()['manifests'])

    def verify(self, complete=True):
        """Every blob hashes to its name; what a name needs is there; every layer has its diff ID."""
        blobs = self.root / 'blobs' / 'sha256'
        for path in blobs.iterdir() if blobs.is_dir() else []:
            with path.open('rb') as file:
                assert hashlib.file_digest(file, 'sha256').hexdigest() == path.name, f'{path} has other bytes'
        if not (self.root / 'index.json').exists():
            return
        for desc in self.index()['manifests']:
            self.verify_one(desc, complete)

    def verify_one(self, desc, complete):
        path = self.blob(desc['digest'])
        assert path.stat().st_size == desc['size'], f'{path}: size of its descriptor'
        content = json.loads(path.read_bytes())
        for child in content.get('manifests', []):
            if self.blob(child['digest']).exists():
                self.verify_one(child, complete)
        if 'config' not in content or not complete:
            return
        for part in [content['config'], *content['layers']]:
            assert self.blob(part['digest']).stat().st_size == part['size'], f'{part} of {desc}'

    def leftovers(self):
        """Files of work in progress, and snapshots that no chain names."""
        left = [str(path) for path in (self.root / 'work').iterdir()] if (self.root / 'work').is_dir() else []
        snapshots = self.root / 'snapshots'
        if snapshots.is_dir():
            chain = snapshots / 'chain'
            named = {os.readlink(link).rpartition('/')[2] for link in chain.iterdir()} if chain.is_dir() else set()
            left += [str(path) for path in snapshots.iterdir() if path.name != 'chain' and path.name not in named]
            left += [f'{link} names nothing' for link in (chain.iterdir() if chain.is_dir() else [])
                     if not (chain / os.readlink(link)).is_dir()]
        for path in [self.root, self.root / 'blobs' / 'sha256', self.root / 'cache']:
            left += [str(entry) for entry in (path.iterdir() if path.is_dir() else [])
                     if re.search(r'\.(tmp|part|new)|^\.', entry.name) and entry.name not in ('.lock',)]
        return left

    def mounts(self):
        return [line.split()[4] for line in Path('/proc/self/mountinfo').read_text().splitlines()
                if line.split()[4].startswith(f'{self.root}/')]

    @staticmethod
    def processes():
        """What tests started and is still running; orphans are ours too, as nobody else takes them (see main)."""
        children, commands = {}, {}
        for entry in Path('/proc').iterdir():
            try:
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
                command = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode('utf-8', 'replace')
            except OSError:
                continue        # not a process, or not any more
            if entry.name.isdigit() and fields[0] not in 'ZX':
                children.setdefault(int(fields[1]), []).append(int(entry.name))
                commands[int(entry.name)] = command
        found, ahead = [], [os.getpid()]
        while ahead:
            below = [pid for pid in children.get(ahead.pop(), []) if pid not in HELPERS]
            found += below
            ahead += below
        return [f'{pid} {commands[pid]}' for pid in found]

    def clean(self, seconds=5):
        """Nothing of a build that is over may be left; processes that were killed may take a moment to go."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.processes(), f'still running: {self.processes()}'
        assert not self.mounts(), f'still mounted: {self.mounts()}'
        assert not self.leftovers(), f'left: {self.leftovers()}'
        self.verify()


class Member(tarfile.TarInfo):
    content = None      # bytes of a regular file


def read_layer(path):
    """name -> Member of a gzip, zstd or plain layer."""
    head = path.read_bytes()[:4]
    data = subprocess.run(['zstd', '-dcq', path], stdout=subprocess.PIPE, check=True).stdout \
        if head == b'\x28\xb5\x2f\xfd' else path.read_bytes()
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode='r:*', tarinfo=Member) as archive:
        for info in archive:
            if info.isreg():
                info.content = archive.extractfile(info).read()
            found[info.name] = info
    return found


class Tmpfs:
    """A small file system that gets full; size in bytes."""

    def __init__(self, path, size, owner=None):
        self.path = path
        path.mkdir(exist_ok=True)
        options = f'size={size},mode=755' + (f',uid={owner[0]},gid={owner[1]}' if owner else '')
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path], capture_output=True, check=False)
        if done.returncode:
            raise Skip(f'needs a tmpfs mount: {done.stderr.decode().strip()}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.path], check=True)


def need_root():
    if os.geteuid() != 0:
        raise Skip('needs root')


def need(*programs):
    lacking = [program for program in programs if not shutil.which(program)]
    if lacking:
        raise Skip(f'not installed: {" ".join(lacking)}')


def main(tests, why_not=None):
    """
    Run functions whose first line of documentation is the name of the test; each gets a fresh Bench with base:1
    imported. Prints TAP. Arguments choose tests by name. A function that takes `top` gets the directory alone.
    """
    wanted = sys.argv[1:]
    tests = [test for test in tests if not wanted or test.__name__ in wanted]
    if not os.access(PROGRAM, os.X_OK):
        why_not = f'no program at {PROGRAM}'
    if not os.access(BUSYBOX, os.X_OK):
        why_not = 'not installed: busybox-static'
    if why_not:
        print(f'1..0 # SKIP {why_not}\n{why_not}')
        return 77
    top = Path(tempfile.mkdtemp(prefix='imgbuild-cli.'))
    top.chmod(0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    os.umask(0o022)
    ctypes.CDLL(None).prctl(36, 1)      # PR_SET_CHILD_SUBREAPER: whatever loses its parent becomes our child
    counts = {'ok': 0, 'skip': 0, 'bad': 0}
    print(f'1..{len(tests)}', flush=True)
    try:
        make_base(top / 'base.tar')
        for number, test in enumerate(tests, 1):
            run_one(top, number, test, counts)
    finally:
        clean_up(top)
    return 1 if counts['bad'] else 77 if not counts['ok'] and counts['skip'] else 0


def run_one(top, number, test, counts):
    name, began = test.__name__.replace('_', ' '), time.monotonic()
    try:
        bench = Bench(top, test.__name__[:60], base=top / 'base.tar')
        test(bench)
        print(f'ok {number} - {name}')
        counts['ok'] += 1
    except Skip as reason:
        print(f'ok {number} - {name} # SKIP {reason}')
        counts['skip'] += 1
    except Exception:   # one test that breaks must not hide the others
        print(f'not ok {number} - {name}')
        print('\n'.join(f'# {line}' for line in traceback.format_exc().splitlines()))
        counts['bad'] += 1
    print(f'# {time.monotonic() - began:.1f} s', flush=True)
    for process in Bench.processes():
        os.kill(int(process.split()[0]), signal.SIGKILL)
    clean_up(top / test.__name__[:60])


def clean_up(top):
    mounts = [line.split()[4] for line in Path('/proc/self/mountinfo').read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount == str(top) or mount.startswith(f'{top}/')]):
        subprocess.run(['umount', '-l', mount], check=False, capture_output=True)
    for layout in top.glob('**/oci-layout') if os.geteuid() else ():
        # What belongs to a user's subordinate ids only a program in a user namespace can remove.
        subprocess.run([PROGRAM, 'prune', '--all', '--root', layout.parent], check=False, capture_output=True)
    # rm, not shutil: it goes as deep as a test makes it
    subprocess.run(['chmod', '-R', 'u+rwx', top], check=False, capture_output=True)
    subprocess.run(['rm', '-rf', top], check=False, capture_output=True)
