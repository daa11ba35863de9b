/* The scrub: every page that the ring keeps is read back and judged, in turns, at a bounded rate,
 * by way of aux; after each pass the two copies of superblock, genesis and checkpoint are. What is
 * bad is told to seq, which has it fetched from peers, or is made anew from the copy that is good.
 * And control's part of a repair: seq has gathered a page, which is proven and written here, on a
 * thread that may wait for the drive.
 */
#include "control/control_internal.h"
#include "dataplane/ring/restore.h"

#include <errno.h>
#include <string.h>

enum { BILLION = 1000000000 };

void repairing_init(struct control *c, const struct ring_recovery *found)
{
    c->scrub.next = found->head_page;
    if (!found->have_checkpoint)
        return;
    /* An area that holds neither a checkpoint nor zeros; with one intact it is the other one. */
    if (found->bad_checkpoints > 0)
        c->scrub.bad_areas = 1u << (found->checkpoint_area[0] ^ 1);
}

void repairing_damaged(struct control *c, uint64_t page)
{
    struct command *command = control_command(c, COMMAND_DAMAGED);
    if (command == NULL)
        return; /* the scrub finds it again */
    command->index = page;
    control_command_send(c);
    c->status.scrub_bad++;
}

void repairing_written(struct control *c, unsigned area)
{
    if ((c->scrub.bad_areas >> area & 1) != 0)
        c->status.copies_repaired++;
    c->scrub.bad_areas &= ~(1u << area);
}

/* --- the two copies ----------------------------------------------------------------------------
 */

/* An area that lost its checkpoint takes the next one, at once, as long as the other one stands. */
void repairing_look_at_checkpoints(struct control *c)
{
    if (receiving_holds_area(c))
        return;
    uint32_t bad = 0;
    for (unsigned area = 0; area < 2; area++) {
        bool newest = area == (c->checkpoint_area ^ 1u);
        if (c->checkpoint_index[newest ? 0 : 1] == 0)
            continue; /* none was written */
        int result = ring_checkpoint_intact(c->options.disk, &c->super, area);
        /* Zeros are no checkpoint either, unless a peer's was to come there and did not. */
        if (result == -EBADMSG || (result == -ENOENT && c->receive.state == RECEIVE_NOTHING))
            bad |= 1u << area;
    }
    if (bad == 0)
        return;
    c->scrub.bad_areas = bad;
    if (bad == 3)
        control_unwell(c, PART_REPAIR, "both checkpoints are damaged: new ones are written");
    /* the next goes to the older; if that is the one that stands, the newest is the bad one */
    if (bad == 1u << (c->checkpoint_area ^ 1u)) {
        c->checkpoint_area ^= 1;
        uint64_t index = c->checkpoint_index[0];
        c->checkpoint_index[0] = c->checkpoint_index[1];
        c->checkpoint_index[1] = index;
    }
}

static void look_at_copies(struct control *c)
{
    char why[DISK_PROBLEM_SIZE] = "";
    int repaired = ring_copies_look(c->options.disk, &c->super, why);
    if (repaired < 0)
        control_unwell(c, PART_REPAIR, "superblock or genesis record: %s", why);
    else
        c->status.copies_repaired += (uint64_t)repaired;
    repairing_look_at_checkpoints(c);
}

/* --- the scrub ---------------------------------------------------------------------------------
 */

/* A tenth of a second's pages can gather, no more; one always can. */
static void refill(struct control *c)
{
    struct control_scrub *scrub = &c->scrub;
    uint64_t rate = c->options.scrub_pages_s;
    uint64_t elapsed_ns = c->now_ns - scrub->allowed_ns;
    if (elapsed_ns > BILLION)
        elapsed_ns = BILLION;
    scrub->allowed_ns = c->now_ns;
    scrub->allowance += elapsed_ns * rate;
    uint64_t most = (rate / 10 > 1 ? rate / 10 : 1) * BILLION;
    if (scrub->allowance > most)
        scrub->allowance = most;
}

static uint32_t ask_pages(struct control *c)
{
    struct control_scrub *scrub = &c->scrub;
    struct ring *ring = c->replica->ring;
    uint32_t asked = 0;
    refill(c);
    while (scrub->allowance >= BILLION && scrub->in_flight < CONTROL_SCRUB_IN_FLIGHT) {
        uint64_t head = ring_head_page(ring);
        if (scrub->next < head)
            scrub->next = head;
        if (scrub->next >= ring_durable_page(ring)) { /* the end: from the head on again */
            if (scrub->in_flight > 0)
                break;
            c->status.scrub_passes++;
            scrub->next = head;
            scrub->allowance = 0;
            look_at_copies(c);
            break;
        }
        if (!ring_read_page(ring, RING_READER_CONTROL, scrub->next, scrub->next))
            break;
        scrub->next++;
        scrub->in_flight++;
        scrub->allowance -= BILLION;
        asked++;
    }
    c->status.scrub_page = scrub->next;
    return asked;
}

static uint32_t take_pages(struct control *c)
{
    struct ring *ring = c->replica->ring;
    struct ring_read read;
    uint32_t work = 0;
    uint64_t page;
    while (c->scrub.in_flight > 0 && ring_read_poll(ring, RING_READER_CONTROL, &read)) {
        c->status.scrubbed++;
        c->scrub.in_flight--;
        if (read.result == -EIO)
            repairing_damaged(c, read.tag);
        ring_read_release(ring, RING_READER_CONTROL, &read);
        work++;
    }
    if (ring_control_suspect(ring, &page)) /* somebody else's reread */
        repairing_damaged(c, page);
    return work;
}

/* --- a page written anew -----------------------------------------------------------------------
 */

static uint32_t restore(struct control *c)
{
    struct repair_job *job = repair_job(c->replica);
    if (job == NULL)
        return 0;
    struct ring_page *page = (struct ring_page *)(void *)c->scrub.page_bytes;
    job->result = ring_restore(c->options.disk, &c->super, c->options.cluster_id, &job->live,
                               job->entries, job->bytes, ring_durable_page(c->replica->ring), page);
    if (job->result == 0) {
        memcpy(job->page, page, RING_PAGE_SIZE);
        control_well(c, PART_REPAIR);
    } else {
        c->status.restore_failures++;
        control_unwell(c, PART_REPAIR, "page %llu is damaged and could not be written anew: %s",
                       (unsigned long long)job->live.page,
                       job->result == -EBADMSG   ? "what the peers sent is not what it held"
                       : job->result == -ENODATA ? "no page behind it says what it was"
                                                 : strerror(-job->result));
    }
    repair_job_done(c->replica);
    return 1;
}

uint32_t repairing_turn(struct control *c)
{
    c->status.checkpoints_bad = (uint32_t)__builtin_popcount(c->scrub.bad_areas);
    uint32_t work = restore(c);
    work += take_pages(c);
    if (!c->seen.stopped && !c->seen.failed)
        work += ask_pages(c);
    return work;
}
