/* Elections: pre-vote, vote, stickiness (dissertation 3.4, 3.6.1, 4.2.3, 9.6).
 *
 * Each term costs a page of every voter's ring, and one more where it is led; only a commit makes
 * room again. Terms that come to nothing must not use it up, or nobody could lead any more when the
 * network is well (H8). So nobody raises the term for an office that check-quorum would end at
 * once, and where room runs short a campaign is `careful`: it first stands, as a precandidate, what
 * a leader has to stand.
 */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

/* 4.2.3: no vote, not even a new term, within the minimum election timeout of hearing a leader. A
 * leader is its own leader: check-quorum ends its office, not a rival. Nor within that time of the
 * own start: what was heard before the restart is forgotten, and a lease may rest on it. */
static bool sticky(const struct raft *raft)
{
    uint64_t minimum = raft->options.election_min_ns;
    if (raft->role == RAFT_LEADER || raft->now_ns - raft->started_ns < minimum)
        return true;
    return raft->heard_leader_ns != 0 && raft->now_ns - raft->heard_leader_ns < minimum;
}

/* 3.6.1: up to date is who has the later last term or, with equal terms, the longer log. */
static bool up_to_date(const struct raft *raft, const struct raft_msg *msg)
{
    uint64_t last_term = raft_log_last_term(&raft->log);
    if (msg->prev_term != last_term)
        return msg->prev_term > last_term;
    return msg->prev_index >= raft->log.last;
}

/* 3.4: whoever has this replica's vote of this term may ask again, since answers get lost; another
 * incarnation of it may not, nor anybody whose incarnation a restart has forgotten. */
static bool has_own_vote(const struct raft *raft, const struct raft_in *in)
{
    return raft->vote == in->msg.from && in->incarnation != 0 &&
           raft->vote_incarnation == in->incarnation;
}

/* Who alone decides wins each election, and with a hole that nobody is there to deny holds no
 * office, term after term. */
static bool could_settle(const struct raft *raft)
{
    return raft->hole == 0 || !quorum_has(&raft->config, raft_bit(raft->id));
}

/* Own entries waiting for space, an own term that is not durable yet, or a full run list: another
 * replica would lead better (H8: who is short of space does not campaign until that ends). */
bool raft_may_campaign(const struct raft *raft)
{
    return raft_may_vote(raft) && raft->durable_lsn >= raft->hard_lsn && raft_config_known(raft) &&
           could_settle(raft) && raft_has_room_to_lead(raft);
}

HOT bool raft_has_room_to_lead(const struct raft *raft)
{
    if (raft->no_space_ns != 0 &&
        raft->now_ns - raft->no_space_ns < 2 * raft->options.election_min_ns)
        return false;
    return raft_log_has_room(&raft->log, raft->term + 1, raft->commit);
}

/* Few more elections find room: in the ring, as the caller says, or in the run list. */
static bool scarce(const struct raft *raft, const struct raft_in *in)
{
    return in->scarce || raft_log_fills_above(&raft->log, raft->commit);
}

static void solicit(struct raft *raft, struct raft_out *out, uint32_t to, enum raft_msg_kind kind)
{
    uint64_t term = kind == RAFT_PREVOTE ? raft->term + 1 : raft->term;
    uint64_t probe = 0;
    if (kind == RAFT_PREVOTE) {
        probe = raft->probe_next++;
        raft->probe_sent_ns[probe % RAFT_PROBES_KEPT] = raft->now_ns;
    }
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++) {
        if ((to & raft_bit(id)) == 0)
            continue;
        struct raft_msg *msg = raft_emit(raft, out, raft->hard_lsn, kind, id);
        msg->term = term;
        msg->prev_index = raft->log.last;
        msg->prev_term = raft_log_last_term(&raft->log);
        msg->probe = probe;
        if (raft->careful != 0)
            msg->flags |= RAFT_CAREFUL;
        if (kind == RAFT_VOTE && term == raft->transfer.told_term)
            msg->flags |= RAFT_TOLD;
    }
    raft->heartbeat_at_ns = raft->now_ns + raft->options.heartbeat_ns;
}

/* 3.4: to begin an election, the term grows by one and the candidate votes for itself. Its own vote
 * counts, like any other, only once it is durable. */
void raft_campaign(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    raft->role = RAFT_CANDIDATE;
    raft->granted = 0;
    raft->steady = 0;
    raft->denied = 0;
    raft->votes = 0;
    raft->leader = 0;
    raft->leader_probe = 0;
    raft->agreed = raft->commit;
    raft->hole_denied = 0;
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++)
        raft->peer[id].next = 0;
    raft_set_hard(raft, out, raft->term + 1, raft->id);
    raft_reset_timeout(raft, in);
    solicit(raft, out, raft_voters(raft) & ~raft_bit(raft->id), RAFT_VOTE);
}

/* 9.6: a candidate first asks whether it could win, and only then raises its term; a server that
 * was cut off so cannot depose a working leader when it returns. */
static void precampaign(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (raft->role != RAFT_PRECANDIDATE) {
        raft->careful = 0;
        raft->steady = 0;
        for (uint32_t id = 1; id <= RAFT_ID_MAX; id++)
            raft->peer[id].heard_ns = 0;
    }
    if (scarce(raft, in))
        raft->careful = 1;
    raft->role = RAFT_PRECANDIDATE;
    raft->granted = raft_bit(raft->id);
    raft->denied = 0;
    raft->leader = 0;
    raft_reset_timeout(raft, in);
    if (quorum_has(&raft->config, raft->granted))
        raft_campaign(raft, in, out);
    else
        solicit(raft, out, raft_voters(raft) & ~raft->granted, RAFT_PREVOTE);
}

/* 6.2, as for a leader, and twice as strict over a heartbeat's time: a quorum has granted copies
 * that were sent of late. */
static bool quorum_answers(const struct raft *raft)
{
    uint64_t values[RAFT_ID_MAX + 1];
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        values[id] = raft->peer[id].heard_ns;
    values[raft->id] = raft->now_ns;
    uint64_t heard_ns = quorum_reached(&raft->config, values);
    uint64_t patience_ns = (raft->options.election_min_ns + raft->options.heartbeat_ns) / 2;
    return heard_ns != 0 && raft->now_ns - heard_ns < patience_ns;
}

/* H8: where room runs short, a precandidate raises its term only when a quorum has answered it for
 * a whole election timeout, drawn anew, without a break. */
static void watch_steadiness(struct raft *raft, const struct raft_in *in)
{
    bool answers = quorum_answers(raft);
    if (answers && raft->steady == 0)
        raft_reset_timeout(raft, in);
    raft->steady = answers;
}

static void repeat(struct raft *raft, struct raft_out *out)
{
    uint32_t others = raft_voters(raft) & ~raft_bit(raft->id);
    /* Datagrams get lost, and a voter that heard the old leader a little later than this replica
     * refuses only for a while: who has not granted is asked again, and with care everybody. */
    if (raft->role == RAFT_PRECANDIDATE)
        solicit(raft, out, raft->careful != 0 ? others : others & ~raft->granted, RAFT_PREVOTE);
    else if (raft->durable_lsn >= raft->hard_lsn)
        solicit(raft, out, others & ~raft->votes & ~raft->denied, RAFT_VOTE);
}

/* No campaign now. H8: whoever stands goes on standing in its term, which is paid for: while its
 * own drive is at its vote, and where the next one would find no room. */
static void go_on_waiting(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (raft->role == RAFT_CANDIDATE || raft->votes != 0)
        raft->role = RAFT_CANDIDATE;
    else
        raft_become_follower(raft, in, out, raft->term);
    raft->leader = 0;
    raft_reset_timeout(raft, in);
}

void raft_tick_follower(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (raft->steady != 0 && !quorum_answers(raft))
        raft->steady = 0;
    if (raft->now_ns >= raft->timeout_at_ns) {
        if (raft_may_campaign(raft)) {
            if (raft->steady != 0)
                raft_campaign(raft, in, out);
            else
                precampaign(raft, in, out);
            return;
        }
        go_on_waiting(raft, in, out);
        return;
    }
    if (raft->role == RAFT_FOLLOWER || raft->now_ns < raft->heartbeat_at_ns)
        return;
    repeat(raft, out);
}

void raft_recv_prevote(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    /* H8: while the drive owes the last vote, the next would come too late as well; and the asker
     * may win with this one yet. It asks again. */
    if (raft->durable_lsn < raft->hard_lsn)
        return;
    /* 9.6: granted if the real vote would be: log up to date, and no leader heard of late. */
    bool fresh = msg->term > raft->term ||
                 (msg->term == raft->term && (raft->vote == 0 || has_own_vote(raft, in)));
    /* H8: one whose room runs short says so, and is ready for campaigns with care alone. */
    bool would = fresh && !sticky(raft) && up_to_date(raft, msg);
    /* H5: who cannot win for want of what is lost here, configuration and all, lends its term: in
     * that others may deny what is lost. */
    if (fresh && !sticky(raft) && !would && raft_awaits_term(raft))
        raft_become_follower(raft, in, out, msg->term);
    bool careful = would && scarce(raft, in);
    bool grant = would && (!careful || (msg->flags & RAFT_CAREFUL) != 0);
    /* A grant promises nothing and repeats the asker's term: it need not wait. A denial carries the
     * own term, so that who fell behind adopts it instead of asking for an old one for ever. */
    struct raft_msg *reply =
        raft_emit(raft, out, grant ? 0 : raft->hard_lsn, RAFT_PREVOTE_REPLY, msg->from);
    reply->status = grant;
    reply->probe = msg->probe;
    reply->flags = careful ? RAFT_CAREFUL : 0;
    if (grant)
        reply->term = msg->term;
}

void raft_recv_prevote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->status == 0) {
        /* 3.3: whoever hears of a larger term adopts it; a denial of a pre-vote carries one. */
        if (msg->term > raft->term)
            raft_become_follower(raft, in, out, msg->term);
        else if (raft->role == RAFT_PRECANDIDATE && (msg->flags & RAFT_CAREFUL) != 0)
            raft->careful = 1;
        return;
    }
    uint64_t sent_ns;
    if (raft->role != RAFT_PRECANDIDATE || msg->term != raft->term + 1 ||
        !raft_copy_sent_ns(raft, msg->probe, &sent_ns))
        return;
    /* Over a round trip that leaves a leader's heartbeats no time to be answered within an election
     * timeout, an office would end before it has committed anything (6.2). */
    if (raft->now_ns - sent_ns >= raft->options.election_min_ns - raft->options.heartbeat_ns)
        return;
    struct raft_peer *peer = &raft->peer[msg->from];
    if (sent_ns > peer->heard_ns)
        peer->heard_ns = sent_ns;
    /* 9.6: only who learns that a majority would vote for it raises its term. */
    raft->granted |= raft_bit(msg->from);
    if ((msg->flags & RAFT_CAREFUL) != 0)
        raft->careful = 1;
    if (raft->careful != 0)
        watch_steadiness(raft, in);
    else if (quorum_has(&raft->config, raft->granted) && raft_may_campaign(raft))
        raft_campaign(raft, in, out);
}

/* 3.5, log matching: who holds this log's last term, and no shorter log, holds all of this log.
 * Else only what is committed is surely common (3.6.3). */
static void tell_common(const struct raft *raft, const struct raft_msg *vote,
                        struct raft_msg *reply)
{
    bool whole = raft_log_last_term(&raft->log) == vote->prev_term;
    uint64_t index = whole ? raft->log.last : raft->commit;
    /* unreachable: a term that is not known from the commit index on */
    if (raft_log_term(&raft->log, index, &reply->prev_term))
        reply->prev_index = index;
}

void raft_recv_vote(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term >= raft->term) {
        /* 4.2.3: the request is ignored: no vote, no new term, no answer. But 3.10: a leader that
         * stands back has ended its lease, and asked for this very campaign (H19). */
        if (sticky(raft) && (msg->flags & RAFT_TOLD) == 0)
            return;
        /* H8: nor does a voter whose room runs short pay for a term without care. */
        if (scarce(raft, in) && (msg->flags & (RAFT_TOLD | RAFT_CAREFUL)) == 0)
            return;
        if (msg->term > raft->term)
            raft_become_follower(raft, in, out, msg->term);
    }
    /* 3.4, 3.6.1: one vote a term, first come first served, and only for a log that holds
     * everything that can be committed. */
    bool grant = msg->term == raft->term && up_to_date(raft, msg) &&
                 (raft->vote == 0 || has_own_vote(raft, in));
    if (grant && raft->vote == 0) {
        raft_set_hard(raft, out, raft->term, msg->from);
        raft->vote_incarnation = in->incarnation;
        raft_reset_timeout(raft, in);
    }
    /* The vote waits until it is durable, so that a restart cannot vote again (3.8). */
    struct raft_msg *reply = raft_emit(raft, out, raft->hard_lsn, RAFT_VOTE_REPLY, msg->from);
    reply->status = grant;
    if (grant)
        tell_common(raft, msg, reply);
}

/* H8: an office that finds out peer by peer and term by term where the logs part is over before it
 * commits, where round trips are long and terms have come to nothing; and leaves one more of them.
 * So votes say it: the winner sends what their voters lack at once. */
static void note_common(struct raft *raft, const struct raft_msg *msg)
{
    uint64_t term;
    if (msg->prev_index > 0 && raft_log_term(&raft->log, msg->prev_index, &term) &&
        term == msg->prev_term)
        raft->peer[msg->from].next = msg->prev_index + 1;
}

/* 3.4: a majority of votes for one term wins it. With a vote of its own that is not durable the
 * winner would send entries of a term that it may forget, so it waits for that too. */
static void count_votes(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    bool own = (raft->votes & raft_bit(raft->id)) != 0;
    if (own && quorum_has(&raft->config, raft->votes)) {
        raft_become_leader(raft, out);
    } else if (quorum_blocked(&raft->config, raft->denied)) {
        raft_become_follower(raft, in, out, raft->term);
    }
}

void raft_recv_vote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term > raft->term) { /* 3.3: a larger term ends the candidacy */
        raft_become_follower(raft, in, out, msg->term);
        return;
    }
    /* H8: a vote that a slow drive holds up longer than an election's timeout counts as long as its
     * term lasts, or terms would come to nothing one after the other. */
    bool late = raft->role == RAFT_PRECANDIDATE && raft->votes != 0 && msg->status != 0;
    if ((raft->role != RAFT_CANDIDATE && !late) || msg->term != raft->term)
        return;
    if (msg->status != 0) {
        raft->votes |= raft_bit(msg->from);
        note_common(raft, msg);
    } else {
        raft->denied |= raft_bit(msg->from);
    }
    count_votes(raft, in, out);
}

void raft_own_vote_durable(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (raft->durable_lsn < raft->hard_lsn)
        return;
    raft_reset_timeout(raft, in); /* the others are asked now */
    raft->votes |= raft_bit(raft->id);
    count_votes(raft, in, out);
}
