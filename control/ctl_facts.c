/* `keelctl clock`, `digest`, `snapshot`. */
#include "control/ctl.h"

#include "consensus/wire/limits.h"

#include <stdio.h>
#include <string.h>

enum { MARKS_MAX = 64, SNAPSHOT_WAIT_MAX_MS = 5000 };

static json_int_t number(const json_t *of, const char *key)
{
    return json_integer_value(json_object_get(of, key));
}

static void print_clock(const json_t *c)
{
    char at[CTL_UTC_TEXT_MAX];
    const json_t *error = json_object_get(c, "utc_error_ns");
    printf("UTC         %s, ", ctl_utc_text(number(c, "utc_ns"), at));
    if (json_is_integer(error))
        printf("right within %.3f ms\n", (double)json_integer_value(error) / 1e6);
    else
        puts("error not known: is chrony, ntpd or ptp4l running?");
    printf("measured    %lld ms ago, told by %s since; UTC stepped %lld times",
           (long long)number(c, "measured_ms"), json_string_value(json_object_get(c, "source")),
           (long long)number(c, "utc_steps"));
    if (number(c, "utc_steps") > 0)
        printf(", last by %.3f ms", (double)number(c, "utc_step_ns") / 1e6);
    printf("\nnewest      entry stamped %s, %lld ms ago\n",
           ctl_utc_text(number(c, "log_utc_ns"), at), (long long)number(c, "log_behind_ms"));
    printf("log time    %.3f s at that entry; steps of UTC do not move it\n",
           (double)number(c, "log_ns") / 1e9);
    printf("rates       of any two clocks are taken to differ from true time by at most %lld ppm\n",
           (long long)number(c, "rho_ppm"));
}

int ctl_clock(struct ctl *ctl)
{
    json_t *result = NULL;
    int code = ctl_ask(ctl, "clock", NULL, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    else
        print_clock(result);
    json_decref(result);
    return code;
}

int ctl_snapshot(struct ctl *ctl)
{
    json_t *result = NULL;
    uint32_t timeout_ms = ctl->timeout_ms - ctl->timeout_ms / 8; /* keeld says why, before we do */
    json_int_t wait_ms = timeout_ms < SNAPSHOT_WAIT_MAX_MS ? timeout_ms : SNAPSHOT_WAIT_MAX_MS;
    int code = ctl_ask(ctl, "snapshot", json_pack("{s:I}", "timeout_ms", wait_ms), &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    else
        printf("a checkpoint of index %lld stands\n",
               (long long)json_integer_value(json_object_get(result, "index")));
    json_decref(result);
    return code;
}

/* --- digests
 * ------------------------------------------------------------------------------------- */

struct mark { /* what a voter told of an index */
    json_int_t replica, index;
    const char *digest;
};

struct verdict {
    json_int_t index; /* the newest at which a majority tells the same; 0: there is none */
    const char *digest;
    uint32_t odd; /* bit i: voter i tells another */
};

static uint32_t marks_of(const json_t *result, struct mark marks[MARKS_MAX])
{
    const json_t *list = json_object_get(result, "replicas");
    uint32_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i), *told = json_object_get(row, "told");
        for (size_t k = 0; k < json_array_size(told) && count < MARKS_MAX; k++) {
            const json_t *mark = json_array_get(told, k);
            const char *digest = json_string_value(json_object_get(mark, "digest"));
            const char *own = json_string_value(json_object_get(mark, "own"));
            json_int_t index = json_integer_value(json_object_get(mark, "index"));
            if (digest != NULL && json_is_true(json_object_get(row, "voter")))
                marks[count++] = (struct mark){json_integer_value(json_object_get(row, "replica")),
                                               index, digest};
            if (own != NULL && count < MARKS_MAX) /* the one that is asked, at that index */
                marks[count++] = (struct mark){
                    json_integer_value(json_object_get(result, "replica")), index, own};
        }
    }
    return count;
}

/* Voters that tell that digest of that index. */
static uint32_t telling(const struct mark *marks, uint32_t count, json_int_t index,
                        const char *digest)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < count; i++)
        if (marks[i].index == index && strcmp(marks[i].digest, digest) == 0)
            mask |= UINT32_C(1) << (marks[i].replica & 7);
    return mask;
}

static void judge(const json_t *result, struct verdict *v)
{
    struct mark marks[MARKS_MAX];
    uint32_t count = marks_of(result, marks);
    json_int_t voters = json_integer_value(json_object_get(result, "voters"));
    memset(v, 0, sizeof(*v));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t same = telling(marks, count, marks[i].index, marks[i].digest);
        if (__builtin_popcount(same) <= voters / 2)
            continue;
        for (uint32_t k = 0; k < count; k++)
            if (marks[k].index == marks[i].index && strcmp(marks[k].digest, marks[i].digest) != 0)
                v->odd |= UINT32_C(1) << (marks[k].replica & 7);
        if (marks[i].index > v->index) {
            v->index = marks[i].index;
            v->digest = marks[i].digest;
        }
    }
}

static void print_replica(const json_t *row)
{
    const json_t *told = json_object_get(row, "told");
    json_int_t index = 0;
    const json_t *newest = NULL;
    for (size_t i = 0; i < json_array_size(told); i++)
        if (json_integer_value(json_object_get(json_array_get(told, i), "index")) >= index) {
            newest = json_array_get(told, i);
            index = json_integer_value(json_object_get(newest, "index"));
        }
    const json_t *same = json_object_get(newest, "same");
    printf("replica %lld  ", (long long)json_integer_value(json_object_get(row, "replica")));
    if (newest == NULL)
        puts("has told none yet");
    else
        printf("%s at index %lld%s\n", json_string_value(json_object_get(newest, "digest")),
               (long long)index,
               json_is_true(json_object_get(row, "self")) ? ", this one"
               : json_is_true(same)                       ? ", the same here"
               : json_is_false(same)                      ? ", ANOTHER here"
                                                          : ", not known here");
}

static void print_cluster(const json_t *result, const struct verdict *v)
{
    const json_t *list = json_object_get(result, "replicas");
    for (size_t i = 0; i < json_array_size(list); i++)
        print_replica(json_array_get(list, i));
    if (v->index == 0)
        puts("no majority has told of one index yet: nothing to compare");
    else
        printf("a majority tells %s at index %lld%s\n", v->digest, (long long)v->index,
               v->odd == 0 ? "; nobody tells another" : "");
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (v->odd >> id & 1)
            printf("replica %u is the odd one: keep its ring, replace it\n", id);
}

static void put_verdict(json_t *result, const struct verdict *v)
{
    json_t *odd = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (v->odd >> id & 1)
            json_array_append_new(odd, json_integer(id));
    json_object_set_new(result, "majority_index",
                        v->index != 0 ? json_integer(v->index) : json_null());
    json_object_set_new(result, "majority_digest",
                        v->digest != NULL ? json_string(v->digest) : json_null());
    json_object_set_new(result, "odd", odd);
}

int ctl_digest(struct ctl *ctl)
{
    json_t *result = NULL;
    struct verdict verdict = {0};
    bool cluster = ctl->value[0] != NULL;
    int code = ctl_ask(ctl, "digest", NULL, &result);
    if (code != CTL_DONE)
        return code;
    if (cluster)
        judge(result, &verdict);
    if (cluster && ctl->json)
        put_verdict(result, &verdict);
    else if (ctl->json)
        json_object_del(result, "replicas");
    if (ctl->json)
        code = ctl_print_json(result);
    else if (cluster)
        print_cluster(result, &verdict);
    else
        printf("%s at index %lld\n", json_string_value(json_object_get(result, "digest")),
               (long long)json_integer_value(json_object_get(result, "index")));
    json_decref(result);
    return code == CTL_DONE && verdict.odd != 0 ? CTL_FAILED : code;
}
