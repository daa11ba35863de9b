"""./dev demo: Keel's main job on real parts, and its proof.

Three keeld replicas on separate network stacks order, persist and publish a message stream while the
leader and then the gateway are killed. The judge decides over rings, gateway log and captures.
"""

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import demo_input  # noqa: E402
from cluster import LINE_PORT, Cluster, Failure, read, run, stats  # noqa: E402
from demo_watch import Watch, lives, tail  # noqa: E402

LIMIT_MS = 10 * 150     # ten election timeouts
COUNT = 200000          # messages, generated or taken from FILE
COUNT_MAX = 1000000
STREAM_SECONDS = 22.0
PAGE = 4096
OUTSTANDING = 16        # messages that the gateway waits for when it is killed, at least
DEAF_SECONDS = 0.04
LEADER_TRIES = 3        # kills, when it had just lost leadership by itself


def say(text=''):
    print(text, flush=True)


def interrupted(number, frame):
    raise KeyboardInterrupt


class Demo:
    def __init__(self, cluster, options):
        self.c, self.options = cluster, options
        self.began = time.monotonic()
        self.watch = Watch()
        self.process = None     # the gateway
        self.shown = 0.0
        self.catching = None    # replica that was started again
        self.first_life = {}

    def step(self, text):
        say('[%5.1f s] %s' % (time.monotonic() - self.began, text))

    # --- the stream ----------------------------------------------------------------------------

    def stream(self):
        c, o = self.c, self.options
        source = o.file
        if source is None:
            source = c.path('a generated day')
            run(c.program('gen_day'), '--count', o.count, '--output', source, timeout=120)
        stream = demo_input.take(source, c.path('day.bin'), o.count)
        if o.file is None:
            os.unlink(source)
        return stream

    def choose_ring(self, total):
        """No page holds less than a message, but for one seal in each quiet millisecond: so the whole run
        stays in the rings, and the judge sees its first page."""
        pages = total + min(total, int(self.options.seconds * 1000)) + 8192
        self.c.ring = '%dM' % -(-pages * PAGE >> 20)
        needed = self.c.size * pages * PAGE + 1200 * total + 6 * demo_input.BYTES_MAX
        free = shutil.disk_usage(self.c.dir).free
        if free < needed:
            raise Failure('the demo needs %.1f GB in %s, %.1f GB are free: say --count with fewer messages, or '
                          'KEEL_SCRATCH=DIRECTORY' % (needed / 1e9, self.c.dir, free / 1e9))

    def gateway(self):
        rate = max(1, int(self.total / self.options.seconds))
        self.process = self.c.publish(self.c.path('day.bin'), 'gateway', 100, '--rate', rate, '--gaps', 50)

    def answered(self):
        return tail(self.c.path('gateway.log'))[1]

    def figures(self):
        return stats(self.c.path('gateway.stats')) or {}

    def gateway_lives(self, wanted):
        """False when it has done all; fails when it ended otherwise."""
        if self.process.poll() is None:
            return True
        if self.process.returncode == 0 and wanted == self.total:
            return False
        raise Failure('the gateway ended with exit %d at message %d, before the next step at %d: %s' % (
            self.process.returncode, self.answered(), wanted, read(self.c.path('gateway.err'))[-300:]))

    def progress(self, done):
        f = self.figures()
        if time.monotonic() - self.shown < 2 or not f.get('acknowledged'):
            return
        self.shown = time.monotonic()
        self.step('%7d acknowledged  %7.0f msg/s  %5.2f MB/s  p50 %.2f ms' % (
            done, f['messages_per_second'], f['bytes_per_second'] / 1e6, f['latency_ns']['p50'] / 1e6))

    def wait_answered(self, wanted):
        until = time.monotonic() + self.options.seconds + 60
        while time.monotonic() < until:
            done = self.answered()
            alive = self.gateway_lives(wanted)
            if done >= wanted or not alive:
                return
            self.progress(done)
            self.catch_up()
            time.sleep(0.02)
        raise Failure('%d messages acknowledged, %d wanted by now' % (self.answered(), wanted))

    # --- the leader ----------------------------------------------------------------------------

    def reigns(self, since_ns):
        """Who led when, as the gateway has it, not older than that."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            self.gateway_lives(0)
            try:
                saved_ns = os.stat(self.c.path('gateway.stats')).st_mtime_ns
            except OSError:
                saved_ns = 0
            leaders = self.figures().get('leaders')
            if saved_ns > since_ns and leaders:
                return leaders
            time.sleep(0.02)
        raise Failure('the gateway has written no figures for 20 s')

    def agreed_leader(self):
        """The leader, by its own word and by the gateway's last acknowledgement."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            asked_ns = time.time_ns()
            led = self.reigns(asked_ns)[-1]['leader']
            if led == self.c.leader():
                return led
        raise Failure('leader and gateway did not agree within 20 s who leads')

    def next_reign(self, at_ns, killed):
        """First acknowledgement that came after the kill and from another leader; None: the last one before
        the kill was not the killed replica's, so that its death is no fail-over of the gateway's."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            leaders = self.reigns(at_ns)
            before = [entry for entry in leaders if entry['began_utc_ns'] <= at_ns]
            after = [entry for entry in leaders if entry['began_utc_ns'] > at_ns
                     and entry['leader'] != killed]
            if before and before[-1]['leader'] != killed:
                return None
            if after:
                return after[0]
            time.sleep(0.05)
        raise Failure('no message was acknowledged within 20 s of the leader\'s end')

    def kill_leader(self):
        c = self.c
        for _ in range(LEADER_TRIES):
            leader = self.agreed_leader()
            at_ns = time.time_ns()
            c.kill(leader)
            self.watch.fault('replica %d, the leader, was killed' % leader, at_ns)
            self.watch.kills.append(at_ns)
            self.step('SIGKILL to the leader, replica %d, after %d messages' % (leader, self.answered()))
            reign = self.next_reign(at_ns, leader)
            if reign is not None:
                break
            say('          leadership was just moving by itself: replica %d is started again, the leader '
                'sought anew' % leader)
            c.start(leader)
            c.wait_caught_up(leader)
        else:
            raise Failure('leadership moved by itself %d times, each time just before the kill' %
                          LEADER_TRIES)
        took_ms = (reign['began_utc_ns'] - at_ns) / 1e6
        self.watch.expected.add(reign['began_utc_ns'])
        say('          next commit %.1f ms after the kill, taken by the gateway from replica %d as number %d '
            '(limit: 10 election timeouts = %d ms)' % (
                took_ms, reign['leader'], reign['number'], LIMIT_MS))
        if not 0 < took_ms <= LIMIT_MS:
            raise Failure('fail-over took %.0f ms, more than 10 election timeouts' % took_ms)
        return leader

    def restart(self, replica):
        self.c.start(replica)
        self.step('replica %d is started again' % replica)
        fault = self.watch.fault('replica %d was starting and catching up' % replica, time.time_ns(),
                                 sharp=False)
        self.catching = {'replica': replica, 'until': time.monotonic() + 30, 'next': 0.0, 'shown': 0,
                         'fault': fault}

    def catch_up(self):
        """Looks now and then until the replica that was started again has what the leader has."""
        catching = self.catching
        if catching is None or time.monotonic() < catching['next']:
            return
        if time.monotonic() > catching['until']:
            raise Failure('replica %d did not catch up within 30 s' % catching['replica'])
        catching['next'] = time.monotonic() + 0.1
        status, leader = self.c.status(catching['replica']), self.c.status(self.c.leader())
        if not status or not leader:
            return
        lag = max(leader['commit_index'] - status['applied_index'], 0)
        done = status['leader'] != 0 and lag < 50
        if done or catching['shown'] < 4:
            say('          replica %d applied %d of %d, %d behind' % (
                catching['replica'], status['applied_index'], leader['commit_index'], lag))
            catching['shown'] += 1
        if done:
            catching['fault'][1] = time.time_ns()
            self.catching = None

    # --- losses, and the gateway ---------------------------------------------------------------

    def lose(self):
        """The feed and the results of a few moments."""
        fault = self.watch.fault('nothing reached the client host', time.time_ns())
        self.c.deaf(DEAF_SECONDS)
        fault[1] = time.time_ns()
        self.step('nothing reached the client host for %.0f ms: results and feed of that time are lost' % (
            (fault[1] - fault[0]) / 1e6))

    def kill_gateway(self):
        """In mid-window: what it submitted last is lost on its way, and it dies waiting for it."""
        c, log = self.c, self.c.path('gateway.log')
        lost_ns = time.time_ns()
        c.mute()
        try:
            until = time.monotonic() + 10
            while True:
                submitted, answered = tail(log)
                if submitted - answered >= OUTSTANDING:
                    break
                self.gateway_lives(0)
                if time.monotonic() > until:
                    raise Failure('the gateway had never %d messages outstanding' % OUTSTANDING)
                time.sleep(0.001)
            self.process.kill()
            at_ns = time.time_ns()
            self.process.wait()
        finally:
            c.unmute()
        submitted, answered = tail(log)
        if submitted <= answered:
            raise Failure('nothing was outstanding when the gateway was killed')
        self.step('SIGKILL to the gateway in mid-window: %d submitted, %d answered: %d outstanding, the last of '
                  'them lost on their way' % (submitted, answered, submitted - answered))
        self.watch.fault('the gateway\'s packets were lost, then it was killed', lost_ns, at_ns)
        self.first_life = self.figures()
        self.watch.take(self.first_life)
        os.unlink(c.path('gateway.stats'))
        self.gateway()
        self.killed_ns, self.outstanding = at_ns, submitted - answered

    def resumed(self):
        """After the end: what the second process did."""
        figures = self.figures()
        self.watch.take(figures)
        took_ms = (figures['leaders'][0]['began_utc_ns'] - self.killed_ns) / 1e6
        life = lives(self.c.path('gateway.log'))[1]
        if life.again == 0:
            raise Failure('the restarted gateway submitted nothing again, though %d messages were outstanding' %
                          self.outstanding)
        say('the restarted gateway resumed its session: of %d outstanding messages it had %d results from the '
            'resume and submitted %d again; first acknowledgement %.0f ms after the kill' % (
                self.outstanding, life.kept, life.again, took_ms))

    # --- the end -------------------------------------------------------------------------------

    def samples(self):
        say('the first sequenced messages, as a consumer decodes them:')
        with open(self.c.path('consumer.out'), errors='replace') as file:
            for line in itertools.islice(file, 4):
                say('  ' + line.rstrip('\n')[:116])

    def report_figures(self):
        for name, f, life in zip(('before', 'after '), (self.first_life, self.figures()),
                                 lives(self.c.path('gateway.log'))):
            latency = f['latency_ns']
            say('gateway %s its restart: %7d messages  %6.0f msg/s  %5.2f MB/s  acknowledged in p50 %.2f ms  '
                'p99 %.2f ms  p99.9 %.2f ms; %d messages sent again' % (
                    name, life.acks, f['messages_per_second'], f['bytes_per_second'] / 1e6,
                    latency['p50'] / 1e6, latency['p99'] / 1e6, latency['p999'] / 1e6,
                    f['network']['messages_resent']))
        consumer = stats(self.c.path('consumer.stats')) or {}
        say('consumer: %d messages, %d gaps closed by %d requests, %d messages came by request' % (
            consumer['messages'], consumer['gaps'], consumer['requests'], consumer['first_server']))

    def report_pauses(self):
        pauses = self.watch.pauses(self.c.path('gateway.err'))
        surprises = self.watch.surprises()
        say('pauses of 100 ms and more in acknowledgements (seconds since the start):%s' % (
            '' if pauses else ' none'))
        for pause in pauses:
            say('  ' + self.watch.words(pause))
        if surprises:
            say('leaders that changed by themselves:')
        for line in surprises:
            say(line)
        say('terms: %d at the start, %d at the end' % self.terms)
        for kill_ns in self.watch.kills:
            longest_ms = self.watch.after(kill_ns, pauses)
            if longest_ms > LIMIT_MS:
                raise Failure('a pause ended %.0f ms after the leader was killed, more than 10 election '
                              'timeouts' % longest_ms)

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
        notes = [line for line in done.stdout.splitlines() if line.startswith('note ')]
        if done.returncode == 0 and notes:
            raise Failure('not all was shown: %s' % ' '.join(notes[0].split()[1:]))
        return done.returncode

    def finish(self, consumer, capture):
        c = self.c
        if self.process.wait(timeout=30) != 0:
            raise Failure('the gateway ends with %d: %s' % (
                self.process.returncode, read(c.path('gateway.err'))[-300:]))
        self.step('all %d messages acknowledged' % self.total)
        while self.catching is not None:
            self.catch_up()
            time.sleep(0.05)
        index = c.wait_equal()
        self.step('the three replicas have equal digests at index %d' % index)
        try:
            if consumer.wait(timeout=15) != 0:
                raise Failure('the consumer ends with %d: %s' % (
                    consumer.returncode, read(c.path('consumer.err'))[-300:]))
        except subprocess.TimeoutExpired:
            raise Failure('the consumer still waits for messages: %s' % stats(
                c.path('consumer.stats'))) from None
        self.terms = (self.terms, c.status(c.leader())['term'])
        c.stop_capture(capture)
        c.stop_all()
        self.step('stopped; now the evidence')
        say()

    def run(self):
        c = self.c
        stream = self.stream()
        self.total = stream.total()
        self.choose_ring(self.total)
        self.step('three network stacks, a bridge, a client host')
        c.network()
        self.step('hugepages: ' + c.hugepages())
        self.step('format three rings of %s, build and install the genesis record' % c.ring)
        c.format()
        c.start_all()
        leader = c.leader()
        self.terms = c.status(leader)['term']
        self.step('replica %d leads in term %d' % (leader, self.terms))
        capture = c.capture()
        consumer = c.follow('consumer', '--format', 'decode', '--count', self.total + 1)
        self.gateway()
        self.step('publishing ' + stream.words())
        self.wait_answered(self.total // 5)
        dead = self.kill_leader()
        self.wait_answered(self.total * 2 // 5)
        self.restart(dead)
        self.wait_answered(self.total // 2)
        self.lose()
        self.wait_answered(self.total * 3 // 5)
        self.kill_gateway()
        self.wait_answered(self.total)
        self.finish(consumer, capture)
        self.samples()
        self.resumed()
        self.report_figures()
        self.report_pauses()
        self.tshark()
        return self.verdict()


def arguments():
    parser = argparse.ArgumentParser(prog='./dev demo', description=__doc__.splitlines()[0])
    parser.add_argument('file', nargs='?', help='messages to publish: u16 big-endian length + payload, '
                        'or lines of text; its first --count messages, at most %d MB (default: a generated '
                        'opening of a trading day)' % (demo_input.BYTES_MAX >> 20))
    parser.add_argument('--count', type=int, default=COUNT, help='messages to generate, or to take from '
                        'FILE, 1 to %d (default %%(default)s)' % COUNT_MAX)
    parser.add_argument('--seconds', type=float, default=STREAM_SECONDS,
                        help='spread the stream over this time, 5 to 600 (default %(default)s)')
    parser.add_argument('--sabotage', choices=('drop', 'dup', 'swap', 'flip'),
                        help='damage the evidence in one place; must end with exit 1')
    parser.add_argument('--port', choices=('af_packet', 'af_xdp'), default='af_packet')
    parser.add_argument('--keep', metavar='DIR', help='leave the evidence in this (new) directory')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.count <= COUNT_MAX:
        parser.error('--count %d: give 1 to %d' % (options.count, COUNT_MAX))
    if not 5 <= options.seconds <= 600:
        parser.error('--seconds %g: give 5 to 600' % options.seconds)
    if options.file and not os.path.exists(options.file):  # ./dev goes to the project's folder
        options.file = os.path.join(os.environ.get('OLDPWD', ''), options.file)
    try:
        if options.keep:
            os.makedirs(options.keep)
    except OSError as problem:
        parser.error('--keep %s: %s: name a directory that does not exist' % (
            options.keep, problem.strerror))
    return options


def perform(options):
    cluster = None
    try:
        cluster = Cluster(options.build, port=options.port, directory=options.keep)
        code = Demo(cluster, options).run()
    except demo_input.InputError as problem:
        say('./dev demo: %s' % problem)
        code = 2
    except Failure as failure:
        say('\nFAILED: %s' % failure)
        for i in cluster.ids():
            last = cluster.log_tail(i, 4)
            if last:
                say('replica %d said last:\n%s' % (i, last.rstrip()))
        code = 1
    except KeyboardInterrupt:
        say('\ninterrupted: cleaning up')
        code = 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if cluster is not None:
            cluster.close(keep=bool(options.keep))
    return code


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    code = perform(options)
    if code == 0:
        say('demo: all of it holds')
    return code


if __name__ == '__main__':
    sys.exit(main())
