#include "control/seed.h"

#include "dataplane/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seconds(uint64_t utc_ns)
{
    uint64_t s = utc_ns / 1000000000u;
    return s > SEED_UTC_ZERO_S ? s - SEED_UTC_ZERO_S : 0;
}

uint64_t seed_index(uint64_t last, uint64_t utc_ns)
{
    uint64_t step = last + (UINT64_C(1) << SEED_STEP_BITS);
    uint64_t now = seconds(utc_ns) << SEED_RATE_BITS;
    return now > step ? now : step;
}

void seed_day(uint64_t utc_ns, char day[KEEL_DAY_NAME_SIZE])
{
    char text[KEEL_DAY_NAME_SIZE + 1];
    snprintf(text, sizeof(text), "R%09llu",
             (unsigned long long)(seconds(utc_ns) % UINT64_C(1000000000)));
    memcpy(day, text, KEEL_DAY_NAME_SIZE);
}

const char *seed_genesis(struct genesis *genesis, const struct genesis *from,
                         const struct machine *machine, const struct ring_super *super,
                         const struct seed_wish *wish)
{
    if (super->replica < 1 || super->replica > KEEL_REPLICA_MAX)
        return "the new ring has no sane replica id";
    if (machine->applied == 0)
        return "the state is empty: form a cluster with `keelctl genesis create`";
    uint64_t term = machine->applied_term > wish->term ? machine->applied_term : wish->term;
    *genesis = *from;
    genesis->version = GENESIS_VERSION_SEEDED;
    genesis->cluster_id = wish->cluster_id;
    memset(genesis->founder, 0, sizeof(genesis->founder));
    genesis->founder[super->replica] = (struct genesis_founder){
        .incarnation = super->incarnation, .ip = wish->ip, .port = wish->port};
    memcpy(genesis->day, wish->day, sizeof(genesis->day));
    genesis->lineage =
        (struct genesis_lineage){.cluster_id = machine->cluster_id,
                                 .index = machine->applied,
                                 .seed_index = seed_index(machine->applied, wish->utc_ns),
                                 .seed_term = term + 1,
                                 .utc_ns = wish->utc_ns,
                                 .seed = wish->how,
                                 .seeds = machine->seeds + 1};
    genesis->crc = crc32c(genesis, offsetof(struct genesis, crc));
    return genesis_problem(genesis);
}

int seed_ring_fresh(struct disk *disk, struct ring_super *super, char *problem)
{
    struct genesis there;
    char why[DISK_PROBLEM_SIZE] = "";
    int rc = ring_super_read(disk, super, why);
    if (rc != 0) {
        snprintf(problem, SEED_PROBLEM_SIZE, "%s: make one with `keeld format`", why);
        return rc;
    }
    rc = ring_genesis_read(disk, &there, why);
    if (rc == 0) {
        snprintf(problem, SEED_PROBLEM_SIZE,
                 "it is a ring of cluster %016llx: give one that was formatted and no more "
                 "(`keeld format`)",
                 (unsigned long long)there.cluster_id);
        return -EEXIST;
    }
    struct ring_recovery *found = calloc(1, sizeof(*found));
    if (found == NULL)
        rc = -ENOMEM;
    else if (rc == -ENOENT)
        rc = ring_recover(disk, false, found, why);
    if (rc != 0) {
        snprintf(problem, SEED_PROBLEM_SIZE, "%s", why[0] != '\0' ? why : strerror(-rc));
        free(found);
        return rc;
    }
    if (found->damage != RING_INTACT || found->tail_page != found->head_page ||
        found->zeroed_slots != 0) {
        snprintf(problem, SEED_PROBLEM_SIZE,
                 "it is not empty: give one that was formatted and no more (`keeld format`)");
        rc = -ENOTEMPTY;
    }
    ring_recovery_free(found);
    free(found);
    return rc;
}

int seed_write(struct disk *disk, const struct ring_super *super, const struct genesis *genesis,
               const struct machine *machine, void *bytes, size_t cap, char *problem)
{
    ENSURE(machine->cluster_id == genesis->cluster_id &&
           machine->applied == genesis->lineage.seed_index);
    size_t size = machine_encode(machine, bytes, cap);
    ENSURE(size > 0);
    if (machine_encoded_max(genesis) > ring_area_room(super)) {
        snprintf(problem, SEED_PROBLEM_SIZE,
                 "its checkpoint areas hold %llu bytes, and the state may take %zu: format it with "
                 "a larger --checkpoint-size",
                 (unsigned long long)ring_area_room(super), machine_encoded_max(genesis));
        return -ENOSPC;
    }
    int rc = 0;
    for (unsigned area = 0; area < 2 && rc == 0; area++) {
        struct ring_checkpoint head = {.replica = super->replica,
                                       .incarnation = super->incarnation,
                                       .cluster_id = genesis->cluster_id,
                                       .index = machine->applied,
                                       .term = machine->applied_term,
                                       .chain = ring_chain_genesis(genesis->cluster_id),
                                       .installed = RING_INSTALLED_SEED,
                                       .machine_size = size,
                                       .digest = machine->digest,
                                       .sequence = area + 1};
        rc = ring_checkpoint_write(disk, super, area, &head, bytes, size);
    }
    if (rc == 0)
        rc = disk_flush(disk);
    if (rc != 0)
        snprintf(problem, SEED_PROBLEM_SIZE, "writing the state: %s: check the drive",
                 strerror(-rc));
    return rc;
}
