#include "tests/unit/raft/raft_judge.h"

#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"

#include <stdarg.h>
#include <string.h>

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

/* 4.2.3, 6.4.1: a leader that a quorum heard within the minimum election timeout holds a lease, as
 * long as it has not ended it (H19): nobody wins a later term meanwhile. Who wins an earlier one,
 * its votes delayed, can never have a lease in it. */
static void judge_leases(struct world *world, const struct world_node *winner)
{
    for (uint8_t id = 1; id <= world->count; id++) {
        const struct world_node *node = &world->node[id];
        const struct raft *raft = &node->raft;
        if (node == winner || !node->up || raft->role != RAFT_LEADER || raft->failed ||
            raft->stopped || raft->transfer.lease_ended || raft->term > winner->raft.term)
            continue;
        if (raft_quorum_age_ns(raft, world->now_ns) < world->options.election_min_ns)
            violate(world, "lease: %u is elected in term %lu, %u holds a lease in term %lu",
                    winner->raft.id, winner->raft.term, id, raft->term);
    }
}

/* 3.4, 4.3: by the votes of a quorum of its configuration, each of which has left its voter. */
static void judge_votes(struct world *world, const struct world_node *node)
{
    uint32_t own = UINT32_C(1) << node->raft.id;
    uint32_t votes = own | world->votes[node->raft.id][node->raft.term];
    if (!quorum_has(world_config(world, node), votes))
        violate(world, "node %u leads term %lu, elected by no quorum of its configuration",
                node->raft.id, node->raft.term);
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
    judge_votes(world, node);
    judge_leases(world, node);
    /* A leader of before may come late, its votes delayed: it harms nobody, and need not know. */
    uint64_t last = world->committed.last;
    while (last > 0 && world->committed_in[last] >= term)
        last--;
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
    world->votes[candidate][term] |= UINT32_C(1) << node->raft.id;
}

/* Pitfall 4: a voter's one vote of a term goes to one incarnation of a candidate. 3.6.1: that holds
 * all that this voter does, at least. */
void judge_grant(struct world *world, struct world_node *node, const struct world_packet *vote)
{
    uint64_t term = vote->msg.term, last_term = node->log.entry[node->log.last].term;
    if (node->grant_term == term && node->grant_incarnation != vote->incarnation)
        violate(world, "node %u grants two incarnations its vote in term %lu", node->raft.id, term);
    if (vote->msg.prev_term < last_term ||
        (vote->msg.prev_term == last_term && vote->msg.prev_index < node->log.last))
        violate(world, "node %u grants its vote in term %lu to %u, whose log is behind",
                node->raft.id, term, vote->msg.from);
    node->grant_term = term;
    node->grant_incarnation = vote->incarnation;
}

static void judge_granted(struct world *world, const struct world_node *node, uint64_t term)
{
    uint64_t *voted = &world->voted_incarnation[node->raft.id][term];
    if (*voted != 0 && *voted != node->grant_incarnation)
        violate(world, "node %u votes for two incarnations in term %lu", node->raft.id, term);
    *voted = node->grant_incarnation;
}

void judge_hole(struct world *world, const struct world_node *node, const struct raft_msg *msg)
{
    uint64_t hole = world_hole(node);
    if (hole != 0 && msg->kind == RAFT_APPEND_REPLY && msg->status == RAFT_APPEND_OK &&
        msg->match >= hole)
        violate(world, "node %u acknowledges %lu, and has lost %lu", node->raft.id, msg->match,
                hole);
    if (msg->kind == RAFT_FETCH_REPLY && msg->status == 0 && msg->prev_index <= node->log.last &&
        node->log.entry[msg->prev_index].term == msg->prev_term)
        violate(world, "node %u denies %lu/%lu, which it holds or has lost", node->raft.id,
                msg->prev_index, msg->prev_term);
}

void judge_arrival(struct world_node *node, const struct raft_msg *msg)
{
    if (msg->kind == RAFT_TIMEOUT_NOW && msg->term >= node->told_term)
        node->told_term = msg->term + 1;
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
    /* 4.2.3: only the campaign that was asked for passes by the others' leader. */
    if (msg->kind == RAFT_VOTE && (msg->flags & RAFT_TOLD) != 0 && node->told_term != msg->term)
        violate(world, "node %u says that it was told to campaign in term %lu, and was not", id,
                msg->term);
    if (msg->kind == RAFT_TIMEOUT_NOW) {
        world->words++;
        if (!node->raft.transfer.lease_ended || node->raft.role != RAFT_LEADER)
            violate(world, "node %u says timeout-now and has not ended its lease", id);
        if (node->word_term != msg->term)
            world->node[id].word_ns = world->now_ns;
        world->node[id].word_term = msg->term;
    }
    if (msg->kind == RAFT_VOTE_REPLY && msg->status != 0) {
        judge_vote(world, node, msg->term, msg->to);
        judge_granted(world, node, msg->term);
    }
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

static bool holds(const struct world_log *disk, const struct world_entry *entry, uint64_t index)
{
    return disk->last >= index && disk->entry[index].chain == entry->chain;
}

/* Whoever is on the way to commit by these drives. A voter is (id, incarnation): what another
 * incarnation holds is nobody's; what a drive held that was lost since counts, since its voter
 * votes for nobody else any more. Of one that was lost longer ago nothing is known here. */
static uint32_t holders_of(const struct world *world, const struct raft_config *config,
                           const struct world_entry *entry, uint64_t index)
{
    uint32_t holders = 0;
    for (uint8_t i = 1; i <= world->count; i++) {
        const struct world_node *node = &world->node[i];
        bool held = node->incarnation > config->incarnation[i];
        if (config->incarnation[i] == node->incarnation)
            held = world_found_last(node) >= index &&
                   world_found_chain(world, node, index) == entry->chain;
        else if (config->incarnation[i] == node->dead_incarnation)
            held = holds(&node->dead, entry, index);
        holders |= (uint32_t)held << i;
    }
    return holders;
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
    /* A configuration that comes back to who settles its holes is committed by the one behind it.
     */
    bool proven = node->raft.previous.voters != 0 && node->raft.previous.index == commit;
    if (commit > node->commit_seen && node->raft.role == RAFT_LEADER && !proven) {
        const struct raft_config *config = world_config(world, node);
        uint32_t holders = holders_of(world, config, &node->log.entry[commit], commit);
        uint64_t hole = world_hole(node);
        if (hole != 0 && hole <= commit)
            holders &= ~(UINT32_C(1) << id); /* it counts itself for what it can still read */
        if (!quorum_has(config, holders))
            violate(world, "leader %u commits %lu, no quorum of drives holds it", id, commit);
    }
    for (uint64_t i = node->commit_seen + 1; i <= commit; i++) {
        if (i > world->committed.last) {
            world->committed.entry[i] = node->log.entry[i];
            world->committed.last = i;
            world->committed_in[i] = node->raft.term;
        }
        if (world->committed.entry[i].chain != node->log.entry[i].chain)
            violate(world, "state-machine safety: node %u commits another entry %lu", id, i);
    }
    node->commit_seen = commit;
}

/* 4.1: compare-and-set on the configuration in force, by a leader that knows what is
 * committed. 4.3: voters change by a joint configuration. 4.2.1: they learnt before. Pitfall 4:
 * they stay themselves.
 */
void judge_change(struct world *world, const struct world_node *node, bool current, bool changed)
{
    const struct raft *raft = &node->raft;
    if (!changed)
        return;
    const struct raft_config *before = raft->previous.voters != 0 ? &raft->previous : &raft->config;
    if (!current)
        violate(world, "node %u changes another configuration than was named", raft->id);
    if (raft->config.voters != before->voters)
        violate(world, "node %u changes voters at once", raft->id);
    if ((raft->config.voters_new & ~before->voters & ~before->learners) != 0 &&
        before != &raft->config)
        violate(world, "node %u makes a stranger a voter", raft->id);
    if (raft->commit < raft->noop_index)
        violate(world, "node %u changes members before its no-op is committed", raft->id);
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (before->incarnation[id] != 0 && raft->config.incarnation[id] != 0 &&
            before->incarnation[id] != raft->config.incarnation[id])
            violate(world, "node %u makes member %u another one in place", raft->id, id);
}

/* 4.2.3: a removed replica, or another under its id, deposes nobody by its answers. */
void judge_deposed(struct world *world, const struct world_node *node, uint8_t from,
                   uint64_t incarnation)
{
    if (node->raft.config.incarnation[from] != incarnation)
        violate(world, "node %u is deposed by the answer of %u, no member", node->raft.id, from);
}

/* 4.2.2: a leader whose committed configuration does not name it has stepped down, or hands its
 * office over within an election timeout. H19: so has one whose word came to nothing. */
void judge_office(struct world *world, const struct world_node *node)
{
    const struct raft *raft = &node->raft;
    if (node->up && raft->role == RAFT_LEADER && raft->config.index <= raft->commit &&
        raft->commit >= raft->noop_index && !raft_is_voter(raft) && !raft_hands_over(raft))
        violate(world, "node %u leads, and is no voter", raft->id);
    if (node->up && raft->role == RAFT_LEADER && raft->term == node->word_term &&
        world->now_ns > node->word_ns + world->options.election_min_ns)
        violate(world, "node %u leads on, though its word to a successor came to nothing",
                raft->id);
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
    const struct raft_config *config = world_config(world, node);
    good = good && raft->config.voters == config->voters &&
           raft->config.voters_new == config->voters_new &&
           raft->config.learners == config->learners &&
           memcmp(raft->config.incarnation, config->incarnation, sizeof(config->incarnation)) == 0;
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
