#include "control/backup_file.h"

#include "dataplane/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_AT = BACKUP_HEAD_SIZE + GENESIS_SIZE };

uint64_t backup_size_max(const struct genesis *genesis)
{
    return STATE_AT + machine_encoded_max(genesis);
}

uint64_t backup_encode(struct backup_head *head, const struct genesis *genesis,
                       const struct machine *machine, uint8_t *bytes, uint64_t cap)
{
    ENSURE(cap >= STATE_AT);
    size_t size = machine_encode(machine, bytes + STATE_AT, cap - STATE_AT);
    ENSURE(size > 0);
    memcpy(bytes + BACKUP_HEAD_SIZE, genesis, GENESIS_SIZE);
    head->magic = BACKUP_MAGIC;
    head->version = BACKUP_VERSION;
    head->cluster_id = machine->cluster_id;
    head->index = machine->applied;
    head->term = machine->applied_term;
    head->digest = machine->digest;
    head->fingerprint = machine_fingerprint(machine);
    head->machine_size = size;
    head->feed_next = machine->feed_next;
    memcpy(head->day, machine->day, sizeof(head->day));
    memset(head->reserved0, 0, sizeof(head->reserved0));
    memset(head->reserved, 0, sizeof(head->reserved));
    head->body_crc = crc32c(bytes + BACKUP_HEAD_SIZE, GENESIS_SIZE + size);
    head->crc = crc32c(head, offsetof(struct backup_head, crc));
    memcpy(bytes, head, sizeof(*head));
    return STATE_AT + size;
}

/* The head alone; NULL: sound. */
static const char *head_problem(const uint8_t *bytes, uint64_t size, struct backup_head *head)
{
    if (size < sizeof(*head))
        return "it is cut off within its head";
    memcpy(head, bytes, sizeof(*head));
    if (head->magic != BACKUP_MAGIC)
        return "it is no backup";
    if (head->version != BACKUP_VERSION)
        return "it is a backup of another version: take the keelctl that made it";
    if (head->crc != crc32c(head, offsetof(struct backup_head, crc)))
        return "its head is damaged (checksum)";
    if (size < STATE_AT || size - STATE_AT < head->machine_size)
        return "it is cut off";
    if (size - STATE_AT > head->machine_size)
        return "there are bytes behind its end";
    if (head->body_crc != crc32c(bytes + BACKUP_HEAD_SIZE, size - BACKUP_HEAD_SIZE))
        return "it is damaged (checksum)";
    return NULL;
}

static const char *genesis_of(const uint8_t *bytes, const struct backup_head *head,
                              struct genesis *genesis)
{
    memcpy(genesis, bytes + BACKUP_HEAD_SIZE, sizeof(*genesis));
    if (genesis->crc != crc32c(genesis, offsetof(struct genesis, crc)))
        return "its genesis record is damaged (checksum)";
    const char *why = genesis_problem(genesis);
    if (why == NULL && genesis->cluster_id != head->cluster_id)
        why = "its genesis record is of another cluster";
    return why;
}

/* Whether the state is what the head says of it. */
static const char *state_problem(const struct machine *m, const struct backup_head *head)
{
    if (m->applied != head->index || m->applied_term != head->term)
        return "its state stands at another index or term than its head says";
    if (m->digest != head->digest || machine_fingerprint(m) != head->fingerprint)
        return "its state has another digest than its head says";
    if (m->feed_next != head->feed_next || memcmp(m->day, head->day, sizeof(head->day)) != 0)
        return "its state has another trading day or feed number than its head says";
    return head->current_term < head->term ? "its head names a term before its last entry's" : NULL;
}

bool backup_decode(const uint8_t *bytes, uint64_t size, struct backup_head *head,
                   struct genesis *genesis, struct machine **machine, char *why)
{
    const char *problem = head_problem(bytes, size, head);
    if (problem == NULL)
        problem = genesis_of(bytes, head, genesis);
    struct machine *m = NULL;
    if (problem == NULL) {
        m = aligned_alloc(64, (machine_size(genesis) + 63) / 64 * 64);
        problem = m == NULL ? "out of memory" /* unreachable: no memory */
                            : machine_decode(m, genesis, bytes + STATE_AT, head->machine_size);
    }
    if (problem == NULL)
        problem = state_problem(m, head);
    if (problem != NULL || machine == NULL) {
        free(m);
        m = NULL;
    }
    if (machine != NULL)
        *machine = m;
    snprintf(why, BACKUP_WHY_MAX, "%s", problem != NULL ? problem : "");
    return problem == NULL;
}
