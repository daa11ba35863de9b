/* What keel-host parses and reckons for hugepages; nothing of the host is read but a boot's id. */
#include "nic-config/hugepages.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_list(void)
{
    CU_ASSERT(host_list_has("0\n", 0));
    CU_ASSERT(!host_list_has("0\n", 1));
    CU_ASSERT(host_list_has("0-3,8,10-11\n", 3));
    CU_ASSERT(!host_list_has("0-3,8,10-11\n", 4));
    CU_ASSERT(host_list_has("0-3,8,10-11\n", 8));
    CU_ASSERT(host_list_has("0-3,8,10-11\n", 11));
    CU_ASSERT(!host_list_has("0-3,8,10-11\n", 12));
    CU_ASSERT(!host_list_has("", 0));
    CU_ASSERT(!host_list_has("\n", 0));
    CU_ASSERT(!host_list_has("-", 0));
}

static void test_holder(void)
{
    char name[32];
    uint64_t megabytes = 0;
    CU_ASSERT(hugepages_holder("Name:\tkeeld\nUmask:\t0022\nHugetlbPages:\t   86016 kB\nCpus:\t3\n",
                               name, &megabytes));
    CU_ASSERT_STRING_EQUAL(name, "keeld");
    CU_ASSERT_EQUAL(megabytes, 84);
    CU_ASSERT(hugepages_holder("Name:\ta b\nHugetlbPages:\t2048 kB\n", name, &megabytes));
    CU_ASSERT_STRING_EQUAL(name, "a b");
    CU_ASSERT(!hugepages_holder("Name:\tsh\nHugetlbPages:\t       0 kB\n", name, &megabytes));
    CU_ASSERT(!hugepages_holder("Name:\tkthreadd\n", name, &megabytes));
    CU_ASSERT(!hugepages_holder("", name, &megabytes));
}

static void test_was(void)
{
    struct hugepages_was was = {.before = 7, .added = 40, .overcommit = UINT64_MAX}, read;
    char words[UNDO_WORDS_MAX];
    hugepages_write_was(&was, words);
    CU_ASSERT(hugepages_read_was(&read, words));
    CU_ASSERT(read.before == 7 && read.added == 40 && read.overcommit == UINT64_MAX);
    strcat(words, " ");
    CU_ASSERT(!hugepages_read_was(&read, words));
    CU_ASSERT(!hugepages_read_was(&read, "size_kb=2048 before=7 added=40"));
    CU_ASSERT(!hugepages_read_was(&read, "size_kb=1048576 before=7 added=40 overcommit=0"));
    CU_ASSERT(!hugepages_read_was(&read, ""));
}

static void test_undone(void)
{
    const struct hugepages_was was = {.before = 10, .added = 40};
    CU_ASSERT_EQUAL(hugepages_undone(&was, 50), 10);
    CU_ASSERT_EQUAL(hugepages_undone(&was, 66), 26); /* others added 16 since */
    CU_ASSERT_EQUAL(hugepages_undone(&was, 30), 10); /* others took 20 away */
    CU_ASSERT_EQUAL(hugepages_undone(&was, 10), 10); /* the crash came before the change */
    CU_ASSERT_EQUAL(hugepages_undone(&was, 4), 4);
}

static void test_missing(void)
{
    const struct need asked = {.window_huge = 40};
    CU_ASSERT_EQUAL(need_missing(&asked, 0, 0), 40);
    CU_ASSERT_EQUAL(need_missing(&asked, 39, 78), 1);
    CU_ASSERT_EQUAL(need_missing(&asked, 40, 80), 0);
    CU_ASSERT_EQUAL(need_missing(&asked, 0, 4096), 40); /* the window takes no larger ones */
    const struct need both = {.window_huge = 40, .dpdk_mb = 21};
    CU_ASSERT_EQUAL(need_missing(&both, 0, 0), 51);
    CU_ASSERT_EQUAL(need_missing(&both, 50, 100), 1);
    CU_ASSERT_EQUAL(need_missing(&both, 51, 102), 0);
    CU_ASSERT_EQUAL(need_missing(&both, 40, 80 + 1024), 0); /* DPDK takes the one of 1 GiB */
    CU_ASSERT_EQUAL(need_missing(&both, 39, 78 + 1024), 1);
    CU_ASSERT(need_dpdk_fits(&both, 39, 78)); /* the window fits not, and leaves all to DPDK */
    CU_ASSERT(!need_dpdk_fits(&both, 40, 80));
    CU_ASSERT(!need_dpdk_fits(&both, 50, 100));
    CU_ASSERT(need_dpdk_fits(&both, 51, 102));
}

static void test_undo_text(void)
{
    static struct undo undo;
    const char *good = "keel-host undo 1\n"
                       "hugepages all 0123-45 size_kb=2048 before=0 added=4 overcommit=0\n"
                       "hugepages node1 0123-45 words\n";
    CU_ASSERT(undo_parse(&undo, "keel-host undo 1\n") && undo.count == 0);
    CU_ASSERT(undo_parse(&undo, good) && undo.count == 2);
    const struct undo_line *line = undo_find(&undo, "hugepages", "all");
    CU_ASSERT(line != NULL &&
              strcmp(line->words, "size_kb=2048 before=0 added=4 overcommit=0") == 0 &&
              strcmp(line->boot, "0123-45") == 0);
    CU_ASSERT(undo_find(&undo, "hugepages", "node0") == NULL);
    CU_ASSERT(undo_find(&undo, "hugepage", "all") == NULL);
    CU_ASSERT(!undo_parse(&undo, ""));
    CU_ASSERT(!undo_parse(&undo, "keel-host undo 2\n"));
    CU_ASSERT(!undo_parse(&undo, "keel-host undo 1\nhugepages all 0123\n"));
    CU_ASSERT(!undo_parse(&undo, "keel-host undo 1\nhugepages all 0123 words")); /* cut off */
    char many[128 * UNDO_LINES_MAX] = "keel-host undo 1\n";
    for (int i = 0; i < UNDO_LINES_MAX; i++)
        sprintf(many + strlen(many), "stage thing%d boot words\n", i);
    CU_ASSERT(undo_parse(&undo, many) && undo.count == UNDO_LINES_MAX);
    strcat(many, "stage more boot words\n");
    CU_ASSERT(!undo_parse(&undo, many));
}

static void test_undo_file(void)
{
    static struct undo undo, other;
    char folder[] = "/tmp/keel-undo-XXXXXX", path[64], lock[80], why[HOST_WHY_MAX] = "";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/keel/undo", folder);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    CU_ASSERT_FATAL(undo_open(&undo, path, why, sizeof(why)));
    CU_ASSERT(!undo_open(&other, path, why, sizeof(why)) && strstr(why, "another") != NULL);
    CU_ASSERT(undo_note(&undo, "hugepages", "all", "first", why, sizeof(why)));
    CU_ASSERT(undo_note(&undo, "hugepages", "all", "second", why, sizeof(why)));
    CU_ASSERT(undo_note(&undo, "hugepages", "node0", "third", why, sizeof(why)));
    undo_close(&undo);
    CU_ASSERT_FATAL(undo_open(&other, path, why, sizeof(why)));
    CU_ASSERT_EQUAL(other.count, 2);
    CU_ASSERT_STRING_EQUAL(undo_find(&other, "hugepages", "all")->words, "second");
    CU_ASSERT_STRING_EQUAL(undo_find(&other, "hugepages", "all")->boot, other.boot);
    CU_ASSERT(undo_forget(&other, "hugepages", "all", why, sizeof(why)));
    CU_ASSERT_STRING_EQUAL(undo_find(&other, "hugepages", "node0")->words, "third");
    CU_ASSERT(undo_forget(&other, "hugepages", "node0", why, sizeof(why)));
    CU_ASSERT(undo_forget(&other, "hugepages", "node0", why, sizeof(why)));
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    undo_close(&other);
    unlink(lock);
    snprintf(path, sizeof(path), "%s/keel", folder);
    CU_ASSERT_EQUAL(rmdir(path), 0); /* nothing else is left */
    rmdir(folder);
}

static void test_report(void)
{
    static struct report report;
    struct finding *f = report_add(&report, VERDICT_PASS, "stage", "check");
    CU_ASSERT_EQUAL(report_code(&report), 0);
    report_text(f->found, "%s", "a\x1b[31m\xff\n");
    report_more(f->found, "%s", ", b\t");
    CU_ASSERT_STRING_EQUAL(f->found, "a?[31m??, b?");
    char large[2 * REPORT_TEXT_MAX];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    report_more(f->found, "%s", large);
    report_more(f->found, "%s", large);
    CU_ASSERT_EQUAL(strlen(f->found), REPORT_TEXT_MAX - 1);
    report_add(&report, VERDICT_SKIP, "stage", "skipped");
    CU_ASSERT_EQUAL(report_code(&report), 0);
    report_add(&report, VERDICT_WARN, "stage", "warned");
    CU_ASSERT_EQUAL(report_code(&report), 1);
    report_add(&report, VERDICT_FAIL, "stage", "failed");
    report_add(&report, VERDICT_PASS, "stage", "passed");
    CU_ASSERT_EQUAL(report_code(&report), 2);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"the kernel's lists of cores", test_list},
        {"who holds hugepages", test_holder},
        {"what was there, as words", test_was},
        {"undo takes away what was added", test_undone},
        {"missing pages are counted as keeld takes them", test_missing},
        {"the undo file's text", test_undo_text},
        {"the undo file: replaced whole, locked, gone with its last line", test_undo_file},
        {"findings: printable, bounded, the worst decides", test_report},
        {0}};
    return unit_main("nic_hugepages", tests);
}
