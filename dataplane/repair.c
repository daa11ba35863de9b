/* What the drive has lost comes back: asked of every peer, gathered in order, and handed to
 * control, which proves it by the log chain and writes the page anew into its own slot. One page at
 * a time, the lowest entries first. One that comes to nothing lets the others go ahead: perhaps
 * nobody holds it any more, or its place on the drive takes no write.
 *
 * Nothing of it needs a leader, or a quorum: two replicas with holes at different places make each
 * other whole. What a hole forbids meanwhile is Raft's to say (raft_repair.c); here only apply
 * stops before it.
 */
#include "dataplane/replica.h"

#include <string.h>

#define REPAIR_RETRY_NS UINT64_C(1000000000)   /* after a try that failed */
#define REPAIR_PATIENCE_NS UINT64_C(500000000) /* without an entry that was asked for */

static uint64_t heartbeat_ns(const struct replica *r)
{
    return r->raft.options.heartbeat_ns;
}

void repair_tell(struct replica *r)
{
    uint64_t hole = ring_hole_index(r->ring);
    if (hole == r->raft.hole || hole > r->raft.log.last)
        return;
    r->repair.from = 0; /* what stands in the log's way comes first */
    step_hole(r, hole, NULL, 0);
}

void repair_damaged(struct replica *r, uint64_t page)
{
    if (ring_hole_add(r->ring, page))
        repair_tell(r);
    else if (ring_hole_exceeds(r->ring, page)) /* others above are found again by the scrub */
        replica_stop(r, "the drive lost more pages than can be repaired at once: replace it, and "
                        "then this replica");
}

/* --- asking ------------------------------------------------------------------------------------
 */

static void ask(struct replica *r, uint8_t peer)
{
    struct raft_send send;
    if (auth_peer(r->auth, peer) == NULL)
        return;
    raft_fetch(&r->raft, peer, r->repair.next, r->repair.job.live.term, &send);
    gate_pass(&r->gate, &send, &r->raft, send_peer, r);
}

/* H4: not only the members: the configuration may be what is lost. */
static void ask_all(struct replica *r)
{
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (id != r->id && (r->repair.only == 0 || r->repair.only == id))
            ask(r, id);
    /* What stands in nobody's way (H7) is asked for at leisure: perhaps no log has it any more. */
    r->repair.ask_at_ns = r->now_ns + (r->raft.hole != 0 ? heartbeat_ns(r) : REPAIR_RETRY_NS);
}

static void offer(struct replica *r)
{
    struct repair *repair = &r->repair;
    if (!ring_hole_pin(r->ring, repair->job.live.page)) {
        repair->state = REPAIR_IDLE; /* the head has passed it meanwhile */
        return;
    }
    repair->state = REPAIR_OFFERED;
    /* release: pairs with the acquire in repair_job(); the job is whole before it counts */
    __atomic_store_n(&repair->offered, repair->offered + 1, __ATOMIC_RELEASE);
}

static bool take_entry(struct repair *repair, const struct entry *entry)
{
    struct repair_job *job = &repair->job;
    if (repair->next > job->live.last || job->bytes + entry->size > sizeof(job->entries))
        return false;
    memcpy(job->entries + job->bytes, entry, entry->size);
    job->bytes += entry->size;
    repair->next++;
    return true;
}

static void begin(struct replica *r, const struct ring_stretch *live)
{
    struct repair *repair = &r->repair;
    repair->job.live = *live;
    repair->job.bytes = 0;
    repair->next = live->first;
    repair->moved_ns = r->now_ns;
    const struct entry *entry; /* found while running: memory may have it still */
    while (repair->next <= live->last && (entry = ring_entry(r->ring, repair->next)) != NULL)
        if (!take_entry(repair, entry))
            break;
    if (repair->next > live->last) {
        offer(r);
        return;
    }
    repair->state = REPAIR_GATHERS;
    ask_all(r);
}

/* --- what came back ----------------------------------------------------------------------------
 */

/* Configurations among what was lost: Raft follows them from the moment they are in the log. */
static uint32_t configs_of(struct replica *r, struct raft_config config[RAFT_CONFIGS_MAX + 1])
{
    const struct repair_job *job = &r->repair.job;
    const uint8_t *at = job->entries;
    uint32_t count = 0;
    for (uint32_t used = 0; used < job->bytes;) { /* bound: a page's entries */
        const struct entry *entry = (const struct entry *)(at + used);
        used += entry->size;
        if (entry->kind != ENTRY_CONFIG || entry->index <= r->machine->config_index ||
            ring_term(r->ring, entry->index) != entry->term) /* superseded meanwhile */
            continue;
        if (count == RAFT_CONFIGS_MAX + 1) { /* the last two say all (4.1) */
            memmove(&config[0], &config[1], RAFT_CONFIGS_MAX * sizeof(config[0]));
            count--;
        }
        members_to_raft(entry_body(entry), entry->index, &config[count++]);
        members_repaired(&r->members, entry_body(entry), entry->index);
    }
    return count;
}

/* Whoever is first with wrong entries would be it again: each member is heard alone, then all. */
static void ask_another(struct replica *r)
{
    uint32_t others = members_mask(&members_now(&r->members)->body) & ~(1u << r->id);
    do
        r->repair.only = (r->repair.only + 1) % (RAFT_ID_MAX + 1);
    while (r->repair.only != 0 && (others >> r->repair.only & 1) == 0);
}

/* Nothing came of it: the next one's turn. */
static void give_up(struct replica *r)
{
    ask_another(r);
    r->repair.state = REPAIR_IDLE;
    r->repair.from = r->repair.job.live.page + 1;
    r->repair.failures++;
    r->repair.not_before_ns = r->now_ns + REPAIR_RETRY_NS;
}

static void done(struct replica *r)
{
    struct repair *repair = &r->repair;
    const struct repair_job *job = &repair->job;
    bool good = job->result == 0;
    repair->state = REPAIR_IDLE;
    ring_hole_closed(r->ring, job->live.page,
                     good ? (const struct ring_page *)(const void *)job->page : NULL);
    if (!good) {
        give_up(r);
        return;
    }
    repair->only = 0;
    repair->pages++;
    if (job->live.last >= ring_last_index(r->ring))
        replica_note_stamps(r);
    struct raft_config config[RAFT_CONFIGS_MAX + 1];
    uint32_t count = configs_of(r, config);
    if (count > 0)
        step_hole(r, ring_hole_index(r->ring), config, count);
    repair_tell(r);
}

void repair_entries(struct replica *r, const struct raft_msg *msg, const uint8_t *entries)
{
    struct repair *repair = &r->repair;
    if (repair->state != REPAIR_GATHERS || msg->prev_index != repair->next ||
        msg->prev_term != repair->job.live.term || (repair->only != 0 && repair->only != msg->from))
        return;
    uint32_t taken = 0;
    for (; taken < msg->count; taken++) { /* bounded by the packet's size */
        const struct entry *entry = (const struct entry *)entries;
        entries += entry->size;
        if (!take_entry(repair, entry))
            break;
    }
    repair->moved_ns = r->now_ns;
    if (repair->next > repair->job.live.last)
        offer(r);
    else if (taken < msg->count)
        give_up(r); /* more bytes than a page holds: not what was lost */
    else
        ask(r, msg->from);
}

/* The one under way is not left for another while entries of it come in. */
static bool next_hole(struct replica *r, struct ring_stretch *live)
{
    struct repair *repair = &r->repair;
    bool gathers = repair->state == REPAIR_GATHERS;
    if (gathers && r->now_ns - repair->moved_ns >= REPAIR_PATIENCE_NS && ring_holes(r->ring) > 1)
        repair->from = repair->job.live.page + 1;
    return ring_hole_next(r->ring, repair->from, live);
}

uint32_t repair_turn(struct replica *r)
{
    struct repair *repair = &r->repair;
    repair_tell(r);
    if (repair->state == REPAIR_OFFERED) {
        /* acquire: pairs with the release in repair_job_done(); its result is whole */
        if (__atomic_load_n(&repair->obeyed, __ATOMIC_ACQUIRE) != repair->offered)
            return 0;
        done(r);
        return 1;
    }
    struct ring_stretch live;
    if (ring_holes(r->ring) == 0 || r->stopped || r->raft.failed ||
        r->now_ns < repair->not_before_ns || !next_hole(r, &live)) {
        repair->state = REPAIR_IDLE;
        return 0;
    }
    if (repair->state == REPAIR_GATHERS && memcmp(&live, &repair->job.live, sizeof(live)) == 0) {
        if (repair->only != 0 && r->now_ns - repair->moved_ns >= REPAIR_PATIENCE_NS)
            give_up(r);
        else if (r->now_ns >= repair->ask_at_ns)
            ask_all(r);
        return 0;
    }
    begin(r, &live); /* or again: another is lost, or a truncation took part of it */
    return 1;
}

struct repair_job *repair_job(struct replica *r)
{
    /* acquire: pairs with the release in offer() */
    return __atomic_load_n(&r->repair.offered, __ATOMIC_ACQUIRE) != r->repair.obeyed
               ? &r->repair.job
               : NULL;
}

void repair_job_done(struct replica *r)
{
    /* release: pairs with the acquire in repair_turn() */
    __atomic_store_n(&r->repair.obeyed, r->repair.obeyed + 1, __ATOMIC_RELEASE);
}

/* --- for others --------------------------------------------------------------------------------
 */

/* As many entries from `index` on, of one term, as a packet holds, which follow each other at `at`.
 */
static void send_entries(struct replica *r, uint8_t to, uint64_t index, uint64_t term,
                         const struct entry *(*next)(void *context, uint64_t index), void *context)
{
    struct port_frame frame;
    /* What carries a term waits until that is durable: who asked asks again. */
    if (r->gate.durable_lsn < r->raft.hard_lsn || !send_begin(r, &frame))
        return;
    struct raft_msg msg = {.kind = RAFT_FETCH_REPLY,
                           .from = (uint8_t)r->id,
                           .to = to,
                           .status = 1,
                           .term = r->raft.term,
                           .prev_index = index,
                           .prev_term = term};
    uint8_t *entries = (uint8_t *)send_body(&frame) + sizeof(struct packet_fetch);
    uint32_t bytes = 0;
    const struct entry *entry;
    while ((entry = next(context, index + msg.count)) != NULL && entry->term == term &&
           bytes + entry->size <= KEEL_ENTRY_MAX) { /* bounded by the packet's size */
        memcpy(entries + bytes, entry, entry->size);
        bytes += entry->size;
        msg.count++;
    }
    if (msg.count == 0) {
        port_free(r->port, &frame, 1);
        return;
    }
    uint8_t kind;
    size_t head = packet_peer_encode(&msg, bytes, send_body(&frame), &kind);
    send_sealed(r, &frame, to, kind, head + bytes);
    r->repair.served++;
}

static const struct entry *in_window(void *context, uint64_t index)
{
    return ring_entry(context, index);
}

struct page_entries {
    const struct ring_page *page;
    uint64_t last;
};

static const struct entry *in_page(void *context, uint64_t index)
{
    const struct page_entries *in = context;
    const uint8_t *at = (const uint8_t *)in->page + RING_HEAD_SIZE;
    for (uint32_t i = 0; i < ring_page_present(in->page) && index <= in->last; i++) {
        const struct entry *entry = (const struct entry *)at;
        if (entry->index == index)
            return entry;
        at += entry->size;
    }
    return NULL;
}

void repair_serve(struct replica *r, const struct raft_msg *msg)
{
    uint64_t index = msg->prev_index;
    if (index < ring_first_index(r->ring) && r->raft.role == RAFT_LEADER &&
        r->raft.config.incarnation[msg->from] != 0)
        r->lapped |= 1u << msg->from; /* H7: nobody's log may have it; a checkpoint repairs, too */
    if (ring_term(r->ring, index) != msg->prev_term)
        return;
    if (ring_entry(r->ring, index) != NULL) {
        send_entries(r, msg->from, index, msg->prev_term, in_window, r->ring);
        return;
    }
    if (r->repair.serving[msg->from].index != 0 ||
        !ring_read_request(r->ring, RING_READER_SEQ, index, REPAIR_TAG + msg->from))
        return;
    r->repair.serving[msg->from].index = index;
    r->repair.serving[msg->from].term = msg->prev_term;
}

void repair_read(struct replica *r, const struct ring_read *read)
{
    uint8_t to = (uint8_t)(read->tag - REPAIR_TAG);
    ENSURE(to <= RAFT_ID_MAX);
    uint64_t term = r->repair.serving[to].term;
    r->repair.serving[to].index = 0;
    if (read->result != 0)
        return; /* lost here, too, or superseded meanwhile */
    struct page_entries in = {.page = read->page, .last = read->last};
    send_entries(r, to, read->index, term, in_page, &in);
}

/* --- what stands behind a hole -----------------------------------------------------------------
 */

bool repair_chain(struct replica *r, const struct raft_msg *msg, const uint8_t *entries)
{
    uint64_t index = msg->prev_index, end = index + msg->count;
    if (ring_holes(r->ring) == 0 || msg->term < r->raft.term || index > ring_last_index(r->ring))
        return true;
    uint64_t mine = ring_chain(r->ring, index), chain = mine != 0 ? mine : msg->prev_chain;
    uint64_t term = ring_term(r->ring, index);
    if ((term != 0 && term != msg->prev_term) ||
        (mine != 0 && msg->prev_chain != 0 && mine != msg->prev_chain))
        return true; /* refused as a conflict, or as damage */
    ring_note_chain(r->ring, index, chain);
    for (; index < end; index++) { /* as far as the logs are equal */
        const struct entry *entry = (const struct entry *)entries;
        if (ring_term(r->ring, index + 1) != entry->term)
            break;
        chain = chain != 0 ? ring_chain_next(chain, entry) : 0;
        ring_note_chain(r->ring, index + 1, chain);
        entries += entry->size;
    }
    /* What it adds must follow from something; what is committed nothing is added to. */
    return index == end || index < r->raft.commit || ring_chain(r->ring, index) != 0;
}

void repair_blocks(struct replica *r, uint64_t index)
{
    if (index >= ring_window_first(r->ring) || ring_in_hole(r->ring, index))
        return; /* it comes */
    replica_stop(r, "the log is whole again, from further back than memory holds: this replica "
                    "starts again, and reads it from the drive");
    r->start_again = true;
}
