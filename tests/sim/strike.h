/* Damage that stays on a drive, for the replicas to repair while everything else goes on.
 *
 * strike.c makes it, and plans it for the table of damage (repair_main.c). strike_swarm.c draws it
 * for a seed: a kind and a place, on a drive at rest or under a running replica, and takes back
 * what would be one fault too many. strike_survey.c says what a drive holds, judged page by page
 * and without the product's recovery.
 */
#ifndef KEEL_SIM_STRIKE_H
#define KEEL_SIM_STRIKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct node;
struct ring_page;
struct ring_recovery;
struct ring_identity;

enum strike_fault {
    STRIKE_TEAR,        /* a part of it never got there, and reads as zeros: the first sector alone,
                           or all from some sector on */
    STRIKE_LOST,        /* confirmed, and never made: the whole block */
    STRIKE_MISDIRECTED, /* another page's write came here, and is missing there: whole blocks */
    STRIKE_STALE,       /* a sector of what was written elsewhere, from the drive's cache */
    STRIKE_LATENT,      /* a sector that cannot be read until it is written again */
    STRIKE_FLIP,
    STRIKE_FAULTS
};
enum strike_place {
    STRIKE_HEADER,
    STRIKE_PAYLOAD,
    STRIKE_TAIL, /* the head of the very last page */
    STRIKE_CHECKPOINT,
    STRIKE_SUPER,
    STRIKE_SWARM_PLACES, /* those above are drawn for a seed; its payload may be the last page's */
    STRIKE_TAIL_PAYLOAD = STRIKE_SWARM_PLACES,
    STRIKE_PLACES
};
const char *strike_fault_name(enum strike_fault fault);
const char *strike_place_name(enum strike_place place);

/* Where exactly, in bytes of the drive: a block, a sector and a byte of it, and the block whose
 * write went astray or whose sector is stale. */
struct strike_at {
    uint64_t offset, other;
    uint32_t sector, byte; /* byte: within the sector, for FLIP */
};
void strike_damage(struct node *node, enum strike_fault fault, const struct strike_at *at);

/* --- strike.c: one strike, planned ------------------------------------------------------------ */
enum strike_who { STRIKE_LEADER, STRIKE_FOLLOWER, STRIKE_ALL, STRIKE_WHOS };
struct strike {
    enum strike_fault fault;
    enum strike_place place;
    enum strike_who who;
    bool running; /* found by the scrub; else by a start after a power cut */
    bool done;
};
/* Strikes, or waits for the next moment at which the drives are as the strike wants them. */
void strike_now(struct world *world);
/* How it ended for the nodes that were struck: 0 all are whole again, 1 some stopped, for stop_why,
 * 2 damage is left. At the end of a run; the nodes lose power. *why is the first that is not whole;
 * *stopped: mask of those that stopped. */
int strike_end(struct world *world, uint32_t *stopped, char why[512]);

/* --- strike_survey.c: what a drive holds ------------------------------------------------------ */
enum survey_entry { ENTRY_NONE, ENTRY_LOST, ENTRY_HELD };

struct survey {
    uint64_t head, tail;    /* pages that the drive keeps */
    uint64_t durable_page;  /* pages below are witnessed by the last intact one */
    uint64_t first, last;   /* entries that its log names */
    uint64_t covered;       /* by its newest intact checkpoint; 0: none */
    uint64_t older;         /* by the other intact one; 0: none */
    bool newest_installed;  /* the newest came from a peer */
    uint32_t newest_area;   /* where it lies */
    uint32_t bad, unnamed;  /* damaged pages; those of them that no intact head names */
    uint64_t last_bad;      /* the highest of them */
    uint32_t bad_copies;    /* of superblock, genesis record and checkpoint */
    uint64_t hole;          /* lowest entry above covered that is lost; 0: none */
    uint8_t *entry;         /* enum survey_entry by index, up to last */
    uint64_t *page;         /* that has it, by index */
    uint64_t cap, page_cap; /* of the two */
};
void survey_take(const struct world *world, const struct node *node, struct survey *survey);
void survey_free(struct survey *survey);
enum survey_entry survey_entry(const struct survey *survey, uint64_t index);
/* Its bytes, if they are intact there; else NULL. */
const struct ring_page *survey_page(const struct world *world, const struct node *node,
                                    uint64_t page);
/* What a kept page was, by its own head or one behind it. False: nobody says. */
bool survey_identity(const struct world *world, const struct node *node, uint64_t page,
                     uint64_t tail, struct ring_identity *identity);

/* --- strike_swarm.c: a seed's strikes --------------------------------------------------------- */
enum { WOUNDS_MAX = 64 };

struct wound { /* a page that was damaged, and what it held */
    uint64_t page;
    uint8_t *bytes; /* malloc'd */
    bool known;     /* a start has seen it */
};

struct wounds {   /* of one drive */
    bool ever;    /* it was struck: parts of its log may be unknown to the checker */
    bool refused; /* a start refused it for damage: it waits for its replacement */
    uint32_t count;
    struct wound wound[WOUNDS_MAX];
    uint64_t hole; /* the lowest lost entry that its replica must know of; 0: none */
};

struct strikes { /* what came of them, over a seed */
    uint64_t fault[STRIKE_FAULTS], place[STRIKE_SWARM_PLACES];
    uint64_t pages, copies; /* made anew */
    uint64_t refused;       /* starts refused since term and vote may be lost */
    uint64_t restarted;     /* stops that ask for a restart */
    uint64_t left;          /* pages below everybody's checkpoint (H7) */
};

void strikes_begin(struct world *world);
void strikes_turn(struct world *world);
/* Is anything damaged on this drive, on any? */
bool strikes_hurt(const struct world *world, const struct node *node);
bool strikes_hurt_any(const struct world *world);
/* A running replica has lost entries that it cannot vouch for meanwhile. */
bool strikes_open(const struct world *world, const struct node *node);
/* A damaged drive's start was refused, its replica stopped: may it? Notes it if so. */
bool strikes_may_refuse(struct world *world, struct node *node, const char *why);
bool strikes_may_stop(struct world *world, struct node *node, const char *why);
/* Its start went well; it is about to lose power. */
void strikes_started(struct world *world, struct node *node, const struct ring_recovery *found);
void strikes_count(struct world *world, const struct node *node);
/* A block was written in the course of a repair. */
void strikes_written(struct world *world, struct node *node, uint64_t offset);
void strikes_forget(struct node *node); /* another drive */
void strikes_end(struct world *world);

#endif
