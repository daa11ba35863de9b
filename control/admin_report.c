#include "control/admin_report.h"

#include "control/address.h"
#include "control/admin.h"
#include "control/admin_autopilot.h"
#include "control/admin_facts.h"
#include "control/admin_founding.h"
#include "control/admin_leadership.h"
#include "control/admin_peers.h"
#include "control/admin_slow.h"
#include "control/json_put.h"
#include "control/openmetrics.h"
#include "dataplane/frame.h"

#include <stdlib.h>
#include <string.h>

#ifndef KEEL_VERSION
#error "KEEL_VERSION comes from the build"
#endif

/* An age in ms; null: never. */
static void put_age(json_t *to, const char *key, uint64_t age_ns)
{
    json_object_set_new(
        to, key, age_ns == UINT64_MAX ? json_null() : json_integer((json_int_t)(age_ns / 1000000)));
}

static void put_day(json_t *to, const char day[KEEL_DAY_NAME_SIZE])
{
    char text[KEEL_DAY_NAME_SIZE + 1];
    memcpy(text, day, KEEL_DAY_NAME_SIZE);
    text[KEEL_DAY_NAME_SIZE] = '\0';
    for (int i = KEEL_DAY_NAME_SIZE - 1; i >= 0 && text[i] == ' '; i--)
        text[i] = '\0';
    json_put_text(to, "day", text);
}

/* Share of turns that found work since start, in permille: a busy core shows 100 % in `top`. */
static void put_turns(json_t *to, const struct metrics *m)
{
    uint64_t turns = metric_get(&m->turns), useful = metric_get(&m->turns_useful);
    json_put_number(to, "turns", turns);
    json_put_number(to, "turns_useful", useful);
    json_put_number(to, "turns_useful_permille", turns > 0 ? useful * 1000 / turns : 0);
    json_put_number(to, "turn_max_ns", metric_get(&m->turn_max_ns));
    json_put_number(to, "stalls", metric_get(&m->stalls));
}

static void put_sources(json_t *to, const struct node *n)
{
    json_put_text(to, "port", n->port_facts.name);
    json_put_text(to, "driver", n->port_facts.driver);
    json_put_bool(to, "port_system_calls", n->port_facts.system_calls);
    json_put_bool(to, "hugepages", n->eal.huge);
    json_put_text(to, "drive", n->config->data);
    json_put_text(to, "drive_mode", n->disk_facts.mode);
    json_put_text(to, "eal", n->eal.line);
}

/* A checkpoint of a peer: on its way here, or in the place of an earlier log. */
static void put_installed(json_t *to, const struct control_status *c)
{
    json_put_number(to, "installed_index", c->installed_index);
    json_put_number(to, "installed_from", c->installed_from);
    json_put_number(to, "receiving_index", c->transfer_index);
    json_put_number(to, "receiving_have_bytes", c->transfer_have);
    json_put_number(to, "receiving_bytes", c->transfer_size);
    json_put_number(to, "transfers_resumed", c->transfers_resumed);
}

static void put_control(json_t *to, const struct node *n)
{
    struct control_status c;
    control_status(n->start.control, &c);
    json_put_number(to, "control_applied", c.applied);
    json_put_number(to, "checkpoint_index", c.checkpoint_index[0]);
    json_put_number(to, "checkpoint_older_index", c.checkpoint_index[1]);
    json_put_number(to, "checkpoints", c.checkpoints);
    json_put_number(to, "checkpoint_failures", c.checkpoint_failures);
    json_put_number(to, "checkpoints_bad", c.checkpoints_bad);
    json_put_number(to, "scrubbed_pages", c.scrubbed);
    json_put_number(to, "scrub_page", c.scrub_page);
    json_put_number(to, "scrub_passes", c.scrub_passes);
    json_put_number(to, "copies_repaired", c.copies_repaired);
    put_installed(to, &c);
    json_put_text(to, "control_problem", c.problem);
}

static json_t *report_status(const struct node *n)
{
    struct replica_status s;
    replica_status(n->start.replica, &s);
    json_t *to = json_object();
    json_put_number(to, "replica", n->config->id);
    json_put_hex(to, "cluster_id", n->start.genesis.cluster_id);
    json_put_text(to, "role", node_role_name(s.role));
    json_put_number(to, "leader", s.leader);
    json_put_number(to, "term", s.term);
    json_put_number(to, "vote", s.vote);
    json_put_number(to, "commit_index", s.commit);
    json_put_number(to, "applied_index", s.applied);
    json_put_number(to, "durable_index", s.durable_index);
    json_put_number(to, "last_index", s.last_index);
    json_put_number(to, "first_index", s.first_index);
    put_day(to, s.day);
    json_put_bool(to, "day_open", s.day_open);
    json_put_number(to, "feed_next", s.feed_next);
    json_put_number(to, "feed_history_from", feed_oldest(n->start.replica->feed));
    json_put_number(to, "sessions", s.sessions);
    json_put_hex(to, "digest", s.digest);
    json_put_number(to, "digest_index", s.digest_index);
    put_age(to, "quorum_age_ms", s.quorum_age_ns);
    json_put_bool(to, "stale", s.stale);
    json_put_bool(to, "drained", s.drained >> n->config->id & 1);
    json_put_bool(to, "stopped", s.stopped);
    json_put_text(to, "stopped_why", s.why);
    json_put_bool(to, "drive_failed", s.failed);
    json_put_number(to, "boot", n->start.boot);
    json_put_number(to, "uptime_ms", (s.now_ns - s.started_ns) / 1000000);
    json_put_text(to, "version", KEEL_VERSION);
    leadership_put(to, &s);
    struct control_status c;
    control_status(n->start.control, &c);
    slow_put(to, &c, n->config->id);
    json_put_number(to, "nodes", c.nodes);
    json_put_number(to, "locks_held", c.locks_held);
    json_put_number(to, "lock_waiters", c.lock_waiters);
    put_control(to, n);
    put_turns(to, &n->start.replica->metrics);
    put_sources(to, n);
    return to;
}

static json_t *report_health(const struct node *n)
{
    struct replica_status s;
    replica_status(n->start.replica, &s);
    json_t *to = json_object(), *complaints = json_array();
    const char *word;
    for (int i = 0; (word = node_complaint(n, &s, i)) != NULL; i++)
        json_array_append_new(complaints, json_string(word));
    json_put_bool(to, "healthy", json_array_size(complaints) == 0);
    json_object_set_new(to, "complaints", complaints);
    json_put_number(to, "leader", s.leader);
    put_age(to, "quorum_age_ms", s.quorum_age_ns);
    json_put_bool(to, "stale", s.stale);
    json_put_bool(to, "drained", s.drained >> n->config->id & 1);
    json_put_text(to, "stopped_why", s.why);
    json_put_number(to, "stalls", metric_get(&n->start.replica->metrics.stalls));
    json_put_number(to, "turn_max_ns", metric_get(&n->start.replica->metrics.turn_max_ns));
    struct control_status c;
    control_status(n->start.control, &c);
    peers_put(to, &c, s.now_ns);
    return to;
}

/* In a joint configuration a voter may be on its way in or out. What kind of learner it is stands
 * in the replicated state, which may be a moment behind the configuration in force. */
static const char *member_role(const struct entry_config *config,
                               const struct machine_autopilot *autopilot, uint32_t id)
{
    if ((config->learners >> id & 1) != 0 &&
        ((config->voters | config->voters_new) >> id & 1) == 0) {
        if ((autopilot->standbys >> id & 1) != 0)
            return "standby";
        return (autopilot->replaced >> id & 1) != 0 ? "replaced" : "learner";
    }
    bool now = (config->voters >> id & 1) != 0, then = (config->voters_new >> id & 1) != 0;
    if (config->voters_new == 0)
        return now ? "voter" : "learner";
    if (now)
        return then ? "voter" : "leaving";
    return then ? "joining" : "learner";
}

/* Of a peer that no log reaches: that it is sent a checkpoint, or why it takes none; else null. */
static void put_checkpoint(json_t *to, const struct control_status *c,
                           const struct replica_status *s, uint32_t id)
{
    enum packet_checkpoint_reason reason = c->send_refused[id];
    json_t *word = json_null();
    if (s->role == RAFT_LEADER && (s->lapped >> id & 1) != 0)
        word = json_string(reason != 0 ? packet_checkpoint_reason_name(reason) : "needed");
    json_object_set_new(to, "checkpoint", word);
}

static json_t *report_member(const struct node *n, const struct replica_status *s,
                             const struct control_status *c, uint32_t id)
{
    const struct entry_member *f = &s->config.member[id];
    char text[ADDRESS_TEXT_MAX];
    json_t *to = json_object();
    bool self = id == n->config->id, leads = s->role == RAFT_LEADER;
    json_put_number(to, "replica", id);
    json_put_text(to, "address", address_text(text, f->ip, f->port));
    json_put_hex(to, "incarnation", f->incarnation);
    json_put_text(to, "role", member_role(&s->config, &c->autopilot.state, id));
    json_put_bool(to, "self", self && f->incarnation == n->start.super.incarnation);
    json_put_bool(to, "leader", s->leader == id);
    json_put_bool(to, "drained", s->drained >> id & 1);
    json_put_number(to, "boot", self ? n->start.boot : s->peer_boot[id]);
    if (self)
        put_age(to, "heard_ms", 0);
    else
        put_age(to, "heard_ms",
                s->assoc_heard_ns[id] == 0 || s->assoc_heard_ns[id] > s->now_ns
                    ? (s->assoc_heard_ns[id] == 0 ? UINT64_MAX : 0)
                    : s->now_ns - s->assoc_heard_ns[id]);
    /* only a leader knows how far the others are */
    uint64_t match = self ? s->durable_index : s->peer_match[id];
    json_object_set_new(to, "match_index",
                        self || leads ? json_integer((json_int_t)match) : json_null());
    put_checkpoint(to, c, s, id);
    peers_put_member(to, c, id);
    slow_put_member(to, c, id);
    json_object_set_new(to, "lag_entries",
                        self || leads ? json_integer((json_int_t)(s->last_index - match))
                                      : json_null());
    return to;
}

static json_t *report_members(const struct node *n)
{
    struct replica_status s;
    struct control_status c;
    replica_status(n->start.replica, &s);
    control_status(n->start.control, &c);
    json_t *to = json_object(), *list = json_array();
    json_put_hex(to, "cluster_id", n->start.genesis.cluster_id);
    json_put_number(to, "term", s.term);
    json_put_number(to, "leader", s.leader);
    json_put_number(to, "config_index", s.config_index);
    json_put_bool(to, "config_committed", s.config_index <= s.commit);
    json_put_bool(to, "config_joint", s.config.voters_new != 0);
    json_put_bool(to, "member",
                  s.config.member[n->config->id].incarnation == n->start.super.incarnation);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (s.config.member[id].incarnation != 0)
            json_array_append_new(list, report_member(n, &s, &c, id));
    json_object_set_new(to, "members", list);
    return to;
}

static json_t *report_ring(const struct node *n)
{
    struct replica_status s;
    replica_status(n->start.replica, &s);
    const struct ring_stats *r = &s.ring;
    json_t *to = json_object();
    json_put_number(to, "slots", r->slots);
    json_put_number(to, "used_pages", r->tail_page - r->head_page);
    json_put_number(to, "used_permille",
                    r->slots > 0 ? (r->tail_page - r->head_page) * 1000 / r->slots : 0);
    json_put_number(to, "head_page", r->head_page);
    json_put_number(to, "tail_page", r->tail_page);
    json_put_number(to, "zeroed_ahead_pages",
                    r->zeroed_to > r->tail_page ? r->zeroed_to - r->tail_page : 0);
    json_put_number(to, "first_index", s.first_index);
    json_put_number(to, "last_index", s.last_index);
    json_put_number(to, "last_lsn", s.last_lsn);
    json_put_number(to, "durable_lsn", s.durable_lsn);
    json_put_number(to, "in_flight_pages", r->in_flight);
    json_put_number(to, "in_flight_pages_max", r->in_flight_max);
    json_put_number(to, "pages_written", r->pages_written);
    json_put_number(to, "bytes_written", r->bytes_written);
    json_put_number(to, "seals", r->seals);
    json_put_number(to, "entries", r->entries);
    json_put_number(to, "zeroed_pages", r->zeroed_pages);
    json_put_number(to, "reads", r->reads);
    json_put_number(to, "read_errors", r->read_errors);
    json_put_number(to, "write_errors", r->write_errors);
    json_put_number(to, "damaged_pages", r->holes);
    json_put_number(to, "damaged_index", s.hole);
    json_put_number(to, "repaired_pages", s.pages_repaired);
    json_put_number(to, "repair_failures", s.repair_failures);
    json_put_number(to, "found_damaged_pages", n->start.lost_pages);
    json_put_number(to, "found_repaired_blocks", n->start.repaired_blocks);
    json_put_number(to, "found_torn_pages", n->start.torn_pages);
    json_put_number(to, "found_zeroed_slots", n->start.zeroed_slots);
    json_put_number(to, "drive_bytes", n->disk_facts.size);
    json_put_text(to, "drive_mode", n->disk_facts.mode);
    json_put_bool(to, "drive_volatile_cache", n->disk_facts.volatile_cache);
    json_put_bool(to, "drive_fua", n->disk_facts.fua);
    json_put_bool(to, "drive_facts_known", n->disk_facts.known);
    json_put_bool(to, "drive_polled", n->disk_facts.polled);
    json_put_number(to, "drive_atomic_bytes", n->disk_facts.atomic_bytes);
    put_control(to, n);
    return to;
}

/* Feed requests that got no answer. */
static json_t *report_requests(const struct node *n)
{
    struct feed_stats f;
    feed_stats(n->start.replica->feed, &f);
    json_t *to = json_object();
    json_put_number(to, "malformed", f.request_malformed);
    json_put_number(to, "stranger", f.request_stranger);
    json_put_number(to, "limited", f.request_limited);
    json_put_number(to, "other-session", f.request_session);
    json_put_number(to, "nothing-asked", f.request_low);
    json_put_number(to, "beyond-present", f.request_high);
    json_put_number(to, "gone", f.request_gone);
    return to;
}

static json_t *report_drops(const struct node *n)
{
    const struct metrics *m = &n->start.replica->metrics;
    struct control_status c;
    control_status(n->start.control, &c);
    json_t *to = json_object(), *group = json_object();
    for (int i = 0; i < DROP_COUNT; i++)
        json_put_number(group, drop_name((enum drop)i), metric_get(&m->drop[i]));
    json_object_set_new(to, "datagrams", group);
    group = json_object();
    for (int i = 1; i < AUTH_REJECT_COUNT; i++)
        json_put_number(group, auth_reject_name((enum auth_reject)i),
                        metric_get(&m->auth_reject[i]));
    json_object_set_new(to, "authentication", group);
    group = json_object();
    for (int i = 1; i < HANDSHAKE_REJECT_COUNT; i++)
        json_put_number(group, handshake_reject_name((enum handshake_reject)i),
                        c.handshake_reject[i]);
    json_object_set_new(to, "handshakes", group);
    const uint64_t *frames = frame_drops(n->start.replica->host);
    group = json_object();
    for (int i = FRAME_SHORT; i < FRAME_DROP_COUNT; i++)
        json_put_number(group, frame_drop_name((enum frame_drop)i), metric_get(&frames[i]));
    json_object_set_new(to, "frames", group);
    json_object_set_new(to, "requests", report_requests(n));
    group = json_object();
    for (int i = 0; i < ADMIN_END_COUNT && n->admin_counts != NULL; i++)
        json_put_number(group, admin_end_name((enum admin_end)i), n->admin_counts->ended[i]);
    json_object_set_new(to, "admin", group);
    return to;
}

/* The same histogram as in the text, as quantiles. A copy: seq goes on counting meanwhile. */
static json_t *stage_numbers(const struct histogram *from)
{
    json_t *to = json_object();
    struct histogram *h = malloc(sizeof(*h));
    if (h == NULL)
        return to;
    memcpy(h, from, sizeof(*h));
    json_put_number(to, "count", h->count);
    json_put_number(to, "p50_ns", histogram_quantile(h, 500000));
    json_put_number(to, "p90_ns", histogram_quantile(h, 900000));
    json_put_number(to, "p99_ns", histogram_quantile(h, 990000));
    json_put_number(to, "p999_ns", histogram_quantile(h, 999000));
    json_put_number(to, "max_ns", h->max);
    free(h);
    return to;
}

static json_t *report_metrics(const struct node *n, bool text)
{
    const struct metrics *m = &n->start.replica->metrics;
    json_t *to = json_object();
    if (text) {
        size_t size = 0;
        char *all = openmetrics_text(n, &size);
        json_put_text(to, "text", all != NULL ? all : "# EOF\n");
        free(all);
        return to;
    }
    put_turns(to, m);
    json_put_number(to, "rx_datagrams", metric_get(&m->rx_datagrams));
    json_put_number(to, "tx_datagrams", metric_get(&m->tx_datagrams));
    json_put_number(to, "submitted_messages", metric_get(&m->submit_messages));
    json_put_number(to, "sequenced_messages", metric_get(&m->sequenced));
    json_put_number(to, "refused_messages", metric_get(&m->refused));
    json_put_number(to, "duplicate_messages", metric_get(&m->duplicates));
    json_put_number(to, "applied_entries", metric_get(&m->applied_entries));
    json_put_number(to, "elections_won", metric_get(&m->elections_won));
    json_t *stages = json_object();
    for (int i = 0; i < STAGE_COUNT; i++)
        json_object_set_new(stages, stage_name((enum stage)i), stage_numbers(&m->stage[i]));
    json_object_set_new(to, "stages", stages);
    return to;
}

static json_t *report_version(const struct node *n)
{
    json_t *to = json_object();
    json_put_text(to, "version", KEEL_VERSION);
    json_put_number(to, "admin_protocol", ADMIN_VERSION);
    json_put_number(to, "packet_version", PACKET_VERSION);
    json_put_number(to, "ring_version", RING_VERSION);
    json_put_number(to, "genesis_version", GENESIS_VERSION);
    json_put_number(to, "replica", n->config->id);
    return to;
}

json_t *admin_report(const struct node *node, const struct admin_request *request)
{
    switch (request->command) {
    case ADMIN_STATUS:
        return report_status(node);
    case ADMIN_HEALTH:
        return report_health(node);
    case ADMIN_MEMBER_LIST:
        return report_members(node);
    case ADMIN_METRICS:
        return report_metrics(node, request->text);
    case ADMIN_RING:
        return report_ring(node);
    case ADMIN_DROPS:
        return report_drops(node);
    case ADMIN_AUTOPILOT:
        return autopilot_report(node);
    case ADMIN_VERSION_SHOW:
        return report_version(node);
    case ADMIN_GENESIS:
        return admin_genesis(node);
    case ADMIN_CLOCK:
        return admin_clock(node);
    case ADMIN_DIGEST:
        return admin_digest(node);
    case ADMIN_CONFIG:
        return admin_config(node);
    case ADMIN_EVENTS:
    case ADMIN_SNAPSHOT:
    case ADMIN_DAY:
    case ADMIN_RELOAD:
    case ADMIN_MEMBER:
    case ADMIN_LEADER_TRANSFER:
    case ADMIN_LEADER_STEP_DOWN:
    case ADMIN_DRAIN:
    case ADMIN_RESUME:
    case ADMIN_SESSION_LIST:
    case ADMIN_SESSION_LOCKS:
    case ADMIN_SESSION_KICK:
    case ADMIN_SESSION_SUSPEND:
    case ADMIN_SESSION_RESUME:
    case ADMIN_SESSION_LIMIT:
    case ADMIN_NODE_GET:
    case ADMIN_NODE_LIST:
    case ADMIN_NODE_CREATE:
    case ADMIN_NODE_SET:
    case ADMIN_NODE_DELETE:
    case ADMIN_NODE_ACL:
    case ADMIN_LOCK_BREAK:
    case ADMIN_BACKUP:
    case ADMIN_AUTOPILOT_SET:
    case ADMIN_COMMAND_COUNT:
        break;
    }
    return NULL;
}
