/* The autopilot's words. */
#include "control/control.h"

const char *autopilot_why_name(enum autopilot_why why)
{
    static const char *const names[AUTOPILOT_WHY_COUNT] = {
        [AUTOPILOT_WHY_OFF] = "off",
        [AUTOPILOT_WHY_FOLLOWER] = "not-leading",
        [AUTOPILOT_WHY_WATCHING] = "watching",
        [AUTOPILOT_WHY_WELL] = "all-well",
        [AUTOPILOT_WHY_SILENT] = "voter-silent",
        [AUTOPILOT_WHY_CHANGE] = "change-open",
        [AUTOPILOT_WHY_SETTLING] = "settling",
        [AUTOPILOT_WHY_TOO_FEW] = "too-few-voters",
        [AUTOPILOT_WHY_NO_STANDBY] = "no-standby",
        [AUTOPILOT_WHY_NOT_READY] = "standby-not-ready",
        [AUTOPILOT_WHY_DRY_RUN] = "dry-run",
        [AUTOPILOT_WHY_DECIDING] = "deciding",
        [AUTOPILOT_WHY_REPLACING] = "replacing",
        [AUTOPILOT_WHY_REFUSED] = "change-refused",
        [AUTOPILOT_WHY_WITHDRAWING] = "withdrawing",
        [AUTOPILOT_WHY_RETURNING] = "returning",
    };
    return (unsigned)why < AUTOPILOT_WHY_COUNT ? names[why] : "unknown";
}

const char *autopilot_why_text(enum autopilot_why why)
{
    static const char *const texts[AUTOPILOT_WHY_COUNT] = {
        [AUTOPILOT_WHY_OFF] = "it is switched off: `keelctl autopilot on`",
        [AUTOPILOT_WHY_FOLLOWER] =
            "the leader judges, and this replica does not lead: ask that one",
        [AUTOPILOT_WHY_WATCHING] =
            "it has not looked for dead_ms yet, without a break, since it leads with a majority",
        [AUTOPILOT_WHY_WELL] = "all voters are heard",
        [AUTOPILOT_WHY_SILENT] = "a voter is silent, and not for dead_ms yet",
        [AUTOPILOT_WHY_CHANGE] = "a change of the members is not complete",
        [AUTOPILOT_WHY_SETTLING] =
            "a voter is dead, and the members changed less than stabilise_ms ago",
        [AUTOPILOT_WHY_TOO_FEW] =
            "a voter is dead, and too few others are heard to be sure of a quorum: bring one back",
        [AUTOPILOT_WHY_NO_STANDBY] =
            "a voter is dead, and no standby is named: `keelctl autopilot standby add ID`",
        [AUTOPILOT_WHY_NOT_READY] =
            "a voter is dead, and no standby has been heard and caught up for stabilise_ms",
        [AUTOPILOT_WHY_DRY_RUN] = "a voter is dead; dry-run has told what it would do",
        [AUTOPILOT_WHY_DECIDING] = "a voter is dead; the decision is being committed",
        [AUTOPILOT_WHY_REPLACING] = "a voter is dead; a standby is taking its place",
        [AUTOPILOT_WHY_REFUSED] = "a voter is dead; the change was refused, and is asked for again",
        [AUTOPILOT_WHY_WITHDRAWING] = "the decision is withdrawn: what it said is no longer so",
        [AUTOPILOT_WHY_RETURNING] = "a replica that was replaced is back, and becomes a standby",
    };
    return (unsigned)why < AUTOPILOT_WHY_COUNT ? texts[why] : "unknown";
}
