#include "dataplane/ring/scan.h"

#include "consensus/ensure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ring_scan_open(struct ring_scan *scan, struct disk *disk, const struct ring_super *super,
                   uint64_t cluster_id)
{
    *scan = (struct ring_scan){.disk = disk, .super = *super};
    scan->owner = (struct ring_owner){.cluster_id = cluster_id,
                                      .incarnation = super->incarnation,
                                      .slots = super->slots,
                                      .replica = (uint8_t)super->replica};
    scan->chunk = aligned_alloc(DISK_BLOCK, (size_t)RING_SCAN_PAGES * RING_PAGE_SIZE);
    return scan->chunk != NULL ? 0 : -ENOMEM; /* unreachable: no memory */
}

static bool read_one_by_one(struct ring_scan *scan, uint64_t slot, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) { /* bound: RING_SCAN_PAGES */
        uint8_t *bytes = scan->chunk + i * RING_PAGE_SIZE;
        int result =
            disk_pread(scan->disk, ring_slot_offset(&scan->super, slot + i), bytes, RING_PAGE_SIZE);
        if (result == -EIO) {
            scan->unreadable++;
            memset(bytes, 0xff, RING_PAGE_SIZE);
        } else if (result < 0) {
            scan->error = result;
            return false;
        }
    }
    return true;
}

const struct ring_page *ring_scan_slot(struct ring_scan *scan, uint64_t slot)
{
    ENSURE(slot < scan->super.slots);
    if (slot < scan->chunk_slot || slot >= scan->chunk_slot + scan->chunk_count) {
        uint64_t count = scan->super.slots - slot;
        if (count > RING_SCAN_PAGES)
            count = RING_SCAN_PAGES;
        int result = disk_pread(scan->disk, ring_slot_offset(&scan->super, slot), scan->chunk,
                                count * RING_PAGE_SIZE);
        scan->chunk_count = 0;
        if (result == -EIO && !read_one_by_one(scan, slot, count))
            return NULL;
        if (result < 0 && result != -EIO) {
            scan->error = result;
            return NULL;
        }
        scan->chunk_slot = slot;
        scan->chunk_count = count;
    }
    return (const struct ring_page *)(const void *)(scan->chunk +
                                                    (slot - scan->chunk_slot) * RING_PAGE_SIZE);
}

bool ring_scan_page(struct ring_scan *scan, uint64_t page, const struct ring_page **found,
                    enum ring_verdict *verdict, uint32_t *bad)
{
    uint64_t slot = page % scan->super.slots;
    *found = ring_scan_slot(scan, slot);
    *verdict = RING_PAGE_HEAD;
    *bad = 0;
    if (*found == NULL)
        return false;
    *verdict = ring_page_judge(*found, &scan->owner, slot, bad);
    return *verdict == RING_PAGE_GOOD && (*found)->page == page;
}

void ring_scan_close(struct ring_scan *scan)
{
    free(scan->chunk);
    scan->chunk = NULL;
}
