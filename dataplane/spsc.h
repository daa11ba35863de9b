/* A single-producer single-consumer ring of fixed-size records: the only kind of link between
 * roles.
 *
 * One thread pushes, one pops; they may be the same. Producer and consumer live on cache lines of
 * their own, each with a cached copy of the other's index, so that a burst costs one shared load.
 * The memory is the owner's, handed over at init; nothing is allocated.
 */
#ifndef KEEL_SPSC_H
#define KEEL_SPSC_H

#include "consensus/ensure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SPSC_LINE = 64 };

struct spsc {
    _Alignas(SPSC_LINE) uint64_t tail; /* next record to push; written by the producer */
    uint64_t head_seen;                /* producer's copy of head */
    _Alignas(SPSC_LINE) uint64_t head; /* next record to pop; written by the consumer */
    uint64_t tail_seen;                /* consumer's copy of tail */
    _Alignas(SPSC_LINE) uint8_t *records;
    uint32_t record_size;
    uint32_t mask;
};

/* Bytes of memory for `capacity` (a power of two) records. */
static inline size_t spsc_memory(uint32_t capacity, uint32_t record_size)
{
    return (size_t)capacity * record_size;
}

static inline void spsc_init(struct spsc *ring, void *memory, uint32_t capacity,
                             uint32_t record_size)
{
    ENSURE(capacity > 0 && (capacity & (capacity - 1)) == 0);
    memset(ring, 0, sizeof(*ring));
    ring->records = memory;
    ring->record_size = record_size;
    ring->mask = capacity - 1;
}

/* Producer: room for the next record, or NULL when the ring is full. Write it, then spsc_push(). */
static inline void *spsc_reserve(struct spsc *ring)
{
    if (ring->tail - ring->head_seen > ring->mask) {
        /* acquire: pairs with the release in spsc_drop(), so that the record is read before reuse
         */
        ring->head_seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
        if (ring->tail - ring->head_seen > ring->mask)
            return NULL;
    }
    return ring->records + (ring->tail & ring->mask) * ring->record_size;
}

static inline void spsc_push(struct spsc *ring)
{
    /* release: pairs with the acquire in spsc_peek(); the record is written before it shows */
    __atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
}

/* Consumer: the oldest record, or NULL when the ring is empty. Read it, then spsc_drop(). */
static inline void *spsc_peek(struct spsc *ring)
{
    if (ring->head == ring->tail_seen) {
        /* acquire: pairs with the release in spsc_push() */
        ring->tail_seen = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (ring->head == ring->tail_seen)
            return NULL;
    }
    return ring->records + (ring->head & ring->mask) * ring->record_size;
}

static inline void spsc_drop(struct spsc *ring)
{
    /* release: pairs with the acquire in spsc_reserve(); the record is read before it is reused */
    __atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
}

/* Producer: records that can be pushed for certain. */
static inline uint32_t spsc_room(struct spsc *ring)
{
    /* acquire: as in spsc_reserve() */
    ring->head_seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    return (uint32_t)(ring->mask + 1 - (ring->tail - ring->head_seen));
}

#endif
