/* Many seeds: each runs in a worker process that is used again and again, a few workers at a time;
 * what a seed did comes back through a pipe and is added up. A seed that takes its worker along
 * (ENSURE, a signal, too long) fails like any other.
 */
#ifndef KEEL_SIM_RUN_H
#define KEEL_SIM_RUN_H

#include "tests/reach/reach.h"
#include "tests/sim/timeline.h"

#include <stdio.h>

enum { RUN_JOBS_MAX = 16, RUN_SEED_WALL_S = 120, RUN_ARGUMENTS_SIZE = 800 };

/* Beside the faults: a check that never had anything to look at proves nothing. */
enum event_count {
    COUNT_LEADERS,
    COUNT_VOTES,
    COUNT_CHECKPOINTS,
    COUNT_DAYS,
    COUNT_SESSION_ENDS,
    COUNT_EXPIRIES,
    COUNT_SEALED,
    COUNT_REPLAYS,
    COUNT_HEARTBEATS,
    COUNT_ANSWERS,
    COUNT_TRANSFERS_DONE,
    COUNT_TRANSFERS_GIVEN_UP,
    COUNT_TRANSFERS_BY_DRIVE, /* because the leader's own lags */
    COUNT_READS,              /* proven by a quorum */
    COUNT_INSTALLS,           /* a peer's checkpoint took the place of a log */
    COUNT_CHUNKS,             /* turns in which some of one arrived */
    COUNT_RESUMED,            /* starts that found a part of one */
    COUNT_LEARNERS,           /* members: committed changes */
    COUNT_PROMOTED,
    COUNT_REMOVED,
    COUNT_LEADERS_REMOVED,
    COUNT_GRANTS, /* locks: that a holder learned of; after a wait; messages under a sequencer */
    COUNT_WAITS_GRANTED,
    COUNT_FENCED,
    COUNT_STALE,
    COUNT_JEOPARDIES,
    COUNT_LIVES,  /* heals after which something had to be committed */
    COUNT_STEADY, /* heals that had to leave the term as it was, or almost */
    COUNT_DEAD,   /* peers that are down, said to be dead; and said to be well again */
    COUNT_BACK,
    COUNT_STRUCK,                                   /* strikes by their kind ... */
    COUNT_STRUCK_AT = COUNT_STRUCK + STRIKE_FAULTS, /* ... and their place */
    COUNT_PAGES_REPAIRED = COUNT_STRUCK_AT + STRIKE_SWARM_PLACES,
    COUNT_COPIES_REPAIRED,
    COUNT_REFUSED, /* starts, since term and vote may be lost */
    COUNT_KINDS,   /* those above have to happen; what follows may */
    /* stops that asked for a restart, once the log was whole again */
    COUNT_RESTARTED = COUNT_KINDS,
    COUNT_LEFT,   /* damaged pages below everybody's checkpoint (H7) */
    COUNT_LOSSES, /* with --standbys: voters that went; and what the autopilot did */
    COUNT_REPLACEMENTS,
    COUNT_WITHDRAWALS,
    COUNT_RETURNS,
    COUNT_ALL
};
const char *run_count_name(enum event_count count);

struct run_result { /* what a seed's worker says, in one write */
    uint64_t seed, trace, steps, committed, after_last_fault, simulated_ns, cpu_ns;
    uint64_t fault[FAULT_COUNT], count[COUNT_ALL];
    uint64_t reached[REACH_STATES], reached_ns[REACH_STATES]; /* with run_options.reach */
    uint32_t nodes;
    bool good;
    char failure[400];
};

struct run_options {
    uint64_t first, seeds; /* seeds first, first + 1, ... */
    uint64_t seconds;      /* no seed is begun after so many; 0: no limit */
    uint32_t jobs;
    bool trace, verbose, quiet, stop;
    bool reach; /* print the rare states of each seed (tests/reach) */
    const char *export_dir;
    struct limits limits;
    uint32_t speed;    /* enum run_speed: instead of what is drawn */
    uint64_t shrink_s; /* the first failing seed is made smaller for so long at most */
    struct timeline_options timeline;
};

enum run_speed { RUN_DRAWN, RUN_SPEED_FAULTS, RUN_SPEED_LOAD };

struct run_totals {
    uint64_t begun, seeds, failed, lively, steps, committed, simulated_ns, cpu_ns;
    uint64_t fault[FAULT_COUNT], count[COUNT_ALL];
    double took_s;
    struct run_result first_failed; /* if any has */
};

/* Ordered after the last fault: who has so many is back to work. */
enum { RUN_LIVELY = 100 };

/* Runs one seed here and now. */
void run_seed(const struct run_options *options, uint64_t seed, struct run_result *result);

/* Runs them all and prints each failure with the command that replays it. */
void run_all(const struct run_options *options, struct run_totals *totals);

/* One seed in a process of its own. */
void run_alone(const struct run_options *options, uint64_t seed, struct run_result *result);
/* The arguments that run a seed with these limits: "--seed 7 --without loss,cut". */
void run_arguments(uint64_t seed, const struct limits *limits, char *text, size_t size);

/* shrink.c: looks for the smallest run with the same failure, and prints its command. */
void shrink(const struct run_options *options, const struct run_result *failed);
/* speed.c: how fast this simulator is; 0: all checks held too. */
int speed(const struct run_options *options);

/* Prints the totals; 0: all that has to hold over many seeds held too, else 1. */
int run_summary(const struct run_options *options, const struct run_totals *totals);

#endif
