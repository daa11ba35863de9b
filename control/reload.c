#include "control/reload.h"

#include "control/log.h"
#include "dataplane/rcu.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { RELOAD_LIST_MAX = 320 };

/* What one reload makes, before it is in force. */
struct draft {
    struct config config;
    struct keyring *keys;
    struct feed_table *table;
    bool rekeys, changes_feed;
};

struct reload {
    struct reload_options options;
    struct config config; /* as it runs; config (written under the lock) and keys: the worker's */
    struct keyring *keys;
    struct feed_table *table; /* in force; NULL: the feed's first */
    struct draft draft;
    struct control_rekey rekey;
    struct reload_report report; /* of what is under way */

    pthread_mutex_t lock; /* of the rest; held for moments only */
    pthread_cond_t wake;
    bool asked, busy, stopping;
    enum reload_by by;
    uint64_t ticket, answered; /* last one asked; last one of admin's that is done */
    struct reload_report for_admin;
};

/* --- reading
 * --------------------------------------------------------------------------------------- */

static __attribute__((format(printf, 3, 4))) bool
no_reload(struct reload *r, enum reload_outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->report.why, sizeof(r->report.why), format, args);
    va_end(args);
    r->report.outcome = outcome;
    return false;
}

/* A pipe in the file's place would be waited for. */
static bool read_config(struct reload *r)
{
    struct config *config = &r->draft.config;
    const char *path = r->options.path;
    char text[RELOAD_LIST_MAX];
    char problem[CONFIG_PROBLEM_SIZE];
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return no_reload(r, RELOAD_REFUSED, "%s: it is not a regular file", path);
    if (!config_read(config, path, problem))
        return no_reload(r, RELOAD_REFUSED, "%s", problem);
    if (config_fixed_changes(&r->config, config, text, sizeof(text)) > 0)
        return no_reload(r, RELOAD_REFUSED,
                         "%s: needs a restart: %s: restart this replica, or take the change back",
                         path, text);
    reload_diff_feed(&r->config.feed, &config->feed, &r->report);
    r->draft.changes_feed = r->report.count > 0;
    return true;
}

static bool read_keys(struct reload *r)
{
    struct draft *draft = &r->draft;
    char why[256] = "";
    draft->keys = calloc(1, sizeof(*draft->keys));
    if (draft->keys == NULL)
        return no_reload(r, RELOAD_FAILED, "out of memory");
    int rc = keyring_read(draft->keys, draft->config.keys, why);
    if (rc == -ENOMEM)
        return no_reload(r, RELOAD_FAILED, "out of memory");
    if (rc != 0)
        return no_reload(r, RELOAD_REFUSED, "[keys] file: %s",
                         why[0] != '\0' ? why : strerror(-rc));
    if (keyring_find(draft->keys, r->config.id) == NULL)
        return no_reload(r, RELOAD_REFUSED, "[keys] file: %s: it has no section [replica %u]",
                         draft->config.keys, r->config.id);
    uint32_t before = r->report.count;
    reload_diff_keys(r->keys, draft->keys, r->config.id, &r->report, &r->rekey);
    draft->rekeys = r->report.count > before || r->rekey.ended_count > 0;
    return true;
}

static bool make_table(struct reload *r)
{
    struct draft *draft = &r->draft;
    if (!draft->changes_feed)
        return true;
    draft->table = calloc(1, sizeof(*draft->table));
    if (draft->table == NULL)
        return no_reload(r, RELOAD_FAILED, "out of memory");
    feed_table_fill(draft->table, &draft->config.feed);
    return true;
}

/* --- applying
 * -------------------------------------------------------------------------------------- */

static bool stopping(struct reload *r)
{
    pthread_mutex_lock(&r->lock);
    bool stop = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return stop;
}

static void reload_nap(void)
{
    nanosleep(&(struct timespec){0, RELOAD_POLL_MS * 1000000l}, NULL);
}

static void drop_keys(struct keyring **keys)
{
    if (*keys != NULL)
        keyring_wipe(*keys);
    free(*keys);
    *keys = NULL;
}

/* Control takes them at its next turn, a millisecond away; if it does not, nothing has changed. */
static bool offer_keys(struct reload *r)
{
    struct draft *draft = &r->draft;
    if (!draft->rekeys)
        return true;
    control_rekey(r->options.control, &r->rekey);
    for (uint32_t ms = 0; ms < RELOAD_TAKE_MS && !control_rekey_taken(r->options.control); ms++)
        reload_nap();
    if (!control_rekey_taken(r->options.control) && control_rekey_withdraw(r->options.control))
        return no_reload(
            r, RELOAD_FAILED,
            "the control thread does not advance (`keelctl status`): nothing was changed");
    return true;
}

/* From here on nothing fails. The old table is returned. */
static struct feed_table *put_in_force(struct reload *r)
{
    struct draft *draft = &r->draft;
    struct feed_table *old = NULL;
    if (draft->changes_feed) {
        old = feed_publish(r->options.feed, draft->table);
        r->table = draft->table;
        draft->table = NULL;
    }
    pthread_mutex_lock(&r->lock);
    r->config = draft->config;
    pthread_mutex_unlock(&r->lock);
    return old;
}

/* Waits until nobody looks at the old keys and the old table. Control may have been stopped
 * half-way: then both rings are kept, and wiped at the end. */
static void let_go(struct reload *r, struct feed_table *old)
{
    if (r->draft.rekeys) {
        while (!control_rekey_done(r->options.control, &r->rekey)) { /* bound: seq makes room */
            if (stopping(r))
                break;
            reload_nap();
        }
        struct keyring *was = r->keys;
        r->keys = r->draft.keys;
        r->draft.keys = was;
    }
    if (old != NULL) {
        rcu_wait_readers();
        free(old);
    }
}

/* --- the worker
 * ------------------------------------------------------------------------------------ */

static void list_changes(const struct reload_report *report, char *list, size_t room)
{
    static const char sign[] = {
        [RELOAD_ADDED] = '+', [RELOAD_REMOVED] = '-', [RELOAD_CHANGED] = '~'};
    size_t at = 0;
    list[0] = '\0';
    for (uint32_t i = 0; i < report->count; i++) {
        char name[RELOAD_NAME_MAX];
        reload_change_name(&report->change[i], name);
        if (at + sizeof(name) + 24 > room) {
            snprintf(list + at, room - at, " and %u more", report->count - i);
            return;
        }
        at += (size_t)snprintf(list + at, room - at, "%s%c%s %s", at > 0 ? ", " : "",
                               sign[report->change[i].how],
                               reload_what_name(report->change[i].what), name);
    }
}

static void reload_tell(const struct reload *r, enum reload_by by)
{
    const char *who = by == RELOAD_BY_SIGNAL ? "SIGHUP" : "keelctl";
    char list[RELOAD_LIST_MAX];
    switch (r->report.outcome) {
    case RELOAD_DONE:
        list_changes(&r->report, list, sizeof(list));
        log_event(LOG_LEVEL_NOTICE, "reload", "replica=%u by=%s changes=%u ended=%u list=\"%s\"",
                  r->config.id, who, r->report.count, r->report.ended, list);
        break;
    case RELOAD_REFUSED:
    case RELOAD_FAILED:
        log_event(LOG_LEVEL_ERROR, "reload-refused", "replica=%u by=%s why=\"%s\"", r->config.id,
                  who, r->report.why);
        break;
    }
}

/* The answer is there before the readers are waited for. */
static void reload_finish(struct reload *r, enum reload_by by, uint64_t ticket)
{
    reload_tell(r, by);
    if (by != RELOAD_BY_ADMIN)
        return;
    pthread_mutex_lock(&r->lock);
    r->for_admin = r->report;
    r->answered = ticket;
    pthread_mutex_unlock(&r->lock);
}

static void reload_once(struct reload *r, enum reload_by by, uint64_t ticket)
{
    r->report.outcome = RELOAD_DONE;
    r->report.count = r->report.ended = 0;
    r->report.why[0] = '\0';
    r->draft.rekeys = r->draft.changes_feed = false;
    bool good = read_config(r) && read_keys(r) && make_table(r) && offer_keys(r);
    if (!good)
        r->report.count = r->report.ended = 0;
    struct feed_table *old = good ? put_in_force(r) : NULL;
    reload_finish(r, by, ticket);
    if (good)
        let_go(r, old);
    if (!stopping(r)) /* else control may hold them: reload_close() */
        drop_keys(&r->draft.keys);
    free(r->draft.table);
    r->draft.table = NULL;
}

int reload_open(struct reload **reload, const struct reload_options *options)
{
    struct reload *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    r->options = *options;
    r->config = *options->config;
    r->keys = options->keys;
    *reload = r;
    return 0;
}

void reload_config(struct reload *r, struct config *config)
{
    pthread_mutex_lock(&r->lock);
    *config = r->config;
    pthread_mutex_unlock(&r->lock);
}

bool reload_ask(struct reload *r, enum reload_by by, uint64_t *ticket)
{
    pthread_mutex_lock(&r->lock);
    bool free_now = !r->asked && !r->busy && !r->stopping;
    if (free_now) {
        r->asked = true;
        r->by = by;
        *ticket = ++r->ticket;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    return free_now;
}

const struct reload_report *reload_result(struct reload *r, uint64_t ticket)
{
    pthread_mutex_lock(&r->lock);
    bool done = r->answered == ticket;
    pthread_mutex_unlock(&r->lock);
    return done ? &r->for_admin : NULL;
}

void reload_run(struct reload *r)
{
    pthread_mutex_lock(&r->lock);
    for (;;) { /* until reload_stop() */
        while (!r->asked && !r->stopping)
            pthread_cond_wait(&r->wake, &r->lock);
        if (r->stopping)
            break;
        enum reload_by by = r->by;
        uint64_t ticket = r->ticket;
        r->asked = false;
        r->busy = true;
        pthread_mutex_unlock(&r->lock);
        reload_once(r, by, ticket);
        pthread_mutex_lock(&r->lock);
        r->busy = false;
    }
    pthread_mutex_unlock(&r->lock);
}

void reload_stop(struct reload *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

void reload_close(struct reload *r)
{
    if (r == NULL)
        return;
    drop_keys(&r->keys);
    drop_keys(&r->draft.keys);
    free(r->draft.table);
    free(r->table);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
