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
    RAFT_SENDS_MAX = 16    /* messages that one step can emit */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* Bit i of a mask stands for replica id i. voters_new is 0 unless the configuration is joint;
 * quorum.h does the arithmetic for both. Membership change is its caller's next step: the
 * arithmetic here already asks for a majority of each set. */
struct raft_config {
    uint32_t voters;
    uint32_t voters_new;
    uint32_t learners;
    uint32_t reserved;
    uint64_t index; /* log index of the entry that set it; 0: genesis */
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
    RAFT_CHAIN_TELL
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
    uint32_t count;      /* APPEND: entries carried, all of term entry_term, from prev_index + 1 */
    uint64_t term;       /* PREVOTE: the term that would be campaigned for */
    uint64_t prev_index; /* APPEND; VOTE and PREVOTE: the candidate's last index */
    uint64_t prev_term;  /* APPEND; VOTE and PREVOTE: the candidate's last term */
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
    uint64_t probe;      /* APPEND: number of exactly this copy, echoed in its reply (H21) */
    uint64_t quorum_age_ns; /* APPEND: age of the leader's last quorum acknowledgement (H22) */
};

enum raft_event {
    RAFT_EV_TICK = 1, /* time passed; call at least every heartbeat_ns / 4 */
    RAFT_EV_RECV,     /* msg arrived, authenticated, sender is the configured incarnation */
    RAFT_EV_PROPOSE,  /* leader only: `count` entries were framed at last_index + 1 .. */
    RAFT_EV_DURABLE,  /* `lsn` is the new durable position */
    RAFT_EV_SENT,     /* answer to RAFT_OUT append_to: entries up to `index` went to `peer` */
    RAFT_EV_NO_SPACE, /* intake refused for want of ring, window or checkpoint space: counts as
                         something that waits until the next PROPOSE or commit (H8). A replica that
                         is no leader repeats it while it is short: it does not campaign within
                         twice the minimum election timeout of the last one */
    RAFT_EV_FAILED,   /* a write failed: stop voting and acknowledging for good */
    RAFT_EV_INSTALL /* a peer's checkpoint of (index, prev_term) is durable here: raft_install.c */
};

struct raft_in {
    enum raft_event event;
    uint64_t now_ns;     /* monotone clock, any origin */
    uint64_t random;     /* fresh random bits, used for the election timeout */
    struct raft_msg msg; /* RECV */
    uint64_t chain_mine; /* RECV of APPEND, CHAIN_ASK: own log chain at msg.prev_index, 0 unknown */
    bool space;          /* RECV of APPEND: ring and window have room for its entries */
    uint32_t count;      /* PROPOSE */
    uint64_t lsn;        /* DURABLE */
    uint8_t peer;        /* SENT */
    uint64_t index;      /* SENT: last index sent; first - 1 if nothing could be sent now;
                            INSTALL: the checkpoint's */
    uint32_t bytes;      /* SENT */
    uint64_t prev_term;  /* INSTALL: term of the entry at index */
};

/* One message to send. `lsn` is what it waits for: the gate holds it until the durable LSN is at
 * least that, and drops it when raft_send_stands() says that it is testimony no more. */
struct raft_send {
    uint64_t lsn;
    struct raft_msg msg;
};

enum raft_stop {
    RAFT_RUN = 0,
    RAFT_STOP_CHAIN = 1,   /* a leader contradicted by a blocking set (H6) */
    RAFT_STOP_OUTVOTED = 2 /* a follower alone with its chain against a quorum (H6) */
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
    /* send */
    uint32_t send_count;
    struct raft_send send[RAFT_SENDS_MAX];
    /* Peers that may be sent entries now (bit i: id i). For each the caller asks
     * raft_append_next(), packs what fits one packet, sends it, and answers with RAFT_EV_SENT
     * before the next step. That step's append_to names the same peer again while it has credit.
     * These packets wait for nothing: a leader's term is durable before it leads. */
    uint32_t append_to;
    /* commit */
    uint64_t commit; /* the commit index after this step */
    bool elected;    /* became leader in this step */
    bool deposed;    /* was leader before this step and is not now */
    enum raft_stop stop;
};

struct raft_flight {
    uint64_t last_index;
    uint64_t bytes;
};

struct raft_peer {     /* leader's view of one other replica */
    uint64_t match;    /* durable there; never moves back within one leader term */
    uint64_t next;     /* next index to send */
    uint64_t heard_ns; /* sending time of the newest probe that it echoed; 0: none this term */
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
    uint8_t reserved[2];
    uint64_t term;
    uint64_t commit;
    struct raft_log log;
    struct raft_config config;
    struct raft_options options;

    uint64_t next_lsn; /* the next persist effect takes this */
    uint64_t durable_lsn;
    uint64_t hard_lsn; /* LSN that makes the current term and vote true */
    uint64_t base_lsn; /* since the last discontinuity, index = base_index + (lsn - base_lsn) */
    uint64_t base_index;
    uint64_t durable_floor; /* durable index known when base_lsn was taken */
    uint64_t agreed;        /* follower: log equals the current leader's up to here */

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
    uint32_t granted; /* candidates: who granted */
    uint32_t denied;
    uint32_t contradicted; /* leader: voters that reported another chain (H6) */
    uint32_t waiting;      /* leader: 1 if something was refused for want of space (H8) */
    /* follower: the entry at which its chain differs from the leader's; index 0: none (H6) */
    uint64_t dispute_index, dispute_term;
    uint64_t dispute_chain;   /* the leader's value */
    uint32_t dispute_against; /* mask: voters that hold the leader's value */
    uint32_t reserved_2;
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
    struct raft_config config;
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

/* The gate's question when a message's lsn is durable: does it still say the truth? False when the
 * replica has another term by now, has failed or was stopped. Pre-votes promise nothing and carry a
 * term that is not the sender's own: a PREVOTE stands while its sender could still campaign for
 * that term, a PREVOTE_REPLY always. */
bool raft_send_stands(const struct raft *raft, const struct raft_send *send);

/* Highest index that this replica has made durable and, as a follower, that equals the leader's. */
uint64_t raft_durable_index(const struct raft *raft);

/* Age of the last quorum contact at now_ns, as a line counts it (H22): at a leader since the
 * sending of the newest probe that a quorum echoed, at a follower what the leader said plus own
 * time since. UINT64_MAX: never. */
uint64_t raft_quorum_age_ns(const struct raft *raft, uint64_t now_ns);

/* When the next TICK is due at the latest; UINT64_MAX: a failed or stopped replica waits for none.
 */
uint64_t raft_next_tick_ns(const struct raft *raft);

/* Forgets log entries below first (they are behind the window and in a checkpoint);
 * first <= commit + 1. */
void raft_compact(struct raft *raft, uint64_t first);

#endif
