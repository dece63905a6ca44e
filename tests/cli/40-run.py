#!/usr/bin/env python3
"""RUN steps that fail, are killed, or leave something running."""
import os
import signal
import sys
import time

from lib.bench import Path, main, wait


def a_failing_step_shows_its_line_and_the_last_of_its_output(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', '', 'RUN echo first; \\', '    for i in $(seq 100); do echo line $i; done; \\', '    exit 3')
    result = bench.fails(1, r'Dockerfile:3: process "/bin/sh -c .*" did not complete successfully: exit code: 3$',
                         'build', '--quiet', bench.context)
    for number in (3, 4, 5):
        assert f'\n{number:4d} | >>> ' in result.err, str(result)
    for progress in ('quiet', 'plain'):
        result = bench.fails(1, r'exit code: 3$', 'build', '--progress', progress, bench.context)
        for number in range(52, 101):
            assert result.err.count(f'line {number}\n') == 1, f'{progress}: line {number} once\n{result}'
    assert result.err.count('first') >= 1
    bench.clean()


def a_program_that_is_not_there_is_named(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN ["/nothere", "x"]')
    bench.build_fails(1, r':2: exec /nothere: No such file or directory$')
    bench.write('script', '#!/nothere/sh\n', 0o755)
    bench.dockerfile('FROM base:1', 'COPY script /script', 'RUN ["/script"]')
    bench.build_fails(1, r':3: exec /script: No such file or directory')
    bench.dockerfile('FROM base:1', 'COPY Dockerfile /text', 'RUN ["/text"]')
    bench.build_fails(1, r':3: exec /text: Permission denied')
    bench.dockerfile('FROM scratch', 'RUN true')
    bench.build_fails(1, r':2: exec /bin/sh: No such file or directory')
    bench.clean()


def victims(bench, word):
    return [int(line.split()[0]) for line in bench.processes() if word in line.split()[1:]]


def await_victims(bench, word, seconds=60):
    deadline = time.monotonic() + seconds
    while not victims(bench, word):
        assert time.monotonic() < deadline, f'{word} does not run: {bench.processes()}'
        time.sleep(0.02)
    return victims(bench, word)


def a_step_killed_by_a_signal_fails_the_build(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN ["sleep", "98765"]')
    process = bench.start('build', '--progress=plain', bench.context)
    for pid in await_victims(bench, '98765'):
        os.kill(pid, signal.SIGKILL)
    _, err = wait(process)
    assert process.returncode == 1, err
    assert b'killed by signal 9 (KILL)' in err.splitlines()[-1], err
    bench.dockerfile('FROM base:1', "RUN (sh -c 'kill -SEGV $$'); exit $?")
    bench.build_fails(1, r'exit code: 139$')
    bench.clean()


def what_a_step_leaves_running_is_gone_after_it(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN setsid sleep 87654 >/dev/null 2>&1 & (sleep 87653 &) ; setsid sh -c "setsid sleep 87652 &" ; echo up',
                     'RUN test -z "$(ls /proc | while read p; do test -r /proc/$p/cmdline && cat /proc/$p/cmdline; done | cat -v | '
                     'while read l; do case $l in *8765[234]*) echo $l;; esac; done)"')
    result = bench.build()
    assert result.seconds < 60, str(result)
    assert not victims(bench, '87654') + victims(bench, '87653') + victims(bench, '87652')
    bench.clean()


def a_step_without_end_of_output_is_not_waited_for(bench):
    """A daemon that keeps standard output open must not keep the build."""
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN setsid sleep 87651 & echo up')
    assert bench.build(seconds=60).seconds < 50
    bench.clean()


def much_output_and_odd_output_arrive_safely(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', r'RUN printf "\033[31mred\033[0m\007\n\377\376 bytes\n"; yes 0123456789 | head -n 380000; echo end',
                     r'RUN dd if=/dev/zero bs=1M count=3 2>/dev/null')
    result = bench.build()
    assert '\x1b' not in result.err and '\x07' not in result.err
    assert result.err.count('0123456789\n') == 380_000 and ' end\n' in result.err
    bench.clean()


def a_step_reads_nothing_from_the_terminal_of_the_build(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN test "$(wc -c)" = 0')
    bench.build(data=b'secret on stdin\n')
    bench.clean()


def a_step_does_not_see_the_host(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN test ! -e /work && test ! -e /usr && test $(ls /proc/self/fd | wc -l) -le 4 && env && '
                     'test -z "$IMGBUILD_TEST$IMGBUILD_ROOT" && ! echo x > /proc/sysrq-trigger && '
                     '! mknod /tmp/null c 1 3 || ! echo x 2>/dev/null > /tmp/null || true')
    bench.build(env={'IMGBUILD_SECRET_OF_THE_HOST': '1'})
    assert not Path('/tmp/null').exists()
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        a_failing_step_shows_its_line_and_the_last_of_its_output,
        a_program_that_is_not_there_is_named,
        a_step_killed_by_a_signal_fails_the_build,
        what_a_step_leaves_running_is_gone_after_it,
        a_step_without_end_of_output_is_not_waited_for,
        much_output_and_odd_output_arrive_safely,
        a_step_reads_nothing_from_the_terminal_of_the_build,
        a_step_does_not_see_the_host,
    ]))
