#include "client/lease.h"

enum { PPM = 1000000 };

void lease_init(struct lease *lease, uint64_t grace_ns)
{
    *lease = (struct lease){.state = LEASE_NONE, .grace_ns = grace_ns};
}

bool lease_answered(struct lease *lease, uint64_t sent_ns, uint32_t ttl_ms, uint32_t rho_ppm,
                    uint64_t term, uint64_t now_ns)
{
    if (lease_look(lease, now_ns) == LEASE_EXPIRED)
        return false;
    bool other = lease->term != 0 && term > lease->term;
    if (term > lease->term)
        lease->term = term;
    /* "TTL x (1 - rho)": ms x (1e6 - rho_ppm) is ns without a rounding */
    uint64_t until_ns = sent_ns + (uint64_t)ttl_ms * (rho_ppm < PPM ? PPM - rho_ppm : 0);
    if (until_ns > lease->until_ns)
        lease->until_ns = until_ns;
    if (now_ns < lease->until_ns)
        lease->state = LEASE_SAFE;
    return other;
}

enum lease_state lease_look(struct lease *lease, uint64_t now_ns)
{
    if (lease->state == LEASE_SAFE && now_ns >= lease->until_ns)
        lease->state = LEASE_JEOPARDY;
    if (lease->state == LEASE_JEOPARDY && now_ns - lease->until_ns >= lease->grace_ns)
        lease->state = LEASE_EXPIRED;
    return lease->state;
}

uint64_t lease_changes_ns(const struct lease *lease)
{
    if (lease->state == LEASE_SAFE)
        return lease->until_ns;
    return lease->state == LEASE_JEOPARDY ? lease->until_ns + lease->grace_ns : UINT64_MAX;
}
