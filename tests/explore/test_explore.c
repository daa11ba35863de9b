/* The explorer's own rules: what it packs it gets back, and a renaming of replicas changes nothing
 * but names: not the state that stands for a state, and not where its moves lead. Along random
 * paths.
 */
#include "consensus/ensure.h"
#include "tests/explore/moves.h"
#include "tests/explore/seen.h"

#include <stdlib.h>
#include <string.h>

enum { WALKS = 60, STEPS = 60, SUCCESSORS_MAX = MOVES_MAX };

struct walk {
    struct scope scope;
    struct core core;
    struct state here, next;
    uint64_t random;
    uint64_t wrong_packed, wrong_names, wrong_moves, violations, changed;
};

static uint64_t draw(struct walk *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % below;
}

static bool make(struct walk *w, const struct state *from, const struct move *move)
{
    w->next = *from;
    w->core.state = &w->next;
    moves_make(&w->core, move);
    w->violations += w->core.violation[0] != '\0';
    return !w->core.outside && w->core.violation[0] == '\0';
}

static int by_value(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct fingerprint));
}

/* Fingerprints of all states that the moves lead to, sorted. */
static uint32_t successors(struct walk *w, const struct state *from, struct fingerprint *to)
{
    struct move moves[MOVES_MAX];
    uint8_t packed[STATE_PACKED_MAX];
    uint32_t count = moves_list(&w->scope, from, moves), kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!make(w, from, &moves[i]))
            continue;
        size_t size = state_canonical(&w->scope, &w->next, packed, NULL);
        to[kept++] = seen_fingerprint(packed, size);
    }
    qsort(to, kept, sizeof(to[0]), by_value);
    return kept;
}

/* Only replicas that no configuration tells apart may exchange their names. */
static bool is_renaming(const struct scope *scope, const uint8_t *to)
{
    for (uint8_t id = 1; id <= scope->replicas; id++)
        if ((scope->alike[id] >> to[id] & 1) == 0)
            return false;
    return true;
}

static void examine(struct walk *w)
{
    static const uint8_t renamings[][SCOPE_REPLICAS_MAX + 1] = {
        {0, 2, 1, 3, 4}, {0, 3, 2, 1, 4}, {0, 1, 3, 2, 4}, {0, 2, 3, 1, 4}};
    static struct fingerprint here[SUCCESSORS_MAX], there[SUCCESSORS_MAX];
    uint8_t packed[STATE_PACKED_MAX] = {0}, again[STATE_PACKED_MAX] = {0};
    struct state other;
    size_t size = state_canonical(&w->scope, &w->here, packed, NULL);
    state_unpack(&w->scope, packed, &other);
    w->wrong_packed +=
        state_canonical(&w->scope, &other, again, NULL) != size || memcmp(packed, again, size) != 0;
    uint32_t count = successors(w, &w->here, here);
    for (uint32_t i = 0; i < sizeof(renamings) / sizeof(renamings[0]); i++) {
        if (!is_renaming(&w->scope, renamings[i]))
            continue;
        state_permute(&w->scope, &w->here, renamings[i], &other);
        w->wrong_names += state_canonical(&w->scope, &other, again, NULL) != size ||
                          memcmp(packed, again, size) != 0;
        w->wrong_moves += successors(w, &other, there) != count ||
                          memcmp(here, there, count * sizeof(here[0])) != 0;
    }
}

static bool members_change(const struct state *s)
{
    bool changed = false;
    for (uint32_t id = 1; id <= SCOPE_REPLICAS_MAX; id++)
        for (uint32_t i = 1; i < STATE_LOG_SIZE; i++)
            changed = changed || s->replica[id].config[i] != 0;
    return changed;
}

static void walk(struct walk *w, const char *name)
{
    ENSURE(scope_named(&w->scope, name));
    ENSURE(scope_complete(&w->scope) == NULL);
    w->core.scope = &w->scope;
    for (uint32_t n = 0; n < WALKS; n++) {
        w->core.state = &w->here;
        core_genesis(&w->core);
        for (uint32_t step = 0; step < STEPS; step++) {
            struct move moves[MOVES_MAX];
            uint32_t count = moves_list(&w->scope, &w->here, moves);
            if (count == 0)
                break;
            if (make(w, &w->here, &moves[draw(w, count)]))
                w->here = w->next;
            examine(w);
            w->changed += members_change(&w->here);
        }
    }
}

static int said;

static int say(bool good, const char *name, const char *what)
{
    printf("%s %d - %s: %s\n", good ? "ok" : "not ok", ++said, name, what);
    return good ? 0 : 1;
}

/* What a change leads to, and whom it tells apart. */
static int say_scopes(void)
{
    enum { ONE = 1 << 1, TWO = 1 << 2, THREE = 1 << 3, FOUR = 1 << 4 };
    struct scope s;
    bool good = scope_named(&s, "replace") && scope_complete(&s) == NULL;
    const struct raft_config *first = &s.config[0], *joint = &s.config[1], *final = &s.config[2];
    good = good && s.config_count >= 3 && first->voters == (ONE | TWO | THREE) &&
           first->learners == FOUR && joint->voters == first->voters &&
           joint->voters_new == (ONE | TWO | FOUR) && joint->learners == 0 &&
           final->voters == joint->voters_new && final->voters_new == 0 &&
           final->incarnation[3] == 0 && final->incarnation[4] == 4;
    int failed = say(good, "replace", "a joint configuration, then the new one");
    good = s.alike[1] == (ONE | TWO) && s.alike[2] == (ONE | TWO) && s.alike[3] == THREE &&
           s.alike[4] == FOUR;
    failed += say(good, "replace", "alike are those who vote before and after");
    failed += say(scope_quorum(joint, ONE | TWO) && !scope_quorum(joint, ONE | THREE) &&
                      !scope_quorum(joint, TWO | FOUR),
                  "replace", "a joint quorum is one of both");
    s.holes = 1;
    failed += say(scope_complete(&s) != NULL, "replace", "no holes besides");
    (void)scope_named(&s, "replace");
    s.replicas = 3;
    failed += say(scope_complete(&s) != NULL, "replace", "no fewer replicas than members");
    return failed;
}

int main(void)
{
    static const char *const names[] = {"restart", "drive",   "links",   "votes",
                                        "holes",   "members", "replace", "full"};
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    struct walk *w = malloc(sizeof(*w));
    if (w == NULL)
        return 99;
    int failed = 0;
    printf("1..%d\n", 5 * COUNT + 5);
    for (uint32_t i = 0; i < COUNT; i++) {
        memset(w, 0, sizeof(*w));
        w->random = 88172645463325252u + i;
        walk(w, names[i]);
        failed += say(w->wrong_packed == 0, names[i], "what is packed comes back");
        failed += say(w->wrong_names == 0, names[i], "one state stands for all renamings");
        failed += say(w->wrong_moves == 0, names[i], "renamed states lead to the same ones");
        failed += say(w->violations == 0, names[i], "no violation");
        failed += say((w->changed > 0) == scope_has_members(&w->scope), names[i],
                      "members change where they may");
    }
    failed += say_scopes();
    free(w);
    return failed == 0 ? 0 : 1;
}
