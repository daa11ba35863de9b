/* Runs a parsed command: once, within --timeout, or again and again with --watch. */
#include "control/ctl.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    DEADLINE_GRACE_MS = 250, /* commands that ask keeld say more about what has not come in time */
    WATCH_BUFFER = 1 << 20   /* a whole screen goes out at once: nothing flickers */
};

static void too_late(int number)
{
    static const char text[] =
        "keelctl: not done within --timeout: what it has begun may be unfinished: look, or give it "
        "more time\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)written;
    _exit(CTL_TIMED_OUT);
}

static void set_deadline(uint32_t ms)
{
    const struct itimerval timer = {
        .it_value = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000}};
    signal(SIGALRM, too_late);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void head(const struct ctl *ctl)
{
    char at[16];
    time_t now = time(NULL);
    struct tm tm;
    strftime(at, sizeof(at), "%H:%M:%S", localtime_r(&now, &tm));
    printf("\033[H\033[2J%s, every %u s, %s\n\n", ctl->command->name, ctl->watch_s, at);
}

/* Goes on whatever comes: a daemon may be restarted meanwhile. Until stdout closes, or a signal. */
static int watch(struct ctl *ctl)
{
    static char out[WATCH_BUFFER], err[BUFSIZ];
    bool screen = isatty(STDOUT_FILENO) && !ctl->json;
    setvbuf(stdout, out, _IOFBF, sizeof(out));
    setvbuf(stderr, err, _IOFBF, sizeof(err)); /* behind the screen, not under it */
    for (bool first = true;; first = false) {
        if (screen)
            head(ctl);
        else if (!first && !ctl->json)
            putchar('\n');
        int code = ctl->command->run(ctl);
        if (fflush(stdout) != 0 || fflush(stderr) != 0 || code == CTL_USAGE)
            return code != CTL_DONE ? code : CTL_FAILED;
        nanosleep(&(struct timespec){.tv_sec = ctl->watch_s}, NULL);
    }
}

int ctl_run(struct ctl *ctl)
{
    if (ctl->watch_s > 0)
        return watch(ctl);
    if (ctl->timeout_given && !ctl->command->endless)
        set_deadline(ctl->timeout_ms + ctl->timeout_ms / 4 + DEADLINE_GRACE_MS);
    return ctl->command->run(ctl);
}
