/* What replicas think of each other, beside what is the case. Silence alone cannot tell a crash
 * from a cut, so these are the statements that can be held:
 *
 * - Who is down for longer than SUSPICION_DEAD_MAX_MS is dead to every replica that took turns all
 *   the while. That is within 20 minimum election timeouts of the default; without pauses before,
 *   within four.
 * - Nobody is dead of whom packets keep coming, with gaps below SUSPICION_DEAD_MIN_MS, whatever
 *   delays, loses and reorders them: not at the first of them, but a moment later.
 * - Of whom they keep coming with gaps below a suspicious one, for as long as a return takes, is
 *   well, or slow.
 *
 * Arrivals are read from seq's associations, not from what the detector was told.
 */
#include "tests/sim/check.h"

#include "control/control.h"

enum {
    PEERS_LAG_MS =
        50,           /* control's nap, and until it knows of a packet; longer, it did not listen */
    PEERS_DRIFT = 10, /* what a clock may be off over that time: a tenth, far above any bound */
    PEERS_ALIVE_MS = SUSPICION_DEAD_MIN_MS - PEERS_LAG_MS,
    PEERS_REGULAR_MS = SUSPICION_GAP_MIN_MS * SUSPICION_SUSPECT / 1000 - PEERS_LAG_MS
};

static const uint64_t MS = 1000000;

/* The last valid packet of that very member, by this node's clock; 0: none. */
static uint64_t heard_ns(const struct node *node, uint32_t id, uint64_t incarnation)
{
    const struct auth_peer *peer = auth_peer(node->replica->auth, id);
    return peer != NULL && peer->incarnation == incarnation ? peer->heard_ns : 0;
}

static void note(struct peer_seen *seen, uint64_t heard, uint64_t now)
{
    uint64_t before = seen->heard_ns != 0 ? seen->heard_ns : now;
    if (heard == 0 || heard - before > PEERS_ALIVE_MS * MS || now - heard > PEERS_ALIVE_MS * MS)
        seen->alive_ns = now;
    if (heard == 0 || heard - before > PEERS_REGULAR_MS * MS || now - heard > PEERS_REGULAR_MS * MS)
        seen->regular_ns = now;
    seen->heard_ns = heard;
}

static void judge(struct world *world, struct node *node, uint32_t id,
                  const struct detector_view *view, uint64_t now)
{
    const struct node *peer = &world->node[id];
    struct peer_seen *seen = &node->seen[id];
    const char *state = detector_state_name((enum detector_state)view->state);
    bool dead = view->state == DETECTOR_DEAD;
    bool well = view->state == DETECTOR_WELL || view->state == DETECTOR_SLOW;
    bool gone = !peer->up || peer->super.incarnation != seen->incarnation;
    uint64_t last = peer->down_ns + world->knobs.late_ns; /* a packet of it may arrive */
    uint64_t from = seen->listens_ns > last ? seen->listens_ns : last;
    uint64_t limit = SUSPICION_DEAD_MAX_MS * MS;
    limit += limit / PEERS_DRIFT + PEERS_LAG_MS * MS;
    if (gone && !dead && world->now_ns > from + limit)
        world_fail(world, "node %u was down for %.3f s while node %u listened, and is %s to it", id,
                   (double)(world->now_ns - from) / 1e9, node->id, state);
    if (dead && now - seen->alive_ns > PEERS_LAG_MS * MS)
        world_fail(world, "node %u is dead to node %u, to which its packets come, for %.3f s", id,
                   node->id, (double)(now - seen->alive_ns) / 1e9);
    if (!well && now - seen->regular_ns > (SUSPICION_RETURN_MS + 2 * PEERS_LAG_MS) * MS)
        world_fail(world, "node %u is %s to node %u, to which its packets come, for %.3f s", id,
                   state, node->id, (double)(now - seen->regular_ns) / 1e9);
    world->found_dead += dead && !seen->dead && gone;
    world->found_back += well && seen->dead;
    seen->dead = dead || (seen->dead && !well);
}

void check_peers(struct world *world, struct node *node, const struct control_status *status)
{
    uint64_t now = clock_now_ns(node->clock);
    bool listened = now - node->seen_ns <= PEERS_LAG_MS * MS;
    node->seen_ns = now;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct peer_seen *seen = &node->seen[id];
        uint64_t incarnation = node->replica->raft.config.incarnation[id];
        bool judged = status->peer[id].judged && id != node->id;
        if (!judged || !listened || seen->incarnation != incarnation) {
            bool dead = seen->dead && seen->incarnation == incarnation;
            *seen = (struct peer_seen){.incarnation = incarnation,
                                       .listens_ns = world->now_ns,
                                       .alive_ns = now,
                                       .regular_ns = now,
                                       .dead = dead};
        }
        note(seen, heard_ns(node, id, incarnation), now);
        if (judged)
            judge(world, node, id, &status->peer[id], now);
    }
}
