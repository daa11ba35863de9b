/* How large a window a ring takes. A file of its own, so that who only asks links no replica. */
#include "control/startup.h"

uint32_t startup_window_pages(const struct ring_super *super, uint32_t wanted)
{
    uint32_t pages = RING_WINDOW_MIN;
    if (wanted == 0)
        wanted = STARTUP_WINDOW_PAGES;
    while (pages * 2 <= wanted && pages * 4ull <= super->slots) /* bound: bits of uint32_t */
        pages *= 2;
    return pages;
}
