#include "control/admin_slow.h"

#include <inttypes.h>

static void put_us(json_t *to, const char *key, uint64_t ns)
{
    json_object_set_new(to, key, ns == 0 ? json_null() : json_integer((json_int_t)(ns / 1000)));
}

static const char *what(uint32_t link, uint32_t drive)
{
    if (link == 0 && drive == 0)
        return "none";
    return link >= drive ? "link" : "drive";
}

static uint32_t worse(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

void slow_put_member(json_t *to, const struct control_status *c, uint32_t id)
{
    uint32_t link = c->link_slow[id], drive = c->drive_slow[id];
    put_us(to, "trip_us", c->trip_ns[id]);
    put_us(to, "majority_us", c->way_ns[id]);
    put_us(to, "drive_us", c->drive_ns[id]);
    json_object_set_new(to, "slow", json_string(what(link, drive)));
    json_object_set_new(to, "slow_times", json_integer(worse(link, drive)));
}

void slow_put(json_t *to, const struct control_status *c, uint32_t self)
{
    uint32_t worst = 0, times = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (worse(c->link_slow[id], c->drive_slow[id]) > times) {
            worst = id;
            times = worse(c->link_slow[id], c->drive_slow[id]);
        }
    json_object_set_new(to, "slow_replica", json_integer(worst));
    json_object_set_new(to, "slow", json_string(what(c->link_slow[worst], c->drive_slow[worst])));
    json_object_set_new(to, "slow_times", json_integer(times));
    put_us(to, "majority_us", c->way_ns[self]);
    put_us(to, "drive_us", c->drive_ns[self]);
    json_object_set_new(to, "transfers_by_link", json_integer((json_int_t)c->transfers_by_link));
}

static void each(FILE *out, const char *name, const char *help,
                 const uint64_t ns[KEEL_REPLICA_MAX + 1])
{
    fprintf(out, "# TYPE %s gauge\n# HELP %s %s\n", name, name, help);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (ns[id] != 0)
            fprintf(out, "%s{replica=\"%u\"} %.9f\n", name, id, (double)ns[id] / 1e9);
}

void slow_metrics(FILE *out, const struct control_status *c)
{
    each(out, "keel_trip_seconds", "Round trip to a replica from here.", c->trip_ns);
    each(out, "keel_majority_seconds", "A replica's round trip to a majority of voters.",
         c->way_ns);
    each(out, "keel_drive_seconds", "What a replica's drive takes for a page.", c->drive_ns);
    fputs(
        "# TYPE keel_slow_times gauge\n# HELP keel_slow_times So many times as slow as the median "
        "of all replicas; 0: no slower.\n",
        out);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        if (c->way_ns[id] == 0 && c->drive_ns[id] == 0)
            continue;
        fprintf(out, "keel_slow_times{replica=\"%u\",what=\"link\"} %u\n", id, c->link_slow[id]);
        fprintf(out, "keel_slow_times{replica=\"%u\",what=\"drive\"} %u\n", id, c->drive_slow[id]);
    }
    fprintf(
        out,
        "# TYPE keel_transfers_by_link counter\n# HELP keel_transfers_by_link Asked for because "
        "another voter is so much nearer to a majority.\nkeel_transfers_by_link_total %" PRIu64
        "\n",
        c->transfers_by_link);
}
