#include "tests/unit/raft/lone.h"

#include "tests/unit/unit.h"

struct raft raft;
struct raft_out out;
uint64_t now_ns;

struct raft_boot boot_of(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term)
{
    struct raft_boot boot = {.id = 1,
                             .term = term,
                             .durable_lsn = 100,
                             .now_ns = now_ns = 1000 * MS,
                             .incarnation = 11,
                             .config_count = 1,
                             .config = {{.voters = 0x0e, .incarnation = {0, 11, 12, 13}}},
                             .options = {.election_min_ns = ELECTION_MS * MS,
                                         .heartbeat_ns = HEARTBEAT_MS * MS,
                                         .stall_ns = STALL_MS * MS,
                                         .flights = 4,
                                         .flight_bytes = 1 << 20}};
    boot.commit = first - 1;
    raft_log_init(&boot.log, first, prev_term);
    if (entries > 0)
        raft_log_append(&boot.log, term, entries);
    return boot;
}

void start(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term)
{
    const struct raft_boot boot = boot_of(first, prev_term, entries, term);
    raft_init(&raft, &boot);
}

void step(struct raft_in in)
{
    in.now_ns = now_ns;
    raft_step(&raft, &in, &out);
}

void receive(struct raft_msg msg)
{
    msg.to = 1;
    step((struct raft_in){.event = RAFT_EV_RECV,
                          .msg = msg,
                          .space = true,
                          .chain_mine = 7,
                          .incarnation = 10u + msg.from});
}

void durable(void)
{
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
}

void lead(void)
{
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_PRECANDIDATE);
    receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                              .from = 2,
                              .status = 1,
                              .term = raft.term + 1,
                              .probe = raft.probe_next - 1});
    durable();
    receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .status = 1, .term = raft.term});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_LEADER);
    CU_ASSERT(out.elected && out.noop == (raft.hole == 0) && out.append_count == out.noop);
}

void send_all(uint8_t peer)
{
    struct raft_msg msg;
    while (raft_append_next(&raft, peer, &msg))
        step((struct raft_in){
            .event = RAFT_EV_SENT, .peer = peer, .index = msg.prev_index + msg.count, .bytes = 64});
}

struct raft_msg reply(uint8_t from, uint64_t match, uint64_t flags)
{
    return (struct raft_msg){.kind = RAFT_APPEND_REPLY,
                             .from = from,
                             .term = raft.term,
                             .match = match,
                             .hint_index = match,
                             .probe = raft.probe_next - 1,
                             .flags = flags};
}

void holds_all(uint8_t peer)
{
    send_all(peer);
    receive(reply(peer, raft.log.last, 0));
}

void settle(void)
{
    durable();
    holds_all(2);
}

void propose(uint32_t count)
{
    step((struct raft_in){.event = RAFT_EV_PROPOSE, .count = count});
}

void tick(uint64_t ms)
{
    now_ns += ms * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
}

void beat(uint64_t flags_2, uint64_t flags_3)
{
    tick(HEARTBEAT_MS);
    if (raft.role == RAFT_LEADER)
        receive(reply(2, raft.peer[2].match, flags_2));
    if (raft.role == RAFT_LEADER)
        receive(reply(3, raft.peer[3].match, flags_3));
}
