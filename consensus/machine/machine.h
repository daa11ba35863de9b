/* The replicated state machine: sessions, nodes and locks, the trading day, boots, feed numbers,
 * digest.
 *
 * machine_apply() decides: a message is sequenced (takes the next feed number) or refused when its
 * committed entry is applied, by this code, alike on every replica. Pure: no clock, no allocation;
 * time is the entry's. One block of memory, laid out by machine_size(); position-independent, so
 * that a copy is memcpy. `seq` owns one instance; control owns a second one, fed from the same log.
 */
#ifndef KEEL_MACHINE_H
#define KEEL_MACHINE_H

#include "consensus/ensure.h"
#include "consensus/wire/entry.h"
#include "consensus/wire/genesis.h"
#include "consensus/wire/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum machine_status {
    MACHINE_SEQUENCED = 0, /* message: has a feed number; session request: done */
    /* outcomes of a message or a node operation that consume its number */
    MACHINE_DAY_CLOSED = 1,       /* message: no trading day is open */
    MACHINE_DONE = 2,             /* node operation: done; its value stands in `feed` */
    MACHINE_QUEUED = 3,           /* acquire: waits; an event tells the grant */
    MACHINE_NO_NODE = 4,          /* no node of that path, parent or instance */
    MACHINE_NODE_EXISTS = 5,      /* open that is to create it */
    MACHINE_NOT_ALLOWED = 6,      /* the node's access list does not give that right */
    MACHINE_CHANGED = 7,          /* compared with another generation than the one in force */
    MACHINE_NOT_EMPTY = 8,        /* delete: it has children */
    MACHINE_LOCK_BUSY = 9,        /* held by another session, or its lock-delay is not over */
    MACHINE_NOT_HELD = 10,        /* release: neither held nor waited for */
    MACHINE_NODE_TABLE = 11,      /* busy: no room for another node */
    MACHINE_HANDLE_LIMIT = 12,    /* busy: no handle left, of the session or of all */
    MACHINE_WAITER_LIMIT = 13,    /* busy: the lock's queue is full */
    MACHINE_STALE_SEQUENCER = 14, /* message: the lock is no longer held that way */
    MACHINE_NOT_OPEN = 15,        /* acquire, release, close: the session has no handle on it */
    /* refusals that change nothing */
    MACHINE_DUPLICATE = 16,      /* already decided; its kept result says how */
    MACHINE_DIFFERENT = 17,      /* the same number with another content: a definite error */
    MACHINE_UNKNOWN = 18,        /* the record of that number or session is gone */
    MACHINE_GAP = 19,            /* not last + 1 */
    MACHINE_WINDOW = 20,         /* beyond acknowledged + W */
    MACHINE_EPOCH = 21,          /* not the session's current epoch */
    MACHINE_NOT_OWNER = 22,      /* another principal's session (H17) */
    MACHINE_SESSION_ENDED = 23,  /* the record is kept and its results can still be asked for */
    MACHINE_SESSION_EXISTS = 24, /* open: the name is in use; the answer names session and epoch */
    MACHINE_SESSION_TABLE = 25,  /* busy: no room for another session */
    MACHINE_SESSION_LIMIT = 26,  /* busy: this principal has its share */
    MACHINE_NOT_EXPIRED = 27,    /* expiry before its time, of another epoch, or of an old term */
    MACHINE_DAY_STATE = 28,      /* day end without an open day, begin within one, name reused */
    MACHINE_BOOT_OLD = 29,       /* a lower boot counter, or an equal one with another id (H2) */
    MACHINE_BAD_ENTRY = 30,
    MACHINE_SUSPENDED = 31, /* message: consumes its number: an operator has suspended its session,
                               or its principal */
    MACHINE_RESTRAINT_TABLE = 32, /* busy: no room for another session or principal held back */
    MACHINE_NO_LEADER_LEFT = 33   /* drain: no voter would be left that may lead */
};

/* The word for a status as people, JSON and metrics see it: "sequenced", "stale-epoch" ... */
const char *machine_status_name(enum machine_status status);

struct machine_kept { /* result of one number, kept for the last W */
    uint64_t feed;    /* feed number, 0 unless sequenced; of a node operation its value */
    uint64_t utc_ns;
    uint64_t hash; /* of kind, payload and sequencer */
    uint32_t utc_error_ns;
    uint16_t status; /* enum machine_status */
    uint16_t day;    /* low bits of day_count when it was decided */
};

/* Doubly linked lists over slots; 0 is none, else slot + 1. */
struct machine_list {
    uint32_t first, last;
};
struct machine_link {
    uint32_t prev, next;
};

struct machine_session {
    uint64_t id;    /* log index of its opening entry; 0: slot unused */
    uint64_t epoch; /* log index of the last open or resume */
    uint64_t process;
    uint64_t last;         /* last number consumed */
    uint64_t acked;        /* highest acknowledged number seen in an entry */
    uint64_t began_log_ns; /* log time of the last open or resume */
    uint64_t ended_log_ns; /* 0: alive; else from 1 */
    uint32_t principal;    /* its owner, not 0 */
    uint32_t ttl_ms;
    uint16_t window;
    uint16_t end_reason; /* enum session_end_reason, 0: alive */
    uint32_t ended_next; /* slot + 1 of the session that ended next after this one; 0: none */
    char name[KEEL_NAME_MAX + 1];
    struct machine_list handles; /* by `asked` */
    uint32_t handle_count;
    uint32_t
        rate; /* messages a second that intake takes; 0: no limit. What follows from `operated` */
    uint8_t suspended; /* 1: its messages are refused. Likewise */
    uint8_t reserved[7];
    struct machine_kept kept[KEEL_SESSION_WINDOW_MAX]; /* number n at n % WINDOW_MAX */
};
_Static_assert(sizeof(struct machine_kept) == 32, "two results share a cache line");
_Static_assert(offsetof(struct machine_session, kept) == 128, "kept results start a cache line");
_Static_assert(sizeof(struct machine_session) % 64 == 0, "sessions start a cache line");

enum machine_node_list { /* a node's links; NODES_* name the lists' heads in other structs */
                         NODE_IN_ALL = 0,      /* struct machine.nodes, by rising instance */
                         NODE_IN_SIBLINGS = 1, /* the parent's children, by rising instance */
                         NODE_IN_DUE = 2,      /* struct machine.due */
                         NODE_LISTS = 3
};

struct machine_node {
    uint64_t id;                 /* instance: log index of its creation; NODE_ROOT; 0: unused */
    uint64_t content_generation; /* writes, the first content is the first */
    uint64_t acl_generation;
    uint64_t lock_generation; /* log index at which the lock last went from free to held */
    uint64_t delay_log_ns;    /* lock-delay: nobody gets the lock before; 0: none */
    uint64_t content_index;   /* log index of the last such change, 0: none yet */
    uint64_t added_index;
    uint64_t removed_index;
    uint64_t conflict_index; /* of the last request in the way of a holder */
    uint64_t added;          /* children, since it was created */
    uint64_t removed;
    uint64_t conflicts;
    uint32_t parent; /* slot; the root: its own */
    uint32_t child_count;
    uint32_t handle_count;
    uint32_t holders;
    uint32_t waiters;
    uint16_t content_size;
    uint8_t path_size;
    uint8_t acl_count;
    uint8_t lock_mode; /* enum lock_mode */
    uint8_t ephemeral;
    uint8_t due; /* stands in struct machine.due */
    uint8_t reserved[5];
    struct machine_link link[NODE_LISTS];
    struct machine_list children;
    struct machine_list handles; /* by `asked` */
    struct machine_list queue;   /* waiting handles, by `asked` */
    char path[KEEL_PATH_MAX + 1];
    uint8_t content[KEEL_CONTENT_MAX];
    struct node_right acl[KEEL_ACL_MAX];
    uint8_t pad[16];
};
_Static_assert(sizeof(struct machine_node) == 640, "ten cache lines");

enum handle_state { HANDLE_OPEN = 0, HANDLE_WAITS = 1, HANDLE_HOLDS = 2 };

enum handle_end { /* why a wait or a hold ended without the session's doing */
                  HANDLE_TIMED_OUT = 1,
                  HANDLE_BROKEN = 2 /* released by an operator */
};

enum machine_handle_list {
    HANDLE_IN_ALL = 0, /* struct machine.handles; all four by rising `asked` */
    HANDLE_IN_SESSION = 1,
    HANDLE_IN_NODE = 2,
    HANDLE_IN_QUEUE = 3,
    HANDLE_LISTS = 4
};

/* A session's handle on a node: at most one for each pair. */
struct machine_handle {
    uint64_t session; /* id; 0: slot unused */
    uint64_t node;    /* instance; stays when the node is gone */
    uint64_t opened;  /* log index */
    uint64_t asked;   /* log index of the open, or of the acquire that had to wait: no two alike */
    uint64_t generation;      /* held: the lock's */
    uint64_t deadline_log_ns; /* waiting: until then; UINT64_MAX: without end */
    uint64_t granted_index;   /* log index at which a wait was granted, last; 0: never */
    uint64_t held_index; /* ... since which it is held, after a wait or at once; 0: it is not */
    uint64_t
        ended_index; /* ... at which the last wait or hold ended for end_reason; 0: it did not */
    uint64_t invalid_index; /* ... at which the node was deleted; 0: it is there */
    uint32_t session_slot;
    uint32_t node_slot; /* while invalid_index is 0 */
    uint32_t delay_ms;
    uint8_t state;      /* enum handle_state */
    uint8_t mode;       /* waiting, held: enum lock_mode */
    uint8_t events;     /* wanted */
    uint8_t end_reason; /* enum handle_end */
    struct machine_link link[HANDLE_LISTS];
};
_Static_assert(sizeof(struct machine_handle) == 128, "two cache lines");

/* What operators have done; machine_operator.c. */
enum { MACHINE_REQUESTS_KEPT = 64, MACHINE_RESTRAINTS_MAX = 64 };

struct machine_request { /* what became of it at first */
    uint64_t id[2];
    uint64_t hash; /* of the whole request: an id stands for one */
    uint64_t index;
    uint64_t value;
    uint32_t status; /* enum machine_status */
    uint32_t operation;
};
_Static_assert(sizeof(struct machine_request) == 48, "kept request");

struct machine_restraint { /* a session, or all of a principal, is held back */
    uint64_t session;      /* id; 0: the principal's */
    uint32_t principal;    /* 0 with a session */
    uint32_t rate;         /* messages a second; 0: no limit */
    uint32_t suspended;    /* 1, or 0 */
    uint32_t reserved;
};
_Static_assert(sizeof(struct machine_restraint) == 24, "restraint");

struct machine_operated {
    uint64_t requests; /* so far; the newest stands at (requests - 1) % MACHINE_REQUESTS_KEPT */
    uint32_t drained;  /* bit i: member i is not to lead; never all voters */
    uint32_t restraints;
    struct machine_restraint restraint[MACHINE_RESTRAINTS_MAX]; /* by their beginning */
    struct machine_request request[MACHINE_REQUESTS_KEPT];
};

enum decision_state {
    DECISION_OPEN = 1,      /* the change of members is to follow */
    DECISION_DONE = 2,      /* ... by the configuration of index ended_index; or nothing had to */
    DECISION_WITHDRAWN = 3, /* at ended_index, for `reason` */
    DECISION_OVERTAKEN = 4, /* people changed the members otherwise, at ended_index */
    DECISION_DRY = 5        /* dry-run: that would have been it */
};

enum { MACHINE_DECISIONS = 16 }; /* kept, the newest */

struct machine_decision { /* of the autopilot: REPLACE or RETURN, as its entry stated it */
    uint64_t index;       /* of the entry; 0: none */
    uint64_t term;
    uint64_t log_ns, utc_ns;
    uint64_t was; /* the configuration that was judged */
    uint64_t voter_incarnation, standby_incarnation;
    uint64_t behind;
    uint64_t ended_index; /* 0: open */
    uint32_t silent_ms, steady_ms;
    uint32_t well;
    uint8_t action, voter, standby;
    uint8_t state;  /* enum decision_state */
    uint8_t reason; /* WITHDRAWN: enum autopilot_withdrawal */
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct machine_decision) == 96, "decision");

/* Who may replace whom: settings by people, decisions by a leader, both by entry. A standby is a
 * learner that is named here; a configuration that makes it a voter, or takes it out, ends that. */
struct machine_autopilot {
    uint64_t revision;       /* index of the settings in force; 0: nobody has set any */
    uint64_t changed_log_ns; /* log time at which the members changed last */
    uint32_t mode;           /* enum autopilot_mode */
    uint32_t dead_ms, stabilise_ms;
    uint32_t standbys; /* mask */
    uint32_t replaced; /* mask: learners that lost their vote by a decision */
    uint32_t reserved;
    uint64_t decisions; /* made so far; the newest stands at (decisions - 1) % MACHINE_DECISIONS */
    struct machine_decision decision[MACHINE_DECISIONS];
};

struct machine {
    uint64_t size; /* of the whole block */
    uint64_t cluster_id;
    uint64_t applied; /* index of the last entry applied */
    uint64_t applied_term;
    uint64_t utc_ns; /* of the last entry */
    uint64_t log_ns;
    uint64_t noop_term; /* term and log time of the latest no-op */
    uint64_t noop_log_ns;
    uint64_t digest;        /* running hash over everything decided */
    uint64_t feed_next;     /* next feed number of the day, from 1 */
    uint64_t day_count;     /* days begun, the genesis day included */
    uint32_t day_open;      /* 1: messages are sequenced */
    uint32_t session_count; /* slots in use, alive or kept */
    char day[KEEL_DAY_NAME_SIZE];
    uint8_t reserved[6];
    uint64_t boot[KEEL_REPLICA_MAX + 1];
    uint64_t boot_id[KEEL_REPLICA_MAX + 1];
    uint64_t boot_incarnation[KEEL_REPLICA_MAX + 1];
    struct entry_config config; /* in force by the log; genesis at first */
    uint64_t config_index;
    /* from genesis, the numbers that apply reads */
    uint32_t sessions_max;
    uint32_t sessions_per_principal;
    uint32_t window_max;
    uint32_t ttl_min_ms;
    uint32_t ttl_max_ms;
    uint32_t session_retain_ms;
    uint32_t rho_ppm;
    uint32_t table_mask;   /* of the two hash indexes */
    uint32_t table_offset; /* bytes from the start of this struct */
    uint32_t sessions_offset;
    uint32_t ended_first; /* slot + 1 of the session that ended first of those kept; 0: none */
    uint32_t ended_last;
    uint32_t seeds; /* how often this state was carried into a new cluster */
    /* Index at which it was, last; 0: never. Ids, epochs and generations that are given out from
     * then on are log indexes above it, and no earlier cluster of this line ever gave one out that
     * high: see machine_seed(). */
    uint64_t seed_index;
    /* nodes and locks; from genesis */
    uint32_t nodes_max;
    uint32_t handles_max;
    uint32_t handles_per_session;
    uint32_t waiters_max;
    uint32_t lock_delay_max_ms;
    uint32_t node_count;
    uint32_t handle_count;
    uint32_t node_mask; /* of the two hash indexes of nodes */
    uint32_t handle_mask;
    uint32_t node_tables_offset;
    uint32_t handle_tables_offset;
    uint32_t nodes_offset;
    uint32_t handles_offset;
    uint32_t reserved1;
    struct machine_list nodes;
    struct machine_list handles;
    struct machine_list due; /* nodes with a lock-delay or a queue, in any order */
    struct machine_operated operated;
    struct machine_autopilot autopilot;
    /* tables follow, at table_offset: uint32_t by_id[table_mask + 1] and by_name[table_mask + 1]
     * (slot + 1, 0: empty), uint32_t owner[sessions_max] (principal, 0: slot unused); at
     * sessions_offset: struct machine_session[sessions_max]; at node_tables_offset: uint32_t
     * by_id[node_mask + 1], by_path[node_mask + 1], then a bit for each slot in use; at
     * handle_tables_offset: by_pair[handle_mask + 1] and bits; at nodes_offset and handles_offset
     * the structs themselves */
};

/* What apply decided, in a form that intake, feed and answers use. Valid until the next apply. */
struct machine_outcome {
    uint64_t index;
    uint8_t kind;   /* enum entry_kind */
    uint8_t status; /* of a session request, day, boot entry; of messages see runs */
    uint16_t run_count;
    uint32_t slot;        /* session that the sender may know of, UINT32_MAX: none. Set also when a
                             request of its owner is refused, never with NOT_OWNER */
    uint64_t value;       /* of an operator's operation */
    uint64_t repeats;     /* index at which this operator's request was first decided; 0: here */
    uint64_t feed_before; /* feed_next before this entry */
    uint64_t feed_after;
    bool day_ended, day_began;
    bool nodes_touched; /* something that handles may have events of has changed */
    bool session_ended; /* this entry ended a session; the end took feed number feed_before. An
                           end while no day is open takes no number and leaves this false */
    /* messages: runs of consecutive numbers with one status; the k-th block of the entry belongs to
     * the number entry.number + k. utc is 0 unless the run consumed its numbers. A DUPLICATE run
     * says nothing of the first decision: ask machine_runs(). Only the first run_count are set. */
    struct packet_result_run run[KEEL_SESSION_WINDOW_MAX];
};

/* Bytes for a machine under these limits. */
size_t machine_size(const struct genesis *genesis);

/* Initialises memory of machine_size() bytes (any content; 64-byte aligned) to index 0. */
void machine_init(struct machine *machine, const struct genesis *genesis);

/* Applies the entry with index applied + 1; entry_check() has passed, entry is 8-byte aligned.
 *
 * Every entry moves applied, log and wall time (neither ever back) and the digest. A message is
 * sequenced iff its session exists, the entry's principal owns it, it is alive, the epoch is the
 * current one, its number is last + 1 and <= the number acknowledged in this entry + W, a day is
 * open, and no operator has suspended it; the first of these that fails names the status. Whatever
 * the order of statuses, only a number that passes all but the last two of them is consumed (H15).
 *
 * A node operation passes the same checks but the day's, takes its number, and is then done or
 * refused. A message with a sequencer is refused unless at its own place in the order that lock is
 * held in that mode at that generation; whatever clocks did meanwhile.
 *
 * An entry other than messages first forgets the ended sessions whose retention is over. END by the
 * owner and KILL by a replica's principal end a session, also once more (done, changes nothing).
 * Entries that only a leader proposes (expiry, days, boots, configuration) are refused with
 * NOT_OWNER when a client's principal stands on them. */
HOT void machine_apply(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome);

/* Session by id or by (principal, name), alive or kept; NULL: none. By name: the alive one, else
 * the one that ended last. `name` is zero-terminated. Both O(1). */
HOT const struct machine_session *machine_session(const struct machine *machine, uint64_t id);
const struct machine_session *machine_session_named(const struct machine *machine,
                                                    uint32_t principal, const char *name);
/* Slot 0..sessions_max-1 of a session that one of the two returned; and back (NULL: unused). */
HOT uint32_t machine_slot(const struct machine *machine, const struct machine_session *session);
HOT const struct machine_session *machine_session_at(const struct machine *machine, uint32_t slot);

/* The kept result of a number, or NULL if it is not among the last W consumed. */
HOT const struct machine_kept *machine_kept(const struct machine_session *session, uint64_t number);

/* Writes the kept results of numbers first..last as runs (at most max); returns how many. Numbers
 * whose record is gone, or that are not consumed yet, get runs of status MACHINE_UNKNOWN. */
HOT uint32_t machine_runs(const struct machine_session *session, uint64_t first, uint64_t last,
                          struct packet_result_run *runs, uint32_t max);

/* Hash of one message's content, as kept: 64 bits, against accidents only. `kind` is the entry's;
 * `sequencer` is NULL but for a fenced message. */
HOT uint64_t machine_message_hash(uint8_t kind, const void *payload, size_t size,
                                  const struct entry_sequencer *sequencer);

/* --- nodes and locks ----------------------------------------------------------------------------
 * Node by instance or by path, alive; NULL: none. O(1). */
HOT const struct machine_node *machine_node(const struct machine *machine, uint64_t id);
const struct machine_node *machine_node_at_path(const struct machine *machine, const char *path,
                                                size_t size);
/* The node's parent; the root's is itself. The first child with an instance above `after`. */
const struct machine_node *machine_node_parent(const struct machine *machine,
                                               const struct machine_node *node);
const struct machine_node *machine_node_child(const struct machine *machine,
                                              const struct machine_node *node, uint64_t after);
/* What this principal may do with the node: enum node_rights; a replica's everything. */
uint32_t machine_node_rights(const struct machine_node *node, uint32_t principal);

/* The session's handle on a node's instance; NULL: none. O(1). */
const struct machine_handle *machine_handle(const struct machine *machine, uint64_t session,
                                            uint64_t node);
/* The handle of the session, or of the node, behind `handle` (NULL: the first); NULL: no more. */
const struct machine_handle *machine_handle_of_session(const struct machine *machine,
                                                       const struct machine_session *session,
                                                       const struct machine_handle *handle);
const struct machine_handle *machine_handle_of_node(const struct machine *machine,
                                                    const struct machine_node *node,
                                                    const struct machine_handle *handle);

/* Whether the lock is held in exactly that mode at exactly that generation. */
HOT bool machine_sequencer_holds(const struct machine *machine,
                                 const struct entry_sequencer *sequencer);

/* The newest decision of the autopilot, or the n-th before it; NULL: none such is kept. */
const struct machine_decision *machine_decision(const struct machine_autopilot *autopilot,
                                                uint32_t before);

/* Locks that are held, and handles that wait for one. */
void machine_count_locks(const struct machine *machine, uint32_t *held, uint32_t *waiting);
/* The log time from which on an ENTRY_DUE would change something; UINT64_MAX: none would. */
uint64_t machine_due_log_ns(const struct machine *machine);

/* What happened on the session's handles behind `after` (all zero: from the beginning), in order
 * (packet_event_before()), at most `max`; returns how many. Each kind of event of a node is told
 * once, by its last occurrence, with a value that says how many there were; so nothing is lost by
 * being late, and nothing has to be kept for it. */
uint32_t machine_events(const struct machine *machine, const struct machine_session *session,
                        const struct packet_event_place *after, struct packet_event *events,
                        uint32_t max);

/* What an operator's request of that id has come to, if it is among the last
 * MACHINE_REQUESTS_KEPT; else NULL. */
const struct machine_request *machine_request(const struct machine *machine, const uint64_t id[2]);
/* Whether that member is not to lead. */
HOT static inline bool machine_drained(const struct machine *machine, uint32_t replica)
{
    return (machine->operated.drained >> replica & 1) != 0;
}

/* Hash over the whole canonical state, the running digest included: equal on every replica at the
 * same index. Reads every session: for checkpoints and checks, not for the loop. */
uint64_t machine_fingerprint(const struct machine *machine);

/* Canonical, versioned encoding (the caller adds the checksum: a checkpoint file has CRC32C over
 * it). Slots that are unused take no room. encode returns bytes written, 0 if cap is too small;
 * machine_encoded_max() is enough for any state under this genesis record. decode into memory of
 * machine_size(genesis), 64-byte aligned: NULL, or why the bytes are refused, in a few words; then
 * the machine is as machine_init() leaves it. A decoded machine has the fingerprint of the encoded
 * one and decides alike from there on. */
/* 1: members had no addresses; 2: no seed; 3: no nodes; 4: no autopilot; 5: no operators */
enum { MACHINE_ENCODING_VERSION = 6 };
size_t machine_encoded_max(const struct genesis *genesis);
size_t machine_encode(const struct machine *machine, void *bytes, size_t cap);
const char *machine_decode(struct machine *machine, const struct genesis *genesis,
                           const void *bytes, size_t size);
/* The version that encoded bytes state; 0: they are no machine's state. */
uint32_t machine_encoded_version(const void *bytes, size_t size);

/* Carries a state over into the cluster that `genesis` founds (a record of version 2 with one
 * founder and the limits of the state's own cluster), as if its log had gone on to
 * lineage.seed_index with one entry:
 *
 * - the trading day ends, and the record's begins: numbers from 1, under a name that is another;
 * - the only member is the founder, no boot of anybody is known, and the autopilot is off;
 * - every alive session gets a new epoch, the seed's index: what an older life sends is refused
 *   (H15, H16), and its handles and locks are given up as by a resume. Last numbers and kept
 *   results stay, and nodes.
 *
 * NULL, or why it cannot be, in a few words; then nothing was changed. */
const char *machine_seed(struct machine *machine, const struct genesis *genesis);

/* The feed's message for a session end (taken by the number feed_before of an outcome with
 * session_ended): what an envelope line carries as payload. Big-endian like the envelope. */
struct machine_session_end_message { /* 48 bytes */
    uint8_t session[8];
    uint8_t last[8];                  /* last number consumed */
    uint8_t principal[4];             /* the owner */
    uint8_t reason[4];                /* enum session_end_reason */
    char name[KEEL_NAME_MAX + 1 - 8]; /* first 24 bytes, padded with zeros */
};
_Static_assert(sizeof(struct machine_session_end_message) == 48, "session end message");

/* Fills the message of a session that has ended (machine_session_at() of the outcome's slot). */
void machine_session_end_fill(const struct machine_session *session,
                              struct machine_session_end_message *message);

#endif
