/* The body of PACKET_GENESIS: every kind there and back, and every way to be malformed. */
#include "consensus/wire/packet_genesis.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct paxos_msg message(uint8_t kind, uint64_t held)
{
    struct paxos_msg msg = {.kind = kind,
                            .locked = 1,
                            .founders = 0x01020304,
                            .list = 5,
                            .ballot = paxos_ballot(7, 2),
                            .held = held};
    if (kind == PAXOS_ACCEPT || kind == PAXOS_DECIDED || (kind == PAXOS_PROMISE && held != 0))
        memset(&msg.value, 0x5a, sizeof(msg.value));
    return msg;
}

static void there_and_back(void)
{
    for (uint8_t kind = PAXOS_HELLO; kind < PAXOS_KINDS; kind++)
        for (uint64_t held = 0; held < 2; held++) {
            uint8_t body[PACKET_GENESIS_MAX + 1];
            const struct paxos_msg msg = message(kind, held);
            struct paxos_msg back;
            size_t size = packet_genesis_encode(&msg, body);
            bool record = msg.value.magic != 0;
            CU_ASSERT_EQUAL(size, record ? 544 : 32);
            CU_ASSERT(packet_genesis_decode(body, size, &back));
            CU_ASSERT(memcmp(&back, &msg, sizeof(msg)) == 0);
            for (size_t other = 0; other <= sizeof(body); other++)
                CU_ASSERT_EQUAL(packet_genesis_decode(body, other, &back), other == size);
        }
}

static void bytes_are_as_documented(void)
{
    uint8_t body[PACKET_GENESIS_MAX];
    const struct paxos_msg msg = message(PAXOS_REFUSE, 0x0807060504030201);
    static const uint8_t wanted[] = {7, 1, 0, 0, 4, 3, 2, 1, 5, 0, 0, 0, 0, 0, 0, 0,
                                     2, 7, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    CU_ASSERT_EQUAL(packet_genesis_encode(&msg, body), sizeof(wanted));
    CU_ASSERT(memcmp(body, wanted, sizeof(wanted)) == 0);
}

static void malformed(void)
{
    uint8_t body[PACKET_GENESIS_MAX];
    const struct paxos_msg msg = message(PAXOS_HELLO, 0);
    struct paxos_msg back;
    size_t size = packet_genesis_encode(&msg, body);
    static const struct {
        uint8_t at, value;
    } bad[] = {{0, 0}, {0, PAXOS_KINDS}, {0, 255}, {1, 2}, {2, 1}, {3, 1}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t before = body[bad[i].at];
        body[bad[i].at] = bad[i].value;
        CU_ASSERT_FALSE(packet_genesis_decode(body, size, &back));
        body[bad[i].at] = before;
    }
    CU_ASSERT(packet_genesis_decode(body, size, &back));
}

int main(void)
{
    static const struct unit_test tests[] = {{"there and back", there_and_back},
                                             {"bytes are as documented", bytes_are_as_documented},
                                             {"malformed", malformed},
                                             {0}};
    return unit_main("packets of the genesis", tests);
}
