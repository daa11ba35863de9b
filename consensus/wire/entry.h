/* A log entry: framed and checksummed once, at the leader. The same bytes lie in the window, go to
 * the drive, travel in AppendEntries and are read back at recovery. All integers little-endian.
 *
 * An entry of kind ENTRY_MESSAGES is what one client packet brought: `count` messages of one
 * session with consecutive numbers. It is one unit for log, ring and replication; apply decides
 * message by message. ENTRY_NODE has the same body with one block, the operation: it takes a number
 * of the session like a message, and is done exactly once like one.
 *
 * ENTRY_OPERATOR carries such an operation too, or another wish, of somebody who has no session.
 *
 * Layout: struct entry (48 bytes), body, zero padding to a multiple of 8. `size` counts all three.
 * crc is CRC32C over bytes [4, size). entry_check() judges form only, never the crc (consensus
 * computes no CRC; dataplane/crc32c.h does).
 */
#ifndef KEEL_WIRE_ENTRY_H
#define KEEL_WIRE_ENTRY_H

#include "consensus/ensure.h"
#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_kind {
    ENTRY_NOOP = 1,           /* first entry of a leader's term */
    ENTRY_MESSAGES = 2,       /* client messages */
    ENTRY_SESSION_OPEN = 3,   /* opens a session by name */
    ENTRY_SESSION_RESUME = 4, /* takes an open session over by name */
    ENTRY_SESSION_END = 5,    /* clean end by its owner, or kill by an operator */
    ENTRY_SESSION_EXPIRE = 6, /* proposed by the leader's control for a silent session */
    ENTRY_DAY_END = 7,        /* ends the trading day: end of session on every line */
    ENTRY_DAY_BEGIN = 8,      /* begins a day: new name, feed numbers from 1 */
    ENTRY_BOOT = 9,           /* a replica's boot counter and boot id */
    ENTRY_CONFIG = 10,        /* cluster configuration: voters old and new, learners */
    ENTRY_NODE = 11,          /* one operation on a node or its lock */
    ENTRY_DUE = 12,           /* proposed by the leader's control: lock delays and waits are over */
    ENTRY_OPERATOR = 13,      /* what an operator asked the leader's control for */
    ENTRY_AUTOPILOT = 14,     /* the autopilot's settings, or one of its decisions */
    ENTRY_PROBE = 15          /* a person asks whether entries commit: changes nothing */
};

enum { ENTRY_VERSION = 1 };

struct entry {
    uint32_t crc;          /* CRC32C of bytes [4, size) */
    uint16_t size;         /* head + body + padding, multiple of 8, 48..KEEL_ENTRY_MAX */
    uint8_t kind;          /* enum entry_kind */
    uint8_t version;       /* ENTRY_VERSION */
    uint64_t index;        /* log index, from 1 (0 is the genesis record) */
    uint64_t term;         /* term of the leader that framed it */
    uint64_t utc_ns;       /* stamped once at the leader, never decreasing along the log */
    uint64_t log_ns;       /* log time (design: base + elapsed); judges leases and delays */
    uint32_t utc_error_ns; /* the leader clock's known error bound; UINT32_MAX: unknown */
    uint32_t principal;    /* authenticated sender; a replica's id for the leader's own entries */
};
_Static_assert(sizeof(struct entry) == KEEL_ENTRY_HEAD_SIZE, "entry head");
_Static_assert(offsetof(struct entry, index) == 8, "entry index");
_Static_assert(offsetof(struct entry, principal) == 44, "entry principal");

/* The highest session number of an entry's first message: number + count never wraps. */
#define ENTRY_NUMBER_MAX (UINT64_MAX - KEEL_SESSION_WINDOW_MAX)

struct entry_noop {
    uint32_t leader; /* replica id */
    uint32_t reserved;
    uint64_t incarnation; /* of the leader */
};
_Static_assert(sizeof(struct entry_noop) == 16, "no-op entry");

/* Followed by count blocks: uint16_t length (LE), payload[length]; no padding between blocks. A
 * payload has at least one byte: an empty block on a `raw` feed line means a session's end. */
struct entry_messages {
    uint64_t session; /* log index of the opening entry */
    uint64_t epoch;   /* log index of the last open or resume */
    uint64_t number;  /* session number of the first message, 1..ENTRY_NUMBER_MAX */
    uint64_t acked;   /* all results up to this number have reached the client */
    uint16_t count;   /* 1..KEEL_SESSION_WINDOW_MAX */
    uint16_t bytes;   /* of the blocks, without padding; <= KEEL_BLOCKS_MAX */
    uint16_t flags;   /* ENTRY_FENCED: a struct entry_sequencer stands behind the blocks */
    uint16_t reserved;
};
_Static_assert(sizeof(struct entry_messages) == KEEL_MESSAGES_HEAD_SIZE, "messages head");

enum { ENTRY_FENCED = 1 };

enum lock_mode { LOCK_FREE = 0, LOCK_EXCLUSIVE = 1, LOCK_SHARED = 2 };

/* What a lock's holder shows to prove that it holds it (Chubby, 2.4: a sequencer). Valid exactly
 * while that lock is held in that mode at that generation. */
struct entry_sequencer {
    uint64_t node;       /* instance */
    uint64_t generation; /* log index at which the lock went from free to held, so never reused */
    uint8_t mode;        /* EXCLUSIVE or SHARED */
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct entry_sequencer) == KEEL_SEQUENCER_SIZE, "sequencer");

enum node_operation {
    NODE_OPEN = 1,    /* a handle on the node of that path; creates the node where asked to */
    NODE_CLOSE = 2,   /* gives the handle back, and with it the lock or the place in its queue */
    NODE_SET = 3,     /* writes the content, whole */
    NODE_DELETE = 4,  /* of a node without children */
    NODE_ACL = 5,     /* replaces who may do what */
    NODE_ACQUIRE = 6, /* the lock, or a place in its queue */
    NODE_RELEASE = 7  /* the lock, or the place in its queue */
};

enum node_flags {
    NODE_CREATE = 1,    /* OPEN: if there is none */
    NODE_EXCLUSIVE = 2, /* OPEN with CREATE: refused if there is one */
    NODE_EPHEMERAL = 4, /* OPEN with CREATE: it goes with its last handle */
    NODE_TRY = 8,       /* ACQUIRE: now or not at all */
    NODE_COMPARE = 16   /* SET, DELETE, ACL: only at the generation `compare` */
};

enum node_rights { NODE_READ = 1, NODE_WRITE = 2, NODE_CHANGE = 4 };

struct node_right {     /* ACL: up to KEEL_ACL_MAX of them are the content */
    uint32_t principal; /* a client; 0: every client */
    uint32_t rights;    /* NODE_READ | NODE_WRITE | NODE_CHANGE; not 0 */
};
_Static_assert(sizeof(struct node_right) == 8, "right");

enum node_event { /* bits of `events`; the others of packet_event_kind need no asking */
                  NODE_EVENT_CONTENT = 1,
                  NODE_EVENT_ADDED = 2,
                  NODE_EVENT_REMOVED = 4,
                  NODE_EVENT_LOCKED = 8,
                  NODE_EVENT_CONFLICT = 16,
                  NODE_EVENTS_ALL = 31
};

/* The block of an ENTRY_NODE: then path_size bytes of path, then content_size bytes. A path is "/"
 * (the root, always there) or components of graphic ASCII, each behind a '/'. */
struct entry_node {
    uint8_t operation;
    uint8_t mode;          /* ACQUIRE: enum lock_mode */
    uint8_t events;        /* OPEN: those wanted */
    uint8_t flags;         /* enum node_flags */
    uint16_t path_size;    /* OPEN: 1..KEEL_PATH_MAX */
    uint16_t content_size; /* OPEN with CREATE, SET: 0..KEEL_CONTENT_MAX; ACL */
    uint64_t node;         /* all but OPEN: its instance */
    uint64_t compare;      /* with COMPARE: the generation that must be in force */
    uint32_t delay_ms;     /* ACQUIRE: nobody gets the lock so long after an unclean end */
    uint32_t wait_ms;      /* ACQUIRE: at most so long in the queue; NODE_WAIT_ENDLESS */
};
_Static_assert(sizeof(struct entry_node) == 32, "node operation");
#define NODE_WAIT_ENDLESS UINT32_MAX

enum { NODE_ROOT = 1 }; /* instance of "/": at index 1 stands the first leader's no-op */

struct entry_due {
    uint64_t term;     /* the proposer's; it must be that of the latest no-op */
    uint64_t reserved; /* no entry is smaller than a no-op: so many fit a page at most */
};
_Static_assert(sizeof(struct entry_due) == 16, "due entry");

enum operator_operation {
    OPERATOR_NODE = 1,    /* on a node or its lock, with every right; its block follows. OPEN with
                             CREATE, SET, DELETE, ACL or RELEASE; the node is named by its path */
    OPERATOR_SUSPEND = 2, /* messages of a session, or of a principal's, are refused; or no more */
    OPERATOR_LIMIT = 3,   /* a session, or each of a principal's, may submit so many a second */
    OPERATOR_DRAIN = 4    /* a replica is not to lead; or it may again */
};

enum { OPERATOR_RATE_MAX = 10000000 }; /* messages a second; 0: no limit */

/* The same request id is the same request: who asks again is told what became of it at first. */
struct entry_operator {
    uint64_t request[2]; /* drawn by the asker, not both 0 */
    uint64_t session;    /* SUSPEND, LIMIT: this one; 0: all of `principal` */
    uint32_t principal;  /* SUSPEND, LIMIT: a client's; 0 with a session */
    uint32_t value;      /* SUSPEND, DRAIN: 1, or 0: no more. LIMIT: 0..OPERATOR_RATE_MAX.
                            NODE: 1: a lock that is broken leaves no lock-delay */
    uint8_t operation;   /* enum operator_operation */
    uint8_t replica;     /* DRAIN: its id */
    uint16_t size;       /* NODE: bytes of the block; else 0 */
    uint32_t reserved;
};
_Static_assert(sizeof(struct entry_operator) == 40, "operator entry");

struct entry_probe {
    uint64_t reserved[2]; /* as large as a no-op, see above */
};
_Static_assert(sizeof(struct entry_probe) == 16, "probe entry");

struct entry_session_open {
    char name[KEEL_NAME_MAX + 1]; /* zero-terminated, zero-padded, printable ASCII without space */
    uint64_t process;             /* random id of the client process, not 0 */
    uint64_t replaces;            /* resume: the epoch that it replaces; open: 0 */
    uint32_t ttl_ms;              /* wanted time to live; clamped to the genesis limits */
    uint16_t window;              /* wanted W, 1..64; fixed at open, ignored by a resume */
    uint16_t reserved;
};
_Static_assert(sizeof(struct entry_session_open) == 56, "session open");

enum session_end_reason {
    SESSION_END_CLEAN = 1,
    SESSION_END_KILLED = 2,
    SESSION_END_EXPIRED = 3,
    SESSION_END_REPLACED = 4
};

struct entry_session_end { /* END and EXPIRE */
    uint64_t session;
    uint64_t epoch;  /* the epoch in force; 0 with KILLED: whichever it is */
    uint64_t term;   /* EXPIRE: the proposer's term; it must be that of the latest no-op; END: 0 */
    uint32_t reason; /* END: CLEAN by the owner, KILLED by a replica's principal; EXPIRE: EXPIRED */
    uint32_t reserved;
};
_Static_assert(sizeof(struct entry_session_end) == 32, "session end entry");

struct entry_day {
    char name[KEEL_DAY_NAME_SIZE]; /* END: the day that ends; BEGIN: the new one */
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct entry_day) == 16, "day entry");

struct entry_boot {
    uint32_t replica;
    uint32_t reserved;
    uint64_t incarnation;
    uint64_t boot;    /* counter, from 1 */
    uint64_t boot_id; /* random, drawn at each boot (H2) */
};
_Static_assert(sizeof(struct entry_boot) == 32, "boot entry");

struct entry_member { /* all zero exactly where no mask names the id */
    uint64_t incarnation;
    uint32_t ip; /* IPv4, host byte order */
    uint16_t port;
    uint16_t reserved;
};
_Static_assert(sizeof(struct entry_member) == 16, "member of a configuration");

/* Bit i of a mask is replica id i. Learners are in no mask of voters, but for an old voter that a
 * joint configuration turns into one. */
struct entry_config {
    uint32_t voters;
    uint32_t voters_new; /* 0 unless joint */
    uint32_t learners;
    uint32_t reserved;
    struct entry_member member[KEEL_REPLICA_MAX + 1];
};
_Static_assert(sizeof(struct entry_config) == 144, "configuration entry");

enum autopilot_mode {
    AUTOPILOT_OFF = 0,
    AUTOPILOT_DRY_RUN = 1, /* decides, and changes nothing */
    AUTOPILOT_ON = 2
};

enum autopilot_action {
    AUTOPILOT_SET = 1,      /* by people: mode, times, who is a standby */
    AUTOPILOT_REPLACE = 2,  /* a standby is to take a dead voter's place */
    AUTOPILOT_WITHDRAW = 3, /* it is not: what the decision said is no longer so */
    AUTOPILOT_RETURN = 4    /* a replica that was replaced is back: a standby from now on */
};

enum autopilot_withdrawal {
    AUTOPILOT_VOTER_BACK = 1,   /* it was heard again */
    AUTOPILOT_STANDBY_LOST = 2, /* silent, or behind */
    AUTOPILOT_ENDED = 3         /* never in an entry: people have ended it, by other settings */
};

enum {
    AUTOPILOT_TIME_MIN_MS = 1000,
    AUTOPILOT_TIME_MAX_MS = 86400000,
    AUTOPILOT_DEAD_MS = 30000, /* before anybody sets it */
    AUTOPILOT_STABILISE_MS = 10000
};

/* What an action does not speak of is zero. */
struct entry_autopilot {
    uint8_t action;    /* enum autopilot_action */
    uint8_t mode;      /* SET: enum autopilot_mode */
    uint8_t voter;     /* REPLACE, WITHDRAW: who is dead; RETURN: who is back */
    uint8_t standby;   /* REPLACE, WITHDRAW: who takes the place */
    uint32_t standbys; /* SET: mask of replica ids */
    uint32_t dead_ms;  /* SET: a voter that is silent for so long is dead */
    uint32_t
        stabilise_ms;   /* SET: so long a standby is heard before, and nothing follows a change */
    uint64_t was;       /* SET: index of the settings that these replace, 0: none; else of the
                           configuration that was judged */
    uint64_t term;      /* all but SET: the proposer's; it must be that of the latest no-op */
    uint32_t silent_ms; /* REPLACE: the leader has not heard the voter for so long */
    uint32_t steady_ms; /* REPLACE, RETURN: the replica was heard and caught up for so long */
    uint64_t behind;    /* REPLACE, RETURN: entries that it lacked */
    uint32_t well;      /* REPLACE: mask of the voters that are heard, the leader among them */
    uint32_t reason;    /* WITHDRAW: enum autopilot_withdrawal */
};
_Static_assert(sizeof(struct entry_autopilot) == 56, "autopilot entry");

static inline const void *entry_body(const struct entry *e)
{
    return e + 1;
}

/* True if the bytes form one entry of known kind and version: size within [48, available] and a
 * multiple of 8, body of the kind's size, message blocks that fill `bytes` exactly, values of the
 * body within the ranges that its struct names, reserved fields and padding zero. Never reads past
 * `available`; `bytes` needs no alignment. The crc is not looked at, nor index, term and principal.
 */
HOT bool entry_check(const void *bytes, size_t available);

/* True if `size` bytes are exactly a struct entry_messages, its blocks and, with ENTRY_FENCED, a
 * sequencer, in form. No alignment. */
HOT bool entry_messages_check(const void *body, size_t size);

/* The same for an ENTRY_NODE: one block, no sequencer, an operation in form. */
bool entry_node_body_check(const void *body, size_t size);

/* True if the bytes are whole struct node_right's, KEEL_ACL_MAX at most, each of a client (or of
 * all) and with some right. */
bool entry_acl_ok(const void *rights, size_t size);

/* True if the bytes are a path that a node can have. */
bool entry_path_ok(const char *path, size_t size);

/* The sequencer behind the blocks of an ENTRY_MESSAGES with ENTRY_FENCED that passed the check. */
HOT struct entry_sequencer entry_messages_sequencer(const struct entry_messages *messages);

/* True if name, process, window and reserved are in range; a resume's too. */
bool entry_session_open_ok(const struct entry_session_open *open);

/* True if masks and members agree, at least one voter stands, and no id is out of range. */
bool entry_config_ok(const struct entry_config *config);

/* True if the KEEL_NAME_MAX + 1 bytes are a session's name: 1..KEEL_NAME_MAX bytes of printable
 * ASCII without space, then zeros to the end. */
bool entry_name_ok(const char *name);

/* True if the KEEL_DAY_NAME_SIZE bytes name a day: at least one printable character that is not a
 * space, then spaces to the end. */
bool entry_day_name_ok(const char *name);

/* Iterates the blocks of an ENTRY_MESSAGES that passed entry_check(): returns the block at *offset
 * (from the end of struct entry_messages), sets *length, advances *offset. */
HOT const uint8_t *entry_block_next(const struct entry *e, uint32_t *offset, uint16_t *length);

#endif
