/* keel-repair: one cell of the table of damage: what became of a cluster whose drives were struck.
 *
 *     keel-repair --list
 *     keel-repair --cell N [--export DIR] [--verbose]
 *
 * Prints `repaired: PIECES`, `stopped: NODES: WHY`, `left: WHAT` or `failed: WHICH CHECK`. Three
 * replicas, two guests, no other fault; the strike comes in the middle of the load. All checks of
 * the simulator are on, and with --export keel-judge decides over the guests' logs, rings and
 * lines.
 */
#include "tests/sim/world.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = STRIKE_FAULTS * STRIKE_PLACES * STRIKE_WHOS * 2 };

static const char *const whos[] = {"leader", "follower", "all"};

static struct strike cell(uint32_t number)
{
    return (struct strike){.fault = number % STRIKE_FAULTS,
                           .place = number / STRIKE_FAULTS % STRIKE_PLACES,
                           .who = number / (STRIKE_FAULTS * STRIKE_PLACES) % STRIKE_WHOS,
                           .running = number >= CELLS / 2};
}

static void quiet_world(struct world *world, uint32_t number)
{
    world_draw(world, number + 1);
    struct knobs *k = &world->knobs;
    *k = (struct knobs){.nodes = 3,
                        .guests = 2,
                        .delay_min_ns = 5000,
                        .delay_max_ns = 50000,
                        .write_min_ns = 20000,
                        .write_max_ns = 100000,
                        .slow_factor = 1,
                        .fault_every_ns = 1000000000,
                        .window_pages = 128,
                        .slots = 2048,
                        .turn_ns = 2000,
                        .control_ns = 2000000,
                        .scrub_pages_s = 4000,
                        .checkpoint_ms = 400,
                        .rate = 150,
                        .ttl_ms = 60000,
                        .faults_until_ns = 1000,
                        .blackout_ns = UINT64_MAX / 4,
                        .quiet_ns = 2800000000,
                        .end_ns = 4500000000};
}

/* How much had to be made anew; a tear goes, and needs nothing. */
static void print_repaired(const struct world *world)
{
    uint64_t repaired = 0;
    for (uint32_t id = 1; id <= 3; id++)
        repaired += world->node[id].repaired;
    printf("repaired: %lu\n", (unsigned long)repaired);
}

static void print_stopped(uint32_t mask, const char *why)
{
    fputs("stopped: ", stdout);
    for (uint32_t id = 1; id <= 3; id++)
        if ((mask >> id & 1) != 0)
            printf("%u ", id);
    printf(": %s\n", why);
}

static int run(uint32_t number, const char *directory, bool verbose)
{
    struct world *world = malloc(sizeof(*world));
    ENSURE(world != NULL);
    struct strike strike = cell(number);
    quiet_world(world, number);
    world->verbose = verbose;
    world->strike = &strike;
    if (directory != NULL)
        world->export = export_open(world, directory);
    if (directory != NULL && world->export == NULL) {
        fprintf(stderr, "keel-repair: %s: cannot write there\n", directory);
        return 2;
    }
    world_event(world, 1500000000, EVENT_STRIKE, 0, 0);
    char why[512] = "";
    bool good = world_run(world);
    uint32_t stopped = 0;
    for (uint32_t id = 1; id <= 3; id++)
        stopped += world->node[id].stop_why[0] != '\0';
    /* Without a quorum nobody is answered, and nobody was told anything wrong. */
    if (!good && stopped >= 2 && strstr(world->failure, "unanswered") != NULL)
        good = true;
    uint32_t mask;
    int end = good ? strike_end(world, &mask, why) : 3;
    if (world->export != NULL && !export_close(world))
        good = false;
    if (!good)
        printf("failed: %s\n", world->failure);
    else if (end == 0)
        print_repaired(world);
    else if (end == 1)
        print_stopped(mask, why);
    else
        printf("left: %s\n", why);
    world_free(world);
    free(world);
    return good && end < 2 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"list", no_argument, NULL, 'l'},
                                            {"cell", required_argument, NULL, 'c'},
                                            {"export", required_argument, NULL, 'e'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    const char *directory = NULL;
    uint32_t number = CELLS;
    bool verbose = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'l') {
            for (uint32_t i = 0; i < CELLS; i++) {
                struct strike s = cell(i);
                printf("%u %s %s %s %s\n", i, strike_fault_name(s.fault),
                       strike_place_name(s.place), whos[s.who], s.running ? "running" : "restart");
            }
            return 0;
        }
        if (o == 'c')
            number = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'e')
            directory = optarg;
        else if (o == 'v')
            verbose = true;
        else
            return 2;
    }
    if (number >= CELLS) {
        fputs("usage: keel-repair --list | --cell N [--export DIR] [--verbose]\n", stderr);
        return 2;
    }
    return run(number, directory, verbose);
}
