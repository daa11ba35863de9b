#include "judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Lines of the feed: stretches, order, heartbeats, ends of session (MoldUDP64 1.00). */

enum { MOLD_HEAD = 20, COUNT_HEARTBEAT = 0, COUNT_END = 0xffff, WHERE_MAX = 300 };

static int replica_of(const struct feed *feed, uint32_t address)
{
    for (int id = 1; id <= REPLICAS; id++)
        if (feed->address[id] != 0 && feed->address[id] == address)
            return id;
    return 0;
}

static uint64_t party_key(int replica, uint32_t ip, uint16_t port)
{
    return (uint64_t)replica << 48 | (uint64_t)ip << 16 | port;
}

/* The blocks that are counted fill the packet exactly. */
static bool mold_good(const struct datagram *datagram)
{
    if (datagram->size < MOLD_HEAD)
        return false;
    uint32_t count = be16(datagram->at + 18);
    if (count == COUNT_END)
        count = 0;
    size_t at = MOLD_HEAD;
    for (uint32_t i = 0; i < count; i++) {
        if (datagram->size - at < 2 || be16(datagram->at + at) > datagram->size - at - 2)
            return false;
        at += 2u + be16(datagram->at + at);
    }
    return at == datagram->size && be64(datagram->at + 10) <= UINT64_MAX - COUNT_END;
}

static struct line *line_of(struct feed *feed, struct report *report,
                            const struct datagram *datagram, int replica)
{
    for (size_t i = 0; i < feed->line_count; i++) {
        struct line *line = &feed->line[i];
        if (line->capture == datagram->capture && line->replica == replica &&
            line->to == datagram->to && line->to_port == datagram->to_port)
            return line;
    }
    feed->line = grow(feed->line, &feed->line_cap, feed->line_count + 1, sizeof(*feed->line));
    struct line *line = &feed->line[feed->line_count++];
    *line = (struct line){.capture = datagram->capture,
                          .replica = replica,
                          .to = datagram->to,
                          .to_port = datagram->to_port,
                          .starts = SIZE_MAX};
    report->counts.lines++;
    return line;
}

static void stretch_at(const struct feed *feed, struct line *line, uint64_t utc_ns,
                       struct report *report)
{
    size_t starts = 0;
    for (size_t i = 0; i < feed->start_count; i++)
        starts += feed->start[i].replica == line->replica && feed->start[i].utc_ns <= utc_ns;
    if (line->starts != SIZE_MAX && starts <= line->starts)
        return;
    line->starts = starts;
    line->positioned = line->begun = line->day_over = false;
    report->counts.stretches++;
}

/* A line that leaves off may begin a new stretch at the very number at which its replica, having
 * taken over a checkpoint, declared that its history starts. */
static void anew_at(const struct feed *feed, struct line *line, uint64_t sequence,
                    struct report *report)
{
    if (!line->positioned || sequence == line->next)
        return;
    for (size_t i = 0; i < feed->anew_count; i++)
        if (feed->anew[i].replica == line->replica && feed->anew[i].utc_ns == sequence) {
            line->positioned = line->begun = line->day_over = false;
            report->counts.stretches++;
            return;
        }
}

static void place(char where[WHERE_MAX], const struct feed *feed, const struct line *line,
                  const struct datagram *datagram)
{
    char day[DAY_SIZE + 1] = {0};
    memcpy(day, datagram->at, DAY_SIZE);
    for (size_t i = DAY_SIZE; i > 0 && day[i - 1] == ' '; i--)
        day[i - 1] = '\0';
    snprintf(where, WHERE_MAX, "%.120s packet %" PRIu64 " (line %d, stretch %zu, day %s)",
             feed->capture[datagram->capture].path, datagram->number, line->replica,
             line->starts == SIZE_MAX ? 0 : line->starts, day);
}

/* The day that the packet names, and whether the line may be in it now. */
static bool day_take(struct judging *judging, struct line *line, const struct datagram *datagram,
                     const char *where)
{
    struct model *model = judging->model;
    const char *name = (const char *)datagram->at;
    uint32_t day = model_day(model, name, line->positioned || line->starts > 0 ? line->day : 0);
    if (day == UINT32_MAX)
        day = line->positioned ? UINT32_MAX : model_day(model, name, 0);
    if (day == UINT32_MAX) {
        fail(judging->report, "%s: a day that the log does not begin there", where);
        return false;
    }
    if (line->positioned && day != line->day) {
        if (line->begun && !line->day_over)
            fail(judging->report, "%s: a new day before the end of session of the last", where);
        else if (line->begun && model->whole && day != line->day + 1)
            fail(judging->report, "%s: days are skipped", where);
        line->next = 1;
        line->day_over = false;
    }
    line->day = day;
    return true;
}

static void order_fail(struct judging *judging, const struct line *line, uint64_t sequence,
                       const char *where)
{
    if (sequence > line->next)
        fail(judging->report, "%s feed %" PRIu64 ": gap: the line left off before %" PRIu64, where,
             sequence, line->next);
    else
        fail(judging->report,
             "%s feed %" PRIu64 ": duplicate or out of order: the line was to go on with %" PRIu64,
             where, sequence, line->next);
}

static void silent_packet(struct judging *judging, struct line *line, uint64_t sequence, bool ends,
                          const char *where)
{
    const struct day *day = &judging->model->day[line->day];
    bool whole = judging->model->whole;
    if (ends)
        judging->report->counts.day_ends++;
    else
        judging->report->counts.heartbeats++;
    const char *kind = ends ? "end of session" : "heartbeat";
    if (!ends && line->day_over)
        fail(judging->report, "%s: a heartbeat after the end of session", where);
    else if (ends && whole && !day->ended)
        fail(judging->report, "%s: an end of session that is not in the log", where);
    else if (whole && (ends ? sequence != day->count + 1 : sequence > day->count + 1))
        fail(judging->report, "%s: %s names %" PRIu64 " as next, the log has %zu", where, kind,
             sequence, day->count);
    else if (line->positioned && (line->begun ? sequence != line->next : sequence < line->next))
        fail(judging->report, "%s: %s names %" PRIu64 " as next, the line's is %" PRIu64, where,
             kind, sequence, line->next);
    line->next = sequence;
    line->positioned = true;
    line->begun = line->begun || ends;
    line->day_over = ends;
}

static void packet_take(struct judging *judging, struct line *line, const struct datagram *datagram,
                        const char *where)
{
    uint64_t sequence = be64(datagram->at + 10);
    uint16_t count = be16(datagram->at + 18);
    anew_at(judging->feed, line, sequence, judging->report);
    if (!day_take(judging, line, datagram, where))
        return;
    if (sequence == 0) {
        fail(judging->report, "%s: feed numbers begin at 1", where);
        return;
    }
    if (count == COUNT_HEARTBEAT || count == COUNT_END) {
        silent_packet(judging, line, sequence, count == COUNT_END, where);
        return;
    }
    if (line->day_over)
        fail(judging->report, "%s feed %" PRIu64 ": a message after the end of session", where,
             sequence);
    else if (line->positioned && (line->begun ? sequence != line->next : sequence < line->next))
        order_fail(judging, line, sequence, where);
    blocks_check(judging, line->day, sequence, count, datagram->at + MOLD_HEAD, where);
    line->next = sequence + count;
    line->positioned = line->begun = true;
}

/* True if this is the answer to a request that waits. */
static bool answer_take(struct judging *judging, const struct line *line,
                        const struct datagram *datagram, const char *where)
{
    uint64_t sequence = be64(datagram->at + 10);
    uint16_t count = be16(datagram->at + 18);
    uint64_t *waiting = table_find(
        &judging->feed->asked, party_key(line->replica, datagram->to, datagram->to_port), sequence);
    if (waiting == NULL || *waiting == 0 || count == COUNT_HEARTBEAT || count == COUNT_END)
        return false;
    uint32_t day = model_day(judging->model, (const char *)datagram->at, 0);
    if (day == UINT32_MAX || sequence == 0 ||
        (line->begun && day == line->day && sequence == line->next))
        return false;
    --*waiting;
    judging->report->counts.answers++;
    blocks_check(judging, day, sequence, count, datagram->at + MOLD_HEAD, where);
    return true;
}

static void request_take(struct judging *judging, const struct datagram *datagram, int replica)
{
    bool added;
    uint64_t party = party_key(replica, datagram->from, datagram->from_port);
    ++*table_add(&judging->feed->asked, party, be64(datagram->at + 10), 0, &added);
    table_add(&judging->feed->asked, party, UINT64_MAX, 0, &added); /* who asks at all */
}

void line_datagram(void *context, const struct datagram *datagram)
{
    struct judging *judging = context;
    struct feed *feed = judging->feed;
    struct report *report = judging->report;
    int replica = replica_of(feed, datagram->from);
    int asked = replica_of(feed, datagram->to);
    bool to_feed = datagram->to_port == feed->port;
    if (replica != 0 && datagram->broken) {
        fail(report, "%s packet %" PRIu64 " (line %d): broken off, a fragment, or of wrong length",
             feed->capture[datagram->capture].path, datagram->number, replica);
        return;
    }
    if (datagram->broken)
        return;
    if (asked != 0 && replica == 0 && datagram->size == MOLD_HEAD) {
        request_take(judging, datagram, asked);
        return;
    }
    bool asks = replica != 0 &&
                table_find(&feed->asked, party_key(replica, datagram->to, datagram->to_port),
                           UINT64_MAX) != NULL;
    if (replica == 0 || (!to_feed && !asks)) {
        report->counts.foreign += replica == 0 && to_feed;
        return;
    }
    if (!mold_good(datagram)) {
        fail(report, "%s packet %" PRIu64 " (line %d): not a MoldUDP64 packet",
             feed->capture[datagram->capture].path, datagram->number, replica);
        return;
    }
    struct line aside = {.replica = replica, .starts = SIZE_MAX};
    struct line *line = to_feed ? line_of(feed, report, datagram, replica) : &aside;
    if (to_feed)
        stretch_at(feed, line, datagram->utc_ns, report);
    char where[WHERE_MAX];
    place(where, feed, line, datagram);
    if (asks && answer_take(judging, line, datagram, where))
        return;
    if (!to_feed) {
        fail(report, "%s: an answer that nobody asked for", where);
        return;
    }
    report->counts.packets++;
    packet_take(judging, line, datagram, where);
}
