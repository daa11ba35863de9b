/* What keelctl's commands that are a client of the cluster share. */
#ifndef KEEL_CTL_SESSION_H
#define KEEL_CTL_SESSION_H

#include "client/keel.h"
#include "control/ctl.h"

#define CTL_CLIENT_FILE "/etc/keel/client.conf"
enum { CTL_SESSION_TTL_MS = 10000 };

/* The first options of each such command, in the table. */
enum {
    CTL_CLIENT_CONFIG,
    CTL_CLIENT_MEMBERS,
    CTL_CLIENT_KEY,
    CTL_CLIENT_PRINCIPAL,
    CTL_CLIENT_OWN
};
#define CTL_CLIENT_OPTIONS                                                                         \
    {"config", "FILE", "client configuration (default: $KEEL_CLIENT, else " CTL_CLIENT_FILE ")"},  \
        {"members", "LIST", "1=IP:PORT,2=IP:PORT,..."}, {"key", "FILE", "the client's key file"},  \
    {                                                                                              \
        "principal", "N", "which of its keys (default: the only one)"                              \
    }

/* Opens a session of this process; CTL_DONE, or an exit code after saying why. ttl_ms 0: the
 * default. */
int ctl_session_open(const struct ctl *ctl, bool leases, uint32_t ttl_ms, struct keel **keel);
/* Ends it; NULL is allowed. */
void ctl_session_close(struct keel *keel);
/* The exit code for a libkeel error. */
int ctl_session_code(int error);
/* Says on stderr what failed and what to do; `result` names the refusal of KEEL_REFUSED_NODE.
 * Returns the exit code. */
int ctl_session_fail(const struct ctl *ctl, const struct keel *keel, int error,
                     const struct keel_result *result);

#endif
