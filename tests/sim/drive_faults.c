/* What resting drives do to what they hold: a durable page changes, cannot be read, lands where it
 * does not belong, was confirmed and never written, or is an older one. Recovery must call it
 * damage and leave the drive as it is; a tear it must never be taken for (promise 4). Then the
 * bytes come back, as from a repaired drive.
 */
#include "tests/sim/check.h"

#include "dataplane/ring/recover.h"
#include "tests/sim/timeline.h"

enum { DRIVE_KINDS = 5, DRIVE_BITS = 9 };

static const enum fault kinds[DRIVE_KINDS] = {FAULT_ROT, FAULT_LATENT, FAULT_MISDIRECTED,
                                              FAULT_PHANTOM, FAULT_STALE};

static const struct ring_page *slot_of(const struct node *node, uint64_t page)
{
    return (const struct ring_page *)(node->media.bytes + ring_slot_offset(&node->super, page));
}

/* A page that recovery must miss; false: there is none. Rot shows in itself. What is wholly gone
 * or another page is only known where a later page bears witness. */
static bool pick_page(struct world *world, const struct node *node, enum fault fault,
                      uint64_t *page)
{
    uint64_t tail = node->view.next_page;
    if (tail == 0)
        return false;
    const struct ring_page *last = slot_of(node, tail - 1);
    *page = tail - 1;
    if (fault == FAULT_ROT || fault == FAULT_LATENT)
        return true;
    if (last->durable_page == 0 || last->durable_page - 1 < last->head)
        return false;
    uint64_t kept = last->durable_page - last->head;
    *page = last->durable_page - 1 - random_below(&world->rng_fault, kept < 4 ? kept : 4);
    return fault != FAULT_MISDIRECTED || *page > last->head;
}

/* Puts the damage there; the page's bytes were saved before. False: nothing changed. */
static bool plant(struct world *world, struct node *node, enum fault fault, uint64_t page,
                  const uint8_t *saved)
{
    uint64_t *rng = &world->rng_fault;
    uint8_t *at = node->media.bytes + ring_slot_offset(&node->super, page);
    uint8_t *sector = at + random_below(rng, RING_SECTORS) * RING_SECTOR_SIZE;
    struct ring_page *old = (struct ring_page *)at;
    if (fault == FAULT_ROT) {
        for (uint32_t i = 0; i < DRIVE_BITS; i++)
            sector[random_below(rng, RING_SECTOR_SIZE)] ^= 0x5a;
    } else if (fault == FAULT_LATENT) {
        node->media.bad_from = ring_slot_offset(&node->super, page);
        node->media.bad_size = RING_PAGE_SIZE;
    } else if (fault == FAULT_MISDIRECTED) {
        memcpy(at, slot_of(node, page - 1), RING_PAGE_SIZE);
    } else {
        memset(at, 0, RING_PAGE_SIZE);
    }
    if (fault == FAULT_STALE && page >= node->super.slots) { /* of the lap before, in good form */
        memcpy(at, saved, RING_PAGE_SIZE);
        old->page -= node->super.slots;
        ring_page_finish(old);
    }
    return fault == FAULT_LATENT || memcmp(at, saved, RING_PAGE_SIZE) != 0;
}

/* Below the head of pages that were in flight nothing is kept, damaged or not. */
static void judge(struct world *world, struct node *node, enum fault fault, uint64_t page,
                  const uint8_t *at)
{
    struct disk *disk = sim_disk_open(world, node);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE];
    uint8_t planted[RING_PAGE_SIZE];
    memcpy(planted, at, sizeof(planted));
    if (ring_recover(disk, true, &found, problem) != 0)
        world_fail(world, "node %u: a damaged ring cannot even be read: %s", node->id, problem);
    else if (found.damage == RING_INTACT)
        world_fail(world, "node %u: a durable page suffers %s; recovery takes it for a tear",
                   node->id, fault_name(fault));
    else if ((found.unknown || page >= found.head_page) &&
             memcmp(planted, at, sizeof(planted)) != 0)
        world_fail(world, "node %u: a refused recovery changes the drive", node->id);
    ring_recovery_free(&found);
    sim_disk_crash(node);
}

void drive_faults_rest(struct world *world, struct node *node)
{
    enum fault fault = kinds[random_below(&world->rng_fault, DRIVE_KINDS)];
    uint64_t page;
    uint8_t saved[RING_PAGE_SIZE];
    if (!knobs_on(&world->knobs, fault) || strikes_hurt(world, node) ||
        !pick_page(world, node, fault, &page))
        return;
    uint8_t *at = node->media.bytes + ring_slot_offset(&node->super, page);
    memcpy(saved, at, sizeof(saved));
    if (plant(world, node, fault, page, saved)) {
        timeline_text(world, TIMELINE_NOTE, node->id, "a durable page is damaged on its drive");
        judge(world, node, fault, page, at);
        world_fault(world, fault);
    }
    memcpy(at, saved, sizeof(saved));
    node->media.bad_size = 0;
}
