/* Rare states of a seed (tests/reach): the simulator tells what replicas, frames, drives and
 * clients do. Nothing is drawn or scheduled here: a seed's trace is the same with and without.
 * Without world->reach a hook costs the test of a pointer.
 */
#ifndef KEEL_SIM_REACHED_H
#define KEEL_SIM_REACHED_H

#include "tests/reach/reach.h"
#include "tests/sim/world.h"

/* Associations that replicas have with each other: packets of an older one may still come. */
struct reached {
    struct reach reach;
    uint32_t spoken[NODES_MAX + 1][NODES_MAX + 1]; /* [from][to]: the newest handle sealed for */
};

/* --- the functions behind the hooks, not for calling ------------------------------------------ */
void reached_started(struct world *world, const struct node *node,
                     const struct ring_recovery *found);
void reached_down(struct world *world, const struct node *node);
void reached_turn(struct world *world, const struct node *node);
void reached_sent(struct world *world, uint32_t from, const uint8_t *bytes, uint32_t size);
void reached_arrived(struct world *world, uint32_t to, const uint8_t *bytes, uint32_t size);
void reached_torn(struct world *world, const struct node *node, const void *page);
void reached_cut_off(struct world *world, const struct node *node, bool zeroing);
void reached_checkpoint(struct world *world, const struct node *node, uint64_t index,
                        uint64_t term);
void reached_day(struct world *world, uint32_t asked_of);

/* A hook: reached_WHAT(world, ...) if somebody asks for rare states. */
#define REACHED(what, world, ...)                                                                  \
    do {                                                                                           \
        if (__builtin_expect((world)->reached != NULL, 0))                                         \
            reached_##what((world), __VA_ARGS__);                                                  \
    } while (0)

#endif
