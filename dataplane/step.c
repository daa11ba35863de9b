/* The only caller of raft_step(): events in, effects out, in the order persist, send, commit. */
#include "dataplane/replica.h"

#include <string.h>

enum { STEP_CONFIGS_MAX = KEEL_BODY_MAX / (sizeof(struct entry) + sizeof(struct entry_config)) };

/* A leader begins: log time continues from the last entry, intake starts from nothing appended. */
static void begin_leadership(struct replica *r)
{
    const struct raft_out *out = &r->out;
    ENSURE(out->append_count == 1 && out->append_first == ring_last_index(r->ring) + 1);
    r->intake->operated = 0; /* what came before stands below the own no-op */
    r->log_base_ns = r->last_log_ns;
    r->log_base_at_ns = r->now_ns;
    r->intake->pending_count = 0;
    struct entry *entry =
        ring_reserve(r->ring, sizeof(struct entry) + sizeof(struct entry_noop), r->raft.term);
    entry->size = sizeof(struct entry) + sizeof(struct entry_noop);
    entry->kind = ENTRY_NOOP;
    entry->version = ENTRY_VERSION;
    entry->principal = r->id;
    struct entry_noop body = {.leader = r->id, .incarnation = r->options.incarnation};
    memcpy(entry + 1, &body, sizeof(body));
    r->proposing = 0;
    step_append(r, entry);
    r->proposing = 0; /* raft has counted its own no-op already */
    metric_add(&r->metrics.elections_won, 1);
}

/* Raft has numbered a configuration as the log's next entry: by a change, or to complete one. */
static void append_config(struct replica *r, const struct entry_config *wanted)
{
    struct entry_config body;
    members_body(&r->members, &r->raft.config, wanted, &body);
    struct entry *entry = ring_reserve(r->ring, sizeof(struct entry) + sizeof(body), r->raft.term);
    entry->size = sizeof(struct entry) + sizeof(body);
    entry->kind = ENTRY_CONFIG;
    entry->version = ENTRY_VERSION;
    entry->principal = r->id;
    memcpy(entry + 1, &body, sizeof(body));
    ENSURE(r->proposing == 0 && entry_check(entry, entry->size));
    step_append(r, entry);
    r->proposing = 0; /* raft has counted it already */
    ENSURE(entry->index == r->raft.config.index);
    members_take(&r->members, &body, entry->index);
}

/* Entries of a follower: the very bytes that the leader framed. */
static void store(struct replica *r, const struct raft_msg *msg, const uint8_t *entries)
{
    const struct raft_out *out = &r->out;
    const uint8_t *at = entries;
    uint64_t index = msg->prev_index + 1;
    uint64_t end = out->append_first + out->append_count;
    for (; index < end; index++) {
        const struct entry *from = (const struct entry *)at;
        at += from->size;
        if (index < out->append_first)
            continue;
        struct entry *entry = ring_reserve(r->ring, from->size, from->term);
        memcpy(entry, from, from->size);
        r->last_utc_ns = entry->utc_ns;
        r->last_log_ns = entry->log_ns;
        ring_commit(r->ring, out->append_lsn + (index - out->append_first), true);
        if (entry->kind == ENTRY_CONFIG) {
            members_take(&r->members, entry_body(entry), index);
            ring_note_config(r->ring, index); /* in time for the page that holds it (H4) */
        }
        metric_add(&r->metrics.appended_entries, 1);
    }
}

static void persist(struct replica *r, const struct raft_msg *msg, const uint8_t *entries)
{
    const struct raft_out *out = &r->out;
    if (out->hard) {
        ring_hard(r->ring, r->raft.term, r->raft.vote, out->hard_lsn);
        metric_add(&r->metrics.terms_seen, 1);
    }
    if (out->truncate_from != 0) {
        ring_truncate(r->ring, out->truncate_from, out->truncate_lsn);
        members_truncate(&r->members, out->truncate_from);
    }
    if (out->install_index != 0) {
        ring_begin(r->ring, out->install_index, r->taking->chain, out->install_lsn);
        members_begin(&r->members, &r->taking->machine->config, r->taking->machine->config_index);
    }
    if (out->append_count == 0 && out->truncate_from != 0)
        replica_note_stamps(r);
    if (out->append_count == 0)
        return;
    if (out->noop && !out->elected)
        replica_note_stamps(r); /* a hole was settled: what is last now may be another entry */
    if (out->noop)
        begin_leadership(r);
    else if (out->config)
        append_config(r, r->wanted);
    else if (msg != NULL) /* what a leader proposes is framed in the ring already */
        store(r, msg, entries);
}

/* After a start the line begins behind the commit index first learnt from a leader: what lies below
 * other lines have shown, and this one tells on request. Who leads without having heard a leader
 * begins behind its own commit index: perhaps all were down, and nobody else will show the rest. */
static void line_begins(struct replica *r, const struct raft_msg *msg)
{
    if (r->line_from != UINT64_MAX)
        return;
    if (r->out.elected)
        r->line_from = r->raft.commit;
    else if (msg != NULL && msg->kind == RAFT_APPEND && r->raft.leader == msg->from)
        r->line_from = msg->commit > r->raft.commit ? msg->commit : r->raft.commit;
}

static void effects(struct replica *r, const struct raft_msg *msg, const uint8_t *entries)
{
    struct raft_out *out = &r->out;
    if (out->deposed) {
        r->intake->pending_count = 0;
        metric_add(&r->metrics.deposed, 1);
        leadership_lost(r);
    }
    persist(r, msg, entries);
    for (uint32_t i = 0; i < out->send_count; i++)
        gate_pass(&r->gate, &out->send[i], &r->raft, send_peer, r);
    ring_note_commit(r->ring, out->commit);
    ring_note_config(r->ring, raft_config_stated(&r->raft));
    line_begins(r, msg);
    if (r->sample.index != 0 && r->sample.committed_ns == 0 && out->commit >= r->sample.index)
        r->sample.committed_ns = r->now_ns;
    switch (out->stop) {
    case RAFT_RUN:
        break;
    case RAFT_STOP_CHAIN:
        replica_stop(r, "log chain contradicted by enough voters to prevent a quorum: this "
                        "replica's log is corrupt; replace it");
        break;
    case RAFT_STOP_OUTVOTED:
        replica_stop(r,
                     "a quorum holds another log chain at an entry that this replica holds too: "
                     "this replica's log is corrupt; restart it to have its ring judged, replace "
                     "it if that refuses");
        break;
    }
}

static void step(struct replica *r, struct raft_in *in, const struct raft_msg *msg,
                 const uint8_t *entries)
{
    uint64_t commit = r->raft.commit;
    in->now_ns = r->now_ns;
    raft_step(&r->raft, in, &r->out);
    if (r->raft.commit > commit)
        r->space_told = false; /* raft takes it that nothing waits now: the next refusal tells */
    effects(r, msg, entries);
}

/* The configurations among a packet's entries. */
HOT static uint32_t gather_configs(const struct raft_msg *msg, const uint8_t *entries,
                                   struct raft_config config[STEP_CONFIGS_MAX])
{
    uint32_t count = 0;
    const uint8_t *at = entries;
    for (uint32_t i = 0; i < msg->count; i++) { /* bounded by the packet's size */
        const struct entry *entry = (const struct entry *)at;
        at += entry->size;
        if (entry->kind != ENTRY_CONFIG)
            continue;
        ENSURE(count < STEP_CONFIGS_MAX);
        members_to_raft(entry_body(entry), msg->prev_index + 1 + i, &config[count++]);
    }
    return count;
}

/* What a leader needs on a quorum before anything can commit: H8, ring_room_to_settle(). */
static bool settles(const struct raft_msg *msg, const uint8_t *entries)
{
    if (msg->count == 0 || msg->entry_term < msg->term)
        return msg->count > 0;
    struct entry first;
    memcpy(&first, entries, sizeof(first));
    return first.kind == ENTRY_NOOP;
}

/* Whether one that does not lead may. */
static bool fit_to_lead(const struct replica *r)
{
    return r->raft.role == RAFT_LEADER || (ring_room_to_lead(r->ring) && !leadership_abstains(r));
}

/* Apart from what comes with every message. */
__attribute__((cold, noinline)) static void look_at_room(struct replica *r, struct raft_in *in)
{
    if (in->msg.kind == RAFT_TIMEOUT_NOW && !fit_to_lead(r))
        step_no_space(r); /* H8: raft declines */
    in->scarce = ring_scarce(r->ring);
}

void step_peer(struct replica *r, const struct raft_msg *msg, uint64_t incarnation,
               const uint8_t *entries, size_t size)
{
    step_propose(r); /* what intake framed in this burst was framed in this term */
    struct raft_in in = {.event = RAFT_EV_RECV, .msg = *msg, .incarnation = incarnation};
    if (msg->kind == RAFT_APPEND && !repair_chain(r, msg, entries))
        return;
    struct raft_config config[STEP_CONFIGS_MAX];
    in.config = config;
    in.config_count = gather_configs(msg, entries, config);
    if (msg->kind == RAFT_APPEND || msg->kind == RAFT_CHAIN_ASK)
        in.chain_mine = ring_chain(r->ring, msg->prev_index);
    if (msg->kind == RAFT_APPEND) {
        in.space = ring_room(r->ring, msg->count, (uint32_t)size) == RING_ROOM ||
                   (settles(msg, entries) &&
                    ring_room_to_settle(r->ring, msg->count, (uint32_t)size) == RING_ROOM);
        in.unable = msg->count == 0 && (!ring_room_to_lead(r->ring) || leadership_abstains(r));
    } else if (msg->kind != RAFT_APPEND_REPLY) {
        look_at_room(r, &in);
    }
    in.random = clock_random(r->clock, &r->random_state);
    step(r, &in, msg, entries);
    if (r->out.serve)
        repair_serve(r, msg);
}

void step_append(struct replica *r, struct entry *entry)
{
    entry->index = ring_last_index(r->ring) + 1;
    entry->term = r->raft.term;
    if (r->utc_ns > r->last_utc_ns)
        r->last_utc_ns = r->utc_ns;
    entry->utc_ns = r->last_utc_ns;
    entry->utc_error_ns = r->utc_error_ns;
    r->last_log_ns = r->log_base_ns + (r->now_ns - r->log_base_at_ns);
    entry->log_ns = r->last_log_ns;
    /* raft numbers one LSN an entry, so the k-th entry framed since the last PROPOSE takes
     * next_lsn + k; the LSN of a no-op or a configuration is in r->out */
    bool numbered = (r->out.noop && entry->kind == ENTRY_NOOP) || entry->kind == ENTRY_CONFIG;
    uint64_t lsn = numbered ? r->out.append_lsn : r->raft.next_lsn + r->proposing;
    ring_commit(r->ring, lsn, false);
    r->proposing++;
    metric_add(&r->metrics.appended_entries, 1);
    if (r->sample.index == 0 && entry->kind == ENTRY_MESSAGES) {
        r->sample.index = entry->index;
        r->sample.lsn = lsn;
        r->sample.received_ns = r->now_ns;
        r->sample.appended_ns = clock_now_ns(r->clock);
    }
}

uint32_t step_propose(struct replica *r)
{
    uint32_t count = r->proposing;
    if (count == 0)
        return 0;
    struct raft_in in = {.event = RAFT_EV_PROPOSE, .count = count};
    r->proposing = 0;
    r->space_told = false;
    step(r, &in, NULL, NULL);
    ENSURE(r->raft.log.last == ring_last_index(r->ring));
    return count;
}

uint32_t step_durable(struct replica *r)
{
    bool failed;
    uint64_t durable_lsn = ring_durable_lsn(r->ring, &failed);
    if (failed && !r->raft.failed && !r->raft.stopped) {
        struct raft_in in = {.event = RAFT_EV_FAILED};
        step(r, &in, NULL, NULL);
        replica_stop(r, "a write to the drive failed: this replica neither votes nor acknowledges "
                        "until it is restarted; look at the drive first");
        return 1;
    }
    if (durable_lsn <= r->gate.durable_lsn)
        return 0;
    struct raft_in in = {.event = RAFT_EV_DURABLE, .lsn = durable_lsn};
    step(r, &in, NULL, NULL);
    gate_durable(&r->gate, durable_lsn, &r->raft, send_peer, r);
    if (r->sample.index != 0 && r->sample.durable_ns == 0 && durable_lsn >= r->sample.lsn)
        r->sample.durable_ns = r->now_ns;
    return 1;
}

static bool room_for_config(const struct replica *r)
{
    return ring_room(r->ring, 1, sizeof(struct entry) + sizeof(struct entry_config)) == RING_ROOM;
}

enum raft_refusal step_change_fit(const struct replica *r, const struct entry_config *wanted,
                                  uint64_t was)
{
    struct raft_config config;
    members_to_raft(wanted, was, &config);
    const struct raft_in in = {.config = &config, .config_count = 1, .space = room_for_config(r)};
    return raft_change_fit(&r->raft, &in);
}

uint64_t step_change(struct replica *r, const struct entry_config *wanted, uint64_t was,
                     enum raft_refusal *refusal)
{
    step_propose(r);
    struct raft_config config;
    members_to_raft(wanted, was, &config);
    struct raft_in in = {
        .event = RAFT_EV_CONFIG, .config = &config, .config_count = 1, .space = room_for_config(r)};
    r->wanted = wanted;
    step(r, &in, NULL, NULL);
    r->wanted = NULL;
    *refusal = r->out.refusal;
    return r->out.config ? r->out.append_first : 0;
}

uint32_t step_tick(struct replica *r)
{
    if (r->now_ns < raft_next_tick_ns(&r->raft))
        return 0;
    step_propose(r); /* a leader's tick may append, behind all that was framed */
    if (!fit_to_lead(r))
        step_no_space(r); /* H8: whoever is short of space does not campaign */
    struct raft_in in = {.event = RAFT_EV_TICK, .scarce = ring_scarce(r->ring)};
    if (r->raft.config.voters_new != 0)
        in.space = room_for_config(r);
    in.random = clock_random(r->clock, &r->random_state);
    step(r, &in, NULL, NULL);
    return r->out.send_count;
}

void step_no_space(struct replica *r)
{
    step_propose(r);
    struct raft_in in = {.event = RAFT_EV_NO_SPACE};
    step(r, &in, NULL, NULL);
}

enum raft_transfer_reason step_transfer(struct replica *r, uint8_t to)
{
    step_propose(r);
    struct raft_in in = {.event = RAFT_EV_TRANSFER, .peer = to};
    step(r, &in, NULL, NULL);
    return r->raft.failed || r->stopped ? RAFT_TRANSFER_NOT_LEADER : r->out.refused;
}

void step_sent(struct replica *r, uint8_t peer, uint64_t index, uint32_t bytes)
{
    struct raft_in in = {.event = RAFT_EV_SENT, .peer = peer, .index = index, .bytes = bytes};
    step(r, &in, NULL, NULL);
}

void step_hole(struct replica *r, uint64_t hole, const struct raft_config *config, uint32_t count)
{
    step_propose(r);
    struct raft_in in = {
        .event = RAFT_EV_HOLE, .index = hole, .config = config, .config_count = count};
    step(r, &in, NULL, NULL);
}

bool step_install(struct replica *r)
{
    const struct machine *machine = r->taking->machine;
    struct raft_config config;
    members_to_raft(&machine->config, machine->config_index, &config);
    struct raft_in in = {.event = RAFT_EV_INSTALL,
                         .index = r->taking->index,
                         .prev_term = r->taking->term,
                         .config = &config,
                         .config_count = 1};
    step(r, &in, NULL, NULL);
    bool gave_way = r->out.install_index != 0;
    if (!gave_way) { /* it may lie in a hole, and what is behind it follows from it */
        members_repaired(&r->members, &machine->config, machine->config_index);
        ring_note_chain(r->ring, r->taking->index, r->taking->chain);
    }
    ring_note_covered(r->ring, r->taking->index);
    repair_tell(r);
    return gave_way;
}
