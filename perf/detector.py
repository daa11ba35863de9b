#!/usr/bin/env python3
"""./dev bench detector: how soon a dead peer is seen, against how often a live one is called dead.

    detector.py --build DIR [--hours N] [--seed N] [--png FILE] [--all]

keel-detector simulates two replicas that ping each other over disturbed networks (perf/detector.c names
them), many hours each, and asks at a row of thresholds: how many false alarms an hour, and how long a
crash takes to be seen. Beside control/suspicion.c stand a fixed timeout and two of the phi detectors of
the literature. The table shows the two thresholds in use beside the best that the others do at no more
false alarms; --all prints every threshold. The curves are drawn into a PNG by gnuplot: down is fewer false alarms, left is
sooner; at the bottom edge: none in all those hours.
"""

import argparse
import os
import subprocess
import sys
import tempfile

HOURS = 100
KINDS = {"longest": "silence / longest usual gap (in use)", "fixed": "fixed timeout", "normal": "phi, normal",
         "expo": "phi, exponential"}
USED = {1.5: "suspect", 3.0: "dead"}  # SUSPICION_SUSPECT, SUSPICION_DEAD


class Point:
    def __init__(self, line):
        words = line.split()
        self.profile, self.kind = words[:2]
        self.threshold, self.alarms, hours, self.p50, self.p99, self.longest = map(float, words[2:])
        self.hourly = self.alarms / hours


def measure(build, hours, seed):
    program = os.path.join(build, "perf", "keel-detector")
    done = subprocess.run([program, str(hours), str(seed)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("detector: %s failed: its words are above" % program)
    return [Point(line) for line in done.stdout.splitlines()]


def best(points, alarms):
    """The soonest median of one detector with no more false alarms; None: it has none so few."""
    able = [p for p in points if p.alarms <= alarms]
    return min(able, key=lambda p: p.p50) if able else None


def table(points):
    print("%-8s %-8s %10s %8s %8s %8s   with no more false alarms, p50 ms: %s" % (
        "network", "grade", "false/hour", "p50 ms", "p99 ms", "max ms",
        ", ".join(KINDS[k] for k in KINDS if k != "longest")))
    for profile in dict.fromkeys(p.profile for p in points):
        for threshold, name in USED.items():
            own = [p for p in points if (p.profile, p.kind, p.threshold) == (profile, "longest", threshold)][0]
            others = []
            for kind in KINDS:
                if kind == "longest":
                    continue
                at = best([p for p in points if (p.profile, p.kind) == (profile, kind)], own.alarms)
                others.append("none" if at is None else "%.0f (at %g)" % (at.p50, at.threshold))
            print("%-8s %-8s %10.3f %8.0f %8.0f %8.0f   %s" % (
                profile, name, own.hourly, own.p50, own.p99, own.longest, ", ".join(others)))


def one_for_all(points):
    """The fixed threshold of each detector that is wrong in no network more often than the one in use is in
    the worst."""
    profiles = list(dict.fromkeys(p.profile for p in points))
    print("\none threshold for every network, no more false alarms in any than the one in use has in the worst:")
    own = [p for p in points if p.kind == "longest" and p.threshold == max(USED)]
    allowed = max(p.alarms for p in own)
    for kind in KINDS:
        able = []
        for threshold in dict.fromkeys(p.threshold for p in points if p.kind == kind):
            rows = [p for p in points if (p.kind, p.threshold) == (kind, threshold)]
            if max(p.alarms for p in rows) <= allowed:
                able.append(rows)
        if not able:
            print("  %-38s none of those tried" % KINDS[kind])
            continue
        rows = min(able, key=lambda r: r[0].p50)
        print("  %-38s %6g: p50 ms %s" % (KINDS[kind], rows[0].threshold, ", ".join(
            "%s %.0f" % (name, [p.p50 for p in rows if p.profile == name][0]) for name in profiles)))


def draw(points, hours, path):
    """One panel for each network."""
    profiles = list(dict.fromkeys(p.profile for p in points))
    floor = 0.5 / hours
    with tempfile.TemporaryDirectory() as folder:
        script = ["set terminal pngcairo size 1600,900 font 'sans,10'", "set output '%s'" % path,
                  "set multiplot layout 2,4 title 'Keel: false alarms against detection time "
                  "(%g hours of each network; bottom edge: none)'" % hours,
                  "set logscale xy", "set xrange [30:5000]", "set yrange [%g:20000]" % floor, "set grid",
                  "set xlabel 'crash seen after, median (ms)'", "set ylabel 'false alarms an hour'",
                  "set format y '10^{%L}'", "unset key"]
        for profile in profiles:
            lines = []
            for n, kind in enumerate(KINDS, 1):
                data = os.path.join(folder, "%s-%s" % (profile, kind))
                rows = [p for p in points if (p.profile, p.kind) == (profile, kind)]
                with open(data, "w") as out:
                    out.writelines("%g %g\n" % (p.p50, max(p.hourly, floor)) for p in rows)
                lines.append("'%s' with linespoints lt %d pt %d lw 1.5 title '%s'" % (data, n, n, KINDS[kind]))
            data = os.path.join(folder, "%s-used" % profile)
            with open(data, "w") as out:
                out.writelines("%g %g %s\n" % (p.p50, max(p.hourly, floor), USED[p.threshold]) for p in points
                               if (p.profile, p.kind) == (profile, "longest") and p.threshold in USED)
            lines.append("'%s' with points lt 1 pt 7 ps 2 notitle" % data)
            lines.append("'%s' using 1:2:3 with labels offset 3,1 notitle" % data)
            script += ["set title '%s'" % profile, "plot " + ", ".join(lines)]
        script += ["unset title", "unset xlabel", "unset ylabel", "unset border", "unset tics", "unset grid",
                   "set key center center", "plot " + ", ".join(
                       "NaN with linespoints lt %d pt %d lw 1.5 title '%s'" % (n, n, KINDS[kind])
                       for n, kind in enumerate(KINDS, 1)), "unset multiplot"]
        done = subprocess.run(["gnuplot"], input="\n".join(script), text=True)
        if done.returncode != 0:
            sys.exit("detector: gnuplot failed: its words are above; install gnuplot-nox")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--hours", type=float, default=HOURS, help="simulated, of each network")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--png", help="default: detector.png in the build folder")
    parser.add_argument("--all", action="store_true", help="print every threshold")
    options = parser.parse_args()
    if options.hours < 1:
        parser.error("--hours: give at least 1")
    points = measure(options.build, options.hours, options.seed)
    if options.all:
        for p in points:
            print("%-8s %-8s %6g %12.3f/hour  p50 %6.0f  p99 %6.0f  max %6.0f ms" % (
                p.profile, p.kind, p.threshold, p.hourly, p.p50, p.p99, p.longest))
    table(points)
    one_for_all(points)
    path = options.png or os.path.join(options.build, "detector.png")
    draw(points, options.hours, path)
    print("\ncurves: %s" % path)


if __name__ == "__main__":
    main()
