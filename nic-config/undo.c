#include "nic-config/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char first_line[] = "keel-host undo 1\n";

enum { TEXT_MAX = sizeof(first_line) + UNDO_LINES_MAX * sizeof(struct undo_line) };

static bool problem(char *why, size_t size, const char *path, const char *what, int error)
{
    snprintf(why, size, "%s: %s: %s", path, what, strerror(error));
    return false;
}

/* "stage thing boot words to the end of the line" */
static bool parse_line(struct undo_line *line, const char *text, size_t size)
{
    char copy[sizeof(*line)];
    int words = -1;
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (sscanf(copy, "%31s %31s %39s %n", line->stage, line->thing, line->boot, &words) != 3 ||
        words < 0 || copy[words] == '\0' || strlen(copy + words) >= UNDO_WORDS_MAX)
        return false;
    snprintf(line->words, sizeof(line->words), "%s", copy + words);
    return true;
}

bool undo_parse(struct undo *undo, const char *text)
{
    undo->count = 0;
    if (strncmp(text, first_line, sizeof(first_line) - 1) != 0)
        return false;
    text += sizeof(first_line) - 1;
    while (*text != '\0') { /* bound: the text's length */
        const char *end = strchr(text, '\n');
        if (end == NULL || undo->count == UNDO_LINES_MAX ||
            !parse_line(&undo->line[undo->count], text, (size_t)(end - text)))
            return false;
        undo->count++;
        text = end + 1;
    }
    return true;
}

static bool read_boot(struct undo *undo, char *why, size_t size)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fscanf(file, "%39s", undo->boot) == 1;
    if (file != NULL)
        fclose(file);
    return read || problem(why, size, path, "reading which boot this is", errno);
}

static bool read_file(struct undo *undo, char *why, size_t size)
{
    char text[TEXT_MAX + 1];
    FILE *file = fopen(undo->path, "re");
    if (file == NULL && errno == ENOENT)
        return true;
    if (file == NULL)
        return problem(why, size, undo->path, "reading what was there before", errno);
    size_t got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[got] = '\0';
    if (undo_parse(undo, text))
        return true;
    snprintf(why, size,
             "%s: this is not what keel-host writes there: look at it; without it nothing can be "
             "undone",
             undo->path);
    return false;
}

/* Makes the folder that the file is in: the last one of its path only. */
static bool make_folder(const char *path, char *why, size_t size)
{
    char copy[sizeof(((struct undo *)0)->path)];
    snprintf(copy, sizeof(copy), "%s", path);
    char *folder = dirname(copy);
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return problem(why, size, folder, "making the folder", errno);
    return true;
}

bool undo_open(struct undo *undo, const char *path, char *why, size_t size)
{
    char lock[sizeof(undo->path) + 8];
    memset(undo, 0, sizeof(*undo));
    undo->lock = -1;
    if (strlen(path) >= sizeof(undo->path))
        return problem(why, size, path, "the name of the file", ENAMETOOLONG);
    snprintf(undo->path, sizeof(undo->path), "%s", path);
    if (!make_folder(path, why, size) || !read_boot(undo, why, size))
        return false;
    snprintf(lock, sizeof(lock), "%s.lock", path);
    undo->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (undo->lock < 0)
        return problem(why, size, lock, "opening the lock", errno);
    if (flock(undo->lock, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, size, "%s: another keel-host is at work: wait for it", lock);
        undo_close(undo);
        return false;
    }
    if (read_file(undo, why, size))
        return true;
    undo_close(undo);
    return false;
}

void undo_close(struct undo *undo)
{
    if (undo->lock >= 0)
        close(undo->lock);
    undo->lock = -1;
}

static struct undo_line *find(struct undo *undo, const char *stage, const char *thing)
{
    for (uint32_t i = 0; i < undo->count; i++)
        if (strcmp(undo->line[i].stage, stage) == 0 && strcmp(undo->line[i].thing, thing) == 0)
            return &undo->line[i];
    return NULL;
}

const struct undo_line *undo_find(const struct undo *undo, const char *stage, const char *thing)
{
    return find((struct undo *)(uintptr_t)undo, stage, thing);
}

static bool sync_folder(const char *path, char *why, size_t size)
{
    char copy[sizeof(((struct undo *)0)->path)];
    snprintf(copy, sizeof(copy), "%s", path);
    const char *name = dirname(copy);
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = folder >= 0 && fsync(folder) == 0;
    int error = errno;
    if (folder >= 0)
        close(folder);
    return synced || problem(why, size, name, "making the change durable", error);
}

static bool write_file(const struct undo *undo, char *why, size_t size)
{
    char next[sizeof(undo->path) + 8];
    snprintf(next, sizeof(next), "%s.new", undo->path);
    FILE *file = fopen(next, "we");
    if (file == NULL)
        return problem(why, size, next, "writing down what is there now", errno);
    bool written = fputs(first_line, file) >= 0;
    for (uint32_t i = 0; i < undo->count; i++) {
        const struct undo_line *line = &undo->line[i];
        written =
            fprintf(file, "%s %s %s %s\n", line->stage, line->thing, line->boot, line->words) > 0 &&
            written;
    }
    written = fflush(file) == 0 && fsync(fileno(file)) == 0 && written;
    written = fclose(file) == 0 && written && rename(next, undo->path) == 0;
    if (!written)
        return problem(why, size, next, "writing down what is there now", errno);
    return sync_folder(undo->path, why, size);
}

bool undo_note(struct undo *undo, const char *stage, const char *thing, const char *words,
               char *why, size_t size)
{
    struct undo_line *line = find(undo, stage, thing);
    if (line == NULL) {
        if (undo->count == UNDO_LINES_MAX) {
            snprintf(why, size, "%s: it is full: undo first", undo->path);
            return false;
        }
        line = &undo->line[undo->count++];
    }
    snprintf(line->stage, sizeof(line->stage), "%s", stage);
    snprintf(line->thing, sizeof(line->thing), "%s", thing);
    snprintf(line->boot, sizeof(line->boot), "%s", undo->boot);
    snprintf(line->words, sizeof(line->words), "%s", words);
    return write_file(undo, why, size);
}

bool undo_forget(struct undo *undo, const char *stage, const char *thing, char *why, size_t size)
{
    struct undo_line *line = find(undo, stage, thing);
    if (line == NULL)
        return true;
    *line = undo->line[--undo->count];
    if (undo->count > 0)
        return write_file(undo, why, size);
    if (unlink(undo->path) != 0 && errno != ENOENT)
        return problem(why, size, undo->path, "removing it", errno);
    return sync_folder(undo->path, why, size);
}
