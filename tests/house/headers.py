#!/usr/bin/env python3
"""Does every header compile alone, without a warning?

    headers.py SOURCE_ROOT COMPILER...

A header that leans on what its includer happened to include breaks the day somebody sorts the includes. poison.h is
left out: it is made to stand after everything else.
"""
import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

FLAGS = ['-std=gnu17', '-D_GNU_SOURCE', '-fsyntax-only', '-Werror', '-Wall', '-Wextra', '-Wshadow',
         '-Wstrict-prototypes', '-Wmissing-prototypes', '-Wformat=2', '-Wvla', '-Wcast-qual', '-Wwrite-strings',
         '-Wundef', '-Wno-unused-function', '-Wno-unused-const-variable', '-x', 'c', '-']
LEFT_OUT = {'oci/base/poison.h'}


def compile_alone(compiler, root, header):
    """The compiler's complaints about a file that has this one #include, twice."""
    text = f'#include "{header}"\n#include "{header}"\nint nothing_else;\n'
    run = subprocess.run(compiler + ['-I', str(root)] + FLAGS, input=text, text=True, capture_output=True,
                         check=False)
    return run.stderr or f'exit status {run.returncode}\n' if run.returncode else ''


def main():
    root, compiler = Path(sys.argv[1]).resolve(), sys.argv[2:]
    headers = [str(path.relative_to(root)) for top in ('oci', 'templates', 'registry', 'builder')
               for path in sorted((root / top).rglob('*.h'))]
    headers = [header for header in headers if header not in LEFT_OUT]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, text in zip(headers, pool.map(lambda h: compile_alone(compiler, root, h), headers)):
            if text:
                bad += 1
                print(f'{header}:\n{text}')
    print(f'{len(headers)} headers, {bad} that do not compile alone')
    return 1 if bad or not headers else 0


if __name__ == '__main__':
    sys.exit(main())
