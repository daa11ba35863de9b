/* The beginning of a new cluster from a state of an old one: after the loss of a majority, or from
 * a backup. One mechanism for both: a freshly formatted ring gets the state as its first
 * checkpoint, then a genesis record that names this ring alone as founder. The record goes last: a
 * ring without one does not start, so whatever was cut off before it is begun anew.
 *
 * What keeps the two clusters apart for ever: another cluster id (packets, handshakes, pages,
 * chains), another trading day (feed lines), and an index far above any that the old one can have
 * reached (ids, epochs and generations are indexes). Cold: keelctl alone calls it.
 */
#ifndef KEEL_SEED_H
#define KEEL_SEED_H

#include "consensus/machine/machine.h"
#include "dataplane/ring/recover.h"

enum {
    SEED_PROBLEM_SIZE = 256,
    SEED_RATE_BITS = 24, /* fewer than 2^24 entries a second, on the average */
    SEED_STEP_BITS = 40
};
#define SEED_UTC_ZERO_S UINT64_C(1577836800) /* 2020-01-01: keeps indexes below 2^53 until 2037 */

struct seed_wish {
    enum genesis_seed how;
    uint64_t cluster_id; /* drawn, not 0 */
    uint64_t utc_ns;     /* now */
    uint64_t term;       /* highest that is known of the old cluster */
    char day[KEEL_DAY_NAME_SIZE];
    uint32_t ip; /* where the founder is reached, host order */
    uint16_t port;
};

/* The index that a state of index `last`, seeded at utc_ns, gets: above every index of every
 * cluster that was formed from the same line before, as far as the clock then and now is right to
 * the second and the rate above holds. Where it says less than last + 2^40, that. */
uint64_t seed_index(uint64_t last, uint64_t utc_ns);

/* A day's name that no other seeding chose: "R" and the seconds since 2020. */
void seed_day(uint64_t utc_ns, char day[KEEL_DAY_NAME_SIZE]);

/* The new cluster's record: limits and times of `from`, one founder, the ring `super`. NULL, or why
 * not in a few words. */
const char *seed_genesis(struct genesis *genesis, const struct genesis *from,
                         const struct machine *machine, const struct ring_super *super,
                         const struct seed_wish *wish);

/* Is this a ring that was formatted and no more? What an interrupted seeding left counts as
 * nothing. 0; -EEXIST: a genesis record is installed; -ENOTEMPTY: it holds pages, or is damaged;
 * other negative errno. *super is filled. */
int seed_ring_fresh(struct disk *disk, struct ring_super *super, char *problem);

/* The state into both checkpoint areas, read back and compared. `machine` is one that
 * machine_seed() carried over into `genesis`; `bytes`: page-aligned, machine_encoded_max() rounded
 * up to blocks. */
int seed_write(struct disk *disk, const struct ring_super *super, const struct genesis *genesis,
               const struct machine *machine, void *bytes, size_t cap, char *problem);

#endif
