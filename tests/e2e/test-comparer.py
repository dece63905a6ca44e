#!/usr/bin/env python3
"""The comparer must see what it is there for: each change to an image that matters is reported, and no other is."""
import io
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib import compare, expect, layout  # noqa: E402

OLD, BEGAN, NEW = 1000, 2000, 3000      # mtimes: from the context; the build's start; made by the build
TREE = [('d/', dict(type=tarfile.DIRTYPE, mode=0o755, mtime=NEW)), ('d/f', dict(content=b'f', mtime=OLD)),
        ('d/h', dict(type=tarfile.LNKTYPE, linkname='d/f')),
        ('l', dict(type=tarfile.SYMTYPE, linkname='d/f', mtime=NEW)),
        ('n', dict(type=tarfile.CHRTYPE, devmajor=1, devminor=3, mtime=NEW))]


def layer(entries, digest='sha256:1'):
    """A layer as it is read from an archive of these entries."""
    with tempfile.NamedTemporaryFile() as file:
        with tarfile.open(file.name, 'w', format=tarfile.PAX_FORMAT) as archive:
            for name, fields in entries:
                fields = dict(fields)
                content = fields.pop('content', b'')
                member = tarfile.TarInfo(name)
                member.size = len(content)
                for key, value in fields.items():
                    setattr(member, key, value)
                archive.addfile(member, io.BytesIO(content))
        return layout.read_layer(Path(file.name), digest)


def image(*layers, config=None, history=()):
    return layout.Image({}, {'config': config or {}, 'history': list(history)}, list(layers))


def changed(name, **fields):
    return [(path, {**old, **fields} if path == name else old) for path, old in TREE]


def differences(a, b):
    return [*compare.tree_differences(layout.trees(a)[-1], layout.trees(b)[-1], BEGAN),
            *compare.layer_differences(a, b, (0, 0), BEGAN), *compare.config_differences(a, b),
            *compare.history_differences(a, b, (0, 0))]


class Comparer(unittest.TestCase):
    def test_equal_images_are_equal(self):
        self.assertEqual(differences(image(layer(TREE)), image(layer(TREE, 'sha256:2'))), [])

    def test_every_change_that_matters_is_seen(self):
        changes = [changed('d/f', mode=0o600), changed('d/f', uid=1), changed('d/f', gid=1),
                   changed('d/f', content=b'g'), changed('d/f', mtime=OLD + 1), changed('d/f', mtime=NEW),
                   changed('d/', mode=0o700), changed('l', linkname='d/h'), changed('n', devminor=4),
                   changed('n', type=tarfile.BLKTYPE), changed('l', type=tarfile.REGTYPE), TREE[:-1],
                   TREE + [('more', {})],
                   changed('d/h', type=tarfile.REGTYPE, content=b'f', mtime=OLD),
                   changed('d/f', pax_headers={'SCHILY.xattr.security.capability': 'cap'})]
        for entries in changes:
            self.assertNotEqual(differences(image(layer(entries)), image(layer(TREE))), [], entries)

    def test_what_is_allowed_is_not_seen(self):
        for entries in (changed('l', mtime=NEW + 9), changed('d/', mtime=NEW + 9),
                        changed('d/f', pax_headers={'SCHILY.xattr.user.x': 'y'})):
            self.assertEqual(differences(image(layer(entries)), image(layer(TREE))), [])

    def test_an_opaque_directory_equals_single_whiteouts(self):
        opaque = layer([('d/', TREE[0][1]), ('d/.wh..wh..opq', {}), ('d/new', {})])
        single = layer([('d/', TREE[0][1]), ('d/.wh.f', {}), ('d/.wh.h', {}), ('d/new', {})])
        kept = layer([('d/', TREE[0][1]), ('d/.wh.f', {}), ('d/new', {})])
        self.assertEqual(differences(image(layer(TREE), opaque), image(layer(TREE), single)), [])
        self.assertNotEqual(differences(image(layer(TREE), opaque), image(layer(TREE), kept)), [])

    def test_layers_are_compared_one_by_one(self):
        together = image(layer(TREE + [('x', {}), ('y', {})]))
        apart = image(layer(TREE + [('x', {})]), layer([('y', {})]))
        swapped = image(layer(TREE + [('y', {})]), layer([('x', {})]))
        self.assertNotEqual(differences(together, apart), [])
        self.assertNotEqual(differences(swapped, apart), [])

    def test_repeated_parents_do_not_count(self):
        bare, parents = layer([('d/new', {})]), layer([('d/', dict(TREE[0][1], mtime=NEW + 5)), ('d/new', {})])
        self.assertEqual(differences(image(layer(TREE), bare), image(layer(TREE), parents)), [])

    def test_config_fields_are_compared(self):
        for name in compare.TEXT_FIELDS:
            self.assertNotEqual(differences(image(config={name: ['a']}), image(config={name: ['b']})), [], name)
            self.assertNotEqual(differences(image(config={name: ['a']}), image()), [], name)
        self.assertEqual(differences(image(config={'Cmd': None}), image()), [])

    def test_history_is_compared_but_for_wording(self):
        def differ(a, b):
            return differences(image(history=[{'created_by': a}]), image(history=[{'created_by': b}]))
        self.assertNotEqual(differ('RUN a # buildkit', 'RUN a'), [])
        self.assertEqual(differ('EXPOSE map[80/tcp:{} 81/udp:{}]', 'EXPOSE [80/tcp 81/udp]'), [])
        self.assertNotEqual(differ('EXPOSE map[80/tcp:{}]', 'EXPOSE [80/udp]'), [])
        self.assertEqual(differ('HEALTHCHECK &{["CMD" "a"] "0s" "0s" "0s" \'\\x00\'}',
                                'HEALTHCHECK {Test:[CMD a] Interval:0s Timeout:0s}'), [])
        self.assertEqual(differ('COPY --chown=1 a b # buildkit', 'COPY a b # buildkit'), [])

    def test_faults_of_a_layer_are_named(self):
        for entries, word in (([('b', {}), ('a', {})], 'order'), ([('d/f', {})], 'parent'), ([('/abs', {})], 'out'),
                              ([('a', {}), ('a', {})], 'twice'), ([('a', {'uname': 'root'})], 'names'),
                              ([('h', {'type': tarfile.LNKTYPE, 'linkname': 'x'})], 'target')):
            self.assertTrue(any(word in text for text in compare.own_problems(image(layer(entries)), 0)), entries)
        self.assertEqual(list(compare.own_problems(image(layer([('d/', TREE[0][1]), ('d/.wh.b', {}), ('d/c', {}),
                                                                ('d.x', {})])), 0)), [])

    def test_expectations_are_checked(self):
        built = image(layer(TREE), config={'User': 'u'}, history=[{'created_by': 'RUN x'}])
        good = ('file /d/f 644 0:0 "f"\ndir /d 755 0:0\nlink /l d/f\nsame /d/f /d/h\nabsent /x\nlayers 1\nmtime /d/f 1000\n'
                'config User "u"\nconfig Cmd null\nhistory 0 RUN x\nnode /n char 644 0:0 1,3\n')
        self.assertEqual(list(expect.differences(good, built, 0, 0)), [])
        for line in ('file /d/f 600 0:0', 'file /d/f 644 1:0', 'file /d/f 644 0:0 "g"', 'dir /d 700 0:0', 'link /l x',
                     'same /d/f /l', 'absent /l', 'layers 2', 'mtime /d/f 1', 'config User "v"', 'history 0 RUN y',
                     'history 1 RUN x', 'node /n block 644 0:0 1,3', 'file /nothing 644 0:0'):
            self.assertNotEqual(list(expect.differences(line, built, 0, 0)), [], line)


if __name__ == '__main__':
    unittest.main()
