/* Whose log is damaged when two histories stand at one (index, term)? (H6)
 *
 * A follower that finds another log chain than its leader's refuses, and asks the other voters for
 * theirs. If a quorum, the leader among it, tells the leader's value, the follower is outvoted: its
 * own log is the damaged one, and it stops. What the leader does when it is contradicted stands in
 * raft_replicate.c. A chain that is told is testimony about a log's past, not its durability, and
 * equal entries keep equal chains: answers may come late, doubled or from before a restart.
 */
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

static bool same_dispute(const struct raft *raft, const struct raft_msg *msg)
{
    return raft->dispute_index == msg->prev_index && raft->dispute_term == msg->prev_term;
}

/* Counts a voter that tells the leader's value. */
static void count_against(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    raft->dispute_against |= raft_bit(in->msg.from) & raft_voters(raft);
    if (!quorum_has(&raft->config, raft->dispute_against))
        return;
    raft_become_follower(raft, in, out, raft->term);
    raft->stopped = 1;
    out->stop = RAFT_STOP_OUTVOTED;
}

void raft_dispute(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (in->chain_mine == 0 || msg->prev_chain == 0 || in->chain_mine == msg->prev_chain)
        return; /* damage of another kind: no value to be outvoted about */
    if (!same_dispute(raft, msg) || raft->dispute_chain != msg->prev_chain) {
        raft->dispute_index = msg->prev_index;
        raft->dispute_term = msg->prev_term;
        raft->dispute_chain = msg->prev_chain;
        raft->dispute_against = 0;
    }
    uint32_t others = raft_voters(raft) & ~raft_bit(raft->id) & ~raft_bit(msg->from);
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++) {
        if ((others & raft_bit(id)) == 0)
            continue;
        struct raft_msg *ask = raft_emit(raft, out, raft->hard_lsn, RAFT_CHAIN_ASK, id);
        ask->prev_index = msg->prev_index;
        ask->prev_term = msg->prev_term;
        ask->prev_chain = in->chain_mine;
    }
    count_against(raft, in, out);
}

void raft_recv_chain_ask(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    uint64_t term;
    if (msg->term != raft->term || in->chain_mine == 0 || msg->prev_index > raft->log.last ||
        !raft_log_term(&raft->log, msg->prev_index, &term) || term != msg->prev_term)
        return; /* nothing to say about that entry */
    struct raft_msg *tell = raft_emit(raft, out, raft->hard_lsn, RAFT_CHAIN_TELL, msg->from);
    tell->prev_index = msg->prev_index;
    tell->prev_term = msg->prev_term;
    tell->prev_chain = in->chain_mine;
}

void raft_recv_chain_tell(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    const struct raft_msg *msg = &in->msg;
    if (msg->term != raft->term || raft->role == RAFT_LEADER || raft->dispute_index == 0 ||
        !same_dispute(raft, msg) || msg->prev_chain != raft->dispute_chain)
        return;
    count_against(raft, in, out);
}
