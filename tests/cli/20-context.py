#!/usr/bin/env python3
"""What a hostile or broken context or archive can't do."""
import gzip
import io
import os
import sys
import tarfile

from lib.bench import Path, main, member, need_root, read_layer

SECRET = 'secret of the host'


def tar(*members, format=tarfile.PAX_FORMAT):
    """Bytes of an archive; each member is (name, content or None, fields)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=format) as archive:
        for name, content, fields in members:
            member(archive, name, content, **fields)
    return out.getvalue()


def last_layer(bench, name):
    return read_layer(bench.blob(bench.manifest(name)[1]['layers'][-1]['digest']))


def copy_stays_in_the_context(bench):
    bench.import_base()
    (bench.dir / 'secret').write_text(SECRET)
    bench.write('secret.txt', 'of the context')
    bench.dockerfile('FROM base:1', 'COPY ../secret /x')
    bench.build_fails(1, r':2: "/secret": not found$')
    bench.write('secret', 'of the context')
    bench.dockerfile('FROM base:1', 'COPY ../../../secret ../../secret.txt /x/')
    bench.build('--tag', 'mine:1')
    layer = last_layer(bench, 'mine:1')
    assert layer['x/secret'].content == layer['x/secret.txt'].content == b'of the context'
    bench.clean()


def links_are_followed_inside_the_context_only(bench):
    bench.import_base()
    outside = bench.dir / 'outside'
    outside.mkdir()
    (outside / 'secret').write_text(SECRET)
    for name, target in (('absolute', outside), ('relative', '../outside'), ('file', outside / 'secret'),
                         ('up', '../../../../../../../../../..' + str(outside)), ('loop', 'loop'), ('proc', '/proc/self/root')):
        os.symlink(target, bench.context / name)
    for source in ('absolute/secret', 'relative/secret', 'file', 'up/secret', 'loop', 'loop/x', f'proc{outside}/secret'):
        bench.dockerfile('FROM base:1', f'COPY {source} /x/')
        bench.build_fails(1, r':2: ')
        bench.dockerfile('FROM base:1', f'ADD {source} /x/')
        bench.build_fails(1, r':2: ')
    bench.dockerfile('FROM base:1', 'COPY up/* r*/s* abs*/* /none/')   # a pattern may match nothing
    bench.build()
    bench.write(str(outside).lstrip('/') + '/secret', 'of the context')
    bench.dockerfile('FROM base:1', 'COPY absolute/secret /a', 'COPY up/secret /u', 'COPY file /f', 'COPY . /all/')
    bench.build('--tag', 'mine:1')
    for digest in bench.manifest('mine:1')[1]['layers'][1:]:
        for name, info in read_layer(bench.blob(digest['digest'])).items():
            assert SECRET.encode() not in (info.content or b''), name
    bench.clean()


def links_in_the_image_do_not_lead_out_of_it(bench):
    bench.import_base()
    target = bench.dir / 'target'
    target.mkdir()
    bench.write('f', 'x')
    bench.write('a.tar', tar(('through/f', b'y', {})))
    bench.dockerfile('FROM base:1', f'RUN ln -s {target} /out && ln -s ../../../../../../..{target} /up', 'COPY f /out/f', 'COPY f /up/g',
                     f'ADD a.tar /out/', 'WORKDIR /out/made', 'RUN echo z > /up/h || true')
    bench.build('--tag', 'mine:1')
    assert not list(target.iterdir()), list(target.iterdir())
    bench.clean()


HOSTILE = {
    'absolute name': ([('/etc/absolute', b'x', {})], None),
    'name with ..': ([('a/../../../../up', b'x', {})], None),
    'link out, then a file through it': ([('out', None, {'type': tarfile.SYMTYPE, 'linkname': '/DIR'}), ('out/escaped', b'x', {})], None),
    'relative link out': ([('out', None, {'type': tarfile.SYMTYPE, 'linkname': '../../../../../..//DIR'}), ('out/escaped', b'x', {})], None),
    'hard link to the host': ([('hard', None, {'type': tarfile.LNKTYPE, 'linkname': '/DIR/host'})], r'hard'),
    'hard link through ..': ([('hard', None, {'type': tarfile.LNKTYPE, 'linkname': '../../../../../../../../DIR/host'})], r'hard'),
    'hard link to a link out': ([('l', None, {'type': tarfile.SYMTYPE, 'linkname': '/DIR/host'}),
                                 ('hard', None, {'type': tarfile.LNKTYPE, 'linkname': 'l'}), ('hard', b'x', {})], None),
    'directory over a link out': ([('out', None, {'type': tarfile.SYMTYPE, 'linkname': '/DIR'}),
                                   ('out', None, {'type': tarfile.DIRTYPE, 'mode': 0o777}), ('out/escaped', b'x', {})], None),
    'whiteout through ..': ([('a/../../.wh.host', b'', {})], None),
    'name of 70 kB': ([('n' * 70_000, b'x', {})], r'name|long|limit|large'),
    'path of 70 kB': ([('/'.join(['d' * 60] * 1150), b'x', {})], r'name|long|limit|large'),
}


def host_is_untouched(bench, target, what):
    assert sorted(path.name for path in target.iterdir()) == ['host'], what
    assert (target / 'host').read_text() == SECRET and (target / 'host').stat().st_nlink == 1, what


def hostile_archives_stay_inside(bench):
    target = bench.dir / 'target'
    target.mkdir()
    (target / 'host').write_text(SECRET)
    bench.import_base()
    for number, (what, (members, pattern)) in enumerate(HOSTILE.items()):
        spelt = [(name, content, {key: value.replace('/DIR', str(target)) if key == 'linkname' else value
                                  for key, value in fields.items()}) for name, content, fields in members]
        file = bench.write('a.tar', tar(*spelt))
        bench.dockerfile('FROM base:1', 'ADD a.tar /', 'RUN true')
        for args in (['import', file, f'hostile:{number}'], ['build', '--progress=plain', bench.context]):
            result = bench.run(*args)
            assert result.status in (0, 1), f'{what}\n{result}'
            assert 'Sanitizer' not in result.err, f'{what}\n{result}'
            if result.status:
                bench.check_failure(result, 1, pattern or '.')
            elif args[0] == 'import':
                # What was taken in has to be harmless when it is used.
                bench.write('use/Dockerfile', f'FROM hostile:{number}\nCOPY a.tar /used\nWORKDIR /out/used\n')
                bench.write('use/a.tar', 'x')
                bench.run('build', bench.context / 'use')
            host_is_untouched(bench, target, what)
        bench.clean()


def broken_archives_are_refused(bench):
    bench.import_base()
    good = Path(bench.base).read_bytes()
    compressed = gzip.compress(good, 1)
    random = os.urandom(100_000)
    flipped = bytearray(compressed)
    flipped[len(flipped) // 2] ^= 0xff
    for what, content in (('cut in a header', good[:700]), ('cut in a file', good[:300_000]), ('cut gzip', compressed[:len(compressed) // 2]),
                          ('gzip without its end', compressed[:-4]), ('changed gzip', bytes(flipped)), ('garbage', random),
                          ('gzip of garbage', gzip.compress(random)), ('text', b'hello world\n' * 100),
                          ('gzip and garbage', compressed + random), ('one byte', b'x'), ('zstd head', b'\x28\xb5\x2f\xfd' + random),
                          ('xz head', b'\xfd7zXZ\0' + random), ('bad checksum', good[:100] + b'9' + good[101:])):
        file = bench.write('a.tar', content)
        for args in (['import', file, 'broken:1'], ['load', '--input', file]):
            result = bench.run(*args)
            assert result.status == 1, f'{what}\n{result}'
            bench.check_failure(result, 1, rf'^{args[0]} .*a\.tar: ')
        assert bench.names() == ['docker.io/library/base:1'], what
        bench.clean()
    for file in ('/nothere', bench.dir):
        bench.fails(1, str(file), 'import', file)
    bench.fails(1, r'/nothere', 'load', '--input', '/nothere')


def an_archive_that_add_cannot_read_is_told_or_copied(bench):
    """ADD unpacks what begins as an archive; what then turns out to be broken is a failure, not half a tree."""
    bench.import_base()
    good = Path(bench.base).read_bytes()
    bench.write('a.tar', good[:300_000])
    bench.dockerfile('FROM base:1', 'ADD a.tar /x/')
    bench.build_fails(1, r':2: .*a\.tar')
    bench.write('a.tar', gzip.compress(good)[:100_000])
    bench.build_fails(1, r':2: .*a\.tar')
    bench.write('a.tar', b'no archive at all')
    bench.build('--tag', 'mine:1')
    assert last_layer(bench, 'mine:1')['x/a.tar'].content == b'no archive at all'
    bench.clean()


def very_deep_trees_are_refused_or_built(bench):
    """100,000 directories inside each other: no crash, no hang, and it can be removed again."""
    depth = 100_000
    name = '/'.join(['d'] * depth)
    bench.import_base()
    file = bench.write('deep.tar', tar((name, None, {'type': tarfile.DIRTYPE})))
    result = bench.run('import', file, 'deep:1')
    if result.status:
        bench.check_failure(result, 1, r'deep\.tar: ')
    # One by one each name is short enough for a while, then none is.
    bench.write('deep.tar', tar(*(('/'.join(['d'] * n), None, {'type': tarfile.DIRTYPE}) for n in range(1, 2000, 7))))
    bench.ok('import', file, 'deep:2')
    bench.dockerfile('FROM deep:2', 'COPY Dockerfile /d/d/d/x')
    bench.build()
    bench.dockerfile('FROM base:1', 'ADD deep.tar /', 'RUN rm -r /d')
    bench.build()
    bench.clean()


def a_deep_context_is_copied(bench):
    """Deeper than a path can be long."""
    bench.import_base()
    here = os.open(bench.context, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir('dd', dir_fd=here)
        below = os.open('dd', os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open('leaf', os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    bench.dockerfile('FROM base:1', 'COPY dd /x/', 'RUN true')
    result = bench.run('build', '--progress=plain', bench.context)
    if result.status:
        bench.check_failure(result, 1, r':2: write layer: .*: name of more than 4095 bytes$')
    bench.clean()


def odd_files_in_the_context_do_no_harm(bench):
    bench.import_base()
    os.mkfifo(bench.context / 'fifo')
    bench.write('name with\nnewline', 'x')
    (bench.context / os.fsdecode(b'bad\xff\xfeutf8')).write_text('y')
    bench.dockerfile('FROM base:1', 'COPY . /x/')
    result = bench.run('build', '--progress=plain', '--tag', 'mine:1', bench.context)
    if result.status:
        bench.check_failure(result, 1, r':2: .*fifo')
        (bench.context / 'fifo').unlink()
        bench.build('--tag', 'mine:1')
    names = set(last_layer(bench, 'mine:1'))
    assert {'x/name with\nnewline', os.fsdecode(b'x/bad\xff\xfeutf8')} <= names, names
    bench.clean()


def devices_in_archives_are_kept_by_root(bench):
    need_root()
    bench.write('dev.tar', tar(('null', None, {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3})))
    bench.ok('import', bench.context / 'dev.tar', 'dev:1')
    bench.import_base()
    bench.dockerfile('FROM base:1', 'ADD dev.tar /x/', 'RUN test -c /x/null && ! echo x > /x/null')
    bench.build('--tag', 'mine:1')
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        copy_stays_in_the_context,
        links_are_followed_inside_the_context_only,
        links_in_the_image_do_not_lead_out_of_it,
        hostile_archives_stay_inside,
        broken_archives_are_refused,
        an_archive_that_add_cannot_read_is_told_or_copied,
        very_deep_trees_are_refused_or_built,
        a_deep_context_is_copied,
        odd_files_in_the_context_do_no_harm,
        devices_in_archives_are_kept_by_root,
    ]))
