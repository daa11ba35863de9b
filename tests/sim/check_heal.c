/* What an autopilot must never do, and what it must: by what arrived and by what was committed. */
#include "tests/sim/heal.h"

#include "consensus/wire/entry.h"
#include "control/control.h"
#include "tests/sim/check.h"
#include "tests/sim/timeline.h"

#include <stdio.h>

enum {
    HEAL_MS = 1000000,
    HEAL_DRIVE_MS = 300, /* a reply waits for its drive */
    HEAL_DRIFT = 50,     /* clocks count a second as long as a second but for a part of so many */
    HEAL_CALM_MS = 1000  /* everybody is up so long after the faults */
};

static bool has(uint32_t mask, uint32_t id)
{
    return (mask >> id & 1) != 0;
}

/* So long by any clock. */
static uint64_t least_ns(uint32_t ms)
{
    uint64_t ns = (uint64_t)ms * HEAL_MS;
    return ns - ns / HEAL_DRIFT;
}

void check_heal_reply(struct world *world, uint32_t at, uint32_t from)
{
    world->heal.reply_ns[at][from] = world->now_ns;
}

void check_heal_turn(struct world *world, struct node *node)
{
    struct heal *h = &world->heal;
    uint32_t id = node->id;
    const struct raft *raft = &node->replica->raft;
    if (h->starts[id] != node->starts) {
        h->starts[id] = node->starts;
        h->started_ns[id] = world->now_ns;
        h->proposed[id] = h->led_term[id] = 0;
    }
    if (raft->role != RAFT_LEADER) {
        h->led_term[id] = 0;
    } else if (h->led_term[id] != raft->term) {
        h->led_term[id] = raft->term;
        h->led_ns[id] = world->now_ns;
    }
}

/* A leader proposes that a voter is dead, at this moment. */
void check_heal_proposed(struct world *world, struct node *node, const struct autopilot_status *s)
{
    struct heal *h = &world->heal;
    bool anew = s->proposed > h->proposed[node->id] && s->why == AUTOPILOT_WHY_DECIDING;
    h->proposed[node->id] = s->proposed;
    if (!anew || world->failure[0] != '\0')
        return;
    const struct knobs *k = &world->knobs;
    uint32_t voter = s->about, standby = s->standby;
    uint64_t now_ns = world->now_ns, dead_ns = least_ns(k->dead_ms);
    /* A reply answers what was sent before it, and was under way itself. */
    uint64_t old_ns = 2 * k->late_ns + HEAL_DRIVE_MS * (uint64_t)HEAL_MS;
    if (h->reply_ns[node->id][voter] + dead_ns > now_ns + old_ns)
        world_fail(world, "node %u takes voter %u for dead, which answered %.3f s ago", node->id,
                   voter, (double)(now_ns - h->reply_ns[node->id][voter]) / 1e9);
    if (now_ns - h->led_ns[node->id] < dead_ns)
        world_fail(world, "node %u leads for %.3f s, and takes voter %u for dead since before that",
                   node->id, (double)(now_ns - h->led_ns[node->id]) / 1e9, voter);
    if (now_ns - h->started_ns[standby] < least_ns(k->stabilise_ms))
        world_fail(world, "node %u wants standby %u, which was started %.3f s ago", node->id,
                   standby, (double)(now_ns - h->started_ns[standby]) / 1e9);
    uint32_t heard = 1, voters = node->replica->raft.config.voters;
    for (uint32_t id = 1; id <= k->nodes; id++)
        heard += id != node->id && id != voter && has(voters, id) &&
                 h->reply_ns[node->id][id] + k->dead_ms * (uint64_t)HEAL_MS > now_ns;
    if (2 * heard <= (uint32_t)__builtin_popcount(voters))
        world_fail(world, "node %u would replace voter %u while %u of %d voters answer", node->id,
                   voter, heard, __builtin_popcount(voters));
}

static void taken_decision(struct world *world, const struct node *node, const struct entry *entry)
{
    struct heal *h = &world->heal;
    struct entry_autopilot e;
    memcpy(&e, entry_body(entry), sizeof(e));
    char text[96];
    if (e.action == AUTOPILOT_REPLACE) {
        snprintf(text, sizeof(text), "the autopilot: %u is dead, %u takes its place", e.voter,
                 e.standby);
        timeline_text(world, TIMELINE_NOTE, node->id, text);
        if (h->open)
            world_fail(world, "index %lu: a second replacement while one is open",
                       (unsigned long)entry->index);
        if (entry->log_ns < h->config_log_ns + world->knobs.stabilise_ms * (uint64_t)HEAL_MS)
            world_fail(world, "index %lu: a replacement %.3f s after the last change",
                       (unsigned long)entry->index,
                       (double)(entry->log_ns - h->config_log_ns) / 1e9);
        h->open = true;
        h->voter = e.voter;
        h->standby = e.standby;
        h->was = e.was;
    } else if (e.action == AUTOPILOT_WITHDRAW) {
        h->open = false;
        h->withdrawals++;
    } else if (e.action == AUTOPILOT_RETURN) {
        snprintf(text, sizeof(text), "the autopilot: %u is back, and a standby", e.voter);
        timeline_text(world, TIMELINE_NOTE, node->id, text);
        if (!has(h->replaced, e.voter))
            world_fail(world, "index %lu: %u returns, which was not replaced",
                       (unsigned long)entry->index, e.voter);
        h->replaced &= ~(1u << e.voter);
        h->returns++;
    }
}

/* Votes move only by a decision, and exactly as it says. */
static void taken_config(struct world *world, const struct entry *entry)
{
    struct heal *h = &world->heal;
    const struct raft_config *was = &world->checker->config;
    const struct entry_config *now = entry_body(entry);
    uint32_t before = was->voters_new != 0 ? was->voters_new : was->voters;
    uint32_t then = now->voters_new != 0 ? now->voters_new : now->voters;
    h->config_log_ns = entry->log_ns;
    if (then != before) {
        bool decided = h->was == was->index && h->voter != 0;
        if (!decided || then != ((before & ~(1u << h->voter)) | 1u << h->standby) ||
            !has(now->learners, h->voter))
            world_fail(world, "index %lu changes the voters from %#x to %#x, which nobody decided",
                       (unsigned long)entry->index, before, then);
        h->replaced |= 1u << h->voter;
        h->replaced &= ~(1u << h->standby);
        h->replacements++;
    }
    if (now->voters_new == 0)
        h->open = false;
}

void check_heal_taken(struct world *world, const struct node *node, const struct entry *entry)
{
    if (world->knobs.standbys == 0)
        return;
    if (entry->kind == ENTRY_CONFIG)
        taken_config(world, entry);
    else if (entry->kind == ENTRY_AUTOPILOT && world->checker->outcome.status == MACHINE_SEQUENCED)
        taken_decision(world, node, entry);
}

/* Long after the faults: whoever is still away has lost its vote, if there was a standby. */
void check_heal_blackout(struct world *world)
{
    const struct heal *h = &world->heal;
    const struct raft_config *config = &world->checker->config;
    uint32_t standbys = world->checker->machine->autopilot.standbys;
    for (uint32_t id = 1; id <= world->knobs.nodes && world->knobs.standbys != 0; id++) {
        if (!h->gone[id] || !has(config->voters, id))
            continue;
        for (uint32_t other = 1; other <= world->knobs.nodes; other++)
            if (has(standbys, other) && world->node[other].up &&
                h->started_ns[other] < world->knobs.faults_until_ns + HEAL_CALM_MS * HEAL_MS)
                world_fail(world, "voter %u is gone, and standby %u has not taken its place", id,
                           other);
    }
}
