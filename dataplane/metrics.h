/* Counters of one replica. Each has one writer (named beside it) and any number of readers, who may
 * see a value that is a moment old, never a torn one.
 */
#ifndef KEEL_METRICS_H
#define KEEL_METRICS_H

#include "dataplane/auth/auth.h"
#include "dataplane/histogram.h"

#include <stdint.h>

/* relaxed: a counter orders nothing; readers want its value only */
static inline void metric_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void metric_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t metric_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Why `seq` dropped a datagram that frame and auth had let through, or refused a request. */
enum drop {
    DROP_BODY,           /* the body is malformed for its kind */
    DROP_KIND,           /* no such kind in this direction */
    DROP_INCARNATION,    /* peer message from another incarnation than the configuration names */
    DROP_ENTRY_CRC,      /* AppendEntries with an entry whose CRC32C does not match */
    DROP_CONTROL_FULL,   /* the link to control is full (handshakes, keepalives) */
    DROP_FEED_FULL,      /* the link to the feed's request server is full */
    DROP_GATE_FULL,      /* more messages wait for the drive than the gate holds */
    DROP_GATE_TERM,      /* testimony of a term that is over */
    DROP_NO_ASSOCIATION, /* outgoing: no association with that principal yet */
    DROP_NO_FRAME,       /* outgoing: the port's pool is empty */
    DROP_UNRESOLVED,     /* outgoing: no MAC address yet */
    DROP_NOT_LEADER,     /* client request at a follower: redirected */
    DROP_BUSY,           /* no room: told so */
    DROP_LIMITED,        /* messages above the rate that an operator set: told to come later */
    DROP_GAP,            /* submit that skips numbers: an earlier packet is missing */
    DROP_IN_FLIGHT,      /* submit of numbers that are appended and not yet decided */
    DROP_UNSEEN,         /* of a session, or a life of it, that began behind what is applied here */
    DROP_LEASE_OVER,     /* outgoing: a keepalive's answer when the lease behind it is over (H19) */
    DROP_ANSWERS_FULL,   /* more sessions to answer in a turn than there are places */
    DROP_COUNT
};
const char *drop_name(enum drop drop);

/* Stages of a message at the leader, as latency histograms in nanoseconds. */
enum stage {
    STAGE_APPEND,  /* submit received to appended */
    STAGE_DURABLE, /* appended to durable here */
    STAGE_QUORUM,  /* appended to committed */
    STAGE_APPLIED, /* committed to applied */
    STAGE_SENT,    /* applied to answer sent */
    STAGE_COUNT
};
const char *stage_name(enum stage stage);

struct metrics { /* writer: seq, unless said otherwise */
    uint64_t turns, turns_useful;
    uint64_t turn_max_ns; /* longest turn since start */
    uint64_t stalls;      /* turns longer than LOOP_STALL_NS */
    uint64_t rx_datagrams, tx_datagrams;
    uint64_t drop[DROP_COUNT];
    uint64_t auth_reject[AUTH_REJECT_COUNT];
    uint64_t submits, submit_messages, duplicates, appended_entries, appended_messages;
    uint64_t applied_entries, sequenced, refused, answers;
    uint64_t elections_won, terms_seen, deposed;
    uint64_t appends_sent, append_entries_sent, reread_pages;
    uint64_t role_idle[4], role_useful[4]; /* writer: each role's thread */
    struct histogram stage[STAGE_COUNT];
};

#endif
