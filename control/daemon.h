/* keeld's run: opens what the configuration names, assembles the replica, starts a thread for each
 * set of roles, one for control and one for the admin socket, and stays until told to stop. One per
 * process (EAL is process-wide); the main thread calls it.
 */
#ifndef KEEL_DAEMON_H
#define KEEL_DAEMON_H

#include "control/config.h"

enum { /* results of daemon_run(): this process is to go on as a new program image, since EAL can be
          started only once */
       DAEMON_PAGES_GONE = 100,  /* with ordinary pages */
       DAEMON_START_AGAIN = 101, /* as before */
       DAEMON_STOPPED = 102, /* by a signal, before there was a genesis record; daemon.c's own */
};

enum {
    DAEMON_BOOT_WAIT_MS = 10000, /* for the boot page to become durable */
    DAEMON_CONTROL_NAP_US = 1000,
    DAEMON_WATCH_MS = 100, /* main thread: events and the watchdog */
    DAEMON_LINK_WAIT_MS = 2000
};

/* Runs until SIGTERM or SIGINT, and reads its files again at SIGHUP (reload.h); 0, or why it could
 * not start, as enum startup_result, or how the process goes on. All is said on stderr.
 * `config_path` is for the log and for reading again. */
int daemon_run(const struct config *config, const char *config_path, bool ordinary_pages);

#endif
