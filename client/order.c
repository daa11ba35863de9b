#include "client/order.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static uint64_t big_endian(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | at[i];
    return value;
}

static unsigned long number(const uint8_t at[4])
{
    return (unsigned long)big_endian(at, 4);
}

/* Length of a padded name. */
static int length(const char *name, int size)
{
    while (size > 0 && name[size - 1] == ' ')
        size--;
    return size;
}

static bool printable(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return false;
    return true;
}

static size_t clip(int wanted, size_t room)
{
    return wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
}

static size_t print_enter(const uint8_t *payload, size_t size, char *text, size_t room)
{
    struct order_enter m;
    memcpy(&m, payload, sizeof(m));
    uint64_t price = big_endian(m.price, sizeof(m.price));
    const char *side = m.side == 'B' ? "buy" : m.side == 'S' ? "sell" : "short";
    size_t used = clip(
        snprintf(text, room, "enter %lu %s %lu %.*s at %llu.%04llu %s%s token %.*s",
                 number(m.reference), side, number(m.quantity), length(m.symbol, sizeof(m.symbol)),
                 m.symbol, (unsigned long long)(price / ORDER_PRICE_ONE),
                 (unsigned long long)(price % ORDER_PRICE_ONE),
                 m.time_in_force == '3' ? "immediate" : "day", m.cross == 'O' ? " opening" : "",
                 length(m.token, sizeof(m.token)), m.token),
        room);
    for (size_t at = sizeof(m); at + sizeof(struct order_extra) <= size;
         at += sizeof(struct order_extra)) {
        struct order_extra extra;
        memcpy(&extra, payload + at, sizeof(extra));
        used += clip(snprintf(text + used, room - used, " %s %lu",
                              extra.tag == 'F' ? "firm" : "least", number(extra.value)),
                     room - used);
    }
    return used;
}

static size_t print_replace(const uint8_t *payload, char *text, size_t room)
{
    struct order_replace m;
    memcpy(&m, payload, sizeof(m));
    uint64_t price = big_endian(m.price, sizeof(m.price));
    return clip(snprintf(text, room, "replace %lu by %lu %lu at %llu.%04llu token %.*s",
                         number(m.old_reference), number(m.reference), number(m.quantity),
                         (unsigned long long)(price / ORDER_PRICE_ONE),
                         (unsigned long long)(price % ORDER_PRICE_ONE),
                         length(m.token, sizeof(m.token)), m.token),
                room);
}

static size_t print_cancel(const uint8_t *payload, char *text, size_t room)
{
    struct order_cancel m;
    memcpy(&m, payload, sizeof(m));
    return clip(snprintf(text, room, "cancel %lu to %lu token %.*s", number(m.reference),
                         number(m.quantity), length(m.token, sizeof(m.token)), m.token),
                room);
}

static size_t print_other(const uint8_t *payload, size_t size, char *text, size_t room)
{
    if (printable(payload, size))
        return clip(snprintf(text, room, "\"%.*s\"", (int)size, (const char *)payload), room);
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < size && used + 3 <= room; i++)
        used += clip(snprintf(text + used, room - used, "%02x", payload[i]), room - used);
    return used;
}

size_t order_print(const uint8_t *payload, size_t size, char *text, size_t room)
{
    uint8_t type = size > 0 ? payload[0] : 0;
    if (type == ORDER_ENTER && size >= sizeof(struct order_enter) && size <= ORDER_SIZE_MAX) {
        struct order_enter m;
        memcpy(&m, payload, sizeof(m));
        uint64_t extras = big_endian(m.extras, sizeof(m.extras));
        if (size == sizeof(m) + extras * sizeof(struct order_extra))
            return print_enter(payload, size, text, room);
    }
    if (type == ORDER_REPLACE && size == sizeof(struct order_replace))
        return print_replace(payload, text, room);
    if (type == ORDER_CANCEL && size == sizeof(struct order_cancel))
        return print_cancel(payload, text, room);
    return print_other(payload, size, text, room);
}
