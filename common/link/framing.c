#include "link/framing.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define TLV_HEADER 2

void vs_framing_encode(uint8_t out[VS_FRAMING_HEADER], uint16_t flag, uint32_t len)
{
	assert(len <= UINT16_MAX);
	vs_put_be16(out, flag);
	vs_put_be16(out + 2, (uint16_t)len);
}

/* Puts the header in front of the frame. A frame that other threads read has it already and must not be written. */
static uint8_t *put_in_front(struct vs_frame *frame, const uint8_t *header, size_t size)
{
	assert(frame->offset >= size);
	uint8_t *at = vs_frame_bytes(frame) - size;
	if (memcmp(at, header, size) != 0)
		memcpy(at, header, size);
	return at;
}

static uint8_t *prepend_super(struct vs_frame *frame)
{
	uint8_t header[VS_FRAMING_SUPER_HEADER];
	vs_put_be16(header, VS_FLAG_SUPER);
	vs_put_be32(header + 2, frame->len);
	memcpy(header + 6, frame->vnet, VS_VNET_SIZE);
	return put_in_front(frame, header, sizeof(header));
}

static uint8_t *prepend(struct vs_frame *frame, uint16_t flag)
{
	uint8_t header[VS_FRAMING_HEADER];
	vs_framing_encode(header, flag, frame->len);
	return put_in_front(frame, header, sizeof(header));
}

static bool valid_length(uint16_t flag, uint32_t len)
{
	if (flag == VS_FLAG_FRAME)
		return len >= VS_ETH_HEADER && len <= VS_ETH_FRAME_MAX;
	if (flag == VS_FLAG_SUPER)
		return len >= VS_ETH_HEADER && len <= VS_FRAME_MAX;
	return flag == VS_FLAG_CONTROL && len >= TLV_HEADER && len <= VS_CONTROL_MAX;
}

static bool can_be_framed(const struct vs_frame *frame)
{
	return valid_length(frame->super ? VS_FLAG_SUPER : VS_FLAG_FRAME, frame->len);
}

uint8_t *vs_framing_prepend(struct vs_frame *frame)
{
	assert(can_be_framed(frame));
	return frame->super ? prepend_super(frame) : prepend(frame, VS_FLAG_FRAME);
}

void vs_framing_prepare(struct vs_frame *frame)
{
	if (can_be_framed(frame))
		vs_framing_prepend(frame);
}

uint8_t *vs_framing_prepend_control(struct vs_frame *frame)
{
	assert(valid_length(VS_FLAG_CONTROL, frame->len));
	return prepend(frame, VS_FLAG_CONTROL);
}

void vs_deframer_reset(struct vs_deframer *deframer)
{
	vs_frame_unref(deframer->frame);
	*deframer = (struct vs_deframer){ .frame = NULL };
}

/* Bytes of the header that has begun; the flag, which tells, comes first. */
static size_t header_size(const struct vs_deframer *deframer)
{
	bool super = deframer->header_have >= 2 && vs_get_be16(deframer->header) == VS_FLAG_SUPER;
	return super ? VS_FRAMING_SUPER_HEADER : VS_FRAMING_HEADER;
}

/* The header is complete: makes ready for its body. False: no such header can be. */
static bool begin_body(struct vs_deframer *deframer, struct vs_pool *pool, struct vs_drops *drops,
		       const struct vs_deframed *out)
{
	uint16_t flag = vs_get_be16(deframer->header);
	bool super = flag == VS_FLAG_SUPER;
	uint32_t len = super ? vs_get_be32(deframer->header + 2) : vs_get_be16(deframer->header + 2);
	if (!valid_length(flag, len) || (super && !out->supers) || (out->frames_only && flag != VS_FLAG_FRAME))
		return false;
	deframer->body_len = len;
	deframer->frame = vs_frame_new(pool, len);
	if (!deframer->frame) {
		vs_drop(drops, VS_DROP_NO_BUFFER);
		return true;
	}
	deframer->frame->super = super;
	if (super)
		memcpy(deframer->frame->vnet, deframer->header + 6, VS_VNET_SIZE);
	return true;
}

static void end_body(struct vs_deframer *deframer, struct vs_drops *drops, struct vs_deframed *out)
{
	bool control = vs_get_be16(deframer->header) == VS_FLAG_CONTROL;
	struct vs_frame_list *list = control ? &out->control : &out->frames;
	if (deframer->frame) {
		if (vs_frame_list_push(list, deframer->frame))
			deframer->frame = NULL;
		else
			vs_drop(drops, VS_DROP_NO_BUFFER);
	}
	vs_deframer_reset(deframer);
}

static size_t take_header(struct vs_deframer *deframer, const uint8_t *data, size_t len)
{
	/* The flag by itself first, because the size of the rest depends on it. */
	size_t want = deframer->header_have < 2 ? 2 : header_size(deframer);
	size_t n = VS_MIN(len, want - deframer->header_have);
	memcpy(deframer->header + deframer->header_have, data, n);
	deframer->header_have = (uint8_t)(deframer->header_have + n);
	return n;
}

static size_t take_body(struct vs_deframer *deframer, const uint8_t *data, size_t len)
{
	size_t n = VS_MIN(len, (size_t)deframer->body_len - deframer->body_have);
	if (deframer->frame)
		memcpy(vs_frame_bytes(deframer->frame) + deframer->body_have, data, n);
	deframer->body_have += (uint32_t)n;
	return n;
}

int vs_deframer_input(struct vs_deframer *deframer, struct vs_pool *pool, struct vs_drops *drops, const void *data,
		      size_t len, struct vs_deframed *out)
{
	const uint8_t *at = data;
	const uint8_t *end = at + len;
	while (at < end) {
		if (deframer->header_have < header_size(deframer)) {
			at += take_header(deframer, at, (size_t)(end - at));
			if (deframer->header_have == header_size(deframer) &&
			    !begin_body(deframer, pool, drops, out)) {
				vs_drop(drops, VS_DROP_BAD_FRAMING);
				vs_deframer_reset(deframer);
				return -EBADMSG;
			}
			continue;
		}
		at += take_body(deframer, at, (size_t)(end - at));
		if (deframer->body_have == deframer->body_len)
			end_body(deframer, drops, out);
	}
	return 0;
}
