#include "tests/explore/core.h"

#include "consensus/ensure.h"
#include "tests/explore/check.h"
#include "tests/explore/holes.h"
#include "tests/explore/members.h"
#include "tests/unit/raft/raft_world.h"

#include <stdarg.h>
#include <string.h>

static const uint64_t MS = 1000000;

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
        return CORE_NOW_NS;
    case ELAPSED_BEAT:
        return CORE_NOW_NS + options->heartbeat_ns;
    case ELAPSED_PATIENCE:
        return CORE_NOW_NS + 4 * options->heartbeat_ns;
    case ELAPSED_LONG:
        break;
    }
    return CORE_NOW_NS + CORE_LONG_NS;
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

static void append(struct core *core, const struct raft_msg *msg)
{
    const struct raft_out *out = &core->out;
    struct replica_state *r = &core->state->replica[core->id];
    uint64_t term = msg != NULL && !out->noop ? msg->entry_term : core->raft.term;
    uint64_t last = out->append_first + out->append_count - 1;
    FILE *t = core->trace;
    if (t != NULL)
        fprintf(t, "%u appends %lu..%lu term %lu (lsn %lu)%s", core->id, out->append_first, last,
                term, real_lsn(core, out->append_lsn), out->noop ? ": its no-op" : "");
    for (uint64_t i = out->append_first; i <= last && !core->outside; i++) {
        uint8_t config = members_number(core, msg, i);
        record(core, out->append_lsn + (i - out->append_first),
               &(struct record){.kind = RECORD_ENTRY,
                                .index = (uint8_t)i,
                                .term = (uint8_t)term,
                                .config = config});
        if (!core->outside)
            r->config[i] = config;
        if (config == 0 || t == NULL)
            continue;
        fputs(": ", t);
        world_print_config(t, &core->scope->config[config]);
    }
    if (t != NULL)
        fputs("\n", t);
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
        check_truncation(core);
        struct replica_state *r = &core->state->replica[core->id];
        for (uint64_t i = out->truncate_from; i < STATE_LOG_SIZE; i++)
            r->config[i] = 0;
        record(core, out->truncate_lsn,
               &(struct record){.kind = RECORD_TRUNCATE, .index = (uint8_t)out->truncate_from});
        if (t != NULL)
            fprintf(t, "%u truncates from %lu (lsn %lu)\n", core->id, out->truncate_from,
                    real_lsn(core, out->truncate_lsn));
    }
    if (out->append_count > 0)
        append(core, msg);
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
    if (out->config && !core->outside)
        check_change(core);
    for (uint32_t i = 0; i < out->send_count; i++) {
        bool waits = out->send[i].lsn > core->gate.durable_lsn;
        gate_pass(&core->gate, &out->send[i], raft, release, core);
        if (waits && core->trace != NULL) {
            trace_msg(core, &out->send[i].msg, "");
            fprintf(core->trace, ": waits for lsn %lu\n", real_lsn(core, out->send[i].lsn));
        }
    }
    if (core->trace != NULL && out->commit > core->shown[core->id]) {
        fprintf(core->trace, "%u commits %lu\n", core->id, out->commit);
        core->shown[core->id] = out->commit; /* after a start the log alone may tell of some */
    }
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
    if (in->event == RAFT_EV_TICK && role == RAFT_LEADER)
        check_tick(core);
    if (msg != NULL && role == RAFT_LEADER)
        check_answer(core, msg);
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
    struct raft_config carried[MESSAGE_CONFIGS_MAX];
    if (event == RAFT_EV_HOLE)
        in.index = holes_lowest(core);
    if (msg != NULL) {
        in.msg = *msg;
        in.incarnation = msg->from;
        in.config = carried;
        in.config_count = members_carried(core, msg, carried);
    }
    if (event == RAFT_EV_CONFIG) {
        in.config = &core->asked;
        in.config_count = 1;
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
    core->packet = packet;
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
                disk->log[at] = disk->config[at] = 0;
            disk->last = done->index - 1;
            disk->lost &= (uint8_t)((1u << done->index) - 1);
            break;
        case RECORD_ENTRY:
            if (done->index != disk->last + 1)
                core_violate(core, "node %u writes entry %u after entry %u", core->id, done->index,
                             disk->last);
            disk->log[done->index] = done->term;
            disk->config[done->index] = done->config;
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
    struct raft_in in = {.event = RAFT_EV_DURABLE, .now_ns = CORE_NOW_NS, .lsn = lsn};
    step(core, &in, NULL);
    uint32_t to = core->out.append_to;
    gate_durable(&core->gate, lsn, &core->raft, release, core);
    core->out.append_to = to;
    replicate(core, CORE_NOW_NS);
}

/* --- the beginning, and beginning again --- */

static void boot_up(struct core *core, uint8_t id)
{
    const struct replica_state *r = &core->state->replica[id];
    struct raft_boot boot = {.id = id,
                             .vote = r->disk.vote,
                             .term = r->disk.term,
                             .durable_lsn = CORE_DURABLE,
                             .now_ns = CORE_NOW_NS,
                             .random = id * 10 * MS,
                             .incarnation = id,
                             .options = core->scope->options};
    raft_log_init(&boot.log, 1, 0);
    core_load_log(&boot.log, r->disk.log, r->disk.last);
    boot.hole = r->disk.lost == 0 ? 0 : (uint64_t)__builtin_ctz(r->disk.lost);
    members_boot(core->scope, &r->disk, &boot);
    raft_init(&core->raft, &boot);
}

static void start(struct core *core, uint8_t id)
{
    struct replica_state *r = &core->state->replica[id];
    boot_up(core, id);
    memcpy(r->config, r->disk.config, sizeof(r->config));
    core->raft.vote_incarnation = core->raft.vote; /* as load() has it */
    core->id = id;
    core->sent_count = 0;
    memset(&core->gate, 0, offsetof(struct gate, held));
    core_close(core);
}

bool core_would_campaign(struct core *core, uint8_t id)
{
    boot_up(core, id);
    struct raft_in in = {.event = RAFT_EV_TICK, .now_ns = now_after(core, ELAPSED_LONG)};
    raft_step(&core->raft, &in, &core->out);
    return core->raft.role != RAFT_FOLLOWER;
}

void core_crash(struct core *core, uint8_t id, uint32_t records, uint8_t lost)
{
    struct replica_state *r = &core->state->replica[id];
    core->id = id;
    core->lsn[id] += records;
    core->shown[id] = 0;
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
