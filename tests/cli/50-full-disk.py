#!/usr/bin/env python3
"""Disks that get full: the build fails cleanly, says so, and the next one works once there is room again."""
import os
import sys

from lib.bench import Tmpfs, main, need_root

NO_SPACE = r'No space left on device'
MiB = 1 << 20


def with_small_store(bench, size):
    """The store on a file system of its own that is soon full."""
    need_root()
    bench.root.mkdir()
    disk = Tmpfs(bench.root, size)
    bench.import_base()
    return disk


def fill(bench, leave):
    """A file in the store's file system that leaves so many bytes."""
    path = bench.root / 'ballast'
    left = os.statvfs(bench.root)
    with open(path, 'wb') as file:
        os.posix_fallocate(file.fileno(), 0, max(left.f_bavail * left.f_frsize - leave, 1))
    return path


def run_that_fills_the_disk_fails_cleanly(bench):
    with with_small_store(bench, 24 * MiB):
        bench.dockerfile('FROM base:1', 'RUN dd if=/dev/zero of=/big bs=64k count=2000')
        bench.build_fails(1, r':2: process .* did not complete successfully: exit code: 1', '--tag', 'big:1')
        bench.clean()
        bench.dockerfile('FROM base:1', 'RUN echo small > /x')
        bench.build('--tag', 'small:1')
        bench.clean()


def copy_onto_a_full_disk_fails_cleanly(bench):
    with with_small_store(bench, 24 * MiB):
        bench.write('big', os.urandom(40 * MiB))
        for instruction in ('COPY big /x/', 'ADD big /x/'):
            bench.dockerfile('FROM base:1', instruction)
            bench.build_fails(1, rf':2: .*{NO_SPACE}', '--tag', 'big:1')
            bench.clean()
        bench.write('big', 'small')
        bench.build('--tag', 'small:1')
        bench.clean()
        assert [name.rpartition('/')[2] for name in bench.names()] == ['base:1', 'small:1']


def every_write_may_be_the_one_that_fails(bench):
    """The same small build with more and more room, until it fits."""
    with with_small_store(bench, 40 * MiB):
        bench.write('data', os.urandom(700_000))
        bench.dockerfile('FROM base:1', 'COPY data /data', 'RUN cp /data /copy', 'WORKDIR /w')
        failures, room = 0, 0
        while True:
            bench.ok('prune', '--all')
            ballast = fill(bench, room)
            result = bench.run('build', '--progress=plain', '--tag', 'mine:1', bench.context)
            if result.status == 0:
                break
            bench.check_failure(result, 1, rf'{NO_SPACE}|exit code: 1|disk is full|disk I/O')
            failures += 1
            bench.clean()
            ballast.unlink()
            room += 160_000
        assert failures > 5, f'{failures} failures'
        bench.clean()


def import_and_load_onto_a_full_disk_fail_cleanly(bench):
    bench.import_base()
    bench.ok('save', '--output', bench.dir / 'saved.tar', 'base:1')
    bench.ok('rmi', 'base:1')
    bench.ok('prune', '--all')
    need_root()
    with Tmpfs(bench.root, 900_000):
        for args in (['import', bench.base, 'x:1'], ['load', '--input', bench.dir / 'saved.tar']):
            bench.fails(1, NO_SPACE, *args)
            assert bench.names() == []
            bench.clean()


def an_archive_onto_a_full_disk_leaves_nothing(bench):
    need_root()
    bench.import_base()
    bench.dockerfile('FROM base:1', 'COPY Dockerfile /x')
    out = bench.dir / 'out'
    with Tmpfs(out, 500_000):
        for spec in (f'type=oci,dest={out}/x', f'type=docker,dest={out}/x', f'type=tar,dest={out}/x'):
            bench.build_fails(1, rf"'{out}/x'.*{NO_SPACE}", '--output', spec)
            assert not list(out.iterdir()), f'{spec}: {list(out.iterdir())}'
        bench.fails(1, rf'{NO_SPACE}', 'save', '--output', out / 'x', 'base:1')
        assert not list(out.iterdir())
        for spec in (f'type=oci,tar=false,dest={out}/d', f'type=local,dest={out}/l'):
            bench.build_fails(1, NO_SPACE, '--output', spec)
        bench.fails(1, NO_SPACE, 'save', '--format=oci-dir', '--output', out / 'e', 'base:1')
        for leftover in out.glob('**/*tmp*'):
            assert leftover.name == 'tmp', leftover         # the image has a /tmp
    bench.clean()


def results_that_cannot_be_written_are_failures(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'COPY Dockerfile /x')
    with open('/dev/full', 'wb') as full:
        for args in (['build', '--quiet', bench.context], ['images'], ['history', 'base:1'], ['inspect', 'base:1'], ['df'],
                     ['import', bench.base, 'again:1'], ['save', 'base:1'], ['build', '--output', '-', bench.context],
                     ['--version'], ['--help'], ['build', '--help'], ['tag', '--help'],
                     ['build', '--output', 'type=oci,dest=-', bench.context]):
            bench.fails(1, rf'standard output.*{NO_SPACE}', *args, stdout=full)
    bench.clean()


def closed_standard_files_do_no_harm(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN echo out; echo err >&2; echo x > /x', 'COPY Dockerfile /y')

    def closing(*numbers):
        return lambda: [os.close(number) for number in numbers]

    for numbers in ((0,), (1,), (2,), (0, 1, 2)):
        for args in (['build', '--no-cache', '--progress=plain', bench.context], ['build', '--quiet', bench.context], ['images'],
                     ['save', '--output', bench.dir / 'x.tar', 'base:1']):
            result = bench.run(*args, preexec=closing(*numbers))
            assert result.status in (0, 1), f'{numbers}: {result}'
        bench.clean()
    reader, writer = os.pipe()
    os.close(reader)
    for args in (['build', '--no-cache', '--progress=plain', bench.context], ['images'], ['build', '--output', '-', bench.context]):
        result = bench.run(*args, stdout=writer)
        assert result.status == (0 if '--no-cache' in args else 1), result
        result = bench.run(*args, stderr=writer)
        assert result.status == 0, result
    os.close(writer)
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        run_that_fills_the_disk_fails_cleanly,
        copy_onto_a_full_disk_fails_cleanly,
        every_write_may_be_the_one_that_fails,
        import_and_load_onto_a_full_disk_fail_cleanly,
        an_archive_onto_a_full_disk_leaves_nothing,
        results_that_cannot_be_written_are_failures,
        closed_standard_files_do_no_harm,
    ]))
