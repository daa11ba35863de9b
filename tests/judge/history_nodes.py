"""What sessions do with nodes and locks in a synthetic history."""

import encode as e
import nodes as n

MS = 1_000_000
# nodes, handles, handles of a session, waiters of a lock, longest lock-delay: small, so that all are met
LIMITS = (4, 8, 3, 2, 1000)
PATHS = ("/a", "/a", "/a", "/a", "/b", "/b", "/a/x", "/a/x", "/b/y", "/a/x/deep", "/none/z", "/")


class NodePlans:
    """Part of History: operations, fenced messages, dues. self.nodes decides; with a fault,
    self.honest decides rightly beside it, and self.differs holds what became of it first."""

    def build_nodes(self, fault):
        def ttl(session):
            return next(s.ttl_ms for s in self.sessions if s.id == session)
        self.nodes = n.Nodes(LIMITS, self.limits[3], ttl, fault)
        self.honest = n.Nodes(LIMITS, self.limits[3], ttl) if fault else None
        self.differs = None   # (session, number) of the first outcome that is wrong
        self.known, self.shown = [1], []  # instances, sequencers: living and gone
        self.lock_users = self.random.random() < 0.6 or fault is not None

    def machines(self):
        return [machine for machine in (self.nodes, self.honest) if machine]

    def decided(self, s, number, call):
        for machine in self.machines():
            machine.at(len(self.log), self.log_ns)
        answers = [call(machine) for machine in self.machines()]
        if s and self.differs is None and answers[0] != answers[-1]:
            self.differs = (s, number)
        return answers[0]

    def nodes_end(self, s, how):
        self.decided(None, 0, lambda machine: machine.end(s.id, how))

    # --- one operation ---

    def block(self, op):
        content = op.content
        if op.operation == n.RIGHTS:
            content = b"".join(e.right(*right) for right in op.rights)
        return e.node_block(op.operation, op.mode, op.events, op.flags, op.path, content, op.node,
                            op.compare, op.delay_ms, op.wait_ms)

    def draw_open(self):
        r = self.random
        flags = r.choice((0, n.CREATE, n.CREATE, n.CREATE, n.CREATE | n.ANEW,
                          n.CREATE | n.EPHEMERAL, n.CREATE | n.EPHEMERAL))
        content = r.randbytes(r.choice((0, 5, 256))) if flags else b""
        return n.Operation(n.OPEN, flags=flags, path=r.choice(PATHS), content=content,
                           events=r.choice((0, 1, 31)))

    def draw_acquire(self, node):
        r = self.random
        return n.Operation(n.ACQUIRE, node=node, mode=r.choice((1, 1, 1, 2, 2)),
                           flags=r.choice((0, 0, n.TRY)), delay_ms=r.choice((0, 0, 100, 700, 5000)),
                           wait_ms=r.choice((0, 60, 400, n.ENDLESS, n.ENDLESS)))

    def draw_change(self, operation, node):
        r = self.random
        op = n.Operation(operation, node=node)
        if r.random() < 0.5:
            op.flags, op.compare = n.COMPARE, r.choice((0, 1, 1, 2))
        if operation == n.SET:
            op.content = r.randbytes(r.choice((0, 3, 256)))
        if operation == n.RIGHTS:
            op.rights = r.choice(([(0, 7)], [(0, 7)], [(0, 7)], [(16, 3), (17, 7)], [(0, 1)],
                                  [], [(99, 7)] * 7 + [(0, 7)]))
        return op

    def draw(self, session):
        """An operation of a session, or with None of an operator."""
        r = self.random
        mine = [instance for s, instance in self.nodes.handles if s == session]
        node = r.choice(mine if mine and r.random() < 0.85 else self.known)
        kinds = {n.OPEN: 8, n.ACQUIRE: 11, n.RELEASE: 3, n.CLOSE: 1, n.SET: 1, n.DELETE: 2, n.RIGHTS: 1}
        if session is None:
            kinds = {n.OPEN: 2, n.RELEASE: 5, n.SET: 1, n.DELETE: 2, n.RIGHTS: 2}
        if not mine and session is not None:
            kinds[n.OPEN] = 30
        operation = r.choices(list(kinds), list(kinds.values()))[0]
        if operation == n.OPEN:
            return self.draw_open()
        if operation == n.ACQUIRE:
            return self.draw_acquire(node)
        if operation in (n.CLOSE, n.RELEASE):
            return n.Operation(operation, node=node)
        return self.draw_change(operation, node)

    def remember(self, op, status, value):
        if op.operation == n.OPEN and status == "done" and value not in self.known:
            self.known.append(value)
        self.shown += [held for held in self.nodes.held() if held not in self.shown]
        self.count(f"node operation {status}")

    # --- what can happen ---

    def crowd(self):
        """Everybody opens one node, and wants its lock."""
        open_a = n.Operation(n.OPEN, flags=self.random.choice((n.CREATE, n.CREATE | n.EPHEMERAL)), path="/a")
        for s in self.sessions:
            self.do_node(s, open_a)
        for s in self.sessions:
            self.do_node(s, self.draw_acquire(self.known[-1]))

    def do_node(self, s, op=None):
        r = self.random
        number = s.last + 1
        if number > s.acked + s.window:
            self.acknowledge(s, range(s.acked + 1, s.last + 1))
            s.acked = s.last
        op = op or self.draw(s.id)
        block = self.block(op)
        if number in s.content or r.random() < 0.3:
            s.content[number] = block
            self.submit_line(s, number)
        if r.random() < 0.06:  # not now
            body = e.messages(s.id, s.epoch + r.choice((0, 1)), number + 1, s.acked, [block])
            self.append(e.NODE, body, r.choice((s.gateway.principal, 77)))
        index = self.append(e.NODE, e.messages(s.id, s.epoch, number, s.acked, [block]),
                            s.gateway.principal)
        status, value = self.decided(
            s, number, lambda machine: machine.operate(s.id, s.gateway.principal, op))
        s.last = number
        s.operations[number] = block
        s.results[number] = (status, value, self.utc_ns, self.days[-1].name, index)
        self.remember(op, status, value)
        if r.random() < 0.15:
            self.resend_node(s, number)
        if r.random() < 0.8:
            self.acknowledge(s, range(s.acked + 1, s.last + 1))
            s.acked = s.last

    def resend_node(self, s, number):
        self.append(e.NODE, e.messages(s.id, s.epoch, number, s.acked, [s.operations[number]]),
                    s.gateway.principal)
        self.count("resend of a node operation")

    def do_operator(self, s):
        op = self.draw(None)
        if op.operation == n.OPEN:
            op.flags = n.CREATE | op.flags & n.ANEW
        else:
            known = [path for path, node in self.nodes.paths.items() if node.instance == op.node]
            op.path, op.node = known[0] if known else self.random.choice(PATHS), 0
        op.events = 0
        op.now = op.operation == n.RELEASE and self.random.random() < 0.5
        body = e.operator(self.request(), 1, value=int(op.now), block=self.block(op))
        self.append(e.OPERATOR, body, self.random.randint(1, self.replicas))
        status, value = self.decided(None, 0, lambda machine: machine.operate(None, 1, op))
        self.remember(op, status, value)
        self.asked.append(body)
        self.count("operator's node operation")

    def do_due(self, s):
        r = self.random
        term, principal = self.term, 1
        if r.random() < 0.2:
            term, principal = r.choice(((self.term + 1, 1), (self.term - 1, 2), (self.term, 16)))
        self.append(e.DUE, e.due(term), principal)
        if term == self.term and principal == 1:
            self.decided(None, 0, lambda machine: machine.due())
            self.count("due")

    def do_pause(self, s):
        self.log_ns += self.random.choice((50, 400, 1100)) * MS
        if self.random.random() < 0.5:
            self.do_due(s)

    def do_fenced(self, s):
        r = self.random
        right = self.nodes.held()
        if right and r.random() < 0.6:
            sequencer = r.choice(right)
        elif self.shown:
            sequencer = r.choice(self.shown)
        else:
            return
        if r.random() < 0.15:
            node, generation, mode = sequencer
            sequencer = r.choice(((node, generation + 1, mode), (node, generation, 3 - mode),
                                  (node + 1, generation, mode)))
        self.do_messages(s, sequencer)
