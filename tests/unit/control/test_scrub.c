/* The scrub's pace, by a clock that moves when told to: what it reads is taken from the drive's
 * time for everything else. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

static struct bench *one(uint32_t pages_s)
{
    struct bench *b = bench_new(1);
    b->tweak.control.scrub_pages_s = pages_s;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    struct ring_stats stats;
    for (uint32_t i = 0; i < 100; i++) { /* pages to read: an election and a day's end have few */
        char name[KEEL_DAY_NAME_SIZE + 1] = "NONE      ";
        bench_day_end(b, 1, name); /* refused by the machine, and an entry all the same */
        bench_run(b, 3);
    }
    ring_stats(b->node[1].start.ring, &stats);
    CU_ASSERT_TRUE(stats.tail_page > 100);
    return b;
}

static void never_more_than_its_rate(void)
{
    /* In each second, wherever it begins by a tenth; what could gather before it is a tenth of a
     * second's pages, or one. */
    static const uint32_t rates[] = {1, 20, 100, 400};
    for (uint32_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        enum { TENTHS = 60 };
        uint64_t rate = rates[i], gathered = rate / 10 > 1 ? rate / 10 : 1, read[TENTHS + 1];
        struct bench *b = one(rates[i]);
        for (uint32_t tenth = 0; tenth <= TENTHS; tenth++) {
            read[tenth] = bench_control(b, 1).scrubbed;
            if (tenth >= 10)
                CU_ASSERT(read[tenth] - read[tenth - 10] <= rate + gathered);
            bench_run(b, 100);
        }
        CU_ASSERT(read[TENTHS] - read[0] <= rate * TENTHS / 10 + gathered);
        CU_ASSERT(read[TENTHS] - read[0] >= rate * TENTHS / 10 / 2); /* and it does read */
        bench_free(b);
    }
}

static void nothing_is_made_up_for(void)
{
    /* Control stood still for five seconds: their pages are not read all at once. */
    struct bench *b = one(100);
    bench_run(b, 1000);
    b->node[1].idle_control = true;
    bench_run(b, 5000);
    uint64_t before = bench_control(b, 1).scrubbed;
    b->node[1].idle_control = false;
    bench_run(b, 100);
    uint64_t read = bench_control(b, 1).scrubbed - before;
    CU_ASSERT(read > 0 && read <= 10 + 10);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"no second has more than its pages", never_more_than_its_rate},
        {"what was missed is not made up for", nothing_is_made_up_for},
        {0}};
    return unit_main("control_scrub", tests);
}
