/* The failure detector: what each peer seems to be, as this replica sees it. It judges and decides
 * nothing: two replicas may differ, and Raft's votes are never asked for by it.
 *
 * All replicas time each other ten times a second (trips.c), so that at least 20 packets a second
 * come from each peer, leader or not: that is what silence is judged by, and costs no packet of its
 * own. Time counts only while seq took turns: a replica that was itself stopped accuses nobody
 * of its own absence. A silence that ended without a restart is what the peer is now known to do.
 */
#include "control/control_internal.h"

#include <string.h>

static const uint64_t NS_PER_MS = 1000000;
_Static_assert((int)SUSPICION_PERIOD_MS == (int)CONTROL_TRIPS_MS, "beats are the pings of trips.c");

/* Another incarnation under an id is somebody else; so is nobody. */
static bool same(struct control *c, uint32_t id)
{
    struct detector_peer *p = &c->detector.peer[id];
    uint64_t incarnation = id == c->replica->id ? 0 : control_member(c, id);
    if (p->incarnation != incarnation) {
        memset(p, 0, sizeof(*p));
        suspicion_begin(&p->suspicion, c->now_ns);
        p->incarnation = incarnation;
        p->heard_ns = c->seen.assoc_heard_ns[id];
        p->beats = c->seen.trip[id].beats;
        p->boot = c->seen.peer_boot[id];
    }
    return incarnation != 0;
}

static void listen(struct control *c, uint32_t id, uint64_t step_ns)
{
    struct detector_peer *p = &c->detector.peer[id];
    const struct replica_status *seen = &c->seen;
    suspicion_listen(&p->suspicion, step_ns);
    if (seen->peer_boot[id] != p->boot) {
        suspicion_restarted(&p->suspicion);
        p->boot = seen->peer_boot[id];
    }
    bool came = seen->assoc_heard_ns[id] != p->heard_ns && seen->assoc_heard_ns[id] != 0;
    if (came && seen->assoc_incarnation[id] == p->incarnation)
        suspicion_heard(&p->suspicion);
    p->heard_ns = seen->assoc_heard_ns[id];
    if (seen->trip[id].beats != p->beats)
        suspicion_beat(&p->suspicion);
    p->beats = seen->trip[id].beats;
}

/* What stood longer than the leader's heartbeats may without progress, its own included. */
static uint32_t slow(const struct control *c, uint32_t id)
{
    uint64_t stall_ns = c->options.genesis->stall_ms * NS_PER_MS;
    return (c->status.link_slow[id] != 0 ? DETECTOR_LINK : 0u) |
           (c->status.drive_slow[id] != 0 ? DETECTOR_DRIVE : 0u) |
           (c->status.stall_ns[id] >= stall_ns ? DETECTOR_LOOP : 0u);
}

static void show(struct control *c, uint32_t id, bool member)
{
    const struct suspicion *s = &c->detector.peer[id].suspicion;
    c->status.peer[id] = (struct detector_view){.since_ns = s->since_ns,
                                                .silent_ns = suspicion_silent_ns(s),
                                                .usual_ns = suspicion_usual_ns(s),
                                                .suspicion = suspicion_milli(s),
                                                .state = (uint8_t)s->state,
                                                .reasons = (uint8_t)s->reasons,
                                                .judged = member};
}

enum detector_state detector_peer(const struct control *c, uint32_t id, uint64_t *since_ns)
{
    const struct suspicion *s = &c->detector.peer[id].suspicion;
    *since_ns = s->since_ns;
    return s->state;
}

uint32_t detector_turn(struct control *c)
{
    struct control_detector *d = &c->detector;
    if (c->seen.started_ns == 0 || c->seen.now_ns == d->seen_ns)
        return 0;
    uint64_t step_ns = d->seen_ns == 0 ? 0 : c->seen.now_ns - d->seen_ns;
    if (step_ns > DETECTOR_STEP_MS * NS_PER_MS)
        step_ns = DETECTOR_STEP_MS * NS_PER_MS;
    d->seen_ns = c->seen.now_ns;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        bool member = same(c, id);
        if (member) {
            listen(c, id, step_ns);
            suspicion_slow(&d->peer[id].suspicion, slow(c, id));
            c->status.peer_changes += suspicion_judge(&d->peer[id].suspicion, c->now_ns);
        }
        show(c, id, member);
    }
    return 0;
}
