/* What a drive holds at this moment: each kept page is judged by itself, then the log is put
 * together from what heads say. Nothing of the product's recovery is asked. */
#include "tests/sim/check.h"

#include "dataplane/crc32c.h"
#include "dataplane/ring/format.h"

#include <stdlib.h>

static bool readable(const struct node *node, uint64_t offset)
{
    const struct media *media = &node->media;
    return media->bad_size == 0 || offset + RING_PAGE_SIZE <= media->bad_from ||
           media->bad_from + media->bad_size <= offset;
}

static const void *block(const struct node *node, uint64_t offset)
{
    return readable(node, offset) ? node->media.bytes + offset : NULL;
}

static enum ring_verdict judge(const struct world *world, const struct node *node, uint64_t page,
                               const struct ring_page **bytes)
{
    const struct ring_owner owner = {.cluster_id = world->genesis.cluster_id,
                                     .incarnation = node->super.incarnation,
                                     .slots = node->super.slots,
                                     .replica = (uint8_t)node->id};
    uint32_t bad;
    *bytes = block(node, ring_slot_offset(&node->super, page));
    if (*bytes == NULL)
        return RING_PAGE_HEAD;
    enum ring_verdict verdict = ring_page_judge(*bytes, &owner, page % owner.slots, &bad);
    bool other = (verdict == RING_PAGE_GOOD || verdict == RING_PAGE_PAYLOAD) && /* another lap's */
                 (*bytes)->page != page;
    return other ? RING_PAGE_OTHER : verdict;
}

const struct ring_page *survey_page(const struct world *world, const struct node *node,
                                    uint64_t page)
{
    const struct ring_page *bytes;
    return judge(world, node, page, &bytes) == RING_PAGE_GOOD ? bytes : NULL;
}

static const struct ring_page *head_of(const struct world *world, const struct node *node,
                                       uint64_t page)
{
    const struct ring_page *bytes;
    enum ring_verdict verdict = judge(world, node, page, &bytes);
    return verdict == RING_PAGE_GOOD || verdict == RING_PAGE_PAYLOAD ? bytes : NULL;
}

bool survey_identity(const struct world *world, const struct node *node, uint64_t page,
                     uint64_t tail, struct ring_identity *identity)
{
    for (uint64_t at = page; at < tail && at <= page + RING_PREDECESSORS; at++) {
        const struct ring_page *head = head_of(world, node, at);
        if (head == NULL)
            continue;
        *identity = at == page ? head->self : head->before[at - page - 1];
        return identity->first_index != 0;
    }
    return false;
}

/* --- superblock, genesis record, checkpoints --- */

static bool checkpoint_good(const struct node *node, unsigned area, struct ring_checkpoint *head)
{
    uint64_t offset = ring_checkpoint_offset(&node->super, area);
    const void *at = block(node, offset);
    if (at == NULL)
        return false;
    memcpy(head, at, sizeof(*head));
    if (head->magic != RING_CHECKPOINT_MAGIC ||
        head->crc != crc32c(head, offsetof(struct ring_checkpoint, crc)) ||
        head->size > (node->super.checkpoint_blocks - 1) * RING_PAGE_SIZE)
        return false;
    for (uint64_t from = 0; from < head->size; from += RING_PAGE_SIZE)
        if (!readable(node, offset + RING_PAGE_SIZE + from))
            return false;
    return crc32c(node->media.bytes + offset + RING_PAGE_SIZE, head->size) == head->body_crc;
}

/* Empty, or taken by what a peer sends. */
static bool checkpoint_free(const struct node *node, unsigned area)
{
    const struct ring_checkpoint *head = block(node, ring_checkpoint_offset(&node->super, area));
    return head != NULL && (head->magic == 0 || head->magic == RING_TRANSFER_MAGIC);
}

static void look_at_checkpoints(const struct node *node, struct survey *s)
{
    struct ring_checkpoint head[2];
    bool good[2];
    for (unsigned area = 0; area < 2; area++) {
        good[area] = checkpoint_good(node, area, &head[area]);
        s->bad_copies += !good[area] && !checkpoint_free(node, area);
    }
    s->newest_area = good[1] && (!good[0] || head[1].sequence > head[0].sequence);
    if (!good[0] && !good[1])
        return;
    s->covered = head[s->newest_area].index;
    s->newest_installed = head[s->newest_area].installed != 0;
    if (good[0] && good[1])
        s->older = head[s->newest_area ^ 1].index;
}

static void look_at_copies(const struct node *node, struct survey *s)
{
    for (uint32_t copy = 0; copy < 2; copy++) {
        const struct ring_super *super =
            block(node, (RING_SUPER_BLOCK + copy) * (uint64_t)RING_PAGE_SIZE);
        const struct genesis *genesis =
            block(node, (RING_GENESIS_BLOCK + copy) * (uint64_t)RING_PAGE_SIZE);
        s->bad_copies += super == NULL || ring_super_problem(super, 0) != NULL;
        s->bad_copies +=
            genesis == NULL || genesis->crc != crc32c(genesis, offsetof(struct genesis, crc));
    }
}

/* --- the log --- */

static void note(struct survey *s, const struct ring_identity *identity, uint64_t page,
                 uint32_t present)
{
    uint64_t first = identity->first_index, last = first + identity->count - 1;
    if (s->first == 0)
        s->first = first;
    s->entry = check_grown(s->entry, &s->cap, last + 1, sizeof(*s->entry));
    s->page = check_grown(s->page, &s->page_cap, last + 1, sizeof(*s->page));
    for (uint64_t i = first; i <= last; i++) {
        s->entry[i] = i < first + present ? ENTRY_HELD : ENTRY_LOST;
        s->page[i] = page;
    }
    for (uint64_t i = last + 1; i <= s->last; i++)
        s->entry[i] = ENTRY_NONE;
    s->last = last;
}

static void look_at_page(const struct world *world, const struct node *node, uint64_t page,
                         struct survey *s)
{
    const struct ring_page *bytes = survey_page(world, node, page);
    struct ring_identity identity;
    if (bytes != NULL) {
        note(s, &bytes->self, page, ring_page_present(bytes));
        return;
    }
    s->bad++;
    s->last_bad = page;
    if (survey_identity(world, node, page, s->tail, &identity))
        note(s, &identity, page, 0);
    else
        s->unnamed++;
}

void survey_take(const struct world *world, const struct node *node, struct survey *s)
{
    memset(s, 0, sizeof(*s));
    look_at_copies(node, s);
    look_at_checkpoints(node, s);
    s->head = s->tail = node->view.next_page;
    const struct ring_page *last = NULL;
    for (uint64_t page = s->tail; page-- > 0 && last == NULL && s->tail - page < WOUNDS_MAX;)
        last =
            head_of(world, node, page); /* one whose payload is damaged says where the log begins */
    if (last == NULL)
        return;
    s->head = last->head;
    s->durable_page = last->durable_page;
    if (node->up && ring_head_page(node->replica->ring) > s->head)
        s->head = ring_head_page(node->replica->ring);
    for (uint64_t page = s->head; page < s->tail; page++)
        look_at_page(world, node, page, s);
    for (uint64_t i = s->covered + 1; i <= s->last && s->hole == 0; i++)
        if (survey_entry(s, i) == ENTRY_LOST)
            s->hole = i;
}

void survey_free(struct survey *s)
{
    free(s->entry);
    free(s->page);
    memset(s, 0, sizeof(*s));
}

enum survey_entry survey_entry(const struct survey *s, uint64_t index)
{
    return index <= s->last && index < s->cap ? (enum survey_entry)s->entry[index] : ENTRY_NONE;
}
