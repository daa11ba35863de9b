"""An old image of a ring is put in its place (H2): its boot counter has been heard already, with another boot
id. The others do not listen to it, whatever it remembers, and a new incarnation takes its place."""

import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster  # noqa: E402
from parts import COMMON, proven, wait_end, write_messages  # noqa: E402
from storm_member import at_leader, said, settled, voters  # noqa: E402

COUNT, RATE = 30000, 1500


def refused_boots(c, ids):
    """Handshakes that these replicas refused for their boot counter."""
    return sum(json.loads(c.ctl(i, 'drops')[1])['handshakes']['old_boot'] for i in ids)


def part_image(parts, options):
    with Cluster(options.build, ring='384M', checkpoint='1M', **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (60, 200), 21)
        c.network()
        c.format()
        c.start_all()
        old = c.leader() % 3 + 1
        others = [i for i in c.ids() if i != old]
        c.kill(old)
        shutil.copyfile(c.ring_path(old), c.path('image'))
        c.start(old)
        c.wait_caught_up(old)
        capture = c.capture()
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', RATE)
        time.sleep(2)
        c.kill(old)
        os.replace(c.path('image'), c.ring_path(old))
        c.start(old)
        until = time.monotonic() + 30
        while refused_boots(c, others) == 0 and time.monotonic() < until:
            time.sleep(0.1)
        parts.holds(refused_boots(c, others) > 0, 'an old image of replica %d is started: the others count '
                    'its handshakes as old_boot' % old, c.ctl(others[0], 'drops')[1])
        term = c.status(c.leader())['term']
        time.sleep(3)
        status, leader = c.status(old), c.status(c.leader())
        parts.holds(status['role'] != 'leader' and status['stale'] and leader['term'] == term,
                    'it hears nobody, and disturbs nobody for 3 s', (status, leader))
        c.kill(old)
        c.identity[old] = c.format_one(old, '--force')
        c.install(old, '--join')
        c.start(old)
        done = at_leader(c, 'replace', old, *c.identity[old].split())
        parts.holds(done.returncode == 0 and settled(c, voters(*c.ids())),
                    'member replace: a new incarnation takes its place: %s' % said(done)[1], said(done))
        wait_end(c, gateway, 'gateway', COUNT / RATE + 60)
        parts.ok('equal digests at index %d' % c.wait_equal())
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN over three rings')
