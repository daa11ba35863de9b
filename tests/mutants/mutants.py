#!/usr/bin/env python3
"""Plants bugs and shows which tool finds each.

    mutants.py [--set a|explore|members|transfer] [--only NAME] [--seeds N] [--keep]

The tree is copied once, configured once and built once; each mutant replaces a few lines there, is
compiled, and is hunted by the tools of its set, in this order: those of set a by the simulator (seeds 1, 2,
... in order, never chosen), then by keel-judge on exported evidence of the first seeds, then by scenarios
and unit tests; those of set members by the core's random worlds (seeds 1, 2, ...), then by its transcripts,
then by its unit tests; those of set repair by the explorer, random worlds, transcripts, the ring's tests, the
simulator and the table of damage; those of set explore by the explorer alone, which must find all of it, and each
counter-example is run again by raft_scenarios, linked with the same mutant. The unchanged tree goes first and must pass them all.

A mutant that changes nothing is none: where no trace shows what was found, the simulator's traces of 100
seeds are held against the unchanged tree's, and one whose are all the same does not count. Ends with a table
and 'N passed, N failed'; exit 1 if a mutant survives, or fewer that count than the set demands are found by
its strong tools (simulator, judge, random worlds, explorer).
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "sim"))
sys.dont_write_bytecode = True

import check_export
import set_a
import set_checkpoint
import set_explore
import set_members
import set_repair
import set_transfer

SETS = {"a": set_a, "checkpoint": set_checkpoint, "explore": set_explore, "members": set_members, "repair": set_repair,
        "transfer": set_transfer}
STRONG = ("simulator", "judge", "worlds", "explorer")
TRACED = ("simulator", "judge", "worlds") # what they find, they find in a trace
TRACED_SEEDS = (4, 20, 100) # so many at first, and so on, until one differs
JUDGED_SEEDS = 4
SEEDS, WORLDS = 60, 2000 # the most that simulator and random worlds try
BUILD_S, SIMULATE_S, TEST_S, EXPLORE_S = 900, 900, 900, 600


class Trouble(Exception):
    pass


def say(text):
    print(text, flush=True)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


class Workshop:
    """A copy of the tree in which mutants are planted one after the other."""

    def __init__(self, seeds, planted):
        self.seeds = seeds
        self.scopes = getattr(planted, "SCOPES", ())
        self.states_max = getattr(planted, "STATES_MAX", None)
        self.directory = tempfile.mkdtemp(prefix="keel-mutants-")
        self.tree = os.path.join(self.directory, "tree")
        self.build_directory = os.path.join(self.directory, "build")
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                                 "--exclude-standard"], capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            source, target = os.path.join(ROOT, name), os.path.join(self.tree, name)
            if os.path.isfile(source):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copy2(source, target)
        self.run(["meson", "setup", self.build_directory, self.tree, "-Dbuildtype=release"],
                 BUILD_S, "meson setup")

    def close(self):
        shutil.rmtree(self.directory)

    def run(self, command, limit_s, what):
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        if done.returncode != 0:
            raise Trouble(f"{what} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def build(self, *targets):
        self.run(["ninja", "-C", self.build_directory] + list(targets), BUILD_S, "the build")

    def path(self, *parts):
        return os.path.join(self.build_directory, *parts)

    def plant(self, mutant):
        """Applies the mutant's edits; returns what undoes them."""
        before = {}
        for name, old, new in mutant["edits"]:
            path = os.path.join(self.tree, name)
            with open(path, encoding="utf-8") as source:
                text = source.read()
            before.setdefault(path, text)
            pattern = r"\s+".join(map(re.escape, old.split())) # however it is laid out
            count = len(re.findall(pattern, text))
            if count != 1:
                self.restore(before)
                raise Trouble(f"{mutant['name']}: {name} holds the text to be replaced "
                              f"{count} times, not once:\n{old}")
            self.write(path, re.sub(pattern, lambda _: new.strip(), text))
        return before

    def restore(self, before):
        for path, text in before.items():
            self.write(path, text)

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="utf-8") as target:
            target.write(text)

    # --- the tools, in the order in which they hunt; each returns None or (place, what it says) ---

    def simulator(self):
        self.build("tests/sim/keel-sim")
        seeds = self.seeds or SEEDS
        done = subprocess.run([self.path("tests/sim/keel-sim"), "--seeds", str(seeds),
                               "--quiet", "--stop"],
                              capture_output=True, text=True, timeout=SIMULATE_S)
        found = re.search(r"^FAILED seed (\d+): (.*)$", done.stdout, re.M)
        if found:
            return f"seed {found[1]}", found[2]
        if done.returncode != 0:
            return f"{seeds} seeds", (done.stdout + done.stderr).strip().splitlines()[-2]
        return None

    def traces(self, first, last):
        """What the simulator says of these seeds: their trace hashes, or how they fail."""
        self.build("tests/sim/keel-sim")
        done = subprocess.run([self.path("tests/sim/keel-sim"), "--first-seed", str(first), "--seeds",
                               str(last + 1 - first), "--trace", "--quiet", "--shrink", "0"],
                              capture_output=True, text=True, timeout=SIMULATE_S)
        return dict(re.findall(r"^(?:FAILED )?seed (\d+)\b(.*)$", done.stdout, re.M))

    def unlike(self, original):
        """The first seeds whose traces differ from the unchanged tree's; None: none of 100."""
        first = 1
        for last in TRACED_SEEDS:
            now, then = self.traces(first, last), original[last]
            for seed in sorted(then, key=int):
                if now.get(seed) != then[seed]:
                    return seed
            first = last + 1
        return None

    def judge(self):
        self.build("tests/sim/keel-sim", "tests/judge/keel-judge")
        for seed in range(1, JUDGED_SEEDS + 1):
            problem = check_export.judge_seed(self.path("tests/sim/keel-sim"),
                                              self.path("tests/judge/keel-judge"), seed)
            if problem is not None:
                return f"seed {seed}", problem[1]
        return None

    def worlds(self):
        """Random worlds over the Raft core alone."""
        self.build("tests/unit/raft/test_raft_random")
        count = self.seeds or WORLDS
        done = subprocess.run([self.path("tests/unit/raft/test_raft_random")],
                              env=dict(os.environ, KEEL_RAFT_SEEDS=str(count)),
                              capture_output=True, text=True, timeout=SIMULATE_S)
        found = re.search(r"^# seed (\d+): (.*)$", done.stdout, re.M)
        if found:
            return f"seed {found[1]}", found[2]
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines()
            return f"{count} worlds", lines[-1] if lines else f"signal {-done.returncode}"
        return None

    def transcripts(self):
        self.build("tests/unit/raft/raft_scenarios")
        files = sorted(glob.glob(os.path.join(self.tree, "tests/scenarios/raft/*.txt")))
        for name in files: # each alone: one may abort
            done = subprocess.run([self.path("tests/unit/raft/raft_scenarios"), name],
                                  capture_output=True, text=True, timeout=TEST_S)
            if done.returncode != 0:
                return os.path.basename(name)[:-len(".txt")], "differs"
        return None

    def units(self, directory, names):
        """The first of these unit tests that fails."""
        for name in names:
            self.build(f"{directory}/{name}")
            done = subprocess.run([self.path(f"{directory}/{name}")], capture_output=True, text=True,
                                  timeout=TEST_S)
            if done.returncode != 0:
                return name, "fails"
        return None

    def core(self):
        return self.units("tests/unit/raft", ("test_raft_config", "test_raft_step", "test_quorum"))

    def restoring(self):
        """Which pages are lost, and pages written anew, one by one."""
        return self.units("tests/unit/ring", ("test_ring_recover", "test_ring_restore"))

    def table(self):
        """The table of damage, whole."""
        self.build("tests/sim/keel-repair")
        done = subprocess.run([sys.executable, os.path.join(self.tree, "tests/sim/check_repair.py"), "--build",
                               self.build_directory], capture_output=True, text=True, timeout=TEST_S)
        found = re.search(r"^FAILED (.*?): (.*)$", done.stdout, re.M)
        return (found[1], found[2]) if found else None

    def explorer(self):
        """Every scope to its fixpoint, or to the violation, or as far as the set wants."""
        self.build("tests/explore/keel-explore", "tests/unit/raft/raft_scenarios")
        states = 0
        transcript = os.path.join(self.directory, "transcript.txt")
        for scope in self.scopes:
            done = subprocess.run([self.path("tests/explore/keel-explore"), "--scope", scope, "--seconds",
                                   str(EXPLORE_S), "--transcript", transcript] +
                                  (["--states-max", str(self.states_max)] if self.states_max else []),
                                  capture_output=True, text=True, timeout=EXPLORE_S + 60)
            counted = re.search(r"^explore: (\d+) states", done.stdout, re.M)
            found = re.search(r"^explore: VIOLATION: (.*)$", done.stdout, re.M)
            if counted is None or (done.returncode != 0 and found is None):
                raise Trouble("keel-explore failed:\n" + (done.stdout + done.stderr)[-2000:])
            states += int(counted[1])
            if found:
                moves = re.search(r"a violation (\d+) moves", done.stdout)[1]
                return f"{states:,} states", f"{found[1]} ({scope}, {moves} moves{self.replay(transcript)})"
            if self.states_max is None and "fixpoint yes" not in done.stdout:
                raise Trouble(f"scope {scope} has no fixpoint within {EXPLORE_S} s")
        return None

    def replay(self, transcript):
        """What raft_scenarios says of a counter-example; its own judge knows fewer rules."""
        done = subprocess.run([self.path("tests/unit/raft/raft_scenarios"), "--rewrite", transcript],
                              capture_output=True, text=True, timeout=TEST_S)
        if "VIOLATION" in done.stdout:
            return ", replayed"
        return "" if done.returncode == 0 else ", replay differs"

    def tests(self):
        self.build()
        done = subprocess.run(["meson", "test", "-C", self.build_directory, "--no-rebuild",
                               "--suite", "unit", "--suite", "scenarios"],
                              capture_output=True, text=True, timeout=TEST_S)
        found = re.search(r"^\s*\d+/\d+ (?:\S+:)?(.*?)\s+(?:FAIL|TIMEOUT|ERROR)", done.stdout, re.M)
        return (found[1].strip(), "fails") if found else None


def hunt(shop, tools):
    for name in tools:
        found = getattr(shop, name)()
        if found is not None:
            return name, found
    return None, None


def examine(shop, mutant, tools, original, rows):
    """Plants one mutant and hunts it."""
    before = shop.plant(mutant)
    began = time.monotonic()
    try:
        tool, found = hunt(shop, tools)
        took_s = time.monotonic() - began
        counts = tool in TRACED or (tool is not None and shop.unlike(original) is not None)
    finally:
        shop.restore(before)
    rows.append((mutant, tool, found, took_s, counts))
    if tool is None:
        say(f"{mutant['name']}: SURVIVES after {took_s:.0f} s")
    else:
        say(f"{mutant['name']}: {tool}, {found[0]}, {took_s:.0f} s: {found[1]}")
    if tool is not None and not counts:
        say(f"{mutant['name']}: does not count: the traces of {TRACED_SEEDS[-1]} seeds are as they were")


def table(rows):
    say("")
    say(f"{'mutant':<44} {'found by':<10} {'where':<22} {'s':>4}  breaks")
    for mutant, tool, found, took_s, counts in rows:
        where = found[0] if found else "-"
        say(f"{mutant['name']:<44} {tool or 'SURVIVES':<10} {where:<22} {took_s:>4.0f}  "
            f"{'' if counts or tool is None else '(does not count) '}{mutant['breaks']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=sorted(SETS), default="a")
    parser.add_argument("--only", help="one mutant, by its name")
    parser.add_argument("--seeds", type=int, help="the most that simulator or random worlds try")
    options = parser.parse_args()
    mutants = [m for m in SETS[options.set].MUTANTS if options.only in (None, m["name"])]
    if not mutants:
        parser.error("no mutant of that name")
    tools = SETS[options.set].TOOLS
    began = time.monotonic()
    shop = Workshop(options.seeds, SETS[options.set])
    rows = []
    try:
        say("the unchanged tree: building, then every tool must be content")
        for name in tools if "tests" not in tools else tools[:-1]: # set a: they are run elsewhere
            _, clean = hunt(shop, (name,))
            if clean is not None:
                raise Trouble(f"the unchanged tree fails at {clean[0]}: {clean[1]}")
        original, first = {}, 1
        for last in TRACED_SEEDS if set(tools) - set(TRACED) else ():
            original[last], first = shop.traces(first, last), last + 1
        for number, mutant in enumerate(mutants):
            progress(f"mutant {number + 1} of {len(mutants)}: {mutant['name']}")
            examine(shop, mutant, tools, original, rows)
    except (Trouble, subprocess.TimeoutExpired) as trouble:
        say(f"mutants: {trouble}")
        return 1
    finally:
        shop.close()
    table(rows)
    found = sum(tool is not None for _, tool, _, _, _ in rows)
    strong = sum(tool in STRONG and counts for _, tool, _, _, counts in rows)
    say(f"{strong} of {len(rows)} found by {' or '.join(t for t in tools if t in STRONG)}, in {time.monotonic() - began:.0f} s")
    say(f"{found} passed, {len(rows) - found} failed")
    enough = options.only is not None or strong >= SETS[options.set].LEAST_BY_STRONG
    return 0 if found == len(rows) and enough else 1


if __name__ == "__main__":
    sys.exit(main())
