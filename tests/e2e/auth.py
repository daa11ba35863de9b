"""./dev test auth: packets are authentic, no key and nonce serve twice, and nothing forged counts.

Three replicas on separate network stacks. Part by part: 30 SIGKILLs under load while every handshake
packet is doubled and replayed, then all keys and nonces recomputed from the capture and the key files
(../auth/hkdf_check.py, own HKDF and AES); the capture replayed before and after a restart; every single
bit of one packet of each kind flipped; a client key that sends what only replicas may. Each injected
packet must be found as a counted reject of the replica that it went to, and replicas stay as they were.
"""

import argparse
import collections
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import PORT, Cluster, Failure, run, stats  # noqa: E402
from parts import COMMON, Parts, answered, expect, interrupted, proven, wait_end  # noqa: E402
from parts import write_messages  # noqa: E402
from tap import HANDSHAKE, KINDS, Tap, read_pcap  # noqa: E402

KILLS, LOAD = 30, 40      # the most that --kills takes; load: messages a second
PACE_SECONDS = 1.0        # between the end of one restart and the next kill, at the most
RECORDED = 400            # frames to each replica that are replayed
CLIENT_BATCH = 200
BATCH = 192               # injected before they are looked for: fewer than a port's queue holds
SALT_PORTION = 120        # of a bucket of 128, filled again at 64 a second
COOKIE_SECONDS = 10       # no cookie lives longer
HEAD, TAG = 32, 16
WITH_ENTRIES = HEAD + 64 + 48 + TAG  # an APPEND that carries one
TOLD = ('authentication', 'handshakes')
PASSED = ('malformed-body', 'unknown-kind', 'other-incarnation', 'entry-checksum')  # behind the tag
FROM_REPLICAS = (5, 6, 16, 17, 18, 19, 20, 21)
FROM_CLIENTS = (32, 33, 34, 35, 36)
TO_CLIENTS = (48, 49, 50)


# --- the replicas' own figures ------------------------------------------------------------------------


class Counts:
    """Rejects of one replica, from `keelctl drops`."""

    def __init__(self, cluster, replica):
        until = time.monotonic() + 20
        code, text = cluster.ctl(replica, 'drops')
        while code != 0 and time.monotonic() < until:
            time.sleep(0.1)
            code, text = cluster.ctl(replica, 'drops')
        expect(code == 0, 'keelctl drops of replica %d: exit %d' % (replica, code))
        groups = json.loads(text)
        self.group = {name: collections.Counter(groups[name]) for name in TOLD}
        self.datagrams = collections.Counter(groups['datagrams'])

    def since(self, before):
        """(authentication rejects, handshake rejects, lost before control, let through the tag)."""
        new = [sum((self.group[name] - before.group[name]).values()) for name in TOLD]
        more = self.datagrams - before.datagrams
        return new + [more['control-link-full'], sum(more[name] for name in PASSED)]

    def reasons(self, before):
        """By reason, of both kinds of reject together."""
        return sum((self.group[name] - before.group[name] for name in TOLD), collections.Counter())


def told(reasons):
    return ' '.join('%s %d' % pair for pair in sorted(reasons.items()))


class State(NamedTuple):
    """What must not move while forged packets come in, and how often its replica handed over by itself."""

    term: int
    role: str
    commit_index: int
    applied_index: int
    last_index: int
    digest: str
    feed_next: int
    boot: int
    transfers_by_drive: int
    transfers_by_link: int


def state(cluster):
    seen = {}
    for i in cluster.ids():
        status = cluster.status(i)
        expect(status, 'replica %d tells no status: %s' % (i, cluster.log_tail(i)))
        seen[i] = State(*(status[name] for name in State._fields))
    return seen


def quiet(cluster, timeout=60.0):
    """Waits until everything is applied everywhere and nothing moves any more."""
    until = time.monotonic() + timeout
    last = None
    while time.monotonic() < until:
        cluster.wait_equal()
        now = state(cluster)
        if now == last:
            return now
        last = now
        time.sleep(1.5)
    raise Failure('the cluster does not come to rest: %s' % (last,))


# --- injecting ----------------------------------------------------------------------------------------


def inject(cluster, tap, replica, frames):
    """Sends frames to one replica and finds every one in its counters. Returns a line of figures.

    A HELLO needs no key: it is answered by a stateless COOKIE, no larger, or refused. A handshake packet
    longer than any of the handshake is dropped as a malformed body before control sees it.
    """
    before, (cookies, replies) = Counts(cluster, replica), tap.answers(replica)
    genuine = tap.shakes()
    sealed = shakes = long = sent = 0
    frames = list(frames)
    while sent < len(frames):
        batch = frames[sent:sent + BATCH]
        for data in batch:
            kind, size = data[44], len(data) - 42
            if kind > 4:
                sealed += 1
            elif size > 256:
                long += 1
            else:
                shakes += 1
            tap.send(data)
            if kind <= 4 and sent % 16 == 15:
                time.sleep(0.002)
            sent += 1
        until = time.monotonic() + 10
        while True:
            auth, shake, full, passed = Counts(cluster, replica).since(before)
            answered = tap.answers(replica)[0] - cookies
            taken = tap.answers(replica)[1] - replies
            expect(taken <= 0, 'replica %d accepts %d forged SALTs' % (replica, taken))
            if auth >= sealed and shake + full + answered >= shakes and passed >= long:
                break
            if time.monotonic() > until:
                raise Failure('replica %d: %d sealed packets injected, %d rejected; %d of the handshake, '
                              '%d rejected, %d lost, %d answered; %d too long, %d dropped; %d missed by '
                              'the tap' % (replica, sealed, auth, shakes, shake, full, answered, long,
                                           passed, tap.lost()))
            time.sleep(0.05)
    now = Counts(cluster, replica)
    auth, shake, full, passed = now.since(before)
    slack = tap.shakes() - genuine  # what members themselves said meanwhile may be refused as well
    cookies = tap.answers(replica)[0] - cookies
    found = auth + shake + full + passed + cookies
    expect(passed == long, 'replica %d: %d forged packets came past the tag' % (replica, passed - long))
    expect(sent <= found <= sent + slack, 'replica %d: %d packets injected, %d found' % (
        replica, sent, found))
    return sent, cookies, now.reasons(before)


def handed_over(before, after):
    """Whether all that moved is a leader's own doing, as its counters say: it takes its drive or its
    links for slow where this machine gives its process no turn. Each time a term, and its no-op."""
    own = sum(after[i].transfers_by_drive + after[i].transfers_by_link -
              before[i].transfers_by_drive - before[i].transfers_by_link for i in after)
    terms = {after[i].term - before[i].term for i in after}
    entries = {getattr(after[i], name) - getattr(before[i], name) for i in after
               for name in ('commit_index', 'applied_index', 'last_index')}
    same = all(after[i].feed_next == before[i].feed_next and after[i].boot == before[i].boot for i in after)
    leaders = sum(seen.role == 'leader' for seen in after.values())
    return same and leaders == 1 and terms == entries and len(terms) == 1 and 0 < min(terms) <= own


def unmoved(parts, cluster, what, before):
    time.sleep(0.5)
    cluster.wait_equal()
    after = state(cluster)
    digests = {seen.digest for seen in after.values()}
    handed = after != before and handed_over(before, after)
    moved = ', '.join('%d: %s %s -> %s' % (i, name, getattr(before[i], name), getattr(after[i], name))
                      for i in after for name in State._fields
                      if getattr(before[i], name) != getattr(after[i], name))
    if parts.holds((after == before or handed) and len(digests) == 1,
                   '%s: accepted 0; terms, roles, indexes, digests as before, digests equal' % what, moved):
        if handed:
            parts.say('but for a leader that handed over of itself, as its counters say: %s' % moved)
    else:
        for i in cluster.ids():
            parts.say('replica %d: %s' % (i, cluster.log_tail(i).rstrip()))


# --- part 1: kills, doubled and replayed handshakes ---------------------------------------------------


class Load:
    """A gateway that is killed and comes back under its name."""

    def __init__(self, cluster, count):
        self.c, self.count = cluster, count
        write_messages(cluster.path('load.bin'), 'A', count, (40, 90), 1)
        self.start()

    def start(self, rate=LOAD):
        self.process = self.c.publish(self.c.path('load.bin'), 'gateway', 100, '--rate', rate,
                                      '--ttl-ms', 600000)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if os.path.exists(self.c.path('gateway.stats')):
            os.unlink(self.c.path('gateway.stats'))

    def progress(self, timeout=40):
        """Some messages are answered from now on."""
        until, begin = time.monotonic() + timeout, answered(self.c, 'gateway')
        while time.monotonic() < until:
            if answered(self.c, 'gateway') >= begin + 5 or self.process.poll() is not None:
                return
            time.sleep(0.05)
        raise Failure('no progress of the gateway within %d s after a kill' % timeout)


def back(cluster, replica, index, timeout=60):
    """The restarted replica has caught up with what was committed at its death."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        status = cluster.status(replica)
        if status and status['leader'] and status['applied_index'] >= index:
            return
        expect(cluster.replica[replica].poll() is None, 'replica %d ended by itself: %s' % (
            replica, cluster.log_tail(replica)))
        time.sleep(0.05)
    raise Failure('replica %d is not back within %d s: %s' % (replica, timeout, cluster.status(replica)))


def storm(parts, cluster, tap, kills):
    """Kills in turn: leader, gateway, follower, leader, follower."""
    rng = random.Random(7)
    capture = cluster.capture('auth.pcap', 'udp port %d' % PORT, host='sw', interface='br0')
    tap.repeating = True
    cluster.start_all()
    cluster.leader()
    load = Load(cluster, 400 * kills)
    load.progress()
    killed = collections.Counter()
    for turn in range(kills):
        what = ('leader', 'gateway', 'follower', 'leader', 'follower')[turn % 5]
        if what == 'gateway':
            load.kill()
            load.start()
        else:
            leader = cluster.leader()
            replica = leader if what == 'leader' else rng.choice(
                [i for i in cluster.ids() if i != leader])
            index = cluster.status(leader)['commit_index']
            cluster.kill(replica)
            time.sleep(rng.random() * 0.3)
            cluster.start(replica)
            back(cluster, replica, index)
        killed[what] += 1
        load.progress()
        time.sleep(rng.random() * PACE_SECONDS)
    parts.ok('%d SIGKILLs under load: %s; each time the replica came back and messages went on' % (
        sum(killed.values()), dict(killed)))
    tap.repeating = False
    cluster.stop_capture(capture, 'auth.pcap')
    parts.say('handshake packets of members: %s; doubled and replayed on top: %s' % (
        named(tap.seen, HANDSHAKE), named(tap.repeated, HANDSHAKE)))
    parts.holds(all(tap.repeated[kind] > kills for kind in HANDSHAKE),
                'each kind of handshake packet was doubled and replayed', dict(tap.repeated))
    load.kill()
    load.start(rate=100000)
    wait_end(cluster, load.process, 'gateway', 60)
    parts.ok('the gateway ends with all of its %d messages acknowledged' % load.count)


def named(counter, kinds):
    return ' '.join('%s %d' % (KINDS[k], counter[k]) for k in kinds)


def keys(parts, cluster, kills):
    """Every key and nonce of the capture, recomputed."""
    frames = list(read_pcap(cluster.path('auth.pcap')))
    replies = collections.defaultdict(set)
    for frame in frames:
        if frame.kind == 4:
            replies[frame.payload[32:48]].add(frame.payload[48:64])
    again = sum(len(salts) > 1 for salts in replies.values())
    parts.holds(again > 0, '%d of %d handshakes had their SALT answered more than once, each time with '
                'another salt (H18)' % (again, len(replies)), len(replies))
    began = time.monotonic()
    words = [sys.executable, os.path.join(HERE, '../auth/hkdf_check.py')]
    for i in cluster.ids():
        words += ['--keys', cluster.path('replica-%d.key' % i)]
    done = run(*words, cluster.path('auth.pcap'), check=False, timeout=240)
    parts.say('hkdf_check (%.0f s): %s' % (time.monotonic() - began, done.stdout.strip()))
    count = dict(word.split('=') for word in done.stdout.split())
    parts.holds(done.returncode == 0 and count.get('authenticated') == count.get('pairs') and
                int(count.get('pairs', 0)) > 1000,
                'packets and distinct pairs of key and nonce are equal: %s and %s' % (
                    count.get('authenticated'), count.get('pairs')), done.stderr[-400:])
    parts.holds(int(count.get('associations', 0)) > kills, '%s associations, no key made twice' %
                count.get('associations'), count)


# --- part 2: a recorded capture -----------------------------------------------------------------------


def replay(parts, cluster, tap):
    """The newest recorded packets to each replica, and its newest recorded handshakes, before and after
    a restart. A cookie lives on for a while by design, and a copy of its SALT is answered with a new
    salt: waited for."""
    frames = list(read_pcap(cluster.path('auth.pcap')))
    time.sleep(max(0.0, frames[-1].at + COOKIE_SECONDS + 1 - time.time()))
    for when in ('before', 'after'):
        if when == 'after':
            for i in cluster.ids():
                cluster.kill(i)
            cluster.start_all()
            cluster.leader()
        before = quiet(cluster)
        for i in cluster.ids():
            mine = [f for f in frames if f.to == i]
            shakes = [f for f in mine if f.kind in HANDSHAKE][-RECORDED // 2:]
            sent, cookies, reasons = inject(
                cluster, tap, i, [f.data for f in shakes + mine[-RECORDED:]])
            parts.say('replica %d: %d recorded packets, %d HELLOs answered by a cookie; %s' % (
                i, sent, cookies, told(reasons)))
        unmoved(parts, cluster, 'a capture replayed %s a restart' % when, before)


# --- part 3: each bit of each kind --------------------------------------------------------------------


def votes(cluster):
    """Kills the leader, so that the others elect; starts it again."""
    leader = cluster.leader()
    index = cluster.status(leader)['commit_index']
    cluster.kill(leader)
    cluster.leader()
    cluster.start(leader)
    back(cluster, leader, index)


def clients(cluster):
    """Sessions whose packets are of every kind: opened, resumed, kept alive, ended."""
    write_messages(cluster.path('few.bin'), 'B', 6, (40, 60), 2)
    resumed = cluster.publish(cluster.path('few.bin'), 'resumed', 102, '--rate', 1, '--ttl-ms', 600000)
    kept = cluster.publish(cluster.path('few.bin'), 'kept', 103, '--rate', 1, '--ttl-ms', 3000)
    until = time.monotonic() + 30
    while answered(cluster, 'resumed') < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(resumed.pid, signal.SIGKILL)
    resumed.wait()
    resumed = cluster.publish(cluster.path('few.bin'), 'resumed', 102, '--ttl-ms', 600000)
    wait_end(cluster, resumed, 'resumed', 60)
    wait_end(cluster, kept, 'kept', 60)


def oversteps(cluster, replica):
    """keel-stranger's handshake with a replica, and what it then dares."""
    status = cluster.status(replica)
    return run(*cluster.inside('cl', os.path.join(cluster.build, 'tests/auth/keel-stranger'),
                               cluster.path('client-105.key'), 105, replica, cluster.ip(replica), PORT,
                               status['term'], status['last_index']), check=False, timeout=60)


def flip_kind(parts, cluster, tap, frame):
    """Returns how many were sent, and how many of them came as far as the tag."""
    sent, cookies, reasons = inject(cluster, tap, frame.to, frame.flips())
    parts.say('%-13s %3d bytes, to replica %d: %4d flips; %s%s' % (
        KINDS[frame.kind], len(frame.payload), frame.to, sent, told(reasons),
        '; %d cookies' % cookies if cookies else ''))
    return sent, reasons['bad_tag']


def flip_salts(parts, cluster, tap, replica=1):
    """SALTs whose cookie is good, so that the proof has to tell: each portion from a new handshake, no
    faster than an address may send them."""
    reasons, sent, at, size = collections.Counter(), 0, 0, 1
    while at < size:
        time.sleep(SALT_PORTION / 64)
        done = oversteps(cluster, replica)
        expect(done.returncode == 0, 'no handshake for SALTs: %s' % done.stderr)
        frame = tap.newest(3, lambda f: f.to == replica and f.sender == 105)
        size = 8 * len(frame.payload)
        portion = itertools.islice(frame.flips(), at, at + SALT_PORTION)
        count, _, more = inject(cluster, tap, replica, portion)
        at, sent, reasons = at + SALT_PORTION, sent + count, reasons + more
    parts.say('SALT          %3d bytes, to replica %d: %4d flips; %s' % (
        size // 8, replica, sent, told(reasons)))
    parts.holds(reasons['bad_proof'] > size // 2, 'SALTs under a good cookie are told by their proof: %d' %
                reasons['bad_proof'], reasons)
    return sent


def flips(parts, cluster, tap):
    """To replicas: under an association that lives, as far as one does."""
    votes(cluster)
    clients(cluster)
    before = quiet(cluster)
    total, kinds, missing, far = 0, 0, [], []
    wanted = [(kind, HEAD + TAG) for kind in (1, 2, 4) + FROM_REPLICAS + FROM_CLIENTS]
    for kind, least in wanted + [(20, WITH_ENTRIES)]:
        frame = tap.newest(kind, lambda f: f.to in cluster.ids() and len(f.payload) >= least)
        if frame is None:
            missing.append(KINDS[kind])
            continue
        sent, tags = flip_kind(parts, cluster, tap, frame)
        total, kinds = total + sent, kinds + 1
        if tags > 4 * len(frame.payload):
            far.append(KINDS[kind])
    total += flip_salts(parts, cluster, tap)
    unmoved(parts, cluster, '%d packets of %d kinds with one bit flipped' % (total, kinds + 1), before)
    parts.holds(not missing, 'each bit of a packet of each kind that replicas receive', missing)
    parts.holds(len(far) >= 6, 'most kinds of them under a living association, told by their tag alone: '
                '%d of %d' % (len(far), kinds - 3), far)


def rejected(cluster, name):
    figures = stats(cluster.path(name + '.stats'))
    return figures['network']['rejected'] if figures else 0


def wait_rejected(cluster, name, wanted, timeout=10):
    until = time.monotonic() + timeout
    while rejected(cluster, name) < wanted:
        expect(time.monotonic() < until, '%s has rejected %d packets, not %d' % (
            name, rejected(cluster, name), wanted))
        time.sleep(0.02)


def flips_to_client(parts, cluster, tap):
    """To a client whose session lives: it rejects them all and ends well."""
    write_messages(cluster.path('live.bin'), 'C', 20, (40, 60), 3)
    live = cluster.publish(cluster.path('live.bin'), 'live', 104, '--rate', 1, '--ttl-ms', 600000)
    until = time.monotonic() + 30
    while answered(cluster, 'live') < 2 and time.monotonic() < until:
        time.sleep(0.05)
    newest = tap.newest(48, lambda f: f.receiver == 104)
    expect(newest is not None, 'no RESULT to the client was seen')
    port = int.from_bytes(newest.data[36:38], 'big')
    before, sent, missing = rejected(cluster, 'live'), 0, []
    for kind in TO_CLIENTS + (2, 4):
        frame = tap.newest(kind, lambda f: f.to == 100 and f.receiver == 104) or tap.newest(
            kind, lambda f: f.to == 100)
        if frame is None:
            missing.append(KINDS[kind])
            continue
        for data in frame.flips(port):
            tap.send(data)
            sent += 1
            if sent % CLIENT_BATCH == 0:
                wait_rejected(cluster, 'live', before + sent)
    wait_end(cluster, live, 'live', 60)
    found = rejected(cluster, 'live') - before
    parts.holds(sent <= found <= sent + 16 and not missing,
                'flipped packets to a client: %d injected, %d rejected, its session ends well' % (
                    sent, found), missing)


# --- part 4: rights -----------------------------------------------------------------------------------


def stranger(parts, cluster):
    """A client's key seals what only replicas may send."""
    before = quiet(cluster)
    for i in cluster.ids():
        counts = Counts(cluster, i)
        done = oversteps(cluster, i)
        now = Counts(cluster, i)
        refused = now.group['authentication']['no_right'] - counts.group['authentication']['no_right']
        parts.holds(done.returncode == 0 and done.stdout.strip() == 'overstepped=%d' % refused and
                    refused == 18,  # eleven kinds of raft, digests, two of checkpoints, members, three answers
                    'replica %d refuses a client\'s votes, APPENDs and answers: %d no_right; the same key '
                    'is answered before and after' % (i, refused), done.stdout + done.stderr)
    unmoved(parts, cluster, 'a client that sends AppendEntries', before)


def last(parts, cluster, feed):
    """After all this the cluster orders as before, and the evidence holds."""
    write_messages(cluster.path('last.bin'), 'D', 500, (40, 90), 4)
    wait_end(cluster, cluster.publish(cluster.path('last.bin'), 'last', 106), 'last', 60)
    index = cluster.wait_equal()
    parts.ok('500 more messages acknowledged; digests equal at index %d' % index)
    cluster.stop_capture(feed)
    cluster.stop_all()
    proven(parts, cluster, 'the judge over rings, gateways and lines',
           ('gateway', 'resumed', 'kept', 'live', 'last'))


def main():
    parser = argparse.ArgumentParser(prog='./dev test auth', description=__doc__.splitlines()[0])
    parser.add_argument('--build', required=True)
    parser.add_argument('--keep', metavar='DIR', help='leave the evidence in this (new) directory')
    parser.add_argument('--kills', type=int, choices=range(5, KILLS + 1), default=KILLS, metavar='N',
                        help='SIGKILLs under load (default: %d)' % KILLS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    if options.keep:
        os.makedirs(options.keep)
    parts, tap = Parts(), None
    cluster = Cluster(options.build, directory=options.keep, **COMMON)
    try:
        cluster.network()
        cluster.format()
        tap = Tap(cluster)
        tap.start()
        feed = cluster.capture()
        parts.run('kills while handshakes are doubled and replayed', storm, cluster, tap, options.kills)
        parts.run('keys and nonces', keys, cluster, options.kills)
        parts.run('a recorded capture', replay, cluster, tap)
        parts.run('each bit of each kind', flips, cluster, tap)
        parts.run('each bit towards a client', flips_to_client, cluster, tap)
        parts.run('rights', stranger, cluster)
        parts.run('afterwards', last, cluster, feed)
    except KeyboardInterrupt:
        parts.fail('interrupted')
    except (Failure, subprocess.TimeoutExpired) as failure:
        parts.fail(str(failure))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if tap is not None:
            tap.close()
        cluster.close(keep=bool(options.keep))
    return parts.close()


if __name__ == '__main__':
    sys.exit(main())
