#include "control/config_founders.h"

#include "control/address.h"
#include "control/admin_request.h"
#include "control/config.h"
#include "control/genesis_fields.h"
#include "control/identity.h"

#include <stdio.h>
#include <string.h>

static const char *take_day(struct config_founders *f, const char *value)
{
    if (f->day[0] != '\0')
        return "day is given twice: take one line out";
    return admin_day_name(value, f->day)
               ? NULL
               : "day: give 1 to 10 printable characters without spaces, like 20250106";
}

const char *config_founders_take(struct config_founders *f, const char *name, const char *value,
                                 char why[CONFIG_FOUNDERS_WHY_MAX])
{
    uint64_t id;
    char incarnation[20] = "";
    if (strcmp(name, "day") == 0)
        return take_day(f, value);
    if (!address_number(name, 1, KEEL_REPLICA_MAX, &id)) {
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX, "%.40s: give `day`, and replica ids from 1 to %d",
                 name, KEEL_REPLICA_MAX);
        return why;
    }
    struct genesis_founder *founder = &f->founder[id];
    if (founder->incarnation != 0) {
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX, "%u is given twice: take one line out",
                 (uint32_t)id);
        return why;
    }
    const char *at = strchr(value, '@');
    size_t size = at != NULL ? (size_t)(at - value) : sizeof(incarnation);
    if (size < sizeof(incarnation))
        memcpy(incarnation, value, size);
    if (at == NULL || !identity_hex(incarnation, &founder->incarnation) ||
        !address_ip_port(at + 1, &founder->ip, &founder->port)) {
        memset(founder, 0, sizeof(*founder));
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX,
                 "%u = %.60s: give INCARNATION@IP:PORT, both as `keeld format` printed them",
                 (uint32_t)id, value);
        return why;
    }
    f->count++;
    return NULL;
}

void config_founders_genesis(const struct config *config, struct genesis *genesis)
{
    const struct config_founders *f = &config->founders;
    memset(genesis, 0, sizeof(*genesis));
    if (f->count == 0)
        return;
    genesis_defaults(genesis);
    memcpy(genesis->founder, f->founder, sizeof(genesis->founder));
    memcpy(genesis->day, f->day, sizeof(genesis->day));
    for (int i = 0; i < GENESIS_FIELDS; i++)
        if ((config->limit_mask >> i & 1) != 0)
            genesis_field_set(genesis, i, config->limit[i]);
}

const char *config_founders_complete(const struct config *config, char why[CONFIG_FOUNDERS_WHY_MAX])
{
    const struct config_founders *f = &config->founders;
    const struct genesis_founder *own = &f->founder[config->id];
    struct genesis genesis;
    if (f->count == 0)
        return f->day[0] != '\0' ? "there is a day, and no founder: give a line for each" : NULL;
    if (f->day[0] == '\0')
        return "day is missing: the name of the first trading day";
    if (own->incarnation == 0) {
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX, "there is no line for this replica, %u", config->id);
        return why;
    }
    if (own->ip != config->ip || own->port != config->udp_port) {
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX,
                 "%u differs from [network] address and udp_port: correct one of them", config->id);
        return why;
    }
    config_founders_genesis(config, &genesis);
    genesis.cluster_id = 1; /* drawn when it is needed */
    const char *problem = genesis_problem(&genesis);
    if (problem != NULL)
        snprintf(why, CONFIG_FOUNDERS_WHY_MAX,
                 "with [limits] it makes no genesis record: %s: correct it", problem);
    return problem != NULL ? why : NULL;
}

const char *config_founders_problem(const struct config *config, const struct genesis *genesis,
                                    char why[CONFIG_FOUNDERS_WHY_MAX])
{
    const struct config_founders *f = &config->founders;
    if (f->count == 0)
        return NULL;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (memcmp(&f->founder[id], &genesis->founder[id], sizeof(f->founder[id])) != 0) {
            snprintf(why, CONFIG_FOUNDERS_WHY_MAX, "founder %u", id);
            return why;
        }
    return memcmp(f->day, genesis->day, sizeof(f->day)) != 0 ? "day" : NULL;
}
