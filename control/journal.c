#include "control/journal.h"

#include <string.h>
#include <time.h>

static uint64_t utc_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void journal_init(struct journal *j)
{
    memset(j, 0, sizeof(*j));
    pthread_mutex_init(&j->lock, NULL);
    j->id = utc_ns();
}

static void copy_text(char *to, size_t room, const char *from)
{
    size_t at = 0;
    for (; from[at] != '\0' && at + 1 < room; at++)
        to[at] = from[at] >= ' ' && from[at] <= '~' ? from[at] : '?';
    to[at] = '\0';
}

void journal_add(struct journal *j, enum log_level level, const char *name, const char *text)
{
    pthread_mutex_lock(&j->lock);
    uint64_t number = j->newest + 1;
    struct journal_event *event = &j->event[number % JOURNAL_EVENTS];
    /* release: pairs with the acquire loads in journal_peek(), which sees no half-written event */
    __atomic_store_n(&event->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    event->utc_ns = utc_ns();
    event->level = level;
    copy_text(event->name, sizeof(event->name), name);
    copy_text(event->text, sizeof(event->text), text);
    __atomic_store_n(&event->number, number, __ATOMIC_RELEASE);
    __atomic_store_n(&j->newest, number, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&j->lock);
}

uint64_t journal_newest(struct journal *j)
{
    return __atomic_load_n(&j->newest, __ATOMIC_ACQUIRE); /* pairs with journal_add() */
}

bool journal_next(struct journal *j, uint64_t after, struct journal_event *event)
{
    bool found = false;
    pthread_mutex_lock(&j->lock);
    if (after < j->newest) {
        uint64_t oldest = j->newest < JOURNAL_EVENTS ? 1 : j->newest - JOURNAL_EVENTS + 1;
        *event = j->event[(after + 1 > oldest ? after + 1 : oldest) % JOURNAL_EVENTS];
        found = true;
    }
    pthread_mutex_unlock(&j->lock);
    return found;
}

bool journal_peek(const struct journal *j, uint64_t number, struct journal_event *event)
{
    const struct journal_event *from = &j->event[number % JOURNAL_EVENTS];
    if (number == 0 || __atomic_load_n(&from->number, __ATOMIC_ACQUIRE) != number)
        return false;
    memcpy(event, from, sizeof(*event));
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the release fence in journal_add() */
    return __atomic_load_n(&from->number, __ATOMIC_RELAXED) == number;
}
