#include "judge.h"

#include <inttypes.h>
#include <string.h>

/* The state machine as docs/design.md (sections 7 and 9) and the machine's contract describe it:
 * sessions, epochs, windows, feed numbers, days. It keeps every result, where the product keeps the
 * last W.
 */

enum { END_CLEAN = 1, END_KILLED = 2, END_EXPIRED = 3, NS_PER_MS = 1000000 };

struct run {
    struct model *model;
    struct report *report;
    const struct rings *rings;
    const uint8_t *entry; /* the one being applied */
    const uint8_t *fence; /* the sequencer that it shows; NULL: none */
    uint64_t index;
    uint32_t principal;
};

const char *status_word(uint8_t status)
{
    static const char *const word[STATUS_WORDS] = {
        "sequenced",      "day-closed", "suspended",     "stale-sequencer", "done",
        "queued",         "no-node",    "node-exists",   "not-allowed",     "generation-changed",
        "node-not-empty", "lock-busy",  "lock-not-held", "node-table-full", "handle-limit",
        "waiter-limit",   "not-open"};
    return word[status];
}

static uint32_t within(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* --- sessions
 * ------------------------------------------------------------------------------------- */

struct session *model_session(const struct model *model, uint64_t id)
{
    const uint64_t *at = table_find(&model->by_id, id, 0);
    return at == NULL ? NULL : model->session[*at];
}

static struct session *session_add(struct model *model, uint64_t id, uint64_t epoch,
                                   uint32_t principal)
{
    bool added;
    table_add(&model->by_id, id, 0, model->session_count, &added);
    model->session = grow(model->session, &model->session_cap, model->session_count + 1,
                          sizeof(*model->session));
    struct session *s = zalloc(1, sizeof(*s));
    model->session[model->session_count++] = s;
    s->id = id;
    s->principal = principal;
    s->epoch = epoch;
    return s;
}

static void epoch_set(struct session *s, uint64_t epoch)
{
    s->epoch = epoch;
    s->epochs = grow(s->epochs, &s->epoch_cap, s->epoch_count + 1, sizeof(*s->epochs));
    s->epochs[s->epoch_count++] = epoch;
}

/* By owner and name: the living one, else the one that ended last. Where the log's beginning is
 * gone the names of older sessions are not known, and an opening that looks new may have been
 * refused. So there it is taken, whatever the name; who was refused has no results to compare. */
static struct session *session_named(const struct model *model, uint32_t principal,
                                     const uint8_t *name)
{
    struct session *found = NULL;
    for (size_t i = 0; i < model->session_count; i++) {
        struct session *s = model->session[i];
        if (s->forgotten || s->principal != principal || memcmp(s->name, name, NAME_SIZE) != 0)
            continue;
        if (s->end_reason == 0)
            return s;
        found = s;
    }
    return found;
}

static void sweep(struct model *model)
{
    uint64_t retain_ns = (uint64_t)model->genesis->retain_ms * NS_PER_MS;
    for (size_t i = 0; i < model->session_count; i++) {
        struct session *s = model->session[i];
        if (s->end_reason == 0 || model->log_ns < s->ended_ns + retain_ns)
            continue;
        s->forgotten = true;
        operators_forget(model->operators, s->id);
    }
}

/* Ended sessions that are kept count too. Where the log's beginning is gone, there is room. */
static bool session_room(const struct model *model, uint32_t principal)
{
    uint32_t all = 0;
    uint32_t mine = 0;
    for (size_t i = 0; i < model->session_count; i++) {
        all += !model->session[i]->forgotten;
        mine += !model->session[i]->forgotten && model->session[i]->principal == principal;
    }
    return !model->whole ||
           (all < model->genesis->sessions_max && mine < model->genesis->sessions_each);
}

static void apply_open(struct run *run, const uint8_t *body)
{
    struct model *model = run->model;
    const struct session *there = session_named(model, run->principal, body);
    bool lives = model->whole && there != NULL && there->end_reason == 0;
    if (run->principal == 0 || lives || !session_room(model, run->principal))
        return; /* refused, or the same answer once more (H16): nothing changes */
    struct session *s = session_add(model, run->index, run->index, run->principal);
    epoch_set(s, run->index);
    memcpy(s->name, body, NAME_SIZE);
    s->process = le64(body + 32);
    s->began_ns = model->log_ns;
    s->ttl_ms = within(le32(body + 48), model->genesis->ttl_min_ms, model->genesis->ttl_max_ms);
    s->window = (uint16_t)within(le16(body + 52), 1, model->genesis->window_max);
    run->report->counts.sessions++;
}

static void apply_resume(struct run *run, const uint8_t *body)
{
    struct model *model = run->model;
    struct session *s = session_named(model, run->principal, body);
    uint64_t process = le64(body + 32);
    for (size_t i = 0; !model->whole && i < model->session_count; i++)
        if (model->session[i]->epoch == le64(body + 40) &&
            model->session[i]->principal == run->principal)
            s = model->session[i]; /* several may bear the name */
    if (s == NULL || s->end_reason != 0 || s->process == process || s->epoch != le64(body + 40))
        return;
    if (model->locks != NULL) /* by the time to live of the life that is over */
        locks_end(model->locks, s, LEAVES_TAKEN);
    epoch_set(s, run->index);
    s->process = process;
    s->began_ns = model->log_ns;
    s->ttl_ms = within(le32(body + 48), model->genesis->ttl_min_ms, model->genesis->ttl_max_ms);
}

/* --- the order
 * ------------------------------------------------------------------------------------- */

struct fed *day_fed(struct day *day, uint64_t feed)
{
    day->fed = grow(day->fed, &day->cap, (size_t)feed, sizeof(*day->fed));
    if (day->count < feed)
        day->count = (size_t)feed;
    return &day->fed[feed - 1];
}

static struct day *today(const struct model *model)
{
    return (struct day *)&model->day[model->day_count - 1];
}

static void end_session(struct run *run, struct session *s, uint8_t reason)
{
    struct model *model = run->model;
    if (model->locks != NULL)
        locks_end(model->locks, s,
                  reason == END_CLEAN    ? LEAVES_CLEAN
                  : reason == END_KILLED ? LEAVES_TAKEN
                                         : LEAVES_EXPIRED);
    s->end_reason = reason;
    s->ended_ns = model->log_ns == 0 ? 1 : model->log_ns;
    if (!model->day_open || !model->whole)
        return; /* no order to stand in, or its numbers are unknown */
    struct day *day = today(model);
    *day_fed(day, day->count + 1) = (struct fed){
        .entry = run->entry, .session = s->id, .number = s->last, .kind = 1, .reason = reason};
    run->report->counts.session_ends++;
}

static void apply_end(struct run *run, const uint8_t *body)
{
    bool kill = le32(body + 24) == END_KILLED;
    uint64_t epoch = le64(body + 8);
    struct session *s = model_session(run->model, le64(body));
    if (s == NULL || s->end_reason != 0)
        return;
    if (kill ? run->principal >= CLIENTS_FROM : run->principal != s->principal)
        return; /* H17 */
    if (epoch == s->epoch || (kill && epoch == 0) || (s->adopted && epoch > s->epoch))
        end_session(run, s, kill ? END_KILLED : END_CLEAN);
}

static void apply_expire(struct run *run, const uint8_t *body)
{
    struct model *model = run->model;
    const struct genesis_facts *g = model->genesis;
    struct session *s = model_session(model, le64(body));
    uint64_t stretch = NS_PER_MS + (uint64_t)g->rho_ppm; /* ms -> ns x (1 + rho) */
    if (s == NULL || s->end_reason != 0 || run->principal >= CLIENTS_FROM || s->adopted ||
        le64(body + 8) != s->epoch || model->log_ns < s->began_ns + s->ttl_ms * stretch)
        return;
    if (le64(body + 16) == model->noop_term && /* it may be gone with the log's beginning */
        model->log_ns >= model->noop_ns + g->ttl_max_ms * stretch)
        end_session(run, s, END_EXPIRED);
}

static void day_add(struct model *model, const uint8_t *name)
{
    if (model->day_count == DAYS_MAX)
        return; /* model_run() says so */
    memcpy(model->day[model->day_count++].name, name, DAY_SIZE);
}

static void apply_day(struct run *run, const uint8_t *body, bool begins)
{
    struct model *model = run->model;
    if (run->principal >= CLIENTS_FROM || !model->whole || begins == model->day_open)
        return;
    bool same = memcmp(today(model)->name, body, DAY_SIZE) == 0;
    if (begins && !same) {
        day_add(model, body);
        model->day_open = true;
    } else if (!begins && same) {
        today(model)->ended = true;
        model->day_open = false;
    }
}

/* --- messages
 * --------------------------------------------------------------------------------------- */

/* The session's next number is consumed: by what, and nothing yet of what became of it. */
static struct result *take_number(struct run *run, struct session *s, uint64_t number,
                                  const uint8_t *payload, uint16_t size)
{
    struct model *model = run->model;
    s->result = grow(s->result, &s->result_cap, (size_t)(number - s->base), sizeof(*s->result));
    for (uint64_t n = s->last + 1; n < number; n++) /* adopted sessions only */
        s->result[n - s->base - 1].status = STATUS_NONE;
    s->last = number;
    struct result *r = &s->result[number - s->base - 1];
    *r = (struct result){.entry = run->entry,
                         .payload = payload,
                         .hash = sha256_head(payload, size),
                         .size = size,
                         .day = model->whole ? model->day_count - 1 : 0,
                         .status = STATUS_UNDECIDED};
    return r;
}

/* A fenced message's lock is looked at here, at its own place in the order. */
static uint8_t verdict(const struct run *run, const struct session *s)
{
    const struct model *model = run->model;
    if (!model->whole) /* the days are not known, nor the locks */
        return run->fence != NULL ? STATUS_UNDECIDED : STATUS_SEQUENCED;
    if (!model->day_open)
        return STATUS_DAY_CLOSED;
    if (operators_suspended(model->operators, s))
        return STATUS_SUSPENDED;
    bool stale = run->fence != NULL && !locks_hold(model->locks, run->fence);
    return stale ? STATUS_STALE_SEQUENCER : STATUS_SEQUENCED;
}

static void consume(struct run *run, struct session *s, uint64_t number, const uint8_t *payload,
                    uint16_t size)
{
    struct model *model = run->model;
    struct counts *counts = &run->report->counts;
    struct result *r = take_number(run, s, number, payload, size);
    r->status = verdict(run, s);
    counts->undecided += r->status == STATUS_UNDECIDED;
    counts->fenced_refused += r->status == STATUS_STALE_SEQUENCER;
    if (r->status != STATUS_SEQUENCED) {
        counts->refused += r->status != STATUS_UNDECIDED;
        return;
    }
    counts->fenced += run->fence != NULL;
    counts->sequenced++;
    counts->bytes += size;
    if (!model->whole)
        return;
    struct day *day = today(model);
    r->feed = day->count + 1;
    *day_fed(day, r->feed) = (struct fed){.entry = run->entry,
                                          .session = s->id,
                                          .number = number,
                                          .offset = (uint16_t)(payload - run->entry),
                                          .size = size};
}

/* A node operation takes its session's next number, whether a day is open or not. */
static void operate(struct run *run, struct session *s, uint64_t number, const uint8_t *block,
                    uint16_t size)
{
    struct model *model = run->model;
    struct result *r = take_number(run, s, number, block, size);
    run->report->counts.node_operations++;
    if (model->locks == NULL) {
        run->report->counts.undecided++;
        return;
    }
    uint64_t value;
    r->status = locks_operate(model->locks, s, run->principal, false, block, &value);
    if (r->status == STATUS_DONE || r->status == STATUS_QUEUED)
        r->feed = value;
}

static void apply_operator(struct run *run, const uint8_t *body)
{
    struct model *model = run->model;
    uint64_t value;
    if (run->principal >= CLIENTS_FROM || operators_repeated(model->operators, body))
        return;
    run->report->counts.operators++;
    if (body[32] == OPERATOR_SUSPEND || body[32] == OPERATOR_LIMIT)
        operators_hold_back(model->operators, model_session(model, le64(body + 16)), body);
    if (body[32] != OPERATOR_NODE)
        return;
    run->report->counts.node_operations++;
    if (model->locks == NULL)
        run->report->counts.undecided++;
    else
        locks_operate(model->locks, NULL, run->principal, le32(body + 28) == 1,
                      body + OPERATOR_HEAD, &value);
}

/* Where the log's beginning is gone, a session first seen is taken as it shows itself. */
static struct session *adopt(struct run *run, uint64_t id, const uint8_t *body)
{
    if (run->model->whole || id >= run->rings->first)
        return NULL;
    struct session *s = session_add(run->model, id, le64(body + 8), run->principal);
    s->adopted = true;
    s->window = WINDOW_MAX;
    s->base = s->last = le64(body + 16) - 1;
    s->settled = s->base + WINDOW_MAX;
    run->report->counts.sessions++;
    return s;
}

/* H15: only an entry of the session's owner and current epoch, and only number last + 1 within the
 * window of what that very entry acknowledges, can consume a number. */
static void apply_messages(struct run *run, const uint8_t *body)
{
    struct counts *counts = &run->report->counts;
    uint64_t number = le64(body + 16);
    uint64_t acked = le64(body + 24);
    uint32_t count = le16(body + 32);
    struct session *s = model_session(run->model, le64(body));
    if (s == NULL)
        s = adopt(run, le64(body), body);
    if (s != NULL && s->adopted && le64(body + 8) > s->epoch)
        s->epoch = le64(body + 8);
    if (s == NULL || s->principal != run->principal || s->end_reason != 0 ||
        s->epoch != le64(body + 8)) {
        counts->unchanged += count;
        return;
    }
    bool operates = run->entry[6] == NODE;
    const uint8_t *at = body + 40;
    run->fence = le16(body + 36) == 1 ? at + le16(body + 34) : NULL;
    for (uint32_t i = 0; i < count; i++, number++) {
        uint16_t size = le16(at);
        bool next = number == s->last + 1 || (s->adopted && number > s->last);
        if (!next || (number > acked && number - acked > s->window))
            counts->unchanged++;
        else if (operates)
            operate(run, s, number, at + 2, size);
        else
            consume(run, s, number, at + 2, size);
        at += 2 + size;
    }
}

/* --- the log
 * ----------------------------------------------------------------------------------------- */

static void check_order(struct run *run, const uint8_t *entry)
{
    struct model *model = run->model;
    uint64_t page = run->rings->reference->live[run->index - run->rings->first].page;
    uint64_t term = le64(entry + 16);
    uint64_t utc_ns = le64(entry + 24);
    uint64_t log_ns = le64(entry + 32);
    bool control = entry[6] != MESSAGES;
    if (utc_ns < model->utc_ns)
        fail(run->report,
             "index %" PRIu64 " (ring %d page %" PRIu64 "): utc_ns %" PRIu64
             " goes back from %" PRIu64,
             run->index, run->rings->reference->id, page, utc_ns, model->utc_ns);
    if (term < model->last_term)
        fail(run->report,
             "index %" PRIu64 " (ring %d page %" PRIu64 "): term %" PRIu64
             " goes back from %" PRIu64,
             run->index, run->rings->reference->id, page, term, model->last_term);
    if (term > model->last_term && entry[6] != NOOP && run->index > run->rings->first)
        fail(run->report,
             "index %" PRIu64 " (ring %d page %" PRIu64 "): term %" PRIu64
             " does not begin with a no-op",
             run->index, run->rings->reference->id, page, term);
    if (control && log_ns < model->control_ns)
        fail(run->report, "index %" PRIu64 " (ring %d page %" PRIu64 "): log time goes back",
             run->index, run->rings->reference->id, page);
    model->last_term = term;
    if (control)
        model->control_ns = log_ns;
    if (utc_ns > model->utc_ns)
        model->utc_ns = utc_ns;
    if (log_ns > model->log_ns)
        model->log_ns = log_ns;
}

static void apply(struct run *run, const uint8_t *entry)
{
    const uint8_t *body = entry + ENTRY_HEAD;
    run->entry = entry;
    run->principal = le32(entry + 44);
    check_order(run, entry);
    if (run->model->locks != NULL)
        locks_at(run->model->locks, run->index, run->model->log_ns);
    if (entry[6] != MESSAGES && entry[6] != NODE)
        sweep(run->model);
    if (entry[6] == MESSAGES || entry[6] == NODE) {
        apply_messages(run, body);
    } else if (entry[6] == OPERATOR) {
        apply_operator(run, body);
    } else if (entry[6] == DUE) {
        if (run->model->locks != NULL && run->principal < CLIENTS_FROM &&
            le64(body) == run->model->noop_term)
            locks_due(run->model->locks);
    } else if (entry[6] == NOOP) {
        run->model->noop_term = le64(entry + 16);
        run->model->noop_ns = run->model->log_ns;
    } else if (entry[6] == OPEN) {
        apply_open(run, body);
    } else if (entry[6] == RESUME) {
        apply_resume(run, body);
    } else if (entry[6] == END) {
        apply_end(run, body);
    } else if (entry[6] == EXPIRE) {
        apply_expire(run, body);
    } else if (entry[6] == DAY_END || entry[6] == DAY_BEGIN) {
        apply_day(run, body, entry[6] == DAY_BEGIN);
    }
}

void model_run(struct model *model, const struct rings *rings, struct report *report)
{
    model->genesis = &rings->reference->genesis;
    model->whole = rings->first == 1;
    model->operators = operators_new();
    model->first_utc_ns = le64(rings_entry(rings, rings->first) + 24);
    if (model->whole) {
        day_add(model, (const uint8_t *)model->genesis->day);
        model->day_open = true;
        model->locks = locks_new(model->genesis, report);
    } else {
        note(report,
             "the rings begin at index %" PRIu64 ": what was before is gone, so feed numbers, days "
             "and the first results of each session "
             "are not decided anew; rings, chains, stretches and contents that are there are",
             rings->first);
    }
    struct run run = {.model = model, .report = report, .rings = rings};
    uint64_t changes = 0;
    for (run.index = rings->first; run.index <= rings->held; run.index++) {
        const uint8_t *entry = rings_entry(rings, run.index);
        apply(&run, entry);
        changes += entry[6] == CONFIG;
    }
    if (changes > 0)
        note(report, "%" PRIu64 " changes of the members: majorities were counted by the log",
             changes);
    if (report->counts.undecided > 0)
        note(report,
             "%" PRIu64 " node operations and fenced messages are not decided: what locks were "
             "held before the rings' beginning is gone",
             report->counts.undecided);
    if (model->locks != NULL)
        holds_check(locks_holds(model->locks), report);
    if (model->day_count == DAYS_MAX)
        fail(report, "days: more than %d", DAYS_MAX);
    report->counts.days = model->day_count;
}

struct result model_result(const struct session *session, uint64_t number)
{
    if (number <= session->base || number > session->last)
        return (struct result){.status = STATUS_NONE};
    return session->result[number - session->base - 1];
}

uint32_t model_day(struct model *model, const char *name, uint32_t from)
{
    if (!model->whole)
        from = 0; /* days are known in the order in which the evidence names them */
    for (uint32_t day = from; day < model->day_count; day++)
        if (memcmp(model->day[day].name, name, DAY_SIZE) == 0)
            return day;
    if (model->whole || model->day_count == DAYS_MAX)
        return UINT32_MAX;
    day_add(model, (const uint8_t *)name);
    return model->day_count - 1;
}
