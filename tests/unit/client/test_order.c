#include "client/order.h"

#include "tests/unit/client/fake.h"
#include "tests/unit/unit.h"

#include <string.h>

static void prints_orders(void)
{
    struct {
        struct order_enter order;
        struct order_extra extra;
    } enter = {
        .order = {.type = ORDER_ENTER,
                  .reference = {0, 0, 0, 7},
                  .side = 'S',
                  .quantity = {0, 0, 1, 44},
                  .symbol = {'K', 'E', 'E', 'L', ' ', ' ', ' ', ' '},
                  .price = {0, 0, 0, 0, 0, 1, 0xe2, 0x45},
                  .time_in_force = '3',
                  .cross = 'O',
                  .token = {'T', '1', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '},
                  .extras = {0, 1}},
        .extra = {.length = 5, .tag = 'F', .value = {0, 0, 4, 0}},
    };
    char text[200];
    order_print((const uint8_t *)&enter, sizeof(enter), text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(text,
                           "enter 7 sell 300 KEEL at 12.3461 immediate opening token T1 firm 1024");
    struct order_replace replace = {.type = ORDER_REPLACE,
                                    .old_reference = {0, 0, 0, 7},
                                    .reference = {0, 0, 0, 8},
                                    .quantity = {0, 0, 0, 5},
                                    .price = {0, 0, 0, 0, 0, 0, 0x27, 0x10}};
    memset(replace.token, ' ', sizeof(replace.token));
    order_print((const uint8_t *)&replace, sizeof(replace), text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(text, "replace 7 by 8 5 at 1.0000 token ");
    struct order_cancel cancel = {.type = ORDER_CANCEL, .reference = {0, 0, 1, 0}};
    memset(cancel.token, 'x', sizeof(cancel.token));
    order_print((const uint8_t *)&cancel, sizeof(cancel), text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(text, "cancel 256 to 0 token xxxxxxxxxxxxxx");
    CU_ASSERT(order_print((const uint8_t *)"Over the sea", 12, text, sizeof(text)) == 14);
    CU_ASSERT_STRING_EQUAL(text, "\"Over the sea\"");
    CU_ASSERT(order_print((const uint8_t *)"\x01\xff", 2, text, sizeof(text)) == 4);
    CU_ASSERT_STRING_EQUAL(text, "01ff");
}

/* Any bytes into any room: always a string that fits. */
static void prints_anything(void)
{
    struct rng rng = {3};
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t payload[80];
        char text[300];
        size_t size = rng_below(&rng, sizeof(payload)),
               room = 1 + rng_below(&rng, sizeof(text) - 1);
        rng_bytes(&rng, payload, size);
        if (size > 0 && i % 2 == 0)
            payload[0] = (uint8_t) "OUX"[rng_below(&rng, 3)];
        if (i % 3 == 0)
            size = (size_t[]){23, 40, 47, 53, 59}[rng_below(&rng, 5)];
        memset(text, 0x7f, sizeof(text));
        size_t length = order_print(payload, size, text, room);
        CU_ASSERT_FATAL(length < room && strlen(text) <= length);
        CU_ASSERT_FATAL(text[room] == 0x7f || room == sizeof(text));
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"prints order messages", prints_orders},
        {"prints any bytes into any room", prints_anything},
        {0},
    };
    return unit_main("order", tests);
}
