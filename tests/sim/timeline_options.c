/* The command line's words about a timeline. */
#include "tests/sim/timeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECONDS_MAX = 1000000, RECORDS_MAX = 20000000 };

static bool take_time(const char *name, const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);
    bool good = end != text && *end == 0 && seconds >= 0 && seconds <= SECONDS_MAX;
    if (good)
        *ns = (uint64_t)(seconds * 1e9 + 0.5);
    else
        fprintf(stderr, "keel-sim: --%s %s: wants simulated seconds, 0 to %d, such as 1.25\n", name,
                text, SECONDS_MAX);
    return good;
}

static bool take_limit(const char *text, uint32_t *limit)
{
    char *end;
    unsigned long long records = strtoull(text, &end, 10);
    bool good =
        text[0] >= '0' && text[0] <= '9' && *end == 0 && records > 0 && records <= RECORDS_MAX;
    if (good)
        *limit = (uint32_t)records;
    else
        fprintf(stderr, "keel-sim: --limit %s: wants records, 1 to %d\n", text, RECORDS_MAX);
    return good;
}

bool timeline_option(int option, const char *text, struct timeline_options *options)
{
    switch (option) {
    case TIMELINE_OPTION_FILE:
        options->path = text;
        return true;
    case TIMELINE_OPTION_FROM:
        return take_time("from", text, &options->from_ns);
    case TIMELINE_OPTION_TO:
        return take_time("to", text, &options->to_ns);
    case TIMELINE_OPTION_LIMIT:
        return take_limit(text, &options->limit);
    default:
        return false;
    }
}

bool timeline_options_fit(const struct timeline_options *o, uint64_t seeds)
{
    if (o->path == NULL) {
        bool whole = o->from_ns == 0 && o->to_ns == UINT64_MAX;
        if (!whole)
            fprintf(stderr, "keel-sim: --from and --to are the window of a --timeline\n");
        return whole;
    }
    if (seeds != 1) {
        fprintf(stderr, "keel-sim: --timeline draws one seed: --seed S, without --seeds\n");
        return false;
    }
    if (o->from_ns >= o->to_ns) {
        fprintf(stderr, "keel-sim: the window ends before it begins: --from must be below --to\n");
        return false;
    }
    FILE *page = fopen(o->path, "wb");
    if (page == NULL)
        fprintf(stderr, "keel-sim: --timeline %s: cannot write there: %s\n", o->path,
                strerror(errno));
    return page != NULL && fclose(page) == 0;
}
