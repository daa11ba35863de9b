/* The feed's request server: what a consumer missed, from memory or from the drive. */
#include "dataplane/feed_internal.h"

#include "dataplane/frame.h"

#include <string.h>

bool feed_request(struct feed *feed, const struct frame_datagram *datagram)
{
    if (datagram->size != MOLD_HEADER_SIZE) {
        metric_add(&feed->stats.request_malformed, 1);
        return true;
    }
    struct feed_request *request = spsc_reserve(&feed->requests);
    if (request == NULL)
        return false;
    request->from = datagram->from;
    memcpy(request->header, datagram->payload, MOLD_HEADER_SIZE);
    spsc_push(&feed->requests);
    return true;
}

/* Configured consumers only, each within FEED_REQUESTS_PER_S. */
static bool admitted(struct feed *feed, uint32_t ip)
{
    const struct feed_table *table = feed_table_now(feed);
    if (feed->consumer_serial != table->serial)
        feed_consumers_follow(feed, table);
    for (uint32_t i = 0; i < table->consumer_count; i++) {
        struct feed_consumer *consumer = &feed->consumer[i];
        if (consumer->ip != ip)
            continue;
        uint64_t elapsed_ns = feed->now_ns - consumer->at_ns;
        if (elapsed_ns >= 1000000) {
            uint64_t tokens = consumer->tokens + elapsed_ns / 1000 * FEED_REQUESTS_PER_S / 1000000;
            consumer->tokens =
                tokens > FEED_REQUESTS_PER_S / 10 ? FEED_REQUESTS_PER_S / 10 : (uint32_t)tokens;
            consumer->at_ns = feed->now_ns;
        }
        if (consumer->tokens > 0) {
            consumer->tokens--;
            return true;
        }
        metric_add(&feed->stats.request_limited, 1);
        return false;
    }
    metric_add(&feed->stats.request_stranger, 1);
    return false;
}

static void reply(struct feed *feed, const struct feed_request *request, struct feed_packet *packet,
                  uint64_t sequence)
{
    if (packet->count == 0) {
        port_free(feed->port, &packet->frame, 1);
        metric_add(&feed->stats.request_gone, 1);
        return;
    }
    uint8_t *payload = packet->frame.data + FRAME_HEADS_SIZE;
    mold_header_pack((struct mold_header *)payload, feed->day, sequence, packet->count);
    frame_build(&packet->frame, feed->options.mac, feed->options.ip, &request->from,
                feed->options.port_from, packet->size, feed->options.tx_checksum);
    port_send(feed->port, feed->options.queue, &packet->frame, 1);
}

/* Adds the wanted messages of one entry; `sequenced` says which blocks took numbers, from
 * *feed_number on. False when the packet is full. */
static bool add_entry(struct feed *feed, struct feed_packet *packet, const struct entry *entry,
                      uint64_t sequenced, uint64_t *feed_number, uint64_t first, uint64_t end)
{
    const struct entry_messages *messages = entry_body(entry);
    struct feed_stamp stamp = {.kind = FEED_MESSAGE,
                               .utc_ns = entry->utc_ns,
                               .utc_error_ns = entry->utc_error_ns,
                               .session = messages->session};
    uint32_t offset = 0;
    for (uint32_t k = 0; k < messages->count; k++) {
        uint16_t length;
        const uint8_t *payload = entry_block_next(entry, &offset, &length);
        if (!(sequenced >> k & 1))
            continue;
        if (*feed_number >= end)
            return false;
        stamp.number = messages->number + k;
        if (*feed_number >= first && !feed_packet_add(feed, packet, &stamp, payload, length))
            return false;
        (*feed_number)++;
    }
    return true;
}

static uint64_t all_blocks(const struct entry *entry)
{
    const struct entry_messages *messages = entry_body(entry);
    return messages->count == 64 ? UINT64_MAX : (1ull << messages->count) - 1;
}

static bool add_end(struct feed *feed, struct feed_packet *packet, const struct feed_exception *e,
                    uint64_t *feed_number, uint64_t first)
{
    struct feed_stamp stamp = {.kind = FEED_SESSION_END,
                               .utc_ns = e->utc_ns,
                               .utc_error_ns = e->utc_error_ns,
                               .session = e->session,
                               .number = e->number};
    if (*feed_number >= first &&
        !feed_packet_add(feed, packet, &stamp, (const uint8_t *)&e->end, sizeof(e->end)))
        return false;
    (*feed_number)++;
    return true;
}

/* --- from memory
 * ------------------------------------------------------------------------------------ */

/* Oldest item in memory whose messages reach to `number` or beyond. */
static uint64_t history_find(const struct feed *feed, uint64_t number)
{
    uint64_t low = feed->history_head, high = feed->history_tail;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct feed_item *item = &feed->history[middle & (feed->options.history - 1)];
        if (item->feed + item->count > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool answer_memory(struct feed *feed, const struct feed_request *request, uint64_t first,
                          uint64_t end)
{
    uint64_t at = history_find(feed, first);
    if (at == feed->history_tail || feed->history[at & (feed->options.history - 1)].feed > first)
        return false;
    struct feed_packet packet;
    if (!feed_packet_begin(feed, &packet))
        return true;
    for (; at < feed->history_tail; at++) {
        const struct feed_item *item = &feed->history[at & (feed->options.history - 1)];
        uint64_t number = item->feed;
        if (number >= end)
            break;
        if (item->kind == ITEM_SESSION_END) {
            struct feed_exception e = {.utc_ns = item->utc_ns,
                                       .utc_error_ns = item->utc_error_ns,
                                       .session = item->session,
                                       .number = item->number,
                                       .end = item->end};
            if (!add_end(feed, &packet, &e, &number, first))
                break;
            continue;
        }
        uint64_t blocks = item->count == 64 ? UINT64_MAX : (1ull << item->count) - 1;
        if (!add_entry(feed, &packet, item->entry, blocks << item->block, &number, first, end))
            break;
    }
    reply(feed, request, &packet, first);
    metric_add(&feed->stats.answered_memory, 1);
    return true;
}

/* --- from the drive
 * --------------------------------------------------------------------------------- */

/* Which blocks of its entries took numbers. It may be forgotten while the drive is asked, when a
 * checkpoint takes the log's place. */
static bool known(const struct feed *feed, const struct feed_sample *sample)
{
    return sample->index > feed->exceptions->lost;
}

static bool ask_drive(struct feed *feed, const struct feed_request *request, uint64_t first)
{
    uint64_t low = feed->sample_head, high = feed->sample_tail;
    while (low < high) { /* the first sample that begins above `first` */
        uint64_t middle = low + (high - low) / 2;
        if (feed->sample[middle & (feed->options.samples - 1)].feed > first)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == feed->sample_head)
        return false;
    const struct feed_sample *sample = &feed->sample[(low - 1) & (feed->options.samples - 1)];
    if (!known(feed, sample) ||
        !ring_read_page(feed->ring, RING_READER_FEED, sample->page, FEED_TAG_REQUEST))
        return false;
    feed->reading = true;
    feed->asked = *request;
    feed->asked_sample = *sample;
    return true;
}

/* Walks the entries of a reread page that this replica has applied, and fills one answer. */
static void answer_page(struct feed *feed, const struct ring_page *page, uint64_t first,
                        uint64_t end)
{
    const struct feed_sample *sample = &feed->asked_sample;
    struct feed_packet packet;
    if (!feed_packet_begin(feed, &packet))
        return;
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint64_t number = sample->feed;
    for (uint32_t i = 0; i < ring_page_present(page); i++) {
        const struct entry *entry = (const struct entry *)at;
        at += entry->size;
        if (entry->index < sample->index)
            continue;
        if (entry->index > sample->last || number >= end)
            break;
        const struct feed_exception *e = feed_exceptions_find(feed->exceptions, entry->index);
        bool fits = true;
        if (e != NULL && e->is_end)
            fits = add_end(feed, &packet, e, &number, first);
        else if (entry->kind == ENTRY_MESSAGES)
            fits = add_entry(feed, &packet, entry, e != NULL ? e->sequenced : all_blocks(entry),
                             &number, first, end);
        if (!fits)
            break;
    }
    reply(feed, &feed->asked, &packet, first);
    metric_add(&feed->stats.answered_drive, 1);
}

uint32_t feed_entry_count(const struct feed *feed, const struct entry *entry)
{
    const struct feed_exception *e = feed_exceptions_find(feed->exceptions, entry->index);
    if (e != NULL)
        return e->is_end ? 1 : (uint32_t)__builtin_popcountll(e->sequenced);
    return entry->kind == ENTRY_MESSAGES ? ((const struct entry_messages *)entry_body(entry))->count
                                         : 0;
}

static void wanted(const struct feed_request *request, uint64_t *first, uint64_t *end)
{
    const struct mold_header *header = (const struct mold_header *)request->header;
    *first = mold_sequence(header);
    *end = *first + mold_count(header);
}

static uint32_t drive_answered(struct feed *feed)
{
    struct ring_read read;
    if (!ring_read_poll(feed->ring, RING_READER_FEED, &read))
        return 0;
    if (read.tag == FEED_TAG_PAST) {
        feed_past_page(feed, &read);
        ring_read_release(feed->ring, RING_READER_FEED, &read);
        return 1;
    }
    uint64_t first, end;
    wanted(&feed->asked, &first, &end);
    /* the day may have changed while the drive was asked: its numbers now mean other messages */
    const struct mold_header *header = (const struct mold_header *)feed->asked.header;
    if (memcmp(header->session, feed->day, sizeof(feed->day)) != 0)
        metric_add(&feed->stats.request_session, 1);
    else if (read.result == 0 && known(feed, &feed->asked_sample))
        answer_page(feed, read.page, first, end);
    else
        metric_add(&feed->stats.request_gone, 1);
    ring_read_release(feed->ring, RING_READER_FEED, &read);
    feed->reading = false;
    return 1;
}

static void serve(struct feed *feed, const struct feed_request *request)
{
    const struct mold_header *header = (const struct mold_header *)request->header;
    metric_add(&feed->stats.requests, 1);
    if (!admitted(feed, request->from.ip))
        return;
    uint64_t first, end;
    wanted(request, &first, &end);
    if (memcmp(header->session, feed->day, sizeof(feed->day)) != 0)
        metric_add(&feed->stats.request_session, 1);
    else if (first == 0 || end == first)
        metric_add(&feed->stats.request_low, 1);
    else if (first >= feed->next)
        metric_add(&feed->stats.request_high, 1);
    else if (!answer_memory(feed, request, first, end) && !ask_drive(feed, request, first))
        metric_add(&feed->stats.request_gone, 1);
}

uint32_t feed_requests_turn(struct feed *feed)
{
    uint32_t work = feed->reading || feed->past.reading ? drive_answered(feed) : 0;
    for (uint32_t n = 0; n < FEED_TURN_REQUESTS && !feed->reading; n++, work++) {
        const struct feed_request *request = spsc_peek(&feed->requests);
        if (request == NULL)
            break;
        serve(feed, request);
        spsc_drop(&feed->requests);
    }
    return work;
}
