/* A configuration looked at before it is used: `keeld --check` and `keelctl config check`. */
#ifndef KEEL_CONFIG_CHECK_H
#define KEEL_CONFIG_CHECK_H

#include "control/config.h"

enum { CONFIG_CHECK_MAX = CONFIG_PROBLEM_SIZE + CONFIG_TEXT_MAX };

struct config_checked {
    struct config config;
    uint32_t keys;
    char problem[CONFIG_CHECK_MAX]; /* "file:line: what: what to do" */
};

/* Reads the file, and the keys that it names. False with checked->problem. */
bool config_check(const char *path, struct config_checked *checked);

#endif
