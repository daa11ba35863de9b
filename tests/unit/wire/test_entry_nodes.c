/* Entries that carry more than their fields: operations on nodes, what operators ask for, the
 * autopilot's settings and decisions. */
#include "tests/unit/unit.h"
#include "tests/unit/wire/entries.h"

#include <string.h>

static void paths(void)
{
    static const char *const good[] = {"/", "/a", "/a/b", "/a-b.c:d/~"};
    static const char *const bad[] = {"", "a", "//", "/a/", "/a//b", "/a b", "/\xc3\xa9"};
    char deep[2 * KEEL_PATH_DEPTH_MAX + 3];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CU_ASSERT_TRUE(entry_path_ok(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_FALSE(entry_path_ok(bad[i], strlen(bad[i])));
    for (size_t i = 0; i <= KEEL_PATH_DEPTH_MAX; i++)
        memcpy(deep + 2 * i, "/x", 2);
    CU_ASSERT_TRUE(entry_path_ok(deep, 2 * KEEL_PATH_DEPTH_MAX));
    CU_ASSERT_FALSE(entry_path_ok(deep, 2 * KEEL_PATH_DEPTH_MAX + 2));
    char longest[KEEL_PATH_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    CU_ASSERT_TRUE(entry_path_ok(longest, KEEL_PATH_MAX));
    CU_ASSERT_FALSE(entry_path_ok(longest, KEEL_PATH_MAX + 1));
}

#define TAKEN(path, content, ...)                                                                  \
    CU_ASSERT_TRUE(node_taken(&(struct entry_node){__VA_ARGS__}, path, content))

#define REFUSED(path, content, ...)                                                                \
    CU_ASSERT_FALSE(node_taken(&(struct entry_node){__VA_ARGS__}, path, content))

static bool node_taken(const struct entry_node *op, const char *path, const char *content)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    return entries_check(bytes, entries_put_node(bytes, op, path, content));
}

/* What an operation does not use must be zero: two that mean the same are the same bytes. */
static void node_operations(void)
{
    char much[KEEL_CONTENT_MAX + 2];
    memset(much, 'c', sizeof(much) - 1);
    much[sizeof(much) - 1] = 0;
    TAKEN("/a", "", .operation = NODE_OPEN, .events = NODE_EVENTS_ALL);
    REFUSED("/a", "", .operation = NODE_OPEN, .events = NODE_EVENTS_ALL + 1);
    REFUSED("/a", "text", .operation = NODE_OPEN);
    TAKEN("/a", "text", .operation = NODE_OPEN, .flags = NODE_CREATE);
    TAKEN("/a", "", .operation = NODE_OPEN, .flags = NODE_CREATE | NODE_EXCLUSIVE | NODE_EPHEMERAL);
    REFUSED("/a", "", .operation = NODE_OPEN, .flags = NODE_EPHEMERAL);
    REFUSED("/a", "", .operation = NODE_OPEN, .flags = NODE_COMPARE);
    REFUSED("/a", "", .operation = NODE_OPEN, .node = 4);
    REFUSED("", "", .operation = NODE_OPEN);
    REFUSED("/a/", "", .operation = NODE_OPEN);
    TAKEN("", "", .operation = NODE_SET, .node = 4);
    TAKEN("", much + 1, .operation = NODE_SET, .node = 4);
    REFUSED("", much, .operation = NODE_SET, .node = 4);
    TAKEN("", "x", .operation = NODE_SET, .node = 4, .flags = NODE_COMPARE, .compare = 7);
    REFUSED("", "x", .operation = NODE_SET, .node = 4, .compare = 7);
    REFUSED("", "x", .operation = NODE_SET);
    REFUSED("/a", "x", .operation = NODE_SET, .node = 4);
    TAKEN("", "", .operation = NODE_DELETE, .node = 4);
    REFUSED("", "x", .operation = NODE_DELETE, .node = 4);
    TAKEN("", "", .operation = NODE_CLOSE, .node = 4);
    REFUSED("", "", .operation = NODE_CLOSE, .node = 4, .flags = NODE_COMPARE);
    TAKEN("", "", .operation = NODE_RELEASE, .node = 4);
    REFUSED("", "", .operation = NODE_RELEASE, .node = 4, .delay_ms = 1);
    TAKEN("", "", .operation = NODE_ACQUIRE, .node = 4, .mode = LOCK_SHARED, .flags = NODE_TRY);
    REFUSED("", "", .operation = NODE_ACQUIRE, .node = 4);
    REFUSED("", "", .operation = NODE_ACQUIRE, .node = 4, .mode = 3);
    REFUSED("", "", .operation = NODE_ACQUIRE, .node = 4, .mode = 1, .flags = NODE_CREATE);
    TAKEN("", "", .operation = NODE_ACL, .node = 4);
    REFUSED("", "1234567", .operation = NODE_ACL, .node = 4); /* no whole right */
    REFUSED("", "", .operation = NODE_RELEASE, .node = 4, .wait_ms = 1);
    REFUSED("", "", .operation = NODE_RELEASE, .node = 4, .mode = LOCK_SHARED);
    REFUSED("", "", .operation = NODE_RELEASE, .node = 4, .events = 1);
    REFUSED("", "", .operation = NODE_RELEASE + 1, .node = 4);
    REFUSED("", "", .operation = 0, .node = 4);
}

/* The body of one operation whose block is these bytes, `count` times, or fenced. */
static bool body_taken(const void *block, uint16_t length, uint16_t count, bool fenced)
{
    uint8_t body[KEEL_ENTRY_MAX];
    const struct entry_sequencer sequencer = {.node = 9, .generation = 10, .mode = LOCK_SHARED};
    const struct entry_messages head = {.session = 5,
                                        .epoch = 6,
                                        .number = 7,
                                        .count = count,
                                        .bytes = (uint16_t)(count * (length + 2)),
                                        .flags = fenced ? ENTRY_FENCED : 0};
    size_t at = sizeof(head);
    memcpy(body, &head, sizeof(head));
    for (uint32_t i = 0; i < count; i++) {
        memcpy(body + at, &length, sizeof(length));
        memcpy(body + at + 2, block, length);
        at += 2u + length;
    }
    if (fenced) {
        memcpy(body + at, &sequencer, sizeof(sequencer));
        at += sizeof(sequencer);
    }
    CU_ASSERT_TRUE(entry_messages_check(body, at));
    return entry_node_body_check(body, at);
}

static void one_operation_and_whole(void)
{
    const struct entry_node close = {.operation = NODE_CLOSE, .node = 4};
    CU_ASSERT_TRUE(body_taken(&close, sizeof(close), 1, false));
    CU_ASSERT_FALSE(body_taken(&close, sizeof(close) - 1, 1, false));
    CU_ASSERT_FALSE(body_taken(&close, sizeof(close), 2, false));
    CU_ASSERT_FALSE(body_taken(&close, sizeof(close), 1, true));
}

static bool rights_taken(const struct node_right *right, uint16_t count)
{
    uint8_t block[sizeof(struct entry_node) + (KEEL_ACL_MAX + 1) * sizeof(struct node_right)];
    uint16_t bytes = (uint16_t)(count * sizeof(*right));
    const struct entry_node op = {.operation = NODE_ACL, .node = 4, .content_size = bytes};
    memcpy(block, &op, sizeof(op));
    memcpy(block + sizeof(op), right, bytes);
    return body_taken(block, (uint16_t)(sizeof(op) + bytes), 1, false);
}

static void access_lists(void)
{
    struct node_right right[KEEL_ACL_MAX + 1];
    for (uint32_t i = 0; i <= KEEL_ACL_MAX; i++)
        right[i] = (struct node_right){.principal = KEEL_CLIENT_MIN + i, .rights = NODE_READ};
    CU_ASSERT_TRUE(rights_taken(right, KEEL_ACL_MAX));
    CU_ASSERT_FALSE(rights_taken(right, KEEL_ACL_MAX + 1));
    right[1] = (struct node_right){.principal = 0, .rights = NODE_READ | NODE_WRITE | NODE_CHANGE};
    CU_ASSERT_TRUE(rights_taken(right, 2)); /* every client */
    right[1].rights = 0;
    CU_ASSERT_FALSE(rights_taken(right, 2));
    right[1].rights = (NODE_READ | NODE_WRITE | NODE_CHANGE) + 1;
    CU_ASSERT_FALSE(rights_taken(right, 2));
    right[1] = (struct node_right){.principal = KEEL_CLIENT_MIN - 1, .rights = NODE_READ};
    CU_ASSERT_FALSE(rights_taken(right, 2)); /* a replica */
}

static void operators(void)
{
    enum { NODE = sizeof(struct entry_node) + 2 };
    const struct {
        struct entry_operator op;
        bool ok;
    } cases[] = {
        {{.operation = OPERATOR_SUSPEND, .session = 5, .value = 1}, true},
        {{.operation = OPERATOR_SUSPEND, .session = 5, .value = 2}, false},
        {{.operation = OPERATOR_SUSPEND}, false},
        {{.operation = OPERATOR_LIMIT, .session = 5, .value = OPERATOR_RATE_MAX}, true},
        {{.operation = OPERATOR_LIMIT, .session = 5, .value = OPERATOR_RATE_MAX + 1}, false},
        {{.operation = OPERATOR_LIMIT, .principal = 16}, true},
        {{.operation = OPERATOR_LIMIT, .principal = 15}, false},
        {{.operation = OPERATOR_DRAIN, .replica = 7, .value = 1}, true},
        {{.operation = OPERATOR_DRAIN, .replica = 7, .value = 2}, false},
        {{.operation = OPERATOR_DRAIN, .replica = 8}, false},
        {{.operation = OPERATOR_DRAIN}, false},
        {{.operation = OPERATOR_DRAIN, .replica = 1, .session = 5}, false},
        {{.operation = OPERATOR_DRAIN, .replica = 1, .principal = 16}, false},
        {{.operation = OPERATOR_DRAIN, .replica = 1, .size = NODE}, false},
        {{.operation = OPERATOR_NODE, .size = NODE}, true},
        {{.operation = OPERATOR_NODE, .size = NODE, .value = 1}, true},
        {{.operation = OPERATOR_NODE, .size = NODE, .value = 2}, false},
        {{.operation = OPERATOR_NODE, .size = NODE, .session = 5}, false},
        {{.operation = OPERATOR_NODE, .size = NODE, .replica = 1}, false},
        {{.operation = OPERATOR_NODE, .size = NODE + 1}, false},
        {{.operation = OPERATOR_NODE, .size = NODE - 3}, false},
        {{.operation = OPERATOR_NODE, .size = NODE + 2}, true},
        {{.operation = OPERATOR_NODE, .size = NODE + 2, .value = 1}, false},
        {{.operation = OPERATOR_NODE}, false},
        {{.operation = OPERATOR_DRAIN + 1, .replica = 1}, false},
        {{.operation = 0, .principal = 16}, false},
    };
    uint8_t bytes[KEEL_ENTRY_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry_operator op = cases[i].op;
        op.request[1] = 1;
        CU_ASSERT_EQUAL(entries_check(bytes, entries_put_operator(bytes, &op)), cases[i].ok);
    }
    /* a block that is said to be longer than the entry is */
    struct entry_operator op = {.request = {1, 1}, .operation = OPERATOR_NODE, .size = NODE};
    size_t size = entries_put_operator(bytes, &op);
    op.size = NODE + 8;
    memcpy(bytes + sizeof(struct entry), &op, sizeof(op));
    CU_ASSERT_FALSE(entries_check(bytes, size));
}

/* An operator's block, with one field set; what is left of the sane one. */
static bool block_taken(const struct entry_node *node, size_t path)
{
    uint8_t bytes[KEEL_ENTRY_MAX], body[sizeof(struct entry_operator) + sizeof(*node) + 16] = {0};
    struct entry_operator op = {
        .request = {1, 1}, .operation = OPERATOR_NODE, .size = (uint16_t)(sizeof(*node) + path)};
    memcpy(body, &op, sizeof(op));
    memcpy(body + sizeof(op), node, sizeof(*node));
    memcpy(body + sizeof(op) + sizeof(*node), "/a/b/c/d/e/f/g/h", path);
    return entries_check(bytes, entries_put(bytes, ENTRY_OPERATOR, body, sizeof(op) + op.size));
}

static void operators_name_nodes_by_paths(void)
{
    const struct {
        struct entry_node node;
        bool ok;
    } cases[] = {
        {{.operation = NODE_OPEN, .flags = NODE_CREATE, .path_size = 2}, true},
        {{.operation = NODE_OPEN, .flags = NODE_CREATE | NODE_EXCLUSIVE, .path_size = 2}, true},
        {{.operation = NODE_OPEN, .flags = NODE_CREATE | NODE_EPHEMERAL, .path_size = 2}, false},
        {{.operation = NODE_OPEN, .path_size = 2}, false},
        {{.operation = NODE_OPEN, .flags = NODE_CREATE, .path_size = 2, .events = 1}, false},
        {{.operation = NODE_CLOSE, .path_size = 2}, false},
        {{.operation = NODE_SET, .path_size = 2}, true},
        {{.operation = NODE_SET, .path_size = 2, .node = 1}, false},
        {{.operation = NODE_SET, .path_size = 0, .node = 1}, false},
        {{.operation = NODE_SET, .path_size = 3}, false}, /* "/a/" */
        {{.operation = NODE_DELETE, .path_size = 2}, true},
        {{.operation = NODE_ACL, .path_size = 2}, true},
        {{.operation = NODE_ACQUIRE, .path_size = 2, .mode = LOCK_SHARED}, false},
        {{.operation = NODE_RELEASE, .path_size = 2}, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_EQUAL(block_taken(&cases[i].node, cases[i].node.path_size), cases[i].ok);
}

/* One of each action, besides entries_replace. */
static const struct entry_autopilot settings = {.action = AUTOPILOT_SET,
                                                .mode = AUTOPILOT_ON,
                                                .standbys = 0x30,
                                                .dead_ms = 30000,
                                                .stabilise_ms = 10000,
                                                .was = 7};
static const struct entry_autopilot withdraw = {.action = AUTOPILOT_WITHDRAW,
                                                .voter = 3,
                                                .standby = 4,
                                                .was = 9,
                                                .term = 2,
                                                .reason = AUTOPILOT_VOTER_BACK};
static const struct entry_autopilot back = {
    .action = AUTOPILOT_RETURN, .voter = 3, .was = 9, .term = 2, .steady_ms = 1, .behind = 2};

/* How many values of one byte of a sane autopilot entry are taken. */
static uint32_t autopilot_taken(const struct entry_autopilot *sane, size_t offset)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    size_t size = entries_put(bytes, ENTRY_AUTOPILOT, sane, sizeof(*sane));
    uint32_t count = 0;
    CU_ASSERT_TRUE_FATAL(entries_check(bytes, size));
    for (uint32_t value = 0; value < 256; value++) {
        bytes[sizeof(struct entry) + offset] = (uint8_t)value;
        count += entries_check(bytes, size);
    }
    return count;
}

/* Each action says what belongs to it, and nothing else. */
static void autopilot_bodies(void)
{
    static const struct {
        const struct entry_autopilot *sane;
        size_t offset;
        uint32_t taken;
    } cases[] = {
        {&settings, 0, 1},    /* no other action says this */
        {&settings, 1, 3},    /* off, dry-run, on */
        {&settings, 2, 1},    /* no voter */
        {&settings, 3, 1},    /* no standby */
        {&settings, 4, 128},  /* standbys 1..7 */
        {&settings, 5, 1},    /* and none above */
        {&settings, 11, 6},   /* dead_ms up to a day */
        {&settings, 9, 252},  /* from a second on */
        {&settings, 14, 256}, /* stabilise_ms */
        {&settings, 15, 6},
        {&settings, 24, 1},          /* no term */
        {&settings, 52, 1},          /* no reason */
        {&entries_replace, 1, 1},    /* no mode */
        {&entries_replace, 2, 6},    /* a replica, and another one */
        {&entries_replace, 3, 6},    /* */
        {&entries_replace, 4, 1},    /* no mask */
        {&entries_replace, 8, 1},    /* no times to set */
        {&entries_replace, 12, 1},   /* */
        {&entries_replace, 16, 256}, /* any configuration */
        {&entries_replace, 32, 256}, /* any length of silence: apply judges it */
        {&entries_replace, 52, 1},   /* no reason */
        {&withdraw, 2, 7},           /* a replica */
        {&withdraw, 3, 7},
        {&withdraw, 32, 1}, /* no times */
        {&withdraw, 36, 1},
        {&withdraw, 40, 1},
        {&withdraw, 48, 1},
        {&withdraw, 52, 2}, /* the voter is back, the standby lost */
        {&back, 2, 7},
        {&back, 3, 1},  /* no standby */
        {&back, 32, 1}, /* it was not silent */
        {&back, 36, 256},
        {&back, 48, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t count = autopilot_taken(cases[i].sane, cases[i].offset);
        if (count != cases[i].taken)
            printf("# case %zu, offset %zu: %u\n", i, cases[i].offset, count);
        CU_ASSERT_EQUAL(count, cases[i].taken);
    }
    struct entry_autopilot wrong = settings;
    wrong.standbys = 1; /* there is no replica 0 */
    uint8_t bytes[KEEL_ENTRY_MAX];
    CU_ASSERT_FALSE(
        entries_check(bytes, entries_put(bytes, ENTRY_AUTOPILOT, &wrong, sizeof(wrong))));
    wrong = entries_replace;
    wrong.action = 0;
    CU_ASSERT_FALSE(
        entries_check(bytes, entries_put(bytes, ENTRY_AUTOPILOT, &wrong, sizeof(wrong))));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"paths of nodes", paths},
        {"node operations", node_operations},
        {"one operation to an entry, and a whole one", one_operation_and_whole},
        {"access lists", access_lists},
        {"what operators ask for keeps its form", operators},
        {"operators name nodes by their paths", operators_name_nodes_by_paths},
        {"each action of the autopilot", autopilot_bodies},
        {0}};
    return unit_main("entry_nodes", tests);
}
