#include "nic-config/report.h"

#include "consensus/ensure.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_WIDTH = 18 };

struct finding *report_add(struct report *report, enum verdict verdict, const char *stage,
                           const char *check)
{
    ENSURE(report->count < REPORT_FINDINGS_MAX);
    struct finding *finding = &report->finding[report->count++];
    *finding = (struct finding){.verdict = verdict, .stage = stage, .check = check};
    return finding;
}

/* Names of processes and mounts are anybody's bytes; these texts go to terminals and into JSON. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void report_text(char text[REPORT_TEXT_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, REPORT_TEXT_MAX, format, args);
    va_end(args);
    make_printable(text);
}

void report_more(char text[REPORT_TEXT_MAX], const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, REPORT_TEXT_MAX - used, format, args);
    va_end(args);
    make_printable(text + used);
}

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[VERDICTS] = {"PASS", "WARN", "FAIL", "SKIP"};
    return names[verdict];
}

static void count(const struct report *report, uint32_t counts[VERDICTS])
{
    memset(counts, 0, VERDICTS * sizeof(*counts));
    for (uint32_t i = 0; i < report->count; i++)
        counts[report->finding[i].verdict]++;
}

int report_code(const struct report *report)
{
    uint32_t counts[VERDICTS];
    count(report, counts);
    return counts[VERDICT_FAIL] > 0 ? 2 : counts[VERDICT_WARN] > 0 ? 1 : 0;
}

bool report_print(const struct report *report)
{
    uint32_t counts[VERDICTS];
    count(report, counts);
    for (uint32_t i = 0; i < report->count; i++) {
        const struct finding *f = &report->finding[i];
        char name[64];
        snprintf(name, sizeof(name), "%s.%s", f->stage, f->check);
        printf("%s  %-*s %s\n", verdict_name(f->verdict), NAME_WIDTH, name, f->found);
        printf("      means: %s\n", f->means);
        if (f->mend[0] != '\0')
            printf("      mend:  %s\n", f->mend);
    }
    printf("%u passed, %u warned, %u failed, %u skipped\n", counts[VERDICT_PASS],
           counts[VERDICT_WARN], counts[VERDICT_FAIL], counts[VERDICT_SKIP]);
    return fflush(stdout) == 0;
}

static json_t *finding_json(const struct finding *f)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "stage", f->stage, "check", f->check,
                     "result", verdict_name(f->verdict), "found", f->found, "means", f->means,
                     "mend", f->mend[0] != '\0' ? f->mend : NULL);
}

bool report_print_json(const struct report *report)
{
    static const enum verdict worst[] = {VERDICT_PASS, VERDICT_WARN, VERDICT_FAIL};
    json_t *findings = json_array();
    bool whole = findings != NULL;
    for (uint32_t i = 0; i < report->count && whole; i++)
        whole = json_array_append_new(findings, finding_json(&report->finding[i])) == 0;
    json_t *all = json_pack("{s:s, s:o}", "result", verdict_name(worst[report_code(report)]),
                            "findings", findings);
    char *text = whole && all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    bool done = text != NULL && puts(text) >= 0 && fflush(stdout) == 0;
    free(text);
    json_decref(all);
    return done;
}
