#include "control/founding_run.h"

#include "control/config_founders.h"
#include "control/log.h"
#include "control/seed.h"
#include "dataplane/crc32c.h"
#include "dataplane/frame.h"
#include "dataplane/ring/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

enum { MEMORY_ALIGN = 64, DISCIPLINE_MS = 1000, ARP_MAX = 8 };

struct founding_run {
    struct founding_run_options options;
    struct founding *founding;
    struct frame_host *host;
    struct acceptor_record record;
    int write_result;            /* of the last write */
    char why[FOUNDING_TEXT_MAX]; /* logged last */
    uint64_t writes_logged;
    uint64_t watchdog_ms, fed_ms;
    struct founding_status status; /* as of this turn */
    struct founding_shown shown;
};

/* --- before and after
 * ------------------------------------------------------------------------------ */

enum startup_result founding_look(const struct founding_run_options *o, bool *wanted, char *problem)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct genesis genesis;
    struct acceptor_record record;
    uint32_t bad;
    const char *text = NULL;
    *wanted = false;
    int there = ring_genesis_read(o->disk, &genesis, why);
    if (o->super->replica != o->config->id || (there != 0 && there != -ENOENT))
        return STARTUP_OK; /* the start says what is wrong */
    int rc = acceptor_read(o->disk, o->super, &record, &bad, why);
    if (there == 0) {
        bool fits = rc != 0 || record.paxos.lock == 0 ||
                    (record.paxos.decided != 0 &&
                     memcmp(&record.paxos.value, &genesis, sizeof(genesis)) == 0);
        if (!fits)
            snprintf(problem, FOUNDING_PROBLEM_SIZE,
                     "this founder has locked a founder list, and another genesis record was "
                     "installed beside it: it may be counted in two clusters: the start is "
                     "refused: format the ring anew");
        return fits ? STARTUP_OK : STARTUP_REFUSED;
    }
    if (rc < 0) {
        snprintf(problem, FOUNDING_PROBLEM_SIZE, "[replica] data: %s", why);
        return rc == -EPROTONOSUPPORT ? STARTUP_REFUSED : STARTUP_FAILED;
    }
    /* A record that was decided and not installed yet needs no list any more. */
    *wanted = o->config->founders.count > 0 || record.paxos.decided != 0;
    if (!*wanted)
        text = record.paxos.lock != 0
                   ? "no genesis record is installed, and this founder has locked a founder list: "
                     "give that list again in [founders], or format the ring anew"
                   : "no genesis record is installed: install one with `keelctl genesis install`, "
                     "or give [founders] in the configuration, alike on every founder, and they "
                     "agree on one by themselves";
    else if (keyring_find(o->keys, o->config->id) == NULL)
        text = "the key file has no section for this replica: draw a key with `keelctl key new`";
    struct ring_super super;
    char used[SEED_PROBLEM_SIZE];
    if (text == NULL && record.paxos.decided == 0 && seed_ring_fresh(o->disk, &super, used) != 0) {
        snprintf(problem, FOUNDING_PROBLEM_SIZE,
                 "[replica] data: no genesis record, and the ring is in use: %.160s: the "
                 "start is refused, nothing was changed",
                 used);
        return STARTUP_REFUSED;
    }
    if (text == NULL)
        return STARTUP_OK;
    snprintf(problem, FOUNDING_PROBLEM_SIZE, "%s", text);
    return *wanted ? STARTUP_CONFIG : STARTUP_NO_GENESIS;
}

/* Without a sound paxos record there was no agreement, and nobody has heard of such a start. */
void founding_look_back(struct disk *disk, const struct config *config,
                        const struct ring_super *super, struct control_options *options)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct acceptor_record record;
    uint32_t bad;
    int rc = acceptor_read(disk, super, &record, &bad, why);
    options->founding = config->founders.count > 0 || (rc == 0 && record.paxos.lock != 0);
    options->founding_boot = rc == 0 ? record.boot : 0;
}

/* --- what founding asks for
 * ------------------------------------------------------------------------ */

static void random_bytes(void *context, void *bytes, size_t size)
{
    const struct founding_run *run = context;
    clock_secret(run->options.clock, bytes, size);
}

static void send_bytes(void *context, const struct handshake_address *to, const uint8_t *bytes,
                       size_t size)
{
    struct founding_run *run = context;
    struct frame_address address = {.ip = to->ip, .port = to->port};
    struct port_frame frame;
    if (!port_alloc(run->options.port, 0, &frame))
        return;
    memcpy(address.mac, to->mac, sizeof(address.mac));
    memcpy(frame.data + FRAME_HEADS_SIZE, bytes, size);
    uint64_t now_ms = clock_now_ns(run->options.clock) / 1000000;
    if (frame_finish(run->host, &frame, &address, run->options.config->udp_port, (uint32_t)size,
                     now_ms) == FRAME_OK)
        port_send(run->options.port, 0, &frame, 1);
    else
        port_free(run->options.port, &frame, 1);
}

static int write_record(void *context, const struct paxos_record *record,
                        const struct founding_boot seen[KEEL_REPLICA_MAX + 1])
{
    struct founding_run *run = context;
    run->record.paxos = *record;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        run->record.seen[id] = (struct acceptor_boot){.incarnation = seen[id].incarnation,
                                                      .boot = seen[id].boot,
                                                      .boot_id = seen[id].boot_id};
    run->write_result = acceptor_write(run->options.disk, &run->record, 0);
    return run->write_result;
}

/* --- what it shows
 * --------------------------------------------------------------------------------- */

static void say(struct founding_run *run, const struct founding_status *s)
{
    char why[FOUNDING_TEXT_MAX], remedy[FOUNDING_TEXT_MAX];
    if (s->writes != run->writes_logged)
        log_event(LOG_LEVEL_INFO, "genesis-wrote",
                  "replica=%u writes=%llu lock=%016llx promised=%llu accepted=%llu decided=%d",
                  run->options.config->id, (unsigned long long)s->writes,
                  (unsigned long long)s->lock, (unsigned long long)s->promised,
                  (unsigned long long)s->accepted, s->decided);
    run->writes_logged = s->writes;
    founding_why_text(s, why, remedy);
    if (strcmp(why, run->why) == 0)
        return;
    bool refused = strcmp(founding_phase(s), "refused") == 0;
    log_event(refused ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "genesis",
              "replica=%u phase=%s reason=%s founder=%u why=\"%s\" remedy=\"%s\"",
              run->options.config->id, founding_phase(s), founding_why_word(s->why), s->about, why,
              remedy);
    memcpy(run->why, why, sizeof(run->why));
    sd_notifyf(0, "STATUS=genesis: %s", why);
}

static void publish(struct founding_run *run, uint64_t now_ns)
{
    founding_status(run->founding, &run->status);
    say(run, &run->status);
    founding_shown_put(&run->shown, &run->status, now_ns);
}

/* --- opening
 * --------------------------------------------------------------------------------------- */

static bool fail(char *problem, const char *what, const char *why)
{
    snprintf(problem, FOUNDING_PROBLEM_SIZE, "%s: %s", what, why);
    return false;
}

/* The own start's number is durable before anything is said, so that an image of this drive that is
 * put back later shows itself (H2). */
static bool open_record(struct founding_run *run, char *problem)
{
    const struct founding_run_options *o = &run->options;
    char why[DISK_PROBLEM_SIZE] = "";
    uint32_t bad;
    int result = acceptor_read(o->disk, o->super, &run->record, &bad, why);
    if (result < 0)
        return fail(problem, "the genesis cannot begin", why);
    run->record.boot++;
    result = acceptor_write(o->disk, &run->record, bad);
    return result == 0 || fail(problem, "the paxos record cannot be written", strerror(-result));
}

static bool open_host(struct founding_run *run, char *problem)
{
    const struct config *c = run->options.config;
    struct port_facts facts;
    port_facts(run->options.port, &facts);
    struct frame_options frame = {.ip = c->ip,
                                  .prefix = c->prefix,
                                  .gateway = c->gateway,
                                  .ports = {c->udp_port},
                                  .tx_checksum = facts.tx_checksum};
    memcpy(frame.mac, facts.mac, sizeof(frame.mac));
    void *memory = aligned_alloc(MEMORY_ALIGN, (frame_host_size() + MEMORY_ALIGN - 1) &
                                                   ~(size_t)(MEMORY_ALIGN - 1));
    if (memory == NULL)
        return fail(problem, "the genesis cannot begin", "out of memory");
    run->host = frame_host_init(memory, &frame);
    return true;
}

/* A list that does not fit what was locked is no reason to stop: others learn of it. */
static bool open_founding(struct founding_run *run, char *problem)
{
    const struct founding_run_options *o = &run->options;
    struct founding_options options = {.id = (uint8_t)o->config->id,
                                       .incarnation = o->super->incarnation,
                                       .boot = run->record.boot,
                                       .keys = o->keys,
                                       .record = run->record.paxos,
                                       .random = random_bytes,
                                       .send = send_bytes,
                                       .write = write_record,
                                       .context = run};
    clock_secret(o->clock, &options.boot_id, sizeof(options.boot_id));
    config_founders_genesis(o->config, &options.proposal);
    struct genesis *proposal = &options.proposal;
    while (proposal->magic != 0 && proposal->cluster_id == 0) /* bound: chance */
        clock_secret(o->clock, &proposal->cluster_id, sizeof(proposal->cluster_id));
    if (proposal->magic != 0)
        proposal->crc = crc32c(proposal, offsetof(struct genesis, crc));
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        options.seen[id] = (struct founding_boot){.incarnation = run->record.seen[id].incarnation,
                                                  .boot = run->record.seen[id].boot,
                                                  .boot_id = run->record.seen[id].boot_id};
    void *memory = aligned_alloc(MEMORY_ALIGN, founding_size());
    if (memory == NULL)
        return fail(problem, "the genesis cannot begin", "out of memory");
    run->founding = founding_init(memory, &options, clock_now_ns(o->clock));
    if (run->founding != NULL)
        return true;
    free(memory);
    return fail(problem, "the genesis cannot begin", "this processor lacks AES-GCM instructions");
}

struct founding_run *founding_run_open(const struct founding_run_options *options, char *problem)
{
    struct founding_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        fail(problem, "the genesis cannot begin", "out of memory");
        return NULL;
    }
    run->options = *options;
    pthread_mutex_init(&run->shown.lock, NULL);
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) > 0)
        run->watchdog_ms = usec / 3000; /* three chances a period */
    if (open_record(run, problem) && open_host(run, problem) && open_founding(run, problem)) {
        publish(run, clock_now_ns(options->clock));
        return run;
    }
    founding_run_close(run);
    return NULL;
}

void founding_run_close(struct founding_run *run)
{
    if (run == NULL)
        return;
    if (run->founding != NULL)
        founding_stop(run->founding);
    free(run->founding);
    free(run->host);
    pthread_mutex_destroy(&run->shown.lock);
    free(run);
}

/* --- turns
 * ----------------------------------------------------------------------------------------- */

static uint32_t receive(struct founding_run *run, uint64_t now_ns)
{
    struct port_frame frames[PORT_BURST_MAX];
    struct port *port = run->options.port;
    uint32_t count = port_receive(port, 0, frames, PORT_BURST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct frame_datagram dg;
        bool reply = false;
        if (frame_receive(run->host, &frames[i], now_ns / 1000000, &dg, &reply) == FRAME_OK) {
            struct handshake_address from = {.ip = dg.from.ip, .port = dg.from.port};
            memcpy(from.mac, dg.from.mac, sizeof(from.mac));
            founding_datagram(run->founding, &from, dg.payload, dg.size, now_ns);
        }
        if (reply)
            port_send(port, 0, &frames[i], 1);
        else
            port_free(port, &frames[i], 1);
    }
    return count;
}

static void ask_neighbours(struct founding_run *run, uint64_t now_ms)
{
    struct port_frame frame;
    for (uint32_t i = 0; i < ARP_MAX; i++) {
        if (!frame_arp_pending(run->host, now_ms) || !port_alloc(run->options.port, 0, &frame))
            return;
        if (!frame_arp_due(run->host, &frame, now_ms)) {
            port_free(run->options.port, &frame, 1);
            return;
        }
        port_send(run->options.port, 0, &frame, 1);
    }
}

struct founding_shown *founding_run_shown(struct founding_run *run)
{
    return &run->shown;
}

static void feed_dog(struct founding_run *run, uint64_t now_ms)
{
    if (run->watchdog_ms == 0 || now_ms - run->fed_ms < run->watchdog_ms)
        return;
    run->fed_ms = now_ms;
    sd_notify(0, "WATCHDOG=1");
}

static enum founding_end install(struct founding_run *run, char *problem)
{
    char why[DISK_PROBLEM_SIZE] = "";
    const struct genesis *genesis = &run->status.genesis;
    int result = ring_genesis_install(run->options.disk, genesis, false, why);
    if (result < 0) {
        fail(problem, "the genesis record is decided and cannot be installed",
             why[0] != '\0' ? why : strerror(-result));
        return FOUNDING_FAILED;
    }
    log_event(LOG_LEVEL_NOTICE, "genesis-installed", "replica=%u cluster=%016llx founders=%d",
              run->options.config->id, (unsigned long long)genesis->cluster_id,
              __builtin_popcount(genesis_voters(genesis)));
    return FOUNDING_INSTALLED;
}

enum founding_end founding_run(struct founding_run *run, const sigset_t *wanted, char *problem)
{
    uint64_t discipline_ms = 0;
    for (;;) { /* until a signal or a genesis record; the supervisor's bound is its watchdog */
        uint64_t now_ns = clock_now_ns(run->options.clock), now_ms = now_ns / 1000000;
        if (now_ms >= discipline_ms) {
            clock_discipline(run->options.clock);
            discipline_ms = now_ms + DISCIPLINE_MS;
        }
        uint32_t work = receive(run, now_ns);
        founding_turn(run->founding, now_ns);
        ask_neighbours(run, now_ms);
        publish(run, now_ns);
        if (run->status.decided)
            return install(run, problem);
        if (run->status.why == PAXOS_WHY_FAILED) {
            fail(problem, "what this founder promised could not be written",
                 strerror(-run->write_result));
            return FOUNDING_FAILED;
        }
        feed_dog(run, now_ms);
        const struct timespec nap = {0, work > 0 ? 0 : FOUNDING_NAP_US * 1000};
        int number = sigtimedwait(wanted, NULL, &nap);
        if (number == SIGTERM || number == SIGINT || number == SIGHUP)
            return number == SIGHUP ? FOUNDING_AGAIN : FOUNDING_SIGNAL;
    }
}
