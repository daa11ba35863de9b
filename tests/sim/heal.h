/* Standbys, and voters that die for good: the world of `--standbys`.
 *
 * heal.c makes it: learners are added and named as standbys, the autopilot is switched on, and now
 * and then a voter is gone, for some seconds or until all lose power. check_heal.c judges what the
 * autopilot does by the packets that arrived and by the committed entries, without its reckoning.
 */
#ifndef KEEL_SIM_HEAL_H
#define KEEL_SIM_HEAL_H

#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct world;
struct node;
struct entry;
struct autopilot_status;

struct heal {
    uint64_t rng;
    bool gone[KEEL_REPLICA_MAX + 1]; /* not started again for now */
    /* check_heal.c; world's time */
    uint64_t reply_ns[KEEL_REPLICA_MAX + 1][KEEL_REPLICA_MAX + 1]; /* [at][from], last arrival */
    uint64_t started_ns[KEEL_REPLICA_MAX + 1], starts[KEEL_REPLICA_MAX + 1];
    uint64_t led_term[KEEL_REPLICA_MAX + 1], led_ns[KEEL_REPLICA_MAX + 1];
    uint64_t proposed[KEEL_REPLICA_MAX + 1]; /* of its present start */
    /* by committed entries */
    bool open; /* a replacement is decided and not complete */
    uint32_t voter, standby;
    uint64_t was;           /* configuration that it is about */
    uint64_t config_log_ns; /* of the last configuration */
    uint32_t replaced;      /* mask: lost their vote, and are not back */
    uint64_t losses, replacements, withdrawals, returns;
};

/* --- heal.c --- */
void heal_begin(struct world *world);
void heal_prepare(struct world *world); /* EVENT_STANDBY */
void heal_lose(struct world *world);    /* EVENT_GONE */
void heal_back(struct world *world, uint32_t id);
void heal_all_back(struct world *world);
/* As many voters as were founded, and no change open. */
bool heal_settled(const struct world *world);

/* --- check_heal.c --- */
void check_heal_reply(struct world *world, uint32_t at, uint32_t from);
void check_heal_turn(struct world *world, struct node *node);
void check_heal_proposed(struct world *world, struct node *node, const struct autopilot_status *s);
/* A committed AUTOPILOT or CONFIG, before the checker takes the latter for the one in force. */
void check_heal_taken(struct world *world, const struct node *node, const struct entry *entry);
void check_heal_blackout(struct world *world);

#endif
