/* One feed beside a real ring on a drive of memory and a port that keeps what is sent: for the
 * tests of the line and of its request server. The test plays seq: it appends entries, "applies"
 * them at once, and pushes their items.
 */
#ifndef KEEL_TEST_LINE_H
#define KEEL_TEST_LINE_H

#include "dataplane/feed_internal.h"
#include "tests/unit/dataplane/wire_fake.h"
#include "tests/unit/ring/world.h"

enum { LINE_NUMBERS_MAX = 1 << 15, LINE_CONSUMER = 0x0a000009, LINE_MESSAGE_SIZE = 64 };

struct line {
    struct world world; /* its ring is used directly, not by way of its model */
    struct port *port;
    struct feed *feed;
    struct feed_options options; /* for the next line_start() */
    void *memory;
    uint64_t now_ns, lsn, term;
    uint64_t next;    /* feed number of the next message */
    uint64_t applied; /* log index */
    uint64_t serial;  /* of the next message's content */
    uint64_t
        shows[LINE_NUMBERS_MAX]; /* serial by feed number of this day; UINT64_MAX: session's end */
    char day[KEEL_DAY_NAME_SIZE + 1];
};

/* A ring that has started and no feed yet. */
struct line *line_new(void);
/* The feed, as line->options say, at the number where the line stands. */
void line_start(struct line *line, bool day_open);
void line_free(struct line *line);

/* An entry of `count` messages; of them those whose bit is set are sequenced, the others refused.
 * NULL if the ring has no room. The entry is appended, applied and its items pushed. */
const struct entry *line_entry(struct line *line, uint16_t count, uint64_t sequenced, bool live);
void line_messages(struct line *line, uint32_t entries, bool live);
void line_session_end(struct line *line, bool live);
void line_day_end(struct line *line, bool live);
void line_day_begin(struct line *line, const char *day, bool live);
/* An entry that the feed has no message of. */
void line_noop(struct line *line);
/* Entries of this term that are written and never committed, and cut off by a new one. */
void line_superseded(struct line *line, uint32_t entries);
/* A peer's checkpoint has taken the place of the log, at the number and index where the line is. */
void line_anew(struct line *line);

/* A turn of the feed `ms` later; and as many of the ring's roles as it takes to come to rest. */
uint32_t line_turn(struct line *line, uint32_t ms);
void line_settle(struct line *line);
/* What seq says once a millisecond: quorum contact `age_ms` ago, and the window's younger half. */
void line_contact(struct line *line, uint32_t age_ms);
/* seq lets go of what the feed no longer needs. */
void line_done(struct line *line);

/* A request packet to the feed's port. */
void line_ask(struct line *line, uint32_t from, const char *day, uint64_t first, uint16_t count);
/* Checks that a packet holds what its numbers stand for; returns the count of its header. */
uint16_t line_check(const struct line *line, const struct wire_kept *kept);

/* A line whose feed has started, and said so. */
struct line *line_started(void);
/* Asks as the configured consumer; the one answer, or NULL if none came. */
const struct wire_kept *line_asked(struct line *line, uint64_t first, uint16_t count);
/* Demands an answer that begins at `first` and holds 1..count messages; returns how many. */
uint16_t line_answer(struct line *line, uint64_t first, uint16_t count);
/* The same of each number from `from` on and below `to`. */
void line_answers(struct line *line, uint64_t from, uint64_t to);

#endif
