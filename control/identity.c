#include "control/identity.h"

#include "control/address.h"

#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 64 };

struct reader {
    struct genesis *genesis;
    uint32_t id; /* being read; 0: none yet */
    char *why;
};

bool identity_hex(const char *text, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 16 || text[digits] != '\0')
        return false;
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = (char)(text[i] | 32);
        *value = *value << 4 | (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    return *value != 0;
}

static const char *complete(const struct reader *r)
{
    const struct genesis_founder *f = &r->genesis->founder[r->id];
    if (r->id == 0 || (f->incarnation != 0 && f->port != 0))
        return NULL;
    snprintf(r->why, IDENTITY_WHY_MAX, "replica %u: its identity lacks %s", r->id,
             f->incarnation == 0 ? "incarnation=" : "address=");
    return r->why;
}

static const char *begin(struct reader *r, const char *value)
{
    uint64_t id;
    const char *problem = complete(r);
    if (problem != NULL)
        return problem;
    if (!address_number(value, 1, KEEL_REPLICA_MAX, &id)) {
        snprintf(r->why, IDENTITY_WHY_MAX, "replica=%.20s: ids are 1 to %d", value,
                 KEEL_REPLICA_MAX);
        return r->why;
    }
    if (r->genesis->founder[id].incarnation != 0) {
        snprintf(r->why, IDENTITY_WHY_MAX, "replica %u is given twice", (uint32_t)id);
        return r->why;
    }
    r->id = (uint32_t)id;
    return NULL;
}

static const char *take(struct reader *r, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t size = equals != NULL ? (size_t)(equals - word) : 0;
    if (size == 7 && memcmp(word, "replica", 7) == 0)
        return begin(r, equals + 1);
    struct genesis_founder *f = &r->genesis->founder[r->id];
    if (r->id != 0 && size == 11 && memcmp(word, "incarnation", 11) == 0) {
        if (f->incarnation == 0 && identity_hex(equals + 1, &f->incarnation))
            return NULL;
    } else if (r->id != 0 && size == 7 && memcmp(word, "address", 7) == 0) {
        if (f->port == 0 && address_ip_port(equals + 1, &f->ip, &f->port))
            return NULL;
    }
    snprintf(r->why, IDENTITY_WHY_MAX,
             "'%.40s' does not belong here: give each founder as "
             "replica=N incarnation=HEX address=IP:PORT",
             word);
    return r->why;
}

const char *identity_read(struct genesis *genesis, int count, const char *const *texts,
                          char why[IDENTITY_WHY_MAX])
{
    struct reader r = {.genesis = genesis, .why = why};
    for (int i = 0; i < count; i++) {
        const char *at = texts[i];
        while (*at != '\0') { /* bound: the text */
            char word[WORD_MAX];
            size_t size = strcspn(at, " \t\r\n");
            snprintf(word, sizeof(word), "%.*s", (int)(size < WORD_MAX ? size : WORD_MAX - 1), at);
            const char *problem = size > 0 ? take(&r, word) : NULL;
            if (problem != NULL)
                return problem;
            at += size + strspn(at + size, " \t\r\n");
        }
    }
    if (r.id == 0)
        return "no identity: give the lines that `keeld format` printed";
    return complete(&r);
}
