/* A client's lease: the only arithmetic by which it may believe in its locks. Pure: time is an
 * argument, the caller's clock may drift by rho and counts suspend (H20); the simulator links this
 * very file under clocks of its own.
 *
 * The lease lasts TTL x (1 - rho) of the client's clock from the *sending* of exactly the copy of a
 * keepalive that was answered (H21). When it runs out the session is in jeopardy: it may live on at
 * the cluster, nobody can tell. The client stops acting and asks for a leader until an answer makes
 * it safe again, or the grace period is over and the session is expired for good. Source: Chubby
 * (Burrows, OSDI 2006), 2.8.
 */
#ifndef KEEL_CLIENT_LEASE_H
#define KEEL_CLIENT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

enum lease_state {
    LEASE_NONE = 0, /* nothing was answered yet */
    LEASE_SAFE = 1,
    LEASE_JEOPARDY = 2,
    LEASE_EXPIRED = 3 /* for good */
};

struct lease {
    enum lease_state state;
    uint64_t until_ns; /* of the client's clock */
    uint64_t grace_ns; /* from until_ns on */
    uint64_t term;     /* of the leader that answered last */
};

/* grace_ns: how long jeopardy may last. */
void lease_init(struct lease *lease, uint64_t grace_ns);

/* An answer came to a copy that was sent at sent_ns. An older copy's answer takes nothing back, and
 * none wakes an expired lease. True if another leader than before answered: a fail-over. */
bool lease_answered(struct lease *lease, uint64_t sent_ns, uint32_t ttl_ms, uint32_t rho_ppm,
                    uint64_t term, uint64_t now_ns);

/* Brings the state up to the time; ask before every act that rests on a lock. */
enum lease_state lease_look(struct lease *lease, uint64_t now_ns);

/* When lease_look() will say something else unless an answer comes; UINT64_MAX: never. */
uint64_t lease_changes_ns(const struct lease *lease);

#endif
