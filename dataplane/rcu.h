/* Tables that change rarely, published to the loops by liburcu, QSBR flavour: every use of liburcu
 * is in this file and rcu.c.
 *
 * A reader is a thread of loop_run(). It takes a published pointer with rcu_dereference() and may
 * use what is behind it until the end of the same turn, never longer. The writer is a cold thread:
 * it publishes with rcu_assign_pointer(), waits with rcu_wait_readers() and frees what was there
 * before. Whoever answers people never waits. The pointer macros need no library, so that a single
 * thread without loop_run() (simulator, benches) links none.
 *
 * Cost for a reader: a turn compares one shared word, in cache. Only while a writer waits does it
 * store the word and, if the writer sleeps, wake it: one futex call a reload and thread, and none
 * in steady state.
 */
#ifndef KEEL_RCU_H
#define KEEL_RCU_H

/* liburcu's leave for other licences to expand its shortest functions in place */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/pointer.h>

/* liburcu stores behind a barrier of its own, which the thread sanitizer does not see. */
#ifdef __SANITIZE_THREAD__
#undef rcu_assign_pointer
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#endif

/* --- readers: the thread that calls loop_run() --- */
void rcu_reader_begin(void);
/* Nothing published is in use: once a turn. */
void rcu_reader_turn(void);
/* Before and after a sleep: no writer waits for who is asleep. */
void rcu_reader_sleep(void);
void rcu_reader_wake(void);
void rcu_reader_end(void);

/* --- the writer --- */
/* Returns when each reader has ended the turn that it was in, sleeps, or has ended. May take as
 * long as a turn does: not for a thread that answers people, nor for a reader. */
void rcu_wait_readers(void);

#endif
