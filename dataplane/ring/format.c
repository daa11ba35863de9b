#include "dataplane/ring/format.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"

#include <string.h>

/* CRC32C of a sector of zeros: most sectors of a page that was not full. */
#define ZERO_SECTOR_CRC 0x30fcedc0u

/* Odd constants with about half of their bits set. */
#define MIX_1 0x9e3779b97f4a7c15ull
#define MIX_2 0xc2b2ae3d27d4eb4full
#define MIX_3 0xd6e8feb86659fd93ull

/* size: a multiple of 8, as entries and sectors are. */
static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    uint64_t seen = 0;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word;
        memcpy(&word, b + i, 8);
        seen |= word;
    }
    return seen == 0;
}

/* --- log chain ---------------------------------------------------------------------------------
 */

uint64_t ring_chain_genesis(uint64_t cluster_id)
{
    uint64_t chain = (cluster_id ^ MIX_1) * MIX_3;
    chain ^= chain >> 32;
    return chain != 0 ? chain : MIX_1;
}

/* What depends on the entry alone is mixed first; from one link to the next lie one multiplication
 * and one shift, so that a burst of entries is not bound by the chain's latency. */
uint64_t ring_chain_next(uint64_t chain, const struct entry *entry)
{
    uint64_t word;
    memcpy(&word, entry, 8);
    word = (word ^ entry->index * MIX_1) * MIX_2;
    word ^= word >> 32;
    word += entry->term * MIX_1;
    chain = (chain ^ word) * MIX_3;
    chain ^= chain >> 32;
    return chain != 0 ? chain : MIX_1;
}

uint64_t ring_page_chain(const struct ring_page *page, uint64_t index)
{
    uint64_t chain = page->self.chain_before;
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint32_t present = ring_page_present(page);
    if (index + 1 > page->self.first_index + present)
        return 0;
    for (uint32_t i = 0; i < present && page->self.first_index + i <= index; i++) {
        chain = ring_chain_next(chain, (const struct entry *)at);
        at += ((const struct entry *)at)->size;
    }
    return chain;
}

/* --- geometry ----------------------------------------------------------------------------------
 */

uint64_t ring_checkpoint_offset(const struct ring_super *super, unsigned area)
{
    ENSURE(area < 2);
    return (RING_RESERVED_BLOCKS + area * super->checkpoint_blocks) * RING_PAGE_SIZE;
}

uint64_t ring_slot_offset(const struct ring_super *super, uint64_t page)
{
    return (RING_RESERVED_BLOCKS + 2 * super->checkpoint_blocks + page % super->slots) *
           RING_PAGE_SIZE;
}

uint64_t ring_file_size(const struct ring_super *super)
{
    return (RING_RESERVED_BLOCKS + 2 * super->checkpoint_blocks + super->slots) * RING_PAGE_SIZE;
}

/* --- pages -------------------------------------------------------------------------------------
 */

void ring_page_finish(struct ring_page *page)
{
    const uint8_t *bytes = (const uint8_t *)page;
    uint32_t used = RING_HEAD_SIZE + page->self.bytes;
    for (uint32_t i = 1; i < RING_SECTORS; i++)
        page->sector_crc[i] = i * RING_SECTOR_SIZE < used
                                  ? crc32c(bytes + i * RING_SECTOR_SIZE, RING_SECTOR_SIZE)
                                  : ZERO_SECTOR_CRC;
    page->sector_crc[0] = 0;
    page->sector_crc[0] = crc32c(bytes, RING_SECTOR_SIZE);
}

bool ring_page_head_good(const void *bytes)
{
    struct ring_page head;
    memcpy(&head, bytes, sizeof(head));
    uint32_t crc = head.sector_crc[0];
    head.sector_crc[0] = 0;
    return head.magic == RING_PAGE_MAGIC && crc == crc32c(&head, sizeof(head));
}

/* Entries fill self.bytes exactly: consecutive indexes, one term, good form and crc; zeros behind.
 * Those of a restored page may be fewer. */
static bool entries_good(const struct ring_page *page)
{
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint32_t left = page->self.bytes, count = ring_page_present(page);
    if (count > page->self.count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = (const struct entry *)at;
        if (!entry_check(at, left) || !ring_entry_good(entry) ||
            entry->index != page->self.first_index + i || entry->term != page->self.entry_term)
            return false;
        at += entry->size;
        left -= entry->size;
    }
    return (left == 0 || count < page->self.count) &&
           all_zero(at, RING_PAGE_ROOM - page->self.bytes + left);
}

/* A right checksum proves what was written, not who wrote it: on heads of which this is true
 * nothing overflows, and no count leads out of the page. */
static bool head_sane(const struct ring_page *page)
{
    const uint64_t counts = page->boot | page->page | page->term | page->last_lsn |
                            page->durable_lsn | page->durable_page | page->head | page->commit |
                            page->config_index | page->self.first_index;
    return counts < RING_COUNT_MAX && page->self.count <= RING_PAGE_ENTRIES_MAX &&
           page->self.bytes <= RING_PAGE_ROOM && page->flight_pages >= 1 &&
           page->flight_pages <= RING_FLIGHT_PAGES_MAX;
}

enum ring_verdict ring_page_judge(const void *bytes, const struct ring_owner *owner, uint64_t slot,
                                  uint32_t *bad_sectors)
{
    const struct ring_page *page = bytes;
    ENSURE(((uintptr_t)bytes & 7) == 0);
    *bad_sectors = 0;
    if (page->magic == 0 && all_zero(bytes, RING_PAGE_SIZE))
        return RING_PAGE_ZERO;
    if (!ring_page_head_good(bytes)) {
        *bad_sectors = 1;
        return RING_PAGE_HEAD;
    }
    if (page->version != RING_VERSION)
        return RING_PAGE_VERSION;
    if (!head_sane(page)) {
        *bad_sectors = 1;
        return RING_PAGE_HEAD;
    }
    if (page->cluster_id != owner->cluster_id || page->incarnation != owner->incarnation ||
        page->replica != owner->replica || page->page % owner->slots != slot)
        return RING_PAGE_OTHER;
    for (uint32_t i = 1; i < RING_SECTORS; i++)
        if (crc32c((const uint8_t *)bytes + i * RING_SECTOR_SIZE, RING_SECTOR_SIZE) !=
            page->sector_crc[i])
            *bad_sectors |= 1u << i;
    return *bad_sectors != 0 || !entries_good(page) ? RING_PAGE_PAYLOAD : RING_PAGE_GOOD;
}

const char *ring_verdict_name(enum ring_verdict verdict)
{
    switch (verdict) {
    case RING_PAGE_GOOD:
        return "good";
    case RING_PAGE_ZERO:
        return "zero";
    case RING_PAGE_OTHER:
        return "of another ring or place";
    case RING_PAGE_VERSION:
        return "of another version";
    case RING_PAGE_PAYLOAD:
        return "payload damaged";
    case RING_PAGE_HEAD:
        return "head damaged";
    }
    return "unknown";
}

bool ring_sectors_zero(const void *bytes, uint32_t sectors)
{
    for (uint32_t i = 0; i < RING_SECTORS; i++)
        if ((sectors >> i & 1) != 0 &&
            !all_zero((const uint8_t *)bytes + i * RING_SECTOR_SIZE, RING_SECTOR_SIZE))
            return false;
    return true;
}

bool ring_page_erased(const void *bytes)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < RING_PAGE_SIZE && bits <= RING_STRAY_BITS_MAX; i += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + i, 8);
        bits += (uint32_t)__builtin_popcountll(word);
    }
    return bits <= RING_STRAY_BITS_MAX;
}

/* --- superblock, entries -----------------------------------------------------------------------
 */

void ring_super_finish(struct ring_super *super)
{
    super->crc = crc32c(super, offsetof(struct ring_super, crc));
}

const char *ring_super_problem(const struct ring_super *super, uint64_t file_size)
{
    if (super->magic != RING_SUPER_MAGIC)
        return "no ring superblock";
    if (super->crc != crc32c(super, offsetof(struct ring_super, crc)))
        return "superblock damaged";
    if (super->version != RING_VERSION)
        return "ring format of another version";
    if (super->replica < 1 || super->replica > KEEL_REPLICA_MAX || super->incarnation == 0)
        return "superblock names no replica";
    if (super->slots < RING_SLOTS_MIN || super->slots > RING_SLOTS_MAX)
        return "number of slots out of range";
    if (super->checkpoint_blocks < 2 || super->checkpoint_blocks > RING_SLOTS_MAX)
        return "size of checkpoint areas out of range";
    if (file_size != 0 && ring_file_size(super) > file_size)
        return "file or device is smaller than its ring: cut short, or copied in part";
    return NULL;
}

void ring_entry_finish(struct entry *entry)
{
    entry->crc = crc32c((const uint8_t *)entry + 4, entry->size - 4u);
}

bool ring_entry_good(const struct entry *entry)
{
    return entry->crc == crc32c((const uint8_t *)entry + 4, entry->size - 4u);
}
