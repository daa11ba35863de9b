/* Writing a lost page anew, into its own slot. Cold and blocking: control calls it, on its own
 * handle of the file, while seq keeps the head from passing the page (ring_hole_pin()), so that
 * nobody zeroes or takes the slot meanwhile.
 *
 * A page is never rewritten within its lap, for a write that is cut off would take what was
 * acknowledged; of a page that is bad nothing is left to take. Cut off, the write leaves a bad page
 * that its successors still name: known damage, as before. Where the old head is intact and all
 * entries are back, the new page equals the old one bit for bit, and the sums of its sectors prove
 * it; else the log chain proves the entries, and the head says how many are here: what was
 * superseded nobody need hold any more.
 */
#ifndef KEEL_RING_RESTORE_H
#define KEEL_RING_RESTORE_H

#include "dataplane/disk.h"
#include "dataplane/ring/ring.h"

/* Entries live->first..last lie at `entries`, `bytes` of them; a dead page (last == first - 1)
 * comes back without any. Pages below `durable_page` are durable. *page (4096 bytes, aligned for
 * the disk) is what then lies in the slot: written, read back and compared; or what was found there
 * intact, with all those entries. 0; -ENODATA: nobody says any more what the page was; -EBADMSG:
 * these are not its entries; -EIO or another negative errno: the drive. */
int ring_restore(struct disk *disk, const struct ring_super *super, uint64_t cluster_id,
                 const struct ring_stretch *live, const void *entries, uint32_t bytes,
                 uint64_t durable_page, struct ring_page *page);

#endif
