"""./dev test lapped: replicas that no log reaches any more come back by a peer's checkpoint.

Rings of 8 MiB under full load. A follower is killed and stays away until the leader's ring has overwritten
what it lacks; started again, it takes a checkpoint over and catches up while the load goes on, says from
which feed number its history starts, and leads in the end. Then a slow transfer is cut: the receiver is
killed in the middle, and goes on where it was; the sender is killed in the middle, and another leader's
checkpoint does.
"""

import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import PRINCIPALS, Cluster, Failure, read  # noqa: E402
from parts import COMMON, answered, run_parts, wait_end, write_messages  # noqa: E402

RING, CHECKPOINT = '8M', '1M'
SIZE, WINDOW = 1000, 16
LOAD = 60000            # messages of each gateway: more than the part needs
SESSIONS = 6            # of each principal, with a window of results each: what a checkpoint is made of
SLOW_KIB_S = 16
CUT_AT = 24 << 10       # bytes of a checkpoint that have arrived when a side is killed
LEADERS_TRIED = 12


def wait(what, condition, timeout=60.0, pause=0.02):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise Failure('%s: not within %g s' % (what, timeout))


def load(c, name, principal, count, *more):
    path = c.path('load-%s.bin' % name)
    write_messages(path, 'L', count, (SIZE, SIZE), principal)
    return c.publish(path, name, principal, '--window', WINDOW, '--ttl-ms', 60000, '--timeout', 120,
                     '--open-wait', 30, *more)


def full_load(c):
    """More than the drive takes, by all gateways but one."""
    return {'load-%d' % p: load(c, 'load-%d' % p, p, LOAD) for p in list(PRINCIPALS)[1:]}


def end_load(c, running):
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for name, process in running.items():
        try:
            process.wait(timeout=30)
        except Exception:
            raise Failure('%s does not end' % name)


def lap(c, victim):
    """Kills it and waits until the leader's ring has overwritten what it would need next."""
    c.kill(victim)
    leader = c.leader()
    last = c.status(leader)['last_index']  # it holds no more than that
    wait('the leader\'s ring to pass index %d' % last,
         lambda: (c.status(leader) or {}).get('first_index', 0) > last + 1)
    return last


def installed(c, victim):
    s = c.status(victim)
    return s if s and s['installed_index'] > 0 and s['installed_from'] > 0 else None


def in_log(c, i):
    return re.findall(r'checkpoint-installed .*?from=(\d+) index=(\d+) .*?history_from=(\d+)',
                      read(c.path('keeld-%d.log' % i)))


def check_rejoined(parts, c, victim, last, s):
    said = in_log(c, victim)
    parts.holds(s['installed_index'] > last and s['first_index'] > last + 1,
                'replica %d, which held index %d, took over replica %d\'s checkpoint of index %d' % (
                    victim, last, s['installed_from'], s['installed_index']), s)
    parts.holds(said and int(said[-1][1]) >= s['installed_index'] and s['feed_history_from'] > 1,
                'it says from which feed number its history starts: %s in the log, %d and later in '
                'keelctl status' % (said[-1][2] if said else '?', s['feed_history_from']), (said, s))


def lead(c, victim):
    """Kills leaders until the victim is one; the one before is back and equal each time."""
    for _ in range(LEADERS_TRIED):
        leader = c.leader()
        if leader == victim:
            return
        c.kill(leader)
        c.leader()
        c.start(leader)
        c.wait_equal(60)
    raise Failure('replica %d never led in %d elections' % (victim, LEADERS_TRIED))


def part_load(parts, options):
    with Cluster(options.build, ring=RING, checkpoint=CHECKPOINT, **COMMON) as c:
        c.network()
        c.format()
        feed = c.capture()
        c.start_all()
        leader = c.leader()
        running = full_load(c)
        wait('acknowledgements', lambda: sum(answered(c, n) for n in running) > 2000)
        victim = next(i for i in c.ids() if i != leader)
        began = time.monotonic()
        before = sum(answered(c, n) for n in running)
        last = lap(c, victim)
        lapped_s = time.monotonic() - began
        gone = sum(answered(c, n) for n in running) - before
        parts.holds(gone > 0, 'the leader did not wait for it: %d messages in %.1f s without replica %d' % (
            gone, lapped_s, victim))
        c.start(victim)
        began = time.monotonic()
        s = wait('a checkpoint to be taken over', lambda: installed(c, victim))
        took = time.monotonic() - began
        at = sum(answered(c, n) for n in running)
        c.wait_caught_up(victim, timeout=90, lag=400)
        caught = time.monotonic() - began
        s = c.status(victim)
        during = sum(answered(c, n) for n in running) - at
        parts.holds(all(p.poll() is None for p in running.values()) and during > 0,
                    'under full load: taken over %.1f s after the start (%d so far), caught up after %.1f s, '
                    'with %d messages acknowledged meanwhile' % (took, len(in_log(c, victim)), caught,
                                                                during))
        check_rejoined(parts, c, victim, last, s)
        end_load(c, running)
        index = c.wait_equal(60)
        parts.ok('equal digests at index %d' % index)
        lead(c, victim)
        write_messages(c.path('last.bin'), 'Z', 300, (40, 90), 4)
        wait_end(c, c.publish(c.path('last.bin'), 'last', 100), 'last', 60)
        parts.holds(c.status(victim)['role'] == 'leader', 'replica %d leads, and 300 more messages are '
                    'acknowledged' % victim)
        restart(parts, c, victim)
        c.stop_capture(feed)
        c.stop_all()
        judged(parts, c, ['last', *running])


def restart(parts, c, victim):
    """What was taken over holds across a restart."""
    before = c.status(victim)
    c.kill(victim)
    c.start(victim)
    c.wait_caught_up(victim, timeout=60, lag=0)
    c.wait_equal(60)
    after = c.status(victim)
    parts.holds(after['first_index'] >= before['first_index'] and after['feed_history_from'] > 1 and
                after['digest'] == c.status(c.leader())['digest'],
                'after a SIGKILL it starts from its own drive: first index %d, history from %d' % (
                    after['first_index'], after['feed_history_from']), after)


def judged(parts, c, gateways):
    with open(c.starts, 'a') as file:
        for i in c.ids():
            for _, _, number in in_log(c, i):
                file.write('anew %d %s\n' % (i, number))
    done = c.judge(gateways, ('feed.pcap',), timeout=240)
    lines = (done.stdout + done.stderr).strip().splitlines() or ['nothing']
    for line in lines[:-1]:
        parts.say(line)
    parts.holds('VIOLATED' not in done.stdout and done.returncode in (0, 3),
                'the judge finds nothing wrong in rings and lines', lines[-1])


def sessions(c):
    write_messages(c.path('few.bin'), 'S', 80, (40, 60), 9)
    for k in range(SESSIONS):
        running = [(p, c.publish(c.path('few.bin'), 'kept-%d-%d' % (k, p), p, '--ttl-ms', 600000))
                   for p in PRINCIPALS]
        for p, process in running:
            wait_end(c, process, 'kept-%d-%d' % (k, p), 60)


def receiving(c, victim):
    s = c.status(victim)
    return s if s and s['receiving_have_bytes'] >= CUT_AT else None


def cut_receiver(parts, c, victim):
    s = wait('part of the checkpoint', lambda: receiving(c, victim))
    c.kill(victim)
    c.start(victim)
    again = wait('the rest of the transfer', lambda: c.status(victim) if (
        c.status(victim) or {}).get('receiving_have_bytes', 0) > 0 else None, pause=0.001)
    parts.holds(again['transfers_resumed'] == 1 and again['receiving_index'] == s['receiving_index'] and
                again['receiving_have_bytes'] >= CUT_AT // 2,
                'SIGKILL of the receiver at %d of %d bytes: it goes on at %d' % (
                    s['receiving_have_bytes'], s['receiving_bytes'], again['receiving_have_bytes']), again)
    s = wait('the checkpoint to be taken over', lambda: installed(c, victim))
    c.wait_equal(60)
    parts.ok('taken over: index %d' % s['installed_index'])


def cut_sender(parts, c, victim):
    s = wait('part of the checkpoint', lambda: receiving(c, victim))
    leader = c.leader()
    c.kill(leader)
    other = c.leader()
    c.start(leader)
    s = wait('another leader\'s checkpoint', lambda: installed(c, victim), timeout=90)
    c.wait_equal(90)
    parts.ok('SIGKILL of the sender, replica %d, in the middle: replica %d\'s checkpoint of index %d does' % (
        leader, s['installed_from'] or other, s['installed_index']))


def part_cuts(parts, options):
    common = dict(COMMON)
    common['genesis'] = COMMON['genesis'] + ('--session-retain-ms', 3600000)
    with Cluster(options.build, size=5, ring=RING, checkpoint=CHECKPOINT,
                 ring_section='checkpoint_send_kib_s = %d\ncheckpoint_ms = 500' % SLOW_KIB_S,
                 **common) as c:
        c.network()
        c.format()
        c.start_all()
        c.leader()
        sessions(c)
        for cut in (cut_receiver, cut_sender):
            victim = next(i for i in c.ids() if i != c.leader())
            running = full_load(c)
            lap(c, victim)
            end_load(c, running)
            c.start(victim)
            cut(parts, c, victim)


PARTS = {'load': part_load, 'cuts': part_cuts}


if __name__ == '__main__':
    sys.exit(run_parts('./dev test lapped', __doc__, PARTS))
