"""What the loop reaches, read from keeld's machine code: no heap, no text, no system call outside the
seams.

usage: reach.py KEELD

A graph of all functions: an edge for each call, each jump into another function and each address of one
that is taken (what is passed on may be called). From the turns of the polling roles, everything reached
must be the product's own code, a seam (port, clock, disk: their calls are the device's) or one of a few
harmless library functions. Not seen: pointers that lie in tables; hot.py watches those at run time. The
same search from start-up must find the heap, or the tool is blind.
"""

import collections
import re
import subprocess
import sys

ROOTS = ('loop_turn', 'feed_turn', 'ring_aux_turn', 'ring_disk_turn')
SEAMS = ('port_receive', 'port_alloc', 'port_send', 'port_free', 'clock_now_ns', 'clock_utc_ns',
         'clock_utc_at', 'clock_random', 'disk_submit', 'disk_kick', 'disk_reap')
# Ends of the road, once and for good: the programmer's error, and the text of why a replica stops.
COLD = ('ensure_failed', 'replica_stop', 'stop_witnessed')
LIBRARY = {'memcpy', 'memmove', 'memset', 'memcmp', 'explicit_bzero', '__stack_chk_fail',
           'crc32_iscsi'}  # the last one: ISA-L
BLIND_ROOT, BLIND_SIGHT = 'startup_begin', 'calloc'

HEAD = re.compile(r'^[0-9a-f]+ <([^>]+)>:$')
CALL = re.compile(r'\s(?:call|j\w+)\s+[0-9a-f]+ <([^>+]+)(?:\+0x[0-9a-f]+)?>')
ADDRESS = re.compile(r'\slea\s.*# [0-9a-f]+ <([^>+]+)>')
THROUGH = re.compile(r'\s(?:call|jmp)\s+\*0x[0-9a-f]+\(%rip\)\s+# [0-9a-f]+ <([^>+]+)>')
# What the compiler makes of one function: parts and copies.
PART = re.compile(r'\.(?:cold|part|isra|constprop|lto_priv)(?:\.\d+)?')


def plain(name):
    return PART.sub('', name)


def graph(program):
    done = subprocess.run(['objdump', '-d', '--no-show-raw-insn', program], capture_output=True,
                          text=True, check=True)
    edges, here = collections.defaultdict(set), None
    for line in done.stdout.splitlines():
        head = HEAD.match(line)
        if head:
            here = plain(head.group(1))
            edges[here]  # known, even without calls
            continue
        for pattern in (CALL, ADDRESS, THROUGH):
            found = pattern.search(line)
            if found and here is not None and plain(found.group(1)) != here:
                edges[here].add(plain(found.group(1)))
    return edges


def reached(edges, root):
    """Each function reached, with the way to it."""
    way, todo = {root: (root,)}, [root]
    while todo:
        name = todo.pop()
        if name in SEAMS or name in COLD or '@' in name:  # a library's own ways are its own
            continue
        for to in sorted(edges.get(name, ())):
            if to not in way:
                way[to] = way[name] + (to,)
                todo.append(to)
    return way


def outside(edges, way):
    """Reached library functions that are not harmless: name and way."""
    for name in sorted(way):
        library = re.sub(r'@.*', '', name)
        if '@' in name and library not in LIBRARY:
            yield library, ' > '.join(way[name])


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    edges = graph(sys.argv[1])
    missing = [name for name in ROOTS + SEAMS[:4] + (BLIND_ROOT,) if name not in edges]
    if missing:
        print('not in %s: %s (stripped?)' % (sys.argv[1], ' '.join(missing)))
        return 1
    bad = 0
    for root in ROOTS:
        way = reached(edges, root)
        for library, path in outside(edges, way):
            bad += 1
            print('%s: reaches %s: %s' % (root, library, path))
        print('%s: %d functions, seams %s' % (root, sum('@' not in name for name in way), ' '.join(
            name for name in SEAMS if name in way)))
    sight = {library for library, _ in outside(edges, reached(edges, BLIND_ROOT))}
    if BLIND_SIGHT not in sight:
        bad += 1
        print('blind: %s is not seen to reach %s' % (BLIND_ROOT, BLIND_SIGHT))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
