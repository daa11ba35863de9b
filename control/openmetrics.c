#include "control/openmetrics.h"

#include "control/admin.h"
#include "control/admin_peers.h"
#include "control/admin_slow.h"
#include "dataplane/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t openmetrics_below(const struct histogram *h, uint32_t bits)
{
    uint32_t end = bits >= HISTOGRAM_VALUE_BITS ? HISTOGRAM_CELLS : histogram_cell(1ull << bits);
    uint64_t count = 0;
    for (uint32_t cell = 0; cell < end; cell++)
        count += metric_get(&h->cell[cell]);
    return count;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "gauge", help);
    fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    fprintf(out, "%s_total %" PRIu64 "\n", name, value);
}

static void transfers(FILE *out, const struct replica_status *s)
{
    const struct raft_transfer *t = &s->transfer;
    bool under_way = t->state == RAFT_TRANSFER_WAITING || t->state == RAFT_TRANSFER_TOLD;
    gauge(out, "keel_transfer_under_way", "1 while leadership is being handed over.", under_way);
    head(out, "keel_transfers", "counter", "Transfers of leadership, by outcome.");
    fprintf(out, "keel_transfers_total{outcome=\"done\"} %" PRIu64 "\n", t->done);
    fprintf(out, "keel_transfers_total{outcome=\"given-up\"} %" PRIu64 "\n", t->given_up);
    counter(out, "keel_transfers_by_drive", "Begun because the own drive lagged.", t->by_drive);
    gauge(out, "keel_drive_lag_entries", "Entries that the own drive does not hold yet.",
          s->last_index - s->durable_index);
    head(out, "keel_drive_lag_seconds", "gauge",
         "At a leader: for how long a quorum's drives are ahead of its own, which stood.");
    fprintf(out, "keel_drive_lag_seconds %.9f\n", (double)s->drive_lag_ns / 1e9);
}

static void from_status(FILE *out, const struct node *node)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    head(out, "keel_role", "stateset", "What this replica is.");
    for (uint32_t role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++)
        fprintf(out, "keel_role{keel_role=\"%s\"} %d\n", node_role_name(role), s.role == role);
    gauge(out, "keel_term", "Current term.", s.term);
    gauge(out, "keel_leader", "Replica id of the leader, 0 unknown.", s.leader);
    gauge(out, "keel_commit_index", "Committed up to here.", s.commit);
    gauge(out, "keel_applied_index", "Applied up to here.", s.applied);
    gauge(out, "keel_durable_index", "Durable on this drive up to here.", s.durable_index);
    gauge(out, "keel_last_index", "Last entry of the log.", s.last_index);
    gauge(out, "keel_feed_next", "Next feed number of the day.", s.feed_next);
    gauge(out, "keel_sessions", "Sessions alive or kept.", s.sessions);
    gauge(out, "keel_stale", "1: no quorum contact within feed_stale_ms.", s.stale);
    gauge(out, "keel_stopped", "1: stopped for good, until restarted.", s.stopped);
    counter(out, "keel_ring_pages_written", "Pages written to the drive.", s.ring.pages_written);
    counter(out, "keel_ring_bytes_written", "Bytes written to the drive.", s.ring.bytes_written);
    counter(out, "keel_ring_seals", "Pages without entries or votes.", s.ring.seals);
    counter(out, "keel_ring_zeroed_pages", "Pages zeroed ahead.", s.ring.zeroed_pages);
    counter(out, "keel_ring_reads", "Pages read back.", s.ring.reads);
    counter(out, "keel_ring_read_errors", "Pages that could not be.", s.ring.read_errors);
    counter(out, "keel_ring_write_errors", "Writes that failed.", s.ring.write_errors);
    gauge(out, "keel_damaged_pages", "Pages that are lost and wait for repair.", s.ring.holes);
    gauge(out, "keel_damaged_index", "Lowest entry lost, no checkpoint covers it; 0: none.",
          s.hole);
    counter(out, "keel_repaired_pages", "Pages written anew from what peers hold.",
            s.pages_repaired);
    counter(out, "keel_repair_failures", "Tries that failed.", s.repair_failures);
    gauge(out, "keel_ring_slots", "Pages that the ring holds.", s.ring.slots);
    gauge(out, "keel_ring_used_pages", "Pages from head to tail.",
          s.ring.tail_page - s.ring.head_page);
    transfers(out, &s);
}

static void from_metrics(FILE *out, const struct metrics *m)
{
    const struct {
        const char *name, *help;
        const uint64_t *value;
    } list[] = {
        {"keel_turns", "Turns of the loop.", &m->turns},
        {"keel_turns_useful", "Turns that found work.", &m->turns_useful},
        {"keel_stalls", "Turns longer than 1 ms.", &m->stalls},
        {"keel_rx_datagrams", "Datagrams received.", &m->rx_datagrams},
        {"keel_tx_datagrams", "Datagrams sent.", &m->tx_datagrams},
        {"keel_submits", "Submit packets.", &m->submits},
        {"keel_submitted_messages", "Messages in them.", &m->submit_messages},
        {"keel_duplicate_messages", "Messages that had been decided before.", &m->duplicates},
        {"keel_appended_entries", "Entries appended.", &m->appended_entries},
        {"keel_appended_messages", "Messages appended as leader.", &m->appended_messages},
        {"keel_applied_entries", "Entries applied.", &m->applied_entries},
        {"keel_sequenced_messages", "Messages that took a feed number.", &m->sequenced},
        {"keel_refused_messages", "Messages refused by the machine.", &m->refused},
        {"keel_answers", "Result packets.", &m->answers},
        {"keel_elections_won", "Elections won.", &m->elections_won},
        {"keel_terms_seen", "Changes of term or vote.", &m->terms_seen},
        {"keel_deposed", "Leaderships lost.", &m->deposed},
        {"keel_appends_sent", "AppendEntries packets.", &m->appends_sent},
        {"keel_append_entries_sent", "Entries in them.", &m->append_entries_sent},
        {"keel_reread_pages", "Pages read back for a follower.", &m->reread_pages},
    };
    for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        counter(out, list[i].name, list[i].help, metric_get(list[i].value));
    head(out, "keel_turn_max_seconds", "gauge", "Longest turn since start.");
    fprintf(out, "keel_turn_max_seconds %.9f\n", (double)metric_get(&m->turn_max_ns) / 1e9);
    head(out, "keel_drops", "counter", "Datagrams dropped or requests refused, by reason.");
    for (int i = 0; i < DROP_COUNT; i++)
        fprintf(out, "keel_drops_total{reason=\"%s\"} %" PRIu64 "\n", drop_name((enum drop)i),
                metric_get(&m->drop[i]));
    head(out, "keel_auth_rejects", "counter", "Packets that failed authentication, by reason.");
    for (int i = 1; i < AUTH_REJECT_COUNT; i++)
        fprintf(out, "keel_auth_rejects_total{reason=\"%s\"} %" PRIu64 "\n",
                auth_reject_name((enum auth_reject)i), metric_get(&m->auth_reject[i]));
}

static void frames(FILE *out, const struct node *node)
{
    const uint64_t *drops = frame_drops(node->start.replica->host);
    head(out, "keel_frame_drops", "counter", "Frames that were no datagram for us, by reason.");
    for (int i = FRAME_SHORT; i < FRAME_DROP_COUNT; i++)
        fprintf(out, "keel_frame_drops_total{reason=\"%s\"} %" PRIu64 "\n",
                frame_drop_name((enum frame_drop)i), metric_get(&drops[i]));
}

static void from_admin(FILE *out, const struct admin_counts *counts)
{
    if (counts == NULL)
        return;
    counter(out, "keel_admin_connections", "Connections to the admin socket.", counts->accepted);
    counter(out, "keel_admin_requests", "Requests there.", counts->requests);
    head(out, "keel_admin_ended", "counter", "Of the connections, refused or ended, by reason.");
    for (int i = 0; i < ADMIN_END_COUNT; i++)
        fprintf(out, "keel_admin_ended_total{reason=\"%s\"} %" PRIu64 "\n",
                admin_end_name((enum admin_end)i), counts->ended[i]);
}

static void stages(FILE *out, const struct metrics *m)
{
    head(out, "keel_stage_seconds", "histogram", "Latency of a message's stages at the leader.");
    for (int i = 0; i < STAGE_COUNT; i++) {
        const struct histogram *h = &m->stage[i];
        const char *name = stage_name((enum stage)i);
        for (uint32_t bits = OPENMETRICS_BUCKET_LOW; bits <= OPENMETRICS_BUCKET_HIGH; bits++)
            fprintf(out, "keel_stage_seconds_bucket{stage=\"%s\",le=\"%.9f\"} %" PRIu64 "\n", name,
                    (double)(1ull << bits) / 1e9, openmetrics_below(h, bits));
        uint64_t count = openmetrics_below(h, HISTOGRAM_VALUE_BITS);
        fprintf(out, "keel_stage_seconds_bucket{stage=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name,
                count);
        fprintf(out, "keel_stage_seconds_sum{stage=\"%s\"} %.9f\n", name,
                (double)metric_get(&h->sum) / 1e9);
        fprintf(out, "keel_stage_seconds_count{stage=\"%s\"} %" PRIu64 "\n", name, count);
    }
}

static void from_control(FILE *out, const struct node *node)
{
    struct control_status s;
    control_status(node->start.control, &s);
    gauge(out, "keel_checkpoint_index", "Of the newest verified checkpoint.",
          s.checkpoint_index[0]);
    counter(out, "keel_checkpoints", "Checkpoints written.", s.checkpoints);
    counter(out, "keel_checkpoint_failures", "Checkpoints that failed.", s.checkpoint_failures);
    counter(out, "keel_checkpoints_installed", "Checkpoints of a peer in the log's place.",
            s.installed);
    counter(out, "keel_backups", "Backups taken for keelctl.", s.backups);
    gauge(out, "keel_checkpoint_receiving_bytes", "Of a checkpoint on its way here, so far.",
          s.transfer_have);
    counter(out, "keel_checkpoint_chunks_sent", "Packets of checkpoints to lapped peers.",
            s.chunks_sent);
    counter(out, "keel_checkpoint_chunks_repeated", "Of them, sent again.", s.chunks_repeated);
    counter(out, "keel_checkpoint_chunks_received", "Packets of checkpoints.", s.chunks_received);
    counter(out, "keel_checkpoint_chunks_malformed", "Of them, not understood.",
            s.chunks_malformed);
    peers_metrics(out, &s);
    slow_metrics(out, &s);
    counter(out, "keel_handshakes", "Associations made.", s.handshakes_done);
    counter(out, "keel_keepalives", "Keepalives received.", s.keepalives);
    counter(out, "keel_expiries_proposed", "Expiries proposed.", s.expiries_proposed);
    head(out, "keel_handshake_rejects", "counter", "Handshake packets refused, by reason.");
    for (int i = 1; i < HANDSHAKE_REJECT_COUNT; i++)
        fprintf(out, "keel_handshake_rejects_total{reason=\"%s\"} %" PRIu64 "\n",
                handshake_reject_name((enum handshake_reject)i), s.handshake_reject[i]);
}

static void from_feed(FILE *out, const struct node *node)
{
    struct feed_stats f;
    feed_stats(node->start.replica->feed, &f);
    counter(out, "keel_feed_packets", "Packets of the line.", f.packets);
    counter(out, "keel_feed_messages", "Messages in them.", f.messages);
    counter(out, "keel_feed_heartbeats", "Heartbeats of the line.", f.heartbeats);
    counter(out, "keel_feed_silent", "Heartbeats withheld: no quorum contact.", f.silent);
    gauge(out, "keel_feed_history_from", "Lowest number of the day that is answered for.",
          f.oldest);
    counter(out, "keel_feed_requests", "Requests for missed messages.", f.requests);
    head(out, "keel_feed_answered", "counter", "Requests answered, by source.");
    fprintf(out, "keel_feed_answered_total{source=\"memory\"} %" PRIu64 "\n", f.answered_memory);
    fprintf(out, "keel_feed_answered_total{source=\"drive\"} %" PRIu64 "\n", f.answered_drive);
    const struct {
        const char *reason;
        uint64_t value;
    } list[] = {{"malformed", f.request_malformed},
                {"stranger", f.request_stranger},
                {"limited", f.request_limited},
                {"session", f.request_session},
                {"low", f.request_low},
                {"high", f.request_high},
                {"gone", f.request_gone}};
    head(out, "keel_feed_unanswered", "counter", "Requests without an answer, by reason.");
    for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        fprintf(out, "keel_feed_unanswered_total{reason=\"%s\"} %" PRIu64 "\n", list[i].reason,
                list[i].value);
}

static void from_port(FILE *out, const struct node *node)
{
    struct port_stats p;
    port_stats(node->port, &p);
    counter(out, "keel_port_rx_frames", "Frames received.", p.rx_frames);
    counter(out, "keel_port_tx_frames", "Frames sent.", p.tx_frames);
    counter(out, "keel_port_rx_missed", "Frames that the device had no room for.", p.rx_missed);
    counter(out, "keel_port_tx_dropped", "Frames that the device's queue had no room for.",
            p.tx_dropped);
    counter(out, "keel_port_alloc_failed", "Buffers that were not to be had.", p.alloc_failed);
}

char *openmetrics_text(const struct node *node, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (out == NULL)
        return NULL;
    from_status(out, node);
    from_metrics(out, &node->start.replica->metrics);
    frames(out, node);
    stages(out, &node->start.replica->metrics);
    from_control(out, node);
    from_feed(out, node);
    from_port(out, node);
    from_admin(out, node->admin_counts);
    fputs("# EOF\n", out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
