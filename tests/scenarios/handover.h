/* Commands of the transcripts about transfer of leadership and reads
 * (tests/scenarios/raft/README.md). One world, one thread; `out` is the block's output.
 */
#ifndef KEEL_TESTS_SCENARIOS_HANDOVER_H
#define KEEL_TESTS_SCENARIOS_HANDOVER_H

#include "tests/unit/raft/raft_world.h"

enum { HANDOVER_READS_MAX = 8 };

struct handover_read {
    uint8_t id;
    bool begun;
    struct raft_read read;
};

/* The replica's transfer as status would show it. */
void handover_show(FILE *out, const struct world_node *node);
void handover_transfer(FILE *out, struct world *world, uint8_t id, uint8_t to);
/* Begins read `number` at a replica; asks what became of it. */
void handover_read(FILE *out, struct world *world, struct handover_read *read, uint8_t id);
void handover_proof(FILE *out, const struct world *world, const struct handover_read *read);

#endif
