/* The keys of the commands that operators have on replicas, sessions, nodes and locks. */
#include "control/admin_request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define OF(command) (UINT32_C(1) << (ADMIN_##command - ADMIN_DRAIN))
#define SESSIONS (OF(SESSION_LIST) | OF(SESSION_SUSPEND) | OF(SESSION_RESUME) | OF(SESSION_LIMIT))
#define NODES                                                                                      \
    (OF(NODE_GET) | OF(NODE_LIST) | OF(NODE_CREATE) | OF(NODE_SET) | OF(NODE_DELETE) |             \
     OF(NODE_ACL) | OF(LOCK_BREAK))

bool admin_target_command(enum admin_command command)
{
    return command >= ADMIN_DRAIN && command <= ADMIN_LOCK_BREAK;
}

static uint32_t bit_of(enum admin_command command)
{
    return UINT32_C(1) << (command - ADMIN_DRAIN);
}

static bool hex_digit(char c, uint8_t *value)
{
    if (c >= '0' && c <= '9')
        *value = (uint8_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *value = (uint8_t)(c - 'a' + 10);
    else
        return false;
    return true;
}

/* At most `most` bytes as lower-case hex digits. */
static bool hex_bytes(const char *text, uint8_t *bytes, size_t most, size_t *size)
{
    size_t digits = strlen(text);
    if (digits % 2 != 0 || digits / 2 > most)
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        uint8_t high, low;
        if (!hex_digit(text[2 * i], &high) || !hex_digit(text[2 * i + 1], &low))
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    *size = digits / 2;
    return true;
}

bool admin_request_id(const char *text, uint64_t id[2])
{
    uint8_t bytes[ADMIN_ID_DIGITS / 2];
    size_t size;
    if (strlen(text) != ADMIN_ID_DIGITS || !hex_bytes(text, bytes, sizeof(bytes), &size))
        return false;
    memset(id, 0, 2 * sizeof(id[0]));
    for (size_t i = 0; i < size; i++)
        id[i / 8] = id[i / 8] << 8 | bytes[i];
    return (id[0] | id[1]) != 0;
}

static enum admin_error wants(char *why, const char *text)
{
    snprintf(why, ADMIN_WHY_MAX, "%s", text);
    return ADMIN_BAD_REQUEST;
}

/* A number from `least` to `most`; without the key 0. */
static bool number(const json_t *object, const char *key, json_int_t least, json_int_t most,
                   uint64_t *value)
{
    const json_t *found = json_object_get(object, key);
    *value = (uint64_t)json_integer_value(found);
    return found == NULL || (json_is_integer(found) && json_integer_value(found) >= least &&
                             json_integer_value(found) <= most);
}

static bool flag(const json_t *object, const char *key, bool *value)
{
    const json_t *found = json_object_get(object, key);
    *value = json_is_true(found);
    return found == NULL || json_is_boolean(found);
}

static enum admin_error take_numbers(const json_t *object, struct admin_target *t, char *why)
{
    uint64_t replica, principal, rate;
    const json_int_t most = INT64_MAX;
    if (!number(object, "replica", 1, KEEL_REPLICA_MAX, &replica))
        return wants(why, "\"replica\" is an id, 1 to 7");
    if (!number(object, "principal", KEEL_CLIENT_MIN, UINT32_MAX, &principal))
        return wants(why, "\"principal\" is a client's, from 16 on");
    if (!number(object, "rate", 0, OPERATOR_RATE_MAX, &rate))
        return wants(why, "\"rate\" is 0 to 10000000 messages a second, 0: no limit");
    if (!number(object, "session", 1, most, &t->session) ||
        !number(object, "epoch", 1, most, &t->epoch) ||
        !number(object, "after", 0, most, &t->after) || !number(object, "if", 1, most, &t->compare))
        return wants(why, "\"session\", \"epoch\" and \"if\" are numbers from 1, \"after\" from 0");
    t->replica = (uint8_t)replica;
    t->principal = (uint32_t)principal;
    t->rate = (uint32_t)rate;
    t->compares = t->compare != 0;
    return ADMIN_OK;
}

static bool take_text(const json_t *object, const char *key, char *to, size_t room)
{
    const json_t *found = json_object_get(object, key);
    const char *text = json_string_value(found);
    if (found == NULL)
        return true;
    if (text == NULL || text[0] == '\0' || strlen(text) >= room ||
        strlen(text) != json_string_length(found))
        return false;
    strcpy(to, text);
    return true;
}

/* {"principal":100 or 0,"rights":"rwc"} */
static bool take_right(const json_t *row, struct node_right *right)
{
    const json_t *who = json_object_get(row, "principal");
    const char *letters = json_string_value(json_object_get(row, "rights"));
    json_int_t principal = json_integer_value(who);
    *right = (struct node_right){.principal = (uint32_t)principal};
    if (!json_is_integer(who) || principal < 0 || principal > UINT32_MAX || letters == NULL)
        return false;
    for (; *letters != '\0'; letters++) {
        uint32_t bit = *letters == 'r'   ? NODE_READ
                       : *letters == 'w' ? NODE_WRITE
                       : *letters == 'c' ? NODE_CHANGE
                                         : 0;
        if (bit == 0 || (right->rights & bit) != 0)
            return false;
        right->rights |= bit;
    }
    return true;
}

static bool take_acl(const json_t *object, struct admin_target *t)
{
    const json_t *list = json_object_get(object, "acl");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > KEEL_ACL_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct node_right right;
        if (!take_right(json_array_get(list, i), &right))
            return false;
        memcpy(t->content + i * sizeof(right), &right, sizeof(right));
    }
    t->content_size = (uint16_t)(count * sizeof(struct node_right));
    return entry_acl_ok(t->content, t->content_size);
}

static bool take_content(const json_t *object, struct admin_target *t)
{
    const json_t *found = json_object_get(object, "content");
    const char *text = json_string_value(found);
    size_t size = 0;
    if (found != NULL && (text == NULL || !hex_bytes(text, t->content, KEEL_CONTENT_MAX, &size)))
        return false;
    t->content_size = (uint16_t)size;
    return true;
}

/* Whether what the command cannot do without is there. */
static enum admin_error complete(enum admin_command command, const json_t *object,
                                 const struct admin_target *t, char *why)
{
    uint32_t bit = bit_of(command);
    if ((bit & NODES) != 0 && !entry_path_ok(t->path, strlen(t->path)))
        return wants(why, "\"path\" is a node's: / or up to 16 parts, each behind a /");
    if ((bit & (OF(DRAIN) | OF(RESUME))) != 0 && t->replica == 0)
        return wants(why, "\"replica\" is missing: which one?");
    if ((bit & (OF(SESSION_KICK) | OF(SESSION_LOCKS))) != 0 && t->session == 0)
        return wants(why, "\"session\" is missing: which one?");
    if ((bit & SESSIONS & ~OF(SESSION_LIST)) != 0 && (t->session == 0) == (t->principal == 0))
        return wants(why, "name a \"session\" or a \"principal\"");
    if (command == ADMIN_SESSION_LIMIT && json_object_get(object, "rate") == NULL)
        return wants(why, "\"rate\" is missing: how many messages a second?");
    return ADMIN_OK;
}

enum admin_error admin_target_parse(const void *json, struct admin_request *request, char *why)
{
    const json_t *object = json;
    struct admin_target *t = &request->target;
    enum admin_error error = take_numbers(object, t, why);
    if (error != ADMIN_OK)
        return error;
    if (!take_text(object, "name", t->name, sizeof(t->name)))
        return wants(why, "\"name\" is a session's: 1 to 31 characters");
    if (!take_text(object, "path", t->path, sizeof(t->path)))
        return wants(why, "\"path\" is a node's: at most 127 characters");
    if (!flag(object, "now", &t->now) || !flag(object, "read", &request->read))
        return wants(why, "\"now\" and \"read\" are true or false");
    if (request->command == ADMIN_NODE_ACL ? !take_acl(object, t) : !take_content(object, t))
        return wants(why,
                     "\"content\" is at most 256 bytes as lower-case hex digits, \"acl\" at most "
                     "8 of {\"principal\":100,\"rights\":\"rwc\"}");
    return complete(request->command, object, t, why);
}
