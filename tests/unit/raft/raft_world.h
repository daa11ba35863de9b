/* A small world for the Raft core: up to seven real `struct raft`, each with a log, a drive that is
 * durable up to an LSN, a gate, and one bag of packets between them. Used by the random test and by
 * the transcripts' runner; whoever owns the world decides what is delivered, lost, doubled, durable
 * or crashed. Single-threaded.
 *
 * After every step the world judges what Raft promises (dissertation, figure 3.2): election safety,
 * log matching, leader completeness, state-machine safety, commits that never move back; that no
 * message leaves before what it testifies to is on the drive; and the core's own bookkeeping. The
 * first violation is kept as text in `violation`.
 */
#ifndef KEEL_TESTS_RAFT_WORLD_H
#define KEEL_TESTS_RAFT_WORLD_H

#include "consensus/raft/raft.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifndef WORLD_SHRINK /* a fuzz target makes thousands of short worlds a second */
#define WORLD_SHRINK 1
#endif

enum {
    WORLD_PACKET_ENTRIES = 8, /* entries in one AppendEntries packet */
    WORLD_ENTRY_BYTES = 64,
    WORLD_BAG_MAX = 1024 / WORLD_SHRINK,
    WORLD_GATE_MAX = 1024 / WORLD_SHRINK,
    WORLD_RECORDS_MAX = 4096 / WORLD_SHRINK, /* records not durable yet */
    WORLD_LOG_MAX = 8192 / WORLD_SHRINK,
    WORLD_TERMS_MAX = 2048 / WORLD_SHRINK,
    WORLD_CONFIGS_MAX = 4096 / WORLD_SHRINK,
    WORLD_TABLE_SIZE = (1 << 16) / WORLD_SHRINK
};

struct world_entry {
    uint64_t term;
    uint64_t value;
    uint64_t chain;  /* running hash over (term, value): equal chains, equal logs */
    uint64_t config; /* number of the configuration that it sets; 0: none */
};

struct world_log { /* entry[index], from 1; entry[0] is genesis */
    uint64_t last;
    struct world_entry entry[WORLD_LOG_MAX];
};

enum world_record_kind { WORLD_HARD, WORLD_TRUNCATE, WORLD_INSTALL, WORLD_ENTRY };

struct world_record {
    uint64_t lsn;
    enum world_record_kind kind;
    uint8_t vote;
    uint64_t term;
    uint64_t index;
    struct world_entry entry;
};

struct world_packet {
    struct raft_msg msg;
    uint64_t incarnation; /* of the sender */
    bool held;            /* the transcript keeps it back */
    struct world_entry entry[WORLD_PACKET_ENTRIES];
};

struct world_node {
    bool up;
    bool slow;        /* nothing becomes durable by itself */
    bool no_space;    /* refuses entries, has no room to lead */
    bool scarce;      /* has room for few more elections */
    uint64_t flipped; /* from this index on its chain is damaged; 0: intact */
    uint64_t window;  /* entries below this index have to be fetched first: one refusal each */
    uint64_t fetched; /* last index that was refused once */
    uint64_t incarnation;
    struct raft raft;
    uint64_t dead_incarnation; /* the last one whose drive was lost; 0: none ... */
    struct world_log dead;     /* ... and what that held */
    struct world_log log;      /* what the replica believes */
    struct world_log disk;     /* what would survive */
    uint64_t disk_term;
    uint8_t disk_vote;
    uint64_t disk_lsn;
    uint64_t disk_base;         /* its log begins behind this index: a checkpoint has the rest */
    bool rotten[WORLD_LOG_MAX]; /* the disk has lost the entry, and knows what it was */
    bool hidden[WORLD_LOG_MAX]; /* it sets a configuration that was lost before this start */
    uint64_t checkpoint, checkpoint_term;   /* a peer's or its own, durable; 0: none */
    uint64_t commit_seen;                   /* since its start */
    uint64_t grant_term, grant_incarnation; /* its last grant since its start: to whom */
    uint64_t word_term, word_ns; /* in which it told a successor to campaign; since when */
    uint64_t told_term;          /* for which it was told to, last */
    uint32_t record_count;
    struct world_record record[WORLD_RECORDS_MAX];
    uint32_t gate_count;
    struct raft_send gate[WORLD_GATE_MAX];
};

struct world_known { /* what stands anywhere at (index, term) */
    uint64_t index;
    uint64_t term;
    uint64_t chain;
};

struct world;
/* What somebody who watches a world is told: of a node `id`; perhaps of an index. */
enum world_moment {
    WORLD_ARRIVES, /* the packet, before it is taken */
    WORLD_STEPPED,
    WORLD_REREAD, /* the packet is about to leave; its entries from index on had left the window */
    WORLD_CRASHED,
    WORLD_STARTED,
    WORLD_STARTED_ANEW, /* with a checkpoint in the place of its log */
    WORLD_CHECKPOINT    /* a peer's is durable, before the node is told */
};
typedef void (*world_watch)(struct world *world, enum world_moment moment, uint8_t id,
                            const struct world_packet *packet, uint64_t index);

struct world {
    world_watch watch; /* NULL: nobody does */
    void *watcher;     /* its own */
    uint32_t count;    /* nodes 1..count */
    uint64_t now_ns;
    uint64_t random; /* state of the generator; 0: election timeouts grow with the id */
    uint64_t value_next;
    struct raft_config config[WORLD_CONFIGS_MAX]; /* [0]: genesis; the others by number */
    uint32_t config_count;
    struct raft_options options;
    bool cut[RAFT_ID_MAX + 1][RAFT_ID_MAX + 1]; /* [from][to] */
    bool judge_chain;                           /* false once a chain was damaged on purpose */
    struct world_node node[RAFT_ID_MAX + 1];
    uint32_t bag_count;
    struct world_packet bag[WORLD_BAG_MAX];
    struct world_log committed;
    uint64_t committed_in[WORLD_LOG_MAX]; /* the term in which it was committed first */
    uint8_t leader_of[WORLD_TERMS_MAX];
    uint8_t voted[RAFT_ID_MAX + 1][WORLD_TERMS_MAX];
    /* Masks of who has voted for a candidate in a term, whatever became of its drive since. */
    uint32_t votes[RAFT_ID_MAX + 1][WORLD_TERMS_MAX];
    uint64_t voted_incarnation[RAFT_ID_MAX + 1][WORLD_TERMS_MAX]; /* of the candidate */
    uint32_t known_count;
    struct world_known known[WORLD_TABLE_SIZE];
    uint64_t elections;
    uint64_t truncations;
    uint64_t installs, installs_kept; /* the log gave way; it went that far by itself */
    uint64_t crashes;
    uint64_t gate_drops;
    uint64_t wipes;
    uint64_t reborn;            /* configurations appended with a voter that came back as another */
    uint64_t joints, completed; /* configurations appended: joint, and the new one alone */
    uint64_t words;             /* TIMEOUT_NOW that left */
    uint64_t rots, repaired, given_up, settled; /* entries lost; come back; given up; leaders that
                                                   began with a hole and settled it */
    enum raft_transfer_reason refused;          /* the last transfer asked for */
    char violation[256];
    FILE *trace; /* NULL: silent */
};

/* Starts count nodes with empty logs; the masks name the members, other nodes are spare. Zeroes
 * *world first; `seed` 0 makes timeouts predictable. */
void world_init(struct world *world, uint32_t count, uint32_t voters, uint32_t learners,
                const struct raft_options *options, uint64_t seed);

/* The next number of the world's generator (xorshift64*). */
uint64_t world_random(struct world *world);

/* Puts an entry at index <= last + 1; the log ends there. */
void world_set_entry(struct world_log *log, uint64_t index, uint64_t term, uint64_t value,
                     uint64_t config);

/* One event at one node, and everything that follows from it there: records, packets, commits. */
void world_tick(struct world *world, uint8_t id);
void world_propose(struct world *world, uint8_t id, uint32_t count);
void world_no_space(struct world *world, uint8_t id);
/* The leader is asked for these members instead of those of the configuration at index `was`; new
 * ones, and those of the mask `as`, in the incarnation that they have now. */
enum raft_refusal world_change(struct world *world, uint8_t id, uint32_t voters, uint32_t learners,
                               uint64_t was, uint32_t as);
void world_fail(struct world *world, uint8_t id);
/* to 0: the most caught-up. Returns why it was refused. */
enum raft_transfer_reason world_transfer(struct world *world, uint8_t id, uint8_t to);

/* The node's own checkpoint of first - 1, which is committed and durable there, takes the place of
 * the log below `first`, in memory and for its next start. */
void world_compact(struct world *world, uint8_t id, uint64_t first);
/* A checkpoint of a committed index becomes durable on the node's drive, and is offered to it. */
void world_install(struct world *world, uint8_t id, uint64_t index);

/* --- raft_rot.c: entries that a drive has lost, and how they come back --- */
/* The drive loses entry `index` <= disk.last. A node that is up finds out at once. */
void world_rot(struct world *world, uint8_t id, uint64_t index);
/* The lowest entry of the node's log that is lost and no checkpoint covers; 0: none. */
uint64_t world_hole(const struct world_node *node);
/* Tells the node which that is by now: a checkpoint may cover it (H7). */
void world_look(struct world *world, uint8_t id);
/* Asks every other node for it; ticks do. */
void world_fetch(struct world *world, uint8_t id);
/* Answers a FETCH, if its entry can be read. */
void world_serve(struct world *world, struct world_node *node, const struct raft_msg *ask);
/* Takes what a FETCH_REPLY brings, if the chain proves it. */
void world_restore(struct world *world, struct world_node *node, const struct world_packet *packet);
/* What stood from `index` on in log or disk is gone. */
void world_forget_rot(bool *what, uint64_t index);

/* --- between raft_world.c, raft_rot.c and raft_life.c --- */
void world_run(struct world *world, uint8_t id, struct raft_in *in);
void world_leave(struct world *world, struct world_node *node, const struct world_packet *packet);
void world_watched(struct world *world, enum world_moment moment, const struct world_node *node,
                   const struct world_packet *packet, uint64_t index);
/* All records up to lsn are on the drive. */
void world_write_records(struct world *world, struct world_node *node, uint64_t lsn);
/* The log becomes what is committed, up to `last`. */
void world_take_committed(struct world *world, struct world_log *log, uint64_t last);
/* The last configuration of a log at or below index, with its own index. */
void world_config_at(const struct world *world, const struct world_log *log, uint64_t index,
                     struct raft_config *config);

/* What a start would find: up to which index, and which chain there. */
uint64_t world_found_last(const struct world_node *node);
uint64_t world_found_chain(const struct world *world, const struct world_node *node,
                           uint64_t index);

/* All records up to lsn are on the drive; then the gate opens for them. */
void world_durable(struct world *world, uint8_t id, uint64_t lsn);

/* Delivers bag[slot] and takes it out; it is lost if its way is cut or its receiver down. */
void world_deliver(struct world *world, uint32_t slot);
void world_drop(struct world *world, uint32_t slot);
void world_duplicate(struct world *world, uint32_t slot);

/* A crash keeps the records up to lsn (at least what was reported durable) and nothing else. */
void world_crash(struct world *world, uint8_t id, uint64_t lsn);
void world_restart(struct world *world, uint8_t id);

/* The drive is lost: an empty one, formatted as another incarnation. */
void world_wipe(struct world *world, uint8_t id);

/* The last configuration in a node's log. */
const struct raft_config *world_config(const struct world *world, const struct world_node *node);

/* "voters 1 2 3 > 1 2 4 learners 5" without end of line. */
void world_print_config(FILE *out, const struct raft_config *config);

/* One line about a message, without end of line. */
void world_print_msg(FILE *out, const struct raft_msg *msg);

#endif
