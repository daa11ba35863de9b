/* The leader's side: replication, commitment, heartbeats, check-quorum (dissertation 3.5, 3.6.2,
 * 6.2, 10.2).
 *
 * A peer is either pipelined (several AppendEntries in flight, 10.2.1) or probed (one at a time, to
 * find where the logs agree). `next` always moves on with what was sent; loss shows as a refusal of
 * the next packet or heartbeat, or as silence, and is answered by one rewind: refusals of packets
 * sent before the rewind are stale.
 */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

#include <string.h>

/* Heartbeats without any proof of arrival after which what is in flight counts as lost. */
enum { LOST_AFTER_HEARTBEATS = 4 };

HOT static bool waits(const struct raft *raft)
{
    return raft->waiting != 0 || raft->commit < raft->log.last;
}

/* H8: a heartbeat promises that commits can progress. While something waits (a refusal for want of
 * space is such a thing) and no quorum has moved for stall_ns, nothing goes out that would keep
 * healthy followers from campaigning: no heartbeat, and no AppendEntries either. */
HOT static bool stalled(const struct raft *raft)
{
    return waits(raft) && raft->now_ns - raft->progress_ns >= raft->options.stall_ns;
}

HOT static bool may_send(const struct raft *raft, const struct raft_peer *peer)
{
    if (peer->next > raft->log.last || peer->starved != 0)
        return false;
    if (peer->probing != 0)
        return peer->flight_count == 0;
    return peer->flight_count < raft->options.flights &&
           peer->flight_bytes < raft->options.flight_bytes;
}

HOT void raft_offer(const struct raft *raft, struct raft_out *out, uint32_t mask)
{
    if (stalled(raft) || raft->settling != 0)
        return;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if ((mask & raft_bit(id)) != 0 && may_send(raft, &raft->peer[id]))
            out->append_to |= raft_bit(id);
}

static void rewind_peer(const struct raft *raft, struct raft_peer *peer, uint64_t next)
{
    if (next < peer->next)
        peer->next = next;
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    peer->probing = 1;
    peer->rewound = raft->probe_next;
    peer->acked_ns = raft->now_ns;
    peer->flight_count = 0;
    peer->flight_bytes = 0;
}

void raft_peer_begin(struct raft *raft, uint8_t id)
{
    struct raft_peer *peer = &raft->peer[id];
    memset(peer, 0, sizeof(*peer));
    peer->next = raft->log.last + 1;
    rewind_peer(raft, peer, raft->log.last + 1);
}

/* 3.4: a new leader takes the others' logs to end where its own does, and is told better; who voted
 * for it has said from where on it lacks something, and is sent that at once. */
static void peer_elected(struct raft *raft, uint8_t id)
{
    struct raft_peer *peer = &raft->peer[id];
    uint64_t next = peer->next;
    raft_peer_begin(raft, id);
    if (next == 0)
        return;
    peer->next = next;
    peer->probing = 0;
}

/* 3.4, 6.4: a new leader cannot tell which of its entries are committed; an empty entry of its own
 * term, before anything else, settles that. */
void raft_become_leader(struct raft *raft, struct raft_out *out)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->id;
    raft->careful = 0;
    raft->steady = 0;
    raft->granted = 0;
    raft->denied = 0;
    raft->votes = 0;
    raft->contradicted = 0;
    raft->waiting = 0;
    raft->no_space_ns = 0;
    raft->elected_ns = raft->now_ns;
    raft->progress_ns = raft->now_ns;
    raft->quorum_heard_ns = 0;
    raft->quorum_index = 0;
    raft->heartbeat_at_ns = raft->now_ns + raft->options.heartbeat_ns;
    raft->leaving = 0;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        peer_elected(raft, id);
    raft_transfer_elected(raft);
    out->elected = true;
    /* H5: a leader settles every hole, fetched or given up, before it appends its no-op or sends
     * any entry. Until then it commits nothing, and nothing that it says reaches behind the hole.
     */
    raft->settling = raft->hole != 0;
    raft->noop_index = RAFT_NUMBER_MAX;
    if (raft->settling == 0)
        raft_begin_office(raft, out);
}

void raft_begin_office(struct raft *raft, struct raft_out *out)
{
    raft->settling = 0;
    raft_append(raft, out, raft->term, 1);
    raft->noop_index = raft->log.last;
    out->noop = true;
    raft_offer(raft, out, raft_others(raft));
}

HOT void raft_advance_commit(struct raft *raft)
{
    uint64_t values[RAFT_ID_MAX + 1];
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        values[id] = raft->peer[id].match;
    /* The leader counts itself only for what its own drive holds (pitfall 1), and is not needed:
     * any quorum of durable replicas commits (10.2.1). */
    values[raft->id] = raft_own_durable(raft);
    uint64_t index = quorum_reached(&raft->config, values);
    if (index <= raft->quorum_index)
        return;
    raft->quorum_index = index;
    raft->progress_ns = raft->now_ns;
    /* 3.6.2, figure 3.7: an entry of an earlier term is not committed by counting replicas; it is
     * when an entry of this term, all of which lie from the no-op on, is. */
    if (index < raft->noop_index)
        return;
    ENSURE(index > raft->commit);
    raft->commit = index;
    raft->waiting = 0;
    raft_config_committed(raft);
}

/* 6.2, check-quorum: a leader that no quorum answered within an election timeout steps down. Time
 * counts from the sending of the probe that was echoed (H21). */
static bool quorum_lost(const struct raft *raft)
{
    uint64_t values[RAFT_ID_MAX + 1];
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        values[id] =
            raft->peer[id].heard_ns > raft->elected_ns ? raft->peer[id].heard_ns : raft->elected_ns;
    values[raft->id] = raft->now_ns;
    return raft->now_ns - quorum_reached(&raft->config, values) >= raft->options.election_min_ns;
}

static void heartbeat(struct raft *raft, struct raft_out *out, uint8_t id)
{
    struct raft_msg *msg = raft_emit(raft, out, raft->hard_lsn, RAFT_APPEND, id);
    /* prev is the end of what was sent, so that a lost tail shows in the answer. Below the run list
     * the term is not known here: index 0 agrees with every log. */
    uint64_t prev = raft->peer[id].next - 1;
    if (raft->settling != 0)
        prev = raft_before_hole(raft, prev);
    if (raft_log_term(&raft->log, prev, &msg->prev_term))
        msg->prev_index = prev;
    msg->commit = raft->commit;
    msg->quorum_age_ns = raft_quorum_age_ns(raft, raft->now_ns);
    msg->probe = raft->probe_next++;
    raft->probe_sent_ns[msg->probe % RAFT_PROBES_KEPT] = raft->now_ns;
}

void raft_tick_leader(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (quorum_lost(raft)) {
        raft_become_follower(raft, in, out, raft->term);
        return;
    }
    /* Others may hold what this one lacks: it is not in their way for long. */
    if (raft->settling != 0 && raft->now_ns - raft->elected_ns >= raft->options.election_min_ns) {
        raft_become_follower(raft, in, out, raft->term);
        return;
    }
    raft_tick_config(raft, in, out);
    if (raft->role != RAFT_LEADER)
        return;
    raft_watch_drive(raft);
    if (!waits(raft))
        raft->progress_ns = raft->now_ns;
    bool beat = raft->now_ns >= raft->heartbeat_at_ns;
    if (beat)
        raft->heartbeat_at_ns = raft->now_ns + raft->options.heartbeat_ns;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++) {
        struct raft_peer *peer = &raft->peer[id];
        if ((raft_others(raft) & raft_bit(id)) == 0)
            continue;
        peer->starved = 0;
        uint64_t patience = LOST_AFTER_HEARTBEATS * raft->options.heartbeat_ns;
        if (peer->flight_count > 0 && raft->now_ns - peer->acked_ns >= patience)
            rewind_peer(raft, peer, peer->match + 1);
        if (beat && !stalled(raft))
            heartbeat(raft, out, id);
    }
    raft_offer(raft, out, raft_others(raft));
}

HOT void raft_propose(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    ENSURE(raft->role == RAFT_LEADER && raft->settling == 0);
    ENSURE(in->count > 0);
    if (raft->commit == raft->log.last)
        raft->progress_ns = raft->now_ns; /* nothing waited but, perhaps, for space: it has come */
    raft->waiting = 0;
    raft->no_space_ns = 0;
    raft_append(raft, out, raft->term, in->count);
    raft_offer(raft, out, raft_others(raft));
}

void raft_refused_for_space(struct raft *raft)
{
    raft->no_space_ns = raft->now_ns;
    if (raft->role != RAFT_LEADER)
        return;
    if (!waits(raft))
        raft->progress_ns = raft->now_ns;
    raft->waiting = 1;
}

HOT bool raft_append_next(const struct raft *raft, uint8_t peer_id, struct raft_msg *msg)
{
    ENSURE(peer_id >= 1 && peer_id <= RAFT_ID_MAX);
    const struct raft_peer *peer = &raft->peer[peer_id];
    if (raft->role != RAFT_LEADER || (raft_others(raft) & raft_bit(peer_id)) == 0 ||
        stalled(raft) || raft->settling != 0 || !may_send(raft, peer))
        return false;
    *msg = (struct raft_msg){
        .kind = RAFT_APPEND,
        .from = raft->id,
        .to = peer_id,
        .term = raft->term,
        .prev_index = peer->next - 1,
        .commit = raft->commit,
        .probe = raft->probe_next,
        .quorum_age_ns = raft_quorum_age_ns(raft, raft->now_ns),
    };
    uint64_t count;
    if (peer->next < raft->log.first) {
        count = raft->log.first - peer->next; /* terms unknown here: the caller reads the ring */
    } else {
        /* unreachable: an index that the run list does not hold */
        bool known = raft_log_term(&raft->log, peer->next - 1, &msg->prev_term) &&
                     raft_log_term(&raft->log, peer->next, &msg->entry_term);
        ENSURE(known);
        count = raft_log_run_last(&raft->log, peer->next) - peer->next + 1;
    }
    msg->count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    return true;
}

HOT void raft_sent(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    ENSURE(raft->role == RAFT_LEADER);
    ENSURE(in->peer <= RAFT_ID_MAX && (raft_others(raft) & raft_bit(in->peer)) != 0);
    struct raft_peer *peer = &raft->peer[in->peer];
    if (in->index < peer->next) {
        peer->starved = 1;
        return;
    }
    ENSURE(in->index <= raft->log.last && may_send(raft, peer));
    if (peer->flight_count == 0)
        peer->acked_ns = raft->now_ns;
    uint32_t slot = (peer->flight_head + peer->flight_count) % RAFT_FLIGHTS_MAX;
    peer->flight[slot] = (struct raft_flight){.last_index = in->index, .bytes = in->bytes};
    peer->flight_count++;
    peer->flight_bytes += in->bytes;
    peer->next = in->index + 1;
    raft->probe_sent_ns[raft->probe_next % RAFT_PROBES_KEPT] = raft->now_ns;
    raft->probe_next++;
    raft_offer(raft, out, raft_bit(in->peer));
}

/* The newest probe that a peer echoed tells when it was surely with us (H21). */
HOT static void note_echo(struct raft *raft, struct raft_peer *peer, uint64_t probe)
{
    if (probe <= peer->probe_echoed || probe >= raft->probe_next ||
        raft->probe_next - probe > RAFT_PROBES_KEPT)
        return;
    peer->probe_echoed = probe;
    peer->heard_ns = raft->probe_sent_ns[probe % RAFT_PROBES_KEPT];
    uint64_t values[RAFT_ID_MAX + 1];
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        values[id] = raft->peer[id].heard_ns;
    values[raft->id] = raft->now_ns;
    raft->quorum_heard_ns = quorum_reached(&raft->config, values);
}

HOT static void release_flights(struct raft_peer *peer)
{
    while (peer->flight_count > 0) { /* at most RAFT_FLIGHTS_MAX */
        const struct raft_flight *oldest = &peer->flight[peer->flight_head];
        if (oldest->last_index > peer->match)
            break;
        peer->flight_bytes -= oldest->bytes;
        peer->flight_head = (peer->flight_head + 1) % RAFT_FLIGHTS_MAX;
        peer->flight_count--;
    }
}

HOT static void acknowledged(struct raft *raft, const struct raft_msg *msg, struct raft_peer *peer)
{
    if (msg->match > raft->log.last)
        return; /* no correct peer says so */
    if (msg->probe >= peer->rewound)
        peer->probing = 0; /* the logs agree up to what was sent: pipeline (10.2.1) */
    if (msg->hint_index + 1 >= peer->next)
        peer->acked_ns = raft->now_ns; /* all has arrived: a slow drive, no loss */
    if (msg->match <= peer->match)
        return;
    peer->match = msg->match;
    peer->acked_ns = raft->now_ns;
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    raft->contradicted &= ~raft_bit(msg->from);
    release_flights(peer);
    raft_advance_commit(raft);
}

/* 3.5: where to go on after a conflict. Agreement at an index needs equal terms there, and the
 * follower's terms up to prev are at most hint_term: leader entries of greater terms are skipped.
 * If the leader has no entry of hint_term at all, so is the follower's whole run of it. */
static uint64_t after_conflict(const struct raft *raft, const struct raft_msg *msg,
                               const struct raft_peer *peer)
{
    uint64_t index;
    uint64_t term;
    if (raft_log_last_at_most(&raft->log, peer->next - 1, msg->hint_term, &index) &&
        /* unreachable: a term that is not known where it was just found */
        (index <= msg->hint_index ||
         (raft_log_term(&raft->log, index, &term) && term == msg->hint_term)))
        return index + 1;
    return msg->hint_index + 1;
}

/* H6: a follower that holds another history at equal (index, term) is damaged, or the leader is. A
 * leader contradicted by so many voters that no quorum is left takes the blame: it steps down and
 * stops. A lone follower stays refused; without it the others go on. */
static void contradicted(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    raft->contradicted |= raft_bit(in->msg.from);
    if (!quorum_blocked(&raft->config, raft->contradicted))
        return;
    raft_become_follower(raft, in, out, raft->term);
    raft->stopped = 1;
    out->stop = RAFT_STOP_CHAIN;
}

static void refused(struct raft *raft, const struct raft_in *in, struct raft_out *out,
                    struct raft_peer *peer)
{
    const struct raft_msg *msg = &in->msg;
    /* unreachable: RAFT_APPEND_OK and what is no status, see raft_recv_append_reply() */
    switch ((enum raft_append_status)msg->status) {
    case RAFT_APPEND_OK:
    case RAFT_APPEND_STALE_TERM: /* carries a larger term, or is no answer to this one */
        break;
    case RAFT_APPEND_MISSING:
        rewind_peer(raft, peer, msg->hint_index + 1);
        break;
    case RAFT_APPEND_CONFLICT:
        rewind_peer(raft, peer, after_conflict(raft, msg, peer));
        break;
    case RAFT_APPEND_CHAIN:
        rewind_peer(raft, peer, msg->hint_index + 1);
        peer->starved = 1; /* again with the next tick, not at the pace of the network */
        contradicted(raft, in, out);
        break;
    case RAFT_APPEND_NO_SPACE:
        rewind_peer(raft, peer, msg->hint_index + 1);
        peer->starved = 1;
        break;
    }
}

HOT void raft_recv_append_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term > raft->term) { /* 3.3: a larger term ends this one */
        raft_become_follower(raft, in, out, msg->term);
        return;
    }
    if (msg->term < raft->term || raft->role != RAFT_LEADER || msg->status > RAFT_APPEND_NO_SPACE)
        return;
    struct raft_peer *peer = &raft->peer[msg->from];
    note_echo(raft, peer, msg->probe);
    raft_note_able(raft, msg);
    if (msg->status == RAFT_APPEND_OK)
        acknowledged(raft, msg, peer);
    else if (msg->probe >= peer->rewound) /* one rewind for each window: older refusals are stale */
        refused(raft, in, out, peer);
    if (raft->role == RAFT_LEADER)
        raft_offer(raft, out, raft_bit(msg->from));
}
