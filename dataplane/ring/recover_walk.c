/* The kept pages in order: do they follow from each other, what is the log, which pages hold it.
 * Also says right what is known when pages are missing (H12), for the offline tools. */
#include "consensus/ensure.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for printf alone */

struct live { /* what the public map says, and what it leaves out */
    struct ring_live at;
    bool missing;     /* named by a successor, but bad itself */
    uint32_t present; /* entries that lie there */
};

struct walk {
    struct ring_scan *scan;
    struct ring_recovery *found;
    struct ring_page *reread; /* one page, for chains in the middle of the log */
    struct live *live;
    uint64_t live_count, live_cap;
    struct ring_page previous; /* head of the last intact page */
    struct ring_page stood;    /* ... of the last that says where things stood */
    bool have_previous, have_stood;
    bool have_log;  /* last and chain are known */
    uint64_t last;  /* last live index */
    uint64_t chain; /* at last; 0: unknown */
    uint64_t split; /* the chain at this index is stated by a page that does not follow from those
                       before it; 0: none */
    int error;
};

/* Log chain at index by the live pages; 0 where they don't tell. */
static uint64_t chain_at(struct walk *walk, uint64_t index)
{
    if (index == walk->last)
        return walk->chain;
    uint64_t i = walk->live_count;
    while (i > 0 && walk->live[i - 1].at.first_index > index) /* bound: live pages */
        i--;
    if (i < walk->live_count && walk->live[i].at.first_index == index + 1)
        return walk->live[i].at.chain;
    if (i == 0 || walk->live[i - 1].missing)
        return 0;
    uint64_t page = walk->live[i - 1].at.page;
    uint32_t bad;
    int result = disk_pread(walk->scan->disk, ring_slot_offset(&walk->scan->super, page),
                            walk->reread, RING_PAGE_SIZE);
    if (result < 0 || ring_page_judge(walk->reread, &walk->scan->owner,
                                      page % walk->scan->super.slots, &bad) != RING_PAGE_GOOD)
        return 0;
    return ring_page_chain(walk->reread, index);
}

static bool live_push(struct walk *walk, const struct live *live)
{
    if (walk->live_count == walk->live_cap) {
        uint64_t cap = walk->live_cap > 0 ? walk->live_cap * 2 : 1024;
        struct live *grown = realloc(walk->live, cap * sizeof(*grown));
        if (grown == NULL) { /* unreachable: no memory */
            walk->error = -ENOMEM;
            return false;
        }
        walk->live = grown;
        walk->live_cap = cap;
    }
    walk->live[walk->live_count++] = *live;
    return true;
}

/* --- H12: entries that a missing page may have superseded
 * ----------------------------------------- */

/* A page is missing and nobody names it: whatever stands before it is in doubt, but for what a
 * checkpoint covers. */
static void doubt_all(struct walk *walk)
{
    struct ring_recovery *found = walk->found;
    uint64_t first = walk->live_count > 0 ? walk->live[0].at.first_index : walk->last + 1;
    if (found->have_checkpoint && found->checkpoint[0].index >= first)
        first = found->checkpoint[0].index + 1;
    if (first > walk->last)
        return;
    found->doubtful_first = first;
    found->doubtful_last = walk->last;
}

/* A later page begins at `first` with that chain before it: what it confirms is in doubt no longer,
 * what it supersedes neither. */
static void confirm(struct walk *walk, uint64_t first, uint64_t chain_before)
{
    struct ring_recovery *found = walk->found;
    if (found->doubtful_last == 0 || first > found->doubtful_last + 1)
        return;
    bool same = walk->split != first - 1 && chain_at(walk, first - 1) == chain_before;
    if (first <= found->doubtful_first || same)
        found->doubtful_first = found->doubtful_last = 0;
    else
        found->doubtful_last = first - 1;
}

/* --- holes ---------------------------------------------------------------------------------------
 */

static void note_hole(struct walk *walk, uint64_t page, const struct ring_identity *identity)
{
    struct ring_recovery *found = walk->found;
    if (found->hole_count == RING_HOLES_MAX) {
        ring_damage_note(found, RING_ROT_PAGE, "more than %d pages are damaged", RING_HOLES_MAX);
        return;
    }
    found->hole[found->hole_count++] = (struct ring_hole){.page = page, .identity = *identity};
}

/* A page was restored without what had been superseded, and the page that did so is gone: what it
 * lacks is lost. */
static void find_short_pages(struct walk *walk)
{
    for (uint64_t i = 0; i < walk->live_count; i++) {
        const struct live *live = &walk->live[i];
        uint64_t next =
            i + 1 < walk->live_count ? walk->live[i + 1].at.first_index : walk->last + 1;
        if (live->missing || next - live->at.first_index <= live->present)
            continue;
        const struct ring_identity identity = {.first_index = live->at.first_index,
                                               .entry_term = live->at.term,
                                               .chain_before = live->at.chain};
        ring_bad_page_note(walk->found, RING_ROT_PAGE,
                           "page %llu: restored without entries that are in force",
                           (ull)live->at.page);
        note_hole(walk, live->at.page, &identity);
    }
}

/* --- one page ------------------------------------------------------------------------------------
 */

/* The log now ends before `first`; what was there from `first` on is superseded. */
static void cut(struct walk *walk, uint64_t page, const struct ring_identity *identity)
{
    uint64_t first = identity->first_index;
    if (!walk->have_log) {
        walk->have_log = true;
        walk->last = first - 1;
        walk->chain = identity->chain_before;
        return;
    }
    if (first > walk->last + 1) {
        ring_damage_note(walk->found, RING_ROT_CHAIN,
                         "page %llu begins at index %llu, but the log "
                         "before it ends at %llu",
                         (ull)page, (ull)first, (ull)walk->last);
    } else {
        uint64_t chain = chain_at(walk, first - 1);
        uint64_t stated = identity->chain_before; /* 0: it lay in a hole when this was written */
        if (stated != 0)
            confirm(walk, first, stated);
        if (chain != 0 && stated != 0 && chain != stated) {
            ring_damage_note(walk->found, RING_ROT_CHAIN,
                             "page %llu: its log chain before index %llu "
                             "is %016llx, that of the pages before it %016llx",
                             (ull)page, (ull)first, (ull)identity->chain_before, (ull)chain);
            walk->split = first - 1;
        }
    }
    uint64_t chain = identity->chain_before;
    if (chain == 0 && first <= walk->last + 1)
        chain = chain_at(walk, first - 1);
    while (walk->live_count > 0 && /* bound: live pages */
           walk->live[walk->live_count - 1].at.first_index >= first)
        walk->live_count--;
    walk->last = first - 1;
    walk->chain = chain;
}

static void add_live(struct walk *walk, uint64_t page, const struct ring_identity *identity,
                     bool missing)
{
    cut(walk, page, identity);
    if (identity->count == 0)
        return;
    const struct live *before = walk->live_count > 0 ? &walk->live[walk->live_count - 1] : NULL;
    if (before != NULL && identity->entry_term < before->at.term)
        ring_damage_note(walk->found, RING_ROT_CHAIN,
                         "page %llu: entries of term %llu behind such of "
                         "term %llu",
                         (ull)page, (ull)identity->entry_term, (ull)before->at.term);
    struct live live = {.at = {.page = page,
                               .first_index = identity->first_index,
                               .term = identity->entry_term,
                               .chain = identity->chain_before},
                        .missing = missing,
                        .present = identity->count};
    if (live_push(walk, &live)) /* unreachable: no memory */
        walk->last += identity->count;
    if (missing)
        walk->chain = 0;
}

/* What one head says of a page and what another does, or the page itself. A restored page's head
 * was put together: where nobody knew any more, it holds zeros. */
static bool same_identity(const struct ring_identity *a, const struct ring_identity *b,
                          bool restored)
{
    return memcmp(a, b, sizeof(*a)) == 0 ||
           (restored && (a->first_index == 0 || b->first_index == 0));
}

static bool names_right(const struct ring_page *page, const struct ring_page *previous)
{
    uint64_t back = page->page - previous->page - 1; /* 0: the page right before it */
    bool restored = page->restored != 0 || previous->restored != 0;
    if (back >= RING_PREDECESSORS)
        return true;
    bool right = same_identity(&page->before[back], &previous->self, restored);
    for (uint64_t i = back + 1; i < RING_PREDECESSORS; i++)
        right = right && same_identity(&page->before[i], &previous->before[i - back - 1], restored);
    return right;
}

/* Restored when nobody could say where things stood (restore.c): the head says what the page was,
 * and no more. */
static bool forgot(const struct ring_page *page)
{
    return page->restored != 0 && page->boot == 0;
}

/* What only grows must have grown since `before`. */
static void grow(struct walk *walk, const struct ring_page *page, const struct ring_page *before)
{
    if (page->last_lsn < before->last_lsn || page->durable_lsn < before->durable_lsn ||
        page->durable_page < before->durable_page || page->head < before->head ||
        page->boot < before->boot)
        ring_damage_note(walk->found, RING_ROT_CHAIN,
                         "page %llu: LSN, durable position, head or boot "
                         "went back since page %llu",
                         (ull)page->page, (ull)before->page);
    if (page->boot == before->boot && page->boot_id != before->boot_id)
        ring_damage_note(walk->found, RING_ROT_STATE,
                         "page %llu: boot %llu has another id than in page "
                         "%llu: two processes wrote here",
                         (ull)page->page, (ull)page->boot, (ull)before->page);
    if (page->term < before->term ||
        (page->term == before->term && page->vote != before->vote && before->vote != 0))
        ring_damage_note(walk->found, RING_ROT_STATE,
                         "page %llu: term %llu, vote %u after term %llu, "
                         "vote %u in page %llu",
                         (ull)page->page, (ull)page->term, page->vote, (ull)before->term,
                         before->vote, (ull)before->page);
}

/* What the head repeats of the intact page before it must be so. */
static void follow(struct walk *walk, const struct ring_page *page)
{
    if (walk->have_previous && !names_right(page, &walk->previous))
        ring_damage_note(walk->found, RING_ROT_CHAIN,
                         "page %llu: page %llu is another than the one it "
                         "was written after",
                         (ull)page->page, (ull)walk->previous.page);
    if (walk->have_stood && !forgot(page))
        grow(walk, page, &walk->stood);
}

static void note_seen(struct ring_recovery *found, const struct ring_page *page)
{
    if (page->seen_peer == 0 || page->seen_peer > KEEL_REPLICA_MAX ||
        page->seen_boot <= found->seen_boot[page->seen_peer])
        return;
    found->seen_boot[page->seen_peer] = page->seen_boot;
    found->seen_boot_id[page->seen_peer] = page->seen_boot_id;
}

static void take_state(struct walk *walk, const struct ring_page *page)
{
    struct ring_recovery *found = walk->found;
    found->term = page->term;
    found->vote = page->vote;
    found->last_lsn = page->last_lsn;
    found->config_index = page->config_index;
    if (page->commit > found->commit)
        found->commit = page->commit;
    note_seen(found, page);
    memcpy(&walk->stood, page, sizeof(walk->stood));
    walk->have_stood = true;
}

/* `missing`: the head alone is intact. */
static void take_page(struct walk *walk, const struct ring_page *page, bool missing)
{
    struct ring_recovery *found = walk->found;
    if (page->head > page->page || page->durable_page > page->page ||
        page->durable_lsn > page->last_lsn || page->self.first_index == 0 ||
        page->self.entry_term > page->term || page->vote > KEEL_REPLICA_MAX)
        ring_damage_note(found, RING_ROT_CHAIN, "page %llu: its head contradicts itself",
                         (ull)page->page);
    follow(walk, page);
    if (page->self.count == 0 && walk->have_previous && page->boot == walk->previous.boot &&
        page->last_lsn == walk->previous.last_lsn)
        found->seals++;
    add_live(walk, page->page, &page->self, missing);
    if (page->restored != 0 && walk->live_count > 0 && page->self.count > 0)
        walk->live[walk->live_count - 1].present = ring_page_present(page);
    if (page->self.count > 0 && !missing)
        walk->chain = ring_page_chain(page, walk->last);
    memcpy(&walk->previous, page, sizeof(walk->previous));
    walk->have_previous = true;
    if (!forgot(page))
        take_state(walk, page);
}

/* A page that should be intact and is not: does its own head, or one of its next successors, say
 * what it was? */
static void take_missing(struct walk *walk, uint64_t page, uint64_t tail, enum ring_verdict verdict,
                         uint32_t bad)
{
    struct ring_recovery *found = walk->found;
    bool gap = verdict == RING_PAGE_ZERO || verdict == RING_PAGE_GOOD;
    ring_bad_page_note(
        found, gap ? RING_ROT_GAP : RING_ROT_PAGE,
        "page %llu (slot %llu): %s (bad "
        "sectors, as a mask: %#x), between head and tail",
        (ull)page, (ull)(page % found->super.slots),
        verdict == RING_PAGE_GOOD ? "another page is there" : ring_verdict_name(verdict), bad);
    found->missing_pages++;
    const struct ring_page *head = ring_scan_head(walk->scan, page);
    if (head != NULL) {
        note_hole(walk, page, &head->self);
        take_page(walk, head, true);
        return;
    }
    for (uint64_t next = page + 1; next < tail && next <= page + RING_PREDECESSORS; next++) {
        head = ring_scan_head(walk->scan, next);
        if (head == NULL)
            continue;
        struct ring_identity identity = head->before[next - page - 1];
        if (identity.first_index == 0) /* it was restored itself: a later one may know */
            continue;
        note_hole(walk, page, &identity);
        add_live(walk, page, &identity, true);
        return;
    }
    ring_damage_note(found, RING_ROT_PAGE, "page %llu is named by no page behind it", (ull)page);
    found->unnamed_pages++;
    doubt_all(walk);
}

/* --- the result ----------------------------------------------------------------------------------
 */

/* The log as Raft sees it: pages hold entries of one term, so their heads tell the runs. Where the
 * term before the first entry is not known, that entry itself becomes the one before. */
static void build_log(const struct walk *walk, struct ring_recovery *found)
{
    uint64_t first = found->first_index;
    uint64_t prev_term = 0;
    bool known = first == 1;
    for (uint32_t i = 0; i < 2 && !known; i++)
        if (found->checkpoint[i].magic != 0 && found->checkpoint[i].index == first - 1) {
            prev_term = found->checkpoint[i].term;
            known = true;
        }
    if (!known) { /* a log without entries begins behind a checkpoint: check_checkpoint() */
        prev_term = walk->live[0].at.term;
        first++;
    }
    raft_log_init(&found->log, first, prev_term);
    for (uint64_t i = 0; i < walk->live_count; i++) {
        uint64_t from = walk->live[i].at.first_index;
        uint64_t next =
            i + 1 < walk->live_count ? walk->live[i + 1].at.first_index : found->last_index + 1;
        if (from < first)
            from = first;
        if (next > from)
            raft_log_append(&found->log, walk->live[i].at.term, next - from);
    }
}

static void next_before(const struct walk *walk, struct ring_recovery *found)
{
    if (!walk->have_previous || found->begins_anew)
        return; /* see ring_begin() */
    found->before[0] = walk->previous.self;
    memcpy(&found->before[1], &walk->previous.before[0],
           sizeof(found->before) - sizeof(found->before[0]));
}

static bool reaches(const struct walk *walk, uint64_t index)
{
    return walk->live_count > 0 && walk->live[0].at.first_index <= index && index <= walk->last;
}

/* Term of the entry at an index that the live pages reach. */
static uint64_t term_at(const struct walk *walk, uint64_t index)
{
    uint64_t i = walk->live_count - 1;
    while (walk->live[i].at.first_index > index) /* bound: live pages */
        i--;
    return walk->live[i].at.term;
}

/* A peer's checkpoint is durable, and the page that begins the log behind it is not: the
 * installation is carried out now, as it would have been then (raft_install.c). An entry with its
 * index and term means that the log is the same up to there, and is kept. */
static bool begins_anew(const struct walk *walk, const struct ring_checkpoint *newest)
{
    if (newest->installed == 0)
        return false;
    if (newest->index > walk->last)
        return true;
    return reaches(walk, newest->index) && term_at(walk, newest->index) != newest->term;
}

static void begin_anew(struct walk *walk, struct ring_recovery *found)
{
    const struct ring_checkpoint *newest = &found->checkpoint[0];
    if (newest->lsn > found->last_lsn || found->commit >= newest->index)
        ring_damage_note(found, RING_ROT_TAIL,
                         "a peer's checkpoint of index %llu was stored at LSN %llu; the pages end "
                         "at LSN %llu, with index %llu committed on another way",
                         (ull)newest->index, (ull)newest->lsn, (ull)found->last_lsn,
                         (ull)found->commit);
    if (found->unknown)
        return; /* to be looked at as it is */
    found->begins_anew = true;
    found->hole_count = 0; /* the checkpoint has what they held */
    walk->live_count = 0;
    walk->last = newest->index;
    found->last_index = newest->index;
    found->first_index = newest->index + 1;
    found->last_chain = newest->chain;
    if (newest->term > found->term) { /* committed in a term that was never heard of here */
        found->term = newest->term;
        found->vote = 0;
    }
}

/* This ring's own first state was a seed: empty it never was. One that joins its cluster later is.
 */
static bool was_seeded(const struct ring_recovery *found)
{
    return found->genesis.lineage.seed_index > 0 &&
           found->genesis.founder[found->super.replica].incarnation == found->super.incarnation;
}

/* Terms never fall: of the entry before the log's first a checkpoint alone may tell it. */
static void check_terms(const struct walk *walk, struct ring_recovery *found)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct ring_checkpoint *checkpoint = &found->checkpoint[i];
        uint64_t next = checkpoint->index + 1;
        if (checkpoint->magic != 0 && reaches(walk, next) && term_at(walk, next) < checkpoint->term)
            ring_damage_note(found, RING_ROT_CHECKPOINT,
                             "the checkpoint of index %llu is of term %llu, the entry behind it of "
                             "term %llu",
                             (ull)checkpoint->index, (ull)checkpoint->term,
                             (ull)term_at(walk, next));
    }
}

/* The checkpoint must lie within the log (H14), the log must reach back to it, and both must agree.
 */
static void check_checkpoint(struct walk *walk, struct ring_recovery *found)
{
    const struct ring_checkpoint *newest = &found->checkpoint[0];
    if (!found->have_checkpoint) {
        if (found->first_index > 1)
            ring_damage_note(found, RING_ROT_CHECKPOINT,
                             "no checkpoint is intact, and the log begins "
                             "at index %llu only",
                             (ull)found->first_index);
        else if (was_seeded(found))
            ring_damage_note(found, RING_ROT_CHECKPOINT,
                             "its cluster began with a state of index %llu, and no checkpoint "
                             "is intact",
                             (ull)found->genesis.lineage.seed_index);
        return;
    }
    if (begins_anew(walk, newest)) {
        begin_anew(walk, found);
        return;
    }
    if (newest->lsn > found->last_lsn || newest->index > found->last_index)
        ring_damage_note(found, RING_ROT_TAIL,
                         "the checkpoint covers index %llu, LSN %llu; the log "
                         "ends at index %llu, LSN %llu: its end is lost",
                         (ull)newest->index, (ull)newest->lsn, (ull)found->last_index,
                         (ull)found->last_lsn);
    if (found->first_index > newest->index + 1)
        ring_damage_note(found, RING_ROT_CHECKPOINT,
                         "the newest intact checkpoint ends at index %llu, "
                         "and the log begins at %llu",
                         (ull)newest->index, (ull)found->first_index);
    uint64_t chain = newest->index + 1 >= found->first_index ? chain_at(walk, newest->index) : 0;
    if (chain != 0 && chain != newest->chain)
        ring_damage_note(found, RING_ROT_CHECKPOINT,
                         "the log chain at index %llu is %016llx, that of "
                         "the checkpoint %016llx",
                         (ull)newest->index, (ull)chain, (ull)newest->chain);
    check_terms(walk, found);
}

/* A page is restored only when a later one is durable. */
static void check_last(const struct walk *walk)
{
    if (walk->have_previous && walk->previous.restored != 0)
        ring_damage_note(walk->found, RING_ROT_TAIL,
                         "page %llu was restored when a later page was durable, and none is here",
                         (ull)walk->previous.page);
}

static int finish(struct walk *walk, const struct ring_judgement *judgement)
{
    struct ring_recovery *found = walk->found;
    if (!walk->have_log) { /* an empty ring */
        walk->last = 0;
        walk->chain = ring_chain_genesis(found->genesis.cluster_id);
    }
    found->head_page = judgement->head;
    found->tail_page = judgement->tail;
    found->last_index = walk->last;
    found->last_chain = walk->chain;
    found->first_index = walk->live_count > 0 ? walk->live[0].at.first_index : walk->last + 1;
    find_short_pages(walk);
    check_last(walk);
    check_checkpoint(walk, found);
    if (found->have_checkpoint && found->checkpoint[0].index > found->commit)
        found->commit = found->checkpoint[0].index;
    next_before(walk, found);
    found->map_count = walk->live_count;
    if (walk->live_count == 0)
        return 0;
    found->map = malloc(walk->live_count * sizeof(found->map[0]));
    if (found->map == NULL) /* unreachable: no memory */
        return -ENOMEM;
    for (uint64_t i = 0; i < walk->live_count; i++)
        found->map[i] = walk->live[i].at;
    return 0;
}

int ring_walk(struct ring_scan *scan, const struct ring_judgement *judgement,
              struct ring_recovery *found)
{
    struct walk walk = {.scan = scan, .found = found};
    walk.reread = aligned_alloc(DISK_BLOCK, RING_PAGE_SIZE);
    if (walk.reread == NULL) /* unreachable: no memory */
        return -ENOMEM;
    uint64_t page = judgement->head;
    for (; page < judgement->tail && walk.error == 0; page++) { /* bound: slots */
        const struct ring_page *bytes;
        enum ring_verdict verdict;
        uint32_t bad;
        if (ring_scan_page(scan, page, &bytes, &verdict, &bad))
            take_page(&walk, bytes, false);
        else if (bytes == NULL)
            walk.error = scan->error;
        else
            take_missing(&walk, page, judgement->tail, verdict, bad);
    }
    int result = walk.error != 0 ? walk.error : finish(&walk, judgement);
    found->repairable = found->damage != RING_INTACT && !found->unknown;
    if (result == 0 && !found->unknown)
        build_log(&walk, found);
    free(walk.live);
    free(walk.reread);
    return result;
}
