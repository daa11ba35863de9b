"""./dev soak: the large tier. Long runs of every tool, in slices, each going on where the last one stopped.

Every row has a share of the time; the row that is furthest behind its share gets the next slice. What was run
adds to the totals in tests/totals.json, and the table in tests/TRACK-RECORD.md is written anew from it,
beside the goal for a release. Stopped at any moment (Ctrl-C), it loses the slice under way. A slice that fails
is kept with its log, and the next begins behind it: the run goes on, and ends with exit 1.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Callable, NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TOTALS = os.path.join(HERE, 'totals.json')
RECORD = os.path.join(HERE, 'TRACK-RECORD.md')
BEGIN, END = '<!-- totals: written by ./dev soak -->', '<!-- end of totals -->'
CORES = os.cpu_count() or 1
SLICE_S = 150
LIMIT = 10  # a slice may take so many times its length: then it hangs
SCOPES = ('restart', 'drive', 'terms', 'links', 'votes', 'holes', 'members', 'replace', 'full')
MUTANTS = ('a', 'explore', 'members', 'transfer', 'checkpoint', 'repair')


def number(pattern, text):
    found = re.search(pattern, text, re.M)
    return int(found[1].replace(',', '')) if found else 0


def named(line, text):
    """{name: count} of the line that begins with `line`."""
    found = re.search(r'^%s (.*)$' % re.escape(line), text, re.M)
    return {name: int(count) for name, count in re.findall(r'([a-z-]+) (\d+)', found[1])} if found else {}


# --- rows: the command of a slice, and what it adds -----------------------------------------------------


def sim(build, first, seconds):
    return [build + '/tests/sim/keel-sim', '--quiet', '--first-seed', str(first), '--seconds',
            str(seconds), '--jobs', str(CORES)], {}


def sim_adds(text):
    hours = re.search(r'^\d+ seeds, ([\d.]+) simulated hours', text, re.M)
    return {'seeds': number(r'^(\d+) seeds, ', text), 'messages': number(r'(\d+) messages ordered', text),
            'simulated-seconds': round(float(hours[1]) * 3600) if hours else 0, **named('faults:', text)}


def worlds(build, first, seconds):
    return [build + '/tests/unit/raft/test_raft_random'], {'KEEL_RAFT_SEED': str(first),
                                                           'KEEL_RAFT_SEEDS': str(seconds * 40)}


def worlds_adds(text):
    return {'worlds': number(r'^# (\d+) worlds', text),
            'joint-configurations': number(r'(\d+) joint conf', text)}


def determinism(build, first, seconds):
    return ['tests/sim/determinism.sh', str(max(5, seconds // 5)), str(first)], {}


def determinism_adds(text):
    seeds = re.findall(r'^ok .*, (\d+) seeds', text, re.M)
    return {'seeds': int(seeds[0]) if seeds else 0, 'pairs': sum(map(int, seeds))}


def explore(build, first, seconds):
    again = 1 + first // len(SCOPES)  # a search begins anew each time, and must get further
    return [build + '/tests/explore/keel-explore', '--scope', SCOPES[first % len(SCOPES)], '--seconds',
            str(seconds * again)], {}


def explore_adds(text):
    scope = re.search(r'--scope (\w+)', text)
    return {'most-states-' + (scope[1] if scope else 'unknown'):
            number(r'^explore: (\d+) states distinct', text)}


def mutants(build, first, seconds):
    return [sys.executable, 'tests/mutants/mutants.py', '--set', MUTANTS[first % len(MUTANTS)]], {}


def mutants_adds(text):
    found = re.search(r'^(\d+) of (\d+) found', text, re.M)
    of_set = re.search(r'--set (\w+)', text)
    return {'most-found-' + (of_set[1] if of_set else 'unknown'): int(found[1])} if found else {}


def images(build, first, seconds):
    return [sys.executable, 'tests/images/images.py', '--build', build, '--seed', str(first)], {}


def images_adds(text):
    return {'crash-images': number(r'(\d+) crash images', text),
            'bit-flips': number(r'(\d+) bit flips', text),
            'failed-operations': number(r'(\d+) failed disk operations', text)}


def storm(build, first, seconds):
    return [sys.executable, 'tests/e2e/storm_wire.py', '--build', build, '--minutes',
            '%.1f' % (seconds / 60), '--seed', str(first)], {}


def storm_adds(text):
    return {'rounds': number(r'^(\d+) rounds? from seed', text),
            'kills': number(r'(\d+) SIGKILLs, \d+ messages answered$', text),
            'messages': number(r'(\d+) messages answered$', text)}


def fuzz(build, first, seconds):
    return [sys.executable, 'tests/fuzz/fuzz.py', '--build', build + '-fuzz', '--seconds',
            str(max(1, seconds // 8))], {}


def fuzz_adds(text):
    return {'executions': sum(map(int, re.findall(r'^ok .*?(\d+) executions', text, re.M)))}


class Row(NamedTuple):
    share: int
    command: Callable  # (build, first seed, seconds) to (words, environment)
    adds: Callable     # output and command to {what: how many}; of `most-...` the total keeps the largest
    moves: str = ''    # the one by which the next slice's first seed moves on; else by 1
    root: bool = False


ROWS = {
    'sim': Row(40, sim, sim_adds, 'seeds'),
    'worlds': Row(8, worlds, worlds_adds, 'worlds'),
    'determinism': Row(4, determinism, determinism_adds, 'seeds'),
    'explore': Row(10, explore, explore_adds),
    'mutants': Row(8, mutants, mutants_adds),
    'images': Row(8, images, images_adds),
    'storm': Row(14, storm, storm_adds, 'rounds', root=True),
    'fuzz': Row(8, fuzz, fuzz_adds),
}

# Row of the reliability goals, what is counted, the release goal, where it is counted.
GOALS = [
    ('1', 'random clusters of 3, 5 and 7, all knobs', 'seeds', 1000000, 'sim', ('seeds',)),
    ('1', 'random worlds of the Raft core alone', 'worlds', None, 'worlds', ('worlds',)),
    ('2', 'same seed, two compilers, two levels', 'pairs', 10000, 'determinism', ('pairs',)),
    ('3', 'partitions: cuts both ways and one way, flapping, clogs', 'faults', 10 ** 6, 'sim',
     ('cut', 'cut-one-way', 'flap', 'clog')),
    ('4', 'crashes and restarts, in-flight sectors torn', 'crashes', 10 ** 7, 'sim', ('crash', 'crash-all')),
    ('5', 'pauses, clock drift and steps', 'faults', 10 ** 6, 'sim', ('pause', 'clock-drift', 'clock-step')),
    ('6', 'rot, read errors, misdirected, lost and stale writes', 'faults', 10 ** 6, 'sim',
     ('rot', 'latent', 'misdirected', 'phantom', 'stale', 'strike-rest', 'strike-running')),
    ('7', 'whole disk lost', 'disks', 10 ** 5, 'sim', ('disk-lost',)),
    ('8', 'membership changes under fire', 'changes', 10 ** 5, 'sim', ('members',)),
    ('10', 'exhaustive small scopes', 'states', 10 ** 9, 'explore',
     tuple('most-states-' + scope for scope in SCOPES)),
    ('11', 'planted bugs', 'found', 60, 'mutants',
     tuple('most-found-' + name for name in MUTANTS)),
    ('12', 'crash images of the ring', 'images', 10 ** 7, 'images', ('crash-images',)),
    ('13', 'single-bit flips of a 1 MiB ring', 'flips', 8388608, 'images', ('bit-flips',)),
    ('14', 'n-th disk operation fails', 'operations', None, 'images', ('failed-operations',)),
    ('15', 'SIGKILL storm on real processes', 'kills', 20000, 'storm', ('kills',)),
    ('16', 'fuzz executions', 'executions', 10 ** 10, 'fuzz', ('executions',)),
]


# --- totals ---------------------------------------------------------------------------------------------


def load():
    try:
        with open(TOTALS) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def replace(path, text):
    with open(path + '.new', 'w') as file:
        file.write(text)
    os.replace(path + '.new', path)


def write_record(totals):
    with open(RECORD) as file:
        text = file.read()
    if BEGIN not in text:
        text += '\n%s\n%s\n' % (BEGIN, END)
    before, rest = text.split(BEGIN, 1)
    replace(RECORD, before + BEGIN + '\n' + table(totals) + END + rest.split(END, 1)[1])


def table(totals):
    lines = ['## Totals of the large tier', '',
             'Rows as in the reliability goals; a share of the goal is rounded down. One machine of %d '
             'cores.' % CORES, '', '| row | what | so far | goal for a release | share |', '|---|---|---|---|---|']
    for number_, what, unit, goal, row, keys in GOALS:
        have = sum(totals.get(row, {}).get('counts', {}).get(key, 0) for key in keys)
        lines.append('| %s | %s | %s %s | %s | %s |' % (
            number_, what, format(have, ','), unit, format(goal, ',') if goal else '-',
            '%.3g %%' % (100 * have / goal) if goal else '-'))
    seconds = sum(row['seconds'] for row in totals.values())
    failures = sum(len(row['failures']) for row in totals.values())
    lines += ['', '%.1f hours, %d slices, %d that failed.' % (
        seconds / 3600, sum(row['slices'] for row in totals.values()), failures)]
    lines += ['- failed: `%s`: %s' % (f['command'], f['said'])
              for row in totals.values() for f in row['failures']]
    return '\n'.join(lines) + '\n'


# --- slices ---------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def run(words, environment, limit):
    """Exit code and output; all that the slice has started ends with it."""
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors='replace',
                               env={**os.environ, **environment}, start_new_session=True)
    try:
        return 'exit', process.communicate(timeout=limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        return 'no end within %d s' % limit, process.communicate()[0], 1
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise


def slice_of(name, totals, build, seconds):
    """Runs one slice and adds it to the totals; False: it failed."""
    row = ROWS[name]
    mine = totals.setdefault(name, {'next': 1, 'seconds': 0, 'slices': 0, 'counts': {}, 'failures': []})
    words, environment = row.command(build, mine['next'], seconds)
    command = ' '.join(['%s=%s' % pair for pair in environment.items()] +
                       ['python3' if word == sys.executable else word.replace(ROOT + '/', '') for word in words])
    began = time.monotonic()
    how, text, code = run(words, environment, seconds * LIMIT + 600)
    took = time.monotonic() - began
    added = row.adds(text + '\n' + command)
    mine['next'] += max(1, added.get(row.moves, 0))
    mine['seconds'] += round(took)
    mine['slices'] += 1
    for key, count in added.items():
        before = mine['counts'].get(key, 0)
        mine['counts'][key] = max(before, count) if key.startswith('most-') else before + count
    shown = ', '.join('%s %s' % (format(count, ','), key) for key, count in added.items() if count)[:110]
    if code != 0:
        log = os.path.join(build, 'soak-%s-%d.log' % (name, mine['slices']))
        replace(log, text)
        said = [line for line in text.splitlines() if 'FAIL' in line or 'not ok' in line or 'violation' in line]
        mine['failures'].append({'command': command, 'said': (said or [how])[0][:200]})
        print('FAIL  %-12s %5.0f s  %s\n      %s\n      its log: %s' % (name, took, shown, command, log),
              flush=True)
    else:
        print('ok    %-12s %5.0f s  %s' % (name, took, shown), flush=True)
    return code == 0


def furthest_behind(names, totals):
    return min(names, key=lambda name: totals.get(name, {}).get('seconds', 0) / ROWS[name].share)


def main():
    parser = argparse.ArgumentParser(prog='./dev soak', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rows', nargs='*', metavar='ROW', help='these alone: ' + ' '.join(ROWS))
    parser.add_argument('--hours', type=float, default=2, help='no slice is begun after that (2)')
    parser.add_argument('--slice', type=int, default=SLICE_S, metavar='SECONDS',
                        help='of a row whose length can be chosen (%d)' % SLICE_S)
    parser.add_argument('--report', action='store_true', help='print the totals, run nothing')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown or options.hours <= 0 or options.slice < 10:
        parser.error('no row %s; there are: %s' % (unknown[0], ' '.join(ROWS)) if unknown
                     else 'hours above 0, slices of 10 s or more')
    totals = load()
    if options.report:
        print(table(totals), end='')
        return 0
    names = [name for name in options.rows or ROWS if not ROWS[name].root or os.geteuid() == 0]
    if len(names) < len(options.rows or ROWS):
        print('      without root: no storm')
    build, began, failed = os.path.abspath(options.build), time.monotonic(), 0
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        while names and time.monotonic() - began < options.hours * 3600:
            name = furthest_behind(names, totals)
            print('      %4.0f min  %s ...' % ((time.monotonic() - began) / 60, name),
                  end='\r' if sys.stdout.isatty() else '\n', flush=True)
            failed += not slice_of(name, totals, build, options.slice)
            replace(TOTALS, json.dumps(totals, indent=1, sort_keys=True) + '\n')
            write_record(totals)
    except KeyboardInterrupt:
        print('      stopped; the slice under way is not counted')
    print(table(totals), end='')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
