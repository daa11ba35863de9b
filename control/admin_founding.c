#include "control/admin_founding.h"

#include "control/address.h"
#include "control/admin_answer.h"
#include "control/admin_report.h"
#include "control/founding_shown.h"
#include "control/json_put.h"

#include <stdio.h>
#include <string.h>

/* "": none */
static void put_id(json_t *to, const char *key, uint64_t value)
{
    if (value == 0)
        json_put_text(to, key, "");
    else
        json_put_hex(to, key, value);
}

static json_t *founder(const struct node *node, const struct founding_status *s, uint32_t id,
                       uint64_t now_ns)
{
    const struct genesis_founder *named = &s->genesis.founder[id];
    const struct founding_founder *heard = &s->founder[id];
    bool self = id == node->config->id;
    char address[ADDRESS_TEXT_MAX] = "";
    json_t *to = json_object();
    json_put_number(to, "replica", id);
    if (named->incarnation != 0)
        address_text(address, named->ip, named->port);
    json_put_text(to, "address", address);
    put_id(to, "incarnation", named->incarnation);
    json_put_text(to, "said",
                  self             ? s->lock != 0 ? "locked" : "self"
                  : heard->older   ? "older-copy"
                  : node->founding ? founding_said((enum paxos_word)heard->said)
                                   : "");
    json_object_set_new(to, "heard_ms",
                        heard->heard_ns != 0
                            ? json_integer((json_int_t)((now_ns - heard->heard_ns) / 1000000))
                            : json_null());
    put_id(to, "cluster_id", heard->cluster);
    return to;
}

static json_t *describe(const struct node *node, const struct founding_status *s, uint64_t now_ns)
{
    char why[FOUNDING_TEXT_MAX], remedy[FOUNDING_TEXT_MAX], day[KEEL_DAY_NAME_SIZE + 1] = "";
    json_t *to = json_object();
    founding_why_text(s, why, remedy);
    memcpy(day, s->genesis.day, KEEL_DAY_NAME_SIZE);
    day[strcspn(day, " ")] = '\0';
    json_put_number(to, "replica", node->config->id);
    json_put_text(to, "phase", founding_phase(s));
    json_put_text(to, "reason", founding_why_word(s->why));
    json_put_number(to, "founder", s->about);
    json_put_text(to, "why", why);
    json_put_text(to, "remedy", remedy);
    put_id(to, "cluster_id", s->why == PAXOS_WHY_INSTALLED ? s->genesis.cluster_id : 0);
    json_put_text(to, "day", day);
    if (node->founding != NULL) {
        put_id(to, "list", s->list);
        put_id(to, "locked_list", s->lock);
        json_put_number(to, "ballot", s->ballot);
        json_put_number(to, "promised", s->promised);
        json_put_number(to, "accepted", s->accepted);
        json_put_number(to, "writes", s->writes);
    }
    json_t *founders = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (s->genesis.founder[id].incarnation != 0 || s->founder[id].heard_ns != 0)
            json_array_append_new(founders, founder(node, s, id, now_ns));
    json_object_set_new(to, "founders", founders);
    return to;
}

json_t *admin_genesis(const struct node *node)
{
    struct founding_status s;
    if (node->founding != NULL) {
        uint64_t now_ns = founding_shown_get(node->founding, &s);
        return describe(node, &s, now_ns);
    }
    memset(&s, 0, sizeof(s));
    s.why = PAXOS_WHY_INSTALLED;
    s.decided = true;
    s.genesis = node->start.genesis;
    return describe(node, &s, 0);
}

char *admin_founding_line(const struct node *node, const struct admin_request *request)
{
    struct founding_status s;
    char why[FOUNDING_TEXT_MAX], remedy[FOUNDING_TEXT_MAX], text[2 * FOUNDING_TEXT_MAX + 64];
    if (request->command == ADMIN_GENESIS)
        return admin_answer_result(admin_genesis(node));
    if (request->command == ADMIN_VERSION_SHOW)
        return admin_answer_result(admin_report(node, request));
    founding_shown_get(node->founding, &s);
    founding_why_text(&s, why, remedy);
    snprintf(text, sizeof(text), "there is no genesis record yet: %s: %s", why, remedy);
    return admin_answer_error(ADMIN_FOUNDING, text, 0);
}
