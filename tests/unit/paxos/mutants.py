#!/usr/bin/env python3
"""Bugs planted in the Paxos core. usage: mutants.py NAME SOURCE-DIR OUT-DIR; mutants.py --names

Writes the core's sources with one of them to OUT-DIR, each as NAME_file.c. The text that an edit replaces stands
in its file exactly once, else this fails. Which tests find which is said in meson.build. `breaks` is the rule."""

import os
import sys

SOURCES = ("paxos.c", "paxos_lock.c", "paxos_acceptor.c", "paxos_proposer.c", "paxos_why.c")

MUTANTS = {
    "promise_before_all_locks": {
        "breaks": "before any promise all founders durably lock the same list",
        "edits": [("paxos_lock.c", "(others(paxos) & ~paxos->locked) == 0;", "true;")],
    },
    "promise_before_own_lock": {
        "breaks": "the own lock is durable before a promise, too",
        "edits": [("paxos_lock.c", " ||\n        paxos->lock_persist > paxos->durable)", ")")],
    },
    "lock_replaced": {
        "breaks": "one lock a format",
        "edits": [("paxos_lock.c", "if (paxos->record.lock != 0 || !paxos_is_named(paxos))",
                   "if (paxos->record.lock == paxos->list || !paxos_is_named(paxos))")],
    },
    "wiped_founder_believed": {
        "breaks": "a founder is (id, incarnation) (H1)",
        "edits": [("paxos_lock.c", "return paxos->proposal.founder[paxos->id].incarnation == paxos->incarnation;",
                   "return paxos->proposal.founder[paxos->id].incarnation != 0;"),
                  ("paxos_lock.c", "if (in->incarnation != paxos->proposal.founder[msg->from].incarnation) {",
                   "if (paxos->proposal.founder[msg->from].incarnation == 0) {"),
                  ("paxos.c", "in->incarnation != paxos->proposal.founder[msg->from].incarnation)",
                   "paxos->proposal.founder[msg->from].incarnation == 0)")],
    },
    "another_lists_record": {
        "breaks": "who has locked a list installs what it decides, and nothing else",
        "edits": [("paxos_lock.c", "if (!names || !paxos_value_fits(list, value)) {", "if (list == 0 || !names) {")],
    },
    "promise_before_durable": {
        "breaks": "acceptor state is durable before each reply that rests on it",
        "edits": [("paxos_acceptor.c", "paxos_emit(paxos, out, paxos->persist, PAXOS_PROMISE, msg->from);",
                   "paxos_emit(paxos, out, 0, PAXOS_PROMISE, msg->from);")],
    },
    "accepted_before_durable": {
        "breaks": "acceptor state is durable before each reply that rests on it",
        "edits": [("paxos_acceptor.c", "paxos_emit(paxos, out, paxos->persist, PAXOS_ACCEPTED, msg->from)",
                   "paxos_emit(paxos, out, 0, PAXOS_ACCEPTED, msg->from)")],
    },
    "prepare_before_durable": {
        "breaks": "no later life begins the same ballot again",
        "edits": [("paxos_proposer.c", "emit_to(paxos, out, id, paxos->persist, PAXOS_PREPARE);",
                   "emit_to(paxos, out, id, 0, PAXOS_PREPARE);")],
    },
    "decided_before_durable": {
        "breaks": "the decided record is durable before it is told",
        "edits": [("paxos_proposer.c", "emit_to(paxos, out, id, paxos->persist, PAXOS_DECIDED);",
                   "emit_to(paxos, out, id, 0, PAXOS_DECIDED);")],
    },
    "accept_below_promise": {
        "breaks": "accepts unless it has promised a higher ballot (2.2)",
        "edits": [("paxos_acceptor.c",
                   "        return;\n    }\n    if (msg->ballot < paxos->record.promised) {\n        refuse(paxos, msg, out);\n"
                   "        return;\n    }\n    if (msg->ballot != paxos->record.accepted) {",
                   "        return;\n    }\n    if (msg->ballot < paxos->record.accepted) {\n        refuse(paxos, msg, out);\n"
                   "        return;\n    }\n    if (msg->ballot != paxos->record.accepted) {"),
                  ("paxos_acceptor.c",
                   "        paxos->record.promised = msg->ballot;\n        paxos->record.accepted = msg->ballot;",
                   "        if (paxos->record.promised < msg->ballot)\n            paxos->record.promised = msg->ballot;\n"
                   "        paxos->record.accepted = msg->ballot;")],
    },
    "own_value_in_spite": {
        "breaks": "the value of the highest-numbered proposal among the promises (2.2)",
        "edits": [("paxos_proposer.c", "if (msg->held > paxos->choice_ballot) {", "if (msg->held > msg->ballot) {")],
    },
    "value_of_the_last_promise": {
        "breaks": "the value of the highest-numbered proposal among the promises (2.2)",
        "edits": [("paxos_proposer.c", "if (msg->held > paxos->choice_ballot) {", "if (msg->held != 0) {")],
    },
    "own_acceptance_forgotten": {
        "breaks": "a proposer is its own first acceptor",
        "edits": [("paxos_proposer.c", "paxos->choice = record->accepted != 0 ? record->value : paxos->proposal;",
                   "paxos->choice = paxos->proposal;")],
    },
    "promise_without_value": {
        "breaks": "a promise carries the highest-numbered proposal that was accepted (2.2)",
        "edits": [("paxos_acceptor.c", "    reply->held = paxos->record.accepted;\n", "    reply->held = 0;\n")],
    },
    "half_is_a_majority": {
        "breaks": "a quorum is a majority of the locked list",
        "edits": [("paxos_proposer.c", "2 * __builtin_popcount(mask & voters) > __builtin_popcount(voters)",
                   "2 * __builtin_popcount(mask & voters) >= __builtin_popcount(voters)")],
    },
    "late_answers_count": {
        "breaks": "promises count for the ballot that they were given to",
        "edits": [("paxos_proposer.c", "if (paxos->phase != PAXOS_PREPARING || msg->ballot != paxos->ballot) {",
                   "if (paxos->phase != PAXOS_PREPARING) {")],
    },
    "does_not_yield": {
        "breaks": "who has promised a higher ballot gives its own up",
        "edits": [("paxos_acceptor.c",
                   "        paxos_yield(paxos);\n        paxos->record.promised = msg->ballot;\n        paxos_persist(",
                   "        paxos->record.promised = msg->ballot;\n        paxos_persist(")],
    },
    "installed_server_promises": {
        "breaks": "who has a genesis record answers with it, never with a promise",
        "edits": [("paxos.c", "if (paxos->record.decided && asks) {",
                   "if (paxos->record.decided && msg->kind == PAXOS_HELLO) {"),
                  ("paxos.c", "if (paxos->record.decided) {\n        out->drop = PAXOS_DROP_STALE;",
                   "if (paxos->record.decided && !asks) {\n        out->drop = PAXOS_DROP_STALE;")],
    },
    "silent_about_its_list": {
        "breaks": "with every founder up and equal lists it ends in one record",
        "edits": [("paxos_lock.c", "if (in->msg.kind == PAXOS_HELLO)", "if (in->msg.kind == PAXOS_HELLO && out->write)"),
                  ("paxos.c", "        paxos_ask(paxos, out);\n        paxos_wait(out, PAXOS_HELLO_MS, in->random);\n        return;",
                   "        paxos_wait(out, PAXOS_HELLO_MS, in->random);\n        return;")],
    },
}


def plant(name, source_dir, out_dir):
    texts = {}
    for source in SOURCES:
        with open(os.path.join(source_dir, source), encoding="utf-8") as file:
            texts[source] = file.read()
    for source, old, new in MUTANTS[name]["edits"]:
        if texts[source].count(old) != 1:
            sys.exit("mutants.py: %s: not exactly once in %s: %s" % (name, source, old))
        texts[source] = texts[source].replace(old, new)
    for source, text in texts.items():
        with open(os.path.join(out_dir, "%s_%s" % (name, source)), "w", encoding="utf-8") as file:
            file.write(text)


if len(sys.argv) == 2 and sys.argv[1] == "--names":
    print("\n".join(MUTANTS))
elif len(sys.argv) == 4 and sys.argv[1] in MUTANTS:
    plant(*sys.argv[1:])
else:
    sys.exit(__doc__)
