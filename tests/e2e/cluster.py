"""A cluster of real keeld processes in network namespaces, for the demo and the end-to-end tests.

    switch namespace: a bridge, or keel-wire, whose links can be made bad (wire.py)
      replica namespaces 1..N: one end of a veth pair each, no kernel address on it; keeld's DPDK port
      client namespace: kernel sockets at 10.77.0.100; gateway, consumer, capture

Everything that is made has a name of this run and is removed by Cluster.close(), which also runs on
Ctrl-C. Processes are ended by id. Standard library only.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from wire import Wire

PORT, LINE_PORT, REQUEST_PORT = 7400, 7410, 7411
CLIENT_IP = '10.77.0.100'
PRINCIPALS = range(100, 108)
DPDK_RUN = '/run/dpdk'
CLIENT_CABLE = 9  # cables of replicas have the replica's number
HUGEPAGES_EACH = 40  # a replica's window, packet pool and DPDK's own, in pages of 2 MiB


class Failure(Exception):
    """Something that the run has to hold did not."""


def run(*words, check=True, timeout=30, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True,
                          timeout=timeout, **options)
    if check and done.returncode != 0:
        raise Failure('%s: exit %d: %s' % (' '.join(map(str, words)), done.returncode,
                                           (done.stderr or done.stdout).strip()[-400:]))
    return done


class Cluster:
    client_ip = CLIENT_IP

    def __init__(self, build, size=3, ring='64M', checkpoint='4M', framing='envelope', idle='yield',
                 port='af_packet', roles='', genesis=(), directory=None, day='20261124', feed='',
                 ring_section='', rings=None, pages='auto', founders=None):
        self.build = os.path.abspath(build)
        self.size, self.ring, self.checkpoint = size, ring, checkpoint
        self.founders = founders or size  # replicas above are formatted, and join later
        self.framing, self.idle, self.port_kind, self.roles = framing, idle, port, roles
        self.genesis_options, self.day = list(genesis), day
        self.feed, self.ring_section = feed, ring_section
        self.name = 'keel%d' % os.getpid()
        self.own_directory = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix='keel-run-', dir=scratch())
        self.rings, self.pages = rings or self.dir, pages
        self.destinations = '%s:%d' % (self.client_ip, LINE_PORT)
        self.replica = {}     # id -> Popen
        self.helpers = []     # other processes
        self.namespaces = []
        self.wire = None      # stands in the bridge's place
        self.daemon = 'keeld'  # keeld-slow: the same with drives that slow_drive() holds back
        self.drive_us = 0      # keeld-slow: no operation of a drive takes less
        self.starts = os.path.join(self.dir, 'starts')
        self.closed = False
        self.hugepages_added = 0
        self.dpdk = []        # folders that DPDK makes for each process and leaves
        self.dpdk_before = os.path.isdir(DPDK_RUN)

    # --- programs and places -------------------------------------------------------------------

    def program(self, name):
        where = {'keeld': 'control', 'keelctl': 'control', 'keelcat': 'client',
                 'keel-judge': 'tests/judge', 'gen_day': 'tests/tools',
                 'keel-wire': 'tests/wire', 'keeld-slow': 'tests/gray'}[name]
        return os.path.join(self.build, where, name)

    def path(self, name):
        return os.path.join(self.dir, name)

    def ring_path(self, i):
        return os.path.join(self.rings, 'ring-%d' % i)

    def ids(self):
        return range(1, self.size + 1)

    @staticmethod
    def ip(replica):
        return '10.77.0.%d' % replica

    def members(self):
        return ','.join('%d=%s:%d' % (i, self.ip(i), PORT) for i in self.ids())

    def ns(self, host):
        return '%s-%s' % (self.name, host)

    def inside(self, host, *words):
        return ['ip', 'netns', 'exec', self.ns(host)] + [str(w) for w in words]

    # --- set-up --------------------------------------------------------------------------------

    def _namespace(self, host):
        self.namespaces.append(self.ns(host))  # before it is there: Ctrl-C may come between
        run('ip', 'netns', 'add', self.ns(host))
        for setting in ('all', 'default'):
            run(*self.inside(host, 'sysctl', '-qw', 'net.ipv6.conf.%s.disable_ipv6=1' % setting),
                check=False)
        run(*self.inside(host, 'ip', 'link', 'set', 'lo', 'up'))

    def _cable(self, host, name, index):
        end = 'p%d' % index
        run('ip', 'link', 'add', end, 'netns', self.ns('sw'), 'type', 'veth', 'peer', 'name', name,
            'netns', self.ns(host))
        run(*self.inside('sw', 'ip', 'link', 'set', end, *self.joined, 'up'))
        # A veth carries frames as the sender left them: no half-made checksums from kernel senders.
        run(*self.inside(host, 'ethtool', '-K', name, 'tx', 'off'), check=False)
        run(*self.inside(host, 'ip', 'link', 'set', name, 'up'))

    def _bridge(self):
        run(*self.inside('sw', 'ip', 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0'))
        run(*self.inside('sw', 'ip', 'link', 'set', 'br0', 'up'))
        # Frames cross the bridge as they are, broken ones too: no netfilter of the host looks at them.
        run(*self.inside('sw', 'sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0'), check=False)

    def network(self, wire_seed=None):
        """With a seed keel-wire joins the cables: self.wire makes links bad."""
        self._namespace('sw')
        self.joined = ('master', 'br0') if wire_seed is None else ()
        if wire_seed is None:
            self._bridge()
        for i in self.ids():
            self._namespace('r%d' % i)
            self._cable('r%d' % i, 'port', i)
        self._namespace('cl')
        self._cable('cl', 'eth0', CLIENT_CABLE)
        if wire_seed is not None:
            self.wire = Wire(self, wire_seed, [*self.ids(), CLIENT_CABLE])
        run(*self.inside('cl', 'ip', 'addr', 'add', self.client_ip + '/24', 'dev', 'eth0'))
        run(*self.inside('cl', 'sysctl', '-qw', 'net.core.rmem_max=33554432'), check=False)

    def _keys(self):
        section = {}
        for i in self.ids():
            section[i] = run(self.program('keelctl'), 'key', 'new', 'replica', i).stdout
        clients = ''
        for p in PRINCIPALS:
            text = run(self.program('keelctl'), 'key', 'new', 'client', p).stdout
            self._write('client-%d.key' % p, text, 0o600)
            clients += text
        for i in self.ids():
            below = ''.join(section[j] for j in self.ids() if j <= i)
            self._write('replica-%d.key' % i, below + clients, 0o600)

    def _write(self, name, text, mode=0o644):
        fd = os.open(self.path(name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
        with os.fdopen(fd, 'w') as file:
            file.write(text)

    def config(self, i):
        return '\n'.join([
            '[replica]', 'id = %d' % i, 'data = %s' % self.ring_path(i),
            '[network]', 'port = %s:port' % self.port_kind, 'address = %s/24' % self.ip(i),
            'udp_port = %d' % PORT,
            '[feed]', 'framing = %s' % self.framing, 'request_port = %d' % REQUEST_PORT,
            'destinations = %s' % self.destinations, 'consumers = %s' % self.client_ip, self.feed,
            '[ring]', self.ring_section,
            '[cores]', 'idle = %s' % self.idle, self.roles,
            '[memory]', 'hugepages = %s' % self.pages,
            '[admin]', 'socket = %s' % self.path('admin-%d.sock' % i),
            '[keys]', 'file = %s' % self.path('replica-%d.key' % i), ''])

    def format_one(self, i, *more):
        """The identity that was printed."""
        done = run(self.program('keeld'), 'format', '--data', self.ring_path(i), '--replica', i,
                   '--address', '%s:%d' % (self.ip(i), PORT), '--size', self.ring,
                   '--checkpoint-size', self.checkpoint, *more, timeout=120)
        return [line for line in done.stdout.splitlines() if 'incarnation=' in line][0].strip()

    def install(self, i, *more, check=True):
        return run(self.program('keelctl'), 'genesis', 'install', '--data', self.ring_path(i),
                   self.path('genesis'), *more, check=check)

    def format(self):
        self.identity = {i: self.format_one(i) for i in self.ids()}
        run(self.program('keelctl'), 'genesis', 'create', '--out', self.path('genesis'), '--day',
            self.day, *self.genesis_options,
            *[self.identity[i] for i in self.ids() if i <= self.founders])
        for i in self.ids():
            self.install(i, *([] if i <= self.founders else ['--join']))
            self._write('keeld-%d.conf' % i, self.config(i))
        self._keys()

    def hugepages(self):
        """Reserves 2 MiB pages for the replicas, through hugeadm; says what the run will do. Given back
        by close()."""
        pool = hugepage_pool()
        if pool is None:
            return 'this kernel has no 2 MiB pages: ordinary pages (--no-huge), more TLB misses'
        wanted = pool + HUGEPAGES_EACH * self.size
        try:
            done = set_hugepage_pool(wanted)
        finally:
            self.hugepages_added = max(0, (hugepage_pool() or 0) - pool)
        if self.hugepages_added < wanted - pool:
            self.give_hugepages_back()
            return ('%d pages of 2 MiB cannot be reserved (%s): ordinary pages (--no-huge), more TLB '
                    'misses' % (wanted - pool, done.stderr.strip()[:100] or 'memory is short'))
        return '%d pages of 2 MiB reserved' % (wanted - pool)

    def give_hugepages_back(self):
        """As many as were added: another run may have added its own meanwhile."""
        if self.hugepages_added > 0:
            left = max(0, (hugepage_pool() or 0) - self.hugepages_added)
            set_hugepage_pool(left)
        self.hugepages_added = 0

    # --- replicas ------------------------------------------------------------------------------

    def _note(self, word, i):
        with open(self.starts, 'a') as file:
            file.write('%s %d %d\n' % (word, i, time.time_ns()))

    def start(self, i, before=(), wait=False):
        """`before`: words that end with running the words behind them. wait: they read a line first."""
        self._note('start', i)
        log = open(self.path('keeld-%d.log' % i), 'a')
        self.replica[i] = subprocess.Popen(
            self.inside('r%d' % i, *before, self.program(self.daemon), '--config',
                        self.path('keeld-%d.conf' % i)),
            env={**os.environ, 'KEEL_SLOW_DRIVE': self.path('slow-%d' % i), 'KEEL_SLOW_LEAST_US': str(self.drive_us)},
            stdout=log, stderr=log, stdin=subprocess.PIPE if wait else subprocess.DEVNULL,
            start_new_session=True)
        log.close()
        self.dpdk.append(os.path.join(DPDK_RUN, 'keel%d-%d' % (i, self.replica[i].pid)))

    def slow_drive(self, i, factor):
        """keeld-slow: the drive takes so many times as long from now on; 1: as long as it takes."""
        fd = os.open(self.path('slow-%d' % i), os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(fd, 'wb', buffering=0) as file:
            file.write(b'%-15d\n' % factor)

    def start_all(self):
        for i in self.ids():
            self.start(i)

    def kill(self, *ids, how=signal.SIGKILL):
        """All of them at once."""
        processes = [(i, self.replica.pop(i)) for i in ids if i in self.replica]
        for _, process in processes:
            process.send_signal(how)
        for i, process in processes:
            process.wait(timeout=20)
            self._note('kill', i)

    def alive(self):
        return [i for i, p in self.replica.items() if p.poll() is None]

    def ctl(self, i, *words, timeout=5):
        done = run(self.program('keelctl'), '--json', '--timeout', 1000 * timeout, '-s',
                   self.path('admin-%d.sock' % i), *words, check=False, timeout=timeout + 5)
        return done.returncode, done.stdout

    def status(self, i):
        code, text = self.ctl(i, 'status')
        try:
            return json.loads(text) if code == 0 else None
        except ValueError:
            return None

    def log_tail(self, i, lines=5):
        try:
            with open(self.path('keeld-%d.log' % i)) as file:
                return ''.join(file.readlines()[-lines:])
        except OSError:
            return ''

    def leader(self, timeout=20.0):
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for i in self.alive():
                status = self.status(i)
                if status and status['role'] == 'leader' and status['commit_index'] > 0:
                    return i
            dead = [i for i, p in self.replica.items() if p.poll() is not None]
            if dead:
                raise Failure('replica %d ended by itself: %s' % (dead[0], self.log_tail(dead[0])))
            time.sleep(0.05)
        raise Failure('no leader within %g s' % timeout)

    def wait_equal(self, timeout=30.0, ids=None):
        """All have applied the same, with the same digest; returns the index."""
        until = time.monotonic() + timeout
        seen = []
        while time.monotonic() < until:
            seen = [self.status(i) for i in (ids or self.ids())]
            if all(seen) and len({(s['applied_index'], s['digest']) for s in seen}) == 1:
                return seen[0]['applied_index']
            time.sleep(0.1)
        raise Failure('replicas do not agree within %g s: %s' % (
            timeout, [(s['applied_index'], s['commit_index'], s['digest']) if s else None for s in seen]))

    def wait_caught_up(self, i, timeout=60.0, lag=200):
        """Until the replica has applied what the leader has committed, but for `lag` entries."""
        until = time.monotonic() + timeout
        own = first = None
        while time.monotonic() < until:
            own, first = self.status(i), self.status(self.leader(timeout))
            if own and first and own['leader'] and own['applied_index'] + lag >= first['commit_index']:
                return
            time.sleep(0.1)
        raise Failure('replica %d did not catch up within %g s: %s of %s' % (
            i, timeout, own and own['applied_index'], first and first['commit_index']))

    # --- programs in the client namespace -------------------------------------------------------

    def spawn(self, *words, out=None, err=None, host='cl'):
        def opened(name):
            return open(self.path(name), 'ab') if name else subprocess.DEVNULL
        process = subprocess.Popen(self.inside(host, *words), stdout=opened(out), stderr=opened(err),
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        self.helpers.append(process)
        return process

    def publish(self, source, name='gateway', principal=100, *more, form='length-prefixed'):
        return self.spawn(self.program('keelcat'), 'publish', source, '--format', form, '--members',
                          self.members(), '--key', self.path('client-%d.key' % principal),
                          '--session', name, '--log', self.path(name + '.log'), '--stats',
                          self.path(name + '.stats'), *more, out=name + '.out', err=name + '.err')

    def follow(self, name='consumer', *more, port=LINE_PORT):
        requests = []
        for i in self.ids():
            requests += ['--request', '%s:%d' % (self.ip(i), REQUEST_PORT)]
        return self.spawn(self.program('keelcat'), 'follow', '--listen',
                          '%s:%d' % (self.client_ip, port), *requests, '--framing', self.framing,
                          '--from', 'start', '--stats', self.path(name + '.stats'), *more,
                          out=name + '.out', err=name + '.err')

    def capture(self, name='feed.pcap', expression=None, host='cl', interface='eth0'):
        expression = expression or 'udp port %d or udp port %d' % (LINE_PORT, REQUEST_PORT)
        process = self.spawn('dumpcap', '-i', interface, '-P', '-q', '-B', '64', '-f', expression,
                             '-w', self.path(name), err=name + '.err', host=host)
        until = time.monotonic() + 10
        while time.monotonic() < until and process.poll() is None:
            if os.path.exists(self.path(name)) and os.path.getsize(self.path(name)) >= 24:
                return process
            time.sleep(0.05)
        raise Failure('dumpcap did not start: ' + read(self.path(name + '.err'))[-300:])

    def capture_ends(self):
        """What each replica sends, and what reaches it, at its own end of the wire: its line as it was
        published, whatever becomes of it on the way. Processes by file."""
        captures = {}
        for i in self.ids():
            name = 'feed-%d.pcap' % i
            captures[name] = self.capture(name, 'host %s and (udp port %d or udp port %d)' % (
                self.ip(i), LINE_PORT, REQUEST_PORT), host='sw', interface='p%d' % i)
        return captures

    def stop_capture(self, process, name='feed.pcap'):
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        text = read(self.path(name + '.err'))
        for line in text.splitlines():  # "Packets received/dropped on interface 'eth0': 9/0 (...)"
            if 'received/dropped' in line and "': " in line:
                dropped = line.split("': ")[1].split('/')[1].split()[0]
                if int(dropped) > 0:
                    raise Failure('the capture itself lost %s packets: evidence incomplete' % dropped)

    def judge_words(self, gateways=('gateway',), captures=('feed.pcap',), ids=None):
        words = [self.program('keel-judge')]
        for i in ids or self.ids():
            words += ['--ring', '%d=%s' % (i, self.ring_path(i)),
                      '--line', '%d=%s' % (i, self.ip(i))]
        for name in gateways:
            words += ['--gateway', self.path(name + '.log')]
        for name in captures:
            words += ['--capture', self.path(name)]
        return words + ['--feed-port', LINE_PORT, '--framing', self.framing, '--starts', self.starts,
                        '--complete-gateways']

    def judge(self, gateways=('gateway',), captures=('feed.pcap',), timeout=120, ids=None):
        return run(*self.judge_words(gateways, captures, ids), check=False, timeout=timeout)

    # --- losses of the client host ----------------------------------------------------------------

    def mute(self):
        """What the client host sends to the replicas is lost: its frames go to its own bridge port."""
        own = run(*self.inside('cl', 'cat', '/sys/class/net/eth0/address')).stdout.strip()
        self._neighbours('replace %%s lladdr %s dev eth0 nud permanent' % own)

    def unmute(self):
        self._neighbours('del %s dev eth0')

    def _neighbours(self, change):
        run(*self.inside('cl', 'ip', '-force', '-batch', '-'), check=change.startswith('replace'),
            input=''.join('neigh %s\n' % change % self.ip(i) for i in self.ids()))

    def deaf(self, seconds):
        """Whatever comes to the client host meanwhile is not for its address any more: its sockets get
        nothing; a capture, which takes every frame, still does."""
        own = run(*self.inside('cl', 'cat', '/sys/class/net/eth0/address')).stdout.strip()
        other = '02:' + ':'.join('%02x' % byte for byte in os.urandom(5))
        change = 'ip link set eth0 address '
        run(*self.inside('cl', 'sh', '-c', '%s%s && sleep %g; %s%s' % (
            change, other, seconds, change, own)))

    # --- the end -------------------------------------------------------------------------------

    def stop_all(self):
        for i in list(self.replica):
            self.kill(i, how=signal.SIGTERM)

    def close(self, keep=False):
        if self.closed:
            return
        self.closed = True
        for process in list(self.replica.values()) + self.helpers:
            if process.poll() is None:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait(timeout=20)
        for name in self.namespaces:
            subprocess.run(['ip', 'netns', 'del', name], stderr=subprocess.DEVNULL)
        self.give_hugepages_back()
        for path in self.dpdk:
            shutil.rmtree(path, ignore_errors=True)
        if self.dpdk and not self.dpdk_before and os.path.isdir(DPDK_RUN) and not os.listdir(DPDK_RUN):
            os.rmdir(DPDK_RUN)
        if self.own_directory and not keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


def hugepage_pool():
    """2 MiB pages that are reserved now; None where there are none to reserve."""
    try:
        with open('/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages') as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def set_hugepage_pool(pages):
    """Through hugeadm, which also moves the overcommit limit (by as much as a pool is lowered): that one
    is put back to what it was."""
    limit = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages'
    before = read(limit)
    done = run('hugeadm', '--pool-pages-min', '2MB:%d' % pages, check=False)
    if before and read(limit) != before:
        with open(limit, 'w') as file:
            file.write(before)
    return done


def read(path):
    try:
        with open(path, errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def stats(path):
    """keelcat's figures; None while there are none."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def scratch():
    """Where rings lie: a real file system with O_DIRECT, not memory."""
    return os.environ.get('KEEL_SCRATCH', '/var/tmp')
