/* disk.h on memory: writes take time, a crash tears what is in flight, sector by sector. */
#include "tests/sim/reached.h"
#include "tests/sim/timeline.h"

#include "dataplane/crc32c.h"

#include <errno.h>
#include <stdlib.h>

enum { SECTOR = 512, SEAM_DEATHS = 32 };

struct operation {
    enum disk_op op;
    uint64_t offset, tag, done_ns;
    void *buffer;
    uint32_t size;
    int32_t result;
    uint32_t crc; /* of what is to be written: it must stand still */
};

struct disk {
    struct world *world;
    struct node *node;
    uint32_t count;
    struct operation operation[DISK_DEPTH_MAX];
};

struct disk *sim_disk_open(struct world *world, struct node *node)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    ENSURE(disk != NULL);
    disk->world = world;
    disk->node = node;
    for (uint32_t i = 0; i < 4; i++)
        if (node->media.open[i] == NULL) {
            node->media.open[i] = disk;
            return disk;
        }
    ENSURE(false);
}

static void place_sector(struct disk *disk, const struct operation *o, uint32_t sector)
{
    uint8_t *to = disk->node->media.bytes + o->offset + (uint64_t)sector * SECTOR;
    if (o->op == DISK_WRITE)
        memcpy(to, (const uint8_t *)o->buffer + (size_t)sector * SECTOR, SECTOR);
    else if (o->op == DISK_ZERO)
        memset(to, 0, SECTOR);
}

/* What was in flight reached the drive in part: all, none, or any subset of its sectors. */
static void tear(struct disk *disk, const struct operation *o)
{
    uint64_t *rng = &disk->world->rng_disk;
    uint32_t sectors = o->size / SECTOR, written = 0;
    if (o->op != DISK_WRITE && o->op != DISK_ZERO)
        return;
    uint32_t mode = (uint32_t)random_below(rng, 3);
    for (uint32_t s = 0; s < sectors; s++)
        if (mode == 1 || (mode == 2 && random_below(rng, 2) == 0)) {
            place_sector(disk, o, s);
            written++;
        }
    if (o->op == DISK_ZERO)
        return;
    /* A page whose missing sectors are zeros is whole all the same: the ring ahead was zero. */
    const uint8_t *media = disk->node->media.bytes + o->offset;
    bool whole = memcmp(media, o->buffer, o->size) == 0;
    if (whole)
        check_drive_write(disk->world, disk->node, o->offset, o->size);
    else
        world_fault(disk->world, written == 0 ? FAULT_LOST_WRITE : FAULT_TORN_SECTOR);
    if (!whole)
        REACHED(torn, disk->world, disk->node, o->buffer);
    if (!whole)
        timeline_mark(disk->world, TIMELINE_TORN, disk->node->id, written, sectors,
                      o->offset / DISK_BLOCK);
}

void sim_disk_crash(struct node *node)
{
    struct world *world = NULL;
    bool zeroing = false;
    for (uint32_t i = 0; i < 4; i++) {
        struct disk *disk = node->media.open[i];
        if (disk == NULL)
            continue;
        for (uint32_t o = 0; o < disk->count; o++) {
            tear(disk, &disk->operation[o]);
            zeroing = zeroing || disk->operation[o].op == DISK_ZERO;
        }
        world = disk->world;
        free(disk);
        node->media.open[i] = NULL;
    }
    if (world != NULL)
        REACHED(cut_off, world, node, zeroing);
    check_drive_crashed(node);
}

const void *sim_disk_in_flight(const struct node *node, uint64_t offset)
{
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t o = 0; node->media.open[i] != NULL && o < node->media.open[i]->count; o++) {
            const struct operation *operation = &node->media.open[i]->operation[o];
            if (operation->op == DISK_WRITE && operation->offset == offset)
                return operation->buffer;
        }
    return NULL;
}

uint64_t sim_disk_due_ns(const struct node *node)
{
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t o = 0; node->media.open[i] != NULL && o < node->media.open[i]->count; o++)
            if (node->media.open[i]->operation[o].done_ns < due)
                due = node->media.open[i]->operation[o].done_ns;
    return due;
}

void disk_facts(const struct disk *disk, struct disk_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    facts->size = disk->node->media.size;
    strcpy(facts->mode, "simulator");
    facts->known = true;
}

/* Is this the operation that is to fail? */
static bool planned(struct disk *disk, enum plan_op what)
{
    struct disk_plan *plan = &disk->world->plan;
    if (plan->node != disk->node->id || !plan->armed || disk->world->now_ns >= plan->until_ns)
        return false;
    if (++plan->count != plan->nth)
        return false;
    plan->failed = what;
    plan->in_start = !disk->node->up;
    return true;
}

static enum plan_op plan_op(enum disk_op op)
{
    static const enum plan_op ops[] = {[DISK_WRITE] = PLAN_WRITE,
                                       [DISK_ZERO] = PLAN_ZERO,
                                       [DISK_READ] = PLAN_READ,
                                       [DISK_FLUSH] = PLAN_FLUSH};
    return ops[op];
}

/* Power fails more often while a page of the ring's first or last slot is written in a later lap: a
 * state that chance alone makes too rarely. The draw has a stream of its own. */
static void endanger_seam(struct disk *disk, uint64_t offset, const void *buffer, uint64_t takes)
{
    struct world *world = disk->world;
    const struct ring_page *page = buffer;
    uint64_t rng = world->seed ^ world->now_ns, slots = disk->node->super.slots;
    if (slots == 0 || offset < ring_slot_offset(&disk->node->super, 0) ||
        page->magic != RING_PAGE_MAGIC || page->page < slots || (page->page + 1) % slots > 1 ||
        !knobs_on(&world->knobs, FAULT_CRASH) || world->now_ns >= world->knobs.faults_until_ns ||
        world->now_ns < world->spared_until_ns || random_below(&rng, SEAM_DEATHS) != 0)
        return;
    world_event(world, world->now_ns + random_below(&rng, takes), EVENT_CRASH, disk->node->id,
                disk->node->starts);
    world_fault(world, FAULT_CRASH);
}

int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer, uint32_t size,
                uint64_t tag)
{
    struct world *world = disk->world;
    struct knobs *k = &world->knobs;
    if (disk->count == DISK_DEPTH_MAX)
        return -EBUSY;
    ENSURE(offset % DISK_BLOCK == 0 && size % DISK_BLOCK == 0);
    ENSURE(offset + size <= disk->node->media.size);
    uint64_t takes = random_between(&world->rng_disk, k->write_min_ns, k->write_max_ns) *
                     disk->node->media.slow_factor;
    struct operation *o = &disk->operation[disk->count++];
    *o = (struct operation){op, offset, tag, world->now_ns + takes, buffer, size, 0};
    o->crc = op == DISK_WRITE ? crc32c(buffer, size) : 0;
    if (planned(disk, plan_op(op))) {
        o->result = -EIO;
        disk->node->write_failed = op == DISK_WRITE || op == DISK_ZERO;
    }
    if (op == DISK_WRITE && random_chance(&world->rng_disk, k->failed_write_ppm)) {
        o->result = -EIO;
        disk->node->write_failed = true;
        world_fault(world, FAULT_FAILED_WRITE);
    }
    if (op == DISK_WRITE && disk->node->crash_on_write) {
        disk->node->crash_on_write = false;
        world_event(world, world->now_ns + random_below(&world->rng_fault, takes + 1), EVENT_CRASH,
                    disk->node->id, disk->node->starts);
    }
    if (op == DISK_WRITE)
        endanger_seam(disk, offset, buffer, takes);
    timeline_drive(world, disk->node, op, offset, buffer, size, o->done_ns, o->result);
    node_wake(world, disk->node, o->done_ns);
    return 0;
}

int disk_kick(struct disk *disk)
{
    (void)disk;
    return 0;
}

static bool unreadable(const struct media *media, uint64_t offset, uint64_t size);
static void written(struct media *media, uint64_t offset, uint64_t size);

static void complete(struct disk *disk, const struct operation *o)
{
    if (o->op != DISK_READ)
        written(&disk->node->media, o->offset, o->size);
    if (o->op == DISK_WRITE && crc32c(o->buffer, o->size) != o->crc)
        world_fail(disk->world, "node %u changes a page while its write is in flight",
                   disk->node->id);
    for (uint32_t s = 0; s < o->size / SECTOR; s++)
        place_sector(disk, o, s);
    if (o->op == DISK_WRITE)
        check_drive_write(disk->world, disk->node, o->offset, o->size);
    else if (o->op == DISK_READ)
        memcpy(o->buffer, disk->node->media.bytes + o->offset, o->size);
}

uint32_t disk_reap(struct disk *disk, struct disk_done *done, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < disk->count && count < max;) {
        struct operation *o = &disk->operation[i];
        if (o->done_ns > disk->world->now_ns) {
            i++;
            continue;
        }
        if (o->op == DISK_READ && unreadable(&disk->node->media, o->offset, o->size)) {
            done[count++] = (struct disk_done){o->tag, -EIO};
            *o = disk->operation[--disk->count];
            continue;
        }
        if (o->result == 0)
            complete(disk, o);
        else
            disk->world->plan.told = disk->world->plan.failed != PLAN_NONE;
        if (o->result != 0)
            tear(disk, o); /* a failed write, too, may have got there in part, or wholly */
        done[count++] = (struct disk_done){o->tag, o->result};
        *o = disk->operation[--disk->count];
    }
    return count;
}

static bool unreadable(const struct media *media, uint64_t offset, uint64_t size)
{
    return media->bad_size > 0 && offset < media->bad_from + media->bad_size &&
           media->bad_from < offset + size;
}

/* What is written over a bad place is remapped by the drive. */
static void written(struct media *media, uint64_t offset, uint64_t size)
{
    if (offset <= media->bad_from && media->bad_from + media->bad_size <= offset + size)
        media->bad_size = 0;
}

int disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size)
{
    if (offset + size > disk->node->media.size || planned(disk, PLAN_PREAD) ||
        unreadable(&disk->node->media, offset, size))
        return -EIO;
    memcpy(buffer, disk->node->media.bytes + offset, size);
    return 0;
}

int disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size)
{
    if (offset + size > disk->node->media.size || planned(disk, PLAN_PWRITE))
        return -EIO;
    check_drive_block(disk->world, disk->node, buffer);
    written(&disk->node->media, offset, size);
    memcpy(disk->node->media.bytes + offset, buffer, size);
    strikes_written(disk->world, disk->node, offset);
    return 0;
}

int disk_flush(struct disk *disk)
{
    return planned(disk, PLAN_FLUSH) ? -EIO : 0;
}

int disk_open(struct disk **disk, const struct disk_options *options, char *problem)
{
    (void)options;
    *disk = NULL;
    strcpy(problem, "the simulator opens its drives itself");
    return -ENOENT;
}

void disk_close(struct disk *disk)
{
    (void)disk;
} /* closed with its node's crash */
