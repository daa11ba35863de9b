/* What the log alone does not tell about the feed: which entries are exceptions, how many are kept,
 * and what a checkpoint may say of them.
 */
#include "dataplane/feed_exceptions.h"

#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

static struct feed_exceptions *list_new(void)
{
    struct feed_exceptions *list = calloc(1, sizeof(*list));
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    return list;
}

/* After the bench's last entry; its exception, NULL if it is none. */
static const struct feed_exception *noted(struct feed_exceptions *list, const struct bench *b)
{
    const struct entry *entry = (const struct entry *)(const void *)b->bytes;
    feed_exceptions_applied(list, b->machine, entry, &b->outcome);
    return feed_exceptions_find(list, entry->index);
}

static void what_is_an_exception(void)
{
    struct feed_exceptions *list = list_new();
    struct bench b;
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_noop(&b, 2);
    CU_ASSERT_PTR_NULL(noted(list, &b));
    bench_open(&b, BENCH_ALICE, "gw", 1, 8);
    CU_ASSERT_PTR_NULL(noted(list, &b));
    uint64_t gw = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, gw, gw, 1, 0, 3);
    CU_ASSERT_PTR_NULL(noted(list, &b)); /* all of it was sequenced */
    bench_send(&b, BENCH_ALICE, gw, gw, 2, 0, 4);
    const struct feed_exception *e = noted(list, &b); /* 2 and 3 come again */
    CU_ASSERT_FATAL(e != NULL && e->sequenced == 0xc && e->is_end == 0);
    bench_send(&b, BENCH_BOB, gw, gw, 6, 0, 1);
    e = noted(list, &b); /* another's session */
    CU_ASSERT_FATAL(e != NULL && e->sequenced == 0);
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    CU_ASSERT_PTR_NULL(noted(list, &b));
    bench_send(&b, BENCH_ALICE, gw, gw, 6, 5, 1);
    e = noted(list, &b); /* no day is open */
    CU_ASSERT_FATAL(e != NULL && e->sequenced == 0);
    bench_day(&b, ENTRY_DAY_BEGIN, "DAY2");
    CU_ASSERT_PTR_NULL(noted(list, &b));
    CU_ASSERT_EQUAL(list->head, list->tail); /* of another day */
    bench_end(&b, BENCH_ALICE, gw, gw, SESSION_END_CLEAN);
    e = noted(list, &b);
    CU_ASSERT_FATAL(e != NULL && e->is_end == 1 && e->session == gw && e->number == 6);
    CU_ASSERT_EQUAL(e->utc_ns, ((const struct entry *)(const void *)b.bytes)->utc_ns);
    CU_ASSERT_EQUAL(list->tail - list->head, 1);
    bench_free(&b);
    free(list);
}

static void the_oldest_goes(void)
{
    struct feed_exceptions *list = list_new(), *copy = list_new();
    for (uint64_t index = 1; index <= FEED_EXCEPTIONS + 3; index++)
        *feed_exceptions_add(list) = (struct feed_exception){.index = 2 * index};
    CU_ASSERT_EQUAL(list->tail - list->head, FEED_EXCEPTIONS);
    CU_ASSERT_EQUAL(list->lost, 6);
    feed_exceptions_copy(copy, list);
    CU_ASSERT_EQUAL(copy->lost, 6);
    for (uint64_t index = 0; index <= 2 * FEED_EXCEPTIONS + 8; index++) {
        bool kept = index % 2 == 0 && index > 6 && index <= 2 * FEED_EXCEPTIONS + 6;
        CU_ASSERT_EQUAL_FATAL(feed_exceptions_find(list, index) != NULL, kept);
        CU_ASSERT_EQUAL_FATAL(feed_exceptions_find(copy, index) != NULL, kept);
    }
    /* all of them fit into a checkpoint */
    size_t cap = feed_exceptions_encoded_max();
    uint8_t *bytes = malloc(cap);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_EQUAL(feed_exceptions_encode(list, bytes, cap), cap);
    CU_ASSERT_TRUE(feed_exceptions_decode(copy, 2 * FEED_EXCEPTIONS + 6, bytes, cap));
    CU_ASSERT_TRUE(copy->lost == 6 && feed_exceptions_find(copy, 8) != NULL);
    free(bytes);
    free(list);
    free(copy);
}

enum { HEAD = 16, COUNT = 3, BEFORE = 40 };

struct written { /* as it stands in a checkpoint */
    uint32_t version, count;
    uint64_t lost;
    struct feed_exception e[COUNT];
};

/* Whatever stands there, it is taken whole or not at all; then nothing is known. */
static void a_checkpoints_words(void)
{
    static const struct {
        uint64_t index[COUNT];
        uint32_t version, count;
        size_t size;
        bool taken;
    } list[] = {{{5, 6, BEFORE}, 1, COUNT, 0, true},
                {{5, 6, 7}, 1, 0, HEAD, true},
                {{5, 6, 7}, 2, COUNT, 0, false},
                {{5, 6, 7}, 0, COUNT, 0, false},
                {{5, 6, 7}, 1, COUNT - 1, 0, false},
                {{5, 6, 7}, 1, COUNT + 1, 0, false},
                {{5, 6, 7}, 1, UINT32_MAX, 0, false},
                {{0, 6, 7}, 1, COUNT, 0, false},          /* no entry's index */
                {{5, 5, 7}, 1, COUNT, 0, false},          /* one twice */
                {{5, 7, 6}, 1, COUNT, 0, false},          /* not by rising index */
                {{5, 6, BEFORE + 1}, 1, COUNT, 0, false}, /* behind the checkpoint */
                {{5, UINT64_MAX, 7}, 1, COUNT, 0, false}};
    struct feed_exceptions *read = list_new();
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct written written = {.version = list[i].version, .count = list[i].count, .lost = 4};
        for (uint32_t k = 0; k < COUNT; k++)
            written.e[k].index = list[i].index[k];
        size_t size = list[i].size > 0 ? list[i].size : sizeof(written);
        CU_ASSERT_EQUAL(feed_exceptions_decode(read, BEFORE, &written, size), list[i].taken);
        CU_ASSERT_EQUAL(read->tail - read->head, list[i].taken ? list[i].count : 0);
        CU_ASSERT_EQUAL(read->lost, list[i].taken ? 4 : BEFORE);
    }
    /* one more than are kept, of the right size */
    size_t size = HEAD + (FEED_EXCEPTIONS + 1) * sizeof(struct feed_exception);
    struct written *many = calloc(1, size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(many);
    many->version = 1;
    many->count = FEED_EXCEPTIONS + 1;
    struct feed_exception *all = many->e;
    for (uint64_t i = 0; i <= FEED_EXCEPTIONS; i++)
        all[i].index = i + 1;
    CU_ASSERT_FALSE(feed_exceptions_decode(read, UINT64_MAX, many, size));
    CU_ASSERT_TRUE(read->head == read->tail && read->lost == UINT64_MAX);
    free(many);
    free(read);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"which entries are exceptions", what_is_an_exception},
        {"the oldest goes, and what is lost is known", the_oldest_goes},
        {"what a checkpoint may say of them", a_checkpoints_words},
        {0}};
    return unit_main("feed_exceptions", tests);
}
