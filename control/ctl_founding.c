/* What keelctl shows of the genesis: a running server's, and the paxos record of a ring. */
#include "control/ctl.h"

#include "dataplane/ring/acceptor.h"
#include "dataplane/ring/recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int ctl_genesis_status(struct ctl *ctl)
{
    static const char *const columns[] = {
        "replica=ID",         "address=ADDRESS",         "said=SAID", "heard_ms=HEARD_MS",
        "cluster_id=CLUSTER", "incarnation=INCARNATION", NULL};
    json_t *result = NULL;
    int code = ctl_ask(ctl, "genesis status", NULL, &result);
    if (code != CTL_DONE)
        return code;
    const char *phase = json_string_value(json_object_get(result, "phase"));
    bool installed = phase != NULL && strcmp(phase, "installed") == 0;
    if (ctl->json) {
        code = ctl_print_json(result);
    } else {
        json_t *founders = json_incref(json_object_get(result, "founders"));
        json_object_del(result, "founders");
        ctl_print_pairs(result, 0);
        ctl_print_table(founders, columns);
        json_decref(founders);
    }
    json_decref(result);
    return code != CTL_DONE ? code : installed ? CTL_DONE : CTL_NO_QUORUM;
}

void ctl_paxos_text(struct disk *disk, char text[CTL_PAXOS_TEXT_MAX])
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    struct acceptor_record record;
    uint32_t bad = 0;
    int rc = ring_super_read(disk, &super, why);
    if (rc == 0)
        rc = acceptor_read(disk, &super, &record, &bad, why);
    const struct paxos_record *p = &record.paxos;
    if (rc != 0)
        snprintf(text, CTL_PAXOS_TEXT_MAX, "damaged: %s", why);
    else if (record.sequence == 0)
        snprintf(text, CTL_PAXOS_TEXT_MAX, "never written");
    else if (p->lock == 0)
        snprintf(text, CTL_PAXOS_TEXT_MAX, "%s",
                 p->decided != 0 ? "a genesis record, installed by hand" : "nothing locked");
    else
        snprintf(text, CTL_PAXOS_TEXT_MAX,
                 "locked list %016" PRIx64 ", promised %" PRIu64 ", accepted %" PRIu64 "%s",
                 p->lock, p->promised, p->accepted, p->decided != 0 ? ", decided" : "");
    size_t at = strlen(text);
    if (rc == 0 && bad != 0)
        snprintf(text + at, CTL_PAXOS_TEXT_MAX - at, "; the copy in block %d is bad",
                 ACCEPTOR_BLOCK + (bad == 2));
}
