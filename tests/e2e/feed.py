"""The feed on real lines: multicast and unicast, raw framing, heartbeats, a replay through the request
servers, subscribers and keys exchanged by reload (feed_reload.py), a line that falls silent without a quorum
(H22), and tshark's opinion of all of it."""

import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import CLIENT_IP, LINE_PORT, REQUEST_PORT, Cluster, Failure, read, run, stats  # noqa: E402
from feed_reload import check_reload  # noqa: E402

GROUP = '239.10.0.1'
MESSAGES = 3000


class FeedCluster(Cluster):
    """Each line goes to a multicast group and to the consumer's own address."""

    def config(self, i):
        unicast = 'destinations = %s:%d' % (CLIENT_IP, LINE_PORT)
        return super().config(i).replace(
            unicast, unicast.replace('=', '= %s:%d' % (GROUP, LINE_PORT)))


def consume(c, name, listen):
    requests = []
    for i in c.ids():
        requests += ['--request', '%s:%d' % (c.ip(i), REQUEST_PORT)]
    return c.spawn(c.program('keelcat'), 'follow', '--listen', listen, *requests, '--framing', 'raw',
                   '--from', 'start', '--count', MESSAGES, '--format', 'lines', out=name, err=name + '.err')


def fields(c, wanted, condition):
    words = ['tshark', '-r', c.path('feed.pcap'), '-d', 'udp.port==%d,moldudp64' % LINE_PORT, '-Y',
             condition, '-T', 'fields']
    for field in wanted:
        words += ['-e', field]
    return [line.split('\t') for line in run(*words, timeout=120).stdout.splitlines()]


def check_tshark(c):
    bad = fields(c, ['frame.number'], 'moldudp64.count.invalid or moldudp64.msglen.invalid or '
                 'moldudp64.end_of_session_extra')
    if bad:
        raise Failure('tshark finds malformed packets: %s' % bad[:5])
    beats = fields(c, ['ip.src', 'moldudp64.sequence'], 'moldudp64.count == 0')
    if len({b[0] for b in beats}) != c.size:
        raise Failure('heartbeats came from %s only' % sorted({b[0] for b in beats}))
    seen = {}
    for source, target, first, count in fields(
            c, ['ip.src', 'ip.dst', 'moldudp64.sequence', 'moldudp64.count'],
            'moldudp64.count > 0 and moldudp64.count != 65535 and udp.dstport == %d' % LINE_PORT):
        line = (source, target)
        if seen.get(line, 1) != int(first):
            raise Failure('line %s: %s follows %d' % (line, first, seen.get(line, 1)))
        seen[line] = int(first) + int(count)
    if len(seen) != 2 * c.size:
        raise Failure('%d lines seen, %d configured' % (len(seen), 2 * c.size))
    print('ok    tshark: %d lines without a gap, %d heartbeats' % (len(seen), len(beats)))


def check_silence(c):
    """Of three, two are killed: the third's line must stop within feed_stale_ms and some."""
    leader = c.leader()
    last = [i for i in c.ids() if i != leader][0]
    for i in c.ids():
        if i != last:
            c.kill(i)
    time.sleep(3.0)
    capture = c.capture('silent.pcap')
    time.sleep(3.0)
    c.stop_capture(capture, 'silent.pcap')
    heard = run('tshark', '-r', c.path('silent.pcap'), '-Y', 'ip.src == %s' % c.ip(last)).stdout
    if heard.strip():
        raise Failure('the line of replica %d speaks without a quorum: %s' % (last, heard[:200]))
    print('ok    the line of a replica without a quorum is silent')


def check_restarts(c, text):
    """Everybody is started again: each answers for the day from its ring, from the first number on."""
    for i in c.ids():
        c.kill(i)
    for i in c.ids():
        c.start(i)
    c.leader()
    for i in c.ids():
        done = subprocess.run(
            c.inside('cl', c.program('keelcat'), 'replay', '--day', c.day, '--framing', 'raw',
                     '--request', '%s:%d' % (c.ip(i), REQUEST_PORT), '--count', MESSAGES,
                     '--format', 'lines'), capture_output=True, text=True, timeout=60, check=False)
        if done.stdout != text or done.returncode != 0:
            raise Failure('after a restart replica %d brings %d bytes, exit %d: %s' % (
                i, len(done.stdout), done.returncode, done.stderr[-200:]))
    print('ok    started again, each replica answers for the whole day from its ring')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True)
    options = parser.parse_args()
    with FeedCluster(options.build, ring='256M', framing='raw',  # holds the whole run
                     feed='heartbeat_ms = 200',
                     genesis=('--election-min-ms', '500')) as c:
        c.network()
        run(*c.inside('cl', 'ip', 'route', 'add', '224.0.0.0/4', 'dev', 'eth0'))
        c.format()
        c.start_all()
        c.leader()
        c.wait_equal()  # else a line may begin behind what others have shown
        text = '\n'.join('order %d' % i for i in range(MESSAGES)) + '\n'
        c._write('lines', text)
        capture = c.capture()
        consumers = {
            'unicast': consume(c, 'unicast', '%s:%d' % (CLIENT_IP, LINE_PORT)),
            'multicast': consume(c, 'multicast', '%s:%d@%s' % (GROUP, LINE_PORT, CLIENT_IP))}
        publisher = c.publish(c.path('lines'), 'gateway', 100, '--keep', form='lines')
        if publisher.wait(timeout=60) != 0:
            raise Failure('publish: ' + read(c.path('gateway.err')))
        for name, process in consumers.items():
            try:
                code = process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                raise Failure('%s consumer still waits: %s' % (name, stats(c.path(name)))) from None
            if code != 0 or read(c.path(name)) != text:
                raise Failure('%s consumer: exit %d, %d bytes: %s' % (
                    name, code, len(read(c.path(name))), read(c.path(name + '.err'))[-200:]))
            print('ok    %s consumer has all %d messages in order' % (name, MESSAGES))
        replay = subprocess.run(
            c.inside('cl', c.program('keelcat'), 'replay', '--day', c.day, '--framing', 'raw',
                     '--request', '%s:%d' % (c.ip(1), REQUEST_PORT), '--count', MESSAGES,
                     '--format', 'lines'), capture_output=True, text=True, timeout=60, check=False)
        if replay.stdout != text or replay.returncode != 0:
            raise Failure('replay brings %d bytes, exit %d: %s' % (
                len(replay.stdout), replay.returncode, replay.stderr[-200:]))
        print('ok    replay through a request server alone')
        time.sleep(1.0)
        c.stop_capture(capture)
        check_tshark(c)
        check_reload(c)
        check_restarts(c, text)
        check_silence(c)
    print('9 passed, 0 failed')


if __name__ == '__main__':
    try:
        main()
    except Failure as failure:
        sys.exit('FAILED: %s' % failure)
