"""Garbage on the wire while a gateway publishes: counted, by reason, and nothing else happens."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import CLIENT_IP, Cluster, PORT, REQUEST_PORT, read, run  # noqa: E402
from parts import (COMMON, answered, expect, in_order, proven, wait_end,  # noqa: E402
                   write_messages)

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT, RATE = 30000, 1500
PACKETS = 30000


def mac_of(c, i):
    return run(*c.inside('r%d' % i, 'cat', '/sys/class/net/port/address')).stdout.strip()


def drops(c, i):
    code, text = c.ctl(i, 'drops')
    expect(code == 0, 'keelctl drops at replica %d: exit %d' % (i, code))
    return json.loads(text)


def ask_once(c):
    """One right request, so that there is a real one to be changed."""
    text = ('import socket,struct; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); '
            's.bind(("%s",5999)); [s.sendto(b"%-10s"+struct.pack(">QH",1,5),("10.77.0.%%d"%%i,%d)) '
            'for i in (1,2,3)]' % (CLIENT_IP, c.day, REQUEST_PORT))
    run(*c.inside('cl', sys.executable, '-c', text))


def record(c):
    """A second of real traffic: gateway to replicas, and between replicas."""
    names = []
    captures = []
    for host, interface, name in (('cl', 'eth0', 'real-client.pcap'), ('r1', 'port', 'real-r1.pcap'),
                                  ('r2', 'port', 'real-r2.pcap')):
        captures.append((c.capture(name, 'udp port %d or udp port %d' % (PORT, REQUEST_PORT),
                                   host=host, interface=interface), name))
        names.append(c.path(name))
    ask_once(c)
    time.sleep(1.0)
    for process, name in captures:
        c.stop_capture(process, name)
    return names


def by_reason(c, before, after):
    """{group: {reason: how many more}} over all replicas."""
    grown = {}
    for i in c.ids():
        for group, reasons in after[i].items():
            for reason, count in reasons.items():
                more = count - before[i][group][reason]
                if more:
                    grown.setdefault(group, {}).setdefault(reason, 0)
                    grown[group][reason] += more
    return grown


def part_input(parts, options):
    with Cluster(options.build, ring='384M', **COMMON) as c:
        write_messages(c.path('input'), 'A', COUNT, (30, 300), 3)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        capture = c.capture(expression='(udp port 7410 or udp port %d) and not udp port 5999' %
                            REQUEST_PORT)
        consumer = c.follow('consumer', '--format', 'length-prefixed', '--count', COUNT + 1)
        gateway = c.publish(c.path('input'), 'gateway', 100, '--rate', RATE)
        names = record(c)
        before = {i: drops(c, i) for i in c.ids()}
        begun = answered(c, 'gateway')
        targets = ['--target=%s=%s' % (mac_of(c, i), c.ip(i)) for i in c.ids()]
        flood = c.spawn(sys.executable, os.path.join(HERE, 'flood.py'), '--interface', 'eth0', '--count',
                        PACKETS, '--seed', options.seed, *targets, *names, out='flood.out',
                        err='flood.err')
        wait_end(c, flood, 'flood', 90)
        during = answered(c, 'gateway')
        parts.ok('flood: ' + read(c.path('flood.out')).strip())
        parts.holds(during > begun, 'meanwhile the gateway is served: %d messages' % (during - begun))
        after = {i: drops(c, i) for i in c.ids()}
        grown = by_reason(c, before, after)
        for group, reasons in grown.items():
            parts.say('%s: %s' % (group, ', '.join('%s %d' % item for item in sorted(
                reasons.items(), key=lambda item: -item[1]))))
        # Fragments never reach an af_packet port: the kernel keeps them to put them together.
        frames, auth = grown.get('frames', {}), grown.get('authentication', {})
        parts.holds(all(frames.get(reason, 0) > 0 for reason in (
            'short', 'udp_checksum', 'ip_checksum', 'bad_ipv4', 'bad_arp', 'arp_unasked', 'other_type',
            'bad_source')), 'keelctl drops counts broken frames by reason', frames)
        parts.holds(len(auth) >= 3, 'and what fails authentication', auth)
        parts.holds(grown.get('requests', {}).get('malformed', 0) > 0,
                    'and malformed feed requests', grown)
        wait_end(c, gateway, 'gateway', 90)
        parts.holds(c.alive() == list(c.ids()), 'no replica ended', c.alive())
        parts.ok('equal digests at index %d; all %d messages acknowledged' % (c.wait_equal(), COUNT))
        wait_end(c, consumer, 'consumer', 40)
        in_order(c.path('consumer.out'), {'A': c.path('input')})
        parts.ok('a consumer has all of them once and in order')
        c.stop_capture(capture)
        c.stop_all()
        proven(parts, c, 'the judge: PROVEN after the flood')
