#include "tests/explore/check.h"

#include "tests/explore/holes.h"
#include "tests/explore/members.h"
#include "tests/unit/raft/raft_world.h"

#include <string.h>

void check_hard(struct core *core, const struct durable_half *disk, const struct record *hard)
{
    if (hard->term < disk->term)
        core_violate(core, "node %u: its term goes back from %u to %u", core->id, disk->term,
                     hard->term);
    if (hard->term == disk->term && disk->vote != 0 && hard->vote != disk->vote)
        core_violate(core, "node %u votes for %u and for %u in term %u", core->id, disk->vote,
                     hard->vote, hard->term);
}

/* What the log of the open replica, of which `last` entries are looked at, puts in force. */
static const struct raft_config *in_force(const struct core *core, uint64_t last)
{
    return members_of(core->scope, core->state->replica[core->id].config, last);
}

static bool votes_in(const struct raft_config *config, uint8_t id)
{
    return ((config->voters | config->voters_new) >> id & 1) != 0;
}

/* 3.4, 4.3: by the votes of a quorum, of both majorities while they are joint. A vote was on its
 * voter's drive before it left, and is there until that enters a later term. */
static void check_votes(struct core *core)
{
    const struct replica_state *r = core->state->replica;
    uint32_t votes = 0;
    for (uint32_t id = 1; id <= core->scope->replicas; id++) {
        const struct durable_half *disk = &r[id].disk;
        bool voted = disk->term == core->raft.term && disk->vote == core->id;
        if (voted || disk->term > core->raft.term)
            votes |= UINT32_C(1) << id;
    }
    if (!scope_quorum(in_force(core, r[core->id].last), votes))
        core_violate(core, "node %u leads term %lu, elected by no quorum of its configuration",
                     core->id, core->raft.term);
}

void check_elected(struct core *core)
{
    check_votes(core);
    struct state *s = core->state;
    const struct raft *raft = &core->raft;
    const struct durable_half *disk = &s->replica[core->id].disk;
    uint8_t *leader = &s->leader_of[raft->term];
    if (*leader != 0)
        core_violate(core, "election safety: nodes %u and %u lead term %lu", *leader, core->id,
                     raft->term);
    *leader = core->id;
    for (uint64_t i = 1; i <= s->committed; i++) {
        uint64_t term = 0;
        if (s->committed_in[i] >=
            raft->term) /* a leader of before may come late, and harms nobody */
            continue;
        if (!raft_log_term(&raft->log, i, &term) || term != s->committed_log[i])
            core_violate(core,
                         "leader completeness: node %u leads term %lu without the committed entry "
                         "%lu of term %u",
                         core->id, raft->term, i, s->committed_log[i]);
    }
    if (disk->term != raft->term || disk->vote != core->id)
        core_violate(core, "node %u leads term %lu, its own vote is not durable", core->id,
                     raft->term);
}

static void check_acknowledgement(struct core *core, const struct raft_msg *msg)
{
    const struct durable_half *disk = &core->state->replica[core->id].disk;
    const struct replica_state *leader = &core->state->replica[msg->to];
    uint8_t hole = holes_lowest(core);
    if (hole != 0 && msg->match >= hole) {
        core_violate(core, "node %u acknowledges entry %lu, its drive has lost entry %u", core->id,
                     msg->match, hole);
        return;
    }
    if (msg->match > disk->last) {
        core_violate(core, "node %u acknowledges entry %lu, its drive ends at %u", core->id,
                     msg->match, disk->last);
        return;
    }
    if (leader->role != RAFT_LEADER || leader->term != msg->term)
        return;
    if (msg->match > leader->last ||
        memcmp(&disk->log[1], &leader->log[1], (size_t)msg->match) != 0)
        core_violate(core, "node %u acknowledges entry %lu, its drive holds another than leader %u",
                     core->id, msg->match, msg->to);
}

/* H5: no word against what is held, or was held and is named still. */
static void check_denial(struct core *core, const struct raft_msg *msg)
{
    const struct durable_half *disk = &core->state->replica[core->id].disk;
    if (msg->prev_index <= disk->last && disk->log[msg->prev_index] == msg->prev_term)
        core_violate(core, "node %u denies entry %lu of term %lu, which it has acknowledged",
                     core->id, msg->prev_index, msg->prev_term);
}

/* H5: a leader settles its holes before its no-op; what it finds later it does not give up, for a
 * late acknowledgement would count for what it wrote there anew, under the same index and term. */
void check_office(struct core *core, bool held)
{
    if (held && core->raft.role == RAFT_LEADER && core->out.truncate_from != 0)
        core_violate(core, "node %u gives up entry %lu in term %lu, in which it began its office",
                     core->id, core->out.truncate_from, core->raft.term);
    if (core->out.noop && holes_lowest(core) != 0)
        core_violate(core, "node %u begins its office in term %lu, its drive has lost entry %u",
                     core->id, core->raft.term, holes_lowest(core));
}

void check_release(struct core *core, const struct raft_msg *msg)
{
    const struct durable_half *disk = &core->state->replica[core->id].disk;
    if (msg->from != core->id || msg->to == core->id || msg->to == 0 ||
        msg->to > core->scope->replicas)
        core_violate(core, "node %u sends from %u to %u", core->id, msg->from, msg->to);
    if (msg->kind == RAFT_PREVOTE || (msg->kind == RAFT_PREVOTE_REPLY && msg->status != 0))
        return;
    if (msg->kind != RAFT_PREVOTE_REPLY && msg->term != disk->term)
        core_violate(core, "node %u speaks in term %lu, its drive says term %u", core->id,
                     msg->term, disk->term);
    bool votes = msg->kind == RAFT_VOTE || (msg->kind == RAFT_VOTE_REPLY && msg->status != 0);
    uint8_t candidate = msg->kind == RAFT_VOTE ? core->id : msg->to;
    if (votes && (msg->term != disk->term || disk->vote != candidate))
        core_violate(core, "node %u votes for %u in term %lu before that is durable", core->id,
                     candidate, msg->term);
    if (msg->kind == RAFT_APPEND_REPLY && msg->status == RAFT_APPEND_OK)
        check_acknowledgement(core, msg);
    if (msg->kind == RAFT_FETCH_REPLY && msg->status == 0)
        check_denial(core, msg);
}

/* A committed entry, a configuration above all, is never undone. A leader of before it was
 * committed may come late, and may still take it from who has not heard of that. */
void check_truncation(struct core *core)
{
    const struct state *s = core->state;
    const struct replica_state *r = &s->replica[core->id];
    for (uint64_t i = core->out.truncate_from; i <= r->last && i <= s->committed; i++)
        if (r->log[i] == s->committed_log[i] && core->raft.term >= s->committed_in[i])
            core_violate(core, "node %u undoes the committed entry %lu of term %u", core->id, i,
                         r->log[i]);
}

/* 4.1: compare-and-set, by a leader that knows what is committed, on a configuration that is. 4.3:
 * voters change by a joint one, and that by the new one alone. 4.2.1: who becomes a voter learnt
 * before, and has shown that it can store. */
void check_change(struct core *core)
{
    const struct state *s = core->state;
    const struct replica_state *r = &s->replica[core->id];
    const struct raft_config *now = &core->raft.config;
    uint8_t index = members_index(r->config, core->out.append_first - 1);
    const struct raft_config *before = &core->scope->config[r->config[index]];
    uint32_t promoted = now->voters_new & ~before->voters;
    if (s->committed == 0 || s->committed_log[s->committed] < core->raft.term)
        core_violate(core, "node %u changes members, no entry of its term %lu is committed",
                     core->id, core->raft.term);
    if (index > s->committed || (index > 0 && r->log[index] != s->committed_log[index]))
        core_violate(core, "node %u changes members, the change of entry %u is not committed",
                     core->id, index);
    if (before->voters_new == 0 && core->asked.index != index)
        core_violate(core, "node %u changes other members than were named", core->id);
    if (before->voters_new != 0 ? now->voters_new != 0 || now->voters != before->voters_new
                                : now->voters != before->voters)
        core_violate(core, "node %u changes voters at once", core->id);
    for (uint8_t id = 1; before->voters_new == 0 && id <= core->scope->replicas; id++)
        if ((promoted >> id & 1) != 0 &&
            ((before->learners >> id & 1) == 0 || s->replica[id].disk.last == 0))
            core_violate(core, "node %u makes %u a voter, which never learnt", core->id, id);
}

/* 4.3: a leader completes the change that is committed. 4.2.2: once the configuration without it
 * is, it steps down, and not before. Nothing else ends an office within an election timeout. */
void check_tick(struct core *core)
{
    const struct replica_state *r = &core->state->replica[core->id];
    const struct raft_config *before = in_force(core, r->last);
    bool leads = core->raft.role == RAFT_LEADER;
    bool settled = members_index(r->config, r->last) <= r->commit && r->log[r->commit] == r->term;
    bool outside = before->voters_new == 0 && !votes_in(before, core->id);
    if (core->raft.now_ns >= CORE_NOW_NS + core->scope->options.election_min_ns)
        return;
    if (!leads && !(settled && outside))
        core_violate(core, "node %u gives up its office of term %u, its members still need it",
                     core->id, r->term);
    if (leads && settled && outside)
        core_violate(core, "node %u leads term %u, and is no voter", core->id, r->term);
    if (leads && settled && before->voters_new != 0 && !core->out.config)
        core_violate(core, "node %u leaves the change of entry %u open", core->id,
                     members_index(r->config, r->last));
}

/* 4.2.3: the answer of one that was removed deposes nobody. */
void check_answer(struct core *core, const struct raft_msg *msg)
{
    const struct raft_config *before = in_force(core, core->state->replica[core->id].last);
    if (msg->kind == RAFT_APPEND_REPLY && core->raft.role != RAFT_LEADER &&
        !votes_in(before, msg->from) && (before->learners >> msg->from & 1) == 0)
        core_violate(core, "node %u is deposed by the answer of %u, no member", core->id,
                     msg->from);
}

/* What the own drive is known to have lost the others alone commit. */
static void check_own_match(struct core *core, uint64_t index, uint64_t term)
{
    uint8_t hole = holes_lowest(core);
    uint32_t others = 0;
    if (core->raft.role != RAFT_LEADER || hole == 0 || index < hole)
        return;
    for (uint32_t id = 1; id <= core->scope->replicas; id++) {
        const struct durable_half *disk = &core->state->replica[id].disk;
        if (id != core->id && index <= disk->last && disk->log[index] == term)
            others |= UINT32_C(1) << id;
    }
    if (!scope_quorum(in_force(core, core->raft.log.last), others))
        core_violate(core, "node %u counts itself for entry %lu, its drive has lost entry %u",
                     core->id, index, hole);
}

void check_commit(struct core *core, uint64_t before)
{
    struct state *s = core->state;
    uint64_t commit = core->out.commit;
    if (commit < before)
        core_violate(core, "node %u: its commit index goes back from %lu to %lu", core->id, before,
                     commit);
    if (commit > core->raft.log.last) {
        core_violate(core, "node %u commits entry %lu, its log ends at %lu", core->id, commit,
                     core->raft.log.last);
        return;
    }
    for (uint64_t i = before + 1; i <= commit && i < STATE_LOG_SIZE; i++) {
        uint64_t term = 0;
        (void)raft_log_term(&core->raft.log, i, &term);
        check_own_match(core, i, term);
        if (i > s->committed) {
            s->committed = (uint8_t)i;
            s->committed_log[i] = (uint8_t)term;
            s->committed_in[i] = (uint8_t)core->raft.term;
            const uint8_t *config = s->replica[core->id].config;
            s->committed_by = config[members_index(config, core->raft.log.last)];
            if (core->raft.role != RAFT_LEADER)
                core_violate(core, "node %u commits entry %lu, and no leader has", core->id, i);
        } else if (s->committed_log[i] != term) {
            core_violate(core,
                         "state-machine safety: node %u commits entry %lu of term %lu, of term %u "
                         "it was committed before",
                         core->id, i, term, s->committed_log[i]);
        }
    }
}

/* Equal index and term, equal logs up to there. */
static void check_matching(struct core *core, uint32_t a, const uint8_t *log_a, uint8_t last_a,
                           uint32_t b, const uint8_t *log_b, uint8_t last_b)
{
    uint8_t at = last_a < last_b ? last_a : last_b;
    while (at > 0 && log_a[at] != log_b[at])
        at--;
    if (at > 0 && memcmp(&log_a[1], &log_b[1], at) != 0)
        core_violate(core,
                     "log matching: nodes %u and %u hold entry %u of term %u behind "
                     "different ones",
                     a, b, at, log_a[at]);
}

/* Nor may two logs set other configurations by one entry. */
static void check_same_members(struct core *core, uint32_t a, uint32_t b)
{
    const struct replica_state *r = &core->state->replica[a], *o = &core->state->replica[b];
    for (uint8_t i = 1; i <= r->last && i <= o->last; i++)
        if (r->log[i] == o->log[i] && r->config[i] != o->config[i])
            core_violate(core, "log matching: entry %u of term %u sets other members at %u and %u",
                         i, r->log[i], a, b);
}

static bool holds_committed(const struct state *s, const uint8_t *log, uint8_t last)
{
    return last >= s->committed && memcmp(&log[1], &s->committed_log[1], s->committed) == 0;
}

/* What the drive will hold when all records are written is what the core believes; what it believes
 * to be committed is. */
static void check_books(struct core *core, uint32_t id)
{
    const struct replica_state *r = &core->state->replica[id];
    struct durable_half half = r->disk;
    for (uint32_t i = 0; i < r->record_count; i++) {
        const struct record *record = &r->record[i];
        switch ((enum record_kind)record->kind) {
        case RECORD_HARD:
            half.term = record->term;
            half.vote = record->vote;
            break;
        case RECORD_TRUNCATE:
            half.last = record->index - 1;
            break;
        case RECORD_ENTRY:
            half.log[record->index] = record->term;
            half.config[record->index] = record->config;
            half.last = record->index;
            break;
        }
    }
    if (half.term != r->term || half.vote != r->vote || half.last != r->last ||
        memcmp(&half.log[1], &r->log[1], r->last) != 0 ||
        memcmp(&half.config[1], &r->config[1], r->last) != 0)
        core_violate(core, "node %u: what it wrote is not what it believes", id);
    if (r->commit > core->state->committed ||
        memcmp(&r->log[1], &core->state->committed_log[1], r->commit) != 0)
        core_violate(core, "node %u takes entry %u for committed, and it is not", id, r->commit);
}

/* Who would vote for replica id, had it this log, after a power failure of all. */
static uint32_t voters_for(const struct core *core, uint32_t id, const uint8_t *log, uint8_t last)
{
    const struct state *s = core->state;
    uint8_t last_term = last > 0 ? log[last] : 0;
    uint32_t voters = 0;
    for (uint32_t v = 1; v <= core->scope->replicas; v++) {
        const struct durable_half *disk = &s->replica[v].disk;
        uint8_t their_term = disk->last > 0 ? disk->log[disk->last] : 0;
        if (v == id || last_term > their_term || (last_term == their_term && last >= disk->last))
            voters |= UINT32_C(1) << v;
    }
    return voters;
}

/* Could a replica with this log win an election then, and what is committed be lost? */
static void check_ahead(struct core *core, uint32_t id, const uint8_t *log, const uint8_t *config,
                        uint8_t last)
{
    const struct state *s = core->state;
    if (holds_committed(s, log, last))
        return;
    if (scope_quorum(members_of(core->scope, config, last), voters_for(core, id, log, last)))
        core_violate(core,
                     "leader completeness: node %u could now be elected without the committed "
                     "entry %u of term %u",
                     id, s->committed, s->committed_log[s->committed]);
}

/* 4.2.2, erratum: a voter of the old configuration may still have to campaign. Whatever happened,
 * somebody could be elected, if all power went now and all met again: nobody waits for ever. */
static void check_electable(struct core *core)
{
    for (uint8_t id = 1; id <= core->scope->replicas; id++) {
        const struct durable_half *disk = &core->state->replica[id].disk;
        const struct raft_config *config = members_of(core->scope, disk->config, disk->last);
        if (scope_quorum(config, voters_for(core, id, disk->log, disk->last)) &&
            core_would_campaign(core, id))
            return;
    }
    core_violate(core, "nobody campaigns any more who could win: no leader for ever");
}

void check_state(struct core *core)
{
    const struct state *s = core->state;
    uint32_t holders = 0;
    for (uint32_t id = 1; id <= core->scope->replicas; id++) {
        const struct replica_state *r = &s->replica[id];
        check_books(core, id);
        for (uint32_t other = id + 1; other <= core->scope->replicas; other++) {
            const struct replica_state *o = &s->replica[other];
            check_matching(core, id, r->log, r->last, other, o->log, o->last);
            check_matching(core, id, r->disk.log, r->disk.last, other, o->disk.log, o->disk.last);
            check_same_members(core, id, other);
        }
        if (holds_committed(s, r->disk.log, r->disk.last))
            holders |= UINT32_C(1) << id;
        check_ahead(core, id, r->disk.log, r->disk.config, r->disk.last);
        check_ahead(core, id, r->log, r->config, r->last);
    }
    if (scope_has_members(core->scope))
        check_electable(core);
    for (uint8_t i = 1; i <= s->committed; i++) {
        bool intact = false;
        for (uint32_t id = 1; id <= core->scope->replicas; id++)
            intact = intact || holes_intact(&s->replica[id].disk, i, s->committed_log[i]);
        if (!intact)
            core_violate(core, "entry %u of term %u is committed, nobody can read it any more", i,
                         s->committed_log[i]);
    }
    if (s->committed > 0 && !scope_quorum(&core->scope->config[s->committed_by], holders))
        core_violate(core, "entry %u of term %u is committed, no quorum of drives holds it",
                     s->committed, s->committed_log[s->committed]);
}

/* Delivers a packet to a copy of the state, without a trace. With packet 0, replica id's writes
 * complete. */
static void try_on(struct core *core, struct state *copy, message packet, uint8_t id)
{
    struct state *state = core->state;
    FILE *trace = core->trace;
    bool outside = core->outside, delay = core->delay;
    *copy = *state;
    copy->net_count = 0;
    core->state = copy;
    core->trace = NULL;
    core->delay = false;
    if (packet != 0) {
        core_receive(core, packet, ELAPSED_NONE);
    } else {
        core_open(core, id);
        core_durable(core, copy->replica[id].record_count);
        core_close(core);
    }
    core->state = state;
    core->trace = trace;
    core->outside = outside;
    core->delay = delay;
}

static void violate_with(struct core *core, message packet, const char *what)
{
    char text[120] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    struct raft_msg msg;
    message_unpack(packet, &msg);
    if (out != NULL) {
        world_print_msg(out, &msg);
        fclose(out);
    }
    core_violate(core, "node %u, in term %u: %s: %s", msg.to, core->state->replica[msg.to].term,
                 what, text);
}

static void check_packets(struct core *core)
{
    const struct state *s = core->state;
    struct state whole, reduced;
    for (uint32_t slot = 0; slot < s->net_count; slot++) {
        message packet = s->net[slot], rest = packet;
        bool counts = state_reduce(s, &rest);
        if (counts && rest == packet)
            continue;
        uint8_t to = message_to(packet);
        try_on(core, &whole, packet, 0);
        if (!counts && (core->sent_count > 0 || memcmp(&whole.replica[to], &s->replica[to],
                                                       sizeof(whole.replica[to])) != 0))
            violate_with(core, packet, "a packet whose time is over still counts");
        if (!counts)
            continue;
        try_on(core, &reduced, rest, 0);
        if (memcmp(&whole, &reduced, sizeof(whole)) != 0)
            violate_with(core, packet, "an old request is not answered like any other");
    }
}

/* What waits in a gate and speaks of a term that is over there is never let go: if all writes
 * complete, check_release() sees what the gate releases. */
static void check_gates(struct core *core)
{
    struct state copy;
    for (uint8_t id = 1; id <= core->scope->replicas; id++) {
        const struct replica_state *r = &core->state->replica[id];
        bool over = false;
        for (uint32_t i = 0; i < r->gate_count; i++)
            over = over || state_gate_over(r, i);
        if (over && r->record_count > 0)
            try_on(core, &copy, 0, id);
    }
}

void check_reduction(struct core *core)
{
    check_packets(core);
    check_gates(core);
}
