/* A whole cluster and its clients in one process, on one virtual clock.
 *
 * The simulator links consensus/, dataplane/ and control/'s start-up and control turn unchanged;
 * only the three seams port.h, disk.h and clock.h are its own (sim_port.c, sim_disk.c,
 * sim_clock.c). Everything that happens is an event in one queue, ordered by (time, sequence), and
 * every choice is drawn from one seed: the same seed gives the same trace hash on any compiler.
 *
 * Names: a *node* is a replica's server (its drive outlives crashes, its process does not), a
 * *guest* is a client host that publishes, a *holder* one that holds locks, an *endpoint* is a
 * place on the simulated switch: replicas 1..7, guests from ENDPOINT_GUEST, holders from
 * ENDPOINT_HOLDER.
 */
#ifndef KEEL_SIM_WORLD_H
#define KEEL_SIM_WORLD_H

#include "dataplane/auth/keys.h"
#include "dataplane/replica.h"
#include "tests/sim/heal.h"
#include "tests/sim/strike.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    NODES_MAX = KEEL_REPLICA_MAX,
    GUESTS_MAX = 4,
    HOLDERS_MAX = 3,
    ENDPOINT_GUEST = 8,
    ENDPOINT_HOLDER = ENDPOINT_GUEST + GUESTS_MAX,
    ENDPOINTS = ENDPOINT_HOLDER + HOLDERS_MAX,
    CHECK_STALE_SLACK_MS = 30 /* packets under way, duplicates, clocks that drift */
};

/* Faults that a seed may bring; each is counted when it really happens. */
enum fault {
    FAULT_LOSS,
    FAULT_DUPLICATE,
    FAULT_REORDER,
    FAULT_DELAY,
    FAULT_CLOG, /* what is sent over a link waits, and arrives all at once */
    FAULT_FLAP, /* a link goes and comes every few milliseconds */
    FAULT_CUT,
    FAULT_CUT_ONE_WAY,
    FAULT_CRASH,
    FAULT_CRASH_ALL,
    FAULT_TORN_SECTOR,
    FAULT_LOST_WRITE, /* a whole write in flight that never reached the drive, at a crash */
    FAULT_FAILED_WRITE,
    FAULT_SLOW_DRIVE,
    FAULT_PAUSE,
    FAULT_CLOCK_DRIFT,
    FAULT_CLOCK_STEP,
    FAULT_GUEST_KILL,
    FAULT_GUEST_SLEEP,  /* longer than a short time to live */
    FAULT_OUTAGE,       /* down for so long that the others' logs may have moved on */
    FAULT_TRANSFER_CUT, /* a checkpoint's receiver or sender loses power between two chunks */
    /* a durable page on a resting drive; recovery must refuse it */
    FAULT_ROT,
    FAULT_LATENT,      /* unreadable */
    FAULT_MISDIRECTED, /* overwritten by another page */
    FAULT_PHANTOM,     /* confirmed, and never written */
    FAULT_STALE,       /* the one before it in that place */
    FAULT_TRANSFER,    /* a leader is told to hand its office over */
    FAULT_MEMBERS,     /* other voters are wanted */
    FAULT_DISK_LOST,   /* a whole drive: its replica comes back formatted anew */
    /* strike_swarm.c: damage that stays until peers repair it */
    FAULT_STRIKE_REST,    /* on a drive at rest: found by the start */
    FAULT_STRIKE_RUNNING, /* under a running replica: found by the scrub, or by who reads there */
    FAULT_COUNT
};
const char *fault_name(enum fault fault);

struct knobs {                        /* drawn per seed; 0 switches a fault off */
    uint32_t nodes, founders, guests; /* founders: the first of the nodes */
    uint32_t holders;
    uint32_t standbys;              /* behind the founders, with an autopilot; 0: neither */
    uint32_t dead_ms, stabilise_ms; /* its settings */
    uint64_t gone_every_ns;         /* mean time between voters that go */
    uint32_t beyond; /* clocks drift so many times the bound of the genesis record; 0: within */
    uint64_t faults; /* which: bit = enum fault; the others never happen */
    uint32_t loss_ppm, duplicate_ppm;
    uint64_t delay_min_ns, delay_max_ns;
    bool reorder;
    uint64_t write_min_ns, write_max_ns;
    uint32_t slow_factor; /* of one node's drive; 1: none */
    uint32_t failed_write_ppm;
    uint32_t drift_ppm;
    uint64_t clog_max_ns;    /* the longest that a link is clogged */
    uint64_t late_ns;        /* the longest that a frame is under way */
    uint64_t fault_every_ns; /* mean time between crashes, cuts, pauses */
    uint32_t window_pages, slots;
    uint64_t turn_ns, control_ns; /* what a turn takes; control's nap */
    uint32_t scrub_pages_s;       /* 0: the default */
    uint64_t strike_every_ns;     /* mean time between strikes */
    uint32_t checkpoint_ms;       /* often: also while the own drive lags (H14) */
    uint32_t checkpoint_share;    /* of the slots at most between two, in 16ths; 0: the default */
    uint64_t transfer_every_ns;   /* mean time between transfers, beside the script's; 0: none */
    uint64_t rate;                /* messages a simulated second and guest */
    uint32_t ttl_ms;              /* of sessions */
    bool days;                    /* trading days end and begin */
    bool ends;                    /* guests end their sessions now and then */
    /* faults, then calm, then all lose power at once, then quiet (guests submit nothing new), end
     */
    uint64_t faults_until_ns, blackout_ns, quiet_ns, end_ns;
};

enum event_kind {
    EVENT_TURN, /* not in the queue: each node knows its next turn */
    EVENT_FRAME,
    EVENT_GUEST,
    EVENT_HOLDER,
    EVENT_SCRIPT,
    EVENT_CRASH, /* argument: the start that it is meant for */
    EVENT_RESTART,
    EVENT_HEAL,
    EVENT_CALM,
    EVENT_BLACKOUT,
    EVENT_DAY,
    EVENT_READ, /* target: of this node; 0: somebody asks again and again */
    EVENT_TRANSFER,
    EVENT_MEMBERS,
    EVENT_LIVE, /* argument: when all was healed */
    EVENT_QUIET,
    EVENT_STRIKE,  /* strike.c, strike_swarm.c */
    EVENT_REPLACE, /* an operator formats the drive of a replica whose start was refused */
    EVENT_STANDBY, /* heal.c */
    EVENT_GONE,
    EVENT_BACK /* target: a node that was gone */
};

struct control_status;
struct world;

struct event {
    uint64_t at_ns, sequence;
    uint32_t kind, target;
    uint64_t argument;
    uint8_t *bytes; /* FRAME: malloc'd */
    uint32_t size;
};

/* One operation of one drive fails, once (tests/images/nth_disk.c). */
enum plan_op { PLAN_NONE, PLAN_WRITE, PLAN_ZERO, PLAN_READ, PLAN_PREAD, PLAN_PWRITE, PLAN_FLUSH };
struct disk_plan {
    uint32_t node;     /* 0: no plan */
    uint64_t nth;      /* from 1; 0: none fails, they are counted */
    bool armed;        /* formatting is over */
    uint64_t until_ns; /* operations begun later are not counted */
    uint64_t count;
    enum plan_op failed; /* what it was */
    bool in_start;       /* before that start had a replica */
    bool refused;        /* the start */
    bool told;           /* the ring knows: its completion was reaped */
    bool stopped;        /* the replica did */
    uint64_t back_ns;    /* ... and is not started again before this */
    uint64_t committed;  /* messages on the order when it did ... */
    uint64_t went_on;    /* ... and how many more there were when it was started again */
};

struct media { /* a drive: outlives its node's crashes */
    uint8_t *bytes;
    uint64_t size;
    uint32_t slow_factor;
    struct disk *open[4];        /* handles in use */
    uint64_t bad_from, bad_size; /* reads there fail until it is written; size 0: none do */
};

/* What a drive holds durably, as the checker follows it (check_drive.c). */
enum { INSTALLED_KEPT = 8 };

struct drive_view {
    uint64_t next_page;         /* pages below lie whole on the media */
    uint64_t ahead;             /* bit i: page next_page + i does */
    uint64_t last;              /* index up to which entries are held */
    uint64_t *chain, chain_cap; /* log chain by index, up to last */
    uint64_t term;
    uint32_t vote;
    /* A peer's checkpoint that is durable here; index 0: none. */
    uint64_t installed, installed_chain, installed_term;
    uint64_t installed_at[INSTALLED_KEPT], installs; /* the newest ones' */
    bool newest_installed; /* the newest checkpoint of all is such a one */
    uint64_t covered[2];   /* by the newest own checkpoint and the one before; 0: none of its own */
    uint64_t sequence;     /* of the newest */
};

struct peer_seen { /* check_peers.c: of a node by another; its clock, but listens_ns */
    uint64_t incarnation;
    uint64_t listens_ns;           /* world's time: it takes turns since */
    uint64_t heard_ns;             /* last packet; 0: none */
    uint64_t alive_ns, regular_ns; /* they come since, with no gap of either kind */
    bool dead;                     /* said to be, and not well since */
};

struct node {
    uint32_t id;
    bool up;
    uint64_t down_ns; /* world's time of the last crash */
    uint64_t seen_ns; /* by its clock: check_peers.c looked last */
    struct peer_seen seen[NODES_MAX + 1];
    struct media media;
    struct ring_super super;
    struct drive_view view;
    struct drive_view lost_view; /* of the drive that was lost last */
    uint64_t lost_incarnation;
    struct raft_config checked_config; /* in force when its last turn ended */
    struct clock *clock;
    struct port *port;
    struct disk *writer, *reader, *control_disk;
    struct sim_process *process; /* node.c */
    struct replica *replica;
    uint64_t turn_at_ns; /* its next turn; UINT64_MAX: none */
    uint64_t turned_ns;  /* its last one */
    uint64_t paused_until_ns;
    uint64_t starts;
    bool write_failed; /* in this start */
    uint64_t repaired; /* pages and copies made anew, in its last start */
    struct wounds wounds;
    bool struck;         /* by a planned strike: it may refuse to start, or stop ... */
    char stop_why[400];  /* ... for this reason */
    bool crash_on_write; /* lose power while the next write is in flight */
    uint64_t looked_ns;  /* associations were looked at */
    uint64_t checked_commit, checked_applied, checked_control;
    uint64_t led_term, led_commit; /* leading since; commit at that time */
    uint64_t word_term, word_ns;   /* it ended its lease in this term, and when by its clock */
    uint64_t seen_done, seen_given_up, seen_by_drive; /* transfers of this start */
    uint64_t line_next;      /* number that this start's line must carry next, 0: not begun */
    uint32_t line_day;       /* day that it showed last, from 1; 0: none */
    uint64_t checked_obeyed; /* checkpoints that seq was offered */
    uint64_t transfer_have;  /* bytes of one that had arrived */
};

struct operators {   /* operators.c */
    uint32_t wanted; /* voters: bit i is node i */
};

struct link {
    uint64_t at_ns;         /* the last frame's arrival */
    uint64_t clog_until_ns; /* nothing arrives before */
    uint64_t flap_until_ns, flap_ns;
};

/* What a command line takes away from a drawn seed, so that it gets smaller; 0: as drawn. */
struct limits {
    uint64_t without; /* faults */
    uint64_t faults_ms;
    uint32_t nodes, guests, slots;
    uint32_t beyond; /* a clock's bound is this small a part of what it drifts; 0: as drawn */
    bool no_holders;
    bool standbys; /* standbys and an autopilot, in the place of operators and strikes */
};

/* Somebody who looks on, and may change drives and links meanwhile (tests/gray); 0: nobody does. */
struct onlooker {
    void *context;
    void (*event)(struct world *world, void *context); /* after each event */
    /* A message has its answer: so long after it was due. */
    void (*answered)(struct world *world, void *context, uint64_t late_ns);
};

struct world {
    uint64_t seed, now_ns, sequence, steps;
    uint64_t rng_net, rng_disk, rng_fault, rng_start, rng_strike, rng_hold;
    uint64_t trace; /* hash of every event and its effects */
    struct knobs knobs;
    struct disk_plan plan;
    struct strike *strike;  /* damage that stays; NULL: none is planned */
    struct strikes strikes; /* what came of those that a seed drew */
    struct genesis genesis;
    struct event *heap;
    uint32_t heap_count, heap_cap;
    struct node node[NODES_MAX + 1];
    struct guest *guest[GUESTS_MAX];
    struct holder *holder[HOLDERS_MAX];
    struct lock_view *locks;        /* check_locks.c */
    bool cut[ENDPOINTS][ENDPOINTS]; /* [from][to] */
    struct link link[ENDPOINTS][ENDPOINTS];
    uint32_t link_factor[ENDPOINTS]; /* a host's links take so many times as long; 0: as they do */
    uint64_t count[FAULT_COUNT];
    uint64_t last_fault_ns, disturbed_ns; /* of any fault; of one that is no single frame's */
    uint64_t spared_until_ns;             /* no fault of the script before */
    uint64_t committed_at_last_fault;
    struct checker *checker;
    struct net_view *net;      /* check_net.c */
    struct export *export;     /* export.c; NULL: no evidence is written */
    struct timeline *timeline; /* timeline.h; NULL: none is drawn */
    struct reached *reached;   /* reached.h; NULL: nobody asks for rare states */
    struct onlooker onlooker;
    /* what happened, beside the faults */
    uint64_t leaders, votes, checkpoints, days, sessions_ended, sessions_expired, sealed, replays;
    uint64_t heartbeats, answers, installs, transfers, resumed;
    uint64_t transfers_done, transfers_given_up, transfers_by_drive, reads;
    uint64_t found_dead, found_back; /* peers that are down, said to be dead; that are well again */
    uint64_t lives, steady; /* heals after which the cluster had to commit; had to keep its term */
    uint64_t learners, promoted, removed, leaders_removed;
    uint64_t grants, waits_granted, fenced, stale, jeopardies, hold_lives; /* of holders */
    struct operators operators;
    struct heal heal;
    uint64_t day_number;
    bool quiet;
    bool verbose;
    char failure[400]; /* empty: all checks held */
};

uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t bound);
bool random_chance(uint64_t *state, uint32_t ppm);
uint64_t random_between(uint64_t *state, uint64_t low, uint64_t high);

/* knobs.c: a seed's world before anything happens. */
void world_draw(struct world *world, uint64_t seed);
void world_limit(struct world *world, const struct limits *limits);
/* For the speed to be measured: all faults at three replicas and 200 messages a second; or none,
 * and four guests with 20,000 each. */
void world_speed(struct world *world, bool faults);
static inline bool knobs_on(const struct knobs *knobs, enum fault fault)
{
    return (knobs->faults >> fault & 1) != 0;
}

/* Runs a seed from genesis to its end; false: world->failure says which check failed. */
bool world_run(struct world *world);
void world_free(struct world *world);

void world_event(struct world *world, uint64_t at_ns, enum event_kind kind, uint32_t target,
                 uint64_t argument);
void world_frame(struct world *world, uint64_t at_ns, uint32_t endpoint, const uint8_t *bytes,
                 uint32_t size);
/* The newest day's name, zero-terminated. */
void world_day_name(const struct world *world, char name[KEEL_DAY_NAME_SIZE + 1]);
void world_trace(struct world *world, uint64_t a, uint64_t b);
void world_fault(struct world *world, enum fault fault);
/* A fault by its name; FAULT_COUNT: none. */
enum fault fault_find(const char *name);
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* network.c: what an endpoint sends; links that go wrong. */
void net_send(struct world *world, uint32_t from, const uint8_t *bytes, uint32_t size);
void net_cut(struct world *world, bool one_way);
void net_clog(struct world *world);
void net_clog_to(struct world *world, uint32_t id, uint64_t until_ns); /* from every node */
void net_flap(struct world *world);
void net_heal(struct world *world);

/* sim_port.c */
struct port *sim_port_open(struct world *world, uint32_t endpoint);
void sim_port_deliver(struct port *port, const uint8_t *bytes, uint32_t size);
void sim_port_close(struct port *port);
/* A request for feed numbers? */
bool sim_port_is_request(const uint8_t *bytes, uint32_t size);

/* sim_clock.c: a host's clock, at a rate and an offset of its own. */
struct clock *sim_clock_open(struct world *world, int64_t rate_ppm, int64_t utc_offset_ns);
void sim_clock_step(struct clock *clock, int64_t ns);
/* The world's time at which this clock shows local_ns. */
uint64_t sim_clock_world_ns(const struct clock *clock, uint64_t local_ns);
#define SIM_CLOCK_UTC_NS UINT64_C(1790000000000000000)

/* sim_disk.c */
struct disk *sim_disk_open(struct world *world, struct node *node);
uint64_t sim_disk_due_ns(const struct node *node); /* the next completion; UINT64_MAX: none */
void sim_disk_crash(struct node *node);            /* tears what is in flight, closes all handles */
/* What is being written to the block at offset; NULL: nothing is. */
const void *sim_disk_in_flight(const struct node *node, uint64_t offset);

/* node.c */
void node_format(struct world *world, struct node *node);
void node_start(struct world *world, struct node *node);
void node_crash(struct world *world, struct node *node);
void node_turn(struct world *world, struct node *node);
void node_wake(struct world *world, struct node *node, uint64_t at_ns);
void node_free(struct node *node);
/* Copies of superblock, genesis record and checkpoint that its start or its scrub made anew. */
uint64_t node_copies(const struct node *node);
/* Asks the node's control for an entry; lost if it does not lead. */
void node_ask(struct node *node, uint8_t kind, const void *body, uint8_t size);
/* Asks it to hand over to a node (0: it chooses); to prove that it leads. */
void node_transfer(struct node *node, uint8_t to);
void node_read(struct world *world, struct node *node);
/* For people: where it stands. */
void node_show(const struct world *world, const struct node *node);
/* Asks it for other members in place of those of index `was`. */
void node_change(struct node *node, uint64_t was, const struct entry_config *config);
/* It is down; its drive is gone and another one formatted, to join. */
void node_lose_disk(struct world *world, struct node *node);
/* The keys that a principal's file holds; malloc'd. */
struct keyring *sim_keys(const struct world *world, uint32_t principal);

/* guest.c */
void guest_init(struct world *world, uint32_t index);
void guest_frame(struct world *world, uint32_t index, uint8_t *bytes, uint32_t size);
void guest_event(struct world *world, uint32_t index);
void guest_kill(struct world *world, uint32_t index);
void guest_sleep(struct world *world, uint32_t index, uint64_t until_ns);
/* How many lives it has had, and until when it sleeps or slept last. */
void guest_look(const struct guest *guest, uint64_t *lives, uint64_t *asleep_until_ns);
/* When a result came last. */
uint64_t guest_answered_ns(const struct guest *guest);
/* For people: where its session stands. */
const char *guest_state(struct guest *guest);
/* Everything that it submitted is answered. */
bool guest_settled(const struct guest *guest);
void guest_free(struct guest *guest);

/* holder.c */
void holder_init(struct world *world, uint32_t index);
void holder_frame(struct world *world, uint32_t index, uint8_t *bytes, uint32_t size);
void holder_event(struct world *world, uint32_t index);
/* Another process takes its session over; the older one, if it `lingers`, goes on believing. */
void holder_kill(struct world *world, uint32_t index, bool lingers);
void holder_sleep(struct world *world, uint32_t index, uint64_t until_ns);
/* At this instant of true time: does a process of that holder believe in the lock on path `which`?
 * enum lock_mode; LOCK_FREE: no. life 0: the present one, 1: the one before. */
void holder_look(const struct holder *holder, uint64_t *lives, uint64_t *asleep_until_ns);
uint64_t holder_generation(const struct holder *holder, uint32_t which);
uint8_t holder_believes(const struct holder *holder, uint32_t which, uint32_t life);
/* Does it believe that this session is alive? */
bool holder_lives_in(const struct holder *holder, uint64_t session);
/* Its session is open and safe; for people: where it stands. */
bool holder_settled(const struct holder *holder);
const char *holder_state(struct holder *holder);
void holder_free(struct holder *holder);

/* check_locks.c: promise 4. */
enum { HOLD_PATHS = 2 };
/* Compares what all holders believe at this instant. */
void check_locks(struct world *world);
/* A holder has learned of a grant: of that path, to that generation. */
void check_locks_granted(struct world *world, uint64_t node, uint64_t generation);
/* A message that showed that sequencer is said to be sequenced. */
void check_locks_fenced(struct world *world, uint64_t session, uint64_t number,
                        const struct entry_sequencer *shown);
/* A session has expired, by an entry that was applied just now. */
void check_locks_expired(struct world *world, uint64_t session);
void check_locks_free(struct world *world);

/* operators.c */
void operators_begin(struct world *world);
void operators_turn(struct world *world);
void operators_change(struct world *world);
void operators_lose_disk(struct world *world);
void operators_replace(struct world *world, struct node *node);
bool operators_settled(const struct world *world); /* the voters are those that are wanted */

/* script.c: the faults of a seed. */
uint32_t script_leaders(const struct world *world); /* bit i: node i says that it leads */
void script_turn(struct world *world);
/* Out at this moment, and back after a while; what was in flight is torn. */
void script_power_lost(struct world *world, struct node *node);
/* More of a checkpoint has arrived at a node. */
void script_chunk(struct world *world, struct node *node);
void script_heal(struct world *world);
void script_calm(struct world *world);
void script_blackout(struct world *world);
void script_day(struct world *world);
void script_read(struct world *world, struct node *node); /* NULL: any, again and again */
void script_transfer(struct world *world);
/* A node has won an election; has taken a peer's checkpoint in the place of its log. */
void script_elected(struct world *world, const struct node *node);
void script_taken_over(struct world *world, struct node *node);
/* A leader has told its successor to campaign. */
void script_word(struct world *world, const struct node *node);

/* check.c: the order. */
void check_init(struct world *world);
void check_turn(struct world *world, struct node *node); /* after seq's turn, before the line's */
void check_control(struct world *world, struct node *node, const struct machine *machine);
void check_feed(struct world *world, struct node *node, const uint8_t *mold, uint32_t size,
                bool answer);
void check_ack(struct world *world, uint32_t guest, uint64_t session, uint64_t number,
               uint64_t feed, uint64_t payload_hash);
void check_submit(struct world *world, uint64_t session, uint64_t number, const void *payload,
                  uint32_t size, const struct entry_sequencer *shown);
/* The log index at which a message stands; 0: not in the order. */
uint64_t check_index_of(const struct world *world, uint64_t session, uint64_t number);
void check_blackout(struct world *world);
void check_end(struct world *world);
uint64_t check_committed(const struct world *world); /* messages on the order so far */
bool check_ordered(const struct world *world, uint64_t session, uint64_t number);
void check_free(struct world *world);

/* check_drive.c: what drives hold. */
void check_drive_write(struct world *world, struct node *node, uint64_t offset, uint32_t size);
void check_drive_block(struct world *world, struct node *node, const void *bytes);
void check_drive_recovered(struct world *world, struct node *node,
                           const struct ring_recovery *found);
void check_drive_crashed(struct node *node);
/* A damaged page has come back: what was not known of the log may be known now. */
void check_drive_repaired(struct world *world, struct node *node);
/* Is everything up to index durable there, as entries or in a checkpoint? */
bool check_drive_holds(const struct world *world, const struct drive_view *view, uint64_t index,
                       uint64_t chain);
/* check_members.c: the members by the order, as committed. */
const struct entry_config *check_members_config(const struct world *world);
bool check_drive_reaches(const struct drive_view *view, uint64_t index);

/* drive_faults.c: a node that is down; its drive may damage what it holds. */
void drive_faults_rest(struct world *world, struct node *node);

/* check_lead.c: what only a leader may say. */
void check_lead_elected(struct world *world, const struct node *winner);
void check_lead_turn(struct world *world, struct node *node);
/* check_peers.c: what a node's control thinks of the others, after its turn. */
void check_peers(struct world *world, struct node *node, const struct control_status *status);

void check_live_healed(struct world *world);
void check_live(struct world *world, uint64_t healed_ns);
/* What a read that is asked now must see at least; what it saw. */
uint64_t check_lead_asks(const struct world *world);
void check_lead_read(struct world *world, const struct node *node, uint64_t asked, uint64_t index);

/* check_net.c: what packets say. */
void check_net_sent(struct world *world, uint32_t from, const uint8_t *frame, uint32_t size);
void check_net_arrived(struct world *world, uint32_t to, const uint8_t *frame, uint32_t size);
void check_net_table(struct world *world, uint32_t principal, const struct auth_table *table);

/* export.c: evidence for keel-judge, as the head of tests/judge/judge.h describes it. */
struct export *export_open(struct world *world, const char *directory); /* NULL: cannot write */
void export_start(struct world *world, uint32_t id, bool begins);
/* A running replica took over a checkpoint: its line may go on with that feed number. */
void export_anew(struct world *world, uint32_t id, uint64_t feed);
void export_frame(struct world *world, const uint8_t *bytes, uint32_t size);
void export_session(struct world *world, uint32_t endpoint, const char *name, uint64_t session,
                    uint64_t epoch, uint32_t principal);
void export_submit(struct world *world, uint32_t endpoint, uint64_t session, uint64_t number,
                   const void *payload, uint32_t size);
void export_ack(struct world *world, uint32_t endpoint, uint64_t session, uint64_t number,
                const char *status, uint64_t feed, uint64_t utc_ns, const char *day);
void export_end(struct world *world, uint32_t endpoint, uint64_t session, uint64_t last);
/* Rings, and closes everything. False: something could not be written. */
bool export_close(struct world *world);

#endif
