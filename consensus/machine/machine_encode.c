/* The canonical encoding: a head of fixed size, then the alive sessions by rising slot, then the
 * ended ones in the order in which they ended, each followed by its kept results from the oldest
 * on; then nodes and handles (machine_encode_nodes.c), what operators did (machine_operator.c), and
 * the autopilot (machine_autopilot.c).
 * Slots of sessions are part of the state, because outcomes name them. Little-endian; the structs
 * below are the format.
 */
#include "consensus/machine/machine_encode.h"

#include <string.h>

enum { MACHINE_LIMITS = 12 };

#define MACHINE_MAGIC 0x4843414d4c45454bull /* "KEELMACH" as bytes */

struct machine_head {
    uint64_t magic;
    uint32_t version; /* MACHINE_ENCODING_VERSION */
    uint32_t alive;   /* sessions */
    uint32_t ended;
    uint32_t day_open;
    uint64_t cluster_id;
    uint64_t applied;
    uint64_t applied_term;
    uint64_t utc_ns;
    uint64_t log_ns;
    uint64_t noop_term;
    uint64_t noop_log_ns;
    uint64_t digest;
    uint64_t feed_next;
    uint64_t day_count;
    char day[KEEL_DAY_NAME_SIZE];
    uint8_t reserved[6];
    uint64_t boot[KEEL_REPLICA_MAX + 1];
    uint64_t boot_id[KEEL_REPLICA_MAX + 1];
    uint64_t boot_incarnation[KEEL_REPLICA_MAX + 1];
    struct entry_config config;
    uint64_t config_index;
    uint32_t limit[MACHINE_LIMITS]; /* the genesis numbers that apply reads */
    uint32_t seeds;
    uint32_t nodes;
    uint32_t handles;
    uint32_t reserved1;
    uint64_t seed_index;
};
_Static_assert(sizeof(struct machine_head) == 536, "encoded head");

struct machine_record { /* then kept_count results of numbers last - kept_count + 1 .. last */
    uint32_t slot;
    uint32_t principal;
    uint64_t id;
    uint64_t epoch;
    uint64_t process;
    uint64_t last;
    uint64_t acked;
    uint64_t began_log_ns;
    uint64_t ended_log_ns;
    uint32_t ttl_ms;
    uint16_t window;
    uint16_t end_reason;
    char name[KEEL_NAME_MAX + 1];
};
_Static_assert(sizeof(struct machine_record) == 104, "encoded session");

static void copy_limits(uint32_t limit[MACHINE_LIMITS], const struct machine *machine)
{
    limit[0] = machine->sessions_max;
    limit[1] = machine->sessions_per_principal;
    limit[2] = machine->window_max;
    limit[3] = machine->ttl_min_ms;
    limit[4] = machine->ttl_max_ms;
    limit[5] = machine->session_retain_ms;
    limit[6] = machine->rho_ppm;
    limit[7] = machine->nodes_max;
    limit[8] = machine->handles_max;
    limit[9] = machine->handles_per_session;
    limit[10] = machine->waiters_max;
    limit[11] = machine->lock_delay_max_ms;
}

static uint32_t kept_count(uint64_t last, uint32_t window)
{
    return last < window ? (uint32_t)last : window;
}

static void put_session(struct sink *sink, const struct machine *machine, uint32_t slot)
{
    const struct machine_session *s = &machine_sessions_const(machine)[slot];
    struct machine_record record = {
        .slot = slot,
        .principal = s->principal,
        .id = s->id,
        .epoch = s->epoch,
        .process = s->process,
        .last = s->last,
        .acked = s->acked,
        .began_log_ns = s->began_log_ns,
        .ended_log_ns = s->ended_log_ns,
        .ttl_ms = s->ttl_ms,
        .window = s->window,
        .end_reason = s->end_reason,
    };
    memcpy(record.name, s->name, sizeof(record.name));
    machine_put(sink, &record, sizeof(record));
    uint32_t count = kept_count(s->last, s->window);
    for (uint32_t i = 0; i < count; i++)
        machine_put(sink, machine_kept(s, s->last - count + 1 + i), sizeof(struct machine_kept));
}

static void put_machine(struct sink *sink, const struct machine *machine)
{
    const struct machine_session *sessions = machine_sessions_const(machine);
    uint32_t alive = 0;
    for (uint32_t slot = 0; slot < machine->sessions_max; slot++)
        alive += sessions[slot].id != 0 && machine_alive(&sessions[slot]);
    struct machine_head head = {
        .magic = MACHINE_MAGIC,
        .version = MACHINE_ENCODING_VERSION,
        .alive = alive,
        .ended = machine->session_count - alive,
        .day_open = machine->day_open,
        .cluster_id = machine->cluster_id,
        .applied = machine->applied,
        .applied_term = machine->applied_term,
        .utc_ns = machine->utc_ns,
        .log_ns = machine->log_ns,
        .noop_term = machine->noop_term,
        .noop_log_ns = machine->noop_log_ns,
        .digest = machine->digest,
        .feed_next = machine->feed_next,
        .day_count = machine->day_count,
        .config = machine->config,
        .config_index = machine->config_index,
        .seeds = machine->seeds,
        .nodes = machine->node_count,
        .handles = machine->handle_count,
        .seed_index = machine->seed_index,
    };
    memcpy(head.day, machine->day, sizeof(head.day));
    memcpy(head.boot, machine->boot, sizeof(head.boot));
    memcpy(head.boot_id, machine->boot_id, sizeof(head.boot_id));
    memcpy(head.boot_incarnation, machine->boot_incarnation, sizeof(head.boot_incarnation));
    copy_limits(head.limit, machine);
    machine_put(sink, &head, sizeof(head));
    for (uint32_t slot = 0; slot < machine->sessions_max; slot++)
        if (sessions[slot].id != 0 && machine_alive(&sessions[slot]))
            put_session(sink, machine, slot);
    uint32_t next = machine->ended_first;
    for (uint32_t i = 0; i < head.ended; i++) {
        ENSURE(next != 0);
        put_session(sink, machine, next - 1);
        next = sessions[next - 1].ended_next;
    }
    ENSURE(next == 0);
    machine_put_nodes(sink, machine);
    machine_put_operated(sink, machine);
    machine_put_autopilot(sink, machine);
}

uint64_t machine_fingerprint(const struct machine *machine)
{
    struct sink sink = {.hash = HASH_K2};
    put_machine(&sink, machine);
    return sink.hash;
}

size_t machine_encoded_max(const struct genesis *genesis)
{
    return sizeof(struct machine_head) + machine_nodes_encoded_max(genesis) +
           machine_operated_encoded_max() + sizeof(struct machine_autopilot) +
           genesis->sessions_max *
               (sizeof(struct machine_record) + genesis->window_max * sizeof(struct machine_kept));
}

size_t machine_encode(const struct machine *machine, void *bytes, size_t cap)
{
    struct sink sink = {.at = bytes, .left = cap};
    put_machine(&sink, machine);
    return sink.full ? 0 : sink.size;
}

/* --- decode ------------------------------------------------------------------------------------
 */

static const char *limits_problem(const struct machine *machine, const struct machine_head *head)
{
    uint32_t limit[MACHINE_LIMITS];
    copy_limits(limit, machine);
    if (head->cluster_id != machine->cluster_id)
        return "another cluster's state";
    return memcmp(limit, head->limit, sizeof(limit)) != 0 ? "other limits than the genesis record's"
                                                          : NULL;
}

uint32_t machine_encoded_version(const void *bytes, size_t size)
{
    struct machine_head head;
    if (size < sizeof(head))
        return 0;
    memcpy(&head, bytes, sizeof(head));
    return head.magic == MACHINE_MAGIC ? head.version : 0;
}

static const char *head_problem(const struct machine *machine, const struct machine_head *head)
{
    static const uint8_t zeros[sizeof(head->reserved)];
    if (head->magic != MACHINE_MAGIC)
        return "not a machine's state";
    if (head->version != MACHINE_ENCODING_VERSION)
        return "another version of the machine's state";
    const char *problem = limits_problem(machine, head);
    if (problem != NULL)
        return problem;
    if (memcmp(head->reserved, zeros, sizeof(zeros)) != 0 || head->reserved1 != 0)
        return "reserved bytes are not zero";
    if (head->seed_index > head->applied || (head->seeds == 0) != (head->seed_index == 0))
        return "no sane seed";
    if (head->alive > machine->sessions_max || head->ended > machine->sessions_max - head->alive)
        return "more sessions than the table holds";
    if (head->nodes > machine->nodes_max || head->handles > machine->handles_max ||
        (head->nodes == 0) != (machine->nodes_max == 0))
        return "more nodes or handles than the tables hold";
    if (head->day_open > 1 || head->day_count == 0 || head->feed_next == 0 ||
        !entry_day_name_ok(head->day))
        return "no sane trading day";
    if (head->noop_term > head->applied_term || head->noop_log_ns > head->log_ns)
        return "a no-op after the last entry";
    if (!entry_config_ok(&head->config) || head->config_index > head->applied)
        return "no sane configuration";
    for (uint32_t id = 0; id <= KEEL_REPLICA_MAX; id++) {
        bool none = head->boot_incarnation[id] == 0;
        if (none != (head->boot[id] == 0) || (none && head->boot_id[id] != 0) || (id == 0 && !none))
            return "a boot without an incarnation";
    }
    return NULL;
}

static const char *session_problem(struct machine *machine, const struct machine_record *r,
                                   bool alive)
{
    if (r->slot >= machine->sessions_max || machine_owner(machine)[r->slot] != 0)
        return "a slot out of range or used twice";
    if (r->id == 0 || r->id > r->epoch || r->epoch > machine->applied || r->process == 0 ||
        r->principal == 0 || machine_session(machine, r->id) != NULL)
        return "a session without a sane identity";
    if (!entry_name_ok(r->name))
        return "a session without a sane name";
    const struct machine_session *same = machine_session_named(machine, r->principal, r->name);
    if (same != NULL && (alive || (machine_alive(same) ? same->id < r->id : same->id > r->id)))
        return "sessions of one name in the wrong order";
    if (r->window == 0 || r->window > machine->window_max || r->ttl_ms < machine->ttl_min_ms ||
        r->ttl_ms > machine->ttl_max_ms || r->acked > r->last || r->last > ENTRY_NUMBER_MAX)
        return "a session's numbers out of range";
    uint64_t now = machine->log_ns == 0 ? 1 : machine->log_ns;
    if (r->began_log_ns > machine->log_ns || r->ended_log_ns > now)
        return "a session from the future";
    if (alive ? r->end_reason != 0 || r->ended_log_ns != 0
              : r->end_reason < SESSION_END_CLEAN || r->end_reason > SESSION_END_EXPIRED ||
                    r->ended_log_ns == 0 || r->ended_log_ns < r->began_log_ns)
        return "a session neither alive nor ended";
    return NULL;
}

/* feed numbers of older days may be above the current feed_next. */
static bool kept_ok(const struct machine *machine, const struct machine_kept *kept)
{
    return machine_kept_status(kept->status) &&
           (kept->feed != 0) == machine_kept_value(kept->status) && kept->utc_ns <= machine->utc_ns;
}

static const char *take_session(struct machine *machine, const struct machine_record *r, bool alive,
                                struct source *source)
{
    const char *problem = session_problem(machine, r, alive);
    if (problem != NULL)
        return problem;
    struct machine_session *s = &machine_sessions(machine)[r->slot];
    s->id = r->id;
    s->epoch = r->epoch;
    s->process = r->process;
    s->last = r->last;
    s->acked = r->acked;
    s->began_log_ns = r->began_log_ns;
    s->ended_log_ns = r->ended_log_ns;
    s->principal = r->principal;
    s->ttl_ms = r->ttl_ms;
    s->window = r->window;
    s->end_reason = r->end_reason;
    memcpy(s->name, r->name, sizeof(s->name));
    uint32_t count = kept_count(r->last, r->window);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = r->last - count + 1 + i;
        struct machine_kept *kept = &s->kept[number % KEEL_SESSION_WINDOW_MAX];
        if (!machine_take(source, kept, sizeof(*kept)))
            return "cut off";
        if (!kept_ok(machine, kept))
            return "a kept result that no entry could leave";
    }
    machine_enter(machine, r->slot);
    return NULL;
}

static void take_head(struct machine *machine, const struct machine_head *head)
{
    machine->applied = head->applied;
    machine->applied_term = head->applied_term;
    machine->utc_ns = head->utc_ns;
    machine->log_ns = head->log_ns;
    machine->noop_term = head->noop_term;
    machine->noop_log_ns = head->noop_log_ns;
    machine->digest = head->digest;
    machine->feed_next = head->feed_next;
    machine->day_count = head->day_count;
    machine->day_open = head->day_open;
    memcpy(machine->day, head->day, sizeof(machine->day));
    memcpy(machine->boot, head->boot, sizeof(machine->boot));
    memcpy(machine->boot_id, head->boot_id, sizeof(machine->boot_id));
    memcpy(machine->boot_incarnation, head->boot_incarnation, sizeof(machine->boot_incarnation));
    machine->config = head->config;
    machine->config_index = head->config_index;
    machine->seeds = head->seeds;
    machine->seed_index = head->seed_index;
}

/* The order of the records is part of the format: alive by slot, ended by their end. */
static const char *take_sessions(struct machine *machine, const struct machine_head *head,
                                 struct source *source)
{
    const struct machine_session *sessions = machine_sessions(machine);
    uint64_t slot_min = 0;
    for (uint32_t i = 0; i < head->alive + head->ended; i++) {
        struct machine_record r;
        if (!machine_take(source, &r, sizeof(r)))
            return "cut off";
        bool alive = i < head->alive;
        if (alive && r.slot < slot_min)
            return "sessions out of order";
        slot_min = (uint64_t)r.slot + 1;
        if (!alive && machine->ended_last != 0 &&
            sessions[machine->ended_last - 1].ended_log_ns > r.ended_log_ns)
            return "ended sessions out of order";
        const char *problem = take_session(machine, &r, alive, source);
        if (problem != NULL)
            return problem;
        if (!alive)
            machine_ended_append(machine, r.slot);
    }
    return NULL;
}

const char *machine_decode(struct machine *machine, const struct genesis *genesis,
                           const void *bytes, size_t size)
{
    struct source source = {.at = bytes, .left = size};
    struct machine_head head;
    machine_init(machine, genesis);
    if (!machine_take(&source, &head, sizeof(head)))
        return "cut off";
    const char *problem = head_problem(machine, &head);
    if (problem != NULL)
        return problem;
    take_head(machine, &head);
    problem = take_sessions(machine, &head, &source);
    if (problem == NULL)
        problem = machine_take_nodes(machine, head.nodes, head.handles, &source);
    if (problem == NULL)
        problem = machine_take_operated(machine, &source);
    if (problem == NULL)
        problem = machine_take_autopilot(machine, &source);
    if (problem == NULL && source.left != 0)
        problem = "bytes behind the autopilot";
    if (problem != NULL)
        machine_init(machine, genesis);
    return problem;
}
