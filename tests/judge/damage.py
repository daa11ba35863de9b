"""Spoils one place of a synthetic history (histories.py), already written to a directory, and says how
keel-judge must name that place: a list of patterns, one of which its first failure matches (or, for
damage that shows in several places, any of its failures)."""

import re
import struct

import encode as e
from histories import FEED_PORT, head_of


class Planted:
    def __init__(self, *places, anywhere=False):
        self.places, self.anywhere = places, anywhere

    def named_in(self, failures):
        lines = failures if self.anywhere else failures[:1]
        return any(re.search(place, line) for place in self.places for line in lines)


def pick(history, candidates):
    candidates = list(candidates)
    return history.random.choice(candidates) if candidates else None


# --- rings ---


def good_pages(ring):
    """Numbers of pages that the judge takes into the log."""
    return range(ring.head, getattr(ring, "torn_from", len(ring.pages)))


def any_page(history, wanted=lambda ring, number: True):
    return pick(history, [(ring, number) for ring in history.rings.values()
                          for number in good_pages(ring) if wanted(ring, number)])


def patch(ring, directory, offset, data):
    with open(f"{directory}/ring-{ring.replica}", "r+b") as out:
        out.seek(offset)
        out.write(data)


def page_bytes(ring, directory, number):
    with open(f"{directory}/ring-{ring.replica}", "rb") as out:
        out.seek(ring.offset(number))
        return bytearray(out.read(e.PAGE))


def ring_flip(history, directory):
    found = any_page(history)
    if found is None:
        return None
    ring, number = found
    data = page_bytes(ring, directory, number)
    used = e.SECTOR + sum(map(len, ring.pages[number].entries))
    bit = history.random.randrange(used * 8)
    data[bit // 8] ^= 1 << bit % 8
    patch(ring, directory, ring.offset(number), data)
    return Planted(rf"^ring {ring.replica} page {number} ")


def ring_lost(history, directory):
    def witnessed(ring, number):
        return any(ring.pages[k].durable_page > number for k in good_pages(ring) if k != number)
    found = any_page(history, witnessed)
    if found is None:
        return None
    ring, number = found
    patch(ring, directory, ring.offset(number), bytes(e.PAGE))
    return Planted(rf"^ring {ring.replica} page {number} ")


def ring_half(history, directory):
    """A sector that was durable reads as zeros."""
    def witnessed(ring, number):
        return ring.pages[number].entries and any(
            ring.pages[k].durable_page > number for k in good_pages(ring) if k != number)
    found = any_page(history, witnessed)
    if found is None:
        return None
    ring, number = found
    patch(ring, directory, ring.offset(number) + e.SECTOR, bytes(e.SECTOR))
    return Planted(rf"^ring {ring.replica} page {number} ")


def ring_places(history, directory):
    """Two pages have changed places."""
    found = any_page(history, lambda ring, number: number + 1 in good_pages(ring))
    if found is None:
        return None
    ring, number = found
    first, second = page_bytes(ring, directory, number), page_bytes(ring, directory, number + 1)
    patch(ring, directory, ring.offset(number), second)
    patch(ring, directory, ring.offset(number + 1), first)
    return Planted(rf"^ring {ring.replica} page ({number}|{number + 1}) ")


def rewrite(history, directory, ring):
    history.write_rings(directory, [ring.replica])


def live_entry(ring, index):
    """(page number, place in it) of the live version of an index that the ring retains."""
    if index > max(ring.chains, default=0):
        return None
    number = ring.last_page_of(index)
    if number is None or number not in good_pages(ring):
        return None
    return number, index - ring.pages[number].first_index


def change_body(data, history):
    """The entry with one bit of its last block changed, checksum right."""
    _, kind, _, _, _, _, _, _, body = e.entry_fields(data)
    body = bytearray(body)
    used = 40 + struct.unpack_from("<H", body, 34)[0]
    length, at = 0, 40
    while at < used:
        length = struct.unpack_from("<H", body, at)[0]
        at += 2 + length
    bit = history.random.randrange(length * 8)
    body[used - length + bit // 8] ^= 1 << bit % 8
    return e.entry_change(data, body=bytes(body))


def ring_entry(history, directory):
    """One replica holds another content at one index, everything else in order."""
    candidates = []
    for ring in history.rings.values():
        for index in range(1, history.held[ring.replica] + 1):
            if history.log[index - 1][6] != e.MESSAGES or live_entry(ring, index) is None:
                continue
            if any(live_entry(other, index) for other in history.rings.values() if other is not ring):
                candidates.append((ring, index))
    found = pick(history, candidates)
    if found is None:
        return None
    ring, index = found
    number, at = live_entry(ring, index)
    page = ring.pages[number]
    page.entries[at] = change_body(page.entries[at], history)
    ring.checkpoints = [] if ring.head == 0 else ring.checkpoints
    rewrite(history, directory, ring)
    return Planted(rf"^index {index}: ring", rf"^ring {ring.replica}: checkpoint")


def ring_chain(history, directory):
    found = any_page(history, lambda ring, number: number > ring.head)
    if found is None:
        return None
    ring, number = found
    ring.pages[number].chain = history.random.getrandbits(63)
    rewrite(history, directory, ring)
    return Planted(rf"^ring {ring.replica} page {number}: log chain")


def ring_before(history, directory):
    found = any_page(history, lambda ring, number: number > ring.head)
    if found is None:
        return None
    ring, number = found
    identities = ring.identities()
    known = min(8, number - ring.head)
    before = bytearray(b"".join(identities[number - 1 - k] if k < number else bytes(32)
                                for k in range(8)))
    bit = history.random.randrange(known * 32 * 8)
    before[bit // 8] ^= 1 << bit % 8
    ring.pages[number].before_change = bytes(before)
    rewrite(history, directory, ring)
    return Planted(rf"^ring {ring.replica} page {number}: names another identity")


def ring_back(history, directory):
    found = any_page(history, lambda ring, number: number > ring.head)
    if found is None:
        return None
    ring, number = found
    field = history.random.choice(("boot", "lsn", "term"))
    page = ring.pages[number]
    setattr(page, field, getattr(ring.pages[number - 1], field) - 1)
    if getattr(page, field) < 0:
        setattr(page, field, 0)
        page.boot = 0
    rewrite(history, directory, ring)
    return Planted(rf"^ring {ring.replica} page {number}: ")


def ring_supersede(history, directory):
    def fits(ring, _):
        last = ring.pages[-1]
        return (not hasattr(ring, "torn_from") and last.commit >= ring.pages[ring.head].first_index and
                len(ring.pages) + 1 - ring.head <= ring.slots)
    found = any_page(history, fits)
    if found is None:
        return None
    ring, _ = found
    last = ring.pages[-1]
    index, term = last.commit, last.term + 1
    data = e.entry(index, term, e.NOOP, e.noop(1, 5), history.utc_ns, history.log_ns, 0, 1)
    ring.pages.append(e.Page(first_index=index, entries=[data], term=term, boot=last.boot,
                             lsn=last.lsn + 1, durable_lsn=last.lsn, durable_page=last.durable_page,
                             commit=last.commit))
    rewrite(history, directory, ring)
    return Planted(rf"^ring {ring.replica} page {len(ring.pages) - 1}: supersedes index {index}")


def ring_genesis(history, directory):
    ring = pick(history, history.rings.values())
    record = bytearray(ring.record[:508])
    record[184] ^= 1
    ring.record = bytes(record) + struct.pack("<I", e.crc32c(record))
    rewrite(history, directory, ring)
    return Planted(r"^ring \d: genesis")


def ring_other(history, directory):
    """A ring file of another replica."""
    ring = pick(history, history.rings.values())
    block = e.superblock(ring.replica % 7 + 1, ring.incarnation, ring.slots, ring.area)
    for copy in range(2):
        patch(ring, directory, copy * e.PAGE, block)
    return Planted(rf"^ring {ring.replica}: superblock")


# --- the whole cluster's log ---


def change_all(history, directory, changes):
    """{index: entry} in every ring that holds the index live."""
    for ring in history.rings.values():
        ring.identities()
        places = {index: live_entry(ring, index) for index in changes}
        for index, place in places.items():
            entries = ring.pages[place[0]].entries if place is not None else []
            if entries and entries[place[1]] == history.log[index - 1]:
                entries[place[1]] = changes[index]
    history.write_rings(directory)


def acknowledged(history, status="sequenced"):
    """[(session, number)] that some gateway log calls so."""
    known = {s.id: s for s in history.sessions}
    out = set()
    for gateway in history.gateways:
        for line in gateway.lines:
            fields = line.split()
            if fields[0] == "ack" and fields[3] == status:
                out.add((int(fields[1]), int(fields[2])))
    return [(known[s], n) for s, n in sorted(out)]


def first_lost(history, s, index):
    """The lowest acknowledged number of a session that the entry at index, or a later one, consumed: the
    judge tells only the first difference of each session."""
    known = acknowledged(history) + acknowledged(history, "day-closed")
    return min(n for t, n in known if t is s and s.results[n][4] >= index)


def log_content(history, directory):
    """Every replica agrees on a content that the gateway never sent."""
    found = pick(history, acknowledged(history))
    if found is None:
        return None
    s, number = found
    index = s.results[number][4]
    data = change_body(history.log[index - 1], history)
    first, _, count = struct.unpack_from("<QQH", data, 48 + 16)
    last = first + count - 1
    if s.results.get(last, [0] * 5)[4] != index:
        return None  # beyond the window: not of the order
    change_all(history, directory, {index: data})
    return Planted(rf"line \d+: session {s.id} number {last} ",
                   rf"^index {index}: session {s.id} number {last} ", anywhere=True)


def log_lost(history, directory):
    """Every replica has lost one acknowledged entry."""
    def same_time(s, number):  # a resend stamped alike would stand in for it, and nobody could tell
        index = s.results[number][4]
        return any(other[6] == e.MESSAGES and other[24:32] == history.log[index - 1][24:32]
                   for at, other in enumerate(history.log) if at != index - 1)
    found = pick(history, [x for x in acknowledged(history) if not same_time(*x)])
    if found is None:
        return None
    s, number = found
    index = s.results[number][4]
    _, _, _, term, utc_ns, log_ns, error_ns, _, _ = e.entry_fields(history.log[index - 1])
    change_all(history, directory, {index: e.entry(index, term, e.BOOT, e.boot(1, 9, 1, 1), utc_ns, log_ns,
                                                   error_ns, 1)})
    lost = first_lost(history, s, index)  # or a resend stands in for it, a little later
    return Planted(rf"line \d+: session {s.id} number {lost} ",
                   rf"day {s.results[lost][3]}\) feed {s.results[lost][1]}:", anywhere=True)


def log_short(history, directory):
    """A majority ends before the last acknowledged entry."""
    found = acknowledged(history)
    if not found:
        return None
    s, number = max(found, key=lambda x: x[0].results[x[1]][4])
    index = s.results[number][4]
    history.log = history.log[:index - 1]
    history.boundaries = [(at, stale) for at, stale in history.boundaries if at < index]
    history.build_rings()
    history.write_rings(directory)
    lost = first_lost(history, s, index)
    return Planted(rf"line \d+: session {s.id} number {lost} .*not in the log", anywhere=True)


def log_order(history, directory):
    """Two neighbouring entries of a session have changed places."""
    candidates = []
    for index in range(1, len(history.log)):
        first, second = history.log[index - 1], history.log[index]
        if first[6] == second[6] == e.MESSAGES and first[44:56] == second[44:56]:
            a, b = struct.unpack_from("<Q", first, 64)[0], struct.unpack_from("<Q", second, 64)[0]
            s = next(s for s in history.sessions if s.id == struct.unpack_from("<Q", first, 48)[0])
            if s.results.get(a, [0] * 5)[4] == index and s.results.get(b, [0] * 5)[4] == index + 1:
                candidates.append((index, s, b))
    found = pick(history, [c for c in candidates if (c[1], c[2]) in set(acknowledged(history))])
    if found is None:
        return None
    index, s, _ = found
    first, second = history.log[index - 1], history.log[index]
    change_all(history, directory, {index: e.entry_change(first, body=second[48:]),
                                    index + 1: e.entry_change(second, body=first[48:])})
    numbers = [n for n, result in s.results.items() if result[4] in (index, index + 1)]
    return Planted(*[rf"line \d+: session {s.id} number {n} " for n in numbers], anywhere=True)


def log_time(history, directory):
    index = pick(history, range(2, min(history.held[i] for i in history.order[:history.quorum]) + 1))
    if index is None:
        return None
    before = struct.unpack_from("<Q", history.log[index - 2], 24)[0]
    change_all(history, directory, {index: e.entry_change(history.log[index - 1],
                                                         utc_ns=before - history.random.randint(1, 9**9))})
    return Planted(rf"^index {index} \(ring")


def log_term(history, directory):
    """A term that does not begin with the leader's own no-op."""
    found = pick(history, [index for index, _ in history.boundaries])
    if found is None:
        return None
    _, _, index, term, utc_ns, log_ns, error_ns, _, _ = e.entry_fields(history.log[found - 1])
    change_all(history, directory, {found: e.entry(index, term, e.BOOT, e.boot(1, 9, 1, 1), utc_ns, log_ns,
                                                  error_ns, 1)})
    return Planted(rf"^index {found} \(ring")


# --- gateway logs ---


def any_line(history, wanted):
    found = pick(history, [(gateway, at) for gateway in history.gateways
                           for at, line in enumerate(gateway.lines) if wanted(line.split())])
    return found


def change_line(history, directory, wanted, change):
    found = any_line(history, wanted)
    if found is None:
        return None
    gateway, at = found
    fields = gateway.lines[at].split()
    change(fields)
    gateway.lines[at] = " ".join(fields)
    history.write_gateways(directory)
    return Planted(rf"{gateway.path} line {at + 1}: ")


def is_ack(fields, status="sequenced"):
    return fields[0] == "ack" and fields[3] == status


def gateway_feed(history, directory):
    def change(fields):
        fields[4] = str(int(fields[4]) + history.random.choice((1, 2, 1000)))
    return change_line(history, directory, is_ack, change)


def gateway_time(history, directory):
    def change(fields):
        fields[5] = str(int(fields[5]) + history.random.choice((1, 10**9)))
    return change_line(history, directory, is_ack, change)


def gateway_day(history, directory):
    def change(fields):
        fields[6] = history.random.choice(("20231231", "2024010", "20240102x"))
    return change_line(history, directory, lambda f: is_ack(f) and f[6] != "-", change)


def gateway_status(history, directory):
    def change(fields):
        if fields[3] == "sequenced":
            fields[3], fields[4] = "day-closed", "0"
        else:
            fields[3], fields[4] = "sequenced", "1"
    return change_line(history, directory, lambda f: is_ack(f) or is_ack(f, "day-closed"), change)


def gateway_invented(history, directory):
    """A result for a number that was never consumed."""
    def change(fields):
        fields[2] = str(int(fields[2]) + 1000)
    return change_line(history, directory, is_ack, change)


def gateway_hash(history, directory):
    found = pick(history, acknowledged(history))
    if found is None:
        return None
    s, number = found
    start = f"submit {s.id} {number} "
    lines = s.gateway.lines
    for at, line in enumerate(lines):
        if line.startswith(start):
            lines[at] = line[:-16] + head_of(b"another")
    history.write_gateways(directory)
    return Planted(rf"line \d+: session {s.id} number {number} .*another content")


def gateway_unsubmitted(history, directory):
    known = [(s, n) for s in history.sessions for n in s.results]
    found = pick(history, known)
    if found is None:
        return None
    s, number = found
    start = f"submit {s.id} {number} "
    s.gateway.lines = [line for line in s.gateway.lines if not line.startswith(start)]
    history.write_gateways(directory)
    return Planted(rf"session {s.id} number {number} ")


def gateway_garbage(history, directory):
    gateway = pick(history, history.gateways)
    at = history.random.randint(0, len(gateway.lines))
    gateway.lines.insert(at, history.random.choice(
        ("ack 1 2", "sumbit 1 1 1 0011223344556677", "ack 1 one sequenced 1 1 d", "submit 1 1 1 1 1 1 1 1 1",
         "session 1 x 1 1", "end 5 5 5", "submit 1 -1 1 0011223344556677")))
    history.write_gateways(directory)
    return Planted(rf"{gateway.path} line {at + 1}: ")


def gateway_end(history, directory):
    def change(fields):
        fields[2] = str(int(fields[2]) + 1)
    return change_line(history, directory, lambda f: f[0] == "end", change)


def gateway_session(history, directory):
    def change(fields):
        at = history.random.choice((2, 3, 4, 5))
        fields[at] = "other" if at == 2 else str(int(fields[at]) + 1000)
    return change_line(history, directory, lambda f: f[0] == "session", change)


def gateway_unopened(history, directory):
    """A log that speaks of a session before it says that it was opened."""
    gateway = pick(history, history.gateways)
    first = next((at for at, line in enumerate(gateway.lines) if line.split()[0] in ("submit", "ack")),
                 None)
    if first is None:
        return None
    session = gateway.lines[first].split()[1]
    gateway.lines = [line for line in gateway.lines if not (
        line.startswith("session") and line.split()[3] == session)]
    at = next(at for at, line in enumerate(gateway.lines) if line.split()[0] in ("submit", "ack"))
    history.write_gateways(directory)
    return Planted(rf"{gateway.path} line {at + 1}: session {session} was not opened")


# --- captures ---


def stretches(history):
    """Lists of a line's packets, a list for each stretch."""
    out = {}
    for d in history.datagrams:
        if d.replica is not None and d.kind in ("data", "heartbeat", "end"):
            out.setdefault((d.replica, d.stretch), []).append(d)
    return out


def inner(history, kind="data", follow=True):
    """Packets of a kind behind the first message or end of session of their stretch; with a successor."""
    out = []
    for packets in stretches(history).values():
        begun = False
        for at, d in enumerate(packets):
            if begun and d.kind == kind and (not follow or at + 1 < len(packets)):
                out.append((packets, at))
            begun = begun or d.kind != "heartbeat"
    return out


def place(history, directory, datagram):
    """Writes the captures and says where the datagram stands in them."""
    history.write_captures(directory)
    for name, datagrams in history.captures():
        for number, d in enumerate(datagrams):
            if d is datagram:
                return Planted(rf"{name} packet {number + 1} \(line {d.replica}")
    raise AssertionError("the datagram is in no capture")


def feed_drop(history, directory):
    found = pick(history, inner(history))
    if found is None:
        return None
    packets, at = found
    history.datagrams.remove(packets[at])
    return place(history, directory, packets[at + 1])


def feed_double(history, directory):
    found = pick(history, inner(history, follow=False))
    if found is None:
        return None
    packets, at = found
    twin = packets[at].copy()
    history.datagrams.insert(history.datagrams.index(packets[at]) + 1, twin)
    return place(history, directory, twin)


def feed_swap(history, directory):
    found = pick(history, [(p, at) for p, at in inner(history) if p[at + 1].kind == "data"])
    if found is None:
        return None
    packets, at = found
    first, second = packets[at], packets[at + 1]
    first.payload, second.payload = second.payload, first.payload
    return place(history, directory, first)


def blocks_of(datagram):
    out, at = [], 20
    for _ in range(datagram.count):
        length = struct.unpack_from(">H", datagram.payload, at)[0]
        out.append(datagram.payload[at + 2:at + 2 + length])
        at += 2 + length
    return out


def all_data(history, wanted=lambda d: True):
    return pick(history, [d for d in history.datagrams if d.kind in ("data", "answer") and wanted(d)])


def feed_blocks(history, directory):
    """Two neighbouring messages of a packet have changed places."""
    def wanted(d):
        blocks = blocks_of(d)
        return any(a != b for a, b in zip(blocks, blocks[1:]))
    d = all_data(history, wanted)
    if d is None:
        return None
    blocks = blocks_of(d)
    at = pick(history, [k for k in range(len(blocks) - 1) if blocks[k] != blocks[k + 1]])
    blocks[at], blocks[at + 1] = blocks[at + 1], blocks[at]
    d.payload = d.payload[:20] + b"".join(struct.pack(">H", len(b)) + b for b in blocks)
    planted = place(history, directory, d)
    return Planted(planted.places[0] + rf".* feed {d.first + at}:")


def feed_flip(history, directory):
    """One bit of one block: of an envelope or of a payload."""
    d = all_data(history, lambda d: any(blocks_of(d)))
    if d is None:
        return None
    blocks = blocks_of(d)
    at = pick(history, [k for k, b in enumerate(blocks) if b])
    block = bytearray(blocks[at])
    bit = history.random.randrange(len(block) * 8)
    block[bit // 8] ^= 1 << bit % 8
    blocks[at] = bytes(block)
    d.payload = d.payload[:20] + b"".join(struct.pack(">H", len(b)) + b for b in blocks)
    planted = place(history, directory, d)
    return Planted(planted.places[0] + rf".* feed {d.first + at}:")


def feed_head(history, directory):
    """The sequence number, the count, or a block's length."""
    found = pick(history, inner(history, follow=False))
    if found is None:
        return None
    d = found[0][found[1]]
    data = bytearray(d.payload)
    at = history.random.choice((17, 19, 21))
    data[at] = data[at] + 1 & 255
    d.payload = bytes(data)
    return place(history, directory, d)


def feed_day(history, directory):
    d = all_data(history, lambda d: d.kind == "data")
    if d is None:
        return None
    d.payload = b"20250101  " + d.payload[10:]
    return place(history, directory, d)


def feed_beyond(history, directory):
    """A line shows a message that no majority holds."""
    if not history.day_open or not history.datagrams:
        return None
    replica = history.random.choice(history.order)
    day = history.days[-1]
    mine = [d for d in history.datagrams if d.replica == replica]
    if not mine:
        return None
    block = b"not in the log"
    if history.envelope:
        block = e.envelope(0, 0, history.utc_ns, history.sessions[-1].id, 999, block)
    d = mine[-1].copy()
    d.kind, d.port = "data", FEED_PORT
    d.target_port, d.utc_ns = FEED_PORT, d.utc_ns + 1
    d.payload = e.mold(day.name, len(day.items) + 1, [block])
    history.datagrams.insert(history.datagrams.index(mine[-1]) + 1, d)
    planted = place(history, directory, d)
    planted.anywhere = True
    return planted


def feed_heartbeat(history, directory):
    found = pick(history, inner(history, "heartbeat", follow=False))
    if found is None:
        return None
    d = found[0][found[1]]
    step = history.random.choice((-1, 1, 7))
    d.payload = e.mold(d.day, max(d.first + step, 0), [])
    return place(history, directory, d)


def feed_end(history, directory):
    found = pick(history, inner(history, "end", follow=False))
    if found is None:
        return None
    d = found[0][found[1]]
    d.payload = e.mold(d.day, d.first + history.random.choice((-1, 1)), [], 0xFFFF)
    return place(history, directory, d)


def feed_no_end(history, directory):
    """A line goes on with the next day and never ended the last."""
    candidates = []
    for packets in stretches(history).values():
        for at, d in enumerate(packets):
            later = [k for k in packets[at + 1:] if k.day != d.day]
            if d.kind == "end" and packets[at - 1].kind == "data" and at > 0 and later:
                candidates.append((packets, d, later[0]))
    found = pick(history, candidates)
    if found is None:
        return None
    packets, end, later = found
    history.datagrams = [d for d in history.datagrams if not (
        d.kind == "end" and d.replica == end.replica and d.stretch == end.stretch and d.day == end.day)]
    return place(history, directory, later)


def feed_false_end(history, directory):
    """An end of session in the middle of a day."""
    found = pick(history, [(p, at) for p, at in inner(history) if p[at + 1].kind == "data"])
    if found is None:
        return None
    packets, at = found
    d = packets[at].copy()
    d.kind, d.utc_ns = "end", d.utc_ns + 1
    d.payload = e.mold(d.day, d.first + d.count, [], 0xFFFF)
    history.datagrams.insert(history.datagrams.index(packets[at]) + 1, d)
    return place(history, directory, d)


def feed_union(history, directory):
    """No line shows the highest acknowledged number of the last day."""
    last = history.days[-1].name
    numbers = [s.results[n][1] for s, n in acknowledged(history) if s.results[n][3] == last]
    if not numbers:
        return None
    top = max(numbers)
    cut = set()
    kept, shown = [], set()
    for d in history.datagrams:
        line = (d.replica, d.target_port)
        if d.kind in ("data", "answer") and d.day == last and d.first <= top < d.first + d.count:
            cut.add(line)
        if line not in cut or d.replica is None:
            kept.append(d)
            if d.kind in ("data", "answer") and d.day == last:
                shown.update(range(d.first, d.first + d.count))
    missing = min(n for n in range(1, top + 1) if n not in shown)
    history.datagrams = kept
    history.write_captures(directory)
    return Planted(rf"^day {last} +feed {missing}:")


def feed_cut(history, directory):
    """The capture ends within a packet."""
    if not history.datagrams:
        return None
    name, datagrams = pick(history, [c for c in history.captures() if c[1]])
    path = f"{directory}/{name}"
    with open(path, "r+b") as out:
        out.seek(0, 2)
        out.truncate(out.tell() - history.random.randint(1, 15))
    return Planted(rf"{name} packet {len(datagrams)}: the capture is cut off")


def feed_start(history, directory):
    """A restart that the list of starts does not know: the line goes back or leaves a gap."""
    candidates = []
    for (replica, stretch), packets in stretches(history).items():
        before = stretches(history).get((replica, stretch - 1))
        if stretch < 1 or not before or all(d.kind == "heartbeat" for d in before):
            continue
        last = before[-1]
        if packets[0].day == last.day and packets[0].first != last.first + last.count:
            candidates.append((replica, stretch, packets[0]))
    found = pick(history, candidates)
    if found is None:
        return None
    replica, stretch, first = found
    mine = [x for x in history.starts if x[1:] == ("start", replica)]
    offset = 1 if min(d.stretch for d in history.datagrams if d.replica == replica and
                      d.kind != "answer") >= 1 else 0
    history.starts.remove(mine[stretch - 1 if offset else stretch - 1])
    history.write_starts(directory)
    return place(history, directory, first)


def starts_garbage(history, directory):
    at = history.random.randint(0, len(history.starts))
    history.starts.insert(at, (7, "stop", 1))
    history.write_starts(directory)
    return Planted(rf"starts line {at + 1}: ")


ALWAYS = [ring_flip, ring_lost, ring_half, ring_places, ring_entry, ring_chain, ring_before, ring_back,
          ring_supersede, ring_genesis, ring_other, gateway_garbage, feed_drop, feed_double, feed_swap,
          feed_cut, feed_start, starts_garbage]
WHOLE = [log_content, log_lost, log_short, log_order, log_time, log_term, gateway_feed, gateway_time,
         gateway_day, gateway_status, gateway_invented, gateway_hash, gateway_unsubmitted, gateway_end,
         gateway_session, gateway_unopened, feed_blocks, feed_flip, feed_head, feed_day, feed_beyond,
         feed_heartbeat, feed_end, feed_no_end, feed_false_end, feed_union]


def spoil(history, directory, turn):
    """Plants the turn-th kind of damage, or the next that this history has room for. A history whose
    beginning every ring has overwritten can be judged less closely, so fewer kinds are planted there."""
    whole = any(ring.head == 0 for ring in history.rings.values()) and not history.wrapped
    kinds = ALWAYS + WHOLE if whole else ALWAYS
    for k in range(len(kinds)):
        kind = kinds[(turn + k) % len(kinds)]
        planted = kind(history, directory)
        if planted is not None:
            return kind.__name__, planted
    raise AssertionError("no damage fits")
