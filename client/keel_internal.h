/* A session's handle, as the files of its public face share it. */
#ifndef KEEL_CLIENT_KEEL_INTERNAL_H
#define KEEL_CLIENT_KEEL_INTERNAL_H

#include "client/engine.h"
#include "client/net.h"

struct keel {
    struct keel_options options;
    struct engine *engine;
    size_t engine_bytes;
    struct keyring keys;
    struct net net;
};

/* As keel_poll(), but events that wait to be collected are no reason to return. */
int keel_poll_results(struct keel *keel, int64_t timeout_ns);

#endif
