"""The rings of a synthetic history: pages, seals, votes, superseded ends, laps, torn ends."""

import struct

import encode as e


class RingPlans:
    """Part of History: from its log and what each replica holds of it to self.rings."""

    def build_rings(self):
        r = self.random
        order = list(range(1, self.replicas + 1))
        r.shuffle(order)
        self.order = order
        self.held = {i: len(self.log) for i in order}
        for replica in order[self.quorum:]:
            if r.random() < 0.4:
                self.held[replica] = r.randint(0, len(self.log))
        # of each old leader's tail at most one replica holds something
        holder = {index: r.choice(order) for index, stale in self.boundaries if stale}
        self.rings = {}
        for replica in sorted(order):
            slots = 16 if self.wrapped else 64
            ring = e.Ring(replica, self.incarnations[replica], self.cluster, self.record, slots)
            self.fill_ring(ring, self.held[replica], holder)
            if self.wrapped or len(ring.pages) > slots - 8:
                ring.slots = 16
                self.wrap_ring(ring)
            elif r.random() < 0.4:
                self.tear_ring(ring)
            self.restore_page(ring)
            self.rings[replica] = ring
        if all(ring.head > 0 for ring in self.rings.values()):
            self.replace_member()

    def replace_member(self):
        """What the log had of it is overwritten: only checkpoints name the new incarnation."""
        replaced = self.random.choice(self.order)
        first = {**self.incarnations, replaced: self.random.getrandbits(62) | 1}
        for ring in self.rings.values():
            ring.record = self.genesis(first)
        self.count("member replaced before the rings begin")

    def fill_ring(self, ring, held, holder):
        r = self.random
        state = {"lsn": 0, "boot": 1, "term": 1, "commit": 0, "durable": 0, "durable_page": 0}
        stale_at = dict(self.boundaries)
        page = None

        def close():
            nonlocal page
            if page is not None:
                ring.pages.append(page)
                page = None

        def fresh(index, safe):
            """Opens a page at index; nothing above `safe` may be called committed in it."""
            nonlocal page
            close()
            if r.random() < 0.03:
                state["boot"] += 1
            lag = r.randint(1, 3)
            if len(ring.pages) >= lag:
                witness = ring.pages[-lag]
                state["durable"] = max(state["durable"], witness.lsn)
                state["durable_page"] = max(state["durable_page"], len(ring.pages) - lag + 1)
            state["commit"] = max(state["commit"], min(safe, index - 1) - r.randint(0, 4))
            page = e.Page(first_index=index, term=state["term"], boot=state["boot"],
                          lsn=state["lsn"], durable_lsn=state["durable"],
                          durable_page=state["durable_page"], commit=state["commit"],
                          vote=r.randint(0, self.replicas))

        def put(data, index, safe):
            full = page is None or sum(map(len, page.entries)) + len(data) > e.ROOM
            if full or r.random() < (0.8 if self.wrapped else 0.3):
                fresh(index, safe)
            state["lsn"] += 1
            page.entries.append(data)
            page.lsn = state["lsn"]

        for index in range(1, held + 2):
            if index in stale_at:
                stale = stale_at[index] if holder.get(index) == ring.replica else []
                for k, data in enumerate(stale[: r.randint(1, 3)]):
                    put(data, index + k, index - 1)
                if stale and index <= held:
                    state["lsn"] += 1  # the truncation
                close()
                if index <= held:
                    state["term"] = struct.unpack_from("<Q", self.log[index - 1], 16)[0]
                    state["lsn"] += 1
                    if r.random() < 0.5:
                        fresh(index, index - 1)  # term or vote alone
                        close()
            if index <= held:
                put(self.log[index - 1], index, index - 1)
        close()
        live = held + 1
        if ring.pages and r.random() < 0.6 and held + 1 not in stale_at:
            fresh(live, held)
            page.durable_lsn, page.durable_page = state["lsn"], len(ring.pages)
            close()

    def wrap_ring(self, ring):
        """Most of the ring is overwritten; the head stands where checkpoints let it."""
        r = self.random
        head = max(0, len(ring.pages) - r.randint(8, 13))
        while head > 0 and any(p.first_index < ring.pages[head].first_index
                               for p in ring.pages[head:]):
            head -= 1
        if len(ring.pages) - head > ring.slots:
            ring.slots = len(ring.pages) - head + 2
        ring.head = head
        if head == 0:
            return
        ring.identities()
        first = ring.pages[head].first_index
        if r.random() < 0.5:  # zeroed ahead
            ring.zero.update(range(head))
        for sequence in (1, 2):
            index = min(first - 1 + r.randint(0, 2), self.held[ring.replica])
            if index >= 1:
                term = struct.unpack_from("<Q", self.log[index - 1], 16)[0]
                ring.checkpoints.append(
                    e.checkpoint(ring.replica, ring.incarnation, ring.cluster, index, term,
                                 ring.chains[index], ring.pages[head].lsn, head,
                                 e.machine(self.order, self.incarnations, 1), sequence))
        self.count("wrapped ring")

    def restore_page(self, ring):
        """A page that was lost and came back without the entries that a later one supersedes."""
        for number in range(ring.head, getattr(ring, "torn_from", len(ring.pages))):
            page = ring.pages[number]
            live = sum(ring.last_page_of(page.first_index + k) == number
                       for k in range(len(page.entries)))
            if live < len(page.entries):
                page.present = live
                self.count("restored page")
                return

    def tear_ring(self, ring):
        """Pages in flight when the power went: this ring never acknowledged their entries."""
        r = self.random
        if not ring.pages or self.held[ring.replica] < len(self.log):
            return
        last = ring.pages[-1]
        index, number = len(self.log) + 1, len(ring.pages)
        if last.first_index + len(last.entries) != index:
            return
        kind = r.choice(("hole", "head", "sector"))
        for k in range(2 if kind == "hole" else 1):
            body = e.boot(1, self.incarnations[1], 1, 7 + k)
            data = e.entry(index + k, self.term, e.BOOT, body, self.utc_ns, self.log_ns, 0, 1)
            ring.pages.append(e.Page(first_index=index + k, term=max(self.term, last.term),
                                     boot=last.boot, lsn=last.lsn + 1 + k, commit=last.commit,
                                     durable_lsn=last.durable_lsn, durable_page=last.durable_page,
                                     entries=[data]))
        if kind == "hole":
            ring.zero.add(number)
        elif kind == "head":
            ring.patches.append((ring.offset(number), bytes(e.SECTOR)))
        else:
            ring.patches.append((ring.offset(number) + e.SECTOR, bytes(e.SECTOR)))
        ring.torn_from = number
        self.count("torn tail")
