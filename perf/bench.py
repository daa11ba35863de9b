#!/usr/bin/env python3
"""./dev bench: stage, loop and end-to-end figures of one run, beside their budgets.

    bench.py --build DIR [--json FILE] [--only stage,loop,e2e]

Exit 0 when everything could be measured, whatever the figures; 1 when something could not.
About three minutes. README.md says what each figure means.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import e2e    # noqa: E402  pylint: disable=wrong-import-position
import stage  # noqa: E402  pylint: disable=wrong-import-position

PARTS = ("stage", "loop", "e2e")
LOOP_TIMEOUT_S = 120
STAGES_SHOWN = 12


class Progress:
    def __init__(self):
        self.began = time.monotonic()

    def __call__(self, text):
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)


def read(path, default=""):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return default


def machine():
    cpu = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
           if line.startswith("model name")]
    return {"cpu": cpu[0] if cpu else "unknown", "cores": os.cpu_count(),
            "kernel": platform.release(), "compiler": stage.compiler(),
            "load_before": [float(x) for x in read("/proc/loadavg", "0 0 0").split()[:3]]}


def run_loop(build, name):
    """Facts and batches of keel-loop or keel-loop-probed."""
    done = subprocess.run([os.path.join(build, "perf", name)], capture_output=True, text=True,
                          timeout=LOOP_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise e2e.Failure(f"{name}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {"tsc_ghz": lines[0]["tsc_ghz"], "batches": lines[1:],
            "notes": done.stderr.strip()}


def verdict(value, limit, less=True):
    return "reached" if (value <= limit if less else value >= limit) else "MISSED"


def loop_report(loop, budget):
    lines = ["loop: TSC cycles per committed 64-byte message at the leader, three replicas on one "
             f"thread over net_ring ({loop['plain']['tsc_ghz']} GHz)",
             f"  {'sessions x burst':<18}{'a turn':>8}{'seq best':>10}{'median':>8}"
             f"{'disk':>7}{'feed':>7}"]
    for b in loop["plain"]["batches"]:
        lines.append(f"  {b['clients']:>7} x {b['burst']:<8}{b['per_turn']:>8}{b['seq_best']:>10}"
                     f"{b['seq_median']:>8}{b['disk_median']:>7}{b['feed_median']:>7}")
    best = loop["plain"]["batches"][-1]["seq_best"]
    for name in ("first_aim", "goal", "then"):
        lines.append(f"  {name.replace('_', ' '):<10} {budget[name]:>6} cycles: "
                     f"{verdict(best, budget[name])} (largest batch: {best})")
    for b in (loop["probed"]["batches"][-1], loop["probed"]["batches"][2]):
        total = sum(cycles for _, cycles, _ in b["stages"])
        lines.append(f"  what it is made of, {b['clients']} x {b['burst']} (probed run, "
                     f"{total:.0f} in all):")
        ordered = sorted(b["stages"], key=lambda s: -s[1])
        for name, cycles, calls in ordered[:STAGES_SHOWN]:
            lines.append(f"    {name:<30}{cycles:>8.1f}  {100 * cycles / total:>5.1f} %"
                         f"{calls:>9.3f} calls a message")
        rest = sum(s[1] for s in ordered[STAGES_SHOWN:])
        lines.append(f"    {'all else':<30}{rest:>8.1f}  {100 * rest / total:>5.1f} %")
    return "\n".join(lines)


def e2e_report(figures, budgets):
    lines = ["end to end: keeld in namespaces, af_packet ports, real files", e2e.report(figures)]
    ratio = figures["latency"]["median"]["ratio"]
    for name in ("first_aim", "goal"):
        limit = budgets["latency_ratio"][name]
        lines.append(f"  {name.replace('_', ' '):<10} p50 within {limit} x the floor: "
                     f"{verdict(ratio, limit)} ({ratio:.2f} x)")
    rate = max(t["per_second"] for t in figures["throughput"])
    limit = budgets["throughput"]["first_aim"]
    lines.append(f"  first aim  {limit:,} durable messages/s: {verdict(rate, limit, less=False)} "
                 f"({rate:,})")
    return "\n".join(lines)


def measure(build, parts, say):
    result = {"machine": machine()}
    if "loop" in parts:
        say("loop: three replicas in turn over net_ring")
        result["loop"] = {"plain": run_loop(build, "keel-loop")}
        say("loop: the same with its stages probed")
        result["loop"]["probed"] = run_loop(build, "keel-loop-probed")
    if "e2e" in parts:
        if os.geteuid() != 0:
            say("e2e: left out: network namespaces need root")
        else:
            result["e2e"] = e2e.measure(build, say)
    if "stage" in parts:
        result["stage"] = stage.measure(build, say)
    result["machine"]["load_after"] = [float(x) for x in read("/proc/loadavg", "0 0 0").split()[:3]]
    return result


def report(result, budgets):
    m = result["machine"]
    parts = [f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['compiler']}; load average "
             f"before {m['load_before'][0]}, after {m['load_after'][0]}"]
    if m["load_before"][0] > 1:
        parts.append("others were at work on this machine: times and rates are worse than they "
                     "would be; counts of instructions are not touched by it")
    if "stage" in result:
        parts.append("stage: counted by callgrind on fixed input\n" + stage.table(result["stage"]))
    if "loop" in result:
        parts.append(loop_report(result["loop"], budgets["loop"]))
    if "e2e" in result:
        parts.append(e2e_report(result["e2e"], budgets))
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="folder of a release build")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    options = parser.parse_args()
    parts = options.only.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    build = os.path.abspath(options.build)
    with open(os.path.join(HERE, "budgets.json"), encoding="utf-8") as file:
        budgets = json.load(file)
    try:
        result = measure(build, parts, Progress())
    except (e2e.Failure, subprocess.TimeoutExpired, OSError) as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    print("\n" + report(result, budgets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
