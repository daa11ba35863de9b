/* `keelctl events`: what keeld logged lately, and with --follow what it logs from now on. */
#include "control/address.h"
#include "control/ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FOLLOW_WAIT_MS = 20000, FOLLOW_RETRY_MS = 1000 };

struct follower {
    const struct ctl *ctl;
    json_int_t journal; /* 0: none seen yet */
    json_int_t last;
};

static void print_event(const json_t *event)
{
    char at[CTL_UTC_TEXT_MAX];
    printf("%lld %s %s %s %s\n", (long long)json_integer_value(json_object_get(event, "number")),
           ctl_utc_text(json_integer_value(json_object_get(event, "utc_ns")), at),
           json_string_value(json_object_get(event, "level")),
           json_string_value(json_object_get(event, "event")),
           json_string_value(json_object_get(event, "text")));
}

static void print_lost(const struct ctl *ctl, json_int_t lost)
{
    if (lost > 0 && ctl->json)
        printf("{\"lost\":%lld}\n", (long long)lost);
    else if (lost > 0)
        printf("(%lld events before this have given way to newer ones)\n", (long long)lost);
}

/* Of --follow: one line an event. */
static int print_followed(struct follower *f, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "events");
    int code = CTL_DONE;
    print_lost(f->ctl, json_integer_value(json_object_get(answer, "lost")));
    for (size_t i = 0; i < json_array_size(list) && code == CTL_DONE; i++) {
        if (f->ctl->json)
            code = ctl_print_json(json_array_get(list, i));
        else
            print_event(json_array_get(list, i));
    }
    f->last = json_integer_value(json_object_get(answer, "last"));
    return fflush(stdout) != 0 ? ctl_fail(CTL_FAILED, "events: stdout cannot be written") : code;
}

static int ask(struct follower *f, uint32_t wait_ms, json_t **answer)
{
    json_t *extra = json_pack("{s:I}", "since", f->last);
    struct ctl ctl = *f->ctl;
    if (wait_ms > 0) {
        json_object_set_new(extra, "timeout_ms", json_integer(wait_ms));
        ctl.timeout_ms += wait_ms;
    }
    int code = ctl_ask(&ctl, "events", extra, answer);
    json_int_t journal = json_integer_value(json_object_get(*answer, "journal"));
    if (code != CTL_DONE)
        return code;
    if (f->journal != 0 && journal != f->journal) { /* another daemon counts from 1 */
        f->journal = 0;
        f->last = 0;
        json_decref(*answer);
        *answer = NULL;
        if (!f->ctl->json)
            puts("(keeld was started again)");
        return ask(f, 0, answer);
    }
    f->journal = journal;
    return CTL_DONE;
}

/* Goes on over restarts of the daemon; ends with a signal, or when nobody reads. */
static int follow(struct follower *f)
{
    for (uint32_t wait_ms = 0;; wait_ms = FOLLOW_WAIT_MS) {
        json_t *answer = NULL;
        int code = ask(f, wait_ms, &answer);
        if (code == CTL_DONE)
            code = print_followed(f, answer);
        else if (code == CTL_UNREACHABLE && f->journal != 0)
            nanosleep(&(struct timespec){.tv_sec = FOLLOW_RETRY_MS / 1000}, NULL), code = CTL_DONE;
        json_decref(answer);
        if (code != CTL_DONE)
            return code;
    }
}

int ctl_events(struct ctl *ctl)
{
    struct follower f = {.ctl = ctl};
    uint64_t since = 0;
    if (ctl->value[1] != NULL && !address_number(ctl->value[1], 0, INT64_MAX, &since))
        return ctl_fail(CTL_USAGE, "events: --since %s: give an event's number", ctl->value[1]);
    f.last = (json_int_t)since;
    if (ctl->value[0] != NULL)
        return follow(&f);
    json_t *all = NULL, *answer = NULL;
    int code;
    while ((code = ask(&f, 0, &answer)) == CTL_DONE) { /* bound: what the journal holds */
        bool more = json_is_true(json_object_get(answer, "more"));
        f.last = json_integer_value(json_object_get(answer, "last"));
        if (all == NULL) {
            all = answer;
        } else {
            json_array_extend(json_object_get(all, "events"), json_object_get(answer, "events"));
            json_object_set(all, "last", json_object_get(answer, "last"));
            json_decref(answer);
        }
        answer = NULL;
        if (!more)
            break;
    }
    if (code == CTL_DONE && ctl->json) {
        json_object_del(all, "more");
        code = ctl_print_json(all);
    } else if (code == CTL_DONE) {
        const json_t *list = json_object_get(all, "events");
        if (since > 0)
            print_lost(ctl, json_integer_value(json_object_get(all, "lost")));
        for (size_t i = 0; i < json_array_size(list); i++)
            print_event(json_array_get(list, i));
    }
    json_decref(all);
    return code;
}
