#include "tests/explore/scope.h"

#include <string.h>

static const uint64_t MS = 1000000;

static struct raft_config config_of(uint32_t voters, uint32_t voters_new, uint32_t learners)
{
    learners &= ~(voters_new != 0 ? voters_new : voters); /* an old voter may stay as one */
    struct raft_config config = {.voters = voters, .voters_new = voters_new, .learners = learners};
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (((voters | voters_new | learners) >> id & 1) != 0)
            config.incarnation[id] = id;
    return config;
}

uint8_t scope_number(const struct scope *scope, const struct raft_config *config)
{
    for (uint8_t n = 1; n < scope->config_count; n++) {
        const struct raft_config *known = &scope->config[n];
        if (known->voters == config->voters && known->voters_new == config->voters_new &&
            known->learners == config->learners)
            return n;
    }
    return 0;
}

static bool add(struct scope *scope, struct raft_config config)
{
    if (scope_number(scope, &config) != 0)
        return true;
    if (scope->config_count == SCOPE_CONFIGS_MAX)
        return false;
    scope->config[scope->config_count++] = config;
    return true;
}

/* All configurations that the wanted ones can lead to, from the first on. */
static bool list_configs(struct scope *scope)
{
    bool fits = true;
    scope->config[0] = config_of(scope->first.voters, 0, scope->first.learners);
    scope->config_count = 1;
    for (uint8_t n = 0; n < scope->config_count; n++) {
        const struct raft_config from = scope->config[n];
        for (uint8_t i = 0; i < scope->wanted_count; i++) {
            const struct scope_members *to = &scope->wanted[i];
            if (from.voters_new != 0)
                fits = add(scope, config_of(from.voters_new, 0, from.learners)) && fits;
            else if (from.voters != to->voters)
                fits = add(scope, config_of(from.voters, to->voters, to->learners)) && fits;
            else if (from.learners != to->learners)
                fits = add(scope, config_of(to->voters, 0, to->learners)) && fits;
        }
    }
    return fits;
}

static bool alike(const struct scope *scope, uint8_t a, uint8_t b)
{
    for (uint8_t n = 0; n < scope->config_count; n++) {
        const struct raft_config *config = &scope->config[n];
        if (((config->voters >> a ^ config->voters >> b) & 1) != 0 ||
            ((config->voters_new >> a ^ config->voters_new >> b) & 1) != 0 ||
            ((config->learners >> a ^ config->learners >> b) & 1) != 0)
            return false;
    }
    return true;
}

const char *scope_complete(struct scope *scope)
{
    uint32_t all = ((UINT32_C(1) << scope->replicas) - 1) << 1;
    if (scope->first.voters == 0)
        scope->first.voters = (uint8_t)all;
    uint32_t named = scope->first.voters | scope->first.learners;
    for (uint8_t i = 0; i < scope->wanted_count; i++)
        named |= scope->wanted[i].voters | scope->wanted[i].learners;
    if ((named & ~all) != 0)
        return "the scope's members need more replicas";
    if (scope_has_members(scope) && scope->holes > 0)
        return "a scope with changes of members has no holes: one would hide a configuration";
    if (!list_configs(scope))
        return "too many configurations";
    for (uint8_t a = 1; a <= scope->replicas; a++)
        for (uint8_t b = 1; b <= scope->replicas; b++)
            if (alike(scope, a, b))
                scope->alike[a] |= (uint8_t)(1u << b);
    scope->options = (struct raft_options){.election_min_ns = 100 * MS,
                                           .heartbeat_ns = 10 * MS,
                                           .stall_ns = UINT64_MAX / 4,
                                           .flights = scope->flights,
                                           .flight_bytes = 1 << 20};
    return NULL;
}

static bool named_members(struct scope *s, const char *name)
{
    enum { ONE = 1 << 1, TWO = 1 << 2, THREE = 1 << 3, FOUR = 1 << 4 };
    s->terms = 2;
    s->log = 4;
    s->ticks = 0;
    s->first.voters = ONE | TWO | THREE;
    if (strcmp(name, "members") == 0) {
        s->crashes = 1;
        s->delays = 1;
        s->wanted_count = 2;
        s->wanted[0].voters = THREE;
        s->wanted[1].voters = TWO | THREE;
        return true;
    }
    s->replicas = 4;
    s->first.learners = FOUR;
    s->wanted_count = 1;
    s->wanted[0].voters = ONE | TWO | FOUR;
    return strcmp(name, "replace") == 0;
}

bool scope_named(struct scope *scope, const char *name)
{
    struct scope s = {.replicas = 3,
                      .terms = 3,
                      .log = 4,
                      .crashes = 2,
                      .losses = 2,
                      .duplicates = 1,
                      .overtakes = SCOPE_ANY,
                      .ticks = SCOPE_ANY,
                      .link = SCOPE_LINK_MAX,
                      .flights = 2,
                      .delays = SCOPE_ANY,
                      .prevote = true,
                      .symmetry = true};
    if (strcmp(name, "full") == 0) {
        *scope = s;
        return true;
    }
    s.prevote = false;
    s.overtakes = 0;
    s.losses = 0;
    s.duplicates = 0;
    s.crashes = 0;
    s.link = 1;
    s.flights = 1;
    s.ticks = 1;
    s.delays = 0;
    if (strcmp(name, "restart") == 0) {
        s.terms = 2;
        s.log = 1;
        s.crashes = 1;
        s.delays = 1;
    } else if (strcmp(name, "drive") == 0) {
        s.terms = 2;
        s.log = 1;
        s.delays = 1;
        s.link = 2;
    } else if (strcmp(name, "terms") == 0) {
        s.log = 2;
    } else if (strcmp(name, "links") == 0) {
        s.terms = 2;
        s.log = 1;
        s.losses = 2;
        s.duplicates = 1;
        s.overtakes = 1;
        s.link = 2;
    } else if (strcmp(name, "holes") == 0) {
        s.terms = 2;
        s.log = 2;
        s.ticks = 0;
        s.crashes = 1;
        s.losses = 1;
        s.duplicates = 1;
        s.holes = 1;
    } else if (strcmp(name, "votes") == 0) {
        s.terms = 2;
        s.log = 1;
        s.prevote = true;
        s.sticky = true;
    } else if (!named_members(&s, name)) {
        return false;
    }
    *scope = s;
    return true;
}
