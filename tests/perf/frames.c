#include "perf/frames.h"

#include <string.h>

#include "perf/workload.h"
#include "unit/packet.h"
#include "unit/superframe.h"

struct vs_frame *make_frame(struct vs_pool *pool, uint32_t dst, uint32_t src, uint16_t flow, size_t len)
{
	struct packet p = { 0 };
	packet_macs(&p, 0, 0);
	if (dst == EVERYBODY)
		memset(p.bytes, 0xff, 6);
	else
		vs_put_be32(p.bytes + 2, dst);
	vs_put_be32(p.bytes + 8, src);
	packet_ipv4(&p, 0, 17, 0x4000, 0);
	packet_ports(&p, (uint16_t)(40000 + flow), 5001);
	struct vs_frame *frame = vs_frame_new(pool, len);
	MUST(frame && len >= p.len);
	memcpy(vs_frame_bytes(frame), p.bytes, p.len);
	memset(vs_frame_bytes(frame) + p.len, 0, len - p.len);
	return frame;
}

struct vs_frame *make_super(struct vs_pool *pool)
{
	static const struct superframe bulk_tcp = {
		.name = "tcp", .l4_options = 12, .tcp_flags = 0x10, .payload = SUPER_SEGMENTS * 1448, .gso_size = 1448,
	};
	struct vs_frame *frame = superframe_new(pool, &bulk_tcp);
	MUST(frame);
	return frame;
}
