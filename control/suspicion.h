/* How much the silence of one peer says: the grade, as pure arithmetic. The daemon and the
 * simulator reach it through detector.c, the tests and perf/detector directly. One thread; no
 * clock: time is what the caller says has passed while it listened.
 *
 * The question and the word suspicion are those of accrual failure detectors (Hayashibara et al.,
 * SRDS 2004). Theirs takes arrivals to be normally distributed; pauses of a host are not. Here
 * silence is compared with the longest that the peer was silent for of late, whatever the
 * distribution: suspicion is silence / usual longest gap. docs/decisions.md has the measurement.
 */
#ifndef KEEL_SUSPICION_H
#define KEEL_SUSPICION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SUSPICION_PERIOD_MS = 100,    /* beats (PING, PONG) come so often from either side */
    SUSPICION_GAP_MIN_MS = 200,   /* what is usual is no less: a beat each way may be lost ... */
    SUSPICION_GAP_MAX_MS = 1000,  /* ... and no more: bounds the time to `dead` */
    SUSPICION_GAPS = 8,           /* the longest gap of each of so many stretches is kept ... */
    SUSPICION_STRETCH_MS = 60000, /* ... of such a length: eight minutes */
    SUSPICION_SUSPECT = 1500,     /* thousandths of the usual longest gap: suspect from here ... */
    SUSPICION_DEAD = 3000,        /* ... and dead from here */
    SUSPICION_RETURN_MS = 1000,   /* heard so long without suspicion: no longer suspect */
    SUSPICION_SLOW_MS = 3000,     /* slow, or not slow, for so long: the grade follows */
    /* Never `dead` earlier than that after the last packet; never later, nor later after the
     * beginning where none came; in time that was listened. */
    SUSPICION_DEAD_MIN_MS = SUSPICION_GAP_MIN_MS * SUSPICION_DEAD / 1000,
    SUSPICION_DEAD_MAX_MS = SUSPICION_GAP_MAX_MS * SUSPICION_DEAD / 1000
};

enum detector_state {
    DETECTOR_UNKNOWN, /* nothing was heard yet, and not for long */
    DETECTOR_WELL,
    DETECTOR_SLOW, /* it answers; the reasons say what is slow */
    DETECTOR_SUSPECT,
    DETECTOR_DEAD,
    DETECTOR_STATES
};

enum detector_reason { /* bits */
                       DETECTOR_SILENT = 1,
                       DETECTOR_NEVER_HEARD = 2,
                       DETECTOR_RETURNING = 4, /* heard again, not for long enough yet */
                       DETECTOR_LINK = 8,
                       DETECTOR_DRIVE = 16,
                       DETECTOR_LOOP = 32,
                       DETECTOR_REASONS = 6
};

/* Words of a fixed list. bit: 0 .. DETECTOR_REASONS - 1. */
const char *detector_state_name(enum detector_state state);
const char *detector_reason_name(unsigned bit);

enum { SUSPICION_SLOWS = 3 }; /* link, drive, loop: in the order of their bits */

struct suspicion { /* of one peer; times in ns of listening, but since_ns */
    uint64_t listened_ns;
    uint64_t heard_ns, beat_ns;      /* last packet of any kind; last beat */
    uint64_t gap_ns[SUSPICION_GAPS]; /* longest gap between beats, by stretch */
    uint64_t suspected_ns;           /* suspicion was last that high; 0: never */
    uint64_t slow_ns[SUSPICION_SLOWS], quick_ns[SUSPICION_SLOWS]; /* was last so */
    uint64_t since_ns; /* the caller's clock: the state began */
    uint32_t state;    /* enum detector_state */
    uint32_t reasons;  /* enum detector_reason */
    uint32_t slow;     /* of the reasons: what is slow */
    bool heard, beaten;
    uint8_t reserved[2];
};

/* A peer of which nothing is known. */
void suspicion_begin(struct suspicion *s, uint64_t now_ns);

/* Time in which this replica was able to hear the peer; 0 allowed. */
void suspicion_listen(struct suspicion *s, uint64_t ns);

/* A valid packet came since the last call; of them a beat. Gaps between beats are what is usual:
 * they come whether or not there is load. */
void suspicion_heard(struct suspicion *s);
void suspicion_beat(struct suspicion *s);

/* The peer was started anew: the gap before its next beat is an outage, and nothing to get used to.
 */
void suspicion_restarted(struct suspicion *s);

/* What seems slow now: LINK, DRIVE and LOOP. */
void suspicion_slow(struct suspicion *s, uint32_t reasons);

/* Draws the conclusion; true: the state, or what is slow, has changed. */
bool suspicion_judge(struct suspicion *s, uint64_t now_ns);

uint64_t suspicion_silent_ns(const struct suspicion *s); /* since the last packet, or the start */
uint64_t suspicion_usual_ns(const struct suspicion *s);  /* longest usual gap */
/* Silence in thousandths of that. */
uint32_t suspicion_milli(const struct suspicion *s);

#endif
