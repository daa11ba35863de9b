"""What the end-to-end tests share: parts that pass or fail by themselves, messages, the judge's word."""

import argparse
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import Failure, read, stats  # noqa: E402

ELECTION_MS = 500  # generous: the machine may be busy with other things
# Of every cluster here. Ordinary pages: what else runs on this machine takes hugepages as it likes.
COMMON = {'genesis': ('--election-min-ms', ELECTION_MS, '--heartbeat-ms', 50, '--stall-ms', 200),
          'pages': 'no'}


def interrupted(number, frame):
    raise KeyboardInterrupt


class Parts:
    """Runs parts, prints one line for each thing that was checked, counts."""

    def __init__(self):
        self.passed = self.failed = 0
        self.began = time.monotonic()

    def ok(self, text):
        self.passed += 1
        print('ok    %s' % text, flush=True)

    def fail(self, text):
        self.failed += 1
        print('FAIL  %s' % text, flush=True)

    def say(self, text):
        print('      %s' % text, flush=True)

    def holds(self, condition, text, found=''):
        """One line; a thing that does not hold says what was found instead."""
        if condition:
            self.ok(text)
        else:
            self.fail('%s; found: %s' % (text, str(found)[:600]))
        return bool(condition)

    def run(self, name, function, *words):
        """A part: what it raises is one failed line, and the next part runs all the same."""
        print('--- %s (%.0f s)' % (name, time.monotonic() - self.began), flush=True)
        try:
            function(self, *words)
        except Failure as failure:
            self.fail('%s: %s' % (name, failure))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as problem:
            self.fail('%s: %s: %s' % (name, type(problem).__name__, problem))

    def close(self):
        print('%d passed, %d failed' % (self.passed, self.failed), flush=True)
        return 1 if self.failed else 0


def share(text):
    """'1/3': the second third of what there is, as a function that picks it from a list."""
    mine, of = (int(word) for word in text.split('/'))
    if not 0 <= mine < of:
        raise ValueError(text)
    return lambda items: list(items)[mine::of]


def run_parts(prog, doc, table, more=None, always=()):
    """Runs the parts of a table, or those that --only names, or `always` and a share of the others.
    more(parser): further options."""
    parser = argparse.ArgumentParser(prog=prog, description=doc.splitlines()[0])
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--only', choices=sorted(table), action='append', help='these parts alone')
    parser.add_argument('--share', type=share, metavar='K/N', default='0/1',
                        help='every Nth part, from part K on')
    if more is not None:
        more(parser)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    parts = Parts()
    chosen = options.only or [*always, *options.share([n for n in table if n not in always])]
    try:
        for name, function in table.items():
            if name in chosen:
                parts.run(name, function, options)
    except KeyboardInterrupt:
        parts.fail('interrupted')
    return parts.close()


def expect(condition, text):
    if not condition:
        raise Failure(text)


def write_messages(path, letter, count, size, seed):
    """Length-prefixed messages 'A00000001' + random bytes, to be told apart in the feed."""
    rng = random.Random(seed)
    with open(path, 'wb') as file:
        for i in range(1, count + 1):
            head = b'%s%08d' % (letter.encode(), i)
            body = head + rng.randbytes(max(0, rng.randrange(size[0], size[1] + 1) - len(head)))
            file.write(len(body).to_bytes(2, 'big') + body)


def records(path):
    """The messages of a length-prefixed file."""
    with open(path, 'rb') as file:
        data = file.read()
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at:at + 2], 'big')
        if at + 2 + size > len(data):
            raise Failure('%s ends within a message' % path)
        yield data[at + 2:at + 2 + size]
        at += 2 + size


def in_order(received, sources):
    """Each source's messages stand in `received` once, in order, unchanged; else Failure."""
    wanted = {letter: records(path) for letter, path in sources.items()}
    count = 0
    for message in records(received):
        letter = message[:1].decode('latin-1')
        source = wanted.get(letter)
        expect(source is not None, '%s: message %d is of no source: %r' % (
            received, count + 1, message[:16]))
        right = next(source, None)
        expect(message == right, '%s: message %d is %r, not %r' % (
            received, count + 1, message[:16], right and right[:16]))
        count += 1
    for letter, source in wanted.items():
        rest = next(source, None)
        expect(rest is None, '%s: %r and what follows is missing' % (received, rest and rest[:16]))
    return count


def answered(cluster, name):
    figures = stats(cluster.path(name + '.stats'))
    return figures['session']['answered'] if figures and figures.get('session') else 0


def wait_end(cluster, process, name, timeout, code=0):
    """The exit code of a program in the client namespace must be `code` within `timeout` s."""
    until = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    said = read(cluster.path(name + '.err'))[-300:].strip()
    expect(process.returncode is not None, '%s does not end within %d s: %s' % (name, timeout, said))
    expect(process.returncode == code, '%s ends with exit %s, %d expected: %s' % (
        name, process.returncode, code, said))


def proven(parts, cluster, what, gateways=('gateway',), captures=('feed.pcap',), timeout=240,
           ids=None):
    """The judge's word over everything that a cluster left behind."""
    done = cluster.judge(gateways, captures, timeout=timeout, ids=ids)
    for line in done.stdout.splitlines()[:-1]:
        parts.say(line)
    lines = (done.stdout + done.stderr).strip().splitlines() or ['nothing']
    return parts.holds(done.returncode == 0 and 'PROVEN' == lines[-1].strip(), what, lines[-1])
