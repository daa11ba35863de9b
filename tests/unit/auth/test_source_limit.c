#include "dataplane/auth/source_limit.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

static uint32_t drain(struct source_limit *limit, uint32_t ip, uint64_t now_ms)
{
    uint32_t taken = 0;

    while (taken < 100000 && source_limit_take(limit, ip, now_ms))
        taken++;
    return taken;
}

static void test_burst_and_rate(void)
{
    struct source_limit limit;

    source_limit_init(&limit, 12345, 10, 20);
    CU_ASSERT(drain(&limit, 1, 1000) == 20);
    CU_ASSERT(drain(&limit, 1, 1099) == 0);
    CU_ASSERT(drain(&limit, 1, 1100) == 1); /* what 1 to 99 ms brought was not lost */
    CU_ASSERT(drain(&limit, 1, 2100) == 10);
    CU_ASSERT(drain(&limit, 1, UINT64_MAX) == 20);
}

/* In steps of 1 ms, over 100 s, exactly burst + rate x time, whatever the rate. */
static void test_no_drift(void)
{
    for (uint32_t per_s = 1; per_s <= 1000; per_s = per_s * 3 + 1) {
        struct source_limit limit;
        uint64_t taken = 0;
        source_limit_init(&limit, 7, per_s, 5);
        for (uint64_t now_ms = 0; now_ms <= 100000; now_ms++)
            taken += drain(&limit, 9, now_ms);
        CU_ASSERT(taken == 5 + 100 * (uint64_t)per_s);
    }
}

static void test_sources_apart(void)
{
    struct source_limit limit;

    source_limit_init(&limit, UINT32_C(0x9e3779b1), 1, 3);
    for (uint32_t ip = 1; ip <= 64; ip++)
        CU_ASSERT(drain(&limit, ip << 8, 0) == 3);
    uint32_t again = 0;
    for (uint32_t ip = 1; ip <= 64; ip++)
        again += drain(&limit, ip << 8, 0);
    CU_ASSERT(again < 64 * 3 / 2); /* 64 sources in 256 buckets: few were driven out */
}

static void test_clock_going_back(void)
{
    struct source_limit limit;

    source_limit_init(&limit, 99, 10, 3);
    CU_ASSERT(drain(&limit, 5, 10000) == 3);
    CU_ASSERT(drain(&limit, 5, 5) == 0);
    CU_ASSERT(drain(&limit, 5, 10099) == 0);
    CU_ASSERT(drain(&limit, 5, 10100) == 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"burst, then rate", test_burst_and_rate},
        {"no token is lost or made by small steps", test_no_drift},
        {"one source does not eat another's tokens", test_sources_apart},
        {"a clock that goes back refills nothing", test_clock_going_back},
        {0}};
    return unit_main("source_limit", tests);
}
