"""./dev test gray-real: one slow link, one slow drive, one overload, each under load and each over again.

Real replicas (keeld-slow, whose drives can be held back) over keel-wire. Who leads behind a slow link or on
a slow drive hands over; every replica's status names the slow one and what is slow; when it is well again
the name goes. An overload that ends leaves sessions, digests and memory as they were. Nothing that was
acknowledged is lost. How fast everything is while something is slow is measured by `./dev bench gray`.
"""

import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read, run  # noqa: E402
from gateways import GATEWAYS, Storm  # noqa: E402
from parts import COMMON, expect, run_parts, wait_end, write_messages  # noqa: E402

COUNT, RATE = 24000, 150
SEEN_S = 40      # until something shows: far above what is seen, the machine may be busy
LINK_MS = 25     # each way
DRIVE_FACTOR = 2000
FLOODS = 4       # sessions with full windows
FLOOD_COUNT = 60000
MEMORY_MIB = 8   # that a replica may hold more after an overload than before


def until(holds, what):
    end = time.monotonic() + SEEN_S
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.1)
    expect(False, '%s did not come within %d s' % (what, SEEN_S))


def told(c, key):
    """What every replica says."""
    return [(c.status(i) or {}).get(key) for i in c.ids()]


def named(c, replica, what):
    """Every replica names it, and what is slow of it."""
    return told(c, 'slow_replica') == [replica] * c.size and told(c, 'slow') == [what] * c.size


def new_leader(c, old):
    now = c.leader(SEEN_S)
    return now if now != old else None


def shown_in_metrics(parts, c, at, slow, what):
    """As an alert would read it, at a replica that is well."""
    text = run(c.program('keelctl'), '-s', c.path('admin-%d.sock' % at), 'metrics').stdout
    times = {int(i): int(n) for i, n in re.findall(
        r'^keel_slow_times\{replica="(\d)",what="%s"\} (\d+)$' % what, text, re.M)}
    parts.holds(times.get(slow, 0) >= 4 and not any(n for i, n in times.items() if i != slow),
                'and its metrics: keel_slow_times of %s, by replica: %s' % (what, times), text[-500:])


def slow_link(parts, storm):
    c = storm.c
    time.sleep(2.5)  # a leader hands nothing over in its first second, or ten election timeouts
    old = c.leader(SEEN_S)
    until(lambda: told(c, 'slow_replica') == [0] * c.size, 'a status in which nobody is slow')
    until(lambda: (c.status(old) or {}).get('uptime_ms', 0) > 8000, 'a leader that has been one for long')
    c.wire.set('delay', old, None, LINK_MS)
    now = until(lambda: new_leader(c, old), 'another leader')
    parts.ok('replica %d leads, behind a link of %d ms each way: replica %d takes over' % (
        old, LINK_MS, now))
    until(lambda: named(c, old, 'link'), 'every status that names replica %d' % old)
    status = c.status(now)
    parts.ok('every replica\'s status names replica %d: link, %d times as slow' % (
        old, status['slow_times']))
    by_link = sum(n or 0 for n in told(c, 'transfers_by_link'))
    parts.holds(by_link >= 1, 'transfers_by_link counts it', by_link)
    members = json.loads(c.ctl(now, 'member', 'list')[1])['members']
    row = [m for m in members if m['replica'] == old][0]
    parts.holds(row['slow'] == 'link' and row['trip_us'] >= 1500 * LINK_MS,
                'keelctl member list shows its round trip: %s us' % row['trip_us'], row)
    shown_in_metrics(parts, c, now, old, 'link')
    c.wire.heal()
    until(lambda: told(c, 'slow_replica') == [0] * c.size, 'a status in which nobody is slow again')
    parts.ok('healed: nobody is slow any more')


def slow_drive(parts, storm):
    c = storm.c
    old = c.leader(SEEN_S)
    before = sum(told(c, 'transfers_by_drive'))
    c.slow_drive(old, DRIVE_FACTOR)
    now = until(lambda: new_leader(c, old), 'another leader')
    parts.ok('replica %d leads on a drive %d times slower: replica %d takes over' % (
        old, DRIVE_FACTOR, now))
    after = sum(n or 0 for n in told(c, 'transfers_by_drive'))
    parts.holds(after > before, 'transfers_by_drive counts it', (before, after))
    until(lambda: named(c, old, 'drive'), 'every status that names replica %d' % old)
    parts.ok('every replica\'s status names replica %d: drive, %d times as slow' % (
        old, c.status(now)['slow_times']))
    shown_in_metrics(parts, c, now, old, 'drive')
    c.slow_drive(old, 1)
    until(lambda: told(c, 'slow_replica') == [0] * c.size, 'a status in which nobody is slow again')
    c.wait_caught_up(old, SEEN_S)
    parts.ok('well again: it has caught up, and nobody is slow any more')


def resident_mib(c):
    sizes = {}
    for i, process in c.replica.items():
        line = [word for word in read('/proc/%d/status' % process.pid).splitlines() if 'VmRSS' in word]
        sizes[i] = int(line[0].split()[1]) // 1024
    return sizes


def overload(parts, storm):
    """The first flood takes what memory the tables have from the start; the second must take none."""
    c = storm.c
    write_messages(c.path('flood'), 'F', FLOOD_COUNT, (64, 64), 9)
    memory = []
    for _ in range(2):
        floods = [c.publish(c.path('flood'), 'flood-%d-%d' % (len(memory), n), 102 + n, '--timeout', 90,
                            '--count', FLOOD_COUNT) for n in range(FLOODS)]
        for n, process in enumerate(floods):
            wait_end(c, process, 'flood-%d-%d' % (len(memory), n), 120)
        for i in c.ids():
            c.wait_caught_up(i, SEEN_S)
        memory.append(resident_mib(c))
    parts.ok('%d sessions with full windows, twice: every one of %d messages has its answer' % (
        FLOODS, 2 * FLOODS * FLOOD_COUNT))
    parts.holds(all(memory[1][i] <= memory[0][i] + MEMORY_MIB for i in c.ids()),
                'the second flood leaves each replica\'s memory as the first did (MiB: %s, %s)' % (
                    memory[0], memory[1]), memory)
    storm.check_gateways()
    parts.holds(all(process.poll() is None for process in storm.gateway.values()),
                'the sessions that were there before go on')


def part_gray(parts, options):
    with Cluster(options.build, ring='1G', **COMMON) as c:
        c.daemon = 'keeld-slow'
        for i in c.ids():
            c.slow_drive(i, 1)
        storm = Storm(parts, c, options.seed, COUNT, RATE)
        storm.begin(wire=True)
        slow_link(parts, storm)
        slow_drive(parts, storm)
        if options.overload:
            overload(parts, storm)
        storm.publish_rest()
        parts.ok('equal digests at index %d' % c.wait_equal(60))
        for name, process in storm.captures.items():
            c.stop_capture(process, name)
        c.stop_all()
        if options.overload:  # the floods' logs too
            storm.judged('the judge: PROVEN', ['flood-%d-%d' % (k, n) for k in range(2)
                                               for n in range(FLOODS)])
        else:
            storm.judged('the judge: PROVEN over three rings, %d gateways, three lines' % len(GATEWAYS))


def more(parser):
    parser.add_argument('--seed', type=int, default=1, help='of the wire')
    parser.add_argument('--no-overload', dest='overload', action='store_false', help='slowness alone')


if __name__ == '__main__':
    sys.exit(run_parts('./dev test gray-real', __doc__, {'gray': part_gray}, more))
