"""Set transfer: bugs of leadership transfer and read-index. As set_a.py."""

TOOLS = ("simulator", "worlds", "judge", "tests")
LEAST_BY_STRONG = 6  # all of them

MUTANTS = [
    {
        "name": "lease outlives the word",
        "breaks": "the lease ends for the rest of the term before TimeoutNow is sent (H19)",
        "edits": [("consensus/raft/raft_transfer.c",
                   "    if (t->lease_ended == 0) {\n        t->lease_ended = 1;\n",
                   "    if (t->state == RAFT_TRANSFER_WAITING) {\n")],
    },
    {
        "name": "told once, told for ever",
        "breaks": "no vote within the minimum election timeout of hearing a leader (4.2.3), but for "
                  "the campaign that was asked for",
        "edits": [("consensus/raft/raft_election.c",
                   "kind == RAFT_VOTE && term == raft->transfer.told_term",
                   "kind == RAFT_VOTE && raft->transfer.told_term != 0")],
    },
    {
        "name": "told votes skip the log check",
        "breaks": "a vote only for a log that holds everything that can be committed (3.6.1)",
        "edits": [("consensus/raft/raft_election.c",
                   "bool grant = msg->term == raft->term && up_to_date(raft, msg) &&",
                   "bool grant = msg->term == raft->term && "
                   "(up_to_date(raft, msg) || (msg->flags & RAFT_TOLD) != 0) &&")],
    },
    {
        "name": "office kept after the word",
        "breaks": "if the transfer fails it steps down (H19)",
        "edits": [("consensus/raft/raft_transfer.c",
                   "        raft_become_follower(raft, in, out, raft->term);\n"
                   "        out->send_count = 0;",
                   "        (void)in;\n        out->send_count = 0;")],
    },
    {
        "name": "read proven by an older contact",
        "breaks": "a read waits for contacts after it was asked (6.4, pitfall 7)",
        "edits": [("consensus/raft/raft_read.c",
                   "quorum_reached(&raft->config, echoed) >= read->probe",
                   "quorum_reached(&raft->config, echoed) > 0")],
    },
    {
        "name": "read before the own no-op",
        "breaks": "own-term commit first (6.4, pitfall 7)",
        "edits": [("consensus/raft/raft_read.c",
                   "if (raft->role != RAFT_LEADER || raft->commit < raft->noop_index)",
                   "if (raft->role != RAFT_LEADER)")],
    },
]
