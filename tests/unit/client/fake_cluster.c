/* The fake cluster on real UDP sockets, with a feed line and a request server, as a process for
 * tests of keelcat. Says where it listens, then takes commands from standard input, one a line:
 *
 *     lead N | nobody | down N | up N | busy 0|1 | deaf 0|1 | mute 0|1 | loss PERCENT | day NAME |
 * quit
 *
 *     fake_cluster KEYFILE [LINE-IP:PORT ...]
 */
#include "client/address.h"
#include "client/net.h"
#include "consensus/wire/feed.h"
#include "tests/unit/client/fake.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINES_MAX = 2, STORE_MAX = 300000, REPLY_MAX = 20, HEARTBEAT_MS = 100 };

struct stored {
    uint16_t size;
    uint8_t *bytes;
};

struct server {
    struct fake fake;
    struct net member[FAKE_MEMBERS];
    struct net line;
    struct net requests;
    struct address lines[LINES_MAX];
    uint32_t line_count;
    uint32_t loss;
    struct stored *store; /* by feed number of the present day */
    uint64_t published;   /* next number to publish */
    uint64_t beat_ns;
    bool quit;
};

static uint16_t port_of(const struct net *net)
{
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    getsockname(net->fd, (struct sockaddr *)&at, &size);
    return ntohs(at.sin_port);
}

static bool lost(struct server *s)
{
    return s->loss > 0 && rng_below(&s->fake.rng, 100) < s->loss;
}

static void member_sends(void *context, uint32_t member, uint32_t ip, uint16_t port,
                         const void *packet, size_t size)
{
    struct server *s = context;
    if (!lost(s))
        net_send(&s->member[member], ip, port, packet, size);
}

/* --- feed ------------------------------------------------------------------------------------- */

static void taken(void *context, uint64_t feed, const uint8_t *payload, size_t size)
{
    struct server *s = context;
    if (feed >= STORE_MAX)
        exit(3);
    free(s->store[feed].bytes);
    s->store[feed].bytes = malloc(size + 1);
    if (size > 0)
        memcpy(s->store[feed].bytes, payload, size);
    s->store[feed].size = (uint16_t)size;
}

static size_t pack(struct server *s, uint64_t *number, uint64_t end, uint8_t *bytes)
{
    uint64_t first = *number;
    size_t size = MOLD_HEADER_SIZE;
    while (*number < end && *number - first < REPLY_MAX) {
        const struct stored *m = &s->store[*number];
        if (size + MOLD_BLOCK_HEAD_SIZE + m->size > KEEL_DATAGRAM_MAX)
            break;
        mold_length_pack(bytes + size, m->size);
        if (m->size > 0)
            memcpy(bytes + size + MOLD_BLOCK_HEAD_SIZE, m->bytes, m->size);
        size += MOLD_BLOCK_HEAD_SIZE + (size_t)m->size;
        (*number)++;
    }
    mold_header_pack((struct mold_header *)bytes, s->fake.machine->day, first,
                     (uint16_t)(*number - first));
    return size;
}

static void say(struct server *s, const uint8_t *bytes, size_t size)
{
    for (uint32_t i = 0; i < s->line_count; i++)
        if (!lost(s))
            net_send(&s->line, s->lines[i].ip, s->lines[i].port, bytes, size);
}

static void publish(struct server *s)
{
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    uint64_t now_ns = net_now_ns();
    while (s->published < s->fake.machine->feed_next) {
        size_t size = pack(s, &s->published, s->fake.machine->feed_next, bytes);
        say(s, bytes, size);
    }
    if (now_ns - s->beat_ns >= HEARTBEAT_MS * FAKE_MS) {
        s->beat_ns = now_ns;
        mold_header_pack((struct mold_header *)bytes, s->fake.machine->day, s->published, 0);
        say(s, bytes, MOLD_HEADER_SIZE);
    }
    net_flush(&s->line);
}

static void serve(struct server *s)
{
    unsigned count = net_receive(&s->requests);
    for (unsigned i = 0; i < count; i++) {
        size_t size;
        uint32_t ip;
        uint16_t port;
        const struct mold_header *header =
            (const struct mold_header *)net_datagram(&s->requests, i, &size, &ip, &port);
        uint64_t first = size == MOLD_HEADER_SIZE ? mold_sequence(header) : 0;
        if (first == 0 || first >= s->published ||
            memcmp(header->session, s->fake.machine->day, KEEL_DAY_NAME_SIZE) != 0)
            continue;
        uint8_t bytes[KEEL_DATAGRAM_MAX];
        uint64_t end = first + mold_count(header);
        size = pack(s, &first, end < s->published ? end : s->published, bytes);
        if (!lost(s))
            net_send(&s->requests, ip, port, bytes, size);
    }
    net_flush(&s->requests);
}

/* The day's end on the line, then the next day's first number. */
static void roll_day(struct server *s, const char *name)
{
    uint8_t bytes[MOLD_HEADER_SIZE];
    char old[KEEL_DAY_NAME_SIZE + 1] = {0};
    publish(s);
    memcpy(old, s->fake.machine->day, KEEL_DAY_NAME_SIZE);
    mold_header_pack((struct mold_header *)bytes, old, s->published, MOLD_END_OF_SESSION);
    uint32_t loss = s->loss;
    s->loss = 0;
    for (uint32_t i = 0; i < 3; i++)
        say(s, bytes, sizeof(bytes));
    s->loss = loss;
    *strchrnul(old, ' ') = 0;
    fake_day(&s->fake, ENTRY_DAY_END, old);
    fake_day(&s->fake, ENTRY_DAY_BEGIN, name);
    s->published = 1;
}

/* --- commands --------------------------------------------------------------------------------- */

static void obey(struct server *s, const char *line)
{
    char word[32] = "", value[32] = "";
    sscanf(line, "%31s %31s", word, value);
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);
    if (strcmp(word, "lead") == 0)
        fake_lead(&s->fake, number - 1);
    else if (strcmp(word, "nobody") == 0)
        s->fake.leader = s->fake.named = FAKE_NOBODY;
    else if (strcmp(word, "down") == 0)
        s->fake.member[number - 1].up = false;
    else if (strcmp(word, "up") == 0)
        fake_restart(&s->fake, number - 1);
    else if (strcmp(word, "busy") == 0)
        s->fake.busy = number != 0;
    else if (strcmp(word, "deaf") == 0)
        s->fake.deaf = number != 0;
    else if (strcmp(word, "mute") == 0)
        s->fake.mute = number != 0;
    else if (strcmp(word, "loss") == 0)
        s->loss = number;
    else if (strcmp(word, "day") == 0)
        roll_day(s, value);
    else if (strcmp(word, "quit") == 0)
        s->quit = true;
    printf("did %s sequenced %llu sessions %u\n", word,
           (unsigned long long)s->fake.machine->feed_next - 1, s->fake.machine->session_count);
    fflush(stdout);
}

static void commands(struct server *s)
{
    char text[512];
    ssize_t n = read(STDIN_FILENO, text, sizeof(text) - 1);
    if (n <= 0) {
        s->quit = true;
        return;
    }
    text[n] = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (*line != 0)
            obey(s, line);
}

/* --- life ------------------------------------------------------------------------------------- */

static void write_key(const struct server *s, const char *path)
{
    char text[KEYRING_TEXT_MAX];
    size_t size = keyring_format_key(&s->fake.keys->key[0], text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size)
        exit(3);
    close(fd);
}

static void start(struct server *s, int argc, char **argv)
{
    struct address local = {.ip = INADDR_LOOPBACK};
    char why[128];
    fake_init(&s->fake, 1);
    s->fake.send = member_sends;
    s->fake.taken_hook = taken;
    s->fake.context = s;
    s->store = calloc(STORE_MAX, sizeof(*s->store));
    s->published = 1;
    write_key(s, argv[1]);
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        if (net_open(&s->member[i], &local) != 0)
            exit(3);
    if (net_open(&s->line, &local) != 0 || net_open(&s->requests, &local) != 0)
        exit(3);
    for (int i = 2; i < argc && s->line_count < LINES_MAX; i++)
        if (address_list(argv[i], ADDRESS_LINE, &s->lines[s->line_count++], 1, why, sizeof(why)) !=
            1)
            exit(3);
    printf("members 1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u\nrequest 127.0.0.1:%u\n",
           port_of(&s->member[0]), port_of(&s->member[1]), port_of(&s->member[2]),
           port_of(&s->requests));
    fflush(stdout);
}

static void stop(struct server *s)
{
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        net_close(&s->member[i]);
    net_close(&s->line);
    net_close(&s->requests);
    for (uint32_t i = 0; i < STORE_MAX; i++)
        free(s->store[i].bytes);
    free(s->store);
    fake_free(&s->fake);
    free(s);
}

static void turn(struct server *s)
{
    struct pollfd fds[FAKE_MEMBERS + 2];
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        fds[i] = (struct pollfd){.fd = s->member[i].fd, .events = POLLIN};
    fds[FAKE_MEMBERS] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    fds[FAKE_MEMBERS + 1] = (struct pollfd){.fd = s->requests.fd, .events = POLLIN};
    poll(fds, FAKE_MEMBERS + 2, HEARTBEAT_MS);
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++) {
        unsigned count = net_receive(&s->member[i]);
        for (unsigned k = 0; k < count; k++) {
            size_t size;
            uint32_t ip;
            uint16_t port;
            const uint8_t *packet = net_datagram(&s->member[i], k, &size, &ip, &port);
            if (!lost(s))
                fake_receive(&s->fake, i, ip, port, packet, size, net_now_ns());
        }
        net_flush(&s->member[i]);
    }
    if (fds[FAKE_MEMBERS].revents != 0)
        commands(s);
    serve(s);
    publish(s);
}

static char **arguments;
static int argument_count;

static void serve_until_quit(void)
{
    struct server *s = calloc(1, sizeof(*s));
    start(s, argument_count, arguments);
    while (!s->quit)
        turn(s);
    CU_ASSERT(fake_order_ok(&s->fake));
    stop(s);
}

/* The fake asserts with CUnit, so it runs as a test of its own. */
int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    arguments = argv;
    argument_count = argc;
    CU_initialize_registry();
    CU_pSuite suite = CU_add_suite("fake", NULL, NULL);
    CU_add_test(suite, "serve", serve_until_quit);
    CU_run_all_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}
