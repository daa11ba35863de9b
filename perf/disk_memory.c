/* disk.h on memory: an operation is done when it is reaped, in the order of submitting. The path
 * names a drive of perf/drive.h. What a bench measures beside it costs one copy of a page. */
#include "dataplane/disk.h"
#include "perf/drive.h"

#include "consensus/ensure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct operation {
    enum disk_op op;
    uint32_t size;
    uint64_t offset, tag;
    void *buffer;
};

struct disk {
    struct drive *drive;
    uint32_t depth, head, tail;
    struct operation queue[DISK_DEPTH_MAX];
};

void drive_open(struct drive *drive, uint64_t size)
{
    drive->size = size;
    drive->bytes = calloc(1, size);
    ENSURE(drive->bytes != NULL);
    snprintf(drive->path, sizeof(drive->path), "memory:%p", (void *)drive);
}

void drive_close(struct drive *drive)
{
    free(drive->bytes);
    drive->bytes = NULL;
}

int disk_create(const char *path, uint64_t size, char *problem)
{
    (void)path;
    (void)size;
    snprintf(problem, DISK_PROBLEM_SIZE, "a drive of memory is made by drive_open()");
    return -ENOTSUP;
}

int disk_open(struct disk **out, const struct disk_options *options, char *problem)
{
    void *drive = NULL;
    struct disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL || sscanf(options->path, "memory:%p", &drive) != 1) {
        snprintf(problem, DISK_PROBLEM_SIZE, "no drive of memory: %s", options->path);
        free(disk);
        return -ENOENT;
    }
    disk->drive = drive;
    disk->depth = options->depth;
    *out = disk;
    return 0;
}

void disk_facts(const struct disk *disk, struct disk_facts *facts)
{
    *facts = (struct disk_facts){.size = disk->drive->size, .mode = "memory"};
}

int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer, uint32_t size,
                uint64_t tag)
{
    if (disk->tail - disk->head == disk->depth)
        return -EBUSY;
    ENSURE(op == DISK_FLUSH || offset + size <= disk->drive->size);
    disk->queue[disk->tail++ % DISK_DEPTH_MAX] =
        (struct operation){.op = op, .size = size, .offset = offset, .tag = tag, .buffer = buffer};
    return 0;
}

int disk_kick(struct disk *disk)
{
    (void)disk;
    return 0;
}

uint32_t disk_reap(struct disk *disk, struct disk_done *done, uint32_t max)
{
    uint32_t count = 0;
    for (; count < max && disk->head != disk->tail; count++) {
        const struct operation *o = &disk->queue[disk->head++ % DISK_DEPTH_MAX];
        uint8_t *at = disk->drive->bytes + o->offset;
        switch (o->op) {
        case DISK_WRITE:
            memcpy(at, o->buffer, o->size);
            break;
        case DISK_READ:
            memcpy(o->buffer, at, o->size);
            break;
        case DISK_ZERO:
            memset(at, 0, o->size);
            break;
        case DISK_FLUSH:
            break;
        }
        done[count] = (struct disk_done){.tag = o->tag};
    }
    return count;
}

int disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size)
{
    if (offset + size > disk->drive->size)
        return -EIO;
    memcpy(buffer, disk->drive->bytes + offset, size);
    return 0;
}

int disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size)
{
    if (offset + size > disk->drive->size)
        return -EIO;
    memcpy(disk->drive->bytes + offset, buffer, size);
    return 0;
}

int disk_flush(struct disk *disk)
{
    (void)disk;
    return 0;
}

void disk_close(struct disk *disk)
{
    free(disk);
}
