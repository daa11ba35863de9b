/* A drive's block becomes what such a fault leaves, and the replicas have to deal with it. For the
 * table of damage one good copy of everything is kept: of the three that are struck at once each
 * loses another page.
 */
#include "tests/sim/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRIKE_AGAIN_NS = 5000 };

static const uint64_t MS = 1000000;

const char *strike_fault_name(enum strike_fault fault)
{
    static const char *const names[STRIKE_FAULTS] = {"tear",         "lost-write",   "misdirected",
                                                     "stale-sector", "latent-error", "bit-flip"};
    return names[fault];
}

const char *strike_place_name(enum strike_place place)
{
    static const char *const names[STRIKE_PLACES] = {"header",     "payload",    "tail",
                                                     "checkpoint", "superblock", "tail-payload"};
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

/* --- where ------------------------------------------------------------------------------------ */

struct blow { /* one drive's part of a strike */
    struct node *node;
    struct strike_at at;
    uint8_t cut[RING_PAGE_SIZE]; /* the write that the power cut took in flight */
    uint8_t here[RING_PAGE_SIZE], there[RING_PAGE_SIZE]; /* as it was, while it is tried */
};

/* The end is torn by the power cut itself: a page in flight, of which nobody was told. What tears
 * elsewhere had been confirmed. */
static bool at_tail(const struct strike *s)
{
    return s->place == STRIKE_TAIL || s->place == STRIKE_TAIL_PAYLOAD;
}

static bool cut_off(const struct strike *s)
{
    return at_tail(s) && s->fault == STRIKE_TEAR && !s->running;
}

/* False: the end is not what the strike wants. Its head: that of a seal, with entries only for a
 * tear, which must leave something. Its payload: of a page with entries. */
static bool aim_at_tail(const struct strike *s, struct blow *blow)
{
    const struct node *node = blow->node;
    uint64_t next = ring_slot_offset(&node->super, node->view.next_page);
    const struct ring_page *in_flight = sim_disk_in_flight(node, next);
    blow->at.offset = ring_slot_offset(&node->super, node->view.next_page - 1);
    if (cut_off(s)) {
        if (in_flight == NULL || in_flight->self.count == 0)
            return false;
        blow->at.offset = next;
        memcpy(blow->cut, in_flight, RING_PAGE_SIZE);
        return true;
    }
    bool entries = page_at(node, node->view.next_page - 1)->self.count > 0;
    return entries == (s->place == STRIKE_TAIL_PAYLOAD || s->fault == STRIKE_TEAR);
}

static bool aim(const struct strike *s, struct blow *blow)
{
    const struct node *node = blow->node;
    uint64_t page = ring_slot_offset(&node->super, data_page(node, 2 + 3 * node->id));
    bool body = s->fault == STRIKE_FLIP || s->fault == STRIKE_TEAR;
    blow->at = (struct strike_at){
        .offset = page,
        .other = ring_slot_offset(&node->super, data_page(node, 20 + 3 * node->id)),
        .sector = s->place == STRIKE_PAYLOAD || s->place == STRIKE_TAIL_PAYLOAD,
        .byte = 40};
    switch (s->place) {
    case STRIKE_HEADER:
    case STRIKE_PAYLOAD:
        return true;
    case STRIKE_TAIL:
    case STRIKE_TAIL_PAYLOAD:
        return aim_at_tail(s, blow);
    case STRIKE_CHECKPOINT:
        blow->at.offset =
            ring_checkpoint_offset(&node->super, newest_area(node)) + (body ? RING_PAGE_SIZE : 0);
        return true;
    case STRIKE_SUPER:
    case STRIKE_PLACES:
        blow->at.offset = RING_SUPER_BLOCK * RING_PAGE_SIZE;
        return true;
    }
    return false;
}

/* --- what is kept ----------------------------------------------------------------------------- */

/* An end that reads as if it had never been written is missed by nobody but peers: a majority must
 * keep what is committed. Where the loss is seen for what it is, one copy will do, also of what is
 * not known to be committed and may be: a quorum has it. */
static bool seen_at_once(const struct strike *s)
{
    return s->place == STRIKE_TAIL_PAYLOAD && (s->fault == STRIKE_STALE || s->fault == STRIKE_FLIP);
}

/* On how many drives each entry is, by index; malloc'd, *last long. */
static uint8_t *count_copies(const struct world *world, uint64_t *last)
{
    struct survey surveys[NODES_MAX + 1];
    *last = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        survey_take(world, &world->node[id], &surveys[id]);
        *last = surveys[id].last > *last ? surveys[id].last : *last;
    }
    uint8_t *copies = calloc(*last + 1, 1);
    ENSURE(copies != NULL);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        for (uint64_t index = 1; index <= *last; index++)
            if (survey_entry(&surveys[id], index) == ENTRY_HELD ||
                (index < surveys[id].first && index <= surveys[id].covered))
                copies[index]++;
        survey_free(&surveys[id]);
    }
    return copies;
}

static bool enough(const struct world *world, const uint8_t *was, uint64_t last)
{
    uint64_t left, quorum = world->knobs.nodes / 2 + 1;
    uint8_t *is = count_copies(world, &left);
    bool seen = seen_at_once(world->strike), good = true;
    for (uint64_t index = 1; good && index <= last; index++) {
        bool matters = index <= world->checker->committed || (seen && was[index] >= quorum);
        good = !matters || (index <= left && is[index] >= (seen ? 1 : quorum));
    }
    free(is);
    return good;
}

/* Tries the strike on the drives, and takes it back. */
static bool copies_stay(struct world *world, struct blow *blows, uint32_t count)
{
    const struct strike *s = world->strike;
    uint64_t last;
    uint8_t *was = count_copies(world, &last);
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = blows[i].node;
        memcpy(blows[i].here, block(node, blows[i].at.offset), RING_PAGE_SIZE);
        memcpy(blows[i].there, block(node, blows[i].at.other), RING_PAGE_SIZE);
        strike_damage(node, s->fault, &blows[i].at);
    }
    bool good = enough(world, was, last);
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = blows[i].node;
        memcpy(block(node, blows[i].at.offset), blows[i].here, RING_PAGE_SIZE);
        memcpy(block(node, blows[i].at.other), blows[i].there, RING_PAGE_SIZE);
        node->media.bad_size = 0;
    }
    free(was);
    return good;
}

/* --- the strike ------------------------------------------------------------------------------- */

void strike_damage(struct node *node, enum strike_fault fault, const struct strike_at *at)
{
    uint32_t skip = at->sector * RING_SECTOR_SIZE;
    uint8_t *here = block(node, at->offset), *there = block(node, at->other);
    switch (fault) {
    case STRIKE_TEAR:
        memset(here + skip, 0, skip == 0 ? RING_SECTOR_SIZE : RING_PAGE_SIZE - skip);
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
        node->media.bad_from = at->offset + skip;
        node->media.bad_size = RING_SECTOR_SIZE;
        break;
    case STRIKE_FLIP:
    case STRIKE_FAULTS:
        here[skip + at->byte] ^= 0x10;
        break;
    }
}

/* The power cut. For a strike at the end it takes all that is in flight behind. */
static void cut_power(struct world *world, struct node *node)
{
    uint64_t first = node->view.next_page, lost[RING_FLIGHT_PAGES_MAX], count = 0;
    for (uint64_t page = first; page < first + RING_FLIGHT_PAGES_MAX; page++)
        if (sim_disk_in_flight(node, ring_slot_offset(&node->super, page)) != NULL)
            lost[count++] = ring_slot_offset(&node->super, page);
    node_crash(world, node);
    for (uint64_t i = 0; i < count && at_tail(world->strike); i++)
        memset(block(node, lost[i]), 0, RING_PAGE_SIZE);
    world_event(world, world->now_ns + (10 + 7 * node->id) * MS, EVENT_RESTART, node->id, 0);
}

static void land(struct world *world, const struct blow *blow)
{
    const struct strike *s = world->strike;
    struct node *node = blow->node;
    if (!s->running)
        cut_power(world, node);
    if (cut_off(s))
        memcpy(block(node, blow->at.offset), blow->cut, RING_PAGE_SIZE);
    strike_damage(node, s->fault, &blow->at);
    node->struck = true;
}

/* False: not now. */
static bool strike_all(struct world *world)
{
    struct strike *s = world->strike;
    struct blow blows[NODES_MAX];
    uint32_t leader = 0, count = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up && world->node[id].replica->raft.role == RAFT_LEADER)
            leader = id;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        bool hit = s->who == STRIKE_ALL ||
                   (s->who == STRIKE_LEADER ? id == leader : id == leader % world->knobs.nodes + 1);
        if (!hit)
            continue;
        blows[count].node = node;
        if (leader == 0 || !node->up || !aim(s, &blows[count++]))
            return false;
    }
    if (count == 0 || !copies_stay(world, blows, count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        land(world, &blows[i]);
    return true;
}

void strike_now(struct world *world)
{
    world->strike->done = strike_all(world);
    if (!world->strike->done && world->now_ns < world->knobs.quiet_ns)
        world_event(world, world->now_ns + STRIKE_AGAIN_NS, EVENT_STRIKE, 0, 0);
    else if (!world->strike->done)
        world_fail(world, "there was no moment for this strike");
}

/* --- the end ---------------------------------------------------------------------------------- */

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

int strike_end(struct world *world, uint32_t *stopped, char why[512])
{
    int worst = 0;
    *stopped = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        char text[512];
        if (!node->struck)
            continue;
        if (node->stop_why[0] != '\0') {
            if (worst == 0)
                snprintf(why, 512, "%s", node->stop_why);
            worst = worst == 2 ? 2 : 1;
            *stopped |= 1u << id;
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
