/* keel-floor-disk FOLDER ROUNDS: the second fastest of three concurrent raw 4 KiB writes, each with
 * O_DIRECT and O_DSYNC into its own preallocated file. Prints one JSON object, nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 3, BLOCK = 4096, BLOCKS = 256, ROUNDS_MAX = 100000 };

struct writer {
    int fd;
    uint32_t rounds;
    pthread_barrier_t *barrier;
    uint64_t *took_ns; /* [rounds] */
    int error;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *write_all(void *context)
{
    struct writer *w = context;
    uint8_t *block = aligned_alloc(BLOCK, BLOCK);
    if (block == NULL)
        w->error = ENOMEM;
    else
        memset(block, 0x5a, BLOCK);
    for (uint32_t i = 0; i < w->rounds; i++) {
        pthread_barrier_wait(w->barrier);
        uint64_t began = now_ns();
        if (w->error == 0 &&
            pwrite(w->fd, block, BLOCK, (off_t)(i % BLOCKS) * BLOCK) != (ssize_t)BLOCK)
            w->error = errno != 0 ? errno : EIO;
        w->took_ns[i] = now_ns() - began;
    }
    free(block);
    return NULL;
}

static int prepare(struct writer *w, const char *folder, int i)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/floor-%d", folder, i);
    w->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return -1;
    unlink(path);
    /* written once, so that no round pays for a block's first use */
    void *zeros = aligned_alloc(BLOCK, (size_t)BLOCKS * BLOCK);
    if (zeros == NULL)
        return -1;
    memset(zeros, 0, (size_t)BLOCKS * BLOCK);
    bool good = pwrite(w->fd, zeros, (size_t)BLOCKS * BLOCK, 0) == (ssize_t)BLOCKS * BLOCK;
    free(zeros);
    return good ? 0 : -1;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, uint64_t *value, uint32_t count, const char *end)
{
    qsort(value, count, sizeof(value[0]), by_value);
    printf("\"%s_p50_ns\": %lu, \"%s_p99_ns\": %lu%s", name, (unsigned long)value[count / 2], name,
           (unsigned long)value[(uint64_t)count * 99 / 100], end);
}

int main(int argc, char **argv)
{
    struct writer w[WRITERS] = {0};
    pthread_t thread[WRITERS];
    pthread_barrier_t barrier;
    uint32_t rounds = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: keel-floor-disk FOLDER ROUNDS\n");
        return 2;
    }
    uint64_t *second = calloc(rounds, sizeof(*second));
    uint64_t *single = calloc(rounds, sizeof(*single));
    if (second == NULL || single == NULL)
        return 1;
    pthread_barrier_init(&barrier, NULL, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        w[i].rounds = rounds;
        w[i].barrier = &barrier;
        w[i].took_ns = calloc(rounds, sizeof(uint64_t));
        if (w[i].took_ns == NULL || prepare(&w[i], argv[1], i) != 0) {
            fprintf(stderr, "keel-floor-disk: %s: %s\n", argv[1], strerror(errno));
            return 1;
        }
    }
    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&thread[i], NULL, write_all, &w[i]) != 0)
            return 1;
    for (int i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < WRITERS; i++) {
        if (w[i].error == 0)
            continue;
        fprintf(stderr, "keel-floor-disk: %s: %s\n", argv[1], strerror(w[i].error));
        return 1;
    }
    for (uint32_t k = 0; k < rounds; k++) {
        uint64_t three[WRITERS] = {w[0].took_ns[k], w[1].took_ns[k], w[2].took_ns[k]};
        qsort(three, WRITERS, sizeof(three[0]), by_value);
        second[k] = three[1];
        single[k] = w[0].took_ns[k];
    }
    printf("{");
    print_quantiles("second", second, rounds, ", ");
    print_quantiles("any", single, rounds, "}\n");
    return 0;
}
