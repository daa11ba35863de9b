#include "control/admin_peers.h"

#include "control/log.h"

#include <inttypes.h>
#include <string.h>

static const uint64_t NS_PER_MS = 1000000;

const char *peers_reasons(char text[PEERS_REASONS_SIZE], uint32_t reasons)
{
    size_t used = 0;
    snprintf(text, PEERS_REASONS_SIZE, "none");
    for (unsigned bit = 0; bit < DETECTOR_REASONS; bit++)
        if ((reasons >> bit & 1) != 0)
            used += (size_t)snprintf(text + used, PEERS_REASONS_SIZE - used, "%s%s",
                                     used > 0 ? "," : "", detector_reason_name(bit));
    return text;
}

static const char *state(const struct detector_view *peer)
{
    return detector_state_name((enum detector_state)peer->state);
}

static json_t *report(const struct detector_view *peer, uint32_t id, uint64_t now_ns)
{
    char reasons[PEERS_REASONS_SIZE];
    uint64_t age_ns = now_ns > peer->since_ns ? now_ns - peer->since_ns : 0;
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:f}", "replica", (json_int_t)id, "state",
                     state(peer), "reasons", peers_reasons(reasons, peer->reasons), "since_ms",
                     (json_int_t)(age_ns / NS_PER_MS), "silent_ms",
                     (json_int_t)(peer->silent_ns / NS_PER_MS), "usual_ms",
                     (json_int_t)(peer->usual_ns / NS_PER_MS), "suspicion",
                     (double)peer->suspicion / 1e3);
}

void peers_put(json_t *to, const struct control_status *c, uint64_t now_ns)
{
    json_t *list = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (c->peer[id].judged)
            json_array_append_new(list, report(&c->peer[id], id, now_ns));
    json_object_set_new(to, "peers", list);
}

void peers_put_member(json_t *to, const struct control_status *c, uint32_t id)
{
    const struct detector_view *peer = &c->peer[id];
    char text[PEERS_REASONS_SIZE];
    json_object_set_new(to, "state", peer->judged ? json_string(state(peer)) : json_null());
    json_object_set_new(to, "state_reasons",
                        peer->judged ? json_string(peers_reasons(text, peer->reasons))
                                     : json_null());
}

void peers_metrics(FILE *out, const struct control_status *c)
{
    fputs("# TYPE keel_peer_state stateset\n# HELP keel_peer_state What a replica seems to be, "
          "from here.\n",
          out);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        for (int i = 0; i < DETECTOR_STATES && c->peer[id].judged; i++)
            fprintf(out, "keel_peer_state{replica=\"%u\",keel_peer_state=\"%s\"} %d\n", id,
                    detector_state_name((enum detector_state)i), c->peer[id].state == i);
    fputs("# TYPE keel_peer_suspicion gauge\n# HELP keel_peer_suspicion Its silence, in times its "
          "longest usual one.\n",
          out);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (c->peer[id].judged)
            fprintf(out, "keel_peer_suspicion{replica=\"%u\"} %.3f\n", id,
                    (double)c->peer[id].suspicion / 1e3);
    fputs("# TYPE keel_peer_silent_seconds gauge\n# HELP keel_peer_silent_seconds Since its last "
          "valid packet, while this replica listened.\n",
          out);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (c->peer[id].judged)
            fprintf(out, "keel_peer_silent_seconds{replica=\"%u\"} %.9f\n", id,
                    (double)c->peer[id].silent_ns / 1e9);
    fprintf(out,
            "# TYPE keel_peer_changes counter\n# HELP keel_peer_changes Of grades of "
            "replicas.\nkeel_peer_changes_total %" PRIu64 "\n",
            c->peer_changes);
}

void peers_say(struct detector_view last[KEEL_REPLICA_MAX + 1], const struct control_status *c,
               uint32_t self)
{
    char reasons[PEERS_REASONS_SIZE];
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct detector_view *now = &c->peer[id];
        bool changed = now->state != last[id].state || now->reasons != last[id].reasons;
        bool begins = now->state == DETECTOR_UNKNOWN && last[id].state == DETECTOR_UNKNOWN;
        if (changed && !begins)
            log_event(now->state == DETECTOR_WELL ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, "peer",
                      "replica=%u peer=%u from=%s to=%s reason=%s silent_ms=%" PRIu64
                      " usual_ms=%" PRIu64,
                      self, id, state(&last[id]), state(now), peers_reasons(reasons, now->reasons),
                      now->silent_ns / NS_PER_MS, now->usual_ns / NS_PER_MS);
        last[id] = *now;
    }
}
