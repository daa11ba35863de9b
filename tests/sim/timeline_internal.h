/* The timeline's own: shared by timeline.c, timeline_frame.c and timeline_page.c. */
#ifndef KEEL_SIM_TIMELINE_INTERNAL_H
#define KEEL_SIM_TIMELINE_INTERNAL_H

#include "tests/sim/timeline.h"

#include <stdio.h>

struct timeline_list { /* in the order of at_ns; a ring once `count` has reached `limit` */
    struct timeline_record *record;
    uint64_t count; /* ever added; record i lies at i % cap */
    uint64_t cap, limit;
};

/* What was last seen of a replica, a guest, a holder. */
struct timeline_seen {
    bool up;
    uint8_t role, vote, leader, handover, handover_to;
    uint64_t starts, term, commit, config, paused_until_ns;
    uint64_t pause; /* the record of that pause, among the rare */
    uint64_t lives, asleep_until_ns;
    uint8_t believes[HOLD_PATHS]; /* enum lock_mode */
};

struct timeline {
    struct timeline_options options;
    FILE *page;
    struct timeline_list rare, bulk;
    struct timeline_seen seen[ENDPOINTS];
    uint16_t cut[ENDPOINTS]; /* bit b of a: frames from a to b are cut off */
    uint64_t installs;       /* as the world counts them */
    char **text;
    uint32_t text_count, text_cap;
};

/* Is it one of those that are too many to keep all? */
bool timeline_is_bulk(uint8_t kind);
/* Fills kind and values from a frame; from a drive operation's bytes. */
void timeline_read_frame(const uint8_t *bytes, uint32_t size, struct timeline_record *record);
void timeline_read_block(const void *buffer, struct timeline_record *record);
/* How a kind and its values are called: {"n":"VOTE","g":"votes","f":["term",...]}, a group for the
 * legend; NULL: no such kind. */
const char *timeline_kind_text(uint8_t kind);
bool timeline_write_page(const struct world *world, const struct timeline *timeline,
                         char problem[160]);

#endif
