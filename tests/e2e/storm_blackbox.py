"""A daemon that goes down leaves a black box: memory that changes under it until a check fails, then a
crash; the next start puts the box aside and says so."""

import json
import os
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, run  # noqa: E402
from parts import COMMON, expect, wait_end, write_messages  # noqa: E402
from storm_admin import stand_still  # noqa: E402
from storm_state import sessions  # noqa: E402

HANDLES_AT = 112  # handle_count within struct machine_session: none may be left when its record goes
RETAIN_MS = 1000


def handles_left(c, i, name):
    """The ended session has a handle that nobody gave it, in both machines."""
    process = c.replica[i]
    stand_still(process)
    with open('/proc/%d/mem' % process.pid, 'r+b', buffering=0) as memory:
        found = list(sessions(memory, process.pid, name))
        for at in found:
            memory.seek(at + HANDLES_AT)
            memory.write(struct.pack('<I', 1))
    process.send_signal(signal.SIGCONT)
    return len(found)


def read_box(c, path, *words):
    return run(c.program('keelctl'), *words, 'blackbox', path, check=False)


def ended(c, i):
    process = c.replica.pop(i)
    return process.wait(timeout=30)


def failed_check(parts, c):
    wait_end(c, c.publish(c.path('input'), 'one', 100), 'one', 30)
    expect(handles_left(c, 1, 'one') >= 2, 'the machines were not found in memory')
    until = time.monotonic() + 30
    while c.replica[1].poll() is None and time.monotonic() < until:
        c.ctl(1, 'health', timeout=1)  # an entry, which sweeps what has been kept long enough
        time.sleep(0.1)
    code = ended(c, 1)
    box = json.loads(read_box(c, c.ring_path(1) + '.blackbox', '--json').stdout)
    parts.holds(code == -signal.SIGABRT and box['cause'] == 'ensure' and
                box['file'].endswith('consensus/machine/machine.c') and
                'handle_count == 0' in box['condition'],
                'a failed check ends it by SIGABRT; the box has %s:%d: %s, thread %s' % (
                    box['file'], box['line'], box['condition'], box['thread']), (code, box))
    parts.holds(box['state']['role'] == 'leader' and box['state']['commit_index'] > 0 and
                [e['event'] for e in box['events']][:1] == ['starting'],
                'its state, and %d events' % len(box['events']), box)
    said = read_box(c, c.ring_path(1) + '.blackbox').stdout
    parts.holds('ENSURE failed: ' in said and 'last events' in said, 'as text too', said)


def crash(parts, c):
    c.start(1)
    c.leader()
    code, text = c.ctl(1, 'events')
    told = [e for e in json.loads(text)['events'] if e['event'] == 'blackbox']
    aside = c.ring_path(1) + '.blackbox.1'
    parts.holds(code == 0 and len(told) == 1 and aside in told[0]['text'] and
                told[0]['level'] == 'critical', 'the next start puts it aside and says so', text)
    os.kill(c.replica[1].pid, signal.SIGSEGV)
    code = ended(c, 1)
    box = json.loads(read_box(c, c.ring_path(1) + '.blackbox', '--json').stdout)
    parts.holds(code == -signal.SIGSEGV and (box['cause'], box['signal']) == ('signal', 'SEGV') and
                len(box['frames']) > 0, 'SIGSEGV: a box too, with %d frames' % len(box['frames']),
                (code, box))
    parts.holds(json.loads(read_box(c, aside, '--json').stdout)['cause'] == 'ensure',
                'and the first one is still there')
    c.start(1)
    c.leader()
    c.kill(1, how=signal.SIGTERM)
    parts.holds(not os.path.exists(c.ring_path(1) + '.blackbox'), 'a clean end leaves none')


def part_blackbox(parts, options):
    common = dict(COMMON, genesis=(*COMMON['genesis'], '--session-retain-ms', RETAIN_MS))
    with Cluster(options.build, size=1, ring='8M', checkpoint='1M', **common) as c:
        write_messages(c.path('input'), 'A', 20, (60, 200), 24)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        failed_check(parts, c)
        crash(parts, c)
