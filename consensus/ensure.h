/* ENSURE: a programmer's error stops at its line, in every build.
 *
 * ensure_failed() is defined once by each program that links pure code (daemon, simulator, test
 * runner); it must not return. Bad input from outside is never a reason for ENSURE.
 */
#ifndef KEEL_ENSURE_H
#define KEEL_ENSURE_H

_Noreturn void ensure_failed(const char *file, int line, const char *condition);

#define ENSURE(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            ensure_failed(__FILE__, __LINE__, #condition);                                         \
    } while (0)

/* What the loop reaches: no malloc, no printf, no system call outside the seams. */
#define HOT __attribute__((hot))

#endif
