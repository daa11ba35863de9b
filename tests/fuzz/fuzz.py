"""./dev fuzz: runs the fuzz targets one after the other, from the kept corpus and what earlier runs
in this build folder found."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEPT = os.path.join(HERE, 'corpus')
KEPT_BYTES_MAX = 32 << 10  # of one target, in the tree

TARGETS = {  # longest input, and what it looks at
    'packet': (4096, 'packets, sealed and not, at a whole replica: to its replies'),
    'wire': (2048, 'wire decoders; what decodes encodes to the same bytes'),
    'ring': (256, 'recovery of a drive with changed bits, sectors and pages'),
    'checkpoint': (2048, 'encodings of machine and exceptions, their area on the drive, backups'),
    'admin': (4200, 'admin requests, and keelctl\'s command line'),
    'config': (4096, 'configuration files'),
    'raft': (2048, 'sequences of events for raft_step(), three replicas, all checks'),
    'machine': (4096, 'sequences of entries for machine_apply(), two machines, one decoded anew'),
}


class Figures:
    """What libFuzzer says on its status lines."""

    def __init__(self):
        self.cov_first = self.cov = self.corpus = self.runs = 0

    def take(self, line):
        m = re.match(r'#(\d+)\s+(\w+)\s+cov: (\d+) .*?corp: (\d+)/', line)
        if not m:
            return False
        self.runs, self.cov, self.corpus = int(m[1]), int(m[3]), int(m[4])
        if m[2] == 'INITED':
            self.cov_first = self.cov
        return True


def command(options, name, *words):
    longest = TARGETS[name][0]
    program = os.path.join(options.build, 'tests/fuzz/fuzz_' + name)
    dictionary = os.path.join(HERE, name + '.dict')
    extra = ['-dict=' + dictionary] if os.path.exists(dictionary) else []
    # Long inputs from the beginning: a sequence of three steps shows little.
    return [program, '-max_len=%d' % longest, '-len_control=0', '-timeout=25', *extra, *words]


def places(options, name):
    work = os.path.join(options.build, 'corpus', name)
    kept = os.path.join(KEPT, name)
    os.makedirs(work, exist_ok=True)
    os.makedirs(kept, exist_ok=True)
    return work, kept


def run(options, name):
    """True if nothing was found, and how many inputs were executed."""
    work, kept = places(options, name)
    if options.kept:
        with tempfile.TemporaryDirectory(dir=options.build) as nothing:
            return run_from(options, name, nothing, kept)
    return run_from(options, name, work, kept)


def run_from(options, name, work, kept):
    prefix = os.path.join(options.build, 'crash-%s-' % name)
    words = ['-max_total_time=%d' % options.seconds, '-print_final_stats=1',
             '-artifact_prefix=' + prefix, work, kept]
    figures, tail, speed, crash = Figures(), [], 0, None
    process = subprocess.Popen(command(options, name, *words), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, errors='replace')
    for line in process.stderr:
        line = line.rstrip()
        m = re.search(r'Test unit written to (\S+)', line)
        crash = m[1] if m else crash
        m = re.match(r'stat::average_exec_per_sec:\s+(\d+)', line)
        speed = int(m[1]) if m else speed
        m = re.match(r'stat::number_of_executed_units:\s+(\d+)', line)
        figures.runs = int(m[1]) if m else figures.runs
        if not figures.take(line):
            tail = (tail + [line])[-60:]
        elif sys.stdout.isatty():
            print('      %-11s %9d executions' % (name, figures.runs), end='\r', flush=True)
    code = process.wait()
    if code == 0 and figures.runs > 0:
        print('ok    %-11s %9d executions, %6d/s, corpus %4d, coverage %5d (%+d new)' %
              (name, figures.runs, speed, figures.corpus, figures.cov,
               figures.cov - figures.cov_first), flush=True)
        return True, figures.runs
    print('FAIL  %-11s %9d executions, exit %d' % (name, figures.runs, code))
    print('\n'.join('      ' + line for line in tail if not line.startswith('stat::')))
    if crash:
        print('  found: %s\n  replay: ./dev fuzz %s --replay %s' % (crash, name, crash))
    sys.stdout.flush()
    return False, figures.runs


def keep(options, name):
    """The smallest inputs that reach all that the corpus reaches, as far as the bound goes."""
    work, kept = places(options, name)
    with tempfile.TemporaryDirectory(dir=options.build) as merged:
        code = subprocess.run(command(options, name, '-merge=1', '-use_counters=0', merged, kept,
                                      work),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        if code != 0:
            print('dev: fuzz: %s: merging its corpus failed, exit %d' % (name, code))
            return False
        shutil.rmtree(kept)
        os.makedirs(kept)
        files = sorted(os.scandir(merged), key=lambda f: (f.stat().st_size, f.name))
        total = count = 0
        for f in files:
            total += f.stat().st_size
            if total > KEPT_BYTES_MAX:
                total -= f.stat().st_size
                break
            shutil.copy(f.path, kept)
            count += 1
    print('kept  %-11s %4d of %d inputs, %d bytes' % (name, count, len(files), total), flush=True)
    return True


def replay(options, name):
    words = command(options, name, options.replay)
    print(' '.join(words), flush=True)
    return subprocess.run(words).returncode


def arguments():
    parser = argparse.ArgumentParser(
        prog='./dev fuzz', description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        epilog='targets:\n' + '\n'.join('  %-11s %s' % (n, t[1]) for n, t in TARGETS.items()) +
        '\n\nExamples: ./dev fuzz --seconds 120 wire raft\n'
        '          ./dev fuzz wire --replay build-fuzz/crash-wire-0123abcd\n'
        'Exit: 0 nothing was found, 1 a crash or a broken promise, 2 usage.')
    parser.add_argument('names', nargs='*', metavar='NAME', help='targets; none: all')
    parser.add_argument('--seconds', type=int, default=20, help='for each target (default: 20)')
    parser.add_argument('--replay', metavar='FILE', help='run one input of the one target named')
    parser.add_argument('--kept', action='store_true',
                        help='begin with the kept corpus alone, and add nothing')
    parser.add_argument('--keep', action='store_true',
                        help='afterwards write the minimised corpus to tests/fuzz/corpus')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    unknown = [n for n in options.names if n not in TARGETS]
    if unknown:
        parser.error('no target %s; there are: %s' % (', '.join(unknown), ' '.join(TARGETS)))
    if options.replay and len(options.names) != 1:
        parser.error('--replay wants exactly one target')
    if options.seconds < 1:
        parser.error('--seconds wants 1 or more')
    return options


def main():
    options = arguments()
    names = options.names or list(TARGETS)
    if options.replay:
        return 1 if replay(options, names[0]) != 0 else 0
    failed, runs = [], 0
    for name in names:
        good, count = run(options, name)
        runs += count
        if good and options.keep:
            good = keep(options, name)
        if not good:
            failed.append(name)
    print('%d passed, %d failed; %d executions%s' %
          (len(names) - len(failed), len(failed), runs,
           '; failed: ' + ' '.join(failed) if failed else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
