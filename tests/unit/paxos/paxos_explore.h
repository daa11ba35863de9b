/* Every run of the real paxos_step() of three founders within a small scope, breadth first.
 *
 * What one founder is, knows, has on its drive and has in flight to it is one interned number; what
 * an event makes of such a number is worked out once, by the core itself, and remembered. A state
 * is three of these numbers and the set of messages that were ever sent: any of them may arrive at
 * any time, any number of times, or never. So loss, duplicates and disorder are not counted: all
 * there can be are in.
 *
 * Exact: waits are left out (a timer may end at any time), persist numbers are renamed from the
 * durable one. Cut: who proposes, rounds, crashes, wipes, and how many writes are in flight (one
 * more waits until one has landed).
 */
#ifndef KEEL_TESTS_PAXOS_EXPLORE_H
#define KEEL_TESTS_PAXOS_EXPLORE_H

#include "tests/explore/seen.h"
#include "tests/unit/paxos/intern.h"
#include "tests/unit/paxos/paxos_judge.h"

#include <stdio.h>

enum {
    EXPLORE_SERVERS = 3,
    EXPLORE_WRITES_MAX = 3,
    EXPLORE_GATE_MAX = 32,
    EXPLORE_NEWS_MAX = 32, /* messages that one event can release */
    EXPLORE_MESSAGES_MAX = 600,
    EXPLORE_LISTS = 3
};

struct explore_scope {
    uint32_t proposers; /* mask: whose timer begins ballots */
    uint8_t rounds;
    uint8_t crashes; /* each with a start at once; what has not landed is lost */
    uint8_t wipes;   /* crashes that take the drive, of server 1 */
    uint8_t lists;   /* 1; 2: a start may be with the list that names server 1 as wiped; 3: or with
                        one of servers 1 and 2 alone */
    uint8_t writes;  /* in flight at a server */
    bool locked;     /* begins when all have locked, instead of blank */
    uint64_t states_max;
};

struct explore_result {
    uint64_t states, transitions;
    uint32_t depth;
    bool fixpoint;               /* nothing is left to follow */
    uint64_t decided;            /* states in which somebody has a record */
    uint32_t founders, messages; /* distinct ones */
    const char *violation;       /* NULL: none */
};

/* Prints the way to a violation to `text`, unless that is NULL. */
struct explore_result explore_run(const struct explore_scope *scope, FILE *text);

#endif
