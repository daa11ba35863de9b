#include "tests/unit/client/scene.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

const char *const scene_day[DAYS] = {"MON       ", "TUE       ", "WED       "};

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

size_t scene_pack(const struct scene *s, uint32_t day, uint64_t first, uint32_t count,
                  uint8_t *bytes)
{
    mold_header_pack((struct mold_header *)bytes, scene_day[day], first, (uint16_t)count);
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
        while (i < SCENE_QUEUE && s->queue[i].at_ns != 0)
            i++;
        CU_ASSERT_FATAL(i < SCENE_QUEUE);
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
                strncmp(m->day, scene_day[s->told_day], 3) == 0;
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
        if (strncmp(day, scene_day[i], strlen(day)) == 0)
            s->told_day = i;
    s->expected = first;
}

static void on_day_end(void *context, const char *day, uint64_t next, bool seen)
{
    struct scene *s = context;
    s->wrong += strncmp(day, scene_day[s->told_day], 3) != 0;
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
    while (day < DAYS && memcmp(header->session, scene_day[day], KEEL_DAY_NAME_SIZE) != 0)
        day++;
    CU_ASSERT_FATAL(day < DAYS && count >= 1);
    if (first >= s->published[day])
        return;
    uint64_t left = s->published[day] - first;
    uint32_t give = count < REPLY_MAX ? count : REPLY_MAX;
    give = left < give ? (uint32_t)left : give;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t reply = scene_pack(s, day, first, give, bytes);
    post(s, FOLLOWER_SERVER, bytes, reply);
}

struct scene *scene_new(uint64_t seed, uint64_t from, uint32_t lines, uint32_t held,
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

void scene_free(struct scene *s)
{
    free(s->f);
    free(s);
}

void scene_run(struct scene *s, uint64_t ns)
{
    uint64_t end_ns = s->now_ns + ns;
    uint32_t idle = 0;
    while (s->now_ns < end_ns) {
        struct parcel *next = NULL;
        for (uint32_t i = 0; i < SCENE_QUEUE; i++)
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

void scene_say(struct scene *s, uint32_t line, uint32_t day, uint64_t first, uint32_t count)
{
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = scene_pack(s, day, first, count, bytes);
    post(s, line, bytes, size);
}

void scene_publish(struct scene *s, uint32_t count)
{
    uint64_t first = s->published[s->day];
    s->published[s->day] += count;
    for (uint32_t line = 0; line < s->f->options.lines; line++) {
        uint64_t number = first;
        while (number < s->published[s->day]) {
            uint32_t part = 1 + rng_below(&s->rng, 6);
            uint64_t left = s->published[s->day] - number;
            part = left < part ? (uint32_t)left : part;
            scene_say(s, line, s->day, number, part);
            number += part;
        }
    }
}

void scene_heartbeat(struct scene *s, uint32_t line)
{
    scene_say(s, line, s->day, s->published[s->day], MOLD_HEARTBEAT);
}

void scene_live(struct scene *s, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        scene_publish(s, 1 + rng_below(&s->rng, 10));
        scene_run(s, 200000);
    }
    uint32_t loss = s->loss;
    s->loss = 0;
    for (uint32_t i = 0; i < s->f->options.lines; i++)
        scene_heartbeat(s, i);
    s->loss = loss;
    scene_run(s, 5000000);
}

bool scene_complete(const struct scene *s)
{
    return s->wrong == 0 && s->f->error == 0 && s->expected == s->published[s->told_day] &&
           s->told_day == s->day && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED;
}
