/* What the files of the Raft core share. Not for callers.
 *
 * Every handler gets the replica, the event and the effects; raft->now_ns is the event's time. The
 * order of effects within one step is fixed: hard state, truncation, append.
 */
#ifndef KEEL_RAFT_INTERNAL_H
#define KEEL_RAFT_INTERNAL_H

#include "consensus/raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

/* Terms and indexes from outside stay below this, so that sums of two cannot wrap. */
#define RAFT_NUMBER_MAX (UINT64_MAX / 4)

static inline uint32_t raft_bit(uint8_t id)
{
    return UINT32_C(1) << id;
}

static inline uint32_t raft_voters(const struct raft *raft)
{
    return raft->config.voters | raft->config.voters_new;
}

/* All members but this replica. */
static inline uint32_t raft_others(const struct raft *raft)
{
    return (raft_voters(raft) | raft->config.learners) & ~raft_bit(raft->id);
}

/* --- raft_step.c: state that every part touches --- */

/* Own durable index, whoever leads. */
uint64_t raft_own_durable(const struct raft *raft);

/* The LSN that makes "I hold index durably" true. */
uint64_t raft_index_lsn(const struct raft *raft, uint64_t index);

/* The durable index moves with the LSN from here on: `lsn` was the last effect's, the log ends
 * where it is. */
__attribute__((cold)) void raft_rebase(struct raft *raft, uint64_t lsn);

/* Changes term and vote: one LSN, however often in one step. */
void raft_set_hard(struct raft *raft, struct raft_out *out, uint64_t term, uint8_t vote);

/* Supersedes the entries from index on. */
void raft_truncate(struct raft *raft, struct raft_out *out, uint64_t index);

/* Appends count entries of one term at last + 1. */
void raft_append(struct raft *raft, struct raft_out *out, uint64_t term, uint32_t count);

/* A new message of this replica's term in out->send; the caller sets what the kind uses. */
struct raft_msg *raft_emit(struct raft *raft, struct raft_out *out, uint64_t lsn,
                           enum raft_msg_kind kind, uint8_t to);

/* Draws the next election timeout. */
void raft_reset_timeout(struct raft *raft, const struct raft_in *in);

/* Follower in `term` >= raft->term; a new term forgets the vote and the leader. */
void raft_become_follower(struct raft *raft, const struct raft_in *in, struct raft_out *out,
                          uint64_t term);

/* --- raft_election.c --- */
void raft_tick_follower(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_prevote(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_prevote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_vote(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_vote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* A candidate's own vote counts from here on, if it is durable. */
void raft_own_vote_durable(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_install.c: a checkpoint in place of the log --- */
__attribute__((cold)) void raft_install(struct raft *raft, const struct raft_in *in,
                                        struct raft_out *out);

/* --- raft_append.c: follower --- */
void raft_recv_append(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_dispute.c: H6 --- */
/* An AppendEntries was refused for another chain: asks the other voters. */
void raft_dispute(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_chain_ask(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_chain_tell(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_replicate.c: leader --- */
void raft_become_leader(struct raft *raft, struct raft_out *out);
void raft_tick_leader(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_propose(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_sent(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_refused_for_space(struct raft *raft);
void raft_recv_append_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_advance_commit(struct raft *raft);

#endif
