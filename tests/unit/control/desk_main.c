/* A replica that leads, for keelctl to talk to: prints its socket's path, and runs until standard
 * input ends. Its clock runs a millisecond for each of ours, about. Each line of standard input is
 * logged.
 */
#include "tests/unit/control/desk.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void serve(void)
{
    struct desk *desk = desk_open();
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[LOG_LINE_MAX];
    fprintf(stderr, "%s\n", desk->config.socket);
    setvbuf(stdin, NULL, _IONBF, 0);
    for (bool open = true; open;) { /* bound: standard input */
        bench_run(desk->bench, 1);
        if (poll(&in, 1, 1) == 0)
            continue;
        open = fgets(line, sizeof(line), stdin) != NULL;
        line[strcspn(line, "\n")] = '\0';
        if (open)
            journal_add(&desk->journal, LOG_LEVEL_NOTICE, "said", line);
    }
    desk_close(desk);
}

int main(void)
{
    static const struct unit_test tests[] = {{"a desk", serve}, {0}};
    return unit_main("desk", tests);
}
