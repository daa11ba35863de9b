/* Three replicas whose `seq` runs on one thread, which is watched from outside for system calls and
 * from inside for calls of the heap; hot.py drives it.
 *
 *   thread seq    loop_turn() and feed_turn() of the three in turn, spinning, over net_ring ports
 * (a ring has one producer, so that the line goes out on the thread that sends) main thread   disk
 * (io_uring on real files), aux, control, the switch, the load, and the orders on standard input:
 * `report`, `plant` (one system call and one malloc() with its free() on the seq thread), `stop`;
 * end of input stops too
 *
 * Answers are lines `word key=value ...` on standard output.
 */
#include "consensus/ensure.h"
#include "dataplane/loop.h"
#include "perf/cluster.h"
#include "tests/hot/alloc_count.h"

#include "dataplane/eal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    HOT_CLIENTS = 32,
    HOT_BURST = 16,     /* messages that a client submits at once */
    HOT_SLOTS = 16384,  /* 64 MiB a replica */
    HOT_WINDOW = 4096,  /* pages */
    HOT_READY_S = 60,   /* until every session is open */
    HOT_LONGEST_S = 120 /* nobody gives orders any more */
};
#define HOT_SECOND UINT64_C(1000000000)

struct hot {
    struct cluster *c;
    pthread_t thread;
    uint32_t tid;
    uint32_t stop, plant, planted;
    uint64_t turns, useful; /* of the seq thread, all three replicas together */
    uint64_t disciplined_ns, ordered_ns;
    char line[32];
    uint32_t length;
};

/* --- the watched thread ------------------------------------------------------------------------
 */

/* One call that takes memory and one that gives it back. */
static void use_heap(void)
{
    void *volatile memory = malloc(64);
    free(memory);
}

static void plant(struct hot *h)
{
    use_heap();
    syscall(SYS_getpid);
    /* relaxed: only the number matters */
    __atomic_fetch_add(&h->planted, 1, __ATOMIC_RELAXED);
}

static void *seq_main(void *context)
{
    struct hot *h = context;
    uint32_t planted = 0;
    eal_thread_register();
    use_heap(); /* the thread's first use makes its arena by system calls: not in the plant's name
                 */
    alloc_count_begin();
    /* release, pairs with the acquire of main: the thread begins nothing new of its own after it */
    __atomic_store_n(&h->tid, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) { /* relaxed: nothing is read through it */
        uint32_t work = 0;
        for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
            work += loop_turn(h->c->node[id].replica);
            cluster_feed(h->c, &h->c->node[id]);
        }
        metric_add(&h->turns, 1);
        if (work > 0)
            metric_add(&h->useful, 1);
        else
            __builtin_ia32_pause();
        if (planted < __atomic_load_n(&h->plant, __ATOMIC_RELAXED)) { /* relaxed: as stop */
            plant(h);
            planted++;
        }
    }
    return NULL;
}

/* --- orders ------------------------------------------------------------------------------------
 */

static void report(struct hot *h)
{
    uint64_t answered = 0, sequenced = UINT64_MAX, commit = UINT64_MAX, pages = 0;
    for (uint32_t i = 0; i < h->c->clients; i++)
        answered += h->c->client[i].answered;
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
        struct replica_status status;
        replica_status(h->c->node[id].replica, &status);
        uint64_t here = metric_get(&h->c->node[id].replica->metrics.sequenced);
        sequenced = here < sequenced ? here : sequenced;
        commit = status.commit < commit ? status.commit : commit;
        pages += status.ring.pages_written;
    }
    printf("report answered=%lu sequenced=%lu commit=%lu pages=%lu turns=%lu useful=%lu taken=%lu "
           "given=%lu planted=%u lost=%lu\n",
           answered, sequenced, commit, pages, metric_get(&h->turns), metric_get(&h->useful),
           alloc_count_taken(), alloc_count_given(),
           __atomic_load_n(&h->planted, __ATOMIC_RELAXED), /* relaxed: a figure */
           fabric_lost(h->c->fabric));
    fflush(stdout);
}

/* False: stop. */
static bool order(struct hot *h, const char *word)
{
    if (strcmp(word, "stop") == 0)
        return false;
    if (strcmp(word, "report") == 0)
        report(h);
    else if (strcmp(word, "plant") == 0)
        __atomic_fetch_add(&h->plant, 1, __ATOMIC_RELAXED); /* relaxed: as stop */
    else
        fprintf(stderr, "hot: no order '%s': report, plant or stop\n", word);
    return true;
}

static bool orders(struct hot *h)
{
    char byte;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &byte, 1)) == 1) { /* bound: what was written to us */
        if (byte != '\n') {
            ENSURE(h->length + 1 < sizeof(h->line));
            h->line[h->length++] = byte;
            continue;
        }
        h->line[h->length] = '\0';
        h->length = 0;
        if (!order(h, h->line))
            return false;
    }
    return got < 0 && errno == EAGAIN;
}

/* --- the other roles ---------------------------------------------------------------------------
 */

static void others(struct hot *h, bool load)
{
    struct cluster *c = h->c;
    cluster_clients_tick(c);
    fabric_turn(c->fabric);
    for (uint32_t i = 0; load && i < c->clients; i++)
        cluster_submit(c, i, HOT_BURST);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
        cluster_disk(&c->node[id]);
        cluster_aux(&c->node[id]);
        cluster_control(c, &c->node[id]);
        fabric_turn(c->fabric);
    }
    uint64_t now_ns = clock_now_ns(c->clock);
    if (now_ns - h->disciplined_ns > HOT_SECOND) {
        h->disciplined_ns = now_ns;
        clock_discipline(c->clock);
    }
}

static bool sessions_open(const struct cluster *c)
{
    for (uint32_t i = 0; i < c->clients; i++)
        if (c->client[i].engine->phase != ENGINE_READY)
            return false;
    return true;
}

static int drive(struct hot *h)
{
    uint64_t began_ns = clock_now_ns(h->c->clock), now_ns = began_ns;
    while (!sessions_open(h->c) && now_ns - began_ns < HOT_READY_S * HOT_SECOND) {
        others(h, false);
        now_ns = clock_now_ns(h->c->clock);
    }
    if (!sessions_open(h->c)) {
        fprintf(stderr, "hot: the sessions did not open within %d s\n", HOT_READY_S);
        return 1;
    }
    printf("ready pid=%d tid=%u\n", (int)getpid(), h->tid);
    fflush(stdout);
    while (now_ns - began_ns < HOT_LONGEST_S * HOT_SECOND) {
        others(h, true);
        now_ns = clock_now_ns(h->c->clock);
        if (now_ns - h->ordered_ns < HOT_SECOND / 1000)
            continue;
        h->ordered_ns = now_ns;
        if (!orders(h))
            return 0;
    }
    fprintf(stderr, "hot: no order to stop within %d s\n", HOT_LONGEST_S);
    return 1;
}

int main(int argc, char **argv)
{
    struct hot hot = {0};
    struct clock *clock;
    if (argc != 2) {
        fprintf(stderr, "usage: keel-hot DIRECTORY (for three rings; orders on standard input)\n");
        return 2;
    }
    if (chdir(argv[1]) != 0) {
        fprintf(stderr, "hot: %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    ENSURE(fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) == 0 && clock_open(&clock) == 0);
    hot.c = cluster_new(clock, HOT_CLIENTS, HOT_SLOTS, HOT_WINDOW);
    if (hot.c == NULL)
        return 1;
    int rc = pthread_create(&hot.thread, NULL, seq_main, &hot);
    ENSURE(rc == 0);
    /* acquire, pairs with the release in seq_main(); bound: the thread's start */
    while (__atomic_load_n(&hot.tid, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    int code = drive(&hot);
    __atomic_store_n(&hot.stop, 1, __ATOMIC_RELAXED); /* relaxed: nothing is read through it */
    pthread_join(hot.thread, NULL);
    cluster_free(hot.c);
    clock_close(clock);
    eal_cleanup();
    return code;
}
