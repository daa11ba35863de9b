/* Random worlds of founders. usage: test_paxos_random [SEEDS [FIRST]] */
#include "tests/unit/paxos/paxos_world.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seeds = 2000, first = 1;
static struct world world;
static bool failed; /* then the rest is not run: with a planted bug it would take its time */

struct sum {
    uint64_t worlds, formed, none, several;
    struct world_facts facts;
};

static void add(struct sum *sum)
{
    const uint64_t *from = (const uint64_t *)&world.facts;
    uint64_t *to = (uint64_t *)&sum->facts;
    for (size_t i = 0; i < sizeof(world.facts) / sizeof(from[0]); i++)
        to[i] += from[i];
    sum->worlds++;
    sum->none += world.judge.records == 0;
    sum->formed += world.judge.records == 1;
    sum->several += world.judge.records > 1;
}

static bool run(uint64_t seed)
{
    world_init(&world, seed);
    world_run(&world);
    const char *what = world.violation != NULL ? world.violation : world_ends_well(&world);
    if (what == NULL && world.kind <= WORLD_DUELS && world.judge.records != 1)
        what = "equal lists, and not one record";
    if (what != NULL)
        printf("# seed %llu, at %llu ms: %s\n", (unsigned long long)seed,
               (unsigned long long)world.now_ms, what);
    return what == NULL;
}

static void report(const struct sum *s)
{
    const struct world_facts *f = &s->facts;
    printf("# %llu worlds: one cluster in %llu, none in %llu, disjoint ones in %llu; %llu steps, "
           "%llu crashes, %llu wipes, %llu lost, %llu doubled, %llu locks, %llu ballots, %llu "
           "refusals, %llu promises with a value\n",
           (unsigned long long)s->worlds, (unsigned long long)s->formed,
           (unsigned long long)s->none, (unsigned long long)s->several,
           (unsigned long long)f->steps, (unsigned long long)f->crashes,
           (unsigned long long)f->wipes, (unsigned long long)f->lost,
           (unsigned long long)f->doubled, (unsigned long long)f->locks,
           (unsigned long long)f->ballots, (unsigned long long)f->refusals,
           (unsigned long long)f->carried);
}

/* Every seed of that kind; stops at the first that fails. */
static struct sum run_kind(enum world_kind kind)
{
    struct sum sum = {0};
    for (uint64_t seed = first; seed < first + seeds && !failed; seed++) {
        if (seed % WORLD_KINDS != kind)
            continue;
        bool well = run(seed);
        CU_ASSERT(well);
        failed = !well;
        if (failed)
            break;
        add(&sum);
    }
    report(&sum);
    return sum;
}

static void plain(void)
{
    const struct sum s = run_kind(WORLD_PLAIN);
    CU_ASSERT_EQUAL(s.formed, s.worlds);
    CU_ASSERT(s.facts.crashes > 0 && s.facts.lost > 0 && s.facts.doubled > 0);
}

static void duels(void)
{
    const struct sum s = run_kind(WORLD_DUELS);
    CU_ASSERT_EQUAL(s.formed, s.worlds);
    CU_ASSERT(s.facts.refusals > 0 && s.facts.carried > 0);
}

static void clashing(void)
{
    const struct sum s = run_kind(WORLD_CLASHING);
    CU_ASSERT(s.formed > 0 && s.none > 0);
}

/* And every reason is met somewhere, but those that this world has no cause for: no drive fails,
 * everybody has a list, and no record is installed by hand. */
static void wipes(void)
{
    const struct sum s = run_kind(WORLD_WIPES);
    CU_ASSERT(s.formed > 0 && s.none > 0 && s.facts.wipes > 0);
    for (int why = 0; why < PAXOS_WHYS; why++)
        CU_ASSERT(why == PAXOS_WHY_FAILED || why == PAXOS_WHY_NO_LIST ||
                  why == PAXOS_WHY_CLUSTER_OTHER || s.facts.why[why] > 0);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {{"equal lists end in one record", plain},
                                             {"duels end", duels},
                                             {"clashing lists: one cluster or none", clashing},
                                             {"wiped drives: one cluster or none", wipes},
                                             {0}};
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return unit_main("paxos_random", tests);
}
