#include "dataplane/members.h"

#include "consensus/ensure.h"

#include <string.h>

void members_to_raft(const struct entry_config *body, uint64_t index, struct raft_config *config)
{
    *config = (struct raft_config){.voters = body->voters,
                                   .voters_new = body->voters_new,
                                   .learners = body->learners,
                                   .index = index};
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++)
        config->incarnation[id] = body->member[id].incarnation;
}

void members_take(struct members *members, const struct entry_config *body, uint64_t index)
{
    ENSURE(members->count == 0 || members->at[members->count - 1].index < index);
    if (members->count == RAFT_CONFIGS_MAX + 1) {
        memmove(&members->at[0], &members->at[1], RAFT_CONFIGS_MAX * sizeof(members->at[0]));
        members->count--;
    }
    members->at[members->count].index = index;
    members->at[members->count].body = *body;
    members->count++;
}

void members_begin(struct members *members, const struct entry_config *body, uint64_t index)
{
    members->count = 0;
    members_take(members, body, index);
}

void members_repaired(struct members *members, const struct entry_config *body, uint64_t index)
{
    if (index > members_now(members)->index) {
        members_take(members, body, index);
    } else if (members->count > 1 && index > members->at[0].index && index < members->at[1].index) {
        members->at[0].index = index;
        members->at[0].body = *body;
    }
}

void members_truncate(struct members *members, uint64_t index)
{
    while (members->at[members->count - 1].index >= index) { /* what is committed stays */
        ENSURE(members->count > 1);
        members->count--;
    }
}

void members_body(const struct members *members, const struct raft_config *config,
                  const struct entry_config *wanted, struct entry_config *body)
{
    const struct entry_config *now = &members_now(members)->body;
    memset(body, 0, sizeof(*body));
    body->voters = config->voters;
    body->voters_new = config->voters_new;
    body->learners = config->learners;
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
        uint64_t incarnation = config->incarnation[id];
        if (incarnation == 0)
            continue;
        bool named = wanted != NULL && wanted->member[id].incarnation == incarnation;
        body->member[id] = named ? wanted->member[id] : now->member[id];
        ENSURE(body->member[id].incarnation == incarnation);
    }
}
