/* The end of an old cluster's order, as `keelctl recover --tail FILE` writes it: what a survivor's
 * log holds behind its newest checkpoint. Among it is all that no line of that replica can have
 * shown. One line each, numbers decimal:
 *
 *     message DAY FEED INDEX SESSION NUMBER UTC_NS committed|unknown HEX
 *     end     DAY FEED INDEX SESSION LAST UTC_NS committed|unknown
 */
#ifndef KEEL_CTL_TAIL_H
#define KEEL_CTL_TAIL_H

#include "consensus/machine/machine.h"
#include "control/ctl.h"

#include <stdio.h>

struct ctl_tail {
    const char *path;
    uint64_t commit; /* known as committed up to here */
    FILE *file;
    uint64_t count; /* lines */
};

/* A new file; it must not exist. CTL_DONE, or an exit code after saying why. */
int ctl_tail_open(struct ctl_tail *tail);
/* For struct replay: context is the struct ctl_tail. */
void ctl_tail_applied(void *context, const struct machine *machine, const struct entry *entry,
                      const struct machine_outcome *outcome);
/* Durable, or gone: also if `code` says that something else went wrong. Returns code, or its own.
 */
int ctl_tail_close(struct ctl_tail *tail, int code);

#endif
