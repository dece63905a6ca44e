#!/usr/bin/env python3
"""The step cache: what must hit, what must miss, and what happens when parts of the store are gone."""
import os
import re
import shutil
import signal
import sqlite3
import sys
import time

from lib.bench import MTIME, PROGRAM, main

UUID = 'cat /proc/sys/kernel/random/uuid'      # a step that gives something else each time it runs


def outcome(result):
    """Text of each step but FROM, without its counter -> True if it was cached."""
    names, cached = {}, {}
    for number, text in re.findall(r'^#(\d+) \[[^]]*\] (.*)$', result.err, re.M):
        names[number] = text
    for number, word in re.findall(r'^#(\d+) (CACHED|DONE)', result.err, re.M):
        if number in names and not names[number].startswith('FROM '):
            cached[names[number]] = word == 'CACHED'
    return cached


def last_step(bench, lines, *args):
    bench.dockerfile(*lines)
    return list(outcome(bench.build(*args)).items())[-1][1]


# name, lines before, lines after; the last step of the second build must hit
HITS = (
    ('a label above', ['FROM base:1', 'RUN echo 1'], ['FROM base:1', 'LABEL a=b', 'RUN echo 1']),
    ('an ARG above a COPY', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'ARG A=1', 'COPY f /f']),
    ('ENV and USER above a COPY', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'ENV A=1', 'USER 5', 'COPY f /f']),
    ('an ARG without a value', ['FROM base:1', 'RUN echo 1'], ['FROM base:1', 'ARG NOTHING', 'RUN echo 1']),
    ('shell form as exec form', ['FROM base:1', 'RUN echo 1'], ['FROM base:1', 'RUN ["/bin/sh", "-c", "echo 1"]']),
    ('another way to the same text', ['FROM base:1', 'ENV D=/d', 'COPY f /d'], ['FROM base:1', 'ENV D=/d', 'COPY f $D']),
    ('the same file from another directory', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY sub/f /f']),
    ('a destination below WORKDIR', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'WORKDIR /', 'COPY f f']),
    ('a stage renamed', ['FROM base:1 AS a', 'RUN echo 1', 'FROM base:1', 'COPY --from=a /etc/passwd /p'],
     ['FROM base:1 AS b', 'RUN echo 1', 'FROM base:1', 'COPY --from=b /etc/passwd /p']),
    ('a stage that ran again and gave the same', ['FROM base:1 AS a', 'RUN echo 1', 'FROM base:1', 'COPY --from=a /etc/group /p'],
     ['FROM base:1 AS a', 'RUN echo 2', 'FROM base:1', 'COPY --from=a /etc/group /p']),
    ('a network that is the default', ['FROM base:1', 'RUN echo 1'], ['FROM base:1', 'RUN --network=default echo 1']),
    ('an expansion that gives nothing', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY --chown= f /f']),
)

# the same; it must miss
MISSES = (
    ('one more blank', ['FROM base:1', 'RUN echo 1'], ['FROM base:1', 'RUN echo  1']),
    ('an ARG that is used', ['FROM base:1', 'ARG A=1', 'RUN echo $A'], ['FROM base:1', 'ARG A=2', 'RUN echo $A']),
    ('an ARG that is not used', ['FROM base:1', 'ARG A=1', 'RUN true'], ['FROM base:1', 'ARG A=2', 'RUN true']),
    ('ENV', ['FROM base:1', 'ENV A=1', 'RUN true'], ['FROM base:1', 'ENV A=2', 'RUN true']),
    ('WORKDIR', ['FROM base:1', 'WORKDIR /tmp', 'RUN true'], ['FROM base:1', 'WORKDIR /var', 'RUN true']),
    ('USER', ['FROM base:1', 'RUN true'], ['FROM base:1', 'USER 1000', 'RUN true']),
    ('USER of a WORKDIR', ['FROM base:1', 'WORKDIR /w'], ['FROM base:1', 'USER 1000', 'WORKDIR /w']),
    ('SHELL', ['FROM base:1', 'RUN true'], ['FROM base:1', 'SHELL ["/bin/sh", "-ec"]', 'RUN true']),
    ('no network', ['FROM base:1', 'RUN true'], ['FROM base:1', 'RUN --network=none true']),
    ('an owner', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY --chown=0:0 f /f']),
    ('another owner', ['FROM base:1', 'COPY --chown=1 f /f'], ['FROM base:1', 'COPY --chown=2 f /f']),
    ('a mode', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY --chmod=644 f /f']),
    ('a destination', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY f /g']),
    ('a slash at its end', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'COPY f /f/']),
    ('ADD for COPY', ['FROM base:1', 'COPY f /f'], ['FROM base:1', 'ADD f /f']),
    ('a renamed source', ['FROM base:1', 'COPY f /d/'], ['FROM base:1', 'COPY g /d/']),
    ('a heredoc', ['FROM base:1', 'COPY <<E /f', 'one', 'E'], ['FROM base:1', 'COPY <<E /f', 'two', 'E']),
    ('the name of a heredoc', ['FROM base:1', 'COPY <<E /d/', 'one', 'E'], ['FROM base:1', 'COPY <<F /d/', 'one', 'F']),
    ('a heredoc beside a stage', ['FROM base:1 AS a', 'FROM base:1', 'COPY --from=a /etc/passwd <<E /d/', 'one', 'E'],
     ['FROM base:1 AS a', 'FROM base:1', 'COPY --from=a /etc/passwd <<E /d/', 'two', 'E']),
    ('a script', ['FROM base:1', 'RUN <<E', '#!/bin/sh', 'echo 1', 'E'], ['FROM base:1', 'RUN <<E', '#!/bin/sh', 'echo 2', 'E']),
    ('the base', ['FROM base:1', 'RUN true'], ['FROM base:2', 'RUN true']),
    ('a step above', ['FROM base:1', 'RUN true', 'COPY f /f'], ['FROM base:1', 'RUN :', 'COPY f /f']),
    ('another file of a stage', ['FROM base:1 AS a', 'FROM base:1', 'COPY --from=a /etc/passwd /p'],
     ['FROM base:1 AS a', 'FROM base:1', 'COPY --from=a /etc/group /p']),
)


def inputs(bench):
    bench.import_base()
    bench.write('f', 'f')
    bench.write('sub/f', 'f')
    bench.write('g', 'f')


def second_base(bench):
    bench.dockerfile('FROM base:1', 'COPY g /only-in-2')
    bench.build('--tag', 'base:2')


def what_changes_nothing_hits(bench):
    inputs(bench)
    for name, before, after in HITS:
        last_step(bench, before, '--no-cache')
        assert last_step(bench, after), f'{name}: the last step ran again'
    bench.clean()


def what_changes_the_result_misses(bench):
    inputs(bench)
    second_base(bench)
    for name, before, after in MISSES:
        # a store of its own, or an earlier row would know the step
        shutil.rmtree(bench.root / 'snapshots', ignore_errors=True)
        (bench.root / 'imgbuild.db').unlink()
        last_step(bench, before)
        assert not last_step(bench, after), f'{name}: the last step was taken for known'
    bench.clean()


# name, what happens to the context below d; must COPY d hit?
CHANGES = (
    ('nothing', lambda d: None, True),
    ('another time', lambda d: os.utime(d / 'a', (5, 5)), True),
    ('other content', lambda d: (d / 'a').write_text('B'), False),
    ('other content of the same size and time',
     lambda d: ((d / 'a').write_text('C'), os.utime(d / 'a', (MTIME, MTIME))), False),
    ('another mode', lambda d: (d / 'a').chmod(0o600), False),
    ('another mode of a directory', lambda d: (d / 'in').chmod(0o700), False),
    ('another target of a link', lambda d: ((d / 'l').unlink(), (d / 'l').symlink_to('b')), False),
    ('a link in place of a file', lambda d: ((d / 'c').unlink(), (d / 'c').symlink_to('a')), False),
    ('a new name', lambda d: (d / 'b').rename(d / 'B'), False),
    ('a new empty directory', lambda d: (d / 'empty').mkdir(), False),
    ('an ignored file', lambda d: (d / 'x.log').write_text('x'), True),
    ('a file beside it', lambda d: (d.parent / 'beside').write_text('x'), True),
)


def what_is_in_a_directory_counts_its_times_do_not(bench):
    bench.import_base()
    bench.write('.dockerignore', '**/*.log\n')
    for name in ('d/a', 'd/b', 'd/c', 'd/in/e'):
        bench.write(name, 'A')
    (bench.context / 'd' / 'l').symlink_to('a')
    lines = ['FROM base:1', 'COPY d /d']
    last_step(bench, lines)
    for name, change, hits in CHANGES:
        change(bench.context / 'd')
        assert last_step(bench, lines) == hits, f'{name}: {"hit" if hits else "miss"} expected'
    bench.write('.dockerignore', '**/*.log\nd/in\n')
    assert not last_step(bench, lines), 'a directory that is ignored now'
    (bench.context / 'up').mkdir()
    (bench.context / 'd').rename(bench.context / 'up' / 'd')
    bench.write('.dockerignore', '**/*.log\nup/d/in\n')
    assert last_step(bench, ['FROM base:1', 'COPY up/d /d']), 'a directory that was moved'
    bench.clean()


def values_of_proxies_do_not_count(bench):
    bench.import_base()
    lines = ['FROM base:1', 'RUN echo $http_proxy']
    last_step(bench, lines, '--build-arg', 'http_proxy=http://one')
    assert last_step(bench, lines, '--build-arg', 'HTTP_PROXY=http://two')
    assert last_step(bench, lines)
    bench.clean()


def layers_of_finished_steps_survive_a_step_that_fails(bench):
    """The layer of the first step is still being written when the second one fails."""
    bench.import_base()
    step = 'dd if=/dev/urandom of=/big bs=1M count=40 2>/dev/null'
    bench.dockerfile('FROM base:1', f'RUN {step}', 'RUN false')
    bench.build_fails(1, 'exit code: 1')
    bench.dockerfile('FROM base:1', f'RUN {step}', 'RUN true')
    assert outcome(bench.build()) == {f'RUN {step}': True, 'RUN true': False}
    bench.clean()


def a_stage_that_becomes_the_target_does_not_run_again(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1 AS build', f'RUN {UUID} > /id', 'FROM base:1', 'COPY --from=build /id /other')
    bench.build('--output', bench.dir / 'one')
    result = bench.build('--target', 'build', '--tag', 'build:1', '--output', bench.dir / 'two', '--output', 'type=image')
    assert outcome(result) == {f'RUN {UUID} > /id': True}, str(result)
    assert (bench.dir / 'one' / 'other').read_text() == (bench.dir / 'two' / 'id').read_text()
    bench.clean()


def one_step_of_two_stages_runs_once(bench):
    """Even when the layers of one of them go into the image and those of the other do not."""
    bench.import_base()
    bench.dockerfile('FROM base:1 AS a', f'RUN sleep 0.2; {UUID} > /id', 'FROM base:1 AS b',
                     f'RUN sleep 0.2; {UUID} > /id', 'COPY --from=a /id /of-a')
    for out in ('first', 'second'):
        result = bench.build('--tag', 'x:1', '--output', 'type=image', '--output', bench.dir / out)
        assert (bench.dir / out / 'id').read_text() == (bench.dir / out / 'of-a').read_text()
    assert all(outcome(result).values()), str(result)
    bench.clean()


def layers_of_different_runs_are_not_mixed(bench):
    """A build without cache that fails half way leaves a new first step and an old second one."""
    bench.import_base()
    lines = ['FROM base:1', f'RUN {UUID} > /id', 'RUN cp /id /copy']
    bench.dockerfile(*lines)
    bench.build()
    bench.dockerfile(lines[0], lines[1], 'RUN false')
    bench.build_fails(1, 'exit code: 1', '--no-cache')
    bench.dockerfile(*lines)
    bench.build('--output', bench.dir / 'out')
    assert (bench.dir / 'out' / 'id').read_text() == (bench.dir / 'out' / 'copy').read_text()
    bench.clean()


def a_source_made_again_is_copied_under_its_own_key(bench):
    """Its old layer is gone, so it runs again; what is copied now must not pass for what was copied then."""
    bench.import_base()
    bench.dockerfile('FROM base:1 AS a', f'RUN {UUID} > /id', 'FROM scratch', 'COPY --from=a /id /id')
    bench.build('--tag', 'x:1')
    old = [bench.blob(layer['digest']) for layer in bench.manifest('x:1')[1]['layers']]
    shutil.rmtree(bench.root / 'snapshots')
    for path in old:
        path.unlink()
    bench.build('--tag', 'x:1', '--output', 'type=image', '--output', bench.dir / 'new')
    result = bench.build('--tag', 'x:1', '--output', 'type=image', '--output', bench.dir / 'again')
    assert all(outcome(result).values()), str(result)
    assert (bench.dir / 'new' / 'id').read_text() == (bench.dir / 'again' / 'id').read_text()
    bench.clean()


def cached_builds_give_the_same_image(bench):
    inputs(bench)
    bench.dockerfile('FROM base:1', 'ENV A=1', 'COPY f /f', f'RUN {UUID} > /id', 'WORKDIR /w', 'CMD ["x"]')
    bench.build('--tag', 'x:1')
    first = bench.manifest('x:1')[0]
    time.sleep(0.01)
    bench.build('--tag', 'x:1')
    assert bench.manifest('x:1')[0] == first
    bench.build('--tag', 'x:1', '--no-cache')
    assert bench.manifest('x:1')[0] != first
    bench.clean()


def a_store_with_parts_missing_builds_again(bench):
    inputs(bench)
    bench.dockerfile('FROM base:1 AS a', 'RUN echo 1 > /one', 'FROM base:1', 'COPY f /f', 'COPY --from=a /one /one', 'RUN true')
    bench.build('--tag', 'x:1')
    base = {layer['digest'] for layer in bench.manifest('base:1')[1]['layers']}

    def remove_layers():
        for layer in bench.manifest('x:1')[1]['layers']:
            if layer['digest'] not in base and bench.blob(layer['digest']).exists():
                bench.blob(layer['digest']).unlink()

    def other_boot():
        for path in (bench.root / 'snapshots').glob('*/boot'):
            path.write_text('00000000-0000-0000-0000-000000000000\n')

    def junk(path, offset):
        with path.open('r+b') as file:
            file.seek(offset)
            file.write(os.urandom(40000))

    def checkpoint():
        with sqlite3.connect(bench.root / 'imgbuild.db') as db:
            db.execute('PRAGMA wal_checkpoint(TRUNCATE)')

    for damage in (lambda: shutil.rmtree(bench.root / 'snapshots'),
                   lambda: (bench.root / 'imgbuild.db').unlink(),
                   lambda: shutil.rmtree(bench.root / 'work'),
                   lambda: shutil.rmtree(bench.root / 'cache'),
                   lambda: junk(bench.root / 'imgbuild.db', 0),
                   lambda: (checkpoint(), junk(bench.root / 'imgbuild.db', 4096)),
                   remove_layers,
                   other_boot,
                   lambda: (other_boot(), remove_layers())):
        damage()
        for _ in range(3):      # the second may find the damage that the first has cured
            result = bench.build('--tag', 'x:1')
        assert all(outcome(result).values()), str(result)
        bench.clean()


def builds_at_once_share_a_store(bench):
    inputs(bench)
    bench.dockerfile('FROM base:1 AS a', 'RUN sleep 0.1; echo 1 > /one', 'FROM base:1', 'COPY f /f',
                     'COPY --from=a /one /one', 'RUN cat /one')
    for round_ in range(3):
        builds = [bench.start('build', '--progress=plain', '--tag', f'x:{i}', bench.context) for i in range(3)]
        for build in builds:
            err = build.communicate()[1].decode()
            assert build.returncode == 0 and 'Sanitizer' not in err, err
        if round_ == 0:     # of another boot, for all three at once
            for path in (bench.root / 'snapshots').glob('*/boot'):
                path.write_text('other\n')
        bench.dockerfile('FROM base:1', f'RUN echo {round_}', 'COPY f /g', 'RUN cat /g')
    assert {f'docker.io/library/x:{i}' for i in range(3)} <= set(bench.names())
    bench.verify()


def prune_waits_for_no_build_and_takes_nothing_from_it(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN sleep 1.5; echo 1 > /one', 'RUN cat /one')
    build = bench.start('build', '--progress=plain', '--tag', 'x:1', bench.context)
    while not (bench.root / 'snapshots').is_dir():
        time.sleep(0.02)
    bench.fails(1, 'in use', 'prune', '--all')
    err = build.communicate()[1].decode()
    assert build.returncode == 0, err
    bench.ok('prune', '--all')
    bench.verify()
    assert not [path for path in (bench.root / 'snapshots').iterdir() if path.name != 'chain']
    with sqlite3.connect(bench.root / 'imgbuild.db') as db:
        assert db.execute('SELECT count(*) FROM step').fetchone() == (0,)
        assert db.execute('SELECT count(*) FROM alias').fetchone() == (0,)
    bench.build('--tag', 'x:1')
    bench.clean()


def four_hundred_layers_fit_into_the_usual_limit_of_files(bench):
    bench.dockerfile('FROM scratch', *[line for i in range(400) for line in (f'COPY <<E /f{i}', str(i), 'E')])
    limited = bench.dir / 'limited'
    limited.write_text('#!/bin/sh\nulimit -S -n 1024\nexec "$@"\n')
    limited.chmod(0o755)
    bench.ok(PROGRAM, 'build', '--progress=plain', '--tag', 'x:1', bench.context, program=limited)
    assert len(bench.manifest('x:1')[1]['layers']) == 400
    bench.clean()


def interrupted_builds_leave_nothing(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1 AS a', 'RUN dd if=/dev/zero of=/big bs=1M count=30 2>/dev/null', 'RUN sleep 60', 'FROM base:1',
                     'RUN sleep 60', 'COPY --from=a /big /big')
    for delay in (0.0, 0.1, 0.3, 0.6):
        build = bench.start('build', '--progress=plain', bench.context)
        time.sleep(delay + 0.05)
        build.send_signal(signal.SIGINT)
        err = build.communicate(timeout=60)[1].decode()
        assert build.returncode in (130, -2) and 'Sanitizer' not in err, f'{delay}: {build.returncode}\n{err}'
        if build.returncode == 130:
            bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        what_changes_nothing_hits,
        what_changes_the_result_misses,
        what_is_in_a_directory_counts_its_times_do_not,
        values_of_proxies_do_not_count,
        layers_of_finished_steps_survive_a_step_that_fails,
        a_stage_that_becomes_the_target_does_not_run_again,
        one_step_of_two_stages_runs_once,
        layers_of_different_runs_are_not_mixed,
        a_source_made_again_is_copied_under_its_own_key,
        cached_builds_give_the_same_image,
        a_store_with_parts_missing_builds_again,
        builds_at_once_share_a_store,
        prune_waits_for_no_build_and_takes_nothing_from_it,
        four_hundred_layers_fit_into_the_usual_limit_of_files,
        interrupted_builds_leave_nothing,
    ]))
