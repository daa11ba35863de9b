/* clang-format off */
/* One replica: the one struct that role `seq` owns, and the table of its links to the other roles.
 *
 *   role     thread's work                           reads from           writes to
 *   seq      receive, auth, step, apply, send        port queue 0         port queue 0, all links
 *   disk     ring_disk_turn(): submits, reaps        ring (closed pages)  durable LSN
 *   feed     feed_turn(): lines, requests            items, requests      port queue 1, done index
 *   aux      ring_aux_turn(): rereads, zeroes ahead  ring (requests)      ring (answers), zeroed to
 *   control  control_turn(): not a polling core      notices, chunks      commands, chunks, offer
 *
 * Which thread runs which role is configuration; links are the same when roles share one.
 * Everything here is set up before the first turn, and nothing is allocated after.
 */
/* clang-format on */
#ifndef KEEL_REPLICA_H
#define KEEL_REPLICA_H

#include "consensus/machine/machine.h"
#include "consensus/raft/raft.h"
#include "dataplane/auth/auth.h"
#include "dataplane/clock.h"
#include "dataplane/feed.h"
#include "dataplane/frame.h"
#include "dataplane/gate.h"
#include "dataplane/intake.h"
#include "dataplane/links.h"
#include "dataplane/members.h"
#include "dataplane/metrics.h"
#include "dataplane/port.h"
#include "dataplane/ring/ring.h"
#include "dataplane/spsc.h"

enum { REPAIR_TAG = 16 }; /* tags of rereads: a peer's catch-up has its id, a repair this + id */

enum {
    REPLICA_APPLY_MAX = 64,        /* entries applied in one turn */
    REPLICA_COMMANDS_MAX = 8,      /* control commands taken in one turn */
    REPLICA_PACKETS_PER_PEER = 16, /* AppendEntries packets to one peer in one turn */
    REPLICA_OUTBOX = 64,           /* frames gathered before they go to the port */
    REPLICA_MARK = 16,             /* the machine's digest is noted at its multiples, for control */
    CATCH_UP_PAGES = 8,            /* read ahead for one peer; all peers' fit RING_READS_MAX */
    REPLICA_ANSWERS = 32,          /* sessions answered in one turn */
    REPLICA_READS = 16,            /* reads that wait for proof */
    REPLICA_DRAIN_ELECTIONS = 10,  /* longest election timeouts without a leader, after which one
                                      that is drained would rather lead than nobody */
    REPLICA_CHUNKS_MAX = 64        /* packets of checkpoints taken from control in a millisecond */
};

#define REPLICA_READ_NS UINT64_C(5000000000) /* a read that was not proven is forgotten then */

struct replica_options {
    uint32_t id;
    uint32_t silent_ms; /* a peer that was silent this long wants a new handshake */
    uint64_t incarnation, boot, boot_id;
    const struct genesis *genesis; /* stays the caller's, constant */
    struct port *port;
    struct clock *clock;
    struct ring *ring;
    struct feed_options feed;
    uint32_t ip; /* own address, host order */
    uint16_t udp_port, feed_request_port;
    uint32_t prefix, gateway;
    /* what recovery found */
    const struct ring_recovery *found;
    /* A machine that has applied some prefix of the log (checkpoint plus replay), of machine_size()
     * bytes; the replica copies it. */
    const struct machine *machine;
    /* Configurations of entries that the log holds above that prefix, ascending. */
    const struct members *tail_configs;
};

/* A result packet that is being filled in this turn. */
struct answer {
    uint32_t slot; /* session slot */
    uint32_t run_count;
    uint64_t session;
    char day[KEEL_DAY_NAME_SIZE]; /* of its results; zeros: an earlier one, whose name is gone */
    struct port_frame frame;
};

/* Pages of the log on their way from the drive to a peer, in order. */
struct catch_up_page {
    uint64_t number;      /* of the page */
    uint64_t first, last; /* live entries wanted of it */
    bool here;
    struct ring_read read; /* here: until it is released */
};

struct catch_up {
    uint32_t count;
    struct catch_up_page page[CATCH_UP_PAGES];
};

struct replica_read { /* a question that waits for proof of leadership */
    uint64_t tag;
    uint64_t until_ns;
    bool begun;
    struct raft_read raft;
};

/* What the drive has lost, on its way back: repair.c. One page at a time. */
enum repair_state { REPAIR_IDLE, REPAIR_GATHERS, REPAIR_OFFERED };
struct repair {
    uint32_t state;     /* enum repair_state */
    uint32_t only;      /* whose answers count: after a bad one each member's alone; 0: anybody's */
    uint64_t from;      /* pages below wait: a try at one of them failed */
    uint64_t moved_ns;  /* begun, or an entry came */
    uint64_t ask_at_ns; /* the peers are asked again */
    uint64_t not_before_ns;           /* a try failed: none before this */
    uint64_t next;                    /* index wanted */
    uint64_t pages, failures, served; /* since the start: written anew; tries; packets to others */
    struct { /* what a peer asked for is being read back; index 0: nothing is */
        uint64_t index, term;
    } serving[RAFT_ID_MAX + 1];
    uint64_t offered, obeyed; /* jobs so far: seq -> control, control -> seq */
    struct repair_job job;
};

struct outbox {
    uint32_t count;
    uint32_t reserved;
    struct port_frame frame[REPLICA_OUTBOX];
};

/* What a peer of one incarnation has testified to this replica: the highest term that it stated to
 * have made durable, whom it voted for in it (0: not told), and how far it acknowledged in it
 * (H13). */
struct witness {
    uint64_t incarnation;
    uint64_t term, index;
    uint8_t vote;
    uint8_t reserved[7];
};

/* Round trips to a peer, and what it tells of itself with its answers. */
struct replica_trip {
    uint64_t count;       /* answers since the start */
    uint64_t ns;          /* the newest round trip */
    uint64_t heard_ns;    /* when */
    uint64_t majority_ns; /* its own round trip to a majority of voters; 0: not known */
    uint64_t drive_ns;    /* what its drive takes for a page; 0: not known */
    uint64_t stall_ns;    /* the longest that its loop stood of late; 0: not known */
    uint64_t beats;       /* PINGs and PONGs from it since the start, answers among them */
};

/* What status shows; published by seq, read by anybody through replica_status(). */
struct replica_status {
    uint64_t now_ns, turns;
    uint64_t term, commit, applied, last_index, first_index, durable_index;
    uint64_t last_lsn, durable_lsn;
    uint64_t digest, digest_index, feed_next, quorum_age_ns, started_ns;
    uint64_t mark_index, mark_digest; /* at the newest multiple of REPLICA_MARK; index 0: none */
    uint64_t peer_match[RAFT_ID_MAX + 1], peer_heard_ns[RAFT_ID_MAX + 1];
    /* of each peer: last valid packet under an association (0: none), and what it testified */
    uint64_t assoc_heard_ns[RAFT_ID_MAX + 1];
    uint64_t assoc_incarnation[RAFT_ID_MAX + 1]; /* whose packet that was */
    uint64_t peer_incarnation[RAFT_ID_MAX + 1];
    uint64_t peer_boot[RAFT_ID_MAX + 1], peer_boot_id[RAFT_ID_MAX + 1]; /* of that incarnation */
    struct witness witness[RAFT_ID_MAX + 1];
    struct replica_trip trip[RAFT_ID_MAX + 1];
    uint64_t drive_ns; /* what the own drive takes for a page; 0: not known */
    uint64_t stall_ns; /* the longest that the own loop stood of late */
    /* The configuration in force at its log index, committed or not. */
    struct entry_config config;
    uint64_t config_index;
    uint64_t noop_index;            /* leader: of this term's no-op */
    uint64_t probe_index, probe_ns; /* its newest ENTRY_PROBE: from appending to applying */
    uint64_t drive_lag_ns; /* leader: a quorum's drives are ahead of its own, which stood so long */
    struct raft_transfer transfer;
    uint32_t lapped;   /* leader: bit i: replica i needs a checkpoint */
    uint32_t drained;  /* bit i: replica i is not to lead */
    uint32_t settling; /* leader: it has a hole, and appends nothing before that is settled (H5) */
    uint64_t hole;     /* the lowest entry that the drive lost and no checkpoint covers; 0: none */
    uint64_t hole_denied; /* leader: mask: voters that deny it */
    uint64_t pages_repaired, repair_failures;
    uint32_t handshake_wanted; /* bit i: this side should begin a handshake with replica i */
    uint32_t role, leader, vote, failed, stopped, sessions, day_open, stale;
    uint32_t start_again; /* stopped, and nothing but a start is wanted */
    char day[KEEL_DAY_NAME_SIZE];
    char reserved[6];
    char why[160]; /* stopped: why */
    struct ring_stats ring;
};

struct replica {
    uint32_t id;
    uint32_t stopped; /* 1: no vote, no acknowledgement, no message any more; why says it */
    char why[160];
    bool start_again; /* stopped for a start that reads from the drive what memory lacks */
    struct replica_options options;

    /* time, read once a turn */
    uint64_t now_ns, utc_ns;
    uint32_t utc_error_ns;
    uint32_t proposing;  /* entries framed since the last PROPOSE */
    uint64_t drained_ns; /* the port was last seen empty: what comes now arrived since */
    uint64_t random_state;
    uint64_t started_ns;

    /* what peers said of themselves: highest boot (H2), testimony (H13) */
    uint64_t peer_incarnation[RAFT_ID_MAX + 1]; /* that the boots belong to */
    uint64_t peer_boot[RAFT_ID_MAX + 1], peer_boot_id[RAFT_ID_MAX + 1];
    struct witness witness[RAFT_ID_MAX + 1];

    struct replica_trip trip[RAFT_ID_MAX + 1];
    uint64_t stood_ns[2], stood_until_ns; /* longest that the loop stood: in this second, before */
    uint64_t majority_ns; /* own round trip to a majority, as control reckons; 0: not known */

    struct members members;            /* as raft has them, with addresses */
    const struct entry_config *wanted; /* during step_change() */
    struct raft raft;
    struct raft_out out; /* scratch of the current step */
    struct gate gate;
    struct intake *intake;
    struct machine *machine;
    struct machine_outcome outcome; /* scratch of the current apply */
    struct auth_table *auth;
    struct frame_host *host;
    struct port *port;
    struct ring *ring;
    struct clock *clock;
    struct feed *feed;

    /* log time of this leader's term (design: section 7, Time) */
    uint64_t log_base_ns, log_base_at_ns;
    uint64_t last_utc_ns, last_log_ns; /* of the newest entry in the log */
    uint64_t probe_index, probe_ns;    /* see replica_status */

    struct catch_up catch_up[RAFT_ID_MAX + 1]; /* peers behind the window */
    struct repair repair;
    bool catching_up; /* some queue may hold pages: looked at when leadership is gone */
    uint32_t lapped;  /* bit i: the log no longer reaches back to what replica i lacks */

    uint64_t steps_down;        /* number of the transfer that is a step-down; 0: none */
    uint64_t abstains_until_ns; /* no campaign before this */

    uint32_t read_count;
    struct replica_read read[REPLICA_READS];

    uint64_t mark_index, mark_digest; /* as in the status */
    uint64_t noted_done;              /* index up to which window pages were given back */
    uint64_t line_from; /* entries above are shown on the line; UINT64_MAX: not known yet */
    bool space_told;    /* raft knows that something waits for space (H8) */

    struct outbox outbox;
    uint32_t answer_count;
    struct answer answer[REPLICA_ANSWERS];

    /* links */
    struct spsc notices;               /* seq -> control */
    struct spsc commands;              /* control -> seq */
    struct spsc chunks_out, chunks_in; /* control -> seq, seq -> control */
    struct checkpoint_offer *offer;    /* control's, read between the two counts: install.c */
    uint64_t offered, obeyed;          /* offers so far: control -> seq, seq -> control */
    struct checkpoint_offer *taking;   /* being taken over: waits for the feed to let go */

    /* stage sampling: one message in flight at a time is timed */
    struct {
        uint64_t index, received_ns, appended_ns, durable_ns, committed_ns, applied_ns, lsn;
    } sample;

    struct metrics metrics;

    uint64_t status_version; /* odd while being written */
    uint64_t status_at_ns;
    struct replica_status status;
};

/* Bytes (page-aligned) of everything above but the ring's memory. */
size_t replica_memory_size(const struct genesis *genesis);

/* Sets up a replica in memory of that size and of any content. NULL with *problem (160 bytes) if it
 * can't be. */
struct replica *replica_init(void *memory, const struct replica_options *options, char *problem);

/* The feed's memory (feed_size()) is the caller's, so that it can lie near the feed's core. */
void replica_attach_feed(struct replica *replica, void *memory);

/* A consistent copy of the published status; any thread. */
void replica_status(const struct replica *replica, struct replica_status *status);

/* Called by seq once a turn; writes at most every millisecond. */
void replica_publish(struct replica *replica);
/* The longest that the loop stood in this second and the one before: no turn came. */
uint64_t replica_stall_ns(const struct replica *replica);

/* A fault that must not be survived in silence: stops voting, acknowledging and sending for good.
 */
void replica_stop(struct replica *replica, const char *why);

/* --- steps of the turn, each in the file of its name ---------------------------------------------
 */

/* receive.c: one burst from the port, dispatched. */
HOT uint32_t receive_burst(struct replica *r);

/* step.c: the only caller of raft_step(): carries out its effects in order persist, send, commit.
 * `entries` are the bytes that came with an APPEND. */
HOT void step_peer(struct replica *r, const struct raft_msg *msg, uint64_t incarnation,
                   const uint8_t *entries, size_t size);
HOT uint32_t step_propose(struct replica *r); /* tells raft of the entries that intake framed */
HOT uint32_t step_durable(struct replica *r);
uint32_t step_tick(struct replica *r);
void step_no_space(struct replica *r); /* intake or follower had no room: something waits (H8) */
/* Changes the members to *wanted, where the configuration of index `was` is in force. Returns the
 * index of the entry, 0 when refused. */
uint64_t step_change(struct replica *r, const struct entry_config *wanted, uint64_t was,
                     enum raft_refusal *refusal);
/* What that would be refused for; changes nothing. */
enum raft_refusal step_change_fit(const struct replica *r, const struct entry_config *wanted,
                                  uint64_t was);
enum raft_transfer_reason step_transfer(struct replica *r, uint8_t to);
void step_sent(struct replica *r, uint8_t peer, uint64_t index, uint32_t bytes);
/* Stamps and takes an entry of this leader whose head and body are framed at `entry`. */
HOT void step_append(struct replica *r, struct entry *entry);
/* The checkpoint r->taking is durable: true if the log gave way to it. */
bool step_install(struct replica *r);
/* Tells raft of the lowest hole, and of configurations that came back. */
void step_hole(struct replica *r, uint64_t hole, const struct raft_config *config, uint32_t count);
/* The newest entry's stamps: what this replica, as leader, continues from. */
void replica_note_stamps(struct replica *r);

/* replicate.c: fills flights to the peers. */
HOT uint32_t replicate(struct replica *r);
HOT void replicate_send(struct replica *r, struct port_frame *frame, struct raft_msg *msg,
                        uint32_t bytes);

/* catch_up.c: the same for a peer whose next entry, index, lies behind the window. */
uint32_t catch_up_arrived(struct replica *r);
uint32_t catch_up(struct replica *r, uint8_t peer, uint64_t index);
void catch_up_done(struct replica *r, uint8_t peer); /* the peer has reached the window */

/* repair.c: pages that the drive has lost come back from peers. Once a millisecond. */
uint32_t repair_turn(struct replica *r);
/* A page cannot be read: damage that was found while running. */
void repair_damaged(struct replica *r, uint64_t page);
/* Raft and ring agree on what is lost; after whatever may have changed it. */
void repair_tell(struct replica *r);
/* Entries that a peer sends, and the question of a peer that raft lets be answered. */
void repair_entries(struct replica *r, const struct raft_msg *msg, const uint8_t *entries);
void repair_serve(struct replica *r, const struct raft_msg *ask);
/* A page was read back for repair_serve(). */
void repair_read(struct replica *r, const struct ring_read *read);
/* The chain that a hole has swallowed, from an AppendEntries; false: that must not be taken, since
 * nothing says what it would follow. */
bool repair_chain(struct replica *r, const struct raft_msg *msg, const uint8_t *entries);
/* Entry `index` is not in memory: it is lost, or was when memory was filled. */
void repair_blocks(struct replica *r, uint64_t index);
/* Control's side: the job that waits, NULL: none; and its end. */
struct repair_job *repair_job(struct replica *r);
void repair_job_done(struct replica *r);

/* apply.c: committed entries go through the machine; results and feed items come out. */
HOT uint32_t apply(struct replica *r);

/* answer.c: results to clients, gathered per session within a turn. */
HOT void answer_runs(struct replica *r, const struct machine_session *session,
                     const struct packet_result_run *runs, uint32_t count);
/* The same to a principal that does not own the session, or when there is none. */
void answer_stranger(struct replica *r, uint32_t principal, const struct entry_messages *messages,
                     const struct packet_result_run *run);
void answer_session(struct replica *r, uint32_t principal, uint64_t request, uint8_t answers,
                    uint8_t status, const struct machine_session *session, uint64_t index);
void answer_redirect(struct replica *r, uint32_t principal, uint64_t request, uint8_t answers,
                     uint8_t reason);
HOT uint32_t answer_flush(struct replica *r);

/* send.c: one datagram out, by way of auth and frame into the outbox. */
/* A frame with room for a packet body at send_body(); false (counted) if there is none. */
HOT bool send_begin(struct replica *r, struct port_frame *frame);
static inline void *send_body(const struct port_frame *frame)
{
    return frame->data + FRAME_HEADS_SIZE + KEEL_PACKET_HEAD_SIZE;
}
/* Seals body_size bytes for a principal and queues the frame; the frame is gone either way. */
HOT void send_sealed(struct replica *r, struct port_frame *frame, uint32_t principal, uint8_t kind,
                     size_t body_size);
void send_raw(struct replica *r, const struct frame_address *to, uint16_t from_port,
              const void *payload, uint32_t size);
HOT void send_peer(void *replica, const struct raft_msg *msg); /* a gate_release_fn */
HOT uint32_t send_flush(struct replica *r);
HOT void send_frame(struct replica *r, struct port_frame *frame);

/* leadership.c: transfers and reads. */
void leadership_transfer(struct replica *r, const struct command *command);
void leadership_read(struct replica *r, uint64_t tag);
uint32_t leadership_turn(struct replica *r);
/* The office is gone. */
void leadership_lost(struct replica *r);
/* Is this one, which does not lead, to keep out of elections? It then behaves as one that is short
 * of room (H8): it says so, declines to be handed the office, and does not campaign. It votes. */
bool leadership_abstains(const struct replica *r);
/* May what rests on this replica's lease of that term still leave? (H19) */
bool leadership_lease(const struct replica *r, uint64_t term);

/* install.c: a peer's checkpoint in the place of what this replica has. Once a millisecond. */
uint32_t install_turn(struct replica *r);
/* Control's side: offers a checkpoint, and asks whether seq is done with it. */
void install_offer(struct replica *r, struct checkpoint_offer *offer);
bool install_done(const struct replica *r);

/* command.c: what control asks for. */
uint32_t command_turn(struct replica *r);
/* Packets of checkpoints that control has for others; once a millisecond, like the status. */
uint32_t chunks_turn(struct replica *r);
/* A record to fill and push; NULL (counted) when the link is full. */
struct notice *notice_begin(struct replica *r, enum notice_kind kind);
/* A handshake or keepalive goes to control; false (counted) when the link is full. */
bool notice_datagram(struct replica *r, const struct frame_datagram *datagram);
bool notice_keepalive(struct replica *r, uint32_t principal, const struct packet_keepalive *body);
bool notice_query(struct replica *r, uint32_t principal, const void *body, size_t size);
/* body: a struct packet_digests of replica `from`. */
bool notice_digests(struct replica *r, uint32_t from, const void *body);
/* body: a struct packet_members in form. */
bool notice_members(struct replica *r, const void *body);
/* A packet of a checkpoint from replica `from`. */
bool notice_chunk(struct replica *r, uint32_t from, uint8_t kind, const void *body, size_t size);

#endif
