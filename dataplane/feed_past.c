/* Where the day's messages from before this start lie in the ring.
 *
 * The log says which entries they are, the exceptions which of their blocks took numbers, and the
 * machine that recovery left which number comes next: so the pages are read backwards from there,
 * one at a time and after everything else, each gives its sample, and answers from the drive know
 * it from then on. The search ends where the day began, at the ring's head, or where something does
 * not fit.
 *
 * Backwards, the first page met that holds an index holds its live version: a later one supersedes.
 */
#include "dataplane/feed_internal.h"

#include <string.h>

void feed_look_back(struct feed *feed, uint64_t page, const struct feed_exceptions *known)
{
    feed_exceptions_copy(feed->exceptions, known);
    feed->past = (struct feed_past){
        .active = feed->popped > 0 && feed->next > 1,
        .page = page,
        .index = feed->popped,
        .feed = feed->next,
    };
}

/* The day that the answers are about began here, and numbers with it. */
static bool day_begins(const struct feed *feed, const struct entry *entry, uint64_t number)
{
    const struct entry_day *day = entry_body(entry);
    return entry->kind == ENTRY_DAY_BEGIN && number == 1 &&
           memcmp(day->name, feed->day, sizeof(feed->day)) == 0;
}

static void finish(struct feed *feed)
{
    feed->past.active = false;
}

/* A sample before all others. */
static void sample_before(struct feed *feed, const struct feed_sample *sample)
{
    if (feed->sample_tail - feed->sample_head == feed->options.samples) {
        finish(feed);
        return;
    }
    feed->sample[--feed->sample_head & (feed->options.samples - 1)] = *sample;
    feed_note_oldest(feed);
}

/* The live entries of a page, those up to past.index, one by one from the first. Counts backwards:
 * what the page holds is known only when it was walked. */
static void walk(struct feed *feed, const struct ring_page *page)
{
    struct feed_past *past = &feed->past;
    uint64_t count = 0;
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint64_t first = page->self.first_index;
    for (uint64_t i = first; i <= past->index; i++) {
        const struct entry *entry = (const struct entry *)at;
        count += feed_entry_count(feed, entry);
        at += entry->size;
    }
    if (count >= past->feed || first <= feed->exceptions->lost) {
        /* Not all of it is of this day, or not all is known of it: from which entry on? */
        uint64_t number = past->feed;
        at = (const uint8_t *)page + RING_HEAD_SIZE;
        uint64_t rest = count;
        bool begun = false;
        for (uint64_t i = first; i <= past->index && !begun; i++) {
            const struct entry *entry = (const struct entry *)at;
            rest -= feed_entry_count(feed, entry);
            at += entry->size;
            begun = rest < number && day_begins(feed, entry, number - rest) &&
                    i >= feed->exceptions->lost;
            first = i + 1;
        }
        if (begun) /* behind it, since there is a number behind it */
            sample_before(feed, &(struct feed_sample){1, first, past->index, page->page});
        finish(feed);
        return;
    }
    past->feed -= count;
    if (count > 0)
        sample_before(feed, &(struct feed_sample){past->feed, first, past->index, page->page});
    past->index = first - 1;
    if (past->feed == 1 || past->index == 0)
        finish(feed);
}

void feed_past_page(struct feed *feed, const struct ring_read *read)
{
    struct feed_past *past = &feed->past;
    past->reading = false;
    if (!past->active)
        return; /* another day began meanwhile */
    if (read->result != 0) {
        finish(feed); /* the head has passed, or it is damaged */
        return;
    }
    const struct ring_page *page = read->page;
    if (ring_page_present(page) > 0 && page->self.first_index <= past->index) {
        if (page->self.first_index + ring_page_present(page) - 1 < past->index) {
            finish(feed); /* no page holds it */
            return;
        }
        walk(feed, page);
    }
    if (past->page == 0)
        finish(feed);
    else
        past->page--;
}

uint32_t feed_past_turn(struct feed *feed)
{
    struct feed_past *past = &feed->past;
    if (past->reading || feed->reading)
        return 0;
    past->reading = ring_read_page(feed->ring, RING_READER_FEED, past->page, FEED_TAG_PAST);
    return past->reading;
}
