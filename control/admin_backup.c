#include "control/admin_backup.h"

#include "control/backup_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum admin_error admin_backup_begin(struct admin_backup *b, struct control *control,
                                    uint64_t now_ms, char *why)
{
    uint64_t size;
    bool wanted = b->id != 0 && control_backup_held(control, &size) == NULL;
    if (b->id != 0 && (wanted || now_ms - b->used_ms < ADMIN_BACKUP_HELD_MS)) {
        snprintf(why, ADMIN_WHY_MAX, "another backup is being fetched: ask again when it is done");
        return ADMIN_BUSY;
    }
    /* not the id of one that this or an earlier process took */
    b->id = b->id >= now_ms ? b->id + 1 : now_ms;
    b->used_ms = now_ms;
    control_backup_want(control);
    return ADMIN_OK;
}

json_t *admin_backup_taken(const struct admin_backup *b, const struct control *control)
{
    struct backup_head head;
    uint64_t size;
    const uint8_t *bytes = control_backup_held(control, &size);
    if (bytes == NULL)
        return NULL;
    memcpy(&head, bytes, sizeof(head));
    return json_pack("{s:I,s:I,s:I,s:I}", "backup", (json_int_t)b->id, "size", (json_int_t)size,
                     "index", (json_int_t)head.index, "term", (json_int_t)head.term);
}

static char *hex(const uint8_t *bytes, size_t size)
{
    static const char digit[] = "0123456789abcdef";
    char *text = malloc(2 * size + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digit[bytes[i] >> 4];
        text[2 * i + 1] = digit[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

enum admin_error admin_backup_piece(struct admin_backup *b, const struct control *control,
                                    uint64_t now_ms, const struct admin_request *request,
                                    json_t **result, char *why)
{
    uint64_t size = 0;
    const uint8_t *bytes = control_backup_held(control, &size);
    if (bytes == NULL || request->backup != b->id) {
        snprintf(why, ADMIN_WHY_MAX,
                 "that backup is held no longer: keeld was restarted, or another was taken");
        return ADMIN_FAILED;
    }
    if (request->offset >= size) {
        snprintf(why, ADMIN_WHY_MAX, "the backup ends before that offset");
        return ADMIN_BAD_REQUEST;
    }
    uint64_t left = size - request->offset;
    size_t count = left < ADMIN_BACKUP_PIECE ? (size_t)left : ADMIN_BACKUP_PIECE;
    char *text = hex(bytes + request->offset, count);
    if (text == NULL) {
        snprintf(why, ADMIN_WHY_MAX, "out of memory");
        return ADMIN_BUSY;
    }
    *result = json_pack("{s:I,s:I,s:s}", "backup", (json_int_t)b->id, "offset",
                        (json_int_t)request->offset, "hex", text);
    free(text);
    /* whoever has the end of it is done */
    b->used_ms = count == left ? now_ms - ADMIN_BACKUP_HELD_MS : now_ms;
    return ADMIN_OK;
}
