#!/usr/bin/env python3
"""keelctl against the admin thread of a replica in a bench; prints TAP.

    test_keelctl.py KEELCTL KEELD DESK
"""
import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import check, run_tests, test  # noqa: E402

KEELCTL, KEELD, DESK = sys.argv[1:4]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
WAIT_S = 30


class Desk:
    def __init__(self, where):
        self.where = where
        self.process = subprocess.Popen([DESK], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.socket = self.process.stderr.readline().strip()

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=WAIT_S)

    def log(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait_logged(self, number):
        until = time.monotonic() + WAIT_S
        while self.ask("events", "--since", number - 1)["last"] < number:
            check(time.monotonic() < until, "not logged")

    def words(self, *words):
        return [KEELCTL, "-s", self.socket] + [str(w) for w in words]

    def run(self, *words, code=0, **more):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=WAIT_S,
                              check=False, **more)
        check(done.returncode == code, words, done.returncode, done.stdout, done.stderr)
        return done

    def ask(self, *words):
        return json.loads(self.run("--json", *words).stdout)

    def spawn(self, *words):
        return subprocess.Popen(self.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)


def stand_still(process):
    """SIGSTOP, and waits until it has reached every thread."""
    process.send_signal(signal.SIGSTOP)
    tasks = "/proc/%d/task" % process.pid
    until = time.monotonic() + WAIT_S
    for task in os.listdir(tasks):
        state = ""
        while state != "T":
            check(time.monotonic() < until, "a thread does not stand still")
            with open("%s/%s/stat" % (tasks, task), encoding="ascii") as file:
                state = file.read().rpartition(")")[2].split()[0]


def ended(process):
    process.terminate()
    return process.communicate(timeout=WAIT_S)


@test
def watch_repeats_what_is_shown(d):
    process = d.spawn("--json", "version", "--watch", 1)
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    check(lines[0] == lines[1] == lines[2] and lines[0]["replica"] == 1, lines)
    ended(process)
    process = d.spawn("member", "list", "--watch=1")
    text = "".join(process.stdout.readline() for _ in range(5))
    check(re.fullmatch(r"ID .*\n1 .*\n\nID .*\n1 .*\n", text), repr(text))
    ended(process)


@test
def watch_outlives_the_daemon(d):
    process = subprocess.Popen([KEELCTL, "-s", os.path.join(d.where, "later"), "version", "--watch",
                                "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check("is keeld running?" in process.stderr.readline(), "no word of it")
    os.symlink(d.socket, os.path.join(d.where, "later"))
    line = ""
    while not line.startswith("keeld "):
        line = process.stdout.readline()
        check(line, "it has ended")
    ended(process)


@test
def timeout_ends_what_does_not_end(d):
    pipe = os.path.join(d.where, "pipe")
    os.mkfifo(pipe)
    done = d.run("genesis", "show", pipe, "--timeout", 100, code=4)
    check("not done within --timeout" in done.stderr, done.stderr)
    stand_still(d.process)
    try:
        done = d.run("status", "--timeout", 100, code=4)
        check("no answer within 100 ms" in done.stderr, done.stderr)
    finally:
        os.kill(d.process.pid, signal.SIGCONT)


@test
def facts_are_shown(d):
    clock = d.ask("clock")
    check(clock["utc_steps"] == 0 and clock["utc_step_ns"] is None and clock["rho_ppm"] > 0, clock)
    later = d.ask("clock")
    check(later["utc_ns"] > clock["utc_ns"] and later["log_ns"] == clock["log_ns"], clock, later)
    text = d.run("clock").stdout
    check(len(text.splitlines()) == 5 and "right within" in text, text)
    digest = d.ask("digest")
    check(re.fullmatch("[0-9a-f]{16}", digest["digest"]) and "replicas" not in digest, digest)
    probed = d.ask("health")["probe_index"]
    until = time.monotonic() + WAIT_S
    while d.ask("digest")["index"] < probed:
        check(time.monotonic() < until, "no newer digest")
    check(d.ask("digest")["digest"] != digest["digest"], digest)
    cluster = d.ask("digest", "--cluster")
    check(cluster["odd"] == [] and [r["replica"] for r in cluster["replicas"]] == [1], cluster)


@test
def a_snapshot_covers_what_was_applied(d):
    probed = d.ask("health")["probe_index"]
    first = d.ask("snapshot")["index"]
    status = d.ask("status")
    check(first >= probed and status["checkpoint_index"] == first, first, probed, status)
    check(d.ask("snapshot")["index"] == first and d.ask("status")["checkpoints"] ==
          status["checkpoints"], "another one of the same")
    check("index %d stands" % first in d.run("snapshot").stdout, "not said")


@test
def configurations_are_shown_and_checked(d):
    rows = d.ask("config", "show")["keys"]
    shown = {(row["section"], row["key"]): (row["value"], row["default"]) for row in rows}
    check(shown["replica", "id"] == ("1", False), shown)
    check(shown["ring", "window_mib"] == ("16", True), shown)
    check(shown["admin", "socket"] == (d.socket, False), shown)
    check("\n[ring]\nwindow_mib = 16    ; default\n" in d.run("config", "show").stdout, "as a file")
    check("no files to read" in d.run("config", "reload", code=1).stderr, "it has none")
    path = os.path.join(d.where, "keeld.conf")
    keys = os.path.join(d.where, "keys")
    text = "[replica]\nid = 1\ndata = /ring\n[network]\nport = af_packet:eth1\n" \
           "address = 10.0.0.1/24\n[keys]\nfile = %s\n" % keys
    with open(path, "w") as file:
        file.write(text)
    with open(keys, "w") as file:
        file.write(d.run("key", "new", "replica", 1).stdout)
    os.chmod(keys, 0o600)
    for words in ([], ["--json"]):
        good = d.run("config", "check", path, *words)
    check(json.loads(good.stdout) == {"good": True, "problem": "", "replica": 1, "keys": 1}, good)
    check(subprocess.run([KEELD, "--config", path, "--check"], capture_output=True, text=True,
                         check=False).stdout == d.run("config", "check", path).stdout, "as keeld")
    for old, new, says in (("id = 1", "id = 2", "[replica 2]"), ("eth1", "", "network interface"),
                           ("[keys]", "[kees]", "%s:7" % path)):
        with open(path, "w") as file:
            file.write(text.replace(old, new))
        said = d.run("config", "check", path, code=1).stderr
        check(says in said, said)
        answer = json.loads(d.run("--json", "config", "check", path, code=1).stdout)
        check(answer["good"] is False and answer["problem"] in said, answer)


class Terminal:
    """keelctl on a terminal of so many columns and rows, and what stands on its screen."""

    def __init__(self, words, columns, rows):
        self.master, slave = os.openpty()
        self.drawn = bytearray()
        self.resize(columns, rows)
        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: (
            os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
        os.close(slave)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def take(self, data):
        """The few codes that `top` writes; what would scroll or wrap is a fault."""
        self.drawn += data
        for match in re.finditer(rb"\x1b\[[?0-9;]*([A-Za-z])|(\r)|(\n)|([^\x1b])", data):
            code, back, down, char = match.groups()
            if code == b"H":
                self.x = self.y = 0
            elif code in (b"K", b"J"):
                self.lines[self.y][self.x:] = [" "] * (self.columns - self.x)
                for row in range(self.y + 1, self.rows if code == b"J" else 0):
                    self.lines[row] = [" "] * self.columns
            elif back:
                self.x = 0
            elif down:
                self.y += 1
                check(self.y < self.rows, "it scrolls", self.text())
            elif char:
                check(self.x < self.columns, "it wraps", self.text())
                self.lines[self.y][self.x] = char.decode("ascii")
                self.x += 1

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)

    def wait(self, *words):
        """Until all of them stand there."""
        until = time.monotonic() + WAIT_S
        while not all(re.search(word, self.text()) for word in words):
            check(time.monotonic() < until, words, self.text())
            if select.select([self.master], [], [], 0.1)[0]:
                self.take(os.read(self.master, 65536))
        return self.text()

    def press(self, text):
        os.write(self.master, text.encode())

    def ended(self, again=""):
        """What it says last, and its exit code. `again` is pressed until it ends: a terminal that just then
        goes from lines to single keys takes the end of the input for a character."""
        until = time.monotonic() + WAIT_S
        said = b""
        while True:
            check(time.monotonic() < until, "it does not end", repr(said))
            try:
                if select.select([self.master], [], [], 0.5)[0]:
                    said += os.read(self.master, 65536)
                elif again:
                    self.press(again)
            except OSError:
                break
        os.close(self.master)
        return said.decode(), self.process.wait(timeout=WAIT_S)


@test
def top_keeps_to_its_screen(d):
    for columns, rows in ((80, 24), (120, 40)):
        screen = Terminal(d.words("top"), columns, rows)
        shown = screen.wait("replica 1  leader  term 1 ", "commit 2 ", r"turns \d+", "STAGE, US", "locks held 0",
                            r"\n1  leader   self ", "DROPPED OR REFUSED").split("\n")
        check(re.search(r" \d\d:\d\d:\d\d$", shown[0]) and len(shown[0]) == columns - 1, shown[0])
        screen.resize(60, 10)  # the same picture, cut
        screen.process.send_signal(signal.SIGWINCH)
        screen.wait("commit 2 ", r"\n1  leader")
        check("STAGE" not in screen.text(), screen.text())
        screen.press("q")
        said, code = screen.ended()
        check(code == 0 and said.endswith("\x1b[?25h\x1b[?1049l"), code, repr(said))
        check(b"\x1b[2J" not in screen.drawn, "it clears the screen: it flickers")


@test
def top_outlives_the_daemon(d):
    path = os.path.join(d.where, "link")
    os.symlink(d.socket, path)
    screen = Terminal([KEELCTL, "-s", path, "top"], 80, 24)
    screen.wait("commit 2 ")
    os.unlink(path)
    screen.wait("NO ANSWER for .*No such file", "commit 2 ")  # the last that is known stays
    os.symlink(d.socket, path)
    screen.wait("quorum contact ")
    check("NO ANSWER" not in screen.text(), screen.text())
    screen.process.send_signal(signal.SIGTERM)
    check(screen.ended()[1] == 0, "ended by a signal")


@test
def top_as_text_and_as_rates(d):
    text = d.run("top", "--once").stdout
    check("replica 1  leader" in text and "\x1b" not in text, text)
    check(max(len(line) for line in text.splitlines()) <= 80, text)
    process = d.spawn("top", "--json")
    for _ in range(2):
        rates = json.loads(process.stdout.readline())
        compare("top", rates, documented())
        check(rates["turns_s"] > 0 and rates["interval_ms"] >= 1000, rates)
    ended(process)
    check("it wants a terminal" in d.run("top", code=2, stdin=subprocess.DEVNULL).stderr, "no terminal")


class Shell(Terminal):
    """A terminal whose output is only read, line by line."""

    def __init__(self, d, home):
        self.home = home
        super().__init__(d.words(), 200, 24)

    def until(self, pattern):
        """What it says until that stands there."""
        end = time.monotonic() + WAIT_S
        while not re.search(pattern, self.plain()):
            check(time.monotonic() < end, pattern, repr(self.plain()))
            if select.select([self.master], [], [], 0.1)[0]:
                self.drawn += os.read(self.master, 65536)
        text, self.drawn = self.plain(), bytearray()
        return text

    def plain(self):
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|[\r\x07]", "", self.drawn.decode("utf-8", "replace"))


@test
def without_a_command_it_is_a_shell(d):
    os.environ.update(HOME=d.where, TERM="xterm")
    os.environ.pop("XDG_STATE_HOME", None)
    shell = Shell(d, d.where)
    shell.until("keel> $")
    shell.press("--json version\n")
    check('"replica":1' in shell.until(r"\}\n.*keel> $"), "version")
    shell.press("ring ver\t")  # one candidate: it is filled in
    shell.until("ring verify $")
    shell.press("/nowhere\n")
    said = shell.until("keel> $")
    check("ring: " in said and "(exit code 1)" in said, said)
    shell.press("config sh\t --js\t\n")
    check('"keys":[' in shell.until(r"\}\n.*keel> $"), "completion of options")
    shell.press("help day end\n")
    check("usage: keelctl day end NAME" in shell.until("example: .*\n.*keel> $"), "help")
    shell.press("events --follow\n")
    d.log("while it follows")
    shell.until("said while it follows")
    shell.press("\x03")  # ends the command, not the shell
    shell.until("keel> $")
    shell.press("node set '/a b\n")
    check("a quote that does not end" in shell.until("many words\n.*keel> $"), "quotes")
    shell.press("quit\n")
    check(shell.ended()[1] == 0, "quit")
    again = Shell(d, d.where)
    again.until("keel> $")
    again.press("\x1b[A\x1b[A\x1b[A\n")  # three lines up: `events` and the quote are nearer
    again.until("events --follow\n.*while it follows")
    again.press("\x03")
    again.until("keel> $")
    history = os.path.join(d.where, ".keelctl_history")
    with open(history, encoding="utf-8") as file:
        kept = file.read()
    check("version" in kept and "quit" in kept and os.stat(history).st_mode & 0o777 == 0o600, kept)
    again.press("\x04")
    check(again.ended("\x15\x04")[1] == 0, "the end of the input")


@test
def without_a_terminal_it_is_usage(d):
    done = d.run(code=2, stdin=subprocess.DEVNULL)
    check("no command" in done.stderr, done)


def documented():
    """Of docs/keelctl-json.md: each command's (keys that always stand, keys that may)."""
    with open(os.path.join(ROOT, "docs", "keelctl-json.md"), encoding="utf-8") as file:
        parts = re.split(r"^## (.*)$", file.read(), flags=re.M)
    told = {}
    for names, text in zip(parts[1::2], parts[2::2]):
        always, may = set(), set()
        for line in re.findall("^- (.*)$", text, re.M):
            heads = re.findall("((?:`[^`]+`(?:, )?)+)(?::|$)", line)
            keys = {key for head in heads[:1] for key in re.findall("`([^`]+)`", head)}
            if "; `" in line:
                keys |= set(re.findall("; `([^`]+)`:", line))
            (may if "(sometimes)" in line else always).update(keys)
        like = re.search("^As (.*)\\.$", text, re.M)
        for name in names.split(", "):
            told[name] = told[like.group(1)] if like else (always, may)
    return told


def keys_of(value, before=""):
    """Names as the page has them: a.b, a[].b."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found.add(before + key)
            found |= keys_of(inner, before + key + ".")
    elif isinstance(value, list):
        for inner in value:
            found |= keys_of(inner, before[:-1] + "[].")
    return found


def compare(name, answer, told):
    always, may = told[name]
    real = keys_of(answer)

    def known(key):
        return any(re.fullmatch(re.escape(k).replace(r"\*", "[^.]+"), key) for k in always | may)

    check(all(known(key) for key in real), name, "not documented:",
          sorted(k for k in real if not known(k)))
    lacking = {k for k in always if "*" not in k and k not in real}
    check(not lacking, name, "documented and not there:", sorted(lacking))


@test
def every_command_has_its_keys_in_the_page(d):
    names = [line[2:22].strip() for line in d.run("--help").stdout.splitlines()
             if re.match("  [a-z]", line)]
    told = documented()
    check(set(told) == set(names), set(told) ^ set(names))


@test
def real_answers_have_the_keys_of_the_page(d):
    told = documented()
    ring, genesis, backup = (os.path.join(d.where, name) for name in ("ring", "genesis", "backup"))
    identity = subprocess.run(
        [KEELD, "format", "--data", ring, "--replica", "1", "--address", "10.0.0.1:7400", "--size",
         "8M", "--checkpoint-size", "1M"], capture_output=True, text=True, check=True).stdout.strip()
    d.log("something")
    d.wait_logged(1)
    for name, *words in (("status",), ("status", "--read"), ("health",), ("member list",), ("metrics",),
                         ("drops",), ("ring",), ("events",), ("clock",), ("digest",),
                         ("digest", "--cluster"), ("snapshot",), ("config show",), ("version",),
                         ("autopilot show",), ("autopilot dry-run",), ("autopilot decisions",),
                         ("leader transfer", "--to", 1), ("session list",),
                         ("node create", "/a"), ("node set", "/a", "--text", "x"), ("node acl", "/a", "100:r"),
                         ("node get", "/a"), ("node list", "/"), ("node delete", "/a"), ("resume", 1),
                         ("session suspend", "--principal", 100, "--dry-run"),
                         ("session limit", "--principal", 100, "--rate", 7), ("day end", "DAY1", "--dry-run"), ("day end", "DAY1"), ("day begin", "DAY2"),
                         ("key new", "client", 100), ("backup", backup), ("backup verify", backup),
                         ("genesis create", "--out", genesis, "--day", "D1", identity),
                         ("genesis install", "--data", ring, genesis), ("genesis show", ring),
                         ("genesis status",),
                         ("ring verify", ring), ("recover", ring)):
        compare(name, d.ask(*name.split(), *words), told)
    error = json.loads(d.run("--json", "day", "end", "OTHER", code=1).stdout)
    check(set(error) == {"error"} and set(error["error"]) == {"code", "why"}, error)


KEPT = 512


@test
def events_are_numbered_and_gaps_are_said(d):
    check(d.ask("events") == {**d.ask("events"), "last": 0, "lost": 0, "events": []}, d.ask("events"))
    for n in range(3):
        d.log("number %d" % n)
    d.wait_logged(3)
    shown = d.run("events", "--since", 1).stdout.splitlines()
    check([line.split(" ", 1)[0] for line in shown] == ["2", "3"], shown)
    check(all(re.fullmatch(r"\d \d{4}-\d\d-\d\dT[0-9:.]{12}Z notice said number \d", line)
              for line in shown), shown)
    for n in range(3, KEPT + 10):
        d.log("number %d" % n)
    d.wait_logged(KEPT + 10)
    answer = d.ask("events", "--since", 4)
    numbers = [event["number"] for event in answer["events"]]
    check(numbers == list(range(11, KEPT + 11)), numbers[:3], numbers[-3:])
    check((answer["lost"], answer["last"]) == (6, KEPT + 10), answer["lost"], answer["last"])
    check(all(e["text"] == "number %d" % (e["number"] - 1) for e in answer["events"]), answer)
    shown = d.run("events", "--since", 4).stdout.splitlines()
    check(shown[0].startswith("(6 events") and len(shown) == KEPT + 1, shown[:2])
    d.run("events", "--since", "x", code=2)


@test
def events_are_followed(d):
    d.log("first")
    process = d.spawn("--json", "events", "--follow")
    for n, text in enumerate(("first", "second", "third \x01\xe9 end"), 1):
        if n > 1:
            d.log(text)
        event = json.loads(process.stdout.readline())
        check(event["number"] == n and event["text"] == text.encode().decode("latin-1").translate(
            {i: "?" for i in list(range(32)) + list(range(127, 256))}), event)
    stand_still(process)  # and the journal laps it
    for n in range(2 * KEPT):  # one answer, of 256 at most, may be under way
        d.log("more %d" % n)
    d.wait_logged(2 * KEPT + 3)
    process.send_signal(signal.SIGCONT)
    number, lost = 3, 0
    while number < 2 * KEPT + 3:
        event = json.loads(process.stdout.readline())
        lost += event.get("lost", 0)
        number += event.get("lost", 1)
        check("lost" in event or event["number"] == number, number, event)
    check(lost > 0, "nothing was lost")
    ended(process)


def at_a_desk(function):
    where = tempfile.mkdtemp(prefix="keelctl-test-")
    desk = None
    try:
        desk = Desk(where)
        function(desk)
        check(desk.close() == 0, "the desk found something wrong")
    finally:
        if desk is not None and desk.process.poll() is None:
            desk.process.kill()
            desk.process.wait()
        shutil.rmtree(where)


if __name__ == "__main__":
    sys.exit(run_tests(at_a_desk))
