/* Tells tests/reach what happens in a seed. */
#include "tests/sim/reached.h"
#include "tests/sim/timeline_internal.h"

static void take(struct world *world, enum reach_kind kind, uint32_t who, uint32_t whom,
                 const uint64_t *value)
{
    struct reach_record record = {
        .at_ns = world->now_ns, .kind = (uint8_t)kind, .who = (uint8_t)who, .whom = (uint8_t)whom};
    for (uint32_t i = 0; value != NULL && i < REACH_VALUES; i++)
        record.value[i] = value[i];
    reach_take(&world->reached->reach, &record);
}

#define VALUES(...) ((const uint64_t[REACH_VALUES]){__VA_ARGS__})

void reached_started(struct world *world, const struct node *node,
                     const struct ring_recovery *found)
{
    reach_started(&world->reached->reach, &node->replica->raft, world->now_ns, found->begins_anew);
    take(world, REACH_RECOVERED, node->id, 0,
         VALUES(found->head_page, found->tail_page, found->super.slots, found->torn_pages));
}

void reached_down(struct world *world, const struct node *node)
{
    reach_down(&world->reached->reach, (uint8_t)node->id, world->now_ns);
}

void reached_turn(struct world *world, const struct node *node)
{
    if (world->reached->reach.picture.replica[node->id].up)
        reach_look(&world->reached->reach, &node->replica->raft, world->now_ns);
}

/* The head of a packet under an association, from one principal to another; NULL: another frame. */
static const struct packet *sealed(const uint8_t *bytes, uint32_t size)
{
    const struct packet *head = (const struct packet *)(bytes + FRAME_HEADS_SIZE);
    bool udp = size >= FRAME_HEADS_SIZE + sizeof(*head) && bytes[12] == 8 && bytes[13] == 0 &&
               bytes[23] == 17;
    return udp && head->magic == PACKET_MAGIC && head->version == PACKET_VERSION &&
                   head->kind >= PACKET_PREVOTE && head->counter != 0
               ? head
               : NULL;
}

void reached_sent(struct world *world, uint32_t from, const uint8_t *bytes, uint32_t size)
{
    const struct packet *head = sealed(bytes, size);
    if (head == NULL || from > NODES_MAX || head->to > NODES_MAX)
        return;
    uint32_t *spoken = &world->reached->spoken[from][head->to];
    if (*spoken != head->assoc) {
        *spoken = head->assoc;
        take(world, REACH_OPENED, from, head->to, VALUES(head->assoc));
    }
    struct timeline_record read = {0};
    if (head->kind != PACKET_APPEND)
        return;
    timeline_read_frame(bytes, size, &read); /* [1] entries, behind the index [2] */
    if (read.value[1] > 0 && world->node[from].up &&
        read.value[2] + read.value[1] < ring_window_first(world->node[from].replica->ring))
        take(world, REACH_REREAD, from, head->to, VALUES(read.value[2] + 1));
}

/* Between replicas: as the core's messages, whose kinds are numbered alike. */
static void core_message(struct world *world, const struct packet *head,
                         const struct timeline_record *read)
{
    const uint64_t *v = read->value;
    struct raft_msg msg = {.kind = (uint8_t)(head->kind - PACKET_PREVOTE + RAFT_PREVOTE),
                           .from = (uint8_t)head->from,
                           .to = (uint8_t)head->to,
                           .term = v[0]};
    switch ((enum raft_msg_kind)msg.kind) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
    case RAFT_TIMEOUT_NOW:
    case RAFT_CHAIN_ASK:
    case RAFT_CHAIN_TELL:
    case RAFT_FETCH:
        msg.prev_index = v[1];
        msg.prev_term = v[2];
        break;
    case RAFT_PREVOTE_REPLY:
    case RAFT_VOTE_REPLY:
        msg.status = (uint8_t)v[1];
        break;
    case RAFT_APPEND:
        msg.count = (uint32_t)v[1];
        msg.prev_index = v[2];
        msg.prev_term = v[3];
        break;
    case RAFT_APPEND_REPLY:
        msg.status = (uint8_t)v[1];
        msg.match = v[3];
        break;
    case RAFT_FETCH_REPLY:
        msg.prev_index = v[1];
        msg.prev_term = v[2];
        msg.status = (uint8_t)v[4];
        break;
    }
    reach_arrived(&world->reached->reach, &msg, world->now_ns, head->assoc);
}
_Static_assert((int)PACKET_FETCH_REPLY - PACKET_PREVOTE == (int)RAFT_FETCH_REPLY - RAFT_PREVOTE,
               "kinds are numbered alike");

static void request(struct world *world, const struct packet *head,
                    const struct timeline_record *read)
{
    uint32_t client = REACH_CLIENT + head->from - KEEL_CLIENT_MIN;
    uint64_t session = read->value[0], last = read->value[2] + read->value[3] - 1;
    if (head->kind == PACKET_SUBMIT)
        take(world, REACH_ASKED, head->to, client,
             VALUES(REACH_SUBMIT, session, last, check_ordered(world, session, last)));
    else if (head->kind == PACKET_RESUME)
        take(world, REACH_ASKED, head->to, client, VALUES(REACH_RESUME));
}

static void answer(struct world *world, const struct packet *head,
                   const struct timeline_record *read)
{
    const uint64_t *v = read->value;
    uint32_t client = REACH_CLIENT + head->to - KEEL_CLIENT_MIN;
    if (head->kind == PACKET_RESULT && v[2] > 0)
        take(world, REACH_ANSWERED, client, head->from, VALUES(REACH_SUBMIT, v[0], v[3]));
    else if (head->kind == PACKET_SESSION && v[4] == PACKET_RESUME && v[3] == MACHINE_SEQUENCED)
        take(world, REACH_ANSWERED, client, head->from, VALUES(REACH_RESUME, v[0]));
}

void reached_arrived(struct world *world, uint32_t to, const uint8_t *bytes, uint32_t size)
{
    const struct packet *head = sealed(bytes, size);
    struct timeline_record read = {0};
    if (head == NULL)
        return;
    timeline_read_frame(bytes, size, &read);
    bool peers = to <= NODES_MAX && head->from <= NODES_MAX;
    if (peers && head->kind <= PACKET_FETCH_REPLY)
        core_message(world, head, &read);
    else if (peers && head->kind == PACKET_CHECKPOINT_CHUNK) /* [2] offset, [3] bytes */
        take(world, REACH_CHUNK, to, head->from,
             VALUES(read.value[0], read.value[2] + read.value[3]));
    else if (to <= NODES_MAX && head->from >= KEEL_CLIENT_MIN &&
             head->from < KEEL_CLIENT_MIN + GUESTS_MAX)
        request(world, head, &read);
    else if (to > NODES_MAX && to < ENDPOINT_HOLDER && head->from <= NODES_MAX)
        answer(world, head, &read);
}

void reached_torn(struct world *world, const struct node *node, const void *bytes)
{
    const struct ring_page *page = bytes;
    if (page->magic == RING_PAGE_MAGIC)
        take(world, REACH_TORN, node->id, 0, VALUES(page->page, node->super.slots));
}

/* Before the view of the drive forgets what lay ahead of a gap. */
void reached_cut_off(struct world *world, const struct node *node, bool zeroing)
{
    if (node->view.ahead != 0)
        take(world, REACH_AHEAD, node->id, 0, VALUES(node->view.next_page));
    if (zeroing)
        take(world, REACH_ZEROING, node->id, 0, NULL);
}

void reached_checkpoint(struct world *world, const struct node *node, uint64_t index, uint64_t term)
{
    if (node->up)
        reach_checkpoint(&world->reached->reach, &node->replica->raft, world->now_ns, index, term);
}

/* 0: it has begun. */
void reached_day(struct world *world, uint32_t asked_of)
{
    take(world, asked_of == 0 ? REACH_DAY_BEGUN : REACH_DAY_ASKED, asked_of, 0, NULL);
}
