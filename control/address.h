/* IPv4 addresses as people write them: total on any text, no resolver. Cold; daemon, tools and
 * tests.
 */
#ifndef KEEL_CONTROL_ADDRESS_H
#define KEEL_CONTROL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_TEXT_MAX = 24 }; /* "255.255.255.255:65535" and its end */

/* "10.0.0.1"; host order. Leading zeros and anything behind the text are refused. */
bool address_ip(const char *text, uint32_t *ip);
/* "10.0.0.1:7400"; the port is 1..65535. */
bool address_ip_port(const char *text, uint32_t *ip, uint16_t *port);
/* "10.0.0.1/24"; the prefix is 1..32. */
bool address_ip_prefix(const char *text, uint32_t *ip, uint32_t *prefix);
/* A whole number within low..high, decimal digits only. */
bool address_number(const char *text, uint64_t low, uint64_t high, uint64_t *value);

/* Writes "ip:port" to text, ADDRESS_TEXT_MAX bytes; returns text. */
char *address_text(char *text, uint32_t ip, uint16_t port);

#endif
