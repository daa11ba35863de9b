/* What has arrived of a peer's checkpoint, kept in the area that the next checkpoint takes anyway,
 * so that neither a restart nor a change of leader begins it anew. Body first, then the head: a
 * crash in between leaves a head whose checksum of the body fails, and nothing is believed. */
#include "dataplane/crc32c.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t ring_area_room(const struct ring_super *super)
{
    return (super->checkpoint_blocks - 1) * RING_PAGE_SIZE;
}

static uint64_t whole_blocks(uint64_t size)
{
    return (size + RING_PAGE_SIZE - 1) / RING_PAGE_SIZE * RING_PAGE_SIZE;
}

int ring_transfer_write(struct disk *disk, const struct ring_super *super, unsigned area,
                        struct ring_transfer *head, uint64_t from, void *bytes)
{
    ENSURE(area < 2 && from <= head->have && head->have <= head->size);
    if (head->size > ring_area_room(super))
        return -ENOSPC;
    head->magic = RING_TRANSFER_MAGIC;
    head->version = RING_VERSION;
    head->have_crc = crc32c_extend(0, bytes, head->have);
    memset(head->reserved, 0, sizeof(head->reserved));
    head->crc = crc32c(head, offsetof(struct ring_transfer, crc));
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) /* unreachable: no memory */
        return -ENOMEM;
    memset(block, 0, RING_PAGE_SIZE);
    memcpy(block, head, sizeof(*head));
    uint64_t first = from / RING_PAGE_SIZE * RING_PAGE_SIZE, end = whole_blocks(head->have);
    uint64_t offset = ring_checkpoint_offset(super, area);
    memset((uint8_t *)bytes + head->have, 0, end - head->have);
    int result = 0;
    if (end > first)
        result = disk_pwrite(disk, offset + RING_PAGE_SIZE + first, (uint8_t *)bytes + first,
                             end - first);
    if (result == 0)
        result = disk_pwrite(disk, offset, block, RING_PAGE_SIZE);
    free(block);
    return result;
}

static bool transfer_good(const struct ring_super *super, const struct ring_transfer *head)
{
    return head->magic == RING_TRANSFER_MAGIC &&
           head->crc == crc32c(head, offsetof(struct ring_transfer, crc)) &&
           head->version == RING_VERSION && head->replica == super->replica &&
           head->incarnation == super->incarnation && head->size <= ring_area_room(super) &&
           head->have <= head->size;
}

int ring_transfer_read(struct disk *disk, const struct ring_super *super, unsigned area,
                       struct ring_transfer *head, void *bytes, size_t cap)
{
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) /* unreachable: no memory */
        return -ENOMEM;
    uint64_t offset = ring_checkpoint_offset(super, area);
    int result = disk_pread(disk, offset, block, RING_PAGE_SIZE);
    memcpy(head, block, sizeof(*head));
    free(block);
    if (result < 0)
        return result;
    if (!transfer_good(super, head) || whole_blocks(head->have) > cap)
        return -ENOENT;
    if (head->have > 0)
        result = disk_pread(disk, offset + RING_PAGE_SIZE, bytes, whole_blocks(head->have));
    if (result == 0 && crc32c_extend(0, bytes, head->have) != head->have_crc)
        result = -ENOENT;
    return result;
}
