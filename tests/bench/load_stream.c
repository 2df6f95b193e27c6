#include "bench/load_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/gso.h"
#include "base/time.h"

#define ETHERTYPE_IPV4 0x0800
#define IPV4_AT 14
#define UDP_AT (IPV4_AT + 20)
#define PAYLOAD_AT LOAD_HEADERS
#define PAYLOAD 18 /* stream:16 number:64 time:64 */

#define PORT_BASE 20000 /* of the first stream; 16,384 streams end below 65,536 */
#define SEGMENT (LOAD_FRAME_PLAIN_MAX - PAYLOAD_AT)

/* Bit of the stream's id in an answer; the announcements' id. */
#define ANSWER 0x8000
#define ANNOUNCEMENT 0x7fff

_Static_assert(PAYLOAD_AT == UDP_AT + 8, "the payload follows the UDP header");
_Static_assert(PAYLOAD_AT + PAYLOAD == LOAD_FRAME_MIN, "the smallest frame holds the whole account");
_Static_assert(LOAD_STREAMS_MAX < ANNOUNCEMENT && PORT_BASE + LOAD_STREAMS_MAX < 65536, "each stream has a port");

/* Locally administered, unicast: 02, the client, the number. */
struct vs_mac load_mac(uint32_t client, uint32_t n)
{
	struct vs_mac mac = { { 0x02 } };
	vs_put_be16(mac.octet + 1, (uint16_t)client);
	vs_put_be24(mac.octet + 3, n);
	return mac;
}

/* --- Frames out --------------------------------------------------------------------------------------------------- */

static uint16_t ipv4_checksum(const uint8_t *header)
{
	uint32_t sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += vs_get_be16(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

/* 10.0.0.0/8, the client below; 10.255.255.255 for all. */
static uint32_t address_of(uint32_t client)
{
	return client == LOAD_TO_ALL ? 0x0affffff : 0x0a000001 + client;
}

static void write_headers(uint8_t out[PAYLOAD_AT], uint32_t from, uint32_t to, uint16_t id, uint32_t size)
{
	struct vs_mac source = load_mac(from, 0), destination = load_mac(to, 0);
	uint8_t *ip = out + IPV4_AT, *udp = out + UDP_AT;
	memset(out, 0, PAYLOAD_AT);
	memcpy(out, destination.octet, 6);
	if (to == LOAD_TO_ALL)
		memset(out, 0xff, 6);
	memcpy(out + 6, source.octet, 6);
	vs_put_be16(out + 12, ETHERTYPE_IPV4);
	ip[0] = 0x45;
	vs_put_be16(ip + 2, (uint16_t)(size - IPV4_AT));
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	vs_put_be32(ip + 12, address_of(from));
	vs_put_be32(ip + 16, address_of(to));
	vs_put_be16(ip + 10, ipv4_checksum(ip));
	vs_put_be16(udp, (uint16_t)(PORT_BASE + id));
	vs_put_be16(udp + 2, (uint16_t)(PORT_BASE + id));
	vs_put_be16(udp + 4, (uint16_t)(size - UDP_AT));
	/* Without a checksum, which IPv4 allows; of a super-frame it is still to be made. */
}

/* Names the stream in each segment, and gives each a number and the time. Returns how many there are. */
static unsigned number_segments(struct vs_frame *frame, uint16_t id, uint64_t number, uint64_t now)
{
	uint8_t *bytes = vs_frame_bytes(frame);
	unsigned n = 0;
	for (uint32_t at = PAYLOAD_AT; at < frame->len; at += SEGMENT, n++) {
		vs_put_be16(bytes + at, id);
		vs_put_be64(bytes + at + 2, number + n);
		vs_put_be64(bytes + at + 10, now);
	}
	return n;
}

static void make_super(struct vs_frame *frame)
{
	const struct vs_vnet vnet = {
		.flags = VS_VNET_NEEDS_CSUM,
		.gso_type = VS_GSO_UDP_L4,
		.hdr_len = PAYLOAD_AT,
		.gso_size = SEGMENT,
		.csum_start = UDP_AT,
		.csum_offset = 6,
	};
	frame->super = true;
	vs_vnet_encode(&vnet, frame->vnet);
}

static struct vs_frame *new_frame(struct vs_pool *pool, const uint8_t headers[PAYLOAD_AT], uint32_t size)
{
	struct vs_frame *frame = vs_frame_new(pool, size);
	if (!frame)
		return NULL;
	memcpy(vs_frame_bytes(frame), headers, PAYLOAD_AT);
	memset(vs_frame_bytes(frame) + PAYLOAD_AT, 0x5a, size - PAYLOAD_AT);
	if (size > LOAD_FRAME_PLAIN_MAX)
		make_super(frame);
	return frame;
}

/* xorshift64 (Marsaglia, 2003): which address is drawn must not cost much, nor be a secret. */
static uint32_t draw(uint64_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)((*state >> 32) * below >> 32);
}

struct vs_frame *load_stream_next(struct load_stream *stream, struct vs_pool *pool, uint64_t now)
{
	struct vs_frame *frame = new_frame(pool, stream->headers, stream->size);
	if (!frame)
		return NULL;
	if (stream->macs > 1) {
		struct vs_mac destination = load_mac(stream->to, draw(&stream->chance, stream->macs));
		memcpy(vs_frame_bytes(frame), destination.octet, 6);
	}
	stream->sent += number_segments(frame, stream->id, stream->sent, now);
	return frame;
}

struct vs_frame *load_announcement(struct vs_pool *pool, uint32_t from, uint32_t n, uint32_t to)
{
	uint8_t headers[PAYLOAD_AT];
	write_headers(headers, from, to, ANNOUNCEMENT, LOAD_FRAME_MIN);
	struct vs_mac source = load_mac(from, n);
	memcpy(headers + 6, source.octet, 6);
	struct vs_frame *frame = new_frame(pool, headers, LOAD_FRAME_MIN);
	if (frame)
		number_segments(frame, ANNOUNCEMENT, n, 0);
	return frame;
}

/* --- Frames in ---------------------------------------------------------------------------------------------------- */

static void account(struct load_reception *reception, uint64_t number)
{
	if (!vs_replay_check(&reception->seen, number)) {
		reception->duplicates++;
		return;
	}
	reception->unique++;
	if (number + 1 < reception->seen.next)
		reception->reordered++;
	vs_replay_commit(&reception->seen, number);
}

/* The account of this client; NULL: the frame is not for it. */
static struct load_reception *reception_of(struct load_stream *stream, uint32_t client, bool answer)
{
	if (answer || !stream->echo) {
		uint32_t receiver = answer ? stream->from : stream->to;
		if (receiver == LOAD_TO_ALL)
			return &stream->receptions[client];
		return client == receiver ? &stream->receptions[0] : NULL;
	}
	return NULL;
}

/* The stream of a frame, or of a piece of a super-frame. NULL: it is none of ours, or not as it was sent. */
static struct load_stream *stream_of(struct load_stream *streams, unsigned n, const struct vs_frame *frame, uint16_t id)
{
	const uint8_t *bytes = vs_frame_cbytes(frame);
	unsigned number = id & ~ANSWER;
	if (number >= n)
		return NULL;
	if (frame->len != streams[number].size && (streams[number].size <= LOAD_FRAME_PLAIN_MAX ||
						   frame->len > streams[number].size))
		return NULL;
	for (uint32_t at = PAYLOAD_AT; at < frame->len; at += SEGMENT)
		if (frame->len - at < PAYLOAD || vs_get_be16(bytes + at) != id)
			return NULL;
	return &streams[number];
}

static void account_segments(struct load_reception *reception, const struct vs_frame *frame, uint64_t now,
			     struct load_totals *totals)
{
	const uint8_t *bytes = vs_frame_cbytes(frame);
	totals->bytes += frame->len;
	for (uint32_t at = PAYLOAD_AT; at < frame->len; at += SEGMENT) {
		totals->frames++;
		histogram_add(&totals->latency, vs_time_since(now, vs_get_be64(bytes + at + 10)));
		account(reception, vs_get_be64(bytes + at + 2));
	}
}

bool load_arrived(struct load_stream *streams, unsigned n, uint32_t client, const struct vs_frame *frame, uint64_t now,
		  struct load_totals *totals)
{
	uint16_t id = frame->len >= LOAD_FRAME_MIN ? vs_get_be16(vs_frame_cbytes(frame) + PAYLOAD_AT) : UINT16_MAX;
	if (id == ANNOUNCEMENT) {
		struct vs_mac mine = load_mac(client, 0);
		/* The first one to a client that has not been heard yet is flooded. */
		totals->announced += memcmp(vs_frame_cbytes(frame), &mine, sizeof(mine)) == 0;
		return false;
	}
	struct load_stream *stream = stream_of(streams, n, frame, id);
	if (!stream) {
		totals->malformed++;
		return false;
	}
	bool answer = id & ANSWER;
	if (stream->echo && !answer && client == stream->to)
		return true;
	struct load_reception *reception = reception_of(stream, client, answer);
	if (reception)
		account_segments(reception, frame, now, totals);
	else
		totals->strays++;
	return false;
}

struct vs_frame *load_answer(const struct load_stream *streams, const struct vs_frame *frame, struct vs_pool *pool)
{
	uint8_t headers[PAYLOAD_AT];
	const uint8_t *bytes = vs_frame_cbytes(frame);
	const struct load_stream *stream = &streams[vs_get_be16(bytes + PAYLOAD_AT)];
	write_headers(headers, stream->to, stream->from, stream->id, frame->len);
	struct vs_frame *answer = new_frame(pool, headers, frame->len);
	if (!answer)
		return NULL;
	uint8_t *out = vs_frame_bytes(answer);
	memcpy(out + PAYLOAD_AT, bytes + PAYLOAD_AT, frame->len - PAYLOAD_AT);
	for (uint32_t at = PAYLOAD_AT; at < frame->len; at += SEGMENT)
		vs_put_be16(out + at, stream->id | ANSWER);
	return answer;
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

int load_stream_init(struct load_stream *stream, unsigned clients)
{
	uint32_t last = (stream->size - PAYLOAD_AT) % SEGMENT;
	if (stream->size > LOAD_FRAME_PLAIN_MAX && last < PAYLOAD)
		stream->size -= last;
	stream->chance = UINT64_C(0x9e3779b97f4a7c15) + stream->id;
	stream->receptions_n = stream->to == LOAD_TO_ALL ? clients : 1;
	stream->receptions = calloc(stream->receptions_n, sizeof(*stream->receptions));
	write_headers(stream->headers, stream->from, stream->to, stream->id, stream->size);
	return stream->receptions ? 0 : -ENOMEM;
}

void load_stream_fini(struct load_stream *stream)
{
	free(stream->receptions);
	stream->receptions = NULL;
}

void load_stream_balance(const struct load_stream *stream, uint64_t *expected, uint64_t *unique)
{
	uint32_t receivers = stream->to == LOAD_TO_ALL ? stream->receptions_n - 1 : 1;
	*expected = stream->sent * receivers;
	*unique = 0;
	for (uint32_t i = 0; i < stream->receptions_n; i++)
		*unique += stream->receptions[i].unique;
}
