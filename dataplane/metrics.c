#include "dataplane/metrics.h"

const char *drop_name(enum drop drop)
{
    switch (drop) {
    case DROP_BODY:
        return "malformed-body";
    case DROP_KIND:
        return "unknown-kind";
    case DROP_INCARNATION:
        return "other-incarnation";
    case DROP_ENTRY_CRC:
        return "entry-checksum";
    case DROP_CONTROL_FULL:
        return "control-link-full";
    case DROP_FEED_FULL:
        return "feed-link-full";
    case DROP_GATE_FULL:
        return "gate-full";
    case DROP_GATE_TERM:
        return "term-over";
    case DROP_NO_ASSOCIATION:
        return "no-association";
    case DROP_NO_FRAME:
        return "no-buffer";
    case DROP_UNRESOLVED:
        return "unresolved-mac";
    case DROP_NOT_LEADER:
        return "not-leader";
    case DROP_BUSY:
        return "busy";
    case DROP_LIMITED:
        return "limited";
    case DROP_GAP:
        return "number-gap";
    case DROP_IN_FLIGHT:
        return "in-flight";
    case DROP_UNSEEN:
        return "session-unseen";
    case DROP_LEASE_OVER:
        return "lease-over";
    case DROP_ANSWERS_FULL:
        return "answers-full";
    case DROP_COUNT:
        break;
    }
    return "unknown";
}

const char *stage_name(enum stage stage)
{
    switch (stage) {
    case STAGE_APPEND:
        return "append";
    case STAGE_DURABLE:
        return "durable";
    case STAGE_QUORUM:
        return "quorum";
    case STAGE_APPLIED:
        return "applied";
    case STAGE_SENT:
        return "sent";
    case STAGE_COUNT:
        break;
    }
    return "unknown";
}
