/* Promise 4, judged without the machine: in true time never two believe in one lock unless all
 * share it, while clocks keep their bound; no message under an older sequencer stands behind a
 * newer grant, whatever clocks do; no session expires whose holder may still believe that it lives.
 *
 * A generation is the log index of a grant, so that the log itself tells what was stale: a message
 * at index i under generation g needs g < i, and no grant of that node at an index between.
 */
#include "tests/sim/check.h"

#include <stdlib.h>

struct granted {
    uint64_t node, generation;
};

struct shown { /* a sequenced message and what it showed */
    uint64_t node, generation, index;
};

struct lock_view {
    struct granted *granted;
    uint64_t granted_count, granted_cap;
    struct shown *shown;
    uint64_t shown_count, shown_cap;
};

static struct lock_view *view(struct world *world)
{
    if (world->locks == NULL)
        world->locks = calloc(1, sizeof(*world->locks));
    ENSURE(world->locks != NULL);
    return world->locks;
}

static void compare(struct world *world, const struct granted *g, const struct shown *s)
{
    if (g->node == s->node && g->generation > s->generation && g->generation < s->index)
        world_fail(world,
                   "index %lu: a message under generation %lu of node %lu is sequenced behind the "
                   "grant at index %lu",
                   (unsigned long)s->index, (unsigned long)s->generation, (unsigned long)s->node,
                   (unsigned long)g->generation);
}

void check_locks_granted(struct world *world, uint64_t node, uint64_t generation)
{
    struct lock_view *v = view(world);
    if (generation <= node)
        world_fail(world, "a grant of node %lu has generation %lu", (unsigned long)node,
                   (unsigned long)generation);
    v->granted = check_grown(v->granted, &v->granted_cap, v->granted_count, sizeof(*v->granted));
    v->granted[v->granted_count++] = (struct granted){node, generation};
    for (uint64_t i = 0; i < v->shown_count; i++)
        compare(world, &v->granted[v->granted_count - 1], &v->shown[i]);
    world->grants++;
}

void check_locks_fenced(struct world *world, uint64_t session, uint64_t number,
                        const struct entry_sequencer *shown)
{
    struct lock_view *v = view(world);
    uint64_t index = check_index_of(world, session, number);
    if (index <= shown->generation)
        world_fail(world,
                   "message %lu of session %lu is sequenced at index %lu under generation %lu",
                   (unsigned long)number, (unsigned long)session, (unsigned long)index,
                   (unsigned long)shown->generation);
    v->shown = check_grown(v->shown, &v->shown_cap, v->shown_count, sizeof(*v->shown));
    v->shown[v->shown_count++] = (struct shown){shown->node, shown->generation, index};
    for (uint64_t i = 0; i < v->granted_count; i++)
        compare(world, &v->granted[i], &v->shown[v->shown_count - 1]);
    world->fenced++;
}

/* Beliefs begin at events and end by themselves: to compare at each event of a holder is enough. */
void check_locks(struct world *world)
{
    for (uint32_t which = 0; which < HOLD_PATHS; which++) {
        uint32_t all = 0, exclusive = 0;
        for (uint32_t i = 0; i < world->knobs.holders; i++)
            for (uint32_t life = 0; life < 2 && world->holder[i] != NULL; life++) {
                uint8_t mode = holder_believes(world->holder[i], which, life);
                all += mode != LOCK_FREE;
                exclusive += mode == LOCK_EXCLUSIVE;
            }
        if (exclusive > 0 && all > 1) {
            world_fail(world, "%u believe in the lock of path %u at one instant, %u of them alone",
                       all, which, exclusive);
            return;
        }
    }
}

void check_locks_expired(struct world *world, uint64_t session)
{
    for (uint32_t i = 0; i < world->knobs.holders; i++)
        if (world->holder[i] != NULL && holder_lives_in(world->holder[i], session) &&
            world->knobs.beyond == 0)
            world_fail(world, "session %lu expires while holder %u may believe in it: %s",
                       (unsigned long)session, i, holder_state(world->holder[i]));
}

void check_locks_free(struct world *world)
{
    if (world->locks == NULL)
        return;
    free(world->locks->granted);
    free(world->locks->shown);
    free(world->locks);
    world->locks = NULL;
}
