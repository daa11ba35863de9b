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

static inline uint32_t raft_members(const struct raft_config *config)
{
    return config->voters | config->voters_new | config->learners;
}

/* All members but this replica; a leader's also who was removed and is to learn of it. */
static inline uint32_t raft_others(const struct raft *raft)
{
    return (raft_members(&raft->config) | raft->leaving) & ~raft_bit(raft->id);
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

/* --- raft_config.c: membership --- */
void raft_config_boot(struct raft *raft, const struct raft_boot *boot);
/* The sender is a member under the configuration in force, by incarnation too. */
bool raft_is_member(const struct raft *raft, uint8_t id, uint64_t incarnation);
/* This replica votes under the configuration in force or under one that may come back. */
bool raft_may_vote(const struct raft *raft);
/* What an APPEND brings are configurations. */
bool raft_config_fits(const struct raft_in *in);
/* Those above `held` are in the log now. */
void raft_config_take(struct raft *raft, const struct raft_in *in, uint64_t held);
void raft_config_truncated(struct raft *raft); /* the log's end moved back */
void raft_config_committed(struct raft *raft); /* commit moved on */
/* The log gave way to a checkpoint: the configuration that stood at its index is all there is. */
void raft_config_install(struct raft *raft, const struct raft_config *config);
/* One that a hole had hidden. */
void raft_config_repaired(struct raft *raft, const struct raft_config *config);
void raft_change(struct raft *raft, const struct raft_in *in, struct raft_out *out);
/* Leader, once a tick: completes a change, steps down when it is no voter any more. */
void raft_tick_config(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_election.c --- */
void raft_tick_follower(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_prevote(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_prevote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_vote(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_vote_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* A candidate's own vote counts from here on, if it is durable. */
void raft_own_vote_durable(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* Whether this replica has room to lead: H8, and terms that its log can still tell apart. */
bool raft_has_room_to_lead(const struct raft *raft);

/* The sending time of the copy that an answer echoes; false: it is none that is remembered. */
bool raft_copy_sent_ns(const struct raft *raft, uint64_t probe, uint64_t *sent_ns);

/* A voter with room to lead whose own term is durable. */
bool raft_may_campaign(const struct raft *raft);

/* Raises the term and asks for votes, without asking first whether it could win. */
void raft_campaign(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_transfer.c --- */
void raft_transfer(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_timeout_now(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* Begins one to the most caught-up voter, if one is fit: a leader that is no voter any more. */
bool raft_transfer_away(struct raft *raft);

/* A new term as leader begins: what belongs to the last one is forgotten. */
void raft_transfer_elected(struct raft *raft);

/* A tick at a leader: does its own drive lag? */
void raft_watch_drive(struct raft *raft);

/* The end of a step, while raft->transfer.open: what it means for the transfer. */
void raft_watch_transfer(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* A peer's newest answer says whether it would lead. */
static inline void raft_note_able(struct raft *raft, const struct raft_msg *msg)
{
    bool said = (msg->flags & RAFT_UNABLE) != 0;
    bool known = (raft->transfer.unable & raft_bit(msg->from)) != 0;
    if (said != known && msg->probe >= raft->peer[msg->from].probe_echoed)
        raft->transfer.unable ^= raft_bit(msg->from);
}

/* --- raft_install.c: a checkpoint in place of the log --- */
__attribute__((cold)) void raft_install(struct raft *raft, const struct raft_in *in,
                                        struct raft_out *out);

/* --- raft_repair.c: entries that the drive has lost --- */
__attribute__((cold)) void raft_hole(struct raft *raft, const struct raft_in *in,
                                     struct raft_out *out);
void raft_recv_fetch(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_fetch_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);
/* H4: no hole hides the configuration in force. */
bool raft_config_known(const struct raft *raft);
/* What it has lost can be denied in a later term than this alone. */
bool raft_awaits_term(const struct raft *raft);

/* What testimony may speak of: `index`, or what lies before the first hole. */
static inline uint64_t raft_before_hole(const struct raft *raft, uint64_t index)
{
    return raft->hole != 0 && index >= raft->hole ? raft->hole - 1 : index;
}

/* --- raft_append.c: follower --- */
void raft_recv_append(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_dispute.c: H6 --- */
/* An AppendEntries was refused for another chain: asks the other voters. */
void raft_dispute(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_chain_ask(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_recv_chain_tell(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* --- raft_replicate.c: leader --- */
/* Nothing is known of this peer's log. */
void raft_peer_begin(struct raft *raft, uint8_t id);
void raft_offer(const struct raft *raft, struct raft_out *out, uint32_t mask);
void raft_become_leader(struct raft *raft, struct raft_out *out);
/* Every hole is settled: the office begins with the no-op. */
void raft_begin_office(struct raft *raft, struct raft_out *out);
void raft_tick_leader(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_propose(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_sent(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_refused_for_space(struct raft *raft);
void raft_recv_append_reply(struct raft *raft, const struct raft_in *in, struct raft_out *out);
void raft_advance_commit(struct raft *raft);

#endif
