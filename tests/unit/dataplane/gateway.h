/* A gateway at a small cluster of real replicas (tests/unit/control/bench.h): what it says reaches
 * intake as if its packets had been opened, what is answered is opened under its own associations.
 */
#ifndef KEEL_TEST_GATEWAY_H
#define KEEL_TEST_GATEWAY_H

#include "tests/unit/control/bench.h"

enum { GATEWAY_ANSWERS_MAX = 256, GATEWAY_IP = 0x0a0000c8, GATEWAY_UDP = 6000 };

struct gateway_answer {
    uint8_t kind; /* enum packet_kind */
    uint32_t size;
    union {
        uint8_t bytes[KEEL_BODY_MAX];
        struct packet_result result; /* runs follow */
        struct packet_session session;
        struct packet_lease lease;
        struct packet_redirect redirect;
    } u;
};

struct gateway {
    struct bench *bench;
    struct replica *leader;
    uint32_t leader_id, principal;
    void *auth_memory[2];
    struct auth_table *auth[2]; /* of BENCH_CLIENT, and of another principal */
    uint64_t session, epoch, request;
    uint16_t window; /* that OPEN asks for */
    uint32_t count;
    struct gateway_answer answer[GATEWAY_ANSWERS_MAX];
};

/* `nodes` replicas, one of which leads. */
struct gateway *gateway_new(uint32_t nodes);
void gateway_free(struct gateway *g);
/* Associations with a node that was started (again). */
void gateway_meet(struct gateway *g, uint32_t id);
/* Who leads now; runs until somebody does. */
void gateway_find_leader(struct gateway *g);

/* As another principal until set back: 0 this gateway's own, 1 the other. */
void gateway_as(struct gateway *g, uint32_t which);

/* Runs the cluster and collects what was answered behind what was there. */
void gateway_run(struct gateway *g, uint32_t ms);
void gateway_forget(struct gateway *g);

/* A packet to the leader. */
void gateway_say(struct gateway *g, uint8_t kind, const void *body, size_t size);
/* Messages first..first + count - 1 of the session; each one's content is its number and `salt`. */
void gateway_submit(struct gateway *g, uint64_t first, uint16_t count, uint64_t acked,
                    uint8_t salt);
/* OPEN or RESUME under a name, as `process`; returns the request's number. */
uint64_t gateway_ask(struct gateway *g, uint8_t kind, const char *name, uint64_t process,
                     uint64_t replaces);
/* Opens a session and keeps its id and epoch; fails the test if it is refused. */
void gateway_open(struct gateway *g, const char *name, uint64_t process);

/* One with a session open. */
struct gateway *gateway_opened(uint32_t nodes);

/* The newest word on a number among the answers: its run, NULL if none names it; its status,
 * UINT8_MAX if none does; its feed number, 0 if none has one. */
const struct packet_result_run *gateway_result(const struct gateway *g, uint64_t number);
uint8_t gateway_status(const struct gateway *g, uint64_t number);
uint64_t gateway_feed(const struct gateway *g, uint64_t number);
/* The answer to a request, or NULL. */
const struct packet_session *gateway_session(const struct gateway *g, uint64_t request);
/* The answer to a keepalive, or NULL. */
const struct packet_lease *gateway_lease(const struct gateway *g, uint64_t request);
/* The kept result of a number in a session answer, as a run of one; status UNKNOWN: it is not told.
 */
struct packet_result_run gateway_kept(const struct packet_session *answer, uint64_t number);
/* The newest redirection, or NULL. */
const struct packet_redirect *gateway_redirect(const struct gateway *g);

#endif
