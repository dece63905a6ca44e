python3 - <<'P'
import io, tarfile
with tarfile.open('odd.tar', 'w', format=tarfile.PAX_FORMAT) as t:
    def add(name, kind=tarfile.REGTYPE, **f):
        m = tarfile.TarInfo(name)
        m.type, m.mtime, m.mode = kind, 1000000000, 0o644 if kind != tarfile.DIRTYPE else 0o755
        for k, v in f.items():
            setattr(m, k, v)
        data = name.encode('utf-8', 'surrogateescape') if kind == tarfile.REGTYPE else b''
        m.size = len(data)
        t.addfile(m, io.BytesIO(data))
    add('./dotted')
    add('no/parents/for/this')
    add('x' * 120 + '/' + 'y' * 150)
    add('long-link', tarfile.SYMTYPE, linkname='z' * 300)
    add('\u00fcml\u00e4ut')
    add('back\\slash')
    add('twice')
    add('twice')
    add('big-owner', uid=3000000, gid=4000000)
    add('fraction', mtime=1000000000.5)
P
