"""The images that cases start from: busybox:test, and debian:test out of Debian packages."""
import io
import re
import subprocess
import tarfile
from pathlib import Path

from .peers import run

MTIME = 981173106       # 2001-02-03 04:05:06 UTC: whatever is older than a build came from here
DIRECTORIES = {'bin': 0o755, 'dev': 0o755, 'etc': 0o755, 'home': 0o755, 'home/user': 0o700, 'proc': 0o755,
               'root': 0o700, 'run': 0o755, 'sys': 0o755, 'tmp': 0o1777, 'usr': 0o755, 'usr/bin': 0o755, 'usr/share': 0o755,
               'usr/share/doc': 0o755, 'var': 0o755, 'var/data': 0o2775}
FILES = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nuser:x:1000:1001::/home/user:/bin/sh\n',
    'etc/group': 'root:x:0:\ndaemon:x:1:\nstaff:x:50:user\nuser:x:1001:\nextra:x:2000:user\n',
    # Mounted over in RUN; there, so that no builder needs to make them.
    'etc/hosts': '', 'etc/resolv.conf': '', 'etc/hostname': '',
    'usr/share/doc/one': 'one\n', 'usr/share/doc/two': 'two\n', 'var/data/keep': 'kept\n', 'home/user/.profile': '',
}


def add(archive, name, mode, uid=0, gid=0, content=None, **fields):
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid, member.mtime = mode, uid, gid, MTIME
    for key, value in fields.items():
        setattr(member, key, value)
    if content is not None:
        member.size = len(content)
    archive.addfile(member, io.BytesIO(content) if content is not None else None)


def make_busybox(tar):
    applets = subprocess.run(['/usr/bin/busybox', '--list'], stdout=subprocess.PIPE, check=True, text=True).stdout
    with tarfile.open(tar, 'w', format=tarfile.PAX_FORMAT) as archive:
        for name, mode in DIRECTORIES.items():
            owner = (1000, 1001) if name == 'home/user' else (0, 50) if name == 'var/data' else (0, 0)
            add(archive, name, mode, *owner, type=tarfile.DIRTYPE)
        add(archive, 'bin/busybox', 0o755, content=Path('/usr/bin/busybox').read_bytes())
        for applet in sorted(set(applets.split()) - {'busybox'}):
            add(archive, f'bin/{applet}', 0o777, type=tarfile.SYMTYPE, linkname='busybox')
        for name, text in FILES.items():
            owner = (1000, 1001) if name.startswith('home/') else (0, 0)
            add(archive, name, 0o644, *owner, content=text.encode())
        add(archive, 'usr/share/doc/hard', 0o644, type=tarfile.LNKTYPE, linkname='usr/share/doc/one')


def debian_sources():
    """This machine's own package sources of Debian 12, so that its mirror is used; none: the usual ones."""
    files = [Path('/etc/apt/sources.list'), *Path('/etc/apt/sources.list.d').glob('*.list'),
             *Path('/etc/apt/sources.list.d').glob('*.sources')]
    return [str(path) for path in files if path.is_file()
            and re.search(r'^(deb |URIs:).*debian', path.read_text(), re.M)
            and re.search(r'\bbookworm\b', path.read_text())]


def make_debian(tar, directory):
    options = [line for line in run(['apt-config', 'dump']).splitlines()
               if re.match(r'Acquire::(http|https|Retries|Check-)', line)]
    (directory / 'apt.conf').write_text('\n'.join(options) + '\n')
    run(['mmdebstrap', '--quiet', '--variant=essential', '--include=libcap2-bin',
         f'--aptopt={directory}/apt.conf', '--dpkgopt=path-exclude=/usr/share/locale/*',
         '--dpkgopt=path-exclude=/usr/share/doc/*', 'bookworm', tar, *debian_sources()])
