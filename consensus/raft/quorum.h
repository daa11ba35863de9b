/* Quorum arithmetic over masks of replica ids. Pure; called by the Raft core alone.
 *
 * A quorum holds a majority of `voters` and, while the configuration is joint, also a majority of
 * `voters_new` (dissertation 4.3). Learners are in neither set and so never count. Without any
 * voter there is no quorum.
 */
#ifndef KEEL_RAFT_QUORUM_H
#define KEEL_RAFT_QUORUM_H

#include "consensus/raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

/* True if the replicas of mask hold a majority of each set. */
bool quorum_has(const struct raft_config *config, uint32_t mask);

/* True if no quorum is left once the replicas of mask refuse. */
bool quorum_blocked(const struct raft_config *config, uint32_t mask);

/* The greatest value that a quorum has reached, value[id] being how far replica id is: an index
 * that it holds durably, or a time. 0 without voters. */
uint64_t quorum_reached(const struct raft_config *config, const uint64_t value[RAFT_ID_MAX + 1]);

#endif
