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
    ADMIN_DRAIN,
    ADMIN_RESUME,
    ADMIN_SESSION_LIST,
    ADMIN_SESSION_LOCKS,
    ADMIN_SESSION_KICK,
    ADMIN_SESSION_SUSPEND,
    ADMIN_SESSION_RESUME,
    ADMIN_SESSION_LIMIT,
    ADMIN_NODE_GET,
    ADMIN_NODE_LIST,
    ADMIN_NODE_CREATE,
    ADMIN_NODE_SET,
    ADMIN_NODE_DELETE,
    ADMIN_NODE_ACL,
    ADMIN_LOCK_BREAK,
    ADMIN_AUTOPILOT,
    ADMIN_AUTOPILOT_SET,
    ADMIN_VERSION_SHOW,
    ADMIN_GENESIS,
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

/* Whom or what a command of an operator is about; admin_target.c. What its JSON does not name is 0.
 */
struct admin_target {
    uint8_t replica;    /* DRAIN, RESUME */
    uint32_t principal; /* SESSION_...: all sessions of that client */
    uint64_t session;   /* ... or this one */
    uint64_t epoch;     /* KICK: only in that life */
    uint64_t after;     /* SESSION_LIST, SESSION_LOCKS, NODE_LIST: the next page begins behind it */
    uint32_t rate;      /* LIMIT: messages a second, 0: no limit */
    char name[KEEL_NAME_MAX + 1];
    char path[KEEL_PATH_MAX + 1]; /* NODE_..., LOCK_BREAK */
    bool compares;
    uint64_t compare; /* the generation that must be in force */
    bool now;         /* LOCK_BREAK: no lock-delay */
    uint16_t content_size;
    uint8_t content[KEEL_CONTENT_MAX]; /* NODE_CREATE, NODE_SET; NODE_ACL: struct node_right */
};

struct admin_request {
    enum admin_command command;
    bool day_begin;               /* DAY: begin, else end */
    char day[KEEL_DAY_NAME_SIZE]; /* DAY: padded with spaces */
    bool read;                    /* STATUS and what shows sessions and nodes: proven by a quorum
                                     first */
    bool dry_run;                 /* what changes: say what would come of it, and do nothing */
    uint64_t id[2];               /* what changes: the request's id; both 0: none was given */
    struct admin_target target;
    uint8_t to;              /* LEADER_TRANSFER: replica id, 0: the most caught-up */
    uint64_t backup, offset; /* BACKUP: which one (0: take one), from where on */
    uint32_t timeout_ms;     /* HEALTH: for its entry; 0: as long as for any. EVENTS: at most so
                                long until there is one; 0: answered at once */
    uint64_t since;          /* EVENTS: those behind this number */
    bool text;               /* METRICS: OpenMetrics text, else numbers */
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
    ADMIN_FOUNDING,      /* there is no genesis record yet */
    ADMIN_CONFIGURATION, /* reload: the files say what cannot be; nothing was changed */
    ADMIN_FAILED,
    ADMIN_ERROR_COUNT
};
const char *admin_error_name(enum admin_error error);

/* `size` bytes without the newline. On an error `why` (ADMIN_WHY_MAX) says what and what to do. */
enum admin_error admin_request_parse(const char *line, size_t size, struct admin_request *request,
                                     char *why);

/* Whether that command has a target; and its keys, which are known to be its own. */
bool admin_target_command(enum admin_command command);
enum admin_error admin_target_parse(const void *object, struct admin_request *request, char *why);

/* 32 hex digits, not all zero; false: they are not. */
bool admin_request_id(const char *text, uint64_t id[2]);
enum { ADMIN_ID_DIGITS = 32 };

/* "off", "dry-run", "on"; and back, -1: none of them (NULL too). */
const char *admin_autopilot_mode_name(uint32_t mode);
int admin_autopilot_mode(const char *name);

/* A day's name as people write it (1..10 printable characters without spaces) to its padded form.
 */
bool admin_day_name(const char *text, char day[KEEL_DAY_NAME_SIZE]);

#endif
