"""Do two images agree? Every difference that is let through is written down here, with its reason.

Allowed differences
  time     Created times, and mtimes of what the build itself made. An mtime older than the build came from the base
           or the context, so there both must agree (to the second; a layer holds no more). Directories: never, since
           the act of writing into one sets its time.
  parents  Which unchanged directories a layer repeats before a changed entry. The effect on the tree is nil.
  opaque   A directory that was removed and made anew: an opaque marker, or a whiteout for each name that vanished.
           Layers are compared by what they take away. What an opaque layer has to repeat unchanged may be missing.
  buildah  Where buildah is the peer: how many layers there are, what history says, the label with its version.
  base     History and layers of the base image: each tool imports it in its own way.
  xattrs   Other than security.capability: builders do not store them.
  wording  History text of EXPOSE and HEALTHCHECK prints a data structure of whatever version of Go's libraries the
           peer has: only its ports and its test are compared. Flags of COPY and ADD: the BuildKit of Debian 12
           leaves them out, newer ones show them.
"""
import re

from .layout import WHITEOUT, link_groups, shown, trees

TEXT_FIELDS = ('Env', 'Cmd', 'Entrypoint', 'User', 'WorkingDir', 'Labels', 'ExposedPorts', 'Volumes', 'StopSignal',
               'Healthcheck', 'OnBuild', 'Shell')
NODE_FIELDS = ('type', 'mode', 'uid', 'gid', 'size', 'sha256', 'link', 'dev')


def kept_xattrs(node):
    return [(name, value) for name, value in node.xattrs if name == 'security.capability']


def node_differences(path, mine, theirs, began):
    for name in NODE_FIELDS:
        a, b = getattr(mine, name), getattr(theirs, name)
        if a != b:
            form = oct if name == 'mode' else str
            yield f'{shown(path)}: {name} is {form(a)}, peer has {form(b)}'
    if kept_xattrs(mine) != kept_xattrs(theirs):
        yield f'{shown(path)}: capability is {kept_xattrs(mine)}, peer has {kept_xattrs(theirs)}'
    if mine.type == theirs.type != 'dir' and mine.mtime != theirs.mtime and min(mine.mtime, theirs.mtime) < began:
        yield f'{shown(path)}: mtime is {mine.mtime}, peer has {theirs.mtime}'


def key_differences(what, mine, theirs):
    for path in sorted(set(mine) - set(theirs)):
        yield f'{what}{shown(path)}: the peer does not have it'
    for path in sorted(set(theirs) - set(mine)):
        yield f'{what}{shown(path)}: only the peer has it'


def tree_differences(mine, theirs, began):
    """mine, theirs: path -> (Node, identity)."""
    yield from key_differences('', mine, theirs)
    for path in sorted(set(mine) & set(theirs)):
        yield from node_differences(path, mine[path][0], theirs[path][0], began)
    a, b = link_groups(mine), link_groups(theirs)
    for group in sorted(a ^ b, key=sorted):
        side = 'only here' if group in a else 'only in the peer'
        yield f'one file under the names {", ".join(map(shown, sorted(group)))} {side}'


def same(a, b):
    """Nothing but perhaps the time of a directory differs."""
    if a.type == 'dir':
        return (a.type, a.mode, a.uid, a.gid, kept_xattrs(a)) == (b.type, b.mode, b.uid, b.gid, kept_xattrs(b))
    return a == b and a.mtime == b.mtime


def layer_content(layer, before, after):
    """What a layer does: entries that differ from the tree below, and the topmost paths that it takes away."""
    entries = {path: node for path, node in layer.entries.items()
               if not (path in before and same(node, before[path][0]))}
    gone = {path for path in before if path not in after}
    top = {path for path in gone if path.rpartition('/')[0] not in gone}
    return entries, top


def layer_differences(mine, theirs, base, began):
    """mine, theirs: Image; base: number of layers below the build's own."""
    if len(mine.layers) - base[0] != len(theirs.layers) - base[1]:
        yield f'{len(mine.layers) - base[0]} layers, peer has {len(theirs.layers) - base[1]}'
        return
    my_trees, their_trees = trees(mine), trees(theirs)
    for i in range(len(mine.layers) - base[0]):
        a, b = i + base[0], i + base[1]
        my_entries, my_gone = layer_content(mine.layers[a], my_trees[a], my_trees[a + 1])
        their_entries, their_gone = layer_content(theirs.layers[b], their_trees[b], their_trees[b + 1])
        what = f'layer {i}: '
        yield from key_differences(what, my_entries, their_entries)
        yield from key_differences(what + 'removal of ', my_gone, their_gone)
        for path in sorted(set(my_entries) & set(their_entries)):
            for text in node_differences(path, my_entries[path], their_entries[path], began):
                yield what + text


def plain_history(text):
    """History text without what depends on the peer's version."""
    if text.startswith('EXPOSE '):
        return 'EXPOSE ' + ' '.join(sorted(re.findall(r'\d+/\w+', text)))
    if text.startswith('HEALTHCHECK '):
        return 'HEALTHCHECK ' + ' '.join(re.findall(r'[\w./-]+', text.partition('[')[2].partition(']')[0]))
    return re.sub(r'^(COPY|ADD)( --\w+=\S+)+', r'\1', text)


def own_history(image, base):
    return [{'created_by': plain_history(entry.get('created_by', '')),
             'comment': entry.get('comment', ''),
             'empty_layer': entry.get('empty_layer', False)} for entry in (image.config.get('history') or [])[base:]]


def own_config(image):
    config = dict(image.config.get('config') or {})
    labels = {key: value for key, value in (config.get('Labels') or {}).items() if key != 'io.buildah.version'} \
        if isinstance(config.get('Labels'), dict) else config.get('Labels')
    return {**config, 'Labels': labels}


def config_differences(mine, theirs):
    for name in ('architecture', 'os', 'author'):
        if mine.config.get(name) != theirs.config.get(name):
            yield f'{name} is {mine.config.get(name)!r}, peer has {theirs.config.get(name)!r}'
    a, b = own_config(mine), own_config(theirs)
    for name in TEXT_FIELDS:
        if (a.get(name) or None) != (b.get(name) or None):
            yield f'{name} is {a.get(name)!r}, peer has {b.get(name)!r}'


def history_differences(mine, theirs, base):
    """base: numbers of history entries below the build's own."""
    a, b = own_history(mine, base[0]), own_history(theirs, base[1])
    if len(a) != len(b):
        yield f'{len(a)} history entries, peer has {len(b)}'
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            yield f'history {i} is {x}, peer has {y}'


def walk_order(name):
    """A directory's names in byte order, each followed by what is below it; a whiteout where its name would stand."""
    directory, slash, base = name.rpartition('/')
    plain = directory + slash + (base[len(WHITEOUT):] if base.startswith(WHITEOUT) else base)
    return plain.encode('utf-8', 'surrogateescape').split(b'/')


def own_problems(image, base):
    """What no layer of ours may have, whatever the peer does."""
    for i, layer in enumerate(image.layers[base:]):
        for problem in layer.problems:
            yield f'layer {i}: {problem}'
        for path in layer.order:
            parent = path.rpartition('/')[0]
            if parent and parent not in layer.entries:
                yield f'layer {i}: {shown(path)} without its parent directory'
        if layer.order != sorted(layer.order, key=walk_order):
            yield f'layer {i}: entries are not in order'
