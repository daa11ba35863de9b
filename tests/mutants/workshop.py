"""A copy of the tree in which bugs are planted one after the other, and the tools that hunt them."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import check_export

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TRACED = ("simulator", "judge", "worlds") # what they find, they find in a trace
TRACED_SEEDS = (4, 20, 100) # so many at first, and so on, until one differs
JUDGED_SEEDS = 4
SEEDS, WORLDS = 200, 2000 # the most that simulator and random worlds try: within ten minutes of a core
BUILD_S, SIMULATE_S, TEST_S, EXPLORE_S = 900, 900, 900, 600


class Trouble(Exception):
    pass


def planted(tree, mutant):
    """The files that the mutant changes: their texts before and after, by path."""
    before, after = {}, {}
    for name, old, new in mutant["edits"]:
        path = os.path.join(tree, name)
        if path not in before:
            with open(path, encoding="utf-8") as source:
                before[path] = after[path] = source.read()
        pattern = r"\s+".join(map(re.escape, old.split())) # however it is laid out
        count = len(re.findall(pattern, after[path]))
        if count != 1:
            raise Trouble(f"{name} holds the text to be replaced {count} times, not once: {old.strip().splitlines()[0]}")
        after[path] = re.sub(pattern, lambda _: new.strip(), after[path])
    return before, after


class Workshop:
    """A copy of the tree in which mutants are planted one after the other."""

    def __init__(self, seeds=None):
        self.seeds = seeds
        self.planted = None # the set whose tools hunt
        self.content = set() # what has been content with the unchanged tree
        self.original = {}   # its traces: by the last seed of a part
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
        before, after = planted(self.tree, mutant)
        for path, text in after.items():
            self.write(path, text)
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
                               "--quiet", "--stop", *getattr(self.planted, "SIMULATOR", ())],
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

    def note_traces(self):
        """Of the unchanged tree."""
        first = 1
        for last in TRACED_SEEDS:
            self.original[last], first = self.traces(first, last), last + 1

    def unlike(self):
        """The first seed whose trace differs from the unchanged tree's; None: none of 100."""
        first = 1
        for last in TRACED_SEEDS:
            now, then = self.traces(first, last), self.original[last]
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
        states, limit = 0, getattr(self.planted, "STATES_MAX", None)
        transcript = os.path.join(self.directory, "transcript.txt")
        for scope in self.planted.SCOPES:
            done = subprocess.run([self.path("tests/explore/keel-explore"), "--scope", scope, "--seconds",
                                   str(EXPLORE_S), "--transcript", transcript] +
                                  (["--states-max", str(limit)] if limit else []),
                                  capture_output=True, text=True, timeout=EXPLORE_S + 60)
            counted = re.search(r"^explore: (\d+) states", done.stdout, re.M)
            found = re.search(r"^explore: VIOLATION: (.*)$", done.stdout, re.M)
            if counted is None or (done.returncode != 0 and found is None):
                raise Trouble("keel-explore failed:\n" + (done.stdout + done.stderr)[-2000:])
            states += int(counted[1])
            if found:
                moves = re.search(r"a violation (\d+) moves", done.stdout)[1]
                return f"{states:,} states", f"{found[1]} ({scope}, {moves} moves{self.replay(transcript)})"
            if limit is None and "fixpoint yes" not in done.stdout:
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

    # --- a set's tools ---

    def hunt(self, tools):
        for name in tools:
            found = getattr(self, name)()
            if found is not None:
                return name, found
        return None, None

    def check_unchanged(self, tools):
        """Every tool must be content with the tree as it is; `tests` runs elsewhere."""
        for name in tools:
            what = (name, *getattr(self.planted, "SCOPES", ())) if name == "explorer" else (name,)
            if name == "tests" or what in self.content:
                continue
            _, found = self.hunt((name,))
            if found is not None:
                raise Trouble(f"the unchanged tree fails at {name}, {found[0]}: {found[1]}")
            self.content.add(what)
