#include "judge.h"

#include <inttypes.h>
#include <string.h>

/* A block of a feed packet against what the model gave that number. */

enum { ENVELOPE = 32, END_MESSAGE = 48, END_NAME = 24 };

static const char *end_message_problem(const struct model *model, const struct fed *fed,
                                       const uint8_t *at, size_t size)
{
    const struct session *s = model_session(model, fed->session);
    if (size != END_MESSAGE || s == NULL)
        return "a session's end of another size";
    if (be64(at) != s->id || be64(at + 8) != fed->number || be32(at + 16) != s->principal ||
        be32(at + 20) != fed->reason || memcmp(at + 24, s->name, END_NAME) != 0)
        return "a session's end that says something else than the log";
    return NULL;
}

static const char *envelope_problem(const struct model *model, const struct fed *fed,
                                    const uint8_t *at, size_t size)
{
    if (size < ENVELOPE || at[1] != 1 || at[2] != 0 || at[3] != 0)
        return "a malformed envelope";
    if (at[0] != fed->kind)
        return "another kind of message than the log";
    if (be32(at + 4) != le32(fed->entry + 40))
        return "another clock error than the log";
    if (be64(at + 8) != le64(fed->entry + 24))
        return "another timestamp than the log";
    if (be64(at + 16) != fed->session || be64(at + 24) != fed->number)
        return "another session or number than the log";
    if (fed->kind == 1)
        return end_message_problem(model, fed, at + ENVELOPE, size - ENVELOPE);
    if (size - ENVELOPE != fed->size ||
        memcmp(at + ENVELOPE, fed->entry + fed->offset, fed->size) != 0)
        return "another content than the log";
    return NULL;
}

/* Where the log's beginning is gone: acknowledgements and envelopes say which message a number is,
 * the log still holds it or the gateways' logs say what was submitted. */
static const char *loose_problem(struct judging *judging, const struct fed *fed, const uint8_t *at,
                                 size_t size, const uint8_t **entry)
{
    bool envelope = judging->feed->envelope;
    uint64_t session = fed->session;
    uint64_t number = fed->number;
    *entry = NULL;
    if (envelope && (size < ENVELOPE || at[1] != 1 || at[0] > 1 || at[2] != 0 || at[3] != 0))
        return "a malformed envelope";
    if (envelope && session != 0 && (be64(at + 16) != session || be64(at + 24) != number))
        return "another session or number than the acknowledgement";
    if (envelope && at[0] != 0)
        return session == 0 ? NULL : "a session's end where a message was acknowledged";
    const uint8_t *payload = envelope ? at + ENVELOPE : at;
    size_t length = envelope ? size - ENVELOPE : size;
    if (envelope) {
        session = be64(at + 16);
        number = be64(at + 24);
    }
    if (session == 0)
        return NULL;
    const struct session *s = model_session(judging->model, session);
    struct result r = {.status = STATUS_NONE};
    if (s != NULL && (!s->adopted || number > s->settled))
        r = model_result(s, number);
    *entry = r.entry;
    if (envelope && r.entry != NULL && be64(at + 8) != le64(r.entry + 24))
        return "another timestamp than the log";
    if (r.entry != NULL)
        return length == r.size && memcmp(payload, r.payload, length) == 0
                   ? NULL
                   : "another content than the log";
    if ((judging->gateways->complete || fed->session != 0) &&
        !gateways_submitted(judging->gateways, session, number, sha256_head(payload, length)))
        return "another content than was submitted";
    return NULL;
}

static const char *block_problem(struct judging *judging, struct fed *fed, const uint8_t *at,
                                 size_t size)
{
    const struct model *model = judging->model;
    struct counts *counts = &judging->report->counts;
    const char *problem = NULL;
    const uint8_t *entry = fed->entry;
    if (entry == NULL)
        problem = loose_problem(judging, fed, at, size, &entry);
    else if (judging->feed->envelope)
        problem = envelope_problem(model, fed, at, size);
    else if (size != fed->size || memcmp(at, fed->entry + fed->offset, size) != 0)
        problem = fed->kind == 1 ? "a message where the log has a session's end"
                                 : "another content than the log";
    if (entry != NULL && le64(entry + 8) > counts->highest)
        counts->highest = le64(entry + 8);
    uint64_t hash = model->whole ? 1 : sha256_head(at, size) | 1;
    if (problem == NULL && fed->seen != 0 && fed->seen != hash)
        problem = "another content than a line showed before";
    fed->seen = hash;
    return problem;
}

void blocks_check(struct judging *judging, uint32_t day_index, uint64_t sequence, uint16_t count,
                  const uint8_t *at, const char *where)
{
    struct day *day = &judging->model->day[day_index];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = sequence + i;
        uint16_t size = be16(at);
        if (judging->model->whole ? number > day->count : number > LOOSE_MAX) {
            fail(judging->report,
                 "%s feed %" PRIu64
                 ": is shown, but the log that a majority holds gives that day only %zu",
                 where, number, day->count);
            return;
        }
        judging->report->counts.blocks++;
        const char *problem = block_problem(judging, day_fed(day, number), at + 2, size);
        if (problem != NULL)
            fail(judging->report, "%s feed %" PRIu64 ": shows %s", where, number, problem);
        at += 2 + size;
    }
}
