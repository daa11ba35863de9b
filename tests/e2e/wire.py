"""keel-wire in the switch namespace of a Cluster, steered over its stdin. Standard library only.

A link is named by the numbers of two cables, replicas' own and CLIENT_CABLE; None is every cable.
"""

import json
import subprocess
import threading

ANSWER_S = 10


class WireError(OSError):
    """The wire refused a line, or is gone."""


class Wire:
    def __init__(self, cluster, seed, cables):
        self.lock = threading.Lock()
        self.log = open(cluster.path('wire.log'), 'a')  # every command, and what the wire says last
        self.process = subprocess.Popen(
            cluster.inside('sw', cluster.program('keel-wire'), '--seed', seed,
                           *['%d=p%d' % (i, i) for i in cables]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            start_new_session=True)
        cluster.helpers.append(self.process)
        if self._line() != 'ready':
            raise WireError('keel-wire did not become ready; its log: %s' % self.log.name)

    def _line(self):
        timer = threading.Timer(ANSWER_S, self.process.kill)
        timer.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            timer.cancel()

    def tell(self, *words):
        line = ' '.join(str(word) for word in words)
        with self.lock:
            try:
                self.process.stdin.write(line + '\n')
                self.process.stdin.flush()
            except OSError as problem:
                raise WireError('keel-wire is gone: %s' % problem) from problem
            answer = self._line()
            self.log.write('%s: %s\n' % (line, answer))
            self.log.flush()
        if not answer or answer.startswith('error'):
            raise WireError('%s: %s' % (line, answer or 'no answer'))
        return answer

    @staticmethod
    def link(a, b, one_way=False):
        return '%s%s%s' % (a or '*', '>' if one_way else '-', b or '*')

    def cut(self, a, b=None, one_way=False):
        self.tell('cut', self.link(a, b, one_way))

    def set(self, word, a, b, *numbers, one_way=False):
        """loss, double, corrupt, forge, reorder, delay, rate, flap: numbers as wire_command.c says."""
        self.tell(word, self.link(a, b, one_way), *['%.9g' % n for n in numbers])

    def heal(self, a=None, b=None):
        self.tell('heal', self.link(a, b))

    def counts(self):
        return json.loads(self.tell('counts'))

    def links(self):
        return json.loads(self.tell('links'))

    def missed(self):
        """Frames that never reached the wire: the kernel had no room to keep them."""
        return int(self.tell('missed'))

    def balanced(self):
        """Whether every copy of a frame is accounted for."""
        c = self.counts()
        gone = sum(c[word] for word in ('out', 'refused', 'cut', 'lost', 'full', 'waiting'))
        return c['copies'] + c['doubled'] == gone
