/* A drive of memory, linked in place of disk_uring.c: keeps the order in which operations were
 * issued, completes them in any, loses power with any subset of the 512-byte sectors in flight,
 * fails the n-th operation. A store is the drive, a `struct disk` one handle on it; its path is
 * memory_store_path().
 *
 * Nothing asynchronous reaches the bytes before the test completes it. A write's buffer must stand
 * still until then: that is checked.
 */
#ifndef KEEL_TEST_DISK_MEMORY_H
#define KEEL_TEST_DISK_MEMORY_H

#include "dataplane/disk.h"

enum { MEMORY_PENDING_MAX = 256, MEMORY_SECTOR = 512, MEMORY_PATH_SIZE = 40 };

struct memory_operation {
    struct disk *owner;
    enum disk_op op;
    uint64_t offset;
    uint8_t *buffer;
    uint32_t size;
    uint32_t sum; /* of a write's bytes at issue */
    uint64_t tag;
};

struct memory_store {
    uint8_t *bytes;
    uint64_t size;
    struct memory_operation pending[MEMORY_PENDING_MAX]; /* in order of issue */
    uint32_t pending_count;
    uint64_t issued_to;  /* highest tag of an asynchronous write, plus 1: page numbers of a ring */
    bool hold;           /* true: the test completes operations; false: disk_reap() completes all */
    uint64_t shuffle;    /* not 0: disk_reap() completes in an order drawn from this */
    struct disk *lock;   /* first handle of the open file that holds the flock */
    uint64_t operations; /* operations and blocking calls so far, from 1 */
    uint64_t fail_at;    /* this one fails; 0: none */
    int fail_error;      /* ... with this; 0: -EIO */
    bool fail_on;        /* and all after it too */
    uint64_t bad_from,
        bad_size; /* reads that touch these bytes fail with -EIO; size 0: none; ... */
    uint64_t good_from, good_size; /* ... but not those that stay within these */
    uint64_t writes;               /* blocking writes so far */
    uint64_t power_at;             /* at this blocking write the power goes ... */
    uint64_t power_sectors; /* ... and these of its first 64 sectors have been written; 0: never */
    bool powerless;         /* nothing changes bytes any more; calls answer -EIO */
    bool lose_writes;       /* asynchronous writes are confirmed and never made */
    bool lose_blocking;     /* the same of blocking ones */
    /* Called before each operation, with its number in `operations`: what a drive does on its own
     * at that moment. */
    void (*watch)(struct memory_store *store);
    void *watcher; /* its own */
    uint64_t flushes;
};

void memory_store_init(struct memory_store *store, uint64_t size);
void memory_store_free(struct memory_store *store);
void memory_store_path(struct memory_store *store, char path[MEMORY_PATH_SIZE]);

/* Completes the i-th pending operation; later ones move up. */
void memory_complete(struct memory_store *store, uint32_t i);
void memory_complete_all(struct memory_store *store);

/* Sectors that a pending operation has in flight and that differ from what lies there: their
 * offsets, up to max; returns how many. owner_writes: of writes and zeroing alone. */
struct memory_sector {
    uint64_t offset;
    uint32_t operation; /* index into pending */
    uint8_t bytes[MEMORY_SECTOR];
};
uint32_t memory_in_flight(const struct memory_store *store, struct memory_sector *sectors,
                          uint32_t max);

#endif
