/* The host's clock beside the kernel's: each bound is bracketed by two reads, so no test depends on
 * how fast this machine is. */
#include "dataplane/clock.h"
#include "tests/unit/unit.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NEAR_NS = 1000000 };

static uint64_t kernel_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct clock *open_clock(void)
{
    struct clock *clock = NULL;
    CU_ASSERT_EQUAL_FATAL(clock_open(&clock), 0);
    return clock;
}

/* H20: CLOCK_BOOTTIME, which counts suspend, is what the clock shows. */
static void test_h20_boottime(void)
{
    struct clock *clock = open_clock();
    for (int i = 0; i < 20000; i++) {
        if (i % 1000 == 0)
            clock_discipline(clock);
        uint64_t before = kernel_ns(CLOCK_BOOTTIME);
        uint64_t ns = clock_now_ns(clock);
        uint64_t after = kernel_ns(CLOCK_BOOTTIME);
        CU_ASSERT_FATAL(ns + NEAR_NS >= before && ns <= after + NEAR_NS);
    }
    clock_close(clock);
}

static void test_undisciplined(void)
{
    /* Nobody disciplines it for longer than a piece lasts: still the kernel's time, and no step. */
    struct clock *clock = open_clock();
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t before = kernel_ns(CLOCK_BOOTTIME);
        uint64_t ns = clock_now_ns(clock);
        uint64_t after = kernel_ns(CLOCK_BOOTTIME);
        CU_ASSERT(ns + NEAR_NS >= before && ns <= after + NEAR_NS);
        CU_ASSERT(ns >= last);
        last = ns;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    for (int i = 0; i < 1000; i++) {
        if (i % 10 == 0)
            clock_discipline(clock);
        uint64_t ns = clock_now_ns(clock);
        CU_ASSERT(ns >= last);
        last = ns;
    }
    clock_close(clock);
}

static void test_utc(void)
{
    struct clock *clock = open_clock();
    for (int i = 0; i < 1000; i++) {
        uint32_t error_ns, at_error_ns;
        uint64_t before = kernel_ns(CLOCK_REALTIME);
        uint64_t ns = clock_utc_ns(clock, &error_ns);
        uint64_t after = kernel_ns(CLOCK_REALTIME);
        CU_ASSERT_FATAL(ns + NEAR_NS >= before && ns <= after + NEAR_NS);
        uint64_t now = clock_now_ns(clock);
        ns = clock_utc_at(clock, now, &at_error_ns);
        CU_ASSERT_FATAL(ns + NEAR_NS >= before && ns <= kernel_ns(CLOCK_REALTIME) + NEAR_NS);
        struct timex timex = {0};
        bool unknown = adjtimex(&timex) == TIME_ERROR || (timex.status & STA_UNSYNC) != 0;
        CU_ASSERT_EQUAL(error_ns == UINT32_MAX, unknown || timex.maxerror > 4294000);
        CU_ASSERT(at_error_ns >= error_ns);
        /* The error grows with the time since the last look. */
        clock_utc_at(clock, now + 3600000000000, &at_error_ns);
        CU_ASSERT(at_error_ns == UINT32_MAX || at_error_ns >= error_ns + 1000000);
    }
    clock_close(clock);
}

struct shared {
    struct clock *clock;
    _Atomic bool done;
    _Atomic uint64_t newest; /* the greatest that any thread has shown to the others */
    _Atomic uint64_t back;
};

static void *read_forever(void *context)
{
    struct shared *s = context;
    while (!atomic_load(&s->done)) {
        uint64_t seen = atomic_load(&s->newest);
        uint64_t ns = clock_now_ns(s->clock);
        if (ns < seen) /* the read began after `seen` was shown */
            atomic_fetch_add(&s->back, 1);
        while (ns > seen && !atomic_compare_exchange_weak(&s->newest, &seen, ns))
            ;
    }
    return NULL;
}

static void test_threads(void)
{
    struct shared s = {.clock = open_clock()};
    pthread_t readers[2];
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_forever, &s), 0);
    for (int i = 0; i < 3000; i++) {
        clock_discipline(s.clock);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    atomic_store(&s.done, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&s.back), 0);
    clock_close(s.clock);
}

/* In a child that may do nothing but end: any system call kills it. */
static int in_a_cage(void (*run)(struct clock *), struct clock *clock)
{
    pid_t child = fork();
    if (child == 0) {
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
        struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
            _exit(2);
        run(clock);
        _exit(0);
    }
    int status = 0;
    CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
    return status;
}

static void read_often(struct clock *clock)
{
    uint64_t state = 1;
    for (int i = 0; i < 100000; i++) {
        uint32_t error_ns;
        clock_now_ns(clock);
        clock_utc_ns(clock, &error_ns);
        clock_random(clock, &state);
    }
}

static void ask_the_kernel(struct clock *clock)
{
    uint8_t bytes[8];
    clock_secret(clock, bytes, sizeof(bytes));
}

static void test_no_system_calls(void)
{
    struct clock *clock = open_clock();
    int status = in_a_cage(read_often, clock);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = in_a_cage(ask_the_kernel, clock); /* the cage is one */
    CU_ASSERT(WIFSIGNALED(status));
    clock_close(clock);
}

static void test_chance(void)
{
    struct clock *clock = open_clock();
    uint64_t a = 0, b = 0, c = 7, d = 7, ones[64] = {0};
    CU_ASSERT(clock_random(clock, &a) != clock_random(clock, &b));
    for (int i = 0; i < 10000; i++) {
        uint64_t bits = clock_random(clock, &c);
        CU_ASSERT_EQUAL(bits, clock_random(clock, &d)); /* a seed repeats */
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += bits >> bit & 1;
    }
    for (int bit = 0; bit < 64; bit++)
        CU_ASSERT(ones[bit] > 4700 && ones[bit] < 5300);
    uint8_t secret[2][1000], edge[8] = {0};
    memset(secret, 0, sizeof(secret));
    clock_secret(clock, secret[0], sizeof(secret[0]));
    clock_secret(clock, secret[1], sizeof(secret[1]));
    CU_ASSERT(memcmp(secret[0], secret[1], sizeof(secret[0])) != 0);
    CU_ASSERT(memcmp(secret[0] + 900, secret[1] + 900, 100) != 0);
    clock_secret(clock, edge, 3);
    CU_ASSERT(edge[3] == 0 && edge[4] == 0);
    clock_close(clock);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H20: the clock is CLOCK_BOOTTIME's", test_h20_boottime},
        {"the clock holds without being disciplined", test_undisciplined},
        {"UTC and its error are the kernel's", test_utc},
        {"no thread reads a time before one that another has shown", test_threads},
        {"reading the clock needs no system call", test_no_system_calls},
        {"random bits are spread, seeds repeat, secrets differ", test_chance},
        {0}};
    return unit_main("clock_host", tests);
}
