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
    uint64_t bytes_hash; /* without the sequencer */
    uint64_t feed;       /* its number within the day */
    uint64_t position;   /* in the order of all days, from 1; 0: not committed */
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
    uint64_t committed_ns;        /* the last one, world's time */
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
    struct raft_config config; /* committed last */
    uint64_t config_term;      /* of its entry */
    struct day day[CHECK_DAYS];
    uint64_t healed_ns, healed_commit, healed_term, healed_config, healed_transfers,
        healed_given_up; /* check_live.c: the last heal */
    uint32_t day_count;
};

/* Makes place for array[need]; new places are zero. */
void *check_grown(void *array, uint64_t *cap, uint64_t need, size_t each);

/* check_members.c. Masks are of node ids. */
void check_members_init(struct world *world);
bool check_quorum(const struct raft_config *config, uint32_t mask);
uint32_t check_members_holding(const struct world *world, const struct raft_config *config,
                               uint64_t index, uint64_t chain);
/* Does a quorum hold what this node has just committed? */
bool check_members_committed(const struct world *world, const struct node *node, uint64_t index,
                             uint64_t chain);
void check_members_taken(struct world *world, const struct node *node, const struct entry *entry);
void check_members_turn(struct world *world, struct node *node);
bool check_members_is(const struct world *world, const struct node *node);
bool check_members_contact(const struct world *world, uint32_t id, uint32_t mask);
void check_drive_free(struct world *world);

/* Has this node heard a leader, and that leader a quorum, within feed_stale_ms? */
bool check_net_contact(const struct world *world, uint32_t id);
void check_net_free(struct world *world);

#endif
