#include "judge.h"

/* The form of one log entry (docs/ring-format.md): a head of 48 bytes, a body, zeros to a multiple
 * of 8. */

static bool printable(uint8_t c)
{
    return c > ' ' && c < 0x7f;
}

static bool name_good(const uint8_t *at)
{
    size_t length = 0;
    while (length < NAME_SIZE - 1 && printable(at[length]))
        length++;
    return length > 0 && zeros(at + length, NAME_SIZE - length);
}

static bool day_good(const uint8_t *at)
{
    size_t length = 0;
    while (length < DAY_SIZE && printable(at[length]))
        length++;
    bool good = length > 0;
    for (; length < DAY_SIZE; length++)
        good = good && at[length] == ' ';
    return good && zeros(at + DAY_SIZE, 6);
}

/* node, generation, mode, seven zeros */
static bool sequencer_good(const uint8_t *at)
{
    return le64(at) != 0 && le64(at + 8) != 0 && (at[16] == EXCLUSIVE || at[16] == SHARED) &&
           zeros(at + 17, 7);
}

/* Messages: session, epoch, number, acknowledged, count, bytes, flags, reserved; then the blocks,
 * and with flags 1 a sequencer. */
static const char *messages_problem(const uint8_t *body, size_t room, size_t *used)
{
    if (room < 40)
        return "messages without a head";
    uint64_t number = le64(body + 16);
    uint32_t count = le16(body + 32);
    uint32_t bytes = le16(body + 34);
    uint32_t flags = le16(body + 36);
    uint32_t tail = flags == 1 ? SEQUENCER : 0;
    if (count == 0 || count > WINDOW_MAX || bytes + tail > room - 40)
        return "messages with an impossible count or size";
    if (flags > 1 || le16(body + 38) != 0)
        return "messages with unknown flags";
    if (number == 0 || number > UINT64_MAX - WINDOW_MAX)
        return "messages with an impossible number";
    const uint8_t *at = body + 40;
    uint32_t left = bytes;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = left >= 2 ? le16(at) : 0;
        if (length == 0 || length > left - 2)
            return "message blocks that do not fill their room";
        at += 2 + length;
        left -= 2 + length;
    }
    if (left != 0)
        return "message blocks that do not fill their room";
    if (tail != 0 && !sequencer_good(at))
        return "messages with an impossible sequencer";
    *used = 40 + bytes + tail;
    return NULL;
}

/* "/", or up to 16 components behind a '/' each. */
static bool path_good(const uint8_t *path, size_t size)
{
    if (size == 0 || size > PATH_MAX_SIZE || path[0] != '/')
        return false;
    uint32_t components = 0;
    for (size_t i = 0; i < size; i++) {
        if (!printable(path[i]))
            return false;
        if (path[i] != '/')
            continue;
        components++;
        if (size > 1 && (i + 1 == size || path[i + 1] == '/'))
            return false;
    }
    return components <= PATH_DEPTH;
}

static bool rights_good(const uint8_t *list, size_t size)
{
    if (size % 8 != 0 || size > 8 * RIGHTS_MAX)
        return false;
    for (size_t at = 0; at < size; at += 8) {
        uint32_t principal = le32(list + at);
        uint32_t rights = le32(list + at + 4);
        if ((principal != 0 && principal < CLIENTS_FROM) || rights == 0 || rights > 7)
            return false;
    }
    return true;
}

/* Whatever has no meaning for an operation is zero. */
static bool operation_good(const uint8_t *block, size_t size, bool operators)
{
    static const uint8_t flags_of[NODE_RELEASE + 1] = {
        0,
        FLAG_CREATE | FLAG_ANEW | FLAG_EPHEMERAL,
        0,
        FLAG_COMPARE,
        FLAG_COMPARE,
        FLAG_COMPARE,
        FLAG_TRY,
    };
    if (size < BLOCK_HEAD || block[0] < NODE_OPEN || block[0] > NODE_RELEASE)
        return false;
    uint8_t operation = block[0];
    uint8_t flags = block[3];
    size_t path_size = le16(block + 4);
    size_t content_size = le16(block + 6);
    const uint8_t *path = block + BLOCK_HEAD;
    bool opens = operation == NODE_OPEN;
    bool by_path = opens || operators;
    bool creates = opens && (flags & FLAG_CREATE) != 0;
    bool acquires = operation == NODE_ACQUIRE;
    if (size != BLOCK_HEAD + path_size + content_size || (flags & ~flags_of[operation]) != 0 ||
        (opens && !creates && flags != 0) || (le64(block + 8) == 0) != by_path)
        return false;
    if (acquires ? block[1] != EXCLUSIVE && block[1] != SHARED : !zeros(block + 24, 8) || block[1])
        return false;
    if (block[2] > (opens ? 31 : 0) || ((flags & FLAG_COMPARE) == 0 && le64(block + 16) != 0))
        return false;
    if (by_path ? !path_good(path, path_size) : path_size != 0)
        return false;
    if (operators && (operation == NODE_CLOSE || acquires || block[2] != 0 ||
                      (opens && (!creates || (flags & FLAG_EPHEMERAL) != 0))))
        return false;
    if (operation == NODE_RIGHTS)
        return rights_good(path + path_size, content_size);
    return content_size <= (creates || operation == NODE_SET ? CONTENT_MAX : 0);
}

static const char *node_problem(const uint8_t *body, size_t room, size_t *used)
{
    const char *problem = messages_problem(body, room, used);
    if (problem != NULL)
        return problem;
    if (le16(body + 32) != 1 || le16(body + 36) != 0)
        return "a node operation that is not one and plain";
    return operation_good(body + 42, le16(body + 40), false)
               ? NULL
               : "a node operation that is out of range";
}

static bool config_good(const uint8_t *body)
{
    uint32_t voters = le32(body);
    uint32_t named = voters | le32(body + 4) | le32(body + 8);
    if (voters == 0 || le32(body + 12) != 0 || (named & 1) != 0 || named >> (REPLICAS + 1) != 0)
        return false;
    uint32_t to_be = le32(body + 4) != 0 ? le32(body + 4) : voters;
    if ((le32(body + 8) & to_be) != 0)
        return false;
    for (uint32_t id = 0; id <= REPLICAS; id++) {
        const uint8_t *at = body + 16 + 16 * id;
        bool member = (named >> id & 1) != 0;
        if ((le64(at) != 0) != member || (le32(at + 8) != 0) != member ||
            (le16(at + 12) != 0) != member || le16(at + 14) != 0)
            return false;
    }
    return true;
}

/* request, session, principal, value, operation, replica, size of the block, four zeros */
static const char *operator_problem(const uint8_t *body, size_t room, size_t *used)
{
    if (room < OPERATOR_HEAD || room < (size_t)OPERATOR_HEAD + le16(body + 34))
        return "an entry too short for its kind";
    uint64_t session = le64(body + 16);
    uint32_t principal = le32(body + 24), value = le32(body + 28), size = le16(body + 34);
    uint8_t operation = body[32], replica = body[33];
    const uint8_t *block = body + OPERATOR_HEAD;
    bool somebody =
        (session != 0) != (principal >= CLIENTS_FROM) && (session == 0 || principal == 0);
    bool nobody = session == 0 && principal == 0;
    bool good = !zeros(body, 16) && zeros(body + 36, 4);
    if (operation == OPERATOR_NODE)
        good = good && nobody && replica == 0 && operation_good(block, size, true) &&
               value <= (block[0] == NODE_RELEASE ? 1 : 0);
    else if (operation == OPERATOR_SUSPEND || operation == OPERATOR_LIMIT)
        good = good && somebody && replica == 0 && size == 0 &&
               value <= (operation == OPERATOR_LIMIT ? RATE_MAX : 1);
    else
        good = good && operation == OPERATOR_DRAIN && nobody && size == 0 && value <= 1 &&
               replica >= 1 && replica <= REPLICAS;
    *used = OPERATOR_HEAD + size;
    return good ? NULL : "an operator's request that is out of range";
}

/* action, mode, voter, standby; mask; two times; was, term; two times; behind, heard, reason. */
static bool autopilot_good(const uint8_t *body)
{
    uint8_t action = body[0];
    bool sets = action == PILOT_SET;
    bool replaces = action == PILOT_REPLACE;
    bool withdraws = action == PILOT_WITHDRAW;
    bool voter = body[2] >= 1 && body[2] <= REPLICAS;
    bool standby = body[3] >= 1 && body[3] <= REPLICAS;
    if (action < PILOT_SET || action > PILOT_RETURN)
        return false;
    if (sets) {
        for (int at = 8; at <= 12; at += 4)
            if (le32(body + at) < 1000 || le32(body + at) > 86400000)
                return false;
        return body[1] <= 2 && zeros(body + 2, 2) && (le32(body + 4) & 1) == 0 &&
               le32(body + 4) >> (REPLICAS + 1) == 0 && zeros(body + 24, 32);
    }
    if (body[1] != 0 || !zeros(body + 4, 12) || !voter || standby == (action == PILOT_RETURN) ||
        (!standby && body[3] != 0) || (replaces && body[2] == body[3]))
        return false;
    uint32_t reason = le32(body + 52);
    if (withdraws)
        return zeros(body + 32, 20) && (reason == 1 || reason == 2);
    return reason == 0 && (replaces || (le32(body + 32) == 0 && le32(body + 48) == 0));
}

static const char *body_problem(uint8_t kind, const uint8_t *body, size_t room, size_t *used)
{
    static const size_t sizes[PROBE + 1] = {
        0, 16, 40, 56, 56, 32, 32, 16, 16, 32, 144, 40, 16, [AUTOPILOT] = 56, [PROBE] = 16};
    if (kind > PROBE || (sizes[kind] == 0 && kind != OPERATOR))
        return "an entry of unknown kind";
    if (kind == MESSAGES)
        return messages_problem(body, room, used);
    if (kind == NODE)
        return node_problem(body, room, used);
    if (kind == OPERATOR)
        return operator_problem(body, room, used);
    *used = sizes[kind];
    if (room < *used)
        return "an entry too short for its kind";
    bool good = true;
    if (kind == NOOP)
        good = le32(body) <= REPLICAS && le32(body + 4) == 0;
    else if (kind == OPEN || kind == RESUME)
        good = name_good(body) && le64(body + 32) != 0 && le16(body + 52) >= 1 &&
               le16(body + 52) <= WINDOW_MAX && le16(body + 54) == 0;
    else if (kind == END)
        good = le64(body) != 0 && (le32(body + 24) == 1 || le32(body + 24) == 2) &&
               le32(body + 28) == 0;
    else if (kind == EXPIRE)
        good = le64(body) != 0 && le32(body + 24) == 3 && le32(body + 28) == 0;
    else if (kind == DAY_END || kind == DAY_BEGIN)
        good = day_good(body);
    else if (kind == BOOT)
        good = le32(body) >= 1 && le32(body) <= REPLICAS && le32(body + 4) == 0 &&
               le64(body + 8) != 0 && le64(body + 16) != 0;
    else if (kind == CONFIG)
        good = config_good(body);
    else if (kind == DUE)
        good = le64(body + 8) == 0;
    else if (kind == AUTOPILOT)
        good = autopilot_good(body);
    else if (kind == PROBE)
        good = le64(body) == 0 && le64(body + 8) == 0;
    return good ? NULL : "an entry whose body is out of range";
}

const char *entry_problem(const uint8_t *at, size_t room)
{
    if (room < ENTRY_HEAD)
        return "an entry cut off";
    size_t size = le16(at + 4);
    if (size < ENTRY_HEAD || size > ENTRY_MAX || size % 8 != 0 || size > room)
        return "an entry of impossible size";
    if (crc32c(0, at + 4, size - 4) != le32(at))
        return "an entry whose checksum is wrong";
    if (at[7] != 1)
        return "an entry of unknown version";
    size_t used = 0;
    const char *problem = body_problem(at[6], at + ENTRY_HEAD, size - ENTRY_HEAD, &used);
    if (problem != NULL)
        return problem;
    size_t padding = size - ENTRY_HEAD - used;
    if (padding >= 8 || !zeros(at + ENTRY_HEAD + used, padding))
        return "an entry whose padding is not zero, or not short";
    return NULL;
}
