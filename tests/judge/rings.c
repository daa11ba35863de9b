#include "judge.h"

#include <inttypes.h>
#include <string.h>

/* All rings together: which log does a majority hold, and does anybody contradict it? */

static const struct live *live_at(const struct ring *ring, uint64_t index)
{
    if (!ring->usable || index < ring->first || index > ring_last(ring))
        return NULL;
    return &ring->live[index - ring->first];
}

/* Who votes, by (id, incarnation): the founders, or as a CONFIG entry says. */
struct voters {
    uint32_t now, then; /* then: of a joint configuration, else 0 */
    uint64_t incarnation[REPLICAS + 1];
};

static void founders(const struct ring *ring, struct voters *voters)
{
    *voters = (struct voters){.now = ring->genesis.founders};
    memcpy(voters->incarnation, ring->genesis.incarnation, sizeof(voters->incarnation));
}

static bool is_config(const struct ring *ring, uint64_t index)
{
    const uint8_t *entry = live_at(ring, index)->entry;
    return entry != NULL && entry[6] == CONFIG;
}

static void read_config(const uint8_t *body, struct voters *voters)
{
    *voters = (struct voters){.now = le32(body), .then = le32(body + 4)};
    for (int id = 1; id <= REPLICAS; id++)
        voters->incarnation[id] = le64(body + 16 + 16 * id);
}

/* In force where the log of `ring` begins: as a checkpoint has it, or since genesis. */
static void voters_before(const struct ring *ring, struct voters *voters)
{
    const struct stated *best = NULL;
    for (int area = 0; area < 2; area++) {
        const struct stated *stated = &ring->stated[area];
        if (stated->body != NULL && stated->index < ring->first &&
            (best == NULL || stated->index > best->index))
            best = stated;
    }
    if (best == NULL)
        founders(ring, voters);
    else
        read_config(best->body, voters);
}

/* As the log of `ring` has it at index, committed or not. Lowers *from to the entry that says so.
 */
static void voters_at(const struct ring *ring, uint64_t index, uint64_t *from,
                      struct voters *voters)
{
    if (index >= *from)
        return;
    while (index >= ring->first && !is_config(ring, index))
        index--;
    *from = index < ring->first ? 0 : index;
    if (index < ring->first)
        voters_before(ring, voters);
    else
        read_config(live_at(ring, index)->entry + ENTRY_HEAD, voters);
}

static bool majority(uint32_t set, uint32_t mask)
{
    return 2 * __builtin_popcount(set & mask) > __builtin_popcount(set);
}

/* Do rings of a majority (of both, while two are in force) hold exactly the log of `ring` up to
 * index? The chain stands for all before it. */
static bool held(const struct rings *rings, const struct ring *ring, uint64_t index,
                 const struct voters *voters)
{
    uint64_t chain = live_at(ring, index)->chain;
    uint32_t mask = 0;
    for (int id = 1; id <= REPLICAS; id++) {
        const struct live *live = live_at(&rings->ring[id], index);
        if (live != NULL && chain != 0 && live->chain == chain &&
            rings->ring[id].incarnation == voters->incarnation[id])
            mask |= 1u << id;
    }
    return majority(voters->now, mask) && (voters->then == 0 || majority(voters->then, mask));
}

/* Highest index of this ring that a quorum holds too, 0: none. Chains that are equal at an index
 * are equal at all before it that both retain, so a binary search would do but for wrapped heads.
 */
static uint64_t held_by_quorum(const struct rings *rings, const struct ring *ring)
{
    struct voters voters = {0};
    uint64_t from = UINT64_MAX;
    for (size_t i = ring->count; i-- > 0;) {
        uint64_t index = ring->first + i;
        voters_at(ring, index, &from, &voters);
        if (held(rings, ring, index, &voters))
            return index;
    }
    return 0;
}

static void names(const struct rings *rings, const uint8_t *body, bool named[REPLICAS + 1])
{
    for (int id = 1; id <= REPLICAS; id++)
        named[id] = named[id] || rings->ring[id].incarnation == le64(body + 16 + 16 * id);
}

/* A ring of an incarnation that neither genesis nor the log names, nor the checkpoint that it
 * begins with, is somebody else's. */
static void known_members(const struct rings *rings, struct report *report)
{
    bool named[REPLICAS + 1];
    const struct ring *reference = rings->reference;
    for (int id = 1; id <= REPLICAS; id++)
        named[id] = rings->ring[id].incarnation == reference->genesis.incarnation[id];
    for (int area = 0; area < 2; area++)
        if (reference->stated[area].body != NULL)
            names(rings, reference->stated[area].body, named);
    for (uint64_t index = rings->first; index <= rings->held; index++)
        if (is_config(reference, index))
            names(rings, live_at(reference, index)->entry + ENTRY_HEAD, named);
    for (int id = 1; id <= REPLICAS; id++)
        if (rings->ring[id].usable && !named[id])
            fail(report, "ring %d: neither genesis nor log nor checkpoint names its incarnation",
                 id);
}

/* Were the members ever changed, as far as this ring knows? */
static bool reconfigured(const struct ring *ring)
{
    for (int area = 0; area < 2; area++)
        if (ring->stated[area].body != NULL && ring->stated[area].index > 0)
            return true;
    for (size_t i = 0; i < ring->count; i++)
        if (is_config(ring, ring->first + i))
            return true;
    return false;
}

static bool configured(const struct rings *rings)
{
    for (int id = 1; id <= REPLICAS; id++)
        if (rings->ring[id].usable && reconfigured(&rings->ring[id]))
            return true;
    return false;
}

static bool genesis_compare(struct rings *rings, struct report *report)
{
    const struct ring *base = NULL;
    for (int id = 1; id <= REPLICAS; id++) {
        const struct ring *ring = &rings->ring[id];
        if (!ring->usable)
            continue;
        if (base == NULL)
            base = ring;
        else if (memcmp(base->genesis.bytes, ring->genesis.bytes, sizeof(base->genesis.bytes)) != 0)
            fail(report, "ring %d: genesis: another record than ring %d's", id, base->id);
    }
    if (base == NULL)
        return false;
    if (configured(rings))
        return true; /* whose rings are needed, the log says */
    uint32_t founder_count = (uint32_t)__builtin_popcount(base->genesis.founders);
    uint32_t quorum = founder_count / 2 + 1;
    uint32_t usable = 0;
    for (int id = 1; id <= REPLICAS; id++)
        usable += rings->ring[id].usable && (base->genesis.founders >> id & 1) != 0;
    if (usable < quorum)
        fail(report, "rings: %u of %u founders can be read, a majority is %u", usable,
             founder_count, quorum);
    return usable >= quorum;
}

/* Two rings, entry by entry: equal index and term means equal bytes, wherever. */
static void same_terms(const struct ring *a, const struct ring *b, struct report *report)
{
    uint64_t from = a->first > b->first ? a->first : b->first;
    uint64_t to = ring_last(a) < ring_last(b) ? ring_last(a) : ring_last(b);
    for (uint64_t index = from; index <= to; index++) {
        const struct live *x = live_at(a, index);
        const struct live *y = live_at(b, index);
        if (x->term != y->term || x->entry == NULL || y->entry == NULL)
            continue;
        size_t size = le16(x->entry + 4);
        if (size == le16(y->entry + 4) && memcmp(x->entry, y->entry, size) == 0)
            continue;
        fail(report,
             "index %" PRIu64 ": ring %d (page %" PRIu64 ") and ring %d (page %" PRIu64
             ") hold different entries of term %" PRIu64,
             index, a->id, x->page, b->id, y->page, x->term);
        return;
    }
}

/* A ring that a majority has overtaken may still hold another end; what it called committed may not
 * differ. */
static void contradiction(const struct rings *rings, const struct ring *ring, struct report *report)
{
    uint64_t from = ring->first > rings->first ? ring->first : rings->first;
    uint64_t to = ring->commit < rings->held ? ring->commit : rings->held;
    if (to > ring_last(ring))
        to = ring_last(ring);
    for (uint64_t index = from; index <= to; index++) {
        const struct live *mine = live_at(ring, index);
        const struct live *theirs = live_at(rings->reference, index);
        if (mine->chain == theirs->chain || mine->chain == 0 || theirs->chain == 0)
            continue;
        fail(report,
             "index %" PRIu64 ": ring %d (page %" PRIu64
             ") contradicts, in what it called committed, the log that a majority holds (ring %d "
             "page %" PRIu64 ")",
             index, ring->id, mine->page, rings->reference->id, theirs->page);
        return;
    }
}

/* The chain at index of the log that a majority holds; 0: all who held it have lost it. */
static uint64_t chain_at(const struct rings *rings, uint64_t index)
{
    uint64_t last = live_at(rings->reference, rings->held)->chain, chain = 0;
    for (int id = 1; id <= REPLICAS && chain == 0; id++) {
        const struct live *end = live_at(&rings->ring[id], rings->held);
        const struct live *live = live_at(&rings->ring[id], index);
        if (end != NULL && end->chain == last && live != NULL)
            chain = live->chain;
    }
    return chain;
}

/* Does `ring` hold that log at index? Equal chains there or behind it say so. */
static bool same_log(const struct rings *rings, const struct ring *ring, uint64_t index)
{
    for (; index <= rings->held; index++) {
        const struct live *mine = live_at(ring, index);
        if (mine == NULL)
            return false;
        if (mine->chain != 0 && mine->chain == chain_at(rings, index))
            return true;
    }
    return false;
}

const uint8_t *rings_entry(const struct rings *rings, uint64_t index)
{
    const uint8_t *entry = live_at(rings->reference, index)->entry;
    for (int id = 1; id <= REPLICAS && entry == NULL; id++) {
        const struct live *live = live_at(&rings->ring[id], index);
        if (live != NULL && live->entry != NULL && same_log(rings, &rings->ring[id], index))
            entry = live->entry;
    }
    return entry;
}

/* Pages of stopped replicas are lost; what a majority held has to be somewhere all the same. */
static bool all_there(const struct rings *rings, struct report *report)
{
    for (uint64_t index = rings->first; index <= rings->held; index++)
        if (rings_entry(rings, index) == NULL) {
            fail(report, "index %" PRIu64 ": a majority held it, and no ring has it any more",
                 index);
            return false;
        }
    return true;
}

void rings_compare(struct rings *rings, struct report *report)
{
    if (!genesis_compare(rings, report))
        return;
    for (int id = 1; id <= REPLICAS; id++) {
        const struct ring *ring = &rings->ring[id];
        for (int other = id + 1; ring->usable && other <= REPLICAS; other++)
            if (rings->ring[other].usable)
                same_terms(ring, &rings->ring[other], report);
    }
    for (int id = 1; id <= REPLICAS; id++) {
        const struct ring *ring = &rings->ring[id];
        uint64_t up_to = ring->usable ? held_by_quorum(rings, ring) : 0;
        if (up_to > rings->held ||
            (up_to != 0 && up_to == rings->held && ring->first < rings->first)) {
            rings->held = up_to;
            rings->first = ring->first;
            rings->reference = ring;
        }
    }
    report->counts.held = rings->held;
    if (rings->reference == NULL) {
        note(report, "rings: no entry is held by a majority");
        return;
    }
    if (!all_there(rings, report)) {
        rings->reference = NULL; /* there is no log to judge by */
        return;
    }
    report->counts.entries = rings->held - rings->first + 1;
    known_members(rings, report);
    for (int id = 1; id <= REPLICAS; id++) {
        const struct ring *ring = &rings->ring[id];
        if (!ring->usable)
            continue;
        if (ring->commit > rings->held)
            fail(report,
                 "index %" PRIu64 ": ring %d calls it committed, but a majority holds only up to "
                 "%" PRIu64,
                 ring->commit, id, rings->held);
        if (ring != rings->reference)
            contradiction(rings, ring, report);
    }
}
