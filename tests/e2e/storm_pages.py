"""Hugepages that were free when they were counted, and are gone when DPDK takes them.

A control group of the hugetlb controller makes that moment last: the kernel's counters go on saying
that pages are free, and every reservation in the group fails.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read, run  # noqa: E402
from parts import COMMON  # noqa: E402

AGAIN = 'starting again on ordinary pages'
LIMITS = {  # where the kernel says no: when pages are promised, or not before they are touched
    'reserved': 'hugetlb.2MB.rsvd.limit_in_bytes',
    'touched': 'hugetlb.2MB.limit_in_bytes',
}


class NoHugepages:
    """A hugetlb control group whose limit is nothing; usable is False where there is none."""

    def __init__(self, root, limit):
        self.root = root
        self.group = os.path.join(root, 'keel-%d' % os.getpid())
        os.mkdir(root)
        done = run('mount', '-t', 'cgroup', '-o', 'hugetlb', 'hugetlb', root, check=False)
        self.usable = done.returncode == 0
        self.why = done.stderr.strip()
        if self.usable:
            os.mkdir(self.group)
            with open(os.path.join(self.group, limit), 'w') as file:
                file.write('0')

    def take(self, process):
        with open(os.path.join(self.group, 'cgroup.procs'), 'w') as file:
            file.write(str(process))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.usable:
            os.rmdir(self.group)
            subprocess.run(['umount', self.root], stderr=subprocess.DEVNULL, check=False)
        os.rmdir(self.root)


def serves(c, seconds=20.0):
    """The EAL facts of the one replica's status, once it leads."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and c.alive():
        status = c.status(1)
        if status and status['role'] == 'leader' and status['commit_index'] > 0:
            return status
        time.sleep(0.05)
    return None


def refused(parts, c, when, limit):
    with NoHugepages(c.path('hugetlb'), limit) as group:
        if not group.usable:
            parts.say('not shown, hugepages that vanish at a start: no hugetlb control group: ' + group.why)
            return
        started = len(read(c.path('keeld-1.log')))
        # The shell waits for its place in the group, then becomes keeld.
        c.start(1, before=('sh', '-c', 'read go && exec "$@"', 'sh'), wait=True)
        group.take(c.replica[1].pid)
        c.replica[1].stdin.write(b'go\n')
        c.replica[1].stdin.close()
        status = serves(c)
        log = read(c.path('keeld-1.log'))[started:]
        parts.holds(status is not None and AGAIN in log and 'hugepages=no' in log,
                    'hugepages that count as free cannot be had when %s: keeld says so, starts again '
                    'on ordinary pages, and leads' % when, log[-400:])
        c.kill(1)


def part_pages(parts, options):
    with Cluster(options.build, size=1, ring='16M', checkpoint='1M', **dict(COMMON, pages='auto')) as c:
        c.network()
        c.format()
        said = c.hugepages()
        if c.hugepages_added == 0:
            parts.say('not shown, hugepages that vanish at a start: ' + said)
            return
        c.start(1)
        status = serves(c)
        parts.holds(status is not None and 'hugepages=yes' in read(c.path('keeld-1.log')),
                    'hugepages are free: keeld takes them', c.log_tail(1))
        c.kill(1)
        for when, limit in LIMITS.items():
            refused(parts, c, when, limit)
