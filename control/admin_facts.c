#include "control/admin_facts.h"

#include "control/config_show.h"
#include "control/json_put.h"

#include <stdio.h>
#include <stdlib.h>

/* null: not known */
static void put_digest(json_t *to, const char *key, uint64_t value)
{
    if (value == 0)
        json_object_set_new(to, key, json_null());
    else
        json_put_hex(to, key, value);
}

/* --- clock
 * --------------------------------------------------------------------------------------- */

json_t *admin_clock(const struct node *n)
{
    struct control_status c;
    struct clock_facts facts;
    struct clock *clock = n->start.replica->clock;
    json_t *to = json_object();
    uint32_t error_ns;
    control_status(n->start.control, &c);
    clock_facts(clock, &facts);
    uint64_t utc_ns = clock_utc_ns(clock, &error_ns), now_ns = clock_now_ns(clock);
    json_put_number(to, "utc_ns", utc_ns);
    json_object_set_new(to, "utc_error_ns",
                        error_ns == UINT32_MAX ? json_null() : json_integer(error_ns));
    json_object_set_new(to, "source", json_string(facts.counter ? "tsc" : "kernel"));
    json_put_number(to, "measured_ms",
                    now_ns > facts.measured_ns ? (now_ns - facts.measured_ns) / 1000000 : 0);
    json_put_number(to, "utc_steps", facts.steps);
    json_object_set_new(to, "utc_step_ns",
                        facts.steps > 0 ? json_integer(facts.step_ns) : json_null());
    json_put_number(to, "log_ns", c.log_ns);
    json_put_number(to, "log_utc_ns", c.log_utc_ns);
    json_object_set_new(to, "log_behind_ms",
                        c.log_utc_ns == 0
                            ? json_null()
                            : json_integer(((int64_t)utc_ns - (int64_t)c.log_utc_ns) / 1000000));
    json_put_number(to, "rho_ppm", n->start.genesis.rho_ppm);
    return to;
}

/* --- digests
 * ------------------------------------------------------------------------------------- */

static json_t *told(const struct control_digest_mark *mark, uint64_t own)
{
    json_t *to = json_object();
    json_put_number(to, "index", mark->index);
    put_digest(to, "digest", mark->digest);
    put_digest(to, "own", own);
    json_object_set_new(to, "same",
                        own == 0 || mark->digest == 0 ? json_null()
                                                      : json_boolean(own == mark->digest));
    return to;
}

json_t *admin_digest(const struct node *n)
{
    struct replica_status s;
    struct control_status c;
    replica_status(n->start.replica, &s);
    control_status(n->start.control, &c);
    json_t *to = json_object(), *list = json_array();
    uint32_t voters = s.config.voters | s.config.voters_new;
    json_put_number(to, "replica", n->config->id);
    json_put_number(to, "index", s.digest_index);
    put_digest(to, "digest", s.digest);
    json_put_number(to, "voters", (uint64_t)__builtin_popcount(voters));
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        if (s.config.member[id].incarnation == 0)
            continue;
        json_t *row = json_object(), *marks = json_array();
        json_put_number(row, "replica", id);
        json_object_set_new(row, "self", json_boolean(id == n->config->id));
        json_object_set_new(row, "voter", json_boolean(voters >> id & 1));
        for (uint32_t level = 0; level < PACKET_DIGESTS; level++)
            if (c.digest_told[id][level].index != 0)
                json_array_append_new(marks,
                                      told(&c.digest_told[id][level], c.digest_own[id][level]));
        json_object_set_new(row, "told", marks);
        json_array_append_new(list, row);
    }
    json_object_set_new(to, "replicas", list);
    return to;
}

/* --- configuration
 * ------------------------------------------------------------------------------- */

json_t *admin_config(const struct node *n)
{
    json_t *to = json_object(), *list = json_array();
    struct config *config = malloc(sizeof(*config));
    struct config_shown *shown = malloc(sizeof(*shown));
    if (config != NULL && shown != NULL) {
        *config = *n->config;
        if (n->reload != NULL)
            reload_config(n->reload, config);
        for (uint32_t i = 0; i < CONFIG_SHOWN_MAX && config_show(config, i, shown); i++)
            json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b}", "section", shown->section,
                                                  "key", shown->name, "value", shown->value,
                                                  "default", shown->is_default));
    }
    free(shown);
    free(config);
    json_object_set_new(to, "keys", list);
    return to;
}
