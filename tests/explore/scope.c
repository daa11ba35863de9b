#include "tests/explore/scope.h"

#include <string.h>

static const uint64_t MS = 1000000;

void scope_complete(struct scope *scope)
{
    scope->config = (struct raft_config){.voters = ((UINT32_C(1) << scope->replicas) - 1) << 1};
    for (uint8_t id = 1; id <= scope->replicas; id++)
        scope->config.incarnation[id] = id;
    scope->options = (struct raft_options){.election_min_ns = 100 * MS,
                                           .heartbeat_ns = 10 * MS,
                                           .stall_ns = UINT64_MAX / 4,
                                           .flights = scope->flights,
                                           .flight_bytes = 1 << 20};
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
    } else {
        return false;
    }
    *scope = s;
    return true;
}
