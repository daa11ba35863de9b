#!/usr/bin/env python3
"""Founders agree on a genesis record by themselves: one cluster or none, whatever happens, and why.

    genesis.py --build DIR [--only NAME]... [--share K/N] [--seed N]

Real servers on separate network stacks. Every start order; kills at every step, of one server and of all;
clashing and overlapping founder lists, other limits, another day; disks that are wiped and formatted anew, two
of three; each again with links that are cut meanwhile. After each: no server is in two clusters, by the records
on the drives; those that run as replicas agree on the state's digest; every server without a record says why, in
its log and to `keelctl genesis status`. Every start order, without cuts or wipes, ends in one cluster; its time
is printed beside its goal, 10 s.
"""

import itertools
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import run  # noqa: E402
from founders import FOUNDED_S, Founders  # noqa: E402
from parts import expect, run_parts  # noqa: E402

GOAL_S = 10
EVENTS = 12      # lines of the genesis that a server logs until it runs as a replica, at most
CUT_S = 1.5      # a link stays cut so long after the last start
LINKS = ((1, 2), (1, 3), (2, 3))
BLOCK, RECORD = 4096, 512
GENESIS_AT = 2 * BLOCK


def founded(parts, f, text, *ids):
    """One cluster, of these."""
    took = f.wait_founded(*ids)
    clusters = f.one_or_none()
    parts.holds(sorted(len(s) for s in clusters.values()) == [len(ids or f.ids())], '%s: one cluster' % text, clusters)
    return took


def in_order(parts, f, order, apart):
    f.begin(*order, apart=apart)
    took = founded(parts, f, 'started as %s, %.1f s apart' % (' '.join(map(str, order)), apart))
    parts.say('a leader %.1f s after the last start (goal: %d s)' % (took, GOAL_S))


def orders(which):
    def part(parts, options):
        for number, order in which(list(enumerate(itertools.permutations((1, 2, 3))))):
            with Founders(options.build) as f:
                f.configure_all(f.list_of())
                in_order(parts, f, order, (0.0, 0.7, 1.5)[number % 3])
    return part


def cut_orders(parts, options):
    """A link is cut, both ways or one way, from before the first start until after the last."""
    rng = random.Random(options.seed)
    for order in rng.sample(list(itertools.permutations((1, 2, 3))), 3):
        a, b = rng.choice(LINKS)
        one_way = rng.random() < 0.5
        with Founders(options.build, seed=options.seed) as f:
            f.configure_all(f.list_of())
            f.wire.cut(a, b, one_way=one_way)
            f.begin(*order)
            time.sleep(CUT_S)
            f.one_or_none()
            expect(not f.record(a) or not f.record(b) or one_way, 'a lock of all needs every link')
            f.wire.heal()
            founded(parts, f, 'link %d-%d cut%s' % (a, b, ' one way' if one_way else ''))


def killed(victims, cut=False):
    """SIGKILL of the victims at each step of theirs, then started again."""
    def part(parts, options):
        rng = random.Random(options.seed + len(victims))
        for event in range(1, EVENTS + 1):
            with Founders(options.build, seed=options.seed if cut else None) as f:
                f.configure_all(f.list_of())
                f.begin()
                hit = f.kill_at(event, *victims)
                f.one_or_none()
                if not hit:
                    return
                if cut:
                    f.wire.cut(*rng.choice(LINKS))
                f.begin(*victims)
                if cut:
                    time.sleep(CUT_S)
                    f.one_or_none()
                    f.wire.heal()
                founded(parts, f, '%s killed at line %d of the genesis%s' % (
                    ' and '.join(map(str, victims)), event, ', a link cut' if cut else ''))
    return part


def overlapping(parts, options, seed=None):
    """1, 2, 3 found a cluster; 4 and 5 would found another with 3."""
    with Founders(options.build, size=5, seed=seed) as f:
        for i in (1, 2, 3):
            f.configure(i, f.list_of(1, 2, 3))
        for i in (4, 5):
            f.configure(i, f.list_of(3, 4, 5))
        if seed is not None:
            f.wire.cut(1, 3)
        f.begin(4, 5, 3, 1, 2)
        if seed is not None:
            f.wait_reason(4, 'other-list')
            f.one_or_none()
            f.wire.heal()
        founded(parts, f, 'overlapping lists', 1, 2, 3)
        for i in (4, 5):
            parts.holds(f.wait_reason(i, 'cluster-strange'), 'server %d says that founder 3 is in another cluster' % i)
        # The operator corrects them: 4 and 5 by themselves are a cluster of their own.
        for i in (4, 5):
            f.configure(i, f.list_of(4, 5))
        f.hang_up(4, 5)
        f.wait_founded(4, 5)
        parts.holds(len(f.one_or_none()) == 2, 'corrected and read again at SIGHUP: the two others found their own')


def clashing(parts, options, seed=None):
    """Three servers, each with a list of its own; then limits and days that differ."""
    with Founders(options.build, seed=seed) as f:
        f.configure(1, f.list_of(1, 2, 3))
        f.configure(2, f.list_of(1, 2))
        f.configure(3, f.list_of(1, 2, 3, _2=f.lines[2].replace(f.address(2), '10.77.0.9:7400')))
        if seed is not None:
            f.wire.cut(2, 3, one_way=True)
        f.begin()
        f.wait_reason(1, 'other-list')
        f.wait_reason(2, 'other-list')
        f.wait_reason(3, 'other-list', 'silent')
        time.sleep(CUT_S)
        parts.holds(f.one_or_none() == {}, 'three lists: no cluster, and each says why', f.reasons())
        if seed is not None:
            f.wire.heal()
        f.configure_all(f.list_of())
        f.configure(2, f.list_of(), lock_delay_max_ms=30000)
        f.configure(3, f.list_of(), day='D2')
        f.hang_up()
        for i in (1, 2, 3):
            f.wait_reason(i, 'other-limits')
        parts.holds(f.one_or_none() == {}, 'other limits, another day: no cluster, and each says why', f.reasons())
        done = run(f.program('keelctl'), '-s', f.path('admin-1.sock'), 'status', check=False)
        parts.holds(done.returncode == 7 and 'no genesis record yet' in done.stderr,
                    'keelctl status says so, exit 7', done)
        f.configure_all(f.list_of())
        f.hang_up()
        founded(parts, f, 'lists corrected')


def wiped_early(parts, options, seed=None):
    """Two of three disks are wiped after the list was locked, before anything was decided."""
    with Founders(options.build, seed=seed) as f:
        f.configure_all(f.list_of())
        if seed is not None:
            f.wire.cut(1, 2)
        f.begin()
        if seed is not None:
            time.sleep(CUT_S)
            f.wire.heal()
        f.kill_at(1, 1, what='event=genesis-wrote')  # the lock
        f.kill(2, 3)
        if f.one_or_none():
            parts.say('decided before the kill: wiped-late has that')
            return
        if seed is not None:
            f.wire.cut(2, 3)
        for i in (2, 3):
            f.draw(i)
        f.begin()
        for i in (2, 3):
            parts.holds(f.wait_reason(i, 'not-named', 'cluster-other', 'cluster-strange'),
                        'server %d, wiped, is not in its list' % i)
        expect(len(f.one_or_none()) <= 1, 'one cluster or none')
        f.kill(*f.alive())
        if seed is not None:
            f.wire.heal()
        f.configure_all(f.list_of())
        f.begin()
        if not f.wait_locked_other(1):
            founded(parts, f, 'server 1 had locked nothing, and takes the new list')
            return
        parts.ok('server 1 has locked the old list, and says so')
        f.wait_reason(2, 'other-list')
        expect(f.one_or_none() == {}, 'none')
        f.kill(*f.alive())
        f.draw(1)  # as docs/operations.md says
        f.configure_all(f.list_of())
        f.begin()
        founded(parts, f, 'all formatted anew')


def wiped_late(parts, options, seed=None):
    """Two of three disks of a running cluster are wiped and formatted again."""
    with Founders(options.build, seed=seed) as f:
        f.configure_all(f.list_of())
        f.begin()
        founded(parts, f, 'a cluster')
        first = f.record(1)['cluster_id']
        f.kill(1, 2, 3)
        for i in (2, 3):
            f.draw(i)
        if seed is not None:
            f.wire.cut(2, 3)
        f.begin()
        for i in (2, 3):
            parts.holds(f.wait_reason(i, 'not-named'), 'server %d: its list names what it was' % i)
        f.kill(2, 3)
        for i in (2, 3):
            f.configure(i, f.list_of())
        f.begin(2, 3)
        for i in (2, 3):
            parts.holds(f.wait_reason(i, 'cluster-strange'), 'server %d: founder 1 is in a cluster without it' % i)
        clusters = f.one_or_none()
        parts.holds(clusters == {first: [1]}, 'the old cluster, without a quorum, and no other', clusters)


def late(parts, options):
    """A founder that was killed when it had locked comes back to those that run as replicas. Each has the keys of
    those below it alone, so that a replica has to begin with who is above it."""
    for last in (1, 3):
        with Founders(options.build, all_keys=False) as f:
            f.configure_all(f.list_of())
            f.begin()
            f.kill_at(1, last, what='event=genesis-wrote')
            until = time.monotonic() + 5  # its lock may not have been heard: then they wait for it
            while time.monotonic() < until and not all(f.reason(i) == 'installed' for i in f.alive()):
                time.sleep(0.05)
            f.begin(last)
            founded(parts, f, 'founder %d comes back to the others' % last)


def in_use(parts, options):
    """A ring whose genesis record is lost founds nothing; nor does one with a record beside its lock on another list."""
    with Founders(options.build) as f:
        f.configure_all(f.list_of())
        f.begin()
        founded(parts, f, 'a cluster')
        f.kill(*f.ids())
        with open(f.ring_path(1), 'r+b') as ring:
            other = os.pread(ring.fileno(), RECORD, GENESIS_AT)
            os.pwrite(ring.fileno(), bytes(4 * BLOCK), GENESIS_AT)  # the acceptor's too, which would make it anew
        text = refused(f, 1)
        parts.holds('the ring is in use' in text, 'a log without a record founds nothing', text)
        for i in (2, 3):
            f.draw(i)
        f.draw(1)
        f.configure_all(f.list_of())
        f.begin(1, 2, 3)
        f.kill_at(1, 1, 2, 3, what='event=genesis-wrote')
        locked = [i for i in f.ids() if 'lock=' in f.log_since(i)]
        parts.holds(locked, 'one has locked its list', f.log_tail(1))
        with open(f.ring_path(locked[0]), 'r+b') as ring:  # as an older tool would that knows nothing of locks
            for copy in (0, 1):
                os.pwrite(ring.fileno(), other.ljust(BLOCK, b'\0'), GENESIS_AT + copy * BLOCK)
        text = refused(f, locked[0])
        parts.holds('counted in two clusters' in text, 'a record beside a lock is no cluster', text)


def refused(f, i):
    """What a server says that does not start."""
    f.begin(i)
    process = f.replica[i]
    process.wait(timeout=FOUNDED_S)
    return f.log_since(i)


def with_cuts(function):
    def part(parts, options):
        function(parts, options, seed=options.seed)
    return part


TABLE = {
    'orders-1': orders(lambda all_of: all_of[::2]),
    'orders-2': orders(lambda all_of: all_of[1::2]),
    'clashing': clashing,
    'overlapping': overlapping,
    'wiped-late': wiped_late,
    'wiped-early': wiped_early,
    'late': late,
    'in-use': in_use,
    'killed-1': killed((1,)),
    'killed-2': killed((2,)),
    'killed-3': killed((3,)),
    'killed-all': killed((1, 2, 3)),
    'cut-orders': cut_orders,
    'cut-killed': killed((2,), cut=True),
    'cut-killed-all': killed((1, 2, 3), cut=True),
    'cut-clashing': with_cuts(clashing),
    'cut-overlapping': with_cuts(overlapping),
    'cut-wiped-late': with_cuts(wiped_late),
    'cut-wiped-early': with_cuts(wiped_early),
}


def more(parser):
    parser.add_argument('--seed', type=int, default=1, help='of what goes by chance')


if __name__ == '__main__':
    sys.exit(run_parts('genesis.py', __doc__, TABLE, more))
