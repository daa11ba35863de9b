/* What people ask of a leader through control: to hand its office over, and to prove that it holds
 * it. */
#include "dataplane/replica.h"

#include <string.h>

static void tell_read(struct replica *r, uint64_t tag, enum read_outcome outcome,
                      const struct raft_read *read)
{
    struct notice *notice = notice_begin(r, NOTICE_READ);
    if (notice == NULL)
        return; /* control gives up by time */
    notice->u.read.tag = tag;
    notice->u.read.index = read->index;
    notice->u.read.term = read->term;
    notice->u.read.now_ns = r->now_ns;
    notice->u.read.outcome = outcome;
    spsc_push(&r->notices);
    r->status_at_ns = 0; /* what is published in this turn shows at least what was read */
}

void leadership_read(struct replica *r, uint64_t tag)
{
    if (r->read_count == REPLICA_READS) {
        tell_read(r, tag, READ_BUSY, &(struct raft_read){0});
        return;
    }
    r->read[r->read_count++] =
        (struct replica_read){.tag = tag, .until_ns = r->now_ns + REPLICA_READ_NS};
}

/* Begun as soon as this leader may, proven by contacts after that, told when applied. */
static bool read_settled(struct replica *r, struct replica_read *read)
{
    if (r->raft.role != RAFT_LEADER || r->stopped) {
        tell_read(r, read->tag, READ_LOST, &read->raft);
        return true;
    }
    if (!read->begun)
        read->begun = raft_read_begin(&r->raft, &read->raft);
    enum raft_read_state state =
        read->begun ? raft_read_state(&r->raft, &read->raft) : RAFT_READ_WAITS;
    if (state == RAFT_READ_PROVEN && r->machine->applied >= read->raft.index) {
        tell_read(r, read->tag, READ_PROVEN, &read->raft);
        return true;
    }
    if (state == RAFT_READ_LOST)
        tell_read(r, read->tag, READ_LOST, &read->raft);
    return state == RAFT_READ_LOST || r->now_ns >= read->until_ns;
}

uint32_t leadership_turn(struct replica *r)
{
    uint32_t kept = 0, count = r->read_count;
    for (uint32_t i = 0; i < count; i++) {
        if (read_settled(r, &r->read[i]))
            continue;
        if (kept != i)
            r->read[kept] = r->read[i];
        kept++;
    }
    r->read_count = kept;
    return count - kept;
}

void leadership_transfer(struct replica *r, const struct command *command)
{
    uint8_t to = (uint8_t)command->principal;
    enum raft_transfer_reason reason =
        command->dry ? raft_transfer_fit(&r->raft, to) : step_transfer(r, to);
    if (reason == RAFT_TRANSFER_TAKEN && !command->dry)
        r->steps_down = command->abstains ? r->raft.transfer.number : 0;
    struct notice *notice = notice_begin(r, NOTICE_TRANSFER);
    if (notice == NULL)
        return;
    notice->u.transfer.tag = command->tag;
    notice->u.transfer.number = r->raft.transfer.number;
    notice->u.transfer.reason = (uint8_t)reason;
    spsc_push(&r->notices);
    r->status_at_ns = 0;
}

/* Who stepped down does not campaign within an election timeout, the longest that anybody draws. */
void leadership_lost(struct replica *r)
{
    const struct raft_transfer *t = &r->raft.transfer;
    if (r->steps_down != 0 && r->steps_down == t->number && t->reason != RAFT_TRANSFER_LATE)
        r->abstains_until_ns = r->now_ns + 2 * r->raft.options.election_min_ns;
    r->steps_down = 0;
}

/* Drained: until nobody has led for so long that an unserviced cluster is worse than a serviced one
 * whose leader may stop at any time. */
bool leadership_abstains(const struct replica *r)
{
    const struct raft *raft = &r->raft;
    if (raft->role == RAFT_LEADER)
        return false;
    if (r->now_ns < r->abstains_until_ns)
        return true;
    uint64_t heard_ns =
        raft->heard_leader_ns > raft->started_ns ? raft->heard_leader_ns : raft->started_ns;
    return machine_drained(r->machine, r->id) &&
           r->now_ns - heard_ns < REPLICA_DRAIN_ELECTIONS * 2 * raft->options.election_min_ns;
}

/* Asked now, not of the turn's beginning: the loop may have stood still since. H20: Emin x (1 -
 * rho) / (1 + rho) from the sending of what a quorum has acknowledged. */
bool leadership_lease(const struct replica *r, uint64_t term)
{
    const struct genesis *g = r->options.genesis;
    uint64_t lease_ns =
        g->election_min_ms * 1000000ull * (1000000u - g->rho_ppm) / (1000000u + g->rho_ppm);
    return r->raft.role == RAFT_LEADER && r->raft.term == term &&
           r->raft.transfer.lease_ended == 0 &&
           raft_quorum_age_ns(&r->raft, clock_now_ns(r->clock)) < lease_ns;
}
