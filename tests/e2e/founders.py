"""Servers that are to found a cluster by themselves, for genesis.py: their lists, what stands on their drives,
what they say, and the rules that hold whatever happened."""

import json
import os
import signal
import time

from cluster import PORT, Cluster, Failure, read, run
from parts import ELECTION_MS

EVENT = 'event=genesis'
DRIVE_US = 5000
LIMITS = {'election_min_ms': ELECTION_MS, 'heartbeat_ms': 50, 'stall_ms': 200}
FOUNDED_S = 60  # a watchdog, and no promise: this machine may be busy with other things


class Founders(Cluster):
    def __init__(self, build, size=3, seed=None, all_keys=True):
        super().__init__(build, size=size, ring='16M', checkpoint='4M', pages='no')
        self.network(seed)
        self.lines, self.marks = {}, {}
        # Drives that take a while: a kill comes between two writes, and not behind the last.
        self.daemon, self.drive_us = 'keeld-slow', DRIVE_US
        for i in self.ids():
            self.draw(i)
            self.slow_drive(i, 1)
        if all_keys:
            self._keys_of_all()
        else:
            self._keys()

    def _keys_of_all(self):
        """Each has the keys of all: who founds may have to begin with a lower id that knows nothing of it."""
        text = ''.join(run(self.program('keelctl'), 'key', 'new', 'replica', i).stdout for i in self.ids())
        for i in self.ids():
            self._write('replica-%d.key' % i, text, 0o600)

    def draw(self, i):
        """Formats, anew if need be: another incarnation."""
        words = dict(word.split('=') for word in self.format_one(
            i, *(['--force'] if os.path.exists(self.ring_path(i)) else [])).split())
        self.lines[i] = '%s@%s' % (words['incarnation'], words['address'])

    def list_of(self, *ids, **changed):
        """The founder list of these servers as they are now; changed: _3='...' in the place of 3's line."""
        return {j: changed.get('_%d' % j, self.lines[j]) for j in ids or self.ids()}

    def configure(self, i, lines, day='D1', **limits):
        text = ['[founders]', 'day = %s' % day, *['%d = %s' % line for line in sorted(lines.items())], '[limits]',
                *['%s = %s' % pair for pair in {**LIMITS, **limits}.items()], '']
        self._write('keeld-%d.conf' % i, self.config(i) + '\n'.join(text if lines else text[2:]))

    def configure_all(self, lines):
        for i in self.ids():
            self.configure(i, lines)

    def begin(self, *ids, apart=0.0):
        for i in ids or self.ids():
            self.marks[i] = os.path.getsize(self.path('keeld-%d.log' % i)) if i in self.marks else 0
            self.start(i)
            time.sleep(apart)

    def log_since(self, i):
        """What it logged since its last start."""
        return read(self.path('keeld-%d.log' % i))[self.marks.get(i, 0):]

    def kill_at(self, event, *ids, what=EVENT, timeout=FOUNDED_S):
        """SIGKILL to all of these as soon as the log of one has so many lines of that since its start;
        False: they have fewer, for good."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            texts = [self.log_since(i) for i in ids]
            if any(text.count(what) >= event for text in texts):
                self.kill(*ids)
                return True
            if all('event=started' in text for text in texts):
                return False
            time.sleep(0.001)
        raise Failure('no %d lines %s within %g s: %s' % (event, what, timeout, [self.log_tail(i) for i in ids]))

    # --- what is there ---------------------------------------------------------------------------

    def record(self, i):
        """The genesis record on its drive; None: there is none."""
        done = run(self.program('keelctl'), '--json', 'genesis', 'show', self.ring_path(i), check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)
        if 'no record is installed' not in done.stderr:
            raise Failure('genesis show of %d: %s' % (i, done.stderr.strip()))
        return None

    def said(self, i):
        """`keelctl genesis status` of a server that runs; None: no answer now."""
        _, text = self.ctl(i, 'genesis', 'status')
        try:
            return json.loads(text)
        except ValueError:
            return None

    def reason(self, i):
        said = self.said(i)
        return said and said.get('reason')

    def reasons(self):
        return {i: self.reason(i) for i in self.alive()}

    def wait_reason(self, i, *words, timeout=FOUNDED_S):
        """Until it names one of these reasons; it must stand in its log as well."""
        until, found = time.monotonic() + timeout, None
        while time.monotonic() < until:
            found = self.reason(i)
            if found in words and 'reason=%s ' % found in self.log_since(i):
                return found
            time.sleep(0.05)
        raise Failure('server %d says %s, not %s, within %g s; all: %s' % (
            i, found, ' or '.join(words), timeout, self.reasons()))

    def wait_locked_other(self, i, timeout=FOUNDED_S):
        """True: it has locked another list; False: it has got a record."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.reason(i) == 'locked-other':
                return True
            if self.record(i):
                return False
            time.sleep(0.05)
        raise Failure('server %d says %s' % (i, self.reason(i)))

    # --- the rules -------------------------------------------------------------------------------

    def wait_founded(self, *ids, timeout=FOUNDED_S):
        """Until these run as replicas of one cluster and agree on its state; seconds it took."""
        began = time.monotonic()
        ids = ids or tuple(self.ids())
        while not all(self.reason(i) == 'installed' for i in ids):
            if time.monotonic() - began > timeout:
                raise Failure('no cluster within %g s: %s' % (timeout, self.reasons()))
            time.sleep(0.02)
        self.leader(timeout)
        took = time.monotonic() - began
        self.wait_equal(timeout, ids)
        return took

    def one_or_none(self):
        """No server is named by two clusters, alike or not; every server that runs without a record says
        why. The clusters: id -> servers that have its record."""
        clusters, named = {}, {}
        for i in self.ids():
            record = self.record(i)
            if record is None:
                continue
            clusters.setdefault(record['cluster_id'], []).append(i)
            for founder in record['founders']:
                other = named.setdefault(founder['incarnation'], record['cluster_id'])
                if other != record['cluster_id']:
                    raise Failure('two clusters, %s and %s, name server %s' % (
                        other, record['cluster_id'], founder['replica']))
        having = [i for servers in clusters.values() for i in servers]
        for i in self.alive():
            if i not in having:
                self.wait_why(i)
        return clusters

    def wait_why(self, i, timeout=FOUNDED_S):
        """It says why it has no record, or has got one; it may be about to start, or to go on as a replica."""
        until = time.monotonic() + timeout
        while not self.reason(i) and not self.record(i):
            if time.monotonic() > until:
                raise Failure('server %d has no record and gives no reason: %s' % (i, self.log_tail(i)))
            time.sleep(0.05)

    def hang_up(self, *ids):
        """The configuration is read again."""
        for i in ids or self.alive():
            self.replica[i].send_signal(signal.SIGHUP)

    def address(self, i):
        return '%s:%d' % (self.ip(i), PORT)
