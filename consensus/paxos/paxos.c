/* Events, records, messages, waits. */
#include "consensus/ensure.h"
#include "consensus/paxos/paxos_internal.h"

#include <string.h>

#define MS UINT64_C(1000000)

const char *paxos_record_problem(const struct paxos_record *record)
{
    static const struct genesis none;
    bool value = record->accepted != 0 || record->decided != 0;
    if (record->decided > 1 || record->reserved != 0)
        return "not a record of this version";
    if (record->incarnation == 0 &&
        (record->lock | record->promised | record->accepted | record->decided) != 0)
        return "a record that nobody wrote";
    if (record->accepted > record->promised)
        return "a value accepted above the promise";
    if (record->promised != 0 && record->lock == 0)
        return "a promise without a lock";
    if (!value && memcmp(&record->value, &none, sizeof(none)) != 0)
        return "a value that was never accepted";
    if (value && genesis_problem(&record->value) != NULL)
        return "its value is no genesis record";
    if (value && record->lock != 0 && paxos_list_hash(&record->value) != record->lock)
        return "its value has not the founders and limits of the locked list";
    return NULL;
}

void paxos_record_installed(struct paxos_record *record, uint64_t incarnation,
                            const struct genesis *genesis)
{
    memset(record, 0, sizeof(*record));
    record->incarnation = incarnation;
    record->decided = 1;
    record->value = *genesis;
}

void paxos_init(struct paxos *paxos, const struct paxos_boot *boot)
{
    ENSURE(boot->id >= 1 && boot->id <= KEEL_REPLICA_MAX && boot->incarnation != 0);
    ENSURE(boot->proposal.magic == 0 || genesis_problem(&boot->proposal) == NULL);
    memset(paxos, 0, sizeof(*paxos));
    paxos->id = boot->id;
    paxos->incarnation = boot->incarnation;
    if (boot->proposal.magic != 0) {
        paxos->proposal = boot->proposal;
        paxos->list = paxos_list_hash(&boot->proposal);
        paxos->founders = paxos_founders_hash(&boot->proposal);
    }
    if (boot->record.incarnation == boot->incarnation) {
        ENSURE(paxos_record_problem(&boot->record) == NULL);
        paxos->record = boot->record;
    }
}

void paxos_persist(struct paxos *paxos, struct paxos_out *out)
{
    ENSURE(!out->write);
    paxos->record.incarnation = paxos->incarnation;
    out->write = true;
    out->persist = ++paxos->persist;
}

struct paxos_msg *paxos_emit(const struct paxos *paxos, struct paxos_out *out, uint64_t persist,
                             enum paxos_msg_kind kind, uint8_t to)
{
    ENSURE(out->send_count < PAXOS_SENDS_MAX);
    struct paxos_send *send = &out->send[out->send_count++];
    send->persist = persist;
    send->msg.kind = (uint8_t)kind;
    send->msg.from = paxos->id;
    send->msg.to = to;
    send->msg.locked = paxos->record.lock != 0;
    send->msg.list = paxos->record.lock != 0 ? paxos->record.lock : paxos->list;
    send->msg.founders = send->msg.list == paxos->list ? paxos->founders : 0;
    return &send->msg;
}

void paxos_wait(struct paxos_out *out, uint64_t ms, uint64_t random)
{
    out->wait_ns = ms * MS + random % (ms * MS);
}

void paxos_back_off(const struct paxos *paxos, struct paxos_out *out, uint64_t random)
{
    paxos_wait(out, (uint64_t)PAXOS_WAIT_MS << paxos->attempts, random);
}

static void on_timeout(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    if (paxos->record.decided)
        return; /* answers whoever asks, and wants nothing any more */
    if (!paxos_all_locked(paxos)) {
        paxos_ask(paxos, out);
        paxos_wait(out, PAXOS_HELLO_MS, in->random);
        return;
    }
    paxos_yield(paxos); /* an own ballot that is still open has failed: packets were lost */
    paxos_begin(paxos, out);
    paxos_back_off(paxos, out, in->random);
}

static void on_start(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    if (paxos->record.decided) {
        out->decided = true;
        return;
    }
    paxos_lock_when_agreed(paxos, out); /* a list of one */
    if (!out->write)
        paxos_ask(paxos, out);
    paxos_wait(out, PAXOS_HELLO_MS, in->random);
}

static void on_durable(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    ENSURE(in->persist <= paxos->persist);
    if (in->persist <= paxos->durable)
        return;
    uint64_t before = paxos->durable;
    paxos->durable = in->persist;
    if (before < paxos->decided_persist && paxos->decided_persist <= paxos->durable)
        out->decided = true;
    paxos_count_own(paxos, out);
}

static bool sane(const struct paxos *paxos, const struct paxos_msg *msg)
{
    if (msg->kind < PAXOS_HELLO || msg->kind >= PAXOS_KINDS || msg->to != paxos->id)
        return false;
    if (msg->from < 1 || msg->from > KEEL_REPLICA_MAX || msg->from == paxos->id)
        return false;
    if (msg->locked > 1 || (msg->locked == 1 && msg->list == 0))
        return false;
    if (msg->kind < PAXOS_PREPARE || msg->kind > PAXOS_REFUSE)
        return true;
    bool asks = msg->kind == PAXOS_PREPARE || msg->kind == PAXOS_ACCEPT;
    if ((uint8_t)msg->ballot != (asks ? msg->from : paxos->id) || msg->locked == 0)
        return false; /* ballots belong to who began them, and begin behind the lock */
    return paxos_round(msg->ballot) >= 1 && paxos_round(msg->ballot) <= PAXOS_ROUND_MAX &&
           paxos_round(msg->held) <= PAXOS_ROUND_MAX;
}

static void on_recv(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    const struct paxos_msg *msg = &in->msg;
    if (!sane(paxos, msg) || in->incarnation == 0) {
        out->drop = PAXOS_DROP_MALFORMED;
        return;
    }
    bool asks = msg->kind == PAXOS_HELLO || msg->kind == PAXOS_PREPARE || msg->kind == PAXOS_ACCEPT;
    if (paxos->record.decided && asks) {
        paxos_emit(paxos, out, paxos->persist, PAXOS_DECIDED, msg->from)->value =
            paxos->record.value;
        return;
    }
    if (msg->kind == PAXOS_DECIDED) {
        paxos_on_decided(paxos, in, out);
        return;
    }
    if (paxos->record.decided) {
        out->drop = PAXOS_DROP_STALE;
        return;
    }
    paxos_hear(paxos, in);
    if (msg->kind == PAXOS_HELLO || msg->kind == PAXOS_HELLO_REPLY) {
        paxos_on_hello(paxos, in, out);
        return;
    }
    /* All else is between founders that have locked one list. A server whose configured list is
     * not the one that it has locked takes no part. */
    if (paxos->record.lock == 0 || paxos->record.lock != paxos->list ||
        msg->list != paxos->record.lock ||
        in->incarnation != paxos->proposal.founder[msg->from].incarnation) {
        out->drop = PAXOS_DROP_STRANGER;
        return;
    }
    if (!paxos_all_locked(paxos)) {
        out->drop = PAXOS_DROP_EARLY;
        return;
    }
    if (msg->kind == PAXOS_PREPARE)
        paxos_on_prepare(paxos, in, out);
    else if (msg->kind == PAXOS_PROMISE)
        paxos_on_promise(paxos, in, out);
    else if (msg->kind == PAXOS_ACCEPT)
        paxos_on_accept(paxos, in, out);
    else if (msg->kind == PAXOS_ACCEPTED)
        paxos_on_accepted(paxos, in, out);
    else
        paxos_on_refuse(paxos, in, out);
}

void paxos_step(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out)
{
    memset(out, 0, sizeof(*out));
    if (!paxos->failed) {
        bool before = paxos_all_locked(paxos);
        switch (in->event) { /* unreachable: another event */
        case PAXOS_EV_START:
            on_start(paxos, in, out);
            break;
        case PAXOS_EV_TIMEOUT:
            on_timeout(paxos, in, out);
            break;
        case PAXOS_EV_RECV:
            on_recv(paxos, in, out);
            break;
        case PAXOS_EV_DURABLE:
            on_durable(paxos, in, out);
            break;
        case PAXOS_EV_FAILED:
            paxos->failed = 1;
            break;
        }
        if (!before && paxos_all_locked(paxos) && !paxos->record.decided)
            paxos_back_off(paxos, out, in->random); /* the first ballot, soon */
    }
    out->why = paxos_why(paxos, &out->about);
}
