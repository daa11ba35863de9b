/* What keelctl's commands that change something share: a request id, drawn for each invocation or
 * given, and --dry-run.
 */
#ifndef KEEL_CTL_CHANGE_H
#define KEEL_CTL_CHANGE_H

#include "control/ctl.h"

/* The last options of each such command, in the table. */
#define CTL_CHANGE_OPTIONS                                                                         \
    {"dry-run", NULL, "say what would come of it, and change nothing"},                            \
    {                                                                                              \
        "request-id", "HEX", "32 digits: the same request again is done once (default: drawn)"     \
    }

/* The value of an option by its name; NULL: not given. */
const char *ctl_value(const struct ctl *ctl, const char *name);
/* A number of an option: CTL_DONE, with *value as it was if the option was not given; or CTL_USAGE
 * after saying why. */
int ctl_number(const struct ctl *ctl, const char *name, uint64_t least, uint64_t most,
               uint64_t *value);
bool ctl_dry_run(const struct ctl *ctl);

/* Adds "request" and "dry_run" to what is asked; CTL_DONE, or an exit code after saying why. The
 * same id throughout an invocation. */
int ctl_change_keys(const struct ctl *ctl, json_t *extra);
/* ctl_ask() with them. Where the outcome is not known, says how to ask again. `extra` is taken
 * over; NULL: none. */
int ctl_change(const struct ctl *ctl, const char *name, json_t *extra, json_t **result);
/* Says what was done, or would be; takes the result over. `what` is the rest of the line for
 * people: "done", "replica 2 drained". */
int ctl_change_show(const struct ctl *ctl, json_t *result, const char *what);

#endif
