/* The founder list: compared, locked by all, and then the only list that this founder ever decides
 * under (H1). And the record that comes from who has one. */
#include "consensus/paxos/paxos_internal.h"

#include <string.h>

/* FNV-1a with a closing mix. Two lists that differ in one byte alone never collide. */
static uint64_t hash_of(const void *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

uint64_t paxos_list_hash(const struct genesis *list)
{
    size_t from = offsetof(struct genesis, founder[1]), to = offsetof(struct genesis, crc);
    uint64_t hash = hash_of((const uint8_t *)list + from, to - from);
    return hash != 0 ? hash : 1;
}

uint32_t paxos_founders_hash(const struct genesis *list)
{
    return (uint32_t)hash_of(&list->founder[1], sizeof(list->founder) - sizeof(list->founder[0])) |
           1;
}

bool paxos_is_founder(const struct paxos *paxos, uint8_t id)
{
    return paxos->proposal.founder[id].incarnation != 0;
}

bool paxos_is_named(const struct paxos *paxos)
{
    return paxos->proposal.founder[paxos->id].incarnation == paxos->incarnation;
}

/* Mask of the other founders. */
static uint32_t others(const struct paxos *paxos)
{
    return genesis_voters(&paxos->proposal) & ~(1u << paxos->id);
}

bool paxos_all_locked(const struct paxos *paxos)
{
    if (paxos->record.lock == 0 || paxos->record.lock != paxos->list ||
        paxos->lock_persist > paxos->durable)
        return false;
    /* A promise of its own proves that it knew, before a restart too. */
    return paxos->record.promised != 0 || (others(paxos) & ~paxos->locked) == 0;
}

void paxos_ask(struct paxos *paxos, struct paxos_out *out)
{
    uint32_t unknown = others(paxos) & ~paxos->locked;
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((unknown >> id & 1) != 0)
            paxos_emit(paxos, out, paxos->persist, PAXOS_HELLO, id);
}

void paxos_lock_when_agreed(struct paxos *paxos, struct paxos_out *out)
{
    if (paxos->record.lock != 0 || !paxos_is_named(paxos))
        return;
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((others(paxos) >> id & 1) != 0 && paxos->said[id] < PAXOS_SAID_SAME_LIST)
            return;
    paxos->record.lock = paxos->list;
    paxos_persist(paxos, out);
    paxos->lock_persist = paxos->persist;
    paxos_ask(paxos, out);
}

void paxos_hear(struct paxos *paxos, const struct paxos_in *in)
{
    const struct paxos_msg *msg = &in->msg;
    uint32_t bit = 1u << msg->from;
    enum paxos_word word =
        msg->founders == paxos->founders ? PAXOS_SAID_OTHER_LIMITS : PAXOS_SAID_OTHER_LIST;
    /* The incarnation first: a wiped server may still be configured with the same list, and what it
     * has locked is gone. */
    if (in->incarnation != paxos->proposal.founder[msg->from].incarnation) {
        word = PAXOS_SAID_INCARNATION;
    } else if (msg->list == paxos->list) {
        if (msg->locked)
            paxos->locked |= bit;
        word = PAXOS_SAID_SAME_LIST;
    }
    if (word != PAXOS_SAID_INCARNATION && (paxos->locked & bit) != 0)
        word = PAXOS_SAID_LOCKED; /* what says less is an older message */
    paxos->said[msg->from] = (uint8_t)word;
}

void paxos_on_hello(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    paxos_lock_when_agreed(paxos, out);
    if (in->msg.kind == PAXOS_HELLO)
        paxos_emit(paxos, out, paxos->persist, PAXOS_HELLO_REPLY, in->msg.from);
}

bool paxos_value_fits(uint64_t list, const struct genesis *value)
{
    return genesis_problem(value) == NULL && paxos_list_hash(value) == list;
}

/* Learning (2.3): whoever sends it has it durably, so it was decided, or installed by hand where
 * nobody can have decided anything. Taken only if its founders are those of the locked list, or of
 * the own one while none is locked: then no other list has this founder's promise, nor ever will.
 */
void paxos_on_decided(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct genesis *value = &in->msg.value;
    if (genesis_problem(value) != NULL) {
        out->drop = PAXOS_DROP_MALFORMED;
        return;
    }
    if (paxos->record.decided) {
        bool same = memcmp(value, &paxos->record.value, sizeof(*value)) == 0;
        out->drop = same ? PAXOS_DROP_STALE : PAXOS_DROP_CONTRADICTS;
        return;
    }
    bool names = value->founder[paxos->id].incarnation == paxos->incarnation;
    uint64_t list = paxos->record.lock != 0 ? paxos->record.lock : paxos->list;
    if (!names || !paxos_value_fits(list, value)) {
        paxos->said[in->msg.from] = names ? PAXOS_SAID_CLUSTER_OTHER : PAXOS_SAID_CLUSTER_STRANGE;
        out->drop = PAXOS_DROP_STRANGER;
        return;
    }
    paxos_install(paxos, value, out);
}
