/* What keeld will need of the host: by --pages, or by its configuration and ring. Cold. */
#ifndef KEEL_NIC_HOST_NEED_H
#define KEEL_NIC_HOST_NEED_H

#include "nic-config/stage.h"

/* So many pages of 2 MiB; known. */
void host_need_pages(struct host_need *need, uint32_t pages);

/* Reads a configuration, and the superblock of its ring below host->root (as large as the ring is,
 * so are the window's tables). False: the configuration cannot be used, host->why. Where there is
 * no ring, need.known is false and need.why says so. A node is taken from [cores] seq on a host
 * with several, if none is stated. */
bool host_need_config(struct host *host, const char *path);

#endif
