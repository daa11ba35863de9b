/* The search for what lies before a start: where the day's messages are in the ring, and where it
 * ends.
 */
#include "tests/unit/dataplane/line.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* A feed that begins anew behind what stands in the ring, as after a restart; `known` is what
 * checkpoint and replay left. Ends when it looks back no more. */
static void start_again(struct line *line, const struct feed_exceptions *known)
{
    line_turn(line, 0);
    line_settle(line);
    uint64_t page = ring_page_of(line->world.ring, line->applied);
    free(line->memory);
    line_start(line, true);
    feed_look_back(line->feed, page, known);
    for (uint32_t turn = 0; turn < 5000 && line->feed->past.active; turn++) {
        line_turn(line, 0);
        line_settle(line);
    }
    CU_ASSERT_FALSE_FATAL(line->feed->past.active);
}

/* The same with nothing lost of what the feed itself knows. */
static void start_again_knowing_all(struct line *line)
{
    line_turn(line, 0);
    struct feed_exceptions *known = malloc(sizeof(*known));
    CU_ASSERT_PTR_NOT_NULL_FATAL(known);
    *known = *line->feed->exceptions;
    known->lost = 0;
    start_again(line, known);
    free(known);
}

/* The lowest number that is answered for, by asking; line->next: none. */
static uint64_t oldest_answered(struct line *line)
{
    uint64_t first = 1;
    for (; first < line->next && line_asked(line, first, 1) == NULL; first++)
        line->now_ns += 10000000;
    return first;
}

static struct feed_exceptions *copy_of(const struct feed_exceptions *list)
{
    struct feed_exceptions *copy = malloc(sizeof(*copy));
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    *copy = *list;
    return copy;
}

static void fill_day(struct line *line)
{
    for (uint32_t i = 0; i < 60; i++) {
        CU_ASSERT_PTR_NOT_NULL(line_entry(line, 1, i % 7 == 3 ? 0 : 1, true));
        CU_ASSERT_PTR_NOT_NULL(line_entry(line, 5, i % 5 == 2 ? 6 : 31, true));
        if (i % 11 == 4)
            line_session_end(line, true);
        if (i % 3 == 0)
            line_settle(line); /* a page of its own, and its seal */
        line_turn(line, 0);
        feed_contact(line->feed, line->now_ns, line->applied + 1);
        line_turn(line, 0);
        line_done(line);
    }
}

static void numbers_from_before_the_start(void)
{
    struct line *line = line_started();
    fill_day(line);
    CU_ASSERT_TRUE(line->feed->exceptions->tail > 20);
    struct feed_exceptions *known = copy_of(line->feed->exceptions);
    known->lost = 0;
    uint64_t before = line->next;
    start_again(line, known);
    CU_ASSERT_EQUAL(line->feed->history_head, line->feed->history_tail);
    line_answers(line, 1, before);
    line_messages(line, 4, true); /* and it goes on */
    line_turn(line, 0);
    line_answers(line, 1, line->next);
    free(known);
    line_free(line);
}

static void the_search_ends_where_too_little_is_known(void)
{
    /* Exceptions of a part of the day are lost: a number told wrongly would be worse than none. */
    struct line *line = line_started();
    fill_day(line);
    struct feed_exceptions *known = copy_of(line->feed->exceptions);
    while (known->tail - known->head > 10)
        known->lost = known->at[known->head++ & (FEED_EXCEPTIONS - 1)].index;
    uint64_t before = line->next;
    start_again(line, known);
    uint64_t first = 1;
    for (; first < before && line_asked(line, first, 1) == NULL; first++)
        line->now_ns += 10000000;
    CU_ASSERT_TRUE(first > 100 && first < before - 20);
    line_answers(line, first, before);
    free(known);
    line_free(line);
}

static void the_search_ends_where_the_day_began(void)
{
    struct line *line = line_started();
    fill_day(line);
    line_day_end(line, true);
    line_turn(line, 0);
    line_day_begin(line, "DAY2      ", true);
    line_turn(line, 0);
    for (uint32_t packed = 0; packed < 2; packed++) { /* the day begins within a page, or not */
        CU_ASSERT_PTR_NOT_NULL(line_entry(line, 5, 6, true));
        line_session_end(line, true);
        line_messages(line, 9, true);
        struct feed_exceptions *known = copy_of(line->feed->exceptions);
        line_turn(line, 0);
        *known = *line->feed->exceptions;
        known->lost = 0;
        uint64_t before = line->next;
        start_again(line, known);
        line_answers(line, 1, before);
        free(known);
    }
    line_free(line);
}

static void exceptions_in_a_checkpoint(void)
{
    struct line *line = line_started();
    fill_day(line);
    line_turn(line, 0);
    struct feed_exceptions *list = line->feed->exceptions;
    struct feed_exceptions *back = copy_of(list);
    size_t cap = feed_exceptions_encoded_max();
    uint8_t *bytes = malloc(cap);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    list->lost = 0;
    size_t size = feed_exceptions_encode(list, bytes, cap);
    uint64_t count = list->tail - list->head;
    CU_ASSERT_EQUAL(size, 16 + 96 * count);
    CU_ASSERT_TRUE(feed_exceptions_decode(back, line->applied, bytes, size));
    CU_ASSERT_TRUE(back->tail - back->head == count && back->lost == 0);
    for (uint64_t i = list->head; i < list->tail; i++) {
        const struct feed_exception *e = &list->at[i & (FEED_EXCEPTIONS - 1)];
        const struct feed_exception *same = feed_exceptions_find(back, e->index);
        CU_ASSERT_FATAL(same != NULL && memcmp(same, e, sizeof(*e)) == 0);
    }
    size = feed_exceptions_encode(list, bytes, 16 + 96 * 3 + 50); /* the newest three fit */
    CU_ASSERT_EQUAL(size, 16 + 96 * 3);
    CU_ASSERT_TRUE(feed_exceptions_decode(back, line->applied, bytes, size));
    CU_ASSERT_TRUE(back->lost == list->at[(list->tail - 4) & (FEED_EXCEPTIONS - 1)].index);
    CU_ASSERT_EQUAL(feed_exceptions_encode(list, bytes, 15), 0);
    for (size_t cut = 0; cut < size; cut++) {
        CU_ASSERT_FALSE(feed_exceptions_decode(back, line->applied, bytes, cut));
        CU_ASSERT_TRUE(back->head == back->tail && back->lost == line->applied);
    }
    bytes[0] ^= 2; /* another version */
    CU_ASSERT_FALSE(feed_exceptions_decode(back, line->applied, bytes, size));
    free(bytes);
    free(back);
    line_free(line);
}

/* Pages without a message, of noops and of votes, lie between the day's. */
static void pages_without_messages(void)
{
    struct line *line = line_started();
    for (uint32_t i = 0; i < 4; i++) {
        line_messages(line, 3, true);
        line_settle(line);
        line_noop(line);
        line_settle(line);
        ring_hard(line->world.ring, line->term, 2, ++line->lsn);
        line_settle(line);
    }
    line_messages(line, 1, true);
    start_again_knowing_all(line);
    line_answers(line, 1, line->next);
    line_free(line);
}

/* A page whose entries a later one superseded all says nothing. */
static void superseded_pages(void)
{
    struct line *line = line_started();
    line_messages(line, 3, true);
    line_settle(line);
    line_superseded(line, 2);
    line_messages(line, 3, true);
    start_again_knowing_all(line);
    line_answers(line, 1, line->next);
    CU_ASSERT_EQUAL(line->feed->sample_tail - line->feed->sample_head, 2);
    line_free(line);
}

/* As many pages as are remembered; what lies before them is not asked for. */
static void more_pages_than_are_remembered(void)
{
    struct line *line = line_new();
    line->options.samples = 4;
    line_start(line, true);
    for (uint32_t i = 0; i < 9; i++) {
        line_messages(line, 2, true);
        line_settle(line);
    }
    start_again_knowing_all(line);
    CU_ASSERT_EQUAL(oldest_answered(line), line->next - 8);
    line_answers(line, line->next - 8, line->next);
    line_free(line);
}

/* The ring begins in the middle of the day: at its first index, or in a page before that. */
static void the_ring_begins_within_the_day(void)
{
    struct line *line = line_new();
    line->next = 50;
    line_start(line, true);
    line_messages(line, 6, true);
    start_again_knowing_all(line);
    CU_ASSERT_EQUAL(oldest_answered(line), 50);
    line_answers(line, 50, line->next);
    /* page 0 is the boot's: nothing is before it */
    line->feed->past = (struct feed_past){.active = true, .page = 0, .index = 1, .feed = 2};
    line_turn(line, 0);
    line_settle(line);
    line_turn(line, 0);
    CU_ASSERT_FALSE(line->feed->past.active);
    line_free(line);
}

/* Two days' beginnings in one page, and a day without messages between them: the one that is looked
 * for has its own name. */
static void a_day_without_messages(void)
{
    struct line *line = line_started();
    line_messages(line, 2, true);
    line_day_end(line, true);
    line_day_begin(line, "DAY2      ", true);
    line_day_end(line, true);
    line_day_begin(line, "DAY3      ", true);
    line_messages(line, 5, true);
    start_again_knowing_all(line);
    line_answers(line, 1, line->next);
    CU_ASSERT_EQUAL(line->next, 6);
    line_free(line);
}

/* The day began in a page of which not all is known any more: up to an entry before its beginning,
 * which does no harm; up to one behind it, and then nothing of the page is told. Nor is it if an
 * exception that is known makes the day's first number another than 1. */
static void what_is_lost_of_the_first_page(void)
{
    for (uint32_t what = 0; what < 3; what++) {
        struct line *line = line_started();
        line_messages(line, 2, true);
        line_day_end(line, true);
        line_day_begin(line, "DAY2      ", true);
        uint64_t begin = line->applied;
        line_messages(line, 5, true);
        line_turn(line, 0);
        struct feed_exceptions *known = copy_of(line->feed->exceptions);
        known->lost = begin + (what == 1);
        if (what == 2)
            *feed_exceptions_add(known) = (struct feed_exception){.index = begin + 1};
        start_again(line, known);
        CU_ASSERT_EQUAL(oldest_answered(line), what == 0 ? 1 : line->next);
        free(known);
        line_free(line);
    }
}

/* While it searches: another day begins, a consumer asks, the drive fails, a page is not what it
 * was. */
enum interruption { DAY_BEGINS, ASKED, DRIVE_FAILS, ENTRIES_GONE };

static void interrupted(enum interruption what)
{
    struct line *line = line_started();
    for (uint32_t i = 0; i < 6; i++) {
        line_messages(line, 4, true);
        line_settle(line);
    }
    line_turn(line, 0);
    uint64_t third = line->feed->sample[(line->feed->sample_head + 2) & 255].page;
    if (what == ENTRIES_GONE) {
        struct ring_page *page = world_page_head(&line->world, third);
        uint16_t size = ((const struct entry *)(const void *)ring_page_entries(page))->size;
        CU_ASSERT_FATAL(page->self.count == 4 && page->self.bytes == 4 * size);
        memset(ring_page_entries(page) + 3 * size, 0, size);
        page->self.count = 3;
        page->self.bytes = 3u * size;
        ring_page_finish(page);
    }
    uint64_t from = ring_page_of(line->world.ring, line->applied);
    struct feed_exceptions *known = copy_of(line->feed->exceptions);
    known->lost = 0;
    free(line->memory);
    line_start(line, true);
    feed_look_back(line->feed, from, known);
    line_turn(line, 0);
    CU_ASSERT_TRUE_FATAL(line->feed->past.reading);
    CU_ASSERT_EQUAL(line_turn(line, 0), 0); /* one page at a time */
    if (what == DAY_BEGINS) {
        line_day_end(line, true);
        line_day_begin(line, "DAY2      ", true);
        line_turn(line, 0);
        CU_ASSERT_TRUE(line->feed->past.reading && !line->feed->past.active);
    }
    if (what == DRIVE_FAILS) {
        line->world.store.fail_at = line->world.store.operations + 1;
        line->world.store.fail_on = true;
    }
    for (uint32_t turn = 0; turn < 100 && line->feed->past.active; turn++) {
        line_settle(line);
        line_turn(line, 0);
        if (what == ASKED && line->feed->past.feed == 21 && line->feed->stats.requests == 0) {
            line_settle(line); /* the next page has come */
            line_ask(line, LINE_CONSUMER, line->day, 22, 1);
            line_turn(line, 0);
            CU_ASSERT_TRUE(line->feed->reading);
            CU_ASSERT_FALSE(line->feed->past.reading); /* it waits for the answer */
        }
    }
    line_settle(line);
    line_turn(line, 0);
    CU_ASSERT_FALSE(line->feed->past.active || line->feed->past.reading);
    line->world.store.fail_at = 0;
    line->world.store.fail_on = false;
    switch (what) {
    case DAY_BEGINS:
        line_messages(line, 3, true);
        line_answers(line, 1, 4);
        break;
    case ASKED:
        CU_ASSERT_EQUAL(line->feed->stats.answered_drive, 1);
        line_answers(line, 1, line->next);
        break;
    case DRIVE_FAILS:
        CU_ASSERT_EQUAL(oldest_answered(line), line->next);
        break;
    case ENTRIES_GONE: /* the two first pages, and that one */
        CU_ASSERT_EQUAL(oldest_answered(line), 13);
        break;
    }
    free(known);
    line_free(line);
}

static void interruptions(void)
{
    interrupted(DAY_BEGINS);
    interrupted(ASKED);
    interrupted(DRIVE_FAILS);
    interrupted(ENTRIES_GONE);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"numbers from before the start", numbers_from_before_the_start},
        {"the search ends where too little is known", the_search_ends_where_too_little_is_known},
        {"the search ends where the day began", the_search_ends_where_the_day_began},
        {"pages without messages", pages_without_messages},
        {"superseded pages", superseded_pages},
        {"more pages than are remembered", more_pages_than_are_remembered},
        {"the ring begins within the day", the_ring_begins_within_the_day},
        {"a day without messages", a_day_without_messages},
        {"what is lost of the first page", what_is_lost_of_the_first_page},
        {"interruptions", interruptions},
        {"exceptions in a checkpoint", exceptions_in_a_checkpoint},
        {0}};
    return unit_main("feed_past", tests);
}
