/* The same log must make the same state everywhere. Each replica tells the others its machine's
 * digest at round indexes; whoever finds that a majority of the voters agrees on another value
 * than its own is the odd one out, and stops. Compared by majority, never against the leader: it
 * may be the wrong one. Its own second instance is compared too: control's machine with seq's,
 * which answers.
 *
 * Two replicas tell at different times and stand at different indexes. So each tells its newest
 * index that is a multiple of 2^4, of 2^8, of 2^12 and of 2^16: at some of these steps the others
 * tell the same, however fast the log grows.
 */
#include "control/control_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const uint8_t steps[PACKET_DIGESTS] = {4, 8, 12, 16};

static struct control_digest_mark *own_mark(struct control *c, uint32_t level, uint64_t index)
{
    return &c->digests.own[level][(index >> steps[level]) % CONTROL_DIGESTS_KEPT];
}

static uint64_t own_digest(struct control *c, uint32_t level, uint64_t index)
{
    const struct control_digest_mark *mark = own_mark(c, level, index);
    return mark->index == index ? mark->digest : 0;
}

static __attribute__((format(printf, 2, 3))) void stop(struct control *c, const char *format, ...)
{
    struct command *command = c->digests.stopped ? NULL : control_command(c, COMMAND_STOP);
    if (command == NULL)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf((char *)command->u.bytes, sizeof(command->u.bytes), format, args);
    va_end(args);
    control_command_send(c);
    c->digests.stopped = true;
}

static uint32_t voters(const struct control *c)
{
    const struct entry_config *config = control_config(c);
    return config->voters | config->voters_new;
}

/* Voters that tell `digest` for that index, perhaps this one among them. */
static uint32_t count_telling(struct control *c, uint32_t level, uint64_t index, uint64_t digest)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct control_digest_mark *told = &c->digests.told[id][level];
        bool tells = id == c->replica->id ? own_digest(c, level, index) == digest
                                          : told->index == index && told->digest == digest;
        count += tells && (voters(c) >> id & 1) != 0;
    }
    return count;
}

/* What a replica told, against what is known here for that index. */
static void compare(struct control *c, uint32_t level, uint32_t from)
{
    const struct control_digest_mark *told = &c->digests.told[from][level];
    uint64_t mine = own_digest(c, level, told->index);
    if (mine == 0 || told->index == 0)
        return; /* not there yet, or too long ago */
    if (mine == told->digest) {
        c->status.digests_equal++;
        c->status.digest_differs &= ~(1u << from);
        return;
    }
    c->status.digest_differs |= 1u << from;
    if (count_telling(c, level, told->index, told->digest) >
        (uint32_t)__builtin_popcount(voters(c)) / 2)
        stop(c,
             "a majority's state at index %llu has digest %016llx, this replica's %016llx: its log "
             "or memory is damaged; keep the ring, replace the replica",
             (unsigned long long)told->index, (unsigned long long)told->digest,
             (unsigned long long)mine);
}

void digests_told(struct control *c, const struct notice *notice)
{
    uint32_t from = notice->u.digests.from;
    for (uint32_t level = 0; level < PACKET_DIGESTS; level++) {
        uint64_t index = notice->u.digests.body.mark[level].index;
        if (index == 0 || index % (1ull << steps[level]) != 0)
            continue;
        c->digests.told[from][level] = (struct control_digest_mark){
            .index = index, .digest = notice->u.digests.body.mark[level].digest};
        compare(c, level, from);
    }
}

void digests_applied(struct control *c)
{
    uint64_t index = c->machine->applied;
    for (uint32_t level = 0; level < PACKET_DIGESTS && index % (1ull << steps[level]) == 0;
         level++) {
        *own_mark(c, level, index) =
            (struct control_digest_mark){.index = index, .digest = c->machine->digest};
        c->digests.newest[level] = index;
        for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
            if (c->digests.told[id][level].index == index)
                compare(c, level, id);
    }
}

static bool tell(struct control *c, uint32_t id)
{
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return false;
    struct packet_digests body;
    memset(&body, 0, sizeof(body));
    for (uint32_t level = 0; level < PACKET_DIGESTS; level++) {
        const struct control_digest_mark *mark = own_mark(c, level, c->digests.newest[level]);
        body.mark[level].index = mark->index;
        body.mark[level].digest = mark->digest;
    }
    command->principal = id;
    command->packet_kind = PACKET_DIGESTS_TELL;
    command->size = sizeof(body);
    memcpy(command->u.bytes, &body, sizeof(body));
    control_command_send(c);
    return true;
}

/* seq's machine notes its digest at each index of the lowest step. */
static void compare_own(struct control *c)
{
    uint64_t index = c->seen.mark_index;
    uint64_t mine = index != 0 ? own_digest(c, 0, index) : 0;
    if (mine == 0 || mine == c->seen.mark_digest)
        return;
    stop(c,
         "this replica's two machines differ at index %llu (%016llx, %016llx): its memory is "
         "damaged; restart it, and replace the host if it happens again",
         (unsigned long long)index, (unsigned long long)c->seen.mark_digest,
         (unsigned long long)mine);
}

void digests_publish(struct control *c)
{
    for (uint32_t level = 0; level < PACKET_DIGESTS; level++) {
        c->digests.told[c->replica->id][level] = *own_mark(c, level, c->digests.newest[level]);
        for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
            const struct control_digest_mark *told = &c->digests.told[id][level];
            c->status.digest_told[id][level] = *told;
            c->status.digest_own[id][level] =
                told->index != 0 ? own_digest(c, level, told->index) : 0;
        }
    }
}

uint32_t digests_turn(struct control *c)
{
    uint32_t work = 0;
    compare_own(c);
    if (c->digests.newest[0] == 0 || c->now_ns < c->digests.tell_at_ns)
        return 0;
    c->digests.tell_at_ns = c->now_ns + CONTROL_DIGESTS_MS * 1000000ull;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (id != c->replica->id && control_member(c, id) != 0)
            work += tell(c, id);
    return work;
}
