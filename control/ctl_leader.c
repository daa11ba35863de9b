/* `keelctl leader ...`: who leads. */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"

#include <stdio.h>

/* Takes `extra` over; NULL: none. */
static int hand_over(struct ctl *ctl, json_t *extra)
{
    json_t *result = NULL;
    int code = ctl_change(ctl, ctl->command->name, extra, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl_dry_run(ctl))
        return ctl_change_show(ctl, result, "the office handed over");
    if (ctl->json)
        code = ctl_print_json(result);
    else
        printf("replica %lld %s, term %lld, index %lld\n",
               (long long)json_integer_value(json_object_get(result, "leader")),
               json_is_true(json_object_get(result, "changed")) ? "leads" : "had led before",
               (long long)json_integer_value(json_object_get(result, "term")),
               (long long)json_integer_value(json_object_get(result, "index")));
    json_decref(result);
    return code;
}

int ctl_leader_transfer(struct ctl *ctl)
{
    uint64_t to = 0;
    if (ctl->value[0] != NULL && !address_number(ctl->value[0], 1, KEEL_REPLICA_MAX, &to))
        return ctl_fail(CTL_USAGE, "leader transfer: --to %s: give a replica's id, 1 to %d",
                        ctl->value[0], KEEL_REPLICA_MAX);
    return hand_over(ctl, to != 0 ? json_pack("{s:I}", "to", (json_int_t)to) : NULL);
}

int ctl_leader_step_down(struct ctl *ctl)
{
    return hand_over(ctl, NULL);
}
