/* `keelctl top`: one replica on a screen that renews itself. Plain terminal codes: each picture is
 * built in memory and written at once over the last one, so that nothing flickers; a line ends with
 * "erase the rest", the picture with "erase what is below".
 */
#include "control/ctl.h"

#include "control/address.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    PICTURE_MAX = 1 << 16,
    COLUMNS_DEFAULT = 80,
    ROWS_DEFAULT = 24,
    COLUMNS_MIN = 40,
    EVERY_MAX_S = 3600,
    WHY_MAX = 200,
    DROPS_SHOWN_MAX = 64
};
#define CSI "\033["

struct sample { /* one round of questions; NULL: no answer */
    json_t *status, *members, *metrics, *drops;
    uint64_t at_ms;
};

struct top {
    struct ctl *ctl;
    struct sample now, before;
    uint32_t every_s;
    bool screen; /* else text, once */
    int columns, rows;
    int says;          /* what stderr was put to while it asks */
    char why[WHY_MAX]; /* the daemon does not answer; empty: it does */
    uint64_t away_ms;  /* since */
    size_t size;
    int line; /* of the picture being built */
    char picture[PICTURE_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- asking
 * -------------------------------------------------------------------------------------- */

static void forget(struct sample *s)
{
    json_decref(s->status);
    json_decref(s->members);
    json_decref(s->metrics);
    json_decref(s->drops);
    memset(s, 0, sizeof(*s));
}

/* What the question said on stderr, its first line without the program's name. */
static void take_why(struct top *t)
{
    ssize_t got = t->says >= 0 ? pread(t->says, t->why, sizeof(t->why) - 1, 0) : 0;
    t->why[got > 0 ? got : 0] = '\0';
    t->why[strcspn(t->why, "\n")] = '\0';
    if (strncmp(t->why, "keelctl: ", 9) == 0)
        memmove(t->why, t->why + 9, strlen(t->why + 9) + 1);
    if (t->why[0] == '\0')
        snprintf(t->why, sizeof(t->why), "no answer");
}

static int ask_all(struct top *t, struct sample *s)
{
    int code = ctl_ask(t->ctl, "status", NULL, &s->status);
    if (code == CTL_DONE)
        code = ctl_ask(t->ctl, "member list", NULL, &s->members);
    if (code == CTL_DONE)
        code = ctl_ask(t->ctl, "metrics", json_pack("{s:s}", "format", "numbers"), &s->metrics);
    if (code == CTL_DONE)
        code = ctl_ask(t->ctl, "drops", NULL, &s->drops);
    s->at_ms = now_ms();
    return code;
}

static json_int_t number(const json_t *of, const char *key)
{
    return json_integer_value(json_object_get(of, key));
}

static const char *text_of(const json_t *of, const char *key)
{
    const char *text = json_string_value(json_object_get(of, key));
    return text != NULL ? text : "-";
}

/* The next sample; the last one stays while the daemon is away. */
static int sample(struct top *t)
{
    struct sample next = {0};
    if (t->says >= 0 && ftruncate(t->says, 0) == 0)
        lseek(t->says, 0, SEEK_SET);
    int code = ask_all(t, &next);
    if (code != CTL_DONE) {
        forget(&next);
        take_why(t);
        if (t->away_ms == 0)
            t->away_ms = now_ms();
        return code;
    }
    t->why[0] = '\0';
    t->away_ms = 0;
    forget(&t->before);
    t->before = t->now;
    t->now = next;
    if (t->before.status != NULL &&
        (number(t->before.status, "boot") != number(next.status, "boot") ||
         number(t->before.status, "replica") != number(next.status, "replica")))
        forget(&t->before); /* another life counts from 0 */
    return CTL_DONE;
}

/* A counter's growth a second; negative: not known yet. */
static double rate(const struct top *t, const json_t *now, const json_t *before, const char *key)
{
    if (before == NULL || t->now.at_ms <= t->before.at_ms)
        return -1;
    return (double)(number(now, key) - number(before, key)) * 1000 /
           (double)(t->now.at_ms - t->before.at_ms);
}

static double metric_rate(const struct top *t, const char *key)
{
    return rate(t, t->now.metrics, t->before.metrics, key);
}

/* --- the picture
 * --------------------------------------------------------------------------------- */

/* One line, cut at the screen's edge; what would not fit below is left out. */
static __attribute__((format(printf, 3, 4))) void put(struct top *t, const char *code,
                                                      const char *format, ...)
{
    char line[512];
    va_list args;
    if (t->screen && t->line >= t->rows)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (t->columns < (int)sizeof(line))
        line[t->columns] = '\0';
    size_t room = sizeof(t->picture) - t->size;
    int n;
    if (!t->screen)
        n = snprintf(t->picture + t->size, room, "%s\n", line);
    else
        n = snprintf(t->picture + t->size, room, "%s%s%s%s" CSI "K", t->line > 0 ? "\r\n" : "",
                     code, line, code[0] != '\0' ? CSI "0m" : "");
    if (n > 0 && (size_t)n < room)
        t->size += (size_t)n;
    t->line++;
}

static const char *bold(const struct top *t)
{
    return t->screen && ctl_colour() ? CSI "1m" : "";
}

static const char *inverse(const struct top *t)
{
    return t->screen ? CSI "7m" : "";
}

static const char *short_rate(double value, char text[16])
{
    if (value < 0)
        snprintf(text, 16, "-");
    else if (value < 10)
        snprintf(text, 16, "%.1f", value);
    else if (value < 100000)
        snprintf(text, 16, "%.0f", value);
    else if (value < 1e8)
        snprintf(text, 16, "%.0fk", value / 1e3);
    else
        snprintf(text, 16, "%.0fM", value / 1e6);
    return text;
}

static void put_head(struct top *t)
{
    const json_t *s = t->now.status;
    char at[16], title[200];
    time_t now = time(NULL);
    struct tm tm;
    long long up_s = number(s, "uptime_ms") / 1000;
    strftime(at, sizeof(at), "%H:%M:%S", localtime_r(&now, &tm));
    snprintf(title, sizeof(title),
             "replica %lld  %s  term %lld  leader %lld  up %lld:%02lld:%02lld",
             number(s, "replica"), text_of(s, "role"), number(s, "term"), number(s, "leader"),
             up_s / 3600, up_s / 60 % 60, up_s % 60);
    put(t, inverse(t), "%-*s%s", t->columns > 9 ? t->columns - 9 : 0, title, at);
    if (t->why[0] != '\0')
        put(t, bold(t), "NO ANSWER for %llu s: %s",
            (unsigned long long)(now_ms() - t->away_ms) / 1000, t->why);
    else if (json_is_true(json_object_get(s, "stopped")))
        put(t, bold(t), "STOPPED: %s", text_of(s, "stopped_why"));
    else
        put(t, "", "quorum contact %lld ms ago%s   %s", number(s, "quorum_age_ms"),
            json_is_true(json_object_get(s, "stale")) ? ", TOO LONG" : "",
            number(s, "slow_replica") > 0 ? "a replica is SLOW: see below" : "");
}

static void put_state(struct top *t)
{
    const json_t *s = t->now.status;
    put(t, "", "commit %lld  applied %lld  durable %lld  last %lld  first %lld",
        number(s, "commit_index"), number(s, "applied_index"), number(s, "durable_index"),
        number(s, "last_index"), number(s, "first_index"));
    put(t, "", "day %s %s  feed next %lld  sessions %lld  checkpoint %lld  drive lag %lld ms",
        text_of(s, "day"), json_is_true(json_object_get(s, "day_open")) ? "open" : "closed",
        number(s, "feed_next"), number(s, "sessions"), number(s, "checkpoint_index"),
        number(s, "drive_lag_ms"));
    put(t, "", "nodes %lld  locks held %lld  waiting %lld", number(s, "nodes"),
        number(s, "locks_held"), number(s, "lock_waiters"));
}

static void put_rates(struct top *t)
{
    char a[16], b[16], c[16], d[16], e[16], f[16];
    const json_t *m = t->now.metrics;
    double turns = metric_rate(t, "turns"), useful = metric_rate(t, "turns_useful");
    put(t, "", "a second: sequenced %s  refused %s  doubled %s  entries %s  in %s  out %s",
        short_rate(metric_rate(t, "sequenced_messages"), a),
        short_rate(metric_rate(t, "refused_messages"), b),
        short_rate(metric_rate(t, "duplicate_messages"), c),
        short_rate(metric_rate(t, "applied_entries"), d),
        short_rate(metric_rate(t, "rx_datagrams"), e),
        short_rate(metric_rate(t, "tx_datagrams"), f));
    put(t, "", "turns %s/s  useful %.1f %%  longest %.3f ms  stalls %lld", short_rate(turns, a),
        turns > 0 ? useful * 100 / turns : (double)number(m, "turns_useful_permille") / 10,
        (double)number(m, "turn_max_ns") / 1e6, number(m, "stalls"));
}

static void put_stages(struct top *t)
{
    const char *stage;
    json_t *value;
    put(t, "", "%s", "");
    put(t, bold(t), "%-10s%10s%11s%11s%11s%11s%11s", "STAGE, US", "SAMPLES", "P50", "P90", "P99",
        "P99.9", "MAX");
    json_object_foreach(json_object_get(t->now.metrics, "stages"), stage, value)
        put(t, "", "%-10s%10lld%11.1f%11.1f%11.1f%11.1f%11.1f", stage, number(value, "count"),
            (double)number(value, "p50_ns") / 1e3, (double)number(value, "p90_ns") / 1e3,
            (double)number(value, "p99_ns") / 1e3, (double)number(value, "p999_ns") / 1e3,
            (double)number(value, "max_ns") / 1e3);
}

/* A number, or "-" for null. */
static const char *cell(const json_t *of, const char *key, char text[24])
{
    const json_t *value = json_object_get(of, key);
    snprintf(text, 24, "-");
    if (json_is_integer(value))
        snprintf(text, 24, "%lld", (long long)json_integer_value(value));
    return text;
}

static void put_members(struct top *t)
{
    char a[24], b[24], c[24], d[24];
    const json_t *list = json_object_get(t->now.members, "members");
    put(t, "", "%s", "");
    put(t, bold(t), "%-3s%-9s%-10s%9s%12s%9s%10s%10s  %s", "ID", "ROLE", "STATE", "HEARD_MS",
        "MATCH", "LAG", "TRIP_US", "DRIVE_US", "SLOW");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        bool leads = json_is_true(json_object_get(m, "leader"));
        put(t, "", "%-3lld%-9s%-10s%9lld%12s%9s%10s%10s  %s", number(m, "replica"),
            leads ? "leader" : text_of(m, "role"),
            json_is_true(json_object_get(m, "self")) ? "self" : text_of(m, "state"),
            number(m, "heard_ms"), cell(m, "match_index", a), cell(m, "lag_entries", b),
            cell(m, "trip_us", c), cell(m, "drive_us", d), text_of(m, "slow"));
    }
}

struct drop {
    const char *reason;
    json_int_t count;
    double rate;
};

static int by_rate(const void *a, const void *b)
{
    const struct drop *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate < y->rate ? 1 : -1;
    return (x->count < y->count) - (x->count > y->count);
}

/* Those that grow first, then the largest; as many as there is room for. */
static void put_drops(struct top *t)
{
    struct drop drops[DROPS_SHOWN_MAX];
    size_t count = 0;
    const char *group, *reason;
    json_t *values, *value;
    json_object_foreach(t->now.drops, group, values)
        json_object_foreach(values, reason, value) if (json_integer_value(value) > 0 &&
                                                       count < DROPS_SHOWN_MAX) drops[count++] =
            (struct drop){reason, json_integer_value(value),
                          rate(t, values, json_object_get(t->before.drops, group), reason)};
    qsort(drops, count, sizeof(drops[0]), by_rate);
    put(t, "", "%s", "");
    put(t, bold(t), "%-24s%12s%10s", "DROPPED OR REFUSED", "SINCE START", "A SECOND");
    for (size_t i = 0; i < count; i++) {
        char text[16];
        put(t, "", "%-24s%12lld%10s", drops[i].reason, (long long)drops[i].count,
            short_rate(drops[i].rate, text));
    }
    if (count == 0)
        put(t, "", "nothing");
}

static int draw(struct top *t)
{
    t->size = 0;
    t->line = 0;
    if (t->screen)
        t->size = (size_t)snprintf(t->picture, sizeof(t->picture), CSI "H");
    if (t->now.status != NULL) {
        put_head(t);
        put_state(t);
        put_rates(t);
        put_members(t);
        put_stages(t);
        put_drops(t);
    } else {
        put(t, bold(t), "%s", t->why);
    }
    if (t->screen)
        t->size += (size_t)snprintf(t->picture + t->size, sizeof(t->picture) - t->size, CSI "J");
    for (size_t at = 0; at < t->size;) { /* bound: the picture */
        ssize_t n = write(STDOUT_FILENO, t->picture + at, t->size - at);
        if (n < 0 && errno != EINTR)
            return CTL_FAILED;
        at += n > 0 ? (size_t)n : 0;
    }
    return CTL_DONE;
}

static int print_rates(struct top *t)
{
    static const char *const keys[] = {"sequenced_messages",
                                       "refused_messages",
                                       "duplicate_messages",
                                       "applied_entries",
                                       "rx_datagrams",
                                       "tx_datagrams",
                                       "turns",
                                       "turns_useful"};
    json_t *to = json_object();
    json_object_set(to, "replica", json_object_get(t->now.status, "replica"));
    json_object_set(to, "role", json_object_get(t->now.status, "role"));
    json_object_set(to, "term", json_object_get(t->now.status, "term"));
    json_object_set_new(to, "interval_ms",
                        json_integer((json_int_t)(t->now.at_ms - t->before.at_ms)));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char name[40];
        snprintf(name, sizeof(name), "%s_s", keys[i]);
        json_object_set_new(to, name, json_real(metric_rate(t, keys[i])));
    }
    int code = ctl_print_json(to);
    json_decref(to);
    return code;
}

/* --- the terminal
 * -------------------------------------------------------------------------------- */

static volatile sig_atomic_t ended; /* a handler can reach nothing else */

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void on_resize(int number)
{
    (void)number; /* poll() returns, and the picture is drawn anew */
}

static void measure(struct top *t)
{
    struct winsize size = {0};
    t->columns = COLUMNS_DEFAULT;
    t->rows = ROWS_DEFAULT;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        t->columns = size.ws_col > COLUMNS_MIN ? size.ws_col : COLUMNS_MIN;
        t->rows = size.ws_row;
    }
}

/* Until the next round is due: keys and resizes. False: it is to end. */
static bool wait_round(struct top *t, uint64_t until_ms)
{
    while (!ended) { /* bound: until_ms */
        uint64_t now = now_ms();
        if (now >= until_ms)
            return true;
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&in, 1, (int)(until_ms - now));
        char key = '\0';
        if (ready > 0 && read(STDIN_FILENO, &key, 1) <= 0)
            return false;
        if (key == 'q' || key == 'Q')
            return false;
        if (key == ' ')
            return true;
        measure(t);
        if (ready < 0 && draw(t) != CTL_DONE)
            return false;
    }
    return false;
}

static int run_screen(struct top *t)
{
    static const char begin[] = CSI "?1049h" CSI "?25l", end[] = CSI "?25h" CSI "?1049l";
    struct termios before, raw;
    struct sigaction stop = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
        return ctl_fail(CTL_USAGE, "top: it wants a terminal: give --once for text");
    int kept = dup(STDERR_FILENO);
    t->says = memfd_create("said", MFD_CLOEXEC);
    if (t->says >= 0)
        dup2(t->says, STDERR_FILENO); /* the screen is no place for it */
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    ssize_t n = write(STDOUT_FILENO, begin, sizeof(begin) - 1);
    int code = CTL_DONE;
    do {
        uint64_t began = now_ms();
        measure(t);
        sample(t);
        code = draw(t);
        if (code == CTL_DONE && !wait_round(t, began + t->every_s * 1000ull))
            break;
    } while (code == CTL_DONE); /* until a key or a signal */
    n += write(STDOUT_FILENO, end, sizeof(end) - 1);
    (void)n;
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    dup2(kept, STDERR_FILENO);
    close(kept);
    return code;
}

/* Two samples, so that rates are known. */
static int run_text(struct top *t, bool once)
{
    int code = sample(t);
    if (code != CTL_DONE)
        return code;
    do {
        nanosleep(&(struct timespec){.tv_sec = t->every_s}, NULL);
        code = sample(t);
        if (code == CTL_DONE)
            code = t->ctl->json ? print_rates(t) : draw(t);
    } while (code == CTL_DONE && !once);
    return code;
}

int ctl_top(struct ctl *ctl)
{
    uint64_t every = 1;
    if (ctl->value[1] != NULL && !address_number(ctl->value[1], 1, EVERY_MAX_S, &every))
        return ctl_fail(CTL_USAGE, "top: --every %s: give whole seconds from 1 to %d",
                        ctl->value[1], EVERY_MAX_S);
    bool once = ctl->value[0] != NULL;
    struct top *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return ctl_fail(CTL_FAILED, "out of memory");
    t->ctl = ctl;
    t->every_s = (uint32_t)every;
    t->says = -1;
    t->screen = !once && !ctl->json;
    measure(t);
    int code = t->screen ? run_screen(t) : run_text(t, once);
    if (t->says >= 0)
        close(t->says);
    forget(&t->now);
    forget(&t->before);
    free(t);
    return code;
}
