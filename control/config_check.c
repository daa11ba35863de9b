#include "control/config_check.h"

#include "dataplane/auth/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool config_check(const char *path, struct config_checked *checked)
{
    char why[256] = "";
    memset(checked, 0, sizeof(*checked));
    if (!config_read(&checked->config, path, checked->problem))
        return false;
    struct keyring *keys = calloc(1, sizeof(*keys));
    int rc = keys != NULL ? keyring_read(keys, checked->config.keys, why) : -ENOMEM;
    bool own = rc == 0 && keyring_find(keys, checked->config.id) != NULL;
    if (rc != 0)
        snprintf(checked->problem, sizeof(checked->problem), "%s: [keys] file: %s", path,
                 why[0] != '\0' ? why : strerror(-rc));
    else if (!own)
        snprintf(checked->problem, sizeof(checked->problem),
                 "%s: it has no section [replica %u]: draw a key with `keelctl key new`",
                 checked->config.keys, checked->config.id);
    checked->keys = rc == 0 ? keys->count : 0;
    if (keys != NULL)
        keyring_wipe(keys);
    free(keys);
    return own;
}
