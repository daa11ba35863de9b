"""Set a: twelve bugs of ordering, durability, authentication and feed. Each edit is (file, old, new);
the old text, whatever
its line breaks, stands there exactly once. `breaks` quotes the sentence of the design that is broken."""

TOOLS = ("simulator", "judge", "tests")
LEAST_BY_STRONG = 9 # by simulator or judge

MUTANTS = [
    {
        "name": "vote before durable",
        "breaks": "testimony about this replica waits for the LSN that makes it true",
        "edits": [("consensus/raft/raft_election.c",
                   "raft_emit(raft, out, raft->hard_lsn, RAFT_VOTE_REPLY, msg->from);",
                   "raft_emit(raft, out, 0, RAFT_VOTE_REPLY, msg->from);")],
    },
    {
        "name": "ack by index after truncation",
        "breaks": "the durable position is an LSN, not an index",
        "edits": [("consensus/raft/raft_step.c",
                   "    raft->durable_floor = durable < index ? durable : index - 1;",
                   "    raft->durable_floor = durable;")],
    },
    {
        "name": "publish before commit",
        "breaks": "the feed never shows an uncommitted message",
        "edits": [("dataplane/apply.c",
                   "r->machine->applied < r->raft.commit &&",
                   "r->machine->applied < r->raft.log.last &&")],
    },
    {
        "name": "quorum off by one",
        "breaks": "an acknowledged message is on stable storage of a quorum",
        "edits": [("consensus/raft/quorum.c",
                   "sorted[count / 2]", "sorted[count / 2 - (count > 2)]")],
    },
    {
        "name": "old term committed by counting",
        "breaks": "an own-term no-op before anything else (3.6.2)",
        "edits": [("consensus/raft/raft_replicate.c",
                   "    if (index < raft->noop_index)\n        return;\n"
                   "    ENSURE(index > raft->commit);\n",
                   "    if (index <= raft->commit)\n        return;\n")],
    },
    {
        "name": "tail rot taken for a tear",
        "breaks": "a bad page may go only if each of its bad sectors reads as zeros",
        "edits": [("dataplane/ring/recover_judge.c",
                   "    if (!zeros) {\n", "    if (!zeros && page > end->flight_end) {\n")],
    },
    {
        "name": "overlay not cut back",
        "breaks": "the overlay is rebuilt at election, cut back on truncation",
        "edits": [("dataplane/intake.c",
                   "    if (slot->session != session->id || slot->term != r->raft.term) {",
                   "    if (slot->session != session->id) {")],
    },
    {
        "name": "duplicate resequenced",
        "breaks": "each message is sequenced exactly once, however often it was resent",
        # Two guards stand in the way of the same bug; both must fall for it to show.
        "edits": [("dataplane/intake.c",
                   "&& r->machine->applied >= r->raft.noop_index;", ";"),
                  ("consensus/machine/machine_apply.c",
                   "    uint64_t number = m->number;\n",
                   "uint64_t number = m->number;\n"
                   "    if (number <= s->last) /* intake has looked */\n"
                   "        s->last = number - 1;\n")],
    },
    {
        "name": "nonce reused",
        "breaks": "the nonce is a counter from 1 under that key (H18)",
        "edits": [("dataplane/auth/auth.c",
                   "    record->confirmed = place;\n    a->peer.confirmed = true;",
                   "    record->confirmed = place;\n    a->counter_out = 0;\n"
                   "    a->peer.confirmed = true;")],
    },
    {
        "name": "replay window off",
        "breaks": "a replay window as in RFC 6479",
        "edits": [("dataplane/auth/auth.c",
                   "    if (!replay_window_fresh(&a->window, head.counter))",
                   "    if (head.counter == 0)")],
    },
    {
        "name": "stale line heartbeats",
        "breaks": "a line that is cut off says nothing rather than \"nothing happened\"",
        "edits": [("dataplane/feed.c",
                   "contact_ns == 0 || (feed->now_ns > contact_ns && "
                   "feed->now_ns - contact_ns > limit_ns)",
                   "contact_ns == 0 && limit_ns > 0")],
    },
    {
        "name": "checkpoint above the local log",
        "breaks": "a checkpoint is written only for an index within the durable position (H14)",
        # Control takes seq's machine, which may have applied what the own drive does not hold yet, and the
        # ring's second look at the drive is gone too.
        "edits": [("control/checkpoint.c",
                   ".index = c->machine->applied,", ".index = c->replica->machine->applied,"),
                  ("control/checkpoint.c",
                   ".chain = c->chain,",
                   ".chain = ring_chain(c->replica->ring, c->replica->machine->applied),"),
                  ("control/checkpoint.c",
                   "machine_encode(c->machine, c->checkpoint_bytes",
                   "machine_encode(c->replica->machine, c->checkpoint_bytes"),
                  ("dataplane/ring/checkpoint.c",
                   "int result = index_is_here(disk, super, head);",
                   "int result = head->index == 0 ? index_is_here(disk, super, head) : 0;")],
    },
]
