"""The frame of a test in Python that prints TAP: cases are marked with @test, and run_tests() runs them."""

import subprocess

TESTS = []
FAULTS = (AssertionError, OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError)


def test(function):
    TESTS.append(function)
    return function


def check(condition, *what):
    if not condition:
        raise AssertionError(' '.join(str(w) for w in what))


def run_tests(call=lambda function: function()):
    """Runs each case by call(case); the exit code for all."""
    failures = 0
    print('1..%d' % len(TESTS))
    for number, function in enumerate(TESTS, 1):
        problem = None
        try:
            call(function)
        except FAULTS as fault:
            problem = fault
        print('%s %d - %s' % ('ok' if problem is None else 'not ok', number, function.__name__.replace('_', ' ')),
              flush=True)
        if problem is not None:
            failures += 1
            for line in ('%s: %s' % (type(problem).__name__, problem)).splitlines()[:20]:
                print('# ' + line[:1000])
    return 1 if failures else 0
