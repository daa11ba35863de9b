/* What has been seen: a table of 128-bit fingerprints, the way to each state, and the queue of
 * packed states that wait to be followed.
 *
 * A state is known by its fingerprint alone: of n states two share one with probability n^2 /
 * 2^129, 10^-21 at 10^9. Its number is the order of its discovery. Packed states are kept only from
 * their discovery until they are followed.
 */
#ifndef KEEL_EXPLORE_SEEN_H
#define KEEL_EXPLORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fingerprint {
    uint64_t a, b;
};

struct trail { /* how a state was first reached */
    uint32_t parent;
    uint16_t move; /* its number in the parent's list */
    uint16_t depth;
};

struct chunk;

struct seen {
    uint64_t count;
    uint64_t slots; /* a power of two */
    struct fingerprint *table;
    struct trail *trail;
    uint64_t trail_size;
    struct chunk *first, *last; /* the queue */
    struct chunk *spare;
    size_t bytes; /* taken in all */
    size_t bytes_max;
    bool full; /* bytes_max was reached, or the machine's memory */
};

void seen_init(struct seen *seen, size_t bytes_max);
void seen_free(struct seen *seen);

struct fingerprint seen_fingerprint(const uint8_t *packed, size_t size);

/* Takes in a state unless it is known; true: it is new, has a number and is queued. */
bool seen_add(struct seen *seen, const uint8_t *packed, size_t size, uint32_t parent, uint16_t move,
              uint16_t depth);

/* The oldest state of the queue, copied to packed[size_max]; its size, or 0: the queue is empty. */
size_t seen_next(struct seen *seen, uint8_t *packed, size_t size_max);

#endif
