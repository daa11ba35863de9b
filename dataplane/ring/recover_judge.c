/* Tear or rot: which pages stay (design section 6).
 *
 * A bad page may go as a *tear* only if no intact head and no checkpoint says that it was durable,
 * and each of its bad sectors reads as zeros; all else is *rot*. Because pages become durable as a
 * prefix, it is enough to look at the first bad page that nobody bears witness for, and at what can
 * have been in flight with it.
 */
#include "consensus/ensure.h"
#include "dataplane/ring/recover_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for printf alone */

static void note(struct ring_recovery *found, enum ring_damage damage, const char *why,
                 va_list arguments)
{
    if (found->damage != RING_INTACT)
        return;
    found->damage = damage;
    vsnprintf(found->why, sizeof(found->why), why, arguments);
}

void ring_damage_note(struct ring_recovery *found, enum ring_damage damage, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    note(found, damage, why, arguments);
    va_end(arguments);
    found->unknown = true;
}

void ring_bad_page_note(struct ring_recovery *found, enum ring_damage damage, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    note(found, damage, why, arguments);
    va_end(arguments);
}

const struct ring_page *ring_scan_head(struct ring_scan *scan, uint64_t page)
{
    const struct ring_page *found;
    enum ring_verdict verdict;
    uint32_t bad;
    if (ring_scan_page(scan, page, &found, &verdict, &bad))
        return found;
    bool head = found != NULL && verdict == RING_PAGE_PAYLOAD && found->page == page;
    return head ? found : NULL;
}

/* --- evidence ------------------------------------------------------------------------------------
 */

static void witness(struct ring_evidence *evidence, uint64_t page, uint64_t durable_page,
                    uint64_t durable_lsn)
{
    if (durable_page > evidence->durable_page) {
        evidence->durable_page = durable_page;
        evidence->witness = page;
    }
    if (durable_lsn > evidence->durable_lsn)
        evidence->durable_lsn = durable_lsn;
}

static void stays(struct ring_evidence *evidence, uint64_t durable_page, uint64_t durable_lsn)
{
    if (durable_page > evidence->good_page)
        evidence->good_page = durable_page;
    if (durable_lsn > evidence->good_lsn)
        evidence->good_lsn = durable_lsn;
}

/* Whatever an intact head states was true when it was written, also if the page is torn or of an
 * old lap. */
static void take_head(struct ring_evidence *evidence, const struct ring_page *page, bool good)
{
    witness(evidence, page->page, page->durable_page, page->durable_lsn);
    if (page->boot > evidence->boot)
        evidence->boot = page->boot;
    if (!good) {
        if (page->page >= evidence->torn) {
            evidence->torn = page->page + 1;
            evidence->torn_page = page->durable_page;
            evidence->torn_lsn = page->durable_lsn;
        }
        return;
    }
    stays(evidence, page->durable_page, page->durable_lsn);
    if (page->head > evidence->head)
        evidence->head = page->head;
    if (evidence->good_pages == 0 || page->page > evidence->newest) {
        evidence->newest = page->page;
        evidence->flight_pages = page->flight_pages;
    }
    evidence->good_pages++;
}

/* Wherever a page of another version lies, this ring was last written by a program that knows more:
 * what it made durable cannot be judged here, and must not be "repaired". */
static int refuse_page(uint64_t slot, const struct ring_page *page, char *problem)
{
    char what[40];
    snprintf(what, sizeof(what), "the page in slot %llu", (ull)slot);
    return ring_refuse_version(what, page->version, RING_VERSION, problem);
}

static int look_at_slot(const struct ring_scan *scan, const struct ring_page *page, uint64_t slot,
                        struct ring_evidence *evidence, char *problem)
{
    const struct ring_owner *owner = &scan->owner;
    uint32_t bad;
    enum ring_verdict verdict = ring_page_judge(page, owner, slot, &bad);
    if (verdict != RING_PAGE_ZERO)
        evidence->used[slot / 8] |= (uint8_t)(1u << slot % 8);
    switch (verdict) { /* unreachable: another verdict */
    case RING_PAGE_GOOD:
        take_head(evidence, page, true);
        break;
    case RING_PAGE_PAYLOAD:
        take_head(evidence, page, false);
        break;
    case RING_PAGE_OTHER: /* the drive wrote it somewhere else: what belonged here or there is lost
                           */
        if (page->cluster_id == owner->cluster_id && page->incarnation == owner->incarnation &&
            page->replica == owner->replica) {
            evidence->misplaced = slot + 1;
            if (page->page > evidence->misplaced_page)
                evidence->misplaced_page = page->page;
        }
        break;
    case RING_PAGE_VERSION:
        return refuse_page(slot, page, problem);
    case RING_PAGE_HEAD:
    case RING_PAGE_ZERO:
        break;
    }
    return 0;
}

int ring_evidence_gather(struct ring_scan *scan, struct ring_recovery *found,
                         struct ring_evidence *evidence, char *problem)
{
    *evidence = (struct ring_evidence){.witness = UINT64_MAX, .flight_pages = 1};
    evidence->used = calloc(1, scan->super.slots / 8 + 1);
    if (evidence->used == NULL) /* unreachable: no memory */
        return -ENOMEM;
    for (uint32_t i = 0; i < 2; i++) {
        const struct ring_checkpoint *checkpoint = &found->checkpoint[i];
        if (checkpoint->magic == 0)
            continue;
        bool page = checkpoint->index > 0 && checkpoint->installed != RING_INSTALLED_SEED;
        witness(evidence, UINT64_MAX, page ? checkpoint->page + 1 : 0, checkpoint->lsn);
        stays(evidence, page ? checkpoint->page + 1 : 0, checkpoint->lsn);
    }
    for (uint64_t slot = 0; slot < scan->super.slots; slot++) {
        const struct ring_page *page = ring_scan_slot(scan, slot);
        if (page == NULL)
            return scan->error;
        int result = look_at_slot(scan, page, slot, evidence, problem);
        if (result < 0)
            return result;
    }
    return 0;
}

/* --- the end -------------------------------------------------------------------------------------
 */

struct end {
    const struct ring_evidence *evidence;
    uint64_t tail;       /* first page that does not stay, if the rest is a tear */
    uint64_t last_lsn;   /* of the last page that stays, or has an intact head, before this one */
    uint64_t newest_end; /* behind the newest intact page, whether it stays or not; 0: none */
    uint64_t flight_end; /* behind the last page that can have been in flight */
};

static enum ring_damage damage_of(const struct end *end, uint64_t page, enum ring_verdict verdict)
{
    if (page >= end->newest_end)
        return RING_ROT_TAIL;
    return verdict == RING_PAGE_ZERO || verdict == RING_PAGE_GOOD ? RING_ROT_GAP : RING_ROT_PAGE;
}

static void note_witnessed(struct ring_recovery *found, const struct end *end, uint64_t page,
                           enum ring_verdict verdict)
{
    const struct ring_evidence *evidence = end->evidence;
    char who[40] = "a checkpoint";
    if (evidence->witness != UINT64_MAX)
        snprintf(who, sizeof(who), "page %llu", (ull)evidence->witness);
    ring_bad_page_note(
        found, damage_of(end, page, verdict),
        "page %llu (slot %llu): %s, but pages below %llu were durable, says %s, and LSNs "
        "to %llu; this one begins at LSN %llu or below",
        (ull)page, (ull)(page % found->super.slots), ring_verdict_name(verdict),
        (ull)evidence->durable_page, who, (ull)evidence->durable_lsn, (ull)end->last_lsn + 1);
}

static void note_not_zero(struct ring_recovery *found, const struct end *end, uint64_t page,
                          enum ring_verdict verdict, uint32_t bad)
{
    ring_bad_page_note(
        found, damage_of(end, page, verdict),
        "page %llu (slot %llu): %s (bad sectors, as a mask: %#x); nobody says that it was "
        "durable, but a torn write leaves zeros, and what is there is not",
        (ull)page, (ull)(page % found->super.slots), ring_verdict_name(verdict), bad);
}

enum end_page { END_EMPTY, END_TORN, END_ROT };

/* One page behind the last one that stays. Notes rot. */
static enum end_page judge_end_page(struct ring_recovery *found, const struct end *end,
                                    uint64_t page, const struct ring_page *bytes,
                                    enum ring_verdict verdict, uint32_t bad)
{
    const struct ring_evidence *evidence = end->evidence;
    uint64_t lsn = end->last_lsn + 1; /* of a page whose head tells nothing: the next */
    bool zeros = false;
    switch (verdict) { /* unreachable: another verdict */
    case RING_PAGE_ZERO:
        zeros = true;
        break;
    case RING_PAGE_GOOD:
        zeros = bytes->page == page;
        lsn = UINT64_MAX; /* intact: only its number can speak against its going */
        break;
    case RING_PAGE_PAYLOAD:
        zeros = bytes->page == page && bad != 0 && ring_sectors_zero(bytes, bad);
        lsn = bytes->last_lsn;
        break;
    case RING_PAGE_HEAD:
        zeros = ring_sectors_zero(bytes, 1);
        break;
    case RING_PAGE_OTHER:
    case RING_PAGE_VERSION: /* none is here: refused before */
        break;
    }
    if (page < evidence->durable_page || lsn <= evidence->durable_lsn) {
        note_witnessed(found, end, page, verdict);
        return END_ROT;
    }
    if (page >= end->newest_end && ring_page_erased(bytes))
        return END_EMPTY; /* maybe with stray bits: zeroed again, not judged */
    if (page >= end->flight_end) {
        ring_damage_note(
            found, RING_ROT_TAIL,
            "no page is intact, and slot %llu is not empty: %s; the first page of a ring "
            "goes alone, so this one was written after others were durable",
            (ull)(page % found->super.slots), ring_verdict_name(verdict));
        return END_ROT;
    }
    if (!zeros) {
        note_not_zero(found, end, page, verdict, bad);
        return END_ROT;
    }
    return END_TORN;
}

/* What comes next took later LSNs than a page whose head is intact, damaged or not. */
static void pass(struct end *end, uint64_t page, const struct ring_page *bytes,
                 enum ring_verdict verdict)
{
    bool head = verdict == RING_PAGE_GOOD || verdict == RING_PAGE_PAYLOAD;
    if (head && bytes->page == page && bytes->last_lsn > end->last_lsn)
        end->last_lsn = bytes->last_lsn;
}

/* Pages that stay if the rest is a tear: all that is witnessed, and what follows intact. */
static uint64_t intact_to(struct ring_scan *scan, const struct ring_evidence *evidence)
{
    uint64_t page = evidence->durable_page;
    const struct ring_page *bytes;
    enum ring_verdict verdict;
    uint32_t bad;
    while (evidence->good_pages > 0 && page <= evidence->newest && /* bound: pages in flight */
           ring_scan_page(scan, page, &bytes, &verdict, &bad))
        page++;
    return page;
}

/* A torn page may be the only one that says of a lost one that it was durable. Made zeros, it would
 * leave the next start to take that one for torn, too, and all behind it: so it stays, as damaged.
 * Where such pages end; 0: there is none. */
static uint64_t witness_end(struct ring_scan *scan, const struct ring_evidence *evidence, bool rot)
{
    if (evidence->torn_page <= evidence->good_page && evidence->torn_lsn <= evidence->good_lsn)
        return 0;
    uint64_t slots = scan->super.slots, page = evidence->good_page;
    if (page + slots < evidence->durable_page)
        page = evidence->durable_page - slots;
    const struct ring_page *bytes;
    enum ring_verdict verdict;
    uint32_t bad;
    while (page < evidence->durable_page && !rot) /* bound: slots */
        rot = !ring_scan_page(scan, page++, &bytes, &verdict, &bad);
    return rot ? evidence->torn : 0;
}

/* Pages up to there are looked at, and the head is the highest that one of them states: what is
 * written behind them must not state a lower one. */
static void keep_end(struct ring_scan *scan, const struct ring_evidence *evidence, uint64_t to,
                     struct ring_judgement *judgement)
{
    uint64_t slots = scan->super.slots, page = judgement->tail;
    if (page + slots < to)
        page = to - slots;
    if (evidence->good_pages > 0 && judgement->tail <= evidence->newest)
        judgement->head = evidence->head;
    for (; page < to; page++) { /* bound: slots */
        const struct ring_page *bytes = ring_scan_head(scan, page);
        if (bytes != NULL && bytes->head > judgement->head)
            judgement->head = bytes->head;
    }
    judgement->tail = to;
}

/* Numbers that contradict each other must not lead the walk astray. */
static void bound_judgement(struct ring_recovery *found, struct ring_judgement *judgement)
{
    uint64_t slots = found->super.slots;
    if (judgement->head <= judgement->tail && judgement->tail - judgement->head < slots)
        return; /* the next page has a place */
    ring_damage_note(found, RING_ROT_CHAIN,
                     "head %llu and end %llu contradict each other in a ring of "
                     "%llu slots",
                     (ull)judgement->head, (ull)judgement->tail, (ull)slots);
    judgement->head = judgement->tail > slots ? judgement->tail - slots : 0;
}

/* A head that was still in flight stands in no page that is certain to stay: should what is bad be
 * readable at the next start, all of the end may go as torn, and an older page's head counts again.
 * So zeros wait for the boot's page, unless that would find no place: only what is below the head
 * of the newest page that others call durable is made zeros. */
static uint64_t zero_below(struct ring_scan *scan, const struct ring_evidence *evidence,
                           const struct ring_judgement *judgement)
{
    enum { BOOT_SLOTS = 8 };
    uint64_t slots = scan->super.slots, head = judgement->head;
    uint64_t first = evidence->durable_page > slots ? evidence->durable_page - slots : 0;
    for (uint64_t page = evidence->durable_page; page-- > first;) { /* bound: slots */
        const struct ring_page *bytes = ring_scan_head(scan, page);
        if (bytes == NULL)
            continue;
        head = bytes->head < head ? bytes->head : head;
        break;
    }
    bool room = judgement->tail + evidence->flight_pages + BOOT_SLOTS < head + slots;
    return room ? head : judgement->head;
}

void ring_judge_end(struct ring_scan *scan, const struct ring_evidence *evidence,
                    struct ring_recovery *found, struct ring_judgement *judgement)
{
    struct end end = {.evidence = evidence, .tail = intact_to(scan, evidence)};
    end.newest_end = evidence->good_pages > 0 ? evidence->newest + 1 : 0;
    *judgement = (struct ring_judgement){.tail = end.tail, .head = evidence->head};
    const struct ring_page *bytes;
    enum ring_verdict verdict;
    uint32_t bad;
    /* The head that counts is that of the last page that stays. A torn page's may be too high: what
     * lies below would go with it. */
    if (end.tail > 0 && ring_scan_page(scan, end.tail - 1, &bytes, &verdict, &bad)) {
        judgement->head = bytes->head;
        end.last_lsn = bytes->last_lsn;
    } else if (end.tail > 0) {
        end.tail--; /* witnessed, and bad: noted below */
    } else if (evidence->head > 0) {
        ring_damage_note(found, RING_ROT_STATE,
                         "a page states head %llu, but no page before it is "
                         "intact: term and vote may be lost",
                         (ull)evidence->head);
    }
    uint64_t to = end.newest_end > end.tail ? end.newest_end : end.tail;
    to += evidence->flight_pages;
    end.flight_end = to;
    if (evidence->good_pages ==
        0) /* nothing tells where the ring began: every slot must be empty */
        to = end.tail + scan->super.slots;
    if (to > judgement->head + scan->super.slots)
        to = judgement->head + scan->super.slots;
    if (to - end.tail > scan->super.slots) /* numbers that contradict each other: noted below */
        to = end.tail + scan->super.slots;
    uint64_t rot_end = 0;
    for (uint64_t page = end.tail; page < to; page++) { /* bound: slots */
        ring_scan_page(scan, page, &bytes, &verdict, &bad);
        if (bytes == NULL)
            return;
        enum end_page what = judge_end_page(found, &end, page, bytes, verdict, bad);
        pass(&end, page, bytes, verdict);
        judgement->torn_pages += what == END_TORN;
        if (what == END_ROT)
            rot_end = page + 1;
    }
    if (evidence->misplaced > 0)
        ring_bad_page_note(found, RING_ROT_PAGE,
                           "slot %llu holds an intact page of this ring that "
                           "belongs elsewhere: the drive misplaced a write",
                           (ull)(evidence->misplaced - 1));
    uint64_t keep = witness_end(scan, evidence, rot_end > 0);
    bool damaged = found->damage != RING_INTACT || keep > 0;
    if (damaged && keep < end.newest_end)
        keep = end.newest_end;
    if (damaged && keep < rot_end)
        keep = rot_end;
    if (keep > judgement->tail) /* to be looked at, not to be kept */
        keep_end(scan, evidence, keep, judgement);
    if (evidence->misplaced > 0 && evidence->misplaced_page >= judgement->tail)
        ring_damage_note(found, RING_ROT_TAIL, "page %llu lies in slot %llu alone",
                         (ull)evidence->misplaced_page, (ull)(evidence->misplaced - 1));
    bound_judgement(found, judgement);
    judgement->zero_below = damaged || found->damage != RING_INTACT
                                ? zero_below(scan, evidence, judgement)
                                : judgement->head;
}
