/* `keelctl autopilot ...`: what it sees, its settings, its decisions.
 *
 * Settings are changed as a whole, by compare-and-set on those that were read: two operators do not
 * undo each other's, and asking again for what stands changes nothing.
 */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { UTC_TEXT_MAX = 32 };

static int ask(const struct ctl *ctl, json_t **state)
{
    return ctl_ask(ctl, "autopilot show", NULL, state);
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "";
}

static void print_ids(const char *label, const json_t *list)
{
    printf("%-14s", label);
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s%lld", i > 0 ? " " : "", (long long)json_integer_value(json_array_get(list, i)));
    puts(json_array_size(list) == 0 ? "none" : "");
}

int ctl_autopilot_show(struct ctl *ctl)
{
    static const char *const columns[] = {"replica=ID", "role=ROLE", "silent_ms=SILENT_MS",
                                          "steady_ms=STEADY_MS", NULL};
    json_t *state = NULL;
    int code = ask(ctl, &state);
    if (code != CTL_DONE)
        return code;
    if (ctl->json) {
        code = ctl_print_json(state);
    } else {
        const char *refusal = text(state, "refusal");
        printf("%-14s%s\n%-14s%lld ms\n%-14s%lld ms\n", "mode", text(state, "mode"), "dead after",
               number(state, "dead_ms"), "stabilise", number(state, "stabilise_ms"));
        print_ids("standbys", json_object_get(state, "standbys"));
        print_ids("replaced", json_object_get(state, "replaced"));
        printf("%-14s%lld\n%-14s", "decisions", number(state, "decisions_made"), "now");
        if (number(state, "about") != 0)
            printf("replica %lld: ", number(state, "about"));
        printf("%s%s%s\n\n", text(state, "why"), refusal[0] != '\0' ? ": " : "", refusal);
        ctl_print_table(json_object_get(state, "members"), columns);
    }
    json_decref(state);
    return code;
}

static void print_decision(const json_t *d)
{
    char when[UTC_TEXT_MAX];
    time_t seconds = (time_t)(number(d, "utc_ns") / 1000000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    printf("index %lld  %s  %s: %s\n", number(d, "index"), when, text(d, "state"),
           text(d, "reason"));
    if (number(d, "ended_index") != 0 && strcmp(text(d, "action"), "replace") == 0)
        printf("    %s at index %lld%s%s\n", text(d, "state"), number(d, "ended_index"),
               text(d, "withdrawn_for")[0] != '\0' ? ": " : "", text(d, "withdrawn_for"));
}

int ctl_autopilot_decisions(struct ctl *ctl)
{
    json_t *state = NULL;
    int code = ask(ctl, &state);
    if (code != CTL_DONE)
        return code;
    json_t *list = json_object_get(state, "decisions");
    if (ctl->json) {
        json_t *result = json_pack("{s:O,s:O}", "decisions_made",
                                   json_object_get(state, "decisions_made"), "decisions", list);
        code = ctl_print_json(result);
        json_decref(result);
    } else {
        for (size_t i = 0; i < json_array_size(list); i++)
            print_decision(json_array_get(list, i));
        if (json_array_size(list) == 0)
            puts("none was made");
    }
    json_decref(state);
    return code;
}

/* --- settings
 * -------------------------------------------------------------------------------------- */

/* Asks for the settings that were read, but for what has been set in them since. Takes the state
 * over. */
static int change(struct ctl *ctl, const char *name, json_t *state)
{
    json_t *result = NULL;
    json_t *extra =
        json_pack("{s:O,s:O,s:O,s:O,s:O}", "was", json_object_get(state, "revision"), "mode",
                  json_object_get(state, "mode"), "dead_ms", json_object_get(state, "dead_ms"),
                  "stabilise_ms", json_object_get(state, "stabilise_ms"), "standbys",
                  json_object_get(state, "standbys"));
    json_t *answer = NULL;
    int code = ctl_change_keys(ctl, extra);
    if (code == CTL_DONE)
        code = ctl_exchange(ctl, "autopilot", json_incref(extra), &answer);
    json_decref(extra);
    if (code == CTL_DONE)
        code = ctl_judge(ctl, name, answer, &result);
    if (code == CTL_DONE && ctl->json)
        code = ctl_print_json(result);
    else if (code == CTL_DONE && ctl_dry_run(ctl))
        printf("%s: %s: nothing was changed\n", name,
               json_is_true(json_object_get(result, "changed")) ? "would be done"
                                                                : "nothing to do");
    else if (code == CTL_DONE)
        printf("%s: %s at index %lld\n", name,
               json_is_true(json_object_get(result, "changed")) ? "done" : "nothing to do",
               number(result, "index"));
    json_decref(result);
    json_decref(state);
    return code;
}

static int set_ms(const struct ctl *ctl, const char *name, json_t *state, int option,
                  const char *key)
{
    uint64_t value;
    if (ctl->value[option] == NULL)
        return CTL_DONE;
    if (!address_number(ctl->value[option], AUTOPILOT_TIME_MIN_MS, AUTOPILOT_TIME_MAX_MS, &value))
        return ctl_fail(CTL_USAGE, "%s: %s %s: give milliseconds from %d to %d", name,
                        ctl->command->options[option].name, ctl->value[option],
                        AUTOPILOT_TIME_MIN_MS, AUTOPILOT_TIME_MAX_MS);
    json_object_set_new(state, key, json_integer((json_int_t)value));
    return CTL_DONE;
}

static int set_mode(struct ctl *ctl, const char *name, enum autopilot_mode mode)
{
    json_t *state = NULL;
    int code = ask(ctl, &state);
    if (code != CTL_DONE)
        return code;
    json_object_set_new(state, "mode", json_string(admin_autopilot_mode_name(mode)));
    code = set_ms(ctl, name, state, 0, "dead_ms");
    if (code == CTL_DONE)
        code = set_ms(ctl, name, state, 1, "stabilise_ms");
    if (code == CTL_DONE)
        return change(ctl, name, state);
    json_decref(state);
    return code;
}

int ctl_autopilot_on(struct ctl *ctl)
{
    return set_mode(ctl, "autopilot on", AUTOPILOT_ON);
}

int ctl_autopilot_dry_run(struct ctl *ctl)
{
    return set_mode(ctl, "autopilot dry-run", AUTOPILOT_DRY_RUN);
}

int ctl_autopilot_off(struct ctl *ctl)
{
    return set_mode(ctl, "autopilot off", AUTOPILOT_OFF);
}

static void mark(json_t *list, json_int_t id, bool add)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (json_integer_value(json_array_get(list, i)) == id)
            json_array_remove(list, i);
    size_t at = 0;
    while (at < json_array_size(list) && json_integer_value(json_array_get(list, at)) < id)
        at++;
    if (add)
        json_array_insert_new(list, at, json_integer(id));
}

int ctl_autopilot_mark(struct ctl *ctl, const char *name, uint32_t id)
{
    json_t *state = NULL;
    int code = ask(ctl, &state);
    if (code != CTL_DONE)
        return code;
    mark(json_object_get(state, "standbys"), id, true);
    return change(ctl, name, state);
}

int ctl_autopilot_standby(struct ctl *ctl)
{
    static const char name[] = "autopilot standby";
    bool add = strcmp(ctl->word[0], "add") == 0;
    if (!add && strcmp(ctl->word[0], "remove") != 0)
        return ctl_fail(CTL_USAGE, "%s: '%s': say add or remove, then replica ids", name,
                        ctl->word[0]);
    json_t *state = NULL;
    int code = ask(ctl, &state);
    for (int i = 1; i < ctl->word_count && code == CTL_DONE; i++) {
        uint64_t id;
        if (address_number(ctl->word[i], 1, KEEL_REPLICA_MAX, &id))
            mark(json_object_get(state, "standbys"), (json_int_t)id, add);
        else
            code = ctl_fail(CTL_USAGE, "%s: '%s' is no replica id: give 1 to %d", name,
                            ctl->word[i], KEEL_REPLICA_MAX);
    }
    if (code == CTL_DONE)
        return change(ctl, name, state);
    json_decref(state);
    return code;
}
