"""./dev test: every test, or the named ones; one line each, the log of what failed, a closing count."""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# On one core each, and nothing in them depends on time: those that follow each other run side by side.
BESIDE = {'explore', 'export', 'stage'}


def tests(build, sanitized, fuzz, named):
    """Name, needs root, minutes at most, command. A test that is named runs at its full length."""
    py = sys.executable

    def e2e(script, *words):
        return [py, os.path.join(HERE, 'e2e', script), '--build', build, *words]

    listed = [
        ('format', False, 2, ['./dev', 'format', '--check']),
        ('unit', False, 10, ['meson', 'test', '-C', build, '--no-rebuild', '--num-processes',
                             str(os.cpu_count())]),
        ('sanitized', False, 15, ['meson', 'test', '-C', sanitized, '--no-rebuild',
                                  '--num-processes', str(os.cpu_count()), '--timeout-multiplier',
                                  '5', '--no-suite', 'slow', '--no-suite', 'plain']),
        ('fuzz', False, 5, [py, 'tests/fuzz/fuzz.py', '--build', fuzz, '--seconds', '3', '--kept']),
        ('images', False, 10, [py, 'tests/images/images.py', '--build', build]),
        ('sim', False, 10, [os.path.join(build, 'tests/sim/keel-sim'), '--seeds', '500', '--jobs',
                            str(os.cpu_count())]),
        ('determinism', False, 10, ['tests/sim/determinism.sh']),
        ('explore', False, 5, [py, 'tests/explore/check.py', '--build', build]),
        ('export', False, 5, [py, 'tests/sim/check_export.py', '--build', build]),
        ('stage', False, 5, [py, 'perf/stage.py', '--build', build, '--check']),
        ('demo', True, 4, e2e('demo.py')),
        ('sabotage', True, 6, e2e('sabotage_all.py')),
        ('e2e', True, 10, e2e('storm.py')),
        ('storm', True, 5, e2e('storm_wire.py', '--minutes', '1')),
        ('feed', True, 4, e2e('feed.py')),
        ('readme', True, 3, e2e('readme.py')),
        ('auth', True, 8, e2e('auth.py')),
        ('ring-wrap', True, 10, e2e('ring_wrap.py', *([] if named else ['--amount', '256M']))),
        ('lapped', True, 6, e2e('lapped.py')),
        ('hot', True, 4, e2e('hot.py')),
    ]
    return listed


def run_one(name, minutes, command, log):
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL)
    try:
        code = process.wait(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        code = 'no end within %d minutes' % minutes
    return code, time.monotonic() - began


def perform(test):
    name, _, minutes, command = test
    with tempfile.NamedTemporaryFile('w+', prefix='keel-%s-' % name, suffix='.log', delete=False) as log:
        code, took = run_one(name, minutes, command, log)
    with open(log.name, errors='replace') as file:
        text = file.read()
    if code == 0:
        print('ok    %-12s %6.1f s  %s' % (name, took, facts(text)), flush=True)
        os.unlink(log.name)
    else:
        print('FAIL  %-12s %6.1f s  exit %s; its log: %s' % (name, took, code, log.name))
        print('\n'.join('      ' + line for line in text.splitlines()[-40:]), flush=True)
    return code == 0


def groups(chosen):
    """The tests in order, those that may run side by side together."""
    group = []
    for test in chosen:
        if group and not (test[0] in BESIDE and group[-1][0] in BESIDE):
            yield group
            group = []
        group.append(test)
    if group:
        yield group


def facts(text):
    """The line of a log that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r'^\d+ rounds? ', r'^\d+ passed, \d+ failed', r'^Ok:\s', r'PROVEN', r'^[a-z-]+: .*holds'):
        for line in reversed(lines):
            if re.search(pattern, line):
                return re.sub(r'\s+', ' ', line)[:100]
    return lines[-1][:100] if lines else ''


def main():
    parser = argparse.ArgumentParser(prog='./dev test', description=__doc__)
    parser.add_argument('names', nargs='*')
    parser.add_argument('--list', action='store_true', help='name the tests')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--sanitized', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--fuzz', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    sanitized = os.path.abspath(options.sanitized)
    fuzz = os.path.abspath(options.fuzz)
    listed = tests(build, sanitized, fuzz, bool(options.names))
    if options.list:
        print('\n'.join(t[0] for t in listed))
        return 0
    unknown = set(options.names) - {t[0] for t in listed}
    if unknown:
        print('dev: no test %s; there are: %s' % (', '.join(sorted(unknown)),
                                                  ' '.join(t[0] for t in listed)), file=sys.stderr)
        return 2
    chosen = [t for t in listed if not options.names or t[0] in options.names]
    passed, failed = 0, []
    began = time.monotonic()
    for group in groups(chosen):
        if group[0][1] and os.geteuid() != 0:
            print('FAIL  %-12s needs root for network namespaces: run as root' % group[0][0])
            failed.append(group[0][0])
            continue
        print('      %-12s ...' % ', '.join(test[0] for test in group), end='\r', flush=True)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for test, good in zip(group, pool.map(perform, group)):
                passed += good
                if not good:
                    failed.append(test[0])
    print('%d s in all%s' % (time.monotonic() - began,
                             '; failed: ' + ' '.join(failed) if failed else ''))
    print('%d passed, %d failed' % (passed, len(failed)))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
