"""./dev soak: the large tier. Long runs of every tool, in slices, each going on where the last one stopped.

Every row has a share of the time; the row that is furthest behind its share gets the next slice. What was run
adds to the totals in tests/totals.json, and the table in tests/TRACK-RECORD.md is written anew from it,
beside the goal for a release. Stopped at any moment (Ctrl-C), it loses the slice under way. A slice that fails
is kept with its log, and the next begins behind it: the run goes on, and ends with exit 1.

--report writes the table anew and prints it; a rare state that no run has reached yet fails it. --replay runs again
what failed, and writes down of each whether it passes since. --check: table and totals agree, and of each failure
stands there what became of it.
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
REACH_EACH = 2  # of so many slices of the simulator one counts rare states: it gets a fifth slower
OPEN, HOURS = '**Open.**', 'hours'
SEED_S = 60  # simulated seconds of a seed, as the goals count them
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


def reached(text):
    """{'reached-STATE': how often} of a run that prints rare states."""
    counts = {}
    for name, count in re.findall(r'^reach\t([a-z-]+)\t(\d+)\t', text, re.M):
        counts['reached-' + name] = counts.get('reached-' + name, 0) + int(count)
    return counts


def sim(build, first, seconds):
    return [build + '/tests/sim/keel-sim', '--quiet', '--first-seed', str(first), '--seconds',
            str(seconds), '--jobs', str(CORES)] + (['--reach'] if first % REACH_EACH == 0 else []), {}


def sim_adds(text):
    hours = re.search(r'^\d+ seeds, ([\d.]+) simulated hours', text, re.M)
    return {'seeds': number(r'^(\d+) seeds, ', text), 'messages': number(r'(\d+) messages ordered', text),
            'simulated-seconds': round(float(hours[1]) * 3600) if hours else 0,
            'heals': named('seen:', text).get('heals', 0), **named('faults:', text), **reached(text)}


def worlds(build, first, seconds):
    return [build + '/tests/unit/raft/test_raft_random'], {'KEEL_RAFT_SEED': str(first),
                                                           'KEEL_RAFT_SEEDS': str(seconds * 40),
                                                           'KEEL_RAFT_REACH': '1'}


def worlds_adds(text):
    return {'worlds': number(r'^# (\d+) worlds', text),
            'joint-configurations': number(r'(\d+) joint conf', text), **reached(text)}


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
    name = scope[1] if scope else 'unknown'
    return {'most-states-' + name: number(r'^explore: (\d+) states distinct', text),
            'most-fixpoint-' + name: int('fixpoint yes' in text)}


def mutants(build, first, seconds):
    return [sys.executable, 'tests/mutants/mutants.py', '--record', '--set', MUTANTS[first % len(MUTANTS)]], {}


def mutants_adds(text):
    return {'planted': number(r'^(\d+) passed, ', text)}


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
            'messages': number(r'(\d+) messages answered$', text),
            'forged': sum(map(int, re.findall(r'(\d+) (?:corrupted|forged)', text)))}


def gray(build, first, seconds):
    return [build + '/tests/gray/keel-gray', '--seed', str(first), '--seeds', str(max(3, seconds // 15))], {}


def gray_adds(text):
    seeds = [int(count) for count in re.findall(r'^ok .*\(median of (\d+) seeds', text, re.M)]
    return {'seeds': max(seeds, default=0), 'runs': sum(seeds)}


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
    'gray': Row(4, gray, gray_adds, 'seeds'),
}

def count_of(totals, row, keys):
    return sum(totals.get(row, {}).get('counts', {}).get(key, 0) for key in keys)


# Row of the reliability goals, what is counted, the release goal (a number, or words), where it is counted.
GOALS = [
    ('1', 'random clusters of 3, 5 and 7, all knobs', 'seeds', 1000000, 'sim', ('seeds',)),
    ('1', 'the same in simulated hours: a seed has 31 s, the goal wants %d' % SEED_S, HOURS,
     1000000 * SEED_S // 3600, 'sim', ('simulated-seconds',)),
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
    ('9', 'heals after which a majority had to commit within ten election timeouts', 'heals', 'all', 'sim',
     ('heals',)),
    ('10', 'exhaustive, scope `full`', 'states', 10 ** 9, 'explore', ('most-states-full',)),
    ('10', 'the smaller scopes (%s), all to their fixpoint' % ', '.join(SCOPES[:-1]), 'fixpoints',
     len(SCOPES) - 1, 'explore', tuple('most-fixpoint-' + scope for scope in SCOPES[:-1])),
    ('11', 'planted bugs: see below', None, '60 of 60', None, ()),
    ('12', 'crash images of the ring', 'images', 10 ** 7, 'images', ('crash-images',)),
    ('13', 'single-bit flips of a 1 MiB ring', 'flips', 8388608, 'images', ('bit-flips',)),
    ('14', 'n-th disk operation fails: about 7,000 of a run, a 64th of them a slice', 'operations', 7000,
     'images', ('failed-operations',)),
    ('15', 'SIGKILL storm on real processes', 'kills', 20000, 'storm', ('kills',)),
    ('16', 'fuzz executions', 'executions', 10 ** 10, 'fuzz', ('executions',)),
    ('17', 'frames corrupted or forged on the wire, beside good traffic', 'frames', 10 ** 10, 'storm',
     ('forged',)),
    ('18', 'power cut in a virtual machine: none here has an NVMe drive; rows 12 and 15 stand nearest', None,
     2000, None, ()),
    ('19', 'branches of consensus and parsers: nothing to add up, `./dev test coverage` holds it at 100 %',
     None, '100 %', None, ()),
    ('20', 'gray failure: a slow drive or link, or an overload, beside the same without', 'runs', 10 ** 4,
     'gray', ('runs',)),
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


def split_record():
    """What stands before, between and behind the marks."""
    with open(RECORD) as file:
        before, rest = file.read().split(BEGIN + '\n', 1)
    return before, *rest.split(END, 1)


def write_record(totals):
    before, _, after = split_record()
    replace(RECORD, before + BEGIN + '\n' + table(totals) + END + after)


def states():
    """The names of the rare states."""
    with open(os.path.join(HERE, 'reach', 'reach_table.c')) as file:
        return re.findall(r'^    {"([a-z-]+)",', file.read(), re.M)


def times_reached(totals):
    """{state: how often}, over all rows."""
    return {name: sum(count_of(totals, row, ('reached-' + name,)) for row in totals) for name in states()}


def never_reached(totals):
    times = times_reached(totals)
    return [name for name in times if times[name] == 0]


def goal_line(totals, goal):
    number_, what, unit, wanted, row, keys = goal
    have = count_of(totals, row, keys) // (3600 if unit == HOURS else 1)
    counted = isinstance(wanted, int) and row is not None
    return '| %s | %s | %s | %s | %s |' % (
        number_, what, '%s %s' % (format(have, ','), unit) if row else '-',
        format(wanted, ',') if isinstance(wanted, int) else wanted or '-',
        '%.3g %%' % (100 * have / wanted) if counted else '-')


def reach_lines(totals):
    times, never = times_reached(totals), never_reached(totals)
    rarest = sorted((count, name) for name, count in times.items() if count > 0)[:5]
    return ['', '%d of %d rare states reached (`./dev reach` says what they are)%s. The rarest: %s.' % (
        len(times) - len(never), len(times), '; never: ' + ', '.join(never) if never else '',
        ', '.join('%s %s' % (name, format(count, ',')) for count, name in rarest) or '-')]


def table(totals):
    lines = ['## Totals of the large tier', '',
             'Rows as in the reliability goals; a share of the goal is rounded down. One machine of two cores.', '',
             '| row | what | so far | goal for a release | share |', '|---|---|---|---|---|']
    lines += [goal_line(totals, goal) for goal in GOALS]
    lines += reach_lines(totals)
    seconds = sum(row['seconds'] for row in totals.values())
    failures = [failure for row in totals.values() for failure in row['failures']]
    lines += ['', '%.1f hours, %d slices, %d that failed.' % (
        seconds / 3600, sum(row['slices'] for row in totals.values()), len(failures))]
    lines += ['- `%s`: %s. %s' % (f['command'], f['said'], f.get('became', OPEN)) for f in failures]
    return '\n'.join(lines) + '\n'


def problems(totals):
    """What the record says that is not so, or does not say."""
    found = []
    if split_record()[1] != table(totals):
        found.append('tests/TRACK-RECORD.md has another table than tests/totals.json makes: ./dev soak --report')
    found += ['%s failed, and nobody says what became of it: ./dev soak --replay' % failure['command']
              for row in totals.values() for failure in row['failures'] if 'became' not in failure]
    return found


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


def what_failed(text, how, command):
    """What a slice said, and what shows it alone."""
    for pattern in (r'^# (seed (\d+): .*)$', r'^(FAILED seed (\d+): .*)$', r'^(.*(?:FAIL|violation|not ok).*)$'):
        found = re.search(pattern, text, re.M)
        if found:
            break
    again = command
    if found and found.re.groups == 2:
        again = ('KEEL_RAFT_SEED=%s build/tests/unit/raft/test_raft_random' if found[0].startswith('#') else
                 'build/tests/sim/keel-sim --seed %s --quiet') % found[2]
    return {'said': found[1][:200] if found else how, 'replay': again}


def replay(totals):
    """Runs again what failed and nobody has said anything about since; True if all of that passes."""
    head = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True,
                          check=False).stdout.strip()
    good = True
    for failure in [f for row in totals.values() for f in row['failures'] if 'became' not in f]:
        command = failure.get('replay', failure['command'])
        passes = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, check=False).returncode == 0
        if passes:
            failure['became'] = 'Passes since %s.' % head
        good = good and passes
        print('%s  %s' % ('passes' if passes else 'FAILS ', command), flush=True)
    return good


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
        mine['failures'].append({'command': command, **what_failed(text, how, command)})
        print('FAIL  %-12s %5.0f s  %s\n      %s\n      its log: %s' % (name, took, shown, command, log),
              flush=True)
    else:
        print('ok    %-12s %5.0f s  %s' % (name, took, shown), flush=True)
    return code == 0


def furthest_behind(names, totals):
    return min(names, key=lambda name: totals.get(name, {}).get('seconds', 0) / ROWS[name].share)


def save(totals):
    replace(TOTALS, json.dumps(totals, indent=1, sort_keys=True) + '\n')
    write_record(totals)


def look(options, totals):
    """--report, --replay, --check: the exit code."""
    if options.check:
        wrong = problems(totals)
        print('\n'.join('FAILED: ' + line for line in wrong) or 'soak: the record agrees with the totals: all holds')
        return 1 if wrong else 0
    good = not options.replay or replay(totals)
    save(totals)
    print(table(totals), end='')
    for name in never_reached(totals) if options.report else ():
        print('FAILED: %s was never reached' % name)
    return 0 if good and not (options.report and never_reached(totals)) else 1


def main():
    parser = argparse.ArgumentParser(prog='./dev soak', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rows', nargs='*', metavar='ROW', help='these alone: ' + ' '.join(ROWS))
    parser.add_argument('--hours', type=float, default=2, help='no slice is begun after that (2)')
    parser.add_argument('--slice', type=int, default=SLICE_S, metavar='SECONDS',
                        help='of a row whose length can be chosen (%d)' % SLICE_S)
    parser.add_argument('--report', action='store_true', help='write and print the table, run nothing')
    parser.add_argument('--replay', action='store_true', help='run again what failed')
    parser.add_argument('--check', action='store_true', help='look whether table and totals agree')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown or options.hours <= 0 or options.slice < 10:
        parser.error('no row %s; there are: %s' % (unknown[0], ' '.join(ROWS)) if unknown
                     else 'hours above 0, slices of 10 s or more')
    totals = load()
    if options.report or options.replay or options.check:
        return look(options, totals)
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
            save(totals)
    except KeyboardInterrupt:
        print('      stopped; the slice under way is not counted')
    print(table(totals), end='')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
