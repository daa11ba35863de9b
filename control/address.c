#include "control/address.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_DIGITS_MAX = 19, IP_TEXT_MAX = 16 };

bool address_number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > NUMBER_DIGITS_MAX || text[digits] != '\0')
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    *value = number;
    return number >= low && number <= high;
}

bool address_ip(const char *text, uint32_t *ip)
{
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 3 || (digits > 1 && text[0] == '0'))
            return false;
        uint32_t octet = 0;
        for (size_t d = 0; d < digits; d++)
            octet = octet * 10 + (uint32_t)(text[d] - '0');
        if (octet > 255 || text[digits] != (i < 3 ? '.' : '\0'))
            return false;
        result = result << 8 | octet;
        text += digits + (i < 3 ? 1 : 0);
    }
    *ip = result;
    return true;
}

/* Splits at `mark`: the address part is parsed, *rest is what follows. */
static bool split(const char *text, char mark, uint32_t *ip, const char **rest)
{
    char part[IP_TEXT_MAX];
    const char *at = strchr(text, mark);
    if (at == NULL || (size_t)(at - text) >= sizeof(part))
        return false;
    memcpy(part, text, (size_t)(at - text));
    part[at - text] = '\0';
    *rest = at + 1;
    return address_ip(part, ip);
}

bool address_ip_port(const char *text, uint32_t *ip, uint16_t *port)
{
    const char *rest;
    uint64_t number;
    if (!split(text, ':', ip, &rest) || !address_number(rest, 1, 65535, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

bool address_ip_prefix(const char *text, uint32_t *ip, uint32_t *prefix)
{
    const char *rest;
    uint64_t number;
    if (!split(text, '/', ip, &rest) || !address_number(rest, 1, 32, &number))
        return false;
    *prefix = (uint32_t)number;
    return true;
}

char *address_text(char *text, uint32_t ip, uint16_t port)
{
    snprintf(text, ADDRESS_TEXT_MAX, "%u.%u.%u.%u:%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
             ip & 255, port);
    return text;
}
