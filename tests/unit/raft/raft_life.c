/* A node's drive and its lives: what is written, what a crash leaves, what the next start finds. */
#include "consensus/ensure.h"
#include "tests/unit/raft/raft_judge.h"
#include "tests/unit/raft/raft_world.h"

#include <string.h>

static const uint64_t MS = 1000000;

static bool replaced(const struct world_node *node)
{
    return node->checkpoint > node->disk.last ||
           node->disk.entry[node->checkpoint].term != node->checkpoint_term;
}

uint64_t world_found_last(const struct world_node *node)
{
    return replaced(node) ? node->checkpoint : node->disk.last;
}

uint64_t world_found_chain(const struct world *world, const struct world_node *node, uint64_t index)
{
    const struct world_log *log = index <= node->checkpoint ? &world->committed : &node->disk;
    return log->entry[index].chain;
}

/* The last configuration of a log at or below index, with its own index. */
void world_config_at(const struct world *world, const struct world_log *log, uint64_t index,
                     struct raft_config *config)
{
    while (index > 0 && log->entry[index].config == 0)
        index--;
    *config = world->config[log->entry[index].config];
    config->index = index;
}

void world_write_records(struct world *world, struct world_node *node, uint64_t lsn)
{
    uint32_t done = 0;
    for (; done < node->record_count && node->record[done].lsn <= lsn; done++) {
        const struct world_record *r = &node->record[done];
        switch (r->kind) {
        case WORLD_HARD:
            node->disk_term = r->term;
            node->disk_vote = r->vote;
            break;
        case WORLD_TRUNCATE:
            node->disk.last = r->index - 1;
            world_forget_rot(node->rotten, r->index);
            break;
        case WORLD_INSTALL:
            world_take_committed(world, &node->disk, r->index);
            node->disk_base = r->index;
            world_forget_rot(node->rotten, 0);
            break;
        case WORLD_ENTRY:
            world_set_entry(&node->disk, r->index, r->entry.term, r->entry.value, r->entry.config);
            node->rotten[r->index] = false;
            break;
        }
        node->disk_lsn = r->lsn;
    }
    node->record_count -= done;
    memmove(&node->record[0], &node->record[done], node->record_count * sizeof(node->record[0]));
}

void world_crash(struct world *world, uint8_t id, uint64_t lsn)
{
    struct world_node *node = &world->node[id];
    ENSURE(node->up);
    world_write_records(world, node, lsn);
    node->record_count = 0;
    node->gate_count = 0;
    node->grant_term = 0;
    node->up = false;
    world->crashes++;
    world_watched(world, WORLD_CRASHED, node, NULL, 0);
}

/* The last two configurations of the log: the last proves that the other is committed. */
static void boot_configs(const struct world *world, const struct world_node *node,
                         struct raft_boot *boot)
{
    uint64_t from = node->disk_base;
    world_config_at(world, &node->disk, from, &boot->config[boot->config_count++]);
    for (uint64_t i = from + 1; i <= node->disk.last; i++) {
        if (node->disk.entry[i].config == 0)
            continue;
        boot->config_stated = i; /* the heads of pages tell */
        if (node->hidden[i])
            continue;
        boot->config[0] = boot->config[boot->config_count - 1];
        boot->config[1] = world->config[node->disk.entry[i].config];
        boot->config[1].index = i;
        boot->config_count = 2;
    }
}

void world_wipe(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    if (node->up)
        world_crash(world, id, node->raft.durable_lsn);
    node->dead_incarnation = node->incarnation;
    node->dead = node->disk;
    node->incarnation += RAFT_ID_MAX + 1;
    world->wipes++;
    node->disk.last = 0;
    node->disk_base = 0;
    world_forget_rot(node->rotten, 0);
    node->checkpoint = node->checkpoint_term = 0;
    node->disk_term = 0;
    node->disk_vote = 0;
    node->disk_lsn = 0;
    node->commit_seen = 0;
    memset(world->voted[id], 0, sizeof(world->voted[id])); /* it is another voter, if one at all */
    memset(world->voted_incarnation[id], 0, sizeof(world->voted_incarnation[id]));
    world_restart(world, id);
}

void world_restart(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    ENSURE(!node->up);
    bool anew = replaced(node);
    if (anew) { /* the start carries the installation out */
        world_take_committed(world, &node->disk, node->checkpoint);
        node->disk_base = node->checkpoint;
        world_forget_rot(node->rotten, 0);
        if (node->checkpoint_term > node->disk_term) {
            node->disk_term = node->checkpoint_term;
            node->disk_vote = 0;
        }
    }
    node->log = node->disk;
    for (uint64_t i = 1; i < WORLD_LOG_MAX; i++) /* the checkpoint's own configuration is known */
        node->hidden[i] = i > node->checkpoint && i <= node->log.last && node->rotten[i] &&
                          node->log.entry[i].config != 0;
    node->record_count = 0;
    node->gate_count = 0;
    struct raft_boot boot = {.id = id,
                             .vote = node->disk_vote,
                             .term = node->disk_term,
                             .durable_lsn = node->disk_lsn,
                             .now_ns = world->now_ns,
                             .random = world->random != 0 ? world_random(world) : id * 10 * MS,
                             .incarnation = node->incarnation,
                             .options = world->options};
    raft_log_init(&boot.log, node->disk_base + 1, node->disk.entry[node->disk_base].term);
    for (uint64_t i = node->disk_base + 1; i <= node->disk.last; i++)
        raft_log_append(&boot.log, node->disk.entry[i].term, 1);
    boot.commit = boot.log.first - 1;
    if (node->checkpoint > boot.commit)
        boot.commit = node->checkpoint;
    boot_configs(world, node, &boot);
    boot.hole = world_hole(node);
    raft_init(&node->raft, &boot);
    node->commit_seen = boot.commit;
    node->up = true;
    judge_books(world, node);
    world_watched(world, anew ? WORLD_STARTED_ANEW : WORLD_STARTED, node, NULL, 0);
}
