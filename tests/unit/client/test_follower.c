#include "client/follower.h"

#include "tests/unit/client/fake.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND (1000 * FOLLOWER_MS)
enum { QUEUE = 4096, DAYS = 3, REPLY_MAX = 9, LOG_MAX = 4096 };

static const char *const day_name[DAYS] = {"MON       ", "TUE       ", "WED       "};

struct parcel {
    uint64_t at_ns; /* 0: free */
    uint32_t source;
    size_t size;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
};

struct asked {
    uint64_t at_ns, first;
    uint32_t server, count;
};

/* A feed with up to two lines and request servers, and the consumer that a test watches. */
struct scene {
    struct rng rng;
    uint64_t now_ns;
    uint32_t loss, copies, shuffle; /* percent, on lines and of replies */
    bool dead[2];                   /* request servers */
    bool no_server;                 /* none answers */
    enum keel_framing framing;
    uint64_t published[DAYS]; /* next number of each day */
    uint32_t day;             /* published now */
    struct parcel queue[QUEUE];
    struct follower *f;
    /* what the consumer was told */
    uint32_t told_day;
    uint64_t expected;
    uint64_t wrong;
    uint64_t stop_every;
    uint32_t begun, ended, ended_unseen, line_events, silences;
    uint64_t ended_next;
    struct asked log[LOG_MAX];
    uint32_t log_count;
};

/* Content of a number: for the envelope also its stamp. Every 50th is a session's end. */
static size_t content(const struct scene *s, uint32_t day, uint64_t number, uint8_t *out)
{
    struct rng rng = {day * 1000003u + number};
    bool end = number % 50 == 0;
    uint8_t *at = out;
    if (s->framing == KEEL_ENVELOPE) {
        const struct feed_stamp stamp = {.kind = end ? FEED_SESSION_END : FEED_MESSAGE,
                                         .utc_error_ns = 1000,
                                         .utc_ns = 5000 + number,
                                         .session = 77,
                                         .number = number * 2};
        feed_envelope_pack((struct feed_envelope *)out, &stamp);
        at += FEED_ENVELOPE_SIZE;
    }
    size_t size = end ? 0 : 1 + rng_below(&rng, 80);
    rng_bytes(&rng, at, size);
    return (size_t)(at - out) + size;
}

static size_t pack(const struct scene *s, uint32_t day, uint64_t first, uint32_t count,
                   uint8_t *bytes)
{
    mold_header_pack((struct mold_header *)bytes, day_name[day], first, (uint16_t)count);
    uint8_t *at = bytes + MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < count && count != MOLD_END_OF_SESSION; i++) {
        size_t size = content(s, day, first + i, at + MOLD_BLOCK_HEAD_SIZE);
        mold_length_pack(at, (uint16_t)size);
        at += MOLD_BLOCK_HEAD_SIZE + size;
    }
    return (size_t)(at - bytes);
}

static bool chance(struct scene *s, uint32_t percent)
{
    return percent > 0 && rng_below(&s->rng, 100) < percent;
}

static void post(struct scene *s, uint32_t source, const uint8_t *bytes, size_t size)
{
    if (chance(s, s->loss))
        return;
    for (uint32_t copy = 0; copy < (chance(s, s->copies) ? 2u : 1u); copy++) {
        uint32_t i = 0;
        while (i < QUEUE && s->queue[i].at_ns != 0)
            i++;
        CU_ASSERT_FATAL(i < QUEUE);
        s->queue[i].at_ns =
            s->now_ns + 50000 + (chance(s, s->shuffle) ? rng_below(&s->rng, 3000000) : 0);
        s->queue[i].source = source;
        s->queue[i].size = size;
        memcpy(s->queue[i].bytes, bytes, size);
    }
}

static int on_message(void *context, const struct keel_message *m)
{
    struct scene *s = context;
    uint8_t want[KEEL_DATAGRAM_MAX];
    size_t head = s->framing == KEEL_ENVELOPE ? FEED_ENVELOPE_SIZE : 0;
    size_t size = content(s, s->told_day, m->number, want) - head;
    bool end = m->number % 50 == 0;
    bool good = m->number == s->expected && m->size == size &&
                memcmp(m->payload, want + head, size) == 0 &&
                m->kind == (end ? KEEL_SESSION_END : KEEL_MESSAGE) &&
                strncmp(m->day, day_name[s->told_day], 3) == 0;
    if (s->framing == KEEL_ENVELOPE)
        good = good && m->stamped && m->utc_ns == 5000 + m->number && m->session == 77 &&
               m->session_number == m->number * 2 && m->utc_error_ns == 1000;
    s->wrong += !good;
    s->expected = m->number + 1;
    return s->stop_every != 0 && m->number % s->stop_every == 0;
}

static void on_day_begin(void *context, const char *day, uint64_t first)
{
    struct scene *s = context;
    s->begun++;
    for (uint32_t i = 0; i < DAYS; i++)
        if (strncmp(day, day_name[i], strlen(day)) == 0)
            s->told_day = i;
    s->expected = first;
}

static void on_day_end(void *context, const char *day, uint64_t next, bool seen)
{
    struct scene *s = context;
    s->wrong += strncmp(day, day_name[s->told_day], 3) != 0;
    s->ended++;
    s->ended_unseen += !seen;
    s->ended_next = next;
}

static void on_line(void *context, unsigned line, bool silent)
{
    struct scene *s = context;
    (void)line;
    s->line_events++;
    s->silences += silent;
}

static void on_request(void *context, uint32_t server, const void *packet, size_t size)
{
    struct scene *s = context;
    const struct mold_header *header = packet;
    uint64_t first = mold_sequence(header);
    uint32_t count = mold_count(header);
    CU_ASSERT_FATAL(size == MOLD_HEADER_SIZE && s->log_count < LOG_MAX);
    s->log[s->log_count++] = (struct asked){s->now_ns, first, server, count};
    if (s->no_server || s->dead[server])
        return;
    uint32_t day = 0;
    while (day < DAYS && memcmp(header->session, day_name[day], KEEL_DAY_NAME_SIZE) != 0)
        day++;
    CU_ASSERT_FATAL(day < DAYS && count >= 1);
    if (first >= s->published[day])
        return;
    uint64_t left = s->published[day] - first;
    uint32_t give = count < REPLY_MAX ? count : REPLY_MAX;
    give = left < give ? (uint32_t)left : give;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t reply = pack(s, day, first, give, bytes);
    post(s, FOLLOWER_SERVER, bytes, reply);
}

static struct scene *scene_new(uint64_t seed, uint64_t from, uint32_t lines, uint32_t held,
                               enum keel_framing framing)
{
    struct scene *s = calloc(1, sizeof(*s));
    CU_ASSERT_FATAL(s != NULL);
    s->rng.state = seed;
    s->now_ns = SECOND;
    s->framing = framing;
    for (uint32_t i = 0; i < DAYS; i++)
        s->published[i] = 1;
    struct follower_options options = {
        .public = {.framing = framing,
                   .from = from,
                   .held_packets = held,
                   .request_ms = 1000,
                   .gap_wait_ms = 2,
                   .line_silent_ms = 3000,
                   .message = on_message,
                   .day_begin = on_day_begin,
                   .day_end = on_day_end,
                   .line = on_line,
                   .context = s},
        .lines = lines,
        .servers = 2,
        .request = on_request,
        .request_context = s,
    };
    s->f = follower_init(malloc(follower_size(held)), &options, s->now_ns);
    return s;
}

static void scene_free(struct scene *s)
{
    free(s->f);
    free(s);
}

static void run(struct scene *s, uint64_t ns)
{
    uint64_t end_ns = s->now_ns + ns;
    uint32_t idle = 0;
    while (s->now_ns < end_ns) {
        struct parcel *next = NULL;
        for (uint32_t i = 0; i < QUEUE; i++)
            if (s->queue[i].at_ns != 0 && (next == NULL || s->queue[i].at_ns < next->at_ns))
                next = &s->queue[i];
        uint64_t timer = follower_deadline(s->f);
        timer = timer < end_ns ? timer : end_ns;
        uint64_t before = s->now_ns;
        bool packet = next != NULL && next->at_ns <= timer;
        uint64_t to = packet ? next->at_ns : timer;
        s->now_ns = to > s->now_ns ? to : s->now_ns;
        if (packet) {
            struct parcel copy = *next;
            next->at_ns = 0;
            follower_receive(s->f, copy.source, copy.bytes, copy.size, s->now_ns);
        }
        if (s->f->stopped)
            follower_resume(s->f, s->now_ns);
        follower_tick(s->f, s->now_ns);
        idle = s->now_ns == before && !packet ? idle + 1 : 0;
        CU_ASSERT_FATAL(idle < 100);
    }
}

static void say(struct scene *s, uint32_t line, uint32_t day, uint64_t first, uint32_t count)
{
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = pack(s, day, first, count, bytes);
    post(s, line, bytes, size);
}

/* Publishes `count` more messages of the day on all lines, each line in packets of its own sizes.
 */
static void publish(struct scene *s, uint32_t count)
{
    uint64_t first = s->published[s->day];
    s->published[s->day] += count;
    for (uint32_t line = 0; line < s->f->options.lines; line++) {
        uint64_t number = first;
        while (number < s->published[s->day]) {
            uint32_t part = 1 + rng_below(&s->rng, 6);
            uint64_t left = s->published[s->day] - number;
            part = left < part ? (uint32_t)left : part;
            say(s, line, s->day, number, part);
            number += part;
        }
    }
}

static void heartbeat(struct scene *s, uint32_t line)
{
    say(s, line, s->day, s->published[s->day], MOLD_HEARTBEAT);
}

static void live(struct scene *s, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        publish(s, 1 + rng_below(&s->rng, 10));
        run(s, 200000);
    }
    uint32_t loss = s->loss;
    s->loss = 0;
    for (uint32_t i = 0; i < s->f->options.lines; i++)
        heartbeat(s, i);
    s->loss = loss;
    run(s, 5000000);
}

static bool complete(const struct scene *s)
{
    return s->wrong == 0 && s->f->error == 0 && s->expected == s->published[s->told_day] &&
           s->told_day == s->day && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED;
}

/* --- tests
 * ----------------------------------------------------------------------------------------- */

static void one_line_in_order(void)
{
    for (uint32_t framing = KEEL_RAW; framing <= KEEL_ENVELOPE; framing++) {
        struct scene *s = scene_new(1, KEEL_FROM_NEXT, 1, 64, (enum keel_framing)framing);
        CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_WAITING);
        live(s, 100);
        CU_ASSERT(complete(s));
        CU_ASSERT(s->log_count == 0 && s->f->stats.duplicates == 0);
        CU_ASSERT(s->f->stats.first[0] == s->published[0] - 1);
        scene_free(s);
    }
}

/* Whatever one line loses the other brings: no request is needed for what only one lost. */
static void lines_complete_each_other(void)
{
    struct scene *s = scene_new(2, KEEL_FROM_NEXT, 2, 256, KEEL_RAW);
    publish(s, 5);
    run(s, FOLLOWER_MS);
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t first = s->published[0];
        s->published[0] += 3;
        say(s, i % 2, 0, first, 3); /* each packet on one line only */
        run(s, 100000);
    }
    live(s, 1);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->log_count == 0);
    CU_ASSERT(s->f->stats.first[0] >= 290 && s->f->stats.first[1] >= 290);
    CU_ASSERT(s->f->stats.first_server == 0);
    scene_free(s);
}

static void bad_lines(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct scene *s = scene_new(seed, KEEL_FROM_NEXT, 1 + seed % 2, 32, KEEL_ENVELOPE);
        publish(s, 5);
        run(s, FOLLOWER_MS);
        s->loss = rng_below(&s->rng, 40);
        s->copies = rng_below(&s->rng, 50);
        s->shuffle = rng_below(&s->rng, 60);
        s->dead[0] = seed % 3 == 0;
        live(s, 100);
        run(s, 60 * SECOND);
        live(s, 0);
        if (!complete(s)) {
            printf("# seed %llu: %llu of %llu, wrong %llu, %s\n", (unsigned long long)seed,
                   (unsigned long long)s->expected, (unsigned long long)s->published[0],
                   (unsigned long long)s->wrong, s->f->problem);
            CU_FAIL("bad lines");
        }
        scene_free(s);
    }
}

/* A late joiner reads the day from 1 by requests while the day goes on; room for 16 packets only.
 */
static void backfills_while_live(void)
{
    struct scene *s = scene_new(3, 1, 2, 16, KEEL_RAW);
    s->published[0] = 5001;
    publish(s, 1);
    run(s, 1000000);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_BACKFILL);
    live(s, 1000);
    run(s, 5 * SECOND);
    live(s, 0);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->f->stats.first_server >= 5000);
    CU_ASSERT(s->f->stats.held_dropped > 0);
    scene_free(s);
}

static void starts_where_it_is_told(void)
{
    struct scene *s = scene_new(4, 250, 1, 64, KEEL_RAW);
    s->published[0] = 101;
    live(s, 200); /* passes 250 */
    CU_ASSERT(complete(s));
    CU_ASSERT(s->f->first == 250 && s->log_count == 0);
    scene_free(s);

    s = scene_new(5, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    s->published[0] = 1000;
    heartbeat(s, 0);
    run(s, FOLLOWER_MS);
    live(s, 10);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->f->first == 1000);
    scene_free(s);
}

/* The last message before a pause is lost: a heartbeat tells. */
static void heartbeat_finds_lost_tail(void)
{
    struct scene *s = scene_new(6, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    publish(s, 10);
    run(s, FOLLOWER_MS);
    s->published[0] += 4; /* sent on no line */
    CU_ASSERT(s->log_count == 0 && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED);
    heartbeat(s, 0);
    run(s, 1000000);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_GAP && s->log_count == 0); /* waits 2 ms */
    run(s, 5000000);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->log_count == 1 && s->log[0].first == 11 && s->log[0].count == 4);
    scene_free(s);
}

/* MoldUDP64 manners: the same request goes to the same server at most once a second; servers take
 * turns; no request asks for more than 0xfffe messages. */
static void asks_with_restraint(void)
{
    struct scene *s = scene_new(7, 1, 1, 64, KEEL_RAW);
    s->no_server = true;
    s->published[0] = 200001;
    heartbeat(s, 0);
    run(s, 10 * SECOND);
    CU_ASSERT(s->log_count >= 18 && s->log_count <= 21); /* two servers, 10 s */
    uint64_t last[2] = {0, 0};
    for (uint32_t i = 0; i < s->log_count; i++) {
        const struct asked *a = &s->log[i];
        CU_ASSERT(a->first == 1 && a->count == FOLLOWER_REQUEST_MAX);
        CU_ASSERT(last[a->server] == 0 || a->at_ns - last[a->server] >= SECOND);
        last[a->server] = a->at_ns;
    }
    CU_ASSERT(last[0] != 0 && last[1] != 0);
    CU_ASSERT(s->f->unanswered == s->log_count);
    scene_free(s);
}

static void day_rolls(void)
{
    struct scene *s = scene_new(8, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    live(s, 30);
    s->loss = 30;
    for (uint32_t round = 0; round < 2; round++) {
        live(s, 30);
        uint64_t next = s->published[s->day];
        for (uint32_t i = 0; i < 6; i++) { /* repeated for a while, instead of heartbeats */
            say(s, i % 2, s->day, next, MOLD_END_OF_SESSION);
            run(s, 100 * FOLLOWER_MS);
        }
        run(s, 30 * SECOND);
        CU_ASSERT(s->ended == round + 1 && s->ended_next == next && s->ended_unseen == 0);
        s->day++;
    }
    live(s, 30);
    run(s, 30 * SECOND);
    live(s, 0);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->begun == 3);
    scene_free(s);
}

/* The announcement of the end is lost on every line. What the old day still owes is fetched; then
 * the end is taken for granted, and said to be unseen. */
static void day_end_goes_unseen(void)
{
    struct scene *s = scene_new(9, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    live(s, 30);
    s->published[0] += 20; /* the day's last messages, on no line */
    uint64_t next = s->published[0];
    s->day = 1;
    live(s, 30);
    CU_ASSERT(s->told_day == 0 && s->ended == 0);
    run(s, 20 * SECOND);
    CU_ASSERT(s->ended == 1 && s->ended_unseen == 1 && s->ended_next == next);
    live(s, 30);
    CU_ASSERT(complete(s));
    scene_free(s);
}

/* A replica that lags still publishes yesterday: its packets are late, not a new day. */
static void late_line_is_not_a_new_day(void)
{
    struct scene *s = scene_new(10, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    live(s, 30);
    say(s, 0, 0, s->published[0], MOLD_END_OF_SESSION);
    run(s, FOLLOWER_MS);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_DAY_ENDED);
    say(s, 1, 0, 5, 3);
    run(s, FOLLOWER_MS);
    s->day = 1;
    live(s, 10);
    say(s, 1, 0, s->published[0], MOLD_END_OF_SESSION);
    run(s, FOLLOWER_MS);
    live(s, 10);
    CU_ASSERT(complete(s));
    CU_ASSERT(s->begun == 2 && s->ended == 1 && s->f->stats.late_day == 2);
    scene_free(s);
}

static void differing_lines_stop_it(void)
{
    struct scene *s = scene_new(11, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    live(s, 30);
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = pack(s, 0, 7, 3, bytes);
    bytes[size - 1] ^= 1;
    follower_receive(s->f, 1, bytes, size, s->now_ns);
    CU_ASSERT(s->f->error == KEEL_CONFLICT && strstr(s->f->problem, "number 9 ") != NULL);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_FAILED);
    uint64_t messages = s->f->stats.messages;
    publish(s, 5);
    run(s, FOLLOWER_MS);
    CU_ASSERT_EQUAL(s->f->stats.messages, messages);
    scene_free(s);

    s = scene_new(12, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    live(s, 30);
    say(s, 0, 0, s->published[0] - 5, MOLD_END_OF_SESSION); /* ends before what is known */
    run(s, FOLLOWER_MS);
    CU_ASSERT(s->f->error == KEEL_CONFLICT);
    scene_free(s);
}

static void wrong_framing_is_said(void)
{
    struct scene *s = scene_new(13, KEEL_FROM_NEXT, 1, 64, KEEL_ENVELOPE);
    s->framing = KEEL_RAW;
    publish(s, 1);
    run(s, FOLLOWER_MS);
    CU_ASSERT(s->f->error == KEEL_FRAMING && strstr(s->f->problem, "raw") != NULL);
    scene_free(s);
}

/* H22: a line that is cut off says nothing; the consumer says so, and does not call itself up to
 * date. */
static void silence_is_said(void)
{
    struct scene *s = scene_new(14, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    live(s, 30);
    for (uint32_t i = 0; i < 5; i++) {
        heartbeat(s, 1);
        run(s, SECOND);
    }
    CU_ASSERT(s->silences == 1 && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED);
    run(s, 5 * SECOND);
    CU_ASSERT(s->silences == 2 && follower_state(s->f) == KEEL_FOLLOW_SILENT);
    live(s, 5);
    CU_ASSERT(s->line_events == 4 && complete(s));
    scene_free(s);
}

/* The callback stops in mid-packet; the next call goes on behind that message. */
static void stops_and_goes_on(void)
{
    struct scene *s = scene_new(15, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    s->stop_every = 3;
    s->shuffle = 30;
    live(s, 100);
    run(s, 10 * SECOND);
    live(s, 0);
    CU_ASSERT(complete(s));
    scene_free(s);
}

static void malformed_is_counted(void)
{
    struct scene *s = scene_new(16, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    live(s, 20);
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = pack(s, 0, s->published[0], 4, bytes);
    for (size_t cut = 0; cut < size; cut++)
        follower_receive(s->f, 0, bytes, cut, s->now_ns);
    CU_ASSERT_EQUAL(s->f->stats.malformed, size);
    mold_header_pack((struct mold_header *)bytes, day_name[0], 0, 0);
    follower_receive(s->f, 0, bytes, MOLD_HEADER_SIZE, s->now_ns);
    mold_header_pack((struct mold_header *)bytes, day_name[0], UINT64_MAX, 0);
    follower_receive(s->f, 0, bytes, MOLD_HEADER_SIZE, s->now_ns);
    CU_ASSERT_EQUAL(s->f->stats.malformed, size + 2);
    live(s, 20);
    CU_ASSERT(complete(s));
    scene_free(s);
}

/* Days in random order of trouble: rolls under loss, with lines that lag. */
static void days_on_bad_lines(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scene *s = scene_new(seed, 1, 2, 32, KEEL_ENVELOPE);
        s->loss = rng_below(&s->rng, 30);
        s->shuffle = rng_below(&s->rng, 60);
        s->copies = rng_below(&s->rng, 30);
        for (; s->day < DAYS; s->day++) {
            live(s, 40);
            run(s, 20 * SECOND);
            for (uint32_t i = 0; i < 10; i++)
                say(s, i % 2, s->day, s->published[s->day], MOLD_END_OF_SESSION);
            run(s, 10 * SECOND);
        }
        CU_ASSERT(s->wrong == 0 && s->f->error == 0);
        CU_ASSERT(s->begun == DAYS && s->ended == DAYS && s->ended_unseen == 0);
        CU_ASSERT(s->ended_next == s->published[DAYS - 1]);
        scene_free(s);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"delivers one line in order, raw and envelope", one_line_in_order},
        {"completes one line by the other", lines_complete_each_other},
        {"keeps order and content on bad lines, 30 seeds", bad_lines},
        {"reads a day from 1 while it goes on", backfills_while_live},
        {"starts where it is told", starts_where_it_is_told},
        {"finds a lost tail by the heartbeat", heartbeat_finds_lost_tail},
        {"asks with restraint", asks_with_restraint},
        {"rolls the day", day_rolls},
        {"rolls the day also when its end goes unseen", day_end_goes_unseen},
        {"takes a late line for late", late_line_is_not_a_new_day},
        {"stops when lines differ", differing_lines_stop_it},
        {"says that the framing is wrong", wrong_framing_is_said},
        {"H22: says that lines are silent", silence_is_said},
        {"stops and goes on in mid-packet", stops_and_goes_on},
        {"counts malformed packets", malformed_is_counted},
        {"rolls days on bad lines, 20 seeds", days_on_bad_lines},
        {0},
    };
    return unit_main("follower", tests);
}
