#include "tests/unit/dataplane/line.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 512, WINDOW = RING_WINDOW_MIN, FLIGHT = 8, TURNS_MAX = 10000 };

struct line *line_new(void)
{
    struct line *line = calloc(1, sizeof(*line));
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    world_init(&line->world, SLOTS, WINDOW, FLIGHT, 1);
    world_start(&line->world);
    line->port = wire_new();
    line->now_ns = 5000000000ull;
    line->next = line->serial = line->term = 1;
    memcpy(line->day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    line->options = (struct feed_options){.framing = FEED_RAW,
                                          .heartbeat_ms = 1000,
                                          .stale_ms = 300,
                                          .history = 256,
                                          .samples = 256,
                                          .ip = 0x0a000001,
                                          .port_from = 7411,
                                          .destination_count = 1,
                                          .consumer_count = 1};
    line->options.destination[0] =
        (struct feed_destination){.ip = LINE_CONSUMER, .port = 9000, .mac = 1ull << 63 | 0x0209};
    line->options.consumer[0] = LINE_CONSUMER;
    line_settle(line);
    return line;
}

void line_start(struct line *line, bool day_open)
{
    line->memory = aligned_alloc(64, (feed_size(&line->options) + 63) & ~(size_t)63);
    CU_ASSERT_PTR_NOT_NULL_FATAL(line->memory);
    line->feed = feed_init(line->memory, &line->options, line->port, line->world.ring, line->day,
                           day_open, line->next, line->applied);
    line_contact(line, 0);
}

void line_free(struct line *line)
{
    wire_free(line->port);
    free(line->memory);
    world_free(&line->world);
    free(line);
}

/* --- seq's part
 * ----------------------------------------------------------------------------------- */

static struct entry *append(struct line *line, uint8_t kind, const void *body, size_t size)
{
    struct ring *ring = line->world.ring;
    uint16_t whole = (uint16_t)((sizeof(struct entry) + size + 7) & ~(size_t)7);
    if (ring_room(ring, 1, whole) != RING_ROOM)
        return NULL;
    struct entry *entry = ring_reserve(ring, whole, line->term);
    memset(entry, 0, whole);
    *entry = (struct entry){.size = whole,
                            .kind = kind,
                            .version = ENTRY_VERSION,
                            .index = ring_last_index(ring) + 1,
                            .term = line->term,
                            .utc_ns = 1000 * line->serial,
                            .utc_error_ns = 7,
                            .principal = 100};
    memcpy(entry + 1, body, size);
    ring_commit(ring, ++line->lsn, false);
    line->applied = entry->index;
    ring_note_commit(ring, entry->index);
    return entry;
}

static struct feed_item item_of(const struct line *line, const struct entry *entry, bool live)
{
    return (struct feed_item){.index = entry->index,
                              .page = ring_page_of(line->world.ring, entry->index),
                              .entry = entry,
                              .live = live,
                              .utc_ns = entry->utc_ns,
                              .utc_error_ns = entry->utc_error_ns};
}

const struct entry *line_entry(struct line *line, uint16_t count, uint64_t sequenced, bool live)
{
    uint8_t body[KEEL_ENTRY_MAX] = {0};
    struct entry_messages *head = (struct entry_messages *)(void *)body;
    *head = (struct entry_messages){.session = 3, .epoch = 3, .number = line->serial};
    head->count = count;
    uint16_t bytes = 0;
    for (uint32_t k = 0; k < count; k++) {
        uint16_t length = count > 16 ? 8 : LINE_MESSAGE_SIZE;
        uint8_t *at = body + sizeof(*head) + bytes;
        uint64_t serial = line->serial + k;
        memcpy(at, &length, sizeof(length));
        memcpy(at + sizeof(length), &serial, sizeof(serial));
        bytes = (uint16_t)(bytes + sizeof(length) + length);
    }
    head->bytes = bytes;
    const struct entry *entry = append(line, ENTRY_MESSAGES, body, sizeof(*head) + bytes);
    if (entry == NULL)
        return NULL;
    struct feed_item item = item_of(line, entry, live);
    item.kind = ITEM_MESSAGES;
    item.session = 3;
    item.feed = line->next;
    uint32_t taken = 0;
    for (uint32_t k = 0; k < count; k++) {
        if (!(sequenced >> k & 1))
            continue;
        if (taken++ == 0) {
            item.block = (uint16_t)k;
            item.number = line->serial + k;
        }
        CU_ASSERT_EQUAL_FATAL(k, item.block + taken - 1); /* one run, as the machine decides */
        line->shows[line->next++] = line->serial + k;
    }
    item.count = (uint16_t)taken;
    line->serial += count;
    CU_ASSERT_TRUE_FATAL(feed_room(line->feed, 1));
    feed_push(line->feed, &item);
    return entry;
}

void line_messages(struct line *line, uint32_t entries, bool live)
{
    for (uint32_t i = 0; i < entries; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(line_entry(line, 1, 1, live));
}

void line_session_end(struct line *line, bool live)
{
    struct entry_session_end body = {.session = 3, .epoch = 3, .reason = SESSION_END_CLEAN};
    struct entry *entry = append(line, ENTRY_SESSION_END, &body, sizeof(body));
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    struct feed_item item = item_of(line, entry, live);
    item.kind = ITEM_SESSION_END;
    item.feed = line->next;
    item.count = 1;
    item.session = 3;
    item.number = line->serial - 1;
    line->shows[line->next++] = UINT64_MAX;
    feed_push(line->feed, &item);
}

static void day(struct line *line, uint16_t kind, const char *name, bool live)
{
    struct entry_day body = {{0}, {0}};
    memcpy(body.name, name, sizeof(body.name));
    struct entry *entry =
        append(line, kind == ITEM_DAY_END ? ENTRY_DAY_END : ENTRY_DAY_BEGIN, &body, sizeof(body));
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    struct feed_item item = item_of(line, entry, live);
    item.kind = kind;
    item.feed = line->next;
    memcpy(item.end.session, name, KEEL_DAY_NAME_SIZE);
    feed_push(line->feed, &item);
}

void line_day_end(struct line *line, bool live)
{
    day(line, ITEM_DAY_END, line->day, live);
}

void line_day_begin(struct line *line, const char *name, bool live)
{
    line->next = 1;
    memcpy(line->day, name, KEEL_DAY_NAME_SIZE);
    day(line, ITEM_DAY_BEGIN, name, live);
}

void line_noop(struct line *line)
{
    struct entry_noop body = {.leader = 1, .incarnation = 101};
    CU_ASSERT_PTR_NOT_NULL_FATAL(append(line, ENTRY_NOOP, &body, sizeof(body)));
}

void line_superseded(struct line *line, uint32_t entries)
{
    enum { SIZE = 48 + 40 + 16 };
    struct ring *ring = line->world.ring;
    uint64_t kept = line->applied;
    for (uint32_t i = 0; i < entries; i++) { /* no item */
        struct entry *entry = ring_reserve(ring, SIZE, line->term);
        memset(entry, 0, SIZE);
        *entry = (struct entry){.size = SIZE,
                                .kind = ENTRY_MESSAGES,
                                .version = ENTRY_VERSION,
                                .index = ring_last_index(ring) + 1,
                                .term = line->term};
        struct entry_messages *head = (struct entry_messages *)(entry + 1);
        *head = (struct entry_messages){
            .session = 3, .epoch = 3, .number = 900, .count = 1, .bytes = 10};
        memcpy(head + 1, "\x08\x00superced", 10);
        ring_commit(ring, ++line->lsn, false);
    }
    line_settle(line);
    ring_hard(ring, ++line->term, 0, ++line->lsn);
    ring_truncate(ring, kept + 1, ++line->lsn);
}

void line_anew(struct line *line)
{
    struct feed_item item = {
        .kind = ITEM_ANEW, .index = line->applied, .feed = line->next, .count = 1};
    memcpy(item.end.session, line->day, KEEL_DAY_NAME_SIZE);
    feed_push(line->feed, &item);
}

uint32_t line_turn(struct line *line, uint32_t ms)
{
    line->now_ns += ms * 1000000ull;
    return feed_turn(line->feed, line->now_ns);
}

void line_settle(struct line *line)
{
    struct ring *ring = line->world.ring;
    uint32_t quiet = 0;
    for (uint32_t turn = 0; turn < TURNS_MAX && quiet < 3; turn++) {
        uint32_t work = ring_turn(ring, line->world.now_ns += RING_SEAL_AFTER_NS) +
                        ring_disk_turn(ring) + ring_aux_turn(ring);
        quiet = work == 0 ? quiet + 1 : 0;
    }
    CU_ASSERT_EQUAL_FATAL(quiet, 3);
}

void line_contact(struct line *line, uint32_t age_ms)
{
    feed_contact(line->feed, line->now_ns - age_ms * 1000000ull,
                 ring_recent_first(line->world.ring));
}

void line_done(struct line *line)
{
    ring_note_done(line->world.ring, feed_done(line->feed, line->applied));
}

/* --- consumers
 * ------------------------------------------------------------------------------------ */

void line_ask(struct line *line, uint32_t from, const char *name, uint64_t first, uint16_t count)
{
    struct mold_header header;
    mold_header_pack(&header, name, first, count);
    struct frame_datagram datagram = {.from = {.ip = from, .port = 5000, .mac = {2, 0, 0, 0, 0, 9}},
                                      .payload = (const uint8_t *)&header,
                                      .size = sizeof(header)};
    CU_ASSERT_TRUE(feed_request(line->feed, &datagram));
}

uint16_t line_check(const struct line *line, const struct wire_kept *kept)
{
    const struct mold_header *header = (const struct mold_header *)kept->payload;
    CU_ASSERT_FATAL(kept->size >= sizeof(*header));
    uint16_t count = mold_count(header);
    if (count == MOLD_END_OF_SESSION) {
        CU_ASSERT_EQUAL(kept->size, sizeof(*header));
        return count;
    }
    CU_ASSERT_TRUE_FATAL(mold_check(kept->payload, kept->size));
    CU_ASSERT_EQUAL(memcmp(header->session, line->day, KEEL_DAY_NAME_SIZE), 0);
    const uint8_t *at = kept->payload + sizeof(*header);
    for (uint64_t n = mold_sequence(header); n < mold_sequence(header) + count; n++) {
        uint16_t length = mold_length(at);
        at += MOLD_BLOCK_HEAD_SIZE;
        CU_ASSERT_FATAL(n < line->next);
        uint64_t serial = UINT64_MAX;
        if (line->options.framing == FEED_RAW && length > 0)
            memcpy(&serial, at, sizeof(serial));
        if (line->options.framing == FEED_RAW)
            CU_ASSERT_EQUAL(serial, line->shows[n]);
        at += length;
    }
    return count;
}

struct line *line_started(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_turn(line, 0); /* the heartbeat of a start */
    return line;
}

const struct wire_kept *line_asked(struct line *line, uint64_t first, uint16_t count)
{
    line_turn(line, 0); /* what is pushed goes first */
    wire_clear(line->port);
    line_ask(line, LINE_CONSUMER, line->day, first, count);
    line_turn(line, 0);
    for (uint32_t turn = 0; turn < 50 && line->port->count == 0; turn++) {
        line_settle(line);
        line_turn(line, 0);
    }
    CU_ASSERT_FATAL(line->port->count <= 1);
    return line->port->count == 1 ? &line->port->kept[0] : NULL;
}

uint16_t line_answer(struct line *line, uint64_t first, uint16_t count)
{
    const struct wire_kept *kept = line_asked(line, first, count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(mold_sequence((const struct mold_header *)kept->payload), first);
    uint16_t got = line_check(line, kept);
    CU_ASSERT_TRUE(got >= 1 && got <= count);
    CU_ASSERT_EQUAL(kept->to, LINE_CONSUMER);
    CU_ASSERT_EQUAL(kept->to_port, 5000);
    CU_ASSERT_EQUAL(memcmp(kept->to_mac, "\x02\x00\x00\x00\x00\x09", 6), 0);
    return got;
}

void line_answers(struct line *line, uint64_t from, uint64_t to)
{
    for (uint64_t first = from; first < to; first++) {
        line_answer(line, first, 10);
        line->now_ns += 10000000;
    }
}
