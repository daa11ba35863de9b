#include "control/admin_request.h"

#include "control/address.h"
#include "control/identity.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

const struct admin_command_entry admin_commands[ADMIN_COMMAND_COUNT] = {
    [ADMIN_STATUS] = {"status", false, "read"},
    [ADMIN_HEALTH] = {"health", false, "timeout_ms"},
    [ADMIN_MEMBER_LIST] = {"member list", false, ""},
    [ADMIN_METRICS] = {"metrics", false, "format"},
    [ADMIN_RING] = {"ring", false, ""},
    [ADMIN_DROPS] = {"drops", false, ""},
    [ADMIN_DAY] = {"day", true, "action name"},
    [ADMIN_RELOAD] = {"config reload", true, ""},
    [ADMIN_MEMBER] = {"member", true, "was voters learners new"},
    [ADMIN_LEADER_TRANSFER] = {"leader transfer", true, "to"},
    [ADMIN_LEADER_STEP_DOWN] = {"leader step-down", true, ""},
    [ADMIN_BACKUP] = {"backup", true, "backup offset"},
    [ADMIN_VERSION_SHOW] = {"version", false, ""},
    [ADMIN_EVENTS] = {"events", false, "since timeout_ms"},
    [ADMIN_CLOCK] = {"clock", false, ""},
    [ADMIN_DIGEST] = {"digest", false, ""},
    [ADMIN_SNAPSHOT] = {"snapshot", true, "timeout_ms"},
    [ADMIN_CONFIG] = {"config show", false, ""},
    [ADMIN_AUTOPILOT] = {"autopilot show", false, ""},
    [ADMIN_AUTOPILOT_SET] = {"autopilot", true, "was mode dead_ms stabilise_ms standbys"},
    [ADMIN_DRAIN] = {"drain", true, "replica"},
    [ADMIN_RESUME] = {"resume", true, "replica"},
    [ADMIN_SESSION_LIST] = {"session list", false, "session principal name after read"},
    [ADMIN_SESSION_LOCKS] = {"session show", false, "session after read"},
    [ADMIN_SESSION_KICK] = {"session kick", true, "session epoch"},
    [ADMIN_SESSION_SUSPEND] = {"session suspend", true, "session principal"},
    [ADMIN_SESSION_RESUME] = {"session resume", true, "session principal"},
    [ADMIN_SESSION_LIMIT] = {"session limit", true, "session principal rate"},
    [ADMIN_NODE_GET] = {"node get", false, "path read"},
    [ADMIN_NODE_LIST] = {"node list", false, "path after read"},
    [ADMIN_NODE_CREATE] = {"node create", true, "path content"},
    [ADMIN_NODE_SET] = {"node set", true, "path content if"},
    [ADMIN_NODE_DELETE] = {"node delete", true, "path if"},
    [ADMIN_NODE_ACL] = {"node acl", true, "path acl if"},
    [ADMIN_LOCK_BREAK] = {"lock break", true, "path now"},
    [ADMIN_GENESIS] = {"genesis status", false, ""},
};

const char *admin_error_name(enum admin_error error)
{
    switch (error) {
    case ADMIN_OK:
        return "ok";
    case ADMIN_BAD_REQUEST:
        return "bad-request";
    case ADMIN_UNKNOWN_COMMAND:
        return "unknown-command";
    case ADMIN_DENIED:
        return "denied";
    case ADMIN_NOT_LEADER:
        return "not-leader";
    case ADMIN_BUSY:
        return "busy";
    case ADMIN_LOST:
        return "lost";
    case ADMIN_TIMED_OUT:
        return "timed-out";
    case ADMIN_REFUSED:
        return "refused";
    case ADMIN_BEHIND:
        return "behind";
    case ADMIN_UNSAFE:
        return "unsafe";
    case ADMIN_NO_QUORUM:
        return "no-quorum";
    case ADMIN_FOUNDING:
        return "founding";
    case ADMIN_CONFIGURATION:
        return "configuration";
    case ADMIN_FAILED:
        return "failed";
    case ADMIN_ERROR_COUNT:
        break;
    }
    return "unknown";
}

static const char *const autopilot_modes[] = {
    [AUTOPILOT_OFF] = "off", [AUTOPILOT_DRY_RUN] = "dry-run", [AUTOPILOT_ON] = "on"};

const char *admin_autopilot_mode_name(uint32_t mode)
{
    return mode <= AUTOPILOT_ON ? autopilot_modes[mode] : "unknown";
}

int admin_autopilot_mode(const char *name)
{
    for (int mode = AUTOPILOT_ON; name != NULL && mode >= 0; mode--)
        if (strcmp(name, autopilot_modes[mode]) == 0)
            return mode;
    return -1;
}

bool admin_day_name(const char *text, char day[KEEL_DAY_NAME_SIZE])
{
    size_t size = strlen(text);
    if (size == 0 || size > KEEL_DAY_NAME_SIZE)
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    memset(day, ' ', KEEL_DAY_NAME_SIZE);
    memcpy(day, text, size);
    return true;
}

static enum admin_error bad(char *why, enum admin_error error, const char *text)
{
    snprintf(why, ADMIN_WHY_MAX, "%s", text);
    return error;
}

static enum admin_error parse_day(const json_t *object, struct admin_request *request, char *why)
{
    const char *action = json_string_value(json_object_get(object, "action"));
    const char *name = json_string_value(json_object_get(object, "name"));
    if (action == NULL || (strcmp(action, "begin") != 0 && strcmp(action, "end") != 0))
        return bad(why, ADMIN_BAD_REQUEST, "day wants \"action\":\"begin\" or \"end\"");
    if (name == NULL || !admin_day_name(name, request->day))
        return bad(why, ADMIN_BAD_REQUEST,
                   "day wants \"name\": 1 to 10 printable characters without spaces");
    request->day_begin = action[0] == 'b';
    return ADMIN_OK;
}

/* An array of replica ids as a mask; false: it is none. */
static bool parse_ids(const json_t *list, uint32_t *mask)
{
    *mask = 0;
    if (!json_is_array(list))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t id = json_integer_value(json_array_get(list, i));
        if (id < 1 || id > KEEL_REPLICA_MAX || (*mask >> id & 1) != 0)
            return false;
        *mask |= UINT32_C(1) << id;
    }
    return true;
}

/* {"replica":4,"address":"10.0.0.4:7400","incarnation":"..16 hex digits.."} */
static bool parse_new(const json_t *object, struct entry_config *wanted)
{
    json_int_t id = json_integer_value(json_object_get(object, "replica"));
    const char *address = json_string_value(json_object_get(object, "address"));
    const char *incarnation = json_string_value(json_object_get(object, "incarnation"));
    if (id < 1 || id > KEEL_REPLICA_MAX || address == NULL || incarnation == NULL)
        return false;
    struct entry_member *m = &wanted->member[id];
    return identity_hex(incarnation, &m->incarnation) &&
           address_ip_port(address, &m->ip, &m->port) && m->ip != 0;
}

static enum admin_error parse_member(const json_t *object, struct admin_request *request, char *why)
{
    const json_t *was = json_object_get(object, "was");
    const json_t *list = json_object_get(object, "new");
    struct entry_config *wanted = &request->wanted;
    if (!json_is_integer(was) || json_integer_value(was) < 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "member wants \"was\": the index of the configuration that it replaces");
    request->was = (uint64_t)json_integer_value(was);
    if (!parse_ids(json_object_get(object, "voters"), &wanted->voters) ||
        !parse_ids(json_object_get(object, "learners"), &wanted->learners) || wanted->voters == 0 ||
        (wanted->voters & wanted->learners) != 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "member wants \"voters\" and \"learners\": replica ids from 1 to 7, "
                   "at least one voter, none twice");
    if (list != NULL && json_typeof(list) != JSON_ARRAY)
        return bad(why, ADMIN_BAD_REQUEST, "\"new\" is an array of members");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!parse_new(json_array_get(list, i), wanted))
            return bad(why, ADMIN_BAD_REQUEST,
                       "a new member has \"replica\", \"address\" (IP:PORT) and "
                       "\"incarnation\" (hex digits, as `keeld format` printed it)");
    return ADMIN_OK;
}

static enum admin_error parse_transfer(const json_t *object, struct admin_request *request,
                                       char *why)
{
    const json_t *to = json_object_get(object, "to");
    json_int_t id = json_integer_value(to);
    if (to != NULL && (json_typeof(to) != JSON_INTEGER || id < 1 || id > KEEL_REPLICA_MAX))
        return bad(why, ADMIN_BAD_REQUEST, "leader transfer wants \"to\": a replica's id, 1 to 7");
    request->to = (uint8_t)id;
    return ADMIN_OK;
}

/* {"backup":ID,"offset":N}: a piece of one that was taken; neither: take one. */
static enum admin_error parse_backup(const json_t *object, struct admin_request *request, char *why)
{
    const json_t *id = json_object_get(object, "backup");
    const json_t *offset = json_object_get(object, "offset");
    if (id == NULL && offset == NULL)
        return ADMIN_OK;
    if (!json_is_integer(id) || !json_is_integer(offset) || json_integer_value(id) < 1 ||
        json_integer_value(offset) < 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "backup wants \"backup\" and \"offset\", numbers, or neither");
    request->backup = (uint64_t)json_integer_value(id);
    request->offset = (uint64_t)json_integer_value(offset);
    return ADMIN_OK;
}

static bool parse_ms(const json_t *object, const char *key, uint32_t *ms)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    *ms = (uint32_t)value;
    return value >= AUTOPILOT_TIME_MIN_MS && value <= AUTOPILOT_TIME_MAX_MS;
}

/* All of the settings, as they are to be. */
static enum admin_error parse_autopilot(const json_t *object, struct admin_request *request,
                                        char *why)
{
    const json_t *was = json_object_get(object, "was");
    struct entry_autopilot *body = &request->autopilot;
    int mode = admin_autopilot_mode(json_string_value(json_object_get(object, "mode")));
    if (!json_is_integer(was) || json_integer_value(was) < 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "autopilot wants \"was\": the index of the settings that it replaces, or 0");
    if (mode < 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "autopilot wants \"mode\": \"off\", \"dry-run\" or \"on\"");
    if (!parse_ms(object, "dead_ms", &body->dead_ms) ||
        !parse_ms(object, "stabilise_ms", &body->stabilise_ms))
        return bad(why, ADMIN_BAD_REQUEST,
                   "autopilot wants \"dead_ms\" and \"stabilise_ms\", from 1000 to 86400000");
    if (!parse_ids(json_object_get(object, "standbys"), &body->standbys))
        return bad(why, ADMIN_BAD_REQUEST,
                   "autopilot wants \"standbys\": replica ids from 1 to 7, none twice");
    body->action = AUTOPILOT_SET;
    body->mode = (uint8_t)mode;
    body->was = request->was = (uint64_t)json_integer_value(was);
    return ADMIN_OK;
}

static enum admin_error parse_status(const json_t *object, struct admin_request *request, char *why)
{
    const json_t *read = json_object_get(object, "read");
    json_type type = read == NULL ? JSON_FALSE : json_typeof(read);
    if (type != JSON_TRUE && type != JSON_FALSE)
        return bad(why, ADMIN_BAD_REQUEST, "status wants \"read\": true or false");
    request->read = type == JSON_TRUE;
    return ADMIN_OK;
}

/* What every command that changes something takes. */
static enum admin_error parse_change(const json_t *object, struct admin_request *request, char *why)
{
    const json_t *id = json_object_get(object, "request");
    const json_t *dry = json_object_get(object, "dry_run");
    json_type type = dry != NULL ? json_typeof(dry) : JSON_FALSE;
    const char *text = json_string_value(id);
    if (id != NULL && (text == NULL || !admin_request_id(text, request->id)))
        return bad(why, ADMIN_BAD_REQUEST, "\"request\" is an id of 32 hex digits, not all 0");
    if (type != JSON_TRUE && type != JSON_FALSE)
        return bad(why, ADMIN_BAD_REQUEST, "\"dry_run\" is true or false");
    if (type == JSON_TRUE &&
        (request->command == ADMIN_RELOAD || request->command == ADMIN_BACKUP ||
         request->command == ADMIN_SNAPSHOT))
        return bad(why, ADMIN_BAD_REQUEST,
                   "this command cannot be tried out: leave \"dry_run\" out");
    request->dry_run = type == JSON_TRUE;
    return ADMIN_OK;
}

static enum admin_error parse_timeout(const json_t *object, struct admin_request *request,
                                      char *why)
{
    const json_t *timeout = json_object_get(object, "timeout_ms");
    json_int_t ms = json_integer_value(timeout);
    if (timeout != NULL &&
        (json_typeof(timeout) != JSON_INTEGER || ms < 1 || ms > ADMIN_TIMEOUT_MAX_MS))
        return bad(why, ADMIN_BAD_REQUEST, "\"timeout_ms\" is from 1 to 60000");
    request->timeout_ms = (uint32_t)ms;
    return ADMIN_OK;
}

static enum admin_error parse_events(const json_t *object, struct admin_request *request, char *why)
{
    const json_t *since = json_object_get(object, "since");
    if (since != NULL && (json_typeof(since) != JSON_INTEGER || json_integer_value(since) < 0))
        return bad(why, ADMIN_BAD_REQUEST, "events wants \"since\": an event's number");
    request->since = (uint64_t)json_integer_value(since);
    return parse_timeout(object, request, why);
}

/* Every key must be one that the command takes: a misspelt option is no silent default. */
/* Is `word` one of the words of `list`? */
static bool listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; size > 0 && (at = strstr(at, word)) != NULL; at += size)
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
            return true;
    return false;
}

static bool keys_known(json_t *object, enum admin_command command)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) /* unreachable: a key without a value */
    {
        bool change = admin_commands[command].changes && listed("request dry_run", key);
        if (!change && !listed("v cmd", key) && !listed(admin_commands[command].keys, key))
            return false;
    }
    return true;
}

static enum admin_error parse_metrics(const json_t *object, struct admin_request *request,
                                      char *why)
{
    const char *format = json_string_value(json_object_get(object, "format"));
    request->text = format == NULL || strcmp(format, "openmetrics") == 0;
    if (format != NULL && !request->text && strcmp(format, "numbers") != 0)
        return bad(why, ADMIN_BAD_REQUEST,
                   "metrics wants \"format\":\"openmetrics\" or \"numbers\"");
    return ADMIN_OK;
}

/* Of the commands that take keys. */
static enum admin_error (*const parse[ADMIN_COMMAND_COUNT])(const json_t *object,
                                                            struct admin_request *request,
                                                            char *why) = {
    [ADMIN_STATUS] = parse_status,    [ADMIN_HEALTH] = parse_timeout,
    [ADMIN_METRICS] = parse_metrics,  [ADMIN_DAY] = parse_day,
    [ADMIN_MEMBER] = parse_member,    [ADMIN_LEADER_TRANSFER] = parse_transfer,
    [ADMIN_BACKUP] = parse_backup,    [ADMIN_EVENTS] = parse_events,
    [ADMIN_SNAPSHOT] = parse_timeout, [ADMIN_AUTOPILOT_SET] = parse_autopilot,
};

static enum admin_error parse_object(json_t *object, struct admin_request *request, char *why)
{
    const json_t *version = json_object_get(object, "v");
    const char *name = json_string_value(json_object_get(object, "cmd"));
    if (!json_is_integer(version) || json_integer_value(version) != ADMIN_VERSION)
        return bad(why, ADMIN_BAD_REQUEST, "\"v\" must be 1: this daemon speaks version 1");
    if (name == NULL)
        return bad(why, ADMIN_BAD_REQUEST, "\"cmd\" must name a command");
    int at = 0;
    while (at < ADMIN_COMMAND_COUNT && strcmp(name, admin_commands[at].name) != 0)
        at++;
    if (at == ADMIN_COMMAND_COUNT)
        return bad(why, ADMIN_UNKNOWN_COMMAND, "no such command: keelctl --help lists them");
    request->command = (enum admin_command)at;
    if (!keys_known(object, request->command))
        return bad(why, ADMIN_BAD_REQUEST, "a key that this command does not take");
    enum admin_error error = parse_change(object, request, why);
    if (error != ADMIN_OK)
        return error;
    if (admin_target_command(request->command))
        return admin_target_parse(object, request, why);
    return parse[at] != NULL ? parse[at](object, request, why) : ADMIN_OK;
}

enum admin_error admin_request_parse(const char *line, size_t size, struct admin_request *request,
                                     char *why)
{
    memset(request, 0, sizeof(*request));
    why[0] = '\0';
    if (size > ADMIN_LINE_MAX)
        return bad(why, ADMIN_BAD_REQUEST, "the line is longer than 4096 bytes");
    json_error_t error;
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        snprintf(why, ADMIN_WHY_MAX, "not a JSON object: %.100s", error.text);
        return ADMIN_BAD_REQUEST;
    }
    enum admin_error result = parse_object(object, request, why);
    json_decref(object);
    return result;
}
