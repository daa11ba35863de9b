/* Why there is no genesis record yet, and what to do about it, in words. */
#include "control/founding.h"

static const struct {
    const char *word;   /* for programs */
    const char *why;    /* #: the founder that it is about */
    const char *remedy; /* the same */
} words[PAXOS_WHYS] = {
    [PAXOS_WHY_INSTALLED] = {"installed", "a genesis record is installed", "nothing"},
    [PAXOS_WHY_FAILED] = {"write-failed",
                          "the drive failed to write what this founder has promised",
                          "look at the drive, then start keeld again"},
    [PAXOS_WHY_CLUSTER_STRANGE] =
        {"cluster-strange", "founder # is in a cluster already, which does not name this server",
         "to join that cluster: `keelctl genesis install --join` and `keelctl member add`; to "
         "found "
         "another: take founder # out of [founders], or format its ring anew"},
    [PAXOS_WHY_CLUSTER_OTHER] =
        {"cluster-other",
         "founder # is in a cluster already that names this server, with other founders, another "
         "first day or other limits than [founders] and [limits] here",
         "give this server the [founders] and [limits] that founder # was started with, and start "
         "it again"},
    [PAXOS_WHY_NO_LIST] = {"no-list", "the configuration has no section [founders]",
                           "give it one, the same on every founder, and start keeld again"},
    [PAXOS_WHY_NOT_NAMED] =
        {"not-named",
         "[founders] names another incarnation of this server than its ring has: the ring was "
         "formatted anew since that line was printed",
         "put what `keeld format` printed last into [founders] of every founder; those that have "
         "locked the old list need a new format, too"},
    [PAXOS_WHY_LOCKED] =
        {"locked-other",
         "this server has locked another list than [founders], its day and [limits] now say: once "
         "in the life of a format",
         "go back to the list that was locked; or, if that can never be agreed on (a founder of it "
         "is lost), format this ring anew and put its new line into [founders] everywhere"},
    [PAXOS_WHY_INCARNATION] =
        {"incarnation",
         "founder # is of another incarnation than [founders] says: its ring was formatted anew",
         "put the line that `keeld format` printed there last into [founders] of every founder and "
         "start them again; those that have locked the old list need a new format, too"},
    [PAXOS_WHY_OTHER_LIST] = {"other-list", "founder # has another founder list",
                              "make [founders] the same on both, and start again whichever was "
                              "changed"},
    [PAXOS_WHY_OTHER_LIMITS] =
        {"other-limits", "founder # has the same founders, but another first day or other [limits]",
         "make `day` in [founders], and [limits], the same on both, and start again whichever was "
         "changed"},
    [PAXOS_WHY_SILENT] = {"silent", "waiting for founder #, which has said nothing yet",
                          "start it; if it runs: its address in [founders], its keys and the "
                          "network between are to be looked at"},
    [PAXOS_WHY_UNLOCKED] = {"unlocked", "waiting for founder # to lock the list on its drive",
                            "nothing, unless this stays: then see `keelctl genesis status` there"},
    [PAXOS_WHY_MAJORITY] = {"majority",
                            "every founder has locked the list; waiting for a majority to agree",
                            "nothing, unless this stays: then see which founders are not heard"},
};

const char *founding_why_word(enum paxos_why why)
{
    return (unsigned)why < PAXOS_WHYS ? words[why].word : "?";
}

/* Each # becomes the founder's id, one digit. */
static void fill(char text[FOUNDING_TEXT_MAX], const char *from, uint8_t about)
{
    size_t at = 0;
    for (; from[at] != '\0' && at < FOUNDING_TEXT_MAX - 1; at++)
        text[at] = from[at] == '#' ? (char)('0' + about) : from[at];
    text[at] = '\0';
}

void founding_why_text(const struct founding_status *s, char why[FOUNDING_TEXT_MAX],
                       char remedy[FOUNDING_TEXT_MAX])
{
    fill(why, words[s->why].why, s->about);
    fill(remedy, words[s->why].remedy, s->about);
    if (s->why != PAXOS_WHY_SILENT || !s->founder[s->about].older)
        return;
    fill(why,
         "founder # runs from an older copy of its drive than one that was heard before (an image "
         "that was put back): it may have forgotten what it promised",
         s->about);
    fill(remedy,
         "start it from the drive that ran last; if that is lost, format its ring anew, and those "
         "of all that have locked the list",
         s->about);
}

const char *founding_phase(const struct founding_status *s)
{
    switch (s->why) {
    case PAXOS_WHY_INSTALLED:
        return "installed";
    case PAXOS_WHY_FAILED:
    case PAXOS_WHY_CLUSTER_STRANGE:
    case PAXOS_WHY_CLUSTER_OTHER:
    case PAXOS_WHY_NO_LIST:
    case PAXOS_WHY_NOT_NAMED:
    case PAXOS_WHY_LOCKED:
        return "refused"; /* until somebody does something here */
    case PAXOS_WHY_MAJORITY:
        return "agree";
    case PAXOS_WHY_INCARNATION:
    case PAXOS_WHY_OTHER_LIST:
    case PAXOS_WHY_OTHER_LIMITS:
    case PAXOS_WHY_SILENT:
    case PAXOS_WHY_UNLOCKED:
    case PAXOS_WHYS:
        break;
    }
    return s->lock != 0 ? "lock" : "compare";
}

const char *founding_said(enum paxos_word word)
{
    switch (word) {
    case PAXOS_SAID_NOTHING:
        return "nothing";
    case PAXOS_SAID_CLUSTER_STRANGE:
        return "cluster-strange";
    case PAXOS_SAID_CLUSTER_OTHER:
        return "cluster-other";
    case PAXOS_SAID_INCARNATION:
        return "other-incarnation";
    case PAXOS_SAID_OTHER_LIST:
        return "other-list";
    case PAXOS_SAID_OTHER_LIMITS:
        return "other-limits";
    case PAXOS_SAID_SAME_LIST:
        return "same-list";
    case PAXOS_SAID_LOCKED:
        return "locked";
    }
    return "?";
}
