"""The mutants' rows and sums in tests/TRACK-RECORD.md."""

import os
import re
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = os.path.join(os.path.dirname(HERE), "TRACK-RECORD.md")
BEGIN, END = "<!-- mutants: written by ./dev mutants --record -->", "<!-- end of mutants -->"
STRONG = ("simulator", "judge", "worlds", "explorer")
SURVIVES, FAILED = "SURVIVES", "FAILED"
COUNTS_LEAST, STRONG_LEAST = 40, 0.8 # how many must count, and which share of those strong tools must find


class Row(NamedTuple):
    set: str
    mutant: str
    tool: str    # or SURVIVES, FAILED
    where: str   # or why it failed
    seconds: int
    counts: bool # it changes what the simulator does

    def found(self):
        return self.tool not in (SURVIVES, FAILED)

    def strong(self):
        return self.counts and self.tool in STRONG


def sums(rows, same):
    """(all, those that count, those of them that strong tools find); `same` maps (set, mutant) to what is planted:
    what two sets plant counts once."""
    planted = {}
    for row in rows:
        planted.setdefault(same.get((row.set, row.mutant), (row.set, row.mutant)), []).append(row)
    return (len(planted), sum(any(row.counts for row in group) for group in planted.values()),
            sum(any(row.strong() for row in group) for group in planted.values()))


def enough(rows, same):
    """Of all sets: do enough count, and do strong tools find enough of them?"""
    _, counting, strong = sums(rows, same)
    return counting >= COUNTS_LEAST and strong >= STRONG_LEAST * counting


def closing(rows, same):
    every, counting, strong = sums(rows, same)
    return "%d of %d count; %d found by simulator, judge, random worlds or explorer (%d %%)" % (
        counting, every, strong, 100 * strong // max(1, counting))


def render(rows, same):
    lines = ["## Planted bugs", "",
             "`tests/mutants/`, each hunted by the tools as they stand, in the order of its set. The first tool that finds "
             "it, where, and after how long, on a machine of two cores that had other work, building included.", "",
             "| set | mutant | found by | where | s | counts |", "|---|---|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s | %d | %s |" % (
        row.set, row.mutant, row.tool, row.where.replace("|", "/"), row.seconds, "yes" if row.counts else "no")
              for row in rows]
    return "\n".join(lines + ["", closing(rows, same) + "."]) + "\n"


def split():
    """What stands before, between and behind the marks."""
    with open(RECORD, encoding="utf-8") as file:
        text = file.read()
    if BEGIN not in text:
        return text.rstrip("\n") + "\n\n", "", "\n"
    before, rest = text.split(BEGIN + "\n", 1)
    between, after = rest.split(END, 1)
    return before, between, after


def read():
    found = re.findall(r"^\| (\w+) \| ([^|]+?) \| (\w+) \| ([^|]*?) \| (\d+) \| (yes|no) \|$", split()[1], re.M)
    return [Row(name, mutant, tool, where, int(seconds), counts == "yes")
            for name, mutant, tool, where, seconds, counts in found]


def write(rows, known, same):
    """These rows in place of the ones that they renew; in the order of `known`, all (set, mutant) there are."""
    kept = {(row.set, row.mutant): row for row in read() + list(rows)}
    before, _, after = split()
    text = before + BEGIN + "\n" + render([kept[key] for key in known if key in kept], same) + END + after
    with open(RECORD + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(RECORD + ".new", RECORD)


def problems(known, same):
    """What is wrong about the record."""
    rows = read()
    gone = [row.mutant for row in rows if (row.set, row.mutant) not in known]
    if gone:
        return ["tests/TRACK-RECORD.md has mutants that no set has: " + ", ".join(gone)]
    if rows and split()[1] != render(rows, same):
        return ["tests/TRACK-RECORD.md: the planted bugs' rows and sums do not fit: ./dev mutants --record"]
    lost = [row.mutant for row in rows if not row.found()]
    if lost:
        return ["tests/TRACK-RECORD.md: nothing finds " + ", ".join(lost)]
    return [] if len(rows) < len(known) or enough(rows, same) else ["too few mutants count, or are found by strong tools"]
