/* Reading configuration and key files again while the replica runs, for `keelctl config reload` and
 * SIGHUP.
 *
 * All of it is applied or nothing: a file with an error, and one that differs in a key that needs a
 * restart, changes nothing. What may change: the feed's subscribers ([feed] destinations,
 * consumers, port), the key file's name and the keys in it. A principal whose key or right was
 * taken away or changed loses its associations; a key added (key_next) ends none.
 *
 * The work is done on a thread of its own, reload_run(): it reads files and waits for the loops to
 * let go of the old table (rcu.h), so that neither a slow file nor a loop that hangs stops admin,
 * control, `seq` or the watchdog. It is the only writer of the feed's table. reload_ask() and
 * reload_result() never wait, and may be called by any thread.
 */
#ifndef KEEL_RELOAD_H
#define KEEL_RELOAD_H

#include "control/config.h"
#include "control/control.h"

enum {
    RELOAD_CHANGES_MAX = 2 * (KEYRING_MAX + FEED_DESTINATIONS_MAX + FEED_CONSUMERS_MAX),
    RELOAD_NAME_MAX = 32,
    RELOAD_TAKE_MS = 3000, /* control has so long to begin with other keys */
    RELOAD_POLL_MS = 1,
    RELOAD_WHY_MAX = CONFIG_PROBLEM_SIZE + 64
};

enum reload_by { RELOAD_BY_ADMIN, RELOAD_BY_SIGNAL };

enum reload_outcome {
    RELOAD_DONE,    /* what the files say is in force; `change` lists what is new, if anything */
    RELOAD_REFUSED, /* nothing was changed: `why` says which line or key, and what to do */
    RELOAD_FAILED   /* nothing was changed: memory, or control does not advance */
};

enum reload_what { RELOAD_DESTINATION, RELOAD_CONSUMER, RELOAD_KEY };
enum reload_how { RELOAD_ADDED, RELOAD_REMOVED, RELOAD_CHANGED };

struct reload_change {
    uint8_t what; /* enum reload_what */
    uint8_t how;  /* enum reload_how */
    uint16_t port;
    uint32_t ip; /* KEY: the principal */
};

struct reload_report {
    enum reload_outcome outcome;
    uint32_t ended; /* principals whose associations end */
    uint32_t count;
    struct reload_change change[RELOAD_CHANGES_MAX];
    char why[RELOAD_WHY_MAX];
};

const char *reload_what_name(uint8_t what);
const char *reload_how_name(uint8_t how);
/* "10.0.0.9:7410", "10.0.0.9", "client 100". */
void reload_change_name(const struct reload_change *change, char text[RELOAD_NAME_MAX]);

/* --- what differs (pure) --- */
/* Adds the differences to *report. */
void reload_diff_feed(const struct feed_options *old, const struct feed_options *new,
                      struct reload_report *report);
/* The same, and fills *rekey: the new keys, and whose associations end. `self`: this replica. */
void reload_diff_keys(const struct keyring *old, const struct keyring *new, uint32_t self,
                      struct reload_report *report, struct control_rekey *rekey);

/* --- the worker --- */
struct reload_options {
    const struct config *config; /* as it runs; copied */
    const char *path;            /* of its file; stays the caller's */
    struct feed *feed;
    struct control *control;
    struct keyring *keys; /* as control has them, from calloc(); taken over */
};

struct reload;

/* 0, or -ENOMEM (then the keys are still the caller's). */
int reload_open(struct reload **reload, const struct reload_options *options);
/* The configuration in force, feed and keys as last reloaded; any thread. */
void reload_config(struct reload *reload, struct config *config);
/* Asks for one; *ticket names it. False: one is under way. */
bool reload_ask(struct reload *reload, enum reload_by by, uint64_t *ticket);
/* NULL: not done yet. Else what came of the newest one that admin asked for; stays as it is until
 * admin asks again. */
const struct reload_report *reload_result(struct reload *reload, uint64_t ticket);
/* The worker thread's whole life; each outcome is logged. */
void reload_run(struct reload *reload);
/* Lets reload_run() return: when what is under way is done, or control has ended. The loops must
 * still turn, or have ended. */
void reload_stop(struct reload *reload);
/* Wipes and frees keys and tables. No role, control or worker may run any more. */
void reload_close(struct reload *reload);

#endif
