/* Other root keys while the replica runs: new handshakes use them from the next turn on, and the
 * associations of withdrawn ones end. Source: design, section 8; hazard H18.
 *
 * Nothing of an association can come back: its record at `seq` is gone, each SALT that is accepted
 * later draws a salt of its own, and a handshake that was under way proves itself under the new
 * keys or not at all.
 */
#include "control/control_internal.h"

/* --- the asker's thread
 * ---------------------------------------------------------------------------- */

void control_rekey(struct control *c, const struct control_rekey *rekey)
{
    /* relaxed: nothing is under way, so that this thread alone looks at it; the same memory may
     * have been offered before */
    __atomic_store_n(&c->rekey_obeyed, NULL, __ATOMIC_RELAXED);
    /* release: pairs with the exchange in rekey_turn(), which reads what is behind it */
    __atomic_store_n(&c->rekey_offered, rekey, __ATOMIC_RELEASE);
}

bool control_rekey_taken(const struct control *c)
{
    /* relaxed: nothing is read or freed on the strength of this */
    return __atomic_load_n(&c->rekey_offered, __ATOMIC_RELAXED) == NULL;
}

bool control_rekey_withdraw(struct control *c)
{
    /* acquire: nothing of control's was written for it; relaxed would do as well, but it is freed
     * on the strength of this */
    return __atomic_exchange_n(&c->rekey_offered, NULL, __ATOMIC_ACQUIRE) != NULL;
}

bool control_rekey_done(const struct control *c, const struct control_rekey *rekey)
{
    /* acquire: pairs with the release in rekey_turn(): control's last look at the old keys came
     * before */
    return __atomic_load_n(&c->rekey_obeyed, __ATOMIC_ACQUIRE) == rekey;
}

/* --- control's thread
 * ------------------------------------------------------------------------------ */

/* Begins at once what this side initiates with its own key. */
static void rekey_begin(struct control *c, const struct control_rekey *rekey)
{
    handshake_keys(c->handshake, rekey->keys);
    if (c->founding != NULL)
        founding_keys(c->founding, rekey->keys);
    for (uint32_t i = 0; i < rekey->ended_count; i++) {
        uint32_t id = rekey->ended[i];
        if (id <= c->replica->id || id > KEEL_REPLICA_MAX)
            continue;
        handshake_cancel(c->handshake, id);
        c->peer[id].next_begin_ns = 0;
    }
    c->rekey = rekey;
    c->rekey_at = 0;
}

uint32_t rekey_turn(struct control *c)
{
    if (c->rekey == NULL) {
        /* relaxed: looked at again by the exchange */
        if (__atomic_load_n(&c->rekey_offered, __ATOMIC_RELAXED) == NULL)
            return 0;
        /* acquire: pairs with the release in control_rekey() */
        const struct control_rekey *rekey =
            __atomic_exchange_n(&c->rekey_offered, NULL, __ATOMIC_ACQUIRE);
        if (rekey == NULL)
            return 0; /* withdrawn in between */
        rekey_begin(c, rekey);
    }
    uint32_t work = 1;
    for (; c->rekey_at < c->rekey->ended_count; c->rekey_at++, work++) {
        struct command *command = control_command(c, COMMAND_FORGET);
        if (command == NULL)
            return work; /* the rest when seq has made room */
        command->principal = c->rekey->ended[c->rekey_at];
        control_command_send(c);
    }
    /* release: pairs with the acquire in control_rekey_done() */
    __atomic_store_n(&c->rekey_obeyed, c->rekey, __ATOMIC_RELEASE);
    c->rekey = NULL;
    return work;
}
