"""Replicas that stopped for damage: pages of their rings are lost, and they say so (--stopped).

What one of them lost has to be on another ring; what all of them lost is lost."""

import encode as e
from damage_ring import good_pages, live_entry, page_bytes, patch
from planted import Planted


def named(ring, number):
    """Is there an intact page right behind it, which says what it was, and how its log went on?"""
    return number + 1 in good_pages(ring)


def ruin(random, ring, directory, number):
    """The head, or a sector of entries: no torn write leaves that."""
    data = page_bytes(ring, directory, number)
    if ring.pages[number].entries and random.random() < 0.5:
        data[e.SECTOR + random.randrange(e.SECTOR)] ^= 0x10
    else:
        data[:8] = b"\xa5" * 8
    patch(ring, directory, ring.offset(number), data)


def live_in(ring, number):
    page = ring.pages[number]
    return [index for index in range(page.first_index, page.first_index + len(page.entries))
            if live_entry(ring, index) == (number, index - page.first_index)]


def some_lost(random, history, directory):
    """Pages of some rings, or of all, each on another ring whole. The ids, maybe none."""
    gone = {}  # replica -> page
    for ring in random.sample(list(history.rings.values()), len(history.rings)):
        candidates = [n for n in good_pages(ring) if named(ring, n) and n > ring.head]
        random.shuffle(candidates)
        for number in candidates[:8]:
            others = [r for r in history.rings.values() if r is not ring]
            if all(any(index <= history.held[r.replica] and live_entry(r, index) is not None and
                       live_entry(r, index)[0] != gone.get(r.replica) for r in others)
                   for index in live_in(ring, number)):
                gone[ring.replica] = number
                ruin(random, ring, directory, number)
                break
    return sorted(gone)


def all_lost(random, history, directory):
    """The same entry on every ring that has it; all of them have more behind it."""
    for index in random.sample(range(1, len(history.log)), len(history.log) - 1):
        places = {ring: live_entry(ring, index) for ring in history.rings.values()}
        if all(place is not None and place[0] > ring.head and named(ring, place[0]) and
               index < history.held[ring.replica] and live_entry(ring, index + 1) is not None
               for ring, place in places.items()):
            for ring, place in places.items():
                ruin(random, ring, directory, place[0])
            return Planted(r"^index \d+: a majority held it, and no ring has it any more")
    return None
