/* A cluster as a client meets it: real authentication, real machine, one log without Raft behind
 * it. Members answer, redirect, are busy, restart, and are down as the test says. Whatever the
 * machine sequenced is noted, so that a test can compare it with what the client was told.
 */
#ifndef KEEL_TESTS_CLIENT_FAKE_H
#define KEEL_TESTS_CLIENT_FAKE_H

#include "consensus/machine/machine.h"
#include "dataplane/auth/auth.h"
#include "dataplane/auth/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FAKE_MEMBERS = 3,
    FAKE_NOBODY = FAKE_MEMBERS, /* no leader */
    FAKE_PRINCIPAL = 100,
    FAKE_TAKEN_MAX = 300000
};
#define FAKE_CLUSTER UINT64_C(0x00c0ffee00c0ffee)
#define FAKE_MS UINT64_C(1000000)

struct rng { /* splitmix64 */
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t bound);
void rng_bytes(void *rng, void *bytes, size_t size);

struct fake_member {
    uint32_t id;
    bool up;
    struct auth_table *auth;
    struct handshake *handshake;
    uint64_t boot;
};

struct fake_taken { /* one sequenced message */
    uint64_t session, number, feed, hash;
};

struct fake {
    struct rng rng;
    uint64_t cluster;
    uint64_t now_ns;
    uint64_t term;
    uint32_t leader;    /* index of a member, FAKE_NOBODY: none */
    uint32_t named;     /* whom followers name: index, FAKE_NOBODY: unknown */
    bool circle;        /* each follower names the next one */
    bool busy;          /* the leader takes nothing and says so ... */
    uint32_t successor; /* ... and names: index + 1, 0: itself */
    bool deaf;          /* the leader takes nothing and says nothing */
    /* Of one client: a keepalive that is held until there is an event to tell, a third of the time
     * to live at most, as control does; looked at whenever a packet comes. */
    struct packet_keepalive held; /* request 0: none */
    uint32_t held_principal;
    uint64_t told_ns, told_term;
    bool mute; /* the leader takes everything and says nothing */
    uint32_t busy_said, redirected, packets, submits, opens, keepalives;
    struct genesis genesis;
    struct machine *machine;
    struct machine_outcome outcome;
    struct keyring *keys;
    struct fake_member member[FAKE_MEMBERS];
    struct fake_taken *taken;
    uint32_t taken_count;
    void (*send)(void *context, uint32_t member, uint32_t ip, uint16_t port, const void *packet,
                 size_t size);
    /* May be NULL: each message as it is sequenced. */
    void (*taken_hook)(void *context, uint64_t feed, const uint8_t *payload, size_t size);
    void *context;
};

/* The key file's content that both sides use: one client. */
void fake_keys(struct keyring *keys, uint64_t seed);

void fake_init(struct fake *fake, uint64_t seed);
void fake_free(struct fake *fake);
/* A packet of a client came to a member. */
void fake_receive(struct fake *fake, uint32_t member, uint32_t ip, uint16_t port,
                  const void *packet, size_t size, uint64_t now_ns);
/* The member's process is started anew: its associations are gone. */
void fake_restart(struct fake *fake, uint32_t member);
/* Another member leads, in a higher term, and everybody knows it. */
void fake_lead(struct fake *fake, uint32_t member);
/* An entry of the leader's own: a kill, a day's end or beginning. */
uint8_t fake_entry(struct fake *fake, enum entry_kind kind, uint32_t principal, const void *body,
                   size_t size);
/* Every session's record is gone. */
void fake_forget(struct fake *fake);
void fake_day(struct fake *fake, enum entry_kind kind, const char *name);
void fake_kill(struct fake *fake, uint64_t session);
/* The message taken under a session's number, NULL: none. */
const struct fake_taken *fake_find(const struct fake *fake, uint64_t session, uint64_t number);
/* Every session's numbers 1, 2, 3 ... once each, and feed numbers likewise. */
bool fake_order_ok(const struct fake *fake);

#endif
