/* keelcat publish: message k of the input becomes number k of the session, also across restarts. */
#include "client/cat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define SHOW_EVERY_NS (NS_PER_S / 2)
#define DRAIN_NS (5 * NS_PER_S) /* after a signal, for what was submitted */
#define WAIT_MOST_NS (NS_PER_S / 10)
#define LOOK_NS (NS_PER_S / 100) /* for a sequencer that is not there yet */

struct publish {
    const struct cat_options *options;
    struct keel *keel;
    struct keel_info info; /* at opening */
    int signals;
    bool input_ended;
    bool stopping;           /* a signal came */
    bool input_dry;          /* a message is not there in full */
    uint64_t skip;           /* messages of the input that earlier lives had answered */
    uint64_t first_ns;       /* with --rate: when the first one was due */
    uint64_t due;            /* messages due so far */
    uint64_t heard_ns;       /* last acknowledgement, or begin */
    bool active;             /* with --sequencer: the file held one when it was read last ... */
    struct timespec read_at; /* ... as it was written at this time */
    ino_t read_inode;
    struct keel_sequencer sequencer;
    uint64_t shown_ns;
    int code;
    char problem[CAT_PROBLEM_SIZE];
    struct cat_log log;
    struct cat_input input;
    struct figures figures;
};

static int failed(struct publish *p, int code, const char *what)
{
    p->code = code;
    return cat_error(code, "%s: %s", what, p->problem);
}

static void on_result(void *context, const struct keel_result *result)
{
    struct publish *p = context;
    struct keel_info info;
    keel_info(p->keel, &info);
    figures_ack(&p->figures, result, info.leader, p->options->gaps_ms);
    log_ack(&p->log, p->info.session, result);
    p->heard_ns = p->figures.ended_ns;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int open_session(struct publish *p)
{
    const struct cat_options *o = p->options;
    char why[KEEL_PROBLEM_SIZE];
    const struct keel_options options = {
        .members = o->members,
        .key_file = o->key,
        .session = o->session,
        .principal = (uint32_t)o->principal,
        .window = (uint32_t)o->window,
        .ttl_ms = (uint32_t)o->ttl_ms,
        .open_wait_ms = (uint32_t)o->open_wait_s * 1000,
        .cluster = o->cluster,
        .bind = o->bind[0] != 0 ? o->bind : NULL,
        .result = on_result,
        .context = p,
    };
    int result = keel_open(&p->keel, &options, why);
    if (result != KEEL_OK)
        return p->code = cat_error(cat_exit_of(result), "publish: %s", why);
    keel_info(p->keel, &p->info);
    if (o->ttl_ms != 0 && o->ttl_ms != p->info.ttl_ms)
        cat_error(0,
                  "publish: note: --ttl-ms %llu is outside of what the cluster grants: the session "
                  "has %u ms",
                  (unsigned long long)o->ttl_ms, p->info.ttl_ms);
    if (o->window != 0 && o->window != p->info.window)
        cat_error(0, "publish: note: --window %llu was asked for: the session has %u",
                  (unsigned long long)o->window, p->info.window);
    return CAT_DONE;
}

/* The log knows an open session of this name, and this is another one: the input would be sent anew
 * under numbers from 1. */
static int check_session(struct publish *p)
{
    if (p->options->fresh || p->log.session == 0 || p->log.ended ||
        p->log.session == p->info.session)
        return CAT_DONE;
    keel_end(p->keel, (int64_t)(2 * NS_PER_S));
    return p->code =
               cat_error(CAT_REFUSED,
                         "publish: session '%s' is %llu, but the log ends with %llu, which is "
                         "over: its messages may be sequenced already: publish under another "
                         "name, or say --new to send the whole input again",
                         p->options->session, (unsigned long long)p->info.session,
                         (unsigned long long)p->log.session);
}

/* The log has results of numbers that the session has not come to: the cluster was recovered from a
 * minority, or restored from a backup, and those messages are not in it. Whether they may be sent
 * again, consumers having seen them perhaps, is not for a program to say. The session stays open.
 */
static int check_lost(struct publish *p)
{
    uint64_t last;
    keel_resumed(p->keel, &last, NULL, 0);
    if (p->log.session != p->info.session || p->log.acked <= last)
        return CAT_DONE;
    if (p->options->resend_lost) {
        cat_error(
            0,
            "publish: note: messages %llu to %llu of session '%s' were answered and are lost: "
            "they are sent again",
            (unsigned long long)last + 1, (unsigned long long)p->log.acked, p->options->session);
        p->log.acked = last;
        return CAT_DONE;
    }
    return p->code = cat_error(
               CAT_REFUSED,
               "publish: session '%s' is at number %llu, and the log has results up to %llu: the "
               "cluster was recovered or restored without them, and they are lost: find out what "
               "consumers have seen of them, then say --resend-lost to send them again",
               p->options->session, (unsigned long long)last, (unsigned long long)p->log.acked);
}

/* Results that this log has not seen, of numbers that it has submitted. */
static void log_kept(struct publish *p)
{
    struct keel_result kept[KEEL_WINDOW_MAX];
    uint64_t last;
    size_t count = keel_resumed(p->keel, &last, kept, KEEL_WINDOW_MAX);
    bool known = p->log.session == p->info.session;
    for (size_t i = 0; known && i < count; i++)
        if (kept[i].number > p->log.acked && kept[i].number <= p->log.submitted)
            log_ack(&p->log, p->info.session, &kept[i]);
    p->skip = last;
}

static int open_all(struct publish *p)
{
    const struct cat_options *o = p->options;
    if (o->members[0] == 0 || o->key[0] == 0 || o->session[0] == 0)
        return p->code = cat_error(CAT_USAGE, "publish: --members, --key and --session are needed, "
                                              "on the command line or in --config FILE");
    if (access(o->key, R_OK) != 0)
        return p->code = cat_error(CAT_REFUSED,
                                   "publish: key file '%s': %s: name this client's key with --key; "
                                   "`keelctl key new client N` makes one",
                                   o->key, strerror(errno));
    if (!input_open(&p->input, o->input, o->format, p->problem))
        return failed(p, CAT_FAILED, "publish");
    p->signals = cat_signals();
    if (p->signals < 0)
        return p->code = cat_error(CAT_FAILED, "publish: signals: %s", strerror(errno));
    if (!log_open(&p->log, o->log, o->session, p->problem))
        return failed(p, CAT_FAILED, "publish");
    if (open_session(p) != CAT_DONE || check_session(p) != CAT_DONE || check_lost(p) != CAT_DONE)
        return p->code;
    log_session(&p->log, o->session, &p->info);
    log_kept(p);
    if (!log_write(&p->log, p->problem))
        return failed(p, CAT_FAILED, "publish");
    p->figures.began_ns = p->first_ns = p->heard_ns = p->shown_ns = figures_now_ns();
    return CAT_DONE;
}

/* --- running ---------------------------------------------------------------------------------- */

/* With --rate: when message `index` (from 0) is due. */
static uint64_t due_at(const struct publish *p, uint64_t index)
{
    uint64_t rate = p->options->rate;
    return p->first_ns + index / rate * NS_PER_S + index % rate * NS_PER_S / rate;
}

static bool finished_reading(const struct publish *p)
{
    return p->input_ended || p->stopping || p->figures.submitted >= p->options->count;
}

/* The next message of the input that is not behind us; false: none now. */
static bool next_message(struct publish *p, const uint8_t **payload, size_t *size)
{
    for (;;) { /* skips what earlier lives had answered; ends with what is read */
        switch (input_next(&p->input, payload, size, p->problem)) {
        case INPUT_MESSAGE:
            if (p->input.messages > p->skip)
                return true;
            continue;
        case INPUT_MORE:
            p->input_dry = true;
            return false;
        case INPUT_END:
            p->input_ended = true;
            if (p->input.messages < p->skip)
                cat_error(0, "publish: note: the input has %llu messages, the session is at %llu",
                          (unsigned long long)p->input.messages, (unsigned long long)p->skip);
            return false;
        case INPUT_ERROR:
            p->input_ended = true;
            failed(p, CAT_FAILED, "publish");
            return false;
        }
    }
}

/* With --sequencer: whether the file holds one, which is then shown with every message; a file that
 * is not there, or empty, means that this gateway is not to act. Read again when it changed. */
static bool acts(struct publish *p)
{
    const char *path = p->options->sequencer;
    char text[KEEL_SEQUENCER_TEXT_SIZE] = {0};
    struct stat st;
    if (path[0] == 0)
        return true;
    if (stat(path, &st) != 0 || st.st_size == 0)
        return p->active = false;
    if (p->active && st.st_ino == p->read_inode && st.st_mtim.tv_sec == p->read_at.tv_sec &&
        st.st_mtim.tv_nsec == p->read_at.tv_nsec)
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? strcspn(text, " \n") : 0] = 0;
    p->active = n > 0 && keel_sequencer_parse(&p->sequencer, text);
    if (p->active) {
        p->read_at = st.st_mtim;
        p->read_inode = st.st_ino;
        /* what was due while it was not to act is not owed now */
        p->first_ns = figures_now_ns();
        p->due = 0;
    }
    return p->active;
}

static bool window_open(const struct publish *p)
{
    struct keel_info info;
    keel_info(p->keel, &info);
    return info.submitted - info.answered < info.window &&
           (info.state == KEEL_READY || info.state == KEEL_SEARCHING);
}

/* Submits what is due and fits the window; its log is written before any of it can be sent. */
static bool submit_all(struct publish *p)
{
    while (!finished_reading(p) && !p->input_dry && window_open(p) &&
           acts(p)) { /* at most a window */
        const uint8_t *payload;
        size_t size;
        uint64_t number, now_ns = figures_now_ns(), due_ns = now_ns;
        if (p->options->rate != 0) {
            due_ns = due_at(p, p->due);
            if (due_ns > now_ns)
                break;
        }
        if (!next_message(p, &payload, &size))
            break;
        int result = p->options->sequencer[0] == 0
                         ? keel_submit(p->keel, payload, size, &number)
                         : keel_submit_fenced(p->keel, payload, size, &p->sequencer, &number);
        if (result != KEEL_OK || number != p->input.messages) {
            snprintf(p->problem, sizeof(p->problem), "message %llu: %s",
                     (unsigned long long)p->input.messages,
                     result != KEEL_OK ? keel_strerror(result) : "the numbers do not agree");
            failed(p, CAT_FAILED, "publish");
            return false;
        }
        p->due++;
        log_submit(&p->log, p->info.session, number, payload, size);
        figures_submit(&p->figures, number, size, due_ns);
    }
    if (log_write(&p->log, p->problem))
        return true;
    failed(p, CAT_FAILED, "publish");
    return false;
}

static int64_t wait_ns(const struct publish *p)
{
    int64_t wait = keel_wait_ns(p->keel);
    if (wait > (int64_t)WAIT_MOST_NS)
        wait = (int64_t)WAIT_MOST_NS;
    if (p->options->sequencer[0] != 0 && !p->active)
        return wait < (int64_t)LOOK_NS ? wait : (int64_t)LOOK_NS;
    if (p->options->rate == 0 || finished_reading(p) || p->input_dry || !window_open(p))
        return wait;
    uint64_t now_ns = figures_now_ns(), due_ns = due_at(p, p->due);
    int64_t due = due_ns > now_ns ? (int64_t)(due_ns - now_ns) : 0;
    return due < wait ? due : wait;
}

/* Until a packet, input, a signal, or something due. */
static bool wait_any(struct publish *p)
{
    struct pollfd fds[3] = {{.fd = keel_fd(p->keel), .events = POLLIN},
                            {.fd = p->signals, .events = POLLIN},
                            {.fd = p->input.fd, .events = POLLIN}};
    bool read_input = p->input_dry && !finished_reading(p);
    int64_t wait = wait_ns(p);
    const struct timespec time = {.tv_sec = wait / (int64_t)NS_PER_S,
                                  .tv_nsec = wait % (int64_t)NS_PER_S};
    if (ppoll(fds, read_input ? 3 : 2, &time, NULL) <= 0)
        return true;
    if (read_input && fds[2].revents != 0) {
        p->input_dry = false;
        if (!input_fill(&p->input, p->problem)) {
            failed(p, CAT_FAILED, "publish");
            return false;
        }
    }
    if (fds[1].revents != 0 && cat_signalled(p->signals) && !p->stopping) {
        p->stopping = true;
        p->heard_ns = figures_now_ns();
        cat_error(0,
                  "publish: stopping: waiting for what was submitted; the session stays open, the "
                  "same command goes on from there");
    }
    return true;
}

static void show(struct publish *p)
{
    uint64_t now_ns = figures_now_ns();
    if (now_ns - p->shown_ns < SHOW_EVERY_NS)
        return;
    p->shown_ns = now_ns;
    if (p->options->progress)
        figures_progress(&p->figures, p->keel);
    if (p->options->stats[0] != 0 &&
        !figures_save(p->options->stats, &p->figures, p->keel, p->options->session, -1)) {
        snprintf(p->problem, sizeof(p->problem), "statistics '%.200s': %s", p->options->stats,
                 strerror(errno));
        failed(p, CAT_FAILED, "publish");
    }
}

static bool owed(const struct publish *p)
{
    return p->figures.acknowledged < p->figures.submitted;
}

/* Nothing was acknowledged for too long. */
static bool too_long(struct publish *p)
{
    uint64_t limit_ns = p->stopping ? DRAIN_NS : p->options->timeout_s * NS_PER_S;
    if (!owed(p) || figures_now_ns() - p->heard_ns < limit_ns)
        return false;
    snprintf(p->problem, sizeof(p->problem),
             "no acknowledgement for %llu s; number %llu is the first one owed; the session stays "
             "open: see `keelctl status`, then run the same command again",
             (unsigned long long)(limit_ns / NS_PER_S),
             (unsigned long long)p->figures.last_number + 1);
    failed(p, CAT_TIMEOUT, "publish");
    return true;
}

static void run(struct publish *p)
{
    while (p->code == CAT_DONE || owed(p)) { /* ends with the input, an error, or too long a wait */
        if (!owed(p))
            p->heard_ns = figures_now_ns();
        if (p->code == CAT_DONE && !submit_all(p))
            p->input_ended = true;
        if (finished_reading(p) && !owed(p))
            break;
        keel_flush(p->keel);
        if (!wait_any(p))
            p->input_ended = true;
        int result = keel_poll(p->keel, 0);
        if (result < 0) {
            p->code = cat_error(cat_exit_of(result), "publish: %s", keel_problem(p->keel));
            break;
        }
        show(p);
        if (too_long(p))
            break;
    }
    if (!log_write(&p->log, p->problem))
        failed(p, CAT_FAILED, "publish");
}

/* --- closing ---------------------------------------------------------------------------------- */

static void end_session(struct publish *p)
{
    int result = keel_end(p->keel, (int64_t)(p->options->timeout_s * NS_PER_S));
    if (result != KEEL_OK) {
        const char *why = keel_problem(p->keel);
        p->code = cat_error(cat_exit_of(result), "publish: ending the session: %s",
                            why[0] != 0 ? why : keel_strerror(result));
        return;
    }
    struct keel_info info;
    keel_info(p->keel, &info);
    log_end(&p->log, info.session, info.submitted);
    if (!log_write(&p->log, p->problem))
        failed(p, CAT_FAILED, "publish");
}

static void report(struct publish *p)
{
    const struct cat_options *o = p->options;
    if (p->figures.refused > 0 && p->code == CAT_DONE)
        p->code =
            cat_error(CAT_FAILED, "publish: %llu messages were refused: see the log's statuses",
                      (unsigned long long)p->figures.refused);
    if (p->stopping && p->code == CAT_DONE)
        p->code = CAT_FAILED;
    if (o->progress && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (o->json)
        figures_json(stdout, &p->figures, p->keel, o->session, p->code);
    else
        figures_text(stdout, &p->figures, p->keel, o->session);
    if (p->input.empty > 0 && !o->json)
        printf("input     %llu empty %s left out\n", (unsigned long long)p->input.empty,
               o->format == CAT_LENGTH_PREFIXED ? "records" : "lines");
    if (o->stats[0] != 0 && !figures_save(o->stats, &p->figures, p->keel, o->session, p->code))
        p->code = cat_error(CAT_FAILED, "publish: statistics '%s': %s", o->stats, strerror(errno));
    if (fflush(stdout) != 0)
        p->code = cat_error(CAT_FAILED, "publish: standard output: %s", strerror(errno));
}

int cat_publish(const struct cat_options *options)
{
    struct publish *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return cat_error(CAT_FAILED, "publish: no memory");
    p->options = options;
    p->signals = p->input.fd = p->log.fd = -1;
    if (open_all(p) == CAT_DONE) {
        run(p);
        bool whole = p->code == CAT_DONE && p->input_ended && !p->stopping;
        if (whole && !options->keep)
            end_session(p);
        report(p);
    }
    int code = p->code;
    keel_close(p->keel);
    input_close(&p->input);
    log_close(&p->log);
    if (p->signals >= 0)
        close(p->signals);
    free(p);
    return code;
}
