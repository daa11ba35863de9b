/* Random node and lock operations of some sessions against a model that keeps its books in the
 * plainest way, with the state encoded and decoded on the way: the copy must go on alike.
 */
#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS = 5, PATHS = 8, STEPS = 400, SEEDS = 150, MS = 1000000 };

static const char *const paths[PATHS] = {"/a", "/b", "/a/a", "/a/b", "/b/x", "/c", "/a/a/x", "/d"};

struct world {
    struct bench b, copy; /* copy: decoded from time to time, then fed the same entries */
    uint64_t random;
    uint64_t id[SESSIONS];
    bool alive[SESSIONS];
    uint64_t generation_max; /* highest lock generation seen */
    uint32_t named;          /* sessions named so far */
    bool both;
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(bench_random(&w->random) % n);
}

static void same(struct world *w)
{
    if (!w->both)
        return;
    w->copy.utc_ns = w->b.utc_ns;
    w->copy.log_ns = w->b.log_ns;
    w->copy.term = w->b.term;
    memcpy(w->copy.bytes, w->b.bytes, sizeof(w->b.bytes));
    bench_apply(&w->copy);
    CU_ASSERT_FATAL(bench_same_outcome(&w->b.outcome, &w->copy.outcome));
    CU_ASSERT_EQUAL_FATAL(machine_fingerprint(w->b.machine), machine_fingerprint(w->copy.machine));
}

static void open_session(struct world *w, uint32_t i)
{
    char name[16];
    snprintf(name, sizeof(name), "s%u", ++w->named);
    bench_open(&w->b, BENCH_ALICE + i, name, 5, 64);
    w->alive[i] = w->b.outcome.status == MACHINE_SEQUENCED;
    if (w->alive[i])
        w->id[i] = bench_session(&w->b)->id;
    same(w);
}

static void end_session(struct world *w, uint32_t i)
{
    const struct machine_session *s = machine_session(w->b.machine, w->id[i]);
    uint32_t how = below(w, 4);
    if (how == 0)
        bench_end(&w->b, BENCH_ALICE + i, s->id, s->epoch, SESSION_END_CLEAN);
    else if (how == 1)
        bench_end(&w->b, BENCH_REPLICA, s->id, 0, SESSION_END_KILLED);
    else if (how == 2)
        bench_expire(&w->b, BENCH_REPLICA, s->id, s->epoch, w->b.machine->noop_term);
    else
        bench_resume(&w->b, BENCH_ALICE + i, s->name, 100 + w->named++, s->epoch);
    w->alive[i] = machine_session(w->b.machine, w->id[i])->end_reason == 0;
    same(w);
}

static void operate(struct world *w, uint32_t i)
{
    const char *path = paths[below(w, PATHS)];
    const struct machine_node *node = machine_node_at_path(w->b.machine, path, strlen(path));
    struct entry_node op = {.operation = (uint8_t)(NODE_OPEN + below(w, 7))};
    uint8_t text[KEEL_CONTENT_MAX];
    bool opens = op.operation == NODE_OPEN;
    memset(text, 'a' + (int)below(w, 26), sizeof(text));
    if (!opens)
        op.node = node != NULL ? node->id : 1 + below(w, 40);
    switch ((enum node_operation)op.operation) {
    case NODE_OPEN:
        op.flags = below(w, 4) == 0 ? 0 : NODE_CREATE;
        if (op.flags != 0 && below(w, 3) == 0)
            op.flags |= NODE_EPHEMERAL;
        if (op.flags != 0 && below(w, 8) == 0)
            op.flags |= NODE_EXCLUSIVE;
        op.events = (uint8_t)below(w, NODE_EVENTS_ALL + 1);
        op.content_size = op.flags != 0 ? (uint16_t)below(w, KEEL_CONTENT_MAX + 1) : 0;
        break;
    case NODE_SET:
        op.content_size = (uint16_t)below(w, 20);
        break;
    case NODE_ACQUIRE:
        op.mode = (uint8_t)(LOCK_EXCLUSIVE + below(w, 2));
        op.flags = below(w, 4) == 0 ? NODE_TRY : 0;
        op.delay_ms = below(w, 3) * 500;
        op.wait_ms = below(w, 2) == 0 ? NODE_WAIT_ENDLESS : below(w, 2000);
        break;
    case NODE_ACL: {
        const struct node_right all = {.rights = NODE_READ | NODE_WRITE | NODE_CHANGE};
        memcpy(text, &all, sizeof(all));
        op.content_size = sizeof(all);
        break;
    }
    case NODE_CLOSE:
    case NODE_DELETE:
    case NODE_RELEASE:
        break;
    }
    bool creates = (op.flags & (NODE_CREATE | NODE_EPHEMERAL)) == NODE_CREATE;
    bool handles = op.operation == NODE_CLOSE || op.operation == NODE_ACQUIRE;
    bool asked_for = below(w, 12) == 0 && (opens ? creates : !handles);
    if (asked_for)
        op.events = 0;
    bench_node(&w->b, asked_for ? 0 : w->id[i], &op, opens ? path : "", text, NULL);
    same(w);
}

/* What holds in every state, told from handles alone. */
static void check(struct world *w)
{
    const struct machine *m = w->b.machine;
    uint32_t handles = 0;
    uint64_t generation_max = w->generation_max;
    for (uint32_t p = 0; p < PATHS; p++) {
        const struct machine_node *n = machine_node_at_path(m, paths[p], strlen(paths[p]));
        const struct machine_handle *h = NULL;
        uint32_t holders = 0, waiters = 0, exclusive = 0;
        if (n == NULL)
            continue;
        CU_ASSERT_PTR_EQUAL_FATAL(machine_node(m, n->id), n);
        while ((h = machine_handle_of_node(m, n, h)) != NULL) {
            const struct machine_session *s = machine_session(m, h->session);
            CU_ASSERT_FATAL(s != NULL && s->end_reason == 0 && h->node == n->id);
            holders += h->state == HANDLE_HOLDS;
            waiters += h->state == HANDLE_WAITS;
            exclusive += h->state == HANDLE_HOLDS && h->mode == LOCK_EXCLUSIVE;
            if (h->state == HANDLE_HOLDS) {
                CU_ASSERT_FATAL(h->generation == n->lock_generation && h->mode == n->lock_mode);
            }
            handles++;
        }
        CU_ASSERT_FATAL(holders == n->holders && waiters == n->waiters);
        CU_ASSERT_FATAL(exclusive == 0 || holders == 1); /* promise 4 */
        CU_ASSERT_FATAL((holders == 0) == (n->lock_mode == LOCK_FREE));
        CU_ASSERT_FATAL(holders != 0 || waiters == 0 || n->delay_log_ns != 0);
        CU_ASSERT_FATAL(!n->ephemeral || n->handle_count + n->child_count > 0 || n->due);
        if (n->lock_generation > generation_max)
            generation_max = n->lock_generation;
    }
    CU_ASSERT_FATAL(generation_max == w->generation_max || generation_max == m->applied);
    w->generation_max = generation_max;
    uint32_t invalid = 0, counted = 0;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        const struct machine_session *s = w->alive[i] ? machine_session(m, w->id[i]) : NULL;
        const struct machine_handle *h = NULL;
        uint64_t asked = 0;
        while (s != NULL && (h = machine_handle_of_session(m, s, h)) != NULL) {
            CU_ASSERT_FATAL(h->asked > asked && machine_handle(m, s->id, h->node) == h);
            asked = h->asked;
            invalid += h->invalid_index != 0;
            counted++;
        }
    }
    CU_ASSERT_EQUAL_FATAL(counted, m->handle_count);
    CU_ASSERT_EQUAL_FATAL(handles + invalid, m->handle_count);
}

static void recode(struct world *w)
{
    size_t cap = machine_encoded_max(&w->b.genesis);
    uint8_t *bytes = malloc(cap);
    size_t size = machine_encode(w->b.machine, bytes, cap);
    CU_ASSERT_FATAL(size > 0 && size <= cap);
    const char *problem = machine_decode(w->copy.machine, &w->b.genesis, bytes, size);
    if (problem != NULL)
        fprintf(stderr, "refused: %s\n", problem);
    CU_ASSERT_PTR_NULL_FATAL(problem);
    CU_ASSERT_EQUAL_FATAL(machine_fingerprint(w->copy.machine), machine_fingerprint(w->b.machine));
    w->both = true;
    /* One changed byte is refused, or another state: never a crash. */
    struct machine *third = bench_memory(&w->b.genesis);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t at = below(w, (uint32_t)size);
        uint8_t was = bytes[at];
        bytes[at] ^= (uint8_t)(1 + below(w, 255));
        if (machine_decode(third, &w->b.genesis, bytes, size) == NULL) {
            CU_ASSERT_NOT_EQUAL_FATAL(machine_fingerprint(third),
                                      machine_fingerprint(w->b.machine));
        }
        bytes[at] = was;
    }
    free(third);
    free(bytes);
}

static void run(uint64_t seed)
{
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = 64;
    genesis.session_retain_ms = 10;
    genesis.ttl_max_ms = 5000;
    genesis.nodes_max = 7;
    genesis.handles_max = 16;
    genesis.handles_per_session = 5;
    genesis.waiters_max = 3;
    genesis.lock_delay_max_ms = 800;
    CU_ASSERT_PTR_NULL_FATAL(genesis_problem(&genesis));
    struct world w = {.random = seed};
    bench_init(&w.b, &genesis);
    bench_init(&w.copy, &genesis);
    bench_noop(&w.b, 1);
    for (uint32_t i = 0; i < SESSIONS; i++)
        open_session(&w, i);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = below(&w, SESSIONS), what = below(&w, 100);
        w.b.log_ns += below(&w, 4) == 0 ? (uint64_t)below(&w, 900) * MS : below(&w, MS);
        if (!w.alive[i]) {
            open_session(&w, i);
        } else if (what < 4) {
            end_session(&w, i);
        } else if (what < 10) {
            bench_due(&w.b, w.b.machine->noop_term);
            same(&w);
            CU_ASSERT_FATAL(machine_due_log_ns(w.b.machine) > w.b.machine->log_ns);
        } else if (what < 12) {
            recode(&w);
        } else {
            operate(&w, i);
        }
        check(&w);
    }
    bench_free(&w.b);
    bench_free(&w.copy);
}

static void random_runs(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"random operations, encoded and decoded on the way", random_runs}, {0}};
    return unit_main("machine_nodes_random", tests);
}
