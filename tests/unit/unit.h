/* The unit tests' runner: CUnit's registry, printed as TAP so that Meson can read it.
 *
 * A test program lists its tests and calls unit_main():
 *
 *     int main(void)
 *     {
 *         static const struct unit_test tests[] = {{"what it shows", test_function}, {0}};
 *         return unit_main("suite", tests);
 *     }
 *
 * CUnit's own JUnit and Basic runners are not used: the first prints malformed XML, the second
 * installs its own handlers. ensure_failed() is defined here for every test program.
 */
#ifndef KEEL_UNIT_H
#define KEEL_UNIT_H

#include <CUnit/CUnit.h>

struct unit_test {
    const char *name;
    void (*run)(void);
};

/* Runs all tests, prints TAP; 0 if all passed. tests ends with a null name. */
int unit_main(const char *suite, const struct unit_test *tests);

#endif
