/* A drive's block becomes what such a fault leaves, and the replicas have to deal with it. For the
 * table of damage one good copy of everything is kept: of the three that are struck at once each
 * loses another page.
 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

static const uint64_t MS = 1000000;

const char *strike_fault_name(enum strike_fault fault)
{
    static const char *const names[STRIKE_FAULTS] = {"tear",         "lost-write",   "misdirected",
                                                     "stale-sector", "latent-error", "bit-flip"};
    return names[fault];
}

const char *strike_place_name(enum strike_place place)
{
    static const char *const names[STRIKE_PLACES] = {"header", "payload", "tail", "checkpoint",
                                                     "superblock"};
    return names[place];
}

static uint8_t *block(const struct node *node, uint64_t offset)
{
    return node->media.bytes + offset;
}

static const struct ring_page *page_at(const struct node *node, uint64_t page)
{
    return (const struct ring_page *)(const void *)block(node,
                                                         ring_slot_offset(&node->super, page));
}

/* The rank-th page with entries, counted from the end, behind the very last page. */
static uint64_t data_page(const struct node *node, uint32_t rank)
{
    uint64_t page = node->view.next_page - 1;
    while (page > 1 && rank > 0) { /* bound: pages of the ring */
        page--;
        rank -= page_at(node, page)->self.count > 0;
    }
    return page;
}

static unsigned newest_area(const struct node *node)
{
    const struct ring_checkpoint *a =
        (const void *)block(node, ring_checkpoint_offset(&node->super, 0));
    const struct ring_checkpoint *b =
        (const void *)block(node, ring_checkpoint_offset(&node->super, 1));
    return b->magic == RING_CHECKPOINT_MAGIC &&
           (a->magic != RING_CHECKPOINT_MAGIC || b->sequence > a->sequence);
}

/* Where, and which sector of it. */
static uint64_t place_of(const struct strike *s, const struct node *node, uint32_t *sector)
{
    *sector = 0;
    switch (s->place) {
    case STRIKE_HEADER:
        break;
    case STRIKE_PAYLOAD:
        *sector = 1;
        break;
    case STRIKE_TAIL:
        return ring_slot_offset(&node->super, node->view.next_page - 1);
    case STRIKE_CHECKPOINT:
        return ring_checkpoint_offset(&node->super, newest_area(node)) +
               (s->fault == STRIKE_FLIP || s->fault == STRIKE_TEAR ? RING_PAGE_SIZE : 0);
    case STRIKE_SUPER:
    case STRIKE_PLACES:
        return RING_SUPER_BLOCK * RING_PAGE_SIZE;
    }
    return ring_slot_offset(&node->super, data_page(node, 2 + 3 * node->id));
}

void strike_damage(struct node *node, enum strike_fault fault, const struct strike_at *at)
{
    uint32_t skip = at->sector * RING_SECTOR_SIZE;
    uint8_t *here = block(node, at->offset), *there = block(node, at->other);
    switch (fault) {
    case STRIKE_TEAR:
        memset(here + skip, 0, RING_PAGE_SIZE - skip);
        break;
    case STRIKE_LOST:
        memset(here, 0, RING_PAGE_SIZE);
        break;
    case STRIKE_MISDIRECTED:
        memcpy(here, there, RING_PAGE_SIZE);
        memset(there, 0, RING_PAGE_SIZE);
        break;
    case STRIKE_STALE:
        memcpy(here + skip, there + skip, RING_SECTOR_SIZE);
        break;
    case STRIKE_LATENT:
        node->media.bad_from = at->offset;
        node->media.bad_size = RING_PAGE_SIZE;
        break;
    case STRIKE_FLIP:
    case STRIKE_FAULTS:
        here[skip + at->byte] ^= 0x10;
        break;
    }
}

static void damage(const struct strike *s, struct node *node)
{
    struct strike_at at = {.byte = 40};
    at.offset = place_of(s, node, &at.sector);
    at.other = ring_slot_offset(&node->super, data_page(node, 20 + 3 * node->id));
    strike_damage(node, s->fault, &at);
    node->struck = true;
}

void strike_now(struct world *world)
{
    const struct strike *s = world->strike;
    uint32_t leader = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up && world->node[id].replica->raft.role == RAFT_LEADER)
            leader = id;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        bool hit = s->who == STRIKE_ALL ||
                   (s->who == STRIKE_LEADER ? id == leader : id == leader % world->knobs.nodes + 1);
        if (!hit || !node->up)
            continue;
        if (!s->running) {
            node_crash(world, node);
            world_event(world, world->now_ns + (10 + 7 * id) * MS, EVENT_RESTART, id, 0);
        }
        damage(s, node);
    }
}

/* NULL: nothing on the drive is damaged any more. */
static const char *left(struct world *world, struct node *node, char why[512])
{
    if (node->up && ring_holes(node->replica->ring) > 0)
        return "a page waits for repair";
    if (node->up)
        node_crash(world, node);
    struct disk *disk = sim_disk_open(world, node);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    const char *what = NULL;
    int result = ring_recover(disk, false, &found, problem);
    snprintf(why, 512, "%s", result != 0 ? problem : found.why);
    if (result != 0 || found.damage != RING_INTACT)
        what = why;
    else if (found.bad_checkpoints > 0)
        what = "a checkpoint is damaged";
    else if (found.repaired_blocks > 0)
        what = "a copy of superblock or genesis record is damaged";
    if (result == 0)
        ring_recovery_free(&found);
    sim_disk_crash(node);
    return what;
}

int strike_end(struct world *world, char why[512])
{
    int worst = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        char text[512];
        if (!node->struck)
            continue;
        if (node->stop_why[0] != '\0') {
            if (worst == 0)
                snprintf(why, 512, "%s", node->stop_why);
            worst = worst == 2 ? 2 : 1;
            continue;
        }
        const char *what = left(world, node, text);
        if (what == NULL)
            continue;
        snprintf(why, 512, "node %u: %.200s", id, what);
        worst = 2;
    }
    return worst;
}
