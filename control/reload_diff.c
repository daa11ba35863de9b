/* What differs between what runs and what the files say. */
#include "control/reload.h"

#include <stdio.h>
#include <string.h>

const char *reload_what_name(uint8_t what)
{
    switch ((enum reload_what)what) {
    case RELOAD_DESTINATION:
        return "destination";
    case RELOAD_CONSUMER:
        return "consumer";
    case RELOAD_KEY:
        return "key";
    }
    return "unknown";
}

const char *reload_how_name(uint8_t how)
{
    switch ((enum reload_how)how) {
    case RELOAD_ADDED:
        return "added";
    case RELOAD_REMOVED:
        return "removed";
    case RELOAD_CHANGED:
        return "changed";
    }
    return "unknown";
}

void reload_change_name(const struct reload_change *change, char text[RELOAD_NAME_MAX])
{
    uint32_t ip = change->ip;
    int at = 0;
    if (change->what == RELOAD_KEY) {
        snprintf(text, RELOAD_NAME_MAX, "%s %u", ip < KEEL_CLIENT_MIN ? "replica" : "client", ip);
        return;
    }
    at = snprintf(text, RELOAD_NAME_MAX, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                  ip & 255);
    if (change->what == RELOAD_DESTINATION)
        snprintf(text + at, (size_t)(RELOAD_NAME_MAX - at), ":%u", change->port);
}

static void note_change(struct reload_report *report, enum reload_what what, enum reload_how how,
                        uint32_t ip, uint16_t port)
{
    ENSURE(report->count < RELOAD_CHANGES_MAX);
    report->change[report->count++] =
        (struct reload_change){.what = (uint8_t)what, .how = (uint8_t)how, .port = port, .ip = ip};
}

/* --- the feed's subscribers
 * ------------------------------------------------------------------------ */

static bool has_destination(const struct feed_options *feed, const struct feed_destination *to)
{
    for (uint32_t i = 0; i < feed->destination_count; i++)
        if (feed->destination[i].ip == to->ip && feed->destination[i].port == to->port)
            return true;
    return false;
}

static bool has_consumer(const struct feed_options *feed, uint32_t ip)
{
    for (uint32_t i = 0; i < feed->consumer_count; i++)
        if (feed->consumer[i] == ip)
            return true;
    return false;
}

/* Notes what stands in `from` and not in `to`. */
static void feed_one_way(const struct feed_options *from, const struct feed_options *to,
                         enum reload_how how, struct reload_report *report)
{
    for (uint32_t i = 0; i < from->destination_count; i++) {
        const struct feed_destination *at = &from->destination[i];
        if (!has_destination(to, at))
            note_change(report, RELOAD_DESTINATION, how, at->ip, at->port);
    }
    for (uint32_t i = 0; i < from->consumer_count; i++)
        if (!has_consumer(to, from->consumer[i]))
            note_change(report, RELOAD_CONSUMER, how, from->consumer[i], 0);
}

void reload_diff_feed(const struct feed_options *old, const struct feed_options *new,
                      struct reload_report *report)
{
    feed_one_way(new, old, RELOAD_ADDED, report);
    feed_one_way(old, new, RELOAD_REMOVED, report);
}

/* --- keys
 * ------------------------------------------------------------------------------------------ */

/* Does every root key of `old` still stand in `new`? */
static bool keeps_roots(const struct keyring_key *old, const struct keyring_key *new)
{
    for (uint32_t i = 0; i < old->key_count; i++) {
        bool kept = false;
        for (uint32_t k = 0; k < new->key_count; k++)
            kept = kept || memcmp(old->key[i], new->key[k], AUTH_ROOT_SIZE) == 0;
        if (!kept)
            return false;
    }
    return true;
}

static void end_associations(struct control_rekey *rekey, uint32_t principal)
{
    ENSURE(rekey->ended_count < sizeof(rekey->ended) / sizeof(rekey->ended[0]));
    rekey->ended[rekey->ended_count++] = principal;
}

/* This side's own key is what its handshakes with higher ids are made with. */
static void end_with_key(struct control_rekey *rekey, uint32_t principal, uint32_t self)
{
    if (principal != self) {
        end_associations(rekey, principal);
        return;
    }
    for (uint32_t id = self + 1; id <= KEEL_REPLICA_MAX; id++)
        end_associations(rekey, id);
}

void reload_diff_keys(const struct keyring *old, const struct keyring *new, uint32_t self,
                      struct reload_report *report, struct control_rekey *rekey)
{
    rekey->keys = new;
    rekey->ended_count = 0;
    for (uint32_t i = 0; i < old->count; i++) {
        const struct keyring_key *was = &old->key[i];
        const struct keyring_key *is = keyring_find(new, was->principal);
        if (is == NULL) {
            note_change(report, RELOAD_KEY, RELOAD_REMOVED, was->principal, 0);
            end_with_key(rekey, was->principal, self);
            continue;
        }
        /* which of two roots an association was made with is not known: one gone ends it */
        bool stays = keeps_roots(was, is) && was->rights == is->rights;
        if (!stays || !keeps_roots(is, was) || memcmp(was->key[0], is->key[0], AUTH_ROOT_SIZE) != 0)
            note_change(report, RELOAD_KEY, RELOAD_CHANGED, was->principal, 0);
        if (!stays)
            end_with_key(rekey, was->principal, self);
    }
    for (uint32_t i = 0; i < new->count; i++)
        if (keyring_find(old, new->key[i].principal) == NULL)
            note_change(report, RELOAD_KEY, RELOAD_ADDED, new->key[i].principal, 0);
    report->ended = rekey->ended_count;
}
