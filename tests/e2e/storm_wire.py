"""./dev storm: real replicas and gateways over a wire that does everything wires do, under kills and pauses.

Rounds of a fresh cluster each, until the minutes are used up. In a round faults are drawn from its seed:
SIGKILL of one replica, a tenth of the time of all at once, or of a gateway; SIGSTOP for 1 ms to 10 s;
transfers of leadership; links that are cut, one way too, flap, lose, double, delay, reorder, corrupt,
forge and slow. They overlap as they come. Every 15 s all of it is healed, and every replica must catch up.
A round ends so, and then the judge decides over rings, gateways' logs and lines: nothing that was
acknowledged may be lost, doubled or reordered. Needs root (network namespaces).

The same seed draws the same faults at the same times; what the processes make of them is theirs. Exit 1
if something did not hold: the round's folder is kept and named, and so is the command that draws it again.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import CLIENT_CABLE, Cluster, Failure  # noqa: E402
from gateways import GATEWAYS, Storm  # noqa: E402
from parts import COMMON, Parts, expect, interrupted  # noqa: E402

ROUND_S = 120.0   # of faults; a ring holds that whole, and the judge sees its first page
LEAST_S = 15.0
OVERHEAD_S = 25.0  # of a round: format, start, the rest of the messages, the judge
CALM_S = 15.0     # between two calms
CALM_LIMIT_S = 40.0  # until all have caught up: far above what is seen, the machine may be busy
RATE = 350        # messages a second of each gateway
PACE_S = 0.3      # between two faults, in the mean
RING = '512M'
KINDS = {'kill': 24, 'gateway': 3, 'stop': 14, 'wire': 30, 'transfer': 4}
SHARE_ALL = 0.1   # of kills: all replicas at once
WIRE_KINDS = ('cut', 'one way', 'flap', 'loss', 'double', 'delay', 'reorder', 'corrupt', 'forge',
              'slow')
TRANSFER_S = 3


def log_uniform(rng, least, most):
    return least * (most / least) ** rng.random()


class Fault:
    """One fault, drawn whole, whatever the cluster does meanwhile."""

    def __init__(self, rng, size, pace_s=PACE_S, kinds=KINDS):
        self.after = rng.expovariate(1 / pace_s)
        self.kind = rng.choices(list(kinds), list(kinds.values()))[0]
        self.all = rng.random() < SHARE_ALL
        self.leader = rng.random() < 0.5   # aims at whoever leads
        self.replica = rng.randrange(size) + 1
        self.gateway = rng.choice(sorted(GATEWAYS))
        self.down = rng.uniform(0.05, 0.8)
        self.stop = log_uniform(rng, 0.001, 10.0)
        self.wire = rng.choice(WIRE_KINDS)
        ends = rng.sample([*range(1, size + 1), CLIENT_CABLE], 2)
        self.a, self.b = rng.choice([ends, (ends[0], None), (None, None)])
        self.lasts = log_uniform(rng, 0.2, 8.0)
        self.share = rng.random()
        self.ms = log_uniform(rng, 0.005, 100.0)
        self.one_way = rng.random() < 0.4

    def link(self, wire):
        """Makes its links bad, and says how."""
        a, b, way = self.a, self.b, self.one_way
        if self.wire == 'cut':
            wire.cut(a, b)
        elif self.wire == 'one way':
            wire.cut(a, b, one_way=True)
        elif self.wire == 'flap':
            wire.set('flap', a, b, self.ms * 5 + 1, self.ms * 5 * self.share + 1, one_way=way)
        elif self.wire == 'delay':
            wire.set('delay', a, b, self.ms, self.ms * self.share, one_way=way)
        elif self.wire == 'reorder':
            wire.set('reorder', a, b, self.share / 2, self.ms / 10, one_way=way)
        elif self.wire == 'slow':  # 10 to 1,000 times slower than a gigabit, or so
            wire.set('rate', a, b, 1e9 / (10 * 100 ** self.share), one_way=way)
        else:
            most = {'loss': 0.3, 'double': 0.5, 'corrupt': 0.1, 'forge': 0.1}[self.wire]
            wire.set(self.wire, a, b, most * self.share, one_way=way)


class WireStorm(Storm):
    pace_s, kinds = PACE_S, KINDS

    def __init__(self, parts, cluster, seed, seconds):
        super().__init__(parts, cluster, seed, int(RATE * (seconds + 20)), RATE)
        self.seconds = seconds
        self.counts = dict.fromkeys((*self.kinds, 'all at once', 'calms'), 0)
        self.later = []      # (time, number, what to do then)
        self.stopped = {}    # replica -> its process, under SIGSTOP
        self.slowest_calm = 0.0
        self.number = 0

    # --- what is to be undone --------------------------------------------------------------------

    def at(self, when, action):
        self.number += 1
        self.later.append((when, self.number, action))
        self.later.sort(key=lambda item: item[:2])

    def undo_due(self, now):
        while self.later and self.later[0][0] <= now:
            self.later.pop(0)[2]()

    def start_if_down(self, i):
        if i not in self.c.replica:
            self.c.start(i)

    def go_on(self, i):
        process = self.stopped.pop(i, None)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)

    # --- faults ----------------------------------------------------------------------------------

    def leads(self, instead):
        """Who leads as far as somebody awake knows; else `instead`."""
        for i in self.c.alive():
            if i not in self.stopped:
                code, text = self.c.ctl(i, 'status', timeout=1)
                if code == 0 and '"role":"leader"' in text.replace(' ', ''):
                    return i
        return instead

    def kill(self, fault, now):
        victims = list(self.c.replica) if fault.all else [self.target(fault)]
        victims = [i for i in victims if i in self.c.replica]
        self.check_alive()
        self.c.kill(*victims)
        self.kills += len(victims)
        self.counts['all at once'] += fault.all
        for i in victims:
            self.stopped.pop(i, None)
            self.at(now + fault.down, lambda i=i: self.start_if_down(i))

    def target(self, fault):
        return self.leads(fault.replica) if fault.leader else fault.replica

    def stop(self, fault, now):
        i = self.target(fault)
        if i in self.c.replica and i not in self.stopped:
            self.check_alive()
            self.stopped[i] = self.c.replica[i]
            self.stopped[i].send_signal(signal.SIGSTOP)
            self.at(now + fault.stop, lambda: self.go_on(i))

    def wire(self, fault, now):
        fault.link(self.c.wire)
        self.at(now + fault.lasts, lambda: self.c.wire.heal(fault.a, fault.b))

    def transfer(self, fault):
        i = self.leads(fault.replica)
        if i in self.c.replica:
            self.c.spawn(self.c.program('keelctl'), '--timeout', 1000 * TRANSFER_S, '-s',
                         self.c.path('admin-%d.sock' % i), 'leader', 'transfer')

    def restart_gateway(self, fault):
        if self.gateway[fault.gateway].poll() is None:
            self.kill_gateway(fault.gateway)
            self.start_gateway(fault.gateway)

    def do(self, fault, now):
        self.counts[fault.kind] += 1
        if fault.kind == 'kill':
            self.kill(fault, now)
        elif fault.kind == 'stop':
            self.stop(fault, now)
        elif fault.kind == 'wire':
            self.wire(fault, now)
        elif fault.kind == 'transfer':
            self.transfer(fault)
        else:
            self.restart_gateway(fault)

    def draw(self):
        return Fault(self.rng, self.c.size, self.pace_s, self.kinds)

    def check_alive(self):
        self.check_gateways()
        for i, process in self.c.replica.items():
            expect(process.poll() is None, 'replica %d ended by itself with %s: %s' % (
                i, process.returncode, self.c.log_tail(i)))

    # --- calm ------------------------------------------------------------------------------------

    def calm(self):
        """Everything is well again; all must catch up and go on."""
        c = self.c
        self.check_alive()
        c.wire.heal()
        self.later.clear()
        for i in list(self.stopped):
            self.go_on(i)
        for i in c.ids():
            self.start_if_down(i)
        began = time.monotonic()
        c.leader(CALM_LIMIT_S)
        for i in c.ids():
            c.wait_caught_up(i, CALM_LIMIT_S)
        self.counts['calms'] += 1
        self.slowest_calm = max(self.slowest_calm, time.monotonic() - began)
        self.check_alive()

    def figures(self):
        n = self.counts
        return ('%d SIGKILLs (%d x all at once), %d SIGSTOPs, %d wire faults, %d transfers, %d messages '
                'answered' % (self.kills, n['all at once'], n['stop'], n['wire'], n['transfer'],
                              self.answered()))

    def rage(self):
        began = time.monotonic()
        calm_at = began + CALM_S
        fault = self.draw()
        due = began + fault.after
        while time.monotonic() < began + self.seconds:
            now = time.monotonic()
            self.undo_due(now)
            if now >= due:
                self.do(fault, now)
                fault = self.draw()
                due = max(due + fault.after, time.monotonic())
            if now >= calm_at:
                self.calm()
                self.parts.say('%3.0f s: %s' % (now - began, self.figures()))
                calm_at = time.monotonic() + CALM_S
            wake = min([due, calm_at] + [item[0] for item in self.later[:1]])
            time.sleep(max(0.0, min(wake - time.monotonic(), 0.05)))
        self.calm()

    def run(self):
        c, parts = self.c, self.parts
        self.begin(wire=True)
        self.rage()
        self.publish_rest()
        parts.ok('seed %d: %s; slowest calm %.1f s until all had caught up' % (
            self.seed, self.figures(), self.slowest_calm))
        self.all_is_there()
        sums = c.wire.counts()
        parts.holds(c.wire.balanced() and c.wire.missed() == 0,
                    'the wire accounts for every frame: %d in, %d out, %s' % (
                        sums['in'], sums['out'], ', '.join('%d %s' % (sums[word], word) for word in (
                            'cut', 'lost', 'doubled', 'reordered', 'corrupted', 'forged', 'full'))),
                    (sums, c.wire.missed()))
        c.stop_all()
        self.judged('the judge: PROVEN over three rings, two gateways, three lines')


def one_round(parts, options, seed, seconds):
    """SIGKILLs and messages answered."""
    import storm_leases  # pylint: disable=import-outside-toplevel,cyclic-import
    more = storm_leases.GENESIS if options.leases else ()
    cluster = Cluster(options.build, ring=RING, **{**COMMON, 'genesis': (*COMMON['genesis'], *more)})
    storm = (storm_leases.LeaseStorm if options.leases else WireStorm)(parts, cluster, seed, seconds)
    failed = parts.failed
    try:
        parts.run('round of seed %d, %.0f s of faults' % (seed, seconds), lambda _: storm.run())
    finally:
        bad = parts.failed > failed
        answered = storm.answered()
        for i in list(storm.stopped):
            storm.go_on(i)
        cluster.close(keep=bad)
        if bad:
            print('      kept: %s\n      again: ./dev storm%s --seed %d --seconds %.0f' % (
                cluster.dir, ' --leases' if options.leases else '', seed, seconds), flush=True)
    return storm.kills, answered


def commit_seed():
    """Other faults with each commit; 1 where there is no git."""
    done = subprocess.run(['git', '-C', HERE, 'rev-parse', 'HEAD'], capture_output=True, text=True,
                          check=False)
    return int(done.stdout[:7], 16) if done.returncode == 0 else 1


def read_options():
    parser = argparse.ArgumentParser(prog='./dev storm', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--minutes', type=float, default=3.0, help='at most, set-up and judge too (3)')
    parser.add_argument('--seed', type=int, help='of the first round, the next take the following '
                        'numbers; by default drawn from the commit')
    parser.add_argument('--leases', action='store_true', help='processes that contend for locks instead of '
                        'gateways: who believed what, compared in true time')
    parser.add_argument('--seconds', type=float, help='one round with so many seconds of faults')
    return parser.parse_args()


def main():
    options = read_options()
    seed = commit_seed() if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, interrupted)
    parts = Parts()
    kills = messages = rounds = 0
    began = time.monotonic()
    try:
        while rounds == 0 or options.seconds is None:
            left = options.minutes * 60 - (time.monotonic() - began) - OVERHEAD_S
            if rounds > 0 and left < LEAST_S:
                break
            killed, answered = one_round(parts, options, seed + rounds,
                                         options.seconds or min(ROUND_S, max(left, LEAST_S)))
            rounds += 1
            kills += killed
            messages += answered
            if parts.failed:
                break
    except KeyboardInterrupt:
        parts.fail('interrupted')
    print('%d round%s from seed %d in %.0f s: %d SIGKILLs, %d messages answered' % (
        rounds, '' if rounds == 1 else 's', seed, time.monotonic() - began, kills, messages))
    return parts.close()


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit('storm: %s' % failure)
