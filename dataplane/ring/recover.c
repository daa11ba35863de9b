#include "consensus/ensure.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ZERO_PAGES = 256 };

const char *ring_damage_name(enum ring_damage damage)
{
    switch (damage) {
    case RING_INTACT:
        return "intact";
    case RING_ROT_PAGE:
        return "damaged page";
    case RING_ROT_TAIL:
        return "damaged or lost end";
    case RING_ROT_CHECKPOINT:
        return "damaged checkpoint";
    case RING_ROT_GAP:
        return "missing page";
    case RING_ROT_CHAIN:
        return "contradictory pages";
    case RING_ROT_STATE:
        return "term or vote in doubt";
    }
    return "unknown";
}

int ring_refuse_version(const char *what, uint32_t version, uint32_t known, char *problem)
{
    snprintf(
        problem, DISK_PROBLEM_SIZE,
        "ring: %s is of version %u, this program knows %u: start the program that wrote it, or "
        "a later one",
        what, version, known);
    return -EPROTONOSUPPORT;
}

/* A first or newest checkpoint that is bad may be a torn write: the other one, or the log from its
 * beginning, must then do, and that is judged when the log is known. */
static int read_checkpoints(struct disk *disk, struct ring_recovery *found, char *problem)
{
    uint32_t count = 0;
    for (uint8_t area = 0; area < 2; area++) {
        struct ring_checkpoint head;
        int result = ring_checkpoint_look(disk, &found->super, area, &head);
        if (result == 0 && head.cluster_id != found->genesis.cluster_id)
            result = -EBADMSG;
        if (result == -ENOENT)
            continue;
        if (result == -EBADMSG || result == -EIO) {
            found->bad_checkpoints++;
            continue;
        }
        if (result == -EPROTONOSUPPORT) {
            char what[40];
            snprintf(what, sizeof(what), "checkpoint area %u", area);
            return ring_refuse_version(what, head.version, RING_VERSION, problem);
        }
        if (result < 0)
            return result;
        bool newer = count == 1 && head.sequence > found->checkpoint[0].sequence;
        if (newer) {
            found->checkpoint[1] = found->checkpoint[0];
            found->checkpoint_area[1] = found->checkpoint_area[0];
        }
        found->checkpoint[newer ? 0 : count] = head;
        found->checkpoint_area[newer ? 0 : count] = area;
        count++;
    }
    found->have_checkpoint = count > 0;
    return 0;
}

static bool kept(const struct ring_recovery *found, uint64_t slot)
{
    uint64_t slots = found->super.slots;
    uint64_t first = found->zeroed_to - slots;
    return (slot + slots - first % slots) % slots < found->tail_page - first;
}

/* Every slot that holds no kept page and is not zeros is made zeros, before the first write (H10).
 */
static int zero_left_overs(struct disk *disk, const uint8_t *used, bool repair,
                           struct ring_recovery *found)
{
    void *zeros = aligned_alloc(DISK_BLOCK, (size_t)ZERO_PAGES * RING_PAGE_SIZE);
    if (zeros == NULL) /* unreachable: no memory */
        return -ENOMEM;
    memset(zeros, 0, (size_t)ZERO_PAGES * RING_PAGE_SIZE);
    int result = 0;
    for (uint64_t slot = 0; slot < found->super.slots && result == 0;) { /* bound: slots */
        uint64_t count = 0;
        while (slot + count < found->super.slots && count < ZERO_PAGES &&
               (used[(slot + count) / 8] >> (slot + count) % 8 & 1) != 0 &&
               !kept(found, slot + count))
            count++;
        if (count > 0 && repair)
            result = disk_pwrite(disk, ring_slot_offset(&found->super, slot), zeros,
                                 count * RING_PAGE_SIZE);
        found->zeroed_slots += count;
        slot += count > 0 ? count : 1;
    }
    free(zeros);
    return result;
}

/* With everything before it read: which pages stay, what they say, what is made zeros. */
static int judge_slots(struct disk *disk, bool repair, struct ring_recovery *found, char *problem)
{
    struct ring_scan scan;
    struct ring_evidence evidence = {0};
    struct ring_judgement judgement;
    int result = ring_scan_open(&scan, disk, &found->super, found->genesis.cluster_id);
    if (result == 0) /* unreachable: no memory */
        result = ring_evidence_gather(&scan, found, &evidence, problem);
    if (result == 0) {
        ring_judge_end(&scan, &evidence, found, &judgement);
        result = scan.error;
    }
    if (result == 0)
        result = ring_walk(&scan, &judgement, found);
    if (result == 0) {
        if (evidence.boot > found->boot)
            found->boot = evidence.boot;
        found->unreadable_pages = scan.unreadable;
        found->zeroed_to = judgement.zero_below + found->super.slots;
    }
    if (result == 0 && !found->unknown) {
        found->torn_pages = judgement.torn_pages;
        result = zero_left_overs(disk, evidence.used, repair, found);
    }
    free(evidence.used);
    ring_scan_close(&scan);
    return result;
}

int ring_recover(struct disk *disk, bool repair, struct ring_recovery *found, char *problem)
{
    memset(found, 0, sizeof(*found));
    uint32_t bad_supers, bad_genesis;
    int result = ring_super_copies(disk, &found->super, &bad_supers, problem);
    if (result < 0)
        return result;
    result = ring_genesis_copies(disk, &found->genesis, &bad_genesis, problem);
    if (result == -ENOENT && !repair) /* formatted only: nothing but zeros may be there */
        result = 0;
    if (result < 0)
        return result;
    result = read_checkpoints(disk, found, problem);
    if (result == 0)
        result = judge_slots(disk, repair, found, problem);
    if (result == -EPROTONOSUPPORT) /* said, and nothing was written */
        return result;
    found->repaired_blocks =
        (uint64_t)(__builtin_popcount(bad_supers) + __builtin_popcount(bad_genesis));
    if (result == 0 && repair && !found->unknown) {
        result = ring_copies_repair(disk, &found->super, bad_supers, &found->genesis, bad_genesis);
        /* H9: what was read may so far lie in the drive's cache alone */
        if (result == 0)
            result = disk_flush(disk);
    }
    if (result < 0) {
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: recovery: %s", strerror(-result));
        ring_recovery_free(found);
    }
    return result;
}

void ring_recovery_free(struct ring_recovery *found)
{
    free(found->map);
    found->map = NULL;
    found->map_count = 0;
}
