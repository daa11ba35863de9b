/* A process that goes down leaves its box: by a failed ENSURE, by a signal of its own or from
 * outside; and what a file must be to be one.
 */
#include "consensus/ensure.h"
#include "control/blackbox.h"
#include "tests/unit/control/desk.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOGGED = BLACKBOX_EVENTS + 7 };

static struct blackbox box;
static const char *problem; /* of the last read_box() */

static bool read_box(const char *path)
{
    FILE *file = fopen(path, "r");
    problem = "no such file";
    if (file == NULL)
        return false;
    size_t size = fread(&box, 1, sizeof(box), file);
    fclose(file);
    problem = blackbox_check(&box, size);
    return problem == NULL;
}

/* Another process logs, and goes down as told; its status. */
static int go_down(struct desk *d, void (*how)(void))
{
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (blackbox_open(d->node) != 0)
            _exit(3);
        for (int i = 1; i <= LOGGED; i++) {
            char text[40];
            snprintf(text, sizeof(text), "n=%d", i);
            journal_add(&d->journal, LOG_LEVEL_ERROR, "test", text);
        }
        how();
        blackbox_close();
        _exit(0);
    }
    int status = 0;
    CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
    return status;
}

static void ends_well(void) {}

static void fails_a_check(void)
{
    blackbox_write(0, 0, "somewhere.c", 42, "one == two"); /* as keeld's ensure_failed() does */
    abort();
}

static void reads_nowhere(void)
{
    volatile uintptr_t nowhere = 8;
    *(volatile int *)nowhere = 1;
}

static void is_told_to(void)
{
    kill(getpid(), SIGSEGV);
    pause(); /* until it arrives */
}

static void check_common(const struct desk *d)
{
    CU_ASSERT_PTR_NULL_FATAL(problem);
    CU_ASSERT_EQUAL(box.replica, 1);
    CU_ASSERT_STRING_EQUAL(box.keel, KEEL_VERSION);
    CU_ASSERT_EQUAL(box.boot, d->node->start.boot);
    CU_ASSERT_EQUAL(box.event_count, BLACKBOX_EVENTS);
    for (uint32_t i = 0; i < BLACKBOX_EVENTS; i++)
        CU_ASSERT_EQUAL(box.event[i].number, LOGGED - BLACKBOX_EVENTS + 1 + i);
    CU_ASSERT_STRING_EQUAL(box.event[BLACKBOX_EVENTS - 1].text, "n=71");
    struct replica_status s;
    replica_status(d->node->start.replica, &s);
    CU_ASSERT_TRUE(box.state.whole && box.control.whole);
    CU_ASSERT_EQUAL(box.state.term, s.term);
    CU_ASSERT_STRING_EQUAL(box.state.role, "leader");
    CU_ASSERT_EQUAL(box.state.commit, s.commit);
    CU_ASSERT_TRUE(box.state.commit > 0 && box.control.applied == s.applied);
    CU_ASSERT_TRUE(box.frame_count > 0);
}

static void each_way_down(void)
{
    struct desk *d = desk_open();
    char path[CONFIG_TEXT_MAX + 20], aside[CONFIG_TEXT_MAX + 24];
    snprintf(d->config.blackbox, sizeof(d->config.blackbox), "%s/box", d->directory);
    snprintf(path, sizeof(path), "%s/box", d->directory);
    snprintf(aside, sizeof(aside), "%s.1", path);
    CU_ASSERT_EQUAL(go_down(d, ends_well), 0);
    CU_ASSERT_FALSE(read_box(path)); /* gone with a clean end */

    int status = go_down(d, fails_a_check);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    read_box(path);
    check_common(d);
    CU_ASSERT_EQUAL(box.signal, 0); /* the check's, not the abort's behind it */
    CU_ASSERT_EQUAL(box.line, 42);
    CU_ASSERT_STRING_EQUAL(box.file, "somewhere.c");
    CU_ASSERT_STRING_EQUAL(box.condition, "one == two");

    status = go_down(d, reads_nowhere);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    read_box(path);
    check_common(d);
    CU_ASSERT_EQUAL(box.signal, SIGSEGV);
    CU_ASSERT_EQUAL(box.address, 8);
    CU_ASSERT_TRUE(read_box(aside)); /* the one before has a number */
    CU_ASSERT_EQUAL(box.line, 42);

    status = go_down(d, is_told_to);
    CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    unlink(aside);
    for (int i = 1; i <= BLACKBOX_KEPT + 1; i++) /* the first ones stay, the last gives way */
        go_down(d, fails_a_check);
    for (int i = 1; i <= BLACKBOX_KEPT; i++) {
        snprintf(aside, sizeof(aside), "%s.%d", path, i);
        CU_ASSERT_TRUE(read_box(aside));
        CU_ASSERT_EQUAL(box.signal, i <= 2 ? SIGSEGV : 0);
        unlink(aside);
    }
    CU_ASSERT_TRUE(read_box(path));
    unlink(path);
    desk_close(d);
}

static void no_place_no_box(void)
{
    struct desk *d = desk_open();
    snprintf(d->config.blackbox, sizeof(d->config.blackbox), "%s/none/box", d->directory);
    CU_ASSERT_TRUE(blackbox_open(d->node) < 0);
    blackbox_write(0, 0, "x.c", 1, "nothing happens");
    blackbox_close();
    char path[CONFIG_TEXT_MAX + 16];
    d->config.blackbox[0] = '\0';
    blackbox_path(&d->config, path); /* its ring is no file */
    CU_ASSERT_STRING_EQUAL(path, "/var/lib/keel/keeld-1.blackbox");
    snprintf(d->config.data, sizeof(d->config.data), "/proc/self/exe");
    blackbox_path(&d->config, path);
    CU_ASSERT_STRING_EQUAL(path, "/proc/self/exe.blackbox");
    desk_close(d);
}

static void what_is_no_box_is_refused(void)
{
    memset(&box, 0, sizeof(box));
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, sizeof(box)), "nothing was written"));
    memset(&box, 0xff, sizeof(box));
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, sizeof(box)), "no black box"));
    memcpy(box.magic, BLACKBOX_MAGIC, sizeof(box.magic));
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, sizeof(box) - 1), "cut off"));
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, 3), "no black box"));
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, sizeof(box)), "another version"));
    box.version = BLACKBOX_VERSION;
    box.size = sizeof(box);
    CU_ASSERT_PTR_NOT_NULL(strstr(blackbox_check(&box, sizeof(box)), "out of range"));
    box.event_count = BLACKBOX_EVENTS;
    box.frame_count = BLACKBOX_FRAMES;
    CU_ASSERT_PTR_NULL(blackbox_check(&box, sizeof(box))); /* its texts end now */
    CU_ASSERT_EQUAL(strlen(box.condition), sizeof(box.condition) - 1);
    CU_ASSERT_EQUAL(strlen(box.event[BLACKBOX_EVENTS - 1].text), JOURNAL_TEXT_MAX - 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"each way down", each_way_down},
        {"no place, no box", no_place_no_box},
        {"what is no box is refused", what_is_no_box_is_refused},
        {0}};
    return unit_main("blackbox", tests);
}
