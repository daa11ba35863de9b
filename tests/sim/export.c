/* The evidence of one seed, for keel-judge: rings, a log for each guest and holder, one capture of
 * every line (taken where packets leave, so that none is missing), and the starts. The forms stand
 * at the head of tests/judge/judge.h.
 */
#include "tests/sim/world.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct export
{
    char directory[256];
    FILE *gateway[ENDPOINTS]; /* from ENDPOINT_GUEST on */
    FILE *capture, *starts;
};

static FILE *create(const struct export *e, const char *name)
{
    char path[320];
    snprintf(path, sizeof(path), "%s/%s", e->directory, name);
    return fopen(path, "wb");
}

static uint64_t utc_ns(const struct world *world)
{
    return SIM_CLOCK_UTC_NS + world->now_ns;
}

struct export *export_open(struct world *world, const char *directory)
{
    struct export *e = calloc(1, sizeof(*e));
    ENSURE(e != NULL);
    snprintf(e->directory, sizeof(e->directory), "%s", directory);
    mkdir(directory, 0755);
    e->capture = create(e, "lines.pcap");
    e->starts = create(e, "starts");
    bool good = e->capture != NULL && e->starts != NULL;
    for (uint32_t i = 0; i < world->knobs.guests + world->knobs.holders; i++) {
        char name[32];
        bool holds = i >= world->knobs.guests;
        uint32_t index = holds ? i - world->knobs.guests : i;
        uint32_t endpoint = (holds ? ENDPOINT_HOLDER : ENDPOINT_GUEST) + index;
        snprintf(name, sizeof(name), "%s-%u.log", holds ? "holder" : "guest", index);
        e->gateway[endpoint] = create(e, name);
        good = good && e->gateway[endpoint] != NULL;
    }
    if (!good)
        return NULL;
    const uint32_t head[6] = {0xa1b23c4d, 0x00040002, 0, 0, 65535, 1}; /* nanoseconds, Ethernet */
    fwrite(head, sizeof(head), 1, e->capture);
    return e;
}

void export_start(struct world *world, uint32_t id, bool begins)
{
    if (world->export != NULL)
        fprintf(world->export->starts, "%s %u %lu\n", begins ? "start" : "kill", id,
                (unsigned long)utc_ns(world));
}

void export_anew(struct world *world, uint32_t id, uint64_t feed)
{
    if (world->export != NULL)
        fprintf(world->export->starts, "anew %u %lu\n", id, (unsigned long)feed);
}

void export_frame(struct world *world, const uint8_t *bytes, uint32_t size)
{
    if (world->export == NULL)
        return;
    uint64_t at = utc_ns(world);
    const uint32_t head[4] = {(uint32_t)(at / 1000000000), (uint32_t)(at % 1000000000), size, size};
    fwrite(head, sizeof(head), 1, world->export->capture);
    fwrite(bytes, size, 1, world->export->capture);
}

void export_session(struct world *world, uint32_t endpoint, const char *name, uint64_t session,
                    uint64_t epoch, uint32_t principal)
{
    if (world->export != NULL)
        fprintf(world->export->gateway[endpoint], "session %lu %s %lu %lu %u\n",
                (unsigned long)utc_ns(world), name, (unsigned long)session, (unsigned long)epoch,
                principal);
}

void export_submit(struct world *world, uint32_t endpoint, uint64_t session, uint64_t number,
                   const void *payload, uint32_t size)
{
    if (world->export == NULL)
        return;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256(payload, size, hash);
    FILE *log = world->export->gateway[endpoint];
    fprintf(log, "submit %lu %lu %u ", (unsigned long)session, (unsigned long)number, size);
    for (int i = 0; i < 8; i++)
        fprintf(log, "%02x", hash[i]);
    fputc('\n', log);
}

void export_ack(struct world *world, uint32_t endpoint, uint64_t session, uint64_t number,
                const char *status, uint64_t feed, uint64_t stamp_ns, const char *day)
{
    if (world->export == NULL)
        return;
    char name[KEEL_DAY_NAME_SIZE + 1];
    snprintf(name, sizeof(name), "%s", day[0] != 0 ? day : "-");
    for (char *at = name; *at != 0; at++)
        if (*at == ' ')
            *at = '_';
    fprintf(world->export->gateway[endpoint], "ack %lu %lu %s %lu %lu %s\n", (unsigned long)session,
            (unsigned long)number, status, (unsigned long)feed, (unsigned long)stamp_ns, name);
}

void export_end(struct world *world, uint32_t endpoint, uint64_t session, uint64_t last)
{
    if (world->export != NULL)
        fprintf(world->export->gateway[endpoint], "end %lu %lu\n", (unsigned long)session,
                (unsigned long)last);
}

/* What the drive does not give back stands in no file either. */
static bool blank(FILE *ring, const struct media *media)
{
    if (media->bad_size == 0)
        return true;
    bool good = fseek(ring, (long)media->bad_from, SEEK_SET) == 0;
    for (uint64_t i = 0; good && i < media->bad_size; i++)
        good = fputc(0xff, ring) != EOF;
    return good;
}

bool export_close(struct world *world)
{
    struct export *e = world->export;
    bool good = true;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        char name[32];
        snprintf(name, sizeof(name), "ring-%u", id);
        FILE *ring = create(e, name);
        const struct media *media = &world->node[id].media;
        good = good && ring != NULL && fwrite(media->bytes, media->size, 1, ring) == 1 &&
               blank(ring, media);
        good = ring != NULL && fclose(ring) == 0 && good;
    }
    for (uint32_t i = 0; i < ENDPOINTS; i++)
        good = (e->gateway[i] == NULL || fclose(e->gateway[i]) == 0) && good;
    good = fclose(e->capture) == 0 && good;
    good = fclose(e->starts) == 0 && good;
    free(e);
    world->export = NULL;
    return good;
}
