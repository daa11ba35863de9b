#include "tests/unit/unit.h"

#include "consensus/ensure.h"

#include <CUnit/TestRun.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

static void print_result(const CU_pTest test, const CU_pSuite suite,
                         const CU_pFailureRecord failure)
{
    (void)suite;
    printf("%s %u - %s\n", failure == NULL ? "ok" : "not ok", CU_get_number_of_tests_run(),
           test->pName);
    for (CU_pFailureRecord f = failure; f != NULL; f = f->pNext)
        printf("# %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
    fflush(stdout);
}

int unit_main(const char *suite, const struct unit_test *tests)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 99;
    CU_pSuite s = CU_add_suite(suite, NULL, NULL);
    unsigned count = 0;
    for (; tests[count].name != NULL; count++)
        if (s == NULL || CU_add_test(s, tests[count].name, tests[count].run) == NULL)
            return 99;
    printf("1..%u\n", count);
    CU_set_test_complete_handler(print_result);
    CU_run_all_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}
