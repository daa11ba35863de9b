/* How fast the simulator is, per core: with all faults at a moderate load, and with none at a heavy
 * one. Every check is on in both. */
#include "tests/sim/run.h"

enum { SPEED_FAULT_SEEDS = 20, SPEED_LOAD_SEEDS = 4 };

static bool measure(const struct run_options *options, enum run_speed which, uint64_t seeds,
                    const char *what)
{
    static struct run_totals totals;
    struct run_options o = *options;
    o.speed = which;
    o.seeds = seeds;
    o.seconds = 0;
    memset(&totals, 0, sizeof(totals));
    run_all(&o, &totals);
    double simulated_s = (double)totals.simulated_ns / 1e9, cpu_s = (double)totals.cpu_ns / 1e9;
    printf("%s: %.1f x real time per core (%.0f simulated s, %.1f s of processor time, %.0f "
           "messages ordered a simulated s), %lu of %lu seeds failed\n",
           what, simulated_s / cpu_s, simulated_s, cpu_s, (double)totals.committed / simulated_s,
           (unsigned long)totals.failed, (unsigned long)totals.seeds);
    return totals.failed == 0;
}

int speed(const struct run_options *options)
{
    bool good = measure(options, RUN_SPEED_FAULTS, SPEED_FAULT_SEEDS,
                        "3 replicas, 200 messages a second, all faults");
    good = measure(options, RUN_SPEED_LOAD, SPEED_LOAD_SEEDS,
                   "3 replicas, 4 guests of 20000 messages a second, no faults") &&
           good;
    return good ? 0 : 1;
}
