/* What must hold in every state and at every step (dissertation, figure 3.2; docs/design.md). The
 * first violation is kept as text in core->violation.
 */
#ifndef KEEL_EXPLORE_CHECK_H
#define KEEL_EXPLORE_CHECK_H

#include "tests/explore/core.h"

/* A message leaves its replica: what it testifies to is on the drive. */
void check_release(struct core *core, const struct raft_msg *msg);

/* Term and vote on a drive: never back, and one vote a term, over all lives. */
void check_hard(struct core *core, const struct durable_half *disk, const struct record *hard);

/* By the votes of a quorum; election safety, leader completeness. */
void check_elected(struct core *core);
/* `held`: before the step it led, and had begun its office. */
void check_office(struct core *core, bool held);

/* Entries are about to go: none that is committed. */
void check_truncation(struct core *core);

/* Members (dissertation 4.1 to 4.3). A leader has appended a configuration, asked to or not. */
void check_change(struct core *core);
/* After the tick of one that led before it; after an answer to such a one. */
void check_tick(struct core *core);
void check_answer(struct core *core, const struct raft_msg *msg);

/* The commit index after a step; `before` it was another. Monotone; state-machine safety. */
void check_commit(struct core *core, uint64_t before);

/* The whole state: log matching; what is committed lies on a quorum's drives; what recovery would
 * find is what the core believes; and leader completeness one election ahead: whoever could win one
 * now, if all lost power, holds everything committed. */
void check_state(struct core *core);

/* Before packets are dropped or reduced as ones that no longer count (state_reduce()): the core
 * must ignore the first, and answer the second as if they were whole. */
void check_reduction(struct core *core);

#endif
