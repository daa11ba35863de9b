"""The admin socket under a crowd: 1,000 connections of a user who may only look, which hold half requests,
flood valid and broken ones, and read nothing; meanwhile a stream is published, and an operator looks and
changes things. Users whom the policy does not know are refused. Printed, never asserted: how long the
operator waits, and the loops' longest turn.
"""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import Cluster, Failure  # noqa: E402
from parts import COMMON, expect, run_parts, wait_end, write_messages  # noqa: E402

CROWD = 1000
READER, STRANGER, OPERATOR = 61001, 61002, 61003  # users of no name
ROUNDS, MESSAGES, LONGEST_S = 8, 20000, 60
HALF = b'{"v":1,"cmd":"sta'
LINES = {'valid': b'{"v":1,"cmd":"metrics"}\n', 'health': b'{"v":1,"cmd":"health"}\n',
         'proven': b'{"v":1,"cmd":"status","read":true}\n',
         'garbage': b'\x00\xff}{"v":"\n', 'empty': b'\n', 'denied': b'{"v":1,"cmd":"day","action":"end","name":"X"}\n'}
KINDS = ('half', 'half', 'valid', 'proven', 'health', 'garbage', 'empty', 'denied', 'deaf')


def connected(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(path)
    s.setblocking(False)
    return s


class Member:
    """One of the crowd."""

    def __init__(self, path, kind):
        self.path, self.kind, self.socket = path, kind, None

    def push(self, count):
        """Connects if it was put out, sends what its kind sends, reads what came unless it is deaf."""
        try:
            if self.socket is None:
                self.socket = connected(self.path)
                count['connected'] += 1
                if self.kind == 'half':
                    self.socket.send(HALF)
            if self.kind not in ('half', 'deaf'):
                self.socket.send(LINES[self.kind] * 8)
            elif self.kind == 'deaf':
                self.socket.send(LINES['valid'])
        except BlockingIOError:
            pass
        except (OSError, TimeoutError):
            self.hear(count)
            self.gone(count)
        if self.kind != 'deaf' and self.socket is not None:
            self.hear(count)

    def hear(self, count):
        try:
            text = self.socket.recv(1 << 16) if self.socket else b''
            count['answers'] += text.count(b'\n')
            count['busy'] += text.count(b'"busy"')
            count['denied'] += text.count(b'"denied"')
            if not text:
                self.gone(count)
        except BlockingIOError:
            pass
        except OSError:
            self.gone(count)

    def gone(self, count):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
            count['put out'] += 1


def crowd(path, over):
    """1,000 connections until the file `over` is there; what became of them."""
    count = dict.fromkeys(('connected', 'answers', 'busy', 'denied', 'put out'), 0)
    members = [Member(path, KINDS[i % len(KINDS)]) for i in range(CROWD)]
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until and not os.path.exists(over):
        for member in members:
            member.push(count)
        time.sleep(0.01)
    return count


def ask(path, line, wait=5):
    """One line's answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(wait)
        s.connect(path)
        try:
            s.sendall(line)
        except BrokenPipeError:
            pass
        text = b''
        while not text.endswith(b'\n'):
            piece = s.recv(65536)
            if not piece:
                break
            text += piece
    return json.loads(text) if text else None


class AsUser:
    """A function in a process of its own, by another user; what it returns. Forked: that user need not be
    able to reach this program."""

    def __init__(self, uid, function, *words):
        context = multiprocessing.get_context('fork')
        self.here, there = context.Pipe(duplex=False)
        self.process = context.Process(target=self.become, args=(there, uid, function, words))
        self.process.start()
        there.close()

    @staticmethod
    def become(there, uid, function, words):
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        there.send(function(*words))

    def running(self):
        return self.process.is_alive() and not self.here.poll()

    def result(self, timeout=60):
        try:
            expect(self.here.poll(timeout), 'no end within %d s' % timeout)
            return self.here.recv()
        except EOFError:
            raise Failure('a process of another user failed') from None
        finally:
            self.process.join(5)
            if self.process.is_alive():
                self.process.kill()


def turns(c, leader):
    code, text = c.ctl(leader, 'metrics')
    expect(code == 0, 'keelctl metrics: exit %d' % code)
    return json.loads(text)['turn_max_ns'] / 1e6


class Operator:
    """Requests of somebody who may change things, each timed."""

    def __init__(self, c, leader):
        self.c, self.leader, self.waits, self.failed = c, leader, [], []

    def does(self, *words):
        began = time.monotonic()
        code, text = self.c.ctl(self.leader, *words, timeout=10)
        if code == 5:  # the machine was too busy for its leader: that is no matter of this test
            self.leader = self.c.leader()
            code, text = self.c.ctl(self.leader, *words, timeout=10)
        self.waits.append((time.monotonic() - began) * 1e3)
        if code != 0:
            self.failed.append((words, code, text))
        time.sleep(0.1)

    def said(self):
        waits = sorted(self.waits)
        return '%d requests, median %.0f ms, longest %.0f ms' % (len(waits), waits[len(waits) // 2], waits[-1])


class Policed(Cluster):
    def config(self, i):
        return super().config(i).replace('[admin]', '[admin]\nread_users = %d\nusers = %d' % (READER, OPERATOR))


def policy(parts, c, leader):
    """Who may what, by user."""
    path = c.path('admin-%d.sock' % leader)
    look, change = b'{"v":1,"cmd":"health"}\n', b'{"v":1,"cmd":"leader transfer","to":%d}\n' % leader

    def word(uid, line):
        answer = AsUser(uid, ask, path, line).result()
        return 'ok' if answer['ok'] else answer['error']['code']
    for uid, who, wanted in ((READER, 'a reader', ('ok', 'denied')), (STRANGER, 'a stranger', ('denied', 'denied')),
                             (OPERATOR, 'an operator', ('ok', 'ok')), (0, 'root', ('ok', 'ok'))):
        found = (word(uid, look), word(uid, change))
        parts.holds(found == wanted, '%s looks: %s, changes: %s' % (who, *wanted), found)
    program = shutil.copy(c.program('keelctl'), c.dir)  # where every user reaches it
    done = subprocess.run([program, '-s', path, 'status'], user=STRANGER, group=STRANGER,
                          extra_groups=[], capture_output=True, text=True, timeout=20, check=False)
    parts.holds(done.returncode == 1 and 'may not look here' in done.stderr,
                'keelctl tells a stranger why, exit 1', (done.returncode, done.stderr))


def flood(parts, options):
    with Policed(options.build, **COMMON) as c:
        c.network()
        c.format()
        os.chmod(c.dir, 0o711)  # other users reach the sockets; keys and rings are closed to them
        c.start_all()
        leader = c.leader()
        policy(parts, c, leader)
        alone = Operator(c, leader)
        for _ in range(5):
            alone.does('status')
        write_messages(c.path('messages'), 'A', MESSAGES, (60, 120), 14)
        wait_end(c, c.publish(c.path('messages'), 'before'), 'before', 60)
        before, term = turns(c, leader), c.status(leader)['term']
        people = AsUser(READER, crowd, c.path('admin-%d.sock' % leader), c.path('over'))
        time.sleep(1)
        gateway = c.publish(c.path('messages'))
        crowded = Operator(c, leader)
        for _ in range(ROUNDS):
            crowded.does('status')
            crowded.does('config', 'reload')
            crowded.does('leader', 'transfer', '--to', crowded.leader)
        wait_end(c, gateway, 'gateway', 60)
        for words in (('end', c.day), ('begin', 'NEXT'), ('end', 'NEXT'), ('begin', 'LAST')):
            crowded.does('day', *words)
        there = people.running()
        open(c.path('over'), 'x').close()
        count = people.result()
        parts.say('the crowd: %s' % ', '.join('%s %d' % item for item in count.items()))
        parts.holds(there and count['connected'] >= CROWD, '%d connections stood at the door all the while' % CROWD,
                    count)
        parts.holds(count['answers'] > 0 and count['busy'] > 0 and count['put out'] > 0,
                    'some of them were answered, some told that it is busy', count)
        parts.holds(not crowded.failed, 'every request of an operator in the crowd succeeds', crowded.failed)
        parts.say('an operator alone: %s' % alone.said())
        parts.say('... in the crowd: %s' % crowded.said())
        parts.say("the leader's longest turn since start: %.1f ms with a stream alone, %.1f ms after the crowd" % (
            before, turns(c, leader)))
        parts.say('elections meanwhile: %d' % (c.status(c.leader())['term'] - term))
        code, text = c.ctl(leader, 'drops')
        expect(code == 0, 'keelctl drops: exit %d' % code)
        counted = json.loads(text)['admin']
        parts.say('counted: %s' % ', '.join('%s %d' % item for item in counted.items()))
        parts.holds(counted['busy'] > 0 and counted['denied'] > 0 and counted['gave-way'] > 0,
                    'keelctl drops says who was refused and who gave way', counted)
        c.stop_all()


if __name__ == '__main__':
    sys.exit(run_parts('admin_flood', __doc__, {'flood': flood}))
