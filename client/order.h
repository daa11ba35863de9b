/* Order messages in the manner of exchanges' order entry protocols: one type byte, fixed fields,
 * big-endian integers, names padded with spaces, prices in 1/10,000. Keel itself never looks inside
 * a message; `keelcat follow --format decode` prints these, and the tests' trading day consists of
 * them.
 */
#ifndef KEEL_CLIENT_ORDER_H
#define KEEL_CLIENT_ORDER_H

#include <stddef.h>
#include <stdint.h>

enum { ORDER_ENTER = 'O', ORDER_REPLACE = 'U', ORDER_CANCEL = 'X' };
enum {
    ORDER_SYMBOL_SIZE = 8,
    ORDER_TOKEN_SIZE = 14,
    ORDER_EXTRAS_MAX = 2, /* optional fields behind an enter */
    ORDER_PRICE_ONE = 10000,
    ORDER_SIZE_MAX = 59
};

struct order_enter { /* 47 bytes, then `extras` optional fields */
    uint8_t type;
    uint8_t reference[4]; /* of the order, counts up within a day */
    uint8_t side;         /* 'B', 'S', 'T' (short) */
    uint8_t quantity[4];
    char symbol[ORDER_SYMBOL_SIZE];
    uint8_t price[8];
    uint8_t time_in_force; /* '0' day, '3' immediate or cancel */
    uint8_t display;       /* 'Y', 'N' */
    uint8_t capacity;      /* 'A' agency, 'P' principal */
    uint8_t sweep;         /* 'Y', 'N' */
    uint8_t cross;         /* 'N' continuous, 'O' opening */
    char token[ORDER_TOKEN_SIZE];
    uint8_t extras[2]; /* count of optional fields */
};
_Static_assert(sizeof(struct order_enter) == 47, "enter order");

struct order_extra { /* 6 bytes */
    uint8_t length;  /* of what follows: 5 */
    uint8_t tag;     /* 'F' firm, 'M' least quantity */
    uint8_t value[4];
};
_Static_assert(sizeof(struct order_extra) == 6, "optional field");
_Static_assert(sizeof(struct order_enter) + ORDER_EXTRAS_MAX * sizeof(struct order_extra) ==
                   ORDER_SIZE_MAX,
               "largest order");

struct order_replace { /* 40 bytes */
    uint8_t type;
    uint8_t old_reference[4];
    uint8_t reference[4];
    uint8_t quantity[4];
    uint8_t price[8];
    uint8_t time_in_force;
    uint8_t display;
    uint8_t sweep;
    char token[ORDER_TOKEN_SIZE];
    uint8_t reserved[2];
};
_Static_assert(sizeof(struct order_replace) == 40, "replace order");

struct order_cancel { /* 23 bytes */
    uint8_t type;
    uint8_t reference[4];
    uint8_t quantity[4]; /* left after it; 0: all is cancelled */
    char token[ORDER_TOKEN_SIZE];
};
_Static_assert(sizeof(struct order_cancel) == 23, "cancel order");

/* Prints a message as one line of text; what is none of these as text or as hex. Always ends with a
 * zero; returns the length. */
size_t order_print(const uint8_t *payload, size_t size, char *text, size_t room);

#endif
