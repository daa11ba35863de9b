#include "dataplane/loop.h"

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
