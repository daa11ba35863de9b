#include "control/daemon.h"

#include "control/admin.h"
#include "control/blackbox.h"
#include "control/exclusive.h"
#include "control/log.h"
#include "control/need.h"
#include "control/watch.h"
#include "dataplane/port_dpdk.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

enum { DISCIPLINE_NS = 1000000000, READER_DEPTH = 2 * RING_READS_MAX + 2, CONTROL_DEPTH = 4 };
_Static_assert((int)READER_DEPTH <= (int)DISK_DEPTH_MAX, "the reader's depth");

struct daemon {
    const struct config *config;
    struct node node;
    struct journal journal;
    struct keyring *keys; /* until reload has them */
    bool ordinary_pages;  /* whatever the configuration says */
    const char *config_path;
    struct need need;
    struct clock *clock;
    struct eal_memory ring_memory;
    struct disk *writer, *reader, *control_disk;
    bool eal_up;
    struct admin *admin;
    pthread_t loop_thread[NODE_THREADS_MAX], control_thread, admin_thread, reload_thread;
    uint32_t loops_running;
    bool control_running, admin_running, reload_running;
    uint32_t stop; /* control and admin threads */
    char problem[STARTUP_PROBLEM_SIZE + CONFIG_PROBLEM_SIZE];
};

static __attribute__((format(printf, 3, 4))) int fail(struct daemon *d, int result,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(d->problem, sizeof(d->problem), format, args);
    va_end(args);
    return result;
}

static void say(void *context, const char *line)
{
    log_event(LOG_LEVEL_NOTICE, context, "text=\"%s\"", line);
}

/* --- opening
 * --------------------------------------------------------------------------------------- */

static int read_keys(struct daemon *d)
{
    char why[256] = "";
    d->keys = calloc(1, sizeof(*d->keys));
    if (d->keys == NULL)
        return fail(d, STARTUP_FAILED, "out of memory");
    int rc = keyring_read(d->keys, d->config->keys, why);
    if (rc != 0)
        return fail(d, STARTUP_CONFIG, "[keys] file: %s", why[0] != '\0' ? why : strerror(-rc));
    return STARTUP_OK;
}

/* The superblock says how large the window's tables are; the writer wants their memory when it
 * opens. */
static int read_super(struct daemon *d, struct ring_super *super)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct disk *look;
    struct disk_options options = {.path = d->config->data, .read_only = true, .depth = 1};
    int rc = disk_open(&look, &options, why);
    if (rc != 0)
        return fail(d, rc == -ENOENT ? STARTUP_NO_RING : STARTUP_FAILED, "[replica] data: %s%s",
                    why[0] != '\0' ? why : strerror(-rc),
                    rc == -ENOENT ? ": make a ring with `keeld format`" : "");
    rc = ring_super_read(look, super, why);
    disk_close(look);
    if (rc == -EPROTONOSUPPORT)
        return fail(d, STARTUP_REFUSED, "[replica] data %s: nothing was changed: %s",
                    d->config->data, why);
    if (rc != 0)
        return fail(d, rc == -ENOENT ? STARTUP_NO_RING : STARTUP_FAILED, "[replica] data %s: %s%s",
                    d->config->data, why[0] != '\0' ? why : strerror(-rc),
                    rc == -ENOENT ? ": make a ring with `keeld format`" : "");
    return STARTUP_OK;
}

static int open_disks(struct daemon *d)
{
    struct ring_super super;
    char why[DISK_PROBLEM_SIZE] = "";
    int result = read_super(d, &super);
    if (result != STARTUP_OK)
        return result;
    need_of(d->config, &super, &d->need);
    if (eal_memory_take(&d->ring_memory, d->need.window_bytes, 2u << 20) != 0)
        return fail(d, STARTUP_FAILED, "the ring's window needs %zu MiB: lower [ring] window_mib",
                    d->need.window_bytes >> 20);
    struct disk_options options = {.path = d->config->data,
                                   .exclusive = true,
                                   .depth = RING_FLIGHT_PAGES_MAX,
                                   .registered = d->ring_memory.base,
                                   .registered_size = d->ring_memory.size};
    int rc = exclusive_open(&d->writer, &options, why);
    if (rc == -EWOULDBLOCK)
        return fail(d, STARTUP_REFUSED, "another process runs on %s: stop it first",
                    d->config->data);
    options = (struct disk_options){
        .path = d->config->data, .same_file = d->writer, .depth = READER_DEPTH};
    if (rc == 0)
        rc = disk_open(&d->reader, &options, why);
    options.depth = CONTROL_DEPTH;
    if (rc == 0)
        rc = disk_open(&d->control_disk, &options, why);
    if (rc != 0)
        return fail(d, STARTUP_FAILED, "[replica] data: %s", why[0] != '\0' ? why : strerror(-rc));
    disk_facts(d->writer, &d->node.disk_facts);
    d->node.ring_huge = d->ring_memory.huge;
    d->node.ring_locked = d->ring_memory.locked;
    return STARTUP_OK;
}

/* Enough hugepages were free when they were counted, and EAL could not have them: others took them
 * in between, or a control group's limit stands in the way, which the count does not know. */
static bool pages_gone(const struct daemon *d, enum eal_pages pages, int error)
{
    return pages == EAL_PAGES_AUTO && d->node.eal.huge && error == -ENOMEM;
}

static int open_port(struct daemon *d)
{
    const struct config *c = d->config;
    char why[320] = "";
    const char *device = c->device;
    struct port_dpdk_options options = {
        .link_wait_ms = DAEMON_LINK_WAIT_MS, .say = say, .say_context = "port"};
    need_port(c, &options);
    char prefix[40];
    snprintf(prefix, sizeof(prefix), "keel%u-%d", c->id, (int)getpid());
    struct eal_options eal = {.cores = &c->core[CORE_CONTROL],
                              .core_count = c->core[CORE_CONTROL] >= 0 ? 1 : 0,
                              .memory_mb = d->need.dpdk_mb,
                              .pages = d->ordinary_pages ? EAL_PAGES_ORDINARY : c->pages,
                              .prefix = prefix,
                              .devices = &device,
                              .device_count = 1,
                              .extra = c->eal_extra[0] != '\0' ? c->eal_extra : NULL,
                              .say = say,
                              .say_context = "eal"};
    int error = eal_init(&eal, &d->node.eal, why, sizeof(why));
    if (error != 0)
        return fail(d, pages_gone(d, eal.pages, error) ? DAEMON_PAGES_GONE : STARTUP_FAILED, "%s",
                    why);
    d->eal_up = true;
    log_event(LOG_LEVEL_INFO, "eal", "line=\"%s\" hugepages=%s memory_mb=%u", d->node.eal.line,
              d->node.eal.huge ? "yes" : "no", d->node.eal.memory_mb);
    if (port_open_dpdk(&d->node.port, &options, why, sizeof(why)) != 0)
        return fail(d, STARTUP_FAILED, "[network] port: %s", why);
    port_facts(d->node.port, &d->node.port_facts);
    return STARTUP_OK;
}

/* --- assembling
 * ------------------------------------------------------------------------------------ */

static int wait_boot(struct daemon *d)
{
    enum startup_result result = STARTUP_OK;
    for (uint32_t i = 0; i < DAEMON_BOOT_WAIT_MS * 10; i++) {
        if (startup_ready(&d->node.start, &result))
            return STARTUP_OK;
        if (result != STARTUP_OK)
            return fail(d, result, "the boot page could not be written: look at the drive");
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return fail(d, STARTUP_FAILED,
                "the boot page did not become durable within %d ms: look at the "
                "drive",
                DAEMON_BOOT_WAIT_MS);
}

/* Takes the keys over. */
static int open_reload(struct daemon *d)
{
    struct reload_options options = {.config = d->config,
                                     .path = d->config_path,
                                     .feed = d->node.start.replica->feed,
                                     .control = d->node.start.control,
                                     .keys = d->keys};
    if (reload_open(&d->node.reload, &options) != 0)
        return fail(d, STARTUP_FAILED, "out of memory");
    d->keys = NULL;
    return STARTUP_OK;
}

static int assemble(struct daemon *d)
{
    struct startup_options options;
    memset(&options, 0, sizeof(options));
    config_startup(d->config, &options);
    options.writer = d->writer;
    options.reader = d->reader;
    options.control_disk = d->control_disk;
    options.ring_memory = d->ring_memory.base;
    options.port = d->node.port;
    options.clock = d->clock;
    options.keys = d->keys;
    options.feed.queue = need_feed_queue(d->config);
    struct startup *s = &d->node.start;
    int result = (int)startup_begin(s, &options, d->problem);
    if (result != STARTUP_OK)
        return result;
    const char *limit = config_limit_problem(d->config, &s->genesis);
    if (limit != NULL)
        return fail(d, STARTUP_CONFIG,
                    "[limits] %s differs from the genesis record (`keelctl genesis "
                    "show`): correct the configuration",
                    limit);
    log_event(LOG_LEVEL_INFO, "recovered",
              "replica=%u boot=%llu term=%llu vote=%u first_index=%llu last_index=%llu commit=%llu "
              "checkpoint=%llu replayed=%llu pages=%llu torn_pages=%llu zeroed_slots=%llu",
              d->config->id, (unsigned long long)s->boot, (unsigned long long)s->term, s->vote,
              (unsigned long long)s->first_index, (unsigned long long)s->last_index,
              (unsigned long long)s->commit, (unsigned long long)s->checkpoint_index,
              (unsigned long long)s->replayed, (unsigned long long)s->pages,
              (unsigned long long)s->torn_pages, (unsigned long long)s->zeroed_slots);
    if (s->lost_pages > 0 || s->repaired_blocks > 0 || s->found.bad_checkpoints > 0)
        log_event(LOG_LEVEL_WARNING, "damaged",
                  "lost_pages=%llu repaired_blocks=%llu bad_checkpoints=%u: %s%s",
                  (unsigned long long)s->lost_pages, (unsigned long long)s->repaired_blocks,
                  s->found.bad_checkpoints, s->found.why,
                  s->lost_pages > 0 ? ": repaired while this replica runs" : "");
    result = wait_boot(d);
    if (result == STARTUP_OK)
        result = open_reload(d);
    if (result == STARTUP_OK && admin_open(&d->admin, &d->node, d->problem) != 0)
        result = STARTUP_FAILED;
    if (result == STARTUP_OK)
        d->node.admin_counts = admin_counts(d->admin);
    return result;
}

/* --- threads
 * --------------------------------------------------------------------------------------- */

static void *loop_main(void *context)
{
    eal_thread_register();
    loop_run(context);
    eal_thread_unregister();
    return NULL;
}

static void *control_main(void *context)
{
    struct daemon *d = context;
    uint64_t discipline_at_ns = 0;
    while (
        !__atomic_load_n(&d->stop, __ATOMIC_RELAXED)) { /* relaxed: only that it was set matters */
        uint64_t now_ns = clock_now_ns(d->clock);
        uint32_t work = control_turn(d->node.start.control, now_ns);
        metric_add(&d->node.control_turns, 1);
        if (now_ns >= discipline_at_ns) {
            clock_discipline(d->clock);
            discipline_at_ns = now_ns + DISCIPLINE_NS;
        }
        if (work == 0)
            nanosleep(&(struct timespec){0, DAEMON_CONTROL_NAP_US * 1000l}, NULL);
    }
    return NULL;
}

static void *admin_main(void *context)
{
    struct daemon *d = context;
    admin_run(d->admin, &d->stop);
    return NULL;
}

static void *reload_main(void *context)
{
    reload_run(context);
    return NULL;
}

/* core -1: wherever the daemon may run. */
static int spawn(pthread_t *thread, const char *name, int core, void *(*run)(void *), void *context)
{
    int rc = pthread_create(thread, NULL, run, context);
    if (rc != 0)
        return -rc;
    pthread_setname_np(*thread, name);
    if (core < 0)
        return 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    rc = pthread_setaffinity_np(*thread, sizeof(set), &set);
    if (rc != 0)
        log_event(LOG_LEVEL_WARNING, "core", "thread=%s core=%d why=\"%s\"", name, core,
                  strerror(rc));
    return 0;
}

static const char *thread_name(uint32_t roles)
{
    return roles & ROLE_SEQ    ? "keel-seq"
           : roles & ROLE_DISK ? "keel-disk"
           : roles & ROLE_FEED ? "keel-feed"
                               : "keel-aux";
}

static int start_threads(struct daemon *d)
{
    struct node *n = &d->node;
    int rc = 0;
    for (uint32_t i = 0; i < n->thread_count; i++)
        n->loop[i] = (struct loop){.replica = n->start.replica,
                                   .roles = n->thread[i].roles,
                                   .idle = d->config->idle,
                                   .sleep_ns = d->config->sleep_us * 1000};
    for (uint32_t i = 0; i < n->thread_count && rc == 0; i++) {
        rc = spawn(&d->loop_thread[i], thread_name(n->thread[i].roles), n->thread[i].core,
                   loop_main, &n->loop[i]);
        d->loops_running += rc == 0;
    }
    if (rc == 0) {
        rc = spawn(&d->control_thread, "keel-control", d->config->core[CORE_CONTROL], control_main,
                   d);
        d->control_running = rc == 0;
    }
    if (rc == 0) {
        rc = spawn(&d->reload_thread, "keel-reload", d->config->core[CORE_CONTROL], reload_main,
                   n->reload);
        d->reload_running = rc == 0;
    }
    if (rc == 0) {
        rc = spawn(&d->admin_thread, "keel-admin", d->config->core[CORE_CONTROL], admin_main, d);
        d->admin_running = rc == 0;
    }
    return rc == 0 ? STARTUP_OK
                   : fail(d, STARTUP_FAILED, "a thread could not be started: %s", strerror(-rc));
}

static void stop_threads(struct daemon *d)
{
    __atomic_store_n(&d->stop, 1, __ATOMIC_RELAXED);
    if (d->admin_running)
        pthread_join(d->admin_thread, NULL);
    if (d->control_running)
        pthread_join(d->control_thread, NULL);
    for (uint32_t i = 0; i < d->loops_running; i++)
        __atomic_store_n(&d->node.loop[i].stop, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < d->loops_running; i++)
        pthread_join(d->loop_thread[i], NULL);
    if (d->reload_running) { /* last: it may wait for the loops */
        reload_stop(d->node.reload);
        pthread_join(d->reload_thread, NULL);
    }
}

/* --- the run
 * --------------------------------------------------------------------------------------- */

static void close_all(struct daemon *d)
{
    blackbox_close();
    admin_close(d->admin);
    if (d->node.start.ring != NULL)
        ring_stop(d->node.start.ring);
    if (d->node.start.replica != NULL)
        startup_close(&d->node.start);
    if (d->node.port != NULL)
        port_close(d->node.port);
    disk_close(d->control_disk);
    disk_close(d->reader);
    disk_close(d->writer);
    if (d->ring_memory.base != NULL)
        eal_memory_return(&d->ring_memory);
    if (d->eal_up)
        eal_cleanup();
    if (d->clock != NULL)
        clock_close(d->clock);
    reload_close(d->node.reload);
    if (d->keys != NULL)
        keyring_wipe(d->keys);
    free(d->keys);
}

/* Once the ring is this process's: so is the file beside it. */
static void open_box(struct daemon *d)
{
    int rc = blackbox_open(&d->node);
    if (rc != 0)
        log_event(LOG_LEVEL_WARNING, "blackbox",
                  "why=\"%s\" text=\"a failed check would leave nothing behind: let [admin] "
                  "blackbox name a file that can be made\"",
                  strerror(-rc));
}

static int open_all(struct daemon *d)
{
    int result = read_keys(d);
    int rc = result == STARTUP_OK ? clock_open(&d->clock) : 0;
    if (rc != 0)
        return fail(d, STARTUP_FAILED, "no clock can be used: %s", strerror(-rc));
    if (result == STARTUP_OK)
        result = open_disks(d);
    if (result == STARTUP_OK)
        open_box(d);
    if (result == STARTUP_OK)
        result = open_port(d);
    if (result == STARTUP_OK)
        result = assemble(d);
    return result;
}

/* Signals reach the main thread only, and only when it asks; a write to a closed socket is an
 * error. */
static void take_signals(sigset_t *wanted)
{
    sigemptyset(wanted);
    sigaddset(wanted, SIGTERM);
    sigaddset(wanted, SIGINT);
    sigaddset(wanted, SIGHUP);
    pthread_sigmask(SIG_BLOCK, wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(struct daemon *d, const sigset_t *wanted)
{
    struct watch watch;
    bool hang_up = false; /* a SIGHUP is to be obeyed, as soon as no reload is under way */
    uint64_t ticket;
    watch_init(&watch, &d->node);
    sd_notify(0, "READY=1");
    for (;;) { /* until a signal; the supervisor's bound is its watchdog */
        struct timespec nap = {0, DAEMON_WATCH_MS * 1000000l};
        int number = sigtimedwait(wanted, NULL, &nap);
        hang_up = hang_up || number == SIGHUP;
        if (hang_up && reload_ask(d->node.reload, RELOAD_BY_SIGNAL, &ticket))
            hang_up = false;
        if (number == SIGTERM || number == SIGINT) {
            log_event(LOG_LEVEL_NOTICE, "stopping", "signal=%s",
                      number == SIGTERM ? "SIGTERM" : "SIGINT");
            break;
        }
        watch_look(&watch);
        if (watch.start_again) {
            sd_notify(0, "RELOADING=1");
            return DAEMON_START_AGAIN;
        }
    }
    sd_notify(0, "STOPPING=1");
    return STARTUP_OK;
}

int daemon_run(const struct config *config, const char *config_path, bool ordinary_pages)
{
    struct daemon *d = calloc(1, sizeof(*d));
    sigset_t wanted;
    if (d == NULL)
        return STARTUP_FAILED;
    d->config = config;
    d->config_path = config_path;
    d->ordinary_pages = ordinary_pages;
    d->node.config = config;
    d->node.thread_count = config_threads(config, d->node.thread);
    take_signals(&wanted);
    journal_init(&d->journal);
    d->node.journal = &d->journal;
    log_keep(&d->journal);
    log_event(LOG_LEVEL_INFO, "starting", "replica=%u version=%s config=\"%s\" data=\"%s\"",
              config->id, KEEL_VERSION, config_path, config->data);
    int result = open_all(d);
    if (result == STARTUP_OK)
        result = start_threads(d);
    if (result == STARTUP_OK)
        result = run(d, &wanted);
    else if (result == DAEMON_PAGES_GONE)
        log_event(
            LOG_LEVEL_WARNING, "pages-gone",
            "why=\"hugepages that count as free cannot be had (others took them, or a control "
            "group's limit): starting again on ordinary pages\"");
    else
        log_event(result == STARTUP_REFUSED ? LOG_LEVEL_CRITICAL : LOG_LEVEL_ERROR, "start-failed",
                  "exit=%d why=\"%s\"", result, d->problem);
    stop_threads(d);
    close_all(d);
    if (result == STARTUP_OK)
        log_event(LOG_LEVEL_INFO, "stopped", "replica=%u", config->id);
    log_keep(NULL);
    free(d);
    return result;
}
