/* What the files of the machine's encoding share. Not for other files. */
#ifndef KEEL_MACHINE_ENCODE_H
#define KEEL_MACHINE_ENCODE_H

#include "consensus/machine/machine_internal.h"

#include <string.h>

/* Takes the encoding piece by piece: into bytes, or, without bytes, into a hash alone. */
struct sink {
    uint8_t *at; /* NULL: hash only */
    size_t left;
    size_t size; /* written; 0 after an overflow */
    bool full;
    uint64_t hash;
};

static inline void machine_put(struct sink *sink, const void *bytes, size_t size)
{
    if (sink->at == NULL) {
        sink->hash = hash_bytes(bytes, size, sink->hash);
        return;
    }
    if (sink->full || size > sink->left) {
        sink->full = true;
        return;
    }
    memcpy(sink->at, bytes, size);
    sink->at += size;
    sink->left -= size;
    sink->size += size;
}

/* Gives it back piece by piece. */
struct source {
    const uint8_t *at;
    size_t left;
};

static inline bool machine_take(struct source *source, void *to, size_t size)
{
    if (size > source->left)
        return false;
    memcpy(to, source->at, size);
    source->at += size;
    source->left -= size;
    return true;
}

/* Nodes by rising instance, then handles by rising `asked`: the orders of their lists, from which
 * all others follow. */
void machine_put_nodes(struct sink *sink, const struct machine *machine);
/* NULL, or why the bytes are refused; sessions are in place. */
const char *machine_take_nodes(struct machine *machine, uint32_t nodes, uint32_t handles,
                               struct source *source);
size_t machine_nodes_encoded_max(const struct genesis *genesis);

/* Behind them, what operators have done; sessions are in place. */
void machine_put_operated(struct sink *sink, const struct machine *machine);
const char *machine_take_operated(struct machine *machine, struct source *source);
size_t machine_operated_encoded_max(void);
/* The autopilot's settings, then its decisions by their place. At most sizeof(struct
 * machine_autopilot) bytes. */
void machine_put_autopilot(struct sink *sink, const struct machine *machine);
/* NULL, or why the bytes are refused; everything else is in place. */
const char *machine_take_autopilot(struct machine *machine, struct source *source);

#endif
