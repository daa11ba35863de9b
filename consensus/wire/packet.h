/* Keel's UDP payloads. All integers little-endian. Every packet begins with struct packet; all
 * kinds but the four of the handshake end with a 16-byte tag, AES-128-GMAC over everything before
 * it under the association's key for this direction, nonce = 4 zero bytes then `counter`.
 *
 * Decoders are total: any bytes give either a struct or a false. They copy nothing larger than a
 * head; entries and blocks stay where they are and are pointed at.
 */
#ifndef KEEL_WIRE_PACKET_H
#define KEEL_WIRE_PACKET_H

#include "consensus/raft/raft.h"
#include "consensus/wire/entry.h"
#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_MAGIC = 0x4b, PACKET_VERSION = 1 };

enum packet_kind {
    /* handshake: not under an association (auth/handshake.h) */
    PACKET_HELLO = 1,
    PACKET_COOKIE = 2,
    PACKET_SALT = 3,
    PACKET_SALT_REPLY = 4,
    /* replica to replica */
    PACKET_PREVOTE = 16,
    PACKET_PREVOTE_REPLY = 17,
    PACKET_VOTE = 18,
    PACKET_VOTE_REPLY = 19,
    PACKET_APPEND = 20,
    PACKET_APPEND_REPLY = 21,
    PACKET_CHAIN_ASK = 22,
    PACKET_CHAIN_TELL = 23,
    PACKET_TIMEOUT_NOW = 24,
    PACKET_FETCH = 25,
    PACKET_FETCH_REPLY = 26,
    PACKET_GENESIS = 27, /* before there is a genesis record: packet_genesis.h */
    PACKET_DIGESTS_TELL = 28,
    PACKET_CHECKPOINT_CHUNK = 29,
    PACKET_CHECKPOINT_REPLY = 30,
    PACKET_MEMBERS_TELL = 31,
    /* client to replica */
    PACKET_SUBMIT = 32,
    PACKET_OPEN = 33,
    PACKET_RESUME = 34,
    PACKET_END = 35,
    PACKET_KEEPALIVE = 36,
    PACKET_NODE = 37,  /* an operation on a node or its lock, to be ordered */
    PACKET_QUERY = 38, /* a question about nodes, locks or a sequencer */
    /* replica to client */
    PACKET_RESULT = 48,
    PACKET_SESSION = 49,  /* answer to OPEN, RESUME, END */
    PACKET_REDIRECT = 50, /* not the leader, or busy */
    PACKET_LEASE = 51,    /* answer to KEEPALIVE */
    PACKET_ANSWER = 52    /* answer to QUERY */
};

struct packet { /* 32 bytes */
    uint8_t magic;
    uint8_t version;
    uint8_t kind; /* enum packet_kind */
    uint8_t reserved;
    uint32_t from;    /* principal */
    uint32_t to;      /* principal */
    uint32_t assoc;   /* handle that the receiver gave this association; 0 in a handshake */
    uint64_t counter; /* nonce counter from 1; 0 in a handshake */
    uint64_t cluster; /* cluster id; 0 before genesis */
};
_Static_assert(sizeof(struct packet) == KEEL_PACKET_HEAD_SIZE, "packet head");

/* --- replica to replica: bodies of PREVOTE .. FETCH_REPLY ------------------------------------- */

struct packet_append { /* 64 bytes, then `bytes` bytes of entries */
    uint64_t term;
    uint64_t prev_index;
    uint64_t prev_term;
    uint64_t prev_chain;
    uint64_t entry_term;
    uint64_t commit;
    uint64_t probe;
    uint32_t quorum_age_us; /* UINT32_MAX: never or more */
    uint16_t count;
    uint16_t bytes;
};
_Static_assert(sizeof(struct packet_append) == KEEL_APPEND_HEAD_SIZE, "append head");

struct packet_append_reply { /* 64 bytes */
    uint64_t term;
    uint64_t prev_index;
    uint64_t match;
    uint64_t hint_index;
    uint64_t hint_term;
    uint64_t chain;
    uint64_t probe;
    uint8_t status; /* enum raft_append_status */
    uint8_t unable; /* 1: the sender would not lead now (H8) */
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct packet_append_reply) == 64, "append reply");

struct packet_vote { /* 32 bytes: the four kinds of vote messages, TIMEOUT_NOW */
    uint64_t term;
    uint64_t last_index; /* VOTE_REPLY granted: up to there the logs agree, with this term there */
    uint64_t last_term;
    uint8_t granted; /* replies only */
    uint8_t told;    /* VOTE only: 1: the term's last leader asked for this campaign */
    uint8_t careful; /* PREVOTE, its reply, VOTE: 1: room runs short (H8) */
    uint8_t reserved;
    uint32_t copy; /* PREVOTE: number of this copy, modulo 2^32; echoed in its reply */
};
_Static_assert(sizeof(struct packet_vote) == 32, "vote");

struct packet_chain { /* 32 bytes: CHAIN_ASK, CHAIN_TELL */
    uint64_t term;
    uint64_t index;
    uint64_t index_term; /* of the entry at index */
    uint64_t chain;      /* the sender's log chain there */
};
_Static_assert(sizeof(struct packet_chain) == 32, "chain");

struct packet_fetch { /* 32 bytes; FETCH_REPLY that holds: then `bytes` bytes of entries */
    uint64_t term;
    uint64_t index;
    uint64_t index_term; /* of the entry at index, and of all that are carried */
    uint16_t count;      /* entries carried, from index on */
    uint16_t bytes;
    uint8_t holds; /* FETCH_REPLY: 1: carried here; 0: denied */
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct packet_fetch) == 32, "fetch");

/* Fills *msg from a body of one of the peer kinds (from and to are the caller's); for APPEND and
 * FETCH_REPLY also *entries and *entries_size. Checks form only: sizes, count against bytes, and
 * each entry with entry_check(), consecutive indexes from prev_index + 1 (FETCH_REPLY: prev_index),
 * all of entry_term (prev_term) <= term; reserved bytes zero. The entries' CRCs are the caller's to
 * check. *entries is NULL and *entries_size 0 unless entries are carried. `body` needs no
 * alignment. */
HOT bool packet_peer_decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg,
                            const void **entries, size_t *entries_size);

/* Writes the body of a peer message (without entries) to body, at least 64 bytes of room; returns
 * its size and sets *kind. For APPEND and FETCH_REPLY the caller appends `entries_size` bytes of
 * entries behind it.
 */
HOT size_t packet_peer_encode(const struct raft_msg *msg, size_t entries_size, void *body,
                              uint8_t *kind);

/* Bodies of PING and PONG between replicas (dataplane/auth/auth.h numbers the kinds); to and from
 * clients they have none. */
struct packet_ping { /* 8 bytes */
    uint64_t stamp;  /* the sender's clock, for itself */
};
_Static_assert(sizeof(struct packet_ping) == 8, "ping");

struct packet_pong {   /* 32 bytes; 24 of them, without stall_ns, come from releases before it */
    uint64_t stamp;    /* as it came */
    uint64_t trip_ns;  /* the sender's round trip to a majority of voters, itself among them */
    uint64_t drive_ns; /* what its drive takes for a page; 0 in either: not known */
    uint64_t stall_ns; /* the longest that its loop stood in the last second or two */
};
_Static_assert(sizeof(struct packet_pong) == 32, "pong");
enum { PACKET_PONG_SHORT = 24 };

enum { PACKET_DIGESTS = 4 };

struct packet_digests { /* 64 bytes: DIGESTS_TELL, the newest at each of four steps; index 0: none
                         */
    struct {
        uint64_t index;
        uint64_t digest; /* of the machine that has applied everything up to index */
    } mark[PACKET_DIGESTS];
};
_Static_assert(sizeof(struct packet_digests) == 64, "digests");

struct packet_members { /* 152 bytes: MEMBERS_TELL, the newest configuration known as committed */
    uint64_t index;     /* of its entry, 0: genesis */
    struct entry_config config;
};
_Static_assert(sizeof(struct packet_members) == 152, "members");

/* --- checkpoints to a replica that no log reaches any more --------------------------------------
 * What is sent is a machine's canonical encoding. It is testimony about the cluster: a state that
 * is committed and applied, the same whoever tells it, so it carries no sender's term and waits for
 * no drive. */

enum {
    PACKET_CHECKPOINT_VERSION = 1, /* of the two bodies below; their first two bytes for ever */
    PACKET_CHUNK_SIZE = 1024       /* all chunks but the last are that long */
};

/* Which checkpoint: two with the same id hold the same bytes. */
struct packet_checkpoint_id { /* 48 bytes */
    uint64_t index;           /* applied up to here, from 1 */
    uint64_t term;            /* of the entry at index, not 0 */
    uint64_t chain;           /* log chain at index, not 0 */
    uint64_t digest;          /* of the machine */
    uint64_t size;            /* bytes of the encoding, not 0 */
    uint32_t crc;             /* CRC32C of all of them */
    uint32_t reserved;
};
_Static_assert(sizeof(struct packet_checkpoint_id) == 48, "checkpoint id");
bool packet_checkpoint_same(const struct packet_checkpoint_id *a,
                            const struct packet_checkpoint_id *b);

struct packet_checkpoint_chunk { /* 64 bytes, then `bytes` bytes of the checkpoint */
    uint16_t version;
    uint16_t bytes;
    uint32_t reserved;
    struct packet_checkpoint_id id;
    uint64_t offset; /* a multiple of PACKET_CHUNK_SIZE */
};
_Static_assert(sizeof(struct packet_checkpoint_chunk) == 64, "checkpoint chunk");
_Static_assert(sizeof(struct packet_checkpoint_chunk) + PACKET_CHUNK_SIZE <= KEEL_BODY_MAX,
               "a chunk fits one packet");

enum packet_checkpoint_status {
    PACKET_CHECKPOINT_WANT = 0, /* all up to `wanted` is here: go on there */
    PACKET_CHECKPOINT_BUSY,     /* all of it is here, being verified, written, or taken over */
    PACKET_CHECKPOINT_DONE,     /* this state or a later one is durable here */
    PACKET_CHECKPOINT_REFUSED   /* `reason` says why */
};

enum packet_checkpoint_reason {
    PACKET_CHECKPOINT_NO_REASON = 0,
    PACKET_CHECKPOINT_BAD_VERSION, /* of the packet; the reply's own is the one understood */
    PACKET_CHECKPOINT_TOO_LARGE,   /* for the area on the receiver's drive */
    PACKET_CHECKPOINT_DAMAGED,     /* all arrived, and the checksum of the whole differs */
    PACKET_CHECKPOINT_CONTENT,     /* intact, but no machine that the receiver understands */
    PACKET_CHECKPOINT_DRIVE        /* the receiver's drive did not keep it */
};
const char *packet_checkpoint_reason_name(enum packet_checkpoint_reason reason);

struct packet_checkpoint_reply { /* 64 bytes */
    uint16_t version;
    uint8_t status; /* enum packet_checkpoint_status */
    uint8_t reason; /* enum packet_checkpoint_reason; not 0 exactly with REFUSED */
    uint32_t reserved;
    struct packet_checkpoint_id id;
    uint64_t wanted;
};
_Static_assert(sizeof(struct packet_checkpoint_reply) == 64, "checkpoint reply");

/* The version that a body of one of the two kinds states; 0 if it is too short to state one. */
uint16_t packet_checkpoint_version(const void *body, size_t size);
/* Form only, of a body of this version: sizes, ranges, a chunk that lies where its offset and the
 * whole's size say, reserved bytes zero. Fills *chunk and points *bytes into the body, which needs
 * no alignment. */
bool packet_chunk_decode(const void *body, size_t size, struct packet_checkpoint_chunk *chunk,
                         const uint8_t **bytes);
bool packet_chunk_reply_decode(const void *body, size_t size,
                               struct packet_checkpoint_reply *reply);

/* --- client to replica -------------------------------------------------------------------------
 */

/* PACKET_SUBMIT's body is a struct entry_messages and its blocks, exactly as the entry will carry
 * them. True if count, bytes and blocks agree with size. */
HOT bool packet_submit_check(const void *body, size_t size);

struct packet_session_request { /* OPEN, RESUME */
    struct entry_session_open open;
    uint64_t request; /* echoed in the answer */
};
_Static_assert(sizeof(struct packet_session_request) == 64, "session request");

struct packet_session_end { /* END */
    uint64_t session;
    uint64_t epoch;
    uint64_t request; /* echoed */
    uint64_t acked;   /* all results up to this number have arrived */
};
_Static_assert(sizeof(struct packet_session_end) == 32, "session end");

/* PACKET_NODE's body is what the ENTRY_NODE will carry. */

enum packet_event_kind {
    PACKET_EVENT_CONTENT = 1,  /* value: content generation */
    PACKET_EVENT_ADDED = 2,    /* a child; value: how many since the node's creation */
    PACKET_EVENT_REMOVED = 3,  /* the same */
    PACKET_EVENT_LOCKED = 4,   /* went from free to held; value: lock generation */
    PACKET_EVENT_CONFLICT = 5, /* somebody else asks for it; value: how often, since creation */
    PACKET_EVENT_GRANTED = 6,  /* to this session, which waited; value: lock generation */
    PACKET_EVENT_ENDED = 7,    /* this session's wait or hold; value: enum handle_end */
    PACKET_EVENT_INVALID = 8   /* the node was deleted; value: its instance */
};

/* The place of an event in a session's order of events: no two are at one place. */
struct packet_event_place {
    uint64_t index; /* of the entry at which it happened */
    uint64_t node;
    uint8_t kind; /* enum packet_event_kind */
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct packet_event_place) == 24, "event place");

static inline bool packet_event_before(const struct packet_event_place *a,
                                       const struct packet_event_place *b)
{
    if (a->index != b->index)
        return a->index < b->index;
    return a->node != b->node ? a->node < b->node : a->kind < b->kind;
}

struct packet_event {
    struct packet_event_place at;
    uint64_t value;
};
_Static_assert(sizeof(struct packet_event) == 32, "event");

struct packet_keepalive { /* 56 bytes */
    uint64_t session;
    uint64_t epoch;
    uint64_t request; /* echoed; new for each copy sent (H21) */
    uint64_t number;  /* the highest whose result has arrived: no older state answers */
    struct packet_event_place seen; /* the last event that arrived; all zero: none yet */
};
_Static_assert(sizeof(struct packet_keepalive) == 56, "keepalive");

enum packet_query_kind {
    PACKET_QUERY_NODE = 1,     /* by instance or by path: struct packet_node, path, content, ACL */
    PACKET_QUERY_CHILDREN = 2, /* those with an instance above `after`: struct packet_child each */
    PACKET_QUERY_CHECK = 3     /* whether a sequencer holds; needs no right */
};

struct packet_query { /* 56 bytes, then path_size bytes of path */
    uint64_t request; /* echoed */
    uint64_t node;    /* instance; 0: by path */
    uint64_t after;   /* CHILDREN */
    uint8_t kind;     /* enum packet_query_kind */
    uint8_t reserved0;
    uint16_t path_size;
    uint32_t reserved;
    struct entry_sequencer sequencer; /* CHECK; else all zero */
};
_Static_assert(sizeof(struct packet_query) == 56, "query");

/* Form only: kind, sizes, path, reserved bytes zero. No alignment. */
bool packet_query_check(const void *body, size_t size);

/* Form only: name zero-terminated, printable, zero-padded; process not 0; window in range; reserved
 * zero; size exact. */
bool packet_session_request_check(const void *body, size_t size);

/* --- replica to client -------------------------------------------------------------------------
 */

/* What became of a run of consecutive numbers. */
struct packet_result_run { /* 32 bytes */
    uint64_t number;       /* first number of the run */
    uint64_t feed;         /* SEQUENCED: feed number of the first, the rest follow on; DONE, QUEUED:
                              the operation's value; else 0 */
    uint64_t utc_ns;
    uint32_t utc_error_ns;
    uint16_t count;
    uint8_t status; /* enum machine_status */
    uint8_t reserved;
};
_Static_assert(sizeof(struct packet_result_run) == 32, "result run");

struct packet_result { /* 40 bytes, then run_count runs */
    uint64_t session;
    uint64_t epoch;
    uint64_t last; /* the machine's last number of this session */
    char day[KEEL_DAY_NAME_SIZE];
    uint16_t run_count;
    uint32_t leader; /* replica id */
};
_Static_assert(sizeof(struct packet_result) == 40, "result");

enum { PACKET_RESULT_RUNS_MAX = 42 };
_Static_assert(sizeof(struct packet_result) +
                       PACKET_RESULT_RUNS_MAX * sizeof(struct packet_result_run) <=
                   KEEL_BODY_MAX,
               "a full result fits one packet");

struct packet_session { /* 96 bytes, then run_count kept runs: the results kept */
    uint64_t request;
    uint64_t session;
    uint64_t epoch; /* the epoch in force: what a RESUME must replace */
    uint64_t last;  /* last number consumed */
    uint64_t index; /* log index of the entry that decided */
    uint64_t utc_ns;
    uint64_t first; /* number of the first kept run; the others follow on without a gap */
    uint32_t ttl_ms;
    uint16_t window;
    uint8_t status;                   /* enum machine_status */
    uint8_t answers;                  /* packet kind that it answers */
    char name[KEEL_NAME_MAX + 1 - 8]; /* first 24 bytes, for logs */
    uint16_t run_count;
    uint16_t reserved;
    uint32_t leader;
};
_Static_assert(sizeof(struct packet_session) == 96, "session answer");

struct packet_lease { /* 56 bytes, then event_count events in order */
    uint64_t request; /* of the copy that is answered: the lease counts from its sending */
    uint64_t session;
    uint64_t epoch; /* in force */
    uint64_t term;  /* of the leader that answers: another one than before is a fail-over */
    /* The session's last number in the state that the events tell of. Who has results of later ones
     * by now takes no event of it: what it did since may have undone them. */
    uint64_t last;
    uint32_t ttl_ms;  /* in force */
    uint32_t rho_ppm; /* a client's lease is ttl x (1 - rho) of its own clock */
    uint32_t leader;
    uint16_t event_count;
    uint8_t status; /* enum machine_status: SEQUENCED, or why there is no lease */
    uint8_t more;   /* 1: further events wait */
};
_Static_assert(sizeof(struct packet_lease) == 56, "lease");
enum { PACKET_EVENTS_MAX = 42 };
_Static_assert(sizeof(struct packet_lease) + PACKET_EVENTS_MAX * sizeof(struct packet_event) <=
                   KEEL_BODY_MAX,
               "a full lease answer fits one packet");

struct packet_answer { /* 32 bytes, then `size` bytes as the query's kind says */
    uint64_t request;
    uint64_t index; /* true of the state at this index, which was committed when it was asked */
    uint32_t leader;
    uint16_t size;
    uint8_t kind;
    uint8_t status; /* enum machine_status: DONE, NO_NODE, NOT_ALLOWED, STALE_SEQUENCER */
    uint8_t more;   /* CHILDREN: 1: there are further ones */
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct packet_answer) == 32, "answer");

struct packet_node { /* 104 bytes, then path, content, acl_count struct node_right */
    uint64_t node;
    uint64_t content_generation;
    uint64_t acl_generation;
    uint64_t lock_generation;
    uint64_t holder; /* a session that holds the lock; 0: free */
    uint64_t added;
    uint64_t removed;
    uint64_t conflicts;
    uint64_t delay_ms; /* what is left of the lock-delay, in log time */
    uint32_t child_count;
    uint32_t handle_count;
    uint32_t holders;
    uint32_t waiters;
    uint16_t content_size;
    uint16_t path_size;
    uint16_t acl_count;
    uint8_t lock_mode;
    uint8_t ephemeral;
    uint64_t reserved;
};
_Static_assert(sizeof(struct packet_node) == 104, "node");

struct packet_child { /* 16 bytes, then path_size bytes of path; packed one behind the other */
    uint64_t node;
    uint16_t path_size;
    uint8_t lock_mode;
    uint8_t ephemeral;
    uint32_t reserved;
};
_Static_assert(sizeof(struct packet_child) == 16, "child");

/* A run of kept results, so short that a window of them fits one packet even when each number is a
 * run of its own: a client that lost its memory learns every result that is kept. */
struct packet_kept_run { /* 20 bytes */
    uint64_t feed;       /* as in a run: a feed number, the value of DONE and QUEUED, else 0 */
    uint64_t utc_ns;
    uint16_t count; /* of numbers, from 1 */
    uint8_t status; /* enum machine_status */
    uint8_t reserved;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct packet_kept_run) == 20, "kept run");

enum { PACKET_KEPT_RUNS_MAX = KEEL_SESSION_WINDOW_MAX };
_Static_assert(sizeof(struct packet_session) +
                       PACKET_KEPT_RUNS_MAX * sizeof(struct packet_kept_run) <=
                   KEEL_BODY_MAX,
               "a full session answer fits one packet");

/* The short form of a run, and back: the number is told by where it stands, the clock's error is
 * not told. */
static inline struct packet_kept_run packet_kept_run(const struct packet_result_run *run)
{
    return (struct packet_kept_run){
        .feed = run->feed, .utc_ns = run->utc_ns, .count = run->count, .status = run->status};
}

static inline struct packet_result_run packet_result_run(const struct packet_kept_run *kept,
                                                         uint64_t number)
{
    return (struct packet_result_run){.number = number,
                                      .feed = kept->feed,
                                      .utc_ns = kept->utc_ns,
                                      .utc_error_ns = UINT32_MAX,
                                      .count = kept->count,
                                      .status = kept->status,
                                      .reserved = kept->reserved};
}

enum packet_redirect_reason {
    PACKET_NOT_LEADER = 1, /* leader names the one to ask, 0 unknown */
    PACKET_BUSY = 2        /* leader, but out of window, ring, credit or session space: later */
};

struct packet_redirect { /* 24 bytes */
    uint64_t request;    /* SUBMIT: the first number that was not taken */
    uint32_t leader;
    uint8_t reason;
    uint8_t answers;
    uint16_t reserved;
    uint64_t term;
};
_Static_assert(sizeof(struct packet_redirect) == 24, "redirect");

#endif
