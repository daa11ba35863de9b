/* A checkpoint in place of the log (dissertation chapter 5, figure 5.3).
 *
 * The caller has it durable and verified, and a start after a crash would take it over by itself:
 * with the event the replica already holds, durably, all that the checkpoint covers. What is left
 * to decide is what becomes of the log.
 */
#include "consensus/ensure.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

/* Figure 5.3, step 6: an entry with the checkpoint's index and term says that the log is equal up
 * to there (3.5), and what follows it is kept. */
static bool log_holds(const struct raft *raft, uint64_t index, uint64_t term)
{
    uint64_t mine;
    return raft_log_term(&raft->log, index, &mine) && mine == term;
}

/* Steps 7, 8: the log ends before the checkpoint, or took another way. All of it is covered or was
 * never committed, and goes. What an older acknowledgement said of it stays true: no entry that a
 * quorum held lies behind the checkpoint's index on that other way. */
static void give_up_log(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    out->install_index = in->index;
    out->install_lsn = raft->next_lsn++;
    raft_log_init(&raft->log, in->index + 1, in->prev_term);
    raft_rebase(raft, out->install_lsn);
    raft->durable_floor = in->index; /* it lies in the checkpoint, not in the log */
    raft_config_install(raft, in->config);
    raft->hole = 0;
}

void raft_install(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    ENSURE(in->index > 0 && in->prev_term > 0 && in->config->index <= in->index);
    /* Pitfall 8: what comes late, or again, takes nothing back. A leader's log has all that was
     * ever committed (3.6.3). */
    if (raft->role == RAFT_LEADER)
        return;
    if (in->index <= raft->commit) {
        raft_config_repaired(raft, in->config);
        return;
    }
    /* An entry was committed in a term of which nothing was heard here: 3.3 holds for it as for a
     * packet of its leader. The log's terms never exceed the current one. */
    uint64_t term = in->prev_term > raft->term ? in->prev_term : raft->term;
    raft_become_follower(raft, in, out, term);
    if (!log_holds(raft, in->index, in->prev_term))
        give_up_log(raft, in, out);
    raft->commit = in->index;
    /* H4: where the log is kept a hole may have hidden the configuration that the checkpoint has,
     * and is covered now. */
    raft_config_repaired(raft, in->config);
    raft_config_committed(raft);
    /* Committed entries are in every later leader's log. */
    if (in->index > raft->agreed)
        raft->agreed = in->index;
    if (raft->dispute_index <= in->index)
        raft->dispute_index = 0;
}
