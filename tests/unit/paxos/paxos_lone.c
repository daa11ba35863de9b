#include "tests/unit/paxos/paxos_lone.h"

#include "tests/unit/unit.h"

#include <string.h>

struct paxos paxos;
struct paxos_out out;

static uint8_t founders; /* of the usual list */

struct genesis list_of(uint8_t count, uint8_t id)
{
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1] = {{0}};
    for (uint8_t i = 1; i <= count; i++)
        founder[i] = judge_founder(i, 10u + i);
    return judge_record(founder, id == 1 ? LONE_CLUSTER : (uint64_t)LONE_CLUSTER + id);
}

struct paxos_boot boot_of(uint8_t count)
{
    founders = count;
    return (struct paxos_boot){.id = 1, .incarnation = 11, .proposal = list_of(count, 1)};
}

void start_from(const struct paxos_boot *boot)
{
    paxos_init(&paxos, boot);
    step((struct paxos_in){.event = PAXOS_EV_START});
}

void start(uint8_t count)
{
    const struct paxos_boot boot = boot_of(count);
    start_from(&boot);
}

void restart(const struct paxos_record *disk)
{
    struct paxos_boot boot = boot_of(founders);
    boot.record = *disk;
    start_from(&boot);
}

void step(struct paxos_in in)
{
    static struct paxos before;
    before = paxos;
    paxos_step(&paxos, &in, &out);
    const char *broken = judge_step(&before, &paxos, &out);
    if (broken != NULL)
        CU_FAIL("judge_step()");
}

void timeout(void)
{
    step((struct paxos_in){.event = PAXOS_EV_TIMEOUT});
}

void durable(void)
{
    step((struct paxos_in){.event = PAXOS_EV_DURABLE, .persist = paxos.persist});
}

void receive_from(struct paxos_msg msg, uint64_t incarnation)
{
    msg.to = 1;
    step((struct paxos_in){.event = PAXOS_EV_RECV, .msg = msg, .incarnation = incarnation});
}

void receive(struct paxos_msg msg)
{
    receive_from(msg, 10u + msg.from);
}

const struct paxos_send *sent(enum paxos_msg_kind kind, uint8_t to)
{
    const struct paxos_send *found = NULL;
    for (uint32_t i = 0; i < out.send_count; i++)
        if (out.send[i].msg.kind == kind && out.send[i].msg.to == to) {
            CU_ASSERT_PTR_NULL(found);
            found = &out.send[i];
        }
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

uint32_t count_sent(enum paxos_msg_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < out.send_count; i++)
        count += out.send[i].msg.kind == kind;
    return count;
}

struct paxos_msg hello(uint8_t from, bool locked)
{
    const struct genesis list = list_of(founders, from);
    return (struct paxos_msg){.kind = PAXOS_HELLO_REPLY,
                              .from = from,
                              .locked = locked,
                              .founders = paxos_founders_hash(&list),
                              .list = paxos_list_hash(&list)};
}

struct paxos_msg about(enum paxos_msg_kind kind, uint8_t from, uint64_t ballot)
{
    struct paxos_msg msg = hello(from, true);
    msg.kind = (uint8_t)kind;
    msg.ballot = ballot;
    return msg;
}

struct paxos_msg accept_of(uint8_t from, uint64_t ballot, uint8_t proposer)
{
    struct paxos_msg msg = about(PAXOS_ACCEPT, from, ballot);
    msg.value = list_of(founders, proposer);
    return msg;
}

void agree(uint8_t count)
{
    start(count);
    for (uint8_t id = 2; id <= count; id++)
        receive(hello(id, false));
    CU_ASSERT_FATAL(out.write && paxos.record.lock == paxos.list);
}

void lock(uint8_t count)
{
    agree(count);
    durable();
    for (uint8_t id = 2; id <= count; id++)
        receive(hello(id, true));
    CU_ASSERT_EQUAL_FATAL(out.why, PAXOS_WHY_MAJORITY);
}
