#!/usr/bin/env python3
"""What --output writes, read by others: skopeo, umoci, buildah, podman, a Docker engine, a registry."""
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from lib.bench import HELPERS, Skip, main, need, need_root, read_layer


def of_e2e(name):
    """A module of tests/e2e/lib, which is another package of the same name."""
    path = Path(__file__).resolve().parents[1] / 'e2e' / 'lib' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'e2e_{name}', path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layout, peers = of_e2e('layout'), of_e2e('peers')


def prepare(bench):
    bench.import_base()
    bench.write('data', 'content of data')
    bench.dockerfile('FROM base:1', 'COPY --chown=1000:1001 data /data', 'RUN ln /data /hard; ln -s data /soft; rm -r /var; chmod 4755 /bin/busybox',
                     'ENV A=b', 'CMD ["/bin/cat", "/data"]')


def outputs(bench):
    """One build with every kind of output."""
    prepare(bench)
    out = bench.dir / 'out'
    out.mkdir()
    bench.build('--tag', 'mine:1', '--output', 'type=image', '--output', f'type=oci,dest={out}/oci.tar', '--output',
                f'type=oci,tar=false,dest={out}/oci', '--output', f'type=docker,dest={out}/docker.tar', '--output',
                f'type=tar,dest={out}/files.tar', '--output', f'type=local,dest={out}/files')
    bench.clean()
    assert sorted(path.name for path in out.iterdir()) == ['docker.tar', 'files', 'files.tar', 'oci', 'oci.tar']
    return out


def run(*argv, **options):
    done = subprocess.run([str(arg) for arg in argv], capture_output=True, check=False, timeout=120, **options)
    assert done.returncode == 0, f'{argv}: {done.returncode}\n{done.stderr.decode()[-2000:]}'
    return done.stdout.decode()


def every_output_is_read_by_skopeo(bench):
    need('skopeo')
    out = outputs(bench)
    digest, manifest, config = bench.manifest('mine:1')
    for source in (f'oci-archive:{out}/oci.tar', f'oci:{out}/oci', f'docker-archive:{out}/docker.tar', f'oci:{bench.root}:docker.io/library/mine:1'):
        shown = json.loads(run('skopeo', 'inspect', '--config', source))
        assert shown['config']['Env'] == config['config']['Env'] and shown['rootfs'] == config['rootfs'], source
        copied = bench.dir / 'copied'
        run('skopeo', '--insecure-policy', 'copy', '-q', source, f'dir:{copied}')
        image = layout.read_image(copied)
        assert not any(problem for layer in image.layers[1:] for problem in layer.problems), source
        tree = layout.trees(image)[-1]
        assert tree['data'][0].uid == 1000 and 'var' not in tree and tree['bin/busybox'][0].mode == 0o4755
        shutil.rmtree(copied)
    assert json.loads(run('skopeo', 'inspect', '--raw', f'oci:{out}/oci')) == manifest
    assert json.loads((out / 'oci' / 'index.json').read_text())['manifests'][0]['digest'] == digest


def files_are_those_of_the_image(bench):
    out = outputs(bench)
    with tarfile.open(out / 'files.tar') as archive:
        members = {info.name.rstrip('/'): info for info in archive}
    assert members['data'].uid == 1000 and members['soft'].issym() and members['bin/busybox'].mode == 0o4755
    assert sum(members[name].islnk() for name in ('data', 'hard')) == 1 and 'var' not in members
    files = out / 'files'
    assert (files / 'data').read_text() == 'content of data' and os.readlink(files / 'soft') == 'data'
    assert (files / 'data').stat().st_ino == (files / 'hard').stat().st_ino and not (files / 'var').exists()
    names = {str(path.relative_to(files)) for path in files.rglob('*')}
    assert names == set(members) - {'', '.'}, names ^ set(members)
    # The same archive, imported, is the same tree again.
    bench.ok('import', out / 'files.tar', 'again:1')
    layer = read_layer(bench.blob(bench.manifest('again:1')[1]['layers'][0]['digest']))
    assert {name.rstrip('/') for name in layer} - {'', '.'} == names


def an_archive_goes_to_standard_output(bench):
    prepare(bench)
    for kind in ('tar', 'oci', 'docker'):
        path = bench.dir / f'{kind}.tar'
        with open(path, 'wb') as file:
            bench.build('--output', f'type={kind},dest=-', stdout=file)
        with tarfile.open(path) as archive:
            assert len(archive.getnames()) > 3


def umoci_unpacks_it(bench):
    need('umoci')
    out = outputs(bench)
    flags = ['--rootless'] if os.geteuid() else []
    tag = json.loads((out / 'oci' / 'index.json').read_text())['manifests'][0].get('annotations', {}).get('org.opencontainers.image.ref.name', 'latest')
    if '/' in tag:      # umoci takes no such tags; the image is the same by any name
        run('skopeo', '--insecure-policy', 'copy', '-q', f'oci:{out}/oci', f'oci:{out}/plain:one')
        tag, out = 'one', out / 'plain'
    else:
        out = out / 'oci'
    run('umoci', 'unpack', *flags, '--image', f'{out}:{tag}', bench.dir / 'bundle')
    files = bench.dir / 'bundle' / 'rootfs'
    assert (files / 'data').read_text() == 'content of data' and not (files / 'var').exists()


def buildah_and_podman_take_it(bench):
    need_root()
    need('buildah', 'podman')
    out = outputs(bench)
    (bench.dir / 'policy.json').write_text(json.dumps({'default': [{'type': 'insecureAcceptAnything'}]}))
    store = ['--root', bench.dir / 'containers', '--runroot', bench.dir.parent / 'r', '--storage-driver', 'vfs']
    policy = ['--signature-policy', bench.dir / 'policy.json']
    taken = run('buildah', *store, 'pull', '-q', *policy, f'oci-archive:{out}/oci.tar').strip()
    again = run('podman', *store, 'pull', '-q', *policy, f'docker-archive:{out}/docker.tar').strip()
    want = bench.manifest('mine:1')[1]['config']['digest'].removeprefix('sha256:')
    assert taken.endswith(want) and again.endswith(want), (taken, again, want)


def a_docker_engine_loads_and_runs_it(bench):
    need_root()
    need('dockerd', peers.DOCKER)
    out = outputs(bench)
    try:
        short = bench.dir.parent / 'd'       # its sockets have paths of at most 107 bytes
        short.mkdir()
        engine = peers.Docker(short)
    except peers.Failure as failure:
        raise Skip(f'needs a Docker engine that starts: {str(failure).splitlines()[-1]}') from None
    HELPERS.add(engine.daemon.process.pid)
    with contextlib.ExitStack() as stack:
        stack.callback(engine.stop)
        assert 'mine:1' in run(peers.DOCKER, 'load', '--input', out / 'docker.tar', env=engine.env)
        assert run(peers.DOCKER, 'run', '--rm', '--network', 'none', 'mine:1', env=engine.env) == 'content of data'
        run(peers.DOCKER, 'rmi', 'mine:1', env=engine.env)
        bench.build('--tag', 'mine:2', '--load', env={'DOCKER_HOST': engine.env['DOCKER_HOST']})
        assert run(peers.DOCKER, 'run', '--rm', '--network', 'none', 'mine:2', env=engine.env) == 'content of data'
        with open(bench.dir / 'saved.tar', 'wb') as file:
            run_to(file, peers.DOCKER, 'save', 'mine:2', env=engine.env)
        bench.ok('load', '--input', bench.dir / 'saved.tar')
        bench.dockerfile('FROM mine:2', 'RUN test "$(cat /data)" = "content of data"')
        bench.build()
        bench.fails(1, r'cannot|connect|no such file|No such file', 'build', '--load', bench.context,
                    env={'DOCKER_HOST': f'unix://{bench.dir}/nothere'})
    HELPERS.discard(engine.daemon.process.pid)
    bench.clean()


def run_to(file, *argv, **options):
    subprocess.run([str(arg) for arg in argv], stdout=file, check=True, **options)


def an_image_travels_through_a_registry(bench):
    need('docker-registry', 'skopeo')
    registry = peers.Registry(bench.dir)
    HELPERS.add(registry.daemon.process.pid)
    try:
        name = f'{registry.host}/team/app:1'
        prepare(bench)
        bench.build('--tag', name, '--push')
        digest = bench.manifest('team/app:1')[0]
        assert json.loads(run('skopeo', 'inspect', '--tls-verify=false', f'docker://{name}'))['Digest'] == digest
        bench.ok('pull', '--root', bench.dir / 'other', name)
        root, bench.root = bench.root, bench.dir / 'other'
        assert bench.manifest('team/app:1')[0] == digest
        bench.clean()
        bench.dockerfile(f'FROM {name}', 'RUN cat /data > /second')
        bench.build('--tag', f'{registry.host}/team/app:2', '--push', '--no-cache')
        bench.ok('tag', f'{registry.host}/team/app:2', f'{registry.host}/else/where:3')
        bench.ok('push', f'{registry.host}/else/where:3')
        bench.clean()
        shutil.rmtree(bench.root)
        bench.dockerfile(f'FROM {registry.host}/else/where:3', 'COPY data /last')
        bench.build('--tag', 'last:1')      # needs no layer of its base until it is saved
        bench.ok('save', '--output', bench.dir / 'last.tar', 'last:1')
        bench.clean()
        bench.root = root
        for missing in (f'{registry.host}/team/app:nothere', f'{registry.host}/nothere:1', f'{registry.host}/team/app@sha256:{"0" * 64}'):
            bench.fails(1, r'404|not found|unknown', 'pull', missing)
        bench.clean()
    finally:
        registry.stop()
        HELPERS.discard(registry.daemon.process.pid)


def identities_are_written(bench):
    prepare(bench)
    iid, metadata = bench.dir / 'iid', bench.dir / 'metadata'
    quiet = bench.ok('build', '--quiet', '--tag', 'mine:1', '--iidfile', iid, '--metadata-file', metadata, bench.context)
    digest, manifest, _ = bench.manifest('mine:1')
    shown = json.loads(metadata.read_text())
    assert quiet.out.strip() == iid.read_text() == manifest['config']['digest'] == shown['containerimage.config.digest']
    assert shown['containerimage.digest'] == digest and shown['image.name'] == 'docker.io/library/mine:1'
    assert quiet.err == ''
    before = iid.read_text()
    bench.dockerfile('FROM base:1', 'RUN false')
    bench.fails(1, 'exit code: 1', 'build', '--quiet', '--iidfile', iid, bench.context)
    assert iid.read_text() == before
    bench.clean()


if __name__ == '__main__':
    sys.exit(main([
        every_output_is_read_by_skopeo,
        files_are_those_of_the_image,
        an_archive_goes_to_standard_output,
        umoci_unpacks_it,
        buildah_and_podman_take_it,
        a_docker_engine_loads_and_runs_it,
        an_image_travels_through_a_registry,
        identities_are_written,
    ]))
