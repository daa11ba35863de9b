"""Damage on which all replicas agree, and damage to gateway logs."""

import struct

import encode as e
from damage_ring import change_body, live_entry
from histories import head_of
from planted import Planted, acknowledged, pick


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


def first_lost(history, s, index):
    """The lowest acknowledged number of a session that the entry at index, or a later one,
    consumed: the judge tells only the first difference of each session."""
    words = {result[0] for result in s.results.values()}
    known = [n for word in words for t, n in acknowledged(history, word) if t is s]
    return min(n for n in known if s.results[n][4] >= index)


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


def resent_at_once(history, indexes):
    """A resend stamped alike would stand in for what these entries lose, and nobody could tell."""
    times = {history.log[index - 1][24:32] for index in indexes}
    return any(other[6] == e.MESSAGES and other[24:32] in times
               for at, other in enumerate(history.log) if at + 1 not in indexes)


def log_lost(history, directory):
    """Every replica has lost one acknowledged entry."""
    found = pick(history, [(s, n) for s, n in acknowledged(history)
                           if not resent_at_once(history, {s.results[n][4]})])
    if found is None:
        return None
    s, number = found
    index = s.results[number][4]
    change_all(history, directory, {index: e.entry_other(history.log[index - 1])})
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
            if resent_at_once(history, {index, index + 1}):
                continue
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
    held = min(history.held[i] for i in history.order[:history.quorum])
    index = pick(history, range(2, held + 1))
    if index is None:
        return None
    before = struct.unpack_from("<Q", history.log[index - 2], 24)[0]
    earlier = before - history.random.randint(1, 9**9)
    change_all(history, directory,
               {index: e.entry_change(history.log[index - 1], utc_ns=earlier)})
    return Planted(rf"^index {index} \(ring")


def log_term(history, directory):
    """A term that does not begin with the leader's own no-op."""
    found = pick(history, [index for index, _ in history.boundaries])
    if found is None:
        return None
    change_all(history, directory, {found: e.entry_other(history.log[found - 1])})
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
    known = [(s, n) for s in history.sessions for n in s.results if n not in s.operations]
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
        ("ack 1 2", "sumbit 1 1 1 0011223344556677", "ack 1 one sequenced 1 1 d",
         "submit 1 1 1 1 1 1 1 1 1", "session 1 x 1 1", "end 5 5 5",
         "submit 1 -1 1 0011223344556677")))
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
    speaks = [at for at, line in enumerate(gateway.lines) if line.split()[0] in ("submit", "ack")]
    first = speaks[0] if speaks else None
    if first is None:
        return None
    session = gateway.lines[first].split()[1]
    gateway.lines = [line for line in gateway.lines if not (
        line.startswith("session") and line.split()[3] == session)]
    at = next(at for at, line in enumerate(gateway.lines) if line.split()[0] in ("submit", "ack"))
    history.write_gateways(directory)
    return Planted(rf"{gateway.path} line {at + 1}: session {session} was not opened")
