"""Machines on which a page of the documentation can be followed word by word.

Each is a network namespace with a mount namespace of its own, in which /etc, /var/lib, /var/backups and
/run are folders of this run; a process that sleeps keeps both, and commands enter through it. `systemctl`,
`ssh` and `scp` are small scripts that do what the page needs of them. Nothing of the host changes.
"""

import os
import pty
import re
import shutil
import signal
import subprocess
import time

from cluster import PORT, Cluster, Failure, read, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = {'etc': '/etc', 'lib': '/var/lib', 'backups': '/var/backups', 'run': '/run'}

SYSTEMCTL = r'''#!/bin/sh
# start|stop keeld, as a unit of Type=notify does it
pid=$(cat /run/keel/keeld.pid 2>/dev/null)
case $1 in
start)
    rm -f /run/keel/keeld.sock
    setsid keeld --config /etc/keel/keeld.conf </dev/null >>/var/lib/keel/keeld.log 2>&1 &
    echo $! >/run/keel/keeld.pid
    for i in $(seq 300); do
        keelctl version >/dev/null 2>&1 && exit 0
        kill -0 "$(cat /run/keel/keeld.pid)" 2>/dev/null || break
        sleep 0.1
    done
    tail -3 /var/lib/keel/keeld.log >&2
    exit 1 ;;
stop)
    [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null
    for i in $(seq 200); do
        [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || { rm -f /run/keel/keeld.pid; exit 0; }
        sleep 0.1
    done
    exit 1 ;;
esac
'''
SSH = r'''#!/bin/sh
# HOST COMMAND...
host=$1
shift
exec nsenter -t "$(cat '%s'/"$host".pid)" -n -m -- sh -c "$*"
'''
SCP = r'''#!/bin/sh
# HOST:PATH PATH
ssh "${1%%:*}" cat "${1#*:}" >"$2.scp" && mv "$2.scp" "$2"
'''


class Machines(Cluster):
    """A Cluster whose replicas are machines 10.0.0.1 .. N, with the paths that the documentation uses."""

    client_ip = '10.0.0.100'

    def __init__(self, build, **options):
        super().__init__(build, **options)
        self.machine = {}  # id -> Popen of what keeps its namespaces

    @staticmethod
    def ip(replica):
        return '10.0.0.%d' % replica

    def home(self, i, *names):
        return os.path.join(self.dir, 'm%d' % i, *names)

    def ring_path(self, i):
        return self.home(i, 'lib', 'keel', 'ring')

    # --- making them ---------------------------------------------------------------------------

    def _script(self, name, text):
        path = os.path.join(self.dir, 'bin', name)
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, 0o755)

    def machines(self):
        os.makedirs(self.path('bin'))
        self._script('systemctl', SYSTEMCTL)
        self._script('ssh', SSH % self.path('bin'))
        self._script('scp', SCP)
        for i in self.ids():
            for name in FOLDERS:
                if name != 'etc':
                    os.makedirs(self.home(i, name))
            shutil.copytree('/etc', self.home(i, 'etc'), symlinks=True,
                            ignore=shutil.ignore_patterns('ssl', 'alternatives', 'shadow*'))
            for name in (('etc', 'keel'), ('lib', 'keel'), ('run', 'keel')):
                os.makedirs(self.home(i, *name))
            mounts = ' && '.join('mount --bind %s %s' % (self.home(i, name), place)
                                 for name, place in FOLDERS.items())
            self.machine[i] = subprocess.Popen(
                self.inside('r%d' % i, 'unshare', '--mount', '--propagation', 'private', 'sh', '-c',
                            mounts + ' && exec sleep 100000'), stdin=subprocess.DEVNULL,
                start_new_session=True)
            with open(os.path.join(self.dir, 'bin', '%s.pid' % self.ip(i)), 'w') as file:
                file.write('%d\n' % self.machine[i].pid)
            self._entered(i)

    def _entered(self, i):
        """Until its last mount is there."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if run(*self.at(i, 'test', '-d', '/run/keel'), check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise Failure('machine %d does not come up' % i)

    def at(self, i, *words):
        path = '%s:%s:%s:%s' % (self.path('bin'), os.path.join(self.build, 'control'),
                                os.path.join(self.build, 'client'), os.environ['PATH'])
        return ['nsenter', '-t', str(self.machine[i].pid), '-n', '-m', '--', 'env', 'PATH=' + path,
                'HOME=/var/lib/keel'] + [str(w) for w in words]

    def config(self, i):
        text = super().config(i)
        for old, new in ((self.ring_path(i), '/var/lib/keel/ring'),
                         (self.path('admin-%d.sock' % i), '/run/keel/keeld.sock'),
                         (self.path('replica-%d.key' % i), '/etc/keel/keys')):
            text = text.replace(old, new)
        return text

    def format(self):
        """As the page for the first day says; what later pages count on stands where it puts it."""
        (first, make), (builder, build), (second, take) = page('From nothing to a running cluster')
        for i in self.ids():
            self.follow_page(exactly(for_machine(make, first, i), '--size 4G', '--size ' + self.ring), i)
        day = ['--day', self.day, *map(str, self.genesis_options)]
        self.follow_page(exactly(build, '--day 20250106', ' '.join(day)), builder)
        for i in self.ids():
            if i != builder:
                self.follow_page(for_machine(take, second, i), i)
            self._write('keeld-%d.conf' % i, self.config(i))
            shutil.copy(self.path('keeld-%d.conf' % i), self.home(i, 'etc', 'keel', 'keeld.conf'))
        self._keys()
        for i in self.ids():
            shutil.copy(self.path('replica-%d.key' % i), self.home(i, 'etc', 'keel', 'keys'))
            os.chmod(self.home(i, 'etc', 'keel', 'keys'), 0o600)

    # --- running them --------------------------------------------------------------------------

    def pid(self, i):
        text = read(self.home(i, 'run', 'keel', 'keeld.pid')).strip()
        return int(text) if text and os.path.exists('/proc/' + text) else 0

    def start(self, i, **ignored):
        self._note('start', i)
        done = run(*self.at(i, 'systemctl', 'start', 'keeld'), check=False, timeout=60)
        if done.returncode != 0:
            raise Failure('keeld does not start on machine %d: %s' % (i, done.stderr.strip()[-400:]))

    def alive(self):
        return [i for i in self.ids() if self.pid(i)]

    def kill(self, *ids, how=signal.SIGKILL):
        """The power goes, on all of them at once; the disks stay."""
        pids = [(i, self.pid(i)) for i in ids]
        for _, pid in pids:
            if pid:
                os.kill(pid, how)
        for i, pid in pids:
            until = time.monotonic() + 20
            while pid and os.path.exists('/proc/%d' % pid) and time.monotonic() < until:
                time.sleep(0.02)
            self._note('kill', i)

    def stop_all(self):
        self.kill(*self.ids(), how=signal.SIGTERM)

    def ctl(self, i, *words, timeout=5):
        done = run(*self.at(i, 'keelctl', '--json', '--timeout', 1000 * timeout, *words), check=False,
                   timeout=timeout + 5)
        return done.returncode, done.stdout

    def log_tail(self, i, lines=5):
        return ''.join(read(self.home(i, 'lib', 'keel', 'keeld.log')).splitlines(True)[-lines:])

    def close(self, keep=False):
        if self.closed:
            return
        for i in self.ids():
            if self.pid(i):
                os.kill(self.pid(i), signal.SIGKILL)
        for process in self.machine.values():
            process.kill()
            process.wait(timeout=20)
        super().close(keep)

    # --- a page --------------------------------------------------------------------------------

    def follow_page(self, script, host, timeout=60):
        """Runs a block's lines as a person would type them, each only if the one before went well; types
        the cluster's id where it is asked for. Returns what was said."""
        master, slave = pty.openpty()
        said = self.path('said')
        with open(said, 'w') as out:
            process = subprocess.Popen(self.at(host, 'sh', '-e', '-c', script), stdin=slave, stdout=out,
                                       stderr=out, start_new_session=True)
        os.close(slave)
        self.helpers.append(process)
        until, answered = time.monotonic() + timeout, False
        while process.poll() is None and time.monotonic() < until:
            asked = re.search(r'Cluster ([0-9a-f]{16}) is given up for good. Type its id', read(said))
            if asked and not answered:
                os.write(master, asked.group(1).encode() + b'\n')
                answered = True
            time.sleep(0.05)
        os.close(master)
        text = read(said)
        if process.returncode != 0:
            raise Failure('on machine %d, exit %s: %s\n%s' % (host, process.returncode, script,
                                                              text[-1500:]))
        return text


def page(title, name='operations.md'):
    """The blocks of a section, in order: (machine, lines)."""
    with open(os.path.join(ROOT, 'docs', name)) as file:
        text = file.read()
    found = re.search(r'^## %s\n(.*?)(?=^## |\Z)' % re.escape(title), text, re.S | re.M)
    if not found:
        raise Failure('docs/%s has no section "%s"' % (name, title))
    blocks = re.findall(r'^```sh\n# on 10\.0\.0\.(\d)\n(.*?)^```', found.group(1), re.S | re.M)
    if not blocks or len(blocks) != found.group(1).count('```') // 2:
        raise Failure('"%s": a block that names no machine' % title)
    return [(int(machine), lines) for machine, lines in blocks]


def for_machine(lines, old, new):
    """"The same on": another machine's number in its address, option and files."""
    return (lines.replace('--replica %d' % old, '--replica %d' % new)
            .replace('10.0.0.%d' % old, '10.0.0.%d' % new))


def exactly(lines, old, new):
    """A size or an option that a test needs otherwise than the page has it."""
    if lines.count(old) != 1:
        raise Failure('the page does not say "%s" once: %s' % (old, lines))
    return lines.replace(old, new)


__all__ = ['Machines', 'PORT', 'exactly', 'for_machine', 'page']
