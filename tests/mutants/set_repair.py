"""Set repair: bugs of damage repaired from peers, in the form of set_a.py.

Tools: the explorer in its scope of holes, random worlds of the core, the transcripts, the ring's tests, the
simulator, and the table of damage (tests/sim/check_repair.py).
"""

TOOLS = ("explorer", "worlds", "transcripts", "restoring", "simulator", "table")
SCOPES = ("holes",)
STATES_MAX = 2000000  # of that scope: its fixpoint takes minutes, what it finds lies near
LEAST_BY_STRONG = 8  # six by the explorer alone

MUTANTS = [
    {
        "name": "hole given up after the no-op",
        "breaks": "a hole found later is given up only by stepping down and winning a higher term (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    if (raft->settling == 0) {\n        raft_become_follower(raft, in, out, raft->term);\n"
                   "        return;\n    }",
                   "    if (in->count > 1u << 30)\n        return;")],
    },
    {
        "name": "no-op before the holes are settled",
        "breaks": "a leader settles every hole before it appends its no-op or sends any entry (H5)",
        "edits": [("consensus/raft/raft_replicate.c", "    raft->settling = raft->hole != 0;",
                   "    raft->settling = 0;")],
    },
    {
        "name": "one denial is enough",
        "breaks": "given up only when so many voters deny it that no quorum can have held it (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    return quorum_blocked(&begins, raft->hole_denied);",
                   "    return begins.voters != 0 && raft->hole_denied != 0;")],
    },
    {
        "name": "denials under the newer configuration alone",
        "breaks": "given up only when so many voters deny it that no quorum can have held it (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    return quorum_blocked(&begins, raft->hole_denied);",
                   "    return begins.voters != 0 && quorum_blocked(config, raft->hole_denied);")],
    },
    {
        "name": "denials of the old voters behind a joint configuration",
        "breaks": "what stands behind a joint configuration the new voters have to deny (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    bool behind = raft->hole > config->index && config->voters_new != 0;",
                   "    bool behind = raft->hole == UINT64_MAX;")],
    },
    {
        "name": "a learner's denial counts",
        "breaks": "only intact voters deny: never a learner (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    raft->hole_denied |= raft_bit(msg->from) & raft_voters(raft);",
                   "    raft->hole_denied |= raft_bit(msg->from) |"
                   " (raft->config.learners >> msg->from & 1 ? raft_voters(raft) : 0);")],
    },
    {
        "name": "hole acknowledged",
        "breaks": "known damage counts as absent for acknowledgements and own match (section 5)",
        "edits": [("consensus/raft/raft_append.c",
                   "        reply->match = raft_before_hole(raft, msg->prev_index + msg->count);",
                   "        reply->match = msg->prev_index + msg->count;")],
    },
    {
        "name": "own match counts a hole",
        "breaks": "known damage counts as absent for acknowledgements and own match (section 5)",
        "edits": [("consensus/raft/raft_step.c",
                   "    return raft_before_hole(raft, written(raft));", "    return written(raft);")],
    },
    {
        "name": "hole absent when logs are compared",
        "breaks": "a page whose identity its successor's header repeats counts as present for log comparison",
        "edits": [("consensus/raft/raft_election.c",
                   "    return msg->prev_index >= raft->log.last;",
                   "    return msg->prev_index >= raft_before_hole(raft, raft->log.last);")],
    },
    {
        "name": "campaign with the configuration in a hole",
        "breaks": "who cannot read the configuration in force neither campaigns nor judges denials (H4)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    return raft_config_stated(raft) == raft->config.index;",
                   "    return raft_config_stated(raft) >= raft->config.index;")],
    },
    {
        "name": "a lower hole found while settling",
        "breaks": "a hole found later is given up only by stepping down and winning a higher term (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    bool later = raft->settling != 0 && in->index != 0 && in->index < raft->hole;",
                   "    bool later = raft->settling > 1 && in->index != 0 && in->index < raft->hole;")],
    },
    {
        "name": "entries taken without the chain",
        "breaks": "its entries are fetched from any peer and proven by the chain (section 5)",
        "edits": [("dataplane/ring/restore.c",
                   "    if (count > 0 && (live->chain_after != 0 ? chain != live->chain_after : !whole))",
                   "    if (count > 0 && chain == 0)"),
                  ("dataplane/ring/restore.c",
                   "    if (whole && memcmp(page->sector_crc, known->own_head.sector_crc,"
                   " sizeof(page->sector_crc)) != 0)",
                   "    if (page->page != live->page)")],
    },
    {
        "name": "applied across a hole",
        "breaks": "absent for acknowledgements, own match, reads, apply, feed (section 5)",
        "edits": [("control/replay.c", "    if (end >= lost)\n        end = lost - 1;",
                   "    if (end >= lost && lost == 0)\n        end = lost - 1;"),
                  ("control/replay.c", "        if (entry->index > end || entry->index != r->machine->applied + 1)",
                   "        if (entry->index > end || entry->index < r->machine->applied + 1)")],
    },
    {
        "name": "start with term and vote in doubt",
        "breaks": "if damage may hide the newest term or vote, the replica neither votes nor campaigns",
        "edits": [("dataplane/ring/recover_walk.c",
                   "    ring_damage_note(found, RING_ROT_PAGE, \"page %llu is named by no page behind it\","
                   " (ull)page);",
                   "    ring_bad_page_note(found, RING_ROT_PAGE, \"page %llu is named by no page behind it\","
                   " (ull)page);")],
    },
    {
        "name": "empty slots behind a damaged end count as lost",
        "breaks": "rot is known damage if each lost page is named and the last head is intact (docs/ring-format.md)",
        "edits": [("dataplane/ring/recover_judge.c",
                   "    if (head && bytes->page == page && bytes->last_lsn > end->last_lsn)",
                   "    if (head && bytes->page == page && bytes->last_lsn > UINT64_MAX - 1)")],
    },
    {
        "name": "a checkpoint over a hole brings no configuration",
        "breaks": "who cannot read the configuration in force neither campaigns nor judges denials (H4)",
        "edits": [("consensus/raft/raft_install.c",
                   "    if (in->index <= raft->commit) {\n        raft_config_repaired(raft, in->config);\n"
                   "        return;\n    }",
                   "    if (in->index <= raft->commit)\n        return;"),
                  ("consensus/raft/raft_install.c",
                   "    raft_config_repaired(raft, in->config);\n    raft_config_committed(raft);",
                   "    raft_config_committed(raft);")],
    },
    {
        "name": "only who knows that it is a voter denies",
        "breaks": "a leader settles its holes: an entry that no quorum can have held is given up (H5)",
        "edits": [("consensus/raft/raft_repair.c", "    return msg->term == raft->term && msg->prev_index >=",
                   "    return msg->term == raft->term && raft_is_voter(raft) && msg->prev_index >=")],
    },
    {
        "name": "denied though it was acknowledged and lost",
        "breaks": "a replica with a hole does not deny what it acknowledged (H5)",
        "edits": [("consensus/raft/raft_repair.c",
                   "    if (told ? term == msg->prev_term : msg->prev_index < raft->log.first) {",
                   "    if (told ? term == msg->prev_term && raft->hole == 0 : msg->prev_index < raft->log.first) {")],
    },
]
