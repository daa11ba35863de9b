/* `backup` over the admin socket: control encodes its state once, the asker fetches it piece by
 * piece, in any order and as often as it likes, until another asker takes one. The admin thread's.
 */
#ifndef KEEL_ADMIN_BACKUP_H
#define KEEL_ADMIN_BACKUP_H

#include "control/admin_request.h"
#include "control/control.h"

#include <jansson.h>

enum {
    ADMIN_BACKUP_PIECE = 384 << 10, /* bytes of one answer, in hex twice that */
    ADMIN_BACKUP_HELD_MS = 10000    /* one that nobody fetched from so long gives way to another */
};

struct admin_backup {
    uint64_t id;      /* of the one that is wanted or held; 0: none yet */
    uint64_t used_ms; /* last asked about */
};

/* Has one taken. ADMIN_BUSY while another is being fetched. */
enum admin_error admin_backup_begin(struct admin_backup *backup, struct control *control,
                                    uint64_t now_ms, char *why);
/* What was taken, in numbers, with its id and size; NULL: not yet. The caller's. */
json_t *admin_backup_taken(const struct admin_backup *backup, const struct control *control);
/* The bytes from request->offset on, as many as a piece holds. */
enum admin_error admin_backup_piece(struct admin_backup *backup, const struct control *control,
                                    uint64_t now_ms, const struct admin_request *request,
                                    json_t **result, char *why);

#endif
