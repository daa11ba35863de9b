"""./dev test detector: what real replicas say of one that is killed, stopped, cut off, slow, or busy.

Three replicas over keel-wire. `keelctl health` and `member list`, the metrics and the log of the others name
its state and the reason, and that it is well again afterwards; the replica that was stopped accuses nobody
when it goes on. Nothing is asserted about how long that takes: `./dev bench detector` measures it.
"""

import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, read, run  # noqa: E402
from parts import COMMON, expect, run_parts  # noqa: E402

SEEN_S = 60   # until something shows: far above what is seen, the machine may be busy
LINK_MS = 25  # each way
CALM = ('well', 'slow')  # a loop on a busy machine may be slow by itself


def peers(c, at):
    """What a replica says of each other one; None: it says nothing."""
    code, text = c.ctl(at, 'health')
    if code not in (0, 7):
        return None
    return {p['replica']: p for p in json.loads(text)['peers']}


def until(holds, what):
    end = time.monotonic() + SEEN_S
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.1)
    expect(False, '%s did not come within %d s' % (what, SEEN_S))


def said(c, ats, of, states, reason=None):
    """All of `ats` say one of these states of replica `of`, for this reason among others."""
    seen = [(peers(c, i) or {}).get(of) for i in ats]
    fits = all(p and p['state'] in states and (reason is None or reason in p['reasons'].split(',')) for p in seen)
    return seen if fits else None


def all_calm(c):
    return all(said(c, [i], j, CALM) for i in c.ids() for j in c.ids() if i != j)


def events(c, at, of):
    """(from, to, reason) of each change that it logged about `of`."""
    return re.findall(r'event=peer .*peer=%d from=(\S+) to=(\S+) reason=(\S+)' % of,
                      read(c.path('keeld-%d.log' % at)))


def shown(parts, c, at, of, state):
    """In the table, in members and in the metrics."""
    table = run(c.program('keelctl'), '-s', c.path('admin-%d.sock' % at), 'health', check=False).stdout
    parts.holds(re.search(r'^%d +%s ' % (of, state), table, re.M) and 'USUAL_MS' in table,
                'keelctl health shows it in its table', table)
    row = [m for m in json.loads(c.ctl(at, 'member', 'list')[1])['members'] if m['replica'] == of][0]
    parts.holds(row['state'] == state, 'and keelctl member list: %s, %s' % (row['state'], row['state_reasons']), row)
    text = run(c.program('keelctl'), '-s', c.path('admin-%d.sock' % at), 'metrics').stdout
    parts.holds('keel_peer_state{replica="%d",keel_peer_state="%s"} 1' % (of, state) in text and
                'keel_peer_silent_seconds{replica="%d"}' % of in text,
                'and its metrics', re.findall('keel_peer.*', text))


def killed(parts, c, others, one):
    c.kill(one)
    seen = until(lambda: said(c, others, one, ('dead',), 'silent'), 'replica %d dead' % one)
    parts.ok('replica %d is killed: dead, silent at each other one (seen at %s ms of silence)' % (
        one, ', '.join(str(p['silent_ms']) for p in seen)))
    shown(parts, c, others[0], one, 'dead')
    code, text = c.ctl(others[0], 'health')
    parts.holds(code == 0 and json.loads(text)['healthy'], 'keelctl health: exit 0, this replica is well', text)
    c.start(one)
    until(lambda: said(c, others, one, CALM), 'replica %d well again' % one)
    parts.holds(all([e[:2] for e in events(c, i, one)].count(('dead', 'suspect')) >= 1 and
                    any(e[2] == 'returning' for e in events(c, i, one)) for i in others),
                'started again: suspect while it returns, then well; each log has it',
                [events(c, i, one) for i in others])


def stopped(parts, c, others, one):
    """SIGSTOP: it is silent like a dead one; and when it goes on nobody else was."""
    process = c.replica[one]
    process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: said(c, others, one, ('dead',), 'silent'), 'replica %d dead' % one)
    finally:
        process.send_signal(signal.SIGCONT)
    parts.ok('replica %d is stopped: suspect, then dead' % one)
    until(lambda: said(c, others, one, CALM), 'replica %d well again' % one)
    accused = [e for i in others for e in events(c, one, i) if e[1] == 'dead']
    parts.holds(not accused, 'it goes on: well again, and it called nobody dead', accused)


def cut_off(parts, c, others, one):
    for i in others:
        c.wire.cut(one, i)
    until(lambda: said(c, others, one, ('dead',), 'silent') and
          all(said(c, [one], i, ('dead',), 'silent') for i in others), 'the two sides dead to each other')
    code, _ = c.ctl(one, 'health')
    parts.holds(code == 7, 'replica %d is cut off: the sides are dead to each other; its own health: exit 7' % one,
                code)
    c.wire.heal()
    until(lambda: all_calm(c), 'everybody well again')
    parts.ok('healed: everybody is well again')


def slow_link(parts, c, others, one):
    c.wire.set('delay', one, None, LINK_MS)
    seen = until(lambda: said(c, others, one, ('slow',), 'link'), 'replica %d slow' % one)
    parts.ok('replica %d behind a link of %d ms each way: slow (%s) at each other one' % (
        one, LINK_MS, seen[0]['reasons']))
    shown(parts, c, others[1], one, 'slow')
    c.wire.heal()
    until(lambda: all(p and 'link' not in p['reasons'] for p in [(peers(c, i) or {}).get(one) for i in others]),
          'the link well again')
    parts.ok('healed: the link is named no more')


def part_states(parts, options):
    with Cluster(options.build, idle='sleep', **COMMON) as c:
        c.network(options.seed)
        c.format()
        c.start_all()
        leader = c.leader()
        until(lambda: all_calm(c), 'everybody well')
        parts.ok('three replicas are well, each says of each')
        text = run(c.program('keelctl'), '-s', c.path('admin-1.sock'), 'member', 'list').stdout
        parts.holds(re.match(r'ID .* STATE .* CHECKPOINT +INCARNATION *$', text.splitlines()[0]),
                    'keelctl member list shows all its columns', text.splitlines()[0])
        one = leader % c.size + 1
        others = [i for i in c.ids() if i != one]
        killed(parts, c, others, one)
        stopped(parts, c, others, one)
        cut_off(parts, c, others, one)
        slow_link(parts, c, others, one)
        parts.ok('equal digests at index %d' % c.wait_equal(60))
        c.stop_all()


def more(parser):
    parser.add_argument('--seed', type=int, default=1, help='of the wire')


if __name__ == '__main__':
    sys.exit(run_parts('./dev test detector', __doc__, {'states': part_states}, more))
