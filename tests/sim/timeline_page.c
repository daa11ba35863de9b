/* Writes the page: the template's parts, a head in JSON, and the records.
 *
 * The parts lie in tests/sim/timeline/ of the source tree. A line of page.html that is `@@NAME@@`
 * alone gives way to the part of that name, `@@head@@` and `@@records@@` to what this seed was.
 *
 * Records, base64 over bytes, in the order of time: kind, from | to << 4, fate << 3 | values, then
 * as LEB128: nanoseconds since the record before it, nanoseconds until it ended, size, the values;
 * zeros at the end of the values are left out.
 */
#include "tests/sim/timeline_internal.h"

#include "consensus/machine/machine.h"

#include <errno.h>
#include <stdlib.h>

#ifndef SIM_SOURCE_ROOT
#define SIM_SOURCE_ROOT "." /* of a build that is run where the sources lie */
#endif

enum { LINE_SIZE = 4096, TEXT_COLUMNS = 116 };

struct base64 {
    FILE *to;
    uint32_t bits, count, column;
};

static void put_byte(struct base64 *b, uint8_t byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    b->bits = b->bits << 8 | byte;
    if (++b->count < 3)
        return;
    for (int shift = 18; shift >= 0; shift -= 6)
        fputc(digits[b->bits >> shift & 63], b->to);
    b->bits = b->count = 0;
    b->column += 4;
    if (b->column >= TEXT_COLUMNS) {
        fputc('\n', b->to);
        b->column = 0;
    }
}

static void put_number(struct base64 *b, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        put_byte(b, (uint8_t)(value | 128));
    put_byte(b, (uint8_t)value);
}

static void put_record(struct base64 *b, const struct timeline_record *r, uint64_t before_ns)
{
    uint32_t values = TIMELINE_VALUES;
    while (values > 0 && r->value[values - 1] == 0)
        values--;
    put_byte(b, r->kind);
    put_byte(b, (uint8_t)(r->from | r->to << 4));
    put_byte(b, (uint8_t)(r->fate << 3 | (int)values));
    put_number(b, r->at_ns - before_ns);
    put_number(b, r->until_ns - r->at_ns);
    put_number(b, r->size);
    for (uint32_t i = 0; i < values; i++)
        put_number(b, r->value[i]);
}

static const struct timeline_record *next(const struct timeline_list *list, uint64_t at)
{
    return at < list->count ? &list->record[at % list->cap] : NULL;
}

static uint64_t first(const struct timeline_list *list)
{
    return list->count > list->cap ? list->count - list->cap : 0;
}

/* Time first: between two events of the queue no number may have been given out. */
static bool later(const struct timeline_record *a, const struct timeline_record *b)
{
    return a->at_ns != b->at_ns ? a->at_ns > b->at_ns : a->sequence > b->sequence;
}

/* Both lists in one order. The end is a record of kind 0, and zeros to fill the last three bytes.
 */
static void put_records(FILE *to, const struct timeline *t)
{
    struct base64 b = {.to = to};
    uint64_t rare = first(&t->rare), bulk = first(&t->bulk), before_ns = 0;
    for (;;) {
        const struct timeline_record *r = next(&t->rare, rare), *u = next(&t->bulk, bulk);
        if (r == NULL && u == NULL)
            break;
        bool takes_rare = u == NULL || (r != NULL && !later(r, u));
        const struct timeline_record *taken = takes_rare ? r : u;
        rare += takes_rare;
        bulk += !takes_rare;
        put_record(&b, taken, before_ns);
        before_ns = taken->at_ns;
    }
    do
        put_byte(&b, 0);
    while (b.count > 0);
    fputc('\n', to);
}

/* --- the head --------------------------------------------------------------------------------- */

static void put_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= 0x7f)
            fprintf(to, "\\u%04x", c); /* nothing may end the element that holds it */
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void put_lists(FILE *to)
{
    fputs("\"lists\":{\"yes\":[\"no\",\"yes\"],"
          "\"role\":[\"follower\",\"precandidate\",\"candidate\",\"leader\"],"
          "\"append\":[\"OK\",\"STALE_TERM\",\"MISSING\",\"CONFLICT\",\"CHAIN\",\"NO_SPACE\"],"
          "\"checkpoint\":[\"WANT\",\"BUSY\",\"DONE\",\"REFUSED\"],"
          "\"redirect\":[\"\",\"not the leader\",\"busy\"],\"arp\":[\"\",\"request\",\"reply\"],"
          "\"handover\":[\"none\",\"waiting\",\"told\",\"done\",\"given up\"],"
          "\"block\":[\"ring page\",\"superblock\",\"reserved block\",\"checkpoint\","
          "\"part of a peer's checkpoint\",\"checkpoint body\"],"
          "\"path\":[\"/a\",\"/b\"],\"lock\":[\"free\",\"exclusive\",\"shared\"],"
          "\"phase\":[\"faults end, everything heals\",\"power fails everywhere\","
          "\"guests submit nothing new\"],"
          "\"fate\":[\"arrived\",\"arrived, a second copy made by the network\","
          "\"lost on the way\",\"cut off\",\"its receiver was down or asleep\","
          "\"a second copy; its receiver was down or asleep\",\"still under way at the end\","
          "\"a second copy, still under way at the end\"],\n\"reason\":[",
          to);
    for (uint32_t i = 0; i <= PACKET_CHECKPOINT_DRIVE; i++) {
        fputs(i == 0 ? "" : ",", to);
        put_text(to, packet_checkpoint_reason_name((enum packet_checkpoint_reason)i));
    }
    fputs("],\n\"status\":{", to);
    for (uint32_t i = 0; i <= MACHINE_BAD_ENTRY; i++)
        if (i <= MACHINE_NOT_OPEN || i >= MACHINE_DUPLICATE) {
            fprintf(to, "%s\"%u\":", i == 0 ? "" : ",", i);
            put_text(to, machine_status_name((enum machine_status)i));
        }
    fputs("},\n\"fault\":[", to);
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        fputs(i == 0 ? "" : ",", to);
        put_text(to, fault_name((enum fault)i));
    }
    fputs("]}", to);
}

static void put_counts(FILE *to, const struct world *world)
{
    fputs("\"faults\":{", to);
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        fputs(i == 0 ? "" : ",", to);
        put_text(to, fault_name((enum fault)i));
        fprintf(to, ":%lu", (unsigned long)world->count[i]);
    }
    fprintf(to,
            "},\n\"seen\":{\"leaders\":%lu,\"votes\":%lu,\"sealed-packets\":%lu,"
            "\"messages ordered\":%lu}",
            (unsigned long)world->leaders, (unsigned long)world->votes,
            (unsigned long)world->sealed, (unsigned long)check_committed(world));
}

static void put_head(FILE *to, const struct world *world, const struct timeline *t)
{
    const struct timeline_options *o = &t->options;
    uint64_t out = first(&t->bulk), whole_ns = 0, end_ns = world->now_ns;
    if (out > 0)
        whole_ns = t->bulk.record[t->bulk.count % t->bulk.cap].at_ns;
    fprintf(to, "{\"seed\":%lu,\"trace\":\"%016lx\",\"failure\":", (unsigned long)world->seed,
            (unsigned long)world->trace);
    put_text(to, world->failure);
    fprintf(to,
            ",\n\"nodes\":%u,\"guests\":%u,\"guestFrom\":%d,\"holders\":%u,\"holderFrom\":%d,"
            "\"steps\":%lu,\"end\":%lu,"
            "\"from\":%lu,\"to\":%lu,\"limit\":%u,\"leftOut\":%lu,\"wholeFrom\":%lu,\n",
            world->knobs.nodes, world->knobs.guests, ENDPOINT_GUEST, world->knobs.holders,
            ENDPOINT_HOLDER, (unsigned long)world->steps, (unsigned long)end_ns,
            (unsigned long)o->from_ns, (unsigned long)(o->to_ns < end_ns ? o->to_ns : end_ns),
            o->limit, (unsigned long)out, (unsigned long)whole_ns);
    put_counts(to, world);
    fputs(",\n\"kinds\":{", to);
    const char *comma = "";
    for (uint32_t kind = 0; kind < 256; kind++)
        if (timeline_kind_text((uint8_t)kind) != NULL) {
            fprintf(to, "%s\"%u\":%s", comma, kind, timeline_kind_text((uint8_t)kind));
            comma = ",\n";
        }
    fputs("},\n", to);
    put_lists(to);
    fputs(",\n\"texts\":[", to);
    for (uint32_t i = 0; i < t->text_count; i++) {
        fputs(i == 0 ? "" : ",", to);
        put_text(to, t->text[i]);
    }
    fputs("]}\n", to);
}

/* --- the parts -------------------------------------------------------------------------------- */

static FILE *part(const char *name, char problem[160])
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/sim/timeline/%s", SIM_SOURCE_ROOT, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        snprintf(problem, 160, "%.100s: %s; the timeline's page is made of it", path,
                 strerror(errno));
    return file;
}

static bool put_part(FILE *to, const char *name, char problem[160])
{
    char bytes[LINE_SIZE];
    FILE *from = part(name, problem);
    if (from == NULL)
        return false;
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), from)) > 0;)
        fwrite(bytes, 1, n, to);
    fclose(from);
    return true;
}

bool timeline_write_page(const struct world *world, const struct timeline *timeline,
                         char problem[160])
{
    char line[LINE_SIZE], name[64], rest;
    FILE *page = part("page.html", problem), *to = timeline->page;
    bool good = page != NULL;
    while (good && fgets(line, sizeof(line), page) != NULL) {
        if (sscanf(line, "@@%63[a-z._]@@%c", name, &rest) != 2 || rest != '\n')
            fputs(line, to);
        else if (strcmp(name, "head") == 0)
            put_head(to, world, timeline);
        else if (strcmp(name, "records") == 0)
            put_records(to, timeline);
        else
            good = put_part(to, name, problem);
    }
    if (page != NULL)
        fclose(page);
    if (good && (fflush(to) != 0 || ferror(to) != 0)) {
        snprintf(problem, 160, "%.100s: the page could not be written whole: %s",
                 timeline->options.path, strerror(errno));
        return false;
    }
    return good;
}
