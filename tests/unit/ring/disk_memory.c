#include "tests/unit/ring/disk_memory.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk {
    struct memory_store *store;
    struct disk *file; /* first handle of this open file */
    uint32_t depth;
    uint32_t issued;
    bool read_only;
    struct disk_done done[DISK_DEPTH_MAX];
    uint32_t done_count;
};

/* --- store ---------------------------------------------------------------------------------------
 */

void memory_store_init(struct memory_store *store, uint64_t size)
{
    memset(store, 0, sizeof(*store));
    store->size = size;
    store->bytes = calloc(1, size);
    ENSURE(store->bytes != NULL);
}

void memory_store_free(struct memory_store *store)
{
    free(store->bytes);
    store->bytes = NULL;
}

void memory_store_path(struct memory_store *store, char path[MEMORY_PATH_SIZE])
{
    snprintf(path, MEMORY_PATH_SIZE, "memory:%p", (void *)store);
}

static int count_operation(struct memory_store *store)
{
    store->operations++;
    if (store->watch != NULL)
        store->watch(store);
    if (store->powerless)
        return -EIO;
    if (store->fail_at != 0 && (store->operations == store->fail_at ||
                                (store->fail_on && store->operations > store->fail_at)))
        return store->fail_error != 0 ? store->fail_error : -EIO;
    return 0;
}

static void finish(struct memory_store *store, uint32_t i, int32_t result)
{
    struct memory_operation operation = store->pending[i];
    store->pending_count--;
    memmove(&store->pending[i], &store->pending[i + 1],
            (store->pending_count - i) * sizeof(store->pending[0]));
    struct disk *owner = operation.owner;
    ENSURE(owner->done_count < DISK_DEPTH_MAX);
    owner->done[owner->done_count++] = (struct disk_done){.tag = operation.tag, .result = result};
}

void memory_complete(struct memory_store *store, uint32_t i)
{
    ENSURE(i < store->pending_count);
    const struct memory_operation *operation = &store->pending[i];
    int result = count_operation(store);
    if (result == 0) {
        switch (operation->op) {
        case DISK_WRITE:
            ENSURE(crc32c(operation->buffer, operation->size) == operation->sum);
            if (!store->lose_writes)
                memcpy(store->bytes + operation->offset, operation->buffer, operation->size);
            break;
        case DISK_READ:
            memcpy(operation->buffer, store->bytes + operation->offset, operation->size);
            break;
        case DISK_ZERO:
            memset(store->bytes + operation->offset, 0, operation->size);
            break;
        case DISK_FLUSH:
            store->flushes++;
            break;
        }
    }
    finish(store, i, result);
}

void memory_complete_all(struct memory_store *store)
{
    while (store->pending_count > 0) {
        uint32_t i = 0;
        if (store->shuffle != 0) {
            store->shuffle = store->shuffle * 6364136223846793005ull + 1442695040888963407ull;
            i = (uint32_t)(store->shuffle >> 33) % store->pending_count;
        }
        memory_complete(store, i);
    }
}

uint32_t memory_in_flight(const struct memory_store *store, struct memory_sector *sectors,
                          uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < store->pending_count; i++) {
        const struct memory_operation *operation = &store->pending[i];
        if (operation->op != DISK_WRITE && operation->op != DISK_ZERO)
            continue;
        for (uint32_t at = 0; at < operation->size && count < max; at += MEMORY_SECTOR) {
            struct memory_sector *sector = &sectors[count];
            memset(sector->bytes, 0, MEMORY_SECTOR);
            if (operation->op == DISK_WRITE)
                memcpy(sector->bytes, operation->buffer + at, MEMORY_SECTOR);
            if (memcmp(sector->bytes, store->bytes + operation->offset + at, MEMORY_SECTOR) == 0)
                continue;
            sector->offset = operation->offset + at;
            sector->operation = i;
            count++;
        }
    }
    return count;
}

/* --- the seam ------------------------------------------------------------------------------------
 */

int disk_create(const char *path, uint64_t size, char *problem)
{
    (void)path;
    (void)size;
    (void)problem;
    return 0;
}

int disk_open(struct disk **disk_out, const struct disk_options *options, char *problem)
{
    void *store = NULL;
    ENSURE(sscanf(options->path, "memory:%p", &store) == 1 && store != NULL);
    struct disk *disk = calloc(1, sizeof(*disk));
    ENSURE(disk != NULL);
    disk->store = store;
    disk->depth = options->depth;
    disk->read_only = options->read_only;
    disk->file = options->same_file != NULL ? options->same_file->file : disk;
    if (options->exclusive && disk->store->lock != NULL && disk->store->lock != disk->file) {
        snprintf(problem, DISK_PROBLEM_SIZE, "in use");
        free(disk);
        return -EWOULDBLOCK;
    }
    if (options->exclusive)
        disk->store->lock = disk->file;
    *disk_out = disk;
    return 0;
}

void disk_facts(const struct disk *disk, struct disk_facts *facts)
{
    *facts = (struct disk_facts){.size = disk->store->size, .mode = "memory"};
}

int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer, uint32_t size,
                uint64_t tag)
{
    struct memory_store *store = disk->store;
    if (op != DISK_FLUSH)
        ENSURE(size > 0 && size % DISK_BLOCK == 0 && offset % DISK_BLOCK == 0 &&
               offset + size <= store->size);
    if (op == DISK_WRITE || op == DISK_READ)
        ENSURE(((uintptr_t)buffer & (DISK_BLOCK - 1)) == 0);
    if (op == DISK_ZERO)
        ENSURE(size <= DISK_ZERO_MAX);
    if (disk->issued == disk->depth)
        return -EBUSY;
    ENSURE(store->pending_count < MEMORY_PENDING_MAX);
    disk->issued++;
    if (op == DISK_WRITE && tag + 1 > store->issued_to)
        store->issued_to = tag + 1;
    store->pending[store->pending_count++] =
        (struct memory_operation){.owner = disk,
                                  .op = op,
                                  .offset = offset,
                                  .buffer = buffer,
                                  .size = size,
                                  .sum = op == DISK_WRITE ? crc32c(buffer, size) : 0,
                                  .tag = tag};
    return 0;
}

int disk_kick(struct disk *disk)
{
    (void)disk;
    return 0;
}

uint32_t disk_reap(struct disk *disk, struct disk_done *done, uint32_t max)
{
    if (!disk->store->hold)
        memory_complete_all(disk->store);
    uint32_t count = disk->done_count < max ? disk->done_count : max;
    memcpy(done, disk->done, count * sizeof(done[0]));
    disk->done_count -= count;
    memmove(disk->done, disk->done + count, disk->done_count * sizeof(done[0]));
    disk->issued -= count;
    return count;
}

int disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size)
{
    int result = count_operation(disk->store);
    if (result < 0)
        return result;
    const struct memory_store *store = disk->store;
    bool bad = offset < store->bad_from + store->bad_size && offset + size > store->bad_from;
    bool good = offset >= store->good_from && offset + size <= store->good_from + store->good_size;
    if (offset + size > store->size || (bad && !good))
        return -EIO;
    memcpy(buffer, disk->store->bytes + offset, size);
    return 0;
}

int disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size)
{
    struct memory_store *store = disk->store;
    int result = count_operation(store);
    if (result < 0)
        return result;
    ENSURE(!disk->read_only && offset + size <= store->size && size % DISK_BLOCK == 0);
    store->writes++;
    if (store->power_at == store->writes) {
        for (uint32_t i = 0; i < 64 && i < size / MEMORY_SECTOR; i++)
            if ((store->power_sectors >> i & 1) != 0)
                memcpy(store->bytes + offset + (size_t)i * MEMORY_SECTOR,
                       (const uint8_t *)buffer + (size_t)i * MEMORY_SECTOR, MEMORY_SECTOR);
        store->powerless = true;
        return -EIO;
    }
    if (!store->lose_blocking)
        memcpy(store->bytes + offset, buffer, size);
    return 0;
}

int disk_flush(struct disk *disk)
{
    int result = count_operation(disk->store);
    if (result == 0)
        disk->store->flushes++;
    return result;
}

void disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    struct memory_store *store = disk->store;
    for (uint32_t i = store->pending_count; i > 0; i--)
        if (store->pending[i - 1].owner == disk)
            finish(store, i - 1, 0);
    if (store->lock == disk)
        store->lock = NULL;
    free(disk);
}
