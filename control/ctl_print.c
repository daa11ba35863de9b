#include "control/ctl.h"

#include "consensus/ensure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CELL_MAX = 96, COLUMNS_MAX = 20 };

bool ctl_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0');
}

const char *ctl_utc_text(json_int_t utc_ns, char text[CTL_UTC_TEXT_MAX])
{
    struct tm tm;
    time_t seconds = (time_t)(utc_ns / 1000000000);
    size_t size = strftime(text, CTL_UTC_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    snprintf(text + size, CTL_UTC_TEXT_MAX - size, ".%03dZ", (int)(utc_ns % 1000000000 / 1000000));
    return text;
}

int ctl_print_json(const json_t *result)
{
    char *text = json_dumps(result, JSON_COMPACT);
    if (text == NULL)
        return ctl_fail(CTL_FAILED, "out of memory");
    int rc = puts(text);
    free(text);
    return rc < 0 || fflush(stdout) != 0 ? ctl_fail(CTL_FAILED, "stdout cannot be written")
                                         : CTL_DONE;
}

/* A value as people read it; "-" for null and empty. */
static const char *cell(const json_t *value, char text[CELL_MAX])
{
    if (json_is_integer(value))
        snprintf(text, CELL_MAX, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, CELL_MAX, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_string(value) && json_string_length(value) > 0)
        return json_string_value(value);
    else
        snprintf(text, CELL_MAX, "-");
    return text;
}

void ctl_print_pairs(const json_t *object, int indent)
{
    const char *key;
    json_t *value;
    size_t width = 0;
    char text[CELL_MAX], label[CELL_MAX];
    void *walk = (void *)(uintptr_t)object; /* jansson's iterator takes no const */
    json_object_foreach((json_t *)walk, key, value) width =
        strlen(key) > width ? strlen(key) : width;
    json_object_foreach((json_t *)walk, key, value)
    {
        snprintf(label, sizeof(label), "%s", key);
        for (char *at = label; *at != '\0'; at++)
            *at = *at == '_' ? ' ' : *at;
        if (json_is_object(value)) {
            printf("%*s%s\n", indent, "", label);
            ctl_print_pairs(value, indent + 2);
            continue;
        }
        printf("%*s%-*s  %s\n", indent, "", (int)width, label, cell(value, text));
    }
}

void ctl_print_table(const json_t *rows, const char *const *columns)
{
    size_t width[COLUMNS_MAX] = {0}, count = 0;
    char key[CELL_MAX], text[CELL_MAX];
    const char *title[COLUMNS_MAX];
    bool colour = ctl_colour();
    for (; columns[count] != NULL && count < COLUMNS_MAX; count++) {
        title[count] = strchr(columns[count], '=') + 1;
        width[count] = strlen(title[count]);
    }
    ENSURE(columns[count] == NULL);           /* a column that is not shown is missed by nobody */
    for (size_t pass = 0; pass < 2; pass++) { /* first the widths, then the lines */
        for (size_t c = 0; pass == 1 && c < count; c++)
            printf("%s%-*s%s%s", colour ? "\033[1m" : "", (int)width[c], title[c],
                   colour ? "\033[0m" : "", c + 1 < count ? "  " : "\n");
        for (size_t r = 0; r < json_array_size(rows); r++)
            for (size_t c = 0; c < count; c++) {
                snprintf(key, sizeof(key), "%.*s", (int)(title[c] - columns[c] - 1), columns[c]);
                const char *value = cell(json_object_get(json_array_get(rows, r), key), text);
                if (pass == 0)
                    width[c] = strlen(value) > width[c] ? strlen(value) : width[c];
                else
                    printf("%-*s%s", (int)width[c], value, c + 1 < count ? "  " : "\n");
            }
    }
}
