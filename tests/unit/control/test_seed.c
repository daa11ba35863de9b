/* A new cluster from an old one's state: the whole way over drives of memory, cut off everywhere.
 */
#include "control/replay.h"
#include "control/seed.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NEW_ID = 1 };
#define NEW_INCARNATION UINT64_C(0xbeef)
#define UTC_NS                                                                                     \
    (SEED_UTC_ZERO_S * 1000000000u + UINT64_C(5000000000)) /* five seconds after zero              \
                                                            */

struct old { /* a cluster that is lost, and the state that one of its rings holds */
    struct bench *bench;
    struct genesis genesis;
    struct machine *machine;
    struct ring_recovery found;
    struct memory_store store; /* the new ring */
    struct disk *disk;
    struct ring_super super;
    uint8_t *bytes;
    size_t cap;
};

static struct disk *open_store(struct memory_store *store, bool read_only)
{
    char path[MEMORY_PATH_SIZE], why[DISK_PROBLEM_SIZE];
    struct disk *disk;
    memory_store_path(store, path);
    struct disk_options options = {.path = path, .depth = 8, .read_only = read_only};
    CU_ASSERT_EQUAL_FATAL(disk_open(&disk, &options, why), 0);
    return disk;
}

static void *page_aligned(size_t size)
{
    size = (size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
    void *memory = aligned_alloc(DISK_BLOCK, size);
    memset(memory, 0, size);
    return memory;
}

/* As keelctl does it: the ring's checkpoint and its whole log. */
static void read_state(struct old *o)
{
    char why[REPLAY_PROBLEM_SIZE] = "";
    struct disk *disk = open_store(&o->bench->node[1].store, true);
    CU_ASSERT_EQUAL_FATAL(ring_recover(disk, false, &o->found, why), 0);
    CU_ASSERT_EQUAL_FATAL(o->found.damage, RING_INTACT);
    struct replay r = {.disk = disk, .genesis = &o->genesis, .found = &o->found};
    o->machine = page_aligned(machine_size(&o->genesis));
    r.machine = o->machine;
    r.exceptions = calloc(1, sizeof(*r.exceptions));
    r.cap = replay_bytes_size(&r);
    r.bytes = page_aligned(r.cap);
    r.outcome = malloc(sizeof(*r.outcome));
    CU_ASSERT_TRUE_FATAL(replay_checkpoint(&r, why));
    CU_ASSERT_TRUE_FATAL(replay_log(&r, o->found.commit, why));
    CU_ASSERT_TRUE_FATAL(replay_log(&r, o->found.last_index, why));
    CU_ASSERT_EQUAL(o->machine->applied, o->found.last_index);
    free(r.bytes);
    free(r.outcome);
    free(r.exceptions);
    disk_close(disk);
}

static void format_new(struct old *o)
{
    char why[DISK_PROBLEM_SIZE];
    o->super = o->bench->node[1].start.super;
    o->super.incarnation = NEW_INCARNATION;
    o->super.replica = NEW_ID;
    memory_store_init(&o->store, ring_file_size(&o->super));
    o->disk = open_store(&o->store, false);
    CU_ASSERT_EQUAL_FATAL(ring_format(o->disk, &o->super, NULL, NULL, why), 0);
}

static void begin(struct old *o)
{
    memset(o, 0, sizeof(*o));
    o->bench = bench_new(1);
    CU_ASSERT_EQUAL_FATAL(bench_start(o->bench, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(o->bench), 1);
    CU_ASSERT_EQUAL(bench_day_end(o->bench, 1, "DAY1      ").result, CONTROL_APPLIED);
    bench_run(o->bench, 50);
    o->genesis = o->bench->genesis;
    format_new(o);
    bench_kill(o->bench, 1);
    read_state(o);
    o->cap = machine_encoded_max(&o->genesis);
    o->bytes = page_aligned(o->cap);
}

static void end(struct old *o)
{
    free(o->bytes);
    free(o->machine);
    ring_recovery_free(&o->found);
    disk_close(o->disk);
    memory_store_free(&o->store);
    bench_free(o->bench);
}

static struct seed_wish wish_of(const struct old *o)
{
    const struct genesis_founder *f = &o->genesis.founder[1];
    struct seed_wish wish = {.how = GENESIS_SEED_RECOVERED,
                             .cluster_id = 0xc2,
                             .utc_ns = UTC_NS,
                             .term = o->found.term,
                             .ip = f->ip,
                             .port = f->port};
    seed_day(UTC_NS, wish.day);
    return wish;
}

/* All but the genesis record's installation; the machine is a copy. */
static int form(struct old *o, struct genesis *genesis, char *why)
{
    size_t size = machine_size(&o->genesis);
    struct machine *machine = page_aligned(size);
    memcpy(machine, o->machine, size);
    struct seed_wish wish = wish_of(o);
    struct ring_super super;
    int rc = seed_ring_fresh(o->disk, &super, why);
    if (rc == 0) {
        CU_ASSERT_PTR_NULL(seed_genesis(genesis, &o->genesis, machine, &super, &wish));
        CU_ASSERT_PTR_NULL(machine_seed(machine, genesis));
        rc = seed_write(o->disk, &super, genesis, machine, o->bytes, o->cap, why);
    }
    if (rc == 0)
        rc = ring_genesis_install(o->disk, genesis, false, why);
    free(machine);
    return rc;
}

/* The new ring in the place of the old one's. */
static enum startup_result start_new(struct old *o)
{
    struct memory_store *store = &o->bench->node[1].store;
    CU_ASSERT_EQUAL_FATAL(store->size, o->store.size);
    memcpy(store->bytes, o->store.bytes, store->size);
    return bench_start(o->bench, 1);
}

static void forms_a_cluster(void)
{
    struct old o;
    struct genesis genesis;
    char why[SEED_PROBLEM_SIZE] = "";
    begin(&o);
    CU_ASSERT_EQUAL_FATAL(form(&o, &genesis, why), 0);
    uint64_t seed = genesis.lineage.seed_index;
    CU_ASSERT_EQUAL(seed, o.found.last_index + (UINT64_C(1) << SEED_STEP_BITS));
    CU_ASSERT_EQUAL(genesis.lineage.seed_term, o.found.term + 1);
    o.bench->digests_from = seed;
    memset(o.bench->digest_at, 0, sizeof(o.bench->digest_at));
    CU_ASSERT_EQUAL_FATAL(start_new(&o), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(o.bench), 1);
    struct replica_status s = bench_status(o.bench, 1);
    CU_ASSERT_TRUE(s.applied > seed && s.term > genesis.lineage.seed_term);
    CU_ASSERT_EQUAL(memcmp(s.day, "R000000005", sizeof(s.day)), 0);
    CU_ASSERT_EQUAL(s.day_open, 1);
    CU_ASSERT_EQUAL(s.config.voters, 1u << 1);
    CU_ASSERT_EQUAL(s.config.member[1].incarnation, NEW_INCARNATION);
    CU_ASSERT_EQUAL(bench_day_end(o.bench, 1, "R000000005").result, CONTROL_APPLIED);
    bench_run(o.bench, 50);
    uint64_t applied = bench_status(o.bench, 1).applied;
    for (int i = 0; i < 3; i++) { /* from the seed's checkpoint and the log behind it */
        bench_kill(o.bench, 1);
        CU_ASSERT_EQUAL_FATAL(bench_start(o.bench, 1), STARTUP_OK);
        CU_ASSERT_EQUAL_FATAL(bench_settle(o.bench), 1);
        CU_ASSERT_TRUE(bench_status(o.bench, 1).applied > applied);
    }
    CU_ASSERT_EQUAL(o.bench->digests_differ, 0);
    end(&o);
}

/* Checkpoints of its own take the places of the seed's two. */
static void goes_on_with_checkpoints(void)
{
    struct old o;
    struct genesis genesis;
    char why[SEED_PROBLEM_SIZE] = "";
    begin(&o);
    CU_ASSERT_EQUAL_FATAL(form(&o, &genesis, why), 0);
    o.bench->digests_from = genesis.lineage.seed_index;
    o.bench->tweak.control.checkpoint_ms = 20;
    CU_ASSERT_EQUAL_FATAL(start_new(&o), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(o.bench), 1);
    CU_ASSERT_EQUAL(bench_day_end(o.bench, 1, "R000000005").result, CONTROL_APPLIED);
    bench_run(o.bench, 100);
    CU_ASSERT_TRUE(bench_control(o.bench, 1).checkpoints > 0);
    bench_kill(o.bench, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(o.bench, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(o.bench), 1);
    bench_run(o.bench, 100);
    CU_ASSERT_TRUE(bench_control(o.bench, 1).checkpoint_index[1] > genesis.lineage.seed_index);
    bench_kill(o.bench, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(o.bench, 1), STARTUP_OK);
    end(&o);
}

/* Cut off at any write, it never starts as something else, and can be begun anew. */
static void power_goes_anywhere(void)
{
    struct old o;
    struct genesis genesis;
    char why[SEED_PROBLEM_SIZE] = "";
    begin(&o);
    uint8_t *fresh = malloc(o.store.size);
    memcpy(fresh, o.store.bytes, o.store.size);
    bool whole = false;
    uint32_t refused = 0;
    for (uint64_t k = 1; k < 64 && !whole; k++)
        for (uint64_t sectors = 0; sectors < 2 && !whole; sectors++) {
            memcpy(o.store.bytes, fresh, o.store.size);
            o.store.powerless = false;
            o.store.power_at = o.store.writes + k;
            o.store.power_sectors = sectors == 0 ? 0 : 1;
            whole = form(&o, &genesis, why) == 0;
            o.store.powerless = false;
            o.store.power_at = 0;
            struct genesis there;
            if (ring_genesis_read(o.disk, &there, why) == -ENOENT) {
                refused++;
                CU_ASSERT_EQUAL(start_new(&o), STARTUP_NO_GENESIS);
                CU_ASSERT_EQUAL(form(&o, &genesis, why), 0);
            }
            o.bench->digests_from = genesis.lineage.seed_index;
            memset(o.bench->digest_at, 0, sizeof(o.bench->digest_at));
            CU_ASSERT_EQUAL_FATAL(start_new(&o), STARTUP_OK);
            CU_ASSERT_EQUAL(bench_settle(o.bench), 1);
            CU_ASSERT_EQUAL(memcmp(bench_status(o.bench, 1).day, "R000000005", KEEL_DAY_NAME_SIZE),
                            0);
            bench_kill(o.bench, 1);
        }
    CU_ASSERT_TRUE(whole && refused >= 4);
    free(fresh);
    end(&o);
}

/* A seeded ring that has lost its state is damaged, and not an empty ring of an empty cluster. */
static void a_lost_seed_is_no_empty_ring(void)
{
    struct old o;
    struct genesis genesis;
    char why[SEED_PROBLEM_SIZE] = "";
    begin(&o);
    CU_ASSERT_EQUAL_FATAL(form(&o, &genesis, why), 0);
    o.bench->digests_from = genesis.lineage.seed_index;
    o.store.bytes[ring_checkpoint_offset(&o.super, 0) + RING_PAGE_SIZE + 9] ^= 1;
    CU_ASSERT_EQUAL(start_new(&o), STARTUP_OK); /* the other area will do */
    bench_kill(o.bench, 1);
    for (unsigned area = 0; area < 2; area++)
        memset(o.store.bytes + ring_checkpoint_offset(&o.super, area), 0, RING_PAGE_SIZE);
    CU_ASSERT_EQUAL(start_new(&o), STARTUP_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(o.bench->node[1].problem, "began with a state"));
    end(&o);
}

static void only_onto_a_fresh_ring(void)
{
    struct old o;
    struct genesis genesis;
    struct ring_super super;
    char why[SEED_PROBLEM_SIZE] = "";
    begin(&o);
    struct disk *used = open_store(&o.bench->node[1].store, false);
    CU_ASSERT_EQUAL(seed_ring_fresh(used, &super, why), -EEXIST);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "00000000000000c1"));
    disk_close(used);
    o.store.bytes[ring_slot_offset(&o.super, 7) + 100] = 1; /* bits alone count as nothing ... */
    o.store.bytes[ring_slot_offset(&o.super, 7) + 101] = 0xff;
    o.store.bytes[ring_slot_offset(&o.super, 7) + 102] = 0xff;
    CU_ASSERT_EQUAL(seed_ring_fresh(o.disk, &super, why), -ENOTEMPTY); /* ... a written page not */
    memset(o.store.bytes + ring_slot_offset(&o.super, 7), 0, RING_PAGE_SIZE);
    CU_ASSERT_EQUAL(seed_ring_fresh(o.disk, &super, why), 0);
    CU_ASSERT_EQUAL(form(&o, &genesis, why), 0);
    CU_ASSERT_EQUAL(form(&o, &genesis, why), -EEXIST);
    memset(o.store.bytes, 0, o.store.size);
    CU_ASSERT_EQUAL(seed_ring_fresh(o.disk, &super, why), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "keeld format"));
    end(&o);
}

/* Index and day of seedings of one line, wherever each began: they never meet. */
static void indexes_never_come_twice(void)
{
    const uint64_t s = 1000000000u, zero = SEED_UTC_ZERO_S * s;
    uint64_t first = seed_index(500, zero + 200000000 * s);
    CU_ASSERT_EQUAL(first, UINT64_C(200000000) << SEED_RATE_BITS);
    /* a second later, from the same old state: above what 2^24 entries could make of the first */
    CU_ASSERT_EQUAL(seed_index(500, zero + 200000001 * s), first + (1u << SEED_RATE_BITS));
    CU_ASSERT_TRUE(first < UINT64_C(1) << 53);
    /* a clock that stands wrong, then or now, leaves the step */
    CU_ASSERT_EQUAL(seed_index(first + 9, zero), first + 9 + (UINT64_C(1) << SEED_STEP_BITS));
    CU_ASSERT_EQUAL(seed_index(9, 0), 9 + (UINT64_C(1) << SEED_STEP_BITS));
    char a[KEEL_DAY_NAME_SIZE], b[KEEL_DAY_NAME_SIZE];
    seed_day(zero + 200000000 * s, a);
    seed_day(zero + 200000001 * s, b);
    CU_ASSERT_TRUE(entry_day_name_ok(a) && entry_day_name_ok(b));
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    CU_ASSERT_EQUAL(memcmp(a, "R200000000", sizeof(a)), 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a lost cluster's state begins a new cluster", forms_a_cluster},
        {"own checkpoints follow the seed's", goes_on_with_checkpoints},
        {"the power goes at any write of a seeding", power_goes_anywhere},
        {"a seed that is lost is damage", a_lost_seed_is_no_empty_ring},
        {"only a ring that was formatted and no more is seeded", only_onto_a_fresh_ring},
        {"indexes and days of seedings never come twice", indexes_never_come_twice},
        {0}};
    return unit_main("seed", tests);
}
