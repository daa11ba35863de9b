/* The page judge and the log chain, by themselves. */
#include "dataplane/ring/format.h"

#include "dataplane/crc32c.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const struct ring_owner owner = {
    .cluster_id = 0x1122334455667788ull, .incarnation = 102, .slots = 256, .replica = 2};

static struct entry *add_noop(struct ring_page *page, uint64_t index)
{
    struct entry *entry = (struct entry *)(void *)(ring_page_entries(page) + page->self.bytes);
    memset(entry, 0, 64);
    entry->size = 64;
    entry->kind = ENTRY_NOOP;
    entry->version = ENTRY_VERSION;
    entry->index = index;
    entry->term = page->self.entry_term;
    struct entry_noop body = {.leader = 2, .incarnation = 102};
    memcpy(entry + 1, &body, sizeof(body));
    ring_entry_finish(entry);
    page->self.count++;
    page->self.bytes += 64;
    return entry;
}

static struct ring_page *make_page(void *memory, uint32_t entries)
{
    memset(memory, 0, RING_PAGE_SIZE);
    struct ring_page *page = memory;
    page->magic = RING_PAGE_MAGIC;
    page->version = RING_VERSION;
    page->replica = owner.replica;
    page->flight_pages = 4;
    page->cluster_id = owner.cluster_id;
    page->incarnation = owner.incarnation;
    page->page = 300;
    page->term = 5;
    page->self.first_index = 11;
    page->self.entry_term = entries > 0 ? 5 : 0;
    page->self.chain_before = 77;
    for (uint32_t i = 0; i < entries; i++)
        add_noop(page, 11 + i);
    ring_page_finish(page);
    return page;
}

static enum ring_verdict judge(const void *bytes, uint32_t *bad)
{
    return ring_page_judge(bytes, &owner, 300 % 256, bad);
}

static void verdicts(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    uint32_t bad;
    CU_ASSERT(judge(memory, &bad) == RING_PAGE_ZERO && bad == 0);
    for (uint32_t entries = 0; entries <= RING_PAGE_ROOM / 64; entries++) {
        make_page(memory, entries);
        CU_ASSERT(judge(memory, &bad) == RING_PAGE_GOOD && bad == 0);
    }
    make_page(memory, 3);
    CU_ASSERT(ring_page_judge(memory, &owner, 45, &bad) == RING_PAGE_OTHER);
    struct ring_owner others[4] = {owner, owner, owner, owner};
    others[0].cluster_id++;
    others[1].incarnation++;
    others[2].replica++;
    others[3].slots = 512;
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT(ring_page_judge(memory, &others[i], 44, &bad) == RING_PAGE_OTHER);
    struct ring_page *page = make_page(memory, 3);
    page->version++;
    ring_page_finish(page);
    CU_ASSERT(judge(memory, &bad) == RING_PAGE_VERSION);
}

static void every_bit_of_a_page(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    static const uint32_t fills[] = {0, 1, 20, 56};
    uint32_t bad, heads = 0, payloads = 0;
    for (uint32_t fill = 0; fill < 4; fill++) {
        make_page(memory, fills[fill]);
        for (uint32_t bit = 0; bit < RING_PAGE_SIZE * 8; bit++) {
            memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum ring_verdict verdict = judge(memory, &bad);
            uint32_t sector = bit / 8 / RING_SECTOR_SIZE;
            if (sector == 0)
                CU_ASSERT_FATAL(verdict == RING_PAGE_HEAD && bad == 1);
            if (sector != 0)
                CU_ASSERT_FATAL(verdict == RING_PAGE_PAYLOAD && bad == 1u << sector);
            CU_ASSERT_FATAL(!ring_sectors_zero(memory, bad)); /* so it never looks torn */
            heads += sector == 0;
            payloads += sector != 0;
            memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CU_ASSERT(judge(memory, &bad) == RING_PAGE_GOOD);
    }
    CU_ASSERT(heads == 4 * 4096 && payloads == 4 * 7 * 4096);
}

/* Sectors that are right each, around entries that are not. */
static void entries_that_lie(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    uint32_t bad;
    for (uint32_t how = 0; how < 9; how++) {
        struct ring_page *page = make_page(memory, 5);
        struct entry *entry = (struct entry *)(void *)(ring_page_entries(page) + 64);
        bool refinish = true;
        switch (how) {
        case 0:
            entry->index++;
            break;
        case 1:
            entry->term++;
            break;
        case 2:
            entry->size = 56;
            break;
        case 3:
            entry->kind = 200;
            break;
        case 4:
            entry->utc_ns = 1; /* its crc is old */
            refinish = false;
            break;
        case 5:
            page->self.count--;
            break;
        case 6:
            page->self.bytes -= 64;
            break;
        case 7:
            page->self.first_index++;
            break;
        case 8:
            ring_page_entries(page)[RING_PAGE_ROOM - 1] = 1; /* behind the entries */
            page->self.bytes = RING_PAGE_ROOM;               /* so that finish covers that sector */
            ring_page_finish(page);
            page->self.bytes = 5 * 64;
            page->sector_crc[0] = 0;
            page->sector_crc[0] = crc32c(page, RING_SECTOR_SIZE);
            break;
        }
        if (refinish)
            ring_entry_finish(entry);
        if (how != 8)
            ring_page_finish(page);
        CU_ASSERT(judge(memory, &bad) == RING_PAGE_PAYLOAD && bad == 0);
    }
}

static struct ring_page *sealed(struct ring_page *page)
{
    page->sector_crc[0] = 0;
    page->sector_crc[0] = crc32c(page, RING_SECTOR_SIZE);
    return page;
}

/* Heads whose checksum is right around a number that no writer states are ruined: nothing that they
 * say is believed. */
static void heads_that_lie(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    static const uint32_t flight_pages[] = {0, 1, RING_FLIGHT_PAGES_MAX, RING_FLIGHT_PAGES_MAX + 1};
    static const size_t counts[] = {
        offsetof(struct ring_page, boot),         offsetof(struct ring_page, page),
        offsetof(struct ring_page, term),         offsetof(struct ring_page, last_lsn),
        offsetof(struct ring_page, durable_lsn),  offsetof(struct ring_page, head),
        offsetof(struct ring_page, commit),       offsetof(struct ring_page, config_index),
        offsetof(struct ring_page, durable_page), offsetof(struct ring_page, self.first_index)};
    uint32_t bad;
    for (uint32_t i = 0; i < 4; i++) {
        struct ring_page *page = make_page(memory, 3);
        page->flight_pages = (uint8_t)flight_pages[i];
        sealed(page);
        CU_ASSERT(judge(memory, &bad) == (i == 1 || i == 2 ? RING_PAGE_GOOD : RING_PAGE_HEAD));
        CU_ASSERT(bad == (i == 1 || i == 2 ? 0 : 1));
    }
    for (uint32_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint64_t *count = (uint64_t *)(void *)(memory + counts[i]);
        struct ring_page *page = make_page(memory, 0);
        uint64_t slot = *count % owner.slots; /* a page stays in its slot */
        *count = RING_COUNT_MAX + slot;
        sealed(page);
        CU_ASSERT(judge(memory, &bad) == RING_PAGE_HEAD && bad == 1);
        *count = RING_COUNT_MAX - owner.slots + slot;
        sealed(page);
        CU_ASSERT(judge(memory, &bad) == RING_PAGE_GOOD);
    }
    sealed(make_page(memory, 0))->self.bytes = RING_PAGE_ROOM + 8; /* of no entry */
    sealed((struct ring_page *)(void *)memory);
    CU_ASSERT(judge(memory, &bad) == RING_PAGE_HEAD && bad == 1);
    make_page(memory, 0)->self.count = RING_PAGE_ENTRIES_MAX + 1;
    sealed((struct ring_page *)(void *)memory);
    CU_ASSERT(judge(memory, &bad) == RING_PAGE_HEAD && bad == 1);
}

static void superblocks(void)
{
    const struct ring_super good = {.magic = RING_SUPER_MAGIC,
                                    .version = RING_VERSION,
                                    .replica = 1,
                                    .incarnation = 9,
                                    .slots = RING_SLOTS_MIN,
                                    .checkpoint_blocks = 2};
    struct ring_super super;
#define PROBLEM(says, change)                                                                      \
    do {                                                                                           \
        super = good;                                                                              \
        change;                                                                                    \
        ring_super_finish(&super);                                                                 \
        const char *problem = ring_super_problem(&super, ring_file_size(&good));                   \
        CU_ASSERT_PTR_NOT_NULL_FATAL(problem);                                                     \
        CU_ASSERT_PTR_NOT_NULL(strstr(problem, says));                                             \
    } while (0)
    PROBLEM("no ring superblock", super.magic++);
    PROBLEM("another version", super.version++);
    PROBLEM("no replica", super.replica = 0);
    PROBLEM("no replica", super.replica = KEEL_REPLICA_MAX + 1);
    PROBLEM("no replica", super.incarnation = 0);
    PROBLEM("number of slots", super.slots = RING_SLOTS_MIN - 1);
    PROBLEM("number of slots", super.slots = RING_SLOTS_MAX + 1ull);
    PROBLEM("checkpoint areas", super.checkpoint_blocks = 1);
    PROBLEM("checkpoint areas", super.checkpoint_blocks = RING_SLOTS_MAX + 1ull);
    PROBLEM("smaller than its ring", super.slots++);
#undef PROBLEM
    super = good;
    ring_super_finish(&super);
    CU_ASSERT_PTR_NULL(ring_super_problem(&super, ring_file_size(&good)));
    CU_ASSERT_PTR_NULL(ring_super_problem(&super, 0)); /* a size that is not known */
    super.formatted_utc_ns++;
    CU_ASSERT_STRING_EQUAL(ring_super_problem(&super, 0), "superblock damaged");
}

static void verdicts_have_names(void)
{
    for (int i = 0; i <= RING_PAGE_HEAD; i++) {
        CU_ASSERT_STRING_NOT_EQUAL(ring_verdict_name((enum ring_verdict)i), "unknown");
        for (int k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(ring_verdict_name((enum ring_verdict)i),
                                       ring_verdict_name((enum ring_verdict)k));
    }
    CU_ASSERT_STRING_EQUAL(ring_verdict_name((enum ring_verdict)(RING_PAGE_HEAD + 1)), "unknown");
}

/* Any bytes behind a head sector that is made to look sound: never a crash, never "good" by chance.
 */
static void random_heads(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    uint64_t random = 88172645463325252ull;
    for (uint32_t round = 0; round < 20000; round++) {
        struct ring_page *page = make_page(memory, round % 57);
        for (uint32_t i = 0; i < 4; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            uint32_t at = 128 + (uint32_t)(random % 32);
            memory[at] = (uint8_t)(random >> 32);
        }
        page->sector_crc[0] = 0;
        page->sector_crc[0] = crc32c(page, RING_SECTOR_SIZE);
        uint32_t bad;
        enum ring_verdict verdict = judge(memory, &bad);
        CU_ASSERT_FATAL(verdict == RING_PAGE_PAYLOAD || verdict == RING_PAGE_GOOD ||
                        verdict == RING_PAGE_HEAD);
    }
}

static void erased(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    CU_ASSERT(ring_page_erased(memory));
    for (uint32_t i = 0; i < RING_STRAY_BITS_MAX; i++)
        memory[i * 500] |= 4;
    CU_ASSERT(ring_page_erased(memory));
    memory[4095] |= 0x80;
    CU_ASSERT(!ring_page_erased(memory));
    make_page(memory, 0);
    CU_ASSERT(!ring_page_erased(memory));
}

/* Pinned values: they stand on drives. The same numbers are in docs/ring-format.md. */
#define GOLDEN_GENESIS 0xec9d96d5bac442f2ull
#define GOLDEN_CRC 0xf08f33a3u
#define GOLDEN_FIRST 0x8b894348a1894e19ull
#define GOLDEN_SECOND 0xada08cc3b0faf70cull
static void chain_golden(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    struct ring_page *page = make_page(memory, 2);
    const struct entry *first = (const struct entry *)(void *)ring_page_entries(page);
    const struct entry *second =
        (const struct entry *)(void *)(ring_page_entries(page) + first->size);
    uint64_t genesis = ring_chain_genesis(owner.cluster_id);
    CU_ASSERT(genesis == GOLDEN_GENESIS);
    CU_ASSERT(first->crc == GOLDEN_CRC);
    uint64_t chain = ring_chain_next(genesis, first);
    CU_ASSERT(chain == GOLDEN_FIRST);
    CU_ASSERT(ring_chain_next(chain, second) == GOLDEN_SECOND);
}

/* 0 means that a chain is not known, so no chain is 0: docs/ring-format.md puts K1 there. */
static void chain_is_never_0(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    const uint64_t k1 = 0x9e3779b97f4a7c15ull, k2 = 0xc2b2ae3d27d4eb4full;
    const struct entry *entry =
        (const struct entry *)(void *)ring_page_entries(make_page(memory, 1));
    uint64_t w;
    memcpy(&w, entry, 8);
    w = (w ^ entry->index * k1) * k2;
    w = (w ^ w >> 32) + entry->term * k1;
    CU_ASSERT(ring_chain_next(w, entry) == k1);
    CU_ASSERT(ring_chain_genesis(k1) == k1);
}

/* What the chain must tell apart: content (by crc), size, kind, index, term, order, what came
 * before. */
static void chain_tells_apart(void)
{
    static _Alignas(4096) uint8_t memory[RING_PAGE_SIZE];
    struct ring_page *page = make_page(memory, 2);
    struct entry entry = *(struct entry *)(void *)ring_page_entries(page);
    uint64_t seen[400];
    uint32_t count = 0;
    seen[count++] = ring_chain_next(1, &entry);
    for (uint32_t bit = 0; bit < 24 * 8; bit++) {
        if (bit >= 8 * 8 && bit % 64 >= 48)
            continue; /* no index and no term is that high; their top bits would look like others'
                       */
        ((uint8_t *)&entry)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        seen[count++] = ring_chain_next(1, &entry);
        ((uint8_t *)&entry)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (uint32_t bit = 0; bit < 64; bit++)
        seen[count++] = ring_chain_next(1 ^ (2ull << bit), &entry);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_FATAL(seen[i] != 0);
        for (uint32_t j = 0; j < i; j++)
            CU_ASSERT_FATAL(seen[i] != seen[j] || (i == count - 1 && j == 0)); /* 2 << 63 is 0 */
    }
    const struct entry *other =
        (const struct entry *)(void *)(ring_page_entries(page) + entry.size);
    CU_ASSERT(ring_chain_next(ring_chain_next(1, &entry), other) !=
              ring_chain_next(ring_chain_next(1, other), &entry));
}

static void geometry(void)
{
    struct ring_super super = {.slots = 300, .checkpoint_blocks = 5};
    CU_ASSERT(ring_checkpoint_offset(&super, 0) == 16 * 4096);
    CU_ASSERT(ring_checkpoint_offset(&super, 1) == 21 * 4096);
    CU_ASSERT(ring_slot_offset(&super, 0) == 26 * 4096);
    CU_ASSERT(ring_slot_offset(&super, 299) == 325 * 4096);
    CU_ASSERT(ring_slot_offset(&super, 600) == 26 * 4096);
    CU_ASSERT(ring_file_size(&super) == 326 * 4096);
}

int main(void)
{
    static const struct unit_test tests[] = {{"verdicts", verdicts},
                                             {"every bit of a page", every_bit_of_a_page},
                                             {"entries that lie", entries_that_lie},
                                             {"heads that lie", heads_that_lie},
                                             {"superblocks", superblocks},
                                             {"verdicts have names", verdicts_have_names},
                                             {"random heads", random_heads},
                                             {"an erased slot", erased},
                                             {"the log chain's pinned values", chain_golden},
                                             {"the log chain is never 0", chain_is_never_0},
                                             {"the log chain tells apart", chain_tells_apart},
                                             {"geometry", geometry},
                                             {0}};
    return unit_main("ring format", tests);
}
