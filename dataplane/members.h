/* The configurations in a replica's log with what Raft does not know of them: addresses. Kept in
 * step with struct raft's own list, so that a truncation brings addresses back, too. Role `seq`
 * owns it; others read the copy in the published status.
 */
#ifndef KEEL_MEMBERS_H
#define KEEL_MEMBERS_H

#include "consensus/raft/raft.h"
#include "consensus/wire/entry.h"

struct members_config {
    uint64_t index; /* of the entry; 0: genesis */
    struct entry_config body;
};

struct members {
    uint32_t count; /* ascending by index; the first is the newest committed one at the start */
    uint32_t reserved;
    struct members_config at[RAFT_CONFIGS_MAX + 1];
};

/* Body and index of an entry as Raft sees it. */
void members_to_raft(const struct entry_config *body, uint64_t index, struct raft_config *config);

/* Takes a configuration into the list; `index` is above all others there. The oldest goes when the
 * list is full: Raft keeps one less. */
void members_take(struct members *members, const struct entry_config *body, uint64_t index);

/* The log gave way to a checkpoint, in which this one is in force. */
void members_begin(struct members *members, const struct entry_config *body, uint64_t index);

/* One that a hole had hidden, between the two that are kept or behind them. */
void members_repaired(struct members *members, const struct entry_config *body, uint64_t index);

/* The log was cut off before index. */
void members_truncate(struct members *members, uint64_t index);

/* The one in force. */
static inline const struct members_config *members_now(const struct members *members)
{
    return &members->at[members->count - 1];
}

/* The body of a configuration that Raft is about to have appended: addresses come from `wanted`
 * (NULL: none) where it names that very incarnation, else from the configuration in force. */
void members_body(const struct members *members, const struct raft_config *config,
                  const struct entry_config *wanted, struct entry_config *body);

static inline uint32_t members_mask(const struct entry_config *body)
{
    return body->voters | body->voters_new | body->learners;
}

#endif
