"""Leadership handed round under load, and status that must be true; exit codes as programs count on them."""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read  # noqa: E402
from parts import COMMON, ELECTION_MS, expect, in_order, proven, wait_end, write_messages  # noqa: E402

COUNT = 24000
RATE = 1000      # a second
SIZE = (40, 200)  # bytes
ROUNDS = 12


def ask(c, i, *words):
    code, text = c.ctl(i, *words, timeout=10)
    try:
        return code, json.loads(text)
    except ValueError:
        return code, {}


def tell(c, how, *ids):
    for i in ids:
        c.replica[i].send_signal(how)


def acknowledged_ns(c):
    """When the gateway's messages were sequenced, sorted."""
    words = (line.split() for line in read(c.path('gateway.log')).splitlines())
    return sorted(int(w[5]) for w in words if w and w[0] == 'ack' and w[3] == 'sequenced')


def refusals(parts, c):
    leader = c.leader(30)
    follower = leader % 3 + 1
    before = c.status(leader)
    code, said = ask(c, follower, 'leader', 'transfer', '--to', leader)
    parts.holds(code == 5 and said['error']['leader'] == leader,
                'transfer at a follower: exit 5, names leader %d' % leader, (code, said))
    code, said = ask(c, leader, 'leader', 'transfer', '--to', 7)
    parts.holds(code == 6, 'transfer to no member: exit 6: %s' % said['error']['why'], (code, said))
    code, said = ask(c, leader, 'leader', 'transfer', '--to', leader)
    parts.holds(code == 0 and said['changed'] is False and said['leader'] == leader,
                'transfer to whom leads: exit 0, nothing changed', (code, said))
    code, said = ask(c, leader, 'leader', 'transfer', '--to', 0)
    parts.holds(code == 2, 'transfer --to 0: exit 2', (code, said))
    code, said = ask(c, follower, 'status', '--read')
    parts.holds(code == 5 and said['error']['leader'] == leader,
                'status --read at a follower: exit 5, names the leader', (code, said))
    code, said = ask(c, leader, 'status', '--read')
    parts.holds(code == 0 and said['read_index'] >= before['commit_index'] and
                said['applied_index'] >= said['read_index'] and said['role'] == 'leader',
                'status --read at the leader: index %s of term %s' % (
                    said.get('read_index'), said.get('read_term')), (code, said))
    parts.holds(c.status(leader)['term'] == before['term'], 'none of it changed the term')


def round_and_round(parts, c):
    """Named targets and the leader's own choice, alternately; asked times in ns."""
    asked, wrong, slowest = [], [], 0
    for n in range(ROUNDS):
        leader = c.leader(30)
        to = leader % 3 + 1
        c.wait_caught_up(to)
        asked.append(time.time_ns())
        began = time.monotonic()
        code, said = ask(c, leader, 'leader', 'transfer', *(['--to', to] if n % 2 else []))
        slowest = max(slowest, time.monotonic() - began)
        now = said.get('leader')
        if code != 0 or now == leader or (n % 2 and now != to):
            wrong.append((n, leader, to, code, said))
        else:
            status = c.status(now)
            if status['role'] != 'leader' or status['term'] < said['term']:
                wrong.append((n, said, status['role'], status['term']))
        time.sleep(0.6)
    parts.holds(not wrong, '%d transfers under load are done, each answered when the next leader is '
                'known (slowest answer %.0f ms)' % (ROUNDS, slowest * 1000), wrong)
    return asked


def sleeping_target(parts, c):
    """Told, and asleep: the leader steps down (H19), and somebody else is elected."""
    leader = c.leader(30)
    to = leader % 3 + 1
    c.wait_caught_up(to)
    tell(c, signal.SIGSTOP, to)
    code, said = ask(c, leader, 'leader', 'transfer', '--to', to)
    expect(code != 0, 'a transfer to a stopped process is said to be done: %r' % said)
    parts.holds(code in (4, 6), 'transfer to a process that is stopped: exit %d: %s' % (
        code, said.get('error', {}).get('why')), (code, said))
    c.leader(30)
    tell(c, signal.SIGCONT, to)
    c.wait_caught_up(to)


def sleeping_leader(parts, c):
    """The leader sleeps through its own transfer's deadline; the target may have won meanwhile. Asleep
    before it was asked, it has heard nobody for longer than an election takes, and refuses."""
    leader = c.leader(30)
    to = leader % 3 + 1
    c.wait_caught_up(to)
    process = c.spawn(c.program('keelctl'), '--json', '-s', c.path('admin-%d.sock' % leader), 'leader',
                      'transfer', '--to', to, out='asleep')
    time.sleep(0.002)
    tell(c, signal.SIGSTOP, leader)
    time.sleep(3 * ELECTION_MS / 1000)
    tell(c, signal.SIGCONT, leader)
    process.wait(20)
    said = read(c.path('asleep'))
    unheard = process.returncode == 6 and 'not heard within the election timeout' in said
    parts.holds(unheard or process.returncode in (0, 4, 5, 7),
                'the leader sleeps during a transfer: exit %d' % process.returncode, said)
    c.leader(30)
    for i in c.ids():
        c.wait_caught_up(i)


def no_quorum(parts, c):
    leader = c.leader(30)
    others = [i for i in c.ids() if i != leader]
    tell(c, signal.SIGSTOP, *others)
    code, said = ask(c, leader, 'status', '--read')
    parts.holds(code == 7, 'status --read without a quorum: exit 7', (code, said))
    code, said = ask(c, leader, 'leader', 'transfer')
    parts.holds(code in (6, 7), 'transfer without a quorum: exit %d' % code, (code, said))
    tell(c, signal.SIGCONT, *others)
    c.leader(30)
    for i in c.ids():
        c.wait_caught_up(i)


def figures(parts, c, asked):
    stamps = acknowledged_ns(c)
    gaps = []
    for at in asked:
        before = max((s for s in stamps if s <= at), default=None)
        after = next((s for s in stamps if s > at + 1000000), None)
        if before is not None and after is not None:
            near = [s for s in stamps if at - 50000000 < s < at + 2000000000]
            gaps.append(max((b - a for a, b in zip(near, near[1:])), default=0) / 1e6)
    gaps.sort()
    parts.holds(len(gaps) == len(asked), 'messages go on after each transfer: the longest time between '
                'two that follow each other is %.0f ms in the median, %.0f ms at worst' % (
                    gaps[len(gaps) // 2] if gaps else -1, gaps[-1] if gaps else -1), gaps)


def counters(parts, c):
    done = 0
    for i in c.ids():
        code, text = c.ctl(i, 'status')
        done += json.loads(text)['transfers_done'] if code == 0 else 0
    parts.holds(done >= ROUNDS, 'status counts %d transfers done' % done, done)
    code, said = ask(c, 1, 'metrics')
    parts.holds(code == 0 and 'keel_drops' not in said, 'metrics are answered as numbers', said)


def part_transfer(parts, options):
    with Cluster(options.build, ring='64M', **COMMON) as c:
        write_messages(c.path('input'), 'T', COUNT, SIZE, 1)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT + 1)
        gateway = c.publish(c.path('input'), 'gateway', 100, '--ttl-ms', 60000, '--open-wait', 60,
                            '--timeout', 90, '--rate', RATE)
        refusals(parts, c)
        asked = round_and_round(parts, c)
        sleeping_target(parts, c)
        sleeping_leader(parts, c)
        no_quorum(parts, c)
        wait_end(c, gateway, 'gateway', 120)
        parts.ok('the gateway ends with every message acknowledged')
        parts.ok('equal digests at index %d' % c.wait_equal(60))
        wait_end(c, consumer, 'consumer', 60)
        count = in_order(c.path('consumer.out'), {'T': c.path('input')})
        parts.holds(count == COUNT, 'a consumer has all %d messages once, in order' % COUNT, count)
        counters(parts, c)
        c.stop_capture(capture)
        c.stop_all()
        figures(parts, c, asked)
        proven(parts, c, 'the judge: PROVEN over three rings, a gateway, all lines')
