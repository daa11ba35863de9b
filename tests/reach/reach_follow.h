/* Rare states in worlds of the Raft core alone (tests/unit/raft/raft_world.h): transcripts and
 * random worlds. Called by whoever owns the world, on its thread.
 */
#ifndef KEEL_TESTS_REACH_FOLLOW_H
#define KEEL_TESTS_REACH_FOLLOW_H

#include "tests/reach/reach.h"
#include "tests/unit/raft/raft_world.h"

/* After world_init(): from here on the world makes records. *reach must outlive that. */
void reach_follow(struct world *world, struct reach *reach);

#endif
