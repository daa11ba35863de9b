/* keel-judge: proves, from the evidence of one run alone, that Keel kept its promises.
 *
 * An independent program: it shares no source with the product and includes nothing from it.
 * Decoders, checksums, hashes and the model of the state machine are written anew here, from the
 * descriptions in docs/ and the design, so that a mistake in the product is not repeated by its
 * judge. One thread, no network, reads files only.
 *
 * THE EVIDENCE (written by the demo, the simulator's exports and the end-to-end tests)
 *
 * 1. Ring files, --ring ID=FILE, one for each replica: the ring as it lies on its drive, replica
 *    stopped or killed. Those of more than half of the voters are needed.
 *
 * 2. Gateway logs, --gateway FILE, one for each gateway; a restarted gateway appends to its own.
 *    Text, one record a line, fields parted by one space, each line ended by a newline and written
 *    whole. A last line without its newline is what a kill cut off: it is set aside (who appends
 *    after a kill cuts it off first). Empty lines and lines that begin with '#' are comments;
 *    anything else that is not below is an error.
 *
 *    session <utc_ns> <name> <session> <epoch> <principal>
 *        The answer to an open or a resume has arrived: name of the session, its id (log index
 *        of its open), its epoch (log index of its last open or resume), the principal. Numbers
 *        are decimal. Comes before the first submit or ack of that session in the file.
 *
 *    submit <session> <number> <size> <h>
 *        Written before the message is sent for the first time by this process: size of the
 *        payload in bytes, h = first 16 hex digits (lower case) of the payload's SHA-256. A
 *        process that submits a number again after a restart writes the line again. While the
 *        machine has not consumed a number, another content may be submitted under it (another
 *        h); at most one is ever sequenced. Of a fenced message the payload is without its
 *        sequencer. A node operation has such a line, of its block, if its process writes any under
 *        numbers that another process may have used, else it may have none.
 *
 *    ack <session> <number> <status> <feed> <utc_ns> <day>
 *        A result has arrived. status: the machine's word for it ("sequenced", "day-closed", ...).
 *        feed: the feed number, or the value of a node operation that is "done" or "queued"; else
 *        0. utc_ns: the entry's, 0 where the result consumed nothing. day: the trading day's name;
 * trailing spaces are left out or written as '_'; '-' if the answer did not name the day of that
 * message (results kept, as a resume returns them). The same result may be logged many times.
 *
 *    end <session> <last>
 *        The answer to the session's end has arrived: it is over, `last` was its last number.
 *
 * 3. Captures, --capture FILE: classic pcap (micro- or nanoseconds, either byte order), link type
 *    Ethernet (one 802.1Q tag is skipped) or Linux cooked v1/v2; whole packets, none missing. Each
 *    packet must stand in one file once: capture on one interface, not on a bridge and its ports.
 *    UDP to --feed-port from the IPv4 address of a line (--line ID=ADDRESS) is that line, judged
 *    for each (file, replica, destination) by itself. A UDP payload of 20 bytes to such an address
 *    is a request for numbers; what that address then sends to the request's source, beginning
 *    with the number asked for, is its answer (once for each request): its content is judged, its
 *    order is not. Everything else in a capture is passed over. --framing raw|envelope says what a
 *    block holds (default raw).
 *
 * 4. Starts, --starts FILE: lines `start <replica> <utc_ns>` and `kill <replica> <utc_ns>` in the
 *    order of time, by the clock that stamps the captures; start is written before the process
 *    begins. Each start begins a new stretch of that replica's line. A line `anew <replica>
 * <number>` says that a running replica took over another's checkpoint and declared, in its log,
 * that its history starts at that feed number: its line may leave off and begin a new stretch
 * exactly there. These have no order. Comments as above.
 *
 * What is checked is listed in tests/judge/README.md. Each failure names the place first: file and
 * line, ring, page, offset, index, capture, packet, feed number.
 *
 * Output: a summary, then PROVEN, or NOT PROVEN: <place>: <what> for each failure (the first 16).
 * Exit: 0 proven, 1 not proven, 2 usage or evidence that cannot be read.
 */
#ifndef KEEL_JUDGE_H
#define KEEL_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    REPLICAS = 7,   /* ids 1..7 */
    FILES_MAX = 64, /* of a kind */
    FAILURES_SHOWN = 16,
    NOTES_SHOWN = 16,
    TEXT_MAX = 400, /* bytes of one failure or note */
    DAYS_MAX = 4096,
    LOOSE_MAX = 1 << 26, /* highest feed number believed where the log does not tell */
    DAY_SIZE = 10,
    NAME_SIZE = 32, /* a session's name with its final zero */
    WINDOW_MAX = 64,
    PAGE = 4096,
    SECTOR = 512,
    SECTORS = 8,
    RESERVED_BLOCKS = 16, /* before a ring's checkpoint areas */
    ENTRY_HEAD = 48,
    ENTRY_MAX = 1360,
    CLIENTS_FROM = 16, /* lower principals are replicas */
    PATH_MAX_SIZE = 127,
    PATH_DEPTH = 16,
    CONTENT_MAX = 256,
    RIGHTS_MAX = 8, /* entries of an access list */
    SEQUENCER = 24, /* bytes behind the blocks of a fenced message */
    EXCLUSIVE = 1,
    SHARED = 2
};

/* What the model decided about a number; the words are those of status_word(). */
enum {
    STATUS_SEQUENCED,
    STATUS_DAY_CLOSED,
    STATUS_SUSPENDED,
    STATUS_STALE_SEQUENCER,
    STATUS_DONE, /* from here on: of node operations */
    STATUS_QUEUED,
    STATUS_NO_NODE,
    STATUS_NODE_EXISTS,
    STATUS_NOT_ALLOWED,
    STATUS_CHANGED,
    STATUS_NOT_EMPTY,
    STATUS_BUSY,
    STATUS_NOT_HELD,
    STATUS_NODES_FULL,
    STATUS_HANDLE_LIMIT,
    STATUS_WAITER_LIMIT,
    STATUS_NOT_OPEN,
    STATUS_WORDS,
    STATUS_UNDECIDED = 254, /* an entry consumed it, but what it depends on is gone */
    STATUS_NONE = 255       /* no entry consumed it */
};

/* Log entry kinds. */
enum {
    NOOP = 1,
    MESSAGES,
    OPEN,
    RESUME,
    END,
    EXPIRE,
    DAY_END,
    DAY_BEGIN,
    BOOT,
    CONFIG,
    NODE,
    DUE,
    OPERATOR,
    AUTOPILOT = 14,
    PROBE = 15
};
/* Actions of an AUTOPILOT entry. */
enum { PILOT_SET = 1, PILOT_REPLACE, PILOT_WITHDRAW, PILOT_RETURN };

/* Operations of a NODE entry, and the flags of its block. */
enum { NODE_OPEN = 1, NODE_CLOSE, NODE_SET, NODE_DELETE, NODE_RIGHTS, NODE_ACQUIRE, NODE_RELEASE };
enum { FLAG_CREATE = 1, FLAG_ANEW = 2, FLAG_EPHEMERAL = 4, FLAG_TRY = 8, FLAG_COMPARE = 16 };
/* Operations of an OPERATOR entry. */
enum { OPERATOR_NODE = 1, OPERATOR_SUSPEND, OPERATOR_LIMIT, OPERATOR_DRAIN };
enum { OPERATOR_HEAD = 40, RATE_MAX = 10000000 };

enum { BLOCK_HEAD = 32 }; /* bytes of a block before path and content */

/* --- sums.c: bytes, checksums, hashes ------------------------------------------------------------
 */

uint16_t le16(const uint8_t *at);
uint32_t le32(const uint8_t *at);
uint64_t le64(const uint8_t *at);
uint16_t be16(const uint8_t *at);
uint32_t be32(const uint8_t *at);
uint64_t be64(const uint8_t *at);
bool zeros(const uint8_t *at, size_t size);

uint32_t crc32c(uint32_t crc, const uint8_t *at, size_t size); /* crc: 0 at first */
/* First eight bytes of SHA-256, as the number whose 16 hex digits are the gateway's h. */
uint64_t sha256_head(const uint8_t *at, size_t size);
uint64_t mix64(uint64_t value); /* for hash tables; never 0 */

/* The log chain, as docs/ring-format.md describes it. */
uint64_t chain_genesis(uint64_t cluster_id);
uint64_t chain_next(uint64_t chain, const uint8_t *entry);

/* --- report.c: failures, notes, output -----------------------------------------------------------
 */

struct counts {
    uint64_t acks, acks_sequenced, acks_refused, acks_repeated, submits, resubmits, opens, ends;
    uint64_t sequenced, session_ends, refused, unchanged, entries, bytes, days, sessions;
    uint64_t rings, pages, seals, ring_entries, superseded, torn, checkpoints;
    uint64_t lines, stretches, packets, heartbeats, day_ends, answers, blocks, foreign;
    uint64_t node_operations, operators, grants, fenced, fenced_refused, undecided, acks_node;
    uint64_t highest; /* index that acknowledgements and captures reach */
    uint64_t held;    /* index that a majority holds */
};

struct report {
    uint64_t failure_count;
    uint32_t shown;
    uint32_t note_count;
    bool unreadable;
    char failure[FAILURES_SHOWN][TEXT_MAX];
    char note[NOTES_SHOWN][TEXT_MAX];
    struct counts counts;
};

/* A check that did not hold; place first: "ring 2 page 17: ...". */
void fail(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Evidence that could not be read: exit 2. */
void unreadable(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Something that could not be proven, or was set aside. */
void note(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints it; returns the exit code. */
int report_print(const struct report *report, bool json, bool quiet);

/* --- files and tables ----------------------------------------------------------------------------
 */

struct file {
    const char *path;
    const uint8_t *at;
    size_t size;
};

/* Maps a file or block device for reading; false: unreadable, and said so. */
bool file_map(struct file *file, const char *path, struct report *report);

void *grow(void *array, size_t *cap, size_t need,
           size_t each); /* never NULL: exits when out of memory */
void *zalloc(size_t count, size_t each);

/* A hash table from (a, b) to a 64-bit value; never shrinks. */
struct table_slot {
    uint64_t a, b, value;
    bool used;
};
struct table {
    struct table_slot *slot;
    size_t mask, count;
};
/* The slot's value, or NULL. */
uint64_t *table_find(const struct table *table, uint64_t a, uint64_t b);
/* The value, added with `value` if it was not there; *added says which. */
uint64_t *table_add(struct table *table, uint64_t a, uint64_t b, uint64_t value, bool *added);

/* --- ring.c: one ring --------------------------------------------------------------------------
 */

struct genesis_facts {
    uint64_t cluster_id;
    uint64_t incarnation[REPLICAS + 1];
    char day[DAY_SIZE];
    uint32_t rho_ppm, ttl_min_ms, ttl_max_ms, retain_ms, sessions_max, sessions_each, window_max;
    uint32_t nodes_max, handles_max, handles_each, waiters_max, lock_delay_max_ms;
    uint32_t founders; /* mask */
    uint64_t begins;   /* first index that the ring of a founder ever held */
    uint8_t bytes[512];
};

struct live {             /* one live entry */
    const uint8_t *entry; /* NULL: its page is lost, on a ring that may have lost some */
    uint64_t term;
    uint64_t chain; /* 0: not known, behind a lost page */
    uint64_t page;
};

/* A configuration that a checkpoint states: of the entry at index (0: of genesis), whose body it
 * is.
 */
struct stated {
    uint64_t index;
    const uint8_t *body; /* NULL: none */
};

struct ring {
    struct file file;
    int id;
    bool stopped; /* its replica stopped for damage: bad pages are lost, and said to be */
    uint64_t slots, base, incarnation; /* base: byte offset of slot 0 */
    struct genesis_facts genesis;
    uint64_t head, tail;   /* pages head..tail-1 are kept */
    uint64_t first;        /* index of live[0] */
    uint64_t chain_before; /* at first - 1 */
    struct live *live;
    size_t count, cap;
    uint64_t commit;         /* highest commit index that it states */
    uint64_t checkpoint;     /* highest index of an intact checkpoint; 0: none */
    struct stated stated[2]; /* by area: what an intact checkpoint says of the members */
    bool usable;
};

static inline uint64_t ring_last(const struct ring *ring)
{
    return ring->first + ring->count - 1;
}

/* super.c: what a ring's first blocks say. False: it cannot be read on, and said so. */
bool super_read(struct ring *ring, struct report *report);
bool genesis_read(struct ring *ring, struct report *report);
/* Of records of 512 bytes, whose last four are the checksum of the others. */
bool sum512_good(const uint8_t *at);

/* Reads and checks one ring by itself. */
void ring_read(struct ring *ring, struct report *report);
/* NULL, or what is wrong with an entry's form. Looks at its checksum too. */
const char *entry_problem(const uint8_t *at, size_t room);

/* --- rings.c: all rings ------------------------------------------------------------------------
 */

struct rings {
    struct ring ring[REPLICAS + 1]; /* by id; usable or not */
    int given;
    /* the log that a majority holds: the longest */
    const struct ring *reference;
    uint64_t first, held; /* indexes first..held of it */
};

/* Finds the log that a majority holds, and compares all rings with it. Everything that
 * acknowledgements and captures speak of is then looked for in that log alone. */
void rings_compare(struct rings *rings, struct report *report);
const uint8_t *rings_entry(const struct rings *rings, uint64_t index); /* NULL: no ring has it */

/* --- model.c: the machine, as the design describes it
 * ---------------------------------------------- */

struct result {           /* what became of a session's number */
    const uint8_t *entry; /* that consumed it; NULL: none */
    const uint8_t *payload;
    uint64_t hash; /* sha256_head of the payload */
    uint64_t feed; /* number, or a node operation's value */
    uint32_t day;
    uint16_t size;
    uint8_t status;
};

struct session {
    uint64_t id, epoch, process, last, began_ns, ended_ns;
    uint64_t base; /* result[0] is of number base + 1 */
    struct result *result;
    size_t result_cap;
    uint64_t *epochs; /* all that it had */
    size_t epoch_count, epoch_cap;
    uint64_t settled; /* adopted: numbers up to here were decided before the log begins, perhaps */
    uint32_t principal, ttl_ms;
    uint16_t window;
    uint8_t end_reason; /* 0: alive */
    bool adopted;       /* opened before the log begins */
    bool forgotten;     /* its retention is over */
    uint32_t handles;   /* 1 + the place of its newest handle in struct locks */
    uint32_t handle_count;
    char name[NAME_SIZE];
};

struct fed {                  /* one feed number of a day */
    const uint8_t *entry;     /* NULL: gone with the rings' beginning */
    uint64_t session, number; /* 0 where an acknowledgement does not tell them either */
    uint64_t seen;            /* hash of the block as a line showed it; 0: not seen */
    uint16_t offset;          /* of the payload within the entry */
    uint16_t size;
    uint8_t kind;   /* 0 message, 1 session end */
    uint8_t reason; /* of the end */
};

struct day {
    char name[DAY_SIZE];
    bool ended;
    struct fed *fed; /* fed[n - 1] */
    size_t count, cap;
    uint64_t acked; /* highest number acknowledged */
};

struct model {
    bool whole; /* the log begins at 1: everything can be decided */
    struct session **session;
    size_t session_count, session_cap;
    struct table by_id;
    struct day day[DAYS_MAX];
    uint32_t day_count;
    bool day_open;
    uint64_t utc_ns, log_ns, noop_term, noop_ns, first_utc_ns;
    uint64_t last_term, control_ns;
    uint64_t below; /* wrapped: results that lie before the log's beginning */
    const struct genesis_facts *genesis;
    struct locks *locks; /* NULL: not whole */
    struct operators *operators;
};

void model_run(struct model *model, const struct rings *rings, struct report *report);
struct session *model_session(const struct model *model, uint64_t id);
/* The result of a number; status STATUS_NONE where none. */
struct result model_result(const struct session *session, uint64_t number);
/* Index of the day of that name, not before `from`; UINT32_MAX: none. Wrapped: adds it. */
uint32_t model_day(struct model *model, const char *name, uint32_t from);
/* Room for feed number `feed` of a day. */
struct fed *day_fed(struct day *day, uint64_t feed);

/* The word of a status below STATUS_WORDS. */
const char *status_word(uint8_t status);

/* --- operator.c: what operators asked for; bodies are those of OPERATOR entries
 * ---------------------------------------------- */

struct operators;
struct operators *operators_new(void);
/* Has a request of that id been done, as far back as is remembered? It is remembered from now on.
 */
bool operators_repeated(struct operators *operators, const uint8_t *body);
bool operators_suspended(const struct operators *operators, const struct session *session);
/* SUSPEND or LIMIT; session NULL: the one that is named is not known, or a principal is. */
void operators_hold_back(struct operators *operators, const struct session *session,
                         const uint8_t *body);
void operators_forget(struct operators *operators, uint64_t session);

/* --- locks.c: nodes, handles, locks, as docs/leases.md describes them
 * ---------------------------------------------- */

struct locks;
enum leaving { LEAVES_CLEAN, LEAVES_EXPIRED, LEAVES_TAKEN }; /* TAKEN: resumed, killed, broken */

struct locks *locks_new(const struct genesis_facts *genesis, struct report *report);
/* The entry that is applied from now on. */
void locks_at(struct locks *locks, uint64_t index, uint64_t log_ns);
/* A node operation, with its block; session NULL: an operator's, and `now`: a lock that it breaks
 * is free at once. A status, and the value of STATUS_DONE and STATUS_QUEUED. */
uint8_t locks_operate(struct locks *locks, struct session *session, uint32_t principal, bool now,
                      const uint8_t *block, uint64_t *value);
/* The session's life, or its process's, is over: all its handles go. */
void locks_end(struct locks *locks, struct session *session, enum leaving leaving);
void locks_due(struct locks *locks);
/* Is the lock that a sequencer names held in that mode at that generation? */
bool locks_hold(const struct locks *locks, const uint8_t *sequencer);

/* --- holds.c: who held what, from when to when, by itself
 * ---------------------------------------------- */

struct hold {
    const char *path;
    uint64_t session, generation;
    uint64_t from, to;    /* indexes; to 0: held at the log's end */
    uint64_t from_ns;     /* log time */
    uint64_t believes_ns; /* log time until which nobody else may get it; 0: no matter */
    uint8_t mode;
};

struct holds {
    struct hold *hold;
    size_t count, cap;
};

/* No two sessions hold one exclusive lock at one index, generations of a name rise, and nobody gets
 * a lock in whose holder another may still believe. */
void holds_check(struct holds *holds, struct report *report);
/* From that log time on an operator answers for it that nobody believes in that lock any more. */
void holds_freed(struct holds *holds, const char *path, uint64_t log_ns);
struct holds *locks_holds(struct locks *locks);

/* --- gateway.c
 * ------------------------------------------------------------------------------------ */

struct gateways {
    struct file file[FILES_MAX];
    int count;
    bool complete;
    struct table submitted; /* (mix of session and number, h) -> size */
};

/* Was this content, by its hash, ever submitted under that number? */
bool gateways_submitted(const struct gateways *gateways, uint64_t session, uint64_t number,
                        uint64_t hash);
/* Both passes over all logs. Sets counts.highest. */
void gateways_check(struct gateways *gateways, struct model *model, const struct rings *rings,
                    struct report *report);

/* --- capture.c, line.c: the feed
 * -------------------------------------------------------------------- */

struct datagram {
    const uint8_t *at; /* UDP payload */
    size_t size;
    uint64_t utc_ns;
    uint64_t number; /* of the packet in its file, from 1 */
    int capture;     /* of which file */
    uint32_t from, to;
    uint16_t from_port, to_port;
    bool broken; /* lengths that do not agree, or a fragment: at and ports mean nothing */
};

struct line { /* what one replica sends to one destination, in one capture */
    int capture, replica;
    uint32_t to;
    uint16_t to_port;
    size_t starts;   /* of the replica, up to now */
    bool positioned; /* this stretch has a next number */
    bool begun;      /* this stretch has shown messages or an end of session */
    bool day_over;
    uint32_t day;
    uint64_t next;
};

struct start {
    uint64_t utc_ns;
    int replica;
};

struct feed {
    struct file capture[FILES_MAX];
    int capture_count;
    struct file starts_file;
    struct start *start;
    size_t start_count, start_cap;
    struct start *anew; /* utc_ns: the feed number */
    size_t anew_count, anew_cap;
    uint32_t address[REPLICAS + 1]; /* host order; 0: no line */
    uint16_t port;
    struct table asked; /* (line and source, number) -> requests not yet answered */
    bool envelope;
    struct line *line;
    size_t line_count, line_cap;
};

void feed_starts(struct feed *feed, struct report *report);
void feed_check(struct feed *feed, struct model *model, const struct gateways *gateways,
                struct report *report);
/* Calls `each` for every UDP packet over IPv4 in one capture. */
void capture_read(const struct file *file, int capture, struct report *report,
                  void (*each)(void *context, const struct datagram *datagram), void *context);

/* What judging the feed needs (line.c, block.c). */
struct judging {
    struct feed *feed;
    struct model *model;
    const struct gateways *gateways;
    struct report *report;
};
/* Judges one datagram: a line's packet, a request, an answer, or something else. */
void line_datagram(void *judging, const struct datagram *datagram);
/* Judges the blocks of a packet against the model; `where` begins its failures. */
void blocks_check(struct judging *judging, uint32_t day, uint64_t sequence, uint16_t count,
                  const uint8_t *at, const char *where);

#endif
