#include "client/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_MAX = 64 };

static bool number_in(const char *text, unsigned long least, unsigned long most,
                      unsigned long *value)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *value = strtoul(text, &end, 10);
    return *end == 0 && *value >= least && *value <= most;
}

static bool ip_of(const char *text, uint32_t *ip)
{
    struct in_addr in;
    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *ip = ntohl(in.s_addr);
    return true;
}

/* NULL, or why the item is not an address. Takes `item` apart. */
static const char *parse(char *item, enum address_form form, struct address *out)
{
    unsigned long value;
    memset(out, 0, sizeof(*out));
    char *equals = strchr(item, '=');
    if (form == ADDRESS_MEMBER) {
        if (equals == NULL)
            return "write ID=IP:PORT";
        *equals = 0;
        if (!number_in(item, 1, 7, &value))
            return "a member's id is 1 to 7";
        out->id = (uint32_t)value;
        item = equals + 1;
    }
    char *at = strchr(item, '@');
    if (at != NULL) {
        if (form != ADDRESS_LINE)
            return "'@' stands only behind the group of a feed line";
        *at = 0;
        if (!ip_of(at + 1, &out->interface_ip))
            return "behind '@' stands the IPv4 address of an interface";
    }
    char *colon = strchr(item, ':');
    if (colon == NULL)
        return "write IP:PORT";
    *colon = 0;
    bool zero_ok = form == ADDRESS_PLAIN;
    if (!number_in(colon + 1, zero_ok ? 0 : 1, 65535, &value))
        return "a port is 1 to 65535";
    out->port = (uint16_t)value;
    if (!ip_of(item, &out->ip))
        return "not an IPv4 address";
    if (at != NULL && !address_is_multicast(out->ip))
        return "'@' stands only behind a multicast group";
    return NULL;
}

int address_list(const char *text, enum address_form form, struct address *out, uint32_t max,
                 char *problem, size_t size)
{
    uint32_t count = 0;
    while (*text != 0) { /* at most max + 1 items */
        size_t gap = strspn(text, ", \t");
        text += gap;
        size_t length = strcspn(text, ", \t");
        if (length == 0)
            break;
        char item[ITEM_MAX];
        if (count == max || length >= sizeof(item)) {
            snprintf(problem, size, "'%.*s': %s", (int)(length < 60 ? length : 60), text,
                     count == max ? "more addresses than there may be" : "too long");
            return -1;
        }
        memcpy(item, text, length);
        item[length] = 0;
        const char *why = parse(item, form, &out[count]);
        for (uint32_t i = 0; why == NULL && form == ADDRESS_MEMBER && i < count; i++)
            if (out[i].id == out[count].id ||
                (out[i].ip == out[count].ip && out[i].port == out[count].port))
                why = "this member's id or address comes twice";
        if (why != NULL) {
            snprintf(problem, size, "'%.*s': %s", (int)length, text, why);
            return -1;
        }
        count++;
        text += length;
    }
    return (int)count;
}

bool address_is_multicast(uint32_t ip)
{
    return ip >> 28 == 14;
}

void address_print(uint32_t ip, uint16_t port, char text[24])
{
    snprintf(text, 24, "%u.%u.%u.%u:%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, port);
}
