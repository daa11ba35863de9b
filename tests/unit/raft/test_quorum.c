#include "consensus/raft/quorum.h"
#include "tests/unit/unit.h"

static uint32_t count_of(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

/* A set's majority, said in another way than the code does: more than half of it. */
static bool more_than_half(uint32_t set, uint32_t mask)
{
    return count_of(set & mask) >= count_of(set) / 2 + 1;
}

/* Every pair of old and new voters, every mask: 128 x 128 x 128. */
static void all_masks(void)
{
    uint32_t wrong = 0;
    for (uint32_t old = 0; old < 256; old += 2)
        for (uint32_t new = 0; new < 256; new += 2)
            for (uint32_t mask = 0; mask < 256; mask += 2) {
                const struct raft_config config = {.voters = old, .voters_new = new};
                bool has = old != 0 && more_than_half(old, mask) &&
                           (new == 0 || more_than_half(new, mask));
                wrong += quorum_has(&config, mask) != has;
                wrong += quorum_blocked(&config, 0xfe & ~mask) == has;
            }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* Two quorums of one configuration share a member: else two leaders, two histories. */
static void quorums_meet(void)
{
    uint32_t wrong = 0;
    for (uint32_t old = 2; old < 256; old += 2)
        for (uint32_t a = 0; a < 256; a += 2)
            for (uint32_t b = 0; b < 256; b += 2) {
                const struct raft_config config = {.voters = old};
                wrong += quorum_has(&config, a) && quorum_has(&config, b) && (a & b & old) == 0;
            }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* quorum_reached is the greatest v such that those at or above v are a quorum. */
static void reached_is_greatest(void)
{
    uint32_t wrong = 0;
    uint64_t random = 88172645463325252u;
    for (uint32_t round = 0; round < 200000; round++) {
        uint64_t values[RAFT_ID_MAX + 1] = {0};
        for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            values[id] = random % 6;
        }
        const struct raft_config config = {.voters = (uint32_t)(random >> 20) & 0xfe,
                                           .voters_new =
                                               round % 2 ? (uint32_t)(random >> 30) & 0xfe : 0,
                                           .learners = 0xfe};
        uint64_t reached = quorum_reached(&config, values);
        uint32_t there = 0;
        uint32_t beyond = 0;
        for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
            there |= (uint32_t)(values[id] >= reached) << id;
            beyond |= (uint32_t)(values[id] > reached) << id;
        }
        if (config.voters == 0)
            wrong += reached != 0;
        else
            wrong += !quorum_has(&config, there) || quorum_has(&config, beyond);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void by_hand(void)
{
    const struct raft_config three = {.voters = 0x0e, .learners = 0xf0};
    CU_ASSERT_FALSE(quorum_has(&three, 0xf2)); /* learners do not count */
    CU_ASSERT_TRUE(quorum_has(&three, 0x06));
    CU_ASSERT_FALSE(quorum_blocked(&three, 0x02));
    CU_ASSERT_TRUE(quorum_blocked(&three, 0x06));
    const uint64_t values[RAFT_ID_MAX + 1] = {99, 7, 5, 3, 99, 99, 99, 99};
    CU_ASSERT_EQUAL(quorum_reached(&three, values), 5);
    const struct raft_config four = {.voters = 0x1e}; /* 7 5 3 99: three of four have 5 */
    CU_ASSERT_EQUAL(quorum_reached(&four, values), 5);
    const struct raft_config joint = {.voters = 0x02, .voters_new = 0x08};
    CU_ASSERT_EQUAL(quorum_reached(&joint, values), 3);
    CU_ASSERT_FALSE(quorum_has(&joint, 0x02));
    CU_ASSERT_TRUE(quorum_has(&joint, 0x0a));
    CU_ASSERT_TRUE(quorum_blocked(&joint, 0x08));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"every configuration, joint ones too, and every mask", all_masks},
        {"two quorums share a member", quorums_meet},
        {"what a quorum has reached is the greatest such value", reached_is_greatest},
        {"learners, even numbers, joint sets by hand", by_hand},
        {0}};
    return unit_main("quorum", tests);
}
