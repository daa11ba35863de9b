"""./dev coverage: which branches of the consensus code and of the parsers no test takes.

Runs the unit tests and the transcripts in a build that counts branches, and names each branch that none of them
took. Two kinds are excused: those of ENSURE, which only a programmer's error takes, and those of a line that
says why it cannot be reached, in a comment `unreachable: ...` on it or on the line before. A reason on a line
whose branches are all taken is stale, and as wrong as a branch without a test. Exit 1 if either is there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SOURCES = [  # regular expressions of paths
    r'consensus/.*',
    r'dataplane/(feed_exceptions|feed_past|feed_request|frame)\.c',
    r'dataplane/ini_line\.h',
    r'dataplane/auth/(auth|handshake|keys|replay_window)\.[ch]',
    r'dataplane/ring/(checkpoint|format|inspect|recover|recover_judge|recover_walk|restore|scan|super|transfer)\.c',
    r'control/(address|admin_request|backup_file|config|config_threads|ctl_parse|identity)\.c',
    r'client/address\.c',
]
REASON = 'unreachable:'


def run_tests(build):
    words = ['meson', 'test', '-C', build, '--no-rebuild', '--num-processes', str(os.cpu_count()),
             '--timeout-multiplier', '5', '--suite', 'unit', '--suite', 'scenarios',
             '--no-suite', 'plain']  # those leave their mark on the machine, and take none of these branches
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit('%s\ncoverage: a test failed: what was not taken would mean nothing' % done.stdout[-2000:])


def forget(build):
    """Counters of earlier runs."""
    for directory, _, names in os.walk(build):
        for name in names:
            if name.endswith('.gcda'):
                os.unlink(os.path.join(directory, name))


def count(build):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'branches.json')
        words = ['gcovr', '-r', ROOT, '--object-directory', build, '--json', '-o', path]
        for source in SOURCES:
            words += ['-f', source]
        subprocess.run(words, cwd=ROOT, check=True)
        with open(path) as file:
            return json.load(file)['files']


class File:
    def __init__(self, entry):
        self.path = entry['file']
        with open(os.path.join(ROOT, self.path)) as file:
            self.text = file.read().split('\n')
        self.branches = self.taken = self.excused = 0
        self.open, self.stale = [], []
        for line in entry['lines']:
            if line['branches']:
                self.take(line['line_number'], [branch['count'] for branch in line['branches']])

    def take(self, number, branches):
        text = self.text[number - 1]
        reason = REASON in text or (number > 1 and REASON in self.text[number - 2])
        missed = branches.count(0)
        self.branches += len(branches)
        self.taken += len(branches) - missed
        if not missed and reason:
            self.stale.append(number)
        elif missed and (reason or 'ENSURE(' in text):
            self.excused += missed
        elif missed:
            self.open.append((number, missed))

    def show(self):
        print('%-44s %5d branches  %5d taken  %4d excused  %s' % (
            self.path, self.branches, self.taken, self.excused,
            '%d open' % sum(n for _, n in self.open) if self.open else ''))
        for number, missed in self.open:
            print('    %4d  %d not taken: %s' % (number, missed, self.text[number - 1].strip()))
        for number in self.stale:
            print('    %4d  all taken, though it says: %s' % (number, self.text[number - 1].strip()))


def main():
    parser = argparse.ArgumentParser(prog='./dev coverage', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--no-run', action='store_true', help='show the last run\'s counters again')
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    if not options.no_run:
        print('      tests ...', flush=True)
        forget(build)
        run_tests(build)
    files = sorted((File(entry) for entry in count(build)), key=lambda f: f.path)
    files = [f for f in files if f.branches]
    for file in files:
        file.show()
    left = sum(n for f in files for _, n in f.open)
    stale = sum(len(f.stale) for f in files)
    print('%d branches in %d files: %d taken, %d excused, %d open; %d stale reasons' % (
        sum(f.branches for f in files), len(files), sum(f.taken for f in files),
        sum(f.excused for f in files), left, stale))
    return 1 if left or stale else 0


if __name__ == '__main__':
    sys.exit(main())
