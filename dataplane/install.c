/* A peer's checkpoint in the place of what this replica has: the log can't be had any more.
 *
 * Control has gathered and verified it, and made it durable in both areas of the drive: a start
 * after a crash would take it over by itself. Here the running replica does, in one turn: log,
 * machine, line. Before that the feed lets go of the window, whose pages the log that goes gives
 * back.
 */
#include "dataplane/replica.h"

#include <string.h>

void install_offer(struct replica *r, struct checkpoint_offer *offer)
{
    ENSURE(install_done(r));
    r->offer = offer;
    /* release: pairs with the acquire in install_turn(); the offer is whole before it counts */
    __atomic_store_n(&r->offered, r->offered + 1, __ATOMIC_RELEASE);
}

bool install_done(const struct replica *r)
{
    /* acquire: pairs with the release in done(); seq touches offer and machine no more */
    return __atomic_load_n(&r->obeyed, __ATOMIC_ACQUIRE) == r->offered;
}

static void done(struct replica *r)
{
    r->taking = NULL;
    /* release: pairs with the acquire in install_done() */
    __atomic_store_n(&r->obeyed, r->obeyed + 1, __ATOMIC_RELEASE);
}

/* The line goes on at the checkpoint's number; what lies before it is not to be had here. */
static void tell_feed(struct replica *r)
{
    const struct machine *m = r->machine;
    struct feed_item item = {.kind = ITEM_ANEW,
                             .feed = m->feed_next,
                             .index = m->applied,
                             .count = m->day_open != 0,
                             .utc_ns = m->utc_ns};
    memcpy(item.end.session, m->day, sizeof(m->day));
    feed_push(r->feed, &item);
}

static void take_over(struct replica *r, struct checkpoint_offer *offer)
{
    struct machine *before = r->machine;
    r->machine = offer->machine;
    offer->machine = before;
    offer->taken = true;
    r->intake->pending_count = 0;
    r->last_utc_ns = r->machine->utc_ns;
    r->last_log_ns = r->machine->log_ns;
    r->noted_done = r->machine->applied;
    r->mark_index = 0;
    ring_note_done(r->ring, r->machine->applied);
    tell_feed(r);
}

uint32_t install_turn(struct replica *r)
{
    /* acquire: pairs with the release in install_offer() */
    if (__atomic_load_n(&r->offered, __ATOMIC_ACQUIRE) == r->obeyed)
        return 0;
    struct checkpoint_offer *offer = r->offer;
    r->taking = offer;
    offer->taken = false;
    /* H7: above a hole a peer's checkpoint repairs, what is committed there or not */
    bool behind =
        offer->index > r->raft.commit ||
        (r->raft.hole != 0 && offer->index >= r->raft.hole && offer->index > r->machine->applied);
    bool leads = r->raft.role == RAFT_LEADER;
    bool needed = behind && !leads;
    bool quiet = feed_done(r->feed, r->machine->applied) == r->machine->applied &&
                 feed_room(r->feed, 1) && ring_room_to_begin(r->ring);
    if (needed && (!quiet || r->stopped || r->raft.failed))
        return 0; /* in a later turn, or after a restart */
    if (behind && leads && r->raft.hole != 0)
        return 0; /* it settles the hole, or leaves its office over it */
    /* The log may be kept, and apply does not get over what it has lost. */
    bool over_hole = r->raft.hole != 0 && r->raft.hole <= offer->index;
    if (needed && (step_install(r) || (over_hole && r->machine->applied < offer->index)))
        take_over(r, offer);
    done(r);
    return 1;
}
