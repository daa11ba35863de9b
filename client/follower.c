#include "client/follower.h"

#include "consensus/ensure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t head_size(void)
{
    return (sizeof(struct follower) + 63) & ~(size_t)63;
}

size_t follower_size(uint32_t held_packets)
{
    return head_size() + held_size(held_packets);
}

static void fail(struct follower *f, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct follower *f, int error, const char *format, ...)
{
    if (f->error != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->problem, sizeof(f->problem), format, arguments);
    va_end(arguments);
    f->error = error;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- days ------------------------------------------------------------------------------------- */

static void day_text(char text[KEEL_DAY_SIZE], const char *day)
{
    size_t size = KEEL_DAY_NAME_SIZE;
    while (size > 0 && day[size - 1] == ' ')
        size--;
    memcpy(text, day, size);
    memset(text + size, 0, KEEL_DAY_SIZE - size);
}

static bool same_day(const char *a, const char *b)
{
    return memcmp(a, b, KEEL_DAY_NAME_SIZE) == 0;
}

static void begin_day(struct follower *f, const char *day, uint64_t first)
{
    memcpy(f->day, day, KEEL_DAY_NAME_SIZE);
    day_text(f->day_text, day);
    f->named = true;
    f->first = f->next = first;
    f->high = f->end = 0;
    f->gap = false;
    f->unanswered = 0;
    f->next_named = false;
    if (f->options.public.day_begin != NULL)
        f->options.public.day_begin(f->options.public.context, f->day_text, first);
}

static void end_day(struct follower *f, bool seen)
{
    memcpy(f->past[f->past_count++ % FOLLOWER_PAST_DAYS], f->day, KEEL_DAY_NAME_SIZE);
    f->named = false;
    f->following = true;
    f->gap = false;
    if (f->options.public.day_end != NULL)
        f->options.public.day_end(f->options.public.context, f->day_text, f->next, seen);
    bool more = f->next_named;
    held_next_day(&f->held);
    if (!more)
        return;
    char day[KEEL_DAY_NAME_SIZE];
    memcpy(day, f->next_day, sizeof(day));
    begin_day(f, day, 1);
    const struct held_packet *first = held_peek(&f->held);
    if (first != NULL)
        f->high = first->first + first->count;
}

static bool is_past(const struct follower *f, const char *day)
{
    for (uint32_t i = 0; i < f->past_count && i < FOLLOWER_PAST_DAYS; i++)
        if (same_day(f->past[i], day))
            return true;
    return false;
}

struct follower *follower_init(void *memory, const struct follower_options *options,
                               uint64_t now_ns)
{
    struct follower *f = memory;
    ENSURE(options->lines <= KEEL_LINES_MAX && options->servers <= KEEL_SERVERS_MAX);
    memset(f, 0, sizeof(*f));
    f->options = *options;
    f->now_ns = now_ns;
    held_init(&f->held, (uint8_t *)memory + head_size(), options->public.held_packets);
    for (uint32_t i = 0; i < options->lines; i++)
        f->heard_ns[i] = now_ns;
    if (options->day[0] != 0 && options->public.from != KEEL_FROM_NEXT)
        begin_day(f, options->day, options->public.from);
    return f;
}

/* --- delivery --------------------------------------------------------------------------------- */

/* 64 bits against accidents: do two copies of a number carry the same bytes? */
static uint64_t content_hash(const uint8_t *at, size_t size)
{
    uint64_t hash = 0x9e3779b97f4a7c15u ^ size;
    while (size >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
        at += sizeof(word);
        size -= sizeof(word);
    }
    uint64_t rest = 0;
    memcpy(&rest, at, size);
    hash = (hash ^ rest) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}

/* A copy of a number that was delivered. */
static void check_copy(struct follower *f, uint64_t number, const uint8_t *block, size_t size)
{
    f->stats.duplicates++;
    if (number < f->first || number + FOLLOWER_HISTORY < f->next)
        return;
    if (f->history[number % FOLLOWER_HISTORY] != content_hash(block, size))
        fail(f, KEEL_CONFLICT,
             "feed number %llu of day '%s' came twice with different content: one line is wrong: "
             "compare the lines and the replicas' rings",
             (unsigned long long)number, f->day_text);
}

static bool unpack(struct follower *f, struct keel_message *m, const uint8_t *block, size_t size)
{
    m->payload = block;
    m->size = size;
    m->kind = size == 0 ? KEEL_SESSION_END : KEEL_MESSAGE;
    if (f->options.public.framing == KEEL_RAW)
        return true;
    struct feed_stamp stamp;
    if (!feed_envelope_unpack(block, size, &stamp)) {
        fail(f, KEEL_FRAMING,
             "feed number %llu of day '%s' has no envelope: the line's framing is 'raw', or it is "
             "not a line of Keel",
             (unsigned long long)m->number, f->day_text);
        return false;
    }
    m->payload = block + FEED_ENVELOPE_SIZE;
    m->size = size - FEED_ENVELOPE_SIZE;
    m->kind = stamp.kind == FEED_SESSION_END ? KEEL_SESSION_END : KEEL_MESSAGE;
    m->stamped = true;
    m->utc_ns = stamp.utc_ns;
    m->utc_error_ns = stamp.utc_error_ns;
    m->session = stamp.session;
    m->session_number = stamp.number;
    return true;
}

static void deliver_block(struct follower *f, uint32_t source, const uint8_t *block, size_t size)
{
    struct keel_message message = {.number = f->next, .day = f->day_text};
    if (!unpack(f, &message, block, size))
        return;
    f->history[f->next % FOLLOWER_HISTORY] = content_hash(block, size);
    f->next++;
    f->delivered++;
    f->stats.messages++;
    f->stats.bytes += message.size;
    if (source < KEEL_LINES_MAX)
        f->stats.first[source]++;
    else
        f->stats.first_server++;
    if (f->options.public.message(f->options.public.context, &message) != 0)
        f->stopped = true;
}

/* The blocks of a packet whose first number is due or past. */
static void deliver_packet(struct follower *f, uint32_t source, const uint8_t *packet,
                           uint64_t first, uint32_t count)
{
    const uint8_t *at = packet + MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < count && f->error == 0 && !f->stopped; i++) {
        size_t size = mold_length(at);
        at += MOLD_BLOCK_HEAD_SIZE;
        if (first + i < f->next)
            check_copy(f, first + i, at, size);
        else
            deliver_block(f, source, at, size);
        at += size;
    }
}

/* All that is held and due; and the day's end, if that was its last. */
static void drain(struct follower *f)
{
    while (f->error == 0 && !f->stopped) { /* each round takes a packet or ends a day */
        struct held_packet *p = held_first(&f->held);
        if (f->named && p != NULL && p->day == 0 && p->first <= f->next) {
            if (p->first + p->count > f->next)
                deliver_packet(f, p->source, p->bytes, p->first, p->count);
            if (f->stopped && p->first + p->count > f->next)
                return;
            held_pop(&f->held);
        } else if (f->named && f->end != 0 && f->next >= f->end) {
            end_day(f, true);
        } else {
            return;
        }
    }
}

/* --- requests --------------------------------------------------------------------------------- */

/* Without a line nobody names the present: then the servers are asked for whatever comes next. */
static bool owed(const struct follower *f)
{
    return f->named && f->error == 0 && !f->stopped &&
           (f->next < f->high || f->options.lines == 0 || (f->next_named && f->end == 0));
}

/* Notices that a gap opens or closes. */
static void watch_gap(struct follower *f)
{
    if (f->named && f->high != 0 && f->next >= f->high)
        f->synchronized = true;
    bool gap = owed(f);
    if (gap && !f->gap) {
        uint64_t wait_ns = f->synchronized ? f->options.public.gap_wait_ms * FOLLOWER_MS : 0;
        f->request_ns = f->now_ns + wait_ns;
        f->unanswered = 0;
        f->stats.gaps++;
    } else if (!gap) {
        f->unanswered = 0;
    }
    f->gap = gap;
}

/* The same server is asked the same at most once in request_ms; the servers take turns. */
static uint64_t turn_ns(const struct follower *f)
{
    uint64_t whole = f->options.public.request_ms * FOLLOWER_MS;
    uint64_t turn = whole / (f->options.servers == 0 ? 1 : f->options.servers);
    uint64_t least = whole < FOLLOWER_TURN_MIN ? whole : FOLLOWER_TURN_MIN;
    return greater(turn, least);
}

static void send_request(struct follower *f)
{
    uint64_t count = f->options.lines == 0 ? FOLLOWER_REQUEST_MAX : 1;
    if (f->next < f->high) {
        const struct held_packet *p = held_peek(&f->held);
        uint64_t to = p != NULL && p->day == 0 && p->first > f->next ? p->first : f->high;
        count = to - f->next < FOLLOWER_REQUEST_MAX ? to - f->next : FOLLOWER_REQUEST_MAX;
    }
    struct mold_header request;
    mold_header_pack(&request, f->day, f->next, (uint16_t)count);
    bool again = f->asked == f->next && f->unanswered > 0;
    f->asked = f->next;
    f->unanswered++;
    f->request_ns = f->now_ns + turn_ns(f);
    if (f->options.servers == 0)
        return;
    if (again) /* the last one did not help: another server */
        f->server = (f->server + 1) % f->options.servers;
    f->stats.requests++;
    f->stats.gap_messages += count;
    f->options.request(f->options.request_context, f->server, &request, sizeof(request));
}

/* --- packets ---------------------------------------------------------------------------------- */

static void on_data(struct follower *f, uint32_t source, const void *packet, size_t size,
                    uint64_t first, uint32_t count)
{
    if (f->end != 0 && first + count > f->end) {
        fail(f, KEEL_CONFLICT,
             "feed number %llu of day '%s' comes behind the day's announced end %llu: one line is "
             "wrong",
             (unsigned long long)(first + count - 1), f->day_text,
             (unsigned long long)(f->end - 1));
        return;
    }
    f->high = greater(f->high, first + count);
    uint64_t before = f->next;
    if (first <= f->next && !f->stopped)
        deliver_packet(f, source, packet, first, count);
    if (f->error == 0 && first + count > f->next) {
        enum held_outcome outcome = held_add(&f->held, 0, first, count, packet, size, source);
        f->stats.held += outcome == HELD_KEPT;
        f->stats.held_dropped += outcome == HELD_DROPPED;
        f->stats.duplicates += outcome == HELD_KNOWN ? count : 0;
    }
    if (source == FOLLOWER_SERVER && f->next > before) {
        f->unanswered = 0;
        f->request_ns = f->now_ns;
    }
}

static void on_end(struct follower *f, uint64_t next)
{
    if ((f->end != 0 && f->end != next) || (next < f->next && f->next > f->first)) {
        fail(f, KEEL_CONFLICT,
             "day '%s' was announced to end before number %llu, but number %llu is known: one line "
             "is wrong",
             f->day_text, (unsigned long long)next,
             (unsigned long long)(f->end != 0 ? f->end : f->next) - 1);
        return;
    }
    f->end = next;
    f->high = greater(f->high, next);
}

/* A packet of the day that is delivered. */
static void on_packet(struct follower *f, uint32_t source, const void *packet, size_t size,
                      uint64_t first, uint32_t count)
{
    if (count == MOLD_END_OF_SESSION)
        on_end(f, first);
    else if (count == MOLD_HEARTBEAT)
        f->high = greater(f->high, first);
    else
        on_data(f, source, packet, size, first, count);
    f->stats.heartbeats += count == MOLD_HEARTBEAT;
    if (f->end != 0 && f->high > f->end)
        fail(f, KEEL_CONFLICT, "day '%s' ended before number %llu, but a line names number %llu",
             f->day_text, (unsigned long long)f->end, (unsigned long long)(f->high - 1));
}

/* A packet of another day, while one is delivered: kept for its time. */
static void on_next_day(struct follower *f, uint32_t source, const struct mold_header *header,
                        size_t size, uint64_t first, uint32_t count)
{
    if (f->next_named && !same_day(f->next_day, header->session)) {
        f->stats.late_day++;
        return;
    }
    f->next_named = true;
    memcpy(f->next_day, header->session, KEEL_DAY_NAME_SIZE);
    if (count != MOLD_HEARTBEAT && count != MOLD_END_OF_SESSION) {
        enum held_outcome outcome = held_add(&f->held, 1, first, count, header, size, source);
        f->stats.held += outcome == HELD_KEPT;
        f->stats.held_dropped += outcome == HELD_DROPPED;
    }
}

static void on_line(struct follower *f, uint32_t line)
{
    f->heard_ns[line] = f->now_ns;
    if (!f->silent[line])
        return;
    f->silent[line] = false;
    if (f->options.public.line != NULL)
        f->options.public.line(f->options.public.context, line, false);
}

void follower_receive(struct follower *f, uint32_t source, const void *packet, size_t size,
                      uint64_t now_ns)
{
    const struct mold_header *header = packet;
    f->now_ns = now_ns;
    f->stats.packets++;
    if (!mold_check(packet, size) || mold_sequence(header) == 0 ||
        mold_sequence(header) > UINT64_MAX - 2 * MOLD_END_OF_SESSION) {
        f->stats.malformed++;
        return;
    }
    if (f->error != 0)
        return;
    uint64_t first = mold_sequence(header);
    uint32_t count = mold_count(header);
    if (source < KEEL_LINES_MAX)
        on_line(f, source);
    else
        f->stats.replies++;
    if (is_past(f, header->session) && !(f->named && same_day(f->day, header->session))) {
        f->stats.late_day++;
        return;
    }
    if (!f->named) {
        bool other =
            f->options.day[0] != 0 && !f->following && !same_day(f->options.day, header->session);
        if (other) {
            f->stats.late_day++;
            return;
        }
        uint64_t from = f->options.public.from;
        begin_day(f, header->session, f->following ? 1 : from == KEEL_FROM_NEXT ? first : from);
    }
    if (same_day(f->day, header->session))
        on_packet(f, source, packet, size, first, count);
    else
        on_next_day(f, source, header, size, first, count);
    drain(f);
    follower_tick(f, now_ns);
}

void follower_resume(struct follower *f, uint64_t now_ns)
{
    f->now_ns = now_ns;
    f->stopped = false;
    f->delivered = 0;
    drain(f);
    watch_gap(f);
}

/* --- time ------------------------------------------------------------------------------------- */

static void watch_lines(struct follower *f)
{
    uint64_t limit_ns = f->options.public.line_silent_ms * FOLLOWER_MS;
    for (uint32_t i = 0; i < f->options.lines; i++) {
        if (f->silent[i] || f->now_ns - f->heard_ns[i] < limit_ns)
            continue;
        f->silent[i] = true;
        if (f->options.public.line != NULL)
            f->options.public.line(f->options.public.context, i, true);
    }
}

void follower_tick(struct follower *f, uint64_t now_ns)
{
    f->now_ns = now_ns;
    watch_lines(f);
    watch_gap(f);
    if (!f->gap || now_ns < f->request_ns)
        return;
    bool end_unseen = f->next_named && f->end == 0;
    if (end_unseen && f->unanswered >= FOLLOWER_GIVE_UP) {
        end_day(f, false);
        drain(f);
        watch_gap(f);
        return;
    }
    send_request(f);
}

uint64_t follower_deadline(const struct follower *f)
{
    uint64_t at = UINT64_MAX;
    if (f->error != 0)
        return at;
    if (f->gap)
        at = f->request_ns;
    for (uint32_t i = 0; i < f->options.lines; i++) {
        uint64_t due = f->heard_ns[i] + f->options.public.line_silent_ms * FOLLOWER_MS;
        if (!f->silent[i] && due < at)
            at = due;
    }
    return at;
}

static uint32_t silent_count(const struct follower *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->options.lines; i++)
        count += f->silent[i];
    return count;
}

enum keel_follow_state follower_state(const struct follower *f)
{
    if (f->error != 0)
        return KEEL_FOLLOW_FAILED;
    if (f->options.lines > 0 && silent_count(f) == f->options.lines)
        return KEEL_FOLLOW_SILENT;
    if (!f->named)
        return f->following ? KEEL_FOLLOW_DAY_ENDED : KEEL_FOLLOW_WAITING;
    if (f->next < f->high || f->high == 0)
        return f->synchronized ? KEEL_FOLLOW_GAP : KEEL_FOLLOW_BACKFILL;
    return KEEL_FOLLOW_SYNCHRONIZED;
}

void follower_info(const struct follower *f, struct keel_follow_info *info)
{
    *info = (struct keel_follow_info){
        .state = follower_state(f),
        .next = f->named || f->following ? f->next : 0,
        .present = greater(f->high, f->next),
        .unanswered = f->unanswered,
        .lines = f->options.lines,
        .lines_silent = silent_count(f),
    };
    memcpy(info->day, f->day_text, sizeof(info->day));
}
