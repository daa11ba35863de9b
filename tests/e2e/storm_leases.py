"""./dev storm --leases: sessions that hold locks and show sequencers, under kills, pauses and a bad wire.

Four processes contend for two locks (tests/tools/contender.c), over the wire of the storm; replicas are
killed, stopped and made to transfer, links are made bad, and the contenders themselves are killed, and
stopped for 0.2 to 8 s, many of them for longer than their sessions live. Each writes down what it was
granted, what it believed, and when, by a clock that is the same for all. Then lease_histories.py compares
them, and the judge decides over rings, logs and lines.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lease_histories  # noqa: E402
from cluster import read  # noqa: E402
from parts import expect, proven  # noqa: E402
from storm_wire import Fault, WireStorm  # noqa: E402

CONTENDERS = range(102, 107)  # their principals
TTL_MS, TTL_MAX_MS = 2000, 3000  # a new leader gives everybody the longest: short, so that sessions expire
PACE_S = 0.7
# A session expires only where a leader stays for a while: in the last part of each stretch of time the
# faults are the contenders' own.
STRETCH_S, ROUGH_S = 12.0, 4.0
OWN = {'contender killed': 14, 'contender stopped': 24}
KINDS = {'kill': 8, 'stop': 8, 'wire': 24, 'transfer': 4, **OWN}
GENESIS = ('--ttl-max-ms', TTL_MAX_MS)
END_S = 30


class Contender:
    """A process at a time, each under a session of its own; one log."""

    def __init__(self, storm, principal):
        self.storm, self.principal = storm, principal
        self.name = 'contender-%d' % principal
        self.lives = 0
        self.process = None
        self.stopped = False

    def start(self):
        c = self.storm.c
        self.lives += 1
        self.stopped = False
        self.process = c.spawn(
            os.path.join(c.build, 'tests/tools/keel-contender'), c.members(), c.path('client-%d.key' % self.principal),
            '%s-%d' % (self.name, self.lives), c.path(self.name + '.log'),
            self.storm.seed * 1000 + self.principal * 100 + self.lives, TTL_MS, err=self.name + '.err')

    def look(self):
        """A process that lost its session ends with 3, and another takes its place."""
        code = self.process.poll()
        if code is not None:
            expect(code == 3, '%s ended with %s: %s' % (self.name, code, read(self.storm.c.path(self.name + '.err'))[-300:]))
            self.start()

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.start()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def go_on(self):
        if self.stopped:
            self.process.send_signal(signal.SIGCONT)
            self.stopped = False

    def end(self):
        self.go_on()
        self.process.terminate()
        code = self.process.wait(timeout=END_S)
        # -SIGTERM: it had only just been started, and heard the signal before it could take it
        expect(code in (0, 3, -signal.SIGTERM), '%s ends with %s' % (self.name, code))


class LeaseStorm(WireStorm):
    kinds = KINDS

    def __init__(self, parts, cluster, seed, seconds):
        super().__init__(parts, cluster, seed, seconds)
        self.contenders = [Contender(self, principal) for principal in CONTENDERS]
        self.drawn_s = 0.0

    def begin(self, wire=True):
        c = self.c
        c.network(self.seed)
        c.format()
        c.start_all()
        c.leader()
        self.captures = c.capture_ends()
        for contender in self.contenders:
            contender.start()

    def draw(self):
        fault = Fault(self.rng, self.c.size, PACE_S, KINDS if self.drawn_s % STRETCH_S < ROUGH_S else OWN)
        self.drawn_s += fault.after
        return fault

    def check_gateways(self):
        for contender in self.contenders:
            contender.look()

    def answered(self):
        return 0 if not self.contenders[0].lives else len(self.history().answers)

    def history(self):
        paths = [self.c.path(contender.name + '.log') for contender in self.contenders]
        return lease_histories.read_all(path for path in paths if os.path.exists(path))

    def do(self, fault, now):
        if not fault.kind.startswith('contender'):
            super().do(fault, now)
            return
        self.counts[fault.kind] += 1
        contender = self.contenders[int(fault.share * len(self.contenders))]
        contender.look()
        if fault.kind == 'contender killed':
            contender.kill()
            self.kills += 1
        elif not contender.stopped:
            contender.stop()
            self.at(now + fault.lasts, contender.go_on)

    def calm(self):
        for contender in self.contenders:
            contender.go_on()
        super().calm()

    def figures(self):
        n, h = self.counts, self.history()
        return ('%d SIGKILLs and %d SIGSTOPs of replicas, %d and %d of contenders, %d wire faults, %d transfers; '
                '%d sessions, %d grants, %d to another session than before' % (
                    self.kills - n['contender killed'], n['stop'], n['contender killed'], n['contender stopped'],
                    n['wire'], n['transfer'], h.sessions, len(h.grants()), h.hand_overs()))

    def run(self):
        c, parts = self.c, self.parts
        self.begin()
        self.rage()
        for contender in self.contenders:
            contender.end()
        parts.ok('seed %d: %s; slowest calm %.1f s until all had caught up' % (
            self.seed, self.figures(), self.slowest_calm))
        parts.ok('equal digests at index %d' % c.wait_equal(60))
        for name, process in self.captures.items():
            c.stop_capture(process, name)
        c.stop_all()
        history = self.history()
        two, wrong, stale = history.two_holders(), history.wrong_grants(), history.stale_accepted()
        parts.holds(not two, 'never two holders of one lock in true time: %d beliefs of %d sessions compared' % (
            len(history.beliefs), history.sessions), two[:3])
        parts.holds(not wrong, '%d grants: each generation is one session\'s, or shared, and a later one is higher' %
                    len(history.grants()), wrong[:3])
        late = len(history.writes(lease_histories.STALE, True))
        parts.holds(not stale, '%d messages sequenced under a lock, in the order of its generations; 0 of %d under '
                    'one that was given up, %d refused in all' % (
                        len(history.writes(lease_histories.SEQUENCED)), late,
                        len(history.writes(lease_histories.STALE))), stale[:3])
        parts.holds(len(history.grants()) > 0 and late > 0 and history.hand_overs() > 0,
                    'locks were granted, moved to others, and old sequencers were shown', history.failed[-3:])
        proven(parts, c, 'the judge: PROVEN over three rings, %d contenders\' logs, three lines' % len(CONTENDERS),
               [contender.name for contender in self.contenders], tuple(self.captures))
