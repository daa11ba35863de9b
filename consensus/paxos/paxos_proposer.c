/* Own ballots (2.2), and who yields (2.4). A proposer is its own first acceptor; its own part
 * counts, like any other's, once it is durable. */
#include "consensus/paxos/paxos_internal.h"

#include <string.h>

static bool is_majority(const struct paxos *paxos, uint32_t mask)
{
    uint32_t voters = genesis_voters(&paxos->proposal);
    return 2 * __builtin_popcount(mask & voters) > __builtin_popcount(voters);
}

static struct paxos_msg *emit_to(const struct paxos *paxos, struct paxos_out *out, uint8_t id,
                                 uint64_t persist, enum paxos_msg_kind kind)
{
    bool other = paxos_is_founder(paxos, id) && id != paxos->id;
    return other ? paxos_emit(paxos, out, persist, kind, id) : NULL;
}

/* Phase 1a. The number is above all that this founder knows of; it is durable before anybody hears
 * of it, so that no later life of this founder begins the same ballot with another value. */
void paxos_begin(struct paxos *paxos, struct paxos_out *out)
{
    struct paxos_record *record = &paxos->record;
    uint64_t above = record->promised > paxos->seen ? record->promised : paxos->seen;
    uint64_t round = paxos_round(above) + 1;
    if (round > PAXOS_ROUND_MAX)
        return;
    paxos->phase = PAXOS_PREPARING;
    paxos->ballot = paxos_ballot(round, paxos->id);
    paxos->heard = 0;
    paxos->choice_ballot = record->accepted;
    paxos->choice = record->accepted != 0 ? record->value : paxos->proposal;
    record->promised = paxos->ballot;
    paxos_persist(paxos, out);
    paxos->own_persist = paxos->persist;
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        struct paxos_msg *msg = emit_to(paxos, out, id, paxos->persist, PAXOS_PREPARE);
        if (msg != NULL)
            msg->ballot = paxos->ballot;
    }
}

/* The own ballot is given up, for a higher one or for none: who yields waits longer before the next
 * one (2.4). */
void paxos_yield(struct paxos *paxos)
{
    if (paxos->phase == PAXOS_IDLE)
        return;
    paxos->phase = PAXOS_IDLE;
    paxos->ballot = 0;
    paxos->heard = 0;
    paxos->own_persist = 0;
    paxos->choice_ballot = 0;
    memset(&paxos->choice, 0, sizeof(paxos->choice));
    if (paxos->attempts < PAXOS_DOUBLINGS_MAX)
        paxos->attempts++;
}

/* Phase 2a (2.2): "... where v is the value of the highest-numbered proposal among the responses,
 * or is any value if the responses reported no proposals." The request rests on the own promise,
 * which is durable, and not on the own acceptance. */
static void ask_to_accept(struct paxos *paxos, struct paxos_out *out)
{
    uint64_t promised = paxos->own_persist;
    paxos->phase = PAXOS_ACCEPTING;
    paxos->heard = 0;
    paxos->record.accepted = paxos->ballot;
    paxos->record.value = paxos->choice;
    paxos_persist(paxos, out);
    paxos->own_persist = paxos->persist;
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        struct paxos_msg *msg = emit_to(paxos, out, id, promised, PAXOS_ACCEPT);
        if (msg != NULL) {
            msg->ballot = paxos->ballot;
            msg->value = paxos->choice;
        }
    }
}

/* Chosen: a majority has accepted it (2.1). Told to all once it is durable here; who misses that
 * asks (2.3). */
static void decide(struct paxos *paxos, struct paxos_out *out)
{
    struct genesis value = paxos->choice;
    paxos_install(paxos, &value, out);
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        struct paxos_msg *msg = emit_to(paxos, out, id, paxos->persist, PAXOS_DECIDED);
        if (msg != NULL)
            msg->value = value;
    }
}

static void advance(struct paxos *paxos, struct paxos_out *out)
{
    if (!is_majority(paxos, paxos->heard))
        return;
    if (paxos->phase == PAXOS_PREPARING)
        ask_to_accept(paxos, out);
    else
        decide(paxos, out);
}

void paxos_count_own(struct paxos *paxos, struct paxos_out *out)
{
    /* While a ballot is open nothing is written behind its own part: that is counted once. */
    if (paxos->phase == PAXOS_IDLE || paxos->own_persist > paxos->durable)
        return;
    paxos->heard |= 1u << paxos->id;
    advance(paxos, out);
}

void paxos_on_promise(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (paxos->phase != PAXOS_PREPARING || msg->ballot != paxos->ballot) {
        out->drop = PAXOS_DROP_STALE;
        return;
    }
    if (msg->held >= msg->ballot ||
        (msg->held != 0 && !paxos_value_fits(paxos->record.lock, &msg->value))) {
        out->drop = PAXOS_DROP_MALFORMED;
        return;
    }
    if (msg->held > paxos->choice_ballot) {
        paxos->choice_ballot = msg->held;
        paxos->choice = msg->value;
    }
    paxos->heard |= 1u << msg->from;
    advance(paxos, out);
}

void paxos_on_accepted(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (paxos->phase != PAXOS_ACCEPTING || msg->ballot != paxos->ballot) {
        out->drop = PAXOS_DROP_STALE;
        return;
    }
    paxos->heard |= 1u << msg->from;
    advance(paxos, out);
}

void paxos_on_refuse(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (paxos->phase == PAXOS_IDLE || msg->ballot != paxos->ballot || msg->held <= msg->ballot) {
        out->drop = PAXOS_DROP_STALE;
        return;
    }
    paxos->seen = msg->held; /* above the own ballot, which is above all seen before it */
    paxos_yield(paxos);
    paxos_back_off(paxos, out, in->random);
}

void paxos_install(struct paxos *paxos, const struct genesis *value, struct paxos_out *out)
{
    paxos_yield(paxos);
    paxos->record.decided = 1;
    paxos->record.value = *value;
    paxos_persist(paxos, out);
    paxos->decided_persist = paxos->persist;
}
