/* What the checks of the host found: one finding a line, for people or as JSON. One thread. */
#ifndef KEEL_NIC_REPORT_H
#define KEEL_NIC_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPORT_FINDINGS_MAX = 64, REPORT_TEXT_MAX = 320 };

enum verdict { VERDICT_PASS, VERDICT_WARN, VERDICT_FAIL, VERDICT_SKIP, VERDICTS };

struct finding {
    enum verdict verdict;
    const char *stage, *check;   /* literals */
    char found[REPORT_TEXT_MAX]; /* what is there, in figures */
    char means[REPORT_TEXT_MAX]; /* for Keel */
    char mend[REPORT_TEXT_MAX];  /* the command that mends it; empty: there is none, or no need */
};

struct report {
    uint32_t count;
    struct finding finding[REPORT_FINDINGS_MAX];
};

/* The next finding, empty; the report's own. */
struct finding *report_add(struct report *report, enum verdict verdict, const char *stage,
                           const char *check);
/* Sets one text of a finding; what does not fit is cut off, what is not printable ASCII becomes
 * '?'.
 */
void report_text(char text[REPORT_TEXT_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, behind what is there. */
void report_more(char text[REPORT_TEXT_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *verdict_name(enum verdict verdict);
/* 0 all well, 1 a warning, 2 a failure: doctor's exit code. */
int report_code(const struct report *report);

/* To stdout. False: it cannot be written. */
bool report_print(const struct report *report);
/* One line of JSON: {"result":"FAIL","findings":[{"stage","check","result","found","means","mend"},
 * ...]}; mend is null where there is none. */
bool report_print_json(const struct report *report);

#endif
