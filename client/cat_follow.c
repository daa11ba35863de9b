/* keelcat follow and replay: the sequenced feed, in order and without gap, to standard output. */
#include "client/cat.h"
#include "client/order.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define SHOW_EVERY_NS (NS_PER_S / 2)
#define WAIT_MOST_NS (NS_PER_S / 10)

enum { TEXT_ROOM = 4096 };

struct follow {
    const struct cat_options *options;
    struct keel_follow *follow;
    int signals;
    int code;
    bool done;
    bool ended; /* the day */
    uint64_t messages, bytes;
    uint64_t began_ns, heard_ns, shown_ns, shown_messages;
    char text[TEXT_ROOM];
};

/* --- output ----------------------------------------------------------------------------------- */

static void write_hex(const struct keel_message *m)
{
    char digits[2 * KEEL_PAYLOAD_MAX + 2];
    static const char hex[] = "0123456789abcdef";
    size_t size = m->size < KEEL_PAYLOAD_MAX ? m->size : KEEL_PAYLOAD_MAX;
    for (size_t i = 0; i < size; i++) {
        digits[2 * i] = hex[m->payload[i] >> 4];
        digits[2 * i + 1] = hex[m->payload[i] & 15];
    }
    digits[2 * size] = '\n';
    fwrite(digits, 2 * size + 1, 1, stdout);
}

static void write_decoded(struct follow *f, const struct keel_message *m)
{
    char time[32];
    printf("%s %" PRIu64, m->day, m->number);
    if (m->stamped) {
        figures_time(m->utc_ns, 9, time);
        printf(" %s session %" PRIu64 " number %" PRIu64, time, m->session, m->session_number);
    }
    if (m->kind == KEEL_SESSION_END)
        printf(" end of session\n");
    else if (order_print(m->payload, m->size, f->text, sizeof(f->text)) > 0)
        printf(" %s\n", f->text);
    else
        printf("\n");
}

/* A session's end is a message of the order, but not one of the publisher's: only `decode` shows
 * it. */
static void write_message(struct follow *f, const struct keel_message *m)
{
    const uint8_t head[2] = {(uint8_t)(m->size >> 8), (uint8_t)m->size};
    if (m->kind == KEEL_SESSION_END && f->options->format != CAT_DECODE)
        return;
    switch (f->options->format) {
    case CAT_LINES:
        fwrite(m->payload, 1, m->size, stdout);
        fputc('\n', stdout);
        break;
    case CAT_LENGTH_PREFIXED:
        fwrite(head, sizeof(head), 1, stdout);
        fwrite(m->payload, 1, m->size, stdout);
        break;
    case CAT_HEX:
        write_hex(m);
        break;
    case CAT_DECODE:
        write_decoded(f, m);
        break;
    }
}

static int on_message(void *context, const struct keel_message *m)
{
    struct follow *f = context;
    write_message(f, m);
    f->messages++;
    f->bytes += m->size;
    f->done = f->messages >= f->options->count;
    return f->done || ferror(stdout);
}

static void on_day_end(void *context, const char *day, uint64_t next, bool seen)
{
    struct follow *f = context;
    f->ended = true;
    if (!seen)
        f->code =
            cat_error(CAT_DAMAGED,
                      "follow: day '%s': its end was not seen; a new day has begun, and no "
                      "server knows of number %" PRIu64 " and behind: messages may be missing",
                      day, next);
}

static void on_line(void *context, unsigned line, bool silent)
{
    const struct follow *f = context;
    if (f->options->progress)
        fprintf(stderr, "keelcat: line %u %s\n", line + 1, silent ? "is silent" : "is heard again");
}

/* --- running ---------------------------------------------------------------------------------- */

static int open_follow(struct follow *f)
{
    const struct cat_options *o = f->options;
    char why[KEEL_PROBLEM_SIZE];
    const struct keel_follow_options options = {
        .lines = o->listen,
        .servers = o->request,
        .framing = o->framing,
        .from = o->from,
        .day = o->day[0] != 0 ? o->day : NULL,
        .bind = o->bind[0] != 0 ? o->bind : NULL,
        .request_ms = (uint32_t)o->request_ms,
        .message = on_message,
        .day_end = on_day_end,
        .line = on_line,
        .context = f,
    };
    f->signals = cat_signals();
    if (f->signals < 0)
        return f->code = cat_error(CAT_FAILED, "follow: signals: %s", strerror(errno));
    int result = keel_follow_open(&f->follow, &options, why);
    if (result != KEEL_OK)
        f->code = cat_error(cat_exit_of(result), "follow: %s", why);
    return f->code;
}

static void wait_any(struct follow *f)
{
    struct pollfd fds[2] = {{.fd = keel_follow_fd(f->follow), .events = POLLIN},
                            {.fd = f->signals, .events = POLLIN}};
    int64_t wait = keel_follow_wait_ns(f->follow);
    if (wait > (int64_t)WAIT_MOST_NS)
        wait = (int64_t)WAIT_MOST_NS;
    const struct timespec time = {.tv_sec = 0, .tv_nsec = wait};
    if (ppoll(fds, 2, &time, NULL) > 0 && fds[1].revents != 0 && cat_signalled(f->signals))
        f->done = true;
}

/* Has everything up to the present been delivered? Only a line says where that is: a request server
 * does not answer for what does not exist yet, and its silence may be its death. */
static bool at_present(const struct keel_follow_info *info)
{
    if (info->lines == 0)
        return false;
    return info->state == KEEL_FOLLOW_SYNCHRONIZED || info->state == KEEL_FOLLOW_DAY_ENDED;
}

/* Nothing came for --idle-exit: well if nothing is owed. */
static void check_idle(struct follow *f, const struct keel_follow_info *info)
{
    const struct cat_options *o = f->options;
    uint64_t now_ns = figures_now_ns();
    if (o->idle_exit_s == UINT64_MAX || now_ns - f->heard_ns < o->idle_exit_s * NS_PER_S)
        return;
    f->done = true;
    bool owed =
        info->next < info->present || o->count != UINT64_MAX || o->until_end || o->until_present;
    if (info->next == 0)
        f->code =
            cat_error(CAT_UNREACHABLE,
                      "follow: nothing was heard for %" PRIu64 " s: check the line's address, "
                      "and that the replicas publish to it",
                      o->idle_exit_s);
    else if (owed)
        f->code =
            cat_error(CAT_TIMEOUT,
                      "follow: nothing came for %" PRIu64 " s; number %" PRIu64
                      " is the next one: name more request servers, or go on with --from %" PRIu64,
                      o->idle_exit_s, info->next, info->next);
}

static void show(struct follow *f, const struct keel_follow_info *info)
{
    uint64_t now_ns = figures_now_ns();
    if (!f->options->progress || now_ns - f->shown_ns < SHOW_EVERY_NS)
        return;
    double span = (double)(now_ns - f->shown_ns) / (double)NS_PER_S;
    fprintf(stderr, "keelcat: day %s  next %" PRIu64 "  %.0f msg/s  %s\n",
            info->day[0] != 0 ? info->day : "-", info->next,
            (double)(f->messages - f->shown_messages) / span,
            keel_follow_state_name((int)info->state));
    f->shown_ns = now_ns;
    f->shown_messages = f->messages;
}

static void run(struct follow *f)
{
    f->began_ns = f->heard_ns = f->shown_ns = figures_now_ns();
    while (!f->done && f->code == CAT_DONE) { /* until what was asked for has come */
        struct keel_follow_info info;
        wait_any(f);
        int result = keel_follow_poll(f->follow, 0);
        keel_follow_info(f->follow, &info);
        if (result < 0)
            f->code = cat_error(cat_exit_of(result), "follow: %s", keel_follow_problem(f->follow));
        if (result > 0)
            f->heard_ns = figures_now_ns();
        if ((f->options->until_end || f->options->until_present) && f->ended)
            f->done = true;
        if (f->options->until_present && at_present(&info))
            f->done = true;
        if (!f->done && f->code == CAT_DONE)
            check_idle(f, &info);
        show(f, &info);
        if (fflush(stdout) != 0)
            f->code = cat_error(CAT_FAILED, "follow: standard output: %s", strerror(errno));
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

static bool save(const struct follow *f, FILE *out)
{
    struct keel_follow_info info;
    struct keel_follow_stats s;
    keel_follow_info(f->follow, &info);
    keel_follow_stats(f->follow, &s);
    double span = (double)(f->heard_ns - f->began_ns) / (double)NS_PER_S;
    fprintf(out,
            "{\"v\":1,\"day\":\"%s\",\"next\":%" PRIu64 ",\"present\":%" PRIu64
            ",\"state\":\"%s\",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,",
            info.day, info.next, info.present, keel_follow_state_name((int)info.state), f->messages,
            f->bytes, span);
    fprintf(out,
            "\"packets\":%" PRIu64 ",\"heartbeats\":%" PRIu64 ",\"duplicates\":%" PRIu64
            ",\"held\":%" PRIu64 ",\"held_dropped\":%" PRIu64 ",\"gaps\":%" PRIu64
            ",\"requests\":%" PRIu64 ",\"replies\":%" PRIu64 ",\"malformed\":%" PRIu64
            ",\"late_day\":%" PRIu64 ",\"strangers\":%" PRIu64 ",\"first\":[",
            s.packets, s.heartbeats, s.duplicates, s.held, s.held_dropped, s.gaps, s.requests,
            s.replies, s.malformed, s.late_day, s.strangers);
    for (uint32_t i = 0; i < info.lines; i++)
        fprintf(out, "%s%" PRIu64, i > 0 ? "," : "", s.first[i]);
    fprintf(out, "],\"first_server\":%" PRIu64 ",\"exit\":%d}\n", s.first_server, f->code);
    return fflush(out) == 0 && !ferror(out);
}

static void report(struct follow *f)
{
    const char *path = f->options->stats;
    if (path[0] == 0)
        return;
    FILE *out = fopen(path, "w");
    bool good = out != NULL && save(f, out);
    if (out != NULL && fclose(out) != 0)
        good = false;
    if (!good)
        f->code = cat_error(CAT_FAILED, "follow: statistics '%s': %s", path, strerror(errno));
}

int cat_follow(const struct cat_options *options)
{
    struct follow *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return cat_error(CAT_FAILED, "follow: no memory");
    f->options = options;
    f->signals = -1;
    if (open_follow(f) == CAT_DONE) {
        run(f);
        report(f);
    }
    int code = f->code;
    keel_follow_close(f->follow);
    if (f->signals >= 0)
        close(f->signals);
    free(f);
    return code;
}
