/* Committed entries go through the machine; feed items and results come out. Every replica does
 * this alike; only the leader answers.
 */
#include "dataplane/replica.h"

#include <string.h>

static struct feed_item item_of(const struct replica *r, const struct entry *entry)
{
    return (struct feed_item){.index = entry->index,
                              .page = ring_page_of(r->ring, entry->index),
                              .entry = entry,
                              .live = entry->index > r->line_from,
                              .utc_ns = entry->utc_ns,
                              .utc_error_ns = entry->utc_error_ns};
}

/* One item for each run that took numbers; one without numbers if none did. */
static void feed_messages(struct replica *r, const struct entry *entry)
{
    const struct machine_outcome *outcome = &r->outcome;
    const struct entry_messages *messages = entry_body(entry);
    struct feed_item item = item_of(r, entry);
    item.kind = ITEM_MESSAGES;
    item.session = messages->session;
    uint32_t sequenced = 0;
    for (uint32_t i = 0; i < outcome->run_count; i++) {
        const struct packet_result_run *run = &outcome->run[i];
        if (run->status != MACHINE_SEQUENCED) {
            metric_add(&r->metrics.refused, run->count);
            continue;
        }
        item.feed = run->feed;
        item.count = run->count;
        item.block = (uint16_t)(run->number - messages->number);
        item.number = run->number;
        feed_push(r->feed, &item);
        sequenced += run->count;
    }
    metric_add(&r->metrics.sequenced, sequenced);
    if (sequenced > 0)
        return;
    item.feed = outcome->feed_before;
    item.count = 0;
    feed_push(r->feed, &item);
}

static void feed_session_end(struct replica *r, const struct entry *entry)
{
    const struct machine_session *session = machine_session_at(r->machine, r->outcome.slot);
    struct feed_item item = item_of(r, entry);
    item.kind = ITEM_SESSION_END;
    item.feed = r->outcome.feed_before;
    item.count = 1;
    item.session = session->id;
    item.number = session->last;
    machine_session_end_fill(session, &item.end);
    feed_push(r->feed, &item);
}

static void feed_day(struct replica *r, const struct entry *entry)
{
    struct feed_item item = item_of(r, entry);
    item.kind = r->outcome.day_ended ? ITEM_DAY_END : ITEM_DAY_BEGIN;
    item.feed = r->outcome.feed_after;
    memcpy(item.end.session, r->machine->day, KEEL_DAY_NAME_SIZE);
    feed_push(r->feed, &item);
}

static void feed_outcome(struct replica *r, const struct entry *entry)
{
    if (entry->kind == ENTRY_MESSAGES)
        feed_messages(r, entry);
    else if (r->outcome.session_ended)
        feed_session_end(r, entry);
    else if (r->outcome.day_ended || r->outcome.day_began)
        feed_day(r, entry);
}

static void answer_messages(struct replica *r, const struct entry *entry)
{
    const struct machine_outcome *outcome = &r->outcome;
    const struct machine_session *session =
        outcome->slot == UINT32_MAX ? NULL : machine_session_at(r->machine, outcome->slot);
    if (session != NULL && session->principal == entry->principal)
        answer_runs(r, session, outcome->run, outcome->run_count);
}

static void sample_done(struct replica *r)
{
    uint64_t end_ns = clock_now_ns(r->clock);
    uint64_t durable_ns = r->sample.durable_ns != 0 ? r->sample.durable_ns : end_ns;
    histogram_record(&r->metrics.stage[STAGE_APPEND],
                     r->sample.appended_ns - r->sample.received_ns);
    histogram_record(&r->metrics.stage[STAGE_DURABLE], durable_ns - r->sample.received_ns);
    histogram_record(&r->metrics.stage[STAGE_QUORUM],
                     r->sample.committed_ns - r->sample.received_ns);
    histogram_record(&r->metrics.stage[STAGE_APPLIED], end_ns - r->sample.committed_ns);
    memset(&r->sample, 0, sizeof(r->sample));
    r->sample.applied_ns = end_ns; /* send_flush() ends it */
}

/* Of an entry that this leader stamped: log time runs from its appending. */
static void note_probe(struct replica *r, const struct entry *entry)
{
    if (r->raft.role != RAFT_LEADER || entry->term != r->raft.term)
        return;
    r->probe_index = entry->index;
    r->probe_ns = r->log_base_ns + (r->now_ns - r->log_base_at_ns) - entry->log_ns;
}

static void apply_entry(struct replica *r, const struct entry *entry)
{
    machine_apply(r->machine, entry, &r->outcome);
    if (entry->index % REPLICA_MARK == 0) {
        r->mark_index = entry->index;
        r->mark_digest = r->machine->digest;
    }
    feed_outcome(r, entry);
    switch ((enum entry_kind)entry->kind) {
    case ENTRY_MESSAGES:
    case ENTRY_NODE:
        if (r->raft.role == RAFT_LEADER)
            answer_messages(r, entry);
        break;
    case ENTRY_SESSION_OPEN:
    case ENTRY_SESSION_RESUME:
    case ENTRY_SESSION_END:
    case ENTRY_SESSION_EXPIRE:
        intake_applied(r, entry, &r->outcome);
        break;
    case ENTRY_CONFIG:
    case ENTRY_NOOP:
    case ENTRY_DAY_END:
    case ENTRY_DAY_BEGIN:
    case ENTRY_BOOT:
    case ENTRY_DUE:
    case ENTRY_OPERATOR:
    case ENTRY_AUTOPILOT:
        break;
    case ENTRY_PROBE:
        note_probe(r, entry);
        break;
    }
    if (entry->index == r->sample.index)
        sample_done(r);
}

uint32_t apply(struct replica *r)
{
    uint32_t work = 0;
    while (work < REPLICA_APPLY_MAX && r->machine->applied < r->raft.commit &&
           feed_room(r->feed, KEEL_SESSION_WINDOW_MAX)) {
        const struct entry *entry = ring_entry(r->ring, r->machine->applied + 1);
        if (entry == NULL) { /* ring_note_done() keeps what is not applied: the drive lost it */
            repair_blocks(r, r->machine->applied + 1);
            break;
        }
        apply_entry(r, entry);
        work++;
    }
    metric_add(&r->metrics.applied_entries, work);
    uint64_t done = feed_done(r->feed, r->machine->applied);
    if (done > r->noted_done) {
        r->noted_done = done;
        ring_note_done(r->ring, done);
    }
    return work;
}
