#!/usr/bin/env python3
"""Count what a meson test run did, down to the single test, and print "N passed, N failed, N skipped" last.

    summary.py TESTLOG.JSON [--may-skip FILE]

With --may-skip, skipping is a failure unless the reason matches a regular expression of that file. A program's tests
are read from its output (cmocka, TAP); one that prints neither counts as one test. The reason of a skipped cmocka test
is what it printed last.
"""
import argparse
import json
import re
import sys
from pathlib import Path

CMOCKA = re.compile(r'^\[\s+(OK|FAILED|ERROR|SKIPPED)\s+\] (\w+)$')
TAP = re.compile(r'^(not )?ok\b(?: \d+)?(?:\s*-?\s*(?P<name>[^#]*))?(?:#\s*SKIP\S*\s*(?P<reason>.*))?$', re.I)


def cmocka_results(lines):
    """name -> (outcome, reason); the list at the end of the output repeats names and changes nothing."""
    results, previous = {}, ''
    for line in lines:
        match = CMOCKA.match(line)
        if match and match.group(2) not in results:
            outcome = {'OK': 'passed', 'SKIPPED': 'skipped'}.get(match.group(1), 'failed')
            results[match.group(2)] = (outcome, previous)
        previous = line.strip() or previous
    return results


def tap_results(lines):
    results = {}
    for number, line in enumerate(lines):
        match = TAP.match(line)
        if match:
            outcome = 'failed' if match.group(1) else 'skipped' if match.group('reason') is not None else 'passed'
            results[f'{number} {(match.group("name") or "").strip()}'] = (outcome, match.group('reason') or '')
    return results


def program_results(entry):
    """All tests of one program of the log."""
    text = (entry.get('stdout') or '') + '\n' + (entry.get('stderr') or '')
    lines = text.splitlines()
    bad = entry['result'] not in ('OK', 'EXPECTEDFAIL', 'SKIP')
    results = tap_results(lines) if re.search(r'^1\.\.\d', text, re.M) else cmocka_results(lines)
    if entry['result'] == 'SKIP' and not results:
        spoken = [line.strip() for line in lines if line.strip()]
        return {'': ('skipped', spoken[-1] if spoken else 'no reason given')}
    if not results:
        return {'': ('failed' if bad else 'passed', entry['result'])}
    if bad and not any(outcome == 'failed' for outcome, _ in results.values()):
        results['(the program itself)'] = ('failed', entry['result'])
    return results


def allowed(path):
    if not path:
        return None
    lines = Path(path).read_text().splitlines()
    return [re.compile(line) for line in lines if line.strip() and not line.startswith('#')]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('log')
    parser.add_argument('--may-skip')
    args = parser.parse_args()
    may_skip, count, refused = allowed(args.may_skip), {'passed': 0, 'failed': 0, 'skipped': 0}, 0
    log = Path(args.log)
    for line in log.read_text().splitlines() if log.is_file() else []:
        entry = json.loads(line)
        for name, (outcome, reason) in program_results(entry).items():
            count[outcome] += 1
            if outcome == 'failed':
                print(f'failed: {entry["name"]} {name}'.rstrip())
            elif outcome == 'skipped':
                fine = may_skip is None or any(pattern.search(reason) for pattern in may_skip)
                refused += not fine
                print(f'skipped{"" if fine else ", which is not allowed here"}: {entry["name"]} {name}: {reason}')
    nothing = sum(count.values()) == 0
    if nothing:
        print('no test was run')
    text = f'{count["passed"]} passed, {count["failed"] + nothing} failed'
    print(text + (f', {count["skipped"]} skipped' if count['skipped'] else ''))
    return 1 if count['failed'] or refused or nothing else 0


if __name__ == '__main__':
    sys.exit(main())
