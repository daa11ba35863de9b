#!/usr/bin/env python3
"""Holds docs/raft.md against consensus/raft: every rule of the page is quoted, word for word, in a
comment of the file that it names, the function it names is there, and so is its transcript.

usage: rules.py SOURCE_ROOT
"""
import re
import sys
from pathlib import Path

ROW = re.compile(r'^\| "(?P<rule>[^"]+)" \| (?P<source>[^|]+) \| (?P<file>\w+\.c)'
                 r'(?:, `(?P<function>\w+)`)? \| (?P<transcript>\w+) \|$')
RULES_MIN = 30  # fewer, and the page was not read as it is written
SECTIONS = ["3.3", "3.4", "3.5", "3.6.1", "3.6.2", "3.8", "4.2.3", "6.2", "6.4", "9.6", "10.2.1"]


def comments(text):
    """All comments as one line each, without the stars at the lines' beginnings."""
    found = re.findall(r"/\*(.*?)\*/", text, re.S)
    return [" ".join(re.sub(r"\n\s*\*", " ", comment).split()) for comment in found]


def main():
    root = Path(sys.argv[1])
    page = (root / "docs/raft.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith('| "')]
    faults, sections = [], set()
    for line in rows:
        row = ROW.match(line)
        if row is None:
            faults.append(f"not a row of the table: {line}")
            continue
        source = root / "consensus/raft" / row["file"]
        text = source.read_text() if source.exists() else ""
        if not any(row["rule"] in comment for comment in comments(text)):
            faults.append(f'{row["file"]} does not quote "{row["rule"]}"')
        if row["function"] and not re.search(rf'\b{row["function"]}\(', text):
            faults.append(f'{row["file"]} has no {row["function"]}()')
        if not (root / f'tests/scenarios/raft/{row["transcript"]}.txt').exists():
            faults.append(f'no transcript {row["transcript"]}')
        sections.update(re.findall(r"\d+(?:\.\d+)+", row["source"]))
    faults += [f"no rule of section {section}" for section in SECTIONS if section not in sections]
    if len(rows) < RULES_MIN:
        faults.append(f"only {len(rows)} rules")
    for fault in faults:
        print(f"# {fault}")
    print(f'{"not ok" if faults else "ok"} 1 - {len(rows)} rules are quoted beside their branches')
    print("1..1")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
