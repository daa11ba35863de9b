#include "dataplane/replica.h"

#include <stdio.h>
#include <string.h>

static size_t aligned(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

enum { REPLICA_ASSOCIATIONS = 1024, REPLICA_PUBLISH_NS = 1000000, REPLICA_STOOD_NS = 1000000000 };

size_t replica_memory_size(const struct genesis *genesis)
{
    return aligned(sizeof(struct replica)) + aligned(intake_size(genesis)) +
           aligned(machine_size(genesis)) + aligned(auth_table_size(REPLICA_ASSOCIATIONS)) +
           aligned(frame_host_size()) +
           aligned(spsc_memory(LINK_CONTROL_NOTICES, sizeof(struct notice))) +
           aligned(spsc_memory(LINK_CONTROL_COMMANDS, sizeof(struct command))) +
           2 * aligned(spsc_memory(LINK_CHUNKS, sizeof(struct link_chunk)));
}

static void *take(uint8_t **at, size_t size)
{
    void *memory = *at;
    *at += aligned(size);
    return memory;
}

static void boot_raft(struct replica *r)
{
    const struct replica_options *o = &r->options;
    const struct genesis *g = o->genesis;
    const struct ring_recovery *found = o->found;
    struct raft_boot boot = {.id = (uint8_t)r->id,
                             .vote = found->vote,
                             .term = found->term,
                             .commit = found->commit < found->last_index ? found->commit
                                                                         : found->last_index,
                             .durable_lsn = found->last_lsn,
                             .now_ns = r->now_ns,
                             .random = clock_random(r->clock, &r->random_state),
                             .log = found->log};
    boot.incarnation = o->incarnation;
    members_take(&r->members, &r->machine->config, r->machine->config_index);
    for (uint32_t i = 0; i < o->tail_configs->count; i++)
        members_take(&r->members, &o->tail_configs->at[i].body, o->tail_configs->at[i].index);
    for (uint32_t i = 0; i < r->members.count; i++)
        members_to_raft(&r->members.at[i].body, r->members.at[i].index,
                        &boot.config[boot.config_count++]);
    boot.hole = ring_hole_index(r->ring);
    boot.config_stated = found->config_index;
    boot.options.election_min_ns = g->election_min_ms * 1000000ull;
    boot.options.heartbeat_ns = g->heartbeat_ms * 1000000ull;
    boot.options.stall_ns = g->stall_ms * 1000000ull;
    boot.options.flights = g->flights;
    boot.options.flight_bytes = g->flight_bytes;
    raft_init(&r->raft, &boot);
    gate_init(&r->gate, found->last_lsn);
}

static void init_host(struct replica *r, void *memory)
{
    const struct replica_options *o = &r->options;
    struct port_facts facts;
    port_facts(r->port, &facts);
    struct frame_options frame = {.ip = o->ip,
                                  .prefix = o->prefix,
                                  .gateway = o->gateway,
                                  .ports = {o->udp_port, o->feed_request_port},
                                  .tx_checksum = facts.tx_checksum};
    memcpy(frame.mac, facts.mac, sizeof(frame.mac));
    r->host = frame_host_init(memory, &frame);
    r->options.feed.ip = o->ip;
    r->options.feed.port_from = o->feed_request_port;
    r->options.feed.tx_checksum = facts.tx_checksum;
    memcpy(r->options.feed.mac, facts.mac, sizeof(facts.mac));
}

/* The newest entry's stamps: what this replica, as leader, continues from. */
void replica_note_stamps(struct replica *r)
{
    r->last_utc_ns = r->machine->utc_ns;
    r->last_log_ns = r->machine->log_ns;
    const struct entry *last = ring_entry(r->ring, ring_last_index(r->ring));
    if (last != NULL && last->index > r->machine->applied) {
        r->last_utc_ns = last->utc_ns;
        r->last_log_ns = last->log_ns;
    }
}

struct replica *replica_init(void *memory, const struct replica_options *options, char *problem)
{
    uint8_t *at = memory;
    struct replica *r = take(&at, sizeof(*r));
    memset(r, 0, sizeof(*r)); /* the other parts set themselves up */
    r->id = options->id;
    r->options = *options;
    r->port = options->port;
    r->clock = options->clock;
    r->ring = options->ring;
    r->now_ns = clock_now_ns(r->clock);
    r->started_ns = r->now_ns;
    r->drained_ns = r->now_ns;
    r->random_state = options->boot_id ^ options->incarnation;
    r->intake = take(&at, intake_size(options->genesis));
    intake_init(r->intake, options->genesis);
    size_t machine_bytes = machine_size(options->genesis);
    r->machine = take(&at, machine_bytes);
    memcpy(r->machine, options->machine, machine_bytes);
    void *auth = take(&at, auth_table_size(REPLICA_ASSOCIATIONS));
    r->auth = auth_table_init(auth, REPLICA_ASSOCIATIONS, r->id, options->genesis->cluster_id);
    if (r->auth == NULL) {
        snprintf(problem, 160,
                 "this processor offers no AES-GCM instructions: Keel needs AES-NI "
                 "and PCLMULQDQ");
        return NULL;
    }
    init_host(r, take(&at, frame_host_size()));
    spsc_init(&r->notices, take(&at, spsc_memory(LINK_CONTROL_NOTICES, sizeof(struct notice))),
              LINK_CONTROL_NOTICES, sizeof(struct notice));
    spsc_init(&r->commands, take(&at, spsc_memory(LINK_CONTROL_COMMANDS, sizeof(struct command))),
              LINK_CONTROL_COMMANDS, sizeof(struct command));
    size_t chunks_size = spsc_memory(LINK_CHUNKS, sizeof(struct link_chunk));
    spsc_init(&r->chunks_out, take(&at, chunks_size), LINK_CHUNKS, sizeof(struct link_chunk));
    spsc_init(&r->chunks_in, take(&at, chunks_size), LINK_CHUNKS, sizeof(struct link_chunk));
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
        /* Pages tell boots by id alone: those of a founder, as long as it is one. */
        uint64_t founder = options->genesis->founder[id].incarnation;
        if (founder == 0 || r->machine->config.member[id].incarnation != founder)
            continue;
        r->peer_incarnation[id] = founder;
        r->peer_boot[id] = options->found->seen_boot[id];
        r->peer_boot_id[id] = options->found->seen_boot_id[id];
    }
    boot_raft(r);
    replica_note_stamps(r);
    r->noted_done = r->machine->applied;
    r->line_from = UINT64_MAX;
    ring_note_done(r->ring, r->noted_done);
    return r;
}

void replica_attach_feed(struct replica *r, void *memory)
{
    r->feed = feed_init(memory, &r->options.feed, r->port, r->ring, r->machine->day,
                        r->machine->day_open != 0, r->machine->feed_next, r->machine->applied);
}

void replica_stop(struct replica *r, const char *why)
{
    if (r->stopped)
        return;
    r->stopped = 1;
    snprintf(r->why, sizeof(r->why), "%s", why);
}

static void resolve_destinations(struct replica *r)
{
    uint32_t count;
    struct feed_destination *to = feed_destinations(r->feed, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t mac[6];
        if (!frame_resolve(r->host, to[i].ip, mac, r->now_ns / 1000000))
            continue;
        uint64_t word = 1ull << 63;
        for (int b = 0; b < 6; b++)
            word |= (uint64_t)mac[b] << (40 - 8 * b);
        __atomic_store_n(&to[i].mac, word, __ATOMIC_RELAXED); /* relaxed: a value of its own */
    }
    struct port_frame frame;
    while (frame_arp_pending(r->host, r->now_ns / 1000000) && send_begin(r, &frame)) {
        if (!frame_arp_due(r->host, &frame, r->now_ns / 1000000)) {
            port_free(r->port, &frame, 1);
            break;
        }
        send_frame(r, &frame);
    }
}

static void fill_peers(struct replica *r, struct replica_status *s)
{
    uint64_t silent_ns = r->options.silent_ms * 1000000ull;
    s->handshake_wanted = 0;
    for (uint32_t id = 1; id <= RAFT_ID_MAX; id++) {
        const struct auth_peer *peer = auth_peer(r->auth, id);
        s->peer_match[id] = r->raft.peer[id].match;
        s->peer_heard_ns[id] = r->raft.peer[id].heard_ns;
        s->assoc_heard_ns[id] = peer != NULL ? peer->heard_ns : 0;
        s->assoc_incarnation[id] = peer != NULL ? peer->incarnation : 0;
        s->peer_incarnation[id] = r->peer_incarnation[id];
        s->peer_boot[id] = r->peer_boot[id];
        s->peer_boot_id[id] = r->peer_boot_id[id];
        s->witness[id] = r->witness[id];
        s->trip[id] = r->trip[id];
        if (id > r->id && auth_wants_handshake(r->auth, id, r->now_ns, silent_ns))
            s->handshake_wanted |= 1u << id;
    }
}

static void fill_status(struct replica *r)
{
    struct replica_status *s = &r->status;
    const struct raft *raft = &r->raft;
    uint64_t age_ns = raft_quorum_age_ns(raft, r->now_ns);
    s->now_ns = r->now_ns;
    s->turns = r->metrics.turns;
    s->term = raft->term;
    s->commit = raft->commit;
    s->applied = r->machine->applied;
    s->last_index = raft->log.last;
    s->first_index = ring_first_index(r->ring);
    s->durable_index = raft_durable_index(raft);
    s->last_lsn = raft->next_lsn - 1;
    s->durable_lsn = r->gate.durable_lsn;
    s->digest = r->machine->digest;
    s->digest_index = r->machine->applied;
    s->mark_index = r->mark_index;
    s->mark_digest = r->mark_digest;
    s->feed_next = r->machine->feed_next;
    s->quorum_age_ns = age_ns;
    s->started_ns = r->started_ns;
    s->noop_index = raft->noop_index;
    s->probe_index = r->probe_index;
    s->probe_ns = r->probe_ns;
    s->config = members_now(&r->members)->body;
    s->config_index = members_now(&r->members)->index;
    s->transfer = raft->transfer;
    s->drive_lag_ns = raft->role == RAFT_LEADER && s->durable_index < raft->quorum_index
                          ? r->now_ns - raft->transfer.drive_moved_ns
                          : 0;
    s->drive_ns = ring_drive_ns(r->ring, r->now_ns);
    s->stall_ns = replica_stall_ns(r);
    s->lapped = r->lapped;
    s->drained = r->machine->operated.drained;
    s->hole = raft->hole;
    s->settling = raft->settling;
    s->hole_denied = raft->hole_denied;
    s->pages_repaired = r->repair.pages;
    s->repair_failures = r->repair.failures;
    fill_peers(r, s);
    s->role = raft->role;
    s->leader = raft->leader;
    s->vote = raft->vote;
    s->failed = raft->failed;
    s->stopped = r->stopped;
    s->start_again = r->start_again;
    s->sessions = r->machine->session_count;
    s->day_open = r->machine->day_open;
    s->stale = age_ns > r->options.feed.stale_ms * 1000000ull;
    memcpy(s->day, r->machine->day, sizeof(s->day));
    memcpy(s->why, r->why, sizeof(s->why));
    ring_stats(r->ring, &s->ring);
}

uint64_t replica_stall_ns(const struct replica *r)
{
    return r->stood_ns[0] > r->stood_ns[1] ? r->stood_ns[0] : r->stood_ns[1];
}

/* A loop that takes turns comes by when it is time to publish: by so much it is late. */
static void note_stood(struct replica *r)
{
    uint64_t stood_ns = r->status_at_ns != 0 ? r->now_ns - r->status_at_ns : 0;
    if (r->now_ns >= r->stood_until_ns) {
        r->stood_ns[1] = r->stood_ns[0];
        r->stood_ns[0] = 0;
        r->stood_until_ns = r->now_ns + REPLICA_STOOD_NS;
    }
    if (stood_ns > r->stood_ns[0])
        r->stood_ns[0] = stood_ns;
}

void replica_publish(struct replica *r)
{
    if (r->now_ns < r->status_at_ns)
        return;
    note_stood(r);
    r->status_at_ns = r->now_ns + REPLICA_PUBLISH_NS;
    install_turn(r);
    repair_turn(r);
    chunks_turn(r);
    uint64_t age_ns = raft_quorum_age_ns(&r->raft, r->now_ns);
    /* A line that has not begun, or is not there yet, has no contact to speak of (H22). */
    bool begun = r->line_from <= r->machine->applied;
    /* What a checkpoint is about to replace the feed need not hold on to. */
    uint64_t keep_from = r->taking != NULL ? UINT64_MAX : ring_recent_first(r->ring);
    feed_contact(r->feed, age_ns == UINT64_MAX || !begun ? 0 : r->now_ns - age_ns, keep_from);
    resolve_destinations(r);
    uint64_t version = r->status_version + 1;
    /* release fences: pair with the acquire fences in replica_status(); a reader that sees any new
     * field sees the odd version before it, and one that sees the even version sees all of them */
    __atomic_store_n(&r->status_version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    fill_status(r);
    __atomic_store_n(&r->status_version, version + 1, __ATOMIC_RELEASE);
}

void replica_status(const struct replica *r, struct replica_status *status)
{
    for (;;) { /* bounded by the writer: it writes for microseconds once a millisecond */
        uint64_t before = __atomic_load_n(&r->status_version, __ATOMIC_ACQUIRE);
        if (before & 1)
            continue;
        memcpy(status, &r->status, sizeof(*status));
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with the release fence above */
        if (__atomic_load_n(&r->status_version, __ATOMIC_RELAXED) == before)
            return;
    }
}
