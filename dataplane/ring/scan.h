/* Reading slots one after another: what recovery and the offline tools look through. Cold, one
 * thread.
 *
 * Reads in large pieces and hands out pointers into the last one. A page that the drive can't read
 * counts as damaged (its bytes are all ones), it does not stop the scan.
 */
#ifndef KEEL_RING_SCAN_H
#define KEEL_RING_SCAN_H

#include "dataplane/disk.h"
#include "dataplane/ring/format.h"

enum { RING_SCAN_PAGES = 256 }; /* read at once */

struct ring_scan {
    struct disk *disk;
    struct ring_super super;
    struct ring_owner owner;
    uint8_t *chunk;
    uint64_t chunk_slot; /* first slot in chunk */
    uint64_t chunk_count;
    uint64_t unreadable; /* pages that could not be read, counted each time */
    int error;           /* first error that is not one of reading; 0 */
};

/* 0 or -ENOMEM; the disk stays the caller's. */
int ring_scan_open(struct ring_scan *scan, struct disk *disk, const struct ring_super *super,
                   uint64_t cluster_id);
/* The bytes of a slot, valid until the next call; NULL when scan->error was set. */
const struct ring_page *ring_scan_slot(struct ring_scan *scan, uint64_t slot);
/* The slot where page lies, judged. True if it holds exactly that page, intact; *found (NULL only
 * on scan->error), *verdict and *bad say what else is there. */
bool ring_scan_page(struct ring_scan *scan, uint64_t page, const struct ring_page **found,
                    enum ring_verdict *verdict, uint32_t *bad);
void ring_scan_close(struct ring_scan *scan);

#endif
