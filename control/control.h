/* The control side of one replica: handshakes, the log cursor with a second instance of the
 * machine, checkpoints, keepalives and expiry, boot entries, and requests of people that need the
 * log.
 *
 * One thread calls control_turn(): in keeld the control thread, about every millisecond; in the
 * simulator the driver, inline. It is deterministic given what it reads: time is an argument,
 * chance comes from the replica's clock (clock_secret), everything else from the links and from the
 * drive. It never waits for `seq`; reads and checkpoint writes on the drive are the blocking forms
 * of its own handle. Its only way in is a proposal through the command link (design: section 4).
 *
 * Memory is the caller's, control_size() bytes; nothing is allocated after control_init().
 */
#ifndef KEEL_CONTROL_H
#define KEEL_CONTROL_H

#include "control/suspicion.h"
#include "dataplane/auth/keys.h"
#include "dataplane/feed_exceptions.h"
#include "dataplane/replica.h"

enum {
    CONTROL_SILENT_MS = 1000,     /* default: no valid packet of a peer this long: handshake anew */
    CONTROL_CHECKPOINT_SHARE = 8, /* default: a checkpoint when 1/8 of the slots is not covered */
    CONTROL_CHECKPOINT_MS = 60000,      /* default: and this often while anything was applied */
    CONTROL_CHECKPOINT_GAP_MS = 5,      /* at least, between two */
    CONTROL_CHECKPOINT_RETRY_MS = 1000, /* after a checkpoint that failed */
    CONTROL_SEND_KIB_S = 65536,         /* default: of a checkpoint to lapped peers, all together */
    CONTROL_SEND_WINDOW = 64,           /* chunks on their way to one peer */
    CONTROL_SEND_RETRY_MS = 20,         /* without any progress: what is on its way is lost */
    CONTROL_SEND_PAUSE_MS = 1000,   /* after a refusal; and a peer so long silent is sent nothing */
    CONTROL_RECEIVE_IDLE_MS = 1000, /* without a chunk: another sender may begin, own checkpoints
                                       take the area again */
    CONTROL_RECEIVE_FLUSH = 64 << 10, /* default: bytes gathered before they go to the drive ... */
    CONTROL_RECEIVE_FLUSH_MS = 100,   /* ... or so long after the last that did */
    CONTROL_SCRUB_PAGES_S = 100,      /* default: pages read back and judged each second */
    CONTROL_SCRUB_IN_FLIGHT = 8,      /* of them at once */
    CONTROL_NOTICES_MAX = 64,         /* notices taken in one turn */
    CONTROL_SPANS_MS = 2,           /* pause between questions for the log while it does not grow */
    CONTROL_SPANS_LOST_MS = 100,    /* an answer that did not come is asked for again */
    CONTROL_EXPIRIES_MAX = 16,      /* expiries proposed in one turn */
    CONTROL_EXPIRE_SCAN_MS = 20,    /* how often sessions are looked over */
    CONTROL_PROPOSE_RETRY_MS = 500, /* boot or expiry proposed and not applied: again */
    CONTROL_DIGESTS_MS = 500,       /* how often digests are told */
    CONTROL_LOCKS_MS = 250,         /* how often locks are counted, for people */
    CONTROL_MEMBERS_MS = 500,       /* how often the members are told */
    CONTROL_TRIPS_MS = 100,         /* how often round trips are measured */
    CONTROL_FOUNDERS_MS = 50,       /* how often founders without a record are looked after */
    CONTROL_AUTOPILOT_MS = 20,      /* how often the autopilot looks */
    CONTROL_DIGESTS_KEPT = 64,      /* own digests kept for each step */
    CONTROL_REQUESTS = 16,          /* admin requests under way */
    CONTROL_REQUEST_MS = 5000,      /* answered "timed out" (outcome unknown) after this */
    CONTROL_BODY_MAX = 512,         /* bytes of a proposed entry's body */
    CONTROL_QUERIES = 256,          /* questions about nodes that wait for their index */
    CONTROL_QUERY_MS = 1000,        /* and no longer: the client asks again */
    CONTROL_PROBLEM_SIZE = 200
};

struct control_options {
    struct replica *replica;
    struct disk *disk;                 /* own handle (depth 1 or more), same file as the writer's */
    const struct genesis *genesis;     /* stays the caller's */
    const struct ring_recovery *found; /* needed only during control_init() */
    const struct machine *machine;     /* as handed to replica_init(); copied */
    const struct feed_exceptions *exceptions; /* up to machine->applied; copied */
    uint64_t chain;                           /* log chain at machine->applied */
    uint64_t page;                            /* page that holds machine->applied (0: none does) */
    uint64_t cluster_id, boot, boot_id;
    bool founding;              /* the record came by agreement: founders may still lack it */
    uint64_t founding_boot;     /* starts before the genesis record */
    const struct keyring *keys; /* stays the caller's, constant; until control_rekey() */
    /* 0: the defaults above */
    uint32_t silent_ms;
    uint32_t checkpoint_ms;
    uint32_t checkpoint_send_kib_s;
    uint32_t scrub_pages_s;
    uint32_t receive_flush;
    uint64_t checkpoint_pages;
};

/* --- requests of people, from another thread ---------------------------------------------------
 */

enum control_request_kind {
    CONTROL_PROPOSE, /* an entry */
    CONTROL_TRANSFER,
    CONTROL_STEP_DOWN, /* a transfer to the most caught-up, and no campaign soon after */
    CONTROL_READ,
    CONTROL_LOOK,    /* at control's own machine */
    CONTROL_TRY,     /* PROPOSE, on a copy of the state: nothing is proposed */
    CONTROL_SNAPSHOT /* a checkpoint of all that is applied by now, if none covers it */
};

enum control_look { LOOK_SESSIONS, LOOK_LOCKS, LOOK_NODE };

enum { CONTROL_LOOK_BYTES = 4096 }; /* of one answer */

struct control_look_sessions { /* body of a LOOK at sessions, or at the locks of one */
    uint64_t after;            /* what comes behind it: an id, or `asked`; 0: from the beginning */
    uint64_t session;          /* this one alone; 0: all */
    uint32_t principal;        /* its own alone; 0: everybody's */
    uint32_t reserved;
    char name[KEEL_NAME_MAX + 1]; /* of that name alone; empty: whatever it is */
};

struct control_session_row { /* the answer is an array of them, by rising id */
    uint64_t session, epoch, last, acked;
    uint64_t heard_ms; /* since its owner's last packet, at the leader; UINT64_MAX: not known */
    uint32_t principal, ttl_ms;
    uint32_t rate;                           /* messages a second that it may submit; 0: no limit */
    uint16_t window, handles, held, waiting; /* locks that it holds, and waits for */
    uint8_t end_reason;                      /* enum session_end_reason; 0: alive */
    uint8_t suspended;
    uint8_t reserved[10];
    char name[KEEL_NAME_MAX + 1];
};
_Static_assert(sizeof(struct control_session_row) == 104, "no padding");

struct control_lock_row { /* a lock that the session holds or waits for, by rising `asked` */
    uint64_t node;        /* instance */
    uint64_t asked, generation;
    uint8_t state; /* enum handle_state */
    uint8_t mode;  /* enum lock_mode */
    char path[KEEL_PATH_MAX + 1];
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct control_lock_row) == 160, "no padding");

struct control_request {
    uint64_t tag; /* the asker's, comes back in the reply */
    uint64_t was; /* ENTRY_CONFIG: index of the configuration that it is to replace */
    uint8_t entry_kind;
    uint8_t kind; /* enum control_request_kind */
    uint8_t to;   /* TRANSFER: replica id, 0: the most caught-up */
    uint8_t look; /* LOOK: enum control_look; body: struct control_look_sessions, or a struct
                     packet_query and its path */
    bool read;    /* LOOK: of a leader that a quorum confirms after the question */
    bool dry;     /* TRANSFER, STEP_DOWN, PROPOSE of ENTRY_CONFIG: only whether it would be begun */
    uint16_t size;
    uint32_t timeout_ms; /* at most CONTROL_REQUEST_MS; 0: that */
    uint8_t body[CONTROL_BODY_MAX];
};

enum control_result {
    CONTROL_APPLIED,    /* PROPOSE: committed and applied here; `status` says what the machine
                           decided. TRANSFER: `leader` leads `term`, `index` is committed as far as
                           this replica knows. READ: what is published from now on shows at least
                           `index`, at a leader of `term` */
    CONTROL_NOT_LEADER, /* definitely not proposed; `leader` names the one to ask, 0 unknown */
    CONTROL_BUSY,       /* definitely not proposed: no room, or the leader is not open yet */
    CONTROL_UNCHANGED,  /* members: definitely not proposed; `status` is the enum raft_refusal */
    CONTROL_LOST,       /* another leader's entry took its place: definitely not done */
    CONTROL_TIMED_OUT,  /* outcome unknown: it may still be committed. TRANSFER: not done in time;
                           `status` is an enum raft_transfer_reason */
    CONTROL_REFUSED,    /* TRANSFER: nothing was begun; `status` is an enum raft_transfer_reason */
    CONTROL_NO_QUORUM   /* READ: no quorum confirmed the leadership in time */
};

struct control_reply {
    uint64_t tag;
    uint64_t index, term;
    uint64_t
        value; /* APPLIED: of an operator's operation; of a probe: ns from appending to applying */
    uint32_t leader;
    uint8_t result; /* enum control_result */
    uint8_t status; /* enum machine_status, or as the result says */
    bool repeated;  /* APPLIED: the request was decided before: index, status, value are those */
    bool more;      /* LOOK: there is more than fits */
    uint16_t size;  /* LOOK: bytes; rows, or a struct packet_answer and what follows it */
    uint8_t reserved[6];
    uint8_t bytes[CONTROL_LOOK_BYTES];
};

struct control_digest_mark {
    uint64_t index; /* 0: none */
    uint64_t digest;
};

/* Why the autopilot does what it does at this moment, or nothing; what people ask first. */
enum autopilot_why {
    AUTOPILOT_WHY_OFF,        /* it is switched off */
    AUTOPILOT_WHY_FOLLOWER,   /* the leader judges, and this replica does not lead */
    AUTOPILOT_WHY_WATCHING,   /* leads, or sees a majority again, for less than dead_ms */
    AUTOPILOT_WHY_WELL,       /* all voters are heard */
    AUTOPILOT_WHY_SILENT,     /* `about` is silent, and not yet dead */
    AUTOPILOT_WHY_CHANGE,     /* a change of members is not complete */
    AUTOPILOT_WHY_SETTLING,   /* `about` is dead; the last change is younger than stabilise_ms */
    AUTOPILOT_WHY_TOO_FEW,    /* `about` is dead; too few others are heard to be sure of a quorum */
    AUTOPILOT_WHY_NO_STANDBY, /* `about` is dead, and no standby is named */
    AUTOPILOT_WHY_NOT_READY,  /* `about` is dead; no standby is caught up and heard so long */
    AUTOPILOT_WHY_DRY_RUN,    /* `about` is dead; dry-run has told what would be done */
    AUTOPILOT_WHY_DECIDING,   /* `about` is dead; the decision is being committed */
    AUTOPILOT_WHY_REPLACING,  /* ... the change of members is */
    AUTOPILOT_WHY_REFUSED,    /* the leader refused that change, for `refusal`; tried again */
    AUTOPILOT_WHY_WITHDRAWING, /* what the decision said about `about` is no longer so */
    AUTOPILOT_WHY_RETURNING,   /* `about`, which was replaced, is back and becomes a standby */
    AUTOPILOT_WHY_COUNT
};
/* In a few words, for people; and as a stable word, for programs. */
const char *autopilot_why_text(enum autopilot_why why);
const char *autopilot_why_name(enum autopilot_why why);

struct autopilot_status {
    struct machine_autopilot state; /* as applied here */
    uint32_t why;                   /* enum autopilot_why */
    uint32_t about;                 /* replica id; 0: nobody */
    uint32_t refusal;               /* enum raft_refusal */
    uint32_t standby;               /* DECIDING: who is to take the place of `about` */
    uint64_t proposed;              /* decisions, since start */
    uint64_t changes;               /* changes of members asked for */
    uint64_t watched_ns;            /* a leader's: it has looked without a break for so long */
    /* of each member, by a leader: not heard for so long; heard and caught up for so long */
    uint64_t silent_ns[KEEL_REPLICA_MAX + 1], steady_ns[KEEL_REPLICA_MAX + 1];
};

/* What a peer seems to be, from here: suspicion.h. */
struct detector_view {
    uint64_t since_ns;  /* clock of control_turn(): the state began */
    uint64_t silent_ns; /* since its last valid packet, in time that was listened */
    uint64_t usual_ns;  /* the longest usual gap between its beats */
    uint32_t suspicion; /* silence in thousandths of that */
    uint8_t state;      /* enum detector_state */
    uint8_t reasons;    /* enum detector_reason */
    bool judged;        /* a member, and not this replica itself */
    uint8_t reserved;
};

/* What control shows; published once a turn, read by anybody through control_status(). */
struct control_status {
    uint64_t applied, feed_next, digest;      /* of its own instance */
    uint32_t nodes, locks_held, lock_waiters; /* counted every CONTROL_LOCKS_MS */
    uint32_t reserved_3;
    uint64_t log_ns, log_utc_ns;               /* ... as its newest entry has them */
    uint64_t checkpoint_index[2];              /* [0] newest verified, [1] the other; 0: none */
    uint64_t checkpoint_sequence;              /* of the newest */
    uint64_t checkpoints, checkpoint_failures; /* written since start */
    uint64_t checkpoint_bytes;                 /* of the newest */
    uint64_t checkpoint_at_ns;                 /* clock of control_turn() */
    /* checkpoints to and from others */
    uint64_t chunks_sent, chunks_received, chunks_malformed; /* packets */
    uint64_t chunks_repeated;                                /* sent again, for want of progress */
    uint64_t transfers_begun, transfers_resumed;             /* here, as the receiver */
    uint64_t transfer_index, transfer_have, transfer_size;   /* being received; 0: none */
    uint64_t installed;                                      /* since start */
    /* The last one since start, or the one that this start began with: the log begins behind that
     * index, the feed's history at that number of that day. 0: none. */
    uint64_t installed_index, installed_feed;
    uint32_t installed_from; /* replica; 0: it was on the drive */
    char installed_day[KEEL_DAY_NAME_SIZE];
    uint8_t send_refused[KEEL_REPLICA_MAX + 1]; /* enum packet_checkpoint_reason of a lapped peer */
    uint64_t handshakes_begun, handshakes_done; /* associations installed, both roles */
    uint64_t handshake_reject[HANDSHAKE_REJECT_COUNT];
    uint64_t keepalives, keepalives_answered, expiries_proposed, boots_proposed;
    uint64_t events_told, queries, queries_answered, dues_proposed;
    uint32_t keepalives_held, queries_waiting; /* now */
    uint64_t pages_read, read_errors;          /* of the log cursor */
    /* the scrub: pages judged and found bad, passes over the ring; copies of superblock, genesis
     * and checkpoint that were bad and are good again; tries to write a page anew that failed */
    uint64_t scrubbed, scrub_bad, scrub_passes, copies_repaired, restore_failures;
    uint64_t scrub_page;      /* where it stands */
    uint32_t checkpoints_bad; /* areas that hold no intact checkpoint; a new one goes there */
    uint32_t reserved_2;
    uint64_t requests, commands_full;
    uint64_t backups;        /* taken since start */
    uint64_t digests_equal;  /* digests of others that were compared and are alike */
    uint32_t digest_differs; /* bit i: the last one of replica i is another */
    /* The last digests of each replica, this one's among them, and this one's own at the same index
     * (0: not known any more, or not yet). */
    struct control_digest_mark digest_told[KEEL_REPLICA_MAX + 1][PACKET_DIGESTS];
    uint64_t digest_own[KEEL_REPLICA_MAX + 1][PACKET_DIGESTS];
    uint32_t reserved;
    /* Of each replica, this one among them; 0: not known. trips.c says what they are. */
    uint64_t trip_ns[KEEL_REPLICA_MAX + 1];  /* round trip to it from here */
    uint64_t way_ns[KEEL_REPLICA_MAX + 1];   /* its round trip to a majority of voters */
    uint64_t drive_ns[KEEL_REPLICA_MAX + 1]; /* what its drive takes for a page */
    uint64_t stall_ns[KEEL_REPLICA_MAX + 1]; /* longest that its loop stood in the last second or
                                                two; 0: not known */
    /* So many times as slow as the median of all; 0: no slower than others. */
    uint32_t link_slow[KEEL_REPLICA_MAX + 1], drive_slow[KEEL_REPLICA_MAX + 1];
    struct detector_view peer[KEEL_REPLICA_MAX + 1];
    uint64_t peer_changes;      /* of grades, since start */
    uint64_t transfers_by_link; /* asked for here, because a voter's way is so much shorter */
    struct autopilot_status autopilot;
    char problem[CONTROL_PROBLEM_SIZE]; /* what goes wrong at the moment; empty: nothing */
};

struct control;

size_t control_size(const struct control_options *options);
/* Sets up control in page-aligned memory of any content. NULL with *problem (CONTROL_PROBLEM_SIZE)
 * if it can't be. The first handshakes go out with the first turn. */
struct control *control_init(void *memory, const struct control_options *options, char *problem);

/* One turn; returns the amount of work done (0: nothing was waiting). */
uint32_t control_turn(struct control *control, uint64_t now_ns);

/* Hands a request over: false when CONTROL_REQUESTS are under way. One thread asks and collects. */
bool control_ask(struct control *control, const struct control_request *request);
/* The next reply, false: none yet. Every request gets exactly one. */
bool control_answer(struct control *control, struct control_reply *reply);

/* --- other root keys, from another thread: one exchange at a time ------------------------------
 */

struct control_rekey {
    const struct keyring *keys; /* constant */
    /* Principals whose associations end: a key that they were made with may be withdrawn. */
    uint32_t ended_count;
    uint32_t ended[KEYRING_MAX + KEEL_REPLICA_MAX];
};

/* Offers other keys. *rekey stays as it is until control_rekey_done(), its keys until those of the
 * next exchange are in use; both stay the caller's. */
void control_rekey(struct control *control, const struct control_rekey *rekey);
/* True once control has begun with what was offered: new handshakes use these keys. */
bool control_rekey_taken(const struct control *control);
/* Takes the offer back; false: control has begun with it. */
bool control_rekey_withdraw(struct control *control);
/* True once the old keys are in no use any more and seq was told whom to forget. */
bool control_rekey_done(const struct control *control, const struct control_rekey *rekey);

/* --- a backup, from another thread: one at a time ----------------------------------------------
 */

/* Has the state encoded at control's next turn, at whatever index that stands (backup_file.h). What
 * was held before is given up. Not while one is wanted and not yet held. */
void control_backup_want(struct control *control);
/* The bytes of it, constant until the next control_backup_want(); NULL: not yet. */
const uint8_t *control_backup_held(const struct control *control, uint64_t *size);

/* A consistent copy of what was published; any thread. */
void control_status(const struct control *control, struct control_status *status);
/* The same for who must not wait: false after so many tries, then *status is half-written. */
bool control_status_try(const struct control *control, struct control_status *status, int tries);

/* Control's own machine, for checks on the thread that calls control_turn() (simulator, tests). */
const struct machine *control_machine(const struct control *control);

/* Wipes key material (handshake state). The replica and the disk stay the caller's. */
void control_stop(struct control *control);

#endif
