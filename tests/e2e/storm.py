"""./dev test e2e: real processes in namespaces under SIGKILLs, full devices, garbage and
operators' mistakes. Nothing that was acknowledged may be lost by any of it.

Each thing that holds is one line `ok`, each that does not one line `FAIL`; exit 1 if there is one.
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read  # noqa: E402
from parts import (COMMON, ELECTION_MS, answered, expect, in_order, proven,  # noqa: E402
                   run_parts, wait_end, write_messages)
import storm_admin  # noqa: E402
import storm_device  # noqa: E402
import storm_input  # noqa: E402
import storm_member  # noqa: E402
import storm_pages  # noqa: E402
import storm_transfer  # noqa: E402

RATE = 350            # messages of each gateway a second, while the storm lasts
EACH = 2900           # and for each fault: more than RATE brings until the next one
SIZE = (40, 200)      # bytes
RING = '1G'           # holds the whole run: the judge sees its first page
KILLS = {'leader': 10, 'follower': 7, 'gateway': 8, 'all': 4, 'leader and follower': 2}
FAULTS = sum(KILLS.values())
GATEWAYS = {'a': ('A', 100), 'b': ('B', 101)}


class Storm:
    def __init__(self, parts, cluster, seed, faults):
        self.parts, self.c, self.rng = parts, cluster, random.Random(seed)
        self.faults = faults
        self.gateway = {}
        self.lives = 0
        self.kills = 0
        self.done = dict.fromkeys(KILLS, 0)
        self.failovers = []  # (time of the kill in ns, which replica)

    # --- gateways --------------------------------------------------------------------------------

    def start_gateway(self, name, rate=RATE):
        principal = GATEWAYS[name][1]
        words = ['--rate', rate] if rate else []
        self.lives += 1
        self.gateway[name] = self.c.publish(
            self.c.path('input-' + name), 'gateway-' + name, principal, '--ttl-ms', 60000,
            '--open-wait', 60, '--timeout', 90, *words)

    def kill_gateway(self, name):
        process = self.gateway[name]
        expect(process.poll() is None, 'gateway %s has ended before its time: exit %s: %s' % (
            name, process.returncode, read(self.c.path('gateway-%s.err' % name))[-300:]))
        process.kill()
        process.wait()
        self.kills += 1

    def check_gateways(self):
        for name, process in self.gateway.items():
            expect(process.poll() in (None, 0), 'gateway %s ends with exit %s: %s' % (
                name, process.returncode, read(self.c.path('gateway-%s.err' % name))[-300:]))

    # --- kills -----------------------------------------------------------------------------------

    def kill_replicas(self, *ids):
        self.c.kill(*ids)
        self.kills += len(ids)

    def back(self, *ids):
        time.sleep(self.rng.uniform(0.1, 0.8))
        for i in ids:
            self.c.start(i)
        for i in ids:
            self.c.wait_caught_up(i)

    def one(self, kind):
        c = self.c
        leader = c.leader(30)
        others = [i for i in c.ids() if i != leader]
        if kind == 'leader':
            self.failovers.append((time.time_ns(), leader))
            self.kill_replicas(leader)
            c.leader(30)
            self.back(leader)
        elif kind == 'follower':
            follower = self.rng.choice(others)
            self.kill_replicas(follower)
            self.back(follower)
        elif kind == 'all':
            self.kill_replicas(*c.ids())
            self.back(*c.ids())
        elif kind == 'leader and follower':
            two = (leader, self.rng.choice(others))
            self.kill_replicas(*two)
            self.back(*two)
        else:
            name = self.rng.choice(sorted(self.gateway))
            self.kill_gateway(name)
            time.sleep(self.rng.uniform(0.05, 0.5))
            self.start_gateway(name)
        self.done[kind] += 1
        self.check_gateways()

    def rage(self):
        first = list(KILLS)  # one of each, so that a short storm has all
        rest = [kind for kind, count in KILLS.items() for _ in range(count - 1)]
        self.rng.shuffle(first)
        self.rng.shuffle(rest)
        plan = (first + rest)[:self.faults]
        for number, kind in enumerate(plan, 1):
            time.sleep(self.rng.uniform(0.2, 0.9))
            self.one(kind)
            if number % 8 == 0:
                self.parts.say('%2d of %d, %d SIGKILLs, acknowledged %s' % (
                    number, len(plan), self.kills,
                    ' and '.join(str(answered(self.c, 'gateway-' + n)) for n in sorted(self.gateway))))

    # --- figures ---------------------------------------------------------------------------------

    def pauses_ms(self):
        """From each leader's kill to the next message that was sequenced and acknowledged."""
        stamps = []
        for name in self.gateway:
            for line in read(self.c.path('gateway-%s.log' % name)).splitlines():
                word = line.split()
                if word and word[0] == 'ack' and word[3] == 'sequenced':
                    stamps.append(int(word[5]))
        stamps.sort()
        pauses = []
        for at_ns, _ in self.failovers:
            later = next((s for s in stamps if s > at_ns), None)
            if later is not None:
                pauses.append((later - at_ns) / 1e6)
        return pauses

    def run(self):
        c, parts, sent = self.c, self.parts, EACH * self.faults
        for n, (name, (letter, _)) in enumerate(GATEWAYS.items()):
            write_messages(c.path('input-' + name), letter, sent, SIZE, n)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count',
                            len(GATEWAYS) * (sent + 1))
        for name in GATEWAYS:
            self.start_gateway(name)
        self.rage()
        for name in GATEWAYS:  # the rest at full speed
            if self.gateway[name].poll() is None:
                self.kill_gateway(name)
                self.start_gateway(name, 0)
        for name in GATEWAYS:
            wait_end(c, self.gateway[name], 'gateway-' + name, 90)
        parts.ok('%d SIGKILLs under load: %s; each restarted; %d lives of two gateways' % (
            self.kills, ', '.join('%s %d x' % item for item in self.done.items()), self.lives))
        index = c.wait_equal(60)
        parts.ok('equal digests at index %d' % index)
        wait_end(c, consumer, 'consumer', 60)
        count = in_order(c.path('consumer.out'), {letter: c.path('input-' + name)
                                                  for name, (letter, _) in GATEWAYS.items()})
        parts.holds(count == 2 * sent, 'a consumer has all %d messages once, unchanged, each '
                    'session in its order' % (2 * sent), count)
        c.stop_capture(capture)
        c.stop_all()
        pauses = sorted(self.pauses_ms())
        limit = 10 * ELECTION_MS
        parts.holds(len(pauses) == self.done['leader'] > 0 and pauses[-1] <= limit,
                    'fail-over of %d leaders: median %.0f ms, worst %.0f ms to the next sequenced '
                    'message (limit: 10 election timeouts, %d ms)' % (
                        len(pauses), pauses[len(pauses) // 2] if pauses else -1,
                        pauses[-1] if pauses else -1, limit), pauses)
        proven(parts, c, 'the judge: PROVEN over three rings, two gateways, all lines',
               ['gateway-' + name for name in GATEWAYS])


def part_storm(parts, options):
    with Cluster(options.build, ring=RING, **COMMON) as cluster:
        Storm(parts, cluster, options.seed, options.faults).run()


PARTS = {
    'storm': part_storm,
    'device': storm_device.part_device,
    'read-only': storm_device.part_read_only,
    'pages': storm_pages.part_pages,
    'member': storm_member.part_member,
    'member-lapped': storm_member.part_member_lapped,
    'input': storm_input.part_input,
    'usage': storm_admin.part_usage,
    'admin': storm_admin.part_admin,
    'transfer': storm_transfer.part_transfer,
}


def more(parser):
    parser.add_argument('--seed', type=int, default=20261124, help='of the order of faults')
    parser.add_argument('--faults', type=int, choices=range(len(KILLS), FAULTS + 1), default=FAULTS,
                        metavar='N',
                        help='the first N of the storm\'s faults (default: all %d)' % FAULTS)


if __name__ == '__main__':
    sys.exit(run_parts('./dev test e2e', __doc__, PARTS, more, always=('storm',)))
