/* Opens a ring for writing, as the only one. The lock of a process that was killed is held by the
 * kernel until its last write has ended (H9), so a start right after a kill waits for it. Cold.
 */
#ifndef KEEL_EXCLUSIVE_H
#define KEEL_EXCLUSIVE_H

#include "dataplane/disk.h"

enum { EXCLUSIVE_WAIT_MS = 3000, EXCLUSIVE_POLL_MS = 10 };

/* disk_open() with options->exclusive; -EWOULDBLOCK only after EXCLUSIVE_WAIT_MS. */
int exclusive_open(struct disk **disk, const struct disk_options *options, char *problem);

#endif
