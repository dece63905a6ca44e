"""Expectations written down by hand, for what no peer on Debian 12 can do. One per line:

    file PATH MODE UID:GID [TEXT]   TEXT: the content, a JSON string
    dir PATH MODE UID:GID
    node PATH fifo|char|block MODE UID:GID [MAJOR,MINOR]
    link PATH TARGET
    same PATH PATH                  two names of one file
    mtime PATH SECONDS
    absent PATH
    layers N                        of the build, without the base
    config FIELD JSON               null: not there
    history N CREATED_BY            entry N of the build
"""
import hashlib
import json

from .layout import link_groups, trees


def check_node(tree, path, **want):
    if path not in tree:
        return [f'{path}: missing']
    node = tree[path][0]
    return [f'{path}: {name} is {getattr(node, name)!r}, expected {value!r}' for name, value in want.items()
            if getattr(node, name) != value]


def check_line(line, image, base_layers, base_history, tree):
    word, _, rest = line.partition(' ')
    fields = rest.split()
    if word in ('file', 'dir'):
        path, mode, owner = fields[:3]
        uid, gid = (int(part) for part in owner.split(':'))
        want = {'type': word, 'mode': int(mode, 8), 'uid': uid, 'gid': gid}
        if len(fields) > 3:
            content = json.loads(rest.split(None, 3)[3]).encode()
            want['size'] = len(content)
            want['sha256'] = hashlib.sha256(content).hexdigest()
        return check_node(tree, path.strip('/'), **want)
    if word == 'node':
        uid, gid = (int(part) for part in fields[3].split(':'))
        dev = tuple(int(part) for part in fields[4].split(',')) if len(fields) > 4 else (0, 0)
        return check_node(tree, fields[0].strip('/'), type=fields[1], mode=int(fields[2], 8), uid=uid, gid=gid, dev=dev)
    if word == 'link':
        return check_node(tree, fields[0].strip('/'), type='symlink', link=fields[1])
    if word == 'same':
        names = {path.strip('/') for path in fields}
        return [] if any(names <= group for group in link_groups(tree)) else [f'{names} are not one file']
    if word == 'mtime':
        return check_node(tree, fields[0].strip('/'), mtime=int(fields[1]))
    if word == 'absent':
        return [f'{fields[0]}: is there'] if fields[0].strip('/') in tree else []
    if word == 'layers':
        count = len(image.layers) - base_layers
        return [] if count == int(fields[0]) else [f'{count} layers, expected {fields[0]}']
    if word == 'config':
        name, _, value = rest.partition(' ')
        have = (image.config.get('config') or {}).get(name)
        return [] if have == json.loads(value) else [f'{name} is {json.dumps(have)}, expected {value}']
    if word == 'history':
        number, _, text = rest.partition(' ')
        history = (image.config.get('history') or [])[base_history:]
        have = history[int(number)].get('created_by') if int(number) < len(history) else None
        return [] if have == text else [f'history {number} is {have!r}, expected {text!r}']
    raise ValueError(f'expectation not understood: {line}')


def differences(text, image, base_layers, base_history):
    tree = trees(image)[-1]
    for line in text.splitlines():
        if line.strip() and not line.startswith('#'):
            yield from check_line(line, image, base_layers, base_history, tree)
