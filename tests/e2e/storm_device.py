"""Devices that are full or read-only. The file systems are small ones of memory, mounted for the part."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read, run  # noqa: E402
from parts import COMMON, in_order, proven, wait_end, write_messages  # noqa: E402

BLOCK = 4096
RESERVED = 16                # blocks before the first checkpoint area
CHECKPOINT = 1 << 20         # bytes of one checkpoint area
AREA = CHECKPOINT // BLOCK + 1
SLOTS_AT = RESERVED + 2 * AREA


class Memory:
    """A small file system of memory."""

    def __init__(self, path, size):
        self.path, self.size = path, size
        os.mkdir(path)
        run('mount', '-t', 'tmpfs', '-o', 'size=%d' % size, 'tmpfs', path)

    def fill(self):
        with open(os.path.join(self.path, 'fill'), 'wb', buffering=0) as file:
            try:
                while True:
                    file.write(b'x' * BLOCK)
            except OSError:
                pass

    def empty(self):
        os.unlink(os.path.join(self.path, 'fill'))

    def read_only(self):
        run('mount', '-o', 'remount,ro', self.path)

    def close(self):
        for _ in range(20):
            if subprocess.run(['umount', self.path], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        if not os.path.ismount(self.path):
            os.rmdir(self.path)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


def punch(path, first, count):
    """Blocks that hold zeros lose their place: a later write has to find room."""
    run('fallocate', '-p', '-o', first * BLOCK, '-l', count * BLOCK, path)


def no_room(parts, cluster, memory):
    done = run(cluster.program('keeld'), 'format', '--data', os.path.join(memory.path, 'ring'),
               '--replica', 1, '--address', '10.0.0.1:7400', '--size', '1G', check=False)
    parts.holds(done.returncode == 1 and memory.path in done.stderr and
                'make the ring smaller' in done.stderr,
                'format where there is no room: exit 1, the path, what to do', done)
    parts.holds(not os.path.exists(os.path.join(memory.path, 'ring')),
                'and no file is left that was not there before')


def drive_full(parts, options):
    """One replica's drive refuses a page: that one stops and says so, the others go on."""
    count, good_slots = 3000, 200
    with Cluster(options.build, ring='16M', checkpoint='1M', **COMMON) as c:
        c.rings = c.path('rings')
        with Memory(c.rings, 56 << 20) as memory:
            no_room(parts, c, memory)
            write_messages(c.path('input'), 'A', count, (60, 100), 7)
            c.network()
            c.format()
            size = os.path.getsize(c.ring_path(3)) // BLOCK
            punch(c.ring_path(3), SLOTS_AT + good_slots, size - SLOTS_AT - good_slots)
            memory.fill()
            c.start_all()
            c.leader()
            capture = c.capture()
            gateway = c.publish(c.path('input'), 'gateway', 100, '--window', 8)
            wait_end(c, gateway, 'gateway', 60)
            status = c.status(3)
            parts.holds(status['stopped'] and status['drive_failed'] and
                        'drive' in status['stopped_why'],
                        'a drive without room: its replica stops: %s' % status['stopped_why'], status)
            code, text = c.ctl(3, 'health')
            parts.holds(code == 7 and 'drive-failed' in text,
                        'keelctl health there: exit 7, drive-failed', (code, text))
            parts.holds('event=replica-stopped' in read(c.path('keeld-3.log')),
                        'one line of its log says so', c.log_tail(3))
            c.wait_equal(ids=(1, 2))
            parts.ok('the other two acknowledge all %d messages' % count)
            memory.empty()
            c.kill(3)
            c.start(3)
            c.wait_caught_up(3, lag=0)
            parts.ok('with room again and restarted it catches up; equal digests at index %d' %
                     c.wait_equal())
            c.stop_capture(capture)
            c.stop_all()
            proven(parts, c, 'the judge: PROVEN with one drive that was full')


def head_stands(parts, options):
    """No checkpoint can be written anywhere: the rings fill up, and say busy; nothing is lost (H8).

    Ring and rate are chosen so that a replica whose process gets no turn for a second is not
    lapped meanwhile: on a shared core that happens for a tenth of one."""
    count, rate = 65000, 1500
    with Cluster(options.build, ring='16M', checkpoint='1M', **COMMON) as c:
        c.rings = c.path('rings')
        with Memory(c.rings, 52 << 20) as memory:
            write_messages(c.path('input'), 'A', count, (120, 200), 8)
            c.network()
            c.format()
            for i in c.ids():
                punch(c.ring_path(i), RESERVED, 2 * AREA)
            memory.fill()
            c.start_all()
            c.leader()
            capture = c.capture()
            consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', count + 1)
            gateway = c.publish(c.path('input'), 'gateway', 100, '--timeout', 6, '--ttl-ms', 60000)
            wait_end(c, gateway, 'gateway', 90, code=4)
            parts.holds('no acknowledgement' in read(c.path('gateway.err')),
                        'full rings: the gateway waits and gives up with exit 4, saying why',
                        read(c.path('gateway.err')))
            acknowledged = read(c.path('gateway.log')).count('\nack ')
            shown = [c.ctl(i, 'ring') for i in c.ids()]
            parts.holds(all('"checkpoint_failures":0' not in text.replace(' ', '') and code == 0
                            for code, text in shown),
                        'keelctl ring counts the checkpoints that failed', shown)
            parts.holds(all('No space left on device' in read(c.path('keeld-%d.log' % i))
                            for i in c.ids()), 'the logs say that checkpoints find no room',
                        c.log_tail(1))
            parts.holds(len(c.alive()) == c.size and not any(c.status(i)['stopped'] for i in c.ids()),
                        'no replica stops: %d messages acknowledged before the rings were full' %
                        acknowledged, [c.log_tail(i) for i in c.ids()])
            memory.empty()
            c.leader(30)
            gateway = c.publish(c.path('input'), 'gateway', 100, '--open-wait', 30, '--rate', rate)
            wait_end(c, gateway, 'gateway', 60)
            parts.ok('with room again the same command goes on to %d messages' % count)
            parts.ok('equal digests at index %d' % c.wait_equal())
            wait_end(c, consumer, 'consumer', 40)
            in_order(c.path('consumer.out'), {'A': c.path('input')})
            parts.ok('a consumer has all of them once and in order')
            c.stop_capture(capture)
            c.stop_all()
            proven(parts, c, 'the judge: PROVEN after full rings')


def part_device(parts, options):
    parts.run('device: one drive is full', drive_full, options)
    parts.run('device: the heads cannot move', head_stands, options)


def refused(parts, done, code, path, what):
    """Exit code, the path named, and more said than the error alone."""
    said = (done.stderr + done.stdout).strip()
    parts.holds(done.returncode == code and path in said, '%s: exit %d, names it: %s' % (
        what, code, said.splitlines()[-1].replace(path, 'PATH')[:150] if said else ''),
        (done.returncode, said))


def part_read_only(parts, options):
    with Cluster(options.build, size=1, ring='8M', checkpoint='1M', **COMMON) as c:
        c.rings = c.path('rings')
        with Memory(c.rings, 32 << 20) as memory:
            c.network()
            c.format()
            ring = c.ring_path(1)
            config = c.path('keeld-1.conf')
            keeld = c.inside('r1', c.program('keeld'), '--config', config)
            admin_directory(parts, c)
            memory.read_only()
            other = os.path.join(c.rings, 'other')
            done = run(c.program('keeld'), 'format', '--data', other, '--replica', 2, '--address',
                       '10.0.0.2:7400', '--size', '8M', '--checkpoint-size', '1M', check=False)
            refused(parts, done, 1, other, 'format in a read-only directory')
            done = run(c.program('keeld'), 'format', '--data', ring, '--replica', 1, '--address',
                       '10.0.0.1:7400', '--size', '8M', '--checkpoint-size', '1M', '--force',
                       check=False)
            refused(parts, done, 1, ring, 'format --force of a read-only ring')
            done = run(*keeld, check=False)
            refused(parts, done, 1, ring, 'keeld on a read-only ring')
            done = run(c.program('keelctl'), 'genesis', 'install', '--data', ring,
                       c.path('genesis'), check=False)
            refused(parts, done, 1, ring, 'genesis install in a read-only ring')
            out = os.path.join(c.rings, 'genesis')
            identity = 'replica=1 incarnation=0123456789abcdef address=10.0.0.1:7400'
            done = run(c.program('keelctl'), 'genesis', 'create', '--out', out, '--day', c.day,
                       identity, check=False)
            refused(parts, done, 1, out, 'genesis create in a read-only directory')
            done = run(c.program('keelctl'), 'ring', 'verify', ring, check=False)
            parts.holds(done.returncode == 0, 'keelctl ring verify reads a read-only ring', done)
            write_messages(c.path('input'), 'A', 1, (20, 20), 1)
            log = os.path.join(c.rings, 'gateway.log')
            done = run(*c.inside('cl', c.program('keelcat'), 'publish', c.path('input'), '--members',
                                 c.members(), '--key', c.path('client-100.key'), '--session', 'x',
                                 '--log', log, '--open-wait', 1), check=False)
            refused(parts, done, 1, log, 'keelcat with its log in a read-only directory')


def admin_directory(parts, c):
    """The socket's directory is read-only: the start fails before anything is served."""
    with Memory(c.path('run'), 1 << 20) as memory:
        memory.read_only()
        socket = os.path.join(memory.path, 'keeld.sock')
        text = read(c.path('keeld-1.conf')).replace(c.path('admin-1.sock'), socket)
        with open(c.path('other.conf'), 'w') as file:
            file.write(text)
        done = run(*c.inside('r1', c.program('keeld'), '--config', c.path('other.conf')),
                   check=False)
        refused(parts, done, 1, socket, 'keeld with its admin socket in a read-only directory')
