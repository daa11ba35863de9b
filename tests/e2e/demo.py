"""./dev demo: Keel's main job on real parts, and its proof.

Three keeld replicas on separate network stacks order, persist and publish a message stream while the
leader and then the gateway are killed. The judge decides over rings, gateway log and captures.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import demo_input  # noqa: E402
from cluster import Cluster, Failure, read, run, stats  # noqa: E402
from demo_faults import Faults  # noqa: E402
from demo_report import Report  # noqa: E402
from demo_watch import Watch, say, tail  # noqa: E402

COUNT = 200000          # messages, generated or taken from FILE
COUNT_MAX = 1000000
STREAM_SECONDS = 22.0
PAGE = 4096


def interrupted(number, frame):
    raise KeyboardInterrupt


class Demo(Faults, Report):
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
            raise Failure('the demo needs %.1f GB in %s, %.1f GB are free: say --count with fewer messages, '
                          'or KEEL_SCRATCH=DIRECTORY' % (needed / 1e9, self.c.dir, free / 1e9))

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

    # --- the run -------------------------------------------------------------------------------

    def finish(self, consumer, capture):
        c = self.c
        if self.process.wait(timeout=30) != 0:
            raise Failure('the gateway ends with %d: %s' % (
                self.process.returncode, read(c.path('gateway.err'))[-300:]))
        self.step('all %d messages acknowledged' % self.total)
        while self.catching is not None:
            self.catch_up()
            time.sleep(0.05)
        self.watch.take(self.figures())
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
        self.handed = [sum(c.status(i)[word] for i in c.ids())
                       for word in ('transfers_by_drive', 'transfers_by_link')]
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
        self.report_figures()
        self.report_pauses()
        self.resumed()
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
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    code = perform(options)
    if code == 0:
        say('demo: all of it holds')
    return code


if __name__ == '__main__':
    sys.exit(main())
