#!/usr/bin/env python3
"""Do all #include arrows point the right way?

    arrows.py SOURCE_ROOT

The rooms, each of which may include itself and what it names here:

    oci/base/    libc and yajl, nothing of ours
    oci/         oci/base/
    templates/   oci/base/
    registry/    oci/, oci/base/
    builder/     all of them

Inside builder/ a folder may include itself and the folders above it in BUILDER, never one beside or below it;
service/ and cli/ stand at the end, so nothing else includes them. A *-internal.h is seen only in its own folder
and by tests. Third-party headers belong to the rooms named in LIBRARIES.
"""
import re
import sys
from pathlib import Path

ROOMS = {
    'oci/base': set(),
    'oci': {'oci/base'},
    'templates': {'oci/base'},
    'registry': {'oci', 'oci/base'},
    'builder': {'templates', 'registry', 'oci', 'oci/base'},
}

# Folders on one line don't know each other; each knows the lines above its own.
BUILDER = [
    {'dockerfile', 'progress'},             # text; events
    {'context'},                            # patterns and directories
    {'snapshot', 'sandbox'},                # root filesystems; processes inside them
    {'plan'},                               # instructions -> stages and steps
    {'cache'},                              # keys of steps, and what they gave before
    {'exec'},                               # steps carried out
    {'output'},                             # what is made of the result
    {'service'},                            # jobs
    {'cli'},                                # commands
]

LIBRARIES = {
    'yajl/': {'oci/base'},
    'openssl/': {'oci', 'registry', 'builder'},
    'zlib.h': {'oci'},
    'lzma.h': {'oci'},
    'bzlib.h': {'oci'},
    'zstd.h': {'oci'},
    'lzma.h': {'oci'},
    'bzlib.h': {'oci'},
    'libdeflate.h': {'oci'},
    'isa-l': {'oci'},
    'igzip_lib.h': {'oci'},
    'crc.h': {'oci'},
    'curl/': {'registry', 'builder'},
    'sqlite3.h': {'builder'},
    'seccomp.h': {'builder'},
    'microhttpd.h': {'builder'},
    'uthash.h': {'oci', 'templates', 'registry', 'builder'},
    'utarray.h': {'oci', 'templates', 'registry', 'builder'},
    'utlist.h': {'oci', 'templates', 'registry', 'builder'},
    'yaml.h': {'templates', 'builder'},
    'libfyaml.h': {'templates', 'builder'},
}

# What the C library and the kernel headers of Linux bring; any other <header> must be in LIBRARIES.
SYSTEM = re.compile(r'^((sys|linux|net|netinet|arpa|asm|bits)/[\w./-]+|[a-z_0-9]+)\.h$')
THIRD_PARTY_ONE_WORD = {'cmocka.h', 'git2.h', 'jansson.h', 'ev.h', 'uv.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def room_of(path):
    """The room of a path inside the tree, or None."""
    if path.startswith('oci/base/'):
        return 'oci/base'
    first = path.split('/')[0]
    return first if first in ROOMS else None


def level_of(path):
    """(row, folder) of a file below builder/; files of builder/ itself stand between output/ and service/."""
    parts = path.split('/')
    if len(parts) < 3:
        return (next(i for i, row in enumerate(BUILDER) if 'service' in row) - 0.5, '')
    for i, row in enumerate(BUILDER):
        if parts[1] in row:
            return (i, parts[1])
    return None


def check_own(path, room, target, root):
    """What is wrong with #include "target", or None."""
    there = room_of(target)
    if there is None or not (root / target).is_file() and not generated(target, root):
        return 'no such header; includes are written from the top of the tree'
    if there != room and there not in ROOMS[room]:
        return f'{room}/ must not know {there}/'
    if target.endswith('-internal.h') and Path(path).parent != Path(target).parent:
        return 'an internal header of another folder'
    if room == there == 'builder':
        mine, theirs = level_of(path), level_of(target)
        if mine is None or theirs is None:
            return 'a folder of builder/ that has no place in the order (BUILDER in this script)'
        if mine[1] != theirs[1] and theirs[0] >= mine[0]:
            return f'builder/{mine[1]} must not know builder/{theirs[1]}'
    return None


def generated(target, root):
    """A header that the build makes is named in the meson.build of its folder."""
    build = (root / target).parent / 'meson.build'
    return build.is_file() and Path(target).name in build.read_text()


def check_system(room, target):
    for prefix, rooms in LIBRARIES.items():
        if target.startswith(prefix):
            return None if room in rooms else f'<{target}> does not belong in {room}/'
    if not SYSTEM.match(target) or target in THIRD_PARTY_ONE_WORD:
        return f'<{target}> is no part of libc and of no library in this script\'s list'
    return None


def check_file(path, text, root):
    room = room_of(path)
    for match in INCLUDE.finditer(text):
        kind, target = match.groups()
        problem = check_system(room, target) if kind == '<' else check_own(path, room, target, root)
        if problem:
            line = text.count('\n', 0, match.start(1)) + 1
            yield f'{path}:{line}: #include {target}: {problem}'


def self_test(root):
    """The script must see what it is here for."""
    bad = [
        ('oci/base/x.c', '#include "oci/digest.h"\n'),
        ('oci/base/x.c', '#include <openssl/evp.h>\n'),
        ('oci/x.c', '#include "registry/reference.h"\n'),
        ('oci/x.c', '#include <curl/curl.h>\n'),
        ('templates/x.c', '#include "oci/digest.h"\n'),
        ('registry/x.c', '#include "builder/progress/progress.h"\n'),
        ('builder/progress/x.c', '#include "builder/dockerfile/dockerfile.h"\n'),
        ('builder/dockerfile/x.c', '#include "builder/context/pattern.h"\n'),
        ('builder/dockerfile/x.c', '  #  include "builder/snapshot/snapshot.h"\n'),
        ('builder/plan/x.c', '#include "progress.h"\n'),
        ('builder/unheard-of/x.c', '#include "builder/progress/progress.h"\n'),
        ('oci/x.c', '#include "oci/nothing-like-it.h"\n'),
    ]
    good = [
        ('builder/snapshot/x.c', '#include "builder/progress/progress.h"\n#include "registry/reference.h"\n'),
        ('registry/x.c', '#include <curl/curl.h>\n#include "oci/digest.h"\n#include <sys/stat.h>\n'),
    ]
    for path, text in bad:
        assert list(check_file(path, text, root)), f'{path} may {text.strip()}'
    for path, text in good:
        assert not list(check_file(path, text, root)), f'{path} may not {text.strip()}'


def main():
    root = Path(sys.argv[1]).resolve()
    self_test(root)
    problems, files = [], 0
    for top in ('oci', 'templates', 'registry', 'builder'):
        for path in sorted((root / top).rglob('*.[ch]')):
            files += 1
            problems += check_file(str(path.relative_to(root)), path.read_text(), root)
    for problem in problems:
        print(problem)
    print(f'{files} files, {len(problems)} wrong arrows')
    return 1 if problems or files == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
