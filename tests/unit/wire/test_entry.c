#include "tests/unit/unit.h"
#include "tests/unit/wire/entries.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum entry_kind kinds[] = {
    ENTRY_NOOP,        ENTRY_MESSAGES,       ENTRY_SESSION_OPEN, ENTRY_SESSION_RESUME,
    ENTRY_SESSION_END, ENTRY_SESSION_EXPIRE, ENTRY_DAY_END,      ENTRY_DAY_BEGIN,
    ENTRY_BOOT,        ENTRY_CONFIG,         ENTRY_NODE,         ENTRY_DUE,
    ENTRY_OPERATOR,    ENTRY_AUTOPILOT,      ENTRY_PROBE};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % below;
}

static void each_kind_is_taken(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    for (int k = 0; k < KINDS; k++) {
        const enum entry_kind kind = kinds[k];
        size_t size = entries_sample(bytes, kind);
        CU_ASSERT_TRUE(entries_check(bytes, size));
        CU_ASSERT_TRUE(entry_check(bytes, KEEL_ENTRY_MAX)); /* more may follow */
        for (size_t cut = 0; cut < size; cut++)
            CU_ASSERT_FALSE(entries_check(bytes, cut));
    }
}

static void heads_out_of_form(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX + 8];
    struct entry *head = (struct entry *)(void *)bytes;
    for (int k = 0; k < KINDS; k++) {
        const enum entry_kind kind = kinds[k];
        uint16_t size = (uint16_t)entries_sample(bytes, kind);
        for (uint32_t other = 0; other <= KEEL_ENTRY_MAX + 8; other++) {
            head->size = (uint16_t)other;
            CU_ASSERT_EQUAL(entry_check(bytes, sizeof(bytes)), other == size);
        }
        head->size = size;
        for (uint32_t version = 0; version < 256; version++) {
            head->version = (uint8_t)version;
            CU_ASSERT_EQUAL(entry_check(bytes, size), version == ENTRY_VERSION);
        }
    }
    uint8_t zeros[KEEL_ENTRY_MAX] = {0};
    CU_ASSERT_FALSE(entry_check(zeros, sizeof(zeros)));
    size_t size = entries_sample(bytes, ENTRY_NOOP);
    for (uint32_t kind = 0; kind < 256; kind++) {
        head->kind = (uint8_t)kind;
        CU_ASSERT_EQUAL(entry_check(bytes, size), kind == ENTRY_NOOP);
    }
}

/* Padding is part of what the checksum and the log chain cover: two spellings of one entry would be
 * two entries. */
static void padding_is_zero(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    for (uint32_t length = 1; length <= 8; length++) {
        size_t size = entries_put_messages(bytes, 1, 0, length);
        size_t used = sizeof(struct entry) + sizeof(struct entry_messages) + 2 + length;
        CU_ASSERT_TRUE(entry_check(bytes, size));
        for (size_t at = used; at < size; at++) {
            bytes[at] = 1;
            CU_ASSERT_FALSE(entry_check(bytes, size));
            bytes[at] = 0;
        }
    }
}

static void message_limits(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    CU_ASSERT_TRUE(entries_check(bytes, entries_put_messages(bytes, 1, 0, KEEL_MSG_MAX)));
    CU_ASSERT_EQUAL(sizeof(struct entry) + sizeof(struct entry_messages) + 2 + KEEL_MSG_MAX,
                    KEEL_ENTRY_MAX);
    CU_ASSERT_TRUE(entries_check(bytes, entries_put_messages(bytes, 64, 1, 1)));
    CU_ASSERT_FALSE(entries_check(bytes, entries_put_messages(bytes, 65, 1, 1)));
    CU_ASSERT_FALSE(
        entries_check(bytes, entries_put_messages(bytes, 1, 0, 0))); /* no empty message */
    CU_ASSERT_FALSE(entries_check(bytes, entries_put_messages(bytes, 2, 0, 5)));
    size_t size = entries_put_messages(bytes, 2, 5, 5);
    struct entry_messages *m = (struct entry_messages *)(void *)(bytes + sizeof(struct entry));
    m->number = 0;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->number = ENTRY_NUMBER_MAX;
    CU_ASSERT_TRUE(entry_check(bytes, size));
    m->number = ENTRY_NUMBER_MAX + 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->number = 1;
    m->count = 0;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 3;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->count = 2;
    m->reserved = 1;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->reserved = 0;
    m->bytes++;
    CU_ASSERT_FALSE(entry_check(bytes, size));
    m->bytes--;
    CU_ASSERT_TRUE(entry_check(bytes, size));
    bytes[sizeof(struct entry) + sizeof(*m)]++; /* the first block reaches into the second */
    CU_ASSERT_FALSE(entry_check(bytes, size));
}

/* A sequencer stands behind the blocks, and only where the flag says so. */
static void fenced_messages(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX], body[sizeof(struct entry_messages) + 3 + KEEL_SEQUENCER_SIZE];
    struct entry_messages head = {
        .session = 5, .epoch = 6, .number = 7, .count = 1, .bytes = 3, .flags = ENTRY_FENCED};
    struct entry_sequencer sequencer = {.node = 9, .generation = 10, .mode = LOCK_EXCLUSIVE};
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), "\1\0x", 3);
    memcpy(body + sizeof(head) + 3, &sequencer, sizeof(sequencer));
    CU_ASSERT_TRUE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    CU_ASSERT_FALSE(
        entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body) - 9)));
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_NODE, body, sizeof(body))));
    head.flags = 0;
    memcpy(body, &head, sizeof(head));
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    head.flags = 2;
    memcpy(body, &head, sizeof(head));
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    head.flags = ENTRY_FENCED;
    memcpy(body, &head, sizeof(head));
    uint8_t *tail = body + sizeof(head) + 3;
    static const uint8_t zero_ok[KEEL_SEQUENCER_SIZE] = {0};
    memcpy(tail, zero_ok, 8); /* no node */
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    memcpy(tail, &sequencer, sizeof(sequencer));
    tail[16] = 3; /* no such mode */
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[16] = LOCK_SHARED;
    memcpy(tail + 8, zero_ok, 8); /* no generation */
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[8] = 10;
    tail[23] = 1; /* reserved */
    CU_ASSERT_FALSE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
    tail[23] = 0;
    CU_ASSERT_TRUE(entries_check(bytes, entries_put(bytes, ENTRY_MESSAGES, body, sizeof(body))));
}

/* A submit's body is checked before it has an entry's head: its own limit must hold alone. */
static void blocks_have_a_limit(void)
{
    for (uint32_t over = 0; over <= 1; over++) {
        struct entry_messages head = {.session = 5, .epoch = 6, .number = 7, .count = 2};
        uint8_t body[sizeof(head) + KEEL_BLOCKS_MAX + 1] = {0};
        head.bytes = (uint16_t)(KEEL_BLOCKS_MAX + over);
        memcpy(body, &head, sizeof(head));
        uint32_t length = head.bytes - 2u - 3u; /* beside a second block of one byte */
        body[sizeof(head)] = (uint8_t)length;
        body[sizeof(head) + 1] = (uint8_t)(length >> 8);
        body[sizeof(head) + 2 + length] = 1;
        CU_ASSERT_EQUAL(entry_messages_check(body, sizeof(head) + head.bytes), over == 0);
    }
}

/* One byte of a sane entry's body set to each value; how many of them are taken. */
static uint32_t taken(enum entry_kind kind, size_t offset)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    size_t size = entries_sample(bytes, kind);
    uint32_t count = 0;
    for (uint32_t value = 0; value < 256; value++) {
        bytes[sizeof(struct entry) + offset] = (uint8_t)value;
        count += entries_check(bytes, size);
    }
    return count;
}

static void body_ranges(void)
{
    const struct {
        enum entry_kind kind;
        size_t offset;
        uint32_t taken;
    } cases[] = {
        {ENTRY_NOOP, 4, 1},            /* reserved */
        {ENTRY_SESSION_OPEN, 0, 94},   /* first byte of a name: 0x21..0x7e */
        {ENTRY_SESSION_OPEN, 8, 95},   /* the last one may also end it */
        {ENTRY_SESSION_OPEN, 7, 94},   /* but no zero before another letter */
        {ENTRY_SESSION_OPEN, 9, 95},   /* one longer */
        {ENTRY_SESSION_OPEN, 10, 1},   /* zero padding */
        {ENTRY_SESSION_OPEN, 31, 1},   /* zero-terminated */
        {ENTRY_SESSION_OPEN, 32, 255}, /* process 0 */
        {ENTRY_SESSION_OPEN, 40, 256}, /* replaces */
        {ENTRY_SESSION_OPEN, 52, 64},  /* window 1..64 */
        {ENTRY_SESSION_OPEN, 53, 1},   /* 64 + 256 n */
        {ENTRY_SESSION_OPEN, 54, 1},   /* reserved */
        {ENTRY_SESSION_RESUME, 52, 64},
        {ENTRY_SESSION_RESUME, 0, 94},
        {ENTRY_SESSION_END, 0, 255},   /* session 0 */
        {ENTRY_SESSION_END, 24, 2},    /* reasons of an end: clean, killed */
        {ENTRY_SESSION_EXPIRE, 24, 1}, /* of an expiry: expired */
        {ENTRY_SESSION_END, 28, 1},    /* reserved */
        {ENTRY_DAY_END, 0, 94},        /* a day's name */
        {ENTRY_DAY_BEGIN, 7, 95},      /* may end in a space earlier */
        {ENTRY_DAY_BEGIN, 8, 95},      /* one longer */
        {ENTRY_DAY_BEGIN, 9, 1},       /* no letter behind a space */
        {ENTRY_DAY_BEGIN, 10, 1},      /* reserved */
        {ENTRY_BOOT, 0, 7},            /* replica 1..7 */
        {ENTRY_BOOT, 4, 1},
        {ENTRY_BOOT, 8, 255},
        {ENTRY_BOOT, 16, 255}, /* boots count from 1 */
        {ENTRY_CONFIG, 0, 8},  /* see configurations */
        {ENTRY_CONFIG, 1, 1},
        {ENTRY_CONFIG, 12, 1},
        {ENTRY_CONFIG, 16, 1},   /* id 0 has no incarnation */
        {ENTRY_CONFIG, 32, 255}, /* a named id has one, */
        {ENTRY_CONFIG, 40, 255}, /* an address, */
        {ENTRY_CONFIG, 46, 1},   /* and nothing reserved */
        {ENTRY_CONFIG, 80, 1},   /* another has none */
        {ENTRY_CONFIG, 88, 1},
        {ENTRY_DUE, 8, 1},         /* reserved */
        {ENTRY_OPERATOR, 0, 255},  /* request 0 */
        {ENTRY_OPERATOR, 16, 1},   /* a session beside a principal */
        {ENTRY_OPERATOR, 24, 240}, /* no replica's principal, ... */
        {ENTRY_OPERATOR, 25, 256}, /* ... any client's */
        {ENTRY_OPERATOR, 28, 2},   /* suspended or not */
        {ENTRY_OPERATOR, 32, 2},   /* a suspension and a limit have the same fields */
        {ENTRY_OPERATOR, 33, 1},   /* of no replica, */
        {ENTRY_OPERATOR, 34, 1},   /* without a block, */
        {ENTRY_OPERATOR, 36, 1},   /* and nothing reserved */
        {ENTRY_PROBE, 0, 1},
        {ENTRY_PROBE, 15, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t count = taken(cases[i].kind, cases[i].offset);
        if (count != cases[i].taken)
            printf("# kind %d, offset %zu: %u\n", (int)cases[i].kind, cases[i].offset, count);
        CU_ASSERT_EQUAL(count, cases[i].taken);
    }
}

static void names(void)
{
    char name[KEEL_NAME_MAX + 1];
    memset(name, 'x', sizeof(name));
    CU_ASSERT_FALSE(entry_name_ok(name)); /* no end */
    name[KEEL_NAME_MAX] = 0;
    CU_ASSERT_TRUE(entry_name_ok(name));
    CU_ASSERT_FALSE(entry_name_ok((const char[KEEL_NAME_MAX + 1]){"two words"}));
    CU_ASSERT_FALSE(entry_name_ok((const char[KEEL_NAME_MAX + 1]){"\xc3\xa9t\xc3\xa9"}));
    CU_ASSERT_TRUE(entry_day_name_ok("ABCDEFGHIJ"));
    CU_ASSERT_FALSE(entry_day_name_ok("          "));
    CU_ASSERT_FALSE(entry_day_name_ok("A\0        "));
}

/* Random damage to entries of every kind: the verdict is what it is, no read leaves the bytes, and
 * what is taken as messages can be walked block by block within its size. */
static void random_mutations(void)
{
    uint8_t bytes[KEEL_ENTRY_MAX];
    uint32_t walked = 0, refused = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        size_t size = round % 3 == 0
                          ? entries_put_messages(bytes, 1 + draw(20), 1 + draw(40), 1 + draw(300))
                          : entries_sample(bytes, kinds[draw(KINDS)]);
        uint32_t hits = draw(4);
        for (uint32_t i = 0; i < hits; i++)
            bytes[draw(2) == 0 ? draw((uint32_t)size) : 4 + draw(120) % (uint32_t)size] =
                (uint8_t)draw(draw(2) == 0 ? 4 : 256);
        size_t available = draw(4) == 0 ? draw((uint32_t)size + 1) : size;
        uint64_t *exact = malloc(size + 8);
        memcpy(exact, bytes, size);
        bool ok = entries_check(bytes, available);
        CU_ASSERT_EQUAL(ok, entry_check(exact, available));
        const struct entry *e = (const struct entry *)(const void *)exact;
        refused += !ok;
        if (ok && e->kind == ENTRY_MESSAGES) {
            const struct entry_messages *m = entry_body(e);
            uint32_t offset = 0;
            for (uint32_t i = 0; i < m->count; i++) {
                uint16_t length;
                const uint8_t *block = entry_block_next(e, &offset, &length);
                CU_ASSERT_FATAL(block + length <= (const uint8_t *)e + e->size);
                CU_ASSERT_FATAL(length >= KEEL_MSG_MIN);
                walked++;
            }
            CU_ASSERT_EQUAL(offset, m->bytes);
        }
        free(exact);
    }
    CU_ASSERT(walked > 10000);
    CU_ASSERT(refused > 10000);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a sane entry of each kind is taken, cut off it is not", each_kind_is_taken},
        {"size, version and kind out of form", heads_out_of_form},
        {"padding is zero", padding_is_zero},
        {"limits of messages and blocks", message_limits},
        {"blocks have a limit of their own", blocks_have_a_limit},
        {"a sequencer behind the blocks", fenced_messages},
        {"values of each body keep their ranges", body_ranges},
        {"names of sessions and days", names},
        {"random damage is never read beyond", random_mutations},
        {0}};
    return unit_main("entry", tests);
}
