"""What ./dev demo does to its cluster and gateway: kills, a restart, losses."""

import os
import signal
import time

from cluster import Failure, read
from demo_watch import say, tail

LIMIT_MS = 10 * 150     # ten election timeouts
LEADER_TRIES = 3        # kills, when leadership was just moving by itself
OUTSTANDING = 16        # messages that the gateway shall have lost when it is killed ...
LOSE_SECONDS = 1        # ... for which it has this long
DEAF_SECONDS = 0.04


class Faults:
    """Part of Demo."""

    # --- the leader ----------------------------------------------------------------------------

    def reigns(self, since_ns):
        """Who led when, as the gateway has it, not older than that."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            self.gateway_lives(0)
            try:
                saved_ns = os.stat(self.c.path('gateway.stats')).st_mtime_ns
            except OSError:
                saved_ns = 0
            leaders = self.figures().get('leaders')
            if saved_ns > since_ns and leaders:
                return leaders
            time.sleep(0.02)
        raise Failure('the gateway has written no figures for 20 s')

    def agreed_leader(self):
        """The leader, by its own word and by the gateway's last acknowledgement."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            asked_ns = time.time_ns()
            led = self.reigns(asked_ns)[-1]['leader']
            if led == self.c.leader():
                return led
        raise Failure('leader and gateway did not agree within 20 s who leads')

    def next_reign(self, at_ns, killed):
        """First acknowledgement that came after the kill and from another leader; None: the last one before
        the kill was not the killed replica's, so that its death is no fail-over of the gateway's."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            leaders = self.reigns(at_ns)
            before = [entry for entry in leaders if entry['began_utc_ns'] <= at_ns]
            after = [entry for entry in leaders if entry['began_utc_ns'] > at_ns
                     and entry['leader'] != killed]
            if before and before[-1]['leader'] != killed:
                return None
            if after:
                return after[0]
            time.sleep(0.05)
        raise Failure('no message was acknowledged within 20 s of the leader\'s end')

    def kill_leader(self):
        c = self.c
        for _ in range(LEADER_TRIES):
            leader = self.agreed_leader()
            at_ns = time.time_ns()
            c.kill(leader)
            self.watch.fault('replica %d, the leader, was killed' % leader, at_ns)
            self.watch.kills.append(at_ns)
            self.step('SIGKILL to the leader, replica %d, after %d messages' % (leader, self.answered()))
            reign = self.next_reign(at_ns, leader)
            if reign is not None:
                break
            say('          leadership was just moving by itself: replica %d is started again, the leader '
                'sought anew' % leader)
            c.start(leader)
            c.wait_caught_up(leader)
        else:
            raise Failure('leadership moved by itself %d times, each time just before the kill' %
                          LEADER_TRIES)
        took_ms = (reign['began_utc_ns'] - at_ns) / 1e6
        self.watch.expected.add(reign['began_utc_ns'])
        say('          next commit %.1f ms after the kill, taken by the gateway from replica %d as number %d '
            '(limit: 10 election timeouts = %d ms)' % (
                took_ms, reign['leader'], reign['number'], LIMIT_MS))
        if not 0 < took_ms <= LIMIT_MS:
            raise Failure('fail-over took %.0f ms, more than 10 election timeouts' % took_ms)
        return leader

    def restart(self, replica):
        self.c.start(replica)
        self.step('replica %d is started again' % replica)
        fault = self.watch.fault('replica %d was starting and catching up' % replica, time.time_ns(),
                                 sharp=False)
        self.catching = {'replica': replica, 'until': time.monotonic() + 30, 'next': 0.0, 'shown': 0,
                         'fault': fault}

    def catch_up(self):
        """Looks now and then until the replica that was started again has what the leader has."""
        catching = self.catching
        if catching is None or time.monotonic() < catching['next']:
            return
        if time.monotonic() > catching['until']:
            raise Failure('replica %d did not catch up within 30 s' % catching['replica'])
        catching['next'] = time.monotonic() + 0.1
        status, leader = self.c.status(catching['replica']), self.c.status(self.c.leader())
        if not status or not leader:
            return
        lag = max(leader['commit_index'] - status['applied_index'], 0)
        done = status['leader'] != 0 and lag < 50
        if done or catching['shown'] < 4:
            say('          replica %d applied %d of %d, %d behind' % (
                catching['replica'], status['applied_index'], leader['commit_index'], lag))
            catching['shown'] += 1
        if done:
            catching['fault'][1] = time.time_ns()
            self.catching = None

    # --- losses, and the gateway ---------------------------------------------------------------

    def lose(self):
        """The feed and the results of a few moments."""
        fault = self.watch.fault('nothing reached the client host', time.time_ns())
        self.c.deaf(DEAF_SECONDS)
        fault[1] = time.time_ns()
        self.step('nothing reached the client host for %.0f ms: results and feed of that time are lost' % (
            (fault[1] - fault[0]) / 1e6))

    def state(self):
        """The gateway's process: 'T' when it stands still."""
        text = read('/proc/%d/stat' % self.process.pid).rpartition(') ')[2]
        return text[:1] or 'Z'

    def cut(self):
        """Cuts the gateway's way out while it stands still; returns the last number submitted before."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            until = time.monotonic() + 1
            while self.state() not in 'TZ' and time.monotonic() < until:
                time.sleep(0.001)
            self.c.mute()
            return tail(self.c.path('gateway.log'))[0]
        finally:
            self.process.send_signal(signal.SIGCONT)

    def wait_lost(self, before):
        """Until the gateway has submitted some that are lost; a little while at most: its window may be full
        of what it had sent before."""
        log = self.c.path('gateway.log')
        until = time.monotonic() + LOSE_SECONDS
        while time.monotonic() < until:
            submitted, answered = tail(log)
            if submitted - max(before, answered) >= OUTSTANDING:
                return
            self.gateway_lives(0)
            time.sleep(0.001)

    def kill_gateway(self):
        """In mid-window: what it submitted last is lost on its way, and it dies waiting for it."""
        c, log = self.c, self.c.path('gateway.log')
        lost_ns = time.time_ns()
        try:
            self.wait_lost(self.cut())
            self.process.kill()
            at_ns = time.time_ns()
            self.process.wait()
        finally:
            c.unmute()
        submitted, answered = tail(log)
        self.step('SIGKILL to the gateway in mid-window: %d submitted, %d answered: %d outstanding, the '
                  'last of them lost on their way' % (submitted, answered, submitted - answered))
        self.watch.fault('the gateway\'s packets were lost, then it was killed', lost_ns, at_ns)
        self.first_life = self.figures()
        self.watch.take(self.first_life)
        os.unlink(c.path('gateway.stats'))
        self.gateway()
        self.killed_ns, self.outstanding = at_ns, submitted - answered
