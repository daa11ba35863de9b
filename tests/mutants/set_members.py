"""Set members: bugs of the membership change in the Raft core. Each edit is (file, old, new); the old text,
whatever its line breaks, stands there exactly once. `breaks` quotes the sentence of the dissertation
(4.1 to 4.3), of docs/raft.md or of docs/design.md that is broken.

Tools: the explorer in its scope of members, the random worlds of test_raft_random, the Raft transcripts, the core's
unit tests: no other part of Keel has to stand for them to show. The explorer finds 17 of the 23 alone; five of the others
need another incarnation, which its scopes do not have, and one four voters."""

TOOLS = ("explorer", "worlds", "transcripts", "core")
SCOPES = ("members",)
STATES_MAX = 2500000  # of that scope's eight million: what it finds lies nearer
LEAST_BY_STRONG = 16  # all but one are found by explorer and worlds; no trace of the simulator shows four of them

CONFIG = "consensus/raft/raft_config.c"
QUORUM = "consensus/raft/quorum.c"
STEP = "consensus/raft/raft_step.c"

MUTANTS = [
    {
        "name": "joint committed by the new alone",
        "breaks": "commitment needs a majority of the old voters and one of the new (4.3)",
        "edits": [(QUORUM,
                   "return reached < reached_new ? reached : reached_new;",
                   "return reached_new;")],
    },
    {
        "name": "joint committed by the old alone",
        "breaks": "commitment needs a majority of the old voters and one of the new (4.3)",
        "edits": [(QUORUM,
                   "return reached < reached_new ? reached : reached_new;",
                   "return reached < reached_new ? reached_new : reached;")],
    },
    {
        "name": "joint elected by the old alone",
        "breaks": "elections need a majority of the old voters and one of the new (4.3)",
        "edits": [(QUORUM,
                   "return config->voters_new == 0 || majority(config->voters_new, mask);",
                   "return true;")],
    },
    {
        "name": "no joint configuration",
        "breaks": "a change of voters goes through a joint configuration (4.3)",
        "edits": [(CONFIG,
                   "if (next.voters != raft->config.voters) {",
                   "if (next.voters == 0) {")],
    },
    {
        "name": "final before joint is committed",
        "breaks": "once the joint configuration is committed, the leader appends the new one alone (4.3)",
        "edits": [(CONFIG,
                   "if (raft->config.index > raft->commit || raft->commit < raft->noop_index || "
                   "raft_hands_over(raft)) return;",
                   "if ((raft->config.index > raft->commit && raft->config.voters_new == 0) ||\n"
                   "    raft->commit < raft->noop_index || raft_hands_over(raft))\n        return;")],
    },
    {
        "name": "joint left open",
        "breaks": "the next leader finishes a joint configuration that its predecessor left open",
        "edits": [(CONFIG,
                   "if (raft->config.voters_new != 0) { if (in->space)",
                   "if (raft->config.voters_new != 0) {\n"
                   "        if (raft->config.index > raft->noop_index && in->space)")],
    },
    {
        "name": "leader counts itself outside",
        "breaks": "a leader outside the new configuration does not count itself (4.2.2)",
        "edits": [("consensus/raft/raft_replicate.c",
                   "uint64_t index = quorum_reached(&raft->config, values);",
                   "struct raft_config counted = raft->config;\n"
                   "    counted.voters |= raft_bit(raft->id);\n"
                   "    uint64_t index = quorum_reached(&counted, values);")],
    },
    {
        "name": "removed leader leads on",
        "breaks": "a leader outside the new configuration steps down after committing it (4.2.2)",
        "edits": [(CONFIG,
                   "if (!raft_is_voter(raft)) { if (raft->transfer.term",
                   "if (!raft_is_voter(raft) && raft->id == 0) {\n        if (raft->transfer.term")],
    },
    {
        "name": "leader steps down too early",
        "breaks": "a leader outside the new configuration steps down after committing it (4.2.2)",
        "edits": [(CONFIG,
                   "if (raft->config.index > raft->commit || raft->commit < raft->noop_index || "
                   "raft_hands_over(raft)) return;",
                   "if (!raft_is_voter(raft))\n"
                   "        raft_become_follower(raft, in, out, raft->term);\n"
                   "    if (raft->config.index > raft->commit || raft->commit < raft->noop_index || "
                   "raft_hands_over(raft))\n"
                   "        return;")],
    },
    {
        "name": "truncation keeps the configuration",
        "breaks": "a server falls back to the previous configuration when its log is cut back (4.1)",
        "edits": [(STEP, "raft_config_truncated(raft);", "")],
    },
    {
        "name": "restart forgets what may come back",
        "breaks": "an uncommitted configuration rolls back, also across a restart (4.1)",
        "edits": [(CONFIG,
                   "push(raft, &boot->config[i]);",
                   "push(raft, &boot->config[i]);\n"
                   "        memset(&raft->previous, 0, sizeof(raft->previous));")],
    },
    {
        "name": "change before own-term commit",
        "breaks": "without an entry of its own term committed, a leader may change what it does not know",
        "edits": [(CONFIG,
                   "if (raft->commit < raft->noop_index) return RAFT_REFUSED_UNSETTLED;",
                   "")],
    },
    {
        "name": "change while one is open",
        "breaks": "no change before the last one is committed (4.1)",
        "edits": [(CONFIG,
                   "now->index > raft->commit || now->voters_new != 0 || !raft_is_voter(raft)",
                   "now->voters_new != 0 || !raft_is_voter(raft)")],
    },
    {
        "name": "change of what is not in force",
        "breaks": "each change compare-and-set on the configuration in force",
        "edits": [(CONFIG, "if (wanted->index != now->index) return RAFT_REFUSED_OUTDATED;", "")],
    },
    {
        "name": "member renewed in place",
        "breaks": "another incarnation returns only as a learner through a committed change",
        "edits": [(CONFIG,
                   "now->incarnation[id] != wanted->incarnation[id])",
                   "now->incarnation[id] == 0)")],
    },
    {
        "name": "answer of another incarnation",
        "breaks": "another incarnation of that id has no vote",
        "edits": [(STEP,
                   "return raft_is_member(raft, msg->from, in->incarnation);",
                   "return (raft_members(&raft->config) & raft_bit(msg->from)) != 0;")],
    },
    {
        "name": "match of another incarnation",
        "breaks": "another incarnation of that id has no acknowledgement",
        "edits": [(STEP,
                   "return raft_is_member(raft, msg->from, in->incarnation) ||",
                   "return (raft_members(&raft->config) & raft_bit(msg->from)) != 0 ||")],
    },
    {
        "name": "match survives another incarnation",
        "breaks": "another incarnation of that id has match 0",
        "edits": [(CONFIG,
                   "if ((after & ~before & raft_bit(id)) != 0) raft_peer_begin(raft, id);",
                   "if ((after & ~before & ~after & raft_bit(id)) != 0)\n"
                   "            raft_peer_begin(raft, id);")],
    },
    {
        "name": "regrant to another incarnation",
        "breaks": "another incarnation of a candidate may not ask again",
        "edits": [("consensus/raft/raft_election.c",
                   "return raft->vote == in->msg.from && in->incarnation != 0 && "
                   "raft->vote_incarnation == in->incarnation;",
                   "return raft->vote == in->msg.from;")],
    },
    {
        "name": "old voter does not campaign",
        "breaks": "a voter of the old configuration may still have to campaign (4.2.2, erratum)",
        "edits": [(CONFIG,
                   "return votes_under(raft, &raft->config) || votes_under(raft, &raft->previous);",
                   "return votes_under(raft, &raft->config);")],
    },
    {
        "name": "stranger becomes a voter",
        "breaks": "a new server first catches up as a learner (4.2.1)",
        "edits": [(CONFIG,
                   "!caught_up(raft, id)) return RAFT_REFUSED_BEHIND;",
                   "!caught_up(raft, id) && id == 0)\n            return RAFT_REFUSED_BEHIND;")],
    },
    {
        "name": "removed replica's term counts",
        "breaks": "a removed replica does not disturb the rest (4.2.3)",
        "edits": [(STEP,
                   "((raft->leaving & raft_bit(msg->from)) != 0 && msg->term <= raft->term);",
                   "(raft->leaving & raft_bit(msg->from)) != 0;")],
    },
    {
        "name": "votes of an older candidacy count",
        "breaks": "votes count for the term in which they were given (3.4)",
        "edits": [("consensus/raft/raft_election.c",
                   "raft->denied = 0; raft->votes = 0; raft->leader = 0; raft->leader_probe = 0;",
                   "raft->denied = 0; raft->leader = 0; raft->leader_probe = 0;")],
    },
]
