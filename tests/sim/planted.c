/* keel-sim with a bug in it, for the test of what a failing seed says of itself (check_planted.py):
 * from the third term on clients are told feed numbers that are one too high. */
#include "dataplane/replica.h"

#include <string.h>

enum { PLANTED_TERM = 3 };

void __real_answer_runs(struct replica *r, const struct machine_session *session,
                        const struct packet_result_run *runs, uint32_t count);
void __wrap_answer_runs(struct replica *r, const struct machine_session *session,
                        const struct packet_result_run *runs, uint32_t count);

void __wrap_answer_runs(struct replica *r, const struct machine_session *session,
                        const struct packet_result_run *runs, uint32_t count)
{
    struct packet_result_run told[KEEL_SESSION_WINDOW_MAX];
    memcpy(told, runs, count * sizeof(*runs));
    for (uint32_t i = 0; i < count; i++)
        if (r->raft.term >= PLANTED_TERM && told[i].status == MACHINE_SEQUENCED)
            told[i].feed++;
    __real_answer_runs(r, session, told, count);
}
