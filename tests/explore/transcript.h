/* A path through the state space as a transcript in the language of tests/scenarios/raft: commands,
 * `----`, what they did. raft_scenarios runs it again, on worlds of its own.
 *
 * There time is one for all nodes; where the explorer lets one clock run ahead, `pass` moves them
 * all. So a path on which a leader keeps its office over a long `pass` may end differently there.
 */
#ifndef KEEL_EXPLORE_TRANSCRIPT_H
#define KEEL_EXPLORE_TRANSCRIPT_H

#include "tests/explore/scope.h"
#include "tests/explore/seen.h"

#include <stdio.h>

/* Prints the way to state `number`, and `move` from there. Returns false if it does not end in a
 * violation: then the explorer itself is wrong. */
bool transcript_print(FILE *out, const struct scope *scope, const struct seen *seen,
                      uint64_t number, uint16_t move);

#endif
