/* The autopilot as people see it: its settings, what it makes of each member, why it does what it
 * does, and what it has decided. Called by the admin thread, from what control has published.
 */
#ifndef KEEL_ADMIN_AUTOPILOT_H
#define KEEL_ADMIN_AUTOPILOT_H

#include "control/node.h"

#include <jansson.h>

/* The answer of `autopilot`: the caller's. */
json_t *autopilot_report(const struct node *node);

/* Whether the settings in force are those of an AUTOPILOT_SET. */
bool autopilot_stands(const struct node *node, const struct entry_autopilot *wanted);

/* Why settings were refused (enum machine_status), and what to do. */
const char *autopilot_refusal(uint32_t status);

/* A decision's reason in one line, in *text (AUTOPILOT_TEXT_MAX): who is dead since when, who takes
 * the place, how caught up it is. */
enum { AUTOPILOT_TEXT_MAX = 240 };
const char *autopilot_text(const struct machine_decision *decision, char *text);
const char *autopilot_state_name(uint32_t state);
const char *autopilot_withdrawal_name(uint32_t reason);

#endif
