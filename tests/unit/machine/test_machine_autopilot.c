#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

enum { MS = 1000000, DEAD_MS = 2000, STABILISE_MS = 1000 };

static struct bench b;

static const struct machine_autopilot *pilot(void)
{
    return &b.machine->autopilot;
}

static enum machine_status propose(const struct entry_autopilot *body)
{
    bench_build(&b, ENTRY_AUTOPILOT, BENCH_REPLICA, body, sizeof(*body));
    return (enum machine_status)bench_apply(&b)->status;
}

static enum machine_status configure(uint32_t voters, uint32_t voters_new, uint32_t learners)
{
    struct entry_config config = {.voters = voters, .voters_new = voters_new, .learners = learners};
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (((voters | voters_new | learners) >> id & 1) != 0)
            config.member[id] = (struct entry_member){
                .incarnation = BENCH_INCARNATION + id, .ip = 0x0a000000 + id, .port = 4000};
    bench_build(&b, ENTRY_CONFIG, BENCH_REPLICA, &config, sizeof(config));
    return (enum machine_status)bench_apply(&b)->status;
}

static struct entry_autopilot settings(enum autopilot_mode mode, uint32_t standbys)
{
    return (struct entry_autopilot){.action = AUTOPILOT_SET,
                                    .mode = (uint8_t)mode,
                                    .standbys = standbys,
                                    .dead_ms = DEAD_MS,
                                    .stabilise_ms = STABILISE_MS,
                                    .was = pilot()->revision};
}

static enum machine_status set(enum autopilot_mode mode, uint32_t standbys)
{
    const struct entry_autopilot body = settings(mode, standbys);
    return propose(&body);
}

static void pass(uint64_t ms)
{
    b.log_ns += ms * MS;
}

/* Voters 1 2 3, learners 4 5 6, of which 4 and 5 are standbys; all times have passed. */
static void start(enum autopilot_mode mode)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    b.log_ns = 1000;
    bench_noop(&b, 1);
    configure(0xe, 0, 0x70);
    CU_ASSERT_EQUAL(set(mode, 0x30), MACHINE_SEQUENCED);
    pass(DEAD_MS + STABILISE_MS);
}

static struct entry_autopilot replacement(uint8_t voter, uint8_t standby)
{
    return (struct entry_autopilot){.action = AUTOPILOT_REPLACE,
                                    .voter = voter,
                                    .standby = standby,
                                    .was = b.machine->config_index,
                                    .term = b.term,
                                    .silent_ms = DEAD_MS,
                                    .steady_ms = STABILISE_MS,
                                    .behind = 7,
                                    .well = 0xe & ~(1u << voter)};
}

static enum machine_status replace(uint8_t voter, uint8_t standby)
{
    const struct entry_autopilot body = replacement(voter, standby);
    return propose(&body);
}

static enum machine_status withdraw(uint8_t voter, uint8_t standby, uint64_t was)
{
    const struct entry_autopilot body = {.action = AUTOPILOT_WITHDRAW,
                                         .voter = voter,
                                         .standby = standby,
                                         .was = was,
                                         .term = b.term,
                                         .reason = AUTOPILOT_VOTER_BACK};
    return propose(&body);
}

static struct entry_autopilot returning(uint8_t id)
{
    return (struct entry_autopilot){.action = AUTOPILOT_RETURN,
                                    .voter = id,
                                    .was = b.machine->config_index,
                                    .term = b.term,
                                    .steady_ms = STABILISE_MS};
}

static enum machine_status come_back(uint8_t id)
{
    const struct entry_autopilot body = returning(id);
    return propose(&body);
}

static uint32_t state(uint32_t before)
{
    const struct machine_decision *d = machine_decision(pilot(), before);
    return d != NULL ? d->state : 0;
}

/* The change that a decision calls for, joint and then alone. */
static void carry_out(uint32_t gone, uint32_t takes)
{
    uint32_t voters = b.machine->config.voters, learners = b.machine->config.learners;
    uint32_t then = (voters & ~(1u << gone)) | 1u << takes;
    learners = (learners & ~(1u << takes)) | 1u << gone;
    configure(voters, then, learners);
    configure(then, 0, learners);
}

static void off_at_first(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_noop(&b, 1);
    CU_ASSERT_EQUAL(pilot()->mode, AUTOPILOT_OFF);
    CU_ASSERT_EQUAL(pilot()->dead_ms, AUTOPILOT_DEAD_MS);
    CU_ASSERT_PTR_NULL(machine_decision(pilot(), 0));
    CU_ASSERT_EQUAL(replace(1, 4), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(pilot()->decisions, 0);
    bench_free(&b);
}

static void settings_are_compare_and_set(void)
{
    start(AUTOPILOT_ON);
    uint64_t revision = pilot()->revision;
    struct entry_autopilot body = settings(AUTOPILOT_OFF, 0);
    body.was = revision - 1;
    CU_ASSERT_EQUAL(propose(&body), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(pilot()->mode, AUTOPILOT_ON);
    body.was = revision;
    CU_ASSERT_EQUAL(propose(&body), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(pilot()->mode, AUTOPILOT_OFF);
    CU_ASSERT_EQUAL(pilot()->standbys, 0);
    CU_ASSERT_EQUAL(pilot()->revision, b.machine->applied);
    bench_free(&b);
}

static void a_standby_is_a_learner(void)
{
    start(AUTOPILOT_ON);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0x34), MACHINE_NOT_ALLOWED); /* 2 votes */
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0x80), MACHINE_NOT_ALLOWED); /* 7 is nobody */
    CU_ASSERT_EQUAL(pilot()->standbys, 0x30);
    configure(0x1e, 0, 0x60); /* 4 votes now, by hand */
    CU_ASSERT_EQUAL(pilot()->standbys, 0x20);
    configure(0x1e, 0, 0x40); /* 5 is out */
    CU_ASSERT_EQUAL(pilot()->standbys, 0);
    bench_free(&b);
}

static void another_incarnation_is_no_standby(void)
{
    start(AUTOPILOT_ON);
    struct entry_config config = b.machine->config;
    config.member[5].incarnation++;
    bench_build(&b, ENTRY_CONFIG, BENCH_REPLICA, &config, sizeof(config));
    bench_apply(&b);
    CU_ASSERT_EQUAL(pilot()->standbys, 0x10);
    bench_free(&b);
}

static void clients_decide_nothing(void)
{
    start(AUTOPILOT_ON);
    const struct entry_autopilot body = settings(AUTOPILOT_OFF, 0);
    bench_build(&b, ENTRY_AUTOPILOT, BENCH_ALICE, &body, sizeof(body));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(pilot()->mode, AUTOPILOT_ON);
    bench_free(&b);
}

static void replaces_and_says_why(void)
{
    start(AUTOPILOT_ON);
    uint64_t digest = b.machine->digest;
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_SEQUENCED);
    CU_ASSERT_NOT_EQUAL(b.machine->digest, digest);
    const struct machine_decision *d = machine_decision(pilot(), 0);
    CU_ASSERT_EQUAL(d->state, DECISION_OPEN);
    CU_ASSERT_EQUAL(d->index, b.machine->applied);
    CU_ASSERT_EQUAL(d->was, b.machine->config_index);
    CU_ASSERT_EQUAL(d->voter_incarnation, BENCH_INCARNATION + 3);
    CU_ASSERT_EQUAL(d->standby_incarnation, BENCH_INCARNATION + 4);
    CU_ASSERT_EQUAL(d->silent_ms, DEAD_MS);
    CU_ASSERT_EQUAL(d->steady_ms, STABILISE_MS);
    CU_ASSERT_EQUAL(d->behind, 7);
    CU_ASSERT_EQUAL(d->well, 0x6);
    CU_ASSERT_EQUAL(d->log_ns, b.log_ns);
    CU_ASSERT_EQUAL(b.machine->config.voters, 0xe); /* a decision changes no members */
    carry_out(3, 4);
    CU_ASSERT_EQUAL(state(0), DECISION_DONE);
    CU_ASSERT_EQUAL(d->ended_index, b.machine->applied - 1); /* the joint one is it */
    CU_ASSERT_EQUAL(pilot()->standbys, 0x20);
    CU_ASSERT_EQUAL(pilot()->replaced, 0x8);
    bench_free(&b);
}

/* Each of the reasons why a decision is none. */
static void refusals(void)
{
    start(AUTOPILOT_ON);
    struct entry_autopilot r = replacement(3, 4);
    r.term = 0;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_EXPIRED); /* of another leader */
    r = replacement(3, 4);
    r.was--;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_CHANGED);       /* about other members */
    CU_ASSERT_EQUAL(replace(4, 5), MACHINE_NOT_ALLOWED); /* 4 has no vote to lose */
    CU_ASSERT_EQUAL(replace(3, 6), MACHINE_NOT_ALLOWED); /* 6 is a learner, no standby */
    r = replacement(3, 4);
    r.silent_ms = DEAD_MS - 1;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_EXPIRED);
    r = replacement(3, 4);
    r.steady_ms = STABILISE_MS - 1;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_EXPIRED);
    r = replacement(3, 4);
    r.well = 0x2; /* one of three is no majority */
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_ALLOWED);
    r.well = 0x32; /* nor with those that do not vote */
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_ALLOWED);
    r.well = 0xe; /* heard, and dead */
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(pilot()->decisions, 0);
    configure(0xe, 0x1c, 0x60);
    CU_ASSERT_EQUAL(replace(3, 5), MACHINE_CHANGED); /* a change is open */
    bench_free(&b);
}

/* Log time from the leader's no-op on: what was silent before it does not count. */
static void a_new_leader_counts_anew(void)
{
    start(AUTOPILOT_ON);
    bench_noop(&b, 2);
    pass(DEAD_MS - 1);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_NOT_EXPIRED);
    pass(1);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_SEQUENCED);
    bench_free(&b);
}

static void one_at_a_time(void)
{
    start(AUTOPILOT_ON);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(replace(2, 5), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_CHANGED);
    carry_out(3, 4);
    pass(STABILISE_MS - 1);
    struct entry_autopilot r = replacement(2, 5);
    r.well = 0x12;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_EXPIRED); /* the last change has not proven itself */
    pass(1);
    r.was = b.machine->config_index;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_SEQUENCED);
    carry_out(2, 5);
    CU_ASSERT_EQUAL(b.machine->config.voters, 0x32);
    CU_ASSERT_EQUAL(pilot()->replaced, 0xc);
    CU_ASSERT_EQUAL(pilot()->decisions, 2);
    CU_ASSERT_EQUAL(state(0), DECISION_DONE);
    CU_ASSERT_EQUAL(state(1), DECISION_DONE);
    bench_free(&b);
}

static void withdrawals(void)
{
    start(AUTOPILOT_ON);
    uint64_t was = b.machine->config_index;
    CU_ASSERT_EQUAL(withdraw(3, 4, was), MACHINE_CHANGED); /* there is none */
    replace(3, 4);
    CU_ASSERT_EQUAL(withdraw(2, 4, was), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(withdraw(3, 5, was), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(withdraw(3, 4, was - 1), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(withdraw(3, 4, was), MACHINE_SEQUENCED);
    const struct machine_decision *d = machine_decision(pilot(), 0);
    CU_ASSERT_EQUAL(d->state, DECISION_WITHDRAWN);
    CU_ASSERT_EQUAL(d->reason, AUTOPILOT_VOTER_BACK);
    CU_ASSERT_EQUAL(d->ended_index, b.machine->applied);
    CU_ASSERT_EQUAL(withdraw(3, 4, was), MACHINE_CHANGED); /* once */
    CU_ASSERT_EQUAL(replace(3, 5), MACHINE_SEQUENCED);     /* and another may follow */
    CU_ASSERT_EQUAL(set(AUTOPILOT_OFF, 0x30), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(state(0), DECISION_WITHDRAWN);
    CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->reason, AUTOPILOT_ENDED);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0x30), MACHINE_SEQUENCED); /* nothing is open any more */
    CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->ended_index, b.machine->applied - 1);
    CU_ASSERT_EQUAL(set(AUTOPILOT_DRY_RUN, 0x30), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(replace(3, 5), MACHINE_SEQUENCED); /* dry-run had not told it */
    CU_ASSERT_EQUAL(state(0), DECISION_DRY);
    bench_free(&b);
}

/* The change was on its way when the decision was withdrawn: what happened is what counts. */
static void withdrawn_too_late(void)
{
    start(AUTOPILOT_ON);
    replace(3, 4);
    withdraw(3, 4, b.machine->config_index);
    carry_out(3, 4);
    CU_ASSERT_EQUAL(state(0), DECISION_DONE);
    CU_ASSERT_EQUAL(pilot()->replaced, 0x8);
    bench_free(&b);
}

/* People change the members while a decision is open. */
static void overtaken(void)
{
    static const struct {
        uint32_t voters, voters_new, learners;
    } changes[] = {
        {0xe, 0, 0x30},    /* 6 is out */
        {0xe, 0x6, 0x78},  /* 3 loses its vote, and 4 gets none */
        {0xe, 0x1e, 0x60}, /* 4 votes, and 3 does too */
        {0xe, 0x16, 0x60}, /* 4 in the place of 3, which is thrown out */
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        start(AUTOPILOT_ON);
        replace(3, 4);
        configure(changes[i].voters, changes[i].voters_new, changes[i].learners);
        CU_ASSERT_EQUAL(state(0), DECISION_OVERTAKEN);
        CU_ASSERT_EQUAL(pilot()->replaced, 0);
        CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->ended_index, b.machine->applied);
        bench_free(&b);
    }
    start(AUTOPILOT_ON);
    replace(3, 4);
    withdraw(3, 4, b.machine->config_index);
    configure(0xe, 0, 0x30);
    CU_ASSERT_EQUAL(state(0), DECISION_WITHDRAWN);
    bench_free(&b);
    start(AUTOPILOT_ON);
    replace(3, 4);
    struct entry_config other = b.machine->config; /* the id, in another incarnation */
    other.voters = 0x16;
    other.learners = 0x68;
    other.member[3].incarnation++;
    bench_build(&b, ENTRY_CONFIG, BENCH_REPLICA, &other, sizeof(other));
    bench_apply(&b);
    CU_ASSERT_EQUAL(state(0), DECISION_OVERTAKEN);
    bench_free(&b);
}

static void dry_run_changes_nothing(void)
{
    start(AUTOPILOT_DRY_RUN);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(state(0), DECISION_DRY);
    CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->ended_index, 0);
    CU_ASSERT_EQUAL(replace(3, 4), MACHINE_CHANGED); /* told once */
    CU_ASSERT_EQUAL(replace(3, 5), MACHINE_CHANGED); /* whoever is best at the moment */
    CU_ASSERT_EQUAL(replace(2, 5), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(withdraw(2, 5, b.machine->config_index), MACHINE_CHANGED);
    carry_out(2, 5); /* by hand: it was no decision */
    CU_ASSERT_EQUAL(state(0), DECISION_DRY);
    CU_ASSERT_EQUAL(pilot()->replaced, 0);
    pass(STABILISE_MS);
    struct entry_autopilot r = replacement(3, 4);
    r.well = 0x22;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_SEQUENCED); /* other members: told again */
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0x10), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(propose(&r), MACHINE_SEQUENCED); /* and now it is meant */
    CU_ASSERT_EQUAL(state(0), DECISION_OPEN);
    bench_free(&b);
}

static void returns_as_a_standby(void)
{
    start(AUTOPILOT_ON);
    CU_ASSERT_EQUAL(come_back(6), MACHINE_NOT_ALLOWED); /* it was never replaced */
    replace(3, 4);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_NOT_ALLOWED);
    carry_out(3, 4);
    struct entry_autopilot r = returning(3);
    r.was--;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_CHANGED);
    r = returning(3);
    r.steady_ms--;
    CU_ASSERT_EQUAL(propose(&r), MACHINE_NOT_EXPIRED);
    pass(STABILISE_MS);
    struct entry_autopilot next = replacement(2, 5);
    next.well = 0x12;
    CU_ASSERT_EQUAL(propose(&next), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_CHANGED); /* not while another is open */
    withdraw(2, 5, b.machine->config_index);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(pilot()->replaced, 0);
    CU_ASSERT_EQUAL(pilot()->standbys, 0x28);
    CU_ASSERT_EQUAL(b.machine->config.voters, 0x16); /* its vote does not come back with it */
    CU_ASSERT_EQUAL(state(0), DECISION_DONE);
    CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->action, AUTOPILOT_RETURN);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_NOT_ALLOWED);
    next.was = b.machine->config_index;
    next.standby = 3;
    CU_ASSERT_EQUAL(propose(&next), MACHINE_SEQUENCED); /* and it may take a place again */
    bench_free(&b);
}

static void both_return(void)
{
    start(AUTOPILOT_ON);
    replace(3, 4);
    carry_out(3, 4);
    pass(STABILISE_MS);
    struct entry_autopilot next = replacement(2, 5);
    next.well = 0x12;
    CU_ASSERT_EQUAL(propose(&next), MACHINE_SEQUENCED);
    carry_out(2, 5);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(come_back(2), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(pilot()->standbys, 0xc);
    bench_free(&b);
}

/* People may name it earlier; and who is thrown out does not come back by itself. */
static void replaced_and_then(void)
{
    start(AUTOPILOT_ON);
    replace(3, 4);
    carry_out(3, 4);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0x28), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(pilot()->replaced, 0);
    bench_free(&b);
    start(AUTOPILOT_ON);
    replace(3, 4);
    carry_out(3, 4);
    configure(0x16, 0, 0x60);
    CU_ASSERT_EQUAL(pilot()->replaced, 0);
    CU_ASSERT_EQUAL(come_back(3), MACHINE_NOT_ALLOWED);
    bench_free(&b);
}

static void the_newest_are_kept(void)
{
    start(AUTOPILOT_DRY_RUN);
    for (uint32_t i = 0; i < 2 * MACHINE_DECISIONS; i++)
        CU_ASSERT_EQUAL(replace((uint8_t)(1 + i % 3), 4), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(pilot()->decisions, 2 * MACHINE_DECISIONS);
    CU_ASSERT_EQUAL(machine_decision(pilot(), 0)->index, b.machine->applied);
    CU_ASSERT_EQUAL(machine_decision(pilot(), MACHINE_DECISIONS - 1)->index,
                    b.machine->applied - MACHINE_DECISIONS + 1);
    CU_ASSERT_PTR_NULL(machine_decision(pilot(), MACHINE_DECISIONS));
    bench_free(&b);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

static struct machine *decoded;

/* What the encoding of the present state, with one thing changed, is refused for; NULL: taken. */
static const char *refused(void (*change)(struct machine_autopilot *a))
{
    size_t cap = machine_encoded_max(&b.genesis);
    uint8_t *bytes = malloc(cap);
    size_t size = machine_encode(b.machine, bytes, cap);
    struct machine_autopilot a = *pilot();
    change(&a);
    size_t head = offsetof(struct machine_autopilot, decision);
    size_t kept = (size_t)pilot()->decisions * sizeof(struct machine_decision);
    memcpy(bytes + size - kept - head, &a, head + kept);
    const char *problem = machine_decode(decoded, &b.genesis, bytes, size);
    free(bytes);
    return problem;
}

static struct machine_decision *last(struct machine_autopilot *a)
{
    return &a->decision[(a->decisions - 1) % MACHINE_DECISIONS];
}

#define CHANGE(name, statement)                                                                    \
    static void name(struct machine_autopilot *a)                                                  \
    {                                                                                              \
        statement;                                                                                 \
    }
CHANGE(nothing, (void)a)
CHANGE(revision, a->revision = UINT64_MAX)
CHANGE(changed, a->changed_log_ns = UINT64_MAX)
CHANGE(mode, a->mode = AUTOPILOT_ON + 1)
CHANGE(dead_low, a->dead_ms = AUTOPILOT_TIME_MIN_MS - 1)
CHANGE(dead_high, a->dead_ms = AUTOPILOT_TIME_MAX_MS + 1)
CHANGE(stabilise_low, a->stabilise_ms = 0)
CHANGE(reserved, a->reserved = 1)
CHANGE(voter_stands_by, a->standbys |= 2)
CHANGE(voter_is_replaced, a->replaced |= 2)
CHANGE(both, a->replaced |= a->standbys)
CHANGE(no_index, last(a)->index = 0)
CHANGE(future, last(a)->index = UINT64_MAX)
CHANGE(ended_in_future, last(a)->ended_index = UINT64_MAX)
CHANGE(of_later_members, last(a)->was = last(a)->index)
CHANGE(decision_reserved, last(a)->reserved[6] = 1)
CHANGE(action, last(a)->action = AUTOPILOT_SET)
CHANGE(no_voter, last(a)->voter = 0)
CHANGE(far_voter, last(a)->voter = KEEL_REPLICA_MAX + 1)
CHANGE(far_standby, last(a)->standby = KEEL_REPLICA_MAX + 1)
CHANGE(no_standby, last(a)->standby = 0)
CHANGE(state_low, last(a)->state = 0)
CHANGE(state_high, last(a)->state = DECISION_DRY + 1)
CHANGE(open_and_ended, last(a)->ended_index = 1)
CHANGE(done_not_ended, last(a)->state = DECISION_DONE)
CHANGE(reason, last(a)->reason = AUTOPILOT_VOTER_BACK)
CHANGE(of_other_members, last(a)->was--)
CHANGE(more, a->decisions++)
CHANGE(fewer, a->decisions = 0)
CHANGE(strange_reason, (last(a)->state = DECISION_WITHDRAWN, last(a)->ended_index = 1,
                        last(a)->reason = AUTOPILOT_ENDED + 1))
CHANGE(dry, last(a)->state = DECISION_DRY)

static void checkpoints(void)
{
    static void (*const refusals[])(struct machine_autopilot *) = {revision,
                                                                   changed,
                                                                   mode,
                                                                   dead_low,
                                                                   dead_high,
                                                                   stabilise_low,
                                                                   reserved,
                                                                   voter_stands_by,
                                                                   voter_is_replaced,
                                                                   both,
                                                                   no_index,
                                                                   future,
                                                                   ended_in_future,
                                                                   of_later_members,
                                                                   decision_reserved,
                                                                   action,
                                                                   no_voter,
                                                                   far_voter,
                                                                   far_standby,
                                                                   no_standby,
                                                                   state_low,
                                                                   state_high,
                                                                   open_and_ended,
                                                                   done_not_ended,
                                                                   reason,
                                                                   of_other_members,
                                                                   more,
                                                                   fewer,
                                                                   strange_reason};
    start(AUTOPILOT_ON);
    replace(3, 4);
    decoded = bench_memory(&b.genesis);
    CU_ASSERT_PTR_NULL(refused(nothing));
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
    CU_ASSERT_EQUAL(memcmp(&decoded->autopilot, pilot(), sizeof(*pilot())), 0);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (refused(refusals[i]) == NULL) {
            printf("# change %zu is taken\n", i);
            CU_FAIL("taken");
        }
    CU_ASSERT_PTR_NULL(refused(dry));
    carry_out(3, 4);
    come_back(3);
    CU_ASSERT_PTR_NULL(refused(nothing));
    free(decoded);
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"off until somebody switches it on", off_at_first},
        {"settings are compare-and-set", settings_are_compare_and_set},
        {"a standby is a learner that is named", a_standby_is_a_learner},
        {"another incarnation is no standby", another_incarnation_is_no_standby},
        {"clients decide nothing", clients_decide_nothing},
        {"a decision says why, and the change of members fulfils it", replaces_and_says_why},
        {"each reason for which a decision is refused", refusals},
        {"a new leader counts anew", a_new_leader_counts_anew},
        {"one at a time, and nothing within the stabilisation of another", one_at_a_time},
        {"withdrawn: the voter is back, or people say so", withdrawals},
        {"withdrawn when the change was on its way", withdrawn_too_late},
        {"overtaken by people", overtaken},
        {"dry-run changes nothing and repeats nothing", dry_run_changes_nothing},
        {"who was replaced returns as a standby", returns_as_a_standby},
        {"two that were replaced return", both_return},
        {"who was replaced is named or thrown out by people", replaced_and_then},
        {"the newest decisions are kept", the_newest_are_kept},
        {"checkpoints hold all of it, and nothing insane", checkpoints},
        {0}};
    return unit_main("machine_autopilot", tests);
}
