/* Promises, acceptances, own ballots, and the record that comes of them. */
#include "tests/unit/paxos/paxos_lone.h"
#include "tests/unit/unit.h"

#include <string.h>

static uint64_t ballot(uint64_t round, uint8_t id)
{
    return paxos_ballot(round, id);
}

static void promises_the_higher(void)
{
    lock(3);
    receive(about(PAXOS_PREPARE, 2, ballot(1, 2)));
    CU_ASSERT(out.write && paxos.record.promised == ballot(1, 2) && out.wait_ns > 0);
    const struct paxos_send *reply = sent(PAXOS_PROMISE, 2);
    CU_ASSERT(reply->persist == out.persist && reply->msg.held == 0 && reply->msg.locked);
    CU_ASSERT_EQUAL(reply->msg.ballot, ballot(1, 2));
    receive(about(PAXOS_PREPARE, 2, ballot(1, 2))); /* a copy: the same answer, nothing written */
    CU_ASSERT_FALSE(out.write);
    CU_ASSERT_EQUAL(sent(PAXOS_PROMISE, 2)->persist, paxos.persist);
    receive(about(PAXOS_PREPARE, 3, ballot(1, 3))); /* of one round the higher id is the higher */
    CU_ASSERT(out.write && paxos.record.promised == ballot(1, 3));
    sent(PAXOS_PROMISE, 3);
    receive(about(PAXOS_PREPARE, 2, ballot(1, 2)));
    reply = sent(PAXOS_REFUSE, 2);
    CU_ASSERT(!out.write && reply->msg.ballot == ballot(1, 2) && reply->msg.held == ballot(1, 3));
    CU_ASSERT_EQUAL(reply->persist, paxos.persist);
}

static void accepts_at_or_above_the_promise(void)
{
    lock(3);
    receive(about(PAXOS_PREPARE, 3, ballot(2, 3)));
    receive(accept_of(2, ballot(2, 2), 2));
    CU_ASSERT(!out.write && paxos.record.accepted == 0);
    sent(PAXOS_REFUSE, 2);
    receive(accept_of(3, ballot(2, 3), 3));
    CU_ASSERT(out.write && paxos.record.accepted == ballot(2, 3));
    CU_ASSERT_EQUAL(sent(PAXOS_ACCEPTED, 3)->persist, out.persist);
    CU_ASSERT_EQUAL(paxos.record.value.cluster_id, LONE_CLUSTER + 3);
    receive(accept_of(3, ballot(2, 3), 3)); /* a copy */
    CU_ASSERT_FALSE(out.write);
    sent(PAXOS_ACCEPTED, 3);
    receive(accept_of(3, ballot(2, 3), 2)); /* another value in one ballot */
    CU_ASSERT(out.drop == PAXOS_DROP_CONTRADICTS && out.send_count == 0);
    receive(accept_of(2, ballot(3, 2), 2)); /* without having promised it */
    CU_ASSERT(out.write && paxos.record.promised == ballot(3, 2));
    receive(about(PAXOS_PREPARE, 3, ballot(4, 3)));
    const struct paxos_send *reply = sent(PAXOS_PROMISE, 3);
    CU_ASSERT_EQUAL(reply->msg.held, ballot(3, 2));
    CU_ASSERT_EQUAL(reply->msg.value.cluster_id, LONE_CLUSTER + 2);
    struct paxos_msg promise = about(PAXOS_PROMISE, 2, ballot(4, 1)); /* to no ballot of its own */
    receive(promise);
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_STALE);
}

static void proposes_and_decides(void)
{
    lock(3);
    timeout();
    CU_ASSERT(out.write && paxos.record.promised == ballot(1, 1) && out.wait_ns > 0);
    CU_ASSERT_EQUAL(sent(PAXOS_PREPARE, 2)->persist, out.persist);
    CU_ASSERT_EQUAL(sent(PAXOS_PREPARE, 3)->msg.ballot, ballot(1, 1));
    durable();
    CU_ASSERT_FALSE(out.write); /* one of three */
    receive(about(PAXOS_PROMISE, 3, ballot(1, 1)));
    CU_ASSERT(out.write && paxos.record.accepted == ballot(1, 1));
    const struct paxos_send *ask = sent(PAXOS_ACCEPT, 2);
    CU_ASSERT(ask->persist < out.persist && ask->msg.value.cluster_id == LONE_CLUSTER);
    sent(PAXOS_ACCEPT, 3);
    receive(about(PAXOS_PROMISE, 2, ballot(1, 1))); /* too late to matter */
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_STALE);
    receive(about(PAXOS_ACCEPTED, 3, ballot(1, 1)));
    receive(about(PAXOS_ACCEPTED, 3, ballot(1, 1)));
    CU_ASSERT_FALSE(paxos.record.decided); /* twice the same one; the own is not durable yet */
    durable();
    CU_ASSERT(paxos.record.decided == 1 && out.write && !out.decided);
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 2)->persist, out.persist);
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 3)->msg.value.cluster_id, LONE_CLUSTER);
    durable();
    CU_ASSERT(out.decided && out.why == PAXOS_WHY_INSTALLED);
    durable();
    CU_ASSERT_FALSE(out.decided); /* once */
    timeout();
    CU_ASSERT(out.send_count == 0 && out.wait_ns == 0);
}

/* Five founders: 3 and 4 have accepted, in different ballots; the higher one's value binds. */
static void takes_the_value_of_the_highest_ballot(void)
{
    lock(5);
    receive(about(PAXOS_PREPARE, 5, ballot(5, 5)));
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(6, 1));
    durable();
    struct paxos_msg promise = about(PAXOS_PROMISE, 3, ballot(6, 1));
    promise.held = ballot(4, 4);
    promise.value = list_of(5, 4);
    receive(promise);
    promise.from = 4;
    promise.held = ballot(3, 3);
    promise.value = list_of(5, 3);
    receive(promise);
    CU_ASSERT_EQUAL(sent(PAXOS_ACCEPT, 5)->msg.value.cluster_id, LONE_CLUSTER + 4);
    CU_ASSERT_EQUAL(paxos.record.value.cluster_id, LONE_CLUSTER + 4);
}

static void takes_the_value_that_it_accepted_itself(void)
{
    lock(3);
    receive(accept_of(2, ballot(1, 2), 2));
    durable();
    timeout();
    durable();
    receive(about(PAXOS_PROMISE, 3, ballot(2, 1)));
    CU_ASSERT_EQUAL(sent(PAXOS_ACCEPT, 3)->msg.value.cluster_id, LONE_CLUSTER + 2);
}

static void yields_to_a_higher_ballot(void)
{
    lock(3);
    timeout();
    durable();
    receive(about(PAXOS_PREPARE, 2, ballot(1, 2)));
    CU_ASSERT(paxos.phase == PAXOS_IDLE && out.wait_ns == 2 * PAXOS_WAIT_MS * 1000000ull);
    sent(PAXOS_PROMISE, 2);
    receive(about(PAXOS_PROMISE, 3, ballot(1, 1))); /* its own ballot is over */
    CU_ASSERT(out.drop == PAXOS_DROP_STALE && !out.write);
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(2, 1));
    durable();
    struct paxos_msg refuse = about(PAXOS_REFUSE, 3, ballot(2, 1));
    refuse.held = ballot(2, 1); /* for no higher ballot */
    receive(refuse);
    CU_ASSERT(out.drop == PAXOS_DROP_STALE && paxos.phase == PAXOS_PREPARING && paxos.seen == 0);
    refuse.held = ballot(7, 3);
    receive(refuse);
    CU_ASSERT(paxos.phase == PAXOS_IDLE && out.wait_ns == 4 * PAXOS_WAIT_MS * 1000000ull);
    receive(refuse);
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_STALE);
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(8, 1)); /* above what it was refused for */
    refuse.ballot = ballot(8, 1);
    refuse.held = ballot(8, 2); /* the lowest that can refuse it */
    receive(refuse);
    CU_ASSERT(out.drop == PAXOS_TAKEN && paxos.seen == ballot(8, 2));
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(9, 1));
    for (int i = 0; i < 20; i++)
        timeout(); /* nobody answers */
    CU_ASSERT_EQUAL(paxos.attempts, PAXOS_DOUBLINGS_MAX);
    CU_ASSERT_EQUAL(out.wait_ns, (PAXOS_WAIT_MS << PAXOS_DOUBLINGS_MAX) * 1000000ull);
    CU_ASSERT_EQUAL(paxos.ballot, ballot(29, 1));
}

static void a_restart_keeps_what_was_durable(void)
{
    lock(3);
    receive(accept_of(2, ballot(3, 2), 2));
    durable();
    const struct paxos_record disk = paxos.record;
    restart(&disk);
    /* That it has promised proves that all had locked: a majority is enough from here on. */
    CU_ASSERT_EQUAL(out.why, PAXOS_WHY_MAJORITY);
    receive(about(PAXOS_PREPARE, 3, ballot(3, 3)));
    const struct paxos_send *reply = sent(PAXOS_PROMISE, 3);
    CU_ASSERT(reply->msg.held == ballot(3, 2) && reply->persist == 1);
    receive(accept_of(2, ballot(3, 2), 2));
    sent(PAXOS_REFUSE, 2);
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(4, 1));
    const struct paxos_record unwritten = paxos.record; /* its own ballot had become durable */
    restart(&unwritten);
    timeout();
    CU_ASSERT_EQUAL(paxos.ballot, ballot(5, 1));
}

static void learns_and_answers(void)
{
    lock(3);
    timeout();
    durable();
    struct paxos_msg msg = about(PAXOS_DECIDED, 3, 0);
    msg.value = list_of(3, 2);
    receive(msg);
    CU_ASSERT(out.write && !out.decided && paxos.record.decided == 1);
    CU_ASSERT_EQUAL(paxos.phase, PAXOS_IDLE);
    struct paxos_msg ask = hello(2, true);
    ask.kind = PAXOS_HELLO;
    receive(ask); /* not told before it is durable */
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 2)->persist, paxos.persist);
    durable();
    CU_ASSERT_TRUE(out.decided);
    receive(about(PAXOS_PREPARE, 3, ballot(9, 3)));
    CU_ASSERT(out.send_count == 1 && !out.write);
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 3)->msg.value.cluster_id, LONE_CLUSTER + 2);
    receive(accept_of(3, ballot(9, 3), 3));
    CU_ASSERT(out.send_count == 1 && !out.write);
    sent(PAXOS_DECIDED, 3);
    receive(about(PAXOS_PROMISE, 3, ballot(1, 1)));
    CU_ASSERT(out.send_count == 0 && out.drop == PAXOS_DROP_STALE);
    receive_from(ask, 99); /* a stranger, too, is told that there is a cluster */
    sent(PAXOS_DECIDED, 2);
    receive(msg);
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_STALE);
    msg.value = list_of(3, 3);
    receive(msg);
    CU_ASSERT(out.drop == PAXOS_DROP_CONTRADICTS && !out.write);

    const struct paxos_record disk = paxos.record;
    restart(&disk);
    CU_ASSERT(out.decided && out.why == PAXOS_WHY_INSTALLED && out.send_count == 0);
    receive(ask);
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 2)->persist, 0);
}

/* A record installed by hand, on a server that was given no list, or another one. */
static void installed_by_hand(void)
{
    const struct genesis genesis = list_of(3, 2);
    struct paxos_boot boot = {.id = 1, .incarnation = 11};
    paxos_record_installed(&boot.record, 11, &genesis);
    CU_ASSERT_PTR_NULL(paxos_record_problem(&boot.record));
    start_from(&boot);
    CU_ASSERT(out.decided && out.why == PAXOS_WHY_INSTALLED);
    boot.proposal = list_of(4, 1);
    start_from(&boot);
    receive(about(PAXOS_PREPARE, 3, ballot(1, 3)));
    CU_ASSERT_EQUAL(sent(PAXOS_DECIDED, 3)->msg.value.cluster_id, LONE_CLUSTER + 2);
    /* Nothing is locked any more, though all founders agree. */
    boot.proposal = boot_of(3).proposal;
    start_from(&boot);
    receive(hello(2, false));
    receive(hello(3, false));
    CU_ASSERT(out.drop == PAXOS_DROP_STALE && !out.write && paxos.record.lock == 0);
    /* Where no list is locked, the record of the own list is taken from who has it. */
    start(3);
    struct paxos_msg msg = about(PAXOS_DECIDED, 2, 0);
    msg.list = 0;
    msg.locked = 0;
    msg.value = genesis;
    receive(msg);
    CU_ASSERT(out.write && paxos.record.decided == 1 && paxos.record.lock == 0);
    durable();
    CU_ASSERT_TRUE(out.decided);
}

/* The record comes while the lock is on its way to the drive: no ballot is begun behind it. */
static void learns_before_its_lock_is_durable(void)
{
    agree(3);
    receive(hello(2, true));
    receive(hello(3, true));
    struct paxos_msg msg = about(PAXOS_DECIDED, 3, 0);
    msg.value = list_of(3, 2);
    receive(msg);
    CU_ASSERT(out.write && paxos.record.decided == 1 && paxos.durable == 0);
    durable();
    CU_ASSERT(out.decided && out.wait_ns == 0 && out.why == PAXOS_WHY_INSTALLED);
    timeout();
    CU_ASSERT(out.send_count == 0 && !out.write && paxos.phase == PAXOS_IDLE);
}

static void malformed(struct paxos_msg msg)
{
    const struct paxos before = paxos;
    receive(msg);
    CU_ASSERT(out.drop == PAXOS_DROP_MALFORMED && out.send_count == 0 && !out.write);
    CU_ASSERT_EQUAL(memcmp(&before, &paxos, sizeof(paxos)), 0);
}

static void malformed_messages(void)
{
    lock(3);
    timeout();
    durable();
    for (int kind = 0; kind < 256; kind++) {
        struct paxos_msg msg = about((enum paxos_msg_kind)kind, 2, ballot(1, 2));
        if (kind == 0 || kind >= PAXOS_KINDS)
            malformed(msg);
        msg.from = 0;
        malformed(msg);
        msg.from = 8;
        malformed(msg);
        msg.from = 1; /* itself */
        malformed(msg);
    }
    malformed(about(PAXOS_PREPARE, 2, ballot(1, 3))); /* another's ballot */
    malformed(about(PAXOS_PREPARE, 2, ballot(0, 2)));
    malformed(about(PAXOS_PREPARE, 2, ballot(PAXOS_ROUND_MAX + 1, 2)));
    malformed(about(PAXOS_PROMISE, 2, ballot(2, 2)));
    struct paxos_msg msg = about(PAXOS_PROMISE, 2, ballot(1, 1));
    msg.held = ballot(1, 1); /* accepted in the ballot that it only promises */
    malformed(msg);
    msg.held = ballot(PAXOS_ROUND_MAX + 1, 1);
    malformed(msg);
    msg.held = ballot(0, 3); /* without a value */
    malformed(msg);
    msg.value = list_of(2, 2); /* of another list */
    malformed(msg);
    msg = accept_of(2, ballot(1, 2), 2);
    msg.value.founder[2].incarnation++;
    malformed(msg);
    msg = accept_of(2, ballot(1, 2), 2);
    msg.value.heartbeat_ms = 0;
    malformed(msg);
    msg.kind = PAXOS_DECIDED;
    malformed(msg);
    msg = hello(2, true);
    msg.list = 0;
    malformed(msg);
    msg = hello(2, false);
    msg.locked = 2;
    malformed(msg);
    msg = about(PAXOS_PREPARE, 2, ballot(1, 2));
    msg.locked = 0;
    malformed(msg);
    const struct paxos before = paxos;
    receive_from(hello(2, true), 0);
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_MALFORMED);
    CU_ASSERT_EQUAL(memcmp(&before, &paxos, sizeof(paxos)), 0);
    msg = about(PAXOS_PREPARE, 2, ballot(1, 2)); /* sound, but to another founder */
    msg.to = 3;
    step((struct paxos_in){.event = PAXOS_EV_RECV, .msg = msg, .incarnation = 12});
    CU_ASSERT(out.drop == PAXOS_DROP_MALFORMED && out.send_count == 0 && !out.write);
    CU_ASSERT_EQUAL(memcmp(&before, &paxos, sizeof(paxos)), 0);
}

static void rounds_end(void)
{
    lock(3);
    receive(about(PAXOS_PREPARE, 2, ballot(PAXOS_ROUND_MAX, 2)));
    CU_ASSERT_TRUE(out.write);
    timeout(); /* no ballot is above that */
    CU_ASSERT(!out.write && out.send_count == 0 && paxos.phase == PAXOS_IDLE);
}

static void records_from_the_drive(void)
{
    struct paxos_record record = {0};
    CU_ASSERT_PTR_NULL(paxos_record_problem(&record));
    record.lock = 5;
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&record)); /* nobody wrote it */
    record.incarnation = 11;
    CU_ASSERT_PTR_NULL(paxos_record_problem(&record));
    record.promised = ballot(2, 2);
    CU_ASSERT_PTR_NULL(paxos_record_problem(&record));
    record.accepted = ballot(1, 2);
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&record)); /* no value */
    record.value = list_of(3, 2);
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&record)); /* of another list */
    record.lock = paxos_list_hash(&record.value);
    CU_ASSERT_PTR_NULL(paxos_record_problem(&record));
    struct paxos_record bad = record;
    bad.accepted = ballot(3, 2);
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&bad));
    bad = record;
    bad.lock = 0;
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&bad));
    bad = record;
    bad.accepted = 0;
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&bad));
    bad = record;
    bad.decided = 2;
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&bad));
    bad = record;
    bad.reserved = 1;
    CU_ASSERT_PTR_NOT_NULL(paxos_record_problem(&bad));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"promises the higher", promises_the_higher},
        {"accepts at or above the promise", accepts_at_or_above_the_promise},
        {"proposes and decides", proposes_and_decides},
        {"takes the value of the highest ballot", takes_the_value_of_the_highest_ballot},
        {"takes the value that it accepted itself", takes_the_value_that_it_accepted_itself},
        {"yields to a higher ballot", yields_to_a_higher_ballot},
        {"a restart keeps what was durable", a_restart_keeps_what_was_durable},
        {"learns and answers", learns_and_answers},
        {"installed by hand", installed_by_hand},
        {"learns before its lock is durable", learns_before_its_lock_is_durable},
        {"malformed messages", malformed_messages},
        {"rounds end", rounds_end},
        {"records from the drive", records_from_the_drive},
        {0}};
    return unit_main("paxos_ballot", tests);
}
