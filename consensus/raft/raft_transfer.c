/* Transfer of leadership (dissertation 3.10), and a leader whose own drive lags (design: section
 * 3).
 *
 * The leader takes no proposals, brings the target up to its log's end, ends its lease for the rest
 * of the term, and only then says TIMEOUT_NOW (H19): the target campaigns at once, and its votes
 * pass the voters' stickiness, which protects a lease that is no more. A word may be late, doubled
 * or lost; whatever becomes of it, this leader holds no lease again in this term, and if nobody
 * takes the office within an election timeout it steps down. Until the word is out, giving up is
 * free.
 *
 * How a transfer ends shows after the office is gone: it stays `open` until a leader of a later
 * term is known.
 */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

static const uint64_t NS_PER_MS = 1000000;

void raft_transfer_elected(struct raft *raft)
{
    struct raft_transfer *t = &raft->transfer;
    if (t->state == RAFT_TRANSFER_TOLD) {
        t->state = RAFT_TRANSFER_GIVEN_UP; /* of an earlier term: this replica itself came back */
        t->reason = RAFT_TRANSFER_OFFICE_LOST;
        t->given_up++;
    }
    t->open = 0;
    t->lease_ended = 0;
    t->unable = 0;
    t->drive_tried = 0;
    t->drive_index = raft_own_durable(raft);
    t->drive_moved_ns = raft->now_ns;
    t->drive_level_ns = raft->now_ns;
    t->ticked_ns = raft->now_ns;
}

/* Voters that may take the office; of a joint configuration only those that stay in it. */
static uint32_t eligible(const struct raft *raft)
{
    return raft->config.voters_new != 0 ? raft->config.voters_new : raft->config.voters;
}

/* Is this voter fit to lead at once? */
static enum raft_transfer_reason fitness(const struct raft *raft, uint8_t id)
{
    const struct raft_peer *peer = &raft->peer[id];
    if ((raft->transfer.unable & raft_bit(id)) != 0)
        return RAFT_TRANSFER_UNABLE;
    if (peer->heard_ns == 0 || raft->now_ns - peer->heard_ns >= raft->options.election_min_ns)
        return RAFT_TRANSFER_SILENT;
    if (raft->log.last - peer->match > RAFT_TRANSFER_BEHIND_MAX)
        return RAFT_TRANSFER_BEHIND;
    return RAFT_TRANSFER_TAKEN;
}

/* The fit voter that holds most. Among equals the first after this replica's id, so that the office
 * goes round instead of always to the lowest. 0: none. */
static uint8_t most_caught_up(const struct raft *raft)
{
    uint8_t best = 0;
    for (uint32_t step = 1; step <= RAFT_ID_MAX; step++) {
        uint8_t id = (uint8_t)((raft->id - 1 + step) % RAFT_ID_MAX + 1);
        if (id == raft->id || (eligible(raft) & raft_bit(id)) == 0 ||
            fitness(raft, id) != RAFT_TRANSFER_TAKEN)
            continue;
        if (best == 0 || raft->peer[id].match > raft->peer[best].match)
            best = id;
    }
    return best;
}

static enum raft_transfer_reason judge(const struct raft *raft, uint8_t to)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_TRANSFER_NOT_LEADER;
    if (to == raft->id)
        return RAFT_TRANSFER_SELF;
    if (raft_hands_over(raft))
        return RAFT_TRANSFER_UNDER_WAY;
    if (to == 0)
        return RAFT_TRANSFER_NOBODY;
    if (to > RAFT_ID_MAX || (raft_others(raft) & raft_bit(to)) == 0)
        return RAFT_TRANSFER_UNKNOWN;
    if ((raft_voters(raft) & raft_bit(to)) == 0)
        return RAFT_TRANSFER_LEARNER;
    if ((eligible(raft) & raft_bit(to)) == 0)
        return RAFT_TRANSFER_LEAVING;
    return fitness(raft, to);
}

/* 3.10: the leader stops taking requests, and has an election timeout for all of it. */
static void begin(struct raft *raft, uint8_t to)
{
    struct raft_transfer *t = &raft->transfer;
    t->number++;
    t->term = raft->term;
    t->to = to;
    t->state = RAFT_TRANSFER_WAITING;
    t->reason = RAFT_TRANSFER_TAKEN;
    t->open = 1;
    t->until_ns = raft->now_ns + raft->options.election_min_ns;
}

/* 0: the most caught-up, as a leader knows it. */
static uint8_t wished(const struct raft *raft, uint8_t to)
{
    return to == 0 && raft->role == RAFT_LEADER ? most_caught_up(raft) : to;
}

enum raft_transfer_reason raft_transfer_fit(const struct raft *raft, uint8_t to)
{
    return judge(raft, wished(raft, to));
}

void raft_transfer(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    uint8_t to = wished(raft, in->peer);
    out->refused = judge(raft, to);
    if (out->refused == RAFT_TRANSFER_TAKEN)
        begin(raft, to);
}

bool raft_transfer_away(struct raft *raft)
{
    uint8_t to = most_caught_up(raft);
    if (judge(raft, to) != RAFT_TRANSFER_TAKEN)
        return false;
    begin(raft, to);
    return true;
}

/* --- the leader's word -------------------------------------------------------------------------
 */

/* H19: the lease ends first. It stays ended, so a word that is late can hurt no lease. */
static void say(struct raft *raft, struct raft_out *out)
{
    struct raft_transfer *t = &raft->transfer;
    if (t->lease_ended == 0) {
        t->lease_ended = 1;
        t->state = RAFT_TRANSFER_TOLD;
        t->until_ns = raft->now_ns + raft->options.election_min_ns;
    }
    t->say_at_ns = raft->now_ns + raft->options.heartbeat_ns;
    struct raft_msg *msg = raft_emit(raft, out, raft->hard_lsn, RAFT_TIMEOUT_NOW, t->to);
    msg->prev_index = raft->log.last;
    msg->prev_term = raft_log_last_term(&raft->log);
}

static void give_up(struct raft *raft, enum raft_transfer_reason reason)
{
    raft->transfer.state = RAFT_TRANSFER_GIVEN_UP;
    raft->transfer.reason = (uint8_t)reason;
    raft->transfer.given_up++;
}

/* Still in office in the term of the transfer. No change of members begins or goes on meanwhile. */
static void pursue(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    struct raft_transfer *t = &raft->transfer;
    bool tick = in->event == RAFT_EV_TICK;
    if (t->state == RAFT_TRANSFER_WAITING) {
        /* H8: an office leaves pages behind that only a commit frees: who has committed nothing in
         * this term hands nothing over. */
        if (raft->peer[t->to].match == raft->log.last && raft->commit >= raft->noop_index) {
            say(raft, out);
        } else if (tick && raft->now_ns >= t->until_ns) {
            give_up(raft, RAFT_TRANSFER_LATE);
            t->open = 0;
            /* 4.2.2: who is no voter any more has no office to go on in. */
            if (!raft_is_voter(raft) && raft->config.index <= raft->commit)
                raft_become_follower(raft, in, out, raft->term);
        }
    } else if (tick && raft->now_ns >= t->until_ns) {
        /* H19: the word may still be on its way, so no lease can be had any more in this term: a
         * higher one must be won. */
        raft_become_follower(raft, in, out, raft->term);
        out->send_count = 0; /* this tick's heartbeats: they would keep the others waiting */
        out->append_to = 0;
        give_up(raft, RAFT_TRANSFER_NOT_TAKEN);
    } else if (tick && raft->now_ns >= t->say_at_ns) {
        say(raft, out);
    }
}

void raft_watch_transfer(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    struct raft_transfer *t = &raft->transfer;
    if (raft->role == RAFT_LEADER) { /* winning an office closes what is open */
        pursue(raft, in, out);
        return;
    }
    bool hoped = t->state == RAFT_TRANSFER_TOLD && raft->term > t->term && raft->leader == 0;
    bool taken = raft->term > t->term && raft->leader == t->to;
    if ((t->state == RAFT_TRANSFER_WAITING || t->state == RAFT_TRANSFER_TOLD) && !hoped && !taken)
        give_up(raft, RAFT_TRANSFER_OFFICE_LOST);
    if (taken) {
        t->state = RAFT_TRANSFER_DONE;
        t->reason = RAFT_TRANSFER_TAKEN;
        t->done++;
    }
    if (raft->term > t->term && raft->leader != 0)
        t->open = 0;
}

/* --- the target --------------------------------------------------------------------------------
 */

/* 3.10: as if the election timeout had passed, and without asking first: the voters hear their
 * leader and would refuse a pre-vote. Who could not campaign by itself does not when told (H8). */
void raft_recv_timeout_now(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term != raft->term || raft->leader != msg->from || msg->prev_index > raft->agreed ||
        !raft_may_campaign(raft))
        return;
    raft->transfer.told_term = raft->term + 1; /* for no other term's votes */
    raft_campaign(raft, in, out);
}

/* --- the own drive -----------------------------------------------------------------------------
 */

static uint64_t rest_ns(const struct raft *raft)
{
    uint64_t rest = RAFT_DRIVE_REST_ELECTIONS * raft->options.election_min_ns;
    uint64_t least = RAFT_DRIVE_REST_MS * NS_PER_MS;
    return (rest > least ? rest : least) << raft->transfer.drive_rests;
}

static uint64_t patience_ns(const struct raft *raft)
{
    uint64_t least = RAFT_DRIVE_PATIENCE_HEARTBEATS * raft->options.heartbeat_ns;
    return raft->options.stall_ns > least ? raft->options.stall_ns : least;
}

/* Looks where the own drive stands; true if it lags behind a quorum's. */
static bool drive_lags(struct raft *raft)
{
    struct raft_transfer *t = &raft->transfer;
    uint64_t own = raft_own_durable(raft);
    /* A loop that stood still took no reports of its drive: that is no lag. */
    bool paused = raft->now_ns - t->ticked_ns > 2 * raft->options.heartbeat_ns;
    t->ticked_ns = raft->now_ns;
    if (paused || own > t->drive_index || own >= raft->quorum_index)
        t->drive_moved_ns = raft->now_ns;
    if (paused || own + RAFT_DRIVE_LAG_MAX >= raft->quorum_index)
        t->drive_level_ns = raft->now_ns;
    t->drive_index = own;
    uint64_t patience = patience_ns(raft);
    return raft->now_ns - t->drive_moved_ns >= patience ||
           raft->now_ns - t->drive_level_ns >= patience;
}

void raft_watch_drive(struct raft *raft)
{
    struct raft_transfer *t = &raft->transfer;
    bool lags = drive_lags(raft);
    uint64_t in_office = raft->now_ns - raft->elected_ns;
    if (!lags && t->drive_tried == 0 && in_office >= 2 * rest_ns(raft))
        t->drive_rests = 0; /* this drive is well again */
    if (!lags || t->drive_tried != 0 || raft_hands_over(raft) || in_office < rest_ns(raft))
        return;
    uint8_t to = most_caught_up(raft);
    if (to == 0 || raft->peer[to].match <= raft_own_durable(raft))
        return;
    t->drive_tried = 1;
    if (t->drive_rests < RAFT_DRIVE_RESTS_MAX)
        t->drive_rests++;
    t->by_drive++;
    begin(raft, to);
}
