"""./dev test: every test, or the named ones; one line each, the log of what failed, a closing count. What a
named test prints is shown as it comes.

A run of everything is one tier of two: long tests take a share of their parts, and some run at half of
the commits only. A test that is named, and all of them with --whole, run at their full length. Which part,
and which seeds, goes by the turn: the number of commits so far, or --turn.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# Nothing in them depends on time: those that follow each other run side by side.
BESIDE = {'explore', 'export', 'repair', 'timeline', 'shrink', 'reach', 'stage'}
BOUND_S = 20 * 60  # of a run of everything
SIM_SEEDS, WORLDS, EXPORTED, PAIRED, BEYOND, STANDBYS = 500, 400, 20, 5, 40, 60  # seeds a turn


class Test(NamedTuple):
    name: str
    root: bool          # makes network namespaces
    minutes: int        # at most
    command: list
    less: list = None   # the command of a run of everything: a smaller tier, or a part by turns
    turn: int = None    # of a run of everything: half of them only


def tests(build, sanitized, fuzz, turn):
    """What there is, in the order that finds most soonest. `turn` says which parts a share takes."""
    py, cores = sys.executable, str(os.cpu_count())

    def e2e(script, *words):
        return [py, os.path.join(HERE, 'e2e', script), '--build', build, *words]

    def units(directory, *words, worlds=WORLDS):
        return ['env', 'KEEL_RAFT_SEED=%d' % first(WORLDS), 'KEEL_RAFT_SEEDS=%d' % worlds, 'meson', 'test',
                '-C', directory, '--no-rebuild', '--print-errorlogs', '--num-processes', cores, *words]

    def first(each):
        """The first seed of this turn; the next turn begins behind the last."""
        return 1 + turn * each

    slow = ['--timeout-multiplier', '5', '--no-suite', 'slow', '--no-suite', 'plain']
    half, fourth = '%d/2' % (turn % 2), '%d/4' % (turn % 4)
    return [
        Test('format', False, 2, ['./dev', 'format', '--check']),
        Test('mutants', False, 5, [py, 'tests/mutants/mutants.py', '--turn', str(turn)]),
        Test('totals', False, 1, [py, 'tests/soak.py', '--build', build, '--check']),
        Test('unit', False, 10, units(build), units(build, '--no-suite', 'slow')),  # `images` has those
        Test('sanitized', False, 15, units(sanitized, *slow), units(sanitized, *slow, worlds=WORLDS // 4)),
        Test('coverage', False, 20, ['./dev', 'coverage'], turn=1),
        Test('fuzz', False, 5, [py, 'tests/fuzz/fuzz.py', '--build', fuzz, '--seconds', '3', '--kept']),
        Test('images', False, 10, [py, 'tests/images/images.py', '--build', build, '--seed', str(turn)]),
        Test('sim', False, 10, [os.path.join(build, 'tests/sim/keel-sim'), '--seeds', str(SIM_SEEDS),
                                '--first-seed', str(first(SIM_SEEDS)), '--jobs', cores]),
        Test('gray', False, 6, [os.path.join(build, 'tests/gray/keel-gray'), '--seeds', '9'],
             [os.path.join(build, 'tests/gray/keel-gray'), '--seeds', '5', '--seed', str(turn),
              '--factor', str((10, 100, 1000)[turn % 3])]),
        Test('determinism', False, 10, ['tests/sim/determinism.sh', str(PAIRED), str(first(PAIRED))], turn=1),
        Test('explore', False, 5, [py, 'tests/explore/check.py', '--build', build]),
        Test('export', False, 5, [py, 'tests/sim/check_export.py', '--build', build, '--seeds',
                                  str(EXPORTED), '--seed', str(first(EXPORTED))]),
        Test('repair', False, 8, [py, 'tests/sim/check_repair.py', '--build', build, '--judge']),
        Test('timeline', False, 3, [py, 'tests/sim/check_timeline.py', '--build', build]),
        Test('holders', False, 3, [py, 'tests/sim/check_holders.py', '--build', build, '--first-seed',
                                   str(first(BEYOND))]),
        Test('standbys', False, 4, [os.path.join(build, 'tests/sim/keel-sim'), '--standbys', '--seeds', str(STANDBYS),
                                    '--first-seed', str(first(STANDBYS)), '--jobs', cores, '--quiet']),
        Test('shrink', False, 3, [py, 'tests/sim/check_planted.py', '--build', build]),
        Test('reach', False, 8, [py, 'tests/reach/reach.py', '--build', build, '--kept', '--seeds',
                                 str(EXPORTED), '--first-seed', str(first(EXPORTED))]),
        Test('stage', False, 5, [py, 'perf/stage.py', '--build', build, '--check']),
        Test('demo', True, 4, e2e('demo.py')),
        Test('failover', True, 3, e2e('failover.py'), e2e('failover.py', '--only', ('alive', 'dead')[turn % 2])),
        Test('self-heal', True, 3, e2e('self_heal.py')),
        Test('leases', True, 4, e2e('leases.py')),
        Test('operators', True, 2, e2e('operators.py')),
        Test('genesis', True, 15, e2e('genesis.py', '--seed', str(turn)),
             e2e('genesis.py', '--seed', str(turn), '--share', '%d/8' % (turn % 8))),
        Test('sabotage', True, 6, e2e('sabotage_all.py'), e2e('sabotage_all.py', '--share', half)),
        Test('e2e', True, 12, e2e('storm.py'), e2e('storm.py', '--seed', str(turn), '--faults', '10',
                                                   '--share', fourth)),
        Test('storm', True, 6, e2e('storm_wire.py', '--minutes', '2'),
             e2e('storm_wire.py', '--minutes', '1', '--seed', str(turn))),
        Test('detector', True, 4, e2e('detector.py'), turn=0),
        Test('storm-leases', True, 6, e2e('storm_wire.py', '--leases', '--minutes', '2'),
             e2e('storm_wire.py', '--leases', '--minutes', '1', '--seed', str(turn)), turn=1),
        Test('gray-real', True, 6, e2e('gray.py'), e2e('gray.py', '--no-overload'), turn=0),
        Test('feed', True, 4, e2e('feed.py'), turn=0),
        Test('admin-flood', True, 3, e2e('admin_flood.py'), turn=1),
        Test('readme', True, 3, e2e('readme.py')),
        Test('auth', True, 8, e2e('auth.py'), e2e('auth.py', '--kills', '10'), turn=1),
        Test('ring-wrap', True, 10, e2e('ring_wrap.py'), e2e('ring_wrap.py', '--amount', '256M'),
             turn=0),
        Test('lapped', True, 6, e2e('lapped.py'), turn=0),
        Test('disaster', True, 5, e2e('disaster.py'),
             e2e('disaster.py', '--only', ('recover', 'restore')[turn % 2])),
        Test('hot', True, 4, e2e('hot.py')),
    ]


def commit():
    """How many commits there are: what takes turns goes by it, one after the other. 0 without a repository."""
    done = subprocess.run(['git', 'rev-list', '--count', 'HEAD'], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def show_new(log, shown):
    """What a log has got since `shown` bytes; how many it has now."""
    with open(log.name, 'rb') as file:
        file.seek(shown)
        new = file.read()
    sys.stdout.buffer.write(new)
    sys.stdout.buffer.flush()
    return shown + len(new)


def wait(process, minutes, log, show):
    """Its exit code. Raises subprocess.TimeoutExpired."""
    if not show:
        return process.wait(timeout=minutes * 60)
    until, shown, code = time.monotonic() + minutes * 60, 0, None
    while code is None:
        if time.monotonic() > until:
            raise subprocess.TimeoutExpired(process.args, minutes * 60)
        try:
            code = process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            pass
        shown = show_new(log, shown)
    return code


def run_one(minutes, command, log, show):
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL)
    try:
        code = wait(process, minutes, log, show)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        code = 'no end within %d minutes' % minutes
    return code, time.monotonic() - began


def perform(test, show=False):
    name = test.name
    with tempfile.NamedTemporaryFile('w+', prefix='keel-%s-' % name, suffix='.log', delete=False) as log:
        code, took = run_one(test.minutes, test.command, log, show)
    with open(log.name, errors='replace') as file:
        text = file.read()
    if code == 0:
        print('ok    %-12s %6.1f s  %s' % (name, took, facts(text)), flush=True)
        os.unlink(log.name)
    else:
        print('FAIL  %-12s %6.1f s  exit %s; its log: %s' % (name, took, code, log.name), flush=True)
        if not show:
            print('\n'.join('      ' + line for line in text.splitlines()[-40:]), flush=True)
    return code == 0


def groups(chosen):
    """The tests in order, those that may run side by side together."""
    group = []
    for test in chosen:
        if group and not (test.name in BESIDE and group[-1].name in BESIDE):
            yield group
            group = []
        group.append(test)
    if group:
        yield group


def facts(text):
    """The line of a log that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r'^\d+ rounds? ', r'^\d+ passed, \d+ failed', r'^Ok:\s', r'PROVEN',
                    r'^[a-z-]+: .*holds'):
        for line in reversed(lines):
            if re.search(pattern, line):
                return re.sub(r'\s+', ' ', line)[:100]
    return lines[-1][:100] if lines else ''


def choose(listed, names, whole, turn):
    """The tests of this run, each at its length, and the names of those whose turn it is not."""
    if names:
        return [t for t in listed if t.name in names], []
    if whole:
        return listed, []
    due = [t for t in listed if t.turn in (None, turn % 2)]
    return ([t._replace(command=t.less or t.command) for t in due],
            [t.name for t in listed if t not in due])


def perform_all(chosen, show):
    """How many passed, and the names of those that failed. What is shown goes one after the other."""
    passed, failed = 0, []
    for group in ([test] for test in chosen) if show else groups(chosen):
        if group[0].root and os.geteuid() != 0:
            print('FAIL  %-12s needs root for network namespaces: run as root' % group[0].name)
            failed.append(group[0].name)
            continue
        if sys.stdout.isatty() and not show:
            print('      %-12s ...' % ', '.join(test.name for test in group), end='\r', flush=True)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for test, good in zip(group, pool.map(lambda t: perform(t, show), group)):
                passed += good
                if not good:
                    failed.append(test.name)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(prog='./dev test', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='these tests alone, at their full length')
    parser.add_argument('--list', action='store_true', help='name the tests')
    parser.add_argument('--whole', action='store_true', help='all of them at their full length')
    parser.add_argument('--turn', type=int, metavar='N',
                        help='which shares and which tests take their turn (default: the number of commits)')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--sanitized', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--fuzz', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    turn = commit() if options.turn is None else options.turn
    listed = tests(os.path.abspath(options.build), os.path.abspath(options.sanitized),
                   os.path.abspath(options.fuzz), turn)
    if options.list:
        print('\n'.join(t.name for t in listed))
        return 0
    unknown = set(options.names) - {t.name for t in listed}
    if unknown:
        print('dev: no test %s; there are: %s' % (', '.join(sorted(unknown)),
                                                  ' '.join(t.name for t in listed)), file=sys.stderr)
        return 2
    chosen, later = choose(listed, options.names, options.whole, turn)
    began = time.monotonic()
    passed, failed = perform_all(chosen, bool(options.names))
    if later:
        print('      not this commit\'s turn (%d): %s; `./dev test --whole` runs everything at its full length' % (
            turn, ' '.join(later)))
    whole = bool(options.names) or options.whole
    print('%d s in all%s%s' % (time.monotonic() - began, '' if whole else ' of %d (turn %d)' % (BOUND_S, turn),
                               '; failed: ' + ' '.join(failed) if failed else ''))
    print('%d passed, %d failed' % (passed, len(failed)))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
