"""A tap on the bridge of a Cluster: sees every packet of UDP port 7400 once, doubles and replays
handshakes while it runs, sends frames of its own to one host.

What it sends leaves through the receiver's own bridge port, so that the bridge, and a capture on it, sees
only what the cluster's members sent. Standard library only.
"""

import collections
import ctypes
import heapq
import os
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import PORT, Failure  # noqa: E402

CLONE_NEWNET = 0x40000000
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_MR_PROMISC = 263, 1, 6, 1
SO_RCVBUFFORCE = 33
HEADS = 42  # Ethernet, IPv4 without options, UDP
KINDS = {1: 'HELLO', 2: 'COOKIE', 3: 'SALT', 4: 'SALT_REPLY', 5: 'PING', 6: 'PONG', 16: 'PREVOTE',
         17: 'PREVOTE_REPLY', 18: 'VOTE', 19: 'VOTE_REPLY', 20: 'APPEND', 21: 'APPEND_REPLY',
         22: 'CHAIN_ASK', 23: 'CHAIN_TELL', 24: 'TIMEOUT_NOW', 25: 'FETCH',
         26: 'FETCH_REPLY', 28: 'DIGESTS_TELL',
         29: 'CHECKPOINT_CHUNK', 30: 'CHECKPOINT_REPLY', 31: 'MEMBERS_TELL',
         32: 'SUBMIT', 33: 'OPEN', 34: 'RESUME', 35: 'END', 36: 'KEEPALIVE', 48: 'RESULT',
         49: 'SESSION', 50: 'REDIRECT'}
HANDSHAKE = (1, 2, 3, 4)
KEPT = 20000                 # newest frames
REPLAY_AFTER = (0.0, 0.4, 3.0, 12.0)  # doubled at once; the last one after every cookie's life


class Frame:
    """An Ethernet frame with one of Keel's packets."""

    def __init__(self, data, at=0.0):
        self.data, self.at = data, at
        self.payload = data[HEADS:HEADS - 8 + struct.unpack_from('>H', data, 38)[0]]
        self.kind = self.payload[2]
        self.sender, self.receiver, self.assoc = struct.unpack_from('<III', self.payload, 4)
        self.to = data[33]  # last byte of the IPv4 destination: 1.. a replica, 100 the client host

    def changed(self, payload, port=None):
        """The same frame with another payload of that size, and a right checksum."""
        data = bytearray(self.data[:HEADS]) + payload
        if port is not None:
            struct.pack_into('>H', data, 36, port)
        data[40:42] = b'\0\0'
        size = 8 + len(payload)
        words = bytes(data[26:34]) + struct.pack('>HH', 17, size) + bytes(data[34:34 + size])
        total = sum(struct.unpack('>%dH' % (len(words + b'\0') // 2), (words + b'\0')[
            :len(words) + len(words) % 2]))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        struct.pack_into('>H', data, 40, 0xffff - total or 0xffff)
        return bytes(data)

    def flips(self, port=None):
        """One frame for each bit of the packet, that bit turned."""
        for bit in range(8 * len(self.payload)):
            payload = bytearray(self.payload)
            payload[bit // 8] ^= 1 << bit % 8
            yield self.changed(bytes(payload), port)


def keel_frame(data, at=0.0):
    """A Frame, or None for anything else than a packet to or from port 7400."""
    if len(data) < HEADS + 32 or data[12:14] != b'\x08\x00' or data[14] != 0x45 or data[23] != 17:
        return None
    if PORT not in struct.unpack_from('>HH', data, 34) or data[HEADS:HEADS + 2] != b'\x4b\x01':
        return None
    frame = Frame(bytes(data), at)
    return frame if frame.kind in KINDS else None


def read_pcap(path):
    """Keel's frames of a classic capture, in order."""
    with open(path, 'rb') as file:
        data = file.read()
    order = '<' if data[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _ = struct.unpack_from(order + '4I', data, at)
        frame = keel_frame(data[at + 16:at + 16 + kept], seconds + fraction / 1e6)
        if frame is not None:
            yield frame
        at += 16 + kept


def socket_in(namespace, interface, promiscuous=False):
    """A raw socket on an interface of another network namespace. Only the calling thread goes there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    there = os.open('/run/netns/' + namespace, os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise Failure('setns: %s' % os.strerror(ctypes.get_errno()))
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind((interface, ETH_P_ALL))
        if promiscuous:
            raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
            raw.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack(
                'IHH8s', socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b''))
        return raw
    finally:
        if libc.setns(home, CLONE_NEWNET) != 0:
            raise SystemExit('no way back from namespace ' + namespace)
        os.close(home)
        os.close(there)


class Tap(threading.Thread):
    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.raw = socket_in(cluster.ns('sw'), 'br0', promiscuous=True)
        self.ports = {i: socket_in(cluster.ns('sw'), 'p%d' % i) for i in cluster.ids()}
        self.ports[100] = socket_in(cluster.ns('sw'), 'p9')
        self.lock = threading.Lock()
        self.frames = collections.deque(maxlen=KEPT)
        self.seen = collections.Counter()      # by kind
        self.said = collections.Counter()      # by kind and sender
        self.heard = collections.Counter()     # by kind and receiver
        self.repeated = collections.Counter()  # by kind
        self.repeating = self.ending = False
        self.due = []  # heap of (time, number, frame)
        self.number = 0

    def send(self, data):
        try:
            self.ports[data[33]].send(data)
        except OSError as problem:  # the port's queue is full: it goes again
            if problem.errno != 105:
                raise
            time.sleep(0.01)
            self.ports[data[33]].send(data)

    def run(self):
        while not self.ending:
            wait = 0.05
            if self.due:
                wait = max(0.0, min(wait, self.due[0][0] - time.monotonic()))
            if select.select([self.raw], [], [], wait)[0]:
                self._take()
            while self.due and self.due[0][0] <= time.monotonic():
                frame = heapq.heappop(self.due)[2]
                if self.repeating:
                    self.send(frame.data)
                    self.repeated[frame.kind] += 1

    def _take(self):
        data, address = self.raw.recvfrom(2048)
        if address[2] == PACKET_OUTGOING:
            return
        frame = keel_frame(data, time.monotonic())
        if frame is None:
            return
        with self.lock:
            self.frames.append(frame)
            self.seen[frame.kind] += 1
            self.said[frame.kind, frame.sender] += 1
            self.heard[frame.kind, frame.receiver] += 1
        if self.repeating and frame.kind in HANDSHAKE:
            for after in REPLAY_AFTER:
                self.number += 1
                heapq.heappush(self.due, (frame.at + after, self.number, frame))

    def newest(self, kind, wanted=lambda frame: True):
        with self.lock:
            for frame in reversed(self.frames):
                if frame.kind == kind and wanted(frame):
                    return frame
        return None

    def shakes(self):
        """Handshake packets that members have sent so far."""
        with self.lock:
            return sum(self.seen[kind] for kind in HANDSHAKE)

    def answers(self, replica):
        """COOKIEs of a replica, and its SALT_REPLYs beyond the SALTs that members sent to it."""
        with self.lock:
            return self.said[2, replica], self.said[4, replica] - self.heard[3, replica]

    def lost(self):
        """Packets that the tap itself missed since it was asked last."""
        return struct.unpack('II', self.raw.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def close(self):
        self.ending = True
        if self.is_alive():
            self.join()
        for raw in [self.raw] + list(self.ports.values()):
            raw.close()
