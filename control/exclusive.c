#include "control/exclusive.h"

#include <errno.h>
#include <time.h>

int exclusive_open(struct disk **disk, const struct disk_options *options, char *problem)
{
    int rc = disk_open(disk, options, problem);
    for (int ms = 0; rc == -EWOULDBLOCK && ms < EXCLUSIVE_WAIT_MS; ms += EXCLUSIVE_POLL_MS) {
        nanosleep(&(struct timespec){0, EXCLUSIVE_POLL_MS * 1000000l}, NULL);
        rc = disk_open(disk, options, problem);
    }
    if (rc == 0)
        problem[0] = '\0';
    return rc;
}
