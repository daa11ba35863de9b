#include "dataplane/ring/inspect.h"

#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct inspection {
    struct ring_scan scan;
    const struct ring_visitor *visitor;
    const struct ring_recovery *found;
    struct ring_totals *totals;
    uint64_t map_next; /* first map entry whose page is not passed yet */
    bool stopped;
};

const char *ring_place_name(enum ring_place place)
{
    switch (place) {
    case RING_PLACE_KEPT:
        return "kept";
    case RING_PLACE_MISSING:
        return "missing";
    case RING_PLACE_TORN:
        return "torn";
    case RING_PLACE_STRAY:
        return "stray bits";
    }
    return "unknown";
}

static void find_live(struct inspection *inspection, struct ring_inspect_page *shown)
{
    const struct ring_recovery *found = inspection->found;
    shown->live_first = 1;
    shown->live_last = 0;
    while (inspection->map_next < found->map_count && /* bound: map, over the whole walk */
           found->map[inspection->map_next].page < shown->page)
        inspection->map_next++;
    uint64_t at = inspection->map_next;
    if (at >= found->map_count || found->map[at].page != shown->page)
        return;
    uint64_t end = shown->identity.first_index + shown->identity.count;
    uint64_t next =
        at + 1 < found->map_count ? found->map[at + 1].first_index : found->last_index + 1;
    shown->live_first = found->map[at].first_index;
    shown->live_last =
        (next < end ? next : end) - 1; /* behind a hole the next page may start later */
}

static void find_name(struct inspection *inspection, struct ring_inspect_page *shown)
{
    uint64_t tail = inspection->found->tail_page;
    for (uint64_t next = shown->page + 1; next < tail && next <= shown->page + RING_PREDECESSORS;
         next++) {
        const struct ring_page *bytes;
        enum ring_verdict verdict;
        uint32_t bad;
        if (!ring_scan_page(&inspection->scan, next, &bytes, &verdict, &bad) ||
            bytes->before[next - shown->page - 1].first_index == 0)
            continue;
        shown->identity = bytes->before[next - shown->page - 1];
        shown->named = true;
        return;
    }
}

static void show_entries(struct inspection *inspection, const struct ring_inspect_page *shown,
                         const struct ring_page *page)
{
    const struct ring_recovery *found = inspection->found;
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint64_t chain = page->self.chain_before;
    for (uint32_t i = 0; i < ring_page_present(page) && !inspection->stopped; i++) {
        const struct entry *entry = (const struct entry *)at;
        chain = ring_chain_next(chain, entry);
        struct ring_inspect_entry seen = {.entry = entry,
                                          .page = page->page,
                                          .chain = chain,
                                          .live = entry->index <= shown->live_last,
                                          .committed = entry->index <= found->commit};
        seen.doubtful = seen.live && found->doubtful_last != 0 &&
                        entry->index >= found->doubtful_first &&
                        entry->index <= found->doubtful_last;
        seen.committed = seen.committed && seen.live;
        inspection->totals->entries++;
        inspection->totals->entries_live += seen.live;
        inspection->totals->entries_doubtful += seen.doubtful;
        inspection->totals->entry_bytes += entry->size;
        if (inspection->visitor->entry != NULL &&
            !inspection->visitor->entry(inspection->visitor->context, &seen))
            inspection->stopped = true;
        at += entry->size;
    }
}

static void show_page(struct inspection *inspection, uint64_t number)
{
    const struct ring_recovery *found = inspection->found;
    struct ring_totals *totals = inspection->totals;
    struct ring_inspect_page shown = {.page = number, .slot = number % found->super.slots};
    const struct ring_page *page;
    bool good =
        ring_scan_page(&inspection->scan, number, &page, &shown.verdict, &shown.bad_sectors);
    if (page == NULL)
        return;
    if (number < found->tail_page) {
        shown.place = good ? RING_PLACE_KEPT : RING_PLACE_MISSING;
    } else {
        if (shown.verdict == RING_PAGE_ZERO)
            return;
        shown.place = ring_page_erased(page) ? RING_PLACE_STRAY : RING_PLACE_TORN;
    }
    if (good || (shown.verdict == RING_PAGE_PAYLOAD && page->page == number)) {
        shown.head = page;
        shown.identity = page->self;
    }
    if (shown.place == RING_PLACE_MISSING) {
        find_name(inspection, &shown);
        /* the successors lie in the same piece of the ring or not: read it once more */
        page = ring_scan_slot(&inspection->scan, shown.slot);
        if (page == NULL)
            return;
        shown.head = shown.head != NULL ? page : NULL;
    }
    find_live(inspection, &shown);
    totals->pages_kept += shown.place == RING_PLACE_KEPT;
    totals->pages_missing += shown.place == RING_PLACE_MISSING;
    totals->pages_torn += shown.place == RING_PLACE_TORN;
    totals->pages_stray += shown.place == RING_PLACE_STRAY;
    totals->pages_empty += shown.place == RING_PLACE_KEPT && page->self.count == 0;
    if (inspection->visitor->page != NULL &&
        !inspection->visitor->page(inspection->visitor->context, &shown))
        inspection->stopped = true;
    if (shown.place == RING_PLACE_KEPT && !inspection->stopped)
        show_entries(inspection, &shown, page);
}

int ring_inspect(struct disk *disk, const struct ring_visitor *visitor, struct ring_totals *totals,
                 struct ring_recovery *found, char *problem)
{
    memset(totals, 0, sizeof(*totals));
    int result = ring_recover(disk, false, found, problem);
    if (result < 0)
        return result;
    struct inspection inspection = {.visitor = visitor, .found = found, .totals = totals};
    result = ring_scan_open(&inspection.scan, disk, &found->super, found->genesis.cluster_id);
    uint64_t to = found->head_page + found->super.slots;
    for (uint64_t page = found->head_page; result == 0 && page < to && !inspection.stopped;
         page++) { /* bound: slots */
        show_page(&inspection, page);
        result = inspection.scan.error;
    }
    totals->laps = found->tail_page / found->super.slots;
    ring_scan_close(&inspection.scan);
    if (result < 0) {
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: reading: %s", strerror(-result));
        ring_recovery_free(found);
    }
    return result;
}
