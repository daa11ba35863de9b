#include "tests/explore/core.h"

#include "consensus/ensure.h"
#include "tests/explore/check.h"
#include "tests/explore/holes.h"
#include "tests/unit/raft/raft_world.h"

#include <stdarg.h>
#include <string.h>

enum { DURABLE = 64, PROBE_NEXT = PROBE_FRESH + 1 }; /* a loaded core's numbers */

static const uint64_t MS = 1000000;
static const uint64_t NOW = UINT64_C(1000000000000);
static const uint64_t NO_OFFICE =
    UINT64_MAX / 4; /* a settling leader's no-op, as the core has it */
static const uint64_t LONG_AGO = UINT64_C(10000000000);

void core_violate(struct core *core, const char *format, ...)
{
    if (core->violation[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(core->violation, sizeof(core->violation), format, args);
    va_end(args);
}

static uint64_t now_after(const struct core *core, enum elapsed elapsed)
{
    const struct raft_options *options = &core->scope->options;
    switch (elapsed) {
    case ELAPSED_NONE:
        return NOW;
    case ELAPSED_BEAT:
        return NOW + options->heartbeat_ns;
    case ELAPSED_PATIENCE:
        return NOW + 4 * options->heartbeat_ns;
    case ELAPSED_LONG:
        break;
    }
    return NOW + LONG_AGO;
}

/* --- loading --- */

static void load_log(struct raft_log *log, const uint8_t *terms, uint8_t last)
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
        peer->acked_ns = NOW;
        peer->flight_count = from->flights;
        peer->flight_bytes = from->flights;
        for (uint32_t i = 0; i < from->flights; i++)
            peer->flight[i] = (struct raft_flight){.last_index = from->flight[i], .bytes = 1};
    }
}

static void load_times(const struct core *core, const struct replica_state *r, struct raft *raft)
{
    const struct raft_options *options = &core->scope->options;
    raft->now_ns = NOW;
    raft->started_ns = NOW - LONG_AGO;
    raft->heard_leader_ns = r->recent ? NOW : 0;
    raft->timeout_at_ns = NOW + options->election_min_ns;
    raft->quorum_age_at_ns = NOW;
    raft->quorum_heard_ns = NOW;
    raft->heartbeat_at_ns = NOW + options->heartbeat_ns;
    raft->progress_ns = NOW;
    raft->elected_ns = NOW;
    raft->probe_next = PROBE_NEXT;
    raft->probe_sent_ns[PROBE_STALE] = NOW;
    raft->probe_sent_ns[PROBE_FRESH] = NOW;
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
    load_log(&raft->log, r->log, r->last);
    size_t from = offsetof(struct raft, config), to = offsetof(struct raft, probe_sent_ns);
    memset((char *)raft + from, 0, to - from);
    from = offsetof(struct raft, granted), to = offsetof(struct raft, peer);
    memset((char *)raft + from, 0, to - from);
    raft->config = core->scope->config;
    raft->incarnation = id; /* nobody's changes within a scope, so a restart forgets none */
    raft->vote_incarnation = raft->vote;
    raft->transfer.drive_tried = 1; /* no transfers within a scope */
    raft->options = core->scope->options;
    raft->next_lsn = DURABLE + r->record_count + 1U;
    raft->durable_lsn = DURABLE;
    raft->hard_lsn = DURABLE + r->hard;
    raft->base_lsn = DURABLE + r->base;
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
    gate->durable_lsn = DURABLE;
    gate->count = r->gate_count;
    for (uint32_t i = 0; i < r->gate_count; i++) {
        gate->held[i].lsn = DURABLE + r->gate_lsn[i];
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
    r->contradicted = leads ? (uint8_t)raft->contradicted : 0;
    r->hole = small(core, raft->hole);
    r->settling = leads && raft->settling != 0;
    r->hole_denied = leads ? (uint8_t)raft->hole_denied : 0;
    r->noop_index = leads && !r->settling ? small(core, raft->noop_index) : 0;
    r->quorum_index = leads ? small(core, raft->quorum_index) : 0;
    /* A leader agrees with itself, and begins anew with its commit index when it is deposed. */
    r->agreed = leads ? r->commit : small(core, raft->agreed);
    if (leads)
        save_peers(core, r);
    else
        memset(r->peer, 0, sizeof(r->peer));
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
        if (!state_send(core->scope, s, message_pack(msg, probe_of(core, msg))))
            core->outside = true;
    }
}

/* --- what a step asks for --- */

static void trace_msg(struct core *core, const struct raft_msg *msg, const char *end)
{
    if (core->trace == NULL)
        return;
    world_print_msg(core->trace, msg);
    fputs(end, core->trace);
}

void core_leave(struct core *core, const struct raft_msg *msg)
{
    check_release(core, msg);
    trace_msg(core, msg, "\n");
    ENSURE(core->sent_count < CORE_SENT_MAX);
    core->sent[core->sent_count++] = *msg;
}

static void release(void *context, const struct raft_msg *msg)
{
    core_leave(context, msg);
}

static void record(struct core *core, uint64_t lsn, const struct record *new)
{
    struct replica_state *r = &core->state->replica[core->id];
    if (lsn != core->raft.durable_lsn + r->record_count + 1)
        core_violate(core, "node %u: a record takes an LSN out of turn", core->id);
    if (r->record_count == STATE_RECORDS_MAX || new->index >= STATE_LOG_SIZE) {
        core->outside = true;
        return;
    }
    r->record[r->record_count++] = *new;
}

/* The LSN since the replica's very first start, as a transcript counts. */
static unsigned long real_lsn(const struct core *core, uint64_t lsn)
{
    return core->lsn[core->id] + (lsn - core->raft.durable_lsn);
}

static void persist(struct core *core, const struct raft_msg *msg)
{
    const struct raft_out *out = &core->out;
    const struct raft *raft = &core->raft;
    FILE *t = core->trace;
    if (out->hard) {
        record(
            core, out->hard_lsn,
            &(struct record){.kind = RECORD_HARD, .term = (uint8_t)raft->term, .vote = raft->vote});
        if (t != NULL)
            fprintf(t, "%u writes term %lu vote %u (lsn %lu)\n", core->id, raft->term, raft->vote,
                    real_lsn(core, out->hard_lsn));
    }
    if (out->truncate_from != 0) {
        record(core, out->truncate_lsn,
               &(struct record){.kind = RECORD_TRUNCATE, .index = (uint8_t)out->truncate_from});
        if (t != NULL)
            fprintf(t, "%u truncates from %lu (lsn %lu)\n", core->id, out->truncate_from,
                    real_lsn(core, out->truncate_lsn));
    }
    uint64_t term = msg != NULL && !out->noop ? msg->entry_term : raft->term;
    for (uint32_t i = 0; i < out->append_count && !core->outside; i++)
        record(core, out->append_lsn + i,
               &(struct record){.kind = RECORD_ENTRY,
                                .index = (uint8_t)(out->append_first + i),
                                .term = (uint8_t)term});
    if (t != NULL && out->append_count > 0)
        fprintf(t, "%u appends %lu..%lu term %lu (lsn %lu)%s\n", core->id, out->append_first,
                out->append_first + out->append_count - 1, term, real_lsn(core, out->append_lsn),
                out->noop ? ": its no-op" : "");
}

static void absorb(struct core *core, const struct raft_msg *msg, uint8_t role, uint64_t term,
                   uint64_t commit)
{
    static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
    struct raft *raft = &core->raft;
    const struct raft_out *out = &core->out;
    if (core->trace != NULL && (raft->role != role || raft->term != term))
        fprintf(core->trace, "%u becomes %s in term %lu\n", core->id, names[raft->role],
                raft->term);
    if (out->elected)
        check_elected(core);
    persist(core, msg);
    for (uint32_t i = 0; i < out->send_count; i++) {
        bool waits = out->send[i].lsn > core->gate.durable_lsn;
        gate_pass(&core->gate, &out->send[i], raft->term, release, core);
        if (waits && core->trace != NULL) {
            trace_msg(core, &out->send[i].msg, "");
            fprintf(core->trace, ": waits for lsn %lu\n", real_lsn(core, out->send[i].lsn));
        }
    }
    if (core->trace != NULL && out->commit > commit)
        fprintf(core->trace, "%u commits %lu\n", core->id, out->commit);
    check_commit(core, commit);
}

static void step(struct core *core, struct raft_in *in, const struct raft_msg *msg)
{
    uint8_t role = core->raft.role;
    uint64_t term = core->raft.term, commit = core->raft.commit;
    in->random = core->raft.id * 10 * MS;
    bool held = role == RAFT_LEADER && core->raft.settling == 0;
    raft_step(&core->raft, in, &core->out);
    check_office(core, held);
    core->serve = core->out.serve && msg != NULL;
    absorb(core, msg, role, term, commit);
}

/* As dataplane/replicate.c: packets for a peer until the core has no credit left for it. */
static void replicate(struct core *core, uint64_t now_ns)
{
    uint32_t to = core->out.append_to;
    while (to != 0 && !core->outside) { /* ends when the flights of all peers are taken */
        uint8_t peer = (uint8_t)__builtin_ctz(to);
        to &= ~(UINT32_C(1) << peer);
        struct raft_msg msg;
        if (!raft_append_next(&core->raft, peer, &msg))
            continue;
        core_leave(core, &msg);
        struct raft_in in = {.event = RAFT_EV_SENT,
                             .now_ns = now_ns,
                             .peer = peer,
                             .index = msg.prev_index + msg.count,
                             .bytes = 1};
        step(core, &in, NULL);
        to |= core->out.append_to;
    }
}

/* Whether what is in flight now stays there: always behind something that does. */
static bool stays_in_flight(struct core *core, uint8_t before)
{
    const struct scope *scope = core->scope;
    if (scope->delays == SCOPE_ANY || before > 0)
        return true;
    if (!core->delay || core->state->delays >= scope->delays)
        return false;
    core->state->delays++;
    return true;
}

void core_event(struct core *core, enum raft_event event, enum elapsed elapsed,
                const struct raft_msg *msg)
{
    struct raft_in in = {
        .event = event, .now_ns = now_after(core, elapsed), .space = true, .count = 1};
    const struct replica_state *r = &core->state->replica[core->id];
    uint8_t before = r->record_count;
    if (event == RAFT_EV_HOLE)
        in.index = holes_lowest(core);
    if (msg != NULL) {
        in.msg = *msg;
        in.incarnation = msg->from;
    }
    step(core, &in, msg);
    bool serve = core->serve;
    replicate(core, in.now_ns);
    core->serve = serve;
    if (r->record_count == 0 || stays_in_flight(core, before))
        return;
    while (!core->outside && r->record_count > 0) /* a vote that became durable may have won */
        core_durable(core, r->record_count);
}

void core_receive(struct core *core, message packet, enum elapsed elapsed)
{
    struct raft_msg msg;
    message_unpack(packet, &msg);
    if (msg.kind == RAFT_PREVOTE_REPLY)
        msg.probe = PROBE_FRESH;
    core_open(core, msg.to);
    core_event(core, RAFT_EV_RECV, elapsed, &msg);
    if (core->serve && !core->outside)
        holes_serve(core, &msg);
    if (msg.kind == RAFT_FETCH_REPLY && msg.status != 0 && !core->outside)
        holes_restore(core, &msg);
    core_close(core);
}

/* --- the drive --- */

static void write_records(struct core *core, struct replica_state *r, uint32_t count)
{
    ENSURE(count <= r->record_count);
    struct durable_half *disk = &r->disk;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *done = &r->record[i];
        switch ((enum record_kind)done->kind) {
        case RECORD_HARD:
            check_hard(core, disk, done);
            disk->term = done->term;
            disk->vote = done->vote;
            break;
        case RECORD_TRUNCATE:
            for (uint8_t at = done->index; at <= disk->last; at++)
                disk->log[at] = 0;
            disk->last = done->index - 1;
            disk->lost &= (uint8_t)((1u << done->index) - 1);
            break;
        case RECORD_ENTRY:
            if (done->index != disk->last + 1)
                core_violate(core, "node %u writes entry %u after entry %u", core->id, done->index,
                             disk->last);
            disk->log[done->index] = done->term;
            disk->last = done->index;
            break;
        }
    }
    r->record_count = (uint8_t)(r->record_count - count);
    memmove(&r->record[0], &r->record[count], r->record_count * sizeof(r->record[0]));
    memset(&r->record[r->record_count], 0, count * sizeof(r->record[0]));
}

void core_durable(struct core *core, uint32_t records)
{
    struct replica_state *r = &core->state->replica[core->id];
    uint64_t lsn = core->raft.durable_lsn + records;
    core->lsn[core->id] += records;
    write_records(core, r, records);
    struct raft_in in = {.event = RAFT_EV_DURABLE, .now_ns = NOW, .lsn = lsn};
    step(core, &in, NULL);
    uint32_t to = core->out.append_to;
    gate_durable(&core->gate, lsn, core->raft.term, release, core);
    core->out.append_to = to;
    replicate(core, NOW);
}

/* --- the beginning, and beginning again --- */

static void start(struct core *core, uint8_t id)
{
    struct replica_state *r = &core->state->replica[id];
    struct raft_boot boot = {.id = id,
                             .vote = r->disk.vote,
                             .term = r->disk.term,
                             .durable_lsn = DURABLE,
                             .now_ns = NOW,
                             .random = id * 10 * MS,
                             .incarnation = id,
                             .config_count = 1,
                             .config = {core->scope->config},
                             .options = core->scope->options};
    raft_log_init(&boot.log, 1, 0);
    load_log(&boot.log, r->disk.log, r->disk.last);
    boot.hole = r->disk.lost == 0 ? 0 : (uint64_t)__builtin_ctz(r->disk.lost);
    raft_init(&core->raft, &boot);
    core->raft.vote_incarnation = core->raft.vote; /* as load() has it */
    core->id = id;
    core->sent_count = 0;
    memset(&core->gate, 0, offsetof(struct gate, held));
    core_close(core);
}

void core_crash(struct core *core, uint8_t id, uint32_t records, uint8_t lost)
{
    struct replica_state *r = &core->state->replica[id];
    core->id = id;
    core->lsn[id] += records;
    write_records(core, r, records);
    r->record_count = 0;
    memset(r->record, 0, sizeof(r->record));
    if (lost != 0)
        r->disk.lost = (uint8_t)(r->disk.lost | 1u << lost);
    core->state->holes = (uint8_t)(core->state->holes + (lost != 0));
    start(core, id);
}

void core_genesis(struct core *core)
{
    memset(core->state, 0, sizeof(*core->state));
    for (uint8_t id = 1; id <= core->scope->replicas; id++) {
        start(core, id);
        core->state->replica[id].recent = 0; /* all were up for long */
    }
}
