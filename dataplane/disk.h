/* The seam to a drive: asynchronous page writes that are durable when they complete, reads, zeroing.
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

enum { DISK_BLOCK = 4096, DISK_DEPTH_MAX = 256 };

struct disk;

struct disk_options {
    const char *path;   /* regular file or block device */
    bool exclusive;     /* take the flock through this very open file (H9); -EWOULDBLOCK if held */
    bool read_only;
    uint32_t depth;     /* operations in flight, 1..DISK_DEPTH_MAX */
    void *registered;   /* memory from which writes come, registered with the kernel; may be NULL */
    size_t registered_size;
};

struct disk_facts { /* what the drive says of itself; shown in status */
    uint64_t size;      /* bytes */
    char mode[32];      /* "file", "block", ... and how completions come */
    bool volatile_cache;
    bool fua;
    bool known;         /* false: the kernel tells nothing about this device */
};

enum disk_op { DISK_WRITE = 1, DISK_READ, DISK_ZERO, DISK_FLUSH };

struct disk_done {
    uint64_t tag;
    int32_t result; /* 0: done and, for writes, durable; negative errno (short = -EIO) */
};

/* 0 or a negative errno; on failure *problem (at least 160 bytes) says what and what to do. */
int disk_open(struct disk **disk, const struct disk_options *options, char *problem);
void disk_facts(const struct disk *disk, struct disk_facts *facts);

/* Queues one operation; 0, or -EBUSY when depth operations are in flight. */
int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer,
                uint32_t size, uint64_t tag);
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
