#!/usr/bin/env python3
"""Manual pages and completion against what the programs say themselves; prints TAP.

    test_keelctl_docs.py KEELCTL KEELD KEELCAT KEELCTL.1 KEELD.8 KEELCAT.1 COMPLETION
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import check, run_tests, test  # noqa: E402

KEELCTL, KEELD, KEELCAT, CTL_PAGE, DAEMON_PAGE, CAT_PAGE, COMPLETION = sys.argv[1:8]


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def options(text):
    return set(re.findall(r"^  (--[a-z-]+)", text, re.M))


def commands():
    return [line[2:22].strip() for line in run(KEELCTL, "--help").splitlines()
            if re.match("  [a-z]", line)]


def page(path):
    if shutil.which("mandoc"):
        text = run("mandoc", "-T", "utf8", path)
    else:
        text = run("groff", "-mdoc", "-Tutf8", "-P-cbou", path)
    return re.sub(".\b", "", text).replace("\u2010", "-")


def sections(text):
    """Of COMMANDS: each command's own text."""
    body = text[text.index("\nCOMMANDS\n"):text.index("\nEXIT STATUS\n")]
    parts = re.split(r"^   (\S.*)$", body, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def complete(*words):
    """What follows the words, of which the last is unfinished."""
    line = " ".join("'%s'" % w for w in ("keelctl",) + words)
    script = ". '%s'; COMP_WORDS=(%s); COMP_CWORD=%d; _keelctl; printf '%%s\\n' \"${COMPREPLY[@]}\"" % (
        COMPLETION, line, len(words))
    return set(run("bash", "-c", script).split())


@test
def every_command_and_option_has_its_place_in_the_page():
    told = sections(page(CTL_PAGE))
    check(list(told) == commands(), set(told) ^ set(commands()))
    common = options(run(KEELCTL, "--help"))
    text = page(CTL_PAGE)
    check(all(re.search("^ +%s" % o, text, re.M) for o in common), common)
    for name in commands():
        for option in options(run(KEELCTL, *name.split(), "--help")) - common:
            check(re.search("^ +%s( |$)" % option, told[name], re.M), name, option)


@test
def the_other_pages_have_every_option():
    for path, program, more in ((DAEMON_PAGE, KEELD, ["format"]),
                                (CAT_PAGE, KEELCAT, ["publish", "follow", "replay"])):
        text = page(path)
        for words in [[]] + [[word] for word in more]:
            for option in options(run(program, *words, "--help")):
                check(re.search("^ +%s( |$)" % option, text, re.M), path, option)
        check(all(word in text for word in ("NAME", "SYNOPSIS", "EXIT STATUS", "SEE ALSO")), path)


@test
def the_pages_are_sound():
    for path in (CTL_PAGE, DAEMON_PAGE, CAT_PAGE):
        words = ["mandoc", "-T", "lint", "-W", "warning"] if shutil.which("mandoc") else \
            ["groff", "-mdoc", "-ww", "-z"]
        done = subprocess.run([*words, path], capture_output=True, text=True, check=False)
        check(done.stdout + done.stderr == "", done.stdout, done.stderr)


@test
def completion_knows_the_table():
    subprocess.run(["bash", "-n", COMPLETION], check=True)
    check(run(KEELCTL, "completion", "bash") == open(COMPLETION, encoding="utf-8").read(), "another")
    check(complete("") == {name.split()[0] for name in commands()}, complete(""))
    common = options(run(KEELCTL, "--help"))
    for name in commands():
        words = name.split()
        check(words[0] in complete(words[0][:2]), name)
        if len(words) == 2:
            check(words[1] in complete(words[0], ""), name)
            check(words[1] in complete("-s", "/run/x", "--json", words[0], words[1][:1]), name)
        told = complete(*words, "word", "--") | complete(*words, "-")
        wanted = options(run(KEELCTL, *words, "--help")) | common
        check(told >= {o for o in wanted if o != "--watch"} - {"--FIELD"}, name, wanted - told)
        check(told <= wanted | {"--watch"}, name, told - wanted)


@test
def completion_finds_files_where_files_are_wanted():
    check("/etc/passwd" in complete("ring", "verify", "/etc/pass"), "a word")
    check("/etc/passwd" in complete("status", "-s", "/etc/pass"), "an option's value")
    check(complete("status", "--timeout", "") == set(), "a number")
    check(complete("status", "/etc/pass") == set(), "no word")


if __name__ == "__main__":
    sys.exit(run_tests())
