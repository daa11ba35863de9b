/* Stage "hugepages": pages of 2 MiB, enough of them free for the ring's window and DPDK's heap.
 *
 * keeld takes them without files, so no hugetlbfs mount is needed; what it needs is counted by its
 * own arithmetic (control/need.h). They are reserved through hugeadm. Two things it cannot do, and
 * only those are written to /sys directly: reserve on one NUMA node, and leave the overcommit limit
 * alone: lowering the minimum it raises the limit by as much.
 */
#include "nic-config/hugepages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME "hugepages"
#define OVERCOMMIT "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"

struct look {
    bool there; /* the kernel has pages of 2 MiB, on that node */
    struct huge_pool pool;
    uint64_t usable; /* pages; for a configuration with those that keeld holds now */
    uint64_t missing;
    bool dpdk_fits;
};

static uint64_t needed(const struct host *host)
{
    return need_missing(&host->need.need, 0, 0);
}

static void look_at(const struct host *host, struct look *look)
{
    const struct host_need *need = &host->need;
    struct hugepages_held held;
    struct huge_pool all;
    memset(look, 0, sizeof(*look));
    hugepages_holders(host, &held);
    if (need->by_option) /* so many that are free now */
        held.keeld_mb = 0;
    look->there = huge_pool_read(host->root, need->node, HUGE_POOL_2M, &look->pool);
    huge_pool_read(host->root, HUGE_POOL_ALL_NODES, HUGE_POOL_2M, &all);
    uint64_t here = huge_pool_usable(&look->pool), most = huge_pool_usable(&all);
    uint64_t megabytes = huge_pool_usable_mb(host->root, need->node) + held.keeld_mb;
    look->usable = (here < most ? here : most) + held.keeld_mb / NEED_PAGE_MB;
    look->missing = need_missing(&need->need, look->usable, megabytes);
    look->dpdk_fits = need_dpdk_fits(&need->need, look->usable, megabytes);
}

/* --- check
 * ---------------------------------------------------------------------------------------------- */

static void node_path(int node, char *path, size_t size)
{
    snprintf(path, size, "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
             node);
}

static bool node_missing(const struct host *host)
{
    uint64_t nodes = host_nodes(host);
    return host->need.node < 0 && (nodes & (nodes - 1)) != 0;
}

static void say_pool(const struct host *host, const struct look *look, struct finding *f)
{
    const struct huge_pool *p = &look->pool;
    char node[32] = "", want[120] = "";
    if (host->need.node >= 0)
        snprintf(node, sizeof(node), " on node %d", host->need.node);
    if (!look->there) {
        report_text(f->found, "the kernel has no pages of 2 MiB%s", node);
        return;
    }
    bool counted = host->need.known && !host->need.ordinary;
    if (counted && host->need.by_option)
        snprintf(want, sizeof(want), "%" PRIu64 " pages of 2 MiB are needed, ", needed(host));
    else if (counted)
        snprintf(want, sizeof(want),
                 "%" PRIu64 " pages of 2 MiB are needed (%" PRIu64
                 " for the ring's window, %u MB for DPDK), ",
                 needed(host), host->need.need.window_huge, host->need.need.dpdk_mb);
    report_text(f->found,
                "%s%" PRIu64 "%s can be had%s: %" PRIu64 " reserved, %" PRIu64 " free, %" PRIu64
                " of them promised, %" PRIu64 " surplus",
                want, look->usable, counted ? "" : " pages of 2 MiB", node, huge_pool_reserved(p),
                p->free, p->promised, p->surplus);
}

static void mend_pool(const struct host *host, const struct look *look, struct finding *f)
{
    char path[128];
    uint64_t target = huge_pool_reserved(&look->pool) + look->missing;
    if (!look->there)
        return;
    if (host->need.node < 0) {
        report_text(f->mend, "hugeadm --pool-pages-min 2MB:%" PRIu64, target);
        return;
    }
    node_path(host->need.node, path, sizeof(path));
    report_text(f->mend, "echo %" PRIu64 " > %s", target, path);
}

static void check_pool(const struct host *host, const struct look *look, struct report *report)
{
    const struct host_need *need = &host->need;
    struct finding *f = report_add(report, VERDICT_PASS, NAME, "pool");
    say_pool(host, look, f);
    if (!need->known || need->ordinary) {
        f->verdict = VERDICT_SKIP;
        report_text(f->means, "%s",
                    !need->known ? need->why
                                 : "[memory] hugepages = no: keeld runs on "
                                   "ordinary pages, with more TLB misses");
    } else if (look->missing == 0) {
        report_text(f->means, "a start of keeld finds what it needs");
    } else {
        bool refused = need->insists && !look->dpdk_fits;
        f->verdict = need->by_option || refused ? VERDICT_FAIL : VERDICT_WARN;
        report_text(f->means, "%s: %" PRIu64 " pages are missing",
                    need->by_option ? "less than asked for"
                    : refused       ? "keeld refuses to start ([memory] hugepages = yes)"
                    : look->dpdk_fits
                        ? "the ring's window goes to ordinary pages: more TLB misses"
                        : "keeld starts on ordinary pages: more TLB misses, memory that the kernel "
                          "may move; a PCI device may refuse it",
                    look->missing);
        mend_pool(host, look, f);
    }
}

static void hugepages_check(const struct host *host, struct report *report)
{
    struct look look;
    look_at(host, &look);
    check_pool(host, &look, report);
    if (node_missing(host)) {
        struct finding *f = report_add(report, VERDICT_WARN, NAME, "node");
        report_text(f->found, "the host has several NUMA nodes, and which one keeld's memory is "
                              "to be of is not stated");
        report_text(f->means, "pages of another node cost every access of the ring's window: give "
                              "[cores] seq a core, or --node");
    }
    bool wanted = host->need.known && !host->need.ordinary;
    hugepages_check_users(host, wanted ? look.missing : 0, report);
}

/* --- apply and undo
 * ------------------------------------------------------------------------------------- */

static void thing_of(int node, char thing[UNDO_NAME_MAX])
{
    if (node < 0)
        snprintf(thing, UNDO_NAME_MAX, "all");
    else
        snprintf(thing, UNDO_NAME_MAX, "node%d", node);
}

/* Writes the overcommit limit if it is another one. */
static bool set_overcommit(struct host *host, uint64_t limit)
{
    struct huge_pool all;
    huge_pool_read("", HUGE_POOL_ALL_NODES, HUGE_POOL_2M, &all);
    return all.overcommit == limit || host_write(host, OVERCOMMIT, limit);
}

/* Makes `target` pages the reserved ones of the pool, or as many as the kernel can: *now. False:
 * host->why. hugeadm ends with 0 also when it got fewer. */
static bool set_reserved(struct host *host, int node, uint64_t target, uint64_t *now)
{
    char path[128], minimum[40];
    struct huge_pool pool;
    huge_pool_read("", HUGE_POOL_ALL_NODES, HUGE_POOL_2M, &pool);
    uint64_t overcommit = pool.overcommit;
    bool done;
    if (node < 0) {
        snprintf(minimum, sizeof(minimum), "2MB:%" PRIu64, target);
        char *argv[] = {"hugeadm", "--pool-pages-min", minimum, NULL};
        done = host_run(host, argv);
        done = set_overcommit(host, overcommit) && done;
    } else {
        node_path(node, path, sizeof(path));
        done = host_write(host, path, target);
    }
    huge_pool_read("", node, HUGE_POOL_2M, &pool);
    *now = huge_pool_reserved(&pool);
    return done;
}

/* What is noted of this pool in this boot; else what is there now. An older boot's pools are gone.
 */
static bool was_before(struct host *host, const char *thing, const struct huge_pool *pool,
                       struct hugepages_was *was)
{
    const struct undo_line *line = undo_find(&host->undo, NAME, thing);
    struct huge_pool all;
    huge_pool_read("", HUGE_POOL_ALL_NODES, HUGE_POOL_2M, &all);
    *was = (struct hugepages_was){.before = huge_pool_reserved(pool), .overcommit = all.overcommit};
    if (line == NULL || strcmp(line->boot, host->undo.boot) != 0)
        return true;
    return hugepages_read_was(was, line->words) ||
           host_fail(host, "%s: the line of %s %s is damaged: look at it", host->undo.path, NAME,
                     thing);
}

/* Raises the pool, the former state written down first. */
static bool raise_pool(struct host *host, const struct look *look)
{
    int node = host->need.node;
    char thing[UNDO_NAME_MAX], words[UNDO_WORDS_MAX], why[HOST_WHY_MAX];
    uint64_t reserved = huge_pool_reserved(&look->pool), target = reserved + look->missing, now;
    struct hugepages_was was;
    thing_of(node, thing);
    if (!was_before(host, thing, &look->pool, &was))
        return false;
    bool first = was.added == 0;
    was.added += look->missing;
    hugepages_write_was(&was, words);
    if (!undo_note(&host->undo, NAME, thing, words, host->why, sizeof(host->why)))
        return false;
    bool done = set_reserved(host, node, target, &now);
    if (done && now >= target) {
        host_say(NAME, "%" PRIu64 " pages of 2 MiB are reserved now, %" PRIu64 " before", now,
                 reserved);
        return true;
    }
    snprintf(why, sizeof(why), "%s", host->why);
    set_reserved(host, node, reserved, &target);
    was.added -= look->missing;
    hugepages_write_was(&was, words);
    if (first)
        undo_forget(&host->undo, NAME, thing, host->why, sizeof(host->why));
    else
        undo_note(&host->undo, NAME, thing, words, host->why, sizeof(host->why));
    if (!done)
        return host_fail(host, "%.*s", HOST_WHY_MAX - 1, why);
    return host_fail(host,
                     "the kernel found memory for %" PRIu64 " of %" PRIu64 " pages, and they were "
                     "given back: memory is short or in pieces: reserve them at boot, with "
                     "hugepages=%" PRIu64 " on the kernel's command line",
                     now - reserved, look->missing, reserved + look->missing);
}

static bool hugepages_apply(struct host *host)
{
    struct look look;
    char path[128];
    if (!host->need.known)
        return host_fail(host, "%s", host->need.why);
    if (host->need.ordinary) {
        host_say(NAME, "nothing to do: the configuration wants ordinary pages");
        return true;
    }
    look_at(host, &look);
    if (!look.there)
        return host_fail(host, "the kernel has no pages of 2 MiB: [memory] hugepages = no");
    if (look.missing == 0) {
        host_say(NAME,
                 "nothing to do: %" PRIu64 " pages of 2 MiB are needed, %" PRIu64 " can be had",
                 needed(host), look.usable);
        return true;
    }
    if (node_missing(host))
        return host_fail(host, "this host has several NUMA nodes: give [cores] seq a core, or "
                               "--node");
    if (!host->dry)
        return raise_pool(host, &look);
    uint64_t target = huge_pool_reserved(&look.pool) + look.missing;
    node_path(host->need.node, path, sizeof(path));
    if (host->need.node < 0)
        host_say(NAME,
                 "would run hugeadm --pool-pages-min 2MB:%" PRIu64 " (%" PRIu64
                 " are reserved now)",
                 target, huge_pool_reserved(&look.pool));
    else
        host_say(NAME, "would write %" PRIu64 " into %s (%" PRIu64 " are reserved now)", target,
                 path, huge_pool_reserved(&look.pool));
    return true;
}

/* One pool back to what it was. */
static bool undo_pool(struct host *host, int node, const struct undo_line *line)
{
    struct huge_pool pool;
    struct hugepages_was was;
    char thing[UNDO_NAME_MAX];
    snprintf(thing, sizeof(thing), "%s", line->thing);
    if (strcmp(line->boot, host->undo.boot) != 0) {
        host_say(NAME, "nothing to undo: the host was started anew since");
        return undo_forget(&host->undo, NAME, thing, host->why, sizeof(host->why));
    }
    if (!hugepages_read_was(&was, line->words))
        return host_fail(host, "%s: the line of %s %s is damaged: look at it", host->undo.path,
                         NAME, thing);
    huge_pool_read("", node, HUGE_POOL_2M, &pool);
    uint64_t reserved = huge_pool_reserved(&pool), target = hugepages_undone(&was, reserved);
    uint64_t now = reserved;
    if (target != reserved && !set_reserved(host, node, target, &now))
        return false;
    if (!set_overcommit(host, was.overcommit))
        return false;
    if (now != target)
        return host_fail(host, "%" PRIu64 " pages are reserved, %" PRIu64 " were to be", now,
                         target);
    huge_pool_read("", node, HUGE_POOL_2M, &pool);
    host_say(NAME, "%" PRIu64 " pages of 2 MiB are reserved now, as before%s", now,
             pool.surplus > 0 ? "; pages in use stay until their owners end" : "");
    return undo_forget(&host->undo, NAME, thing, host->why, sizeof(host->why));
}

static bool hugepages_undo(struct host *host)
{
    bool any = false;
    for (int node = HUGE_POOL_ALL_NODES; node < 64; node++) { /* as many as host_nodes() tells */
        char thing[UNDO_NAME_MAX];
        thing_of(node, thing);
        const struct undo_line *line = undo_find(&host->undo, NAME, thing);
        if (line == NULL)
            continue;
        any = true;
        if (!undo_pool(host, node, line))
            return false;
    }
    if (!any)
        host_say(NAME, "nothing to undo");
    return true;
}

const struct host_stage stage_hugepages = {.name = NAME,
                                           .summary =
                                               "pages of 2 MiB for the ring's window and DPDK",
                                           .check = hugepages_check,
                                           .apply = hugepages_apply,
                                           .undo = hugepages_undo};
