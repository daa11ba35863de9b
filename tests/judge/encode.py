"""Encoders of the evidence that keel-judge reads, written from docs/ring-format.md and
docs/wire-protocol.md alone: entries, pages, rings, MoldUDP64 packets, captures. Standard library
only."""

import struct

MASK64 = (1 << 64) - 1
PAGE, SECTOR, ROOM = 4096, 512, 3584
NOOP, MESSAGES, OPEN, RESUME, END, EXPIRE, DAY_END, DAY_BEGIN, BOOT, CONFIG, NODE, DUE, OPERATOR = range(
    1, 14)
AUTOPILOT = 14
PROBE = 15
CLEAN, KILLED, EXPIRED = 1, 2, 3
ZERO_SECTOR = bytes(SECTOR)
T0 = 1_700_000_000_000_000_000  # where time begins in synthetic histories


def crc_table():
    """CRC32C, sixteen bits at a time: half the steps of a byte-wise table."""
    single = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        single.append(crc)
    double = []
    for high in range(256):
        for low in range(256):
            crc = single[low]
            double.append(crc >> 8 ^ single[(crc ^ high) & 255])
    return single, double


CRC_8, CRC_16 = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    table = CRC_16
    for word in memoryview(data)[: len(data) & ~1].cast("H"):
        crc = crc >> 16 ^ table[(crc ^ word) & 0xFFFF]
    if len(data) & 1:
        crc = crc >> 8 ^ CRC_8[(crc ^ data[-1]) & 255]
    return crc ^ 0xFFFFFFFF


ZERO_SECTOR_CRC = crc32c(ZERO_SECTOR)

# --- log chain ---

CHAIN_1, CHAIN_2, CHAIN_3 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93


def chain_link(value):
    value = value * CHAIN_3 & MASK64
    return (value ^ value >> 32) or CHAIN_1


def chain_genesis(cluster):
    return chain_link(cluster ^ CHAIN_1)


def chain_next(chain, entry):
    head, index, term = struct.unpack_from("<QQQ", entry)
    word = (head ^ index * CHAIN_1 & MASK64) * CHAIN_2 & MASK64
    word = ((word ^ word >> 32) + term * CHAIN_1) & MASK64
    return chain_link(chain ^ word)


# --- entries ---


def entry(index, term, kind, body, utc_ns, log_ns, error_ns, principal):
    size = (48 + len(body) + 7) & ~7
    rest = struct.pack("<HBBQQQQII", size, kind, 1, index, term, utc_ns, log_ns, error_ns,
                       principal)
    rest += body + bytes(size - 48 - len(body))
    return struct.pack("<I", crc32c(rest)) + rest


def entry_fields(data):
    """(size, kind, index, term, utc_ns, log_ns, error_ns, principal, body and padding)"""
    _, size, kind, _, index, term, utc_ns, log_ns, error_ns, principal = struct.unpack_from(
        "<IHBBQQQQII", data)
    return size, kind, index, term, utc_ns, log_ns, error_ns, principal, data[48:size]


def entry_change(data, index=None, utc_ns=None, body=None):
    """The same entry with something changed and its checksum made right again."""
    size, kind, was, term, utc, log_ns, error_ns, principal, rest = entry_fields(data)
    return entry(was if index is None else index, term, kind, rest if body is None else body,
                 utc if utc_ns is None else utc_ns, log_ns, error_ns, principal)


def entry_other(data):
    """An entry in its place that does nothing: a boot of an incarnation that nobody has."""
    _, _, index, term, utc_ns, log_ns, error_ns, _, _ = entry_fields(data)
    return entry(index, term, BOOT, boot(1, 9, 1, 1), utc_ns, log_ns, error_ns, 1)


def messages(session, epoch, number, acked, payloads, sequencer=None):
    """sequencer: (node, generation, mode) of a fenced message."""
    blocks = b"".join(struct.pack("<H", len(p)) + p for p in payloads)
    shown = struct.pack("<QQB7x", *sequencer) if sequencer else b""
    return struct.pack("<QQQQHHHH", session, epoch, number, acked, len(payloads), len(blocks),
                       1 if sequencer else 0, 0) + blocks + shown


def node_block(operation, mode, events, flags, path, content, node, compare, delay_ms, wait_ms):
    return struct.pack("<4BHHQQII", operation, mode, events, flags, len(path), len(content), node,
                       compare, delay_ms, wait_ms) + path.encode() + content


def right(principal, rights):
    return struct.pack("<II", principal, rights)


def due(term):
    return struct.pack("<QQ", term, 0)


def operator(request, operation, session=0, principal=0, value=0, replica=0, block=b""):
    return struct.pack("<QQQIIBBHI", *request, session, principal, value, operation, replica, len(block), 0) + block


def probe():
    return bytes(16)


def autopilot(action, *, mode=0, voter=0, standby=0, standbys=0, dead_ms=0, stabilise_ms=0, was=0, term=0, silent_ms=0,
              steady_ms=0, behind=0, heard=0, reason=0):
    return struct.pack("<4B3I2Q2IQ2I", action, mode, voter, standby, standbys, dead_ms, stabilise_ms, was, term,
                       silent_ms, steady_ms, behind, heard, reason)


def session_open(name, process, replaces, ttl_ms, window):
    return struct.pack("<32sQQIHH", name.encode(), process, replaces, ttl_ms, window, 0)


def session_end(session, epoch, term, reason):
    return struct.pack("<QQQII", session, epoch, term, reason, 0)


def day(name):
    return struct.pack("<10s6x", name.encode().ljust(10))


def boot(replica, incarnation, counter, boot_id):
    return struct.pack("<IIQQQ", replica, 0, incarnation, counter, boot_id)


def noop(leader, incarnation):
    return struct.pack("<IIQ", leader, 0, incarnation)


# --- rings ---


def genesis(cluster, incarnations, first_day, numbers, nodes):
    """incarnations by replica id; numbers: the 13 limits in the order of the record; nodes: 5 more."""
    founders = b"".join(
        struct.pack("<QIHH", incarnations[i], 0x0A000000 + i, 7000, 0) if i in incarnations
        else bytes(16) for i in range(8))
    record = struct.pack("<8sIIQ", b"KELENES1", 1, 512, cluster) + founders
    record += first_day.encode().ljust(10) + bytes(6) + struct.pack("<13I", *numbers)
    record = record.ljust(272, b"\0") + struct.pack("<5I", *nodes)
    record = record.ljust(508, b"\0")
    return record + struct.pack("<I", crc32c(record))


GENESIS_MAGIC = struct.pack("<Q", 0x3153454E454C454B)


def superblock(replica, incarnation, slots, area_blocks):
    block = struct.pack("<QIIQQQQ", 0x314B4C424C45454B, 1, replica, incarnation, slots, area_blocks,
                        1)
    block = block.ljust(508, b"\0")
    return block + struct.pack("<I", crc32c(block))


def checkpoint(replica, incarnation, cluster, index, term, chain, lsn, page, body, sequence):
    head = struct.pack("<QIIQQQQQQQQQQI", 0x31504B434C45454B, 1, replica, incarnation, cluster,
                       index, term, chain, lsn, page, len(body), 7, sequence, crc32c(body))
    head = head.ljust(508, b"\0")
    return (head + struct.pack("<I", crc32c(head))).ljust(PAGE, b"\0") + body


def machine(voters, incarnations, config_index):
    """The head of an encoded machine, of which the judge reads the members alone."""
    config = struct.pack("<4I", sum(1 << i for i in voters), 0, 0, 0)
    for i in range(8):
        config += struct.pack("<QIHH", incarnations.get(i, 0), 0x0A000000 + i, 7000, 0)
    head = struct.pack("<Q", 0x4843414D4C45454B).ljust(312, b"\0") + config
    return (head + struct.pack("<Q", config_index)).ljust(504, b"\0")


class Page:
    """What one page is to say; Ring.encode() adds chain, predecessors and checksums."""

    def __init__(self, **fields):
        self.entries = []
        self.first_index = 1
        self.term = self.vote = self.boot = self.lsn = self.durable_lsn = self.durable_page = 0
        self.commit = 0
        self.chain = None        # override of the chain before it
        self.present = None      # restored: the first so many entries alone are here
        self.before_change = None  # bytes to put in place of the predecessors
        self.__dict__.update(fields)

    def copy(self):
        twin = Page(**self.__dict__)
        twin.entries = list(self.entries)
        return twin


class Ring:
    FLIGHT = 4

    def __init__(self, replica, incarnation, cluster, record, slots):
        self.replica, self.incarnation, self.cluster = replica, incarnation, cluster
        self.record = record
        self.slots, self.area, self.head = slots, 2, 0
        self.pages = []   # page number = place in this list
        self.chains = {}  # index -> chain, live
        self.checkpoints = []
        self.patches = []  # (offset, bytes) laid over what was encoded
        self.zero = set()  # pages that were never written, or zeroed

    def copy(self):
        twin = Ring(self.replica, self.incarnation, self.cluster, self.record, self.slots)
        twin.head, twin.zero, twin.checkpoints = self.head, set(self.zero), list(self.checkpoints)
        twin.pages, twin.patches = [p.copy() for p in self.pages], list(self.patches)
        return twin

    def offset(self, page):
        return (16 + 2 * self.area + page % self.slots) * PAGE

    def last_page_of(self, index):
        """Page that holds the live version of an index."""
        for number in range(len(self.pages) - 1, -1, -1):
            page = self.pages[number]
            if page.entries and page.first_index <= index < page.first_index + len(page.entries):
                return number
            if page.first_index <= index:
                return None
        return None

    def identities(self):
        chains = {0: chain_genesis(self.cluster)}
        out = []
        for page in self.pages:
            before = chains[page.first_index - 1] if page.chain is None else page.chain
            term = struct.unpack_from("<Q", page.entries[0], 16)[0] if page.entries else 0
            size = sum(map(len, page.entries))
            out.append(struct.pack("<QQQII", page.first_index, term, before, len(page.entries),
                                   size))
            chain = before
            for i, data in enumerate(page.entries):
                chain = chain_next(chain, data)
                chains[page.first_index + i] = chain
        self.chains = chains
        return out

    def encode_page(self, number, identities):
        page = self.pages[number]
        present = page.entries if page.present is None else page.entries[:page.present]
        restored = 0 if page.present is None else page.present + 1
        body = b"".join(present).ljust(ROOM, b"\0")
        sums = [0]
        used = sum(map(len, page.entries))
        for at in range(0, ROOM, SECTOR):
            sums.append(crc32c(body[at:at + SECTOR]) if at < used else ZERO_SECTOR_CRC)
        before = b"".join(identities[number - 1 - k] if k < number else bytes(32) for k in range(8))
        if page.before_change is not None:
            before = page.before_change
        head = struct.pack("<QHBBI", 0x314547414C45454B, 1, self.replica, page.vote, self.FLIGHT)
        rest = struct.pack("<10Q", self.cluster, self.incarnation, page.boot, number, page.term,
                           page.lsn, page.durable_lsn, self.head_at(number), page.commit, 0)
        rest += identities[number] + before + bytes(20) + struct.pack("<IQQ", restored, 99,
                                                                      page.durable_page) + bytes(56)
        crc = crc32c(head + struct.pack("<8I", *sums) + rest)
        return head + struct.pack("<8I", crc, *sums[1:]) + rest + body

    def head_at(self, number):
        return min(self.head, number)

    def write(self, path):
        identities = self.identities()
        with open(path, "wb") as out:
            block = superblock(self.replica, self.incarnation, self.slots, self.area)
            for copy in range(2):
                out.seek(copy * PAGE)
                out.write(block)
                out.seek((2 + copy) * PAGE)
                out.write(self.record)
            for area, data in enumerate(self.checkpoints):
                out.seek((16 + area * self.area) * PAGE)
                out.write(data)
            for number in range(max(0, len(self.pages) - self.slots), len(self.pages)):
                if number not in self.zero:
                    out.seek(self.offset(number))
                    out.write(self.encode_page(number, identities))
            for offset, data in self.patches:
                out.seek(offset)
                out.write(data)
            out.truncate(self.offset(0) + self.slots * PAGE)


# --- feed ---


def mold(name, sequence, blocks, count=None):
    count = len(blocks) if count is None else count
    head = struct.pack(">10sQH", name.encode().ljust(10), sequence, count)
    return head + b"".join(struct.pack(">H", len(b)) + b for b in blocks)


def envelope(kind, error_ns, utc_ns, session, number, payload):
    return struct.pack(">BBHIQQQ", kind, 1, 0, error_ns, utc_ns, session, number) + payload


def end_message(session, last, principal, reason, name):
    return struct.pack(">QQII24s", session, last, principal, reason, name.encode()[:24])


class Datagram:
    def __init__(self, utc_ns, source, target, source_port, target_port, payload, **facts):
        self.utc_ns, self.source, self.target = utc_ns, source, target
        self.source_port, self.target_port, self.payload = source_port, target_port, payload
        self.replica = self.stretch = self.first = self.count = None
        self.day = None
        self.kind = "other"
        self.__dict__.update(facts)

    def copy(self):
        return Datagram(**self.__dict__)


def frame(datagram, link):
    udp = struct.pack(">HHHH", datagram.source_port, datagram.target_port,
                      8 + len(datagram.payload), 0)
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 28 + len(datagram.payload), 0, 0x4000, 64, 17, 0,
                     datagram.source, datagram.target)
    packet = ip + udp + datagram.payload
    if link == 113:
        return struct.pack(">HHH8sH", 0, 1, 6, b"\2", 0x0800) + packet
    if link == 276:
        return struct.pack(">HHIHBB8s", 0x0800, 0, 3, 1, 0, 6, b"\2") + packet
    return (bytes(12) + struct.pack(">H", 0x0800) + packet).ljust(60, b"\0")


def pcap(datagrams, link, big, nanoseconds):
    order = ">" if big else "<"
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = [struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, link)]
    for datagram in datagrams:
        data = frame(datagram, link)
        part = datagram.utc_ns % 10**9
        out.append(struct.pack(order + "IIII", datagram.utc_ns // 10**9,
                               part if nanoseconds else part // 1000, len(data), len(data)))
        out.append(data)
    return b"".join(out)
