/* The first blocks: format, superblock, genesis record. Each stands there twice; one intact copy
 * will do. */
#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_CHUNK = 1 << 20 };
_Static_assert(FORMAT_CHUNK % RING_PAGE_SIZE == 0, "format writes whole blocks");

static void *block_buffer(size_t size)
{
    return aligned_alloc(DISK_BLOCK, size);
}

static int no_memory(char *problem)
{
    snprintf(problem, DISK_PROBLEM_SIZE, "ring: no memory");
    return -ENOMEM;
}

/* --- format --------------------------------------------------------------------------------------
 */

static int zero_all(struct disk *disk, uint64_t size,
                    void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
    void *zeros = block_buffer(FORMAT_CHUNK);
    if (zeros == NULL) /* unreachable: no memory */
        return -ENOMEM;
    memset(zeros, 0, FORMAT_CHUNK);
    int result = 0;
    for (uint64_t done = 0; done < size && result == 0;) { /* bound: size */
        /* Both superblocks go first, alone: who has none has promised nothing. */
        uint64_t most = done == 0 ? 2 * RING_PAGE_SIZE : FORMAT_CHUNK;
        uint64_t part = size - done < most ? size - done : most;
        result = disk_pwrite(disk, done, zeros, part);
        done += part;
        if (result == 0 && progress != NULL)
            progress(context, done, size);
    }
    free(zeros);
    return result;
}

/* Writes one 512-byte record into a block of its own. */
static int write_block(struct disk *disk, uint64_t block, const void *record)
{
    uint8_t *bytes = block_buffer(RING_PAGE_SIZE);
    if (bytes == NULL) /* unreachable: no memory */
        return -ENOMEM;
    memset(bytes, 0, RING_PAGE_SIZE);
    memcpy(bytes, record, RING_SECTOR_SIZE);
    int result = disk_pwrite(disk, block * RING_PAGE_SIZE, bytes, RING_PAGE_SIZE);
    free(bytes);
    return result;
}

int ring_format(struct disk *disk, const struct ring_super *super,
                void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                char *problem)
{
    struct ring_super written = *super;
    written.magic = RING_SUPER_MAGIC;
    written.version = RING_VERSION;
    memset(written.reserved, 0, sizeof(written.reserved));
    ring_super_finish(&written);
    struct disk_facts facts;
    disk_facts(disk, &facts);
    const char *why = ring_super_problem(&written, facts.size);
    if (why != NULL) {
        snprintf(problem, DISK_PROBLEM_SIZE, "format: %s", why);
        return -EINVAL;
    }
    int result = zero_all(disk, ring_file_size(&written), progress, context);
    for (uint64_t copy = 0; copy < 2 && result == 0; copy++)
        result = write_block(disk, RING_SUPER_BLOCK + copy, &written);
    if (result == 0)
        result = disk_flush(disk);
    if (result < 0)
        snprintf(problem, DISK_PROBLEM_SIZE, "format: writing: %s", strerror(-result));
    return result;
}

/* --- superblock ----------------------------------------------------------------------------------
 */

int ring_first_data(struct disk *disk, uint64_t *offset)
{
    struct disk_facts facts;
    disk_facts(disk, &facts);
    uint64_t size = facts.size / RING_PAGE_SIZE * RING_PAGE_SIZE;
    uint8_t *chunk = block_buffer(FORMAT_CHUNK);
    if (chunk == NULL) /* unreachable: no memory */
        return -ENOMEM;
    int result = -ENOENT;
    for (uint64_t done = 0; done < size && result == -ENOENT;) { /* bound: size */
        uint64_t part = size - done < FORMAT_CHUNK ? size - done : FORMAT_CHUNK;
        int read = disk_pread(disk, done, chunk, part);
        for (uint64_t at = 0; read == 0 && result != 0 && at < part; at += RING_PAGE_SIZE)
            if (!ring_sectors_zero(chunk + at, (1u << RING_SECTORS) - 1)) {
                *offset = done + at;
                result = 0;
            }
        if (read < 0)
            result = read;
        done += part;
    }
    free(chunk);
    return result;
}

/* Without a superblock: was there ever one? Whoever wiped it has left the genesis record. */
static int no_super(struct disk *disk, char *problem)
{
    struct genesis genesis;
    uint32_t bad;
    char why[DISK_PROBLEM_SIZE];
    int result = ring_genesis_copies(disk, &genesis, &bad, why);
    if (result == 0)
        snprintf(problem, DISK_PROBLEM_SIZE,
                 "ring: both copies of the superblock are gone, but a founder's record of cluster "
                 "%016llx is here: a damaged ring, no empty one",
                 (unsigned long long)genesis.cluster_id);
    else if (result != -ENOENT)
        snprintf(problem, DISK_PROBLEM_SIZE,
                 "ring: both copies of the superblock are gone, and what stands behind them is no "
                 "empty ring");
    else
        snprintf(problem, DISK_PROBLEM_SIZE, "no ring here: format it first");
    return result == -ENOENT ? -ENOENT : -EBADMSG;
}

/* Intact, and of a version that is not known here: neither damaged nor to be made anew. */
static bool super_of_another_version(const struct ring_super *super)
{
    return super->magic == RING_SUPER_MAGIC &&
           super->crc == crc32c(super, offsetof(struct ring_super, crc)) &&
           super->version != RING_VERSION;
}

static bool genesis_of_another_version(const struct genesis *genesis)
{
    return genesis->magic == GENESIS_MAGIC &&
           genesis->crc == crc32c(genesis, offsetof(struct genesis, crc)) &&
           (genesis->version < GENESIS_VERSION || genesis->version > GENESIS_VERSION_SEEDED);
}

int ring_super_copies(struct disk *disk, struct ring_super *super, uint32_t *bad_copies,
                      char *problem)
{
    struct disk_facts facts;
    disk_facts(disk, &facts);
    *bad_copies = 0;
    if (facts.size < RING_RESERVED_BLOCKS * RING_PAGE_SIZE) {
        snprintf(problem, DISK_PROBLEM_SIZE,
                 facts.size == 0 ? "no ring here: format it first"
                                 : "no ring here, or one that was cut short: %llu bytes hold none",
                 (unsigned long long)facts.size);
        return facts.size == 0 ? -ENOENT : -EBADMSG;
    }
    uint8_t *bytes = block_buffer(2 * RING_PAGE_SIZE);
    if (bytes == NULL) /* unreachable: no memory */
        return no_memory(problem);
    const char *why = NULL;
    bool magic = false, found = false, readable = false;
    for (uint32_t copy = 0; copy < 2; copy++) {
        struct ring_super *at = (struct ring_super *)(void *)(bytes + copy * RING_PAGE_SIZE);
        int result =
            disk_pread(disk, (RING_SUPER_BLOCK + copy) * RING_PAGE_SIZE, at, RING_PAGE_SIZE);
        readable = readable || result == 0;
        if (result == 0 && super_of_another_version(at)) {
            uint32_t version = at->version;
            free(bytes);
            return ring_refuse_version("the superblock", version, RING_VERSION, problem);
        }
        const char *copy_why = result == 0 ? ring_super_problem(at, facts.size) : "unreadable";
        magic = magic || result < 0 || at->magic == RING_SUPER_MAGIC;
        if (copy_why == NULL && !found) {
            *super = *at;
            found = true;
        } else if (copy_why != NULL) {
            *bad_copies |= 1u << copy;
            why = copy_why;
        }
    }
    free(bytes);
    if (found)
        return 0;
    if (!magic)
        return no_super(disk, problem);
    snprintf(problem, DISK_PROBLEM_SIZE, "ring: %s (in both copies)", why);
    return readable ? -EBADMSG : -EIO;
}

int ring_super_read(struct disk *disk, struct ring_super *super, char *problem)
{
    uint32_t bad_copies;
    return ring_super_copies(disk, super, &bad_copies, problem);
}

/* --- genesis -------------------------------------------------------------------------------------
 */

static bool genesis_intact(const struct genesis *genesis)
{
    return genesis->crc == crc32c(genesis, offsetof(struct genesis, crc)) &&
           genesis_problem(genesis) == NULL;
}

int ring_genesis_copies(struct disk *disk, struct genesis *genesis, uint32_t *bad_copies,
                        char *problem)
{
    *bad_copies = 0;
    uint8_t *bytes = block_buffer(RING_PAGE_SIZE);
    if (bytes == NULL) /* unreachable: no memory */
        return no_memory(problem);
    bool found = false;
    uint32_t empty = 0, unreadable = 0;
    for (uint32_t copy = 0; copy < 2; copy++) {
        struct genesis *at = (struct genesis *)(void *)bytes;
        int result =
            disk_pread(disk, (RING_GENESIS_BLOCK + copy) * RING_PAGE_SIZE, bytes, RING_PAGE_SIZE);
        if (result == 0 && genesis_of_another_version(at)) {
            uint32_t version = at->version;
            free(bytes);
            return ring_refuse_version("the genesis record", version, GENESIS_VERSION_SEEDED,
                                       problem);
        }
        if (result == 0 && genesis_intact(at)) {
            if (!found)
                *genesis = *at;
            found = true;
            continue;
        }
        *bad_copies |= 1u << copy;
        unreadable += result < 0;
        empty += result == 0 && ring_sectors_zero(bytes, (1u << RING_SECTORS) - 1);
    }
    free(bytes);
    if (found)
        return 0;
    if (empty == 0 ||
        unreadable > 0) { /* one copy that is bad beside an empty one: torn at installing */
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: both copies of the genesis record are damaged");
        return -EBADMSG;
    }
    *bad_copies = 0;
    snprintf(problem, DISK_PROBLEM_SIZE,
             "no genesis record is installed: run keelctl genesis install");
    return -ENOENT;
}

int ring_genesis_read(struct disk *disk, struct genesis *genesis, char *problem)
{
    uint32_t bad_copies;
    return ring_genesis_copies(disk, genesis, &bad_copies, problem);
}

int ring_genesis_install(struct disk *disk, const struct genesis *genesis, bool join, char *problem)
{
    struct ring_super super;
    int result = ring_super_read(disk, &super, problem);
    if (result < 0)
        return result;
    if (!genesis_intact(genesis)) {
        const char *why = genesis_problem(genesis);
        snprintf(problem, DISK_PROBLEM_SIZE, "genesis record: %s",
                 why != NULL ? why : "its checksum is wrong");
        return -EINVAL;
    }
    if (!join && genesis->founder[super.replica].incarnation != super.incarnation) {
        snprintf(
            problem, DISK_PROBLEM_SIZE,
            "genesis record: it names another incarnation for replica %u than this format drew: "
            "rebuild it, or --join a running cluster",
            super.replica);
        return -EPERM;
    }
    struct genesis there;
    result = ring_genesis_read(disk, &there, problem);
    if (result == 0 && memcmp(&there, genesis, sizeof(there)) != 0) {
        snprintf(
            problem, DISK_PROBLEM_SIZE,
            "another genesis record is installed, of cluster %016llx: it is installed once only",
            (unsigned long long)there.cluster_id);
        return -EEXIST;
    }
    if (result < 0 && result != -ENOENT)
        return result;
    for (uint64_t copy = 0; copy < 2; copy++) {
        int written = write_block(disk, RING_GENESIS_BLOCK + copy, genesis);
        if (written == 0 && copy == 1)
            written = disk_flush(disk);
        if (written < 0) {
            snprintf(problem, DISK_PROBLEM_SIZE, "genesis record: writing: %s", strerror(-written));
            return written;
        }
    }
    return 0;
}

int ring_copies_repair(struct disk *disk, const struct ring_super *super, uint32_t bad_supers,
                       const struct genesis *genesis, uint32_t bad_genesis)
{
    int result = 0;
    for (uint32_t copy = 0; copy < 2 && result == 0; copy++) {
        if ((bad_supers >> copy & 1) != 0)
            result = write_block(disk, RING_SUPER_BLOCK + copy, super);
        if ((bad_genesis >> copy & 1) != 0 && result == 0)
            result = write_block(disk, RING_GENESIS_BLOCK + copy, genesis);
    }
    return result;
}

int ring_copies_look(struct disk *disk, const struct ring_super *super, char *problem)
{
    struct ring_super there;
    struct genesis genesis;
    uint32_t bad_supers, bad_genesis;
    int result = ring_super_copies(disk, &there, &bad_supers, problem);
    if (result == 0)
        result = ring_genesis_copies(disk, &genesis, &bad_genesis, problem);
    if (result == 0 && memcmp(&there, super, sizeof(there)) != 0) {
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: the superblock is another than at the start");
        result = -EBADMSG;
    }
    if (result == 0 && (bad_supers | bad_genesis) != 0)
        result = ring_copies_repair(disk, super, bad_supers, &genesis, bad_genesis);
    return result < 0 ? result : __builtin_popcount(bad_supers) + __builtin_popcount(bad_genesis);
}
