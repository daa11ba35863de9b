"""Damage to one replica's ring."""

import struct

import encode as e
from planted import Planted, pick


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
        return ring.pages[number].entries and ring.pages[number].present is None and any(
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
            others = [other for other in history.rings.values() if other is not ring]
            if any(live_entry(other, index) for other in others):
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
    def known(ring, number):
        """What a restored page lacks says nothing of the chain behind it."""
        return number > ring.head and all(
            ring.pages[k].present is None or ring.pages[k].first_index >= ring.pages[number].first_index
            for k in range(ring.head, number))
    found = any_page(history, known)
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
        return (not hasattr(ring, "torn_from") and
                last.commit >= ring.pages[ring.head].first_index and
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


def ring_short(history, directory):
    """A page was restored without an entry that is in force."""
    found = any_page(history, lambda ring, number: ring.pages[number].entries and live_entry(
        ring, ring.pages[number].first_index + len(ring.pages[number].entries) - 1) == (
            number, len(ring.pages[number].entries) - 1))
    if found is None:
        return None
    ring, number = found
    page = ring.pages[number]
    page.present = history.random.randrange(len(page.entries))
    rewrite(history, directory, ring)
    return Planted(rf"^ring {ring.replica} page {number}: restored without index ")


def ring_other(history, directory):
    """A ring file of another replica."""
    ring = pick(history, history.rings.values())
    block = e.superblock(ring.replica % 7 + 1, ring.incarnation, ring.slots, ring.area)
    for copy in range(2):
        patch(ring, directory, copy * e.PAGE, block)
    return Planted(rf"^ring {ring.replica}: superblock")
