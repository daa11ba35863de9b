#include "consensus/wire/entry.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum entry_kind kinds[] = {
    ENTRY_NOOP,        ENTRY_MESSAGES,       ENTRY_SESSION_OPEN, ENTRY_SESSION_RESUME,
    ENTRY_SESSION_END, ENTRY_SESSION_EXPIRE, ENTRY_DAY_END,      ENTRY_DAY_BEGIN,
    ENTRY_BOOT,        ENTRY_CONFIG,         ENTRY_NODE,         ENTRY_DUE,
    ENTRY_OPERATOR,    ENTRY_AUTOPILOT,      ENTRY_PROBE};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % below;
}

/* Checks a copy that ends where its memory ends and starts at an odd address, so that any read
 * beyond `size` or any aligned load is seen by the sanitisers. */
static bool check_exact(const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size + 1);
    memcpy(exact + 1, bytes, size);
    bool ok = entry_check(exact + 1, size);
    free(exact);
    return ok;
}

static size_t put_entry(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind, const void *body,
                        size_t size)
{
    struct entry head = {
        .size = (uint16_t)((sizeof(head) + size + 7) / 8 * 8),
        .kind = (uint8_t)kind,
        .version = ENTRY_VERSION,
        .index = 1,
        .term = 1,
        .principal = 16,
    };
    memset(bytes, 0, KEEL_ENTRY_MAX);
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), body, size);
    return head.size;
}

/* `count` blocks of the given length each, the last one of `last_length`. */
static size_t put_messages(uint8_t bytes[KEEL_ENTRY_MAX], uint32_t count, uint32_t length,
                           uint32_t last_length)
{
    uint8_t body[2048];
    struct entry_messages head = {.session = 5, .epoch = 6, .number = 7, .count = (uint16_t)count};
    size_t at = sizeof(head);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = i + 1 < count ? length : last_length;
        body[at] = (uint8_t)n;
        body[at + 1] = (uint8_t)(n >> 8);
        memset(body + at + 2, 'a' + (int)i % 26, n);
        at += 2 + n;
    }
    head.bytes = (uint16_t)(at - sizeof(head));
    memcpy(body, &head, sizeof(head));
    return put_entry(bytes, ENTRY_MESSAGES, body, at);
}

static size_t put_node(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_node *op, const char *path,
                       const char *content)
{
    uint8_t body[KEEL_ENTRY_MAX];
    struct entry_node node = *op;
    node.path_size = (uint16_t)strlen(path);
    node.content_size = (uint16_t)strlen(content);
    uint16_t length = (uint16_t)(sizeof(node) + node.path_size + node.content_size);
    const struct entry_messages head = {
        .session = 5, .epoch = 6, .number = 7, .count = 1, .bytes = (uint16_t)(length + 2)};
    uint8_t *at = body + sizeof(head);
    memcpy(body, &head, sizeof(head));
    memcpy(at, &length, sizeof(length));
    memcpy(at + 2, &node, sizeof(node));
    memcpy(at + 2 + sizeof(node), path, node.path_size);
    memcpy(at + 2 + sizeof(node) + node.path_size, content, node.content_size);
    return put_entry(bytes, ENTRY_NODE, body, sizeof(head) + head.bytes);
}

/* With a node operation's block where that is what it wants. */
static size_t put_operator(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_operator *op)
{
    uint8_t body[sizeof(*op) + sizeof(struct entry_node) + 4];
    const struct entry_node release = {.operation = NODE_RELEASE, .path_size = 2};
    const struct entry_node open = {.operation = NODE_OPEN, .flags = NODE_CREATE, .path_size = 4};
    memcpy(body, op, sizeof(*op));
    memcpy(body + sizeof(*op), op->size == sizeof(release) + 2 ? &release : &open, sizeof(release));
    memcpy(body + sizeof(*op) + sizeof(open), "/a/b", 4);
    return put_entry(bytes, ENTRY_OPERATOR, body, sizeof(*op) + op->size);
}

/* One of each action. */
static const struct entry_autopilot settings = {.action = AUTOPILOT_SET,
                                                .mode = AUTOPILOT_ON,
                                                .standbys = 0x30,
                                                .dead_ms = 30000,
                                                .stabilise_ms = 10000,
                                                .was = 7};
static const struct entry_autopilot replace = {.action = AUTOPILOT_REPLACE,
                                               .voter = 3,
                                               .standby = 4,
                                               .was = 9,
                                               .term = 2,
                                               .silent_ms = 30001,
                                               .steady_ms = 10001,
                                               .behind = 5,
                                               .well = 6};
static const struct entry_autopilot withdraw = {.action = AUTOPILOT_WITHDRAW,
                                                .voter = 3,
                                                .standby = 4,
                                                .was = 9,
                                                .term = 2,
                                                .reason = AUTOPILOT_VOTER_BACK};
static const struct entry_autopilot back = {
    .action = AUTOPILOT_RETURN, .voter = 3, .was = 9, .term = 2, .steady_ms = 1, .behind = 2};

/* A sane entry of each kind. */
static size_t sample(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind)
{
    const struct entry_noop noop = {.leader = 1, .incarnation = 9};
    const struct entry_session_open open = {.name = "gateway-7", .process = 3, .window = 64};
    struct entry_session_end end = {.session = 5, .epoch = 6, .reason = SESSION_END_CLEAN};
    const struct entry_day day = {.name = "20240611  "};
    const struct entry_boot boot = {.replica = 7, .incarnation = 1, .boot = 1};
    const struct entry_config config = {.voters = 0x6,
                                        .voters_new = 0xc,
                                        .learners = 0x80,
                                        .member = {[1] = {1, 1, 7400, 0},
                                                   [2] = {2, 2, 7400, 0},
                                                   [3] = {3, 3, 7400, 0},
                                                   [7] = {4, 4, 7400, 0}}};
    switch (kind) {
    case ENTRY_NOOP:
        return put_entry(bytes, kind, &noop, sizeof(noop));
    case ENTRY_MESSAGES:
        return put_messages(bytes, 3, 9, 14);
    case ENTRY_SESSION_OPEN:
    case ENTRY_SESSION_RESUME:
        return put_entry(bytes, kind, &open, sizeof(open));
    case ENTRY_SESSION_EXPIRE:
        end.reason = SESSION_END_EXPIRED;
        return put_entry(bytes, kind, &end, sizeof(end));
    case ENTRY_SESSION_END:
        return put_entry(bytes, kind, &end, sizeof(end));
    case ENTRY_DAY_END:
    case ENTRY_DAY_BEGIN:
        return put_entry(bytes, kind, &day, sizeof(day));
    case ENTRY_BOOT:
        return put_entry(bytes, kind, &boot, sizeof(boot));
    case ENTRY_CONFIG:
        return put_entry(bytes, kind, &config, sizeof(config));
    case ENTRY_NODE:
        return put_node(bytes, &(struct entry_node){.operation = NODE_OPEN}, "/a/b", "");
    case ENTRY_DUE:
        return put_entry(bytes, kind, &(struct entry_due){.term = 3}, sizeof(struct entry_due));
    case ENTRY_OPERATOR:
        return put_operator(bytes, &(struct entry_operator){.request = {7, 0},
                                                            .principal = KEEL_CLIENT_MIN,
                                                            .value = 1,
                                                            .operation = OPERATOR_SUSPEND});
    case ENTRY_AUTOPILOT:
        return put_entry(bytes, kind, &replace, sizeof(replace));
    case ENTRY_PROBE:
        return put_entry(bytes, kind, &(struct entry_probe){{0}}, sizeof(struct entry_probe));
    }
    return 0;
}

static void each_kind_is_taken(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    for (int k = 0; k < KINDS; k++) {
        const enum entry_kind kind = kinds[k];
        size_t size = sample(bytes, kind);
        CU_ASSERT_TRUE(check_exact(bytes, size));
        CU_ASSERT_TRUE(entry_check(bytes, KEEL_ENTRY_MAX)); /* more may follow */
        for (size_t cut = 0; cut < size; cut++)
            CU_ASSERT_FALSE(check_exact(bytes, cut));
    }
}

static void heads_out_of_form(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX + 8];
    struct entry *head = (struct entry *)(void *)bytes;
    for (int k = 0; k < KINDS; k++) {
        const enum entry_kind kind = kinds[k];
        uint16_t size = (uint16_t)sample(bytes, kind);
        for (uint32_t other = 0; other <= KEEL_ENTRY_MAX + 8; other++) {
            head->size = (uint16_t)other;
            CU_ASSERT_EQUAL(entry_check(bytes, sizeof(bytes)), other == size);
        }
        head->size = size;
        for (uint32_t version = 0; version < 256; version++) {
            head->version = (uint8_t)version;
            CU_ASSERT_EQUAL(entry_check(bytes, size), version == ENTRY_VERSION);
        }
    }
    uint8_t zeros[KEEL_ENTRY_MAX] = {0};
    CU_ASSERT_FALSE(entry_check(zeros, sizeof(zeros)));
    size_t size = sample(bytes, ENTRY_NOOP);
    for (uint32_t kind = 0; kind < 256; kind++) {
        head->kind = (uint8_t)kind;
        CU_ASSERT_EQUAL(entry_check(bytes, size), kind == ENTRY_NOOP);
    }
}

/* Padding is part of what the checksum and the log chain cover: two spellings of one entry would be
 * two entries. */
static void padding_is_zero(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    for (uint32_t length = 1; length <= 8; length++) {
        size_t size = put_messages(bytes, 1, 0, length);
        size_t used = sizeof(struct entry) + sizeof(struct entry_messages) + 2 + length;
        CU_ASSERT_TRUE(entry_check(bytes, size));
        for (size_t at = used; at < size; at++) {
            bytes[at] = 1;
            CU_ASSERT_FALSE(entry_check(bytes, size));
            bytes[at] = 0;
        }
    }
}

static void message_limits(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    CU_ASSERT_TRUE(check_exact(bytes, put_messages(bytes, 1, 0, KEEL_MSG_MAX)));
    CU_ASSERT_EQUAL(sizeof(struct entry) + sizeof(struct entry_messages) + 2 + KEEL_MSG_MAX,
                    KEEL_ENTRY_MAX);
    CU_ASSERT_TRUE(check_exact(bytes, put_messages(bytes, 64, 1, 1)));
    CU_ASSERT_FALSE(check_exact(bytes, put_messages(bytes, 65, 1, 1)));
    CU_ASSERT_FALSE(check_exact(bytes, put_messages(bytes, 1, 0, 0))); /* no empty message */
    CU_ASSERT_FALSE(check_exact(bytes, put_messages(bytes, 2, 0, 5)));
    size_t size = put_messages(bytes, 2, 5, 5);
    struct entry_messages *m = (struct entry_messages *)(void *)(bytes + sizeof(struct entry));
    m->number = 0;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->number = ENTRY_NUMBER_MAX;
    CU_ASSERT_TRUE(entry_check(bytes, size));
    m->number = ENTRY_NUMBER_MAX + 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->number = 1;
    m->count = 0;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 3;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 2;
    m->reserved = 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->reserved = 0;
    m->bytes++;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->bytes--;
    CU_ASSERT_TRUE(entry_check(bytes, size));
    bytes[sizeof(struct entry) + sizeof(*m)]++; /* the first block reaches into the second */
    CU_ASSERT_FALSE(entry_check(bytes, size));
}

/* A sequencer stands behind the blocks, and only where the flag says so. */
static void fenced_messages(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX], body[sizeof(struct entry_messages) + 3 + KEEL_SEQUENCER_SIZE];
    struct entry_messages head = {
        .session = 5, .epoch = 6, .number = 7, .count = 1, .bytes = 3, .flags = ENTRY_FENCED};
    struct entry_sequencer sequencer = {.node = 9, .generation = 10, .mode = LOCK_EXCLUSIVE};
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), "\1\0x", 3);
    memcpy(body + sizeof(head) + 3, &sequencer, sizeof(sequencer));
    CU_ASSERT_TRUE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body) - 9)));
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_NODE, body, sizeof(body))));
    head.flags = 0;
    memcpy(body, &head, sizeof(head));
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    head.flags = 2;
    memcpy(body, &head, sizeof(head));
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    head.flags = ENTRY_FENCED;
    memcpy(body, &head, sizeof(head));
    uint8_t *tail = body + sizeof(head) + 3;
    static const uint8_t zero_ok[KEEL_SEQUENCER_SIZE] = {0};
    memcpy(tail, zero_ok, 8); /* no node */
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    memcpy(tail, &sequencer, sizeof(sequencer));
    tail[16] = 3; /* no such mode */
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[16] = LOCK_SHARED;
    memcpy(tail + 8, zero_ok, 8); /* no generation */
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[8] = 10;
    tail[23] = 1; /* reserved */
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[23] = 0;
    CU_ASSERT_TRUE(check_exact(bytes, put_entry(bytes, ENTRY_MESSAGES, body, sizeof(body))));
}

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

static bool node_taken(const struct entry_node *op, const char *path, const char *content)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    return check_exact(bytes, put_node(bytes, op, path, content));
}

#define TAKEN(path, content, ...)                                                                  \
    CU_ASSERT_TRUE(node_taken(&(struct entry_node){__VA_ARGS__}, path, content))
#define REFUSED(path, content, ...)                                                                \
    CU_ASSERT_FALSE(node_taken(&(struct entry_node){__VA_ARGS__}, path, content))

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

/* A submit's body is checked before it has an entry's head: its own limit must hold alone. */
static void blocks_have_a_limit(void)
{
    for (uint32_t over = 0; over <= 1; over++) {
        struct entry_messages head = {.session = 5, .epoch = 6, .number = 7, .count = 2};
        uint8_t body[sizeof(head) + KEEL_BLOCKS_MAX + 1] = {0};
        head.bytes = (uint16_t)(KEEL_BLOCKS_MAX + over);
        memcpy(body, &head, sizeof(head));
        uint32_t length = head.bytes - 2u - 3u; /* beside a second block of one byte */
        body[sizeof(head)] = (uint8_t)length;
        body[sizeof(head) + 1] = (uint8_t)(length >> 8);
        body[sizeof(head) + 2 + length] = 1;
        CU_ASSERT_EQUAL(entry_messages_check(body, sizeof(head) + head.bytes), over == 0);
    }
}

/* One byte of a sane entry's body set to each value; how many of them are taken. */
static uint32_t taken(enum entry_kind kind, size_t offset)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    size_t size = sample(bytes, kind);
    uint32_t count = 0;
    for (uint32_t value = 0; value < 256; value++) {
        bytes[sizeof(struct entry) + offset] = (uint8_t)value;
        count += check_exact(bytes, size);
    }
    return count;
}

static void body_ranges(void)
{
    const struct {
        enum entry_kind kind;
        size_t offset;
        uint32_t taken;
    } cases[] = {
        {ENTRY_NOOP, 4, 1},            /* reserved */
        {ENTRY_SESSION_OPEN, 0, 94},   /* first byte of a name: 0x21..0x7e */
        {ENTRY_SESSION_OPEN, 8, 95},   /* the last one may also end it */
        {ENTRY_SESSION_OPEN, 7, 94},   /* but no zero before another letter */
        {ENTRY_SESSION_OPEN, 9, 95},   /* one longer */
        {ENTRY_SESSION_OPEN, 10, 1},   /* zero padding */
        {ENTRY_SESSION_OPEN, 31, 1},   /* zero-terminated */
        {ENTRY_SESSION_OPEN, 32, 255}, /* process 0 */
        {ENTRY_SESSION_OPEN, 40, 256}, /* replaces */
        {ENTRY_SESSION_OPEN, 52, 64},  /* window 1..64 */
        {ENTRY_SESSION_OPEN, 53, 1},   /* 64 + 256 n */
        {ENTRY_SESSION_OPEN, 54, 1},   /* reserved */
        {ENTRY_SESSION_RESUME, 52, 64},
        {ENTRY_SESSION_RESUME, 0, 94},
        {ENTRY_SESSION_END, 0, 255},   /* session 0 */
        {ENTRY_SESSION_END, 24, 2},    /* reasons of an end: clean, killed */
        {ENTRY_SESSION_EXPIRE, 24, 1}, /* of an expiry: expired */
        {ENTRY_SESSION_END, 28, 1},    /* reserved */
        {ENTRY_DAY_END, 0, 94},        /* a day's name */
        {ENTRY_DAY_BEGIN, 7, 95},      /* may end in a space earlier */
        {ENTRY_DAY_BEGIN, 8, 95},      /* one longer */
        {ENTRY_DAY_BEGIN, 9, 1},       /* no letter behind a space */
        {ENTRY_DAY_BEGIN, 10, 1},      /* reserved */
        {ENTRY_BOOT, 0, 7},            /* replica 1..7 */
        {ENTRY_BOOT, 4, 1},
        {ENTRY_BOOT, 8, 255},
        {ENTRY_BOOT, 16, 255}, /* boots count from 1 */
        {ENTRY_CONFIG, 0, 8},  /* see configurations */
        {ENTRY_CONFIG, 1, 1},
        {ENTRY_CONFIG, 12, 1},
        {ENTRY_CONFIG, 16, 1},   /* id 0 has no incarnation */
        {ENTRY_CONFIG, 32, 255}, /* a named id has one, */
        {ENTRY_CONFIG, 40, 255}, /* an address, */
        {ENTRY_CONFIG, 46, 1},   /* and nothing reserved */
        {ENTRY_CONFIG, 80, 1},   /* another has none */
        {ENTRY_CONFIG, 88, 1},
        {ENTRY_DUE, 8, 1},         /* reserved */
        {ENTRY_OPERATOR, 0, 255},  /* request 0 */
        {ENTRY_OPERATOR, 16, 1},   /* a session beside a principal */
        {ENTRY_OPERATOR, 24, 240}, /* no replica's principal, ... */
        {ENTRY_OPERATOR, 25, 256}, /* ... any client's */
        {ENTRY_OPERATOR, 28, 2},   /* suspended or not */
        {ENTRY_OPERATOR, 32, 2},   /* a suspension and a limit have the same fields */
        {ENTRY_OPERATOR, 33, 1},   /* of no replica, */
        {ENTRY_OPERATOR, 34, 1},   /* without a block, */
        {ENTRY_OPERATOR, 36, 1},   /* and nothing reserved */
        {ENTRY_PROBE, 0, 1},
        {ENTRY_PROBE, 15, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t count = taken(cases[i].kind, cases[i].offset);
        if (count != cases[i].taken)
            printf("# kind %d, offset %zu: %u\n", (int)cases[i].kind, cases[i].offset, count);
        CU_ASSERT_EQUAL(count, cases[i].taken);
    }
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
        CU_ASSERT_EQUAL(check_exact(bytes, put_operator(bytes, &op)), cases[i].ok);
    }
    /* a block that is said to be longer than the entry is */
    struct entry_operator op = {.request = {1, 1}, .operation = OPERATOR_NODE, .size = NODE};
    size_t size = put_operator(bytes, &op);
    op.size = NODE + 8;
    memcpy(bytes + sizeof(struct entry), &op, sizeof(op));
    CU_ASSERT_FALSE(check_exact(bytes, size));
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
    return check_exact(bytes, put_entry(bytes, ENTRY_OPERATOR, body, sizeof(op) + op.size));
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

/* How many values of one byte of a sane autopilot entry are taken. */
static uint32_t autopilot_taken(const struct entry_autopilot *sane, size_t offset)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    size_t size = put_entry(bytes, ENTRY_AUTOPILOT, sane, sizeof(*sane));
    uint32_t count = 0;
    CU_ASSERT_TRUE_FATAL(check_exact(bytes, size));
    for (uint32_t value = 0; value < 256; value++) {
        bytes[sizeof(struct entry) + offset] = (uint8_t)value;
        count += check_exact(bytes, size);
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
        {&settings, 0, 1},                        /* no other action says this */
        {&settings, 1, 3},                        /* off, dry-run, on */
        {&settings, 2, 1},                        /* no voter */
        {&settings, 3, 1},                        /* no standby */
        {&settings, 4, 128},                      /* standbys 1..7 */
        {&settings, 5, 1},                        /* and none above */
        {&settings, 11, 6},                       /* dead_ms up to a day */
        {&settings, 9, 252},                      /* from a second on */
        {&settings, 14, 256},                     /* stabilise_ms */
        {&settings, 15, 6},   {&settings, 24, 1}, /* no term */
        {&settings, 52, 1},                       /* no reason */
        {&replace, 1, 1},                         /* no mode */
        {&replace, 2, 6},                         /* a replica, and another one */
        {&replace, 3, 6},                         /* */
        {&replace, 4, 1},                         /* no mask */
        {&replace, 8, 1},                         /* no times to set */
        {&replace, 12, 1},                        /* */
        {&replace, 16, 256},                      /* any configuration */
        {&replace, 32, 256},                      /* any length of silence: apply judges it */
        {&replace, 52, 1},                        /* no reason */
        {&withdraw, 2, 7},                        /* a replica */
        {&withdraw, 3, 7},    {&withdraw, 32, 1}, /* no times */
        {&withdraw, 36, 1},   {&withdraw, 40, 1},
        {&withdraw, 48, 1},   {&withdraw, 52, 2}, /* the voter is back, the standby lost */
        {&back, 2, 7},        {&back, 3, 1},      /* no standby */
        {&back, 32, 1},                           /* it was not silent */
        {&back, 36, 256},     {&back, 48, 1},
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
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_AUTOPILOT, &wrong, sizeof(wrong))));
    wrong = replace;
    wrong.action = 0;
    CU_ASSERT_FALSE(check_exact(bytes, put_entry(bytes, ENTRY_AUTOPILOT, &wrong, sizeof(wrong))));
}

static void names(void)
{
    char name[KEEL_NAME_MAX + 1];
    memset(name, 'x', sizeof(name));
    CU_ASSERT_FALSE(entry_name_ok(name)); /* no end */
    name[KEEL_NAME_MAX] = 0;
    CU_ASSERT_TRUE(entry_name_ok(name));
    CU_ASSERT_FALSE(entry_name_ok((const char[KEEL_NAME_MAX + 1]){"two words"}));
    CU_ASSERT_FALSE(entry_name_ok((const char[KEEL_NAME_MAX + 1]){"\xc3\xa9t\xc3\xa9"}));
    CU_ASSERT_TRUE(entry_day_name_ok("ABCDEFGHIJ"));
    CU_ASSERT_FALSE(entry_day_name_ok("          "));
    CU_ASSERT_FALSE(entry_day_name_ok("A\0        "));
}

/* Random damage to entries of every kind: the verdict is what it is, no read leaves the bytes, and
 * what is taken as messages can be walked block by block within its size. */
static void random_mutations(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    uint32_t walked = 0, refused = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        size_t size = round % 3 == 0
                          ? put_messages(bytes, 1 + draw(20), 1 + draw(40), 1 + draw(300))
                          : sample(bytes, kinds[draw(KINDS)]);
        uint32_t hits = draw(4);
        for (uint32_t i = 0; i < hits; i++)
            bytes[draw(2) == 0 ? draw((uint32_t)size) : 4 + draw(120) % (uint32_t)size] =
                (uint8_t)draw(draw(2) == 0 ? 4 : 256);
        size_t available = draw(4) == 0 ? draw((uint32_t)size + 1) : size;
        uint64_t *exact = malloc(size + 8);
        memcpy(exact, bytes, size);
        bool ok = check_exact(bytes, available);
        CU_ASSERT_EQUAL(ok, entry_check(exact, available));
        const struct entry *e = (const struct entry *)(const void *)exact;
        refused += !ok;
        if (ok && e->kind == ENTRY_MESSAGES) {
            const struct entry_messages *m = entry_body(e);
            uint32_t offset = 0;
            for (uint32_t i = 0; i < m->count; i++) {
                uint16_t length;
                const uint8_t *block = entry_block_next(e, &offset, &length);
                CU_ASSERT_FATAL(block + length <= (const uint8_t *)e + e->size);
                CU_ASSERT_FATAL(length >= KEEL_MSG_MIN);
                walked++;
            }
            CU_ASSERT_EQUAL(offset, m->bytes);
        }
        free(exact);
    }
    CU_ASSERT(walked > 10000);
    CU_ASSERT(refused > 10000);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a sane entry of each kind is taken, cut off it is not", each_kind_is_taken},
        {"size, version and kind out of form", heads_out_of_form},
        {"padding is zero", padding_is_zero},
        {"limits of messages and blocks", message_limits},
        {"blocks have a limit of their own", blocks_have_a_limit},
        {"a sequencer behind the blocks", fenced_messages},
        {"paths of nodes", paths},
        {"node operations", node_operations},
        {"one operation to an entry, and a whole one", one_operation_and_whole},
        {"access lists", access_lists},
        {"values of each body keep their ranges", body_ranges},
        {"what operators ask for keeps its form", operators},
        {"operators name nodes by their paths", operators_name_nodes_by_paths},
        {"each action of the autopilot", autopilot_bodies},
        {"names of sessions and days", names},
        {"random damage is never read beyond", random_mutations},
        {0}};
    return unit_main("entry", tests);
}
