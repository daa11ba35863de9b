#!/usr/bin/env python3
"""Locks over a fail-over, and of sessions that fall silent, with real processes.

    leases.py --build DIR [--only nodes|failover|run]

failover: 200 sessions hold 1,000 locks while the leader is killed: no lock is lost, no session expires that kept
its keepalives; each then proves every lock with a fenced message. Beside them 20 sessions fall silent: each
expires within TTL x (1 + rho) + 1 s, and who waits for its lock gets it. The longest time without a grant to a
session that asks again and again is printed. nodes: `keelctl node` as operators use it. run: `keelctl lock run` in the foreground, in the queue, told to
end, and cut off from the cluster.
"""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster  # noqa: E402
from cluster import Cluster, read, run  # noqa: E402
from failover import ctl_words, end, wait_for  # noqa: E402
from parts import COMMON, expect, run_parts  # noqa: E402

SESSIONS, LOCKS, SILENT = 200, 5, 20
TTL_MS, TTL_MAX_MS = 4000, 5000
PRINCIPALS = range(100, 100 + SESSIONS + 2 * SILENT + 1)
LIMITS = ('--sessions-max', 512, '--ttl-max-ms', TTL_MAX_MS, '--nodes-max', 2048, '--handles-max', 4096)


def failover(parts, options):
    before, cluster.PRINCIPALS = cluster.PRINCIPALS, PRINCIPALS
    try:
        with Cluster(options.build, ring='256M', **{**COMMON, 'genesis': (*COMMON['genesis'], *LIMITS)}) as c:
            killed(parts, c)
    finally:
        cluster.PRINCIPALS = before


def killed(parts, c):
    c.network()
    c.format()
    c.start_all()
    c.leader()
    began = time.monotonic()
    process = c.spawn(os.path.join(c.build, 'tests/tools/keel-holders'), c.members(), c.path('client-%d.key'),
                      SESSIONS, LOCKS, SILENT, TTL_MS, out='holders.out', err='holders.err')
    wait_for('all sessions hold their locks', lambda: 'ready' in read(c.path('holders.out')) or
             process.poll() is not None, 120)
    expect(process.poll() is None, 'keel-holders ended: ' + read(c.path('holders.err'))[-300:])
    parts.say('%d sessions hold %d locks after %.1f s' % (SESSIONS + SILENT, SESSIONS * LOCKS + SILENT,
                                                         time.monotonic() - began))
    leader = c.leader()
    c.kill(leader)
    time.sleep(1)
    c.leader()
    time.sleep(TTL_MAX_MS / 1000 + 3)  # a new leader gives everybody its time
    process.send_signal(signal.SIGUSR2)
    time.sleep(2)
    process.send_signal(signal.SIGUSR1)
    time.sleep(TTL_MS / 1000 * 1.0002 + 2)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    lines = read(c.path('holders.out')).splitlines()
    said = json.loads(lines[-1])
    errors = read(c.path('holders.err')).strip()
    parts.holds(said['failed'] == 0 and said['safe'] == SESSIONS, 'the leader killed: %d of %d sessions that kept '
                'their keepalives are safe' % (said['safe'], SESSIONS), (said, errors[-300:]))
    parts.holds(said['lost'] == 0 and said['proven'] == SESSIONS * LOCKS and said['refused'] == 0,
                '%d of %d locks proven by a fenced message afterwards' % (said['proven'], SESSIONS * LOCKS), said)
    parts.say('longest time without a grant, over the fail-over: %.0f ms' % said['longest_without_grant_ms'])
    limit_ms = TTL_MS * 1.0002 + 1000
    parts.holds(said['granted_to_waiters'] == SILENT and said['last_grant_ms'] <= limit_ms,
                '%d silent sessions expired, their locks went to who waited; the last after %.0f ms (at most %.0f)' % (
                    said['granted_to_waiters'], said['last_grant_ms'], limit_ms), said)
    c.stop_all()


def lock_run(parts, options):
    with Cluster(options.build, **{**COMMON, 'genesis': (*COMMON['genesis'], *LIMITS)}) as c:
        c.network()
        c.format()
        c.start_all()
        c.leader()
        foreground(parts, c)
        cut_off(parts, c)
        shot(parts, c)
        c.stop_all()


def under_lock(c, name, principal, script, *more):
    return c.spawn(*ctl_words(c, principal, 'lock', 'run', '/job', '--ttl-ms', 3000, *more, '--', 'sh', '-c', script),
                   out=name + '.out', err=name + '.err')


def foreground(parts, c):
    first = under_lock(c, 'first', 100, 'echo "$KEEL_SEQUENCER"; exec sleep 600')
    wait_for('the first has the lock', lambda: read(c.path('first.out')).strip())
    token = read(c.path('first.out')).strip()
    check = ctl_words(c, 102, 'lock', 'check', token)
    holds = c.spawn(*check)
    parts.holds(holds.wait(timeout=20) == 0, 'lock check says that %s holds' % token, holds.returncode)
    tried = under_lock(c, 'tried', 101, 'true', '--try')
    parts.holds(tried.wait(timeout=20) == 1 and 'lock-busy' in read(c.path('tried.err')),
                'lock run --try at a held lock: exit 1, lock-busy', read(c.path('tried.err')))
    late = under_lock(c, 'late', 101, 'true', '--wait-ms', 300)
    parts.holds(late.wait(timeout=20) == 1, 'lock run --wait-ms gives up its place: exit 1', read(c.path('late.err')))
    queued = under_lock(c, 'queued', 101, 'exit 7')
    time.sleep(0.5)
    parts.holds(queued.poll() is None, 'who waits, waits')
    code = end(first)
    parts.holds(code == 128 + signal.SIGTERM, 'a signal goes to the program, its exit code comes back', code)
    parts.holds(queued.wait(timeout=10) == 7, 'the next in the queue runs at once, exit code 7',
                (queued.returncode, read(c.path('queued.err'))))
    stale = c.spawn(*check)
    parts.holds(stale.wait(timeout=20) == 1, 'lock check says that it is stale', stale.returncode)


def cut_off(parts, c):
    """Cut off, it ends its program before anybody else can have the lock."""
    script = 'trap "" TERM; while :; do date +%s.%N > tick.new; mv tick.new tick; sleep 0.02; done'
    held = under_lock(c, 'held', 100, 'cd %s && %s' % (c.dir, script))
    wait_for('it runs', lambda: os.path.exists(c.path('tick')))
    taker = under_lock(c, 'taker', 101, 'date +%s.%N')
    time.sleep(1)
    os.kill(held.pid, signal.SIGSTOP)  # keelctl stands still, its program does not
    wait_for('the lock moves on', lambda: read(c.path('taker.out')).strip(), 90)
    last = float(read(c.path('tick')))
    taken = float(read(c.path('taker.out')))
    os.kill(held.pid, signal.SIGCONT)
    code = held.wait(timeout=20)
    parts.holds(last < taken, 'keelctl stopped: its program has ended %.0f ms before another has the lock' % (
        1000 * (taken - last)), (last, taken))
    parts.holds(code == 75, 'continued, keelctl says that the lock was lost: exit 75', code)


def shot(parts, c):
    """keelctl is killed: its program ends at once, and the lock moves on when the lease is over."""
    script = 'trap "" TERM HUP; while :; do date +%s.%N > shot.new; mv shot.new shot; sleep 0.02; done'
    held = under_lock(c, 'shot', 100, 'cd %s && %s' % (c.dir, script))
    wait_for('it runs', lambda: os.path.exists(c.path('shot')))
    end(held, signal.SIGKILL)
    killed_at = time.time()
    taker = under_lock(c, 'heir', 101, 'date +%s.%N')
    wait_for('the lock moves on', lambda: read(c.path('heir.out')).strip(), 90)
    last = float(read(c.path('shot')))
    parts.holds(last < float(read(c.path('heir.out'))),
                'keelctl killed: its program has ended %.0f ms later' % (1000 * max(0, last - killed_at)),
                (killed_at, last))
    taker.wait(timeout=20)


def ctl(c, principal, *words):
    """(exit code, the JSON object or the message)."""
    done = run(*c.inside('cl', *ctl_words(c, principal, *words, '--json')), check=False)
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else done.stderr


def nodes(parts, options):
    with Cluster(options.build, **{**COMMON, 'genesis': (*COMMON['genesis'], *LIMITS)}) as c:
        c.network()
        c.format()
        c.start_all()
        c.leader()
        by_nodes(parts, c)
        c.stop_all()


def by_nodes(parts, c):
    code, made = ctl(c, 100, 'node', 'create', '/a', '--text', 'one')
    parts.holds(code == 0, 'node create', made)
    code, again = ctl(c, 100, 'node', 'create', '/a')
    parts.holds(code == 1 and 'node-exists' in again, 'what is there is not made again: exit 1', again)
    _, got = ctl(c, 101, 'node', 'get', '/a')
    generation = got['content_generation']
    code, done = ctl(c, 100, 'node', 'set', '/a', '--text', 'two', '--if', generation)
    parts.holds(code == 0, 'node set --if with the generation in force', done)
    code, stale = ctl(c, 100, 'node', 'set', '/a', '--text', 'three', '--if', generation)
    parts.holds(code == 1 and 'changed' in stale, 'node set --if with the one before: exit 1', stale)
    code, done = ctl(c, 100, 'node', 'acl', '/a', '100:rwc', 'everybody:r')
    parts.holds(code == 0, 'node acl', done)
    code, no = ctl(c, 101, 'node', 'set', '/a', '--text', 'mine')
    parts.holds(code == 1 and 'not-allowed' in no, 'who may only read does not write: exit 1', no)
    code, got = ctl(c, 101, 'node', 'get', '/a')
    parts.holds(code == 0 and got['content'] == 'two', 'and reads what stands there', got)
    code, listed = ctl(c, 101, 'node', 'list')
    parts.holds(code == 0 and [row['path'] for row in listed['children']] == ['/a'], 'node list', listed)
    code, done = ctl(c, 100, 'node', 'delete', '/a')
    parts.holds(code == 0, 'node delete', done)
    code, no = ctl(c, 100, 'node', 'get', '/a')
    parts.holds(code == 1 and 'no-node' in no, 'what is deleted is not there: exit 1', no)


TABLE = {'nodes': nodes, 'failover': failover, 'run': lock_run}

if __name__ == '__main__':
    sys.exit(run_parts('leases.py', __doc__, TABLE))
