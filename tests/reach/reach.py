"""./dev reach: which of the 40 named rare states did the tests' runs reach, and how often?

    reach.py [--build DIR] [--seconds S] [--seeds N] [--first-seed S] [--json] [--keep]
    reach.py --kept [--build DIR] [--seeds N] [--first-seed S] [--json]

Runs the core's transcripts, then random worlds of the core, then simulated seeds, within the time, and
prints for each state of tests/reach/reach_table.c its count, where it was reached first, and the command
that shows that. A generator that never makes the bad input finds nothing: a state that was never reached
fails.

--kept, of ./dev test, runs the transcripts, the places of tests/reach/seeds.txt, and N seeds and some worlds
from S on. A change of the simulator's draws moves its seeds: a state that its kept place has lost is looked for
in the first few hundred, and is named; --keep writes down where it is now.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEPT = os.path.join(HERE, 'seeds.txt')
HEAD = """# Where each rare state is reached that no transcript of the core can show: state, simulated seed.
# `./dev reach --keep` writes this file; ./dev test reach replays it.
"""
QUIET = ('election.txt', 'learner.txt', 'duplicate_appends.txt')  # nothing rare happens there
SEARCH_SEEDS, WORLDS = 300, 50


class Counts:
    """What was reached, by state."""

    def __init__(self):
        self.sentence = {}      # by name, in the table's order
        self.count = {}
        self.first = {}         # name -> (what kind of run, its name, time in ns)
        self.places = {}        # name -> names of the seeds
        self.runs = {'transcript': 0, 'world': 0, 'seed': 0}
        self.failed = []
        self.quiet = []         # states in a transcript that has none

    def take(self, kind, line):
        """A line of a run's output."""
        words = line.rstrip('\n').split('\t')
        if words[0] == 'state':
            self.sentence[words[1]] = words[2]
        elif words[0] == 'reach':
            name, count, at, where = words[1], int(words[2]), int(words[3]), words[4]
            self.count[name] = self.count.get(name, 0) + count
            self.first.setdefault(name, (kind, where, at))
            if kind == 'seed':
                self.places.setdefault(name, []).append(where)
            if where in QUIET:
                self.quiet.append('%s is counted in %s' % (name, where))
        elif words[0] == 'seed' and len(words) > 1:
            self.runs['seed'] += 1
        elif line.startswith('ok ') and kind == 'transcript':
            self.runs['transcript'] += 1
        elif line.startswith(('not ok', 'FAILED seed')) or ' seed ' in line and line.startswith('# seed'):
            self.failed.append(line.strip())
        elif 'replay: ' in line and self.failed:
            self.failed[-1] += '; ' + line.strip(' #\n')

    def missing(self):
        return [name for name in self.sentence if name not in self.count]


class Progress:
    def __init__(self, counts, quiet):
        self.counts, self.quiet = counts, quiet
        self.began = self.said = time.monotonic()
        self.tty = sys.stderr.isatty()

    def say(self, last=False):
        now = time.monotonic()
        if self.quiet or (not last and now - self.said < (0.5 if self.tty else 10)):
            return
        self.said = now
        c = self.counts
        print('%s%d transcripts, %d core worlds, %d seeds: %d of %d states, %.0f s %s'
              % ('\r' if self.tty else '', c.runs['transcript'], c.runs['world'], c.runs['seed'],
                 len(c.count), len(c.sentence), now - self.began, '' if self.tty and not last else '\n'),
              end='', file=sys.stderr, flush=True)


def run(counts, progress, kind, command, environment=None, enough=None):
    """Takes a command's lines as they come; `enough` ends it."""
    with tempfile.TemporaryFile('w+') as errors, \
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
                             env=dict(os.environ, **(environment or {}))) as process:
        for line in process.stdout:
            counts.take(kind, line)
            progress.say()
            if enough is not None and enough():
                process.terminate()
                break
        ended = process.wait()
        errors.seek(0)
        told = errors.read()
    if ended not in (0, 1, -15):
        counts.failed.append('%s ended with %d: %s' % (command[0], ended, told[-500:]))


def transcripts(args, counts, progress):
    files = sorted(glob.glob(os.path.join(ROOT, 'tests/scenarios/raft/*.txt')))
    run(counts, progress, 'transcript',
        [os.path.join(args.build, 'tests/unit/raft/raft_scenarios'), '--reach', *files])


def worlds(args, counts, progress, until):
    """Some at least."""
    first = args.first_seed
    while first == args.first_seed or time.monotonic() < until:
        run(counts, progress, 'world', [os.path.join(args.build, 'tests/unit/raft/test_raft_random')],
            {'KEEL_RAFT_REACH': '1', 'KEEL_RAFT_SEED': str(first), 'KEEL_RAFT_SEEDS': str(WORLDS)})
        counts.runs['world'] += WORLDS
        first += WORLDS


def seeds(args, counts, progress, first, number=None, seconds=None, enough=None):
    words = [os.path.join(args.build, 'tests/sim/keel-sim'), '--reach', '--quiet', '--jobs', str(args.jobs),
             '--first-seed', str(first)]
    words += ['--seeds', str(number)] if number else []
    words += ['--seconds', str(max(1, int(seconds)))] if seconds else []
    run(counts, progress, 'seed', words, enough=enough)


def kept():
    with open(KEPT) as file:
        return [line.split() for line in file if line.strip() and not line.startswith('#')]


def same_trace(args, counts, seed):
    """Whoever asks for rare states changes nothing."""
    command = [os.path.join(args.build, 'tests/sim/keel-sim'), '--quiet', '--trace', '--seed', seed]
    shown = []
    for words in (command, [*command, '--reach']):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        shown.append([line for line in done.stdout.splitlines() if line.startswith('seed ')])
    if not shown[0] or shown[0] != shown[1]:
        counts.failed.append('seed %s has another trace when rare states are asked for' % seed)


def replay_kept(args, counts, progress):
    """The states that moved away from their places."""
    places = kept()
    for seed in sorted({int(seed) for _, seed in places}):
        seeds(args, counts, progress, seed, number=1)
    same_trace(args, counts, places[0][1])
    moved = [name for name, seed in places if seed not in counts.places.get(name, [])]
    if args.seeds:
        worlds(args, counts, progress, 0)
        seeds(args, counts, progress, args.first_seed, args.seeds)
    lost = set(counts.missing())
    if lost:
        seeds(args, counts, progress, 1, SEARCH_SEEDS,
              enough=lambda: not lost.intersection(counts.missing()))
    return moved


def write_kept(counts):
    """Few seeds that show all states that no transcript shows; what is kept and true stays."""
    wanted = [name for name in counts.sentence
              if counts.first.get(name, ('',))[0] not in ('transcript', '')]
    before, chosen = dict(kept()) if os.path.exists(KEPT) else {}, {}
    for name in wanted:
        if before.get(name) in counts.places.get(name, []):
            chosen[name] = before[name]
    while len(chosen) < len(wanted):
        shows = {}
        for name in wanted:
            for seed in counts.places.get(name, []) if name not in chosen else []:
                shows.setdefault(seed, []).append(name)
        if not shows:
            break
        best = max(shows, key=lambda seed: (len(shows[seed]), -int(seed)))
        chosen.update({name: best for name in shows[best]})
    with open(KEPT, 'w') as file:
        file.write(HEAD + ''.join('%s %s\n' % (name, chosen[name]) for name in wanted if name in chosen))


def command_for(first):
    kind, where, at = first
    if kind == 'transcript':
        return 'tests/scenarios/raft/%s' % where
    if kind == 'world':
        return 'KEEL_RAFT_SEED=%s KEEL_RAFT_TRACE=1 build/tests/unit/raft/test_raft_random' % where
    return './dev sim --seed %s --timeline seed-%s.html --from %.2f --to %.2f' \
        % (where, where, max(0, at / 1e9 - 0.3), at / 1e9 + 0.2)


def report(args, counts, moved, took):
    missing, places = counts.missing(), dict(kept())
    good = not missing and not counts.failed and not counts.quiet and len(counts.sentence) == 40
    if args.json:
        states = [{'name': name, 'sentence': sentence, 'count': counts.count.get(name, 0),
                   'first': command_for(counts.first[name]) if name in counts.first else None}
                  for name, sentence in counts.sentence.items()]
        print(json.dumps({'runs': counts.runs, 'states': states, 'missing': missing, 'moved': moved,
                          'failed': counts.failed + counts.quiet, 'seconds': round(took, 1)}, indent=1))
        return good
    for name, sentence in counts.sentence.items():
        print('%-22s %8d  %s' % (name, counts.count.get(name, 0), sentence))
        if name in counts.first:
            print('%33s%s' % ('', command_for(counts.first[name])))
        if name in places:
            print('%33sno transcript shows it; kept: ./dev sim --seed %s --reach' % ('', places[name]))
    for name in moved:
        print('moved: %s is not where tests/reach/seeds.txt says any more; ./dev reach --keep finds it a '
              'place' % name)
    for what in counts.failed + counts.quiet:
        print('FAILED: %s' % what)
    for name in missing:
        print('FAILED: %s was never reached: %s' % (name, counts.sentence[name]))
    print('reach: %d of %d states in %d transcripts, %d core worlds, %d seeds, %.0f s%s'
          % (len(counts.sentence) - len(missing), len(counts.sentence), counts.runs['transcript'],
             counts.runs['world'], counts.runs['seed'], took, ': all holds' if good else ''))
    return good


def main():
    parser = argparse.ArgumentParser(prog='./dev reach', description=__doc__.split('\n\n', maxsplit=1)[0])
    parser.add_argument('--build', default=os.path.join(ROOT, 'build'))
    parser.add_argument('--seconds', type=int, default=120, help='about so long (default 120)')
    parser.add_argument('--seeds', type=int, help='at most so many simulated seeds')
    parser.add_argument('--first-seed', type=int, default=1, help='of worlds and seeds (default 1)')
    parser.add_argument('--jobs', type=int, default=min(os.cpu_count() or 1, 16))
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--kept', action='store_true', help='transcripts and kept seeds only')
    parser.add_argument('--keep', action='store_true', help='writes tests/reach/seeds.txt')
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    counts, began, moved = Counts(), time.monotonic(), []
    progress = Progress(counts, args.json)
    transcripts(args, counts, progress)
    if args.kept:
        moved = replay_kept(args, counts, progress)
    else:
        worlds(args, counts, progress, began + args.seconds / 5)
        seeds(args, counts, progress, args.first_seed, args.seeds, began + args.seconds - time.monotonic())
    progress.say(last=True)
    if args.keep:
        write_kept(counts)
    return 0 if report(args, counts, moved, time.monotonic() - began) else 1


if __name__ == '__main__':
    sys.exit(main())
