#include "judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Who held a lock, entry by entry: judged by itself, from beginnings and ends alone, so that a
 * mistake in locks.c that gives a lock away twice does not stay between it and the product. */

struct edge {
    const struct hold *hold;
    uint64_t index;
    bool begins;
};

/* By name, then in the order of the log; within one entry ends come first. */
static int in_order(const void *a, const void *b)
{
    const struct edge *x = a;
    const struct edge *y = b;
    int order = strcmp(x->hold->path, y->hold->path);
    if (order != 0)
        return order;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return (int)x->begins - (int)y->begins;
}

struct watch {
    const char *path;
    const struct hold *latest; /* that began */
    uint64_t held, exclusive;  /* how many hold it, and how many of them alone */
    uint64_t believes_ns;
};

static const char *begin_problem(const struct watch *watch, const struct hold *hold)
{
    if (watch->exclusive > 0 || (watch->held > 0 && hold->mode == EXCLUSIVE))
        return "gets it while another session holds it";
    if (hold->from_ns < watch->believes_ns)
        return "gets it while another may believe in it";
    if (watch->held > 0)
        return hold->generation == watch->latest->generation ? NULL : "shares another generation";
    if (watch->latest != NULL && hold->generation <= watch->latest->generation)
        return "gets it at a generation that does not rise";
    return NULL;
}

void holds_freed(struct holds *holds, const char *path, uint64_t log_ns)
{
    for (size_t i = 0; i < holds->count; i++) {
        struct hold *hold = &holds->hold[i];
        if (hold->believes_ns > log_ns && strcmp(hold->path, path) == 0)
            hold->believes_ns = log_ns;
    }
}

void holds_check(struct holds *holds, struct report *report)
{
    struct edge *edge = zalloc(2 * holds->count + 1, sizeof(*edge));
    size_t count = 0;
    for (size_t i = 0; i < holds->count; i++) {
        const struct hold *hold = &holds->hold[i];
        edge[count++] = (struct edge){.hold = hold, .index = hold->from, .begins = true};
        if (hold->to != 0)
            edge[count++] = (struct edge){.hold = hold, .index = hold->to};
    }
    if (count > 0)
        qsort(edge, count, sizeof(*edge), in_order);
    struct watch watch = {.path = ""};
    for (size_t i = 0; i < count; i++) {
        const struct hold *hold = edge[i].hold;
        if (strcmp(watch.path, hold->path) != 0)
            watch = (struct watch){.path = hold->path};
        if (!edge[i].begins) {
            watch.held--;
            watch.exclusive -= hold->mode == EXCLUSIVE;
            if (hold->believes_ns > watch.believes_ns)
                watch.believes_ns = hold->believes_ns;
            continue;
        }
        const char *problem = begin_problem(&watch, hold);
        if (problem != NULL)
            fail(report, "index %" PRIu64 ": lock %s: session %" PRIu64 " %s", hold->from,
                 hold->path, hold->session, problem);
        watch.held++;
        watch.exclusive += hold->mode == EXCLUSIVE;
        watch.latest = hold;
    }
    free(edge);
}
