/* What raft_world judges after each step; see raft_world.h. Each function keeps the first violation
 * as text in world->violation and otherwise changes only the judge's own tables.
 */
#ifndef KEEL_TESTS_RAFT_JUDGE_H
#define KEEL_TESTS_RAFT_JUDGE_H

#include "tests/unit/raft/raft_world.h"

/* Log chain of a node at index, damaged where the transcript flipped it. */
uint64_t world_chain(const struct world_node *node, uint64_t index);

void judge_lsn(struct world *world, const struct world_node *node, uint64_t lsn);
void judge_entry(struct world *world, const struct world_node *node, uint64_t index);
void judge_elected(struct world *world, const struct world_node *node);
void judge_grant(struct world *world, struct world_node *node, const struct world_packet *vote);
/* H5, pitfall 1: no acknowledgement speaks of what the drive has lost. */
void judge_hole(struct world *world, const struct world_node *node, const struct raft_msg *msg);
/* Before a packet is taken. */
void judge_arrival(struct world_node *node, const struct raft_msg *msg);
void judge_message(struct world *world, const struct world_node *node, const struct raft_msg *msg);
void judge_commit(struct world *world, struct world_node *node, uint64_t commit);
/* After a change was asked for: `current` if the configuration in force was named. */
void judge_change(struct world *world, const struct world_node *node, bool current, bool changed);
/* After an answer that took a leader's office: only a member's may. */
void judge_deposed(struct world *world, const struct world_node *node, uint8_t from,
                   uint64_t incarnation);
/* After a tick: who leads may. */
void judge_office(struct world *world, const struct world_node *node);
void judge_books(struct world *world, const struct world_node *node);

#endif
