/* Transfers that nobody can take, and a leader whose own drive is slow for minutes. */
#include "tests/unit/raft/lone.h"
#include "tests/unit/unit.h"

static void transfers_to_nobody(void)
{
    start(1, 0, 5, 3);
    step((struct raft_in){.event = RAFT_EV_TRANSFER});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_NOT_LEADER);
    lead();
    settle();
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = RAFT_ID_MAX + 1});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_UNKNOWN);
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 200});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_UNKNOWN);
    CU_ASSERT(!raft_hands_over(&raft) && raft.transfer.number == 0);
}

/* A leader of three whose own drive stands at the no-op while `entries` are durable at the others.
 */
static void lead_with_a_slow_drive(uint32_t entries)
{
    start(1, 0, 5, 3);
    lead();
    propose(entries);
    holds_all(2);
    holds_all(3);
    CU_ASSERT_EQUAL(raft.commit, raft.log.last);
}

/* Beats until `ms` in office, the own drive making so many more entries durable each time. */
static void serve_until(uint64_t ms, uint64_t entries, uint64_t flags_2, uint64_t flags_3)
{
    while (raft.role == RAFT_LEADER && !raft_hands_over(&raft) &&
           now_ns + HEARTBEAT_MS * MS <= raft.elected_ns + ms * MS) {
        if (entries > 0)
            step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.durable_lsn + entries});
        beat(flags_2, flags_3);
    }
}

/* A drive that moves all the time, and stays more than a thousand entries behind. */
static void a_drive_that_crawls(void)
{
    lead_with_a_slow_drive(3000);
    serve_until(REST_MS - HEARTBEAT_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 0 && raft.log.last > raft.durable_lsn - 100 + 1024);
    serve_until(REST_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 2);
    lead_with_a_slow_drive(1000); /* the same, within a thousand */
    serve_until(3 * REST_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 0 && raft.role == RAFT_LEADER);
}

/* The drive's lag begins nothing while an operator's transfer is under way, nor where nobody could
 * take the office, nor where the only one that could holds no more. */
static void a_slow_drive_and_nobody_better(void)
{
    lead_with_a_slow_drive(10);
    serve_until(2 * REST_MS, 0, RAFT_UNABLE, RAFT_UNABLE);
    CU_ASSERT(raft.transfer.number == 0 && raft.role == RAFT_LEADER);
    beat(RAFT_UNABLE, 0); /* 3 has room again */
    beat(RAFT_UNABLE, 0);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 3);

    /* of five, the three that hold more have no room */
    struct raft_boot boot = boot_of(1, 0, 5, 3);
    boot.config[0].voters = 0x3e;
    boot.config[0].incarnation[4] = 14;
    boot.config[0].incarnation[5] = 15;
    raft_init(&raft, &boot);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    for (uint8_t id = 2; id <= 3; id++)
        receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                                  .from = id,
                                  .status = 1,
                                  .term = 4,
                                  .probe = raft.probe_next - 1});
    durable();
    for (uint8_t id = 2; id <= 3; id++)
        receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = id, .status = 1, .term = 4});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_LEADER);
    propose(10);
    for (uint8_t id = 2; id <= 4; id++)
        holds_all(id);
    CU_ASSERT(raft.commit == raft.log.last && raft_durable_index(&raft) == 5);
    for (int i = 0; i < 2 * REST_MS / HEARTBEAT_MS; i++) {
        beat(RAFT_UNABLE, RAFT_UNABLE);
        receive(reply(4, raft.peer[4].match, RAFT_UNABLE));
        receive(reply(5, 5, 0));
    }
    CU_ASSERT(raft.role == RAFT_LEADER && raft.transfer.number == 0);
    send_all(5);
    receive(reply(5, 6, 0)); /* one more than the own drive holds: better than nothing */
    beat(RAFT_UNABLE, RAFT_UNABLE);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 5);
}

static void a_slow_drive_during_a_transfer(void)
{
    lead_with_a_slow_drive(10);
    serve_until(REST_MS - 2 * HEARTBEAT_MS, 0, 0, 0);
    propose(1); /* which 3 does not get: the transfer waits */
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 3});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_TAKEN);
    beat(0, 0);
    beat(0, 0);
    beat(0, 0);
    CU_ASSERT(raft_hands_over(&raft) && raft.transfer.to == 3 && raft.transfer.by_drive == 0);
}

/* Each office that a slow drive gave away makes the next rest twice as long, up to 64 times. */
static void rests_grow_to_a_bound(void)
{
    start(1, 0, 5, 3);
    for (uint32_t round = 0; round < RAFT_DRIVE_RESTS_MAX + 3; round++) {
        lead();
        propose(10);
        holds_all(2);
        holds_all(3);
        uint64_t rest = REST_MS << (round < RAFT_DRIVE_RESTS_MAX ? round : RAFT_DRIVE_RESTS_MAX);
        serve_until(rest - HEARTBEAT_MS, 0, 0, 0);
        CU_ASSERT_EQUAL(raft.transfer.by_drive, round);
        serve_until(rest + HEARTBEAT_MS, 0, 0, 0);
        CU_ASSERT_EQUAL(raft.transfer.by_drive, round + 1);
        while (raft.role == RAFT_LEADER) /* told, and not taken */
            beat(0, 0);
        CU_ASSERT_EQUAL(raft.transfer.reason, RAFT_TRANSFER_NOT_TAKEN);
        durable();
    }
}

/* A drive that kept up for twice the rest is well again: the next rest is a short one. */
static void rests_end(void)
{
    lead_with_a_slow_drive(10);
    serve_until(REST_MS, 0, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.drive_rests == 1);
    CU_ASSERT(raft_hands_over(&raft) && raft.transfer.state == RAFT_TRANSFER_TOLD);
    while (raft.role == RAFT_LEADER)
        beat(0, 0);
    CU_ASSERT_FALSE(raft_hands_over(&raft));
    durable();
    lead();
    settle();
    holds_all(3);
    serve_until(4 * REST_MS - HEARTBEAT_MS, 0, 0, 0);
    CU_ASSERT_EQUAL(raft.transfer.drive_rests, 1);
    serve_until(4 * REST_MS, 0, 0, 0);
    CU_ASSERT(raft.role == RAFT_LEADER && raft.transfer.drive_rests == 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"transfers to nobody", transfers_to_nobody},
        {"a drive that crawls", a_drive_that_crawls},
        {"a slow drive and nobody better", a_slow_drive_and_nobody_better},
        {"a slow drive during a transfer", a_slow_drive_during_a_transfer},
        {"rests grow to a bound", rests_grow_to_a_bound},
        {"rests end", rests_end},
        {0}};
    return unit_main("raft_drive", tests);
}
