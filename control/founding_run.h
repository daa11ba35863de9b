/* keeld before there is a genesis record: agrees with the other founders on one (founding.h) over
 * the real port, with what it promised on the drive (ring/acceptor.h), and installs it.
 *
 * The main thread runs it, alone on port and drive; what it shows is copied under a lock for the
 * admin thread. Housekeeping speed: it naps between turns.
 */
#ifndef KEEL_FOUNDING_RUN_H
#define KEEL_FOUNDING_RUN_H

#include "control/config.h"
#include "control/founding_shown.h"
#include "dataplane/clock.h"
#include "dataplane/disk.h"
#include "dataplane/port.h"
#include "dataplane/ring/acceptor.h"

#include <signal.h>

enum { FOUNDING_NAP_US = 500, FOUNDING_PROBLEM_SIZE = 320 };

struct founding_run;

struct founding_run_options {
    const struct config *config;
    const struct ring_super *super;
    struct disk *disk; /* the writer, with the lock of the ring */
    struct port *port;
    struct clock *clock;
    const struct keyring *keys;
};

enum founding_end {
    FOUNDING_INSTALLED, /* the genesis record is in its place */
    FOUNDING_SIGNAL,    /* SIGTERM or SIGINT */
    FOUNDING_AGAIN,     /* SIGHUP: the configuration is to be read again */
    FOUNDING_FAILED     /* drive or memory; *problem says what */
};

/* Whether there is anything to run: STARTUP_OK with *wanted false where a genesis record is (or
 * where the ordinary start has more to say), true where there is none and a list is given. Else why
 * keeld cannot start, with *problem (FOUNDING_PROBLEM_SIZE). */
enum startup_result founding_look(const struct founding_run_options *options, bool *wanted,
                                  char *problem);

/* NULL with *problem (FOUNDING_PROBLEM_SIZE). */
struct founding_run *founding_run_open(const struct founding_run_options *options, char *problem);
/* Runs until there is a genesis record, or a signal of `wanted`. Logs the reason whenever it
 * changes. */
enum founding_end founding_run(struct founding_run *run, const sigset_t *wanted, char *problem);
void founding_run_close(struct founding_run *run); /* NULL is fine */

/* After it, or without: how the record that is here came, for control (founders.c). */
void founding_look_back(struct disk *disk, const struct config *config,
                        const struct ring_super *super, struct control_options *options);

/* What it shows, for the admin thread; from founding_run_open() on. */
struct founding_shown *founding_run_shown(struct founding_run *run);

#endif
