#!/usr/bin/env python3
"""./dev demo failover-pair: two gateways, of which one acts; a stopped one does no harm when it comes back.

    failover.py --build DIR [--only alive|dead] [--keep]

Two gateways publish; each acts while its controller, which holds the lock /pair/active under a session of
its own, has told it so, and shows the lock's sequencer with every message. Under load the active gateway is
stopped (SIGSTOP), its controller gives the lock up, the other's gateway goes on, and the first is continued:
it does not know. Run `alive`: its own session lives on; every late message must be refused as stale-sequencer.
Run `dead`: its session has died meanwhile; it must hear session-ended. The judge confirms from the capture of
the feed and the three rings.
"""

import argparse
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import Cluster, Failure, read, run  # noqa: E402
from parts import COMMON, Parts, answered, expect, interrupted, proven, write_messages  # noqa: E402

RATE = 2000  # messages a second of each gateway
COUNT = 60000
SIZE = (40, 120)
LOAD = 2000       # messages before the gateway is stopped, and after the other goes on
STALE_LEAST = 100
TTL_MS = 3000     # of the controllers' sessions
LOCK = '/pair/active'
NAMES = ('alpha', 'bravo')
PRINCIPAL = {'alpha': 100, 'bravo': 101}
CONTROLLER = {'alpha': 102, 'bravo': 103}


def ctl_words(c, principal, *words):
    return [c.program('keelctl'), *words[:2], '--members', c.members(), '--key',
            c.path('client-%d.key' % principal), *words[2:]]


def wait_for(what, condition, timeout=30.0):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if condition():
            return time.monotonic()
        time.sleep(0.01)
    raise Failure('%s: not within %g s' % (what, timeout))


def acks(c, name):
    """(number, status, feed, utc_ns) of each acknowledgement in the gateway's log."""
    words = (line.split() for line in read(c.path(name + '.log')).splitlines())
    return [(int(w[2]), w[3], int(w[4]), int(w[5])) for w in words if len(w) == 7 and w[0] == 'ack']


def counted(c, name, status):
    return sum(1 for ack in acks(c, name) if ack[1] == status)


def gateway(c, name, ttl_ms):
    return c.publish(c.path(name + '.in'), name, PRINCIPAL[name], '--rate', RATE, '--ttl-ms', ttl_ms,
                     '--keep', '--sequencer', c.path(name + '.token'))


def controller(c, name):
    token = c.path(name + '.token')
    tell = 'printf %%s "$KEEL_SEQUENCER" > %s.new && mv %s.new %s && exec sleep 600' % (token, token, token)
    return c.spawn(*ctl_words(c, CONTROLLER[name], 'lock', 'run', LOCK, '--ttl-ms', TTL_MS, '--',
                              'sh', '-c', tell), out=name + '-controller.out', err=name + '-controller.err')


def end(process, how=signal.SIGTERM, timeout=20):
    process.send_signal(how)
    process.wait(timeout=timeout)
    return process.returncode


def session_of(c, name):
    words = read(c.path(name + '.log')).split('\n')[0].split()
    return int(words[3])


def look(parts, c):
    done = run(*c.inside('cl', *ctl_words(c, CONTROLLER['alpha'], 'lock', 'show', LOCK, '--json')))
    lock = json.loads(done.stdout)
    parts.holds(lock['lock'] == 'exclusive' and lock['holders'] == 1 and lock['waiters'] == 1,
                'one controller holds %s at generation %d, the other waits' % (
                    LOCK, lock['lock_generation']), lock)


def changed_hands(parts, c):
    """Who acted when, by the leader's stamps and the feed's numbers."""
    alpha = [ack for ack in acks(c, 'alpha') if ack[1] == 'sequenced']
    bravo = [ack for ack in acks(c, 'bravo') if ack[1] == 'sequenced']
    expect(alpha and bravo, 'one of the gateways was never sequenced')
    parts.say('alpha: %d messages sequenced, feed numbers %d to %d' % (
        len(alpha), alpha[0][2], alpha[-1][2]))
    parts.say('bravo: %d messages sequenced, from feed number %d on' % (len(bravo), bravo[0][2]))
    late = [ack for ack in alpha if ack[2] > bravo[0][2]]
    parts.holds(not late, '0 of alpha\'s messages in the feed after the grant to bravo', late[:3])
    gap_ms = (bravo[0][3] - alpha[-1][3]) / 1e6
    parts.say('without an active gateway: %.1f ms, from alpha stopped until bravo was sequenced' % gap_ms)


def begin(parts, c, ttl_ms):
    c.network()
    c.format()
    c.start_all()
    c.leader()
    capture = c.capture()  # before the first session, whose end takes a feed number
    run(*c.inside('cl', *ctl_words(c, CONTROLLER['alpha'], 'node', 'create', '/pair')))
    for seed, name in enumerate(NAMES):
        write_messages(c.path(name + '.in'), name[0].upper(), COUNT, SIZE, seed)
    running = {name: gateway(c, name, ttl_ms) for name in NAMES}
    holder = {'alpha': controller(c, 'alpha')}
    wait_for('alpha acts', lambda: answered(c, 'alpha') > LOAD)
    holder['bravo'] = controller(c, 'bravo')
    time.sleep(1.0)
    look(parts, c)
    parts.holds(answered(c, 'bravo') == 0, 'bravo waits while alpha acts', answered(c, 'bravo'))
    return capture, running, holder


def hand_over(parts, c, running, holder):
    running['alpha'].send_signal(signal.SIGSTOP)
    parts.say('alpha is stopped (SIGSTOP) at about %d answers; its controller gives the lock up' %
              answered(c, 'alpha'))
    code = end(holder['alpha'])
    parts.holds(code == 128 + signal.SIGTERM, 'alpha\'s controller ends its program and gives up the lock', code)
    wait_for('bravo acts', lambda: answered(c, 'bravo') > LOAD)


def finish(parts, c, capture, running, holder):
    end(holder['bravo'])
    for name in NAMES:
        if running[name].poll() is None:
            end(running[name])
    c.stop_capture(capture)
    c.stop_all()
    changed_hands(parts, c)
    proven(parts, c, 'the judge: PROVEN, from three rings, the capture and both gateways\' logs', NAMES)


def alive(parts, options):
    with Cluster(options.build, ring='256M', **COMMON) as c:
        capture, running, holder = begin(parts, c, 60000)
        hand_over(parts, c, running, holder)
        running['alpha'].send_signal(signal.SIGCONT)
        wait_for('late messages of alpha', lambda: counted(c, 'alpha', 'stale-sequencer') >= STALE_LEAST)
        time.sleep(0.5)
        finish(parts, c, capture, running, holder)
        stale = counted(c, 'alpha', 'stale-sequencer')
        parts.holds(stale >= STALE_LEAST, '%d late submits of alpha refused as stale-sequencer (at least %d)' % (
            stale, STALE_LEAST), stale)


def dead(parts, options):
    with Cluster(options.build, ring='256M', **{**COMMON, 'genesis': (*COMMON['genesis'], '--ttl-max-ms', 5000)}) as c:
        capture, running, holder = begin(parts, c, 2000)
        hand_over(parts, c, running, holder)
        session = session_of(c, 'alpha')
        time.sleep(8)  # longer than its time to live
        running['alpha'].send_signal(signal.SIGCONT)
        running['alpha'].wait(timeout=30)
        said = read(c.path('alpha.err'))
        parts.holds('it has ended' in said and running['alpha'].returncode == 6,
                    'alpha hears that its session %d has ended (exit 6)' % session, said[-300:])
        finish(parts, c, capture, running, holder)


def main():
    parser = argparse.ArgumentParser(prog='./dev demo failover-pair', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--only', choices=('alive', 'dead'), action='append', help='this run alone')
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    parts = Parts()
    try:
        for name, function in (('alive', alive), ('dead', dead)):
            if not options.only or name in options.only:
                parts.run(name, function, options)
    except KeyboardInterrupt:
        parts.fail('interrupted')
    return parts.close()


if __name__ == '__main__':
    sys.exit(main())
