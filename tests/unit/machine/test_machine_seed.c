/* The state that a new cluster begins with: what it keeps, what it raises, what it refuses. */
#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

static struct bench b;
static uint64_t gw, gone; /* sessions, by id */

static void start(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    b.log_ns = 100;
    bench_noop(&b, 3);
    bench_boot(&b, 2, BENCH_INCARNATION + 2, 4, 44);
    bench_open(&b, BENCH_ALICE, "gw", 1, 6);
    gw = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, gw, gw, 1, 0, 5);
    bench_open(&b, BENCH_BOB, "gone", 2, 4);
    gone = bench_session(&b)->id;
    bench_end(&b, BENCH_BOB, gone, gone, SESSION_END_CLEAN);
}

/* A new cluster of replica 2's new disk. */
static struct genesis seeded(void)
{
    struct genesis g = bench_genesis();
    g.version = GENESIS_VERSION_SEEDED;
    g.cluster_id = 78;
    memset(g.founder, 0, sizeof(g.founder));
    g.founder[2] = (struct genesis_founder){.incarnation = 0x2222, .ip = 7, .port = 8};
    memcpy(g.day, "NEW       ", sizeof(g.day));
    g.lineage = (struct genesis_lineage){.cluster_id = 77,
                                         .index = b.machine->applied,
                                         .seed_index = 1000000,
                                         .seed_term = 9,
                                         .seed = GENESIS_SEED_RECOVERED,
                                         .seeds = 1};
    return g;
}

static void carries_over(void)
{
    start();
    struct genesis g = seeded();
    CU_ASSERT_PTR_NULL_FATAL(machine_seed(b.machine, &g));
    const struct machine *m = b.machine;
    CU_ASSERT_EQUAL(m->cluster_id, 78);
    CU_ASSERT_EQUAL(m->applied, 1000000);
    CU_ASSERT_EQUAL(m->applied_term, 9);
    CU_ASSERT_EQUAL(m->seed_index, 1000000);
    CU_ASSERT_EQUAL(m->seeds, 1);
    CU_ASSERT_EQUAL(m->feed_next, 1);
    CU_ASSERT_EQUAL(m->day_open, 1);
    CU_ASSERT_EQUAL(m->day_count, 2);
    CU_ASSERT_EQUAL(memcmp(m->day, "NEW       ", sizeof(m->day)), 0);
    CU_ASSERT_EQUAL(m->boot[2], 0);
    CU_ASSERT_EQUAL(m->boot_incarnation[2], 0);
    CU_ASSERT_EQUAL(m->config.voters, 1u << 2);
    CU_ASSERT_EQUAL(m->config.member[1].incarnation, 0);
    CU_ASSERT_EQUAL(m->config.member[2].incarnation, 0x2222);
    CU_ASSERT_EQUAL(m->config_index, 1000000);
    const struct machine_session *s = machine_session(m, gw);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(s->last, 5);
    CU_ASSERT_EQUAL(s->epoch, 1000000);
    CU_ASSERT_EQUAL(machine_kept(s, 5)->feed, 5);
    CU_ASSERT_EQUAL(machine_session(m, gone)->epoch, gone); /* ended: nobody resumes it */
    bench_free(&b);
}

/* An entry of the life before changes nothing; a resume goes on behind the last number. */
static void an_older_life_is_shut_out(void)
{
    start();
    struct genesis g = seeded();
    CU_ASSERT_PTR_NULL_FATAL(machine_seed(b.machine, &g));
    bench_noop(&b, 10);
    bench_send(&b, BENCH_ALICE, gw, gw, 6, 5, 1);
    CU_ASSERT_EQUAL(b.outcome.status, MACHINE_EPOCH);
    bench_resume(&b, BENCH_ALICE, "gw", 2, gw);
    CU_ASSERT_EQUAL(b.outcome.status, MACHINE_EPOCH);
    bench_resume(&b, BENCH_ALICE, "gw", 2, 1000000);
    CU_ASSERT_EQUAL(b.outcome.status, MACHINE_SEQUENCED);
    uint64_t epoch = machine_session(b.machine, gw)->epoch;
    CU_ASSERT(epoch > 1000000);
    bench_send(&b, BENCH_ALICE, gw, epoch, 5, 5, 2);
    CU_ASSERT_EQUAL(b.outcome.run[0].status, MACHINE_DUPLICATE);
    CU_ASSERT_EQUAL(b.outcome.run[1].status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.outcome.run[1].feed, 1); /* of the new day */
    bench_free(&b);
}

static void encodes_and_decodes(void)
{
    start();
    struct genesis g = seeded();
    CU_ASSERT_PTR_NULL_FATAL(machine_seed(b.machine, &g));
    size_t cap = machine_encoded_max(&g);
    uint8_t *bytes = malloc(cap);
    size_t size = machine_encode(b.machine, bytes, cap);
    struct machine *decoded = bench_memory(&g);
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &g, bytes, size));
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
    CU_ASSERT_EQUAL(decoded->seed_index, 1000000);
    CU_ASSERT_EQUAL(decoded->seeds, 1);
    struct genesis old = bench_genesis();
    const char *why = machine_decode(decoded, &old, bytes, size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(why);
    CU_ASSERT_STRING_EQUAL(why, "another cluster's state");
    free(decoded);
    free(bytes);
    bench_free(&b);
}

static void refuses_and_changes_nothing(void)
{
    start();
    uint64_t print = machine_fingerprint(b.machine);
    struct genesis g;
#define REFUSED(text, change)                                                                      \
    do {                                                                                           \
        g = seeded();                                                                              \
        change;                                                                                    \
        const char *why = machine_seed(b.machine, &g);                                             \
        CU_ASSERT_PTR_NOT_NULL_FATAL(why);                                                         \
        CU_ASSERT_STRING_EQUAL(why, text);                                                         \
        CU_ASSERT_EQUAL(machine_fingerprint(b.machine), print);                                    \
    } while (0)
    const char *other = "the genesis record is not for a cluster that begins with this state";
    REFUSED(other, g.version = GENESIS_VERSION);
    REFUSED(other, g.lineage.cluster_id = 76);
    const char *index = "the genesis record names another state's index or term";
    REFUSED(index, g.lineage.index++);
    REFUSED(index, g.lineage.seed_index = b.machine->applied);
    REFUSED(index, g.lineage.seed_term = b.machine->applied_term);
    REFUSED(index, g.lineage.seeds = 2);
    REFUSED("the new trading day has the name of the old one",
            memcpy(g.day, "DAY1      ", sizeof(g.day)));
    REFUSED("such a cluster begins with one member", g.founder[1].incarnation = 5);
    REFUSED("other limits than those of the state", g.window_max--);
    REFUSED("other limits than those of the state", g.sessions_max--);
#undef REFUSED
    bench_free(&b);
}

/* The second time raises what the first time raised. */
static void again(void)
{
    start();
    struct genesis g = seeded();
    CU_ASSERT_PTR_NULL_FATAL(machine_seed(b.machine, &g));
    struct genesis next = seeded();
    next.cluster_id = 79;
    next.lineage.cluster_id = 78;
    next.lineage.seed_index = 3000000;
    next.lineage.seed_term = 10;
    next.lineage.seeds = 2;
    memcpy(next.day, "NEWER     ", sizeof(next.day));
    CU_ASSERT_PTR_NULL_FATAL(machine_seed(b.machine, &next));
    CU_ASSERT_EQUAL(b.machine->seeds, 2);
    CU_ASSERT_EQUAL(b.machine->seed_index, 3000000);
    CU_ASSERT_EQUAL(machine_session(b.machine, gw)->epoch, 3000000);
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a seeded state keeps numbers and raises the rest", carries_over},
        {"an older life of a session is shut out by the seed", an_older_life_is_shut_out},
        {"a seeded state encodes and decodes", encodes_and_decodes},
        {"what is not meant for this state is refused", refuses_and_changes_nothing},
        {"a state may be carried over again", again},
        {0}};
    return unit_main("machine_seed", tests);
}
