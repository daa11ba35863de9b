/* Sizes that packets, pages and the machine agree on. Every limit of Keel that is a constant has
 * its name here; limits that a cluster chooses stand in its genesis record (genesis.h).
 */
#ifndef KEEL_WIRE_LIMITS_H
#define KEEL_WIRE_LIMITS_H

#include <stdint.h>

enum {
    KEEL_REPLICA_MAX = 7,        /* replica ids are 1..7; arrays by id have KEEL_REPLICA_MAX + 1 */
    KEEL_CLIENT_MIN = 16,        /* principals below are replicas, from here on clients */
    KEEL_NAME_MAX = 31,          /* bytes of a session's name, without the final zero */
    KEEL_DAY_NAME_SIZE = 10,     /* a MoldUDP64 session field: ASCII, padded with spaces */
    KEEL_SESSION_WINDOW_MAX = 64 /* largest W: submitted and not yet acknowledged messages */
};

enum {                           /* of a node */
       KEEL_PATH_MAX = 127,      /* bytes of "/a/b/c", without the final zero */
       KEEL_PATH_DEPTH_MAX = 16, /* components of a path */
       KEEL_CONTENT_MAX = 256,   /* bytes that it holds */
       KEEL_ACL_MAX = 8          /* rights that stand on it */
};

enum {
    KEEL_MTU = 1500,
    KEEL_DATAGRAM_MAX = KEEL_MTU - 20 - 8, /* UDP payload: IPv4 without options, UDP */
    KEEL_PACKET_HEAD_SIZE = 32,
    KEEL_TAG_SIZE = 16,
    KEEL_BODY_MAX = KEEL_DATAGRAM_MAX - KEEL_PACKET_HEAD_SIZE - KEEL_TAG_SIZE, /* 1424 */
    KEEL_APPEND_HEAD_SIZE = 64,
    KEEL_ENTRY_HEAD_SIZE = 48,
    KEEL_MESSAGES_HEAD_SIZE = 40,
    KEEL_ENTRY_MAX = KEEL_BODY_MAX - KEEL_APPEND_HEAD_SIZE, /* 1360; 8-byte multiple */
    /* Room for the (length, payload) blocks of one ENTRY_MESSAGES, so that any entry fits one
     * AppendEntries packet, one page and one submit packet. */
    KEEL_BLOCKS_MAX = KEEL_ENTRY_MAX - KEEL_ENTRY_HEAD_SIZE - KEEL_MESSAGES_HEAD_SIZE, /* 1272 */
    KEEL_MSG_MIN =
        1, /* an empty block on the raw feed is a session's end, so no message is empty */
    KEEL_MSG_MAX = KEEL_BLOCKS_MAX - 2, /* 1270: the largest message, bytes */
    KEEL_SEQUENCER_SIZE = 24,           /* takes its room from the blocks of a fenced packet */
    KEEL_FENCED_MAX = KEEL_MSG_MAX - KEEL_SEQUENCER_SIZE /* 1246 */
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire structs are little-endian");
_Static_assert(KEEL_ENTRY_MAX % 8 == 0, "entries are padded to 8 bytes");

#endif
