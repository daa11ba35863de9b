/* The follower's side of AppendEntries (dissertation 3.5, 3.6.2, 3.8). Packets are datagrams: each
 * handler here is idempotent and monotone, whatever is lost, doubled or reordered (pitfall 11).
 *
 * `agreed` carries that: a leader's log only grows in its term, so an entry once found equal stays
 * equal, is never compared again and never truncated, however old the packet.
 */
#include "consensus/ensure.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

/* A leader of this term has spoken: election timer, stickiness, and how fresh its quorum is (H22).
 * Only a packet newer than all others counts: a doubled or late one says nothing about now. */
HOT static void hear_leader(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->probe <= raft->leader_probe)
        return;
    if (raft->role != RAFT_FOLLOWER) /* 3.4: a candidate that meets the term's leader gives way */
        raft_become_follower(raft, in, out, raft->term);
    raft->leader_probe = msg->probe;
    raft->leader = msg->from;
    raft->heard_leader_ns = raft->now_ns;
    raft_reset_timeout(raft, in);
    if (msg->quorum_age_ns <= raft_quorum_age_ns(raft, raft->now_ns)) {
        raft->quorum_age_ns = msg->quorum_age_ns;
        raft->quorum_age_at_ns = raft->now_ns;
    }
}

/* 3.5, log matching: the entries are refused unless the entry before them is held with the same
 * term. */
HOT static enum raft_append_status check_prev(const struct raft *raft, const struct raft_in *in)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->prev_index > raft->log.last)
        return RAFT_APPEND_MISSING;
    uint64_t term;
    if (!raft_log_term(&raft->log, msg->prev_index, &term))
        return RAFT_APPEND_OK; /* below the run list: committed, hence equal (3.6.3) */
    /* What was found equal in this term, or committed before, cannot differ: damage, not conflict.
     */
    if (term != msg->prev_term)
        return msg->prev_index <= raft->agreed ? RAFT_APPEND_CHAIN : RAFT_APPEND_CONFLICT;
    /* H6: same index and term, other history: refuse and report, do not stop. */
    if (in->chain_mine != 0 && msg->prev_chain != 0 && in->chain_mine != msg->prev_chain)
        return RAFT_APPEND_CHAIN;
    return RAFT_APPEND_OK;
}

/* The first index of the packet's entries that is not held yet with the packet's term; everything
 * before it equals the leader's log. */
HOT static uint64_t first_unequal(const struct raft *raft, const struct raft_msg *msg)
{
    uint64_t last = msg->prev_index + msg->count;
    uint64_t index = msg->prev_index < raft->agreed ? raft->agreed + 1 : msg->prev_index + 1;
    uint64_t term;
    /* unreachable: a term that is not known above the commit index */
    if (index > last || index > raft->log.last || !raft_log_term(&raft->log, index, &term) ||
        term != msg->entry_term)
        return index;
    uint64_t equal = raft_log_run_last(&raft->log, index);
    return (equal < last ? equal : last) + 1;
}

/* Takes over what the packet adds to the log. Returns OK, NO_SPACE, or CHAIN for a term that falls
 * along the log, which no correct leader sends. */
HOT static enum raft_append_status store(struct raft *raft, const struct raft_in *in,
                                         struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    uint64_t last = msg->prev_index + msg->count;
    uint64_t index = first_unequal(raft, msg);
    if (index > raft->agreed + 1)
        raft->agreed = index - 1;
    if (index > last)
        return RAFT_APPEND_OK; /* all of it held: a duplicate truncates nothing (3.5) */
    uint64_t before;
    /* unreachable: a term that is not known from the commit index on */
    if (raft_log_term(&raft->log, index - 1, &before) && before > msg->entry_term)
        return RAFT_APPEND_CHAIN;
    bool fits = raft_config_fits(in);
    if (!in->space || !raft_log_has_room(&raft->log, msg->entry_term, raft->commit) || !fits) {
        /* H8: an existing entry that takes the room of the leader's goes before there is any. */
        if (fits && index <= raft->log.last)
            raft_truncate(raft, out, index);
        raft->no_space_ns = raft->now_ns;
        return RAFT_APPEND_NO_SPACE;
    }
    /* 3.5: an existing entry with another term goes, with all that follow it. Raft never takes back
     * what is committed (3.6.3), nor what was found equal in this term. */
    if (index <= raft->log.last)
        raft_truncate(raft, out, index);
    raft_append(raft, out, msg->entry_term, (uint32_t)(last - index + 1));
    raft_config_take(raft, in, index - 1);
    raft->agreed = last;
    raft->no_space_ns = 0;
    return RAFT_APPEND_OK;
}

static void reply_refusal(struct raft *raft, const struct raft_in *in, struct raft_msg *reply,
                          enum raft_append_status status)
{
    const struct raft_msg *msg = &in->msg;
    reply->status = (uint8_t)status;
    /* unreachable: RAFT_APPEND_OK, see raft_recv_append() */
    switch (status) {
    case RAFT_APPEND_OK:
    case RAFT_APPEND_STALE_TERM:
        break;
    case RAFT_APPEND_MISSING:
        reply->hint_index = raft->log.last;
        break;
    case RAFT_APPEND_CONFLICT: {
        /* 3.5: the refusal names the conflicting term and where it begins, so that the leader skips
         * the whole term at once. */
        uint64_t term = 0;
        (void)raft_log_term(&raft->log, msg->prev_index, &term);
        uint64_t first = raft_log_run_first(&raft->log, msg->prev_index);
        reply->hint_term = term;
        reply->hint_index = first - 1 > raft->agreed ? first - 1 : raft->agreed;
        break;
    }
    case RAFT_APPEND_CHAIN:
        reply->hint_index = msg->prev_index;
        reply->prev_index = msg->prev_index;
        reply->prev_chain = in->chain_mine;
        break;
    case RAFT_APPEND_NO_SPACE:
        reply->hint_index = raft->agreed;
        break;
    }
}

/* Learns the commit index: never above what is known to equal the leader's log (3.5), never back.
 */
HOT static void learn_commit(struct raft *raft, const struct raft_msg *msg)
{
    uint64_t commit = msg->commit < raft->agreed ? msg->commit : raft->agreed;
    if (commit <= raft->commit)
        return;
    raft->commit = commit;
    raft_config_committed(raft);
}

HOT void raft_recv_append(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term == raft->term && raft->role == RAFT_LEADER)
        return; /* two leaders of one term: no correct peer sends this */
    enum raft_append_status status = RAFT_APPEND_STALE_TERM;
    if (msg->term > raft->term)
        raft_become_follower(raft, in, out, msg->term);
    if (msg->term == raft->term) { /* 3.3: else the sender's term is over, and the reply says so */
        hear_leader(raft, in, out);
        status = check_prev(raft, in);
        if (status == RAFT_APPEND_OK)
            status = store(raft, in, out);
        if (status == RAFT_APPEND_OK || status == RAFT_APPEND_NO_SPACE)
            learn_commit(raft, msg);
    }
    struct raft_msg *reply = raft_emit(raft, out, raft->hard_lsn, RAFT_APPEND_REPLY, msg->from);
    reply->probe = msg->probe;
    if (msg->count == 0 || status == RAFT_APPEND_NO_SPACE) /* not with each packet of a stream */
        raft->transfer.short_of_room = in->unable || !raft_has_room_to_lead(raft);
    reply->flags = raft->transfer.short_of_room ? RAFT_UNABLE : 0;
    if (status != RAFT_APPEND_OK) {
        reply_refusal(raft, in, reply, status);
        if (status == RAFT_APPEND_CHAIN)
            raft_dispute(raft, in, out);
        return;
    }
    reply->hint_index = raft->agreed;
    if (msg->count > 0) {
        /* An acknowledgement waits until its last entry is durable (3.8), and says no more. */
        reply->match = raft_before_hole(raft, msg->prev_index + msg->count);
        uint64_t lsn = raft_index_lsn(raft, reply->match);
        out->send[out->send_count - 1].lsn = lsn;
    } else {
        /* A heartbeat's answer must not wait for the drive: it says what is durable now. */
        reply->match = raft_durable_index(raft);
    }
}
