/* The places of the admin socket: who gets one, who gives way, and when one is taken back. Pure:
 * no socket, no clock; the admin thread asks before it accepts and once a turn.
 *
 * An operator always gets in. Each class of rights leaves room for those above it, a user who may
 * only look holds few places, and where a class is full its oldest connection that waits for
 * nothing gives way, however much of a request it has sent. Readers also get a share of the
 * thread's time alone (struct admin_share), so that no flood of theirs keeps a core busy or an
 * operator waiting.
 */
#ifndef KEEL_ADMIN_PLACES_H
#define KEEL_ADMIN_PLACES_H

#include "control/admin_rights.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ADMIN_CONNECTIONS_MAX = 64,
    ADMIN_READERS_MAX = 32,  /* of them, those who may only look */
    ADMIN_CHANGERS_MAX = 56, /* these and those who may change; the rest is the owners' */
    ADMIN_READERS_EACH = 8,  /* of one user who may only look */

    ADMIN_YOUNG_MS = 1000,  /* so long after its last answer nobody gives way */
    ADMIN_HALF_MS = 10000,  /* from the first byte of a request to its last */
    ADMIN_SLOW_MS = 5000,   /* for the reading of an answer */
    ADMIN_IDLE_MS = 60000,  /* a connection that says nothing this long is closed */
    ADMIN_ASK_EVERY_MS = 5, /* between two requests of readers that go to the log */
    ADMIN_SHARE_REST = 3,   /* readers rest so many times as long as they were served */
    ADMIN_REST_MAX_MS = 20  /* ... and no longer */
};

/* Why a connection was refused or closed by this side; names in admin_end_name(). */
enum admin_end {
    ADMIN_END_DENIED,   /* may not even look */
    ADMIN_END_BUSY,     /* its class is full, and nobody gave way */
    ADMIN_END_GAVE_WAY, /* for a newer one */
    ADMIN_END_HALF,     /* a request that was not finished in time */
    ADMIN_END_SLOW,     /* an answer that was not read in time */
    ADMIN_END_IDLE,
    ADMIN_END_COUNT /* also: it may stay */
};
const char *admin_end_name(enum admin_end end);

struct admin_place {
    uint8_t right; /* enum admin_right; ADMIN_RIGHT_NONE: the place is free */
    bool waiting;  /* a request is under way elsewhere */
    uid_t uid;
    uint64_t since_ms; /* accepted, or its last answer was read */
    uint64_t half_ms;  /* when the first byte of an unfinished request came; 0: none has */
    uint64_t out_ms;   /* when its answer began to leave; 0: none does */
};

/* Where a newcomer goes; ADMIN_CONNECTIONS_MAX: nowhere. A place that is taken gives way: the
 * caller ends that connection first. `right` is not NONE. */
uint32_t admin_places_find(const struct admin_place place[ADMIN_CONNECTIONS_MAX],
                           enum admin_right right, uid_t uid, uint64_t now_ms);

/* Whether a connection has used up its time, and why; ADMIN_END_COUNT: it may stay. */
enum admin_end admin_place_over(const struct admin_place *place, uint64_t now_ms);

/* Readers' share of the admin thread's time, and of the log: all zero at first. */
struct admin_share {
    uint64_t until_ns; /* they rest until then */
    uint64_t ask_ms;   /* no request of theirs goes to the log before */
};
/* May a reader's request go to the log now? `health` appends an entry: a flood of it must not wear
 * the ring out. True takes the share. */
bool admin_share_asks(struct admin_share *share, uint64_t now_ms);
bool admin_share_rests(const struct admin_share *share, uint64_t now_ns);
/* They were just served, which took so much of a processor. */
void admin_share_spent(struct admin_share *share, uint64_t spent_ns, uint64_t now_ns);

#endif
