/* The wire format: every layout, type number and limit that two peers must agree on, and nothing else.
 * PROTOCOL.md explains each; this header is what the code uses. All integers are big-endian, except those of the KCP
 * segment header, which are little-endian as KCP's are. */
#ifndef VS_LINK_WIRE_H
#define VS_LINK_WIRE_H

#include "base/time.h"

/* --- Datagram: type:8 | receiver index:24 | counter:64 | ciphertext | tag:128; in the clear: ... | plaintext ------ */

enum vs_type {
	VS_TYPE_INITIATION = 1,
	VS_TYPE_RESPONSE = 2,
	VS_TYPE_COOKIE = 3,
	VS_TYPE_DATA = 4,
	VS_TYPE_CLEAR = 5, /* frames and segments of a session in the clear, without a tag */
};

#define VS_SEAL_HEADER 12
#define VS_SEAL_TAG 16
#define VS_INDEX_MAX 0xffffff
/* The low bits of a receiver index name the worker that owns the link. */
#define VS_INDEX_WORKER_BITS 8

/* What datagrams travel in. The numbers are those of the set in VS_TLV_CARRIERS. */
enum vs_carrier_kind {
	VS_CARRIER_UDP = 0,
	VS_CARRIER_FAKETCP = 1, /* one to a segment of what looks like a TCP connection */
	VS_CARRIER_TCP = 2,     /* length:16 | datagram, back to back, in a TCP connection */
	VS_CARRIER_KINDS
};

/* First byte of the plaintext. */
enum vs_kind {
	VS_KIND_SEGMENTS = 1,   /* KCP segments, back to back */
	VS_KIND_FEC_DATA = 2,   /* seq:32 | a plaintext (kind included) that parities protect */
	VS_KIND_FEC_PARITY = 3, /* first:32 count:8 row:8 | symbol: over the FEC_DATA first ... first + count - 1 */
	VS_KIND_FRAMES = 4,     /* unreliable: framed frames, back to back */
	VS_KIND_FRAGMENT = 5,   /* id:32 offset:16 total:16 | bytes of a whole plaintext (kind included) */
	VS_KIND_REPORT = 6,     /* what the receiver saw (struct vs_report) */
	VS_KIND_PROBE = 7,      /* id:32 | padding: asks for a PROBE_ACK */
	VS_KIND_PROBE_ACK = 8,  /* id:32 size:16 */
};

#define VS_KIND_SIZE 1
/* Bytes that sealing adds to a plaintext that starts with its kind. */
#define VS_SEAL_OVERHEAD (VS_SEAL_HEADER + VS_SEAL_TAG)

/* How far ahead of the highest counter that has come sealed a clear one may be. Nothing authenticates it, so this
 * bounds what an invented one can do; a sender must seal at least so often, and ours does much more often. */
#define VS_CLEAR_AHEAD (1u << 12)

/* --- Forward error correction (link/fec_code.h): a symbol is length:16 and a plaintext, zero-padded. The headers have
 * their kind. A datum leaves so much room that its parity fits a datagram as well. */
#define VS_FEC_DATA_HEADER (VS_KIND_SIZE + 4)
#define VS_FEC_PARITY_HEADER (VS_KIND_SIZE + 4 + 1 + 1)
#define VS_FEC_LENGTH 2
#define VS_FEC_RESERVE (VS_FEC_PARITY_HEADER + VS_FEC_LENGTH)
#define VS_FEC_WINDOW_MAX 64 /* data that a parity covers */
#define VS_FEC_SHARDS 128    /* data that a receiver keeps: two windows, so that parities may be overtaken */

#define VS_FRAGMENT_HEADER 8
#define VS_FRAGMENT_TOTAL_MAX 65535

/* --- Handshake: Noise_IKpsk2_25519_ChaChaPoly_SHA256 --------------------------------------------------------------
 *
 * initiation:   type:8 sender index:24                            | e:256 | enc(s):384 | enc(TLVs) | mac1 | mac2
 * response:     type:8 receiver index:24 | zero:8 sender index:24 | e:256 | enc(TLVs)              | mac1 | mac2
 * cookie reply: type:8 receiver index:24 | salt:256 | sealed cookie:256
 * An initiation is never shorter than the longest response, so that nobody is made to amplify. */

#define VS_PROTOCOL_VERSION 1
#define VS_PROLOGUE "vswitch 1"
#define VS_INITIATION_HEADER 4
#define VS_RESPONSE_HEADER 8
#define VS_MAC_SIZE 16
#define VS_INITIATION_SIZE 384 /* what we send, and the least that is answered */
#define VS_RESPONSE_MAX VS_INITIATION_SIZE
#define VS_HANDSHAKE_MAX 1200
#define VS_COOKIE_SIZE 16
#define VS_COOKIE_SALT 32
#define VS_COOKIE_REPLY_SIZE (4 + VS_COOKIE_SALT + VS_COOKIE_SIZE + VS_SEAL_TAG)
#define VS_COOKIE_LIFE (120 * VS_SEC) /* a cookie is good for at least this long after it was made */

/* TLVs of both payloads: type:16 length:16 | value. Unknown types are skipped; a type comes at most once. */
enum vs_handshake_tlv {
	VS_TLV_PAD = 0, /* any length, value ignored; may repeat */
	/* of both */
	VS_TLV_VERSION = 1,      /* version:16, the highest spoken; in the response the one chosen */
	VS_TLV_INCARNATION = 2,  /* incarnation:64 of the link */
	VS_TLV_LANES = 3,        /* lanes:8 */
	VS_TLV_DATAGRAM_MAX = 4, /* bytes:16 */
	VS_TLV_MTU = 5,          /* bytes:16 */
	VS_TLV_FEATURES = 6,     /* set of enum vs_feature:32; absent: none; in the response those agreed on */
	/* of the initiation */
	VS_TLV_LINK_ID = 8,   /* 16 bytes */
	VS_TLV_TIMESTAMP = 9, /* microseconds since 1970:64 */
	VS_TLV_CIPHERS = 10,  /* bit (1 << enum vs_cipher):16 has AES instructions:8 */
	VS_TLV_MODES = 11,    /* bit (1 << enum vs_mode):8 */
	VS_TLV_PROGRAM = 12,  /* name and version, for people, at most 47 bytes */
	VS_TLV_PROTECTIONS = 13, /* bit (1 << enum vs_protection):8; absent: ENCRYPTED alone, which is always offered */
	/* of the response */
	VS_TLV_CIPHER = 16,     /* enum vs_cipher:8 */
	VS_TLV_MODE = 17,       /* enum vs_mode:8 */
	VS_TLV_CONGESTION = 18, /* 0 bbr, 1 cubic, 2 none:8 */
	VS_TLV_KEEPALIVE = 19,  /* microseconds:64 */
	VS_TLV_MAX_AGE = 20,    /* microseconds:64, 0: frames are never given up */
	VS_TLV_RESUMED = 21,    /* 1: resumed, 0: fresh, all lanes start anew:8 */
	VS_TLV_PROTECTION = 22, /* enum vs_protection:8; absent: ENCRYPTED */
	VS_TLV_FEC = 23,        /* kind:8 k:8 m:8 overhead_max:8 of what the client sends, likewise the server; absent: off */
	VS_TLV_KCP = 24,        /* nodelay:8 interval_msec:16 resend:8 sndwnd:16 rcvwnd:16; absent: the defaults */
	VS_TLV_CARRIERS = 25,   /* bit (1 << enum vs_carrier_kind):8; absent: all */
};

/* What a peer can do beyond the base protocol, as bits. */
enum vs_feature {
	VS_FEATURE_SUPER = 1, /* takes super-frames (VS_FLAG_SUPER) */
	VS_FEATURE_FEC = 2,   /* takes FEC shards (VS_KIND_FEC_DATA, VS_KIND_FEC_PARITY) */
};

#define VS_TLV_HEADER 4
#define VS_PROGRAM_MAX 47

/* --- Datagram sizes (UDP payload bytes), RFC 8899 ----------------------------------------------------------------- */

#define VS_DATAGRAM_BASE 1200 /* works on every path that IPv6 allows */
#define VS_DATAGRAM_MAX 9152  /* a 9216-byte jumbo MTU less IPv6 and UDP headers, rounded down */

/* --- Frames in a lane --------------------------------------------------------------------------------------------- */

#define VS_FLAG_FRAME 0xBCBC   /* flag:16 length:16 | Ethernet frame */
#define VS_FLAG_SUPER 0xBCBD   /* flag:16 length:32 | virtio-net header:10 | super-frame; where agreed */
#define VS_FLAG_CONTROL 0xBCBE /* flag:16 length:16 | TLVs */
#define VS_FRAMING_HEADER 4
#define VS_FRAMING_SUPER_HEADER 16 /* flag, length (of the frame), virtio-net header */

#define VS_ETH_HEADER 14
#define VS_ETH_FRAME_MAX 9022 /* MTU 9000, header, two 802.1Q tags */

#define VS_CONTROL_MAX 1024 /* bytes of TLVs in a control message */

/* TLVs of a control message: type:8 length:8 | value. Unknown types are skipped. */
enum vs_control_tlv {
	VS_CONTROL_CLOSE = 1, /* reason:8 (enum vs_close_reason); the link ends now */
	VS_CONTROL_RENEW = 2, /* empty; server to client: the port's terms have changed, a handshake gives them */
};

enum vs_close_reason {
	VS_CLOSE_SHUTDOWN = 1, /* the peer's program is stopping */
	VS_CLOSE_KICKED = 2,   /* an operator ended the link */
	VS_CLOSE_REVOKED = 3,  /* the key no longer names a port */
	VS_CLOSE_REPLACED = 4, /* max_clients reached: a newer client took the place */
	VS_CLOSE_ERROR = 5,    /* the peer sent what it may not */
};

/* --- KCP segment: conv:32 cmd:8 frg:8 wnd:16 ts:32 sn:32 una:32 len:32, little-endian ----------------------------- */

#define VS_SEGMENT_HEADER 24

enum vs_cmd {
	VS_CMD_PUSH = 81,
	VS_CMD_ACK = 82,
	VS_CMD_WASK = 83,
	VS_CMD_WINS = 84,
	VS_CMD_SKIP = 85, /* ours: sn = first segment still wanted, at a message boundary */
};

#define VS_KCP_WINDOW 32 /* what a plain KCP peer takes until it has told otherwise; KCP's own default */
#define VS_MESSAGE_SEGMENTS_MAX 255 /* frg is 8 bits */
#define VS_LANES_MAX 64             /* conv 0 ... 63 inside a sealed link */
#define VS_WINDOW_MIN 256           /* segments; a smaller one could deadlock a 255-segment message */
#define VS_WINDOW_MAX 4096          /* segments a lane may have in flight */

/* An ACK inside a sealed link carries a payload that plain KCP skips:
 * delay:32 (microseconds from the arrival of segment sn to this ACK; all ones: an earlier ACK repeated, whose ts says
 * nothing about time) | bitmap, where bit i (of byte i / 8, least
 * significant first) says that segment una + 1 + i has arrived. So each ACK tells the whole state of its lane and a
 * lost ACK costs nothing. */
#define VS_ACK_DELAY_SIZE 4
#define VS_ACK_DELAY_NONE UINT32_MAX
#define VS_ACK_BITMAP_MAX (VS_WINDOW_MAX / 8)

/* --- Lifetimes ---------------------------------------------------------------------------------------------------- */

#define VS_REKEY_AFTER (120 * VS_SEC)
#define VS_REJECT_AFTER (180 * VS_SEC)
#define VS_PREVIOUS_KEYS_LIVE (60 * VS_SEC)
#define VS_REKEY_AFTER_DATAGRAMS (UINT64_C(1) << 32)
#define VS_REJECT_AFTER_DATAGRAMS (UINT64_MAX - (UINT64_C(1) << 13))
#define VS_LINK_TIMEOUT (60 * VS_SEC)

#define VS_LINK_ID_SIZE 16
#define VS_KEY_SIZE 32

#endif
