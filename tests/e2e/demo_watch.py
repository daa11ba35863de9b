"""What ./dev demo knows of its gateway: its log as it grows, who led when, and each pause with its cause."""

import calendar
import os
import re
import time

from cluster import read

TAIL = 1 << 15       # bytes that hold more lines than a window makes
SHOWN_MS = 100       # pauses from here on are told
NEAR_NS = 50000000   # a pause that begins so soon after a fault is its

PAUSE = re.compile(r'pause of ([0-9.]+) ms in acknowledgements from (\S+), after number (\d+); '
                   r'leader now (\d+)')


def say(text=''):
    print(text, flush=True)


def tail(path):
    """Highest numbers submitted and answered, by the log's last whole lines."""
    submitted = answered = 0
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL))
            text = file.read()
    except OSError:
        return 0, 0
    whole = text.split(b'\n')[1 if size > TAIL else 0:-1]
    for line in whole:
        words = line.split(b' ', 3)
        if words[0] == b'submit':
            submitted = max(submitted, int(words[2]))
        elif words[0] == b'ack':
            answered = max(answered, int(words[2]))
    return max(submitted, answered), answered


class Life:
    """One process of the gateway, as its log tells."""

    def __init__(self):
        self.submits = self.again = self.acks = self.kept = 0


def lives(path):
    """A Life for each process. again: numbers that an earlier one had submitted; kept: results that the
    cluster had kept for it and gave at the resume, so that they needed no second submit."""
    found, highest, fresh = [], 0, False
    with open(path, 'rb') as file:
        for line in file:
            word, _, number = line.split(b' ', 3)[:3]
            if word == b'session':
                found.append(Life())
                fresh = True
            elif word == b'submit':
                fresh = False
                found[-1].submits += 1
                found[-1].again += int(number) <= highest
                highest = max(highest, int(number))
            elif word == b'ack':
                found[-1].acks += 1
                found[-1].kept += fresh
    return found


def utc_ns(text):
    """2026-11-24T20:23:45.123456Z"""
    whole, part = text.rstrip('Z').split('.')
    seconds = calendar.timegm(time.strptime(whole, '%Y-%m-%dT%H:%M:%S'))
    return seconds * 10 ** 9 + int(part.ljust(9, '0'))


class Watch:
    """Faults that the demo announced, and what the gateway's processes said of pauses and leaders."""

    def __init__(self):
        self.began_ns = time.time_ns()
        self.faults = []  # [from ns, to ns, words, sharp]
        self.kills = []   # of leaders, ns
        self.reigns = []  # (ns, leader), of all lives
        self.expected = set()  # leader changes that a fault explains, by their time

    def fault(self, words, from_ns, to_ns=None, sharp=True):
        """sharp: it alone explains a pause. to_ns may be set later; until then it is not over."""
        self.faults.append([from_ns, to_ns or (from_ns if sharp else 1 << 63), words, sharp])
        return self.faults[-1]

    def take(self, figures):
        """A life's leaders; its first one counts only if it differs from who led before."""
        for entry in figures.get('leaders', []):
            if not self.reigns or self.reigns[-1][1] != entry['leader']:
                self.reigns.append((entry['began_utc_ns'], entry['leader']))

    def at(self, ns):
        return '%5.1f s' % ((ns - self.began_ns) / 1e9)

    def moved(self, from_ns, to_ns):
        """Changes of leader in that time."""
        return ['%d to %d' % (a[1], b[1]) for a, b in zip(self.reigns, self.reigns[1:])
                if from_ns <= b[0] <= to_ns]

    def cause(self, began_ns, end_ns):
        known = [f for f in self.faults if f[0] < end_ns and f[1] > began_ns - NEAR_NS]
        sharp = [f for f in known if f[3]]
        if sharp:
            return sharp[-1][2]
        moved = self.moved(began_ns, end_ns + NEAR_NS)
        if moved:
            return 'leadership moved from replica %s without a fault announced%s' % (
                ', then '.join(moved), '; ' + known[-1][2] if known else '')
        if known:
            return known[-1][2]
        return 'no fault was announced and the leader stayed: the cores or the drive were busy'

    def pauses(self, path):
        """(from ns, to ns, after number, leader) of those that are told."""
        found = []
        for ms, began, after, leader in PAUSE.findall(read(path)):
            if float(ms) >= SHOWN_MS:
                began_ns = utc_ns(began)
                found.append((began_ns, began_ns + int(float(ms) * 1e6), int(after), int(leader)))
        return found

    def words(self, pause):
        began_ns, end_ns, after, leader = pause
        return 'at %s  %4.0f ms  after message %d: %s; then replica %d led' % (
            self.at(began_ns), (end_ns - began_ns) / 1e6, after, self.cause(began_ns, end_ns), leader)

    @staticmethod
    def after(ns, pauses):
        """How long after that moment the pause ended that covered it or began soon after, in ms."""
        return max([(end - ns) / 1e6 for began, end, _, _ in pauses
                    if began - NEAR_NS < ns < end], default=0.0)

    def surprises(self):
        """Changes of leader that no announced kill explains."""
        return ['  at %s  leadership moved from replica %d to %d without a fault announced' % (
            self.at(b[0]), a[1], b[1]) for a, b in zip(self.reigns, self.reigns[1:])
            if b[0] not in self.expected]
