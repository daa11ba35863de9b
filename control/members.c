/* Where the other replicas are. Of two replicas the lower id greets the higher, and a greeting
 * needs an address: the log's configuration has it. Who joins has no log yet, and who was away an
 * old one; so each replica tells all others that it shares keys with whom it knows as members.
 */
#include "control/control_internal.h"

#include <string.h>

const struct entry_member *members_at(const struct control *c, uint32_t id)
{
    const struct entry_member *own = &control_config(c)->member[id];
    const struct entry_member *told = &c->told.config.member[id];
    bool newer = c->told.index > c->seen.config_index;
    if (told->incarnation != 0 && (newer || own->incarnation == 0))
        return told;
    return own->incarnation != 0 ? own : NULL;
}

void members_told(struct control *c, const struct notice *notice)
{
    const struct packet_members *body = &notice->u.members;
    if (body->index > c->told.index || c->told.config.voters == 0)
        c->told = *body;
}

static bool tell(struct control *c, uint32_t id)
{
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return false;
    struct packet_members body = {.index = c->machine->config_index, .config = c->machine->config};
    command->principal = id;
    command->packet_kind = PACKET_MEMBERS_TELL;
    command->size = sizeof(body);
    memcpy(command->u.bytes, &body, sizeof(body));
    control_command_send(c);
    return true;
}

uint32_t members_turn(struct control *c)
{
    uint32_t work = 0;
    if (c->seen.started_ns == 0 || c->now_ns < c->tell_members_at_ns)
        return 0;
    c->tell_members_at_ns = c->now_ns + CONTROL_MEMBERS_MS * 1000000ull;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (id != c->replica->id && c->seen.assoc_heard_ns[id] != 0)
            work += tell(c, id);
    return work;
}
