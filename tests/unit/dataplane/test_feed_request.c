/* The request server: what was missed, from memory or from the drive, to whom it belongs, and
 * nothing else.
 */
#include "tests/unit/dataplane/line.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* All that memory holds is forgotten: the window's younger half has moved past it. */
static void forget_memory(struct line *line)
{
    line_turn(line, 0);
    line_settle(line);
    feed_contact(line->feed, line->now_ns, line->applied + 1);
    line_turn(line, 0);
    CU_ASSERT_EQUAL_FATAL(line->feed->history_head, line->feed->history_tail);
}

static void from_memory(void)
{
    struct line *line = line_started();
    for (uint32_t i = 0; i < 40; i++)
        CU_ASSERT_PTR_NOT_NULL(line_entry(line, 3, 7, true));
    for (uint64_t first = 1; first < line->next; first++) {
        uint16_t wanted = (uint16_t)(1 + first % 9);
        uint16_t left = (uint16_t)(line->next - first);
        CU_ASSERT_EQUAL(line_answer(line, first, wanted), wanted < left ? wanted : left);
        line->now_ns += 10000000;
    }
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 0);
    CU_ASSERT_TRUE(line_answer(line, 1, 1000) < 30); /* one packet, not more */
    line_free(line);
}

/* Some entries with a refused beginning, some refused wholly, session ends among them. */
static void mixed(struct line *line, uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++) {
        if (i % 7 == 3)
            line_session_end(line, true);
        uint64_t taken = i % 5 == 1 ? 0 : i % 5 == 2 ? 0xfc : 0xff;
        CU_ASSERT_PTR_NOT_NULL_FATAL(line_entry(line, 8, taken, true));
    }
}

static void refused_blocks_and_session_ends_from_memory(void)
{
    struct line *line = line_started();
    mixed(line, 40);
    for (uint64_t first = 1; first < line->next; first++) {
        line_answer(line, first, (uint16_t)(1 + first % 40));
        line->now_ns += 10000000;
        feed_contact(line->feed, line->now_ns, 0);
    }
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 0);
    line_free(line);
}

static void refused_blocks_and_session_ends_from_the_drive(void)
{
    struct line *line = line_started();
    mixed(line, 60);
    forget_memory(line);
    for (uint64_t first = 1; first < line->next; first++) {
        line_answer(line, first, (uint16_t)(1 + first % 40));
        line->now_ns += 10000000;
        feed_contact(line->feed, line->now_ns, line->applied + 1);
    }
    CU_ASSERT_EQUAL(line->feed->stats.answered_memory, 0);
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, line->next - 1);
    line_free(line);
}

static void a_missed_stretch_is_filled_by_asking_on(void)
{
    /* Half on the drive, half in memory; the consumer asks for what the last answer left. */
    struct line *line = line_started();
    mixed(line, 30);
    forget_memory(line);
    mixed(line, 30);
    uint64_t first = 1;
    for (uint32_t n = 0; n < 500 && first < line->next; n++) {
        feed_contact(line->feed, line->now_ns, 0);
        first += line_answer(line, first, 500);
        line->now_ns += 10000000;
    }
    CU_ASSERT_EQUAL(first, line->next);
    CU_ASSERT_TRUE(line->feed->stats.answered_drive > 0 && line->feed->stats.answered_memory > 0);
    line_free(line);
}

static void a_superseded_tail_is_never_served(void)
{
    /* Entries of term 1 lie in the same page behind those that were applied; a new leader cut them
     * off, and its own stand on the next page. A drive's page still holds the old ones. */
    struct line *line = line_started();
    line_messages(line, 3, true);
    uint64_t next = line->next, serial = line->serial;
    line_superseded(line, 3);
    CU_ASSERT_EQUAL(line->next, next);
    CU_ASSERT_EQUAL(line->serial, serial);
    line_messages(line, 3, true);
    line_settle(line);
    forget_memory(line);
    for (uint64_t first = 1; first < line->next; first++)
        line_answer(line, first, 10);
    CU_ASSERT_EQUAL(line_answer(line, 1, 10), 3); /* the old page ends where it was cut */
    line_free(line);
}

static void the_next_laps_page_is_never_served(void)
{
    /* The slot was written anew since: the number is gone from here, and nothing else comes. */
    struct line *line = line_started();
    line_messages(line, 4, true);
    line_turn(line, 0);
    uint64_t first = line->feed->sample_head;
    uint64_t first_tail = line->feed->sample[first & (line->options.samples - 1)].page;
    while (line->feed->sample_tail < first + 200) {
        line_messages(line, 8, true);
        line_turn(line, 0);
        feed_contact(line->feed, line->now_ns, line->applied + 1);
        line_turn(line, 0);
        line_done(line);
        line_settle(line);
    }
    struct ring_stats stats;
    ring_stats(line->world.ring, &stats);
    for (uint32_t i = 0; i < 20000 && stats.tail_page < first_tail + stats.slots + 8; i++) {
        ring_note_checkpoint(line->world.ring, line->applied);
        ring_hard(line->world.ring, line->term, 0, ++line->lsn); /* pages without a message */
        line_settle(line);
        ring_stats(line->world.ring, &stats);
    }
    CU_ASSERT_FATAL(stats.tail_page >= first_tail + stats.slots + 8);
    uint64_t gone = line->feed->stats.request_gone;
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 3));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, gone + 1);
    line_free(line);
}

static void the_days_name_changes_while_the_drive_is_asked(void)
{
    /* DAY1's number 1 was asked for; before the page arrives DAY2 begins. The old message must not
     * come under the new day's name. */
    struct line *line = line_started();
    line_messages(line, 4, true);
    forget_memory(line);
    wire_clear(line->port);
    line_ask(line, LINE_CONSUMER, "DAY1      ", 1, 4);
    line_turn(line, 0);
    CU_ASSERT_TRUE_FATAL(line->feed->reading);
    line_day_end(line, true);
    line_day_begin(line, "DAY2      ", true);
    line_turn(line, 0);
    wire_clear(line->port);
    line_settle(line);
    line_turn(line, 0);
    CU_ASSERT_FALSE(line->feed->reading);
    CU_ASSERT_EQUAL(line->port->count, 0);
    CU_ASSERT_EQUAL(line->feed->stats.request_session, 1);
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 0);
    line_messages(line, 2, true);
    CU_ASSERT_EQUAL(line_answer(line, 1, 2), 2); /* and it still serves */
    line_free(line);
}

/* A peer's checkpoint takes the log's place while the drive is asked: which blocks of the page took
 * numbers is forgotten with the log, and a number told wrongly would be worse than none. */
static void the_log_gives_way_while_the_drive_is_asked(void)
{
    struct line *line = line_started();
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 4, 0xc, true));
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 4, 0xf, true));
    forget_memory(line);
    wire_clear(line->port);
    line_ask(line, LINE_CONSUMER, line->day, 1, 6);
    line_turn(line, 0);
    CU_ASSERT_TRUE_FATAL(line->feed->reading);
    line_anew(line);
    line_turn(line, 0);
    line_settle(line);
    line_turn(line, 0);
    CU_ASSERT_FALSE(line->feed->reading);
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    for (uint32_t i = 0; i < line->port->count; i++)
        line_check(line, &line->port->kept[i]);
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 0);
    line_free(line);
}

/* Whole packets of the smallest messages: every bit of the mask of blocks counts. */
static void sixty_four_messages_in_an_entry(void)
{
    struct line *line = line_started();
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 64, UINT64_MAX, true));
    line_noop(line); /* between them, in the same page */
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 64, UINT64_MAX, true));
    line_turn(line, 0);
    feed_contact(line->feed, line->now_ns, 0);
    line_answers(line, 1, line->next);
    forget_memory(line);
    line_answers(line, 1, line->next);
    CU_ASSERT_EQUAL(line->feed->stats.answered_memory, 128);
    CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 128);
    line_free(line);
}

/* Committed by others' drives: the window has moved on, and this drive still writes. */
static void a_page_that_is_not_durable_is_no_answer(void)
{
    struct line *line = line_started();
    line->world.store.hold = true;
    line_messages(line, 4, true);
    forget_memory(line);
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 4));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    line->world.store.hold = false;
    line_settle(line);
    line_answer(line, 1, 4);
    line_free(line);
}

/* A drive that changes a page with all its checksums right: nothing of it is told under a number
 * that it does not reach. */
static void a_page_that_lost_entries_is_no_answer(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    forget_memory(line);
    struct ring_page *page = world_page_head(&line->world, line->feed->sample[0].page);
    CU_ASSERT_EQUAL_FATAL(page->self.count, 4);
    const struct entry *first = (const struct entry *)(const void *)ring_page_entries(page);
    page->self.count = 1;
    memset(ring_page_entries(page) + first->size, 0, page->self.bytes - first->size);
    page->self.bytes = first->size;
    ring_page_finish(page);
    CU_ASSERT_EQUAL(line_answer(line, 1, 4), 1);
    CU_ASSERT_PTR_NULL(line_asked(line, 2, 3));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    CU_ASSERT_FALSE(line->feed->reading);
    line_free(line);
}

/* More exceptions than are kept: what is known no more is not guessed. */
static void forgotten_exceptions_are_no_answer(void)
{
    struct line *line = line_started();
    CU_ASSERT_PTR_NOT_NULL(line_entry(line, 4, 0xc, true));
    line_settle(line);
    line_messages(line, 1, true);
    uint64_t old = line->applied - 1;
    forget_memory(line);
    struct feed_exceptions *list = line->feed->exceptions;
    while (feed_exceptions_find(list, old) != NULL)
        *feed_exceptions_add(list) = (struct feed_exception){.index = line->applied};
    CU_ASSERT_EQUAL(list->lost, old);
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 1));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    line_free(line);
}

static void an_unreadable_page_is_no_answer(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    forget_memory(line);
    line->world.store.fail_on = true;
    line->world.store.fail_at = line->world.store.operations + 1;
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 4));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    CU_ASSERT_FALSE(line->feed->reading);
    line_free(line);
}

static void what_cannot_be_served_is_counted(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    CU_ASSERT_PTR_NULL(line_asked(line, 0, 4));
    CU_ASSERT_PTR_NULL(line_asked(line, 2, 0));
    CU_ASSERT_EQUAL(line->feed->stats.request_low, 2);
    CU_ASSERT_PTR_NULL(line_asked(line, 5, 1)); /* not there yet */
    CU_ASSERT_PTR_NULL(line_asked(line, UINT64_MAX, 0xffff));
    CU_ASSERT_EQUAL(line->feed->stats.request_high, 2);
    line_ask(line, LINE_CONSUMER, "DAY0      ", 1, 1);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->feed->stats.request_session, 1);
    CU_ASSERT_EQUAL(line->port->count, 0);
    line_answer(line, 4, 0xffff); /* reaches beyond the end: what there is */
    line_free(line);
}

static void numbers_from_before_the_start_are_gone(void)
{
    struct line *line = line_new();
    line->next = 100;
    line_start(line, true);
    line_messages(line, 4, true);
    CU_ASSERT_PTR_NULL(line_asked(line, 99, 2));
    CU_ASSERT_EQUAL(line->feed->stats.request_gone, 1);
    line_answer(line, 100, 4);
    line_free(line);
}

static void strangers_get_nothing(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    line_turn(line, 0);
    wire_clear(line->port);
    line_ask(line, LINE_CONSUMER + 1, line->day, 1, 4);
    line_ask(line, 0, line->day, 1, 4);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 0);
    CU_ASSERT_EQUAL(line->feed->stats.request_stranger, 2);
    line_free(line);
}

static void one_consumer_is_limited_and_no_other(void)
{
    struct line *line = line_new();
    line->options.consumer_count = 2;
    line->options.consumer[1] = LINE_CONSUMER + 1;
    line_start(line, true);
    line_messages(line, 4, true);
    line_turn(line, 0);
    uint32_t answered = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        wire_clear(line->port);
        line_ask(line, LINE_CONSUMER, line->day, 1, 1);
        line_turn(line, 0);
        answered += line->port->count;
    }
    CU_ASSERT_EQUAL(answered, FEED_REQUESTS_PER_S / 10); /* a burst, then nothing */
    CU_ASSERT_EQUAL(line->feed->stats.request_limited, 1000 - answered);
    wire_clear(line->port);
    line_ask(line, LINE_CONSUMER + 1, line->day, 1, 1);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1);
    answered = 0;
    for (uint32_t i = 0; i < 2000; i++) { /* two asked each ms: what the rate allows */
        line_contact(line, 0);
        wire_clear(line->port);
        line_ask(line, LINE_CONSUMER, line->day, 1, 1);
        line_ask(line, LINE_CONSUMER, line->day, 2, 1);
        line_turn(line, i % 10 == 0 ? 1 : 0);
        for (uint32_t k = 0; k < line->port->count; k++)
            answered += mold_count((const struct mold_header *)line->port->kept[k].payload) > 0;
    }
    CU_ASSERT_EQUAL(answered, 200 * FEED_REQUESTS_PER_S / 1000);
    line_free(line);
}

static void a_flood_and_nonsense_cost_others_nothing(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    line_turn(line, 0);
    uint8_t bytes[64] = {0};
    for (uint32_t size = 0; size < sizeof(bytes); size++) {
        struct frame_datagram datagram = {
            .from = {.ip = LINE_CONSUMER, .port = 1}, .payload = bytes, .size = size};
        CU_ASSERT_TRUE(feed_request(line->feed, &datagram));
    }
    CU_ASSERT_EQUAL(line->feed->stats.request_malformed, sizeof(bytes) - 1);
    struct frame_datagram datagram = {
        .from = {.ip = LINE_CONSUMER, .port = 1}, .payload = bytes, .size = MOLD_HEADER_SIZE};
    uint32_t taken = 1;
    while (taken < 2 * LINK_FEED_REQUESTS && feed_request(line->feed, &datagram))
        taken++;
    CU_ASSERT_EQUAL(taken, LINK_FEED_REQUESTS);               /* full: told so */
    CU_ASSERT_TRUE(line_turn(line, 0) <= FEED_TURN_REQUESTS); /* a turn stays short */
    line_messages(line, 1, true);
    wire_clear(line->port);
    line_turn(line, 0); /* the line goes on all the same */
    CU_ASSERT_EQUAL(line->port->count, 1);
    CU_ASSERT_EQUAL(line_check(line, &line->port->kept[0]), 1);
    line_free(line);
}

static void an_answer_without_buffers_is_dropped_whole(void)
{
    struct line *line = line_started();
    line_messages(line, 4, true);
    line_turn(line, 0);
    line->port->left = 0;
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 4));
    forget_memory(line);
    CU_ASSERT_PTR_NULL(line_asked(line, 1, 4));
    line->port->left = 10;
    line_answer(line, 1, 4);
    line_free(line);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"from memory", from_memory},
        {"refused blocks and session ends, from memory",
         refused_blocks_and_session_ends_from_memory},
        {"refused blocks and session ends, from the drive",
         refused_blocks_and_session_ends_from_the_drive},
        {"a missed stretch is filled by asking on", a_missed_stretch_is_filled_by_asking_on},
        {"a superseded tail is never served", a_superseded_tail_is_never_served},
        {"the next lap's page is never served", the_next_laps_page_is_never_served},
        {"the day's name changes while the drive is asked",
         the_days_name_changes_while_the_drive_is_asked},
        {"the log gives way while the drive is asked", the_log_gives_way_while_the_drive_is_asked},
        {"sixty-four messages in an entry", sixty_four_messages_in_an_entry},
        {"a page that is not durable is no answer", a_page_that_is_not_durable_is_no_answer},
        {"a page that lost entries is no answer", a_page_that_lost_entries_is_no_answer},
        {"forgotten exceptions are no answer", forgotten_exceptions_are_no_answer},
        {"an unreadable page is no answer", an_unreadable_page_is_no_answer},
        {"what cannot be served is counted", what_cannot_be_served_is_counted},
        {"who does not look back answers for nothing before its start",
         numbers_from_before_the_start_are_gone},
        {"strangers get nothing", strangers_get_nothing},
        {"one consumer is limited and no other", one_consumer_is_limited_and_no_other},
        {"a flood and nonsense cost others nothing", a_flood_and_nonsense_cost_others_nothing},
        {"an answer without buffers is dropped whole", an_answer_without_buffers_is_dropped_whole},
        {0}};
    return unit_main("feed_request", tests);
}
