/* A byte sequence as a history of the replicated machine: each step builds one entry, mostly one
 * that could be right (a session that exists, its next number), and applies it to a bench's
 * machine. Names, processes, windows and times come from small sets, so that they meet again.
 */
#ifndef KEEL_FUZZ_MACHINE_STEPS_H
#define KEEL_FUZZ_MACHINE_STEPS_H

#include "tests/fuzz/fuzz.h"
#include "tests/unit/machine/bench.h"

enum { STEPS_SESSIONS_MAX = 5, STEPS_PER_PRINCIPAL = 3, STEPS_MAX = 600 };

/* Limits so small that each is reached: 5 sessions, 3 of one principal, short lives. */
struct genesis machine_steps_genesis(void);

/* Builds the next entry into bench->bytes; false: these bytes make none, or only moved time. It is
 * the caller's to apply. */
bool machine_steps_build(struct bench *bench, struct fuzz_input *in);

#endif
