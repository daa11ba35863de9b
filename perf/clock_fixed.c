#include "perf/clock_fixed.h"

#include <errno.h>
#include <stdlib.h>

#define CLOCK_UTC_NS UINT64_C(1700000000000000000)

struct clock {
    uint64_t now_ns, secret;
};

int clock_open(struct clock **clock)
{
    *clock = calloc(1, sizeof(**clock));
    if (*clock == NULL)
        return -ENOMEM;
    (*clock)->now_ns = 1000000000;
    return 0;
}

void clock_close(struct clock *clock)
{
    free(clock);
}

void clock_fixed_advance(struct clock *clock, uint64_t ns)
{
    clock->now_ns += ns;
}

uint64_t clock_now_ns(struct clock *clock)
{
    return clock->now_ns;
}

uint64_t clock_utc_ns(struct clock *clock, uint32_t *error_ns)
{
    *error_ns = 1000;
    return CLOCK_UTC_NS + clock->now_ns;
}

uint64_t clock_utc_at(struct clock *clock, uint64_t now_ns, uint32_t *error_ns)
{
    (void)clock;
    *error_ns = 1000;
    return CLOCK_UTC_NS + now_ns;
}

void clock_discipline(struct clock *clock)
{
    (void)clock;
}

uint64_t clock_random(struct clock *clock, uint64_t *state)
{
    (void)clock;
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state ^ *state >> 29;
}

void clock_secret(struct clock *clock, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(clock_random(clock, &clock->secret) >> 24);
}
