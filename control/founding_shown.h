/* What keeld shows of its genesis, from the thread that founds to the admin thread. Cold: a lock.
 */
#ifndef KEEL_FOUNDING_SHOWN_H
#define KEEL_FOUNDING_SHOWN_H

#include "control/founding.h"

#include <pthread.h>

struct founding_shown {
    pthread_mutex_t lock;
    struct founding_status status;
    uint64_t now_ns; /* when that was so; the clock of heard_ns */
};

static inline void founding_shown_put(struct founding_shown *shown,
                                      const struct founding_status *status, uint64_t now_ns)
{
    pthread_mutex_lock(&shown->lock);
    shown->status = *status;
    shown->now_ns = now_ns;
    pthread_mutex_unlock(&shown->lock);
}

static inline uint64_t founding_shown_get(struct founding_shown *shown,
                                          struct founding_status *status)
{
    pthread_mutex_lock(&shown->lock);
    *status = shown->status;
    uint64_t now_ns = shown->now_ns;
    pthread_mutex_unlock(&shown->lock);
    return now_ns;
}

#endif
