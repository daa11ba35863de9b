/* Three small structures that the machine's tables are made of. All are laid out in its block and
 * hold slot numbers, never pointers: a hash index (open addressing, linear probes, no tombstones),
 * a doubly linked list, a set of slots in use. Slots stand in them as slot + 1; 0 is none.
 */
#ifndef KEEL_MACHINE_TABLE_H
#define KEEL_MACHINE_TABLE_H

#include "consensus/machine/machine_internal.h"

/* Where a slot's probe begins, before it is masked. */
typedef uint32_t machine_home(const struct machine *machine, uint32_t slot);

/* `cell` has mask + 1 cells, more than are ever in use. */
void machine_table_insert(const struct machine *machine, uint32_t *cell, uint32_t mask,
                          uint32_t slot, machine_home *home);
void machine_table_remove(const struct machine *machine, uint32_t *cell, uint32_t mask,
                          uint32_t slot, machine_home *home);
/* Cells for so many slots: at most half full, so that probes stay short. */
uint32_t machine_table_cells(uint32_t slots);

/* `links` is slot 0's link of this list; those of other slots follow at `stride` bytes. */
static inline struct machine_link *machine_link(struct machine_link *links, size_t stride,
                                                uint32_t slot)
{
    return (struct machine_link *)(void *)((uint8_t *)links + stride * slot);
}

static inline void machine_list_append(struct machine_list *list, struct machine_link *links,
                                       size_t stride, uint32_t slot)
{
    struct machine_link *link = machine_link(links, stride, slot);
    link->prev = list->last;
    link->next = 0;
    if (list->last != 0)
        machine_link(links, stride, list->last - 1)->next = slot + 1;
    else
        list->first = slot + 1;
    list->last = slot + 1;
}

static inline void machine_list_remove(struct machine_list *list, struct machine_link *links,
                                       size_t stride, uint32_t slot)
{
    struct machine_link *link = machine_link(links, stride, slot);
    if (link->prev != 0)
        machine_link(links, stride, link->prev - 1)->next = link->next;
    else
        list->first = link->next;
    if (link->next != 0)
        machine_link(links, stride, link->next - 1)->prev = link->prev;
    else
        list->last = link->prev;
    *link = (struct machine_link){0};
}

/* A set of slots is a bit for each, in words; bits behind `slots` are zero. */
static inline size_t machine_bits_size(uint32_t slots)
{
    return ((size_t)slots + 63) / 64 * sizeof(uint64_t);
}

static inline void machine_bits_flip(uint64_t *bits, uint32_t slot)
{
    bits[slot / 64] ^= 1ull << slot % 64;
}

/* The lowest slot that is not in the set; MACHINE_NO_SLOT: none. */
static inline uint32_t machine_bits_room(const uint64_t *bits, uint32_t slots)
{
    for (uint32_t word = 0; word * 64 < slots; word++) {
        if (bits[word] == UINT64_MAX)
            continue;
        uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(~bits[word]);
        return slot < slots ? slot : MACHINE_NO_SLOT;
    }
    return MACHINE_NO_SLOT;
}

#endif
