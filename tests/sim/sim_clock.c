/* clock.h on the world's virtual time. */
#include "tests/sim/world.h"

#include <stdlib.h>

struct clock {
    struct world *world;
    int64_t rate_ppm;
    int64_t utc_offset_ns;
};

enum { CLOCK_ORIGIN_NS = 1000000000 };

struct clock *sim_clock_open(struct world *world, int64_t rate_ppm, int64_t utc_offset_ns)
{
    struct clock *clock = malloc(sizeof(*clock));
    ENSURE(clock != NULL);
    *clock = (struct clock){world, rate_ppm, utc_offset_ns};
    return clock;
}

void sim_clock_step(struct clock *clock, int64_t ns)
{
    clock->utc_offset_ns += ns;
}

uint64_t sim_clock_world_ns(const struct clock *clock, uint64_t local_ns)
{
    if (local_ns <= CLOCK_ORIGIN_NS)
        return 0;
    uint64_t local = local_ns - CLOCK_ORIGIN_NS;
    int64_t shift = (int64_t)((__int128)local * clock->rate_ppm / (1000000 + clock->rate_ppm));
    return (uint64_t)((int64_t)local - shift) + 1000; /* roundings: never before its time */
}

uint64_t clock_now_ns(struct clock *clock)
{
    uint64_t now = clock->world->now_ns;
    int64_t drift = (int64_t)(now / 1000000) * clock->rate_ppm; /* and without steps back: */
    drift += (int64_t)(now % 1000000) * clock->rate_ppm / 1000000;
    return CLOCK_ORIGIN_NS + (uint64_t)((int64_t)now + drift);
}

uint64_t clock_utc_ns(struct clock *clock, uint32_t *error_ns)
{
    *error_ns = 50000;
    return (uint64_t)((int64_t)(SIM_CLOCK_UTC_NS + clock->world->now_ns) + clock->utc_offset_ns);
}

uint64_t clock_random(struct clock *clock, uint64_t *state)
{
    (void)clock;
    return random_next(state);
}

void clock_secret(struct clock *clock, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)random_next(&clock->world->rng_start);
}

int clock_open(struct clock **clock)
{
    *clock = NULL;
    return -1; /* the world opens its clocks itself */
}

void clock_close(struct clock *clock)
{
    free(clock);
}
void clock_discipline(struct clock *clock)
{
    (void)clock;
}
