#include "dataplane/rcu.h"

#include <urcu/urcu-qsbr.h>

/* liburcu orders the reader's last read before the writer's free with barriers that the thread
 * sanitizer does not see: it is told of them. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static char turn_ends;
#define READS_END() __tsan_release(&turn_ends)
#define READS_ENDED() __tsan_acquire(&turn_ends)
#else
#define READS_END() ((void)0)
#define READS_ENDED() ((void)0)
#endif

void rcu_reader_begin(void)
{
    urcu_qsbr_register_thread();
}

void rcu_reader_turn(void)
{
    READS_END();
    urcu_qsbr_quiescent_state();
}

void rcu_reader_sleep(void)
{
    READS_END();
    urcu_qsbr_thread_offline();
}

void rcu_reader_wake(void)
{
    urcu_qsbr_thread_online();
}

void rcu_reader_end(void)
{
    READS_END();
    urcu_qsbr_unregister_thread();
}

void rcu_wait_readers(void)
{
    urcu_qsbr_synchronize_rcu();
    READS_ENDED();
}
