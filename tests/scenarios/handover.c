#include "tests/scenarios/handover.h"

static const char *const reasons[RAFT_TRANSFER_REASONS] = {
    "none",          "not the leader", "it leads already", "another is under way", "unknown",
    "a learner",     "leaving",        "silent",           "far behind",           "unable",
    "nobody is fit", "late",           "not taken",        "office lost"};

void handover_show(FILE *out, const struct world_node *node)
{
    static const char *const states[] = {"none", "waiting", "told", "done", "given up"};
    const struct raft_transfer *t = &node->raft.transfer;
    fprintf(out, "%u transfer %lu to %u: %s", node->raft.id, t->number, t->to, states[t->state]);
    if (t->reason != RAFT_TRANSFER_TAKEN)
        fprintf(out, ", %s", reasons[t->reason]);
    fprintf(out, "%s; %lu done, %lu given up, %lu by the drive%s\n", t->open ? " (open)" : "",
            t->done, t->given_up, t->by_drive, t->lease_ended ? "; lease ended" : "");
}

void handover_transfer(FILE *out, struct world *world, uint8_t id, uint8_t to)
{
    enum raft_transfer_reason reason = world_transfer(world, id, to);
    if (reason != RAFT_TRANSFER_TAKEN)
        fprintf(out, "%u refuses: %s\n", id, reasons[reason]);
}

void handover_read(FILE *out, struct world *world, struct handover_read *read, uint8_t id)
{
    struct world_node *node = &world->node[id];
    read->id = id;
    read->begun = node->up && raft_read_begin(&node->raft, &read->read);
    if (read->begun)
        fprintf(out, "%u reads at %lu, proof from copy %lu on\n", id, read->read.index,
                read->read.probe);
    else
        fprintf(out, "%u cannot read\n", id);
}

void handover_proof(FILE *out, const struct world *world, const struct handover_read *read)
{
    static const char *const states[] = {"waits", "proven", "lost"};
    const struct world_node *node = &world->node[read->id];
    if (!read->begun)
        fputs("error: no such read\n", out);
    else if (!node->up)
        fprintf(out, "%u is down\n", read->id);
    else
        fprintf(out, "%u's read at %lu: %s\n", read->id, read->read.index,
                states[raft_read_state(&node->raft, &read->read)]);
}
