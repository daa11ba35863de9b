"""Operators' mistakes, the exit codes that programs count on, the day's roll, and replay."""

import hashlib
import json
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import CLIENT_IP, REQUEST_PORT, Cluster, read, run  # noqa: E402
from parts import (COMMON, expect, in_order, proven, wait_end,  # noqa: E402
                   write_messages)

NEXT_DAY = '20261125'
SECOND_LINE = 7412  # of a second consumer on the same host


def last_line(done):
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else ''


def check(parts, what, done, code, *words):
    """Exit code, and each word in what was said on stderr."""
    missing = [w for w in words if w not in done.stderr]
    parts.holds(done.returncode == code and not missing, '%s: exit %d: %s' % (
        what, code, last_line(done)[-170:]), (done.returncode, missing, done.stderr[-300:]))


def keeld(c, config, *more):
    return run(*c.inside('r1', c.program('keeld'), '--config', config, *more), check=False)


def altered(c, name, old, new):
    """A configuration with one line changed: its path, and the line's number."""
    text = read(c.path('keeld-1.conf'))
    expect(text.count(old) == 1, '%r stands %d times in the configuration' % (old, text.count(old)))
    path = c.path(name)
    with open(path, 'w') as file:
        file.write(text.replace(old, new))
    return path, text[:text.index(old)].count('\n') + 1


def wrong_configurations(parts, c):
    for name, old, new, word in (
            ('key.conf', 'udp_port = ', 'upd_port = ', 'udp_port'),
            ('section.conf', '[feed]', '[fed]', 'feed'),
            ('value.conf', 'id = 1', 'id = one', 'whole number'),
            ('range.conf', 'udp_port = 7400', 'udp_port = 74000', '65535'),
            ('words.conf', 'idle = yield', 'idle = rest', 'spin, yield, sleep'),
            ('nonsense.conf', 'framing = envelope', 'framing envelope', 'key = value')):
        path, line = altered(c, name, old, new)
        for more in ((), ('--check',)):
            done = keeld(c, path, *more)
            check(parts, 'configuration with %r%s' % (new, ' --check' if more else ''), done, 2,
                  '%s:%d: ' % (path, line), word)


def wrong_files(parts, c):
    path, _ = altered(c, 'nokey.conf', c.path('replica-1.key'), c.path('nothing.key'))
    check(parts, 'a key file that is not there', keeld(c, path), 2, c.path('nothing.key'))
    with open(c.path('open.key'), 'w') as file:
        file.write(read(c.path('replica-1.key')))
    os.chmod(c.path('open.key'), 0o644)
    path, _ = altered(c, 'open.conf', c.path('replica-1.key'), c.path('open.key'))
    check(parts, 'a key file that others may read', keeld(c, path), 2, c.path('open.key'))
    path, _ = altered(c, 'id.conf', 'id = 1', 'id = 2')
    check(parts, 'a ring of another replica', keeld(c, path), 2, 'formatted for replica 1')
    path, _ = altered(c, 'address.conf', '10.77.0.1/24', '10.77.0.7/24')
    check(parts, 'an address that is not the genesis record\'s', keeld(c, path), 2, 'genesis')
    path, _ = altered(c, 'noring.conf', c.ring_path(1), c.path('no-ring'))
    check(parts, 'no ring', keeld(c, path), 3, c.path('no-ring'), 'keeld format')
    words = ['--replica', 1, '--address', '10.77.0.1:7400', '--size', '8M', '--checkpoint-size', '1M']
    run(c.program('keeld'), 'format', '--data', c.path('other-ring'), *words)
    path, _ = altered(c, 'other.conf', c.ring_path(1), c.path('other-ring'))
    check(parts, 'no genesis record', keeld(c, path), 4, 'keelctl genesis install')
    done = run(c.program('keeld'), 'format', '--data', c.ring_path(1), *words, check=False)
    check(parts, 'format of what holds a ring', done, 6, 'replica 1', '--force')
    done = run(c.program('keelctl'), 'genesis', 'install', '--data', c.path('other-ring'),
               c.path('genesis'), check=False)
    check(parts, 'a genesis record that names another incarnation (H1)', done, 6, 'incarnation')


def wrong_flags(parts, c):
    ctl, cat, daemon = c.program('keelctl'), c.program('keelcat'), c.program('keeld')
    for words in ((daemon,), (daemon, '--confg', 'x'), (daemon, 'format', '--size', '8M'),
                  (daemon, 'format', '--data', 'x', '--replica', '9'),
                  (ctl,), (ctl, 'stauts'), (ctl, 'status', '--jsno'), (ctl, 'ring', 'verfy'),
                  (ctl, 'day', 'end'), (ctl, 'status', '--timeout', 'soon'),
                  (cat,), (cat, 'publsh'), (cat, 'publish', '--sesion', 'x'), (cat, 'publish'),
                  (cat, 'follow', '--framing', 'round'), (cat, 'replay')):
        done = run(*words, check=False)
        shown = ' '.join([os.path.basename(words[0])] + list(words[1:]))
        parts.holds(done.returncode == 2 and done.stderr.strip() and not done.stdout,
                    '`%s`: exit 2: %s' % (shown, last_line(done)[:120]),
                    (done.returncode, done.stdout, done.stderr))


def damaged_ring(parts, c):
    """One flipped bit in a page of the only member's ring: refused, named, and not touched."""
    path = c.path('damaged')
    dump = run(c.program('keelctl'), 'ring', 'dump', c.ring_path(1)).stdout
    page = int(re.search(r'^1 .* page (\d+) ', dump, re.M).group(1))  # that of the first entry
    with open(c.ring_path(1), 'rb') as file:
        data = bytearray(file.read())
    data[(16 + 2 * 257 + page) * 4096 + 700] ^= 4  # pages before it are empty, of one slot each
    with open(path, 'wb') as file:
        file.write(data)
    before = hashlib.sha256(data).digest()
    config, _ = altered(c, 'damaged.conf', c.ring_path(1), path)
    check(parts, 'a ring with one flipped bit', keeld(c, config), 6, 'damaged',
          'page %d' % page, 'only member')
    done = run(c.program('keelctl'), 'ring', 'verify', path, check=False)
    check(parts, 'keelctl ring verify of it', done, 1, path, 'page %d' % page)
    with open(path, 'rb') as file:
        parts.holds(hashlib.sha256(file.read()).digest() == before, 'neither changed it')
    with open(path, 'r+b') as file:
        file.truncate(len(data) // 2)
    done = keeld(c, config)
    parts.holds(done.returncode in (1, 6) and path in done.stderr, 'a ring cut in half: exit %d: %s' % (
        done.returncode, last_line(done)[-150:]), (done.returncode, done.stderr))


def wrong_requests(parts, c):
    """Whatever is written to the admin socket is answered with an error, and the daemon lives."""
    answers = []
    for line in (b'\n', b'{}\n', b'{"v":1}\n', b'{"v":2,"cmd":"status"}\n', b'[]\n', b'\xff\xfe\0\n',
                 b'{"v":1,"cmd":"status","cmd":"health"}\n', b'{"v":1,"cmd":"stop"}\n',
                 b'{"v":1,"cmd":"day","action":"end"}\n', b'{"v":1,"cmd":"status","what":1}\n',
                 b'{"v":1,"cmd":"day","action":"end","name":"12345678901"}\n', b'x' * 100000 + b'\n'):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(c.path('admin-1.sock'))
            try:
                s.sendall(line)
                answer = s.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                answer = b'closed'
            answers.append((line[:40], answer))
    bad = [a for a in answers if a[1] != b'closed' and not (
        a[1].endswith(b'\n') and json.loads(a[1]).get('ok') is False and
        json.loads(a[1])['error'].get('why'))]
    parts.holds(not bad, '%d malformed admin requests: each an error that says why' % len(answers), bad)
    parts.holds(c.status(1) is not None, 'and the daemon answers the next right one', c.log_tail(1))


def part_usage(parts, options):
    with Cluster(options.build, size=1, ring='8M', checkpoint='1M', **COMMON) as c:
        c.network()
        c.format()
        wrong_configurations(parts, c)
        wrong_flags(parts, c)
        wrong_files(parts, c)
        c.start_all()
        c.leader()
        check(parts, 'a second keeld on the same ring', keeld(c, c.path('keeld-1.conf')), 6,
              c.ring_path(1), 'another process')
        wrong_requests(parts, c)
        parts.holds(c.alive() == [1] and c.status(1)['role'] == 'leader', 'the first one goes on',
                    c.log_tail(1))
        c.stop_all()
        damaged_ring(parts, c)


# --- a living cluster ------------------------------------------------------------------------------


def ctl(c, i, *words, timeout=10):
    return run(c.program('keelctl'), '--timeout', 1000 * timeout, '-s', c.path('admin-%d.sock' % i), *words,
               check=False, timeout=timeout + 10)


def answered_from(c):
    """Requests that the replicas answered from memory and from the drive."""
    counts = {'memory': 0, 'drive': 0}
    for i in c.ids():
        for source, count in re.findall(r'keel_feed_answered_total\{source="(\w+)"\} (\d+)',
                                        ctl(c, i, 'metrics').stdout):
            counts[source] += int(count)
    return counts


def replay(parts, c, source, count):
    """The whole day through request servers alone, long after memory has let go of its beginning."""
    before = answered_from(c)
    requests = []
    for i in c.ids():
        requests += ['--request', '%s:%d' % (c.ip(i), REQUEST_PORT)]
    process = c.spawn(c.program('keelcat'), 'replay', '--day', c.day, *requests, '--framing',
                      c.framing, '--count', c.status(c.leader())['feed_next'] - 1, '--format', 'length-prefixed', out='replay.out', err='replay.err')
    wait_end(c, process, 'replay', 60)
    in_order(c.path('replay.out'), {'A': source})
    after = answered_from(c)
    drive, memory = (after[k] - before[k] for k in ('drive', 'memory'))
    parts.holds(drive > 0 and memory > 0, 'keelcat replay has all %d messages, from request servers '
                'alone: %d answers from the ring, %d from memory' % (count, drive, memory), after)


def stand_still(process):
    """SIGSTOP, and waits until it has reached every thread."""
    process.send_signal(signal.SIGSTOP)
    tasks = '/proc/%d/task' % process.pid
    until = time.monotonic() + 10
    while any(read('%s/%s/stat' % (tasks, t)).rpartition(')')[2].split()[0] != 'T'
              for t in os.listdir(tasks)):
        expect(time.monotonic() < until, 'a process does not stand still after SIGSTOP')
        time.sleep(0.01)


def exit_codes(parts, c):
    done = run(c.program('keelctl'), '-s', c.path('nobody.sock'), 'status', check=False)
    check(parts, 'keelctl where no daemon is', done, 3, c.path('nobody.sock'))
    commit = c.status(c.leader())['commit_index']
    parts.holds(all(ctl(c, i, 'health').returncode == 0 for i in c.ids()),
                'keelctl health: exit 0 on each', [ctl(c, i, 'health') for i in c.ids()])
    leader = c.leader()
    follower = next(i for i in c.ids() if i != leader)
    done = ctl(c, leader, '--json', 'health')
    told = json.loads(done.stdout)
    parts.holds(told['probe'] == 'committed' and told['probe_index'] > commit and told['commit_us'] > 0 and
                c.status(leader)['commit_index'] >= told['probe_index'],
                'the leader\'s health commits an entry: index %s in %s us' % (
                    told['probe_index'], told['commit_us']), told)
    told = json.loads(ctl(c, follower, '--json', 'health').stdout)
    parts.holds((told['probe'], told['leader'], told['probe_index']) == ('follows', leader, None),
                'a follower\'s says whom it follows', told)
    check(parts, 'day end at a follower', ctl(c, follower, 'day', 'end', c.day), 5,
          'ask replica %d' % leader)
    check(parts, 'day end of another day', ctl(c, leader, 'day', 'end', '20000101'), 1, 'refused')
    stand_still(c.replica[follower])
    done = ctl(c, follower, 'status', timeout=1)
    c.replica[follower].send_signal(signal.SIGCONT)
    check(parts, 'keelctl of a daemon that does not answer', done, 4, 'no answer')


def compared(parts, c):
    """Digests of one index, at each of the three; a checkpoint on a follower; clocks."""
    until = time.monotonic() + 20
    told = []
    while time.monotonic() < until and not (len(told) == 3 and all(told)):
        time.sleep(0.2)
        told = [json.loads(ctl(c, i, '--json', 'digest', '--cluster').stdout)['majority_index']
                for i in c.ids()]
    done = ctl(c, 1, 'digest', '--cluster')
    parts.holds(all(told) and done.returncode == 0 and 'nobody tells another' in done.stdout,
                'keelctl digest --cluster: %s' % done.stdout.splitlines()[-1], (told, done))
    follower = next(i for i in c.ids() if i != c.leader())
    applied = c.status(follower)['control_applied']
    index = json.loads(ctl(c, follower, '--json', 'snapshot').stdout)['index']
    parts.holds(index >= applied and c.status(follower)['checkpoint_index'] >= index,
                'keelctl snapshot at a follower: a checkpoint of index %d stands' % index, applied)
    clock = json.loads(ctl(c, 1, '--json', 'clock').stdout)
    parts.holds(abs(clock['utc_ns'] - time.time_ns()) < 1e9 and clock['measured_ms'] < 60000,
                'keelctl clock: UTC, and within %s ns' % clock['utc_error_ns'], clock)


def no_quorum(parts, c):
    leader = c.leader()
    others = [i for i in c.ids() if i != leader]
    c.kill(*others)
    until = time.monotonic() + 20
    while ctl(c, leader, 'health').returncode != 7 and time.monotonic() < until:
        time.sleep(0.1)
    done = ctl(c, leader, 'health')
    parts.holds(done.returncode == 7, 'two of three killed: keelctl health: exit 7: %s' %
                ' '.join(done.stdout.split())[:100], done)
    done = ctl(c, leader, 'day', 'end', NEXT_DAY)
    check(parts, 'day end without a quorum', done, 7, 'no leader')
    for i in others:
        c.start(i)
    c.leader(30)
    for i in c.ids():
        c.wait_caught_up(i)
    parts.holds(all(ctl(c, i, 'health').returncode == 0 for i in c.ids()),
                'the two are back: keelctl health: exit 0 on each')


def day_roll(parts, c, count):
    leader = c.leader()
    consumer = c.follow('to-end', '--format', 'length-prefixed', '--until-end',
                        port=SECOND_LINE)
    time.sleep(1.0)
    done = ctl(c, leader, 'day', 'end', c.day)
    parts.holds(done.returncode == 0 and 'ended at index' in done.stdout,
                'keelctl day end: %s' % done.stdout.strip(), done)
    wait_end(c, consumer, 'to-end', 30)
    in_order(c.path('to-end.out'), {'A': c.path('input')})
    parts.ok('a consumer has the day\'s %d messages and sees its end' % count)
    done = ctl(c, leader, 'day', 'end', c.day)
    parts.holds(done.returncode == 0 and 'before' in done.stdout,
                'asked again: exit 0: %s' % done.stdout.strip(), done)
    process = c.publish(c.path('closed'), 'closed', 101)
    wait_end(c, process, 'closed', 30, code=1)
    parts.holds('day-closed' in read(c.path('closed.log')),
                'a message while no day is open is refused by name: day-closed, keelcat exit 1',
                read(c.path('closed.log')))
    done = ctl(c, leader, 'day', 'begin', NEXT_DAY)
    parts.holds(done.returncode == 0 and 'begun at index' in done.stdout,
                'keelctl day begin: %s' % done.stdout.strip(), done)
    process = c.publish(c.path('second'), 'second', 102)
    wait_end(c, process, 'second', 30)


def two_days(parts, c, first, second):
    """What `follow --format decode` printed: each day's numbers from 1, without a gap."""
    numbers = {}
    for line in read(c.path('consumer.out')).splitlines():
        word = line.split()
        if len(word) > 1 and word[0].isdigit() and word[1].isdigit():
            numbers.setdefault(word[0], []).append(int(word[1]))
    right = all(n == list(range(1, len(n) + 1)) for n in numbers.values())
    sizes = {day: len(n) for day, n in numbers.items()}
    parts.holds(right and sizes == {c.day: first, NEXT_DAY: second},
                'one consumer through both days: %s, each from number 1 without a gap' %
                ', '.join('%s: %d numbers' % item for item in sizes.items()), sizes)


def part_admin(parts, options):
    count, second = 20000, 500
    with Cluster(options.build, ring='128M', ring_section='window_mib = 1', **COMMON) as c:
        write_messages(c.path('input'), 'A', count, (60, 200), 4)
        write_messages(c.path('closed'), 'C', 3, (20, 30), 5)
        write_messages(c.path('second'), 'B', second, (20, 100), 6)
        c.destinations += ' %s:%d' % (CLIENT_IP, SECOND_LINE)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture()
        # messages and ends of sessions: one in the first day; those of the second day
        consumer = c.follow('consumer', '--format', 'decode', '--count', count + 1 + second + 1)
        process = c.publish(c.path('input'), 'gateway', 100)
        wait_end(c, process, 'gateway', 60)
        c.wait_equal()
        replay(parts, c, c.path('input'), count)
        exit_codes(parts, c)
        compared(parts, c)
        day_roll(parts, c, count)
        wait_end(c, consumer, 'consumer', 30)
        two_days(parts, c, count + 1, second + 1)
        no_quorum(parts, c)
        parts.ok('equal digests at index %d' % c.wait_equal())
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN over two days', ['gateway', 'closed', 'second'])
