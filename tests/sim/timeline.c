/* Collects what a timeline is told and what it sees. */
#include "tests/sim/timeline_internal.h"

#include <stdlib.h>

enum { RARE_LIMIT = 4000000, LIST_FIRST = 1024 };

static struct world *followed; /* for timeline_aborted(): a seed has a process of its own */

struct timeline *timeline_open(struct world *world, const struct timeline_options *options)
{
    FILE *page = fopen(options->path, "wb");
    if (page == NULL)
        return NULL;
    struct timeline *t = calloc(1, sizeof(*t));
    ENSURE(t != NULL);
    t->options = *options;
    t->page = page;
    t->rare.limit = RARE_LIMIT;
    t->bulk.limit = options->limit;
    world->timeline = t;
    followed = world;
    return t;
}

bool timeline_close(struct world *world, char problem[160])
{
    struct timeline *t = world->timeline;
    bool good = timeline_write_page(world, t, problem);
    if (fclose(t->page) != 0 && good) {
        snprintf(problem, 160, "%.100s: the page could not be written whole", t->options.path);
        good = false;
    }
    for (uint32_t i = 0; i < t->text_count; i++)
        free(t->text[i]);
    free(t->text);
    free(t->rare.record);
    free(t->bulk.record);
    free(t);
    world->timeline = NULL;
    followed = NULL;
    return good;
}

void timeline_aborted(const char *file, int line, const char *condition)
{
    char text[300], problem[160];
    struct world *world = followed;
    followed = NULL; /* an ENSURE on the way must not come back here */
    if (world == NULL)
        return;
    snprintf(text, sizeof(text), "ENSURE failed at %s:%d: %s", file, line, condition);
    timeline_text(world, TIMELINE_VIOLATION, 0, text);
    if (!timeline_close(world, problem))
        fprintf(stderr, "keel-sim: %s\n", problem);
}

/* --- records --------------------------------------------------------------------------------- */

static struct timeline_record *add(struct timeline_list *list)
{
    if (list->count == list->cap && list->cap < list->limit) {
        uint64_t cap = list->cap == 0 ? LIST_FIRST : list->cap * 2;
        list->cap = cap < list->limit ? cap : list->limit;
        list->record = realloc(list->record, list->cap * sizeof(*list->record));
        ENSURE(list->record != NULL);
    }
    return &list->record[list->count++ % list->cap];
}

/* NULL: outside the window. What changes a state is kept from the beginning on, for the window
 * begins in some state. */
static struct timeline_record *begin(struct world *world, uint8_t kind, uint64_t until_ns)
{
    struct timeline *t = world->timeline;
    bool bulk = timeline_is_bulk(kind), frame = kind < TIMELINE_START;
    if (world->now_ns > t->options.to_ns && kind != TIMELINE_VIOLATION)
        return NULL;
    if ((bulk || frame) && until_ns < t->options.from_ns)
        return NULL;
    struct timeline_record *record = add(bulk ? &t->bulk : &t->rare);
    memset(record, 0, sizeof(*record));
    record->at_ns = world->now_ns;
    record->until_ns = until_ns;
    record->sequence = world->sequence;
    record->kind = kind;
    return record;
}

void timeline_take(struct world *world, enum timeline_kind kind, uint32_t endpoint, uint64_t a,
                   uint64_t b, uint64_t c)
{
    struct timeline_record *record = begin(world, (uint8_t)kind, world->now_ns);
    if (record == NULL)
        return;
    record->from = (uint8_t)endpoint;
    record->value[0] = a;
    record->value[1] = b;
    record->value[2] = c;
}

void timeline_take_text(struct world *world, enum timeline_kind kind, uint32_t endpoint,
                        const char *text)
{
    struct timeline *t = world->timeline;
    if (t->text_count == t->text_cap) {
        t->text_cap = t->text_cap == 0 ? 64 : t->text_cap * 2;
        t->text = realloc(t->text, t->text_cap * sizeof(*t->text));
        ENSURE(t->text != NULL);
    }
    t->text[t->text_count] = strdup(text);
    ENSURE(t->text[t->text_count] != NULL);
    timeline_take(world, kind, endpoint, t->text_count++, 0, 0);
}

void timeline_take_frame(struct world *world, uint32_t from, uint32_t to, const uint8_t *bytes,
                         uint32_t size, uint64_t at_ns, enum timeline_fate fate)
{
    struct timeline_record read = {0};
    timeline_read_frame(bytes, size, &read);
    struct timeline_record *record = begin(world, read.kind, at_ns);
    if (record == NULL)
        return;
    memcpy(record->value, read.value, sizeof(record->value));
    record->size = size;
    record->from = (uint8_t)from;
    record->to = (uint8_t)to;
    record->fate = (uint8_t)(fate == TIMELINE_ARRIVED     ? TIMELINE_UNDER_WAY
                             : fate == TIMELINE_DUPLICATE ? TIMELINE_DUPLICATE_UNDER_WAY
                                                          : fate);
}

void timeline_take_drive(struct world *world, const struct node *node, enum disk_op op,
                         uint64_t offset, const void *buffer, uint32_t size, uint64_t done_ns,
                         int32_t result)
{
    static const uint8_t kinds[] = {[DISK_WRITE] = TIMELINE_WRITE,
                                    [DISK_READ] = TIMELINE_READ,
                                    [DISK_ZERO] = TIMELINE_ZERO,
                                    [DISK_FLUSH] = TIMELINE_FLUSH};
    struct timeline_record *record = begin(world, kinds[op], done_ns);
    if (record == NULL)
        return;
    record->from = (uint8_t)node->id;
    record->size = size;
    record->fate = result == 0 ? TIMELINE_ARRIVED : TIMELINE_LOST;
    record->value[0] = offset / DISK_BLOCK;
    if (op == DISK_WRITE)
        timeline_read_block(buffer, record);
}

/* --- what can be seen ------------------------------------------------------------------------- */

static void look_at_role(struct world *world, struct timeline_seen *seen, const struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    if (raft->term != seen->term || raft->role != seen->role || raft->leader != seen->leader) {
        timeline_take(world, TIMELINE_ROLE, node->id, raft->role, raft->term, raft->leader);
        if (raft->term != seen->term)
            seen->vote = 0;
        seen->term = raft->term;
        seen->role = raft->role;
        seen->leader = raft->leader;
    }
    if (raft->vote != seen->vote) {
        seen->vote = raft->vote;
        timeline_take(world, TIMELINE_VOTED, node->id, raft->term, raft->vote, 0);
    }
}

static void look_at_replica(struct world *world, struct timeline_seen *seen,
                            const struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    look_at_role(world, seen, node);
    if (raft->commit != seen->commit) {
        seen->commit = raft->commit;
        timeline_take(world, TIMELINE_COMMIT, node->id, raft->commit, raft->role == RAFT_LEADER, 0);
    }
    if (raft->config.index != seen->config) {
        seen->config = raft->config.index;
        timeline_take(world, TIMELINE_CONFIG, node->id, raft->config.index,
                      raft->config.voters | (uint64_t)raft->config.voters_new << 8,
                      raft->config.learners);
    }
    if (raft->transfer.state != seen->handover || raft->transfer.to != seen->handover_to) {
        seen->handover = raft->transfer.state;
        seen->handover_to = raft->transfer.to;
        timeline_take(world, TIMELINE_HANDOVER, node->id, raft->transfer.state, raft->transfer.to,
                      raft->transfer.reason);
    }
}

static void look_at_pause(struct world *world, struct timeline_seen *seen, const struct node *node)
{
    struct timeline *t = world->timeline;
    uint64_t until = node->paused_until_ns > world->now_ns ? node->paused_until_ns : world->now_ns;
    if (node->paused_until_ns == seen->paused_until_ns)
        return;
    if (seen->paused_until_ns > world->now_ns && seen->pause < t->rare.count)
        t->rare.record[seen->pause % t->rare.cap].until_ns = world->now_ns; /* another, or none */
    seen->paused_until_ns = node->paused_until_ns;
    seen->pause = t->rare.count;
    struct timeline_record *record =
        until > world->now_ns ? begin(world, TIMELINE_PAUSE, until) : NULL;
    if (record != NULL)
        record->from = (uint8_t)node->id;
}

static void look_at_node(struct world *world, const struct node *node)
{
    struct timeline_seen *seen = &world->timeline->seen[node->id];
    bool again = node->starts != seen->starts;
    if (seen->up && (!node->up || again))
        timeline_take(world, TIMELINE_DOWN, node->id, seen->starts, 0, 0);
    look_at_pause(world, seen, node);
    if (node->up && (!seen->up || again)) {
        const struct raft *raft = &node->replica->raft;
        timeline_take(world, TIMELINE_START, node->id, node->starts, raft->term, raft->vote);
        struct timeline_seen fresh = {.starts = node->starts,
                                      .vote = raft->vote,
                                      .term = raft->term,
                                      .role = raft->role,
                                      .commit = raft->commit,
                                      .config = raft->config.index,
                                      .paused_until_ns = seen->paused_until_ns,
                                      .pause = seen->pause};
        *seen = fresh;
        timeline_take(world, TIMELINE_ROLE, node->id, raft->role, raft->term, raft->leader);
        seen->leader = raft->leader;
    }
    seen->up = node->up;
    if (node->up)
        look_at_replica(world, seen, node);
}

static void look_at_client(struct world *world, uint32_t endpoint)
{
    struct timeline_seen *seen = &world->timeline->seen[endpoint];
    uint64_t lives, until;
    if (endpoint >= ENDPOINT_HOLDER)
        holder_look(world->holder[endpoint - ENDPOINT_HOLDER], &lives, &until);
    else
        guest_look(world->guest[endpoint - ENDPOINT_GUEST], &lives, &until);
    if (lives != seen->lives) {
        seen->lives = lives;
        timeline_take(world, TIMELINE_LIFE, endpoint, lives, 0, 0);
    }
    if (until == seen->asleep_until_ns)
        return;
    seen->asleep_until_ns = until;
    struct timeline_record *record = begin(world, TIMELINE_SLEEP, until);
    if (record == NULL)
        return;
    record->from = (uint8_t)endpoint;
    if (until < world->now_ns) /* it is woken */
        record->until_ns = world->now_ns;
}

/* A lease runs out without an event: looked at after each. */
static void look_at_beliefs(struct world *world)
{
    for (uint32_t i = 0; i < world->knobs.holders; i++) {
        struct timeline_seen *seen = &world->timeline->seen[ENDPOINT_HOLDER + i];
        for (uint32_t path = 0; path < HOLD_PATHS; path++) {
            uint64_t generation = 0;
            uint8_t mode = holder_believes(world->holder[i], path, 0);
            if (mode == seen->believes[path])
                continue;
            seen->believes[path] = mode;
            if (mode != LOCK_FREE)
                generation = holder_generation(world->holder[i], path);
            timeline_take(world, TIMELINE_HOLDS, ENDPOINT_HOLDER + i, path, mode, generation);
        }
    }
}

static void look_at_cuts(struct world *world)
{
    struct timeline *t = world->timeline;
    uint16_t cut[ENDPOINTS] = {0};
    for (uint32_t a = 0; a < ENDPOINTS; a++)
        for (uint32_t b = 0; b < ENDPOINTS; b++)
            cut[a] = (uint16_t)(cut[a] | world->cut[a][b] << b);
    if (memcmp(cut, t->cut, sizeof(cut)) == 0)
        return;
    memcpy(t->cut, cut, sizeof(cut));
    struct timeline_record *record = begin(world, TIMELINE_CUT, world->now_ns);
    for (uint32_t a = 0; record != NULL && a < ENDPOINTS; a++)
        record->value[a / 3] |= (uint64_t)cut[a] << (a % 3 * 16);
}
_Static_assert(ENDPOINTS <= 16 && ENDPOINTS <= 3 * TIMELINE_VALUES,
               "a mask for each endpoint, three to a value: a page's numbers have 53 bits");

/* The frame that this event delivered: who was there? */
static void look_at_arrival(struct world *world, const struct event *event)
{
    struct timeline *t = world->timeline;
    bool client = event->target >= ENDPOINT_GUEST;
    bool there = client ? t->seen[event->target].asleep_until_ns <= world->now_ns
                        : world->node[event->target].up;
    struct timeline_list *lists[] = {&t->rare, &t->bulk};
    for (uint32_t l = 0; l < 2; l++) {
        struct timeline_list *list = lists[l];
        uint64_t high = list->count, low = high > list->cap ? high - list->cap : 0;
        while (low < high) {
            uint64_t middle = low + (high - low) / 2;
            if (list->record[middle % list->cap].sequence < event->sequence)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < list->count; low++) {
            struct timeline_record *r = &list->record[low % list->cap];
            if (r->sequence != event->sequence)
                break;
            if (r->fate == TIMELINE_UNDER_WAY)
                r->fate = there ? TIMELINE_ARRIVED : TIMELINE_NOBODY;
            else if (r->fate == TIMELINE_DUPLICATE_UNDER_WAY)
                r->fate = there ? TIMELINE_DUPLICATE : TIMELINE_DUPLICATE_NOBODY;
        }
    }
}

static void look_at_all(struct world *world)
{
    look_at_cuts(world);
    for (uint32_t id = 1; id <= NODES_MAX; id++)
        look_at_node(world, &world->node[id]);
    for (uint32_t i = 0; i < world->knobs.guests; i++)
        look_at_client(world, ENDPOINT_GUEST + i);
    for (uint32_t i = 0; i < world->knobs.holders; i++)
        look_at_client(world, ENDPOINT_HOLDER + i);
}

void timeline_look(struct world *world, const struct event *event)
{
    struct timeline *t = world->timeline;
    switch ((enum event_kind)event->kind) {
    case EVENT_FRAME:
        look_at_arrival(world, event);
        if (event->target >= ENDPOINT_GUEST)
            look_at_client(world, event->target);
        break;
    case EVENT_GUEST:
        look_at_client(world, ENDPOINT_GUEST + event->target);
        break;
    case EVENT_HOLDER:
        look_at_client(world, ENDPOINT_HOLDER + event->target);
        break;
    case EVENT_TURN:
        look_at_node(world, &world->node[event->target]);
        break;
    case EVENT_CALM:
    case EVENT_BLACKOUT:
    case EVENT_QUIET:
        timeline_take(world, TIMELINE_PHASE, 0,
                      event->kind == EVENT_CALM       ? 0
                      : event->kind == EVENT_BLACKOUT ? 1
                                                      : 2,
                      0, 0);
        look_at_all(world);
        break;
    case EVENT_SCRIPT:
    case EVENT_CRASH:
    case EVENT_RESTART:
    case EVENT_HEAL:
    case EVENT_DAY:
    case EVENT_READ:
    case EVENT_TRANSFER:
    case EVENT_STRIKE:
    case EVENT_REPLACE:
    case EVENT_STANDBY:
    case EVENT_GONE:
    case EVENT_BACK:
    case EVENT_LIVE:
    case EVENT_MEMBERS:
        look_at_all(world);
        break;
    }
    look_at_beliefs(world);
    if (world->installs != t->installs && event->kind == EVENT_TURN)
        timeline_take(world, TIMELINE_INSTALL, event->target, t->seen[event->target].commit, 0, 0);
    t->installs = world->installs;
}
