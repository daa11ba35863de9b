#include "dataplane/neighbour.h"

#include "consensus/ensure.h"

#include <string.h>

enum { SLOT_MASK = FRAME_NEIGHBOURS_MAX - 1 };
_Static_assert((FRAME_NEIGHBOURS_MAX & SLOT_MASK) == 0, "slots are indexed by a mask");

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint32_t home_slot(uint32_t ip)
{
    return (ip * 2654435761u) >> 24 & SLOT_MASK;
}

void neighbours_init(struct neighbours *table)
{
    memset(table, 0, sizeof(*table));
    table->due_ms = UINT64_MAX;
}

static struct neighbour *lookup(struct neighbours *table, uint32_t ip)
{
    uint32_t slot = home_slot(ip);
    for (uint32_t step = 0; step < FRAME_NEIGHBOURS_MAX; step++) {
        struct neighbour *n = &table->slots[(slot + step) & SLOT_MASK];
        if (n->state == NEIGHBOUR_FREE)
            return NULL;
        if (n->ip == ip)
            return n;
    }
    return NULL;
}

static void schedule(struct neighbours *table, struct neighbour *n, uint64_t due_ms)
{
    n->due_ms = due_ms;
    if (due_ms < table->due_ms)
        table->due_ms = due_ms;
}

/* Empties a slot and moves later entries of the same run back, so that no lookup meets a gap before
 * its entry. */
static void release(struct neighbours *table, uint32_t slot)
{
    uint32_t hole = slot;
    for (uint32_t step = 1; step < FRAME_NEIGHBOURS_MAX; step++) {
        uint32_t at = (slot + step) & SLOT_MASK;
        const struct neighbour *n = &table->slots[at];
        if (n->state == NEIGHBOUR_FREE)
            break;
        if (((at - home_slot(n->ip)) & SLOT_MASK) >= ((at - hole) & SLOT_MASK)) {
            table->slots[hole] = *n;
            hole = at;
        }
    }
    memset(&table->slots[hole], 0, sizeof(table->slots[hole]));
    table->count--;
}

/* Makes room by forgetting the entry that was looked up longest ago. */
static bool evict(struct neighbours *table)
{
    uint32_t oldest = FRAME_NEIGHBOURS_MAX;
    for (uint32_t slot = 0; slot < FRAME_NEIGHBOURS_MAX; slot++) {
        const struct neighbour *n = &table->slots[slot];
        if (n->state == NEIGHBOUR_FREE || n->state == NEIGHBOUR_FIXED)
            continue;
        if (oldest == FRAME_NEIGHBOURS_MAX || n->used_ms < table->slots[oldest].used_ms)
            oldest = slot;
    }
    if (oldest == FRAME_NEIGHBOURS_MAX)
        return false;
    release(table, oldest);
    return true;
}

/* A fresh slot for an address that is not in the table. */
static struct neighbour *insert(struct neighbours *table, uint32_t ip)
{
    if (table->count == FRAME_NEIGHBOURS_MAX && !evict(table))
        return NULL;
    uint32_t slot = home_slot(ip);
    for (uint32_t step = 0; step < FRAME_NEIGHBOURS_MAX; step++) {
        struct neighbour *n = &table->slots[(slot + step) & SLOT_MASK];
        if (n->state != NEIGHBOUR_FREE)
            continue;
        memset(n, 0, sizeof(*n));
        n->ip = ip;
        n->due_ms = UINT64_MAX;
        table->count++;
        return n;
    }
    return NULL;
}

/* Starts asking from the beginning: at once, then with growing pauses. */
static void want(struct neighbours *table, struct neighbour *n, uint64_t now_ms)
{
    n->tries = 0;
    n->retry_ms = FRAME_ARP_RETRY_MS;
    schedule(table, n, now_ms);
}

bool neighbours_find(struct neighbours *table, uint32_t ip, uint8_t mac[6], uint64_t now_ms)
{
    struct neighbour *n = lookup(table, ip);
    if (n == NULL) {
        n = insert(table, ip);
        if (n == NULL)
            return false;
        n->state = NEIGHBOUR_WANTED;
        want(table, n, now_ms);
    }
    n->used_ms = now_ms;
    if (n->state == NEIGHBOUR_KNOWN) {
        uint64_t age_ms = now_ms - n->confirmed_ms;
        if (age_ms >= FRAME_ARP_STALE_MS) {
            n->state = NEIGHBOUR_WANTED;
            want(table, n, now_ms);
        } else if (age_ms >= FRAME_ARP_FRESH_MS && n->due_ms > now_ms + NEIGHBOUR_RETRY_MAX_MS) {
            want(table, n, now_ms);
        }
    }
    if (n->state == NEIGHBOUR_WANTED)
        return false;
    memcpy(mac, n->mac, 6);
    return true;
}

bool neighbours_fix(struct neighbours *table, uint32_t ip, const uint8_t mac[6])
{
    struct neighbour *n = lookup(table, ip);
    if (n == NULL)
        n = insert(table, ip);
    if (n == NULL)
        return false;
    n->state = NEIGHBOUR_FIXED;
    n->asked = false;
    n->due_ms = UINT64_MAX;
    memcpy(n->mac, mac, 6);
    return true;
}

bool neighbours_answer(struct neighbours *table, uint32_t ip, const uint8_t mac[6], uint64_t now_ms)
{
    struct neighbour *n = lookup(table, ip);
    if (n == NULL || !n->asked || now_ms - n->asked_ms > NEIGHBOUR_ANSWER_MS)
        return false;
    if (!n->asked_all && memcmp(n->mac, mac, 6) != 0)
        return false; /* only the one that was asked may answer */
    memcpy(n->mac, mac, 6);
    n->state = NEIGHBOUR_KNOWN;
    n->asked = false;
    n->tries = 0;
    n->retry_ms = FRAME_ARP_RETRY_MS;
    n->confirmed_ms = now_ms;
    schedule(table, n, now_ms + FRAME_ARP_STALE_MS);
    return true;
}

void neighbours_hint(struct neighbours *table, uint32_t ip, const uint8_t mac[6], uint64_t now_ms)
{
    struct neighbour *n = lookup(table, ip);
    if (n == NULL || n->state != NEIGHBOUR_KNOWN || memcmp(n->mac, mac, 6) == 0)
        return;
    if (now_ms - n->confirmed_ms < NEIGHBOUR_HINT_MS || now_ms - n->asked_ms < NEIGHBOUR_HINT_MS)
        return;
    want(table, n, now_ms);
}

/* What a due entry needs. True: ask for it. False: its time was changed, or it is gone. */
static bool visit(struct neighbours *table, uint32_t slot, uint64_t now_ms)
{
    struct neighbour *n = &table->slots[slot];
    bool used = now_ms - n->used_ms < FRAME_ARP_STALE_MS;
    if (n->state == NEIGHBOUR_KNOWN && now_ms - n->confirmed_ms >= FRAME_ARP_STALE_MS)
        n->state = NEIGHBOUR_WANTED;
    if (n->state == NEIGHBOUR_WANTED && !used) {
        release(table, slot);
        return false;
    }
    n->asked = true;
    n->asked_all = n->state == NEIGHBOUR_WANTED || n->tries >= NEIGHBOUR_UNICAST_TRIES;
    n->asked_ms = now_ms;
    if (n->tries < UINT8_MAX)
        n->tries++;
    n->due_ms = now_ms + n->retry_ms;
    uint32_t most_ms =
        n->state == NEIGHBOUR_WANTED ? NEIGHBOUR_WANTED_MAX_MS : NEIGHBOUR_RETRY_MAX_MS;
    n->retry_ms = n->retry_ms * 2 > most_ms ? most_ms : n->retry_ms * 2;
    return true;
}

bool neighbours_next(struct neighbours *table, uint64_t now_ms, uint32_t *ip, uint8_t to[6])
{
    if (now_ms < table->due_ms)
        return false;
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t slot = 0; slot < FRAME_NEIGHBOURS_MAX; slot++) {
        struct neighbour *n = &table->slots[slot];
        if (n->state == NEIGHBOUR_FREE)
            continue;
        if (n->due_ms <= now_ms && visit(table, slot, now_ms)) {
            *ip = n->ip;
            memcpy(to, n->asked_all ? broadcast_mac : n->mac, 6);
            return true; /* table->due_ms stays in the past: there may be more */
        }
        if (n->state != NEIGHBOUR_FREE && n->due_ms < due_ms)
            due_ms = n->due_ms; /* after a release the slot may hold its successor */
    }
    table->due_ms = due_ms;
    return false;
}
