#include "tests/unit/control/desk.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *serve(void *context)
{
    struct desk *d = context;
    admin_run(d->admin, &d->stop);
    return NULL;
}

struct desk *desk_open(void)
{
    struct desk *d = calloc(1, sizeof(*d));
    char problem[CONFIG_PROBLEM_SIZE] = "";
    d->bench = bench_new(1);
    CU_ASSERT_EQUAL_FATAL(bench_start(d->bench, 1), STARTUP_OK);
    bench_settle(d->bench);
    strcpy(d->directory, "/tmp/keel-admin-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(d->directory));
    snprintf(d->config.socket, sizeof(d->config.socket), "%s/s", d->directory);
    d->config.id = 1;
    strcpy(d->config.data, "memory");
    d->node = calloc(1, sizeof(*d->node));
    d->node->config = &d->config;
    journal_init(&d->journal);
    d->node->journal = &d->journal;
    d->node->start = d->bench->node[1].start; /* read only */
    d->node->port = &d->bench->node[1].port;
    d->node->thread_count = 1;
    CU_ASSERT_EQUAL_FATAL(admin_open(&d->admin, d->node, problem), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&d->thread, NULL, serve, d), 0);
    return d;
}

void desk_close(struct desk *d)
{
    __atomic_store_n(&d->stop, 1, __ATOMIC_RELAXED);
    pthread_join(d->thread, NULL);
    admin_close(d->admin);
    CU_ASSERT_EQUAL(rmdir(d->directory), 0); /* the socket is gone too */
    bench_free(d->bench);
    free(d->node);
    free(d);
}
