#include "control/blackbox.h"

#include <string.h>

const char *blackbox_check(struct blackbox *box, uint64_t bytes)
{
    static const char nothing[sizeof(box->magic)];
    if (bytes >= sizeof(box->magic) && memcmp(box->magic, nothing, sizeof(nothing)) == 0)
        return "nothing was written: that process did not go down by a failed check or a crash";
    if (bytes != sizeof(*box) || memcmp(box->magic, BLACKBOX_MAGIC, sizeof(box->magic)) != 0)
        return "it is no black box, or cut off";
    if (box->version != BLACKBOX_VERSION || box->size != sizeof(*box))
        return "it is of another version: read it with the keelctl that belongs to that keeld";
    box->file[sizeof(box->file) - 1] = '\0';
    box->condition[sizeof(box->condition) - 1] = '\0';
    box->thread[sizeof(box->thread) - 1] = '\0';
    box->keel[sizeof(box->keel) - 1] = '\0';
    box->state.role[sizeof(box->state.role) - 1] = '\0';
    box->state.why[sizeof(box->state.why) - 1] = '\0';
    box->control.problem[sizeof(box->control.problem) - 1] = '\0';
    if (box->event_count > BLACKBOX_EVENTS || box->frame_count > BLACKBOX_FRAMES)
        return "its counts are out of range: it is damaged";
    for (uint64_t i = 0; i < box->event_count; i++) {
        box->event[i].name[sizeof(box->event[i].name) - 1] = '\0';
        box->event[i].text[sizeof(box->event[i].text) - 1] = '\0';
    }
    return NULL;
}
