"""Set explore: bugs of the Raft core and its gate that the explorer finds alone. Each edit is (file, old, new); the
old text, whatever its line breaks, stands there exactly once. `breaks` names the rule: a sentence of
docs/design.md, or a section of the dissertation. The explorer looks through SCOPES in this order, whatever the
mutant, each to its fixpoint."""

SCOPES = ("restart", "terms", "drive")
TOOLS = ("explorer",)
LEAST_BY_STRONG = 19  # all of them

ELECTION = "consensus/raft/raft_election.c"
APPEND = "consensus/raft/raft_append.c"
REPLICATE = "consensus/raft/raft_replicate.c"
STEP = "consensus/raft/raft_step.c"

MUTANTS = [
    {
        "name": "vote before durable",
        "breaks": "what a replica says about itself waits in the gate for the LSN that makes it true",
        "edits": [(ELECTION,
                   "raft_emit(raft, out, raft->hard_lsn, RAFT_VOTE_REPLY, msg->from);",
                   "raft_emit(raft, out, 0, RAFT_VOTE_REPLY, msg->from);")],
    },
    {
        "name": "candidate asks before its vote is durable",
        "breaks": "3.8: term and vote are on stable storage before a server speaks of them",
        "edits": [(ELECTION,
                   "raft_emit(raft, out, raft->hard_lsn, kind, id);",
                   "raft_emit(raft, out, kind == RAFT_VOTE ? 0 : raft->hard_lsn, kind, id);")],
    },
    {
        "name": "vote forgotten at a restart",
        "breaks": "3.8: a restart cannot vote again in the same term",
        "edits": [(STEP, "raft->vote = boot->vote;", "raft->vote = 0;")],
    },
    {
        "name": "second vote of a term",
        "breaks": "3.4: one vote a term, first come first served",
        "edits": [(ELECTION,
                   "(raft->vote == 0 || has_own_vote(raft, in)); if (grant && raft->vote == 0) {",
                   "(raft->vote == 0 || raft->vote != raft->id); if (grant) {")],
    },
    {
        "name": "vote without looking at the log",
        "breaks": "3.6.1: only for a log that holds everything that can be committed",
        "edits": [(ELECTION, "if (msg->prev_term != last_term) return msg->prev_term > last_term; "
                             "return msg->prev_index >= raft->log.last;",
                   "return msg->prev_term + 1 > 0 || last_term > 0;")],
    },
    {
        "name": "longer log beats later term",
        "breaks": "3.6.1: up to date is who has the later last term",
        "edits": [(ELECTION, "return msg->prev_term > last_term;",
                   "return msg->prev_index > raft->log.last;")],
    },
    {
        "name": "pre-vote grants kept as votes",
        "breaks": "9.6: a pre-vote promises nothing",
        "edits": [(ELECTION, "raft->role = RAFT_CANDIDATE; raft->granted = 0; raft->steady = 0; "
                   "raft->denied = 0; raft->votes = 0;",
                   "raft->role = RAFT_CANDIDATE; raft->votes = raft->granted & ~raft_bit(raft->id); "
                   "raft->granted = 0; raft->steady = 0; raft->denied = 0;")],
    },
    {
        "name": "quorum off by one",
        "breaks": "any majority of drives commits",
        "edits": [("consensus/raft/quorum.c",
                   "sorted[count / 2]", "sorted[count / 2 - (count > 2)]")],
    },
    {
        "name": "half elects",
        "breaks": "3.4: a majority of votes for one term wins it",
        "edits": [("consensus/raft/quorum.c",
                   "return 2 * members(set & mask) > members(set);",
                   "return 2 * members(set & mask) + 1 >= members(set);")],
    },
    {
        "name": "old term committed by counting",
        "breaks": "3.6.2, figure 3.7: an entry of an earlier term is not committed by counting",
        "edits": [(REPLICATE,
                   "    if (index < raft->noop_index)\n        return;\n"
                   "    ENSURE(index > raft->commit);\n",
                   "    if (index <= raft->commit)\n        return;\n")],
    },
    {
        "name": "leader counts what it has not written",
        "breaks": "10.2.1: the leader counts itself only for what its own drive holds",
        "edits": [(REPLICATE, "values[raft->id] = raft_own_durable(raft);",
                   "values[raft->id] = raft->log.last;")],
    },
    {
        "name": "acknowledgement before durable",
        "breaks": "3.8: an acknowledgement waits until its last entry is durable",
        "edits": [(APPEND, "out->send[out->send_count - 1].lsn = lsn;",
                   "out->send[out->send_count - 1].lsn = lsn < raft->hard_lsn ? lsn : "
                   "raft->hard_lsn;")],
    },
    {
        "name": "acknowledged by index after truncation",
        "breaks": "the drive's position is the highest LSN at and below which all is written",
        "edits": [(STEP, "raft->durable_floor = durable < index ? durable : index - 1;",
                   "raft->durable_floor = durable;")],
    },
    {
        "name": "heartbeat acknowledges what was not compared",
        "breaks": "3.5: a follower's log equals the leader's only up to where they were compared",
        "edits": [(APPEND, "reply->match = raft_durable_index(raft);",
                   "reply->match = raft_own_durable(raft);")],
    },
    {
        "name": "acknowledgement of an older term counted",
        "breaks": "3.3: a server that gets a request or answer of an old term ignores it",
        "edits": [(REPLICATE,
                   "if (msg->term < raft->term || raft->role != RAFT_LEADER ||",
                   "if (raft->role != RAFT_LEADER ||")],
    },
    {
        "name": "vote of an older term counted",
        "breaks": "3.4: votes count for the term in which they were given",
        "edits": [(ELECTION, "if ((raft->role != RAFT_CANDIDATE && !late) || msg->term != raft->term)",
                   "if (raft->role != RAFT_CANDIDATE && !late)")],
    },
    {
        "name": "commit beyond what was compared",
        "breaks": "3.5: a follower commits only what is known to equal the leader's log",
        "edits": [(APPEND,
                   "msg->commit < raft->agreed ? msg->commit : raft->agreed;",
                   "msg->commit < raft->log.last ? msg->commit : raft->log.last;")],
    },
    {
        "name": "entry before not compared",
        "breaks": "3.5, log matching: entries are refused unless the one before them has the same term",
        "edits": [(APPEND, "if (term != msg->prev_term) return",
                   "if (term > msg->prev_term + 15) return")],
    },
    {
        "name": "testimony outlives its term",
        "breaks": "the gate drops what a later term has overtaken",
        "edits": [("dataplane/gate.c", "} else if (!raft_send_stands(raft, send)) {",
                   "} else if (!raft_send_stands(raft, send) && send->msg.kind == RAFT_PREVOTE) {")],
    },
]
