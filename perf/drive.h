/* A drive of memory for benches; disk_memory.c is disk.h upon it. One thread. */
#ifndef KEEL_PERF_DRIVE_H
#define KEEL_PERF_DRIVE_H

#include <stdint.h>

struct drive {
    uint8_t *bytes;
    uint64_t size;
    char path[40]; /* for disk_open() */
};

/* Zero-filled. */
void drive_open(struct drive *drive, uint64_t size);
void drive_close(struct drive *drive);

#endif
