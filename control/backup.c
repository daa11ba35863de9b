/* A backup for people: control's own machine, encoded between two turns of the log cursor, so that
 * it stands at one committed index; seq has no part in it.
 *
 * One at a time. The memory changes hands by one word: the asker's while it is BACKUP_FREE or
 * BACKUP_HELD, control's while it is BACKUP_WANTED.
 */
#include "control/control_internal.h"

/* --- the asker's thread
 * ---------------------------------------------------------------------------- */

void control_backup_want(struct control *c)
{
    /* release: pairs with the acquire in backup_turn(): the asker's last look at the bytes of the
     * one before came before */
    __atomic_store_n(&c->backup_state, BACKUP_WANTED, __ATOMIC_RELEASE);
}

const uint8_t *control_backup_held(const struct control *c, uint64_t *size)
{
    /* acquire: pairs with the release in backup_turn(), behind the bytes */
    if (__atomic_load_n(&c->backup_state, __ATOMIC_ACQUIRE) != BACKUP_HELD)
        return NULL;
    *size = c->backup_size;
    return c->backup_bytes;
}

/* --- control's thread
 * ------------------------------------------------------------------------------ */

uint32_t backup_turn(struct control *c)
{
    /* acquire: pairs with the release in control_backup_want() */
    if (__atomic_load_n(&c->backup_state, __ATOMIC_ACQUIRE) != BACKUP_WANTED)
        return 0;
    uint32_t error_ns;
    struct backup_head head = {.replica = c->super.replica,
                               .incarnation = c->super.incarnation,
                               .chain = c->chain,
                               .utc_ns = clock_utc_ns(c->replica->clock, &error_ns)};
    head.current_term =
        c->seen.term > c->machine->applied_term ? c->seen.term : c->machine->applied_term;
    c->backup_size = backup_encode(&head, c->options.genesis, c->machine, c->backup_bytes,
                                   backup_size_max(c->options.genesis));
    c->status.backups++;
    /* release: pairs with the acquire in control_backup_held() */
    __atomic_store_n(&c->backup_state, BACKUP_HELD, __ATOMIC_RELEASE);
    return 1;
}
