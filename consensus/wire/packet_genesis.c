#include "consensus/wire/packet_genesis.h"

#include <string.h>

static bool carries_record(uint8_t kind, uint64_t held)
{
    return kind == PAXOS_ACCEPT || kind == PAXOS_DECIDED || (kind == PAXOS_PROMISE && held != 0);
}

bool packet_genesis_decode(const void *body, size_t size, struct paxos_msg *msg)
{
    struct packet_genesis p;
    memset(msg, 0, sizeof(*msg));
    if (size < sizeof(p))
        return false;
    memcpy(&p, body, sizeof(p));
    if (p.kind < PAXOS_HELLO || p.kind >= PAXOS_KINDS || p.locked > 1 || p.reserved[0] != 0 ||
        p.reserved[1] != 0)
        return false;
    bool record = carries_record(p.kind, p.held);
    if (size != sizeof(p) + (record ? GENESIS_SIZE : 0))
        return false;
    msg->kind = p.kind;
    msg->locked = p.locked;
    msg->founders = p.founders;
    msg->list = p.list;
    msg->ballot = p.ballot;
    msg->held = p.held;
    if (record)
        memcpy(&msg->value, (const uint8_t *)body + sizeof(p), sizeof(msg->value));
    return true;
}

size_t packet_genesis_encode(const struct paxos_msg *msg, void *body)
{
    const struct packet_genesis p = {.kind = msg->kind,
                                     .locked = msg->locked,
                                     .founders = msg->founders,
                                     .list = msg->list,
                                     .ballot = msg->ballot,
                                     .held = msg->held};
    memcpy(body, &p, sizeof(p));
    if (!carries_record(msg->kind, msg->held))
        return sizeof(p);
    memcpy((uint8_t *)body + sizeof(p), &msg->value, sizeof(msg->value));
    return sizeof(p) + sizeof(msg->value);
}
