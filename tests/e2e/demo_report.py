"""What ./dev demo tells at its end: figures, pauses, the opinions of tshark and of the judge."""

import itertools
import os
import sys

from cluster import LINE_PORT, Failure, run, stats
from demo_faults import LIMIT_MS
from demo_watch import lives, say

HERE = os.path.dirname(os.path.abspath(__file__))


class Report:
    """Part of Demo."""

    def samples(self):
        say('the first sequenced messages, as a consumer decodes them:')
        with open(self.c.path('consumer.out'), errors='replace') as file:
            for line in itertools.islice(file, 4):
                say('  ' + line.rstrip('\n')[:116])

    def resumed(self):
        """After the end: what the second process did."""
        took_ms = (self.figures()['leaders'][0]['began_utc_ns'] - self.killed_ns) / 1e6
        life = lives(self.c.path('gateway.log'))[1]
        say('the restarted gateway resumed its session: of %d outstanding messages it had %d results from '
            'the resume and submitted %d again; first acknowledgement %.0f ms after the kill' % (
                self.outstanding, life.kept, life.again, took_ms))

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
        if sum(self.handed) > 0:
            say('handed over since the replicas\' last starts: %d because the own drive lagged, %d because '
                'another voter was so much nearer to a majority' % tuple(self.handed))
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
