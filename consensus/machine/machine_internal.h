/* What the machine's own files share: where its tables lie, the life of a slot, the digest. Not for
 * other folders.
 */
#ifndef KEEL_MACHINE_INTERNAL_H
#define KEEL_MACHINE_INTERNAL_H

#include "consensus/machine/hash.h"
#include "consensus/machine/machine.h"

enum { MACHINE_NO_SLOT = UINT32_MAX, NS_PER_MS = 1000000, PPM = 1000000 };

static inline uint32_t *machine_by_id(struct machine *machine)
{
    return (uint32_t *)(void *)((uint8_t *)machine + machine->table_offset);
}

static inline uint32_t *machine_by_name(struct machine *machine)
{
    return machine_by_id(machine) + machine->table_mask + 1;
}

static inline uint32_t *machine_owner(struct machine *machine)
{
    return machine_by_name(machine) + machine->table_mask + 1;
}

static inline struct machine_session *machine_sessions(struct machine *machine)
{
    return (struct machine_session *)(void *)((uint8_t *)machine + machine->sessions_offset);
}

/* The same through a pointer to a machine that is only read. */
static inline const uint32_t *machine_by_id_const(const struct machine *machine)
{
    return (const uint32_t *)(const void *)((const uint8_t *)machine + machine->table_offset);
}

static inline const struct machine_session *machine_sessions_const(const struct machine *machine)
{
    return (const struct machine_session *)(const void *)((const uint8_t *)machine +
                                                          machine->sessions_offset);
}

static inline bool machine_alive(const struct machine_session *session)
{
    return session->end_reason == 0;
}

/* Folds two words into the running digest; the order of calls counts. */
static inline void machine_digest(struct machine *machine, uint64_t a, uint64_t b)
{
    machine->digest = hash_mix(machine->digest ^ a ^ HASH_K3, b ^ HASH_K4) + a;
}

/* The configuration is that of the founders. */
void machine_founders(struct machine *machine, const struct genesis *genesis);

/* Enters a session whose id, name and principal are set in its (so far unused) slot into the
 * tables. */
void machine_enter(struct machine *machine, uint32_t slot);

/* Takes a session out of the tables and zeroes its slot. The list of ended ones is the caller's. */
void machine_remove(struct machine *machine, uint32_t slot);

/* Appends an ended session to the list of those kept. */
void machine_ended_append(struct machine *machine, uint32_t slot);

/* Whether a result was kept that way by apply. */
static inline bool machine_kept_status(uint32_t status)
{
    return status == MACHINE_SEQUENCED || status == MACHINE_DAY_CLOSED;
}

/* Forgets the ended sessions whose retention is over at the machine's log time. */
void machine_sweep(struct machine *machine);

/* The session entries; each sets outcome->status and ->slot. */
void machine_apply_open(struct machine *machine, const struct entry *entry,
                        struct machine_outcome *outcome);
void machine_apply_resume(struct machine *machine, const struct entry *entry,
                          struct machine_outcome *outcome);
void machine_apply_end(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome);
void machine_apply_expire(struct machine *machine, const struct entry *entry,
                          struct machine_outcome *outcome);

#endif
