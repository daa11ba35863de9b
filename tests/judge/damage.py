"""Spoils one place of a synthetic history (histories.py), already written to a directory, and says
how keel-judge must name that place. Each kind of damage is a function of (history, directory); it
returns what it planted, or None where the history has no room for it."""

import damage_feed as feed
import damage_locks
import damage_log as log
import damage_ring as ring

ALWAYS = [
    ring.ring_flip, ring.ring_lost, ring.ring_half, ring.ring_places, ring.ring_entry,
    ring.ring_chain, ring.ring_before, ring.ring_back, ring.ring_supersede, ring.ring_genesis,
    ring.ring_short, ring.ring_other, log.gateway_garbage, feed.feed_drop, feed.feed_double, feed.feed_swap,
    feed.feed_cut, feed.feed_start, feed.starts_garbage,
]
WHOLE = [
    log.log_content, log.log_lost, log.log_short, log.log_order, log.log_time, log.log_term,
    log.gateway_feed, log.gateway_time, log.gateway_day, log.gateway_status, log.gateway_invented,
    log.gateway_hash, log.gateway_unsubmitted, log.gateway_end, log.gateway_session,
    log.gateway_unopened, feed.feed_blocks, feed.feed_flip, feed.feed_head, feed.feed_day,
    feed.feed_beyond, feed.feed_heartbeat, feed.feed_end, feed.feed_no_end, feed.feed_false_end,
    feed.feed_union,
] + damage_locks.KINDS


def spoil(history, directory, turn):
    """Plants the turn-th kind of damage, or the next that this history has room for. A history
    whose beginning every ring has overwritten can be judged less closely, so fewer kinds are
    planted there."""
    whole = any(ring.head == 0 for ring in history.rings.values()) and not history.wrapped
    kinds = ALWAYS + WHOLE if whole else ALWAYS
    for k in range(len(kinds)):
        kind = kinds[(turn + k) % len(kinds)]
        planted = kind(history, directory)
        if planted is not None:
            return kind.__name__, planted
    raise AssertionError("no damage fits")
