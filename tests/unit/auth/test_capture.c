/* Packets sealed here, judged by tests/auth/hkdf_check.py: by another language, another AES,
 * another HKDF. The script's path is the first argument; captures and keys go into a directory of
 * their own.
 */
#include "dataplane/auth/gmac.h"
#include "dataplane/auth/handshake_wire.h"
#include "tests/unit/auth/world.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PACKETS_MAX = 8192, FRAME_HEADS = 14 + 20 + 8 };

static const char *script;
static char directory[200];
static uint32_t packet_count;
static struct flight *packets;

static void keep(void *context, const struct flight *flight)
{
    (void)context;
    CU_ASSERT_FATAL(packet_count < PACKETS_MAX);
    packets[packet_count++] = *flight;
}

static const char *path_of(const char *name)
{
    static char path[2][256];
    static int turn;

    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", directory, name);
    return path[turn];
}

/* Ethernet, IPv4 and UDP around a payload; checksums are left out, as by an offloading card. */
static void frame_heads(uint8_t heads[FRAME_HEADS], const struct flight *flight)
{
    uint8_t fixed[FRAME_HEADS] = {
        2, 0, 0, 0, 0, (uint8_t)flight->to, 2, 0, 0, 0, 0, (uint8_t)flight->from, 8, 0, 0x45};
    uint16_t total = htons((uint16_t)(28 + flight->size));
    uint16_t size = htons((uint16_t)(8 + flight->size)), port = htons(7000);
    uint32_t from = htonl(0x0a000001 + flight->from), to = htonl(0x0a000001 + flight->to);

    memcpy(fixed + 16, &total, 2);
    fixed[22] = 64;
    fixed[23] = 17;
    memcpy(fixed + 26, &from, 4);
    memcpy(fixed + 30, &to, 4);
    memcpy(fixed + 34, &port, 2);
    memcpy(fixed + 36, &port, 2);
    memcpy(fixed + 38, &size, 2);
    memcpy(heads, fixed, sizeof fixed);
}

static void write_pcap(const char *name)
{
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, figures, snap, link;
    } head = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1};
    FILE *file = fopen(path_of(name), "wb");

    ENSURE(file != NULL && fwrite(&head, sizeof head, 1, file) == 1);
    for (uint32_t i = 0; i < packet_count; i++) {
        uint32_t whole = (uint32_t)(FRAME_HEADS + packets[i].size);
        uint32_t record[4] = {i, 0, whole, whole};
        uint8_t heads[FRAME_HEADS];
        frame_heads(heads, &packets[i]);
        ENSURE(fwrite(record, sizeof record, 1, file) == 1);
        ENSURE(fwrite(heads, sizeof heads, 1, file) == 1);
        ENSURE(fwrite(packets[i].bytes, packets[i].size, 1, file) == 1);
    }
    ENSURE(fclose(file) == 0);
}

static void write_hex(const char *name)
{
    FILE *file = fopen(path_of(name), "w");

    ENSURE(file != NULL);
    for (uint32_t i = 0; i < packet_count; i++) {
        for (size_t at = 0; at < packets[i].size; at++)
            fprintf(file, "%02x", packets[i].bytes[at]);
        fprintf(file, "\n");
    }
    ENSURE(fclose(file) == 0);
}

/* The key files as `keelctl key new` makes them; also read back by keyring_read(). */
static void write_keys(const struct world *w, const char *name, uint32_t without)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");

    ENSURE(file != NULL && chmod(path, 0600) == 0);
    for (uint32_t i = 0; i < w->node_count; i++) {
        char text[KEYRING_TEXT_MAX];
        if (w->node[i].principal == without)
            continue;
        const struct keyring_key *key = keyring_find(w->node[i].keys, w->node[i].principal);
        fwrite(text, 1, keyring_format_key(key, text), file);
    }
    ENSURE(fclose(file) == 0);
    struct keyring *ring = calloc(1, sizeof *ring);
    char problem[200];
    ENSURE(ring != NULL);
    CU_ASSERT(keyring_read(ring, path, problem) == 0);
    free(ring);
}

/* Runs the script on a capture; its exit code. What it said is left in `said`. */
static char said[8192];

static int judge(const char *option, const char *keys, const char *capture)
{
    char key_path[256], capture_path[256], out_path[256];

    snprintf(key_path, sizeof key_path, "%s", path_of(keys));
    snprintf(capture_path, sizeof capture_path, "%s", path_of(capture));
    snprintf(out_path, sizeof out_path, "%s", path_of("said"));
    pid_t pid = fork();
    ENSURE(pid >= 0);
    if (pid == 0) {
        int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(126);
        if (option != NULL)
            execlp("python3", "python3", "-B", script, option, "--keys", key_path, capture_path,
                   (char *)NULL);
        else
            execlp("python3", "python3", "-B", script, "--keys", key_path, capture_path,
                   (char *)NULL);
        _exit(127);
    }
    int status = 0;
    ENSURE(waitpid(pid, &status, 0) == pid);
    FILE *file = fopen(out_path, "r");
    ENSURE(file != NULL);
    said[fread(said, 1, sizeof said - 1, file)] = '\0';
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The script's count of that name. */
static uint64_t counted(const char *name)
{
    char pattern[40];

    snprintf(pattern, sizeof pattern, "%s=", name);
    const char *at = strstr(said, pattern);
    return at == NULL ? UINT64_MAX : strtoull(at + strlen(pattern), NULL, 10);
}

/* True if the script named that packet (counted from 0 here, from 1 there). */
static bool names(const char *capture, uint32_t packet)
{
    char pattern[280];

    snprintf(pattern, sizeof pattern, "%s:%u:", path_of(capture), packet + 1);
    return strstr(said, pattern) != NULL;
}

/* A lively history: every kind of fault, restarts, two clients. */
static struct world *lively_world(uint64_t seed)
{
    struct world *w = world_new(seed, 3, 2);

    packet_count = 0;
    w->capture = keep;
    w->loss = 15;
    w->doubled = 15;
    w->replayed = 15;
    w->delay_ms = 100;
    for (uint32_t i = 0; i < w->node_count; i++)
        world_start(w, i);
    for (int ms = 0; ms < 3000; ms++) {
        world_step(w);
        uint32_t from = rng_below(&w->rng, 5), to = rng_below(&w->rng, 3);
        if (from != to)
            world_talk(w, from, to, from < 3 ? PACKET_APPEND : PACKET_SUBMIT);
        if (ms % 700 == 699)
            world_start(w, rng_below(&w->rng, 5));
    }
    return w;
}

static uint32_t some_sealed(struct world *w)
{
    uint32_t at = rng_below(&w->rng, packet_count);

    while (handshake_is_packet(packets[at].bytes, packets[at].size))
        at = (at + 1) % packet_count;
    return at;
}

/* H18: by keys derived from captures and key files alone, packets and distinct (key, nonce) pairs
 * are equal, and equal to what was sealed here. */
static void test_accepts(void)
{
    struct world *w = lively_world(1);

    write_keys(w, "keys", 0);
    write_pcap("good.pcap");
    int code = judge(NULL, "keys", "good.pcap");
    printf("# %s", said);
    CU_ASSERT(code == 0);
    CU_ASSERT(counted("payloads") == packet_count && counted("foreign") == 0);
    CU_ASSERT(counted("authenticated") == w->sealed_count && w->sealed_count > 1000);
    CU_ASSERT(counted("pairs") == w->sealed_count && counted("unverified") == 0);
    CU_ASSERT(counted("associations") > 20);
    for (uint32_t i = 0; i < 50; i++) /* copies, as of a replay or a second tap, are no reuse */
        packets[packet_count++] = packets[some_sealed(w)];
    write_hex("good.hex");
    CU_ASSERT(judge(NULL, "keys", "good.hex") == 0);
    CU_ASSERT(counted("pairs") == w->sealed_count && counted("copies") >= 50);
    world_free(w);
}

/* Seals packet `at` anew, with another body, under the key and counter that it has: nonce reuse. */
static void plant_reuse(struct world *w, uint32_t at)
{
    struct flight planted = packets[at];
    struct packet head;
    struct gmac gmac;
    struct gmac_key key;
    uint8_t old_tag[GMAC_TAG_SIZE];
    size_t covered = planted.size - GMAC_TAG_SIZE;
    bool found = false;

    memcpy(&head, planted.bytes, sizeof head);
    ENSURE(gmac_init(&gmac));
    for (uint32_t i = 0; i < w->key_count && !found; i++) {
        if (w->key[i].node != planted.from || w->key[i].peer_handle != head.assoc)
            continue;
        gmac_expand(&gmac, w->key[i].key, &key);
        gmac_tag(&gmac, &key, head.counter, planted.bytes, covered, old_tag);
        found = memcmp(old_tag, planted.bytes + covered, sizeof old_tag) == 0;
    }
    CU_ASSERT_FATAL(found);
    planted.bytes[2] ^= AUTH_KIND_PING ^ AUTH_KIND_PONG; /* also of a packet without a body */
    gmac_tag(&gmac, &key, head.counter, planted.bytes, covered, planted.bytes + covered);
    packets[packet_count++] = planted;
}

static void test_finds_nonce_reuse(void)
{
    struct world *w = lively_world(2);

    write_keys(w, "keys", 0);
    uint32_t at = some_sealed(w);
    plant_reuse(w, at);
    write_pcap("reuse.pcap");
    CU_ASSERT(judge(NULL, "keys", "reuse.pcap") == 1);
    CU_ASSERT(names("reuse.pcap", packet_count - 1) && strstr(said, "key and nonce") != NULL);
    CU_ASSERT(counted("authenticated") == counted("pairs") + 1);
    CU_ASSERT(judge("--skip-unverified", "keys", "reuse.pcap") == 1);
    world_free(w);
}

/* One bit of one packet, anywhere in it. */
static void test_finds_tampering(void)
{
    struct world *w = lively_world(3);

    write_keys(w, "keys", 0);
    for (int i = 0; i < 6; i++) {
        uint32_t at = some_sealed(w);
        struct flight kept = packets[at];
        /* counter, cluster, body or tag: addresses and magic would make it another's packet */
        size_t byte = 16 + rng_below(&w->rng, (uint32_t)kept.size - 16);
        packets[at].bytes[byte] ^= (uint8_t)(1 << rng_below(&w->rng, 8));
        write_pcap("bad.pcap");
        CU_ASSERT(judge(NULL, "keys", "bad.pcap") == 1);
        CU_ASSERT(names("bad.pcap", at) && counted("unverified") == 1);
        CU_ASSERT(judge("--skip-unverified", "keys", "bad.pcap") == 0);
        CU_ASSERT(counted("unverified") == 1);
        packets[at] = kept;
    }
    for (uint32_t at = 0; at < packet_count; at++) { /* a handshake's proof */
        if (packets[at].bytes[2] != PACKET_SALT_REPLY)
            continue;
        packets[at].bytes[50] ^= 1;
        write_pcap("bad.pcap");
        CU_ASSERT(judge(NULL, "keys", "bad.pcap") == 1 && names("bad.pcap", at));
        break;
    }
    world_free(w);
}

static void test_finds_missing_keys(void)
{
    struct world *w = lively_world(4);

    write_keys(w, "keys", 100);
    write_pcap("keyless.pcap");
    CU_ASSERT(judge(NULL, "keys", "keyless.pcap") == 1 && counted("unverified") > 10);
    CU_ASSERT(judge(NULL, "nowhere", "keyless.pcap") == 2);
    CU_ASSERT(judge(NULL, "keys", "nowhere.pcap") == 2);
    CU_ASSERT(judge(NULL, "keys", "keys") == 2); /* neither pcap nor hex */
    ENSURE(truncate(path_of("keyless.pcap"), 5000) == 0);
    CU_ASSERT(judge(NULL, "keys", "keyless.pcap") == 2 && strstr(said, "cut off") != NULL);
    packet_count = 0;
    write_pcap("empty.pcap");
    CU_ASSERT(judge(NULL, "keys", "empty.pcap") == 1); /* nothing captured shows nothing */
    world_free(w);
}

static void remove_files(void)
{
    static const char *const files[] = {"keys",     "said",       "good.pcap",  "good.hex",
                                        "bad.pcap", "reuse.pcap", "empty.pcap", "keyless.pcap"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(path_of(files[i]));
    rmdir(directory);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        {"H18: a lively history is accepted, with equal counts", test_accepts},
        {"H18: planted nonce reuse is named", test_finds_nonce_reuse},
        {"a flipped bit is named", test_finds_tampering},
        {"missing keys, files and packets", test_finds_missing_keys},
        {0}};
    const char *temporary = getenv("TMPDIR");

    if (argc != 2) {
        fprintf(stderr, "usage: %s tests/auth/hkdf_check.py\n", argv[0]);
        return 2;
    }
    script = argv[1];
    snprintf(directory, sizeof directory, "%.150s/keel-auth-XXXXXX",
             temporary != NULL ? temporary : P_tmpdir);
    ENSURE(mkdtemp(directory) != NULL);
    packets = calloc(PACKETS_MAX, sizeof *packets);
    ENSURE(packets != NULL);
    int result = unit_main("capture", tests);
    remove_files();
    free(packets);
    return result;
}
