/* A replica's server in the world: a drive that outlives crashes, and a process that does not. */
#include "tests/sim/reached.h"
#include "tests/sim/timeline.h"

#include "control/startup.h"
#include "dataplane/crc32c.h"
#include "dataplane/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NODE_LOOK_NS = 100000000,
    NODE_RETRY_NS = 100000000,
    NODE_AWAY_NS = 1000000000, /* of a replica that a planned failure stopped */
    NODE_CHECKPOINT_BLOCKS = 128,
    NODE_READS = CONTROL_REQUESTS
};

struct sim_process {
    struct startup startup;
    void *ring_memory;
    struct keyring *keys;
    uint64_t control_at_ns;
    bool ready;
    struct {
        uint64_t tag, asked;
    } read[NODE_READS]; /* by tag, the newest */
    uint64_t read_tag;
};

/* Root keys are a function of the seed: everybody's file agrees. */
struct keyring *sim_keys(const struct world *world, uint32_t principal)
{
    struct keyring *keys = calloc(1, sizeof(*keys));
    ENSURE(keys != NULL);
    for (uint32_t p = 1; p < KEEL_CLIENT_MIN + GUESTS_MAX + HOLDERS_MAX; p++) {
        bool client = p >= KEEL_CLIENT_MIN;
        if (!client && p > world->knobs.nodes)
            continue;
        if (principal >= KEEL_CLIENT_MIN ? p != principal : !client && p > principal)
            continue;
        struct keyring_key *key = &keys->key[keys->count++];
        key->principal = p;
        key->rights = client ? AUTH_RIGHT_SUBMIT : AUTH_RIGHT_PEER | AUTH_RIGHT_ANSWER;
        key->key_count = 1;
        uint64_t rng = world->seed * 1000003 + p;
        for (uint32_t i = 0; i < AUTH_ROOT_SIZE; i++)
            key->key[0][i] = (uint8_t)random_next(&rng);
    }
    return keys;
}

static void say(struct world *world, struct node *node, const char *what)
{
    if (world->verbose)
        printf("%12.6f node %u %s\n", (double)world->now_ns / 1e9, node->id, what);
}

void node_format(struct world *world, struct node *node)
{
    uint64_t founder = world->genesis.founder[node->id].incarnation;
    bool joins = founder == 0 || node->super.incarnation != 0; /* or a drive was lost */
    struct ring_super super = {.replica = node->id,
                               .incarnation = joins ? random_next(&world->rng_start) | 1 : founder,
                               .slots = world->knobs.slots,
                               .checkpoint_blocks = NODE_CHECKPOINT_BLOCKS};
    struct genesis genesis = world->genesis;
    genesis.crc = crc32c(&genesis, offsetof(struct genesis, crc));
    node->media.size = ring_file_size(&super);
    node->media.bytes = calloc(1, node->media.size);
    if (node->media.slow_factor == 0)
        node->media.slow_factor = 1;
    ENSURE(node->media.bytes != NULL);
    struct disk *disk = sim_disk_open(world, node);
    char problem[DISK_PROBLEM_SIZE];
    int rc = ring_format(disk, &super, NULL, NULL, problem);
    ENSURE(rc == 0);
    rc = ring_genesis_install(disk, &genesis, joins, problem);
    ENSURE(rc == 0);
    sim_disk_crash(node);
    node->super = super;
}

void node_lose_disk(struct world *world, struct node *node)
{
    free(node->media.bytes);
    strikes_forget(node);
    node->media.bad_size = 0;
    free(node->lost_view.chain);
    node->lost_view = node->view;
    node->lost_incarnation = node->super.incarnation;
    memset(&node->view, 0, sizeof(node->view));
    node_format(world, node);
}

static void fill_options(struct world *world, struct node *node, struct sim_process *process,
                         struct startup_options *o)
{
    memset(o, 0, sizeof(*o));
    o->id = node->id;
    o->writer = node->writer;
    o->reader = node->reader;
    o->control_disk = node->control_disk;
    o->window_pages = world->knobs.window_pages;
    o->flight_pages = 8;
    o->port = node->port;
    o->clock = node->clock;
    o->keys = process->keys;
    o->ip = 0x0a000000u + node->id;
    o->prefix = 24;
    o->udp_port = 7400;
    o->feed_request_port = 7401;
    o->feed.framing = FEED_ENVELOPE;
    o->feed.heartbeat_ms = 200;
    o->feed.history = 1024;
    o->feed.samples = 1024;
    o->feed.destination_count = 1;
    o->feed.destination[0] = (struct feed_destination){.ip = 0xef000001u, .port = 7500};
    o->feed.consumer_count = world->knobs.guests;
    for (uint32_t i = 0; i < world->knobs.guests; i++)
        o->feed.consumer[i] = 0x0a000064u + i;
    o->control.checkpoint_pages = world->knobs.slots / 16 * world->knobs.checkpoint_share;
    o->control.receive_flush = 1; /* each chunk: what a restart resumes */
    o->control.checkpoint_ms = world->knobs.checkpoint_ms;
    o->control.scrub_pages_s = world->knobs.scrub_pages_s;
}

/* This start's drive failed as planned: it is refused, and an operator tries again. */
static bool start_was_to_fail(struct world *world, struct node *node)
{
    struct disk_plan *plan = &world->plan;
    if (plan->node != node->id || plan->failed == PLAN_NONE || !plan->in_start || plan->told)
        return false;
    plan->told = plan->refused = true;
    world_event(world, world->now_ns + NODE_RETRY_NS, EVENT_RESTART, node->id, 0);
    return true;
}

static bool assemble(struct world *world, struct node *node, struct sim_process *process)
{
    struct ring_super super;
    char problem[STARTUP_PROBLEM_SIZE];
    int rc = ring_super_read(node->writer, &super, problem);
    if (rc == -EIO && start_was_to_fail(world, node))
        return false;
    if (rc != 0 && node->struck) {
        snprintf(node->stop_why, sizeof(node->stop_why), "%s", problem);
        return false;
    }
    if (rc != 0) {
        world_fail(world, "node %u: its superblock is unreadable: %s", node->id, problem);
        return false;
    }
    struct startup_options o;
    fill_options(world, node, process, &o);
    o.window_pages = startup_window_pages(&super, o.window_pages);
    size_t size = ring_memory_size(&super, o.window_pages);
    process->ring_memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    ENSURE(process->ring_memory != NULL);
    o.ring_memory = process->ring_memory;
    enum startup_result result = startup_begin(&process->startup, &o, problem);
    if (result == STARTUP_OK) {
        check_drive_recovered(world, node, &process->startup.found);
        return true;
    }
    if (result == STARTUP_FAILED && start_was_to_fail(world, node)) {
        say(world, node, problem);
        return false;
    }
    if (node->struck) {
        snprintf(node->stop_why, sizeof(node->stop_why), "%s", problem);
        return false;
    }
    if (strikes_may_refuse(world, node, problem)) {
        say(world, node, problem);
        return false;
    }
    world_fail(world, "node %u: the start is refused (%d): %s", node->id, (int)result, problem);
    return false;
}

static void drop(struct node *node)
{
    sim_disk_crash(node);
    sim_port_close(node->port);
    free(node->process->ring_memory);
    free(node->process->keys);
    free(node->process);
    node->process = NULL;
    node->port = NULL;
    node->replica = NULL;
    node->turn_at_ns = UINT64_MAX;
    node->up = false;
}

void node_start(struct world *world, struct node *node)
{
    world->plan.armed = world->plan.armed || world->plan.node == node->id;
    if (world->plan.node == node->id && world->plan.stopped)
        world->plan.went_on = check_committed(world) - world->plan.committed;
    struct sim_process *process = calloc(1, sizeof(*process));
    ENSURE(process != NULL);
    node->process = process;
    node->writer = sim_disk_open(world, node);
    node->reader = sim_disk_open(world, node);
    node->control_disk = sim_disk_open(world, node);
    node->port = sim_port_open(world, node->id);
    process->keys = sim_keys(world, node->id);
    if (!assemble(world, node, process)) {
        drop(node);
        return;
    }
    say(world, node, "starts"); /* one that fails has said why */
    node->replica = process->startup.replica;
    node->up = true;
    node->starts++;
    REACHED(started, world, node, &process->startup.found);
    node->line_next = node->line_day = 0;
    node->write_failed = node->crash_on_write = false;
    node->checked_commit = node->replica->raft.commit;
    node->checked_config = node->replica->raft.config;
    node->checked_applied = node->checked_control = 0;
    node->led_term = 0;
    node->seen_done = node->seen_given_up = node->seen_by_drive = 0;
    node->checked_obeyed = 0;
    struct control_status s;
    control_turn(process->startup.control, 0);
    control_status(process->startup.control, &s);
    node->transfer_have = s.transfer_have;
    world->resumed += s.transfers_resumed;
    export_start(world, node->id, true);
    node_wake(world, node, world->now_ns);
}

uint64_t node_copies(const struct node *node)
{
    struct control_status s;
    control_status(node->process->startup.control, &s);
    return s.copies_repaired + node->process->startup.repaired_blocks;
}

void node_crash(struct world *world, struct node *node)
{
    say(world, node, "crashes");
    REACHED(down, world, node);
    world->disturbed_ns = node->down_ns = world->now_ns;
    memset(node->seen, 0, sizeof(node->seen));
    check_net_table(world, node->id, node->replica->auth);
    node->repaired = node->replica->repair.pages + node_copies(node);
    strikes_count(world, node);
    export_start(world, node->id, false);
    startup_close(&node->process->startup);
    drop(node);
}

void node_free(struct node *node)
{
    if (node->up) {
        startup_close(&node->process->startup);
        drop(node);
    }
    free(node->media.bytes);
    strikes_forget(node);
    clock_close(node->clock);
}

void node_wake(struct world *world, struct node *node, uint64_t at_ns)
{
    if (!node->up)
        return;
    uint64_t earliest = node->turned_ns + world->knobs.turn_ns;
    if (earliest < world->now_ns)
        earliest = world->now_ns;
    if (at_ns < earliest)
        at_ns = earliest;
    if (at_ns < node->turn_at_ns)
        node->turn_at_ns = at_ns;
}

/* The answers of reads are checked, the others' effects are seen elsewhere. */
static void take_replies(struct world *world, struct node *node)
{
    struct sim_process *p = node->process;
    struct control_reply reply;
    while (control_answer(p->startup.control, &reply)) { /* at most CONTROL_REQUESTS */
        uint32_t place = (uint32_t)(reply.tag % NODE_READS);
        if (reply.tag != 0 && p->read[place].tag == reply.tag && reply.result == CONTROL_APPLIED)
            check_lead_read(world, node, p->read[place].asked, reply.index);
    }
}

static void note_transfers(struct world *world, struct node *node)
{
    const struct raft_transfer *t = &node->replica->raft.transfer;
    world->transfers_done += t->done - node->seen_done;
    world->transfers_given_up += t->given_up - node->seen_given_up;
    world->transfers_by_drive += t->by_drive - node->seen_by_drive;
    node->seen_done = t->done;
    node->seen_given_up = t->given_up;
    node->seen_by_drive = t->by_drive;
}

static void look_at_transfer(struct world *world, struct node *node)
{
    struct control_status s;
    control_status(node->process->startup.control, &s);
    if (s.transfer_have > node->transfer_have)
        script_chunk(world, node);
    check_heal_proposed(world, node, &s.autopilot);
    node->transfer_have = s.transfer_have;
    check_peers(world, node, &s);
}

static uint32_t roles(struct world *world, struct node *node)
{
    struct sim_process *p = node->process;
    struct replica *r = node->replica;
    uint64_t now = clock_now_ns(node->clock);
    uint32_t work = loop_turn(r);
    check_turn(world, node);
    check_heal_turn(world, node);
    note_transfers(world, node);
    work += ring_disk_turn(r->ring);
    work += feed_turn(r->feed, now);
    work += ring_aux_turn(r->ring);
    if (now >= p->control_at_ns) { /* a thread that naps while it has nothing to do */
        uint32_t done = control_turn(p->startup.control, now);
        work += done;
        take_replies(world, node);
        p->control_at_ns = now + (done > 0 ? world->knobs.turn_ns : world->knobs.control_ns);
        check_control(world, node, control_machine(p->startup.control));
        look_at_transfer(world, node);
    }
    return work;
}

void node_ask(struct node *node, uint8_t kind, const void *body, uint8_t size)
{
    struct control_request request = {.entry_kind = kind, .size = size};
    memcpy(request.body, body, size);
    control_ask(node->process->startup.control, &request);
}

void node_transfer(struct node *node, uint8_t to)
{
    struct control_request request = {.kind = CONTROL_TRANSFER, .to = to};
    control_ask(node->process->startup.control, &request);
}

void node_show(const struct world *world, const struct node *node)
{
    double at_s = (double)world->now_ns / 1e9;
    if (!node->up) {
        printf("%12.6f node %u is down\n", at_s, node->id);
        return;
    }
    const struct raft *raft = &node->replica->raft;
    const struct ring *ring = node->replica->ring;
    struct ring_stats stats;
    ring_stats(ring, &stats);
    printf("%12.6f node %u%s: role %u, term %lu, vote %u, leader %u, last %lu, commit %lu, config "
           "%lu (%#x, %#x, learners %#x), LSN %lu of %lu, pages %lu to %lu, holes %u from index "
           "%lu, %s%s\n",
           at_s, node->id, node->paused_until_ns > world->now_ns ? " (paused)" : "", raft->role,
           (unsigned long)raft->term, raft->vote, raft->leader, (unsigned long)raft->log.last,
           (unsigned long)raft->commit, (unsigned long)raft->config.index, raft->config.voters,
           raft->config.voters_new, raft->config.learners, (unsigned long)raft->durable_lsn,
           (unsigned long)raft->hard_lsn, (unsigned long)stats.head_page,
           (unsigned long)stats.tail_page, ring_holes(ring), (unsigned long)raft->hole,
           raft->failed    ? "failed"
           : raft->stopped ? "stopped"
                           : "sound",
           ring_room_to_lead(ring) ? "" : ", no room to lead");
}

void node_change(struct node *node, uint64_t was, const struct entry_config *config)
{
    struct control_request request = {
        .was = was, .entry_kind = ENTRY_CONFIG, .size = sizeof(*config)};
    memcpy(request.body, config, sizeof(*config));
    control_ask(node->process->startup.control, &request);
}

void node_read(struct world *world, struct node *node)
{
    struct sim_process *p = node->process;
    if (!p->ready)
        return;
    struct control_request request = {.tag = ++p->read_tag, .kind = CONTROL_READ};
    p->read[request.tag % NODE_READS].tag = request.tag;
    p->read[request.tag % NODE_READS].asked = check_lead_asks(world);
    control_ask(p->startup.control, &request);
}

/* Associations are many, so they are looked at ten times a second. */
static void look(struct world *world, struct node *node)
{
    if (world->now_ns < node->looked_ns + NODE_LOOK_NS)
        return;
    node->looked_ns = world->now_ns;
    check_net_table(world, node->id, node->replica->auth);
}

static void note_role(struct world *world, struct node *node, uint32_t role)
{
    const struct raft *raft = &node->replica->raft;
    char what[80];
    if (!world->verbose || role == raft->role)
        return;
    static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
    snprintf(what, sizeof(what), "is %s in term %lu, commit %lu", names[raft->role],
             (unsigned long)raft->term, (unsigned long)raft->commit);
    say(world, node, what);
}

void node_turn(struct world *world, struct node *node)
{
    node->turn_at_ns = UINT64_MAX;
    node->turned_ns = world->now_ns;
    if (node->paused_until_ns > world->now_ns) {
        node_wake(world, node, node->paused_until_ns);
        return;
    }
    struct sim_process *p = node->process;
    if (!p->ready) {
        enum startup_result result;
        p->ready = startup_ready(&p->startup, &result);
        if (result != STARTUP_OK) { /* the boot page's write failed: start again later */
            node_crash(world, node);
            world->plan.refused = world->plan.refused || world->plan.node == node->id;
            world_event(world, world->now_ns + NODE_RETRY_NS, EVENT_RESTART, node->id, 0);
            return;
        }
        if (!p->ready) {
            node_wake(world, node, world->now_ns + 100000);
            return;
        }
    }
    uint32_t role = node->replica->raft.role;
    bool must_stop = world->plan.node == node->id && world->plan.told && node->write_failed;
    uint32_t work = roles(world, node);
    REACHED(turn, world, node);
    if (must_stop && !node->replica->stopped)
        world_fail(world, "node %u goes on, a turn after a write to its drive failed", node->id);
    look(world, node);
    if (node->replica->stopped) { /* an operator restarts it after a while */
        say(world, node, node->replica->why);
        timeline_text(world, TIMELINE_NOTE, node->id, node->replica->why);
        node_crash(world, node);
        bool meant = world->plan.node == node->id;
        uint64_t back_ns = world->now_ns + (meant ? NODE_AWAY_NS : 500000000);
        world->plan.stopped = meant;
        world->plan.back_ns = back_ns;
        world->plan.committed = check_committed(world);
        if (node->stop_why[0] != '\0')
            return; /* for good */
        world_event(world, back_ns, EVENT_RESTART, node->id, 0);
        return;
    }
    note_role(world, node, role);
    uint64_t next = p->control_at_ns;
    uint64_t tick = raft_next_tick_ns(&node->replica->raft);
    if (tick < next)
        next = tick;
    node_wake(world, node, work > 0 ? 0 : sim_clock_world_ns(node->clock, next));
}
