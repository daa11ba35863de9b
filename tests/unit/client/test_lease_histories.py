#!/usr/bin/env python3
"""The comparison of lease histories finds what it is there for: logs with one thing wrong each. TAP."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'e2e'))
import lease_histories  # noqa: E402

FIRST = '''session 1 a 10 10 102
ack 10 1 done 5 1 -
ack 10 2 done 12 1 -
# hold 0 1 12 1000 3000
# hold 0 1 12 1500 3500
# shows 3 0 12 now
submit 10 3 4 0123456789abcdef
ack 10 3 sequenced 1 7 D
# over 0 12 2000
# shows 4 0 12 late
ack 10 4 stale-sequencer 0 8 D
'''
SECOND = '''session 1 b 11 11 103
# hold 0 1 20 2000 4000
# shows 1 0 20 now
ack 11 1 sequenced 2 9 D
# hold 1 2 21 2000 4000
'''


def problems(first, second):
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for name, text in (('a', first), ('b', second)):
            paths.append(os.path.join(directory, name))
            with open(paths[-1], 'w', encoding='utf-8') as file:
                file.write(text)
        h = lease_histories.read_all(paths)
        return len(h.two_holders()), len(h.wrong_grants()), len(h.stale_accepted())


SHARED = SECOND.replace('# hold 0 1 20', '# hold 1 2 21')
CASES = [
    ('a clean history', FIRST, SECOND, (0, 0, 0)),
    ('a belief that nothing cut off lasts as long as its lease', FIRST.replace('# over 0 12 2000\n', ''), SECOND,
     (2, 0, 0)),
    ('one nanosecond of two holders', FIRST.replace('over 0 12 2000', 'over 0 12 2001'), SECOND, (2, 0, 0)),
    ('a later life does not take back what an earlier one believed', FIRST.replace('# over 0 12 2000\n', '') +
     'session 2 c 30 30 102\n# over 0 12 2000\n', SECOND, (2, 0, 0)),
    ('alone beside shared', FIRST.replace('# over 0 12 2000', '# over 0 12 2001'), SECOND.replace('hold 0 1', 'hold 0 2'),
     (2, 0, 0)),
    ('shared beside shared', FIRST.replace('hold 0 1 12', 'hold 1 2 21').replace('over 0 12', 'over 1 21'), SHARED,
     (0, 0, 0)),
    ('a generation given out twice', FIRST, SECOND.replace('hold 0 1 20', 'hold 0 1 12'), (0, 1, 0)),
    ('a generation that falls', FIRST, SECOND.replace('hold 0 1 20', 'hold 0 1 9'), (0, 1, 0)),
    ('a late message that is sequenced', FIRST.replace('10 4 stale-sequencer 0', '10 4 sequenced 3'), SECOND,
     (0, 0, 2)),
    ('an older generation behind a newer one in the feed', FIRST.replace('sequenced 1 7', 'sequenced 5 7'), SECOND,
     (0, 0, 1)),
    ('a line that a kill cut off', FIRST + '# hold 0 1 12 1000 9', SECOND, (0, 0, 0)),
]


def main():
    failed = 0
    print('1..%d' % len(CASES))
    for number, (name, first, second, wanted) in enumerate(CASES, 1):
        found = problems(first, second)
        # how many pairs of lines overlap is no matter, whether any do is
        good = tuple(map(bool, found)) == tuple(map(bool, wanted))
        failed += not good
        print('%s %d - %s%s' % ('ok' if good else 'not ok', number, name, '' if good else ': %s' % (found,)))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
