/* Histories for machine_apply(): two machines decide alike and keep equal digests, though one of
 * them is encoded and decoded anew in between; a number is sequenced once, in the session's order;
 * feed numbers follow on without a gap. */
#include "tests/fuzz/machine_steps.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBERS_MAX = 8 * STEPS_MAX, ENCODED_MAX = 64 << 10 };

struct numbered { /* every number that was ever sequenced */
    uint64_t session, number;
};

struct run {
    struct bench bench;
    struct machine *twin;
    struct machine_outcome outcome; /* the twin's */
    uint64_t feed;                  /* next feed number, as this target counts */
    uint32_t count;
    struct numbered sequenced[NUMBERS_MAX];
};

static void note_sequenced(struct run *run, uint64_t session, uint64_t number)
{
    for (uint32_t i = run->count; i > 0; i--) {
        const struct numbered *n = &run->sequenced[i - 1];
        if (n->session != session)
            continue;
        FUZZ_REQUIRE(n->number < number); /* the session's own order, each once */
        break;
    }
    FUZZ_REQUIRE(run->count < NUMBERS_MAX);
    run->sequenced[run->count++] = (struct numbered){session, number};
}

/* Runs of a messages entry: they cover its numbers one after the other. `last`: of the session
 * before. */
static void check_messages(struct run *run, const struct machine_outcome *o, uint64_t last,
                           bool known)
{
    struct entry_messages head;
    memcpy(&head, run->bench.bytes + sizeof(struct entry), sizeof(head));
    uint64_t number = head.number, feed = o->feed_before;
    bool closed = false;
    for (uint32_t i = 0; i < o->run_count; i++) {
        const struct packet_result_run *r = &o->run[i];
        FUZZ_REQUIRE(r->count > 0 && r->number == number);
        number += r->count;
        bool consumed = r->status == MACHINE_DAY_CLOSED || r->status == MACHINE_SUSPENDED;
        if (r->status != MACHINE_SEQUENCED && !consumed)
            continue;
        FUZZ_REQUIRE(known && r->number == last + 1);
        last += r->count;
        closed = closed || consumed;
        if (consumed)
            continue;
        FUZZ_REQUIRE(!closed && r->feed == feed);
        feed += r->count;
    }
    FUZZ_REQUIRE(number == head.number + head.count && feed == o->feed_after);
    const struct machine_session *s = machine_session(run->bench.machine, head.session);
    FUZZ_REQUIRE((s != NULL) == known && (s == NULL || s->last == last));
    for (uint32_t i = 0; i < o->run_count; i++)
        for (uint64_t k = 0; o->run[i].status == MACHINE_SEQUENCED && k < o->run[i].count; k++)
            note_sequenced(run, head.session, o->run[i].number + k);
}

static void check_outcome(struct run *run, const struct machine_outcome *o)
{
    FUZZ_REQUIRE(o->index == run->bench.machine->applied);
    FUZZ_REQUIRE(o->feed_before == run->feed && (o->day_began || o->feed_after >= o->feed_before));
    FUZZ_REQUIRE(o->day_began || run->bench.machine->feed_next == o->feed_after);
    if (o->session_ended)
        FUZZ_REQUIRE(o->feed_after == o->feed_before + 1);
    if (o->day_began)
        FUZZ_REQUIRE(run->bench.machine->feed_next == 1);
    run->feed = run->bench.machine->feed_next;
}

static void apply(struct run *run)
{
    struct bench *b = &run->bench;
    const struct entry *entry = (const struct entry *)(const void *)b->bytes;
    struct entry_messages head = {.session = 0};
    if (entry->kind == ENTRY_MESSAGES)
        memcpy(&head, entry_body(entry), sizeof(head));
    const struct machine_session *s = machine_session(b->machine, head.session);
    uint64_t last = s != NULL ? s->last : 0;
    bool known = s != NULL;
    const struct machine_outcome *o = bench_apply(b);
    memset(&run->outcome, 0x11, sizeof(run->outcome));
    machine_apply(run->twin, entry, &run->outcome);
    FUZZ_REQUIRE(bench_same_outcome(o, &run->outcome));
    FUZZ_REQUIRE(b->machine->digest == run->twin->digest);
    check_outcome(run, o);
    if (entry->kind == ENTRY_MESSAGES)
        check_messages(run, o, last, known);
}

static void recode(struct run *run)
{
    static uint8_t first[ENCODED_MAX], second[ENCODED_MAX];
    size_t size = machine_encode(run->twin, first, sizeof(first));
    FUZZ_REQUIRE(size > 0 && size <= machine_encoded_max(&run->bench.genesis));
    uint64_t print = machine_fingerprint(run->bench.machine);
    FUZZ_REQUIRE(machine_encode(run->bench.machine, second, sizeof(second)) == size);
    FUZZ_REQUIRE(memcmp(first, second, size) == 0);
    free(run->twin);
    run->twin = bench_memory(&run->bench.genesis);
    FUZZ_REQUIRE(machine_decode(run->twin, &run->bench.genesis, first, size) == NULL);
    FUZZ_REQUIRE(machine_fingerprint(run->twin) == print);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    struct fuzz_input in = fuzz_open(data, size);
    const struct genesis genesis = machine_steps_genesis();
    bench_init(&run.bench, &genesis);
    run.twin = bench_memory(&genesis);
    machine_init(run.twin, &genesis);
    run.count = 0;
    run.feed = run.bench.machine->feed_next;
    uint32_t every = 1 + fuzz_below(&in, 32);
    for (uint32_t step = 0; step < STEPS_MAX && fuzz_left(&in); step++) {
        if (machine_steps_build(&run.bench, &in))
            apply(&run);
        if (step % every == 0)
            recode(&run);
    }
    recode(&run);
    free(run.twin);
    bench_free(&run.bench);
    return 0;
}
