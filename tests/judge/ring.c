#include "judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One ring by itself, from docs/ring-format.md. Offsets within a page's head: */
enum {
    AT_VERSION = 8,
    AT_REPLICA = 10,
    AT_FLIGHT = 12,
    AT_CRC = 16,
    AT_CLUSTER = 48,
    AT_INCARNATION = 56,
    AT_BOOT = 64,
    AT_PAGE = 72,
    AT_TERM = 80,
    AT_LSN = 88,
    AT_DURABLE = 96,
    AT_HEAD = 104,
    AT_COMMIT = 112,
    AT_SELF = 128,
    AT_BEFORE = 160,
    AT_RESTORED = 436,
    AT_DURABLE_PAGE = 448,
    SELF_FIRST = 0,
    SELF_TERM = 8,
    SELF_CHAIN = 16,
    SELF_COUNT = 24,
    SELF_BYTES = 28,
    MACHINE_HEAD = 504, /* of a checkpoint's body */
    AT_CONFIG = 312,
    AT_CONFIG_INDEX = 456,
    IDENTITY = 32,
    BEFORE_MAX = 8,
    FLIGHT_MAX = 64,
    STRAY_BITS = 8
};

#define PAGE_MAGIC 0x314547414c45454bull
#define CHECKPOINT_MAGIC 0x31504b434c45454bull
#define MACHINE_MAGIC 0x4843414d4c45454bull

enum head_state { HEAD_ZERO, HEAD_BAD, HEAD_OTHER, HEAD_GOOD };

struct scan { /* while one ring is read */
    struct ring *ring;
    struct report *report;
    uint8_t *state;        /* by slot */
    uint64_t last;         /* highest page number with a good head; UINT64_MAX: none */
    uint64_t durable;      /* highest LSN that pages and checkpoints call durable */
    uint64_t durable_page; /* pages below were called durable */
    const uint8_t *before; /* the page before */
    uint64_t chain;        /* at the last live index */
    uint64_t misplaced;    /* slot + 1 that holds a page of this ring which belongs elsewhere */
    uint64_t boundary;     /* highest commit index stated so far, and by which page */
    uint64_t boundary_page;
};

static const uint8_t *slot_at(const struct ring *ring, uint64_t slot)
{
    return ring->file.at + ring->base + slot * PAGE;
}

static const uint8_t *page_at(const struct ring *ring, uint64_t page)
{
    return slot_at(ring, page % ring->slots);
}

static uint64_t offset_of(const struct ring *ring, uint64_t page)
{
    return ring->base + page % ring->slots * PAGE;
}

/* --- checkpoints
 * ------------------------------------------------------------- */

static void checkpoints_read(struct scan *scan)
{
    struct ring *ring = scan->ring;
    uint64_t area_size = (ring->base - RESERVED_BLOCKS * PAGE) / 2;
    for (int area = 0; area < 2 && area_size >= PAGE; area++) {
        const uint8_t *at = ring->file.at + RESERVED_BLOCKS * PAGE + (size_t)area * area_size;
        if (zeros(at, SECTOR))
            continue;
        uint64_t size = le64(at + 72);
        if (le64(at) != CHECKPOINT_MAGIC || !sum512_good(at) ||
            le32(at + 12) != (uint32_t)ring->id || le64(at + 16) != ring->incarnation ||
            le64(at + 24) != ring->genesis.cluster_id || size > area_size - PAGE ||
            crc32c(0, at + PAGE, size) != le32(at + 96)) {
            note(scan->report, "ring %d: checkpoint %c is not intact", ring->id, 'A' + area);
            continue;
        }
        scan->report->counts.checkpoints++;
        if (le64(at + 32) > ring->checkpoint)
            ring->checkpoint = le64(at + 32);
        if (le64(at + 56) > scan->durable)
            scan->durable = le64(at + 56);
        const uint8_t *machine = at + PAGE;
        if (size >= MACHINE_HEAD && le64(machine) == MACHINE_MAGIC)
            ring->stated[area] =
                (struct stated){le64(machine + AT_CONFIG_INDEX), machine + AT_CONFIG};
    }
}

/* Once the pages are read: what checkpoints say of the log must be so. */
static void checkpoints_check(struct scan *scan)
{
    struct ring *ring = scan->ring;
    uint64_t area_size = (ring->base - RESERVED_BLOCKS * PAGE) / 2;
    for (int area = 0; area < 2 && area_size >= PAGE; area++) {
        const uint8_t *at = ring->file.at + RESERVED_BLOCKS * PAGE + (size_t)area * area_size;
        uint64_t index = le64(at + 32);
        if (le64(at) != CHECKPOINT_MAGIC || !sum512_good(at) || index < ring->first ||
            index > ring_last(ring))
            continue;
        const struct live *live = &ring->live[index - ring->first];
        if (le64(at + 40) != live->term || (live->chain != 0 && le64(at + 48) != live->chain))
            fail(scan->report,
                 "ring %d: checkpoint %c: term or chain at index %" PRIu64 " differ from the log's",
                 ring->id, 'A' + area, index);
    }
    if (ring->first > 1 && ring->checkpoint + 1 < ring->first)
        fail(scan->report,
             "ring %d page %" PRIu64 ": the log begins at index %" PRIu64
             ", but the best checkpoint covers index %" PRIu64,
             ring->id, ring->head, ring->first, ring->checkpoint);
}

/* --- slots
 * ---------------------------------------------------------------------------------------- */

static bool head_sum_good(const uint8_t *at)
{
    static const uint8_t none[4]; /* the sum counts itself as zero */
    uint32_t crc = crc32c(0, at, AT_CRC);
    crc = crc32c(crc, none, sizeof(none));
    crc = crc32c(crc, at + AT_CRC + sizeof(none), SECTOR - AT_CRC - sizeof(none));
    return crc == le32(at + AT_CRC);
}

static enum head_state head_judge(const struct ring *ring, uint64_t slot)
{
    const uint8_t *at = slot_at(ring, slot);
    if (zeros(at, SECTOR))
        return HEAD_ZERO;
    if (le64(at) != PAGE_MAGIC || !head_sum_good(at))
        return HEAD_BAD;
    if (le16(at + AT_VERSION) != 1 || at[AT_REPLICA] != ring->id ||
        le64(at + AT_CLUSTER) != ring->genesis.cluster_id ||
        le64(at + AT_INCARNATION) != ring->incarnation || le64(at + AT_PAGE) % ring->slots != slot)
        return HEAD_OTHER;
    return HEAD_GOOD;
}

static bool page_head_good(const struct scan *scan, uint64_t page)
{
    const uint8_t *at = page_at(scan->ring, page);
    return scan->state[page % scan->ring->slots] == HEAD_GOOD && le64(at + AT_PAGE) == page;
}

/* First bad sector of a page whose head is good; 0: none. */
static int bad_sector(const uint8_t *at)
{
    for (int sector = 1; sector < SECTORS; sector++)
        if (crc32c(0, at + sector * SECTOR, SECTOR) != le32(at + AT_CRC + 4 * sector))
            return sector;
    return 0;
}

static bool page_good(const struct scan *scan, uint64_t page)
{
    return page_head_good(scan, page) && bad_sector(page_at(scan->ring, page)) == 0;
}

static void slot_scan(struct scan *scan, uint64_t slot)
{
    struct ring *ring = scan->ring;
    const uint8_t *at = slot_at(ring, slot);
    scan->state[slot] = (uint8_t)head_judge(ring, slot);
    if (scan->state[slot] == HEAD_OTHER && at[AT_REPLICA] == ring->id &&
        le64(at + AT_CLUSTER) == ring->genesis.cluster_id &&
        le64(at + AT_INCARNATION) == ring->incarnation)
        scan->misplaced = slot + 1;
    if (scan->state[slot] != HEAD_GOOD)
        return;
    if (scan->last == UINT64_MAX || le64(at + AT_PAGE) > scan->last)
        scan->last = le64(at + AT_PAGE);
    if (le64(at + AT_DURABLE) > scan->durable)
        scan->durable = le64(at + AT_DURABLE);
    if (le64(at + AT_DURABLE_PAGE) > scan->durable_page)
        scan->durable_page = le64(at + AT_DURABLE_PAGE);
}

static void slots_scan(struct scan *scan)
{
    struct ring *ring = scan->ring;
    scan->last = UINT64_MAX;
    for (uint64_t slot = 0; slot < ring->slots; slot++)
        slot_scan(scan, slot);
    if (scan->last == UINT64_MAX)
        return;
    /* The head is what the last page states that stays; one that a tear takes along may name a
     * higher. */
    uint64_t end = scan->durable_page;
    while (end <= scan->last && page_good(scan, end))
        end++;
    if (end == 0 || !page_head_good(scan, end - 1))
        end = scan->last + 1;
    ring->head = le64(page_at(ring, end - 1) + AT_HEAD);
}

/* A bad page may go only as a tear: above every LSN ever called durable, bad sectors all zeros,
 * among the last that can have been in flight. Otherwise it is rot. */
static bool is_tear(const struct scan *scan, uint64_t page)
{
    const uint8_t *at = page_at(scan->ring, page);
    const uint8_t *last = page_at(scan->ring, scan->last);
    if (page + le32(last + AT_FLIGHT) <= scan->last || page < scan->durable_page)
        return false;
    if (!page_head_good(scan, page)) {
        uint64_t lsn = scan->before == NULL ? 1 : le64(scan->before + AT_LSN) + 1;
        return zeros(at, SECTOR) && lsn > scan->durable;
    }
    for (int sector = 1; sector < SECTORS; sector++)
        if (crc32c(0, at + sector * SECTOR, SECTOR) != le32(at + AT_CRC + 4 * sector) &&
            !zeros(at + sector * SECTOR, SECTOR))
            return false;
    return le64(at + AT_LSN) > scan->durable;
}

static void rot(const struct scan *scan, uint64_t page, const char *what)
{
    const struct ring *ring = scan->ring;
    int sector = page_head_good(scan, page) ? bad_sector(page_at(ring, page)) : 0;
    if (ring->stopped) {
        note(scan->report, "ring %d page %" PRIu64 ": %s; its replica has stopped", ring->id, page,
             what);
        return;
    }
    fail(scan->report,
         "ring %d page %" PRIu64 " (slot %" PRIu64 ", sector %d, byte %" PRIu64 "): %s", ring->id,
         page, page % ring->slots, sector, offset_of(ring, page) + (uint64_t)sector * SECTOR, what);
}

/* --- pages
 * ---------------------------------------------------------------------------------------- */

static void page_against_before(struct scan *scan, uint64_t page, const uint8_t *at)
{
    const struct ring *ring = scan->ring;
    static const struct {
        int at;
        const char *name;
    } grows[] = {{AT_BOOT, "boot"},           {AT_TERM, "term"}, {AT_LSN, "last LSN"},
                 {AT_DURABLE, "durable LSN"}, {AT_HEAD, "head"}, {AT_DURABLE_PAGE, "durable page"}};
    for (size_t i = 0; scan->before != NULL && i < sizeof(grows) / sizeof(grows[0]); i++)
        if (le64(at + grows[i].at) < le64(scan->before + grows[i].at))
            fail(scan->report, "ring %d page %" PRIu64 ": %s goes back", ring->id, page,
                 grows[i].name);
    if (le64(at + AT_DURABLE) > le64(at + AT_LSN))
        fail(scan->report, "ring %d page %" PRIu64 ": durable LSN above its last LSN", ring->id,
             page);
    for (uint64_t k = 0; k < BEFORE_MAX; k++) {
        const uint8_t *stated = at + AT_BEFORE + k * IDENTITY;
        bool good = true;
        if (k >= page)
            good = zeros(stated, IDENTITY);
        else if (page - 1 - k >= ring->head &&
                 (!ring->stopped || page_head_good(scan, page - 1 - k)))
            good = memcmp(stated, page_at(ring, page - 1 - k) + AT_SELF, IDENTITY) == 0;
        if (!good)
            fail(scan->report,
                 "ring %d page %" PRIu64 ": names another identity for its predecessor %" PRIu64,
                 ring->id, page, k + 1);
    }
}

/* A page of a later term that begins below all that is retained before it. */
static bool supersedes_all(const struct ring *ring, const uint8_t *self)
{
    uint64_t term = le64(self + SELF_TERM);
    return ring->count == 0 || term == 0 || term > ring->live[ring->count - 1].term;
}

/* Cuts the live log back to before `index`; false: the page cannot follow. */
static bool page_place(struct scan *scan, uint64_t page, const uint8_t *self)
{
    struct ring *ring = scan->ring;
    uint64_t index = le64(self + SELF_FIRST);
    uint64_t chain = le64(self + SELF_CHAIN);
    if (page == ring->head) {
        ring->first = index;
        ring->chain_before = scan->chain = chain;
        if (page == 0 &&
            (index != ring->genesis.begins || chain != chain_genesis(ring->genesis.cluster_id)))
            fail(scan->report, "ring %d page 0: does not begin at the genesis record", ring->id);
        return index >= 1;
    }
    bool all = index < ring->first && supersedes_all(ring, self);
    if (all) { /* the head lies among superseded pages: the log begins behind them */
        scan->report->counts.superseded += ring->count;
        ring->first = index;
        ring->count = 0;
        ring->chain_before = scan->chain = chain;
    }
    if (index > ring_last(ring) + 1 || index < ring->first) {
        fail(scan->report,
             "ring %d page %" PRIu64 ": begins at index %" PRIu64 ", the log has %" PRIu64
             " to %" PRIu64,
             ring->id, page, index, ring->first, ring_last(ring));
        return false;
    }
    if (index <= ring_last(ring)) {
        if (index <= scan->boundary)
            fail(scan->report,
                 "ring %d page %" PRIu64 ": supersedes index %" PRIu64 ", which page %" PRIu64
                 " called committed",
                 ring->id, page, index, scan->boundary_page);
        scan->report->counts.superseded += ring_last(ring) + 1 - index;
        ring->count = (size_t)(index - ring->first);
        scan->chain = ring->count == 0 ? ring->chain_before : ring->live[ring->count - 1].chain;
    }
    if (chain == 0) /* it lay in a lost page when this one was written */
        return true;
    if (scan->chain == 0 && ring->count > 0) /* lost pages end here: their successor says how */
        ring->live[ring->count - 1].chain = chain;
    else if (scan->chain != chain)
        fail(scan->report,
             "ring %d page %" PRIu64 ": log chain before index %" PRIu64 " is %016" PRIx64
             ", the page says %016" PRIx64,
             ring->id, page, index, scan->chain, chain);
    scan->chain = chain;
    return true;
}

static void live_push(struct ring *ring, struct live live)
{
    ring->live = grow(ring->live, &ring->cap, ring->count + 1, sizeof(*ring->live));
    ring->live[ring->count++] = live;
}

/* An entry that is not here any more. */
static void lost_push(struct scan *scan, uint64_t term, uint64_t page)
{
    live_push(scan->ring, (struct live){NULL, term, 0, page});
    scan->chain = 0;
}

/* Of a page that was restored without what had been superseded fewer entries are here than it had.
 */
static uint32_t present_of(const uint8_t *at)
{
    uint32_t restored = le32(at + AT_RESTORED);
    return restored != 0 ? restored - 1 : le32(at + AT_SELF + SELF_COUNT);
}

static bool page_entries(struct scan *scan, uint64_t page, const uint8_t *at)
{
    struct ring *ring = scan->ring;
    const uint8_t *self = at + AT_SELF;
    uint64_t index = le64(self + SELF_FIRST);
    uint64_t term = le64(self + SELF_TERM);
    uint32_t count = le32(self + SELF_COUNT), present = present_of(at);
    size_t left = le32(self + SELF_BYTES);
    const uint8_t *entry = at + SECTOR;
    const char *problem = NULL;
    if (left > PAGE - SECTOR || present > count)
        problem = "more bytes or entries than a page holds";
    for (uint32_t i = 0; problem == NULL && i < present; i++) {
        problem = entry_problem(entry, left);
        if (problem == NULL && (le64(entry + 8) != index + i || le64(entry + 16) != term))
            problem = "an entry of another index or term than the page's head says";
        if (problem != NULL)
            break;
        if (scan->chain != 0)
            scan->chain = chain_next(scan->chain, entry);
        live_push(ring, (struct live){entry, term, scan->chain, page});
        left -= le16(entry + 4);
        entry += le16(entry + 4);
        scan->report->counts.ring_entries++;
    }
    if (problem == NULL &&
        ((left != 0 && present == count) || !zeros(entry, (size_t)(at + PAGE - entry))))
        problem = "bytes behind its entries";
    for (uint32_t i = present; problem == NULL && i < count && i < PAGE / ENTRY_HEAD; i++)
        lost_push(scan, term, page);
    if (problem == NULL && ((count == 0) != (term == 0) || term > le64(at + AT_TERM)))
        problem = "a term of entries that cannot be";
    if (problem != NULL)
        fail(scan->report, "ring %d page %" PRIu64 " (byte %" PRIu64 "): %s", ring->id, page,
             offset_of(ring, page) + (uint64_t)(entry - at), problem);
    return problem == NULL;
}

/* What a bad page of a stopped replica was, by its own head or one of the eight behind it. False:
 * nobody says. */
static bool page_lost(struct scan *scan, uint64_t page)
{
    struct ring *ring = scan->ring;
    const uint8_t *self = NULL;
    for (uint64_t k = 0; k <= BEFORE_MAX && page + k <= scan->last && self == NULL; k++)
        if (page_head_good(scan, page + k))
            self = page_at(ring, page + k) +
                   (k == 0 ? (uint64_t)AT_SELF : AT_BEFORE + (k - 1) * IDENTITY);
    if (self == NULL || le64(self + SELF_FIRST) == 0 || !page_place(scan, page, self))
        return false;
    uint32_t count = le32(self + SELF_COUNT);
    for (uint32_t i = 0; i < count && i < PAGE / ENTRY_HEAD; i++)
        lost_push(scan, le64(self + SELF_TERM), page);
    note(scan->report, "ring %d page %" PRIu64 ": lost, and its replica has stopped", ring->id,
         page);
    ring->tail = page + 1;
    return true;
}

/* The log ends before `page`, which is bad: by a tear, if all that is bad from there on is one. */
static void end_judge(struct scan *scan, uint64_t page)
{
    for (uint64_t bad = page; bad <= scan->last; bad++) {
        if (page_good(scan, bad) || is_tear(scan, bad))
            continue;
        rot(scan, bad,
            page_head_good(scan, bad)
                ? "a sector's checksum is wrong, and it is no torn end"
                : "the page's head is damaged or missing, and it is no torn end");
        return;
    }
    scan->report->counts.torn += scan->last - page + 1;
}

/* Takes one page into the log; false: the run ends here. */
static bool page_take(struct scan *scan, uint64_t page)
{
    struct ring *ring = scan->ring;
    const uint8_t *at = page_at(ring, page);
    if (!page_good(scan, page)) {
        if (ring->stopped && !is_tear(scan, page) && page_lost(scan, page))
            return true;
        end_judge(scan, page);
        return false;
    }
    page_against_before(scan, page, at);
    if (!page_place(scan, page, at + AT_SELF) || !page_entries(scan, page, at))
        return false;
    scan->report->counts.pages++;
    if (le32(at + AT_SELF + SELF_COUNT) == 0)
        scan->report->counts.seals++;
    if (le64(at + AT_COMMIT) > scan->boundary) {
        scan->boundary = le64(at + AT_COMMIT);
        scan->boundary_page = page;
    }
    scan->before = at;
    ring->tail = page + 1;
    return true;
}

/* A slot that was never written since it was zeroed, but for a few flipped bits. */
static bool erased(const uint8_t *at)
{
    int bits = 0;
    for (size_t i = 0; i < PAGE && bits <= STRAY_BITS; i++)
        bits += __builtin_popcount(at[i]);
    return bits <= STRAY_BITS;
}

/* Ahead of the last page nothing may lie but zeros, what a tear leaves, and the lap before. */
static void ahead_check(struct scan *scan)
{
    struct ring *ring = scan->ring;
    uint64_t from = scan->last == UINT64_MAX ? 0 : scan->last + 1;
    uint64_t flight = from == 0 ? FLIGHT_MAX : le32(page_at(ring, scan->last) + AT_FLIGHT);
    if (flight > FLIGHT_MAX)
        flight = FLIGHT_MAX;
    for (uint64_t page = from; page < from + flight && page < ring->head + ring->slots; page++) {
        enum head_state state = (enum head_state)scan->state[page % ring->slots];
        if (state == HEAD_BAD && erased(page_at(ring, page)))
            note(scan->report, "ring %d page %" PRIu64 ": stray bits ahead of the last page",
                 ring->id, page);
        else if (state == HEAD_BAD || state == HEAD_OTHER)
            rot(scan, page, "bytes ahead of the last page that are no torn end");
        else if (state == HEAD_ZERO && !zeros(page_at(ring, page), PAGE))
            scan->report->counts.torn++;
    }
}

/* What a restored page lacks a later page has superseded. */
static void nothing_missing(const struct scan *scan)
{
    const struct ring *ring = scan->ring;
    for (size_t i = 0; i < ring->count && !ring->stopped; i++)
        if (ring->live[i].entry == NULL) {
            fail(scan->report, "ring %d page %" PRIu64 ": restored without index %" PRIu64,
                 ring->id, ring->live[i].page, ring->first + i);
            return;
        }
}

void ring_read(struct ring *ring, struct report *report)
{
    ring->first = 1;
    if (!super_read(ring, report) || !genesis_read(ring, report))
        return;
    struct scan scan = {.ring = ring, .report = report};
    scan.state = zalloc(ring->slots, sizeof(*scan.state));
    checkpoints_read(&scan);
    slots_scan(&scan);
    scan.chain = ring->chain_before = chain_genesis(ring->genesis.cluster_id);
    report->counts.rings++;
    ring->usable = true;
    if (scan.last != UINT64_MAX) {
        if (ring->head > scan.last || scan.last - ring->head >= ring->slots) {
            fail(report, "ring %d page %" PRIu64 ": states an impossible head", ring->id,
                 scan.last);
            ring->usable = false;
        }
        for (uint64_t page = ring->head; ring->usable && page <= scan.last; page++)
            if (!page_take(&scan, page))
                break;
    }
    ahead_check(&scan);
    if (scan.misplaced != 0 && !ring->stopped)
        fail(report, "ring %d slot %" PRIu64 ": holds a page of this ring that belongs elsewhere",
             ring->id, scan.misplaced - 1);
    nothing_missing(&scan);
    checkpoints_check(&scan);
    ring->commit = scan.boundary;
    if (ring->usable && ring->commit > ring_last(ring))
        note(report, "ring %d: a page calls index %" PRIu64 " committed, it holds %" PRIu64,
             ring->id, ring->commit, ring_last(ring));
    free(scan.state);
}
