/* `keelctl genesis create|install|show` and `keelctl key new`: files only, no daemon. */
#include "control/ctl.h"

#include "control/address.h"
#include "control/admin_request.h"
#include "control/exclusive.h"
#include "control/genesis_fields.h"
#include "control/identity.h"
#include "dataplane/auth/keys.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/acceptor.h"
#include "dataplane/ring/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct wishes { /* --FIELD N, applied over the defaults */
    uint32_t mask;
    uint32_t value[GENESIS_FIELDS];
};

bool ctl_genesis_option(struct ctl *ctl, const char *name, const char *value)
{
    struct wishes *wishes = ctl->more;
    uint64_t number;
    int field = genesis_field_find(strcmp(name, "election-ms") == 0 ? "election_min_ms" : name);
    if (field < 0) {
        ctl_fail(CTL_USAGE, "--%s: no such option: see `keelctl genesis create --help`", name);
        return false;
    }
    if (!address_number(value, 0, UINT32_MAX, &number)) {
        ctl_fail(CTL_USAGE, "--%s %s: give a whole number", name, value);
        return false;
    }
    if (wishes == NULL)
        wishes = ctl->more = calloc(1, sizeof(*wishes));
    if (wishes == NULL)
        return false;
    wishes->mask |= 1u << field;
    wishes->value[field] = (uint32_t)number;
    return true;
}

static int draw(uint64_t *value)
{
    *value = 0;
    while (*value == 0) /* bound: chance */
        if (getrandom(value, sizeof(*value), 0) != sizeof(*value))
            return ctl_fail(CTL_FAILED, "no random numbers: %s", strerror(errno));
    return CTL_DONE;
}

int ctl_write_new(const char *name, const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return ctl_fail(CTL_FAILED, "%s: %s: %s: %s", name, path, strerror(errno),
                        errno == EEXIST ? "a record is built once: remove it first"
                                        : "name a file that can be made");
    bool good = write(fd, bytes, size) == (ssize_t)size && fsync(fd) == 0;
    int error = errno;
    if (close(fd) == 0 && good)
        return CTL_DONE;
    unlink(path);
    return ctl_fail(CTL_FAILED, "%s: %s: %s", name, path, strerror(error));
}

static json_t *founder_object(const struct genesis *g, uint32_t id)
{
    char address[ADDRESS_TEXT_MAX], incarnation[20];
    snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, g->founder[id].incarnation);
    return json_pack("{s:i,s:s,s:s}", "replica", (int)id, "incarnation", incarnation, "address",
                     address_text(address, g->founder[id].ip, g->founder[id].port));
}

/* Of a cluster that begins with another one's state. */
static void put_lineage(json_t *to, const struct genesis *g)
{
    const struct genesis_lineage *l = &g->lineage;
    char id[20];
    if (g->version != GENESIS_VERSION_SEEDED)
        return;
    snprintf(id, sizeof(id), "%016" PRIx64, l->cluster_id);
    json_object_set_new(to, "formed_by",
                        json_string(l->seed == GENESIS_SEED_RECOVERED ? "recovery" : "restore"));
    json_object_set_new(to, "formed_utc_ns", json_integer((json_int_t)l->utc_ns));
    json_object_set_new(to, "old_cluster_id", json_string(id));
    json_object_set_new(to, "old_index", json_integer((json_int_t)l->index));
    json_object_set_new(to, "first_index", json_integer((json_int_t)l->seed_index + 1));
    json_object_set_new(to, "seeds", json_integer(l->seeds));
}

static int print_genesis(const struct ctl *ctl, const struct genesis *g)
{
    static const char *const columns[] = {"replica=REPLICA", "incarnation=INCARNATION",
                                          "address=ADDRESS", NULL};
    char id[20], day[KEEL_DAY_NAME_SIZE + 1] = "";
    int code = CTL_DONE;
    snprintf(id, sizeof(id), "%016" PRIx64, g->cluster_id);
    memcpy(day, g->day, KEEL_DAY_NAME_SIZE);
    for (int i = KEEL_DAY_NAME_SIZE - 1; i >= 0 && day[i] == ' '; i--)
        day[i] = '\0';
    json_t *object = json_pack("{s:s,s:s}", "cluster_id", id, "day", day);
    for (int i = 0; i < GENESIS_FIELDS; i++)
        json_object_set_new(object, genesis_fields[i].name, json_integer(genesis_field_get(g, i)));
    put_lineage(object, g);
    json_t *founders = json_array();
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++)
        if (g->founder[i].incarnation != 0)
            json_array_append_new(founders, founder_object(g, i));
    if (ctl->json) {
        json_object_set(object, "founders", founders);
        code = ctl_print_json(object);
    } else {
        ctl_print_pairs(object, 0);
        ctl_print_table(founders, columns);
    }
    json_decref(founders);
    json_decref(object);
    return code;
}

static int build(struct ctl *ctl, struct genesis *g)
{
    char why[IDENTITY_WHY_MAX];
    const struct wishes *wishes = ctl->more;
    const char *id = ctl->value[2];
    genesis_defaults(g);
    for (int i = 0; wishes != NULL && i < GENESIS_FIELDS; i++)
        if (wishes->mask & 1u << i)
            genesis_field_set(g, i, wishes->value[i]);
    if (!admin_day_name(ctl->value[1], g->day))
        return ctl_fail(CTL_USAGE, "--day %s: 1 to %d printable characters without spaces",
                        ctl->value[1], KEEL_DAY_NAME_SIZE);
    if (id == NULL || strcmp(id, "auto") == 0) {
        int code = draw(&g->cluster_id);
        if (code != CTL_DONE)
            return code;
    } else if (!identity_hex(id, &g->cluster_id)) {
        return ctl_fail(CTL_USAGE, "--cluster-id %s: 1 to 16 hex digits, or auto", id);
    }
    const char *problem = identity_read(g, ctl->word_count, ctl->word, why);
    if (problem == NULL)
        problem = genesis_problem(g);
    if (problem != NULL)
        return ctl_fail(CTL_USAGE, "genesis create: %s", problem);
    g->crc = crc32c(g, offsetof(struct genesis, crc));
    return CTL_DONE;
}

int ctl_genesis_create(struct ctl *ctl)
{
    struct genesis genesis;
    int code = CTL_DONE;
    if (ctl->value[0] == NULL || ctl->value[1] == NULL)
        code = ctl_fail(CTL_USAGE, "genesis create: --out and --day are needed");
    if (code == CTL_DONE)
        code = build(ctl, &genesis);
    free(ctl->more);
    ctl->more = NULL;
    if (code == CTL_DONE)
        code = ctl_write_new("genesis create", ctl->value[0], &genesis, sizeof(genesis));
    return code == CTL_DONE ? print_genesis(ctl, &genesis) : code;
}

/* A record's file: exactly its size, sound. Sets *is_ring when the file is something larger. */
static int read_record(const char *path, struct genesis *g, bool *larger)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t bytes[GENESIS_SIZE + 1];
    ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    int error = errno;
    if (fd >= 0)
        close(fd);
    *larger = got == (ssize_t)sizeof(bytes);
    if (got < 0)
        return ctl_fail(CTL_FAILED, "genesis: %s: %s", path, strerror(error));
    if (*larger)
        return CTL_DONE;
    const char *why = "it has not the size of one";
    if (got == GENESIS_SIZE) {
        memcpy(g, bytes, sizeof(*g));
        why = g->crc == crc32c(g, offsetof(struct genesis, crc)) ? genesis_problem(g)
                                                                 : "its checksum is wrong";
    }
    if (why != NULL)
        return ctl_fail(CTL_FAILED, "genesis: %s is no genesis record: %s", path, why);
    return CTL_DONE;
}

int ctl_genesis_install(struct ctl *ctl)
{
    struct genesis genesis;
    struct disk *disk;
    char why[DISK_PROBLEM_SIZE] = "";
    bool larger;
    if (ctl->value[0] == NULL)
        return ctl_fail(CTL_USAGE, "genesis install: --data is needed");
    int code = read_record(ctl->word[0], &genesis, &larger);
    if (code == CTL_DONE && larger)
        code =
            ctl_fail(CTL_FAILED, "genesis: %s is no genesis record: it is too large", ctl->word[0]);
    if (code != CTL_DONE)
        return code;
    struct disk_options options = {.path = ctl->value[0], .exclusive = true, .depth = 4};
    int rc = exclusive_open(&disk, &options, why);
    if (rc != 0)
        return ctl_fail(rc == -EWOULDBLOCK ? CTL_REFUSED : CTL_FAILED, "genesis install: %s",
                        why[0] != '\0' ? why : strerror(-rc));
    rc = acceptor_install(disk, &genesis, ctl->value[1] != NULL, why);
    disk_close(disk);
    if (rc != 0)
        return ctl_fail(rc == -EEXIST || rc == -EPERM || rc == -EBUSY ? CTL_REFUSED : CTL_FAILED,
                        "genesis install: %s: %s", ctl->value[0],
                        why[0] != '\0' ? why : strerror(-rc));
    return print_genesis(ctl, &genesis);
}

int ctl_genesis_show(struct ctl *ctl)
{
    struct genesis genesis;
    struct disk *disk;
    char why[DISK_PROBLEM_SIZE] = "";
    bool larger;
    int code = read_record(ctl->word[0], &genesis, &larger);
    if (code != CTL_DONE || !larger)
        return code == CTL_DONE ? print_genesis(ctl, &genesis) : code;
    char paxos[CTL_PAXOS_TEXT_MAX] = "";
    struct disk_options options = {.path = ctl->word[0], .read_only = true, .depth = 1};
    int rc = disk_open(&disk, &options, why);
    if (rc == 0) {
        rc = ring_genesis_read(disk, &genesis, why);
        ctl_paxos_text(disk, paxos);
        disk_close(disk);
    }
    if (rc == -ENOENT)
        return ctl_fail(CTL_FAILED,
                        "genesis show: %s: no record is installed there; its paxos record: %s",
                        ctl->word[0], paxos);
    if (rc != 0)
        return ctl_fail(CTL_FAILED, "genesis show: %s: %s", ctl->word[0],
                        why[0] != '\0' ? why : strerror(-rc));
    return print_genesis(ctl, &genesis);
}

int ctl_key_new(struct ctl *ctl)
{
    struct keyring_key key;
    char text[KEYRING_TEXT_MAX];
    uint64_t id;
    memset(&key, 0, sizeof(key));
    bool replica = strcmp(ctl->word[0], "replica") == 0;
    if (!replica && strcmp(ctl->word[0], "client") != 0)
        return ctl_fail(CTL_USAGE, "key new: '%s': give replica or client", ctl->word[0]);
    if (!address_number(ctl->word[1], replica ? 1 : KEEL_CLIENT_MIN,
                        replica ? KEEL_REPLICA_MAX : UINT32_MAX, &id))
        return ctl_fail(CTL_USAGE, "key new: '%s': replicas are 1 to %d, clients %d and above",
                        ctl->word[1], KEEL_REPLICA_MAX, KEEL_CLIENT_MIN);
    if (ctl->value[0] != NULL && strlen(ctl->value[0]) >= sizeof(key.name))
        return ctl_fail(CTL_USAGE, "key new: --name: at most %zu characters", sizeof(key.name) - 1);
    key.principal = (uint32_t)id;
    key.rights = replica ? AUTH_RIGHT_PEER : AUTH_RIGHT_SUBMIT;
    key.key_count = 1;
    snprintf(key.name, sizeof(key.name), "%s", ctl->value[0] != NULL ? ctl->value[0] : "");
    if (getrandom(key.key[0], sizeof(key.key[0]), 0) != sizeof(key.key[0]))
        return ctl_fail(CTL_FAILED, "key new: no random numbers: %s", strerror(errno));
    keyring_format_key(&key, text);
    int code = CTL_DONE;
    if (ctl->json) {
        json_t *shown = json_pack("{s:I,s:s}", "principal", (json_int_t)id, "section", text);
        code = ctl_print_json(shown);
        json_decref(shown);
    } else if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        code = ctl_fail(CTL_FAILED, "key new: stdout cannot be written");
    }
    explicit_bzero(&key, sizeof(key));
    explicit_bzero(text, sizeof(text));
    return code;
}
