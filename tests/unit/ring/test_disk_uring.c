/* The drive through io_uring, on real files; a ring on it, with its roles on threads of their own.
 */
#include "dataplane/disk.h"
#include "dataplane/ring/recover.h"
#include "dataplane/ring/ring.h"
#include "tests/unit/unit.h"

#include "dataplane/crc32c.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 8 << 20 };

struct place {
    char folder[64];
    char path[96];
};

static void place_make(struct place *place, const char *under)
{
    snprintf(place->folder, sizeof(place->folder), "%s/keel-disk-XXXXXX", under);
    CU_ASSERT_FATAL(mkdtemp(place->folder) != NULL);
    snprintf(place->path, sizeof(place->path), "%s/ring", place->folder);
}

static void place_remove(const struct place *place)
{
    unlink(place->path);
    rmdir(place->folder);
}

static const char *temporary(void)
{
    const char *folder = getenv("TMPDIR");
    return folder != NULL && strlen(folder) < 40 ? folder : "/var/tmp";
}

static struct disk *opened(const struct place *place, bool exclusive, const struct disk *same)
{
    struct disk_options options = {
        .path = place->path, .exclusive = exclusive, .same_file = same, .depth = 32};
    struct disk *disk = NULL;
    char problem[DISK_PROBLEM_SIZE] = "";
    int result = disk_open(&disk, &options, problem);
    if (result != 0)
        printf("# %s\n", problem);
    CU_ASSERT_FATAL(result == 0);
    return disk;
}

static void wait_for(struct disk *disk, struct disk_done *done, uint32_t count)
{
    uint32_t got = 0;
    while (got < count) {
        got += disk_reap(disk, done + got, count - got);
        sched_yield();
    }
}

static uint8_t *pattern(uint32_t size, uint32_t seed)
{
    uint8_t *bytes = aligned_alloc(4096, size);
    CU_ASSERT_FATAL(bytes != NULL);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
    return bytes;
}

static void creates_and_grows(void)
{
    struct place place;
    place_make(&place, temporary());
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT(disk_create(place.path, SIZE, problem) == 0);
    struct stat status;
    CU_ASSERT(stat(place.path, &status) == 0 && status.st_size == SIZE);
    CU_ASSERT((status.st_mode & 0777) == 0600);
    CU_ASSERT(disk_create(place.path, SIZE / 2, problem) == 0); /* never cut */
    CU_ASSERT(stat(place.path, &status) == 0 && status.st_size == SIZE);
    struct disk *disk = opened(&place, true, NULL);
    struct disk_facts facts;
    disk_facts(disk, &facts);
    CU_ASSERT(facts.size == SIZE && strncmp(facts.mode, "file", 4) == 0);
    printf("# mode %s; %s, cache %s, fua %d, polled %d\n", facts.mode,
           facts.known ? "known" : "unknown", facts.volatile_cache ? "volatile" : "none", facts.fua,
           facts.polled);
    disk_close(disk);
    CU_ASSERT(disk_create(place.folder, SIZE, problem) < 0 && strlen(problem) > 0);
    CU_ASSERT(disk_create("/dev/null", SIZE, problem) == -ENOTBLK);
    place_remove(&place);
}

static void operations_of_all_kinds(struct place *place)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(disk_create(place->path, SIZE, problem) == 0);
    struct disk *disk = opened(place, true, NULL);
    uint8_t *bytes = pattern(32 * 4096, 1);
    uint8_t *back = aligned_alloc(4096, DISK_ZERO_MAX);
    CU_ASSERT_FATAL(back != NULL);
    struct disk_done done[40];
    for (uint32_t i = 0; i < 32; i++)
        CU_ASSERT(disk_submit(disk, DISK_WRITE, i * 8192, bytes + i * 4096, 4096, 1000 + i) == 0);
    CU_ASSERT(disk_submit(disk, DISK_WRITE, 0, bytes, 4096, 0) == -EBUSY);
    CU_ASSERT(disk_kick(disk) == 0);
    wait_for(disk, done, 32);
    uint32_t tags = 0;
    for (uint32_t i = 0; i < 32; i++) {
        CU_ASSERT(done[i].result == 0);
        tags |= 1u << (done[i].tag - 1000);
    }
    CU_ASSERT(tags == UINT32_MAX && disk_reap(disk, done, 1) == 0);
    CU_ASSERT(disk_submit(disk, DISK_READ, 31 * 8192, back, 4096, 5) == 0);
    CU_ASSERT(disk_submit(disk, DISK_FLUSH, 0, NULL, 0, 6) == 0);
    CU_ASSERT(disk_kick(disk) == 0);
    wait_for(disk, done, 2);
    CU_ASSERT(done[0].result == 0 && done[1].result == 0);
    CU_ASSERT(memcmp(back, bytes + 31 * 4096, 4096) == 0);
    CU_ASSERT(disk_submit(disk, DISK_ZERO, 0, NULL, DISK_ZERO_MAX, 7) == 0);
    CU_ASSERT(disk_kick(disk) == 0);
    wait_for(disk, done, 1);
    CU_ASSERT(done[0].tag == 7 && done[0].result == 0);
    CU_ASSERT(disk_pread(disk, 0, back, DISK_ZERO_MAX) == 0);
    uint64_t other = 0;
    for (uint32_t i = 0; i < DISK_ZERO_MAX; i++)
        other += back[i] != 0;
    CU_ASSERT(other == 0);
    CU_ASSERT(disk_pwrite(disk, 4096, bytes, 32 * 4096) == 0 && disk_flush(disk) == 0);
    CU_ASSERT(disk_pread(disk, 8192, back, 4096) == 0);
    CU_ASSERT(memcmp(back, bytes + 4096, 4096) == 0);
    /* behind the end: an error, no silence */
    CU_ASSERT(disk_pread(disk, SIZE, back, 4096) == -EIO);
    CU_ASSERT(disk_submit(disk, DISK_READ, SIZE, back, 4096, 8) == 0 && disk_kick(disk) == 0);
    wait_for(disk, done, 1);
    CU_ASSERT(done[0].tag == 8 && done[0].result == -EIO);
    /* closing waits for what is in flight */
    for (uint32_t i = 0; i < 16; i++)
        CU_ASSERT(disk_submit(disk, DISK_WRITE, i * 4096, bytes, 4096, i) == 0);
    CU_ASSERT(disk_kick(disk) == 0);
    disk_close(disk);
    free(bytes);
    free(back);
    disk_close(NULL);
}

static void operations_on_a_file(void)
{
    struct place place;
    place_make(&place, temporary());
    operations_of_all_kinds(&place);
    place_remove(&place);
}

static void operations_on_tmpfs(void)
{
    struct place place;
    place_make(&place, "/dev/shm");
    operations_of_all_kinds(&place);
    place_remove(&place);
}

/* H9: a killed predecessor's writes in flight land on what the new process wrote. The lock hangs on
 * the open file that carries the writes: while any handle that shares it lives, nobody else gets
 * it. */
static void h9_lock_goes_with_the_file(void)
{
    struct place place;
    place_make(&place, temporary());
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(disk_create(place.path, SIZE, problem) == 0);
    struct disk *writer = opened(&place, true, NULL);
    struct disk *reader = opened(&place, false, writer);
    struct disk_options options = {.path = place.path, .exclusive = true, .depth = 4};
    struct disk *second = NULL;
    CU_ASSERT(disk_open(&second, &options, problem) == -EWOULDBLOCK && second == NULL);
    CU_ASSERT(strstr(problem, "another process") != NULL);
    disk_close(writer);
    CU_ASSERT(disk_open(&second, &options, problem) == -EWOULDBLOCK); /* aux may still be zeroing */
    options.exclusive = false;
    options.read_only = true;
    CU_ASSERT(disk_open(&second, &options, problem) == 0); /* offline tools look without the lock */
    disk_close(second);
    disk_close(reader);
    options.exclusive = true;
    options.read_only = false;
    CU_ASSERT(disk_open(&second, &options, problem) == 0);
    disk_close(second);
    /* a killed process: the kernel keeps the lock until its last write is through, then lets go */
    int ready[2];
    CU_ASSERT_FATAL(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct disk *disk = NULL;
        void *bytes = aligned_alloc(4096, 4096);
        memset(bytes, 1, 4096);
        if (disk_open(&disk, &options, problem) != 0)
            _exit(1);
        for (uint32_t i = 0; i < 4; i++)
            disk_submit(disk, DISK_WRITE, i * 4096, bytes, 4096, i);
        disk_kick(disk);
        (void)!write(ready[1], "x", 1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    char byte;
    CU_ASSERT(read(ready[0], &byte, 1) == 1);
    CU_ASSERT(disk_open(&second, &options, problem) == -EWOULDBLOCK);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int result = -EWOULDBLOCK;
    for (uint32_t i = 0; i < 10000 && result == -EWOULDBLOCK; i++) {
        result = disk_open(&second, &options, problem);
        usleep(1000);
    }
    CU_ASSERT(result == 0);
    disk_close(second);
    close(ready[0]);
    place_remove(&place);
}

static void opening_fails_with_words(void)
{
    struct disk *disk = NULL;
    char problem[DISK_PROBLEM_SIZE] = "";
    struct disk_options options = {.path = "/nonexistent/ring", .depth = 4};
    CU_ASSERT(disk_open(&disk, &options, problem) == -ENOENT && disk == NULL);
    CU_ASSERT(strstr(problem, "/nonexistent/ring") != NULL);
    options.path = "/dev/null";
    CU_ASSERT(disk_open(&disk, &options, problem) == -ENOTBLK);
    options.path = "/dev";
    CU_ASSERT(disk_open(&disk, &options, problem) < 0);
}

/* --- a whole ring
 * ---------------------------------------------------------------------------------- */

struct roles {
    struct ring *ring;
    bool stop;
};

static void *disk_role(void *argument)
{
    struct roles *roles = argument;
    while (!__atomic_load_n(&roles->stop, __ATOMIC_ACQUIRE))
        if (ring_disk_turn(roles->ring) == 0)
            sched_yield();
    return NULL;
}

static void *aux_role(void *argument)
{
    struct roles *roles = argument;
    while (!__atomic_load_n(&roles->stop, __ATOMIC_ACQUIRE))
        if (ring_aux_turn(roles->ring) == 0)
            sched_yield();
    return NULL;
}

static void make_genesis(struct genesis *genesis)
{
    genesis_defaults(genesis);
    genesis->magic = GENESIS_MAGIC;
    genesis->version = GENESIS_VERSION;
    genesis->size = GENESIS_SIZE;
    genesis->cluster_id = 42;
    genesis->founder[1] =
        (struct genesis_founder){.incarnation = 5, .ip = 0x0a000001, .port = 7400};
    memcpy(genesis->day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    genesis->crc = crc32c(genesis, offsetof(struct genesis, crc));
}

static void append(struct ring *ring, uint64_t lsn)
{
    struct entry *entry = ring_reserve(ring, 64, 1);
    memset(entry, 0, 64);
    entry->size = 64;
    entry->kind = ENTRY_NOOP;
    entry->version = ENTRY_VERSION;
    entry->index = ring_last_index(ring) + 1;
    entry->term = 1;
    struct entry_noop body = {.leader = 1, .incarnation = 5};
    memcpy(entry + 1, &body, sizeof(body));
    ring_commit(ring, lsn, false);
}

struct run {
    struct disk *writer, *reader;
    struct ring *ring;
    void *memory;
    size_t memory_size;
    struct ring_recovery found;
    uint64_t now_ns;
};

static void run_start(struct run *run, const struct place *place, const struct ring_super *super,
                      uint64_t boot)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    run->memory_size = ring_memory_size(super, 64);
    run->memory = aligned_alloc(4096, run->memory_size);
    CU_ASSERT_FATAL(run->memory != NULL);
    struct disk_options options = {.path = place->path,
                                   .exclusive = true,
                                   .depth = 64,
                                   .registered = run->memory,
                                   .registered_size = run->memory_size};
    CU_ASSERT_FATAL(disk_open(&run->writer, &options, problem) == 0);
    options.same_file = run->writer;
    options.depth = 256;
    CU_ASSERT_FATAL(disk_open(&run->reader, &options, problem) == 0);
    CU_ASSERT_FATAL(ring_recover(run->reader, true, &run->found, problem) == 0);
    if (run->found.damage != RING_INTACT)
        printf("# %s\n", run->found.why);
    CU_ASSERT_FATAL(run->found.damage == RING_INTACT);
    CU_ASSERT(run->found.boot == boot - 1);
    struct ring_options ring_options = {.writer = run->writer,
                                        .reader = run->reader,
                                        .memory = run->memory,
                                        .window_pages = 64,
                                        .flight_pages = 16,
                                        .cluster_id = 42,
                                        .boot = boot,
                                        .boot_id = boot * 7};
    CU_ASSERT_FATAL(ring_start(&run->ring, &ring_options, &run->found, problem) == 0);
}

static void run_stop(struct run *run)
{
    ring_stop(run->ring);
    disk_close(run->reader);
    disk_close(run->writer);
    ring_recovery_free(&run->found);
    free(run->memory);
}

/* Appends until the index is durable, with everything done at once and one checkpoint a lap's half.
 */
static void drive(struct run *run, uint64_t to, uint64_t *lsn)
{
    struct ring *ring = run->ring;
    uint64_t base_index = ring_last_index(ring), base_lsn = *lsn;
    bool failed = false;
    uint64_t durable = 0, checkpoint = base_index;
    while (durable < to && !failed) {
        for (uint32_t i = 0; i < 20 && ring_last_index(ring) < to; i++) {
            if (ring_room(ring, 1, 64) != RING_ROOM)
                break;
            append(ring, ++*lsn);
        }
        ring_turn(ring, run->now_ns += RING_SEAL_AFTER_NS);
        uint64_t durable_lsn = ring_durable_lsn(ring, &failed);
        durable = base_index + (durable_lsn > base_lsn ? durable_lsn - base_lsn : 0);
        ring_note_commit(ring, durable);
        ring_note_done(ring, durable);
        if (durable > checkpoint + 3000) {
            ring_control_checkpoint(ring, checkpoint);
            checkpoint = durable;
        }
        sched_yield();
    }
    CU_ASSERT(!failed);
}

static void formatted(struct place *place, struct ring_super *super)
{
    place_make(place, temporary());
    *super =
        (struct ring_super){.replica = 1, .incarnation = 5, .slots = 512, .checkpoint_blocks = 2};
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(disk_create(place->path, ring_file_size(super), problem) == 0);
    struct disk *disk = opened(place, true, NULL);
    struct genesis genesis;
    make_genesis(&genesis);
    CU_ASSERT_FATAL(ring_format(disk, super, NULL, NULL, problem) == 0);
    CU_ASSERT_FATAL(ring_genesis_install(disk, &genesis, false, problem) == 0);
    disk_close(disk);
}

static void ring_with_threads(void)
{
    struct place place;
    struct ring_super super;
    formatted(&place, &super);
    static struct run run;
    run_start(&run, &place, &super, 1);
    struct roles roles = {.ring = run.ring};
    pthread_t threads[2];
    CU_ASSERT_FATAL(pthread_create(&threads[0], NULL, disk_role, &roles) == 0);
    CU_ASSERT_FATAL(pthread_create(&threads[1], NULL, aux_role, &roles) == 0);
    uint64_t lsn = 1;
    ring_hard(run.ring, 1, 1, lsn);
    drive(&run, 60000, &lsn);
    CU_ASSERT(ring_boot_durable(run.ring));
    /* an old page from the drive while all goes on */
    uint64_t index = ring_first_index(run.ring);
    CU_ASSERT(ring_read_request(run.ring, RING_READER_SEQ, index, 9));
    struct ring_read read;
    while (!ring_read_poll(run.ring, RING_READER_SEQ, &read))
        sched_yield();
    CU_ASSERT(read.result == 0 && read.tag == 9 && read.first == index);
    ring_read_release(run.ring, RING_READER_SEQ, &read);
    __atomic_store_n(&roles.stop, true, __ATOMIC_RELEASE);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    struct ring_stats stats;
    ring_stats(run.ring, &stats);
    printf(
        "# 60000 entries in %llu pages, %llu seals, %u in flight at most, tail %llu, head %llu\n",
        (unsigned long long)stats.pages_written, (unsigned long long)stats.seals,
        stats.in_flight_max, (unsigned long long)stats.tail_page,
        (unsigned long long)stats.head_page);
    run_stop(&run);

    /* The head moved by checkpoints that this test only claims, so the log of a wrapped ring must
     * be refused; one that did not wrap is found whole. */
    struct disk *disk = opened(&place, true, NULL);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(disk, false, &found, problem) == 0);
    CU_ASSERT(found.last_index == 60000 && found.tail_page >= stats.tail_page);
    printf("# damage: %s\n", ring_damage_name(found.damage));
    CU_ASSERT(found.damage == (found.first_index > 1 ? RING_ROT_CHECKPOINT : RING_INTACT));
    ring_recovery_free(&found);
    disk_close(disk);
    place_remove(&place);
}

static void ring_with_restarts(void)
{
    struct place place;
    struct ring_super super;
    formatted(&place, &super);
    static struct run run;
    uint64_t lsn = 1;
    for (uint64_t boot = 1; boot <= 5; boot++) {
        run_start(&run, &place, &super, boot);
        CU_ASSERT(ring_last_index(run.ring) == (boot - 1) * 500);
        if (boot == 1)
            ring_hard(run.ring, 1, 1, lsn);
        bool failed = false;
        while (ring_durable_lsn(run.ring, &failed) < boot * 500 + 1 && !failed) {
            if (lsn < boot * 500 + 1)
                append(run.ring, ++lsn);
            ring_note_done(run.ring, ring_last_index(run.ring));
            ring_turn(run.ring, run.now_ns += RING_SEAL_AFTER_NS);
            ring_disk_turn(run.ring);
            ring_aux_turn(run.ring);
        }
        CU_ASSERT(!failed);
        run_stop(&run);
    }
    place_remove(&place);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"files are made and grown", creates_and_grows},
        {"operations on a file", operations_on_a_file},
        {"operations on tmpfs", operations_on_tmpfs},
        {"H9 the lock goes with the file", h9_lock_goes_with_the_file},
        {"opening fails with words", opening_fails_with_words},
        {"a ring with its roles on threads", ring_with_threads},
        {"a ring started five times", ring_with_restarts},
        {0}};
    return unit_main("disk over io_uring", tests);
}
