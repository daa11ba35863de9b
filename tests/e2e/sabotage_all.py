"""Damaged evidence is found: ./dev demo --sabotage KIND for each kind must exit 1 and name the place."""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True)
    options = parser.parse_args()
    passed = 0
    kinds = ('drop', 'dup', 'swap', 'flip')
    for kind in kinds:
        done = subprocess.run([sys.executable, os.path.join(HERE, 'demo.py'), '--build', options.build,
                               '--count', '20000', '--seconds', '5', '--sabotage', kind],
                              capture_output=True, text=True, timeout=120, check=False)
        place = re.search(r'place: (.*)', done.stdout)
        verdict = re.search(r'NOT PROVEN: (.*)', done.stdout)
        good = (done.returncode == 1 and place and verdict and
                place.group(1).strip() in verdict.group(1))
        print('%s  %s: exit %d, damaged %s, judge: %s' % (
            'ok' if good else 'FAIL', kind, done.returncode, place and place.group(1),
            verdict and verdict.group(1)[:150]), flush=True)
        if not good:
            print(done.stdout[-1500:])
        passed += bool(good)
    print('%d passed, %d failed' % (passed, len(kinds) - passed))
    return 0 if passed == len(kinds) else 1


if __name__ == '__main__':
    sys.exit(main())
