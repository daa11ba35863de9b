/* What frames and drive blocks say, in a handful of numbers; and how those are called. */
#include "tests/sim/timeline_internal.h"

#include "consensus/wire/feed.h"
#include "dataplane/auth/auth.h"
#include "dataplane/ring/format.h"

enum { PORT_REQUEST = 7401, PORT_LINE = 7500 };
enum { BLOCK_PAGE, BLOCK_SUPER, BLOCK_GENESIS, BLOCK_CHECKPOINT, BLOCK_TRANSFER, BLOCK_OTHER };

/* Groups are what the page's legend and its check boxes tell apart. A value's name may say how it
 * is to be shown: "name:list" takes the word from the page's list of that name. */
static const struct {
    uint8_t kind;
    bool bulk;
    const char *text;
} kinds[] = {
    {PACKET_HELLO, false, "{\"n\":\"HELLO\",\"g\":\"handshake\",\"f\":[]}"},
    {PACKET_COOKIE, false, "{\"n\":\"COOKIE\",\"g\":\"handshake\",\"f\":[]}"},
    {PACKET_SALT, false, "{\"n\":\"SALT\",\"g\":\"handshake\",\"f\":[]}"},
    {PACKET_SALT_REPLY, false, "{\"n\":\"SALT_REPLY\",\"g\":\"handshake\",\"f\":[]}"},
    {AUTH_KIND_PING, false, "{\"n\":\"PING\",\"g\":\"handshake\",\"f\":[]}"},
    {AUTH_KIND_PONG, false, "{\"n\":\"PONG\",\"g\":\"handshake\",\"f\":[]}"},
    {PACKET_PREVOTE, false,
     "{\"n\":\"PREVOTE\",\"g\":\"prevote\",\"f\":[\"term\",\"last index\",\"last term\"]}"},
    {PACKET_PREVOTE_REPLY, false,
     "{\"n\":\"PREVOTE_REPLY\",\"g\":\"prevote\",\"f\":[\"term\",\"granted:yes\"]}"},
    {PACKET_VOTE, false,
     "{\"n\":\"VOTE\",\"g\":\"vote\",\"f\":[\"term\",\"last index\",\"last term\",\"told:yes\"]}"},
    {PACKET_VOTE_REPLY, false,
     "{\"n\":\"VOTE_REPLY\",\"g\":\"vote\",\"f\":[\"term\",\"granted:yes\"]}"},
    {PACKET_APPEND, true,
     "{\"n\":\"APPEND\",\"g\":\"append\",\"f\":[\"term\",\"entries\",\"prev index\",\"prev term\","
     "\"commit\",\"probe\"]}"},
    {PACKET_APPEND_REPLY, true,
     "{\"n\":\"APPEND_REPLY\",\"g\":\"append\",\"f\":[\"term\",\"status:append\",\"prev index\","
     "\"match\",\"hint index\",\"probe\"]}"},
    {PACKET_CHAIN_ASK, false,
     "{\"n\":\"CHAIN_ASK\",\"g\":\"chain\",\"f\":[\"term\",\"index\",\"index term\"]}"},
    {PACKET_CHAIN_TELL, false,
     "{\"n\":\"CHAIN_TELL\",\"g\":\"chain\",\"f\":[\"term\",\"index\",\"index term\"]}"},
    {PACKET_TIMEOUT_NOW, false,
     "{\"n\":\"TIMEOUT_NOW\",\"g\":\"vote\",\"f\":[\"term\",\"last index\",\"last term\"]}"},
    {PACKET_FETCH, false,
     "{\"n\":\"FETCH\",\"g\":\"chain\",\"f\":[\"term\",\"index\",\"index term\"]}"},
    {PACKET_FETCH_REPLY, false,
     "{\"n\":\"FETCH_REPLY\",\"g\":\"chain\",\"f\":[\"term\",\"index\",\"index term\","
     "\"entries\",\"holds:yes\"]}"},
    {PACKET_DIGESTS_TELL, true,
     "{\"n\":\"DIGESTS_TELL\",\"g\":\"cluster\",\"f\":[\"newest index\"]}"},
    {PACKET_CHECKPOINT_CHUNK, true,
     "{\"n\":\"CHECKPOINT_CHUNK\",\"g\":\"checkpoint\",\"f\":[\"index\",\"index term\",\"offset\","
     "\"bytes\",\"of bytes\"]}"},
    {PACKET_CHECKPOINT_REPLY, true,
     "{\"n\":\"CHECKPOINT_REPLY\",\"g\":\"checkpoint\",\"f\":[\"index\",\"index term\","
     "\"status:checkpoint\",\"reason:reason\",\"wanted offset\"]}"},
    {PACKET_MEMBERS_TELL, true,
     "{\"n\":\"MEMBERS_TELL\",\"g\":\"cluster\",\"f\":[\"index\",\"voters:members\","
     "\"new voters:members\",\"learners:members\"]}"},
    {PACKET_SUBMIT, true,
     "{\"n\":\"SUBMIT\",\"g\":\"client\",\"f\":[\"session\",\"epoch\",\"number\",\"messages\","
     "\"results seen to\"]}"},
    {PACKET_OPEN, false, "{\"n\":\"OPEN\",\"g\":\"client\",\"f\":[\"ttl ms\",\"window\"]}"},
    {PACKET_RESUME, false,
     "{\"n\":\"RESUME\",\"g\":\"client\",\"f\":[\"ttl ms\",\"window\",\"replaces epoch\"]}"},
    {PACKET_END, false, "{\"n\":\"END\",\"g\":\"client\",\"f\":[\"session\",\"epoch\"]}"},
    {PACKET_KEEPALIVE, true,
     "{\"n\":\"KEEPALIVE\",\"g\":\"client\",\"f\":[\"session\",\"epoch\"]}"},
    {PACKET_NODE, true,
     "{\"n\":\"NODE\",\"g\":\"client\",\"f\":[\"session\",\"epoch\",\"number\",\"messages\","
     "\"results seen to\"]}"},
    {PACKET_QUERY, true, "{\"n\":\"QUERY\",\"g\":\"client\",\"f\":[\"node\"]}"},
    {PACKET_LEASE, true,
     "{\"n\":\"LEASE\",\"g\":\"client\",\"f\":[\"session\",\"epoch\",\"term\",\"status:status\","
     "\"events\"]}"},
    {PACKET_ANSWER, true,
     "{\"n\":\"ANSWER\",\"g\":\"client\",\"f\":[\"index\",\"status:status\"]}"},
    {PACKET_RESULT, true,
     "{\"n\":\"RESULT\",\"g\":\"client\",\"f\":[\"session\",\"session's last\",\"runs\","
     "\"first number\",\"messages in first run\",\"status:status\"]}"},
    {PACKET_SESSION, false,
     "{\"n\":\"SESSION\",\"g\":\"client\",\"f\":[\"session\",\"epoch\",\"session's last\","
     "\"status:status\",\"answers:kind\"]}"},
    {PACKET_REDIRECT, true,
     "{\"n\":\"REDIRECT\",\"g\":\"client\",\"f\":[\"leader\",\"reason:redirect\","
     "\"answers:kind\",\"term\"]}"},
    {TIMELINE_FEED, true, "{\"n\":\"feed\",\"g\":\"feed\",\"f\":[\"sequence\",\"count:mold\"]}"},
    {TIMELINE_FEED_REQUEST, true,
     "{\"n\":\"feed request\",\"g\":\"feed\",\"f\":[\"sequence\",\"count\"]}"},
    {TIMELINE_FEED_ANSWER, true,
     "{\"n\":\"feed answer\",\"g\":\"feed\",\"f\":[\"sequence\",\"count:mold\"]}"},
    {TIMELINE_ARP, true, "{\"n\":\"ARP\",\"g\":\"handshake\",\"f\":[\"operation:arp\"]}"},
    {TIMELINE_OTHER, true, "{\"n\":\"other frame\",\"g\":\"handshake\",\"f\":[]}"},
    {TIMELINE_START, false, "{\"n\":\"start\",\"g\":\"\",\"f\":[\"start\",\"term\",\"vote\"]}"},
    {TIMELINE_DOWN, false, "{\"n\":\"down\",\"g\":\"\",\"f\":[\"start\"]}"},
    {TIMELINE_ROLE, false, "{\"n\":\"role\",\"g\":\"\",\"f\":[\"role:role\",\"term\",\"leader\"]}"},
    {TIMELINE_VOTED, false, "{\"n\":\"votes\",\"g\":\"\",\"f\":[\"term\",\"for replica\"]}"},
    {TIMELINE_COMMIT, true,
     "{\"n\":\"commit\",\"g\":\"commit\",\"f\":[\"commit index\",\"as leader:yes\"]}"},
    {TIMELINE_CONFIG, false,
     "{\"n\":\"members\",\"g\":\"\",\"f\":[\"index\",\"voters:members2\",\"learners:members\"]}"},
    {TIMELINE_INSTALL, false,
     "{\"n\":\"checkpoint installed\",\"g\":\"\",\"f\":[\"commit index\"]}"},
    {TIMELINE_HANDOVER, false,
     "{\"n\":\"handover\",\"g\":\"\",\"f\":[\"state:handover\",\"to\",\"reason\"]}"},
    {TIMELINE_PAUSE, false, "{\"n\":\"paused\",\"g\":\"\",\"f\":[]}"},
    {TIMELINE_NOTE, false, "{\"n\":\"note\",\"g\":\"\",\"f\":[\"says:text\"]}"},
    {TIMELINE_WRITE, true,
     "{\"n\":\"write\",\"g\":\"drive\",\"f\":[\"what:block\",\"number\",\"term\",\"vote\","
     "\"first index\",\"entries\"]}"},
    {TIMELINE_ZERO, true, "{\"n\":\"zero\",\"g\":\"drive\",\"f\":[\"block\"]}"},
    {TIMELINE_READ, true, "{\"n\":\"read\",\"g\":\"drive\",\"f\":[\"block\"]}"},
    {TIMELINE_FLUSH, true, "{\"n\":\"flush\",\"g\":\"drive\",\"f\":[\"block\"]}"},
    {TIMELINE_TORN, false,
     "{\"n\":\"torn\",\"g\":\"\",\"f\":[\"sectors written\",\"of sectors\",\"block\"]}"},
    {TIMELINE_LIFE, false, "{\"n\":\"begins a life\",\"g\":\"\",\"f\":[\"life\"]}"},
    {TIMELINE_SLEEP, false, "{\"n\":\"asleep\",\"g\":\"\",\"f\":[]}"},
    {TIMELINE_SESSION, false,
     "{\"n\":\"session\",\"g\":\"\",\"f\":[\"session\",\"epoch\",\"resumed:yes\"]}"},
    {TIMELINE_SESSION_END, false,
     "{\"n\":\"session ended\",\"g\":\"\",\"f\":[\"session\",\"last number\"]}"},
    {TIMELINE_MESSAGE, true,
     "{\"n\":\"message\",\"g\":\"message\",\"f\":[\"number\",\"session\"]}"},
    {TIMELINE_RESULT, true,
     "{\"n\":\"result\",\"g\":\"message\",\"f\":[\"number\",\"status:status\",\"feed number\"]}"},
    {TIMELINE_FAULT, false, "{\"n\":\"fault\",\"g\":\"\",\"f\":[\"fault:fault\"]}"},
    {TIMELINE_CUT, false, "{\"n\":\"cut\",\"g\":\"\",\"f\":[]}"},
    {TIMELINE_PHASE, false, "{\"n\":\"phase\",\"g\":\"\",\"f\":[\"phase:phase\"]}"},
    {TIMELINE_HOLDS, false,
     "{\"n\":\"believes in a lock\",\"g\":\"\",\"f\":[\"path:path\",\"mode:lock\","
     "\"generation\"]}"},
    {TIMELINE_VIOLATION, false, "{\"n\":\"VIOLATION\",\"g\":\"\",\"f\":[\"says:text\"]}"},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int place_of(uint8_t kind)
{
    static int8_t place[256]; /* 0: not looked up yet; else place + 1; -1: none */
    if (place[kind] == 0) {
        place[kind] = -1;
        for (int i = 0; i < KINDS; i++)
            if (kinds[i].kind == kind)
                place[kind] = (int8_t)(i + 1);
    }
    return place[kind] - 1;
}
_Static_assert(KINDS < 127, "places fit");

const char *timeline_kind_text(uint8_t kind)
{
    int place = place_of(kind);
    return place < 0 ? NULL : kinds[place].text;
}

bool timeline_is_bulk(uint8_t kind)
{
    int place = place_of(kind);
    return place < 0 || kinds[place].bulk;
}

/* --- frames: what stands at known places; a body that is too short says nothing --------------- */

static void put(struct timeline_record *r, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                uint64_t e, uint64_t f)
{
    const uint64_t values[TIMELINE_VALUES] = {a, b, c, d, e, f};
    memcpy(r->value, values, sizeof(values));
}

static bool holds(uint8_t kind, uint32_t size)
{
    static const uint8_t need[] = {
        [PACKET_PREVOTE] = sizeof(struct packet_vote),
        [PACKET_PREVOTE_REPLY] = sizeof(struct packet_vote),
        [PACKET_VOTE] = sizeof(struct packet_vote),
        [PACKET_VOTE_REPLY] = sizeof(struct packet_vote),
        [PACKET_APPEND] = sizeof(struct packet_append),
        [PACKET_APPEND_REPLY] = sizeof(struct packet_append_reply),
        [PACKET_CHAIN_ASK] = sizeof(struct packet_chain),
        [PACKET_CHAIN_TELL] = sizeof(struct packet_chain),
        [PACKET_TIMEOUT_NOW] = sizeof(struct packet_vote),
        [PACKET_FETCH] = sizeof(struct packet_fetch),
        [PACKET_FETCH_REPLY] = sizeof(struct packet_fetch),
        [PACKET_DIGESTS_TELL] = sizeof(struct packet_digests),
        [PACKET_CHECKPOINT_CHUNK] = sizeof(struct packet_checkpoint_chunk),
        [PACKET_CHECKPOINT_REPLY] = sizeof(struct packet_checkpoint_reply),
        [PACKET_MEMBERS_TELL] = sizeof(struct packet_members),
        [PACKET_SUBMIT] = sizeof(struct entry_messages),
        [PACKET_OPEN] = sizeof(struct packet_session_request),
        [PACKET_RESUME] = sizeof(struct packet_session_request),
        [PACKET_END] = sizeof(struct packet_session_end),
        [PACKET_KEEPALIVE] = sizeof(struct packet_keepalive),
        [PACKET_NODE] = sizeof(struct entry_messages),
        [PACKET_QUERY] = sizeof(struct packet_query),
        [PACKET_LEASE] = sizeof(struct packet_lease),
        [PACKET_ANSWER] = sizeof(struct packet_answer),
        [PACKET_RESULT] = sizeof(struct packet_result),
        [PACKET_SESSION] = sizeof(struct packet_session),
        [PACKET_REDIRECT] = sizeof(struct packet_redirect)};
    return kind < sizeof(need) && need[kind] != 0 && size >= need[kind];
}

static void read_append(const void *body, struct timeline_record *r)
{
    if (r->kind == PACKET_APPEND) {
        const struct packet_append *a = body;
        put(r, a->term, a->count, a->prev_index, a->prev_term, a->commit, a->probe);
        return;
    }
    const struct packet_append_reply *a = body;
    put(r, a->term, a->status, a->prev_index, a->match, a->hint_index, a->probe);
}

static void read_peer(const void *body, struct timeline_record *r)
{
    const struct packet_vote *vote = body;
    const struct packet_chain *chain = body;
    const struct packet_fetch *fetch = body;
    if (r->kind == PACKET_PREVOTE_REPLY || r->kind == PACKET_VOTE_REPLY)
        put(r, vote->term, vote->granted, 0, 0, 0, 0);
    else if (r->kind <= PACKET_VOTE || r->kind == PACKET_TIMEOUT_NOW)
        put(r, vote->term, vote->last_index, vote->last_term, vote->told, 0, 0);
    else if (r->kind == PACKET_APPEND || r->kind == PACKET_APPEND_REPLY)
        read_append(body, r);
    else if (r->kind == PACKET_FETCH || r->kind == PACKET_FETCH_REPLY)
        put(r, fetch->term, fetch->index, fetch->index_term, fetch->count, fetch->holds, 0);
    else
        put(r, chain->term, chain->index, chain->index_term, 0, 0, 0);
}

static void read_cluster(const void *body, struct timeline_record *r)
{
    if (r->kind == PACKET_DIGESTS_TELL) {
        const struct packet_digests *d = body;
        for (uint32_t i = 0; i < PACKET_DIGESTS; i++)
            if (d->mark[i].index > r->value[0])
                r->value[0] = d->mark[i].index;
    } else if (r->kind == PACKET_CHECKPOINT_CHUNK) {
        const struct packet_checkpoint_chunk *c = body;
        put(r, c->id.index, c->id.term, c->offset, c->bytes, c->id.size, 0);
    } else if (r->kind == PACKET_CHECKPOINT_REPLY) {
        const struct packet_checkpoint_reply *c = body;
        put(r, c->id.index, c->id.term, c->status, c->reason, c->wanted, 0);
    } else {
        const struct packet_members *m = body;
        put(r, m->index, m->config.voters, m->config.voters_new, m->config.learners, 0, 0);
    }
}

static void read_client(const void *body, uint32_t size, struct timeline_record *r)
{
    const struct entry_messages *submit = body;
    const struct packet_session_request *open = body;
    const struct packet_session_end *end = body;
    if (r->kind == PACKET_SUBMIT || r->kind == PACKET_NODE)
        put(r, submit->session, submit->epoch, submit->number, submit->count, submit->acked, 0);
    else if (r->kind == PACKET_OPEN || r->kind == PACKET_RESUME)
        put(r, open->open.ttl_ms, open->open.window, open->open.replaces, 0, 0, 0);
    else if (r->kind == PACKET_END || r->kind == PACKET_KEEPALIVE)
        put(r, end->session, end->epoch, 0, 0, 0, 0);
    else if (r->kind == PACKET_RESULT) {
        const struct packet_result *result = body;
        const struct packet_result_run *run = (const void *)(result + 1);
        bool one = result->run_count > 0 && size >= sizeof(*result) + sizeof(*run);
        put(r, result->session, result->last, result->run_count, one ? run->number : 0,
            one ? run->count : 0, one ? run->status : 0);
    } else if (r->kind == PACKET_QUERY) {
        put(r, ((const struct packet_query *)body)->node, 0, 0, 0, 0, 0);
    } else if (r->kind == PACKET_LEASE) {
        const struct packet_lease *l = body;
        put(r, l->session, l->epoch, l->term, l->status, l->event_count, 0);
    } else if (r->kind == PACKET_ANSWER) {
        const struct packet_answer *a = body;
        put(r, a->index, a->status, 0, 0, 0, 0);
    } else if (r->kind == PACKET_SESSION) {
        const struct packet_session *s = body;
        put(r, s->session, s->epoch, s->last, s->status, s->answers, 0);
    } else {
        const struct packet_redirect *redirect = body;
        put(r, redirect->leader, redirect->reason, redirect->answers, redirect->term, 0, 0);
    }
}

static void read_udp(const uint8_t *bytes, uint32_t size, struct timeline_record *r)
{
    const uint8_t *udp = bytes + FRAME_ETHERNET_SIZE + FRAME_IPV4_SIZE;
    uint32_t from = (uint32_t)udp[0] << 8 | udp[1], to = (uint32_t)udp[2] << 8 | udp[3];
    const void *payload = bytes + FRAME_HEADS_SIZE;
    size -= FRAME_HEADS_SIZE;
    if (from == PORT_REQUEST || to == PORT_REQUEST) {
        if (size < MOLD_HEADER_SIZE)
            return;
        r->kind = to == PORT_REQUEST ? TIMELINE_FEED_REQUEST
                  : to == PORT_LINE  ? TIMELINE_FEED
                                     : TIMELINE_FEED_ANSWER;
        put(r, mold_sequence(payload), mold_count(payload), 0, 0, 0, 0);
        return;
    }
    const struct packet *head = payload;
    if (size < sizeof(*head) || head->magic != PACKET_MAGIC || head->version != PACKET_VERSION ||
        timeline_kind_text(head->kind) == NULL || head->kind >= TIMELINE_FEED)
        return;
    r->kind = head->kind;
    if (!holds(head->kind, size - (uint32_t)sizeof(*head)))
        return;
    if (head->kind <= PACKET_TIMEOUT_NOW)
        read_peer(head + 1, r);
    else if (head->kind < PACKET_SUBMIT)
        read_cluster(head + 1, r);
    else
        read_client(head + 1, size - (uint32_t)sizeof(*head), r);
}

void timeline_read_frame(const uint8_t *bytes, uint32_t size, struct timeline_record *record)
{
    record->kind = TIMELINE_OTHER;
    if (size >= FRAME_ARP_SIZE && bytes[12] == 8 && bytes[13] == 6) {
        record->kind = TIMELINE_ARP;
        record->value[0] = bytes[21];
    } else if (size >= FRAME_HEADS_SIZE && bytes[12] == 8 && bytes[13] == 0 && bytes[23] == 17)
        read_udp(bytes, size, record);
}

void timeline_read_block(const void *buffer, struct timeline_record *record)
{
    const struct ring_page *page = buffer;
    const struct ring_checkpoint *checkpoint = buffer;
    uint64_t block = record->value[0];
    if (page->magic == RING_PAGE_MAGIC)
        put(record, BLOCK_PAGE, page->page, page->term, page->vote, page->self.first_index,
            page->self.count);
    else if (page->magic == RING_CHECKPOINT_MAGIC)
        put(record, BLOCK_CHECKPOINT, checkpoint->index, checkpoint->term, 0, 0, 0);
    else if (page->magic == RING_TRANSFER_MAGIC)
        put(record, BLOCK_TRANSFER, ((const struct ring_transfer *)buffer)->index, 0, 0, 0, 0);
    else if (page->magic == RING_SUPER_MAGIC)
        put(record, BLOCK_SUPER, block, 0, 0, 0, 0);
    else
        put(record, block < RING_RESERVED_BLOCKS ? BLOCK_GENESIS : BLOCK_OTHER, block, 0, 0, 0, 0);
}
