#include "control/replay.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REPLAY_ALIGN = RING_PAGE_SIZE };

static __attribute__((format(printf, 2, 3))) bool refuse(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, REPLAY_PROBLEM_SIZE, format, args);
    va_end(args);
    return false;
}

size_t replay_bytes_size(const struct replay *r)
{
    const struct genesis *g = r->genesis;
    size_t size = machine_encoded_max(g) + feed_exceptions_encoded_max();
    return (size + REPLAY_ALIGN - 1) & ~(size_t)(REPLAY_ALIGN - 1);
}

/* --- the checkpoint ----------------------------------------------------------------------------
 */

/* *version: of the state in it, 0 where there is none to be seen. */
static const char *decode(struct replay *r, const struct ring_checkpoint *head, unsigned area,
                          uint32_t *version)
{
    *version = 0;
    struct ring_checkpoint read;
    int64_t size = ring_checkpoint_read(r->disk, &r->found->super, area, &read, r->bytes, r->cap);
    if (size < 0)
        return strerror((int)-size);
    if (read.sequence != head->sequence)
        return "it is not the one that recovery saw";
    if (read.machine_size > (uint64_t)size)
        return "its machine is longer than the whole";
    *version = machine_encoded_version(r->bytes, read.machine_size);
    const char *why = machine_decode(r->machine, r->genesis, r->bytes, read.machine_size);
    if (why == NULL && r->machine->applied != head->index)
        return "its machine stands at another index";
    if (why == NULL) /* without them requests for what lies before are not answered; no more */
        feed_exceptions_decode(r->exceptions, head->index, r->bytes + read.machine_size,
                               (size_t)size - read.machine_size);
    return why;
}

bool replay_checkpoint(struct replay *r, char *why)
{
    r->chain = ring_chain_genesis(r->genesis->cluster_id);
    r->page = 0;
    r->checkpoint_index = r->replayed = 0;
    machine_init(r->machine, r->genesis);
    if (!r->found->have_checkpoint)
        return true;
    const char *problem = "none";
    for (unsigned i = 0; i < 2; i++) {
        const struct ring_checkpoint *head = &r->found->checkpoint[i];
        if (head->magic != RING_CHECKPOINT_MAGIC)
            continue;
        uint32_t version;
        problem = decode(r, head, r->found->checkpoint_area[i], &version);
        /* Not the older one instead: whoever wrote this one knows more, of the log behind it too.
         */
        if (version != 0 && version != MACHINE_ENCODING_VERSION)
            return refuse(why,
                          "the state in checkpoint area %u is of version %u, this program knows "
                          "%d: start the program that wrote it, or a later one",
                          r->found->checkpoint_area[i], version, MACHINE_ENCODING_VERSION);
        if (problem != NULL)
            continue;
        r->chain = head->chain;
        r->page = head->installed != 0 ? UINT64_MAX : head->page; /* no page holds a peer's */
        r->checkpoint_index = head->index;
        break;
    }
    return problem == NULL ||
           refuse(why,
                  "no checkpoint can be used (%s): the start is refused. Keep the file, check the "
                  "drive",
                  problem);
}

/* --- the log -----------------------------------------------------------------------------------
 */

struct live_page {
    uint64_t page;
    uint64_t last; /* its last live entry */
};

/* One page of the log, judged; its live entries up to `end` that the machine has not seen are
 * applied, and configurations behind that are noted: Raft follows them from the moment they are in
 * the log. */
static const char *replay_page(struct replay *r, const struct live_page *live, uint64_t end)
{
    const struct ring_super *super = &r->found->super;
    struct ring_owner owner = {.cluster_id = r->genesis->cluster_id,
                               .incarnation = super->incarnation,
                               .slots = super->slots,
                               .replica = (uint8_t)super->replica};
    uint64_t page = live->page;
    uint32_t bad;
    int rc = disk_pread(r->disk, ring_slot_offset(super, page), r->bytes, RING_PAGE_SIZE);
    if (rc != 0)
        return strerror(-rc);
    if (ring_page_judge(r->bytes, &owner, page % super->slots, &bad) != RING_PAGE_GOOD)
        return "the page is no longer intact";
    const struct ring_page *head = (const struct ring_page *)r->bytes;
    if (head->page != page)
        return "the slot holds another page";
    const uint8_t *at = r->bytes + RING_HEAD_SIZE;
    for (uint32_t i = 0; i < ring_page_present(head); i++) {
        const struct entry *entry = (const struct entry *)at;
        at += entry->size;
        if (r->configs != NULL && entry->index > end && entry->index <= live->last &&
            entry->kind == ENTRY_CONFIG)
            members_take(r->configs, entry_body(entry), entry->index);
        if (entry->index > end || entry->index != r->machine->applied + 1)
            continue;
        if (i == 0 && head->self.chain_before != r->chain)
            return "the log chain does not continue";
        r->chain = ring_chain_next(r->chain, entry);
        machine_apply(r->machine, entry, r->outcome);
        feed_exceptions_applied(r->exceptions, r->machine, entry, r->outcome);
        if (r->applied != NULL)
            r->applied(r->context, r->machine, entry, r->outcome);
        r->replayed++;
    }
    return NULL;
}

static bool is_lost(const struct ring_recovery *found, uint64_t page)
{
    for (uint32_t i = 0; i < found->hole_count; i++)
        if (found->hole[i].page == page)
            return true;
    return false;
}

/* The first entry that the machine has not seen and the drive has lost; UINT64_MAX: none. */
static uint64_t first_lost(const struct replay *r)
{
    const struct ring_recovery *found = r->found;
    uint64_t wanted = r->machine->applied + 1;
    for (uint64_t i = 0; found->hole_count > 0 && i < found->map_count; i++) {
        uint64_t first = found->map[i].first_index;
        uint64_t next =
            i + 1 < found->map_count ? found->map[i + 1].first_index : found->last_index + 1;
        if (next > wanted && is_lost(found, found->map[i].page))
            return first > wanted ? first : wanted;
    }
    return UINT64_MAX;
}

/* By the live page map: superseded entries are not in it. Nothing is applied across a hole. */
bool replay_log(struct replay *r, uint64_t end, char *why)
{
    const struct ring_recovery *found = r->found;
    uint64_t lost = first_lost(r);
    if (end >= lost)
        end = lost - 1;
    if (r->machine->applied < end && r->machine->applied + 1 < found->first_index)
        return refuse(why,
                      "the log begins at index %llu, the newest checkpoint ends at %llu: the start "
                      "is refused",
                      (unsigned long long)found->first_index,
                      (unsigned long long)r->machine->applied);
    const char *problem = NULL;
    uint64_t at = 0;
    for (uint64_t i = 0; i < found->map_count && problem == NULL; i++) {
        uint64_t next =
            i + 1 < found->map_count ? found->map[i + 1].first_index : found->last_index + 1;
        if (next <= r->machine->applied + 1 || is_lost(found, found->map[i].page))
            continue;
        struct live_page live = {.page = found->map[i].page, .last = next - 1};
        at = live.page;
        problem = replay_page(r, &live, end < live.last ? end : live.last);
        if (found->map[i].first_index <= end)
            r->page = at;
    }
    if (problem == NULL && r->machine->applied < end)
        problem = "entries are missing";
    return problem == NULL ||
           refuse(why, "replay of the log stopped at index %llu, page %llu: %s",
                  (unsigned long long)r->machine->applied, (unsigned long long)at, problem);
}
