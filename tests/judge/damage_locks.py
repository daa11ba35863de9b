"""A cluster whose machine is wrong about locks, alike on every replica: what its entries ask for is honest, what
it answered is not. The history is drawn anew with that fault, until a gateway was told a wrong outcome."""

import struct

import encode as e
from damage_log import change_all, change_line
from histories import History
from planted import Planted, pick

DRAWS = 60


def faulty(history, directory, fault):
    for draw in range(1, DRAWS):
        other = History(history.seed + 1_000_003 * draw, fault)
        if other.wrapped or other.differs is None or any(r.head > 0 for r in other.rings.values()):
            continue
        s, number = other.differs
        if any(line.startswith(f"ack {s.id} {number} {s.results[number][0]} ") for line in s.gateway.lines):
            break
    else:
        return None
    history.__dict__ = other.__dict__
    history.write(directory)
    return Planted(rf"line \d+: session {s.id} number {number} ", anywhere=True)


def lock_stale_sequenced(history, directory):
    return faulty(history, directory, "stale sequenced")


def lock_right_refused(history, directory):
    return faulty(history, directory, "right refused")


def lock_dead_waiter(history, directory):
    return faulty(history, directory, "ended waiter granted")


def lock_delay(history, directory):
    return faulty(history, directory, "delay ignored")


def lock_expiry_delay(history, directory):
    return faulty(history, directory, "expiry forgets delay")


def lock_generation(history, directory):
    return faulty(history, directory, "generation reused")


def lock_resumed(history, directory):
    return faulty(history, directory, "resume keeps")


def lock_overtaken(history, directory):
    return faulty(history, directory, "queue overtaken")


def lock_endless(history, directory):
    return faulty(history, directory, "wait endless")


# --- of one gateway, and of the entries themselves ---


def is_outcome(fields):
    return fields[0] == "ack" and fields[3] not in ("sequenced", "day-closed") and fields[5] != "0"


def lock_outcome(history, directory):
    """A gateway was told another outcome of a node operation, or of a fenced message, than the log's."""
    def change(fields):
        if fields[3] in ("done", "queued"):
            fields[4] = str(int(fields[4]) + 1)
        else:
            fields[3] = "done" if fields[3] != "stale-sequencer" else "no-node"
    return change_line(history, directory, is_outcome, change)


def lock_outcome_time(history, directory):
    def change(fields):
        fields[5] = str(int(fields[5]) + 1)
    return change_line(history, directory, is_outcome, change)


def lock_form(history, directory):
    """A node operation, or a fenced message, in a form that nobody may write."""
    index = pick(history, [at + 1 for at, data in enumerate(history.log)
                           if data[6] == e.NODE or data[6] == e.MESSAGES and data[48 + 36]])
    if index is None:
        return None
    data = history.log[index - 1]
    body = bytearray(data[48:])
    shown = 40 + struct.unpack_from("<H", body, 34)[0]
    changes = [(36, 2), (38, 1)]  # flags, reserved
    if data[6] == e.NODE:
        # operation, mode, events, flags, size of the path
        changes += [(42, 8), (43, 3), (44, 0x40), (45, body[45] | 0x20), (46, body[46] + 1)]
        if body[42] == 1:
            changes += [(74, ord("a")), (51, 1)]  # the path's '/', an instance
    else:
        changes += [(shown + 16, 0), (shown + 16, 3), (shown + 17, 1)]
    at, value = pick(history, changes)
    body[at] = value
    change_all(history, directory, {index: e.entry_change(data, body=bytes(body))})
    return Planted(r"^ring \d+ page \d+.*(messages|node operation)")


KINDS = [
    lock_stale_sequenced, lock_right_refused, lock_dead_waiter, lock_delay, lock_expiry_delay, lock_generation,
    lock_resumed, lock_overtaken, lock_endless, lock_outcome, lock_outcome_time, lock_form,
]
