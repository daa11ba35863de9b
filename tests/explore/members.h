/* Configurations within an exploration (dissertation 4.1 to 4.3). An entry that sets one holds its
 * number in the scope, on the drive and in memory alike, and so does a packet that carries it; 0:
 * it sets none. A log puts its last one in force.
 *
 * Exact: what struct raft holds besides, the configuration in force and the one before it that a
 * truncation would bring back, follows from log and commit index, so a packed state does not repeat
 * it. This is not believed: each time that a replica is put back, its own two are compared.
 */
#ifndef KEEL_EXPLORE_MEMBERS_H
#define KEEL_EXPLORE_MEMBERS_H

#include "tests/explore/core.h"

/* The index of the last configuration among the first `last` entries; 0: that of the beginning. */
static inline uint8_t members_index(const uint8_t *config, uint64_t last)
{
    uint8_t index = (uint8_t)last;
    while (index > 0 && config[index] == 0)
        index--;
    return index;
}

/* What a log that ends at `last` puts in force; `index` is not filled in. */
static inline const struct raft_config *members_of(const struct scope *scope, const uint8_t *config,
                                                   uint64_t last)
{
    return &scope->config[config[members_index(config, last)]];
}

/* Into a loaded replica, and back. */
void members_load(const struct scope *scope, const struct replica_state *r, struct raft *raft);
void members_save(struct core *core);

/* What a start finds in a log: the last two. */
void members_boot(const struct scope *scope, const struct durable_half *disk,
                  struct raft_boot *boot);

/* What the packet under delivery carries, for raft_in; returns how many. */
uint32_t members_carried(const struct core *core, const struct raft_msg *msg,
                         struct raft_config config[MESSAGE_CONFIGS_MAX]);
/* A packet of the open replica with the numbers of what it carries. */
message members_carry(struct core *core, const struct raft_msg *msg, message m);

/* The open replica appended entry `index`: the number of the configuration that it sets. */
uint8_t members_number(struct core *core, const struct raft_msg *msg, uint64_t index);

/* A leader is asked for the scope's wanted configuration in the place of that of entry `was`. */
void members_ask(struct core *core, uint8_t id, uint8_t wanted, uint8_t was);

#endif
