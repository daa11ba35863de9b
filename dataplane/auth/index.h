/* A small open-addressed index from 32-bit keys to places: handles and principals of one table.
 *
 * At most half full, so that a probe is expected to be one or two steps; its bound is the number of
 * cells. Keys come from finished handshakes only, so that no stranger chooses them. Memory is the
 * owner's; one thread.
 */
#ifndef KEEL_AUTH_INDEX_H
#define KEEL_AUTH_INDEX_H

#include "consensus/ensure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_INDEX_NONE UINT32_MAX

struct auth_index_cell {
    uint32_t key;
    uint32_t place; /* AUTH_INDEX_NONE: empty */
};

struct auth_index {
    struct auth_index_cell *cells;
    uint32_t mask;  /* cells - 1; cells is a power of two */
    uint32_t shift; /* 32 - log2(cells) */
};

/* Cells for `count` keys (1..2^20). */
static inline uint32_t auth_index_cells(uint32_t count)
{
    uint32_t cells = 4;

    while (cells < 2 * count) /* ends at 2^21 */
        cells *= 2;
    return cells;
}

static inline void auth_index_init(struct auth_index *index, struct auth_index_cell *cells,
                                   uint32_t cell_count)
{
    index->cells = cells;
    index->mask = cell_count - 1;
    index->shift = 32 - (uint32_t)__builtin_ctz(cell_count);
    for (uint32_t i = 0; i < cell_count; i++)
        cells[i] = (struct auth_index_cell){0, AUTH_INDEX_NONE};
}

/* Fibonacci hashing: neighbouring keys land far apart. */
static inline uint32_t auth_index_home(const struct auth_index *index, uint32_t key)
{
    return (key * UINT32_C(0x9e3779b1)) >> index->shift;
}

/* The key's place, or AUTH_INDEX_NONE. */
static inline uint32_t auth_index_find(const struct auth_index *index, uint32_t key)
{
    uint32_t at = auth_index_home(index, key);

    for (uint32_t step = 0; step <= index->mask; step++, at = (at + 1) & index->mask) {
        const struct auth_index_cell *cell = &index->cells[at];
        if (cell->place == AUTH_INDEX_NONE)
            return AUTH_INDEX_NONE;
        if (cell->key == key)
            return cell->place;
    }
    return AUTH_INDEX_NONE;
}

/* Adds a key that is not in it; the owner keeps it at most half full. */
static inline void auth_index_add(struct auth_index *index, uint32_t key, uint32_t place)
{
    uint32_t at = auth_index_home(index, key), step = 0;

    while (index->cells[at].place != AUTH_INDEX_NONE) {
        ENSURE(index->cells[at].key != key && step++ <= index->mask);
        at = (at + 1) & index->mask;
    }
    index->cells[at] = (struct auth_index_cell){key, place};
}

/* Removes a key that is in it; later cells of the probe run move up, so that no grave is left. */
static inline void auth_index_remove(struct auth_index *index, uint32_t key)
{
    uint32_t hole = auth_index_home(index, key), step = 0;

    while (index->cells[hole].place == AUTH_INDEX_NONE || index->cells[hole].key != key) {
        ENSURE(index->cells[hole].place != AUTH_INDEX_NONE && step++ <= index->mask);
        hole = (hole + 1) & index->mask;
    }
    uint32_t at = (hole + 1) & index->mask;
    while (index->cells[at].place != AUTH_INDEX_NONE) { /* ends: half of the cells are empty */
        uint32_t home = auth_index_home(index, index->cells[at].key);
        if (((at - home) & index->mask) >= ((at - hole) & index->mask)) {
            index->cells[hole] = index->cells[at];
            hole = at;
        }
        at = (at + 1) & index->mask;
    }
    index->cells[hole] = (struct auth_index_cell){0, AUTH_INDEX_NONE};
}

#endif
