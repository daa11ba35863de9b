#include "dataplane/clock_line.h"

#include "consensus/ensure.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide;

uint64_t clock_line_rate(uint64_t ns, uint64_t ticks)
{
    ENSURE(ticks > 0);
    return (uint64_t)(((wide)ns << CLOCK_RATE_SHIFT) / ticks);
}

static uint64_t ns_of(uint64_t ticks, uint64_t rate)
{
    return (uint64_t)((wide)ticks * rate >> CLOCK_RATE_SHIFT);
}

static uint64_t ticks_of(uint64_t ns, uint64_t rate)
{
    return (uint64_t)(((wide)ns << CLOCK_RATE_SHIFT) / rate);
}

static uint64_t piece_ns(const struct clock_piece *piece, uint64_t tick)
{
    return piece->base_ns + ns_of(tick - piece->start, piece->rate);
}

static void publish(struct clock_line *line, const struct clock_piece *piece)
{
    uint64_t number = atomic_load_explicit(&line->newest, memory_order_relaxed) + 1;
    struct clock_slot *slot = &line->slots[number % CLOCK_PIECES];
    /* Pairs with the acquire fence in read_slot()'s caller: who saw a byte of this piece sees that
     * `newest` had moved on, and reads again. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->start, piece->start, memory_order_relaxed);
    atomic_store_explicit(&slot->end, piece->end, memory_order_relaxed);
    atomic_store_explicit(&slot->base_ns, piece->base_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->rate, piece->rate, memory_order_relaxed);
    atomic_store_explicit(&slot->alone, piece->alone, memory_order_relaxed);
    /* Pairs with the acquire load in clock_line_read(): the piece before its number. */
    atomic_store_explicit(&line->newest, number, memory_order_release);
    line->last = *piece;
}

void clock_line_init(struct clock_line *line, uint64_t tick, uint64_t ns, uint64_t rate)
{
    ENSURE(rate > 0 && ns > 0);
    memset(line, 0, sizeof(*line));
    line->rate = rate;
    line->measured_tick = tick;
    line->measured_ns = ns;
    /* The slots are empty pieces (start = end), which hold no tick. */
    struct clock_piece first = {
        .start = tick, .end = tick + ticks_of(CLOCK_PIECE_NS, rate), .base_ns = ns, .rate = rate};
    publish(line, &first);
}

static bool rates_differ(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) > b / 1000000 * CLOCK_RATE_PPM_MAX;
}

/* Takes the rate since the last measurement, if that is long enough ago and the rate is likely: a
 * counter that stood while the kernel's time went on has none. */
static void measure_rate(struct clock_line *line, uint64_t tick, uint64_t ns)
{
    if (tick > line->measured_tick && ns < line->measured_ns + CLOCK_RATE_MIN_NS)
        return;
    if (tick > line->measured_tick && ns > line->measured_ns) {
        uint64_t rate = clock_line_rate(ns - line->measured_ns, tick - line->measured_tick);
        if (!rates_differ(rate, line->rate))
            line->odd = 0;
        else
            line->odd = line->odd > 0 && !rates_differ(rate, line->odd_rate) ? line->odd + 1 : 1;
        if (line->odd == 0 || line->odd >= CLOCK_RATE_ODD_MAX)
            line->rate = rate;
        line->odd_rate = rate;
    }
    line->measured_tick = tick;
    line->measured_ns = ns;
}

/* A piece that does not follow the last: it begins a little later, at the time that it will be then
 * if it is `from_ns` now. `alone`: until then, too, no older piece is to be read. */
static void publish_apart(struct clock_line *line, uint64_t tick, uint64_t from_ns, bool alone)
{
    struct clock_piece next = {.start = tick + ticks_of(CLOCK_MARGIN_NS, line->rate),
                               .base_ns = from_ns + CLOCK_MARGIN_NS,
                               .rate = line->rate,
                               .alone = alone};
    next.end = next.start + ticks_of(CLOCK_PIECE_NS, line->rate);
    publish(line, &next);
}

/* The piece after the last: it begins where that ends, and is bent towards the kernel's time. */
static void publish_next(struct clock_line *line, uint64_t tick, uint64_t ns)
{
    const struct clock_piece *last = &line->last;
    struct clock_piece next = {.start = last->end, .base_ns = piece_ns(last, last->end)};
    uint64_t kernel_ns = ns + ns_of(last->end - tick, line->rate);
    int64_t behind_ns = (int64_t)(kernel_ns - next.base_ns);
    const int64_t limit_ns = (int64_t)(CLOCK_PIECE_NS / 1000000 * CLOCK_SLEW_PPM_MAX);
    int64_t slew_ns = behind_ns;
    if (slew_ns > limit_ns)
        slew_ns = limit_ns;
    if (slew_ns < -limit_ns)
        slew_ns = -limit_ns;
    /* slew_ns over the length of a piece, as a part of the rate. */
    __extension__ __int128 bend = (__int128)line->rate * slew_ns / (int64_t)CLOCK_PIECE_NS;
    next.rate = line->rate + (uint64_t)(int64_t)bend;
    next.end = next.start + ticks_of(CLOCK_PIECE_NS, next.rate);
    publish(line, &next);
}

/* Has a piece been published that will begin soon and deals with the measurement already? */
static bool is_pending(const struct clock_line *line, uint64_t tick, uint64_t ns)
{
    const struct clock_piece *last = &line->last;
    return tick < last->start &&
           ns + ns_of(last->start - tick, line->rate) <= last->base_ns + CLOCK_STEP_NS;
}

void clock_line_measured(struct clock_line *line, uint64_t tick, uint64_t ns)
{
    measure_rate(line, tick, ns);
    if (is_pending(line, tick, ns))
        return;
    const struct clock_piece *last = &line->last;
    uint64_t line_ns;
    if (!clock_line_read(line, tick, &line_ns)) {
        /* Late, or the counter began anew. Readers have been told clock_line_beyond(). */
        publish_apart(line, tick, clock_line_beyond(line, tick, ns) + CLOCK_PAD_NS, true);
    } else if (ns > line_ns + CLOCK_STEP_NS) {
        publish_apart(line, tick, ns, false);
    } else if (ns_of(last->end - tick, line->rate) < CLOCK_RENEW_NS) {
        publish_next(line, tick, ns);
    }
}

static void read_slot(const struct clock_slot *slot, struct clock_piece *piece)
{
    piece->start = atomic_load_explicit(&slot->start, memory_order_relaxed);
    piece->end = atomic_load_explicit(&slot->end, memory_order_relaxed);
    piece->base_ns = atomic_load_explicit(&slot->base_ns, memory_order_relaxed);
    piece->rate = atomic_load_explicit(&slot->rate, memory_order_relaxed);
    piece->alone = atomic_load_explicit(&slot->alone, memory_order_relaxed);
}

HOT bool clock_line_read(struct clock_line *line, uint64_t tick, uint64_t *ns)
{
    for (int try = 0; try < CLOCK_READ_TRIES; try++) {
        /* Pairs with the release store in publish(). */
        uint64_t newest = atomic_load_explicit(&line->newest, memory_order_acquire);
        bool found = false;
        for (uint64_t back = 0; back < CLOCK_PIECES_READ && !found; back++) {
            struct clock_piece piece;
            read_slot(&line->slots[(newest - back) % CLOCK_PIECES], &piece);
            found = tick - piece.start < piece.end - piece.start;
            *ns = piece_ns(&piece, tick);
            if (tick >= piece.start || piece.alone != 0)
                break; /* from its start on a piece stands for all before it */
        }
        /* Pairs with the release fence in publish(). */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&line->newest, memory_order_relaxed) == newest)
            return found;
    }
    return false;
}

uint64_t clock_line_beyond(struct clock_line *line, uint64_t tick, uint64_t kernel_ns)
{
    struct clock_piece piece = {.rate = 1};
    for (int try = 0; try < CLOCK_READ_TRIES; try++) {
        /* As in clock_line_read(). */
        uint64_t newest = atomic_load_explicit(&line->newest, memory_order_acquire);
        read_slot(&line->slots[newest % CLOCK_PIECES], &piece);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&line->newest, memory_order_relaxed) == newest)
            break;
    }
    /* Past the last piece, no less than its end; before one that stands alone, no less than what
     * was told when it was planned. */
    uint64_t floor_ns = 0;
    if (tick >= piece.end)
        floor_ns = piece_ns(&piece, piece.end);
    else if (piece.alone != 0)
        floor_ns = piece.base_ns - CLOCK_MARGIN_NS - CLOCK_PAD_NS;
    return kernel_ns > floor_ns ? kernel_ns : floor_ns;
}
