#!/usr/bin/env python3
"""./dev demo self-heal: dead voters are replaced by standbys, by the cluster itself.

    self_heal.py --build DIR

Five servers: three voters and two standbys; a gateway publishes all the while. The leader is killed and stays
away: a standby takes its place. Then another voter is killed: the second standby takes that place. Nobody but
the autopilot changes the members. The first server comes back, with an old log and without its vote: it is
caught up and becomes a standby. Then everything that was published must be in the feed once, in order; the
judge decides over the rings, the gateway's log and the capture. The decisions are printed as the log holds them.
"""

import argparse
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import Cluster, Failure, run  # noqa: E402
from parts import COMMON, Parts, answered, expect, in_order, interrupted, proven, wait_end, write_messages  # noqa: E402
from storm_member import at_leader, roles, said, settled  # noqa: E402

COUNT, RATE = 36000, 1200
DEAD_MS, STABILISE_MS = 2000, 1000
LOAD = 1000      # messages that must be answered between one step and the next
HEALED_S = 30    # at most until the cluster is whole again; what it took is printed


def autopilot(c, at, *words):
    return run(c.program('keelctl'), '-s', c.path('admin-%d.sock' % at), 'autopilot', *words, check=False,
               timeout=20)


def state(c, at):
    code, text = c.ctl(at, 'autopilot', 'show')
    return json.loads(text) if code == 0 else {}


def by_role(c, role, at=None):
    return sorted(i for i, its in roles(c, at or c.leader()).items() if its == role)


def flows(parts, c, what):
    """The stream goes on."""
    before, until = answered(c, 'gateway'), time.monotonic() + 30
    while answered(c, 'gateway') < before + LOAD:
        expect(time.monotonic() < until, '%s: the stream stands at %d answers' % (what, before))
        time.sleep(0.05)


def why(c, at, code, timeout=10.0):
    """The autopilot's reason, once it is that one."""
    until = time.monotonic() + timeout
    shown = {}
    while time.monotonic() < until:
        shown = state(c, at)
        if shown.get('why_code') == code:
            break
        time.sleep(0.1)
    return shown


def prepare(parts, c):
    for i in (4, 5):
        done = at_leader(c, 'add', '--standby', *c.identity[i].split())
        expect(done.returncode == 0, 'member add --standby: %s' % (said(done),))
    leader = c.leader()
    wanted = {1: 'voter', 2: 'voter', 3: 'voter', 4: 'standby', 5: 'standby'}
    parts.holds(settled(c, wanted), 'three voters, two standbys', roles(c, leader))
    done = autopilot(c, c.leader(), 'on', '--dead-ms', DEAD_MS, '--stabilise-ms', STABILISE_MS)
    parts.holds(done.returncode == 0, 'the autopilot is on: %s' % said(done)[1], said(done))
    done = autopilot(c, c.leader(), 'standby', 'add', 1)
    parts.holds(done.returncode == 6, 'a voter is no standby: exit 6: %s' % said(done)[1], said(done))
    shown = why(c, c.leader(), 'all-well')
    parts.holds(shown.get('why_code') == 'all-well', 'and does nothing: %s' % shown.get('why'), shown)


def heals(parts, c, gone):
    """One voter is killed for good."""
    voters = by_role(c, 'voter')
    c.kill(gone)
    began = time.monotonic()
    while time.monotonic() < began + HEALED_S:
        at = c.leader()
        now = by_role(c, 'voter', at)
        if len(now) == 3 and gone not in now and settled(c, roles(c, at), 5):
            break
        time.sleep(0.1)
    expect(len(now) == 3 and gone not in now, 'replica %d is gone, and not replaced within %d s: %s: %s' % (
        gone, HEALED_S, roles(c, c.leader()), state(c, c.leader()).get('why')))
    taken = [i for i in now if i not in voters]
    parts.ok('replica %d is killed for good: %s votes in its place, %.1f s later (dead after %.1f s, stabilise %.1f s)'
             % (gone, taken[0], time.monotonic() - began, DEAD_MS / 1000, STABILISE_MS / 1000))
    flows(parts, c, 'after %d was replaced' % gone)
    return taken[0]


def returns(parts, c, gone):
    c.start(gone)
    until = time.monotonic() + HEALED_S
    seen = []
    while time.monotonic() < until:
        role = roles(c, c.leader()).get(gone)
        if not seen or seen[-1] != role:
            seen.append(role)
        if role == 'standby':
            break
        time.sleep(0.1)
    parts.holds(seen[-1] == 'standby' and 'voter' not in seen,
                'replica %d comes back without its vote, is caught up, and becomes a standby: %s' % (
                    gone, ', '.join(map(str, seen))), seen)


def decided(parts, c, gone, takes):
    """The decisions, as every replica's log holds them."""
    shown = json.loads(c.ctl(c.leader(), 'autopilot', 'decisions')[1])
    for line in autopilot(c, c.leader(), 'decisions').stdout.splitlines():
        parts.say(line)
    list_ = [(d['action'], d['replica'], d['standby'], d['state']) for d in shown['decisions']]
    done = [d for d in list_ if d[3] == 'done']
    parts.holds(done == [('replace', gone[0], takes[0], 'done'), ('replace', gone[1], takes[1], 'done'),
                         ('return', gone[0], None, 'done')],
                'the decisions: two replacements, one return', list_)
    others = [i for i in c.alive() if i != c.leader()]
    same = all(json.loads(c.ctl(i, 'autopilot', 'decisions')[1]) == shown for i in others)
    parts.holds(same, 'every replica tells the same decisions', others)


def self_heal(parts, options):
    with Cluster(options.build, size=5, founders=3, ring='256M', **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (60, 200), 14)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT)
        prepare(parts, c)
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', RATE)
        flows(parts, c, 'at the beginning')
        gone = [c.leader()]
        takes = [heals(parts, c, gone[0])]
        gone.append(next(i for i in by_role(c, 'voter') if i not in (c.leader(), takes[0])))
        takes.append(heals(parts, c, gone[1]))
        returns(parts, c, gone[0])
        expect(gateway.poll() is None, 'the stream ended before the cluster was whole: too few messages')
        wait_end(c, gateway, 'gateway', COUNT / RATE + 60)
        wait_end(c, consumer, 'consumer', 30)
        parts.ok('%d messages were published meanwhile: all in the feed, once, in order' % in_order(
            c.path('consumer.out'), {'A': c.path('input')}))
        left = c.alive()
        parts.ok('equal digests at index %d on replicas %s' % (
            c.wait_equal(ids=left), ', '.join(map(str, left))))
        decided(parts, c, gone, takes)
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN, from the rings, the gateway\'s log and the capture', ids=left)


def main():
    parser = argparse.ArgumentParser(prog='./dev demo self-heal', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    parts = Parts()
    try:
        parts.run('self-heal', self_heal, options)
    except KeyboardInterrupt:
        parts.fail('interrupted')
    return parts.close()


if __name__ == '__main__':
    sys.exit(main())
