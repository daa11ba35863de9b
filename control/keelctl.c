/* keelctl: an operator's tool. Needs no DPDK and no root. */
#include "consensus/ensure.h"
#include "control/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keelctl: %s:%d: ENSURE failed: %s: this is a defect, report it\n", file, line,
            condition);
    abort();
}

/* No command, perhaps a socket, and a person at a terminal. */
static bool wants_shell(struct ctl *ctl, int argc, char **argv)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return false;
    *ctl = (struct ctl){.socket = CTL_SOCKET};
    if (argc == 3 && (strcmp(argv[1], "-s") == 0 || strcmp(argv[1], "--socket") == 0))
        ctl->socket = argv[2];
    return argc == 1 || ctl->socket == argv[argc - 1];
}

int main(int argc, char **argv)
{
    struct ctl ctl;
    if (wants_shell(&ctl, argc, argv))
        return ctl_shell(&ctl);
    int code = ctl_parse(&ctl, argc, argv);
    if (code == CTL_DONE && ctl.help)
        ctl_help(ctl.command);
    else if (code == CTL_DONE)
        code = ctl_run(&ctl);
    return code;
}
