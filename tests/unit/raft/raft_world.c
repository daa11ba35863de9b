#include "tests/unit/raft/raft_world.h"

#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "tests/unit/raft/raft_judge.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t MS = 1000000;

uint64_t world_random(struct world *world)
{
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return world->random * UINT64_C(2685821657736338717);
}

void world_set_entry(struct world_log *log, uint64_t index, uint64_t term, uint64_t value,
                     uint64_t config)
{
    ENSURE(index >= 1 && index <= log->last + 1 && index < WORLD_LOG_MAX);
    uint64_t chain =
        log->entry[index - 1].chain + term * UINT64_C(0x9e3779b97f4a7c15) + value + (config << 32);
    chain = (chain ^ chain >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    chain ^= chain >> 32;
    log->entry[index] =
        (struct world_entry){.term = term, .value = value, .chain = chain, .config = config};
    log->last = index;
}

const struct raft_config *world_config(const struct world *world, const struct world_node *node)
{
    uint64_t index = node->log.last;
    while (index > 0 && (node->log.entry[index].config == 0 || node->hidden[index]))
        index--;
    return &world->config[index == 0 ? 0 : node->log.entry[index].config];
}

static void push(struct world *world, const struct world_packet *packet)
{
    const struct raft_msg *msg = &packet->msg;
    if (world->cut[msg->from][msg->to])
        return;
    if (world->bag_count == WORLD_BAG_MAX) /* a full network loses its oldest packet */
        world_drop(world, 0);
    world->bag[world->bag_count++] = *packet;
}

void world_leave(struct world *world, struct world_node *node, const struct world_packet *packet)
{
    judge_message(world, node, &packet->msg);
    if (world->trace != NULL) {
        world_print_msg(world->trace, &packet->msg);
        fputs("\n", world->trace);
    }
    push(world, packet);
}

static void leave(struct world *world, struct world_node *node, const struct raft_send *send)
{
    struct world_packet packet = {.msg = send->msg, .incarnation = node->incarnation};
    if (send->msg.kind == RAFT_APPEND && send->msg.prev_index > 0)
        packet.msg.prev_chain = world_chain(node, send->msg.prev_index);
    world_leave(world, node, &packet);
}

static void open_gate(struct world *world, struct world_node *node)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < node->gate_count; i++) {
        const struct raft_send send = node->gate[i];
        if (send.lsn > node->raft.durable_lsn) {
            node->gate[kept++] = send;
            continue;
        }
        if (raft_send_stands(&node->raft, &send)) {
            leave(world, node, &send);
            continue;
        }
        world->gate_drops++;
        if (world->trace != NULL) {
            world_print_msg(world->trace, &send.msg);
            fputs(": dropped at the gate\n", world->trace);
        }
    }
    node->gate_count = kept;
}

static void record(struct world *world, struct world_node *node, const struct world_record *r)
{
    ENSURE(node->record_count < WORLD_RECORDS_MAX);
    judge_lsn(world, node, r->lsn);
    node->record[node->record_count++] = *r;
}

static uint64_t new_config(struct world *world, const struct raft_config *config)
{
    ENSURE(world->config_count < WORLD_CONFIGS_MAX);
    if (config->voters_new != 0)
        world->joints++;
    else
        world->completed++;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (((config->voters | config->voters_new) >> id & 1) != 0 &&
            config->incarnation[id] > RAFT_ID_MAX) {
            world->reborn++;
            break;
        }
    world->config[world->config_count] = *config;
    return world->config_count++;
}

void world_take_committed(struct world *world, struct world_log *log, uint64_t last)
{
    ENSURE(last <= world->committed.last);
    memcpy(log->entry, world->committed.entry, (last + 1) * sizeof(log->entry[0]));
    log->last = last;
}

static void give_up_log(struct world *world, struct world_node *node, const struct raft_out *out)
{
    world->installs++;
    record(world, node,
           &(struct world_record){
               .lsn = out->install_lsn, .kind = WORLD_INSTALL, .index = out->install_index});
    world_take_committed(world, &node->log, out->install_index);
    world_forget_rot(node->hidden, 0);
    if (world->trace != NULL)
        fprintf(world->trace, "%u gives up its log for a checkpoint of %lu/%lu (lsn %lu)\n",
                node->raft.id, out->install_index, raft_log_last_term(&node->raft.log),
                out->install_lsn);
}

static void persist(struct world *world, struct world_node *node, const struct raft_out *out,
                    const struct world_packet *packet)
{
    FILE *t = world->trace;
    unsigned id = node->raft.id;
    if (out->hard) {
        record(world, node,
               &(struct world_record){.lsn = out->hard_lsn,
                                      .kind = WORLD_HARD,
                                      .term = node->raft.term,
                                      .vote = node->raft.vote});
        if (t != NULL)
            fprintf(t, "%u writes term %lu vote %u (lsn %lu)\n", id, node->raft.term,
                    node->raft.vote, out->hard_lsn);
    }
    if (out->truncate_from != 0) {
        world->truncations++;
        record(world, node,
               &(struct world_record){
                   .lsn = out->truncate_lsn, .kind = WORLD_TRUNCATE, .index = out->truncate_from});
        node->log.last = out->truncate_from - 1;
        world_forget_rot(node->hidden, out->truncate_from);
        if (t != NULL)
            fprintf(t, "%u truncates from %lu (lsn %lu)\n", id, out->truncate_from,
                    out->truncate_lsn);
    }
    if (out->install_index != 0)
        give_up_log(world, node, out);
    for (uint32_t i = 0; i < out->append_count; i++) {
        uint64_t index = out->append_first + i;
        uint64_t term = node->raft.term;
        uint64_t value = out->noop ? 0 : world->value_next;
        uint64_t config = out->config ? new_config(world, &node->raft.config) : 0;
        if (packet != NULL && !out->noop) {
            const struct world_entry *e = &packet->entry[index - packet->msg.prev_index - 1];
            term = e->term;
            value = e->value;
            config = e->config;
        } else if (!out->noop) {
            world->value_next++;
        }
        world_set_entry(&node->log, index, term, value, config);
        judge_entry(world, node, index);
        record(world, node,
               &(struct world_record){.lsn = out->append_lsn + i,
                                      .kind = WORLD_ENTRY,
                                      .index = index,
                                      .entry = node->log.entry[index]});
    }
    if (t != NULL && out->append_count > 0)
        fprintf(t, "%u appends %lu..%lu term %lu (lsn %lu)%s", id, out->append_first,
                out->append_first + out->append_count - 1, node->log.entry[node->log.last].term,
                out->append_lsn, out->noop ? ": its no-op" : "");
    for (uint32_t i = 0; t != NULL && i < out->append_count; i++) {
        uint64_t config = node->log.entry[out->append_first + i].config;
        if (config == 0)
            continue;
        fputs(": ", t);
        world_print_config(t, &world->config[config]);
    }
    if (t != NULL && out->append_count > 0)
        fputs("\n", t);
}

static void absorb(struct world *world, struct world_node *node, const struct raft_out *out,
                   const struct world_packet *packet, uint8_t role, uint64_t term)
{
    static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
    const struct raft *raft = &node->raft;
    if (world->trace != NULL && (raft->role != role || raft->term != term))
        fprintf(world->trace, "%u becomes %s in term %lu\n", raft->id, names[raft->role],
                raft->term);
    if (world->trace != NULL && out->stop == RAFT_STOP_OUTVOTED)
        fprintf(world->trace, "%u stops: a quorum holds another chain\n", node->raft.id);
    if (world->trace != NULL && out->stop == RAFT_STOP_CHAIN)
        fprintf(world->trace, "%u stops: contradicted by a blocking set\n", raft->id);
    if (out->elected)
        judge_elected(world, node);
    if (out->noop && !out->elected) {
        world->settled++;
        world->given_up += out->truncate_from != 0;
    }
    persist(world, node, out, packet);
    for (uint32_t i = 0; i < out->send_count; i++) {
        const struct raft_send *send = &out->send[i];
        if (send->msg.kind == RAFT_VOTE_REPLY && send->msg.status != 0)
            judge_grant(world, node, packet);
        judge_hole(world, node, &send->msg);
        if (send->lsn <= raft->durable_lsn) {
            leave(world, node, send);
            continue;
        }
        ENSURE(node->gate_count < WORLD_GATE_MAX);
        node->gate[node->gate_count++] = *send;
        if (world->trace != NULL) {
            world_print_msg(world->trace, &send->msg);
            fprintf(world->trace, ": waits for lsn %lu\n", send->lsn);
        }
    }
    if (world->trace != NULL && out->commit > node->commit_seen)
        fprintf(world->trace, "%u commits %lu\n", raft->id, out->commit);
    judge_commit(world, node, out->commit);
    judge_books(world, node);
}

void world_watched(struct world *world, enum world_moment moment, const struct world_node *node,
                   const struct world_packet *packet, uint64_t index)
{
    if (world->watch != NULL)
        world->watch(world, moment, node->raft.id, packet, index);
}

static void step(struct world *world, struct world_node *node, struct raft_in *in,
                 const struct world_packet *packet, struct raft_out *out)
{
    uint8_t role = node->raft.role;
    uint64_t term = node->raft.term;
    in->now_ns = world->now_ns;
    in->random = world->random != 0 ? world_random(world) : node->raft.id * 10 * MS;
    raft_step(&node->raft, in, out);
    if (in->event == RAFT_EV_TRANSFER)
        world->refused = out->refused;
    absorb(world, node, out, packet, role, term);
    world_watched(world, WORLD_STEPPED, node, NULL, 0);
}

/* Packs one AppendEntries for a peer; reports what went. Returns the step's append_to. */
static uint32_t send_entries(struct world *world, struct world_node *node, uint8_t peer)
{
    struct world_packet packet = {.incarnation = node->incarnation};
    if (!raft_append_next(&node->raft, peer, &packet.msg))
        return 0;
    struct raft_msg *msg = &packet.msg;
    uint64_t first = msg->prev_index + 1;
    struct raft_in in = {.event = RAFT_EV_SENT, .peer = peer, .index = first - 1};
    struct raft_out out;
    if (first < node->window && node->fetched < first) {
        node->fetched = first; /* the ring is asked; next time the entry is there */
        step(world, node, &in, NULL, &out);
        return 0;
    }
    uint32_t count = msg->count < WORLD_PACKET_ENTRIES ? msg->count : WORLD_PACKET_ENTRIES;
    uint64_t term = node->log.entry[first].term;
    if (msg->entry_term == 0) { /* below the run list: the caller knows the terms */
        msg->prev_term = node->log.entry[first - 1].term;
        msg->entry_term = term;
    }
    for (msg->count = 0; msg->count < count; msg->count++) {
        if (node->log.entry[first + msg->count].term != term)
            break;
        packet.entry[msg->count] = node->log.entry[first + msg->count];
    }
    if (first < node->window)
        world_watched(world, WORLD_REREAD, node, &packet, first);
    judge_message(world, node, msg);
    msg->prev_chain = world_chain(node, msg->prev_index);
    if (world->trace != NULL) {
        world_print_msg(world->trace, msg);
        fputs("\n", world->trace);
    }
    push(world, &packet);
    in.index = msg->prev_index + msg->count;
    in.bytes = msg->count * WORLD_ENTRY_BYTES;
    step(world, node, &in, NULL, &out);
    return out.append_to;
}

static enum raft_refusal run(struct world *world, uint8_t id, struct raft_in *in,
                             const struct world_packet *packet)
{
    struct world_node *node = &world->node[id];
    if (!node->up)
        return RAFT_REFUSED_NOT_LEADER;
    struct raft_out out;
    step(world, node, in, packet, &out);
    if (out.serve)
        world_serve(world, node, &in->msg);
    enum raft_refusal refusal = out.refusal;
    uint32_t to = out.append_to;
    while (to != 0) { /* ends when the flights of all peers are taken */
        uint8_t peer = (uint8_t)__builtin_ctz(to);
        to &= ~(UINT32_C(1) << peer);
        to |= send_entries(world, node, peer);
    }
    if (!node->slow && !node->raft.failed && in->event != RAFT_EV_DURABLE)
        world_durable(world, id, node->raft.next_lsn - 1);
    return refusal;
}

void world_run(struct world *world, uint8_t id, struct raft_in *in)
{
    run(world, id, in, NULL);
}

void world_tick(struct world *world, uint8_t id)
{
    bool space = !world->node[id].no_space;
    bool scarce = world->node[id].scarce;
    run(world, id, &(struct raft_in){.event = RAFT_EV_TICK, .space = space, .scarce = scarce},
        NULL);
    judge_office(world, &world->node[id]);
    world_fetch(world, id);
}

void world_propose(struct world *world, uint8_t id, uint32_t count)
{
    if (!world->node[id].up || world->node[id].raft.role != RAFT_LEADER ||
        raft_hands_over(&world->node[id].raft) || world->node[id].raft.settling != 0)
        return;
    run(world, id, &(struct raft_in){.event = RAFT_EV_PROPOSE, .count = count}, NULL);
}

enum raft_refusal world_change(struct world *world, uint8_t id, uint32_t voters, uint32_t learners,
                               uint64_t was, uint32_t as)
{
    struct world_node *node = &world->node[id];
    if (!node->up)
        return RAFT_REFUSED_NOT_LEADER;
    struct raft_config config = {.voters = voters, .learners = learners, .index = was};
    for (uint8_t i = 1; i <= RAFT_ID_MAX; i++) {
        uint64_t held = node->raft.config.incarnation[i];
        if (((voters | learners) >> i & 1) != 0)
            config.incarnation[i] =
                held != 0 && (as >> i & 1) == 0 ? held : world->node[i].incarnation;
    }
    struct raft_in in = {
        .event = RAFT_EV_CONFIG, .config = &config, .config_count = 1, .space = !node->no_space};
    uint64_t held = node->raft.config.index;
    enum raft_refusal refusal = run(world, id, &in, NULL);
    judge_change(world, node, was == held, refusal == RAFT_CHANGED);
    return refusal;
}

void world_no_space(struct world *world, uint8_t id)
{
    run(world, id, &(struct raft_in){.event = RAFT_EV_NO_SPACE}, NULL);
}

enum raft_transfer_reason world_transfer(struct world *world, uint8_t id, uint8_t to)
{
    world->refused = RAFT_TRANSFER_NOT_LEADER;
    run(world, id, &(struct raft_in){.event = RAFT_EV_TRANSFER, .peer = to}, NULL);
    return world->refused;
}

void world_fail(struct world *world, uint8_t id)
{
    run(world, id, &(struct raft_in){.event = RAFT_EV_FAILED}, NULL);
}

void world_compact(struct world *world, uint8_t id, uint64_t first)
{
    struct world_node *node = &world->node[id];
    ENSURE(node->up && first > 0 && first - 1 <= node->disk.last);
    raft_compact(&node->raft, first);
    if (first - 1 > node->checkpoint) {
        node->checkpoint = first - 1;
        node->checkpoint_term = node->disk.entry[first - 1].term;
    }
    if (first - 1 > node->disk_base)
        node->disk_base = first - 1;
}

void world_install(struct world *world, uint8_t id, uint64_t index)
{
    struct world_node *node = &world->node[id];
    ENSURE(index > 0 && index <= world->committed.last);
    if (!node->up || node->raft.failed)
        return;
    uint64_t term = world->committed.entry[index].term, installs = world->installs;
    if (index > node->checkpoint) {
        node->checkpoint = index;
        node->checkpoint_term = term;
    }
    uint64_t commit = node->raft.commit;
    world_watched(world, WORLD_CHECKPOINT, node, NULL, index);
    struct raft_config config;
    world_config_at(world, &world->committed, index, &config);
    struct raft_in in = {.event = RAFT_EV_INSTALL,
                         .index = index,
                         .prev_term = term,
                         .config = &config,
                         .config_count = 1};
    if (node->raft.role != RAFT_LEADER) /* it knows the configuration at that index now */
        memset(node->hidden, 0, (index + 1) * sizeof(node->hidden[0]));
    run(world, id, &in, NULL);
    world_look(world, id);
    world->installs_kept += world->installs == installs && node->raft.commit > commit;
}

void world_durable(struct world *world, uint8_t id, uint64_t lsn)
{
    struct world_node *node = &world->node[id];
    if (!node->up || lsn <= node->raft.durable_lsn || node->raft.failed)
        return;
    world_write_records(world, node, lsn);
    run(world, id, &(struct raft_in){.event = RAFT_EV_DURABLE, .lsn = lsn}, NULL);
    open_gate(world, node);
    if (!node->slow && node->record_count > 0) /* a vote that became durable may have won */
        world_durable(world, id, node->raft.next_lsn - 1);
}

void world_drop(struct world *world, uint32_t slot)
{
    ENSURE(slot < world->bag_count);
    world->bag_count--;
    memmove(&world->bag[slot], &world->bag[slot + 1],
            (world->bag_count - slot) * sizeof(world->bag[0]));
}

void world_duplicate(struct world *world, uint32_t slot)
{
    ENSURE(slot < world->bag_count);
    struct world_packet copy = world->bag[slot];
    copy.held = false;
    push(world, &copy);
}

void world_deliver(struct world *world, uint32_t slot)
{
    const struct world_packet packet = world->bag[slot];
    world_drop(world, slot);
    const struct raft_msg *msg = &packet.msg;
    struct world_node *node = &world->node[msg->to];
    if (!node->up || world->cut[msg->from][msg->to])
        return;
    world_watched(world, WORLD_ARRIVES, node, &packet, 0);
    judge_arrival(node, msg);
    struct raft_in in = {.event = RAFT_EV_RECV,
                         .msg = *msg,
                         .space = !node->no_space,
                         .incarnation = packet.incarnation,
                         .unable = node->no_space && msg->count == 0,
                         .scarce = node->scarce};
    struct raft_config config[WORLD_PACKET_ENTRIES];
    for (uint32_t i = 0; msg->kind == RAFT_APPEND && i < msg->count; i++) {
        if (packet.entry[i].config == 0)
            continue;
        config[in.config_count] = world->config[packet.entry[i].config];
        config[in.config_count++].index = msg->prev_index + 1 + i;
    }
    in.config = config;
    if (msg->kind == RAFT_TIMEOUT_NOW && node->no_space && node->raft.role != RAFT_LEADER)
        world_no_space(world, msg->to); /* H8: as the caller in the product does */
    bool asks = msg->kind == RAFT_APPEND || msg->kind == RAFT_CHAIN_ASK;
    if (asks && msg->prev_index > 0 && msg->prev_index <= node->log.last)
        in.chain_mine = world_chain(node, msg->prev_index);
    bool led = node->raft.role == RAFT_LEADER;
    run(world, msg->to, &in, &packet);
    if (msg->kind == RAFT_FETCH_REPLY && msg->status != 0)
        world_restore(world, node, &packet);
    if (led && node->raft.role != RAFT_LEADER && msg->kind == RAFT_APPEND_REPLY)
        judge_deposed(world, node, msg->from, packet.incarnation);
}

void world_init(struct world *world, uint32_t count, uint32_t voters, uint32_t learners,
                const struct raft_options *options, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->count = count;
    world->random = seed;
    world->now_ns = MS;
    world->value_next = 1;
    world->options = *options;
    world->judge_chain = true;
    world->config_count = 1;
    world->config[0] = (struct raft_config){.voters = voters, .learners = learners};
    for (uint8_t id = 1; id <= count; id++) {
        world->node[id].incarnation = id;
        if (((voters | learners) >> id & 1) != 0)
            world->config[0].incarnation[id] = id;
    }
    for (uint8_t id = 1; id <= count; id++)
        world_restart(world, id);
}
