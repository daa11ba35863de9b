#include "control/ctl_seed.h"

#include "control/address.h"
#include "control/admin_request.h"
#include "control/exclusive.h"
#include "control/identity.h"
#include "control/json_put.h"
#include "dataplane/ring/acceptor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 };

static const char *name_of(const struct ctl_seed *s)
{
    return s->ctl->command->name;
}

void *ctl_aligned(size_t size)
{
    void *memory = aligned_alloc(DISK_BLOCK, (size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

/* --- before anything is changed
 * ------------------------------------------------------------------ */

static int open_target(struct ctl_seed *s)
{
    char why[SEED_PROBLEM_SIZE] = "";
    struct disk_options options = {.path = s->to, .exclusive = true, .depth = DISK_DEPTH_MAX / 4};
    int rc = exclusive_open(&s->disk, &options, why);
    if (rc != 0) {
        s->disk = NULL;
        return ctl_fail(rc == -EWOULDBLOCK ? CTL_REFUSED : CTL_FAILED, "%s: --to %s: %s",
                        name_of(s), s->to, why[0] != '\0' ? why : strerror(-rc));
    }
    struct acceptor_record record;
    uint32_t bad;
    rc = seed_ring_fresh(s->disk, &s->super, why);
    if (rc == 0)
        rc = acceptor_read(s->disk, &s->super, &record, &bad, why);
    if (rc == 0 && record.paxos.lock != 0) {
        rc = -EEXIST;
        snprintf(why, sizeof(why), "it has locked a founder list: format it anew");
    }
    if (rc == 0)
        return CTL_DONE;
    return ctl_fail(rc == -EEXIST || rc == -ENOTEMPTY ? CTL_REFUSED : CTL_FAILED, "%s: --to %s: %s",
                    name_of(s), s->to, why);
}

static int take_address(const struct ctl_seed *s, struct seed_wish *wish)
{
    const struct entry_member *m = &s->machine->config.member[s->super.replica];
    wish->ip = m->ip;
    wish->port = m->port;
    if (s->address != NULL &&
        (!address_ip_port(s->address, &wish->ip, &wish->port) || wish->ip == 0 || wish->port == 0))
        return ctl_fail(CTL_USAGE, "%s: --address %s: give IP:PORT, like 10.0.0.1:7400", name_of(s),
                        s->address);
    if (wish->ip == 0)
        return ctl_fail(CTL_USAGE,
                        "%s: replica %u was no member, so its address is not known: give --address "
                        "IP:PORT",
                        name_of(s), s->super.replica);
    return CTL_DONE;
}

static int take_day(const struct ctl_seed *s, struct seed_wish *wish)
{
    if (s->day == NULL)
        seed_day(wish->utc_ns, wish->day);
    else if (!admin_day_name(s->day, wish->day))
        return ctl_fail(CTL_USAGE, "%s: --day %s: 1 to %d printable characters without spaces",
                        name_of(s), s->day, KEEL_DAY_NAME_SIZE);
    if (memcmp(wish->day, s->machine->day, sizeof(wish->day)) == 0)
        return ctl_fail(CTL_REFUSED,
                        "%s: --day %s: that is the old cluster's trading day: consumers would see "
                        "its numbers again with another content: give a name that no day had yet",
                        name_of(s), s->day);
    return CTL_DONE;
}

static int plan(struct ctl_seed *s)
{
    struct seed_wish wish = {.how = s->how, .term = s->term};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    wish.utc_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    int code = take_address(s, &wish);
    if (code == CTL_DONE)
        code = take_day(s, &wish);
    while (code == CTL_DONE && (wish.cluster_id == 0 || wish.cluster_id == s->machine->cluster_id))
        if (getrandom(&wish.cluster_id, sizeof(wish.cluster_id), 0) != sizeof(wish.cluster_id))
            code = ctl_fail(CTL_FAILED, "%s: no random numbers: %s", name_of(s), strerror(errno));
    if (code != CTL_DONE)
        return code;
    const char *why = seed_genesis(&s->genesis, s->from, s->machine, &s->super, &wish);
    return why == NULL ? CTL_DONE : ctl_fail(CTL_REFUSED, "%s: %s", name_of(s), why);
}

int ctl_seed_open(struct ctl_seed *s)
{
    if (s->to == NULL || s->genesis_path == NULL)
        return ctl_fail(CTL_USAGE, "%s: --to RING and --genesis FILE are needed", name_of(s));
    if (access(s->genesis_path, F_OK) == 0)
        return ctl_fail(CTL_USAGE,
                        "%s: --genesis %s is there already: name a new file, or remove it",
                        name_of(s), s->genesis_path);
    int code = open_target(s);
    return code == CTL_DONE ? plan(s) : code;
}

/* --- the word of a person
 * ------------------------------------------------------------------------ */

int ctl_seed_confirm(const struct ctl_seed *s)
{
    uint64_t cluster = s->genesis.lineage.cluster_id, given = 0;
    char line[ANSWER_MAX] = "";
    const char *text = s->yes;
    if (text == NULL && isatty(STDIN_FILENO)) {
        fprintf(stderr,
                "\nCluster %016" PRIx64 " is given up for good. Type its id to go on: ", cluster);
        if (fgets(line, sizeof(line), stdin) != NULL)
            line[strcspn(line, "\r\n")] = '\0';
        text = line;
    }
    if (text == NULL)
        return ctl_fail(CTL_REFUSED,
                        "%s: nothing was changed: cluster %016" PRIx64
                        " is given up for good: say so with --yes-i-lose %016" PRIx64,
                        name_of(s), cluster, cluster);
    if (!identity_hex(text, &given) || given != cluster)
        return ctl_fail(CTL_REFUSED,
                        "%s: nothing was changed: '%s' is not the id of the cluster that is given "
                        "up, %016" PRIx64,
                        name_of(s), text, cluster);
    return CTL_DONE;
}

/* --- doing it
 * ------------------------------------------------------------------------------------ */

int ctl_seed_form(struct ctl_seed *s)
{
    char why[SEED_PROBLEM_SIZE] = "";
    const char *problem = machine_seed(s->machine, &s->genesis);
    if (problem != NULL)
        return ctl_fail(CTL_FAILED, "%s: %s", name_of(s), problem);
    size_t cap = machine_encoded_max(&s->genesis);
    void *bytes = ctl_aligned(cap);
    if (bytes == NULL)
        return ctl_fail(CTL_FAILED, "%s: out of memory", name_of(s));
    int rc = seed_write(s->disk, &s->super, &s->genesis, s->machine, bytes, cap, why);
    free(bytes);
    if (rc != 0)
        return ctl_fail(CTL_FAILED, "%s: nothing was formed: --to %s: %s", name_of(s), s->to, why);
    int code = ctl_write_new(name_of(s), s->genesis_path, &s->genesis, sizeof(s->genesis));
    if (code != CTL_DONE)
        return code;
    rc = acceptor_install(s->disk, &s->genesis, false, why);
    if (rc != 0)
        return ctl_fail(CTL_FAILED, "%s: nothing was formed: --to %s: %s: remove %s and try again",
                        name_of(s), s->to, why[0] != '\0' ? why : strerror(-rc), s->genesis_path);
    return CTL_DONE;
}

void ctl_seed_close(struct ctl_seed *s)
{
    disk_close(s->disk);
    s->disk = NULL;
}

/* --- what to say
 * ---------------------------------------------------------------------------------- */

static void put_day(json_t *to, const char *key, const char day[KEEL_DAY_NAME_SIZE])
{
    char text[KEEL_DAY_NAME_SIZE + 1] = "";
    memcpy(text, day, KEEL_DAY_NAME_SIZE);
    for (int i = KEEL_DAY_NAME_SIZE - 1; i >= 0 && text[i] == ' '; i--)
        text[i] = '\0';
    json_object_set_new(to, key, json_string(text));
}

json_t *ctl_state_object(const struct machine *m, const struct genesis *genesis)
{
    json_t *to = json_object();
    uint64_t utc_s = m->utc_ns / 1000000000u;
    char when[32] = "";
    struct tm tm;
    time_t seconds = (time_t)utc_s;
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_put_hex(to, "cluster_id", genesis->cluster_id);
    json_put_number(to, "index", m->applied);
    json_put_number(to, "term", m->applied_term);
    json_put_hex(to, "digest", m->digest);
    json_object_set_new(to, "last_entry_utc", json_string(when));
    put_day(to, "day", m->day);
    json_object_set_new(to, "day_open", json_boolean(m->day_open != 0));
    json_put_number(to, "feed_next", m->feed_next);
    json_put_number(to, "sessions", m->session_count);
    json_put_number(to, "seeds", m->seeds);
    return to;
}

json_t *ctl_seed_result(const struct ctl_seed *s)
{
    char address[ADDRESS_TEXT_MAX];
    const struct genesis_founder *f = &s->genesis.founder[s->super.replica];
    json_t *to = json_object();
    json_put_hex(to, "cluster_id", s->genesis.cluster_id);
    json_put_hex(to, "old_cluster_id", s->genesis.lineage.cluster_id);
    json_put_number(to, "old_index", s->genesis.lineage.index);
    json_put_number(to, "index", s->genesis.lineage.seed_index);
    json_put_number(to, "term", s->genesis.lineage.seed_term);
    json_put_number(to, "seeds", s->genesis.lineage.seeds);
    put_day(to, "day", s->genesis.day);
    json_put_number(to, "replica", s->super.replica);
    json_put_hex(to, "incarnation", f->incarnation);
    json_object_set_new(to, "address", json_string(address_text(address, f->ip, f->port)));
    json_object_set_new(to, "ring", json_string(s->to));
    json_object_set_new(to, "genesis", json_string(s->genesis_path));
    return to;
}

void ctl_seed_next(const struct ctl_seed *s)
{
    printf("\nA new cluster is formed, of replica %u alone. Next:\n"
           "  1. let [replica] data in its configuration be %s, take [members] out, start keeld;\n"
           "  2. on every other server: keeld format, keelctl genesis install --join %s,\n"
           "     start keeld, and here: keelctl member add;\n"
           "  3. restart gateways and consumers: neither goes over to the new cluster by itself.\n"
           "No server of the old cluster may run on: keep their rings as evidence.\n",
           s->super.replica, s->to, s->genesis_path);
}
