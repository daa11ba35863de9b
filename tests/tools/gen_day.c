/* Writes the opening of a trading day: enter, replace and cancel messages as client/order.h lays
 * them out, in length-prefixed framing (u16 big-endian length, then the message). The same seed and
 * count give the same bytes everywhere.
 *
 *     gen_day [--count N] [--seed S] [--output FILE]
 */
#include "client/order.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COUNT_DEFAULT = 200000,
    SEED_DEFAULT = 20250106,
    SYMBOLS = 64,
    LIVE_MAX = 8192,  /* orders that may be replaced or cancelled */
    OPENING_SHARE = 5 /* the first fifth goes into the opening cross */
};

struct live {
    uint32_t reference, quantity, symbol;
    uint64_t price;
};

struct day {
    uint64_t random;
    uint64_t written, count;
    uint32_t reference;
    uint32_t live_count;
    struct live live[LIVE_MAX];
    uint64_t price[SYMBOLS]; /* last price of each symbol, 1/10,000 */
    FILE *out;
};

static uint32_t below(struct day *day, uint32_t bound)
{
    uint64_t z = day->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (uint32_t)((z >> 32) * bound >> 32);
}

static void put(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static void name_symbol(char *symbol, uint32_t index)
{
    memset(symbol, ' ', ORDER_SYMBOL_SIZE);
    symbol[0] = (char)('A' + index % 26);
    symbol[1] = (char)('A' + index / 26 * 7 % 26);
    symbol[2] = (char)('A' + index * 11 % 26);
    if (index % 3 == 0)
        symbol[3] = (char)('A' + index * 5 % 26);
}

static void name_token(char *token, uint32_t reference)
{
    char text[ORDER_TOKEN_SIZE + 1];
    snprintf(text, sizeof(text), "KL%010u  ", reference);
    memcpy(token, text, ORDER_TOKEN_SIZE);
}

static bool emit(struct day *day, const void *message, size_t size)
{
    uint8_t head[2];
    put(head, size, sizeof(head));
    day->written++;
    return fwrite(head, sizeof(head), 1, day->out) == 1 && fwrite(message, size, 1, day->out) == 1;
}

static uint64_t walk(struct day *day, uint32_t symbol)
{
    uint64_t tick = ORDER_PRICE_ONE / 100, price = day->price[symbol];
    price += below(day, 3) * tick;
    price -= price > 100 * tick ? below(day, 3) * tick : 0;
    return day->price[symbol] = price;
}

/* A new order takes a place among the live ones; when there is none, the place of one of them. */
static struct live *take_place(struct day *day)
{
    if (day->live_count < LIVE_MAX)
        return &day->live[day->live_count++];
    return &day->live[below(day, LIVE_MAX)];
}

static bool enter(struct day *day)
{
    struct {
        struct order_enter order;
        struct order_extra extra[ORDER_EXTRAS_MAX];
    } m = {.order = {.type = ORDER_ENTER, .display = 'Y', .sweep = 'N'}};
    struct live live = {.reference = ++day->reference,
                        .quantity = 100 * (1 + below(day, 20)),
                        .symbol = below(day, SYMBOLS)};
    live.price = walk(day, live.symbol);
    bool opening = day->written < day->count / OPENING_SHARE;
    uint32_t extras = below(day, 10) < 7 ? 0 : 1 + below(day, ORDER_EXTRAS_MAX);
    put(m.order.reference, live.reference, 4);
    m.order.side = (uint8_t) "BBBSSST"[below(day, 7)];
    put(m.order.quantity, live.quantity, 4);
    name_symbol(m.order.symbol, live.symbol);
    put(m.order.price, live.price, 8);
    m.order.time_in_force = below(day, 8) == 0 ? '3' : '0';
    m.order.capacity = below(day, 4) == 0 ? 'P' : 'A';
    m.order.cross = opening ? 'O' : 'N';
    name_token(m.order.token, live.reference);
    put(m.order.extras, extras, 2);
    for (uint32_t i = 0; i < extras; i++) {
        m.extra[i].length = sizeof(m.extra[i]) - 1;
        m.extra[i].tag = i == 0 ? 'F' : 'M';
        put(m.extra[i].value, i == 0 ? 1000 + below(day, 40) : 100, 4);
    }
    *take_place(day) = live;
    return emit(day, &m, sizeof(m.order) + extras * sizeof(m.extra[0]));
}

static bool replace(struct day *day, struct live *live)
{
    struct order_replace m = {
        .type = ORDER_REPLACE, .time_in_force = '0', .display = 'Y', .sweep = 'N'};
    put(m.old_reference, live->reference, 4);
    live->reference = ++day->reference;
    live->quantity = 100 * (1 + below(day, 20));
    live->price = walk(day, live->symbol);
    put(m.reference, live->reference, 4);
    put(m.quantity, live->quantity, 4);
    put(m.price, live->price, 8);
    name_token(m.token, live->reference);
    return emit(day, &m, sizeof(m));
}

static bool cancel(struct day *day, struct live *live)
{
    struct order_cancel m = {.type = ORDER_CANCEL};
    put(m.reference, live->reference, 4);
    put(m.quantity, below(day, 5) == 0 ? live->quantity / 2 : 0, 4);
    name_token(m.token, live->reference);
    *live = day->live[--day->live_count];
    return emit(day, &m, sizeof(m));
}

static bool write_day(struct day *day)
{
    for (uint32_t i = 0; i < SYMBOLS; i++)
        day->price[i] = (uint64_t)(5 + below(day, 400)) * ORDER_PRICE_ONE;
    while (day->written < day->count) {
        uint32_t roll = below(day, 100);
        bool good;
        if (roll < 62 || day->live_count == 0)
            good = enter(day);
        else if (roll < 76)
            good = replace(day, &day->live[below(day, day->live_count)]);
        else
            good = cancel(day, &day->live[below(day, day->live_count)]);
        if (!good)
            return false;
    }
    return fflush(day->out) == 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: gen_day [--count N] [--seed S] [--output FILE]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"output", required_argument, NULL, 'o'},
                                            {0}};
    const char *output = NULL;
    struct day *day = calloc(1, sizeof(*day));
    if (day == NULL)
        return 1;
    day->count = COUNT_DEFAULT;
    day->random = SEED_DEFAULT;
    day->out = stdout;
    int option;
    bool good = true;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        if (option == 'c')
            day->count = strtoull(optarg, &end, 10);
        else if (option == 's')
            day->random = strtoull(optarg, &end, 10);
        else if (option == 'o')
            output = optarg;
        good = good && option != '?' && (end == NULL || (*end == 0 && end != optarg));
    }
    if (!good || optind != argc) {
        free(day);
        return usage();
    }
    if (output != NULL)
        day->out = fopen(output, "wb");
    if (day->out == NULL || !write_day(day)) {
        perror(output == NULL ? "gen_day: standard output" : output);
        good = false;
    }
    if (output != NULL && day->out != NULL)
        fclose(day->out);
    free(day);
    return good ? 0 : 1;
}
