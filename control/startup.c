#include "control/startup.h"

#include "control/replay.h"
#include "dataplane/members.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STARTUP_ALIGN = 4096 };

static __attribute__((format(printf, 3, 4))) enum startup_result
refuse_start(char *problem, enum startup_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem, STARTUP_PROBLEM_SIZE, format, args);
    va_end(args);
    return result;
}

static size_t aligned(size_t size)
{
    return (size + STARTUP_ALIGN - 1) & ~(size_t)(STARTUP_ALIGN - 1);
}

static void *take(const struct startup_options *o, size_t size)
{
    if (o->allocate != NULL)
        return o->allocate(o->context, aligned(size));
    return aligned_alloc(STARTUP_ALIGN, aligned(size));
}

static void give_back(const struct startup_options *o, void *memory, size_t size)
{
    if (memory == NULL)
        return;
    if (o->allocate != NULL)
        o->release(o->context, memory, aligned(size));
    else
        free(memory);
}

/* --- what the drive says
 * --------------------------------------------------------------------------- */

/* Nothing was written, and a start by hand or by systemd changes nothing: another program has to.
 */
static enum startup_result refuse_version(char *problem, const char *why)
{
    return refuse_start(problem, STARTUP_REFUSED, "the start is refused, nothing was changed: %s",
                        why);
}

static enum startup_result recover(struct startup *s, char *problem)
{
    char why[DISK_PROBLEM_SIZE] = "";
    int rc = ring_super_read(s->options.writer, &s->super, why);
    if (rc == -EPROTONOSUPPORT)
        return refuse_version(problem, why);
    if (rc != 0)
        return refuse_start(problem, rc == -ENOENT ? STARTUP_NO_RING : STARTUP_FAILED,
                            rc == -ENOENT ? "no ring here: %s: make one with `keeld format`"
                                          : "the superblock cannot be used: %s",
                            why[0] != '\0' ? why : strerror(-rc));
    if (s->super.replica != s->options.id)
        return refuse_start(
            problem, STARTUP_CONFIG,
            "the ring was formatted for replica %u, the configuration says %u: correct "
            "[replica] id, or data",
            s->super.replica, s->options.id);
    rc = ring_genesis_read(s->options.writer, &s->genesis, why);
    if (rc == -EPROTONOSUPPORT)
        return refuse_version(problem, why);
    if (rc != 0)
        return refuse_start(problem, rc == -ENOENT ? STARTUP_NO_GENESIS : STARTUP_FAILED,
                            rc == -ENOENT
                                ? "no genesis record is installed: `keelctl genesis install`%s"
                                : "the genesis record cannot be used: %s",
                            rc == -ENOENT ? "" : why);
    rc = ring_recover(s->options.writer, true, &s->found, why);
    if (rc == -EPROTONOSUPPORT)
        return refuse_version(problem, why);
    if (rc != 0)
        return refuse_start(problem, STARTUP_FAILED, "the ring cannot be read: %s",
                            why[0] != '\0' ? why : strerror(-rc));
    if (s->found.damage != RING_INTACT && !s->found.repairable)
        return refuse_start(
            problem, STARTUP_REFUSED,
            "the ring is damaged (%s): %s. Nobody can say what is lost, term and vote perhaps: "
            "the start is refused, nothing was changed, the others go on without this replica. "
            "Keep the file, check the drive, format a new one and let `keelctl member replace` "
            "take this replica in again",
            ring_damage_name(s->found.damage), s->found.why);
    return STARTUP_OK;
}

/* H3: what apply, leases and stickiness read comes from genesis; a configuration that says
 * otherwise is an error, never a preference. */
static enum startup_result agree(const struct startup *s, char *problem)
{
    const struct startup_options *o = &s->options;
    const struct genesis *g = &s->genesis;
    const char *why = genesis_problem(g);
    if (why != NULL)
        return refuse_start(problem, STARTUP_REFUSED, "the genesis record is not sound: %s", why);
    /* Who is no founder joins: it has no vote and no acknowledgement before a committed change
     * names this very incarnation. Its record was installed as such (`genesis install --join`). */
    bool founder = g->founder[o->id].incarnation == s->super.incarnation;
    if (!founder)
        return STARTUP_OK;
    if (g->founder[o->id].ip != o->ip || g->founder[o->id].port != o->udp_port)
        return refuse_start(
            problem, STARTUP_CONFIG,
            "[network] address and udp_port differ from the genesis record's address of "
            "replica %u: correct the configuration",
            o->id);
    return STARTUP_OK;
}

/* --- the machine
 * ----------------------------------------------------------------------------------- */

/* The newest checkpoint that decodes, and what is committed behind it. */
static enum startup_result load_machine(struct startup *s, struct replay *replay, char *problem)
{
    const struct ring_recovery *found = &s->found;
    char why[REPLAY_PROBLEM_SIZE];
    *replay = (struct replay){.disk = s->options.writer,
                              .genesis = &s->genesis,
                              .found = found,
                              .machine = s->machine,
                              .exceptions = s->exceptions,
                              .configs = &s->tail_configs};
    size_t cap = aligned(replay_bytes_size(replay));
    replay->bytes = take(&s->options, cap);
    replay->outcome = malloc(sizeof(*replay->outcome));
    bool memory = replay->bytes != NULL && replay->outcome != NULL;
    replay->cap = cap;
    bool good =
        memory && replay_checkpoint(replay, why) &&
        replay_log(replay, found->commit < found->last_index ? found->commit : found->last_index,
                   why);
    give_back(&s->options, replay->bytes, cap);
    free(replay->outcome);
    s->checkpoint_index = replay->checkpoint_index;
    s->replayed = replay->replayed;
    if (!memory)
        return refuse_start(problem, STARTUP_FAILED, "out of memory for a checkpoint of %zu bytes",
                            cap);
    return good ? STARTUP_OK : refuse_start(problem, STARTUP_REFUSED, "%s", why);
}

static const struct entry_config *config_in_force(const struct startup *s)
{
    const struct members *tail = &s->tail_configs;
    return tail->count > 0 ? &tail->at[tail->count - 1].body : &s->machine->config;
}

/* H3: whom a file names has to be whom genesis or the log names. */
static enum startup_result agree_on_members(const struct startup *s, char *problem)
{
    const struct startup_options *o = &s->options;
    const struct entry_config *config = config_in_force(s);
    for (uint32_t id = 1; o->member_count > 0 && id <= KEEL_REPLICA_MAX; id++) {
        const struct genesis_founder *m = &o->member[id], *f = &s->genesis.founder[id];
        const struct entry_member *now = &config->member[id];
        bool named = m->port != 0;
        bool founder = named && m->ip == f->ip && m->port == f->port;
        bool member = named && m->ip == now->ip && m->port == now->port;
        if (named ? !founder && !member : now->incarnation != 0)
            return refuse_start(
                problem, STARTUP_CONFIG,
                "[members] %u differs from the genesis record and from the members in the log "
                "(see `keelctl genesis show`, `keelctl member list`): correct the configuration",
                id);
    }
    return STARTUP_OK;
}

/* --- assembly
 * -------------------------------------------------------------------------------------- */

static enum startup_result make_ring(struct startup *s, char *problem)
{
    struct startup_options *o = &s->options;
    char why[DISK_PROBLEM_SIZE] = "";
    struct ring_options ring = {.writer = o->writer,
                                .reader = o->reader,
                                .memory = o->ring_memory,
                                .window_pages = o->window_pages,
                                .flight_pages = o->flight_pages,
                                .cluster_id = s->genesis.cluster_id,
                                .boot = s->boot,
                                .boot_id = s->boot_id};
    int rc = ring_start(&s->ring, &ring, &s->found, why);
    if (rc != 0)
        return refuse_start(problem, STARTUP_FAILED, "the ring cannot be started: %s",
                            why[0] != '\0' ? why : strerror(-rc));
    return STARTUP_OK;
}

/* What is lost comes back from another member, or not at all: the only one can hold no office.
 * Where it was lost from before the last change of the members, or may hide one (H4), it waits for
 * those who may have it. */
static enum startup_result agree_on_repair(const struct startup *s, char *problem)
{
    uint64_t hole = ring_hole_index(s->ring);
    bool behind = hole > s->found.config_index;
    if (hole == 0 || !behind || members_mask(config_in_force(s)) != 1u << s->options.id)
        return STARTUP_OK;
    return refuse_start(
        problem, STARTUP_REFUSED,
        "the ring is damaged (%s): %s. Entry %llu is lost, and this replica is the only member, so "
        "that nobody can give it back: the start is refused, nothing was changed. Keep the file, "
        "check the drive, and restore the newest backup (`keelctl restore`)",
        ring_damage_name(s->found.damage), s->found.why, (unsigned long long)hole);
}

static void fill_replica_options(const struct startup *s, struct replica_options *r)
{
    const struct startup_options *o = &s->options;
    *r = (struct replica_options){.id = o->id,
                                  .silent_ms = o->control.silent_ms,
                                  .incarnation = s->super.incarnation,
                                  .boot = s->boot,
                                  .boot_id = s->boot_id,
                                  .genesis = &s->genesis,
                                  .port = o->port,
                                  .clock = o->clock,
                                  .ring = s->ring,
                                  .feed = o->feed,
                                  .ip = o->ip,
                                  .udp_port = o->udp_port,
                                  .feed_request_port = o->feed_request_port,
                                  .prefix = o->prefix,
                                  .gateway = o->gateway,
                                  .found = &s->found,
                                  .machine = s->machine,
                                  .tail_configs = &s->tail_configs};
}

static enum startup_result make_replica(struct startup *s, uint64_t page, char *problem)
{
    struct replica_options options;
    char why[CONTROL_PROBLEM_SIZE] = "";
    fill_replica_options(s, &options);
    s->replica_bytes = replica_memory_size(&s->genesis);
    s->feed_bytes = feed_size(&options.feed);
    s->replica_memory = take(&s->options, s->replica_bytes);
    s->feed_memory = take(&s->options, s->feed_bytes);
    if (s->replica_memory == NULL || s->feed_memory == NULL)
        return refuse_start(problem, STARTUP_FAILED, "out of memory: replica and feed need %zu MiB",
                            (s->replica_bytes + s->feed_bytes) >> 20);
    s->replica = replica_init(s->replica_memory, &options, why);
    if (s->replica == NULL)
        return refuse_start(problem, STARTUP_FAILED, "%s", why);
    replica_attach_feed(s->replica, s->feed_memory);
    if (page != UINT64_MAX)
        feed_look_back(s->replica->feed, page, s->exceptions);
    return STARTUP_OK;
}

static enum startup_result make_control(struct startup *s, uint64_t chain, uint64_t page,
                                        char *problem)
{
    struct control_options *c = &s->options.control;
    char why[CONTROL_PROBLEM_SIZE] = "";
    c->replica = s->replica;
    c->disk = s->options.control_disk;
    c->genesis = &s->genesis;
    c->found = &s->found;
    c->machine = s->machine;
    c->exceptions = s->exceptions;
    c->chain = chain;
    c->page = page == UINT64_MAX ? s->found.checkpoint[0].page : page;
    c->cluster_id = s->genesis.cluster_id;
    c->boot = s->boot;
    c->boot_id = s->boot_id;
    c->keys = s->options.keys;
    s->control_bytes = control_size(c);
    s->control_memory = take(&s->options, s->control_bytes);
    if (s->control_memory == NULL)
        return refuse_start(problem, STARTUP_FAILED, "out of memory: control needs %zu MiB",
                            s->control_bytes >> 20);
    s->control = control_init(s->control_memory, c, why);
    c->found = NULL;
    c->machine = NULL;
    return s->control != NULL ? STARTUP_OK : refuse_start(problem, STARTUP_FAILED, "%s", why);
}

static void note_found(struct startup *s)
{
    s->term = s->found.term;
    s->vote = s->found.vote;
    s->first_index = s->found.first_index;
    s->last_index = s->found.last_index;
    s->commit = s->found.commit;
    s->torn_pages = s->found.torn_pages;
    s->zeroed_slots = s->found.zeroed_slots;
    s->lost_pages = s->found.hole_count;
    s->repaired_blocks = s->found.repaired_blocks;
    s->pages = s->found.tail_page - s->found.head_page;
}

/* One for each page of the ring, within bounds: older pages of a larger ring are not answered from.
 */
static uint32_t feed_samples(uint64_t slots)
{
    uint32_t samples = STARTUP_FEED_SAMPLES_MIN;
    while (samples < slots && samples < STARTUP_FEED_SAMPLES_MAX)
        samples *= 2;
    return samples;
}

static enum startup_result assemble(struct startup *s, char *problem)
{
    struct replay replay;
    enum startup_result result = recover(s, problem);
    if (result == STARTUP_OK)
        result = agree(s, problem);
    if (result != STARTUP_OK)
        return result;
    note_found(s);
    s->options.feed.stale_ms = s->genesis.feed_stale_ms;
    s->options.window_pages = startup_window_pages(&s->super, s->options.window_pages);
    if (s->options.feed.samples == 0)
        s->options.feed.samples = feed_samples(s->super.slots);
    s->machine = take(&s->options, machine_size(&s->genesis));
    s->exceptions = malloc(sizeof(*s->exceptions));
    if (s->machine == NULL || s->exceptions == NULL)
        return refuse_start(problem, STARTUP_FAILED, "out of memory: the machine needs %zu MiB",
                            machine_size(&s->genesis) >> 20);
    memset(s->exceptions, 0, offsetof(struct feed_exceptions, at));
    result = load_machine(s, &replay, problem);
    if (result == STARTUP_OK &&
        s->genesis.founder[s->options.id].incarnation == s->super.incarnation)
        result = agree_on_members(s, problem);
    if (result != STARTUP_OK)
        return result;
    s->boot = s->found.boot + 1;
    while (s->boot_id == 0) /* bound: chance; 0 means unknown */
        clock_secret(s->options.clock, &s->boot_id, sizeof(s->boot_id));
    result = make_ring(s, problem);
    if (result == STARTUP_OK)
        result = agree_on_repair(s, problem);
    if (result == STARTUP_OK)
        result = make_replica(s, replay.page, problem);
    if (result == STARTUP_OK)
        result = make_control(s, replay.chain, replay.page, problem);
    return result;
}

static void free_machine(struct startup *s)
{
    if (s->machine != NULL)
        give_back(&s->options, s->machine, machine_size(&s->genesis));
    s->machine = NULL;
    free(s->exceptions);
    s->exceptions = NULL;
}

enum startup_result startup_begin(struct startup *s, const struct startup_options *options,
                                  char *problem)
{
    memset(s, 0, sizeof(*s));
    s->options = *options;
    struct startup_options *o = &s->options;
    if (o->flight_pages == 0)
        o->flight_pages = STARTUP_FLIGHT_PAGES;
    if (o->control.silent_ms == 0)
        o->control.silent_ms = CONTROL_SILENT_MS;
    if (o->feed.heartbeat_ms == 0)
        o->feed.heartbeat_ms = 1000;
    if (o->feed.history == 0)
        o->feed.history = STARTUP_FEED_HISTORY;
    problem[0] = '\0';
    enum startup_result result = assemble(s, problem);
    free_machine(s);
    if (result != STARTUP_OK)
        startup_close(s);
    return result;
}

bool startup_ready(struct startup *s, enum startup_result *result)
{
    bool failed = false;
    *result = STARTUP_OK;
    ring_turn(s->ring, 0); /* closes this boot's page */
    ring_disk_turn(s->ring);
    ring_aux_turn(s->ring);
    if (ring_boot_durable(s->ring))
        return true;
    ring_durable_lsn(s->ring, &failed);
    if (failed)
        *result = STARTUP_FAILED;
    return false;
}

void startup_close(struct startup *s)
{
    free_machine(s);
    if (s->control != NULL)
        control_stop(s->control);
    give_back(&s->options, s->control_memory, s->control_bytes);
    give_back(&s->options, s->feed_memory, s->feed_bytes);
    give_back(&s->options, s->replica_memory, s->replica_bytes);
    ring_recovery_free(&s->found);
    s->control = NULL;
    s->replica = NULL;
    s->control_memory = s->feed_memory = s->replica_memory = NULL;
}
