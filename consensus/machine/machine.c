#include "consensus/machine/machine.h"

#include "consensus/machine/machine_internal.h"
#include "consensus/machine/machine_table.h"

#include <string.h>

_Static_assert(sizeof(struct machine) % 8 == 0, "no padding at the end");

const char *machine_status_name(enum machine_status status)
{
    switch (status) {
    case MACHINE_SEQUENCED:
        return "sequenced";
    case MACHINE_DAY_CLOSED:
        return "day-closed";
    case MACHINE_DONE:
        return "done";
    case MACHINE_QUEUED:
        return "queued";
    case MACHINE_NO_NODE:
        return "no-node";
    case MACHINE_NODE_EXISTS:
        return "node-exists";
    case MACHINE_NOT_ALLOWED:
        return "not-allowed";
    case MACHINE_CHANGED:
        return "generation-changed";
    case MACHINE_NOT_EMPTY:
        return "node-not-empty";
    case MACHINE_LOCK_BUSY:
        return "lock-busy";
    case MACHINE_NOT_HELD:
        return "lock-not-held";
    case MACHINE_NODE_TABLE:
        return "node-table-full";
    case MACHINE_HANDLE_LIMIT:
        return "handle-limit";
    case MACHINE_WAITER_LIMIT:
        return "waiter-limit";
    case MACHINE_STALE_SEQUENCER:
        return "stale-sequencer";
    case MACHINE_NOT_OPEN:
        return "not-open";
    case MACHINE_DUPLICATE:
        return "duplicate";
    case MACHINE_DIFFERENT:
        return "different-content";
    case MACHINE_UNKNOWN:
        return "unknown";
    case MACHINE_GAP:
        return "gap";
    case MACHINE_WINDOW:
        return "beyond-window";
    case MACHINE_EPOCH:
        return "stale-epoch";
    case MACHINE_NOT_OWNER:
        return "not-owner";
    case MACHINE_SESSION_ENDED:
        return "session-ended";
    case MACHINE_SESSION_EXISTS:
        return "session-exists";
    case MACHINE_SESSION_TABLE:
        return "session-table-full";
    case MACHINE_SESSION_LIMIT:
        return "session-limit";
    case MACHINE_NOT_EXPIRED:
        return "not-expired";
    case MACHINE_DAY_STATE:
        return "wrong-day-state";
    case MACHINE_BOOT_OLD:
        return "old-boot";
    case MACHINE_BAD_ENTRY:
        return "bad-entry";
    case MACHINE_SUSPENDED:
        return "suspended";
    case MACHINE_RESTRAINT_TABLE:
        return "restraint-table-full";
    case MACHINE_NO_LEADER_LEFT:
        return "no-leader-left";
    }
    return "invalid";
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static size_t sessions_offset(uint32_t sessions_max)
{
    size_t words = 2 * (size_t)machine_table_cells(sessions_max) + sessions_max;
    return round_up(round_up(sizeof(struct machine), 64) + words * sizeof(uint32_t), 64);
}

static size_t sessions_end(uint32_t sessions_max)
{
    return sessions_offset(sessions_max) + sessions_max * sizeof(struct machine_session);
}

size_t machine_size(const struct genesis *genesis)
{
    return machine_nodes_layout(NULL, genesis, sessions_end(genesis->sessions_max));
}

void machine_founders(struct machine *machine, const struct genesis *genesis)
{
    memset(&machine->config, 0, sizeof(machine->config));
    machine->config.voters = genesis_voters(genesis);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct genesis_founder *founder = &genesis->founder[id];
        if (founder->incarnation != 0)
            machine->config.member[id] = (struct entry_member){
                .incarnation = founder->incarnation, .ip = founder->ip, .port = founder->port};
    }
}

void machine_init(struct machine *machine, const struct genesis *genesis)
{
    ENSURE((uintptr_t)machine % 64 == 0);
    ENSURE(genesis->sessions_max >= 1 && genesis->sessions_max <= GENESIS_SESSIONS_MAX);
    ENSURE(genesis->window_max >= 1 && genesis->window_max <= KEEL_SESSION_WINDOW_MAX);
    memset(machine, 0, machine_size(genesis));
    machine->size = machine_size(genesis);
    machine->cluster_id = genesis->cluster_id;
    machine->feed_next = 1;
    machine->day_count = 1;
    machine->day_open = 1;
    memcpy(machine->day, genesis->day, sizeof(machine->day));
    machine_founders(machine, genesis);
    machine->sessions_max = genesis->sessions_max;
    machine->sessions_per_principal = genesis->sessions_per_principal;
    machine->window_max = genesis->window_max;
    machine->ttl_min_ms = genesis->ttl_min_ms;
    machine->ttl_max_ms = genesis->ttl_max_ms;
    machine->session_retain_ms = genesis->session_retain_ms;
    machine->rho_ppm = genesis->rho_ppm;
    machine->table_mask = machine_table_cells(genesis->sessions_max) - 1;
    machine->table_offset = (uint32_t)round_up(sizeof(struct machine), 64);
    machine->sessions_offset = (uint32_t)sessions_offset(genesis->sessions_max);
    machine_nodes_layout(machine, genesis, sessions_end(genesis->sessions_max));
    machine_nodes_init(machine);
    machine_autopilot_init(machine);
}

/* --- the two indexes ---------------------------------------------------------------------------
 */

static uint32_t hash_of_name(uint32_t principal, const char *name)
{
    return (uint32_t)hash_bytes(name, KEEL_NAME_MAX + 1, principal);
}

static uint32_t home_of_id(const struct machine *machine, uint32_t slot)
{
    return hash_id(machine_sessions_const(machine)[slot].id);
}

static uint32_t home_of_name(const struct machine *machine, uint32_t slot)
{
    const struct machine_session *s = &machine_sessions_const(machine)[slot];
    return hash_of_name(s->principal, s->name);
}

void machine_enter(struct machine *machine, uint32_t slot)
{
    const struct machine_session *s = &machine_sessions(machine)[slot];
    ENSURE(machine_owner(machine)[slot] == 0 && s->principal != 0 && s->id != 0);
    machine_owner(machine)[slot] = s->principal;
    machine_table_insert(machine, machine_by_id(machine), machine->table_mask, slot, home_of_id);
    machine_table_insert(machine, machine_by_name(machine), machine->table_mask, slot,
                         home_of_name);
    machine->session_count++;
}

void machine_remove(struct machine *machine, uint32_t slot)
{
    ENSURE(machine_sessions(machine)[slot].handle_count == 0);
    machine_table_remove(machine, machine_by_id(machine), machine->table_mask, slot, home_of_id);
    machine_table_remove(machine, machine_by_name(machine), machine->table_mask, slot,
                         home_of_name);
    machine_owner(machine)[slot] = 0;
    memset(&machine_sessions(machine)[slot], 0, sizeof(struct machine_session));
    machine->session_count--;
}

void machine_ended_append(struct machine *machine, uint32_t slot)
{
    struct machine_session *sessions = machine_sessions(machine);
    if (machine->ended_last == 0)
        machine->ended_first = slot + 1;
    else
        sessions[machine->ended_last - 1].ended_next = slot + 1;
    machine->ended_last = slot + 1;
    sessions[slot].ended_next = 0;
}

/* --- lookups -----------------------------------------------------------------------------------
 */

const struct machine_session *machine_session(const struct machine *machine, uint64_t id)
{
    const uint32_t *table = machine_by_id_const(machine);
    const struct machine_session *sessions = machine_sessions_const(machine);
    uint32_t at = hash_id(id) & machine->table_mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= machine->table_mask && table[at] != 0; probe++) {
        if (sessions[table[at] - 1].id == id)
            return &sessions[table[at] - 1];
        at = (at + 1) & machine->table_mask;
    }
    return NULL;
}

const struct machine_session *machine_session_named(const struct machine *machine,
                                                    uint32_t principal, const char *name)
{
    char padded[KEEL_NAME_MAX + 1] = {0};
    for (uint32_t i = 0; i < KEEL_NAME_MAX && name[i] != 0; i++)
        padded[i] = name[i];
    const uint32_t *table = machine_by_id_const(machine) + machine->table_mask + 1;
    const struct machine_session *sessions = machine_sessions_const(machine);
    const struct machine_session *best = NULL;
    uint32_t at = hash_of_name(principal, padded) & machine->table_mask;
    /* Several of one name: at most one alive; of ended ones the later opened also ended later. */
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= machine->table_mask && table[at] != 0; probe++) {
        const struct machine_session *s = &sessions[table[at] - 1];
        if (s->principal == principal && memcmp(s->name, padded, sizeof(padded)) == 0 &&
            (best == NULL || s->id > best->id))
            best = s;
        at = (at + 1) & machine->table_mask;
    }
    return best;
}

uint32_t machine_slot(const struct machine *machine, const struct machine_session *session)
{
    return (uint32_t)(session - machine_sessions_const(machine));
}

const struct machine_session *machine_session_at(const struct machine *machine, uint32_t slot)
{
    if (slot >= machine->sessions_max || machine_sessions_const(machine)[slot].id == 0)
        return NULL;
    return &machine_sessions_const(machine)[slot];
}

const struct machine_kept *machine_kept(const struct machine_session *session, uint64_t number)
{
    if (number == 0 || number > session->last || session->last - number >= session->window)
        return NULL;
    return &session->kept[number % KEEL_SESSION_WINDOW_MAX];
}

/* Whether a kept result continues the run. Of one status all have a number in `feed`, or none. */
static bool run_goes_on(const struct packet_result_run *run, const struct machine_kept *kept)
{
    return run->status == kept->status && run->utc_ns == kept->utc_ns &&
           run->utc_error_ns == kept->utc_error_ns &&
           (kept->feed == 0 || run->feed + run->count == kept->feed);
}

/* How many numbers from this one on, whose record is gone or not yet there, up to last. */
static uint64_t unknown_count(const struct machine_session *session, uint64_t number, uint64_t last)
{
    uint64_t oldest = session->last < session->window ? 1 : session->last - session->window + 1;
    uint64_t stop =
        number < oldest && oldest <= session->last && last >= oldest ? oldest - 1 : last;
    return stop - number >= UINT16_MAX ? UINT16_MAX : stop - number + 1;
}

uint32_t machine_runs(const struct machine_session *session, uint64_t first, uint64_t last,
                      struct packet_result_run *runs, uint32_t max)
{
    uint32_t count = 0;
    uint64_t number = first;
    while (number <= last) { /* ends within max runs + the window */
        const struct machine_kept *kept = machine_kept(session, number);
        struct packet_result_run run = {.number = number, .count = 1, .status = MACHINE_UNKNOWN};
        if (kept == NULL) {
            run.count = (uint16_t)unknown_count(session, number, last);
        } else if (count > 0 && run_goes_on(&runs[count - 1], kept)) {
            runs[count - 1].count++;
            run.count = 0;
        } else {
            run.feed = kept->feed;
            run.utc_ns = kept->utc_ns;
            run.utc_error_ns = kept->utc_error_ns;
            run.status = (uint8_t)kept->status;
        }
        if (run.count > 0) {
            if (count == max)
                break;
            runs[count++] = run;
        }
        uint64_t taken = run.count > 0 ? run.count : 1;
        if (taken > last - number)
            break;
        number += taken;
    }
    return count;
}

uint64_t machine_message_hash(uint8_t kind, const void *payload, size_t size,
                              const struct entry_sequencer *sequencer)
{
    return hash_bytes(payload, size, machine_hash_seed(kind, sequencer));
}

void machine_session_end_fill(const struct machine_session *session,
                              struct machine_session_end_message *message)
{
    uint64_t id = __builtin_bswap64(session->id);
    uint64_t last = __builtin_bswap64(session->last);
    uint32_t principal = __builtin_bswap32(session->principal);
    uint32_t reason = __builtin_bswap32(session->end_reason);
    memcpy(message->session, &id, sizeof(id));
    memcpy(message->last, &last, sizeof(last));
    memcpy(message->principal, &principal, sizeof(principal));
    memcpy(message->reason, &reason, sizeof(reason));
    memcpy(message->name, session->name, sizeof(message->name));
}
