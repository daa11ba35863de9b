#include "control/watch.h"

#include "control/admin_autopilot.h"
#include "control/admin_peers.h"
#include "control/log.h"

#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void watch_init(struct watch *w, const struct node *node)
{
    uint64_t usec = 0;
    memset(w, 0, sizeof(*w));
    w->node = node;
    w->alive_at_ms = now_ms();
    if (sd_watchdog_enabled(0, &usec) > 0)
        w->watchdog_ms = usec / 3000; /* three chances a period */
    log_event(LOG_LEVEL_NOTICE, "started",
              "replica=%u boot=%llu threads=%u port=%s driver=%s drive_mode=\"%s\" hugepages=%s "
              "window_locked=%s",
              node->config->id, (unsigned long long)node->start.boot, node->thread_count,
              node->port_facts.name, node->port_facts.driver, node->disk_facts.mode,
              node->ring_huge ? "yes" : "no", node->ring_locked ? "yes" : "no");
    if (node->disk_facts.known && node->disk_facts.volatile_cache && !node->disk_facts.fua)
        log_event(LOG_LEVEL_WARNING, "drive",
                  "text=\"the drive has a volatile cache and no FUA: each write costs a flush\"");
}

/* All loops and control have taken turns since the last look. */
static bool all_advanced(struct watch *w)
{
    uint64_t turns[NODE_THREADS_MAX + 1];
    uint32_t count = w->node->thread_count;
    bool all = true;
    for (uint32_t i = 0; i <= count; i++) {
        turns[i] = metric_get(i < count ? &w->node->loop[i].alive_turns : &w->node->control_turns);
        all = all && turns[i] != w->alive[i];
    }
    if (all)
        memcpy(w->alive, turns, (count + 1) * sizeof(turns[0]));
    return all;
}

static void feed_dog(struct watch *w)
{
    uint64_t now = now_ms();
    if (all_advanced(w)) {
        w->alive_at_ms = now;
        if (w->hung)
            log_event(LOG_LEVEL_NOTICE, "loops-advance", "replica=%u", w->node->config->id);
        w->hung = false;
        if (w->watchdog_ms > 0 && now - w->fed_at_ms >= w->watchdog_ms) {
            sd_notify(0, "WATCHDOG=1");
            w->fed_at_ms = now;
        }
    } else if (!w->hung && now - w->alive_at_ms > WATCH_HUNG_MS) {
        w->hung = true;
        log_event(LOG_LEVEL_ERROR, "loop-hangs", "replica=%u ms=%llu", w->node->config->id,
                  (unsigned long long)(now - w->alive_at_ms));
    }
}

static void say_changes(struct watch *w, const struct replica_status *s)
{
    if (s->role != w->role || s->leader != w->leader || s->term != w->term) {
        log_event(LOG_LEVEL_NOTICE, "leader", "replica=%u role=%s leader=%u term=%llu commit=%llu",
                  w->node->config->id, node_role_name(s->role), s->leader,
                  (unsigned long long)s->term, (unsigned long long)s->commit);
        w->role = s->role;
        w->leader = s->leader;
        w->term = s->term;
    }
    if (s->stopped != w->stopped) {
        log_event(s->start_again ? LOG_LEVEL_WARNING : LOG_LEVEL_CRITICAL,
                  s->start_again ? "starts-again" : "replica-stopped", "replica=%u why=\"%s\"",
                  w->node->config->id, s->why);
        w->stopped = s->stopped;
        w->start_again = s->start_again != 0;
    }
    if (s->failed != w->failed) {
        log_event(LOG_LEVEL_CRITICAL, "drive-failed", "replica=%u write_errors=%llu",
                  w->node->config->id, (unsigned long long)s->ring.write_errors);
        w->failed = s->failed;
    }
    if (s->stale != w->stale) {
        log_event(s->stale ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
                  s->stale ? "quorum-lost" : "quorum", "replica=%u leader=%u", w->node->config->id,
                  s->leader);
        w->stale = s->stale;
    }
}

/* Why a leader goes that nobody told to. */
static void say_handed_over(struct watch *w, const struct replica_status *s,
                            const struct control_status *c)
{
    if (s->transfer.by_drive != w->by_drive)
        log_event(LOG_LEVEL_WARNING, "hands-over",
                  "replica=%u why=drive to=%u durable=%llu last=%llu", w->node->config->id,
                  s->transfer.to, (unsigned long long)s->durable_index,
                  (unsigned long long)s->last_index);
    if (c->transfers_by_link != w->by_link)
        log_event(LOG_LEVEL_WARNING, "hands-over", "replica=%u why=link majority_us=%llu",
                  w->node->config->id, (unsigned long long)(c->way_ns[w->node->config->id] / 1000));
    w->by_drive = s->transfer.by_drive;
    w->by_link = c->transfers_by_link;
}

static void say_installed(struct watch *w, const struct control_status *c)
{
    if (c->installed_index == w->installed)
        return;
    w->installed = c->installed_index;
    log_event(
        LOG_LEVEL_NOTICE, "checkpoint-installed",
        "replica=%u from=%u index=%llu day=%.*s history_from=%llu text=\"the log begins behind "
        "that index, the feed's history with that number: earlier ones are to be had from other "
        "replicas\"",
        w->node->config->id, c->installed_from, (unsigned long long)c->installed_index,
        KEEL_DAY_NAME_SIZE, c->installed_day, (unsigned long long)c->installed_feed);
}

/* Decisions on every replica, as they are applied; why nothing is done at the leader, who judges.
 */
static void say_autopilot(struct watch *w, const struct autopilot_status *a)
{
    char text[AUTOPILOT_TEXT_MAX];
    const struct machine_decision *d = machine_decision(&a->state, 0);
    if (a->state.dead_ms == 0)
        return;               /* control has published nothing yet */
    if (!w->autopilot_seen) { /* what the drive held was said by an earlier start */
        w->autopilot_seen = true;
        w->decisions = a->state.decisions;
        w->decided = d != NULL ? d->ended_index : 0;
    }
    uint64_t fresh = a->state.decisions - w->decisions;
    for (uint64_t i = fresh < MACHINE_DECISIONS ? fresh : MACHINE_DECISIONS; i-- > 0;) {
        d = machine_decision(&a->state, (uint32_t)i);
        log_event(LOG_LEVEL_WARNING, "autopilot-decision",
                  "replica=%u index=%llu about=%u standby=%u state=%s why=\"%s\"",
                  w->node->config->id, (unsigned long long)d->index, d->voter, d->standby,
                  autopilot_state_name(d->state), autopilot_text(d, text));
    }
    w->decisions = a->state.decisions;
    if (d != NULL && d->ended_index != w->decided) {
        w->decided = d->ended_index;
        if (d->ended_index != 0 && d->action == AUTOPILOT_REPLACE)
            log_event(LOG_LEVEL_WARNING, "autopilot-outcome",
                      "replica=%u index=%llu about=%u standby=%u state=%s%s%s%s",
                      w->node->config->id, (unsigned long long)d->ended_index, d->voter, d->standby,
                      autopilot_state_name(d->state), d->reason != 0 ? " why=\"" : "",
                      autopilot_withdrawal_name(d->reason), d->reason != 0 ? "\"" : "");
    }
    if (a->why == w->autopilot_why && a->about == w->autopilot_about)
        return;
    w->autopilot_why = a->why;
    w->autopilot_about = a->about;
    log_event(LOG_LEVEL_NOTICE, "autopilot", "replica=%u state=%s about=%u why=\"%s\"",
              w->node->config->id, autopilot_why_name(a->why), a->about,
              autopilot_why_text(a->why));
}

void watch_look(struct watch *w)
{
    struct replica_status s;
    struct control_status c;
    replica_status(w->node->start.replica, &s);
    control_status(w->node->start.control, &c);
    if (s.started_ns != 0) /* seq has published once */
        say_changes(w, &s);
    say_handed_over(w, &s, &c);
    say_installed(w, &c);
    say_autopilot(w, &c.autopilot);
    peers_say(w->peer, &c, w->node->config->id);
    if (strcmp(c.problem, w->problem) != 0) {
        if (c.problem[0] != '\0')
            log_event(LOG_LEVEL_ERROR, "control", "replica=%u why=\"%s\"", w->node->config->id,
                      c.problem);
        else
            log_event(LOG_LEVEL_NOTICE, "control", "replica=%u why=\"well again\"",
                      w->node->config->id);
        memcpy(w->problem, c.problem, sizeof(w->problem));
    }
    feed_dog(w);
}
