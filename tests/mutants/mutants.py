#!/usr/bin/env python3
"""Plants bugs and shows which tool finds each.

    mutants.py [--set NAME] [--only MUTANT] [--seeds N] [--record]
    mutants.py --check
    mutants.py --turn N

All sets, unless --set names one. The tree is copied once and built once; each mutant replaces a few lines
there, is compiled, and is hunted by the tools that its set names, in that order. The unchanged tree goes first
and must pass them all. The tools are used as they stand, with seeds 1, 2, ... in order.

simulator     whole clusters (keel-sim), until a check fails
judge         keel-judge on exported evidence of the first seeds
worlds        random worlds of the Raft core (test_raft_random). They count as strong like the simulator: whole
              clusters of the real core, under faults that a seed draws, over a judge that knows Raft's promises
              and not the mutant; what they lack is storage and network, where these mutants are not
explorer      every run of the core within a small scope; its counter-example is run again by raft_scenarios
transcripts, restoring, table, core, tests    what was written for one case; what only these find shows a gap
              in the others

A mutant that changes nothing is none: where no trace shows what was found, the simulator's traces of 100
seeds are held against the unchanged tree's, and one whose are all the same does not count. One whose text is not
found, which does not build or which a tool does not get through is a failed one. Ends with a table and sums.
Exit 1: a mutant survives or failed, or fewer are found by strong tools than a set, or all of them, demand.

--record writes the table into tests/TRACK-RECORD.md, in place of the same mutants' rows there. --check: each text that a
mutant replaces stands in the tree exactly once, and the record's sums are those of its rows; it builds nothing.
--turn does that, and lets one recorded mutant, another for each N, be found again by the tool that found it.
"""

import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "sim"))
sys.dont_write_bytecode = True

import record
import set_a
import set_checkpoint
import set_detector
import set_explore
import set_locks
import set_members
import set_repair
import set_standbys
import set_transfer
import workshop

SETS = {"a": set_a, "explore": set_explore, "members": set_members, "transfer": set_transfer,
        "checkpoint": set_checkpoint, "detector": set_detector, "repair": set_repair, "locks": set_locks,
        "standbys": set_standbys}
QUICK_S = 60 # what took longer takes no turn


def say(text):
    print(text, flush=True)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def every():
    """Of all sets: (set, mutant) to what it plants."""
    return {(name, mutant["name"]): mutant for name, planted in SETS.items() for mutant in planted.MUTANTS}


def same():
    """What is planted, however it is laid out: two sets may plant the same."""
    return {key: tuple(" ".join(" ".join(edit).split()) for edit in mutant["edits"])
            for key, mutant in every().items()}


def check():
    """What is wrong with the sets and the record, without building anything."""
    problems = record.problems(every(), same())
    if len(every()) != sum(len(planted.MUTANTS) for planted in SETS.values()):
        problems.append("two mutants of a set have one name")
    for (name, _), mutant in every().items():
        try:
            workshop.planted(ROOT, mutant)
        except workshop.Trouble as trouble:
            problems.append(f"set {name}, {mutant['name']}: {trouble}")
    return problems


def examine(shop, name, mutant):
    """Plants one mutant and hunts it: its row."""
    began = time.monotonic()
    before, tool, found, counts = {}, None, None, False
    try:
        before = shop.plant(mutant)
        tool, found = shop.hunt(SETS[name].TOOLS)
        took_s = time.monotonic() - began
        counts = tool in workshop.TRACED or shop.unlike() is not None
    except (workshop.Trouble, subprocess.TimeoutExpired) as trouble:
        why = " ".join(str(trouble).split())
        say(f"{mutant['name']}: FAILED: {why}")
        return record.Row(name, mutant["name"], record.FAILED, why[:120], round(time.monotonic() - began), False)
    finally:
        shop.restore(before)
    if tool is None:
        say(f"{mutant['name']}: SURVIVES after {took_s:.0f} s")
    else:
        say(f"{mutant['name']}: {tool}, {found[0]}, {took_s:.0f} s: {found[1]}")
    if not counts:
        say(f"{mutant['name']}: does not count: the traces of {workshop.TRACED_SEEDS[-1]} seeds are as they were")
    return record.Row(name, mutant["name"], tool or record.SURVIVES, found[0] if found else "-", round(took_s), counts)


def table(rows):
    mutants = every()
    say("")
    say(f"{'mutant':<46} {'found by':<11} {'where':<20} {'s':>4}  breaks")
    for row in rows:
        say(f"{row.mutant:<46} {row.tool:<11} {row.where[:20]:<20} {row.seconds:>4}  "
            f"{'' if row.counts else '(does not count) '}{mutants[row.set, row.mutant]['breaks']}")


def hunt_all(names, options, rows):
    """Adds a row for each mutant of these sets; False: the unchanged tree does not pass."""
    shop = workshop.Workshop(options.seeds)
    try:
        say("the unchanged tree: building, then every tool must be content")
        shop.note_traces()
        for name in names:
            mutants = [m for m in SETS[name].MUTANTS if options.only in (None, m["name"])]
            shop.planted = SETS[name]
            if mutants:
                say(f"set {name}")
                shop.check_unchanged(SETS[name].TOOLS)
            for mutant in mutants:
                progress(f"mutant {len(rows) + 1}: {mutant['name']} ")
                rows.append(examine(shop, name, mutant))
                if options.record:
                    record.write(rows, list(every()), same())
        return True
    except (workshop.Trouble, subprocess.TimeoutExpired) as trouble:
        say(f"mutants: {trouble}")
        return False
    finally:
        shop.close()


def demanded(names, rows):
    """What the sets demand, and all of them together."""
    for name in names:
        strong = sum(row.strong() for row in rows if row.set == name)
        if strong < SETS[name].LEAST_BY_STRONG:
            yield f"set {name}: strong tools found {strong}, {SETS[name].LEAST_BY_STRONG} are demanded"
    if len(names) == len(SETS) and not record.enough(rows, same()):
        yield f"{record.COUNTS_LEAST} must count, {100 * record.STRONG_LEAST:.0f} % of them be found by strong tools"


def run(options):
    """The whole of it: hunts, prints, records."""
    names, rows, began = list(SETS) if options.set == "all" else [options.set], [], time.monotonic()
    if not hunt_all(names, options, rows):
        return 1
    table(rows)
    missing = list(demanded(names, rows)) if options.only is None else []
    found = sum(row.found() for row in rows)
    for text in missing:
        say(f"FAILED: {text}")
    say(f"{len(rows)} mutants in {time.monotonic() - began:.0f} s")
    say(record.closing(rows, same()))
    say(f"{found} passed, {len(rows) - found} failed")
    return 0 if found == len(rows) and not missing else 1


def take_turn(number):
    """One mutant of the record, found again by its tool; the unchanged tree is other tests' business."""
    mutants = every()
    quick = [row for row in record.read() if row.strong() and row.seconds <= QUICK_S and (row.set, row.mutant) in mutants]
    if not quick:
        return "the record has no mutant that could take a turn: ./dev mutants --record"
    row = quick[number % len(quick)]
    shop, began = workshop.Workshop(), time.monotonic()
    shop.planted = SETS[row.set]
    try:
        shop.plant(mutants[row.set, row.mutant])
        _, found = shop.hunt((row.tool,))
    except (workshop.Trouble, subprocess.TimeoutExpired) as trouble:
        return f"{row.mutant}: {trouble}"
    finally:
        shop.close()
    if found is None:
        return (f"{row.mutant} is not found any more by {row.tool}, which found it at {row.where}: "
                f'./dev mutants --set {row.set} --only "{row.mutant}"')
    say(f"{row.mutant}: {row.tool}, {found[0]}, {time.monotonic() - began:.0f} s: {found[1]}")
    return None


def main():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=[*SETS, "all"], default="all")
    parser.add_argument("--only", metavar="MUTANT", help="one, by its name")
    parser.add_argument("--seeds", type=int, help="the most that simulator or random worlds try")
    parser.add_argument("--record", action="store_true", help="write the table into tests/TRACK-RECORD.md")
    parser.add_argument("--check", action="store_true", help="only look whether sets and record fit the tree")
    parser.add_argument("--turn", type=int, metavar="N", help="that, and one mutant of the record")
    options = parser.parse_args()
    if options.only and options.only not in [mutant for _, mutant in every()]:
        parser.error("no mutant of that name")
    if not options.check and options.turn is None:
        return run(options)
    problems = check()
    if not problems and options.turn is not None:
        problems += filter(None, [take_turn(options.turn)])
    for problem in problems:
        say(f"FAILED: {problem}")
    if not problems:
        say(f"mutants: the texts of {len(every())} stand in the tree once each: all holds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
