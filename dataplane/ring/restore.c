#include "dataplane/ring/restore.h"

#include "consensus/ensure.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <string.h>

struct known {               /* what the drive still says of the page and its neighbours */
    bool own, before, after; /* the heads below are */
    struct ring_page own_head, before_head, after_head;
    struct ring_identity identity;
};

/* The nearest intact head within reach, downwards, or upwards where it names the page: one that was
 * restored itself may not know what was before it. */
static bool neighbour(struct ring_scan *scan, uint64_t page, uint64_t limit, int way,
                      struct ring_page *head)
{
    for (uint64_t i = 1; i <= RING_PREDECESSORS; i++) {
        if (way < 0 ? page < i : page + i >= limit)
            return false;
        const struct ring_page *found = ring_scan_head(scan, way < 0 ? page - i : page + i);
        if (found != NULL && (way < 0 || found->before[i - 1].first_index != 0)) {
            memcpy(head, found, sizeof(*head));
            return true;
        }
    }
    return false;
}

static int gather(struct ring_scan *scan, uint64_t page, uint64_t limit, struct known *known)
{
    const struct ring_page *own = ring_scan_head(scan, page);
    known->own = own != NULL;
    if (own != NULL)
        memcpy(&known->own_head, own, sizeof(*own));
    known->before = neighbour(scan, page, limit, -1, &known->before_head);
    known->after = neighbour(scan, page, limit, 1, &known->after_head);
    if (scan->error != 0)
        return scan->error;
    if (known->own)
        known->identity = known->own_head.self;
    else if (known->after)
        known->identity = known->after_head.before[known->after_head.page - page - 1];
    return known->identity.first_index != 0 ? 0 : -ENODATA;
}

/* What a head says of page `number`, one of the eight before the lost one, whose own head is gone;
 * zeros: nothing. */
static struct ring_identity named(const struct known *known, uint64_t number)
{
    const struct ring_page *after = &known->after_head, *before = &known->before_head;
    struct ring_identity identity = {0};
    if (after->page - number <= RING_PREDECESSORS)
        identity = after->before[after->page - number - 1];
    if (identity.first_index == 0 && known->before && before->page == number)
        identity = before->self;
    if (identity.first_index == 0 && known->before && before->page > number)
        identity = before->before[before->page - number - 1];
    return identity;
}

/* The highest term of an entry in this page, or in one that is lost as well between it and the page
 * before: that term was known here. */
static uint64_t least_term(const struct known *known, uint64_t number)
{
    uint64_t term = known->identity.entry_term;
    for (uint64_t i = 1; i <= RING_PREDECESSORS && i <= number; i++) {
        if (known->before && number - i <= known->before_head.page)
            break;
        uint64_t theirs = named(known, number - i).entry_term;
        if (theirs > term)
            term = theirs;
    }
    return term;
}

/* Nobody says where things stood: what only grows had at least grown from nothing. As the page
 * behind has it, it would contradict one between them that comes back with its own head. A boot of
 * 0 tells recovery that the head is not to be compared with those before it. */
static void forget_what_grows(struct ring_page *head)
{
    head->boot = head->boot_id = 0;
    head->term = head->vote = 0;
    head->last_lsn = head->durable_lsn = head->durable_page = 0;
    head->head = head->commit = head->config_index = 0;
}

/* A head in the place of one that is gone. What only grows stands between the neighbours: as the
 * page before has it, nothing is said that was not true. */
static void compose_head(const struct known *known, uint64_t number, struct ring_page *head)
{
    *head = known->before ? known->before_head : known->after_head;
    head->page = number;
    if (!known->before)
        forget_what_grows(head);
    uint64_t term = least_term(known, number);
    if (term > head->term) {
        head->term = term;
        head->vote = 0;
    }
    for (uint64_t i = 0; i < RING_PREDECESSORS; i++)
        head->before[i] =
            number > i ? named(known, number - 1 - i) : (struct ring_identity){.first_index = 0};
}

/* The log chain over the entries, which stand well-formed, one behind the other. */
static uint64_t chain_over(uint64_t chain, const uint8_t *at, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct entry *entry = (const struct entry *)at;
        chain = ring_chain_next(chain, entry);
        at += entry->size;
    }
    return chain;
}

static bool fits(const struct known *known, const struct ring_stretch *live, uint64_t count,
                 uint32_t bytes)
{
    const struct ring_identity *identity = &known->identity;
    if (count == 0)
        return bytes == 0;
    return bytes <= RING_PAGE_ROOM && live->first == identity->first_index &&
           live->term == identity->entry_term && count <= identity->count &&
           (count < identity->count ? bytes < identity->bytes : bytes == identity->bytes);
}

/* Fills *page; `whole`: all that the old page held is back, and its head stands. */
static int compose(const struct ring_owner *owner, const struct known *known,
                   const struct ring_stretch *live, const void *entries, uint32_t bytes,
                   struct ring_page *page)
{
    uint64_t count = live->last + 1 - live->first;
    if (!fits(known, live, count, bytes))
        return -EBADMSG;
    bool whole = known->own && count == ring_page_present(&known->own_head);
    uint64_t chain = chain_over(known->identity.chain_before, entries, count);
    /* The entries are proven by the running log chain, or by the sums that the old head keeps. */
    if (count > 0 && (live->chain_after != 0 ? chain != live->chain_after : !whole))
        return -EBADMSG;
    memset(page, 0, RING_PAGE_SIZE);
    if (known->own)
        *page = known->own_head;
    else
        compose_head(known, live->page, page);
    page->self = known->identity;
    page->restored = whole ? known->own_head.restored : (uint32_t)count + 1;
    if (bytes > 0)
        memcpy(ring_page_entries(page), entries, bytes);
    ring_page_finish(page);
    uint32_t bad;
    if (ring_page_judge(page, owner, live->page % owner->slots, &bad) != RING_PAGE_GOOD)
        return -EBADMSG;
    if (whole &&
        memcmp(page->sector_crc, known->own_head.sector_crc, sizeof(page->sector_crc)) != 0)
        return -EBADMSG;
    return 0;
}

static int write_back(struct disk *disk, const struct ring_scan *scan, struct ring_page *page)
{
    uint64_t offset = ring_slot_offset(&scan->super, page->page);
    int result = disk_pwrite(disk, offset, page, RING_PAGE_SIZE);
    if (result == 0)
        result = disk_pread(disk, offset, scan->chunk, RING_PAGE_SIZE);
    if (result == 0 && memcmp(scan->chunk, page, RING_PAGE_SIZE) != 0)
        result = -EIO; /* the drive confirmed what it did not keep */
    return result;
}

/* The page that seq has in mind, with all that is in force of it: one that was restored before may
 * lack what only a lost page had superseded. */
static bool serves(const struct ring_page *page, const struct ring_stretch *live)
{
    uint64_t count = live->last + 1 - live->first;
    return count == 0 || (page->self.first_index == live->first &&
                          page->self.entry_term == live->term && ring_page_present(page) >= count);
}

int ring_restore(struct disk *disk, const struct ring_super *super, uint64_t cluster_id,
                 const struct ring_stretch *live, const void *entries, uint32_t bytes,
                 uint64_t durable_page, struct ring_page *page)
{
    ENSURE(live->first >= 1 && live->last + 1 >= live->first);
    struct ring_scan scan;
    int result = ring_scan_open(&scan, disk, super, cluster_id);
    if (result < 0) /* unreachable: no memory */
        return result;
    const struct ring_page *there;
    enum ring_verdict verdict;
    uint32_t bad;
    struct known known = {.own = false};
    if (ring_scan_page(&scan, live->page, &there, &verdict, &bad) && serves(there, live)) {
        memcpy(page, there, RING_PAGE_SIZE); /* it can be read again */
    } else {
        result = scan.error != 0 ? scan.error : gather(&scan, live->page, durable_page, &known);
        if (result == 0)
            result = compose(&scan.owner, &known, live, entries, bytes, page);
        if (result == 0)
            result = write_back(disk, &scan, page);
    }
    ring_scan_close(&scan);
    return result;
}
