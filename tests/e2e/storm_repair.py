"""A drive that lost pages while its replica was down: fetched from the others under load. One lies within
memory's window; one further back, so that the replica has to start again, and does so by itself."""

import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, run  # noqa: E402
from parts import COMMON, expect, in_order, proven, wait_end, write_messages  # noqa: E402

COUNT, RATE = 40000, 2500
SLOTS_AT = 16 + 2 * 257  # blocks of 4 KiB: the slots begin behind two checkpoints of 1 MiB
WINDOW_PAGES = 256       # of 1 MiB
RING = 'window_mib = 1\ncheckpoint_ms = 86400000'  # one in a sixth of the ring, no more


def pages(c, i):
    """Of a stopped replica's live entries, by index."""
    dump = run(c.program('keelctl'), 'ring', 'dump', c.ring_path(i), timeout=60).stdout
    return {int(m[1]): int(m[2]) for m in re.finditer(r'^(\d+) .* page (\d+) .*live true', dump, re.M)}


def flip(c, i, page):
    """A bit of the page's first entry."""
    with open(c.ring_path(i), 'r+b') as file:
        at = (SLOTS_AT + page) * 4096 + 520
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def logged(c, i, since):
    with open(c.path('keeld-%d.log' % i), encoding='utf-8', errors='replace') as file:
        file.seek(since)
        return file.read()


def repaired(c, i, since, ends):
    """Waits until it says that nothing is lost any more; then what it has logged."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        expect(c.replica[i].poll() is None, 'replica %d has ended: %s' % (i, c.log_tail(i)))
        text = logged(c, i, since)
        code, ring = c.ctl(i, 'ring')
        if ends in text and code == 0 and json.loads(ring)['damaged_pages'] == 0 and \
                not (c.status(i) or {}).get('stopped', True):
            return text
        time.sleep(0.1)
    return None


def lose(parts, c, i, name, far):
    """No checkpoint covers what is lost: else it would be repaired without a start."""
    covered = c.status(i)['checkpoint_index']
    c.kill(i)
    c.leader()
    at = pages(c, i)
    last = max(at.values())
    lost = at[covered + 40] if far else at[max(n for n, page in at.items() if page < last - WINDOW_PAGES // 4)]
    expect(not far or last - lost > WINDOW_PAGES, 'too few pages: %d to %d' % (lost, last))
    flip(c, i, lost)
    since = os.path.getsize(c.path('keeld-%d.log' % i))
    pid = c.start(i) or c.replica[i].pid
    text = repaired(c, i, since, 'event=starts-again' if far else 'event=damaged')
    parts.holds(text is not None and 'page %d ' % lost in text,
                '%s lost page %d of %d%s: fetched from the others%s' % (
                    name, lost, last, ', further back than memory holds' if far else '',
                    ', and started again by itself' if far else ''), logged(c, i, since)[-3000:])
    parts.holds(c.replica[i].pid == pid and c.replica[i].poll() is None, 'its process is the same')
    c.wait_caught_up(i, 60)


def part_repair(parts, options):
    with Cluster(options.build, ring='256M', checkpoint='1M', ring_section=RING, **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (150, 250), 17)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT)
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', RATE)
        until = time.monotonic() + 60
        while time.monotonic() < until and (c.status(c.leader()) or {}).get('commit_index', 0) < 3000:
            time.sleep(0.1)
        leader = c.leader()
        lose(parts, c, leader % 3 + 1, 'a follower', False)
        lose(parts, c, leader % 3 + 1, 'a follower', True)
        lose(parts, c, c.leader(), 'the leader', True)
        wait_end(c, gateway, 'gateway', COUNT / RATE + 60)
        wait_end(c, consumer, 'consumer', 30)
        parts.ok('%d messages in order meanwhile' % in_order(c.path('consumer.out'), {'A': c.path('input')}))
        parts.ok('equal digests at index %d' % c.wait_equal())
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN over three rings')
