/* The configuration file: any text is taken or refused with a reason that names the file, and what
 * is taken can be used. */
#include "tests/fuzz/fuzz.h"

#include "control/config.h"

#include <string.h>

enum { THREADS_MAX = 4 };

static void use(const struct config *config)
{
    struct startup_options options;
    struct config_thread threads[THREADS_MAX];
    struct genesis genesis;
    char list[64];
    memset(&options, 0, sizeof(options));
    config_startup(config, &options);
    FUZZ_REQUIRE(options.id >= 1 && options.id <= KEEL_REPLICA_MAX && options.udp_port != 0);
    FUZZ_REQUIRE(options.feed.destination_count == config->feed.destination_count);
    uint32_t count = config_threads(config, threads);
    FUZZ_REQUIRE(count >= 1 && count <= THREADS_MAX);
    uint32_t roles = 0;
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_REQUIRE(threads[i].roles != 0 && (roles & threads[i].roles) == 0);
        roles |= threads[i].roles;
    }
    FUZZ_REQUIRE(roles == (ROLE_SEQ | ROLE_DISK | ROLE_FEED | ROLE_AUX));
    FUZZ_REQUIRE((threads[0].roles & ROLE_SEQ) != 0);
    FUZZ_REQUIRE(config_fixed_changes(config, config, list, sizeof(list)) == 0);
    genesis_defaults(&genesis);
    const char *differs = config_limit_problem(config, &genesis);
    FUZZ_REQUIRE(differs == NULL || (config->limit_mask != 0 && differs[0] != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config, again;
    char problem[CONFIG_PROBLEM_SIZE];
    memset(problem, 'x', sizeof(problem));
    memset(&config, 0xa5, sizeof(config));
    bool taken = config_parse(&config, "keeld.conf", (const char *)data, size, problem);
    if (!taken) {
        FUZZ_REQUIRE(memchr(problem, 0, sizeof(problem)) != NULL);
        FUZZ_REQUIRE(strncmp(problem, "keeld.conf", strlen("keeld.conf")) == 0);
        return 0;
    }
    use(&config);
    /* nothing of it came from what stood in memory before */
    memset(&again, 0x5a, sizeof(again));
    FUZZ_REQUIRE(config_parse(&again, "keeld.conf", (const char *)data, size, problem));
    char list[64];
    FUZZ_REQUIRE(config_fixed_changes(&config, &again, list, sizeof(list)) == 0);
    use(&again);
    return 0;
}
