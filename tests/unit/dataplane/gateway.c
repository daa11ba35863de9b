#include "tests/unit/dataplane/gateway.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ASSOCIATIONS = 64, OTHER = BENCH_CLIENT + 1 };

static uint32_t principal_of(uint32_t which)
{
    return which == 0 ? BENCH_CLIENT : OTHER;
}

static void install(struct gateway *g, uint32_t id, uint32_t which)
{
    uint32_t principal = principal_of(which);
    struct bench_node *n = &g->bench->node[id];
    struct auth_install here = {.peer = id,
                                .rights = AUTH_RIGHT_ANSWER,
                                .handle = 1 + id,
                                .peer_handle = 5000 + principal,
                                .initiator = true,
                                .cluster = g->bench->genesis.cluster_id};
    clock_secret(&n->clock, here.salts, sizeof(here.salts));
    memset(here.key_in, (int)(0x10 + id), sizeof(here.key_in));
    memset(here.key_out, (int)(0x20 + id), sizeof(here.key_out));
    struct auth_install there = {.peer = principal,
                                 .rights = AUTH_RIGHT_SUBMIT,
                                 .handle = 5000 + principal,
                                 .peer_handle = 1 + id,
                                 .initiator = true, /* sends at once, without our first packet */
                                 .cluster = g->bench->genesis.cluster_id,
                                 .ip = GATEWAY_IP,
                                 .port = GATEWAY_UDP};
    memcpy(there.salts, here.salts, sizeof(there.salts));
    memcpy(there.key_in, here.key_out, sizeof(there.key_in));
    memcpy(there.key_out, here.key_in, sizeof(there.key_out));
    CU_ASSERT_TRUE_FATAL(auth_install(g->auth[which], &here));
    CU_ASSERT_TRUE_FATAL(auth_install(n->start.replica->auth, &there));
}

void gateway_meet(struct gateway *g, uint32_t id)
{
    struct replica *r = g->bench->node[id].start.replica;
    CU_ASSERT_TRUE(frame_neighbour_fix(r->host, GATEWAY_IP, g->bench->outside.mac));
    for (uint32_t which = 0; which < 2; which++) {
        auth_forget(g->auth[which], id);
        install(g, id, which);
    }
}

void gateway_find_leader(struct gateway *g)
{
    g->leader_id = bench_settle(g->bench);
    CU_ASSERT_NOT_EQUAL_FATAL(g->leader_id, 0);
    g->leader = g->bench->node[g->leader_id].start.replica;
}

struct gateway *gateway_new(uint32_t nodes)
{
    struct gateway *g = calloc(1, sizeof(*g));
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    g->bench = bench_new(nodes);
    g->principal = BENCH_CLIENT;
    g->window = 16;
    for (uint32_t which = 0; which < 2; which++) {
        g->auth_memory[which] = aligned_alloc(64, auth_table_size(ASSOCIATIONS));
        g->auth[which] = auth_table_init(g->auth_memory[which], ASSOCIATIONS, principal_of(which),
                                         g->bench->genesis.cluster_id);
        CU_ASSERT_PTR_NOT_NULL_FATAL(g->auth[which]);
    }
    for (uint32_t id = 1; id <= nodes; id++) {
        CU_ASSERT_EQUAL_FATAL(bench_start(g->bench, id), STARTUP_OK);
        gateway_meet(g, id);
    }
    gateway_find_leader(g);
    return g;
}

void gateway_free(struct gateway *g)
{
    for (uint32_t id = 1; id <= g->bench->count; id++)
        if (g->bench->node[id].up)
            send_flush(g->bench->node[id].start.replica); /* an answer that was still waiting */
    bench_free(g->bench);
    free(g->auth_memory[0]);
    free(g->auth_memory[1]);
    free(g);
}

void gateway_as(struct gateway *g, uint32_t which)
{
    g->principal = principal_of(which);
}

static void collect(struct gateway *g)
{
    struct port *port = &g->bench->outside;
    for (; port->head != port->tail; port->head++) {
        uint32_t at = port->head % BENCH_FRAMES;
        const uint8_t *payload = port->inbox[at].bytes + FRAME_HEADS_SIZE;
        const uint8_t *udp = port->inbox[at].bytes + FRAME_HEADS_SIZE - FRAME_UDP_SIZE;
        size_t size = ((size_t)udp[4] << 8 | udp[5]) - FRAME_UDP_SIZE;
        struct packet head;
        memcpy(&head, payload, sizeof(head));
        const struct auth_peer *peer;
        const void *body;
        size_t body_size;
        CU_ASSERT_EQUAL_FATAL(auth_open(g->auth[head.to != BENCH_CLIENT], payload, size,
                                        g->bench->now_ns, &peer, &body, &body_size),
                              AUTH_OK);
        if (head.to != g->principal)
            continue;
        CU_ASSERT_FATAL(g->count < GATEWAY_ANSWERS_MAX);
        struct gateway_answer *answer = &g->answer[g->count++];
        answer->kind = head.kind;
        answer->size = (uint32_t)body_size;
        memcpy(answer->u.bytes, body, body_size);
    }
}

void gateway_run(struct gateway *g, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        bench_run(g->bench, 1);
        collect(g);
    }
}

void gateway_forget(struct gateway *g)
{
    g->count = 0;
}

void gateway_say(struct gateway *g, uint8_t kind, const void *body, size_t size)
{
    intake_packet(g->leader, g->principal, kind, body, size);
}

void gateway_submit(struct gateway *g, uint64_t first, uint16_t count, uint64_t acked, uint8_t salt)
{
    _Alignas(8) uint8_t body[KEEL_BODY_MAX];
    struct entry_messages head = {.session = g->session,
                                  .epoch = g->epoch,
                                  .number = first,
                                  .acked = acked,
                                  .count = count,
                                  .bytes = (uint16_t)(count * (2 + 9))};
    uint8_t *at = body + sizeof(head);
    memcpy(body, &head, sizeof(head));
    for (uint64_t number = first; number < first + count; number++, at += 2 + 9) {
        memcpy(at, (uint8_t[]){9, 0}, 2);
        memcpy(at + 2, &number, sizeof(number));
        at[2 + 8] = salt;
    }
    gateway_say(g, PACKET_SUBMIT, body, sizeof(head) + head.bytes);
}

uint64_t gateway_ask(struct gateway *g, uint8_t kind, const char *name, uint64_t process,
                     uint64_t replaces)
{
    struct packet_session_request request = {
        .open = {.process = process, .replaces = replaces, .ttl_ms = 5000, .window = g->window},
        .request = ++g->request};
    memcpy(request.open.name, name, strlen(name));
    gateway_say(g, kind, &request, sizeof(request));
    return request.request;
}

void gateway_open(struct gateway *g, const char *name, uint64_t process)
{
    uint64_t request = gateway_ask(g, PACKET_OPEN, name, process, 0);
    gateway_run(g, 20);
    const struct packet_session *answer = gateway_session(g, request);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL_FATAL(answer->status, MACHINE_SEQUENCED);
    g->session = answer->session;
    g->epoch = answer->epoch;
    gateway_forget(g);
}

const struct packet_result_run *gateway_result(const struct gateway *g, uint64_t number)
{
    for (uint32_t i = g->count; i > 0; i--) {
        const struct gateway_answer *a = &g->answer[i - 1];
        const struct packet_result_run *run = (const void *)(a->u.bytes + sizeof(a->u.result));
        for (uint32_t k = 0; a->kind == PACKET_RESULT && k < a->u.result.run_count; k++)
            if (number >= run[k].number && number < run[k].number + run[k].count)
                return &run[k];
    }
    return NULL;
}

const struct packet_session *gateway_session(const struct gateway *g, uint64_t request)
{
    for (uint32_t i = g->count; i > 0; i--)
        if (g->answer[i - 1].kind == PACKET_SESSION &&
            g->answer[i - 1].u.session.request == request)
            return &g->answer[i - 1].u.session;
    return NULL;
}

const struct packet_lease *gateway_lease(const struct gateway *g, uint64_t request)
{
    for (uint32_t i = g->count; i > 0; i--)
        if (g->answer[i - 1].kind == PACKET_LEASE && g->answer[i - 1].u.lease.request == request)
            return &g->answer[i - 1].u.lease;
    return NULL;
}

struct packet_result_run gateway_kept(const struct packet_session *answer, uint64_t number)
{
    const struct packet_kept_run *kept = (const void *)(answer + 1);
    uint64_t at = answer->first;
    for (uint32_t i = 0; i < answer->run_count; at += kept[i++].count) {
        if (number < at || number >= at + kept[i].count)
            continue;
        struct packet_result_run run = packet_result_run(&kept[i], number);
        run.count = 1;
        run.feed = run.feed == 0 ? 0 : run.feed + (number - at);
        return run;
    }
    return (struct packet_result_run){.number = number, .status = MACHINE_UNKNOWN};
}

const struct packet_redirect *gateway_redirect(const struct gateway *g)
{
    for (uint32_t i = g->count; i > 0; i--)
        if (g->answer[i - 1].kind == PACKET_REDIRECT)
            return &g->answer[i - 1].u.redirect;
    return NULL;
}

uint8_t gateway_status(const struct gateway *g, uint64_t number)
{
    const struct packet_result_run *run = gateway_result(g, number);
    return run == NULL ? UINT8_MAX : run->status;
}

uint64_t gateway_feed(const struct gateway *g, uint64_t number)
{
    const struct packet_result_run *run = gateway_result(g, number);
    return run == NULL || run->feed == 0 ? 0 : run->feed + (number - run->number);
}

struct gateway *gateway_opened(uint32_t nodes)
{
    struct gateway *g = gateway_new(nodes);
    gateway_open(g, "gateway", 77);
    return g;
}
