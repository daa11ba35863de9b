/* What was there before keel-host changed it, in a file, so that `undo` can put it back.
 *
 * A line for each thing: stage, thing, the boot during which it was changed, and the stage's own
 * words. The file is replaced whole and made durable before the host is changed. Its lock is held
 * from undo_open() to undo_close(): one keel-host at a time changes a host.
 */
#ifndef KEEL_NIC_UNDO_H
#define KEEL_NIC_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNDO_LINES_MAX = 64, UNDO_NAME_MAX = 32, UNDO_BOOT_MAX = 40, UNDO_WORDS_MAX = 160 };
#define UNDO_PATH "/var/lib/keel-host/undo"

struct undo_line {
    char stage[UNDO_NAME_MAX], thing[UNDO_NAME_MAX]; /* without blanks */
    char boot[UNDO_BOOT_MAX];
    char words[UNDO_WORDS_MAX]; /* one line */
};

struct undo {
    char path[256];
    int lock;
    char boot[UNDO_BOOT_MAX]; /* the running one */
    uint32_t count;
    struct undo_line line[UNDO_LINES_MAX];
};

/* Takes the lock and reads the file; none is as good as an empty one. False: *why says what and
 * what to do. */
bool undo_open(struct undo *undo, const char *path, char *why, size_t size);
void undo_close(struct undo *undo);

/* NULL: nothing is noted. */
const struct undo_line *undo_find(const struct undo *undo, const char *stage, const char *thing);
/* Notes or replaces; durable when it returns true. */
bool undo_note(struct undo *undo, const char *stage, const char *thing, const char *words,
               char *why, size_t size);
/* Forgets a line, if there is one; durable when it returns true. The last one takes the file along.
 */
bool undo_forget(struct undo *undo, const char *stage, const char *thing, char *why, size_t size);

/* Parses the text of a file; false: it is not one. For undo_open() and tests. */
bool undo_parse(struct undo *undo, const char *text);

#endif
