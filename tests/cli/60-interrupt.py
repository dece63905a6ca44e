#!/usr/bin/env python3
"""Builds that are interrupted, killed, or run beside each other: the store stays whole, and nothing stays behind."""
import os
import random
import shutil
import signal
import sys
import time

from lib.bench import PROGRAM, Path, main, wait

SEED = 20260101
KILLS, INTERRUPTS = 40, 16
# Sanitizers look at all memory when a process ends.
GRACE_SECONDS = 8 if b'__asan_init' in Path(PROGRAM).read_bytes() else 2


def prepare(bench):
    """A build that has something of everything, of which every run must do all."""
    for number in range(40):
        bench.write(f'files/{number}', os.urandom(20_000))
    bench.dockerfile('FROM base:1 AS one', 'COPY files /files', 'RUN for i in $(seq 60); do mkdir -p /d/$i; echo $i > /d/$i/f; done; '
                     'dd if=/dev/urandom of=/big bs=64k count=16 2>/dev/null', 'RUN sleep 0.05; rm -r /files; echo done > /files',
                     'FROM base:1', 'COPY --from=one /d /d', 'WORKDIR /d', 'RUN ls | wc -l > /n')


def arguments(bench):
    return ['build', '--no-cache', '--progress=plain', '--tag', 'mine:1', '--output', 'type=image', '--output',
            f'type=oci,dest={bench.dir}/out.tar', bench.context]


def how_long(bench):
    began = time.monotonic()
    bench.ok(*arguments(bench))
    return time.monotonic() - began


def outputs(bench):
    return sorted(path.name for path in bench.dir.iterdir() if path.name not in ('root', 'context'))


def an_interrupt_ends_a_build_at_once(bench):
    bench.import_base()
    prepare(bench)
    seconds, pick = how_long(bench), random.Random(SEED)
    (bench.dir / 'out.tar').unlink()
    for _ in range(INTERRUPTS):
        after = pick.uniform(0.02, seconds)
        process = bench.start(*arguments(bench))
        time.sleep(after)
        process.send_signal(pick.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
        began = time.monotonic()
        _, err = wait(process)
        took = time.monotonic() - began
        assert process.returncode in (0, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP), (after, process.returncode, err)
        assert process.returncode in (0, 130) or not err, (after, process.returncode, err)
        assert took < GRACE_SECONDS, f'interrupted after {after:.3f} s, over {took:.1f} s later'
        if process.returncode == 130:
            assert err.decode().splitlines()[-1] == 'imgbuild: interrupted', err
            assert err.decode().count('imgbuild: ') == 1, err
            assert outputs(bench) == [], outputs(bench)
        (bench.dir / 'out.tar').unlink(missing_ok=True)
        bench.clean()
    how_long(bench)
    bench.clean()


def an_interrupt_ends_a_step_that_ignores_it(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN trap "" INT TERM HUP; echo ready; while :; do sleep 1; done')
    process = bench.start('build', '--progress=plain', bench.context)
    seen = b''
    while b' ready' not in seen:
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, seen
        seen += piece
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    wait(process)
    assert time.monotonic() - began < GRACE_SECONDS
    assert process.returncode == 130
    bench.clean()


def an_interrupted_import_leaves_nothing(bench):
    reader, writer = os.pipe()
    process = bench.start('import', '-', 'half:1', stdin=reader)
    os.close(reader)
    with open(bench.base, 'rb') as file:
        os.write(writer, file.read(40_000))
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = wait(process, GRACE_SECONDS + 10)
    os.close(writer)
    assert process.returncode == 130, (process.returncode, err)
    assert not list((bench.root / 'blobs' / 'sha256').iterdir())
    assert bench.names() == []
    bench.clean()


def a_killed_build_harms_nothing(bench):
    bench.import_base()
    prepare(bench)
    seconds, pick = how_long(bench), random.Random(SEED + 1)
    for _ in range(KILLS):
        process = bench.start(*arguments(bench))
        time.sleep(pick.uniform(0, seconds * 1.1))
        process.kill()
        wait(process)
        deadline = time.monotonic() + 10
        while bench.processes():
            assert time.monotonic() < deadline, f'outlive the build: {bench.processes()}'
            time.sleep(0.01)
        assert not bench.mounts(), bench.mounts()
        bench.verify()
    how_long(bench)
    bench.clean()
    assert outputs(bench) == ['out.tar'], outputs(bench)


def a_killed_import_or_load_harms_nothing(bench):
    bench.import_base()
    bench.ok('save', '--output', bench.dir / 'saved.tar', 'base:1')
    pick = random.Random(SEED + 2)
    for _ in range(KILLS // 4):
        for args in (['import', bench.base, 'other:1'], ['load', '--input', bench.dir / 'saved.tar'],
                     ['save', '--format=oci', '--output', bench.dir / 'again.tar', 'base:1']):
            process = bench.start(*args)
            time.sleep(pick.uniform(0, 0.12))
            process.kill()
            wait(process)
            bench.verify()
    bench.import_base('other:1')
    bench.ok('prune')
    bench.clean()


def two_builds_at_once_share_a_store(bench):
    bench.import_base()
    prepare(bench)
    other = bench.dir / 'other'
    shutil.copytree(bench.context, other)
    (other / 'Dockerfile').write_text('FROM base:1\nCOPY files /files\nRUN echo other > /o; sleep 0.1\nCOPY files/1 /1\n')
    for no_cache in ([], ['--no-cache']):
        both = [bench.start('build', *no_cache, '--tag', f'mine:{number}', context)
                for number, context in enumerate((bench.context, bench.context, other, other))]
        for process in both:
            _, err = wait(process)
            assert process.returncode == 0, err.decode()
        bench.clean()
    assert [name.rpartition('/')[2] for name in bench.names()] == ['base:1', 'mine:0', 'mine:1', 'mine:2', 'mine:3']
    same = [bench.manifest(f'mine:{number}')[2]['rootfs'] for number in range(4)]
    assert len(same[2]['diff_ids']) == 4
    bench.ok('prune', '--all')
    bench.build('--tag', 'after:1')
    bench.clean()


def a_prune_during_a_build_waits_or_refuses(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN echo ready; sleep 3; echo x > /x')
    process = bench.start('build', '--progress=plain', '--tag', 'mine:1', bench.context)
    seen = b''
    while b' ready' not in seen:
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, seen
        seen += piece
    bench.fails(1, r'prune again when no build runs$', 'prune', '--all')
    _, err = wait(process)
    assert process.returncode == 0, err
    bench.clean()


def a_lost_or_broken_database_costs_cache_only(bench):
    bench.import_base()
    prepare(bench)
    bench.build('--tag', 'mine:1')
    database = bench.root / 'imgbuild.db'
    assert 'CACHED' in bench.build().err
    junk = os.urandom(8192)
    for damage in (lambda: None, lambda: database.write_bytes(junk), lambda: database.write_bytes(b''),
                   lambda: database.write_bytes(b'SQLite format 3\0' + junk)):
        for path in bench.root.glob('imgbuild.db*'):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        damage()
        bench.build('--tag', 'mine:1')
        bench.clean()
    content = bytearray(database.read_bytes())
    content[1024:] = os.urandom(len(content) - 1024)
    database.write_bytes(bytes(content))
    bench.build('--tag', 'mine:1')
    bench.clean()


def a_slow_reader_of_progress_does_not_lose_a_line(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN seq 200000')
    process = bench.start('build', '--progress=plain', bench.context)
    time.sleep(1)
    _, err = wait(process)
    assert process.returncode == 0 and err.count(b'\n') > 200_000
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        an_interrupt_ends_a_build_at_once,
        an_interrupt_ends_a_step_that_ignores_it,
        an_interrupted_import_leaves_nothing,
        a_killed_build_harms_nothing,
        a_killed_import_or_load_harms_nothing,
        two_builds_at_once_share_a_store,
        a_prune_during_a_build_waits_or_refuses,
        a_lost_or_broken_database_costs_cache_only,
        a_slow_reader_of_progress_does_not_lose_a_line,
    ]))
