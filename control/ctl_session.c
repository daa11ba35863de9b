/* Commands of keelctl that are a client of the cluster: a session over the data network, under a
 * client's key, by libkeel.
 */
#include "control/ctl_session.h"

#include "control/address.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TEXT_MAX = 512 };

struct client_settings {
    char members[TEXT_MAX], key[TEXT_MAX], principal[32], cluster[32];
};

static bool take(char *to, size_t room, const char *value)
{
    if (strlen(value) >= room)
        return false;
    strcpy(to, value);
    return true;
}

/* The file is keelcat's as well: what it alone needs is passed over. */
static int on_setting(void *user, const char *section, const char *name, const char *value)
{
    struct client_settings *s = user;
    if (strcmp(section, "cluster") == 0 && strcmp(name, "members") == 0)
        return take(s->members, sizeof(s->members), value);
    if (strcmp(section, "cluster") == 0 && strcmp(name, "id") == 0)
        return take(s->cluster, sizeof(s->cluster), value);
    if (strcmp(section, "client") == 0 && strcmp(name, "key") == 0)
        return take(s->key, sizeof(s->key), value);
    if (strcmp(section, "client") == 0 && strcmp(name, "principal") == 0)
        return take(s->principal, sizeof(s->principal), value);
    return strcmp(section, "cluster") == 0 || strcmp(section, "client") == 0 ||
           strcmp(section, "feed") == 0;
}

static int read_settings(const struct ctl *ctl, struct client_settings *s)
{
    const char *path = ctl->value[CTL_CLIENT_CONFIG];
    const char *name = ctl->command->name;
    bool named = path != NULL;
    if (path == NULL)
        path = getenv("KEEL_CLIENT");
    if (path == NULL && access(CTL_CLIENT_FILE, R_OK) == 0)
        path = CTL_CLIENT_FILE;
    if (path != NULL) {
        int line = ini_parse(path, on_setting, s);
        if (line < 0)
            return ctl_fail(CTL_FAILED, "%s: '%s': %s: name a client configuration with --config",
                            name, path, strerror(errno));
        if (line > 0)
            return ctl_fail(CTL_FAILED, "%s: '%s' line %d: no setting of a client", name, path,
                            line);
    }
    const char *members = ctl->value[CTL_CLIENT_MEMBERS], *key = ctl->value[CTL_CLIENT_KEY];
    const char *principal = ctl->value[CTL_CLIENT_PRINCIPAL];
    if ((members != NULL && !take(s->members, sizeof(s->members), members)) ||
        (key != NULL && !take(s->key, sizeof(s->key), key)) ||
        (principal != NULL && !take(s->principal, sizeof(s->principal), principal)))
        return ctl_fail(CTL_USAGE, "%s: an option is too long", name);
    if (s->members[0] == 0 || s->key[0] == 0)
        return ctl_fail(CTL_USAGE,
                        "%s: no %s: give --members and --key, or --config FILE (%s, or "
                        "$KEEL_CLIENT, is read by itself)",
                        name, s->members[0] == 0 ? "members" : "key file",
                        named ? path : CTL_CLIENT_FILE);
    return CTL_DONE;
}

int ctl_session_code(int error)
{
    if (error == KEEL_OK)
        return CTL_DONE;
    if (error == KEEL_ARGUMENT)
        return CTL_USAGE;
    if (error == KEEL_UNREACHABLE)
        return CTL_UNREACHABLE;
    if (error == KEEL_TIMEOUT)
        return CTL_TIMED_OUT;
    return error == KEEL_NO_LEADER ? CTL_NO_QUORUM : CTL_FAILED;
}

int ctl_session_fail(const struct ctl *ctl, const struct keel *keel, int error,
                     const struct keel_result *result)
{
    const char *name = ctl->command->name;
    if (error == KEEL_REFUSED_NODE) {
        const char *why = keel_status_name((int)result->status);
        const char *what = ctl->word_count > 0 ? ctl->word[0] : "";
        if (result->status == KEEL_LOCK_BUSY)
            return ctl_fail(CTL_FAILED, "%s: '%s': %s: `keelctl lock show %s` names its holder",
                            name, what, why, what);
        if (result->status == KEEL_NOT_ALLOWED)
            return ctl_fail(CTL_FAILED,
                            "%s: '%s': %s: this client's principal lacks a right there: see "
                            "`keelctl node get %s`",
                            name, what, why, what);
        return ctl_fail(CTL_FAILED, "%s: '%s': %s", name, what, why);
    }
    const char *problem = keel != NULL ? keel_problem(keel) : "";
    return ctl_fail(ctl_session_code(error), "%s: %s", name,
                    problem[0] != 0 ? problem : keel_strerror(error));
}

int ctl_session_open(const struct ctl *ctl, bool leases, uint32_t ttl_ms, struct keel **keel)
{
    struct client_settings s = {0};
    char problem[KEEL_PROBLEM_SIZE], session[KEEL_SESSION_MAX + 1];
    uint64_t principal = 0, number;
    int code = read_settings(ctl, &s);
    if (code != CTL_DONE)
        return code;
    if (s.principal[0] != 0 && !address_number(s.principal, 16, UINT32_MAX, &principal))
        return ctl_fail(CTL_USAGE, "%s: principal '%s': give a number from 16 on",
                        ctl->command->name, s.principal);
    /* one that nobody has: whoever opens a name that is open takes it over */
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return ctl_fail(CTL_FAILED, "%s: getrandom: %s", ctl->command->name, strerror(errno));
    snprintf(session, sizeof(session), "keelctl-%016" PRIx64, number);
    const struct keel_options options = {
        .members = s.members,
        .key_file = s.key,
        .session = session,
        .principal = (uint32_t)principal,
        .ttl_ms = ttl_ms,
        .open_wait_ms = ctl->timeout_ms,
        .cluster = s.cluster[0] != 0 ? strtoull(s.cluster, NULL, 16) : 0,
        .leases = leases,
        /* whoever holds a lock by hand has nothing to wait for once it is in doubt */
        .grace_ms = ttl_ms != 0 ? ttl_ms : CTL_SESSION_TTL_MS,
    };
    int error = keel_open(keel, &options, problem);
    if (error != KEEL_OK)
        return ctl_fail(ctl_session_code(error), "%s: %s", ctl->command->name, problem);
    return CTL_DONE;
}

void ctl_session_close(struct keel *keel)
{
    if (keel == NULL)
        return;
    keel_end(keel, 1000000000); /* else its time to live ends it */
    keel_close(keel);
}
