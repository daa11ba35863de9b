/* What each drive holds, followed from the writes themselves and judged without the product's
 * recovery.
 *
 * A page counts once it lies whole on the media and every page before it does (H11). The view says
 * which entries, term and vote such a prefix makes durable; recovery must find exactly that, a vote
 * or an acknowledgement may say no more, and no durable page ever takes back a vote or a committed
 * entry.
 */
#include "tests/sim/check.h"
#include "tests/sim/reached.h"

#include "dataplane/ring/recover.h"

#include <stdlib.h>

static uint64_t slots_base(const struct node *node)
{
    return ring_slot_offset(&node->super, 0);
}

static void take_vote(struct world *world, struct node *node, const struct ring_page *page)
{
    struct drive_view *view = &node->view;
    if (page->term < view->term)
        world_fail(world, "node %u: page %lu takes the term back from %lu to %lu", node->id,
                   (unsigned long)page->page, (unsigned long)view->term, (unsigned long)page->term);
    if (page->term == view->term && view->vote != 0 && page->vote != view->vote)
        world_fail(world, "node %u votes twice in term %lu: for %u and for %u", node->id,
                   (unsigned long)page->term, view->vote, page->vote);
    view->term = page->term;
    view->vote = page->vote;
}

/* "A page that begins at or below the last index" supersedes also where it holds no entry: a
 * replica that gives up what it lost may have nothing to put in its place. */
static void take_nothing(struct world *world, struct node *node, const struct ring_page *page)
{
    struct drive_view *view = &node->view;
    const struct checker *c = world->checker;
    uint64_t first = page->self.first_index;
    if (first == 0 || first > view->last)
        return;
    for (uint64_t index = first; index <= view->last && index <= c->committed; index++)
        if (view->chain[index] != 0 && view->chain[index] == c->chain[index])
            world_fail(world, "node %u: page %lu supersedes the committed entry %lu by nothing",
                       node->id, (unsigned long)page->page, (unsigned long)index);
    view->last = first - 1;
}

static void take_entries(struct world *world, struct node *node, const struct ring_page *page)
{
    struct drive_view *view = &node->view;
    const struct checker *c = world->checker;
    uint64_t first = page->self.first_index;
    if (page->self.count == 0) {
        take_nothing(world, node, page);
        return;
    }
    uint64_t before = first == 1                ? ring_chain_genesis(world->genesis.cluster_id)
                      : first <= view->last + 1 ? view->chain[first - 1]
                                                : 0;
    uint64_t stated = page->self.chain_before; /* 0, or not known here: it lay in a hole */
    bool hole = node->wounds.ever && first <= view->last + 1 && (stated == 0 || before == 0);
    if (first == 0 || (stated != before && !hole)) {
        world_fail(world, "node %u: page %lu does not follow from index %lu", node->id,
                   (unsigned long)page->page, (unsigned long)view->last);
        return;
    }
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint64_t chain = before != 0 ? before : stated, last = first + page->self.count - 1;
    view->chain = check_grown(view->chain, &view->chain_cap, last, sizeof(*view->chain));
    for (uint64_t index = first; index <= last; index++) {
        const struct entry *entry = (const struct entry *)at;
        chain = chain == 0 ? 0 : ring_chain_next(chain, entry);
        if (chain != 0 && index <= c->committed && index <= view->last &&
            view->chain[index] == c->chain[index] && chain != c->chain[index])
            world_fail(world, "node %u: page %lu supersedes the committed entry %lu", node->id,
                       (unsigned long)page->page, (unsigned long)index);
        view->chain[index] = chain;
        at += entry->size;
    }
    view->last = last;
}

/* A peer's checkpoint stands in the place of the log that the drive held, which ends before it or
 * took another way. */
static bool replaced(const struct drive_view *view)
{
    return view->installed > view->last || (view->chain[view->installed] != 0 && /* 0: a hole */
                                            view->chain[view->installed] != view->installed_chain);
}

static bool was_installed(const struct drive_view *view, uint64_t index)
{
    for (uint32_t i = 0; i < INSTALLED_KEPT; i++)
        if (view->installed_at[i] == index)
            return index != 0;
    return false;
}

/* The first page of the log behind such a checkpoint: from here on the drive tells of nothing else.
 * A newer one may have been stored while this page was on its way.
 */
static void begin_stretch(struct world *world, struct node *node, const struct ring_page *page)
{
    struct drive_view *view = &node->view;
    const uint64_t *chain = world->checker->chain;
    uint64_t index = page->self.first_index - 1;
    if (page->head != page->page || !was_installed(view, index) ||
        page->self.chain_before != chain[index] ||
        (index <= view->last && view->chain[index] == chain[index]))
        return;
    view->chain = check_grown(view->chain, &view->chain_cap, index, sizeof(*view->chain));
    memcpy(view->chain, chain, (index + 1) * sizeof(*view->chain));
    view->last = index;
}

/* H14: whatever becomes of the newer checkpoint, the log goes on behind the older one. H10: no page
 * gives up others that are not durable yet. */
static void check_head(struct world *world, const struct node *node, const struct ring_page *page)
{
    const struct drive_view *view = &node->view;
    if (page->head > view->next_page)
        world_fail(world, "node %u: page %lu states head %lu, durable are those below %lu",
                   node->id, (unsigned long)page->page, (unsigned long)page->head,
                   (unsigned long)view->next_page);
    bool reaches = view->covered[1] == 0 || node->wounds.ever;
    for (uint64_t at = page->head; at <= page->page && !reaches; at++) { /* bound: slots */
        const struct ring_page *kept =
            (const struct ring_page *)(node->media.bytes + ring_slot_offset(&node->super, at));
        reaches = kept->page != at || /* still in flight */
                  (kept->self.count > 0 && kept->self.first_index <= view->covered[1] + 1);
    }
    if (!reaches)
        world_fail(world, "node %u: page %lu states head %lu, its older checkpoint ends at %lu",
                   node->id, (unsigned long)page->page, (unsigned long)page->head,
                   (unsigned long)view->covered[1]);
}

/* A page has come to lie whole on the media. */
static void page_whole(struct world *world, struct node *node, const struct ring_page *page)
{
    struct drive_view *view = &node->view;
    if (page->page < view->next_page || page->page >= view->next_page + 64) {
        world_fail(world, "node %u writes page %lu while pages below %lu are durable", node->id,
                   (unsigned long)page->page, (unsigned long)view->next_page);
        return;
    }
    check_head(world, node, page);
    view->ahead |= 1ull << (page->page - view->next_page);
    while (view->ahead & 1) {
        const struct ring_page *next =
            (const struct ring_page *)(node->media.bytes +
                                       ring_slot_offset(&node->super, view->next_page));
        take_vote(world, node, next);
        begin_stretch(world, node, next);
        take_entries(world, node, next);
        if (node->wounds.hole >= next->self.first_index)
            node->wounds.hole = 0; /* superseded, and all behind it */
        view->ahead >>= 1;
        view->next_page++;
    }
}

void check_drive_write(struct world *world, struct node *node, uint64_t offset, uint32_t size)
{
    if (world->checker == NULL || offset < slots_base(node))
        return;
    for (uint32_t at = 0; at < size; at += RING_PAGE_SIZE)
        page_whole(world, node, (const struct ring_page *)(node->media.bytes + offset + at));
}

/* What came from a peer is the one order's state at that index, and states no more of this drive
 * than is true. */
static void take_peers(struct world *world, struct node *node, const struct ring_checkpoint *head)
{
    const struct checker *c = world->checker;
    struct drive_view *view = &node->view;
    if (head->index > c->committed || head->chain != c->chain[head->index] ||
        head->digest != c->digest[head->index] || head->page >= view->next_page) {
        world_fail(world, "node %u stores a checkpoint of index %lu that is none of this order",
                   node->id, (unsigned long)head->index);
        return;
    }
    view->installed = head->index;
    view->installed_at[view->installs++ % INSTALLED_KEPT] = head->index;
    view->installed_chain = head->chain;
    view->installed_term = head->term;
    view->covered[0] = view->covered[1] = 0;
    view->newest_installed = true;
    if (node->wounds.hole <= head->index)
        node->wounds.hole = 0; /* it was the lowest: the next one is found again at a start */
    REACHED(checkpoint, world, node, head->index, head->term);
}

/* H14: a checkpoint speaks of what this very drive holds. */
void check_drive_block(struct world *world, struct node *node, const void *bytes)
{
    const struct ring_checkpoint *head = bytes;
    struct drive_view *view = &node->view;
    if (world->checker == NULL || head->magic != RING_CHECKPOINT_MAGIC)
        return;
    if (head->installed != 0) {
        take_peers(world, node, head);
        return;
    }
    view->newest_installed = false;
    world->checkpoints++;
    if (head->sequence > view->sequence) {
        view->covered[1] = view->covered[0];
        view->sequence = head->sequence;
    }
    if (head->sequence == view->sequence) /* also one more in place of one that was not kept */
        view->covered[0] = head->index;
    if (head->index > view->last || head->page >= view->next_page ||
        view->chain[head->index] != head->chain)
        world_fail(world, "node %u: a checkpoint of index %lu, the drive holds %lu", node->id,
                   (unsigned long)head->index, (unsigned long)view->last);
}

/* Behind damage nothing goes as torn: what was in flight at a crash stays as far as it is there,
 * and what of it is missing is lost like the rest. */
static void adopt(struct world *world, struct node *node, uint64_t tail)
{
    struct drive_view *view = &node->view;
    for (; view->next_page < tail; view->next_page++) { /* bound: pages in flight */
        const struct ring_page *page = survey_page(world, node, view->next_page);
        struct ring_identity identity;
        if (page != NULL) {
            take_vote(world, node, page);
            begin_stretch(world, node, page);
            take_entries(world, node, page);
            continue;
        }
        if (!survey_identity(world, node, view->next_page, tail, &identity))
            return; /* not found like that */
        uint64_t last = identity.first_index + identity.count - 1;
        view->chain = check_grown(view->chain, &view->chain_cap, last, sizeof(*view->chain));
        for (uint64_t i = identity.first_index; i <= last; i++)
            view->chain[i] = 0;
        view->last = last;
    }
}

void check_drive_repaired(struct world *world, struct node *node)
{
    struct drive_view *view = &node->view;
    struct survey now;
    survey_take(world, node, &now);
    for (uint64_t i = now.first; i <= now.last && i <= view->last; i++) {
        const struct ring_page *page =
            survey_entry(&now, i) == ENTRY_HELD ? survey_page(world, node, now.page[i]) : NULL;
        if (page == NULL || view->chain[i] != 0)
            continue;
        uint64_t before =
            i > 1 ? view->chain[i - 1] : ring_chain_genesis(world->genesis.cluster_id);
        if (i == page->self.first_index && before == 0)
            before = page->self.chain_before;
        const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
        for (uint64_t k = page->self.first_index; k < i; k++)
            at += ((const struct entry *)at)->size;
        if (before != 0)
            view->chain[i] = ring_chain_next(before, (const struct entry *)at);
    }
    survey_free(&now);
}

/* Recovery must find what was durable, all of it and no more. */
void check_drive_recovered(struct world *world, struct node *node,
                           const struct ring_recovery *found)
{
    struct drive_view *view = &node->view;
    if (node->wounds.ever)
        adopt(world, node, found->tail_page);
    if (node->struck) { /* what the damage took no start can find */
        view->next_page = found->tail_page;
        if (found->last_index < view->last)
            view->last = found->last_index;
        view->term = found->term;
        view->vote = found->vote;
        return;
    }
    uint64_t last = view->last, term = view->term;
    uint64_t chain = view->last == 0 ? found->last_chain : view->chain[view->last];
    uint32_t vote = view->vote;
    if (view->newest_installed && replaced(view)) {
        last = view->installed;
        chain = view->installed_chain;
        if (view->installed_term > term) {
            term = view->installed_term;
            vote = 0;
        }
    }
    bool unknown = node->wounds.ever && (found->last_chain == 0 || chain == 0);
    if (found->tail_page != view->next_page || found->term != term || found->vote != vote ||
        found->last_index != last || (found->last_chain != chain && !unknown))
        world_fail(world,
                   "node %u: recovery finds page %lu, term %lu, vote %u, index %lu; durable were "
                   "%lu, %lu, %u, %lu",
                   node->id, (unsigned long)found->tail_page, (unsigned long)found->term,
                   found->vote, (unsigned long)found->last_index, (unsigned long)view->next_page,
                   (unsigned long)term, vote, (unsigned long)last);
    if (node->wounds.ever)
        strikes_started(world, node, found);
    if (found->commit > world->checker->committed)
        world_fail(world, "node %u: its drive states commit index %lu, known is %lu", node->id,
                   (unsigned long)found->commit, (unsigned long)world->checker->committed);
}

/* What lies behind a gap goes at the next start. */
void check_drive_crashed(struct node *node)
{
    node->view.ahead = 0;
}

bool check_drive_holds(const struct world *world, const struct drive_view *view, uint64_t index,
                       uint64_t chain)
{
    bool covered = index <= view->installed && index <= world->checker->committed &&
                   world->checker->chain[index] == chain;
    return covered || (index <= view->last && view->chain[index] == chain);
}

bool check_drive_reaches(const struct drive_view *view, uint64_t index)
{
    return index <= view->last || index <= view->installed;
}

void check_drive_free(struct world *world)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        free(world->node[id].view.chain);
        free(world->node[id].lost_view.chain);
    }
}
