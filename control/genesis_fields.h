/* The numbers of the genesis record by their names: one table for the configuration's [limits], for
 * the options of `keelctl genesis create` and for what `genesis show` prints.
 */
#ifndef KEEL_GENESIS_FIELDS_H
#define KEEL_GENESIS_FIELDS_H

#include "consensus/wire/genesis.h"

struct genesis_field {
    const char *name; /* as in the configuration: "election_min_ms" */
    const char *help;
    uint32_t offset; /* in struct genesis, of a uint32_t */
};

enum { GENESIS_FIELDS = 18 };
extern const struct genesis_field genesis_fields[GENESIS_FIELDS];

/* By name, '-' and '_' alike; -1: none. */
int genesis_field_find(const char *name);
uint32_t genesis_field_get(const struct genesis *genesis, int field);
void genesis_field_set(struct genesis *genesis, int field, uint32_t value);

#endif
