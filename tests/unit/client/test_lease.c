/* A client's lease against a server's expiry, under clocks of their own: whatever both drift within
 * rho, the client has stopped believing before the server may give its locks away.
 */
#include "client/lease.h"

#include "tests/unit/client/fake.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
enum { TTL_MS = 4000, RHO = 20000, PPM = 1000000 };

static void states(void)
{
    struct lease l;
    lease_init(&l, 1000 * MS);
    CU_ASSERT_EQUAL(lease_look(&l, 5), LEASE_NONE);
    CU_ASSERT_EQUAL(lease_changes_ns(&l), UINT64_MAX);
    CU_ASSERT_FALSE(lease_answered(&l, 100 * MS, 1000, 100000, 3, 120 * MS));
    uint64_t until = 100 * MS + 900 * MS; /* TTL x (1 - rho) from the sending */
    CU_ASSERT_EQUAL(lease_changes_ns(&l), until);
    CU_ASSERT_EQUAL(lease_look(&l, until - 1), LEASE_SAFE);
    CU_ASSERT_EQUAL(lease_look(&l, until), LEASE_JEOPARDY);
    CU_ASSERT_EQUAL(lease_changes_ns(&l), until + 1000 * MS);
    /* Another leader answers within the grace: safe, and a fail-over. */
    CU_ASSERT_TRUE(lease_answered(&l, until, 1000, 100000, 4, until + 5));
    CU_ASSERT_EQUAL(lease_look(&l, until + 5), LEASE_SAFE);
    /* An older copy's answer, and an older leader's, take nothing back. */
    uint64_t next = lease_changes_ns(&l);
    CU_ASSERT_FALSE(lease_answered(&l, until - 50, 1000, 100000, 3, until + 6));
    CU_ASSERT_EQUAL(lease_changes_ns(&l), next);
    CU_ASSERT_EQUAL(l.term, 4);
    CU_ASSERT_EQUAL(lease_look(&l, next + 1000 * MS), LEASE_EXPIRED);
    CU_ASSERT_FALSE(lease_answered(&l, next + 1000 * MS, 1000, 100000, 5, next + 1000 * MS + 1));
    CU_ASSERT_EQUAL(lease_look(&l, next + 1000 * MS + 2), LEASE_EXPIRED); /* for good */
}

/* An answer that took so long that the lease it brings is over already makes nobody safe. */
static void late_answers(void)
{
    struct lease l;
    lease_init(&l, 10000 * MS);
    lease_answered(&l, MS, 1000, 0, 1, 2 * MS);
    CU_ASSERT_EQUAL(lease_look(&l, 1500 * MS), LEASE_JEOPARDY);
    lease_answered(&l, 400 * MS, 1000, 0, 1, 1500 * MS);
    CU_ASSERT_EQUAL(lease_look(&l, 1500 * MS), LEASE_JEOPARDY);
    CU_ASSERT_EQUAL(l.until_ns, 1400 * MS);
}

/* One run in true time: keepalives with delays and losses; the server proposes expiry TTL x (1 +
 * rho) of its clock after its last answer. Returns true if the client still believed at that
 * moment. */
static bool overlaps(struct rng *rng, int64_t client_ppm, int64_t server_ppm)
{
    struct lease l;
    uint64_t sent[64], count = 0, true_ns = 1000 * MS, answered_ns = 0,
                       silence = 4 + rng_below(rng, 40);
    lease_init(&l, 1);
    for (uint64_t i = 0; i < silence; i++) {
        uint64_t there = true_ns + rng_below(rng, 300) * MS;
        uint64_t held = rng_below(rng, TTL_MS / 3) * MS;
        uint64_t back = there + held + rng_below(rng, 2000) * MS;
        sent[count++] = true_ns;
        if (rng_below(rng, 4) != 0) {
            answered_ns = there + held; /* the answer leaves */
            if (rng_below(rng, 4) != 0) {
                uint64_t now = back + back * (uint64_t)(PPM + client_ppm) / PPM - back;
                uint64_t at = sent[count - 1] * (uint64_t)(PPM + client_ppm) / PPM;
                lease_answered(&l, at, TTL_MS, RHO, 1, now);
            }
        }
        true_ns = back + rng_below(rng, 100) * MS;
    }
    if (answered_ns == 0)
        return false;
    /* true time at which TTL x (1 + rho) of the server's clock have passed since its last answer */
    uint64_t wait = (uint64_t)TTL_MS * (PPM + RHO); /* ns of its clock */
    uint64_t expiry = answered_ns + wait * PPM / (uint64_t)(PPM + server_ppm);
    uint64_t client_now = expiry * (uint64_t)(PPM + client_ppm) / PPM;
    return l.until_ns > client_now;
}

static void clocks_drift(void)
{
    struct rng rng = {99};
    uint32_t beyond = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        int64_t client = (int64_t)rng_below(&rng, 2 * RHO + 1) - RHO;
        int64_t server = (int64_t)rng_below(&rng, 2 * RHO + 1) - RHO;
        CU_ASSERT_FALSE(overlaps(&rng, client, server));
        beyond += overlaps(&rng, -3 * (int64_t)RHO, 3 * (int64_t)RHO);
    }
    CU_ASSERT_TRUE(beyond > 0); /* at three times the bound it does happen: the check can fail */
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"safe, jeopardy, safe again, expired", states},
        {"an answer that is too late brings nothing", late_answers},
        {"no belief outlives the server's patience while clocks keep the bound", clocks_drift},
        {0}};
    return unit_main("client_lease", tests);
}
