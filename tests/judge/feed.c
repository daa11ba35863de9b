#include "judge.h"

#include <inttypes.h>
#include <string.h>

/* Starts, and the union of all lines. */

enum note { NOTE_START, NOTE_KILL, NOTE_ANEW };

static bool start_parse(const char *line, struct start *start, enum note *note)
{
    char word[8];
    int end = 0;
    if (sscanf(line, "%7s %d %" SCNu64 " %n", word, &start->replica, &start->utc_ns, &end) != 3 ||
        line[end] != '\0' || start->replica < 1 || start->replica > REPLICAS)
        return false;
    *note = strcmp(word, "kill") == 0   ? NOTE_KILL
            : strcmp(word, "anew") == 0 ? NOTE_ANEW
                                        : NOTE_START;
    return *note != NOTE_START || strcmp(word, "start") == 0;
}

void feed_starts(struct feed *feed, struct report *report)
{
    const struct file *file = &feed->starts_file;
    uint64_t number = 0;
    uint64_t last_ns = 0;
    size_t at = 0;
    while (at < file->size) {
        const char *start = (const char *)file->at + at;
        const char *end = memchr(start, '\n', file->size - at);
        size_t size = end != NULL ? (size_t)(end - start) : file->size - at;
        char line[128];
        struct start taken;
        enum note note = NOTE_START;
        at += size + 1;
        number++;
        if (size == 0 || start[0] == '#')
            continue;
        bool good = size < sizeof(line);
        if (good) {
            memcpy(line, start, size);
            line[size] = '\0';
            good = start_parse(line, &taken, &note);
        }
        if (!good) {
            fail(report, "%s line %" PRIu64 ": neither a start, a kill, nor a beginning anew",
                 file->path, number);
            continue;
        }
        if (note == NOTE_ANEW) {
            feed->anew =
                grow(feed->anew, &feed->anew_cap, feed->anew_count + 1, sizeof(*feed->anew));
            feed->anew[feed->anew_count++] = taken;
            continue;
        }
        if (taken.utc_ns < last_ns)
            fail(report, "%s line %" PRIu64 ": time goes back", file->path, number);
        last_ns = taken.utc_ns;
        if (note == NOTE_KILL)
            continue;
        feed->start =
            grow(feed->start, &feed->start_cap, feed->start_count + 1, sizeof(*feed->start));
        feed->start[feed->start_count++] = taken;
    }
}

/* Every number that was acknowledged has been shown by some line, and all before it of that day. */
static void union_check(const struct model *model, struct report *report)
{
    uint64_t loose = 0;
    for (uint32_t i = 0; i < model->day_count; i++) {
        const struct day *day = &model->day[i];
        uint64_t missing = 0;
        uint64_t first = 0;
        for (uint64_t n = 1; n <= day->acked && n <= day->count; n++) {
            if (day->fed[n - 1].seen == 0 && missing++ == 0)
                first = n;
            loose += day->fed[n - 1].entry == NULL && day->fed[n - 1].session == 0;
        }
        if (missing > 0)
            fail(report,
                 "day %.10s feed %" PRIu64 ": no line shows it (%" PRIu64
                 " such numbers up to %" PRIu64 ", the highest acknowledged)",
                 day->name, first, missing, day->acked);
    }
    if (loose > 0)
        note(report,
             "%" PRIu64 " feed numbers could only be compared between lines: neither the log nor a "
             "result tells their message",
             loose);
}

void feed_check(struct feed *feed, struct model *model, const struct gateways *gateways,
                struct report *report)
{
    if (feed->capture_count == 0) {
        note(report, "no capture: the feed is not judged");
        return;
    }
    struct judging judging = {feed, model, gateways, report};
    for (int i = 0; i < feed->capture_count; i++)
        capture_read(&feed->capture[i], i, report, line_datagram, &judging);
    for (int id = 1; id <= REPLICAS; id++) {
        bool seen = feed->address[id] == 0;
        for (size_t i = 0; i < feed->line_count; i++)
            seen = seen || feed->line[i].replica == id;
        if (!seen)
            note(report, "line %d: no packet of it was captured", id);
    }
    union_check(model, report);
}
