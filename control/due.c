/* Lock-delays and waits that are over, at the leader alone: it proposes an entry that lets apply
 * look (H3: log time alone decides; come too early, the entry changes nothing and another follows).
 */
#include "control/control_internal.h"

void due_applied(struct control *c)
{
    c->due_applied = c->machine->log_ns;
    c->due_at_ns = c->now_ns;
    c->nodes_touched |= c->outcome.nodes_touched;
    if (c->outcome.nodes_touched)
        c->due_known = false;
}

uint32_t due_turn(struct control *c)
{
    if (c->machine->due.first == 0 || !control_leads(c) || c->machine->noop_term != c->seen.term ||
        c->now_ns < c->due_proposed_ns + CONTROL_EXPIRE_SCAN_MS * 1000000ull)
        return 0;
    if (!c->due_known) {
        c->due_log_ns = machine_due_log_ns(c->machine);
        c->due_known = true;
    }
    uint64_t log_ns = c->due_applied + (c->now_ns - c->due_at_ns); /* about what seq would stamp */
    if (log_ns < c->due_log_ns)
        return 0;
    const struct entry_due body = {.term = c->machine->noop_term};
    if (!control_propose(c, PROPOSER_DUE, 0, ENTRY_DUE, &body, sizeof(body), 0))
        return 0;
    c->due_proposed_ns = c->now_ns;
    c->status.dues_proposed++;
    return 1;
}
