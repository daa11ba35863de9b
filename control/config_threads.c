#include "control/config.h"

uint32_t config_threads(const struct config *config, struct config_thread threads[4])
{
    static const struct {
        enum config_core core;
        uint32_t role;
    } map[] = {{CORE_DISK, ROLE_DISK}, {CORE_FEED, ROLE_FEED}, {CORE_AUX, ROLE_AUX}};
    uint32_t count = 1;
    threads[0] = (struct config_thread){.roles = ROLE_SEQ, .core = config->core[CORE_SEQ]};
    for (uint32_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        int core = config->core[map[i].core];
        uint32_t at = 0;
        while (core >= 0 && at < count && threads[at].core != core)
            at++;
        if (at == count)
            threads[count++] = (struct config_thread){.roles = 0, .core = core};
        threads[at].roles |= map[i].role;
    }
    return count;
}
