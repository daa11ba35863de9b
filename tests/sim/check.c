/* The promises of design section 2, checked after every step.
 *
 * Election safety: one leader a term. State-machine safety and log matching: one log chain at each committed
 * index. Commit is monotone. The order: one (session, number) at each feed number and one feed number for
 * each (session, number), the submitted content, session order; each line contiguous from its start.
 * An acknowledgement agrees with the order.
 */
#include "tests/sim/world.h"

#include "consensus/machine/hash.h"

#include <stdlib.h>

enum { TERMS = 1 << 16 };

struct message {
    uint64_t session, number, feed, hash;
    bool used, submitted, acked;
};

struct placed { /* what stands at a feed number */
    uint64_t session, number, hash;
    bool known;
};

struct checker {
    uint8_t leader[TERMS]; /* by term */
    uint64_t *chain;       /* by index; 0 unknown */
    uint64_t chain_cap, committed;
    struct message *message;
    uint64_t message_cap, message_count;
    struct placed *feed;
    uint64_t feed_cap, feed_top;
    uint64_t acked;
};

void check_init(struct world *world)
{
    struct checker *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL);
    c->message_cap = 1 << 12;
    c->message = calloc(c->message_cap, sizeof(*c->message));
    ENSURE(c->message != NULL);
    world->checker = c;
}

void check_free(struct world *world)
{
    struct checker *c = world->checker;
    if (c == NULL)
        return;
    free(c->chain);
    free(c->message);
    free(c->feed);
    free(c);
}

uint64_t check_committed(const struct world *world) { return world->checker->feed_top; }

static void *grown(void *array, uint64_t *cap, uint64_t need, size_t each)
{
    if (need < *cap)
        return array;
    uint64_t cap_new = *cap == 0 ? 4096 : *cap;
    while (cap_new <= need)
        cap_new *= 2;
    uint8_t *bytes = realloc(array, cap_new * each);
    ENSURE(bytes != NULL);
    memset(bytes + *cap * each, 0, (cap_new - *cap) * each);
    *cap = cap_new;
    return bytes;
}

static uint64_t place_of(uint64_t session, uint64_t number, uint64_t cap)
{
    uint64_t key = session * 0x9e3779b97f4a7c15ull + number;
    return random_next(&key) & (cap - 1);
}

static struct message *find(struct checker *c, uint64_t session, uint64_t number)
{
    uint64_t at = place_of(session, number, c->message_cap);
    while (c->message[at].used &&
           (c->message[at].session != session || c->message[at].number != number))
        at = (at + 1) & (c->message_cap - 1);
    return &c->message[at];
}

static struct message *message(struct checker *c, uint64_t session, uint64_t number)
{
    if (c->message_count * 2 > c->message_cap) {
        struct message *old = c->message;
        uint64_t old_cap = c->message_cap;
        c->message_cap *= 2;
        c->message = calloc(c->message_cap, sizeof(*c->message));
        ENSURE(c->message != NULL);
        for (uint64_t i = 0; i < old_cap; i++)
            if (old[i].used)
                *find(c, old[i].session, old[i].number) = old[i];
        free(old);
    }
    struct message *m = find(c, session, number);
    if (!m->used) {
        *m = (struct message){.session = session, .number = number, .used = true};
        c->message_count++;
    }
    return m;
}

static void check_leader(struct world *world, struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    if (raft->role != RAFT_LEADER)
        return;
    uint8_t *known = &world->checker->leader[raft->term % TERMS];
    if (*known != 0 && *known != node->id)
        world_fail(world, "two leaders in term %lu: %u and %u", (unsigned long)raft->term, *known,
                   node->id);
    *known = (uint8_t)node->id;
}

static void check_chain(struct world *world, struct node *node)
{
    struct checker *c = world->checker;
    const struct replica *r = node->replica;
    if (r->raft.commit < node->checked_commit)
        world_fail(world, "commit of node %u moved back from %lu to %lu", node->id,
                   (unsigned long)node->checked_commit, (unsigned long)r->raft.commit);
    c->chain = grown(c->chain, &c->chain_cap, r->raft.commit, sizeof(*c->chain));
    for (uint64_t i = node->checked_commit + 1; i <= r->raft.commit; i++) {
        uint64_t chain = ring_chain(r->ring, i);
        if (chain == 0)
            continue; /* behind the window at a start */
        if (c->chain[i] != 0 && c->chain[i] != chain)
            world_fail(world, "node %u commits another entry at index %lu", node->id,
                       (unsigned long)i);
        c->chain[i] = chain;
        if (i > c->committed)
            c->committed = i;
    }
    node->checked_commit = r->raft.commit;
}

void check_step(struct world *world, struct node *node)
{
    const struct replica *r = node->replica;
    check_leader(world, node);
    if (r->raft.commit != node->checked_commit) {
        check_chain(world, node);
        world_trace(world, r->raft.commit, r->machine->digest);
    }
    if (r->stopped && world->count[FAULT_FAILED_WRITE] == 0)
        world_fail(world, "node %u stopped without a failed write: %s", node->id, r->why);
}

static void place(struct world *world, const char *who, uint32_t id, uint64_t feed,
                  uint64_t session, uint64_t number, uint64_t hash, bool is_end)
{
    struct checker *c = world->checker;
    c->feed = grown(c->feed, &c->feed_cap, feed, sizeof(*c->feed));
    struct placed *p = &c->feed[feed];
    if (p->known) {
        if (p->session != session || p->number != number || p->hash != hash)
            world_fail(world, "%s %u shows another message at feed number %lu", who, id,
                       (unsigned long)feed);
        return;
    }
    *p = (struct placed){session, number, hash, true};
    if (feed > c->feed_top)
        c->feed_top = feed;
    if (is_end)
        return;
    struct message *m = message(c, session, number);
    if (m->feed != 0 && m->feed != feed)
        world_fail(world, "message %lu of session %lu stands twice: feed %lu and %lu",
                   (unsigned long)number, (unsigned long)session, (unsigned long)m->feed,
                   (unsigned long)feed);
    if (!m->submitted || m->hash != hash)
        world_fail(world, "feed %lu: message %lu of session %lu was not submitted like that",
                   (unsigned long)feed, (unsigned long)number, (unsigned long)session);
    m->feed = feed;
}

void check_feed(struct world *world, struct node *node, const uint8_t *mold, uint32_t size,
                bool answer)
{
    const struct mold_header *header = (const struct mold_header *)mold;
    uint64_t sequence = mold_sequence(header);
    uint16_t count = mold_count(header);
    if (count != MOLD_END_OF_SESSION && !mold_check(mold, size)) {
        world_fail(world, "node %u sends a malformed feed packet", node->id);
        return;
    }
    if (!answer) {
        if (node->line_next != 0 && sequence != node->line_next)
            world_fail(world, "line of node %u shows %lu after %lu", node->id,
                       (unsigned long)sequence, (unsigned long)node->line_next);
        node->line_next = count == MOLD_END_OF_SESSION ? sequence : sequence + count;
    }
    if (count == MOLD_END_OF_SESSION)
        return;
    const uint8_t *at = mold + MOLD_HEADER_SIZE;
    for (uint16_t i = 0; i < count; i++) {
        uint16_t length = mold_length(at);
        struct feed_stamp stamp;
        at += MOLD_BLOCK_HEAD_SIZE;
        if (!feed_envelope_unpack(at, length, &stamp)) {
            world_fail(world, "node %u sends a bad envelope", node->id);
            return;
        }
        uint64_t hash = machine_message_hash(at + FEED_ENVELOPE_SIZE,
                                             (size_t)length - FEED_ENVELOPE_SIZE);
        place(world, "line of node", node->id, sequence + i, stamp.session, stamp.number, hash,
              stamp.kind == FEED_SESSION_END);
        at += length;
    }
}

void check_submit(struct world *world, uint32_t guest, uint64_t session, uint64_t number,
                  const void *payload, uint32_t size)
{
    (void)guest;
    struct message *m = message(world->checker, session, number);
    m->submitted = true;
    m->hash = machine_message_hash(payload, size);
}

void check_ack(struct world *world, uint32_t guest, uint64_t session, uint64_t number,
               uint64_t feed, const char *day, uint64_t payload_hash)
{
    (void)day;
    struct message *m = message(world->checker, session, number);
    if (!m->submitted)
        world_fail(world, "guest %u: an answer for message %lu, which was never submitted", guest,
                   (unsigned long)number);
    if (m->acked && m->feed != feed)
        world_fail(world, "guest %u: message %lu acknowledged at %lu and at %lu", guest,
                   (unsigned long)number, (unsigned long)m->feed, (unsigned long)feed);
    place(world, "answer to guest", guest, feed, session, number, payload_hash, false);
    m->acked = true;
    world->checker->acked++;
}

/* At the end: session order, and no hole in the order. */
void check_end(struct world *world)
{
    struct checker *c = world->checker;
    uint64_t last_number[64] = {0}, last_session[64] = {0};
    for (uint64_t feed = 1; feed <= c->feed_top; feed++) {
        const struct placed *p = &c->feed[feed];
        if (!p->known)
            continue;
        uint64_t slot = p->session % 64;
        if (last_session[slot] == p->session && p->number < last_number[slot])
            world_fail(world, "session %lu out of order at feed number %lu",
                       (unsigned long)p->session, (unsigned long)feed);
        last_session[slot] = p->session;
        last_number[slot] = p->number;
    }
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        if (node->up && node->refused > 0)
            world_fail(world, "node %u: recovery refused a ring that only crashed", id);
    }
}
