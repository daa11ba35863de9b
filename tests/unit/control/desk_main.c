/* A replica that leads, for keelctl to talk to: prints its socket's path, and runs until standard
 * input ends. Its clock runs a millisecond for each of ours, about.
 */
#include "tests/unit/control/desk.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void serve(void)
{
    struct desk *desk = desk_open();
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    fprintf(stderr, "%s\n", desk->config.socket);
    while (poll(&in, 1, 1) == 0 || read(STDIN_FILENO, &byte, 1) == 1) /* bound: standard input */
        bench_run(desk->bench, 1);
    desk_close(desk);
}

int main(void)
{
    static const struct unit_test tests[] = {{"a desk", serve}, {0}};
    return unit_main("desk", tests);
}
