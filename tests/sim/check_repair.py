#!/usr/bin/env python3
"""The table of damage: {fault} x {place} x {whose drive}, found by a start or by the scrub while running.

    check_repair.py --build BUILD [--share K/N] [--judge]

Each cell is a simulated cluster of three (tests/sim/repair_main.c): the product's code over drives on which such a
fault has been made. A cell ends repaired, or stopped with a reason; never lost: the simulator's checks hold
throughout, and with --judge keel-judge decides over the guests' logs, the rings and the lines, too. Cells that may
stop are listed below with the reason; every other cell must end repaired.
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
PLACES = ['header', 'payload', 'tail', 'checkpoint', 'superblock']
WHOS = ['leader', 'follower', 'all']
# (fault, place, who, when) that may stop; None: any.
MAY_STOP = [
    ((None, 'tail', None, 'restart'),
     'the head of the very last page is gone, and no page behind it says what it was: it may have been a vote'),
]
TIMEOUT_S = 240


def may_stop(cell):
    """Why a cell may end stopped; None: it must be repaired."""
    for pattern, reason in MAY_STOP:
        if all(wanted in (None, had) for wanted, had in zip(pattern, cell)):
            return reason
    return None


def may_need_nothing(cell):
    """A tail that goes as a tear; a checkpoint area of zeros, which the next checkpoint takes as any empty one."""
    return cell[1] == 'tail' or (cell[0] == 'lost-write' and cell[1] == 'checkpoint' and cell[3] == 'restart')


def run(program, judge, number):
    """What became of a cell: 'repaired', 'stopped: why', or what went wrong."""
    base = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    directory = tempfile.mkdtemp(prefix='keel-repair-', dir=base)
    try:
        words = [program, '--cell', str(number)] + (['--export', directory] if judge else [])
        ran = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S)
        lines = ran.stdout.strip().splitlines()
        said = lines[-1] if lines else 'failed: no answer: ' + ran.stderr[-300:]
        if judge and said.startswith('repaired'):
            judged = subprocess.run([judge] + check_export.arguments(directory), capture_output=True, text=True,
                                    timeout=TIMEOUT_S)
            if judged.returncode != 0 or 'PROVEN' not in judged.stdout or 'NOT PROVEN' in judged.stdout:
                return 'failed: LOST, says the judge: ' + judged.stdout[-300:]
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
    print()
    for cell, said in table.items():
        reason = may_stop(cell)
        if said.startswith('stopped') and reason is not None:
            print('%s: %s\n    may stop: %s' % (' '.join(cell), said, reason))
        elif not said.startswith('repaired') or (said == 'repaired: 0' and not may_need_nothing(cell)):
            bad.append(cell)
            print('FAILED %s: %s\n  replay: keel-repair --cell %d --verbose' % (' '.join(cell), said, numbers[cell]))
    repaired = sum(1 for said in table.values() if said.startswith('repaired'))
    pieces = sum(int(said.split(': ')[1]) for said in table.values() if said.startswith('repaired'))
    print('%d cells: %d repaired (%d pages and copies made anew), %d stopped as they may, 0 lost' %
          (len(table), repaired, pieces, len(table) - repaired)
          if not bad else '%d cells: %d are not as they must be' % (len(table), len(bad)))
    print('%d passed, %d failed' % (len(table) - len(bad), len(bad)))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
