/* Handshakes with the other replicas and with clients: this side initiates to higher ids, answers
 * the rest. Source: design, section 8; hazards H2, H13, H18.
 */
#include "control/control_internal.h"

#include <string.h>

static void random_bytes(void *context, void *bytes, size_t size)
{
    struct control *c = context;
    clock_secret(c->replica->clock, bytes, size);
}

static uint64_t now_ms(const struct control *c)
{
    return c->now_ns / 1000000;
}

/* A lower counter, or the same with another id, is not known to be higher. */
static void highest(uint64_t *boot, uint64_t *boot_id, uint64_t other, uint64_t other_id)
{
    if (other > *boot) {
        *boot = other;
        *boot_id = other_id;
    }
}

void peers_boot(const struct control *c, uint32_t id, uint64_t *boot, uint64_t *boot_id)
{
    uint64_t incarnation = control_member(c, id);
    *boot = 0;
    *boot_id = 0;
    /* Pages tell boots by id alone: those of a founder. */
    if (incarnation == c->options.genesis->founder[id].incarnation)
        highest(boot, boot_id, c->found_boot[id], c->found_boot_id[id]);
    if (c->seen.peer_incarnation[id] == incarnation)
        highest(boot, boot_id, c->seen.peer_boot[id], c->seen.peer_boot_id[id]);
    if (c->machine->boot_incarnation[id] == incarnation)
        highest(boot, boot_id, c->machine->boot[id], c->machine->boot_id[id]);
}

/* H2: an image of a server restored while the original runs, or after it ran, is refused. Who is no
 * member here may be ahead of this replica's log: it is let in, and Raft takes no testimony from
 * it. So is another incarnation than the one named, but only while that one is silent: it cannot
 * push a member aside. */
static bool boot_allowed(void *context, uint32_t principal, uint64_t incarnation, uint64_t boot,
                         uint64_t boot_id)
{
    const struct control *c = context;
    uint64_t known, known_id;
    uint64_t named = control_member(c, principal);
    if (principal > KEEL_REPLICA_MAX)
        return false;
    if (named != incarnation)
        return named == 0 ||
               c->now_ns >= c->seen.assoc_heard_ns[principal] + c->options.silent_ms * 1000000ull;
    peers_boot(c, principal, &known, &known_id);
    return boot > known || (boot == known && boot_id == known_id);
}

/* H13: what this replica was told by that one, as its packets came. */
static void witness(void *context, uint32_t principal, uint64_t incarnation,
                    struct auth_install *told)
{
    const struct control *c = context;
    if (principal > KEEL_REPLICA_MAX || c->seen.witness[principal].incarnation != incarnation)
        return;
    const struct witness *w = &c->seen.witness[principal];
    told->witness_index = w->index;
    told->witness_term = w->term;
    told->witness_vote = w->vote;
}

void peers_init(struct control *c, void *handshake_memory)
{
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        c->found_boot[id] = c->options.found->seen_boot[id];
        c->found_boot_id[id] = c->options.found->seen_boot_id[id];
    }
    struct handshake_options options = {.self = {.principal = c->replica->id,
                                                 .cluster = c->options.cluster_id,
                                                 .incarnation = c->replica->options.incarnation,
                                                 .boot = c->options.boot,
                                                 .boot_id = c->options.boot_id},
                                        .keys = c->options.keys,
                                        .random = random_bytes,
                                        .witness = witness,
                                        .boot_allowed = boot_allowed,
                                        .context = c};
    c->handshake = handshake_init(handshake_memory, &options);
}

static bool send(struct control *c, const struct handshake_address *to, const uint8_t *bytes,
                 size_t size)
{
    struct command *command = control_command(c, COMMAND_SEND);
    if (command == NULL)
        return false;
    command->to.ip = to->ip;
    command->to.port = to->port;
    memcpy(command->to.mac, to->mac, sizeof(to->mac));
    command->size = (uint32_t)size;
    memcpy(command->u.bytes, bytes, size);
    control_command_send(c);
    return true;
}

/* A packet without a body under the association: the other side answers, which confirms it both
 * ways. */
static bool ping(struct control *c, uint32_t id)
{
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return false;
    command->principal = id;
    command->packet_kind = AUTH_KIND_PING;
    control_command_send(c);
    return true;
}

static void install(struct control *c, struct auth_install *install)
{
    struct command *command = control_command(c, COMMAND_INSTALL);
    if (command == NULL)
        return; /* the peer repeats, or this side begins anew: nothing valid will come */
    command->u.install = *install;
    control_command_send(c);
    c->status.handshakes_done++;
    if (!install->initiator)
        return;
    ping(c, install->peer);
    if (install->peer <= KEEL_REPLICA_MAX) {
        c->peer[install->peer].next_begin_ns = c->now_ns + c->options.silent_ms * 500000ull;
        c->peer[install->peer].next_ping_ns = c->now_ns + c->options.silent_ms * 250000ull;
    }
}

void peers_datagram(struct control *c, const struct notice *notice)
{
    struct handshake_address from = {.ip = notice->from.ip, .port = notice->from.port};
    memcpy(from.mac, notice->from.mac, sizeof(from.mac));
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size = 0;
    struct auth_install done;
    if (founders_packet(c, notice))
        return;
    memset(&done, 0, sizeof(done));
    switch (handshake_receive(c->handshake, notice->u.bytes, notice->size, &from, now_ms(c), out,
                              &size, &done)) {
    case HANDSHAKE_NOTHING:
        break;
    case HANDSHAKE_SEND:
        send(c, &from, out, size);
        break;
    case HANDSHAKE_INSTALL:
        install(c, &done);
        break;
    case HANDSHAKE_SEND_INSTALL:
        install(c, &done);
        send(c, &from, out, size);
        break;
    }
    explicit_bzero(&done, sizeof(done));
}

static uint32_t begin(struct control *c, uint32_t id)
{
    struct control_peer *peer = &c->peer[id];
    const struct entry_member *member = members_at(c, id);
    struct handshake_address address = {.ip = member->ip, .port = member->port};
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size = 0;
    if (c->now_ns < peer->next_begin_ns || handshake_under_way(c->handshake, id))
        return 0;
    peer->next_begin_ns = c->now_ns + c->options.silent_ms * 500000ull;
    if (!handshake_begin(c->handshake, id, &address, now_ms(c), out, &size))
        return 0;
    c->status.handshakes_begun++;
    send(c, &address, out, size);
    return 1;
}

/* Followers say nothing to each other: a ping keeps their silence from looking like a restart, and
 * is repeated until the first answer (one is lost where a MAC address has to be asked for). */
static uint32_t keep_warm(struct control *c, uint32_t id)
{
    struct control_peer *peer = &c->peer[id];
    uint64_t quiet_ns = c->options.silent_ms * 250000ull;
    uint64_t heard_ns = c->seen.assoc_heard_ns[id];
    if (c->now_ns < peer->next_ping_ns || c->now_ns < heard_ns + quiet_ns)
        return 0;
    peer->next_ping_ns = c->now_ns + quiet_ns;
    return ping(c, id);
}

uint32_t peers_turn(struct control *c)
{
    uint32_t work = 0;
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size = 0;
    struct handshake_address to;
    for (uint32_t i = 0; i < HANDSHAKE_PEERS_MAX; i++) {
        if (!handshake_retry(c->handshake, now_ms(c), &to, out, &size))
            break;
        send(c, &to, out, size);
        work++;
    }
    if (c->seen.started_ns == 0) /* seq has not published yet: nothing is known of the peers */
        return work;
    for (uint32_t id = c->replica->id + 1; id <= KEEL_REPLICA_MAX; id++) {
        if (members_at(c, id) == NULL)
            continue;
        if (c->seen.handshake_wanted & 1u << id)
            work += begin(c, id);
        else
            work += keep_warm(c, id);
    }
    return work;
}
