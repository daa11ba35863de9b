/* The table of neighbours: which MAC address answers for which IPv4 address, and when to ask again.
 *
 * Part of a frame_host and, like it, owned by `seq`; no packets here, only the rules. An address is
 * looked up by hash with linear probing; all times are ms of one monotone clock.
 * - Nobody is believed unasked: an answer counts only within NEIGHBOUR_ANSWER_MS of our own
 * request.
 * - A known neighbour in use is asked again by unicast once it is no longer fresh, and then only
 * the same MAC may answer; only after NEIGHBOUR_UNICAST_TRIES such requests without an answer is
 * the question put to all, and another MAC taken.
 * - A packet that contradicts the table makes us ask earlier, and changes nothing by itself.
 */
#ifndef KEEL_NEIGHBOUR_H
#define KEEL_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/frame.h"

enum {
    NEIGHBOUR_UNICAST_TRIES = 2,
    NEIGHBOUR_WANTED_MAX_MS = 400, /* unknown: a healed network waits no longer for it */
    NEIGHBOUR_RETRY_MAX_MS = 3000, /* known: asked again, and used meanwhile */
    NEIGHBOUR_ANSWER_MS = 3000,    /* how long a request waits for its answer */
    NEIGHBOUR_HINT_MS = 1000       /* at most one early question in this time */
};

enum neighbour_state {
    NEIGHBOUR_FREE = 0,
    NEIGHBOUR_WANTED, /* asked for, no MAC yet */
    NEIGHBOUR_KNOWN,
    NEIGHBOUR_FIXED
};

struct neighbour {
    uint32_t ip;
    uint8_t mac[6];
    uint8_t state;     /* enum neighbour_state */
    uint8_t tries;     /* requests since the last answer, saturating */
    bool asked;        /* a request waits for its answer */
    bool asked_all;    /* ... and went to the broadcast address */
    uint32_t retry_ms; /* until the next request, if this one stays without an answer */
    uint64_t asked_ms;
    uint64_t confirmed_ms;
    uint64_t used_ms; /* last looked up */
    uint64_t due_ms;  /* when neighbours_next() has work for it; UINT64_MAX: never */
};

struct neighbours {
    uint64_t due_ms; /* no entry is due before */
    uint32_t count;
    struct neighbour slots[FRAME_NEIGHBOURS_MAX];
};

void neighbours_init(struct neighbours *table);

/* The MAC of a directly connected address; false: unknown, and now wanted. */
bool neighbours_find(struct neighbours *table, uint32_t ip, uint8_t mac[6], uint64_t now_ms);
/* False: every slot is fixed. */
bool neighbours_fix(struct neighbours *table, uint32_t ip, const uint8_t mac[6]);

/* An answer came. True: we had asked, and took it. */
bool neighbours_answer(struct neighbours *table, uint32_t ip, const uint8_t mac[6],
                       uint64_t now_ms);
/* A packet that we did not ask for says that ip is at mac. */
void neighbours_hint(struct neighbours *table, uint32_t ip, const uint8_t mac[6], uint64_t now_ms);

/* The next request that is due: to whom, and by which destination MAC (all ones: to all). Ages the
 * table; false: none is due. */
bool neighbours_next(struct neighbours *table, uint64_t now_ms, uint32_t *ip, uint8_t to[6]);

#endif
