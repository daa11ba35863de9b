/* keelctl: an operator's tool. Needs no DPDK and no root. */
#include "consensus/ensure.h"
#include "control/ctl.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keelctl: %s:%d: ENSURE failed: %s: this is a defect, report it\n", file, line,
            condition);
    abort();
}

int main(int argc, char **argv)
{
    struct ctl ctl;
    int code = ctl_parse(&ctl, argc, argv);
    if (code == CTL_DONE && ctl.help)
        ctl_help(ctl.command);
    else if (code == CTL_DONE)
        code = ctl_run(&ctl);
    return code;
}
