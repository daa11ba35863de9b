/* Each replica's boot becomes an entry, proposed by the leader: its own after its no-op, a
 * follower's once it has been heard under its new association (H2). What the log holds outlives the
 * memory of every peer.
 */
#include "control/control_internal.h"

static uint32_t log_boot(struct control *c, uint32_t id, uint64_t boot, uint64_t boot_id)
{
    const struct machine *m = c->machine;
    uint64_t incarnation = control_member(c, id);
    bool same = m->boot_incarnation[id] == incarnation;
    if (boot == 0 || (same && m->boot[id] >= boot))
        return 0;
    if (c->boot_proposed_ns[id] != 0 &&
        c->now_ns < c->boot_proposed_ns[id] + CONTROL_PROPOSE_RETRY_MS * 1000000ull)
        return 0;
    struct entry_boot body = {
        .replica = id, .incarnation = incarnation, .boot = boot, .boot_id = boot_id};
    if (!control_propose(c, PROPOSER_BOOT, id, ENTRY_BOOT, &body, sizeof(body), 0))
        return 0;
    c->boot_proposed_ns[id] = c->now_ns;
    c->status.boots_proposed++;
    return 1;
}

uint32_t boots_turn(struct control *c)
{
    uint32_t work = 0;
    /* behind its no-op the log says which boots it knows */
    if (!control_leads(c) || c->machine->applied < c->seen.noop_index)
        return 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        uint64_t incarnation = control_member(c, id);
        if (incarnation == 0)
            continue;
        if (id == c->replica->id)
            work += log_boot(c, id, c->options.boot, c->options.boot_id);
        else if (c->seen.peer_incarnation[id] == incarnation)
            work += log_boot(c, id, c->seen.peer_boot[id], c->seen.peer_boot_id[id]);
    }
    return work;
}
