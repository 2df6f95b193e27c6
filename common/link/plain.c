#include "link/plain.h"

#include <stdlib.h>

#include "link/flow.h"
#include "link/plain_state.h"

struct vs_plain *vs_plain_new(const struct vs_plain_config *config, uint64_t now)
{
	struct vs_plain *plain = calloc(1, sizeof(*plain));
	if (!plain)
		return NULL;
	plain->config = *config;
	plain->ops = config->kind == VS_PLAIN_KCP ? &vs_plain_kcp_ops : &vs_plain_stream_ops;
	plain->born_usec = plain->heard_usec = now;
	plain->queue = vs_queue_new(&config->queue, config->pool, &plain->drops);
	plain->piece = malloc(plain->ops->piece_max);
	if (plain->ops->init(plain, now) < 0 || !plain->queue || !plain->piece) {
		vs_plain_free(plain);
		return NULL;
	}
	return plain;
}

void vs_plain_free(struct vs_plain *plain)
{
	if (!plain)
		return;
	plain->ops->fini(plain);
	vs_queue_free(plain->queue);
	free(plain->piece);
	free(plain);
}

void vs_plain_finish(struct vs_plain *plain, enum vs_plain_end end)
{
	if (plain->end == VS_PLAIN_RUNS)
		plain->end = end;
}

void vs_plain_input(struct vs_plain *plain, const uint8_t *bytes, size_t len, uint64_t now,
		    struct vs_deframed *arrived)
{
	uint32_t before = arrived->frames.count;
	if (plain->end != VS_PLAIN_RUNS)
		return;
	plain->stats.rx_pieces++;
	plain->stats.rx_bytes += len;
	/* The list is shared with links, which may get more than frames. */
	arrived->frames_only = true;
	plain->ops->input(plain, bytes, len, now, arrived);
	arrived->frames_only = false;
	plain->stats.rx_frames += arrived->frames.count - before;
	if (arrived->frames.count > before)
		plain->proven = true;
}

void vs_plain_send(struct vs_plain *plain, struct vs_frame *frame, uint64_t now)
{
	if (plain->end != VS_PLAIN_RUNS) {
		vs_drop(&plain->drops, VS_DROP_PORT_DOWN);
		vs_frame_unref(frame);
		return;
	}
	vs_flow_hash(frame, plain->config.flow_key);
	vs_framing_prepend(frame);
	plain->stats.tx_frames++;
	vs_queue_send(plain->queue, frame, now);
}

static uint64_t prove_deadline(const struct vs_plain *plain)
{
	return plain->proven ? VS_NEVER : plain->born_usec + VS_PLAIN_PROVE_WITHIN;
}

size_t vs_plain_output(struct vs_plain *plain, uint64_t now, const uint8_t **bytes)
{
	if (now >= prove_deadline(plain))
		vs_plain_finish(plain, VS_PLAIN_MUTE);
	plain->ops->run_timers(plain, now);
	if (plain->end != VS_PLAIN_RUNS)
		return 0;
	if (plain->piece_at == plain->piece_len) {
		plain->piece_at = 0;
		plain->piece_len = plain->ops->fill(plain, now, plain->piece);
	}
	*bytes = plain->piece + plain->piece_at;
	return plain->piece_len - plain->piece_at;
}

void vs_plain_sent(struct vs_plain *plain, size_t bytes)
{
	plain->stats.tx_pieces++;
	plain->stats.tx_bytes += bytes;
	plain->piece_at += bytes;
}

uint64_t vs_plain_deadline(const struct vs_plain *plain)
{
	if (plain->end != VS_PLAIN_RUNS || plain->piece_at != plain->piece_len)
		return 0;
	return vs_time_min(prove_deadline(plain), plain->ops->deadline(plain));
}

enum vs_plain_end vs_plain_end(const struct vs_plain *plain)
{
	return plain->end;
}

const char *vs_plain_end_text(enum vs_plain_end end)
{
	static const char *const texts[] = {
		[VS_PLAIN_RUNS] = "is connected",
		[VS_PLAIN_MUTE] = "has not sent a frame within 5 s",
		[VS_PLAIN_SILENT] = "does not answer",
		[VS_PLAIN_MALFORMED] = "has sent what is not frames",
		[VS_PLAIN_RESTARTED] = "has begun another conversation",
	};
	return texts[end];
}

bool vs_plain_is_proven(const struct vs_plain *plain)
{
	return plain->proven;
}

const struct vs_drops *vs_plain_drops(const struct vs_plain *plain)
{
	return &plain->drops;
}

void vs_plain_stats(const struct vs_plain *plain, struct vs_plain_stats *out)
{
	*out = plain->stats;
	plain->ops->stats(plain, out);
	vs_queue_stats(plain->queue, &out->queue);
}
