/* What purity.sh must find: a counter that lives on, and a call to the C library. */
#include <stdlib.h>

int impure_next(void);

int impure_next(void)
{
    static int count;
    return rand() + count++;
}
