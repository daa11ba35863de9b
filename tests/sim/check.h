/* The inside of the checker, shared by check.c (the order), check_drive.c (what drives hold) and
 * check_net.c (what packets say). One world, one checker, one thread.
 */
#ifndef KEEL_SIM_CHECK_H
#define KEEL_SIM_CHECK_H

#include "consensus/machine/machine.h"
#include "tests/sim/world.h"

enum { CHECK_TERMS = 1 << 16, CHECK_DAYS = 64 };

struct message { /* by (session, number) */
    uint64_t session, number, hash;
    uint64_t feed;     /* its number within the day */
    uint64_t position; /* in the order of all days, from 1; 0: not committed */
    bool used, submitted, acked;
};

struct placed { /* what stands at a position of the order */
    uint64_t session, number, hash;
    uint64_t committed_ns;
    uint64_t index; /* of the log */
    bool is_end;
};

struct day {
    char name[KEEL_DAY_NAME_SIZE];
    uint64_t base; /* positions before its first number */
};

struct checker {
    uint8_t leader[CHECK_TERMS]; /* by term */
    uint64_t committed, acked, acked_index;
    uint64_t *chain, chain_cap;   /* by index, up to committed */
    uint64_t *term, term_cap;     /* of who committed it first, by index */
    uint64_t *digest, digest_cap; /* of the checker's own machine, by index */
    struct machine *machine;
    struct machine_outcome outcome;
    struct message *message;
    uint64_t message_cap, message_count;
    struct placed *order;
    uint64_t order_cap, order_count;
    struct {
        uint64_t session, last;
    } * session;
    uint64_t session_cap, session_count;
    struct day day[CHECK_DAYS];
    uint64_t healed_ns, healed_commit, healed_term; /* check_live.c: the last heal */
    uint32_t day_count;
};

/* Makes place for array[need]; new places are zero. */
void *check_grown(void *array, uint64_t *cap, uint64_t need, size_t each);

/* How many drives hold that entry durably, whoever is up. */
uint32_t check_drive_holders(const struct world *world, uint64_t index, uint64_t chain);
void check_drive_free(struct world *world);

/* Has this node heard a leader, and that leader a quorum, within feed_stale_ms? */
bool check_net_contact(const struct world *world, uint32_t id);
void check_net_free(struct world *world);

#endif
