#!/usr/bin/env python3
"""etcd for comparison: three members on one host, and a client of its JSON gateway.

    etcd.py locks URL COUNT     acquires and releases a free lock so often; one JSON object

Debian's etcd-server and etcd-client, as they come: default timing, every member's data on the same file
system as Keel's rings. The members listen on the loopback of a cluster's client namespace, so that no
wire stands between them or before them. A lock is taken by etcd's own lock service (v3lock), asked at the
leader over one kept connection; what gateway and client take of it is shown by a local read beside it.
"""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

MEMBERS = 3
CLIENT_PORT, PEER_PORT = 23790, 23800
READY_S = 30
WARM = 20
LEASE_S = 600


class Problem(Exception):
    """etcd did not do what it was asked."""


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Gateway:
    """One kept connection to a member's JSON gateway."""

    def __init__(self, url, timeout=60):
        at = urllib.parse.urlparse(url)
        self.http = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
        self.http.connect()
        self.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, path, **body):
        self.http.request("POST", "/v3/" + path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Problem(f"{path}: HTTP {answer.status}: {text[:200]!r}")
        return json.loads(text)

    def timed(self, path, **body):
        began = time.monotonic_ns()
        answer = self.call(path, **body)
        return time.monotonic_ns() - began, answer


def quantiles(samples):
    samples = sorted(samples)
    return {"p50_ns": samples[len(samples) // 2], "p90_ns": samples[len(samples) * 9 // 10],
            "p99_ns": samples[len(samples) * 99 // 100], "max_ns": samples[-1]}


def locks(url, count):
    """A local read (nothing of etcd's log in it), a put, an acquire, a release, in turns."""
    gateway = Gateway(url)
    lease = gateway.call("lease/grant", TTL=LEASE_S)["ID"]
    samples = {"read": [], "put": [], "acquire": [], "release": []}
    for i in range(WARM + count):
        took = {}
        took["read"], _ = gateway.timed("kv/range", key=b64("nothing"), serializable=True)
        took["put"], _ = gateway.timed("kv/put", key=b64("plain"), value=b64("m" * 64))
        took["acquire"], held = gateway.timed("lock/lock", name=b64("bench"), lease=lease)
        took["release"], _ = gateway.timed("lock/unlock", key=held["key"])
        for name, ns in took.items() if i >= WARM else ():
            samples[name].append(ns)
    gateway.call("lease/revoke", ID=lease)
    return {"count": count, **{name: quantiles(ns) for name, ns in samples.items()}}


class Etcd:
    """Three members in the client namespace of a Keel cluster, which has to be there."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.members = []

    @staticmethod
    def url(i, port=CLIENT_PORT):
        return f"http://127.0.0.1:{port + i}"

    def endpoints(self):
        return ",".join(self.url(i) for i in range(MEMBERS))

    def start(self):
        if not shutil.which("etcd") or not shutil.which("etcdctl"):
            raise Problem("etcd and etcdctl are missing: apt-get install etcd-server etcd-client")
        peers = ",".join(f"m{i}={self.url(i, PEER_PORT)}" for i in range(MEMBERS))
        for i in range(MEMBERS):
            self.members.append(self.cluster.spawn(
                "etcd", "--name", f"m{i}", "--data-dir", self.cluster.path(f"etcd-{i}"),
                "--listen-client-urls", self.url(i), "--advertise-client-urls", self.url(i),
                "--listen-peer-urls", self.url(i, PEER_PORT),
                "--initial-advertise-peer-urls", self.url(i, PEER_PORT),
                "--initial-cluster", peers, "--initial-cluster-state", "new", "--log-level", "error",
                err=f"etcd-{i}.err"))
        return self.leader()

    def inside(self, *words, timeout=60):
        done = subprocess.run(self.cluster.inside("cl", *words), capture_output=True, text=True,
                              timeout=timeout, check=False)
        if done.returncode != 0:
            raise Problem(f"{words[0]}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def leader(self):
        """The URL of the member that leads."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                status = json.loads(self.inside("etcdctl", "--endpoints", self.endpoints(), "endpoint",
                                                "status", "-w", "json"))
                for one in status:
                    said = one["Status"]
                    if said["header"]["member_id"] == said.get("leader", 0):
                        return one["Endpoint"]
            except (Problem, ValueError, KeyError):
                pass
            time.sleep(0.2)
        raise Problem(f"no etcd leader within {READY_S} s: see etcd-0.err")

    def locks(self, count):
        return json.loads(self.inside(sys.executable, os.path.abspath(__file__), "locks", self.leader(), count,
                                      timeout=300))

    def pause(self):
        for member in self.members:
            member.send_signal(signal.SIGSTOP)

    def resume(self):
        for member in self.members:
            member.send_signal(signal.SIGCONT)
        self.leader()

    def stop(self):
        for member in self.members:
            member.send_signal(signal.SIGCONT)
            member.terminate()
        for member in self.members:
            member.wait(timeout=20)
        self.members = []


def main():
    if len(sys.argv) != 4 or sys.argv[1] != "locks":
        sys.exit(__doc__)
    try:
        print(json.dumps(locks(sys.argv[2], int(sys.argv[3]))))
    except (Problem, OSError) as problem:
        sys.exit(f"etcd: {problem}")


if __name__ == "__main__":
    main()
