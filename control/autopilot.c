/* The autopilot, at the leader alone: a voter that is dead is replaced by a standby.
 *
 * How others failed is the design here. A leader that has just been elected, or that stood still or
 * was cut off itself, finds everybody silent: so silence counts only while this leader looks on
 * without a break, in contact with a majority. What counts is an answer to an append or heartbeat,
 * and not the failure detector, which any packet satisfies; that one says which of two standbys is
 * slow. A voter whose drive hangs still answers heartbeats: it is not seen here (as in
 * hashicorp/raft#503); `keelctl health` shows it as slow. Replacing several at once, or before the
 * last change has proven itself, loses quorums: so one at a time, never without a majority that is
 * heard before and after, and nothing within stabilise_ms of any change. apply judges all of this
 * again (machine_autopilot.c).
 *
 * Three grades keep it from flapping: a voter is well while it was heard within a quarter of
 * dead_ms, dead after dead_ms, and between them nothing is done for it or against it.
 */
#include "control/control_internal.h"

#include <string.h>

enum {
    WELL_SHARE = 4,          /* silent for this part of dead_ms: not well any more */
    CAUGHT_UP_ENTRIES = 1024 /* as Raft has it: what a learner may lack that is to vote */
};

static bool has(uint32_t mask, uint32_t id)
{
    return (mask >> id & 1) != 0;
}

static uint64_t dead_ns(const struct control *c)
{
    return c->machine->autopilot.dead_ms * 1000000ull;
}

static uint64_t stabilise_ns(const struct control *c)
{
    return c->machine->autopilot.stabilise_ms * 1000000ull;
}

static uint64_t break_ns(const struct control *c)
{
    return dead_ns(c) / WELL_SHARE;
}

/* When the leader last sent something that this member has answered; 0: never. The one place that
 * says what life is. */
static uint64_t heard_ns(const struct control *c, uint32_t id)
{
    return id == c->replica->id ? c->now_ns : c->seen.peer_heard_ns[id];
}

static uint64_t silent_ns(const struct control *c, uint32_t id)
{
    uint64_t since_ns = heard_ns(c, id);
    if (since_ns < c->autopilot.since_ns)
        since_ns = c->autopilot.since_ns;
    return c->now_ns > since_ns ? c->now_ns - since_ns : 0;
}

static bool is_well(const struct control *c, uint32_t id)
{
    uint64_t at_ns = heard_ns(c, id); /* whether or not anybody looked on since */
    return at_ns != 0 && (c->now_ns < at_ns || c->now_ns - at_ns < break_ns(c));
}

static uint64_t behind(const struct control *c, uint32_t id)
{
    uint64_t match = c->seen.peer_match[id];
    return c->seen.commit > match ? c->seen.commit - match : 0;
}

/* It answers, has shown that it can store, and its boot is known to the log: no clone (H2). */
static bool is_ready(const struct control *c, uint32_t id)
{
    return is_well(c, id) && c->seen.peer_match[id] > 0 && behind(c, id) <= CAUGHT_UP_ENTRIES &&
           c->machine->boot_incarnation[id] == control_member(c, id);
}

static uint64_t steady_ns(const struct control *c, uint32_t id)
{
    uint64_t since_ns = c->autopilot.steady_since_ns[id];
    return since_ns != 0 ? c->now_ns - since_ns : 0;
}

static uint32_t well_voters(const struct control *c)
{
    uint32_t mask = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (has(control_config(c)->voters, id) && is_well(c, id))
            mask |= UINT32_C(1) << id;
    return mask;
}

/* Without the dead one: so they are a majority also once a standby votes in its place. */
static bool majority_is_well(const struct control *c)
{
    return 2 * __builtin_popcount(well_voters(c)) > __builtin_popcount(control_config(c)->voters);
}

/* --- looking on
 * ------------------------------------------------------------------------------------ */

static void begin_anew(struct control_autopilot *a, uint64_t term, uint64_t now_ns)
{
    uint64_t next_ns = a->next_ns;
    memset(a, 0, sizeof(*a));
    a->next_ns = next_ns;
    a->term = term;
    a->since_ns = now_ns;
}

/* A break in looking, of its own or of its contact with a majority, begins everything anew. */
static void look(struct control *c)
{
    struct control_autopilot *a = &c->autopilot;
    if (c->seen.role != RAFT_LEADER || c->machine->noop_term != c->seen.term) {
        begin_anew(a, 0, 0);
        return;
    }
    if (!control_leads(c))
        return;
    if (a->term != c->seen.term || c->now_ns - a->looked_ns >= break_ns(c))
        begin_anew(a, c->seen.term, c->now_ns);
    a->looked_ns = c->now_ns;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        bool ready = control_member(c, id) != 0 && id != c->replica->id && is_ready(c, id);
        if (!ready)
            a->steady_since_ns[id] = 0;
        else if (a->steady_since_ns[id] == 0)
            a->steady_since_ns[id] = c->now_ns;
    }
}

/* --- judging
 * --------------------------------------------------------------------------------------- */

static uint32_t say(struct control *c, enum autopilot_why why, uint32_t about)
{
    struct autopilot_status *s = &c->status.autopilot;
    s->why = why;
    s->about = about;
    return 0;
}

/* The voter that is silent longest, other than this leader; 0: none is silent. */
static uint32_t most_silent(const struct control *c)
{
    uint32_t found = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (has(control_config(c)->voters, id) && !is_well(c, id) &&
            (found == 0 || silent_ns(c, id) > silent_ns(c, found)))
            found = id;
    return found;
}

/* A standby on a slow drive or link is better than none, and worse than another. */
static bool is_better(const struct control *c, uint32_t id, uint32_t than)
{
    uint64_t since_ns;
    bool slow = detector_peer(c, id, &since_ns) == DETECTOR_SLOW;
    bool other_slow = detector_peer(c, than, &since_ns) == DETECTOR_SLOW;
    return slow == other_slow ? behind(c, id) < behind(c, than) : other_slow;
}

/* The standby that is heard and caught up long enough and does best; 0: none is. */
static uint32_t best_standby(const struct control *c)
{
    uint32_t found = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (has(c->machine->autopilot.standbys, id) && c->autopilot.steady_since_ns[id] != 0 &&
            steady_ns(c, id) >= stabilise_ns(c) && (found == 0 || is_better(c, id, found)))
            found = id;
    return found;
}

/* About what seq would stamp: an entry that comes too early is refused, and costs a place in the
 * log. */
static bool stabilised(const struct control *c)
{
    uint64_t log_ns = c->due_applied + (c->now_ns - c->due_at_ns);
    return log_ns >= c->machine->autopilot.changed_log_ns + stabilise_ns(c);
}

static uint32_t ms(uint64_t ns)
{
    return ns / 1000000 < UINT32_MAX ? (uint32_t)(ns / 1000000) : UINT32_MAX;
}

/* What was proposed and is not applied is proposed again, not at once. */
static bool is_due(const struct control *c, uint64_t proposed_ns)
{
    return proposed_ns == 0 || c->now_ns >= proposed_ns + CONTROL_PROPOSE_RETRY_MS * 1000000ull;
}

static uint32_t propose(struct control *c, struct entry_autopilot *body)
{
    body->was = c->machine->config_index;
    body->term = c->machine->noop_term;
    if (!control_propose(c, PROPOSER_AUTOPILOT, 0, ENTRY_AUTOPILOT, body, sizeof(*body), 0))
        return 0;
    c->autopilot.proposed_ns = c->now_ns;
    c->status.autopilot.proposed++;
    return 1;
}

static uint32_t decide(struct control *c, uint32_t voter, uint32_t standby)
{
    struct entry_autopilot body = {.action = AUTOPILOT_REPLACE,
                                   .voter = (uint8_t)voter,
                                   .standby = (uint8_t)standby,
                                   .silent_ms = ms(silent_ns(c, voter)),
                                   .steady_ms = ms(steady_ns(c, standby)),
                                   .behind = behind(c, standby),
                                   .well = well_voters(c)};
    say(c, AUTOPILOT_WHY_DECIDING, voter);
    c->status.autopilot.standby = standby;
    return is_due(c, c->autopilot.proposed_ns) ? propose(c, &body) : 0;
}

/* --- a decision that is open ------------------------------------------------------------------ */

static uint32_t withdraw(struct control *c, const struct machine_decision *d,
                         enum autopilot_withdrawal reason)
{
    struct entry_autopilot body = {.action = AUTOPILOT_WITHDRAW,
                                   .voter = d->voter,
                                   .standby = d->standby,
                                   .reason = (uint32_t)reason};
    say(c, AUTOPILOT_WHY_WITHDRAWING, reason == AUTOPILOT_VOTER_BACK ? d->voter : d->standby);
    return is_due(c, c->autopilot.proposed_ns) ? propose(c, &body) : 0;
}

/* Who loses its vote stays, as a learner: when it comes back it is caught up like any other, under
 * the identity that is known. */
static uint32_t change(struct control *c, const struct machine_decision *d)
{
    if (c->status.autopilot.refusal == RAFT_CHANGED)
        say(c, AUTOPILOT_WHY_REPLACING, d->voter);
    else
        say(c, AUTOPILOT_WHY_REFUSED, d->voter);
    if (!is_due(c, c->autopilot.asked_ns))
        return 0;
    struct entry_config body = *control_config(c);
    uint32_t dead = UINT32_C(1) << d->voter, takes = UINT32_C(1) << d->standby;
    body.voters = (body.voters & ~dead) | takes;
    body.learners = (body.learners & ~takes) | dead;
    if (!control_propose(c, PROPOSER_AUTOPILOT, 1, ENTRY_CONFIG, &body, sizeof(body), d->was))
        return 0;
    c->autopilot.asked_ns = c->now_ns;
    c->status.autopilot.changes++;
    return 1;
}

/* A new leader judges its predecessor's decision from the beginning. */
static uint32_t follow(struct control *c, const struct machine_decision *d)
{
    if (is_well(c, d->voter))
        return withdraw(c, d, AUTOPILOT_VOTER_BACK);
    if (silent_ns(c, d->voter) < dead_ns(c))
        return say(c, AUTOPILOT_WHY_WATCHING, d->voter);
    if (c->autopilot.steady_since_ns[d->standby] == 0)
        return withdraw(c, d, AUTOPILOT_STANDBY_LOST);
    if (!majority_is_well(c))
        return say(c, AUTOPILOT_WHY_TOO_FEW, d->voter);
    return change(c, d);
}

void autopilot_proposed(struct control *c, const struct notice *notice)
{
    uint64_t tag = notice->u.proposed.tag;
    if (tag == ((uint64_t)PROPOSER_AUTOPILOT << CONTROL_TAG_SHIFT | 1))
        c->status.autopilot.refusal = notice->u.proposed.refusal;
}

/* --- the turn
 * -------------------------------------------------------------------------------------- */

static uint32_t replace(struct control *c, uint32_t voter)
{
    const struct machine_autopilot *state = &c->machine->autopilot;
    if (!majority_is_well(c))
        return say(c, AUTOPILOT_WHY_TOO_FEW, voter);
    if (!stabilised(c))
        return say(c, AUTOPILOT_WHY_SETTLING, voter);
    if (state->standbys == 0)
        return say(c, AUTOPILOT_WHY_NO_STANDBY, voter);
    uint32_t standby = best_standby(c);
    if (standby == 0)
        return say(c, AUTOPILOT_WHY_NOT_READY, voter);
    const struct machine_decision *d = machine_decision(state, 0);
    bool told = d != NULL && d->state == DECISION_DRY && d->was == c->machine->config_index &&
                d->voter == voter; /* whichever standby is the best at this moment */
    if (state->mode == AUTOPILOT_DRY_RUN && told)
        return say(c, AUTOPILOT_WHY_DRY_RUN, voter);
    return decide(c, voter, standby);
}

/* Who was replaced, and is back for as long as a standby has to be. */
static uint32_t bring_back(struct control *c)
{
    const struct machine_autopilot *state = &c->machine->autopilot;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX && state->mode == AUTOPILOT_ON; id++) {
        if (!has(state->replaced, id) || c->autopilot.steady_since_ns[id] == 0 ||
            steady_ns(c, id) < stabilise_ns(c))
            continue;
        struct entry_autopilot body = {.action = AUTOPILOT_RETURN,
                                       .voter = (uint8_t)id,
                                       .steady_ms = ms(steady_ns(c, id)),
                                       .behind = behind(c, id)};
        say(c, AUTOPILOT_WHY_RETURNING, id);
        return is_due(c, c->autopilot.proposed_ns) ? propose(c, &body) : 0;
    }
    return say(c, AUTOPILOT_WHY_WELL, 0);
}

static uint32_t judge(struct control *c)
{
    const struct machine_autopilot *state = &c->machine->autopilot;
    const struct entry_config *config = control_config(c);
    if (state->mode == AUTOPILOT_OFF)
        return say(c, AUTOPILOT_WHY_OFF, 0);
    if (c->seen.role != RAFT_LEADER)
        return say(c, AUTOPILOT_WHY_FOLLOWER, 0);
    if (c->autopilot.term == 0 || c->now_ns - c->autopilot.looked_ns >= break_ns(c))
        return say(c, AUTOPILOT_WHY_WATCHING, 0);
    if (c->autopilot.looked_ns != c->now_ns)
        return 0; /* out of contact for a moment: nothing is done, and nothing new is known */
    if (c->seen.config_index != c->machine->config_index || config->voters_new != 0)
        return say(c, AUTOPILOT_WHY_CHANGE, 0);
    const struct machine_decision *d = machine_decision(state, 0);
    if (d != NULL && d->state == DECISION_OPEN)
        return follow(c, d);
    c->status.autopilot.refusal = RAFT_CHANGED;
    uint32_t voter = most_silent(c);
    if (voter == 0)
        return bring_back(c);
    if (silent_ns(c, voter) >= dead_ns(c))
        return replace(c, voter);
    if (c->now_ns - c->autopilot.since_ns < dead_ns(c))
        return say(c, AUTOPILOT_WHY_WATCHING, voter);
    return say(c, AUTOPILOT_WHY_SILENT, voter);
}

static void show(struct control *c)
{
    struct autopilot_status *s = &c->status.autopilot;
    bool looks = c->autopilot.term != 0;
    s->state = c->machine->autopilot;
    s->watched_ns = looks ? c->now_ns - c->autopilot.since_ns : 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        bool member = looks && control_member(c, id) != 0;
        s->silent_ns[id] = member ? silent_ns(c, id) : 0;
        s->steady_ns[id] = member ? steady_ns(c, id) : 0;
    }
}

uint32_t autopilot_turn(struct control *c)
{
    if (c->now_ns < c->autopilot.next_ns)
        return 0;
    c->autopilot.next_ns = c->now_ns + CONTROL_AUTOPILOT_MS * 1000000ull;
    look(c);
    uint32_t work = judge(c);
    show(c);
    return work;
}
