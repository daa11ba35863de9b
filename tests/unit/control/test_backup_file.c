/* The backup's file: what is written reads back, and nothing else does. */
#include "control/backup_file.h"

#include "dataplane/crc32c.h"
#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

static struct bench b;
static uint8_t *file;
static uint64_t size;

static void start(void)
{
    struct genesis genesis = bench_genesis();
    genesis.crc = crc32c(&genesis, offsetof(struct genesis, crc));
    bench_init(&b, &genesis);
    b.log_ns = 100;
    bench_noop(&b, 3);
    bench_open(&b, BENCH_ALICE, "gw", 1, 6);
    uint64_t gw = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, gw, gw, 1, 0, 5);
    uint64_t cap = backup_size_max(&genesis);
    uint8_t *room = malloc(cap);
    struct backup_head head = {
        .replica = 2, .incarnation = 9, .chain = 5, .current_term = 4, .utc_ns = 77};
    size = backup_encode(&head, &genesis, b.machine, room, cap);
    CU_ASSERT_FATAL(size > BACKUP_HEAD_SIZE + GENESIS_SIZE && size <= cap);
    file = malloc(size + 1); /* exact, but for the test of a byte too many */
    memcpy(file, room, size);
    free(room);
}

static void stop(void)
{
    free(file);
    bench_free(&b);
}

/* NULL if it is taken, else why not. */
static const char *why_not(const uint8_t *bytes, uint64_t count)
{
    static char why[BACKUP_WHY_MAX];
    struct backup_head head;
    struct genesis genesis;
    struct machine *machine;
    if (backup_decode(bytes, count, &head, &genesis, &machine, why)) {
        free(machine);
        return NULL;
    }
    CU_ASSERT_PTR_NULL(machine);
    CU_ASSERT_NOT_EQUAL(why[0], '\0');
    return why;
}

static void round_trip(void)
{
    start();
    struct backup_head head;
    struct genesis genesis;
    struct machine *machine;
    char why[BACKUP_WHY_MAX];
    CU_ASSERT_TRUE_FATAL(backup_decode(file, size, &head, &genesis, &machine, why));
    CU_ASSERT_EQUAL(memcmp(file, "KEELBAK1", 8), 0);
    CU_ASSERT_EQUAL(head.replica, 2);
    CU_ASSERT_EQUAL(head.index, b.machine->applied);
    CU_ASSERT_EQUAL(head.current_term, 4);
    CU_ASSERT_EQUAL(head.feed_next, 6);
    CU_ASSERT_EQUAL(memcmp(&genesis, &b.genesis, sizeof(genesis)), 0);
    CU_ASSERT_EQUAL(machine_fingerprint(machine), machine_fingerprint(b.machine));
    free(machine);
    CU_ASSERT_TRUE(backup_decode(file, size, &head, &genesis, NULL, why)); /* to verify alone */
    stop();
}

static void every_length_and_bit(void)
{
    start();
    for (uint64_t count = 0; count < size; count++)
        CU_ASSERT_PTR_NOT_NULL(why_not(file, count));
    file[size] = 0;
    CU_ASSERT_STRING_EQUAL(why_not(file, size + 1), "there are bytes behind its end");
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT_PTR_NOT_NULL(why_not(file, size));
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_PTR_NULL(why_not(file, size));
    stop();
}

/* The head with its checksums made right again: whoever wrote it did so on purpose. */
static const char *head_changed(struct backup_head *head)
{
    head->body_crc = crc32c(file + BACKUP_HEAD_SIZE, size - BACKUP_HEAD_SIZE);
    head->crc = crc32c(head, offsetof(struct backup_head, crc));
    memcpy(file, head, sizeof(*head));
    return why_not(file, size);
}

static void each_refusal_is_named(void)
{
    start();
    struct backup_head good, head;
    memcpy(&good, file, sizeof(good));
#define REFUSED(text, change)                                                                      \
    do {                                                                                           \
        head = good;                                                                               \
        change;                                                                                    \
        const char *why = head_changed(&head);                                                     \
        CU_ASSERT_PTR_NOT_NULL_FATAL(why);                                                         \
        CU_ASSERT_STRING_EQUAL(why, text);                                                         \
    } while (0)
    REFUSED("it is no backup", head.magic++);
    REFUSED("it is a backup of another version: take the keelctl that made it", head.version = 2);
    REFUSED("it is cut off", head.machine_size++);
    REFUSED("there are bytes behind its end", head.machine_size--);
    REFUSED("its genesis record is of another cluster", head.cluster_id++);
    REFUSED("its state stands at another index or term than its head says", head.index++);
    REFUSED("its state stands at another index or term than its head says", head.term++);
    REFUSED("its state has another digest than its head says", head.digest++);
    REFUSED("its state has another digest than its head says", head.fingerprint++);
    REFUSED("its state has another trading day or feed number than its head says",
            head.feed_next++);
    REFUSED("its state has another trading day or feed number than its head says", head.day[0]++);
    REFUSED("its head names a term before its last entry's", head.current_term = 2);
#undef REFUSED
    uint8_t *genesis = file + BACKUP_HEAD_SIZE;
    genesis[0] ^= 1;
    CU_ASSERT_STRING_EQUAL(head_changed(&good), "its genesis record is damaged (checksum)");
    genesis[0] ^= 1;
    struct genesis odd = b.genesis;
    odd.sessions_max = 0;
    odd.crc = crc32c(&odd, offsetof(struct genesis, crc));
    memcpy(genesis, &odd, sizeof(odd));
    CU_ASSERT_STRING_EQUAL(head_changed(&good), "sessions_max out of range");
    memcpy(genesis, &b.genesis, sizeof(b.genesis));
    file[BACKUP_HEAD_SIZE + GENESIS_SIZE] ^= 1; /* of the state */
    CU_ASSERT_STRING_EQUAL(head_changed(&good), "not a machine's state");
    file[BACKUP_HEAD_SIZE + GENESIS_SIZE] ^= 1;
    CU_ASSERT_PTR_NULL(head_changed(&good));
    stop();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a backup reads back as it was written", round_trip},
        {"cut off anywhere, or with any bit flipped, it is refused", every_length_and_bit},
        {"each refusal of a backup is named", each_refusal_is_named},
        {0}};
    return unit_main("backup_file", tests);
}
