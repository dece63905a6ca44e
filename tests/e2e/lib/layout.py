"""Images on disk, read without any of the tools under test: layers into entries, entries into trees."""
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path

WHITEOUT, OPAQUE = '.wh.', '.wh..wh..opq'


@dataclass(frozen=True)
class Node:
    """What a path is. Everything that two builders must agree on, and mtime, where they may not."""
    type: str               # file dir symlink fifo char block
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ''
    link: str = ''          # target of a symlink
    dev: tuple = (0, 0)
    xattrs: tuple = ()      # (name, bytes) in order of names
    mtime: int = field(default=0, compare=False)    # whole seconds


@dataclass
class Layer:
    digest: str
    entries: dict           # path -> Node; hard links have the node of their target
    groups: list            # sets of paths that are one file
    whiteouts: set          # paths taken away
    opaque: set             # directories whose lower content is taken away
    order: list             # names as they stand in the archive
    problems: list          # what a layer should not have


@dataclass
class Image:
    manifest: dict
    config: dict
    layers: list


def shown(path):
    """A path as text, whatever its bytes."""
    return path.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')


def open_layer(path):
    """The uncompressed tar. Media types are not trusted: older skopeo gets them wrong."""
    with path.open('rb') as file:
        head = file.read(4)
    if head[:2] == b'\x1f\x8b':
        return gzip.open(path)
    if head == b'\x28\xb5\x2f\xfd':
        run = subprocess.run(['zstd', '-dcq', str(path)], stdout=subprocess.PIPE, check=True)
        return io.BytesIO(run.stdout)
    return path.open('rb')


def clean(name):
    """A name in an archive as a path: no leading "./", no trailing "/"."""
    return '/'.join(part for part in name.split('/') if part not in ('', '.'))


def xattrs_of(member):
    prefix = 'SCHILY.xattr.'
    pairs = ((key[len(prefix):], value.encode('utf-8', 'surrogateescape'))
             for key, value in member.pax_headers.items() if key.startswith(prefix))
    return tuple(sorted(pairs))


def node_of(archive, member):
    kinds = {tarfile.DIRTYPE: 'dir', tarfile.SYMTYPE: 'symlink', tarfile.FIFOTYPE: 'fifo', tarfile.CHRTYPE: 'char',
             tarfile.BLKTYPE: 'block'}
    kind = kinds.get(member.type, 'file')
    node = Node(kind, member.mode & 0o7777 if kind != 'symlink' else 0o777, member.uid, member.gid,
                xattrs=xattrs_of(member), mtime=int(member.mtime))
    if kind == 'file':
        digest = hashlib.sha256()
        source = archive.extractfile(member)
        for block in iter(lambda: source.read(1 << 20), b''):
            digest.update(block)
        return replace(node, size=member.size, sha256=digest.hexdigest())
    if kind == 'symlink':
        return replace(node, link=member.linkname)
    if kind in ('char', 'block'):
        return replace(node, dev=(member.devmajor, member.devminor))
    return node


def read_layer(path, digest):
    layer = Layer(digest, {}, [], set(), set(), [], [])
    with open_layer(path) as stream, \
            tarfile.open(fileobj=stream, mode='r|', encoding='utf-8', errors='surrogateescape') as archive:
        for member in archive:
            read_member(layer, archive, member)
    return layer


def read_member(layer, archive, member):
    name = clean(member.name)
    directory, _, base = name.rpartition('/')
    layer.order.append(name)
    if member.name.startswith('/') or '..' in name.split('/'):
        layer.problems.append(f'name leads out: {shown(member.name)}')
    if name in layer.entries:
        layer.problems.append(f'entry stands twice: {shown(name)}')
    if member.uname or member.gname:
        layer.problems.append(f'carries user or group names: {shown(name)}')
    if name == '':
        return
    if base == OPAQUE:
        layer.opaque.add(directory)
    elif base.startswith(WHITEOUT):
        layer.whiteouts.add(clean(f'{directory}/{base[len(WHITEOUT):]}'))
    elif member.islnk():
        target = clean(member.linkname)
        if target not in layer.entries:
            layer.problems.append(f'hard link before its target: {shown(name)} -> {shown(target)}')
            return
        layer.entries[name] = layer.entries[target]
        group = next((group for group in layer.groups if target in group), None)
        if group is None:
            layer.groups.append({target, name})
        else:
            group.add(name)
    else:
        layer.entries[name] = node_of(archive, member)


def read_config(directory):
    """(manifest, config) of the one image in an OCI layout, or in what skopeo calls a dir:."""
    if (directory / 'index.json').is_file():
        index = json.loads((directory / 'index.json').read_text())
        assert len(index['manifests']) == 1, 'one image expected'
        manifest = json.loads(read_blob(directory, index['manifests'][0]['digest']))
    else:
        manifest = json.loads((directory / 'manifest.json').read_text())
    return manifest, json.loads(read_blob(directory, manifest['config']['digest']))


def read_image(directory):
    """The image with its layers; digests are checked."""
    manifest, config = read_config(directory)
    layers = []
    for descriptor in manifest['layers'] or []:
        read_blob(directory, descriptor['digest'])
        layers.append(read_layer(blob_path(directory, descriptor['digest']), descriptor['digest']))
    assert len(layers) == len(config['rootfs']['diff_ids'] or []), 'as many layers as diff IDs'
    return Image(manifest, config, layers)


def blob_path(directory, digest):
    algorithm, _, name = digest.partition(':')
    path = directory / 'blobs' / algorithm / name
    return path if path.is_file() else directory / name


def read_blob(directory, digest):
    content = blob_path(directory, digest).read_bytes()
    assert 'sha256:' + hashlib.sha256(content).hexdigest() == digest, f'{digest}: content has another digest'
    return content


def remove(tree, path):
    tree.pop(path, None)
    for below in [other for other in tree if other.startswith(path + '/')]:
        del tree[below]


def apply(tree, layer):
    """The tree that layer makes out of tree: path -> (Node, identity of its file). tree itself stays."""
    result = dict(tree)
    for path in layer.opaque:
        for below in [other for other in result if other.startswith(path + '/')]:
            del result[below]
    for path in layer.whiteouts:
        remove(result, path)
    identity = {path: (layer.digest, min(group)) for group in layer.groups for path in group}
    for path, node in layer.entries.items():
        old = result.get(path)
        if old and (old[0].type != 'dir' or node.type != 'dir'):
            remove(result, path)
        result[path] = (node, identity.get(path, (layer.digest, path)))
    return result


def trees(image):
    """The tree after each layer; the first one is the empty tree."""
    result = [{}]
    for layer in image.layers:
        result.append(apply(result[-1], layer))
    return result


def link_groups(tree):
    """Sets of paths that are one file."""
    files = {}
    for path, (node, identity) in tree.items():
        if node.type == 'file':
            files.setdefault(identity, set()).add(path)
    return {frozenset(paths) for paths in files.values() if len(paths) > 1}


def described(side, image, base):
    """Lines that tell a person what an image is, without base = (layers, history entries) of the base image."""
    yield f'{side}: config {json.dumps(image.config.get("config"))}'
    for entry in (image.config.get('history') or [])[base[1]:]:
        yield f'{side}: history {entry.get("created_by")!r}{" (no layer)" if entry.get("empty_layer") else ""}'
    for i, layer in enumerate(image.layers[base[0]:]):
        yield f'{side}: layer {i} without {sorted(layer.whiteouts)}, opaque {sorted(layer.opaque)}'
        for path, node in layer.entries.items():
            what = node.link or node.sha256[:8] or (node.dev if node.dev != (0, 0) else '')
            links = next((len(group) for group in layer.groups if path in group), 1)
            yield (f'{side}:   {node.type} {node.mode:o} {node.uid}:{node.gid} {node.mtime} {links} {shown(path)} {what}'
                   + ''.join(f' {name}={value.hex()}' for name, value in node.xattrs))
