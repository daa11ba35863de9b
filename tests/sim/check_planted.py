"""./dev test shrink: what a failing seed says of itself.

keel-sim-planted has a bug that needs a leader or two to go. A seed that finds it prints the one command that
replays it, and a smaller one; both have to fail with it in the same words, and pass without it.
"""

import argparse
import os
import re
import subprocess
import sys

SEEDS, SHRINK_S = 4, 12
OFF_AT_LEAST = 10  # faults that have nothing to do with it


def sim(build, name, *words):
    done = subprocess.run([os.path.join(build, 'tests/sim', name), *words, '--quiet'], capture_output=True,
                          text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def failures(text):
    """What is said of seeds that failed, without the numbers."""
    return {re.sub(r'[0-9.]+', 'N', words) for words in re.findall(r'^FAILED seed \d+: (.*)$', text, re.M)}


def main():
    parser = argparse.ArgumentParser(prog='./dev test shrink', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--first-seed', default='1', help='(default: 1)')
    options = parser.parse_args()
    results = []

    def holds(what, good, found):
        results.append(bool(good))
        print('%s  %s%s' % ('ok  ' if good else 'FAIL', what, '' if good else '; found:\n' + found[-2000:]))

    code, text = sim(options.build, 'keel-sim-planted', '--first-seed', options.first_seed, '--seeds',
                     str(SEEDS), '--shrink', str(SHRINK_S))
    found = failures(text)
    holds('a planted bug is found within %d seeds: %s' % (SEEDS, ' | '.join(sorted(found))),
          code == 1 and len(found) > 0, text)
    commands = re.findall(r'replay: \./dev sim (--seed .*)$', text, re.M)
    tries = re.search(r'(\d+) of (\d+) tries kept the failure', text)
    holds('each of them prints the command that replays it, and the first a smaller one',
          len(commands) >= 2 and tries is not None, text)
    shrunk = next((c for c in commands if '--without' in c), '')
    off = re.search(r'--without (\S+)', shrunk)
    holds('the smaller one has %d faults switched off: --seed %s' % (
        len(off[1].split(',')) if off else 0, shrunk[7:60]), off is not None and
          len(off[1].split(',')) >= OFF_AT_LEAST, text)
    for command in filter(None, (commands[0] if commands else '', shrunk)):
        code, text = sim(options.build, 'keel-sim-planted', *command.split())
        holds('replayed, it fails in the same words', code == 1 and failures(text) <= found and
              failures(text), text)
        code, text = sim(options.build, 'keel-sim', *command.split())
        holds('without the bug nothing fails', not failures(text), text)
    print('%d passed, %d failed' % (results.count(True), results.count(False)))
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
