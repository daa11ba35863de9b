/* Every run of three founders within a small scope. Without arguments the bounded scopes of the
 * test; else one scope:
 * usage: test_paxos_explore PROPOSERS ROUNDS CRASHES WIPES LISTS WRITES LOCKED STATES-MAX
 * PROPOSERS is a mask (6: servers 1 and 2), LOCKED 1 begins behind the locks. */
#include "tests/unit/paxos/paxos_explore.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static bool failed; /* then the rest is not run */

static struct explore_result run(const struct explore_scope *scope)
{
    const struct explore_result r = explore_run(scope, stdout);
    printf("# proposers %u rounds %u crashes %u wipes %u lists %u writes %u%s: states %llu, depth "
           "%u, fixpoint %s; %llu transitions, %llu states with a record, %u founder states, %u "
           "messages\n",
           scope->proposers, scope->rounds, scope->crashes, scope->wipes, scope->lists,
           scope->writes, scope->locked ? " locked" : "", (unsigned long long)r.states, r.depth,
           r.fixpoint ? "yes" : "no", (unsigned long long)r.transitions,
           (unsigned long long)r.decided, r.founders, r.messages);
    return r;
}

static void holds(const struct explore_scope scope, bool to_the_end)
{
    if (failed)
        return;
    const struct explore_result r = run(&scope);
    CU_ASSERT_PTR_NULL(r.violation);
    failed = r.violation != NULL;
    CU_ASSERT(!to_the_end || r.fixpoint);
}

static void locks(void)
{
    holds(
        (struct explore_scope){
            .rounds = 1, .lists = 1, .writes = 1, .crashes = 1, .states_max = 200000},
        true);
}

static void ballots(void)
{
    holds((struct explore_scope){.proposers = 6,
                                 .rounds = 1,
                                 .lists = 1,
                                 .writes = 1,
                                 .locked = true,
                                 .states_max = 200000},
          true);
}

static void restart(void)
{
    holds((struct explore_scope){.proposers = 6,
                                 .rounds = 1,
                                 .crashes = 1,
                                 .lists = 1,
                                 .writes = 1,
                                 .locked = true,
                                 .states_max = 30000},
          false);
}

static void wipe(void)
{
    holds((struct explore_scope){.proposers = 6,
                                 .rounds = 1,
                                 .crashes = 1,
                                 .wipes = 1,
                                 .lists = 3,
                                 .writes = 1,
                                 .states_max = 30000},
          false);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {{"two proposers", ballots},
                                             {"three lists, a wipe, a restart", wipe},
                                             {"two proposers, one restart", restart},
                                             {"locks, one restart", locks},
                                             {0}};
    if (argc == 1)
        return unit_main("paxos_explore", tests);
    if (argc != 9) {
        fprintf(stderr, "usage: %s PROPOSERS ROUNDS CRASHES WIPES LISTS WRITES LOCKED STATES-MAX\n",
                argv[0]);
        return 2;
    }
    const struct explore_scope scope = {.proposers = (uint32_t)atoi(argv[1]),
                                        .rounds = (uint8_t)atoi(argv[2]),
                                        .crashes = (uint8_t)atoi(argv[3]),
                                        .wipes = (uint8_t)atoi(argv[4]),
                                        .lists = (uint8_t)atoi(argv[5]),
                                        .writes = (uint8_t)atoi(argv[6]),
                                        .locked = atoi(argv[7]) != 0,
                                        .states_max = strtoull(argv[8], NULL, 10)};
    return run(&scope).violation == NULL ? 0 : 1;
}
