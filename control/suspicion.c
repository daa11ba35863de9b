#include "control/suspicion.h"

#include <string.h>

static const uint64_t NS_PER_MS = 1000000;

const char *detector_state_name(enum detector_state state)
{
    switch (state) {
    case DETECTOR_UNKNOWN:
        return "unknown";
    case DETECTOR_WELL:
        return "well";
    case DETECTOR_SLOW:
        return "slow";
    case DETECTOR_SUSPECT:
        return "suspect";
    case DETECTOR_DEAD:
        return "dead";
    case DETECTOR_STATES:
        break;
    }
    return "unknown";
}

const char *detector_reason_name(unsigned bit)
{
    static const char *const names[DETECTOR_REASONS] = {"silent", "never-heard", "returning",
                                                        "link",   "drive",       "loop"};
    return bit < DETECTOR_REASONS ? names[bit] : "unknown";
}

void suspicion_begin(struct suspicion *s, uint64_t now_ns)
{
    memset(s, 0, sizeof(*s));
    s->state = DETECTOR_UNKNOWN;
    s->since_ns = now_ns;
}

static uint64_t stretch(uint64_t listened_ns)
{
    return listened_ns / (SUSPICION_STRETCH_MS * NS_PER_MS);
}

void suspicion_listen(struct suspicion *s, uint64_t ns)
{
    uint64_t before = stretch(s->listened_ns);
    s->listened_ns += ns;
    uint64_t now = stretch(s->listened_ns);
    if (now > before + SUSPICION_GAPS)
        before = now - SUSPICION_GAPS;
    while (before < now) /* at most SUSPICION_GAPS */
        s->gap_ns[++before % SUSPICION_GAPS] = 0;
}

void suspicion_heard(struct suspicion *s)
{
    s->heard = true;
    s->heard_ns = s->listened_ns;
}

void suspicion_beat(struct suspicion *s)
{
    uint64_t gap_ns = s->beaten ? s->listened_ns - s->beat_ns : 0;
    uint64_t *longest = &s->gap_ns[stretch(s->listened_ns) % SUSPICION_GAPS];
    if (gap_ns > *longest)
        *longest = gap_ns;
    s->beaten = true;
    s->beat_ns = s->listened_ns;
    suspicion_heard(s);
}

void suspicion_restarted(struct suspicion *s)
{
    s->beaten = false;
}

void suspicion_slow(struct suspicion *s, uint32_t reasons)
{
    for (unsigned i = 0; i < SUSPICION_SLOWS; i++) {
        uint32_t bit = (uint32_t)DETECTOR_LINK << i;
        bool now = (reasons & bit) != 0;
        uint64_t *last = now ? &s->slow_ns[i] : &s->quick_ns[i];
        uint64_t other_ns = now ? s->quick_ns[i] : s->slow_ns[i];
        *last = s->listened_ns;
        if (s->listened_ns - other_ns < SUSPICION_SLOW_MS * NS_PER_MS)
            continue;
        s->slow = now ? s->slow | bit : s->slow & ~bit;
    }
}

uint64_t suspicion_silent_ns(const struct suspicion *s)
{
    return s->listened_ns - s->heard_ns;
}

uint64_t suspicion_usual_ns(const struct suspicion *s)
{
    uint64_t usual_ns = SUSPICION_GAP_MIN_MS * NS_PER_MS;
    for (uint32_t i = 0; i < SUSPICION_GAPS; i++)
        if (s->gap_ns[i] > usual_ns)
            usual_ns = s->gap_ns[i];
    uint64_t most_ns = SUSPICION_GAP_MAX_MS * NS_PER_MS;
    return usual_ns < most_ns ? usual_ns : most_ns;
}

uint32_t suspicion_milli(const struct suspicion *s)
{
    uint64_t milli = suspicion_silent_ns(s) / (suspicion_usual_ns(s) / 1000);
    return milli < UINT32_MAX ? (uint32_t)milli : UINT32_MAX;
}

static enum detector_state conclude(struct suspicion *s, uint32_t *reasons)
{
    if (!s->heard) {
        bool dead = suspicion_silent_ns(s) >= SUSPICION_DEAD_MAX_MS * NS_PER_MS;
        *reasons = DETECTOR_NEVER_HEARD;
        return dead ? DETECTOR_DEAD : DETECTOR_UNKNOWN;
    }
    uint32_t milli = suspicion_milli(s);
    *reasons = DETECTOR_SILENT;
    if (milli >= SUSPICION_SUSPECT)
        s->suspected_ns = s->listened_ns;
    if (milli >= SUSPICION_DEAD)
        return DETECTOR_DEAD;
    if (milli >= SUSPICION_SUSPECT)
        return DETECTOR_SUSPECT;
    bool returns = s->state == DETECTOR_SUSPECT || s->state == DETECTOR_DEAD;
    *reasons = DETECTOR_RETURNING;
    if (returns && s->listened_ns - s->suspected_ns < SUSPICION_RETURN_MS * NS_PER_MS)
        return DETECTOR_SUSPECT;
    *reasons = s->slow;
    return s->slow != 0 ? DETECTOR_SLOW : DETECTOR_WELL;
}

bool suspicion_judge(struct suspicion *s, uint64_t now_ns)
{
    const uint32_t slows = DETECTOR_LINK | DETECTOR_DRIVE | DETECTOR_LOOP;
    uint32_t reasons, before = s->reasons;
    enum detector_state state = conclude(s, &reasons);
    bool moved = state != s->state;
    s->reasons = reasons;
    if (moved) {
        s->state = state;
        s->since_ns = now_ns;
    }
    return moved || (reasons & slows) != (before & slows);
}
