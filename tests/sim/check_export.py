#!/usr/bin/env python3
"""keel-judge over the evidence of simulated clusters: another program, sharing no source with simulator
or product, decides from rings, guests' and holders' logs and lines whether each seed kept its promises.

    check_export.py --build BUILD [--seeds N] [--seed S] [--also S ...]

Ends with 'N passed, N failed'; exit 1 if one failed.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile

FEED_PORT = "7500"
TIMEOUT_S = 300


def arguments(directory):
    """The command line for one seed's evidence."""
    out = ["--capture", os.path.join(directory, "lines.pcap"), "--feed-port", FEED_PORT,
           "--framing", "envelope", "--starts", os.path.join(directory, "starts"),
           "--complete-gateways"]
    for ring in sorted(glob.glob(os.path.join(directory, "ring-*"))):
        replica = ring.rsplit("-", 1)[1]
        out += ["--ring", f"{replica}={ring}", "--line", f"{replica}=10.0.0.{replica}"]
    for log in sorted(glob.glob(os.path.join(directory, "*-*.log"))):
        out += ["--gateway", log]
    return out


def judge_seed(simulator, judge, seed):
    """None if simulator and judge are content with a seed, else who is not, and why."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="keel-export-", dir=base)
    try:
        ran = subprocess.run([simulator, "--seeds", "1", "--seed", str(seed), "--quiet",
                              "--export", directory],
                             capture_output=True, text=True, timeout=TIMEOUT_S)
        if "1 passed, 0 failed" not in ran.stdout:
            failed = [line for line in ran.stdout.splitlines() if line.startswith("FAILED")]
            return "simulator", failed[0] if failed else ran.stdout[-400:] + ran.stderr[-400:]
        judged = subprocess.run([judge] + arguments(os.path.join(directory, str(seed))),
                                capture_output=True, text=True, timeout=TIMEOUT_S)
        if judged.returncode != 0 or "PROVEN" not in judged.stdout:
            said = [line for line in judged.stdout.splitlines() if line.startswith("NOT PROVEN")]
            return "judge", said[0] if said else judged.stdout[-400:] + judged.stderr[-400:]
        return None
    finally:
        shutil.rmtree(directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--also", type=int, nargs="*", default=[1064, 1112, 1132],
                        help="further seeds: rings that wrapped, each once misjudged")
    parser.add_argument("--build", required=True, help="the build directory")
    options = parser.parse_args()
    simulator = os.path.join(options.build, "tests", "sim", "keel-sim")
    judge = os.path.join(options.build, "tests", "judge", "keel-judge")
    failed = 0
    seeds = list(range(options.seed, options.seed + options.seeds)) + options.also
    for done, seed in enumerate(seeds):
        problem = judge_seed(simulator, judge, seed)
        if problem is not None:
            failed += 1
            print(f"FAILED seed {seed}, {problem[0]}: {problem[1]}\n"
                  f"  replay: tests/sim/check_export.py --build build --seed {seed} --seeds 1 --also", flush=True)
        if sys.stderr.isatty():
            print(f"\r{done + 1} of {len(seeds)} judged", end="", file=sys.stderr)
    print(f"{len(seeds) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
