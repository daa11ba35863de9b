#!/usr/bin/env python3
"""./dev bench leases: what locks and leases cost, beside the same without them, in one run.

    leases.py --build DIR [--only PART,...] [--sessions N] [--etcd] [--json FILE]

acquire: a durable acquire of a free lock beside a plain submit, one request outstanding, in turns.
fenced: throughput of messages under a sequencer beside that of plain ones, windows full, pairs in
turns. keepalives: throughput while 10,000 sessions' leases are kept beside the same while there are
none. --etcd: acquire and hand-over beside etcd's, on the same disk (etcd.py).
Three keeld in network namespaces, rings on a real file system (KEEL_SCRATCH). Medians of pairs, with
their spread, beside the budgets of budgets.json. Exit 0: every aim is reached; 3: one is missed;
1: something could not be measured. README.md says what each figure means.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "e2e")]
import cluster as world  # noqa: E402  pylint: disable=wrong-import-position
import e2e  # noqa: E402  pylint: disable=wrong-import-position
import etcd  # noqa: E402  pylint: disable=wrong-import-position
import leases_etcd  # noqa: E402  pylint: disable=wrong-import-position
from parts import interrupted  # noqa: E402  pylint: disable=wrong-import-position
from e2e import Cluster, Failure, load, output, run  # noqa: E402  pylint: disable=wrong-import-position

PARTS = ("acquire", "fenced", "keepalives", "etcd")
ACQUIRE_RUNS, ACQUIRES = 7, 400
FENCED_PAIRS, FENCED_SECONDS = 7, 2
KEEP_PAIRS, KEEP_SECONDS = 5, 3
KEPT, KEEPERS, TTL_MS = 10000, 8, 10000
SESSIONS = 8          # of the message load
READY_S, END_S = 120, 60
GENESIS = ("--ttl-max-ms", TTL_MS, "--sessions-max", 16384, "--sessions-per-principal", 4096, "--session-retain-ms", 1000)


def begin(build, idle):
    """Three durable replicas with room for all these sessions."""
    world.PRINCIPALS = range(100, 108 + KEEPERS)  # keel-load's, then keel-keepers'
    cluster = Cluster(build, ring="1G", checkpoint="64M", framing="raw", idle=idle, genesis=GENESIS)
    cluster.network()
    cluster.format()
    cluster.start_all()
    cluster.leader()
    return cluster


def spread(values):
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def acquire(cluster, say):
    runs = []
    for i in range(ACQUIRE_RUNS):
        say(f"acquire: {ACQUIRES} acquires and submits in turns, run {i + 1} of {ACQUIRE_RUNS}")
        runs.append(output(run(*cluster.inside(
            "cl", e2e.program(cluster.build, "keel-lease-load"), cluster.members(),
            cluster.path("client-100.key"), ACQUIRES), timeout=120)))
    p50 = {step: [r[step]["p50_ns"] for r in runs] for step in ("submit", "acquire", "release")}
    return {"ratio": spread([a / s for a, s in zip(p50["acquire"], p50["submit"])]),
            **{step: spread(values) for step, values in p50.items()},
            "acquire_p99_ns": spread([r["acquire"]["p99_ns"] for r in runs]),
            "submit_p99_ns": spread([r["submit"]["p99_ns"] for r in runs])}


def in_turns(pairs, plain, other, say):
    """Runs both of each pair, the first one changing; messages a second, and the share lost."""
    rates = {"plain": [], "other": []}
    for i in range(pairs):
        say(f"pair {i + 1} of {pairs}")
        for name, function in (("plain", plain), ("other", other))[::1 if i % 2 == 0 else -1]:
            rates[name].append(function()["per_second"])
    lost = [1 - o / p for p, o in zip(rates["plain"], rates["other"])]
    return {"plain": spread(rates["plain"]), "other": spread(rates["other"]), "lost": spread(lost)}


def fenced(cluster, say):
    return in_turns(FENCED_PAIRS, lambda: load(cluster, "throughput", FENCED_SECONDS, SESSIONS),
                    lambda: load(cluster, "fenced", FENCED_SECONDS, SESSIONS),
                    lambda text: say("fenced: " + text))


class Keepers:
    """keel-keepers: so many sessions, kept."""

    def __init__(self, cluster, sessions):
        self.path = cluster.path(f"keepers-{time.monotonic_ns()}.out")
        self.sessions = sessions
        self.process = cluster.spawn(
            e2e.program(cluster.build, "keel-keepers"), cluster.members(),
            cluster.path("client-%d.key"), KEEPERS, -(-sessions // KEEPERS), TTL_MS,
            out=os.path.basename(self.path), err="keepers.err")

    def text(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def wait_ready(self):
        until = time.monotonic() + READY_S
        while "ready" not in self.text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise Failure(f"keel-keepers does not open {self.sessions} sessions")
            time.sleep(0.05)
        time.sleep(TTL_MS / 3000)  # their phases are spread over a third of the time to live

    def end(self):
        """Ends every session; what it says."""
        self.process.send_signal(signal.SIGTERM)
        try:
            if self.process.wait(timeout=END_S) != 0:
                raise Failure("keel-keepers failed")
        except subprocess.TimeoutExpired:
            raise Failure(f"keel-keepers does not end its sessions within {END_S} s") from None
        return json.loads(self.text().splitlines()[-1])


def keepalives(cluster, sessions, say):
    said = []

    def with_keepers():
        keepers = Keepers(cluster, sessions)
        keepers.wait_ready()
        figures = load(cluster, "throughput", KEEP_SECONDS, SESSIONS)
        said.append(keepers.end())
        time.sleep(1.5)  # ended sessions are forgotten
        return figures

    result = in_turns(KEEP_PAIRS, lambda: load(cluster, "throughput", KEEP_SECONDS, SESSIONS),
                      with_keepers, lambda text: say(f"keepalives: {sessions} sessions, {text}"))
    wrong = [s for s in said if s["kept"] < sessions or s["refused"] > 0]
    if wrong:
        raise Failure(f"sessions were lost under load: {wrong}")
    result["sessions"] = sessions
    result["keepalives_per_second"] = spread([s["answered"] / s["seconds"] for s in said])
    result["repeated"] = sum(s["again"] for s in said)
    result["client_cores"] = spread([s["cpu_seconds"] / s["seconds"] for s in said])
    return result


def measure(build, parts, sessions, idle, say=lambda text: None):
    result = {"load_average_before": os.getloadavg()[0], "idle": idle}
    with begin(build, idle) as cluster:
        if "acquire" in parts:
            result["acquire"] = acquire(cluster, say)
        if "fenced" in parts:
            result["fenced"] = fenced(cluster, say)
        if "keepalives" in parts:
            result["keepalives"] = keepalives(cluster, sessions, say)
        if "etcd" in parts:
            result["etcd"] = leases_etcd.compare(cluster, TTL_MS / 1000, say)
        cluster.wait_equal()
        cluster.stop_all()
    return result


def aim(lines, budget, value, shown):
    """Adds the verdict; whether the aim is reached."""
    reached = value <= budget["aim"]
    lines.append(f"  aim: {budget['what']} at most {budget['aim']}: "
                 f"{'reached' if reached else 'MISSED'} ({shown})")
    return reached


def of(figures, scale=1.0, digits=1):
    return (f"{figures['median'] / scale:,.{digits}f} ({figures['least'] / scale:,.{digits}f} to "
            f"{figures['most'] / scale:,.{digits}f})")


def report(result, budgets):
    """The text, and whether every aim is reached."""
    lines, good = [f"load average when it began: {result['load_average_before']:.1f} on "
                   f"{os.cpu_count()} cores that replicas and clients share; replicas {result['idle']} when idle"], True
    if "acquire" in result:
        a = result["acquire"]
        lines += [f"acquire: medians of {ACQUIRE_RUNS} runs of {ACQUIRES}, least and most; us",
                  *[f"  {step:<10} p50 {of(a[step], 1000)}" for step in ("submit", "acquire", "release")],
                  f"  p99: submit {of(a['submit_p99_ns'], 1000)}, acquire {of(a['acquire_p99_ns'], 1000)}"]
        good &= aim(lines, budgets["acquire_ratio"], a["ratio"]["median"],
                    f"{of(a['ratio'], digits=2)} x")
    for name, text in (("fenced", "under a sequencer"), ("keepalives", "beside keepalives")):
        if name not in result:
            continue
        f = result[name]
        lines += [f"{name}: 64-byte messages a second of {SESSIONS} full windows, medians of pairs",
                  f"  plain      {of(f['plain'], digits=0)}",
                  f"  {text:<10} {of(f['other'], digits=0)}"]
        if name == "keepalives":
            lines.append(f"  {f['sessions']:,} sessions, {of(f['keepalives_per_second'], digits=0)} keepalives/s "
                         f"answered, {f['repeated']} sent again; their client used "
                         f"{of(f['client_cores'], digits=2)} of a core")
        good &= aim(lines, budgets[f"{name}_lost"], f["lost"]["median"],
                    f"{of(f['lost'], 0.01)} %")
    if "etcd" in result:
        e = result["etcd"]
        a, h = e["acquire_ns"], e["handover_s"]
        lines += ["beside etcd: medians of pairs, in turns, one of the two standing still, least and most",
                  f"  acquire, p50, us            Keel {of(a['keel'], 1000)}, etcd {of(a['etcd'], 1000)}: "
                  f"{of(e['acquire_ratio'])} x",
                  f"    of etcd's: a put {of(e['etcd_put_ns'], 1000)}; gateway and client alone, a local "
                  f"read {of(e['etcd_read_ns'], 1000)}",
                  f"  hand-over after a kill, s   Keel {of(h['keel'], digits=2)}, etcd {of(h['etcd'], digits=2)}: "
                  f"{of(e['handover_ratio'], digits=2)} x; sessions of {e['session_s']} s"]
    return "\n".join(lines), good


def main():
    parser = argparse.ArgumentParser(prog="./dev bench leases", description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", help="parts, with commas between: " + ", ".join(PARTS))
    parser.add_argument("--etcd", action="store_true", help="beside etcd too")
    parser.add_argument("--sessions", type=int, default=KEPT, help="whose leases are kept")
    parser.add_argument("--idle", choices=("yield", "sleep"), default="sleep",
                        help="what replicas do where there is nothing to do (default sleep: the cores are for all)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else list(PARTS[:3])
    parts += ["etcd"] if options.etcd and "etcd" not in parts else []
    if not set(parts) <= set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    if os.geteuid() != 0:
        sys.exit("leases: network namespaces need root: run it as root")
    build = os.path.abspath(options.build)
    with open(os.path.join(HERE, "budgets.json"), encoding="utf-8") as file:
        budgets = json.load(file)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        result = measure(build, parts, options.sessions, options.idle, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        sys.exit("leases: interrupted")
    except (Failure, etcd.Problem) as failure:
        sys.exit(f"leases: {failure}")
    text, good = report(result, budgets)
    print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
