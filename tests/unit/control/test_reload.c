/* Reload: what differs between files and what runs, all or nothing, the old table's end, and that a
 * key taken away ends its associations for good (H18).
 */
#include "control/reload.h"
#include "dataplane/rcu.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURNS_MAX = 2000000 };

/* --- what differs
 * ---------------------------------------------------------------------------------- */

static bool has(const struct reload_report *report, const char *what, const char *how,
                const char *name)
{
    for (uint32_t i = 0; i < report->count; i++) {
        char text[RELOAD_NAME_MAX];
        reload_change_name(&report->change[i], text);
        if (strcmp(reload_what_name(report->change[i].what), what) == 0 &&
            strcmp(reload_how_name(report->change[i].how), how) == 0 && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

static void subscribers_are_compared(void)
{
    struct reload_report *report = calloc(1, sizeof(*report));
    struct feed_options old = {
        .destination_count = 2,
        .destination = {{.ip = 0xef010101, .port = 7410}, {.ip = 0x0a000009, .port = 7410}},
        .consumer_count = 1,
        .consumer = {0x0a000009}};
    struct feed_options new = old;
    reload_diff_feed(&old, &new, report);
    CU_ASSERT_EQUAL(report->count, 0);
    new.destination[0] = old.destination[1]; /* another order is no change */
    new.destination[1] = old.destination[0];
    reload_diff_feed(&old, &new, report);
    CU_ASSERT_EQUAL(report->count, 0);
    new.destination[0].port = 7412;
    new.consumer[0] = 0x0a00000a;
    reload_diff_feed(&old, &new, report);
    CU_ASSERT_EQUAL(report->count, 4);
    CU_ASSERT_TRUE(has(report, "destination", "added", "10.0.0.9:7412"));
    CU_ASSERT_TRUE(has(report, "destination", "removed", "10.0.0.9:7410"));
    CU_ASSERT_TRUE(has(report, "consumer", "added", "10.0.0.10"));
    CU_ASSERT_TRUE(has(report, "consumer", "removed", "10.0.0.9"));
    free(report);
}

static struct keyring_key key_of(uint32_t principal, int first, int second)
{
    struct keyring_key key = {.principal = principal,
                              .rights =
                                  principal < KEEL_CLIENT_MIN ? AUTH_RIGHT_PEER : AUTH_RIGHT_SUBMIT,
                              .key_count = second != 0 ? 2 : 1};
    memset(key.key[0], first, AUTH_ROOT_SIZE);
    memset(key.key[1], second, AUTH_ROOT_SIZE);
    return key;
}

/* One reload of replica 2 whose file had `was` of a principal (0: nothing) and has `is`. */
static void keys_case(uint32_t principal, int was, int was_next, int is, int is_next, bool right,
                      const char *change, const uint32_t *ended, uint32_t ended_count)
{
    struct keyring *old = calloc(1, sizeof(*old)), *new = calloc(1, sizeof(*new));
    struct reload_report *report = calloc(1, sizeof(*report));
    struct control_rekey *rekey = calloc(1, sizeof(*rekey));
    char name[RELOAD_NAME_MAX];
    if (was != 0)
        old->key[old->count++] = key_of(principal, was, was_next);
    if (is != 0)
        new->key[new->count++] = key_of(principal, is, is_next);
    if (!right)
        new->key[0].rights = 0;
    reload_diff_keys(old, new, 2, report, rekey);
    CU_ASSERT_PTR_EQUAL(rekey->keys, new);
    CU_ASSERT_EQUAL(rekey->ended_count, ended_count);
    CU_ASSERT_EQUAL(report->ended, ended_count);
    for (uint32_t i = 0; i < ended_count && i < rekey->ended_count; i++)
        CU_ASSERT_EQUAL(rekey->ended[i], ended[i]);
    CU_ASSERT_EQUAL(report->count, change != NULL);
    snprintf(name, sizeof(name), "%s %u", principal < KEEL_CLIENT_MIN ? "replica" : "client",
             principal);
    if (change != NULL)
        CU_ASSERT_TRUE(has(report, "key", change, name));
    free(old);
    free(new);
    free(report);
    free(rekey);
}

static void h18_a_key_added_ends_nothing_and_one_gone_does(void)
{
    static const uint32_t client[] = {100}, below[] = {1}, above[] = {3, 4, 5, 6, 7};
    keys_case(100, 1, 0, 1, 0, true, NULL, NULL, 0);
    keys_case(100, 0, 0, 1, 0, true, "added", NULL, 0);
    keys_case(100, 1, 0, 1, 2, true, "changed", NULL, 0); /* roll-over begins */
    keys_case(100, 1, 2, 2, 1, true, "changed", NULL, 0);
    keys_case(100, 1, 2, 2, 0, true, "changed", client, 1); /* and ends */
    keys_case(100, 1, 0, 2, 0, true, "changed", client, 1);
    keys_case(100, 1, 0, 1, 0, false, "changed", client, 1); /* its right is gone */
    keys_case(100, 1, 0, 0, 0, true, "removed", client, 1);
    keys_case(1, 1, 0, 2, 0, true, "changed", below, 1);
    keys_case(2, 1, 0, 2, 0, true, "changed", above, 5); /* its own: those it initiates to */
}

/* --- control
 * --------------------------------------------------------------------------------------- */

/* Exchanges the keys of a node of a running bench. */
static void exchange(struct bench *b, uint32_t id, const struct keyring *old,
                     const struct keyring *new, struct control_rekey *rekey)
{
    struct reload_report *report = calloc(1, sizeof(*report));
    struct control *control = b->node[id].start.control;
    reload_diff_keys(old, new, id, report, rekey);
    control_rekey(control, rekey);
    CU_ASSERT_FALSE(control_rekey_taken(control));
    CU_ASSERT_FALSE(control_rekey_done(control, rekey));
    bench_run(b, 2);
    CU_ASSERT_TRUE(control_rekey_taken(control));
    CU_ASSERT_TRUE(control_rekey_done(control, rekey));
    CU_ASSERT_FALSE(control_rekey_withdraw(control));
    free(report);
}

static const struct auth_peer *peer_of(struct bench *b, uint32_t id, uint32_t peer)
{
    return auth_peer(b->node[id].start.replica->auth, peer);
}

static struct bench *three(void)
{
    struct bench *b = bench_new(3);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    CU_ASSERT_NOT_EQUAL_FATAL(bench_settle(b), 0);
    return b;
}

/* H18: replica 1 and 3 are associated; 3's file loses the key of 1: the association ends and none
 * comes in its place, whatever 1 sends or sends again; the key comes back: another association,
 * with another handle, counts from the start, and nothing sealed under the first is taken. */
static void h18_a_key_taken_away_ends_its_associations(void)
{
    struct bench *b = three();
    struct keyring *without = calloc(1, sizeof(*without));
    struct control_rekey *rekey = calloc(2, sizeof(*rekey));
    *without = *b->node[3].keys;
    memmove(&without->key[0], &without->key[1], --without->count * sizeof(without->key[0]));
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(b, 3, 1));
    uint32_t handle = peer_of(b, 3, 1)->handle;
    uint64_t unknown = bench_control(b, 3).handshake_reject[HANDSHAKE_UNKNOWN_PRINCIPAL];
    exchange(b, 3, b->node[3].keys, without, &rekey[0]);
    CU_ASSERT_PTR_NULL(peer_of(b, 3, 1));
    CU_ASSERT_PTR_NOT_NULL(peer_of(b, 3, 2));
    bench_run(b, 5000);
    CU_ASSERT_PTR_NULL(peer_of(b, 3, 1));
    CU_ASSERT_TRUE(bench_control(b, 3).handshake_reject[HANDSHAKE_UNKNOWN_PRINCIPAL] > unknown);
    exchange(b, 3, without, b->node[3].keys, &rekey[1]);
    bench_run(b, 5000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(b, 3, 1));
    CU_ASSERT_NOT_EQUAL(peer_of(b, 3, 1)->handle, handle);
    CU_ASSERT_TRUE(peer_of(b, 3, 1)->confirmed);
    CU_ASSERT_NOT_EQUAL(bench_settle(b), 0);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL(bench_status(b, id).stopped, 0);
    bench_free(b);
    free(without);
    free(rekey);
}

/* The key of replica 1 rolls over while the cluster runs: added at 2 and 3, then exchanged at 1,
 * then the old one taken away. In the end each pair is associated, under the new key only. */
static void a_replicas_key_rolls_over(void)
{
    enum { STEPS = 5 };
    static const uint32_t at[STEPS] = {2, 3, 1, 2, 3};
    struct bench *b = three();
    struct keyring *ring = calloc(STEPS, sizeof(*ring));
    struct control_rekey *rekey = calloc(STEPS, sizeof(*rekey));
    for (uint32_t i = 0; i < STEPS; i++) {
        const struct keyring *old = i < 3 ? b->node[at[i]].keys : &ring[i - 3];
        ring[i] = *old;
        ring[i].key[0] = i < 2 ? key_of(1, 0x41, 0x77) : key_of(1, 0x77, 0);
        exchange(b, at[i], old, &ring[i], &rekey[i]);
        CU_ASSERT_EQUAL(rekey[i].ended_count, i < 2 ? 0 : i == 2 ? KEEL_REPLICA_MAX - 1 : 1);
        bench_run(b, 3000);
        CU_ASSERT_NOT_EQUAL(bench_settle(b), 0);
        for (uint32_t id = 1; id <= 3; id++)
            for (uint32_t peer = 1; peer <= 3; peer++)
                CU_ASSERT_TRUE(id == peer || peer_of(b, id, peer) != NULL);
    }
    bench_free(b);
    free(ring);
    free(rekey);
}

/* --- files
 * ----------------------------------------------------------------------------------------- */

struct desk { /* one replica, its files, and the worker */
    struct bench *bench;
    struct config config;
    struct reload *reload;
    struct feed *feed;
    pthread_t thread;
    char directory[32], conf[64], keys[64];
};

static void *serve(void *context)
{
    reload_run(context);
    return NULL;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
    CU_ASSERT_EQUAL(chmod(path, mode), 0);
}

static void write_conf(struct desk *d, const char *feed, const char *more)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "[replica]\nid = 1\ndata = /var/lib/keel/ring\n[network]\nport = af_packet:eth1\n"
             "address = 10.0.0.1/24\n[feed]\n%s\n[keys]\nfile = %s\n%s\n",
             feed, d->keys, more);
    write_file(d->conf, text, 0600);
}

static void write_keys(struct desk *d, const struct keyring *ring)
{
    char text[8 * KEYRING_TEXT_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < ring->count; i++)
        at += keyring_format_key(&ring->key[i], text + at);
    write_file(d->keys, text, 0600);
}

static struct desk *desk_open(void)
{
    struct desk *d = calloc(1, sizeof(*d));
    char problem[CONFIG_PROBLEM_SIZE];
    struct keyring *keys = calloc(1, sizeof(*keys));
    d->bench = bench_new(1);
    CU_ASSERT_EQUAL_FATAL(bench_start(d->bench, 1), STARTUP_OK);
    bench_settle(d->bench);
    strcpy(d->directory, "/tmp/keel-reload-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(d->directory));
    snprintf(d->conf, sizeof(d->conf), "%s/conf", d->directory);
    snprintf(d->keys, sizeof(d->keys), "%s/keys", d->directory);
    write_conf(d, "", "");
    write_keys(d, d->bench->node[1].keys);
    CU_ASSERT_TRUE_FATAL(config_read(&d->config, d->conf, problem));
    d->feed = d->bench->node[1].start.replica->feed;
    *keys = *d->bench->node[1].keys;
    struct reload_options options = {.config = &d->config,
                                     .path = d->conf,
                                     .feed = d->feed,
                                     .control = d->bench->node[1].start.control,
                                     .keys = keys};
    CU_ASSERT_EQUAL_FATAL(reload_open(&d->reload, &options), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&d->thread, NULL, serve, d->reload), 0);
    rcu_reader_begin(); /* this thread plays the loop */
    return d;
}

static void desk_close(struct desk *d)
{
    rcu_reader_end();
    reload_stop(d->reload);
    pthread_join(d->thread, NULL);
    bench_free(d->bench);
    reload_close(d->reload);
    unlink(d->conf);
    unlink(d->keys);
    CU_ASSERT_EQUAL(rmdir(d->directory), 0);
    free(d);
}

/* A turn of the loop and of control; quiet: with a quiescent state behind it. */
static void turn(struct desk *d, bool quiet)
{
    for (uint32_t i = 0; i < 10; i++)
        bench_run(d->bench, 1);
    if (quiet)
        rcu_reader_turn();
    sched_yield();
}

static uint64_t ask(struct desk *d)
{
    uint64_t ticket = 0;
    uint32_t i = 0;
    while (i < TURNS_MAX && !reload_ask(d->reload, RELOAD_BY_ADMIN, &ticket)) {
        turn(d, true); /* the one before waits for this reader */
        i++;
    }
    CU_ASSERT_TRUE_FATAL(i < TURNS_MAX);
    return ticket;
}

static const struct reload_report *result(struct desk *d, uint64_t ticket, bool quiet)
{
    const struct reload_report *report = NULL;
    for (uint32_t i = 0; i < TURNS_MAX && report == NULL; i++) {
        turn(d, quiet);
        report = reload_result(d->reload, ticket);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(report);
    return report;
}

static const struct reload_report *reload(struct desk *d)
{
    return result(d, ask(d), true);
}

static void subscribers_come_and_go(void)
{
    struct desk *d = desk_open();
    uint32_t count;
    CU_ASSERT_EQUAL(reload(d)->count, 0);
    write_conf(d, "destinations = 10.0.0.9:7412, 239.1.1.1\nconsumers = 10.0.0.9", "");
    const struct reload_report *report = reload(d);
    CU_ASSERT_EQUAL(report->outcome, RELOAD_DONE);
    CU_ASSERT_EQUAL(report->count, 3);
    CU_ASSERT_TRUE(has(report, "destination", "added", "10.0.0.9:7412"));
    CU_ASSERT_TRUE(has(report, "destination", "added", "239.1.1.1:7410"));
    CU_ASSERT_TRUE(has(report, "consumer", "added", "10.0.0.9"));
    const struct feed_destination *to = feed_destinations(d->feed, &count);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_EQUAL(to[0].port, 7412);
    write_conf(d, "destinations = 239.1.1.1", "");
    report = reload(d);
    CU_ASSERT_EQUAL(report->count, 2);
    CU_ASSERT_TRUE(has(report, "destination", "removed", "10.0.0.9:7412"));
    to = feed_destinations(d->feed, &count);
    CU_ASSERT_EQUAL_FATAL(count, 1);
    CU_ASSERT_EQUAL(to[0].ip, 0xef010101);
    CU_ASSERT_EQUAL(reload(d)->count, 0); /* what is in force is what is compared with */
    desk_close(d);
}

/* Refused, the reason names `why`, and nothing is changed: neither keys nor subscribers. */
static void refused(struct desk *d, const char *why)
{
    uint32_t count;
    const struct reload_report *report = reload(d);
    CU_ASSERT_EQUAL(report->outcome, RELOAD_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(report->why, why));
    if (strstr(report->why, why) == NULL)
        printf("# %s\n# lacks %s\n", report->why, why);
    CU_ASSERT_EQUAL(report->count, 0);
    feed_destinations(d->feed, &count);
    CU_ASSERT_EQUAL(count, 0);
}

static void what_cannot_be_is_refused_whole(void)
{
    static const char *const more = "destinations = 10.0.0.9:7412";
    struct desk *d = desk_open();
    struct keyring *ring = calloc(1, sizeof(*ring));
    *ring = *d->bench->node[1].keys;
    write_conf(d, more, "[feed]\nconsumer = 10.0.0.9");
    refused(d, "/conf:12: [feed] has no key 'consumer'");
    write_conf(d, more, "[ring]\nwindow_mib = 64\n[cores]\nidle = spin");
    refused(d, "needs a restart: [ring] window_mib, [cores] idle: ");
    write_conf(d, more, "[members]\n1 = 10.0.0.1:7400");
    refused(d, "needs a restart: [members]");
    write_conf(d, more, "");
    unlink(d->keys);
    refused(d, "[keys] file: ");
    memset(ring->key[0].key[0], 0x55, AUTH_ROOT_SIZE);
    write_keys(d, ring);
    CU_ASSERT_EQUAL(chmod(d->keys, 0644), 0);
    refused(d, "chmod 600");
    ring->key[0].principal = 2;
    write_keys(d, ring);
    refused(d, "it has no section [replica 1]");
    write_keys(d, d->bench->node[1].keys);
    unlink(d->conf);
    refused(d, "/conf: cannot be read");
    CU_ASSERT_EQUAL(mkfifo(d->conf, 0600), 0); /* would be waited for */
    refused(d, "/conf: it is not a regular file");
    unlink(d->conf);
    write_conf(d, more, "");
    CU_ASSERT_EQUAL(reload(d)->count, 1);
    free(ring);
    desk_close(d);
}

/* The loop stays in one turn: the answer comes all the same, the old table is kept for it, and the
 * next reload waits. */
static void a_loop_in_a_turn_is_waited_for_by_the_worker_alone(void)
{
    struct desk *d = desk_open();
    uint32_t count;
    uint64_t ticket;
    write_conf(d, "destinations = 10.0.0.9:7412", "");
    CU_ASSERT_EQUAL(reload(d)->count, 1);
    struct feed_destination *held = feed_destinations(d->feed, &count);
    write_conf(d, "", "");
    CU_ASSERT_EQUAL(result(d, ask(d), false)->count, 1);
    for (uint32_t i = 0; i < 50; i++) {
        turn(d, false);
        CU_ASSERT_FALSE(reload_ask(d->reload, RELOAD_BY_SIGNAL, &ticket));
        CU_ASSERT_EQUAL(held[0].port, 7412);
    }
    feed_destinations(d->feed, &count);
    CU_ASSERT_EQUAL(count, 0);
    CU_ASSERT_EQUAL(reload(d)->count, 0);
    desk_close(d);
}

/* Control hangs: the keys are taken back before it looks at them, and the subscribers stay too. */
static void control_that_hangs_changes_nothing(void)
{
    struct desk *d = desk_open();
    struct keyring *ring = calloc(1, sizeof(*ring));
    uint32_t count;
    *ring = *d->bench->node[1].keys;
    ring->key[ring->count++] = key_of(101, 0x66, 0);
    write_keys(d, ring);
    write_conf(d, "destinations = 10.0.0.9:7412", "");
    d->bench->node[1].idle_control = true;
    const struct reload_report *report = reload(d);
    CU_ASSERT_EQUAL(report->outcome, RELOAD_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(report->why, "control thread"));
    feed_destinations(d->feed, &count);
    CU_ASSERT_EQUAL(count, 0);
    CU_ASSERT_TRUE(control_rekey_taken(d->bench->node[1].start.control));
    d->bench->node[1].idle_control = false;
    report = reload(d);
    CU_ASSERT_EQUAL(report->count, 2);
    CU_ASSERT_TRUE(has(report, "key", "added", "client 101"));
    free(ring);
    desk_close(d);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"subscribers are compared as sets", subscribers_are_compared},
        {"H18: a key added ends no association, one gone ends all of its principal",
         h18_a_key_added_ends_nothing_and_one_gone_does},
        {"H18: a key taken away ends its associations, and none comes back",
         h18_a_key_taken_away_ends_its_associations},
        {"a replica's key rolls over", a_replicas_key_rolls_over},
        {"subscribers come and go", subscribers_come_and_go},
        {"what cannot be is refused, and nothing changes", what_cannot_be_is_refused_whole},
        {"a loop in a turn is waited for by the worker alone",
         a_loop_in_a_turn_is_waited_for_by_the_worker_alone},
        {"control that hangs changes nothing", control_that_hangs_changes_nothing},
        {0}};
    return unit_main("reload", tests);
}
