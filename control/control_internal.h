/* The inside of struct control, for control's own files: one file per part, one pass of each part
 * in control_turn(). Only control_ask(), control_answer() and control_rekey...() run on other
 * threads, and touch nothing but their two links and `asked`, or the two pointers of the exchange
 * of keys; published numbers go through control_status().
 */
#ifndef KEEL_CONTROL_INTERNAL_H
#define KEEL_CONTROL_INTERNAL_H

#include "control/backup_file.h"
#include "control/control.h"
#include "control/founding.h"

enum {
    CONTROL_PAGES = NOTICE_SPANS, /* pages read for one answer about spans */
    CONTROL_TAG_SHIFT = 56        /* a proposal's tag: what asked in the top byte */
};

enum proposer {
    PROPOSER_BOOT = 1,
    PROPOSER_EXPIRY = 2,
    PROPOSER_REQUEST = 3,
    PROPOSER_DUE = 4,
    PROPOSER_AUTOPILOT = 14
};

struct control_peer {       /* another replica */
    uint64_t next_begin_ns; /* no new handshake before this */
    uint64_t next_ping_ns;
};

struct control_session { /* beside each slot of the machine */
    uint64_t session;    /* that the rest speaks of; another id: begin anew */
    uint64_t epoch;
    uint64_t alive_ns; /* no expiry is counted from before this: first seen, or arrival of the copy
                          that was answered last */
    uint64_t proposed_ns; /* an expiry is under way since; 0: none */
    /* A keepalive that is held until there is something to tell, the newest copy; keepalive.c. */
    uint64_t held_request; /* 0: none */
    uint64_t newest;       /* request of the newest copy that came */
    uint64_t held_ns;      /* its arrival */
    uint64_t held_until_ns;
    uint64_t told_term; /* of the last answer; another one: the next is answered at once */
    uint64_t told_ns;
    uint64_t number; /* the copy's: its owner knows the result of it */
    struct packet_event_place seen;
};

struct control_query { /* waits until control's machine knows `commit` */
    uint64_t commit;
    uint64_t since_ns;
    uint32_t principal;
    uint32_t size;
    uint8_t bytes[NOTICE_QUERY_MAX];
};

enum part {
    PART_CURSOR,
    PART_CHECKPOINT,
    PART_SEND,
    PART_RECEIVE,
    PART_REPAIR,
    PART_COUNT
}; /* that can be
       unwell */

enum ask_state {
    ASK_FREE,
    ASK_PROPOSED,
    ASK_APPENDED,
    ASK_PROBED,       /* applied here; done when seq has told how long it took */
    ASK_SNAPSHOT,     /* done when a checkpoint of `index` or behind it stands */
    ASK_HANDING_OVER, /* told to seq; index: the transfer's number once it is known */
    ASK_READING,
    ASK_READ /* proven: index; done when a status of read_ns is seen */
};

struct control_ask {
    enum ask_state state;
    uint32_t reserved;
    uint64_t tag;    /* the asker's */
    uint64_t serial; /* low bits of the proposal's tag: an old notice finds another one here */
    uint64_t index, term;
    uint64_t value;
    uint64_t deadline_ns;
    uint64_t read_ns;
    bool repeated;
    bool looks; /* READING: `asked` is answered when it is proven */
    struct control_request asked;
};

struct control_digests {
    struct control_digest_mark own[PACKET_DIGESTS][CONTROL_DIGESTS_KEPT];
    struct control_digest_mark told[KEEL_REPLICA_MAX + 1]
                                   [PACKET_DIGESTS]; /* by the others, the last */
    uint64_t newest[PACKET_DIGESTS];
    uint64_t tell_at_ns;
    bool stopped;
};

/* A checkpoint on its way to peers that no log reaches; sending.c. */
struct control_send_peer {
    uint64_t sent, acked;   /* offsets: sent up to, wanted from */
    uint64_t progress_ns;   /* acked moved, or what was on its way was given up */
    uint64_t not_before_ns; /* nothing to it before this */
    bool lost;              /* no progress for long: it may have to begin further back */
    bool done;              /* it has taken it over, or needs none */
};

struct control_send {
    bool pinned; /* bytes hold the checkpoint `id`, whatever becomes of the areas */
    struct packet_checkpoint_id id;
    uint8_t *bytes;
    uint64_t not_before_ns; /* no try to read one before this */
    uint64_t allowance;     /* bytes that may be sent now */
    uint64_t allowed_ns;
    struct control_send_peer peer[KEEL_REPLICA_MAX + 1];
};

/* A checkpoint on its way here; receiving.c. */
struct control_receive {
    enum { RECEIVE_NOTHING, RECEIVE_CHUNKS, RECEIVE_OFFERED } state;
    uint32_t from; /* replica that sends; 0: cut off by a restart */
    struct packet_checkpoint_id id;
    uint8_t *bytes;
    uint64_t have, flushed; /* bytes here, and on the drive */
    uint64_t heard_ns, flushed_ns;
    struct machine *machine; /* a third instance, to be handed to seq */
    struct checkpoint_offer offer;
};

/* Reading back what nobody asks for, and writing anew what is bad; repairing.c. */
struct control_scrub {
    uint8_t *page_bytes; /* of the page being restored */
    uint64_t next;       /* page */
    uint64_t allowance;  /* pages that may be read now, in billionths */
    uint64_t allowed_ns;
    uint32_t in_flight;
    uint32_t bad_areas; /* mask of checkpoint areas that are to be written anew */
};

enum backup_state { BACKUP_FREE, BACKUP_WANTED, BACKUP_HELD };

enum {
    TRIPS_KEPT = 5, /* newest round trips to a peer, whose least counts */
    TRIPS_RATIO = 4,
    TRIPS_RATIO_PLAIN = 8,   /* nothing but a slow link makes that much of a difference */
    TRIPS_ROUNDS = 30,       /* of pings in which a slow link must show */
    TRIPS_ROUNDS_PLAIN = 3,  /* in which one that is plainly so must */
    TRIPS_LEAST_NS = 100000, /* a smaller difference is none, whatever the ratio */
    TRIPS_FRESH_MS = 1000    /* what a peer told counts for so long */
};
enum { DRAINED_REST = 5, DRAINED_DOUBLINGS = 6 }; /* election timeouts between two tries; doubled */
#define TRIPS_TAG UINT64_MAX                      /* of a transfer that nobody asked for */

struct control_trip {     /* to a peer; trips.c */
    uint64_t incarnation; /* of whom this speaks */
    uint64_t seen;        /* answers that seq had noted at the last turn */
    uint64_t count;       /* round trips taken from there */
    uint64_t ns[TRIPS_KEPT];
    uint64_t asked_ns; /* the oldest ping without an answer; 0: none */
    uint64_t heard_ns;
    uint64_t way_ns, drive_ns, stall_ns; /* as the peer tells */
};

struct control_trips {
    struct control_trip peer[KEEL_REPLICA_MAX + 1];
    uint64_t at_ns;                  /* the next round of pings */
    uint64_t led_since_ns, led_term; /* in office; 0: not, or since it was last handed over */
    uint32_t rounds;                 /* in a row in which a voter's way was so much shorter; one in
                                        which it plainly was counts as several */
    uint32_t rests;                  /* doublings of the rest before the next handing over */
};

struct control_autopilot { /* a leader's judgement; autopilot.c */
    uint64_t next_ns;
    uint64_t term;      /* in which it looks; 0: it does not. All from here on is begun anew */
    uint64_t since_ns;  /* without a break since then */
    uint64_t looked_ns; /* last, with a majority in contact */
    uint64_t steady_since_ns[KEEL_REPLICA_MAX + 1]; /* heard and caught up; 0: it is not */
    uint64_t proposed_ns;                           /* its last entry; 0: none yet */
    uint64_t asked_ns; /* ... and the last change of members that it asked for */
};

enum { DETECTOR_STEP_MS = 50 }; /* no more between two looks counts as time that was listened */

struct detector_peer {              /* detector.c */
    uint64_t incarnation;           /* of whom this speaks; 0: no member, or this replica itself */
    uint64_t heard_ns, beats, boot; /* as seq had them at the last look */
    struct suspicion suspicion;
};

struct control_detector {
    uint64_t seen_ns; /* seq's clock at the last look */
    struct detector_peer peer[KEEL_REPLICA_MAX + 1];
};

struct control {
    struct control_options options;
    struct replica *replica;
    struct machine *machine; /* own instance */
    struct handshake *handshake;
    struct founding *founding; /* NULL until somebody asks under cluster id 0 */
    void *founding_memory;
    uint64_t founders_at_ns;         /* they are looked after again */
    struct control_session *session; /* by slot */
    struct machine_outcome outcome;
    uint64_t now_ns;
    struct replica_status seen; /* read once a turn */

    /* peers */
    struct control_peer peer[KEEL_REPLICA_MAX + 1];
    uint64_t found_boot[KEEL_REPLICA_MAX + 1], found_boot_id[KEEL_REPLICA_MAX + 1];

    /* log cursor */
    uint64_t chain;       /* at machine->applied */
    uint64_t page;        /* that holds machine->applied; 0 also when none is known */
    uint64_t durable_lsn; /* told together with the spans that led to machine->applied */
    uint64_t asked_ns;    /* spans are asked for since; 0: no question is open */
    uint64_t next_ask_ns;
    struct ring_super super;
    uint8_t *page_bytes;

    /* checkpoints */
    struct feed_exceptions *exceptions; /* of the current day, up to machine->applied */
    uint8_t *checkpoint_bytes;
    size_t checkpoint_cap;
    uint64_t checkpoint_index[2]; /* [0] newest verified; [1] the one before, 0: none */
    uint64_t checkpoint_sequence;
    uint64_t checkpoint_page;   /* page of the newest */
    uint64_t checkpoint_wanted; /* by people: one of this index, or a newer one */
    uint64_t checkpoint_at_ns;
    uint64_t checkpoint_not_before_ns;
    uint8_t checkpoint_area; /* the next one goes here */
    bool checkpoint_alone;   /* the newest came from a peer and has no copy yet (H14) */
    struct control_send send;
    struct control_receive receive;
    struct control_scrub scrub;

    /* sessions */
    uint64_t scan_at_ns;
    uint64_t leading_term; /* own no-op of this term was applied here ... */
    uint64_t leading_ns;   /* ... at this time; 0: not leading */
    uint32_t scan_slot;

    /* keepalives, questions, lock-delays */
    bool nodes_touched; /* since keepalives were last looked at */
    uint32_t held;      /* keepalives that are held */
    uint64_t held_scan_ns;
    uint32_t query_first, query_count;
    struct control_query query[CONTROL_QUERIES];
    uint64_t due_proposed_ns;
    bool due_known; /* due_log_ns is what the machine would say */
    uint64_t due_log_ns;
    uint64_t due_applied; /* the log time that machine->log_ns had ... */
    uint64_t due_at_ns;   /* ... when this clock stood here */

    uint64_t drained_at_ns; /* a drained leader tries to hand over again */
    uint64_t drained_term;
    uint32_t drained_tries; /* in that term, behind the first */

    /* boots */
    uint64_t boot_proposed_ns[KEEL_REPLICA_MAX + 1];

    uint64_t count_at_ns; /* locks */

    struct control_digests digests;

    struct control_trips trips;
    struct control_autopilot autopilot;

    struct control_detector detector;

    /* members */
    struct packet_members told; /* the newest that another replica told; voters 0: none yet */
    uint64_t tell_members_at_ns;

    /* requests */
    uint64_t ask_serial;
    struct control_ask ask[CONTROL_REQUESTS];
    struct spsc requests, replies;
    uint64_t asked, answered; /* asker's thread */
    struct control_request request_memory[CONTROL_REQUESTS];
    struct control_reply reply_memory[CONTROL_REQUESTS];

    /* exchange of root keys */
    const struct control_rekey *rekey_offered; /* another thread -> control */
    const struct control_rekey *rekey_obeyed;  /* control -> another thread: done with it */
    const struct control_rekey *rekey;         /* being obeyed; NULL: none is */
    uint32_t rekey_at;                         /* next of rekey->ended */

    /* backup: see backup.c for whose these are when */
    uint32_t backup_state; /* enum backup_state */
    uint64_t backup_size;
    uint8_t *backup_bytes; /* backup_size_max() */

    char problem[PART_COUNT][CONTROL_PROBLEM_SIZE];
    struct control_status status; /* being counted */
    uint64_t status_version;      /* odd while `shown` is written */
    struct control_status shown;
};

/* The next command to seq, NULL (counted) if the link is full. Fill it, then
 * control_command_send(). */
struct command *control_command(struct control *c, enum command_kind kind);
void control_command_send(struct control *c);
/* Proposes an entry; false if the link is full. serial < 2^56. was: of a change of members, the
 * index of the configuration that it replaces; else 0. */
bool control_propose(struct control *c, enum proposer by, uint64_t serial, uint8_t entry_kind,
                     const void *body, uint32_t size, uint64_t was);
/* The configuration in force at seq; until it has published, that of control's own machine. */
static inline const struct entry_config *control_config(const struct control *c)
{
    return c->seen.started_ns != 0 ? &c->seen.config : &c->machine->config;
}
/* The incarnation of a member by it; 0: no member. */
static inline uint64_t control_member(const struct control *c, uint32_t id)
{
    return id >= 1 && id <= KEEL_REPLICA_MAX ? control_config(c)->member[id].incarnation : 0;
}
/* Says what goes wrong with a part, until control_well() takes it back. */
__attribute__((format(printf, 3, 4))) void control_unwell(struct control *c, enum part part,
                                                          const char *format, ...);
void control_well(struct control *c, enum part part);
/* Leader whose intake is open and who was in contact with a quorum within the election timeout. */
bool control_leads(const struct control *c);

/* peers.c: handshakes; H2 and H13. */
void peers_init(struct control *c, void *handshake_memory);
uint32_t peers_turn(struct control *c);
void peers_datagram(struct control *c, const struct notice *notice);
/* The highest boot known of a replica: drive, log, or its packets. */
void peers_boot(const struct control *c, uint32_t id, uint64_t *boot, uint64_t *boot_id);

/* founders.c: those who have no genesis record yet. False: the packet is none of cluster id 0. */
bool founders_packet(struct control *c, const struct notice *notice);
uint32_t founders_turn(struct control *c);

/* rekey.c: other root keys. */
uint32_t rekey_turn(struct control *c);

/* cursor.c: the committed log into control's machine. */
uint32_t cursor_turn(struct control *c);
void cursor_spans(struct control *c, const struct notice *notice);

/* checkpoint.c */
void checkpoint_init(struct control *c, const struct ring_recovery *found);
uint32_t checkpoint_turn(struct control *c);

/* A peer's checkpoint: into both areas, so that the ring's head may move behind it. `bytes` has
 * room for `size` rounded up to blocks. 0 or negative errno. */
int checkpoint_store_peers(struct control *c, const struct packet_checkpoint_id *id, void *bytes);

/* sending.c: checkpoints to peers that no log reaches. */
uint32_t sending_turn(struct control *c);
void sending_reply(struct control *c, const struct link_chunk *chunk);

/* receiving.c: a checkpoint from a peer. */
void receiving_init(struct control *c);
uint32_t receiving_turn(struct control *c);
void receiving_chunk(struct control *c, const struct link_chunk *chunk);
/* The next checkpoint's area is in use: no own one is written now. */
bool receiving_holds_area(const struct control *c);
/* An own checkpoint took the area. */
void receiving_lost_area(struct control *c);

/* repairing.c: scrub, and pages written anew. */
void repairing_init(struct control *c, const struct ring_recovery *found);
uint32_t repairing_turn(struct control *c);
/* A page of the ring cannot be read: seq is told. */
void repairing_damaged(struct control *c, uint64_t page);
/* Which areas hold no intact checkpoint any more, and so take the next one. */
void repairing_look_at_checkpoints(struct control *c);
/* A checkpoint was written into that area. */
void repairing_written(struct control *c, unsigned area);

/* sessions.c: expiry. */
uint32_t sessions_turn(struct control *c);
/* An entry was applied: an opened or resumed session lives from now on. */
void sessions_applied(struct control *c, const struct entry *entry);
/* What is noted of the session in that slot, begun anew when another session or life stands there.
 */
struct control_session *sessions_notes(struct control *c, uint32_t slot,
                                       const struct machine_session *session);

/* keepalive.c: leases, and the events that their answers carry. */
uint32_t keepalive_turn(struct control *c);
void keepalive_arrived(struct control *c, const struct notice *notice);

/* queries.c: questions about nodes. */
uint32_t queries_turn(struct control *c);
void queries_arrived(struct control *c, const struct notice *notice);

/* due.c: lock-delays and waits that are over. */
uint32_t due_turn(struct control *c);
/* An entry was applied: log time stands where it says. */
void due_applied(struct control *c);

/* boots.c: the leader logs each replica's boot. */
uint32_t boots_turn(struct control *c);

/* backup.c: the state at one index, for people. */
uint32_t backup_turn(struct control *c);

/* members.c: where the others are, also for who lags or joins. */
/* The member to talk to under that id, as far as is known; NULL: nobody. */
const struct entry_member *members_at(const struct control *c, uint32_t id);
void members_told(struct control *c, const struct notice *notice);
uint32_t members_turn(struct control *c);

/* digests.c: the odd one out stops. */
void digests_publish(struct control *c);
void digests_applied(struct control *c);
void digests_told(struct control *c, const struct notice *notice);
uint32_t digests_turn(struct control *c);

/* trips.c: slow links and drives. */
uint32_t trips_turn(struct control *c);

/* detector.c: what each peer seems to be, from here. */
uint32_t detector_turn(struct control *c);
/* The grade of a member (id: 1 .. KEEL_REPLICA_MAX), and since when on control's clock; UNKNOWN of
 * this replica itself and of who is no member. As told at this turn, once detector_turn() was. */
enum detector_state detector_peer(const struct control *c, uint32_t id, uint64_t *since_ns);

/* autopilot.c: dead voters, and who takes their place. */
uint32_t autopilot_turn(struct control *c);
/* What became of a change of members that it has asked for. */
void autopilot_proposed(struct control *c, const struct notice *notice);

/* requests.c: what people asked to be logged. */
uint32_t requests_turn(struct control *c);
void requests_proposed(struct control *c, const struct notice *notice);
void requests_applied(struct control *c, const struct entry *entry);
/* The answer; the place is free then. */
void requests_finish(struct control *c, struct control_ask *ask, enum control_result result,
                     uint8_t status);
/* The two halves of it, for an answer that says more; nothing else between them. */
struct control_reply *requests_reply(struct control *c, const struct control_ask *ask,
                                     enum control_result result, uint8_t status);
void requests_send(struct control *c, struct control_ask *ask);
/* The place whose question has that serial; NULL: it was answered meanwhile. */
struct control_ask *requests_find(struct control *c, uint64_t serial);

/* leadership.c: transfers and reads that people ask for. */
void leadership_begin(struct control *c, struct control_ask *ask,
                      const struct control_request *request);
void leadership_told(struct control *c, const struct notice *notice);
void leadership_follow(struct control *c, struct control_ask *ask);
/* A drained leader hands its office over. */
uint32_t leadership_drained_turn(struct control *c);

/* looking.c: what people are shown of control's machine. The answer; the place is free then. */
void looking_answer(struct control *c, struct control_ask *ask);

/* trying.c: what an entry would come to. */
void trying_begin(struct control *c, struct control_ask *ask,
                  const struct control_request *request);

/* queries.c: the answer's bytes to a packet's question (struct packet_query, path) of a principal:
 * struct packet_answer and what follows. At most CONTROL_LOOK_BYTES. */
uint32_t queries_tell(const struct control *c, uint32_t principal, const uint8_t *question,
                      uint8_t *bytes);

#endif
