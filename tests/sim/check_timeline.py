#!/usr/bin/env python3
"""A seed's timeline against what the simulator says of the same seed: its own counters, its --verbose
lines, its trace. The page is read by a decoder of its own, from the form that the head of timeline_page.c tells.

    check_timeline.py --build BUILD [--seed S ...]

Ends with 'N passed, N failed'; exit 1 if one failed.
"""

import argparse
import base64
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from typing import NamedTuple

TIMEOUT_S = 300
VOID = {"meta", "link", "input", "br", "img", "hr"}
FEED, START, DOWN, ROLE, VOTED, NOTE, INSTALL, FAULT = 64, 128, 129, 130, 132, 138, 135, 150
RARE_FRAMES = {1, 2, 3, 4, 5, 6, 16, 17, 18, 19, 22, 23, 24, 33, 34, 35, 49}
VOTE_REPLY, SALT_REPLY, CANDIDATE, LEADER = 19, 4, 2, 3
DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "simulator.md")
LOST, DUPLICATES = 2, {1, 5, 7}


class Record(NamedTuple):
    kind: int
    source: int
    to: int
    fate: int
    at: int
    until: int
    size: int
    value: tuple


class Page(html.parser.HTMLParser):
    """The scripts by id, and whether every element is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.script, self.faults, self.links, self.inside = [], {}, [], [], None
        self.feed(text)
        self.close()
        if self.open:
            self.faults.append(f"not closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[a] for a in ("src", "href", "action", "srcset") if a in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script" and "id" in attrs:
            self.script[attrs["id"]] = ""
            self.inside = attrs["id"]
        else:
            self.inside = None

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()} closes nothing")
        self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.script[self.inside] += data


def decode(text):
    """The records. ValueError where the form is broken."""
    data = base64.b64decode("".join(text.split()), validate=True)
    place, now, out = 0, 0, []

    def number():
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while data[place] != 0:
        kind, ends, fate = data[place:place + 3]
        place += 3
        now += number()
        lasted, size = number(), number()
        values = [number() for _ in range(fate & 7)]
        out.append(Record(kind, ends & 15, ends >> 4, fate >> 3, now, now + lasted, size,
                          tuple(values + [0] * (6 - len(values)))))
    if any(data[place:]) or len(data) - place > 3:
        raise ValueError("bytes behind the end of the records")
    return out


class Checker:
    """Runs the simulator, and counts what held."""

    def __init__(self, simulator, directory):
        self.simulator, self.directory = simulator, directory
        self.passed = self.failed = 0

    def check(self, what, good, said=""):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f"FAILED {what}: {said}", flush=True)

    def run(self, *words):
        return subprocess.run([self.simulator, "--quiet", *words], capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)

    def page(self, seed, *words):
        """(stdout, whole text, parsed page, head, records) of a timeline."""
        path = os.path.join(self.directory, f"{seed}.html")
        done = self.run("--seed", str(seed), "--trace", "--timeline", path, *words)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"seed {seed}: exit {done.returncode}: {done.stderr}")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        os.unlink(path)
        page = Page(text)
        return done.stdout, text, page, json.loads(page.script["head"]), decode(page.script["records"])


def counters(stdout):
    """What the simulator printed of faults and of what it saw."""
    out = {}
    for line in stdout.splitlines():
        if line.startswith(("faults: ", "seen: ")):
            words = line.split(": ", 1)[1].split()
            out.update(zip(words[::2], map(int, words[1::2])))
    return out


def trace(stdout):
    return re.search(r"^seed .* trace ([0-9a-f]{16})", stdout, re.M).group(1)


def elections(records):
    """How many times a start of a replica began to lead a term."""
    start, seen = {}, set()
    for r in records:
        if r.kind == START:
            start[r.source] = r.value[0]
        elif r.kind == ROLE and r.value[0] == LEADER:
            seen.add((r.source, start[r.source], r.value[1]))
    return len(seen)


def check_form(c, seed, text, page, head, records):
    outside = text.replace(page.script["records"], "").replace(page.script["head"], "")
    c.check(f"seed {seed}: well-formed", not page.faults, "; ".join(page.faults[:3]))
    c.check(f"seed {seed}: nothing to fetch",
            not re.search(r"https?:|//cdn|url\(|@import|XMLHttpRequest|fetch\(|WebSocket|import\(", outside) and
            all(link.startswith("data:") for link in page.links), page.links)
    c.check(f"seed {seed}: no part is missing", "@@" not in outside and "http" not in text.replace(
        page.script["records"], ""), "a placeholder or an address is left")
    unknown = {r.kind for r in records} - {int(kind) for kind in head["kinds"]}
    c.check(f"seed {seed}: every kind has a name", not unknown, unknown)
    c.check(f"seed {seed}: records in the order of time",
            all(a.at <= b.at for a, b in zip(records, records[1:])) and all(r.until >= r.at for r in records))


def check_counts(c, seed, stdout, records):
    told = counters(stdout)
    frames = [r for r in records if r.kind < START]
    first = [r for r in frames if r.fate not in DUPLICATES]
    found = {
        "leaders": elections(records),
        "votes": sum(r.kind == VOTE_REPLY and r.value[1] == 1 for r in first),
        "sealed-packets": sum(SALT_REPLY < r.kind < FEED for r in first),
        "loss": sum(r.fate == LOST for r in frames),
        "duplicate": sum(r.fate in DUPLICATES for r in frames),
        "delay": sum(r.until - r.at > 1000000 for r in first),
        "installs": sum(r.kind == INSTALL for r in records),
    }
    if any(r.kind < START and r.fate in DUPLICATES and r.until - r.at > 1000000 for r in records):
        del found["delay"]  # a link that keeps its order holds a frame back for longer than was drawn
    for name, count in found.items():
        c.check(f"seed {seed}: {name}", count == told[name], f"{count} on the page, {told[name]} counted")


def check_faults(c, seed, stdout, head, records):
    told = counters(stdout)
    names = head["lists"]["fault"]
    found = Counter(names[r.value[0]] for r in records if r.kind == FAULT)
    for name in names[names.index("cut"):]:
        if name in ("slow-drive", "clock-drift"):  # of the whole seed, not of an instant
            continue
        c.check(f"seed {seed}: fault {name}", found[name] == told[name],
                f"{found[name]} on the page, {told[name]} counted")


def check_lives(c, seed, said, records):
    """Starts, crashes and changes of roles, against the lines that --verbose prints as they happen."""
    told = {kind: [] for kind in ("starts", "crashes", "is")}
    for at, node, what in re.findall(r"^ *([0-9.]+) node (\d+) (starts|crashes|is)\b", said, re.M):
        told[what].append((at, int(node)))
    page = {
        "starts": [(f"{r.at / 1e9:.6f}", r.source) for r in records if r.kind == START],
        "crashes": [(f"{r.at / 1e9:.6f}", r.source) for r in records if r.kind == DOWN],
    }
    for kind, found in page.items():
        c.check(f"seed {seed}: {kind}", found and sorted(found) == sorted(told[kind]),
                f"{len(found)} on the page, {len(told[kind])} said")
    roles = {(f"{r.at / 1e9:.6f}", r.source) for r in records if r.kind == ROLE}
    missing = [change for change in told["is"] if change not in roles]
    c.check(f"seed {seed}: roles", not missing and told["is"], f"not on the page: {missing[:3]}")


def check_seed(c, seed):
    stdout, text, page, head, records = c.page(seed)
    plain = c.run("--seeds", "1", "--seed", str(seed), "--trace", "--verbose").stdout
    c.check(f"seed {seed}: the same trace with a timeline", trace(stdout) == trace(plain) == head["trace"],
            f"{trace(stdout)}, {trace(plain)} without, {head['trace']} on the page")
    check_form(c, seed, text, page, head, records)
    if head["leftOut"] == 0:
        check_counts(c, seed, stdout, records)
    check_faults(c, seed, stdout, head, records)
    check_lives(c, seed, plain, records)
    return records


def check_window(c, seed, whole):
    *_, head, records = c.page(seed, "--from", "2.5", "--to", "3.25")
    low, high = 2500000000, 3250000000
    want = Counter(r for r in whole if r.kind < START and r.until >= low and r.at <= high)
    # what lies behind the window is not followed: a frame may still be under way there
    found = Counter(r for r in records if r.kind < START)
    c.check("window: its frames", want and sum((want - found).values()) == 0 and
            sum((found - want).values()) == 0, f"{sum(found.values())} frames, {sum(want.values())} in the whole")
    roles = [r for r in whole if r.kind == ROLE and r.at <= high]
    c.check("window: the state it begins in", roles == [r for r in records if r.kind == ROLE])
    c.check("window: said on the page", (head["from"], head["to"]) == (low, high), head["from"])


def check_limit(c, seed, whole):
    *_, head, records = c.page(seed, "--limit", "1000")
    rare = [r for r in records if r.kind in RARE_FRAMES or r.kind in (START, DOWN, ROLE, FAULT, NOTE)]
    c.check("limit: what is rare is all there", rare == [
        r for r in whole if r.kind in RARE_FRAMES or r.kind in (START, DOWN, ROLE, FAULT, NOTE)])
    c.check("limit: what is left out is counted", head["leftOut"] == len(whole) - len(records) and
            head["leftOut"] > 0, f"{head['leftOut']} said, {len(whole) - len(records)} are missing")
    c.check("limit: whole from then on", [r for r in whole if r.at > head["wholeFrom"]] ==
            [r for r in records if r.at > head["wholeFrom"]])


def check_docs(c):
    """docs/simulator.md leads the reader through the split vote of a seed: it is there, as told."""
    with open(DOCS, encoding="utf-8") as file:
        section = file.read().split("### Reading a split vote", 1)[1].split("\n## ", 1)[0]
    seed, term, low, high = re.search(r"Seed (\d+) splits term (\d+) .*?`#t=([\d.]+)-([\d.]+)`", section).groups()
    told = re.search(r"Candidates ([\d, and]+) turn orange", section)[1]
    *_, records = c.page(int(seed), "--from", low, "--to", high)
    roles = [r for r in records if r.kind == ROLE and r.value[1] == int(term)]
    votes = {f"{r.source} for {r.value[1]}" for r in records if r.kind == VOTED and r.value[0] == int(term)}
    candidates = [str(r.source) for r in roles if r.value[0] == CANDIDATE]
    c.check("docs/simulator.md: its split vote", candidates == re.findall(r"\d+", told) and
            votes == set(re.findall(r"\d for \d", section)) and not any(r.value[0] == LEADER for r in roles),
            f"seed {seed}: candidates {candidates}, votes {sorted(votes)}; "
            f"./dev sim --seeds 100 --reach names seeds with a split-vote")


def check_refusals(c):
    page = os.path.join(c.directory, "page.html")
    for said, words in (
            ("cannot write there: No such file", ["--seed", "1", "--timeline", "/nowhere/at/all/page.html"]),
            ("cannot write there: Is a directory", ["--seed", "1", "--timeline", c.directory]),
            ("requires an argument", ["--seed", "1", "--timeline"]),
            ("draws one seed", ["--seeds", "2", "--timeline", page]),
            ("ends before it begins", ["--timeline", page, "--from", "3", "--to", "2"]),
            ("ends before it begins", ["--timeline", page, "--from", "3", "--to", "3"]),
            ("wants simulated seconds", ["--timeline", page, "--from", "soon"]),
            ("wants simulated seconds", ["--timeline", page, "--to", "-1"]),
            ("wants simulated seconds", ["--timeline", page, "--to", "1s"]),
            ("wants simulated seconds", ["--timeline", page, "--to", "nan"]),
            ("wants records", ["--timeline", page, "--limit", "0"]),
            ("wants records", ["--timeline", page, "--limit", "many"]),
            ("the window of a --timeline", ["--seeds", "1", "--from", "1"])):
        done = c.run(*words)
        c.check(f"refused: {' '.join(words)}", done.returncode == 2 and said in done.stderr,
                f"exit {done.returncode}, {done.stderr[:200]!r}")
    done = c.run("--seed", "1", "--timeline", "/dev/full")
    c.check("a full drive is said", done.returncode == 1 and "could not be written" in done.stdout,
            f"exit {done.returncode}, {done.stdout[-300:]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="the build directory")
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 10])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keel-timeline-") as directory:
        c = Checker(os.path.join(options.build, "tests", "sim", "keel-sim"), directory)
        pages = [check_seed(c, seed) for seed in options.seed]
        check_window(c, options.seed[0], pages[0])
        check_limit(c, options.seed[0], pages[0])
        check_refusals(c)
        check_docs(c)
    print(f"{c.passed} passed, {c.failed} failed")
    return 1 if c.failed else 0


if __name__ == "__main__":
    sys.exit(main())
