#!/usr/bin/env python3
"""What operators do to a running cluster: who leads, who may submit, who holds a lock.

    operators.py --build DIR [--only leading|sessions|locks]

leading: step-down, drain and resume, over a restart too; what would leave nobody to lead is refused. sessions: a
gateway is listed, suspended, limited and kicked while it publishes. locks: nodes and locks by the admin socket, a
lock taken from its holder. Requests are asked again under their id, and tried out first, throughout; the judge
decides over what the log then says.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read, run  # noqa: E402
from failover import ctl_words, wait_for  # noqa: E402
from parts import COMMON, proven, run_parts, write_messages  # noqa: E402

COUNT, RATE, SIZE = 4000, 500, (20, 60)


def ask(c, i, *words, timeout=10):
    """(exit code, what was answered)."""
    code, text = c.ctl(i, *words, timeout=timeout)
    try:
        return code, json.loads(text)
    except ValueError:
        return code, text


def up(options):
    return Cluster(options.build, ring='64M', **COMMON)


def begin(c):
    c.network()
    c.format()
    c.start_all()
    return c.leader()


# --- who leads ---

def drained(c, i):
    _, said = ask(c, i, 'member', 'list')
    return [row['replica'] for row in said['members'] if row['drained']]


def leading(parts, options):
    with up(options) as c:
        leader = begin(c)
        term = c.status(leader)['term']
        code, said = ask(c, leader, 'leader', 'step-down', '--dry-run')
        parts.holds(code == 0 and said['dry_run'] is True and c.status(leader)['term'] == term,
                    'step-down --dry-run would be done, and changes nothing', (code, said))
        code, said = ask(c, leader, 'leader', 'step-down')
        now = said['leader'] if code == 0 else None
        parts.holds(code == 0 and now != leader, 'step-down: replica %s leads instead of %d' % (now, leader), said)
        leader = c.leader(30)
        draining(parts, c, leader)
        no_quorum_left(parts, c)
        c.stop_all()


def draining(parts, c, leader):
    others = [i for i in c.ids() if i != leader]
    code, said = ask(c, others[0], 'drain', others[0])
    parts.holds(code == 5 and said['error']['leader'] == leader, 'drain at a follower: exit 5, names the leader', said)
    code, said = ask(c, leader, 'drain', others[0])
    parts.holds(code == 0 and said['repeated'] is False, 'drain of a follower', said)
    wait_for('everybody knows who is drained', lambda: all(drained(c, i) == [others[0]] for i in c.ids()))
    _, health = ask(c, others[0], 'health')
    parts.holds(c.status(others[0])['drained'] and health['drained'], 'status and health say that it is drained')
    wait_for('it has said so', lambda: ask(c, leader, 'leader', 'transfer', '--to', others[0], '--dry-run')[0] == 6)
    code, said = ask(c, leader, 'leader', 'transfer', '--to', others[0])
    parts.holds(code == 6, 'it is handed nothing: exit 6: %s' % said['error']['why'], said)
    code, said = ask(c, leader, 'drain', leader, timeout=20)
    parts.holds(code == 0, 'the leader drained: answered when it has handed over', said)
    now = c.leader(30)
    parts.holds(now == others[1], 'the only one that is not drained leads: replica %d' % now, now)
    for words in ((), ('--dry-run',)):
        code, said = ask(c, now, 'drain', now, *words)
        parts.holds(code == 6, 'the last one is not drained: exit 6: %s' % said['error']['why'], said)
    wait_for('both have said so', lambda: ask(c, now, 'leader', 'step-down', '--dry-run')[0] == 6)
    code, said = ask(c, now, 'leader', 'step-down')
    parts.holds(code == 6, 'nor does it step down: exit 6: %s' % said['error']['why'], said)
    c.kill(others[0])
    c.start(others[0])
    wait_for('drained over a restart', lambda: c.status(others[0]) is not None and c.status(others[0])['drained'])
    parts.ok('a restart does not end it')
    for i in (others[0], leader):
        code, said = ask(c, now, 'resume', i)
        parts.holds(code == 0, 'resume %d' % i, said)
    wait_for('nobody is drained', lambda: all(drained(c, i) == [] for i in c.ids()))
    c.wait_caught_up(leader)
    wait_for('it is handed the office again', lambda: ask(c, now, 'leader', 'transfer', '--to', leader)[0] == 0)
    parts.ok('a resumed replica leads again')


def no_quorum_left(parts, c):
    """One server is dead: to take another one out would leave nobody but it to agree with."""
    leader = c.leader(30)
    dead, other = [i for i in c.ids() if i != leader]
    c.kill(dead)
    time.sleep(1)
    for words in (('--dry-run',), ()):
        code, said = ask(c, leader, 'member', 'remove', other, *words)
        parts.holds(code == 6, 'member remove that would lose the quorum%s: exit 6: %s' % (
            ', tried out' if words else '', said['error']['why']), said)
    code, said = ask(c, leader, 'member', 'remove', dead, '--dry-run')
    parts.holds(code == 0 and said['dry_run'] and len(ask(c, leader, 'member', 'list')[1]['members']) == 3,
                'member remove of the dead one --dry-run: would be done, and is not', said)
    code, said = ask(c, leader, 'day', 'end', 'nonesuch', '--dry-run')
    parts.holds(code == 1 and 'wrong-day-state' in said['error']['why'], 'day end of another day --dry-run: exit 1', said)
    code, said = ask(c, leader, 'drain', other)
    parts.holds(code == 0, 'the only follower may be drained while the leader is there', said)
    code, said = ask(c, leader, 'drain', leader)
    parts.holds(code == 6, 'the leader may then not: exit 6: %s' % said['error']['why'], said)


# --- who may submit ---

def acks(c, name, status):
    return sum(1 for line in read(c.path(name + '.log')).splitlines()
               if line.startswith('ack ') and line.split()[3] == status)


def sessions(parts, options):
    with up(options) as c:
        leader = begin(c)
        write_messages(c.path('input'), 'T', COUNT, SIZE, 1)
        capture = c.capture()
        gateway = c.publish(c.path('input'), 'desk', 100, '--rate', RATE, '--ttl-ms', 60000, '--timeout', 60)
        wait_for('it publishes', lambda: acks(c, 'desk', 'sequenced') > 50)
        listed(parts, c, leader)
        suspended(parts, c, leader)
        limited(parts, c, leader)
        kicked(parts, c, leader, gateway)
        c.stop_capture(capture)
        c.wait_equal(60)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN, with suspensions and the kick', ('desk',))


def row_of(c, leader, name='desk'):
    code, said = ask(c, leader, 'session', 'list')
    rows = [row for row in said['sessions'] if row['name'] == name] if code == 0 else []
    return rows[0] if rows else None


def listed(parts, c, leader):
    row = row_of(c, leader)
    keys = {'session', 'epoch', 'principal', 'name', 'state', 'last_number', 'acknowledged_number', 'window', 'ttl_ms',
            'heard_ms', 'suspended', 'limit', 'handles', 'locks_held', 'locks_waiting'}
    parts.holds(row is not None and set(row) == keys and row['principal'] == 100 and row['state'] == 'alive',
                'session list: owner, state, numbers, locks, limit, last heard', row)
    follower = leader % 3 + 1
    seen = row_of(c, follower)
    parts.holds(seen is not None and seen['heard_ms'] is None, 'a follower lists it too, and has not heard it', seen)
    code, shown = ask(c, leader, 'session', 'show', 'desk', '--read')
    parts.holds(code == 0 and shown['session'] == row['session'] and shown['locks'] == [], 'session show by name', shown)
    code, said = ask(c, follower, 'session', 'list', '--read')
    parts.holds(code == 5, 'session list --read at a follower: exit 5', said)
    code, said = ask(c, leader, 'session', 'show', 'nobody')
    parts.holds(code == 1, 'session show of nobody: exit 1', said)


def suspended(parts, c, leader):
    words = ('session', 'suspend', '--principal', 100)
    code, said = ask(c, leader, *words, '--dry-run')
    parts.holds(code == 0 and said['dry_run'] and not row_of(c, leader)['suspended'], 'suspend --dry-run', said)
    id_ = '0123456789abcdef' * 2
    code, first = ask(c, leader, *words, '--request-id', id_)
    parts.holds(code == 0 and first['request'] == id_ and first['repeated'] is False, 'suspend', first)
    wait_for('messages are refused', lambda: acks(c, 'desk', 'suspended') > 20)
    parts.ok('messages of a suspended client are refused as suspended')
    code, said = ask(c, leader, 'session', 'resume', '--principal', 100)
    parts.holds(code == 0, 'resume', said)
    code, again = ask(c, leader, *words, '--request-id', id_)
    parts.holds(code == 0 and again['repeated'] and again['index'] == first['index'],
                'the first request again: the first answer, index %s' % again.get('index'), again)
    parts.holds(not row_of(c, leader)['suspended'], 'and it is not done again')
    code, said = ask(c, leader, 'session', 'suspend', '--principal', 101, '--request-id', id_)
    parts.holds(code == 1 and 'different' in said['error']['why'], 'another request under that id: exit 1', said)
    before = acks(c, 'desk', 'sequenced')
    wait_for('it goes on', lambda: acks(c, 'desk', 'sequenced') > before + 20)
    parts.ok('a resumed client goes on')


def limited(parts, c, leader):
    session = row_of(c, leader)['session']
    code, said = ask(c, leader, 'session', 'limit', session, '--rate', 100)
    parts.holds(code == 0 and row_of(c, leader)['limit'] == 100, 'session limit', said)
    _, drops = ask(c, leader, 'drops')
    wait_for('messages above it come later', lambda: ask(c, leader, 'drops')[1]['datagrams']['limited'] >
             drops['datagrams']['limited'])
    began, before = time.monotonic(), row_of(c, leader)['last_number']
    time.sleep(2)
    taken = (row_of(c, leader)['last_number'] - before) / (time.monotonic() - began)
    parts.say('with a limit of 100 a second, of a gateway that sends %d: %.0f a second' % (RATE, taken))
    code, said = ask(c, leader, 'session', 'limit', session, '--rate', 0)
    parts.holds(code == 0 and row_of(c, leader)['limit'] is None, 'session limit --rate 0: no limit', said)


def kicked(parts, c, leader, gateway):
    row = row_of(c, leader)
    code, said = ask(c, leader, 'session', 'kick', 'desk', '--epoch', row['epoch'] + 1)
    parts.holds(code == 1 and 'stale-epoch' in said['error']['why'], 'kick in another life: exit 1', said)
    code, said = ask(c, leader, 'session', 'kick', 'desk', '--dry-run')
    parts.holds(code == 0 and row_of(c, leader)['state'] == 'alive', 'kick --dry-run', said)
    code, said = ask(c, leader, 'session', 'kick', 'desk')
    parts.holds(code == 0 and row_of(c, leader)['state'] == 'killed', 'kick', said)
    code, said = ask(c, leader, 'session', 'kick', row['session'])
    parts.holds(code == 0, 'kick once more: done, and nothing changes', said)
    gateway.wait(timeout=30)
    parts.holds(gateway.returncode != 0 and 'killed' in read(c.path('desk.err')),
                'its gateway ends and says that its session was killed', read(c.path('desk.err'))[-200:])


# --- who holds a lock ---

def locks(parts, options):
    with up(options) as c:
        leader = begin(c)
        by_socket(parts, c, leader)
        broken(parts, c, leader)
        c.wait_equal(60)
        c.stop_all()


def by_socket(parts, c, leader):
    id_ = 'f' * 32
    code, said = ask(c, leader, 'node', 'create', '/job', '--text', 'one', '--dry-run')
    parts.holds(code == 0 and ask(c, leader, 'node', 'get', '/job')[0] == 1, 'node create --dry-run', said)
    code, made = ask(c, leader, 'node', 'create', '/job', '--text', 'one', '--request-id', id_)
    parts.holds(code == 0, 'node create without a client key', made)
    code, again = ask(c, leader, 'node', 'create', '/job', '--text', 'one', '--request-id', id_)
    parts.holds(code == 0 and again['repeated'] and again['instance'] == made['instance'],
                'under the same id: the same node', again)
    code, said = ask(c, leader, 'node', 'create', '/job')
    parts.holds(code == 1 and 'node-exists' in said['error']['why'], 'another request: exit 1, node-exists', said)
    code, said = ask(c, leader, 'node', 'set', '/job', '--text', 'two', '--if', 1)
    parts.holds(code == 0 and said['content_generation'] == 2, 'node set --if', said)
    code, said = ask(c, leader, 'node', 'set', '/job', '--text', 'three', '--if', 1)
    parts.holds(code == 1 and 'changed' in said['error']['why'], 'node set --if, too late: exit 1', said)
    code, said = ask(c, leader, 'node', 'get', '/job', '--read')
    parts.holds(code == 0 and said['content'] == 'two' and said['acl'] == [
        {'principal': 'everybody', 'rights': 'rwc'}], 'node get', said)
    code, said = ask(c, leader, 'node', 'list', '/')
    parts.holds(code == 0 and [row['path'] for row in said['children']] == ['/job'], 'node list', said)
    code, said = ask(c, leader, 'node', 'create', '/job/x')
    code, said = ask(c, leader, 'node', 'delete', '/job')
    parts.holds(code == 1 and 'not-empty' in said['error']['why'], 'node delete of a parent: exit 1', said)
    code, said = ask(c, leader, 'node', 'delete', '/job/x', '--request-id', 'e' * 32)
    code, again = ask(c, leader, 'node', 'delete', '/job/x', '--request-id', 'e' * 32)
    parts.holds(code == 0 and again['repeated'] and again['index'] == said['index'], 'node delete, asked twice', again)
    follower = leader % 3 + 1
    code, said = ask(c, follower, 'node', 'set', '/job', '--text', 'x')
    parts.holds(code == 5 and said['error']['leader'] == leader, 'node set at a follower: exit 5', said)
    code, said = ask(c, leader, 'node', 'acl', '/job', '100:rwc', '101:rwc', 'everybody:r')
    parts.holds(code == 0 and said['acl_generation'] == 2, 'node acl', said)


def holder(c, name, principal):
    return c.spawn(*ctl_words(c, principal, 'lock', 'run', '/job', '--ttl-ms', 3000, '--', 'sh', '-c',
                              'echo "$KEEL_SEQUENCER"; exec sleep 600'), out=name + '.out', err=name + '.err')


def token_of(c, name):
    wait_for(name + ' has the lock', lambda: read(c.path(name + '.out')).strip())
    return read(c.path(name + '.out')).strip()


def broken(parts, c, leader):
    code, said = ask(c, leader, 'lock', 'break', '/job')
    parts.holds(code == 1 and 'lock-not-held' in said['error']['why'], 'lock break of a free lock: exit 1', said)
    first = holder(c, 'first', 100)
    token = token_of(c, 'first')
    second = holder(c, 'second', 101)
    wait_for('the second waits', lambda: ask(c, leader, 'lock', 'show', '/job')[1]['waiters'] == 1)
    held = ask(c, leader, 'lock', 'show', '/job')[1]
    _, shown = ask(c, leader, 'session', 'show', held['holder_session'])
    parts.holds([(row['path'], row['state'], row['mode']) for row in shown['locks']] == [('/job', 'holds', 'exclusive')],
                'session show lists the lock that it holds', shown)
    code, said = ask(c, leader, 'lock', 'break', '/job', '--dry-run')
    parts.holds(code == 0 and ask(c, leader, 'lock', 'show', '/job')[1]['holders'] == 1, 'lock break --dry-run', said)
    code, said = ask(c, leader, 'lock', 'break', '/job')
    parts.holds(code == 0, 'lock break', said)
    check = run(*c.inside('cl', *ctl_words(c, 100, 'lock', 'check', token)), check=False)
    parts.holds(check.returncode == 1, 'the token of who held it is stale at once', check.returncode)
    first.wait(timeout=20)
    parts.holds(first.returncode == 75, 'its program is ended: exit 75', (first.returncode, read(c.path('first.err'))))
    now = token_of(c, 'second')
    parts.holds(now != token,
                'after the lock-delay who waited holds it: %s, then %s' % (token, now), (token, now))
    code, said = ask(c, leader, 'lock', 'break', '/job', '--now')
    after = ask(c, leader, 'lock', 'show', '/job')[1]
    parts.holds(code == 0 and after['holders'] == 0 and after['lock_delay_ms'] == 0,
                'lock break --now leaves no lock-delay', (said, after))
    second.wait(timeout=20)


TABLE = {'leading': leading, 'sessions': sessions, 'locks': locks}

if __name__ == '__main__':
    sys.exit(run_parts('operators.py', __doc__, TABLE))
