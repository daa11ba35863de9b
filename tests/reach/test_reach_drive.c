/* Predicates of checkpoints, drives and clients, as test_reach.c has those of elections, logs,
 * members and holes: one stream of records that reaches the state, one that just misses it.
 */
#include "tests/reach/written.h"

/* --- checkpoints ------------------------------------------------------------------------------ */

static void checkpoint_overtaken(void)
{
    quiet();
    log_is(2, 4, 1, 0);
    checkpoint(2, 4, 1, 1); /* just so far */
    checkpoint(2, 1, 1, 1); /* committed there long since */
    checkpoint(2, 3, 2, 1);
    MISSED("checkpoint-overtaken");
    checkpoint(2, 3, 1, 1);
    REACHED("checkpoint-overtaken");
}

static void checkpoint_conflict(void)
{
    quiet();
    checkpoint(2, 9, 2, 0); /* behind its log */
    checkpoint(2, 1, 1, 1);
    MISSED("checkpoint-conflict");
    checkpoint(2, 1, 2, 1);
    REACHED("checkpoint-conflict");
}

static void installed_by_start(void)
{
    quiet();
    down(2);
    started(2, 1, 1);
    MISSED("installed-by-start");
    take(REACH_STARTED, 2, 0, 0, 1, 1, 2, true, 0, 0);
    REACHED("installed-by-start");
}

static void receiver_resumes(void)
{
    quiet();
    chunk(1, 3, 50, 100);
    down(3);
    started(3, 1, 1);
    chunk(1, 3, 60, 100); /* another one, from its beginning */
    checkpoint(3, 60, 1, 0);
    chunk(1, 3, 60, 200); /* late */
    down(3);
    started(3, 1, 1);
    MISSED("receiver-resumes");
    chunk(1, 3, 70, 100);
    down(3);
    started(3, 1, 1);
    chunk(1, 3, 70, 200);
    checkpoint(3, 70, 1, 0);
    REACHED("receiver-resumes");
}

static void sender_dies(void)
{
    quiet();
    chunk(1, 3, 50, 100);
    checkpoint(3, 50, 1, 0);
    down(1);
    chunk(2, 3, 60, 100); /* the first had done all */
    started(1, 1, 1);
    down(1);
    chunk(2, 3, 60, 200);
    MISSED("sender-dies");
    down(2);
    chunk(2, 3, 60, 300); /* under way when it died */
    MISSED("sender-dies");
    chunk(1, 3, 60, 300);
    REACHED("sender-dies");
}

/* --- drives and clients ----------------------------------------------------------------------- */

static void wrap_in_recovery(void)
{
    quiet();
    take(REACH_RECOVERED, 1, 0, 0, 256, 512, 256, 1, 0, 0); /* exactly one lap */
    take(REACH_RECOVERED, 1, 0, 0, 300, 520, 256, 0, 0, 0); /* nothing torn */
    MISSED("wrap-in-recovery");
    take(REACH_RECOVERED, 1, 0, 0, 300, 520, 256, 1, 0, 0);
    REACHED("wrap-in-recovery");
}

static void torn_at_seam(void)
{
    quiet();
    take(REACH_TORN, 1, 0, 0, 0, 256, 0, 0, 0, 0);
    take(REACH_TORN, 1, 0, 0, 255, 256, 0, 0, 0, 0); /* of the first lap */
    take(REACH_TORN, 1, 0, 0, 257, 256, 0, 0, 0, 0);
    MISSED("torn-at-seam");
    take(REACH_TORN, 1, 0, 0, 511, 256, 0, 0, 0, 0);
    REACHED("torn-at-seam");
}

static void power(void)
{
    quiet();
    down(1);
    take(REACH_TORN, 1, 0, 0, 7, 256, 0, 0, 0, 0);
    MISSED("later-page-first");
    MISSED("zeroing-cut");
    take(REACH_AHEAD, 1, 0, 0, 7, 0, 0, 0, 0, 0);
    REACHED("later-page-first");
    MISSED("zeroing-cut");
    take(REACH_ZEROING, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    REACHED("zeroing-cut");
}

static void resumed_elsewhere(void)
{
    quiet();
    asked(8, 1, REACH_RESUME, 0, false); /* 1 leads */
    answered(8, 1, REACH_RESUME, 0);
    down(1);
    asked(8, 2, REACH_RESUME, 0, false);
    answered(9, 2, REACH_RESUME, 0); /* another client */
    MISSED("resumed-elsewhere");
    leads(2, 2);
    answered(8, 2, REACH_RESUME, 0);
    REACHED("resumed-elsewhere");
}

static void answered_elsewhere(void)
{
    quiet();
    asked(8, 1, REACH_SUBMIT, 5, false);
    asked(8, 1, REACH_SUBMIT, 5, true); /* again, of the same */
    answered(8, 1, REACH_SUBMIT, 5);
    down(1);
    leads(2, 2);
    asked(8, 2, REACH_SUBMIT, 5, false); /* it was lost with 1 */
    answered(8, 2, REACH_SUBMIT, 5);
    MISSED("answered-elsewhere");
    asked(8, 2, REACH_SUBMIT, 5, true);
    answered(8, 2, REACH_SUBMIT, 6);
    MISSED("answered-elsewhere");
    answered(8, 2, REACH_SUBMIT, 5);
    answered(8, 2, REACH_SUBMIT, 5);
    REACHED("answered-elsewhere");
}

static void day_meets_death(void)
{
    quiet();
    take(REACH_DAY_ASKED, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    down(2);
    take(REACH_DAY_BEGUN, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    down(1);
    take(REACH_DAY_ASKED, 3, 0, 0, 0, 0, 0, 0, 0, 0);
    take(REACH_DAY_BEGUN, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    MISSED("day-meets-death");
    take(REACH_DAY_ASKED, 3, 0, 0, 0, 0, 0, 0, 0, 0);
    down(3);
    take(REACH_DAY_BEGUN, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    REACHED("day-meets-death");
}

static void ended_association(void)
{
    quiet();
    take(REACH_OPENED, 1, 2, 0, 500, 0, 0, 0, 0, 0);
    take(REACH_ARRIVED, 2, 1, RAFT_APPEND, 1, 0, 0, 1, 1, 500);
    take(REACH_OPENED, 1, 2, 0, 600, 0, 0, 0, 0, 0);
    take(REACH_ARRIVED, 2, 1, RAFT_APPEND, 1, 0, 0, 1, 1, 600);
    take(REACH_ARRIVED, 2, 3, RAFT_APPEND, 1, 0, 0, 1, 1, 500); /* of another */
    MISSED("ended-association");
    take(REACH_ARRIVED, 2, 1, RAFT_APPEND, 1, 0, 0, 1, 1, 500);
    REACHED("ended-association");
}

int main(void)
{
    static const struct unit_test tests[] = {{"checkpoint-overtaken", checkpoint_overtaken},
                                             {"checkpoint-conflict", checkpoint_conflict},
                                             {"installed-by-start", installed_by_start},
                                             {"receiver-resumes", receiver_resumes},
                                             {"sender-dies", sender_dies},
                                             {"wrap-in-recovery", wrap_in_recovery},
                                             {"torn-at-seam", torn_at_seam},
                                             {"later-page-first, zeroing-cut", power},
                                             {"resumed-elsewhere", resumed_elsewhere},
                                             {"answered-elsewhere", answered_elsewhere},
                                             {"day-meets-death", day_meets_death},
                                             {"ended-association", ended_association},
                                             {0}};
    return unit_main("reach_drive", tests);
}
