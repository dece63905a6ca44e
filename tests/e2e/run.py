#!/usr/bin/env python3
"""Build every case with imgbuild and with a real peer, and compare what came out, file by file, field by field.

    run.py [--subject imgbuild|buildkit|buildah] [--show] [--keep] [--jobs N] [CASE...]

A case is a directory below cases/: a Dockerfile and the files of its context, and for the harness alone
    args        further flags, as a shell would split them; $CONTEXT is the copied context, $REGISTRY and $HTTP
                HOST:PORT of the registry, which has base/busybox:1, and of a web server with the case's http/
    setup.sh    run in a copy of the context: makes what git does not keep, links, modes, fifos, archives
    peer        buildkit (the default), buildah, or none; then there is
    expect      what is expected (lib/expect.py), with or without a peer
    fails       the build must fail, with the peer too; each line is a regular expression found in what imgbuild says
    refused     imgbuild does not build this yet and must say so in these words; the rest waits until it does
Files of a context have mode 644 or 755, and an mtime of 2001 unless setup.sh chose another.

imgbuild is $IMGBUILD (default: build/builder/imgbuild). The harness looks at itself with another subject: buildkit is
compared with itself, which must agree; with buildah one sees where builders differ. Output is TAP; exit status 77 means that nothing could be
run here, and the last line says why.
"""
import argparse
import concurrent.futures
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from lib import bases, compare, expect, layout, peers

HERE = Path(__file__).resolve().parent
HARNESS_FILES = {'args', 'setup.sh', 'peer', 'expect', 'fails', 'refused', 'http'}


class Base:
    """What an image has below the layers and history of the build."""

    def __init__(self, config):
        self.diff_ids = config['rootfs']['diff_ids']
        self.history = len(config.get('history') or [])

    def under(self, image):
        return (image.config['rootfs']['diff_ids'] or [])[:len(self.diff_ids)] == self.diff_ids


class Tool:
    """A builder together with the base images as it sees them."""

    def __init__(self, builder, top):
        self.builder, self.top, self.bases = builder, top, []

    def exported(self, tag, read):
        target = Path(tempfile.mkdtemp(dir=self.top / 'layouts')) / 'image'
        try:
            self.builder.export(tag, target)
            return read(target)
        finally:
            shutil.rmtree(target.parent)

    def learn_base(self, name):
        context = Path(tempfile.mkdtemp(dir=self.top / 'contexts'))
        (context / 'Dockerfile').write_text(f'FROM {name}\n')
        tag = f'e2e/base:{len(self.bases)}'
        self.builder.build(context, [], tag)
        self.bases.append(Base(self.exported(tag, layout.read_config)[1]))

    def base_of(self, image):
        """(layers, history entries) that are not the build's own."""
        base = next((base for base in self.bases if base.under(image)), None)
        return (len(base.diff_ids), base.history) if base else (0, 0)


class Bench:
    """Everything that cases need, in one temporary directory."""

    def __init__(self, top, subject, program, stack):
        self.top, self.stack = top, stack
        for name in ('layouts', 'contexts'):
            (top / name).mkdir()
        self.docker = self.started(peers.Docker(top))
        self.registry = self.started(peers.Registry(top))
        self.buildah = peers.Buildah(top)
        self.imgbuild = peers.Imgbuild(top, program) if subject == 'imgbuild' else None
        self.tools = {'buildkit': Tool(self.docker, top), 'buildah': Tool(self.buildah, top)}
        if self.imgbuild:
            self.tools['imgbuild'] = Tool(self.imgbuild, top)
        self.subject = self.tools[subject]
        self.import_busybox()
        self.import_debian()

    def started(self, peer):
        self.stack.callback(peer.stop)
        return peer

    def import_base(self, tar, name):
        self.docker.import_base(tar, name)
        if self.imgbuild:
            self.imgbuild.import_base(tar, name)

    def import_busybox(self):
        tar, image = self.top / 'busybox.tar', self.top / 'busybox'
        bases.make_busybox(tar)
        self.import_base(tar, 'busybox:test')
        self.docker.export('busybox:test', image)
        self.buildah.import_image(image, 'busybox:test')
        self.registry.push(image, 'base/busybox:1')
        for tool in self.tools.values():
            tool.learn_base('busybox:test')
        self.subject.learn_base(f'{self.registry.host}/base/busybox:1')     # the same tree, but not the same layer

    def import_debian(self):
        """Only as a stage to copy from: exporting it takes too long to do it for every tool."""
        bases.make_debian(self.top / 'debian.tar', self.top)
        self.import_base(self.top / 'debian.tar', 'debian:test')
        (self.top / 'debian.tar').unlink()


class Case:
    def __init__(self, directory, bench):
        self.directory, self.bench, self.name = directory, bench, directory.name
        self.context = bench.top / 'contexts' / self.name
        self.peer = self.text('peer', 'buildkit').strip()
        self.stops, self.notes = [], []

    def text(self, name, default=''):
        path = self.directory / name
        return path.read_text() if path.is_file() else default

    def prepare(self):
        """The context as every machine sees it, whatever git or the umask made of it."""
        shutil.copytree(self.directory, self.context, symlinks=True,
                        ignore=lambda where, names: HARNESS_FILES & set(names) if where == str(self.directory) else ())
        for path in [self.context, *self.context.rglob('*')]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) and path.stat().st_mode & 0o111 else 0o644)
        if (self.directory / 'setup.sh').is_file():
            env = dict(os.environ, LC_ALL='C.UTF-8', TZ='UTC')
            peers.run(['sh', '-euc', 'umask 022; . "$0"', self.directory / 'setup.sh'], cwd=self.context, env=env)
        recent = time.time() - 3600
        for path in [self.context, *self.context.rglob('*')]:
            if path.lstat().st_mtime > recent:
                os.utime(path, (bases.MTIME, bases.MTIME), follow_symlinks=False)

    def args(self):
        text = self.text('args')
        if '$HTTP' in text:
            files = peers.Files(self.directory / 'http')
            self.stops.append(files)
            text = text.replace('$HTTP', files.host)
        text = text.replace('$REGISTRY', self.bench.registry.host).replace('$CONTEXT', str(self.context))
        return shlex.split(text)

    def build(self, tool, args):
        tag = f'e2e/{self.name}:1'
        tool.builder.build(self.context, args, tag)
        return tool.exported(tag, layout.read_image)

    def run(self):
        """What is wrong; nothing means the case holds."""
        self.prepare()
        try:
            args, began = self.args(), int(time.time())
            if self.text('refused') and self.bench.imgbuild:
                return self.run_failing(args, 'refused', [])
            if self.text('fails'):
                return self.run_failing(args, 'fails', [self.bench.tools[self.peer]] if self.peer != 'none' else [])
            if self.peer == 'none':
                return self.expectations(self.build(self.bench.subject, args))
            return self.run_compared(args, began)
        finally:
            for peer in self.stops:
                peer.stop()
            shutil.rmtree(self.context, ignore_errors=True)

    def run_failing(self, args, file, others):
        problems = []
        for tool in [self.bench.subject, *others]:
            name = type(tool.builder).__name__
            try:
                tool.builder.build(self.context, args, f'e2e/{self.name}:1')
                problems.append(f'{name} did not fail, as the file {file} expects')
            except peers.Failure as failure:
                wanted = self.text(file).splitlines() if tool.builder is self.bench.imgbuild else []
                problems += [f'{name} does not say {pattern!r}: {failure}' for pattern in wanted
                             if not re.search(pattern, str(failure))]
        return problems

    def run_compared(self, args, began):
        peer = self.bench.tools[self.peer]
        if peer is self.bench.subject:
            return list(self.compare(self.build(peer, args), self.build(peer, args), peer, began))
        with concurrent.futures.ThreadPoolExecutor(1) as other:
            future = other.submit(self.build, peer, args)
            mine = self.build(self.bench.subject, args)
            theirs = future.result()
        return [*self.compare(mine, theirs, peer, began), *self.expectations(mine)]

    def compare(self, mine, theirs, peer, began):
        a, b = self.bench.subject.base_of(mine), peer.base_of(theirs)
        if self.bench.show:
            self.notes += [*layout.described('here', mine, a), *layout.described('peer', theirs, b)]
        if self.bench.imgbuild:
            yield from compare.own_problems(mine, a[0])
        yield from compare.tree_differences(layout.trees(mine)[-1], layout.trees(theirs)[-1], began)
        yield from compare.config_differences(mine, theirs)
        if peers.Buildah not in (type(peer.builder), type(self.bench.subject.builder)):
            yield from compare.layer_differences(mine, theirs, (a[0], b[0]), began)
            yield from compare.history_differences(mine, theirs, (a[1], b[1]))

    def expectations(self, image):
        layers, history = self.bench.subject.base_of(image)
        return list(expect.differences(self.text('expect'), image, layers, history))


class PushCase(Case):
    """The way through a registry: what imgbuild pushed is what the peer would have."""

    def build(self, tool, args):
        if tool.builder is not self.bench.imgbuild:
            return super().build(tool, args)
        reference = f'{self.bench.registry.host}/e2e/{self.name}:1'
        tool.builder.push(self.context, args, reference)
        target = self.bench.top / 'layouts' / 'pushed'
        self.bench.registry.pull(f'e2e/{self.name}:1', target)
        return layout.read_image(target)


def run_case(case):
    try:
        return list(case.run())
    except peers.Failure as failure:
        return [str(failure)]
    except Exception:       # one case that breaks the harness must not hide the others
        return [traceback.format_exc()]


def report(number, case, problems):
    print(f'{"not ok" if problems else "ok"} {number} - {case.name}')
    for note in case.notes:
        print(f'# {note}')
    for problem in problems[:40]:
        print('\n'.join(f'# {line}' for line in problem.splitlines()))
    if len(problems) > 40:
        print(f'# and {len(problems) - 40} more')
    sys.stdout.flush()


def run_cases(bench, names, jobs):
    directories = sorted(path for path in (HERE / 'cases').iterdir() if (path / 'Dockerfile').is_file())
    unknown = set(names) - {path.name for path in directories}
    if unknown:
        sys.exit(f'no such case: {", ".join(sorted(unknown))}')
    cases = [(PushCase if path.name.startswith('push-') else Case)(path, bench) for path in directories
             if not names or path.name in names]
    if not bench.imgbuild:
        cases = [case for case in cases if case.peer == 'buildkit' and type(case) is Case]
    print(f'1..{len(cases)}', flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_case, case): case for case in cases}
        for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
            report(number, futures[future], future.result())
            failed += bool(future.result())
    return failed


def clean_up(top):
    """Mounts of daemons that did not end well, then the files."""
    mounts = [line.split()[1] for line in Path('/proc/self/mounts').read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f'{top}/')]):
        subprocess.run(['umount', '-l', mount], check=False, capture_output=True)
    shutil.rmtree(top, ignore_errors=True)


def why_not(subject, program):
    """The reason for which nothing can be run here, or None."""
    if os.geteuid() != 0:
        return 'needs root'
    if peers.missing():
        return f'not installed: {" ".join(peers.missing())}'
    if subject == 'imgbuild' and not os.access(program, os.X_OK):
        return f'no program at {program}'
    return None


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split('\n')[2].strip())
    parser.add_argument('--subject', choices=('imgbuild', 'buildkit', 'buildah'), default='imgbuild')
    parser.add_argument('--show', action='store_true', help="print what the subject and the peer made, too")
    parser.add_argument('--keep', action='store_true', help='leave the temporary directory')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('cases', nargs='*')
    args = parser.parse_args()
    program = os.path.abspath(os.environ.get('IMGBUILD', HERE.parent.parent / 'build/builder/imgbuild'))
    reason = why_not(args.subject, program)
    if reason:
        print(f'1..0 # SKIP {reason}\n{reason}')
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    with contextlib.ExitStack() as stack:
        top = Path(tempfile.mkdtemp(prefix='imgbuild-e2e.'))
        if not args.keep:
            stack.callback(clean_up, top)
        bench = Bench(top, args.subject, program, stack)
        bench.show = args.show
        return 1 if run_cases(bench, args.cases, args.jobs) else 0


if __name__ == '__main__':
    sys.exit(main())
