/* Questions about nodes, locks and sequencers: nothing of them is logged, so they take no number;
 * one at a time, asked again until it is answered.
 */
#include "client/engine.h"

#include <string.h>

#define QUERY_RETRY (20 * ENGINE_MS)

static void send_query(struct engine *e)
{
    struct packet_query query;
    memcpy(&query, e->query, sizeof(query));
    query.request =
        e->query_request; /* one for all copies: any answer was true after the question */
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE, &query, sizeof(query));
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE + sizeof(query), e->query + sizeof(query),
           e->query_size - sizeof(query));
    engine_send(e, e->target, PACKET_QUERY, e->query_size);
    e->query_next_ns = e->now_ns + QUERY_RETRY;
}

int engine_ask(struct engine *e, const struct packet_query *query, const char *path)
{
    if (e->phase == ENGINE_FAILED)
        return e->error;
    if (e->phase != ENGINE_READY)
        return KEEL_AGAIN;
    memcpy(e->query, query, sizeof(*query));
    memcpy(e->query + sizeof(*query), path, query->path_size);
    e->query_size = (uint32_t)(sizeof(*query) + query->path_size);
    e->answer_size = 0;
    e->query_request = ++e->question; /* takes no place from a copy whose sending must be known */
    send_query(e);
    return KEEL_OK;
}

const uint8_t *engine_answer(const struct engine *e, size_t *size)
{
    *size = e->answer_size;
    return e->answer_size == 0 ? NULL : e->answer;
}

void engine_query_tick(struct engine *e)
{
    if (e->query_request == 0 || e->phase != ENGINE_READY || e->now_ns < e->query_next_ns)
        return;
    if (e->oldest == e->unsent)
        engine_next_member(e);
    send_query(e);
}

uint64_t engine_query_due(const struct engine *e)
{
    return e->query_request == 0 || e->phase != ENGINE_READY ? UINT64_MAX : e->query_next_ns;
}

void engine_query_answer(struct engine *e, const uint8_t *body, size_t size)
{
    struct packet_answer head;
    if (size < sizeof(head)) {
        e->stats.rejected++;
        return;
    }
    memcpy(&head, body, sizeof(head));
    if (head.size != size - sizeof(head)) {
        e->stats.rejected++;
        return;
    }
    if (head.request != e->query_request || e->query_request == 0)
        return;
    memcpy(e->answer, body, size);
    e->answer_size = (uint32_t)size;
    e->query_request = 0;
}
