#!/usr/bin/env python3
"""Synthetic histories: what an honest run of Keel leaves behind, drawn from a seed, in the formats
of tests/judge/judge.h. The plan of a history stays in memory, so that damage.py can spoil it.

    histories.py --seed N DIRECTORY     writes one history and prints the judge's arguments
"""

import argparse
import hashlib
import os
import random
import struct

import encode as e
from history_feed import FEED_PORT, FeedPlans
from history_nodes import LIMITS as NODE_LIMITS, NodePlans
from history_operator import OperatorPlans
from history_rings import RingPlans

MS = 1_000_000
# election, heartbeat, stall, rho, stale, ttl min, ttl max, retain, sessions, each, window, flights,
# bytes
LIMITS = (150, 15, 60, 200, 1000, 200, 2000, 5000, 64, 8, 64, 32, 262144)


def head_of(payload):
    return hashlib.sha256(payload).hexdigest()[:16]


class Session:
    def __init__(self, gateway, name, index, process, window, log_ns):
        self.gateway, self.name, self.process = gateway, name, process
        self.id = self.epoch = index
        self.window, self.last, self.acked, self.began_ns = window, 0, 0, log_ns
        self.ended, self.ttl_ms = False, 500
        self.operations = {}  # number -> block of a node operation
        self.content = {}   # number -> payload as submitted
        self.results = {}   # number -> (status, feed, utc_ns, day, index)


class Gateway:
    def __init__(self, number):
        self.principal, self.path = 16 + number, f"gateway-{number}.log"
        self.lines = ["# a gateway of a synthetic history"]
        self.sessions = []


class Day:
    def __init__(self, name):
        self.name, self.items, self.ended = name, [], False


class Item:
    """One feed number: a message or a session's end."""

    def __init__(self, index, utc_ns, error_ns, kind, session, number, payload, end=b""):
        self.index, self.utc_ns, self.error_ns, self.kind = index, utc_ns, error_ns, kind
        self.session, self.number, self.payload, self.end = session, number, payload, end

    def block(self, envelope):
        if not envelope:
            return b"" if self.kind else self.payload
        return e.envelope(self.kind, self.error_ns, self.utc_ns, self.session, self.number,
                          self.end if self.kind else self.payload)


class History(RingPlans, FeedPlans, NodePlans, OperatorPlans):
    def __init__(self, seed, fault=None):
        self.seed, self.limits = seed, LIMITS
        self.random = r = random.Random(seed)
        self.replicas = 5 if r.random() < 0.1 else 3
        self.quorum = self.replicas // 2 + 1
        self.envelope = r.random() < 0.5
        self.wrapped = r.random() < 0.06
        self.cluster = r.getrandbits(63) | 1
        self.incarnations = {i: r.getrandbits(62) | 1 for i in range(1, self.replicas + 1)}
        self.days = [Day("20240102")]
        self.day_open = True
        self.record = self.genesis(self.incarnations)
        self.term, self.utc_ns, self.log_ns, self.noop_ns = 1, e.T0, 0, 0
        self.log, self.boundaries = [], []   # boundaries: (index, stale entries of the term before)
        self.events = []                     # of the feed: (index, what, day, item)
        self.sessions = []
        self.gateways = [Gateway(i) for i in range(r.randint(1, 2))]
        self.counts = {}
        self.build_nodes(fault)
        self.build_operators()
        self.run_machine()
        self.build_rings()
        self.build_feed()

    def genesis(self, incarnations):
        return e.genesis(self.cluster, incarnations, self.days[0].name, LIMITS, NODE_LIMITS)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # --- the log ---

    def append(self, kind, body, principal=1):
        r = self.random
        self.utc_ns += r.choice((0, 1, 40_000, 900_000))
        self.log_ns += r.randint(1, 20) * MS
        error_ns = r.choice((0, 1500, 0xFFFFFFFF))
        index = len(self.log) + 1
        self.log.append(e.entry(index, self.term, kind, body, self.utc_ns, self.log_ns, error_ns,
                                principal))
        self.error_ns = error_ns
        return index

    def open_session(self, gateway, name):
        r = self.random
        process, window = r.getrandbits(60) | 1, r.choice((1, 4, 16, 64))
        ttl_ms = r.choice((100, 500, 500, 900))
        index = self.append(e.OPEN, e.session_open(name, process, 0, ttl_ms, window),
                            gateway.principal)
        session = Session(gateway, name, index, process, window, self.log_ns)
        session.ttl_ms = max(ttl_ms, LIMITS[5])
        self.sessions.append(session)
        gateway.sessions.append(session)
        self.log_session(session)
        if r.random() < 0.2:  # the same request once more, and a stranger to the name's process
            self.append(e.OPEN, e.session_open(name, r.choice((process, 5)), 0, 500, 1),
                        gateway.principal)
            self.count("open again")

    def log_session(self, s):
        s.gateway.lines.append(
            f"session {self.utc_ns} {s.name} {s.id} {s.epoch} {s.gateway.principal}")

    def submit_line(self, s, number):
        payload = s.content[number]
        s.gateway.lines.append(f"submit {s.id} {number} {len(payload)} {head_of(payload)}")

    def payload(self):
        r = self.random
        return r.randbytes(r.choice((1, 8, 24, 40, 64, 64, 64, 200)))

    def prepare(self, s, first, count):
        """Contents for numbers first.. of a session, submitted if they are new."""
        payloads = []
        for number in range(first, first + count):
            if number not in s.content:
                s.content[number] = self.payload()
                self.submit_line(s, number)
            payloads.append(s.content[number])
        return payloads

    def messages(self, s, first, count, acked=None, epoch=None, principal=None, sequencer=None):
        """An entry of messages, and what the machine makes of it."""
        payloads = self.prepare(s, first, count)
        acked = s.acked if acked is None else acked
        index = self.append(e.MESSAGES, e.messages(s.id, s.epoch if epoch is None else epoch, first,
                                                   acked, payloads, sequencer),
                            s.gateway.principal if principal is None else principal)
        if epoch is not None or principal is not None or s.ended:
            return
        for number, payload in zip(range(first, first + count), payloads):
            if number == s.last + 1 and number <= acked + s.window:
                self.consume(s, number, payload, index, sequencer)

    def consume(self, s, number, payload, index, sequencer):
        s.last = number
        day = self.days[-1]
        if not self.day_open:
            s.results[number] = ("day-closed", 0, self.utc_ns, day.name, index)
            return
        if self.is_suspended(s):
            s.results[number] = ("suspended", 0, self.utc_ns, day.name, index)
            self.count("suspended message")
            return
        if sequencer:
            holds = self.decided(s, number, lambda machine: machine.holds(sequencer))
            self.count("fenced message sequenced" if holds else "fenced message refused")
            if not holds:
                s.results[number] = ("stale-sequencer", 0, self.utc_ns, day.name, index)
                return
        item = Item(index, self.utc_ns, self.error_ns, 0, s.id, number, payload)
        day.items.append(item)
        self.events.append((index, "item", len(self.days) - 1, item))
        s.results[number] = ("sequenced", len(day.items), self.utc_ns, day.name, index)

    def acknowledge(self, s, numbers, day=None):
        for number in numbers:
            if number not in s.results:
                continue
            status, feed, utc_ns, name, _ = s.results[number]
            shown = day or self.random.choice((name, name.ljust(10, "_")))
            s.gateway.lines.append(f"ack {s.id} {number} {status} {feed} {utc_ns} {shown}")

    def refuse_line(self, s, number, status):
        s.gateway.lines.append(f"ack {s.id} {number} {status} 0 0 {self.days[-1].name}")

    # --- what can happen ---

    def do_messages(self, s, sequencer=None):
        r = self.random
        room = min(s.acked + s.window - s.last, 6)
        if room <= 0:
            self.acknowledge(s, range(s.acked + 1, s.last + 1))
            s.acked = s.last
            return
        count = r.randint(1, room)
        self.messages(s, s.last + 1, count, sequencer=sequencer)
        if r.random() < 0.8:
            self.acknowledge(s, range(s.last - count + 1, s.last + 1))
            s.acked = s.last
        if r.random() < 0.3:
            self.acknowledge(s, range(max(1, s.last - 1), s.last + 1))
            self.count("doubled acknowledgement")

    def do_resend(self, s):
        if s.last == 0:
            return
        first = self.random.randint(max(1, s.last - 4), s.last)
        more = self.random.randint(0, 2)
        operation = next((n for n in range(first, s.last + 1) if n in s.operations), None)
        if operation == first:
            self.resend_node(s, first)
        elif operation:
            self.messages(s, first, operation - first)
        else:
            self.messages(s, first, s.last - first + 1 + more)
        self.acknowledge(s, range(first, s.last + 1))
        self.count("resend")

    def do_gap(self, s):
        self.messages(s, s.last + 2, self.random.randint(1, 3))
        self.refuse_line(s, s.last + 2, "gap")
        self.count("gap")

    def do_window(self, s):
        self.messages(s, s.last + 1, 2, acked=max(0, s.last - s.window))
        self.refuse_line(s, s.last + 1, "beyond-window")
        self.count("beyond the window")

    def do_stranger(self, s):
        r = self.random
        self.messages(s, s.last + 1, r.randint(1, 2), principal=r.choice((1, 77)))
        self.count("another's session")

    def do_restart(self, s):
        """The gateway dies and comes back: resume, results kept, what was open submitted again."""
        old = s.epoch
        process, ttl_ms = self.random.getrandbits(60) | 1, self.random.choice((200, 500, 900))
        body = e.session_open(s.name, process, s.epoch, ttl_ms, 1)
        if self.random.random() < 0.3:
            self.append(e.RESUME, e.session_open(s.name, 9, s.epoch + 1, 500, 1),
                        s.gateway.principal)
        s.epoch = self.append(e.RESUME, body, s.gateway.principal)
        self.nodes_end(s, "resumed")
        s.process, s.began_ns, s.ttl_ms = process, self.log_ns, ttl_ms
        if self.random.random() < 0.3:
            self.append(e.RESUME, body, s.gateway.principal)
        self.log_session(s)
        kept = range(max(1, s.last - s.window + 1), s.last + 1)
        self.acknowledge(s, kept, self.random.choice(("-", None)))
        s.acked = s.last
        for number in sorted(s.content):
            if number > s.last or self.random.random() < 0.2:
                self.submit_line(s, number)
        if self.random.random() < 0.6:
            self.messages(s, s.last + 1, 1, epoch=old)  # the old life's last packet
            self.refuse_line(s, s.last + 1, "stale-epoch")
        self.count("gateway restart")

    def do_end(self, s):
        reason = self.random.choice((e.CLEAN, e.KILLED, e.EXPIRED))
        principal = s.gateway.principal
        body = e.session_end(s.id, s.epoch, 0, reason)
        kind = e.END
        if reason == e.KILLED:
            principal, body = 2, e.session_end(s.id, self.random.choice((0, s.epoch)), 0, reason)
        if reason == e.EXPIRED:
            kind, principal, body = e.EXPIRE, 1, e.session_end(s.id, s.epoch, self.term, reason)
            if self.random.random() < 0.5:  # too early, so refused: the no-op's TTL_max is not over
                wait = max(self.noop_ns + 2000 * 1_000_200, s.began_ns + s.ttl_ms * 1_000_200)
                if self.log_ns + 20 * MS < wait:
                    self.append(kind, body, principal)
                    self.count("expiry refused")
            self.log_ns += 2_100 * MS
        index = self.append(kind, body, principal)
        self.nodes_end(s, {e.CLEAN: "clean", e.KILLED: "killed", e.EXPIRED: "expired"}[reason])
        s.ended = True
        if self.day_open:
            end = e.end_message(s.id, s.last, s.gateway.principal, reason, s.name)
            item = Item(index, self.utc_ns, self.error_ns, 1, s.id, s.last, b"", end)
            self.days[-1].items.append(item)
            self.events.append((index, "item", len(self.days) - 1, item))
        if reason == e.CLEAN:
            s.gateway.lines.append(f"end {s.id} {s.last}")
        if self.random.random() < 0.4:  # once more, and a message too late
            if reason != e.EXPIRED:
                self.append(kind, body, principal)
            self.messages(s, s.last + 1, 1)
            self.refuse_line(s, s.last + 1, "session-ended")
        self.count("session end")

    def do_day(self, s):
        name = self.days[-1].name
        if self.random.random() < 0.3:
            self.append(e.DAY_END, e.day("19990101"), 1)         # not this day
            self.append(e.DAY_BEGIN, e.day("20990101"), 1)       # within a day
            self.append(e.DAY_END, e.day(name), s.gateway.principal)  # not a client's to end
        index = self.append(e.DAY_END, e.day(name), 1)
        self.day_open, self.days[-1].ended = False, True
        self.events.append((index, "end", len(self.days) - 1, None))
        if self.random.random() < 0.6 and not s.ended:
            self.do_messages(s)
        name = str(int(name) + 1)
        index = self.append(e.DAY_BEGIN, e.day(name), 1)
        self.days.append(Day(name))
        self.day_open = True
        self.events.append((index, "begin", len(self.days) - 1, None))
        self.count("day roll")

    def do_leader(self, s):
        r = self.random
        stale = []
        if r.random() < 0.6 and not s.ended:  # what the old leader could not replicate
            term = self.term
            first = s.last + 1
            for k in range(r.randint(1, 3)):
                payloads = self.prepare(s, first + k, 1)
                stale.append(e.entry(len(self.log) + 1 + k, term, e.MESSAGES,
                                     e.messages(s.id, s.epoch, first + k, s.acked, payloads),
                                     self.utc_ns + k, self.log_ns + k, 0, s.gateway.principal))
            self.count("superseded tail")
        self.term += r.randint(1, 2)
        index = len(self.log) + 1
        leader = r.randint(1, self.replicas)
        self.append(e.NOOP, e.noop(leader, self.incarnations[leader]), leader)
        self.noop_ns = self.log_ns
        self.boundaries.append((index, stale))
        if r.random() < 0.5:
            boot = e.boot(leader, self.incarnations[leader], self.term, r.getrandbits(60))
            self.append(e.BOOT, boot, leader)
        self.count("leader change")

    def do_probe(self, _):
        self.append(e.PROBE, e.probe(), self.random.randint(1, self.replicas))
        self.count("probe")

    def do_autopilot(self, _):
        """One of its actions; what becomes of it is no matter of the order."""
        r = self.random
        voter, standby = r.sample(range(1, 8), 2)
        was, term = r.randint(0, len(self.log)), self.term
        body = r.choice([
            e.autopilot(1, mode=r.randint(0, 2), standbys=r.randrange(0, 256, 2), dead_ms=r.randint(1000, 86400000),
                        stabilise_ms=1000, was=was),
            e.autopilot(2, voter=voter, standby=standby, was=was, term=term, silent_ms=30001, steady_ms=10001,
                        behind=r.randint(0, 1024), heard=r.randrange(0, 256, 2)),
            e.autopilot(3, voter=voter, standby=standby, was=was, term=term, reason=r.randint(1, 2)),
            e.autopilot(4, voter=voter, was=was, term=term, steady_ms=10001, behind=r.randint(0, 1024))])
        self.append(e.AUTOPILOT, body, r.randint(1, self.replicas))
        self.count("autopilot")

    def run_machine(self):
        r = self.random
        self.append(e.NOOP, e.noop(1, self.incarnations[1]))
        for gateway in self.gateways:
            self.open_session(gateway, f"oms-{gateway.principal}")
        actions = [(self.do_messages, 40), (self.do_resend, 12), (self.do_gap, 3),
                   (self.do_window, 3), (self.do_stranger, 3), (self.do_restart, 4),
                   (self.do_end, 2), (self.do_day, 2), (self.do_leader, 5), (self.do_probe, 2),
                   (self.do_autopilot, 2), (self.do_suspend, 3), (self.do_wish, 2)]
        turns = (60, 90) if self.wrapped else (12, 30)
        if self.lock_users:
            for name in ("locks", "more", "most")[: r.randint(1, 3)]:
                self.open_session(r.choice(self.gateways), name)
            self.crowd()
            actions = [(do, 1 + w // 4) for do, w in actions] + [
                (self.do_node, 45), (self.do_fenced, 16), (self.do_due, 3), (self.do_pause, 4), (self.do_operator, 4)]
            turns = (60, 90) if self.wrapped else (30, 50)
        weights = [w for _, w in actions]
        for _ in range(r.randint(*turns)):
            living = [s for s in self.sessions if not s.ended]
            if not living or (len(living) < 3 and r.random() < 0.05):
                if len(self.sessions) < 6:
                    name = r.choice(("alpha", "beta", "gamma")) + str(len(self.sessions))
                    self.open_session(r.choice(self.gateways), name)
                    continue
                break
            r.choices(actions, weights)[0][0](r.choice(living))
        for s in self.sessions:
            self.acknowledge(s, range(s.acked + 1, s.last + 1))

    # --- files ---

    def captures(self):
        """[(file name, datagrams)]"""
        if not self.apart:
            return [("feed.pcap", self.datagrams)]
        out = []
        for replica in sorted(self.order):
            address = self.address(replica)
            out.append((f"feed-{replica}.pcap",
                        [d for d in self.datagrams if address in (d.source, d.target)]))
        return out

    def write_rings(self, directory, only=None):
        for replica, ring in self.rings.items():
            if only is None or replica in only:
                ring.write(os.path.join(directory, f"ring-{replica}"))

    def write_gateways(self, directory):
        for gateway in self.gateways:
            with open(os.path.join(directory, gateway.path), "w") as out:
                out.write("".join(line + "\n" for line in gateway.lines))

    def write_captures(self, directory):
        for name, datagrams in self.captures():
            with open(os.path.join(directory, name), "wb") as out:
                out.write(e.pcap(datagrams, self.link, self.big_endian, self.nanoseconds))

    def write_starts(self, directory):
        with open(os.path.join(directory, "starts"), "w") as out:
            for utc_ns, what, replica in self.starts:
                out.write(f"{what} {replica} {utc_ns}\n")

    def write(self, directory):
        self.write_rings(directory)
        self.write_gateways(directory)
        self.write_captures(directory)
        self.write_starts(directory)

    def arguments(self, directory):
        out = []
        for replica in self.rings:
            out += ["--ring", f"{replica}={directory}/ring-{replica}"]
            out += ["--line", f"{replica}=10.0.0.{replica}"]
        for gateway in self.gateways:
            out += ["--gateway", f"{directory}/{gateway.path}"]
        for name, _ in self.captures():
            out += ["--capture", f"{directory}/{name}"]
        out += ["--feed-port", str(FEED_PORT), "--starts", f"{directory}/starts",
                "--framing", "envelope" if self.envelope else "raw", "--complete-gateways"]
        return out


def main():
    parser = argparse.ArgumentParser(description="Writes one synthetic history.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("directory")
    options = parser.parse_args()
    os.makedirs(options.directory, exist_ok=True)
    history = History(options.seed)
    history.write(options.directory)
    print(" ".join(history.arguments(options.directory)))


if __name__ == "__main__":
    main()
