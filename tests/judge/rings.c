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

/* How many rings hold exactly the log of `ring` up to index; the chain stands for all before it. */
static uint32_t holders(const struct rings *rings, const struct ring *ring, uint64_t index)
{
    uint64_t chain = live_at(ring, index)->chain;
    uint32_t count = 0;
    for (int id = 1; id <= REPLICAS; id++) {
        const struct live *live = live_at(&rings->ring[id], index);
        count += live != NULL && live->chain == chain;
    }
    return count;
}

/* Highest index of this ring that a quorum holds too, 0: none. Chains that are equal at an index
 * are equal at all before it that both retain, so a binary search would do but for wrapped heads.
 */
static uint64_t held_by_quorum(const struct rings *rings, const struct ring *ring)
{
    for (size_t i = ring->count; i-- > 0;)
        if (holders(rings, ring, ring->first + i) >= rings->quorum)
            return ring->first + i;
    return 0;
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
    uint32_t founders = (uint32_t)__builtin_popcount(base->genesis.founders);
    rings->quorum = founders / 2 + 1;
    uint32_t usable = 0;
    for (int id = 1; id <= REPLICAS; id++)
        usable += rings->ring[id].usable && (base->genesis.founders >> id & 1) != 0;
    if (usable < rings->quorum)
        fail(report, "rings: %u of %u founders can be read, a majority is %u", usable, founders,
             rings->quorum);
    return usable >= rings->quorum;
}

/* Two rings, entry by entry: equal index and term means equal bytes, wherever. */
static void same_terms(const struct ring *a, const struct ring *b, struct report *report)
{
    uint64_t from = a->first > b->first ? a->first : b->first;
    uint64_t to = ring_last(a) < ring_last(b) ? ring_last(a) : ring_last(b);
    for (uint64_t index = from; index <= to; index++) {
        const struct live *x = live_at(a, index);
        const struct live *y = live_at(b, index);
        if (le64(x->entry + 16) != le64(y->entry + 16))
            continue;
        size_t size = le16(x->entry + 4);
        if (size == le16(y->entry + 4) && memcmp(x->entry, y->entry, size) == 0)
            continue;
        fail(report,
             "index %" PRIu64 ": ring %d (page %" PRIu64 ") and ring %d (page %" PRIu64
             ") hold different entries of term %" PRIu64,
             index, a->id, x->page, b->id, y->page, le64(x->entry + 16));
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
        if (mine->chain == theirs->chain)
            continue;
        fail(report,
             "index %" PRIu64 ": ring %d (page %" PRIu64
             ") contradicts, in what it called committed, the log that a majority holds (ring %d "
             "page %" PRIu64 ")",
             index, ring->id, mine->page, rings->reference->id, theirs->page);
        return;
    }
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
        uint64_t held = ring->usable ? held_by_quorum(rings, ring) : 0;
        if (held > rings->held ||
            (held != 0 && held == rings->held && ring->first < rings->first)) {
            rings->held = held;
            rings->first = ring->first;
            rings->reference = ring;
        }
    }
    report->counts.held = rings->held;
    if (rings->reference == NULL) {
        note(report, "rings: no entry is held by a majority");
        return;
    }
    report->counts.entries = rings->held - rings->first + 1;
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

const uint8_t *rings_entry(const struct rings *rings, uint64_t index)
{
    return rings->reference->live[index - rings->first].entry;
}
