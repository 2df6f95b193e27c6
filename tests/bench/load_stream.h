/* Streams of numbered frames from one client to another or to all, and the account of what arrives of them.
 *
 * A frame is an IPv4 UDP packet, so that switch and link treat it as they do any: each stream has a UDP port of its
 * own and so is a flow of its own. Its payload names the stream and holds a sequence number and the time of sending,
 * which within one process needs no synchronised clocks. Above an Ethernet frame's size it is a super-frame of UDP
 * segments. Each of these is numbered by itself and counts as the frame that it stands for, because a link may divide a
 * super-frame on its way. Pure functions over bytes and time; used by load_run.c. */
#ifndef VS_TEST_BENCH_LOAD_STREAM_H
#define VS_TEST_BENCH_LOAD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"
#include "bench/histogram.h"
#include "link/replay.h"
#include "switch/eth.h"

#define LOAD_STREAMS_MAX 16384
#define LOAD_MACS_MAX (1u << 20) /* of one client */

/* Bytes of a frame, from its Ethernet header to the end of its payload. */
#define LOAD_FRAME_MIN 60
#define LOAD_FRAME_PLAIN_MAX 1514
#define LOAD_HEADERS 42 /* Ethernet, IPv4, UDP */
#define LOAD_FRAME_MAX 65549 /* an IP packet of 65535 bytes; in 45 segments */

/* To the LAN, not to one client. */
#define LOAD_TO_ALL UINT32_MAX

/* What one receiver has had of a stream. */
struct load_reception {
	struct vs_replay seen;
	uint64_t unique, reordered, duplicates;
};

struct load_stream {
	uint32_t from, to; /* clients; to may be LOAD_TO_ALL */
	uint16_t id;
	uint32_t size; /* of a frame; init() makes that of a super-frame less if its last segment were too short */
	uint32_t macs; /* of the receiver's addresses, the first so many are drawn from */
	bool echo;     /* the receiver sends each frame back, and the sender keeps the account */
	uint64_t sent; /* frames; of a super-frame, its segments */
	uint32_t receptions_n;
	struct load_reception *receptions; /* of each receiver; of the sender itself with `echo` */
	uint64_t chance;
	uint8_t headers[LOAD_HEADERS];
};

struct load_totals {
	uint64_t frames, bytes; /* that have arrived, counted as `sent`; duplicates too */
	uint64_t strays;        /* arrived where they were not meant for: flooded by the switch */
	uint64_t malformed;     /* not ours, or not as they were sent */
	uint64_t announced;     /* frames of load_announcement() */
	struct histogram latency;
};

/* The n-th MAC address of a client. */
struct vs_mac load_mac(uint32_t client, uint32_t n);

/* `clients` is the number of the LAN's. 0 or -ENOMEM. */
int load_stream_init(struct load_stream *stream, unsigned clients) VS_MUST_CHECK;
void load_stream_fini(struct load_stream *stream);

/* The stream's next frame. NULL: the pool is at its maximum. */
struct vs_frame *load_stream_next(struct load_stream *stream, struct vs_pool *pool, uint64_t now);

/* A frame by which the switch learns the n-th MAC address of a client. NULL: the pool is at its maximum. */
struct vs_frame *load_announcement(struct vs_pool *pool, uint32_t from, uint32_t n, uint32_t to);

/* Takes a frame that has arrived at a client into account. True: it is to be answered, with load_answer(). */
bool load_arrived(struct load_stream *streams, unsigned n, uint32_t client, const struct vs_frame *frame, uint64_t now,
		  struct load_totals *totals);

/* The frame back to its sender, with the number and time that it came with. NULL: the pool is at its maximum. */
struct vs_frame *load_answer(const struct load_stream *streams, const struct vs_frame *frame, struct vs_pool *pool);

/* Frames that were to arrive, and of those the ones that have. */
void load_stream_balance(const struct load_stream *stream, uint64_t *expected, uint64_t *unique);

#endif
