/* A machine on a test's bench: one that is fed entry by entry, each built here, checked by
 * entry_check() and numbered on. Shared by the tests of consensus/machine.
 */
#ifndef KEEL_TEST_BENCH_H
#define KEEL_TEST_BENCH_H

#include "consensus/machine/machine.h"
#include "tests/unit/unit.h"

#include <stdalign.h>

enum { BENCH_REPLICA = 1, BENCH_ALICE = 16, BENCH_BOB = 17, BENCH_INCARNATION = 0x1000 };

struct bench {
    struct genesis genesis;
    struct machine *machine;
    struct machine_outcome outcome; /* of the last entry */
    uint64_t term;
    uint64_t utc_ns;
    uint64_t log_ns;
    uint64_t requests;                        /* of operators, so far */
    alignas(8) uint8_t bytes[KEEL_ENTRY_MAX]; /* the last entry */
};

/* Three founders with incarnations BENCH_INCARNATION + id, day "DAY1", the default limits. */
struct genesis bench_genesis(void);

/* A machine at index 0, term 1. bench_free() gives its memory back. */
void bench_init(struct bench *bench, const struct genesis *genesis);
void bench_free(struct bench *bench);

/* Memory for a machine: machine_size() bytes, 64-byte aligned; free() gives it back. */
struct machine *bench_memory(const struct genesis *genesis);

/* Builds an entry at applied + 1 into bench->bytes with the bench's term and times. */
struct entry *bench_build(struct bench *bench, enum entry_kind kind, uint32_t principal,
                          const void *body, size_t size);

/* Adds `count` messages from `number` on to an ENTRY_MESSAGES: message n is the text
 * bench_text(seed, n). */
struct entry *bench_build_messages(struct bench *bench, uint32_t principal, uint64_t session,
                                   uint64_t epoch, uint64_t number, uint64_t acked, uint32_t count,
                                   uint32_t seed);
size_t bench_text(char text[24], uint32_t seed, uint64_t number);

/* Applies what was built last; asserts that it passes entry_check(). */
const struct machine_outcome *bench_apply(struct bench *bench);

/* Build and apply. */
const struct machine_outcome *bench_noop(struct bench *bench, uint64_t term);
const struct machine_outcome *bench_open(struct bench *bench, uint32_t principal, const char *name,
                                         uint64_t process, uint16_t window);
const struct machine_outcome *bench_resume(struct bench *bench, uint32_t principal,
                                           const char *name, uint64_t process, uint64_t replaces);
const struct machine_outcome *bench_end(struct bench *bench, uint32_t principal, uint64_t session,
                                        uint64_t epoch, enum session_end_reason reason);
const struct machine_outcome *bench_expire(struct bench *bench, uint32_t principal,
                                           uint64_t session, uint64_t epoch, uint64_t term);
const struct machine_outcome *bench_day(struct bench *bench, enum entry_kind kind,
                                        const char *name);
const struct machine_outcome *bench_boot(struct bench *bench, uint32_t replica,
                                         uint64_t incarnation, uint64_t boot, uint64_t boot_id);
const struct machine_outcome *bench_send(struct bench *bench, uint32_t principal, uint64_t session,
                                         uint64_t epoch, uint64_t number, uint64_t acked,
                                         uint32_t count);

/* The session's next node operation: its number and epoch are those in force. Returns what became
 * of it; *value (may be NULL) is what the result carries. principal is the session's owner; session
 * 0: an operator's. */
enum machine_status bench_node(struct bench *bench, uint64_t session, const struct entry_node *op,
                               const char *path, const void *content, uint64_t *value);
/* The usual ones. Open returns the instance, 0 unless DONE. */
uint64_t bench_node_open(struct bench *bench, uint64_t session, const char *path, uint8_t flags,
                         uint8_t events);
enum machine_status bench_acquire(struct bench *bench, uint64_t session, uint64_t node,
                                  enum lock_mode mode, uint32_t delay_ms, uint64_t *generation);
enum machine_status bench_on_node(struct bench *bench, uint64_t session, uint64_t node,
                                  enum node_operation operation);
/* An operator's request under an id that was never used; *op's own id where it has one. `block` is
 * of op->size bytes. */
const struct machine_outcome *bench_operate(struct bench *bench, const struct entry_operator *op,
                                            const void *block);
enum machine_status bench_hold_back(struct bench *bench, enum operator_operation operation,
                                    uint64_t session, uint32_t principal, uint32_t value);
enum machine_status bench_drain(struct bench *bench, uint8_t replica, bool drained);
const struct machine_outcome *bench_due(struct bench *bench, uint64_t term);

/* Session of an outcome's slot; fails the test if it names none. */
const struct machine_session *bench_session(const struct bench *bench);

/* Everything that an outcome says, without the runs that it does not have. */
bool bench_same_outcome(const struct machine_outcome *a, const struct machine_outcome *b);

/* A plain generator (splitmix64), so that a seed names a run for ever. */
uint64_t bench_random(uint64_t *state);

#endif
