"""The feed lines of a synthetic history: stretches, heartbeats, ends of session, requests."""

import encode as e

FEED_PORT, REQUEST_PORT, CONSUMER = 26400, 26401, 0x0A000064
MS = 1_000_000


class FeedPlans:
    """Part of History: from its events to self.datagrams and self.starts."""

    def address(self, replica):
        return 0x0A000000 + replica

    def build_feed(self):
        r = self.random
        self.starts = []
        self.datagrams = []
        self.link = r.choice((1, 1, 113, 276))
        self.big_endian, self.nanoseconds = r.random() < 0.3, r.random() < 0.6
        self.apart = r.random() < 0.4  # a file for each line
        lines = {}
        for replica in sorted(self.order):
            lines[replica] = self.build_line(replica, replica == self.order[0])
        for packets in lines.values():
            self.datagrams += packets
        self.starts.sort()
        self.datagrams.sort(key=lambda d: d.utc_ns)

    def build_line(self, replica, complete):
        """One replica's line: stretches of the events that it has applied."""
        r = self.random
        events = [x for x in self.events if x[0] <= self.held[replica]]
        at, clock, out, stretch = 0, e.T0 + replica * 1000, [], 0
        if r.random() < 0.8:
            self.starts.append((clock, "start", replica))
            stretch = 1
        if r.random() < 0.4:
            at = r.randint(0, min(3, len(events)))
        skipped = events[:at]
        while True:
            end = len(events)
            if r.random() < 0.5 and end - at > 4:
                end = r.randint(at + 1, end)
            clock = self.build_stretch(replica, stretch, events[at:end], events[:at], clock, out)
            if end >= len(events):
                break
            clock += 3 * MS
            self.starts.append((clock, "kill", replica))
            clock += 3 * MS
            self.starts.append((clock, "start", replica))
            stretch += 1
            at = max(0, end - r.randint(0, 3))
            if not complete and r.random() < 0.5:
                at = min(len(events), end + r.randint(0, 4))
            self.count("restart of a line")
        if complete and skipped:
            self.build_answers(replica, skipped, clock, out)
        return out

    def packet(self, replica, stretch, clock, name, first, items, kind, port=FEED_PORT):
        blocks = [item.block(self.envelope) for item in items]
        count = 0xFFFF if kind == "end" else None
        return e.Datagram(clock, self.address(replica), CONSUMER, REQUEST_PORT, port,
                          e.mold(name, first, blocks, count), replica=replica, stretch=stretch,
                          first=first, count=len(items), day=name, kind=kind)

    def build_stretch(self, replica, stretch, events, before, clock, out):
        r = self.random
        day, position, open_day, shown = 0, 1, True, False
        for _, what, number, _ in before:
            if what == "begin":
                day, position, open_day = number, 1, True
            elif what == "item":
                position += 1
            else:
                open_day = False
        pending = []

        def flush():
            nonlocal pending, position, clock
            if pending:
                clock += r.randint(1, 4) * 100_000
                out.append(self.packet(replica, stretch, clock, self.days[day].name, position,
                                       pending, "data"))
                position += len(pending)
                pending = []

        def beat(name, at, kind="heartbeat"):
            nonlocal clock
            clock += 200_000
            out.append(self.packet(replica, stretch, clock, name, at, [], kind))

        if open_day and r.random() < 0.3:
            beat(self.days[day].name, max(1, position - r.randint(0, 2)))
        for _, what, number, item in events:
            if what == "item":
                size = sum(len(p.block(self.envelope)) + 2 for p in pending)
                if pending and (r.random() < 0.4 or size > 1000):
                    flush()
                    if r.random() < 0.2:
                        beat(self.days[day].name, position)
                pending.append(item)
                shown = True
            elif what == "end":
                flush()
                for _ in range(r.randint(1, 3)):
                    beat(self.days[number].name, position, "end")
                open_day, shown = False, True
            else:
                flush()
                day, position, open_day = number, 1, True
                if r.random() < 0.5:
                    beat(self.days[day].name, 1)
        flush()
        if open_day and (shown or not out) and r.random() < 0.5:
            beat(self.days[day].name, position)
        return clock

    def build_answers(self, replica, skipped, clock, out):
        """A consumer asks for what the line had not shown, from its feed socket or another."""
        r = self.random
        by_day = {}
        for _, what, day, item in skipped:
            if what == "item":
                by_day.setdefault(day, []).append(item)
        for day, items in by_day.items():
            port = r.choice((FEED_PORT, 40000))
            name = self.days[day].name
            for first in range(1, len(items) + 1, 2):
                part = items[first - 1:first + 1]
                clock += 100_000
                out.append(e.Datagram(clock, CONSUMER, self.address(replica), port, REQUEST_PORT,
                                      e.mold(name, first, [], len(part)), kind="request"))
                clock += 100_000
                answer = self.packet(replica, 0, clock, name, first, part, "answer", port)
                out.append(answer)
            self.count("answered request")
