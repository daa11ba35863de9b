/* keel-contender: one process that contends for locks, acts under them, and writes down what it
 * believed.
 *
 *   keel-contender MEMBERS KEY SESSION LOG SEED TTL_MS
 *
 * Opens /contended-0 and /contended-1 under a new session and goes on until SIGTERM: acquires (one
 * time in four shared), waits in the queue, holds for a while, releases. While it holds a lock and
 * its lease is safe it submits messages under the lock's sequencer; with the sequencer of an
 * exclusive lock that it has given up or lost it submits some too, which must be refused.
 *
 * LOG is appended to, a gateway's log as the judge reads it (tests/judge/judge.h). In its comments
 * stands what this process believed, in nanoseconds of CLOCK_BOOTTIME, which is true time to all
 * processes of one machine; each is written before the process acts on it:
 *
 *   # hold LOCK MODE GENERATION FROM UNTIL   it believes in that lock as long as its lease lasts
 *   # over LOCK GENERATION AT                it believes no more
 *   # shows NUMBER LOCK GENERATION late|now  a message under that sequencer
 *   # failed WHY                             the session is lost; the process ends with exit 3
 */
#include "client/keel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOCKS = 2, WAIT_MS = 3, GRACE_MS = 6000, OPEN_WAIT_MS = 20000, END_MS = 5000 };
#define MS UINT64_C(1000000)

enum state { CLOSED, OPENING, IDLE, ACQUIRING, WAITING, HELD, RELEASING };

struct lock {
    enum state state;
    uint64_t node, number; /* number: of the operation that is awaited */
    struct keel_sequencer shown, old;
    enum keel_lock_mode mode;
    uint64_t next_ns;  /* IDLE: acquires then; HELD: releases then */
    uint64_t until_ns; /* HELD: as far as its belief is written down */
};

struct contender {
    struct keel *keel;
    FILE *log;
    uint64_t session, random, counter, act_ns;
    struct lock lock[LOCKS];
};

static volatile sig_atomic_t wants_end;

static void on_signal(int number)
{
    (void)number;
    wants_end = 1;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t below(struct contender *c, uint64_t bound)
{
    c->random ^= c->random << 13; /* xorshift64 */
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random % bound;
}

/* --- what it believes
 * ------------------------------------------------------------------------------ */

/* The instant is read before the lease: a pause in between makes the belief shorter, never longer.
 */
static bool believes(struct contender *c, uint32_t i)
{
    struct lock *lock = &c->lock[i];
    uint64_t left_ns, now = now_ns();
    if (lock->state != HELD || keel_lease(c->keel, &left_ns) != KEEL_LEASE_SAFE)
        return false;
    if (now + left_ns <= lock->until_ns)
        return true;
    lock->until_ns = now + left_ns;
    fprintf(c->log, "# hold %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", i, (unsigned)lock->mode,
            lock->shown.generation, now, lock->until_ns);
    return true;
}

static void believes_no_more(struct contender *c, uint32_t i)
{
    struct lock *lock = &c->lock[i];
    fprintf(c->log, "# over %u %" PRIu64 " %" PRIu64 "\n", i, lock->shown.generation, now_ns());
    lock->old = lock->shown;
}

static void rest(struct contender *c, struct lock *lock)
{
    lock->state = IDLE;
    lock->next_ns = now_ns() + below(c, 150) * MS;
}

static void got(struct contender *c, struct lock *lock, uint64_t generation)
{
    lock->state = HELD;
    lock->until_ns = 0;
    lock->next_ns = now_ns() + (20 + below(c, 600)) * MS;
    lock->shown =
        (struct keel_sequencer){.node = lock->node, .generation = generation, .mode = lock->mode};
}

/* --- what it does
 * ---------------------------------------------------------------------------------- */

static void open_lock(struct contender *c, uint32_t i)
{
    char path[32];
    snprintf(path, sizeof(path), "/contended-%u", i);
    if (keel_node_open(c->keel, path, KEEL_CREATE, 0, "", 0, &c->lock[i].number) == KEEL_OK)
        c->lock[i].state = OPENING;
}

static void acquire(struct contender *c, struct lock *lock)
{
    lock->mode = below(c, 4) == 0 ? KEEL_SHARED : KEEL_EXCLUSIVE;
    const struct keel_lock_options options = {.mode = lock->mode,
                                              .only_now = below(c, 4) == 0,
                                              .wait_ms = below(c, 2) == 0 ? 0 : 2000,
                                              .delay_ms = below(c, 3) == 0 ? 300 : 0};
    if (keel_acquire(c->keel, lock->node, &options, &lock->number) == KEEL_OK)
        lock->state = ACQUIRING;
}

/* The log's line stands before the message leaves: that is at the next poll. */
static void act(struct contender *c, uint32_t i, const struct keel_sequencer *shown, bool late)
{
    char payload[96];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint64_t number;
    int size =
        snprintf(payload, sizeof(payload), "%" PRIu64 " acts under %u at %" PRIu64 ": %" PRIu64,
                 c->session, i, shown->generation, ++c->counter);
    if (keel_submit_fenced(c->keel, payload, (size_t)size, shown, &number) != KEEL_OK)
        return;
    SHA256((const uint8_t *)payload, (size_t)size, hash);
    fprintf(c->log, "# shows %" PRIu64 " %u %" PRIu64 " %s\n", number, i, shown->generation,
            late ? "late" : "now");
    fprintf(c->log, "submit %" PRIu64 " %" PRIu64 " %d ", c->session, number, size);
    for (int k = 0; k < 8; k++)
        fprintf(c->log, "%02x", hash[k]);
    fputc('\n', c->log);
}

static void go_on(struct contender *c, uint32_t i, bool acts)
{
    struct lock *lock = &c->lock[i];
    uint64_t now = now_ns();
    if (lock->state == CLOSED) {
        open_lock(c, i);
    } else if (lock->state == IDLE) {
        /* Others may hold a shared one still, at the same generation: it proves as much as before.
         */
        if (acts && lock->old.mode == KEEL_EXCLUSIVE && below(c, 8) == 0)
            act(c, i, &lock->old, true);
        if (now >= lock->next_ns)
            acquire(c, lock);
    } else if (lock->state == HELD && now >= lock->next_ns) {
        believes_no_more(c, i);
        lock->state = RELEASING;
        if (keel_release(c->keel, lock->node, &lock->number) != KEEL_OK)
            lock->state = HELD; /* the window is full: said too early, which harms nobody */
    } else if (believes(c, i) && acts) {
        act(c, i, &lock->shown, false);
    }
}

/* --- what it hears
 * --------------------------------------------------------------------------------- */

static void take_result(struct contender *c, const struct keel_result *r)
{
    fprintf(c->log, "ack %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %s\n", c->session,
            r->number, keel_status_name((int)r->status), r->feed, r->utc_ns,
            r->day[0] != '\0' ? r->day : "-");
    for (uint32_t i = 0; i < LOCKS; i++) {
        struct lock *lock = &c->lock[i];
        if (lock->number != r->number)
            continue;
        lock->number = 0;
        if (lock->state == OPENING && r->status == KEEL_DONE) {
            lock->node = r->feed;
            rest(c, lock);
        } else if (lock->state == ACQUIRING && r->status == KEEL_DONE) {
            got(c, lock, r->feed);
        } else if (lock->state == ACQUIRING && r->status == KEEL_QUEUED) {
            lock->state = WAITING;
        } else {
            rest(c, lock);
        }
    }
}

static void take_event(struct contender *c, const struct keel_event *event)
{
    for (uint32_t i = 0; i < LOCKS; i++) {
        struct lock *lock = &c->lock[i];
        if (lock->node != event->node || event->node == 0)
            continue;
        if (event->kind == KEEL_EVENT_GRANTED && lock->state == WAITING) {
            got(c, lock, event->value);
        } else if (event->kind == KEEL_EVENT_ENDED && lock->state == WAITING) {
            rest(c, lock);
        } else if (event->kind == KEEL_EVENT_ENDED && lock->state == HELD) {
            believes_no_more(c, i);
            rest(c, lock);
        }
    }
}

static bool turn(struct contender *c)
{
    struct keel_result result;
    struct keel_event event;
    fflush(c->log);
    int rc = keel_poll(c->keel, WAIT_MS * (int64_t)MS);
    while (keel_next_result(c->keel, &result)) /* bound: a window */
        take_result(c, &result);
    while (keel_next_event(c->keel, &event)) /* bound: what has come */
        take_event(c, &event);
    if (rc < 0) {
        fprintf(c->log, "# failed %s\n", keel_problem(c->keel));
        return false;
    }
    bool acts = now_ns() >= c->act_ns;
    if (acts)
        c->act_ns = now_ns() + (2 + below(c, 20)) * MS;
    for (uint32_t i = 0; i < LOCKS; i++)
        go_on(c, i, acts);
    return true;
}

/* --- beginning and end
 * ----------------------------------------------------------------------------- */

/* A line that a kill cut off is taken off: what it was about was not sent. */
static FILE *open_log(const char *path)
{
    FILE *log = fopen(path, "a+");
    if (log == NULL)
        return NULL;
    fseek(log, 0, SEEK_END);
    long size = ftell(log);
    int byte = '\n';
    while (size > 0) { /* bound: the file */
        fseek(log, size - 1, SEEK_SET);
        byte = fgetc(log);
        if (byte == '\n')
            break;
        size--;
    }
    return ftruncate(fileno(log), size) == 0 ? log : NULL;
}

static bool begin(struct contender *c, char **argv)
{
    char problem[KEEL_PROBLEM_SIZE];
    struct keel_info info;
    struct timespec utc;
    const struct keel_options options = {.members = argv[1],
                                         .key_file = argv[2],
                                         .session = argv[3],
                                         .ttl_ms = (uint32_t)atoi(argv[6]),
                                         .grace_ms = GRACE_MS,
                                         .open_wait_ms = OPEN_WAIT_MS,
                                         .leases = true};
    c->random = strtoull(argv[5], NULL, 10) * 2654435761u + 1;
    c->log = open_log(argv[4]);
    if (c->log == NULL) {
        fprintf(stderr, "keel-contender: %s: %s\n", argv[4], strerror(errno));
        return false;
    }
    if (keel_open(&c->keel, &options, problem) != KEEL_OK) {
        fprintf(c->log, "# failed %s\n", problem);
        return false;
    }
    keel_info(c->keel, &info);
    clock_gettime(CLOCK_REALTIME, &utc);
    c->session = info.session;
    fprintf(c->log, "session %lld%09ld %s %" PRIu64 " %" PRIu64 " %u\n", (long long)utc.tv_sec,
            utc.tv_nsec, argv[3], info.session, info.epoch, info.principal);
    return true;
}

int main(int argc, char **argv)
{
    struct contender c = {0};
    if (argc != 7) {
        fputs("usage: keel-contender MEMBERS KEY SESSION LOG SEED TTL_MS\n", stderr);
        return 2;
    }
    const struct sigaction act_end = {.sa_handler = on_signal};
    sigaction(SIGTERM, &act_end, NULL);
    bool good = begin(&c, argv);
    while (good && wants_end == 0)
        good = turn(&c);
    for (uint32_t i = 0; good && i < LOCKS; i++)
        if (c.lock[i].state == HELD)
            believes_no_more(&c, i);
    if (c.log != NULL)
        fflush(c.log);
    struct keel_result result;
    bool ended = good && keel_end(c.keel, END_MS * (int64_t)MS) == KEEL_OK;
    while (good && keel_next_result(c.keel, &result))
        take_result(&c, &result);
    struct keel_info info = {0};
    if (ended) {
        keel_info(c.keel, &info);
        fprintf(c.log, "end %" PRIu64 " %" PRIu64 "\n", c.session, info.submitted);
    }
    if (c.log != NULL)
        fclose(c.log);
    return good ? 0 : 3;
}
