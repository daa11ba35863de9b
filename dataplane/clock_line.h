/* The line of time: what a tick counter means in nanoseconds, as straight pieces laid end to end.
 *
 * One thread plans the next piece from measurements (clock_line_measured()); any thread reads,
 * without a lock (clock_line_read()). A piece is published before its first tick, so that all
 * threads change over at the same tick and time never steps back, neither within a thread nor
 * between two. Past the last piece, or before the first (a counter that stopped or began anew while
 * the host was suspended), the line says "unknown" and the reader asks the kernel: time counts
 * suspend (H20). No clock, no system call here: ticks and times are inputs.
 */
#ifndef KEEL_CLOCK_LINE_H
#define KEEL_CLOCK_LINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_PIECES = 4, /* slots; the newest CLOCK_PIECES_READ of them may be read */
    CLOCK_PIECES_READ = 3,
    CLOCK_READ_TRIES = 8,      /* each failed one means a piece published in the meantime */
    CLOCK_RATE_SHIFT = 48,     /* of a rate: ns per tick as a fixed-point number */
    CLOCK_SLEW_PPM_MAX = 200,  /* how much a piece may run faster or slower than measured */
    CLOCK_PAD_NS = 20000,      /* more than two rates differ in the time that publishing takes */
    CLOCK_MARGIN_NS = 1000000, /* an unplanned piece starts so far ahead */
    CLOCK_STEP_NS = 1000000,   /* the line is put forward, not slewed, if it is so far behind */
    CLOCK_RATE_MIN_NS = 100000000, /* shortest time over which a rate is measured */
    CLOCK_RATE_PPM_MAX = 1000,     /* a rate that differs by more is believed only ... */
    CLOCK_RATE_ODD_MAX = 3         /* ... when so many measurements in a row agree on it */
};
#define CLOCK_PIECE_NS 4000000000ull /* length of a piece */
#define CLOCK_RENEW_NS 2500000000ull /* the next is published when less than this is left */

struct clock_piece {
    uint64_t start;   /* first tick */
    uint64_t end;     /* first tick after it */
    uint64_t base_ns; /* time at start */
    uint64_t rate;
    uint64_t alone; /* 1: older pieces are of the past, perhaps of another life of the counter */
};

struct clock_slot {
    _Atomic uint64_t start, end, base_ns, rate, alone;
};

struct clock_line {
    _Atomic uint64_t newest; /* number of the newest piece, in slot newest % CLOCK_PIECES */
    struct clock_slot slots[CLOCK_PIECES];
    /* The planner's own: */
    struct clock_piece last; /* as published */
    uint64_t measured_tick;
    uint64_t measured_ns;
    uint64_t rate;     /* as last measured */
    uint64_t odd_rate; /* measured last, far from `rate` */
    uint32_t odd;      /* ... so often in a row */
};

/* Begins with one piece from `tick`, when the kernel's time was `ns` (> 0). */
void clock_line_init(struct clock_line *line, uint64_t tick, uint64_t ns, uint64_t rate);

/* A measurement: at `tick` the kernel's time was `ns`. About once a second, one thread. */
void clock_line_measured(struct clock_line *line, uint64_t tick, uint64_t ns);

/* Time at a tick that was just read. False: no piece holds it; then the time is
 * clock_line_beyond(). */
bool clock_line_read(struct clock_line *line, uint64_t tick, uint64_t *ns);

/* The time at a tick that no piece holds, from the kernel's own time, read just now: not before
 * anything that the line has shown. */
uint64_t clock_line_beyond(struct clock_line *line, uint64_t tick, uint64_t kernel_ns);

/* The rate that fits `ns` in `ticks` (> 0). */
uint64_t clock_line_rate(uint64_t ns, uint64_t ticks);

#endif
