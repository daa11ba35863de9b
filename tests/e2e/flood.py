"""Sends garbage to replicas from this network namespace: random, cut off, changed and repeated packets.

    flood.py --interface eth0 --count N --seed S --target MAC=IP ... CAPTURE...

What is changed, cut off and repeated are real packets of the captures (pcap). Prints how many of each kind
were sent. Frames leave under this interface's own MAC address, so that no switch learns a wrong one.
"""

import argparse
import random
import socket
import struct
import sys
import time

PEER_PORT, REQUEST_PORT = 7400, 7411
OWN_PORT = 5999  # of packets that are made here: the test's capture leaves them out
FRAME_MAX = 1514
PER_BURST, BURST_S = 40, 0.02


def packets(path):
    """IPv4/UDP frames of a pcap file of Ethernet frames."""
    with open(path, 'rb') as file:
        data = file.read()
    order = '<' if data[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(order + 'I', data, at + 8)[0]
        frame = data[at + 16:at + 16 + size]
        at += 16 + size
        if len(frame) >= 42 and frame[12:14] == b'\x08\x00' and frame[23] == 17:
            yield frame


def sum16(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def datagram(mac, own, source, target, ports, payload, fragment=0x4000):
    """A frame whose lengths and checksums are right."""
    udp = struct.pack('!HHHH', *ports, 8 + len(payload), 0)
    pseudo = source + target + struct.pack('!HH', 17, 8 + len(payload))
    udp = udp[:6] + struct.pack('!H', sum16(pseudo + udp + payload) or 0xffff)
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 28 + len(payload), 0, fragment, 64, 17, 0) + source + target
    ip = ip[:10] + struct.pack('!H', sum16(ip)) + ip[12:]
    return mac + own + b'\x08\x00' + ip + udp + payload


class Flood:
    def __init__(self, own, targets, real, seed):
        self.own, self.targets, self.real = own, targets, real
        self.rng = random.Random(seed)
        self.sent = {}

    def flip(self, data, first=0):
        data = bytearray(data)
        for _ in range(self.rng.randint(1, 8)):
            data[self.rng.randrange(first, len(data))] ^= 1 << self.rng.randrange(8)
        return bytes(data)

    def rebuilt(self, frame, payload):
        """The captured packet's addresses and ports around another payload."""
        mac = frame[:6]
        return datagram(mac, self.own, frame[26:30], frame[30:34],
                        struct.unpack_from('!HH', frame, 34), payload)

    def made(self):
        rng = self.rng
        kind = rng.choice(('random', 'random', 'cut', 'cut', 'changed', 'changed', 'repeated',
                           'frame cut', 'frame changed', 'random frame', 'arp', 'fragment'))
        mac, ip = rng.choice(self.targets)
        frame = rng.choice(self.real)
        payload = frame[42:]
        if kind == 'random':
            size = rng.choice((0, 1, rng.randrange(64), rng.randrange(1472)))
            source = socket.inet_aton(rng.choice(('10.77.0.100', '10.77.0.1', '10.77.0.2',
                                                  '10.77.0.%d' % rng.randrange(3, 250))))
            return kind, datagram(mac, self.own, source, ip,
                                  (OWN_PORT, rng.choice((PEER_PORT, REQUEST_PORT))),
                                  rng.randbytes(size))
        if kind == 'cut':
            return kind, self.rebuilt(frame, payload[:rng.randrange(len(payload) or 1)])
        if kind == 'changed':
            return kind, self.rebuilt(frame, self.flip(payload) if payload else b'\0')
        if kind == 'fragment':
            return kind, datagram(mac, self.own, frame[26:30], ip, (OWN_PORT, PEER_PORT), payload,
                                  rng.choice((0x2000, 0x2001, 0x0001, 0x1fff)))
        if kind == 'repeated':
            return kind, self.rebuilt(frame, payload)
        if kind == 'frame cut':
            return kind, frame[:6] + self.own + frame[12:rng.randrange(15, len(frame))]
        if kind == 'frame changed':
            return kind, frame[:6] + self.own + self.flip(frame[12:])
        if kind == 'random frame':
            return kind, mac + self.own + rng.choice((b'\x08\x00', b'\x08\x06', b'\x81\x00',
                                                      rng.randbytes(2))) + \
                rng.randbytes(rng.randrange(1, 1400))
        # an answer nobody asked for: 10.77.0.N is at this host's MAC
        claimed = socket.inet_aton('10.77.0.%d' % rng.randrange(1, 255))
        body = struct.pack('!HHBBH', 1, 0x0800, 6, 4, rng.choice((1, 2, 7))) + self.own + claimed + \
            mac + ip
        return kind, mac + self.own + b'\x08\x06' + body[:rng.randrange(20, len(body) + 1)]

    def run(self, interface, count):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind((interface, 0))
        left = count
        while left > 0:
            for _ in range(min(left, PER_BURST)):
                kind, frame = self.made()
                try:
                    out.send(frame[:FRAME_MAX])
                    self.sent[kind] = self.sent.get(kind, 0) + 1
                except OSError:
                    pass  # the sending queue is full, or the kernel refuses so short a frame
            left -= PER_BURST
            time.sleep(BURST_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--interface', required=True)
    parser.add_argument('--count', type=int, required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--target', action='append', required=True)
    parser.add_argument('capture', nargs='+')
    options = parser.parse_args()
    with open('/sys/class/net/%s/address' % options.interface) as file:
        own = bytes.fromhex(file.read().strip().replace(':', ''))
    targets = []
    for text in options.target:
        mac, ip = text.split('=')
        targets.append((bytes.fromhex(mac.replace(':', '')), socket.inet_aton(ip)))
    macs = {mac for mac, _ in targets}
    real = [frame for path in options.capture for frame in packets(path) if frame[:6] in macs]
    if not real:
        print('no packet of the captures went to a target')
        return 1
    flood = Flood(own, targets, real, options.seed)
    flood.run(options.interface, options.count)
    print('%d packets, made from %d real ones: %s' % (
        sum(flood.sent.values()), len(real),
        ', '.join('%s %d' % item for item in sorted(flood.sent.items()))))
    return 0


if __name__ == '__main__':
    sys.exit(main())
