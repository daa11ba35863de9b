#!/usr/bin/env python3
"""keel-host apply and undo on the running host: its hugepages are raised and put back; prints TAP.

    test_apply.py KEEL_HOST KEELD KEELCTL

What needs root is skipped without, with the reason. Other runs on the same host may change its pool
meanwhile: a check that then fails is made again, a few times.
"""
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HOST, KEELD, KEELCTL = sys.argv[1:4]
POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB/'
NODE0 = '/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages'
TESTS = []
ADD = 8        # pages that a test reserves beside those that are free
TRIES = 6

KEELD_CONFIG = """[replica]
id = 1
data = %(where)s/ring
[network]
port = net_null0
address = 10.0.0.1/24
[memory]
hugepages = yes
[admin]
socket = %(where)s/admin.sock
[keys]
file = %(where)s/keys
"""


class Skip(Exception):
    pass


def test(root):
    def add(function):
        TESTS.append((function, root))
        return function
    return add


def check(condition, *said):
    if not condition:
        raise AssertionError(' '.join(str(s) for s in said))


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def pool(name):
    with open(POOL + name) as file:
        return int(file.read())


def state():
    """What undo has to bring back."""
    return pool('nr_hugepages') - pool('surplus_hugepages'), pool('nr_overcommit_hugepages')


def usable():
    return max(0, pool('free_hugepages') - pool('resv_hugepages'))


def needed():
    if os.geteuid() != 0:
        return 'it changes the host and needs root'
    if not os.path.isdir(POOL):
        return 'this kernel has no pages of 2 MiB'
    if shutil.which('hugeadm') is None:
        return 'hugeadm is not installed (libhugetlbfs-bin)'
    return None


@test(root=False)
def usage(where):
    for words in ([], ['frobnicate'], ['doctor', 'now'], ['doctor', '--fast'], ['doctor', '--pages'],
                  ['doctor', '--pages', '0'], ['doctor', '--pages', '4x'], ['doctor', '--node', '64'],
                  ['plan', '--json'], ['apply', '--root', where], ['undo', '--root', where],
                  ['undo', '--pages', '4'], ['doctor', '--state', where],
                  ['doctor', '--pages', '4', '--config', where],
                  ['doctor', '--config', os.path.join(where, 'none')]):
        code, out, err = run(HOST, *words)
        check(code == 2 and out == '' and err.startswith('keel-host: '), words, code, out, err)
    code, out, err = run(HOST, '--help')
    check(code == 0 and out.startswith('usage: keel-host') and err == '', code, err)
    check(run(HOST, '--version')[1].startswith('keel-host '))


@test(root=False)
def without_root_nothing_is_changed(where):
    options = {} if os.geteuid() != 0 else {'user': 65534, 'group': 65534, 'extra_groups': []}
    for words in (['apply', '--pages', '1'], ['undo']):
        try:
            code, out, err = run(HOST, *words, **options)
        except PermissionError:
            raise Skip('another user cannot reach the build folder')
        check(code == 1 and out == '' and 'needs root' in err, words, code, out, err)


@test(root=True)
def apply_and_undo(where, *words):
    """Raised by as much as was missing, once; back to the page, and the overcommit limit too."""
    undo = os.path.join(where, 'undo')
    before = state()
    pages = usable() + ADD
    code, out, err = run(HOST, 'plan', '--pages', pages, *words)
    check(code == 0 and 'would ' in out and state() == before, code, out, err)
    code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo, *words)
    check(code == 0 and 'are reserved now' in out, code, out, err)
    check(state() == (before[0] + ADD, before[1]), before, state())
    check(os.path.exists(undo))
    code, out, err = run(HOST, 'doctor', '--pages', pages, *words)
    check(code == 0 and out.startswith('PASS  hugepages.pool'), code, out)
    code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo, *words)
    check(code == 0 and 'nothing to do' in out, code, out, err)
    code, out, err = run(HOST, 'apply', '--pages', pages + ADD, '--state', undo, *words)
    check(code == 0 and state()[0] == before[0] + 2 * ADD, code, out, err, before, state())
    code, out, err = run(HOST, 'undo', '--state', undo)
    check(code == 0 and 'as before' in out and state() == before, code, out, err, before, state())
    check(not os.path.exists(undo))
    code, out, err = run(HOST, 'undo', '--state', undo)
    check(code == 0 and 'nothing to undo' in out and state() == before, code, out, err)


@test(root=True)
def apply_and_undo_on_a_node(where):
    if not os.path.exists(NODE0):
        raise Skip('this kernel tells of no NUMA nodes')
    apply_and_undo(where, '--node', '0')


@test(root=True)
def fewer_than_wanted(where):
    """hugeadm ends with 0 also when memory was short: here one that asks for half."""
    shim = os.path.join(where, 'hugeadm')
    with open(shim, 'w') as file:
        file.write('#!/bin/sh\nn=${2#2MB:}\n[ "$n" -gt %d ] && n=$((n - 4))\n'
                   'exec %s "$1" "2MB:$n"\n' % (state()[0], shutil.which('hugeadm')))
    os.chmod(shim, 0o755)
    undo, before, pages = os.path.join(where, 'undo'), state(), usable() + ADD
    environment = dict(os.environ, PATH=where + ':' + os.environ['PATH'])
    code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo, env=environment)
    check(code == 1 and 'for %d of %d pages' % (ADD - 4, ADD) in err, code, out, err)
    check(state() == before and not os.path.exists(undo), before, state())


@test(root=True)
def hugeadm_not_there(where):
    undo, before, pages = os.path.join(where, 'undo'), state(), usable() + ADD
    code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo, env={'PATH': where})
    check(code == 1 and 'hugeadm: exit 127' in err, code, out, err)
    check(state() == before and not os.path.exists(undo), before, state())


@test(root=True)
def the_undo_file(where):
    """One of an older boot is out of date, a damaged one is refused, a locked one waits for nobody."""
    undo, before, pages = os.path.join(where, 'undo'), state(), usable() + ADD
    with open(undo, 'w') as file:
        file.write('keel-host undo 1\n'
                   'hugepages all an-older-boot size_kb=2048 before=0 added=9999 overcommit=77\n')
    code, out, err = run(HOST, 'undo', '--state', undo)
    check(code == 0 and 'started anew' in out and not os.path.exists(undo), code, out, err)
    check(state() == before, before, state())
    with open(undo, 'w') as file:
        file.write('keel-host undo 1\n'
                   'hugepages all an-older-boot size_kb=2048 before=0 added=9999 overcommit=77\n')
    code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo)
    check(code == 0 and state() == (before[0] + ADD, before[1]), code, out, err, before, state())
    code, out, err = run(HOST, 'undo', '--state', undo)
    check(code == 0 and state() == before, code, out, err, before, state())
    for text in ('', 'keel-host undo 1\nhugepages all\n'):
        with open(undo, 'w') as file:
            file.write(text)
        for words in (['undo'], ['apply', '--pages', pages]):
            code, out, err = run(HOST, *words, '--state', undo)
            check(code == 1 and 'not what keel-host writes' in err, words, code, out, err)
    os.unlink(undo)
    with open(undo + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out, err = run(HOST, 'apply', '--pages', pages, '--state', undo)
        check(code == 1 and 'another keel-host' in err, code, out, err)
    check(state() == before, before, state())


def make_replica(where):
    """A cluster of one, on a port to nowhere."""
    def done(*words):
        code, out, err = run(*words)
        check(code == 0, words, code, err)
        return out
    ring = os.path.join(where, 'ring')
    made = done(KEELD, 'format', '--data', ring, '--replica', 1, '--address', '10.0.0.1:7400', '--size',
                '64M', '--checkpoint-size', '4M')
    identity = [line for line in made.splitlines() if 'incarnation=' in line][0]
    genesis = os.path.join(where, 'genesis')
    done(KEELCTL, 'genesis', 'create', '--out', genesis, '--day', '20261124', identity)
    done(KEELCTL, 'genesis', 'install', '--data', ring, genesis)
    keys = os.open(os.path.join(where, 'keys'), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.write(keys, done(KEELCTL, 'key', 'new', 'replica', 1).encode())
    os.close(keys)
    config = os.path.join(where, 'keeld.conf')
    with open(config, 'w') as file:
        file.write(KEELD_CONFIG % {'where': where})
    return config


@test(root=True)
def keeld_starts_on_what_was_reserved(where):
    """With not one page more than keel-host counted; and the running keeld's pages count as its own."""
    if not os.path.exists(os.path.join(where, 'keeld.conf')):
        make_replica(where)
    config, undo = os.path.join(where, 'keeld.conf'), os.path.join(where, 'undo')
    before = state()
    check(usable() == 0, 'pages are free already:', usable())
    code, out, _ = run(HOST, 'doctor', '--config', config)
    check(code == 2 and 'keeld refuses to start' in out, code, out)
    code, out, err = run(HOST, 'apply', '--config', config, '--state', undo)
    check(code == 0, code, out, err)
    log = open(os.path.join(where, 'log'), 'w+')
    keeld = subprocess.Popen([KEELD, '--config', config], stdout=log, stderr=log)
    try:
        text = ''
        for _ in range(100):
            log.seek(0)
            text = log.read()
            if 'drive_mode=' in text or keeld.poll() is not None:
                break
            time.sleep(0.1)
        started = [line for line in text.splitlines() if 'drive_mode=' in line]
        check(started and 'hugepages=yes' in started[0], 'the window:', text)
        check(any('event=eal' in line and 'hugepages=yes' in line for line in text.splitlines()), text)
        code, out, _ = run(HOST, 'doctor', '--config', config)
        check(code == 0 and 'keeld (pid %d)' % keeld.pid in out, code, out)
    finally:
        keeld.send_signal(signal.SIGTERM)
        keeld.wait(timeout=20)
        log.close()
        code, out, err = run(HOST, 'undo', '--state', undo)
    check(code == 0 and state() == before, code, out, err, before, state())


@test(root=True)
def the_demo_gives_back_what_it_reserved(where):
    """Its own runs may overlap on one host, so it counts for itself what it added."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))
    from cluster import Cluster
    before = state()
    cluster = Cluster(where, size=1, directory=where)
    try:
        said = cluster.hugepages()
        check('reserved' in said and state() == (before[0] + cluster.hugepages_added, before[1]), said,
              before, state())
    finally:
        cluster.close()
    check(state() == before, before, state())


def attempt(function, where):
    """The problem that is left, or None. Whatever happened, what was changed is put back."""
    problem = None
    for _ in range(TRIES):
        try:
            function(where)
            return None
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as e:
            problem = e
        if needed() is not None:
            return problem
        run(HOST, 'undo', '--state', os.path.join(where, 'undo'))
        time.sleep(2)
    return problem


def main():
    print('1..%d' % len(TESTS))
    failures = 0
    for i, (function, root) in enumerate(TESTS):
        where, problem, skipped = tempfile.mkdtemp(prefix='keel-apply-'), None, None
        try:
            skipped = needed() if root else None
            if skipped is None:
                problem = attempt(function, where)
        except Skip as e:
            skipped = str(e)
        finally:
            shutil.rmtree(where)
        print('%s %d - %s%s' % ('not ok' if problem else 'ok', i + 1, function.__name__.replace('_', ' '),
                                ' # SKIP ' + skipped if skipped else ''), flush=True)
        if problem is not None:
            failures += 1
            for line in str(problem).splitlines()[:20]:
                print('# ' + line[:1000])
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
