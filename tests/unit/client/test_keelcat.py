#!/usr/bin/env python3
"""keelcat and the example against a fake cluster on loopback sockets; prints TAP.

    test_keelcat.py KEELCAT EXAMPLE FAKE_CLUSTER GEN_DAY
"""
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import check, run_tests, test  # noqa: E402

KEELCAT, EXAMPLE, FAKE, GEN_DAY = sys.argv[1:5]


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    def __init__(self, where):
        self.where = where
        self.lines = ["127.0.0.1:%d" % free_port() for _ in range(2)]
        self.key = os.path.join(where, "client.key")
        self.process = subprocess.Popen([FAKE, self.key] + self.lines, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.members = self.expect("members")
        self.request = self.expect("request")

    def expect(self, word):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the fake cluster is gone")
            if line.startswith(word + " "):
                return line[len(word) + 1:].strip()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        words = self.expect("did").split()
        return int(words[2]), int(words[4])

    def sequenced(self):
        return self.tell("noop")[0]

    def publish(self, *extra, session="gateway", members=None):
        return [KEELCAT, "publish", "--members", members or self.members, "--key", self.key,
                "--session", session] + list(extra)

    def follow(self, *extra, command="follow"):
        words = [KEELCAT, command, "--request", self.request, "--request-ms", "50"]
        for line in self.lines:
            words += ["--listen", line]
        return words + list(extra)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


def run(words, stdin=b"", timeout=60):
    done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout)
    return done.returncode, done.stdout, done.stderr.decode()


def day_file(where, count, seed=1):
    path = os.path.join(where, "day-%d.bin" % count)
    subprocess.run([GEN_DAY, "--count", str(count), "--seed", str(seed), "--output", path],
                   check=True)
    return path


def messages_of(path):
    with open(path, "rb") as f:
        data = f.read()
    out, at = [], 0
    while at < len(data):
        size, = struct.unpack_from(">H", data, at)
        out.append(data[at + 2:at + 2 + size])
        at += 2 + size
    return out


def check_log(path, messages, complete=True):
    """Every submit has the payload's hash and comes before its ack; acks in order, each once a session
    life; feed numbers rise."""
    submitted, acked, session, feed = {}, {}, None, 0
    with open(path) as f:
        for line in f:
            check(line.endswith("\n"), "a line cut off")
            words = line.split()
            if words[0] == "session":
                check(len(words) == 6, line)
                session = words[3]
            elif words[0] == "submit":
                check(words[1] == session and len(words) == 5, line)
                number = int(words[2])
                payload = messages[number - 1]
                check(int(words[3]) == len(payload), line)
                check(words[4] == hashlib.sha256(payload).hexdigest()[:16], line)
                submitted[number] = True
            elif words[0] == "ack":
                check(words[1] == session and len(words) == 7, line)
                number = int(words[2])
                check(number in submitted, "ack before submit", line)
                check(number not in acked, "a second ack", line)
                check(words[3] == "sequenced", line)
                check(int(words[4]) > feed, "feed numbers", line)
                feed = int(words[4])
                check(words[6] in ("MONDAY", "-"), line)
                acked[number] = True
            else:
                check(words[0] == "end" and words[1] == session, line)
                if complete:
                    check(int(words[2]) == len(messages), line)
    if complete:
        check(len(acked) == len(messages), "acked", len(acked), "of", len(messages))
    return len(acked)


@test
def help_and_usage(c):
    check(run([KEELCAT, "--help"])[0] == 0)
    for command in ("publish", "follow", "replay"):
        code, out, _ = run([KEELCAT, command, "--help"])
        check(code == 0 and b"Examples" in out)
    for words in ([], ["sing"], ["publish"], ["publish", "--rate", "fast"], ["follow", "--bogus"],
                  ["follow"], ["publish", "--window", "65"], ["follow", "--from", "0"],
                  ["publish", "--gaps"], ["publish", "--config", "/nonexistent"],
                  ["publish", "a", "b"], ["replay", "--until-end"], ["publish", "--json=3"],
                  ["replay", "--day", "MONDAY", "--request", c.request]):
        code, _, err = run([KEELCAT] + words)
        check(code == 2 and err != "", words, code, err)
        check(not words or err.count("\n") == 1 and err.startswith("keelcat: "), words, err)
    for words, limit in ((["publish", "--rate", "-1"], "from 1 to 100000000"),
                         (["publish", "--window", "65"], "from 1 to 64"),
                         (["follow", "--framing", "x"], "raw or envelope")):
        check(limit in run([KEELCAT] + words)[2], words)
    code, out, _ = run([KEELCAT, "--version"])
    check(code == 0 and out.startswith(b"keelcat ") and len(out) > 9, out)


@test
def config_file(c):
    path = os.path.join(c.where, "gateway.conf")
    with open(path, "w") as f:
        f.write("[cluster]\nmembers = %s\nid = 00c0ffee00c0ffee\n[client]\nkey = %s\n"
                "session = from-file\nwindow = 8\nttl_ms = 4000\n[feed]\nlisten = %s\n"
                "request = %s\n" % (c.members, c.key, c.lines[0], c.request))
    code, out, err = run([KEELCAT, "publish", "--config", path, "--json"], b"a\nb\n")
    check(code == 0, err)
    said = json.loads(out)
    check(said["session"]["name"] == "from-file" and said["session"]["window"] == 8, said)
    code, out, err = run([KEELCAT, "replay", "--config", path])
    check(code == 0 and out == b"a\nb\n", code, out, err)
    with open(path, "a") as f:
        f.write("windwo = 3\n")
    code, _, err = run([KEELCAT, "publish", "--config", path])
    check(code == 2 and "line 12" in err and "windwo" in err, code, err)


@test
def publishes_and_follows_lines(c):
    reader = subprocess.Popen(c.follow("--count", "3"), stdout=subprocess.PIPE)
    time.sleep(0.3)
    code, out, err = run(c.publish(), b"one\n\ntwo\nthree")
    check(code == 0 and b"3 acknowledged" in out and b"1 empty lines" in out, code, out, err)
    got, _ = reader.communicate(timeout=20)
    check(reader.returncode == 0 and got == b"one\ntwo\nthree\n", got)
    replay = [KEELCAT, "replay", "--day", "MONDAY", "--request", c.request, "--request-ms", "50"]
    code, out, err = run(replay + ["--count", "3"])
    check(code == 0 and out == b"one\ntwo\nthree\n", code, out, err)
    code, _, err = run(replay + ["--count", "9", "--idle-exit", "1"])
    check(code == 4 and "number 5 is the next one" in err, code, err)


@test
def publishes_a_day_over_a_lossy_network(c):
    path = day_file(c.where, 20000)
    log = os.path.join(c.where, "gateway.log")
    stats = os.path.join(c.where, "stats.json")
    reader = subprocess.Popen(c.follow("--from", "start", "--count", "20000", "--format",
                                       "length-prefixed", "--day", "MONDAY"),
                              stdout=subprocess.PIPE)
    c.tell("loss 3")
    code, out, err = run(c.publish(path, "--format", "length-prefixed", "--log", log, "--stats",
                                   stats, "--progress", "--json"))
    check(code == 0, code, err)
    said = json.loads(out)
    check(said["acknowledged"] == 20000 and said["refused"] == 0, said)
    check(said["network"]["messages_resent"] > 0, said)
    latency = said["latency_ns"]
    check(0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"], latency)
    with open(stats) as f:
        check(json.load(f)["exit"] == 0)
    got, _ = reader.communicate(timeout=60)
    with open(path, "rb") as f:
        check(got == f.read(), "the feed differs from the file")
    check_log(log, messages_of(path))
    c.tell("loss 0")
    code, out, err = run(c.follow("--format", "length-prefixed", command="replay"))
    with open(path, "rb") as f:
        check(code == 0 and out == f.read(), code, err)


@test
def resumes_after_kill(c):
    """H16: SIGKILL in mid-window, several times; each message of the file exactly once, in order."""
    path = day_file(c.where, 30000, 2)
    log = os.path.join(c.where, "kill.log")
    words = c.publish(path, "--format", "length-prefixed", "--log", log, "--rate", "40000")
    for life in range(4):
        p = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(0.15)
        p.kill()
        p.wait()
        p.stderr.close()
        if life == 1: # as if the kill had come in the middle of a write
            with open(log, "a") as f:
                f.write("submit 5 1")
    between = c.sequenced()
    check(0 < between < 30000, between)
    code, out, err = run(words + ["--json"])
    check(code == 0, code, err)
    said = json.loads(out)
    check(said["session"]["resumed"] and said["session"]["answered"] == 30000, said)
    check(said["submitted"] <= 30000 - between + 64, said)
    check_log(log, messages_of(path))
    code, out, err = run(c.follow("--format", "length-prefixed", command="replay"))
    with open(path, "rb") as f:
        check(code == 0 and out == f.read(), "the feed differs from the file", err)


@test
def goes_on_when_the_leader_dies(c):
    path = day_file(c.where, 20000, 3)
    log = os.path.join(c.where, "failover.log")
    p = subprocess.Popen(c.publish(path, "--format", "length-prefixed", "--log", log, "--rate",
                                   "20000", "--gaps", "50", "--json"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for old, new in ((1, 2), (2, 3)):
        time.sleep(0.2)
        c.tell("down %d" % old)
        time.sleep(0.1)
        c.tell("lead %d" % new)
        c.tell("up %d" % old)
    out, err = p.communicate(timeout=60)
    check(p.returncode == 0, p.returncode, err)
    said = json.loads(out)
    check(said["network"]["leader_changes"] == 2, said["network"])
    check(said["pause_count"] >= 2 and said["longest_pause"]["ns"] >= 50000000, said)
    check(said["pauses"][0]["leader"] == 2 and "pause of" in err, said["pauses"], err)
    leaders = said["leaders"]
    check([entry["leader"] for entry in leaders] == [1, 2, 3], leaders)
    check(leaders[0]["number"] == 1 and all(
        a["number"] < b["number"] and a["began_utc_ns"] < b["began_utc_ns"]
        for a, b in zip(leaders, leaders[1:])), leaders)
    check_log(log, messages_of(path))
    code, out, _ = run(c.follow("--format", "length-prefixed", command="replay"))
    with open(path, "rb") as f:
        check(code == 0 and out == f.read())


@test
def stops_on_signal_and_goes_on(c):
    path = day_file(c.where, 5000, 4)
    log = os.path.join(c.where, "signal.log")
    words = c.publish(path, "--format", "length-prefixed", "--log", log, "--rate", "5000")
    p = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=20)
    check(p.returncode == 1 and "goes on from there" in err, p.returncode, err)
    acked = check_log(log, messages_of(path), complete=False)
    check(acked == c.sequenced() and 0 < acked < 5000, acked)
    code, _, err = run(words)
    check(code == 0, err)
    check_log(log, messages_of(path))


@test
def exit_codes(c):
    nobody = "1=127.0.0.1:%d" % free_port()
    code, _, err = run(c.publish("--open-wait", "1", members=nobody), b"x\n")
    check(code == 3 and "no member answers" in err, code, err)
    c.tell("nobody")
    code, _, err = run(c.publish("--open-wait", "1"), b"x\n")
    check(code == 5 and "none of them leads" in err, code, err)
    c.tell("lead 2")
    code, _, err = run(c.publish("--cluster", "1", "--open-wait", "1"), b"x\n")
    check(code == 6 and "cluster id" in err, code, err)
    os.chmod(c.key, 0o644)
    code, _, err = run(c.publish(), b"x\n")
    check(code == 6 and c.key in err, code, err)
    os.chmod(c.key, 0o600)
    code, _, err = run([KEELCAT, "publish", "--members", c.members, "--key", "/nonexistent",
                        "--session", "s"], b"x\n")
    check(code == 6 and "/nonexistent" in err and "--key" in err, code, err)
    code, _, err = run(c.publish("--principal", "101"), b"x\n")
    check(code == 6 and "101" in err, code, err)
    p = subprocess.Popen(c.publish("--timeout", "1"), stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    p.stdin.write(b"first\n")
    p.stdin.flush()
    while c.sequenced() < 1:
        time.sleep(0.02)
    c.tell("deaf 1")
    _, err = p.communicate(b"second\n", timeout=20)
    check(p.returncode == 4 and b"number 2 " in err, p.returncode, err)
    c.tell("deaf 0")
    code, _, err = run([KEELCAT, "follow", "--listen", "127.0.0.1:%d" % free_port(),
                        "--idle-exit", "1"])
    check(code == 3, code, err)


@test
def shuts_the_older_process_out(c):
    """H15, H16: the second process of a session name takes it over."""
    p = subprocess.Popen(c.publish(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    while c.sequenced() < 1:
        time.sleep(0.02)
    code, out, err = run(c.publish("--keep"), b"one\ntwo\n")
    check(code == 0, err)
    _, err = p.communicate(b"older\n", timeout=20)
    check(p.returncode == 6 and b"taken it over" in err, p.returncode, err)
    code, out, err = run(c.follow(command="replay"))
    check(out == b"one\ntwo\n", out)


@test
def will_not_send_a_day_twice(c):
    """The session ended while its gateway was away: the log knows."""
    log = os.path.join(c.where, "twice.log")
    code, _, err = run(c.publish("--keep", "--log", log), b"one\ntwo\n")
    check(code == 0, err)
    code, _, err = run(c.publish("--new", "--keep", session="other"), b"x\n")
    text = open(log).read().replace(" gateway ", " other ")
    with open(log, "w") as f:
        f.write(text)
    code, _, err = run(c.publish("--log", log, session="other"), b"one\ntwo\n")
    check(code == 6 and "sequenced already" in err, code, err)
    code, _, err = run(c.publish("--log", log, "--new", session="other"), b"one\ntwo\n")
    check(code == 0, code, err)
    with open(log, "w") as f:
        f.write("not a log\n")
    code, _, err = run(c.publish("--log", log), b"x\n")
    check(code == 1 and "gateway's log" in err, code, err)


@test
def bad_input_is_named(c):
    code, _, err = run(c.publish(), b"fine\n" + b"x" * 1271 + b"\nmore\n")
    check(code == 1 and "line 2" in err and "1271" in err, code, err)
    code, _, err = run(c.publish("--format", "hex", session="hex"), b"0001\nabc\n")
    check(code == 1 and "line 2" in err, code, err)
    code, _, err = run(c.publish("--format", "length-prefixed", session="cut"), b"\0\3abc\0\5ab")
    check(code == 1 and "record 2" in err and "cut off" in err, code, err)
    check(c.sequenced() == 3)
    code, _, err = run(c.publish("/nonexistent"))
    check(code == 1 and "/nonexistent" in err, code, err)


@test
def hex_and_decode(c):
    path = day_file(c.where, 500, 5)
    hexed = b"".join(m.hex().encode() + b"\n" for m in messages_of(path))
    code, _, err = run(c.publish("--format", "hex"), hexed)
    check(code == 0, err)
    code, out, _ = run(c.follow("--format", "hex", command="replay"))
    check(code == 0 and out == hexed)
    code, out, _ = run(c.follow("--format", "decode", "--count", "501", command="replay"))
    lines = out.decode().splitlines()
    check(code == 0 and len(lines) == 501, code, len(lines))
    check(all(line.startswith("MONDAY %d " % (i + 1)) for i, line in enumerate(lines)))
    for word in (" enter ", " replace ", " cancel ", " opening", " firm "):
        check(any(word in line for line in lines), word)
    check(lines[500] == "MONDAY 501 end of session", lines[500])


@test
def refused_messages_fail(c):
    p = subprocess.Popen(c.publish(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    while c.sequenced() < 1:
        time.sleep(0.02)
    reader = subprocess.Popen(c.follow("--from", "start", "--until-end"), stdout=subprocess.PIPE)
    time.sleep(0.4)
    c.tell("day TUESDAY")
    got, _ = reader.communicate(timeout=20)
    check(reader.returncode == 0 and got == b"one\n", reader.returncode, got)
    out, err = p.communicate(b"two\n", timeout=20)
    check(p.returncode == 0, p.returncode, err)


@test
def the_example_runs(c):
    code, out, err = run([EXAMPLE, c.members, c.key])
    check(code == 0, code, err)
    check(out.decode().splitlines() == [
        "message %d: sequenced, feed number %d of day MONDAY" % (i, i) for i in (1, 2, 3)], out)
    code, _, err = run([EXAMPLE])
    check(code == 1 and "members" in err, code, err)


def in_a_cluster(function):
    where = tempfile.mkdtemp(prefix="keelcat-test-")
    cluster = None
    try:
        cluster = Cluster(where)
        function(cluster)
        check(cluster.close() == 0, "the fake cluster found something wrong")
    finally:
        if cluster is not None and cluster.process.poll() is None:
            cluster.process.kill()
            cluster.process.wait()
        shutil.rmtree(where)


if __name__ == "__main__":
    sys.exit(run_tests(in_a_cluster))
