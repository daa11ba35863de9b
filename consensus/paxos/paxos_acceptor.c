/* What a founder promises and accepts (2.2). Callers have checked that every founder has locked the
 * list and that nothing is installed here. */
#include "consensus/paxos/paxos_internal.h"

#include <string.h>

static void refuse(const struct paxos *paxos, const struct paxos_msg *msg, struct paxos_out *out)
{
    struct paxos_msg *reply = paxos_emit(paxos, out, paxos->persist, PAXOS_REFUSE, msg->from);
    reply->ballot = msg->ballot;
    reply->held = paxos->record.promised;
}

/* Phase 1b (2.2): "If an acceptor receives a prepare request with number n greater than that of any
 * prepare request to which it has already responded, then it responds to the request with a promise
 * not to accept any more proposals numbered less than n and with the highest-numbered proposal (if
 * any) that it has accepted." */
void paxos_on_prepare(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (msg->ballot < paxos->record.promised) {
        refuse(paxos, msg, out);
        return;
    }
    if (msg->ballot > paxos->record.promised) {
        paxos_yield(paxos);
        paxos->record.promised = msg->ballot;
        paxos_persist(paxos, out);
        paxos_back_off(paxos, out, in->random);
    }
    /* A copy is answered again: the first answer may be lost. */
    struct paxos_msg *reply = paxos_emit(paxos, out, paxos->persist, PAXOS_PROMISE, msg->from);
    reply->ballot = msg->ballot;
    reply->held = paxos->record.accepted;
    if (paxos->record.accepted != 0)
        reply->value = paxos->record.value;
}

/* Phase 2b (2.2): "If an acceptor receives an accept request for a proposal numbered n, it accepts
 * the proposal unless it has already responded to a prepare request having a number greater than
 * n." */
void paxos_on_accept(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (!paxos_value_fits(paxos->record.lock, &msg->value)) {
        out->drop = PAXOS_DROP_MALFORMED;
        return;
    }
    if (msg->ballot < paxos->record.promised) {
        refuse(paxos, msg, out);
        return;
    }
    if (msg->ballot != paxos->record.accepted) {
        paxos_yield(paxos);
        paxos->record.promised = msg->ballot;
        paxos->record.accepted = msg->ballot;
        paxos->record.value = msg->value;
        paxos_persist(paxos, out);
        paxos_back_off(paxos, out, in->random);
    } else if (memcmp(&msg->value, &paxos->record.value, sizeof(msg->value)) != 0) {
        out->drop = PAXOS_DROP_CONTRADICTS;
        return;
    }
    paxos_emit(paxos, out, paxos->persist, PAXOS_ACCEPTED, msg->from)->ballot = msg->ballot;
}
