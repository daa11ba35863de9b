/* What the admin socket says about transfers of leadership and proven reads. */
#ifndef KEEL_ADMIN_LEADERSHIP_H
#define KEEL_ADMIN_LEADERSHIP_H

#include "control/admin_request.h"
#include "control/control.h"

#include <jansson.h>

const char *leadership_state_name(uint32_t state);   /* enum raft_transfer_state */
const char *leadership_reason_name(uint32_t reason); /* enum raft_transfer_reason */

/* Adds "transfer_..." and "drive_lag_..." to a status. */
void leadership_put(json_t *to, const struct replica_status *s);

/* Control's reply to a transfer: ADMIN_OK with *result (the caller's), or an error with why. */
enum admin_error leadership_reply(const struct control_reply *reply, json_t **result,
                                  char why[ADMIN_WHY_MAX]);

#endif
