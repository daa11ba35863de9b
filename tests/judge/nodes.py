"""Nodes, handles and locks as docs/leases.md tells them: what a synthetic history answers with. Made to be
faulty in one way, so that keel-judge has something to find (FAULTS)."""

OPEN, CLOSE, SET, DELETE, RIGHTS, ACQUIRE, RELEASE = range(1, 8)
CREATE, ANEW, EPHEMERAL, TRY, COMPARE = 1, 2, 4, 8, 16
EXCLUSIVE, SHARED = 1, 2
READ, WRITE, CHANGE = 1, 2, 4
ENDLESS = 0xFFFFFFFF
FAULTS = ("delay ignored", "generation reused", "ended waiter granted", "stale sequenced", "right refused",
          "resume keeps", "queue overtaken", "wait endless", "expiry forgets delay")


class Refused(Exception):
    pass


class Operation:
    """What one NODE entry asks for."""

    def __init__(self, operation, **fields):
        self.operation, self.mode, self.events, self.flags = operation, 0, 0, 0
        self.path, self.content, self.rights = "", b"", []
        self.node = self.compare = self.delay_ms = self.wait_ms = 0
        self.now = False  # an operator's release leaves no lock-delay
        self.__dict__.update(fields)


class Node:
    def __init__(self, instance, path, parent, ephemeral):
        self.instance, self.path, self.parent, self.ephemeral = instance, path, parent, ephemeral
        self.content_generation = self.rights_generation = 1
        self.rights = list(parent.rights) if parent else [(0, READ | WRITE | CHANGE)]
        self.children, self.handles, self.queue, self.holders = set(), [], [], []
        self.mode = self.generation = self.delay_ns = 0

    def allows(self, principal, right):
        return principal < 16 or any(r & right for p, r in self.rights if p in (0, principal))


class Handle:
    def __init__(self, session, node):
        self.session, self.node = session, node
        self.delay_ms = self.mode = self.deadline_ns = 0
        self.node_gone = False


class Nodes:
    """Sessions are known by their ids; ttl(session) is the time to live of one, ms."""

    def __init__(self, limits, rho_ppm, ttl, fault=None):
        self.nodes_max, self.handles_max, self.handles_each, self.waiters_max, self.delay_max = limits
        self.rho_ppm, self.ttl, self.fault = rho_ppm, ttl, fault
        self.paths = {"/": Node(1, "/", None, False)}
        self.instances = {1: self.paths["/"]}
        self.handles = {}  # (session, instance)
        self.index = self.log_ns = 0

    def at(self, index, log_ns):
        self.index, self.log_ns = index, log_ns

    # --- locks ---

    def after(self, ms):
        return self.log_ns + ms * (10**6 + self.rho_ppm)

    def free(self, node, mode):
        if self.log_ns < node.delay_ns and self.fault != "delay ignored":
            return False
        return not node.holders or mode == node.mode == SHARED

    def grant(self, handle, mode):
        node = handle.node
        if not node.holders:
            if not (self.fault == "generation reused" and node.generation):
                node.generation = self.index
            node.mode, node.delay_ns = mode, 0
        handle.mode = mode
        node.holders.append(handle)

    def look(self, node):
        """What time, or this entry, has changed at a lock."""
        if self.log_ns >= node.delay_ns:
            node.delay_ns = 0
        while node.queue:
            first = node.queue[0]
            if self.log_ns >= first.deadline_ns and self.fault != "wait endless":
                node.queue.pop(0)
            elif self.free(node, first.mode):
                self.grant(node.queue.pop(0), first.mode)
            else:
                break
        self.wither(node)

    def leave(self, handle, delay_ms):
        node = handle.node
        if handle in node.queue:
            node.queue.remove(handle)
        elif handle in node.holders:
            node.holders.remove(handle)
            if delay_ms:
                node.delay_ns = max(node.delay_ns, self.after(delay_ms))
        self.look(node)

    def wither(self, node):
        while node.ephemeral and not (node.handles or node.children or node.queue or node.delay_ns):
            self.remove(node)
            node = node.parent

    def remove(self, node):
        node.parent.children.remove(node)
        del self.paths[node.path], self.instances[node.instance]

    def drop(self, handle):
        del self.handles[handle.session, handle.node.instance]
        if not handle.node_gone:
            handle.node.handles.remove(handle)
            self.wither(handle.node)

    def end(self, session, how):
        """how: clean, expired or taken (resumed, killed)."""
        if how == "resumed" and self.fault == "resume keeps":
            return
        for handle in [h for (s, _), h in self.handles.items() if s == session]:
            node = handle.node
            delay_ms = 0 if how == "clean" else handle.delay_ms
            if how == "expired" and self.fault == "expiry forgets delay":
                delay_ms = 0
            if how in ("killed", "resumed"):
                delay_ms = max(delay_ms, self.ttl(session))
            waits = handle in node.queue
            if waits and self.fault == "ended waiter granted":
                node.handles.remove(handle)
                del self.handles[session, node.instance]
                continue
            if waits or handle in node.holders:
                self.leave(handle, delay_ms)
            self.drop(handle)

    def due(self):
        for node in list(self.instances.values()):
            if node.queue or node.delay_ns:
                if self.fault != "wait endless":
                    node.queue = [h for h in node.queue if self.log_ns < h.deadline_ns]
                self.look(node)

    def holds(self, sequencer):
        instance, generation, mode = sequencer
        node = self.instances.get(instance)
        right = bool(node and node.holders and node.generation == generation and node.mode == mode)
        if self.fault == "stale sequenced":
            return True
        return right and self.fault != "right refused"

    def held(self):
        """Sequencers that are right at present."""
        return [(n.instance, n.generation, n.mode) for n in self.instances.values() if n.holders]

    # --- operations ---

    def operate(self, session, principal, op):
        """(status, value); session None: an operator's, who names the node by its path."""
        if session is None and op.operation != OPEN:
            named = self.paths.get(op.path)
            if named is None:
                return "no-node", 0
            op.node = named.instance
        handle = self.handles.get((session, op.node)) if session else None
        call = {OPEN: self.open, CLOSE: self.close, SET: self.change, DELETE: self.delete, RIGHTS: self.change,
                ACQUIRE: self.acquire, RELEASE: self.release}[op.operation]
        try:
            done = call(session, principal, op, handle)
        except Refused as refusal:
            return str(refusal), 0
        status, value = done if done else ("done", None)
        return status, self.index if value is None else value

    def node(self, principal, instance, right):
        node = self.instances.get(instance)
        if node is None:
            raise Refused("no-node")
        if not node.allows(principal, right):
            raise Refused("not-allowed")
        return node

    def open(self, session, principal, op, _):
        node = self.paths.get(op.path)
        if node and op.flags & ANEW:
            raise Refused("node-exists")
        if not node and not op.flags & CREATE:
            raise Refused("no-node")
        if node and not node.allows(principal, READ):
            raise Refused("not-allowed")
        fresh = session and not (node and (session, node.instance) in self.handles)
        if fresh and (len(self.handles) >= self.handles_max or
                      sum(s == session for s, _ in self.handles) >= self.handles_each):
            raise Refused("handle-limit")
        if not node:
            node = self.create(principal, op)
        if fresh:
            handle = self.handles[session, node.instance] = Handle(session, node)
            node.handles.append(handle)
        return "done", node.instance

    def create(self, principal, op):
        parent = self.paths.get(op.path[:op.path.rindex("/")] or "/")
        if not parent:
            raise Refused("no-node")
        if not parent.allows(principal, WRITE):
            raise Refused("not-allowed")
        if len(self.instances) >= self.nodes_max:
            raise Refused("node-table-full")
        node = Node(self.index, op.path, parent, bool(op.flags & EPHEMERAL))
        parent.children.add(node)
        self.paths[op.path] = self.instances[self.index] = node
        return node

    def close(self, session, principal, op, handle):
        if not handle:
            raise Refused("not-open")
        if not handle.node_gone and (handle in handle.node.queue or handle in handle.node.holders):
            self.leave(handle, 0)
        self.drop(handle)

    def change(self, session, principal, op, _):
        rights = op.operation == RIGHTS
        node = self.node(principal, op.node, CHANGE if rights else WRITE)
        name = "rights_generation" if rights else "content_generation"
        generation = getattr(node, name)
        if op.flags & COMPARE and op.compare != generation:
            raise Refused("generation-changed")
        setattr(node, name, generation + 1)
        if rights:
            node.rights = list(op.rights)
        return "done", generation + 1

    def delete(self, session, principal, op, own):
        node = self.node(principal, op.node, WRITE)
        if node.parent is None:
            raise Refused("not-allowed")
        if op.flags & COMPARE and op.compare != node.content_generation:
            raise Refused("generation-changed")
        if node.children:
            raise Refused("node-not-empty")
        if node.queue or self.log_ns < node.delay_ns or any(h is not own for h in node.holders):
            raise Refused("lock-busy")
        for handle in node.handles:
            handle.node_gone = True
        self.remove(node)
        self.wither(node.parent)

    def acquire(self, session, principal, op, handle):
        if not handle:
            raise Refused("not-open")
        node = handle.node
        if handle.node_gone:
            raise Refused("no-node")
        if not node.allows(principal, WRITE):
            raise Refused("not-allowed")
        holds, waits = handle in node.holders, handle in node.queue
        if (holds or waits) and handle.mode != op.mode:
            raise Refused("lock-busy")
        if waits:
            return "queued", None
        if holds:
            return "done", node.generation
        self.look(node)
        handle.delay_ms = min(op.delay_ms, self.delay_max)
        behind = node.queue and not (self.fault == "queue overtaken" and op.mode == SHARED)
        if not behind and self.free(node, op.mode):
            self.grant(handle, op.mode)
            return "done", node.generation
        if op.flags & TRY:
            raise Refused("lock-busy")
        if len(node.queue) >= self.waiters_max:
            raise Refused("waiter-limit")
        handle.mode = op.mode
        handle.deadline_ns = 1 << 64 if op.wait_ms == ENDLESS else self.after(op.wait_ms)
        node.queue.append(handle)
        return "queued", None

    def release(self, session, principal, op, handle):
        if session is None:
            node = self.instances.get(op.node)
            if not node:
                raise Refused("no-node")
            if not node.holders and not (op.now and self.log_ns < node.delay_ns):
                raise Refused("lock-not-held")
            for held in node.holders:
                node.delay_ns = max(node.delay_ns, self.after(max(held.delay_ms, self.ttl(held.session))))
            node.holders = []
            if op.now:
                node.delay_ns = 0
            self.look(node)
            return
        if not handle:
            raise Refused("not-open")
        if handle.node_gone or not (handle in handle.node.queue or handle in handle.node.holders):
            raise Refused("lock-not-held")
        self.leave(handle, 0)
