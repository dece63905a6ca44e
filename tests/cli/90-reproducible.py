#!/usr/bin/env python3
"""The same input gives the same digest: whoever builds, with however many threads, on whatever snapshots."""
import atexit
import os
import pwd
import shutil
import subprocess
import sys
import tarfile

from lib.bench import MTIME, Bench, Skip, main, member, need_root, read_layer

EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}
# Names that nobody else has; such users are made when missing, and removed again.
WITH_IDS, WITHOUT_IDS = 'imgbuild-test-ids', 'imgbuild-test-one'


def user(name, ids):
    """(uid, gid) of an ordinary user, with subordinate ids or without."""
    need_root()
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        done = subprocess.run(['useradd', '--system', '--no-create-home', '--shell', '/bin/sh', name], capture_output=True, check=False)
        if done.returncode:
            raise Skip(f'needs a user that can be added: {done.stderr.decode().strip()}') from None
        atexit.register(subprocess.run, ['userdel', name], capture_output=True, check=False)
        entry = pwd.getpwnam(name)
    if ids and not shutil.which('newuidmap'):
        raise Skip('not installed: uidmap')
    change = '--add' if ids else '--del'
    subprocess.run(['usermod', f'{change}-subuids', '700000-765535', f'{change}-subgids', '700000-765535', name], capture_output=True,
                   check=ids)
    return entry.pw_uid, entry.pw_gid


def can_make_namespaces(who):
    done = subprocess.run(['unshare', '--user', '--map-root-user', '--mount', 'true'], user=who[0], group=who[1], extra_groups=[],
                          capture_output=True, check=False)
    if done.returncode:
        raise Skip(f'needs user namespaces: {done.stderr.decode().strip()}')


def another(bench, name, who=None):
    """One more bench beside, with its own store and the same context."""
    new = Bench(bench.dir, name, who, bench.base)
    prepare(new)
    return new


def prepare(bench, owners=True):
    for number in range(30):
        bench.write(f'files/{number % 7}/{number}', bytes([number]) * (number * 5000), 0o755 if number % 3 else 0o600)
    os.symlink('../0', bench.context / 'files' / 'link')
    with tarfile.open(bench.context / 'a.tar', 'w') as archive:
        member(archive, 'opt/a', b'a', uid=12 * owners, gid=34 * owners, mode=0o4755)
        member(archive, 'opt/b', type=tarfile.LNKTYPE, linkname='opt/a')
        member(archive, 'opt/d', type=tarfile.DIRTYPE, mode=0o2770, uid=56 * owners)
    os.utime(bench.context / 'a.tar', (MTIME, MTIME))
    chown = 'chown 1000:1001 /r/1 && chown -R 33:33 /r/d && ' if owners else ''
    bench.dockerfile('FROM base:1', 'COPY files /files', f'COPY {"--chown=7:8 " if owners else ""}files/1 /own/',
                     f'RUN mkdir -p /r/d/e && for i in 1 2 3; do echo $i > /r/$i; done && touch /r/d/e/f && {chown}'
                     'chmod 4711 /r/2 && ln /r/3 /r/hard && ln -s 3 /r/soft && mkfifo /r/fifo && rm -r /files/2',
                     'WORKDIR /w/x', 'ADD a.tar /added', 'ENV A=b', 'RUN rm -r /files && mkdir /files && echo new > /files/new',
                     'USER user' if owners else 'USER root', 'RUN id -u > /tmp/who', 'LABEL x=y')


def digest(bench, *args):
    bench.ok('import', bench.base, 'base:1', env=EPOCH)
    bench.ok('build', '--tag', 'mine:1', *args, bench.context, env=EPOCH)
    bench.clean()
    return bench.manifest('mine:1')[0]


def threads_change_nothing(bench):
    found = {count: digest(another(bench, f'threads-{count}'), '--threads', str(count)) for count in (1, 2, 8)}
    assert len(set(found.values())) == 1, found
    again = digest(another(bench, 'again'), '--no-cache')
    assert again == found[1]


def a_cached_build_changes_nothing(bench):
    prepare(bench)
    first = digest(bench)
    assert digest(bench) == first and digest(bench, '--no-cache') == first
    bench.ok('prune', '--all')
    assert digest(bench) == first


def the_snapshotter_changes_nothing(bench):
    need_root()
    overlay, copy = (digest(another(bench, kind), '--snapshotter', kind) for kind in ('overlay', 'copy'))
    assert overlay == copy


def compression_is_told_by_the_command_line_alone(bench):
    for spec in ('gzip:1', 'zstd', 'zstd:9', 'none'):
        one, two = (digest(another(bench, f'{spec}-{count}'.replace(':', '-')), '--compression', spec, '--threads', count)
                    for count in ('1', '5'))
        assert one == two, spec


def a_user_with_subordinate_ids_builds_what_root_builds(bench):
    who = user(WITH_IDS, True)
    can_make_namespaces(who)
    root = digest(another(bench, 'root'))
    rootless = another(bench, 'user', who)
    assert digest(rootless) == root
    for count in ('1', '8'):
        assert digest(another(bench, f'user-{count}', who), '--threads', count) == root
    assert digest(another(bench, 'user-copy', who), '--snapshotter', 'copy') == root
    rootless.ok('prune', '--all')
    rootless.ok('rmi', 'mine:1')
    rootless.clean()


def a_user_with_one_id_builds_what_root_builds_where_owners_are_root(bench):
    who = user(WITHOUT_IDS, False)
    can_make_namespaces(who)
    found = []
    for name, user_of_it in (('root', None), ('user', who)):
        one = Bench(bench.dir, name, user_of_it, bench.dir / 'plain.tar')
        if not found:
            plain = bench.dir / 'plain.tar'
            with tarfile.open(bench.base) as source, tarfile.open(plain, 'w') as target:
                for info in source:
                    info.uid = info.gid = 0
                    target.addfile(info, source.extractfile(info) if info.isreg() else None)
        prepare(one, owners=False)
        found.append(digest(one))
    assert found[0] == found[1]


def with_one_id_other_owners_are_explained_once(bench):
    who = user(WITHOUT_IDS, False)
    can_make_namespaces(who)
    one = another(bench, 'user', who)
    one.ok('import', one.base, 'base:1')
    one.dockerfile('FROM base:1', 'COPY files /files', 'RUN echo x > /x')
    result = one.build('--tag', 'mine:1')
    explained = [line for line in result.err.splitlines() if 'subuid' in line]
    assert len(explained) == 1, result
    one.dockerfile('FROM base:1', 'RUN for i in 1 2 3 4 5 6 7 8; do touch /f$i; done; chown 1000:1000 /f*', 'COPY --chown=7:8 files /files',
                   'ADD a.tar /added')
    result = one.build('--tag', 'mine:1')
    explained = [line for line in result.err.splitlines() if 'owner' in line]
    assert len(explained) == 1 and 'every file will belong to root' in explained[0], result
    for desc in one.manifest('mine:1')[1]['layers'][1:]:
        assert {(info.uid, info.gid) for info in read_layer(one.blob(desc['digest'])).values()} == {(0, 0)}
    one.clean()


def an_unreadable_file_is_named_to_a_user(bench):
    who = user(WITH_IDS, True)
    can_make_namespaces(who)
    one = another(bench, 'user', who)
    one.ok('import', one.base, 'base:1')
    os.chown(one.write('closed', 'x', 0o600), 0, 0)
    one.dockerfile('FROM base:1', 'COPY closed /x')
    one.build_fails(1, r":2: .*closed.*: Permission denied$")
    os.chown(one.write('D', 'FROM base:1', 0o600), 0, 0)
    one.fails(2, r'Permission denied$', 'build', '--file', one.context / 'D', one.context)
    one.fails(1, r'Permission denied', 'build', '--root', '/root/nothere', one.context)
    one.clean()


def devices_in_archives_are_told_to_a_user(bench):
    who = user(WITH_IDS, True)
    can_make_namespaces(who)
    one = another(bench, 'user', who)
    one.ok('import', one.base, 'base:1')
    with tarfile.open(one.context / 'dev.tar', 'w') as archive:
        member(archive, 'null', type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    one.dockerfile('FROM base:1', 'ADD dev.tar /x/')
    result = one.run('build', '--progress=plain', one.context)
    assert result.status in (0, 1), result
    if result.status:
        one.check_failure(result, 1, r':2: .*null')
    one.ok('import', one.context / 'dev.tar', 'dev:1')
    one.dockerfile('FROM dev:1', 'COPY D* /x/')
    one.build()
    one.clean()


if __name__ == '__main__':
    sys.exit(main([
        threads_change_nothing,
        a_cached_build_changes_nothing,
        the_snapshotter_changes_nothing,
        compression_is_told_by_the_command_line_alone,
        a_user_with_subordinate_ids_builds_what_root_builds,
        a_user_with_one_id_builds_what_root_builds_where_owners_are_root,
        with_one_id_other_owners_are_explained_once,
        an_unreadable_file_is_named_to_a_user,
        devices_in_archives_are_told_to_a_user,
    ]))
