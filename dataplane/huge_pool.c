#include "dataplane/huge_pool.h"

#include <limits.h>
#include <stdio.h>

static bool read_number(const char *folder, const char *name, uint64_t *number)
{
    char path[PATH_MAX + 40];
    unsigned long long value;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool read = fscanf(file, "%llu", &value) == 1;
    fclose(file);
    if (read)
        *number = value;
    return read;
}

bool huge_pool_read(const char *root, int node, uint32_t kilobytes, struct huge_pool *pool)
{
    char folder[PATH_MAX];
    *pool = (struct huge_pool){0};
    if (node == HUGE_POOL_ALL_NODES)
        snprintf(folder, sizeof(folder), "%s/sys/kernel/mm/hugepages/hugepages-%ukB", root,
                 kilobytes);
    else
        snprintf(folder, sizeof(folder),
                 "%s/sys/devices/system/node/node%d/hugepages/hugepages-%ukB", root, node,
                 kilobytes);
    if (!read_number(folder, "nr_hugepages", &pool->total) ||
        !read_number(folder, "free_hugepages", &pool->free)) {
        *pool = (struct huge_pool){0};
        return false;
    }
    read_number(folder, "surplus_hugepages", &pool->surplus);
    read_number(folder, "resv_hugepages", &pool->promised);
    read_number(folder, "nr_overcommit_hugepages", &pool->overcommit);
    return true;
}

uint64_t huge_pool_usable(const struct huge_pool *pool)
{
    return pool->free > pool->promised ? pool->free - pool->promised : 0;
}

uint64_t huge_pool_reserved(const struct huge_pool *pool)
{
    return pool->total > pool->surplus ? pool->total - pool->surplus : 0;
}

/* Promises are not counted by node: a node's pages may be spoken for by any mapping. */
static uint64_t usable(const char *root, int node, uint32_t kilobytes)
{
    struct huge_pool all, here;
    huge_pool_read(root, HUGE_POOL_ALL_NODES, kilobytes, &all);
    huge_pool_read(root, node, kilobytes, &here);
    uint64_t most = huge_pool_usable(&all);
    return huge_pool_usable(&here) < most ? huge_pool_usable(&here) : most;
}

uint64_t huge_pool_usable_mb(const char *root, int node)
{
    return usable(root, node, HUGE_POOL_2M) * 2 + usable(root, node, HUGE_POOL_1G) * 1024;
}
