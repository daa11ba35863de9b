/* The links between seq and control, seq's side. */
#include "dataplane/replica.h"

#include <stdio.h>
#include <string.h>

struct notice *notice_begin(struct replica *r, enum notice_kind kind)
{
    struct notice *notice = spsc_reserve(&r->notices);
    if (notice == NULL)
        metric_add(&r->metrics.drop[DROP_CONTROL_FULL], 1);
    else
        notice->kind = kind;
    return notice;
}

bool notice_datagram(struct replica *r, const struct frame_datagram *datagram)
{
    if (datagram->size > HANDSHAKE_PACKET_MAX) {
        metric_add(&r->metrics.drop[DROP_BODY], 1);
        return false;
    }
    /* Anybody may send these: a flood of them must leave room for what was authenticated. */
    if (spsc_room(&r->notices) <= LINK_CONTROL_NOTICES / 2) {
        metric_add(&r->metrics.drop[DROP_CONTROL_FULL], 1);
        return false;
    }
    struct notice *notice = notice_begin(r, NOTICE_DATAGRAM);
    if (notice == NULL)
        return false;
    notice->from = datagram->from;
    notice->size = datagram->size;
    memcpy(notice->u.bytes, datagram->payload, datagram->size);
    spsc_push(&r->notices);
    return true;
}

/* A part of the link stays free of what clients send, for what control cannot do without. */
static struct notice *notice_of_client(struct replica *r, enum notice_kind kind, uint32_t spare)
{
    if (spsc_room(&r->notices) > spare)
        return notice_begin(r, kind);
    metric_add(&r->metrics.drop[DROP_CONTROL_FULL], 1);
    return NULL;
}

bool notice_keepalive(struct replica *r, uint32_t principal, const struct packet_keepalive *body)
{
    struct notice *notice = notice_of_client(r, NOTICE_KEEPALIVE, LINK_CONTROL_NOTICES / 4);
    if (notice == NULL)
        return false;
    notice->u.keepalive.principal = principal;
    notice->u.keepalive.body = *body;
    spsc_push(&r->notices);
    return true;
}

bool notice_query(struct replica *r, uint32_t principal, const void *body, size_t size)
{
    struct notice *notice = notice_of_client(r, NOTICE_QUERY, LINK_CONTROL_NOTICES / 2);
    if (notice == NULL)
        return false;
    ENSURE(size <= NOTICE_QUERY_MAX);
    notice->size = (uint32_t)size;
    notice->u.query.commit = r->raft.commit;
    notice->u.query.principal = principal;
    memcpy(notice->u.query.bytes, body, size);
    spsc_push(&r->notices);
    return true;
}

bool notice_digests(struct replica *r, uint32_t from, const void *body)
{
    struct notice *notice = notice_begin(r, NOTICE_DIGESTS);
    if (notice == NULL)
        return false;
    notice->u.digests.from = from;
    memcpy(&notice->u.digests.body, body, sizeof(notice->u.digests.body));
    spsc_push(&r->notices);
    return true;
}

bool notice_members(struct replica *r, const void *body)
{
    struct notice *notice = notice_begin(r, NOTICE_MEMBERS);
    if (notice == NULL)
        return false;
    memcpy(&notice->u.members, body, sizeof(notice->u.members));
    spsc_push(&r->notices);
    return true;
}

bool notice_chunk(struct replica *r, uint32_t from, uint8_t kind, const void *body, size_t size)
{
    struct link_chunk *chunk = spsc_reserve(&r->chunks_in);
    if (chunk == NULL || size > sizeof(chunk->bytes)) {
        metric_add(&r->metrics.drop[chunk == NULL ? DROP_CONTROL_FULL : DROP_BODY], 1);
        return false;
    }
    chunk->principal = from;
    chunk->kind = kind;
    chunk->size = (uint16_t)size;
    memcpy(chunk->bytes, body, size);
    spsc_push(&r->chunks_in);
    return true;
}

/* Where the committed, locally durable entries from `index` on lie on the drive. */
static void spans(struct replica *r, uint64_t index)
{
    struct notice *notice = notice_begin(r, NOTICE_SPANS_ARE);
    if (notice == NULL)
        return;
    uint64_t durable = raft_durable_index(&r->raft);
    uint64_t end = r->machine->applied < durable ? r->machine->applied : durable;
    uint32_t count = 0;
    while (count < NOTICE_SPANS && index <= end) {
        struct log_span *span = &notice->u.spans.span[count];
        if (!ring_span(r->ring, index, &span->page, &span->first, &span->last))
            break;
        span->first = index;
        if (span->last > end)
            span->last = end;
        index = span->last + 1;
        count++;
    }
    notice->size = count;
    notice->u.spans.durable_lsn = r->gate.durable_lsn;
    spsc_push(&r->notices);
}

static void propose(struct replica *r, const struct command *command)
{
    enum raft_refusal refusal = RAFT_CHANGED;
    uint64_t index = 0;
    if (command->entry_kind == ENTRY_CONFIG) {
        struct entry_config wanted;
        memcpy(&wanted, command->u.bytes, sizeof(wanted));
        if (command->dry)
            refusal = step_change_fit(r, &wanted, command->index);
        else
            index = step_change(r, &wanted, command->index, &refusal);
    } else {
        index = intake_own(r, command->entry_kind, command->u.bytes, (uint16_t)command->size);
    }
    struct notice *notice = notice_begin(r, NOTICE_PROPOSED);
    if (notice == NULL)
        return;
    notice->u.proposed.tag = command->tag;
    notice->u.proposed.index = index;
    notice->u.proposed.term = r->raft.term;
    notice->u.proposed.refusal = refusal;
    spsc_push(&r->notices);
}

static void answer(struct replica *r, const struct command *command)
{
    struct port_frame frame;
    if (command->tag != 0 && !leadership_lease(r, command->tag)) {
        metric_add(&r->metrics.drop[DROP_LEASE_OVER], 1);
        return;
    }
    if (command->packet_kind == PACKET_LEASE &&
        !intake_lives(r, (const void *)command->u.bytes, command->index)) {
        metric_add(&r->metrics.drop[DROP_LEASE_OVER], 1);
        return;
    }
    if (!send_begin(r, &frame))
        return;
    memcpy(send_body(&frame), command->u.bytes, command->size);
    send_sealed(r, &frame, command->principal, command->packet_kind, command->size);
}

/* Stamped here, so that waiting for this turn is no part of the trip. */
static void ping(struct replica *r, const struct command *command)
{
    struct port_frame frame;
    const struct packet_ping body = {.stamp = r->now_ns};
    r->majority_ns = command->index;
    if (!send_begin(r, &frame))
        return;
    memcpy(send_body(&frame), &body, sizeof(body));
    send_sealed(r, &frame, command->principal, AUTH_KIND_PING, sizeof(body));
}

uint32_t chunks_turn(struct replica *r)
{
    uint32_t work = 0;
    for (; work < REPLICA_CHUNKS_MAX; work++) {
        const struct link_chunk *chunk = spsc_peek(&r->chunks_out);
        struct port_frame frame;
        if (chunk == NULL || !send_begin(r, &frame))
            break;
        memcpy(send_body(&frame), chunk->bytes, chunk->size);
        send_sealed(r, &frame, chunk->principal, chunk->kind, chunk->size);
        spsc_drop(&r->chunks_out);
    }
    return work > 0 ? work + send_flush(r) : 0;
}

/* A peer remembers more of this replica than its drive holds: a write that was confirmed is gone
 * (H13). Compared here, where nothing that was said can be newer than what is. */
static bool witness_denies(const struct replica *r, const struct auth_install *install)
{
    if (install->witness_term != r->raft.term)
        return install->witness_term > r->raft.term;
    return install->witness_index > r->raft.log.last ||
           (install->witness_vote != 0 && install->witness_vote != r->raft.vote);
}

/* The end of this replica's work, so that text may be made. */
static __attribute__((cold, noinline)) void stop_witnessed(struct replica *r,
                                                           const struct auth_install *install)
{
    char why[160];
    snprintf(why, sizeof(why),
             "replica %u remembers term %llu, vote %u, index %llu of this replica, whose drive "
             "lost them: keep the drive out of service and replace it",
             install->peer, (unsigned long long)install->witness_term, install->witness_vote,
             (unsigned long long)install->witness_index);
    replica_stop(r, why);
}

static void install(struct replica *r, const struct command *command)
{
    struct auth_install association = command->u.install;
    association.now_ns = r->now_ns;
    if (association.peer <= KEEL_REPLICA_MAX && witness_denies(r, &association))
        stop_witnessed(r, &association);
    auth_install(r->auth, &association);
    explicit_bzero(&association, sizeof(association));
}

static void obey(struct replica *r, const struct command *command)
{
    switch ((enum command_kind)command->kind) {
    case COMMAND_SEND:
        send_raw(r, &command->to, r->options.udp_port, command->u.bytes, command->size);
        break;
    case COMMAND_ANSWER:
        answer(r, command);
        break;
    case COMMAND_INSTALL:
        install(r, command);
        break;
    case COMMAND_FORGET:
        auth_forget(r->auth, command->principal);
        break;
    case COMMAND_PROPOSE:
        propose(r, command);
        break;
    case COMMAND_SPANS:
        spans(r, command->index);
        break;
    case COMMAND_TRANSFER:
        leadership_transfer(r, command);
        break;
    case COMMAND_READ:
        leadership_read(r, command->tag);
        break;
    case COMMAND_DAMAGED:
        repair_damaged(r, command->index);
        break;
    case COMMAND_PING:
        ping(r, command);
        break;
    case COMMAND_STOP:
        replica_stop(r, (const char *)command->u.bytes);
        break;
    }
}

uint32_t command_turn(struct replica *r)
{
    uint32_t work = 0;
    for (; work < REPLICA_COMMANDS_MAX; work++) {
        const struct command *command = spsc_peek(&r->commands);
        if (command == NULL)
            break;
        obey(r, command);
        spsc_drop(&r->commands);
    }
    work += step_propose(r);
    return r->read_count > 0 ? work + leadership_turn(r) : work;
}
