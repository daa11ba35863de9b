/* The session of a client, without sockets and clocks: packets and the time go in, packets and
 * results come out. keel.c drives it over UDP; tests drive it over a simulated network.
 *
 * Owns: the associations with every member, the session (open, resume, end), the window of
 * unanswered messages, and the choice of whom to ask. Belongs to the thread that calls it. One
 * block of memory, nothing is allocated afterwards. Time is nanoseconds of a clock that counts
 * suspend and never steps (H20), > 0.
 *
 * Rules it keeps: a number is sent with the same content until its result is known; a result is
 * given out once per number and in number order; an outcome that nobody stated is not guessed.
 */
#ifndef KEEL_CLIENT_ENGINE_H
#define KEEL_CLIENT_ENGINE_H

#include "client/keel.h"
#include "client/lease.h"
#include "consensus/wire/packet.h"
#include "dataplane/auth/auth.h"
#include "dataplane/auth/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_MS UINT64_C(1000000)

enum {
    ENGINE_SLOTS = KEEL_WINDOW_MAX,
    ENGINE_SILENT_TRIES = 3,   /* unanswered tries before others are asked */
    ENGINE_RESUME_ROUNDS = 16, /* opens and resumes that another process may spoil */
    ENGINE_COPIES = 16,        /* copies of requests whose sending is remembered (H21) */
    ENGINE_EVENTS = 64,        /* events that wait to be collected */
    ENGINE_ASSOC_PER_MEMBER = AUTH_PENDING_MAX + 1
};

/* Times, nanoseconds. */
#define ENGINE_RETRY_MIN (2 * ENGINE_MS) /* repeat after this silence at the least ... */
#define ENGINE_RETRY_MAX (200 * ENGINE_MS)
#define ENGINE_RETRY_FIRST (20 * ENGINE_MS) /* ... while no round trip is known */
#define ENGINE_SEARCH_MIN (4 * ENGINE_MS)   /* between members asked in turn */
#define ENGINE_SEARCH_MAX (16 * ENGINE_MS)
#define ENGINE_SUSPECT                                                                             \
    (100 * ENGINE_MS)                   /* a member left for its silence is not asked for so long */
#define ENGINE_BUSY_MIN (1 * ENGINE_MS) /* back-off, doubled each time ... */
#define ENGINE_BUSY_MAX (100 * ENGINE_MS)
#define ENGINE_ROOM_MIN (50 * ENGINE_MS) /* ... and while there is no room for a session */
#define ENGINE_PING_EVERY (1000 * ENGINE_MS)
#define ENGINE_PING_RETRY (100 * ENGINE_MS)
#define ENGINE_SHAKE_EVERY (500 * ENGINE_MS) /* a handshake that is not answered begins anew */
#define ENGINE_SHAKE_TICK (20 * ENGINE_MS)

enum engine_phase {
    ENGINE_CONNECT,
    ENGINE_OPEN,
    ENGINE_RESUME,
    ENGINE_READY,
    ENGINE_END,
    ENGINE_CLOSED,
    ENGINE_FAILED
};

enum engine_slot_state { ENGINE_SLOT_FREE = 0, ENGINE_SLOT_PENDING, ENGINE_SLOT_DONE };

struct engine_slot {
    uint32_t state; /* enum engine_slot_state */
    uint8_t kind;   /* enum packet_kind: SUBMIT or NODE */
    bool fenced;
    struct entry_sequencer sequencer; /* fenced */
    uint32_t sends;
    uint64_t first_ns; /* first and last sending; 0: not sent yet */
    uint64_t last_ns;
    struct keel_result result;
    uint16_t size;
    uint8_t payload[KEEL_PAYLOAD_MAX];
};

struct engine_address {
    uint32_t id; /* 1..KEEL_REPLICA_MAX */
    uint32_t ip; /* host order */
    uint16_t port;
};

struct engine_member {
    struct engine_address at;
    bool shaking;        /* a handshake is under way */
    bool challenged;     /* it has answered a HELLO at least once */
    uint32_t silent;     /* packets to it since its last valid one */
    uint64_t shaken_ns;  /* begin of the last handshake */
    uint64_t heard_ns;   /* last valid packet */
    uint64_t ping_ns;    /* next ping */
    uint64_t suspect_ns; /* when it was last asked in vain; 0: not since it was heard */
};

struct engine_options {
    struct engine_address member[KEEL_MEMBERS_MAX];
    uint32_t member_count;
    uint32_t principal;
    const struct keyring *keys; /* outlives the engine */
    uint64_t cluster;           /* 0: learn it */
    uint64_t process;           /* random, not 0 */
    char session[KEEL_SESSION_MAX + 1];
    uint16_t window;
    uint32_t ttl_ms;
    bool leases;       /* a keepalive is always on its way, and events come with its answers */
    uint32_t grace_ms; /* how long jeopardy may last */
    void (*random)(void *context, void *bytes, size_t size);
    void (*send)(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size);
    void *context;
};

struct engine {
    struct engine_options options;
    enum engine_phase phase;
    int error; /* enum keel_error, once FAILED */
    char problem[KEEL_PROBLEM_SIZE];
    struct auth_table *auth;
    struct handshake *handshake;
    uint64_t cluster;
    uint64_t now_ns;
    uint64_t jitter;

    struct engine_member member[KEEL_MEMBERS_MAX];
    uint32_t target;      /* index of the member asked */
    uint32_t answered_by; /* index + 1 of the leader that answered last; 0: none yet */
    uint32_t tries;       /* timeouts since the last answer that counts */
    uint32_t redirects;   /* followed since then */
    bool searching;
    uint64_t term; /* highest that a redirect named */

    uint64_t timer_ns; /* repeat then; 0: nothing is awaited */
    uint64_t hold_ns;  /* busy: send nothing before; 0: free */
    uint64_t busy_ns;  /* next back-off */
    uint64_t rtt_ns;   /* smoothed, and its variation; 0: unknown */
    uint64_t rtt_var_ns;

    uint64_t request;       /* last request number used */
    uint64_t request_first; /* first one of this phase */
    uint64_t replaces;      /* RESUME: the epoch told */
    uint32_t rounds;
    uint8_t open_status; /* last refusal for want of room, 0: none */

    uint64_t session;
    uint64_t epoch;
    uint32_t ttl_ms;
    uint32_t window;
    bool resumed;
    uint64_t resumed_last;
    uint32_t kept_count;
    struct keel_result kept[ENGINE_SLOTS];

    /* numbers: given <= delivered < oldest <= unsent <= next */
    uint64_t given;          /* results handed out up to here */
    uint64_t oldest;         /* lowest number without a result */
    uint64_t unsent;         /* lowest number never sent */
    uint64_t next;           /* next number to be given to a message */
    uint64_t lost_before_ns; /* what was last sent before is taken for lost; 0: nothing is */
    struct engine_slot slot[ENGINE_SLOTS]; /* number n at n % ENGINE_SLOTS */

    uint64_t alive_ns; /* sending of the packet last answered */
    bool keepalive;    /* one is awaited */
    struct {
        uint64_t request, sent_ns;
    } copy[ENGINE_COPIES];

    /* leases: engine_lease.c */
    struct lease lease;
    uint64_t lease_next_ns; /* the next copy is sent */
    uint32_t lease_silent;  /* copies since the last answer */
    uint32_t lease_target;  /* member + 1 that the last copy went to */
    enum lease_state told;  /* what the last event said of the lease */
    struct packet_event_place seen;
    uint64_t settled;     /* the highest number whose result has come */
    uint32_t event_count; /* waiting to be collected, from event_first on */
    uint32_t event_first;
    struct keel_event event[ENGINE_EVENTS];
    uint64_t event_after[ENGINE_EVENTS]; /* given out behind the result of this number */

    /* a question about nodes: one at a time */
    uint64_t question;      /* the last one's number */
    uint64_t query_request; /* of the one that is awaited; 0: none */
    uint64_t query_next_ns; /* asked again then */
    uint32_t query_size;
    uint32_t answer_size; /* 0: none yet */
    uint8_t query[sizeof(struct packet_query) + KEEL_PATH_MAX];
    uint8_t answer[KEEL_BODY_MAX];

    bool end_wanted;
    struct keel_stats stats;
    uint8_t packet[KEEL_DATAGRAM_MAX];
};

/* Bytes (64-byte aligned) for an engine with its association table and handshakes. */
size_t engine_size(uint32_t member_count);
/* Initialises memory of that size and begins a handshake with every member. NULL if the processor
 * has no AES-GCM path. */
struct engine *engine_init(void *memory, const struct engine_options *options, uint64_t now_ns);

/* As keel_submit(). */
int engine_submit(struct engine *e, const void *payload, size_t size, uint64_t *number);
/* A message that is sequenced only while that lock is held. */
int engine_submit_fenced(struct engine *e, const void *payload, size_t size,
                         const struct entry_sequencer *sequencer, uint64_t *number);
/* A node operation, in form: it takes a number like a message. */
int engine_operate(struct engine *e, const struct entry_node *op, const char *path,
                   const void *content, uint64_t *number);
/* Asks; the answer of an earlier question is gone. */
int engine_ask(struct engine *e, const struct packet_query *query, const char *path);
/* The answer, once it is there: packet_answer and its bytes; NULL: not yet. */
const uint8_t *engine_answer(const struct engine *e, size_t *size);
/* The next event, once. */
bool engine_event(struct engine *e, struct keel_event *event);
/* Is there anything that engine_flush() would send? Not while busy or searching for the leader. */
bool engine_may_flush(const struct engine *e);
/* Sends what was submitted and may go now. */
void engine_flush(struct engine *e, uint64_t now_ns);
/* One datagram came from there. */
void engine_receive(struct engine *e, uint32_t ip, uint16_t port, const void *packet, size_t size,
                    uint64_t now_ns);
/* Repeats, asks others, keeps alive: whatever is due. */
void engine_tick(struct engine *e, uint64_t now_ns);
/* When engine_tick() is due next; UINT64_MAX: never. */
uint64_t engine_deadline(const struct engine *e);
/* The next result in number order, once. */
bool engine_result(struct engine *e, struct keel_result *result);
/* Ends the session as soon as every message is answered; then the phase is ENGINE_CLOSED. */
void engine_end(struct engine *e, uint64_t now_ns);
/* Why a session did not open in time: a code, and *problem in words. */
int engine_blame(const struct engine *e, char *problem, size_t size);
enum keel_state engine_state(const struct engine *e);

/* --- between the engine's own files ----------------------------------------------------------- */

void engine_fail(struct engine *e, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Seals body_size bytes behind the packet's head and sends them; false without an association. */
bool engine_send(struct engine *e, uint32_t member, uint8_t kind, size_t body_size);
void engine_begin_handshake(struct engine *e, uint32_t member);
void engine_handshakes(struct engine *e);
void engine_handshake_packet(struct engine *e, uint32_t member, const void *packet, size_t size);
void engine_pings(struct engine *e);
/* Turns to another member: one with an association that was not left for its silence, else one with
 * an association, else the next. */
void engine_next_member(struct engine *e);
/* Sends the oldest thing that awaits an answer to the target. */
void engine_push(struct engine *e);
/* Sends again all that was last sent before lost_before_ns. */
void engine_resend(struct engine *e);
/* Sets the repeat timer anew, or stops it if nothing is awaited. */
void engine_arm(struct engine *e);
bool engine_awaiting(const struct engine *e);
void engine_enter(struct engine *e, enum engine_phase phase);
void engine_keepalive(struct engine *e);
void engine_send_keepalive(struct engine *e);
/* The next request number, and that its copy is sent now (H21). */
uint64_t engine_next_request(struct engine *e);
/* When exactly this copy was sent; 0: no longer known. */
uint64_t engine_copy_sent(const struct engine *e, uint64_t request);

/* engine_lease.c: a keepalive is always on its way. */
void engine_lease_tick(struct engine *e);
uint64_t engine_lease_due(const struct engine *e);
/* The session is open: its lease begins with the first answered keepalive. */
void engine_lease_begin(struct engine *e);
void engine_lease_answer(struct engine *e, const struct packet_lease *answer,
                         const uint8_t *events);
void engine_lease_redirected(struct engine *e);
/* What waits to be said of this node's lock is overtaken: the session gives it up. */
void engine_lease_overtaken(struct engine *e, uint64_t node);

/* engine_nodes.c: questions. */
void engine_query_tick(struct engine *e);
uint64_t engine_query_due(const struct engine *e);
void engine_query_answer(struct engine *e, const uint8_t *body, size_t size);
void engine_back_off(struct engine *e, uint64_t least_ns);
void engine_round_trip(struct engine *e, uint64_t sample_ns);
uint64_t engine_retry_ns(const struct engine *e);

static inline bool engine_suspect(const struct engine *e, const struct engine_member *m)
{
    return m->suspect_ns != 0 && e->now_ns - m->suspect_ns < ENGINE_SUSPECT;
}

/* What gives a lock up, or the wait for it. */
static inline bool engine_gives_up(uint8_t operation)
{
    return operation == NODE_RELEASE || operation == NODE_CLOSE;
}

static inline struct engine_slot *engine_slot(struct engine *e, uint64_t number)
{
    return &e->slot[number % ENGINE_SLOTS];
}

#endif
