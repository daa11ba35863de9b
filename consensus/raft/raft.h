/* The pure Raft core of one replica.
 *
 * raft_step() takes one event and returns effects; it calls nothing, reads no clock, allocates
 * nothing and draws no random number: those are inputs. The state is one pointer-free block whose
 * padding is zero, so that a copy is memcpy and a fingerprint is a hash. The role `seq` of a
 * replica is its only caller.
 *
 * The core knows (index, term) of its log, not the payloads: the caller owns the entries' bytes,
 * and carries out the effects in the order persist, send, commit. Source: Ongaro, "Consensus:
 * Bridging Theory and Practice" (2014), sections named beside each rule.
 *
 * LSN: every persist effect takes the next log sequence numbers, one for a change of term or vote,
 * one for a truncation or for a checkpoint that takes the log's place, one for each entry appended,
 * in exactly that order. LSNs never repeat,
 * also across restarts. Within a stretch without truncation and hard-state change, index and LSN
 * therefore move together, and the durable index follows from the durable LSN in O(1).
 */
#ifndef KEEL_RAFT_H
#define KEEL_RAFT_H

#include "consensus/raft/raft_log.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RAFT_ID_MAX = 7,       /* replica ids are 1..7 */
    RAFT_FLIGHTS_MAX = 64, /* AppendEntries packets in flight to one peer */
    RAFT_SENDS_MAX = 16,   /* messages that one step can emit */
    RAFT_CONFIGS_MAX = 1   /* configurations kept beside the one in force: a truncation brings it
                              back, and no older one (4.1) */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* Bit i of a mask stands for replica id i. voters_new is 0 unless the configuration is joint;
 * quorum.h does the arithmetic for both. A member is (id, incarnation): another incarnation of the
 * id is nobody (pitfall 4). An id is in one of the voters' masks, or in learners, or in neither. */
struct raft_config {
    uint32_t voters;
    uint32_t voters_new;
    uint32_t learners;
    uint32_t reserved;
    uint64_t index;                        /* of the entry that set it; 0: genesis */
    uint64_t incarnation[RAFT_ID_MAX + 1]; /* of each member, else 0 */
};

struct raft_options {         /* from the genesis record (H3): alike on every replica */
    uint64_t election_min_ns; /* minimum election timeout; the maximum is twice that */
    uint64_t heartbeat_ns;
    uint64_t stall_ns;     /* no heartbeats when something waits and commit stood this long */
    uint32_t flights;      /* 1..RAFT_FLIGHTS_MAX packets in flight to a peer */
    uint32_t flight_bytes; /* bytes in flight to a peer */
};

enum raft_msg_kind {
    RAFT_PREVOTE = 1,
    RAFT_PREVOTE_REPLY,
    RAFT_VOTE,
    RAFT_VOTE_REPLY,
    RAFT_APPEND, /* count 0: heartbeat or probe */
    RAFT_APPEND_REPLY,
    RAFT_CHAIN_ASK, /* which log chain do you hold at (prev_index, prev_term)? (H6) */
    RAFT_CHAIN_TELL,
    RAFT_TIMEOUT_NOW, /* 3.10: campaign at once, this leader stands back */
    RAFT_FETCH,       /* this drive lost the entry (prev_index, prev_term): do you hold it? */
    RAFT_FETCH_REPLY  /* status 1: here it is, and what follows; 0: denied (H5) */
};

enum raft_msg_flags {
    RAFT_TOLD = 1,   /* VOTE: the leader of the term before asked for this campaign (3.10) */
    RAFT_UNABLE = 2, /* APPEND_REPLY: short of room, would not lead now (H8) */
    RAFT_CAREFUL = 4 /* PREVOTE, VOTE: this campaign spares rooms that run short (H8);
                        PREVOTE_REPLY: the replier's does, and takes part in no other */
};

enum raft_append_status {
    RAFT_APPEND_OK = 0,
    RAFT_APPEND_STALE_TERM, /* the sender's term is over */
    RAFT_APPEND_MISSING,    /* no entry at prev_index: hint_index is the last index held */
    RAFT_APPEND_CONFLICT,   /* another term at prev_index: hints skip a whole term */
    RAFT_APPEND_CHAIN,      /* same (index, term), another log chain: corruption (H6) */
    RAFT_APPEND_NO_SPACE    /* no room in ring or window for these entries */
};

/* One struct for all kinds; what a kind does not use is zero. A message always carries the term in
 * which it was earned; a granted PREVOTE_REPLY repeats the term asked for, a denied one carries the
 * replier's own. */
struct raft_msg {
    uint8_t kind; /* enum raft_msg_kind */
    uint8_t from; /* replica id */
    uint8_t to;
    uint8_t status;      /* APPEND_REPLY: enum raft_append_status; *_REPLY: 1 granted, 0 not */
    uint32_t count;      /* APPEND: entries carried, all of term entry_term, from prev_index + 1;
                            FETCH_REPLY: those of prev_term, from prev_index on */
    uint64_t term;       /* PREVOTE: the term that would be campaigned for */
    uint64_t prev_index; /* APPEND; VOTE and PREVOTE: the candidate's last index; TIMEOUT_NOW: the
                            leader's; VOTE_REPLY granted: up to here the logs agree, 0 unknown */
    uint64_t prev_term;  /* APPEND; VOTE, PREVOTE and TIMEOUT_NOW: the last term; VOTE_REPLY: of
                            that entry */
    uint64_t prev_chain; /* APPEND: log chain at prev_index (filled in by the caller), 0 unknown;
                            APPEND_REPLY with RAFT_APPEND_CHAIN: the replier's own value;
                            CHAIN_ASK, CHAIN_TELL: the sender's own value */
    uint64_t entry_term; /* APPEND with count > 0 */
    uint64_t commit;     /* APPEND: the leader's commit index */
    uint64_t match;      /* APPEND_REPLY OK: durable up to here and equal to the leader's log */
    uint64_t hint_index; /* APPEND_REPLY not OK: continue at hint_index + 1 or below; OK: held up to
                            here, durable or not, and equal to the leader's log (a slow drive is no
                            lost packet; 0 if unknown) */
    uint64_t hint_term;  /* APPEND_REPLY CONFLICT: the term that stands at prev_index */
    uint64_t probe; /* APPEND, PREVOTE: number of exactly this copy, echoed in its reply (H21); of a
                       PREVOTE's 32 bits are enough */
    uint64_t quorum_age_ns; /* APPEND: age of the leader's last quorum acknowledgement (H22) */
    uint64_t flags;         /* enum raft_msg_flags */
};

enum raft_event {
    RAFT_EV_TICK = 1, /* time passed; call at least every heartbeat_ns / 4 */
    RAFT_EV_RECV,     /* msg arrived, authenticated, sender is the configured incarnation */
    RAFT_EV_PROPOSE,  /* leader only: `count` entries were framed at last_index + 1 .. */
    RAFT_EV_DURABLE,  /* `lsn` is the new durable position */
    RAFT_EV_SENT,     /* answer to RAFT_OUT append_to: entries up to `index` went to `peer` */
    RAFT_EV_CONFIG,   /* leader: change the members to `config`, whose index is that of the
                         configuration which it replaces; out->refusal says why not */
    RAFT_EV_NO_SPACE, /* intake refused for want of ring, window or checkpoint space: counts as
                         something that waits until the next PROPOSE or commit (H8). A replica that
                         is no leader repeats it while it is short: it does not campaign within
                         twice the minimum election timeout of the last one */
    RAFT_EV_FAILED,   /* a write failed: stop voting and acknowledging for good */
    RAFT_EV_TRANSFER, /* hand the office to `peer`, 0: to the most caught-up voter; out->refused
                         says why not */
    RAFT_EV_INSTALL, /* a peer's checkpoint of (index, prev_term) is durable here: raft_install.c */
    RAFT_EV_HOLE     /* `index` is now the lowest entry that the drive has lost and no durable
                        checkpoint of its own covers; 0: none. `config`: those among the entries
                        that came back since */
};

struct raft_in {
    enum raft_event event;
    uint64_t now_ns;     /* monotone clock, any origin */
    uint64_t random;     /* fresh random bits, used for the election timeout */
    struct raft_msg msg; /* RECV */
    uint64_t chain_mine; /* RECV of APPEND, CHAIN_ASK: own log chain at msg.prev_index, 0 unknown */
    uint64_t incarnation; /* RECV: of the sender */
    bool space; /* RECV of APPEND: ring and window have room for its entries; CONFIG, and TICK while
                   a configuration is joint: for one configuration */
    bool unable; /* RECV of a heartbeat: no room for a leader's start (H8) */
    bool scarce; /* TICK, RECV of PREVOTE, VOTE, PREVOTE_REPLY: few more elections find room (H8) */
    /* CONFIG: the one that is wanted. RECV of APPEND: those among its entries, in order; index is
     * the entry's. INSTALL: the one in force at the checkpoint's index. HOLE: see there. */
    const struct raft_config *config;
    uint32_t config_count;
    uint32_t count; /* PROPOSE */
    uint64_t lsn;   /* DURABLE */
    uint8_t peer;   /* SENT, TRANSFER */
    uint64_t index; /* SENT: last index sent; first - 1 if nothing could be sent now; INSTALL: the
                       checkpoint's; HOLE: see there */
    uint32_t bytes; /* SENT */
    uint64_t prev_term; /* INSTALL: term of the entry at index */
};

/* One message to send. `lsn` is what it waits for: the gate holds it until the durable LSN is at
 * least that, and drops it when raft_send_stands() says that it is testimony no more. */
struct raft_send {
    uint64_t lsn;
    struct raft_msg msg;
};

enum raft_transfer_state {
    RAFT_TRANSFER_NONE,
    RAFT_TRANSFER_WAITING, /* for the target to hold the whole log; no proposals meanwhile */
    RAFT_TRANSFER_TOLD,    /* the word is out: no lease any more in this term (H19) */
    RAFT_TRANSFER_DONE,    /* the target leads */
    RAFT_TRANSFER_GIVEN_UP
};

enum raft_transfer_reason {
    RAFT_TRANSFER_TAKEN, /* no reason to the contrary */
    /* refused at once, nothing has changed */
    RAFT_TRANSFER_NOT_LEADER,
    RAFT_TRANSFER_SELF,      /* it leads already */
    RAFT_TRANSFER_UNDER_WAY, /* another one is */
    RAFT_TRANSFER_UNKNOWN,   /* no member of that id */
    RAFT_TRANSFER_LEARNER,   /* no voter */
    RAFT_TRANSFER_LEAVING,   /* no voter of the configuration that is to come */
    RAFT_TRANSFER_SILENT,    /* not heard within the election timeout */
    RAFT_TRANSFER_BEHIND,    /* lacks more than RAFT_TRANSFER_BEHIND_MAX entries */
    RAFT_TRANSFER_UNABLE,    /* short of room (H8) */
    RAFT_TRANSFER_NOBODY,    /* no voter is fit */
    /* given up */
    RAFT_TRANSFER_LATE,        /* not caught up in time, or nothing committed yet in this term:
                                  nothing was said, this leader goes on */
    RAFT_TRANSFER_NOT_TAKEN,   /* told and not elected in time: this leader stepped down (H19) */
    RAFT_TRANSFER_OFFICE_LOST, /* this leader was deposed meanwhile */
    RAFT_TRANSFER_REASONS
};

enum {
    /* Log entries that a target may lack: it has one election timeout to get them. */
    RAFT_TRANSFER_BEHIND_MAX = 4096,
    /* The own drive lags when a quorum's are ahead of it by more entries than this, or ahead of it
     * at all while it does not move, for as long as the patience: stall_ns, at least so many
     * heartbeats. */
    RAFT_DRIVE_LAG_MAX = 1024,
    RAFT_DRIVE_PATIENCE_HEARTBEATS = 4,
    /* A drive hands no office over within so many minimum election timeouts, or the other bound, of
     * winning it; twice as long each time that it does, up to 2^RAFT_DRIVE_RESTS_MAX times: slow
     * drives everywhere must not pass the office round for ever, and each new term gives every
     * session its time to live anew. */
    RAFT_DRIVE_REST_ELECTIONS = 10,
    RAFT_DRIVE_REST_MS = 1000,
    RAFT_DRIVE_RESTS_MAX = 6
};

/* Transfer of leadership, at the leader that hands over (raft_transfer.c); times as now_ns. */
struct raft_transfer {
    uint64_t number;         /* of the newest, from 1; counts since the start */
    uint64_t term;           /* in which it began */
    uint64_t until_ns;       /* its deadline */
    uint64_t say_at_ns;      /* the word goes out again */
    uint64_t done, given_up; /* since the start; one that was given up may yet be done */
    uint64_t by_drive;       /* begun because the own drive lags */
    uint64_t told_term;      /* as a target: the term that it was told to campaign for */
    uint64_t drive_index;    /* own durable index at the last tick ... */
    uint64_t drive_moved_ns; /* ... which last rose, or was all there is */
    uint64_t drive_level_ns; /* the own drive was last within RAFT_DRIVE_LAG_MAX of a quorum's */
    uint64_t ticked_ns;      /* the last tick as leader */
    uint32_t unable;         /* mask: peers that say they would not lead (H8) */
    uint8_t to;              /* the newest's target */
    uint8_t state;           /* enum raft_transfer_state */
    uint8_t reason;          /* enum raft_transfer_reason */
    uint8_t open;            /* 1: what becomes of it is not settled yet */
    uint8_t lease_ended;     /* leader: 1 from the first word on, to the end of the term (H19) */
    uint8_t drive_tried;     /* leader: 1 once the drive's lag has begun one in this term */
    uint8_t drive_rests;     /* doublings of the rest */
    uint8_t short_of_room;   /* follower: 1: it would not lead, as of the last heartbeat (H8) */
    uint8_t reserved[4];
};

enum raft_stop {
    RAFT_RUN = 0,
    RAFT_STOP_CHAIN = 1,   /* a leader contradicted by a blocking set (H6) */
    RAFT_STOP_OUTVOTED = 2 /* a follower alone with its chain against a quorum (H6) */
};

enum raft_refusal { /* why the members stay as they are */
                    RAFT_CHANGED = 0,
                    RAFT_REFUSED_NOT_LEADER,
                    RAFT_REFUSED_UNSETTLED, /* no entry of this leader's term is committed yet
                                               (pitfall 5) */
                    RAFT_REFUSED_PENDING,   /* the last change is not complete */
                    RAFT_REFUSED_OUTDATED, /* another configuration than the one it would replace is
                                              in force */
                    RAFT_REFUSED_INVALID,  /* no voters, joint, an id in two roles or without
                                              incarnation */
                    RAFT_REFUSED_SAME,     /* nothing would change */
                    RAFT_REFUSED_IN_PLACE, /* a member cannot become another incarnation: remove it
                                              first */
                    RAFT_REFUSED_BEHIND,   /* a new voter is no learner that has caught up */
                    RAFT_REFUSED_NO_QUORUM, /* no majority of the new voters is in contact */
                    RAFT_REFUSED_NO_ROOM    /* the log has no room for it now */
};

struct raft_out {
    /* persist, in this order */
    bool hard; /* term or vote changed: persist raft->term, raft->vote at hard_lsn */
    uint64_t hard_lsn;
    uint64_t truncate_from; /* 0: none; else entries from this index on are superseded */
    uint64_t truncate_lsn;
    uint64_t install_index; /* 0: none; else the log is given up, and goes on behind this index */
    uint64_t install_lsn;   /* valid with it */
    uint64_t append_first;  /* RECV: msg's entries append_first.. are to be stored, append_count */
    uint32_t append_count;  /* 0: none. Winning an election: 1, and the caller frames the no-op */
    uint64_t append_lsn;    /* LSN of the first of them; one each */
    bool noop;              /* append_first is this leader's own-term no-op */
    bool config; /* append_first is raft->config, which the caller frames: by CONFIG, or by TICK,
                    where a leader completes a change */
    enum raft_refusal refusal; /* CONFIG */
    /* send */
    uint32_t send_count;
    struct raft_send send[RAFT_SENDS_MAX];
    /* Peers that may be sent entries now (bit i: id i). For each the caller asks
     * raft_append_next(), packs what fits one packet, sends it, and answers with RAFT_EV_SENT
     * before the next step. That step's append_to names the same peer again while it has credit.
     * These packets wait for nothing: a leader's term is durable before it leads. */
    uint32_t append_to;
    bool serve; /* RECV of FETCH: answer with the entries that are asked for, if they can be read */
    /* commit */
    uint64_t commit; /* the commit index after this step */
    bool elected;    /* became leader in this step */
    bool deposed;    /* was leader before this step and is not now */
    enum raft_stop stop;
    enum raft_transfer_reason refused; /* TRANSFER: RAFT_TRANSFER_TAKEN, or why nothing was begun */
};

struct raft_flight {
    uint64_t last_index;
    uint64_t bytes;
};

struct raft_peer {     /* leader's view of one other replica */
    uint64_t match;    /* durable there; never moves back within one leader term */
    uint64_t next;     /* next index to send; candidate: as its vote said, 0: it has not */
    uint64_t heard_ns; /* sending time of the newest probe that it echoed; 0: none this term;
                          precandidate: of the newest pre-vote that it granted */
    uint64_t probe_echoed;
    uint64_t probing;  /* 1: one packet at a time until an acknowledgement arrives */
    uint64_t rewound;  /* first probe number after the last rewind: older refusals are stale */
    uint64_t acked_ns; /* last proof that what was sent arrived; flights older are lost */
    uint64_t starved;  /* 1: the caller had nothing to send; offered again on a later tick */
    uint64_t flight_bytes;
    uint32_t flight_head, flight_count;
    struct raft_flight flight[RAFT_FLIGHTS_MAX];
};

enum { RAFT_PROBES_KEPT = 512 }; /* sending times of the newest probes, by probe number */

struct raft {
    uint8_t id;
    uint8_t role;   /* enum raft_role */
    uint8_t vote;   /* candidate voted for in term; 0: none */
    uint8_t leader; /* leader of term as far as known; 0: unknown */
    uint8_t failed; /* 1: a write failed (sticky) */
    uint8_t stopped;
    uint8_t careful; /* candidates: 1: room runs short, here or at a voter (H8) */
    uint8_t steady;  /* careful precandidate: 1: a quorum has answered without a break since then */
    uint64_t term;
    uint64_t commit;
    struct raft_log log;
    struct raft_config config; /* the last in the log: in force, committed or not (4.1) */
    /* The one before it, committed, which a truncation would bring back; all zero while config is
     * committed itself. */
    struct raft_config previous;
    uint32_t leaving; /* leader: removed, and told so for a while */
    uint32_t reserved_3;
    uint64_t leaving_ns;       /* since when */
    uint64_t incarnation;      /* own */
    uint64_t vote_incarnation; /* of the candidate voted for in this life; 0: not known */
    struct raft_options options;

    uint64_t next_lsn; /* the next persist effect takes this */
    uint64_t durable_lsn;
    uint64_t hard_lsn; /* LSN that makes the current term and vote true */
    uint64_t base_lsn; /* since the last discontinuity, index = base_index + (lsn - base_lsn) */
    uint64_t base_index;
    uint64_t durable_floor; /* durable index known when base_lsn was taken */
    uint64_t agreed;        /* follower: log equals the current leader's up to here */
    /* The lowest entry that the drive has lost, 0: none. Its (index, term) is known and counts as
     * present wherever logs are compared; it and all behind it are absent for every testimony. */
    uint64_t hole;
    uint64_t config_stated; /* the newest configuration that a hole may hide: the one that the drive
                               spoke of at the start, or that was in force when nothing was lost */
    uint64_t hole_term;     /* in which the lowest hole was found: what it holds has not been
                               acknowledged by this replica in a later one */
    uint32_t hole_denied;   /* mask: voters that deny the hole's entry in this term */
    uint32_t settling;      /* leader: 1 while it has a hole and no entry of its term (H5) */

    uint64_t now_ns; /* of the newest step; never moves back */
    uint64_t started_ns;
    uint64_t heard_leader_ns;  /* receipt of the last packet of a current leader; 0: never */
    uint64_t timeout_at_ns;    /* election timeout */
    uint64_t leader_probe;     /* highest probe number seen from this term's leader */
    uint64_t quorum_age_ns;    /* while not leading: age of the last quorum contact ... */
    uint64_t quorum_age_at_ns; /* ... known, at this time (H22); UINT64_MAX: never */
    uint64_t quorum_heard_ns;  /* leader: sending time of the newest probe that a quorum echoed */
    uint64_t heartbeat_at_ns;
    uint64_t quorum_index; /* leader: durable on a quorum up to here, whatever its term */
    uint64_t progress_ns;  /* leader: quorum_index last advanced, or nothing waited */
    uint64_t no_space_ns;  /* last refusal for want of space; 0: it ended, or never */
    uint64_t elected_ns;
    uint64_t noop_index; /* leader: index of this term's no-op */
    uint64_t probe_next;
    uint64_t probe_sent_ns[RAFT_PROBES_KEPT];
    uint32_t granted;      /* precandidate: who granted */
    uint32_t denied;       /* candidate: who has denied it its vote */
    uint32_t contradicted; /* leader: voters that reported another chain (H6) */
    uint32_t waiting;      /* leader: 1 if something was refused for want of space (H8) */
    /* follower: the entry at which its chain differs from the leader's; index 0: none (H6) */
    uint64_t dispute_index, dispute_term;
    uint64_t dispute_chain;   /* the leader's value */
    uint32_t dispute_against; /* mask: voters that hold the leader's value */
    /* Who has voted for it in its term, itself once that is durable: at a candidate, and at a
     * precandidate that was one. */
    uint32_t votes;
    struct raft_transfer transfer;
    struct raft_peer peer[RAFT_ID_MAX + 1];
};

/* What recovery found; the log's runs must be filled in beforehand. Entries that the log no longer
 * tells the term of are committed: commit >= log.first - 1 (else recovery stops the start). */
struct raft_boot {
    uint8_t id;
    uint8_t vote;
    uint64_t term;
    uint64_t commit;      /* lower bound known durable (page headers, checkpoint) */
    uint64_t durable_lsn; /* highest LSN found; everything found is durable */
    uint64_t now_ns;
    uint64_t random;
    uint64_t incarnation;
    /* The last configurations of the log, ascending: one at or below commit alone, or the last two,
     * whose second proves that the first is committed. */
    uint32_t config_count; /* 1..RAFT_CONFIGS_MAX + 1 */
    struct raft_config config[RAFT_CONFIGS_MAX + 1];
    uint64_t hole;          /* as for RAFT_EV_HOLE */
    uint64_t config_stated; /* the newest configuration of which any page speaks (H4) */
    struct raft_options options;
    struct raft_log log;
};

/* Starts as follower. Zeroes *raft first. */
void raft_init(struct raft *raft, const struct raft_boot *boot);

/* One event in, effects out. *out is wholly overwritten where its counts say it is valid. */
void raft_step(struct raft *raft, const struct raft_in *in, struct raft_out *out);

/* The next AppendEntries for a peer of out->append_to: fills *msg (count = most entries that could
 * be sent, all of one term; prev_chain left 0) and returns true, or false when there is nothing to
 * send or no credit. The caller may send fewer entries than msg->count, then reports RAFT_EV_SENT.
 * If the index lies below the run list (raft_log_first()), prev_term and entry_term are 0 and the
 * caller reads them from the ring. */
bool raft_append_next(const struct raft *raft, uint8_t peer, struct raft_msg *msg);

/* The question for an entry that this drive has lost, to a peer: fills *send, for the gate. */
void raft_fetch(const struct raft *raft, uint8_t peer, uint64_t index, uint64_t term,
                struct raft_send *send);

/* raft_send_stands() where more has to be looked at than an acknowledgement usually asks for. */
bool raft_send_stands_yet(const struct raft *raft, const struct raft_send *send);

/* The gate's question when a message's lsn is durable: does it still say the truth? False when the
 * replica has another term by now, has failed or was stopped, has lost what it acknowledges, or
 * holds what it denies. Pre-votes promise nothing and carry a term that is not the sender's own: a
 * PREVOTE stands while its sender could still campaign for that term, a PREVOTE_REPLY always. */
static inline bool raft_send_stands(const struct raft *raft, const struct raft_send *send)
{
    bool plain = send->msg.kind == RAFT_APPEND_REPLY && send->msg.term == raft->term &&
                 raft->hole == 0 && (raft->failed | raft->stopped) == 0;
    return plain || raft_send_stands_yet(raft, send);
}

/* What a page's head has to state as the configuration in force (H4): the newest one that the drive
 * spoke of, as long as a hole may hide it. An older one in its place would let the next start take
 * itself for certain of its members. */
static inline uint64_t raft_config_stated(const struct raft *raft)
{
    bool hidden = raft->hole != 0 && raft->hole <= raft->config_stated &&
                  raft->config.index < raft->config_stated;
    return hidden ? raft->config_stated : raft->config.index;
}

/* True if this replica, this incarnation, votes under the configuration in force. */
bool raft_is_voter(const struct raft *raft);

/* A refusal in a few words, for people: "a new voter has not caught up" ... */
const char *raft_refusal_name(enum raft_refusal refusal);

/* Highest index that this replica has made durable and, as a follower, that equals the leader's. */
uint64_t raft_durable_index(const struct raft *raft);

/* Age of the last quorum contact at now_ns, as a line counts it (H22): at a leader since the
 * sending of the newest probe that a quorum echoed, at a follower what the leader said plus own
 * time since. UINT64_MAX: never. */
uint64_t raft_quorum_age_ns(const struct raft *raft, uint64_t now_ns);

/* Is this a leader that is handing over? Then it takes no proposals. */
static inline bool raft_hands_over(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && (raft->transfer.state == RAFT_TRANSFER_WAITING ||
                                         raft->transfer.state == RAFT_TRANSFER_TOLD);
}

/* What RAFT_EV_TRANSFER to `to` would be told at this moment. Changes nothing. */
enum raft_transfer_reason raft_transfer_fit(const struct raft *raft, uint8_t to);

/* What RAFT_EV_CONFIG would be told at this moment. Changes nothing. */
enum raft_refusal raft_change_fit(const struct raft *raft, const struct raft_in *in);

/* A question whose answer needs proof of leadership after it was asked (6.4). */
struct raft_read {
    uint64_t term;
    uint64_t index; /* the answer must have been applied up to here */
    uint64_t probe; /* proof is a quorum's echo of copies from this number on */
};

enum raft_read_state {
    RAFT_READ_WAITS,
    RAFT_READ_PROVEN, /* this replica led, and index was the newest commit, after the question */
    RAFT_READ_LOST    /* the term is over: ask the next leader */
};

/* Begins a read: false unless this is a leader that has committed an entry of its own term (6.4,
 * pitfall 7). Makes the next heartbeat due within a quarter of its interval. */
bool raft_read_begin(struct raft *raft, struct raft_read *read);

/* What became of it, at any later time. Nothing is kept here of reads: any number may wait. */
enum raft_read_state raft_read_state(const struct raft *raft, const struct raft_read *read);

/* When the next TICK is due at the latest; UINT64_MAX: a failed or stopped replica waits for none.
 */
uint64_t raft_next_tick_ns(const struct raft *raft);

/* Forgets log entries below first (they are behind the window and in a checkpoint);
 * first <= commit + 1. */
void raft_compact(struct raft *raft, uint64_t first);

#endif
