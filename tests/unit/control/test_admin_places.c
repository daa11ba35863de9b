/* Who gets into the admin socket: rights by user and group, places by right, who gives way, and
 * what a connection may take of the daemon's time.
 */
#include "control/admin_places.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOW = 100000, OLD = ADMIN_YOUNG_MS, NOBODY = ADMIN_CONNECTIONS_MAX };

/* --- rights
 * ---------------------------------------------------------------------------------------- */

static enum admin_right right_of(const struct admin_rights *rights, uid_t uid, gid_t gid,
                                 gid_t second)
{
    struct admin_peer peer = {.uid = uid, .gid = gid, .group_count = 1, .group = {second}};
    return admin_right_of(rights, &peer);
}

static int opened(struct admin_rights *rights, const char *group, const char *users,
                  const char *read_group, const char *read_users, char *problem)
{
    struct config config;
    memset(&config, 0, sizeof(config));
    strcpy(config.group, group);
    strcpy(config.users, users);
    strcpy(config.read_group, read_group);
    strcpy(config.read_users, read_users);
    int rc = admin_rights_open(rights, &config, problem);
    rights->own = 5000;
    return rc;
}

static void rights_by_user_and_group(void)
{
    struct admin_rights r;
    char problem[CONFIG_PROBLEM_SIZE] = "";
    CU_ASSERT_EQUAL_FATAL(opened(&r, "700", "root, 1001 1002", "800", "1003", problem), 0);
    static const struct {
        uid_t uid;
        gid_t gid, second;
        enum admin_right right;
    } cases[] = {
        {0, 1, 1, ADMIN_RIGHT_OWNER},       {5000, 1, 1, ADMIN_RIGHT_OWNER},
        {1001, 1, 1, ADMIN_RIGHT_CHANGE},   {1002, 800, 1, ADMIN_RIGHT_CHANGE},
        {1003, 1, 1, ADMIN_RIGHT_READ},     {1003, 1, 700, ADMIN_RIGHT_CHANGE},
        {2000, 700, 1, ADMIN_RIGHT_CHANGE}, {2000, 1, 700, ADMIN_RIGHT_CHANGE},
        {2000, 800, 1, ADMIN_RIGHT_READ},   {2000, 1, 800, ADMIN_RIGHT_READ},
        {2000, 1, 1, ADMIN_RIGHT_NONE},     {700, 1, 1, ADMIN_RIGHT_NONE},
        {800, 0, 0, ADMIN_RIGHT_NONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_EQUAL(right_of(&r, cases[i].uid, cases[i].gid, cases[i].second), cases[i].right);
}

static void everybody_looks_where_no_reader_is_named(void)
{
    struct admin_rights r;
    char problem[CONFIG_PROBLEM_SIZE] = "";
    CU_ASSERT_EQUAL_FATAL(opened(&r, "", "", "", "", problem), 0);
    CU_ASSERT_EQUAL(right_of(&r, 2000, 0, 0), ADMIN_RIGHT_READ);
    CU_ASSERT_EQUAL(right_of(&r, 0, 9, 9), ADMIN_RIGHT_OWNER);
    CU_ASSERT_EQUAL_FATAL(opened(&r, "", "", "", "1003", problem), 0);
    CU_ASSERT_EQUAL(right_of(&r, 2000, 0, 0), ADMIN_RIGHT_NONE);
    CU_ASSERT_EQUAL_FATAL(opened(&r, "", "", "800", "", problem), 0);
    CU_ASSERT_EQUAL(right_of(&r, 2000, 0, 0), ADMIN_RIGHT_NONE);
}

static void unknown_names_are_named(void)
{
    struct admin_rights r;
    char problem[CONFIG_PROBLEM_SIZE] = "";
    static const char *const names[4][4] = {{"no.such", "", "", ""},
                                            {"", "root no.such", "", ""},
                                            {"", "", "no.such", ""},
                                            {"", "", "", "no.such"}};
    static const char *const keys[4] = {"group", "users", "read_group", "read_users"};
    for (int i = 0; i < 4; i++) {
        char says[64];
        snprintf(says, sizeof(says), "[admin] %s: no.such does not exist", keys[i]);
        CU_ASSERT_NOT_EQUAL(opened(&r, names[i][0], names[i][1], names[i][2], names[i][3], problem),
                            0);
        CU_ASSERT_PTR_NOT_NULL(strstr(problem, says));
    }
    CU_ASSERT_NOT_EQUAL(
        opened(&r, "", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "", "", problem), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "more than 16 users"));
}

static void the_kernel_states_the_peer(void)
{
    int ends[2];
    struct admin_peer peer;
    struct admin_rights rights = {.change.has_group = true};
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CU_ASSERT_TRUE(admin_peer_read(&rights, ends[0], &peer));
    CU_ASSERT_EQUAL(peer.uid, geteuid());
    CU_ASSERT_EQUAL(peer.gid, getegid());
    close(ends[0]);
    CU_ASSERT_FALSE(admin_peer_read(&rights, ends[0], &peer));
    close(ends[1]);
}

/* --- places
 * ---------------------------------------------------------------------------------------- */

static void fill(struct admin_place *place, uint32_t from, uint32_t count, uint8_t right, uid_t uid,
                 uint64_t since_ms)
{
    for (uint32_t i = from; i < from + count; i++)
        place[i] = (struct admin_place){.right = right, .uid = uid + i, .since_ms = since_ms};
}

static void readers_leave_room_for_others(void)
{
    struct admin_place p[ADMIN_CONNECTIONS_MAX];
    memset(p, 0, sizeof(p));
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), 0);
    fill(p, 0, ADMIN_READERS_MAX - 1, ADMIN_RIGHT_READ, 1000, NOW);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), ADMIN_READERS_MAX - 1);
    fill(p, 0, ADMIN_READERS_MAX, ADMIN_RIGHT_READ, 1000, NOW);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), NOBODY);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 1, NOW), ADMIN_READERS_MAX);
    fill(p, ADMIN_READERS_MAX, ADMIN_CHANGERS_MAX - ADMIN_READERS_MAX, ADMIN_RIGHT_CHANGE, 1, NOW);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 1, NOW), NOBODY);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_OWNER, 0, NOW), ADMIN_CHANGERS_MAX);
    fill(p, ADMIN_CHANGERS_MAX, ADMIN_CONNECTIONS_MAX - ADMIN_CHANGERS_MAX, ADMIN_RIGHT_OWNER, 0,
         NOW);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_OWNER, 0, NOW), NOBODY);
    /* A crowd of changers that leaves no place but the owners' leaves none to a reader. */
    memset(p, 0, sizeof(p));
    fill(p, 0, ADMIN_CHANGERS_MAX, ADMIN_RIGHT_CHANGE, 1, NOW);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), NOBODY);
}

static void a_reader_holds_few_places(void)
{
    struct admin_place p[ADMIN_CONNECTIONS_MAX];
    memset(p, 0, sizeof(p));
    for (uint32_t i = 0; i < ADMIN_READERS_EACH; i++)
        p[i] = (struct admin_place){.right = ADMIN_RIGHT_READ, .uid = 7, .since_ms = NOW};
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 7, NOW), NOBODY);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 8, NOW), ADMIN_READERS_EACH);
    /* One of its own gives way, though another's is older. */
    p[20] = (struct admin_place){.right = ADMIN_RIGHT_READ, .uid = 8, .since_ms = NOW - 9 * OLD};
    p[3].since_ms = NOW - OLD;
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 7, NOW), 3);
    for (uint32_t i = 0; i < ADMIN_READERS_EACH; i++) /* who may change things is not counted so */
        p[i].right = ADMIN_RIGHT_CHANGE;
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 7, NOW), ADMIN_READERS_EACH);
}

static void the_oldest_idle_of_least_right_gives_way(void)
{
    struct admin_place p[ADMIN_CONNECTIONS_MAX];
    memset(p, 0, sizeof(p));
    fill(p, 0, ADMIN_READERS_MAX, ADMIN_RIGHT_READ, 1000, NOW);
    fill(p, ADMIN_READERS_MAX, ADMIN_CHANGERS_MAX - ADMIN_READERS_MAX, ADMIN_RIGHT_CHANGE, 1,
         NOW - 9 * OLD);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), NOBODY);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 1, NOW), ADMIN_READERS_MAX);
    p[9].since_ms = NOW - OLD; /* a reader before any who may change things */
    p[9].half_ms = NOW - 1;    /* half a request, however fresh, is no reason to stay */
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 1, NOW), 9);
    p[11].since_ms = NOW - 2 * OLD;
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_CHANGE, 1, NOW), 11);
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), 11);
    p[11].waiting = true; /* its request is under way */
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), 9);
    p[9].out_ms = NOW; /* its answer leaves */
    CU_ASSERT_EQUAL(admin_places_find(p, ADMIN_RIGHT_READ, 1, NOW), NOBODY);
}

/* However the lesser ones crowd, as they like, a place is found for an owner. */
static void an_owner_always_gets_in(void)
{
    struct admin_place p[ADMIN_CONNECTIONS_MAX];
    memset(p, 0, sizeof(p));
    srand(14);
    for (uint64_t now = NOW; now < NOW + 20000; now++) {
        enum admin_right right = rand() % 3 > 0 ? ADMIN_RIGHT_READ : ADMIN_RIGHT_CHANGE;
        uint32_t at = admin_places_find(p, right, (uid_t)(rand() % 40), now);
        if (at < NOBODY)
            p[at] = (struct admin_place){.right = (uint8_t)right,
                                         .uid = (uid_t)(rand() % 40),
                                         .waiting = rand() % 8 == 0,
                                         .since_ms = now};
        uint32_t owners = admin_places_find(p, ADMIN_RIGHT_OWNER, 0, now);
        CU_ASSERT_TRUE_FATAL(owners < NOBODY && p[owners].right == ADMIN_RIGHT_NONE);
    }
}

static void times_run_out(void)
{
    struct admin_place p = {.right = ADMIN_RIGHT_READ, .since_ms = NOW};
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_IDLE_MS), ADMIN_END_COUNT);
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_IDLE_MS + 1), ADMIN_END_IDLE);
    p.half_ms = NOW;
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_HALF_MS), ADMIN_END_COUNT);
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_HALF_MS + 1), ADMIN_END_HALF);
    p.waiting = true; /* the next request waits behind the one that is under way */
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + 10 * ADMIN_IDLE_MS), ADMIN_END_COUNT);
    p.waiting = false;
    p.out_ms = NOW;
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_SLOW_MS), ADMIN_END_COUNT);
    CU_ASSERT_EQUAL(admin_place_over(&p, NOW + ADMIN_SLOW_MS + 1), ADMIN_END_SLOW);
    for (int i = 0; i <= ADMIN_END_COUNT; i++)
        for (int k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(admin_end_name((enum admin_end)i),
                                       admin_end_name((enum admin_end)k));
}

static void readers_have_a_share_of_the_time(void)
{
    struct admin_share share = {0};
    CU_ASSERT_FALSE(admin_share_rests(&share, 1));
    admin_share_spent(&share, 1000, 2000);
    CU_ASSERT_TRUE(admin_share_rests(&share, 2000 + ADMIN_SHARE_REST * 1000 - 1));
    CU_ASSERT_FALSE(admin_share_rests(&share, 2000 + ADMIN_SHARE_REST * 1000));
    admin_share_spent(&share, 10000000000ull, 4000); /* a long answer: not for ever */
    CU_ASSERT_TRUE(admin_share_rests(&share, 4000 + ADMIN_REST_MAX_MS * 1000000ull - 1));
    CU_ASSERT_FALSE(admin_share_rests(&share, 4000 + ADMIN_REST_MAX_MS * 1000000ull));
}

static void readers_have_a_share_of_the_log(void)
{
    struct admin_share share = {0};
    CU_ASSERT_TRUE(admin_share_asks(&share, NOW));
    CU_ASSERT_FALSE(admin_share_asks(&share, NOW));
    CU_ASSERT_FALSE(admin_share_asks(&share, NOW + ADMIN_ASK_EVERY_MS - 1)); /* and costs nothing */
    CU_ASSERT_TRUE(admin_share_asks(&share, NOW + ADMIN_ASK_EVERY_MS));
    CU_ASSERT_FALSE(admin_share_rests(&share, 1));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"rights by user and group", rights_by_user_and_group},
        {"everybody looks where no reader is named", everybody_looks_where_no_reader_is_named},
        {"unknown names are named", unknown_names_are_named},
        {"the kernel states the peer", the_kernel_states_the_peer},
        {"readers leave room for others", readers_leave_room_for_others},
        {"a reader holds few places", a_reader_holds_few_places},
        {"the oldest idle of least right gives way", the_oldest_idle_of_least_right_gives_way},
        {"an owner always gets in", an_owner_always_gets_in},
        {"times run out", times_run_out},
        {"readers have a share of the time", readers_have_a_share_of_the_time},
        {"readers have a share of the log", readers_have_a_share_of_the_log},
        {0}};
    return unit_main("admin places", tests);
}
