/* The kernel's pools of hugepages, as /sys tells of them. Cold, read-only, needs no privilege and
 * no DPDK: keeld asks before it maps (eal.c), keel-host asks before keeld does, and both by this.
 */
#ifndef KEEL_HUGE_POOL_H
#define KEEL_HUGE_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HUGE_POOL_2M = 2048,    /* KiB of a page */
    HUGE_POOL_1G = 1048576, /* KiB of a page */
    HUGE_POOL_ALL_NODES = -1
};

struct huge_pool {       /* pages */
    uint64_t total;      /* that are there now, surplus ones included */
    uint64_t free;       /* not mapped and touched by anybody */
    uint64_t promised;   /* free, but of mappings that have not touched them yet; 0 for one node */
    uint64_t surplus;    /* beyond what was reserved; they go when their owner does */
    uint64_t overcommit; /* how many surplus ones the kernel may make; 0 for one node */
};

/* The pool of one page size, of a NUMA node or of all, of the host whose /sys lies below `root`
 * ("": the running one). False: there is no such pool, and *pool is all zeros. */
bool huge_pool_read(const char *root, int node, uint32_t kilobytes, struct huge_pool *pool);
/* Pages that a new mapping could have. */
uint64_t huge_pool_usable(const struct huge_pool *pool);
/* Pages that somebody reserved: what stays when nobody uses any. */
uint64_t huge_pool_reserved(const struct huge_pool *pool);
/* What new mappings could have, in MB, of the sizes that DPDK takes. */
uint64_t huge_pool_usable_mb(const char *root, int node);

#endif
