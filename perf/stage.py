#!/usr/bin/env python3
"""Counts the instructions of each stage of the path, per message, by callgrind on fixed input.

    stage.py --build DIR            prints the table
    stage.py --build DIR --check    compares it with stage-baseline.json; exit 1 above tolerance
    stage.py --build DIR --update   writes stage-baseline.json

The program under callgrind is keel-stage: three replicas, a clock that stands still, an in-memory
network and drive. One replica's turns are collected, so that every instruction counted is the
product's or a library's under it, plus some tens of the bench's own port per frame.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "stage-baseline.json")
ROUNDS = 24
TOLERANCE = 0.02
SLACK = 1.0  # instructions per message: below this a difference is none
RUN_TIMEOUT_S = 240

# columns: name, burst, shape
BURSTS = [("1", 1, "spread"), ("4", 4, "spread"), ("32", 32, "spread"), ("32p", 32, "packed")]

# stage -> functions whose whole cost it is, and those called from them that are stages themselves.
# Edges are (caller, callee): only what that caller spends in that callee is taken off.
LEADER = [
    ("receive: frame, ARP, UDP checked", ["frame_receive"], []),
    ("auth: open", ["auth_open"], []),
    ("wire: decode", ["packet_submit_check", "packet_peer_decode"], []),
    ("intake and append", ["intake_packet"], [("intake_packet", "packet_submit_check")]),
    ("raft: propose", ["step_propose"], []),
    ("raft: acknowledgements", ["step_peer"], []),
    ("page close and CRC", ["ring_turn"], []),
    ("replicate: pack and seal", ["replicate"], []),
    ("durable and gate", ["step_durable"], []),
    ("apply", ["apply"], []),
    ("answer: seal", ["answer_flush"], []),
    ("send", ["send_flush"], []),
]
FOLLOWER = [
    ("receive: frame, ARP, UDP checked", ["frame_receive"], []),
    ("auth: open", ["auth_open"], []),
    ("wire: decode", ["packet_peer_decode", "ring_entry_good"], []),
    ("follower: store", ["step_peer"], []),
    ("page close and CRC", ["ring_turn"], []),
    ("durable and gate", ["step_durable"], []),
    ("apply", ["apply"], []),
]
OTHER_ROLES = [("disk role", "ring_disk_turn"), ("feed role: pack", "feed_turn")]


class Profile:
    """Inclusive costs of functions and of call edges, from a callgrind.out file."""

    NAME = re.compile(r"^(c?fn)=\((\d+)\)(?: (.*))?$")

    def __init__(self, path):
        self.cost, self.edge = {}, {}
        names, current, callee, calls = {}, None, None, False
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                line = line.rstrip("\n")
                match = self.NAME.match(line)
                if match:
                    kind, number, name = match.groups()
                    if name is not None:
                        names[number] = name.split("'")[0]
                    if kind == "fn":
                        current = names[number]
                    else:
                        callee = names[number]
                elif line.startswith("calls="):
                    calls = True
                elif line and (line[0].isdigit() or line[0] in "+-*"):
                    fields = line.split()
                    value = int(fields[1]) if len(fields) > 1 else 0
                    self.cost[current] = self.cost.get(current, 0) + value
                    if calls:
                        key = (current, callee)
                        self.edge[key] = self.edge.get(key, 0) + value
                        calls = False

    def of(self, function):
        return self.cost.get(function, 0)


def run(build, burst, shape, side):
    """One callgrind run: (profile, messages)."""
    program = os.path.join(build, "perf", "keel-stage")
    with tempfile.TemporaryDirectory(prefix="keel-stage-") as folder:
        out = os.path.join(folder, "out")
        # A fixed environment and name: how long they are moves the stack, and with it copies.
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
             "--callgrind-out-file=" + out, "./perf/keel-stage", str(burst), shape, side,
             str(ROUNDS)],
            cwd=build, env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
        if done.returncode != 0:
            sys.exit(f"stage: {program} failed under callgrind ({done.returncode}):\n"
                     f"{done.stderr[-2000:]}")
        return Profile(out), json.loads(done.stdout.strip().splitlines()[-1])["messages"]


def provide(build):
    """Builds keel-stage in a folder that was configured before valgrind was installed."""
    if os.path.exists(os.path.join(build, "perf", "keel-stage")):
        return
    for words in (["meson", "setup", "--reconfigure", build],
                  ["ninja", "-C", build, "perf/keel-stage"]):
        done = subprocess.run(words, cwd=os.path.dirname(HERE), capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            sys.exit(f"stage: {build}/perf/keel-stage is missing and could not be built (is the "
                     f"valgrind package installed?):\n{(done.stdout + done.stderr)[-1500:]}")


def stages_of(profile, messages, side):
    result, inside = {}, 0
    for name, functions, less in LEADER if side == "leader" else FOLLOWER:
        value = sum(profile.of(f) for f in functions) - sum(profile.edge.get(e, 0) for e in less)
        if value <= 0:
            sys.exit(f"stage: nothing counted for '{name}' ({side}): has a function of "
                     f"{functions} been renamed or inlined?")
        result[name] = round(value / messages, 1)
        inside += value
    total = profile.of("loop_turn")
    result["rest of the turn"] = round((total - inside) / messages, 1)
    result["SEQ, WHOLE TURN"] = round(total / messages, 1)
    for name, function in OTHER_ROLES:
        result[name] = round(profile.of(function) / messages, 1)
    return result


def measure(build, say=lambda text: None):
    """{side: {stage: {burst: instructions per message}}}"""
    provide(build)
    jobs = [(side, column, burst, shape) for side in ("leader", "follower")
            for column, burst, shape in BURSTS]
    figures = {"leader": {}, "follower": {}}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        results = {job: pool.submit(run, build, job[2], job[3], job[0]) for job in jobs}
        for number, (job, future) in enumerate(results.items()):
            side, column = job[0], job[1]
            profile, messages = future.result()
            say(f"stage: {number + 1} of {len(jobs)} runs under callgrind")
            for stage, value in stages_of(profile, messages, side).items():
                figures[side].setdefault(stage, {})[column] = value
    return figures


def table(figures):
    lines = []
    columns = [c for c, _, _ in BURSTS]
    for side in ("leader", "follower"):
        lines.append(f"instructions per message, {side:<9}" + "".join(f"{c:>9}" for c in columns))
        for stage, row in figures[side].items():
            lines.append(f"  {stage:<35}" + "".join(f"{row[c]:>9.1f}" for c in columns))
    lines.append("columns: messages in a burst, one a datagram; 32p: of one session, packed")
    return "\n".join(lines)


def compare(figures, baseline):
    """(worse, better): texts."""
    worse, better = [], []
    for side, stages in baseline.items():
        for stage, row in stages.items():
            for column, old in row.items():
                new = figures.get(side, {}).get(stage, {}).get(column)
                if new is None:
                    worse.append(f"{side}, {stage}, burst {column}: no longer counted")
                    continue
                text = (f"{side}, {stage}, burst {column}: {old} -> {new} "
                        f"({100 * (new - old) / max(old, 0.1):+.1f} %)")
                if new - old > max(TOLERANCE * old, SLACK):
                    worse.append(text)
                elif old - new > max(TOLERANCE * old, SLACK):
                    better.append(text)
    for side, stages in figures.items():
        for stage in stages:
            if stage not in baseline.get(side, {}):
                worse.append(f"{side}, {stage}: not in the baseline")
    return worse, better


def compiler():
    done = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False)
    return "gcc " + done.stdout.strip()


def check(figures):
    try:
        with open(BASELINE, encoding="utf-8") as file:
            kept = json.load(file)
    except FileNotFoundError:
        print("stage: no baseline: make one with stage.py --update", file=sys.stderr)
        return 1
    worse, better = compare(figures, kept["instructions"])
    for text in better:
        print(f"fewer: {text}")
    for text in worse:
        print(f"MORE:  {text}")
    if better and not worse:
        print("stage: fewer instructions than the baseline: keep the gain with --update")
    if worse:
        print(f"stage: {len(worse)} figures are more than {TOLERANCE:.0%} above the baseline "
              f"(made with {kept['compiler']}, here {compiler()}): make the stage cheaper again, "
              "or say in the commit why it has to cost more and run stage.py --update")
        return 1
    print(f"stage: within {TOLERANCE:.0%} of the baseline")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="folder of a release build")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with the baseline")
    mode.add_argument("--update", action="store_true", help="write the baseline")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    figures = measure(build, lambda text: print(text, file=sys.stderr))
    print(table(figures))
    if options.update:
        with open(BASELINE, "w", encoding="utf-8") as file:
            json.dump({"compiler": compiler(), "rounds": ROUNDS, "instructions": figures}, file,
                      indent=1)
            file.write("\n")
        print(f"written: {os.path.relpath(BASELINE)}")
    return check(figures) if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
