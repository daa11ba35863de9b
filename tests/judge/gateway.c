#include "judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Gateway logs: what was submitted and what was answered, against the model. Two passes: all
 * submits first, since a result may be kept from a process that another log speaks of. */

enum { FIELDS_MAX = 7, FIELD_SIZE = 64 };

struct mismatch { /* the lowest number of a session whose result is not what the log says */
    uint64_t session, number, feed, line, more;
    const char *path;
    const char *what;
};

struct text {
    struct gateways *gateways;
    struct model *model;
    const struct rings *rings;
    struct report *report;
    const char *path;
    uint64_t line;
    int file;
    int fields;
    char field[FIELDS_MAX][FIELD_SIZE];
    uint64_t number[FIELDS_MAX]; /* where the field is a number */
    bool is_number[FIELDS_MAX];
    struct table latest;  /* (session, number) -> h of the latest submit in this file */
    struct table opened;  /* session -> its principal, as this file says */
    struct table results; /* (session, number) -> 1: answered before */
    struct table differs; /* session -> place in mismatch */
    struct mismatch *mismatch;
    size_t mismatch_count, mismatch_cap;
};

/* --- lines
 * ---------------------------------------------------------------------------------------- */

static bool digits(const char *text, uint64_t *value, int base)
{
    char *end;
    *value = strtoull(text, &end, base);
    return *text != '\0' && *end == '\0' && text[0] != '-' && text[0] != '+' &&
           (base == 16 || strlen(text) < 20 || strcmp(text, "18446744073709551615") <= 0);
}

static bool split(struct text *text, const uint8_t *at, size_t size)
{
    text->fields = 0;
    size_t i = 0;
    while (i <= size) {
        if (text->fields == FIELDS_MAX)
            return false;
        char *field = text->field[text->fields];
        size_t length = 0;
        for (; i < size && at[i] != ' '; i++) {
            if (length == FIELD_SIZE - 1 || at[i] < ' ')
                return false;
            field[length++] = (char)at[i];
        }
        field[length] = '\0';
        text->is_number[text->fields] = digits(field, &text->number[text->fields], 10);
        text->fields++;
        i++;
    }
    return true;
}

static bool shaped(const struct text *text, const char *word, const char *shape)
{
    if (strcmp(text->field[0], word) != 0 || (size_t)text->fields != strlen(shape) + 1)
        return false;
    for (size_t i = 0; shape[i] != '\0'; i++)
        if (shape[i] == 'n' ? !text->is_number[i + 1] : text->field[i + 1][0] == '\0')
            return false;
    return true;
}

static uint64_t submit_key(uint64_t session, uint64_t number)
{
    return mix64(session * 0x9e3779b97f4a7c15ull + mix64(number));
}

bool gateways_submitted(const struct gateways *gateways, uint64_t session, uint64_t number,
                        uint64_t hash)
{
    return table_find(&gateways->submitted, submit_key(session, number), hash) != NULL;
}

static void reached(struct text *text, const uint8_t *entry)
{
    struct counts *counts = &text->report->counts;
    if (entry != NULL && le64(entry + 8) > counts->highest)
        counts->highest = le64(entry + 8);
}

/* --- records
 * --------------------------------------------------------------------------------------- */

static void take_session(struct text *text)
{
    uint64_t id = text->number[3];
    uint64_t epoch = text->number[4];
    bool added;
    text->report->counts.opens++;
    *table_add(&text->opened, id, 0, 0, &added) = text->number[5];
    const struct session *s = model_session(text->model, id);
    if (s == NULL || s->adopted) {
        if (text->model->whole || id >= text->rings->first)
            fail(text->report, "%s line %" PRIu64 ": session %" PRIu64 " is not in the log",
                 text->path, text->line, id);
        return;
    }
    bool known = false;
    for (size_t i = 0; i < s->epoch_count; i++)
        known = known || s->epochs[i] == epoch;
    if (!known)
        fail(text->report, "%s line %" PRIu64 ": session %" PRIu64 " never had epoch %" PRIu64,
             text->path, text->line, id, epoch);
    else if (strcmp(s->name, text->field[2]) != 0 || s->principal != text->number[5])
        fail(text->report,
             "%s line %" PRIu64 ": session %" PRIu64 " is %s of principal %u in the log",
             text->path, text->line, id, s->name, s->principal);
    else if (known && epoch <= text->rings->held)
        reached(text, rings_entry(text->rings, epoch));
}

static bool open_here(struct text *text, uint64_t session)
{
    if (table_find(&text->opened, session, 0) != NULL)
        return true;
    fail(text->report, "%s line %" PRIu64 ": session %" PRIu64 " was not opened in this log before",
         text->path, text->line, session);
    return false;
}

static void first_pass_submit(struct text *text)
{
    uint64_t h;
    bool added;
    if (!digits(text->field[4], &h, 16))
        return; /* the second pass says so */
    uint64_t *size =
        table_add(&text->gateways->submitted, submit_key(text->number[1], text->number[2]), h,
                  text->number[3], &added);
    if (!added && *size != text->number[3])
        fail(text->report,
             "%s line %" PRIu64 ": session %" PRIu64 " number %" PRIu64
             " has the hash of an earlier submit but another size",
             text->path, text->line, text->number[1], text->number[2]);
    if (added)
        text->report->counts.submits++;
    else
        text->report->counts.resubmits++;
}

static void take_submit(struct text *text)
{
    uint64_t h;
    bool added;
    if (strlen(text->field[4]) != 16 || !digits(text->field[4], &h, 16)) {
        fail(text->report, "%s line %" PRIu64 ": %s is not 16 hex digits", text->path, text->line,
             text->field[4]);
        return;
    }
    if (open_here(text, text->number[1]))
        *table_add(&text->latest, text->number[1], text->number[2], 0, &added) = h;
}

static bool day_equal(const char *stated, const char name[DAY_SIZE])
{
    size_t size = strlen(stated);
    while (size > 0 && stated[size - 1] == '_')
        size--;
    size_t length = DAY_SIZE;
    while (length > 0 && (name[length - 1] == ' ' || name[length - 1] == '_'))
        length--;
    return size == length && memcmp(stated, name, length) == 0;
}

/* One difference shifts all that follows in its session: only the first is told, see tell(). */
static void ack_fail(struct text *text, const char *what)
{
    bool added;
    struct mismatch here = {.session = text->number[1],
                            .number = text->number[2],
                            .feed = text->number[4],
                            .line = text->line,
                            .path = text->path,
                            .what = what};
    uint64_t *at = table_add(&text->differs, here.session, 0, text->mismatch_count, &added);
    if (added) {
        text->mismatch = grow(text->mismatch, &text->mismatch_cap, text->mismatch_count + 1,
                              sizeof(*text->mismatch));
        text->mismatch[text->mismatch_count++] = here;
        return;
    }
    struct mismatch *first = &text->mismatch[*at];
    here.more = first->more + 1;
    if (here.number < first->number)
        *first = here;
    else
        first->more++;
}

static int by_feed(const void *a, const void *b)
{
    const struct mismatch *x = a;
    const struct mismatch *y = b;
    return (x->feed > y->feed) - (x->feed < y->feed);
}

static void tell(struct text *text)
{
    if (text->mismatch_count > 0)
        qsort(text->mismatch, text->mismatch_count, sizeof(*text->mismatch), by_feed);
    for (size_t i = 0; i < text->mismatch_count; i++) {
        const struct mismatch *m = &text->mismatch[i];
        fail(text->report,
             "%s line %" PRIu64 ": session %" PRIu64 " number %" PRIu64 " (feed %" PRIu64
             "): %s (and %" PRIu64 " more results of this session)",
             m->path, m->line, m->session, m->number, m->feed, m->what, m->more);
    }
    free(text->mismatch);
    free(text->differs.slot);
}

/* Content: as last submitted in this log, or else in any. */
static bool content_good(struct text *text, const struct result *r)
{
    const uint64_t *latest = table_find(&text->latest, text->number[1], text->number[2]);
    if (latest != NULL && *latest == r->hash)
        return true;
    const uint64_t *size = table_find(&text->gateways->submitted,
                                      submit_key(text->number[1], text->number[2]), r->hash);
    return latest == NULL && size != NULL && *size == r->size;
}

/* The feed number that a result names, where the log cannot give it; NULL: the day is not named. */
static struct fed *stated_feed(struct text *text)
{
    uint64_t feed = text->number[4];
    size_t length = strlen(text->field[6]);
    char name[DAY_SIZE];
    memset(name, ' ', sizeof(name));
    if (strcmp(text->field[6], "-") == 0 || length > DAY_SIZE)
        return NULL;
    if (feed > LOOSE_MAX) {
        ack_fail(text, "an impossible feed number");
        return NULL;
    }
    for (size_t i = 0; i < length; i++)
        name[i] = text->field[6][i] == '_' ? ' ' : text->field[6][i];
    uint32_t index = model_day(text->model, name, 0);
    if (index == UINT32_MAX)
        return NULL;
    struct day *day = &text->model->day[index];
    if (feed > day->acked)
        day->acked = feed;
    return day_fed(day, feed);
}

/* Where the log's beginning is gone: its content if it is there, and which message stands behind
 * the feed number, so that lines can be held to what was submitted. */
static void take_ack_wrapped(struct text *text, const struct session *s, const struct result *r)
{
    uint64_t id = text->number[1];
    uint64_t number = text->number[2];
    uint64_t utc_ns = text->number[5];
    bool settled = s != NULL && (!s->adopted || number > s->settled);
    if (r->status != STATUS_NONE && r->entry[6] == NODE) {
        if (settled) /* else perhaps an operation that came too early, and took no number */
            ack_fail(text, "acknowledged as sequenced, but the log holds a node operation");
    } else if (r->status == STATUS_NONE) {
        if (utc_ns > text->model->first_utc_ns && (s == NULL || settled))
            ack_fail(text, "acknowledged, but not in the log");
        text->model->below++;
    } else if (!content_good(text, r)) {
        ack_fail(text, "the log holds another content");
    } else if (utc_ns != le64(r->entry + 24) && settled) {
        ack_fail(text, "the log holds another timestamp");
    }
    reached(text, r->entry);
    struct fed *fed = stated_feed(text);
    if (fed == NULL)
        return;
    if (fed->session != 0 && (fed->session != id || fed->number != number))
        ack_fail(text, "the same feed number was acknowledged for another message");
    fed->session = id;
    fed->number = number;
    if (r->status == STATUS_NONE || !settled)
        return; /* what the log holds may be a resend of an entry that is gone */
    fed->entry = r->entry;
    fed->offset = (uint16_t)(r->payload - r->entry);
    fed->size = r->size;
}

static void take_sequenced(struct text *text, const struct session *s, const struct result *r)
{
    text->report->counts.acks_sequenced++;
    if (text->number[4] == 0) {
        ack_fail(text, "sequenced without a feed number");
        return;
    }
    if (!text->model->whole) {
        take_ack_wrapped(text, s, r);
        return;
    }
    if (r->status == STATUS_NONE) {
        ack_fail(text, "acknowledged, but not in the log");
        return;
    }
    reached(text, r->entry);
    struct day *day = &text->model->day[r->day];
    if (r->status >= STATUS_DONE)
        ack_fail(text, "acknowledged as sequenced, but the log holds a node operation");
    else if (r->status == STATUS_STALE_SEQUENCER)
        ack_fail(text, "acknowledged as sequenced, but its sequencer was stale in the log");
    else if (r->status == STATUS_SUSPENDED)
        ack_fail(text, "acknowledged as sequenced, but the log refuses it: it was suspended");
    else if (r->status != STATUS_SEQUENCED)
        ack_fail(text, "acknowledged as sequenced, but the log refuses it: the day was closed");
    else if (r->feed != text->number[4])
        ack_fail(text, "the log gives it another feed number");
    else if (!content_good(text, r))
        ack_fail(text, "the log holds another content");
    else if (le64(r->entry + 24) != text->number[5])
        ack_fail(text, "the log holds another timestamp");
    else if (strcmp(text->field[6], "-") != 0 && !day_equal(text->field[6], day->name))
        ack_fail(text, "it was sequenced on another day");
    if (r->status == STATUS_SEQUENCED && r->feed > day->acked)
        day->acked = r->feed;
}

/* The status that a word names among those that depend on nodes and locks; STATUS_NONE: none. */
static uint8_t lock_status(const char *word)
{
    for (uint8_t status = STATUS_STALE_SEQUENCER; status < STATUS_WORDS; status++)
        if (strcmp(word, status_word(status)) == 0)
            return status;
    return STATUS_NONE;
}

/* A node operation's outcome, or a message's that was refused for its sequencer. Where the log's
 * beginning is gone, no more than that there is such an entry. */
static void take_lock_ack(struct text *text, const struct session *s, const struct result *r,
                          uint8_t status)
{
    bool whole = text->model->whole;
    bool operates = status != STATUS_STALE_SEQUENCER;
    bool settled = s != NULL && (!s->adopted || text->number[2] > s->settled);
    const uint64_t *latest = table_find(&text->latest, text->number[1], text->number[2]);
    text->report->counts.acks_node += operates;
    text->report->counts.acks_refused += !operates;
    reached(text, r->entry);
    if (!whole && (r->status == STATUS_NONE || !settled)) {
        if (r->status == STATUS_NONE && text->number[5] > text->model->first_utc_ns &&
            (s == NULL || settled))
            ack_fail(text, "answered, but not in the log");
        text->model->below++;
    } else if (r->status == STATUS_NONE) {
        ack_fail(text, "answered, but not in the log");
    } else if ((r->entry[6] == NODE) != operates) {
        ack_fail(text, "the log holds another kind of entry");
    } else if (whole && r->status != status) {
        ack_fail(text, "another status than the log's");
    } else if (whole && text->number[4] != r->feed) {
        ack_fail(text, "the log gives it another value");
    } else if (latest != NULL && *latest != r->hash) {
        ack_fail(text, "the log holds another content");
    } else if (le64(r->entry + 24) != text->number[5]) {
        ack_fail(text, "the log holds another timestamp");
    } else if (whole && strcmp(text->field[6], "-") != 0 &&
               !day_equal(text->field[6], text->model->day[r->day].name)) {
        ack_fail(text, "it was decided on another day");
    }
}

static void take_ack(struct text *text)
{
    uint64_t id = text->number[1];
    uint64_t number = text->number[2];
    text->report->counts.acks++;
    if (!open_here(text, id))
        return;
    const struct session *s = model_session(text->model, id);
    struct result r = {.status = STATUS_NONE};
    if (s != NULL)
        r = model_result(s, number);
    bool decided = true;
    uint8_t status = lock_status(text->field[3]);
    if (strspn(text->field[3], "abcdefghijklmnopqrstuvwxyz-") != strlen(text->field[3])) {
        fail(text->report, "%s line %" PRIu64 ": %s is no status", text->path, text->line,
             text->field[3]);
        return;
    }
    if (strcmp(text->field[3], "sequenced") == 0) {
        take_sequenced(text, s, &r);
    } else if (status != STATUS_NONE) {
        take_lock_ack(text, s, &r, status);
    } else if (strcmp(text->field[3], "day-closed") == 0 ||
               strcmp(text->field[3], "suspended") == 0) {
        bool day = text->field[3][0] == 'd';
        text->report->counts.acks_refused++;
        reached(text, r.entry);
        if (text->model->whole && r.status != (day ? STATUS_DAY_CLOSED : STATUS_SUSPENDED))
            ack_fail(text, day ? "refused as day-closed, but the log says otherwise"
                               : "refused as suspended, but the log says otherwise");
        else if (text->number[4] != 0)
            ack_fail(text, "refused with a feed number");
        else if (r.entry != NULL && text->model->whole && le64(r.entry + 24) != text->number[5])
            ack_fail(text, "the log holds another timestamp");
    } else {
        decided = false; /* it changed nothing: the number may still be sequenced later */
        text->report->counts.acks_refused++;
        if (text->number[4] != 0)
            ack_fail(text, "refused with a feed number");
    }
    bool added;
    if (decided)
        table_add(&text->results, id, number, 1, &added);
    if (decided && !added)
        text->report->counts.acks_repeated++;
}

static void take_end(struct text *text)
{
    text->report->counts.ends++;
    if (!open_here(text, text->number[1]))
        return;
    const struct session *s = model_session(text->model, text->number[1]);
    if (s == NULL || s->adopted)
        return; /* `session` was judged already */
    if (s->end_reason == 0)
        fail(text->report, "%s line %" PRIu64 ": session %" PRIu64 " has no end in the log",
             text->path, text->line, s->id);
    else if (s->last != text->number[2])
        fail(text->report,
             "%s line %" PRIu64 ": session %" PRIu64 " ended with number %" PRIu64 " in the log",
             text->path, text->line, s->id, s->last);
}

static void take_line(struct text *text, bool first_pass)
{
    if (shaped(text, "submit", "nnns")) {
        if (first_pass)
            first_pass_submit(text);
        else
            take_submit(text);
    } else if (first_pass) {
        return;
    } else if (shaped(text, "ack", "nnsnns")) {
        take_ack(text);
    } else if (shaped(text, "session", "nsnnn")) {
        take_session(text);
    } else if (shaped(text, "end", "nn")) {
        take_end(text);
    } else {
        fail(text->report, "%s line %" PRIu64 ": no record of a gateway log", text->path,
             text->line);
    }
}

static void read_lines(struct text *text, const struct file *file, bool first_pass)
{
    text->path = file->path;
    text->line = 0;
    size_t at = 0;
    while (at < file->size) {
        const uint8_t *start = file->at + at;
        const uint8_t *end = memchr(start, '\n', file->size - at);
        text->line++;
        if (end == NULL) {
            if (!first_pass)
                note(text->report, "%s line %" PRIu64 ": cut off, set aside", text->path,
                     text->line);
            return;
        }
        size_t size = (size_t)(end - start);
        at += size + 1;
        if (size == 0 || start[0] == '#')
            continue;
        if (split(text, start, size))
            take_line(text, first_pass);
        else if (!first_pass)
            fail(text->report, "%s line %" PRIu64 ": no record of a gateway log", text->path,
                 text->line);
    }
}

/* --- the other way round: what was sequenced was submitted
 * ------------------------------------------ */

static void nothing_invented(const struct gateways *gateways, const struct model *model,
                             struct report *report)
{
    for (size_t i = 0; i < model->session_count; i++) {
        const struct session *s = model->session[i];
        for (uint64_t n = s->base + 1; n <= s->last; n++) {
            const struct result *r = &s->result[n - s->base - 1];
            if (r->status == STATUS_NONE || r->entry[6] == NODE)
                continue; /* a node operation need not have a line */
            if (!gateways_submitted(gateways, s->id, n, r->hash))
                fail(report,
                     "index %" PRIu64 ": session %" PRIu64 " number %" PRIu64 " (feed %" PRIu64
                     "): no gateway submitted this content",
                     le64(r->entry + 8), s->id, n, r->feed);
        }
    }
}

void gateways_check(struct gateways *gateways, struct model *model, const struct rings *rings,
                    struct report *report)
{
    struct text *text = zalloc(1, sizeof(*text));
    *text = (struct text){.gateways = gateways, .model = model, .rings = rings, .report = report};
    for (int i = 0; i < gateways->count; i++)
        read_lines(text, &gateways->file[i], true);
    for (int i = 0; i < gateways->count; i++) {
        free(text->latest.slot);
        free(text->opened.slot);
        text->latest = text->opened = (struct table){0};
        text->file = i;
        read_lines(text, &gateways->file[i], false);
    }
    tell(text);
    if (gateways->complete)
        nothing_invented(gateways, model, report);
    if (!model->whole && model->below > 0)
        note(report,
             "%" PRIu64 " results lie before what the rings retain: their content was not seen",
             model->below);
    free(text->latest.slot);
    free(text->opened.slot);
    free(text->results.slot);
    free(text);
}
