/* `keelctl drain|resume`: a replica that is to be serviced does not lead. `keelctl lock break`. */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 50 };

/* The replica that a word names; without one, the one that is asked. */
static int replica_word(const struct ctl *ctl, uint64_t *id)
{
    json_t *version = NULL;
    if (ctl->word_count > 0)
        return address_number(ctl->word[0], 1, KEEL_REPLICA_MAX, id)
                   ? CTL_DONE
                   : ctl_fail(CTL_USAGE, "%s: '%s' is no replica id: give 1 to %d",
                              ctl->command->name, ctl->word[0], KEEL_REPLICA_MAX);
    int code = ctl_ask(ctl, "version", NULL, &version);
    if (code == CTL_DONE)
        *id = (uint64_t)json_integer_value(json_object_get(version, "replica"));
    json_decref(version);
    return code;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Who is drained while it leads hands over by itself: waits until that is done. */
static int wait_handed_over(const struct ctl *ctl, uint64_t id)
{
    uint64_t until_ms = now_ms() + ctl->timeout_ms;
    for (;;) { /* until the time is over */
        json_t *status = NULL;
        int code = ctl_ask(ctl, "status", NULL, &status);
        if (code != CTL_DONE)
            return code;
        const char *role = json_string_value(json_object_get(status, "role"));
        bool self = (uint64_t)json_integer_value(json_object_get(status, "replica")) == id;
        bool leads = self && role != NULL && strcmp(role, "leader") == 0;
        bool known = json_integer_value(json_object_get(status, "leader")) != 0;
        json_decref(status);
        if (!leads && known)
            return CTL_DONE;
        if (now_ms() >= until_ms)
            return ctl_fail(CTL_TIMED_OUT,
                            "%s: replica %d is drained, and %s: it goes on trying by itself, look "
                            "at `keelctl member list`",
                            ctl->command->name, (int)id,
                            leads ? "still leads: nobody else is fit to" : "nobody leads yet");
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

static int drain_or_resume(struct ctl *ctl, const char *what)
{
    uint64_t id = 0;
    json_t *result = NULL;
    char text[64];
    int code = replica_word(ctl, &id);
    if (code == CTL_DONE)
        code = ctl_change(ctl, ctl->command->name, json_pack("{s:I}", "replica", (json_int_t)id),
                          &result);
    if (code != CTL_DONE)
        return code;
    bool waits = strcmp(ctl->command->name, "drain") == 0 && !ctl_dry_run(ctl);
    if (waits)
        code = wait_handed_over(ctl, id);
    snprintf(text, sizeof(text), "replica %d %s", (int)id, what);
    if (code == CTL_DONE)
        return ctl_change_show(ctl, result, text);
    json_decref(result);
    return code;
}

int ctl_drain(struct ctl *ctl)
{
    return drain_or_resume(ctl, "drained");
}

int ctl_resume(struct ctl *ctl)
{
    return drain_or_resume(ctl, "resumed");
}

int ctl_lock_break(struct ctl *ctl)
{
    json_t *result = NULL;
    json_t *extra = json_pack("{s:s,s:b}", "path", ctl->word[0], "now", ctl->value[0] != NULL);
    int code = ctl_change(ctl, "lock break", extra, &result);
    return code == CTL_DONE ? ctl_change_show(ctl, result, "taken from its holders") : code;
}
