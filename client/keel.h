/* libkeel: a client of Keel over ordinary UDP sockets.
 *
 * Two independent things: `struct keel`, a session that submits messages to be sequenced and holds
 * locks, and `struct keel_follow`, a consumer of the sequenced feed (MoldUDP64). All memory is
 * allocated when one is opened. A handle belongs to one thread at a time; different handles share
 * nothing. Nothing happens behind the caller's back: packets are sent and received only inside
 * keel_poll(), keel_flush(), keel_end() and their like, and callbacks run only inside those.
 *
 * Calls that can fail return 0 (or a count) or a negative enum keel_error.
 */
#ifndef KEEL_H
#define KEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KEEL_API __attribute__((visibility("default")))

/* --- limits ----------------------------------------------------------------------------------- */

enum {
    KEEL_PAYLOAD_MIN = 1, /* bytes of a message */
    KEEL_PAYLOAD_MAX = 1270,
    KEEL_FENCED_PAYLOAD_MAX = 1246, /* bytes of a message that shows a sequencer */
    KEEL_WINDOW_MAX = 64,           /* messages submitted and not yet answered */
    KEEL_SESSION_MAX = 31,          /* bytes of a session's name: printable ASCII without space */
    KEEL_MEMBERS_MAX = 7,
    KEEL_LINES_MAX = 16,         /* feed lines of one consumer */
    KEEL_SERVERS_MAX = 16,       /* request servers of one consumer */
    KEEL_NODE_PATH_MAX = 127,    /* bytes of "/a/b/c" */
    KEEL_NODE_CONTENT_MAX = 256, /* bytes that a node holds */
    KEEL_NODE_ACL_MAX = 8,       /* rights that stand on it */
    KEEL_SEQUENCER_TEXT_SIZE = 192,
    KEEL_DAY_SIZE = 11,     /* a trading day's name and its zero; trailing spaces are taken off */
    KEEL_PROBLEM_SIZE = 256 /* a problem in words */
};

/* --- errors ----------------------------------------------------------------------------------- */

enum keel_error {
    KEEL_OK = 0,
    KEEL_AGAIN = -1,        /* not now: window full or session not open yet; poll, then try again */
    KEEL_TIMEOUT = -2,      /* the time given has passed */
    KEEL_ARGUMENT = -3,     /* an option or argument is not usable */
    KEEL_MEMORY = -4,       /* no memory at open */
    KEEL_SYSTEM = -5,       /* a system call failed */
    KEEL_KEY = -6,          /* the key file is not usable, or no member accepts the key */
    KEEL_UNREACHABLE = -7,  /* no member answers at all */
    KEEL_NO_LEADER = -8,    /* members answer, but none of them leads */
    KEEL_BUSY = -9,         /* the cluster has no room for another session now */
    KEEL_REFUSED = -10,     /* the cluster refused the session */
    KEEL_SHUT_OUT = -11,    /* another process has taken this session over */
    KEEL_ENDED = -12,       /* the session has ended: expired, killed, or ended here */
    KEEL_TOO_LARGE = -13,   /* message above KEEL_PAYLOAD_MAX */
    KEEL_EMPTY = -14,       /* message without a byte */
    KEEL_CONFLICT = -15,    /* two feed lines differ: one of them is wrong */
    KEEL_FRAMING = -16,     /* the line does not carry the framing that was asked for */
    KEEL_EXPIRED = -17,     /* no leader answered within lease and grace */
    KEEL_REFUSED_NODE = -18 /* a node operation was refused: the result's status says why */
};

/* "KEEL_AGAIN" ...; "not now: ..." Both return "unknown error" for other numbers. */
KEEL_API const char *keel_error_name(int error);
KEEL_API const char *keel_strerror(int error);

/* --- results ---------------------------------------------------------------------------------- */

enum keel_status {                      /* what became of a message or of a node operation */
                   KEEL_SEQUENCED = 0,  /* it has a feed number */
                   KEEL_DAY_CLOSED = 1, /* refused: no trading day is open; its number is used up */
                   KEEL_DONE = 2,       /* node operation: done; `feed` carries its value */
                   KEEL_QUEUED = 3,     /* acquire: waits; KEEL_EVENT_GRANTED or _ENDED will tell */
                   KEEL_NO_NODE = 4,    /* no node of that path, parent or instance */
                   KEEL_NODE_EXISTS = 5,
                   KEEL_NOT_ALLOWED = 6,   /* the node's access list does not give that right */
                   KEEL_CHANGED = 7,       /* another generation is in force than the one named */
                   KEEL_NOT_EMPTY = 8,     /* it has children */
                   KEEL_LOCK_BUSY = 9,     /* held by another, or its lock-delay is not over */
                   KEEL_NOT_HELD = 10,     /* neither held nor waited for */
                   KEEL_NODE_TABLE = 11,   /* busy: no room for another node */
                   KEEL_HANDLE_LIMIT = 12, /* busy: this session, or all, have their share */
                   KEEL_WAITER_LIMIT = 13, /* busy: the lock's queue is full */
                   KEEL_STALE_SEQUENCER = 14, /* the lock is no longer held that way */
                   KEEL_NOT_OPEN = 15,        /* the session has no handle on that node */
                   KEEL_DIFFERENT = 17, /* that number was sequenced before with another content */
                   KEEL_UNKNOWN = 18,   /* the cluster no longer has the record of that number */
                   KEEL_SUSPENDED = 31  /* refused: an operator has suspended the session or its
                                           principal; the number is used up */
};
/* The word for it: "sequenced", "day-closed" ... as in the gateway's log. */
KEEL_API const char *keel_status_name(int status);

struct keel_result {
    uint64_t number;         /* session number of the message, from 1 */
    uint64_t feed;           /* feed number within the day; of a node operation its value: OPEN
                                the instance, ACQUIRE the generation, SET the content generation;
                                0 when refused */
    uint64_t utc_ns;         /* when the leader stamped it: nanoseconds since 1970 */
    uint32_t utc_error_ns;   /* known error of that clock; UINT32_MAX: unknown */
    uint32_t status;         /* enum keel_status */
    uint64_t round_trip_ns;  /* from first sending to this answer; 0: answered by a resume */
    char day[KEEL_DAY_SIZE]; /* trading day; "" for a result that a resume brought */
};

/* --- a session -------------------------------------------------------------------------------- */

enum keel_state {
    KEEL_CONNECTING = 0, /* looking for a member that answers */
    KEEL_OPENING = 1,    /* asking the leader for the session */
    KEEL_READY = 2,      /* the session is open */
    KEEL_SEARCHING = 3,  /* open, but the leader is silent: asking the others */
    KEEL_ENDING = 4,
    KEEL_CLOSED = 5, /* ended cleanly by keel_end() */
    KEEL_FAILED = 6  /* see keel_problem() */
};
KEEL_API const char *keel_state_name(int state);

enum keel_event_kind {
    /* of a handle: wanted ones (KEEL_WANT_*), and those that every handle tells */
    KEEL_EVENT_CONTENT = 1,  /* value: content generation; it says how many writes there were */
    KEEL_EVENT_ADDED = 2,    /* a child; value: how many since the node's creation */
    KEEL_EVENT_REMOVED = 3,  /* the same */
    KEEL_EVENT_LOCKED = 4,   /* went from free to held; value: lock generation */
    KEEL_EVENT_CONFLICT = 5, /* somebody else asks for the lock that this session holds */
    KEEL_EVENT_GRANTED = 6,  /* this session's wait is over; value: lock generation */
    KEEL_EVENT_ENDED = 7,    /* its wait or hold is; value: 1 timed out, 2 taken by an operator */
    KEEL_EVENT_INVALID = 8,  /* the node was deleted: the handle is good for keel_node_close() */
    /* of the session */
    KEEL_EVENT_LEADER = 16,   /* another leader answered; value: its replica id */
    KEEL_EVENT_JEOPARDY = 17, /* the lease is over: stop acting on locks until SAFE */
    KEEL_EVENT_SAFE = 18,
    KEEL_EVENT_EXPIRED = 19 /* for good: keel_poll() says KEEL_EXPIRED from now on */
};
KEEL_API const char *keel_event_name(int kind);

struct keel_event {
    uint64_t node;  /* instance; 0: of the session */
    uint64_t index; /* of the entry at which it happened; 0: of the session */
    uint64_t value;
    uint32_t kind; /* enum keel_event_kind */
};

struct keel_options {
    const char *members;   /* "1=10.0.0.1:7400,2=10.0.0.2:7400,3=..." */
    const char *key_file;  /* this client's key; readable by its owner only */
    const char *session;   /* name; a session of that name that is open is resumed */
    uint32_t principal;    /* 0: the only client of the key file */
    uint32_t window;       /* 1..KEEL_WINDOW_MAX; 0: KEEL_WINDOW_MAX */
    uint32_t ttl_ms;       /* the session ends when silent for this long; 0: 10,000 */
    uint32_t open_wait_ms; /* keel_open() waits this long for the session; 0: 10,000 */
    bool open_later;       /* do not wait: keel_poll() opens the session */
    uint64_t cluster;      /* cluster id; 0: whichever the key proves */
    const char *bind;      /* local "ip:port"; NULL: any */
    /* Keeps a lease, so that locks can be held and events come. A session that only sequences needs
     * none. */
    bool leases;
    uint32_t grace_ms; /* without an answer so long behind the lease it is expired; 0: 45,000 */
    /* Events as they come, in order. NULL: collect with keel_next_event(). */
    void (*event)(void *context, const struct keel_event *event);
    /* Results in number order, each number once. NULL: collect with keel_next_result(). */
    void (*result)(void *context, const struct keel_result *result);
    void *context;
};

struct keel;

/* Opens or resumes a session. On failure *keel is NULL and `problem` (KEEL_PROBLEM_SIZE bytes, may
 * be NULL) says what failed, why, and what to do. The options are copied. */
KEEL_API int keel_open(struct keel **keel, const struct keel_options *options, char *problem);

/* Frees everything. The session stays open at the cluster until its time to live has passed, so
 * that a successor can resume it; keel_end() ends it. NULL is allowed. */
KEEL_API void keel_close(struct keel *keel);

/* Where the session stood when this process took it over: the last number used (0: new session),
 * and of the results that the cluster kept up to `max`, in number order. Returns how many were
 * written. */
KEEL_API size_t keel_resumed(const struct keel *keel, uint64_t *last, struct keel_result *results,
                             size_t max);

/* Takes a message (copied). It goes out with the next keel_flush() or keel_poll(), together with
 * whatever else was submitted by then. *number (may be NULL) is its session number. KEEL_AGAIN when
 * W messages are unanswered; KEEL_EMPTY, KEEL_TOO_LARGE; the session's error once it has failed. */
KEEL_API int keel_submit(struct keel *keel, const void *payload, size_t size, uint64_t *number);

/* Sends what was submitted, receives nothing. */
KEEL_API int keel_flush(struct keel *keel);

/* Sends, receives, repeats what was not answered, keeps the session alive, calls back. Waits up to
 * timeout_ns for something to happen: 0 does not wait, below 0 waits without limit. Returns the
 * number of results that came, or the error of a session that has failed. */
KEEL_API int keel_poll(struct keel *keel, int64_t timeout_ns);

/* Without a callback: true and *result, the next in number order. A result that is not collected
 * keeps its place in the window. */
KEEL_API bool keel_next_result(struct keel *keel, struct keel_result *result);

/* For an event loop: readable when keel_poll() has something to receive; and how long at most to
 * wait before calling it anyway (nanoseconds, 0: now). */
KEEL_API int keel_fd(const struct keel *keel);
KEEL_API int64_t keel_wait_ns(const struct keel *keel);

/* Waits for all answers, then ends the session cleanly. KEEL_TIMEOUT leaves it as it is: call
 * again. */
KEEL_API int keel_end(struct keel *keel, int64_t timeout_ns);

struct keel_info {
    enum keel_state state;
    uint32_t principal;
    uint32_t leader; /* member asked at present, 0: none */
    uint32_t window; /* in force */
    uint32_t ttl_ms; /* in force */
    bool resumed;
    uint64_t cluster;
    uint64_t session; /* id: log index of its opening */
    uint64_t epoch;
    uint64_t submitted; /* last number given out */
    uint64_t answered;  /* all results up to this number have come */
    uint64_t alive_ns;  /* CLOCK_BOOTTIME at the sending of the packet last answered */
};
KEEL_API void keel_info(const struct keel *keel, struct keel_info *info);

struct keel_stats { /* since keel_open() */
    uint64_t submitted, answered, sequenced, operated, refused;
    uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
    uint64_t messages_sent, messages_resent;
    uint64_t timeouts, busy, redirects, leader_changes;
    uint64_t handshakes_begun, handshakes_done;
    uint64_t keepalives_sent, rejected, send_errors;
    uint64_t round_trip_ns; /* smoothed */
    uint64_t retry_ns;      /* repeat after this silence */
};
KEEL_API void keel_stats(const struct keel *keel, struct keel_stats *stats);

/* What went wrong, in words; "" while nothing did. */
KEEL_API const char *keel_problem(const struct keel *keel);

/* --- nodes and locks ---------------------------------------------------------------------------
 * A tree of names, "/a/b", each with a little content and one lock, in the manner of Chubby. Every
 * operation takes a number of the session, like a message, and its result comes like a message's;
 * done exactly once, however often it had to be sent. A node is named by its instance, which
 * keel_node_open() returns: one that is deleted and made anew is another.
 *
 * Events come behind the results that they follow, and an event of a lock that the session has
 * given up since does not come at all.
 *
 * A lock is advisory. Who holds one may act while keel_lease() says KEEL_LEASE_SAFE and no
 * KEEL_EVENT_ENDED of it has come; whoever must
 * be sure although a clock stood still shows the sequencer, and the receiver checks it: the
 * sequencer itself does, see keel_submit_fenced(). */

enum keel_node_flags { KEEL_CREATE = 1, KEEL_EXCLUSIVE_CREATE = 2, KEEL_EPHEMERAL = 4 };
enum keel_wants {
    KEEL_WANT_CONTENT = 1,
    KEEL_WANT_ADDED = 2,
    KEEL_WANT_REMOVED = 4,
    KEEL_WANT_LOCKED = 8,
    KEEL_WANT_CONFLICT = 16
};
enum keel_lock_mode { KEEL_EXCLUSIVE = 1, KEEL_SHARED = 2 };
enum keel_right { KEEL_READ = 1, KEEL_WRITE = 2, KEEL_CHANGE_ACL = 4 };

struct keel_right_of {
    uint32_t principal; /* a client; 0: every client */
    uint32_t rights;    /* enum keel_right */
};

struct keel_lock_options {
    enum keel_lock_mode mode;
    bool only_now;     /* KEEL_LOCK_BUSY instead of a place in the queue */
    uint32_t wait_ms;  /* in the queue; 0: without end */
    uint32_t delay_ms; /* nobody gets the lock so long after an unclean end of this session */
};

/* What proves that a lock is held: to be shown, not understood. */
struct keel_sequencer {
    uint64_t node;
    uint64_t generation;
    uint32_t mode; /* enum keel_lock_mode */
};

/* Each returns as keel_submit(). Refusals of form are KEEL_ARGUMENT. */
KEEL_API int keel_node_open(struct keel *keel, const char *path, uint32_t flags, uint32_t wants,
                            const void *content, size_t size, uint64_t *number);
KEEL_API int keel_node_close(struct keel *keel, uint64_t node, uint64_t *number);
/* `generation`: only if that content is in force; 0: whatever is. */
KEEL_API int keel_node_set(struct keel *keel, uint64_t node, const void *content, size_t size,
                           uint64_t generation, uint64_t *number);
KEEL_API int keel_node_delete(struct keel *keel, uint64_t node, uint64_t generation,
                              uint64_t *number);
KEEL_API int keel_node_acl(struct keel *keel, uint64_t node, const struct keel_right_of *rights,
                           size_t count, uint64_t generation, uint64_t *number);
/* The session has a handle on the node. */
KEEL_API int keel_acquire(struct keel *keel, uint64_t node, const struct keel_lock_options *options,
                          uint64_t *number);
KEEL_API int keel_release(struct keel *keel, uint64_t node, uint64_t *number);

/* As keel_submit(); sequenced only if, at its own place in the order, the lock is held in exactly
 * that mode at exactly that generation; else KEEL_STALE_SEQUENCER, and its number is used up. */
KEEL_API int keel_submit_fenced(struct keel *keel, const void *payload, size_t size,
                                const struct keel_sequencer *sequencer, uint64_t *number);

/* "exclusive:NODE:GENERATION" and back; false: that is none. */
KEEL_API void keel_sequencer_text(const struct keel_sequencer *sequencer,
                                  char text[KEEL_SEQUENCER_TEXT_SIZE]);
KEEL_API bool keel_sequencer_parse(struct keel_sequencer *sequencer, const char *text);

/* Without a callback: true and *event, the next one. Those not collected wait at the cluster. */
KEEL_API bool keel_next_event(struct keel *keel, struct keel_event *event);

enum keel_lease_state {
    KEEL_LEASE_NONE = 0,
    KEEL_LEASE_SAFE = 1,
    KEEL_LEASE_JEOPARDY = 2,
    KEEL_LEASE_EXPIRED = 3
};
/* The state at this instant of CLOCK_BOOTTIME; *left_ns (may be NULL): how long it stays SAFE. */
KEEL_API enum keel_lease_state keel_lease(struct keel *keel, uint64_t *left_ns);

/* --- blocking forms: each polls until its result is there. No other result may be awaited, and
 * results are collected, not called back. KEEL_REFUSED_NODE: *result says why. */
KEEL_API int keel_wait(struct keel *keel, uint64_t number, int64_t timeout_ns,
                       struct keel_result *result);

/* Opens the node (made if there is none) and acquires its lock; waits in its queue up to
 * options->wait_ms. KEEL_OK: *sequencer proves it. */
KEEL_API int keel_lock(struct keel *keel, const char *path, const struct keel_lock_options *options,
                       struct keel_sequencer *sequencer, struct keel_result *result);

struct keel_node {
    uint64_t node, content_generation, acl_generation, lock_generation;
    uint64_t holder; /* a session that holds the lock; 0: none */
    uint64_t lock_delay_ms;
    uint32_t children, handles, holders, waiters;
    uint32_t lock_mode; /* 0: free */
    bool ephemeral;
    char path[KEEL_NODE_PATH_MAX + 1];
    size_t size;
    uint8_t content[KEEL_NODE_CONTENT_MAX];
    size_t rights_count;
    struct keel_right_of rights[KEEL_NODE_ACL_MAX];
};
/* The newest state at some moment of the call. KEEL_REFUSED_NODE with *status (may be NULL). */
KEEL_API int keel_node_get(struct keel *keel, const char *path, int64_t timeout_ns,
                           struct keel_node *node, int *status);
/* Children of a node, a packet full at a time: those behind *after (0: the first); *after is set to
 * go on from, 0 when there are no more. Returns how many were written. */
struct keel_child {
    uint64_t node;
    uint32_t lock_mode;
    bool ephemeral;
    char path[KEEL_NODE_PATH_MAX + 1];
};
KEEL_API int keel_node_children(struct keel *keel, const char *path, uint64_t *after,
                                int64_t timeout_ns, struct keel_child *children, size_t max,
                                int *status);
/* Whether a sequencer holds at some moment of the call. */
KEEL_API int keel_sequencer_check(struct keel *keel, const struct keel_sequencer *sequencer,
                                  int64_t timeout_ns, bool *holds);

/* --- the feed --------------------------------------------------------------------------------- */

enum keel_framing {
    KEEL_RAW = 0,     /* lines carry the submitted bytes alone */
    KEEL_ENVELOPE = 1 /* timestamp, clock error, session and session number before them */
};

enum keel_message_kind { KEEL_MESSAGE = 0, KEEL_SESSION_END = 1 };

struct keel_message {
    uint64_t number; /* feed number within the day, from 1 */
    const char *day;
    const uint8_t *payload; /* good until the callback returns */
    size_t size;
    enum keel_message_kind kind;
    bool stamped; /* the fields below are known (KEEL_ENVELOPE) */
    uint32_t utc_error_ns;
    uint64_t utc_ns;
    uint64_t session;
    uint64_t session_number;
};

enum keel_follow_state {
    KEEL_FOLLOW_WAITING = 0,      /* nothing heard yet */
    KEEL_FOLLOW_BACKFILL = 1,     /* catching up with the present */
    KEEL_FOLLOW_SYNCHRONIZED = 2, /* everything that any line has named is delivered */
    KEEL_FOLLOW_GAP = 3,          /* waiting for messages that lines and servers owe */
    KEEL_FOLLOW_SILENT = 4,       /* every line is silent: nothing is known of the present */
    KEEL_FOLLOW_DAY_ENDED = 5,    /* delivered to the end of the day */
    KEEL_FOLLOW_FAILED = 6
};
KEEL_API const char *keel_follow_state_name(int state);

#define KEEL_FROM_NEXT UINT64_C(0) /* start with what comes next */

struct keel_follow_options {
    const char *lines;   /* "ip:port", or "group:port@interface-ip" for multicast; comma between */
    const char *servers; /* request servers "ip:port,..." */
    enum keel_framing framing;
    uint64_t from;           /* first number wanted: KEEL_FROM_NEXT, 1, N */
    const char *day;         /* trading day to begin with; NULL: the first one heard of */
    const char *bind;        /* local "ip:port" of requests; NULL: any */
    uint32_t held_packets;   /* packets kept that came too early; 0: 4,096 */
    uint32_t request_ms;     /* an unanswered request is repeated after this; 0: 1,000 */
    uint32_t gap_wait_ms;    /* a gap may close by itself for this long; 0: 2 */
    uint32_t line_silent_ms; /* a line silent for this long is reported; 0: 3,000 */
    /* A message, in order, without gap or duplicate. Not 0: stop; keel_follow_poll() returns, and
     * goes on behind this message when called again. */
    int (*message)(void *context, const struct keel_message *message);
    /* A day begins (its first number that will be delivered) or ends (the number behind its last).
     * `seen`: the end was announced; false: a new day began and no server knew more of the old. */
    void (*day_begin)(void *context, const char *day, uint64_t first);
    void (*day_end)(void *context, const char *day, uint64_t next, bool seen);
    /* A line (0.. in the order of `lines`) fell silent or is heard again. */
    void (*line)(void *context, unsigned line, bool silent);
    void *context;
};

struct keel_follow;

KEEL_API int keel_follow_open(struct keel_follow **follow,
                              const struct keel_follow_options *options, char *problem);
KEEL_API void keel_follow_close(struct keel_follow *follow);
/* As keel_poll(); returns the number of messages delivered. */
KEEL_API int keel_follow_poll(struct keel_follow *follow, int64_t timeout_ns);
KEEL_API int keel_follow_fd(const struct keel_follow *follow);
KEEL_API int64_t keel_follow_wait_ns(const struct keel_follow *follow);
KEEL_API const char *keel_follow_problem(const struct keel_follow *follow);

struct keel_follow_info {
    enum keel_follow_state state;
    char day[KEEL_DAY_SIZE];
    uint64_t next;       /* next number to be delivered; 0: not known yet */
    uint64_t present;    /* the highest "next" that any line or server has named */
    uint32_t unanswered; /* requests in a row that nobody answered */
    uint32_t lines, lines_silent;
};
KEEL_API void keel_follow_info(const struct keel_follow *follow, struct keel_follow_info *info);

struct keel_follow_stats {
    uint64_t packets, messages, bytes, heartbeats;
    uint64_t duplicates; /* messages seen again: the other line, a reply */
    uint64_t held, held_dropped;
    uint64_t gaps, gap_messages; /* holes asked for */
    uint64_t requests, replies;
    uint64_t malformed, late_day, strangers;
    uint64_t first[KEEL_LINES_MAX]; /* messages that this line brought first */
    uint64_t first_server;          /* and those that came by request */
};
KEEL_API void keel_follow_stats(const struct keel_follow *follow, struct keel_follow_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
