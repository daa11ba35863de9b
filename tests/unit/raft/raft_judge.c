#include "tests/unit/raft/raft_judge.h"

#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"

#include <stdarg.h>

__attribute__((format(printf, 2, 3))) static void violate(struct world *world, const char *format,
                                                          ...)
{
    if (world->violation[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(world->violation, sizeof(world->violation), format, args);
    va_end(args);
}

uint64_t world_chain(const struct world_node *node, uint64_t index)
{
    ENSURE(index <= node->log.last);
    uint64_t chain = node->log.entry[index].chain;
    return node->flipped != 0 && index >= node->flipped ? chain ^ 1 : chain;
}

/* LSNs are given out without gap: 1, 2, 3, ... in the order of the records. */
void judge_lsn(struct world *world, const struct world_node *node, uint64_t lsn)
{
    uint64_t before =
        node->record_count > 0 ? node->record[node->record_count - 1].lsn : node->raft.durable_lsn;
    if (lsn != before + 1)
        violate(world, "node %u: lsn %lu follows %lu", node->raft.id, lsn, before);
}

/* 3.6.3, log matching: equal index and term, equal log up to there. */
void judge_entry(struct world *world, const struct world_node *node, uint64_t index)
{
    if (!world->judge_chain)
        return;
    const struct world_entry *e = &node->log.entry[index];
    uint64_t slot = (index * 2654435761U + e->term * 40503U) % WORLD_TABLE_SIZE;
    for (uint32_t i = 0; i < WORLD_TABLE_SIZE; i++) {
        struct world_known *k = &world->known[(slot + i) % WORLD_TABLE_SIZE];
        if (k->index == 0) {
            ENSURE(world->known_count++ < WORLD_TABLE_SIZE / 2);
            *k = (struct world_known){.index = index, .term = e->term, .chain = e->chain};
            return;
        }
        if (k->index == index && k->term == e->term) {
            if (k->chain != e->chain)
                violate(world, "log matching: node %u holds another log at (%lu, %lu)",
                        node->raft.id, index, e->term);
            return;
        }
    }
}

/* Election safety: one leader a term. Leader completeness: it holds whatever was committed. */
void judge_elected(struct world *world, const struct world_node *node)
{
    uint64_t term = node->raft.term;
    unsigned id = node->raft.id;
    world->elections++;
    ENSURE(term < WORLD_TERMS_MAX);
    if (world->leader_of[term] != 0 && world->leader_of[term] != id)
        violate(world, "election safety: %u and %u lead term %lu", world->leader_of[term], id,
                term);
    world->leader_of[term] = (uint8_t)id;
    uint64_t last = world->committed.last;
    if (node->log.last < last || node->log.entry[last].chain != world->committed.entry[last].chain)
        violate(world, "leader completeness: %u leads term %lu without entry %lu", id, term, last);
    if (node->disk_term != term || node->disk_vote != id)
        violate(world, "node %u leads term %lu, its own vote is not durable", id, term);
}

static void judge_vote(struct world *world, const struct world_node *node, uint64_t term,
                       uint8_t candidate)
{
    uint8_t *voted = &world->voted[node->raft.id][term];
    if (node->disk_term != term || node->disk_vote != candidate)
        violate(world, "node %u votes in term %lu before it is durable", node->raft.id, term);
    if (*voted != 0 && *voted != candidate)
        violate(world, "node %u votes for %u and %u in term %lu", node->raft.id, *voted, candidate,
                term);
    *voted = candidate;
}

/* Nothing leaves before what it testifies to is on the drive (pitfall 1). */
void judge_message(struct world *world, const struct world_node *node, const struct raft_msg *msg)
{
    unsigned id = node->raft.id;
    if (msg->from != id || msg->to == id || msg->to == 0 || msg->to > world->count)
        violate(world, "node %u sends from %u to %u", id, msg->from, msg->to);
    ENSURE(msg->term < WORLD_TERMS_MAX);
    if (msg->kind == RAFT_PREVOTE || (msg->kind == RAFT_PREVOTE_REPLY && msg->status != 0))
        return;
    if (node->disk_term != msg->term && msg->kind != RAFT_PREVOTE_REPLY)
        violate(world, "node %u sends kind %u of term %lu, term %lu is durable", id, msg->kind,
                msg->term, node->disk_term);
    if (msg->kind == RAFT_VOTE)
        judge_vote(world, node, msg->term, node->raft.id);
    if (msg->kind == RAFT_VOTE_REPLY && msg->status != 0)
        judge_vote(world, node, msg->term, msg->to);
    if (msg->kind != RAFT_APPEND_REPLY || msg->status != RAFT_APPEND_OK)
        return;
    if (msg->match > world_found_last(node)) {
        violate(world, "node %u acknowledges %lu, %lu is durable", id, msg->match,
                world_found_last(node));
        return;
    }
    const struct world_node *leader = &world->node[msg->to];
    if (!leader->up || leader->raft.role != RAFT_LEADER || leader->raft.term != msg->term)
        return;
    if (msg->match > leader->log.last ||
        world_found_chain(world, node, msg->match) != leader->log.entry[msg->match].chain)
        violate(world, "node %u acknowledges %lu that differs from its leader's", id, msg->match);
}

/* State-machine safety, and that a quorum's drives hold what a leader commits. */
void judge_commit(struct world *world, struct world_node *node, uint64_t commit)
{
    unsigned id = node->raft.id;
    if (commit < node->commit_seen)
        violate(world, "node %u: commit goes back from %lu to %lu", id, node->commit_seen, commit);
    if (commit > node->log.last) {
        violate(world, "node %u commits %lu, its log ends at %lu", id, commit, node->log.last);
        return;
    }
    if (commit > node->commit_seen && node->raft.role == RAFT_LEADER) {
        uint32_t holders = 0;
        for (uint8_t i = 1; i <= world->count; i++)
            if (world_found_last(&world->node[i]) >= commit &&
                world_found_chain(world, &world->node[i], commit) == node->log.entry[commit].chain)
                holders |= UINT32_C(1) << i;
        if (!quorum_has(&world->config, holders))
            violate(world, "leader %u commits %lu, no quorum of drives holds it", id, commit);
    }
    for (uint64_t i = node->commit_seen + 1; i <= commit; i++) {
        if (i > world->committed.last) {
            world->committed.entry[i] = node->log.entry[i];
            world->committed.last = i;
        }
        if (world->committed.entry[i].chain != node->log.entry[i].chain)
            violate(world, "state-machine safety: node %u commits another entry %lu", id, i);
    }
    node->commit_seen = commit;
}

/* The core's own bookkeeping. */
void judge_books(struct world *world, const struct world_node *node)
{
    const struct raft *raft = &node->raft;
    uint64_t term = 0;
    bool good = raft->log.last == node->log.last &&
                raft_log_last_term(&raft->log) == node->log.entry[node->log.last].term &&
                raft->next_lsn - 1 - raft->base_lsn == raft->log.last - raft->base_index &&
                raft->hard_lsn <= raft->base_lsn && raft->base_lsn < raft->next_lsn &&
                raft->durable_lsn < raft->next_lsn && raft->commit + 1 >= raft->log.first &&
                raft_durable_index(raft) <= world_found_last(node) &&
                raft_log_term(&raft->log, raft->commit, &term);
    if (raft->role == RAFT_FOLLOWER)
        good = good && raft->agreed >= raft->commit && raft->agreed <= raft->log.last;
    for (uint8_t id = 1; raft->role == RAFT_LEADER && id <= world->count; id++) {
        const struct raft_peer *peer = &raft->peer[id];
        if (id != raft->id)
            good = good && peer->match < peer->next && peer->next <= raft->log.last + 1 &&
                   peer->flight_count <= raft->options.flights &&
                   (peer->flight_count > 0 || peer->flight_bytes == 0);
    }
    if (!good)
        violate(world, "node %u: its books are wrong", raft->id);
}
