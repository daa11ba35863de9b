/* The log cursor: asks seq where committed, durable entries lie, reads those pages back from the
 * drive, and feeds control's own machine. It lags, it never holds seq back; what was overwritten
 * meanwhile is asked for anew.
 */
#include "control/control_internal.h"

#include <string.h>

uint32_t cursor_turn(struct control *c)
{
    if (c->asked_ns != 0) {
        if (c->now_ns < c->asked_ns + CONTROL_SPANS_LOST_MS * 1000000ull)
            return 0;
        c->asked_ns = 0; /* the notice link was full */
    }
    uint64_t end =
        c->seen.applied < c->seen.durable_index ? c->seen.applied : c->seen.durable_index;
    if (c->machine->applied >= end || c->now_ns < c->next_ask_ns)
        return 0;
    struct command *command = control_command(c, COMMAND_SPANS);
    if (command == NULL)
        return 0;
    command->index = c->machine->applied + 1;
    control_command_send(c);
    c->asked_ns = c->now_ns;
    return 1;
}

/* True if every entry first..last of the page was applied, or had been before. */
static bool feed_page(struct control *c, const struct log_span *span, const uint8_t *bytes)
{
    const struct ring_page *head = (const struct ring_page *)bytes;
    struct ring_owner owner = {.cluster_id = c->options.cluster_id,
                               .incarnation = c->super.incarnation,
                               .slots = c->super.slots,
                               .replica = (uint8_t)c->super.replica};
    uint32_t bad;
    if (ring_page_judge(bytes, &owner, span->page % c->super.slots, &bad) != RING_PAGE_GOOD ||
        head->page != span->page)
        return false;
    const uint8_t *at = bytes + RING_HEAD_SIZE;
    for (uint32_t i = 0; i < ring_page_present(head); i++) {
        const struct entry *entry = (const struct entry *)at;
        at += entry->size;
        if (entry->index != c->machine->applied + 1 || entry->index > span->last)
            continue;
        if (i == 0 && head->self.chain_before != c->chain)
            return false;
        c->chain = ring_chain_next(c->chain, entry);
        c->page = span->page;
        machine_apply(c->machine, entry, &c->outcome);
        feed_exceptions_applied(c->exceptions, c->machine, entry, &c->outcome);
        digests_applied(c);
        sessions_applied(c, entry);
        due_applied(c);
        requests_applied(c, entry);
    }
    return c->machine->applied >= span->last;
}

/* Reads pages span[0..] into `bytes`: those that follow each other on the drive at one go, since a
 * read costs a wait each. Returns how many were read, 0 if the first can't be. */
static uint32_t read_pages(struct control *c, const struct log_span *span, uint32_t count,
                           uint8_t *bytes)
{
    uint64_t offset = ring_slot_offset(&c->super, span->page);
    uint32_t run = 1;
    while (run < count && span[run].page == span->page + run &&
           ring_slot_offset(&c->super, span[run].page) == offset + (uint64_t)run * RING_PAGE_SIZE)
        run++;
    int rc = disk_pread(c->options.disk, offset, bytes, (size_t)run * RING_PAGE_SIZE);
    if (rc != 0 && run > 1) { /* one of them is damaged: those before it can still be had */
        run = 1;
        rc = disk_pread(c->options.disk, offset, bytes, RING_PAGE_SIZE);
    }
    return rc == 0 ? run : 0;
}

void cursor_spans(struct control *c, const struct notice *notice)
{
    c->asked_ns = 0;
    c->next_ask_ns = c->now_ns;
    uint32_t count = notice->size;
    uint32_t have = 0; /* pages read so far */
    ENSURE(count <= NOTICE_SPANS);
    for (uint32_t i = 0; i < count; i++) {
        const struct log_span *span = &notice->u.spans.span[i];
        uint8_t *bytes = c->page_bytes + (size_t)i * RING_PAGE_SIZE;
        if (have == i) {
            have += read_pages(c, span, count - i, bytes);
            c->status.pages_read += have - i;
        }
        if (have == i || !feed_page(c, span, bytes)) {
            c->status.read_errors++;
            repairing_damaged(c, span->page);
            control_unwell(c, PART_CURSOR,
                           "page %llu of the log (index %llu on) could not be read back: it is "
                           "fetched from the other replicas; if this stays, check the drive",
                           (unsigned long long)span->page, (unsigned long long)span->first);
            c->next_ask_ns = c->now_ns + CONTROL_SPANS_LOST_MS * 1000000ull;
            return;
        }
    }
    if (count == 0)
        c->next_ask_ns = c->now_ns + CONTROL_SPANS_MS * 1000000ull;
    else
        c->durable_lsn = notice->u.spans.durable_lsn;
    control_well(c, PART_CURSOR);
}
