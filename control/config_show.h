/* A configuration as it is in force, key by key: what `keelctl config show` lists. Read as INI text
 * again, it gives the same configuration.
 */
#ifndef KEEL_CONFIG_SHOW_H
#define KEEL_CONFIG_SHOW_H

#include "control/config.h"

enum { CONFIG_VALUE_MAX = 2048, CONFIG_SHOWN_MAX = 96 };

struct config_shown {
    const char *section, *name;
    char value[CONFIG_VALUE_MAX]; /* empty: none, or what Keel reckons by itself */
    bool is_default;              /* the file need not say so */
};

/* Row `at` of the list, from 0; false: there are no more. */
bool config_show(const struct config *config, uint32_t at, struct config_shown *shown);

#endif
