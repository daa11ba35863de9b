/* What a seed looked like, as one page for a browser (--timeline FILE.html).
 *
 * The simulator tells a timeline what it cannot see for itself: frames at the switch, operations of
 * drives and guests, faults. The rest (roles, terms, votes, commit, starts, pauses, cuts) it finds
 * by looking at the world after each event. It draws no random number and schedules nothing: a
 * seed's trace is the same with and without one. Without one a hook costs the test of a pointer.
 *
 * Everything that is told becomes a record of fixed size. Records of rare kinds are kept all; of
 * the bulk (appends and their answers, feed, submits, drive operations, commits) the newest `limit`
 * are, and the page says from when on they are complete. Times are the world's, in nanoseconds.
 * timeline.c collects, timeline_frame.c reads frames and drive blocks, timeline_page.c writes.
 */
#ifndef KEEL_SIM_TIMELINE_H
#define KEEL_SIM_TIMELINE_H

#include "tests/sim/world.h"

#include "dataplane/disk.h"

enum { TIMELINE_VALUES = 6, TIMELINE_LIMIT = 400000 };

/* What a record is about. Below TIMELINE_FEED: enum packet_kind. */
enum timeline_kind {
    TIMELINE_FEED = 64,
    TIMELINE_FEED_REQUEST,
    TIMELINE_FEED_ANSWER,
    TIMELINE_ARP,
    TIMELINE_OTHER,
    /* replicas */
    TIMELINE_START = 128,
    TIMELINE_DOWN,
    TIMELINE_ROLE,
    TIMELINE_TERM,
    TIMELINE_VOTED,
    TIMELINE_COMMIT,
    TIMELINE_CONFIG,
    TIMELINE_INSTALL,
    TIMELINE_HANDOVER,
    TIMELINE_PAUSE,
    TIMELINE_NOTE,
    /* drives */
    TIMELINE_WRITE,
    TIMELINE_ZERO,
    TIMELINE_READ,
    TIMELINE_FLUSH,
    TIMELINE_TORN,
    /* guests */
    TIMELINE_LIFE,
    TIMELINE_SLEEP,
    TIMELINE_SESSION,
    TIMELINE_SESSION_END,
    TIMELINE_MESSAGE, /* submitted */
    TIMELINE_RESULT,
    /* the world */
    TIMELINE_FAULT,
    TIMELINE_CUT,
    TIMELINE_PHASE,
    TIMELINE_VIOLATION,
    TIMELINE_HOLDS, /* what a holder believes of a path's lock */
    TIMELINE_KINDS
};

/* What became of a frame's copy. */
enum timeline_fate {
    TIMELINE_ARRIVED,
    TIMELINE_DUPLICATE, /* a second copy, made by the network; arrived */
    TIMELINE_LOST,
    TIMELINE_CUT_OFF,
    TIMELINE_NOBODY,           /* its receiver was down or asleep */
    TIMELINE_DUPLICATE_NOBODY, /* a second copy, and nobody there */
    TIMELINE_UNDER_WAY,        /* still, when the seed ended */
    TIMELINE_DUPLICATE_UNDER_WAY
};

struct timeline_record {
    uint64_t at_ns, until_ns; /* until: arrival, completion, end of a pause; else at_ns */
    uint64_t sequence;        /* the next event's at this moment; a frame's: which delivers it */
    uint64_t value[TIMELINE_VALUES];
    uint32_t size; /* bytes: of a frame, of a drive operation */
    uint8_t kind;  /* enum packet_kind, enum timeline_kind */
    uint8_t from;  /* endpoint; 0: the world */
    uint8_t to;    /* endpoint; 0: none */
    uint8_t fate;  /* enum timeline_fate */
};

struct timeline_options {
    const char *path;        /* NULL: no timeline */
    uint64_t from_ns, to_ns; /* the window that is recorded; to_ns UINT64_MAX: to the end */
    uint32_t limit;          /* records of bulk kinds that are kept */
};

/* What a command line says of it (timeline_options.c). */
enum {
    TIMELINE_OPTION_FILE = 1000,
    TIMELINE_OPTION_FROM,
    TIMELINE_OPTION_TO,
    TIMELINE_OPTION_LIMIT
};
/* clang-format off */
#define TIMELINE_OPTIONS_NONE {.to_ns = UINT64_MAX, .limit = TIMELINE_LIMIT}
#define TIMELINE_LONG_OPTIONS                                        \
    {"timeline", required_argument, NULL, TIMELINE_OPTION_FILE},     \
    {"from", required_argument, NULL, TIMELINE_OPTION_FROM},         \
    {"to", required_argument, NULL, TIMELINE_OPTION_TO},             \
    {"limit", required_argument, NULL, TIMELINE_OPTION_LIMIT}
#define TIMELINE_USAGE                                                                          \
    "  --timeline FILE.html  draw one seed: lanes, messages, elections, faults, in one page\n"  \
    "                for a browser (docs/simulator.md says how to read it)\n"                  \
    "  --from, --to  the part of it that is drawn, in simulated seconds (default: all of it)\n" \
    "  --limit RECORDS  so many frames, drive operations and messages are kept, the last ones\n" \
    "                (default 400000); elections, votes, faults, starts, crashes are kept all\n"
/* clang-format on */

/* False: no option of a timeline, or it says on stderr what the option wants. */
bool timeline_option(int option, const char *text, struct timeline_options *options);
/* Of one seed, of a window that has a length, in a file that can be written, which is made. False:
 * it says on stderr why not. */
bool timeline_options_fit(const struct timeline_options *options, uint64_t seeds);

/* The page is created at once, so that a path that cannot be written stops nothing half-way. NULL:
 * errno says why. The timeline is the world's until timeline_close(). */
struct timeline *timeline_open(struct world *world, const struct timeline_options *options);
/* Writes the page. False: `problem` says what was missing or could not be written. */
bool timeline_close(struct world *world, char problem[160]);
/* An ENSURE has stopped this process: the page is written as far as it goes. */
void timeline_aborted(const char *file, int line, const char *condition);

/* --- hooks: nothing is done when there is no timeline. The functions behind them are not for
 * calling. */
void timeline_look(struct world *world, const struct event *event);
void timeline_take_frame(struct world *world, uint32_t from, uint32_t to, const uint8_t *bytes,
                         uint32_t size, uint64_t at_ns, enum timeline_fate fate);
void timeline_take_drive(struct world *world, const struct node *node, enum disk_op op,
                         uint64_t offset, const void *buffer, uint32_t size, uint64_t done_ns,
                         int32_t result);
void timeline_take_text(struct world *world, enum timeline_kind kind, uint32_t endpoint,
                        const char *text);
void timeline_take(struct world *world, enum timeline_kind kind, uint32_t endpoint, uint64_t a,
                   uint64_t b, uint64_t c);

/* After each event. */
static inline void timeline_event(struct world *world, const struct event *event)
{
    if (__builtin_expect(world->timeline != NULL, 0))
        timeline_look(world, event);
}

/* At the switch, for each copy, before world_frame() takes it. */
static inline void timeline_frame(struct world *world, uint32_t from, uint32_t to,
                                  const uint8_t *bytes, uint32_t size, uint64_t at_ns,
                                  enum timeline_fate fate)
{
    if (__builtin_expect(world->timeline != NULL, 0))
        timeline_take_frame(world, from, to, bytes, size, at_ns, fate);
}

static inline void timeline_drive(struct world *world, const struct node *node, enum disk_op op,
                                  uint64_t offset, const void *buffer, uint32_t size,
                                  uint64_t done_ns, int32_t result)
{
    if (__builtin_expect(world->timeline != NULL, 0))
        timeline_take_drive(world, node, op, offset, buffer, size, done_ns, result);
}

/* What people are told of an endpoint, 0: of the world. */
static inline void timeline_text(struct world *world, enum timeline_kind kind, uint32_t endpoint,
                                 const char *text)
{
    if (__builtin_expect(world->timeline != NULL, 0))
        timeline_take_text(world, kind, endpoint, text);
}

static inline void timeline_mark(struct world *world, enum timeline_kind kind, uint32_t endpoint,
                                 uint64_t a, uint64_t b, uint64_t c)
{
    if (__builtin_expect(world->timeline != NULL, 0))
        timeline_take(world, kind, endpoint, a, b, c);
}

#endif
