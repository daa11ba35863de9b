/* What keelcat's files share: options, exit codes, input, the gateway's log, figures. keelcat uses
 * libkeel through its public header only. One thread; allocation at start.
 */
#ifndef KEEL_CLIENT_CAT_H
#define KEEL_CLIENT_CAT_H

#include "client/keel.h"
#include "dataplane/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cat_exit { /* pinned by tests */
                CAT_DONE = 0,
                CAT_FAILED = 1,
                CAT_USAGE = 2,
                CAT_UNREACHABLE = 3,
                CAT_TIMEOUT = 4,
                CAT_NO_LEADER = 5,
                CAT_REFUSED = 6, /* shut out, session ended or refused, key not accepted */
                CAT_DAMAGED = 7  /* feed lines differ, or messages cannot be had any more */
};

enum cat_format { CAT_LINES, CAT_LENGTH_PREFIXED, CAT_HEX, CAT_DECODE };

enum { CAT_TEXT_MAX = 512, CAT_PROBLEM_SIZE = 512 };

struct cat_options {
    char config[CAT_TEXT_MAX];
    char members[CAT_TEXT_MAX];
    char key[CAT_TEXT_MAX];
    char session[CAT_TEXT_MAX];
    char input[CAT_TEXT_MAX];
    char log[CAT_TEXT_MAX];
    char stats[CAT_TEXT_MAX];
    char listen[CAT_TEXT_MAX];
    char request[CAT_TEXT_MAX];
    char day[CAT_TEXT_MAX];
    char bind[CAT_TEXT_MAX];
    char sequencer[CAT_TEXT_MAX]; /* file */
    uint64_t cluster;
    uint64_t principal, window, ttl_ms;
    uint64_t rate;  /* messages a second, 0: as fast as possible */
    uint64_t count; /* stop after so many messages; UINT64_MAX: no limit */
    uint64_t from;
    uint64_t gaps_ms;                             /* print pauses above this; UINT64_MAX: none */
    uint64_t open_wait_s, timeout_s, idle_exit_s; /* UINT64_MAX: for ever */
    uint64_t request_ms;
    enum cat_format format;
    enum keel_framing framing;
    bool progress, json, keep, fresh, resend_lost, until_end, until_present;
};

/* --- cat_options.c ---------------------------------------------------------------------------- */

enum cat_command { CAT_PUBLISH, CAT_FOLLOW, CAT_REPLAY };
/* Reads --config first, then the command line over it. CAT_DONE: go on; CAT_USAGE was printed;
 * *help: help was asked for and printed. */
int cat_options_read(struct cat_options *options, enum cat_command command, int argc, char **argv,
                     bool *help);
/* One setting, as the command line or the configuration file names it: NULL, or what is wrong. */
const char *cat_option_set(struct cat_options *options, const char *name, const char *value);
/* Reads an INI file into options. False with *problem. */
bool cat_config_read(struct cat_options *options, const char *path, char *problem);
void cat_help(FILE *out, const char *command);

/* --- cat_input.c ------------------------------------------------------------------------------ */

enum { INPUT_BUFFER = 1 << 17 };
enum input_outcome { INPUT_MESSAGE, INPUT_MORE, INPUT_END, INPUT_ERROR };

struct cat_input {
    int fd;
    enum cat_format format;
    bool eof;
    size_t start, end;                 /* of what is read and not yet used */
    uint64_t messages;                 /* given out */
    uint64_t place;                    /* lines or records seen, for errors */
    uint64_t empty;                    /* left out, for a message has at least a byte */
    uint8_t payload[KEEL_PAYLOAD_MAX]; /* of a hex line */
    uint8_t buffer[INPUT_BUFFER];
};

/* "-" is standard input. False with *problem. */
bool input_open(struct cat_input *input, const char *path, enum cat_format format, char *problem);
void input_close(struct cat_input *input);
/* Reads once from the file; call after INPUT_MORE, when it is readable. False with *problem. */
bool input_fill(struct cat_input *input, char *problem);
/* The next message; it stays where it is until the next call. INPUT_ERROR with *problem. */
enum input_outcome input_next(struct cat_input *input, const uint8_t **payload, size_t *size,
                              char *problem);

/* --- cat_log.c -------------------------------------------------------------------------------- */

enum { LOG_BUFFER = 1 << 16, LOG_HASH_DIGITS = 16 };

/* The gateway's log: what was submitted and what was acknowledged, in lines of text. Appended; a
 * batch of submits is one write(2), and it is written before the first of them is sent. */
struct cat_log {
    int fd; /* -1: none wanted */
    size_t used;
    void *digest; /* EVP_MD_CTX */
    void *sha256; /* EVP_MD */
    /* what it said of this session name when it was opened */
    uint64_t session; /* id of the last session of that name, 0: none */
    bool ended;
    uint64_t submitted; /* highest numbers of it */
    uint64_t acked;
    char buffer[LOG_BUFFER];
};

bool log_open(struct cat_log *log, const char *path, const char *session, char *problem);
void log_close(struct cat_log *log);
void log_session(struct cat_log *log, const char *name, const struct keel_info *info);
void log_submit(struct cat_log *log, uint64_t session, uint64_t number, const void *payload,
                size_t size);
void log_ack(struct cat_log *log, uint64_t session, const struct keel_result *result);
void log_end(struct cat_log *log, uint64_t session, uint64_t last);
/* False with *problem: the disk is full ... Nothing may be sent then. */
bool log_write(struct cat_log *log, char *problem);

/* --- cat_figures.c ---------------------------------------------------------------------------- */

enum { FIGURES_PAUSES_MAX = 64, FIGURES_LEADERS_MAX = 64, FIGURES_REFS = KEEL_WINDOW_MAX };

struct pause {
    uint64_t ns, began_utc_ns;
    uint64_t after;  /* last number acknowledged before it */
    uint32_t leader; /* asked when it ended */
};

struct reign { /* acknowledgements that came in a row while one member was asked */
    uint32_t leader;
    uint64_t began_utc_ns; /* the first of them */
    uint64_t number;
};

struct figures {
    uint64_t began_ns, ended_ns;
    uint64_t submitted, acknowledged, refused, bytes; /* of this process */
    uint64_t waiting_since_ns; /* since the last acknowledgement, while any is owed; 0: none is */
    uint64_t last_number;
    struct pause longest;
    uint32_t pause_count; /* above --gaps, the first FIGURES_PAUSES_MAX kept */
    struct pause pause[FIGURES_PAUSES_MAX];
    uint32_t reign_count; /* the first FIGURES_LEADERS_MAX kept */
    uint32_t leader;      /* of the last one */
    struct reign reign[FIGURES_LEADERS_MAX];
    uint64_t due_ns[FIGURES_REFS]; /* when a number was to be sent */
    uint64_t size[FIGURES_REFS];
    uint64_t shown_ns, shown_count, shown_bytes; /* at the last progress line */
    struct histogram latency;
};

uint64_t figures_now_ns(void);
uint64_t figures_utc_ns(void);
/* due_ns: when it should have been sent, which may be earlier than now (coordinated omission). */
void figures_submit(struct figures *f, uint64_t number, size_t size, uint64_t due_ns);
/* Prints the pause that this acknowledgement ends, if it is above gaps_ms. */
void figures_ack(struct figures *f, const struct keel_result *result, uint32_t leader,
                 uint64_t gaps_ms);
void figures_progress(struct figures *f, const struct keel *keel);
/* exit_code: below 0 while running. */
void figures_json(FILE *out, const struct figures *f, const struct keel *keel, const char *name,
                  int exit_code);
void figures_text(FILE *out, const struct figures *f, const struct keel *keel, const char *name);
/* Replaces the file as a whole. False: see errno. */
bool figures_save(const char *path, const struct figures *f, const struct keel *keel,
                  const char *name, int exit_code);
/* "2025-01-06T09:30:00.123456Z", in 32 bytes; digits: 6 or 9 behind the point. */
void figures_time(uint64_t utc_ns, int digits, char text[32]);

/* --- commands --------------------------------------------------------------------------------- */

int cat_publish(const struct cat_options *options);
int cat_follow(const struct cat_options *options);

/* "keelcat: WHAT FAILED: why: what to do" to standard error; returns `code`. */
int cat_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cat_exit_of(int keel_error);
/* A descriptor that becomes readable with SIGINT or SIGTERM; -1 with errno. */
int cat_signals(void);
bool cat_signalled(int fd);

#endif
