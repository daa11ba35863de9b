/* `keelctl member add|promote|remove|replace`: changes of the members, asked of the leader.
 *
 * Each is one or more steps; a step names the configuration that it replaces (compare-and-set), so
 * that two operators do not undo each other's, and ends when its last entry is committed. What was
 * interrupted is asked again: a step that is done already changes nothing.
 */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl_change.h"
#include "control/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    POLL_MS = 100,
    PROGRESS_MS = 1000,
    CHANGE_MS = 600000 /* without --timeout: a long log takes its time to be learnt */
};

struct members { /* as the leader answers */
    json_t *answer;
    uint64_t index;
    uint32_t voters, learners;
    bool settled; /* committed, and not joint */
};

struct change {
    const struct ctl *ctl;
    const char *name;
    uint64_t until_ms, told_ms;
    bool leaves; /* the replica that is asked is the one that goes */
    struct members now;
    json_t *result; /* of the last step */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const json_t *member(const struct members *m, uint32_t id)
{
    const json_t *list = json_object_get(m->answer, "members");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (json_integer_value(json_object_get(row, "replica")) == id)
            return row;
    }
    return NULL;
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "";
}

/* Who is in force now; only the leader is asked for changes, so only it is believed here. */
static int look(struct change *c)
{
    json_t *answer = NULL;
    int code = ctl_ask(c->ctl, "member list", NULL, &answer);
    if (code != CTL_DONE)
        return code;
    json_decref(c->now.answer);
    c->now = (struct members){.answer = answer};
    c->now.index = (uint64_t)json_integer_value(json_object_get(answer, "config_index"));
    c->now.settled = json_is_true(json_object_get(answer, "config_committed")) &&
                     json_is_false(json_object_get(answer, "config_joint"));
    bool leads = false;
    const json_t *list = json_object_get(answer, "members");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        uint32_t bit = UINT32_C(1) << (json_integer_value(json_object_get(row, "replica")) & 7);
        const char *role = text_of(row, "role");
        if (strcmp(role, "learner") == 0 || strcmp(role, "standby") == 0 ||
            strcmp(role, "replaced") == 0)
            c->now.learners |= bit;
        else if (strcmp(role, "leaving") != 0)
            c->now.voters |= bit;
        leads = leads || (json_is_true(json_object_get(row, "self")) &&
                          json_is_true(json_object_get(row, "leader")));
    }
    json_int_t leader = json_integer_value(json_object_get(answer, "leader"));
    if (leads || (c->leaves && c->now.settled && json_is_false(json_object_get(answer, "member"))))
        return CTL_DONE; /* who has removed itself leads no more: the end that was wanted */
    if (leader == 0)
        return ctl_fail(CTL_NO_QUORUM, "%s: no leader is known here: wait for an election",
                        c->name);
    if (member(&c->now, (uint32_t)leader) == NULL)
        return ctl_fail(
            CTL_NO_QUORUM,
            "%s: replica %d was removed and hands its office over: ask again in a moment", c->name,
            (int)leader);
    return ctl_fail(CTL_NOT_LEADER, "%s: this replica does not lead: ask replica %d", c->name,
                    (int)leader);
}

static bool wait_on(struct change *c)
{
    if (now_ms() >= c->until_ms)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    return true;
}

static json_t *ids(uint32_t mask)
{
    json_t *list = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((mask >> id & 1) != 0)
            json_array_append_new(list, json_integer(id));
    return list;
}

static json_t *described(uint32_t id, const struct genesis_founder *identity)
{
    char address[ADDRESS_TEXT_MAX], incarnation[20];
    address_text(address, identity->ip, identity->port);
    snprintf(incarnation, sizeof(incarnation), "%016llx",
             (unsigned long long)identity->incarnation);
    return json_pack("[{s:i,s:s,s:s}]", "replica", (int)id, "address", address, "incarnation",
                     incarnation);
}

/* How far the replica lags behind, once a second, for whoever watches. */
static void tell_progress(struct change *c, uint32_t id)
{
    if (c->ctl->json || now_ms() < c->told_ms + PROGRESS_MS)
        return;
    c->told_ms = now_ms();
    const json_t *row = member(&c->now, id);
    fprintf(stderr, "replica %u catches up: %lld entries behind\n", id,
            (long long)json_integer_value(json_object_get(row, "lag_entries")));
}

/* Refusals that time mends: the last change is not complete, the learner has not caught up. */
static bool mends(const json_t *answer)
{
    const char *code = text_of(json_object_get(answer, "error"), "code");
    return strcmp(code, admin_error_name(ADMIN_BUSY)) == 0 ||
           strcmp(code, admin_error_name(ADMIN_BEHIND)) == 0;
}

/* One configuration after another: asks until it is taken or refused for good, then waits until it
 * is complete. `watch`: whose lag is told meanwhile; 0: nobody's. */
static int step(struct change *c, uint32_t voters, uint32_t learners, json_t *added, uint32_t watch)
{
    int code;
    for (;;) { /* bound: until_ms */
        json_t *answer = NULL;
        json_t *extra = json_pack("{s:I,s:o,s:o}", "was", (json_int_t)c->now.index, "voters",
                                  ids(voters), "learners", ids(learners));
        if (added != NULL)
            json_object_set(extra, "new", added);
        code = ctl_change_keys(c->ctl, extra);
        if (code == CTL_DONE)
            code = ctl_exchange(c->ctl, "member", json_incref(extra), &answer);
        json_decref(extra);
        if (code != CTL_DONE)
            break;
        if (json_is_true(json_object_get(answer, "ok")) || !mends(answer) || ctl_dry_run(c->ctl) ||
            !wait_on(c)) {
            json_decref(c->result);
            c->result = NULL;
            code = ctl_judge(c->ctl, c->name, answer, &c->result);
            break;
        }
        json_decref(answer);
        code = look(c);
        if (code != CTL_DONE)
            break;
        if (watch != 0)
            tell_progress(c, watch);
    }
    json_decref(added);
    while (code == CTL_DONE && !ctl_dry_run(c->ctl)) { /* bound: until_ms */
        code = look(c);
        if (code != CTL_DONE || (c->now.settled && c->now.voters == voters))
            break;
        if (!wait_on(c))
            code = ctl_fail(CTL_TIMED_OUT,
                            "%s: begun, and not complete in time: the leader goes on by itself, "
                            "look at `keelctl member list`",
                            c->name);
    }
    return code;
}

static int end(struct change *c, int code)
{
    if (code == CTL_DONE && c->ctl->json && c->result != NULL)
        code = ctl_print_json(c->result);
    else if (code == CTL_DONE && c->result != NULL && ctl_dry_run(c->ctl))
        printf("%s: %s: nothing was changed\n", c->name,
               json_is_true(json_object_get(c->result, "changed")) ? "its first step would be taken"
                                                                   : "nothing to do");
    else if (code == CTL_DONE && c->result != NULL)
        printf("%s: %s at index %lld, term %lld\n", c->name,
               json_is_true(json_object_get(c->result, "changed")) ? "done" : "nothing to do",
               (long long)json_integer_value(json_object_get(c->result, "index")),
               (long long)json_integer_value(json_object_get(c->result, "term")));
    json_decref(c->result);
    json_decref(c->now.answer);
    return code;
}

static int begin(struct change *c, const struct ctl *ctl, const char *name)
{
    *c = (struct change){.ctl = ctl,
                         .name = name,
                         .until_ms = now_ms() + (ctl->timeout_given ? ctl->timeout_ms : CHANGE_MS)};
    return look(c);
}

static int id_word(const struct ctl *ctl, const char *name, uint32_t *id)
{
    uint64_t value;
    if (!address_number(ctl->word[0], 1, KEEL_REPLICA_MAX, &value))
        return ctl_fail(CTL_USAGE, "%s: '%s' is no replica id: give 1 to %d", name, ctl->word[0],
                        KEEL_REPLICA_MAX);
    *id = (uint32_t)value;
    return CTL_DONE;
}

/* The one identity that the words from `first` on spell. */
static int identity_words(const struct ctl *ctl, const char *name, int first,
                          struct genesis_founder *identity, uint32_t *id)
{
    struct genesis genesis = {0};
    char why[IDENTITY_WHY_MAX];
    const char *problem = identity_read(&genesis, ctl->word_count - first, &ctl->word[first], why);
    uint32_t found = 0;
    for (uint32_t i = 1; i <= KEEL_REPLICA_MAX; i++)
        if (genesis.founder[i].incarnation != 0) {
            *identity = genesis.founder[i];
            *id = i;
            found++;
        }
    if (problem != NULL)
        return ctl_fail(CTL_USAGE, "%s: %s", name, problem);
    if (found != 1)
        return ctl_fail(CTL_USAGE,
                        "%s: give one identity, as `keeld format` printed it: replica=N "
                        "incarnation=HEX address=IP:PORT",
                        name);
    return CTL_DONE;
}

/* Adds it as a learner; it stays one, or is promoted once it has caught up, in the place of `gone`
 * (0: nobody's). */
static int bring_in(struct change *c, uint32_t id, const struct genesis_founder *identity,
                    bool promote, uint32_t gone)
{
    uint32_t bit = UINT32_C(1) << id;
    int code = CTL_DONE;
    char incarnation[20];
    snprintf(incarnation, sizeof(incarnation), "%016llx",
             (unsigned long long)identity->incarnation);
    const json_t *there = member(&c->now, id);
    if (there != NULL && strcmp(text_of(there, "incarnation"), incarnation) != 0)
        return ctl_fail(CTL_REFUSED,
                        "%s: replica %u is a member in another incarnation: `keelctl member "
                        "replace %u` takes that one out first",
                        c->name, id, id);
    if (there == NULL)
        code = step(c, c->now.voters, c->now.learners | bit, described(id, identity), 0);
    if (code != CTL_DONE || !promote || (there == NULL && ctl_dry_run(c->ctl)))
        return code; /* what it would come to as a voter shows when it has caught up */
    uint32_t voters = (c->now.voters | bit) & ~(UINT32_C(1) << gone & ~UINT32_C(1));
    return step(c, voters, c->now.learners & ~bit, NULL, id);
}

int ctl_member_add(struct ctl *ctl)
{
    struct change c;
    struct genesis_founder identity;
    uint32_t id = 0;
    int code = identity_words(ctl, "member add", 0, &identity, &id);
    if (code != CTL_DONE)
        return code;
    code = begin(&c, ctl, "member add");
    if (code == CTL_DONE)
        code = bring_in(&c, id, &identity, ctl->value[0] == NULL && ctl->value[1] == NULL, 0);
    code = end(&c, code);
    return code == CTL_DONE && ctl->value[1] != NULL ? ctl_autopilot_mark(ctl, c.name, id) : code;
}

int ctl_member_promote(struct ctl *ctl)
{
    struct change c;
    uint32_t id = 0;
    int code = id_word(ctl, "member promote", &id);
    if (code != CTL_DONE)
        return code;
    code = begin(&c, ctl, "member promote");
    if (code == CTL_DONE && member(&c.now, id) == NULL)
        code = ctl_fail(CTL_REFUSED, "member promote: replica %u is no member: add it first", id);
    if (code == CTL_DONE)
        code = step(&c, c.now.voters | UINT32_C(1) << id, c.now.learners & ~(UINT32_C(1) << id),
                    NULL, id);
    return end(&c, code);
}

static int take_out(struct change *c, uint32_t id)
{
    uint32_t bit = UINT32_C(1) << id;
    if (c->now.voters == bit)
        return ctl_fail(CTL_REFUSED, "%s: replica %u is the only voter: nobody would be left",
                        c->name, id);
    c->leaves = json_is_true(json_object_get(member(&c->now, id), "self"));
    return step(c, c->now.voters & ~bit, c->now.learners & ~bit, NULL, 0);
}

int ctl_member_remove(struct ctl *ctl)
{
    struct change c;
    uint32_t id = 0;
    int code = id_word(ctl, "member remove", &id);
    if (code != CTL_DONE)
        return code;
    code = begin(&c, ctl, "member remove");
    if (code == CTL_DONE)
        code = take_out(&c, id);
    return end(&c, code);
}

int ctl_member_replace(struct ctl *ctl)
{
    struct change c;
    struct genesis_founder identity;
    uint32_t id = 0, other = 0;
    int code = id_word(ctl, "member replace", &id);
    if (code == CTL_DONE)
        code = identity_words(ctl, "member replace", 1, &identity, &other);
    if (code != CTL_DONE)
        return code;
    code = begin(&c, ctl, "member replace");
    if (code == CTL_DONE && other == id) {
        /* Two incarnations of one id are never members together. */
        if (member(&c.now, id) != NULL)
            code = take_out(&c, id);
        if (code == CTL_DONE && !ctl_dry_run(ctl))
            code = bring_in(&c, id, &identity, true, 0);
    } else if (code == CTL_DONE) {
        code = bring_in(&c, other, &identity, true, id);
    }
    return end(&c, code);
}
