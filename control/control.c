#include "control/control_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t aligned(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

static void *take(uint8_t **at, size_t size)
{
    void *memory = *at;
    *at += aligned(size);
    return memory;
}

static size_t sessions_size(const struct genesis *genesis)
{
    return genesis->sessions_max * sizeof(struct control_session);
}

static size_t checkpoint_cap(const struct control_options *options)
{
    return aligned(machine_encoded_max(options->genesis) + feed_exceptions_encoded_max());
}

size_t control_size(const struct control_options *options)
{
    const struct genesis *g = options->genesis;
    return aligned(sizeof(struct control)) + aligned(machine_size(g)) + aligned(handshake_size()) +
           aligned(founding_size()) + aligned(sessions_size(g)) +
           aligned((size_t)CONTROL_PAGES * RING_PAGE_SIZE) +
           aligned(sizeof(struct feed_exceptions)) + 3 * checkpoint_cap(options) +
           aligned(machine_size(g)) + aligned(RING_PAGE_SIZE) + aligned(backup_size_max(g));
}

static void fill_defaults(struct control_options *o, uint64_t slots)
{
    if (o->silent_ms == 0)
        o->silent_ms = CONTROL_SILENT_MS;
    if (o->checkpoint_ms == 0)
        o->checkpoint_ms = CONTROL_CHECKPOINT_MS;
    if (o->checkpoint_send_kib_s == 0)
        o->checkpoint_send_kib_s = CONTROL_SEND_KIB_S;
    if (o->scrub_pages_s == 0)
        o->scrub_pages_s = CONTROL_SCRUB_PAGES_S;
    if (o->receive_flush == 0)
        o->receive_flush = CONTROL_RECEIVE_FLUSH;
    if (o->checkpoint_pages == 0)
        o->checkpoint_pages = slots / CONTROL_CHECKPOINT_SHARE;
    if (o->checkpoint_pages == 0)
        o->checkpoint_pages = 1;
}

struct control *control_init(void *memory, const struct control_options *options, char *problem)
{
    uint8_t *at = memory;
    struct control *c = take(&at, sizeof(*c));
    memset(c, 0, sizeof(*c));
    size_t machine_bytes = machine_size(options->genesis);
    c->options = *options;
    c->replica = options->replica;
    c->super = options->found->super;
    fill_defaults(&c->options, c->super.slots);
    c->machine = take(&at, machine_bytes);
    memcpy(c->machine, options->machine, machine_bytes);
    void *handshake = take(&at, handshake_size());
    c->founding_memory = take(&at, founding_size());
    c->session = take(&at, sessions_size(options->genesis));
    memset(c->session, 0, sessions_size(options->genesis));
    c->page_bytes = take(&at, (size_t)CONTROL_PAGES * RING_PAGE_SIZE);
    c->exceptions = take(&at, sizeof(struct feed_exceptions));
    feed_exceptions_copy(c->exceptions, options->exceptions);
    c->checkpoint_cap = checkpoint_cap(options);
    c->checkpoint_bytes = take(&at, c->checkpoint_cap);
    c->send.bytes = take(&at, c->checkpoint_cap);
    c->receive.bytes = take(&at, c->checkpoint_cap);
    c->receive.machine = take(&at, machine_bytes);
    c->scrub.page_bytes = take(&at, RING_PAGE_SIZE);
    c->backup_bytes = take(&at, backup_size_max(options->genesis));
    c->chain = options->chain;
    c->page = options->page;
    c->durable_lsn = options->found->last_lsn; /* what recovery found is durable */
    spsc_init(&c->requests, c->request_memory, CONTROL_REQUESTS, sizeof(struct control_request));
    spsc_init(&c->replies, c->reply_memory, CONTROL_REQUESTS, sizeof(struct control_reply));
    const struct keyring_key *own =
        options->keys != NULL ? keyring_find(options->keys, c->replica->id) : NULL;
    if (own == NULL) {
        snprintf(problem, CONTROL_PROBLEM_SIZE,
                 "the key file has no section [replica %u]: draw a key with `keelctl key new`",
                 c->replica->id);
        return NULL;
    }
    checkpoint_init(c, options->found);
    receiving_init(c);
    repairing_init(c, options->found);
    peers_init(c, handshake);
    c->options.found = NULL;
    c->options.machine = NULL;
    c->options.exceptions = NULL;
    return c;
}

/* --- helpers of the parts
 * -------------------------------------------------------------------------- */

struct command *control_command(struct control *c, enum command_kind kind)
{
    struct command *command = spsc_reserve(&c->replica->commands);
    if (command == NULL) {
        c->status.commands_full++;
        return NULL;
    }
    memset(command, 0, offsetof(struct command, u));
    command->kind = kind;
    return command;
}

void control_command_send(struct control *c)
{
    spsc_push(&c->replica->commands);
}

bool control_propose(struct control *c, enum proposer by, uint64_t serial, uint8_t entry_kind,
                     const void *body, uint32_t size, uint64_t was)
{
    struct command *command = control_command(c, COMMAND_PROPOSE);
    if (command == NULL)
        return false;
    ENSURE(size <= CONTROL_BODY_MAX);
    command->tag = (uint64_t)by << CONTROL_TAG_SHIFT | serial;
    command->entry_kind = entry_kind;
    command->index = was;
    command->size = size;
    memcpy(command->u.bytes, body, size);
    control_command_send(c);
    return true;
}

void control_unwell(struct control *c, enum part part, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->problem[part], sizeof(c->problem[part]), format, args);
    va_end(args);
}

void control_well(struct control *c, enum part part)
{
    c->problem[part][0] = '\0';
}

bool control_leads(const struct control *c)
{
    const struct replica_status *s = &c->seen;
    return s->role == RAFT_LEADER && !s->stopped && !s->failed && s->applied >= s->noop_index &&
           s->transfer.lease_ended == 0 && /* H19 */
           s->quorum_age_ns < c->options.genesis->election_min_ms * 1000000ull;
}

/* --- the turn
 * -------------------------------------------------------------------------------------- */

static uint32_t take_notices(struct control *c)
{
    uint32_t work = 0;
    for (; work < CONTROL_NOTICES_MAX; work++) {
        const struct notice *notice = spsc_peek(&c->replica->notices);
        if (notice == NULL)
            break;
        switch ((enum notice_kind)notice->kind) {
        case NOTICE_DATAGRAM:
            peers_datagram(c, notice);
            break;
        case NOTICE_KEEPALIVE:
            keepalive_arrived(c, notice);
            break;
        case NOTICE_QUERY:
            queries_arrived(c, notice);
            break;
        case NOTICE_SPANS_ARE:
            cursor_spans(c, notice);
            break;
        case NOTICE_DIGESTS:
            digests_told(c, notice);
            break;
        case NOTICE_MEMBERS:
            members_told(c, notice);
            break;
        case NOTICE_TRANSFER:
        case NOTICE_READ:
            leadership_told(c, notice);
            break;
        case NOTICE_PROPOSED:
            requests_proposed(c, notice);
            autopilot_proposed(c, notice);
            break;
        }
        spsc_drop(&c->replica->notices);
    }
    return work;
}

static uint32_t take_chunks(struct control *c)
{
    uint32_t work = 0;
    for (; work < LINK_CHUNKS; work++) {
        const struct link_chunk *chunk = spsc_peek(&c->replica->chunks_in);
        if (chunk == NULL)
            break;
        if (chunk->kind == PACKET_CHECKPOINT_CHUNK)
            receiving_chunk(c, chunk);
        else
            sending_reply(c, chunk);
        spsc_drop(&c->replica->chunks_in);
    }
    return work;
}

static void publish(struct control *c)
{
    struct control_status *s = &c->status;
    s->applied = c->machine->applied;
    s->feed_next = c->machine->feed_next;
    s->digest = c->machine->digest;
    s->log_ns = c->machine->log_ns;
    s->log_utc_ns = c->machine->utc_ns;
    digests_publish(c);
    s->nodes = c->machine->node_count;
    if (c->now_ns >= c->count_at_ns) {
        machine_count_locks(c->machine, &s->locks_held, &s->lock_waiters);
        c->count_at_ns = c->now_ns + CONTROL_LOCKS_MS * 1000000ull;
    }
    s->checkpoint_index[0] = c->checkpoint_index[0];
    s->checkpoint_index[1] = c->checkpoint_index[1];
    s->checkpoint_sequence = c->checkpoint_sequence;
    s->checkpoint_at_ns = c->checkpoint_at_ns;
    const struct control_receive *in = &c->receive;
    bool receiving = in->state != RECEIVE_NOTHING;
    s->transfer_index = receiving ? in->id.index : 0;
    s->transfer_have = receiving ? in->have : 0;
    s->transfer_size = receiving ? in->id.size : 0;
    const char *problem = c->problem[0];
    for (uint32_t part = 1; part < PART_COUNT && problem[0] == '\0'; part++)
        problem = c->problem[part];
    memcpy(s->problem, problem, sizeof(s->problem));
    s->keepalives_held = c->held;
    s->queries_waiting = c->query_count;
    const uint64_t *rejects = handshake_rejects(c->handshake);
    memcpy(s->handshake_reject, rejects, sizeof(s->handshake_reject));
    uint64_t version = c->status_version + 1;
    /* release: pair with the acquire load and fence in control_status(): who sees a new field sees
     * the odd version before it, who sees the even version sees all fields */
    __atomic_store_n(&c->status_version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    c->shown = *s;
    __atomic_store_n(&c->status_version, version + 1, __ATOMIC_RELEASE);
}

uint32_t control_turn(struct control *c, uint64_t now_ns)
{
    c->now_ns = now_ns;
    replica_status(c->replica, &c->seen);
    uint32_t work = rekey_turn(c); /* before any handshake of this turn */
    work += take_notices(c);
    work += take_chunks(c);
    work += peers_turn(c);
    work += founders_turn(c);
    work += cursor_turn(c);
    work += receiving_turn(c);
    work += repairing_turn(c);
    work += checkpoint_turn(c);
    work += backup_turn(c);
    work += sending_turn(c);
    work += queries_turn(c);
    work += keepalive_turn(c);
    work += sessions_turn(c);
    work += due_turn(c);
    work += boots_turn(c);
    work += digests_turn(c);
    work += members_turn(c);
    work += trips_turn(c);
    work += leadership_drained_turn(c);
    work += detector_turn(c);
    work += autopilot_turn(c);
    work += requests_turn(c);
    publish(c);
    return work;
}

bool control_status_try(const struct control *c, struct control_status *status, int tries)
{
    for (int i = 0; i < tries; i++) {
        uint64_t before = __atomic_load_n(&c->status_version, __ATOMIC_ACQUIRE);
        memcpy(status, &c->shown, sizeof(*status));
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the release fence in publish() */
        if ((before & 1) == 0 && __atomic_load_n(&c->status_version, __ATOMIC_RELAXED) == before)
            return true;
    }
    return false;
}

void control_status(const struct control *c, struct control_status *status)
{
    while (!control_status_try(c, status, 1)) /* bounded by the writer: for a moment, once a turn */
        continue;
}

const struct machine *control_machine(const struct control *c)
{
    return c->machine;
}

void control_stop(struct control *c)
{
    explicit_bzero(c->handshake, handshake_size());
    explicit_bzero(c->founding_memory, founding_size());
}
