/* Reads that need proof of leadership (dissertation 6.4, read-index).
 *
 * The proof is a quorum's echo of copies that were sent after the question, told apart by their
 * numbers: each copy of a heartbeat or AppendEntries has its own (H21), numbers only grow and none
 * is used twice. A comparison of times would have to tell a contact of the same instant from a
 * later one, and an answer to a copy that was sent before the question is worthless however late it
 * comes.
 */
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

bool raft_read_begin(struct raft *raft, struct raft_read *read)
{
    /* 6.4: until an entry of its own term is committed, a leader does not know the newest commit.
     */
    if (raft->role != RAFT_LEADER || raft->commit < raft->noop_index)
        return false;
    *read =
        (struct raft_read){.term = raft->term, .index = raft->commit, .probe = raft->probe_next};
    /* Not at once: however many ask, copies stay so few that each is remembered until its echo. */
    uint64_t soon_ns = raft->now_ns + raft->options.heartbeat_ns / 4;
    if (raft->heartbeat_at_ns > soon_ns)
        raft->heartbeat_at_ns = soon_ns;
    return true;
}

enum raft_read_state raft_read_state(const struct raft *raft, const struct raft_read *read)
{
    if (raft->role != RAFT_LEADER || raft->term != read->term)
        return RAFT_READ_LOST;
    uint64_t echoed[RAFT_ID_MAX + 1];
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        echoed[id] = raft->peer[id].probe_echoed;
    echoed[raft->id] = UINT64_MAX; /* a replica is in contact with itself */
    return quorum_reached(&raft->config, echoed) >= read->probe ? RAFT_READ_PROVEN
                                                                : RAFT_READ_WAITS;
}
