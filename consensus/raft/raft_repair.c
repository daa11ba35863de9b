/* Entries that the own drive has lost: known damage (design: section 5, Damage).
 *
 * The identity of what is lost, index and term, is still known, and counts as present wherever logs
 * are compared: a replica that forgot its damaged end would vote for a log without what it had
 * acknowledged. For every testimony it is absent. The bytes come from any peer and are proven by
 * the log chain: that is the caller's part, as all bytes are. Here is decided who may deny an
 * entry, when it may be given up (H5), and what a hole forbids (H4).
 */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

/* H4: no hole hides the configuration in force, as long as none newer is stated than the one that
 * is held. One that is hidden ahead of it changes no election, as a server goes by the latest in
 * its log (4.1); nor who may be believed about a hole: none_can_have_held(). */
bool raft_config_known(const struct raft *raft)
{
    return raft_config_stated(raft) == raft->config.index;
}

void raft_hole(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    ENSURE(in->index <= raft->log.last);
    if (raft->hole == 0) /* until now nothing was hidden; what is lost now was read before */
        raft->config_stated = raft->config.index;
    for (uint32_t i = 0; i < in->config_count; i++)
        raft_config_repaired(raft, &in->config[i]);
    if (raft->agreed < raft->commit)
        raft->agreed = raft->commit; /* what is committed is in every leader's log (3.6.3) */
    /* H5: while a leader settles a higher hole its heartbeats reach up to that one: a lower one is
     * found later, too. */
    bool later = raft->settling != 0 && in->index != 0 && in->index < raft->hole;
    if (in->index != raft->hole) {
        raft->hole_denied = 0;
        raft->hole_term = raft->term;
    }
    raft->hole = in->index;
    if (raft->role != RAFT_LEADER)
        return;
    if (later)
        raft_become_follower(raft, in, out, raft->term);
    else if (raft->settling != 0 && raft->hole == 0)
        raft_begin_office(raft, out);
    else
        raft_advance_commit(raft);
}

void raft_fetch(const struct raft *raft, uint8_t peer, uint64_t index, uint64_t term,
                struct raft_send *send)
{
    *send = (struct raft_send){.lsn = raft->hard_lsn,
                               .msg = {.kind = RAFT_FETCH,
                                       .from = raft->id,
                                       .to = peer,
                                       .term = raft->term,
                                       .prev_index = index,
                                       .prev_term = term}};
}

/* H5: only who is certain of its log denies: none whose log starts after that index. A hole of its
 * own leaves it certain: what it has lost it still names, and who is not sure what it has lost does
 * not run. Whether it is a voter is not for it to say: where it lags behind, the log may not have
 * told it yet. A denial is durable testimony in the asking leader's term. */
static bool may_deny(const struct raft *raft, const struct raft_msg *msg)
{
    return msg->term == raft->term && msg->prev_index >= raft->log.first;
}

void raft_recv_fetch(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    uint64_t term;
    bool told = raft_log_term(&raft->log, msg->prev_index, &term);
    if (told ? term == msg->prev_term : msg->prev_index < raft->log.first) {
        out->serve = true; /* below the run list the caller knows whether it is that entry */
        return;
    }
    if (!may_deny(raft, msg))
        return;
    struct raft_msg *reply = raft_emit(raft, out, raft->hard_lsn, RAFT_FETCH_REPLY, msg->from);
    reply->prev_index = msg->prev_index;
    reply->prev_term = msg->prev_term;
}

static bool about_hole(const struct raft *raft, const struct raft_msg *msg)
{
    uint64_t term;
    return raft->hole != 0 && msg->prev_index == raft->hole &&
           raft_log_term(&raft->log, raft->hole, &term) && term == msg->prev_term;
}

/* H5: an entry is given up only when so many intact voters deny it that no quorum can have held it:
 * then it was not committed, nor anything behind it. The leader that committed it may have counted
 * by the configuration in force here, by the one ahead of it, or by the one that follows it, whose
 * quorums need nobody else. But each quorum holds a majority of the voters that the next
 * configuration begins with: a joint one's old voters, a final one's own (4.3). So the voters that
 * the configuration in force begins with have to deny what stands before it, be the one ahead of it
 * hidden or not; and what stands behind a joint one, its new voters. */
static bool none_can_have_held(const struct raft *raft)
{
    const struct raft_config *config = &raft->config;
    bool behind = raft->hole > config->index && config->voters_new != 0;
    const struct raft_config begins = {.voters = behind ? config->voters_new : config->voters};
    return quorum_blocked(&begins, raft->hole_denied);
}

bool raft_awaits_term(const struct raft *raft)
{
    return !raft_config_known(raft) && raft->term <= raft->hole_term;
}

/* H4, H5: who has lost the configuration in force cannot lead, nor can who lacks what it may have
 * acknowledged be elected by it. If nobody else holds it either, denials free it as they do a
 * leader: in a term in which it has acknowledged nothing of what is lost. */
static bool may_give_up(const struct raft *raft)
{
    if (raft_config_known(raft))
        return raft->role == RAFT_LEADER;
    return raft->term > raft->hole_term && raft->hole > raft->agreed;
}

void raft_recv_fetch_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->status != 0)
        return; /* the entry itself: the caller's */
    if (msg->term > raft->term) {
        raft_become_follower(raft, in, out, msg->term);
        return;
    }
    if (msg->term < raft->term || !about_hole(raft, msg) || !may_give_up(raft))
        return;
    /* H5: denials count from voters of the leader's configuration: no learner, no other
     * incarnation. */
    raft->hole_denied |= raft_bit(msg->from) & raft_voters(raft);
    if (!none_can_have_held(raft) || raft->hole <= raft->commit)
        return;
    if (!raft_config_known(raft)) {
        raft_truncate(raft, out, raft->hole);
        return;
    }
    /* H5: a hole found later is given up only by stepping down and winning a higher term: what was
     * acknowledged in this one may count for it. */
    if (raft->settling == 0) {
        raft_become_follower(raft, in, out, raft->term);
        return;
    }
    raft_truncate(raft, out, raft->hole);
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        raft_peer_begin(raft, id);
    raft_begin_office(raft, out);
}
