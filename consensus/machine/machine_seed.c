/* The state that a new cluster begins with: taken from a survivor or a backup of another one. */
#include "consensus/machine/machine_internal.h"

#include <string.h>

static const char *seed_problem(const struct machine *machine, const struct genesis *genesis)
{
    const struct genesis_lineage *l = &genesis->lineage;
    if (genesis->version != GENESIS_VERSION_SEEDED || l->cluster_id != machine->cluster_id)
        return "the genesis record is not for a cluster that begins with this state";
    if (l->index != machine->applied || l->seed_index <= machine->applied ||
        l->seed_term <= machine->applied_term || l->seeds != machine->seeds + 1)
        return "the genesis record names another state's index or term";
    if (memcmp(genesis->day, machine->day, sizeof(machine->day)) == 0)
        return "the new trading day has the name of the old one";
    if (__builtin_popcount(genesis_voters(genesis)) != 1)
        return "such a cluster begins with one member";
    return NULL;
}

const char *machine_seed(struct machine *machine, const struct genesis *genesis)
{
    const char *problem = seed_problem(machine, genesis);
    if (problem != NULL)
        return problem;
    uint32_t limits_other =
        (machine->sessions_max ^ genesis->sessions_max) |
        (machine->sessions_per_principal ^ genesis->sessions_per_principal) |
        (machine->window_max ^ genesis->window_max) | (machine->ttl_min_ms ^ genesis->ttl_min_ms) |
        (machine->ttl_max_ms ^ genesis->ttl_max_ms) |
        (machine->session_retain_ms ^ genesis->session_retain_ms) |
        (machine->rho_ppm ^ genesis->rho_ppm) | (machine->nodes_max ^ genesis->nodes_max) |
        (machine->handles_max ^ genesis->handles_max) |
        (machine->handles_per_session ^ genesis->handles_per_session) |
        (machine->waiters_max ^ genesis->waiters_max) |
        (machine->lock_delay_max_ms ^ genesis->lock_delay_max_ms);
    if (limits_other != 0)
        return "other limits than those of the state";
    const struct genesis_lineage *l = &genesis->lineage;
    machine->cluster_id = genesis->cluster_id;
    machine->applied = l->seed_index;
    machine->applied_term = l->seed_term;
    machine->seed_index = l->seed_index;
    machine->seeds = l->seeds;
    machine->day_open = 1;
    machine->day_count++;
    machine->feed_next = 1;
    memcpy(machine->day, genesis->day, sizeof(machine->day));
    memset(machine->boot, 0, sizeof(machine->boot));
    memset(machine->boot_id, 0, sizeof(machine->boot_id));
    memset(machine->boot_incarnation, 0, sizeof(machine->boot_incarnation));
    machine_founders(machine, genesis);
    machine->operated.drained = 0;
    machine->config_index = l->seed_index;
    machine_autopilot_init(machine);
    struct machine_session *sessions = machine_sessions(machine);
    for (uint32_t slot = 0; slot < machine->sessions_max; slot++)
        if (sessions[slot].id != 0 && machine_alive(&sessions[slot])) {
            machine_locks_end(machine, &sessions[slot], false, sessions[slot].ttl_ms);
            sessions[slot].epoch = l->seed_index;
        }
    machine_digest(machine, genesis->cluster_id, l->seed_index);
    return NULL;
}
