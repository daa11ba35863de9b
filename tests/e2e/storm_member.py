"""Members come and go under load: a fourth replica joins, the leader is removed, a replica whose disk
was lost comes back as another incarnation, a leader is killed in the middle of a change."""

import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, run  # noqa: E402
from parts import COMMON, expect, in_order, proven, wait_end, write_messages  # noqa: E402

COUNT, RATE = 60000, 1500
CHANGE_S = 60  # a change has to be complete by then


def member(c, at, *words, timeout=CHANGE_S):
    return run(c.program('keelctl'), '--timeout', 1000 * timeout, '-s', c.path('admin-%d.sock' % at), 'member',
               *words, check=False, timeout=timeout + 20)


def at_leader(c, *words):
    """Asked again where the office has moved meanwhile, or where a leader that is no member any more is
    about to hand it over: what is done already changes nothing."""
    for _ in range(20):
        done = member(c, c.leader(), *words)
        if done.returncode not in (5, 7):
            break
        time.sleep(0.5)
    return done


def members(c, at):
    code, text = c.ctl(at, 'member', 'list')
    return json.loads(text) if code == 0 else None


def roles(c, at):
    answer = members(c, at)
    return {row['replica']: row['role'] for row in answer['members']} if answer else {}


def settled(c, wanted, timeout=30.0):
    """The leader whose committed configuration gives these roles; 0: none in time."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        leader = c.leader()
        answer = members(c, leader)
        if (answer and answer['config_committed'] and not answer['config_joint'] and
                {row['replica']: row['role'] for row in answer['members']} == wanted):
            return leader
        time.sleep(0.1)
    return 0


def voters(*ids):
    return {i: 'voter' for i in ids}


def said(done):
    return (done.returncode, (done.stderr or done.stdout).strip()[-300:])


def refusals(parts, c):
    leader = c.leader()
    follower = next(i for i in (1, 2, 3) if i != leader)
    for what, done, code in (
            ('a change asked of a follower: it names the leader', member(c, follower, 'remove', '1'), 5),
            ('a promotion of nobody', member(c, leader, 'promote', '4'), 6),
            ('no identity', member(c, leader, 'add', 'replica=4'), 2),
            ('no replica id', member(c, leader, 'remove', '9'), 2)):
        parts.holds(done.returncode == code, '%s: exit %d: %s' % (what, code, said(done)[1]), said(done))


def stranger(c, at, timeout=30.0):
    """What a replica that has just been started says of the members."""
    until = time.monotonic() + timeout
    answer = None
    while answer is None and time.monotonic() < until:
        time.sleep(0.2)
        answer = members(c, at)
    return answer


def joins(parts, c):
    c.start(4)
    answer = stranger(c, 4)
    parts.holds(answer is not None and answer['member'] is False, 'replica 4 runs and is no member yet',
                answer)
    done = at_leader(c, 'add', *c.identity[4].split())
    parts.holds(done.returncode == 0 and settled(c, voters(1, 2, 3, 4)) and
                re.search(r'(done|nothing to do) at index [1-9]', done.stdout),
                'member add: replica 4 learns, catches up and votes: %s' % said(done)[1], said(done))
    c.wait_caught_up(4)


def leader_leaves(parts, c):
    gone = c.leader()
    left = [i for i in (1, 2, 3, 4) if i != gone]
    done = member(c, gone, 'remove', gone)
    # It does not answer as a leader any more; the others do.
    until = time.monotonic() + 30
    after = 0
    while time.monotonic() < until and after == 0:
        after = next((i for i in left if (c.status(i) or {}).get('role') == 'leader'), 0)
        time.sleep(0.1)
    # Another election in the middle leaves the answer open (exit 4); the change itself completes.
    parts.holds(done.returncode in (0, 4) and after and roles(c, after) == voters(*left),
                'member remove of the leader itself: replica %d is out, %d leads' % (gone, after),
                (said(done), after and roles(c, after)))
    term = c.status(after)['term']
    time.sleep(3)
    status = c.status(after)
    parts.holds(status['role'] == 'leader' and status['term'] == term,
                'the removed replica runs on for 3 s and disturbs nobody', (status['role'], status['term']))
    answer = members(c, gone)
    parts.holds(answer is not None and answer['member'] is False, 'and knows that it is no member', answer)
    c.kill(gone)
    return gone, left


def disk_lost(parts, c, left):
    """A follower's disk is replaced: the new one is no member until a change names it."""
    lost = next(i for i in left if i != c.leader())
    c.kill(lost)
    os.unlink(c.ring_path(lost))
    c.identity[lost] = c.format_one(lost)
    done = c.install(lost, check=False)
    parts.holds(done.returncode == 6 and '--join' in done.stderr,
                'a new disk is no founder: exit 6: %s' % said(done)[1], said(done))
    c.install(lost, '--join')
    c.start(lost)
    time.sleep(1)
    answer = stranger(c, lost)
    parts.holds(answer is not None and answer['member'] is False,
                'the new disk under the old id has no vote', answer)
    done = at_leader(c, 'add', *c.identity[lost].split())
    parts.holds(done.returncode == 6 and 'replace' in done.stderr,
                'member add under a taken id: exit 6: %s' % said(done)[1], said(done))
    done = at_leader(c, 'replace', lost, *c.identity[lost].split())
    parts.holds(done.returncode == 0 and settled(c, voters(*left)),
                'member replace: replica %d votes again, in its new incarnation: %s' % (
                    lost, said(done)[1]), said(done))
    c.wait_caught_up(lost)


def leader_dies_in_a_change(parts, c, gone, left):
    """Somebody is removed, and the leader is killed as soon as the change is in its log."""
    leader = c.leader()
    out = next(i for i in left if i != leader)
    asker = c.spawn(c.program('keelctl'), '-s', c.path('admin-%d.sock' % leader), 'member', 'remove', out)
    until = time.monotonic() + 10
    before = members(c, leader)['config_index']
    while time.monotonic() < until:
        answer = members(c, leader)
        if answer is None or answer['config_index'] != before:
            break
    c.kill(leader)
    asker.wait(timeout=30)
    c.start(leader)
    until = time.monotonic() + 30
    answer = None
    while time.monotonic() < until:
        answer = members(c, c.leader())
        if answer and answer['config_committed'] and not answer['config_joint']:
            break
        time.sleep(0.1)
    now = {row['replica']: row['role'] for row in answer['members']} if answer else {}
    parts.holds(now in (voters(*left), voters(*[i for i in left if i != out])),
                'the leader is killed in the middle of a change: the next one %s it' % (
                    'undid' if out in now else 'completed'), answer)
    if out not in now:
        done = at_leader(c, 'add', *c.identity[out].split())
        parts.holds(done.returncode == 0, 'the one that was removed comes back: %s' % said(done)[1],
                    said(done))


def part_member_lapped(parts, options):
    """Who joins a cluster whose rings no longer hold the log's beginning gets a checkpoint first. It takes
    a voter's place, in one step."""
    count = 60000
    with Cluster(options.build, size=4, founders=3, ring='8M', checkpoint='1M', **COMMON) as c:
        write_messages(c.path('input'), 'A', count, (150, 250), 13)
        c.network()
        c.format()
        for i in (1, 2, 3):
            c.start(i)
        leader = c.leader()
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', 6000)
        until = time.monotonic() + 60
        while time.monotonic() < until and (c.status(leader) or {}).get('first_index', 0) <= 1:
            time.sleep(0.2)
        expect(c.status(leader)['first_index'] > 1, 'the ring did not wrap in time')
        c.start(4)
        stranger(c, 4)
        out = next(i for i in (1, 2, 3) if i != c.leader())
        left = [i for i in (1, 2, 3, 4) if i != out]
        done = at_leader(c, 'replace', out, *c.identity[4].split())
        status = c.status(4)
        parts.holds(done.returncode == 0 and status and status['installed_from'] > 0 and
                    settled(c, voters(*left)),
                    'rings that have wrapped: replica 4 takes a checkpoint over, and votes in the place of '
                    '%d; its history begins at feed number %s' % (out, status and status['feed_history_from']),
                    (said(done), status and status.get('installed_from')))
        answer = members(c, out)
        parts.holds(answer is not None and answer['member'] is False,
                    'replica %d knows that it is no member any more' % out, answer)
        wait_end(c, gateway, 'gateway', 60)
        parts.ok('equal digests at index %d' % c.wait_equal(ids=left))


def part_member(parts, options):
    # Rings that hold the whole run: the judge counts majorities by the changes that it finds there.
    with Cluster(options.build, size=4, founders=3, ring='384M', **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (60, 200), 12)
        c.network()
        c.format()
        for i in (1, 2, 3):
            c.start(i)
        c.leader()
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT)
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', RATE)
        refusals(parts, c)
        joins(parts, c)
        gone, left = leader_leaves(parts, c)
        disk_lost(parts, c, left)
        leader_dies_in_a_change(parts, c, gone, left)
        expect(gateway.poll() is None, 'the gateway ended before the changes did: too few messages')
        wait_end(c, gateway, 'gateway', COUNT / RATE + 60)
        wait_end(c, consumer, 'consumer', 30)
        parts.ok('%d messages in order over all changes' % in_order(
            c.path('consumer.out'), {'A': c.path('input')}))
        parts.ok('equal digests at index %d' % c.wait_equal(ids=left))
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN over the members\' rings', ids=left)
