/* Commands that only look at a running daemon, and the trading day. */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"

#include <stdio.h>
#include <string.h>

enum { HEALTH_WAIT_MAX_MS = 5000 };

static int show_with(struct ctl *ctl, const char *name, json_t *extra)
{
    json_t *result = NULL;
    int code = ctl_ask(ctl, name, extra, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    else
        ctl_print_pairs(result, 0);
    json_decref(result);
    return code;
}

static int show(struct ctl *ctl, const char *name)
{
    return show_with(ctl, name, NULL);
}

int ctl_status(struct ctl *ctl)
{
    bool read = ctl->value[0] != NULL;
    return show_with(ctl, "status", read ? json_pack("{s:b}", "read", 1) : NULL);
}

int ctl_drops(struct ctl *ctl)
{
    return show(ctl, "drops");
}

int ctl_ring(struct ctl *ctl)
{
    return show(ctl, "ring");
}

static void print_peers(const json_t *result)
{
    static const char *const columns[] = {
        "replica=PEER",        "state=STATE",       "reasons=REASONS",     "since_ms=SINCE_MS",
        "silent_ms=SILENT_MS", "usual_ms=USUAL_MS", "suspicion=SUSPICION", NULL};
    if (json_array_size(json_object_get(result, "peers")) > 0)
        ctl_print_table(json_object_get(result, "peers"), columns);
}

static void print_healthy(const json_t *result)
{
    long long leader = json_integer_value(json_object_get(result, "leader"));
    long long contact = json_integer_value(json_object_get(result, "quorum_age_ms"));
    const json_t *commit = json_object_get(result, "commit_us");
    if (json_is_integer(commit))
        printf("healthy: leads, quorum contact %lld ms ago, an empty entry was committed in %.3f "
               "ms, index %lld\n",
               contact, (double)json_integer_value(commit) / 1000.0,
               (long long)json_integer_value(json_object_get(result, "probe_index")));
    else
        printf("healthy: follows replica %lld, quorum contact %lld ms ago; how long a commit takes "
               "is asked there\n",
               leader, contact);
}

int ctl_health(struct ctl *ctl)
{
    json_t *result = NULL;
    /* the daemon gives up first, so that the reason is told */
    uint32_t timeout_ms = ctl->timeout_ms - ctl->timeout_ms / 8;
    json_int_t wait_ms = timeout_ms < HEALTH_WAIT_MAX_MS ? timeout_ms : HEALTH_WAIT_MAX_MS;
    json_t *extra = json_pack("{s:I}", "timeout_ms", wait_ms);
    int code = ctl_ask(ctl, "health", extra, &result);
    if (code != CTL_DONE)
        return code;
    bool healthy = json_is_true(json_object_get(result, "healthy"));
    if (ctl->json) {
        code = ctl_print_json(result);
    } else if (healthy) {
        print_healthy(result);
    } else {
        const json_t *list = json_object_get(result, "complaints");
        fputs("unhealthy:", stdout);
        for (size_t i = 0; i < json_array_size(list); i++)
            printf(" %s", json_string_value(json_array_get(list, i)));
        const char *why = json_string_value(json_object_get(result, "stopped_why"));
        printf("%s%s\n", why != NULL && why[0] != '\0' ? ": " : "", why != NULL ? why : "");
    }
    if (!ctl->json)
        print_peers(result);
    json_decref(result);
    return code != CTL_DONE ? code : healthy ? CTL_DONE : CTL_NO_QUORUM;
}

int ctl_member_list(struct ctl *ctl)
{
    static const char *const columns[] = {"replica=ID",
                                          "address=ADDRESS",
                                          "role=ROLE",
                                          "leader=LEADER",
                                          "self=SELF",
                                          "boot=BOOT",
                                          "drained=DRAINED",
                                          "heard_ms=HEARD_MS",
                                          "state=STATE",
                                          "match_index=MATCH",
                                          "lag_entries=LAG",
                                          "trip_us=TRIP_US",
                                          "drive_us=DRIVE_US",
                                          "slow=SLOW",
                                          "slow_times=TIMES",
                                          "checkpoint=CHECKPOINT",
                                          "incarnation=INCARNATION",
                                          NULL};
    json_t *result = NULL;
    int code = ctl_ask(ctl, "member list", NULL, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    else
        ctl_print_table(json_object_get(result, "members"), columns);
    json_decref(result);
    return code;
}

int ctl_metrics(struct ctl *ctl)
{
    json_t *result = NULL;
    json_t *extra = json_pack("{s:s}", "format", ctl->json ? "numbers" : "openmetrics");
    int code = ctl_ask(ctl, "metrics", extra, &result);
    if (code != CTL_DONE)
        return code;
    const char *text = json_string_value(json_object_get(result, "text"));
    if (ctl->json)
        code = ctl_print_json(result);
    else if (text == NULL || fputs(text, stdout) < 0 || fflush(stdout) != 0)
        code = ctl_fail(CTL_FAILED, "metrics: stdout cannot be written");
    json_decref(result);
    return code;
}

int ctl_version(struct ctl *ctl)
{
    json_t *result = NULL;
    if (ctl->json)
        return show(ctl, "version");
    puts("keelctl " KEEL_VERSION);
    int code = ctl_ask(ctl, "version", NULL, &result);
    if (code == CTL_DONE)
        printf("keeld   %s\n", json_string_value(json_object_get(result, "version")));
    json_decref(result);
    return code;
}

static int day(struct ctl *ctl, const char *action)
{
    char padded[KEEL_DAY_NAME_SIZE];
    json_t *result = NULL;
    if (!admin_day_name(ctl->word[0], padded))
        return ctl_fail(CTL_USAGE,
                        "day %s: '%s': a name has 1 to %d printable characters without "
                        "spaces",
                        action, ctl->word[0], KEEL_DAY_NAME_SIZE);
    json_t *extra = json_pack("{s:s,s:s}", "action", action, "name", ctl->word[0]);
    int code = ctl_change(ctl, "day", extra, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl_dry_run(ctl) && json_is_true(json_object_get(result, "changed")))
        return ctl_change_show(ctl, result, action[0] == 'b' ? "day begun" : "day ended");
    if (ctl->json)
        code = ctl_print_json(result);
    else
        printf("day %s %s %s%s at index %lld, term %lld\n", ctl->word[0],
               json_is_true(json_object_get(result, "changed")) ? "was" : "had been",
               action[0] == 'b' ? "begun" : "ended",
               json_is_true(json_object_get(result, "changed")) ? "" : " before, seen",
               (long long)json_integer_value(json_object_get(result, "index")),
               (long long)json_integer_value(json_object_get(result, "term")));
    json_decref(result);
    return code;
}

int ctl_day_end(struct ctl *ctl)
{
    return day(ctl, "end");
}

int ctl_day_begin(struct ctl *ctl)
{
    return day(ctl, "begin");
}
