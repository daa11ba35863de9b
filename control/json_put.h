/* Members of a JSON object that is being made, for answers of the admin socket and of keelctl. What
 * is put under a key that is there takes its place.
 */
#ifndef KEEL_JSON_PUT_H
#define KEEL_JSON_PUT_H

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Below 2^63. */
static inline void json_put_number(json_t *to, const char *key, uint64_t value)
{
    json_object_set_new(to, key, json_integer((json_int_t)value));
}

/* UTF-8, copied. */
static inline void json_put_text(json_t *to, const char *key, const char *text)
{
    json_object_set_new(to, key, json_string(text));
}

static inline void json_put_bool(json_t *to, const char *key, bool value)
{
    json_object_set_new(to, key, json_boolean(value));
}

/* 64-bit values that are no counts: JSON numbers are not safe beyond 2^53. */
static inline void json_put_hex(json_t *to, const char *key, uint64_t value)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    json_put_text(to, key, text);
}

#endif
