/* The public face of a session: options, sockets, time; the work is the engine's. */
#include "client/keel.h"

#include "client/address.h"
#include "client/keel_internal.h"
#include "consensus/ensure.h"
#include "consensus/wire/entry.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TTL_DEFAULT_MS = 10000,
    GRACE_DEFAULT_MS = 45000,
    OPEN_WAIT_DEFAULT_MS = 10000,
    RECEIVE_ROUNDS = 16
};

static int problem_set(char *problem, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int problem_set(char *problem, int error, const char *format, ...)
{
    va_list arguments;
    if (problem == NULL)
        return error;
    va_start(arguments, format);
    vsnprintf(problem, KEEL_PROBLEM_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

static void send_packet(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    struct keel *keel = context;
    net_send(&keel->net, ip, port, packet, size);
}

/* --- open ------------------------------------------------------------------------------------- */

static int take_members(struct engine_options *to, const char *text, char *problem)
{
    struct address list[KEEL_MEMBERS_MAX];
    char why[128];
    int count = address_list(text == NULL ? "" : text, ADDRESS_MEMBER, list, KEEL_MEMBERS_MAX, why,
                             sizeof(why));
    if (count < 0)
        return problem_set(problem, KEEL_ARGUMENT, "member %s", why);
    if (count == 0)
        return problem_set(problem, KEEL_ARGUMENT,
                           "no members: name them as \"1=10.0.0.1:7400,2=10.0.0.2:7400\"");
    for (int i = 0; i < count; i++)
        to->member[i] =
            (struct engine_address){.id = list[i].id, .ip = list[i].ip, .port = list[i].port};
    to->member_count = (uint32_t)count;
    return KEEL_OK;
}

static int take_name(struct engine_options *to, const char *name, char *problem)
{
    if (name == NULL || strlen(name) >= sizeof(to->session))
        return problem_set(problem, KEEL_ARGUMENT, "session name: 1 to %d characters",
                           KEEL_SESSION_MAX);
    memcpy(to->session, name, strlen(name));
    if (!entry_name_ok(to->session))
        return problem_set(problem, KEEL_ARGUMENT,
                           "session name '%s': printable ASCII without spaces", name);
    return KEEL_OK;
}

static int take_principal(struct engine_options *to, const struct keyring *keys,
                          const struct keel_options *options, char *problem)
{
    uint32_t clients = 0, found = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->key[i].principal < KEEL_CLIENT_MIN)
            continue;
        clients++;
        if (options->principal == 0 || keys->key[i].principal == options->principal)
            found = keys->key[i].principal;
    }
    if (found == 0)
        return problem_set(problem, KEEL_KEY, "key file '%s' has no key of client %u",
                           options->key_file, options->principal);
    if (options->principal == 0 && clients > 1)
        return problem_set(problem, KEEL_ARGUMENT,
                           "key file '%s' has keys of %u clients: say which principal to be",
                           options->key_file, clients);
    to->principal = found;
    return KEEL_OK;
}

static int take_options(struct keel *keel, struct engine_options *to, char *problem)
{
    const struct keel_options *options = &keel->options;
    char why[KEEL_PROBLEM_SIZE];
    int result = take_members(to, options->members, problem);
    if (result == KEEL_OK)
        result = take_name(to, options->session, problem);
    if (result != KEEL_OK)
        return result;
    if (options->window > KEEL_WINDOW_MAX)
        return problem_set(problem, KEEL_ARGUMENT, "window %u: 1 to %d", options->window,
                           KEEL_WINDOW_MAX);
    if (options->key_file == NULL)
        return problem_set(problem, KEEL_ARGUMENT, "no key file named");
    if (keyring_read(&keel->keys, options->key_file, why) != 0)
        return problem_set(problem, KEEL_KEY, "%s", why);
    result = take_principal(to, &keel->keys, options, problem);
    if (result != KEEL_OK)
        return result;
    to->window = options->window == 0 ? KEEL_WINDOW_MAX : (uint16_t)options->window;
    to->ttl_ms = options->ttl_ms == 0 ? TTL_DEFAULT_MS : options->ttl_ms;
    to->leases = options->leases;
    to->grace_ms = options->grace_ms == 0 ? GRACE_DEFAULT_MS : options->grace_ms;
    to->cluster = options->cluster;
    to->keys = &keel->keys;
    to->random = net_random;
    to->send = send_packet;
    to->context = keel;
    while (to->process == 0) /* zero once in 2^64 */
        net_random(NULL, &to->process, sizeof(to->process));
    return KEEL_OK;
}

static int take_socket(struct keel *keel, char *problem)
{
    struct address local = {0};
    char why[128];
    const char *text = keel->options.bind;
    if (text != NULL && address_list(text, ADDRESS_PLAIN, &local, 1, why, sizeof(why)) != 1)
        return problem_set(problem, KEEL_ARGUMENT, "local address '%s': write IP:PORT", text);
    int result = net_open(&keel->net, &local);
    if (result != 0)
        return problem_set(problem, KEEL_SYSTEM, "UDP socket on '%s': %s",
                           text == NULL ? "any" : text, strerror(-result));
    return KEEL_OK;
}

static int take_engine(struct keel *keel, const struct engine_options *options, char *problem)
{
    keel->engine_bytes = (engine_size(options->member_count) + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, keel->engine_bytes);
    if (memory == NULL)
        return problem_set(problem, KEEL_MEMORY, "no memory for a session");
    memset(memory, 0, keel->engine_bytes);
    keel->engine = engine_init(memory, options, net_now_ns());
    if (keel->engine != NULL)
        return KEEL_OK;
    free(memory);
    return problem_set(problem, KEEL_SYSTEM, "this processor has no AES-GCM instructions");
}

/* Until the session is open; with its error if it is not by then. */
static int wait_ready(struct keel *keel, char *problem)
{
    uint64_t wait_ms =
        keel->options.open_wait_ms == 0 ? OPEN_WAIT_DEFAULT_MS : keel->options.open_wait_ms;
    uint64_t end_ns = net_now_ns() + wait_ms * ENGINE_MS;
    while (keel->engine->phase != ENGINE_READY) { /* until then */
        uint64_t now_ns = net_now_ns();
        if (now_ns >= end_ns || keel_poll(keel, (int64_t)(end_ns - now_ns)) < 0) {
            char why[KEEL_PROBLEM_SIZE];
            int error = engine_blame(keel->engine, why, sizeof(why));
            return problem_set(problem, error, "%s", why);
        }
    }
    return KEEL_OK;
}

int keel_open(struct keel **out, const struct keel_options *options, char *problem)
{
    struct engine_options engine_options = {0};
    *out = NULL;
    if (problem != NULL)
        problem[0] = 0;
    struct keel *keel = calloc(1, sizeof(*keel));
    if (keel == NULL)
        return problem_set(problem, KEEL_MEMORY, "no memory for a session");
    keel->options = *options;
    keel->net.fd = -1;
    int result = take_options(keel, &engine_options, problem);
    if (result == KEEL_OK)
        result = take_socket(keel, problem);
    if (result == KEEL_OK)
        result = take_engine(keel, &engine_options, problem);
    if (result == KEEL_OK && !options->open_later)
        result = wait_ready(keel, problem);
    if (result != KEEL_OK) {
        keel_close(keel);
        return result;
    }
    /* The texts were the caller's; what is needed of them is copied. */
    keel->options.members = keel->options.key_file = keel->options.session = NULL;
    keel->options.bind = NULL;
    *out = keel;
    return KEEL_OK;
}

void keel_close(struct keel *keel)
{
    if (keel == NULL)
        return;
    net_close(&keel->net);
    keyring_wipe(&keel->keys);
    if (keel->engine != NULL)
        explicit_bzero(keel->engine, keel->engine_bytes);
    free(keel->engine);
    free(keel);
}

/* --- use -------------------------------------------------------------------------------------- */

size_t keel_resumed(const struct keel *keel, uint64_t *last, struct keel_result *results,
                    size_t max)
{
    const struct engine *e = keel->engine;
    size_t count = e->kept_count < max ? e->kept_count : max;
    if (last != NULL)
        *last = e->resumed_last;
    for (size_t i = 0; i < count; i++)
        results[i] = e->kept[i];
    return count;
}

int keel_submit(struct keel *keel, const void *payload, size_t size, uint64_t *number)
{
    return engine_submit(keel->engine, payload, size, number);
}

static int verdict(const struct keel *keel)
{
    return keel->engine->phase == ENGINE_FAILED ? keel->engine->error : KEEL_OK;
}

int keel_flush(struct keel *keel)
{
    uint64_t now_ns = net_now_ns();
    engine_tick(keel->engine, now_ns);
    engine_flush(keel->engine, now_ns);
    net_flush(&keel->net);
    return verdict(keel);
}

int64_t keel_wait_ns(const struct keel *keel)
{
    uint64_t at_ns = engine_deadline(keel->engine), now_ns = net_now_ns();
    if (at_ns == UINT64_MAX)
        return INT64_MAX;
    return at_ns > now_ns ? (int64_t)(at_ns - now_ns) : 0;
}

int keel_fd(const struct keel *keel)
{
    return keel->net.fd;
}

/* Until a packet comes, something is due, or the time is up. */
static void wait_packet(const struct keel *keel, int64_t timeout_ns)
{
    int64_t due_ns = keel_wait_ns(keel);
    if (timeout_ns < 0 || timeout_ns > due_ns)
        timeout_ns = due_ns;
    struct pollfd fd = {.fd = keel->net.fd, .events = POLLIN};
    const struct timespec time = {.tv_sec = timeout_ns / 1000000000,
                                  .tv_nsec = timeout_ns % 1000000000};
    ppoll(&fd, 1, &time, NULL);
}

static unsigned receive_all(struct keel *keel)
{
    unsigned total = 0;
    for (unsigned round = 0; round < RECEIVE_ROUNDS; round++) {
        unsigned count = net_receive(&keel->net);
        uint64_t now_ns = net_now_ns();
        for (unsigned i = 0; i < count; i++) {
            size_t size;
            uint32_t ip;
            uint16_t port;
            const uint8_t *packet = net_datagram(&keel->net, i, &size, &ip, &port);
            engine_receive(keel->engine, ip, port, packet, size, now_ns);
        }
        total += count;
        if (count < NET_BATCH)
            break;
    }
    return total;
}

/* Without a callback the results wait to be collected; `before`: e->oldest when this poll began. */
static int deliver(struct keel *keel, uint64_t before)
{
    struct engine *e = keel->engine;
    int count = 0;
    if (keel->options.result == NULL)
        return e->oldest - before < KEEL_WINDOW_MAX ? (int)(e->oldest - before) : KEEL_WINDOW_MAX;
    struct keel_result result;
    while (engine_result(e, &result)) { /* at most a window; submitting adds none */
        keel->options.result(keel->options.context, &result);
        count++;
    }
    return count;
}

/* Behind the results. */
static bool deliver_events(struct keel *keel)
{
    struct engine *e = keel->engine;
    struct keel_event event;
    if (keel->options.event == NULL)
        return e->event_count > 0 && e->event_after[e->event_first] <= e->given;
    bool any = false;
    while (engine_event(e, &event)) { /* at most ENGINE_EVENTS */
        keel->options.event(keel->options.context, &event);
        any = true;
    }
    return any;
}

static int poll_until(struct keel *keel, int64_t timeout_ns, bool events_count)
{
    uint64_t end_ns = net_now_ns() + (uint64_t)(timeout_ns > 0 ? timeout_ns : 0);
    int results = 0;
    enum engine_phase phase = keel->engine->phase;
    uint64_t before = keel->engine->oldest;
    for (;;) { /* ends with news, failure, or the time */
        keel_flush(keel);
        unsigned packets = receive_all(keel);
        if (packets > 0)
            keel_flush(keel);
        results = deliver(keel, before);
        bool told = deliver_events(keel) && events_count;
        if (results > 0 || keel->engine->phase != phase || told || timeout_ns == 0)
            break;
        uint64_t now_ns = net_now_ns();
        if (timeout_ns > 0 && now_ns >= end_ns)
            break;
        wait_packet(keel, timeout_ns < 0 ? -1 : (int64_t)(end_ns - now_ns));
    }
    return results == 0 && keel->engine->phase == ENGINE_FAILED ? keel->engine->error : results;
}

int keel_poll(struct keel *keel, int64_t timeout_ns)
{
    return poll_until(keel, timeout_ns, true);
}

int keel_poll_results(struct keel *keel, int64_t timeout_ns)
{
    return poll_until(keel, timeout_ns, false);
}

bool keel_next_result(struct keel *keel, struct keel_result *result)
{
    return engine_result(keel->engine, result);
}

int keel_end(struct keel *keel, int64_t timeout_ns)
{
    uint64_t end_ns = net_now_ns() + (uint64_t)(timeout_ns > 0 ? timeout_ns : 0);
    engine_end(keel->engine, net_now_ns());
    while (keel->engine->phase != ENGINE_CLOSED) { /* until the time is up */
        uint64_t now_ns = net_now_ns();
        if (keel->engine->phase == ENGINE_FAILED)
            return keel->engine->error;
        if (timeout_ns >= 0 && now_ns > end_ns)
            return KEEL_TIMEOUT;
        keel_poll(keel, timeout_ns < 0 ? -1 : (int64_t)(end_ns - now_ns));
    }
    return KEEL_OK;
}

/* --- what it says of itself ------------------------------------------------------------------- */

void keel_info(const struct keel *keel, struct keel_info *info)
{
    const struct engine *e = keel->engine;
    bool open = e->phase >= ENGINE_OPEN && e->phase <= ENGINE_END && !e->searching;
    *info = (struct keel_info){
        .state = engine_state(e),
        .principal = e->options.principal,
        .leader = open ? e->member[e->target].at.id : 0,
        .window = e->window,
        .ttl_ms = e->ttl_ms,
        .resumed = e->resumed,
        .cluster = e->cluster,
        .session = e->session,
        .epoch = e->epoch,
        .submitted = e->next - 1,
        .answered = e->oldest - 1,
        .alive_ns = e->alive_ns,
    };
}

void keel_stats(const struct keel *keel, struct keel_stats *stats)
{
    *stats = keel->engine->stats;
    stats->send_errors = keel->net.errors;
}

const char *keel_problem(const struct keel *keel)
{
    return keel->engine->problem;
}
