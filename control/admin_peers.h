/* What people are told of the other replicas' grades (detector.c, suspicion.h): in a health report,
 * of each member, as metrics, as events.
 */
#ifndef KEEL_ADMIN_PEERS_H
#define KEEL_ADMIN_PEERS_H

#include "control/control.h"

#include <jansson.h>
#include <stdio.h>

enum { PEERS_REASONS_SIZE = 64 };

/* "silent", "link,drive", "none": the words of the reasons' bits. Returns text. */
const char *peers_reasons(char text[PEERS_REASONS_SIZE], uint32_t reasons);

/* "peers": a list of who is judged here: "replica", "state", "reasons", "since_ms" (the state's
 * age), "silent_ms", "usual_ms", "suspicion" (silent / usual). now_ns: of the replica's status. */
void peers_put(json_t *to, const struct control_status *c, uint64_t now_ns);

/* "state" and "state_reasons" of one member; null of who is not judged here. */
void peers_put_member(json_t *to, const struct control_status *c, uint32_t id);

/* As OpenMetrics text. */
void peers_metrics(FILE *out, const struct control_status *c);

/* An event for each peer whose state or reasons are others than in `last`, which follows. */
void peers_say(struct detector_view last[KEEL_REPLICA_MAX + 1], const struct control_status *c,
               uint32_t self);

#endif
