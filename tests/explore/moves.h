/* The transition relation: what can happen next in a state, and what it does.
 *
 * The order of moves is a function of the state alone, so that a path is a list of their numbers.
 */
#ifndef KEEL_EXPLORE_MOVES_H
#define KEEL_EXPLORE_MOVES_H

#include "tests/explore/core.h"

enum { MOVES_MAX = 256 };

enum move_kind {
    MOVE_TIMEOUT,  /* a follower's or candidate's election timeout */
    MOVE_LOST,     /* a leader hears no quorum for an election timeout */
    MOVE_BEAT,     /* a leader's heartbeat, a candidate's next attempt */
    MOVE_PATIENCE, /* a leader takes what is in flight for lost */
    MOVE_PROPOSE,
    MOVE_CHANGE, /* a leader is asked for other members */
    MOVE_GO_ON,  /* a leader's tick between two heartbeats: a change goes on */
    MOVE_DURABLE,
    MOVE_CRASH,
    MOVE_ROT,   /* a running replica finds that its drive has lost an entry */
    MOVE_FETCH, /* it asks the peers for it */
    MOVE_DELIVER,
    MOVE_DOUBLE, /* delivered, and its like stays under way */
    MOVE_LOSE
};

struct move {
    uint8_t kind;
    uint8_t id;
    uint8_t via;         /* TIMEOUT without pre-vote packets: mask of the voters that are asked */
    uint8_t wanted, was; /* CHANGE: what the scope wants, instead of that of entry `was` */
    uint8_t records;     /* DURABLE, CRASH: how many reach the drive */
    uint8_t lost;        /* CRASH, ROT: the entry that the drive has lost; CRASH, 0: none */
    bool delay;          /* what is written stays in flight */
    bool at_once;        /* DELIVER, DOUBLE: the receiver heard a leader just now */
    message packet;      /* DELIVER, DOUBLE, LOSE */
};

/* Fills moves[] and returns how many; at most MOVES_MAX, else ENSURE. */
uint32_t moves_list(const struct scope *scope, const struct state *s, struct move moves[MOVES_MAX]);

/* Makes a move of core->state; sets core->outside or core->violation. An ENSURE that fails inside
 * the core is a violation. */
void moves_make(struct core *core, const struct move *move);

#endif
