/* Rare states: 40 named situations in which systems like this one lost data, each a predicate over
 * what can be seen of a run from outside.
 *
 * A run is a stream of records: what became of a replica (start, death, role, log, commit, members,
 * holes ...), which messages arrived, what a drive did, what a client was told. The product makes
 * none of them: reach_look.c compares a replica's state with what was seen of it last, the rest is
 * told by the worlds that carry the messages (tests/unit/raft/raft_world.c and tests/sim). A
 * predicate sees the record, the picture of all replicas that the records so far have drawn, and a
 * few words of memory of its own; it calls nothing and changes nothing else.
 *
 * A generator that never makes the bad input finds nothing (pitfall 14): `./dev reach` counts these
 * states over transcripts, random worlds and simulated seeds, and fails when one was never reached.
 *
 * One struct reach belongs to one world and its thread. Times are that world's, in nanoseconds.
 */
#ifndef KEEL_TESTS_REACH_H
#define KEEL_TESTS_REACH_H

#include "consensus/raft/raft.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    REACH_STATES = 40,
    REACH_VALUES = 6,
    REACH_CLIENT = 8, /* clients are 8 and up, replicas 1..7, 0 is nobody; all below ... */
    REACH_ENDS = 16,
    REACH_PLACES = 64, /* of a predicate's memory, each of REACH_WORDS words: by replica, by client,
                          or by pair of replicas */
    REACH_WORDS = 3
};

/* Records, in brackets what their values are. A record is about replica `who`, if not said
 * otherwise. The picture shows what a record says by the time that predicates see it. */
enum reach_kind {
    REACH_STARTED, /* [term, vote, incarnation, a checkpoint took the log's place in this start] */
    REACH_DOWN,    /* crashed, or stopped for good. The picture keeps what it was, but for `up` */
    REACH_ROLE,    /* role, term, vote or leader changed [role, term, vote, leader] */
    REACH_LOG,     /* grew, or more of it is durable, or older entries were let go of [last, its
                      term, durable up to, first, hard state waits for the drive] */
    REACH_CUT,     /* its end was superseded [first index that went, last that went, its term, terms
                      that went, durable up to before] */
    REACH_COMMIT,  /* [commit index] */
    REACH_MEMBERS, /* another configuration is in force [index, voters, voters to come, learners] */
    REACH_HOLE,    /* [lowest entry that the drive has lost or 0, a leader settles it first, a newer
                      configuration than the one in force is stated but lost] */
    REACH_HANDOVER,   /* [enum raft_transfer_state, to] */
    REACH_ROOM,       /* a leader has refused something for want of space, or does no more [0 or 1]
                       */
    REACH_CHECKPOINT, /* a peer's became durable here [index, its term, term of the own entry there
                         or 0] */
    REACH_REREAD,     /* `whom` is sent entries read back from the drive [first] */
    REACH_ARRIVED,    /* a message from replica `whom`, of enum raft_msg_kind `what`, about to be
                         taken [term, status, count, prev index or a reply's match, prev term, handle
                         of its association or 0] */
    /* of simulated drives and clients */
    REACH_RECOVERED, /* [first page kept, next page, slots, torn pages of its end] */
    REACH_TORN,      /* power went while pages were in flight [number of the page that did not get
                        there whole, slots] */
    REACH_AHEAD,     /* power went while a page lay whole behind one that did not [page] */
    REACH_ZEROING,   /* power went while slots ahead were being zeroed */
    REACH_CHUNK,     /* part of a checkpoint came from `whom` [its index, bytes of it so far] */
    REACH_ASKED,     /* a request from client `whom` arrived [enum reach_request, session, number,
                        it is in the order already] */
    REACH_ANSWERED,  /* client `who` was answered by replica `whom` [enum reach_request, session,
                        lowest number] */
    REACH_DAY_ASKED, /* this leader is to begin a trading day */
    REACH_DAY_BEGUN, /* one is in the order; about nobody */
    REACH_OPENED,    /* speaks to `whom` under another association than before [its handle] */
    REACH_KINDS
};

enum reach_request { REACH_SUBMIT, REACH_RESUME };

struct reach_record {
    uint64_t at_ns;
    uint64_t value[REACH_VALUES];
    uint8_t kind; /* enum reach_kind */
    uint8_t who, whom, what;
};

struct reach_replica { /* as the records have shown it */
    bool up, settling, config_lost, short_of_room, hard_waits;
    uint8_t role, vote, leader;
    uint8_t handover, handover_to;
    uint64_t term, last, last_term, durable, first, commit, hole, incarnation;
    uint64_t config; /* its index */
    uint32_t voters, voters_new, learners;
    uint64_t starts;
};

struct reach_picture {
    struct reach_replica replica[RAFT_ID_MAX + 1];
};

struct reach_memory {
    uint64_t word[REACH_PLACES][REACH_WORDS];
};

/* Was the state reached with this record? `was`: the replica before it. True once an occasion. */
typedef bool (*reach_predicate)(const struct reach_picture *now, const struct reach_replica *was,
                                const struct reach_record *record, struct reach_memory *own);

struct reach_state {
    const char *name;
    const char *sentence;
    uint32_t kinds; /* bit i: the predicate wants records of kind i */
    reach_predicate predicate;
};
extern const struct reach_state reach_state[REACH_STATES];

struct reach {
    struct reach_picture picture;
    struct reach_memory memory[REACH_STATES];
    uint64_t count[REACH_STATES];
    struct raft_log seen[RAFT_ID_MAX + 1]; /* reach_look.c: as each was last */
    uint64_t first_ns[REACH_STATES];       /* when it was reached first; valid with a count */
};

/* Forgets the world, and the counts. */
void reach_init(struct reach *reach);
/* Another world follows: its records have nothing to do with the last one's. Counts go on. */
void reach_another(struct reach *reach);
/* Takes the next record of the world. */
void reach_take(struct reach *reach, const struct reach_record *record);
/* A line for each state that was reached, as tests/reach/reach.py reads them: "reach", state,
 * count, when first in ns, where; between them a tab. */
void reach_print(const uint64_t count[REACH_STATES], const uint64_t first_ns[REACH_STATES],
                 FILE *out, const char *where);

/* A line for each state there is: "state", name, sentence. */
void reach_list(FILE *out);

/* --- reach_look.c: what can be seen of a core ---------------------------------------------------
 */
/* A replica was started; `installed`: with a checkpoint in the place of its log. */
void reach_started(struct reach *reach, const struct raft *raft, uint64_t at_ns, bool installed);
void reach_down(struct reach *reach, uint8_t id, uint64_t at_ns);
/* After every step: makes records of all that has changed. */
void reach_look(struct reach *reach, const struct raft *raft, uint64_t at_ns);
/* Before a message is taken; assoc: the handle that it came under, 0: there is none. */
void reach_arrived(struct reach *reach, const struct raft_msg *msg, uint64_t at_ns, uint32_t assoc);
/* A peer's checkpoint became durable at a replica, before it is told to the core. */
void reach_checkpoint(struct reach *reach, const struct raft *raft, uint64_t at_ns, uint64_t index,
                      uint64_t term);

#endif
