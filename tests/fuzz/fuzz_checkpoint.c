/* Checkpoints: a machine's encoding, the feed's exceptions behind it, and both as they lie in an
 * area of the drive. What decodes encodes to the same bytes, else it is refused; an area that was
 * changed is refused, or reads as it was written. */
#include "tests/fuzz/machine_steps.h"

#include "control/backup_file.h"
#include "dataplane/crc32c.h"
#include "dataplane/feed_exceptions.h"
#include "dataplane/ring/recover.h"
#include "tests/unit/ring/disk_memory.h"

#include <stdlib.h>
#include <string.h>

enum { ENCODED_MAX = 64 << 10, AREA_BLOCKS = 20, CHANGES_MAX = 8 };

static uint8_t encoded[ENCODED_MAX], again[ENCODED_MAX];
static struct feed_exceptions exceptions;

static void decode_machine(const struct genesis *genesis, const uint8_t *bytes, size_t size)
{
    struct machine *machine = bench_memory(genesis);
    const char *why = machine_decode(machine, genesis, bytes, size);
    if (why != NULL) {
        FUZZ_REQUIRE(why[0] != 0 && machine->applied == 0 && machine->session_count == 0);
    } else {
        FUZZ_REQUIRE(machine_encode(machine, again, sizeof(again)) == size);
        FUZZ_REQUIRE(memcmp(again, bytes, size) == 0);
    }
    free(machine);
}

static void decode_exceptions(const uint8_t *bytes, size_t size)
{
    feed_exceptions_clear(&exceptions);
    if (!feed_exceptions_decode(&exceptions, 77, bytes, size)) {
        FUZZ_REQUIRE(exceptions.head == exceptions.tail && exceptions.lost == 77);
        return;
    }
    FUZZ_REQUIRE(feed_exceptions_encode(&exceptions, again, sizeof(again)) == size);
    FUZZ_REQUIRE(memcmp(again, bytes, size) == 0);
}

/* A history's machine and exceptions, encoded; returns the sizes. */
static size_t build(const struct genesis *genesis, struct fuzz_input *in, size_t *machine_bytes)
{
    static struct bench bench;
    bench_init(&bench, genesis);
    feed_exceptions_clear(&exceptions);
    uint32_t steps = fuzz_below(in, 64);
    for (uint32_t i = 0; i < steps && fuzz_left(in); i++) {
        if (!machine_steps_build(&bench, in))
            continue;
        const struct machine_outcome *o = bench_apply(&bench);
        feed_exceptions_applied(&exceptions, bench.machine,
                                (const struct entry *)(const void *)bench.bytes, o);
    }
    *machine_bytes = machine_encode(bench.machine, encoded, sizeof(encoded));
    size_t size = *machine_bytes + feed_exceptions_encode(&exceptions, encoded + *machine_bytes,
                                                          sizeof(encoded) - *machine_bytes);
    FUZZ_REQUIRE(*machine_bytes > 0 && size > *machine_bytes);
    bench_free(&bench);
    return size;
}

static void change(struct fuzz_input *in, uint8_t *bytes, size_t size)
{
    for (uint32_t i = 0; i < CHANGES_MAX && fuzz_left(in); i++)
        bytes[fuzz_u16(in) % size] ^= fuzz_u8(in);
}

/* Written to an area, changed there, read back. */
static void through_drive(struct fuzz_input *in, size_t machine_bytes, size_t size)
{
    struct ring_super super = {
        .replica = 1, .incarnation = 9, .slots = RING_SLOTS_MIN, .checkpoint_blocks = AREA_BLOCKS};
    struct memory_store store;
    char path[MEMORY_PATH_SIZE], problem[DISK_PROBLEM_SIZE];
    struct disk *disk;
    memory_store_init(&store, ring_slot_offset(&super, 0));
    memory_store_path(&store, path);
    const struct disk_options options = {.path = path, .depth = 1};
    FUZZ_REQUIRE(disk_open(&disk, &options, problem) == 0);
    /* index 0: of no entry, which would have to lie in a page */
    struct ring_checkpoint head = {.replica = 1,
                                   .incarnation = 9,
                                   .cluster_id = 77,
                                   .chain = 1,
                                   .size = size,
                                   .machine_size = machine_bytes,
                                   .sequence = 1};
    static _Alignas(4096) uint8_t body[ENCODED_MAX];
    memcpy(body, encoded, size);
    unsigned area = fuzz_u8(in) & 1;
    int rc = ring_checkpoint_write(disk, &super, area, &head, body, size);
    FUZZ_REQUIRE(rc == 0 || size > (AREA_BLOCKS - 1) * RING_PAGE_SIZE);
    change(in, store.bytes + ring_checkpoint_offset(&super, area), RING_PAGE_SIZE + size);
    struct ring_checkpoint found;
    int64_t got = ring_checkpoint_read(disk, &super, area, &found, body, sizeof(body));
    if (rc == 0 && got >= 0) {
        FUZZ_REQUIRE((size_t)got == size && memcmp(body, encoded, size) == 0);
        FUZZ_REQUIRE(memcmp(&found, &head, sizeof(head)) == 0);
    }
    disk_close(disk);
    memory_store_free(&store);
}

/* A backup's file, changed; half of the time with its checksums made right again. What is taken
 * encodes to the same bytes. */
static void through_backup(const struct genesis *genesis, struct fuzz_input *in)
{
    struct genesis sealed = *genesis;
    sealed.crc = crc32c(&sealed, offsetof(struct genesis, crc));
    struct machine *machine = bench_memory(genesis);
    size_t machine_bytes;
    build(genesis, in, &machine_bytes);
    FUZZ_REQUIRE(machine_decode(machine, genesis, encoded, machine_bytes) == NULL);
    struct backup_head head = {.replica = 1, .current_term = machine->applied_term};
    uint64_t size = backup_encode(&head, &sealed, machine, encoded, sizeof(encoded));
    free(machine);
    bool mend = (fuzz_u8(in) & 1) != 0;
    change(in, encoded, size);
    if (mend) {
        memcpy(&head, encoded, sizeof(head));
        head.body_crc = crc32c(encoded + BACKUP_HEAD_SIZE, size - BACKUP_HEAD_SIZE);
        head.crc = crc32c(&head, offsetof(struct backup_head, crc));
        memcpy(encoded, &head, sizeof(head));
    }
    struct genesis found;
    char why[BACKUP_WHY_MAX];
    if (!backup_decode(encoded, size, &head, &found, &machine, why)) {
        FUZZ_REQUIRE(why[0] != 0 && machine == NULL);
        return;
    }
    uint64_t cap = backup_size_max(&found);
    uint8_t *second = malloc(cap);
    FUZZ_REQUIRE(second != NULL && backup_encode(&head, &found, machine, second, cap) == size);
    FUZZ_REQUIRE(memcmp(second + BACKUP_HEAD_SIZE, encoded + BACKUP_HEAD_SIZE,
                        size - BACKUP_HEAD_SIZE) == 0);
    free(second);
    free(machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_open(data, size);
    const struct genesis genesis = machine_steps_genesis();
    size_t machine_bytes, built;
    switch (fuzz_below(&in, 6)) {
    case 0:
        decode_machine(&genesis, in.at, in.left);
        break;
    case 1:
        decode_exceptions(in.at, in.left);
        break;
    case 2:
        build(&genesis, &in, &machine_bytes);
        change(&in, encoded, machine_bytes);
        decode_machine(&genesis, encoded, machine_bytes);
        break;
    case 3:
        built = build(&genesis, &in, &machine_bytes);
        change(&in, encoded + machine_bytes, built - machine_bytes);
        decode_exceptions(encoded + machine_bytes, built - machine_bytes);
        break;
    case 4:
        through_backup(&genesis, &in);
        break;
    default:
        built = build(&genesis, &in, &machine_bytes);
        through_drive(&in, machine_bytes, built);
        break;
    }
    return 0;
}
