"""./dev test e2e: real processes in namespaces under SIGKILLs, full devices, garbage and
operators' mistakes. Nothing that was acknowledged may be lost by any of it.

Each thing that holds is one line `ok`, each that does not one line `FAIL`; exit 1 if there is one.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read  # noqa: E402
from gateways import Storm  # noqa: E402
from parts import COMMON, ELECTION_MS, answered, run_parts  # noqa: E402
import storm_admin  # noqa: E402
import storm_blackbox  # noqa: E402
import storm_device  # noqa: E402
import storm_image  # noqa: E402
import storm_input  # noqa: E402
import storm_member  # noqa: E402
import storm_pages  # noqa: E402
import storm_repair  # noqa: E402
import storm_state  # noqa: E402
import storm_transfer  # noqa: E402

RATE = 350            # messages of each gateway a second, while the storm lasts
EACH = 2900           # and for each fault: more than RATE brings until the next one
RING = '1G'           # holds the whole run: the judge sees its first page
KILLS = {'leader': 10, 'follower': 7, 'gateway': 8, 'all': 4, 'leader and follower': 2}
FAULTS = sum(KILLS.values())


class Kills(Storm):
    """The first `faults` of a fixed number of kills of each kind; all come back in between."""

    def __init__(self, parts, cluster, seed, faults):
        super().__init__(parts, cluster, seed, EACH * faults, RATE)
        self.faults = faults
        self.done = dict.fromkeys(KILLS, 0)
        self.failovers = []  # (time of the kill in ns, which replica)

    # --- kills -----------------------------------------------------------------------------------

    def kill_replicas(self, *ids):
        self.c.kill(*ids)
        self.kills += len(ids)

    def back(self, *ids):
        time.sleep(self.rng.uniform(0.1, 0.8))
        for i in ids:
            self.c.start(i)
        for i in ids:
            self.c.wait_caught_up(i)

    def one(self, kind):
        c = self.c
        leader = c.leader(30)
        others = [i for i in c.ids() if i != leader]
        if kind == 'leader':
            self.failovers.append((time.time_ns(), leader))
            self.kill_replicas(leader)
            c.leader(30)
            self.back(leader)
        elif kind == 'follower':
            follower = self.rng.choice(others)
            self.kill_replicas(follower)
            self.back(follower)
        elif kind == 'all':
            self.kill_replicas(*c.ids())
            self.back(*c.ids())
        elif kind == 'leader and follower':
            two = (leader, self.rng.choice(others))
            self.kill_replicas(*two)
            self.back(*two)
        else:
            name = self.rng.choice(sorted(self.gateway))
            self.kill_gateway(name)
            time.sleep(self.rng.uniform(0.05, 0.5))
            self.start_gateway(name)
        self.done[kind] += 1
        self.check_gateways()

    def rage(self):
        first = list(KILLS)  # one of each, so that a short storm has all
        rest = [kind for kind, count in KILLS.items() for _ in range(count - 1)]
        self.rng.shuffle(first)
        self.rng.shuffle(rest)
        plan = (first + rest)[:self.faults]
        for number, kind in enumerate(plan, 1):
            time.sleep(self.rng.uniform(0.2, 0.9))
            self.one(kind)
            if number % 8 == 0:
                self.parts.say('%2d of %d, %d SIGKILLs, acknowledged %s' % (
                    number, len(plan), self.kills,
                    ' and '.join(str(answered(self.c, 'gateway-' + n)) for n in sorted(self.gateway))))

    # --- figures ---------------------------------------------------------------------------------

    def pauses_ms(self):
        """From each leader's kill to the next message that was sequenced and acknowledged."""
        stamps = []
        for name in self.gateway:
            for line in read(self.c.path('gateway-%s.log' % name)).splitlines():
                word = line.split()
                if word and word[0] == 'ack' and word[3] == 'sequenced':
                    stamps.append(int(word[5]))
        stamps.sort()
        pauses = []
        for at_ns, _ in self.failovers:
            later = next((s for s in stamps if s > at_ns), None)
            if later is not None:
                pauses.append((later - at_ns) / 1e6)
        return pauses

    def run(self):
        c, parts = self.c, self.parts
        self.begin()
        self.rage()
        self.publish_rest()
        parts.ok('%d SIGKILLs under load: %s; each restarted; %d lives of two gateways' % (
            self.kills, ', '.join('%s %d x' % item for item in self.done.items()), self.lives))
        self.all_is_there()
        c.stop_all()
        pauses = sorted(self.pauses_ms())
        limit = 10 * ELECTION_MS
        parts.holds(len(pauses) == self.done['leader'] > 0 and pauses[-1] <= limit,
                    'fail-over of %d leaders: median %.0f ms, worst %.0f ms to the next sequenced '
                    'message (limit: 10 election timeouts, %d ms)' % (
                        len(pauses), pauses[len(pauses) // 2] if pauses else -1,
                        pauses[-1] if pauses else -1, limit), pauses)
        self.judged('the judge: PROVEN over three rings, two gateways, all lines')


def part_storm(parts, options):
    with Cluster(options.build, ring=RING, **COMMON) as cluster:
        Kills(parts, cluster, options.seed, options.faults).run()


PARTS = {
    'storm': part_storm,
    'device': storm_device.part_device,
    'read-only': storm_device.part_read_only,
    'pages': storm_pages.part_pages,
    'member': storm_member.part_member,
    'member-lapped': storm_member.part_member_lapped,
    'input': storm_input.part_input,
    'usage': storm_admin.part_usage,
    'admin': storm_admin.part_admin,
    'transfer': storm_transfer.part_transfer,
    'repair': storm_repair.part_repair,
    'image': storm_image.part_image,
    'state': storm_state.part_state,
    'blackbox': storm_blackbox.part_blackbox,
}


def more(parser):
    parser.add_argument('--seed', type=int, default=20261124, help='of the order of faults')
    parser.add_argument('--faults', type=int, choices=range(len(KILLS), FAULTS + 1), default=FAULTS,
                        metavar='N',
                        help='the first N of the storm\'s faults (default: all %d)' % FAULTS)


if __name__ == '__main__':
    sys.exit(run_parts('./dev test e2e', __doc__, PARTS, more, always=('storm',)))
