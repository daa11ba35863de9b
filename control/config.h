/* keeld's configuration: an INI file, read at start by the main thread and again by the thread of
 * reload.h; what is read then may differ from what runs in a few keys only. Pure but for reading
 * the file: no device, no drive is touched, so that `keeld --check` and the tests use the same
 * code.
 *
 * Every unknown section or key, doubled key and value out of range is an error that names the file,
 * the line and what to do. Nothing here decides what replicas must agree on: that stands in the
 * genesis record, and [members] and [limits] only state what it is expected to say (H3).
 */
#ifndef KEEL_CONFIG_H
#define KEEL_CONFIG_H

#include "control/startup.h"
#include "dataplane/eal.h"
#include "dataplane/loop.h"

enum {
    CONFIG_FILE_MAX = 65536, /* bytes */
    CONFIG_LINE_MAX = 199,   /* bytes of one line: what libinih takes */
    CONFIG_PATH_MAX = 108,   /* a socket's path must fit sockaddr_un */
    CONFIG_TEXT_MAX = 192,
    CONFIG_PROBLEM_SIZE = 400,
    CONFIG_UDP_PORT = 7400,
    CONFIG_FEED_PORT = 7410,
    CONFIG_REQUEST_PORT = 7411,
    CONFIG_SLEEP_US = 50
};

enum config_core { CORE_SEQ, CORE_DISK, CORE_FEED, CORE_AUX, CORE_CONTROL, CONFIG_CORES };

struct config {
    /* [replica] */
    uint32_t id;
    char data[CONFIG_TEXT_MAX];
    /* [network] */
    char port[CONFIG_TEXT_MAX];   /* as written */
    char device[CONFIG_TEXT_MAX]; /* the same as a DPDK device */
    uint32_t ip, prefix, gateway;
    uint16_t udp_port;
    /* [members] */
    uint32_t member_count;
    struct genesis_founder member[KEEL_REPLICA_MAX + 1];
    /* [feed] */
    struct feed_options feed; /* framing, heartbeat_ms, destinations, consumers */
    uint16_t feed_port;       /* of destinations without one */
    uint16_t request_port;
    /* [ring] */
    uint32_t window_mib; /* 0: default */
    uint32_t flight_pages;
    uint32_t checkpoint_ms;         /* 0: default */
    uint32_t checkpoint_send_kib_s; /* 0: default */
    uint32_t scrub_pages_s;         /* 0: default */
    /* [cores]: -1: shares seq's thread (control: not pinned) */
    int core[CONFIG_CORES];
    enum loop_idle idle;
    uint32_t sleep_us;
    /* [memory] */
    enum eal_pages pages;
    uint32_t memory_mib; /* 0: as much as the pools need */
    /* [eal] */
    char eal_extra[CONFIG_TEXT_MAX];
    /* [admin] */
    char socket[CONFIG_PATH_MAX];
    char blackbox[CONFIG_TEXT_MAX]; /* empty: see blackbox_path() */
    char group[64]; /* its members may administer, beside root and the daemon's own user */
    char users[CONFIG_TEXT_MAX]; /* ... and so may these: names or numbers */
    char read_group[64];         /* its members may look; neither: everybody on this host may */
    char read_users[CONFIG_TEXT_MAX];
    /* [keys] */
    char keys[CONFIG_TEXT_MAX];
    /* [limits]: copies that must equal the genesis record; bit i of limit_mask: field i is stated
     */
    uint32_t limit_mask;
    uint32_t limit[32];
};

/* Reads a file. True, or false with *problem: "file:line: what: what to do". */
bool config_read(struct config *config, const char *path, char problem[CONFIG_PROBLEM_SIZE]);
/* The same from text (size bytes); `name` stands in problems. */
bool config_parse(struct config *config, const char *name, const char *text, size_t size,
                  char problem[CONFIG_PROBLEM_SIZE]);

/* Fills the parts of startup's options that the configuration states. */
void config_startup(const struct config *config, struct startup_options *options);

/* How many keys differ that cannot change while the replica runs; *list names them, as far as it
 * has room: "[ring] window_mib, [cores] seq". What can change: [feed] destinations, consumers and
 * port, and [keys] file. */
uint32_t config_fixed_changes(const struct config *a, const struct config *b, char *list,
                              size_t room);

/* NULL, or the name of the first [limits] field that the genesis record contradicts (H3). */
const char *config_limit_problem(const struct config *config, const struct genesis *genesis);

/* Threads of the role map: roles of each (mask of enum loop_role) and its core (-1: not pinned).
 * Roles on one core share a thread; returns how many threads, at most 4. [0] has ROLE_SEQ. */
struct config_thread {
    uint32_t roles;
    int core;
};
uint32_t config_threads(const struct config *config, struct config_thread threads[4]);

#endif
