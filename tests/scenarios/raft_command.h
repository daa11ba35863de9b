/* One command of a Raft transcript, acted out on a world of real cores. */
#ifndef KEEL_TESTS_RAFT_COMMAND_H
#define KEEL_TESTS_RAFT_COMMAND_H

#include "tests/reach/reach_follow.h"
#include "tests/scenarios/handover.h"
#include "tests/unit/raft/raft_world.h"

#include <stdio.h>

enum { LINE_MAX_BYTES = 512, WORDS_MAX = 40 };

struct runner {
    struct world *world;
    FILE *out;           /* the block's output */
    struct reach *reach; /* NULL: nobody asks for rare states */
    bool started;
    struct handover_read read[HANDOVER_READS_MAX];
    char words[WORDS_MAX][64];
    uint32_t count;
};

/* A line: `quiet` before the command mutes the trace, not what it prints itself. What is wrong with
 * it goes to the block's output as `error: ...`. */
void raft_command(struct runner *r, const char *line);

#endif
