"""./dev demo: Keel's main job on real parts, and its proof.

Three keeld replicas on separate network stacks order, persist and publish a trading day's opening while
the leader and then the gateway are killed. The judge decides over rings, gateway log and captures.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import (CLIENT_IP, LINE_PORT, REQUEST_PORT, Cluster, Failure, read, run,  # noqa: E402
                     stats)

ELECTION_MS = 150
STREAM_SECONDS = 22.0
RING = '256M'  # holds the whole run, so that the judge sees its first page
HERE = os.path.dirname(os.path.abspath(__file__))


def say(text=''):
    print(text, flush=True)


def interrupted(number, frame):
    raise KeyboardInterrupt


class Demo:
    def __init__(self, cluster, options):
        self.c, self.options = cluster, options
        self.began = time.monotonic()
        self.kill_ns = {}

    def step(self, text):
        say('[%5.1f s] %s' % (time.monotonic() - self.began, text))

    # --- the stream ----------------------------------------------------------------------------

    def stream(self):
        """Path, format, number of messages."""
        c = self.c
        if self.options.file is None:
            path = c.path('day.bin')
            run(c.program('gen_day'), '--count', self.options.count, '--output', path)
            return path, 'length-prefixed', self.options.count
        with open(self.options.file, 'rb') as file:
            data = file.read()
        at = count = 0
        while at + 2 <= len(data):
            size = int.from_bytes(data[at:at + 2], 'big')
            if size == 0 or at + 2 + size > len(data):
                break
            at += 2 + size
            count += 1
        if data and at == len(data):
            return self.options.file, 'length-prefixed', count
        lines = [line for line in data.split(b'\n') if line]
        if not lines:
            raise Failure('%s holds no message' % self.options.file)
        return self.options.file, 'lines', len(lines)

    def gateway(self, path, form, count):
        rate = max(500, int(count / self.options.seconds))
        return self.c.publish(path, 'gateway', 100, '--rate', rate, '--gaps', 5, form=form)

    def figures(self):
        return stats(self.c.path('gateway.stats')) or {}

    def answered(self):
        return self.figures().get('session', {}).get('answered', 0)

    def wait_answered(self, wanted, process, timeout=90.0):
        until, shown = time.monotonic() + timeout, 0.0
        while time.monotonic() < until:
            f = self.figures()
            done = f.get('session', {}).get('answered', 0)
            if done >= wanted:
                return done
            if process.poll() is not None and process.returncode != 0:
                raise Failure('the gateway ended with exit %d: %s' % (
                    process.returncode, read(self.c.path('gateway.err'))[-300:]))
            if process.poll() is not None:
                return self.answered()
            if time.monotonic() - shown > 2 and done:
                shown = time.monotonic()
                latency = f.get('latency_ns', {})
                self.step('%7d acknowledged  %7.0f msg/s  %5.2f MB/s  p50 %.2f ms' % (
                    done, f.get('messages_per_second', 0), f.get('bytes_per_second', 0) / 1e6,
                    latency.get('p50', 0) / 1e6))
            time.sleep(0.05)
        raise Failure('%d messages acknowledged within %g s, %d wanted' % (
            self.answered(), timeout, wanted))

    # --- the faults ----------------------------------------------------------------------------

    def kill_leader(self, process):
        c = self.c
        leader = c.leader()
        before = self.answered()
        at_ns = time.time_ns()
        c.kill(leader)
        self.step('SIGKILL to the leader, replica %d, after %d messages' % (leader, before))
        until = time.monotonic() + 20
        pause = None
        while time.monotonic() < until and pause is None:
            for p in self.figures().get('pauses', []):
                end_ns = p['began_utc_ns'] + p['ns']
                if end_ns > at_ns and p['began_utc_ns'] < at_ns + 200000000:
                    pause = (end_ns - at_ns) / 1e6
            if self.answered() > before + 2000 and pause is None:
                pause = 0.0
            if process.poll() is not None and pause is None:
                break
            time.sleep(0.02)
        if pause is None:
            raise Failure('no message was acknowledged within 20 s of the leader\'s end')
        say('          next commit %.0f ms after the kill, seen by the gateway (limit: 10 election '
            'timeouts = %d ms); replica %d leads' % (pause, 10 * ELECTION_MS, c.leader()))
        if pause > 10 * ELECTION_MS:
            raise Failure('fail-over took %.0f ms, more than 10 election timeouts' % pause)
        return leader

    def restart(self, replica):
        c = self.c
        c.start(replica)
        self.step('replica %d is started again' % replica)
        until = time.monotonic() + 30
        shown = 0
        while time.monotonic() < until:
            status, leader = c.status(replica), c.status(c.leader())
            if status and leader:
                lag = leader['commit_index'] - status['applied_index']
                if shown < 4 or lag < 50:
                    say('          replica %d applied %d of %d, %d behind' % (
                        replica, status['applied_index'], leader['commit_index'], max(lag, 0)))
                    shown += 1
                if lag < 50:
                    return
            time.sleep(0.1)
        raise Failure('replica %d did not catch up within 30 s' % replica)

    def kill_gateway(self, process, path, form, count):
        before = self.figures()
        subprocess.run(['pkill', '-KILL', '-s', str(process.pid)], check=False)
        process.kill()
        process.wait()
        self.step('SIGKILL to the gateway in mid-window: %d submitted, %d answered' % (
            before['session']['submitted'], before['session']['answered']))
        self.first_life = before
        os.unlink(self.c.path('gateway.stats'))
        return self.gateway(path, form, count)

    # --- the end -------------------------------------------------------------------------------

    def samples(self):
        shown = [line for line in read(self.c.path('consumer.out')).splitlines() if line][:4]
        say('the first sequenced messages, as a consumer decodes them:')
        for line in shown:
            say('  ' + line[:116])

    def latency(self):
        for name, f in (('before', self.first_life), ('after ', self.figures())):
            latency = f['latency_ns']
            say('gateway %s its restart: %8d messages  %7.0f msg/s  %5.2f MB/s  acknowledged in p50 '
                '%.2f ms  p99 %.2f ms  p99.9 %.2f ms' % (
                    name, f['session']['answered'], f['messages_per_second'],
                    f['bytes_per_second'] / 1e6, latency['p50'] / 1e6, latency['p99'] / 1e6,
                    latency['p999'] / 1e6))

    def tshark(self):
        done = run('tshark', '-r', self.c.path('feed.pcap'), '-d',
                   'udp.port==%d,moldudp64' % LINE_PORT, '-Y',
                   'moldudp64.count.invalid or moldudp64.msglen.invalid or '
                   'moldudp64.end_of_session_extra', check=False, timeout=120)
        if done.returncode != 0 or done.stdout.strip():
            raise Failure('tshark finds malformed feed packets: %s' % (
                done.stdout or done.stderr)[:300])
        say('tshark     every feed packet is well-formed MoldUDP64')

    def sabotage(self):
        done = run(sys.executable, os.path.join(HERE, '..', 'judge', 'sabotage.py'),
                   self.options.sabotage, self.c.dir, '--feed-port', LINE_PORT)
        say('sabotage   %s' % done.stdout.strip().replace('\n', '\n           '))

    def verdict(self):
        if self.options.sabotage:
            self.sabotage()
        done = self.c.judge()
        say()
        say(done.stdout.rstrip())
        if done.stderr.strip():
            say(done.stderr.strip())
        return done.returncode

    def run(self):
        c = self.c
        path, form, count = self.stream()
        self.step('three network stacks, a bridge, a client host')
        c.network()
        self.step('hugepages: ' + c.hugepages())
        self.step('format three rings of %s, build and install the genesis record' % c.ring)
        c.format()
        c.start_all()
        leader = c.leader()
        self.step('replica %d leads in term %d' % (leader, c.status(leader)['term']))
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'decode', '--count', count + 1)
        process = self.gateway(path, form, count)
        self.step('publishing %d messages (%s)' % (count, form))
        self.wait_answered(count // 5, process)
        dead = self.kill_leader(process)
        self.wait_answered(count * 2 // 5, process)
        self.restart(dead)
        self.wait_answered(count * 3 // 5, process)
        process = self.kill_gateway(process, path, form, count)
        self.wait_answered(count, process)
        if process.wait(timeout=30) != 0:
            raise Failure('the gateway ends with %d: %s' % (
                process.returncode, read(c.path('gateway.err'))[-300:]))
        self.step('all %d messages acknowledged' % count)
        index = c.wait_equal()
        self.step('the three replicas have equal digests at index %d' % index)
        try:
            if consumer.wait(timeout=15) != 0:
                raise Failure('the consumer ends with %d: %s' % (
                    consumer.returncode, read(c.path('consumer.err'))[-300:]))
        except subprocess.TimeoutExpired:
            raise Failure('the consumer still waits for messages: %s' % stats(
                c.path('consumer.stats'))) from None
        c.stop_capture(capture)
        c.stop_all()
        self.step('stopped; now the evidence')
        say()
        self.samples()
        self.latency()
        self.tshark()
        return self.verdict()


def main():
    parser = argparse.ArgumentParser(prog='./dev demo', description=__doc__.splitlines()[0])
    parser.add_argument('file', nargs='?', help='messages to publish: u16 big-endian length + payload, '
                        'or lines of text (default: a generated opening)')
    parser.add_argument('--count', type=int, default=200000, help='messages to generate')
    parser.add_argument('--seconds', type=float, default=STREAM_SECONDS,
                        help='spread the stream over this time (default %(default)s)')
    parser.add_argument('--sabotage', choices=('drop', 'dup', 'swap', 'flip'),
                        help='damage the evidence in one place; must end with exit 1')
    parser.add_argument('--port', choices=('af_packet', 'af_xdp'), default='af_packet')
    parser.add_argument('--keep', metavar='DIR', help='leave the evidence in this (new) directory')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file and not os.path.isfile(options.file):
        parser.error('%s: no such file' % options.file)
    signal.signal(signal.SIGTERM, interrupted)
    if options.keep:
        os.makedirs(options.keep)
    cluster = Cluster(options.build, ring=RING, port=options.port, directory=options.keep)
    demo = Demo(cluster, options)
    try:
        code = demo.run()
    except Failure as failure:
        say('\nFAILED: %s' % failure)
        for i in cluster.ids():
            tail = cluster.log_tail(i, 4)
            if tail:
                say('replica %d said last:\n%s' % (i, tail.rstrip()))
        code = 1
    except KeyboardInterrupt:
        say('\ninterrupted: cleaning up')
        code = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cluster.close(keep=bool(options.keep))
    if code == 0:
        say('demo: all of it holds')
    return code


if __name__ == '__main__':
    sys.exit(main())
