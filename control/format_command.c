#include "control/format_command.h"

#include "control/address.h"
#include "control/exclusive.h"
#include "control/size.h"
#include "dataplane/ring/recover.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FORMAT_FAILED = 1,
    FORMAT_USAGE = 2,
    FORMAT_REFUSED = 6,
    FORMAT_CHECKPOINT_DEFAULT = 8 << 20 /* bytes: 1,024 sessions take a little over 2 MiB */
};

struct wish {
    const char *data;
    uint32_t replica, ip;
    uint16_t port;
    uint64_t size, checkpoint_size;
    bool force;
};

static const char help[] =
    "usage: keeld format --data PATH --replica N --address IP:PORT [--size SIZE] [options]\n"
    "\n"
    "Makes an empty ring and draws its identity, printed as one line for `keelctl genesis "
    "create`.\n"
    "\n"
    "  --data PATH             file (made if it is not there) or block device\n"
    "  --replica N             id of this replica, 1 to 7\n"
    "  --address IP:PORT       where peers and clients reach it\n"
    "  --size SIZE             of a file, like 4G; a device is taken whole\n"
    "  --checkpoint-size SIZE  of one of two checkpoint areas (default 8M)\n"
    "  --force                 make a new ring where one is: says what is lost\n"
    "\n"
    "example: keeld format --data /var/lib/keel/ring --replica 1 --address 10.0.0.1:7400 --size "
    "4G\n";

static int usage(const char *what)
{
    fprintf(stderr, "keeld: format: %s: see `keeld format --help`\n", what);
    return FORMAT_USAGE;
}

static int parse(int argc, char **argv, struct wish *w)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
                                            {"replica", required_argument, NULL, 'r'},
                                            {"address", required_argument, NULL, 'a'},
                                            {"size", required_argument, NULL, 's'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"checkpoint-size", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    uint64_t number;
    int option;
    *w = (struct wish){.checkpoint_size = FORMAT_CHECKPOINT_DEFAULT};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) { /* bound: argc */
        switch (option) {
        case 'd':
            w->data = optarg;
            break;
        case 'r':
            if (!address_number(optarg, 1, KEEL_REPLICA_MAX, &number))
                return usage("--replica wants a number from 1 to 7");
            w->replica = (uint32_t)number;
            break;
        case 'a':
            if (!address_ip_port(optarg, &w->ip, &w->port))
                return usage("--address wants IP:PORT, like 10.0.0.1:7400");
            break;
        case 's':
            if (!size_parse(optarg, &w->size))
                return usage("--size wants a number with K, M, G or T, like 4G");
            break;
        case 'c':
            if (!size_parse(optarg, &w->checkpoint_size) || w->checkpoint_size < 1u << 20)
                return usage("--checkpoint-size wants 1M or more");
            break;
        case 'f':
            w->force = true;
            break;
        case 'h':
            fputs(help, stdout);
            return -1;
        default:
            fprintf(stderr,
                    "keeld: format: %s: no such option, or its value is missing: see "
                    "`keeld format --help`\n",
                    argv[optind - 1]);
            return FORMAT_USAGE;
        }
    }
    if (optind != argc)
        return usage("there is a word too many");
    if (w->data == NULL || w->replica == 0 || w->port == 0)
        return usage("--data, --replica and --address are needed");
    return 0;
}

/* A device's size is its own; a file's is asked for. */
static int decide_size(struct wish *w)
{
    struct stat st;
    if (stat(w->data, &st) == 0 && S_ISBLK(st.st_mode)) {
        struct disk *disk;
        struct disk_facts facts;
        char why[DISK_PROBLEM_SIZE] = "";
        struct disk_options options = {.path = w->data, .read_only = true, .depth = 1};
        if (disk_open(&disk, &options, why) != 0) {
            fprintf(stderr, "keeld: format: %s\n", why);
            return FORMAT_FAILED;
        }
        disk_facts(disk, &facts);
        disk_close(disk);
        if (w->size == 0 || w->size > facts.size)
            w->size = facts.size;
        return 0;
    }
    return w->size == 0 ? usage("--size is needed for a file") : 0;
}

static int plan(const struct wish *w, struct ring_super *super)
{
    uint64_t blocks = (w->checkpoint_size + DISK_BLOCK - 1) / DISK_BLOCK + 1; /* and its head */
    uint64_t other = RING_RESERVED_BLOCKS + 2 * blocks;
    struct timespec now;
    memset(super, 0, sizeof(*super));
    if (w->size / DISK_BLOCK < other + RING_SLOTS_MIN) {
        fprintf(stderr,
                "keeld: format: %" PRIu64 " bytes are too few: two checkpoint areas of %" PRIu64
                " and %d pages need %" PRIu64 ": give a larger --size\n",
                w->size, w->checkpoint_size, RING_SLOTS_MIN, (other + RING_SLOTS_MIN) * DISK_BLOCK);
        return FORMAT_USAGE;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    super->magic = RING_SUPER_MAGIC;
    super->version = RING_VERSION;
    super->replica = w->replica;
    super->slots = w->size / DISK_BLOCK - other;
    super->checkpoint_blocks = blocks;
    super->formatted_utc_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    while (super->incarnation == 0) /* bound: chance */
        if (getrandom(&super->incarnation, sizeof(super->incarnation), 0) !=
            sizeof(super->incarnation))
            return FORMAT_FAILED;
    return 0;
}

/* No ring that would say its name: is it empty, too? */
static int look_for_data(const struct wish *w, struct disk *disk)
{
    uint64_t offset = 0;
    int rc = ring_first_data(disk, &offset);
    if (rc == -ENOENT)
        return 0;
    if (rc == 0)
        fprintf(stderr,
                "keeld: format: %s holds no ring, but it is not empty (byte %" PRIu64 ")%s\n",
                w->data, offset,
                w->force ? ": it is overwritten"
                         : ": refused: it may be another's data; --force overwrites it");
    else
        fprintf(stderr, "keeld: format: %s cannot be read: %s%s\n", w->data, strerror(-rc),
                w->force ? ": it is overwritten" : ": refused: --force overwrites it");
    return w->force ? 0 : FORMAT_REFUSED;
}

/* What stands there now. 0: nothing that matters, or --force. */
static int look(const struct wish *w, struct disk *disk)
{
    struct ring_super old;
    struct genesis genesis;
    char why[DISK_PROBLEM_SIZE] = "";
    int rc = ring_super_read(disk, &old, why);
    if (rc == -ENOENT)
        return look_for_data(w, disk);
    if (rc != 0) {
        fprintf(stderr, "keeld: format: %s holds %s ring (%s)%s\n", w->data,
                rc == -EPROTONOSUPPORT ? "another program's" : "a damaged", why,
                w->force ? ": it is overwritten" : ": refused: --force overwrites it");
        return w->force ? 0 : FORMAT_REFUSED;
    }
    bool member = ring_genesis_read(disk, &genesis, why) != -ENOENT; /* damaged, it is one, too */
    fprintf(
        stderr, "keeld: format: %s holds the ring of replica %u, incarnation %016" PRIx64 "%s%s\n",
        w->data, old.replica, old.incarnation,
        member ? ", a founder of a cluster: all that it alone still holds is lost, and its vote "
                 "with it"
               : ", which belongs to no cluster yet",
        w->force ? "" : ": refused: --force makes a new one in its place");
    return w->force ? 0 : FORMAT_REFUSED;
}

static void progress(void *context, uint64_t done, uint64_t total)
{
    int *shown = context;
    int percent = total > 0 ? (int)(done * 100 / total) : 100;
    if (percent == *shown || !isatty(STDERR_FILENO))
        return;
    *shown = percent;
    fprintf(stderr, "\rkeeld: format: %3d %%", percent);
    if (percent == 100)
        fputc('\n', stderr);
}

static int format(const struct wish *w)
{
    char why[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    struct disk *disk;
    int result = plan(w, &super);
    if (result != 0)
        return result;
    int rc = disk_create(w->data, w->size, why);
    struct disk_options options = {.path = w->data, .exclusive = true, .depth = DISK_DEPTH_MAX / 4};
    if (rc == 0)
        rc = exclusive_open(&disk, &options, why);
    if (rc != 0) {
        fprintf(stderr, "keeld: format: %s\n", why[0] != '\0' ? why : strerror(-rc));
        return rc == -EWOULDBLOCK ? FORMAT_REFUSED : FORMAT_FAILED;
    }
    result = look(w, disk);
    int shown = -1;
    if (result == 0) {
        rc = ring_format(disk, &super, progress, &shown, why);
        if (rc != 0)
            fprintf(stderr, "keeld: format: %s: %s\n", w->data,
                    why[0] != '\0' ? why : strerror(-rc));
        result = rc == 0 ? 0 : FORMAT_FAILED;
    }
    disk_close(disk);
    if (result != 0)
        return result;
    char text[ADDRESS_TEXT_MAX];
    printf("replica=%u incarnation=%016" PRIx64 " address=%s\n", w->replica, super.incarnation,
           address_text(text, w->ip, w->port));
    return fflush(stdout) == 0 ? 0 : FORMAT_FAILED;
}

int format_command(int argc, char **argv)
{
    struct wish wish;
    int result = parse(argc, argv, &wish);
    if (result != 0)
        return result < 0 ? 0 : result;
    result = decide_size(&wish);
    return result != 0 ? result : format(&wish);
}
