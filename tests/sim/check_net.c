/* What packets say, judged where they leave and where they arrive (the tag hides nothing).
 *
 * Leaving: no counter twice under one key (H18); a vote, an acknowledgement, a term only when the
 * sender's drive holds it, and an acknowledgement only of the very entry that the leader means.
 * Arriving: how many distinct packets came under each association; a table that opened more has
 * opened a replay.
 */
#include "tests/sim/check.h"

#include <stdlib.h>

enum { KEYS = 1 << 14 };

struct key { /* one direction of one association */
    uint32_t from, to, assoc;
    bool used;
    uint64_t last;     /* highest counter sealed */
    uint64_t distinct; /* arrived, each counter once */
    uint64_t *bits, bits_cap;
};

struct net_view {
    struct key key[KEYS];
    uint32_t key_count;
    uint64_t append_ns[NODES_MAX + 1][NODES_MAX + 1]; /* [at][from]: last AppendEntries arrived */
    uint64_t reply_ns[NODES_MAX + 1][NODES_MAX + 1];
    struct raft_config led_by[NODES_MAX + 1]; /* of a leader, when an answer last arrived at it */
};

static struct net_view *view_of(struct world *world)
{
    if (world->net == NULL)
        world->net = calloc(1, sizeof(*world->net));
    ENSURE(world->net != NULL);
    return world->net;
}

void check_net_free(struct world *world)
{
    if (world->net == NULL)
        return;
    for (uint32_t i = 0; i < KEYS; i++)
        free(world->net->key[i].bits);
    free(world->net);
}

static struct key *key_of(struct world *world, uint32_t from, uint32_t to, uint32_t assoc)
{
    struct net_view *view = view_of(world);
    uint64_t mixed = (uint64_t)assoc << 32 ^ (uint64_t)from << 16 ^ to;
    uint32_t at = (uint32_t)random_next(&mixed) & (KEYS - 1);
    while (view->key[at].used &&
           (view->key[at].from != from || view->key[at].to != to || view->key[at].assoc != assoc))
        at = (at + 1) & (KEYS - 1);
    if (!view->key[at].used) {
        ENSURE(++view->key_count < KEYS);
        view->key[at] = (struct key){.from = from, .to = to, .assoc = assoc, .used = true};
    }
    return &view->key[at];
}

/* The head of a packet under an association; NULL: something else. */
static const struct packet *sealed(const uint8_t *frame, uint32_t size, const uint8_t **body)
{
    if (size < FRAME_HEADS_SIZE + sizeof(struct packet) || frame[12] != 8 || frame[13] != 0 ||
        frame[23] != 17)
        return NULL;
    const struct packet *head = (const struct packet *)(frame + FRAME_HEADS_SIZE);
    if (head->magic != PACKET_MAGIC || head->version != PACKET_VERSION ||
        head->kind <= PACKET_SALT_REPLY || head->counter == 0)
        return NULL;
    *body = (const uint8_t *)(head + 1);
    return head;
}

static void check_vote(struct world *world, const struct node *node, const struct packet *head,
                       const struct packet_vote *vote)
{
    const struct drive_view *drive = &node->view;
    bool reply = head->kind == PACKET_VOTE_REPLY, granted = reply && vote->granted != 0;
    uint32_t whom = reply ? head->to : node->id;
    if (vote->term > drive->term ||
        ((granted || !reply) && (vote->term != drive->term || drive->vote != whom)))
        world_fail(world, "node %u speaks of term %lu, vote %u; its drive holds term %lu, vote %u",
                   node->id, (unsigned long)vote->term, granted || !reply ? whom : 0,
                   (unsigned long)drive->term, drive->vote);
    world->votes += granted;
}

static void check_reply(struct world *world, const struct node *node, const struct packet *head,
                        const struct packet_append_reply *reply)
{
    const struct drive_view *drive = &node->view;
    if (reply->term > drive->term)
        world_fail(world, "node %u answers in term %lu; its drive holds term %lu", node->id,
                   (unsigned long)reply->term, (unsigned long)drive->term);
    if (reply->status != RAFT_APPEND_OK || reply->match == 0)
        return;
    if (!check_drive_reaches(drive, reply->match)) {
        world_fail(world, "node %u acknowledges index %lu; its drive ends at %lu", node->id,
                   (unsigned long)reply->match, (unsigned long)drive->last);
        return;
    }
    if (node->wounds.hole != 0 && reply->match >= node->wounds.hole)
        world_fail(world, "node %u acknowledges index %lu, though it knows that it has lost %lu",
                   node->id, (unsigned long)reply->match, (unsigned long)node->wounds.hole);
    const struct node *leader = &world->node[head->to];
    if (!leader->up || leader->replica->raft.role != RAFT_LEADER ||
        leader->replica->raft.term != reply->term || reply->match <= drive->installed)
        return;
    uint64_t chain = ring_chain(leader->replica->ring, reply->match);
    if (chain != 0 && drive->chain[reply->match] != 0 && chain != drive->chain[reply->match])
        world_fail(world, "node %u acknowledges index %lu, but its drive holds another entry there",
                   node->id, (unsigned long)reply->match);
}

static void check_testimony(struct world *world, const struct node *node, const struct packet *head,
                            const uint8_t *body)
{
    if (head->kind == PACKET_VOTE || head->kind == PACKET_VOTE_REPLY)
        check_vote(world, node, head, (const struct packet_vote *)body);
    else if (head->kind == PACKET_APPEND_REPLY)
        check_reply(world, node, head, (const struct packet_append_reply *)body);
    else if (head->kind == PACKET_APPEND &&
             ((const struct packet_append *)body)->term != node->view.term)
        world_fail(world, "node %u leads term %lu; its drive holds term %lu", node->id,
                   (unsigned long)((const struct packet_append *)body)->term,
                   (unsigned long)node->view.term);
}

void check_net_sent(struct world *world, uint32_t from, const uint8_t *frame, uint32_t size)
{
    const uint8_t *body;
    const struct packet *head = sealed(frame, size, &body);
    if (head == NULL)
        return;
    struct key *key = key_of(world, head->from, head->to, head->assoc);
    if (head->counter <= key->last)
        world_fail(world, "principal %u uses counter %lu twice under one key, towards %u",
                   head->from, (unsigned long)head->counter, head->to);
    key->last = head->counter;
    world->sealed++;
    if (from <= NODES_MAX)
        check_testimony(world, &world->node[from], head, body);
}

/* Its members may change before the contact is stale: a quorum of then was contact then. */
static void reply_arrived(struct world *world, uint32_t to, uint32_t from)
{
    const struct node *node = &world->node[to];
    view_of(world)->reply_ns[to][from] = world->now_ns;
    if (node->up && node->replica->raft.role == RAFT_LEADER)
        view_of(world)->led_by[to] = node->replica->raft.config;
}

void check_net_arrived(struct world *world, uint32_t to, const uint8_t *frame, uint32_t size)
{
    const uint8_t *body;
    const struct packet *head = sealed(frame, size, &body);
    if (head == NULL)
        return;
    struct key *key = key_of(world, head->from, head->to, head->assoc);
    uint64_t word = head->counter / 64, bit = 1ull << head->counter % 64;
    key->bits = check_grown(key->bits, &key->bits_cap, word, sizeof(*key->bits));
    if ((key->bits[word] & bit) == 0)
        key->distinct++;
    else
        world->replays++;
    key->bits[word] |= bit;
    if (to > NODES_MAX || head->from > NODES_MAX)
        return;
    if (head->kind == PACKET_APPEND)
        view_of(world)->append_ns[to][head->from] = world->now_ns;
    else if (head->kind == PACKET_APPEND_REPLY) {
        reply_arrived(world, to, head->from);
        check_heal_reply(world, to, head->from);
    }
}

struct visit {
    struct world *world;
    uint32_t self;
};

static void visit_association(void *context, const struct auth_peer *peer)
{
    struct visit *visit = context;
    const struct key *key = key_of(visit->world, peer->principal, visit->self, peer->handle);
    if (peer->received > key->distinct)
        world_fail(visit->world,
                   "principal %u opened %lu packets of %u, of which %lu were distinct", visit->self,
                   (unsigned long)peer->received, peer->principal, (unsigned long)key->distinct);
}

void check_net_table(struct world *world, uint32_t principal, const struct auth_table *table)
{
    struct visit visit = {world, principal};
    auth_each(table, visit_association, &visit);
}

bool check_net_contact(const struct world *world, uint32_t id)
{
    const struct net_view *view = world->net;
    uint64_t window = (world->genesis.feed_stale_ms + CHECK_STALE_SLACK_MS) * 1000000ull;
    window += world->knobs.late_ns;
    uint64_t since = world->now_ns > window ? world->now_ns - window : 0;
    for (uint32_t leader = 1; leader <= world->knobs.nodes; leader++) {
        if (leader != id && view->append_ns[id][leader] < since)
            continue;
        uint32_t heard = 1u << leader;
        for (uint32_t peer = 1; peer <= world->knobs.nodes; peer++)
            heard |= (uint32_t)(view->reply_ns[leader][peer] > since) << peer;
        if (check_members_contact(world, leader, heard) ||
            (view->led_by[leader].voters != 0 && check_quorum(&view->led_by[leader], heard)))
            return true;
    }
    return false;
}
