/* The line: what it shows, in what packets, and when it says nothing. */
#include "tests/unit/dataplane/line.h"

#include "tests/unit/unit.h"

#include <string.h>

static const struct mold_header *header(const struct line *line, uint32_t packet)
{
    CU_ASSERT_FATAL(packet < line->port->count);
    return (const struct mold_header *)line->port->kept[packet].payload;
}

/* Every packet so far holds what its numbers stand for, and they follow each other from `next` on;
 * returns the number after the last. */
static uint64_t in_order(const struct line *line, uint64_t next)
{
    for (uint32_t i = 0; i < line->port->count; i++) {
        CU_ASSERT_EQUAL(mold_sequence(header(line, i)), next);
        next += line_check(line, &line->port->kept[i]);
    }
    return next;
}

static void batches_naturally(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1); /* alone, at once */
    CU_ASSERT_EQUAL(line_check(line, &line->port->kept[0]), 1);
    line_messages(line, 50, true); /* what gathered goes in as few packets as hold it */
    line_turn(line, 0);
    uint32_t each =
        (FRAME_PAYLOAD_MAX - MOLD_HEADER_SIZE) / (MOLD_BLOCK_HEAD_SIZE + LINE_MESSAGE_SIZE);
    CU_ASSERT_EQUAL(line->port->count, 1 + (50 + each - 1) / each);
    CU_ASSERT_EQUAL(in_order(line, 1), 52);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(in_order(line, 1), 52); /* nothing twice */
    line_free(line);
}

static void refused_blocks_take_no_number(void)
{
    struct line *line = line_new();
    line_start(line, true);
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 6, 0x38, true)); /* first three were decided before */
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 4, 0, true));    /* none taken */
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 64, UINT64_MAX, true));
    line_session_end(line, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(in_order(line, 1), 1 + 3 + 64 + 1);
    line_free(line);
}

static void every_destination_gets_the_same(void)
{
    struct line *line = line_new();
    line->options.destination_count = 3;
    line->options.destination[1] = (struct feed_destination){
        .ip = 0xe0000105, .port = 9001, .mac = 1ull << 63 | 0x01005e000105};
    line->options.destination[2] = (struct feed_destination){
        .ip = LINE_CONSUMER + 1, .port = 9002, .mac = 1ull << 63 | 0x020a};
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL_FATAL(line->port->count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(line->port->kept[i].to, line->options.destination[i].ip);
        CU_ASSERT_EQUAL(line->port->kept[i].to_port, 9000 + i);
        CU_ASSERT_EQUAL(line_check(line, &line->port->kept[i]), 1);
    }
    CU_ASSERT_EQUAL(memcmp(line->port->kept[1].to_mac, "\x01\x00\x5e\x00\x01\x05", 6), 0);
    line_free(line);
}

static void envelope_tells_stamp_and_session(void)
{
    struct line *line = line_new();
    line->options.framing = FEED_ENVELOPE;
    line_start(line, true);
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 3, 0x6, true));
    line_session_end(line, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL_FATAL(line->port->count, 1);
    CU_ASSERT_EQUAL(line_check(line, &line->port->kept[0]), 3);
    const uint8_t *at = line->port->kept[0].payload + MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < 3; i++) {
        struct feed_stamp stamp;
        uint16_t length = mold_length(at);
        CU_ASSERT_TRUE_FATAL(feed_envelope_unpack(at + MOLD_BLOCK_HEAD_SIZE, length, &stamp));
        CU_ASSERT_EQUAL(stamp.session, 3);
        CU_ASSERT_EQUAL(stamp.utc_error_ns, 7);
        CU_ASSERT_EQUAL(stamp.kind, i < 2 ? FEED_MESSAGE : FEED_SESSION_END);
        CU_ASSERT_EQUAL(stamp.number, i < 2 ? 2 + i : 3);
        CU_ASSERT_EQUAL(length, FEED_ENVELOPE_SIZE + (i < 2 ? LINE_MESSAGE_SIZE : 48));
        at += MOLD_BLOCK_HEAD_SIZE + length;
    }
    line_free(line);
}

static void heartbeats_name_the_next_number(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 2, true);
    line_turn(line, 0);
    for (uint32_t ms = 0; ms < 3000; ms += 100) {
        line_contact(line, 0);
        line_turn(line, 100);
    }
    CU_ASSERT_EQUAL(line->port->count, 1 + 3);
    for (uint32_t i = 1; i < line->port->count; i++) {
        CU_ASSERT_EQUAL(mold_count(header(line, i)), MOLD_HEARTBEAT);
        CU_ASSERT_EQUAL(mold_sequence(header(line, i)), 3);
    }
    line_free(line);
}

static void h22_a_stale_line_says_nothing(void)
{
    /* H22: the follower of a leader without quorum: contact was stale_ms ago, and ages. */
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    line_contact(line, 0);
    for (uint32_t ms = 0; ms < 5000; ms += 50)
        line_turn(line, 50);
    CU_ASSERT_EQUAL(line->port->count, 1);
    CU_ASSERT_TRUE(line->feed->stats.silent >= 4);
    line_contact(line, 0); /* contact again: it speaks again */
    for (uint32_t ms = 0; ms < 1000; ms += 50) {
        line_contact(line, 0);
        line_turn(line, 50);
    }
    CU_ASSERT_EQUAL(line->port->count, 2);
    line_free(line);
}

static void h22_without_any_contact_nothing_is_said(void)
{
    struct line *line = line_new();
    line_start(line, true);
    feed_contact(line->feed, 0, 0);
    for (uint32_t ms = 0; ms < 3000; ms += 50)
        line_turn(line, 50);
    CU_ASSERT_EQUAL(line->port->count, 0);
    line_free(line);
}

static void contact_of_a_younger_clock_reading_is_contact(void)
{
    /* The feed has read the clock, then seq notes a contact that is younger by some microseconds.
     */
    struct line *line = line_new();
    line_start(line, true);
    line->now_ns += 2000000000ull;
    feed_contact(line->feed, line->now_ns + 5000, 0);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1);
    CU_ASSERT_EQUAL(line->feed->stats.silent, 0);
    line_free(line);
}

static void replayed_items_are_not_shown(void)
{
    /* A start: numbers of before come only on request; the line begins with the first live one. */
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 5, false);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1); /* a heartbeat alone */
    CU_ASSERT_EQUAL(mold_count(header(line, 0)), MOLD_HEARTBEAT);
    CU_ASSERT_EQUAL(mold_sequence(header(line, 0)), 6);
    wire_clear(line->port);
    line_messages(line, 2, false);
    line_messages(line, 3, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1);
    CU_ASSERT_EQUAL(in_order(line, 8), 11);
    line_free(line);
}

static void a_day_ends_and_another_begins(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 3, true);
    line_day_end(line, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL_FATAL(line->port->count, 2);
    CU_ASSERT_EQUAL(mold_count(header(line, 1)), MOLD_END_OF_SESSION);
    CU_ASSERT_EQUAL(mold_sequence(header(line, 1)), 4);
    for (uint32_t ms = 0; ms < 20000; ms += 100) {
        line_contact(line, 0);
        line_turn(line, 100);
    }
    CU_ASSERT_EQUAL(line->port->count, 1 + FEED_END_REPEATS); /* repeated, then silent */
    wire_clear(line->port);
    line_day_begin(line, "DAY2      ", true);
    line_messages(line, 2, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(in_order(line, 1), 3);
    line_free(line);
}

static void an_end_and_a_beginning_in_one_turn(void)
{
    /* Both entries committed together: the old day's end must still be on the line. */
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 3, true);
    line_day_end(line, true);
    line_day_begin(line, "DAY2      ", true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL_FATAL(line->port->count, 3);
    CU_ASSERT_EQUAL(mold_count(header(line, 0)), 3);
    CU_ASSERT_EQUAL(mold_count(header(line, 1)), MOLD_END_OF_SESSION);
    CU_ASSERT_EQUAL(mold_sequence(header(line, 1)), 4);
    CU_ASSERT_EQUAL(memcmp(header(line, 1)->session, "DAY1      ", KEEL_DAY_NAME_SIZE), 0);
    CU_ASSERT_EQUAL(memcmp(header(line, 2)->session, "DAY2      ", KEEL_DAY_NAME_SIZE), 0);
    CU_ASSERT_EQUAL(mold_sequence(header(line, 2)), 1);
    line_free(line);
}

static void a_start_within_a_closed_day(void)
{
    /* No heartbeat may say that an ended day goes on; its end is told again. */
    struct line *line = line_new();
    line->next = 42;
    line_start(line, false);
    for (uint32_t ms = 0; ms < 20000; ms += 100) {
        line_contact(line, 0);
        line_turn(line, 100);
    }
    CU_ASSERT_EQUAL(line->port->count, FEED_END_REPEATS);
    for (uint32_t i = 0; i < line->port->count; i++) {
        CU_ASSERT_EQUAL(mold_count(header(line, i)), MOLD_END_OF_SESSION);
        CU_ASSERT_EQUAL(mold_sequence(header(line, i)), 42);
    }
    line_free(line);
}

static void the_first_packets_wait_for_addresses(void)
{
    struct line *line = line_new();
    line->options.destination[0].mac = 0;
    line_start(line, true);
    line_messages(line, 4, false);
    line_messages(line, 2, true);
    line_turn(line, 0);
    line_turn(line, FEED_RESOLVE_MS / 2);
    CU_ASSERT_EQUAL(line->port->count, 0);
    CU_ASSERT_EQUAL(line->feed->stats.messages, 0);
    CU_ASSERT_EQUAL(line->feed->next, 5); /* what is not shown does not wait */
    uint32_t count;
    __atomic_store_n(&feed_destinations(line->feed, &count)[0].mac, 1ull << 63 | 0x0209,
                     __ATOMIC_RELAXED);
    line_messages(line, 1, true);
    line_turn(line, 1);
    CU_ASSERT_EQUAL(in_order(line, 5), 8); /* no gap */
    line_free(line);
}

static void a_consumer_that_never_answers_holds_up_nobody(void)
{
    struct line *line = line_new();
    line->options.destination_count = 2;
    line->options.destination[1] = (struct feed_destination){.ip = LINE_CONSUMER + 1, .port = 9001};
    line_start(line, true);
    line_messages(line, 2, true);
    line_turn(line, 0);
    line_turn(line, FEED_RESOLVE_MS - 1);
    uint32_t before = line->port->count;
    CU_ASSERT_TRUE(line->feed->next == 1);
    line_turn(line, 1);
    CU_ASSERT_EQUAL(line->feed->next, 3);
    CU_ASSERT_EQUAL(line->port->count, before + 1);
    CU_ASSERT_TRUE(line->feed->stats.unresolved > 0);
    line_messages(line, 1, true); /* once begun it waits no more */
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->feed->next, 4);
    line_free(line);
}

static void without_buffers_numbers_go_on(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    line->port->left = 0;
    line_messages(line, 3, true);
    line_turn(line, 0);
    line->port->left = 100;
    wire_clear(line->port);
    line_messages(line, 2, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(in_order(line, 5), 7); /* the lost ones are lost, nothing is misnumbered */
    CU_ASSERT_TRUE(line->feed->stats.no_frame > 0);
    line_free(line);
}

/* --- credit -------------------------------------------------------------------------------------
 */

/* Each item in history, and each not taken yet, still has its bytes in the window. */
static void assert_held(const struct line *line)
{
    const struct feed *feed = line->feed;
    for (uint64_t i = feed->history_head; i < feed->history_tail; i++) {
        const struct feed_item *item = &feed->history[i & (feed->options.history - 1)];
        CU_ASSERT_PTR_EQUAL_FATAL(ring_entry(line->world.ring, item->index), item->entry);
        CU_ASSERT_EQUAL_FATAL(item->entry->index, item->index);
    }
    for (uint64_t i = feed->items.head; i < feed->items.tail; i++) {
        const struct feed_item *item =
            (const struct feed_item *)(const void *)feed->items.records + (i & feed->items.mask);
        CU_ASSERT_PTR_EQUAL_FATAL(ring_entry(line->world.ring, item->index), item->entry);
    }
}

static void a_window_page_is_never_reused_while_referenced(void)
{
    /* The feed lags, catches up, lags again, over many laps of the window. */
    struct line *line = line_new();
    line_start(line, true);
    uint64_t random = 5, refused = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        uint32_t kind = (uint32_t)(random >> 60);
        uint16_t count = (uint16_t)(1 + (random >> 40) % 16);
        if (line->next + 16 >= LINE_NUMBERS_MAX - 64)
            break;
        if (kind < 10 && line_entry(line, count, kind == 0 ? 0 : UINT64_MAX, true) == NULL)
            refused++;
        if (kind % 4 == 1)
            line_turn(line, 0);
        if (kind % 4 == 2)
            line_contact(line, 0);
        if (kind % 4 != 3)
            line_done(line);
        ring_turn(line->world.ring, line->world.now_ns += RING_SEAL_AFTER_NS);
        ring_disk_turn(line->world.ring);
        ring_aux_turn(line->world.ring);
        ring_note_checkpoint(line->world.ring, line->applied);
        assert_held(line);
        CU_ASSERT_TRUE_FATAL(feed_done(line->feed, line->applied) <= line->applied);
        wire_clear(line->port);
    }
    CU_ASSERT_TRUE(line->applied > 1000);
    /* at rest the credit comes back whole: the window does not stay full */
    for (uint32_t i = 0; i < 1000 && line->feed->popped != line->feed->pushed; i++)
        line_turn(line, 0);
    line_contact(line, 0);
    line_turn(line, 0);
    line_done(line);
    line_settle(line);
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 1, 1, true));
    line_free(line);
}

static void history_keeps_the_newest(void)
{
    struct line *line = line_new();
    line->options.history = 16;
    line_start(line, true);
    line_messages(line, 40, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->feed->history_tail - line->feed->history_head, 16);
    CU_ASSERT_EQUAL(line->feed->history[line->feed->history_head & 15].feed, 25);
    /* the credit follows it */
    CU_ASSERT_EQUAL(feed_done(line->feed, line->applied), 24);
    /* and when even those are old, nothing is held at all, though the feed saw no entry since */
    feed_contact(line->feed, line->now_ns, line->applied + 1);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(feed_done(line->feed, line->applied + 7), line->applied + 7);
    line_free(line);
}

static void what_was_pushed_and_not_taken_is_held(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 10, true);
    line_turn(line, 0);
    feed_contact(line->feed, line->now_ns, line->applied + 1);
    line_turn(line, 0);
    uint64_t before = line->applied;
    line_messages(line, 3, true);
    CU_ASSERT_EQUAL(feed_done(line->feed, line->applied), before);
    line_free(line);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"batches naturally", batches_naturally},
        {"refused blocks take no number", refused_blocks_take_no_number},
        {"every destination gets the same", every_destination_gets_the_same},
        {"an envelope tells stamp and session", envelope_tells_stamp_and_session},
        {"heartbeats name the next number", heartbeats_name_the_next_number},
        {"H22: a stale line says nothing", h22_a_stale_line_says_nothing},
        {"H22: without any contact nothing is said", h22_without_any_contact_nothing_is_said},
        {"contact younger than the turn is contact", contact_of_a_younger_clock_reading_is_contact},
        {"replayed items are not shown", replayed_items_are_not_shown},
        {"a day ends and another begins", a_day_ends_and_another_begins},
        {"an end and a beginning in one turn", an_end_and_a_beginning_in_one_turn},
        {"a start within a closed day", a_start_within_a_closed_day},
        {"the first packets wait for addresses", the_first_packets_wait_for_addresses},
        {"a consumer that never answers holds up nobody",
         a_consumer_that_never_answers_holds_up_nobody},
        {"without buffers numbers go on", without_buffers_numbers_go_on},
        {"a window page is never reused while referenced",
         a_window_page_is_never_reused_while_referenced},
        {"history keeps the newest", history_keeps_the_newest},
        {"what was pushed and not taken is held", what_was_pushed_and_not_taken_is_held},
        {0}};
    return unit_main("feed", tests);
}
