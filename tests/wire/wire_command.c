/* The control protocol: a line in, a line out.
 *
 *     cut LINK                     nothing passes
 *     join LINK                    it passes again (the link's other faults stay)
 *     flap LINK UP_MS DOWN_MS      open and shut in turn; 0 0 ends it
 *     loss LINK SHARE              a share of the frames, 0 to 1
 *     double LINK SHARE
 *     corrupt LINK SHARE           one bit, which a checksum shows
 *     forge LINK SHARE             with a right checksum: authentication alone can refuse it
 *     reorder LINK SHARE MS        held back by so long
 *     delay LINK MS [JITTER_MS]
 *     rate LINK BITS_PER_S         0: no limit
 *     heal [LINK]                  no fault at all any more
 *     counts                       totals, as one JSON object
 *     links                        counts of every link that carried anything, as one JSON object
 *
 * LINK is A-B, both ways, or A>B, one way; * stands for any port. Numbers may have fractions.
 */
#include "tests/wire/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 5, LINE_MAX_BYTES = 256 };

static const double NS_PER_MS = 1e6;
static const double LARGEST_MS = 3600e3; /* an hour */
static const double LARGEST_BPS = 1e12;

struct request {
    uint32_t count;
    char *word[WORDS_MAX];
    double number[WORDS_MAX]; /* of the words behind the link */
};

struct verb {
    const char *name;
    uint32_t least, most; /* numbers behind the link */
    bool is_share;        /* the first one is a share */
    void (*change)(struct wire_faults *faults, const double *number);
};

static uint32_t ppm(double share)
{
    return (uint32_t)(share * WIRE_PPM + 0.5);
}

static uint64_t ns(double ms)
{
    return (uint64_t)(ms * NS_PER_MS + 0.5);
}

static void change_cut(struct wire_faults *faults, const double *number)
{
    (void)number;
    faults->cut = true;
}

static void change_join(struct wire_faults *faults, const double *number)
{
    (void)number;
    faults->cut = false;
    faults->flap_up_ns = 0;
    faults->flap_down_ns = 0;
}

static void change_flap(struct wire_faults *faults, const double *number)
{
    faults->flap_up_ns = ns(number[0]);
    faults->flap_down_ns = ns(number[1]);
}

static void change_loss(struct wire_faults *faults, const double *number)
{
    faults->loss = ppm(number[0]);
}

static void change_double(struct wire_faults *faults, const double *number)
{
    faults->twice = ppm(number[0]);
}

static void change_corrupt(struct wire_faults *faults, const double *number)
{
    faults->corrupt = ppm(number[0]);
}

static void change_forge(struct wire_faults *faults, const double *number)
{
    faults->forge = ppm(number[0]);
}

static void change_reorder(struct wire_faults *faults, const double *number)
{
    faults->reorder = ppm(number[0]);
    faults->reorder_ns = ns(number[1]);
}

static void change_delay(struct wire_faults *faults, const double *number)
{
    faults->delay_ns = ns(number[0]);
    faults->jitter_ns = ns(number[1]);
}

static void change_rate(struct wire_faults *faults, const double *number)
{
    faults->rate_bps = (uint64_t)number[0];
}

static void change_heal(struct wire_faults *faults, const double *number)
{
    (void)number;
    *faults = (struct wire_faults){0};
}

static const struct verb verbs[] = {
    {"cut", 0, 0, false, change_cut},      {"join", 0, 0, false, change_join},
    {"flap", 2, 2, false, change_flap},    {"loss", 1, 1, true, change_loss},
    {"double", 1, 1, true, change_double}, {"corrupt", 1, 1, true, change_corrupt},
    {"forge", 1, 1, true, change_forge},   {"reorder", 2, 2, true, change_reorder},
    {"delay", 1, 2, false, change_delay},  {"rate", 1, 1, false, change_rate},
    {"heal", 0, 0, false, change_heal},
};

__attribute__((format(printf, 3, 4))) static bool refuse(char *answer, size_t size,
                                                         const char *format, ...)
{
    va_list more;
    va_start(more, format);
    int head = snprintf(answer, size, "error: ");
    vsnprintf(answer + head, size - (size_t)head, format, more);
    va_end(more);
    return false;
}

/* A port's number or *; moves on behind it. 0 is *. */
static bool port_read(const char **at, uint32_t *port)
{
    if (**at == '*') {
        *port = 0;
        ++*at;
        return true;
    }
    char *end;
    unsigned long value = strtoul(*at, &end, 10);
    if (**at < '0' || **at > '9' || value == 0 || value >= WIRE_PORTS_MAX)
        return false;
    *port = (uint32_t)value;
    *at = end;
    return true;
}

static bool link_read(const char *word, uint32_t *from, uint32_t *to, bool *both)
{
    if (!port_read(&word, from) || (*word != '-' && *word != '>'))
        return false;
    *both = *word++ == '-';
    return port_read(&word, to) && *word == '\0';
}

static bool numbers_read(const struct verb *verb, struct request *request, char *answer,
                         size_t size)
{
    uint32_t given = request->count - 2;
    if (given < verb->least || given > verb->most)
        return refuse(answer, size, "%s takes %u to %u numbers behind the link", verb->name,
                      verb->least, verb->most);
    bool is_rate = strcmp(verb->name, "rate") == 0;
    for (uint32_t i = 0; i < given; i++) {
        char *end;
        double value = strtod(request->word[2 + i], &end);
        double most = i == 0 && verb->is_share ? 1 : is_rate ? LARGEST_BPS : LARGEST_MS;
        if (end == request->word[2 + i] || *end != '\0' || !isfinite(value) || value < 0 ||
            value > most)
            return refuse(answer, size, "%s: no number from 0 to %g", request->word[2 + i], most);
        request->number[i] = value;
    }
    return true;
}

/* Every link that the words name; how many they are. */
static uint32_t change_links(struct wire *wire, const struct verb *verb,
                             const struct request *request, uint32_t from, uint32_t to, bool both,
                             uint64_t now_ns)
{
    uint32_t changed = 0;
    for (uint32_t a = 1; a < WIRE_PORTS_MAX; a++)
        for (uint32_t b = 1; b < WIRE_PORTS_MAX; b++) {
            bool forth = (from == 0 || from == a) && (to == 0 || to == b);
            bool back = both && (from == 0 || from == b) && (to == 0 || to == a);
            if (!wire_has(wire, a, b) || !(forth || back))
                continue;
            struct wire_faults faults = *wire_faults(wire, a, b);
            verb->change(&faults, request->number);
            wire_set(wire, a, b, &faults, now_ns);
            changed++;
        }
    return changed;
}

static bool perform(struct wire *wire, struct request *request, uint64_t now_ns, char *answer,
                    size_t size)
{
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, request->word[0]) == 0)
            verb = &verbs[i];
    if (verb == NULL)
        return refuse(answer, size, "no word %s; wire_command.c lists them", request->word[0]);
    if (verb->change == change_heal && request->count == 1) {
        request->word[1] = "*-*";
        request->count = 2;
    }
    uint32_t from, to;
    bool both;
    if (request->count < 2 || !link_read(request->word[1], &from, &to, &both))
        return refuse(answer, size, "%s wants a link: A-B both ways, A>B one way, * any port",
                      verb->name);
    if (!numbers_read(verb, request, answer, size))
        return false;
    if (change_links(wire, verb, request, from, to, both, now_ns) == 0)
        return refuse(answer, size, "there is no link %s", request->word[1]);
    snprintf(answer, size, "ok");
    return true;
}

/* --- counts ------------------------------------------------------------------------------------
 */

static size_t counts_print(char *text, size_t size, const struct wire_counts *c)
{
    int length =
        snprintf(text, size,
                 "\"copies\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"out\":%" PRIu64
                 ",\"refused\":%" PRIu64 ",\"cut\":%" PRIu64 ",\"lost\":%" PRIu64
                 ",\"full\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"corrupted\":%" PRIu64
                 ",\"forged\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"bytes_out\":%" PRIu64,
                 c->copies, c->doubled, c->out, c->refused, c->cut, c->lost, c->full, c->waiting,
                 c->corrupted, c->forged, c->reordered, c->bytes_out);
    return length < 0 || (size_t)length >= size ? 0 : (size_t)length;
}

static void totals_print(const struct wire *wire, char *answer, size_t size)
{
    struct wire_counts totals;
    char rest[512];
    wire_totals(wire, &totals);
    counts_print(rest, sizeof(rest), &totals);
    snprintf(answer, size, "{\"in\":%" PRIu64 ",\"alien_in\":%" PRIu64 ",%s}", totals.in,
             totals.alien_in, rest);
}

static void links_print(const struct wire *wire, char *answer, size_t size)
{
    size_t at = (size_t)snprintf(answer, size, "{");
    for (uint32_t a = 1; a < WIRE_PORTS_MAX; a++)
        for (uint32_t b = 1; b < WIRE_PORTS_MAX; b++) {
            if (!wire_has(wire, a, b) || wire_link_counts(wire, a, b)->copies == 0)
                continue;
            char one[512];
            counts_print(one, sizeof(one), wire_link_counts(wire, a, b));
            int length =
                snprintf(answer + at, size - at, "%s\"%u>%u\":{%s}", at > 1 ? "," : "", a, b, one);
            if (length < 0 || (size_t)length + 2 > size - at) {
                refuse(answer, size, "too many links for one answer");
                return;
            }
            at += (size_t)length;
        }
    snprintf(answer + at, size - at, "}");
}

void wire_command(struct wire *wire, const char *line, uint64_t now_ns, char *answer, size_t size)
{
    char copy[LINE_MAX_BYTES];
    struct request request = {0};
    char *rest = NULL;
    if (strlen(line) >= sizeof(copy)) {
        refuse(answer, size, "a line has at most %d bytes", LINE_MAX_BYTES - 1);
        return;
    }
    strcpy(copy, line);
    for (char *word = strtok_r(copy, " \t\r\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (request.count == WORDS_MAX) {
            refuse(answer, size, "more than %d words", WORDS_MAX);
            return;
        }
        request.word[request.count++] = word;
    }
    if (request.count == 0)
        refuse(answer, size, "an empty line");
    else if (strcmp(request.word[0], "counts") == 0)
        totals_print(wire, answer, size);
    else if (strcmp(request.word[0], "links") == 0)
        links_print(wire, answer, size);
    else
        perform(wire, &request, now_ns, answer, size);
}
