/* How far each replica is from a majority, and how slow its drive is: who is slow, and by how much.
 *
 * Each replica pings the others ten times a second. Of the newest TRIPS_KEPT round trips to a peer
 * the least counts: a loop that got no turn makes one of them long, a slow link all. A replica's
 * *way* is the round trip within which a majority of voters answers it, itself among them: what the
 * network adds to a commit that it leads. Everybody tells its own way, what its drive takes for a
 * page and how long its loop stood, with each answer.
 *
 * A leader whose way is TRIPS_RATIO times that of a voter, for TRIPS_ROUNDS in a row, hands over to
 * the nearest such voter: everybody's messages wait for the leader's links, and nobody else can do
 * anything about them (gray failure; Huang et al., HotOS 2017). The busiest host's loop answers
 * later than the others', and on shared cores a few rounds show that as four times as far: only
 * what is plainly a slow link is acted upon at once. A follower's slow link or
 * drive needs nothing: a majority commits without it. Each handing over doubles the rest before the
 * next, like that of a slow drive (raft_transfer.c).
 */
#include "control/control_internal.h"

#include "consensus/raft/quorum.h"

#include <string.h>

static const uint64_t NS_PER_MS = 1000000;

/* Since when the oldest ping without an answer waits; and what the trip is at least, then. */
static uint64_t trip_ns(const struct control *c, uint32_t id)
{
    const struct control_trip *t = &c->trips.peer[id];
    uint64_t least = t->count < TRIPS_KEPT ? 0 : t->ns[0];
    for (uint32_t i = 1; i < TRIPS_KEPT && t->count >= TRIPS_KEPT; i++)
        if (t->ns[i] < least)
            least = t->ns[i];
    uint64_t out = t->asked_ns != 0 && c->now_ns > t->asked_ns ? c->now_ns - t->asked_ns : 0;
    bool late = out > TRIPS_KEPT * CONTROL_TRIPS_MS * NS_PER_MS;
    return late && out > least ? out : least;
}

/* Own round trip to a majority; 0: not known. */
static uint64_t own_way_ns(const struct control *c)
{
    struct raft_config config;
    uint64_t nearness[RAFT_ID_MAX + 1] = {0}; /* the greater the nearer; 0: not known */
    members_to_raft(control_config(c), 0, &config);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (trip_ns(c, id) != 0)
            nearness[id] = UINT64_MAX - trip_ns(c, id);
    nearness[c->replica->id] = UINT64_MAX;
    uint64_t reached = quorum_reached(&config, nearness);
    return reached == 0 || reached == UINT64_MAX ? 0 : UINT64_MAX - reached;
}

static bool much_slower(uint64_t mine_ns, uint64_t other_ns)
{
    return mine_ns >= other_ns * TRIPS_RATIO && mine_ns - other_ns >= TRIPS_LEAST_NS;
}

/* The voter with the shortest way, if the own one is so much longer; 0: none is. */
static uint8_t nearest(const struct control *c, uint64_t own_ns)
{
    const struct entry_config *config = control_config(c);
    uint32_t voters = config->voters_new != 0 ? config->voters_new : config->voters;
    uint8_t best = 0;
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct control_trip *t = &c->trips.peer[id];
        if (id == c->replica->id || (voters >> id & 1) == 0 || t->way_ns == 0 ||
            c->now_ns - t->heard_ns > TRIPS_FRESH_MS * NS_PER_MS || !much_slower(own_ns, t->way_ns))
            continue;
        if (best == 0 || t->way_ns < c->trips.peer[best].way_ns)
            best = id;
    }
    return best;
}

/* What a round in which voter `to` is so much nearer counts for. More than one is always needed:
 * what others tell is a round old, and where all become slow at once, theirs shows a little later.
 */
static uint32_t evidence(const struct control *c, uint8_t to)
{
    uint64_t own_ns = c->status.way_ns[c->replica->id];
    bool plain = own_ns >= c->trips.peer[to].way_ns * TRIPS_RATIO_PLAIN;
    return plain ? TRIPS_ROUNDS / TRIPS_ROUNDS_PLAIN : 1;
}

static uint64_t rest_ns(const struct control *c)
{
    uint64_t rest = RAFT_DRIVE_REST_ELECTIONS * c->options.genesis->election_min_ms * NS_PER_MS;
    uint64_t least = RAFT_DRIVE_REST_MS * NS_PER_MS;
    return (rest > least ? rest : least) << c->trips.rests;
}

/* At a leader that has been one for a while, and not while something like it is under way. */
static uint32_t hand_over(struct control *c)
{
    struct control_trips *t = &c->trips;
    if (c->seen.role != RAFT_LEADER) {
        t->led_since_ns = 0;
        return 0;
    }
    if (t->led_since_ns == 0 || t->led_term != c->seen.term) {
        t->led_since_ns = c->now_ns;
        t->led_term = c->seen.term;
    }
    uint64_t in_office = c->now_ns - t->led_since_ns;
    uint8_t to = nearest(c, c->status.way_ns[c->replica->id]);
    if (to == 0 && in_office >= 2 * rest_ns(c))
        t->rests = 0; /* these links are well again */
    t->rounds = to != 0 ? t->rounds + evidence(c, to) : 0;
    if (t->rounds < TRIPS_ROUNDS || in_office < rest_ns(c) || c->seen.transfer.open != 0 ||
        !control_leads(c))
        return 0;
    struct command *command = control_command(c, COMMAND_TRANSFER);
    if (command == NULL)
        return 0;
    command->tag = TRIPS_TAG;
    command->principal = to;
    control_command_send(c);
    t->led_since_ns = c->now_ns; /* refused or given up: not at once again */
    if (t->rests < RAFT_DRIVE_RESTS_MAX)
        t->rests++;
    c->status.transfers_by_link++;
    return 1;
}

/* --- who is slow -------------------------------------------------------------------------------
 */

static uint64_t median(const uint64_t value[KEEL_REPLICA_MAX + 1])
{
    uint64_t sorted[KEEL_REPLICA_MAX + 1];
    uint32_t count = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        if (value[id] == 0)
            continue;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] > value[id]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value[id];
    }
    return count < 3 ? 0 : sorted[(count - 1) / 2]; /* of two nobody can say which is slow */
}

/* How many times as slow as the median of all; 0: not known, or no slower than others. */
static void grade(const uint64_t value[KEEL_REPLICA_MAX + 1], uint32_t slow[KEEL_REPLICA_MAX + 1])
{
    uint64_t usual = median(value);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        slow[id] = 0;
        if (usual == 0 || value[id] == 0 || !much_slower(value[id], usual))
            continue;
        uint64_t times = value[id] / usual;
        slow[id] = times < UINT32_MAX ? (uint32_t)times : UINT32_MAX;
    }
}

static void judge(struct control *c)
{
    struct control_status *s = &c->status;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct control_trip *t = &c->trips.peer[id];
        bool fresh = t->heard_ns != 0 && c->now_ns - t->heard_ns <= TRIPS_FRESH_MS * NS_PER_MS;
        s->trip_ns[id] = trip_ns(c, id);
        s->way_ns[id] = fresh ? t->way_ns : 0;
        s->drive_ns[id] = fresh ? t->drive_ns : 0;
        s->stall_ns[id] = fresh ? t->stall_ns : 0;
    }
    s->trip_ns[c->replica->id] = 0;
    s->way_ns[c->replica->id] = own_way_ns(c);
    s->drive_ns[c->replica->id] = c->seen.drive_ns;
    s->stall_ns[c->replica->id] = c->seen.stall_ns;
    grade(s->way_ns, s->link_slow);
    grade(s->drive_ns, s->drive_slow);
}

/* --- the turn ----------------------------------------------------------------------------------
 */

/* What seq has noted since the last turn. */
static void take(struct control *c, uint32_t id)
{
    struct control_trip *t = &c->trips.peer[id];
    const struct replica_trip *seen = &c->seen.trip[id];
    if (t->incarnation != control_member(c, id)) { /* somebody else under that id */
        *t = (struct control_trip){.incarnation = control_member(c, id), .seen = seen->count};
        return;
    }
    if (seen->count == t->seen)
        return;
    t->seen = seen->count;
    t->ns[t->count++ % TRIPS_KEPT] = seen->ns;
    t->asked_ns = 0;
    t->heard_ns = c->now_ns;
    t->way_ns = seen->majority_ns;
    t->drive_ns = seen->drive_ns;
    t->stall_ns = seen->stall_ns;
}

static uint32_t ask(struct control *c, uint32_t id)
{
    struct control_trip *t = &c->trips.peer[id];
    struct command *command = control_command(c, COMMAND_PING);
    if (command == NULL)
        return 0;
    command->principal = id;
    command->index = c->status.way_ns[c->replica->id];
    control_command_send(c);
    if (t->asked_ns == 0)
        t->asked_ns = c->now_ns;
    return 1;
}

uint32_t trips_turn(struct control *c)
{
    uint32_t work = 0;
    if (c->seen.started_ns == 0)
        return 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (id != c->replica->id)
            take(c, id);
    if (c->now_ns < c->trips.at_ns)
        return 0;
    c->trips.at_ns = c->now_ns + CONTROL_TRIPS_MS * NS_PER_MS;
    judge(c);
    work += hand_over(c);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (id != c->replica->id && control_member(c, id) != 0)
            work += ask(c, id);
    return work;
}
