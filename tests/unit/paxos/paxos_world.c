#include "tests/unit/paxos/paxos_world.h"

#include <string.h>

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

static bool chance(struct world *w, uint64_t percent)
{
    return draw(w, 100) < percent;
}

static void broken(struct world *w, const char *what)
{
    if (what != NULL && w->violation == NULL)
        w->violation = what;
}

/* --- lists --- */

static const struct genesis *list_by_hash(const struct world *w, uint64_t hash)
{
    for (uint32_t i = 0; i < w->lists; i++)
        if (paxos_list_hash(&w->list[i]) == hash)
            return &w->list[i];
    return NULL;
}

/* What an operator may write down: some of the servers as they are now, sometimes as one was before
 * it was formatted, sometimes at a wrong address, or with limits of its own. */
static uint32_t new_list(struct world *w)
{
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1] = {{0}};
    uint32_t mask = chance(w, 50) ? UINT32_MAX : (uint32_t)draw(w, 256) | 2;
    if (w->lists == WORLD_LISTS_MAX)
        return (uint32_t)draw(w, w->lists);
    for (uint8_t id = 1; id <= w->count; id++) {
        if ((mask >> id & 1) == 0)
            continue;
        founder[id] = judge_founder(id, w->server[id].incarnation);
        if (chance(w, 5))
            founder[id] = w->list[0].founder[id];
        if (chance(w, 5))
            founder[id].port++;
    }
    w->list[w->lists] = judge_record(founder, 1);
    if (chance(w, 10))
        w->list[w->lists].lock_delay_max_ms = 1000;
    return w->lists++;
}

/* --- drive and network --- */

static void post(struct world *w, const struct world_server *s, const struct paxos_msg *msg)
{
    uint32_t copies = 1;
    broken(w, judge_release(&s->disk, msg));
    w->facts.refusals += msg->kind == PAXOS_REFUSE;
    w->facts.carried += msg->kind == PAXOS_PROMISE && msg->held != 0;
    if (msg->to > w->count)
        return;
    if (chance(w, w->loss_percent)) {
        w->facts.lost++;
        copies = 0;
    } else if (chance(w, w->double_percent)) {
        w->facts.doubled++;
        copies = 2;
    }
    for (; copies > 0 && w->bag_count < WORLD_BAG_MAX; copies--)
        w->bag[w->bag_count++] =
            (struct world_packet){w->now_ms + draw(w, w->delay_ms + 1), s->incarnation, *msg};
}

static void release(struct world *w, struct world_server *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->gated; i++)
        if (s->gate[i].persist <= s->paxos.durable)
            post(w, s, &s->gate[i].msg);
        else
            s->gate[kept++] = s->gate[i];
    s->gated = kept;
}

static void step(struct world *w, struct world_server *s, struct paxos_in *in)
{
    static struct paxos before;
    static struct paxos_out out;
    before = s->paxos;
    in->random = draw(w, UINT64_MAX);
    paxos_step(&s->paxos, in, &out);
    broken(w, judge_step(&before, &s->paxos, &out));
    w->facts.steps++;
    w->facts.why[out.why]++;
    w->facts.ballots += s->paxos.ballot > before.ballot;
    w->facts.locks += s->paxos.record.lock != before.record.lock;
    if (out.drop == PAXOS_DROP_CONTRADICTS)
        broken(w, "a message contradicts what is held");
    if (out.decided && (!s->disk.decided || s->paxos.durable < s->paxos.decided_persist))
        broken(w, "a record was handed out before it was durable");
    if (out.write && s->writes < WORLD_WRITES_MAX) {
        uint64_t lands = w->now_ms + draw(w, w->write_ms + 1);
        s->lands_ms = lands > s->lands_ms ? lands : s->lands_ms;
        s->write[s->writes++] = (struct world_write){out.persist, s->lands_ms, s->paxos.record};
    }
    if (out.wait_ns != 0)
        s->timer_ms = w->now_ms + 1 + out.wait_ns / 1000000 / w->haste;
    for (uint32_t i = 0; i < out.send_count && s->gated < WORLD_GATE_MAX; i++)
        s->gate[s->gated++] = out.send[i];
    release(w, s);
}

/* --- servers --- */

static void start(struct world *w, struct world_server *s, uint8_t id)
{
    struct paxos_boot boot = {.id = id, .incarnation = s->incarnation, .record = s->disk};
    boot.proposal = w->list[s->list];
    boot.proposal.cluster_id = ++w->next_cluster;
    paxos_init(&s->paxos, &boot);
    s->up = true;
    s->lands_ms = w->now_ms;
    struct paxos_in in = {.event = PAXOS_EV_START};
    step(w, s, &in);
}

/* What has not landed is lost, or lands just so. */
static void crash(struct world *w, struct world_server *s)
{
    if (s->writes > 0 && chance(w, 30)) {
        s->disk = s->write[0].record;
        broken(w, judge_durable(&w->judge, &s->disk, list_by_hash(w, s->disk.lock)));
    }
    s->up = false;
    s->writes = s->gated = 0;
    s->timer_ms = 0;
    s->up_at_ms = w->now_ms + draw(w, 300);
    w->facts.crashes++;
}

static void wipe(struct world *w, struct world_server *s)
{
    memset(&s->disk, 0, sizeof(s->disk));
    s->incarnation = w->next_incarnation++;
    w->facts.wipes++;
}

/* Gives one server another list, or several the same: started anew with it. */
static void configure(struct world *w)
{
    uint32_t list = chance(w, 60) ? new_list(w) : (uint32_t)draw(w, w->lists);
    uint32_t mask = chance(w, 50) ? UINT32_MAX : (uint32_t)draw(w, 256);
    for (uint8_t id = 1; id <= w->count; id++)
        if ((mask >> id & 1) != 0) {
            if (w->server[id].up)
                crash(w, &w->server[id]);
            w->server[id].list = list;
        }
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 8; i++)
        draw(w, 2);
    w->kind = (enum world_kind)(seed % WORLD_KINDS);
    w->count = 1 + (uint32_t)draw(w, KEEL_REPLICA_MAX);
    if (w->count == 1 || chance(w, 40))
        w->count = 3;
    w->loss_percent = (uint32_t)draw(w, 40);
    w->double_percent = (uint32_t)draw(w, 30);
    w->delay_ms = (uint32_t)draw(w, chance(w, 50) ? 5 : 120);
    w->write_ms = (uint32_t)draw(w, chance(w, 50) ? 3 : 40);
    w->haste = w->kind == WORLD_DUELS || chance(w, 30) ? 1 + (uint32_t)draw(w, 40) : 1;
    w->crash_per_10000 = (uint32_t)draw(w, chance(w, 50) ? 10 : 100);
    w->wipe_per_10000 = w->kind == WORLD_WIPES ? 1 + (uint32_t)draw(w, 10) : 0;
    w->next_incarnation = 1;
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1] = {{0}};
    for (uint8_t id = 1; id <= w->count; id++) {
        w->server[id].incarnation = w->next_incarnation++;
        w->server[id].up_at_ms = draw(w, 1500);
        founder[id] = judge_founder(id, w->server[id].incarnation);
    }
    w->list[w->lists++] = judge_record(founder, 1);
    if (w->kind >= WORLD_CLASHING && chance(w, 60))
        for (uint8_t id = 1; id <= w->count; id++)
            w->server[id].list = chance(w, 50) ? new_list(w) : (uint32_t)draw(w, w->lists);
}

/* --- time --- */

static bool cut_between(const struct world *w, uint8_t a, uint8_t b)
{
    return (w->cut >> a & 1) != (w->cut >> b & 1);
}

static void deliver(struct world *w)
{
    for (uint32_t i = 0; i < w->bag_count;) {
        struct world_packet packet = w->bag[i];
        if (packet.due_ms > w->now_ms) {
            i++;
            continue;
        }
        w->bag[i] = w->bag[--w->bag_count];
        struct world_server *to = &w->server[packet.msg.to];
        struct paxos_in in = {
            .event = PAXOS_EV_RECV, .msg = packet.msg, .incarnation = packet.incarnation};
        if (to->up && !cut_between(w, packet.msg.from, packet.msg.to))
            step(w, to, &in);
    }
}

static void turn(struct world *w, uint8_t id, bool chaos)
{
    struct world_server *s = &w->server[id];
    if (!s->up) {
        if (w->now_ms >= s->up_at_ms)
            start(w, s, id);
        return;
    }
    while (s->writes > 0 && s->write[0].due_ms <= w->now_ms) {
        struct world_write write = s->write[0];
        memmove(s->write, s->write + 1, --s->writes * sizeof(s->write[0]));
        s->disk = write.record;
        broken(w, judge_durable(&w->judge, &s->disk, list_by_hash(w, s->disk.lock)));
        struct paxos_in in = {.event = PAXOS_EV_DURABLE, .persist = write.persist};
        step(w, s, &in);
    }
    if (s->timer_ms != 0 && s->timer_ms <= w->now_ms) {
        s->timer_ms = 0;
        struct paxos_in in = {.event = PAXOS_EV_TIMEOUT};
        step(w, s, &in);
    }
    if (chaos && draw(w, 10000) < w->crash_per_10000)
        crash(w, s);
    if (chaos && draw(w, 10000) < w->wipe_per_10000 && w->next_incarnation < JUDGE_INCARNATIONS) {
        if (s->up)
            crash(w, s);
        wipe(w, s);
    }
}

static bool quiet(const struct world *w)
{
    for (uint8_t id = 1; id <= w->count; id++)
        if (!w->server[id].up || !w->server[id].disk.decided)
            return false;
    return true;
}

static void tick(struct world *w, bool chaos)
{
    w->now_ms++;
    if (chaos && draw(w, 400) == 0 && w->kind != WORLD_DUELS)
        w->cut = chance(w, 50) ? 0 : (uint32_t)draw(w, 256);
    if (chaos && w->kind >= WORLD_CLASHING && draw(w, 1000) == 0)
        configure(w);
    deliver(w);
    for (uint8_t id = 1; id <= w->count && w->violation == NULL; id++)
        turn(w, id, chaos);
}

void world_run(struct world *w)
{
    while (w->violation == NULL && w->now_ms < WORLD_CHAOS_MS)
        tick(w, true);
    w->cut = 0;
    w->loss_percent = w->double_percent = 0;
    w->haste = 1;
    /* The last word of the operator: one list for all, of what they are now; or none. */
    if (w->kind >= WORLD_CLASHING && chance(w, 50)) {
        uint32_t list = chance(w, 70) ? new_list(w) : 0;
        for (uint8_t id = 1; id <= w->count; id++) {
            if (w->server[id].up)
                crash(w, &w->server[id]);
            w->server[id].list = list;
        }
    }
    while (w->violation == NULL && w->now_ms < WORLD_CALM_MS && !quiet(w))
        tick(w, false);
}

const char *world_ends_well(const struct world *w)
{
    for (uint32_t i = 0; i < w->lists; i++) {
        const struct genesis *list = &w->list[i];
        uint64_t hash = paxos_list_hash(list);
        bool free = true, all = true;
        for (uint8_t id = 1; id <= w->count; id++) {
            const struct world_server *s = &w->server[id];
            if (list->founder[id].incarnation == 0)
                continue;
            uint64_t other = s->disk.decided ? paxos_list_hash(&s->disk.value) : s->disk.lock;
            free &= list->founder[id].incarnation == s->incarnation && s->paxos.list == hash &&
                    (other == 0 || other == hash);
            all &= s->disk.decided == 1;
        }
        if (free && !all)
            return "all founders of a list are up and agree, and there is no record";
    }
    return NULL;
}
