"""What processes believed of locks, compared in true time, from the logs of keel-contender.

    lease_histories.py LOG...     exit 0: nothing contradicts; 1: what does

One machine, one clock for all: a belief is an interval of CLOCK_BOOTTIME in which a process would act as
holder, however long it stood still meanwhile. What has to hold:

- no instant in which two sessions believe in one lock, one of them alone;
- a generation belongs to one session alone, or to sessions that share it, and a later grant has a higher one;
- no message under a sequencer that was given up is sequenced, and under one lock the feed shows generations
  that never go back.
"""

import sys
from typing import NamedTuple

EXCLUSIVE = 1
SEQUENCED, STALE = 'sequenced', 'stale-sequencer'


class Belief(NamedTuple):
    lock: int
    begin: int
    end: int
    session: int
    mode: int
    generation: int


class History:
    """Of all processes. Beliefs are what remains of the `hold` lines when an `over` has cut them off."""

    def __init__(self):
        self.beliefs = []
        self.shown = {}     # (session, number) -> (lock, generation, late)
        self.answers = {}   # (session, number) -> (status, day and feed number)
        self.sessions = 0
        self.failed = []    # why sessions were lost

    def read(self, path):
        session, open_holds = None, []
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file.read().split('\n')[:-1]:  # what a kill cut off is no line
                words = line.split()
                if words[0] == 'session':
                    self.beliefs += open_holds
                    session, open_holds = int(words[3]), []
                    self.sessions += 1
                elif words[0] == 'ack':
                    key = int(words[1]), int(words[2])
                    self.answers.setdefault(key, (words[3], (words[6], int(words[4]))))
                elif words[:2] == ['#', 'hold']:
                    lock, mode, generation, begin, end = (int(word) for word in words[2:])
                    open_holds.append(Belief(lock, begin, end, session, mode, generation))
                elif words[:2] == ['#', 'over']:
                    lock, generation, at = (int(word) for word in words[2:])
                    open_holds = [b._replace(end=min(b.end, at)) if (b.lock, b.generation) == (lock, generation)
                                  else b for b in open_holds]
                elif words[:2] == ['#', 'shows']:
                    self.shown[session, int(words[2])] = int(words[3]), int(words[4]), words[5] == 'late'
                elif words[:2] == ['#', 'failed']:
                    self.failed.append(' '.join(words[2:]))
        self.beliefs += open_holds

    # --- what contradicts ------------------------------------------------------------------------

    def two_holders(self):
        """Instants in which two sessions believe in one lock and one of them alone."""
        problems, living = [], []
        for belief in sorted(b for b in self.beliefs if b.end > b.begin):
            living = [b for b in living if b.lock == belief.lock and b.end > belief.begin]
            problems += ['lock %d: sessions %d (generation %d) and %d (generation %d) both believe in it for %.3f ms' % (
                belief.lock, b.session, b.generation, belief.session, belief.generation,
                (min(b.end, belief.end) - belief.begin) / 1e6)
                for b in living if b.session != belief.session and EXCLUSIVE in (b.mode, belief.mode)]
            living.append(belief)
        return problems

    def grants(self):
        """(lock, generation) -> first instant somebody believed in it, its sessions, its mode."""
        found = {}
        for b in sorted(self.beliefs, key=lambda b: b.begin):
            at = found.setdefault((b.lock, b.generation), [b.begin, set(), b.mode])
            at[1].add(b.session)
        return found

    def wrong_grants(self):
        problems, highest = [], {}
        grants = self.grants()
        for (lock, generation), (begin, sessions, mode) in sorted(grants.items(), key=lambda item: item[1][0]):
            if mode == EXCLUSIVE and len(sessions) > 1:
                problems.append('lock %d: generation %d alone to sessions %s' % (lock, generation, sorted(sessions)))
            if generation < highest.get(lock, 0):
                problems.append('lock %d: generation %d after %d, at %d' % (lock, generation, highest[lock], begin))
            highest[lock] = max(highest.get(lock, 0), generation)
        return problems

    def writes(self, status, late=None):
        """Messages under a sequencer that ended so, in the feed's order: (day and number, lock, generation)."""
        return sorted((self.answers[key][1], lock, generation) for key, (lock, generation, was_late)
                      in self.shown.items() if self.answers.get(key, ('',))[0] == status and
                      late in (None, was_late))

    def stale_accepted(self):
        problems = ['feed number %d of day %s is sequenced under lock %d, generation %d, which was given up' % (
            at[1], at[0], lock, generation) for at, lock, generation in self.writes(SEQUENCED, True)]
        highest = {}
        for at, lock, generation in self.writes(SEQUENCED):
            if generation < highest.get(lock, 0):
                problems.append('feed number %d of day %s is sequenced under lock %d, generation %d, behind one of %d' % (
                    at[1], at[0], lock, generation, highest[lock]))
            highest[lock] = max(highest.get(lock, 0), generation)
        return problems

    def hand_overs(self):
        """Grants of one lock to another session than the grant before, in order of their generations."""
        order = sorted((key, sessions) for key, (_, sessions, _) in self.grants().items())
        return sum(a[0][0] == b[0][0] and not a[1] & b[1] for a, b in zip(order, order[1:]))


def read_all(paths):
    history = History()
    for path in paths:
        history.read(path)
    return history


def main():
    history = read_all(sys.argv[1:])
    problems = history.two_holders() + history.wrong_grants() + history.stale_accepted()
    for problem in problems:
        print(problem)
    print('%d sessions, %d grants, %d messages under them, %d refused as stale, %d contradictions' % (
        history.sessions, len(history.grants()), len(history.writes(SEQUENCED)), len(history.writes(STALE)),
        len(problems)))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
