"""What ./dev demo publishes: a bounded beginning of a file, checked before anything is started.

A file is either length-prefixed (u16 big-endian length, payload, as exchanges ship their ITCH days) or
lines of text. No text can be taken for the other: its first two bytes, read as a length, are above the
largest payload. It is read as a stream and never held whole.
"""

import os

PAYLOAD_MAX = 1270     # bytes of a message
BYTES_MAX = 64 << 20   # of a demo's messages together
FEWEST = 2000          # messages, so that each fault comes in mid-stream
LENGTH = 2
TEXT_CONTROLS = b'\t\n\r\f\x1b'
LOOK = 4096


class InputError(Exception):
    """The file cannot be published; says why, where, and what to do."""


class Stream:
    """Messages in length-prefixed framing at `path`, ready for a gateway."""

    def __init__(self, source, form):
        self.source, self.form = source, form
        self.path = None
        self.count = self.bytes = 0  # messages of the source that were taken
        self.empty = 0               # left out: a message has at least one byte
        self.more = False            # the source goes on
        self.times = 1               # the messages are sent so many times over

    def total(self):
        return self.count * self.times

    def words(self):
        text = '%d messages of %s (%s)' % (self.count, self.source, self.form)
        if self.more:
            text = 'the first ' + text + '; what follows is not published'
        if self.empty:
            text += ', %d empty ones left out' % self.empty
        if self.times > 1:
            text += ', sent %d times over, so that both kills come in mid-stream' % self.times
        return text


def records(file):
    """Payloads of a length-prefixed file."""
    number, at = 1, 0
    while True:
        head = file.read(LENGTH)
        if not head:
            return
        size = int.from_bytes(head, 'big')
        if len(head) == LENGTH and size > PAYLOAD_MAX:
            raise InputError('record %d at byte %d has %d bytes: a message has at most %d: shorten it, or '
                             'the file is damaged from there on' % (number, at, size, PAYLOAD_MAX))
        payload = file.read(size)
        if len(head) < LENGTH or len(payload) < size:
            raise InputError('record %d at byte %d is cut off at the end of the file (%d of %d bytes are '
                             'there): get the whole file, or cut it at byte %d' % (
                                 number, at, len(head) + len(payload), LENGTH + size, at))
        yield payload
        number += 1
        at += LENGTH + size


def lines(file):
    number = 1
    while True:
        line = file.readline(PAYLOAD_MAX + 2)
        if not line:
            return
        line = line.removesuffix(b'\n')
        if len(line) > PAYLOAD_MAX:
            raise InputError('line %d has more than %d bytes, which is the most a message has: shorten it' % (
                number, PAYLOAD_MAX))
        yield line
        number += 1


def form_of(file):
    """'length-prefixed' or 'lines'; the file is at its beginning again."""
    begin = file.read(LOOK)
    file.seek(0)
    if not begin:
        raise InputError('it is empty: give one with messages')
    if len(begin) >= LENGTH and int.from_bytes(begin[:LENGTH], 'big') <= PAYLOAD_MAX:
        return 'length-prefixed'
    for at, byte in enumerate(begin):
        if byte < 0x20 and byte not in TEXT_CONTROLS:
            if begin[:2] == b'\x1f\x8b':
                raise InputError('it is compressed: gunzip it first')
            raise InputError('it is neither: as length-prefixed its first record would have %d bytes, above '
                             'the %d that a message may have, and as text byte %d is 0x%02x: give u16 '
                             'big-endian length + payload, or lines of text' % (
                                 int.from_bytes(begin[:LENGTH], 'big'), PAYLOAD_MAX, at, byte))
    return 'lines'


def copy(stream, file, out, count_max):
    for payload in records(file) if stream.form == 'length-prefixed' else lines(file):
        if not payload:
            stream.empty += 1
            continue
        if stream.count == count_max or stream.bytes + len(payload) > BYTES_MAX:
            stream.more = True
            return
        out.write(len(payload).to_bytes(LENGTH, 'big'))
        out.write(payload)
        stream.count += 1
        stream.bytes += len(payload)


def take(source, target, count_max):
    """Copies at most count_max messages and BYTES_MAX bytes of `source` to `target`."""
    try:
        with open(source, 'rb') as file, open(target, 'wb') as out:
            stream = Stream(os.path.basename(source), form_of(file))
            copy(stream, file, out, count_max)
    except (OSError, InputError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise InputError('%s: %s' % (source, why)) from None
    if stream.count == 0:
        raise InputError('%s: it holds no message, only empty %s' % (
            source, 'records' if stream.form == 'length-prefixed' else 'lines'))
    stream.path = target
    if stream.count < FEWEST:
        stream.times = -(-FEWEST // stream.count)
        with open(target, 'rb') as file:
            once = file.read()  # bounded by FEWEST messages
        with open(target, 'ab') as out:
            for _ in range(stream.times - 1):
                out.write(once)
    return stream
