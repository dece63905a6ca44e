#!/usr/bin/env python3
"""Build and push side by side: imgbuild, BuildKit (in a dockerd of our own) and buildah, in turn, in one run.

A Python installation of some 46,000 files and 700 MB is copied, changed by a RUN, and pushed to a docker-registry on
the loopback interface: cold, again unchanged, and with one small file changed. Wall time, processor time and peak
resident memory of each. For BuildKit the daemon's processes count, for the others the command itself.

usage: build.py [--tree DIR] [--rounds N] [--only NAME,...] [--json FILE]
TMPDIR chooses the file system. On an ext4 without a journal, recently deleted files slow down all that make new ones:
with more than one round take another one.

Run as root on a machine with nothing else to do; IMGBUILD names the (release) binary.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'e2e'))
from lib import peers  # noqa: E402

PACKAGES = ['numpy', 'scipy', 'pandas', 'scikit-learn', 'matplotlib', 'sympy', 'jupyterlab', 'botocore', 'scikit-image',
            'nltk', 'django', 'ansible-core']

DOCKERFILE = '''FROM {base}
COPY tree /opt/python
RUN rm -rf /opt/python/share && touch /opt/python/changed
COPY small.txt /etc/small.txt
CMD ["/opt/python/bin/python3"]
'''
SMALL = 'FROM {base}\nWORKDIR /app\nCOPY . .\nRUN true\nCMD ["true"]\n'
EMPTY_RUNS = 'FROM {base}\n' + ''.join(f'RUN : {i}\n' for i in range(20))


def make_tree(top):
    tree = top / 'tree'
    subprocess.run([sys.executable, '-m', 'venv', '--copies', tree], check=True)
    subprocess.run([tree / 'bin/pip', 'install', '-q', '--no-cache-dir', *PACKAGES], check=True)
    return tree


def size_of(tree):
    files = size = 0
    for directory, _, names in os.walk(tree):
        for name in names:
            st = os.lstat(os.path.join(directory, name))
            files += 1
            size += st.st_size
    return files, size


def clock_ticks(pid):
    """User and system time of a process and of its children that have ended, in seconds."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')


def peak(pid):
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmHWM'):
            return int(line.split()[1]) // 1024
    return 0


def descendants(pid):
    found = [pid]
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / 'stat').read_text().rpartition(')')[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == pid:
                found += descendants(int(entry.name))
    return found


class Timed:
    """Wall time, processor time and peak memory of commands."""

    def __init__(self):
        self.wall = self.cpu = 0.0
        self.mem = 0

    def run(self, argv, env):
        """Peak memory: of the largest process among the command and its children."""
        start = time.monotonic()
        pid = os.posix_spawnp(str(argv[0]), [str(a) for a in argv], env, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, '/tmp/imgbuild-bench.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2)])
        _, status, usage = os.wait4(pid, 0)
        self.wall += time.monotonic() - start
        self.cpu += usage.ru_utime + usage.ru_stime
        self.mem = max(self.mem, usage.ru_maxrss // 1024)
        if status:
            sys.exit(f'{argv}: status {status}\n' + Path('/tmp/imgbuild-bench.log').read_text()[-4000:])


class Ours:
    name = 'imgbuild'

    def __init__(self, top, registry, base_tar):
        self.program = os.environ.get('IMGBUILD', 'build/builder/imgbuild')
        self.top = top / 'ours'
        self.registry, self.base_tar = registry, base_tar
        self.env = dict(os.environ, IMGBUILD_ROOT=str(self.top))

    def cold(self):
        shutil.rmtree(self.top, ignore_errors=True)
        subprocess.run([self.program, 'import', self.base_tar, 'bench/base:1'], env=self.env, check=True,
                       stdout=subprocess.DEVNULL)

    def build(self, context, name, push):
        timed = Timed()
        tag = f'{self.registry}/{name}' if push else name
        timed.run([self.program, 'build', '--progress', 'plain', '--tag', tag, *(['--push'] if push else []), context],
                  self.env)
        return timed


class BuildKit:
    name = 'BuildKit'

    def __init__(self, top, registry, base_tar):
        self.docker = peers.Docker(top)
        self.registry = registry
        self.docker.import_base(base_tar, 'bench/base:1')
        self.env = self.docker.env

    def cold(self):
        images = subprocess.run([peers.DOCKER, 'images', '-q', f'{self.registry}/*'], env=self.env, check=True,
                                capture_output=True, text=True).stdout.split()
        for image in set(images):
            subprocess.run([peers.DOCKER, 'rmi', '-f', image], env=self.env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([peers.DOCKER, 'builder', 'prune', '-af'], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def build(self, context, name, push):
        daemons = descendants(self.docker.daemon.process.pid)
        before = sum(map(clock_ticks, daemons))
        for pid in daemons:
            Path(f'/proc/{pid}/clear_refs').write_text('5')     # the peak begins anew
        timed = Timed()
        tag = f'{self.registry}/{name}' if push else name
        timed.run([peers.DOCKER, 'build', '--network', 'host', '-t', tag, context], self.env)
        if push:
            timed.run([peers.DOCKER, 'push', '-q', tag], self.env)
        timed.cpu += sum(map(clock_ticks, daemons)) - before
        timed.mem += sum(map(peak, daemons))
        return timed


class Buildah:
    name = 'buildah'

    def __init__(self, top, registry, base_tar):
        self.peer = peers.Buildah(top)
        self.registry, self.base_tar = registry, base_tar
        self.top = top
        self.policy = ['--signature-policy', self.peer.dir / 'policy.json']

    def cold(self):
        subprocess.run([*self.peer.argv, 'rmi', '-af'], env=self.peer.env, check=False, capture_output=True)
        container = subprocess.run([*self.peer.argv, 'from', 'scratch'], env=self.peer.env, check=True,
                                   capture_output=True, text=True).stdout.strip()
        for step in (['add', '-q', container, self.base_tar, '/'],
                     ['commit', '-q', *self.policy, container, 'docker.io/bench/base:1'], ['rm', container]):
            subprocess.run([*self.peer.argv, *step], env=self.peer.env, check=True, stdout=subprocess.DEVNULL)

    def build(self, context, name, push):
        timed = Timed()
        tag = f'{self.registry}/{name}' if push else name
        timed.run([*self.peer.argv, 'build', *self.policy, '--network', 'host', '--pull-never', '--layers', '-t', tag,
                   context], self.peer.env)
        if push:
            timed.run([*self.peer.argv, 'push', '-q', *self.policy, '--tls-verify=false', tag], self.peer.env)
        return timed


def make_context(top, name, dockerfile, tree=None):
    context = top / name
    context.mkdir()
    (context / 'Dockerfile').write_text(dockerfile.format(base='bench/base:1'))
    (context / 'small.txt').write_text('one\n')
    for i in range(8):
        (context / f'file-{i}').write_text(f'{i}\n' * 100)
    if tree:
        subprocess.run(['cp', '-a', '--reflink=auto', tree, context / 'tree'], check=True)
    return context


def measure(tool, big, small, runs, rounds):
    """name of the work -> list of Timed"""
    results = {}

    def note(work, timed):
        results.setdefault(work, []).append(timed)
        print(f'{tool.name:10} {work:32} {timed.wall:8.3f} s {timed.cpu:8.2f} s cpu {timed.mem:6} MiB', flush=True)

    for i in range(rounds):
        tool.cold()
        name = f'bench/{tool.name.lower()}-{time.time_ns()}:1'
        note('cold build + push', tool.build(big, name, True))
        note('unchanged', tool.build(big, name, True))
        (big / 'small.txt').write_text(f'{tool.name} {i} {time.time_ns()}\n')
        note('one small file changed + push', tool.build(big, name, True))
        tool.build(small, 'bench/small:1', False)
        note('unchanged, 10 files, no push', tool.build(small, 'bench/small:1', False))
        note('20 empty RUN steps', tool.build(runs, 'bench/runs:1', False))
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--tree')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--only', default='imgbuild,BuildKit,buildah')
    parser.add_argument('--json')
    args = parser.parse_args()
    top = Path(tempfile.mkdtemp(prefix='imgbuild-bench-'))
    registry = peers.Registry(top)
    table = {}
    try:
        tree = Path(args.tree) if args.tree else make_tree(top)
        print('tree: %d files, %.0f MB' % (size_of(tree)[0], size_of(tree)[1] / 1e6), flush=True)
        base = top / 'base.tar'
        subprocess.run(['mmdebstrap', '--variant=minbase', '--mode=root', 'bookworm', base], check=True,
                       stderr=subprocess.DEVNULL)
        contexts = (make_context(top, 'big', DOCKERFILE, tree), make_context(top, 'small', SMALL),
                    make_context(top, 'runs', EMPTY_RUNS))
        for kind in (Ours, BuildKit, Buildah):
            if kind.name not in args.only.split(','):
                continue
            tool = kind(top, registry.host, base)
            # one builder is slow enough that a second round only costs time
            table[kind.name] = measure(tool, *contexts, 1 if kind is Buildah else args.rounds)
            if kind is BuildKit:
                tool.docker.stop()
    finally:
        registry.stop()
        shutil.rmtree(top, ignore_errors=True)
    report(table, args.json)


def report(table, path):
    works = list(dict.fromkeys(work for results in table.values() for work in results))
    print('\nmedians: wall seconds (processor seconds, peak MiB)')
    print('%-32s' % '' + ''.join('%26s' % name for name in table))
    for work in works:
        cells = []
        for results in table.values():
            runs = results[work]
            cells.append('%8.3f (%6.2f, %5d)' % (statistics.median(t.wall for t in runs),
                                                  statistics.median(t.cpu for t in runs), max(t.mem for t in runs)))
        print('%-32s' % work + ''.join('%26s' % cell for cell in cells))
    if path:
        Path(path).write_text(json.dumps({n: {w: [vars(t) for t in ts] for w, ts in r.items()}
                                          for n, r in table.items()}))


main()
