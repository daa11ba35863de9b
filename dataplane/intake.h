/* Intake: what clients ask of the leader, checked and framed into the log's open page.
 *
 * Its checks only save work: apply decides (design: section 7). For each session it keeps the
 * leader's *appended* number and epoch, an overlay over what the machine has applied. The overlay
 * belongs to one term: intake opens when this leader's own no-op has been applied (then the machine
 * has seen everything that came before), each slot is taken over from the machine when first used
 * in that term, and a deposed leader's overlay is never looked at again. Owned by `seq`.
 */
#ifndef KEEL_INTAKE_H
#define KEEL_INTAKE_H

#include "consensus/machine/machine.h"

struct replica;

enum {
    INTAKE_PENDING_MAX = 256, /* session requests appended and not yet applied */
    INTAKE_BURST_MS = 100     /* what a limit leaves unused so long may be made up for */
};

struct intake_slot {
    uint64_t session;  /* that the overlay speaks of; 0: none */
    uint64_t term;     /* of the leader that made it */
    uint64_t epoch;    /* changes when a resume or a kill is *appended* (H15) */
    uint64_t appended; /* last number in the log */
    uint64_t heard_ns; /* last packet of the owner; read by control with a relaxed load */
    uint64_t acked;    /* highest acknowledged number heard of */
    uint64_t paid_ns;  /* with a limit: its next message is due then */
};

/* What makes two copies of a session request the same request. */
struct intake_key {
    uint64_t process; /* OPEN, RESUME */
    uint64_t session; /* END, with its epoch */
    uint64_t epoch;
    uint32_t principal;
    uint8_t kind; /* enum packet_kind */
    uint8_t reserved[3];
    char name[KEEL_NAME_MAX + 1]; /* OPEN, RESUME */
};
_Static_assert(sizeof(struct intake_key) == 32 + KEEL_NAME_MAX + 1, "compared byte by byte");

struct intake_pending {
    uint64_t index;   /* log index of the appended request; 0: free */
    uint64_t request; /* of the newest copy */
    struct intake_key key;
};

struct intake {
    uint64_t term;     /* that the pending requests belong to */
    uint64_t operated; /* index of the last operation of an operator on a node */
    uint32_t slots;
    uint32_t pending_count;
    struct intake_pending pending[INTAKE_PENDING_MAX];
    struct intake_slot slot[];
};

size_t intake_size(const struct genesis *genesis);
void intake_init(struct intake *intake, const struct genesis *genesis);

/* One authenticated client packet. */
HOT void intake_packet(struct replica *r, uint32_t principal, uint8_t kind, const void *body,
                       size_t size);

/* An entry of the leader's own (control's proposal): kind and body. Returns its index, 0 when
 * malformed, not leader or without room. */
uint64_t intake_own(struct replica *r, uint8_t entry_kind, const void *body, uint16_t body_size);

/* Whether a lease may still be told to that session's life: no entry that ends it, may end it, or
 * puts another in its place has been appended by this leader (H16: the lock-delay that such an
 * entry brings counts from its log time, so no later keepalive may be answered); and the state that
 * the answer tells of, at index `known`, holds every lock that an operator took from its holder,
 * and all that earlier leaders had appended. */
bool intake_lives(struct replica *r, const struct packet_lease *lease, uint64_t known);

/* A session entry was applied: forgets the pending request and answers it; brings the overlay in
 * line with what the machine decided. */
void intake_applied(struct replica *r, const struct entry *entry,
                    const struct machine_outcome *outcome);

/* Is this replica a leader whose intake is open? */
bool intake_open(const struct replica *r);

#endif
