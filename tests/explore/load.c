#include "tests/explore/core.h"

#include "consensus/ensure.h"
#include "tests/explore/members.h"

#include <string.h>

static const uint64_t NO_OFFICE =
    UINT64_MAX / 4; /* a settling leader's no-op, as the core has it */

/* --- loading --- */

void core_load_log(struct raft_log *log, const uint8_t *terms, uint8_t last)
{
    log->first = 1;
    log->last = last;
    log->prev_term = 0;
    log->run_count = 0;
    for (uint8_t i = 1; i <= last; i++)
        if (i == 1 || terms[i] != terms[i - 1])
            log->run[log->run_count++] = (struct raft_run){.first = i, .term = terms[i]};
}

static void load_peers(const struct core *core, const struct replica_state *r, struct raft *raft)
{
    for (uint32_t id = 1; id <= core->scope->replicas; id++) {
        const struct peer_view *from = &r->peer[id];
        struct raft_peer *peer = &raft->peer[id];
        memset(peer, 0, offsetof(struct raft_peer, flight));
        peer->match = from->match;
        peer->next = from->next;
        peer->probing = from->probing;
        peer->starved = from->starved;
        peer->rewound = PROBE_FRESH;
        peer->acked_ns = CORE_NOW_NS;
        peer->heard_ns = from->match > 0 ? CORE_NOW_NS : 0;
        peer->flight_count = from->flights;
        peer->flight_bytes = from->flights;
        for (uint32_t i = 0; i < from->flights; i++)
            peer->flight[i] = (struct raft_flight){.last_index = from->flight[i], .bytes = 1};
    }
}

static void load_times(const struct core *core, const struct replica_state *r, struct raft *raft)
{
    const struct raft_options *options = &core->scope->options;
    raft->now_ns = CORE_NOW_NS;
    raft->started_ns = CORE_NOW_NS - CORE_LONG_NS;
    raft->heard_leader_ns = r->recent ? CORE_NOW_NS : 0;
    raft->timeout_at_ns = CORE_NOW_NS + options->election_min_ns;
    raft->quorum_age_at_ns = CORE_NOW_NS;
    raft->quorum_heard_ns = CORE_NOW_NS;
    raft->heartbeat_at_ns = CORE_NOW_NS + options->heartbeat_ns;
    raft->progress_ns = CORE_NOW_NS;
    raft->elected_ns = CORE_NOW_NS;
    raft->probe_next = CORE_PROBE_NEXT;
    raft->probe_sent_ns[PROBE_STALE] = CORE_NOW_NS;
    raft->probe_sent_ns[PROBE_FRESH] = CORE_NOW_NS;
}

/* Everything that the core reads; what lies behind a count, or is written before it is read, stays
 * as the last replica left it. */
static void load(const struct core *core, uint8_t id, struct raft *raft)
{
    const struct replica_state *r = &core->state->replica[id];
    memset(raft, 0, offsetof(struct raft, log));
    raft->id = id;
    raft->role = r->role;
    raft->vote = r->vote;
    raft->stopped = r->stopped;
    raft->term = r->term;
    raft->commit = r->commit;
    core_load_log(&raft->log, r->log, r->last);
    size_t from = offsetof(struct raft, config), to = offsetof(struct raft, probe_sent_ns);
    memset((char *)raft + from, 0, to - from);
    from = offsetof(struct raft, granted), to = offsetof(struct raft, peer);
    memset((char *)raft + from, 0, to - from);
    members_load(core->scope, r, raft);
    raft->incarnation = id; /* nobody's changes within a scope, so a restart forgets none */
    raft->vote_incarnation = raft->vote;
    raft->transfer.drive_tried = 1;     /* no transfers within a scope ... */
    raft->transfer.unable = UINT32_MAX; /* ... of a removed leader's office neither */
    raft->options = core->scope->options;
    raft->next_lsn = CORE_DURABLE + r->record_count + 1U;
    raft->durable_lsn = CORE_DURABLE;
    raft->hard_lsn = CORE_DURABLE + r->hard;
    raft->base_lsn = CORE_DURABLE + r->base;
    raft->base_index = r->base_index;
    raft->durable_floor = r->floor;
    raft->agreed = r->agreed;
    raft->noop_index = r->settling ? NO_OFFICE : r->noop_index;
    raft->hole = r->hole;
    raft->hole_denied = r->hole_denied;
    raft->settling = r->settling;
    raft->quorum_index = r->quorum_index;
    raft->granted = r->granted;
    raft->denied = r->denied;
    raft->votes = r->votes;
    raft->contradicted = r->contradicted;
    load_times(core, r, raft);
    load_peers(core, r, raft);
}

void core_open(struct core *core, uint8_t id)
{
    const struct replica_state *r = &core->state->replica[id];
    core->id = id;
    core->sent_count = 0;
    load(core, id, &core->raft);
    struct gate *gate = &core->gate;
    memset(gate, 0, offsetof(struct gate, held));
    gate->durable_lsn = CORE_DURABLE;
    gate->count = r->gate_count;
    for (uint32_t i = 0; i < r->gate_count; i++) {
        gate->held[i].lsn = CORE_DURABLE + r->gate_lsn[i];
        message_unpack(r->gate[i], &gate->held[i].msg);
    }
}

/* --- putting back --- */

static uint8_t small(struct core *core, uint64_t value)
{
    if (value < 16)
        return (uint8_t)value;
    core->outside = true;
    return 0;
}

static void save_peers(struct core *core, struct replica_state *r)
{
    for (uint32_t id = 1; id <= core->scope->replicas; id++) {
        const struct raft_peer *peer = &core->raft.peer[id];
        struct peer_view *to = &r->peer[id];
        memset(to, 0, sizeof(*to));
        if (id == core->id)
            continue;
        to->match = small(core, peer->match);
        to->next = small(core, peer->next);
        to->probing = peer->probing != 0;
        to->starved = peer->starved != 0;
        to->flights = (uint8_t)peer->flight_count;
        ENSURE(peer->flight_count <= SCOPE_FLIGHTS_MAX);
        for (uint32_t i = 0; i < peer->flight_count; i++)
            to->flight[i] =
                small(core, peer->flight[(peer->flight_head + i) % RAFT_FLIGHTS_MAX].last_index);
    }
}

static void save_role(struct core *core, struct replica_state *r)
{
    const struct raft *raft = &core->raft;
    bool campaigns = raft->role == RAFT_PRECANDIDATE || raft->role == RAFT_CANDIDATE;
    bool leads = raft->role == RAFT_LEADER;
    r->granted = campaigns ? (uint8_t)raft->granted : 0;
    r->denied = campaigns ? (uint8_t)raft->denied : 0;
    r->votes = campaigns ? (uint8_t)raft->votes : 0;
    r->contradicted = leads ? (uint8_t)raft->contradicted : 0;
    r->hole = small(core, raft->hole);
    r->settling = leads && raft->settling != 0;
    r->hole_denied = leads ? (uint8_t)raft->hole_denied : 0;
    r->noop_index = leads && !r->settling ? small(core, raft->noop_index) : 0;
    r->quorum_index = leads ? small(core, raft->quorum_index) : 0;
    /* A leader agrees with itself, and begins anew with its commit index when it is deposed. */
    r->agreed = leads ? r->commit : small(core, raft->agreed);
    memset(r->peer, 0, sizeof(r->peer));
    if (leads)
        save_peers(core, r);
    for (uint32_t id = 1; r->votes != 0 && id <= core->scope->replicas; id++)
        r->peer[id].next = small(core, raft->peer[id].next); /* as its vote said */
}

static void save_lsns(struct core *core, struct replica_state *r)
{
    const struct raft *raft = &core->raft;
    uint64_t durable = raft->durable_lsn;
    r->hard = raft->hard_lsn > durable ? small(core, raft->hard_lsn - durable) : 0;
    if (raft->base_lsn > durable) {
        r->base = small(core, raft->base_lsn - durable);
        r->base_index = small(core, raft->base_index);
        r->floor = small(core, raft->durable_floor);
    } else { /* index and LSN move together from the durable position on */
        r->base = 0;
        r->base_index = small(core, raft->base_index + (durable - raft->base_lsn));
        r->floor = r->base_index;
    }
}

static void save(struct core *core)
{
    struct replica_state *r = &core->state->replica[core->id];
    const struct raft *raft = &core->raft;
    r->role = raft->role;
    r->vote = raft->vote;
    r->stopped = raft->stopped;
    r->term = small(core, raft->term);
    r->commit = small(core, raft->commit);
    memset(r->log, 0, sizeof(r->log));
    r->last = small(core, raft->log.last);
    if (r->last > core->scope->log) {
        core->outside = true;
        return;
    }
    for (uint64_t i = 1; i <= raft->log.last; i++) {
        uint64_t term = 0;
        (void)raft_log_term(&raft->log, i, &term);
        r->log[i] = small(core, term);
    }
    memset(&r->config[r->last + 1], 0, sizeof(r->config) - r->last - 1U);
    if (!core->outside)
        members_save(core);
    uint64_t minimum = core->scope->options.election_min_ns;
    bool recent = raft->now_ns - raft->started_ns < minimum ||
                  (raft->heard_leader_ns != 0 && raft->now_ns - raft->heard_leader_ns < minimum);
    r->recent = core->scope->sticky && raft->role != RAFT_LEADER && recent;
    save_role(core, r);
    save_lsns(core, r);
}

static enum message_probe probe_of(const struct core *core, const struct raft_msg *msg)
{
    if (msg->kind == RAFT_APPEND && core->raft.role == RAFT_LEADER)
        return msg->probe >= core->raft.peer[msg->to].rewound ? PROBE_FRESH : PROBE_STALE;
    if (msg->kind == RAFT_APPEND)
        return PROBE_STALE; /* it led when it sent this, and does no more */
    if (msg->kind == RAFT_APPEND_REPLY && msg->status == RAFT_APPEND_STALE_TERM)
        return PROBE_NONE; /* speaks of a term, not of a packet */
    if (msg->kind == RAFT_PREVOTE || msg->kind == RAFT_PREVOTE_REPLY)
        return PROBE_NONE;                 /* all copies are alike: an answer is taken for quick */
    return (enum message_probe)msg->probe; /* a reply echoes */
}

static void save_gate(struct core *core)
{
    struct replica_state *r = &core->state->replica[core->id];
    const struct gate *gate = &core->gate;
    memset(r->gate, 0, sizeof(r->gate));
    memset(r->gate_lsn, 0, sizeof(r->gate_lsn));
    if (gate->count > STATE_GATE_MAX) {
        core->outside = true;
        return;
    }
    r->gate_count = (uint8_t)gate->count;
    for (uint32_t i = 0; i < gate->count; i++) {
        r->gate_lsn[i] = small(core, gate->held[i].lsn - core->raft.durable_lsn);
        r->gate[i] = message_pack(&gate->held[i].msg, probe_of(core, &gate->held[i].msg));
    }
}

/* After a rewind all that is under way between leader and peer, either way, was sent before it. */
static void age_packets(struct core *core, uint8_t peer)
{
    struct state *s = core->state;
    for (uint32_t i = 0; i < s->net_count; i++) {
        message m = s->net[i];
        bool theirs = (message_from(m) == core->id && message_to(m) == peer) ||
                      (message_from(m) == peer && message_to(m) == core->id);
        if (theirs && message_probe(m) == PROBE_FRESH)
            s->net[i] = message_with_probe(m, PROBE_STALE);
    }
    struct replica_state *r = &s->replica[peer];
    for (uint32_t i = 0; i < r->gate_count; i++)
        if (message_to(r->gate[i]) == core->id && message_probe(r->gate[i]) == PROBE_FRESH)
            r->gate[i] = message_with_probe(r->gate[i], PROBE_STALE);
}

void core_close(struct core *core)
{
    const struct raft *raft = &core->raft;
    struct state *s = core->state;
    save(core);
    save_gate(core);
    for (uint8_t id = 1; raft->role == RAFT_LEADER && id <= core->scope->replicas; id++)
        if (id != core->id && raft->peer[id].rewound > PROBE_FRESH)
            age_packets(core, id);
    for (uint32_t i = 0; i < core->sent_count; i++) {
        struct raft_msg *msg = &core->sent[i];
        msg->quorum_age_ns = 0;
        message m = members_carry(core, msg, message_pack(msg, probe_of(core, msg)));
        if (!state_send(core->scope, s, m))
            core->outside = true;
    }
}
