"""Set detector: bugs of the failure detector. As set_a.py. It decides nothing, so no trace shows them: what
counts is what the simulator's own check of it finds."""

TOOLS = ("simulator", "tests")
LEAST_BY_STRONG = 5  # of 8

MUTANTS = [
    {
        "name": "dead as soon as suspect",
        "breaks": "nobody is dead of whom packets keep coming",
        "edits": [("control/suspicion.c", "    if (milli >= SUSPICION_DEAD)", "    if (milli >= SUSPICION_SUSPECT)")],
    },
    {
        "name": "a gap without a bound",
        "breaks": "who is down is dead within SUSPICION_DEAD_MAX_MS",
        "edits": [("control/suspicion.c", "    return usual_ns < most_ns ? usual_ns : most_ns;",
                   "    (void)most_ns;\n    return usual_ns;")],
    },
    {
        "name": "nobody returns",
        "breaks": "who is heard for long enough is well again",
        "edits": [("control/suspicion.c",
                   "    if (returns && s->listened_ns - s->suspected_ns < SUSPICION_RETURN_MS * NS_PER_MS)",
                   "    if (returns)")],
    },
    {
        "name": "followers are judged by Raft's packets",
        "breaks": "every replica judges each other one, leader or not",
        "edits": [("control/detector.c", "    bool came = seen->assoc_heard_ns[id] != p->heard_ns && seen->assoc_heard_ns[id] != 0;",
                   "    bool came = seen->peer_heard_ns[id] != p->heard_ns && seen->peer_heard_ns[id] != 0;"),
                  ("control/detector.c", "    p->heard_ns = seen->assoc_heard_ns[id];\n    if (seen->trip[id].beats != p->beats)",
                   "    p->heard_ns = seen->peer_heard_ns[id];\n    if (false)")],
    },
    {
        "name": "another incarnation speaks for the member",
        "breaks": "an answer under the member's id that is not the member's is none of it",
        "edits": [("control/detector.c", "    if (came && seen->assoc_incarnation[id] == p->incarnation)", "    if (came)")],
    },
    {
        "name": "the stopped accuse",
        "breaks": "time counts only while seq took turns",
        "edits": [("control/detector.c", "    if (step_ns > DETECTOR_STEP_MS * NS_PER_MS)\n", "    if (false)\n")],
    },
    {
        "name": "an outage is what is usual",
        "breaks": "a gap that ended with a restart teaches nothing",
        "edits": [("control/suspicion.c", "    s->beaten = false;", "    (void)s;")],
    },
    {
        "name": "a moment is slow",
        "breaks": "slow, or not slow, for so long: the grade follows",
        "edits": [("control/suspicion.c", "        if (s->listened_ns - other_ns < SUSPICION_SLOW_MS * NS_PER_MS)",
                   "        if (other_ns > s->listened_ns)")],
    },
]
