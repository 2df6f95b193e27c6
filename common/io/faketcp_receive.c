#include "io/faketcp_receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MESSAGE_SIZE 65536 /* the largest IPv4 packet; GRO merges up to it */

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct vs_faketcp_receiver {
	const struct vs_conntable *table;
	struct vs_faketcp_sink sink;
	struct vs_carrier_stats *stats;
	struct vs_drops *drops;
	struct vs_faketcp_partial stray; /* for segments without a connection; forgotten after each */
	uint8_t *buffers; /* VS_FAKETCP_MESSAGES of MESSAGE_SIZE */
	struct mmsghdr messages[VS_FAKETCP_MESSAGES];
	struct iovec parts[VS_FAKETCP_MESSAGES];
	union control controls[VS_FAKETCP_MESSAGES];
	struct vs_addr from[VS_FAKETCP_MESSAGES];
	struct vs_tcp_segment segments[VS_FAKETCP_MESSAGES];
	size_t used; /* messages that the last call has filled in */
	struct vs_rx_batch batch;
};

/* The first n messages, whose lengths the kernel shortens as it fills them in. */
static void prepare(struct vs_faketcp_receiver *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		r->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &r->from[i].sa,
			.msg_namelen = sizeof(r->from[i]),
			.msg_iov = &r->parts[i],
			.msg_iovlen = 1,
			.msg_control = r->controls[i].bytes,
			.msg_controllen = sizeof(r->controls[i].bytes),
		};
	}
}

struct vs_faketcp_receiver *vs_faketcp_receiver_new(const struct vs_conntable *table,
						    const struct vs_faketcp_sink *sink, struct vs_carrier_stats *stats,
						    struct vs_drops *drops)
{
	struct vs_faketcp_receiver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->table = table;
	r->sink = *sink;
	r->stats = stats;
	r->drops = drops;
	r->buffers = mmap(NULL, VS_FAKETCP_MESSAGES * MESSAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->buffers == MAP_FAILED) {
		free(r);
		return NULL;
	}
	for (size_t i = 0; i < VS_FAKETCP_MESSAGES; i++)
		r->parts[i] = (struct iovec){ .iov_base = r->buffers + i * MESSAGE_SIZE, .iov_len = MESSAGE_SIZE };
	prepare(r, VS_FAKETCP_MESSAGES);
	return r;
}

void vs_faketcp_receiver_free(struct vs_faketcp_receiver *receiver)
{
	if (!receiver)
		return;
	vs_faketcp_partial_fini(&receiver->stray);
	munmap(receiver->buffers, VS_FAKETCP_MESSAGES * MESSAGE_SIZE);
	free(receiver);
}

/* --- Packets ------------------------------------------------------------------------------------------------------ */

/* The addresses of a packet of which the kernel gives only what is behind the IPv6 header. */
static bool read_ipv6(const struct vs_faketcp_receiver *r, size_t i, struct vs_tcp_segment *segment)
{
	struct msghdr *h = (struct msghdr *)&r->messages[i].msg_hdr;
	struct in6_pktinfo info;
	const struct cmsghdr *c = CMSG_FIRSTHDR(h);

	if (!c || c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	segment->src = vs_addr_from_sockaddr(&r->from[i].sa, h->msg_namelen);
	memset(&segment->dst, 0, sizeof(segment->dst));
	segment->dst.in6.sin6_family = AF_INET6;
	segment->dst.in6.sin6_addr = info.ipi6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		segment->dst.in6.sin6_scope_id = info.ipi6_ifindex;
	return segment->src.sa.sa_family == AF_INET6;
}

static bool read_segment(const struct vs_faketcp_receiver *r, size_t i, int family, struct vs_tcp_segment *segment,
			 uint8_t **payload, size_t *len)
{
	uint8_t *tcp = r->parts[i].iov_base;
	size_t tcp_len = r->messages[i].msg_len;

	if (family == AF_INET6 ? !read_ipv6(r, i, segment)
			       : !vs_faketcp_read_ipv4(tcp, tcp_len, segment, &tcp, &tcp_len))
		return false;
	return vs_faketcp_read_tcp(tcp, tcp_len, segment, payload, len);
}

/* --- Datagrams ---------------------------------------------------------------------------------------------------- */

static void deliver(struct vs_faketcp_receiver *r)
{
	if (r->batch.count)
		r->sink.receive(r->sink.arg, &r->batch);
	r->batch.count = 0;
}

static void take_apart(struct vs_faketcp_receiver *r, struct vs_faketcp_walk *walk, const struct vs_addr *from,
		       const struct vs_addr *local)
{
	uint64_t before = r->stats->rx_datagrams;
	uint8_t *datagram;
	size_t len;

	while ((datagram = vs_faketcp_walk_next(walk, &len))) {
		r->batch.datagrams[r->batch.count++] = (struct vs_rx_datagram){
			.data = datagram,
			.len = (uint32_t)len,
			.from = from,
			.local = local,
		};
		r->stats->rx_datagrams++;
		if (walk->joined || r->batch.count == VS_RX_DATAGRAMS)
			deliver(r);
	}
	if (r->stats->rx_datagrams > before + 1)
		r->stats->rx_coalesced += r->stats->rx_datagrams - before;
	if (walk->bad)
		vs_drop(r->drops, VS_DROP_BAD_STREAM);
}

/* Nobody knows where its connection stands, only where it is from. */
static void input_stray(struct vs_faketcp_receiver *r, const struct vs_tcp_segment *segment, uint8_t *payload,
			size_t len)
{
	struct vs_faketcp_walk walk;

	if (!r->sink.missing) {
		vs_drop(r->drops, VS_DROP_NO_CONNECTION);
		return;
	}
	if (segment->flags & (VS_TCP_RST | VS_TCP_FIN))
		r->sink.sign(r->sink.arg, NULL, segment,
			     segment->flags & VS_TCP_RST ? VS_FAKETCP_RESET : VS_FAKETCP_FINISHED);
	r->stray.have = 0;
	vs_faketcp_walk_begin(&walk, &r->stray, payload, len, segment->seq);
	take_apart(r, &walk, &segment->src, &segment->dst);
}

static void input(struct vs_faketcp_receiver *r, const struct vs_tcp_segment *segment, uint8_t *payload, size_t len,
		  uint64_t now)
{
	struct vs_faketcp_conn *conn = vs_faketcp_conn_find(r->table, &segment->src, &segment->dst);
	struct vs_faketcp_walk walk;

	if (!conn && r->sink.missing) {
		r->sink.missing(r->sink.arg, segment);
		conn = vs_faketcp_conn_find(r->table, &segment->src, &segment->dst);
	}
	if (!conn) {
		input_stray(r, segment, payload, len);
		return;
	}
	enum vs_faketcp_sign sign = vs_faketcp_conn_input(conn, segment, len, now);
	vs_faketcp_walk_begin(&walk, &conn->partial, payload, len, segment->seq);
	take_apart(r, &walk, &conn->conn.peer, &conn->conn.local);
	if (sign != VS_FAKETCP_NOTHING)
		r->sink.sign(r->sink.arg, conn, segment, sign);
}

int vs_faketcp_receive(struct vs_faketcp_receiver *r, int fd, int family, uint64_t now)
{
	prepare(r, r->used);
	r->used = 0;
	r->stats->rx_calls++;
	int n = recvmmsg(fd, r->messages, VS_FAKETCP_MESSAGES, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	r->used = (size_t)n;
	for (size_t i = 0; i < (size_t)n; i++) {
		uint8_t *payload;
		size_t len;
		if (r->messages[i].msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
			r->stats->rx_truncated++;
			continue;
		}
		r->stats->rx_bytes += r->messages[i].msg_len;
		if (read_segment(r, i, family, &r->segments[i], &payload, &len))
			input(r, &r->segments[i], payload, len, now);
		else
			vs_drop(r->drops, VS_DROP_BAD_STREAM);
	}
	deliver(r);
	return n;
}
