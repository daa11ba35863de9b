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
    for (uint32_t i = 0; i < head->self.count; i++) {
        const struct entry *entry = (const struct entry *)at;
        at += entry->size;
        if (entry->index != c->machine->applied + 1 || entry->index > span->last)
            continue;
        if (i == 0 && head->self.chain_before != c->chain)
            return false;
        c->chain = ring_chain_next(c->chain, entry);
        c->page = span->page;
        machine_apply(c->machine, entry, &c->outcome);
        sessions_applied(c, entry);
        requests_applied(c, entry);
    }
    return c->machine->applied >= span->last;
}

void cursor_spans(struct control *c, const struct notice *notice)
{
    c->asked_ns = 0;
    c->next_ask_ns = c->now_ns;
    uint32_t count = notice->size;
    ENSURE(count <= NOTICE_SPANS);
    for (uint32_t i = 0; i < count; i++) {
        const struct log_span *span = &notice->u.spans.span[i];
        uint8_t *bytes = c->page_bytes + (size_t)i * RING_PAGE_SIZE;
        int rc = disk_pread(c->options.disk, ring_slot_offset(&c->super, span->page), bytes,
                            RING_PAGE_SIZE);
        if (rc == 0)
            c->status.pages_read++;
        if (rc != 0 || !feed_page(c, span, bytes)) {
            c->status.read_errors++;
            control_unwell(c, PART_CURSOR,
                           "page %llu of the log (index %llu on) could not be read back: if this "
                           "stays, check the drive with `keelctl ring verify`",
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
