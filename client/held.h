/* Feed packets that came too early, kept in order until their turn. Fixed room; when it is full,
 * the packet farthest ahead goes, for it is the one that can be asked for last. Pure; belongs to a
 * follower.
 */
#ifndef KEEL_CLIENT_HELD_H
#define KEEL_CLIENT_HELD_H

#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum held_outcome { HELD_KEPT = 0, HELD_KNOWN = 1, HELD_DROPPED = 2 };

struct held_packet {
    uint64_t first; /* number of its first message */
    uint32_t day;   /* 0: the day being delivered, 1: the next one */
    uint32_t count; /* messages */
    uint16_t size;  /* bytes */
    uint16_t source;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
};

struct held {
    uint32_t room;  /* packets */
    uint32_t count; /* kept */
    uint32_t head;  /* order[head .. head + count) are kept, lowest first; the rest are free */
    uint32_t free_count;
    struct held_packet *packet; /* [room] */
    uint32_t *order;            /* [2 * room] */
    uint32_t *free_list;        /* [room] */
};

size_t held_size(uint32_t room);
/* Lays the tables out in memory of held_size(room) bytes, aligned to 8. */
void held_init(struct held *held, void *memory, uint32_t room);
enum held_outcome held_add(struct held *held, uint32_t day, uint64_t first, uint32_t count,
                           const void *bytes, size_t size, uint32_t source);
/* The lowest one, NULL: none. */
struct held_packet *held_first(struct held *held);
const struct held_packet *held_peek(const struct held *held);
void held_pop(struct held *held);
/* The day being delivered is over: drops what is left of it; the next one's packets become its. */
void held_next_day(struct held *held);

#endif
