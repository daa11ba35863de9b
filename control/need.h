/* How much hugepage memory a configuration needs: keeld's own arithmetic, in one place. keeld takes
 * what is said here, the window first, and keel-host reserves it beforehand. Pure but for asking
 * DPDK how large a packet buffer is; cold.
 */
#ifndef KEEL_NEED_H
#define KEEL_NEED_H

#include "control/config.h"

enum {
    NEED_PAGE_MB = 2,       /* the page that the window is mapped in, and that keel-host reserves */
    NEED_PORT_FRAMES = 1024 /* frames that the roles may hold at once */
};

struct need {
    size_t window_bytes;  /* the ring's window and tables; grows with the ring's size */
    uint64_t window_huge; /* the same in hugepages of 2 MiB: it takes no others */
    uint32_t dpdk_mb;     /* DPDK's heap: packet buffers, its own tables; hugepages of any size */
};

/* Of a replica with that configuration on a ring with that superblock. */
void need_of(const struct config *config, const struct ring_super *super, struct need *need);

/* Send queues of the port: a feed thread of its own has its own. */
uint32_t need_feed_queue(const struct config *config);
/* The port's options as far as they decide how much memory it needs. */
struct port_dpdk_options;
void need_port(const struct config *config, struct port_dpdk_options *options);

/* Pages of 2 MiB that are missing when `usable_pages` of that size can be had, and `usable_mb` of
 * all sizes. 0: it is enough. */
uint64_t need_missing(const struct need *need, uint64_t usable_pages, uint64_t usable_mb);
/* Would keeld find enough for DPDK's heap? That is what `[memory] hugepages = yes` insists on: the
 * window goes to ordinary pages when it finds none. */
bool need_dpdk_fits(const struct need *need, uint64_t usable_pages, uint64_t usable_mb);

#endif
