/* What bounds a handshake: limits by source, retry times, handles. */
#include "dataplane/auth/handshake.h"

#include "tests/unit/auth/shake.h"
#include "tests/unit/unit.h"

#include <string.h>

/* HELLO and SALT of one source address are limited; another source is served meanwhile. SALTs with
 * bad cookies (forged addresses) use up nobody's allowance. */
static void test_limits(void)
{
    struct world *w = shake_world(16);
    struct datagram salt, hello, forged, out;
    uint32_t answered = 0;

    until_salt(w, R1, R2, &salt);
    forged = salt;
    forged.bytes[40] ^= 1;
    for (int i = 0; i < 1000; i++)
        CU_ASSERT(give(w, R2, R1, &forged, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_COOKIE) == 1000);
    for (int i = 0; i < 1000; i++)
        answered += give(w, R2, R1, &salt, &out) == HANDSHAKE_SEND_INSTALL;
    CU_ASSERT(answered == HANDSHAKE_SALT_BURST);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BUSY) == 1000 - HANDSHAKE_SALT_BURST);
    CU_ASSERT(shake(w, CLIENT, R2));
    w->now_ms += 1000;
    answered = 0;
    for (int i = 0; i < 1000; i++)
        answered += give(w, R2, R1, &salt, &out) == HANDSHAKE_SEND_INSTALL;
    CU_ASSERT(answered == HANDSHAKE_SALT_PER_S);
    begin(w, R1, R2, &hello);
    answered = 0;
    for (int i = 0; i < 1000; i++)
        answered += give(w, R2, R1, &hello, &out) == HANDSHAKE_SEND;
    CU_ASSERT(answered == HANDSHAKE_HELLO_BURST);
    world_free(w);
}

/* Retries: HELLO at 100, 300, 700, ... 400 ms apart at most; after SALT was sent in vain four
 * times, HELLO with a new nonce. */
static void test_retry_times(void)
{
    struct world *w = shake_world(17);
    struct handshake *h = w->node[R1].handshake;
    struct datagram hello, cookie, salt, again;
    struct handshake_address to;
    uint64_t start = w->now_ms, want = start + 100, step = 200;

    begin(w, R1, R2, &hello);
    for (uint64_t now = start; now < start + 20000; now++) {
        if (!handshake_retry(h, now, &to, again.bytes, &again.size))
            continue;
        CU_ASSERT(now == want && again.size == 72 && memcmp(again.bytes, hello.bytes, 72) == 0);
        CU_ASSERT(to.ip == w->node[R2].address.ip);
        want += step;
        step = step * 2 > HANDSHAKE_RETRY_MAX_MS ? HANDSHAKE_RETRY_MAX_MS : step * 2;
    }
    CU_ASSERT(step == HANDSHAKE_RETRY_MAX_MS && step == 400);
    w->now_ms = start + 20000;
    CU_ASSERT(give(w, R2, R1, &hello, &cookie) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R1, R2, &cookie, &salt) == HANDSHAKE_SEND);
    uint64_t now = w->now_ms;
    for (int sent = 1; sent < HANDSHAKE_SALT_TRIES; sent++) {
        for (; !handshake_retry(h, now, &to, again.bytes, &again.size); now++)
            CU_ASSERT_FATAL(now < w->now_ms + 20000);
        CU_ASSERT(again.size == 168 && memcmp(again.bytes, salt.bytes, 168) == 0);
    }
    for (; !handshake_retry(h, now, &to, again.bytes, &again.size); now++)
        CU_ASSERT_FATAL(now < w->now_ms + 20000);
    CU_ASSERT(now == w->now_ms + 100 + 200 + 400 + 400);
    CU_ASSERT(again.size == 72 && memcmp(again.bytes + 32, hello.bytes + 32, 16) != 0);
    world_free(w);
}

static void test_handles_are_distinct(void)
{
    enum { COUNT = 1000 };
    struct world *w = shake_world(18);
    struct datagram salt, out;
    uint32_t handle[COUNT];

    for (int i = 0; i < COUNT; i++) {
        w->now_ms += 100;
        if (i % 10 == 0)
            until_salt(w, R1, R2, &salt);
        CU_ASSERT_FATAL(give(w, R2, R1, &salt, &out) == HANDSHAKE_SEND_INSTALL);
        handle[i] = w->node[R2].last_install.handle;
        for (int j = 0; j < i; j++)
            CU_ASSERT_FATAL(handle[i] != handle[j]);
    }
    world_free(w);
}

int main(void)
{
    static const struct unit_test tests[] = {{"limits by source", test_limits},
                                             {"retry times", test_retry_times},
                                             {"handles are distinct", test_handles_are_distinct},
                                             {0}};
    return unit_main("handshake_limits", tests);
}
