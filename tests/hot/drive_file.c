/* The bench's drives (perf/drive.h) as files of the working directory, for the product's own
 * disk_uring.c. */
#include "perf/drive.h"

#include "consensus/ensure.h"
#include "dataplane/disk.h"

#include <stdio.h>
#include <unistd.h>

void drive_open(struct drive *drive, uint64_t size)
{
    static uint32_t count;
    char why[DISK_PROBLEM_SIZE];
    drive->bytes = NULL;
    drive->size = size;
    snprintf(drive->path, sizeof(drive->path), "hot-ring-%u", ++count);
    int rc = disk_create(drive->path, size, why);
    if (rc != 0)
        fprintf(stderr, "hot: %s: %s\n", drive->path, why);
    ENSURE(rc == 0);
}

void drive_close(struct drive *drive)
{
    unlink(drive->path);
}
