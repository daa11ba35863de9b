"""./dev test holders: the check of two holders can fail.

Where clocks drift three times what the genesis record allows, two may believe in one lock at one instant, and the
simulator must say so; within the bound none of its other runs ever does.
"""

import argparse
import os
import re
import subprocess
import sys

SEEDS = 40
BEYOND = 3


def main():
    parser = argparse.ArgumentParser(prog='./dev test holders', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--first-seed', default='1', help='(default: 1)')
    options = parser.parse_args()
    done = subprocess.run([os.path.join(options.build, 'tests/sim/keel-sim'), '--seeds', str(SEEDS),
                           '--first-seed', options.first_seed, '--beyond', str(BEYOND), '--shrink', '0', '--quiet'],
                          capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    found = re.findall(r'^FAILED seed (\d+): .* believe in the lock of path', text, re.M)
    good = done.returncode == 1 and found
    print('%s  clocks at %d times their bound: two holders found in %d of %d seeds%s' % (
        'ok  ' if good else 'FAIL', BEYOND, len(found), SEEDS, '' if good else ':\n' + text[-2000:]))
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
