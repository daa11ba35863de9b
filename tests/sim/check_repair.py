#!/usr/bin/env python3
"""The table of damage: {fault} x {place} x {whose drive}, found by a start or by the scrub while running.

    check_repair.py --build BUILD [--share K/N] [--judge]

Each cell is a simulated cluster of three (tests/sim/repair_main.c): the product's code over drives on which such a
fault has been made. A cell ends repaired, or stopped with a reason; never lost: the simulator's checks hold
throughout, and with --judge keel-judge decides over the guests' logs, the rings and the lines, those of stopped
replicas too. Cells that may stop are listed below with the reason; every other cell must end repaired.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_export  # noqa: E402

FAULTS = ['tear', 'lost-write', 'misdirected', 'stale-sector', 'latent-error', 'bit-flip']
PLACES = ['header', 'payload', 'tail', 'tail-payload', 'checkpoint', 'superblock']
WHOS = ['leader', 'follower', 'all']
LEGEND = """
header, payload   of a page in the middle of the log: its first sector, its first sector of entries
tail              the head of the very last page, a seal; tail-payload: the entries of one that has some
all               all three drives at once, each at another place: a majority keeps every committed entry. Where the
                  loss shows itself (tail-payload, stale-sector and bit-flip) one copy stays, of what a quorum had
tear              zeros: the first sector alone, or all from the entries on. At the end, found by a start: of the write
                  that the power cut took in flight, which nobody was told of
lost-write,       whole blocks by nature, head and entries: header and payload are one case of two pages; tail and
misdirected       tail-payload are a seal and a page with entries
stale-sector,     one sector. A page is read whole, and one sector that cannot be read takes it all
latent-error
checkpoint        tear and bit-flip hit its state, the others its head
superblock        one of two copies. Its record is one sector: torn and lost are the same
"""
NO_HEAD = 'nobody says any more what the very last page was: it may have been a vote'
CONFIRMED = 'the drive confirmed a page at the end and never made it: nothing on it says so, the peers remember'
# (fault, place, who) that may stop when a start finds it. What the scrub finds under a running replica never may.
MAY_STOP = {
    ('misdirected', 'tail', 'leader'): NO_HEAD,
    ('misdirected', 'tail', 'follower'): NO_HEAD,
    ('misdirected', 'tail', 'all'): NO_HEAD,
    ('stale-sector', 'tail', 'leader'): NO_HEAD,
    ('stale-sector', 'tail', 'follower'): NO_HEAD,
    ('stale-sector', 'tail', 'all'): NO_HEAD,
    ('latent-error', 'tail', 'leader'): NO_HEAD,
    ('latent-error', 'tail', 'follower'): NO_HEAD,
    ('latent-error', 'tail', 'all'): NO_HEAD,
    ('bit-flip', 'tail', 'leader'): NO_HEAD,
    ('bit-flip', 'tail', 'follower'): NO_HEAD,
    ('bit-flip', 'tail', 'all'): NO_HEAD,
    ('misdirected', 'tail-payload', 'leader'): NO_HEAD,
    ('misdirected', 'tail-payload', 'follower'): NO_HEAD,
    ('misdirected', 'tail-payload', 'all'): NO_HEAD,
    ('latent-error', 'tail-payload', 'leader'): NO_HEAD,
    ('latent-error', 'tail-payload', 'follower'): NO_HEAD,
    ('latent-error', 'tail-payload', 'all'): NO_HEAD,
    ('lost-write', 'tail-payload', 'follower'): CONFIRMED,
}
TIMEOUT_S = 240
REASON_SHOWN = 100  # of what a stopped replica says: so much of it


def may_stop(cell):
    """Why a cell may end stopped; None: it must be repaired."""
    return MAY_STOP.get(cell[:3]) if cell[3] == 'restart' else None


def may_need_nothing(cell):
    """An end that goes as a tear, or that reads as never written; a checkpoint area of zeros, which the next
    checkpoint takes as any empty one."""
    fault, place, _, when = cell
    return when == 'restart' and fault in ('tear', 'lost-write') and place.startswith('tail') or (
        when == 'restart' and fault == 'lost-write' and place == 'checkpoint')


def judged(judge, directory, said):
    """What the judge says of a cell that ended so: `said`, or that something was lost."""
    words = [judge] + check_export.arguments(directory)
    if said.startswith('stopped: '):
        for replica in said.split(':')[1].split():
            words += ['--stopped', replica]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S)
    proven = any(line == 'PROVEN' for line in ran.stdout.splitlines())
    return said if ran.returncode == 0 and proven else 'LOST: says the judge: ' + ran.stdout[-300:]


def run(program, judge, number):
    """What became of a cell: 'repaired', 'stopped: why', or what went wrong."""
    base = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    directory = tempfile.mkdtemp(prefix='keel-repair-', dir=base)
    try:
        words = [program, '--cell', str(number)] + (['--export', directory] if judge else [])
        ran = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S)
        lines = ran.stdout.strip().splitlines()
        said = lines[-1] if lines else 'failed: no answer: ' + ran.stderr[-300:]
        if judge and said.startswith(('repaired', 'stopped')):
            said = judged(judge, directory, said)
        return said
    finally:
        shutil.rmtree(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True)
    parser.add_argument('--share', default='0/1', help='K/N: every N-th cell, from the K-th on')
    parser.add_argument('--judge', action='store_true', help='keel-judge decides, too')
    options = parser.parse_args()
    share, shares = (int(word) for word in options.share.split('/'))
    program = os.path.join(options.build, 'tests/sim/keel-repair')
    judge = os.path.join(options.build, 'tests/judge/keel-judge') if options.judge else None
    listed = subprocess.run([program, '--list'], capture_output=True, text=True, check=True).stdout.splitlines()
    cells = [(int(line.split()[0]), tuple(line.split()[1:])) for line in listed]
    cells = [cell for cell in cells if cell[0] % shares == share]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ended = list(pool.map(lambda cell: run(program, judge, cell[0]), cells))
    table = {cell: said for (_, cell), said in zip(cells, ended)}
    numbers = {cell: number for number, cell in cells}
    bad = []
    for when in ('restart', 'running'):
        print('\n%-24s' % ('found by the scrub' if when == 'running' else 'found by a start'), end='')
        print(''.join('%-14s' % fault for fault in FAULTS))
        for place in PLACES:
            for who in WHOS:
                row = [table.get((fault, place, who, when), '.') for fault in FAULTS]
                print('%-24s' % (place + ', ' + who), end='')
                print(''.join('%-14s' % said.split(':')[0] for said in row))
    print(LEGEND)
    may = {}
    for cell, said in table.items():
        reason = may_stop(cell)
        if said.startswith('stopped') and reason is not None:
            may.setdefault(reason, []).append((cell, said))
        elif not said.startswith('repaired') or (said == 'repaired: 0' and not may_need_nothing(cell)):
            bad.append(cell)
            print('FAILED %s: %s\n  replay: keel-repair --cell %d --verbose' % (' '.join(cell), said, numbers[cell]))
    for reason, stopped in may.items():
        print('stopped, as they may: %s' % reason)
        for cell, said in stopped:
            _, replicas, why = (word.strip() for word in said.split(':', 2))
            print('  %-36s replica %-6s %s' % (' '.join(cell[:3]), replicas + ':', why[:REASON_SHOWN]))
    repaired = sum(1 for said in table.values() if said.startswith('repaired'))
    pieces = sum(int(said.split(': ')[1]) for said in table.values() if said.startswith('repaired'))
    print('%d cells: %d repaired (%d pages and copies made anew), %d stopped as they may, 0 lost' %
          (len(table), repaired, pieces, len(table) - repaired)
          if not bad else '%d cells: %d are not as they must be, %d of them LOST' % (
              len(table), len(bad), sum(1 for said in table.values() if said.startswith('LOST'))))
    print('%d passed, %d failed' % (len(table) - len(bad), len(bad)))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
