#include "dataplane/gate.h"

#include <string.h>

void gate_init(struct gate *gate, uint64_t durable_lsn)
{
    memset(gate, 0, sizeof(*gate));
    gate->durable_lsn = durable_lsn;
}

void gate_pass(struct gate *gate, const struct raft_send *send, const struct raft *raft,
               gate_release_fn *release, void *context)
{
    if (!raft_send_stands(raft, send)) {
        gate->outdated++;
        return;
    }
    if (send->lsn <= gate->durable_lsn) {
        gate->released++;
        release(context, &send->msg);
        return;
    }
    if (gate->count == GATE_HELD_MAX) {
        gate->overflowed++; /* as if the network had lost it */
        return;
    }
    gate->held[gate->count++] = *send;
}

/* A later acknowledgement to the same peer, true at the same time, says all that this one says. */
static bool superseded(const struct gate *gate, uint32_t at, uint64_t durable_lsn,
                       const struct raft *raft)
{
    const struct raft_msg *msg = &gate->held[at].msg;
    if (msg->kind != RAFT_APPEND_REPLY || msg->status != RAFT_APPEND_OK)
        return false;
    for (uint32_t i = at + 1; i < gate->count && gate->held[i].lsn <= durable_lsn; i++) {
        const struct raft_msg *later = &gate->held[i].msg;
        if (later->kind == RAFT_APPEND_REPLY && later->status == RAFT_APPEND_OK &&
            later->to == msg->to && later->term == msg->term && later->match >= msg->match &&
            raft_send_stands(raft, &gate->held[i]))
            return true;
    }
    return false;
}

uint32_t gate_durable(struct gate *gate, uint64_t durable_lsn, const struct raft *raft,
                      gate_release_fn *release, void *context)
{
    ENSURE(durable_lsn >= gate->durable_lsn);
    gate->durable_lsn = durable_lsn;
    uint32_t kept = 0, released = 0;
    for (uint32_t i = 0; i < gate->count; i++) {
        const struct raft_send *send = &gate->held[i];
        if (send->lsn > durable_lsn) {
            if (kept != i)
                gate->held[kept] = *send;
            kept++;
        } else if (!raft_send_stands(raft, send)) {
            gate->outdated++;
        } else if (!superseded(gate, i, durable_lsn, raft)) {
            release(context, &send->msg);
            released++;
        }
    }
    gate->count = kept;
    gate->released += released;
    return released;
}
