#include "tests/explore/members.h"

#include "tests/unit/raft/raft_world.h"

#include <string.h>

static struct raft_config numbered(const struct scope *scope, const uint8_t *config, uint8_t index)
{
    struct raft_config out = scope->config[config[index]];
    out.index = index;
    return out;
}

/* 4.1: the last in the log, committed or not, and while it is not, the one before it. */
static void known(const struct scope *scope, const uint8_t *config, uint64_t last, uint64_t commit,
                  struct raft_config *in_force, struct raft_config *previous)
{
    uint8_t index = members_index(config, last);
    *in_force = numbered(scope, config, index);
    if (index > commit)
        *previous = numbered(scope, config, members_index(config, index - 1U));
    else
        memset(previous, 0, sizeof(*previous));
}

void members_load(const struct scope *scope, const struct replica_state *r, struct raft *raft)
{
    known(scope, r->config, r->last, r->commit, &raft->config, &raft->previous);
    raft->leaving = r->leaving;
}

static bool same(const struct raft_config *a, const struct raft_config *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

void members_save(struct core *core)
{
    struct replica_state *r = &core->state->replica[core->id];
    const struct raft *raft = &core->raft;
    struct raft_config in_force, previous;
    known(core->scope, r->config, r->last, r->commit, &in_force, &previous);
    if (!same(&raft->config, &in_force))
        core_violate(core, "node %u goes by the configuration of entry %lu, its log's last is %lu",
                     core->id, raft->config.index, in_force.index);
    if (!same(&raft->previous, &previous))
        core_violate(core, "node %u would fall back to another configuration than its log has",
                     core->id);
    r->leaving = raft->role == RAFT_LEADER ? (uint8_t)raft->leaving : 0;
}

void members_boot(const struct scope *scope, const struct durable_half *disk,
                  struct raft_boot *boot)
{
    uint8_t index = members_index(disk->config, disk->last);
    boot->config_stated = index;
    boot->config_count = 0;
    if (index > 0)
        boot->config[boot->config_count++] =
            numbered(scope, disk->config, members_index(disk->config, index - 1U));
    boot->config[boot->config_count++] = numbered(scope, disk->config, index);
}

uint32_t members_carried(const struct core *core, const struct raft_msg *msg,
                         struct raft_config config[MESSAGE_CONFIGS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; msg->kind == RAFT_APPEND && i < MESSAGE_CONFIGS_MAX; i++) {
        uint8_t number = message_config(core->packet, i);
        if (number == 0)
            continue;
        config[count] = core->scope->config[number];
        config[count++].index = msg->prev_index + 1 + i;
    }
    return count;
}

message members_carry(struct core *core, const struct raft_msg *msg, message m)
{
    const struct replica_state *r = &core->state->replica[core->id];
    for (uint32_t i = 0; msg->kind == RAFT_APPEND && i < msg->count; i++) {
        uint64_t index = msg->prev_index + 1 + i;
        if (index >= STATE_LOG_SIZE || r->config[index] == 0)
            continue;
        if (i < MESSAGE_CONFIGS_MAX)
            m = message_with_config(m, i, r->config[index]);
        else
            core->outside = true;
    }
    return m;
}

uint8_t members_number(struct core *core, const struct raft_msg *msg, uint64_t index)
{
    if (core->out.config) {
        uint8_t number = scope_number(core->scope, &core->raft.config);
        if (number == 0)
            core_violate(core, "node %u appends a configuration that no change leads to", core->id);
        return number;
    }
    if (msg == NULL || core->out.noop)
        return 0;
    uint64_t i = index - msg->prev_index - 1;
    return i < MESSAGE_CONFIGS_MAX ? message_config(core->packet, (uint32_t)i) : 0;
}

void members_ask(struct core *core, uint8_t id, uint8_t wanted, uint8_t was)
{
    const struct scope_members *members = &core->scope->wanted[wanted];
    core->asked = (struct raft_config){
        .voters = members->voters, .learners = members->learners, .index = was};
    for (uint8_t i = 1; i <= core->scope->replicas; i++)
        if (((members->voters | members->learners) >> i & 1) != 0)
            core->asked.incarnation[i] = i;
    core_open(core, id);
    core_event(core, RAFT_EV_CONFIG, ELAPSED_NONE, NULL);
    core_close(core);
}
