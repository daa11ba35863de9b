"""Set locks: bugs of leases, locks, events and sequencers. As set_a.py."""

TOOLS = ("simulator", "judge", "tests")
LEAST_BY_STRONG = 11  # of 17

MUTANTS = [
    {
        "name": "two believers after fail-over",
        "breaks": "a new leader gives every session TTL_max x (1 + rho) from applying its own no-op",
        "edits": [("consensus/machine/machine_sessions.c",
                   "           machine->log_ns - machine->noop_log_ns >= machine->ttl_max_ms * stretch &&\n", ""),
                  ("control/sessions.c",
                   "    return c->now_ns >= c->leading_ns + with_rho_ns(c, c->options.genesis->ttl_max_ms);",
                   "    return true;"),
                  ("control/sessions.c", "    since = since > c->leading_ns ? since : c->leading_ns;\n", "")],
    },
    {
        "name": "expiry by wall clock",
        "breaks": "apply judges leases and delays by log_ns only, so a step of the wall clock expires nobody",
        "edits": [("dataplane/step.c",
                   "    r->last_log_ns = r->log_base_ns + (r->now_ns - r->log_base_at_ns);",
                   "    uint64_t wall_ns = entry->utc_ns;\n"
                   "    r->last_log_ns = wall_ns > r->last_log_ns ? wall_ns : r->last_log_ns;")],
    },
    {
        "name": "renewal by a deposed leader",
        "breaks": "KeepAlive is answered only inside the leader's lease",
        "edits": [("dataplane/leadership.c",
                   "    return r->raft.role == RAFT_LEADER && r->raft.term == term &&\n"
                   "           r->raft.transfer.lease_ended == 0 &&\n"
                   "           raft_quorum_age_ns(&r->raft, clock_now_ns(r->clock)) < lease_ns;",
                   "    (void)term;\n    (void)lease_ns;\n    return r->raft.role == RAFT_LEADER;"),
                  ("control/control.c",
                   "           s->transfer.lease_ended == 0 && /* H19 */\n"
                   "           s->quorum_age_ns < c->options.genesis->election_min_ms * 1000000ull;",
                   "           true;")],
    },
    {
        "name": "expiry without term",
        "breaks": "an expiry is refused unless its term is that of the latest no-op",
        "edits": [("consensus/machine/machine_sessions.c", "    return end->term == machine->noop_term && end->epoch",
                   "    return end->epoch")],
    },
    {
        "name": "the dead keep their locks",
        "breaks": "one session object serves sequencing and locks, so that its death fences both",
        "edits": [("consensus/machine/machine_sessions.c",
                   "    machine_locks_end(machine, s, reason == SESSION_END_CLEAN,\n"
                   "                      reason == SESSION_END_KILLED ? s->ttl_ms : 0);\n", "")],
    },
    {
        "name": "generations count in their node",
        "breaks": "generations are 64-bit, monotone, in checkpoints, raised on restore",
        "edits": [("consensus/machine/machine_locks.c", "        node->lock_generation = machine->applied;",
                   "        node->lock_generation++;")],
    },
    {
        "name": "lease not ended before transfer",
        "breaks": "the leader's lease ends for the rest of the term before TimeoutNow is sent (H19)",
        "edits": [("dataplane/leadership.c", "           r->raft.transfer.lease_ended == 0 &&\n", ""),
                  ("control/control.c", "           s->transfer.lease_ended == 0 && /* H19 */\n", "")],
    },
    {
        "name": "a taken over session's locks are free at once",
        "breaks": "a resume ends the older life: its locks are freed as by an unclean end (H16)",
        "edits": [("consensus/machine/machine_sessions.c", "    machine_locks_end(machine, s, false, s->ttl_ms);",
                   "    machine_locks_end(machine, s, true, 0);")],
    },
    {
        "name": "a taken over session keeps its locks",
        "breaks": "a resume ends the older life: its locks are freed as by an unclean end (H16)",
        "edits": [("consensus/machine/machine_sessions.c", "    machine_locks_end(machine, s, false, s->ttl_ms);\n", "")],
    },
    {
        "name": "the older life is kept alive",
        "breaks": "no keepalive is answered for a life that an appended entry has ended",
        "edits": [("dataplane/intake.c",
                   "    return session->ended_log_ns == 0 && overlay(r, session)->epoch == lease->epoch;",
                   "    return true;"),
                  ("control/keepalive.c",
                   "    return notice->u.keepalive.body.epoch < session->epoch ? MACHINE_EPOCH : MACHINE_SEQUENCED;",
                   "    return MACHINE_SEQUENCED;")],
    },
    {
        "name": "a client counts from the answer",
        "breaks": "the client counts TTL x (1 - rho) from sending exactly the copy that was answered (H21)",
        "edits": [("client/engine_lease.c", "        bool other = lease_answered(&e->lease, sent_ns, e->ttl_ms,",
                   "        bool other = lease_answered(&e->lease, e->now_ns, e->ttl_ms,")],
    },
    {
        "name": "a client counts from the newest copy",
        "breaks": "the client counts TTL x (1 - rho) from sending exactly the copy that was answered (H21)",
        "edits": [("client/engine_lease.c", "    uint64_t sent_ns = engine_copy_sent(e, answer->request);",
                   "    uint64_t sent_ns = engine_copy_sent(e, e->request);")],
    },
    {
        "name": "a client does not allow for its clock",
        "breaks": "the client counts TTL x (1 - rho)",
        "edits": [("client/lease.c", "(rho_ppm < PPM ? PPM - rho_ppm : 0)", "PPM"),
                  ("client/lease.c", "lease_answered(struct lease *lease, uint64_t sent_ns, uint32_t ttl_ms, uint32_t rho_ppm,\n"
                   "                    uint64_t term, uint64_t now_ns)\n{",
                   "lease_answered(struct lease *lease, uint64_t sent_ns, uint32_t ttl_ms, uint32_t rho_ppm,\n"
                   "                    uint64_t term, uint64_t now_ns)\n{\n    (void)rho_ppm;")],
    },
    {
        "name": "events of an older state",
        "breaks": "a client takes no event from a state older than its results",
        "edits": [("client/engine_lease.c", "    bool known = answer->last >= e->settled;", "    bool known = true;"),
                  ("client/engine_lease.c", "        if (of_lock(event.at.kind) && overtaken(e, event.at.node, answer->last))",
                   "        if (false && overtaken(e, event.at.node, answer->last))"),
                  ("client/engine.c", "    if (engine_gives_up(op->operation))\n", "    if (false)\n")],
    },
    {
        "name": "a stale sequencer is sequenced",
        "breaks": "sequenced only if, at its own place in the order, that lock is held at exactly that generation",
        "edits": [("consensus/machine/machine_locks.c",
                   "    return node != NULL && node->holders > 0 && node->lock_mode == sequencer->mode &&\n"
                   "           node->lock_generation == sequencer->generation;",
                   "    return node != NULL && node->holders > 0 && node->lock_mode == sequencer->mode;")],
    },
    {
        "name": "a shared request joins an exclusive holder",
        "breaks": "at most one session holds an exclusive lock at any instant of true time",
        "edits": [("consensus/machine/machine_locks.c",
                   "(mode == LOCK_SHARED && node->lock_mode == LOCK_SHARED)", "mode == LOCK_SHARED")],
    },
    {
        "name": "a session that speaks expires",
        "breaks": "the time to live counts from the last packet of the owner",
        "edits": [("control/sessions.c", "    since = since > n->alive_ns ? since : n->alive_ns;\n",
                   "    since = 0;\n")],
    },
]
