/* The promises of design section 2, checked after every turn of every replica.
 *
 * The checker keeps its own log: each index, when the first replica calls it committed, is taken
 * into it once, must lie durably on a quorum of drives at that very moment (check_drive.c), and
 * goes through a machine of the checker's own. Everything that replicas, lines and answers then say
 * is held against that one order: chains and digests at equal index, lines and answers at each feed
 * number, and the content of each message against what its guest submitted.
 */
#include "tests/sim/check.h"
#include "tests/sim/reached.h"

#include <stdio.h>
#include <stdlib.h>

void check_init(struct world *world)
{
    struct checker *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL);
    c->message_cap = 1 << 12;
    c->message = calloc(c->message_cap, sizeof(*c->message));
    size_t size = machine_size(&world->genesis);
    c->machine = aligned_alloc(64, (size + 63) & ~(size_t)63);
    ENSURE(c->message != NULL && c->machine != NULL);
    machine_init(c->machine, &world->genesis);
    memcpy(c->day[0].name, world->genesis.day, KEEL_DAY_NAME_SIZE);
    c->day_count = 1;
    world->checker = c;
    check_members_init(world);
}

void check_free(struct world *world)
{
    struct checker *c = world->checker;
    if (c == NULL)
        return;
    free(c->chain);
    free(c->digest);
    free(c->term);
    free(c->message);
    free(c->order);
    free(c->session);
    free(c->machine);
    free(c);
    check_drive_free(world);
    check_net_free(world);
}

uint64_t check_committed(const struct world *world)
{
    return world->checker == NULL ? 0 : world->checker->order_count;
}

void *check_grown(void *array, uint64_t *cap, uint64_t need, size_t each)
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

/* --- messages by (session, number)
 * ------------------------------------------------------------------- */

static struct message *find(struct checker *c, uint64_t session, uint64_t number)
{
    uint64_t key = session * 0x9e3779b97f4a7c15ull + number;
    uint64_t at = random_next(&key) & (c->message_cap - 1);
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

bool check_ordered(const struct world *world, uint64_t session, uint64_t number)
{
    return find(world->checker, session, number)->position != 0;
}

uint64_t check_index_of(const struct world *world, uint64_t session, uint64_t number)
{
    const struct message *m = find(world->checker, session, number);
    return m->position == 0 ? 0 : world->checker->order[m->position - 1].index;
}

void check_submit(struct world *world, uint64_t session, uint64_t number, const void *payload,
                  uint32_t size, const struct entry_sequencer *shown)
{
    struct message *m = message(world->checker, session, number);
    m->submitted = true;
    m->hash = machine_message_hash(ENTRY_MESSAGES, payload, size, shown);
    m->bytes_hash = machine_message_hash(ENTRY_MESSAGES, payload, size, NULL);
}

/* --- the order
 * ---------------------------------------------------------------------------------------- */

/* Session order, judged without the machine: numbers only grow, within each session. */
static void check_session(struct world *world, uint64_t session, uint64_t number)
{
    struct checker *c = world->checker;
    for (uint64_t i = c->session_count; i-- > 0;) { /* newest first: the ones in use */
        if (c->session[i].session != session)
            continue;
        if (number <= c->session[i].last)
            world_fail(world, "session %lu: message %lu is ordered after %lu",
                       (unsigned long)session, (unsigned long)number,
                       (unsigned long)c->session[i].last);
        c->session[i].last = number;
        return;
    }
    c->session = check_grown(c->session, &c->session_cap, c->session_count, sizeof(*c->session));
    c->session[c->session_count].session = session;
    c->session[c->session_count++].last = number;
}

static void order_add(struct world *world, uint64_t feed, uint64_t session, uint64_t number,
                      uint64_t hash, bool is_end)
{
    struct checker *c = world->checker;
    struct day *day = &c->day[c->day_count - 1];
    if (feed != c->order_count - day->base + 1)
        world_fail(world, "the machine gives feed number %lu after %lu", (unsigned long)feed,
                   (unsigned long)(c->order_count - day->base));
    c->order = check_grown(c->order, &c->order_cap, c->order_count, sizeof(*c->order));
    c->order[c->order_count] =
        (struct placed){session, number, hash, world->now_ns, c->committed, is_end};
    uint64_t position = ++c->order_count;
    if (is_end)
        return;
    check_session(world, session, number);
    struct message *m = message(c, session, number);
    if (m->position != 0)
        world_fail(world, "message %lu of session %lu stands twice in the order",
                   (unsigned long)number, (unsigned long)session);
    if (!m->submitted || m->hash != hash)
        world_fail(world, "index %lu: message %lu of session %lu was not submitted like that",
                   (unsigned long)c->committed, (unsigned long)number, (unsigned long)session);
    m->position = position;
    m->feed = feed;
}

static void order_messages(struct world *world, const struct entry *entry)
{
    const struct machine_outcome *outcome = &world->checker->outcome;
    const struct entry_messages *messages = entry_body(entry);
    struct entry_sequencer shown = {0};
    bool fenced = (messages->flags & ENTRY_FENCED) != 0;
    if (fenced)
        shown = entry_messages_sequencer(messages);
    for (uint32_t i = 0; i < outcome->run_count; i++) {
        const struct packet_result_run *run = &outcome->run[i];
        if (run->status != MACHINE_SEQUENCED)
            continue;
        uint64_t skip = run->number - messages->number;
        uint32_t offset = 0;
        for (uint64_t k = 0; k < skip + run->count && k < messages->count; k++) {
            uint16_t length;
            const uint8_t *payload = entry_block_next(entry, &offset, &length);
            if (k >= skip)
                order_add(
                    world, run->feed + k - skip, messages->session, messages->number + k,
                    machine_message_hash(ENTRY_MESSAGES, payload, length, fenced ? &shown : NULL),
                    false);
        }
    }
}

static void day_begins(struct world *world)
{
    struct checker *c = world->checker;
    if (c->day_count == CHECK_DAYS) {
        world_fail(world, "more days than the checker keeps");
        return;
    }
    struct day *day = &c->day[c->day_count++];
    memcpy(day->name, c->machine->day, KEEL_DAY_NAME_SIZE);
    day->base = c->order_count;
    world->days++;
    REACHED(day, world, 0);
}

/* An index is committed for the first time: into the checker's own log. */
static void take(struct world *world, struct node *node, const struct entry *entry)
{
    struct checker *c = world->checker;
    machine_apply(c->machine, entry, &c->outcome);
    if (entry->kind == ENTRY_MESSAGES)
        order_messages(world, entry);
    if (c->outcome.session_ended) {
        const struct machine_session *s = machine_session_at(c->machine, c->outcome.slot);
        order_add(world, c->outcome.feed_before, s->id, s->last, 0, true);
        world->sessions_ended++;
        world->sessions_expired += s->end_reason == SESSION_END_EXPIRED;
        if (s->end_reason == SESSION_END_EXPIRED)
            check_locks_expired(world, s->id);
    }
    if (c->outcome.day_began)
        day_begins(world);
    c->digest = check_grown(c->digest, &c->digest_cap, entry->index, sizeof(*c->digest));
    c->digest[entry->index] = c->machine->digest;
    world_trace(world, entry->index, c->machine->digest);
    check_heal_taken(world, node, entry);
    if (entry->kind == ENTRY_CONFIG)
        check_members_taken(world, node, entry);
}

static void check_index(struct world *world, struct node *node, uint64_t index)
{
    struct checker *c = world->checker;
    const struct replica *r = node->replica;
    uint64_t chain = ring_chain(r->ring, index);
    c->chain = check_grown(c->chain, &c->chain_cap, index, sizeof(*c->chain));
    if (index <= c->committed) {
        if (chain != 0 && c->chain[index] != chain)
            world_fail(world, "node %u commits another entry at index %lu", node->id,
                       (unsigned long)index);
        return;
    }
    const struct entry *entry = ring_entry(r->ring, index);
    if (entry == NULL || chain == 0) {
        world_fail(world, "node %u commits index %lu, which it does not hold", node->id,
                   (unsigned long)index);
        return;
    }
    if (!check_members_committed(world, node, index, chain))
        world_fail(world, "node %u commits index %lu, which no quorum's drives hold", node->id,
                   (unsigned long)index);
    c->chain[index] = chain;
    c->committed = index;
    c->committed_ns = world->now_ns;
    c->term = check_grown(c->term, &c->term_cap, index, sizeof(*c->term));
    c->term[index] = r->raft.term;
    take(world, node, entry);
}

/* --- replicas
 * ------------------------------------------------------------------------------------------ */

static void check_leader(struct world *world, struct node *node)
{
    struct checker *c = world->checker;
    const struct raft *raft = &node->replica->raft;
    if (raft->role != RAFT_LEADER) {
        node->led_term = 0;
        return;
    }
    if (node->led_term == raft->term)
        return;
    node->led_term = raft->term;
    node->led_commit = raft->commit;
    world->leaders++;
    uint8_t *known = &c->leader[raft->term % CHECK_TERMS];
    if (*known != 0)
        world_fail(world, "two leaders in term %lu: %u and %u", (unsigned long)raft->term, *known,
                   node->id);
    *known = (uint8_t)node->id;
    check_lead_elected(world, node);
    script_elected(world, node);
    /* Leader completeness (figure 3.2): a new leader holds all that was committed in earlier terms.
     * (Who was paused may learn late that it had won an old term.) */
    uint64_t index = c->committed;
    while (index > 0 && c->term[index] >= raft->term)
        index--;
    uint64_t chain = ring_chain(node->replica->ring, index);
    if (raft->log.last < index || (index > 0 && chain != 0 && chain != c->chain[index]))
        world_fail(world, "node %u leads term %lu without the committed index %lu", node->id,
                   (unsigned long)raft->term, (unsigned long)index);
}

static void check_commit(struct world *world, struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    if (raft->commit == node->checked_commit)
        return;
    if (raft->commit < node->checked_commit)
        world_fail(world, "commit of node %u moved back from %lu to %lu", node->id,
                   (unsigned long)node->checked_commit, (unsigned long)raft->commit);
    /* 3.6.2: a leader counts replicas for entries of its own term only. */
    if (node->led_term == raft->term && node->led_commit != raft->commit &&
        raft->commit < raft->noop_index)
        world_fail(world, "node %u commits index %lu of an earlier term by counting", node->id,
                   (unsigned long)raft->commit);
    for (uint64_t i = node->checked_commit + 1; i <= raft->commit && world->failure[0] == 0; i++)
        check_index(world, node, i);
    node->checked_commit = raft->commit;
}

static void check_machine(struct world *world, struct node *node, const struct machine *machine,
                          const char *whose)
{
    const struct checker *c = world->checker;
    if (machine->applied > c->committed)
        world_fail(world, "node %u: %s has applied index %lu, committed is %lu", node->id, whose,
                   (unsigned long)machine->applied, (unsigned long)c->committed);
    else if (machine->applied > 0 && machine->digest != c->digest[machine->applied])
        world_fail(world, "node %u: %s differs at index %lu", node->id, whose,
                   (unsigned long)machine->applied);
}

void check_turn(struct world *world, struct node *node)
{
    const struct replica *r = node->replica;
    if (r->obeyed != node->checked_obeyed) {
        node->checked_obeyed = r->obeyed;
        if (r->offer->taken) { /* the line goes on where the checkpoint ends */
            node->line_next = node->line_day = 0;
            world->installs++;
            export_anew(world, node->id, r->machine->feed_next);
            script_taken_over(world, node);
        }
    }
    check_commit(world, node);
    check_members_turn(world, node);
    check_leader(world, node);
    check_lead_turn(world, node);
    if (r->machine->applied != node->checked_applied) {
        node->checked_applied = r->machine->applied;
        check_machine(world, node, r->machine, "seq's machine");
    }
    if (r->stopped && node->struck)
        snprintf(node->stop_why, sizeof(node->stop_why), "%s", r->why);
    else if (r->stopped && !node->write_failed && !strikes_may_stop(world, node, r->why))
        world_fail(world, "node %u stopped without a failed write: %s", node->id, r->why);
}

void check_control(struct world *world, struct node *node, const struct machine *machine)
{
    if (machine->applied == node->checked_control)
        return;
    node->checked_control = machine->applied;
    check_machine(world, node, machine, "control's machine");
}

/* --- lines and answers
 * --------------------------------------------------------------------------------- */

static const struct day *day_of(const struct checker *c, const char *name)
{
    for (uint32_t i = c->day_count; i-- > 0;)
        if (memcmp(c->day[i].name, name, KEEL_DAY_NAME_SIZE) == 0)
            return &c->day[i];
    return NULL;
}

/* Numbers of that day so far. */
static uint64_t day_size(const struct checker *c, const struct day *day)
{
    bool newest = day == &c->day[c->day_count - 1];
    return (newest ? c->order_count : day[1].base) - day->base;
}

static void line_order(struct world *world, struct node *node, const struct day *day,
                       uint64_t sequence, uint16_t count)
{
    uint32_t which = (uint32_t)(day - world->checker->day) + 1;
    if (node->line_day != which && node->line_day != 0) {
        if (which < node->line_day || sequence > 1)
            world_fail(world, "line of node %u begins a day at %lu", node->id,
                       (unsigned long)sequence);
        node->line_next = 0;
    }
    node->line_day = which;
    if (node->line_next != 0 && sequence != node->line_next)
        world_fail(world, "line of node %u shows %lu after %lu", node->id, (unsigned long)sequence,
                   (unsigned long)node->line_next);
    node->line_next = count == MOLD_END_OF_SESSION ? sequence : sequence + count;
}

/* H22: "nothing happened" is said only by who can know it. A line's replica must have heard a
 * leader, and that leader a quorum, within feed_stale_ms. */
static void line_heartbeat(struct world *world, struct node *node)
{
    world->heartbeats++;
    if (!check_net_contact(world, node->id))
        world_fail(world, "line of node %u says that nothing happened, without quorum contact",
                   node->id);
}

static void line_blocks(struct world *world, struct node *node, const struct day *day,
                        const uint8_t *mold)
{
    const struct checker *c = world->checker;
    const struct mold_header *header = (const struct mold_header *)mold;
    const uint8_t *at = mold + MOLD_HEADER_SIZE;
    for (uint16_t i = 0; i < mold_count(header); i++) {
        uint16_t length = mold_length(at);
        uint64_t feed = mold_sequence(header) + i;
        struct feed_stamp stamp;
        at += MOLD_BLOCK_HEAD_SIZE;
        if (!feed_envelope_unpack(at, length, &stamp)) {
            world_fail(world, "node %u sends a bad envelope", node->id);
            return;
        }
        if (feed == 0 || feed > day_size(c, day)) {
            world_fail(world, "node %u shows feed number %lu, which is not committed", node->id,
                       (unsigned long)feed);
            return;
        }
        const struct placed *p = &c->order[day->base + feed - 1];
        bool is_end = stamp.kind == FEED_SESSION_END;
        uint64_t hash = is_end ? 0
                               : machine_message_hash(ENTRY_MESSAGES, at + FEED_ENVELOPE_SIZE,
                                                      (size_t)length - FEED_ENVELOPE_SIZE, NULL);
        /* A line carries the bytes, not the sequencer that stood beside them. */
        uint64_t placed = is_end ? 0 : find(world->checker, p->session, p->number)->bytes_hash;
        if (p->session != stamp.session || p->number != stamp.number || placed != hash ||
            p->is_end != is_end)
            world_fail(world, "node %u shows another message at feed number %lu", node->id,
                       (unsigned long)feed);
        at += length;
    }
}

void check_feed(struct world *world, struct node *node, const uint8_t *mold, uint32_t size,
                bool answer)
{
    struct checker *c = world->checker;
    const struct mold_header *header = (const struct mold_header *)mold;
    uint64_t sequence = mold_sequence(header);
    uint16_t count = mold_count(header);
    const struct day *day = day_of(c, header->session);
    if (day == NULL || (count != MOLD_END_OF_SESSION && !mold_check(mold, size))) {
        world_fail(world, "node %u sends a malformed feed packet", node->id);
        return;
    }
    if (count == MOLD_END_OF_SESSION && sequence != day_size(c, day) + 1)
        world_fail(world, "line of node %u ends the day at %lu, it has %lu", node->id,
                   (unsigned long)sequence, (unsigned long)day_size(c, day));
    if (!answer)
        line_order(world, node, day, sequence, count);
    if (count == MOLD_HEARTBEAT) {
        if (sequence > day_size(c, day) + 1)
            world_fail(world, "line of node %u names %lu, which is not committed", node->id,
                       (unsigned long)sequence);
        line_heartbeat(world, node);
    } else if (count != MOLD_END_OF_SESSION) {
        line_blocks(world, node, day, mold);
    }
    world->answers += answer;
}

void check_ack(struct world *world, uint32_t guest, uint64_t session, uint64_t number,
               uint64_t feed, uint64_t hash)
{
    struct checker *c = world->checker;
    struct message *m = message(c, session, number);
    if (m->position == 0)
        world_fail(world, "guest %u: message %lu of session %lu is acknowledged, not committed",
                   guest, (unsigned long)number, (unsigned long)session);
    else if (m->feed != feed || m->hash != hash)
        world_fail(world, "guest %u: message %lu acknowledged at feed number %lu, it stands at %lu",
                   guest, (unsigned long)number, (unsigned long)feed, (unsigned long)m->feed);
    if (!m->acked) {
        m->acked = true;
        c->acked++;
        if (m->position != 0 && c->order[m->position - 1].index > c->acked_index)
            c->acked_index = c->order[m->position - 1].index;
    }
}

/* --- the end
 * -------------------------------------------------------------------------------------------- */

/* All replicas have lost power at once: whatever was acknowledged lies on a quorum of the drives.
 */
void check_blackout(struct world *world)
{
    struct checker *c = world->checker;
    for (uint64_t i = 1; i <= c->acked_index && world->failure[0] == 0; i++)
        if (!check_quorum(&c->config, check_members_holding(world, &c->config, i, c->chain[i])))
            world_fail(world,
                       "index %lu was acknowledged; after a power cut too few drives hold it",
                       (unsigned long)i);
}

enum { CHECK_END_LAG = 2, CHECK_END_NS = 200000000 };

/* The recovered cluster, at rest: every replica stands at the end of the one order, with the same
 * state. */
void check_end(struct world *world)
{
    struct checker *c = world->checker;
    uint64_t state = machine_fingerprint(c->machine);
    if (!operators_settled(world))
        world_fail(world, "the members are not those that were asked for");
    for (uint32_t id = 1; id <= world->knobs.nodes && world->failure[0] == 0; id++) {
        struct node *node = &world->node[id];
        if (node->stop_why[0] != '\0')
            continue; /* it says why, and the others go on */
        if (!node->up) {
            world_fail(world, "node %u is down at the end", id);
            continue;
        }
        if (!check_members_is(world, node))
            continue;
        const struct machine *machine = node->replica->machine;
        /* A lock-delay or a wait may end just now; whoever has not heard of it stands before it. */
        if (machine->applied < c->committed && machine->applied + CHECK_END_LAG >= c->committed &&
            world->now_ns - c->committed_ns < CHECK_END_NS) {
            check_machine(world, node, machine, "seq's machine, at the end,");
            continue;
        }
        if (machine->applied != c->committed || machine_fingerprint(machine) != state)
            world_fail(world,
                       "node %u ends at index %lu with state %016lx, the order has %lu, %016lx", id,
                       (unsigned long)machine->applied, (unsigned long)machine_fingerprint(machine),
                       (unsigned long)c->committed, (unsigned long)state);
    }
    strikes_end(world);
    if (c->acked_index > c->committed)
        world_fail(world, "acknowledged up to index %lu, committed up to %lu",
                   (unsigned long)c->acked_index, (unsigned long)c->committed);
}
