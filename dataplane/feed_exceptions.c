#include "dataplane/feed_exceptions.h"

#include <string.h>

struct head {
    uint32_t version;
    uint32_t count;
    uint64_t lost;
};
_Static_assert(sizeof(struct head) == 16, "head of the exceptions in a checkpoint");
_Static_assert((FEED_EXCEPTIONS & (FEED_EXCEPTIONS - 1)) == 0, "masked");

/* Whether the entry is one; fills *exception. */
static bool exception_of(const struct machine *machine, const struct entry *entry,
                         const struct machine_outcome *outcome, struct feed_exception *exception)
{
    *exception = (struct feed_exception){.index = entry->index};
    if (outcome->session_ended) {
        const struct machine_session *session = machine_session_at(machine, outcome->slot);
        exception->is_end = 1;
        exception->utc_ns = entry->utc_ns;
        exception->utc_error_ns = entry->utc_error_ns;
        exception->session = session->id;
        exception->number = session->last;
        machine_session_end_fill(session, &exception->end);
        return true;
    }
    if (entry->kind != ENTRY_MESSAGES)
        return false;
    const struct entry_messages *messages = entry_body(entry);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < outcome->run_count; i++) {
        const struct packet_result_run *run = &outcome->run[i];
        if (run->status != MACHINE_SEQUENCED)
            continue;
        for (uint32_t k = 0; k < run->count; k++, taken++)
            exception->sequenced |= 1ull << (run->number - messages->number + k);
    }
    return taken != messages->count;
}

void feed_exceptions_applied(struct feed_exceptions *list, const struct machine *machine,
                             const struct entry *entry, const struct machine_outcome *outcome)
{
    struct feed_exception exception;
    if (outcome->day_began)
        feed_exceptions_clear(list);
    else if (exception_of(machine, entry, outcome, &exception))
        *feed_exceptions_add(list) = exception;
}

void feed_exceptions_copy(struct feed_exceptions *to, const struct feed_exceptions *from)
{
    to->head = from->head;
    to->tail = from->tail;
    to->lost = from->lost;
    for (uint64_t i = from->head; i < from->tail; i++) /* bound: FEED_EXCEPTIONS */
        to->at[i & (FEED_EXCEPTIONS - 1)] = from->at[i & (FEED_EXCEPTIONS - 1)];
}

struct feed_exception *feed_exceptions_add(struct feed_exceptions *list)
{
    if (list->tail - list->head == FEED_EXCEPTIONS)
        list->lost = list->at[list->head++ & (FEED_EXCEPTIONS - 1)].index;
    return &list->at[list->tail++ & (FEED_EXCEPTIONS - 1)];
}

void feed_exceptions_clear(struct feed_exceptions *list)
{
    list->head = list->tail;
    list->lost = 0;
}

const struct feed_exception *feed_exceptions_find(const struct feed_exceptions *list,
                                                  uint64_t index)
{
    uint64_t low = list->head, high = list->tail;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct feed_exception *e = &list->at[middle & (FEED_EXCEPTIONS - 1)];
        if (e->index == index)
            return e;
        if (e->index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

size_t feed_exceptions_encoded_max(void)
{
    return sizeof(struct head) + FEED_EXCEPTIONS * sizeof(struct feed_exception);
}

size_t feed_exceptions_encode(const struct feed_exceptions *list, void *bytes, size_t cap)
{
    struct head head = {.version = FEED_EXCEPTIONS_VERSION, .lost = list->lost};
    if (cap < sizeof(head))
        return 0;
    uint64_t room = (cap - sizeof(head)) / sizeof(struct feed_exception);
    uint64_t from = list->head;
    if (list->tail - from > room) {
        from = list->tail - room;
        head.lost = list->at[(from - 1) & (FEED_EXCEPTIONS - 1)].index;
    }
    head.count = (uint32_t)(list->tail - from);
    uint8_t *at = bytes;
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    for (; from < list->tail; from++, at += sizeof(struct feed_exception))
        memcpy(at, &list->at[from & (FEED_EXCEPTIONS - 1)], sizeof(struct feed_exception));
    return (size_t)(at - (uint8_t *)bytes);
}

bool feed_exceptions_decode(struct feed_exceptions *list, uint64_t index, const void *bytes,
                            size_t size)
{
    struct head head;
    feed_exceptions_clear(list);
    list->lost = index;
    if (size < sizeof(head))
        return false;
    memcpy(&head, bytes, sizeof(head));
    if (head.version != FEED_EXCEPTIONS_VERSION || head.count > FEED_EXCEPTIONS ||
        size != sizeof(head) + head.count * sizeof(struct feed_exception))
        return false;
    const uint8_t *at = (const uint8_t *)bytes + sizeof(head);
    uint64_t before = 0;
    for (uint32_t i = 0; i < head.count; i++, at += sizeof(struct feed_exception)) {
        struct feed_exception *e = feed_exceptions_add(list);
        memcpy(e, at, sizeof(*e));
        if (e->index <= before || e->index > index) {
            feed_exceptions_clear(list);
            list->lost = index;
            return false;
        }
        before = e->index;
    }
    list->lost = head.lost;
    return true;
}
