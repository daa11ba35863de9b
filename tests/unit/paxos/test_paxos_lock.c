/* The founder list: compared, locked once, by all; and every reason why there is no cluster. */
#include "tests/unit/paxos/paxos_lone.h"
#include "tests/unit/unit.h"

#include <string.h>

static void asks_every_founder(void)
{
    start(7);
    CU_ASSERT_EQUAL(out.send_count, 6);
    for (uint8_t id = 2; id <= 7; id++) {
        const struct paxos_send *hi = sent(PAXOS_HELLO, id);
        CU_ASSERT(hi->persist == 0 && hi->msg.from == 1 && !hi->msg.locked);
        CU_ASSERT_EQUAL(hi->msg.list, paxos.list);
    }
    CU_ASSERT(out.why == PAXOS_WHY_SILENT && out.about == 2);
    CU_ASSERT_FALSE(out.write);
    /* waits: one to two times the interval, by the random bits */
    CU_ASSERT_EQUAL(out.wait_ns, PAXOS_HELLO_MS * 1000000ull);
    step((struct paxos_in){.event = PAXOS_EV_TIMEOUT, .random = UINT64_MAX});
    CU_ASSERT(out.wait_ns > PAXOS_HELLO_MS * 1000000ull &&
              out.wait_ns < 2 * PAXOS_HELLO_MS * 1000000ull);
    CU_ASSERT_EQUAL(count_sent(PAXOS_HELLO), 6);
}

static void answers_a_question_once(void)
{
    start(3);
    struct paxos_msg msg = hello(2, false);
    msg.kind = PAXOS_HELLO;
    receive(msg);
    CU_ASSERT_EQUAL(out.send_count, 1);
    CU_ASSERT_EQUAL(sent(PAXOS_HELLO_REPLY, 2)->msg.list, paxos.list);
    receive(hello(2, false)); /* an answer is not answered */
    CU_ASSERT_EQUAL(out.send_count, 0);
}

static void locks_when_all_agree(void)
{
    start(3);
    receive(hello(3, false));
    CU_ASSERT(!out.write && out.why == PAXOS_WHY_SILENT && out.about == 2);
    receive(hello(2, true)); /* who has locked it has it, too */
    CU_ASSERT_FATAL(out.write);
    CU_ASSERT_EQUAL(paxos.record.lock, paxos.list);
    CU_ASSERT_EQUAL(paxos.record.incarnation, 11);
    CU_ASSERT(out.why == PAXOS_WHY_UNLOCKED && out.about == 3);
    /* told at once, but not before it is durable; 2's lock is known and not asked for */
    CU_ASSERT(sent(PAXOS_HELLO, 3)->persist == out.persist && sent(PAXOS_HELLO, 3)->msg.locked);
    CU_ASSERT_EQUAL(count_sent(PAXOS_HELLO), 1);
    receive(hello(3, true));
    CU_ASSERT(out.why == PAXOS_WHY_UNLOCKED && out.about == 1); /* the own drive is slow */
    CU_ASSERT_EQUAL(out.wait_ns, 0);
    durable();
    CU_ASSERT(out.why == PAXOS_WHY_MAJORITY && out.about == 0);
    CU_ASSERT_EQUAL(out.wait_ns, PAXOS_WAIT_MS * 1000000ull);
}

/* Nothing is promised before the last lock is known, whoever asks. */
static void no_promise_before_all_locks(void)
{
    agree(3);
    durable();
    receive(hello(2, true));
    CU_ASSERT(out.why == PAXOS_WHY_UNLOCKED && out.about == 3);
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT(out.drop == PAXOS_DROP_EARLY && out.send_count == 0 && !out.write);
    receive(accept_of(2, paxos_ballot(1, 2), 2));
    CU_ASSERT(out.drop == PAXOS_DROP_EARLY && out.send_count == 0 && !out.write);
    timeout(); /* nor proposed */
    CU_ASSERT_EQUAL(out.send_count, 1);
    CU_ASSERT_EQUAL(sent(PAXOS_HELLO, 3)->msg.locked, 1);
    receive(hello(3, true));
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT(out.drop == PAXOS_TAKEN && out.write);
    CU_ASSERT_EQUAL(sent(PAXOS_PROMISE, 2)->persist, out.persist);
}

static void own_lock_must_be_durable(void)
{
    agree(3);
    receive(hello(2, true));
    receive(hello(3, true));
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT(out.drop == PAXOS_DROP_EARLY && out.send_count == 0);
}

/* Another incarnation's word is nobody's, even under the very same list (H1). */
static void a_wiped_founder_is_another(void)
{
    agree(3);
    durable();
    receive(hello(2, true));
    receive_from(hello(3, true), 99);
    CU_ASSERT(out.why == PAXOS_WHY_INCARNATION && out.about == 3);
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_EARLY);
    receive_from(about(PAXOS_PREPARE, 3, paxos_ballot(1, 3)), 99);
    CU_ASSERT_EQUAL(out.drop, PAXOS_DROP_STRANGER);

    /* Once it has locked, that founder has locked for ever: a majority goes on without it, and does
     * not count who came in its place. */
    lock(3);
    receive_from(hello(3, false), 99);
    CU_ASSERT_EQUAL(out.why, PAXOS_WHY_MAJORITY);
    timeout();
    durable();
    receive_from(about(PAXOS_PROMISE, 3, paxos.ballot), 99);
    CU_ASSERT(out.drop == PAXOS_DROP_STRANGER && paxos.phase == PAXOS_PREPARING);
}

/* And the wiped one itself, still configured with the list that names what it was. */
static void a_wiped_founder_locks_nothing(void)
{
    struct paxos_boot boot = boot_of(3);
    boot.incarnation = 99;
    boot.record = (struct paxos_record){.incarnation = 11, .lock = 5}; /* an area not zeroed */
    start_from(&boot);
    CU_ASSERT_EQUAL(paxos.record.lock, 0);
    CU_ASSERT(out.why == PAXOS_WHY_NOT_NAMED && out.about == 0);
    CU_ASSERT_EQUAL(count_sent(PAXOS_HELLO), 2); /* to learn of a cluster */
    receive(hello(2, true));
    receive(hello(3, true));
    CU_ASSERT(!out.write && out.why == PAXOS_WHY_NOT_NAMED);
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT(out.drop == PAXOS_DROP_STRANGER && out.send_count == 0);
    struct paxos_msg msg = about(PAXOS_DECIDED, 2, 0);
    msg.value = list_of(3, 2);
    receive(msg);
    CU_ASSERT(out.why == PAXOS_WHY_CLUSTER_STRANGE && out.about == 2 && !out.write);
}

static void clashing_lists(void)
{
    start(3);
    struct paxos_msg other = hello(2, true);
    other.list++;
    other.founders += 2;
    other.kind = PAXOS_HELLO;
    receive(other);
    CU_ASSERT(out.why == PAXOS_WHY_OTHER_LIST && out.about == 2);
    CU_ASSERT_EQUAL(sent(PAXOS_HELLO_REPLY, 2)->msg.list, paxos.list); /* so that it knows */
    receive(hello(3, true));
    CU_ASSERT_FALSE(out.write);
    receive(hello(2, false)); /* 2 was started anew, with the right one */
    CU_ASSERT(out.write);

    /* ids, addresses and incarnations are all in both hashes */
    const struct genesis list = list_of(3, 1);
    struct genesis changed = list;
    changed.founder[2].incarnation++;
    CU_ASSERT_NOT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
    changed = list;
    changed.founder[2].ip++;
    CU_ASSERT_NOT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
    changed = list;
    changed.founder[2].port++;
    CU_ASSERT_NOT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
    changed = list;
    changed.founder[4] = changed.founder[3];
    memset(&changed.founder[3], 0, sizeof(changed.founder[3]));
    CU_ASSERT_NOT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
    CU_ASSERT_NOT_EQUAL(paxos_founders_hash(&changed), paxos_founders_hash(&list));
    changed = list;
    changed.cluster_id++;
    CU_ASSERT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
}

/* Limits and the first day are agreed on like founders, and named apart from them. */
static void other_limits_lock_nothing(void)
{
    const struct genesis list = list_of(3, 1);
    struct genesis changed = list;
    start(3);
    receive(hello(3, false));
    struct paxos_msg other = hello(2, false);
    changed.lock_delay_max_ms++;
    other.list = paxos_list_hash(&changed);
    other.founders = paxos_founders_hash(&changed);
    receive(other);
    CU_ASSERT(out.why == PAXOS_WHY_OTHER_LIMITS && out.about == 2 && !out.write);
    CU_ASSERT_EQUAL(paxos.said[2], PAXOS_SAID_OTHER_LIMITS);
    changed = list;
    changed.day[3]++;
    CU_ASSERT_NOT_EQUAL(paxos_list_hash(&changed), paxos_list_hash(&list));
    CU_ASSERT_EQUAL(paxos_founders_hash(&changed), paxos_founders_hash(&list));
    receive(hello(2, false));
    CU_ASSERT(out.write);
}

/* A founder that has locked the own list, and speaks under another: no ballot crosses lists. */
static void a_ballot_under_another_list(void)
{
    lock(3);
    struct paxos_msg msg = about(PAXOS_PREPARE, 2, paxos_ballot(1, 2));
    msg.list++;
    receive(msg);
    CU_ASSERT(out.drop == PAXOS_DROP_STRANGER && out.send_count == 0 && !out.write);
    CU_ASSERT(paxos.record.promised == 0 && out.why == PAXOS_WHY_MAJORITY);
    msg.list--;
    receive(msg);
    CU_ASSERT(out.drop == PAXOS_TAKEN && paxos.record.promised == msg.ballot);
}

/* 0 means no list. FNV-1a of these eight bytes is 0, and zeros behind them leave it there. */
static void a_hash_is_never_zero(void)
{
    static const uint8_t bytes[] = {0xd5, 0x6b, 0xb9, 0x53, 0x42, 0x87, 0x08, 0x36};
    struct genesis zeros = {0};
    memcpy(&zeros.founder[1], bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(paxos_list_hash(&zeros), 1);
    CU_ASSERT_EQUAL(paxos_founders_hash(&zeros), 1);
}

static void one_lock_a_format(void)
{
    agree(3);
    durable();
    struct paxos_boot boot = boot_of(2); /* started anew with another list */
    boot.record = paxos.record;
    start_from(&boot);
    CU_ASSERT(out.why == PAXOS_WHY_LOCKED && !out.write);
    uint64_t first = paxos.record.lock;
    CU_ASSERT_NOT_EQUAL(first, paxos.list);
    receive(hello(2, true)); /* of the new list */
    CU_ASSERT(!out.write && paxos.record.lock == first && out.why == PAXOS_WHY_LOCKED);
    receive(about(PAXOS_PREPARE, 2, paxos_ballot(1, 2)));
    CU_ASSERT(out.drop == PAXOS_DROP_STRANGER && out.send_count == 0);
    timeout(); /* it goes on telling the lock that it has */
    CU_ASSERT_EQUAL(out.send_count, 0);
    struct paxos_msg ask = hello(2, true);
    ask.kind = PAXOS_HELLO;
    receive(ask);
    CU_ASSERT(sent(PAXOS_HELLO_REPLY, 2)->msg.list == first && out.send[0].msg.locked);
    boot = boot_of(3); /* the first one again */
    boot.record = paxos.record;
    start_from(&boot);
    CU_ASSERT(out.why == PAXOS_WHY_SILENT && !out.write);
    receive(hello(2, true));
    receive(hello(3, true));
    CU_ASSERT_EQUAL(out.why, PAXOS_WHY_MAJORITY);
}

static void a_cluster_of_others(void)
{
    start(3);
    struct paxos_msg msg = about(PAXOS_DECIDED, 2, 0);
    msg.value = list_of(4, 2); /* names this founder, and one more than the list */
    receive(msg);
    CU_ASSERT(out.why == PAXOS_WHY_CLUSTER_OTHER && out.about == 2);
    CU_ASSERT(out.drop == PAXOS_DROP_STRANGER && !out.write && !paxos.record.decided);
    receive(hello(3, false));
    CU_ASSERT_FALSE(out.write); /* 2 will never lock the list */
    receive(hello(2, false));   /* formatted and started anew since, by its word */
    CU_ASSERT(out.write);
    receive(msg); /* locked: no other list's record, whatever it names */
    CU_ASSERT(!out.write && out.drop == PAXOS_DROP_STRANGER);

    msg.value = list_of(3, 2);
    msg.value.founder[1].incarnation = 12345;
    start(3);
    receive(msg);
    CU_ASSERT(out.why == PAXOS_WHY_CLUSTER_STRANGE && out.about == 2 && !out.write);
}

static void no_list(void)
{
    struct paxos_boot boot = {.id = 1, .incarnation = 11};
    start_from(&boot);
    CU_ASSERT(out.why == PAXOS_WHY_NO_LIST && out.send_count == 0);
    struct paxos_msg msg = hello(2, false);
    msg.kind = PAXOS_HELLO;
    receive(msg);
    CU_ASSERT_EQUAL(sent(PAXOS_HELLO_REPLY, 2)->msg.list, 0);
    timeout();
    CU_ASSERT(out.send_count == 0 && out.wait_ns > 0 && !out.write);
    start(3); /* and what 2 says of that */
    msg = hello(2, false);
    msg.list = 0;
    msg.founders = 0;
    receive(msg);
    CU_ASSERT(out.why == PAXOS_WHY_OTHER_LIST && out.about == 2);
}

static void a_list_of_one(void)
{
    start(1);
    CU_ASSERT(out.write && out.send_count == 0 && out.why == PAXOS_WHY_UNLOCKED && out.about == 1);
    durable();
    CU_ASSERT_EQUAL(out.why, PAXOS_WHY_MAJORITY);
    timeout();
    durable(); /* promise */
    CU_ASSERT(out.write && !out.decided);
    durable(); /* acceptance */
    CU_ASSERT(out.write && !out.decided && paxos.record.decided);
    durable();
    CU_ASSERT(out.decided && out.why == PAXOS_WHY_INSTALLED);
    CU_ASSERT_EQUAL(paxos.record.value.cluster_id, LONE_CLUSTER);
}

static void a_write_fails(void)
{
    agree(3);
    step((struct paxos_in){.event = PAXOS_EV_FAILED});
    CU_ASSERT_EQUAL(out.why, PAXOS_WHY_FAILED);
    receive(hello(2, true));
    timeout();
    CU_ASSERT(out.send_count == 0 && !out.write && out.wait_ns == 0);
    durable();
    CU_ASSERT(out.why == PAXOS_WHY_FAILED && out.send_count == 0);
}

static void every_reason_has_a_word(void)
{
    for (int a = 0; a < PAXOS_WHYS; a++) {
        const char *name = paxos_why_name((enum paxos_why)a);
        CU_ASSERT(name != NULL && strlen(name) > 4);
        for (int b = 0; b < a; b++)
            CU_ASSERT(strcmp(name, paxos_why_name((enum paxos_why)b)) != 0);
    }
    CU_ASSERT_STRING_EQUAL(paxos_why_name(PAXOS_WHYS), "?");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"asks every founder", asks_every_founder},
        {"answers a question once", answers_a_question_once},
        {"locks when all agree", locks_when_all_agree},
        {"no promise before all locks", no_promise_before_all_locks},
        {"the own lock must be durable", own_lock_must_be_durable},
        {"a wiped founder is another (H1)", a_wiped_founder_is_another},
        {"a wiped founder locks nothing (H1)", a_wiped_founder_locks_nothing},
        {"clashing lists", clashing_lists},
        {"a ballot under another list", a_ballot_under_another_list},
        {"other limits lock nothing", other_limits_lock_nothing},
        {"a hash is never zero", a_hash_is_never_zero},
        {"one lock a format (H1)", one_lock_a_format},
        {"a cluster of others", a_cluster_of_others},
        {"no list", no_list},
        {"a list of one", a_list_of_one},
        {"a write fails", a_write_fails},
        {"every reason has a word", every_reason_has_a_word},
        {0}};
    return unit_main("paxos_lock", tests);
}
