/* A consumer of MoldUDP64 lines, without sockets and clocks: packets and the time go in, messages
 * in order and requests come out. follow.c drives it over UDP.
 *
 * Owns: arbitration between lines (the first copy of a number wins), order, gaps and requests,
 * days, silent lines. Belongs to the thread that calls it. Time is monotone nanoseconds, > 0.
 *
 * Rules it keeps: within a day numbers come in order, each once, none left out; two copies of a
 * number that differ stop it; silence is reported as silence and never as "nothing happened" (H22).
 */
#ifndef KEEL_CLIENT_FOLLOWER_H
#define KEEL_CLIENT_FOLLOWER_H

#include "client/held.h"
#include "client/keel.h"
#include "consensus/wire/feed.h"

enum {
    FOLLOWER_REQUEST_MAX = 0xfffe, /* messages asked for at once (MoldUDP64) */
    FOLLOWER_PAST_DAYS = 16,       /* names of days that are over */
    FOLLOWER_HISTORY = 8192,       /* delivered numbers whose content is remembered, as a hash */
    FOLLOWER_GIVE_UP = 10          /* unanswered requests for the end of a day that went unseen */
};
#define FOLLOWER_MS UINT64_C(1000000)
#define FOLLOWER_TURN_MIN (100 * FOLLOWER_MS) /* between requests to one server and the next */
#define FOLLOWER_SERVER KEEL_LINES_MAX        /* the source of replies */

struct follower_options {
    struct keel_follow_options public; /* numbers filled in, texts unused */
    char day[KEEL_DAY_NAME_SIZE + 1];  /* to begin with; "": any */
    uint32_t lines;
    uint32_t servers;
    void (*request)(void *context, uint32_t server, const void *packet, size_t size);
    void *request_context;
};

struct follower {
    struct follower_options options;
    int error;
    char problem[KEEL_PROBLEM_SIZE];
    uint64_t now_ns;
    bool stopped;  /* the callback said so; until the next call */
    int delivered; /* messages since follower_start_turn() */

    bool named; /* a day is being delivered */
    char day[KEEL_DAY_NAME_SIZE];
    char day_text[KEEL_DAY_SIZE];
    uint64_t first;    /* first number delivered of this day */
    uint64_t next;     /* next number to be delivered */
    uint64_t high;     /* the highest "next" heard of */
    uint64_t end;      /* the number behind the day's last; 0: not known */
    bool synchronized; /* next had reached high */
    bool following;    /* a day was delivered before: the next one begins at 1 */
    bool next_named;   /* packets of another day have come */
    char next_day[KEEL_DAY_NAME_SIZE];
    char past[FOLLOWER_PAST_DAYS][KEEL_DAY_NAME_SIZE];
    uint32_t past_count;

    bool gap;            /* something is owed */
    uint64_t request_ns; /* earliest next request */
    uint64_t asked;      /* number of the last request */
    uint32_t unanswered;
    uint32_t server; /* asked next */

    uint64_t heard_ns[KEEL_LINES_MAX];
    bool silent[KEEL_LINES_MAX];

    struct held held;
    struct keel_follow_stats stats;
    uint64_t history[FOLLOWER_HISTORY];
};

/* Bytes (8-byte aligned) for a follower that holds so many packets. */
size_t follower_size(uint32_t held_packets);
struct follower *follower_init(void *memory, const struct follower_options *options,
                               uint64_t now_ns);

/* One datagram came on a line (0..) or from a request server (FOLLOWER_SERVER). */
void follower_receive(struct follower *f, uint32_t source, const void *packet, size_t size,
                      uint64_t now_ns);
/* Goes on after a stop: what is held and due is delivered. */
void follower_resume(struct follower *f, uint64_t now_ns);
/* Requests and silence: whatever is due. */
void follower_tick(struct follower *f, uint64_t now_ns);
uint64_t follower_deadline(const struct follower *f);
enum keel_follow_state follower_state(const struct follower *f);
void follower_info(const struct follower *f, struct keel_follow_info *info);

#endif
