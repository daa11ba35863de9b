"""`keelctl config reload` and SIGHUP on real lines: a subscriber is added while messages flow and taken out again,
the others miss nothing; a bad file is refused and changes nothing; a client's key rolls over. Run by feed.py
on its cluster."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import CLIENT_IP, LINE_PORT, Failure, read, run  # noqa: E402

SECOND_LINE = 7412
PRINCIPAL, ROLLING = 101, 102
RATE = 2000  # messages a second, so that reloads fall between them
REFUSED = 6  # keelctl's exit code


def configure(c, i, change):
    """Writes the replica's file anew, changed as a text."""
    c._write('keeld-%d.conf' % i, change(c.config(i)))


def more(text):
    return text.replace('%s:%d' % (CLIENT_IP, LINE_PORT),
                        '%s:%d, %s:%d' % (CLIENT_IP, LINE_PORT, CLIENT_IP, SECOND_LINE))


def reload(c, i, rows=None):
    """By keelctl; `rows` is what it must say has changed."""
    code, text = c.ctl(i, 'config', 'reload', timeout=10)
    if code != 0:
        raise Failure('reload of replica %d: exit %d: %s' % (i, code, c.log_tail(i, 2)))
    answer = json.loads(text)
    said = sorted('%s %s %s' % (r['what'], r['change'], r['name']) for r in answer['changes'])
    if rows is not None and said != sorted(rows):
        raise Failure('reload of replica %d says %s, not %s' % (i, said, rows))
    return answer


def hang_up(c, i, words):
    """By SIGHUP (`ip netns exec` has become keeld); waits for the log's line that holds `words`."""
    c.replica[i].send_signal(signal.SIGHUP)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        lines = [l for l in read(c.path('keeld-%d.log' % i)).splitlines() if 'by=SIGHUP' in l]
        if lines and words in lines[-1]:
            return
        time.sleep(0.05)
    raise Failure('SIGHUP to replica %d: %s' % (i, c.log_tail(i, 3)))


def lines_seen(c, name):
    """(replica's address, destination, port) -> [first number, number after the last]; no gap in between."""
    done = run('tshark', '-r', c.path(name), '-d', 'udp.port==%d,moldudp64' % LINE_PORT, '-d',
               'udp.port==%d,moldudp64' % SECOND_LINE, '-Y',
               'moldudp64.count > 0 and moldudp64.count != 65535 and (udp.dstport == %d or udp.dstport == %d)'
               % (LINE_PORT, SECOND_LINE), '-T', 'fields', '-e', 'ip.src', '-e', 'ip.dst', '-e',
               'udp.dstport', '-e', 'moldudp64.sequence', '-e', 'moldudp64.count', timeout=120)
    seen = {}
    for line in done.stdout.splitlines():
        source, target, port, first, count = line.split('\t')
        at = seen.setdefault((source, target, int(port)), [int(first), int(first)])
        if at[1] != int(first):
            raise Failure('line %s to %s:%s: %s follows %d' % (source, target, port, first, at[1] - 1))
        at[1] = int(first) + int(count)
    return seen


def publish(c, name, count, principal=PRINCIPAL, rate=RATE):
    c._write(name + '.lines', ''.join('%s %d\n' % (name, k) for k in range(count)))
    return c.publish(c.path(name + '.lines'), name, principal, '--keep', '--rate', rate, form='lines')


def finished(c, process, name, timeout=60):
    try:
        code = process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure('publish %s still waits: %s' % (name, read(c.path(name + '.err'))[-200:])) from None
    if code != 0:
        raise Failure('publish %s: exit %d: %s' % (name, code, read(c.path(name + '.err'))[-200:]))


def next_number(c):
    c.wait_equal()
    return c.status(c.leader())['feed_next']


def check_subscribers(c):
    """The second line is there from the reload on and gone after the next; the first has all."""
    begin = next_number(c)
    capture = c.capture('reload.pcap', 'udp port %d or udp port %d' % (LINE_PORT, SECOND_LINE))
    added = ['destination added %s:%d' % (CLIENT_IP, SECOND_LINE)]
    removed = [added[0].replace('added', 'removed')]
    publisher = publish(c, 'flow', 6 * RATE)
    time.sleep(1.0)
    for i in c.ids():
        configure(c, i, more)
        if i == 2:
            hang_up(c, i, '+destination %s:%d' % (CLIENT_IP, SECOND_LINE))
        else:
            reload(c, i, added)
    reload(c, 1, [])
    time.sleep(1.0)
    for i in c.ids():
        configure(c, i, lambda text: text)
        if i == 2:
            hang_up(c, i, '-destination %s:%d' % (CLIENT_IP, SECOND_LINE))
        else:
            reload(c, i, removed)
    left = c.status(c.leader())['feed_next']
    if publisher.poll() is not None:
        raise Failure('all messages had gone before the last reload: nothing is shown')
    finished(c, publisher, 'flow')
    end = next_number(c)
    time.sleep(0.5)
    c.stop_capture(capture, 'reload.pcap')
    seen = lines_seen(c, 'reload.pcap')
    for i in c.ids():
        old, new = seen.get((c.ip(i), CLIENT_IP, LINE_PORT)), seen.get((c.ip(i), CLIENT_IP, SECOND_LINE))
        if old != [begin, end]:
            raise Failure('line of replica %d: %s, not %s' % (i, old, [begin, end]))
        if new is None or not begin < new[0] < new[1] <= left + RATE or new[1] - new[0] < RATE // 2:
            raise Failure('second line of replica %d: %s of %d..%d..%d' % (i, new, begin, left, end))
    first = seen[(c.ip(1), CLIENT_IP, SECOND_LINE)]
    print('ok    a subscriber added and taken out while %d messages flow: it has %d to %d without a gap, '
          'the others all' % (end - begin, first[0], first[1] - 1))


def refused(c, i, why):
    done = run(c.program('keelctl'), '-s', c.path('admin-%d.sock' % i), 'config', 'reload', check=False)
    if done.returncode != REFUSED or why not in done.stderr or 'nothing was changed' not in done.stderr:
        raise Failure('reload of replica %d: exit %d: %s; not %s' % (
            i, done.returncode, done.stderr.strip(), why))


def check_refused(c):
    """Beside each mistake stands a good new subscriber, which must not come into force."""
    begin = next_number(c)
    capture = c.capture('refused.pcap', 'udp port %d or udp port %d' % (LINE_PORT, SECOND_LINE))
    conf = c.path('keeld-1.conf')
    configure(c, 1, lambda text: more(text) + '[feed]\nconsumer = %s\n' % CLIENT_IP)
    line = len(read(conf).splitlines())
    refused(c, 1, "%s:%d: [feed] has no key 'consumer'" % (conf, line))
    configure(c, 1, lambda text: more(text).replace('heartbeat_ms = 200', 'heartbeat_ms = 201'))
    refused(c, 1, 'needs a restart: [feed] heartbeat_ms')
    hang_up(c, 1, 'needs a restart: [feed] heartbeat_ms')
    configure(c, 1, more)
    os.chmod(c.path('replica-1.key'), 0o644)
    refused(c, 1, 'chmod 600')
    os.chmod(c.path('replica-1.key'), 0o600)
    finished(c, publish(c, 'after', 500, rate=5000), 'after')
    end = next_number(c)
    time.sleep(0.5)
    c.stop_capture(capture, 'refused.pcap')
    seen = lines_seen(c, 'refused.pcap')
    if any(port == SECOND_LINE for _, _, port in seen):
        raise Failure('a refused file came into force: %s' % seen)
    if seen.get((c.ip(1), CLIENT_IP, LINE_PORT)) != [begin, end]:
        raise Failure('line of replica 1: %s, not %s' % (seen, [begin, end]))
    configure(c, 1, lambda text: text)
    reload(c, 1, [])
    print('ok    a typo, a setting that needs a restart and an open key file are refused, and nothing changes')


def section(c, *words):
    return run(c.program('keelctl'), 'key', 'new', *words).stdout


def key_line(text):
    return [line for line in text.splitlines() if line.startswith('key = ')][0]


def give_keys(c, change, row):
    """Changes the client's section in every replica's file, and reloads one replica after the other."""
    for i in c.ids():
        name = 'replica-%d.key' % i
        c._write(name, change(read(c.path(name))), 0o600)
        reload(c, i, [row] if row else None)


def check_keys(c):
    """A client's key rolls over by reloads; the old one is worth nothing afterwards, the new one works."""
    row = 'key changed client %d' % ROLLING
    mine = c.path('client-%d.key' % ROLLING)
    old, new = read(mine), section(c, 'client', ROLLING)
    both = key_line(old) + '\n' + key_line(new).replace('key', 'key_next', 1)
    give_keys(c, lambda text: text.replace(key_line(old), both), row)
    finished(c, publish(c, 'old-key', 200, ROLLING), 'old-key')
    c._write('client-%d.key' % ROLLING, new, 0o600)
    finished(c, publish(c, 'new-key', 200, ROLLING), 'new-key')
    c._write('client-%d.key' % ROLLING, old, 0o600)
    late = publish(c, 'withdrawn', 100000, ROLLING, rate=1000)
    time.sleep(1.0)
    give_keys(c, lambda text: text.replace(both, key_line(new)), row)
    leader = c.leader()
    time.sleep(0.5)
    before = c.status(leader)['feed_next']
    time.sleep(1.0)
    if c.status(leader)['feed_next'] != before or late.poll() is not None:
        raise Failure('messages under a withdrawn key are still taken: %d, then %d' % (
            before, c.status(leader)['feed_next']))
    late.kill()
    late.wait()
    c._write('refused.lines', 'x\n')
    shut = c.publish(c.path('refused.lines'), 'shut-out', ROLLING, '--open-wait', 3, form='lines')
    if shut.wait(timeout=30) == 0:
        raise Failure('a withdrawn key opens a session')
    c._write('client-%d.key' % ROLLING, new, 0o600)
    finished(c, publish(c, 'rolled', 200, ROLLING), 'rolled')
    c.wait_equal()
    print('ok    a client\'s key rolls over; withdrawn, it ends its association and opens no other')


def check_reload(c):
    check_subscribers(c)
    check_refused(c)
    check_keys(c)
