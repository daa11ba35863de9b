#include "dataplane/loop.h"

#include <sched.h>
#include <time.h>

uint32_t loop_turn(struct replica *r)
{
    uint64_t now_ns = clock_now_ns(r->clock);
    r->now_ns = now_ns;
    r->utc_ns = clock_utc_ns(r->clock, &r->utc_error_ns);

    uint32_t work = receive_burst(r); /* port -> frame -> auth -> wire -> intake | raft_step */
    work += step_propose(r);          /* what intake framed becomes log */
    work += command_turn(r);
    work += step_tick(r);
    work += ring_turn(r->ring, now_ns); /* closes pages towards the drive */
    work += step_durable(r);            /* durable position -> raft_step -> gate */
    work += replicate(r);
    work += apply(r);
    work += answer_flush(r);
    work += send_flush(r);

    replica_publish(r);
    metric_add(&r->metrics.turns, 1);
    if (work > 0)
        metric_add(&r->metrics.turns_useful, 1);
    return work;
}

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
            nanosleep(&nap, NULL);
        }
        break;
    }
}

void loop_run(struct loop *loop)
{
    uint32_t idle_turns = 0;
    /* relaxed: only the fact that it was set matters, nothing is read through it */
    while (!__atomic_load_n(&loop->stop, __ATOMIC_RELAXED)) {
        if (roles_turn(loop) > 0) {
            idle_turns = 0;
        } else {
            idle_turns = idle_turns < LOOP_IDLE_TURNS ? idle_turns + 1 : LOOP_IDLE_TURNS;
            idle(loop, idle_turns);
        }
        metric_add(&loop->alive_turns, 1);
    }
}
