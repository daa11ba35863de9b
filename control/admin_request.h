/* One line of the admin protocol, as a request: {"v":1,"cmd":"status"}. Total on any bytes. The
 * table of commands is the daemon's; keelctl has its own, which a test compares with this one.
 */
#ifndef KEEL_ADMIN_REQUEST_H
#define KEEL_ADMIN_REQUEST_H

#include "consensus/wire/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADMIN_VERSION = 1, ADMIN_LINE_MAX = 4096, ADMIN_NAME_MAX = 24, ADMIN_WHY_MAX = 160 };
enum { ADMIN_TIMEOUT_MAX_MS = 60000 }; /* that a request may state */

enum admin_command {
    ADMIN_STATUS,
    ADMIN_HEALTH,
    ADMIN_MEMBER_LIST,
    ADMIN_METRICS,
    ADMIN_RING,
    ADMIN_DROPS,
    ADMIN_DAY,
    ADMIN_RELOAD,
    ADMIN_MEMBER,
    ADMIN_LEADER_TRANSFER,
    ADMIN_LEADER_STEP_DOWN,
    ADMIN_BACKUP,
    ADMIN_AUTOPILOT,
    ADMIN_AUTOPILOT_SET,
    ADMIN_VERSION_SHOW,
    ADMIN_EVENTS,
    ADMIN_CLOCK,
    ADMIN_DIGEST,
    ADMIN_SNAPSHOT,
    ADMIN_CONFIG,
    ADMIN_COMMAND_COUNT
};

struct admin_command_entry {
    const char *name;
    bool changes;     /* needs admin rights */
    const char *keys; /* that a request may have besides "v" and "cmd", a blank between them */
};
extern const struct admin_command_entry admin_commands[ADMIN_COMMAND_COUNT];

struct admin_request {
    enum admin_command command;
    bool day_begin;               /* DAY: begin, else end */
    char day[KEEL_DAY_NAME_SIZE]; /* DAY: padded with spaces */
    bool read;                    /* STATUS: proven by a quorum first */
    uint8_t to;                   /* LEADER_TRANSFER: replica id, 0: the most caught-up */
    uint64_t backup, offset;      /* BACKUP: which one (0: take one), from where on */
    uint32_t timeout_ms; /* HEALTH: for its entry; 0: as long as for any. EVENTS: at most so
                            long until there is one; 0: answered at once */
    uint64_t since;      /* EVENTS: those behind this number */
    bool text;           /* METRICS: OpenMetrics text, else numbers */
    /* AUTOPILOT_SET: mode, times, standbys; `was`: the index of the settings that these replace */
    struct entry_autopilot autopilot;
    /* MEMBER: voters, learners, and addresses and incarnations of those that are new; `was` is
     * the index of the configuration that this replaces. */
    struct entry_config wanted;
    uint64_t was;
};

/* Stable words for programs: stand in error.code. */
enum admin_error {
    ADMIN_OK = 0,
    ADMIN_BAD_REQUEST,
    ADMIN_UNKNOWN_COMMAND,
    ADMIN_DENIED,
    ADMIN_NOT_LEADER,
    ADMIN_BUSY,
    ADMIN_LOST,
    ADMIN_TIMED_OUT,
    ADMIN_REFUSED,
    ADMIN_BEHIND,        /* a learner that is to vote has not caught up: wait, and ask again */
    ADMIN_UNSAFE,        /* refused for safety; nothing was changed */
    ADMIN_NO_QUORUM,     /* no majority confirmed it */
    ADMIN_CONFIGURATION, /* reload: the files say what cannot be; nothing was changed */
    ADMIN_FAILED,
    ADMIN_ERROR_COUNT
};
const char *admin_error_name(enum admin_error error);

/* `size` bytes without the newline. On an error `why` (ADMIN_WHY_MAX) says what and what to do. */
enum admin_error admin_request_parse(const char *line, size_t size, struct admin_request *request,
                                     char *why);

/* "off", "dry-run", "on"; and back, -1: none of them (NULL too). */
const char *admin_autopilot_mode_name(uint32_t mode);
int admin_autopilot_mode(const char *name);

/* A day's name as people write it (1..10 printable characters without spaces) to its padded form.
 */
bool admin_day_name(const char *text, char day[KEEL_DAY_NAME_SIZE]);

#endif
