/* What can be seen of a core from outside: its state, compared with the picture of it. */
#include "tests/reach/reach_internal.h"

#include <stddef.h>
#include <string.h>

static void take(struct reach *reach, enum reach_kind kind, uint8_t who, uint64_t at_ns,
                 const uint64_t value[REACH_VALUES])
{
    struct reach_record record = {.at_ns = at_ns, .kind = (uint8_t)kind, .who = who};
    for (uint32_t i = 0; i < REACH_VALUES; i++)
        record.value[i] = value[i];
    reach_take(reach, &record);
}

#define TAKE(kind, ...)                                                                            \
    take(reach, kind, raft->id, at_ns, (const uint64_t[REACH_VALUES]){__VA_ARGS__})

/* The first index at which the log is not what it was; 0: it only grew, or gave way to a
 * checkpoint as a whole. Equal terms at an index are equal logs up to there (3.5). */
static uint64_t cut_at(const struct raft_log *was, const struct raft_log *is)
{
    uint64_t at = was->last < is->last ? was->last : is->last, before, after;
    uint64_t low = was->first > is->first ? was->first : is->first;
    if (was->run_count == 0 || was->last < is->first)
        return 0;
    while (at >= low && raft_log_term(was, at, &before) && raft_log_term(is, at, &after) &&
           before != after)
        at--;
    return at < was->last ? at + 1 : 0;
}

static void keep(struct raft_log *seen, const struct raft_log *log)
{
    memcpy(seen, log, offsetof(struct raft_log, run) + log->run_count * sizeof(log->run[0]));
}

static void look_at_log(struct reach *reach, const struct raft *raft, uint64_t at_ns)
{
    const struct reach_replica *p = &reach->picture.replica[raft->id];
    struct raft_log *seen = &reach->seen[raft->id];
    uint64_t durable = raft_durable_index(raft), last_term = raft_log_last_term(&raft->log);
    bool waits = raft->durable_lsn < raft->hard_lsn;
    bool same =
        raft->log.last == p->last && last_term == p->last_term && raft->log.first == p->first;
    uint64_t cut = same ? 0 : cut_at(seen, &raft->log), terms = 0;
    for (uint32_t i = 0; cut != 0 && i < seen->run_count; i++)
        terms += i + 1 == seen->run_count || seen->run[i + 1].first > cut;
    if (cut != 0)
        TAKE(REACH_CUT, cut, p->last, p->last_term, terms, p->durable);
    if (!same || durable != p->durable || waits != p->hard_waits)
        TAKE(REACH_LOG, raft->log.last, last_term, durable, raft->log.first, waits);
    if (!same)
        keep(seen, &raft->log);
}

static void look_at_members(struct reach *reach, const struct raft *raft, uint64_t at_ns)
{
    const struct reach_replica *p = &reach->picture.replica[raft->id];
    const struct raft_config *c = &raft->config;
    if (c->index != p->config || c->voters != p->voters || c->voters_new != p->voters_new ||
        c->learners != p->learners)
        TAKE(REACH_MEMBERS, c->index, c->voters, c->voters_new, c->learners);
}

void reach_look(struct reach *reach, const struct raft *raft, uint64_t at_ns)
{
    const struct reach_replica *p = &reach->picture.replica[raft->id];
    /* What a drive stated at the start may be cut away since: then it is no hole. */
    bool lost = raft->hole != 0 && raft->hole <= raft->config_stated &&
                raft->config_stated > raft->config.index;
    look_at_log(reach, raft, at_ns);
    look_at_members(reach, raft, at_ns);
    if (raft->hole != p->hole || (raft->settling != 0) != p->settling || lost != p->config_lost)
        TAKE(REACH_HOLE, raft->hole, raft->settling != 0, lost);
    if (raft->commit != p->commit)
        TAKE(REACH_COMMIT, raft->commit);
    if (raft->role != p->role || raft->term != p->term || raft->vote != p->vote ||
        raft->leader != p->leader)
        TAKE(REACH_ROLE, raft->role, raft->term, raft->vote, raft->leader);
    if (raft->transfer.state != p->handover || raft->transfer.to != p->handover_to)
        TAKE(REACH_HANDOVER, raft->transfer.state, raft->transfer.to);
    bool waits = raft->role == RAFT_LEADER && raft->waiting != 0;
    if (waits != p->short_of_room)
        TAKE(REACH_ROOM, waits);
    if (p->up && (raft->stopped != 0 || raft->failed != 0))
        reach_down(reach, raft->id, at_ns);
}

void reach_started(struct reach *reach, const struct raft *raft, uint64_t at_ns, bool installed)
{
    TAKE(REACH_STARTED, raft->term, raft->vote, raft->incarnation, installed);
    keep(&reach->seen[raft->id], &raft->log);
    reach_look(reach, raft, at_ns);
}

void reach_down(struct reach *reach, uint8_t id, uint64_t at_ns)
{
    if (reach->picture.replica[id].up)
        reach_take(reach, &(struct reach_record){.at_ns = at_ns, .kind = REACH_DOWN, .who = id});
}

void reach_arrived(struct reach *reach, const struct raft_msg *msg, uint64_t at_ns, uint32_t assoc)
{
    reach_take(reach, &(struct reach_record){
                          .at_ns = at_ns,
                          .kind = REACH_ARRIVED,
                          .who = msg->to,
                          .whom = msg->from,
                          .what = msg->kind,
                          .value = {msg->term, msg->status, msg->count,
                                    msg->kind == RAFT_APPEND_REPLY ? msg->match : msg->prev_index,
                                    msg->prev_term, assoc}});
}

void reach_checkpoint(struct reach *reach, const struct raft *raft, uint64_t at_ns, uint64_t index,
                      uint64_t term)
{
    uint64_t own = 0;
    if (index >= raft->log.first && index <= raft->log.last)
        raft_log_term(&raft->log, index, &own);
    else if (index < raft->log.first) /* let go of, and so committed */
        own = term;
    TAKE(REACH_CHECKPOINT, index, term, own);
}
