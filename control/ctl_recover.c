/* `keelctl recover`: a new cluster from what a minority has left, offline.
 *
 * Reads the rings of survivors, each under the lock that a running keeld holds, and changes none of
 * them. Entries that were never known as committed count from now on: any of them may have been,
 * and acknowledged, by a majority that nobody can ask any more.
 */
#include "control/ctl_seed.h"
#include "control/ctl_tail.h"
#include "control/exclusive.h"
#include "control/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    OPTION_UNSAFE,
    OPTION_TO,
    OPTION_GENESIS,
    OPTION_ADDRESS,
    OPTION_DAY,
    OPTION_YES,
    OPTION_TAIL
};

struct survivor {
    const char *path;
    struct disk *disk;
    struct ring_recovery found;
    struct machine *machine; /* with the whole log applied */
    struct feed_exceptions *exceptions;
    struct replay replay;
    uint64_t last_term;  /* of its last entry */
    uint64_t feed_known; /* next feed number at the commit index that it knows */
    uint64_t day_known;  /* count of days there */
    bool member;         /* this very incarnation is in the configuration, ... */
    bool learner;        /* ... and does not vote */
};

/* --- reading one
 * ----------------------------------------------------------------------------------- */

static int open_survivor(struct survivor *s)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct disk_options options = {
        .path = s->path, .exclusive = true, .read_only = true, .depth = 8};
    int rc = exclusive_open(&s->disk, &options, why);
    if (rc == -EWOULDBLOCK)
        return ctl_fail(CTL_REFUSED,
                        "recover: %s: another process runs on it: stop keeld there first", s->path);
    if (rc != 0)
        return ctl_fail(CTL_FAILED, "recover: %s: name the ring of a survivor",
                        why[0] != '\0' ? why : strerror(-rc));
    rc = ring_recover(s->disk, false, &s->found, why);
    if (rc != 0)
        return ctl_fail(rc == -EPROTONOSUPPORT ? CTL_REFUSED : CTL_FAILED, "recover: %s: %s",
                        s->path, why[0] != '\0' ? why : strerror(-rc));
    if (s->found.genesis.magic != GENESIS_MAGIC)
        return ctl_fail(CTL_FAILED, "recover: %s: it belongs to no cluster: name a survivor's ring",
                        s->path);
    if (s->found.damage != RING_INTACT)
        return ctl_fail(CTL_REFUSED,
                        "recover: %s is damaged (%s): %s: take another survivor's ring, or restore "
                        "a backup",
                        s->path, ring_damage_name(s->found.damage), s->found.why);
    return CTL_DONE;
}

static bool take_memory(struct survivor *s)
{
    struct replay *r = &s->replay;
    const struct genesis *g = &s->found.genesis;
    *r = (struct replay){.disk = s->disk, .genesis = g, .found = &s->found};
    s->machine = ctl_aligned(machine_size(g));
    s->exceptions = calloc(1, sizeof(*s->exceptions));
    r->cap = replay_bytes_size(r);
    r->bytes = ctl_aligned(r->cap);
    r->outcome = malloc(sizeof(*r->outcome));
    r->machine = s->machine;
    r->exceptions = s->exceptions;
    return s->machine != NULL && s->exceptions != NULL && r->bytes != NULL && r->outcome != NULL;
}

static void note_membership(struct survivor *s)
{
    const struct entry_config *c = &s->machine->config;
    uint32_t id = s->found.super.replica;
    s->member = c->member[id].incarnation == s->found.super.incarnation;
    s->learner = s->member && ((c->voters | c->voters_new) >> id & 1) == 0;
}

static int read_survivor(struct survivor *s)
{
    char why[REPLAY_PROBLEM_SIZE];
    int code = open_survivor(s);
    if (code != CTL_DONE)
        return code;
    if (!take_memory(s))
        return ctl_fail(CTL_FAILED, "recover: out of memory");
    uint64_t last = s->found.last_index;
    uint64_t known = s->found.commit < last ? s->found.commit : last;
    bool good = replay_checkpoint(&s->replay, why) && replay_log(&s->replay, known, why);
    s->feed_known = s->machine->feed_next;
    s->day_known = s->machine->day_count;
    if (!good || !replay_log(&s->replay, last, why))
        return ctl_fail(CTL_REFUSED, "recover: %s: %s", s->path, why);
    s->last_term = s->machine->applied_term;
    note_membership(s);
    return CTL_DONE;
}

static void close_survivor(struct survivor *s)
{
    free(s->replay.bytes);
    free(s->replay.outcome);
    free(s->exceptions);
    free(s->machine);
    ring_recovery_free(&s->found);
    disk_close(s->disk);
}

/* --- what they have
 * -------------------------------------------------------------------------------- */

static json_t *survivor_object(const struct survivor *s)
{
    const struct ring_recovery *f = &s->found;
    uint64_t known = f->commit < f->last_index ? f->commit : f->last_index;
    json_t *to = ctl_state_object(s->machine, &f->genesis);
    char incarnation[20];
    snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, f->super.incarnation);
    json_object_set_new(to, "ring", json_string(s->path));
    json_object_set_new(to, "replica", json_integer(f->super.replica));
    json_object_set_new(to, "incarnation", json_string(incarnation));
    json_object_set_new(to, "role",
                        json_string(!s->member   ? "no-member"
                                    : s->learner ? "learner"
                                                 : "voter"));
    json_object_set_new(to, "last_term", json_integer((json_int_t)s->last_term));
    json_object_set_new(to, "last_index", json_integer((json_int_t)f->last_index));
    json_object_set_new(to, "commit_index", json_integer((json_int_t)known));
    json_object_set_new(to, "entries_not_known_committed",
                        json_integer((json_int_t)(f->last_index - known)));
    bool same_day = s->day_known == s->machine->day_count;
    json_object_set_new(to, "feed_next_committed",
                        same_day ? json_integer((json_int_t)s->feed_known) : json_null());
    json_object_set_new(to, "voters", json_integer(__builtin_popcount(s->machine->config.voters)));
    return to;
}

/* As an election compares logs. */
static bool better(const struct survivor *a, const struct survivor *b)
{
    return a->last_term != b->last_term ? a->last_term > b->last_term
                                        : a->found.last_index > b->found.last_index;
}

static int check_together(const struct survivor *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (list[i].found.genesis.cluster_id != list[0].found.genesis.cluster_id)
            return ctl_fail(CTL_REFUSED, "recover: %s and %s belong to different clusters",
                            list[0].path, list[i].path);
        for (uint32_t j = 0; j < i; j++)
            if (list[i].found.super.incarnation == list[j].found.super.incarnation)
                return ctl_fail(CTL_REFUSED, "recover: %s and %s are one replica's: one is a copy",
                                list[j].path, list[i].path);
    }
    return CTL_DONE;
}

static uint32_t voters_here(const struct survivor *list, uint32_t count, uint32_t mask,
                            const struct entry_config *config)
{
    uint32_t here = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = list[i].found.super.replica;
        here += (mask >> id & 1) != 0 &&
                config->member[id].incarnation == list[i].found.super.incarnation;
    }
    return here;
}

/* Enough for an election, by the newest configuration that is here. */
static bool majority_here(const struct survivor *list, uint32_t count, const struct survivor *best)
{
    const struct entry_config *c = &best->machine->config;
    bool old = 2 * voters_here(list, count, c->voters, c) > (uint32_t)__builtin_popcount(c->voters);
    bool new = c->voters_new == 0 || 2 * voters_here(list, count, c->voters_new, c) >
                                         (uint32_t)__builtin_popcount(c->voters_new);
    return old && new;
}

static void warn(const struct survivor *best)
{
    const struct ring_recovery *f = &best->found;
    uint64_t known = f->commit < f->last_index ? f->commit : f->last_index;
    fprintf(
        stderr,
        "\nWHAT IS LOST, AND WHAT IS NOT KNOWN\n"
        "  Lost: whatever the others acknowledged and replica %u never received. Nobody can say\n"
        "  whether there is any. Its log ends at index %" PRIu64 ", term %" PRIu64
        ", feed number %" PRIu64 ".\n"
        "  Made true: %" PRIu64 " entries behind index %" PRIu64
        " that it holds and does not know as committed.\n"
        "  They count from now on; of some of them gateways and consumers may never have heard.\n"
        "  The trading day ends here. Consumers that saw a higher number than %" PRIu64
        " saw what is lost.\n",
        f->super.replica, f->last_index, best->last_term, best->machine->feed_next - 1,
        f->last_index - known, known, best->machine->feed_next - 1);
    if (best->learner || !best->member)
        fprintf(stderr, "  Replica %u was %s: a voter's ring, if there is one, may hold more.\n",
                f->super.replica, best->learner ? "a learner" : "no member");
}

static int show(const struct ctl *ctl, const json_t *survivors)
{
    static const char *const columns[] = {"ring=RING",
                                          "replica=REPLICA",
                                          "role=ROLE",
                                          "last_term=LAST TERM",
                                          "last_index=LAST INDEX",
                                          "commit_index=COMMITTED",
                                          "day=DAY",
                                          "feed_next=FEED NEXT",
                                          "sessions=SESSIONS",
                                          "last_entry_utc=LAST ENTRY",
                                          NULL};
    if (ctl->json)
        return CTL_DONE;
    printf("cluster %s\n",
           json_string_value(json_object_get(json_array_get(survivors, 0), "cluster_id")));
    ctl_print_table(survivors, columns);
    return CTL_DONE;
}

/* The best one's log once more, from its checkpoint on, its messages into a file. */
static int write_tail(const struct ctl *ctl, struct survivor *best)
{
    const char *path = ctl->value[OPTION_TAIL];
    char why[REPLAY_PROBLEM_SIZE];
    struct ctl_tail tail = {.path = path, .commit = best->found.commit};
    int code = path != NULL ? ctl_tail_open(&tail) : CTL_DONE;
    if (path == NULL || code != CTL_DONE)
        return code;
    best->replay.applied = ctl_tail_applied;
    best->replay.context = &tail;
    bool good = replay_checkpoint(&best->replay, why) &&
                replay_log(&best->replay, best->found.last_index, why);
    best->replay.applied = NULL;
    if (!good)
        code = ctl_fail(CTL_REFUSED, "recover: %s: %s", best->path, why);
    code = ctl_tail_close(&tail, code);
    if (code == CTL_DONE && !ctl->json)
        printf("%" PRIu64 " messages behind index %" PRIu64 " are in %s\n", tail.count,
               best->replay.checkpoint_index, path);
    return code;
}

/* --- the command
 * ------------------------------------------------------------------------------------ */

static int refuse_early(const struct ctl *ctl, const struct survivor *list, uint32_t count,
                        const struct survivor *best)
{
    struct stat target, source;
    if (ctl->value[OPTION_UNSAFE] == NULL)
        return ctl_fail(
            CTL_REFUSED,
            "recover: nothing was changed: a new cluster without a majority of the old "
            "one may lack what was acknowledged: say --unsafe if nothing better is left");
    if (majority_here(list, count, best))
        return ctl_fail(
            CTL_REFUSED,
            "recover: these rings are a majority: nothing is lost: start keeld on them");
    for (uint32_t i = 0; i < count && ctl->value[OPTION_TO] != NULL; i++)
        if (stat(ctl->value[OPTION_TO], &target) == 0 && stat(list[i].path, &source) == 0 &&
            target.st_dev == source.st_dev && target.st_ino == source.st_ino)
            return ctl_fail(
                CTL_REFUSED,
                "recover: --to %s is a survivor's ring, which is not written to: format "
                "another file or device for the new one",
                ctl->value[OPTION_TO]);
    return CTL_DONE;
}

static int form(const struct ctl *ctl, struct survivor *best, json_t *result)
{
    struct ctl_seed seed = {.ctl = ctl,
                            .how = GENESIS_SEED_RECOVERED,
                            .to = ctl->value[OPTION_TO],
                            .genesis_path = ctl->value[OPTION_GENESIS],
                            .address = ctl->value[OPTION_ADDRESS],
                            .day = ctl->value[OPTION_DAY],
                            .yes = ctl->value[OPTION_YES],
                            .from = &best->found.genesis,
                            .machine = best->machine,
                            .term = best->found.term};
    int code = ctl_seed_open(&seed);
    if (code == CTL_DONE) {
        warn(best);
        code = ctl_seed_confirm(&seed);
    }
    if (code == CTL_DONE)
        code = ctl_seed_form(&seed);
    if (code == CTL_DONE) {
        json_t *formed = ctl_seed_result(&seed);
        if (!ctl->json) {
            putchar('\n');
            ctl_print_pairs(formed, 0);
            ctl_seed_next(&seed);
        }
        json_object_set_new(result, "formed", formed);
    }
    ctl_seed_close(&seed);
    return code;
}

static int recover(const struct ctl *ctl, struct survivor *list, uint32_t count)
{
    int code = check_together(list, count);
    if (code != CTL_DONE)
        return code;
    struct survivor *best = &list[0];
    json_t *survivors = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(survivors, survivor_object(&list[i]));
        if (better(&list[i], best))
            best = &list[i];
    }
    json_t *result = json_pack("{s:o,s:s}", "survivors", survivors, "best", best->path);
    code = show(ctl, survivors);
    if (!ctl->json && count > 1)
        printf("the longest log, as an election compares them: %s\n", best->path);
    if (code == CTL_DONE)
        code = write_tail(ctl, best);
    bool only_looks = ctl->value[OPTION_TO] == NULL && ctl->value[OPTION_UNSAFE] == NULL;
    if (!only_looks && code == CTL_DONE)
        code = refuse_early(ctl, list, count, best);
    if (!only_looks && code == CTL_DONE)
        code = form(ctl, best, result);
    if (only_looks && code == CTL_DONE && !ctl->json)
        puts("nothing was changed: this only looked");
    if (ctl->json && code == CTL_DONE)
        code = ctl_print_json(result);
    json_decref(result);
    return code;
}

int ctl_recover(struct ctl *ctl)
{
    struct survivor *list = calloc(KEEL_REPLICA_MAX, sizeof(*list));
    uint32_t count = (uint32_t)ctl->word_count;
    if (list == NULL)
        return ctl_fail(CTL_FAILED, "recover: out of memory");
    int code = CTL_DONE;
    for (uint32_t i = 0; i < count && code == CTL_DONE; i++) {
        list[i].path = ctl->word[i];
        code = read_survivor(&list[i]);
    }
    if (code == CTL_DONE)
        code = recover(ctl, list, count);
    for (uint32_t i = 0; i < count; i++)
        close_survivor(&list[i]);
    free(list);
    return code;
}
