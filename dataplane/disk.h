/* The seam to a drive: asynchronous page writes that are durable when they complete, reads,
 * zeroing.
 *
 * Implemented by disk_uring.c (file or block device, O_DIRECT, io_uring) and, at link time in its
 * place, by the simulator's disk. A handle belongs to one thread. Every write is FUA or DSYNC:
 * a completion with result >= 0 means durable. Offsets, sizes and buffers are multiples of
 * DISK_BLOCK; buffers stay the caller's until the completion is reaped.
 */
#ifndef KEEL_DISK_H
#define KEEL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DISK_BLOCK = 4096,
    DISK_DEPTH_MAX = 256,
    DISK_ZERO_MAX = 64 * DISK_BLOCK, /* bytes of one DISK_ZERO */
    DISK_PROBLEM_SIZE = 160          /* room for a message to a person */
};

struct disk;

struct disk_options {
    const char *path; /* regular file or block device */
    bool exclusive;   /* take the flock through this very open file (H9); -EWOULDBLOCK if held */
    bool read_only;
    /* Another handle of the same path: shares its open file, and with it its flock. Every handle
     * that writes must be the one with the lock or share its file; else the writes of a killed
     * process outlive its lock (H9). NULL: opens the path anew. */
    const struct disk *same_file;
    uint32_t depth;   /* operations in flight, 1..DISK_DEPTH_MAX */
    void *registered; /* memory from which writes come, registered with the kernel; may be NULL */
    size_t registered_size;
};

struct disk_facts { /* what the drive says of itself; shown in status */
    uint64_t size;  /* bytes */
    char mode[48];  /* "file", "block", ... and how completions come */
    bool volatile_cache;
    bool fua;
    bool known;            /* false: the kernel tells nothing about this device */
    bool polled;           /* the device has polled queues */
    uint32_t atomic_bytes; /* largest write that power loss can't tear; 0: not stated */
};

enum disk_op { DISK_WRITE = 1, DISK_READ, DISK_ZERO, DISK_FLUSH };

struct disk_done {
    uint64_t tag;
    int32_t result; /* 0: done and, for writes, durable; negative errno (short = -EIO) */
};

/* For format: a regular file that doesn't exist is made and given `size` bytes of allocated blocks;
 * an existing one is grown to it, never cut; of a block device the size is only checked. Cold. */
int disk_create(const char *path, uint64_t size, char *problem);

/* 0 or a negative errno; on failure *problem (DISK_PROBLEM_SIZE bytes) says what and what to do. */
int disk_open(struct disk **disk, const struct disk_options *options, char *problem);
void disk_facts(const struct disk *disk, struct disk_facts *facts);

/* Queues one operation; 0, or -EBUSY when depth operations are in flight. DISK_ZERO takes no buffer
 * and at most DISK_ZERO_MAX bytes; DISK_FLUSH ignores offset, buffer and size. */
int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer, uint32_t size,
                uint64_t tag);
/* Hands what was queued to the kernel. 0 or negative errno. */
int disk_kick(struct disk *disk);
/* Completions, in any order; returns how many. */
uint32_t disk_reap(struct disk *disk, struct disk_done *done, uint32_t max);

/* Blocking forms for cold paths (format, recovery, control): 0 or negative errno. A disk_pwrite is
 * durable when it returns. */
int disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size);
int disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size);
int disk_flush(struct disk *disk);

/* Waits for what is in flight and closes; NULL is fine. */
void disk_close(struct disk *disk);

#endif
