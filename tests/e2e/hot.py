"""./dev test hot: the seq thread makes no system call and takes no memory while messages commit.

Three replicas run in one process (tests/hot/hot.c): their seq roles on one spinning thread over net_ring
ports, disk (io_uring, O_DIRECT), aux, control and the load on another. strace is attached to the seq
thread alone. First part: at least 5 s and at least 100,000 committed messages without one line of strace
and one call of the heap since the thread's start. Second part of the same run, under the same strace: one
system call and one malloc() with its free() are planted on that thread, and must be what is found.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Failure, read, scratch  # noqa: E402

SECONDS, MESSAGES = 5.0, 100000
SECONDS_MAX = 60.0  # a slow drive: until so many have committed, but no longer
PLANTED = 'getpid'


def say(text):
    print(text, flush=True)


class Watched:
    """keel-hot, its orders and answers."""

    def __init__(self, program, directory):
        self.errors = os.path.join(directory, 'hot.err')
        with open(self.errors, 'w') as errors:
            self.process = subprocess.Popen([program, directory], stdin=subprocess.PIPE, text=True,
                                            stdout=subprocess.PIPE, stderr=errors)
        self.facts = self.answer('ready')

    def answer(self, word):
        line = self.process.stdout.readline()
        words = line.split()
        if not words or words[0] != word:
            raise Failure('keel-hot ended or spoke nonsense: %r; it said: %s' % (
                line, read(self.errors)[-400:]))
        return {key: int(value) for key, value in (w.split('=') for w in words[1:])}

    def order(self, word):
        self.process.stdin.write(word + '\n')
        self.process.stdin.flush()

    def report(self):
        self.order('report')
        return self.answer('report')

    def close(self):
        """The end of its orders ends it, and it cleans up; if not, it is killed."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def switches(self):
        """Times that the thread gave the core away by itself, and that it was taken from it."""
        text = read('/proc/%d/task/%d/status' % (self.facts['pid'], self.facts['tid']))
        return [int(n) for n in re.findall(r'^\w*voluntary_ctxt_switches:\s*(\d+)', text, re.M)]


class Strace:
    def __init__(self, tid, directory):
        self.path = os.path.join(directory, 'strace.out')
        self.errors = os.path.join(directory, 'strace.err')
        with open(self.errors, 'w') as errors:
            self.process = subprocess.Popen(
                ['strace', '-C', '-ttt', '-s', '0', '-o', self.path, '-p', str(tid)],
                stdout=errors, stderr=errors, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            if 'attached' in read(self.errors):
                return
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise Failure('strace did not attach: ' + read(self.errors)[-300:])

    def stop(self):
        """Lines with their times, and the table of -c as {call: count}."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure('strace does not end') from None
        lines, table = [], {}
        for line in read(self.path).splitlines():
            timed = re.match(r'(\d+\.\d+) (.*)', line)
            row = re.match(r'\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$', line)
            if row:
                if row.group(2) != 'total':
                    table[row.group(2)] = int(row.group(1))
            elif timed and not timed.group(2).startswith(('strace:', 'Process ')):
                lines.append((float(timed.group(1)), timed.group(2)))
        return lines, table


def first_part(hot):
    before, switches, began = hot.report(), hot.switches(), time.monotonic()
    while True:
        time.sleep(0.25)
        now, took = hot.report(), time.monotonic() - began
        committed = now['sequenced'] - before['sequenced']
        if took >= SECONDS and committed >= MESSAGES:
            break
        if took > SECONDS_MAX:
            raise Failure('only %d messages committed within %.0f s' % (committed, took))
    given = [b - a for a, b in zip(switches, hot.switches())]
    say('first part  %.1f s: %d messages committed on all three, %d acknowledged, %d pages durable, '
        '%d turns (%d with work)' % (
            took, committed, now['answered'] - before['answered'], now['pages'] - before['pages'],
            now['turns'] - before['turns'], now['useful'] - before['useful']))
    say('            the core was taken from the thread %d times, given away by it %d times' % (
        given[1], given[0]))
    say('            since the thread\'s start: allocations %d, frees %d' % (
        now['taken'], now['given']))
    if now['taken'] or now['given']:
        raise Failure('the seq thread called the heap: %d allocations, %d frees' % (
            now['taken'], now['given']))
    return now


def second_part(hot, before):
    planted_at = time.time()
    hot.order('plant')
    until = time.monotonic() + 20
    while hot.report()['planted'] == 0:
        if time.monotonic() > until:
            raise Failure('the seq thread did not carry out the plant')
        time.sleep(0.05)
    time.sleep(1.0)
    now = hot.report()
    say('second part planted one system call, one malloc(), one free(): counted allocations %d, '
        'frees %d; %d more messages committed' % (
            now['taken'], now['given'], now['sequenced'] - before['sequenced']))
    if (now['taken'], now['given']) != (1, 1):
        raise Failure('the planted call of the heap is counted as %d allocations, %d frees' % (
            now['taken'], now['given']))
    return planted_at


def judge(lines, table, planted_at):
    early = [line for at, line in lines if at < planted_at]
    late = [line for at, line in lines if at >= planted_at]
    say('strace      first part: %d lines; second part: %s; table: %s' % (
        len(early), late, table))
    if early:
        raise Failure('the seq thread makes system calls: %s' % '; '.join(early[:10]))
    if len(late) != 1 or not late[0].startswith(PLANTED + '(') or table != {PLANTED: 1}:
        raise Failure('planted one %s, strace shows %s and %s' % (PLANTED, late, table))


def run(options, directory):
    hot = Watched(os.path.join(options.build, 'tests/hot/keel-hot'), directory)
    strace = None
    try:
        strace = Strace(hot.facts['tid'], directory)
        after = first_part(hot)
        planted_at = second_part(hot, after)
        lines, table = strace.stop()
        judge(lines, table, planted_at)
        hot.order('stop')
        if hot.process.wait(timeout=30) != 0:
            raise Failure('keel-hot ends with %d: %s' % (
                hot.process.returncode, read(hot.errors)[-300:]))
    finally:
        if strace is not None and strace.process.poll() is None:
            strace.process.kill()
            strace.process.wait()
        hot.close()


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog='./dev test hot', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    signal.signal(signal.SIGTERM, interrupted)
    directory = tempfile.mkdtemp(prefix='keel-hot-', dir=scratch())
    try:
        run(options, directory)
    except Failure as failure:
        say('FAILED: %s' % failure)
        return 1
    except KeyboardInterrupt:
        say('interrupted')
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    say('hot: no system call and no allocation on the seq thread: all of it holds')
    return 0


if __name__ == '__main__':
    sys.exit(main())
