/* The founders of this cluster that have no genesis record yet are answered with it, also while
 * this replica runs. They speak under cluster id 0, and so have handshakes and associations of
 * their own here, apart from those of the cluster, and out of the loop: seq passes on what comes
 * for cluster 0. Set up when the first such packet comes, or where this cluster came by agreement
 * and a founder has never been heard in it; in memory of control's. Where nobody founds, it draws
 * and costs nothing.
 */
#include "control/control_internal.h"

#include <string.h>

static void random_bytes(void *context, void *bytes, size_t size)
{
    const struct control *c = context;
    clock_secret(c->replica->clock, bytes, size);
}

static void send_bytes(void *context, const struct handshake_address *to, const uint8_t *bytes,
                       size_t size)
{
    struct control *c = context;
    struct command *command = control_command(c, COMMAND_SEND);
    if (command == NULL)
        return; /* it is asked for again */
    command->to.ip = to->ip;
    command->to.port = to->port;
    memcpy(command->to.mac, to->mac, sizeof(to->mac));
    command->size = (uint32_t)size;
    memcpy(command->u.bytes, bytes, size);
    control_command_send(c);
}
_Static_assert((int)FOUNDING_ANSWER_MAX <= (int)COMMAND_BYTES_MAX, "the record fits");

/* A founder that was a replica of this cluster has its genesis record. Who asks in its name runs
 * from a copy of its drive from before, and would come back as a voter that forgot its votes (H2).
 */
static bool is_new(const struct control *c, uint32_t id, uint64_t incarnation)
{
    uint64_t boot, boot_id;
    if (control_member(c, id) != incarnation) /* one that was replaced founds nothing any more */
        return c->options.genesis->founder[id].incarnation != incarnation;
    peers_boot(c, id, &boot, &boot_id);
    return boot == 0;
}

static bool answers(void *context, uint8_t id, uint64_t incarnation)
{
    return is_new(context, id, incarnation);
}

static bool begin(struct control *c)
{
    struct founding_options options = {.id = (uint8_t)c->replica->id,
                                       .incarnation = c->replica->options.incarnation,
                                       .boot = c->options.founding_boot + c->options.boot,
                                       .boot_id = c->options.boot_id,
                                       .keys = c->options.keys,
                                       .random = random_bytes,
                                       .send = send_bytes,
                                       .answers = answers,
                                       .context = c};
    options.proposal = *c->options.genesis;
    paxos_record_installed(&options.record, options.incarnation, c->options.genesis);
    c->founding = founding_init(c->founding_memory, &options, c->now_ns);
    return c->founding != NULL;
}

/* Is there a founder above this one that may still lack the record? */
static bool some_lack_it(const struct control *c)
{
    const struct genesis *g = c->options.genesis;
    for (uint32_t id = c->replica->id + 1; id <= KEEL_REPLICA_MAX; id++) {
        uint64_t incarnation = g->founder[id].incarnation;
        bool member = incarnation != 0 && control_member(c, id) == incarnation;
        if (member && is_new(c, id, incarnation))
            return true;
    }
    return false;
}

uint32_t founders_turn(struct control *c)
{
    if (!c->options.founding || c->seen.started_ns == 0 || c->now_ns < c->founders_at_ns)
        return 0;
    c->founders_at_ns = c->now_ns + CONTROL_FOUNDERS_MS * 1000000ull;
    if (!some_lack_it(c))
        return 0;
    if (c->founding == NULL && !begin(c))
        return 0;
    founding_turn(c->founding, c->now_ns);
    return 1;
}

bool founders_packet(struct control *c, const struct notice *notice)
{
    struct packet head;
    if (notice->size < sizeof(head))
        return false;
    memcpy(&head, notice->u.bytes, sizeof(head));
    if (head.cluster != 0 || head.from > KEEL_REPLICA_MAX)
        return false;
    struct handshake_address from = {.ip = notice->from.ip, .port = notice->from.port};
    memcpy(from.mac, notice->from.mac, sizeof(from.mac));
    if (c->founding != NULL || begin(c))
        founding_datagram(c->founding, &from, notice->u.bytes, notice->size, c->now_ns);
    return true;
}
