"""Set checkpoint: bugs of checkpoints between replicas, in the form of set_a.py."""

TOOLS = ("simulator", "worlds", "judge", "tests")
LEAST_BY_STRONG = 6  # all of them

MUTANTS = [
    {
        "name": "checkpoint below the commit index",
        "breaks": "a commit index never moves back (figure 3.2; pitfall 8, stale snapshot)",
        "edits": [("consensus/raft/raft_install.c",
                   "    if (in->index <= raft->commit) {",
                   "    if (in->index == 0) {"),
                  ("consensus/raft/raft_install.c",
                   "    if (!log_holds(raft, in->index, in->prev_term))",
                   "    if (in->index <= raft->commit || !log_holds(raft, in->index, in->prev_term))"),
                  ("control/receiving.c",
                   "    if (head.id.index <= known || head.id.index <= c->checkpoint_index[1]) {",
                   "    if (known == UINT64_MAX || head.id.index <= c->checkpoint_index[1]) {"),
                  ("dataplane/install.c",
                   "    bool needed = behind && !leads;",
                   "    bool needed = (behind || r->raft.hole == 0) && !leads;")],
    },
    {
        "name": "suffix not kept",
        "breaks": "an entry with the checkpoint's index and term: keep what follows (figure 5.3)",
        "edits": [("consensus/raft/raft_install.c",
                   "    return raft_log_term(&raft->log, index, &mine) && mine == term;",
                   "    return raft_log_term(&raft->log, index, &mine) && mine == term &&"
                   " index == raft->log.last;")],
    },
    {
        "name": "head behind the newer checkpoint",
        "breaks": "the head moves only past what two verified durable checkpoints allow (H14)",
        "edits": [("control/checkpoint.c",
                   "     * (H14). */\n    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[1]);",
                   "     * (H14). */\n    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[0]);")],
    },
    {
        "name": "taken over before it is durable",
        "breaks": "two are kept, both read back and verified; an acknowledgement is durable testimony",
        "edits": [("control/checkpoint.c",
                   "    for (uint32_t copy = 0; copy < 2 && rc == 0; copy++) {",
                   "    for (uint32_t copy = 0; copy < 0u * id->size && rc == 0; copy++) {")],
    },
    {
        "name": "new stretch with pages in flight",
        "breaks": "aux zeroes only below a durable head; durable is a prefix (H10, H11)",
        "edits": [("dataplane/ring/ring.c",
                   "(ring->anew && durable_page < ring->tail))", "(ring->anew && durable_page > ring->tail))")],
    },
    {
        "name": "installation not carried out",
        "breaks": "a start finds the checkpoint and the old pages, and carries out what was begun",
        "edits": [("dataplane/ring/recover_walk.c",
                   "    if (newest->installed == 0)\n        return false;",
                   "    if (newest->installed == 0 || newest->index > walk->last)\n        return false;")],
    },
]
