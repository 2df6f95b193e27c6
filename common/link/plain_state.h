/* State of a plain peer, shared by the files that implement it: plain.c (life, what both kinds have in common),
 * plain_kcp.c and plain_stream.c. Nobody else includes this. */
#ifndef VS_LINK_PLAIN_STATE_H
#define VS_LINK_PLAIN_STATE_H

#include "link/plain.h"

/* What a kind does in its own way. */
struct vs_plain_ops {
	size_t piece_max; /* bytes that fill() may write */
	/* 0 or -ENOMEM; fini() follows in any case. */
	int (*init)(struct vs_plain *plain, uint64_t now);
	void (*fini)(struct vs_plain *plain);
	void (*input)(struct vs_plain *plain, const uint8_t *bytes, size_t len, uint64_t now,
		      struct vs_deframed *arrived);
	/* Writes the next piece; returns its size. */
	size_t (*fill)(struct vs_plain *plain, uint64_t now, uint8_t *out);
	/* Timers, when output is asked for. */
	void (*run_timers)(struct vs_plain *plain, uint64_t now);
	uint64_t (*deadline)(const struct vs_plain *plain);
	void (*stats)(const struct vs_plain *plain, struct vs_plain_stats *out);
};

struct plain_kcp;

struct vs_plain {
	struct vs_plain_config config;
	const struct vs_plain_ops *ops;
	struct vs_queue *queue;
	struct plain_kcp *kcp;       /* NULL: a stream */
	struct vs_deframer deframer; /* of a stream */
	uint64_t born_usec, heard_usec;
	enum vs_plain_end end;
	bool proven;
	uint8_t *piece; /* being written */
	size_t piece_at, piece_len;
	struct vs_drops drops;
	struct vs_plain_stats stats;
};

extern const struct vs_plain_ops vs_plain_kcp_ops, vs_plain_stream_ops;

/* plain.c: the peer is over; the first reason counts. */
void vs_plain_finish(struct vs_plain *plain, enum vs_plain_end end);

#endif
