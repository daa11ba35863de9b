#include "consensus/wire/genesis.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct genesis good(void)
{
    struct genesis g;
    memset(&g, 0xff, sizeof(g));
    genesis_defaults(&g);
    g.cluster_id = 1;
    memcpy(g.day, "20240611  ", sizeof(g.day));
    for (uint32_t id = 1; id <= 3; id++)
        g.founder[id] = (struct genesis_founder){100 + id, 0x0a000000 + id, 4000, 0};
    return g;
}

static void defaults_are_well_formed(void)
{
    struct genesis g = good();
    CU_ASSERT_PTR_NULL(genesis_problem(&g));
    CU_ASSERT_EQUAL(memcmp(&g, "KELENES1", 8), 0);
    CU_ASSERT_EQUAL(genesis_voters(&g), 0xe);
    CU_ASSERT(g.stall_ms < g.election_min_ms);
    CU_ASSERT(g.heartbeat_ms < g.stall_ms);
    g.founder[7] = (struct genesis_founder){200, 1, 1, 0};
    memset(&g.founder[2], 0, sizeof(g.founder[2]));
    CU_ASSERT_PTR_NULL(genesis_problem(&g));
    CU_ASSERT_EQUAL(genesis_voters(&g), 0x8a);
}

static void each_problem_is_named(void)
{
    struct genesis g;
#define PROBLEM(why, change)                                                                       \
    do {                                                                                           \
        g = good();                                                                                \
        change;                                                                                    \
        const char *problem = genesis_problem(&g);                                                 \
        CU_ASSERT_PTR_NOT_NULL_FATAL(problem);                                                     \
        CU_ASSERT_STRING_EQUAL(problem, why);                                                      \
    } while (0)
    PROBLEM("not a genesis record", g.magic++);
    PROBLEM("another version of the genesis record", g.version = 0);
    PROBLEM("another version of the genesis record", g.version = 3);
    PROBLEM("another version of the genesis record", g.size--);
    PROBLEM("cluster id is 0", g.cluster_id = 0);
    PROBLEM("the day's name is not printable, or not padded with spaces", g.day[9] = 0);
    PROBLEM("the day's name is not printable, or not padded with spaces", g.day[0] = ' ');
    PROBLEM("reserved bytes are not zero", g.reserved0[5] = 1);
    PROBLEM("reserved bytes are not zero", g.reserved[0] = 1);
    PROBLEM("reserved bytes are not zero", g.reserved[sizeof(g.reserved) - 1] = 1);
    PROBLEM("reserved bytes are not zero", g.reserved1 = 1);
    PROBLEM("an origin that this version cannot state", g.lineage.seeds = 1);
    PROBLEM("nodes_max out of range", g.nodes_max = GENESIS_NODES_MAX + 1);
    PROBLEM("handles_max out of range", g.handles_max = 0);
    PROBLEM("handles_max out of range", g.nodes_max = 0);
    PROBLEM("handles_max out of range", g.handles_max = GENESIS_HANDLES_MAX + 1);
    PROBLEM("handles_per_session is not within 1..handles_max", g.handles_per_session = 0);
    PROBLEM("handles_per_session is not within 1..handles_max",
            g.handles_per_session = g.handles_max + 1);
    PROBLEM("waiters_max is above handles_max", g.waiters_max = g.handles_max + 1);
    PROBLEM("lock_delay_max_ms out of range", g.lock_delay_max_ms = GENESIS_LOCK_DELAY_MAX_MS + 1);
    PROBLEM("no founder", memset(g.founder, 0, sizeof(g.founder)));
    PROBLEM("founder 0 is not a replica", g.founder[0].port = 1);
    PROBLEM("a founder without an incarnation", g.founder[2].incarnation = 0);
    PROBLEM("a founder without an address", g.founder[1].ip = 0);
    PROBLEM("a founder without an address", g.founder[3].port = 0);
    PROBLEM("a founder without an address", g.founder[2].reserved = 1);
    PROBLEM("two founders with one incarnation", g.founder[3].incarnation = 101);
    PROBLEM("two founders with one address", g.founder[3].ip = g.founder[1].ip);
    PROBLEM("election_min_ms out of range", g.election_min_ms = 0);
    PROBLEM("election_min_ms out of range", g.election_min_ms = 600001);
    PROBLEM("heartbeat_ms is not below election_min_ms", g.heartbeat_ms = 150);
    PROBLEM("heartbeat_ms is not below election_min_ms", g.heartbeat_ms = 0);
    PROBLEM("stall_ms is not below election_min_ms", g.stall_ms = 150);
    PROBLEM("stall_ms is not below election_min_ms", g.stall_ms = 0);
    PROBLEM("rho_ppm out of range", g.rho_ppm = 100001);
    PROBLEM("feed_stale_ms is below heartbeat_ms", g.feed_stale_ms = 14);
    PROBLEM("ttl_min_ms is not within 1..ttl_max_ms", g.ttl_min_ms = 0);
    PROBLEM("ttl_min_ms is not within 1..ttl_max_ms", g.ttl_max_ms = 1999);
    PROBLEM("sessions_max out of range", g.sessions_max = 0);
    PROBLEM("sessions_max out of range", g.sessions_max = 65537);
    PROBLEM("sessions_per_principal is not within 1..sessions_max", g.sessions_per_principal = 0);
    PROBLEM("sessions_per_principal is not within 1..sessions_max", g.sessions_max = 63);
    PROBLEM("window_max out of range", g.window_max = 0);
    PROBLEM("window_max out of range", g.window_max = 65);
    PROBLEM("flights out of range", g.flights = 0);
    PROBLEM("flights out of range", g.flights = 65);
    PROBLEM("flight_bytes holds no entry", g.flight_bytes = KEEL_ENTRY_MAX - 1);
#undef PROBLEM
}

/* The record of a cluster that begins with another one's state. */
static struct genesis seeded(void)
{
    struct genesis g = good();
    g.version = GENESIS_VERSION_SEEDED;
    g.lineage = (struct genesis_lineage){.cluster_id = 9,
                                         .index = 100,
                                         .seed_index = 1000,
                                         .seed_term = 4,
                                         .utc_ns = 5,
                                         .seed = GENESIS_SEED_RECOVERED,
                                         .seeds = 1};
    return g;
}

static void an_origin_is_sane(void)
{
    struct genesis g = seeded();
    CU_ASSERT_PTR_NULL(genesis_problem(&g));
    g.lineage.seed = GENESIS_SEED_RESTORED;
    CU_ASSERT_PTR_NULL(genesis_problem(&g));
#define PROBLEM(why, change)                                                                       \
    do {                                                                                           \
        g = seeded();                                                                              \
        change;                                                                                    \
        const char *problem = genesis_problem(&g);                                                 \
        CU_ASSERT_PTR_NOT_NULL_FATAL(problem);                                                     \
        CU_ASSERT_STRING_EQUAL(problem, why);                                                      \
    } while (0)
    PROBLEM("its cluster begins in a way that this version does not know", g.lineage.seed = 0);
    PROBLEM("its cluster begins in a way that this version does not know", g.lineage.seed = 3);
    PROBLEM("its cluster begins with a state of no other cluster", g.lineage.cluster_id = 0);
    PROBLEM("its cluster begins with a state of no other cluster", g.lineage.cluster_id = 1);
    const char *origin = "no sane origin of the state that its cluster begins with";
    PROBLEM(origin, g.lineage.index = 0);
    PROBLEM(origin, g.lineage.seed_index = 100);
    PROBLEM(origin, g.lineage.seed_term = 0);
    PROBLEM(origin, g.lineage.seeds = 0);
    PROBLEM("an origin that this version cannot state", g.version = GENESIS_VERSION);
#undef PROBLEM
}

/* Two founders on one host differ by port alone. */
static void one_host_two_ports(void)
{
    struct genesis g = good();
    g.founder[3].ip = g.founder[1].ip;
    g.founder[3].port = 4001;
    CU_ASSERT_PTR_NULL(genesis_problem(&g));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"the defaults are well-formed", defaults_are_well_formed},
        {"each problem is named", each_problem_is_named},
        {"founders on one host", one_host_two_ports},
        {"a cluster of another one's state names its origin", an_origin_is_sane},
        {0}};
    return unit_main("genesis", tests);
}
