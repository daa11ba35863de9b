"""./dev images: crash images of the ring, bit flips of a resting ring, and the n-th disk operation
failing. A run takes another part each time: the seed is the commit's, unless it is given."""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STEP = 64  # of the flips and of the failing operations: a run takes one in so many
EVERY, EVERY_ALL = 10, 13  # sectors in flight of which every subset is tried; above, 200 draws
CRASH_SEEDS, CRASH_SEEDS_ALL = 2, 20

# A class that never came shows nothing: the run fails.
CRASH = ('every-subset', 'durable-prefix', 'legal-tail', 'torn', 'whole', 'run-on',
         'zeroing-in-flight', 'crash-in-recovery')
FLIPS = ('in-page', 'ahead-of-tail', 'in-copy', 'in-checkpoint', 'unused', 'verdict:damaged page',
         'verdict:damaged or lost end')
DISK = ('write-stopped', 'pread-went-on')
DISK_ALL = ('zero-stopped', 'write-start-refused', 'flush-start-refused', 'pread-in-start', 'pwrite-went-on')


def commit_seed():
    """Rotates with the commit; 1 where there is none."""
    done = subprocess.run(['git', 'rev-parse', '--short=7', 'HEAD'], cwd=HERE, capture_output=True,
                          text=True)
    return int(done.stdout, 16) if done.returncode == 0 else 1


def figures(text):
    """{class: count} of the line that begins with `figures:`."""
    found = {}
    for line in re.findall(r'^(?:# )?figures: (.*)$', text, re.M):
        for name, count in re.findall(r'((?:verdict:)?[a-z][a-z -]*?) (\d+)(?= |$)', line):
            found[name] = found.get(name, 0) + int(count)
    return found


def in_parallel(commands):
    """Runs them, as many at a time as there are processors; [(command, exit code, output)]."""
    waiting, running, done = list(commands), [], []
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            command = waiting.pop(0)
            running.append((command, subprocess.Popen(command, stdout=subprocess.PIPE,
                                                      stderr=subprocess.STDOUT, text=True)))
        command, process = running.pop(0)
        text = process.communicate()[0]
        done.append((command, process.returncode, text))
    return done


def part(name, commands, classes):
    """Prints the sum of the figures; True if all held and every class came."""
    totals, good = {}, True
    for command, code, text in in_parallel(commands):
        for key, count in figures(text).items():
            totals[key] = totals.get(key, 0) + count
        if code != 0:
            good = False
            print('FAIL  %s: exit %d: %s' % (name, code, ' '.join(command)))
            print('\n'.join('      ' + line for line in text.splitlines()[-20:]))
    never = [c for c in classes if totals.get(c, 0) == 0]
    print('%s  %-6s %s' % ('ok  ' if good and not never else 'FAIL', name,
                           ', '.join('%s %d' % pair for pair in totals.items())), flush=True)
    if never:
        print('      never came: %s' % ', '.join(never))
    return good and not never, totals


def plan(options):
    """Commands of the three parts."""
    ring = os.path.join(options.build, 'tests/unit/ring')
    nth = os.path.join(options.build, 'tests/images/keel-nth-disk')
    seeds = CRASH_SEEDS_ALL if options.all else CRASH_SEEDS
    crash = [[os.path.join(ring, 'test_ring_crash'), str(options.seed + k),
              str(EVERY_ALL if options.all else EVERY)] for k in range(seeds)]
    share = os.cpu_count() or 1
    offsets = range(STEP) if options.all else [options.seed % STEP]
    flips = [[os.path.join(ring, 'test_ring_flip'), str(p), str(share), str(offset)]
             for offset in offsets for p in range(share)]
    steps = range(1, STEP + 1) if options.all else [1 + options.seed % STEP]
    disk = [[nth, '--seed', str(options.seed), '--every', str(STEP), '--from', str(first)]
            for first in steps]
    return {'crash': (crash, CRASH), 'flips': (flips, FLIPS),
            'disk': (disk, DISK + (DISK_ALL if options.all else ()))}


def main():
    parser = argparse.ArgumentParser(
        prog='./dev images', description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        epilog='parts:\n'
        '  crash  every subset of the sectors in flight at each write boundary (up to %d sectors,\n'
        '         --all: %d; above, 200 draws), power lost, recovered and compared\n'
        '  flips  one bit in %d of a 1 MiB ring, --all: each\n'
        '  disk   one in %d of the disk operations of each of three replicas fails, --all: each;\n'
        '         in the simulator: that replica stops, the others go on\n\n'
        'Example: ./dev images --seed 7 crash flips\n'
        'Exit: 0 all held, 1 one did not, or a class of outcome never came, 2 usage.' %
        (EVERY, EVERY_ALL, STEP, STEP))
    parser.add_argument('names', nargs='*', metavar='PART', help='none: all three')
    parser.add_argument('--all', action='store_true', help='everything: an hour or two')
    parser.add_argument('--seed', type=int, help='default: from the commit')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.seed is None:
        options.seed = commit_seed()
    planned = plan(options)
    unknown = [n for n in options.names if n not in planned]
    if unknown:
        parser.error('no part %s; there are: %s' % (', '.join(unknown), ' '.join(planned)))
    print('seed %d%s' % (options.seed, ', everything' if options.all else ''), flush=True)
    failed, figure = [], {}
    for name in options.names or planned:
        good, totals = part(name, *planned[name])
        figure.update(totals)
        if not good:
            failed.append(name)
    count = len(options.names or planned)
    print('%d passed, %d failed; seed %d, %d crash images, %d bit flips, %d failed disk operations' %
          (count - len(failed), len(failed), options.seed, figure.get('images', 0),
           figure.get('flips', 0), figure.get('disk-failures', 0)))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
