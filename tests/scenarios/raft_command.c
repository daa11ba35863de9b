#include "tests/scenarios/raft_command.h"

#include "consensus/ensure.h"
#include "tests/unit/raft/raft_judge.h"

#include <stdlib.h>
#include <string.h>

enum { STABLE_ROUNDS = 4000 };

static const uint64_t MS = 1000000;

static uint64_t number(struct runner *r, uint32_t word)
{
    char *end;
    uint64_t value = word < r->count ? strtoull(r->words[word], &end, 10) : 0;
    if (word >= r->count || *end != '\0' || end == r->words[word])
        fprintf(r->out, "error: a number is wanted as word %u\n", word);
    return value;
}

static bool word_is(const struct runner *r, uint32_t word, const char *text)
{
    return word < r->count && strcmp(r->words[word], text) == 0;
}

static uint8_t node_id(struct runner *r, uint32_t word)
{
    uint64_t id = number(r, word);
    if (id >= 1 && id <= r->world->count)
        return (uint8_t)id;
    fprintf(r->out, "error: no node %lu\n", id);
    return 1;
}

/* Whether the words from [word] on are the message as it prints. */
static bool prints_as(const struct runner *r, const struct raft_msg *msg, uint32_t word)
{
    char text[LINE_MAX_BYTES];
    FILE *out = fmemopen(text, sizeof(text), "w");
    ENSURE(out != NULL);
    world_print_msg(out, msg);
    fclose(out);
    char *save = NULL;
    char *part = strtok_r(text, " ", &save);
    for (; part != NULL && word_is(r, word, part); word++)
        part = strtok_r(NULL, " ", &save);
    return part == NULL && word == r->count;
}

/* Words [word] and [word + 1] are FROM and TO (or *), [word + 2] perhaps the kind of message. */
static bool matches(const struct runner *r, const struct raft_msg *msg, uint32_t word)
{
    static const char *const kinds[] = {
        "",      "prevote",   "prevote-reply", "vote",        "vote-reply", "append",
        "reply", "chain-ask", "chain-tell",    "timeout-now", "fetch",      "fetch-reply"};
    if (!word_is(r, word, "*") && strtoul(r->words[word], NULL, 10) != msg->from)
        return false;
    if (!word_is(r, word + 1, "*") && strtoul(r->words[word + 1], NULL, 10) != msg->to)
        return false;
    if (word + 2 >= r->count)
        return true;
    if (word_is(r, word + 2, "heartbeat"))
        return msg->kind == RAFT_APPEND && msg->count == 0;
    return strcmp(r->words[word + 2], kinds[msg->kind]) == 0 &&
           !(msg->kind == RAFT_APPEND && msg->count == 0);
}

/* deliver, drop, duplicate, hold: each message of the bag that matches, in order, but none that
 * comes into the bag meanwhile. What is held is not delivered; its duplicate is free. */
static void on_messages(struct runner *r)
{
    struct world *world = r->world;
    uint32_t left = world->bag_count;
    uint32_t done = 0;
    bool exactly = word_is(r, 1, "exactly");
    for (uint32_t slot = 0; left > 0; left--) {
        bool match = exactly ? done == 0 && prints_as(r, &world->bag[slot].msg, 2)
                             : matches(r, &world->bag[slot].msg, 1);
        if (!match || (word_is(r, 0, "deliver") && world->bag[slot].held)) {
            slot++;
            continue;
        }
        done++;
        if (word_is(r, 0, "deliver")) {
            world_deliver(world, slot);
        } else if (word_is(r, 0, "drop")) {
            world_drop(world, slot);
        } else {
            if (word_is(r, 0, "duplicate"))
                world_duplicate(world, slot);
            world->bag[slot].held = word_is(r, 0, "hold") || world->bag[slot].held;
            slot++;
        }
    }
    if (done == 0)
        fputs("error: no such message\n", r->out);
}

/* Turns the order of the matching messages round. */
static void reverse(struct runner *r)
{
    struct world *world = r->world;
    uint32_t low = 0;
    uint32_t high = world->bag_count;
    while (low < high) { /* they meet */
        if (!matches(r, &world->bag[low].msg, 1)) {
            low++;
        } else if (!matches(r, &world->bag[high - 1].msg, 1)) {
            high--;
        } else {
            high--;
            struct world_packet packet = world->bag[low];
            world->bag[low] = world->bag[high];
            world->bag[high] = packet;
            low++;
        }
    }
}

static void stabilize(struct runner *r)
{
    struct world *world = r->world;
    for (uint32_t round = 0; round < STABLE_ROUNDS; round++) {
        uint32_t slot = 0;
        while (slot < world->bag_count && world->bag[slot].held)
            slot++;
        if (slot == world->bag_count)
            return;
        world_deliver(world, slot);
    }
    fputs("error: never stable\n", r->out);
}

/* `young`: what is under way ages by nothing, so that an answer counts as if nobody had waited. */
static void pass(struct runner *r)
{
    uint64_t ns = number(r, 1) * MS;
    r->world->now_ns += ns;
    for (uint32_t id = 1; word_is(r, 2, "young") && id <= r->world->count; id++)
        for (uint32_t i = 0; i < RAFT_PROBES_KEPT; i++)
            r->world->node[id].raft.probe_sent_ns[i] += ns;
}

/* wait MS [ID...]: time passes in steps of 5 ms; all nodes, or those named, tick; all stabilizes.
 */
static void wait_ms(struct runner *r)
{
    for (uint64_t left = number(r, 1); left >= 5; left -= 5) {
        r->world->now_ns += 5 * MS;
        for (uint8_t id = 1; id <= r->world->count; id++) {
            bool ticks = r->count == 2;
            for (uint32_t w = 2; w < r->count; w++)
                ticks = ticks || number(r, w) == id;
            if (ticks)
                world_tick(r->world, id);
        }
        stabilize(r);
    }
}

static void campaign(struct runner *r)
{
    uint8_t id = node_id(r, 1);
    uint64_t at = r->world->node[id].raft.timeout_at_ns;
    if (r->world->now_ns < at)
        r->world->now_ns = at;
    world_tick(r->world, id);
}

/* partition 1 2 | 3 4 5: nodes of different sides do not hear each other. */
static void partition(struct runner *r)
{
    uint8_t side[RAFT_ID_MAX + 1] = {0};
    uint8_t now = 1;
    for (uint32_t w = 1; w < r->count; w++) {
        if (word_is(r, w, "|"))
            now++;
        else
            side[node_id(r, w)] = now;
    }
    for (uint8_t a = 1; a <= r->world->count; a++)
        for (uint8_t b = 1; b <= r->world->count; b++)
            r->world->cut[a][b] = side[a] != side[b];
}

/* preset ID term T vote V log T T T ...: what a node's drive holds; it starts from that. */
static void preset(struct runner *r)
{
    struct world_node *node = &r->world->node[node_id(r, 1)];
    node->disk_term = number(r, 3);
    node->disk_vote = (uint8_t)number(r, 5);
    uint64_t last = 0;
    for (uint32_t w = 7; w < r->count; w++) {
        last++;
        world_set_entry(&node->disk, last, number(r, w), number(r, w) * 1000 + last, 0);
    }
    node->disk_lsn = last + 1;
    node->up = false;
    world_restart(r->world, node->raft.id);
}

/* hard ID TERM VOTE: the hard state that a node which is down will find on its drive. */
static void hard(struct runner *r)
{
    struct world_node *node = &r->world->node[node_id(r, 1)];
    node->disk_term = number(r, 2);
    node->disk_vote = (uint8_t)number(r, 3);
    node->disk_lsn++;
}

/* inject FROM TO vote|told|timeout-now TERM LAST LAST-TERM: from the past or a bad mind. */
static void inject(struct runner *r)
{
    ENSURE(r->world->bag_count < WORLD_BAG_MAX);
    r->world->bag[r->world->bag_count++] = (struct world_packet){
        .incarnation = r->world->node[node_id(r, 1)].incarnation,
        .msg = {.kind = word_is(r, 3, "timeout-now") ? RAFT_TIMEOUT_NOW : RAFT_VOTE,
                .flags = word_is(r, 3, "told") ? RAFT_TOLD : 0,
                .from = node_id(r, 1),
                .to = node_id(r, 2),
                .term = number(r, 4),
                .prev_index = number(r, 5),
                .prev_term = number(r, 6)}};
}

static void print_log(struct runner *r, uint8_t id)
{
    const struct world_node *node = &r->world->node[id];
    fprintf(r->out, "%u log", id);
    for (uint64_t i = 1; i <= node->log.last; i++)
        fprintf(r->out, " %lu", node->log.entry[i].term);
    fprintf(r->out, " (commit %lu)\n", node->raft.commit);
}

static void print_status(struct runner *r)
{
    static const char *const roles[] = {"follower", "precandidate", "candidate", "leader"};
    for (uint8_t id = 1; id <= r->world->count; id++) {
        const struct world_node *node = &r->world->node[id];
        const struct raft *raft = &node->raft;
        if (!node->up)
            fprintf(r->out, "%u down\n", id);
        else
            fprintf(r->out,
                    "%u %s term %lu vote %u leader %u last %lu/%lu durable %lu commit %lu%s\n", id,
                    roles[raft->role], raft->term, raft->vote, raft->leader, raft->log.last,
                    raft_log_last_term(&raft->log), node->disk.last, raft->commit,
                    raft->failed    ? " failed"
                    : raft->stopped ? " stopped"
                                    : "");
        if (node->up && raft->hole != 0)
            fprintf(r->out, "%u has lost entry %lu%s\n", id, raft->hole,
                    raft->settling ? ", and settles it" : "");
    }
}

static void print_peers(struct runner *r)
{
    const struct raft *raft = &r->world->node[node_id(r, 1)].raft;
    for (uint8_t id = 1; id <= r->world->count; id++) {
        const struct raft_peer *peer = &raft->peer[id];
        if (id != raft->id)
            fprintf(r->out, "%u: match %lu next %lu in flight %u%s%s\n", id, peer->match,
                    peer->next, peer->flight_count, peer->probing ? " probing" : "",
                    peer->starved ? " starved" : "");
    }
}

static void print_bag(struct runner *r)
{
    for (uint32_t i = 0; i < r->world->bag_count; i++) {
        world_print_msg(r->out, &r->world->bag[i].msg);
        fputs(r->world->bag[i].held ? " (held)\n" : "\n", r->out);
    }
}

static void print_age(struct runner *r)
{
    const struct raft *raft = &r->world->node[node_id(r, 1)].raft;
    uint64_t age = raft_quorum_age_ns(raft, r->world->now_ns);
    if (age == UINT64_MAX)
        fprintf(r->out, "%u has never known of a quorum\n", raft->id);
    else
        fprintf(r->out, "%u knows of a quorum %lu ms ago\n", raft->id, age / MS);
}

static uint32_t mask_of(const char *list)
{
    uint32_t mask = 0;
    char *end = (char *)(uintptr_t)list;
    for (int i = 0; i <= RAFT_ID_MAX && *list != '\0' && strcmp(list, "-") != 0; i++) {
        mask |= UINT32_C(1) << (strtoul(list, &end, 10) & 7);
        list = *end == ',' ? end + 1 : end;
    }
    return mask;
}

/* members ID [voters A,B,C] [learners D|-] [was INDEX] [as E]: asks for a change; members ID|all
 * shows. */
static void members(struct runner *r)
{
    struct world *world = r->world;
    if (r->count == 2) {
        for (uint8_t id = 1; id <= world->count; id++) {
            const struct raft *raft = &world->node[id].raft;
            if (!world->node[id].up || (!word_is(r, 1, "all") && number(r, 1) != id))
                continue;
            fprintf(r->out, "%u ", id);
            world_print_config(r->out, &raft->config);
            fprintf(r->out, " (index %lu%s)%s\n", raft->config.index,
                    raft->config.index > raft->commit ? ", not committed" : "",
                    raft_is_voter(raft) ? "" : ": no voter");
        }
        return;
    }
    uint8_t id = node_id(r, 1);
    uint64_t was = world->node[id].raft.config.index;
    uint32_t voters = 0;
    uint32_t learners = world->node[id].raft.config.learners;
    uint32_t as = 0;
    for (uint32_t w = 2; w + 1 < r->count; w += 2) {
        if (word_is(r, w, "voters"))
            voters = mask_of(r->words[w + 1]);
        else if (word_is(r, w, "learners"))
            learners = mask_of(r->words[w + 1]);
        else if (word_is(r, w, "was"))
            was = number(r, w + 1);
        else if (word_is(r, w, "as"))
            as = mask_of(r->words[w + 1]);
    }
    if (voters == 0)
        voters = world->node[id].raft.config.voters;
    enum raft_refusal refusal = world_change(world, id, voters, learners & ~voters, was, as);
    if (refusal != RAFT_CHANGED)
        fprintf(r->out, "%u refuses: %s\n", id, raft_refusal_name(refusal));
}

/* cluster N [voters A,B] [learner ID] [flights N] [bytes N] [stall MS] */
static void cluster(struct runner *r)
{
    struct raft_options options = {.election_min_ns = 100 * MS,
                                   .heartbeat_ns = 10 * MS,
                                   .stall_ns = 300 * MS,
                                   .flights = 8,
                                   .flight_bytes = 1 << 20};
    uint32_t learners = 0;
    uint32_t voters = ((UINT32_C(1) << number(r, 1)) - 1) << 1;
    for (uint32_t w = 2; w + 1 < r->count; w += 2) {
        if (word_is(r, w, "learner"))
            learners |= UINT32_C(1) << number(r, w + 1);
        else if (word_is(r, w, "voters"))
            voters = mask_of(r->words[w + 1]);
        else if (word_is(r, w, "flights"))
            options.flights = (uint32_t)number(r, w + 1);
        else if (word_is(r, w, "bytes"))
            options.flight_bytes = (uint32_t)number(r, w + 1);
        else if (word_is(r, w, "stall"))
            options.stall_ns = number(r, w + 1) * MS;
    }
    uint32_t count = (uint32_t)number(r, 1);
    FILE *trace = r->world->trace;
    world_init(r->world, count, voters & ~learners, learners, &options, 0);
    r->world->trace = trace;
    r->world->now_ns += options.election_min_ns; /* nobody's start is recent */
    if (r->reach != NULL) {
        reach_another(r->reach);
        reach_follow(r->world, r->reach);
    }
    r->started = true;
}

/* elect ID: it campaigns, wins, commits its no-op and says so to all; only the end is shown. */
static void elect(struct runner *r)
{
    uint8_t id = node_id(r, 1);
    FILE *trace = r->world->trace;
    r->world->trace = NULL;
    campaign(r);
    stabilize(r);
    r->world->now_ns += 10 * MS;
    world_tick(r->world, id);
    stabilize(r);
    r->world->trace = trace;
    const struct raft *raft = &r->world->node[id].raft;
    if (raft->role == RAFT_LEADER)
        fprintf(r->out, "%u leads term %lu, commit %lu\n", id, raft->term, raft->commit);
    else
        fprintf(r->out, "%u does not lead\n", id);
}

static void act_on_node(struct runner *r)
{
    struct world *world = r->world;
    uint8_t id = node_id(r, 1);
    struct world_node *node = &world->node[id];
    if (word_is(r, 0, "tick")) {
        world->now_ns += number(r, 2) * MS;
        world_tick(world, id);
    } else if (word_is(r, 0, "propose")) {
        if (!node->up || node->raft.role != RAFT_LEADER)
            fprintf(r->out, "error: %u does not lead\n", id);
        world_propose(world, id, (uint32_t)number(r, 2));
    } else if (word_is(r, 0, "disk")) {
        node->slow = word_is(r, 2, "slow");
        if (!node->slow)
            world_durable(world, id, node->raft.next_lsn - 1);
    } else if (word_is(r, 0, "durable")) {
        world_durable(world, id, r->count > 2 ? number(r, 2) : node->raft.next_lsn - 1);
    } else if (word_is(r, 0, "transfer")) {
        handover_transfer(r->out, world, id, r->count > 2 ? (uint8_t)number(r, 2) : 0);
    } else if (word_is(r, 0, "read")) {
        handover_read(r->out, world, &r->read[number(r, 2) % HANDOVER_READS_MAX], id);
    } else if (word_is(r, 0, "fail")) {
        world_fail(world, id);
    } else if (word_is(r, 0, "no-space")) {
        world_no_space(world, id);
    } else if (word_is(r, 0, "space")) {
        node->no_space = word_is(r, 2, "off");
    } else if (word_is(r, 0, "scarce")) {
        node->scarce = word_is(r, 2, "on");
    } else if (word_is(r, 0, "crash")) {
        world_crash(world, id, r->count > 2 ? number(r, 2) : node->raft.durable_lsn);
    } else if (word_is(r, 0, "restart")) {
        world_restart(world, id);
    } else if (word_is(r, 0, "wipe")) {
        world_wipe(world, id);
    } else if (word_is(r, 0, "install")) {
        if (number(r, 2) > world->committed.last || number(r, 2) == 0)
            fprintf(r->out, "error: %lu is not committed\n", number(r, 2));
        else
            world_install(world, id, number(r, 2));
    } else if (word_is(r, 0, "rot")) {
        if (number(r, 2) == 0 || number(r, 2) > node->disk.last)
            fprintf(r->out, "error: %u has no entry %lu\n", id, number(r, 2));
        else
            world_rot(world, id, number(r, 2));
    } else if (word_is(r, 0, "fetch")) {
        world_fetch(world, id);
    } else if (word_is(r, 0, "flip")) {
        node->flipped = number(r, 2);
        world->judge_chain = false;
    } else if (word_is(r, 0, "window")) {
        node->window = number(r, 2);
    } else if (word_is(r, 0, "compact")) {
        world_compact(world, id, number(r, 2));
    } else {
        fprintf(r->out, "error: unknown command %s\n", r->words[0]);
    }
}

static bool print_command(struct runner *r)
{
    if (word_is(r, 0, "status"))
        print_status(r);
    else if (word_is(r, 0, "log") && word_is(r, 1, "all"))
        for (uint8_t id = 1; id <= r->world->count; id++)
            print_log(r, id);
    else if (word_is(r, 0, "log"))
        print_log(r, node_id(r, 1));
    else if (word_is(r, 0, "peers"))
        print_peers(r);
    else if (word_is(r, 0, "bag"))
        print_bag(r);
    else if (word_is(r, 0, "age"))
        print_age(r);
    else if (word_is(r, 0, "handover"))
        handover_show(r->out, &r->world->node[node_id(r, 1)]);
    else if (word_is(r, 0, "proof"))
        handover_proof(r->out, r->world, &r->read[number(r, 1) % HANDOVER_READS_MAX]);
    else
        return false;
    return true;
}

static void act(struct runner *r)
{
    struct world *world = r->world;
    if (word_is(r, 0, "cluster")) {
        cluster(r);
    } else if (!r->started) {
        fputs("error: a cluster comes first\n", r->out);
    } else if (word_is(r, 0, "campaign")) {
        campaign(r);
    } else if (word_is(r, 0, "elect")) {
        elect(r);
    } else if (word_is(r, 0, "deliver") || word_is(r, 0, "drop") || word_is(r, 0, "duplicate") ||
               word_is(r, 0, "hold")) {
        on_messages(r);
    } else if (word_is(r, 0, "reverse")) {
        reverse(r);
    } else if (word_is(r, 0, "release")) {
        for (uint32_t i = 0; i < world->bag_count; i++)
            world->bag[i].held = false;
    } else if (word_is(r, 0, "stabilize")) {
        stabilize(r);
    } else if (word_is(r, 0, "wait")) {
        wait_ms(r);
    } else if (word_is(r, 0, "pass")) {
        pass(r);
    } else if (word_is(r, 0, "partition")) {
        partition(r);
    } else if (word_is(r, 0, "cut")) {
        world->cut[node_id(r, 1)][node_id(r, 2)] = true;
    } else if (word_is(r, 0, "heal")) {
        memset(world->cut, 0, sizeof(world->cut));
    } else if (word_is(r, 0, "members")) {
        members(r);
    } else if (word_is(r, 0, "preset")) {
        preset(r);
    } else if (word_is(r, 0, "hard")) {
        hard(r);
    } else if (word_is(r, 0, "inject")) {
        inject(r);
    } else if (!print_command(r)) {
        act_on_node(r);
    }
}

void raft_command(struct runner *r, const char *line)
{
    char copy[LINE_MAX_BYTES];
    snprintf(copy, sizeof(copy), "%s", line);
    bool quiet = false;
    char *save = NULL;
    r->count = 0;
    for (char *word = strtok_r(copy, " \n", &save); word != NULL && r->count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &save)) {
        if (r->count == 0 && strcmp(word, "quiet") == 0)
            quiet = true;
        else
            snprintf(r->words[r->count++], sizeof(r->words[0]), "%s", word);
    }
    if (r->count == 0)
        return;
    r->world->trace = quiet ? NULL : r->out;
    act(r);
    r->world->trace = r->out;
}
