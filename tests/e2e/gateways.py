"""Two gateways that publish through whatever happens to a cluster, a consumer that must get everything,
and what has to hold in the end. A storm says what happens in between."""

import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import read  # noqa: E402
from parts import answered, expect, in_order, proven, wait_end, write_messages  # noqa: E402

SIZE = (40, 200)  # bytes of a message
GATEWAYS = {'a': ('A', 100), 'b': ('B', 101)}  # first letter of its messages, principal


class Storm:
    """count: messages of each gateway; rate: a second, while the storm lasts."""

    def __init__(self, parts, cluster, seed, count, rate):
        self.parts, self.c, self.rng = parts, cluster, random.Random(seed)
        self.seed, self.count, self.rate = seed, count, rate
        self.gateway = {}
        self.captures = {}
        self.consumer = None
        self.lives = 0
        self.kills = 0

    def start_gateway(self, name, full_speed=False):
        principal = GATEWAYS[name][1]
        words = [] if full_speed else ['--rate', self.rate]
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

    def answered(self):
        """Messages of all gateways that have an answer."""
        return sum(answered(self.c, 'gateway-' + name) for name in self.gateway)

    def begin(self, wire=False):
        """Replicas, captures, consumer and gateways run. wire: over keel-wire, seeded like the rest."""
        c = self.c
        for n, (name, (letter, _)) in enumerate(GATEWAYS.items()):
            write_messages(c.path('input-' + name), letter, self.count, SIZE, n)
        c.network(self.seed if wire else None)
        c.format()
        c.start_all()
        c.leader()
        # Over the wire a line arrives with what was done to it: it is judged where it was sent.
        self.captures = c.capture_ends() if wire else {'feed.pcap': c.capture()}
        self.consumer = c.follow('consumer', '--format', 'length-prefixed', '--count',
                                 len(GATEWAYS) * (self.count + 1))
        for name in GATEWAYS:
            self.start_gateway(name)

    def publish_rest(self):
        """What is left, at full speed."""
        for name in GATEWAYS:
            if self.gateway[name].poll() is None:
                self.kill_gateway(name)
                self.start_gateway(name, full_speed=True)
        for name in GATEWAYS:
            wait_end(self.c, self.gateway[name], 'gateway-' + name, 90)

    def all_is_there(self):
        c, parts = self.c, self.parts
        parts.ok('equal digests at index %d' % c.wait_equal(60))
        wait_end(c, self.consumer, 'consumer', 60)
        count = in_order(c.path('consumer.out'), {letter: c.path('input-' + name)
                                                  for name, (letter, _) in GATEWAYS.items()})
        parts.holds(count == len(GATEWAYS) * self.count, 'a consumer has all %d messages once, '
                    'unchanged, each session in its order' % (len(GATEWAYS) * self.count), count)
        for name, process in self.captures.items():
            c.stop_capture(process, name)

    def judged(self, what, more=()):
        """more: names of further gateways."""
        return proven(self.parts, self.c, what, ['gateway-' + name for name in GATEWAYS] + list(more),
                      tuple(self.captures))
