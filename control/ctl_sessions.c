/* `keelctl session ...`: who is connected, and what operators may do about it. */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"

#include <stdio.h>
#include <string.h>

enum { SESSION_PAGES_MAX = 4096, NUMBER_DIGITS = 20 };

/* All pages of a listing, as one array; CTL_DONE, or an exit code after saying why. */
static int gather(const struct ctl *ctl, const char *name, const char *list, json_t *asked,
                  json_t **rows)
{
    json_int_t after = 0;
    *rows = json_array();
    int code = CTL_DONE;
    for (int page = 0; page < SESSION_PAGES_MAX && code == CTL_DONE; page++) {
        json_t *result = NULL;
        json_object_set_new(asked, "after", json_integer(after));
        code = ctl_ask(ctl, name, json_copy(asked), &result);
        if (code != CTL_DONE)
            break;
        json_array_extend(*rows, json_object_get(result, list));
        const json_t *next = json_object_get(result, "next");
        bool more = json_is_integer(next);
        after = json_integer_value(next);
        json_decref(result);
        if (!more)
            break;
    }
    json_decref(asked);
    if (code != CTL_DONE)
        json_decref(*rows);
    return code;
}

/* --principal and --read of a listing. */
static int filters(const struct ctl *ctl, json_t **asked)
{
    uint64_t principal = 0;
    int code = ctl_number(ctl, "principal", KEEL_CLIENT_MIN, UINT32_MAX, &principal);
    if (code != CTL_DONE)
        return code;
    *asked = json_object();
    if (principal != 0)
        json_object_set_new(*asked, "principal", json_integer((json_int_t)principal));
    if (ctl_value(ctl, "read") != NULL)
        json_object_set_new(*asked, "read", json_true());
    return CTL_DONE;
}

int ctl_session_list(struct ctl *ctl)
{
    static const char *const columns[] = {
        "session=SESSION", "principal=PRINCIPAL", "name=NAME",
        "state=STATE",     "last_number=LAST",    "acknowledged_number=ACKED",
        "limit=LIMIT",     "locks_held=LOCKS",    "locks_waiting=WAITS",
        "ttl_ms=TTL_MS",   "heard_ms=HEARD_MS",   NULL};
    json_t *asked = NULL, *rows = NULL;
    int code = filters(ctl, &asked);
    if (code == CTL_DONE)
        code = gather(ctl, "session list", "sessions", asked, &rows);
    if (code != CTL_DONE)
        return code;
    if (ctl->json) {
        json_t *object = json_pack("{s:O}", "sessions", rows);
        code = ctl_print_json(object);
        json_decref(object);
    } else {
        ctl_print_table(rows, columns);
    }
    json_decref(rows);
    return code;
}

static bool ended(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    return state == NULL || (strcmp(state, "alive") != 0 && strcmp(state, "suspended") != 0);
}

/* The session that a word names, by its id, or by a name that one living session has. */
static int session_word(const struct ctl *ctl, json_t **row)
{
    const char *word = ctl->word[0];
    uint64_t id = 0;
    json_t *asked = NULL, *rows = NULL;
    int code = filters(ctl, &asked);
    if (code != CTL_DONE)
        return code;
    if (strlen(word) < NUMBER_DIGITS && address_number(word, 1, INT64_MAX, &id))
        json_object_set_new(asked, "session", json_integer((json_int_t)id));
    else
        json_object_set_new(asked, "name", json_string(word));
    code = gather(ctl, "session list", "sessions", asked, &rows);
    if (code != CTL_DONE)
        return code;
    size_t living = 0, count = json_array_size(rows);
    json_t *found = json_array_get(rows, count - 1);
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_array_get(rows, i);
        found = ended(one) ? found : one;
        living += !ended(one);
    }
    if (count == 0 || living > 1)
        code = ctl_fail(CTL_FAILED, "%s: '%s': %s: `keelctl session list` shows all",
                        ctl->command->name, word,
                        count == 0 ? "no such session"
                                   : "several principals have one of that name: give its id, or "
                                     "--principal");
    else
        *row = json_incref(found);
    json_decref(rows);
    return code;
}

int ctl_session_show(struct ctl *ctl)
{
    static const char *const columns[] = {"path=PATH", "state=LOCK", "mode=MODE",
                                          "generation=GENERATION", NULL};
    json_t *row = NULL, *locks = NULL;
    int code = session_word(ctl, &row);
    if (code != CTL_DONE)
        return code;
    json_int_t id = json_integer_value(json_object_get(row, "session"));
    code = gather(ctl, "session show", "locks", json_pack("{s:I}", "session", id), &locks);
    if (code == CTL_DONE && ctl->json) {
        json_object_set(row, "locks", locks);
        code = ctl_print_json(row);
    } else if (code == CTL_DONE) {
        ctl_print_pairs(row, 0);
        if (json_array_size(locks) > 0)
            ctl_print_table(locks, columns);
    }
    if (code == CTL_DONE)
        json_decref(locks);
    json_decref(row);
    return code;
}

/* In the life that is seen now: who has resumed meanwhile is not who was meant. */
int ctl_session_kick(struct ctl *ctl)
{
    json_t *row = NULL, *result = NULL;
    int code = session_word(ctl, &row);
    if (code != CTL_DONE)
        return code;
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(row, "epoch"));
    code = ctl_number(ctl, "epoch", 1, INT64_MAX, &epoch);
    json_t *extra = json_pack("{s:O,s:I}", "session", json_object_get(row, "session"), "epoch",
                              (json_int_t)epoch);
    json_decref(row);
    if (code == CTL_DONE)
        code = ctl_change(ctl, "session kick", json_incref(extra), &result);
    json_decref(extra);
    return code == CTL_DONE ? ctl_change_show(ctl, result, "ended") : code;
}

/* A session by a word, or a principal by --principal alone. */
static int subject(struct ctl *ctl, json_t **extra)
{
    json_t *row = NULL;
    if (ctl->word_count == 0) {
        uint64_t principal = 0;
        int code = ctl_number(ctl, "principal", KEEL_CLIENT_MIN, UINT32_MAX, &principal);
        if (code == CTL_DONE && principal == 0)
            code = ctl_fail(CTL_USAGE, "%s: name a SESSION, or a client by --principal",
                            ctl->command->name);
        if (code == CTL_DONE)
            *extra = json_pack("{s:I}", "principal", (json_int_t)principal);
        return code;
    }
    int code = session_word(ctl, &row);
    if (code != CTL_DONE)
        return code;
    *extra = json_pack("{s:O}", "session", json_object_get(row, "session"));
    json_decref(row);
    return CTL_DONE;
}

static int hold_back(struct ctl *ctl, const char *what)
{
    json_t *extra = NULL, *result = NULL;
    int code = subject(ctl, &extra);
    if (code == CTL_DONE)
        code = ctl_change(ctl, ctl->command->name, extra, &result);
    return code == CTL_DONE ? ctl_change_show(ctl, result, what) : code;
}

int ctl_session_suspend(struct ctl *ctl)
{
    return hold_back(ctl, "suspended");
}

int ctl_session_resume(struct ctl *ctl)
{
    return hold_back(ctl, "may submit");
}

int ctl_session_limit(struct ctl *ctl)
{
    json_t *extra = NULL, *result = NULL;
    uint64_t rate = 0;
    if (ctl_value(ctl, "rate") == NULL)
        return ctl_fail(CTL_USAGE,
                        "session limit: --rate is missing: messages a second, 0: no limit");
    int code = ctl_number(ctl, "rate", 0, OPERATOR_RATE_MAX, &rate);
    if (code == CTL_DONE)
        code = subject(ctl, &extra);
    if (code != CTL_DONE)
        return code;
    json_object_set_new(extra, "rate", json_integer((json_int_t)rate));
    code = ctl_change(ctl, "session limit", extra, &result);
    return code == CTL_DONE ? ctl_change_show(ctl, result, "limit set") : code;
}
