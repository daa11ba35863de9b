#include "consensus/wire/genesis.h"

#include "consensus/raft/raft.h"
#include "consensus/wire/entry.h"

#include <string.h>

void genesis_defaults(struct genesis *genesis)
{
    memset(genesis, 0, sizeof(*genesis));
    genesis->magic = GENESIS_MAGIC;
    genesis->version = GENESIS_VERSION;
    genesis->size = GENESIS_SIZE;
    genesis->election_min_ms = 150;
    genesis->heartbeat_ms = 15;
    genesis->stall_ms = 60;
    genesis->rho_ppm = 200;
    genesis->feed_stale_ms = 1000;
    genesis->ttl_min_ms = 2000;
    genesis->ttl_max_ms = 60000;
    genesis->session_retain_ms = 24 * 3600 * 1000;
    genesis->sessions_max = 1024;
    genesis->sessions_per_principal = 64;
    genesis->window_max = KEEL_SESSION_WINDOW_MAX;
    genesis->flights = 32;
    genesis->flight_bytes = 256 * 1024;
    genesis->nodes_max = 2048;
    genesis->handles_max = 4096;
    genesis->handles_per_session = 64;
    genesis->waiters_max = 512;
    genesis->lock_delay_max_ms = 60000;
}

static const char *founders_problem(const struct genesis *genesis)
{
    static const struct genesis_founder none;
    if (memcmp(&genesis->founder[0], &none, sizeof(none)) != 0)
        return "founder 0 is not a replica";
    uint32_t count = 0;
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++) {
        const struct genesis_founder *f = &genesis->founder[i];
        if (f->incarnation == 0) {
            if (memcmp(f, &none, sizeof(none)) != 0)
                return "a founder without an incarnation";
            continue;
        }
        count++;
        if (f->ip == 0 || f->port == 0 || f->reserved != 0)
            return "a founder without an address";
        for (uint32_t j = 1; j < i; j++) {
            const struct genesis_founder *g = &genesis->founder[j];
            if (g->incarnation == f->incarnation)
                return "two founders with one incarnation";
            if (g->incarnation != 0 && g->ip == f->ip && g->port == f->port)
                return "two founders with one address";
        }
    }
    return count == 0 ? "no founder" : NULL;
}

static const char *timing_problem(const struct genesis *genesis)
{
    if (genesis->election_min_ms == 0 || genesis->election_min_ms > GENESIS_ELECTION_MAX_MS)
        return "election_min_ms out of range";
    if (genesis->heartbeat_ms == 0 || genesis->heartbeat_ms >= genesis->election_min_ms)
        return "heartbeat_ms is not below election_min_ms";
    if (genesis->stall_ms == 0 || genesis->stall_ms >= genesis->election_min_ms)
        return "stall_ms is not below election_min_ms";
    if (genesis->rho_ppm > GENESIS_RHO_MAX_PPM)
        return "rho_ppm out of range";
    if (genesis->feed_stale_ms < genesis->heartbeat_ms)
        return "feed_stale_ms is below heartbeat_ms";
    return NULL;
}

static const char *sessions_problem(const struct genesis *genesis)
{
    if (genesis->ttl_min_ms == 0 || genesis->ttl_min_ms > genesis->ttl_max_ms)
        return "ttl_min_ms is not within 1..ttl_max_ms";
    if (genesis->sessions_max == 0 || genesis->sessions_max > GENESIS_SESSIONS_MAX)
        return "sessions_max out of range";
    if (genesis->sessions_per_principal == 0 ||
        genesis->sessions_per_principal > genesis->sessions_max)
        return "sessions_per_principal is not within 1..sessions_max";
    if (genesis->window_max == 0 || genesis->window_max > KEEL_SESSION_WINDOW_MAX)
        return "window_max out of range";
    if (genesis->flights == 0 || genesis->flights > RAFT_FLIGHTS_MAX)
        return "flights out of range";
    if (genesis->flight_bytes < KEEL_ENTRY_MAX)
        return "flight_bytes holds no entry";
    return NULL;
}

static const char *nodes_problem(const struct genesis *genesis)
{
    if (genesis->nodes_max > GENESIS_NODES_MAX)
        return "nodes_max out of range";
    if ((genesis->nodes_max == 0) != (genesis->handles_max == 0) ||
        genesis->handles_max > GENESIS_HANDLES_MAX)
        return "handles_max out of range";
    if ((genesis->handles_max == 0) != (genesis->handles_per_session == 0) ||
        genesis->handles_per_session > genesis->handles_max)
        return "handles_per_session is not within 1..handles_max";
    if (genesis->waiters_max > genesis->handles_max)
        return "waiters_max is above handles_max";
    if (genesis->lock_delay_max_ms > GENESIS_LOCK_DELAY_MAX_MS)
        return "lock_delay_max_ms out of range";
    return NULL;
}

static const char *lineage_problem(const struct genesis *genesis)
{
    static const struct genesis_lineage none;
    const struct genesis_lineage *l = &genesis->lineage;
    if (genesis->version == GENESIS_VERSION)
        return memcmp(l, &none, sizeof(none)) != 0 ? "an origin that this version cannot state"
                                                   : NULL;
    if (l->seed != GENESIS_SEED_RECOVERED && l->seed != GENESIS_SEED_RESTORED)
        return "its cluster begins in a way that this version does not know";
    if (l->cluster_id == 0 || l->cluster_id == genesis->cluster_id)
        return "its cluster begins with a state of no other cluster";
    if (l->index == 0 || l->seed_index <= l->index || l->seed_term == 0 || l->seeds == 0)
        return "no sane origin of the state that its cluster begins with";
    return NULL;
}

const char *genesis_problem(const struct genesis *genesis)
{
    if (genesis->magic != GENESIS_MAGIC)
        return "not a genesis record";
    if ((genesis->version != GENESIS_VERSION && genesis->version != GENESIS_VERSION_SEEDED) ||
        genesis->size != GENESIS_SIZE)
        return "another version of the genesis record";
    if (genesis->cluster_id == 0)
        return "cluster id is 0";
    if (!entry_day_name_ok(genesis->day))
        return "the day's name is not printable, or not padded with spaces";
    uint8_t seen = genesis->reserved1 != 0;
    for (size_t i = 0; i < sizeof(genesis->reserved0); i++)
        seen |= genesis->reserved0[i];
    for (size_t i = 0; i < sizeof(genesis->reserved); i++)
        seen |= genesis->reserved[i];
    if (seen != 0)
        return "reserved bytes are not zero";
    const char *problem = lineage_problem(genesis);
    if (problem == NULL)
        problem = founders_problem(genesis);
    if (problem == NULL)
        problem = timing_problem(genesis);
    if (problem == NULL)
        problem = sessions_problem(genesis);
    return problem != NULL ? problem : nodes_problem(genesis);
}

uint32_t genesis_voters(const struct genesis *genesis)
{
    uint32_t mask = 0;
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++)
        if (genesis->founder[i].incarnation != 0)
            mask |= 1u << i;
    return mask;
}
