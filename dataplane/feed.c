#include "dataplane/feed_internal.h"

#include "dataplane/frame.h"

#include <string.h>

static size_t lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

size_t feed_size(const struct feed_options *options)
{
    return lines(sizeof(struct feed)) + lines(options->history * sizeof(struct feed_item)) +
           lines(options->samples * sizeof(struct feed_sample)) +
           lines(sizeof(struct feed_exceptions)) +
           lines(spsc_memory(LINK_FEED_ITEMS, sizeof(struct feed_item))) +
           lines(spsc_memory(LINK_FEED_REQUESTS, sizeof(struct feed_request)));
}

struct feed *feed_init(void *memory, const struct feed_options *options, struct port *port,
                       struct ring *ring, const char *day, bool day_open, uint64_t feed_next,
                       uint64_t index)
{
    uint8_t *at = memory;
    struct feed *feed = memory;
    memset(feed, 0, sizeof(*feed));
    at += lines(sizeof(*feed));
    feed->history = (void *)at;
    at += lines(options->history * sizeof(struct feed_item));
    feed->sample = (void *)at;
    at += lines(options->samples * sizeof(struct feed_sample));
    feed->exceptions = (void *)at;
    memset(feed->exceptions, 0, offsetof(struct feed_exceptions, at));
    feed->exceptions->lost = index;
    at += lines(sizeof(struct feed_exceptions));
    spsc_init(&feed->items, at, LINK_FEED_ITEMS, sizeof(struct feed_item));
    at += lines(spsc_memory(LINK_FEED_ITEMS, sizeof(struct feed_item)));
    spsc_init(&feed->requests, at, LINK_FEED_REQUESTS, sizeof(struct feed_request));
    feed->options = *options;
    feed->sample_head = feed->sample_tail = FEED_SAMPLES_MIDDLE;
    feed->port = port;
    feed->ring = ring;
    memcpy(feed->day, day, sizeof(feed->day));
    feed->day_open = day_open;
    feed->ends_left = day_open ? 0 : FEED_END_REPEATS;
    feed->next = feed->stats.oldest = feed_next;
    feed->popped = feed->released = feed->pushed = index;
    feed_table_fill(&feed->first, options);
    feed->table = &feed->first; /* no thread reads it yet */
    feed_consumers_follow(feed, &feed->first);
    return feed;
}

/* --- seq
 * ------------------------------------------------------------------------------------------- */

bool feed_room(struct feed *feed, uint32_t count)
{
    return spsc_room(&feed->items) >= count;
}

void feed_push(struct feed *feed, const struct feed_item *item)
{
    struct feed_item *place = spsc_reserve(&feed->items);
    ENSURE(place != NULL); /* feed_room() was asked */
    *place = *item;
    feed->pushed = item->index;
    spsc_push(&feed->items);
}

void feed_contact(struct feed *feed, uint64_t contact_ns, uint64_t keep_from)
{
    /* relaxed: two facts about time and age, nothing is read through them */
    __atomic_store_n(&feed->contact_ns, contact_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&feed->keep_from, keep_from, __ATOMIC_RELAXED);
}

uint64_t feed_done(const struct feed *feed, uint64_t applied)
{
    /* acquire: pairs with the release stores in publish(); window pages are reused only after the
     * feed's last read of them */
    uint64_t popped = __atomic_load_n(&feed->popped, __ATOMIC_ACQUIRE);
    uint64_t released = __atomic_load_n(&feed->released, __ATOMIC_ACQUIRE);
    bool holds_nothing = popped == feed->pushed && released >= popped;
    return holds_nothing ? applied : released;
}

struct feed_destination *feed_destinations(struct feed *feed, uint32_t *count)
{
    struct feed_table *table = feed_table_now(feed);
    *count = table->destination_count;
    return table->destination;
}

/* --- packets
 * --------------------------------------------------------------------------------------- */

bool feed_packet_begin(struct feed *feed, struct feed_packet *packet)
{
    if (!port_alloc(feed->port, feed->options.queue, &packet->frame)) {
        metric_add(&feed->stats.no_frame, 1);
        return false;
    }
    packet->size = MOLD_HEADER_SIZE;
    packet->count = 0;
    return true;
}

bool feed_packet_add(struct feed *feed, struct feed_packet *packet, const struct feed_stamp *stamp,
                     const uint8_t *payload, uint16_t length)
{
    bool envelope = feed->options.framing == FEED_ENVELOPE;
    uint16_t shown = length; /* a session's end is an empty block on a raw line */
    if (!envelope && stamp->kind == FEED_SESSION_END)
        shown = 0;
    uint32_t block = shown + (envelope ? (uint32_t)FEED_ENVELOPE_SIZE : 0);
    if (packet->size + MOLD_BLOCK_HEAD_SIZE + block > FRAME_PAYLOAD_MAX)
        return false;
    uint8_t *at = packet->frame.data + FRAME_HEADS_SIZE + packet->size;
    mold_length_pack(at, (uint16_t)block);
    at += MOLD_BLOCK_HEAD_SIZE;
    if (envelope) {
        feed_envelope_pack((struct feed_envelope *)at, stamp);
        at += FEED_ENVELOPE_SIZE;
    }
    memcpy(at, payload, shown);
    packet->size += MOLD_BLOCK_HEAD_SIZE + block;
    packet->count++;
    return true;
}

static bool destination_mac(const struct feed_destination *to, uint8_t mac[6])
{
    uint64_t known = __atomic_load_n(&to->mac, __ATOMIC_RELAXED); /* relaxed: a value of its own */
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)(known >> (40 - 8 * i));
    return known >> 63;
}

/* The packet goes to every destination; the first takes the buffer that was filled. */
static void line_send(struct feed *feed, struct feed_packet *packet, uint64_t sequence,
                      uint16_t count)
{
    uint8_t *payload = packet->frame.data + FRAME_HEADS_SIZE;
    mold_header_pack((struct mold_header *)payload, feed->day, sequence, count);
    struct port_frame out[FEED_DESTINATIONS_MAX];
    const struct feed_table *table = feed_table_now(feed);
    uint32_t frames = 0;
    for (uint32_t i = 0; i < table->destination_count; i++) {
        const struct feed_destination *to = &table->destination[i];
        struct frame_address address = {.ip = to->ip, .port = to->port};
        struct port_frame frame;
        if (!destination_mac(to, address.mac)) {
            metric_add(&feed->stats.unresolved, 1);
            continue;
        }
        if (!port_alloc(feed->port, feed->options.queue, &frame)) {
            metric_add(&feed->stats.no_frame, 1);
            continue;
        }
        memcpy(frame.data + FRAME_HEADS_SIZE, payload, packet->size);
        frame_build(&frame, feed->options.mac, feed->options.ip, &address, feed->options.port_from,
                    packet->size, feed->options.tx_checksum);
        out[frames++] = frame;
    }
    port_free(feed->port, &packet->frame, 1);
    if (frames > 0)
        port_send(feed->port, feed->options.queue, out, frames);
    metric_add(&feed->stats.packets, 1);
    metric_add(&feed->stats.bytes, packet->size);
    packet->size = 0;
    feed->sent_ns = feed->now_ns;
}

static void line_flush(struct feed *feed)
{
    struct feed_packet *packet = &feed->packet;
    if (packet->size == 0)
        return;
    metric_add(&feed->stats.messages, packet->count);
    line_send(feed, packet, feed->next - packet->count, packet->count);
}

static void line_message(struct feed *feed, bool live, const struct feed_stamp *stamp,
                         const uint8_t *payload, uint16_t length)
{
    struct feed_packet *packet = &feed->packet;
    if (live) {
        if (packet->size == 0 && !feed_packet_begin(feed, packet))
            live = false; /* counted; a consumer takes it from another line or asks for it */
        else if (!feed_packet_add(feed, packet, stamp, payload, length)) {
            line_flush(feed);
            if (feed_packet_begin(feed, packet))
                feed_packet_add(feed, packet, stamp, payload, length);
        }
    }
    feed->next++;
}

/* H22: no quorum contact within feed_stale_ms, or none ever. seq may have noted a contact that is
 * younger than this turn's time. */
static bool stale(const struct feed *feed)
{
    uint64_t contact_ns = __atomic_load_n(&feed->contact_ns, __ATOMIC_RELAXED);
    uint64_t limit_ns = feed->options.stale_ms * 1000000ull;
    return contact_ns == 0 || (feed->now_ns > contact_ns && feed->now_ns - contact_ns > limit_ns);
}

/* One packet without messages: that nothing follows yet, or that the day has ended. */
static void line_state(struct feed *feed)
{
    if (!feed_packet_begin(feed, &feed->packet))
        return;
    if (feed->day_open) {
        line_send(feed, &feed->packet, feed->next, MOLD_HEARTBEAT);
        metric_add(&feed->stats.heartbeats, 1);
    } else {
        line_send(feed, &feed->packet, feed->next, MOLD_END_OF_SESSION);
        metric_add(&feed->stats.ends, 1);
        feed->ends_left--;
    }
}

/* --- items
 * ------------------------------------------------------------------------------------------ */

static void remember(struct feed *feed, const struct feed_item *item)
{
    if (feed->history_tail - feed->history_head == feed->options.history)
        feed->history_head++;
    feed->history[feed->history_tail++ & (feed->options.history - 1)] = *item;
    struct feed_sample *last = &feed->sample[(feed->sample_tail - 1) & (feed->options.samples - 1)];
    if (feed->sample_tail > feed->sample_head && last->page == item->page) {
        last->last = item->index;
        return;
    }
    if (feed->sample_tail - feed->sample_head == feed->options.samples)
        feed->sample_head++;
    feed->sample[feed->sample_tail++ & (feed->options.samples - 1)] =
        (struct feed_sample){item->feed, item->index, item->index, item->page};
}

/* Blocks of an entry that did not all get a number are noted, so that an answer from the drive
 * knows. */
static void note_exception(struct feed *feed, const struct feed_item *item)
{
    bool is_end = item->kind == ITEM_SESSION_END;
    const struct entry_messages *messages =
        is_end ? NULL : (const struct entry_messages *)entry_body(item->entry);
    if (!is_end && item->count == messages->count)
        return;
    struct feed_exceptions *list = feed->exceptions;
    struct feed_exception *last = &list->at[(list->tail - 1) & (FEED_EXCEPTIONS - 1)];
    if (list->tail == list->head || last->index != item->index) {
        uint64_t lost = list->lost;
        last = feed_exceptions_add(list);
        *last = (struct feed_exception){.index = item->index};
        metric_add(&feed->stats.exceptions_lost, list->lost != lost);
    }
    if (is_end) {
        last->is_end = 1;
        last->end = item->end;
        last->utc_ns = item->utc_ns;
        last->utc_error_ns = item->utc_error_ns;
        last->session = item->session;
        last->number = item->number;
        return;
    }
    for (uint32_t k = 0; k < item->count; k++)
        last->sequenced |= 1ull << (item->block + k);
}

static void take_messages(struct feed *feed, const struct feed_item *item)
{
    struct feed_stamp stamp = {.kind = FEED_MESSAGE,
                               .utc_ns = item->utc_ns,
                               .utc_error_ns = item->utc_error_ns,
                               .session = item->session,
                               .number = item->number};
    uint32_t offset = 0;
    for (uint32_t k = 0; k < (uint32_t)item->block + item->count; k++) {
        uint16_t length;
        const uint8_t *payload = entry_block_next(item->entry, &offset, &length);
        if (k < item->block)
            continue;
        line_message(feed, item->live, &stamp, payload, length);
        stamp.number++;
    }
}

/* A checkpoint took the log's place: what lies before it is not to be had here. */
static __attribute__((cold, noinline)) void begin_anew(struct feed *feed,
                                                       const struct feed_item *item)
{
    line_flush(feed);
    feed->day_open = item->count != 0;
    feed->ends_left = 0;
    feed->next = item->feed;
    memcpy(feed->day, item->end.session, sizeof(feed->day));
    feed->history_head = feed->history_tail;
    feed->sample_head = feed->sample_tail;
    feed->past.active = false;
    feed_exceptions_clear(feed->exceptions);
    feed->exceptions->lost = item->index;
    feed->oldest_at_ns = 0;
}

static void take(struct feed *feed, const struct feed_item *item)
{
    switch ((enum item_kind)item->kind) {
    case ITEM_MESSAGES:
        ENSURE(item->count == 0 || item->feed == feed->next);
        note_exception(feed, item);
        remember(feed, item);
        take_messages(feed, item);
        break;
    case ITEM_SESSION_END: {
        ENSURE(item->feed == feed->next);
        struct feed_stamp stamp = {.kind = FEED_SESSION_END,
                                   .utc_ns = item->utc_ns,
                                   .utc_error_ns = item->utc_error_ns,
                                   .session = item->session,
                                   .number = item->number};
        note_exception(feed, item);
        remember(feed, item);
        line_message(feed, item->live, &stamp, (const uint8_t *)&item->end, sizeof(item->end));
        break;
    }
    case ITEM_DAY_END:
        line_flush(feed);
        feed->day_open = false;
        feed->ends_left = item->live ? FEED_END_REPEATS : 0;
        feed->sent_ns = 0;
        /* at once, stale or not: a committed fact, and the next day may begin in this very turn */
        if (item->live)
            line_state(feed);
        break;
    case ITEM_DAY_BEGIN:
        line_flush(feed);
        feed->day_open = true;
        feed->ends_left = 0;
        feed->next = 1;
        memcpy(feed->day, item->end.session, sizeof(feed->day));
        feed->history_head = feed->history_tail;
        feed->sample_head = feed->sample_tail;
        feed->past.active = false;
        break;
    case ITEM_ANEW:
        begin_anew(feed, item);
        break;
    }
}

/* The oldest number that is still answered for: the ring's head takes the samples before it along.
 */
__attribute__((noinline)) void feed_note_oldest(struct feed *feed)
{
    feed->oldest_at_ns = feed->now_ns + FEED_OLDEST_NS;
    uint64_t head = ring_head_page(feed->ring);
    uint64_t mask = feed->options.samples - 1;
    for (uint32_t i = 0; i < FEED_TURN_ITEMS && feed->sample_head < feed->sample_tail; i++) {
        if (feed->sample[feed->sample_head & mask].page >= head)
            break;
        feed->sample_head++;
    }
    bool any = feed->sample_head < feed->sample_tail;
    metric_set(&feed->stats.oldest, any ? feed->sample[feed->sample_head & mask].feed : feed->next);
}

/* Lets go of the window's older half, and says so to seq. */
static void publish(struct feed *feed, uint64_t popped)
{
    uint64_t keep_from = __atomic_load_n(&feed->keep_from, __ATOMIC_RELAXED);
    uint64_t released = popped;
    while (feed->history_head < feed->history_tail) {
        const struct feed_item *oldest =
            &feed->history[feed->history_head & (feed->options.history - 1)];
        if (oldest->index >= keep_from) {
            released = oldest->index - 1;
            break;
        }
        feed->history_head++;
    }
    if (released > feed->released)
        /* release: pairs with the acquire in feed_done() */
        __atomic_store_n(&feed->released, released, __ATOMIC_RELEASE);
    if (popped == feed->popped)
        return;
    __atomic_store_n(&feed->popped, popped, __ATOMIC_RELEASE); /* as above */
    if (feed->now_ns >= feed->oldest_at_ns)
        feed_note_oldest(feed);
}

static void heartbeat(struct feed *feed)
{
    if (feed->now_ns - feed->sent_ns < feed->options.heartbeat_ms * 1000000ull)
        return;
    if (stale(feed)) { /* H22: say nothing rather than "nothing happened" */
        metric_add(&feed->stats.silent, 1);
        feed->sent_ns = feed->now_ns;
        return;
    }
    if (feed->day_open || feed->ends_left > 0)
        line_state(feed);
}

/* A line's first packets must not vanish because a consumer's MAC address is still being asked for:
 * the first live item waits until all are known, but not for ever on one that does not answer. */
static bool may_begin(struct feed *feed)
{
    if (feed->began)
        return true;
    const struct feed_table *table = feed_table_now(feed);
    uint8_t mac[6];
    uint32_t i = 0;
    while (i < table->destination_count && destination_mac(&table->destination[i], mac))
        i++;
    if (feed->waiting_ns == 0)
        feed->waiting_ns = feed->now_ns;
    feed->began = i == table->destination_count ||
                  feed->now_ns - feed->waiting_ns >= FEED_RESOLVE_MS * 1000000ull;
    return feed->began;
}

uint32_t feed_turn(struct feed *feed, uint64_t now_ns)
{
    feed->now_ns = now_ns;
    uint32_t work = 0;
    uint64_t popped = feed->popped;
    for (; work < FEED_TURN_ITEMS; work++) {
        const struct feed_item *item = spsc_peek(&feed->items);
        if (item == NULL || (item->live && !may_begin(feed)))
            break;
        take(feed, item);
        popped = item->index;
        spsc_drop(&feed->items);
    }
    line_flush(feed);
    publish(feed, popped);
    heartbeat(feed);
    work += feed_requests_turn(feed);
    return feed->past.active ? work + feed_past_turn(feed) : work;
}

void feed_stats(const struct feed *feed, struct feed_stats *stats)
{
    const uint64_t *from = (const uint64_t *)&feed->stats;
    uint64_t *to = (uint64_t *)stats;
    for (size_t i = 0; i < sizeof(*stats) / sizeof(uint64_t); i++)
        to[i] = metric_get(&from[i]);
}

uint64_t feed_oldest(const struct feed *feed)
{
    return metric_get(&feed->stats.oldest);
}

uint64_t feed_next(const struct feed *feed, char day[KEEL_DAY_NAME_SIZE])
{
    memcpy(day, feed->day, KEEL_DAY_NAME_SIZE);
    return feed->next;
}
