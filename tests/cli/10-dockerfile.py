#!/usr/bin/env python3
"""Mistakes in a Dockerfile or on the command line: one clear line, the place, the way out, and nothing changed."""
import sys

from lib.bench import BUSYBOX, Path, main

# name, lines, pattern of the error, number of the line that is shown (None: none), exit status
REFUSED = (
    ('a comment alone', ['# nothing', '# here'], r'Dockerfile:2: file with no instructions$', 2, 2),
    ('no FROM', ['RUN true'], r'Dockerfile:1: no build stage', 1, 2),
    ('ARG alone', ['ARG x=1'], r'Dockerfile:1: .* no stages', 1, 2),
    ('a misspelt instruction', ['FROM base:1', '', 'RUM true'],
     r'Dockerfile:3: unknown instruction: RUM \(did you mean RUN\?\)$', 3, 2),
    ('an instruction like no other', ['FROM base:1', 'FOOBARBAZ x'], r':2: unknown instruction: FOOBARBAZ$', 2, 2),
    ('a misspelt flag', ['FROM base:1', 'COPY --chwon=1 a b'],
     r':2: unknown flag: --chwon \(did you mean --chown\?\)$', 2, 2),
    ('a misspelt flag of RUN', ['FROM base:1', 'RUN --mout=type=cache true'], r'did you mean --mount\?', 2, 2),
    ('an escape sequence', ['FROM base:1', 'R\x1b[31mUN x'], r':2: unknown instruction: ', 2, 2),
    ('a heredoc without end', ['FROM base:1', 'RUN <<EOF', 'true'], r'Dockerfile:2: unterminated heredoc EOF$', 2, 2),
    ('a later stage', ['FROM base:1 AS one', 'COPY --from=two /x /y', 'FROM base:1 AS two', 'COPY --from=one /x /y'],
     r':2: cannot copy from stage "two", it needs to be defined before current stage "one"$', 2, 2),
    ('its own stage', ['FROM base:1 AS one', 'COPY --from=one /x /y'], r':2: circular dependency .* one$', 2, 2),
    ('its own number', ['FROM base:1', 'COPY --from=0 /x /y'], r':2: circular dependency .* stage-0$', 2, 2),
    ('a number without stage', ['FROM base:1', 'COPY --from=7 /x /y'], r':2: invalid stage index 7$', 2, 2),
    ('a misspelt stage', ['FROM base:1 AS one', 'COPY --from=onee /x /y'], r'\(did you mean the stage one\?\)$', 2, 1),
    ('a missing file', ['FROM base:1', 'COPY nothere /x'], r':2: "/nothere": not found', 2, 1),
    ('a bad name', ['FROM BASE:1'], r':1: .*BASE', 1, 2),
    ('an unset variable', ['ARG NONE', 'FROM $NONE'], r':2: ', 2, 2),
    ('a user that is not there', ['FROM base:1', 'USER nobody-here', 'RUN true'], r':3: .*nobody-here', 3, 1),
)


def dockerfiles_that_are_refused_show_the_line(bench):
    bench.import_base()
    for name, lines, pattern, line, status in REFUSED:
        bench.dockerfile(*lines)
        result = bench.build_fails(status, pattern, '--tag', 'never:1')
        marked = f'{line:4d} | >>> '
        assert any(text.startswith(marked) for text in result.err.splitlines()), f'{name}: {marked!r} expected\n{result}'
        assert result.seconds < 30, f'{name}: {result}'
    assert bench.names() == ['docker.io/library/base:1']
    bench.clean()


def what_is_no_dockerfile_is_refused(bench):
    bench.import_base()
    for content, pattern in ((b'', r'Dockerfile:1: the Dockerfile cannot be empty$'),
                             (bytes(range(256)) * 4, r'Dockerfile:1: not a Dockerfile but a binary file'),
                             (Path(BUSYBOX).read_bytes(), r'Dockerfile:1: not a Dockerfile but a binary file')):
        bench.write('Dockerfile', content)
        bench.build_fails(2, pattern)
    bench.clean()


def a_dockerfile_that_cannot_be_read_is_named(bench):
    bench.fails(2, r"there is no Dockerfile in '.*'; name one with --file$", 'build', bench.context)
    bench.fails(2, r"open /nothere/D: No such file or directory$", 'build', '--file', '/nothere/D', bench.context)
    bench.fails(2, r"/context: Is a directory$", 'build', '--file', bench.context, bench.context)
    bench.fails(2, r"'/nothere'", 'build', '/nothere')
    bench.clean()


def an_unknown_target_names_the_nearest_stage(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1 AS release')
    bench.build_fails(2, r'^target stage "relaese" could not be found \(did you mean release\?\)$', '--target', 'relaese')
    bench.build_fails(2, r'^target stage "nothing-like-it" could not be found$', '--target', 'nothing-like-it')
    bench.clean()


def mistakes_on_the_command_line_are_told_before_anything_is_done(bench):
    bench.import_base()
    bench.dockerfile('FROM base:1', 'RUN false')
    for args, pattern in ((['--tagg', 'x'], r'no option --tagg \(did you mean --tag\?\)$'),
                          (['--tag', 'UPPER:1'], r'^--tag: .*UPPER'),
                          (['--compression', 'lzma'], r'^--compression: .*lzma'),
                          (['--network', 'bridge'], r"^--network: 'bridge' is none of"),
                          (['--snapshotter', 'zfs'], r"^--snapshotter: 'zfs' is none of"),
                          (['--progress', 'loud'], r'^--progress: .*loud'),
                          (['--platform', 'a/b/c/d'], r'^--platform: '),
                          (['--output', 'type=ocj,dest=x'], r'ocj.*did you mean oci'),
                          (['--output', 'type=oci'], r'dest is required'),
                          (['--output', 'type=oci,dest=/nothere/x.tar'], r"^--output: .*'/nothere/x.tar': No such file"),
                          (['--output', f'type=oci,dest={bench.dir}'], r'^--output: .* is a directory; name a file$'),
                          (['--iidfile', '/nothere/iid'], r"^--iidfile: .*'/nothere/iid': No such file or directory$"),
                          (['--metadata-file', '/nothere/m'], r"^--metadata-file: .*'/nothere/m': No such file"),
                          (['--push'], r'--push needs a name'),
                          (['--threads', '-1'], r'^--threads'),
                          (['--quiet', '--progress=plain'], r'contradict')):
        bench.fails(2, pattern, 'build', *args, bench.context)
    bench.fails(2, r'^--tag needs a value$', 'build', bench.context, '--tag')
    bench.fails(2, r"there is no command 'imoprt' \(did you mean import\?\)$", 'imoprt')
    bench.fails(2, r'usage: imgbuild build', 'build', 'one', 'two')
    assert bench.names() == ['docker.io/library/base:1']
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        dockerfiles_that_are_refused_show_the_line,
        what_is_no_dockerfile_is_refused,
        a_dockerfile_that_cannot_be_read_is_named,
        an_unknown_target_names_the_nearest_stage,
        mistakes_on_the_command_line_are_told_before_anything_is_done,
    ]))
