#include "tests/explore/holes.h"

#include "tests/unit/raft/raft_world.h"

static uint8_t bit(uint64_t index)
{
    return (uint8_t)(index < 8 ? 1u << index : 0);
}

bool holes_intact(const struct durable_half *disk, uint64_t index, uint64_t term)
{
    return index <= disk->last && disk->log[index] == term && (disk->lost & bit(index)) == 0;
}

bool holes_may_lose(const struct scope *scope, const struct state *s, uint8_t id, uint8_t index)
{
    if (s->holes >= scope->holes || index == 0 || index > SCOPE_LOG_MAX)
        return false;
    for (uint8_t other = 1; other <= scope->replicas; other++)
        if (other != id && (s->replica[other].disk.lost & bit(index)) != 0)
            return false;
    return (s->replica[id].disk.lost & bit(index)) == 0;
}

static const struct durable_half *drive(const struct core *core)
{
    return &core->state->replica[core->id].disk;
}

static bool lost(const struct core *core, uint64_t index)
{
    const struct durable_half *disk = drive(core);
    uint64_t term;
    return index <= disk->last && (disk->lost & bit(index)) != 0 &&
           raft_log_term(&core->raft.log, index, &term) && term == disk->log[index];
}

uint8_t holes_lowest(const struct core *core)
{
    for (uint8_t index = 1; index <= SCOPE_LOG_MAX; index++)
        if (lost(core, index))
            return index;
    return 0;
}

static void tell(struct core *core)
{
    if (holes_lowest(core) != core->raft.hole)
        core_event(core, RAFT_EV_HOLE, ELAPSED_NONE, NULL);
}

void holes_rot(struct core *core, uint8_t id, uint8_t index)
{
    core->state->holes++;
    core->state->replica[id].disk.lost |= bit(index);
    core_open(core, id);
    tell(core);
    core_close(core);
}

void holes_ask(struct core *core, uint8_t id)
{
    core_open(core, id);
    for (uint8_t peer = 1; peer <= core->scope->replicas; peer++) {
        struct raft_send send;
        uint64_t term = 0;
        if (peer == id || core->raft.hole == 0 ||
            !raft_log_term(&core->raft.log, core->raft.hole, &term))
            continue;
        raft_fetch(&core->raft, peer, core->raft.hole, term, &send);
        if (send.lsn <= core->gate.durable_lsn)
            core_leave(core, &send.msg);
    }
    core_close(core);
}

/* The entry may be in memory alone: what is proven needs to be durable nowhere. */
void holes_serve(struct core *core, const struct raft_msg *msg)
{
    uint64_t term;
    if (!raft_log_term(&core->raft.log, msg->prev_index, &term) || term != msg->prev_term ||
        lost(core, msg->prev_index) || core->raft.hard_lsn > core->gate.durable_lsn)
        return;
    core_leave(core, &(struct raft_msg){.kind = RAFT_FETCH_REPLY,
                                        .from = core->id,
                                        .to = msg->from,
                                        .term = core->raft.term,
                                        .status = 1,
                                        .count = 1,
                                        .prev_index = msg->prev_index,
                                        .prev_term = msg->prev_term});
}

void holes_restore(struct core *core, const struct raft_msg *msg)
{
    struct durable_half *disk = &core->state->replica[core->id].disk;
    if (!lost(core, msg->prev_index) || disk->log[msg->prev_index] != msg->prev_term)
        return;
    disk->lost = (uint8_t)(disk->lost & ~bit(msg->prev_index));
    tell(core);
}
