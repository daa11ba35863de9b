/* [founders] of keeld's configuration: the list that a server is to found a cluster with, and what
 * it makes a genesis record of. Pure.
 *
 *     [founders]
 *     day = 20250106
 *     1 = 5f0e9a3c81d2b746@10.0.0.1:7400      incarnation@address, as `keeld format` prints them
 *     2 = ...
 *
 * Without the section, or once there is a genesis record, nothing is founded.
 */
#ifndef KEEL_CONFIG_FOUNDERS_H
#define KEEL_CONFIG_FOUNDERS_H

#include "consensus/wire/genesis.h"

struct config;

struct config_founders {
    uint32_t count;                                       /* lines but `day`; 0: no section */
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1]; /* by id */
    char day[KEEL_DAY_NAME_SIZE];                         /* padded with spaces; [0] == 0: none */
};

enum { CONFIG_FOUNDERS_WHY_MAX = 200 };

/* Takes one key. NULL, or why not (static text, or `why`). */
const char *config_founders_take(struct config_founders *founders, const char *name,
                                 const char *value, char why[CONFIG_FOUNDERS_WHY_MAX]);
/* What only shows when all lines are read. */
const char *config_founders_complete(const struct config *config,
                                     char why[CONFIG_FOUNDERS_WHY_MAX]);

/* The proposal that the configuration states: founders, day, the defaults of `keelctl genesis
 * create` with [limits] over them; sound but for cluster id and crc, which are the caller's. All
 * zero without the section. */
void config_founders_genesis(const struct config *config, struct genesis *genesis);

/* NULL, or what the section says otherwise than the record that is installed: "founder 3",
 * "day". */
const char *config_founders_problem(const struct config *config, const struct genesis *genesis,
                                    char why[CONFIG_FOUNDERS_WHY_MAX]);

#endif
