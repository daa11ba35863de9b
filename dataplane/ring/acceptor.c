#include "dataplane/ring/acceptor.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_SECTORS = (1u << RING_SECTORS) - 1 };

struct copy {
    int read; /* 0 or a negative errno */
    bool zero, intact;
    struct acceptor_record record;
};

static bool crc_good(const struct acceptor_record *record)
{
    return record->magic == ACCEPTOR_MAGIC &&
           record->crc == crc32c(record, offsetof(struct acceptor_record, crc));
}

static void look(struct disk *disk, uint32_t which, uint8_t *block, struct copy *copy)
{
    memset(copy, 0, sizeof(*copy));
    copy->read = disk_pread(disk, (ACCEPTOR_BLOCK + which) * RING_PAGE_SIZE, block, RING_PAGE_SIZE);
    if (copy->read != 0)
        return;
    memcpy(&copy->record, block, sizeof(copy->record));
    copy->zero = ring_sectors_zero(block, ALL_SECTORS);
    copy->intact = crc_good(&copy->record);
}

/* The one that counts; NULL: neither is intact. */
static const struct copy *newest(const struct copy copy[2])
{
    if (copy[0].intact && copy[1].intact)
        return &copy[copy[1].record.sequence > copy[0].record.sequence];
    return copy[0].intact ? &copy[0] : copy[1].intact ? &copy[1] : NULL;
}

static int judge(const struct copy copy[2], const struct ring_super *super,
                 struct acceptor_record *record, char *problem)
{
    const struct copy *found = newest(copy);
    if (found == NULL) {
        if (copy[0].zero || copy[1].zero)
            return 0; /* never written, or the first write was cut off: nothing rests on it */
        snprintf(problem, DISK_PROBLEM_SIZE,
                 "both copies of the paxos record are damaged: what this founder promised is lost: "
                 "format the ring anew");
        return -EBADMSG;
    }
    for (int i = 0; i < 2; i++)
        if (copy[i].intact && copy[i].record.version != ACCEPTOR_VERSION)
            return ring_refuse_version("the paxos record", copy[i].record.version, ACCEPTOR_VERSION,
                                       problem);
    if (found->record.replica != super->replica || found->record.incarnation != super->incarnation)
        return 0;
    const char *why = paxos_record_problem(&found->record.paxos);
    if (why == NULL && found->record.paxos.incarnation != 0 &&
        found->record.paxos.incarnation != super->incarnation)
        why = "of another incarnation than its block";
    if (why != NULL) {
        snprintf(problem, DISK_PROBLEM_SIZE, "the paxos record is not sound: %s", why);
        return -EBADMSG;
    }
    *record = found->record;
    return 0;
}

int acceptor_read(struct disk *disk, const struct ring_super *super, struct acceptor_record *record,
                  uint32_t *bad_copies, char *problem)
{
    struct copy copy[2];
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) { /* unreachable: no memory */
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: no memory");
        return -ENOMEM;
    }
    *bad_copies = 0;
    for (uint32_t i = 0; i < 2; i++) {
        look(disk, i, block, &copy[i]);
        if (!copy[i].zero && !copy[i].intact)
            *bad_copies |= 1u << i;
    }
    free(block);
    memset(record, 0, sizeof(*record));
    record->magic = ACCEPTOR_MAGIC;
    record->version = ACCEPTOR_VERSION;
    record->replica = super->replica;
    record->incarnation = super->incarnation;
    for (int i = 0; i < 2; i++)
        if (copy[i].read != 0 && !copy[1 - i].intact) {
            snprintf(problem, DISK_PROBLEM_SIZE, "the paxos record cannot be read: %s",
                     strerror(-copy[i].read));
            return copy[i].read;
        }
    return judge(copy, super, record, problem);
}

int acceptor_write(struct disk *disk, struct acceptor_record *record, uint32_t bad_copies)
{
    ENSURE(record->magic == ACCEPTOR_MAGIC && paxos_record_problem(&record->paxos) == NULL);
    uint8_t *block = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (block == NULL) /* unreachable: no memory */
        return -ENOMEM;
    record->sequence++;
    record->crc = crc32c(record, offsetof(struct acceptor_record, crc));
    memset(block, 0, RING_PAGE_SIZE);
    memcpy(block, record, sizeof(*record));
    /* A good copy stands until the other is one. */
    uint32_t first = bad_copies == 1 ? 0 : bad_copies == 2 ? 1 : (uint32_t)(record->sequence & 1);
    int result = 0;
    for (uint32_t i = 0; i < 2 && result == 0; i++)
        result = disk_pwrite(disk, (ACCEPTOR_BLOCK + (first ^ i)) * RING_PAGE_SIZE, block,
                             RING_PAGE_SIZE);
    free(block);
    return result;
}

int acceptor_install(struct disk *disk, const struct genesis *genesis, bool join, char *problem)
{
    struct ring_super super;
    struct acceptor_record record;
    uint32_t bad_copies;
    int result = ring_super_read(disk, &super, problem);
    if (result == 0)
        result = acceptor_read(disk, &super, &record, &bad_copies, problem);
    if (result < 0)
        return result;
    bool same =
        record.paxos.decided != 0 && memcmp(&record.paxos.value, genesis, sizeof(*genesis)) == 0;
    if (record.paxos.lock != 0 && !same) {
        snprintf(problem, DISK_PROBLEM_SIZE,
                 "this founder has locked a founder list: only what that list decides may stand "
                 "here: start keeld with it, or format the ring anew");
        return -EBUSY;
    }
    result = ring_genesis_install(disk, genesis, join, problem);
    if (result < 0 || same)
        return result;
    paxos_record_installed(&record.paxos, super.incarnation, genesis);
    result = acceptor_write(disk, &record, bad_copies);
    if (result < 0)
        snprintf(problem, DISK_PROBLEM_SIZE, "paxos record: writing: %s", strerror(-result));
    return result;
}
