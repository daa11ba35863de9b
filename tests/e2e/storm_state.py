"""Memory that changes under a replica: its state differs from the others', who all have the same log. By
majority it is the odd one out: it stops, and says so; a start reads the log again and is well."""

import json
import os
import re
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster  # noqa: E402
from parts import COMMON, answered, expect, wait_end, write_messages  # noqa: E402
from storm_admin import stand_still  # noqa: E402

COUNT, RATE = 6000, 1000
OWNER = 100
OWNER_AT, NAME_AT, NAME_SIZE = 56, 72, 32  # within struct machine_session
PIECE = 1 << 22  # of a process's memory, read at a time


def spots(memory, pid, pattern):
    """Where the pattern stands in what the process may write."""
    with open('/proc/%d/maps' % pid, encoding='utf-8') as maps:
        for line in maps:
            begin, end = (int(word, 16) for word in line.split()[0].split('-'))
            if line.split()[1][:2] != 'rw' or 'vvar' in line:
                continue
            for at in range(begin, end, PIECE):
                memory.seek(at)
                try:
                    piece = memory.read(min(PIECE + len(pattern), end - at))
                except OSError:
                    continue
                for found in re.finditer(re.escape(pattern), piece):
                    if found.start() < PIECE:
                        yield at + found.start()


def sessions(memory, pid, name):
    """Where the machines' records of that session lie: by name, owner, and an epoch that is its id."""
    for at in spots(memory, pid, name.encode().ljust(NAME_SIZE, b'\0')):
        memory.seek(at - NAME_AT)
        head = memory.read(NAME_AT)
        number, epoch = struct.unpack_from('<QQ', head)
        if number == epoch != 0 and struct.unpack_from('<I', head, OWNER_AT)[0] == OWNER:
            yield at - NAME_AT


def damage(c, i, name, limit):
    """The session belongs to somebody else, in the first `limit` machines of this replica."""
    process = c.replica[i]
    stand_still(process)
    with open('/proc/%d/mem' % process.pid, 'r+b', buffering=0) as memory:
        found = list(sessions(memory, process.pid, name))
        for at in found[:limit]:
            memory.seek(at + OWNER_AT)
            memory.write(struct.pack('<I', OWNER + 1))
    process.send_signal(signal.SIGCONT)
    return len(found)


def odd_one_out(parts, c, limit, why, name):
    gateway = c.publish(c.path('input'), name, OWNER, '--rate', RATE)
    until = time.monotonic() + 30
    while answered(c, name) < RATE and time.monotonic() < until:
        time.sleep(0.1)
    i = c.leader() % 3 + 1
    stand_still(gateway)
    c.wait_equal()
    time.sleep(0.5)  # both machines have applied all
    found = damage(c, i, name, limit)
    gateway.send_signal(signal.SIGCONT)
    expect(found >= 2, 'the machines were not found in memory: %d' % found)
    until = time.monotonic() + 30
    while time.monotonic() < until and not (c.status(i) or {}).get('stopped'):
        time.sleep(0.1)
    status = c.status(i)
    expect(status is not None, 'replica %d does not answer: %s' % (i, c.log_tail(i, 8)))
    parts.holds(status['stopped'] and why in status['stopped_why'],
                'replica %d stops: %s' % (i, status['stopped_why']), (found, c.log_tail(i)))
    code, text = c.ctl(i, 'health')
    until = time.monotonic() + 10
    while 'event=replica-stopped' not in c.log_tail(i, 50) and time.monotonic() < until:
        time.sleep(0.1)
    parts.holds(code == 7 and 'event=replica-stopped' in c.log_tail(i, 50),
                'and is loud: exit 7 of keelctl health, event=replica-stopped', (code, text))
    if limit is None:
        code, text = c.ctl(i, 'digest', '--cluster')
        parts.holds(code == 1 and json.loads(text)['odd'] == [i],
                    'keelctl digest --cluster names it: exit 1', (code, text))
    wait_end(c, gateway, name, COUNT / RATE + 60)
    c.kill(i)
    c.start(i)
    c.wait_caught_up(i)
    parts.ok('the gateway has every answer; started again it has the others\' digest at index %d' %
             c.wait_equal())


def part_state(parts, options):
    with Cluster(options.build, **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (60, 200), 23)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        odd_one_out(parts, c, None, 'majority', 'both-machines')
        odd_one_out(parts, c, 1, 'two machines', 'one-machine')
