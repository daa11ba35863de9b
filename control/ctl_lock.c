/* `keelctl lock ...`: look at a lock, check a sequencer, run a program under a lock. */
#include "control/ctl_session.h"

#include "control/address.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TTL_MIN_MS = 1000,
    TTL_MAX_MS = 600000,
    LOST = 75, /* exit code of `lock run` when the lock was lost (EX_TEMPFAIL) */
    POLL_NS = 20000000,
    GUARD_NS = 5000000,
    GUARD_EARLY_NS =
        10000000,    /* so much before the lease's end, since it looks only now and then */
    MARGIN_SHARE = 5 /* the program is asked to end when so much of the time to live is left */
};

int ctl_lock_check(struct ctl *ctl)
{
    struct keel_sequencer sequencer;
    struct keel *keel = NULL;
    bool holds = false;
    if (!keel_sequencer_parse(&sequencer, ctl->word[0]))
        return ctl_fail(CTL_USAGE,
                        "lock check: '%s' is no sequencer: give it as `lock run` hands it over in "
                        "KEEL_SEQUENCER",
                        ctl->word[0]);
    int code = ctl_session_open(ctl, false, 0, &keel);
    if (code != CTL_DONE)
        return code;
    int error = keel_sequencer_check(keel, &sequencer, (int64_t)ctl->timeout_ms * 1000000, &holds);
    if (error != KEEL_OK) {
        code = ctl_session_fail(ctl, keel, error, NULL);
    } else if (ctl->json) {
        json_t *object = json_pack("{s:s,s:b}", "sequencer", ctl->word[0], "holds", holds);
        code = ctl_print_json(object);
        json_decref(object);
    } else {
        puts(holds ? "holds" : "stale");
    }
    ctl_session_close(keel);
    return code != CTL_DONE ? code : holds ? CTL_DONE : CTL_FAILED;
}

static int number_option(const struct ctl *ctl, int option, uint64_t least, uint64_t most,
                         uint32_t otherwise, uint32_t *value)
{
    const char *text = ctl->value[option];
    uint64_t number = otherwise;
    if (text != NULL && !address_number(text, least, most, &number))
        return ctl_fail(CTL_USAGE, "%s: --%s %s: give milliseconds from %" PRIu64 " to %" PRIu64,
                        ctl->command->name, ctl->command->options[option].name, text, least, most);
    *value = (uint32_t)number;
    return CTL_DONE;
}

/* The program, in a group of its own, so that its children end with it; if keelctl is killed the
 * program is as well. */
static pid_t start(const struct ctl *ctl, const struct keel_sequencer *sequencer)
{
    char text[KEEL_SEQUENCER_TEXT_SIZE];
    char *arguments[CTL_WORDS_MAX + 1] = {0};
    for (int i = 1; i < ctl->word_count; i++)
        arguments[i - 1] = strdup(ctl->word[i]);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0) {
        for (int i = 0; i < ctl->word_count - 1; i++)
            free(arguments[i]);
        return pid;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(LOST);
    keel_sequencer_text(sequencer, text);
    setenv("KEEL_SEQUENCER", text, 1);
    setenv("KEEL_LOCK", ctl->word[0], 1);
    execvp(arguments[0], arguments);
    fprintf(stderr, "keelctl: lock run: '%s': %s\n", arguments[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static volatile sig_atomic_t told; /* the signal that asks keelctl itself to end */

static void on_signal(int number)
{
    told = number;
}

/* Whether the lock may still be believed in; false also when there is too little time left to stop
 * the program by asking. */
static bool believed(struct keel *keel, uint64_t node, uint64_t margin_ns)
{
    struct keel_event event;
    uint64_t left_ns;
    while (keel_next_event(keel, &event)) /* at most as many as wait */
        if (event.node == node &&
            (event.kind == KEEL_EVENT_ENDED || event.kind == KEEL_EVENT_INVALID))
            return false;
    return keel_lease(keel, &left_ns) == KEEL_LEASE_SAFE && left_ns > margin_ns;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A second pair of eyes: kills the program when the lease ends, also while keelctl itself stands
 * still. `until_ns` is shared with keelctl, which moves it on. */
static pid_t guard(pid_t program, const uint64_t *until_ns)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0,
            0); /* no key of the terminal is for it; and it outlives keelctl, to kill the group */
    /* relaxed: one word, and a late one only kills too early */
    while (getppid() == parent &&
           now_ns() + GUARD_EARLY_NS < __atomic_load_n(until_ns, __ATOMIC_RELAXED))
        nanosleep(&(struct timespec){.tv_nsec = GUARD_NS}, NULL);
    kill(-program, SIGKILL);
    _exit(0);
}

/* Until the program has ended: its exit code, or LOST. It is asked to end a margin before the lease
 * ends, and killed when it does: it never runs on while another may hold the lock. */
static int watch(struct keel *keel, uint64_t node, pid_t pid, uint32_t ttl_ms, uint64_t *until_ns)
{
    bool lost = false, failed = false;
    int state = 0;
    uint64_t margin_ns = ttl_ms * UINT64_C(1000000) / MARGIN_SHARE, left_ns;
    for (;;) { /* the program's end, which the lease's end forces */
        if (waitpid(pid, &state, WNOHANG) == pid)
            break;
        if (told != 0) {
            kill(-pid, told);
            told = 0;
        }
        failed = failed || keel_poll(keel, POLL_NS) < 0;
        bool taken = failed || !believed(keel, node, margin_ns);
        uint64_t looked_ns = now_ns();
        bool safe = !failed && keel_lease(keel, &left_ns) == KEEL_LEASE_SAFE;
        if (!lost && !taken) /* once it is lost the end of what was believed stands */
            __atomic_store_n(until_ns, looked_ns + left_ns, __ATOMIC_RELAXED);
        if (!lost && taken) {
            lost = true;
            kill(-pid, SIGTERM);
            fprintf(stderr, "keelctl: lock run: the lock can no longer be relied on: the program "
                            "is told to end\n");
        }
        if (lost && !safe)
            kill(-pid, SIGKILL);
    }
    kill(-pid, SIGKILL); /* what it left behind in its group */
    if (lost || keel_lease(keel, &left_ns) != KEEL_LEASE_SAFE)
        return LOST;
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* The lock is held: runs the program, and lets it be guarded. */
static int run(const struct ctl *ctl, struct keel *keel, const struct keel_sequencer *sequencer)
{
    struct keel_info info;
    uint64_t left_ns;
    uint64_t *until_ns =
        mmap(NULL, sizeof(*until_ns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (until_ns == MAP_FAILED)
        return ctl_fail(CTL_FAILED, "lock run: mmap: %s", strerror(errno));
    const struct sigaction act = {.sa_handler = on_signal};
    keel_info(keel, &info);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    sigaction(SIGQUIT, &act, NULL);
    signal(SIGCHLD, SIG_DFL); /* whoever started keelctl may have ignored it */
    uint64_t looked_ns = now_ns();
    *until_ns = keel_lease(keel, &left_ns) == KEEL_LEASE_SAFE ? looked_ns + left_ns : 0;
    pid_t program = start(ctl, sequencer);
    setpgid(program, program); /* here too: whoever comes first */
    pid_t watcher = program < 0 ? -1 : guard(program, until_ns);
    int code;
    if (watcher < 0) {
        code = ctl_fail(CTL_FAILED, "lock run: fork: %s", strerror(errno));
        if (program > 0)
            kill(-program, SIGKILL);
    } else {
        code = watch(keel, sequencer->node, program, info.ttl_ms, until_ns);
        kill(watcher, SIGKILL);
        waitpid(watcher, NULL, 0);
    }
    munmap(until_ns, sizeof(*until_ns));
    return code;
}

int ctl_lock_run(struct ctl *ctl)
{
    struct keel_lock_options options = {.mode = KEEL_EXCLUSIVE};
    struct keel_sequencer sequencer;
    struct keel_result result = {0};
    struct keel *keel = NULL;
    uint32_t ttl_ms = 0;
    if (ctl->value[CTL_CLIENT_OWN + 1] != NULL)
        options.mode = KEEL_SHARED;
    options.only_now = ctl->value[CTL_CLIENT_OWN + 2] != NULL;
    int code =
        number_option(ctl, CTL_CLIENT_OWN, TTL_MIN_MS, TTL_MAX_MS, CTL_SESSION_TTL_MS, &ttl_ms);
    if (code == CTL_DONE)
        code = number_option(ctl, CTL_CLIENT_OWN + 3, 1, INT32_MAX, 0, &options.wait_ms);
    if (code == CTL_DONE)
        code = number_option(ctl, CTL_CLIENT_OWN + 4, 0, TTL_MAX_MS, 0, &options.delay_ms);
    if (code == CTL_DONE)
        code = ctl_session_open(ctl, true, ttl_ms, &keel);
    if (code != CTL_DONE)
        return code;
    int error = keel_lock(keel, ctl->word[0], &options, &sequencer, &result);
    while (error == KEEL_OK && keel_lease(keel, NULL) != KEEL_LEASE_SAFE) { /* until then */
        int count = keel_poll(keel, POLL_NS);
        error = count < 0 ? count : KEEL_OK;
    }
    code =
        error != KEEL_OK ? ctl_session_fail(ctl, keel, error, &result) : run(ctl, keel, &sequencer);
    ctl_session_close(keel);
    return code;
}

static void print_event(const struct ctl *ctl, const struct keel_event *event)
{
    if (ctl->json) {
        json_t *object = json_pack("{s:s,s:I,s:I,s:I}", "event", keel_event_name((int)event->kind),
                                   "node", (json_int_t)event->node, "index",
                                   (json_int_t)event->index, "value", (json_int_t)event->value);
        ctl_print_json(object);
        json_decref(object);
    } else if (event->node == 0) {
        printf("%s %" PRIu64 "\n", keel_event_name((int)event->kind), event->value);
    } else {
        printf("%s node %" PRIu64 " index %" PRIu64 " value %" PRIu64 "\n",
               keel_event_name((int)event->kind), event->node, event->index, event->value);
    }
    fflush(stdout);
}

/* Opens the nodes and prints what happens to them, and to the lease, until it is interrupted. */
int ctl_lease_watch(struct ctl *ctl)
{
    struct keel *keel = NULL;
    struct keel_result result = {0};
    struct keel_event event;
    uint32_t ttl_ms = 0;
    int code =
        number_option(ctl, CTL_CLIENT_OWN, TTL_MIN_MS, TTL_MAX_MS, CTL_SESSION_TTL_MS, &ttl_ms);
    if (code == CTL_DONE)
        code = ctl_session_open(ctl, true, ttl_ms, &keel);
    if (code != CTL_DONE)
        return code;
    const struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    int error = KEEL_OK;
    for (int i = 0; i < ctl->word_count && error == KEEL_OK; i++) {
        uint64_t number;
        error = keel_node_open(keel, ctl->word[i], 0,
                               KEEL_WANT_CONTENT | KEEL_WANT_ADDED | KEEL_WANT_REMOVED |
                                   KEEL_WANT_LOCKED | KEEL_WANT_CONFLICT,
                               "", 0, &number);
        if (error == KEEL_OK)
            error = keel_wait(keel, number, (int64_t)ctl->timeout_ms * 1000000, &result);
        if (error == KEEL_OK && !ctl->json) {
            printf("watching node %" PRIu64 " %s\n", result.feed, ctl->word[i]);
            fflush(stdout);
        }
    }
    while (error == KEEL_OK && told == 0) { /* until it is interrupted */
        int count = keel_poll(keel, 10 * (int64_t)POLL_NS);
        while (keel_next_event(keel, &event)) /* at most as many as wait */
            print_event(ctl, &event);
        error = count < 0 ? count : KEEL_OK;
    }
    if (error != KEEL_OK)
        code = ctl_session_fail(ctl, keel, error, &result);
    ctl_session_close(keel);
    return code;
}
