/* Membership by joint consensus (dissertation 4.3; 4.1 and 4.2 for what every change owes).
 *
 * A configuration is in force from the moment it is appended, committed or not; a truncation brings
 * the one before back. A change of voters goes through a joint configuration, in which elections
 * and commitment need a majority of the old voters and one of the new; its leader appends the final
 * one as soon as the joint one is committed, and so does any later leader that finds it in its log.
 * Learners come and go without that: no majority changes.
 */
#include "consensus/ensure.h"
#include "consensus/raft/quorum.h"
#include "consensus/raft/raft.h"
#include "consensus/raft/raft_internal.h"

#include <string.h>

enum {
    CAUGHT_UP_ENTRIES = 1024, /* a learner that lacks no more is promoted in well under a timeout */
    LEAVING_HEARTBEATS = 20   /* a removed replica is told so for this long */
};

const char *raft_refusal_name(enum raft_refusal refusal)
{
    switch (refusal) {
    case RAFT_CHANGED:
        return "changed";
    case RAFT_REFUSED_NOT_LEADER:
        return "not the leader";
    case RAFT_REFUSED_UNSETTLED:
        return "the leader has committed nothing of its term yet";
    case RAFT_REFUSED_PENDING:
        return "the last change is not complete";
    case RAFT_REFUSED_OUTDATED:
        return "another configuration is in force by now";
    case RAFT_REFUSED_INVALID:
        return "no valid configuration";
    case RAFT_REFUSED_SAME:
        return "nothing would change";
    case RAFT_REFUSED_IN_PLACE:
        return "a member cannot become another incarnation: remove it first";
    case RAFT_REFUSED_BEHIND:
        return "a new voter is no learner that has caught up";
    case RAFT_REFUSED_NO_QUORUM:
        return "no majority of the new voters is in contact";
    case RAFT_REFUSED_NO_ROOM:
        return "the log has no room for it now";
    }
    return "?";
}

HOT bool raft_is_member(const struct raft *raft, uint8_t id, uint64_t incarnation)
{
    return (raft_members(&raft->config) & raft_bit(id)) != 0 &&
           raft->config.incarnation[id] == incarnation;
}

static bool votes_under(const struct raft *raft, const struct raft_config *config)
{
    return ((config->voters | config->voters_new) & raft_bit(raft->id)) != 0 &&
           config->incarnation[raft->id] == raft->incarnation;
}

bool raft_is_voter(const struct raft *raft)
{
    return votes_under(raft, &raft->config);
}

/* 4.2.2 and its errata: a voter of the old configuration may still have to campaign. While the one
 * without it is not committed, its log may be the only one that can win. */
bool raft_may_vote(const struct raft *raft)
{
    return votes_under(raft, &raft->config) || votes_under(raft, &raft->previous);
}

static bool valid(const struct raft_config *config)
{
    uint32_t voters = config->voters | config->voters_new;
    if (config->voters == 0 || (raft_members(config) & ~UINT32_C(0xfe)) != 0 ||
        (config->learners & (config->voters_new != 0 ? config->voters_new : voters)) != 0)
        return false;
    for (uint8_t id = 0; id <= RAFT_ID_MAX; id++)
        if (((raft_members(config) & raft_bit(id)) != 0) != (config->incarnation[id] != 0))
            return false;
    return true;
}

/* 4.1: no leader appends a configuration before the one ahead of it in its log is committed.
 * Whoever holds this one therefore knows, whatever else it was told, that the one before is
 * committed: a truncation can bring back that one and no older, however many changes follow each
 * other. */
static void push(struct raft *raft, const struct raft_config *config)
{
    ENSURE(config->index > raft->config.index);
    if (raft->commit < raft->config.index)
        raft->commit = raft->config.index;
    raft->previous = raft->config;
    raft->config = *config;
    raft_config_committed(raft);
}

void raft_config_boot(struct raft *raft, const struct raft_boot *boot)
{
    ENSURE(boot->config_count >= 1 && boot->config_count <= RAFT_CONFIGS_MAX + 1);
    ENSURE(boot->config_count > 1 || boot->config[0].index <= raft->commit);
    ENSURE(valid(&boot->config[0]));
    raft->config = boot->config[0];
    for (uint32_t i = 1; i < boot->config_count; i++) {
        ENSURE(boot->config[i].index <= raft->log.last && valid(&boot->config[i]));
        push(raft, &boot->config[i]);
    }
}

HOT void raft_config_committed(struct raft *raft)
{
    if (raft->previous.voters != 0 && raft->config.index <= raft->commit)
        memset(&raft->previous, 0, sizeof(raft->previous));
}

void raft_config_install(struct raft *raft, const struct raft_config *config)
{
    ENSURE(valid(config));
    raft->config = *config;
    memset(&raft->previous, 0, sizeof(raft->previous));
}

void raft_config_repaired(struct raft *raft, const struct raft_config *config)
{
    ENSURE(config->index <= raft->log.last && valid(config));
    if (config->index > raft->config.index) {
        push(raft, config);
    } else if (raft->config.index > raft->commit && config->index < raft->config.index &&
               config->index > raft->previous.index) {
        /* It stands right before the one in force, which proves that it is committed. */
        if (raft->commit < config->index)
            raft->commit = config->index;
        raft->previous = *config;
    }
}

/* 4.1: a server falls back to the previous configuration when its log is cut back. */
void raft_config_truncated(struct raft *raft)
{
    if (raft->config.index <= raft->log.last)
        return;
    /* What is committed is never cut off. */
    ENSURE(raft->previous.voters != 0 && raft->previous.index <= raft->log.last);
    raft->config = raft->previous;
    memset(&raft->previous, 0, sizeof(raft->previous));
}

/* What cannot be right is not stored: no correct leader sends it, so it waits like want of room. */
bool raft_config_fits(const struct raft_in *in)
{
    for (uint32_t i = 0; i < in->config_count; i++)
        if (!valid(&in->config[i]))
            return false;
    return true;
}

/* 4.1: a server uses the latest configuration in its log, as soon as it is there. */
HOT void raft_config_take(struct raft *raft, const struct raft_in *in, uint64_t held)
{
    for (uint32_t i = 0; i < in->config_count; i++) {
        ENSURE(in->config[i].index <= raft->log.last);
        if (in->config[i].index > held)
            push(raft, &in->config[i]);
    }
}

/* The leader appends a configuration, which the caller frames. */
static void enter(struct raft *raft, struct raft_out *out, struct raft_config *next)
{
    uint32_t before = raft_members(&raft->config);
    uint32_t after = raft_members(next);
    if (raft->commit == raft->log.last)
        raft->progress_ns = raft->now_ns;
    raft_append(raft, out, raft->term, 1);
    next->index = raft->log.last;
    push(raft, next);
    out->config = true;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if ((after & ~before & raft_bit(id)) != 0)
            raft_peer_begin(raft, id);
    raft->leaving = (raft->leaving | (before & ~after)) & ~after & ~raft_bit(raft->id);
    raft->leaving_ns = 0;
    raft_offer(raft, out, raft_others(raft));
}

static bool in_contact(const struct raft *raft, uint8_t id)
{
    uint64_t heard_ns = raft->peer[id].heard_ns;
    return id == raft->id ||
           (heard_ns != 0 && raft->now_ns - heard_ns < raft->options.election_min_ns);
}

/* 4.2.1: a new server first catches up as a learner, so that it does not hold up commitment. It has
 * shown that it can store: a log of few entries is no excuse for having none. */
static bool caught_up(const struct raft *raft, uint8_t id)
{
    return (raft->config.learners & raft_bit(id)) != 0 && in_contact(raft, id) &&
           raft->peer[id].match > 0 && raft->peer[id].match + CAUGHT_UP_ENTRIES >= raft->commit;
}

/* What the new members themselves stand against. */
static enum raft_refusal refuse_members(const struct raft *raft, const struct raft_config *wanted)
{
    const struct raft_config *now = &raft->config;
    uint32_t contact = 0;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++) {
        if ((raft_members(now) & raft_members(wanted) & raft_bit(id)) != 0 &&
            now->incarnation[id] != wanted->incarnation[id])
            return RAFT_REFUSED_IN_PLACE;
        if (in_contact(raft, id))
            contact |= raft_bit(id);
    }
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if ((wanted->voters & ~now->voters & raft_bit(id)) != 0 && !caught_up(raft, id))
            return RAFT_REFUSED_BEHIND;
    return quorum_has(wanted, contact) ? RAFT_CHANGED : RAFT_REFUSED_NO_QUORUM;
}

enum raft_refusal raft_change_fit(const struct raft *raft, const struct raft_in *in)
{
    const struct raft_config *now = &raft->config;
    const struct raft_config *wanted = in->config;
    if (raft->role != RAFT_LEADER)
        return RAFT_REFUSED_NOT_LEADER;
    /* Pitfall 5: without an entry of its own term committed, a leader may change what it does not
     * know yet; two changes in one term of two leaders could then share no quorum. */
    if (raft->commit < raft->noop_index)
        return RAFT_REFUSED_UNSETTLED;
    /* 4.1: no change before the last one is committed. A leader that is no voter any more has to
     * step down first: what it took for its own id would be another's. Nor while the office is
     * being handed over: the log's end has to stand still. */
    if (now->index > raft->commit || now->voters_new != 0 || !raft_is_voter(raft) ||
        raft_hands_over(raft))
        return RAFT_REFUSED_PENDING;
    if (wanted->index != now->index)
        return RAFT_REFUSED_OUTDATED;
    if (wanted->voters_new != 0 || !valid(wanted))
        return RAFT_REFUSED_INVALID;
    if (wanted->voters == now->voters && wanted->learners == now->learners &&
        memcmp(wanted->incarnation, now->incarnation, sizeof(now->incarnation)) == 0)
        return RAFT_REFUSED_SAME;
    enum raft_refusal refusal = refuse_members(raft, wanted);
    if (refusal != RAFT_CHANGED)
        return refusal;
    return in->space ? RAFT_CHANGED : RAFT_REFUSED_NO_ROOM;
}

void raft_change(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    out->refusal = raft_change_fit(raft, in);
    if (out->refusal != RAFT_CHANGED)
        return;
    struct raft_config next = *in->config;
    next.reserved = 0;
    if (next.voters != raft->config.voters) {
        /* 4.3: the joint configuration names the old voters and the new; learners are those of the
         * new one, an old voter that stays as a learner among them. */
        next.voters_new = next.voters;
        next.voters = raft->config.voters;
        for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
            if ((next.voters & raft_bit(id)) != 0)
                next.incarnation[id] = raft->config.incarnation[id];
    }
    enter(raft, out, &next);
}

/* 4.3: once the joint configuration is committed, the leader appends the new one alone. */
static void complete(struct raft *raft, struct raft_out *out)
{
    struct raft_config next = raft->config;
    next.voters = next.voters_new;
    next.voters_new = 0;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if ((raft_members(&next) & raft_bit(id)) == 0)
            next.incarnation[id] = 0;
    enter(raft, out, &next);
}

void raft_tick_config(struct raft *raft, const struct raft_in *in, struct raft_out *out)
{
    if (raft->config.index > raft->commit || raft->commit < raft->noop_index ||
        raft_hands_over(raft))
        return;
    if (raft->config.voters_new != 0) {
        if (in->space)
            complete(raft, out);
        return;
    }
    /* 4.2.2: a leader that is not in the new configuration steps down once that is committed; it
     * hands its office over first, so that nobody has to wait for a timeout. */
    if (!raft_is_voter(raft)) {
        if (raft->transfer.term == raft->term || !raft_transfer_away(raft))
            raft_become_follower(raft, in, out, raft->term);
        return;
    }
    if (raft->leaving == 0)
        return;
    if (raft->leaving_ns == 0)
        raft->leaving_ns = raft->now_ns;
    else if (raft->now_ns - raft->leaving_ns >= LEAVING_HEARTBEATS * raft->options.heartbeat_ns)
        raft->leaving = 0;
}
