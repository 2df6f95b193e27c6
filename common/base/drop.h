/* Every reason for which a frame or a datagram is dropped, by name. A bad packet is not an error of ours: it is
 * dropped under one of these and counted where the drop happens, and the counts are shown by `status --json`. */
#ifndef VS_BASE_DROP_H
#define VS_BASE_DROP_H

#include <stdint.h>

/* name, what happened */
#define VS_DROP_REASONS(X)                                                            \
	X(RUNT, "frame shorter than an Ethernet header")                              \
	X(GIANT, "frame longer than the port takes")                                  \
	X(LINK_LOCAL, "frame to a group address that bridges do not forward")         \
	X(BAD_SOURCE, "frame from a group or zero source address")                    \
	X(SAME_PORT, "frame whose destination is behind the port it came from")       \
	X(VLAN_FILTER, "frame of a VLAN that the port is not a member of")            \
	X(ISOLATED, "frame between two isolated ports")                               \
	X(PORT_DOWN, "frame from or to a port whose link is down")                     \
	X(NO_PORTS, "frame to flood with no other port up")                           \
	X(NO_BUFFER, "buffer pool at its maximum")                                    \
	X(RING_FULL, "frame for another worker that does not keep up")                \
	X(QUEUE_FULL, "queue at its limit, head of the fattest flow dropped")         \
	X(QUEUE_CODEL, "dropped by CoDel")                                            \
	X(MAX_AGE, "frame older than max_age given up (SKIP)")                        \
	X(BAD_OFFLOAD, "super-frame whose virtio-net header contradicts its bytes")   \
	X(TAP_WRITE, "frame that the TAP device refused")                             \
	X(DATAGRAM_SHORT, "datagram shorter than its header")                         \
	X(DATAGRAM_TYPE, "datagram of an unknown type")                               \
	X(NO_SESSION, "datagram for an index that names no session")                  \
	X(REPLAY, "datagram whose counter was seen before or is too old")             \
	X(BAD_SEAL, "datagram that fails authentication")                             \
	X(SESSION_EXPIRED, "datagram under keys past their lifetime")                 \
	X(CLEAR_REFUSED, "clear datagram of a link that is not in the clear")         \
	X(CLEAR_COUNTER, "clear datagram too far ahead of the sealed ones")           \
	X(CLEAR_ADDRESS, "clear datagram from another address than the sealed ones")  \
	X(CLEAR_KIND, "clear datagram of what must be sealed")                        \
	X(CLEAR_FORGED, "lane that has been fed forged segments in the clear")        \
	X(BAD_KIND, "sealed datagram of an unknown kind")                             \
	X(BAD_SEGMENT, "malformed KCP segment")                                       \
	X(BAD_LANE, "segment of a lane outside the agreed number")                    \
	X(OUT_OF_WINDOW, "segment beyond the advertised window")                      \
	X(DUPLICATE, "segment received before")                                       \
	X(BAD_FRAMING, "malformed frame header in a lane")                            \
	X(BAD_FRAGMENT, "malformed or conflicting fragment")                          \
	X(FRAGMENT_TIMEOUT, "fragments whose rest did not come")                      \
	X(BAD_FEC, "malformed shard of forward error correction")                     \
	X(FEC_DUPLICATE, "datagram that came after its recovery, or twice")           \
	X(FEC_LATE, "shard too old to be told from a repetition, or to be of use")    \
	X(BAD_REPORT, "malformed report")                                             \
	X(BAD_CONTROL, "malformed control message")                                   \
	X(BAD_MAC1, "handshake message without a valid mac1")                         \
	X(BAD_HANDSHAKE, "handshake message that fails to decrypt or parse")          \
	X(UNKNOWN_KEY, "handshake from a key that no port names")                     \
	X(OLD_INITIATION, "handshake initiation with an old timestamp")               \
	X(HANDSHAKE_LIMIT, "handshake over the rate or queue limit")                  \
	X(HANDSHAKE_TERMS, "handshake with a cipher or mode that one side refuses")   \
	X(PLAIN_REFUSED, "plain peer from an address that is not allowed")          \
	X(PLAIN_LIMIT, "plain peer beyond the limits of its listener")              \
	X(NO_CONNECTION, "segment of a fake TCP connection that is not there")        \
	X(BAD_STREAM, "bytes of a fake TCP segment that are no datagram")             \
	X(SEND_FAILED, "datagram that the socket refused")

enum vs_drop {
#define VS_DROP_ENUM(name, text) VS_DROP_##name,
	VS_DROP_REASONS(VS_DROP_ENUM)
#undef VS_DROP_ENUM
	VS_DROP_COUNT
};

/* One counter a reason. */
struct vs_drops {
	uint64_t count[VS_DROP_COUNT];
};

static inline void vs_drop(struct vs_drops *drops, enum vs_drop reason)
{
	drops->count[reason]++;
}

static inline void vs_drops_add(struct vs_drops *sum, const struct vs_drops *drops)
{
	for (int i = 0; i < VS_DROP_COUNT; i++)
		sum->count[i] += drops->count[i];
}

/* Lower-case name of a reason ("queue_codel"), as status and metrics show it. */
const char *vs_drop_name(enum vs_drop reason);

/* What happened, for people. */
const char *vs_drop_text(enum vs_drop reason);

#endif
