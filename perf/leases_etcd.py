"""Locks of Keel beside locks of etcd, in one run: leases.py --etcd.

Both have three members and their data on the same file system. acquire: a free lock, one request
outstanding; while one is measured, every process of the other stands still. hand-over: a program holds the
lock under a session of 2 s (what etcd and Keel both allow at the least as they come), it is killed with
SIGKILL at some moment between two renewals, and the program of a second process that waits for the lock
acts: `keelctl lock run`, `etcdctl lock`. Both run then: what counts there is seconds of waiting, and a
new leader of Keel's gives every session the longest time to live first.
"""

import os
import random
import signal
import statistics
import time

import e2e
from e2e import Failure, output, run
from etcd import Etcd

ACQUIRE_PAIRS, ACQUIRES = 5, 200
HANDOVER_PAIRS = 7
SESSION_S = 2
HELD_S, HANDOVER_S = 20, 60


class Keel:
    """Keel's side."""

    def __init__(self, cluster):
        self.cluster = cluster

    def signal(self, number):
        for process in self.cluster.replica.values():
            process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)
        self.cluster.leader()

    def locks(self, count):
        return output(run(*self.cluster.inside(
            "cl", e2e.program(self.cluster.build, "keel-lease-load"), self.cluster.members(),
            self.cluster.path("client-100.key"), count), timeout=300))

    def lock(self, path, principal, script):
        c = self.cluster
        return [c.program("keelctl"), "lock", "run", "--members", c.members(), "--key",
                c.path(f"client-{principal}.key"), path, "--ttl-ms", SESSION_S * 1000, "--", "sh", "-c", script]


class Other(Etcd):
    """etcd's side."""

    def lock(self, path, _, script):
        return ["etcdctl", "--endpoints", self.endpoints(), "lock", "--ttl", SESSION_S, path, "--", "sh", "-c",
                script]


def appears(path, process, seconds):
    """When the file is there; a process that ends without it failed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.path.exists(path):
            return time.monotonic()
        if process.poll() is not None and not os.path.exists(path):
            raise Failure(f"a program that waits for a lock ended: exit {process.returncode}")
        time.sleep(0.002)
    raise Failure(f"no lock within {seconds} s: {os.path.basename(path)}")


def handover(cluster, side, rng, number):
    """Seconds from the kill of the holder to the first act of the one that waited."""
    name = f"{type(side).__name__}-{number}"
    held, taken = cluster.path(name + ".held"), cluster.path(name + ".taken")
    holder = cluster.spawn(*side.lock("/hand-over", 100, f"touch {held}; exec sleep 600"), err=name + ".err")
    appears(held, holder, HELD_S)
    waiter = cluster.spawn(*side.lock("/hand-over", 101, f"touch {taken}"), err=name + ".err")
    time.sleep(1 + rng.random() * SESSION_S)  # it stands in the queue; some moment of a renewal
    if os.path.exists(taken):
        raise Failure("a held lock was handed out")
    began = time.monotonic()
    holder.kill()
    took = appears(taken, waiter, HANDOVER_S) - began
    holder.wait(timeout=10)
    waiter.wait(timeout=20)
    try:
        os.killpg(holder.pid, signal.SIGKILL)  # the program that it left behind
    except ProcessLookupError:
        pass
    return took


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def compare(cluster, ttl_max_s, say):
    """Figures of both, pair by pair; the ratios are etcd's over Keel's."""
    keel, etcd = Keel(cluster), Other(cluster)
    say("etcd: three members start")
    etcd.start()
    etcd.pause()
    paused, sides = etcd, {"keel": keel, "etcd": etcd}
    acquire, hand = {"keel": [], "etcd": []}, {"keel": [], "etcd": []}
    rng = random.Random(2)

    def turn_to(side):
        nonlocal paused
        if paused is side:
            other = etcd if side is keel else keel
            other.pause()
            side.resume()
            paused = other
    try:
        for i in range(ACQUIRE_PAIRS):
            say(f"etcd: {ACQUIRES} acquires each, pair {i + 1} of {ACQUIRE_PAIRS}")
            for name in ("keel", "etcd")[::1 if i % 2 == 0 else -1]:
                turn_to(sides[name])
                acquire[name].append(sides[name].locks(ACQUIRES))
        turn_to(etcd)
        keel.resume()
        say(f"etcd: {ttl_max_s:.0f} s for sessions of Keel's former leader")
        time.sleep(ttl_max_s * 1.01)
        for i in range(HANDOVER_PAIRS):
            say(f"etcd: hand-over after a kill, pair {i + 1} of {HANDOVER_PAIRS}")
            for name in ("keel", "etcd")[::1 if i % 2 == 0 else -1]:
                hand[name].append(handover(cluster, sides[name], rng, i))
    finally:
        etcd.stop()
        keel.signal(signal.SIGCONT)
    p50 = {name: [a["acquire"]["p50_ns"] for a in runs] for name, runs in acquire.items()}
    return {
        "session_s": SESSION_S,
        "acquire_ns": {name: spread(values) for name, values in p50.items()},
        "acquire_p99_ns": {name: spread([a["acquire"]["p99_ns"] for a in runs])
                           for name, runs in acquire.items()},
        "acquire_ratio": spread([e / k for k, e in zip(p50["keel"], p50["etcd"])]),
        "etcd_put_ns": spread([a["put"]["p50_ns"] for a in acquire["etcd"]]),
        "etcd_read_ns": spread([a["read"]["p50_ns"] for a in acquire["etcd"]]),
        "handover_s": {name: spread(values) for name, values in hand.items()},
        "handover_ratio": spread([e / k for k, e in zip(hand["keel"], hand["etcd"])]),
    }
