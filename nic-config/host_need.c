#include "nic-config/host_need.h"

#include "dataplane/ring/recover.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void host_need_pages(struct host_need *need, uint32_t pages)
{
    need->known = true;
    need->by_option = true;
    need->need.window_huge = pages;
}

/* False: need.why. */
static bool read_super(struct host *host, const char *data, struct ring_super *super)
{
    char path[PATH_MAX], why[DISK_PROBLEM_SIZE] = "";
    struct disk *disk;
    snprintf(path, sizeof(path), "%s%s", host->root, data);
    struct disk_options options = {.path = path, .read_only = true, .depth = 1};
    int rc = disk_open(&disk, &options, why);
    if (rc == 0) {
        rc = ring_super_read(disk, super, why);
        disk_close(disk);
    }
    if (rc == -ENOENT)
        snprintf(host->need.why, sizeof(host->need.why),
                 "what keeld needs is not known while there is no ring at %s: make one with `keeld "
                 "format`, or state --pages",
                 data);
    else if (rc != 0)
        snprintf(host->need.why, sizeof(host->need.why),
                 "what keeld needs is not known: %s: %s: run as root, or state --pages", data,
                 why[0] != '\0' ? why : strerror(-rc));
    return rc == 0;
}

bool host_need_config(struct host *host, const char *path)
{
    struct host_need *need = &host->need;
    struct ring_super super;
    char problem[CONFIG_PROBLEM_SIZE];
    struct config *config = malloc(sizeof(*config)); /* too large for comfort on a stack */
    if (config == NULL)
        return host_fail(host, "out of memory");
    bool read = config_read(config, path, problem);
    if (!read)
        host_fail(host, "%s", problem);
    need->ordinary = read && config->pages == EAL_PAGES_ORDINARY;
    need->insists = read && config->pages == EAL_PAGES_HUGE;
    if (read && (need->ordinary || read_super(host, config->data, &super))) {
        need->known = true;
        if (!need->ordinary)
            need_of(config, &super, &need->need);
    }
    uint64_t nodes = host_nodes(host);
    if (read && need->node < 0 && (nodes & (nodes - 1)) != 0 && config->core[CORE_SEQ] >= 0)
        need->node = host_node_of(host, (uint32_t)config->core[CORE_SEQ]);
    free(config);
    return read;
}
