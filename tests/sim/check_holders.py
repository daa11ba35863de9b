"""./dev test holders: the check of two holders can fail.

Where clocks drift three times what the genesis record allows, two may believe in one lock at one instant, and the
simulator must say so; within the bound none of its other runs ever does. About one seed in
fourteen shows it: seeds are run, 40 at a time, until one has.
"""

import argparse
import os
import re
import subprocess
import sys

SEEDS = 40
BATCHES = 5
BEYOND = 3


def run(build, first):
    """(seeds that found two holders, what was said, whether the simulator ran to its end)"""
    done = subprocess.run([os.path.join(build, 'tests/sim/keel-sim'), '--seeds', str(SEEDS), '--first-seed', str(first),
                           '--beyond', str(BEYOND), '--shrink', '0', '--quiet'],
                          capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    found = re.findall(r'^FAILED seed (\d+): .* believe in the lock of path', text, re.M)
    return found, text, done.returncode in (0, 1)


def main():
    parser = argparse.ArgumentParser(prog='./dev test holders', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--first-seed', type=int, default=1, help='(default: 1)')
    options = parser.parse_args()
    found, text, ran, seeds = [], '', True, 0
    while ran and not found and seeds < BATCHES * SEEDS:
        found, text, ran = run(options.build, options.first_seed + seeds)
        seeds += SEEDS
    good = ran and found
    print('%s  clocks at %d times their bound: two holders found in %d of %d seeds%s' % (
        'ok  ' if good else 'FAIL', BEYOND, len(found), seeds, '' if good else ':\n' + text[-2000:]))
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
