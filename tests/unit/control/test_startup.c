/* Start-up: what it refuses and says, what it replays, and that a boot never comes twice. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include "dataplane/crc32c.h"

#include <stdlib.h>
#include <string.h>

static void starts_and_logs_its_boot(void)
{
    struct bench *b = bench_new(1);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL(b->node[1].start.boot, 1);
    CU_ASSERT_NOT_EQUAL(b->node[1].start.boot_id, 0);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    bench_run(b, 100);
    const struct machine *m = control_machine(b->node[1].start.control);
    CU_ASSERT_EQUAL(m->boot[1], 1);
    CU_ASSERT_EQUAL(m->boot_id[1], b->node[1].start.boot_id);
    bench_free(b);
}

static void each_start_has_another_boot(void)
{
    struct bench *b = bench_new(1);
    uint64_t ids[4];
    for (uint64_t boot = 1; boot <= 4; boot++) {
        CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
        CU_ASSERT_EQUAL(b->node[1].start.boot, boot);
        ids[boot - 1] = b->node[1].start.boot_id;
        for (uint64_t i = 0; i + 1 < boot; i++)
            CU_ASSERT_NOT_EQUAL(ids[i], ids[boot - 1]);
        bench_kill(b, 1); /* killed before its first turn: the boot page alone was written */
    }
    bench_free(b);
}

static void no_packet_before_the_boot_is_durable(void)
{
    /* H2: killed between the first packet and its boot page, the next start would be the same boot.
     */
    struct bench *b = bench_new(1);
    b->node[1].store.hold = false;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL(b->node[1].port.sent, 0);
    CU_ASSERT_TRUE(ring_boot_durable(b->node[1].start.ring));
    bench_free(b);
}

/* Days ended and begun: log entries with an outcome. */
static void write_days(struct bench *b, uint32_t leader, uint32_t count)
{
    char name[KEEL_DAY_NAME_SIZE + 1] = "DAY1      ";
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(bench_day_end(b, leader, name).result, CONTROL_APPLIED);
        struct entry_day body;
        memset(&body, 0, sizeof(body));
        name[3] = (char)('A' + i % 26);
        name[4] = (char)('A' + i / 26);
        memcpy(body.name, name, sizeof(body.name));
        struct control_reply reply = bench_ask(b, leader, ENTRY_DAY_BEGIN, &body, sizeof(body));
        CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
        CU_ASSERT_EQUAL(reply.status, MACHINE_SEQUENCED);
    }
}

static void replays_the_committed_log(void)
{
    struct bench *b = bench_new(1);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    write_days(b, 1, 10);
    bench_run(b, 50);
    uint64_t applied = bench_status(b, 1).applied;
    bench_kill(b, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    /* committed up to what some page states, which the last of them may not */
    const struct machine *m = control_machine(b->node[1].start.control);
    CU_ASSERT_EQUAL(b->node[1].start.checkpoint_index, 0);
    CU_ASSERT_EQUAL(b->node[1].start.replayed, m->applied);
    CU_ASSERT_TRUE(m->applied > 10 && m->applied <= applied);
    CU_ASSERT_EQUAL(m->digest, b->digest_at[m->applied]);
    CU_ASSERT_EQUAL(b->node[1].start.replica->machine->digest, m->digest);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    CU_ASSERT_TRUE(m->applied > applied);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

static void continues_from_a_checkpoint(void)
{
    struct bench *b = bench_new(1);
    b->tweak.control.checkpoint_pages = 8;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    write_days(b, 1, 40);
    bench_run(b, 50);
    struct control_status c = bench_control(b, 1);
    CU_ASSERT_TRUE(c.checkpoints > 2);
    CU_ASSERT_TRUE(c.checkpoint_index[1] > 0 && c.checkpoint_index[1] < c.checkpoint_index[0]);
    bench_kill(b, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL(b->node[1].start.checkpoint_index, c.checkpoint_index[0]);
    CU_ASSERT_TRUE(b->node[1].start.replayed < 20);
    const struct machine *m = control_machine(b->node[1].start.control);
    CU_ASSERT_EQUAL(m->digest, b->digest_at[m->applied]);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

static void refuses_another_replicas_ring(void)
{
    struct bench *b = bench_new(2);
    b->tweak.id = 2;
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "formatted for replica 1"));
    bench_free(b);
}

static void h3_members_must_equal_genesis(void)
{
    /* H3: two servers with differing files disagree on who votes. */
    struct bench *b = bench_new(2);
    b->tweak.member_count = 2;
    memcpy(b->tweak.member, b->genesis.founder, sizeof(b->tweak.member));
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_OK);
    bench_kill(b, 1);
    b->tweak.member[2].port++;
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "[members] 2"));
    b->tweak.member[2] = (struct genesis_founder){0};
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_CONFIG);
    b->tweak.member[2] = b->genesis.founder[2];
    b->tweak.member[3] = (struct genesis_founder){.ip = 1, .port = 1};
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "[members] 3"));
    b->tweak.member_count = 0;
    b->tweak.ip = 0x0a0000ff;
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "[network]"));
    bench_free(b);
}

static void names_what_is_missing(void)
{
    struct bench *b = bench_new(1);
    memset(b->node[1].store.bytes + (size_t)RING_GENESIS_BLOCK * DISK_BLOCK, 0, 2 * DISK_BLOCK);
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_NO_GENESIS);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "keelctl genesis install"));
    memset(b->node[1].store.bytes, 0, b->node[1].store.size);
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_NO_RING);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[1].problem, "keeld format"));
    bench_free(b);
}

/* A bit of the page that holds entry 3 flips while the replica rests. Its last page. */
static uint64_t damage_entry_3(struct bench *b, uint32_t id, struct ring_super *super)
{
    struct ring_stats stats;
    uint64_t page = ring_page_of(b->node[id].start.ring, 3);
    ring_stats(b->node[id].start.ring, &stats);
    *super = b->node[id].start.super;
    bench_kill(b, id);
    b->node[id].store.bytes[ring_slot_offset(super, page) + RING_HEAD_SIZE + 50] ^= 4;
    return stats.tail_page - 1;
}

/* `what` and `why` are said, and every byte stays. */
static void start_is_refused(struct bench *b, uint32_t id, const char *what, const char *why)
{
    uint8_t *before = malloc(b->node[id].store.size);
    memcpy(before, b->node[id].store.bytes, b->node[id].store.size);
    CU_ASSERT_EQUAL(bench_start(b, id), STARTUP_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[id].problem, what));
    CU_ASSERT_PTR_NOT_NULL(strstr(b->node[id].problem, why));
    CU_ASSERT_EQUAL(memcmp(before, b->node[id].store.bytes, b->node[id].store.size), 0);
    free(before);
}

static void damage_refuses_the_start(void)
{
    /* Never a shorter log. The only member finds nobody who could give the entry back. */
    struct bench *b = bench_new(1);
    struct ring_super super;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    write_days(b, 1, 5);
    bench_run(b, 50);
    uint64_t last_page = damage_entry_3(b, 1, &super);
    start_is_refused(b, 1, "damaged", "the only member");
    /* the head of the very last page: term or vote may be lost with it */
    b->node[1].store.bytes[ring_slot_offset(&super, last_page) + 40] ^= 4;
    start_is_refused(b, 1, "damaged", "term and vote perhaps");
    bench_free(b);
}

/* A newer program ran on this ring, and an older one is started again: whatever that one wrote in a
 * form of its own refuses the start, where damage would be repaired, or another copy taken. */
static void another_version_refuses_the_start(void)
{
    static const char wrote[] = "start the program that wrote it";
    struct bench *b = bench_new(3);
    b->tweak.control.checkpoint_pages = 8;
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    uint32_t leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(leader, 0);
    write_days(b, leader, 40);
    bench_run(b, 50);
    struct control_status c = bench_control(b, leader);
    CU_ASSERT_TRUE_FATAL(c.checkpoint_index[1] > 0);
    struct ring_super super = b->node[leader].start.super;
    uint64_t page = ring_page_of(b->node[leader].start.ring, c.checkpoint_index[0]);
    bench_kill(b, leader);

    uint8_t *bytes = b->node[leader].store.bytes;
    struct ring_page *in_the_middle = (void *)(bytes + ring_slot_offset(&super, page));
    in_the_middle->version = 2;
    ring_page_finish(in_the_middle);
    start_is_refused(b, leader, "is of version 2, this program knows 1", wrote);
    in_the_middle->version = RING_VERSION;
    ring_page_finish(in_the_middle);

    /* the state in the newer checkpoint; the older one is a good one */
    unsigned area = 0;
    struct ring_checkpoint *head;
    do
        head = (void *)(bytes + ring_checkpoint_offset(&super, area++));
    while (head->index != c.checkpoint_index[0] && area < 2); /* bound: areas */
    uint32_t *version = (void *)((uint8_t *)head + RING_PAGE_SIZE + 8);
    CU_ASSERT_EQUAL_FATAL(*version, MACHINE_ENCODING_VERSION);
    *version = MACHINE_ENCODING_VERSION + 1;
    head->body_crc = crc32c((uint8_t *)head + RING_PAGE_SIZE, head->size);
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    start_is_refused(b, leader, "is of version 7, this program knows 6", wrote);
    *version = MACHINE_ENCODING_VERSION;
    head->body_crc = crc32c((uint8_t *)head + RING_PAGE_SIZE, head->size);
    head->version = 2;
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    start_is_refused(b, leader, "is of version 2, this program knows 1", wrote);
    head->version = RING_VERSION;
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));

    struct ring_super *second = (void *)(bytes + RING_PAGE_SIZE);
    second->version = 2;
    second->crc = crc32c(second, offsetof(struct ring_super, crc));
    start_is_refused(b, leader, "the superblock is of version 2, this program knows 1", wrote);
    second->version = RING_VERSION;
    ring_super_finish(second);

    struct genesis *first = (void *)(bytes + (size_t)RING_GENESIS_BLOCK * RING_PAGE_SIZE);
    first->version = 3;
    first->crc = crc32c(first, offsetof(struct genesis, crc));
    start_is_refused(b, leader, "the genesis record is of version 3, this program knows 2", wrote);
    first->version = GENESIS_VERSION;
    first->crc = crc32c(first, offsetof(struct genesis, crc));
    CU_ASSERT_EQUAL(bench_start(b, leader), STARTUP_OK);
    bench_free(b);
}

/* What is lost is known, and nobody is up who has it: the replica starts, applies nothing across
 * it, and takes no office that it could not keep (H5). */
static void known_damage_starts(void)
{
    struct bench *b = bench_new(3);
    struct ring_super super;
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    uint32_t leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(leader, 0);
    write_days(b, leader, 5);
    bench_run(b, 50);
    uint64_t last = bench_status(b, leader).last_index;
    for (uint32_t id = 1; id <= 3; id++)
        if (id != leader)
            bench_kill(b, id);
    damage_entry_3(b, leader, &super);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, leader), STARTUP_OK);
    CU_ASSERT_EQUAL(b->node[leader].start.lost_pages, 1);
    bench_run(b, 1000);
    struct replica_status s = bench_status(b, leader);
    CU_ASSERT_TRUE(s.hole > 0 && s.hole <= 3); /* the page may hold entries before it, too */
    CU_ASSERT_EQUAL(s.applied, s.hole - 1);
    CU_ASSERT_EQUAL(s.durable_index, s.hole - 1);
    CU_ASSERT_EQUAL(s.ring.holes, 1);
    CU_ASSERT_TRUE(s.last_index >= last);
    CU_ASSERT_NOT_EQUAL(s.role, RAFT_LEADER);
    bench_free(b);
}

/* Asks for other members in the place of those in force. */
static void ask_for(struct bench *b, uint32_t id, const struct entry_config *wanted)
{
    struct control_request request = {.tag = 1,
                                      .was = bench_status(b, id).config_index,
                                      .entry_kind = ENTRY_CONFIG,
                                      .size = sizeof(*wanted)};
    memcpy(request.body, wanted, sizeof(*wanted));
    CU_ASSERT_TRUE_FATAL(control_ask(b->node[id].start.control, &request));
}

static bool same_config(struct bench *b, uint32_t id, const struct entry_config *config,
                        uint64_t index)
{
    struct replica_status s = bench_status(b, id);
    const struct raft *raft = &b->node[id].start.replica->raft;
    return s.config_index == index && memcmp(&s.config, config, sizeof(*config)) == 0 &&
           raft->config.index == index && raft->config.voters == config->voters &&
           raft->config.voters_new == config->voters_new &&
           raft->config.learners == config->learners;
}

/* 4.1: a joint configuration behind a checkpoint, not committed: a start takes the members that the
 * checkpoint has, and follows the joint ones that are in the log behind it. When the log is cut
 * back, what the checkpoint has returns, with addresses, and stays at the next start. */
static void an_uncommitted_configuration_is_undone(void)
{
    struct bench *b = bench_new(3);
    b->tweak.control.checkpoint_pages = 8;
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    uint32_t leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(leader, 0);
    struct entry_config learner = bench_status(b, leader).config;
    learner.learners = 1u << 4;
    learner.member[4] = (struct entry_member){.incarnation = 444, .ip = 0x0a000004, .port = 7404};
    ask_for(b, leader, &learner);
    bench_run(b, 50);
    struct control_reply reply;
    CU_ASSERT_TRUE_FATAL(control_answer(b->node[leader].start.control, &reply));
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    write_days(b, leader, 40);
    bench_run(b, 50);
    uint64_t committed = bench_status(b, leader).config_index;
    CU_ASSERT_TRUE_FATAL(committed > 0 && same_config(b, leader, &learner, committed));
    CU_ASSERT_TRUE(bench_control(b, leader).checkpoint_index[1] > committed);

    b->node[leader].cut = true;
    struct entry_config fewer = learner;
    uint32_t leaves = leader % 3 + 1;
    fewer.voters &= ~(1u << leaves);
    memset(&fewer.member[leaves], 0, sizeof(fewer.member[leaves]));
    ask_for(b, leader, &fewer);
    bench_run(b, 20);
    struct replica_status s = bench_status(b, leader);
    uint64_t joint = s.config_index;
    const struct entry_config uncommitted = s.config;
    CU_ASSERT_TRUE_FATAL(joint > committed && joint > s.commit && uncommitted.voters_new != 0);
    bench_kill(b, leader);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, leader), STARTUP_OK);
    const struct startup *start = &b->node[leader].start;
    CU_ASSERT_TRUE(start->checkpoint_index > committed && start->checkpoint_index < joint);
    CU_ASSERT_EQUAL(start->tail_configs.count, 1);
    CU_ASSERT_EQUAL(start->tail_configs.at[0].index, joint);
    bench_run(b, 300);
    CU_ASSERT_TRUE(same_config(b, leader, &uncommitted, joint));
    CU_ASSERT_EQUAL(start->replica->raft.previous.index, committed);

    b->node[leader].cut = false; /* the others have a leader since, whose no-op lies there */
    bench_run(b, 2000);
    CU_ASSERT_TRUE(bench_status(b, leader).commit >= joint);
    CU_ASSERT_TRUE(same_config(b, leader, &learner, committed));
    bench_kill(b, leader);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, leader), STARTUP_OK);
    bench_run(b, 300);
    CU_ASSERT_EQUAL(start->tail_configs.count, 0);
    CU_ASSERT_TRUE(same_config(b, leader, &learner, committed));
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

static void a_dead_drive_fails_the_start(void)
{
    struct bench *b = bench_new(1);
    b->node[1].store.bad_from = 0;
    b->node[1].store.bad_size = b->node[1].store.size;
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_FAILED);
    CU_ASSERT_TRUE(b->node[1].problem[0] != '\0');
    bench_free(b);
}

static void a_boot_page_that_fails_is_said(void)
{
    struct bench *b = bench_new(1);
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_OK);
    bench_kill(b, 1);
    uint64_t operations = b->node[1].store.operations;
    /* recovery reads; the first write after it is the boot page's: find it by failing each in turn
     */
    bool seen = false;
    for (uint64_t k = 1; k < 4000 && !seen; k++) {
        b->node[1].store.operations = operations;
        b->node[1].store.fail_at = operations + k;
        enum startup_result result = bench_start(b, 1);
        if (result == STARTUP_OK)
            bench_kill(b, 1);
        else
            CU_ASSERT_EQUAL(result, STARTUP_FAILED);
        seen = result == STARTUP_OK; /* past the start's own operations */
    }
    CU_ASSERT_TRUE(seen);
    b->node[1].store.fail_at = 0;
    CU_ASSERT_EQUAL(bench_start(b, 1), STARTUP_OK);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a first start leads and logs its boot", starts_and_logs_its_boot},
        {"each start has another boot and boot id", each_start_has_another_boot},
        {"H2: no packet leaves before the boot is durable", no_packet_before_the_boot_is_durable},
        {"the committed log is replayed", replays_the_committed_log},
        {"a start continues from the newest checkpoint", continues_from_a_checkpoint},
        {"another replica's ring is refused", refuses_another_replicas_ring},
        {"H3: members that differ from genesis are a start error", h3_members_must_equal_genesis},
        {"no ring and no genesis are told apart", names_what_is_missing},
        {"damage refuses the start and changes nothing", damage_refuses_the_start},
        {"another version refuses the start and changes nothing",
         another_version_refuses_the_start},
        {"known damage starts and takes no office", known_damage_starts},
        {"4.1: an uncommitted configuration behind a checkpoint is undone",
         an_uncommitted_configuration_is_undone},
        {"an unreadable drive fails the start", a_dead_drive_fails_the_start},
        {"each operation of a start may fail, none in silence", a_boot_page_that_fails_is_said},
        {0}};
    return unit_main("startup", tests);
}
