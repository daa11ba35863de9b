#!/usr/bin/env python3
"""A manual page in mdoc, made of what a program's --help says; for keelctl that is its command table.

    man.py PROGRAM SECTION COMMAND...     COMMANDs have a help of their own; `all`: those that it lists
"""

import os
import re
import subprocess
import sys
import textwrap

DATE = 'November 30, 2026'
OPTION = re.compile(r'^  (-{1,2}[A-Za-z][^ ]*(?: [A-Z\[][^ ]*)?)(?: +(.*))?$')
SEE = {'keelctl': (('keelcat', 1), ('keeld', 8)), 'keelcat': (('keelctl', 1), ('keeld', 8)),
       'keeld': (('keelcat', 1), ('keelctl', 1))}
ABOUT = {'keelctl': 'ask and change a running keeld, look at its files',
         'keelcat': 'publish to a Keel cluster, follow and replay its feed',
         'keeld': 'the daemon of one replica of a Keel cluster'}


def said(program, *words):
    return subprocess.run([program, *words, '--help'], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.rstrip('\n').split('\n')


def plain(text):
    """Text that roff takes for nothing else."""
    text = text.replace('\\', '\\e')
    return '\\&' + text if text[:1] in ('.', "'") else text


def prose(text):
    """A sentence ends its line."""
    sentences = re.split(r'(?<=[a-z)`]{2}[.!?]) (?=[A-Z`])', text)
    return '\n'.join(plain(line) for sentence in sentences for line in textwrap.wrap(
        sentence, 76, break_on_hyphens=False, break_long_words=False))


def literal(lines):
    return ['.Bd -literal', *(plain(line) if line.strip() else '' for line in lines), '.Ed']


def option_name(left):
    name, _, argument = left.partition(' ')
    dashes = 2 if name.startswith('--') else 1
    return 'Fl ' + '\\-' * (dashes - 1) + name[dashes:] + (' Ar ' + argument if argument else '')


def options_of(lines):
    """(left, text) of each option line; what follows indented belongs to it."""
    found = []
    for line in lines:
        match = OPTION.match(line)
        if match:
            found.append([match.group(1), match.group(2) or ''])
        elif found and line.startswith(' ' * 12) and found[-1] is not None:
            found[-1][1] = (found[-1][1] + ' ' + line.strip()).strip()
    return found


def option_list(options):
    if not options:
        return []
    out = ['.Bl -tag -width Ds']
    for left, text in options:
        out += ['.It ' + option_name(left), prose(text)]
    return out + ['.El']


def others(lines):
    """What is neither usage, option nor example, as it stands, without blank ends."""
    rest, inside = [], False
    for line in lines:
        if OPTION.match(line):
            inside = True
        elif not (inside and line.startswith(' ' * 12)):
            inside = False
            rest.append(line)
    while rest and not rest[0].strip():
        rest.pop(0)
    while rest and not rest[-1].strip():
        rest.pop()
    return rest


def paragraphs(lines):
    """Blank lines part; indented ones stand as they are."""
    out, block = [], []
    for line in [*lines, '']:
        if line.strip():
            block.append(line)
            continue
        if block and any(b.startswith('  ') for b in block):
            out += literal(block)
        elif block:
            out += [*(['.Pp'] if out else []), prose(' '.join(block))]
        block = []
    return out


def command(program, name, common):
    lines = said(program, *name.split())
    example = [i for i, line in enumerate(lines) if re.match(r'(example|Examples):', line)]
    body, shown = (lines[:example[0]], lines[example[0]:]) if example else (lines, [])
    usage = body[0].removeprefix('usage: ')
    own = [o for o in options_of(body[1:]) if o[0] not in common]
    shown = [re.sub(r'^example: ', '', shown[0]), *shown[1:]] if shown else []
    shown = [line for line in shown if line != 'Examples:']
    return ['.Ss ' + plain(name), *literal([usage]), *paragraphs(others(body[1:])),
            *option_list(own), *(['.Pp', 'Example:', *literal(shown)] if shown else [])]


def commands_listed(lines):
    """Those of keelctl: two blanks, the name, its summary from a fixed column on."""
    return [line[2:22].strip() for line in lines if re.match(r'^  [a-z]', line) and len(line) > 22]


def page(program, section, names):
    own = os.path.basename(program)
    lines = said(program)
    if names == ['all']:
        names = commands_listed(lines)
    usage = [line for line in lines if re.match(r'usage: |       ' + own, line)]
    lines = [line for line in lines if line not in usage]
    exits = next((i for i, line in enumerate(lines) if line.lower().startswith('exit codes')), len(lines))
    common = options_of(lines[:exits])
    out = ['.Dd ' + DATE, '.Dt %s %s' % (own.upper(), section), '.Os', '.Sh NAME', '.Nm ' + own,
           '.Nd ' + ABOUT[own], '.Sh SYNOPSIS', '.Nm']
    out = out[:-1] + literal([line[7:] for line in usage]) if usage else \
        out + ['.Ar COMMAND', '.Op Ar OPTIONS', '.Op Ar WORDS']
    intro = [line for line in lines[:exits] if line not in ('Options of every command:',)
             and line[2:22].strip() not in names]
    out += ['.Sh DESCRIPTION', *paragraphs(others(intro))]
    if common:
        out += ['.Ss Options%s' % (' of every command' if names else ''), *option_list(common)]
    if names:
        out.append('.Sh COMMANDS')
        lefts = {left for left, _ in common}
        for name in names:
            out += command(program, name, lefts)
    tail = paragraphs([re.sub('^[Ee]xit codes: ', '', lines[exits]), *lines[exits + 1:]])
    out += ['.Sh EXIT STATUS', *tail] if tail else []
    out += ['.Sh SEE ALSO', ' ,\n'.join('.Xr %s %d' % one for one in SEE[own])]
    return '\n'.join(line for line in out if line) + '\n'


if __name__ == '__main__':
    sys.stdout.write(page(sys.argv[1], sys.argv[2], sys.argv[3:]))
