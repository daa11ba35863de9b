#include "client/held.h"

#include "consensus/ensure.h"

#include <string.h>

size_t held_size(uint32_t room)
{
    return room * (sizeof(struct held_packet) + 3 * sizeof(uint32_t));
}

void held_init(struct held *held, void *memory, uint32_t room)
{
    held->room = room;
    held->count = held->head = 0;
    held->free_count = room;
    held->packet = memory;
    held->order = (uint32_t *)(held->packet + room);
    held->free_list = held->order + 2 * (size_t)room;
    for (uint32_t i = 0; i < room; i++)
        held->free_list[i] = i;
}

static bool before(const struct held_packet *p, uint32_t day, uint64_t first)
{
    return p->day < day || (p->day == day && p->first < first);
}

/* Where a packet belongs: behind all that begin before it. */
static uint32_t place(const struct held *held, uint32_t day, uint64_t first)
{
    uint32_t low = held->head, high = held->head + held->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (before(&held->packet[held->order[middle]], day, first))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void fill(struct held_packet *p, const void *bytes, size_t size, uint32_t count,
                 uint32_t source)
{
    p->count = count;
    p->size = (uint16_t)size;
    p->source = (uint16_t)source;
    memcpy(p->bytes, bytes, size);
}

enum held_outcome held_add(struct held *held, uint32_t day, uint64_t first, uint32_t count,
                           const void *bytes, size_t size, uint32_t source)
{
    ENSURE(size <= KEEL_DATAGRAM_MAX);
    if (held->head >= held->room) { /* room behind: the order moves to the front of its table */
        memmove(held->order, held->order + held->head, held->count * sizeof(uint32_t));
        held->head = 0;
    }
    uint32_t at = place(held, day, first), end = held->head + held->count;
    if (at < end) {
        struct held_packet *p = &held->packet[held->order[at]];
        if (p->day == day && p->first == first) {
            if (p->count >= count)
                return HELD_KNOWN;
            fill(p, bytes, size, count, source);
            return HELD_KEPT;
        }
    }
    if (held->free_count == 0) {
        if (at == end)
            return HELD_DROPPED;
        held->free_list[held->free_count++] = held->order[--end];
        held->count--;
    }
    memmove(held->order + at + 1, held->order + at, (end - at) * sizeof(uint32_t));
    uint32_t taken = held->free_list[--held->free_count];
    held->order[at] = taken;
    held->count++;
    struct held_packet *p = &held->packet[taken];
    p->day = day;
    p->first = first;
    fill(p, bytes, size, count, source);
    return HELD_KEPT;
}

struct held_packet *held_first(struct held *held)
{
    return held->count == 0 ? NULL : &held->packet[held->order[held->head]];
}

const struct held_packet *held_peek(const struct held *held)
{
    return held->count == 0 ? NULL : &held->packet[held->order[held->head]];
}

void held_pop(struct held *held)
{
    ENSURE(held->count > 0);
    held->free_list[held->free_count++] = held->order[held->head++];
    held->count--;
}

void held_next_day(struct held *held)
{
    while (held->count > 0 && held_first(held)->day == 0) /* at most all */
        held_pop(held);
    for (uint32_t i = 0; i < held->count; i++)
        held->packet[held->order[held->head + i]].day = 0;
}
