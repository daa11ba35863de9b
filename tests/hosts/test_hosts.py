#!/usr/bin/env python3
"""keel-host doctor and plan on recorded hosts: every byte and the exit code as expected; prints TAP.

    test_hosts.py KEEL_HOST KEELD [--update]    --update writes what is printed as what is expected

The hosts are recordings of one machine in four states, made by record.sh: as it starts (bare), with 64
pages reserved (reserved), with 40 of them mapped by another process, which touched 24 (held), and
with 8 of 10 in a file that a process left in hugetlbfs (leftover).
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HOST, KEELD = sys.argv[1:3]
UPDATE = '--update' in sys.argv[3:]
TREES = ('bare', 'reserved', 'held', 'leftover')

CONFIG = """[replica]
id = 1
data = /var/lib/keel/ring
[network]
port = 0000:04:00.0
address = 10.0.0.1/24
[memory]
hugepages = %s
[keys]
file = /etc/keel/keys
"""


def run(*words):
    done = subprocess.run([HOST, *words], capture_output=True, text=True, timeout=60)
    return '%s%sexit %d\n' % (done.stdout, done.stderr, done.returncode)


def with_config(where, tree, pages, ring):
    """A copy of a recorded host with a configuration, and a ring if asked for."""
    root = os.path.join(where, tree)
    shutil.copytree(os.path.join(HERE, tree), root)
    os.makedirs(os.path.join(root, 'etc/keel'))
    os.makedirs(os.path.join(root, 'var/lib/keel'))
    with open(os.path.join(root, 'etc/keel/keeld.conf'), 'w') as file:
        file.write(CONFIG % pages)
    if ring:
        subprocess.run([KEELD, 'format', '--data', os.path.join(root, 'var/lib/keel/ring'), '--replica',
                        '1', '--address', '10.0.0.1:7400', '--size', '64M', '--checkpoint-size', '4M'],
                       check=True, capture_output=True, timeout=120)
    return root


def cases():
    """Name, words (or where a configuration and a ring stand), in the order of the report."""
    for tree in TREES:
        root = os.path.join(HERE, tree)
        for name, words in (('doctor', ['doctor', '--pages', '45']),
                            ('json', ['doctor', '--json', '--pages', '45']),
                            ('plan', ['plan', '--pages', '45'])):
            yield '%s-%s' % (tree, name), None, words + ['--root', root]
    yield 'bare-node', None, ['doctor', '--pages', '45', '--node', '0', '--root',
                              os.path.join(HERE, 'bare')]
    yield 'bare-plan-node', None, ['plan', '--pages', '45', '--node', '0', '--root',
                                   os.path.join(HERE, 'bare')]
    yield 'bare-no-node', None, ['doctor', '--pages', '45', '--node', '1', '--root',
                                 os.path.join(HERE, 'bare')]
    yield 'reserved-unknown', None, ['doctor', '--root', os.path.join(HERE, 'reserved')]
    yield 'reserved-unknown-plan', None, ['plan', '--root', os.path.join(HERE, 'reserved')]
    for name, tree, pages, ring in (('no-ring', 'reserved', 'auto', False),
                                    ('ordinary', 'bare', 'no', False),
                                    ('ring-auto', 'bare', 'auto', True),
                                    ('ring-yes', 'bare', 'yes', True),
                                    ('ring-fits', 'reserved', 'yes', True)):
        yield name, (tree, pages, ring), ['doctor']


def main():
    listed = list(cases())
    print('1..%d' % (len(listed) + 1))
    failures = 0
    if UPDATE:
        shutil.rmtree(os.path.join(HERE, 'expected'), ignore_errors=True)
        os.mkdir(os.path.join(HERE, 'expected'))
    seen = set()
    for i, (name, config, words) in enumerate(listed):
        seen.add(name)
        expected = os.path.join(HERE, 'expected', name)
        with tempfile.TemporaryDirectory(prefix='keel-hosts-') as where:
            if config is not None:
                words = words + ['--root', with_config(where, *config)]
            printed = run(*words)
        if UPDATE:
            with open(expected, 'w') as file:
                file.write(printed)
        wanted = open(expected).read() if os.path.exists(expected) else ''
        print('%s %d - %s' % ('ok' if printed == wanted else 'not ok', i + 1, name), flush=True)
        if printed != wanted:
            failures += 1
            print('# printed:\n' + ''.join('#   %s\n' % line for line in printed.splitlines()), end='')
            print('# wanted:\n' + ''.join('#   %s\n' % line for line in wanted.splitlines()), end='')
    whole = set(os.listdir(os.path.join(HERE, 'expected'))) == seen
    print('%s %d - nothing is expected that is not looked at' % ('ok' if whole else 'not ok',
                                                                len(listed) + 1))
    return 1 if failures or not whole else 0


if __name__ == '__main__':
    sys.exit(main())
