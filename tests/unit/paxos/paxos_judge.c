#include "tests/unit/paxos/paxos_judge.h"

#include <string.h>

struct genesis_founder judge_founder(uint8_t id, uint64_t incarnation)
{
    return (struct genesis_founder){
        .incarnation = incarnation, .ip = 0x0a000000u + id, .port = (uint16_t)(7000 + id)};
}

struct genesis judge_record(const struct genesis_founder founder[KEEL_REPLICA_MAX + 1],
                            uint64_t cluster_id)
{
    struct genesis genesis;
    genesis_defaults(&genesis);
    genesis.cluster_id = cluster_id;
    memcpy(genesis.founder, founder, sizeof(genesis.founder));
    memcpy(genesis.day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    return genesis;
}

static const char *step_of_record(const struct paxos_record *a, const struct paxos_record *b)
{
    if (a->lock != 0 && b->lock != a->lock)
        return "a lock was replaced";
    if (b->promised < a->promised)
        return "a promise was taken back";
    if (b->accepted != a->accepted && b->accepted < a->promised)
        return "a value was accepted below the promise";
    if (b->accepted > b->promised || b->accepted < a->accepted)
        return "promised and accepted ballots are out of order";
    if (b->promised != 0 && b->lock == 0)
        return "a promise without a lock";
    if (b->accepted == a->accepted && b->decided == a->decided &&
        memcmp(&a->value, &b->value, sizeof(a->value)) != 0)
        return "a value changed within its ballot";
    if (a->decided)
        return "a record was changed after it was installed";
    return paxos_record_problem(b);
}

const char *judge_step(const struct paxos *before, const struct paxos *after,
                       const struct paxos_out *out)
{
    bool changed = memcmp(&before->record, &after->record, sizeof(after->record)) != 0;
    if (out->write != (after->persist == before->persist + 1) ||
        (!out->write && after->persist != before->persist))
        return "persist numbers and writes do not agree";
    if (changed && !out->write)
        return "the record changed and is not written";
    if (before->failed && (out->write || out->send_count > 0))
        return "a founder whose drive failed goes on";
    for (uint32_t i = 0; i < out->send_count; i++) {
        if (out->send[i].persist > after->persist)
            return "a message waits for a write that nobody asked for";
        if (before->record.decided && out->send[i].msg.kind != PAXOS_DECIDED)
            return "who has a genesis record answered with something else";
    }
    if (after->record.lock != before->record.lock &&
        (after->record.lock != after->list ||
         after->proposal.founder[after->id].incarnation != after->incarnation))
        return "a list was locked that does not name this founder";
    return changed ? step_of_record(&before->record, &after->record) : NULL;
}

const char *judge_release(const struct paxos_record *disk, const struct paxos_msg *msg)
{
    if (msg->locked && disk->lock != msg->list)
        return "told a lock that is not durable";
    switch ((enum paxos_msg_kind)msg->kind) {
    case PAXOS_HELLO:
    case PAXOS_HELLO_REPLY:
        return NULL;
    case PAXOS_PREPARE:
    case PAXOS_ACCEPT:
        return disk->promised < msg->ballot ? "a ballot began before it was durable" : NULL;
    case PAXOS_PROMISE:
        if (disk->promised < msg->ballot || disk->accepted < msg->held)
            return "told a promise that is not durable";
        return NULL;
    case PAXOS_ACCEPTED:
        return disk->accepted < msg->ballot ? "told an acceptance that is not durable" : NULL;
    case PAXOS_REFUSE:
        return disk->promised < msg->held ? "refused for a promise that is not durable" : NULL;
    case PAXOS_DECIDED:
        if (!disk->decided || memcmp(&disk->value, &msg->value, sizeof(msg->value)) != 0)
            return "told a record that is not durable";
        return NULL;
    case PAXOS_KINDS:
        break;
    }
    return "a message of no kind";
}

const char *judge_records(const struct genesis *a, const struct genesis *b)
{
    if (memcmp(a, b, sizeof(*a)) == 0)
        return NULL;
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++)
        if (a->founder[i].incarnation != 0 &&
            a->founder[i].incarnation == b->founder[i].incarnation)
            return "two records with a founder in common are installed";
    return NULL;
}

/* Every founder of the list has durably locked it, at some time. */
static const char *all_locked(const struct judge *judge, const struct paxos_record *record,
                              const struct genesis *list)
{
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++) {
        uint64_t incarnation = list->founder[i].incarnation;
        if (incarnation != 0 &&
            (incarnation >= JUDGE_INCARNATIONS || judge->locked[incarnation] != record->lock))
            return "a promise before all locks";
    }
    return NULL;
}

/* P2 (2.2): once a value is chosen, every later ballot's is the same. */
static const char *vote(struct judge *judge, const struct paxos_record *record,
                        const struct genesis *list)
{
    struct judge_vote v = {record->incarnation, record->lock, record->accepted,
                           record->value.cluster_id};
    for (uint32_t i = 0; i < judge->votes; i++)
        if (memcmp(&judge->vote[i], &v, sizeof(v)) == 0)
            return NULL;
    if (judge->votes == JUDGE_VOTES)
        return "the judge's table is full";
    judge->vote[judge->votes++] = v;
    uint32_t founders = (uint32_t)__builtin_popcount(genesis_voters(list));
    for (uint32_t i = 0; i < judge->votes; i++) {
        const struct judge_vote *c = &judge->vote[i];
        uint32_t same = 0;
        if (c->list != v.list)
            continue;
        if (c->ballot == v.ballot && c->cluster_id != v.cluster_id)
            return "two values in one ballot";
        for (uint32_t j = 0; j < judge->votes; j++)
            same += judge->vote[j].list == c->list && judge->vote[j].ballot == c->ballot;
        if (2 * same <= founders)
            continue;
        judge->chosen++;
        for (uint32_t j = 0; j < judge->votes; j++)
            if (judge->vote[j].list == c->list && judge->vote[j].ballot > c->ballot &&
                judge->vote[j].cluster_id != c->cluster_id)
                return "a value was accepted above a ballot that had chosen another";
    }
    return NULL;
}

const char *judge_durable(struct judge *judge, const struct paxos_record *record,
                          const struct genesis *list)
{
    const char *broken = NULL;
    if (record->incarnation == 0 || record->incarnation >= JUDGE_INCARNATIONS)
        return "a record of no incarnation";
    if (record->lock != 0) {
        uint64_t *locked = &judge->locked[record->incarnation];
        if (*locked != 0 && *locked != record->lock)
            return "a second lock in the life of one format";
        *locked = record->lock;
    }
    if (record->promised != 0)
        broken = all_locked(judge, record, list);
    if (broken == NULL && record->accepted != 0 && !record->decided)
        broken = vote(judge, record, list);
    if (broken != NULL || !record->decided)
        return broken;
    for (uint32_t i = 0; i < judge->records; i++) {
        if (memcmp(&judge->record[i], &record->value, sizeof(record->value)) == 0)
            return NULL;
        broken = judge_records(&judge->record[i], &record->value);
        if (broken != NULL)
            return broken;
    }
    if (judge->records == JUDGE_RECORDS)
        return "the judge's table is full";
    judge->record[judge->records++] = record->value;
    return NULL;
}
