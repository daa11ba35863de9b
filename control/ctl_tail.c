#include "control/ctl_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int ctl_tail_open(struct ctl_tail *t)
{
    int fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    t->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (t->file != NULL)
        return CTL_DONE;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return ctl_fail(CTL_FAILED, "recover: --tail %s: %s: name a new file", t->path,
                    strerror(error));
}

static void put_head(struct ctl_tail *t, const char *what, const struct machine *machine,
                     uint64_t feed, uint64_t index)
{
    int size = KEEL_DAY_NAME_SIZE;
    while (size > 1 && machine->day[size - 1] == ' ')
        size--;
    fprintf(t->file, "%s %.*s %" PRIu64 " %" PRIu64, what, size, machine->day, feed, index);
    t->count++;
}

static const char *known(const struct ctl_tail *t, uint64_t index)
{
    return index <= t->commit ? "committed" : "unknown";
}

/* Block k of the entry took the feed number `feed`. */
static void put_message(struct ctl_tail *t, const struct machine *machine,
                        const struct entry *entry, uint64_t k, uint64_t feed)
{
    const struct entry_messages *m = entry_body(entry);
    const uint8_t *bytes = NULL;
    uint32_t offset = 0;
    uint16_t size = 0;
    for (uint64_t i = 0; i <= k; i++) /* bound: count */
        bytes = entry_block_next(entry, &offset, &size);
    put_head(t, "message", machine, feed, entry->index);
    fprintf(t->file, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s ", m->session, m->number + k,
            machine->utc_ns, known(t, entry->index));
    for (uint16_t i = 0; i < size; i++)
        fprintf(t->file, "%02x", bytes[i]);
    fputc('\n', t->file);
}

void ctl_tail_applied(void *context, const struct machine *machine, const struct entry *entry,
                      const struct machine_outcome *o)
{
    struct ctl_tail *t = context;
    if (o->session_ended) {
        const struct machine_session *s = machine_session_at(machine, o->slot);
        put_head(t, "end", machine, o->feed_before, entry->index);
        fprintf(t->file, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", s->id, s->last,
                machine->utc_ns, known(t, entry->index));
    }
    if (entry->kind != ENTRY_MESSAGES)
        return;
    const struct entry_messages *m = entry_body(entry);
    for (uint32_t i = 0; i < o->run_count; i++) {
        const struct packet_result_run *run = &o->run[i];
        for (uint32_t k = 0; run->status == MACHINE_SEQUENCED && k < run->count; k++)
            put_message(t, machine, entry, run->number - m->number + k, run->feed + k);
    }
}

int ctl_tail_close(struct ctl_tail *t, int code)
{
    bool good = fflush(t->file) == 0 && ferror(t->file) == 0 && fsync(fileno(t->file)) == 0;
    int error = errno;
    good = fclose(t->file) == 0 && good;
    t->file = NULL;
    if (code == CTL_DONE && !good)
        code = ctl_fail(CTL_FAILED, "recover: --tail %s: %s: make room, or name another file",
                        t->path, strerror(error));
    if (code != CTL_DONE)
        unlink(t->path);
    return code;
}
