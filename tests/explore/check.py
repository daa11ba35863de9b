#!/usr/bin/env python3
"""The explorer's part of ./dev test: its small scopes, and the large one as far as the time goes.

    check.py --build DIR [--seconds N]

The same options give the same counts, shown first; then each scope gets N seconds (13) and must show no violation.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TWICE = ["--scope", "full", "--states-max", "100000", "--seconds", "600"]
SCOPES = ("restart", "drive", "terms", "links", "votes", "holes", "members", "replace", "full",
          "members --crashes 0 --delays 0")  # ten seconds are enough for the fixpoint of this one


def explore(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=900)
    counted = re.search(r"^explore: (\d+) states distinct of (\d+) reached", done.stdout, re.M)
    depth = re.search(r"^explore: depth (\d+)", done.stdout, re.M)
    if done.returncode != 0 or counted is None or depth is None:
        raise SystemExit(done.stdout + done.stderr + "explore: failed: " + " ".join(words))
    return int(counted[1]), int(counted[2]), int(depth[1]), "fixpoint yes" in done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=13)
    options = parser.parse_args()
    program = os.path.join(options.build, "tests/explore/keel-explore")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        first, second = pool.map(lambda words: explore(program, *words), (TWICE, TWICE))
        if first != second:
            raise SystemExit(f"explore: the same options gave {first} and {second}")
        print(f"twice the same: {first[0]:,} distinct of {first[1]:,} states, depth {first[2]}", flush=True)
        results = list(pool.map(lambda name: explore(program, "--scope", *name.split(),
                                                     "--seconds", str(options.seconds)), SCOPES))
    for name, (states, reached, depth, fixpoint) in zip(SCOPES, results):
        print(f"{name:<30} {states:>10,} distinct of {reached:>11,} states, depth {depth:>2}, "
              f"fixpoint {'yes' if fixpoint else 'no'}")
    total = sum(result[0] for result in results)
    print(f"explore: {total:,} states, {sum(r[3] for r in results)} of {len(SCOPES)} scopes to the fixpoint; "
          "every rule holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
