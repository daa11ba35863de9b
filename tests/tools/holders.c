/* keel-holders: many sessions that hold locks, in one thread, on libkeel's public face.
 *
 *   keel-holders MEMBERS KEYS SESSIONS LOCKS SILENT TTL_MS
 *
 * KEYS is a file name with one %d for the principal, 100 and on. Each session opens LOCKS nodes
 * /h-S-L and holds their locks. SILENT further sessions hold one lock each, and as many wait for
 * those. Beside them a prober acquires and releases a lock of its own, again and again. Prints a
 * line when everybody holds or waits. SIGUSR1: those SILENT are never polled again. SIGUSR2:
 * everybody that holds shows each sequencer with a message, to prove that the locks are held.
 * SIGTERM: prints one JSON object and ends. Times are CLOCK_BOOTTIME.
 */
#include "client/keel.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SESSIONS_MAX = 400,
    LOCKS_MAX = 16,
    SILENT_MAX = 64,
    PRINCIPAL_FIRST = 100,
    GAPS_MAX = 64,
    MS = 1000000
};

enum role { HOLDS, FALLS_SILENT, WAITS, PROBES };
enum step { OPENING, ACQUIRING, READY };

struct lock {
    uint64_t node, generation;
    bool held;
};

struct session {
    struct keel *keel;
    enum role role;
    enum step step;
    uint32_t index, locks, at; /* at: the lock that is being opened or acquired */
    struct lock lock[LOCKS_MAX];
    uint32_t proven, refused;
    uint64_t granted_ns; /* WAITS: when the wait was over */
    bool failed;
    int error;
};

static struct session sessions[SESSIONS_MAX];
static uint32_t session_count, ready, jeopardies, safes, lost;
static uint64_t silent_ns, probe_ns, probe_longest_ns, probes;
static volatile sig_atomic_t wants_silence, wants_proof, wants_end;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_signal(int number)
{
    if (number == SIGUSR1)
        wants_silence = 1;
    else if (number == SIGUSR2)
        wants_proof = 1;
    else
        wants_end = 1;
}

/* Who waits opens the lock of the silent session of its number. */
static void path_of(const struct session *s, uint32_t lock, char path[64])
{
    if (s->role == HOLDS)
        snprintf(path, 64, "/h-%u-%u", s->index, lock);
    else if (s->role == PROBES)
        snprintf(path, 64, "/probe");
    else
        snprintf(path, 64, "/silent-%u", s->index);
}

static void open_next(struct session *s)
{
    char path[64];
    path_of(s, s->at, path);
    s->step = OPENING;
    keel_node_open(s->keel, path, KEEL_CREATE, 0, "", 0, NULL);
}

static void acquire(struct session *s)
{
    const struct keel_lock_options options = {.mode = KEEL_EXCLUSIVE};
    s->step = ACQUIRING;
    keel_acquire(s->keel, s->lock[s->at].node, &options, NULL);
}

static void held(struct session *s, uint64_t generation)
{
    s->lock[s->at].held = true;
    s->lock[s->at].generation = generation;
    if (++s->at < s->locks) {
        open_next(s);
        return;
    }
    s->step = READY;
    ready++;
}

/* Time between grants; the longest tells what a fail-over costs. */
static void probed(struct session *s, bool granted)
{
    uint64_t now = now_ns();
    if (granted) {
        if (probe_ns != 0 && now - probe_ns > probe_longest_ns)
            probe_longest_ns = now - probe_ns;
        probe_ns = now;
        probes++;
        keel_release(s->keel, s->lock[0].node, NULL);
    } else {
        acquire(s);
    }
}

static void on_result(void *context, const struct keel_result *r)
{
    struct session *s = context;
    bool done = r->status == KEEL_DONE;
    if (r->status == KEEL_SEQUENCED) {
        s->proven++;
    } else if (r->status == KEEL_STALE_SEQUENCER) {
        s->refused++;
    } else if (s->step == OPENING && done) {
        s->lock[s->at].node = r->feed;
        acquire(s);
    } else if (s->role == PROBES && done) {
        if (s->step == ACQUIRING && s->lock[0].generation == 0)
            ready++;
        s->lock[0].generation = r->feed;
        s->step = s->step == ACQUIRING ? READY : ACQUIRING;
        probed(s, s->step == READY);
    } else if (s->step == ACQUIRING && done) {
        held(s, r->feed);
    } else if (s->step == ACQUIRING && r->status == KEEL_QUEUED && s->role == WAITS) {
        s->step = READY;
        ready++;
    } else {
        fprintf(stderr, "session %u: %s\n", s->index, keel_status_name((int)r->status));
        s->failed = true;
    }
}

static void on_event(void *context, const struct keel_event *event)
{
    struct session *s = context;
    jeopardies += event->kind == KEEL_EVENT_JEOPARDY;
    safes += event->kind == KEEL_EVENT_SAFE;
    lost += event->kind == KEEL_EVENT_ENDED || event->kind == KEEL_EVENT_INVALID;
    if (event->kind == KEEL_EVENT_GRANTED && s->role == WAITS)
        s->granted_ns = now_ns();
}

static bool open_session(const char *members, const char *keys, enum role role, uint32_t index,
                         uint32_t locks, uint32_t ttl_ms)
{
    struct session *s = &sessions[session_count];
    char key[256], name[32], problem[KEEL_PROBLEM_SIZE];
    snprintf(key, sizeof(key), keys, PRINCIPAL_FIRST + (int)session_count);
    snprintf(name, sizeof(name), "s%u", session_count);
    *s = (struct session){.role = role, .index = index, .locks = locks};
    const struct keel_options options = {.members = members,
                                         .key_file = key,
                                         .session = name,
                                         .ttl_ms = ttl_ms,
                                         .open_wait_ms = 20000,
                                         .leases = true,
                                         .result = on_result,
                                         .event = on_event,
                                         .context = s};
    session_count++;
    int error = keel_open(&s->keel, &options, problem);
    if (error != KEEL_OK) {
        fprintf(stderr, "session %u: %s\n", session_count - 1, problem);
        return false;
    }
    open_next(s);
    return true;
}

static void poll_all(void)
{
    static struct pollfd fds[SESSIONS_MAX];
    int64_t wait_ns = 20 * MS;
    for (uint32_t i = 0; i < session_count; i++) {
        struct session *s = &sessions[i];
        bool deaf = s->failed || (silent_ns != 0 && s->role == FALLS_SILENT);
        int result = deaf ? 0 : keel_poll(s->keel, 0);
        if (result < 0) {
            s->failed = true;
            s->error = result;
            fprintf(stderr, "session %u: %s\n", i, keel_problem(s->keel));
        }
        fds[i] = (struct pollfd){.fd = deaf ? -1 : keel_fd(s->keel), .events = POLLIN};
        int64_t due_ns = deaf ? wait_ns : keel_wait_ns(s->keel);
        wait_ns = due_ns < wait_ns ? due_ns : wait_ns;
    }
    const struct timespec time = {.tv_nsec = wait_ns > 0 ? wait_ns : 0};
    ppoll(fds, session_count, &time, NULL);
}

static void prove(void)
{
    for (uint32_t i = 0; i < session_count; i++) {
        struct session *s = &sessions[i];
        for (uint32_t k = 0; s->role == HOLDS && k < s->locks; k++) {
            const struct keel_sequencer shown = {.node = s->lock[k].node,
                                                 .generation = s->lock[k].generation,
                                                 .mode = KEEL_EXCLUSIVE};
            keel_submit_fenced(s->keel, "proof", 5, &shown, NULL);
        }
    }
}

static void report(void)
{
    uint32_t proven = 0, refused = 0, failed = 0, safe = 0, holding = 0, granted = 0;
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < session_count; i++) {
        struct session *s = &sessions[i];
        proven += s->proven;
        refused += s->refused;
        failed += s->failed;
        if (s->role == HOLDS) {
            safe += keel_lease(s->keel, NULL) == KEEL_LEASE_SAFE;
            for (uint32_t k = 0; k < s->locks; k++)
                holding += s->lock[k].held;
        }
        if (s->role == WAITS && s->granted_ns != 0) {
            granted++;
            if (s->granted_ns - silent_ns > last_ns)
                last_ns = s->granted_ns - silent_ns;
        }
    }
    printf("{\"sessions\":%u,\"ready\":%u,\"failed\":%u,\"safe\":%u,\"locks\":%u,\"lost\":%u,"
           "\"proven\":%u,\"refused\":%u,\"jeopardies\":%u,\"granted_to_waiters\":%u,"
           "\"last_grant_ms\":%.1f,\"probes\":%" PRIu64 ",\"longest_without_grant_ms\":%.1f}\n",
           session_count, ready, failed, safe, holding, lost, proven, refused, jeopardies, granted,
           (double)last_ns / MS, probes, (double)probe_longest_ns / MS);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fputs("usage: keel-holders MEMBERS KEYS SESSIONS LOCKS SILENT TTL_MS\n", stderr);
        return 2;
    }
    uint32_t holders = (uint32_t)atoi(argv[3]), locks = (uint32_t)atoi(argv[4]);
    uint32_t silent = (uint32_t)atoi(argv[5]), ttl_ms = (uint32_t)atoi(argv[6]);
    if (locks > LOCKS_MAX || silent > SILENT_MAX || holders + 2 * silent + 1 > SESSIONS_MAX) {
        fputs("keel-holders: too many sessions or locks\n", stderr);
        return 2;
    }
    const struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    bool good = true;
    for (uint32_t i = 0; good && i < holders; i++, poll_all())
        good = open_session(argv[1], argv[2], HOLDS, i, locks, ttl_ms);
    for (uint32_t i = 0; good && i < silent; i++, poll_all())
        good = open_session(argv[1], argv[2], FALLS_SILENT, i, 1, ttl_ms);
    while (good && ready < session_count && wants_end == 0) /* until all hold, or it is ended */
        poll_all();
    for (uint32_t i = 0; good && i < silent; i++, poll_all())
        good = open_session(argv[1], argv[2], WAITS, i, 1, ttl_ms);
    good = good && open_session(argv[1], argv[2], PROBES, 0, 1, ttl_ms);
    while (good && ready < session_count && wants_end == 0)
        poll_all();
    printf("ready: %u sessions\n", ready);
    fflush(stdout);
    while (good && wants_end == 0) {
        if (wants_silence != 0 && silent_ns == 0)
            silent_ns = now_ns();
        if (wants_proof != 0) {
            wants_proof = 0;
            prove();
        }
        poll_all();
    }
    report();
    return good ? 0 : 1;
}
