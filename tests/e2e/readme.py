"""The README's client example, exactly as it stands there: compiled against an installed libkeel, run
against real replicas."""

import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Cluster, Failure, run  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def compile_example(build, directory):
    with open(os.path.join(ROOT, 'README.md')) as file:
        text = re.search(r'```c\n(.*?)```', file.read(), re.S).group(1)
    if len([line for line in text.splitlines() if line.strip()]) > 30:
        raise Failure('the README\'s example has more than 30 lines')
    source, program = os.path.join(directory, 'example.c'), os.path.join(directory, 'example')
    with open(source, 'w') as file:
        file.write(text)
    stage = os.path.join(directory, 'stage')
    run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', stage, timeout=120)
    found = [d for d, _, names in os.walk(stage) if 'keel.pc' in names]
    if not found:
        raise Failure('nothing installs keel.pc')
    environment = dict(os.environ, PKG_CONFIG_PATH=found[0], PKG_CONFIG_SYSROOT_DIR=stage)
    flags = run('pkg-config', '--cflags', '--libs', 'keel', env=environment).stdout.split()
    run('cc', '-Wall', '-Wextra', '-Werror', source, '-o', program, *flags, timeout=60)
    library = [d for d, _, names in os.walk(stage) if 'libkeel.so.0' in names][0]
    installed = {name for _, _, names in os.walk(stage) for name in names}
    for name in ('keeld', 'keelctl', 'keelcat', 'keel.h'):
        if name not in installed:
            raise Failure('%s is not installed' % name)
    return program, library


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True)
    options = parser.parse_args()
    with Cluster(options.build, genesis=('--election-min-ms', '500')) as c:
        program, library = compile_example(os.path.abspath(options.build), c.dir)
        c.network()
        c.format()
        c.start_all()
        c.leader()
        done = subprocess.run(c.inside('cl', 'env', 'LD_LIBRARY_PATH=' + library, program,
                                       c.members(), c.path('client-100.key')),
                              capture_output=True, text=True, timeout=60, check=False)
        print(done.stdout + done.stderr, end='')
        numbers = re.findall(r'sequenced, feed number (\d+)', done.stdout)
        if done.returncode != 0 or numbers != ['1', '2', '3']:
            raise Failure('the example ends with %d' % done.returncode)
    print('readme: the example holds')


if __name__ == '__main__':
    try:
        main()
    except Failure as failure:
        sys.exit('FAILED: %s' % failure)
