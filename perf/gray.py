#!/usr/bin/env python3
"""./dev bench gray: what one slow drive or link does to everybody's latency.

    gray.py --build DIR [--kind drive|link] [--factor N]... [--seconds N] [--rings DIR] [--json FILE]

Three replicas (keeld-slow: keeld with drives that can be held back) over keel-wire, one gateway that
publishes at a steady rate; a message's latency counts from when it was due. Rings lie in memory, each
operation taking DRIVE_US at least: three rings on one drive that others use as well are slow together and
at any time, which says nothing of one slow replica (--rings DIR measures that all the same). Replicas
sleep where there is nothing to do: two cores are for all of them. Five pairs for each kind and factor: a
run with all healthy and a run with one slow, in turns; the slow one is the leader at its onset in two of
them, in the other three a follower. A slow drive takes so many times as long for each write; a slow link so
many times 50 us each way, to and from everybody, and carries a gigabit a second less so many times.
The slow run begins when the cluster has had SETTLE_S to react; what happened meanwhile is printed beside it
(longest pause in acknowledgements, who leads then). Exit 0: the goal is reached everywhere; 1: missed
somewhere, or nothing could be measured; 3: missed nowhere, but somewhere the machine was too noisy for a
verdict.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
from cluster import Cluster, Failure, read, stats  # noqa: E402
from parts import interrupted, wait_end, write_messages  # noqa: E402

FACTORS = (10, 100, 1000)
KINDS = ("drive", "link")
LEADS = (True, False, False, True, False)  # whether the slow one of a pair leads at the onset
RATE = 1000  # messages a second
RUN_S = 20
SETTLE_S = 4
SIZE = (64, 64)
LINK_MS = 0.05
LINK_BPS = 1e9
RING = "1G"
MEMORY = "/dev/shm"
DRIVE_US = 90  # of a page on a drive as it was measured here
RISE = 1.1  # the goal: p99.9 slow / healthy
APART = 2   # healthy runs whose p99.9 differ by more say nothing about a tenth


class Bench:
    def __init__(self, build, folder, drive_us, run_s, say):
        self.c = Cluster(build, ring=RING, framing="raw", checkpoint="4M", idle="sleep", directory=folder)
        self.c.daemon = "keeld-slow"
        self.c.drive_us = drive_us
        self.run_s = run_s
        self.say = say
        self.runs = 0

    def begin(self):
        c = self.c
        write_messages(c.path("input"), "G", RATE * (self.run_s + SETTLE_S), SIZE, 1)
        c.network(1)
        c.format()
        for i in c.ids():
            c.slow_drive(i, 1)
        c.start_all()
        c.leader()

    def publish(self, seconds, meanwhile=lambda: None):
        """Figures of so many seconds of messages."""
        self.runs += 1
        name = f"gray-{self.runs}"
        gateway = self.c.publish(self.c.path("input"), name, 100 + self.runs % 8, "--count",
                                 RATE * seconds, "--rate", RATE, "--ttl-ms", 20000, "--gaps", 50)
        meanwhile()
        wait_end(self.c, gateway, name, seconds + 60)
        return stats(self.c.path(name + ".stats"))

    def slow(self, kind, factor, i):
        if kind == "drive":
            self.c.slow_drive(i, factor)
        else:
            self.c.wire.set("delay", i, None, LINK_MS * factor)
            self.c.wire.set("rate", i, None, LINK_BPS / factor)

    def heal(self):
        for i in self.c.ids():
            self.c.slow_drive(i, 1)
        self.c.wire.heal()
        self.c.leader()
        for i in self.c.ids():
            self.c.wait_caught_up(i, 120)

    def term(self):
        return max((self.c.status(i) or {}).get("term", 0) for i in self.c.ids())

    def pair(self, kind, factor, leads):
        c = self.c
        healthy = self.publish(self.run_s)
        leader = c.leader()
        slow = leader if leads else leader % c.size + 1
        onset = self.publish(SETTLE_S, lambda: (time.sleep(1), self.slow(kind, factor, slow)))
        term = self.term()
        now = self.publish(self.run_s)
        told = {i: (c.status(i) or {}) for i in c.ids()}
        result = {
            "slow": slow, "led": leads, "leads_after": c.leader(),
            "healthy_p999_ns": healthy["latency_ns"]["p999"], "p999_ns": now["latency_ns"]["p999"],
            "healthy_p50_ns": healthy["latency_ns"]["p50"], "p50_ns": now["latency_ns"]["p50"],
            "ratio": now["latency_ns"]["p999"] / healthy["latency_ns"]["p999"],
            "pause_ns": now["longest_pause"]["ns"], "terms": self.term() - term,
            "onset_pause_ns": onset["longest_pause"]["ns"],
            "onset_p99_ns": onset["latency_ns"]["p99"],
            "told": {i: {k: told[i].get(k) for k in ("slow_replica", "slow", "slow_times")} for i in told},
        }
        self.heal()
        self.say(show_pair(kind, factor, result))
        return result


def show_pair(kind, factor, r):
    return (f"{kind} {factor} x slower at replica {r['slow']}"
            f"{', which led' if r['led'] else ''}: p99.9 {r['healthy_p999_ns'] / 1e6:.3f} ms healthy, "
            f"{r['p999_ns'] / 1e6:.3f} slow, ratio {r['ratio']:.2f} (p50 "
            f"{r['healthy_p50_ns'] / 1e6:.3f}, {r['p50_ns'] / 1e6:.3f}), longest pause {r['pause_ns'] / 1e6:.1f} "
            f"ms, {r['terms']} elections; replica {r['leads_after']} leads; longest pause at the onset "
            f"{r['onset_pause_ns'] / 1e6:.1f} ms")


def measure(build, kinds, factors, run_s, rings, say):
    own = tempfile.TemporaryDirectory(prefix="keel-gray-", dir=rings or MEMORY)
    bench = Bench(build, own.name, 0 if rings else DRIVE_US, run_s, say)
    with own, bench.c:
        bench.begin()
        bench.publish(2)  # warm
        return {f"{kind} {factor}": [bench.pair(kind, factor, leads) for leads in LEADS]
                for kind in kinds for factor in factors}


NO_VERDICT = 3


def verdict(pairs):
    """The exit code that they ask for, and a word."""
    healthy = sorted(pair["healthy_p999_ns"] for pair in pairs)
    apart = healthy[-1] / healthy[0]
    if apart > APART:
        return NO_VERDICT, f"no verdict: the healthy runs alone differ {apart:.1f} times"
    missed = statistics.median(pair["ratio"] for pair in pairs) > RISE
    return (1, "MISSED") if missed else (0, "reached")


def report(result):
    lines = [f"gray failure: p99.9 with one slow over p99.9 with none, {RATE} messages/s; goal: at most "
             f"{RISE} (median of {len(LEADS)} pairs)"]
    for name, pairs in result.items():
        ratios = sorted(pair["ratio"] for pair in pairs)
        onset = max(pair["onset_pause_ns"] for pair in pairs) / 1e6
        lines.append(f"  {name + ' x slower':<20} {statistics.median(ratios):5.2f}  (from {ratios[0]:.2f} "
                     f"to {ratios[-1]:.2f})  {verdict(pairs)[1]}; longest pause at the onset {onset:.0f} ms")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench gray", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, action="append", help="of slowness (both)")
    parser.add_argument("--factor", type=int, action="append", help="times slower (10, 100, 1000)")
    parser.add_argument("--seconds", type=int, default=RUN_S, help=f"of messages in a run ({RUN_S})")
    parser.add_argument("--rings", metavar="DIR", help="on the drive of that folder, as fast as it is")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    began = time.monotonic()
    try:
        result = measure(os.path.abspath(options.build), options.kind or KINDS,
                         options.factor or FACTORS, options.seconds, options.rings,
                         lambda text: print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True))
    except (Failure, OSError) as failure:
        sys.exit(f"gray: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    load = read("/proc/loadavg").split()[0]
    print(report(result) + f"\nload average now {load}: others at work make every figure worse")
    codes = {verdict(pairs)[0] for pairs in result.values()}
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
