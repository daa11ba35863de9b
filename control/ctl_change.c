#include "control/ctl_change.h"

#include "control/address.h"
#include "control/admin_request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

const char *ctl_value(const struct ctl *ctl, const char *name)
{
    const struct ctl_option *options = ctl->command->options;
    for (int i = 0; i < CTL_OPTIONS_MAX && options[i].name != NULL; i++)
        if (strcmp(options[i].name, name) == 0)
            return ctl->value[i];
    return NULL;
}

int ctl_number(const struct ctl *ctl, const char *name, uint64_t least, uint64_t most,
               uint64_t *value)
{
    const char *text = ctl_value(ctl, name);
    if (text != NULL && !address_number(text, least, most, value))
        return ctl_fail(CTL_USAGE, "%s: --%s %s: give a number from %" PRIu64 " to %" PRIu64,
                        ctl->command->name, name, text, least, most);
    return CTL_DONE;
}

bool ctl_dry_run(const struct ctl *ctl)
{
    return ctl_value(ctl, "dry-run") != NULL;
}

int ctl_change_keys(const struct ctl *ctl, json_t *extra)
{
    static char drawn[ADMIN_ID_DIGITS + 1]; /* of this invocation */
    const char *text = ctl_value(ctl, "request-id");
    uint64_t id[2];
    if (text != NULL && !admin_request_id(text, id))
        return ctl_fail(CTL_USAGE, "%s: --request-id %s: give 32 lower-case hex digits, not all 0",
                        ctl->command->name, text);
    if (text == NULL && drawn[0] == '\0') {
        if (getrandom(id, sizeof(id), 0) != sizeof(id))
            return ctl_fail(CTL_FAILED, "%s: getrandom: %s", ctl->command->name, strerror(errno));
        snprintf(drawn, sizeof(drawn), "%016" PRIx64 "%016" PRIx64, id[0] | 1, id[1]);
    }
    json_object_set_new(extra, "request", json_string(text != NULL ? text : drawn));
    if (ctl_dry_run(ctl))
        json_object_set_new(extra, "dry_run", json_true());
    return CTL_DONE;
}

int ctl_change(const struct ctl *ctl, const char *name, json_t *extra, json_t **result)
{
    json_t *keys = extra != NULL ? extra : json_object();
    int code = ctl_change_keys(ctl, keys);
    if (code != CTL_DONE) {
        json_decref(keys);
        return code;
    }
    char id[ADMIN_ID_DIGITS + 1];
    snprintf(id, sizeof(id), "%s", json_string_value(json_object_get(keys, "request")));
    code = ctl_ask(ctl, name, keys, result);
    bool office = strncmp(name, "leader ", 7) == 0; /* no entry, which could carry the id */
    if (code == CTL_TIMED_OUT && !ctl_dry_run(ctl) && office)
        fprintf(stderr, "keelctl: %s: look who leads before you ask again: `keelctl member list`\n",
                ctl->command->name);
    else if (code == CTL_TIMED_OUT && !ctl_dry_run(ctl))
        fprintf(stderr, "keelctl: %s: to ask again without doing it twice: --request-id %s\n",
                ctl->command->name, id);
    return code;
}

int ctl_change_show(const struct ctl *ctl, json_t *result, const char *what)
{
    int code = CTL_DONE;
    const json_t *index = json_object_get(result, "index");
    if (ctl->json)
        code = ctl_print_json(result);
    else if (ctl_dry_run(ctl))
        printf("%s: would be done: %s: nothing was changed\n", ctl->command->name, what);
    else
        printf("%s: %s%s at index %lld\n", ctl->command->name, what,
               json_is_true(json_object_get(result, "repeated")) ? " before, by this request" : "",
               (long long)json_integer_value(index));
    json_decref(result);
    return code;
}
