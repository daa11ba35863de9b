/* A loop thread's life: the turns of its roles, and how it idles. Apart from loop.c, so that only
 * who has loop threads links liburcu. */
#include "dataplane/loop.h"
#include "dataplane/rcu.h"

#include <sched.h>
#include <time.h>

/* How long the turn took is known at the start of the next one, without reading the clock twice. */
static void note_turn(struct replica *r, uint64_t began_ns, uint32_t work)
{
    uint64_t took_ns = clock_now_ns(r->clock) - began_ns;
    if (work == 0)
        return;
    if (took_ns > metric_get(&r->metrics.turn_max_ns))
        metric_set(&r->metrics.turn_max_ns, took_ns);
    if (took_ns > LOOP_STALL_NS)
        metric_add(&r->metrics.stalls, 1);
}

static uint32_t roles_turn(struct loop *loop)
{
    struct replica *r = loop->replica;
    uint32_t work = 0;
    if (loop->roles & ROLE_SEQ) {
        uint32_t seq_work = loop_turn(r);
        note_turn(r, r->now_ns, seq_work);
        work += seq_work;
    }
    if (loop->roles & ROLE_DISK)
        work += ring_disk_turn(r->ring);
    if (loop->roles & ROLE_FEED)
        work += feed_turn(r->feed, clock_now_ns(r->clock));
    if (loop->roles & ROLE_AUX)
        work += ring_aux_turn(r->ring);
    return work;
}

static void idle(const struct loop *loop, uint32_t idle_turns)
{
    switch (loop->idle) {
    case IDLE_SPIN:
        __builtin_ia32_pause();
        break;
    case IDLE_YIELD:
        sched_yield();
        break;
    case IDLE_SLEEP:
        if (idle_turns < LOOP_IDLE_TURNS) {
            sched_yield();
        } else {
            struct timespec nap = {0, (long)loop->sleep_ns};
            rcu_reader_sleep(); /* before it may use a published table again it wakes */
            nanosleep(&nap, NULL);
            rcu_reader_wake();
        }
        break;
    }
}

void loop_run(struct loop *loop)
{
    uint32_t idle_turns = 0;
    rcu_reader_begin();
    /* relaxed: only the fact that it was set matters, nothing is read through it */
    while (!__atomic_load_n(&loop->stop, __ATOMIC_RELAXED)) {
        uint32_t work = roles_turn(loop);
        rcu_reader_turn(); /* of all roles of this thread: none holds a table over its turn */
        if (work > 0) {
            idle_turns = 0;
        } else {
            idle_turns = idle_turns < LOOP_IDLE_TURNS ? idle_turns + 1 : LOOP_IDLE_TURNS;
            idle(loop, idle_turns);
        }
        metric_add(&loop->alive_turns, 1);
    }
    rcu_reader_end();
}
