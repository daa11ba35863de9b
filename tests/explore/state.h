/* A state of the explored world: for each replica the volatile half (what struct raft knows) and
 * the durable half (what recovery would find), records and messages that wait for the drive,
 * packets under way, budgets used, and the judge's memory. Small numbers only: packed, a state is
 * some hundred half bytes.
 *
 * Exact reductions, made by state_tidy() and state_canonical():
 * - a packet that its receiver must ignore, now and ever after, is no packet: votes and
 *   acknowledgements of a term that is over there durably, refusals from before a rewind,
 *   acknowledgements of what is known;
 * - of a request of a term that is durably over at its receiver only that fact counts: the answer
 *   does not depend on the rest;
 * - a message whose term is over at its sender leaves the gate: it would be dropped on release;
 * - the names of replicas: no rule of the core prefers an id, so a permutation of those whom no
 *   configuration tells apart maps runs to runs. The state with the least packed form stands for
 * all that share it.
 * - of the members each log's configurations alone: members.h.
 */
#ifndef KEEL_EXPLORE_STATE_H
#define KEEL_EXPLORE_STATE_H

#include "tests/explore/scope.h"

#include <stddef.h>

enum {
    STATE_LOG_SIZE = SCOPE_LOG_MAX + 3, /* [1..]; a no-op may stand one above the scope's end */
    STATE_RECORDS_MAX = 10,
    STATE_GATE_MAX = 10,
    STATE_NET_MAX = 40,
    STATE_PACKED_MAX = 1024, /* bytes */
    MESSAGE_CONFIGS_MAX = 4
};

/* A message in one word, half a byte a field; from and to on top, so that order groups links. */
typedef uint64_t message;

/* Probe numbers matter only against the last rewind (consensus/raft/raft_replicate.c). */
enum message_probe { PROBE_NONE, PROBE_STALE, PROBE_FRESH };

enum record_kind { RECORD_HARD, RECORD_TRUNCATE, RECORD_ENTRY };

struct record { /* record i takes the LSN durable + 1 + i */
    uint8_t kind;
    uint8_t index;  /* TRUNCATE, ENTRY */
    uint8_t term;   /* HARD, ENTRY */
    uint8_t vote;   /* HARD */
    uint8_t config; /* ENTRY */
};

struct peer_view {
    uint8_t match, next, probing, starved, flights;
    uint8_t flight[SCOPE_FLIGHTS_MAX];
};

struct durable_half {
    uint8_t term, vote, last;
    uint8_t log[STATE_LOG_SIZE];    /* terms */
    uint8_t config[STATE_LOG_SIZE]; /* numbers of the configurations that they set; 0: none */
    uint8_t lost;                   /* mask: entries that cannot be read any more */
};

struct replica_state {
    uint8_t role, vote, term, commit, agreed;
    uint8_t stopped, recent; /* recent: heard a leader or started within the minimum timeout */
    uint8_t granted, denied, votes, contradicted; /* masks */
    uint8_t noop_index, quorum_index;
    uint8_t hole, hole_denied, settling;   /* as in struct raft */
    uint8_t hard, base, base_index, floor; /* LSNs count from the durable one; 0: at or below it */
    uint8_t last;
    uint8_t log[STATE_LOG_SIZE], config[STATE_LOG_SIZE];
    uint8_t leaving; /* mask, as in struct raft */
    struct peer_view peer[SCOPE_REPLICAS_MAX + 1];
    struct durable_half disk;
    uint8_t record_count;
    struct record record[STATE_RECORDS_MAX];
    uint8_t gate_count;
    uint8_t gate_lsn[STATE_GATE_MAX];
    message gate[STATE_GATE_MAX];
};

struct state {
    uint8_t crashes, losses, duplicates, overtakes, ticks, delays, holes; /* used up */
    uint8_t leader_of[SCOPE_TERMS_MAX + 1];
    uint8_t committed; /* entries committed anywhere, ever */
    uint8_t committed_log[STATE_LOG_SIZE];
    uint8_t committed_in[STATE_LOG_SIZE]; /* the term in which it was committed first */
    uint8_t committed_by; /* the number of the configuration whose quorum committed the last one */
    uint8_t net_count;
    message net[STATE_NET_MAX]; /* by link; within a link by age, or sorted where order is free */
    struct replica_state replica[SCOPE_REPLICAS_MAX + 1];
};

message message_pack(const struct raft_msg *msg, enum message_probe probe);
void message_unpack(message packed, struct raft_msg *msg);
uint8_t message_from(message m);
uint8_t message_to(message m);
uint8_t message_kind(message m);
uint64_t message_term(message m);
enum message_probe message_probe(message m);
message message_with_probe(message m, enum message_probe probe);
/* APPEND: the number of the configuration that its i-th entry sets, from 0; 0: none. */
uint8_t message_config(message m, uint32_t i);
message message_with_config(message m, uint32_t i, uint8_t number);
static inline bool message_same_link(message a, message b)
{
    return a >> 48 == b >> 48;
}

/* Puts a packet at the end of its link, unless its like is under way, or the link is full: then it
 * is lost. False: too many for a state to hold. */
bool state_send(const struct scope *scope, struct state *s, message m);
/* Takes a packet out of its link. */
void state_take(struct state *s, uint32_t slot);

/* Whether a packet under way can still do something at its receiver; reduces it to what counts
 * there. */
bool state_reduce(const struct state *s, message *m);

/* Whether the i-th message in a gate speaks of a term that is over there. */
bool state_gate_over(const struct replica_state *r, uint32_t i);

void state_tidy(const struct scope *scope, struct state *s);

/* to[id] is the new name of replica id. */
void state_permute(const struct scope *scope, const struct state *s, const uint8_t *to,
                   struct state *out);
message message_permute(message m, const uint8_t *to);
uint8_t state_permute_mask(uint8_t mask, const uint8_t *to);

/* Packs the state, or the one that stands for it; returns the size in bytes. `to` (may be NULL)
 * tells how the replicas were renamed. */
size_t state_canonical(const struct scope *scope, const struct state *s, uint8_t *packed,
                       uint8_t *to);
void state_unpack(const struct scope *scope, const uint8_t *packed, struct state *s);

#endif
