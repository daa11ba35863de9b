"""./dev test ring-wrap: a small ring overwritten lap after lap, replicas killed and restarted on the way.

An 8 MiB ring takes 1 GiB of messages while replicas are killed 20 times. Publishing stands still until a
restarted replica has caught up, and whenever a running one falls too far behind: one that is a lap behind
needs another replica's checkpoint, and a lap of so small a ring is a fraction of a second. Then every
64th bit of a resting ring is flipped.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import PRINCIPALS, Cluster, Failure, read, run  # noqa: E402
from parts import COMMON, Parts, answered, expect, interrupted, wait_end  # noqa: E402

MIB = 1 << 20
SIZE = 1200          # bytes of a message
RING, CHECKPOINT = '8M', '1M'
RESTARTS = 20
BEHIND_MOST, BEHIND_LEAST = 400, 100  # entries, two a page mostly: stop publishing, go on
WATCH_S, WATCHES = 0.01, 5
WINDOW = 24           # messages in flight of each gateway
GATEWAYS = len(PRINCIPALS)


def size(text):
    scale = {'K': 1 << 10, 'M': MIB, 'G': 1 << 30}.get(text[-1:].upper())
    return int(text[:-1]) * scale if scale else int(text)


class Wrap:
    def __init__(self, parts, cluster, amount):
        self.parts, self.c = parts, cluster
        self.each = max(1, amount // SIZE // GATEWAYS)
        self.total = self.each * GATEWAYS
        self.gateways = {}
        self.restart_s = self.wait_s = 0.0
        self.waits = 0

    def publish(self):
        c = self.c
        with open(c.path('input'), 'wb') as file:
            for i in range(self.each):
                head = b'%010d' % i
                file.write(SIZE.to_bytes(2, 'big') + (head * (SIZE // len(head))))
        for p in PRINCIPALS:
            name = 'gateway-%d' % p
            self.gateways[name] = c.spawn(
                c.program('keelcat'), 'publish', c.path('input'), '--format', 'length-prefixed',
                '--members', c.members(), '--key', c.path('client-%d.key' % p), '--session', name,
                '--stats', c.path(name + '.stats'), '--ttl-ms', 60000, '--timeout', 60,
                '--open-wait', 30, '--window', WINDOW, out=name + '.out', err=name + '.err')

    def answered(self):
        return sum(answered(self.c, name) for name in self.gateways)

    def signal(self, number):
        for process in self.gateways.values():
            if process.poll() is None:
                process.send_signal(number)

    def status(self, i):
        """One replica's status, without a program's start in between."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.c.path('admin-%d.sock' % i))
            s.sendall(b'{"v":1,"cmd":"status"}\n')
            text = b''
            while not text.endswith(b'\n'):
                piece = s.recv(65536)
                expect(piece, 'replica %d closed its admin socket' % i)
                text += piece
        return json.loads(text)['result']

    def behind(self):
        applied = [self.status(i)['applied_index'] for i in self.c.ids()]
        return max(applied) - min(applied)

    def keep_together(self):
        if self.behind() < BEHIND_MOST:
            return
        began = time.monotonic()
        self.signal(signal.SIGSTOP)
        while self.behind() > BEHIND_LEAST:
            if time.monotonic() - began > 30:
                now = [self.status(i) for i in self.c.ids()]
                last = min(s['last_index'] for s in now)
                lapped = max(s['first_index'] for s in now) > last + 1
                raise Failure('a replica that runs stays behind%s: applied %s, last %s, first %s' % (
                    ': it was lapped, this machine being too busy' if lapped else '',
                    *([s[k] for s in now] for k in ('applied_index', 'last_index', 'first_index'))))
            time.sleep(WATCH_S)
        self.signal(signal.SIGCONT)
        self.waits += 1
        self.wait_s += time.monotonic() - began

    def done(self):
        for name, process in self.gateways.items():
            expect(process.poll() in (None, 0), '%s ends with exit %s: %s' % (
                name, process.returncode, read(self.c.path(name + '.err'))[-300:]))
        return all(process.poll() == 0 for process in self.gateways.values())

    def wait_answered(self, wanted, timeout=120.0):
        last, at = self.answered(), time.monotonic()
        while last < wanted and not self.done():
            for _ in range(WATCHES):
                self.keep_together()
                time.sleep(WATCH_S)
            now = self.answered()
            if now > last:
                last, at = now, time.monotonic()
            expect(time.monotonic() - at < timeout, 'no acknowledgement within %g s, at %d of %d' % (
                timeout, now, self.total))

    def restart(self, replica):
        """What was sent is still on its way when the replica dies; nothing new comes until it is back."""
        c, began = self.c, time.monotonic()
        self.signal(signal.SIGSTOP)
        c.kill(replica)
        c.start(replica)
        c.wait_caught_up(replica, timeout=30, lag=0)
        c.wait_equal(30)
        self.signal(signal.SIGCONT)
        self.restart_s += time.monotonic() - began

    def ring(self, i):
        code, text = self.c.ctl(i, 'ring')
        expect(code == 0, 'keelctl ring at replica %d: exit %d' % (i, code))
        return json.loads(text)

    def run(self):
        c, parts = self.c, self.parts
        c.network()
        c.format()
        c.start_all()
        c.leader()
        self.publish()
        began = time.monotonic()
        for k in range(1, RESTARTS + 1):
            self.wait_answered(self.total * k // (RESTARTS + 1))
            replica = c.leader() if k % 4 == 0 else (k - 1) % c.size + 1
            self.restart(replica)
            if k % 5 == 0:
                rings = [self.ring(i) for i in c.ids()]
                parts.say('%2d restarts, %7d messages, %5.1f s: laps %s' % (
                    k, self.answered(), time.monotonic() - began,
                    ' '.join('%.1f' % (r['tail_page'] / r['slots']) for r in rings)))
        self.wait_answered(self.total + 1)
        for name, process in self.gateways.items():
            wait_end(c, process, name, 30)
        took = time.monotonic() - began
        parts.ok('%d messages of %d bytes (%.0f MiB) by %d gateways, %d SIGKILLs and restarts, in %.0f s '
                 '(%.0f s for restarts; %d times, %.0f s, for a replica behind): %.0f messages/s' % (
                     self.total, SIZE, self.total * SIZE / MIB, GATEWAYS, RESTARTS, took,
                     self.restart_s, self.waits, self.wait_s, self.total / took))
        index = c.wait_equal(60)
        status = [c.status(i) for i in c.ids()]
        parts.holds(len({s['digest'] for s in status}) == 1, 'equal digests at index %d: %s' % (
            index, status[0]['digest']), status)
        numbers = self.total + GATEWAYS  # each session's end takes a number too
        parts.holds(all(s['feed_next'] == numbers + 1 for s in status),
                    '%d feed numbers were given: every message and %d ends, none twice' % (
                        numbers, GATEWAYS), [s['feed_next'] for s in status])
        rings = [self.ring(i) for i in c.ids()]
        c.stop_all()
        for i, ring, s in zip(c.ids(), rings, status):
            self.judge_ring(i, ring, s)

    def judge_ring(self, i, ring, status):
        """Offline: every page as a start would judge it, and which number is the oldest still there."""
        c, parts = self.c, self.parts
        done = run(c.program('keelctl'), '--json', 'ring', 'verify', c.ring_path(i), check=False,
                   timeout=120)
        found = json.loads(done.stdout) if done.stdout else {}
        laps = ring['tail_page'] / ring['slots']
        kept = self.messages_in(i)
        parts.holds(done.returncode == 0 and found.get('intact') is True and laps > 10 and
                    ring['head_page'] > ring['slots'] and status['checkpoint_index'] > 0 and
                    found['first_index'] > 1,
                    'replica %d: %.1f laps of %d slots; first retained: page %d, index %d, number %d; '
                    'checkpoints of index %d and %d; keelctl ring verify: intact, %d pages' % (
                        i, laps, ring['slots'], ring['head_page'], found.get('first_index', 0),
                        status['feed_next'] - kept, status['checkpoint_index'],
                        status['checkpoint_older_index'], found.get('pages_kept', 0)),
                    (done.returncode, done.stderr, found, laps))

    def messages_in(self, i):
        """Feed numbers whose messages the ring still holds."""
        done = run(self.c.program('keelctl'), '--json', 'ring', 'dump', self.c.ring_path(i),
                   timeout=120)
        numbers, ends = set(), 0  # a message that a fail-over presented twice has one number
        for line in done.stdout.splitlines():
            entry = json.loads(line)
            if entry['kind'] == 'messages':
                numbers.update((entry['session'], entry['number'] + k)
                               for k in range(len(entry['messages'])))
            ends += entry['kind'] in ('session-end', 'session-expire')
        return len(numbers) + ends


def part_wrap(parts, options):
    with Cluster(options.build, ring=RING, checkpoint=CHECKPOINT, **COMMON) as cluster:
        Wrap(parts, cluster, options.amount).run()


def part_flips(parts, options):
    """The unit test of it, on a ring of 1 MiB that has gone round."""
    program = os.path.join(options.build, 'tests/unit/ring/test_ring_flip')
    expect(os.path.exists(program), '%s: not built' % program)
    share = os.cpu_count() or 1
    running = [subprocess.Popen([program, str(k), str(share)], stdout=subprocess.PIPE, text=True)
               for k in range(share)]
    totals, good = {}, True
    for process in running:
        text = process.communicate(timeout=400)[0]
        good = good and process.returncode == 0
        for name, count in re.findall(r'(pages|ahead of the tail|genesis|checkpoints|blocks) (\d+)',
                                      text):
            totals[name] = totals.get(name, 0) + int(count)
    parts.holds(good and totals.get('pages', 0) > 50000 and totals.get('ahead of the tail', 0) > 1000,
                'every 64th bit of a resting ring flipped: %d in pages, all found and none taken for a '
                'tear; %d ahead of the tail, all zeroed again and counted; %d in superblock and '
                'genesis, %d in checkpoints: the copy serves; %d in blocks without use' % tuple(
                    totals.get(k, 0) for k in ('pages', 'ahead of the tail', 'genesis', 'checkpoints',
                                               'blocks')), totals)


def main():
    parser = argparse.ArgumentParser(prog='./dev test ring-wrap', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--amount', type=size, default=1 << 30,
                        help='bytes of messages, like 256M (default 1G)')
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    signal.signal(signal.SIGTERM, interrupted)
    parts = Parts()
    try:
        parts.run('%d MiB through a ring of %s' % (options.amount // MIB, RING), part_wrap, options)
        parts.run('flips', part_flips, options)
    except KeyboardInterrupt:
        parts.fail('interrupted')
    return parts.close()


if __name__ == '__main__':
    sys.exit(main())
