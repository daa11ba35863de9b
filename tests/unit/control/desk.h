/* One replica in a bench, that leads, with its admin thread at a socket of its own: for tests of
 * what is asked there, in this process or by keelctl. The bench turns when its owner says so.
 */
#ifndef KEEL_TEST_CONTROL_DESK_H
#define KEEL_TEST_CONTROL_DESK_H

#include "control/admin.h"
#include "tests/unit/control/bench.h"

#include <pthread.h>

struct desk {
    struct bench *bench;
    struct config config;
    struct journal journal;
    struct node *node;
    struct admin *admin;
    pthread_t thread;
    uint32_t stop;
    char directory[64];
};

struct desk *desk_open(void);
void desk_close(struct desk *desk);

#endif
