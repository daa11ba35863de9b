"""Damage to captures and to the list of starts."""

import struct

import encode as e
from histories import FEED_PORT
from planted import Planted, acknowledged, pick


def stretches(history):
    """Lists of a line's packets, a list for each stretch."""
    out = {}
    for d in history.datagrams:
        if d.replica is not None and d.kind in ("data", "heartbeat", "end"):
            out.setdefault((d.replica, d.stretch), []).append(d)
    return out


def inner(history, kind="data", follow=True):
    """Packets of a kind, with a successor, behind the first message or end of session of their
    stretch."""
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
    return pick(history, [d for d in history.datagrams
                          if d.kind in ("data", "answer") and wanted(d)])


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
    which = ("end", end.replica, end.stretch, end.day)
    history.datagrams = [d for d in history.datagrams
                         if (d.kind, d.replica, d.stretch, d.day) != which]
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
    # answers about earlier days may be cut off with it
    return Planted(rf"^day {last} +feed {missing}:", anywhere=True)


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
    """A restart that the list of starts does not know: the line goes back or leaves a gap. A beginning
    anew at another number excuses nothing."""
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
    history.starts.append((first.first + 1, "anew", replica))  # declared, but for another number
    history.write_starts(directory)
    return place(history, directory, first)


def starts_garbage(history, directory):
    at = history.random.randint(0, len(history.starts))
    history.starts.insert(at, (7, "stop", 1))
    history.write_starts(directory)
    return Planted(rf"starts line {at + 1}: ")
