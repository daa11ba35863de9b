#!/usr/bin/env python3
"""Checks the authentication of captured packets from the key files alone.

Reads captures (classic pcap over Ethernet, cooked or raw IP; or text, one UDP payload in hex a line) and
key files, follows the handshakes in them, derives each association's keys, and verifies the tag of every
other packet. Then it counts: packets that differ and (key, nonce) pairs that differ must be equally
many, since two different packets under one pair would give the key away (docs/handshake.md).

Shares nothing with the product: HKDF stands on Python's hmac and hashlib, AES-128 and GHASH are written
out below. Exit: 0 all holds, 1 a packet breaks a rule (it is named), 2 wrong call or unreadable file.
"""
import argparse
import configparser
import hashlib
import hmac
import struct
import sys

MAGIC, VERSION = 0x4B, 1
HELLO, COOKIE, SALT, SALT_REPLY = 1, 2, 3, 4
HEAD = struct.Struct("<BBBBIIIQQ")  # magic version kind reserved from to assoc counter cluster
TAG = 16
SIZES = {HELLO: 72, COOKIE: 72, SALT: 168, SALT_REPLY: 144}
CLIENT_MIN = 16
TO_RESPONDER, TO_INITIATOR = 1, 2


class Unreadable(Exception):
    """A file that is not what it should be."""


# --- AES-128 (FIPS 197), encryption of single blocks ------------------------------------------------


def make_sbox():
    sbox = [0] * 256
    p = q = 1
    while True:
        p = p ^ (p << 1 & 0xFF) ^ (0x1B if p & 0x80 else 0)  # times 3
        q ^= q << 1 & 0xFF  # divided by 3
        q ^= q << 2 & 0xFF
        q ^= q << 4 & 0xFF
        if q & 0x80:
            q ^= 0x09
        x = q
        for turn in range(1, 5):
            x ^= (q << turn | q >> (8 - turn)) & 0xFF
        sbox[p] = x ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return sbox


SBOX = make_sbox()


def double(x):
    return (x << 1 ^ (0x11B if x & 0x80 else 0)) & 0xFF


# One table: the column that a substituted byte in row 0 gives; other rows are its rotations.
COLUMN = [
    double(s) << 24 | s << 16 | s << 8 | (double(s) ^ s) for s in SBOX
]


def rotate(word, count):
    return (word >> 8 * count | word << (32 - 8 * count)) & 0xFFFFFFFF if count else word


COLUMNS = [[rotate(word, row) for word in COLUMN] for row in range(4)]


def expand_key(key):
    words = list(struct.unpack(">4I", key))
    constant = 1
    for i in range(4, 44):
        word = words[i - 1]
        if i % 4 == 0:
            word = rotate(word, 3)
            word = sum(SBOX[word >> shift & 0xFF] << shift for shift in (24, 16, 8, 0))
            word ^= constant << 24
            constant = double(constant)
        words.append(words[i - 4] ^ word)
    return words


def encrypt_block(words, block):
    state = [w ^ k for w, k in zip(struct.unpack(">4I", block), words)]
    c0, c1, c2, c3 = COLUMNS
    for turn in range(4, 40, 4):
        state = [
            c0[state[i] >> 24]
            ^ c1[state[(i + 1) % 4] >> 16 & 0xFF]
            ^ c2[state[(i + 2) % 4] >> 8 & 0xFF]
            ^ c3[state[(i + 3) % 4] & 0xFF]
            ^ words[turn + i]
            for i in range(4)
        ]
    last = [
        (
            SBOX[state[i] >> 24] << 24
            | SBOX[state[(i + 1) % 4] >> 16 & 0xFF] << 16
            | SBOX[state[(i + 2) % 4] >> 8 & 0xFF] << 8
            | SBOX[state[(i + 3) % 4] & 0xFF]
        )
        ^ words[40 + i]
        for i in range(4)
    ]
    return struct.pack(">4I", *last)


# --- GMAC (NIST SP 800-38D) -------------------------------------------------------------------------


class Gmac:
    """One key. GHASH by a table for each byte of a block: 16 look-ups a block."""

    def __init__(self, key):
        self.key = key
        self.words = expand_key(key)
        product = int.from_bytes(encrypt_block(self.words, bytes(16)), "big")
        self.tables = []
        for _ in range(16):
            table = [0] * 256
            bits = []
            for _ in range(8):  # the leftmost bit of a block is x^0
                bits.append(product)
                product = product >> 1 ^ (0xE1 << 120 if product & 1 else 0)
            for value in range(1, 256):
                lowest = value & -value
                table[value] = table[value ^ lowest] ^ bits[8 - lowest.bit_length()]
            self.tables.append(table)

    def tag(self, nonce, data):
        tables = self.tables
        padded = data + bytes(-len(data) % 16) + struct.pack(">QQ", 8 * len(data), 0)
        y = 0
        for at in range(0, len(padded), 16):
            z = (y ^ int.from_bytes(padded[at : at + 16], "big")).to_bytes(16, "big")
            y = 0
            for table, byte in zip(tables, z):
                y ^= table[byte]
        mask = encrypt_block(self.words, nonce + b"\0\0\0\1")
        return (y ^ int.from_bytes(mask, "big")).to_bytes(16, "big")


def self_test():
    """FIPS 197 C.1; test cases 1 and 2 of the GCM specification; RFC 5869 A.1."""
    words = expand_key(bytes(range(16)))
    block = bytes(17 * i for i in range(16))
    assert encrypt_block(words, block).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert Gmac(bytes(16)).tag(bytes(12), b"").hex() == "58e2fccefa7e3061367f1d57a4e7455a"
    # test case 2's hash key: the table of byte 0 holds it as one times H
    assert Gmac(bytes(16)).tables[0][0x80] == 0x66E94BD4EF8A2C3B884CFA59CA342B2E
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex().startswith("3cb25f25faacd57a90434f64d0362f2a")


# --- HKDF (RFC 5869) and what the handshake makes of it ---------------------------------------------


def hkdf(secret, salt, info, size):
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out = last = b""
    while len(out) < size:
        last = hmac.new(prk, last + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += last
    return out[:size]


class Packet:
    """One UDP payload of Keel's, with its place in the captures."""

    def __init__(self, name, data):
        self.name = name
        self.data = data
        (_, _, self.kind, _, self.sender, self.receiver, self.assoc, self.counter, self.cluster) = (
            HEAD.unpack_from(data)
        )


class Salt(Packet):
    def __init__(self, name, data):
        super().__init__(name, data)
        self.nonce, self.salt = data[48:64], data[64:80]
        (self.incarnation,) = struct.unpack_from("<Q", data, 80)
        (self.handle,) = struct.unpack_from("<I", data, 128)
        self.said, self.proof = data[:136], data[136:]


class Reply(Packet):
    def __init__(self, name, data):
        super().__init__(name, data)
        self.nonce, self.salt = data[32:48], data[48:64]
        (self.incarnation,) = struct.unpack_from("<Q", data, 64)
        (self.handle,) = struct.unpack_from("<I", data, 104)
        self.said, self.proof = data[:112], data[112:]


def proof_key(root, salt):
    info = b"keel 1 proof" + struct.pack("<II", salt.sender, salt.receiver)
    return hkdf(root, b"", info, 32)


def salt_proof(root, salt):
    said = b"salt\0\0\0\0" + salt.said
    return hmac.new(proof_key(root, salt), said, hashlib.sha256).digest()


def reply_proof(root, salt, reply):
    said = b"reply\0\0\0" + salt.data + reply.said
    return hmac.new(proof_key(root, salt), said, hashlib.sha256).digest()


def association_key(root, salt, reply, direction):
    info = b"keel 1" + struct.pack(
        "<QIIQQB",
        reply.cluster,
        salt.sender,
        salt.receiver,
        salt.incarnation,
        reply.incarnation,
        direction,
    )
    return hkdf(root, salt.salt + reply.salt, info, 16)


# --- files ------------------------------------------------------------------------------------------


def read_keys(paths):
    """Root keys by principal."""
    roots = {}
    for path in paths:
        parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
        try:
            with open(path, encoding="ascii") as file:
                parser.read_file(file)
            for section in parser.sections():
                word, number = section.split()
                if word not in ("replica", "client"):
                    raise ValueError(f"unknown section [{section}]")
                for name in ("key", "key_next"):
                    if name in parser[section]:
                        root = bytes.fromhex(parser[section][name])
                        if len(root) != 32:
                            raise ValueError(f"[{section}] {name} has {len(root)} bytes")
                        roots.setdefault(int(number), set()).add(root)
        except (OSError, ValueError, configparser.Error) as problem:
            raise Unreadable(f"{path}: {problem}") from None
    return roots


LINKS = {1: 14, 101: 0, 113: 16, 276: 20}  # bytes before IP: Ethernet, raw, cooked v1 and v2


def udp_payload(link, frame):
    """The UDP payload of an IPv4 frame; None if it is none, or a fragment."""
    at = LINKS[link]
    if link != 101:
        place = {1: 12, 113: 14, 276: 0}[link]
        kind = frame[place : place + 2]
        while link == 1 and kind == b"\x81\x00":  # VLAN tags
            kind = frame[at + 2 : at + 4]
            at += 4
        if kind != b"\x08\x00":
            return None
    ip = frame[at:]
    if len(ip) < 28 or ip[0] >> 4 != 4 or ip[9] != 17:
        return None
    head = 4 * (ip[0] & 15)
    (total,) = struct.unpack_from(">H", ip, 2)
    (fragment,) = struct.unpack_from(">H", ip, 6)
    if fragment & 0x3FFF or head < 20 or total < head + 8 or total > len(ip):
        return None
    (size,) = struct.unpack_from(">H", ip, head + 4)
    if size < 8 or head + size > total:
        return None
    return ip[head + 8 : head + size]


def read_pcap(path, data):
    orders = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
              b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
    order = orders[data[:4]]
    if len(data) < 24:
        raise Unreadable(f"{path}: a pcap of {len(data)} bytes")
    (link,) = struct.unpack_from(order + "I", data, 20)
    link &= 0xFFFF
    if link not in LINKS:
        raise Unreadable(f"{path}: link type {link}: capture Ethernet, cooked or raw IP")
    at, number = 24, 0
    while at < len(data):
        number += 1
        if at + 16 > len(data):
            raise Unreadable(f"{path}: cut off in packet {number}")
        _, _, kept, whole = struct.unpack_from(order + "4I", data, at)
        at += 16
        if at + kept > len(data):
            raise Unreadable(f"{path}: cut off in packet {number}")
        if kept < whole:
            raise Unreadable(f"{path}: packet {number} was captured in part: use -s 0")
        yield f"{path}:{number}", udp_payload(link, data[at : at + kept])
        at += kept


def read_hex(path, data):
    try:
        for number, line in enumerate(data.decode("ascii").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                yield f"{path}:{number}", bytes.fromhex(line)
    except ValueError as problem:
        raise Unreadable(f"{path}: neither pcap nor hex: {problem}") from None


def read_captures(paths):
    for path in paths:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as problem:
            raise Unreadable(str(problem)) from None
        magics = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")
        reader = read_pcap if data[:4] in magics else read_hex
        yield from reader(path, data)


# --- the check --------------------------------------------------------------------------------------


class Check:
    def __init__(self, roots, strict):
        self.roots = roots
        self.strict = strict
        self.count = dict.fromkeys(
            ("payloads", "foreign", "handshake", "associations", "sealed", "copies",
             "authenticated", "pairs", "unverified"), 0)
        self.problems = []
        self.salts = {}  # (initiator, responder, nonce) -> [Salt]
        self.by_handle = {}  # (receiver, handle, sender) -> [Gmac]
        self.keys = {}  # key -> name of the SALT_REPLY that made it

    def problem(self, text):
        self.problems.append(text)

    def unverified(self, packet, why):
        self.count["unverified"] += 1
        if self.strict:
            self.problem(f"{packet.name}: kind {packet.kind} from {packet.sender} to "
                         f"{packet.receiver}, counter {packet.counter}: {why}")

    def take_salt(self, salt):
        for root in self.roots.get(salt.sender, ()):
            if salt_proof(root, salt) == salt.proof:
                self.salts.setdefault((salt.sender, salt.receiver, salt.nonce), []).append(
                    (salt, root))
                return
        self.unverified(salt, "SALT's proof is by none of the sender's keys")

    def take_reply(self, reply):
        for salt, root in self.salts.get((reply.receiver, reply.sender, reply.nonce), ()):
            if reply_proof(root, salt, reply) != reply.proof:
                continue
            self.count["associations"] += 1
            ends = ((TO_RESPONDER, reply.sender, reply.handle, salt.sender),
                    (TO_INITIATOR, salt.sender, salt.handle, reply.sender))
            for direction, receiver, handle, sender in ends:
                key = association_key(root, salt, reply, direction)
                if key in self.keys:
                    self.problem(f"{reply.name}: the same key as of {self.keys[key]}")
                self.keys[key] = reply.name
                self.by_handle.setdefault((receiver, handle, sender), []).append(Gmac(key))
            return
        self.unverified(reply, "SALT_REPLY's proof fits no SALT in the captures")

    def take_sealed(self, packet, pairs):
        nonce = bytes(4) + struct.pack("<Q", packet.counter)
        gmacs = self.by_handle.get((packet.receiver, packet.assoc, packet.sender))
        if gmacs is None:
            self.unverified(packet, "its handshake is not in the captures")
            return
        for gmac in gmacs:
            if gmac.tag(nonce, packet.data[:-TAG]) == packet.data[-TAG:]:
                self.count["authenticated"] += 1
                pair = (gmac.key, nonce)
                if pair in pairs:
                    self.problem(f"{packet.name}: key and nonce of {pairs[pair]} again, for "
                                 f"another packet (counter {packet.counter})")
                pairs.setdefault(pair, packet.name)
                return
        self.unverified(packet, "bad tag")

    def run(self, payloads):
        distinct = {}
        for name, payload in payloads:
            self.count["payloads"] += 1
            if payload is None or len(payload) < HEAD.size or payload[:2] != bytes((MAGIC, VERSION)):
                self.count["foreign"] += 1
            elif payload in distinct:
                self.count["copies"] += 1
            else:
                distinct[payload] = name
        packets = [Packet(name, data) for data, name in distinct.items()]
        shakes = [p for p in packets if p.kind in SIZES]
        self.count["handshake"] = len(shakes)
        for p in shakes:
            if len(p.data) != SIZES[p.kind]:
                self.unverified(p, f"{len(p.data)} bytes instead of {SIZES[p.kind]}")
            elif p.kind == SALT:
                self.take_salt(Salt(p.name, p.data))
        for p in shakes:
            if p.kind == SALT_REPLY and len(p.data) == SIZES[SALT_REPLY]:
                self.take_reply(Reply(p.name, p.data))
        pairs = {}
        for p in packets:
            if p.kind in SIZES:
                continue
            self.count["sealed"] += 1
            if len(p.data) < HEAD.size + TAG or p.counter == 0:
                self.unverified(p, "no room for a tag, or counter 0")
            else:
                self.take_sealed(p, pairs)
        self.count["pairs"] = len(pairs)
        if self.count["pairs"] != self.count["authenticated"]:
            self.problem(f"{self.count['authenticated']} authenticated packets, but "
                         f"{self.count['pairs']} pairs of key and nonce")
        if self.strict and self.count["authenticated"] == 0:
            self.problem("no authenticated packet in the captures: nothing was shown")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--keys", action="append", required=True, metavar="FILE",
                        help="a key file; may be given more than once")
    parser.add_argument("--skip-unverified", action="store_true",
                        help="count packets that no key verifies instead of failing: for captures "
                             "with attacks in them")
    parser.add_argument("capture", nargs="+", help="classic pcap, or a payload in hex a line")
    arguments = parser.parse_args()
    self_test()
    try:
        check = Check(read_keys(arguments.keys), not arguments.skip_unverified)
        check.run(read_captures(arguments.capture))
    except Unreadable as problem:
        print(f"hkdf_check: {problem}", file=sys.stderr)
        return 2
    print(" ".join(f"{name}={value}" for name, value in check.count.items()))
    for problem in check.problems[:20]:
        print(f"hkdf_check: {problem}", file=sys.stderr)
    if len(check.problems) > 20:
        print(f"hkdf_check: and {len(check.problems) - 20} more", file=sys.stderr)
    return 1 if check.problems else 0


if __name__ == "__main__":
    sys.exit(main())
