"""What was planted in a history, and how keel-judge must name its place."""

import re


class Planted:
    def __init__(self, *places, anywhere=False):
        self.places, self.anywhere = places, anywhere

    def named_in(self, failures):
        lines = failures if self.anywhere else failures[:1]
        return any(re.search(place, line) for place in self.places for line in lines)


def pick(history, candidates):
    candidates = list(candidates)
    return history.random.choice(candidates) if candidates else None


def acknowledged(history, status="sequenced"):
    """[(session, number)] that some gateway log calls so."""
    known = {s.id: s for s in history.sessions}
    out = set()
    for gateway in history.gateways:
        for line in gateway.lines:
            fields = line.split()
            if fields[0] == "ack" and fields[3] == status:
                out.add((int(fields[1]), int(fields[2])))
    return [(known[s], n) for s, n in sorted(out)]
