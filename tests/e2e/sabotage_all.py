"""Damaged evidence is found: ./dev demo --sabotage KIND for each kind must exit 1 and name the place. And the
files that a demo cannot publish are refused before anything is started, each with its place."""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from parts import share  # noqa: E402

WHOLE = b''.join(len(m).to_bytes(2, 'big') + m for m in (b'order %d' % i for i in range(100)))

# name, content, what must be said
REFUSED = [
    ('nothing', b'', 'is empty'),
    ('empty lines', b'\n\n\n', 'no message'),
    ('long line', b'one\ntwo\n' + b'x' * 1271 + b'\nfour\n', 'line 3 has more than 1270 bytes'),
    ('cut in a record', WHOLE[:-3], 'record 100 at byte %d is cut off' % (len(WHOLE) - 10)),
    ('cut in a length', WHOLE + b'\0', 'record 101 at byte %d is cut off' % len(WHOLE)),
    ('large record', WHOLE + b'\x05\x00' + b'y' * 1280, 'record 101 at byte %d has 1280' % len(WHOLE)),
    ('compressed', b'\x1f\x8b\x08\x00' + b'z' * 100, 'gunzip'),
    ('neither', bytes(range(20, 200)), 'byte 0 is 0x14'),
]


def demo(build, *words, timeout=180):
    return subprocess.run([sys.executable, os.path.join(HERE, 'demo.py'), '--build', build, *words],
                          capture_output=True, text=True, timeout=timeout, check=False)


def refuses(build, directory, name, content, said):
    path = os.path.join(directory, name)
    with open(path, 'wb') as file:
        file.write(content)
    done = demo(build, path, timeout=20)
    good = done.returncode == 2 and said in done.stdout and path in done.stdout and \
        done.stdout.count('\n') == 1
    print('%s  %s: exit %d, %s' % ('ok' if good else 'FAIL', name, done.returncode,
                                   done.stdout.strip().replace(directory + '/', '')[-150:]), flush=True)
    return good


def finds(build, kind):
    done = demo(build, '--count', '20000', '--seconds', '8', '--sabotage', kind)
    place = re.search(r'place: (.*)', done.stdout)
    verdict = re.search(r'NOT PROVEN: (.*)', done.stdout)
    good = (done.returncode == 1 and place and verdict and
            place.group(1).strip() in verdict.group(1))
    print('%s  %s: exit %d, damaged %s, judge: %s' % (
        'ok' if good else 'FAIL', kind, done.returncode, place and place.group(1),
        verdict and verdict.group(1)[:150]), flush=True)
    if not good:
        print(done.stdout[-1500:])
    return bool(good)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True)
    parser.add_argument('--share', type=share, metavar='K/N', default='0/1',
                        help='every Nth kind of damage, from kind K on')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='keel-refused-') as directory:
        results = [refuses(options.build, directory, *row) for row in REFUSED]
    results += [finds(options.build, kind) for kind in options.share(('drop', 'dup', 'swap', 'flip'))]
    print('%d passed, %d failed' % (sum(results), len(results) - sum(results)))
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
