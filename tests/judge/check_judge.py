#!/usr/bin/env python3
"""Judges the judge: 1,000 intact histories must be proven, and the same 1,000, each spoilt in one
place, must be rejected with a failure that names the place. Of each also with replicas that stopped
for damage (--stopped): proven where another ring has what they lost, and rejected where none has it.
Seeds are fixed; ends with 'N passed, N failed'.

    check_judge.py [--count N] [--first SEED] [--jobs N] [--keep DIRECTORY] KEEL-JUDGE
"""

import argparse
import collections
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import damage
import damage_stopped
import encode
from histories import History


OUTCOMES = ("done", "queued", "no-node", "node-exists", "not-allowed", "generation-changed", "node-not-empty",
            "lock-busy", "lock-not-held", "node-table-full", "handle-limit", "waiter-limit", "not-open")


def judge(program, arguments):
    done = subprocess.run([program] + arguments, capture_output=True, text=True, close_fds=False)
    failures = [line[len("NOT PROVEN: "):] for line in done.stdout.splitlines()
                if line.startswith("NOT PROVEN: ")]
    return done.returncode, failures, done.stdout + done.stderr


def without(directory, failures):
    return [line.replace(directory + "/", "") for line in failures]


def with_stopped(program, history, directory, seed):
    """What is wrong with the verdicts over rings that lost pages, and how many were given."""
    problems, given, generator = [], 0, random.Random(seed)
    arguments = history.arguments(directory)
    ids = damage_stopped.some_lost(generator, history, directory)
    if ids:
        given += 1
        code, failures, text = judge(program, arguments)
        if code != 1 or not any(line.startswith(f"ring {i} ") for i in ids for line in failures):
            problems.append(f"seed {seed}: lost pages of {ids} were not found ({code}):\n{text}")
        saying = [word for i in ids for word in ("--stopped", str(i))]
        code, failures, text = judge(program, arguments + saying)
        if code != 0 or failures or "PROVEN" not in text:
            problems.append(f"seed {seed}: stopped {ids}: rejected ({code}):\n{text}")
    history.write_rings(directory)
    planted = damage_stopped.all_lost(generator, history, directory)
    if planted is not None:
        given += 1
        saying = [word for i in history.rings for word in ("--stopped", str(i))]
        code, failures, text = judge(program, arguments + saying)
        if code != 1 or not planted.named_in(failures):
            problems.append(f"seed {seed}: lost on every ring, and not found ({code}):\n{text}")
    history.write_rings(directory)
    return problems, given


def one_seed(task):
    program, seed, keep = task
    problems = []
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="keel-judge-", dir=base)
    kind = "none"
    try:
        history = History(seed)
        history.write(directory)
        arguments = history.arguments(directory)
        code, failures, text = judge(program, arguments)
        if code != 0 or failures or "PROVEN" not in text:
            problems.append(f"seed {seed}: an intact history was rejected ({code}):\n{text}")
        undecided = re.search(r" (\d+) not decided$", text, re.MULTILINE)
        noted = re.search(r"^note +(\d+) node operations and fenced messages are not decided", text, re.MULTILINE)
        if (int(noted[1]) if noted else 0) != int(undecided[1]):
            problems.append(f"seed {seed}: what is not decided is not told:\n{text}")
        if noted and all(ring.head == 0 for ring in history.rings.values()):
            problems.append(f"seed {seed}: the log is whole, and not all is decided:\n{text}")
        history.counts["history whose locks are not decided"] = 1 if noted else 0
        wrong, given = with_stopped(program, history, directory, seed)
        problems += wrong
        history.counts["verdict over stopped replicas"] = given
        kind, planted = damage.spoil(history, directory, seed)
        code, failures, text = judge(program, history.arguments(directory))
        if code != 1 or not failures:
            problems.append(f"seed {seed}: {kind}: was not found ({code}):\n{text}")
        elif not planted.named_in(without(directory, failures)):
            problems.append(f"seed {seed}: {kind}: planted at {' or '.join(planted.places)}, "
                            f"but the judge says:\n" + "\n".join(failures))
    finally:
        if keep and problems:
            shutil.copytree(directory, os.path.join(keep, str(seed)), dirs_exist_ok=True)
        shutil.rmtree(directory)
    return kind, history.counts, problems


def known_answers():
    """The encoders' own sums against published ones, before anything is judged by them."""
    return encode.crc32c(b"123456789") == 0xE3069283 and encode.crc32c(bytes(32)) == 0x8A9136AA


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", help="where to keep the evidence of what failed")
    parser.add_argument("judge")
    options = parser.parse_args()
    if not known_answers():
        print("the encoder's CRC32C is wrong")
        return 1
    tasks = [(options.judge, options.first + i, options.keep) for i in range(options.count)]
    kinds, counts, failed = collections.Counter(), collections.Counter(), 0
    with multiprocessing.Pool(options.jobs) as pool:
        for kind, seen, problems in pool.imap(one_seed, tasks, chunksize=10):
            kinds[kind] += 1
            counts.update(seen)
            failed += len(problems)
            for problem in problems[: max(0, 10 - failed)]:
                print(problem)
    print("intact histories held:", ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print("planted:", ", ".join(f"{n} {what}" for what, n in sorted(kinds.items())))
    if options.count >= 1000:  # a generator that never makes the bad input proves nothing
        names = [kind.__name__ for kind in damage.ALWAYS + damage.WHOLE]
        missing = [name for name in names if kinds[name] == 0]
        for name in missing:
            print(f"never planted: {name}")
        failed += len(missing)
        wanted = ["history whose locks are not decided", "due", "probe", "autopilot", "fenced message sequenced", "fenced message refused"]
        wanted += [f"node operation {word}" for word in OUTCOMES]
        for what in wanted:
            if counts[what] == 0:
                print(f"no history held: {what}")
                failed += 1
    given = 2 * options.count + counts["verdict over stopped replicas"]
    print(f"{given - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
