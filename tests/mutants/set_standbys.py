"""Set standbys: bugs of the autopilot, hunted in worlds where voters die for good (`keel-sim --standbys`). As set_a.py.
A leader's control and apply judge the same twice: what one of them would still catch is taken out of both."""

TOOLS = ("simulator",)
SIMULATOR = ("--standbys",)
LEAST_BY_STRONG = 8  # all

PILOT = "control/autopilot.c"
MACHINE = "consensus/machine/machine_autopilot.c"

MUTANTS = [
    {
        "name": "replaces without stabilisation",
        "breaks": "nothing within stabilise_ms of any change",
        "edits": [(PILOT, "if (!stabilised(c)) return say(c, AUTOPILOT_WHY_SETTLING, voter);", "(void)stabilised;"),
                  (MACHINE, "|| !passed(machine, a->changed_log_ns, a->stabilise_ms))", ")")],
    },
    {
        "name": "a standby that has just come",
        "breaks": "the standby was heard and caught up for stabilise_ms without a break",
        "edits": [(PILOT, "steady_ns(c, id) >= stabilise_ns(c) && (found == 0 || is_better(c, id, found)))",
                   "(found == 0 || is_better(c, id, found)))"),
                  (MACHINE, "e->silent_ms < a->dead_ms || e->steady_ms < a->stabilise_ms ||",
                   "e->silent_ms < a->dead_ms ||")],
    },
    {
        "name": "a vote goes and none comes",
        "breaks": "a standby takes the place of a dead voter: there are as many as before",
        "edits": [(PILOT, "body.voters = (body.voters & ~dead) | takes; body.learners = (body.learners & ~takes) | dead;",
                   "body.voters &= ~dead;\n    body.learners |= dead;\n    (void)takes;")],
    },
    {
        "name": "two at once",
        "breaks": "one change at a time",
        "edits": [(PILOT, "if (d != NULL && d->state == DECISION_OPEN) return follow(c, d);",
                   "if (d != NULL && d->state == DECISION_OPEN && is_due(c, c->autopilot.proposed_ns))\n"
                   "        return follow(c, d);"),
                  (PILOT, "c->status.autopilot.standby = standby; return is_due(c, c->autopilot.proposed_ns) ? propose(c, &body) : 0;",
                   "c->status.autopilot.standby = standby;\n    return propose(c, &body);"),
                  (MACHINE, "if (d->state == DECISION_OPEN) return true; return a->mode", "return a->mode")],
    },
    {
        "name": "dead since before its own term",
        "breaks": "a new leader begins to count at zero",
        "edits": [(PILOT, "if (since_ns < c->autopilot.since_ns) since_ns = c->autopilot.since_ns;", ""),
                  (MACHINE, "!passed(machine, machine->noop_log_ns, a->dead_ms) ||", "")],
    },
    {
        "name": "the returned voter gets its vote back",
        "breaks": "its vote does not come back with it",
        "edits": [(PILOT, "say(c, AUTOPILOT_WHY_RETURNING, id);",
                   "struct entry_config config = *control_config(c);\n"
                   "        config.voters |= UINT32_C(1) << id;\n"
                   "        config.learners &= ~config.voters;\n"
                   "        control_propose(c, PROPOSER_AUTOPILOT, 1, ENTRY_CONFIG, &config, sizeof(config),\n"
                   "                        c->machine->config_index);\n"
                   "        say(c, AUTOPILOT_WHY_RETURNING, id);")],
    },
    {
        "name": "silent is dead",
        "breaks": "a voter is dead after dead_ms, and before that nothing is done",
        "edits": [(PILOT, "if (silent_ns(c, voter) >= dead_ns(c)) return replace(c, voter);",
                   "return replace(c, voter);"),
                  (PILOT, "if (silent_ns(c, d->voter) < dead_ns(c)) return say(c, AUTOPILOT_WHY_WATCHING, d->voter);", ""),
                  (MACHINE, "e->silent_ms < a->dead_ms || e->steady_ms", "e->steady_ms")],
    },
    {
        "name": "dead is silent for ever",
        "breaks": "a dead voter is replaced by a caught-up standby",
        "edits": [(PILOT, "if (silent_ns(c, voter) >= dead_ns(c)) return replace(c, voter);",
                   "if (silent_ns(c, voter) >= dead_ns(c) && heard_ns(c, voter) != 0)\n"
                   "        return replace(c, voter);")],
    },
]
