#include "control/blackbox.h"

#include "consensus/wire/genesis.h"
#include "consensus/wire/packet.h"
#include "control/admin_request.h"
#include "dataplane/ring/format.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COPY_TRIES = 1000, PATH_ROOM = CONFIG_TEXT_MAX + 16 };

extern const char __executable_start; /* the linker's: where the program lies */

/* Process-wide like the signals that end a process; the box itself lies here, so that going down
 * needs neither memory nor stack. */
static struct {
    const struct node *node;
    int fd;
    uint32_t taken; /* somebody writes, or has written */
    char path[PATH_ROOM];
    struct replica_status status;
    struct control_status control;
    struct blackbox box;
} here = {.fd = -1};

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

void blackbox_path(const struct config *config, char path[PATH_ROOM])
{
    struct stat st;
    if (config->blackbox[0] != '\0')
        snprintf(path, PATH_ROOM, "%s", config->blackbox);
    else if (stat(config->data, &st) == 0 && S_ISREG(st.st_mode))
        snprintf(path, PATH_ROOM, "%s.blackbox", config->data);
    else
        snprintf(path, PATH_ROOM, "/var/lib/keel/keeld-%u.blackbox", config->id);
}

/* --- while it goes down: nothing here but copies and write()
 * --------------------------------------- */

static void copy_text(char *to, size_t room, const char *from)
{
    size_t at = 0;
    for (; from != NULL && from[at] != '\0' && at + 1 < room; at++)
        to[at] = from[at];
    to[at] = '\0';
}

/* The published copy, whose writer may be who goes down: then it stays half-written. */
static bool copy_published(void *to, const void *from, size_t size, const uint64_t *version)
{
    for (int i = 0; i < COPY_TRIES; i++) {
        uint64_t before = __atomic_load_n(version, __ATOMIC_ACQUIRE);
        memcpy(to, from, size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the release fence of the writer */
        if ((before & 1) == 0 && __atomic_load_n(version, __ATOMIC_RELAXED) == before)
            return true;
    }
    return false;
}

static void put_replica(struct blackbox_replica *to, const struct replica *replica)
{
    const struct replica_status *s = &here.status;
    to->whole = copy_published(&here.status, &replica->status, sizeof(here.status),
                               &replica->status_version);
    to->term = s->term;
    to->commit = s->commit;
    to->applied = s->applied;
    to->last_index = s->last_index;
    to->first_index = s->first_index;
    to->durable_index = s->durable_index;
    to->last_lsn = s->last_lsn;
    to->durable_lsn = s->durable_lsn;
    to->feed_next = s->feed_next;
    to->quorum_age_ns = s->quorum_age_ns;
    to->uptime_ns = s->now_ns - s->started_ns;
    to->turns = s->turns;
    copy_text(to->role, sizeof(to->role), node_role_name(s->role));
    to->leader = s->leader;
    to->vote = s->vote;
    to->stopped = s->stopped;
    to->failed = s->failed;
    copy_text(to->why, sizeof(to->why), s->why);
}

static void put_control(struct blackbox_control *to, const struct control *control)
{
    const struct control_status *c = &here.control;
    to->whole = control_status_try(control, &here.control, COPY_TRIES);
    to->applied = c->applied;
    to->checkpoint_index = c->checkpoint_index[0];
    to->checkpoint_older_index = c->checkpoint_index[1];
    to->digest_differs = c->digest_differs;
    copy_text(to->problem, sizeof(to->problem), c->problem);
}

static void put_events(struct blackbox *box, const struct journal *journal)
{
    uint64_t newest = __atomic_load_n(&journal->newest, __ATOMIC_ACQUIRE);
    uint64_t first = newest > BLACKBOX_EVENTS ? newest - BLACKBOX_EVENTS + 1 : 1;
    for (uint64_t number = first; number <= newest; number++)
        if (journal_peek(journal, number, &box->event[box->event_count]))
            box->event_count++;
}

static void put_all(struct blackbox *box)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    box->utc_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    pthread_getname_np(pthread_self(), box->thread, sizeof(box->thread));
    const struct startup *start = &here.node->start;
    box->boot = start->boot;
    if (start->replica != NULL)
        put_replica(&box->state, start->replica);
    if (start->control != NULL)
        put_control(&box->control, start->control);
    if (here.node->journal != NULL)
        put_events(box, here.node->journal);
}

static void put_out(void)
{
    ssize_t written = pwrite(here.fd, &here.box, sizeof(here.box), 0);
    (void)written; /* nobody is left to tell; no flush: the kernel has it, and lives on */
}

void blackbox_write(uint32_t signal, uint64_t address, const char *file, int line,
                    const char *condition)
{
    struct blackbox *box = &here.box;
    if (here.fd < 0 || __atomic_exchange_n(&here.taken, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    memcpy(box->magic, BLACKBOX_MAGIC, sizeof(box->magic));
    box->signal = signal;
    box->address = address;
    copy_text(box->file, sizeof(box->file), file);
    box->line = (uint32_t)line;
    copy_text(box->condition, sizeof(box->condition), condition);
    put_out(); /* the least first: what follows reads memory that may be what is broken */
    put_all(box);
    put_out();
    void *frame[BLACKBOX_FRAMES];
    int count = backtrace(frame, BLACKBOX_FRAMES); /* loaded at start: it takes no memory now */
    for (int i = 0; i < count; i++)
        box->frame[i] = (uint64_t)((uintptr_t)frame[i] - (uintptr_t)&__executable_start);
    box->frame_count = (uint64_t)count;
    put_out();
}

/* Its disposition is the default again (SA_RESETHAND): returning ends the process by that signal.
 */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    blackbox_write((uint32_t)number, (uint64_t)(uintptr_t)info->si_addr, "", 0, "");
    if (info->si_code <= 0) /* sent by somebody: it would not happen again by itself */
        raise(number);
}

/* --- before and after
 * ---------------------------------------------------------------------------- */

/* An earlier life's box: to the first number that is free. */
static void put_aside(const char *path)
{
    char magic[sizeof(here.box.magic)], to[PATH_ROOM + 4];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, magic, sizeof(magic)) : 0;
    if (fd >= 0)
        close(fd);
    if (got != sizeof(magic) || memcmp(magic, BLACKBOX_MAGIC, sizeof(magic)) != 0)
        return;
    for (int i = 1; i <= BLACKBOX_KEPT; i++) {
        snprintf(to, sizeof(to), "%s.%d", path, i);
        if (stat(to, &st) != 0)
            break;
    }
    if (rename(path, to) == 0)
        log_event(LOG_LEVEL_CRITICAL, "blackbox",
                  "file=\"%s\" text=\"an earlier run ended by a failed check or a crash: look with "
                  "keelctl blackbox, and report it\"",
                  to);
}

static void fill_constants(void)
{
    struct blackbox *box = &here.box;
    box->version = BLACKBOX_VERSION;
    box->size = sizeof(*box);
    box->replica = here.node->config->id;
    box->pid = (uint32_t)getpid();
    copy_text(box->keel, sizeof(box->keel), KEEL_VERSION);
    box->packet_version = PACKET_VERSION;
    box->ring_version = RING_VERSION;
    box->genesis_version = GENESIS_VERSION;
    box->admin_version = ADMIN_VERSION;
}

int blackbox_open(const struct node *node)
{
    void *frame[1];
    memset(&here.box, 0, sizeof(here.box));
    blackbox_path(node->config, here.path);
    put_aside(here.path);
    here.fd = open(here.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int rc = here.fd < 0 ? -errno : -posix_fallocate(here.fd, 0, sizeof(here.box));
    if (rc != 0) {
        if (here.fd >= 0)
            close(here.fd);
        here.fd = -1;
        return rc;
    }
    here.node = node;
    __atomic_store_n(&here.taken, 0, __ATOMIC_RELEASE);
    fill_constants();
    backtrace(frame, 1); /* loads what it needs */
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)};
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, NULL);
    return 0;
}

void blackbox_close(void)
{
    if (here.fd < 0)
        return;
    for (int i = 0; i < SIGNALS; i++)
        signal(signals[i], SIG_DFL);
    close(here.fd);
    here.fd = -1;
    here.node = NULL;
    unlink(here.path);
}
