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

static inline void *machine_part(struct machine *machine, uint32_t offset)
{
    return (uint8_t *)machine + offset;
}

static inline const void *machine_part_const(const struct machine *machine, uint32_t offset)
{
    return (const uint8_t *)machine + offset;
}

static inline struct machine_node *machine_nodes(struct machine *machine)
{
    return machine_part(machine, machine->nodes_offset);
}

static inline const struct machine_node *machine_nodes_const(const struct machine *machine)
{
    return machine_part_const(machine, machine->nodes_offset);
}

static inline struct machine_handle *machine_handles(struct machine *machine)
{
    return machine_part(machine, machine->handles_offset);
}

static inline const struct machine_handle *machine_handles_const(const struct machine *machine)
{
    return machine_part_const(machine, machine->handles_offset);
}

static inline uint32_t node_slot(const struct machine *machine, const struct machine_node *node)
{
    return (uint32_t)(node - machine_nodes_const(machine));
}

static inline uint32_t handle_slot(const struct machine *machine,
                                   const struct machine_handle *handle)
{
    return (uint32_t)(handle - machine_handles_const(machine));
}

/* What the hash of a message begins with: the same for all messages of an entry. */
static inline uint64_t machine_hash_seed(uint8_t kind, const struct entry_sequencer *sequencer)
{
    return sequencer == NULL ? kind : hash_bytes(sequencer, sizeof(*sequencer), kind);
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

/* Whether a result was kept that way by apply: what consumes a number. */
static inline bool machine_kept_status(uint32_t status)
{
    return status <= MACHINE_NOT_OPEN || status == MACHINE_SUSPENDED;
}

/* Whether such a result carries a number, in `feed`. */
static inline bool machine_kept_value(uint32_t status)
{
    return status == MACHINE_SEQUENCED || status == MACHINE_DONE || status == MACHINE_QUEUED;
}

/* Forgets the ended sessions whose retention is over at the machine's log time. */
void machine_sweep(struct machine *machine);

/* --- nodes: machine_nodes.c --- */

/* Lays out nodes and handles behind `offset`; returns the end. Only what genesis says is read. */
size_t machine_nodes_layout(struct machine *machine, const struct genesis *genesis, size_t offset);
/* An empty tree: the root alone. Everything is zero. */
void machine_nodes_init(struct machine *machine);
/* Does a node operation of a session's current life; session NULL: an operator's, and `now` as in
 * machine_lock_break(). The status consumes the number; *value belongs to it. */
enum machine_status machine_node_operate(struct machine *machine, struct machine_session *session,
                                         uint32_t principal, bool now, const uint8_t *block,
                                         uint64_t *value);
/* Enters a node whose id, path and parent are set into the tables and lists. */
void machine_node_enter(struct machine *machine, uint32_t slot);
/* Enters a handle whose session, node and slots are set; a waiting one also into the queue. */
void machine_handle_enter(struct machine *machine, uint32_t slot);
/* The lowest unused slot; MACHINE_NO_SLOT: none. */
uint32_t machine_node_room(const struct machine *machine);
uint32_t machine_handle_room(const struct machine *machine);
/* The handle is no more. What it held or waited for is the caller's. */
void machine_handle_remove(struct machine *machine, struct machine_handle *handle);
/* Removes an ephemeral node that nothing keeps any more, and its parents that only it kept. */
void machine_node_wither(struct machine *machine, struct machine_node *node);

/* --- locks: machine_locks.c --- */

enum machine_status machine_lock_acquire(struct machine *machine, struct machine_handle *handle,
                                         const struct entry_node *op, uint64_t *value);
/* Ends a hold (with so much lock-delay) or a wait, then grants what can be granted. The node may be
 * gone afterwards. */
void machine_lock_leave(struct machine *machine, struct machine_handle *handle, uint64_t delay_ms);
/* Grants in order of asking, as far as that goes. The node may be gone afterwards. */
void machine_lock_settle(struct machine *machine, struct machine_node *node);
/* Ends all holds and waits of a session and gives its handles back. Unclean: the lock-delay that
 * each acquire chose, at least floor_ms, is in force. */
void machine_locks_end(struct machine *machine, struct machine_session *session, bool clean,
                       uint32_t floor_ms);
void machine_apply_due(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome);
/* An operator takes the lock from all that hold it, as if their sessions had ended uncleanly: they
 * may believe in it for as long as their sessions' time to live, and so long nobody gets it; with
 * `now` somebody may at once, also where such a delay is all that there is. */
enum machine_status machine_lock_break(struct machine *machine, struct machine_node *node,
                                       bool now);

/* --- operators: machine_operator.c --- */

void machine_apply_operator(struct machine *machine, const struct entry *entry,
                            struct machine_outcome *outcome);
/* NULL: no record of it. */
struct machine_session *machine_session_by_id(struct machine *machine, uint64_t id);
/* Sets what holds this session back. */
void machine_restrain(const struct machine *machine, struct machine_session *session);
/* A session ends, and what held it back alone. */
void machine_restraint_forget(struct machine *machine, struct machine_session *session);
/* Other members, or members in other incarnations, are in force than in `before`. */
void machine_drained_config(struct machine *machine, const struct entry_config *before);

/* --- the autopilot: machine_autopilot.c --- */

void machine_autopilot_init(struct machine *machine);
enum machine_status machine_apply_autopilot(struct machine *machine, const struct entry *entry);
/* Other members are in force: machine->config; `before` were. */
void machine_autopilot_members(struct machine *machine, const struct entry *entry,
                               const struct entry_config *before, uint64_t before_index);
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
