/* Crash images: power goes at every write boundary, and of the sectors in flight any subset has
 * reached the drive. Recovery must give exactly the pages before the first that is not whole, hard
 * state included, and never call a crash rot (pitfalls 1, 3). What was durable and told is always
 * there; behind it may stand pages that got there whole in order, and nothing else.
 *
 * test_ring_crash [SEED [BITS]]: SEED names the workloads' sizes and the draws, BITS how many
 * sectors in flight are tried in every subset (default 0 and 10; more of them are drawn 200 times).
 * `./dev images` runs it with a seed of the day's commit, tests/images/images.py reads the
 * figures. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

enum {
    SECTORS_MAX = 512,
    SECTORS_EVERY = 10, /* so many sectors in flight or fewer: every subset; else a draw */
    DRAWS = 200,
    DEEP_EVERY = 64 /* every so many images are started, compared entry by entry, crashed again */
};

/* Set in main alone. */
static struct {
    uint64_t seed;
    uint32_t every;
} run = {0, SECTORS_EVERY};

static struct {
    uint64_t images, boundaries, every, prefix, tail, torn, whole, deep, zeroing, recovery;
} figures;

struct images {
    struct world image; /* a second world that holds one image at a time */
    struct memory_sector sectors[SECTORS_MAX];
    uint64_t tried, exhaustive, torn, whole, deep, boundaries, in_flight_max;
};

static void images_init(struct images *images, const struct world *world)
{
    memset(images, 0, sizeof(*images));
    world_init(&images->image, world->super.slots, world->window_pages, world->flight_pages, 99);
}

/* The model of the image is the original's; drive, memory and generator are its own. */
static void borrow(struct images *images, const struct world *world)
{
    struct world *image = &images->image;
    memcpy(image->store.bytes, world->store.bytes, world->store.size);
    memcpy(image->log, world->log, (world->last + 1) * sizeof(world->log[0]));
    memcpy(image->made, world->made, world->made_count * sizeof(world->made[0]));
    memcpy(image->pages, world->pages, world->tail * sizeof(world->pages[0]));
    image->made_count = world->made_count;
    image->lsn = world->lsn;
    image->last = world->last;
    image->term = world->term;
    image->vote = world->vote;
    image->commit = world->commit;
    image->boot = world->boot;
    image->tail = world->tail;
    image->checkpoint_sequence = world->checkpoint_sequence;
    memcpy(image->checkpoint_index, world->checkpoint_index, sizeof(image->checkpoint_index));
    image->installs = world->installs;
    image->began = world->began;
    image->installed = world->installed;
    image->installed_term = world->installed_term;
    image->installed_chain = world->installed_chain;
}

/* First page whose sectors are not all there: everything before it must be found. */
static uint64_t expected_tail(const struct images *images, const struct world *world,
                              uint32_t count, const uint8_t *chosen)
{
    uint64_t tail = world->store.issued_to; /* closed pages behind it never went to the drive */
    for (uint32_t i = 0; i < count; i++) {
        const struct memory_operation *operation =
            &world->store.pending[images->sectors[i].operation];
        if (operation->op == DISK_WRITE && !chosen[i] && operation->tag < tail)
            tail = operation->tag;
    }
    return tail;
}

static void try_image(struct images *images, const struct world *world, uint32_t count,
                      const uint8_t *chosen)
{
    struct world *image = &images->image;
    borrow(images, world);
    for (uint32_t i = 0; i < count; i++)
        if (chosen[i])
            memcpy(image->store.bytes + images->sectors[i].offset, images->sectors[i].bytes,
                   MEMORY_SECTOR);
    uint64_t tail = expected_tail(images, world, count, chosen);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    bool repair = images->tried % 2 == 0;
    CU_ASSERT_FATAL(ring_recover(image->reader, repair, &found, problem) == 0);
    CU_ASSERT_FATAL(world_same(image, &found, tail));
    /* nothing that anybody was told of may be missing */
    bool failed;
    uint64_t durable = ring_durable_page(world->ring);
    CU_ASSERT_FATAL(found.tail_page >= durable);
    CU_ASSERT_FATAL(found.last_lsn >= ring_durable_lsn(world->ring, &failed));
    images->tried++;
    figures.prefix += found.tail_page == durable;
    figures.tail += found.tail_page > durable;
    images->torn += found.torn_pages > 0;
    images->whole += found.torn_pages == 0;
    ring_recovery_free(&found);
    if (images->tried % DEEP_EVERY != 0)
        return;
    images->deep++;
    world_start(image);
    image->store.hold = false;
    world_check_entries(image);
    for (uint32_t i = 0; i < 5; i++) {
        world_append(image, image->term + 1, 500);
        world_settle(image);
    }
    world_check_entries(image);
    world_crash(image);
    world_start(image);
    world_crash(image);
}

/* Every subset of what is in flight now, or a sample. */
static void try_boundary(struct images *images, struct world *world)
{
    uint8_t chosen[SECTORS_MAX];
    uint32_t count = memory_in_flight(&world->store, images->sectors, SECTORS_MAX);
    CU_ASSERT_FATAL(count < SECTORS_MAX);
    images->boundaries++;
    if (count > images->in_flight_max)
        images->in_flight_max = count;
    bool all = count <= run.every;
    images->exhaustive += all;
    uint32_t subsets = all ? 1u << count : DRAWS;
    for (uint32_t subset = 0; subset < subsets; subset++) {
        uint64_t dense = world_random(world) % 8;
        for (uint32_t i = 0; i < count; i++)
            chosen[i] = (uint8_t)(all ? subset >> i & 1 : world_random(world) % 8 < dense + 1);
        try_image(images, world, count, chosen);
    }
}

/* --- workloads -----------------------------------------------------------------------------------
 */

/* A step of work, then the disk takes what is closed: that is a boundary; then one write completes:
 * another. */
static void boundary(struct images *images, struct world *world)
{
    world_seq_turn(world);
    ring_disk_turn(world->ring);
    ring_aux_turn(world->ring);
    try_boundary(images, world);
    if (world->store.pending_count > 0 && world_random(world) % 2 == 0) {
        memory_complete(&world->store,
                        (uint32_t)(world_random(world) % world->store.pending_count));
        try_boundary(images, world); /* completed, and nobody knows yet */
        ring_disk_turn(world->ring);
        ring_aux_turn(world->ring);
    }
}

static void report(const char *what, const struct images *images)
{
    printf("# %s: %llu images at %llu boundaries (%llu with every subset), %llu torn, %llu whole, "
           "%llu run on, up to %llu sectors in flight\n",
           what, (ull)images->tried, (ull)images->boundaries, (ull)images->exhaustive,
           (ull)images->torn, (ull)images->whole, (ull)images->deep, (ull)images->in_flight_max);
    figures.images += images->tried;
    figures.boundaries += images->boundaries;
    figures.every += images->exhaustive;
    figures.torn += images->torn;
    figures.whole += images->whole;
    figures.deep += images->deep;
}

/* Another seed for each workload, another history for each run's. */
static uint64_t seed_of(uint64_t workload)
{
    return run.seed * 100 + workload;
}

static void images_free(struct images *images)
{
    world_free(&images->image);
}

static void first_pages(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 4, seed_of(3));
    images_init(&images, &world);
    world_start(&world);
    world.store.hold = true;
    boundary(&images, &world); /* the boot's page alone */
    for (uint32_t i = 0; i < 80; i++) {
        for (uint32_t j = 0; j <= i % 9; j++)
            CU_ASSERT_FATAL(world_append(&world, world.term > 0 ? world.term : 1,
                                         40 + (uint32_t)(world_random(&world) % 400)));
        world_done(
            &world,
            world.pages[ring_durable_page(world.ring) > 0 ? ring_durable_page(world.ring) - 1 : 0]
                .last_index);
        if (i % 7 == 3)
            world_hard(&world, world.term + 1, 2);
        boundary(&images, &world);
    }
    report("small entries and votes", &images);
    CU_ASSERT(images.torn > 100 && images.whole > 100 && images.exhaustive > 10);
    images_free(&images);
    world_free(&world);
}

/* Pitfall 1: nobody votes twice in a term. A vote that was durable is found whatever else is torn;
 * the model holds term and vote of each page, so world_same() compares them in every image. */
static void votes_only(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 8, seed_of(4));
    images_init(&images, &world);
    world_start(&world);
    world.store.hold = true;
    for (uint32_t i = 0; i < 60; i++) {
        world_hard(&world, world.term + 1, (uint8_t)(i % 4));
        boundary(&images, &world);
        if (world.vote == 0) {
            world_hard(&world, world.term, 1);
            boundary(&images, &world);
        }
    }
    report("votes", &images);
    CU_ASSERT(images.tried > 150);
    images_free(&images);
    world_free(&world);
}

static void many_in_flight(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 16, seed_of(5));
    images_init(&images, &world);
    world_start(&world);
    world.store.hold = false;
    world_settle(&world);
    world.store.hold = true;
    uint32_t truncations = 0;
    for (uint32_t i = 0; i < 40; i++) {
        for (uint32_t j = 0; j < 6; j++)
            world_append(&world, world.term > 0 ? world.term : 1, 900);
        if (i % 5 == 4 && world.last > world.commit + 3)
            truncations += world_truncate(&world, world.last - 2, world.term + 1);
        boundary(&images, &world);
        while (world.store.pending_count > 10) {
            memory_complete(&world.store,
                            (uint32_t)(world_random(&world) % world.store.pending_count));
            ring_disk_turn(world.ring);
        }
        uint64_t durable = world.pages[ring_durable_page(world.ring) - 1].last_index;
        if (durable > world.done && durable + 4 < world.last)
            world_done(&world, durable);
    }
    report("many in flight, truncations", &images);
    CU_ASSERT(images.in_flight_max > 40 && images.torn > 500 && truncations > 3);
    images_free(&images);
    world_free(&world);
}

/* H10: power goes while aux zeroes old-lap slots. Half-zeroed slots are left over, never judged. */
static void h10_wrap_with_checkpoints(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 4, seed_of(6));
    images_init(&images, &world);
    world_start(&world);
    uint64_t zeroing = 0;
    for (uint32_t i = 0; i < 1200; i++) {
        world.store.hold = false;
        CU_ASSERT_FATAL(world_append(&world, 1 + i / 100, 1200));
        CU_ASSERT_FATAL(world_append(&world, 1 + i / 100, 1200));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 40 == 39)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
        if (i % 40 != 39)
            continue;
        world.store.hold = true;
        for (uint32_t j = 0; j < 20; j++) {
            world_append(&world, 1 + i / 100, 600);
            bool zero = false;
            for (uint32_t k = 0; k < world.store.pending_count; k++)
                zero = zero || world.store.pending[k].op == DISK_ZERO;
            zeroing += zero;
            if (zero || j % 5 == 0)
                boundary(&images, &world);
            world_turn(&world);
            if (j % 3 == 0 && world.store.pending_count > 0) {
                memory_complete(&world.store, 0);
                world_turn(&world);
            }
        }
    }
    report("wrap-around with checkpoints", &images);
    printf("# %llu boundaries with zeroing in flight, %llu laps\n", (ull)zeroing,
           (ull)(world.tail / 256));
    figures.zeroing += zeroing;
    CU_ASSERT(zeroing > 20 && world.tail > 5 * 256);
    images_free(&images);
    world_free(&world);
}

/* A peer's checkpoint takes the log's place, with pages of the log before still in flight: whenever
 * the power goes, the start finds the one or the other, with term, vote and boots of the pages that
 * go. Every second one meets a log that is longer and took another way. */
static void new_stretches(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 8, 12);
    images_init(&images, &world);
    world_start(&world);
    world_settle(&world);
    uint64_t begun = 0;
    for (uint32_t i = 0; i < 16; i++) {
        world.store.hold = false;
        for (uint32_t j = 0; j < 20; j++)
            CU_ASSERT_FATAL(world_append(&world, world.term > 0 ? world.term : 1, 900));
        world_settle(&world);
        world.store.hold = true;
        for (uint32_t j = 0; j <= i % 12; j++)
            world_append(&world, world.term, 900);
        if (i % 3 == 0)
            world_hard(&world, world.term + 1, 3);
        boundary(&images, &world);
        uint64_t index = i % 2 == 0 ? world.last + 1 + i * 7 : world.last - 4;
        if (index <= world.commit)
            continue;
        CU_ASSERT_FATAL(world_store_peers(&world, index, world.term + i % 3, 2) == 0);
        try_boundary(&images, &world); /* durable, and nobody has begun behind it */
        boundary(&images, &world);
        while (!world_begin(&world)) { /* bound: what is in flight, and the open page */
            memory_complete_all(&world.store);
            world_turn(&world);
        }
        begun++;
        for (uint32_t j = 0; j < 6; j++) {
            world_append(&world, world.term, 500);
            boundary(&images, &world);
        }
        memory_complete_all(&world.store);
        world_turn(&world);
        try_boundary(&images, &world); /* what aux makes zeros is in flight */
        world.store.hold = false;
        world_settle(&world);
        world_check_entries(&world);
        if (i % 5 == 4) {
            world_crash(&world);
            world_start(&world);
            world_settle(&world);
        }
    }
    report("new stretches behind a peer's checkpoint", &images);
    CU_ASSERT(begun > 12 && images.torn > 200 && images.deep > 100);
    images_free(&images);
    world_free(&world);
}

/* The world itself loses power with a draw of the sectors in flight, and starts again, each time
 * with another limit of pages in flight: what recovery judges by is the limit that the pages state.
 */
static void other_limits(void)
{
    static struct images images;
    struct world world;
    world_init(&world, 256, 64, 4, seed_of(9));
    images_init(&images, &world);
    for (uint32_t boot = 0; boot < 40; boot++) {
        world.flight_pages = 1 + (uint32_t)(world_random(&world) % RING_FLIGHT_PAGES_MAX);
        images.image.flight_pages = 1 + (uint32_t)(world_random(&world) % RING_FLIGHT_PAGES_MAX);
        world.store.hold = false;
        world_start(&world);
        world.store.hold = true;
        for (uint32_t i = 0; i < 3; i++) {
            for (uint32_t j = 0; j < 9; j++)
                world_append(&world, world.term > 0 ? world.term : 1, 1200);
            if (i == 0 || world_random(&world) % 3 == 0)
                boundary(&images, &world);
            world_turn(&world);
        }
        uint32_t count = memory_in_flight(&world.store, images.sectors, SECTORS_MAX);
        for (uint32_t i = 0; i < count; i++)
            if (world_random(&world) % 4 != 0)
                memcpy(world.store.bytes + images.sectors[i].offset, images.sectors[i].bytes,
                       MEMORY_SECTOR);
        world_crash(&world);
    }
    report("forty starts with other limits", &images);
    CU_ASSERT(images.tried > 3000 && images.torn > 2000);
    images_free(&images);
    world_free(&world);
}

/* Power goes during recovery itself, at each of its writes, with any of 64 draws of that write's
 * sectors: the next recovery finds the same. */
static void crash_in_recovery(void)
{
    struct world world;
    static struct images images;
    world_init(&world, 256, 64, 8, seed_of(8));
    images_init(&images, &world);
    world_start(&world);
    world_settle(&world);
    world.store.hold = true;
    /* three pages in flight; of the first nothing, of the others all has been written */
    for (uint32_t i = 0; i < 12; i++)
        CU_ASSERT_FATAL(world_append(&world, 1, 1000));
    world_seq_turn(&world);
    ring_disk_turn(world.ring);
    CU_ASSERT_FATAL(world.store.pending_count >= 3);
    uint32_t count = memory_in_flight(&world.store, images.sectors, SECTORS_MAX);
    uint64_t durable = ring_durable_page(world.ring);
    uint64_t crashes = 0;
    for (uint64_t power = 1; power < 10; power++) {
        bool gone = false;
        for (uint32_t draw = 0; draw < 64; draw++) {
            struct world *image = &images.image;
            borrow(&images, &world);
            for (uint32_t i = 0; i < count; i++)
                if (world.store.pending[images.sectors[i].operation].tag != durable)
                    memcpy(image->store.bytes + images.sectors[i].offset, images.sectors[i].bytes,
                           MEMORY_SECTOR);
            memset(image->store.bytes, 0, 512); /* a superblock copy to be made anew as well */
            image->store.power_at = image->store.writes + power;
            image->store.power_sectors = world_random(&world);
            struct ring_recovery found;
            char problem[DISK_PROBLEM_SIZE] = "";
            gone = ring_recover(image->reader, true, &found, problem) != 0;
            image->store.power_at = 0;
            image->store.powerless = false;
            if (!gone)
                ring_recovery_free(&found);
            crashes += gone;
            CU_ASSERT_FATAL(ring_recover(image->reader, true, &found, problem) == 0);
            CU_ASSERT_FATAL(world_same(image, &found, durable));
            ring_recovery_free(&found);
        }
        if (!gone)
            break;
    }
    printf("# %llu crashes within recovery\n", (ull)crashes);
    figures.recovery += crashes;
    CU_ASSERT(crashes >= 64);
    images_free(&images);
    world_free(&world);
}

/* Every class of outcome has been seen; as one line for the script. */
static void all_classes(void)
{
    printf("# figures: images %llu boundaries %llu every-subset %llu durable-prefix %llu "
           "legal-tail %llu torn %llu whole %llu run-on %llu zeroing-in-flight %llu "
           "crash-in-recovery %llu\n",
           (ull)figures.images, (ull)figures.boundaries, (ull)figures.every, (ull)figures.prefix,
           (ull)figures.tail, (ull)figures.torn, (ull)figures.whole, (ull)figures.deep,
           (ull)figures.zeroing, (ull)figures.recovery);
    CU_ASSERT(figures.every > 0 && figures.prefix > 0 && figures.tail > 0 && figures.torn > 0);
    CU_ASSERT(figures.whole > 0 && figures.deep > 0 && figures.zeroing > 0 && figures.recovery > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        run.seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        run.every = (uint32_t)strtoul(argv[2], NULL, 10);
    ENSURE(run.every < 32);
    printf("# seed %llu\n", (ull)run.seed);
    /* thousands of recoveries: keep their buffers instead of faulting them in each time */
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    static const struct unit_test tests[] = {
        {"small entries and votes, every subset of sectors", first_pages},
        {"votes alone", votes_only},
        {"many pages in flight, truncations", many_in_flight},
        {"H10 wrap-around, zeroing in flight", h10_wrap_with_checkpoints},
        {"new stretches behind a peer's checkpoint", new_stretches},
        {"starts with other limits in flight", other_limits},
        {"power goes during recovery", crash_in_recovery},
        {"every class of outcome was seen", all_classes},
        {0}};
    return unit_main("ring crash images", tests);
}
