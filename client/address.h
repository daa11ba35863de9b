/* Addresses as people write them: "10.0.0.1:7400", "1=10.0.0.1:7400,2=...", and for multicast
 * "239.1.1.1:7410@10.0.0.5". Pure; any thread.
 */
#ifndef KEEL_CLIENT_ADDRESS_H
#define KEEL_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address {
    uint32_t id; /* before '=', else 0 */
    uint32_t ip; /* host order */
    uint16_t port;
    uint32_t interface_ip; /* behind '@', else 0 */
};

enum address_form {
    ADDRESS_PLAIN = 0,  /* ip:port */
    ADDRESS_MEMBER = 1, /* id=ip:port */
    ADDRESS_LINE = 2    /* ip:port, group:port@interface */
};

/* Reads a list with commas or spaces between into out[0..max). Returns how many, or -1 with
 * *problem in words: which item, what is wrong with it. */
int address_list(const char *text, enum address_form form, struct address *out, uint32_t max,
                 char *problem, size_t size);

bool address_is_multicast(uint32_t ip);
/* "10.0.0.1:7400", in 24 bytes. */
void address_print(uint32_t ip, uint16_t port, char text[24]);

#endif
