#include "consensus/machine/machine_internal.h"

#include <string.h>

static struct packet_result_run *add_run(struct machine_outcome *outcome, uint64_t number,
                                         uint32_t count, enum machine_status status)
{
    ENSURE(outcome->run_count < KEEL_SESSION_WINDOW_MAX);
    struct packet_result_run *run = &outcome->run[outcome->run_count++];
    *run = (struct packet_result_run){
        .number = number, .count = (uint16_t)count, .status = (uint8_t)status};
    return run;
}

/* Joins the last run if this number goes on with its status. */
static void add_number(struct machine_outcome *outcome, uint64_t number, enum machine_status status)
{
    uint32_t count = outcome->run_count;
    if (count > 0 && outcome->run[count - 1].status == status)
        outcome->run[count - 1].count++;
    else
        add_run(outcome, number, 1, status);
}

/* A fenced entry's sequencer, of which a message's hash is made; NULL: it has none. */
HOT static const struct entry_sequencer *fence(const struct entry_messages *messages,
                                               struct entry_sequencer *sequencer)
{
    if ((messages->flags & ENTRY_FENCED) == 0)
        return NULL;
    *sequencer = entry_messages_sequencer(messages);
    return sequencer;
}

/* Blocks whose numbers were consumed before: whether they carry what was then decided. Changes
 * nothing. Advances *offset over them. */
HOT static void check_decided(const struct machine_session *s, const struct entry *entry,
                              uint64_t number, uint32_t count, uint32_t *offset,
                              struct machine_outcome *outcome)
{
    struct entry_sequencer sequencer;
    uint64_t seed = machine_hash_seed(entry->kind, fence(entry_body(entry), &sequencer));
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length;
        const uint8_t *payload = entry_block_next(entry, offset, &length);
        const struct machine_kept *kept = machine_kept(s, number + i);
        enum machine_status status = MACHINE_UNKNOWN;
        if (kept != NULL)
            status = kept->hash == hash_bytes(payload, length, seed) ? MACHINE_DUPLICATE
                                                                     : MACHINE_DIFFERENT;
        add_number(outcome, number + i, status);
    }
}

/* What becomes of the messages of this entry that are next. */
HOT static enum machine_status verdict(const struct machine *machine,
                                       const struct machine_session *s,
                                       const struct entry_sequencer *shown)
{
    if (!machine->day_open)
        return MACHINE_DAY_CLOSED;
    if (s->suspended)
        return MACHINE_SUSPENDED;
    if (shown != NULL && !machine_sequencer_holds(machine, shown))
        return MACHINE_STALE_SEQUENCER;
    return MACHINE_SEQUENCED;
}

/* Consumes `count` numbers from last + 1 on: one run, sequenced or refused alike. */
HOT static void consume(struct machine *machine, struct machine_session *s,
                        const struct entry *entry, uint32_t count, uint32_t offset,
                        struct machine_outcome *outcome)
{
    struct entry_sequencer sequencer;
    const struct entry_sequencer *shown = fence(entry_body(entry), &sequencer);
    uint64_t seed = machine_hash_seed(entry->kind, shown);
    enum machine_status status = verdict(machine, s, shown);
    struct packet_result_run *run = add_run(outcome, s->last + 1, count, status);
    uint64_t feed_step = status == MACHINE_SEQUENCED ? 1 : 0;
    run->feed = machine->feed_next * feed_step;
    run->utc_ns = machine->utc_ns;
    run->utc_error_ns = entry->utc_error_ns;
    struct machine_kept result = {
        .feed = run->feed,
        .utc_ns = run->utc_ns,
        .utc_error_ns = run->utc_error_ns,
        .status = (uint16_t)status,
        .day = (uint16_t)machine->day_count,
    };
    uint64_t number = run->number;
    uint64_t contents = number;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length;
        const uint8_t *payload = entry_block_next(entry, &offset, &length);
        result.hash = hash_bytes(payload, length, seed);
        s->kept[(number + i) % KEEL_SESSION_WINDOW_MAX] = result;
        contents = (contents ^ result.hash) * HASH_K0;
        result.feed += feed_step;
    }
    s->last += count;
    machine->feed_next += feed_step * count;
    machine_digest(machine, s->id, contents);
}

/* Consumes the number last + 1 with the operation of an ENTRY_NODE. */
static void operate(struct machine *machine, struct machine_session *s, const struct entry *entry,
                    struct machine_outcome *outcome)
{
    uint32_t offset = 0;
    uint16_t length;
    const uint8_t *block = entry_block_next(entry, &offset, &length);
    uint64_t value;
    enum machine_status status =
        machine_node_operate(machine, s, s->principal, false, block, &value);
    struct packet_result_run *run = add_run(outcome, s->last + 1, 1, status);
    run->feed = machine_kept_value(status) ? value : 0;
    run->utc_ns = machine->utc_ns;
    run->utc_error_ns = entry->utc_error_ns;
    s->last++;
    s->kept[s->last % KEEL_SESSION_WINDOW_MAX] = (struct machine_kept){
        .feed = run->feed,
        .utc_ns = run->utc_ns,
        .hash = machine_message_hash(entry->kind, block, length, NULL),
        .utc_error_ns = run->utc_error_ns,
        .status = (uint16_t)status,
        .day = (uint16_t)machine->day_count,
    };
    outcome->nodes_touched = true;
    machine_digest(machine, s->id, s->kept[s->last % KEEL_SESSION_WINDOW_MAX].hash);
}

/* Why no message of this entry has a place in its session at all; MACHINE_SEQUENCED: it may have.
 */
HOT static enum machine_status session_status(const struct machine_session *s,
                                              const struct entry *entry,
                                              const struct entry_messages *messages)
{
    if (s == NULL)
        return MACHINE_UNKNOWN;
    if (s->principal != entry->principal)
        return MACHINE_NOT_OWNER; /* H17 */
    if (!machine_alive(s))
        return MACHINE_SESSION_ENDED;
    return s->epoch == messages->epoch ? MACHINE_SEQUENCED : MACHINE_EPOCH; /* H15 */
}

/* Number by number, as if each came in an entry of its own: decided ones first, then those that are
 * next and within the window, then the one beyond the window, and behind it only gaps. */
HOT static void apply_messages(struct machine *machine, const struct entry *entry,
                               struct machine_outcome *outcome)
{
    const struct entry_messages *m = entry_body(entry);
    const struct machine_session *found = machine_session(machine, m->session);
    enum machine_status status = session_status(found, entry, m);
    outcome->slot = MACHINE_NO_SLOT;
    if (found != NULL && status != MACHINE_NOT_OWNER)
        outcome->slot = machine_slot(machine, found);
    if (status != MACHINE_SEQUENCED) {
        add_run(outcome, m->number, m->count, status);
        return;
    }
    struct machine_session *s = &machine_sessions(machine)[outcome->slot];
    uint32_t offset = 0;
    uint64_t number = m->number;
    uint64_t end = m->number + m->count; /* entry_check(): no wrap */
    if (number <= s->last) {
        uint32_t decided = (uint32_t)((end <= s->last ? end : s->last + 1) - number);
        check_decided(s, entry, number, decided, &offset, outcome);
        number += decided;
    }
    if (number < end && number == s->last + 1) {
        uint64_t limit = m->acked > UINT64_MAX - s->window ? UINT64_MAX : m->acked + s->window;
        uint64_t stop = limit >= end - 1 ? end : limit < number ? number : limit + 1;
        if (stop > number) {
            if (entry->kind == ENTRY_NODE)
                operate(machine, s, entry, outcome);
            else
                consume(machine, s, entry, (uint32_t)(stop - number), offset, outcome);
            uint64_t acked = m->acked < s->last ? m->acked : s->last;
            s->acked = acked > s->acked ? acked : s->acked;
        }
        number = stop;
        if (number < end) {
            add_run(outcome, number, 1, MACHINE_WINDOW);
            number++;
        }
    }
    if (number < end)
        add_run(outcome, number, (uint32_t)(end - number), MACHINE_GAP);
}

static enum machine_status apply_day_end(struct machine *machine, const struct entry_day *day)
{
    if (!machine->day_open || memcmp(machine->day, day->name, sizeof(day->name)) != 0)
        return MACHINE_DAY_STATE;
    machine->day_open = 0;
    return MACHINE_SEQUENCED;
}

static enum machine_status apply_day_begin(struct machine *machine, const struct entry_day *day)
{
    if (machine->day_open || memcmp(machine->day, day->name, sizeof(day->name)) == 0)
        return MACHINE_DAY_STATE;
    machine->day_open = 1;
    machine->day_count++;
    machine->feed_next = 1;
    memcpy(machine->day, day->name, sizeof(machine->day));
    return MACHINE_SEQUENCED;
}

/* H2: a lower counter, or an equal one with another id, is a clone or an old image. An incarnation
 * that the configuration does not name for this id is refused alike. */
static enum machine_status apply_boot(struct machine *machine, const struct entry_boot *boot)
{
    uint32_t id = boot->replica;
    if (machine->config.member[id].incarnation != boot->incarnation)
        return MACHINE_BOOT_OLD;
    if (machine->boot_incarnation[id] == boot->incarnation) {
        if (boot->boot < machine->boot[id])
            return MACHINE_BOOT_OLD;
        if (boot->boot == machine->boot[id] && boot->boot_id != machine->boot_id[id])
            return MACHINE_BOOT_OLD;
    }
    machine->boot[id] = boot->boot;
    machine->boot_id[id] = boot->boot_id;
    machine->boot_incarnation[id] = boot->incarnation;
    return MACHINE_SEQUENCED;
}

static enum machine_status apply_config(struct machine *machine, const struct entry *entry)
{
    struct entry_config before = machine->config;
    uint64_t before_index = machine->config_index;
    memcpy(&machine->config, entry_body(entry), sizeof(machine->config));
    machine->config_index = entry->index;
    machine_autopilot_members(machine, entry, &before, before_index);
    machine_drained_config(machine, &before);
    return MACHINE_SEQUENCED;
}

/* Days, boots, configuration, autopilot, probes: entries that only a leader's own control proposes.
 */
static enum machine_status apply_leaders(struct machine *machine, const struct entry *entry,
                                         struct machine_outcome *outcome)
{
    enum machine_status status = MACHINE_NOT_OWNER;
    if (entry->principal >= KEEL_CLIENT_MIN)
        return status;
    if (entry->kind == ENTRY_DAY_END) {
        status = apply_day_end(machine, entry_body(entry));
        outcome->day_ended = status == MACHINE_SEQUENCED;
    } else if (entry->kind == ENTRY_DAY_BEGIN) {
        status = apply_day_begin(machine, entry_body(entry));
        outcome->day_began = status == MACHINE_SEQUENCED;
    } else if (entry->kind == ENTRY_BOOT) {
        status = apply_boot(machine, entry_body(entry));
    } else if (entry->kind == ENTRY_AUTOPILOT) {
        status = machine_apply_autopilot(machine, entry);
    } else if (entry->kind == ENTRY_PROBE) {
        status = MACHINE_SEQUENCED; /* its index is all that it is for */
    } else {
        status = apply_config(machine, entry);
    }
    return status;
}

static void apply_other(struct machine *machine, const struct entry *entry,
                        struct machine_outcome *outcome)
{
    machine_sweep(machine);
    /* unreachable: ENTRY_MESSAGES and ENTRY_NODE, see machine_apply() */
    switch ((enum entry_kind)entry->kind) {
    case ENTRY_NOOP:
        machine->noop_term = entry->term;
        machine->noop_log_ns = machine->log_ns;
        return;
    case ENTRY_MESSAGES:
    case ENTRY_NODE:
        break;
    case ENTRY_SESSION_OPEN:
        machine_apply_open(machine, entry, outcome);
        return;
    case ENTRY_SESSION_RESUME:
        machine_apply_resume(machine, entry, outcome);
        return;
    case ENTRY_SESSION_END:
        machine_apply_end(machine, entry, outcome);
        return;
    case ENTRY_SESSION_EXPIRE:
        machine_apply_expire(machine, entry, outcome);
        return;
    case ENTRY_DUE:
        machine_apply_due(machine, entry, outcome);
        return;
    case ENTRY_OPERATOR:
        machine_apply_operator(machine, entry, outcome);
        return;
    case ENTRY_DAY_END:
    case ENTRY_DAY_BEGIN:
    case ENTRY_BOOT:
    case ENTRY_CONFIG:
    case ENTRY_AUTOPILOT:
    case ENTRY_PROBE:
        outcome->status = (uint8_t)apply_leaders(machine, entry, outcome);
        return;
    }
    outcome->status = MACHINE_BAD_ENTRY;
}

void machine_apply(struct machine *machine, const struct entry *entry,
                   struct machine_outcome *outcome)
{
    ENSURE(entry->index == machine->applied + 1);
    machine->applied = entry->index;
    machine->applied_term = entry->term;
    if (entry->utc_ns > machine->utc_ns)
        machine->utc_ns = entry->utc_ns;
    if (entry->log_ns > machine->log_ns)
        machine->log_ns = entry->log_ns;
    outcome->index = entry->index;
    outcome->kind = entry->kind;
    outcome->status = MACHINE_SEQUENCED;
    outcome->run_count = 0;
    outcome->slot = MACHINE_NO_SLOT;
    outcome->feed_before = machine->feed_next;
    outcome->day_ended = false;
    outcome->day_began = false;
    outcome->session_ended = false;
    outcome->nodes_touched = false;
    outcome->repeats = 0;
    if (entry->kind == ENTRY_MESSAGES || entry->kind == ENTRY_NODE) {
        apply_messages(machine, entry, outcome);
        outcome->status = outcome->run[0].status;
    } else {
        apply_other(machine, entry, outcome);
    }
    outcome->feed_after = machine->feed_next;

    machine_digest(machine, entry->index, (uint64_t)entry->kind << 32 | outcome->status);
    for (uint32_t i = 0; i < outcome->run_count; i++)
        machine_digest(machine, outcome->run[i].number ^ outcome->run[i].feed << 20,
                       (uint64_t)outcome->run[i].count << 32 | outcome->run[i].status);
    const struct machine_session *s = machine_session_at(machine, outcome->slot);
    if (s != NULL)
        machine_digest(machine, s->id, s->epoch);
}
