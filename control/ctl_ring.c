/* `keelctl ring verify|dump`: a ring file or device, offline and read-only. */
#include "control/ctl.h"

#include "control/address.h"
#include "dataplane/ring/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRINTABLE_MAX = 64 };

struct ring_view {
    struct ctl *ctl;
    uint64_t from, to;
    bool pages, superseded;
    uint64_t problems;
};

static const char *kind_name(uint8_t kind)
{
    switch ((enum entry_kind)kind) {
    case ENTRY_NOOP:
        return "noop";
    case ENTRY_MESSAGES:
        return "messages";
    case ENTRY_SESSION_OPEN:
        return "session-open";
    case ENTRY_SESSION_RESUME:
        return "session-resume";
    case ENTRY_SESSION_END:
        return "session-end";
    case ENTRY_SESSION_EXPIRE:
        return "session-expire";
    case ENTRY_DAY_END:
        return "day-end";
    case ENTRY_DAY_BEGIN:
        return "day-begin";
    case ENTRY_BOOT:
        return "boot";
    case ENTRY_CONFIG:
        return "config";
    case ENTRY_NODE:
        return "node";
    case ENTRY_DUE:
        return "due";
    case ENTRY_OPERATOR:
        return "operator";
    case ENTRY_AUTOPILOT:
        return "autopilot";
    case ENTRY_PROBE:
        return "probe";
    }
    return "unknown";
}

/* Why a ring can't be looked at, as people need it. */
static int open_ring(const char *path, struct disk **disk)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct disk_options options = {.path = path, .read_only = true, .depth = 8};
    int rc = disk_open(disk, &options, why);
    if (rc != 0)
        return ctl_fail(CTL_FAILED, "ring: %s: name a ring file or device",
                        why[0] != '\0' ? why : strerror(-rc));
    return CTL_DONE;
}

/* --- verify
 * ---------------------------------------------------------------------------------------- */

static bool bad_page(void *context, const struct ring_inspect_page *page)
{
    struct ring_view *view = context;
    if (page->place == RING_PLACE_KEPT)
        return true;
    view->problems++;
    if (view->ctl->json)
        return true;
    printf("page %" PRIu64 " (slot %" PRIu64 "): %s, %s", page->page, page->slot,
           ring_place_name(page->place), ring_verdict_name(page->verdict));
    if (page->bad_sectors != 0)
        printf(", bad sectors %#x", page->bad_sectors);
    if (page->named && page->identity.count > 0)
        printf(", held %" PRIu64 "..%" PRIu64, page->identity.first_index,
               page->identity.first_index + page->identity.count - 1);
    putchar('\n');
    return true;
}

static json_t *totals_object(const struct ring_totals *t, const struct ring_recovery *found)
{
    json_t *to = json_pack(
        "{s:b,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "intact", found->damage == RING_INTACT,
        "damage", ring_damage_name(found->damage), "why", found->why, "replica",
        found->super.replica, "term", (json_int_t)found->term, "vote", (json_int_t)found->vote,
        "first_index", (json_int_t)found->first_index, "last_index", (json_int_t)found->last_index,
        "commit_index", (json_int_t)found->commit, "boot", (json_int_t)found->boot, "head_page",
        (json_int_t)found->head_page, "tail_page", (json_int_t)found->tail_page);
    const struct {
        const char *name;
        uint64_t value;
    } list[] = {{"slots", found->super.slots},
                {"pages_kept", t->pages_kept},
                {"pages_missing", t->pages_missing},
                {"pages_torn", t->pages_torn},
                {"pages_stray", t->pages_stray},
                {"pages_empty", t->pages_empty},
                {"entries", t->entries},
                {"entries_live", t->entries_live},
                {"entries_doubtful", t->entries_doubtful},
                {"entry_bytes", t->entry_bytes},
                {"laps", t->laps},
                {"checkpoint_index", found->have_checkpoint ? found->checkpoint[0].index : 0}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        json_object_set_new(to, list[i].name, json_integer((json_int_t)list[i].value));
    return to;
}

int ctl_ring_verify(struct ctl *ctl)
{
    struct ring_view view = {.ctl = ctl};
    struct ring_visitor visitor = {.context = &view, .page = bad_page};
    struct ring_totals totals;
    struct ring_recovery *found = calloc(1, sizeof(*found));
    char why[DISK_PROBLEM_SIZE] = "";
    struct disk *disk;
    int code =
        found != NULL ? open_ring(ctl->word[0], &disk) : ctl_fail(CTL_FAILED, "out of memory");
    if (code != CTL_DONE) {
        free(found);
        return code;
    }
    char paxos[CTL_PAXOS_TEXT_MAX];
    int rc = ring_inspect(disk, &visitor, &totals, found, why);
    ctl_paxos_text(disk, paxos);
    disk_close(disk);
    if (rc != 0) {
        free(found);
        return ctl_fail(CTL_FAILED, "ring verify: %s: %s%s%s", ctl->word[0],
                        why[0] != '\0' ? why : strerror(-rc),
                        rc == -ENOENT ? "; its paxos record: " : "", rc == -ENOENT ? paxos : "");
    }
    json_t *object = totals_object(&totals, found);
    json_object_set_new(object, "paxos_record", json_string(paxos));
    if (ctl->json)
        code = ctl_print_json(object);
    else
        ctl_print_pairs(object, 0);
    json_decref(object);
    if (code == CTL_DONE && found->damage != RING_INTACT)
        code = ctl_fail(CTL_FAILED,
                        "ring verify: %s is damaged (%s): %s: keep the file, check the drive",
                        ctl->word[0], ring_damage_name(found->damage), found->why);
    ring_recovery_free(found);
    free(found);
    return code;
}

/* --- dump
 * ------------------------------------------------------------------------------------------ */

static bool dump_page(void *context, const struct ring_inspect_page *page)
{
    struct ring_view *view = context;
    if (!view->pages || page->head == NULL)
        return true;
    const struct ring_page *h = page->head;
    if (view->ctl->json)
        printf("{\"page\":%" PRIu64 ",\"slot\":%" PRIu64 ",\"place\":\"%s\",\"boot\":%" PRIu64
               ",\"term\":%" PRIu64 ",\"vote\":%u,\"first_index\":%" PRIu64 ",\"count\":%u,"
               "\"last_lsn\":%" PRIu64 ",\"durable_lsn\":%" PRIu64 ",\"head\":%" PRIu64
               ",\"commit_index\":%" PRIu64 "}\n",
               page->page, page->slot, ring_place_name(page->place), h->boot, h->term, h->vote,
               h->self.first_index, h->self.count, h->last_lsn, h->durable_lsn, h->head, h->commit);
    else
        printf("page %" PRIu64 " slot %" PRIu64 " %s boot %" PRIu64 " term %" PRIu64
               " vote %u first %" PRIu64 " count %u lsn %" PRIu64 " durable %" PRIu64
               " head %" PRIu64 " commit %" PRIu64 "\n",
               page->page, page->slot, ring_place_name(page->place), h->boot, h->term, h->vote,
               h->self.first_index, h->self.count, h->last_lsn, h->durable_lsn, h->head, h->commit);
    return true;
}

/* The payload's first bytes, with dots for what does not print. */
static void print_payload(const uint8_t *bytes, uint16_t size)
{
    uint16_t shown = size < PRINTABLE_MAX ? size : PRINTABLE_MAX;
    for (uint16_t i = 0; i < shown; i++)
        putchar(bytes[i] > ' ' - 1 && bytes[i] <= '~' && bytes[i] != '"' && bytes[i] != '\\'
                    ? bytes[i]
                    : '.');
}

static void dump_messages(const struct entry *entry, bool json)
{
    const struct entry_messages *m = entry_body(entry);
    uint32_t offset = 0;
    printf(json ? ",\"session\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"number\":%" PRIu64
                  ",\"acked\":%" PRIu64 ",\"messages\":["
                : " session %" PRIu64 " epoch %" PRIu64 " number %" PRIu64 " acked %" PRIu64,
           m->session, m->epoch, m->number, m->acked);
    for (uint16_t i = 0; i < m->count; i++) {
        uint16_t length;
        const uint8_t *block = entry_block_next(entry, &offset, &length);
        printf(json ? "%s{\"bytes\":%u,\"text\":\"" : "%s\n    %u bytes: ",
               json && i > 0 ? "," : "", length);
        print_payload(block, length);
        fputs(json ? "\"}" : "", stdout);
    }
    fputs(json ? "]" : "", stdout);
}

static bool dump_entry(void *context, const struct ring_inspect_entry *shown)
{
    struct ring_view *view = context;
    const struct entry *e = shown->entry;
    bool json = view->ctl->json;
    if (e->index < view->from || e->index > view->to || (!shown->live && !view->superseded))
        return true;
    printf(json ? "{\"index\":%" PRIu64 ",\"term\":%" PRIu64 ",\"kind\":\"%s\",\"page\":%" PRIu64
                  ",\"principal\":%u,\"utc_ns\":%" PRIu64 ",\"log_ns\":%" PRIu64 ",\"bytes\":%u,"
                  "\"chain\":\"%016" PRIx64 "\",\"live\":%s,\"committed\":%s"
                : "%" PRIu64 " term %" PRIu64 " %s page %" PRIu64 " principal %u utc %" PRIu64
                  " log %" PRIu64 " bytes %u chain %016" PRIx64 " live %s committed %s",
           e->index, e->term, kind_name(e->kind), shown->page, e->principal, e->utc_ns, e->log_ns,
           e->size, shown->chain, shown->live ? "true" : "false",
           shown->committed ? "true" : "false");
    if (e->kind == ENTRY_MESSAGES)
        dump_messages(e, json);
    puts(json ? "}" : "");
    return ferror(stdout) == 0;
}

static int range(struct ctl *ctl, struct ring_view *view)
{
    view->from = 0;
    view->to = UINT64_MAX;
    if (ctl->value[0] != NULL && !address_number(ctl->value[0], 0, UINT64_MAX / 2, &view->from))
        return ctl_fail(CTL_USAGE, "ring dump: --from %s: give a log index", ctl->value[0]);
    if (ctl->value[1] != NULL && !address_number(ctl->value[1], 0, UINT64_MAX / 2, &view->to))
        return ctl_fail(CTL_USAGE, "ring dump: --to %s: give a log index", ctl->value[1]);
    view->pages = ctl->value[2] != NULL;
    view->superseded = ctl->value[3] != NULL;
    return CTL_DONE;
}

int ctl_ring_dump(struct ctl *ctl)
{
    struct ring_view view = {.ctl = ctl};
    struct ring_visitor visitor = {.context = &view, .page = dump_page, .entry = dump_entry};
    struct ring_totals totals;
    struct ring_recovery *found = NULL;
    char why[DISK_PROBLEM_SIZE] = "";
    struct disk *disk;
    int code = range(ctl, &view);
    if (code == CTL_DONE)
        code = open_ring(ctl->word[0], &disk);
    if (code != CTL_DONE)
        return code;
    found = calloc(1, sizeof(*found));
    char paxos[CTL_PAXOS_TEXT_MAX];
    int rc = found == NULL ? -ENOMEM : ring_inspect(disk, &visitor, &totals, found, why);
    ctl_paxos_text(disk, paxos);
    disk_close(disk);
    if (rc == 0) {
        if (found->damage != RING_INTACT)
            code = ctl_fail(CTL_FAILED, "ring dump: %s is damaged (%s): %s", ctl->word[0],
                            ring_damage_name(found->damage), found->why);
        ring_recovery_free(found);
    } else {
        code = ctl_fail(CTL_FAILED, "ring dump: %s: %s%s%s", ctl->word[0],
                        why[0] != '\0' ? why : strerror(-rc),
                        rc == -ENOENT ? "; its paxos record: " : "", rc == -ENOENT ? paxos : "");
    }
    free(found);
    if (fflush(stdout) != 0 && code == CTL_DONE)
        code = ctl_fail(CTL_FAILED, "ring dump: stdout cannot be written");
    return code;
}
