#!/usr/bin/env python3
"""Damages the evidence of one run in one place, to show that keel-judge finds it.

    sabotage.py drop|dup|swap|flip DIRECTORY --feed-port PORT [--seed N]

DIRECTORY holds captures (*.pcap), rings (ring-ID, ring-ID.*, or *.ring) and, if there is one,
`starts`. drop takes one packet of a line away; dup gives an acknowledged message a second number on
one line; swap lets two neighbouring messages of a packet change places; flip flips one bit, in a
page of a ring or in a message of a capture. The last two lines say what was done and, behind
"place: ", words that the judge's first failure holds. Exit: 0 done, 2 usage or nothing to damage.
"""

import argparse
import glob
import os
import random
import struct
import sys

PAGE, SECTOR = 4096, 512
PAGE_MAGIC = struct.pack("<Q", 0x314547414C45454B)
SUPER_MAGIC = struct.pack("<Q", 0x314B4C424C45454B)


class Trouble(Exception):
    pass


# --- captures ---


class Record:
    """One packet of a capture: its head, its frame, and what it is if it is of the feed."""

    def __init__(self, head, frame):
        self.head, self.frame = head, frame
        self.line = self.at = self.day = None  # (source, target), offset of the MoldUDP64 packet
        self.sequence = self.count = 0

    def blocks(self):
        out, at = [], self.at + 20
        for _ in range(self.count):
            size = struct.unpack_from(">H", self.frame, at)[0]
            out.append(self.frame[at + 2:at + 2 + size])
            at += 2 + size
        return out

    def rebuilt(self, order, sequence, blocks):
        """The same packet with other blocks; lengths are made right, the UDP checksum goes."""
        body = b"".join(struct.pack(">H", len(b)) + b for b in blocks)
        mold = self.day + struct.pack(">QH", sequence, len(blocks)) + body
        frame = bytearray(self.frame[:self.at] + mold)
        udp = self.at - 8
        ip = udp - (frame[self.ip] & 15) * 4
        struct.pack_into(">H", frame, udp + 4, 8 + len(mold))
        struct.pack_into(">H", frame, udp + 6, 0)
        struct.pack_into(">H", frame, ip + 2, udp - ip + 8 + len(mold))
        seconds, part = struct.unpack_from(order + "II", self.head)
        head = struct.pack(order + "IIII", seconds, part, len(frame), len(frame))
        return Record(head, bytes(frame))


def ip_offset(link, frame):
    if link == 113:
        return 16 if frame[14:16] == b"\x08\x00" else None
    if link == 276:
        return 20 if frame[:2] == b"\x08\x00" else None
    at = 18 if frame[12:14] == b"\x81\x00" else 14
    return at if frame[at - 2:at] == b"\x08\x00" else None


class Capture:
    def __init__(self, path, port):
        self.path, self.records = path, []
        with open(path, "rb") as source:
            data = source.read()
        magic = struct.unpack_from("<I", data)[0] if len(data) >= 24 else 0
        if magic in (0xA1B2C3D4, 0xA1B23C4D):
            self.order = "<"
        elif magic in (0xD4C3B2A1, 0x4D3CB2A1):
            self.order = ">"
        else:
            raise Trouble(f"{path}: not a classic pcap file")
        self.head = data[:24]
        link = struct.unpack_from(self.order + "I", data, 20)[0] & 0xFFFF
        at = 24
        while at + 16 <= len(data):
            size = struct.unpack_from(self.order + "I", data, at + 8)[0]
            record = Record(data[at:at + 16], data[at + 16:at + 16 + size])
            self.read_feed(record, link, port)
            self.records.append(record)
            at += 16 + size

    @staticmethod
    def read_feed(record, link, port):
        frame = record.frame
        ip = ip_offset(link, frame)
        if ip is None or len(frame) < ip + 20 or frame[ip + 9] != 17:
            return
        udp = ip + (frame[ip] & 15) * 4
        if len(frame) < udp + 28 or struct.unpack_from(">H", frame, udp + 2)[0] != port:
            return
        record.ip, record.at = ip, udp + 8
        record.line = frame[ip + 12:ip + 20]
        record.day = frame[record.at:record.at + 10]
        record.sequence, record.count = struct.unpack_from(">QH", frame, record.at + 10)
        if record.count == 0xFFFF:
            record.count = 0

    def utc_ns(self, record):
        seconds, part = struct.unpack_from(self.order + "II", record.head)
        nanoseconds = self.head[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
        return seconds * 10**9 + part * (1 if nanoseconds else 1000)

    def triples(self, starts):
        """Places of packets with messages whose neighbours on the line join them without a seam,
        and no start of a replica lies between."""
        lines = {}
        for place, record in enumerate(self.records):
            if record.line is not None:
                lines.setdefault(record.line, []).append(place)
        for places in lines.values():
            for before, here, after in zip(places, places[1:], places[2:]):
                a, b, c = (self.records[p] for p in (before, here, after))
                if any(self.utc_ns(a) < s <= self.utc_ns(c) for s in starts):
                    continue
                if (a.count and b.count and a.day == b.day == c.day and
                        a.sequence + a.count == b.sequence and b.sequence + b.count == c.sequence):
                    yield here, after

    def write(self):
        with open(self.path, "wb") as out:
            out.write(self.head)
            out.write(b"".join(r.head + r.frame for r in self.records))

    def name(self, place):
        return f"{os.path.basename(self.path)} packet {place + 1}"


def address(line):
    return ".".join(map(str, line[:4]))


def read_starts(directory):
    try:
        with open(os.path.join(directory, "starts")) as lines:
            return [int(line.split()[2]) for line in lines if line.startswith("start ")]
    except FileNotFoundError:
        return []


def choose(options, wanted=lambda capture, here, after: True):
    paths = sorted(glob.glob(os.path.join(options.directory, "*.pcap")))
    starts, found = read_starts(options.directory), []
    for path in paths:
        capture = Capture(path, options.feed_port)
        found += [(capture, here, after) for here, after in capture.triples(starts)
                  if wanted(capture, here, after)]
    if not found:
        raise Trouble(f"no packet in {options.directory}/*.pcap is fit for this")
    # from the middle half, so that what is damaged was surely acknowledged
    return options.random.choice(found[len(found) // 4: max(len(found) * 3 // 4, 1)])


def drop(options):
    capture, here, after = choose(options)
    record = capture.records.pop(here)
    capture.write()
    print(f"dropped {capture.name(here)}: line {address(record.line)}, feed numbers "
          f"{record.sequence} to {record.sequence + record.count - 1}; the line is "
          f"broken at what is now packet {after}")
    print(f"place: {capture.name(after - 1)} ")


def dup(options):
    def wanted(capture, here, after):
        last, following = capture.records[here].blocks()[-1], capture.records[after].blocks()
        return len(last) > 0 and following and following[0] != last
    capture, here, _ = choose(options, wanted)
    record = capture.records[here]
    number = record.sequence + record.count
    capture.records.insert(here + 1, record.rebuilt(capture.order, number, record.blocks()[-1:]))
    capture.write()
    print(f"doubled feed number {number - 1} of line {address(record.line)} as number {number}, in "
          f"a packet put behind packet {here + 1} of {os.path.basename(capture.path)}")
    print(f"place: {capture.name(here + 1)} ")


def swap(options):
    def different(record):
        blocks = record.blocks()
        return [k for k in range(len(blocks) - 1) if blocks[k] != blocks[k + 1]]
    capture, here, _ = choose(options, lambda c, h, a: different(c.records[h]))
    record = capture.records[here]
    at = options.random.choice(different(record))
    blocks = record.blocks()
    blocks[at], blocks[at + 1] = blocks[at + 1], blocks[at]
    capture.records[here] = record.rebuilt(capture.order, record.sequence, blocks)
    capture.write()
    print(f"swapped feed numbers {record.sequence + at} and {record.sequence + at + 1} in "
          f"{capture.name(here)}, line {address(record.line)}")
    print(f"place: {capture.name(here)} ")


def flip_capture(options):
    capture, here, _ = choose(options, lambda c, h, a: any(c.records[h].blocks()))
    record = capture.records[here]
    blocks = record.blocks()
    at = options.random.choice([k for k, b in enumerate(blocks) if b])
    block = bytearray(blocks[at])
    bit = options.random.randrange(len(block) * 8)
    block[bit // 8] ^= 1 << bit % 8
    blocks[at] = bytes(block)
    capture.records[here] = record.rebuilt(capture.order, record.sequence, blocks)
    capture.write()
    print(f"flipped bit {bit} of feed number {record.sequence + at} in {capture.name(here)}, line "
          f"{address(record.line)}")
    print(f"place: {capture.name(here)} ")


# --- rings ---


def ring_paths(directory):
    found = set()
    for pattern in ("ring-*", "*.ring"):
        found.update(p for p in glob.glob(os.path.join(directory, pattern)) if os.path.isfile(p))
    return sorted(found)


def flip_ring(options):
    path = options.random.choice(ring_paths(options.directory))
    with open(path, "r+b") as ring:
        block = ring.read(PAGE)
        if block[:8] != SUPER_MAGIC:
            raise Trouble(f"{path} holds no ring")
        replica = struct.unpack_from("<I", block, 12)[0]
        slots, area = struct.unpack_from("<QQ", block, 24)
        base = (16 + 2 * area) * PAGE
        pages = []  # (page number, head, offset, bytes of entries)
        for slot in range(slots):
            ring.seek(base + slot * PAGE)
            head = ring.read(SECTOR)
            if head[:8] == PAGE_MAGIC:
                number, = struct.unpack_from("<Q", head, 72)
                kept, = struct.unpack_from("<Q", head, 104)
                size, = struct.unpack_from("<I", head, 156)
                pages.append((number, kept, base + slot * PAGE, size))
        if not pages:
            raise Trouble(f"{path}: the ring is empty")
        last, kept = max(pages)[:2]
        live = [p for p in sorted(pages) if kept <= p[0] < last and p[3] > 0]
        if not live:
            raise Trouble(f"{path}: no page holds entries")
        number, _, offset, size = options.random.choice(live)
        bit = options.random.randrange(size * 8)
        at = offset + SECTOR + bit // 8
        ring.seek(at)
        byte = ring.read(1)[0]
        ring.seek(at)
        ring.write(bytes([byte ^ 1 << bit % 8]))
    print(f"flipped bit {bit % 8} of byte {at} of {os.path.basename(path)}, in page {number} of "
          f"replica {replica}'s ring")
    print(f"place: ring {replica} page {number} ")


def flip(options):
    rings = bool(ring_paths(options.directory))
    captures = bool(glob.glob(os.path.join(options.directory, "*.pcap")))
    if not rings and not captures:
        raise Trouble(f"{options.directory} holds neither rings nor captures")
    if rings and (not captures or options.random.random() < 0.5):
        flip_ring(options)
    else:
        flip_capture(options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("drop", "dup", "swap", "flip"))
    parser.add_argument("directory")
    parser.add_argument("--feed-port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.random = random.Random(options.seed)
    try:
        {"drop": drop, "dup": dup, "swap": swap, "flip": flip}[options.kind](options)
    except (OSError, Trouble) as problem:
        print(f"sabotage.py: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
