/* Why there is no genesis record here, from the most telling reason down. */
#include "consensus/paxos/paxos_internal.h"

/* The lowest id of a mask whose server said exactly that, last; 0: none. */
static uint8_t who_said(const struct paxos *paxos, uint32_t mask, enum paxos_word word)
{
    for (uint8_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((mask >> id & 1) != 0 && paxos->said[id] == word)
            return id;
    return 0;
}

enum paxos_why paxos_why(const struct paxos *paxos, uint8_t *about)
{
    static const struct {
        enum paxos_word word;
        enum paxos_why why;
    } founders[] = {{PAXOS_SAID_INCARNATION, PAXOS_WHY_INCARNATION},
                    {PAXOS_SAID_OTHER_LIST, PAXOS_WHY_OTHER_LIST},
                    {PAXOS_SAID_OTHER_LIMITS, PAXOS_WHY_OTHER_LIMITS},
                    {PAXOS_SAID_NOTHING, PAXOS_WHY_SILENT},
                    {PAXOS_SAID_SAME_LIST, PAXOS_WHY_UNLOCKED}};

    uint32_t others = ~(1u << paxos->id);
    uint32_t missing = genesis_voters(&paxos->proposal) & others & ~paxos->locked;
    *about = 0;
    if (paxos->failed)
        return PAXOS_WHY_FAILED;
    if (paxos->record.decided)
        return PAXOS_WHY_INSTALLED;
    if ((*about = who_said(paxos, others, PAXOS_SAID_CLUSTER_STRANGE)) != 0)
        return PAXOS_WHY_CLUSTER_STRANGE;
    if ((*about = who_said(paxos, others, PAXOS_SAID_CLUSTER_OTHER)) != 0)
        return PAXOS_WHY_CLUSTER_OTHER;
    if (paxos->record.lock != 0 && paxos->record.lock != paxos->list)
        return PAXOS_WHY_LOCKED;
    if (paxos->list == 0)
        return PAXOS_WHY_NO_LIST;
    if (!paxos_is_named(paxos))
        return PAXOS_WHY_NOT_NAMED;
    if (paxos_all_locked(paxos))
        return PAXOS_WHY_MAJORITY;
    for (size_t i = 0; i < sizeof(founders) / sizeof(founders[0]); i++)
        if ((*about = who_said(paxos, missing, founders[i].word)) != 0)
            return founders[i].why;
    *about = paxos->id; /* the own lock is on its way to the drive */
    return PAXOS_WHY_UNLOCKED;
}

const char *paxos_why_name(enum paxos_why why)
{
    static const char *const names[PAXOS_WHYS] = {
        [PAXOS_WHY_INSTALLED] = "a genesis record is installed",
        [PAXOS_WHY_FAILED] = "a write failed",
        [PAXOS_WHY_CLUSTER_STRANGE] = "a cluster exists already that does not name this server",
        [PAXOS_WHY_CLUSTER_OTHER] =
            "a cluster exists already, with other founders or limits than the list",
        [PAXOS_WHY_NO_LIST] = "no founder list is given",
        [PAXOS_WHY_NOT_NAMED] = "the founder list does not name this server's incarnation",
        [PAXOS_WHY_LOCKED] = "another founder list was locked since the format",
        [PAXOS_WHY_INCARNATION] = "a founder is of another incarnation",
        [PAXOS_WHY_OTHER_LIST] = "a founder has another list",
        [PAXOS_WHY_OTHER_LIMITS] = "a founder has another first day or other limits",
        [PAXOS_WHY_SILENT] = "waiting for a founder",
        [PAXOS_WHY_UNLOCKED] = "waiting for a founder to lock the list",
        [PAXOS_WHY_MAJORITY] = "waiting for a majority of the founders"};
    return (unsigned)why < PAXOS_WHYS ? names[why] : "?";
}
