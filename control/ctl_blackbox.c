/* `keelctl blackbox FILE`: what keeld left behind when it went down. */
#include "control/blackbox.h"
#include "control/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *signal_word(uint32_t number)
{
    const char *word = number < 64 ? sigabbrev_np((int)number) : NULL;
    return word != NULL ? word : "?";
}

static json_t *replica_object(const struct blackbox_replica *s)
{
    return json_pack(
        "{s:b,s:s,s:i,s:I,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:s}", "whole",
        (int)s->whole, "role", s->role, "leader", (int)s->leader, "term", (json_int_t)s->term,
        "vote", (int)s->vote, "commit_index", (json_int_t)s->commit, "applied_index",
        (json_int_t)s->applied, "last_index", (json_int_t)s->last_index, "first_index",
        (json_int_t)s->first_index, "durable_index", (json_int_t)s->durable_index, "last_lsn",
        (json_int_t)s->last_lsn, "durable_lsn", (json_int_t)s->durable_lsn, "feed_next",
        (json_int_t)s->feed_next, "quorum_age_ms", (json_int_t)(s->quorum_age_ns / 1000000),
        "uptime_ms", (json_int_t)(s->uptime_ns / 1000000), "turns", (json_int_t)s->turns, "stopped",
        (int)s->stopped, "drive_failed", (int)s->failed, "stopped_why", s->why);
}

static json_t *events_array(const struct blackbox *box)
{
    json_t *list = json_array();
    for (uint64_t i = 0; i < box->event_count; i++) {
        const struct journal_event *e = &box->event[i];
        json_array_append_new(
            list, json_pack("{s:I,s:I,s:s,s:s,s:s}", "number", (json_int_t)e->number, "utc_ns",
                            (json_int_t)e->utc_ns, "level", log_level_name(e->level), "event",
                            e->name, "text", e->text));
    }
    return list;
}

static json_t *frames_array(const struct blackbox *box)
{
    json_t *list = json_array();
    char text[20];
    for (uint64_t i = 0; i < box->frame_count; i++) {
        snprintf(text, sizeof(text), "0x%" PRIx64, box->frame[i]);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static int print_object(const struct blackbox *box)
{
    char address[20];
    const struct blackbox_control *c = &box->control;
    snprintf(address, sizeof(address), "0x%" PRIx64, box->address);
    json_t *to = json_pack(
        "{s:s,s:s,s:i,s:s,s:s,s:I,s:s,s:I,s:I,s:I}", "cause",
        box->signal == 0 ? "ensure" : "signal", "file", box->file, "line", (int)box->line,
        "condition", box->condition, "signal", box->signal == 0 ? "" : signal_word(box->signal),
        "utc_ns", (json_int_t)box->utc_ns, "thread", box->thread, "replica",
        (json_int_t)box->replica, "pid", (json_int_t)box->pid, "boot", (json_int_t)box->boot);
    json_object_set_new(to, "address", box->signal == 0 ? json_null() : json_string(address));
    json_object_set_new(to, "version", json_string(box->keel));
    json_object_set_new(to, "packet_version", json_integer(box->packet_version));
    json_object_set_new(to, "ring_version", json_integer(box->ring_version));
    json_object_set_new(to, "genesis_version", json_integer(box->genesis_version));
    json_object_set_new(to, "admin_protocol", json_integer(box->admin_version));
    json_object_set_new(to, "state", replica_object(&box->state));
    json_object_set_new(to, "control",
                        json_pack("{s:b,s:I,s:I,s:I,s:s}", "whole", (int)c->whole, "applied_index",
                                  (json_int_t)c->applied, "checkpoint_index",
                                  (json_int_t)c->checkpoint_index, "checkpoint_older_index",
                                  (json_int_t)c->checkpoint_older_index, "problem", c->problem));
    json_object_set_new(to, "frames", frames_array(box));
    json_object_set_new(to, "events", events_array(box));
    int code = ctl_print_json(to);
    json_decref(to);
    return code;
}

static void print_text(const struct blackbox *box)
{
    char at[CTL_UTC_TEXT_MAX];
    const struct blackbox_replica *s = &box->state;
    printf("replica %u, keeld %s, boot %" PRIu64 ", process %u, thread %s\n", box->replica,
           box->keel, box->boot, box->pid, box->thread);
    printf("%s  ", ctl_utc_text((json_int_t)box->utc_ns, at));
    if (box->signal == 0)
        printf("%s:%u: ENSURE failed: %s\n", box->file, box->line, box->condition);
    else
        printf("signal SIG%s, address 0x%" PRIx64 "\n", signal_word(box->signal), box->address);
    printf("state%s\n", s->whole ? "" : " (caught half-written: numbers may not fit together)");
    json_t *state = replica_object(s);
    json_object_del(state, "whole");
    ctl_print_pairs(state, 2);
    json_decref(state);
    printf("  control applied  %" PRIu64 ", checkpoint %" PRIu64 "%s%s\n", box->control.applied,
           box->control.checkpoint_index, box->control.problem[0] != '\0' ? ": " : "",
           box->control.problem);
    printf("where (addr2line -fie keeld ...)\n ");
    for (uint64_t i = 0; i < box->frame_count; i++)
        printf(" 0x%" PRIx64, box->frame[i]);
    printf("\nlast events\n");
    for (uint64_t i = 0; i < box->event_count; i++)
        printf("  %" PRIu64 " %s %s %s %s\n", box->event[i].number,
               ctl_utc_text((json_int_t)box->event[i].utc_ns, at),
               log_level_name(box->event[i].level), box->event[i].name, box->event[i].text);
}

int ctl_blackbox(struct ctl *ctl)
{
    struct blackbox *box = calloc(1, sizeof(*box) + 1); /* a byte more: a longer file is none */
    if (box == NULL)
        return ctl_fail(CTL_FAILED, "out of memory");
    int fd = open(ctl->word[0], O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, box, sizeof(*box) + 1) : -1;
    int error = errno, code = CTL_DONE;
    if (fd >= 0)
        close(fd);
    const char *why = got < 0 ? strerror(error) : blackbox_check(box, (uint64_t)got);
    if (why != NULL)
        code = ctl_fail(CTL_FAILED, "blackbox: %s: %s", ctl->word[0], why);
    else if (ctl->json)
        code = print_object(box);
    else
        print_text(box);
    free(box);
    return code;
}
