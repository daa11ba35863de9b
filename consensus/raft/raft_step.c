/* Dispatch, and the state that every part of the core touches: LSNs, hard state, roles, time. */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

#include <string.h>

_Static_assert(sizeof(struct raft_run) == 16, "no padding: a fingerprint hashes the block");
_Static_assert(sizeof(struct raft_log) == 32 + 16 * RAFT_RUNS_MAX, "no padding in the log");
_Static_assert(sizeof(struct raft_config) == 24 + 8 * (RAFT_ID_MAX + 1), "no padding there");
_Static_assert(sizeof(struct raft_peer) == 80 + 16 * RAFT_FLIGHTS_MAX, "no padding in a peer");
_Static_assert(sizeof(struct raft_msg) == 8 + 12 * 8, "no padding in a message");
_Static_assert(sizeof(struct raft_transfer) == 13 * 8 + 8, "no padding in a transfer");
_Static_assert((RAFT_PROBES_KEPT & (RAFT_PROBES_KEPT - 1)) == 0, "probe numbers are masked");
_Static_assert(RAFT_PROBES_KEPT > RAFT_ID_MAX * RAFT_FLIGHTS_MAX, "every flight's probe is kept");
_Static_assert(RAFT_SENDS_MAX >= 2 * RAFT_ID_MAX, "a broadcast and a reply fit one step");

void raft_init(struct raft *raft, const struct raft_boot *boot)
{
    const struct raft_options *options = &boot->options;
    ENSURE(boot->id >= 1 && boot->id <= RAFT_ID_MAX);
    ENSURE(options->heartbeat_ns > 0 && options->heartbeat_ns < options->election_min_ns);
    ENSURE(options->stall_ns > 0);
    ENSURE(options->flights >= 1 && options->flights <= RAFT_FLIGHTS_MAX);
    ENSURE(options->flight_bytes > 0);
    ENSURE(boot->log.first > 0 && boot->commit + 1 >= boot->log.first);
    ENSURE(boot->commit <= boot->log.last && raft_log_last_term(&boot->log) <= boot->term);

    memset(raft, 0, sizeof(*raft));
    raft->id = boot->id;
    raft->vote = boot->vote;
    raft->term = boot->term;
    raft->commit = boot->commit;
    raft->log = boot->log;
    raft->incarnation = boot->incarnation;
    raft->options = *options;
    ENSURE(boot->hole <= boot->log.last);
    raft->hole = boot->hole;
    raft->hole_term = boot->term;
    raft->config_stated = boot->config_stated;
    raft_config_boot(raft, boot);

    raft->next_lsn = boot->durable_lsn + 1;
    raft->durable_lsn = boot->durable_lsn;
    raft->hard_lsn = boot->durable_lsn;
    raft->base_lsn = boot->durable_lsn;
    raft->base_index = boot->log.last;
    raft->durable_floor = boot->log.last;
    raft->agreed = raft->commit;

    raft->now_ns = boot->now_ns;
    raft->started_ns = boot->now_ns;
    raft->quorum_age_ns = UINT64_MAX;
    raft->quorum_age_at_ns = boot->now_ns;
    raft->probe_next = 1;
    const struct raft_in in = {.random = boot->random};
    raft_reset_timeout(raft, &in);
}

/* What was written, whether it can still be read or not. */
HOT static uint64_t written(const struct raft *raft)
{
    if (raft->durable_lsn < raft->base_lsn)
        return raft->durable_floor;
    return raft->base_index + (raft->durable_lsn - raft->base_lsn);
}

/* A known hole is present for comparing logs, and absent for acknowledgements and the own match. */
HOT uint64_t raft_own_durable(const struct raft *raft)
{
    return raft_before_hole(raft, written(raft));
}

HOT uint64_t raft_index_lsn(const struct raft *raft, uint64_t index)
{
    if (index > raft->base_index)
        return raft->base_lsn + (index - raft->base_index);
    /* Before the discontinuity the exact LSN is forgotten; the discontinuity's own covers it. The
     * testimony carries the term, so it never waits for less than the term. */
    return index <= raft->durable_floor ? raft->hard_lsn : raft->base_lsn;
}

static void rebase(struct raft *raft, uint64_t lsn)
{
    raft->durable_floor = written(raft);
    raft->base_lsn = lsn;
    raft->base_index = raft->log.last;
}

void raft_rebase(struct raft *raft, uint64_t lsn)
{
    rebase(raft, lsn);
}

void raft_set_hard(struct raft *raft, struct raft_out *out, uint64_t term, uint8_t vote)
{
    ENSURE(term >= raft->term);
    ENSURE(out->truncate_from == 0 && out->append_count == 0);
    raft->term = term;
    raft->vote = vote;
    raft->vote_incarnation = vote == raft->id ? raft->incarnation : 0;
    if (out->hard)
        return;
    out->hard = true;
    out->hard_lsn = raft->next_lsn++;
    raft->hard_lsn = out->hard_lsn;
    rebase(raft, out->hard_lsn);
}

void raft_truncate(struct raft *raft, struct raft_out *out, uint64_t index)
{
    ENSURE(index > raft->commit && index > raft->agreed && index <= raft->log.last);
    ENSURE(out->append_count == 0);
    out->truncate_from = index;
    out->truncate_lsn = raft->next_lsn++;
    uint64_t durable = written(raft);
    raft_log_truncate(&raft->log, index);
    raft_config_truncated(raft);
    if (raft->hole >= index)
        raft->hole = 0; /* it was the lowest */
    rebase(raft, out->truncate_lsn);
    raft->durable_floor = durable < index ? durable : index - 1;
}

HOT void raft_append(struct raft *raft, struct raft_out *out, uint64_t term, uint32_t count)
{
    ENSURE(out->append_count == 0);
    out->append_first = raft->log.last + 1;
    out->append_count = count;
    out->append_lsn = raft->next_lsn;
    raft_log_append(&raft->log, term, count);
    raft->next_lsn += count;
}

HOT struct raft_msg *raft_emit(struct raft *raft, struct raft_out *out, uint64_t lsn,
                               enum raft_msg_kind kind, uint8_t to)
{
    ENSURE(out->send_count < RAFT_SENDS_MAX);
    struct raft_send *send = &out->send[out->send_count++];
    *send = (struct raft_send){
        .lsn = lsn, .msg = {.kind = (uint8_t)kind, .from = raft->id, .to = to, .term = raft->term}};
    return &send->msg;
}

/* 3.4: timeouts are drawn at random from one to two times the minimum, so that split votes are
 * rare and quickly resolved. */
void raft_reset_timeout(struct raft *raft, const struct raft_in *in)
{
    uint64_t minimum = raft->options.election_min_ns;
    raft->timeout_at_ns = raft->now_ns + minimum + in->random % minimum;
}

void raft_become_follower(struct raft *raft, const struct raft_in *in, struct raft_out *out,
                          uint64_t term)
{
    if (raft->role == RAFT_LEADER) {
        raft->quorum_age_ns = raft_quorum_age_ns(raft, raft->now_ns);
        raft->quorum_age_at_ns = raft->now_ns;
        raft->leader = 0;
        raft->agreed = raft->commit;
        raft->leaving = 0;
        raft->settling = 0;
        raft_reset_timeout(raft, in);
        out->deposed = true;
    }
    raft->role = RAFT_FOLLOWER;
    raft->careful = 0;
    raft->steady = 0;
    raft->granted = 0;
    raft->denied = 0;
    raft->votes = 0;
    if (term == raft->term)
        return;
    /* 3.3: a larger term is adopted at once; what was known of the old term's leader is void. The
     * committed prefix alone is known to equal the new leader's log (3.6.3). */
    raft_set_hard(raft, out, term, 0);
    raft->leader = 0;
    raft->leader_probe = 0;
    raft->agreed = raft->commit;
    raft->dispute_index = 0;
    raft->hole_denied = 0;
}

/* 4.1, 4.2.3: who asks for a vote or sends entries need not be a member of this replica's
 * configuration, which may be the older one; what it may do to the term, stickiness and the logs
 * decide. An answer counts only from a member, by incarnation (pitfall 4); one that was removed and
 * is being told so has no say about terms either. */
HOT static bool may_speak(const struct raft *raft, const struct raft_in *in)
{
    const struct raft_msg *msg = &in->msg;
    switch ((enum raft_msg_kind)msg->kind) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
    case RAFT_APPEND:
    case RAFT_TIMEOUT_NOW: /* from whom it hears as its leader, or it is nothing */
    case RAFT_FETCH:       /* H4: who asks may have lost the configuration itself */
        return true;
    case RAFT_PREVOTE_REPLY:
    case RAFT_VOTE_REPLY:
    case RAFT_CHAIN_ASK:
    case RAFT_CHAIN_TELL:
    case RAFT_FETCH_REPLY:
        return raft_is_member(raft, msg->from, in->incarnation);
    case RAFT_APPEND_REPLY:
        return raft_is_member(raft, msg->from, in->incarnation) ||
               ((raft->leaving & raft_bit(msg->from)) != 0 && msg->term <= raft->term);
    }
    return false;
}

/* Bad input from an authenticated peer changes nothing: numbers near the end of their range are
 * nonsense. */
HOT static bool well_formed(const struct raft *raft, const struct raft_in *in)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->from == 0 || msg->from > RAFT_ID_MAX || msg->to != raft->id || msg->from == msg->to)
        return false;
    if (!may_speak(raft, in))
        return false;
    if (msg->term == 0 || msg->term > RAFT_NUMBER_MAX || msg->prev_index > RAFT_NUMBER_MAX ||
        msg->match > RAFT_NUMBER_MAX || msg->hint_index > RAFT_NUMBER_MAX)
        return false;
    if (msg->kind == RAFT_APPEND && msg->count > 0)
        return msg->entry_term <= msg->term && msg->entry_term >= msg->prev_term &&
               msg->entry_term > 0;
    return msg->prev_term <= msg->term;
}

HOT static void recv(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (!well_formed(raft, in))
        return;
    /* unreachable: another kind, see may_speak() */
    switch ((enum raft_msg_kind)in->msg.kind) {
    case RAFT_PREVOTE:
        raft_recv_prevote(raft, in, out);
        break;
    case RAFT_PREVOTE_REPLY:
        raft_recv_prevote_reply(raft, in, out);
        break;
    case RAFT_VOTE:
        raft_recv_vote(raft, in, out);
        break;
    case RAFT_VOTE_REPLY:
        raft_recv_vote_reply(raft, in, out);
        break;
    case RAFT_APPEND:
        raft_recv_append(raft, in, out);
        break;
    case RAFT_APPEND_REPLY:
        raft_recv_append_reply(raft, in, out);
        break;
    case RAFT_CHAIN_ASK:
        raft_recv_chain_ask(raft, in, out);
        break;
    case RAFT_CHAIN_TELL:
        raft_recv_chain_tell(raft, in, out);
        break;
    case RAFT_TIMEOUT_NOW:
        raft_recv_timeout_now(raft, in, out);
        break;
    case RAFT_FETCH:
        raft_recv_fetch(raft, in, out);
        break;
    case RAFT_FETCH_REPLY:
        raft_recv_fetch_reply(raft, in, out);
        break;
    }
}

HOT static void durable(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    ENSURE(in->lsn < raft->next_lsn);
    if (in->lsn <= raft->durable_lsn)
        return;
    raft->durable_lsn = in->lsn;
    if (raft->role == RAFT_CANDIDATE)
        raft_own_vote_durable(raft, in, out);
    else if (raft->role == RAFT_LEADER)
        raft_advance_commit(raft);
}

/* Pitfall 2: a failed write is for good. A leader gives up its office: its heartbeats would promise
 * what it can no longer keep. */
static void fail(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    raft_become_follower(raft, in, out, raft->term);
    raft->leader = 0;
    raft->failed = 1;
}

/* Not the whole block: it is longer than a kilobyte, and the counts say what is valid. */
HOT static void reset(struct raft_out *out)
{
    out->hard = false;
    out->hard_lsn = 0;
    out->truncate_from = 0;
    out->truncate_lsn = 0;
    out->install_index = 0;
    out->append_first = 0;
    out->append_count = 0;
    out->append_lsn = 0;
    out->noop = false;
    out->config = false;
    out->refusal = RAFT_CHANGED;
    out->send_count = 0;
    out->append_to = 0;
    out->serve = false;
    out->elected = false;
    out->deposed = false;
    out->stop = RAFT_RUN;
    out->refused = RAFT_TRANSFER_TAKEN;
}

HOT void raft_step(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    reset(out);
    out->commit = raft->commit;
    if (raft->failed || raft->stopped)
        return;
    if (in->now_ns > raft->now_ns)
        raft->now_ns = in->now_ns;
    switch (in->event) { /* unreachable: another event */
    case RAFT_EV_TICK:
        if (raft->role == RAFT_LEADER)
            raft_tick_leader(raft, in, out);
        else
            raft_tick_follower(raft, in, out);
        break;
    case RAFT_EV_RECV:
        recv(raft, in, out);
        break;
    case RAFT_EV_PROPOSE:
        raft_propose(raft, in, out);
        break;
    case RAFT_EV_DURABLE:
        durable(raft, in, out);
        break;
    case RAFT_EV_SENT:
        raft_sent(raft, in, out);
        break;
    case RAFT_EV_CONFIG:
        raft_change(raft, in, out);
        break;
    case RAFT_EV_NO_SPACE:
        raft_refused_for_space(raft);
        break;
    case RAFT_EV_FAILED:
        fail(raft, in, out);
        break;
    case RAFT_EV_TRANSFER:
        raft_transfer(raft, in, out);
        break;
    case RAFT_EV_INSTALL:
        raft_install(raft, in, out);
        break;
    case RAFT_EV_HOLE:
        raft_hole(raft, in, out);
        break;
    }
    if (raft->transfer.open)
        raft_watch_transfer(raft, in, out);
    out->commit = raft->commit;
}

bool raft_copy_sent_ns(const struct raft *raft, uint64_t probe, uint64_t *sent_ns)
{
    uint32_t back = (uint32_t)(raft->probe_next - probe); /* 32 bits of a number travel at least */
    if (back == 0 || back > RAFT_PROBES_KEPT || back >= raft->probe_next)
        return false;
    *sent_ns = raft->probe_sent_ns[(raft->probe_next - back) % RAFT_PROBES_KEPT];
    return true;
}

/* H5: a denial that waited while the very entry came is testimony no more. */
static bool denies_what_is_held(const struct raft *raft, const struct raft_msg *msg)
{
    uint64_t term;
    return msg->status == 0 && raft_log_term(&raft->log, msg->prev_index, &term) &&
           term == msg->prev_term;
}

bool raft_send_stands_yet(const struct raft *raft, const struct raft_send *send)
{
    const struct raft_msg *msg = &send->msg;
    if (raft->failed || raft->stopped)
        return false;
    if (msg->kind == RAFT_PREVOTE_REPLY)
        return true;
    if (msg->kind == RAFT_PREVOTE)
        return msg->term == raft->term + 1;
    /* H5: what was found lost meanwhile is absent for every testimony. */
    if (raft->hole != 0 && msg->kind == RAFT_APPEND_REPLY && msg->status == RAFT_APPEND_OK &&
        msg->match >= raft->hole)
        return false;
    if (msg->kind == RAFT_FETCH_REPLY && denies_what_is_held(raft, msg))
        return false;
    return msg->term == raft->term;
}

uint64_t raft_durable_index(const struct raft *raft)
{
    uint64_t index = raft_own_durable(raft);
    if (raft->role == RAFT_LEADER || index <= raft->agreed)
        return index;
    return raft->agreed;
}

HOT uint64_t raft_quorum_age_ns(const struct raft *raft, uint64_t now_ns)
{
    if (raft->role == RAFT_LEADER) {
        /* A quorum of one is in contact with itself. */
        if (quorum_has(&raft->config, raft_bit(raft->id)))
            return 0;
        if (raft->quorum_heard_ns == 0)
            return UINT64_MAX;
        return now_ns > raft->quorum_heard_ns ? now_ns - raft->quorum_heard_ns : 0;
    }
    uint64_t since = now_ns > raft->quorum_age_at_ns ? now_ns - raft->quorum_age_at_ns : 0;
    return raft->quorum_age_ns > UINT64_MAX - since ? UINT64_MAX : raft->quorum_age_ns + since;
}

uint64_t raft_next_tick_ns(const struct raft *raft)
{
    if (raft->failed || raft->stopped)
        return UINT64_MAX;
    if (raft->role == RAFT_LEADER)
        return raft->heartbeat_at_ns;
    /* A candidate whose own vote is on its way to the drive has nothing to repeat yet. */
    bool repeats = raft->role == RAFT_PRECANDIDATE ||
                   (raft->role == RAFT_CANDIDATE && raft->durable_lsn >= raft->hard_lsn);
    if (repeats && raft->heartbeat_at_ns < raft->timeout_at_ns)
        return raft->heartbeat_at_ns;
    return raft->timeout_at_ns;
}

void raft_compact(struct raft *raft, uint64_t first)
{
    ENSURE(first <= raft->commit + 1);
    raft_log_compact(&raft->log, first);
}
