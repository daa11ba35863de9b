/* The replay window (RFC 6479): which of the last counters of one key have been taken.
 *
 * A ring of words of 64 bits, indexed by the counter's high part, so that moving on clears whole
 * words instead of shifting. One word more than the window would need is the minimum; a power of
 * two of them makes the place a mask. Exactly REPLAY_WINDOW_BITS counters can be open: top - bits +
 * 1 .. top. Pure; the owner is the association's thread. Counters count from 1; 0 is never taken.
 */
#ifndef KEEL_AUTH_REPLAY_WINDOW_H
#define KEEL_AUTH_REPLAY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum {
    REPLAY_WINDOW_BITS = 2048,
    REPLAY_WINDOW_WORDS = 64 /* power of two, more than REPLAY_WINDOW_BITS / 64 */
};
_Static_assert((REPLAY_WINDOW_WORDS & (REPLAY_WINDOW_WORDS - 1)) == 0, "places are masked");
_Static_assert(REPLAY_WINDOW_WORDS * 64 >= REPLAY_WINDOW_BITS + 64, "no word is two at once");

struct replay_window { /* all zero: nothing taken */
    uint64_t top;      /* highest counter taken */
    uint64_t word[REPLAY_WINDOW_WORDS];
};

/* True if the counter is new: right of the window, or inside it and not yet taken. */
static inline bool replay_window_fresh(const struct replay_window *window, uint64_t counter)
{
    if (counter == 0)
        return false;
    if (counter > window->top)
        return true;
    if (window->top - counter >= REPLAY_WINDOW_BITS)
        return false;
    uint64_t word = window->word[(counter >> 6) & (REPLAY_WINDOW_WORDS - 1)];
    return (word >> (counter & 63) & 1) == 0;
}

/* Takes a counter that is fresh. */
static inline void replay_window_take(struct replay_window *window, uint64_t counter)
{
    if (counter > window->top) {
        uint64_t from = window->top >> 6, to = counter >> 6;
        if (to - from > REPLAY_WINDOW_WORDS)
            from = to - REPLAY_WINDOW_WORDS;
        for (uint64_t at = from + 1; at <= to; at++) /* at most REPLAY_WINDOW_WORDS */
            window->word[at & (REPLAY_WINDOW_WORDS - 1)] = 0;
        window->top = counter;
    }
    window->word[(counter >> 6) & (REPLAY_WINDOW_WORDS - 1)] |= UINT64_C(1) << (counter & 63);
}

#endif
