#!/usr/bin/env python3
"""The commands on the store: round trips, names, and collection that never takes what a name needs."""
import json
import shutil
import sys

from lib.bench import main


def named(bench):
    return [name.removeprefix('docker.io/library/') for name in bench.names()]


def built(bench):
    """base:1, and two images on it."""
    bench.import_base()
    bench.write('data', 'content of data')
    bench.dockerfile('FROM base:1', 'COPY data /data', 'RUN cp /data /copy', 'ENV A=b', 'LABEL of=test')
    bench.build('--tag', 'mine:1')
    bench.dockerfile('FROM mine:1', 'RUN rm /data; echo second > /second')
    bench.build('--tag', 'mine:2')


def other(bench):
    return ['--root', bench.dir / 'other']


def an_image_saved_and_loaded_is_the_same(bench):
    built(bench)
    digest, manifest, config = bench.manifest('mine:2')
    for form in ('docker', 'oci', 'oci-dir'):
        out = bench.dir / form
        bench.ok('save', '--format', form, '--output', out, 'mine:2', 'base:1')
        assert 'mine:2' in bench.ok('load', *other(bench), '--input', out).out
        root, bench.root = bench.root, bench.dir / 'other'
        again, its_manifest, its_config = bench.manifest('mine:2')
        assert its_config == config, form
        assert form == 'docker' or again == digest, form
        assert len(its_manifest['layers']) == len(manifest['layers'])
        bench.clean()
        shutil.rmtree(bench.root)
        bench.root = root
    archive = bench.run('save', 'mine:1').out
    assert archive
    bench.ok('load', *other(bench), data=bench_bytes(bench, 'save', 'mine:1'))


def bench_bytes(bench, *args):
    out = bench.dir / 'bytes'
    with open(out, 'wb') as file:
        bench.ok(*args, stdout=file)
    return out.read_bytes()


def names_come_and_go(bench):
    built(bench)
    bench.ok('tag', 'mine:1', 'registry.example:5000/team/app:v1')
    bench.ok('tag', bench.manifest('mine:2')[0], 'by-digest')
    bench.ok('tag', bench.manifest('mine:2')[0].removeprefix('sha256:')[:12], 'by-digits:1')
    assert named(bench) == ['base:1', 'by-digest:latest', 'by-digits:1', 'mine:1', 'mine:2', 'registry.example:5000/team/app:v1']
    assert bench.manifest('by-digest:latest')[0] == bench.manifest('mine:2')[0]
    bench.ok('rmi', 'mine:2', 'by-digits:1')
    assert bench.manifest('by-digest:latest')
    bench.ok('tag', 'mine:1', 'by-digest')      # moves
    assert bench.manifest('by-digest:latest')[0] == bench.manifest('mine:1')[0]
    for args, pattern in ((['tag', 'nothere', 'x'], r"there is no image 'nothere'.*imgbuild images"), (['rmi', 'nothere'], r"'nothere'"),
                          (['history', 'nothere'], r"'nothere'"), (['inspect', 'nothere'], r"'nothere'"),
                          (['save', '--output', bench.dir / 'x', 'nothere'], r"'nothere'"), (['push', 'nothere'], r'nothere')):
        bench.fails(1, pattern, *args)
    for args in (['tag', 'mine:1'], ['tag'], ['rmi'], ['history'], ['inspect'], ['save'], ['tag', 'mine:1', 'BAD NAME'],
                 ['tag', 'mine:1', 'x@sha256:' + '0' * 64], ['images', 'x'], ['prune', 'x'], ['import']):
        bench.fails(2, '.', *args)
    bench.clean()


def a_listing_tells_what_is_there(bench):
    built(bench)
    lines = bench.ok('images').out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [['base', '1'], ['mine', '1'], ['mine', '2']], lines
    history = bench.ok('history', 'mine:2').out
    for text in ('COPY data /data', 'RUN /bin/sh -c cp /data /copy', 'ENV A=b', 'LABEL of=test', 'echo second'):
        assert text in history, history
    shown = json.loads(bench.ok('inspect', 'mine:1').out)
    text = json.dumps(shown)
    assert '"A=b"' in text and '"of": "test"' in text and bench.manifest('mine:1')[1]['config']['digest'] in text, text
    assert 'Build cache' in bench.ok('df').out
    assert bench.ok('version').out.startswith('imgbuild ')


def collection_keeps_what_names_need(bench):
    built(bench)
    before = {name: bench.manifest(name)[0] for name in ('base:1', 'mine:1', 'mine:2')}
    for args in ([], ['--all']):
        bench.ok('prune', *args)
        bench.clean()
        assert {name: bench.manifest(name)[0] for name in before} == before
        bench.dockerfile('FROM mine:2', 'RUN cat /second /copy > /third')
        bench.build('--no-cache', '--tag', 'mine:3')
        bench.ok('save', '--output', bench.dir / 'x.tar', 'mine:3', 'mine:1')
        bench.ok('rmi', 'mine:3')
    bench.ok('rmi', 'base:1', 'mine:1')
    bench.ok('prune', '--all')
    assert named(bench) == ['mine:2']
    bench.build('--tag', 'mine:3')
    bench.ok('rmi', 'mine:2', 'mine:3')
    bench.ok('prune', '--all')
    left = list((bench.root / 'blobs' / 'sha256').iterdir())
    assert not left, left
    assert [path.name for path in (bench.root / 'snapshots').iterdir()] in (['chain'], []), 'snapshots are left'
    bench.clean()


def a_cached_build_survives_a_collection(bench):
    built(bench)
    bench.dockerfile('FROM base:1', 'COPY data /data', 'RUN cp /data /copy', 'ENV A=b', 'LABEL of=test')
    bench.ok('prune')
    result = bench.build('--tag', 'mine:4')
    assert result.err.count('CACHED') >= 2, result
    assert bench.manifest('mine:4')[0] == bench.manifest('mine:1')[0]
    bench.clean()


def an_empty_store_is_no_failure(bench):
    for args in (['images'], ['df'], ['prune'], ['prune', '--all']):
        bench.ok(*args)
    bench.clean()


def a_store_that_cannot_be_used_is_told(bench):
    file = bench.write('file', 'x')
    for root in (file, file / 'below', '/proc/nothere', '/dev/null'):
        bench.fails(1, rf'{root}', 'images', '--root', root)
    layout = bench.dir / 'future'
    layout.mkdir()
    (layout / 'oci-layout').write_text('{"imageLayoutVersion": "9.0.0"}')
    bench.fails(1, r'future', 'images', '--root', layout)


def the_store_may_be_named_in_front_of_the_command(bench):
    built(bench)
    for front in (['--root', bench.root], [f'--root={bench.root}']):
        result = bench.ok(*front, 'images')
        assert 'mine' in result.out, result.out
    assert 'mine' not in bench.ok('--root', bench.dir / 'other', 'images').out


if __name__ == '__main__':
    sys.exit(main([
        an_image_saved_and_loaded_is_the_same,
        names_come_and_go,
        a_listing_tells_what_is_there,
        collection_keeps_what_names_need,
        a_cached_build_survives_a_collection,
        an_empty_store_is_no_failure,
        a_store_that_cannot_be_used_is_told,
        the_store_may_be_named_in_front_of_the_command,
    ]))
