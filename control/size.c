#include "control/size.h"

#include "control/address.h"

#include <string.h>

#define SIZE_LIMIT (1ull << 50)

bool size_parse(const char *text, uint64_t *size)
{
    static const char units[] = "KMGT";
    char digits[24];
    size_t length = strlen(text);
    const char *unit = length > 0 ? strchr(units, text[length - 1]) : NULL;
    unsigned shift = 0;
    if (unit != NULL && *unit != '\0') {
        shift = 10 * (unsigned)(unit - units + 1);
        length--;
    }
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    uint64_t number;
    if (!address_number(digits, 1, SIZE_LIMIT - 1, &number) || number > (SIZE_LIMIT - 1) >> shift)
        return false;
    *size = number << shift;
    return true;
}
