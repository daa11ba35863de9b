/* Checkpoint areas: a head block, then the encoded machine. Written body first; read back and
 * verified before anybody may count on them (H14). */
#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKPOINT_CHUNK = 1 << 20 };

static uint64_t whole_blocks(uint64_t size)
{
    return (size + RING_PAGE_SIZE - 1) / RING_PAGE_SIZE * RING_PAGE_SIZE;
}

static bool head_intact(const struct ring_checkpoint *head)
{
    return head->magic == RING_CHECKPOINT_MAGIC &&
           head->crc == crc32c(head, offsetof(struct ring_checkpoint, crc));
}

/* What a head of this version, of this ring, may say. */
static bool head_sane(const struct ring_super *super, const struct ring_checkpoint *head)
{
    const uint64_t counts = head->index | head->term | head->lsn | head->page | head->sequence;
    return counts < RING_COUNT_MAX && head->replica == super->replica &&
           head->incarnation == super->incarnation && head->size <= ring_area_room(super) &&
           head->sequence > 0 && head->chain != 0 && head->installed <= RING_INSTALLED_SEED;
}

/* CRC of the body as it lies on the drive. */
static int read_body_crc(struct disk *disk, const struct ring_super *super, unsigned area,
                         uint64_t size, uint32_t *crc)
{
    uint8_t *chunk = aligned_alloc(DISK_BLOCK, CHECKPOINT_CHUNK);
    if (chunk == NULL) /* unreachable: no memory */
        return -ENOMEM;
    uint64_t offset = ring_checkpoint_offset(super, area) + RING_PAGE_SIZE;
    int result = 0;
    *crc = 0;
    for (uint64_t done = 0; done < size && result == 0;) { /* bound: the area */
        uint64_t part = size - done < CHECKPOINT_CHUNK ? size - done : CHECKPOINT_CHUNK;
        result = disk_pread(disk, offset + done, chunk, whole_blocks(part));
        if (result == 0)
            *crc = crc32c_extend(*crc, chunk, part);
        done += part;
    }
    free(chunk);
    return result;
}

/* The head alone; 0, or as ring_checkpoint_look(). */
static int look_at_head(struct disk *disk, const struct ring_super *super, unsigned area,
                        struct ring_checkpoint *head)
{
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) /* unreachable: no memory */
        return -ENOMEM;
    int result = disk_pread(disk, ring_checkpoint_offset(super, area), block, RING_PAGE_SIZE);
    memcpy(head, block, sizeof(*head));
    bool empty = result == 0 && (ring_sectors_zero(block, (1u << RING_SECTORS) - 1) ||
                                 head->magic == RING_TRANSFER_MAGIC);
    free(block);
    if (result < 0)
        return result;
    if (empty)
        return -ENOENT;
    if (!head_intact(head))
        return -EBADMSG;
    if (head->version != RING_VERSION)
        return -EPROTONOSUPPORT; /* neither damaged nor empty */
    return head_sane(super, head) ? 0 : -EBADMSG;
}

int ring_checkpoint_look(struct disk *disk, const struct ring_super *super, unsigned area,
                         struct ring_checkpoint *head)
{
    uint32_t crc = 0;
    int result = look_at_head(disk, super, area, head);
    if (result == 0)
        result = read_body_crc(disk, super, area, head->size, &crc);
    if (result < 0)
        return result;
    return crc == head->body_crc ? 0 : -EBADMSG;
}

int ring_checkpoint_intact(struct disk *disk, const struct ring_super *super, unsigned area)
{
    struct ring_checkpoint head;
    int result = ring_checkpoint_look(disk, super, area, &head);
    return result == -EIO ? -EBADMSG : result;
}

int64_t ring_checkpoint_read(struct disk *disk, const struct ring_super *super, unsigned area,
                             struct ring_checkpoint *head, void *bytes, size_t cap)
{
    int result = look_at_head(disk, super, area, head);
    if (result == 0 && whole_blocks(head->size) > cap)
        result = -ENOBUFS;
    if (result == 0 && head->size > 0)
        result = disk_pread(disk, ring_checkpoint_offset(super, area) + RING_PAGE_SIZE, bytes,
                            whole_blocks(head->size));
    if (result < 0)
        return result;
    return crc32c_extend(0, bytes, head->size) == head->body_crc ? (int64_t)head->size : -EBADMSG;
}

/* H14: the page that the checkpoint names lies on this drive and holds the index, with that term
 * and that chain. A checkpoint above the local log so finds no page to name. One that a peer sent
 * is above it by its nature, and says so. */
static int index_is_here(struct disk *disk, const struct ring_super *super,
                         const struct ring_checkpoint *head)
{
    if (head->index == 0 || head->installed != 0)
        return 0;
    struct ring_page *page = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (page == NULL) /* unreachable: no memory */
        return -ENOMEM;
    struct ring_owner owner = {.cluster_id = head->cluster_id,
                               .incarnation = super->incarnation,
                               .slots = super->slots,
                               .replica = (uint8_t)super->replica};
    int result = disk_pread(disk, ring_slot_offset(super, head->page), page, RING_PAGE_SIZE);
    uint32_t bad;
    if (result == 0 &&
        (ring_page_judge(page, &owner, head->page % super->slots, &bad) != RING_PAGE_GOOD ||
         page->page != head->page || head->index < page->self.first_index ||
         head->index - page->self.first_index >= ring_page_present(page) ||
         page->self.entry_term != head->term || ring_page_chain(page, head->index) != head->chain))
        result = -ERANGE;
    free(page);
    return result;
}

int ring_checkpoint_write(struct disk *disk, const struct ring_super *super, unsigned area,
                          struct ring_checkpoint *head, void *bytes, size_t size)
{
    ENSURE(area < 2);
    if (size > ring_area_room(super))
        return -ENOSPC;
    int result = index_is_here(disk, super, head);
    if (result < 0)
        return result;
    head->magic = RING_CHECKPOINT_MAGIC;
    head->version = RING_VERSION;
    head->size = size;
    head->body_crc = crc32c_extend(0, bytes, size);
    memset(head->reserved, 0, sizeof(head->reserved));
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    if (!head_sane(super, head))
        return -EINVAL;
    uint64_t offset = ring_checkpoint_offset(super, area);
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) /* unreachable: no memory */
        return -ENOMEM;
    memset(block, 0, RING_PAGE_SIZE);
    memcpy(block, head, sizeof(*head));
    memset((uint8_t *)bytes + size, 0, whole_blocks(size) - size);
    if (size > 0)
        result = disk_pwrite(disk, offset + RING_PAGE_SIZE, bytes, whole_blocks(size));
    if (result == 0)
        result = disk_pwrite(disk, offset, block, RING_PAGE_SIZE);
    free(block);
    if (result < 0)
        return result;
    struct ring_checkpoint there; /* else the drive confirmed what it did not keep */
    bool kept = ring_checkpoint_look(disk, super, area, &there) == 0 &&
                memcmp(&there, head, sizeof(there)) == 0;
    return kept ? 0 : -EIO;
}
