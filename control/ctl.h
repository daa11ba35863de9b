/* keelctl's inside: one table of commands drives parsing, help and completion; each command is a
 * function in the file of its group. No DPDK, no root: a Unix socket, or the ring file itself.
 */
#ifndef KEEL_CTL_H
#define KEEL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes, pinned (design: section 13). */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_TIMED_OUT = 4,
    CTL_NOT_LEADER = 5,
    CTL_REFUSED = 6,
    CTL_NO_QUORUM = 7
};

enum {
    CTL_OPTIONS_MAX = 12, /* of one command */
    CTL_WORDS_MAX = 64,   /* positional words of one command */
    CTL_ANSWER_MAX = 2 << 20,
    CTL_TIMEOUT_MS = 10000,
    CTL_TIMEOUT_MAX_MS = 3600000,
    CTL_WATCH_S = 2, /* default of --watch */
    CTL_WATCH_MAX_S = 3600
};
#define CTL_SOCKET "/run/keel/keeld.sock"

struct ctl_command;

struct ctl { /* one invocation, parsed */
    const struct ctl_command *command;
    const char *socket;
    uint32_t timeout_ms;
    bool timeout_given;
    uint32_t watch_s; /* 0: once */
    bool json;
    bool help;
    int word_count;
    const char *word[CTL_WORDS_MAX];
    const char *value[CTL_OPTIONS_MAX]; /* by place in the command's table; flags: "" when given */
    void *more;                         /* what take_more() fills */
};

struct ctl_option {
    const char *name;     /* without dashes; NULL ends the list */
    const char *argument; /* NULL: a flag */
    const char *help;
};

struct ctl_command {
    const char *name;  /* one or two words: "status", "ring verify" */
    const char *words; /* for the usage line: "FILE" */
    int words_min, words_max;
    const char *summary;
    const char *example;
    struct ctl_option options[CTL_OPTIONS_MAX];
    /* Options that no table lists; false: unknown, or a bad value (then it has said so). May be
     * NULL. */
    bool (*take_more)(struct ctl *ctl, const char *name, const char *value);
    const char *more_help;
    bool shows;   /* what is there, and changes nothing: may be repeated with --watch */
    bool endless; /* runs as long as it is wanted: --timeout bounds its steps */
    int (*run)(struct ctl *ctl);
};

extern const struct ctl_command ctl_commands[];
extern const uint32_t ctl_command_count;

/* Options of every command; NULL ends. An argument in brackets may be left out. */
extern const struct ctl_option ctl_common_options[];

/* --- ctl_parse.c --- */
/* Fills *ctl from the words of a command line; CTL_DONE, or CTL_USAGE after saying why on stderr.
 * command is NULL when only help or nothing was asked for. */
int ctl_parse(struct ctl *ctl, int argc, char **argv);
/* Help of one command, or the list of all (command NULL). */
void ctl_help(const struct ctl_command *command);
/* "keelctl: what: why" on stderr; returns code. */
__attribute__((format(printf, 2, 3))) int ctl_fail(int code, const char *format, ...);

/* --- ctl_run.c --- */
/* Runs the parsed command, within --timeout or again and again with --watch; its exit code. */
int ctl_run(struct ctl *ctl);

/* --- ctl_shell.c --- */
enum {
    CTL_SHELL_WORDS = CTL_WORDS_MAX + 32
}; /* of a line, options and the NULL behind them among them */
/* Commands from the terminal until its user has enough; CTL_DONE. */
int ctl_shell(const struct ctl *ctl);
/* Cuts a line at blanks outside of quotes, in place; how many words, -1: too many, or no end of a
 * quote. */
int ctl_shell_words(char *line, char *word[CTL_SHELL_WORDS]);
/* What may stand for the word that ends at byte `at` of the line: candidate `number` from 0, NULL:
 * no more. */
const char *ctl_shell_candidate(const char *line, int at, uint32_t number, char text[64]);

/* --- ctl_client.c --- */
/* Sends {"v":1,"cmd":name, ...extra} and waits for the answer. CTL_DONE with *result (the
 * caller's), or an exit code after saying why. `extra` is taken over; NULL: none. */
int ctl_ask(const struct ctl *ctl, const char *name, json_t *extra, json_t **result);
/* The two halves of it: the whole answer, NULL if it is no JSON; and what it says, for the exit
 * code and stderr (takes the answer over). */
int ctl_exchange(const struct ctl *ctl, const char *name, json_t *extra, json_t **answer);
int ctl_judge(const struct ctl *ctl, const char *name, json_t *answer, json_t **result);
/* The exit code for an answer's error object, said on stderr. */
int ctl_error(const char *name, const json_t *error);

/* --- ctl_print.c --- */
/* Prints a result as one JSON line on stdout. */
int ctl_print_json(const json_t *result);
/* "key: value" lines, aligned; keys in the object's order, '_' as space; nested objects indented.
 */
void ctl_print_pairs(const json_t *object, int indent);
/* Rows of an array of objects; `columns` are "key=TITLE" texts, NULL ends. */
void ctl_print_table(const json_t *rows, const char *const *columns);
/* "2026-11-30T22:16:01.248Z" */
enum { CTL_UTC_TEXT_MAX = 40 };
const char *ctl_utc_text(json_int_t utc_ns, char text[CTL_UTC_TEXT_MAX]);
/* Bold on a terminal, unless NO_COLOR is set. */
bool ctl_colour(void);

/* --- ctl_genesis.c --- */
/* A new file, whole or not at all; it must not exist. Says why not as "name: ...". */
int ctl_write_new(const char *name, const char *path, const void *bytes, size_t size);

/* --- ctl_founding.c --- */
/* The paxos record of a ring, in words: "never written", "locked list ...". */
enum { CTL_PAXOS_TEXT_MAX = 256 };
struct disk;
void ctl_paxos_text(struct disk *disk, char text[CTL_PAXOS_TEXT_MAX]);

/* --- ctl_autopilot.c --- */
/* Makes a learner a standby, and says so. */
int ctl_autopilot_mark(struct ctl *ctl, const char *name, uint32_t id);

/* --- commands --- */
int ctl_status(struct ctl *ctl);
int ctl_health(struct ctl *ctl);
int ctl_member_list(struct ctl *ctl);
int ctl_metrics(struct ctl *ctl);
int ctl_drops(struct ctl *ctl);
int ctl_ring(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_blackbox(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);
int ctl_clock(struct ctl *ctl);
int ctl_digest(struct ctl *ctl);
int ctl_snapshot(struct ctl *ctl);
int ctl_top(struct ctl *ctl);
int ctl_config_show(struct ctl *ctl);
int ctl_config_check(struct ctl *ctl);
int ctl_config_reload(struct ctl *ctl);
int ctl_day_end(struct ctl *ctl);
int ctl_day_begin(struct ctl *ctl);
int ctl_member_add(struct ctl *ctl);
int ctl_member_promote(struct ctl *ctl);
int ctl_member_remove(struct ctl *ctl);
int ctl_member_replace(struct ctl *ctl);
int ctl_autopilot_show(struct ctl *ctl);
int ctl_autopilot_decisions(struct ctl *ctl);
int ctl_autopilot_on(struct ctl *ctl);
int ctl_autopilot_dry_run(struct ctl *ctl);
int ctl_autopilot_off(struct ctl *ctl);
int ctl_autopilot_standby(struct ctl *ctl);
int ctl_leader_transfer(struct ctl *ctl);
int ctl_leader_step_down(struct ctl *ctl);
int ctl_drain(struct ctl *ctl);
int ctl_resume(struct ctl *ctl);
int ctl_session_list(struct ctl *ctl);
int ctl_session_show(struct ctl *ctl);
int ctl_session_kick(struct ctl *ctl);
int ctl_session_suspend(struct ctl *ctl);
int ctl_session_resume(struct ctl *ctl);
int ctl_session_limit(struct ctl *ctl);
int ctl_lock_break(struct ctl *ctl);
int ctl_recover(struct ctl *ctl);
int ctl_backup(struct ctl *ctl);
int ctl_backup_verify(struct ctl *ctl);
int ctl_restore(struct ctl *ctl);
int ctl_ring_verify(struct ctl *ctl);
int ctl_ring_dump(struct ctl *ctl);
int ctl_genesis_create(struct ctl *ctl);
int ctl_genesis_install(struct ctl *ctl);
int ctl_genesis_show(struct ctl *ctl);
int ctl_genesis_status(struct ctl *ctl);
int ctl_key_new(struct ctl *ctl);
int ctl_node_get(struct ctl *ctl);
int ctl_node_list(struct ctl *ctl);
int ctl_node_create(struct ctl *ctl);
int ctl_node_set(struct ctl *ctl);
int ctl_node_delete(struct ctl *ctl);
int ctl_node_acl(struct ctl *ctl);
int ctl_lock_check(struct ctl *ctl);
int ctl_lock_run(struct ctl *ctl);
int ctl_lease_watch(struct ctl *ctl);
bool ctl_genesis_option(struct ctl *ctl, const char *name, const char *value);

#endif
