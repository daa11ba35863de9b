"""What operators do in a synthetic history: sessions and principals suspended and not any more, requests that
are sent again, wishes that decide nothing about the order."""

import encode as e

NODE, SUSPEND, LIMIT, DRAIN = range(1, 5)
REMEMBERED = 64


class OperatorPlans:
    """Part of History. self.suspended holds (session, 0) and (0, principal)."""

    def build_operators(self):
        self.suspended = set()
        self.asked = []      # bodies, in the order in which they were done
        self.limited = set()

    def request(self):
        return self.random.getrandbits(64) | 1, self.random.getrandbits(64)

    def is_suspended(self, s):
        return (s.id, 0) in self.suspended or (0, s.gateway.principal) in self.suspended

    def ask(self, body, principal=1):
        self.append(e.OPERATOR, body, principal)
        self.asked.append(body)

    def do_suspend(self, s):
        """A message or two are refused, mostly, and then no more."""
        whom = self.random.choice(((s.id, 0), (0, s.gateway.principal)))
        on = e.operator(self.request(), SUSPEND, *whom, 1)
        if self.random.random() < 0.2:
            self.append(e.OPERATOR, on, s.gateway.principal)  # not a client's to ask
        self.ask(on)
        self.suspended.add(whom)
        for _ in range(self.random.choice((0, 1, 1, 2))):
            self.do_messages(s)
        if self.random.random() < 0.8:
            self.ask(e.operator(self.request(), SUSPEND, *whom, 0))
            self.suspended.discard(whom)
            if self.random.random() < 0.5:
                self.append(e.OPERATOR, on, 2)  # the first request once more: done already
                self.count("operator's request repeated")
        self.count("suspension")

    def do_wish(self, s):
        r = self.random
        whom = r.choice(((s.id, 0), (0, s.gateway.principal)))
        if r.random() < 0.5:
            self.ask(e.operator(self.request(), DRAIN, value=r.randint(0, 1), replica=r.randint(1, self.replicas)))
        else:
            self.ask(e.operator(self.request(), LIMIT, *whom, r.choice((0, 1, 5000))))
        self.ask(e.operator(self.request(), SUSPEND, 987654321, 0, 1))  # a session that never was
        recent = self.asked[-REMEMBERED:]
        self.append(e.OPERATOR, r.choice(recent), r.randint(1, self.replicas))
        self.count("operator's wish")
