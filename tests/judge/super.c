#include "judge.h"

#include <inttypes.h>
#include <string.h>

/* A ring's first blocks, from docs/ring-format.md: superblock and genesis record, two copies each.
 */

#define SUPER_MAGIC 0x314b4c424c45454bull
#define GENESIS_MAGIC 0x3153454e454c454bull

bool sum512_good(const uint8_t *at)
{
    return crc32c(0, at, 508) == le32(at + 508);
}

bool super_read(struct ring *ring, struct report *report)
{
    const uint8_t *found = NULL;
    for (int copy = 1; copy >= 0; copy--) {
        const uint8_t *at = ring->file.at + (size_t)copy * PAGE;
        if (ring->file.size < (size_t)RESERVED_BLOCKS * PAGE || le64(at) != SUPER_MAGIC)
            continue;
        if (sum512_good(at))
            found = at;
        else
            note(report, "ring %d: superblock %d is damaged", ring->id, copy);
    }
    if (found == NULL) {
        unreadable(report, "ring %d: %s holds no ring", ring->id, ring->file.path);
        return false;
    }
    ring->incarnation = le64(found + 16);
    ring->slots = le64(found + 24);
    uint64_t area = le64(found + 32);
    if (le32(found + 8) != 1 || ring->slots == 0 || ring->slots > UINT32_MAX || area > UINT32_MAX) {
        unreadable(report, "ring %d: a superblock of unknown version or impossible size", ring->id);
        return false;
    }
    ring->base = (RESERVED_BLOCKS + 2 * area) * PAGE;
    if (ring->base + ring->slots * PAGE > ring->file.size) {
        unreadable(report, "ring %d: %s is cut off: %" PRIu64 " slots do not fit", ring->id,
                   ring->file.path, ring->slots);
        return false;
    }
    if (le32(found + 12) != (uint32_t)ring->id) {
        fail(report, "ring %d: superblock: is replica %u's", ring->id, le32(found + 12));
        return false;
    }
    return true;
}

bool genesis_read(struct ring *ring, struct report *report)
{
    const uint8_t *found = NULL;
    for (int copy = 1; copy >= 0; copy--) {
        const uint8_t *at = ring->file.at + (size_t)(2 + copy) * PAGE;
        if (le64(at) == GENESIS_MAGIC && (le32(at + 8) == 1 || le32(at + 8) == 2) &&
            le32(at + 12) == 512 && sum512_good(at))
            found = at;
        else
            note(report, "ring %d: genesis copy %d is damaged or missing", ring->id, copy);
    }
    if (found == NULL) {
        fail(report, "ring %d: genesis: no intact record", ring->id);
        return false;
    }
    struct genesis_facts *g = &ring->genesis;
    memcpy(g->bytes, found, sizeof(g->bytes));
    g->cluster_id = le64(found + 16);
    g->begins = 1; /* or, in version 2, behind a state of another cluster */
    if (le32(found + 8) == 2 && le64(found + 24 + 16 * (size_t)ring->id) == ring->incarnation)
        g->begins = le64(found + 240) + 1;
    for (int id = 1; id <= REPLICAS; id++) {
        g->incarnation[id] = le64(found + 24 + 16 * id);
        if (g->incarnation[id] != 0)
            g->founders |= 1u << id;
    }
    memcpy(g->day, found + 152, DAY_SIZE);
    g->rho_ppm = le32(found + 180);
    g->ttl_min_ms = le32(found + 188);
    g->ttl_max_ms = le32(found + 192);
    g->retain_ms = le32(found + 196);
    g->sessions_max = le32(found + 200);
    g->sessions_each = le32(found + 204);
    g->window_max = le32(found + 208);
    g->nodes_max = le32(found + 272);
    g->handles_max = le32(found + 276);
    g->handles_each = le32(found + 280);
    g->waiters_max = le32(found + 284);
    g->lock_delay_max_ms = le32(found + 288);
    return true;
}
