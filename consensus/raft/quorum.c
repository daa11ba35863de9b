#include "consensus/raft/quorum.h"

#include "consensus/ensure.h"

static uint32_t members(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static bool majority(uint32_t set, uint32_t mask)
{
    return 2 * members(set & mask) > members(set);
}

bool quorum_has(const struct raft_config *config, uint32_t mask)
{
    if (config->voters == 0 || !majority(config->voters, mask))
        return false;
    return config->voters_new == 0 || majority(config->voters_new, mask);
}

bool quorum_blocked(const struct raft_config *config, uint32_t mask)
{
    return !quorum_has(config, ~mask);
}

/* The value that a majority of one set has reached: sorted downwards, the one in the middle (of an
 * even number the lower of the two in the middle: half is no majority). */
static uint64_t majority_reached(uint32_t set, const uint64_t value[RAFT_ID_MAX + 1])
{
    uint64_t sorted[RAFT_ID_MAX + 1];
    uint32_t count = 0;
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
        if ((set >> id & 1) == 0)
            continue;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < value[id]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value[id];
    }
    return count == 0 ? 0 : sorted[count / 2];
}

HOT uint64_t quorum_reached(const struct raft_config *config, const uint64_t value[RAFT_ID_MAX + 1])
{
    uint64_t reached = majority_reached(config->voters, value);
    if (config->voters_new == 0)
        return reached;
    uint64_t reached_new = majority_reached(config->voters_new, value);
    return reached < reached_new ? reached : reached_new;
}
