/* Edges of membership that the transcripts do not reach: many changes in one packet, what a start
 * finds in the log, a configuration that cannot be right, an old incarnation under a reused id. */
#include "consensus/raft/raft.h"
#include "tests/unit/unit.h"

#include <string.h>

static const uint64_t MS = 1000000;

static struct raft raft; /* the replica under test: id 1, incarnation 11 */
static struct raft_out out;
static uint64_t now_ns;

static struct raft_config config_at(uint64_t index, uint32_t voters, uint32_t voters_new,
                                    uint32_t learners)
{
    struct raft_config config = {
        .voters = voters, .voters_new = voters_new, .learners = learners, .index = index};
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (((voters | voters_new | learners) >> id & 1) != 0)
            config.incarnation[id] = 10u + id;
    return config;
}

static void start(uint64_t entries, const struct raft_config *configs, uint32_t count)
{
    struct raft_boot boot = {.id = 1,
                             .term = 1,
                             .durable_lsn = 100,
                             .now_ns = now_ns = 1000 * MS,
                             .incarnation = 11,
                             .config_count = count,
                             .options = {.election_min_ns = 100 * MS,
                                         .heartbeat_ns = 10 * MS,
                                         .stall_ns = 300 * MS,
                                         .flights = 4,
                                         .flight_bytes = 4096}};
    memcpy(boot.config, configs, count * sizeof(configs[0]));
    raft_log_init(&boot.log, 1, 0);
    if (entries > 0)
        raft_log_append(&boot.log, 1, entries);
    raft_init(&raft, &boot);
}

static void step(struct raft_in in)
{
    in.now_ns = now_ns;
    raft_step(&raft, &in, &out);
}

static void append(uint64_t term, uint64_t prev, uint32_t count, const struct raft_config *configs,
                   uint32_t config_count)
{
    step((struct raft_in){.event = RAFT_EV_RECV,
                          .msg = {.kind = RAFT_APPEND,
                                  .from = 2,
                                  .to = 1,
                                  .term = term,
                                  .prev_index = prev,
                                  .prev_term = prev > 0,
                                  .entry_term = term,
                                  .count = count,
                                  .probe = prev + count},
                          .incarnation = 12,
                          .space = true,
                          .config = configs,
                          .config_count = config_count});
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
}

/* A new leader knows of no commit, and its packet is full of changes: each proves the one before.
 */
static void many_changes_in_one_packet(void)
{
    enum { CHANGES = 20 };
    struct raft_config configs[CHANGES];
    for (uint32_t i = 0; i < CHANGES; i++)
        configs[i] = config_at(i + 2, 0x0e, 0, i % 2 == 0 ? 0x10 : 0);
    const struct raft_config genesis = config_at(0, 0x0e, 0, 0);
    start(0, &genesis, 1);
    append(1, 0, CHANGES + 1, configs, CHANGES);
    CU_ASSERT_EQUAL(raft.log.last, CHANGES + 1);
    CU_ASSERT_EQUAL(raft.config.index, CHANGES + 1);
    CU_ASSERT_EQUAL(raft.commit, CHANGES);
    CU_ASSERT_EQUAL(raft.config.learners, 0);

    append(2, CHANGES, 1, NULL, 0); /* the next leader never saw the last one */
    CU_ASSERT_EQUAL(out.truncate_from, 0);
    CU_ASSERT_EQUAL(raft.config.index, CHANGES);
    CU_ASSERT_EQUAL(raft.config.learners, 0x10);
    append(2, CHANGES - 2, 1, NULL, 0); /* below what is proven: no truncation, whoever asks */
    CU_ASSERT_EQUAL(raft.log.last, CHANGES + 1);
}

/* The last two of many: the one proves the other, whatever the pages said of commits. */
static void a_start_finds_two(void)
{
    const struct raft_config configs[] = {config_at(70, 0x0e, 0, 0x10), config_at(80, 0x0e, 0, 0)};
    start(90, configs, 2);
    CU_ASSERT_EQUAL(raft.config.index, 80);
    CU_ASSERT_EQUAL(raft.previous.index, 70);
    CU_ASSERT_EQUAL(raft.commit, 70);
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 70);
}

static void no_valid_configuration_is_stored(void)
{
    const struct raft_config genesis = config_at(0, 0x0e, 0, 0);
    struct raft_config bad[6];
    for (uint32_t i = 0; i < 6; i++)
        bad[i] = config_at(1, 0x0e, 0, 0x10);
    bad[0].voters = 0;
    bad[1].learners = 0x12; /* a voter, too */
    bad[2].incarnation[3] = 0;
    bad[3].incarnation[5] = 15; /* of nobody */
    bad[4].voters |= 1;         /* no id */
    bad[5].voters_new = 0x1e;   /* 4 would be a new voter and a learner */
    for (uint32_t i = 0; i < 6; i++) {
        start(0, &genesis, 1);
        append(1, 0, 1, &bad[i], 1);
        CU_ASSERT_EQUAL(raft.log.last, 0);
        CU_ASSERT_EQUAL(raft.config.index, 0);
    }
    struct raft_config good = config_at(1, 0x0e, 0x1c, 0x02); /* 1 stays as a learner */
    start(0, &genesis, 1);
    append(1, 0, 1, &good, 1);
    CU_ASSERT_EQUAL(raft.config.index, 1);
    CU_ASSERT(raft_is_voter(&raft));
}

/* Pitfall 4: its id was removed, came back as another incarnation and is to be promoted; what this
 * one votes for itself must not stand for the other's vote. */
static void a_reused_id_is_somebody_else(void)
{
    struct raft_config configs[] = {config_at(0, 0x0e, 0, 0), config_at(1, 0x0e, 0x0c, 0),
                                    config_at(2, 0x0c, 0, 0), config_at(3, 0x0c, 0, 0x02),
                                    config_at(4, 0x0c, 0x0e, 0)};
    configs[3].incarnation[1] = configs[4].incarnation[1] = 99;
    for (uint32_t known = 2; known <= 5; known++) {
        start(4, &configs[known - 2], 2);
        CU_ASSERT_EQUAL(raft_is_voter(&raft), known == 2);
        now_ns = raft.timeout_at_ns;
        step((struct raft_in){.event = RAFT_EV_TICK});
        bool campaigns = known <= 3; /* the final configuration may be its alone (4.2.2) */
        CU_ASSERT_EQUAL(raft.role, campaigns ? RAFT_PRECANDIDATE : RAFT_FOLLOWER);
        CU_ASSERT_EQUAL(out.send_count, campaigns ? 2 : 0);
    }
}

/* 4.2.2: whoever campaigns outside the configuration in force needs the others' majority. */
static void own_vote_outside_the_configuration(void)
{
    const struct raft_config configs[] = {config_at(1, 0x1e, 0x0c, 0), config_at(2, 0x0c, 0, 0)};
    start(2, configs, 2);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    struct raft_msg grant = {.kind = RAFT_PREVOTE_REPLY,
                             .from = 2,
                             .to = 1,
                             .status = 1,
                             .term = 2,
                             .probe = raft.probe_next - 1};
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 12});
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    grant.from = 3;
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 99});
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 13});
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
    grant.kind = RAFT_VOTE_REPLY;
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 13});
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
    grant.from = 4; /* a voter of the old configuration: counts no more */
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 14});
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
    grant.from = 2;
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = grant, .incarnation = 12});
    CU_ASSERT_EQUAL(raft.role, RAFT_LEADER);
}

/* H5: whatever denials say, what is committed is not given up. */
static void what_is_committed_stays(void)
{
    const struct raft_config configs[] = {config_at(1, 0x0e, 0, 0), config_at(2, 0x0e, 0, 0)};
    start(3, configs, 2);
    struct raft_msg msg = {.kind = RAFT_APPEND,
                           .from = 2,
                           .to = 1,
                           .term = 1,
                           .prev_index = 3,
                           .prev_term = 1,
                           .commit = 3,
                           .probe = 1};
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = msg, .incarnation = 12, .space = true});
    CU_ASSERT_EQUAL(raft.commit, 3);
    step((struct raft_in){.event = RAFT_EV_HOLE, .index = 1});
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    msg = (struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                            .from = 2,
                            .to = 1,
                            .status = 1,
                            .term = 2,
                            .probe = raft.probe_next - 1};
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = msg, .incarnation = 12});
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
    msg.kind = RAFT_VOTE_REPLY;
    step((struct raft_in){.event = RAFT_EV_RECV, .msg = msg, .incarnation = 12});
    CU_ASSERT(raft.role == RAFT_LEADER && raft.settling == 1);
    for (uint8_t id = 2; id <= 3; id++) {
        msg = (struct raft_msg){.kind = RAFT_FETCH_REPLY,
                                .from = id,
                                .to = 1,
                                .term = 2,
                                .prev_index = 1,
                                .prev_term = 1};
        step((struct raft_in){.event = RAFT_EV_RECV, .msg = msg, .incarnation = 10u + id});
    }
    CU_ASSERT_EQUAL(raft.hole_denied, 0x0c);
    CU_ASSERT(raft.role == RAFT_LEADER && raft.settling == 1);
    CU_ASSERT(raft.hole == 1 && raft.log.last == 3);
}

/* H4: heads state the newest configuration that is known of, as long as a hole may hide it. */
static void a_hidden_configuration_is_stated(void)
{
    const struct raft_config configs[] = {config_at(1, 0x0e, 0, 0), config_at(2, 0x0e, 0, 0)};
    start(9, configs, 2);
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 2);
    raft.config_stated = 7;
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 2); /* nothing is lost: that one is superseded */
    raft.hole = 8;
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 2);
    raft.hole = 5;
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 7);
    raft.config.index = 7;
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 7);
}

static void hole(uint64_t index)
{
    step((struct raft_in){.event = RAFT_EV_HOLE, .index = index});
}

static void time_comes(void)
{
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
}

/* H4: what was in force while nothing was lost is known, whatever the drive spoke of at the start
 * and has cut away since, and whatever is lost now. */
static void what_was_read_is_known(void)
{
    const struct raft_config configs[] = {config_at(1, 0x0e, 0, 0), config_at(2, 0x0e, 0, 0)};
    start(9, configs, 2);
    raft.config_stated = 7;
    raft.hole = 5;
    time_comes();
    CU_ASSERT_EQUAL(raft.role, RAFT_FOLLOWER);
    hole(4);
    time_comes();
    CU_ASSERT_EQUAL(raft.role, RAFT_FOLLOWER);
    hole(0);
    hole(5);
    CU_ASSERT_EQUAL(raft_config_stated(&raft), 2);
    time_comes();
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    hole(1); /* the configuration itself is lost, and in force all the same */
    time_comes();
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
}

/* Who alone decides has nobody to deny what it lost: it asks, and spends no terms on offices. */
static void alone_with_a_hole(void)
{
    const struct raft_config configs[] = {config_at(1, 0x0e, 0x02, 0), config_at(3, 0x02, 0, 0)};
    start(4, configs, 2);
    hole(2);
    time_comes();
    CU_ASSERT(raft.role == RAFT_FOLLOWER && raft.term == 1);
    hole(0);
    time_comes();
    CU_ASSERT(raft.role == RAFT_CANDIDATE && raft.term == 2);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"twenty changes in one packet", many_changes_in_one_packet},
        {"a start finds two configurations", a_start_finds_two},
        {"what is no configuration is not stored", no_valid_configuration_is_stored},
        {"a reused id is somebody else (pitfall 4)", a_reused_id_is_somebody_else},
        {"the own vote outside the configuration (4.2.2)", own_vote_outside_the_configuration},
        {"what is committed is never given up (H5)", what_is_committed_stays},
        {"a hidden configuration is stated (H4)", a_hidden_configuration_is_stated},
        {"what was read once is known (H4)", what_was_read_is_known},
        {"alone with a hole", alone_with_a_hole},
        {0}};
    return unit_main("raft_config", tests);
}
