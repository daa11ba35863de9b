/* Names and sentences of what the library returns. */
#include "client/keel.h"
#include "consensus/machine/machine.h"

struct word {
    int value;
    const char *name;
    const char *text;
};

static const struct word errors[] = {
    {KEEL_OK, "KEEL_OK", "done"},
    {KEEL_AGAIN, "KEEL_AGAIN", "not now: the window is full or the session not open yet"},
    {KEEL_TIMEOUT, "KEEL_TIMEOUT", "the time given has passed"},
    {KEEL_ARGUMENT, "KEEL_ARGUMENT", "an option or argument is not usable"},
    {KEEL_MEMORY, "KEEL_MEMORY", "no memory"},
    {KEEL_SYSTEM, "KEEL_SYSTEM", "a system call failed"},
    {KEEL_KEY, "KEEL_KEY", "the key file is not usable, or no member accepts the key"},
    {KEEL_UNREACHABLE, "KEEL_UNREACHABLE", "no member answers"},
    {KEEL_NO_LEADER, "KEEL_NO_LEADER", "members answer, but none of them leads"},
    {KEEL_BUSY, "KEEL_BUSY", "the cluster has no room for another session"},
    {KEEL_REFUSED, "KEEL_REFUSED", "the cluster refused the session"},
    {KEEL_SHUT_OUT, "KEEL_SHUT_OUT", "another process has taken the session over"},
    {KEEL_ENDED, "KEEL_ENDED", "the session has ended"},
    {KEEL_TOO_LARGE, "KEEL_TOO_LARGE", "the message is above 1,270 bytes"},
    {KEEL_EMPTY, "KEEL_EMPTY", "a message has at least one byte"},
    {KEEL_CONFLICT, "KEEL_CONFLICT", "two feed lines carry different bytes for one number"},
    {KEEL_FRAMING, "KEEL_FRAMING", "the feed does not carry the framing asked for"},
    {KEEL_EXPIRED, "KEEL_EXPIRED", "no leader answered within lease and grace"},
    {KEEL_REFUSED_NODE, "KEEL_REFUSED_NODE", "a node operation was refused"},
};

static const struct word *error_find(int error)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].value == error)
            return &errors[i];
    return NULL;
}

const char *keel_error_name(int error)
{
    const struct word *word = error_find(error);
    return word == NULL ? "unknown error" : word->name;
}

const char *keel_strerror(int error)
{
    const struct word *word = error_find(error);
    return word == NULL ? "unknown error" : word->text;
}

const char *keel_status_name(int status)
{
    return status < 0 || status > MACHINE_NO_LEADER_LEFT
               ? "invalid"
               : machine_status_name((enum machine_status)status);
}

const char *keel_state_name(int state)
{
    static const char *const names[] = {"connecting", "opening", "ready", "searching",
                                        "ending",     "closed",  "failed"};
    return state < 0 || state > KEEL_FAILED ? "invalid" : names[state];
}

const char *keel_follow_state_name(int state)
{
    static const char *const names[] = {"waiting", "backfill",  "synchronized", "gap",
                                        "silent",  "day-ended", "failed"};
    return state < 0 || state > KEEL_FOLLOW_FAILED ? "invalid" : names[state];
}
