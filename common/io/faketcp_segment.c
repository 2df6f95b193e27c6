#include "io/faketcp_segment.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_TIMESTAMPS 8
#define OPTION_TIMESTAMPS_SIZE 10

#define IPV4_HEADER 20
#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset */

#define CHECKSUM_AT 16

/* --- Going out ---------------------------------------------------------------------------------------------------- */

/* Sums are in this machine's byte order (base/checksum.h), so a number is summed as it would lie in the header. */
static uint64_t pseudo_header_sum(const struct vs_tcp_segment *s, size_t tcp_len)
{
	uint8_t words[4] = { 0, IPPROTO_TCP, (uint8_t)(tcp_len >> 8), (uint8_t)tcp_len };
	uint64_t sum = vs_checksum_sum(words, sizeof(words));

	if (s->src.sa.sa_family == AF_INET6)
		return sum + vs_checksum_sum(s->src.in6.sin6_addr.s6_addr, 16) +
		       vs_checksum_sum(s->dst.in6.sin6_addr.s6_addr, 16);
	return sum + vs_checksum_sum((const uint8_t *)&s->src.in.sin_addr, 4) +
	       vs_checksum_sum((const uint8_t *)&s->dst.in.sin_addr, 4);
}

static size_t write_timestamps(uint8_t *p, const struct vs_tcp_segment *s)
{
	if (!s->has_ts)
		return 0;
	p[0] = p[1] = OPTION_NOP;
	p[2] = OPTION_TIMESTAMPS;
	p[3] = OPTION_TIMESTAMPS_SIZE;
	vs_put_be32(p + 4, s->ts_val);
	vs_put_be32(p + 8, s->ts_ecr);
	return VS_TCP_TIMESTAMPS;
}

size_t vs_faketcp_build(uint8_t out[VS_FAKETCP_HEADER_MAX], const struct vs_tcp_segment *segment,
			const uint8_t *datagram, size_t len)
{
	size_t size = VS_TCP_HEADER + write_timestamps(out + VS_TCP_HEADER, segment);

	vs_put_be16(out, vs_addr_port(&segment->src));
	vs_put_be16(out + 2, vs_addr_port(&segment->dst));
	vs_put_be32(out + 4, segment->seq);
	vs_put_be32(out + 8, segment->ack);
	out[12] = (uint8_t)(size / 4 << 4);
	out[13] = segment->flags;
	vs_put_be16(out + 14, segment->window);
	memset(out + CHECKSUM_AT, 0, 4); /* checksum, urgent pointer */
	if (len) {
		vs_put_be16(out + size, (uint16_t)len);
		size += VS_FAKETCP_LENGTH;
	}
	/* What comes before the datagram is an even number of bytes, so that the sums just add up. */
	uint64_t sum = pseudo_header_sum(segment, size + len) + vs_checksum_sum(out, size);
	if (len)
		sum += vs_checksum_sum(datagram, len);
	uint16_t checksum = (uint16_t)~vs_checksum_fold(sum);
	memcpy(out + CHECKSUM_AT, &checksum, sizeof(checksum));
	return size;
}

/* --- Coming in ---------------------------------------------------------------------------------------------------- */

static void set_ipv4(struct vs_addr *addr, const uint8_t *bytes)
{
	memset(addr, 0, sizeof(*addr));
	addr->in.sin_family = AF_INET;
	memcpy(&addr->in.sin_addr, bytes, 4);
}

bool vs_faketcp_read_ipv4(uint8_t *packet, size_t len, struct vs_tcp_segment *out, uint8_t **tcp, size_t *tcp_len)
{
	if (len < IPV4_HEADER || packet[0] >> 4 != 4)
		return false;
	size_t header = (size_t)(packet[0] & 15) * 4, total = vs_get_be16(packet + 2);
	if (header < IPV4_HEADER || total < header || total > len || packet[9] != IPPROTO_TCP ||
	    vs_get_be16(packet + 6) & IPV4_FRAGMENT)
		return false;
	set_ipv4(&out->src, packet + 12);
	set_ipv4(&out->dst, packet + 16);
	*tcp = packet + header;
	*tcp_len = total - header;
	return true;
}

static bool read_options(struct vs_view options, struct vs_tcp_segment *out)
{
	while (options.len > 0) {
		uint8_t kind = vs_view_u8(&options);
		if (kind == OPTION_END)
			return true;
		if (kind == OPTION_NOP)
			continue;
		uint8_t size = vs_view_u8(&options);
		struct vs_view value = vs_view_of(options.data, size < 2 ? 0 : size - 2u);
		if (size < 2 || !vs_view_pull(&options, size - 2u))
			return false;
		if (kind == OPTION_TIMESTAMPS && size == OPTION_TIMESTAMPS_SIZE) {
			out->has_ts = true;
			out->ts_val = vs_view_be32(&value);
			out->ts_ecr = vs_view_be32(&value);
		}
	}
	return true;
}

/* The port's place is the same in both kinds of address. */
static void set_port(struct vs_addr *addr, const uint8_t *bytes)
{
	if (addr->sa.sa_family == AF_INET6)
		memcpy(&addr->in6.sin6_port, bytes, 2);
	else
		memcpy(&addr->in.sin_port, bytes, 2);
}

bool vs_faketcp_read_tcp(uint8_t *tcp, size_t len, struct vs_tcp_segment *out, uint8_t **payload, size_t *payload_len)
{
	if (len < VS_TCP_HEADER)
		return false;
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	if (header < VS_TCP_HEADER || header > len)
		return false;
	set_port(&out->src, tcp);
	set_port(&out->dst, tcp + 2);
	out->seq = vs_get_be32(tcp + 4);
	out->ack = vs_get_be32(tcp + 8);
	out->flags = tcp[13];
	out->window = vs_get_be16(tcp + 14);
	out->has_ts = false;
	out->ts_val = out->ts_ecr = 0;
	*payload = tcp + header;
	*payload_len = len - header;
	return read_options(vs_view_of(tcp + VS_TCP_HEADER, header - VS_TCP_HEADER), out);
}

/* --- Payloads ----------------------------------------------------------------------------------------------------- */

void vs_faketcp_partial_fini(struct vs_faketcp_partial *partial)
{
	free(partial->bytes);
	memset(partial, 0, sizeof(*partial));
}

void vs_faketcp_walk_begin(struct vs_faketcp_walk *walk, struct vs_faketcp_partial *partial, uint8_t *payload,
			   size_t len, uint32_t seq)
{
	*walk = (struct vs_faketcp_walk){ .partial = partial, .next = payload, .left = len, .seq = seq };
	if (partial->have && (int32_t)(seq - partial->seq) > 0) {
		partial->have = 0;
		walk->bad = true;
	}
}

static void skip(struct vs_faketcp_walk *walk, size_t n)
{
	walk->next += n;
	walk->left -= n;
	walk->seq += (uint32_t)n;
}

/* Moves bytes of the payload behind those that wait, until there are `wanted`. */
static bool fill_up(struct vs_faketcp_walk *walk, size_t wanted)
{
	struct vs_faketcp_partial *partial = walk->partial;
	size_t n = partial->have < wanted ? VS_MIN(wanted - partial->have, walk->left) : 0;

	memcpy(partial->bytes + partial->have, walk->next, n);
	partial->have += (uint32_t)n;
	skip(walk, n);
	partial->seq = walk->seq;
	return partial->have >= wanted;
}

static bool plausible(size_t len)
{
	return len > 0 && len <= VS_DATAGRAM_MAX;
}

/* The datagram whose beginning waited. NULL: its end is not here either, or it is none. */
static uint8_t *complete(struct vs_faketcp_walk *walk, size_t *len)
{
	struct vs_faketcp_partial *partial = walk->partial;

	if (!fill_up(walk, VS_FAKETCP_LENGTH))
		return NULL;
	*len = vs_get_be16(partial->bytes);
	if (!plausible(*len)) {
		partial->have = 0;
		walk->left = 0;
		walk->bad = true;
		return NULL;
	}
	if (!fill_up(walk, VS_FAKETCP_LENGTH + *len))
		return NULL;
	partial->have = 0;
	walk->joined = true;
	return partial->bytes + VS_FAKETCP_LENGTH;
}

/* The rest of the payload is the beginning of a datagram. */
static void keep_rest(struct vs_faketcp_walk *walk)
{
	struct vs_faketcp_partial *partial = walk->partial;

	if (!partial->bytes) {
		partial->bytes = malloc(VS_FAKETCP_LENGTH + VS_DATAGRAM_MAX);
		if (!partial->bytes) {
			walk->left = 0;
			walk->bad = true;
			return;
		}
	}
	partial->have = 0;
	fill_up(walk, walk->left);
}

uint8_t *vs_faketcp_walk_next(struct vs_faketcp_walk *walk, size_t *len)
{
	walk->joined = false;
	if (walk->left == 0)
		return NULL;
	if (walk->partial->have && walk->seq == walk->partial->seq)
		return complete(walk, len);
	*len = walk->left < VS_FAKETCP_LENGTH ? 1 : vs_get_be16(walk->next);
	if (!plausible(*len)) {
		walk->left = 0;
		walk->bad = true;
		return NULL;
	}
	if (walk->left < VS_FAKETCP_LENGTH + *len) {
		keep_rest(walk);
		return NULL;
	}
	uint8_t *datagram = walk->next + VS_FAKETCP_LENGTH;
	skip(walk, VS_FAKETCP_LENGTH + *len);
	return datagram;
}
