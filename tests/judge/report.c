#include "judge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static void take(char *text, const char *format, va_list arguments)
{
    vsnprintf(text, TEXT_MAX, format, arguments);
    for (char *c = text; *c != '\0'; c++) /* names come from the evidence */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

void fail(struct report *report, const char *format, ...)
{
    report->failure_count++;
    if (report->shown == FAILURES_SHOWN)
        return;
    va_list arguments;
    va_start(arguments, format);
    take(report->failure[report->shown++], format, arguments);
    va_end(arguments);
}

void unreadable(struct report *report, const char *format, ...)
{
    report->unreadable = true;
    report->failure_count++;
    if (report->shown == FAILURES_SHOWN)
        return;
    va_list arguments;
    va_start(arguments, format);
    take(report->failure[report->shown++], format, arguments);
    va_end(arguments);
}

void note(struct report *report, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    take(text, format, arguments);
    va_end(arguments);
    if (report->note_count == NOTES_SHOWN)
        return;
    memcpy(report->note[report->note_count++], text, TEXT_MAX);
}

static void summary(const struct counts *c)
{
    printf("rings     %" PRIu64 " rings x %" PRIu64 " pages (%" PRIu64 " seals), %" PRIu64
           " entries, %" PRIu64 " superseded, %" PRIu64 " torn at the end, %" PRIu64
           " checkpoints\n",
           c->rings, c->pages, c->seals, c->ring_entries, c->superseded, c->torn, c->checkpoints);
    printf("log       %" PRIu64 " entries held by a majority up to index %" PRIu64
           "; evidence reaches index %" PRIu64 "\n",
           c->entries, c->held, c->highest);
    printf("order     %" PRIu64 " messages sequenced (%" PRIu64 " bytes), %" PRIu64
           " session ends, %" PRIu64 " refused, %" PRIu64
           " presented again or without effect; %" PRIu64 " sessions, %" PRIu64 " days\n",
           c->sequenced, c->bytes, c->session_ends, c->refused, c->unchanged, c->sessions, c->days);
    printf("locks     %" PRIu64 " node operations, %" PRIu64 " grants; %" PRIu64
           " fenced messages sequenced, %" PRIu64 " refused; %" PRIu64 " not decided\n",
           c->node_operations, c->grants, c->fenced, c->fenced_refused, c->undecided);
    printf("gateways  %" PRIu64 " submitted (%" PRIu64 " more resubmitted), %" PRIu64
           " results: %" PRIu64 " sequenced, %" PRIu64 " refused, %" PRIu64 " doubled, %" PRIu64
           " of nodes, %" PRIu64 " openings, %" PRIu64 " ends\n",
           c->submits, c->resubmits, c->acks, c->acks_sequenced, c->acks_refused, c->acks_repeated,
           c->acks_node, c->opens, c->ends);
    printf("feed      %" PRIu64 " lines, %" PRIu64 " stretches, %" PRIu64 " packets: %" PRIu64
           " blocks, %" PRIu64 " heartbeats, %" PRIu64 " ends of session, %" PRIu64
           " answers to requests; %" PRIu64 " foreign\n",
           c->lines, c->stretches, c->packets, c->blocks, c->heartbeats, c->day_ends, c->answers,
           c->foreign);
}

static void json_text(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            putchar('\\');
        if ((unsigned char)*c < 0x7f) /* control characters are gone, see take() */
            putchar(*c);
        else
            putchar('?');
    }
    putchar('"');
}

static void json_list(const char *key, const char list[][TEXT_MAX], uint32_t count)
{
    printf(",\"%s\":[", key);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            putchar(',');
        json_text(list[i]);
    }
    putchar(']');
}

static void print_json(const struct report *report)
{
    const struct counts *c = &report->counts;
    const struct {
        const char *key;
        uint64_t value;
    } fields[] = {
        {"rings", c->rings},
        {"pages", c->pages},
        {"seals", c->seals},
        {"ring_entries", c->ring_entries},
        {"superseded", c->superseded},
        {"torn", c->torn},
        {"checkpoints", c->checkpoints},
        {"entries", c->entries},
        {"held", c->held},
        {"highest", c->highest},
        {"sequenced", c->sequenced},
        {"bytes", c->bytes},
        {"session_ends", c->session_ends},
        {"refused", c->refused},
        {"unchanged", c->unchanged},
        {"node_operations", c->node_operations},
        {"grants", c->grants},
        {"fenced_sequenced", c->fenced},
        {"fenced_refused", c->fenced_refused},
        {"undecided", c->undecided},
        {"sessions", c->sessions},
        {"days", c->days},
        {"submits", c->submits},
        {"resubmits", c->resubmits},
        {"acks", c->acks},
        {"acks_sequenced", c->acks_sequenced},
        {"acks_refused", c->acks_refused},
        {"acks_doubled", c->acks_repeated},
        {"acks_node", c->acks_node},
        {"opens", c->opens},
        {"ends", c->ends},
        {"lines", c->lines},
        {"stretches", c->stretches},
        {"packets", c->packets},
        {"blocks", c->blocks},
        {"heartbeats", c->heartbeats},
        {"day_ends", c->day_ends},
        {"answers", c->answers},
        {"foreign", c->foreign},
    };
    printf("{\"verdict\":\"%s\",\"failures\":%" PRIu64,
           report->failure_count == 0 ? "proven" : "not proven", report->failure_count);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        printf(",\"%s\":%" PRIu64, fields[i].key, fields[i].value);
    json_list("failed", report->failure, report->shown);
    json_list("notes", report->note, report->note_count);
    puts("}");
}

int report_print(const struct report *report, bool json, bool quiet)
{
    if (json) {
        print_json(report);
    } else {
        if (!quiet) {
            summary(&report->counts);
            for (uint32_t i = 0; i < report->note_count; i++)
                printf("note      %s\n", report->note[i]);
        }
        for (uint32_t i = 0; i < report->shown; i++)
            printf("NOT PROVEN: %s\n", report->failure[i]);
        if (report->failure_count > report->shown)
            printf("and %" PRIu64 " more\n", report->failure_count - report->shown);
        if (report->failure_count == 0)
            puts("PROVEN");
    }
    if (report->unreadable)
        return 2;
    return report->failure_count == 0 ? 0 : 1;
}
