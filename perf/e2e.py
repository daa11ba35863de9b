"""End to end: real keeld processes in network namespaces, a kernel client, real files.

measure(build, say) returns the figures; `e2e.py --build DIR` prints them. The floor of docs/design.md
section 11 is measured in the same run, on the same namespaces and file system, under the same
competition: three polling ports share the cores while it is taken, as three replicas do afterwards.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
from cluster import Cluster, Failure, PORT, run  # noqa: E402  pylint: disable=wrong-import-position

MESSAGE = 64
# UDP payloads of one 64-byte message: submit (head 32, messages 40, block 66, tag 16) and
# AppendEntries (head 32, append head 64, entry 48 + 40 + 66 padded to 8, tag 16).
SUBMIT_BYTES, APPEND_BYTES = 154, 272
ECHO_PORT = 7777
ROUND_TRIPS = 3000
DISK_ROUNDS = 1500
LATENCY_MESSAGES = 3000
PAIRS = 7  # of raw writes and messages, taken in turn: a shared drive's speed changes by the second
THROUGHPUT_SECONDS = 6
SESSIONS = (1, 8)
STAGES = (("append", "received to appended"), ("durable", "received to own drive"),
          ("quorum", "received to quorum"), ("applied", "committed to applied"))
RING = "512M"
READY_S = 20


def program(build, name):
    return os.path.join(build, "perf", name)


def output(done):
    return json.loads(done.stdout.strip().splitlines()[-1])


def wait_ready(path, process):
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        with open(path, encoding="utf-8") as file:
            if "ready" in file.read():
                return
        time.sleep(0.05)
    raise Failure(f"keel-floor-echo did not become ready: {path}")


def echo(cluster, i, device):
    out = f"echo-{i}.out"
    process = cluster.spawn(program(cluster.build, "keel-floor-echo"), device,
                            f"{cluster.ip(i)}/24", ECHO_PORT, "yield", 300, out=out,
                            err=f"echo-{i}.err", host=f"r{i}")
    wait_ready(cluster.path(out), process)
    return process


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)


def client_trip(cluster):
    done = run(*cluster.inside("cl", program(cluster.build, "keel-floor-client"), cluster.ip(1),
                               ECHO_PORT, SUBMIT_BYTES, 1, ROUND_TRIPS), timeout=60)
    figures = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    return {"p50_ns": int(figures["p50_ns"]), "p99_ns": int(figures["p99_ns"])}


def peer_trip(cluster, device):
    return output(run(*cluster.inside("r2", program(cluster.build, "keel-floor-peer"), device,
                                      f"{cluster.ip(2)}/24", cluster.ip(1), ECHO_PORT,
                                      APPEND_BYTES, ROUND_TRIPS), timeout=60))


def disk(cluster):
    return output(run(program(cluster.build, "keel-floor-disk"), cluster.dir, DISK_ROUNDS,
                      timeout=120))


def trips(cluster, say):
    """Round trips of a client and of a follower, with three pollers on the cores."""
    device = "net_af_packet0,iface=port"
    say("e2e: floor: client and follower round trips")
    first, third = echo(cluster, 1, device), echo(cluster, 3, device)
    follower = peer_trip(cluster, device)
    second = echo(cluster, 2, device)
    client = client_trip(cluster)
    for process in (first, second, third):
        stop(process)
    return {"client_p50_ns": client["p50_ns"], "client_p99_ns": client["p99_ns"],
            "follower_p50_ns": follower["p50_ns"], "follower_p99_ns": follower["p99_ns"]}


def pair(cluster, floor):
    """Raw writes beside three idle replicas, and right after them messages one by one."""
    writes = disk(cluster)
    figures = load(cluster, "latency", LATENCY_MESSAGES)
    for q in ("p50", "p99"):
        figures[f"disk_{q}_ns"] = writes[f"second_{q}_ns"]
        figures[f"floor_{q}_ns"] = (floor[f"client_{q}_ns"] + floor[f"follower_{q}_ns"] +
                                    writes[f"second_{q}_ns"])
    figures["ratio"] = figures["p50_ns"] / figures["floor_p50_ns"]
    return figures


def latency(cluster, floor, say):
    pairs = []
    for i in range(PAIRS):
        say(f"e2e: latency with one message outstanding, pair {i + 1} of {PAIRS}")
        pairs.append(pair(cluster, floor))
    pairs.sort(key=lambda figures: figures["ratio"])
    return {"median": pairs[PAIRS // 2], "ratios": [p["ratio"] for p in pairs]}


def load(cluster, what, *more, timeout=60):
    return output(run(*cluster.inside("cl", program(cluster.build, "keel-load"), what,
                                      cluster.members(), cluster.path("client-%d.key"), MESSAGE,
                                      *more), timeout=timeout))


def cpu_seconds(cluster):
    """Processor seconds of each replica so far: (user, system)."""
    result = {}
    for i, process in cluster.replica.items():
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        tick = os.sysconf("SC_CLK_TCK")
        result[i] = (int(fields[11]) / tick, int(fields[12]) / tick)
    return result


def throughput(cluster, sessions):
    """One run, with the processor time of all, in microseconds a message. What polls while others
    work is counted too, what kernel threads do for it is not."""
    leader = cluster.leader()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(load, cluster, "throughput", THROUGHPUT_SECONDS, sessions)
        time.sleep(1.5)  # sessions open, windows filled
        before, began = cpu_seconds(cluster), time.monotonic()
        time.sleep(THROUGHPUT_SECONDS - 1)
        after, took = cpu_seconds(cluster), time.monotonic() - began
        figures = done.result()
    messages = figures["per_second"] * took
    figures["sessions"] = sessions
    figures["cpu_us"] = {
        "load": round(figures["cpu_seconds"] * 1e6 / max(figures["messages"], 1), 2)}
    for i in sorted(after, key=lambda i: i != leader):
        user, system = (1e6 * (after[i][k] - before[i][k]) / max(messages, 1) for k in (0, 1))
        figures["cpu_us"]["leader" if i == leader else f"follower {i}"] = round(user + system, 2)
        if i == leader:
            figures["leader_user_us"] = round(user, 2)
    return figures


def measure(build, say=lambda text: None):
    with Cluster(build, ring=RING, framing="raw") as cluster:
        cluster.network()
        # The bridge stands for a switch: no packet filter of the host in its way.
        run(*cluster.inside("sw", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"),
            check=False)
        result = {"floor": trips(cluster, say)}
        cluster.format()
        cluster.start_all()
        cluster.leader()
        result["latency"] = latency(cluster, result["floor"], say)
        code, text = cluster.ctl(cluster.leader(), "metrics")
        if code == 0:
            result["leader_stages"] = json.loads(text)["stages"]
        result["throughput"] = []
        for sessions in SESSIONS:
            say(f"e2e: throughput of {sessions} open windows")
            result["throughput"].append(throughput(cluster, sessions))
        cluster.wait_equal()
        return result


def report(figures):
    f, lat, ratios = figures["floor"], figures["latency"]["median"], figures["latency"]["ratios"]

    def us(value):
        return f"{value / 1000:8.1f} us"

    lines = [
        f"one message outstanding, three durable replicas (p50, p99; the median of {PAIRS} pairs)",
        f"  client round trip {us(f['client_p50_ns'])} {us(f['client_p99_ns'])}",
        f"  follower round trip {us(f['follower_p50_ns'])} {us(f['follower_p99_ns'])}",
        f"  second of 3 writes {us(lat['disk_p50_ns'])} {us(lat['disk_p99_ns'])}",
        f"  floor, their sum {us(lat['floor_p50_ns'])} {us(lat['floor_p99_ns'])}",
        f"  acknowledged    {us(lat['p50_ns'])} {us(lat['p99_ns'])}",
        *[f"    at the leader, {text:<26}{us(figures['leader_stages'][name]['p50_ns'])} "
          f"{us(figures['leader_stages'][name]['p99_ns'])}"
          for name, text in STAGES if name in figures.get("leader_stages", {})],
        f"  ratio to the floor {lat['ratio']:.2f} x (of all pairs {ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}), p99 {lat['p99_ns'] / lat['floor_p99_ns']:.2f} x",
    ]
    for t in figures["throughput"]:
        lines.append(f"{t['sessions']} sessions of {MESSAGE}-byte messages, windows full: "
                     f"{t['per_second']:,} messages/s, p50 {us(t['p50_ns']).strip()}, p99 "
                     f"{us(t['p99_ns']).strip()}, resent {t['resent']}, busy {t['busy']}")
        total = sum(t["cpu_us"].values())
        lines.append("  processor time a message, us: " + ", ".join(
            f"{who} {us}" for who, us in t["cpu_us"].items()) +
            f"; together {total:.2f}, of the leader's {t['leader_user_us']} not in the kernel")
        lines.append(f"  by that time alone {os.cpu_count()} cores left to them would carry "
                     f"{os.cpu_count() * 1e6 / total:,.0f} messages/s (reckoned, not measured; "
                     "kernel threads are not in it)")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    options = parser.parse_args()
    try:
        figures = measure(os.path.abspath(options.build), lambda text: print(text, flush=True))
    except Failure as failure:
        sys.exit(f"e2e: {failure}")
    print(report(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
