/* Messages and configurations in words: for transcripts, traces and counter-examples. */
#include "tests/unit/raft/raft_world.h"

static void print_mask(FILE *out, const char *what, uint32_t mask)
{
    if (mask == 0)
        return;
    fputs(what, out);
    for (unsigned id = 1; id <= RAFT_ID_MAX; id++)
        if ((mask >> id & 1) != 0)
            fprintf(out, " %u", id);
}

void world_print_config(FILE *out, const struct raft_config *config)
{
    print_mask(out, "voters", config->voters);
    print_mask(out, " >", config->voters_new);
    print_mask(out, " learners", config->learners);
}

void world_print_msg(FILE *out, const struct raft_msg *m)
{
    static const char *const kinds[] = {"",           "prevote",     "prevote-reply", "vote",
                                        "vote-reply", "append",      "append-reply",  "chain-ask",
                                        "chain-tell", "timeout-now", "fetch"};
    fprintf(out, "%u>%u ", m->from, m->to);
    switch ((enum raft_msg_kind)m->kind) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
    case RAFT_TIMEOUT_NOW:
        fprintf(out, "%s term %lu last %lu/%lu%s%s", kinds[m->kind], m->term, m->prev_index,
                m->prev_term, m->flags & RAFT_TOLD ? " told" : "",
                m->flags & RAFT_CAREFUL ? " careful" : "");
        return;
    case RAFT_PREVOTE_REPLY:
    case RAFT_VOTE_REPLY:
        fprintf(out, "%s term %lu %s%s", kinds[m->kind], m->term, m->status ? "granted" : "denied",
                m->flags & RAFT_CAREFUL ? " careful" : "");
        return;
    case RAFT_APPEND:
        if (m->count == 0)
            fprintf(out, "heartbeat term %lu prev %lu/%lu commit %lu", m->term, m->prev_index,
                    m->prev_term, m->commit);
        else
            fprintf(out, "append term %lu prev %lu/%lu entries %lu..%lu/%lu commit %lu", m->term,
                    m->prev_index, m->prev_term, m->prev_index + 1, m->prev_index + m->count,
                    m->entry_term, m->commit);
        return;
    case RAFT_FETCH_REPLY:
        fprintf(out, "fetch-reply term %lu %s %lu/%lu", m->term, m->status ? "holds" : "denies",
                m->prev_index, m->prev_term);
        return;
    case RAFT_FETCH:
    case RAFT_CHAIN_ASK:
    case RAFT_CHAIN_TELL:
        fprintf(out, "%s term %lu at %lu/%lu", kinds[m->kind], m->term, m->prev_index,
                m->prev_term);
        return;
    case RAFT_APPEND_REPLY:
        break;
    }
    fprintf(out, "reply term %lu %s", m->term, m->flags & RAFT_UNABLE ? "unable " : "");
    switch ((enum raft_append_status)m->status) {
    case RAFT_APPEND_OK:
        fprintf(out, "ok match %lu held %lu", m->match, m->hint_index);
        return;
    case RAFT_APPEND_STALE_TERM:
        fprintf(out, "stale term");
        return;
    case RAFT_APPEND_MISSING:
        fprintf(out, "missing, last is %lu", m->hint_index);
        return;
    case RAFT_APPEND_CONFLICT:
        fprintf(out, "conflict, term %lu there, go on after %lu", m->hint_term, m->hint_index);
        return;
    case RAFT_APPEND_CHAIN:
        fprintf(out, "another chain at %lu", m->hint_index);
        return;
    case RAFT_APPEND_NO_SPACE:
        fprintf(out, "no space after %lu", m->hint_index);
        return;
    }
}
