"""./dev test disaster: the pages about disasters, followed word by word.

On three machines with the paths of docs/operations.md each block of its sections is run as it stands there:
a disk is replaced, backups are taken under load; two of three disks are lost for good and the third recovers;
all are lost and a backup is restored. Between them gateways publish, and in the end every message that was
acknowledged and not lost stands in the order once.
"""

import json
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Failure, read, run  # noqa: E402
from machines import Machines, for_machine, page  # noqa: E402
from parts import (COMMON, answered, expect, in_order, records, run_parts, wait_end,  # noqa: E402
                   write_messages)

RING, COUNT = '64M', 20000  # holds all that a fast machine sends meanwhile
RATE = 600  # messages a second while things happen: enough of them for a slow machine
FAST = 3000
LONG = {'genesis': COMMON['genesis'] + ('--ttl-max-ms', 600000), 'pages': 'no'}


def machines(options, **more):
    return Machines(options.build, ring=RING, checkpoint='8M', **{**LONG, **more})


def begin(c):
    write_messages(c.path('input'), 'A', COUNT, (60, 200), 31)
    c.network()
    c.machines()
    c.format()
    c.start_all()
    c.leader()


def gateway(c, *more, rate=RATE):
    return c.publish(c.path('input'), 'gateway', 100, '--rate', rate, '--ttl-ms', 300000,
                     '--open-wait', 60, *more)


def wait_answered(c, count, timeout=60.0):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if answered(c, 'gateway') >= count:
            return
        time.sleep(0.05)
    raise Failure('%d messages are not acknowledged within %g s' % (count, timeout))


def stop(process):
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)


def acknowledged(path):
    """number -> (feed number, day) of what a gateway's log has as sequenced; the last word counts."""
    found = {}
    for line in read(path).splitlines():
        words = line.split()
        if words[0] == 'ack' and words[3] == 'sequenced':
            found[int(words[2])] = (int(words[4]), words[6] if len(words) > 6 else '-')
    return found


def lead(c, wanted):
    """The page's commands for the leader are run where it says."""
    leader = c.leader()
    if leader != wanted:
        code, text = c.ctl(leader, 'leader', 'transfer', '--to', wanted, timeout=20)
        expect(code == 0, 'no transfer to replica %d: %s' % (wanted, text))


def at_leader(c, script, host):
    """A block for the leader. A leader that has handed over since names its successor: the page says
    to run it there. It had changed nothing."""
    for _ in range(3):
        try:
            return c.follow_page(script, host)
        except Failure as failure:
            moved = re.search(r'exit 5: .*does not lead: ask replica (\d)', str(failure), re.S)
            if not moved:
                raise
            host = int(moved[1])
    raise Failure('leadership moves on and on: %s' % script)


def members(c, at):
    code, text = c.ctl(at, 'member', 'list')
    return {row['replica']: row['role'] for row in json.loads(text)['members']} if code == 0 else {}


def ring_messages(c, machine, name):
    """Numbers of the live messages in an old ring, in order of the log."""
    done = run(*c.at(machine, 'keelctl', '--json', 'ring', 'dump', '/var/lib/keel/' + name), timeout=60)
    numbers = []
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        if entry['kind'] == 'messages':
            numbers += range(entry['number'], entry['number'] + len(entry['messages']))
    return numbers


def shown(text, key):
    """What stands beside a key, where it was said last."""
    found = re.findall(r'^%s\s+(\S+)$' % key, text, re.M)
    expect(found, 'nothing says "%s"' % key)
    return found[-1]


def resume(parts, c, what):
    """The gateway comes back. Where the new cluster lacks what it was answered, it says so first.
    Returns the last number that the cluster had."""
    before = acknowledged(c.path('gateway.log'))
    running = gateway(c, rate=FAST)
    until = time.monotonic() + 20
    while running.poll() is None and time.monotonic() < until:
        if c.status(c.alive()[0])['feed_next'] > 1:
            break
        time.sleep(0.1)
    said = read(c.path('gateway.err'))
    lost = re.search(r"is at number (\d+), and the log has results up to (\d+)", said)
    if running.poll() is None:
        parts.ok('%s: the gateway resumes its session, nothing that it was answered is lost' % what)
        return running, None
    expect(running.returncode == 6 and lost, 'the gateway ends with %s: %s' % (running.returncode,
                                                                              said[-300:]))
    last, acked = int(lost.group(1)), int(lost.group(2))
    parts.holds(acked == max(before) and last < acked,
                '%s: the gateway refuses to go on: messages %d to %d were answered and are lost (exit 6)' % (
                    what, last + 1, acked), said[-300:])
    return gateway(c, '--resend-lost', rate=FAST), last


def the_rest(parts, c, consumer, last, day):
    """All behind `last` stands in the new day once, in order, from 1 on."""
    wait_end(c, consumer, 'consumer', 60)
    rest = list(records(c.path('input')))[last:]
    with open(c.path('rest'), 'wb') as file:
        for message in rest:
            file.write(len(message).to_bytes(2, 'big') + message)
    count = in_order(c.path('consumer.out'), {'A': c.path('rest')})
    log = acknowledged(c.path('gateway.log'))
    wrong = [n for n in range(last + 1, COUNT + 1) if log.get(n, ('', ''))[0] != n - last]
    parts.holds(count == COUNT - last and not wrong,
                'day %s: messages %d to %d, once each, in order, numbers 1 to %d' % (
                    day, last + 1, COUNT, count), wrong[:5])


def joins(parts, c, blocks, first, others):
    """Step 5 for each of them: written for one, "the same" for the next."""
    (source, prepare), (leader, add) = blocks
    for other in others:
        if os.path.exists(c.ring_path(other)):
            os.unlink(c.ring_path(other))
        lines = for_machine(prepare, source, other)
        add_lines = for_machine(add, source, other)
        if first != leader:
            lines = lines.replace('10.0.0.%d' % leader, '10.0.0.%d' % first)
        c._note('start', other)
        c.follow_page(lines, other)
        at_leader(c, add_lines, first)
    now = members(c, first)
    parts.holds(now == {i: 'voter' for i in [first, *others]}, 'the others join: %s' % now, now)


def part_recover(parts, options):
    blocks = page('A majority is lost: recover')
    parts.holds(len(blocks) == 5, 'the page has five blocks', len(blocks))
    with machines(options) as c:
        begin(c)
        feed = c.capture()
        first = gateway(c, rate=FAST)
        wait_answered(c, 2000)
        c.kill(2, 3)
        time.sleep(0.5)
        stop(first)
        evidence(c, (2, 3))
        text = c.follow_page(blocks[0][1], blocks[0][0])
        parts.holds('nothing was changed' in text, 'it looks first: %s' % text.splitlines()[2].split()[4:8],
                    text)
        c.stop_capture(feed)
        old_ring_proven(parts, c)
        text = c.follow_page(blocks[1][1], blocks[1][0])
        parts.holds('WHAT IS LOST' in text and shown(text, 'seeds') == '1',
                    'recovered on typing the id: cluster %s for %s, day %s, index %s' % (
                        shown(text, 'cluster id'), shown(text, 'old cluster id'), shown(text, 'day'),
                        shown(text, 'index')), text)
        tail_complete(parts, c, 1)
        day = shown(text, 'day')
        feed = c.capture('feed-new.pcap')
        c._note('start', 1)
        c.follow_page(blocks[2][1], blocks[2][0])
        held = ring_messages(c, 1, 'ring-old')
        parts.holds(held == list(range(1, len(held) + 1)),
                    'the survivor held messages 1 to %d, each once' % len(held), held[-3:])
        running, last = resume(parts, c, 'recovered')
        last = len(held)
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT - last)
        joins(parts, c, blocks[3:5], 1, (2, 3))
        wait_end(c, running, 'gateway', COUNT / FAST + 60)
        the_rest(parts, c, consumer, last, day)
        parts.ok('equal digests at index %d' % c.wait_equal())
        c.stop_capture(feed, 'feed-new.pcap')
        c.stop_all()
        new_rings_judged(parts, c, 'gateway', ('feed.pcap', 'feed-new.pcap'))


def evidence(c, ids):
    """The lost disks: kept aside for the judge alone."""
    for i in ids:
        shutil.move(c.ring_path(i), c.path('lost-%d' % i))
    shutil.copy(c.path('gateway.log'), c.path('before.log'))
    shutil.copy(c.starts, c.path('starts-before'))


def old_ring_proven(parts, c):
    """What the old cluster had done by then, all three disks at hand."""
    words = c.judge_words(('before',))
    for i, path in ((1, c.ring_path(1)), (2, c.path('lost-2')), (3, c.path('lost-3'))):
        words[words.index('%d=%s' % (i, c.ring_path(i)))] = '%d=%s' % (i, path)
    words[words.index(c.starts)] = c.path('starts-before')
    done = run(*words, check=False, timeout=120)
    verdict = (done.stdout + done.stderr).strip().splitlines()[-1]
    parts.holds(done.returncode == 0, 'the judge, over the old cluster with its lost disks: %s' % verdict,
                verdict)


def tail_complete(parts, c, machine):
    """The end of the old day in a file: without a hole, and every message as it was sent."""
    sent = list(records(c.path('input')))
    lines = [line.split() for line in read(c.home(machine, 'lib', 'keel', 'tail')).splitlines()]
    feeds = [int(words[2]) for words in lines]
    wrong = [words for words in lines if words[0] != 'message' or words[1] != c.day or
             bytes.fromhex(words[8]) != sent[int(words[5]) - 1]]
    known = {words[7] for words in lines}
    parts.holds(lines and feeds == list(range(feeds[0], feeds[0] + len(feeds))) and not wrong and
                known <= {'committed', 'unknown'},
                'the tail: numbers %d to %d of the old day, as they were sent, %d of them not known as '
                'committed' % (feeds[0], feeds[-1], sum(w[7] == 'unknown' for w in lines)), wrong[:2])


def new_rings_judged(parts, c, log, captures):
    done = c.judge((log,), captures)
    for line in done.stdout.splitlines()[:-1]:
        parts.say(line)
    verdict = (done.stdout + done.stderr).strip().splitlines()[-1]
    parts.holds(done.returncode == 0 and verdict.strip() == 'PROVEN', 'the judge, over the new cluster',
                verdict)


# --- all is lost ------------------------------------------------------------------------------------


def keelctl(c, i, *words, before=()):
    done = run(*c.at(i, *before, 'keelctl', *words), check=False, timeout=40)
    return done.returncode, (done.stdout + done.stderr).strip()


def refused(parts, c, i, what, code, word, *words, before=()):
    found, said = keelctl(c, i, *words, before=before)
    parts.holds(found == code and word in said, '%s: exit %d, %s' % (what, code, word), (found, said))


def backup_refusals(parts, c, i):
    """No room, no directory, no right, no overwriting; and none of them leaves a file."""
    refused(parts, c, i, 'a ring in use', 6, 'stop keeld', 'recover', '/var/lib/keel/ring')
    refused(parts, c, i, 'no directory', 1, 'No such file', 'backup', '/var/backups/none/b')
    os.makedirs(c.home(i, 'backups', 'small'))
    run(*c.at(i, 'mount', '-t', 'tmpfs', '-o', 'size=4k', 'none', '/var/backups/small'))
    run(*c.at(i, 'dd', 'if=/dev/zero', 'of=/var/backups/small/full', 'bs=4096', 'count=1'))
    refused(parts, c, i, 'no room', 1, 'No space left', 'backup', '/var/backups/small/b')
    left = run(*c.at(i, 'ls', '/var/backups/small')).stdout.split()
    parts.holds(left == ['full'], 'and nothing is left there', left)
    run(*c.at(i, 'umount', '/var/backups/small'))
    os.rmdir(c.home(i, 'backups', 'small'))
    os.makedirs(c.home(i, 'run', 'open'), mode=0o777)
    os.chmod(c.home(i, 'run', 'open'), 0o777)
    refused(parts, c, i, 'a user without rights', 1, 'only root', 'backup', '/run/open/b',
            before=('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'))
    parts.holds(os.listdir(c.home(i, 'run', 'open')) == [], 'and nothing is left there either',
                os.listdir(c.home(i, 'run', 'open')))


def backups(c, i):
    return sorted(os.listdir(c.home(i, 'backups', 'keel')))


def backup(parts, c, blocks):
    """Under load, over what a killed keelctl left."""
    ((machine, lines),) = blocks
    backup_refusals(parts, c, machine)
    text = c.follow_page(lines, machine)
    (name,) = backups(c, machine)
    path = c.home(machine, 'backups', 'keel', name)
    shutil.copy(path, path + '-again.partial')
    code, said = keelctl(c, machine, 'backup', '/var/backups/keel/%s-again' % name)
    parts.holds(code == 0 and backups(c, machine) == [name, name + '-again'],
                'what a kill left is taken over', (said, backups(c, machine)))
    refused(parts, c, machine, 'a name that is taken', 1, 'is there already', 'backup',
            '/var/backups/keel/' + name)
    feed = int(shown(text, 'feed next'))
    parts.holds(feed > 1 and shown(text, 'seeds') == '0', 'taken and verified under load: index %s, feed '
                'number %d is the next, digest %s' % (shown(text, 'index'), feed, shown(text, 'digest')), text)
    os.unlink(path)  # the later one is restored
    return path + '-again'


def spoilt(parts, c, machine, path):
    """Files that are none."""
    with open(path, 'rb') as file:
        good = file.read()
    for what, bytes_, word in (
            ('a backup that is cut off', good[:-1], 'cut off'),
            ('a backup with a flipped bit', good[:1500] + bytes([good[1500] ^ 4]) + good[1501:], 'damaged'),
            ('a backup of another version', good[:8] + b'\x09' + good[9:], 'another version'),
            ('something else', b'no backup' * 100, 'no backup')):
        with open(c.home(machine, 'run', 'spoilt'), 'wb') as file:
            file.write(bytes_)
        refused(parts, c, machine, what, 1, word, 'backup', 'verify', '/run/spoilt')
    refused(parts, c, machine, 'a restore of it', 1, 'no backup', 'restore', '--to', '/var/lib/keel/ring',
            '--genesis', '/run/genesis', '/run/spoilt')
    refused(parts, c, machine, 'a restore to nowhere', 2, '--to RING', 'restore', path.replace(
        c.home(machine, 'backups'), '/var/backups'))


def old_member(parts, c, old, new):
    """A server of the old cluster starts after all: nobody knows it."""
    before = c.status(new)
    c.start(old)
    until = time.monotonic() + 15
    count = 0
    while time.monotonic() < until and count == 0:
        code, text = c.ctl(new, 'drops')
        count = json.loads(text)['handshakes']['wrong_cluster'] if code == 0 else 0
        time.sleep(0.2)
    after = c.status(new)
    parts.holds(count > 0 and after['role'] == 'leader' and after['term'] == before['term'] and
                members(c, new) == {new: 'voter'} and after['cluster_id'] != c.status(old)['cluster_id'],
                'replica %d of the old cluster starts after all: refused, wrong_cluster, and nothing changes'
                % old, (count, after))
    c.kill(old)


def two_recoveries(parts, c, rings):
    """Recovered twice, from two survivors: two clusters."""
    ids = []
    for i, path in rings:
        new, genesis = c.path('twice-%d' % i), c.path('twice-genesis-%d' % i)
        run(c.program('keeld'), 'format', '--data', new, '--replica', i, '--address', '%s:7400' % c.ip(i),
            '--size', RING)
        done = run(c.program('keelctl'), '--json', 'recover', path)
        old = json.loads(done.stdout)['survivors'][0]['cluster_id']
        done = run(c.program('keelctl'), '--json', 'recover', '--unsafe', '--to', new, '--genesis', genesis,
                   '--yes-i-lose', old, path)
        ids.append(json.loads(done.stdout)['formed']['cluster_id'])
    parts.holds(len({*ids, old}) == 3, 'two survivors recovered apart: clusters %s and %s' % tuple(ids), ids)
    done = run(c.program('keelctl'), 'recover', rings[0][1], c.path('twice-%d' % rings[0][0]), check=False)
    parts.holds(done.returncode == 6 and 'different clusters' in done.stderr,
                'rings of two clusters are not compared', done.stderr)
    done = run(c.program('keelctl'), 'recover', '--unsafe', *[path for _, path in rings], check=False)
    parts.holds(done.returncode == 6 and 'a majority' in done.stderr, 'a majority is not recovered, it is '
                'started', done.stderr)


def last_life(c, name):
    """The gateway's log from its last opening on."""
    lines = read(c.path('gateway.log')).splitlines(True)
    at = max(n for n, line in enumerate(lines) if line.startswith('session '))
    c._write(name + '.log', ''.join(lines[at:]))


def part_restore(parts, options):
    replace, save = page('Replace a disk'), page('Back up')
    ((machine, restore),) = page('Restore')
    join = page('A majority is lost: recover')[3:5]
    with machines(options) as c:
        begin(c)
        first = gateway(c)
        wait_answered(c, 500)
        lead(c, replace[1][0])
        os.unlink(c.home(replace[0][0], 'lib', 'keel', 'genesis'))  # it may have lain on that disk
        c.follow_page(replace[0][1], replace[0][0])
        text = at_leader(c, replace[1][1], replace[1][0])
        parts.holds(members(c, 1) == {1: 'voter', 2: 'voter', 3: 'voter'},
                    'a disk is replaced under load: %s' % text.splitlines()[0], text)
        path = backup(parts, c, save)
        at = answered(c, 'gateway')
        wait_answered(c, at + 500)
        stop(first)
        c.kill(1, 2, 3)
        shutil.copy(c.ring_path(2), c.path('lost-2'))
        shutil.copy(c.ring_path(3), c.path('lost-3'))
        shutil.copytree(c.home(save[0][0], 'backups', 'keel'), c.home(machine, 'backups', 'keel'))
        path = path.replace(c.home(save[0][0]), c.home(machine))
        spoilt(parts, c, machine, path)
        feed = c.capture()
        c._note('start', machine)
        text = c.follow_page(restore.replace('--size 4G', '--size ' + RING), machine)
        day = shown(text, 'day') if 'WHAT IS LOST' in text else ''
        parts.holds(day.startswith('R'), 'restored on typing the id: cluster %s, day %s' % (
            shown(text, 'cluster id'), day), text)
        old_member(parts, c, 1, machine)
        running, last = resume(parts, c, 'restored')
        expect(last is not None, 'the gateway should have missed what came after the backup')
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT - last)
        joins(parts, c, join, machine, (1, 2))
        wait_end(c, running, 'gateway', COUNT / FAST + 60)
        last_life(c, 'after')
        the_rest(parts, c, consumer, last, day)
        parts.ok('equal digests at index %d' % c.wait_equal())
        c.stop_capture(feed)
        c.stop_all()
        new_rings_judged(parts, c, 'after', ('feed.pcap',))
        two_recoveries(parts, c, ((2, c.path('lost-2')), (3, c.path('lost-3'))))


PARTS = {'recover': part_recover, 'restore': part_restore}


if __name__ == '__main__':
    sys.exit(run_parts('./dev test disaster', __doc__, PARTS))
