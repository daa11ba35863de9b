/* The loop: what a pinned core runs.
 *
 * loop_turn() is one turn of role `seq`: the stages of design section 3 in their order, on one
 * burst. loop_run() turns the roles of one thread until told to stop, and idles as configured when
 * a turn found nothing to do.
 */
#ifndef KEEL_LOOP_H
#define KEEL_LOOP_H

#include "dataplane/replica.h"

enum { LOOP_STALL_NS = 1000000, LOOP_IDLE_TURNS = 64 };

enum loop_role { ROLE_SEQ = 1, ROLE_DISK = 2, ROLE_FEED = 4, ROLE_AUX = 8 };

enum loop_idle {
    IDLE_SPIN,  /* never gives the core away */
    IDLE_YIELD, /* sched_yield() after each idle turn */
    IDLE_SLEEP  /* sleeps LOOP_SLEEP_NS after LOOP_IDLE_TURNS idle turns: shared machines */
};

/* One turn of role `seq`; returns the amount of work done (0: idle). */
HOT uint32_t loop_turn(struct replica *r);

struct loop {
    struct replica *replica;
    uint32_t roles; /* mask of enum loop_role */
    enum loop_idle idle;
    uint32_t sleep_ns;    /* IDLE_SLEEP */
    uint32_t stop;        /* set to 1 by another thread to end */
    uint64_t alive_turns; /* grows while the loop advances; what the watchdog looks at */
};

/* Runs until loop->stop; in loop_run.c. The calling thread is a reader of published tables (rcu.h)
 * from here to the end: it announces a quiescent state after each turn, and is no reader while it
 * sleeps. */
void loop_run(struct loop *loop);

#endif
