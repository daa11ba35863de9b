/* Checkpoints of control's machine: when enough of the ring is not covered by one, or after some
 * time. Two are kept; what seq is told is the older of two that were read back and verified, and
 * each is written only within the local durable position (H14).
 */
#include "control/control_internal.h"

#include <errno.h>
#include <string.h>

void checkpoint_init(struct control *c, const struct ring_recovery *found)
{
    if (!found->have_checkpoint)
        return;
    for (unsigned i = 0; i < 2; i++) {
        const struct ring_checkpoint *head = &found->checkpoint[i];
        c->checkpoint_index[i] = head->magic == RING_CHECKPOINT_MAGIC ? head->index : 0;
    }
    c->checkpoint_sequence = found->checkpoint[0].sequence;
    c->checkpoint_page = found->checkpoint[0].page;
    c->checkpoint_area = found->checkpoint_area[0] ^ 1;
    c->checkpoint_alone =
        found->checkpoint[0].installed != 0 && c->checkpoint_index[1] != c->checkpoint_index[0];
    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[1]);
    if (found->checkpoint[0].installed == 0 || c->machine->applied != c->checkpoint_index[0])
        return;
    c->status.installed_index = c->checkpoint_index[0];
    c->status.installed_feed = c->machine->feed_next;
    memcpy(c->status.installed_day, c->machine->day, sizeof(c->status.installed_day));
}

/* The ring is fuller than its head leaves it where checkpoints keep up: slots / 4 free, see
 * move_head(). */
static bool short_of_slots(const struct control *c)
{
    struct ring_stats s;
    ring_stats(c->replica->ring, &s);
    return s.tail_page - s.head_page > s.slots - s.slots / CONTROL_CHECKPOINT_SHARE;
}

/* The head follows the older checkpoint. Where nothing can be appended for want of slots, nothing
 * new is applied either: then the second one is of the same index, or the head would stand for
 * ever (H8). */
static bool due(const struct control *c)
{
    if (c->now_ns < c->checkpoint_not_before_ns)
        return false;
    /* The other area was damaged: not even a newer one is needed to have two again. */
    if ((c->scrub.bad_areas >> c->checkpoint_area & 1) != 0 && c->machine->applied > 0)
        return true;
    if (c->machine->applied <= c->checkpoint_index[1])
        return false;
    if (short_of_slots(c))
        return true;
    if (c->machine->applied <= c->checkpoint_index[0])
        return false;
    if (c->checkpoint_wanted > c->checkpoint_index[0])
        return true;
    if (c->page >= c->checkpoint_page + c->options.checkpoint_pages)
        return true;
    return c->now_ns >= c->checkpoint_at_ns + c->options.checkpoint_ms * 1000000ull;
}

static int write_checkpoint(struct control *c, size_t machine_size, size_t size)
{
    struct ring_checkpoint head = {.replica = c->super.replica,
                                   .incarnation = c->super.incarnation,
                                   .cluster_id = c->options.cluster_id,
                                   .index = c->machine->applied,
                                   .term = c->machine->applied_term,
                                   .chain = c->chain,
                                   .lsn = c->durable_lsn,
                                   .page = c->page,
                                   .size = size,
                                   .machine_size = machine_size,
                                   .digest = c->machine->digest,
                                   .sequence = c->checkpoint_sequence + 1};
    return ring_control_checkpoint_write(c->replica->ring, c->options.disk, c->checkpoint_area,
                                         &head, c->checkpoint_bytes, size);
}

static void written(struct control *c, uint64_t index, uint64_t page)
{
    repairing_written(c, c->checkpoint_area);
    c->checkpoint_index[1] = c->checkpoint_index[0];
    c->checkpoint_index[0] = index;
    c->checkpoint_page = page;
    c->checkpoint_sequence++;
    c->checkpoint_area ^= 1;
    c->checkpoint_at_ns = c->now_ns;
    c->checkpoint_not_before_ns = c->now_ns + CONTROL_CHECKPOINT_GAP_MS * 1000000ull;
}

/* As many as the area has room for; a few are usual, none is needed to start. */
static size_t encode_exceptions(struct control *c, size_t machine_size)
{
    size_t area = (c->super.checkpoint_blocks - 1) * RING_PAGE_SIZE;
    size_t cap = c->checkpoint_cap < area ? c->checkpoint_cap : area;
    if (cap <= machine_size)
        return 0;
    return feed_exceptions_encode(c->exceptions, c->checkpoint_bytes + machine_size,
                                  cap - machine_size);
}

static void take_checkpoint(struct control *c)
{
    repairing_look_at_checkpoints(c); /* it takes the place of one: let the other be good */
    size_t size = machine_encode(c->machine, c->checkpoint_bytes, c->checkpoint_cap);
    ENSURE(size > 0);
    size_t machine_size = size;
    size += encode_exceptions(c, size);
    int rc = write_checkpoint(c, machine_size, size);
    if (rc != 0) {
        bool lags = rc == -ERANGE; /* the drive, behind what it will hold soon: not a fault */
        uint64_t pause_ms = lags ? CONTROL_CHECKPOINT_GAP_MS : CONTROL_CHECKPOINT_RETRY_MS;
        c->checkpoint_not_before_ns = c->now_ns + pause_ms * 1000000ull;
        if (lags)
            return;
        c->status.checkpoint_failures++;
        control_unwell(c, PART_CHECKPOINT,
                       "checkpoint of index %llu could not be written: %s: the ring's head stands "
                       "still until one can",
                       (unsigned long long)c->machine->applied, strerror(-rc));
        return;
    }
    written(c, c->machine->applied, c->page);
    /* seq has that state too. A peer's checkpoint covers nothing before seq has taken it over:
     * without the hole that it is to repair seq would not (step_install()). */
    if (c->machine->applied <= c->seen.applied)
        ring_control_covered(c->replica->ring, c->machine->applied);
    receiving_lost_area(c);
    c->checkpoint_alone = false;
    c->status.checkpoints++;
    c->status.checkpoint_bytes = size;
    /* The head may move behind the older one: what is behind the newer alone must stay readable
     * (H14). */
    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[1]);
    control_well(c, PART_CHECKPOINT);
}

int checkpoint_store_peers(struct control *c, const struct packet_checkpoint_id *id, void *bytes)
{
    int rc = 0;
    for (uint32_t copy = 0; copy < 2 && rc == 0; copy++) {
        struct ring_checkpoint head = {.replica = c->super.replica,
                                       .incarnation = c->super.incarnation,
                                       .cluster_id = c->options.cluster_id,
                                       .index = id->index,
                                       .term = id->term,
                                       .chain = id->chain,
                                       .machine_size = id->size,
                                       .digest = id->digest,
                                       .sequence = c->checkpoint_sequence + 1};
        rc = ring_control_checkpoint_install(c->replica->ring, c->options.disk, c->checkpoint_area,
                                             &head, bytes, id->size);
        if (rc == 0)
            written(c, id->index, head.page);
    }
    c->checkpoint_alone = rc != 0 && c->checkpoint_index[0] == id->index;
    return rc;
}

/* A crash came between the two copies of a peer's checkpoint, or the second could not be written.
 */
static void copy_peers(struct control *c)
{
    struct ring_checkpoint head;
    int64_t size = ring_checkpoint_read(c->options.disk, &c->super, c->checkpoint_area ^ 1, &head,
                                        c->checkpoint_bytes, c->checkpoint_cap);
    int rc = size < 0 ? (int)size : 0;
    head.sequence = c->checkpoint_sequence + 1;
    if (rc == 0)
        rc = ring_control_checkpoint_install(c->replica->ring, c->options.disk, c->checkpoint_area,
                                             &head, c->checkpoint_bytes, (size_t)size);
    if (rc != 0) {
        c->checkpoint_not_before_ns = c->now_ns + CONTROL_CHECKPOINT_RETRY_MS * 1000000ull;
        return;
    }
    written(c, head.index, head.page);
    c->checkpoint_alone = false;
    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[1]);
}

uint32_t checkpoint_turn(struct control *c)
{
    if (c->checkpoint_at_ns == 0)
        c->checkpoint_at_ns = c->now_ns; /* the first turn: the period begins */
    if (receiving_holds_area(c))
        return 0;
    if (c->checkpoint_alone && c->now_ns >= c->checkpoint_not_before_ns) {
        copy_peers(c);
        return 1;
    }
    if (!due(c))
        return 0;
    take_checkpoint(c);
    return 1;
}
