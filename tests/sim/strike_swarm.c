/* A seed's strikes: damage of some kind at some place, on a drive at rest or under a running
 * replica, while everything else goes on. It stays until the product has made it good.
 *
 * Each strike is made, looked at, and taken back if it would be one too many. These rules keep:
 *
 * - An entry that may be committed keeps an intact copy on another voter's drive (or one of a
 *   checkpoint that covers it, where the log no longer reaches), and fewer than half of the voters
 *   have lost it: under the committed configuration, and under any that is in force somewhere. A
 *   replica whose start may be refused has lost everything.
 * - Damage is of the kind that a replica has to recognize: what reads as zeros was witnessed as
 *   durable by an intact page behind it. Of the rest the ring alone cannot know
 *   (docs/ring-format.md, "What is not promised").
 * - It can be repaired: each damaged page is still named by an intact head, of two copies one stays
 *   good, and behind the checkpoint that stays the log is there. One exception: the head of the
 *   very last page may go, which may have been a vote. Then nothing else may be wrong anywhere, the
 *   start has to be refused, and an operator replaces the replica.
 *
 * What a damaged page held is kept here, and what is written in its place held against it.
 */
#include "tests/sim/check.h"
#include "tests/sim/timeline.h"

#include "dataplane/ring/format.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STRIKES_MS = 1000000,
    STRIKES_AT_ONCE = 3,
    STRIKES_TRIES = 4,
    STRIKES_BAD_MAX = 32, /* pages of one drive: torn ones may come on top */
    STRIKES_NEAR = 16,    /* half of them strike so near to the end */
    STRIKES_LEAST = 8     /* pages: a drive that has fewer is spared */
};

struct attempt {
    struct node *node;
    enum strike_fault fault;
    enum strike_place place;
    struct strike_at at;
    const struct survey *all;                            /* of every node's drive, before */
    struct survey was, is;                               /* of this one's */
    uint8_t here[RING_PAGE_SIZE], there[RING_PAGE_SIZE]; /* as it was */
    bool whole_here, whole_there;
    uint64_t bad_from, bad_size;
};

/* --- what stands --- */

bool strikes_hurt(const struct world *world, const struct node *node)
{
    struct survey now;
    if (!node->wounds.ever)
        return false;
    survey_take(world, node, &now);
    bool hurt = now.bad > 0 || now.bad_copies > 0;
    survey_free(&now);
    return hurt || node->wounds.refused;
}

bool strikes_hurt_any(const struct world *world)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (strikes_hurt(world, &world->node[id]))
            return true;
    return false;
}

bool strikes_open(const struct world *world, const struct node *node)
{
    struct survey now;
    if (!node->wounds.ever)
        return false;
    survey_take(world, node, &now);
    bool open = now.hole != 0 || now.unnamed > 0;
    survey_free(&now);
    return open;
}

/* --- the rules --- */

struct masks { /* of nodes, about one entry */
    uint32_t lost, held;
};

/* A drive that was lost whole, and one whose start may be refused, have lost all that they held. */
static bool gone(const struct world *world, const struct raft_config *config, uint32_t id,
                 const struct survey *survey)
{
    const struct node *node = &world->node[id];
    return config->incarnation[id] != node->super.incarnation || node->wounds.refused ||
           survey->unnamed > 0;
}

static struct masks who_has(const struct world *world, const struct raft_config *config,
                            const struct survey *surveys, uint64_t index)
{
    struct masks masks = {0, 0};
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct survey *s = &surveys[id];
        if (config->incarnation[id] == 0)
            continue;
        enum survey_entry entry = survey_entry(s, index);
        if (gone(world, config, id, s))
            masks.lost |= 1u << id;
        else if (entry == ENTRY_LOST)
            masks.lost |= 1u << id;
        else if (entry == ENTRY_HELD || (index < s->first && index <= s->covered))
            masks.held |= 1u << id;
    }
    return masks;
}

static bool minority(uint32_t set, uint32_t mask)
{
    return 2 * __builtin_popcount(set & mask) < __builtin_popcount(set);
}

/* May this entry be lost on one more drive, as far as these members are concerned? */
static bool spared(const struct world *world, const struct raft_config *config,
                   const struct survey *surveys, uint64_t index)
{
    struct masks masks = who_has(world, config, surveys, index);
    uint32_t voters = config->voters | config->voters_new;
    if ((masks.held & voters) == 0)
        return index > world->checker->committed && !check_quorum(config, masks.lost);
    return minority(config->voters, masks.lost) &&
           (config->voters_new == 0 || minority(config->voters_new, masks.lost));
}

static bool copies_stay(const struct world *world, const struct attempt *a,
                        const struct survey *surveys)
{
    for (uint64_t i = a->was.first; i <= a->was.last; i++) {
        if (survey_entry(&a->was, i) != ENTRY_HELD || survey_entry(&a->is, i) == ENTRY_HELD)
            continue;
        if (!spared(world, &world->checker->config, surveys, i))
            return false;
        for (uint32_t id = 1; id <= world->knobs.nodes; id++)
            if (world->node[id].up &&
                !spared(world, &world->node[id].replica->raft.config, surveys, i))
                return false;
    }
    return true;
}

/* Only the very last page may be without a name, and only if nothing else is wrong. */
static bool names_stay(const struct world *world, const struct attempt *a,
                       const struct survey *surveys)
{
    if (a->is.unnamed == 0)
        return true;
    bool alone = a->is.bad == 1 && a->is.last_bad + 1 == a->is.tail && a->is.bad_copies == 0 &&
                 operators_settled(world) && !a->node->view.newest_installed;
    for (uint32_t id = 1; alone && id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        const struct raft_config *config = &world->checker->config;
        alone =
            node == a->node ||
            (surveys[id].bad == 0 && surveys[id].bad_copies == 0 && !node->wounds.refused &&
             (config->incarnation[id] == 0 || config->incarnation[id] == node->super.incarnation));
    }
    return alone && __builtin_popcount(world->checker->config.voters) >= 3;
}

static bool witnessed(const struct attempt *a)
{
    if (a->fault == STRIKE_FLIP || a->fault == STRIKE_LATENT)
        return true;
    return a->is.bad == a->was.bad || a->is.last_bad < a->is.durable_page;
}

static bool checkpoints_stay(const struct attempt *a)
{
    if (a->is.covered == a->was.covered && a->is.bad_copies == a->was.bad_copies)
        return true;
    if (a->was.older == 0 || a->was.newest_installed || a->is.bad_copies > a->was.bad_copies + 1)
        return false;
    for (uint64_t i = a->is.covered + 1; i <= a->was.covered; i++)
        if (survey_entry(&a->is, i) == ENTRY_LOST)
            return false;
    return a->is.covered + 1 >= a->is.first;
}

static bool allowed(const struct world *world, const struct attempt *a)
{
    struct survey surveys[NODES_MAX + 1];
    memcpy(surveys, a->all, sizeof(surveys));
    surveys[a->node->id] = a->is;
    return a->is.bad <= STRIKES_BAD_MAX && witnessed(a) && checkpoints_stay(a) &&
           names_stay(world, a, surveys) && copies_stay(world, a, surveys);
}

/* --- where ------------------------------------------------------------------------------------ */

static uint64_t some_page(struct world *world, const struct survey *s)
{
    uint64_t kept = s->tail - s->head;
    if (random_below(&world->rng_strike, 2) == 0 && kept > STRIKES_NEAR)
        kept = STRIKES_NEAR;
    return s->tail - 1 - random_below(&world->rng_strike, kept);
}

static bool aim_at_checkpoint(struct world *world, struct attempt *a)
{
    uint64_t *rng = &world->rng_strike;
    unsigned area = (unsigned)random_below(rng, 2);
    const struct ring_checkpoint *head =
        (const void *)(a->node->media.bytes + ring_checkpoint_offset(&a->node->super, area));
    uint64_t blocks = 1;
    if (a->was.older == 0 || a->was.bad_copies > 0)
        return false; /* not two good ones */
    if (random_below(rng, 2) == 0)
        blocks += (head->size + RING_PAGE_SIZE - 1) / RING_PAGE_SIZE;
    a->at.offset =
        ring_checkpoint_offset(&a->node->super, area) + random_below(rng, blocks) * RING_PAGE_SIZE;
    return true;
}

static bool aim(struct world *world, struct attempt *a)
{
    uint64_t *rng = &world->rng_strike;
    const struct ring_super *super = &a->node->super;
    uint64_t page = some_page(world, &a->was);
    a->at = (struct strike_at){.other = ring_slot_offset(super, some_page(world, &a->was)),
                               .byte = (uint32_t)random_below(rng, RING_SECTOR_SIZE)};
    switch (a->place) {
    case STRIKE_HEADER:
        break;
    case STRIKE_PAYLOAD:
        a->at.sector = (uint32_t)random_between(rng, 1, 3);
        break;
    case STRIKE_TAIL:
        page = a->was.tail - 1;
        if (a->fault != STRIKE_FLIP && a->fault != STRIKE_LATENT && a->was.durable_page > 0)
            page = a->was.durable_page - 1;
        break;
    case STRIKE_CHECKPOINT:
        return aim_at_checkpoint(world, a);
    case STRIKE_SUPER:
        a->at.offset = (RING_SUPER_BLOCK + random_below(rng, 2)) * RING_PAGE_SIZE;
        return a->was.bad_copies == 0;
    case STRIKE_TAIL_PAYLOAD:
    case STRIKE_PLACES:
        break;
    }
    a->at.offset = ring_slot_offset(super, page);
    return page >= a->was.head && a->at.offset != a->at.other;
}

/* --- one strike ------------------------------------------------------------------------------- */

/* A kept page, and not bad already: a fault of its write (drive_faults.c) leaves no wound. */
static bool whole(const struct world *world, const struct node *node, const struct survey *now,
                  uint64_t offset)
{
    if (offset < ring_slot_offset(&node->super, 0))
        return false;
    uint64_t page = ((const struct ring_page *)(const void *)(node->media.bytes + offset))->page;
    return page >= now->head && page < now->tail &&
           ring_slot_offset(&node->super, page) == offset && survey_page(world, node, page) != NULL;
}

static void keep_wound(struct world *world, struct node *node, const uint8_t *bytes, bool running)
{
    struct wounds *wounds = &node->wounds;
    uint64_t page = ((const struct ring_page *)(const void *)bytes)->page;
    for (uint32_t i = 0; i < wounds->count; i++)
        if (wounds->wound[i].page == page)
            return; /* it was bad before */
    if (survey_page(world, node, page) != NULL || wounds->count == WOUNDS_MAX)
        return;
    struct wound *wound = &wounds->wound[wounds->count++];
    *wound = (struct wound){.page = page, .bytes = malloc(RING_PAGE_SIZE), .known = !running};
    ENSURE(wound->bytes != NULL);
    memcpy(wound->bytes, bytes, RING_PAGE_SIZE);
}

static void undo(struct attempt *a)
{
    memcpy(a->node->media.bytes + a->at.offset, a->here, RING_PAGE_SIZE);
    memcpy(a->node->media.bytes + a->at.other, a->there, RING_PAGE_SIZE);
    a->node->media.bad_from = a->bad_from;
    a->node->media.bad_size = a->bad_size;
}

static void landed(struct world *world, struct attempt *a, bool running)
{
    struct node *node = a->node;
    char what[120];
    node->wounds.ever = true;
    if (a->whole_here)
        keep_wound(world, node, a->here, running);
    if (a->whole_there)
        keep_wound(world, node, a->there, running);
    world->strikes.fault[a->fault]++;
    world->strikes.place[a->place]++;
    world_fault(world, running ? FAULT_STRIKE_RUNNING : FAULT_STRIKE_REST);
    snprintf(what, sizeof(what), "its drive is struck: %s, %s%s, %u pages are bad",
             strike_fault_name(a->fault), strike_place_name(a->place),
             a->is.unnamed > 0 ? ", nobody names it" : "", a->is.bad);
    timeline_text(world, TIMELINE_NOTE, node->id, what);
    if (world->verbose)
        printf("%12.6f node %u: %s\n", (double)world->now_ns / 1e9, node->id, what);
}

/* False: nothing has changed. */
static bool strike(struct world *world, struct node *node, bool running, struct survey *all)
{
    struct attempt a = {
        .node = node,
        .all = all,
        .was = all[node->id],
        .fault = (enum strike_fault)random_below(&world->rng_strike, STRIKE_FAULTS),
        .place = (enum strike_place)random_below(&world->rng_strike, STRIKE_SWARM_PLACES),
        .bad_from = node->media.bad_from,
        .bad_size = node->media.bad_size};
    if (node->media.bytes == NULL || node->wounds.refused ||
        (a.fault == STRIKE_LATENT && a.bad_size > 0) ||
        (node->view.newest_installed && node->view.installed > node->view.last))
        return false; /* its log is a peer's checkpoint: the pages say nothing */
    bool done = a.was.tail - a.was.head >= STRIKES_LEAST && a.was.unnamed == 0 && aim(world, &a);
    if (done) {
        memcpy(a.here, node->media.bytes + a.at.offset, RING_PAGE_SIZE);
        memcpy(a.there, node->media.bytes + a.at.other, RING_PAGE_SIZE);
        a.whole_here = whole(world, node, &a.was, a.at.offset);
        a.whole_there = whole(world, node, &a.was, a.at.other);
        strike_damage(node, a.fault, &a.at);
        survey_take(world, node, &a.is);
        done = (a.is.bad > a.was.bad || a.is.bad_copies > a.was.bad_copies) && allowed(world, &a);
        if (done)
            landed(world, &a, running);
        else
            undo(&a);
        survey_free(done ? &a.was : &a.is);
        all[node->id] = done ? a.is : a.was;
    }
    return done;
}

void strikes_begin(struct world *world)
{
    if (knobs_on(&world->knobs, FAULT_STRIKE_REST) || knobs_on(&world->knobs, FAULT_STRIKE_RUNNING))
        world_event(world, 1000ull * STRIKES_MS, EVENT_STRIKE, 0, 0);
}

/* Who is struck at rest loses power for it, unless it is down already. */
void strikes_turn(struct world *world)
{
    uint64_t *rng = &world->rng_strike;
    const struct knobs *k = &world->knobs;
    if (world->now_ns >= k->faults_until_ns)
        return;
    world_event(world,
                world->now_ns +
                    random_between(rng, k->strike_every_ns / 4, k->strike_every_ns * 7 / 4),
                EVENT_STRIKE, 0, 0);
    bool running = random_below(rng, 2) == 0;
    if (!knobs_on(k, running ? FAULT_STRIKE_RUNNING : FAULT_STRIKE_REST) ||
        world->now_ns < world->spared_until_ns)
        return;
    struct node *node = &world->node[random_between(rng, 1, k->nodes)];
    if (running && !node->up)
        return;
    if (!running && node->up)
        script_power_lost(world, node);
    uint64_t strikes = random_between(rng, 1, STRIKES_AT_ONCE);
    struct survey all[NODES_MAX + 1];
    memset(all, 0, sizeof(all));
    for (uint32_t id = 1; id <= k->nodes; id++)
        survey_take(world, &world->node[id], &all[id]);
    for (uint32_t tries = 0; strikes > 0 && tries < STRIKES_TRIES * STRIKES_AT_ONCE; tries++)
        strikes -= strike(world, node, running, all);
    for (uint32_t id = 1; id <= k->nodes; id++)
        survey_free(&all[id]);
}

/* --- what the product makes of it ------------------------------------------------------------- */

/* The lowest lost entry that a start has seen; what is struck under a running replica it need not
 * know. */
static uint64_t known_hole(const struct node *node, const struct survey *now)
{
    for (uint64_t i = now->hole; i != 0 && i <= now->last; i++) {
        bool known = survey_entry(now, i) == ENTRY_LOST;
        for (uint32_t w = 0; known && w < node->wounds.count; w++)
            known = node->wounds.wound[w].page != now->page[i] || node->wounds.wound[w].known;
        if (known)
            return i;
    }
    return 0;
}

void strikes_started(struct world *world, struct node *node, const struct ring_recovery *found)
{
    struct survey now;
    survey_take(world, node, &now);
    if (now.unnamed > 0)
        world_fail(world, "node %u starts though page %lu is gone, and nobody says what it was",
                   node->id, (unsigned long)now.last_bad);
    for (uint32_t i = 0; i < node->wounds.count; i++)
        node->wounds.wound[i].known = true;
    node->wounds.hole = found->begins_anew ? 0 : known_hole(node, &now);
    survey_free(&now);
}

bool strikes_may_refuse(struct world *world, struct node *node, const char *why)
{
    struct survey now;
    if (!node->wounds.ever)
        return false;
    survey_take(world, node, &now);
    bool may = now.unnamed > 0;
    survey_free(&now);
    if (!may || node->wounds.refused)
        return may;
    timeline_text(world, TIMELINE_NOTE, node->id, why);
    node->wounds.refused = true;
    world->strikes.refused++;
    world_event(world, world->now_ns + random_between(&world->rng_strike, 100, 1500) * STRIKES_MS,
                EVENT_REPLACE, node->id, 0);
    return true;
}

bool strikes_may_stop(struct world *world, struct node *node, const char *why)
{
    static const char whole[] = "the log is whole again, from further back than memory holds";
    bool may = node->wounds.ever && strncmp(why, whole, sizeof(whole) - 1) == 0;
    world->strikes.restarted += may;
    return may;
}

void strikes_count(struct world *world, const struct node *node)
{
    if (!node->wounds.ever)
        return;
    world->strikes.pages += node->replica->repair.pages;
    world->strikes.copies += node_copies(node);
}

/* Is this page's content what the damaged one had, and does it say nothing that was not true? */
static void compare(struct world *world, const struct node *node, const struct ring_page *now,
                    const struct ring_page *was)
{
    const uint8_t *a = (const uint8_t *)now + RING_HEAD_SIZE;
    const uint8_t *b = (const uint8_t *)was + RING_HEAD_SIZE;
    uint32_t count = ring_page_present(now), bytes = 0;
    for (uint32_t i = 0; i < count && i < ring_page_present(was); i++)
        bytes += ((const struct entry *)(const void *)(b + bytes))->size;
    if (memcmp(&now->self, &was->self, sizeof(now->self)) != 0 || count > ring_page_present(was) ||
        memcmp(a, b, bytes) != 0)
        world_fail(world, "node %u: page %lu is restored with other entries than it had", node->id,
                   (unsigned long)was->page);
    else if (now->term > node->view.term || now->commit > world->checker->committed ||
             now->durable_page > now->page)
        world_fail(world, "node %u: page %lu is restored, and says more than is true", node->id,
                   (unsigned long)was->page);
}

static void close_wound(struct wounds *wounds, uint32_t at)
{
    free(wounds->wound[at].bytes);
    wounds->wound[at] = wounds->wound[--wounds->count];
}

void strikes_written(struct world *world, struct node *node, uint64_t offset)
{
    struct wounds *wounds = &node->wounds;
    struct survey now;
    if (!wounds->ever)
        return;
    if (offset < ring_slot_offset(&node->super, 0) && wounds->hole == 0)
        return; /* no page; a checkpoint may cover a hole */
    for (uint32_t i = 0; i < wounds->count; i++) {
        uint64_t page = wounds->wound[i].page;
        const struct ring_page *is = survey_page(world, node, page);
        if (ring_slot_offset(&node->super, page) != offset || is == NULL)
            continue;
        compare(world, node, is, (const void *)wounds->wound[i].bytes);
        close_wound(wounds, i--);
    }
    survey_take(world, node, &now);
    if (wounds->hole != 0)
        wounds->hole = known_hole(node, &now);
    for (uint32_t i = 0; i < wounds->count; i++)
        if (wounds->wound[i].page < now.head)
            close_wound(wounds, i--);
    survey_free(&now);
    check_drive_repaired(world, node);
}

void strikes_forget(struct node *node)
{
    while (node->wounds.count > 0)
        close_wound(&node->wounds, 0);
    memset(&node->wounds, 0, sizeof(node->wounds));
}

/* --- the end ---------------------------------------------------------------------------------- */

/* H7: below the own checkpoint a hole limits rereads and requests alone; once nobody's log has its
 * entries any more, it stays until the head passes it. */
static bool nobody_has(const struct world *world, const struct node *node, const struct survey *now,
                       const struct survey *others, uint64_t page)
{
    for (uint64_t i = now->first; i <= now->last; i++) {
        if (survey_entry(now, i) != ENTRY_LOST || now->page[i] != page)
            continue;
        if (i > now->covered)
            return false;
        for (uint32_t id = 1; id <= world->knobs.nodes; id++)
            if (id != node->id && check_members_is(world, &world->node[id]) &&
                survey_entry(&others[id], i) == ENTRY_HELD)
                return false;
    }
    return true;
}

static void end_of(struct world *world, struct node *node, const struct survey *surveys)
{
    const struct survey *now = &surveys[node->id];
    strikes_count(world, node);
    if (now->bad_copies > 0)
        world_fail(world, "node %u: %u copies of superblock, genesis record or checkpoint are bad",
                   node->id, now->bad_copies);
    for (uint64_t page = now->head; now->bad > 0 && page < now->tail; page++) {
        if (survey_page(world, node, page) != NULL)
            continue;
        if (!nobody_has(world, node, now, surveys, page))
            world_fail(world, "node %u: page %lu is still damaged at the end", node->id,
                       (unsigned long)page);
        world->strikes.left++;
    }
}

void strikes_end(struct world *world)
{
    struct survey surveys[NODES_MAX + 1];
    memset(surveys, 0, sizeof(surveys));
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        survey_take(world, &world->node[id], &surveys[id]);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        if (node->up && node->wounds.ever && check_members_is(world, node))
            end_of(world, node, surveys);
    }
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        survey_free(&surveys[id]);
}
