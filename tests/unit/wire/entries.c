#include "tests/unit/wire/entries.h"

#include <stdlib.h>
#include <string.h>

const struct entry_autopilot entries_replace = {.action = AUTOPILOT_REPLACE,
                                                .voter = 3,
                                                .standby = 4,
                                                .was = 9,
                                                .term = 2,
                                                .silent_ms = 30001,
                                                .steady_ms = 10001,
                                                .behind = 5,
                                                .well = 6};

bool entries_check(const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size + 1);
    memcpy(exact + 1, bytes, size);
    bool ok = entry_check(exact + 1, size);
    free(exact);
    return ok;
}

size_t entries_put(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind, const void *body,
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

size_t entries_put_messages(uint8_t bytes[KEEL_ENTRY_MAX], uint32_t count, uint32_t length,
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
    return entries_put(bytes, ENTRY_MESSAGES, body, at);
}

size_t entries_put_node(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_node *op,
                        const char *path, const char *content)
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
    return entries_put(bytes, ENTRY_NODE, body, sizeof(head) + head.bytes);
}

size_t entries_put_operator(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_operator *op)
{
    uint8_t body[sizeof(*op) + sizeof(struct entry_node) + 4];
    const struct entry_node release = {.operation = NODE_RELEASE, .path_size = 2};
    const struct entry_node open = {.operation = NODE_OPEN, .flags = NODE_CREATE, .path_size = 4};
    memcpy(body, op, sizeof(*op));
    memcpy(body + sizeof(*op), op->size == sizeof(release) + 2 ? &release : &open, sizeof(release));
    memcpy(body + sizeof(*op) + sizeof(open), "/a/b", 4);
    return entries_put(bytes, ENTRY_OPERATOR, body, sizeof(*op) + op->size);
}

size_t entries_sample(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind)
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
        return entries_put(bytes, kind, &noop, sizeof(noop));
    case ENTRY_MESSAGES:
        return entries_put_messages(bytes, 3, 9, 14);
    case ENTRY_SESSION_OPEN:
    case ENTRY_SESSION_RESUME:
        return entries_put(bytes, kind, &open, sizeof(open));
    case ENTRY_SESSION_EXPIRE:
        end.reason = SESSION_END_EXPIRED;
        return entries_put(bytes, kind, &end, sizeof(end));
    case ENTRY_SESSION_END:
        return entries_put(bytes, kind, &end, sizeof(end));
    case ENTRY_DAY_END:
    case ENTRY_DAY_BEGIN:
        return entries_put(bytes, kind, &day, sizeof(day));
    case ENTRY_BOOT:
        return entries_put(bytes, kind, &boot, sizeof(boot));
    case ENTRY_CONFIG:
        return entries_put(bytes, kind, &config, sizeof(config));
    case ENTRY_NODE:
        return entries_put_node(bytes, &(struct entry_node){.operation = NODE_OPEN}, "/a/b", "");
    case ENTRY_DUE:
        return entries_put(bytes, kind, &(struct entry_due){.term = 3}, sizeof(struct entry_due));
    case ENTRY_OPERATOR:
        return entries_put_operator(bytes, &(struct entry_operator){.request = {7, 0},
                                                                    .principal = KEEL_CLIENT_MIN,
                                                                    .value = 1,
                                                                    .operation = OPERATOR_SUSPEND});
    case ENTRY_AUTOPILOT:
        return entries_put(bytes, kind, &entries_replace, sizeof(entries_replace));
    case ENTRY_PROBE:
        return entries_put(bytes, kind, &(struct entry_probe){{0}}, sizeof(struct entry_probe));
    }
    return 0;
}
