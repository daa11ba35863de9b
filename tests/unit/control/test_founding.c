/* Founders over packets: three of them, a wire of memory, a clock that a test moves. */
#include "control/founding.h"

#include "dataplane/crc32c.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

enum { FOUNDERS = 3, QUEUE = 256, STEP_MS = 5 };

struct server {
    uint8_t id;
    uint64_t incarnation, boot;
    bool up, may_write;
    bool record_only; /* has a record, and answers */
    struct founding *founding;
    struct paxos_record drive;
    struct founding_boot seen[KEEL_REPLICA_MAX + 1]; /* as written */
    uint64_t writes;
    struct founding_options options;
};

struct datagram {
    struct handshake_address from;
    uint32_t to_ip;
    size_t size;
    uint8_t bytes[FOUNDING_PACKET_MAX];
};

static struct server server[KEEL_REPLICA_MAX + 1];
static struct datagram queue[QUEUE];
static uint32_t queued;
static uint64_t now_ns, random_state;
static uint32_t cut; /* mask of servers that hear and say nothing */
static bool answering;
static struct keyring ring;

static void random_bytes(void *context, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    (void)context;
    for (size_t i = 0; i < size; i++) {
        random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
        at[i] = (uint8_t)(random_state >> 33);
    }
}

static uint32_t ip_of(uint8_t id)
{
    return 0x0a000000u + id;
}

static void post(void *context, const struct handshake_address *to, const uint8_t *bytes,
                 size_t size)
{
    const struct server *s = context;
    CU_ASSERT_FATAL(size <= FOUNDING_PACKET_MAX);
    if (queued == QUEUE || (cut >> s->id & 1) != 0)
        return;
    struct datagram *d = &queue[queued++];
    d->from = (struct handshake_address){.ip = ip_of(s->id), .port = 7400};
    d->to_ip = to->ip;
    d->size = size;
    memcpy(d->bytes, bytes, size);
}

static int write_record(void *context, const struct paxos_record *record,
                        const struct founding_boot seen[KEEL_REPLICA_MAX + 1])
{
    struct server *s = context;
    if (!s->may_write)
        return -EIO;
    s->writes++;
    s->drive = *record;
    memcpy(s->seen, seen, sizeof(s->seen));
    return 0;
}

static bool answers(void *context, uint8_t id, uint64_t incarnation)
{
    (void)context;
    (void)id;
    (void)incarnation;
    return answering;
}

static struct genesis list_of(uint8_t count)
{
    struct genesis g;
    genesis_defaults(&g);
    memcpy(g.day, "D1        ", KEEL_DAY_NAME_SIZE);
    for (uint8_t id = 1; id <= count; id++)
        g.founder[id] =
            (struct genesis_founder){.incarnation = 10u + id, .ip = ip_of(id), .port = 7400};
    return g;
}

static void seal_of(struct genesis *g, uint64_t cluster)
{
    g->cluster_id = cluster;
    g->crc = crc32c(g, offsetof(struct genesis, crc));
}

static void start(uint8_t id, const struct genesis *list)
{
    struct server *s = &server[id];
    s->options = (struct founding_options){.id = id,
                                           .incarnation = s->incarnation,
                                           .boot = ++s->boot,
                                           .boot_id = 100 * id + s->boot,
                                           .keys = &ring,
                                           .record = s->drive,
                                           .random = random_bytes,
                                           .send = post,
                                           .write = s->record_only ? NULL : write_record,
                                           .answers = s->record_only ? answers : NULL,
                                           .context = s};
    memcpy(s->options.seen, s->seen, sizeof(s->seen));
    if (list != NULL) {
        s->options.proposal = *list;
        seal_of(&s->options.proposal, 1000u * id + s->boot);
    }
    if (s->founding == NULL)
        s->founding = aligned_alloc(64, founding_size());
    s->founding = founding_init(s->founding, &s->options, now_ns);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s->founding);
    s->up = true;
}

/* Keys as keys.h says: each one's own and those below; here one ring for all. */
static void begin_world(void)
{
    memset(server, 0, sizeof(server));
    memset(&ring, 0, sizeof(ring));
    queued = 0;
    cut = 0;
    answering = true;
    now_ns = 1000 * MS;
    random_state = 7;
    for (uint8_t id = 1; id <= FOUNDERS; id++) {
        server[id] = (struct server){.id = id, .incarnation = 10u + id, .may_write = true};
        struct keyring_key *key = &ring.key[ring.count++];
        *key = (struct keyring_key){.principal = id, .rights = AUTH_RIGHT_PEER, .key_count = 1};
        memset(key->key[0], id, sizeof(key->key[0]));
    }
}

static void end_world(void)
{
    for (uint8_t id = 1; id <= FOUNDERS; id++) {
        if (server[id].founding != NULL && server[id].up)
            founding_stop(server[id].founding);
        free(server[id].founding);
    }
}

static void run_ms(uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += STEP_MS) {
        now_ns += STEP_MS * MS;
        uint32_t count = queued;
        static struct datagram now[QUEUE];
        memcpy(now, queue, count * sizeof(now[0]));
        queued = 0;
        for (uint32_t i = 0; i < count; i++)
            for (uint8_t id = 1; id <= FOUNDERS; id++)
                if (server[id].up && now[i].to_ip == ip_of(id) && (cut >> id & 1) == 0)
                    founding_datagram(server[id].founding, &now[i].from, now[i].bytes, now[i].size,
                                      now_ns);
        for (uint8_t id = 1; id <= FOUNDERS; id++)
            if (server[id].up)
                founding_turn(server[id].founding, now_ns);
    }
}

static struct founding_status status_of(uint8_t id)
{
    struct founding_status s;
    founding_status(server[id].founding, &s);
    return s;
}

static void all_decide_alike(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    for (uint8_t id = 1; id <= 3; id++)
        start(id, &list);
    run_ms(5000);
    const struct founding_status first = status_of(1);
    for (uint8_t id = 1; id <= 3; id++) {
        struct founding_status s = status_of(id);
        CU_ASSERT(s.decided && s.why == PAXOS_WHY_INSTALLED && s.writes >= 2);
        CU_ASSERT(memcmp(&s.genesis, &first.genesis, sizeof(s.genesis)) == 0);
        CU_ASSERT(server[id].drive.decided == 1 && s.handshakes > 0 && s.received > 0);
    }
    end_world();
}

/* Two are replicas and have the record; the third, below them or above, asks and is sought. */
static void a_replica_answers(void)
{
    for (uint8_t last = 1; last <= 3; last += 2) {
        begin_world();
        const struct genesis list = list_of(3);
        struct genesis record = list;
        seal_of(&record, 77);
        for (uint8_t id = 1; id <= 3; id++) {
            if (id == last)
                continue;
            paxos_record_installed(&server[id].drive, server[id].incarnation, &record);
            server[id].record_only = true;
            start(id, &record);
        }
        answering = false; /* it is known as a member: neither sought nor answered */
        start(last, &list);
        run_ms(3000);
        CU_ASSERT(!status_of(last).decided && status_of(last).why == PAXOS_WHY_SILENT);
        CU_ASSERT(status_of(2).decided && status_of(2).handshakes == 0);
        answering = true;
        run_ms(3000);
        CU_ASSERT(status_of(last).decided);
        CU_ASSERT_EQUAL(status_of(last).genesis.cluster_id, 77);
        CU_ASSERT_EQUAL(server[2].writes, 0);
        end_world();
    }
}

/* Only a replica below it has the key of the one that asks. */
static void a_replica_seeks_who_is_above(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    struct genesis record = list;
    static struct keyring above;
    above = ring;
    seal_of(&record, 77);
    paxos_record_installed(&server[1].drive, server[1].incarnation, &record);
    server[1].record_only = true;
    ring.count = 1; /* its own */
    start(1, &record);
    start(3, &list);
    founding_keys(server[3].founding, &above);
    run_ms(3000);
    CU_ASSERT(status_of(3).decided);
    CU_ASSERT_EQUAL(status_of(3).genesis.cluster_id, 77);
    end_world();
}

static void says_why(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    struct genesis other = list;
    start(1, &list);
    CU_ASSERT(status_of(1).why == PAXOS_WHY_SILENT && status_of(1).about == 2);
    CU_ASSERT_STRING_EQUAL(founding_phase(&(struct founding_status){.why = PAXOS_WHY_SILENT}),
                           "compare");
    other.founder[3].port++;
    start(2, &other);
    run_ms(1500);
    CU_ASSERT(status_of(1).why == PAXOS_WHY_OTHER_LIST && status_of(1).about == 2);
    CU_ASSERT(status_of(2).why == PAXOS_WHY_OTHER_LIST && status_of(2).about == 1);
    other = list;
    other.stall_ms--;
    start(2, &other);
    run_ms(3000);
    CU_ASSERT(status_of(1).why == PAXOS_WHY_OTHER_LIMITS && status_of(1).about == 2);
    CU_ASSERT(status_of(1).founder[2].heard_ns > 0 && status_of(1).founder[3].heard_ns == 0);
    end_world();
}

/* A founder in a cluster that does not name this one: told, with that cluster. */
static void a_founder_of_another_cluster(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    struct genesis other = list_of(2);
    other.founder[1].incarnation = 999;
    seal_of(&other, 77);
    paxos_record_installed(&server[2].drive, server[2].incarnation, &other);
    server[2].record_only = true;
    start(2, NULL);
    start(1, &list);
    run_ms(2000);
    struct founding_status s = status_of(1);
    CU_ASSERT(s.why == PAXOS_WHY_CLUSTER_STRANGE && s.about == 2);
    CU_ASSERT_EQUAL(s.founder[2].cluster, 77);
    CU_ASSERT_EQUAL(s.drop[PAXOS_DROP_STRANGER] > 0, true);
    end_world();
}

/* H2: the drive of a founder as it was before is put back; its boot, and what it promised, are
 * those of then. */
static void h2_an_older_copy_is_refused(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    start(1, &list);
    start(2, &list);
    run_ms(1000);
    struct server image = server[2];
    start(2, &list);
    run_ms(2500);
    CU_ASSERT_EQUAL(status_of(1).why, PAXOS_WHY_SILENT);
    CU_ASSERT_EQUAL(status_of(1).about, 3);
    start(3, &list); /* the lock is written, and with it who was heard */
    cut = 1u << 2;
    run_ms(50);
    server[2].boot = image.boot - 1; /* the same start again, with another boot id */
    server[2].drive = image.drive;
    start(2, &list);
    server[2].options.boot_id++;
    cut = 0;
    server[3].up = false;
    run_ms(4000);
    CU_ASSERT(status_of(1).founder[2].older);
    CU_ASSERT(status_of(1).handshake_reject[HANDSHAKE_OLD_BOOT] +
                  status_of(2).handshake_reject[HANDSHAKE_OLD_BOOT] >
              0);
    char why[FOUNDING_TEXT_MAX], remedy[FOUNDING_TEXT_MAX];
    struct founding_status s = {.why = PAXOS_WHY_SILENT, .about = 2};
    s.founder[2].older = true;
    founding_why_text(&s, why, remedy);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "founder 2 runs from an older copy"));
    end_world();
}

/* What was heard survives a restart with the record. */
static void boots_are_written(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    for (uint8_t id = 1; id <= 3; id++)
        start(id, &list);
    run_ms(5000);
    for (uint8_t id = 1; id <= 3; id++)
        for (uint8_t other = 1; other <= 3; other++)
            if (other != id) {
                CU_ASSERT_EQUAL(server[id].seen[other].incarnation, 10u + other);
                CU_ASSERT_EQUAL(server[id].seen[other].boot, 1);
            }
    end_world();
}

static void a_write_that_fails_silences(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    server[2].may_write = false;
    for (uint8_t id = 1; id <= 3; id++)
        start(id, &list);
    run_ms(6000);
    CU_ASSERT_EQUAL(status_of(2).why, PAXOS_WHY_FAILED);
    CU_ASSERT_STRING_EQUAL(founding_phase(&(struct founding_status){.why = PAXOS_WHY_FAILED}),
                           "refused");
    CU_ASSERT(!status_of(1).decided && !status_of(3).decided);
    CU_ASSERT(status_of(1).why == PAXOS_WHY_UNLOCKED && status_of(1).about == 2);
    end_world();
}

/* Whatever is no good packet of cluster 0 is counted, and nothing else. */
static void bad_packets_are_counted(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    start(1, &list);
    start(2, &list);
    run_ms(1000);
    const struct handshake_address from = {.ip = ip_of(2), .port = 7400};
    uint8_t bytes[80] = {PACKET_MAGIC, PACKET_VERSION, PACKET_GENESIS};
    uint64_t received = status_of(1).received;
    founding_datagram(server[1].founding, &from, bytes, 3, now_ns);
    founding_datagram(server[1].founding, &from, bytes, sizeof(bytes), now_ns);
    bytes[16] = 1; /* counter */
    bytes[8] = 1;  /* to */
    bytes[24] = 9; /* cluster */
    founding_datagram(server[1].founding, &from, bytes, sizeof(bytes), now_ns);
    struct founding_status s = status_of(1);
    CU_ASSERT(s.auth_reject[AUTH_MALFORMED] >= 2 && s.auth_reject[AUTH_WRONG_CLUSTER] == 1);
    CU_ASSERT_EQUAL(s.received, received);
    /* A client's cookie question: nothing is answered, and no place is taken from founders. */
    struct packet question = {
        .magic = PACKET_MAGIC, .version = PACKET_VERSION, .kind = PACKET_HELLO};
    question.from = KEEL_CLIENT_MIN;
    uint64_t no_right = s.auth_reject[AUTH_NO_RIGHT];
    founding_datagram(server[1].founding, &from, (const uint8_t *)&question, sizeof(question),
                      now_ns);
    s = status_of(1);
    CU_ASSERT_EQUAL(s.auth_reject[AUTH_NO_RIGHT], no_right + 1);
    end_world();
}

static void keys_can_change(void)
{
    begin_world();
    const struct genesis list = list_of(3);
    for (uint8_t id = 1; id <= 3; id++)
        start(id, &list);
    cut = 1u << 3;
    run_ms(1000);
    static struct keyring other;
    other = ring;
    for (uint32_t i = 0; i < other.count; i++)
        other.key[i].key[0][0] ^= 0x55;
    for (uint8_t id = 1; id <= 3; id++)
        founding_keys(server[id].founding, &other);
    cut = 0;
    run_ms(6000);
    CU_ASSERT(status_of(1).decided && status_of(3).decided);
    end_world();
}

static void every_reason_has_its_words(void)
{
    for (int i = 0; i < PAXOS_WHYS; i++) {
        char why[FOUNDING_TEXT_MAX], remedy[FOUNDING_TEXT_MAX];
        const struct founding_status s = {.why = (enum paxos_why)i, .about = 5};
        founding_why_text(&s, why, remedy);
        CU_ASSERT(strlen(why) > 10 && strlen(remedy) > 6 && strchr(why, '#') == NULL);
        CU_ASSERT(strlen(why) < FOUNDING_TEXT_MAX - 1 && strlen(remedy) < FOUNDING_TEXT_MAX - 1);
        CU_ASSERT(strlen(founding_phase(&s)) > 3);
        for (int j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(founding_why_word(s.why),
                                       founding_why_word((enum paxos_why)j));
    }
    const struct founding_status locked = {.why = PAXOS_WHY_UNLOCKED, .lock = 1};
    CU_ASSERT_STRING_EQUAL(founding_phase(&locked), "lock");
    CU_ASSERT_STRING_EQUAL(founding_why_word(PAXOS_WHYS), "?");
    for (int i = 0; i <= PAXOS_SAID_LOCKED; i++)
        CU_ASSERT(strlen(founding_said((enum paxos_word)i)) > 3);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"all decide alike", all_decide_alike},
        {"a replica answers", a_replica_answers},
        {"a replica seeks who is above", a_replica_seeks_who_is_above},
        {"says why", says_why},
        {"a founder of another cluster", a_founder_of_another_cluster},
        {"H2 an older copy is refused", h2_an_older_copy_is_refused},
        {"boots are written", boots_are_written},
        {"a write that fails silences", a_write_that_fails_silences},
        {"bad packets are counted", bad_packets_are_counted},
        {"keys can change", keys_can_change},
        {"every reason has its words", every_reason_has_its_words},
        {0}};
    return unit_main("founders over packets", tests);
}
