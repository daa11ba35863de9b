#include "control/admin_report.h"

#include "control/admin_founding.h"

#include "control/address.h"
#include "control/admin.h"
#include "control/admin_autopilot.h"
#include "control/admin_facts.h"
#include "control/admin_leadership.h"
#include "control/admin_peers.h"
#include "control/admin_slow.h"
#include "control/openmetrics.h"
#include "dataplane/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef KEEL_VERSION
#error "KEEL_VERSION comes from the build"
#endif

static void put(json_t *to, const char *key, uint64_t value)
{
    json_object_set_new(to, key, json_integer((json_int_t)value));
}

static void put_text(json_t *to, const char *key, const char *value)
{
    json_object_set_new(to, key, json_string(value));
}

static void put_bool(json_t *to, const char *key, bool value)
{
    json_object_set_new(to, key, json_boolean(value));
}

/* 64-bit values that are no counts: JSON numbers are not safe beyond 2^53. */
static void put_hex(json_t *to, const char *key, uint64_t value)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    put_text(to, key, text);
}

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
    put_text(to, "day", text);
}

/* Share of turns that found work since start, in permille: a busy core shows 100 % in `top`. */
static void put_turns(json_t *to, const struct metrics *m)
{
    uint64_t turns = metric_get(&m->turns), useful = metric_get(&m->turns_useful);
    put(to, "turns", turns);
    put(to, "turns_useful", useful);
    put(to, "turns_useful_permille", turns > 0 ? useful * 1000 / turns : 0);
    put(to, "turn_max_ns", metric_get(&m->turn_max_ns));
    put(to, "stalls", metric_get(&m->stalls));
}

static void put_sources(json_t *to, const struct node *n)
{
    put_text(to, "port", n->port_facts.name);
    put_text(to, "driver", n->port_facts.driver);
    put_bool(to, "port_system_calls", n->port_facts.system_calls);
    put_bool(to, "hugepages", n->eal.huge);
    put_text(to, "drive", n->config->data);
    put_text(to, "drive_mode", n->disk_facts.mode);
    put_text(to, "eal", n->eal.line);
}

/* A checkpoint of a peer: on its way here, or in the place of an earlier log. */
static void put_installed(json_t *to, const struct control_status *c)
{
    put(to, "installed_index", c->installed_index);
    put(to, "installed_from", c->installed_from);
    put(to, "receiving_index", c->transfer_index);
    put(to, "receiving_have_bytes", c->transfer_have);
    put(to, "receiving_bytes", c->transfer_size);
    put(to, "transfers_resumed", c->transfers_resumed);
}

static void put_control(json_t *to, const struct node *n)
{
    struct control_status c;
    control_status(n->start.control, &c);
    put(to, "control_applied", c.applied);
    put(to, "checkpoint_index", c.checkpoint_index[0]);
    put(to, "checkpoint_older_index", c.checkpoint_index[1]);
    put(to, "checkpoints", c.checkpoints);
    put(to, "checkpoint_failures", c.checkpoint_failures);
    put(to, "checkpoints_bad", c.checkpoints_bad);
    put(to, "scrubbed_pages", c.scrubbed);
    put(to, "scrub_page", c.scrub_page);
    put(to, "scrub_passes", c.scrub_passes);
    put(to, "copies_repaired", c.copies_repaired);
    put_installed(to, &c);
    put_text(to, "control_problem", c.problem);
}

static json_t *report_status(const struct node *n)
{
    struct replica_status s;
    replica_status(n->start.replica, &s);
    json_t *to = json_object();
    put(to, "replica", n->config->id);
    put_hex(to, "cluster_id", n->start.genesis.cluster_id);
    put_text(to, "role", node_role_name(s.role));
    put(to, "leader", s.leader);
    put(to, "term", s.term);
    put(to, "vote", s.vote);
    put(to, "commit_index", s.commit);
    put(to, "applied_index", s.applied);
    put(to, "durable_index", s.durable_index);
    put(to, "last_index", s.last_index);
    put(to, "first_index", s.first_index);
    put_day(to, s.day);
    put_bool(to, "day_open", s.day_open);
    put(to, "feed_next", s.feed_next);
    put(to, "feed_history_from", feed_oldest(n->start.replica->feed));
    put(to, "sessions", s.sessions);
    put_hex(to, "digest", s.digest);
    put(to, "digest_index", s.digest_index);
    put_age(to, "quorum_age_ms", s.quorum_age_ns);
    put_bool(to, "stale", s.stale);
    put_bool(to, "drained", s.drained >> n->config->id & 1);
    put_bool(to, "stopped", s.stopped);
    put_text(to, "stopped_why", s.why);
    put_bool(to, "drive_failed", s.failed);
    put(to, "boot", n->start.boot);
    put(to, "uptime_ms", (s.now_ns - s.started_ns) / 1000000);
    put_text(to, "version", KEEL_VERSION);
    leadership_put(to, &s);
    struct control_status c;
    control_status(n->start.control, &c);
    slow_put(to, &c, n->config->id);
    put(to, "nodes", c.nodes);
    put(to, "locks_held", c.locks_held);
    put(to, "lock_waiters", c.lock_waiters);
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
    put_bool(to, "healthy", json_array_size(complaints) == 0);
    json_object_set_new(to, "complaints", complaints);
    put(to, "leader", s.leader);
    put_age(to, "quorum_age_ms", s.quorum_age_ns);
    put_bool(to, "stale", s.stale);
    put_bool(to, "drained", s.drained >> n->config->id & 1);
    put_text(to, "stopped_why", s.why);
    put(to, "stalls", metric_get(&n->start.replica->metrics.stalls));
    put(to, "turn_max_ns", metric_get(&n->start.replica->metrics.turn_max_ns));
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
    put(to, "replica", id);
    put_text(to, "address", address_text(text, f->ip, f->port));
    put_hex(to, "incarnation", f->incarnation);
    put_text(to, "role", member_role(&s->config, &c->autopilot.state, id));
    put_bool(to, "self", self && f->incarnation == n->start.super.incarnation);
    put_bool(to, "leader", s->leader == id);
    put_bool(to, "drained", s->drained >> id & 1);
    put(to, "boot", self ? n->start.boot : s->peer_boot[id]);
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
    put_hex(to, "cluster_id", n->start.genesis.cluster_id);
    put(to, "term", s.term);
    put(to, "leader", s.leader);
    put(to, "config_index", s.config_index);
    put_bool(to, "config_committed", s.config_index <= s.commit);
    put_bool(to, "config_joint", s.config.voters_new != 0);
    put_bool(to, "member",
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
    put(to, "slots", r->slots);
    put(to, "used_pages", r->tail_page - r->head_page);
    put(to, "used_permille", r->slots > 0 ? (r->tail_page - r->head_page) * 1000 / r->slots : 0);
    put(to, "head_page", r->head_page);
    put(to, "tail_page", r->tail_page);
    put(to, "zeroed_ahead_pages", r->zeroed_to > r->tail_page ? r->zeroed_to - r->tail_page : 0);
    put(to, "first_index", s.first_index);
    put(to, "last_index", s.last_index);
    put(to, "last_lsn", s.last_lsn);
    put(to, "durable_lsn", s.durable_lsn);
    put(to, "in_flight_pages", r->in_flight);
    put(to, "in_flight_pages_max", r->in_flight_max);
    put(to, "pages_written", r->pages_written);
    put(to, "bytes_written", r->bytes_written);
    put(to, "seals", r->seals);
    put(to, "entries", r->entries);
    put(to, "zeroed_pages", r->zeroed_pages);
    put(to, "reads", r->reads);
    put(to, "read_errors", r->read_errors);
    put(to, "write_errors", r->write_errors);
    put(to, "damaged_pages", r->holes);
    put(to, "damaged_index", s.hole);
    put(to, "repaired_pages", s.pages_repaired);
    put(to, "repair_failures", s.repair_failures);
    put(to, "found_damaged_pages", n->start.lost_pages);
    put(to, "found_repaired_blocks", n->start.repaired_blocks);
    put(to, "found_torn_pages", n->start.torn_pages);
    put(to, "found_zeroed_slots", n->start.zeroed_slots);
    put(to, "drive_bytes", n->disk_facts.size);
    put_text(to, "drive_mode", n->disk_facts.mode);
    put_bool(to, "drive_volatile_cache", n->disk_facts.volatile_cache);
    put_bool(to, "drive_fua", n->disk_facts.fua);
    put_bool(to, "drive_facts_known", n->disk_facts.known);
    put_bool(to, "drive_polled", n->disk_facts.polled);
    put(to, "drive_atomic_bytes", n->disk_facts.atomic_bytes);
    put_control(to, n);
    return to;
}

/* Feed requests that got no answer. */
static json_t *report_requests(const struct node *n)
{
    struct feed_stats f;
    feed_stats(n->start.replica->feed, &f);
    json_t *to = json_object();
    put(to, "malformed", f.request_malformed);
    put(to, "stranger", f.request_stranger);
    put(to, "limited", f.request_limited);
    put(to, "other-session", f.request_session);
    put(to, "nothing-asked", f.request_low);
    put(to, "beyond-present", f.request_high);
    put(to, "gone", f.request_gone);
    return to;
}

static json_t *report_drops(const struct node *n)
{
    const struct metrics *m = &n->start.replica->metrics;
    struct control_status c;
    control_status(n->start.control, &c);
    json_t *to = json_object(), *group = json_object();
    for (int i = 0; i < DROP_COUNT; i++)
        put(group, drop_name((enum drop)i), metric_get(&m->drop[i]));
    json_object_set_new(to, "datagrams", group);
    group = json_object();
    for (int i = 1; i < AUTH_REJECT_COUNT; i++)
        put(group, auth_reject_name((enum auth_reject)i), metric_get(&m->auth_reject[i]));
    json_object_set_new(to, "authentication", group);
    group = json_object();
    for (int i = 1; i < HANDSHAKE_REJECT_COUNT; i++)
        put(group, handshake_reject_name((enum handshake_reject)i), c.handshake_reject[i]);
    json_object_set_new(to, "handshakes", group);
    const uint64_t *frames = frame_drops(n->start.replica->host);
    group = json_object();
    for (int i = FRAME_SHORT; i < FRAME_DROP_COUNT; i++)
        put(group, frame_drop_name((enum frame_drop)i), metric_get(&frames[i]));
    json_object_set_new(to, "frames", group);
    json_object_set_new(to, "requests", report_requests(n));
    group = json_object();
    for (int i = 0; i < ADMIN_END_COUNT && n->admin_counts != NULL; i++)
        put(group, admin_end_name((enum admin_end)i), n->admin_counts->ended[i]);
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
    put(to, "count", h->count);
    put(to, "p50_ns", histogram_quantile(h, 500000));
    put(to, "p90_ns", histogram_quantile(h, 900000));
    put(to, "p99_ns", histogram_quantile(h, 990000));
    put(to, "p999_ns", histogram_quantile(h, 999000));
    put(to, "max_ns", h->max);
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
        put_text(to, "text", all != NULL ? all : "# EOF\n");
        free(all);
        return to;
    }
    put_turns(to, m);
    put(to, "rx_datagrams", metric_get(&m->rx_datagrams));
    put(to, "tx_datagrams", metric_get(&m->tx_datagrams));
    put(to, "submitted_messages", metric_get(&m->submit_messages));
    put(to, "sequenced_messages", metric_get(&m->sequenced));
    put(to, "refused_messages", metric_get(&m->refused));
    put(to, "duplicate_messages", metric_get(&m->duplicates));
    put(to, "applied_entries", metric_get(&m->applied_entries));
    put(to, "elections_won", metric_get(&m->elections_won));
    json_t *stages = json_object();
    for (int i = 0; i < STAGE_COUNT; i++)
        json_object_set_new(stages, stage_name((enum stage)i), stage_numbers(&m->stage[i]));
    json_object_set_new(to, "stages", stages);
    return to;
}

static json_t *report_version(const struct node *n)
{
    json_t *to = json_object();
    put_text(to, "version", KEEL_VERSION);
    put(to, "admin_protocol", ADMIN_VERSION);
    put(to, "packet_version", PACKET_VERSION);
    put(to, "ring_version", RING_VERSION);
    put(to, "genesis_version", GENESIS_VERSION);
    put(to, "replica", n->config->id);
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
